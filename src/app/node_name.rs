//! What this node is called where CouchDB names one of a cluster.

use std::sync::OnceLock;

const DEFAULT: &str = "settee@127.0.0.1";
/// The name before the host that CouchDB's containers give every node.
const USUAL: &str = "couchdb";

static NAME: OnceLock<String> = OnceLock::new();

/// The name of this process's node.
#[must_use]
pub fn node_name() -> &'static str {
    NAME.get().map_or(DEFAULT, String::as_str)
}

/// Gives the node its name, once: `NODENAME` of CouchDB's containers, a host or a whole name.
pub(super) fn set_node_name(given: &str) {
    // A process is one node for as long as it runs.
    let _ = NAME.set(whole_name(given));
}

fn whole_name(given: &str) -> String {
    if given.contains('@') { given.to_owned() } else { format!("{USUAL}@{given}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_enough() {
        for (given, expect) in
            [("db.example", "couchdb@db.example"), ("a@b", "a@b"), ("::1", "couchdb@::1")]
        {
            assert_eq!(whole_name(given), expect);
        }
    }
}
