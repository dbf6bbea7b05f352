//! What is taken as a document reads back as the same document, alone and spliced; the documents
//! of a bulk request are found alike in a text and in its pieces.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use settee_fuzz::document::encode::{Extras, write_document};
use settee_fuzz::document::incoming::{BulkScanner, Limits, parse, parse_bulk};
use settee_fuzz::document::rev_hash::rev_hash;
use settee_fuzz::document::{DocId, Document, Rev, RevHash};

fn document(text: &[u8]) {
    let limits = Limits { depth_max: 100, integer_digits_max: 1000 };
    let Ok(incoming) = parse(text, &limits) else { return };
    let again = parse(&incoming.body, &limits).expect("a body is a document");
    assert_eq!(again.body, incoming.body);
    assert_eq!(again.body_term, incoming.body_term);
    let none = std::iter::empty();
    let hash = RevHash::Md5(rev_hash(false, None, &incoming.body_term, none));
    let document = Document {
        id: DocId::parse("x").expect("an id"),
        rev: Rev { generation: 1, hash },
        deleted: incoming.deleted,
        body: Bytes::from(incoming.body.clone()),
        attachments: Vec::new(),
    };
    let mut spliced = Vec::new();
    write_document(&mut spliced, &document, &Extras::default());
    let spliced = parse(&spliced, &limits).expect("what is sent can be read");
    assert_eq!(spliced.body, incoming.body);
    assert_eq!(spliced.id.as_deref(), Some("x"));
    assert_eq!(spliced.rev.as_ref(), Some(&document.rev));
    assert_eq!(spliced.deleted, incoming.deleted);
}

fn bulk(text: &[u8], size: usize) {
    let limits = Limits { depth_max: 100, integer_digits_max: 1000 };
    let mut scanner = BulkScanner::new(limits);
    let scanned = text.chunks(size).try_for_each(|piece| scanner.push(piece));
    let scanned = scanned.and_then(|()| scanner.finish());
    // The scanner looks no deeper than it must; each document is parsed later.
    if let (Ok(whole), Ok(spans)) = (parse_bulk(text, &limits), &scanned) {
        assert_eq!(whole.documents.len(), spans.documents.len());
        for (document, span) in whole.documents.iter().zip(&spans.documents) {
            let found = &text[span.start as usize..span.end as usize];
            assert_eq!(document.trim_ascii(), found.trim_ascii());
        }
        assert_eq!(whole.new_edits, spans.new_edits);
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((&size, text)) = data.split_first() else { return };
    document(text);
    bulk(text, usize::from(size % 32) + 1);
});
