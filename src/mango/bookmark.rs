//! Where a query goes on: the row that was read last, in CouchDB's form, an Erlang term in base64.
//!
//! Bookmarks come back from clients, so what is read is bounded in size and depth.

use std::io::{Read, Write};

use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;
use serde_json::{Map, Number, Value};

use crate::document::json::term::{
    VERSION, put_atom, put_binary, put_list_head, put_nil, put_tuple_head,
};
use crate::document::json::{Limits, term};

use super::error::MangoError;

/// The byte behind the version in a compressed term.
const COMPRESSED: u8 = 80;
const LEVEL: u32 = 6;

/// Shorter terms are not compressed: that takes longer than to send them.
const COMPRESSED_FROM: usize = 512;

/// A bookmark's term is not larger than this, unpacked.
const TERM_BYTES_MAX: usize = 4 << 20;
const DEPTH_MAX: usize = 1_000;

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &URL_SAFE,
    GeneralPurposeConfig::new()
        .with_encode_padding(false)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// The row that a query has read last.
#[derive(Debug, Clone, PartialEq)]
pub struct Bookmark {
    pub id: String,
    /// JSON.
    pub key: String,
}

impl Bookmark {
    /// The text that clients get.
    pub fn encode(&self) -> String {
        let mut out = Vec::new();
        put_list_head(&mut out, 2);
        put_tuple_head(&mut out, 2);
        put_atom(&mut out, "startkey_docid");
        put_binary(&mut out, self.id.as_bytes());
        put_tuple_head(&mut out, 2);
        put_atom(&mut out, "startkey");
        // A key that was read as JSON can be written as a term.
        let key = term(self.key.as_bytes(), &Limits::default()).unwrap_or_default();
        out.extend_from_slice(key.get(1..).unwrap_or_default());
        put_nil(&mut out);
        BASE64.encode(compress(&out))
    }

    /// Reads what a client gives back.
    pub fn decode(text: &str) -> Result<Self, MangoError> {
        Self::read(text).ok_or_else(|| MangoError::InvalidBookmark { bookmark: text.to_owned() })
    }

    fn read(text: &str) -> Option<Self> {
        let bytes = BASE64.decode(text).ok()?;
        let [VERSION, bytes @ ..] = bytes.as_slice() else { return None };
        let term = match bytes {
            [COMPRESSED, _, _, _, _, packed @ ..] => decompress(packed)?,
            plain => plain.to_vec(),
        };
        let mut reader = Reader { bytes: &term };
        let members = reader.list_head()?;
        let (mut id, mut key) = (None, None);
        for _ in 0..members {
            if reader.tuple_head()? != 2 {
                return None;
            }
            match reader.atom()? {
                "startkey_docid" => id = Some(reader.value(0)?.as_str()?.to_owned()),
                "startkey" => key = Some(reader.value(0)?.to_string()),
                _ => return None,
            }
        }
        Some(Self { id: id?, key: key? })
    }
}

/// The term with its version byte, compressed where that is worth it.
fn compress(term: &[u8]) -> Vec<u8> {
    let mut plain = vec![VERSION];
    plain.extend_from_slice(term);
    let mut out = vec![VERSION, COMPRESSED];
    let Ok(length) = u32::try_from(term.len()) else { return plain };
    if term.len() < COMPRESSED_FROM {
        return plain;
    }
    out.extend_from_slice(&length.to_be_bytes());
    let mut encoder = ZlibEncoder::new(out, Compression::new(LEVEL));
    let packed = encoder.write_all(term).and_then(|()| encoder.finish());
    match packed {
        Ok(packed) if packed.len() < plain.len() => packed,
        _ => plain,
    }
}

fn decompress(packed: &[u8]) -> Option<Vec<u8>> {
    let mut term = Vec::new();
    let mut decoder = ZlibDecoder::new(packed).take(TERM_BYTES_MAX as u64 + 1);
    decoder.read_to_end(&mut term).ok()?;
    (term.len() <= TERM_BYTES_MAX).then_some(term)
}

