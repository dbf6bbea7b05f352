//! Files there and back, and files that are not what they should be.

use std::fs::File;
use std::io::Write as _;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::reader::{Batch, Document};
use super::{
    ArchiveError, ArchiveReader, ArchiveWriter, Header, ImportTarget, NewDocument, Tally,
    TransferError, Truncated, export, import,
};
use crate::database::{Base, Edit, EditAttachment, NoFunctions, Source};
use crate::document::incoming::{self, Limits};
use crate::document::revtree::Node;
use crate::document::{DocId, Encoding};
use crate::replicator::simulation::edits::Writer;
use crate::replicator::simulation::simulate;
use crate::replicator::simulation::site::{self, Site};
use crate::replicator::simulation::stage::Stage;
use crate::replicator::{Answer, LocalPeer, Peer, WriteFailure};

const SEEDS: u64 = 100;
/// Requests of edits that make a database.
const CHANGES: usize = 40;

impl ImportTarget for LocalPeer {
    fn write_new<'a>(&'a self, documents: &'a [NewDocument]) -> Answer<'a, Vec<WriteFailure>> {
        panic!("nothing is new here: {documents:?}")
    }
}

fn sites() -> [Site; 2] {
    let server = site::server(Arc::default(), Arc::new(NoFunctions));
    ["source", "target"].map(|name| {
        let site = Site::new(&server, name);
        site.create();
        site
    })
}

/// A document with one attachment of zeros.
fn with_attachment(site: &Site, id: &str, length: usize) -> Edit {
    let mut upload = site.db().upload();
    upload.write(&vec![0; length]).unwrap();
    let blob = upload.finish(Encoding::Identity, length as u64).unwrap();
    let source = Source::Bytes { content_type: "a/b".to_owned(), blob };
    let incoming = incoming::parse(b"{\"n\":1}", &Limits::default()).unwrap();
    Edit {
        id: DocId::parse(id).unwrap(),
        base: Base::New,
        deleted: false,
        body: incoming.body,
        body_term: incoming.body_term,
        attachments: vec![EditAttachment { name: "zeros".to_owned(), revpos: None, source }],
    }
}

async fn exported(site: &Site) -> Vec<u8> {
    let security = Map::from_iter([("members".to_owned(), json!({}))]);
    let header = Header::new("source", false, security);
    let writer = ArchiveWriter::new(Vec::new(), &header).unwrap();
    let (source, tally): (Arc<dyn Peer>, _) = (Arc::new(site.peer()), Tally::default());
    let file = export(&source, writer, &tally).await.unwrap();
    assert_eq!((tally.written(), tally.failed()), (tally.documents(), 0));
    file
}

fn reader(bytes: &[u8], truncated: Truncated) -> Result<ArchiveReader, ArchiveError> {
    let mut file: File = tempfile::tempfile().unwrap();
    file.write_all(bytes).unwrap();
    ArchiveReader::open(file, truncated)
}

async fn imported(bytes: &[u8], site: &Site) -> Result<Arc<Tally>, TransferError> {
    let tally = Arc::new(Tally::default());
    import(&site.peer(), reader(bytes, Truncated::Refuse)?, &tally).await?;
    Ok(tally)
}

/// Every leaf's way back to its root.
fn trees(site: &Site) -> Vec<(String, Vec<String>)> {
    let db = site.db();
    let ids = site.contents().into_keys();
    let trees = ids.map(|id| {
        let tree = db.head(&DocId::parse(&id).unwrap()).unwrap().unwrap().tree;
        let mut revs: Vec<String> =
            tree.nodes().iter().map(Node::rev).map(|rev| rev.to_string()).collect();
        revs.sort();
        (id, revs)
    });
    trees.collect()
}

#[test]
fn databases_come_back_as_they_were() {
    for seed in 0..SEEDS {
        simulate(async {
            let [source, target] = sites();
            let writer = Writer::new(&Stage::new(seed, false).actor(0, "writer"));
            for _ in 0..CHANGES {
                writer.change(&source).await;
            }
            let file = exported(&source).await;
            let tally = imported(&file, &target).await.unwrap();
            assert_eq!(tally.failed(), 0, "seed {seed}: {:?}", tally.failures());
            assert_eq!(tally.bytes(), file.len() as u64);
            assert_eq!(target.contents(), source.contents(), "seed {seed}");
            assert_eq!(trees(&target), trees(&source), "seed {seed}");

            let again = imported(&file, &target).await.unwrap();
            assert_eq!((again.documents(), again.written()), (tally.documents(), 0));
        });
    }
}

