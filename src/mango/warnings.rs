//! What an answer warns of.

use crate::metrics;

use super::cursor::Stats;
use super::index::{IndexDefinition, IndexKind};
use super::request::FindRequest;

const NO_INDEX: &str = "No matching index found, create an index to optimize query time.";
const TOO_MANY: &str = "The number of documents examined is high in proportion to the number of \
                        results returned. Consider adding a more specific index to improve this.";

/// The warnings of an answer, if there are any. More documents a result than `threshold` are too
/// many; 0 is no threshold.
pub fn warnings(
    request: &FindRequest,
    used: &IndexDefinition,
    stats: &Stats,
    threshold: u64,
) -> Option<String> {
    let mut warnings = Vec::new();
    if let Some(wanted) = request.use_index.as_ref().filter(|wanted| !wanted.names(used)) {
        metrics::MANGO_INVALID_INDEX.add(1);
        let why = match wanted.name {
            None => "it does not contain a valid index for this query.",
            Some(_) => "it is not a valid index for this query.",
        };
        warnings.push(format!("{} was not used because {why}", wanted.shown()));
    }
    if used.kind == IndexKind::AllDocs {
        metrics::MANGO_UNINDEXED_QUERIES.add(1);
        warnings.push(NO_INDEX.to_owned());
    }
    let examined = stats.docs + stats.quorum_docs;
    if threshold > 0 && examined > threshold.saturating_mul(stats.results.max(1)) {
        metrics::MANGO_TOO_MANY_DOCS_SCANNED.add(1);
        warnings.push(TOO_MANY.to_owned());
    }
    (!warnings.is_empty()).then(|| warnings.join("\n"))
}
