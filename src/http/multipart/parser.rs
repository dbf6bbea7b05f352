//! The synchronous core: pushed bytes become events.
//!
//! What ends a line is settled by the line of the first boundary: CR LF by the standard, a lone LF
//! from senders that write only that. A boundary counts when it begins a line and is followed by
//! `--`, or by blanks and a line end; anything else that looks like one belongs to the data.
//! Before the first boundary and after the last one, everything is skipped.
//!
//! Memory: the chunk that was pushed, and at most one header block or boundary line besides. Work
//! is linear: the bytes of a boundary are compared only behind a line end, which it cannot contain.

use bytes::{Buf as _, Bytes, BytesMut};
use thiserror::Error;

use super::boundary::Boundary;
use super::head::PartHead;

/// The most blanks that may stand between a boundary and its line end.
const PADDING_BYTES_MAX: usize = 64;

/// How much of a delimiter is searched for: so much has even the shortest, behind its CR.
const HEAD_BYTES: usize = 4;

/// What a body may hold at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The headers of one part, in bytes.
    pub header_bytes_max: usize,
    pub parts_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { header_bytes_max: 16 * 1024, parts_max: 65_536 }
    }
}

/// What is wrong with a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ParseError {
    #[error("the multipart body ends before its last boundary")]
    UnexpectedEnd,
    #[error("bad part header")]
    BadHeader,
    #[error("the headers of a part are longer than {max} bytes")]
    HeadersTooLong { max: usize },
    #[error("the multipart body has more than {max} parts")]
    TooManyParts { max: usize },
}

/// What the parser found next. A part is `Part`, any number of `Chunk`, `PartEnd`.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    Part(PartHead),
    /// Bytes of the part's body; never empty.
    Chunk(Bytes),
    PartEnd,
    /// The last boundary was seen. What follows it does not matter.
    End,
    /// Push more, or `finish`.
    NeedInput,
}

#[derive(Debug)]
enum State {
    /// Before the first boundary, at the beginning of a line.
    Preamble,
    /// Before the first boundary, inside a line.
    PreambleLine,
    Headers {
        head: PartHead,
        /// Bytes of the block that were consumed.
        used_bytes: usize,
        /// How much of the buffer is known to hold no line end.
        scanned_bytes: usize,
    },
    /// Behind the headers of a part, where a boundary may follow at once.
    BodyStart,
    Body,
    End,
    Failed(ParseError),
}

/// What stands at a place where a boundary may stand.
enum Found {
    Data,
    /// Too few bytes to tell.
    Unknown,
    Delimiter(Delimiter),
}

#[derive(Clone, Copy)]
enum Delimiter {
    /// Another part follows the line, which is so many bytes long.
    Next {
        length: usize,
        lone_line_feed: bool,
    },
    Last,
}

/// Splits a multipart body into the events of its parts.
#[derive(Debug)]
pub struct Parser {
    /// Line end, `--` and the boundary. The line end is CR LF until the first boundary is seen.
    delimiter: Vec<u8>,
    line_end_bytes: usize,
    limits: Limits,
    buffer: Bytes,
    state: State,
    parts: usize,
    input_ended: bool,
}

impl Parser {
    #[must_use]
    pub fn new(boundary: &Boundary, limits: Limits) -> Self {
        Self {
            delimiter: format!("\r\n--{boundary}").into_bytes(),
            line_end_bytes: 2,
            limits,
            buffer: Bytes::new(),
            state: State::Preamble,
            parts: 0,
            input_ended: false,
        }
    }

    /// Adds input. To keep memory bounded, ask for events until `NeedInput` before pushing more.
    pub fn push(&mut self, chunk: Bytes) {
        if self.buffer.is_empty() {
            self.buffer = chunk;
            return;
        }
        let mut joined = match std::mem::take(&mut self.buffer).try_into_mut() {
            Ok(unshared) => unshared,
            Err(shared) => BytesMut::from(shared.as_ref()),
        };
        joined.extend_from_slice(&chunk);
        self.buffer = joined.freeze();
    }