#[test]
fn large_attachments_are_written_as_they_come() {
    simulate(async {
        let [source, target] = sites();
        let lengths = [0, 1, 196_607, 196_608, 196_609, 3_000_000];
        let edits = lengths.map(|length| with_attachment(&source, &length.to_string(), length));
        source.edit(edits.to_vec()).await;
        let file = exported(&source).await;
        assert!(file.split(|byte| *byte == b'\n').all(|line| line.len() < 300_000));
        let tally = imported(&file, &target).await.unwrap();
        assert_eq!((tally.written(), tally.failed()), (6, 0));
        assert_eq!(target.contents(), source.contents());
    });
}

#[test]
fn a_file_that_was_cut_is_noticed() {
    simulate(async {
        let [source, target] = sites();
        let lengths = [10, 200_000].map(|length| with_attachment(&source, "x", length));
        let [small, large] = lengths;
        let large = Edit { id: DocId::parse("y").unwrap(), ..large };
        source.edit(vec![small, large]).await;
        let file = exported(&source).await;
        let header = file.iter().position(|byte| *byte == b'\n').unwrap();
        let mut documents = 0;
        for end in (header..file.len()).step_by(997).chain([file.len() - 3]) {
            let error = reader(&file[..end], Truncated::Refuse).err();
            assert!(matches!(error, Some(ArchiveError::Truncated)), "{end}: {error:?}");
            let tally = Arc::new(Tally::default());
            let taken = reader(&file[..end], Truncated::Take).unwrap();
            import(&target.peer(), taken, &tally).await.unwrap();
            assert!(tally.documents() >= documents, "{end}");
            documents = tally.documents();
        }
        assert_eq!(documents, 2);
        assert_eq!(target.contents(), source.contents());
    });
}

/// A file of these lines after a header.
fn file(lines: &[Value]) -> Vec<u8> {
    let mut file = Vec::new();
    writeln!(file, "{}", json!({"settee_export": 1, "db_name": "source"})).unwrap();
    for line in lines {
        writeln!(file, "{line}").unwrap();
    }
    file
}

fn end(docs: u64) -> Value {
    json!({"settee_export_end": 1, "docs": docs})
}

fn document(id: &str) -> Value {
    json!({"_id": id, "_rev": "1-a"})
}

/// A document with an attachment of the bytes `abcd`.
fn described() -> Value {
    let stub = json!({"content_type": "a/b", "digest": "md5-4vxxTEcn7pOV8yTNLn8zHw==",
        "length": 4, "revpos": 1, "stub": true});
    json!({"_id": "x", "_rev": "1-a", "_attachments": {"t": stub}})
}

fn attachment(name: &str, length: u64) -> Value {
    json!({"attachment": name, "length": length, "encoding": "identity"})
}

fn data(data: &str) -> Value {
    json!({ "data": data })
}

#[test]
fn broken_files_are_told_with_their_line() {
    simulate(async {
        let check = async |lines: &[Value], expect: &str| {
            let [_, target] = sites();
            let told = match imported(&file(lines), &target).await {
                Ok(tally) => format!("{} written, {:?}", tally.written(), tally.failures()),
                Err(error) => error.to_string(),
            };
            assert!(told.starts_with(expect), "{lines:?}: {told}");
        };
        let (good, whole) = (attachment("t", 4), data("YWJjZA=="));
        check(&[end(0)], "0 written, []").await;
        check(&[document("a"), end(1)], "1 written, []").await;
        check(&[described(), good.clone(), whole.clone(), end(1)], "1 written, []").await;
        check(&[described(), good.clone(), data("YWJj"), data("ZA=="), end(1)], "1 written, []")
            .await;
        check(&[document("a"), end(2)], "the file should have 2 documents, but has 1").await;
        check(&[end(0), document("a"), end(1)], "line 3: the file goes on after its end").await;
        check(&[json!({"a": 1}), end(1)], "line 2: ").await;
        check(&[json!({"_id": "a", "_rev": "x"}), end(1)], "line 2: Invalid rev format").await;
        check(&[described(), end(1)], "line 3: ").await;
        check(&[described(), attachment("u", 4), whole.clone(), end(1)], "line 3: ").await;
        check(&[described(), attachment("t", 3), data("YWJj"), end(1)], "line 3: ").await;
        check(&[described(), good.clone(), end(1)], "line 4: ").await;
        check(&[described(), good.clone(), data(""), end(1)], "line 4: ").await;
        check(&[described(), good.clone(), data("YWJjZGU="), end(1)], "line 4: ").await;
        for other in ["YWJjZQ==", "YW?jZA=="] {
            let lines = [described(), good.clone(), data(other), document("y"), end(2)];
            let told = "1 written, [WriteFailure { id: \"x\", error: \"bad_attachment\"";
            check(&lines, told).await;
        }
        let skipped = json!({"skipped": "gone"});
        let told = "1 written, [WriteFailure { id: \"x\", error: \"skipped\", reason: \"gone\"";
        check(&[described(), skipped.clone(), document("y"), end(1)], told).await;
        check(&[described(), good, data("YWJj"), skipped, document("y"), end(1)], told).await;
    });
    let newer = reader(b"{\"settee_export\":2,\"db_name\":\"a\"}\n", Truncated::Take);
    assert!(matches!(newer.err(), Some(ArchiveError::Version(2))));
}

