//! Finds the rows of a changes feed in bytes that come in any portions: the elements of `results`
//! of a normal feed, the values of a continuous one, however a server breaks its lines.
//!
//! One row is in memory beside the portion, and what stands around the rows, both bounded.

use std::collections::VecDeque;

use serde::Deserialize;
use serde_json::Value;

use crate::document::Rev;
use crate::replicator::Changed;

/// A document with a hundred thousand conflicts has a shorter row.
const ROW_BYTES_MAX: usize = 16 << 20;
/// What stands around the rows: `last_seq` and `pending`.
const AROUND_BYTES_MAX: usize = 1 << 20;

/// How the rows of a feed stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// As the elements of `results` in one object.
    Results,
    /// One after the other.
    Lines,
}

/// A row: what has changed, and where.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
    /// `None` where the source left it out.
    pub(super) seq: Option<Value>,
    pub(super) changed: Changed,
}

/// What a feed says at its end.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub(super) struct End {
    pub(super) last_seq: Value,
    #[serde(default)]
    pub(super) pending: Option<u64>,
}

/// What is no changes feed.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the changes feed makes no sense: {0}")]
pub(super) struct BadFeed(String);

/// Reads a feed.
#[derive(Debug)]
pub(super) struct Rows {
    place: Place,
    /// Arrays and objects that are open.
    depth: usize,
    string: Text,
    /// The row that has begun.
    row: Vec<u8>,
    /// All that is no row.
    around: Vec<u8>,
}

/// Where in the feed the next byte stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Beside the elements of `results`.
    Around,
    /// Between two rows that stand so deep.
    Between(usize),
    /// Inside a row that began so deep.
    Inside(usize),
}

/// Whether the next byte belongs to a string.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Text {
    Outside,
    Inside,
    Escaped,
}

/// The depth of the elements of `results`.
const ELEMENT: usize = 2;

impl Rows {
    pub(super) fn new(framing: Framing) -> Self {
        let place = match framing {
            Framing::Results => Place::Around,
            Framing::Lines => Place::Between(0),
        };
        let (row, around) = (Vec::new(), Vec::new());
        Self { place, depth: 0, string: Text::Outside, row, around }
    }

    /// Takes the next bytes, adds their rows to `rows`, and tells when the feed says its end.
    pub(super) fn push(
        &mut self,
        mut bytes: &[u8],
        rows: &mut VecDeque<Row>,
    ) -> Result<Option<End>, BadFeed> {
        let mut end = None;
        while let Some(&byte) = bytes.first() {
            match self.place {
                Place::Around => bytes = self.around(bytes)?,
                Place::Between(depth) => {
                    match byte {
                        b' ' | b'\t' | b'\r' | b'\n' => {}
                        b',' if depth > 0 => {}
                        b']' if depth > 0 => self.place = Place::Around,
                        b'{' => self.place = Place::Inside(depth),
                        _ => return Err(BadFeed("a row is no object".to_owned())),
                    }
                    if self.place == Place::Between(depth) {
                        bytes = &bytes[1..];
                    }
                }
                Place::Inside(depth) => {
                    let length = self.rest_of_row(bytes, depth);
                    let (part, rest) = bytes.split_at(length);
                    append(&mut self.row, part, ROW_BYTES_MAX)?;
                    bytes = rest;
                    if self.place == Place::Between(depth) {
                        let row = std::mem::take(&mut self.row);
                        match read(&row)? {
                            Read::Row(row) => rows.push_back(row),
                            Read::Nothing => {}
                            Read::End(found) => end = Some(found),
                        }
                    }
                }
            }
        }
        let around = self.around.trim_ascii();
        if self.place == Place::Around && self.depth == 0 && !around.is_empty() {
            if !around.starts_with(b"{") {
                return Err(BadFeed("it is no object".to_owned()));
            }
            let found = serde_json::from_slice(around);
            end = Some(found.map_err(|error| BadFeed(error.to_string()))?);
        }
        Ok(end)
    }

