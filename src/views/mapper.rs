//! What makes rows of documents.

use std::fmt;
use std::sync::Arc;

use serde_json::Value;

use crate::design::{Ddoc, Functions};
use crate::sandbox::{MapResults, Program};

use super::{ViewGroup, ViewsError};

/// The map functions of one index.
pub trait Mapper: Send + Sync + fmt::Debug {
    /// Maps documents, each a JSON object, with every map of the index. Called from several
    /// threads at once.
    ///
    /// # Errors
    /// Where the index cannot be built; a document that a function cannot map is no error.
    fn map(&self, documents: Vec<String>) -> Result<MapResults, ViewsError>;

    /// Whether each map runs without an engine. Blocks. None where that is no question.
    fn native(&self) -> Option<Vec<bool>> {
        None
    }

    /// Whether a map makes rows of a document exactly if it lets it pass as a filter (`_view`),
    /// unless it fails: nothing that it looks at is told otherwise to filters. Blocks.
    fn filters(&self, _map: usize) -> bool {
        false
    }
}

/// Makes the mapper of a design document's views, which are given with their map's source in the
/// order in which their results are wanted.
pub type MakeMapper =
    Arc<dyn Fn(&Ddoc, &[&Value]) -> Result<Arc<dyn Mapper>, ViewsError> + Send + Sync>;

/// Maps in the sandbox.
#[derive(Debug)]
struct SandboxMapper {
    functions: Arc<Functions>,
    program: Program,
}

impl Mapper for SandboxMapper {
    fn map(&self, documents: Vec<String>) -> Result<MapResults, ViewsError> {
        Ok(self.functions.sandbox().map(&self.program, documents)?)
    }

    fn native(&self) -> Option<Vec<bool>> {
        self.functions.sandbox().native(&self.program)
    }

    fn filters(&self, map: usize) -> bool {
        self.functions.sandbox().map_filters(&self.program, map)
    }
}

/// The mapper of a language whose functions the sandbox runs.
pub(super) fn sandbox_mapper(
    functions: &Arc<Functions>,
    ddoc: &Ddoc,
    group: &ViewGroup,
) -> Result<Arc<dyn Mapper>, ViewsError> {
    let sources = group.maps.iter().map(|map| match &map.source {
        Value::String(source) => source.clone(),
        other => other.to_string(),
    });
    let sources: Vec<String> = sources.collect();
    match group.language.to_ascii_lowercase().as_str() {
        "javascript" | "wasm" => {
            let (functions, program) = (functions.clone(), ddoc.maps(sources));
            Ok(Arc::new(SandboxMapper { functions, program }))
        }
        _ => Err(ViewsError::UnknownLanguage(group.language.clone())),
    }
}