#[test]
fn depth_fails_a_document_alone() {
    simulate(async {
        let [_, target] = sites();
        let deep = format!(
            "{{\"_id\":\"deep\",\"_rev\":\"1-a\",\"a\":{}{}}}",
            "[".repeat(100_000),
            "]".repeat(100_000)
        );
        let lines = file(&[document("a"), end(2)]);
        let text = String::from_utf8(lines).unwrap().replacen('\n', &format!("\n{deep}\n"), 1);
        let tally = imported(text.as_bytes(), &target).await.unwrap();
        assert_eq!((tally.written(), tally.failed()), (1, 1), "{:?}", tally.failures());
    });
}

#[test]
fn changed_bytes_never_end_in_a_panic() {
    simulate(async {
        let [source, _] = sites();
        let actor = Stage::new(7, false).actor(0, "vandal");
        let writer = Writer::new(&actor);
        for _ in 0..10 {
            writer.change(&source).await;
        }
        let file = exported(&source).await;
        let (mut read, mut refused) = (0, 0);
        for _ in 0..300 {
            let [_, target] = sites();
            let mut changed = file.clone();
            for _ in 0..=actor.below(3) {
                let at = actor.below(changed.len());
                match actor.below(3) {
                    0 => changed[at] = *actor.pick(b"{}[]\",:\\0\n\x00\xff"),
                    1 => drop(changed.drain(at..(at + 20).min(changed.len()))),
                    _ => changed.insert(at, *actor.pick(b"{}[]\"\\")),
                }
            }
            match imported(&changed, &target).await {
                Ok(_) => read += 1,
                Err(_) => refused += 1,
            }
        }
        assert!(read > 0 && refused > 0, "{read} read, {refused} refused");
    });
}

/// Ids with revisions in the order in which they are written, design documents after a bar.
fn ids(bytes: &[u8]) -> Vec<String> {
    let mut reader = reader(bytes, Truncated::Refuse).unwrap();
    let mut ids = Vec::new();
    let mut add = |batch: Batch| {
        ids.extend(batch.documents.iter().map(|document| match document {
            Document::Replicated(known) => format!("{} {}", known.revision.id, known.revision.rev),
            Document::New(new) => new.id.clone(),
        }));
        ids.extend(batch.failures.into_iter().map(|failure| format!("{}!", failure.id)));
    };
    while let Some(batch) = reader.next_batch().unwrap() {
        add(batch);
    }
    add(Batch::default());
    let deferred = reader.deferred();
    add(deferred);
    ids
}

#[test]
fn files_of_other_tools_are_read() {
    let check = |text: &str, expect: &[&str]| assert_eq!(ids(text.as_bytes()), expect, "{text}");
    check("", &[]);
    check("{\"_id\":\"a\"}\n{\"_id\":\"b\",\"_rev\":\"1-c\"}", &["a", "b 1-c"]);
    check("[{\"_id\":\"_design/d\"},{\"_id\":\"a\"}]", &["a", "_design/d"]);
    check("{\"docs\":[{\"_id\":\"a\"}]}", &["a"]);
    check("[{\"_id\":\"a\",\"_rev\":\"1-b\"}]\n[{\"_id\":\"c\"}]\n", &["a 1-b", "c"]);
    check(
        "{\"total_rows\":2,\"offset\":0,\"rows\":[\n\
         {\"id\":\"a\",\"key\":\"a\",\"value\":{\"rev\":\"1-b\"},\
         \"doc\":{\"_id\":\"a\",\"_rev\":\"1-b\"}},\n\
         {\"id\":\"c\",\"key\":\"c\",\"value\":{\"rev\":\"1-d\"},\
         \"doc\":{\"_id\":\"c\",\"_rev\":\"1-d\",\"_attachments\":{\"t\":{\"stub\":true}}}}\n]}\n",
        &["a 1-b", "c!"],
    );
    // A document may be about exports.
    check("{\"_id\":\"a\",\"settee_export\":1}", &["a"]);
    check("{\"settee_export\":\"x\",\"_id\":\"a\"}", &["a"]);
}