    /// How many of `bytes` belong to the row; past its end, the place is between rows again.
    fn rest_of_row(&mut self, bytes: &[u8], depth: usize) -> usize {
        for (index, &byte) in bytes.iter().enumerate() {
            self.step(byte);
            if self.depth == depth {
                self.place = Place::Between(depth);
                return index + 1;
            }
        }
        bytes.len()
    }

    /// Goes on to where the rows begin, or to the end of the bytes.
    fn around<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], BadFeed> {
        for (index, &byte) in bytes.iter().enumerate() {
            let begins = byte == b'[' && self.depth + 1 == ELEMENT && self.string == Text::Outside;
            self.step(byte);
            if begins {
                let (part, rest) = bytes.split_at(index + 1);
                append(&mut self.around, part, AROUND_BYTES_MAX)?;
                if ends_with_results(&self.around) {
                    self.place = Place::Between(ELEMENT);
                }
                return Ok(rest);
            }
        }
        append(&mut self.around, bytes, AROUND_BYTES_MAX)?;
        Ok(&[])
    }

    fn step(&mut self, byte: u8) {
        self.string = match (self.string, byte) {
            (Text::Outside, b'"') => Text::Inside,
            (Text::Outside, b'{' | b'[') => {
                self.depth += 1;
                Text::Outside
            }
            (Text::Outside, b'}' | b']') => {
                self.depth = self.depth.saturating_sub(1);
                Text::Outside
            }
            (Text::Inside, b'\\') => Text::Escaped,
            (Text::Inside, b'"') => Text::Outside,
            (Text::Escaped, _) => Text::Inside,
            (same, _) => same,
        };
    }
}

fn append(buffer: &mut Vec<u8>, bytes: &[u8], most: usize) -> Result<(), BadFeed> {
    if buffer.len() + bytes.len() > most {
        return Err(BadFeed("a row is too long".to_owned()));
    }
    buffer.extend_from_slice(bytes);
    Ok(())
}

/// Whether the text is one up to the opening bracket of `"results": [`.
fn ends_with_results(text: &[u8]) -> bool {
    let value = text.strip_suffix(b"[").map(<[u8]>::trim_ascii_end);
    let name = value.and_then(|text| text.strip_suffix(b":")).map(<[u8]>::trim_ascii_end);
    name.is_some_and(|text| text.ends_with(b"\"results\""))
}

enum Read {
    Row(Row),
    /// A row that is about no document.
    Nothing,
    End(End),
}

/// A row as it is written, or the end of a continuous feed.
#[derive(Deserialize)]
struct Written {
    #[serde(default)]
    seq: Option<Value>,
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    changes: Vec<WrittenRev>,
    #[serde(default)]
    last_seq: Option<Value>,
    #[serde(default)]
    pending: Option<u64>,
    #[serde(default)]
    error: Option<Value>,
}

#[derive(Deserialize)]
struct WrittenRev {
    rev: String,
}

