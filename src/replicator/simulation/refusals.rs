//! A target whose validation functions refuse documents.

use std::sync::Arc;

use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::database::{Base, Edit, EditAttachment, EditOutcome, Source};
use crate::design::{Ddoc, FunctionError, Question, Validator};
use crate::document::incoming::{self, Limits};
use crate::document::{DocId, Encoding, Rev};
use crate::replicator::{Ended, Progress};

use super::link;
use super::simulate;
use super::site::{self, Site};

/// Refuses what has the text of a design document's function in it.
#[derive(Debug)]
struct Rules;

impl Validator for Rules {
    fn validate_all(
        &self,
        ddoc: &Ddoc,
        questions: &[Question],
        _: &str,
        _: &str,
    ) -> Vec<Result<(), FunctionError>> {
        let rule = ddoc.body.get("validate_doc_update").and_then(Value::as_str).unwrap();
        let refusal = || Err(FunctionError::InvalidAnswer(rule.to_owned()));
        let ask = |question: &Question| {
            if question.new.contains(rule) { refusal() } else { Ok(()) }
        };
        questions.iter().map(ask).collect()
    }
}

fn edit(id: &str, base: Base, body: &str) -> Edit {
    let incoming = incoming::parse(body.as_bytes(), &Limits::default()).unwrap();
    Edit {
        id: DocId::parse(id).unwrap(),
        base,
        deleted: incoming.deleted,
        body: incoming.body,
        body_term: incoming.body_term,
        attachments: Vec::new(),
    }
}

fn with_attachment(mut edit: Edit, site: &Site) -> Edit {
    let mut upload = site.db().upload();
    upload.write(b"bytes").unwrap();
    let blob = upload.finish(Encoding::Identity, 5).unwrap();
    let source = Source::Bytes { content_type: "text/plain".to_owned(), blob };
    edit.attachments.push(EditAttachment { name: "a".to_owned(), revpos: None, source });
    edit
}

fn saved(outcome: &EditOutcome) -> Rev {
    match outcome {
        EditOutcome::Saved(rev) => rev.clone(),
        other => panic!("not saved: {other:?}"),
    }
}

#[test]
fn what_is_refused_is_counted_and_stops_nothing() {
    simulate(async {
        let server = site::server(Arc::default(), Arc::new(Rules));
        let (source, target) = (Site::new(&server, "source"), Site::new(&server, "target"));
        source.create();
        target.create();
        let rule = edit("_design/rule", Base::New, r#"{"validate_doc_update":"bad"}"#);
        target.edit(vec![rule]).await;
        let documents = (0..30).map(|number| {
            let body = if number % 3 == 0 { r#"{"is":"bad"}"# } else { r#"{"is":"good"}"# };
            let edit = edit(&format!("{number:02}"), Base::New, body);
            if number % 2 == 0 { with_attachment(edit, &source) } else { edit }
        });
        let outcomes = source.edit(documents.collect()).await;
        let replication = link::plain(&source, &target);
        let (progress, never) = (Progress::default(), CancellationToken::new());

        let ended = replication.run(&progress, &never).await.unwrap();
        assert!(matches!(ended, Ended::Completed(_)));
        let done = progress.snapshot().statistics;
        assert_eq!((done.docs_read, done.docs_written, done.doc_write_failures), (30, 20, 10));
        let (sent, mut there) = (source.contents(), target.contents());
        assert!(there.remove("_design/rule").is_some());
        assert_eq!(there.len(), 20);
        assert!(there.iter().all(|(id, leaves)| sent.get(id) == Some(leaves)));

        let ended = replication.run(&progress, &never).await.unwrap();
        assert!(matches!(ended, Ended::NoChanges(_)), "nobody asks again: {ended:?}");
        let better = edit("00", Base::On(saved(&outcomes[0])), r#"{"is":"better"}"#);
        source.edit(vec![better]).await;
        replication.run(&progress, &never).await.unwrap();
        let done = progress.snapshot().statistics;
        assert_eq!((done.docs_written, done.doc_write_failures), (21, 10));
        assert_eq!(target.contents().get("00"), source.contents().get("00"));
    });
}
