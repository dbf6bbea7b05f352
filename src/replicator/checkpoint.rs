//! Checkpoints: how far a replication has come, kept on both sides in CouchDB's form.
//!
//! Pure: reading, comparing and extending the document `_local/{replication id}`, so that a
//! CouchDB can go on where settee stopped and the other way round (couchdb-api.md A5).

use serde_json::{Map, Value, json};

/// Sessions that a checkpoint remembers.
const HISTORY_MAX: usize = 50;
/// The version of replication ids that checkpoints are kept under.
const ID_VERSION: u64 = 4;

/// What a session has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Statistics {
    /// Revisions that the target was asked about.
    pub missing_checked: u64,
    /// Revisions that it did not have.
    pub missing_found: u64,
    pub docs_read: u64,
    pub docs_written: u64,
    /// Documents that the target refused.
    pub doc_write_failures: u64,
    pub bulk_get_docs: u64,
    pub bulk_get_attempts: u64,
}

impl Statistics {
    /// What a checkpoint's session had done.
    #[must_use]
    pub fn of(session: &Value) -> Self {
        let number = |name: &str| session.get(name).and_then(Value::as_u64).unwrap_or(0);
        Self {
            missing_checked: number("missing_checked"),
            missing_found: number("missing_found"),
            docs_read: number("docs_read"),
            docs_written: number("docs_written"),
            doc_write_failures: number("doc_write_failures"),
            bulk_get_docs: number("bulk_get_docs"),
            bulk_get_attempts: number("bulk_get_attempts"),
        }
    }

    /// The larger of each number: a count that has been shown never falls back to what an older
    /// checkpoint says.
    #[must_use]
    pub fn max(&self, other: &Self) -> Self {
        Self {
            missing_checked: self.missing_checked.max(other.missing_checked),
            missing_found: self.missing_found.max(other.missing_found),
            docs_read: self.docs_read.max(other.docs_read),
            docs_written: self.docs_written.max(other.docs_written),
            doc_write_failures: self.doc_write_failures.max(other.doc_write_failures),
            bulk_get_docs: self.bulk_get_docs.max(other.bulk_get_docs),
            bulk_get_attempts: self.bulk_get_attempts.max(other.bulk_get_attempts),
        }
    }
}

/// A run of a replication, as a checkpoint remembers it.
#[derive(Debug, Clone, PartialEq)]
pub struct Session {
    pub id: String,
    /// RFC 7231 dates.
    pub start_time: String,
    pub end_time: String,
    /// Sequences of the source: JSON of whatever kind it has.
    pub start_last_seq: Value,
    pub recorded_seq: Value,
    pub statistics: Statistics,
}

impl Session {
    fn to_json(&self) -> Value {
        let done = &self.statistics;
        json!({
            "session_id": self.id,
            "start_time": self.start_time,
            "end_time": self.end_time,
            "start_last_seq": self.start_last_seq,
            "end_last_seq": self.recorded_seq,
            "recorded_seq": self.recorded_seq,
            "missing_checked": done.missing_checked,
            "missing_found": done.missing_found,
            "docs_read": done.docs_read,
            "docs_written": done.docs_written,
            "doc_write_failures": done.doc_write_failures,
            "bulk_get_docs": done.bulk_get_docs,
            "bulk_get_attempts": done.bulk_get_attempts,
        })
    }
}

/// A checkpoint document's members, without those that begin with an underscore.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Checkpoint(Map<String, Value>);

impl Checkpoint {
    /// Reads a stored document; what has no sense is kept out of the way by meaning nothing.
    #[must_use]
    pub fn new(mut document: Map<String, Value>) -> Self {
        document.retain(|name, _| !name.starts_with('_'));
        Self(document)
    }

    /// The members, for storing.
    #[must_use]
    pub fn members(&self) -> &Map<String, Value> {
        &self.0
    }

    fn session_id(&self) -> Option<&str> {
        self.0.get("session_id").and_then(Value::as_str)
    }

    fn last_seq(&self) -> Option<&Value> {
        self.0.get("source_last_seq")
    }