fn read(text: &[u8]) -> Result<Read, BadFeed> {
    let written: Written =
        serde_json::from_slice(text).map_err(|error| BadFeed(error.to_string()))?;
    match written {
        Written { id: Some(id), seq, changes, .. } if !id.is_empty() => {
            let revs = changes.iter().map(|change| Rev::parse(&change.rev));
            let revs =
                revs.collect::<Result<_, _>>().map_err(|error| BadFeed(error.to_string()))?;
            Ok(Read::Row(Row { seq, changed: Changed { id, revs } }))
        }
        // CouchDB leaves such rows out too.
        Written { id: Some(_), .. } => Ok(Read::Nothing),
        Written { last_seq: Some(last_seq), pending, .. } => {
            Ok(Read::End(End { last_seq, pending }))
        }
        Written { error: Some(error), .. } => Err(BadFeed(format!("it ends with {error}"))),
        _ => Err(BadFeed("a row is about no document".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    type Found = (String, Option<Value>);

    /// The ids, sequences and the end that a feed has, taken in portions of `size` bytes.
    fn read_in(
        framing: Framing,
        text: &str,
        size: usize,
    ) -> Result<(Vec<Found>, Option<End>), BadFeed> {
        let (mut rows, mut found, mut end) = (Rows::new(framing), VecDeque::new(), None);
        for portion in text.as_bytes().chunks(size) {
            end = rows.push(portion, &mut found)?.or(end);
        }
        Ok((found.into_iter().map(|row| (row.changed.id, row.seq)).collect(), end))
    }

    fn row(seq: &Value, id: &str) -> Found {
        (id.to_owned(), Some(seq.clone()))
    }

    const COUCHDB: &str = "{\"results\":[\n\
        {\"seq\":\"1-a\",\"id\":\"a\",\"changes\":[{\"rev\":\"1-x\"}]},\r\n\
        {\"seq\":\"2-b\",\"id\":\"]}\\\"[{\",\"changes\":[{\"rev\":\"1-x\"}],\"deleted\":true}\n],\n\
        \"last_seq\":\"2-b\",\"pending\":7}\n\n";

    #[test]
    fn feeds_come_in_any_portions() {
        let two = vec![row(&json!("1-a"), "a"), row(&json!("2-b"), "]}\"[{")];
        let end = Some(End { last_seq: json!("2-b"), pending: Some(7) });
        for size in [1, 2, 3, 7, 50, 1_000] {
            let found = read_in(Framing::Results, COUCHDB, size).unwrap();
            assert_eq!(found, (two.clone(), end.clone()), "{size}");
        }
    }

    #[test]
    fn feeds_of_other_servers() {
        let rows =
            r#"{"seq":1,"id":"a","changes":[]}, {"id":"","seq":2}, {"seq":[3,"x"],"id":"b"}"#;
        let (one, three) = (row(&json!(1), "a"), row(&json!([3, "x"]), "b"));
        for text in [
            format!(r#"{{"results":[{rows}],"last_seq":9}}"#),
            format!(r#"{{"last_seq":9,"other":[[1],{{"results":[2]}}],"results" : [ {rows} ]}}"#),
        ] {
            let (found, end) = read_in(Framing::Results, &text, 5).unwrap();
            assert_eq!(found, [one.clone(), three.clone()], "{text}");
            assert_eq!(end, Some(End { last_seq: json!(9), pending: None }));
        }
        let none = read_in(Framing::Results, "{\"results\":[\n\n],\n\"last_seq\":0}", 4).unwrap();
        assert_eq!(none, (Vec::new(), Some(End { last_seq: json!(0), pending: None })));
    }

    #[test]
    fn continuous_feeds() {
        let text = "\n\n{\"seq\":1,\"id\":\"a\",\"changes\":[]}\n\n{\"seq\":2,\"id\":\"b\"}\n\
            {\"last_seq\":\"3-c\",\"pending\":0}\n";
        let (found, end) = read_in(Framing::Lines, text, 3).unwrap();
        assert_eq!(found, [row(&json!(1), "a"), row(&json!(2), "b")]);
        assert_eq!(end, Some(End { last_seq: json!("3-c"), pending: Some(0) }));
    }

    #[test]
    fn what_is_cut_has_no_end() {
        for length in 0..COUCHDB.trim_end().len() {
            let (found, end) = read_in(Framing::Results, &COUCHDB[..length], 9).unwrap();
            assert!(found.len() <= 2);
            assert_eq!(end, None, "{length}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (framing, text) in [
            (Framing::Results, r#"{"results":[1],"last_seq":1}"#),
            (Framing::Results, r#"{"results":[{}],"last_seq":1}"#),
            (Framing::Results, r#"{"results":[]}"#),
            (Framing::Results, "[1,2]"),
            (Framing::Results, r#"{"results":[{"id":"a","changes":[{"rev":"x"}]}]}"#),
            (Framing::Results, "}"),
            (Framing::Lines, "<html>"),
            (Framing::Lines, r#"{"error":"timeout"}"#),
            (Framing::Lines, "[1]"),
        ] {
            assert!(read_in(framing, text, 4).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken(
            bytes in prop::collection::vec(prop::sample::select(b"{}[],:\"\\ a1".to_vec()), 0..200)
        ) {
            for framing in [Framing::Results, Framing::Lines] {
                let _ = Rows::new(framing).push(&bytes, &mut VecDeque::new());
            }
        }
    }
}