/// Reads the terms that JSON values are.
struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.bytes.split_at_checked(count)?;
        self.bytes = rest;
        Some(taken)
    }

    fn byte(&mut self) -> Option<u8> {
        self.take(1)?.first().copied()
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn length(&mut self) -> Option<usize> {
        usize::try_from(u32::from_be_bytes(self.array()?)).ok()
    }

    fn list_head(&mut self) -> Option<usize> {
        if self.byte()? == b'l' { self.length() } else { None }
    }

    fn tuple_head(&mut self) -> Option<u8> {
        if self.byte()? == b'h' { self.byte() } else { None }
    }

    fn atom(&mut self) -> Option<&'a str> {
        let tag = self.byte()?;
        self.atom_after(tag)
    }

    /// An atom of any form.
    fn atom_after(&mut self, tag: u8) -> Option<&'a str> {
        let length = match tag {
            b'd' | b'v' => usize::from(u16::from_be_bytes(self.array()?)),
            b's' | b'w' => usize::from(self.byte()?),
            _ => return None,
        };
        std::str::from_utf8(self.take(length)?).ok()
    }

    fn value(&mut self, depth: usize) -> Option<Value> {
        if depth > DEPTH_MAX {
            return None;
        }
        Some(match self.byte()? {
            b'a' => self.byte()?.into(),
            b'b' => i32::from_be_bytes(self.array()?).into(),
            b'n' => {
                let length = usize::from(self.byte()?);
                self.big(length)?
            }
            b'o' => {
                let length = self.length()?;
                self.big(length)?
            }
            b'F' => Number::from_f64(f64::from_be_bytes(self.array()?))?.into(),
            b'm' => {
                let length = self.length()?;
                std::str::from_utf8(self.take(length)?).ok()?.into()
            }
            b'j' => Value::Array(Vec::new()),
            b'k' => {
                let length = usize::from(u16::from_be_bytes(self.array()?));
                self.take(length)?.iter().map(|byte| Value::from(*byte)).collect()
            }
            b'l' => self.list(depth)?,
            b'h' => self.object(depth)?,
            tag => match self.atom_after(tag)? {
                "null" => Value::Null,
                "true" => Value::Bool(true),
                "false" => Value::Bool(false),
                _ => return None,
            },
        })
    }

    /// An integer, from the bytes of its magnitude, lowest first.
    fn big(&mut self, length: usize) -> Option<Value> {
        let is_negative = self.byte()? != 0;
        let bytes = self.take(length)?;
        // Larger ones are doubles to whoever compares them.
        let magnitude = bytes
            .iter()
            .rev()
            .try_fold(0_u128, |all, byte| all.checked_mul(256)?.checked_add(u128::from(*byte)))?;
        let sign = if is_negative { "-" } else { "" };
        serde_json::from_str(&format!("{sign}{magnitude}")).ok()
    }

    fn list(&mut self, depth: usize) -> Option<Value> {
        let length = self.length()?;
        let mut elements = Vec::new();
        for _ in 0..length {
            elements.push(self.value(depth + 1)?);
        }
        (self.byte()? == b'j').then_some(Value::Array(elements))
    }

    /// `{[{Name, Value}, ...]}`.
    fn object(&mut self, depth: usize) -> Option<Value> {
        if self.byte()? != 1 {
            return None;
        }
        let mut members = Map::new();
        if self.bytes.first() == Some(&b'j') {
            self.byte()?;
            return Some(Value::Object(members));
        }
        for _ in 0..self.list_head()? {
            if self.tuple_head()? != 2 {
                return None;
            }
            let name = self.value(depth + 1)?;
            members.insert(name.as_str()?.to_owned(), self.value(depth + 1)?);
        }
        (self.byte()? == b'j').then_some(Value::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::document::json::tests::any_value;

    /// Recorded from CouchDB 3.5.
    #[test]
    fn bookmarks_are_couchdbs() {
        for (id, key, text) in [
            ("p6", "\"p6\"", "g1AAAAA0eJzLYWBgYMpgSmHgKy5JLCrJTq2MT8lPzkzJBYkXmIFkOGAyULEsAGq2DgU"),
            ("p3", "[25]", "g2wAAAACaAJkAA5zdGFydGtleV9kb2NpZG0AAAACcDNoAmQACHN0YXJ0a2V5awABGWo"),
            (
                "p3",
                "[\"Cy\"]",
                "g1AAAAA6eJzLYWBgYMpgSmHgKy5JLCrJTq2MT8lPzkzJBYkXGINkOGAyOUAxRrCEc2VWFgC9dg7v",
            ),
            (
                "p4",
                "[\"forty\"]",
                "g1AAAAA9eJzLYWBgYMpgSmHgKy5JLCrJTq2MT8lPzkzJBYkXmIBkOGAyOUAxRpAEa1p-UUllVhYA7iwQaw",
            ),
        ] {
            let bookmark = Bookmark { id: id.to_owned(), key: key.to_owned() };
            assert_eq!(Bookmark::decode(text).unwrap(), bookmark);
            assert_eq!(Bookmark::decode(&bookmark.encode()).unwrap(), bookmark);
        }
    }

    #[test]
    fn what_is_no_bookmark_is_refused() {
        // The last is one of a text index.
        for text in [
            "zz",
            "bad-bookmark",
            "é",
            "gw",
            "g2o",
            "g2wAAAABaANkABFub2RlMUBjb3VjaGRiLm5ldGwAAAACYQBiP____2poAkY_8AAAAAAAAGEHag",
        ] {
            let error = Bookmark::decode(text).unwrap_err();
            assert_eq!(error.to_string(), format!("Invalid bookmark value: \"{text}\""));
        }
    }

    proptest! {
        #[test]
        fn bookmarks_come_back(id in ".{0,20}", key in any_value()) {
            let text = key.to_string();
            // Doubles beyond the largest have no value.
            prop_assume!(serde_json::from_str::<Value>(&text).is_ok());
            let decoded = Bookmark::decode(&Bookmark { id: id.clone(), key: text }.encode());
            let decoded = decoded.unwrap();
            let back: Value = serde_json::from_str(&decoded.key).unwrap();
            prop_assert_eq!(decoded.id, id);
            prop_assert!(crate::collation::compare_raw(&back, &key).is_eq(), "{} {}", back, key);
        }
    }
}