    /// The sessions, newest first.
    #[must_use]
    pub fn history(&self) -> &[Value] {
        self.0.get("history").and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    /// What a replication without checkpoints says in their place.
    #[must_use]
    pub fn none() -> Self {
        Self(Map::from_iter([("use_checkpoints".to_owned(), Value::Bool(false))]))
    }

    /// The checkpoint after `session`: its entry first, then the history until now, without an
    /// earlier entry of the same session. A replication `by_ids` has more members, as it had in
    /// CouchDB 0.11.
    #[must_use]
    pub fn after(session: &Session, history: &[Value], by_ids: bool) -> Self {
        let id = Some(session.id.as_str());
        let earlier = history.iter().filter(|entry| session_of(entry) != id).cloned();
        let entries: Vec<Value> =
            std::iter::once(session.to_json()).chain(earlier).take(HISTORY_MAX).collect();
        let done = &session.statistics;
        let mut members = Map::new();
        let mut put = |name: &str, value: Value| members.insert(name.to_owned(), value);
        put("session_id", session.id.clone().into());
        put("source_last_seq", session.recorded_seq.clone());
        put("replication_id_version", ID_VERSION.into());
        if by_ids {
            put("start_time", session.start_time.clone().into());
            put("end_time", session.end_time.clone().into());
            put("docs_read", done.docs_read.into());
            put("docs_written", done.docs_written.into());
            put("doc_write_failures", done.doc_write_failures.into());
        }
        put("history", entries.into());
        Self(members)
    }
}

fn session_of(entry: &Value) -> Option<&str> {
    entry.get("session_id").and_then(Value::as_str)
}

/// Where a replication goes on, and the history to extend: what both sides agree about.
#[must_use]
pub fn agree(source: &Checkpoint, target: &Checkpoint) -> (Option<Value>, Vec<Value>) {
    if let (Some(one), Some(two)) = (source.session_id(), target.session_id())
        && one == two
        && let Some(seq) = source.last_seq()
    {
        return (Some(seq.clone()), source.history().to_vec());
    }
    let (mut ours, mut theirs) = (source.history(), target.history());
    // CouchDB's way through both histories: a session of the source that the target knows, else
    // one of the target's that the source knows.
    while let ([first, ours_rest @ ..], [_, ..]) = (ours, theirs) {
        if knows(theirs, session_of(first)) {
            return (first.get("recorded_seq").cloned(), ours_rest.to_vec());
        }
        let Some((other, theirs_rest)) = theirs.split_first() else { break };
        if let Some(at) = ours_rest.iter().position(|entry| same(entry, other)) {
            let rest = ours_rest.get(at + 1..).unwrap_or_default();
            let recorded = ours_rest.get(at).and_then(|entry| entry.get("recorded_seq"));
            return (recorded.cloned(), rest.to_vec());
        }
        (ours, theirs) = (ours_rest, theirs_rest);
    }
    (None, Vec::new())
}

fn knows(history: &[Value], session: Option<&str>) -> bool {
    session.is_some() && history.iter().any(|entry| session_of(entry) == session)
}

fn same(one: &Value, two: &Value) -> bool {
    session_of(one).is_some() && session_of(one) == session_of(two)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn session(id: &str, seq: u64) -> Session {
        Session {
            id: id.to_owned(),
            start_time: "Sat, 21 Nov 2026 23:12:03 GMT".to_owned(),
            end_time: "Sat, 21 Nov 2026 23:12:04 GMT".to_owned(),
            start_last_seq: json!(0),
            recorded_seq: json!(seq),
            statistics: Statistics::default(),
        }
    }

    /// A checkpoint after the sessions, the newest last.
    fn after(sessions: &[(&str, u64)]) -> Checkpoint {
        sessions.iter().fold(Checkpoint::default(), |before, (id, seq)| {
            Checkpoint::after(&session(id, *seq), before.history(), false)
        })
    }

    fn seq_of(source: &Checkpoint, target: &Checkpoint) -> Option<u64> {
        agree(source, target).0.and_then(|seq| seq.as_u64())
    }

    #[test]
    fn both_sides_go_on_where_they_agree() {
        let none = Checkpoint::default();
        assert_eq!(agree(&none, &none), (None, Vec::new()));
        assert_eq!(seq_of(&after(&[("a", 5)]), &none), None);
        assert_eq!(seq_of(&none, &after(&[("a", 5)])), None);
        assert_eq!(seq_of(&after(&[("a", 5)]), &after(&[("a", 5)])), Some(5));
        assert_eq!(seq_of(&after(&[("a", 5), ("b", 9)]), &after(&[("a", 5)])), Some(5));
        assert_eq!(seq_of(&after(&[("a", 5)]), &after(&[("a", 5), ("b", 9)])), Some(5));
        assert_eq!(seq_of(&after(&[("a", 5), ("b", 9)]), &after(&[("a", 5), ("c", 7)])), Some(5));
        assert_eq!(seq_of(&after(&[("a", 5)]), &after(&[("b", 5)])), None);
    }

    #[test]
    fn a_session_has_one_entry_and_the_history_is_bounded() {
        let twice = after(&[("a", 5), ("b", 6), ("b", 9)]);
        assert_eq!(twice.history().len(), 2);
        assert_eq!(twice.last_seq(), Some(&json!(9)));
        let names: Vec<String> = (0..80).map(|n| n.to_string()).collect();
        let sessions: Vec<(&str, u64)> = names.iter().zip(0..).map(|(n, s)| (&**n, s)).collect();
        assert_eq!(after(&sessions).history().len(), HISTORY_MAX);
    }

    #[test]
    fn the_form_is_couchdbs() {
        let members = after(&[("a", 5)]);
        let names: Vec<&String> = members.members().keys().collect();
        assert_eq!(names, ["session_id", "source_last_seq", "replication_id_version", "history"]);
        let stored = json!({"_id": "_local/x", "_rev": "0-1", "session_id": "a"});
        let Value::Object(stored) = stored else { panic!("no object") };
        assert_eq!(Checkpoint::new(stored).members().len(), 1);
        for broken in [json!({"history": 5}), json!({"history": [5, null, {"session_id": 1}]})] {
            let Value::Object(broken) = broken else { panic!("no object") };
            assert_eq!(agree(&Checkpoint::new(broken), &after(&[("a", 5)])), (None, Vec::new()));
        }
    }
}
