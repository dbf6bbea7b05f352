//! Everything that a database has arrives whole, whichever way a replication goes: between two
//! databases of one server, to another server, from another server, between two others' databases.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::stage::Stage;

use super::{numbered, session, until};

/// A replication: the server that is asked, both sides as it is told of them, and where they are.
struct Route<'s> {
    asked: &'s Stage,
    source: Value,
    target: Value,
    source_at: &'s Stage,
    target_at: &'s Stage,
    from: String,
    to: String,
}

impl Route<'_> {
    fn body(&self) -> Value {
        json!({"source": self.source, "target": self.target})
    }

    fn check_equal(&self) {
        let wanted = self.source_at.everything(&self.from);
        let found = self.target_at.everything(&self.to);
        for (id, document) in &wanted {
            assert_eq!(found.get(id), Some(document), "{id} on the way {}", self.from);
        }
        assert_eq!(found.len(), wanted.len());
    }
}

/// All ways, with a database that has everything at the beginning of each.
fn with_routes(check: impl Fn(&Route<'_>)) {
    let (here, there) = (Stage::new(), Stage::new());
    for name in ["local", "push", "pull", "between"] {
        let source_at = if matches!(name, "pull") { &there } else { &here };
        let target_at = if matches!(name, "push" | "between") { &there } else { &here };
        let from = source_at.new_db(&format!("{name}-from"));
        let to = target_at.new_db(&format!("{name}-to"));
        let is_remote = |side: &str| {
            name == "between"
                || (name, side) == ("push", "target")
                || (name, side) == ("pull", "source")
        };
        let side = |side, at: &Stage, db: &str| {
            if is_remote(side) { json!(at.address(db)) } else { json!(db) }
        };
        let source = side("source", source_at, &from);
        let target = side("target", target_at, &to);
        fill(source_at, &from);
        check(&Route { asked: &here, source, target, source_at, target_at, from, to });
    }
}

/// Prose compresses well, noise does not.
fn prose() -> Vec<u8> {
    let mut text = String::new();
    for n in 0..1000 {
        writeln!(text, "line {n}: the quick brown fox jumps over {} dogs", n * 7919).unwrap();
    }
    text.into_bytes()
}

pub fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let words = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_be_bytes()
    });
    words.flatten().take(length).collect()
}

fn attachment(content_type: &str, bytes: &[u8]) -> Value {
    json!({"content_type": content_type, "data": STANDARD.encode(bytes)})
}

fn fill(stage: &Stage, db: &str) {
    stage.write(db, &numbered("doc", 120));
    for id in ["with space", "a/b/c", "plus+and&and?", "percent%2F", "ümlaut", "日本語", "quote\""]
    {
        stage.write(db, &[json!({"_id": id, "named": id})]);
    }
    let filter = "function(doc, req) { return true; }";
    stage.write(
        db,
        &[
            json!({"_id": "_design/app", "language": "javascript", "filters": {"all": filter}}),
            json!({"_id": "files", "_attachments": {
                "prose.txt": attachment("text/plain", &prose()),
                "noise.bin": attachment("application/octet-stream", &noise(70_000)),
                "empty": attachment("text/plain", b""),
                "dir/ü name": attachment("image/png", b"not really"),
            }}),
            json!({"_id": "numbers", "values": [1, 1.5, -2e30, null, true, 12_345_678_901_u64]}),
        ],
    );
    let hex = |digit: &str| digit.repeat(32);
    let branch = |digit: &str| json!({"start": 2, "ids": [hex(digit), hex("0")]});
    stage.graft(
        db,
        &[
            json!({"_id": "both", "_rev": format!("2-{}", hex("a")), "_revisions": branch("a"),
                "side": "a", "_attachments": {"side.txt": attachment("text/plain", b"of a")}}),
            json!({"_id": "both", "_rev": format!("2-{}", hex("b")), "_revisions": branch("b"),
                "side": "b", "_attachments": {"side.txt": attachment("text/plain", b"of b")}}),
            json!({"_id": "both", "_rev": format!("2-{}", hex("c")), "_revisions": branch("c"),
                "_deleted": true}),
        ],
    );
    let gone = stage.put(&format!("/{db}/gone"), &json!({"here": true}));
    let tombstone = json!({"_rev": gone["rev"], "_deleted": true, "why": "moved"});
    stage.put(&format!("/{db}/gone"), &tombstone);
    stage.put(&format!("/{db}/_local/mine"), &json!({"stays": "here"}));
}

