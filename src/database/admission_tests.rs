//! Admission with validation functions that are rules of this test instead of programs.

use std::sync::{Arc, Mutex};

use serde_json::Value;

use super::*;
use crate::design::{Ddoc, FunctionError, Question, Validator};
use crate::document::{DocId, Rev, RevHash, Revisions, incoming};
use crate::storage::MemoryEngine;

/// Refuses documents whose text, or whose old text, has the function's source in it; notes what
/// it was asked.
#[derive(Debug, Default)]
struct Rules {
    asked: Mutex<Vec<String>>,
}

impl Rules {
    /// What was asked since it was last looked at.
    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

impl Validator for Rules {
    fn validate_all(
        &self,
        ddoc: &Ddoc,
        questions: &[Question],
        user: &str,
        security: &str,
    ) -> Vec<Result<(), FunctionError>> {
        let rule = ddoc.body.get("validate_doc_update").and_then(Value::as_str).unwrap();
        let ask = |Question { new, old }: &Question| {
            let asked = format!("{}: {new} {old} {user} {security}", ddoc.name());
            self.asked.lock().unwrap().push(asked);
            let refused = new.contains(rule) || old.contains(rule);
            if refused { Err(refusal(ddoc.name())) } else { Ok(()) }
        };
        questions.iter().map(ask).collect()
    }
}

fn refusal(ddoc: &str) -> FunctionError {
    FunctionError::InvalidAnswer(ddoc.to_owned())
}

struct Fixture {
    rules: Arc<Rules>,
    db: Arc<Database>,
    _registry: Registry,
}

fn fixture() -> Fixture {
    let (rules, engine) = (Arc::new(Rules::default()), Arc::new(MemoryEngine::new()));
    let registry = Registry::open(engine, b"{}".as_slice().into(), rules.clone()).unwrap();
    let name = DatabaseName::parse("db").unwrap();
    registry.create(&name, CreateOptions::default()).unwrap();
    let db = registry.get(&name).unwrap();
    Fixture { rules, db, _registry: registry }
}

fn edit(doc: &str, base: Base, body: &str) -> Edit {
    let incoming = incoming::parse(body.as_bytes(), &incoming::Limits::default()).unwrap();
    Edit {
        id: DocId::parse(doc).unwrap(),
        base,
        deleted: incoming.deleted,
        body: incoming.body,
        body_term: incoming.body_term,
        attachments: Vec::new(),
    }
}

fn ann() -> Author {
    Author::User { name: Some("ann".to_owned()), roles: vec!["r".to_owned()] }
}

/// Writes as a request does: unasked where that is known, else asked.
fn write(db: &Arc<Database>, edits: Vec<Edit>) -> Vec<EditOutcome> {
    let admitted = match db.admit_unasked(edits) {
        Ok(admitted) => admitted,
        Err(edits) => db.admit(edits, &ann()).unwrap(),
    };
    db.edit(admitted).unwrap().wait().unwrap()
}

fn put(db: &Arc<Database>, doc: &str, base: Base, body: &str) -> Rev {
    match write(db, vec![edit(doc, base, body)]).remove(0) {
        EditOutcome::Saved(rev) => rev,
        other => panic!("not saved: {other:?}"),
    }
}

/// Saves a design document whose function refuses texts with `rule` in them.
fn add_rule(db: &Arc<Database>, name: &str, base: Base, rule: &str) -> Rev {
    let body = format!(r#"{{"validate_doc_update":"{rule}"}}"#);
    put(db, &format!("_design/{name}"), base, &body)
}

fn replicated(path: &str) -> Base {
    let ids: Vec<RevHash> = path.split(' ').rev().map(RevHash::parse).collect();
    Base::Replicated(Revisions { start: ids.len() as u64, ids })
}

fn refused(ddoc: &str) -> EditOutcome {
    EditOutcome::Refused(refusal(ddoc))
}

#[test]
fn functions_are_asked_in_order_until_one_refuses() {
    let Fixture { rules, db, .. } = fixture();
    add_rule(&db, "b", Base::New, "bad-b");
    add_rule(&db, "a", Base::New, "bad-a");
    put(&db, "_design/c", Base::New, r#"{"views":{}}"#);
    assert_eq!(rules.asked(), [""; 0], "design documents are not asked about");
    db.set_security(br#"{"s":1}"#.to_vec()).unwrap().wait().unwrap();

    put(&db, "x", Base::New, r#"{"n":1}"#);
    let context = r#"{"db":"db","name":"ann","roles":["r"]} {"s":1}"#;
    let asked = |ddoc: &str| format!(r#"{ddoc}: {{"_id":"x","n":1}} null {context}"#);
    assert_eq!(rules.asked(), [asked("a"), asked("b")]);
    let both = vec![
        edit("y1", Base::New, r#"{"n":"bad-b"}"#),
        edit("y2", Base::New, "{}"),
        edit("y3", Base::New, r#"{"n":"bad-a bad-b"}"#),
    ];
    let outcomes = write(&db, both);
    assert_eq!((&outcomes[0], &outcomes[2]), (&refused("b"), &refused("a")));
    assert!(matches!(outcomes[1], EditOutcome::Saved(_)));
    let asked = rules.asked();
    assert_eq!(asked.iter().filter(|asked| asked.contains("y3")).count(), 1);
    assert!(db.head(&DocId::parse("y1").unwrap()).unwrap().is_none());
}

#[test]
fn a_change_of_a_design_document_counts_at_once() {
    let Fixture { rules, db, .. } = fixture();
    put(&db, "x1", Base::New, r#"{"n":"bad"}"#);
    assert!(db.admit_unasked(Vec::new()).is_err(), "there may be functions");
    put(&db, "x2", Base::New, "{}");
    assert!(db.admit_unasked(Vec::new()).is_ok(), "now it is known that there are none");
    let first = add_rule(&db, "d", Base::New, "bad");
    let bad = |doc: &str| write(&db, vec![edit(doc, Base::New, r#"{"n":"bad"}"#)]).remove(0);
    assert_eq!(bad("y1"), refused("d"));
    let second = add_rule(&db, "d", Base::On(first), "worse");
    assert!(matches!(bad("y2"), EditOutcome::Saved(_)));
    let third = add_rule(&db, "d", Base::On(second), "bad");
    assert_eq!(bad("y3"), refused("d"));
    let gone = put(&db, "_design/d", Base::On(third), r#"{"_deleted":true}"#);
    assert!(matches!(bad("y4"), EditOutcome::Saved(_)));
    // A conflict may win over the tombstone, and a purge may bring back what it hid.
    write(&db, vec![edit("_design/d", replicated("x"), r#"{"validate_doc_update":"bad"}"#)]);
    assert_eq!(bad("y5"), refused("d"));
    let revs = vec![Rev::parse("1-x").unwrap(), gone];
    db.purge(vec![(DocId::parse("_design/d").unwrap(), revs)]).unwrap().wait().unwrap();
    assert!(matches!(bad("y6"), EditOutcome::Saved(_)));
    assert!(!rules.asked().is_empty());
}

#[test]
fn the_server_asks_nobody() {
    let Fixture { rules, db, .. } = fixture();
    add_rule(&db, "d", Base::New, "bad");
    let edits = vec![edit("x", Base::New, r#"{"n":"bad"}"#)];
    let admitted = db.admit(edits, &Author::Server).unwrap();
    assert!(matches!(db.edit(admitted).unwrap().wait().unwrap()[0], EditOutcome::Saved(_)));
    assert_eq!(rules.asked(), [""; 0]);
}

/// What was asked, without the user and the security object.
fn questions(rules: &Rules) -> Vec<String> {
    let end = r#" {"db":"db","name":"ann","roles":["r"]} {}"#;
    let question =
        |asked: String| asked.strip_prefix("d: ").unwrap().strip_suffix(end).unwrap().to_owned();
    rules.asked().into_iter().map(question).collect()
}

#[test]
fn interactive_edits_are_compared_with_their_parents() {
    let Fixture { rules, db, .. } = fixture();
    add_rule(&db, "d", Base::New, "never");
    let first = put(&db, "a", Base::New, r#"{"n":1}"#);
    rules.asked();
    let second = put(&db, "a", Base::On(first.clone()), r#"{"_deleted":true}"#);
    let hash = |rev: &Rev| rev.hash.to_string();
    let of_first = format!(r#""_revisions":{{"start":1,"ids":["{}"]}}"#, hash(&first));
    assert_eq!(
        questions(&rules),
        [format!(
            r#"{{"_id":"a","_rev":"{first}","_deleted":true,{of_first}}} {{"_id":"a","_rev":"{first}","n":1,{of_first}}}"#
        )]
    );
    // A tombstone is continued as if there were nothing, unless it is named.
    put(&db, "a", Base::New, r#"{"n":3}"#);
    assert_eq!(questions(&rules), [r#"{"_id":"a","n":3} null"#]);
    put(&db, "b", replicated("x y"), r#"{"_deleted":true}"#);
    rules.asked();
    put(&db, "b", Base::On(Rev::parse("2-y").unwrap()), "{}");
    assert_eq!(
        questions(&rules),
        [
            r#"{"_id":"b","_rev":"2-y","_revisions":{"start":2,"ids":["y"]}} {"_id":"b","_rev":"2-y","_deleted":true,"_revisions":{"start":2,"ids":["y","x"]}}"#
        ]
    );
    // Conflicts need no question.
    for base in [Base::New, Base::On(first), Base::On(second), Base::On(Rev::parse("9-z").unwrap())]
    {
        let outcome = write(&db, vec![edit("a", base, "{}")]);
        assert_eq!(outcome, [EditOutcome::Conflict]);
    }
    let unknown = edit("none", Base::On(Rev::parse("1-z").unwrap()), "{}");
    assert_eq!(write(&db, vec![unknown]), [EditOutcome::Conflict]);
    assert_eq!(rules.asked(), [""; 0]);
}

#[test]
fn replicated_edits_are_compared_with_the_newest_ancestor_that_is_there() {
    let Fixture { rules, db, .. } = fixture();
    add_rule(&db, "d", Base::New, "never");
    put(&db, "a", replicated("x y"), r#"{"n":2}"#);
    assert_eq!(
        questions(&rules),
        [r#"{"_id":"a","_rev":"2-y","n":2,"_revisions":{"start":2,"ids":["y","x"]}} null"#]
    );
    write(&db, vec![edit("a", replicated("x y"), r#"{"n":2}"#), edit("a", replicated("x"), "{}")]);
    assert_eq!(rules.asked(), [""; 0], "what is known is not asked about");
    put(&db, "a", replicated("x y z w"), r#"{"n":4}"#);
    let old = r#"{"_id":"a","_rev":"2-y","n":2,"_revisions":{"start":2,"ids":["y","x"]}}"#;
    let asked = questions(&rules);
    assert!(asked[0].ends_with(old), "{asked:?}");
    put(&db, "a", replicated("x v"), r#"{"n":5}"#);
    let asked = questions(&rules);
    assert!(asked[0].ends_with(" null"), "no body of 1-x: {asked:?}");
}

#[test]
fn many_documents_are_asked_about_in_order() {
    let Fixture { db, .. } = fixture();
    add_rule(&db, "d", Base::New, "bad");
    let body = |number: usize| if number.is_multiple_of(3) { r#"{"n":"bad"}"# } else { "{}" };
    let edits: Vec<Edit> =
        (0..1000).map(|number| edit(&format!("{number:04}"), Base::New, body(number))).collect();
    let outcomes = write(&db, edits);
    for (number, outcome) in outcomes.iter().enumerate() {
        match outcome {
            EditOutcome::Saved(_) => assert_ne!(number % 3, 0),
            other => assert_eq!((other, number % 3), (&refused("d"), 0)),
        }
    }
    assert_eq!(db.state().doc_count, 667);
}

#[test]
fn stubs_are_shown_or_missing() {
    let Fixture { rules, db, .. } = fixture();
    add_rule(&db, "d", Base::New, "text/bad");
    let with = |mut edit: Edit, source: Source| {
        let attachment = EditAttachment { name: "x".to_owned(), revpos: None, source };
        edit.attachments.push(attachment);
        edit
    };
    let upload = |content_type: &str| {
        let mut upload = db.upload();
        upload.write(b"abc").unwrap();
        let blob = upload.finish(crate::document::Encoding::Identity, 3).unwrap();
        Source::Bytes { content_type: content_type.to_owned(), blob }
    };
    let bad = with(edit("a", Base::New, "{}"), upload("text/bad"));
    assert_eq!(write(&db, vec![bad]), [refused("d")]);
    let stub = with(edit("a", Base::New, "{}"), Source::Stub);
    assert_eq!(write(&db, vec![stub]), [EditOutcome::MissingStub { name: "x".to_owned() }]);
    let fine = with(edit("a", Base::New, "{}"), upload("text/fine"));
    rules.asked();
    let EditOutcome::Saved(rev) = write(&db, vec![fine]).remove(0) else { panic!("not saved") };
    let new = r#"{"_id":"a","_attachments":{"x":{"content_type":"text/fine","revpos":0,"length":3,"stub":true}}} null"#;
    assert_eq!(questions(&rules), [new]);
    let kept = with(edit("a", Base::On(rev), "{}"), Source::Stub);
    assert!(matches!(write(&db, vec![kept])[0], EditOutcome::Saved(_)));
    let stub = r#""_attachments":{"x":{"content_type":"text/fine","revpos":1,"digest":"md5-kAFQmDzST7DWlj99KOF/cg==","length":3,"stub":true}}}"#;
    assert_eq!(questions(&rules)[0].matches(stub).count(), 2);
}
