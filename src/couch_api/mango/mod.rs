//! Mango: `/{db}/_find`, `/{db}/_explain` and `/{db}/_index`.

mod answer;
mod find;
mod indexes;

pub use find::{explain, find};
pub use indexes::index;