/// An edit, a deletion, a new attachment and the end of a conflict.
fn edit(stage: &Stage, db: &str) {
    let rev = |id: &str| stage.read(&format!("/{db}/{id}"))["_rev"].clone();
    stage.put(&format!("/{db}/doc-000"), &json!({"_rev": rev("doc-000"), "n": "edited"}));
    stage.put(&format!("/{db}/doc-001"), &json!({"_rev": rev("doc-001"), "_deleted": true}));
    let both = stage.read(&format!("/{db}/both?conflicts=true"));
    let loser = both["_conflicts"][0].as_str().unwrap();
    assert_eq!(stage.ask("DELETE", &format!("/{db}/both?rev={loser}"), None).status, 200);
    let mut files = stage.read(&format!("/{db}/files"));
    files["_attachments"]["later.txt"] = attachment("text/plain", b"later");
    stage.put(&format!("/{db}/files"), &files);
}

#[test]
fn one_shot_replications_bring_everything_whole() {
    with_routes(|route| {
        let first = route.asked.replicate(&route.body());
        route.check_equal();
        assert!(!route.target_at.has(&format!("/{}/_local/mine", route.to)));
        let counted = session(&first);
        assert_eq!(counted["doc_write_failures"], 0, "{first}");
        assert_eq!(counted["docs_written"], counted["docs_read"], "{first}");
        assert_eq!(counted["missing_found"], counted["docs_written"], "{first}");
        assert_eq!(counted["docs_written"], 120 + 7 + 3 + 3 + 1, "{first}");

        let again = route.asked.replicate(&route.body());
        assert_eq!(again["no_changes"], true, "{again}");
        assert_eq!(again["session_id"], first["session_id"]);

        edit(route.source_at, &route.from);
        let second = route.asked.replicate(&route.body());
        route.check_equal();
        assert_eq!(second["history"].as_array().unwrap().len(), 2, "{second}");
        assert_ne!(second["session_id"], first["session_id"]);
        assert_eq!(session(&second)["start_last_seq"], first["source_last_seq"]);
        for (at, db) in [(route.source_at, &route.from), (route.target_at, &route.to)] {
            let locals = at.read(&format!("/{db}/_local_docs?include_docs=true"));
            let rows = locals["rows"].as_array().unwrap().iter();
            let kept: Vec<_> = rows.filter(|row| row["doc"]["history"].is_array()).collect();
            assert_eq!(kept.len(), 1, "{locals}");
            assert_eq!(kept[0]["doc"]["session_id"], second["session_id"]);
        }
    });
}

#[test]
fn continuous_replications_follow_until_they_are_cancelled() {
    with_routes(|route| {
        let mut body = route.body();
        body["continuous"] = json!(true);
        let begun = route.asked.post("/_replicate", &body);
        let id = begun["_local_id"].as_str().unwrap();
        assert!(id.ends_with("+continuous"), "{begun}");
        assert_eq!(route.asked.post("/_replicate", &body), begun, "the same goes on");
        assert_eq!(route.asked.jobs().len(), 1);
        until("the first documents", || {
            (route.target_at.ids(&route.to) == route.source_at.ids(&route.from)).then_some(())
        });
        edit(route.source_at, &route.from);
        for n in 0..3 {
            let late = format!("late-{n}");
            route.source_at.write(&route.from, &[json!({"_id": late})]);
            until("a late document", || {
                route.target_at.has(&format!("/{}/{late}", route.to)).then_some(())
            });
        }
        route.check_equal();
        let task = &route.asked.replication_tasks()[0];
        assert_eq!((&task["replication_id"], &task["continuous"]), (&json!(id), &json!(true)));
        let cancel = json!({"replication_id": id, "cancel": true});
        assert_eq!(route.asked.post("/_replicate", &cancel)["_local_id"], id);
        assert_eq!((route.asked.jobs(), route.asked.replication_tasks()), (vec![], vec![]));
        let (status, missing) = route.asked.ask_json("POST", "/_replicate", Some(&cancel));
        assert_eq!((status, &missing["reason"]), (404, &json!("missing")));
    });
}