    /// Says that there is no more input.
    pub fn finish(&mut self) {
        self.input_ended = true;
    }

    /// The next event. After `End` there is only `End`; after an error only that error.
    ///
    /// # Errors
    /// See `ParseError`.
    pub fn next_event(&mut self) -> Result<Event, ParseError> {
        let result = self.advance();
        if let Err(error) = result {
            self.state = State::Failed(error);
            self.buffer = Bytes::new();
        }
        result
    }

    fn advance(&mut self) -> Result<Event, ParseError> {
        loop {
            let event = match self.state {
                State::Preamble => self.preamble()?,
                State::PreambleLine => self.preamble_line()?,
                State::Headers { .. } => self.header_line()?,
                State::BodyStart => self.body_start()?,
                State::Body => self.body()?,
                State::End => {
                    self.buffer = Bytes::new();
                    Some(Event::End)
                }
                State::Failed(error) => return Err(error),
            };
            if let Some(event) = event {
                return Ok(event);
            }
        }
    }

    fn preamble(&mut self) -> Result<Option<Event>, ParseError> {
        match self.delimiter_at(&self.buffer, self.line_end_bytes) {
            Found::Unknown => return self.need_input(),
            Found::Data => self.state = State::PreambleLine,
            Found::Delimiter(delimiter) => {
                if let Delimiter::Next { lone_line_feed: true, .. } = delimiter {
                    self.delimiter.remove(0);
                    self.line_end_bytes = 1;
                }
                self.pass(delimiter)?;
            }
        }
        Ok(None)
    }

    fn preamble_line(&mut self) -> Result<Option<Event>, ParseError> {
        let line_feed_bytes = 1;
        if let Some(at) = find_head(self.delimiter_head(line_feed_bytes), &self.buffer) {
            self.buffer.advance(at + line_feed_bytes);
            self.state = State::Preamble;
            return Ok(None);
        }
        self.buffer = Bytes::new();
        self.need_input()
    }

