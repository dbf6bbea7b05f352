//! Which index a query uses and which of its rows are read: CouchDB's choice, with CouchDB's
//! reasons, and inside the chosen index as few rows as the selector allows.

mod choice;
mod explain;
mod field_range;
mod needs;
mod spans;

pub use choice::{Choice, Chosen, Purpose, choose};
pub use explain::{explain, is_covering};
pub use field_range::FieldRange;
pub use needs::named_fields;
pub use spans::{Span, Spans, of_columns, of_ids};
