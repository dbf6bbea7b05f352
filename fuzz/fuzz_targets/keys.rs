//! No stored byte is trusted: whatever stands in a key or a value is read or refused, and what is
//! read is written alike. Keys of JSON values sort as the values do.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use settee_fuzz::collation;
use settee_fuzz::document::{DocId, Rev, RevHash};
use settee_fuzz::storage::values::{
    Blob, Change, DatabaseEntry, Event, Head, HeadSummary, Local, Purge, State, decode_body,
};
use settee_fuzz::storage::view_values::{Block, IndexEntry, ViewRow, decode_emits};
use settee_fuzz::storage::{keys, view_keys};

macro_rules! rewritten {
    ($value:expr, $($kind:ty),*) => {$(
        if let Ok(read) = <$kind>::decode($value) {
            let written = read.encode();
            assert_eq!(<$kind>::decode(&written).expect("what is written").encode(), written);
        }
    )*};
}

fn stored(data: &[u8]) {
    rewritten!(data, DatabaseEntry, State, Head, Change, Blob, Local, Event, Purge, IndexEntry);
    rewritten!(data, ViewRow<'_>);
    let _ = (HeadSummary::decode(data), Block::decode(data), decode_emits(data));
    let (id, rev) = (DocId::parse("x"), Rev { generation: 1, hash: RevHash::Md5([0; 16]) });
    let _ = decode_body(id.expect("an id"), rev, data.to_vec());
    let _ = (keys::id_of(data), keys::database_name(data), keys::event_seq(data));
    let _ = (keys::upload_parts(data), keys::seq_of(data), keys::blob_digest(data));
    let _ = (view_keys::signature_of(data), view_keys::partition_end(data));
    let at = usize::from(data.first().copied().unwrap_or(0));
    let _ = (view_keys::place_of_row(data), view_keys::id_in_place(data, at));
    for end in [collation::key_end(data), collation::raw_key_end(data)].into_iter().flatten() {
        assert!(end <= data.len());
    }
    let _ = (collation::group_end(data, 2), collation::raw_group_end(data, 2));
}

fn sorted(data: &[u8]) {
    let mut values = serde_json::Deserializer::from_slice(data).into_iter::<Value>();
    let (Some(Ok(one)), Some(Ok(two))) = (values.next(), values.next()) else { return };
    let key = |write: fn(&mut Vec<u8>, &Value), value: &Value| {
        let mut key = Vec::new();
        write(&mut key, value);
        key
    };
    let keys = [&one, &two].map(|value| key(collation::write_key, value));
    assert_eq!(keys[0].cmp(&keys[1]), collation::compare(&one, &two));
    assert_eq!(collation::key_end(&keys[0]), Some(keys[0].len()));
    let raw = [&one, &two].map(|value| key(collation::write_raw_key, value));
    assert_eq!(raw[0].cmp(&raw[1]), collation::compare_raw(&one, &two));
    assert_eq!(collation::raw_key_end(&raw[0]), Some(raw[0].len()));
}

fuzz_target!(|data: &[u8]| {
    stored(data);
    sorted(data);
});
