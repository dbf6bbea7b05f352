//! Mango's indexes: what is known of them, and the design documents that hold them.

mod creation;
mod definition;
mod names;

pub use creation::{NewIndex, design_id, designs_to_clear, without_index};
pub use definition::{Columns, IndexDefinition, IndexKind, design_documents, indexes};
