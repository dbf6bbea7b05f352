//! Round trips of all values, and broken ones.

use proptest::prelude::*;

use super::*;
use crate::document::Revisions;

fn rev_hash() -> impl Strategy<Value = RevHash> {
    prop_oneof![
        any::<[u8; 16]>().prop_map(RevHash::Md5),
        "[a-z]{1,8}".prop_map(|t| RevHash::parse(&t))
    ]
}

fn rev() -> impl Strategy<Value = Rev> {
    (1u64..2000, rev_hash()).prop_map(|(generation, hash)| Rev { generation, hash })
}

fn tree() -> impl Strategy<Value = RevTree> {
    let path = (1u64..4, proptest::collection::vec(rev_hash(), 1..6), any::<bool>());
    proptest::collection::vec(path, 1..4).prop_map(|paths| {
        let mut tree = RevTree::default();
        for (above, ids, deleted) in paths {
            tree.merge(&Revisions { start: above + ids.len() as u64, ids }, deleted);
        }
        tree
    })
}

fn leaves() -> impl Strategy<Value = Vec<(Rev, bool)>> {
    proptest::collection::vec((rev(), any::<bool>()), 1..4)
}

fn attachment() -> impl Strategy<Value = Attachment> {
    let parts = (".{1,9}", any::<[u8; 16]>(), any::<u64>(), any::<bool>());
    parts.prop_map(|(name, digest, length, gzip)| Attachment {
        name,
        content_type: "text/plain".into(),
        digest: Digest(digest),
        length,
        encoded_length: length / 2,
        encoding: if gzip { Encoding::Gzip } else { Encoding::Identity },
        revpos: 3,
    })
}

proptest! {
    #[test]
    fn heads_round_trip(tree in tree(), seq: u64, external_bytes: u64) {
        let head = Head { seq, external_bytes, tree };
        let value = head.encode();
        prop_assert_eq!(&Head::decode(&value).unwrap(), &head);
        let winner = head.tree.winner().unwrap();
        let summary = HeadSummary { winner: winner.rev(), deleted: winner.deleted };
        prop_assert_eq!(HeadSummary::decode(&value).unwrap(), summary);
    }

    #[test]
    fn changes_round_trip(id in "[a-zé]{1,9}", deleted: bool, leaves in leaves()) {
        let change = Change { id: DocId::parse(&id).unwrap(), deleted, leaves };
        prop_assert_eq!(Change::decode(&change.encode()).unwrap(), change);
    }

    #[test]
    fn bodies_round_trip(
        rev in rev(), deleted: bool, body in ".{0,40}",
        attachments in proptest::collection::vec(attachment(), 0..3),
    ) {
        let id = DocId::parse("a").unwrap();
        let value = encode_body(deleted, &attachments, body.as_bytes());
        let document = decode_body(id.clone(), rev.clone(), value).unwrap();
        let body = Bytes::from(body);
        prop_assert_eq!(document, Document { id, rev, deleted, body, attachments });
    }

    #[test]
    fn counters_round_trip(numbers: [u64; 7]) {
        let state = State {
            update_seq: numbers[0],
            purge_seq: numbers[1],
            doc_count: numbers[2],
            doc_del_count: numbers[3],
            external_bytes: numbers[4],
            obsolete_bytes: numbers[5],
            local_doc_count: numbers[6],
        };
        prop_assert_eq!(State::decode(&state.encode()).unwrap(), state);
    }

    #[test]
    fn broken_values_are_errors(value in proptest::collection::vec(any::<u8>(), 0..60)) {
        let mut versioned = vec![VERSION];
        versioned.extend_from_slice(&value);
        for value in [value, versioned] {
            let _ = (Head::decode(&value), HeadSummary::decode(&value), Change::decode(&value));
            let _ = (State::decode(&value), Blob::decode(&value), Purge::decode(&value));
            let id = DocId::parse("a").unwrap();
            let _ = decode_body(id, Rev::parse("1-a").unwrap(), value);
        }
    }

    #[test]
    fn a_truncated_head_is_an_error(tree in tree(), cut in 0usize..20) {
        let value = Head { seq: 9, external_bytes: 4, tree }.encode();
        let kept = value.len().saturating_sub(cut + 1);
        prop_assert!(Head::decode(&value[..kept]).is_err());
    }
}

#[test]
fn the_small_values_round_trip() {
    let entry = DatabaseEntry {
        number: DbNumber(300),
        incarnation: u64::MAX - 1,
        created_s: 1_795_303_397,
        partitioned: true,
        q: 16,
    };
    assert_eq!(DatabaseEntry::decode(&entry.encode()).unwrap(), entry);
    let blob = Blob { id: BlobId([7; 16]), encoded_length: 1 << 40, sha1: [9; 20] };
    assert_eq!(Blob::decode(&blob.encode()).unwrap(), blob);
    let local = Local { rev: 12, body: Bytes::from_static(b"{\"a\":1}") };
    assert_eq!(Local::decode(&local.encode()).unwrap(), local);
    let purge = Purge {
        id: DocId::parse("x").unwrap(),
        revs: vec![Rev::parse("1-a").unwrap()],
        purged_s: 300,
    };
    assert_eq!(Purge::decode(&purge.encode()).unwrap(), purge);
    for kind in [EventKind::Created, EventKind::Updated, EventKind::Deleted] {
        let event = Event { name: "db/é".into(), kind };
        assert_eq!(Event::decode(&event.encode()).unwrap(), event);
    }
    assert_eq!(decode_number(Table::Databases, &encode_number(1000)).unwrap(), 1000);
    assert_eq!(decode_json(Table::Databases, &encode_json(b"{}")).unwrap(), b"{}");
}
