//! Finds the JSON objects of a file one after the other, whether they stand on lines, in an array,
//! or in the array that an answer of CouchDB has: `{"docs":[…]}`, `{"rows":[…]}`.
//!
//! Only brackets and strings are looked at: whether an object is sound is for its reader to find.

use std::io::{BufRead, BufReader, Read};

use super::ArchiveError;

/// The longest document. CouchDB's own limit is far below.
const TEXT_BYTES_MAX: usize = 512 << 20;
/// Bytes that are read in one go; a file's kind is told by the first of them.
const BUFFER_BYTES: usize = 256 << 10;
/// What some programs write before a text.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// The objects of a file.
pub(super) struct Values<R> {
    input: BufReader<R>,
    /// The line of the next byte, and its offset.
    line: u64,
    offset: u64,
    place: Place,
    text: Vec<u8>,
}

/// An object's text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found<'a> {
    /// Where it begins.
    pub line: u64,
    pub text: &'a [u8],
}

/// What stands around the next object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Nothing.
    Outside,
    Array,
    /// An array of an object that ends with it.
    Member,
    /// That object has ended.
    End,
}

/// The kind of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wrapping {
    /// Its objects are documents.
    None,
    /// They are rows that have documents.
    Rows,
}

impl<R: Read> Values<R> {
    /// Reads `input` from its beginning, which stands at `offset` of the file.
    pub(super) fn new(input: R, offset: u64) -> Self {
        let input = BufReader::with_capacity(BUFFER_BYTES, input);
        Self { input, line: 1, offset, place: Place::Outside, text: Vec::new() }
    }

    /// The offset after what has been read.
    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// Passes over what stands before the first document.
    pub(super) fn unwrap(&mut self) -> Result<Wrapping, ArchiveError> {
        let start = self.input.fill_buf()?;
        let mark = if start.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 };
        let found = Prefix { rest: &start[mark..] }.wrapping();
        let (wrapping, taken) = match found {
            Some((wrapping, rest)) => (wrapping, start.len() - rest),
            None => (Wrapping::None, mark),
        };
        if found.is_some() {
            self.place = Place::Member;
        }
        self.consume(taken)?;
        Ok(wrapping)
    }

    /// The next object; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Found<'_>>, ArchiveError> {
        if !self.find()? {
            return Ok(None);
        }
        let line = self.line;
        self.text.clear();
        let mut nesting = Nesting::default();
        loop {
            let chunk = self.input.fill_buf()?;
            if chunk.is_empty() {
                return Err(ArchiveError::Unclosed { line });
            }
            let taken = nesting.pass(chunk);
            self.text.extend_from_slice(&chunk[..taken]);
            self.consume(taken)?;
            if nesting.is_over() {
                return Ok(Some(Found { line, text: &self.text }));
            }
            if self.text.len() > TEXT_BYTES_MAX {
                return Err(ArchiveError::TooLong { line, most: TEXT_BYTES_MAX });
            }
        }
    }

    /// Goes to where the next object begins; `false` where there is none.
    fn find(&mut self) -> Result<bool, ArchiveError> {
        while self.place != Place::End {
            let chunk = self.input.fill_buf()?;
            let between = |byte: &u8| !byte.is_ascii_whitespace() && *byte != b',';
            let Some(at) = chunk.iter().position(between) else {
                let all = chunk.len();
                if all > 0 {
                    self.consume(all)?;
                    continue;
                }
                let cut = self.place != Place::Outside;
                return if cut { Err(ArchiveError::Truncated) } else { Ok(false) };
            };
            let byte = chunk[at];
            self.consume(at)?;
            self.place = match (byte, self.place) {
                (b'{', _) => return Ok(true),
                (b'[', Place::Outside) => Place::Array,
                (b']', Place::Array) => Place::Outside,
                (b']', Place::Member) => Place::End,
                (other, _) => {
                    let reason = format!("{:?} where a document should begin", char::from(other));
                    return Err(ArchiveError::Broken { line: self.line, reason });
                }
            };
            self.consume(1)?;
        }
        Ok(false)
    }

    fn consume(&mut self, bytes: usize) -> Result<(), ArchiveError> {
        let passed = &self.input.fill_buf()?[..bytes];
        self.line += (passed.split(|byte| *byte == b'\n').count() - 1) as u64;
        self.offset += bytes as u64;
        self.input.consume(bytes);
        Ok(())
    }
}

