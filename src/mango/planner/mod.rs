//! Which index a query uses and which of its rows are read: CouchDB's choice, with CouchDB's
//! reasons, and inside the chosen index as few rows as the selector allows.

mod choice;
mod estimate;
mod explain;
mod field_range;
mod needs;
mod spans;

pub use choice::{Choice, Chosen, Purpose, choose};
pub use estimate::{Estimate, Estimating, choose_cheapest, estimates_json, spans_of};
pub use explain::{explain, is_covering};
pub use field_range::FieldRange;
pub use needs::{is_in_all_wanted, named_fields};
pub use spans::{Span, Spans, of_columns};
