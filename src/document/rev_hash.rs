//! Revision hashes that are byte for byte CouchDB's.
//!
//! The hash is the MD5 of `[Deleted, OldStart, OldRev, Body, Attachments]` in Erlang's external
//! term format (`couch_db:new_revid`). Servers that make the same edit to the same revision so
//! come to the same revision, and replication between them finds no conflict.

use md5::{Digest as _, Md5};

use super::json::term::{
    VERSION, put_atom, put_binary, put_integer, put_list_head, put_nil, put_tuple_head,
};
use super::{Digest, Rev};

/// The hash of the revision that a write makes on top of `parent`.
///
/// `body_term` is `Incoming::body_term`; `attachments` are name, content type and the digest of
/// the stored bytes, in the order of the document.
pub fn rev_hash<'a>(
    deleted: bool,
    parent: Option<&Rev>,
    body_term: &[u8],
    attachments: impl Iterator<Item = (&'a str, &'a str, &'a Digest)>,
) -> [u8; 16] {
    let mut list = Vec::new();
    put_attachments(&mut list, attachments);
    hash(deleted, parent, body_term, &list)
}

/// The hash of the revision that a write without a revision makes on top of a tombstone.
///
/// CouchDB has made the attachments ready for the disk by then and finds none of the members
/// that it hashes, so that only their number counts.
pub fn recreated_rev_hash(tombstone: &Rev, body_term: &[u8], attachments: usize) -> [u8; 16] {
    let mut list = Vec::new();
    if attachments > 0 {
        put_list_head(&mut list, attachments);
    }
    for _ in 0..attachments {
        put_tuple_head(&mut list, 3);
        (0..3).for_each(|_| put_atom(&mut list, "undefined"));
    }
    put_nil(&mut list);
    hash(false, Some(tombstone), body_term, &list)
}

fn hash(deleted: bool, parent: Option<&Rev>, body_term: &[u8], attachments: &[u8]) -> [u8; 16] {
    let mut term = vec![VERSION];
    put_list_head(&mut term, 5);
    put_atom(&mut term, if deleted { "true" } else { "false" });
    put_integer(&mut term, parent.map_or(0, |rev| rev.generation).into());
    match parent {
        Some(rev) => put_binary(&mut term, rev.hash.as_bytes()),
        None => put_integer(&mut term, 0),
    }
    let mut md5 = Md5::new();
    md5.update(&term);
    md5.update(body_term);
    md5.update(attachments);
    term.clear();
    put_nil(&mut term);
    md5.update(&term);
    md5.finalize().into()
}