    fn header_line(&mut self) -> Result<Option<Event>, ParseError> {
        let max = self.limits.header_bytes_max;
        let State::Headers { head, used_bytes, scanned_bytes } = &mut self.state else {
            return Ok(None);
        };
        let unscanned = self.buffer.get(*scanned_bytes..).unwrap_or_default();
        let line_feed = unscanned.iter().position(|&byte| byte == b'\n');
        let line_bytes = line_feed.map(|at| *scanned_bytes + at + 1);
        if *used_bytes + line_bytes.unwrap_or(self.buffer.len()) > max {
            return Err(ParseError::HeadersTooLong { max });
        }
        let Some(line_bytes) = line_bytes else {
            *scanned_bytes = self.buffer.len();
            return self.need_input();
        };
        *used_bytes += line_bytes;
        *scanned_bytes = 0;
        let line = self.buffer.split_to(line_bytes);
        let line = line.strip_suffix(b"\n").unwrap_or_default();
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            let head = std::mem::take(head);
            self.state = State::BodyStart;
            return Ok(Some(Event::Part(head)));
        }
        let line = std::str::from_utf8(line).map_err(|_| ParseError::BadHeader)?;
        head.add_line(line).ok_or(ParseError::BadHeader)?;
        Ok(None)
    }

    /// An empty body may come without the line end that belongs to the boundary.
    fn body_start(&mut self) -> Result<Option<Event>, ParseError> {
        match self.delimiter_at(&self.buffer, self.line_end_bytes) {
            Found::Unknown => self.need_input(),
            Found::Data => {
                self.state = State::Body;
                Ok(None)
            }
            Found::Delimiter(delimiter) => {
                self.pass(delimiter)?;
                Ok(Some(Event::PartEnd))
            }
        }
    }

    fn body(&mut self) -> Result<Option<Event>, ParseError> {
        let head = self.delimiter_head(0);
        let mut searched = 0;
        let data_bytes = loop {
            let rest = self.buffer.get(searched..).unwrap_or_default();
            let Some(at) = find_head(head, rest) else { break self.buffer.len() };
            let candidate = rest.get(at..).unwrap_or_default();
            match self.delimiter_at(candidate, 0) {
                Found::Data => searched += at + 1,
                _ if searched + at > 0 => break searched + at,
                Found::Unknown => return self.need_input(),
                Found::Delimiter(delimiter) => {
                    self.pass(delimiter)?;
                    return Ok(Some(Event::PartEnd));
                }
            }
        };
        if data_bytes == 0 {
            return self.need_input();
        }
        Ok(Some(Event::Chunk(self.buffer.split_to(data_bytes))))
    }

    /// Goes on behind a delimiter that stands at the front of the buffer.
    fn pass(&mut self, delimiter: Delimiter) -> Result<(), ParseError> {
        let Delimiter::Next { length, .. } = delimiter else {
            self.state = State::End;
            return Ok(());
        };
        if self.parts >= self.limits.parts_max {
            return Err(ParseError::TooManyParts { max: self.limits.parts_max });
        }
        self.parts += 1;
        self.buffer.advance(length);
        self.state = State::Headers { head: PartHead::default(), used_bytes: 0, scanned_bytes: 0 };
        Ok(())
    }

    fn need_input(&self) -> Result<Option<Event>, ParseError> {
        if self.input_ended { Err(ParseError::UnexpectedEnd) } else { Ok(Some(Event::NeedInput)) }
    }

    /// The first bytes of the delimiter, after `skipped` bytes.
    fn delimiter_head(&self, skipped: usize) -> [u8; HEAD_BYTES] {
        let wanted = self.delimiter.get(skipped..).and_then(<[u8]>::first_chunk);
        wanted.copied().unwrap_or_default()
    }

    /// Compares the beginning of `bytes` with the delimiter, without its first `skipped` bytes.
    fn delimiter_at(&self, bytes: &[u8], skipped: usize) -> Found {
        let wanted = self.delimiter.get(skipped..).unwrap_or_default();
        let Some(behind) = bytes.strip_prefix(wanted) else {
            let partial = bytes.len() < wanted.len() && wanted.starts_with(bytes);
            return if partial { Found::Unknown } else { Found::Data };
        };
        if behind.starts_with(b"--") {
            return Found::Delimiter(Delimiter::Last);
        }
        let padding = behind.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        let length = wanted.len() + padding;
        let (line_end_bytes, lone_line_feed) = match behind.get(padding..).unwrap_or_default() {
            _ if padding > PADDING_BYTES_MAX => return Found::Data,
            [b'\r', b'\n', ..] => (2, false),
            [b'\n', ..] => (1, true),
            [] | [b'\r'] => return Found::Unknown,
            [b'-'] if padding == 0 => return Found::Unknown,
            _ => return Found::Data,
        };
        Found::Delimiter(Delimiter::Next { length: length + line_end_bytes, lone_line_feed })
    }
}

/// The first place where `head` stands, or where it may stand but the bytes end. Passes over whole
/// blocks without its first byte, which the compiler does with vector instructions.
fn find_head(head: [u8; HEAD_BYTES], bytes: &[u8]) -> Option<usize> {
    const BLOCK_BYTES: usize = 64;
    let [first, ..] = head;
    let mut start = 0;
    for block in bytes.as_chunks::<BLOCK_BYTES>().0 {
        if block.iter().fold(0, |found, &byte| found | u8::from(byte == first)) != 0
            && let Some(at) = find_head_before(start + BLOCK_BYTES, start, head, bytes)
        {
            return Some(at);
        }
        start += BLOCK_BYTES;
    }
    find_head_before(bytes.len(), start, head, bytes)
}

fn find_head_before(
    end: usize,
    start: usize,
    head: [u8; HEAD_BYTES],
    bytes: &[u8],
) -> Option<usize> {
    let [first, ..] = head;
    let block = bytes.get(start..end)?;
    let places = block.iter().enumerate().filter(|&(_, &byte)| byte == first);
    places.map(|(at, _)| start + at).find(|&at| {
        let here = bytes.get(at..).unwrap_or_default();
        here.starts_with(&head) || head.starts_with(here)
    })
}