/// How deep a reader is in an object.
#[derive(Debug, Default)]
struct Nesting {
    depth: u64,
    in_string: bool,
    escaped: bool,
}

impl Nesting {
    fn is_over(&self) -> bool {
        self.depth == 0
    }

    /// Passes over `chunk`, or the part of it that belongs to the object. Returns its length.
    fn pass(&mut self, chunk: &[u8]) -> usize {
        let mut at = 0;
        while at < chunk.len() {
            if self.escaped {
                self.escaped = false;
                at += 1;
                continue;
            }
            if self.in_string {
                let special = chunk[at..].iter().position(|byte| matches!(byte, b'"' | b'\\'));
                let Some(skipped) = special else { return chunk.len() };
                at += skipped;
                match chunk[at] {
                    b'"' => self.in_string = false,
                    _ => self.escaped = true,
                }
                at += 1;
                continue;
            }
            let byte = chunk[at];
            at += 1;
            match byte {
                b'"' => self.in_string = true,
                b'{' | b'[' => self.depth += 1,
                b'}' | b']' => {
                    self.depth -= 1;
                    if self.depth == 0 {
                        return at;
                    }
                }
                _ => {}
            }
        }
        at
    }
}

/// The first bytes of a file.
struct Prefix<'a> {
    rest: &'a [u8],
}

impl<'a> Prefix<'a> {
    /// Whether the documents stand in a member of one object; then also how many bytes are left
    /// after the beginning of that member's array. A document says what it is by its `_id`.
    fn wrapping(mut self) -> Option<(Wrapping, usize)> {
        self.take(b'{')?;
        loop {
            let name = self.string()?;
            self.take(b':')?;
            self.skip_space();
            if self.rest.first() == Some(&b'[') {
                self.take(b'[')?;
                self.skip_space();
                // Not an array of anything else that a document may have.
                if !matches!(self.rest.first(), None | Some(b'{' | b']')) {
                    return None;
                }
                return match name {
                    b"docs" => Some((Wrapping::None, self.rest.len())),
                    b"rows" | b"results" => Some((Wrapping::Rows, self.rest.len())),
                    _ => None,
                };
            }
            self.scalar(name)?;
            self.take(b',')?;
        }
    }

    fn skip_space(&mut self) {
        self.rest = self.rest.trim_ascii_start();
    }

    fn take(&mut self, byte: u8) -> Option<()> {
        self.skip_space();
        self.rest = self.rest.strip_prefix(&[byte])?;
        Some(())
    }