/// CouchDB collects the attachments to a list from its head, so they come in reverse order.
fn put_attachments<'a>(
    term: &mut Vec<u8>,
    attachments: impl Iterator<Item = (&'a str, &'a str, &'a Digest)>,
) {
    let attachments: Vec<_> = attachments.collect();
    if !attachments.is_empty() {
        put_list_head(term, attachments.len());
    }
    for (name, content_type, digest) in attachments.into_iter().rev() {
        put_tuple_head(term, 3);
        put_binary(term, name.as_bytes());
        put_binary(term, content_type.as_bytes());
        put_binary(term, &digest.0);
    }
    put_nil(term);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::RevHash;
    use crate::document::incoming::{self, Limits};

    fn parent(text: &str) -> Option<Rev> {
        (!text.is_empty()).then(|| Rev::parse(text).unwrap())
    }

    fn rev(deleted: bool, parent: Option<&Rev>, text: &str, digests: &[(&str, &str, &str)]) -> Rev {
        let digests: Vec<_> = digests
            .iter()
            .map(|(name, content_type, digest)| {
                (*name, *content_type, Digest::parse(digest).unwrap())
            })
            .collect();
        let attachments = digests.iter().map(|(name, kind, digest)| (*name, *kind, digest));
        let body = incoming::parse(text.as_bytes(), &Limits::default()).unwrap();
        let hash = rev_hash(deleted, parent, &body.body_term, attachments);
        let generation = parent.map_or(0, |rev| rev.generation) + 1;
        Rev { generation, hash: RevHash::Md5(hash) }
    }

    /// Recorded from CouchDB 3.5.
    #[test]
    fn a_recreated_document_counts_its_attachments_only() {
        let tombstone = Rev::parse("2-89d654b5bc6753b048897cdeada9fa29").unwrap();
        let body = incoming::parse(b"{}", &Limits::default()).unwrap();
        let hash = recreated_rev_hash(&tombstone, &body.body_term, 1);
        let expected = RevHash::parse("c7dbb06867c62e775fab85a4290de198");
        assert_eq!(RevHash::Md5(hash), expected);
        let without = recreated_rev_hash(&tombstone, &body.body_term, 0);
        let none = std::iter::empty();
        assert_eq!(without, rev_hash(false, Some(&tombstone), &body.body_term, none));
    }

    /// Recorded from CouchDB 3.5.
    const BODIES: &[(&str, &str)] = &[
        ("{}", "1-967a00dff5e02add41819138abb3284d"),
        (r#"{"key":1}"#, "1-c77eb5d5af83163c996ea42b61a9f0d8"),
        (r#"{"a":1}"#, "1-23202479633c2b380f79507a776743d5"),
        (r#"{"l":[1,2,3]}"#, "1-0b5e6864987003b42e9fc204c854ad1c"),
        (r#"{"l":[1,300]}"#, "1-cd80d098363f29e1fc9899403f889249"),
        (r#"{"f":1.5}"#, "1-57ed63b98994027f71d1ac46834c5cbe"),
        (r#"{"f":1.0}"#, "1-89543b1ef78a4652d1ba733784798e2c"),
        (r#"{"f":1e3}"#, "1-c07bd26761120bce05a9f2098b2c5ad2"),
        (r#"{"f":1e300}"#, "1-8e3a81228f62fad99c40246a8538670a"),
        (r#"{"f":-0.0}"#, "1-3ff82186abb05452be1f49506d770a3b"),
        (r#"{"n":null,"t":true}"#, "1-d5ac4be25dd8ec2be122f7670bb565ed"),
        (r#"{"i":-1}"#, "1-ff82841390d97bf0ee6ae2141545cfbf"),
        (r#"{"i":12345678901234567890}"#, "1-0c201cd460638db0d5314fb38c923a02"),
        (r#"{"s":"é"}"#, "1-8bfeadbb4053dc61dac2847a61df2c5f"),
        (r#"{"s":"\u00e9"}"#, "1-8bfeadbb4053dc61dac2847a61df2c5f"),
        (r#"{"e":[]}"#, "1-a51fe2cc5e70577deb621af6feb37bac"),
        (r#"{"o":{}}"#, "1-b9d3eaad49affbf4440280f7c64a7e60"),
        (r#"{"d":1,"d":2}"#, "1-501c375e3945d78c01371dbf4f8ae288"),
        (r#" { "_id": "x", "d" : 2 } "#, "1-501c375e3945d78c01371dbf4f8ae288"),
        (r#"{"a":1,"a":2}"#, "1-3975759ccff3842adf690a5c10caee42"),
        (r#"{"_revs_info":[],"_local_seq":1,"ok":1}"#, "1-b996aa815277ebdcc1d0e8364ff3118c"),
        (r#"{"n":1}"#, "1-731bef401491606a3b246ed178e697c1"),
        (r#"{"n":2}"#, "1-43a36d04d31d38efc5b9245c53e00627"),
    ];

    #[test]
    fn bodies_hash_as_in_couchdb() {
        for (text, expect) in BODIES {
            assert_eq!(rev(false, None, text, &[]).to_string(), *expect, "{text}");
        }
    }

    #[test]
    fn parents_and_tombstones_hash_as_in_couchdb() {
        for (deleted, parent_rev, text, expect) in [
            (
                false,
                "1-967a00dff5e02add41819138abb3284d",
                r#"{"a":1}"#,
                "2-4f54ab3740f3104eec1cf2ec2b0327ed",
            ),
            (
                true,
                "1-967a00dff5e02add41819138abb3284d",
                "{}",
                "2-eec205a9d413992850a6e32678485900",
            ),
            (
                false,
                "2-eec205a9d413992850a6e32678485900",
                r#"{"b":2}"#,
                "3-242b99c7064e501a975db510331887bd",
            ),
            (true, "", "{}", "1-de715bf126efc93d225d9e3f8e8eb81a"),
            (
                true,
                "",
                r#"{"why":"a tombstone with a body"}"#,
                "1-cd1165d749defd3aeaba3abd3659dc16",
            ),
        ] {
            assert_eq!(rev(deleted, parent(parent_rev).as_ref(), text, &[]).to_string(), expect);
        }
    }

    #[test]
    fn attachments_hash_as_in_couchdb() {
        const BINARY: &str = "application/octet-stream";
        const HELLO_WORLD: &str = "md5-XrY7u+Ae7tCTyyK7j1rNww==";
        const HELLO: &str = "md5-XUFAKrxLKna5cZ2REBfFkg==";
        for (digests, expect) in [
            (
                &[("a.txt", "text/plain", "md5-7mkg+nM0HN26sZkLN8KVSA==")][..],
                "1-241b32ea8a981eff9ec1cee92cb21a11",
            ),
            (&[("a.bin", BINARY, HELLO_WORLD)], "1-69917cca1e2ce7d9044e96295ca5844f"),
            (
                &[("a.bin", BINARY, HELLO_WORLD), ("b.bin", BINARY, HELLO)],
                "1-5e0700bc1eab5d71551de25117f6945c",
            ),
            (
                &[("hello.txt", "text/plain", "md5-yYQQ0SOchONN6qnhEJuGKg==")],
                "1-d121e79a15585d1abcb0e8764e349502",
            ),
        ] {
            assert_eq!(rev(false, None, "{}", digests).to_string(), expect);
        }
    }
}
