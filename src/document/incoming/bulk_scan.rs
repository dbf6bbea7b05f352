//! The body of `_bulk_docs` as it comes in pieces: where its documents are, without holding it.
//!
//! The scanner knows only as much JSON as finding the ends of values takes. Whoever reads the
//! documents checks them, so that a text is accepted where `parse_bulk` accepts it; of a text
//! that is wrong in several ways the two may tell different mistakes.

use std::mem;
use std::ops::Range;

use super::{BulkError, Limits};
use crate::document::json;

/// The largest name of a member, and the largest value of one other than `docs`, in bytes.
const NAME_BYTES_MAX: usize = 4 << 10;
const VALUE_BYTES_MAX: usize = 1 << 20;

/// What a scanned request asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BulkSpans {
    /// Where every element of `docs` stands, for `parse`; white space may stand after it.
    pub documents: Vec<Range<u64>>,
    /// True where the request does not say.
    pub new_edits: bool,
    /// True only where the request says so.
    pub all_or_nothing: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Start,
    FirstName,
    NextName,
    Name,
    Colon,
    DocsOpen,
    FirstElement,
    NextElement,
    Element { start: u64 },
    Value,
    AfterDocs,
    End,
}

/// How deep inside a value the scanner is.
#[derive(Debug, Clone, Copy, Default)]
struct Nesting {
    depth: usize,
    in_string: bool,
    escaped: bool,
}

impl Nesting {
    fn is_outside(self) -> bool {
        self.depth == 0 && !self.in_string
    }

    fn feed(&mut self, byte: u8) -> Result<(), BulkError> {
        match (self.in_string, byte) {
            (true, _) if self.escaped => self.escaped = false,
            (true, b'\\') => self.escaped = true,
            (_, b'"') => self.in_string = !self.in_string,
            (true, _) => {}
            (false, b'{' | b'[') => self.depth += 1,
            (false, b'}' | b']') => {
                self.depth = self.depth.checked_sub(1).ok_or(BulkError::InvalidJson)?;
            }
            (false, _) => {}
        }
        Ok(())
    }
}

/// Finds the documents of a `_bulk_docs` request in pieces of any size.
#[derive(Debug)]
pub struct BulkScanner {
    limits: Limits,
    state: State,
    nesting: Nesting,
    offset: u64,
    /// The name of a member as it stands in the text, and the value of one that is not `docs`.
    name: Vec<u8>,
    value: Vec<u8>,
    documents: Option<Vec<Range<u64>>>,
    new_edits: Vec<u8>,
    all_or_nothing: Vec<u8>,
}