    fn string(&mut self) -> Option<&'a [u8]> {
        self.take(b'"')?;
        let end = self.rest.iter().position(|byte| *byte == b'"')?;
        let (text, rest) = self.rest.split_at(end);
        self.rest = rest.strip_prefix(b"\"")?;
        (!text.contains(&b'\\')).then_some(text)
    }

    /// What answers say of themselves before their rows.
    fn scalar(&mut self, name: &[u8]) -> Option<()> {
        let known: [&[u8]; 5] =
            [b"total_rows", b"offset", b"update_seq", b"last_seq", b"new_edits"];
        if !known.contains(&name) {
            return None;
        }
        if self.rest.first() == Some(&b'"') {
            return self.string().map(|_| ());
        }
        let end = self.rest.iter().position(|byte| matches!(byte, b',' | b'{' | b'['))?;
        self.rest = &self.rest[end..];
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives a byte at a time.
    struct Slowly<'a>(&'a [u8]);

    impl Read for Slowly<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let most = buffer.len().min(1);
            self.0.read(&mut buffer[..most])
        }
    }

    fn all(mut values: Values<impl Read>) -> Result<Vec<(u64, String)>, ArchiveError> {
        let mut found = Vec::new();
        while let Some(Found { line, text }) = values.next()? {
            found.push((line, String::from_utf8(text.to_vec()).unwrap()));
        }
        Ok(found)
    }

    fn check(text: &str, wrapping: Wrapping, expect: &[(u64, &str)]) {
        let mut values = Values::new(text.as_bytes(), 0);
        assert_eq!(values.unwrap().unwrap(), wrapping, "{text}");
        let found = all(values).unwrap();
        let found: Vec<_> = found.iter().map(|(line, text)| (*line, text.as_str())).collect();
        assert_eq!(found, expect, "{text}");
    }

    #[test]
    fn objects_are_found_wherever_they_stand() {
        let none = Wrapping::None;
        check("", none, &[]);
        check(" \r\n\n", none, &[]);
        check("{\"a\":1}\n{\"b\":[{}]}\n", none, &[(1, "{\"a\":1}"), (2, "{\"b\":[{}]}")]);
        check("{}{}\r\n{}", none, &[(1, "{}"), (1, "{}"), (2, "{}")]);
        check("\u{feff}{}", none, &[(1, "{}")]);
        check("[\n{},\n{}\n]\n[{}]", none, &[(2, "{}"), (3, "{}"), (5, "{}")]);
        check("{\n \"a\": \"}\\\"{\"\n}\n{}", none, &[(1, "{\n \"a\": \"}\\\"{\"\n}"), (4, "{}")]);
        check("{\"docs\":[{},{}]}", none, &[(1, "{}"), (1, "{}")]);
        check("{\"new_edits\":false,\"docs\":[{}], \"x\": 1}\n", none, &[(1, "{}")]);
        check("{\"docs\": [ ] }", none, &[]);
        let rows = Wrapping::Rows;
        check(
            "{\"total_rows\":2,\"offset\":0,\"rows\":[\r\n{\"id\":1},\r\n{}\r\n]}\n",
            rows,
            &[(2, "{\"id\":1}"), (3, "{}")],
        );
        check("{\"results\":[\n{}\n],\n\"last_seq\":5}", rows, &[(2, "{}")]);
        for document in ["{\"_id\":\"a\",\"rows\":[{}]}", "{\"rows\":[1]}", "{\"docs\":{}}"] {
            check(document, none, &[(1, document)]);
        }
    }

    #[test]
    fn what_comes_in_pieces_is_the_same() {
        let text = "[{\"a\":\"\\\\\"},\n{\"b\":{\"c\":[]}}]\n{}";
        let slowly = all(Values::new(Slowly(text.as_bytes()), 0)).unwrap();
        assert_eq!(slowly, all(Values::new(text.as_bytes(), 0)).unwrap());
        assert_eq!(slowly.len(), 3);
    }

    #[test]
    fn cuts_and_garbage_are_found() {
        let error = |text: &str| all(Values::new(text.as_bytes(), 0)).unwrap_err().to_string();
        for text in ["[", "[{}", "[{},"] {
            assert_eq!(error(text), ArchiveError::Truncated.to_string(), "{text}");
        }
        for (text, line) in [("{", 1), ("{}\n{\"a\":\"", 2), ("\n\n{\"a\":\"\\\"}\n{}", 3)] {
            assert_eq!(error(text), ArchiveError::Unclosed { line }.to_string(), "{text}");
        }
        for (text, line) in [("x", 1), ("{}\n\u{0}", 2), ("]", 1), ("[[", 1), ("{}\n\n\"a\"", 3)] {
            assert!(error(text).starts_with(&format!("line {line}: ")), "{}", error(text));
        }
    }

    #[test]
    fn depth_is_only_counted() {
        let deep = format!("{}{}", "{\"a\":[".repeat(200_000), "]}".repeat(200_000));
        assert_eq!(all(Values::new(deep.as_bytes(), 0)).unwrap(), [(1, deep.clone())]);
    }
}