impl BulkScanner {
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            state: State::Start,
            nesting: Nesting::default(),
            offset: 0,
            name: Vec::new(),
            value: Vec::new(),
            documents: None,
            new_edits: b"true".to_vec(),
            all_or_nothing: b"false".to_vec(),
        }
    }

    /// Takes the next bytes of the text.
    ///
    /// # Errors
    /// Where the text cannot go on like this.
    pub fn push(&mut self, bytes: &[u8]) -> Result<(), BulkError> {
        for byte in bytes {
            self.step(*byte)?;
            self.offset += 1;
        }
        Ok(())
    }

    /// The text has ended.
    ///
    /// # Errors
    /// Where it ended too early, or a parameter is missing or has a wrong type.
    pub fn finish(self) -> Result<BulkSpans, BulkError> {
        if self.state != State::End {
            return Err(BulkError::InvalidJson);
        }
        let new_edits = match self.new_edits.as_slice() {
            b"true" => true,
            b"false" => false,
            _ => return Err(BulkError::NewEditsNotABoolean),
        };
        let documents = self.documents.ok_or(BulkError::DocsMissing)?;
        Ok(BulkSpans { documents, new_edits, all_or_nothing: self.all_or_nothing == b"true" })
    }

    fn step(&mut self, byte: u8) -> Result<(), BulkError> {
        match self.state {
            State::Name => return self.name_byte(byte),
            State::Element { start } => return self.element_byte(byte, start),
            State::Value => return self.value_byte(byte),
            _ if matches!(byte, b' ' | b'\t' | b'\n' | b'\r') => return Ok(()),
            _ => {}
        }
        self.state = match (self.state, byte) {
            (State::Start, b'{') => State::FirstName,
            (State::Start, b'[' | b'"' | b't' | b'f' | b'n' | b'-' | b'0'..=b'9') => {
                return Err(BulkError::NotAnObject);
            }
            (State::FirstName | State::AfterDocs, b'}') => State::End,
            (State::FirstName | State::NextName, b'"') => {
                self.name.clear();
                self.name.push(b'"');
                self.nesting = Nesting { in_string: true, ..Nesting::default() };
                State::Name
            }
            (State::Colon, b':') => self.after_colon()?,
            (State::DocsOpen, b'[') => State::FirstElement,
            (State::DocsOpen, _) => return Err(BulkError::DocsNotAnArray),
            (State::FirstElement, b']') => State::AfterDocs,
            (State::FirstElement | State::NextElement, b',' | b']') => {
                return Err(BulkError::InvalidJson);
            }
            (State::FirstElement | State::NextElement, _) => {
                self.nesting = Nesting::default();
                self.nesting.feed(byte)?;
                State::Element { start: self.offset }
            }
            (State::AfterDocs, b',') => State::NextName,
            _ => return Err(BulkError::InvalidJson),
        };
        Ok(())
    }

    fn name_byte(&mut self, byte: u8) -> Result<(), BulkError> {
        self.nesting.feed(byte)?;
        if self.name.len() == NAME_BYTES_MAX {
            return Err(BulkError::InvalidJson);
        }
        self.name.push(byte);
        if !self.nesting.in_string {
            self.state = State::Colon;
        }
        Ok(())
    }

    fn after_colon(&mut self) -> Result<State, BulkError> {
        let name = json::minify(&self.name, &self.limits).map_err(|_| BulkError::InvalidJson)?;
        self.name = name;
        if self.name == b"\"docs\"" {
            self.documents = Some(Vec::new());
            return Ok(State::DocsOpen);
        }
        self.value.clear();
        self.nesting = Nesting::default();
        Ok(State::Value)
    }

    fn element_byte(&mut self, byte: u8, start: u64) -> Result<(), BulkError> {
        if !self.nesting.is_outside() || !matches!(byte, b',' | b']') {
            return self.nesting.feed(byte);
        }
        if let Some(documents) = &mut self.documents {
            documents.push(start..self.offset);
        }
        self.state = if byte == b',' { State::NextElement } else { State::AfterDocs };
        Ok(())
    }

    fn value_byte(&mut self, byte: u8) -> Result<(), BulkError> {
        if !self.nesting.is_outside() || !matches!(byte, b',' | b'}') {
            if self.value.len() == VALUE_BYTES_MAX {
                return Err(BulkError::InvalidJson);
            }
            self.value.push(byte);
            return self.nesting.feed(byte);
        }
        let value = mem::take(&mut self.value);
        let value = json::minify(&value, &self.limits).map_err(|_| BulkError::InvalidJson)?;
        match self.name.as_slice() {
            b"\"new_edits\"" => self.new_edits = value,
            b"\"all_or_nothing\"" => self.all_or_nothing = value,
            _ => {}
        }
        self.state = if byte == b',' { State::NextName } else { State::End };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::parse_bulk;
    use super::*;

    fn scan(text: &[u8], piece: usize) -> Result<BulkSpans, BulkError> {
        let mut scanner = BulkScanner::new(Limits::default());
        for piece in text.chunks(piece) {
            scanner.push(piece)?;
        }
        scanner.finish()
    }

    fn check(text: &str) {
        let whole = parse_bulk(text.as_bytes(), &Limits::default()).unwrap();
        for piece in [1, 3, 1000] {
            let spans = scan(text.as_bytes(), piece).unwrap();
            let at = |offset: u64| usize::try_from(offset).unwrap();
            let found: Vec<&str> = spans
                .documents
                .iter()
                .map(|span| text[at(span.start)..at(span.end)].trim_end())
                .collect();
            let wanted: Vec<&str> =
                whole.documents.iter().map(|text| std::str::from_utf8(text).unwrap()).collect();
            assert_eq!(found, wanted, "{text}");
            assert_eq!(spans.new_edits, whole.new_edits, "{text}");
            assert_eq!(spans.all_or_nothing, whole.all_or_nothing, "{text}");
        }
    }

    #[test]
    fn documents_are_found_where_parse_bulk_finds_them() {
        for text in [
            r#"{"docs":[]}"#,
            r#" { "docs" : [ {"a":"]},{\"" } , 1 , "x,]" ] , "new_edits" : false } "#,
            r#"{"x":{"docs":[1]},"docs":[{"a":[1,{"b":[]}]},{}],"all_or_nothing":true}"#,
            r#"{"d\u006fcs":[1],"docs":[2,3]}"#,
            r#"{"docs":[1],"docs":[2],"new_edits":true,"y":[1,"}"]}"#,
        ] {
            check(text);
        }
    }

    #[test]
    fn wrong_requests_are_told() {
        for (text, error) in [
            ("", BulkError::InvalidJson),
            ("{", BulkError::InvalidJson),
            ("[]", BulkError::NotAnObject),
            ("{}", BulkError::DocsMissing),
            (r#"{"docs":{}}"#, BulkError::DocsNotAnArray),
            (r#"{"docs":[1,]}"#, BulkError::InvalidJson),
            (r#"{"docs":[,1]}"#, BulkError::InvalidJson),
            (r#"{"docs":[1}]}"#, BulkError::InvalidJson),
            (r#"{"docs":[1]"#, BulkError::InvalidJson),
            (r#"{"docs":[1]} x"#, BulkError::InvalidJson),
            (r#"{"docs":[],"new_edits":"maybe"}"#, BulkError::NewEditsNotABoolean),
            (r#"{"docs":[],"x":tru}"#, BulkError::InvalidJson),
            (r#"{"docs":[],}"#, BulkError::InvalidJson),
        ] {
            assert_eq!(scan(text.as_bytes(), 2), Err(error), "{text}");
        }
        let long = format!(r#"{{"docs":[],"x":"{}"}}"#, "y".repeat(VALUE_BYTES_MAX));
        assert_eq!(scan(long.as_bytes(), 4096), Err(BulkError::InvalidJson));
    }

    proptest! {
        #[test]
        fn any_documents_are_found(
            documents in proptest::collection::vec(r#"[a-z"\\\[\]{},:é ]{0,12}"#, 0..6),
            edits: Option<bool>,
        ) {
            let documents: Vec<serde_json::Value> = documents
                .into_iter()
                .map(|text| serde_json::json!({"_id": text.clone(), "l": [text, 1, null]}))
                .collect();
            let mut request = serde_json::json!({"docs": documents, "other": {"docs": [1]}});
            if let Some(edits) = edits {
                request["new_edits"] = edits.into();
            }
            check(&request.to_string());
        }

        #[test]
        fn any_bytes_are_harmless(text in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = scan(&text, 7);
        }
    }
}
