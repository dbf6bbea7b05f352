//! The grammar of JSON over a borrowed text, one token after the other.
//!
//! A `Reader` stands at a position, checks what it passes and tells a `Sink` of it. It accepts
//! exactly RFC 8259 within the limits. It never recurses: containers that are open stand on a
//! stack of its own. Callers that care for some members (a document's `_id`, a request's `docs`)
//! walk the outer containers themselves with `open_object`, `next_key` and `next_element`, and
//! leave the values inside to `value`.

use super::Limits;
use super::number::{self, Number};
use super::string;

/// The text breaks the grammar or a limit. Where does not matter: CouchDB does not say it either.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidJson;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Container {
    Array,
    Object,
}

/// A string in the text, found but not yet looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Token {
    /// The position of the opening quote.
    pub start: usize,
    /// The position after the closing quote.
    pub end: usize,
    pub escaped: bool,
}

/// What a reader tells of a text, in the order of the text. Separators are not told.
pub trait Sink {
    /// The bytes from `from` to `to` are white space.
    fn skip(&mut self, from: usize, to: usize);
    fn open(&mut self, container: Container);
    /// A member's name; `content` is without quotes and escapes. Its value comes next.
    fn key(&mut self, token: Token, content: &str);
    fn string(&mut self, token: Token, content: &str);
    fn number(&mut self, number: &Number<'_>);
    /// `true`, `false` or `null`.
    fn literal(&mut self, name: &'static str);
    /// The innermost container has ended before `end`.
    fn close(&mut self, container: Container, end: usize);
}

/// The sink for what must be valid but is not wanted.
#[derive(Debug)]
pub struct Check;

impl Sink for Check {
    fn skip(&mut self, _: usize, _: usize) {}
    fn open(&mut self, _: Container) {}
    fn key(&mut self, _: Token, _: &str) {}
    fn string(&mut self, _: Token, _: &str) {}
    fn number(&mut self, _: &Number<'_>) {}
    fn literal(&mut self, _: &'static str) {}
    fn close(&mut self, _: Container, _: usize) {}
}

/// A value in which a caller looks for one of a few simple types.
#[derive(Debug, PartialEq, Eq)]
pub enum Scalar<'r> {
    String(&'r str),
    /// A non-negative integer within 64 bits.
    Unsigned(u64),
    Bool(bool),
    /// Anything else; it has been read over.
    Other,
}

pub struct Reader<'a> {
    text: &'a str,
    at: usize,
    open: Vec<Container>,
    /// Nothing has been read yet of the innermost open container.
    fresh: bool,
    /// The content of the last string that had escapes.
    decoded: String,
    limits: Limits,
    /// How many digits integers of more than `LONG_DIGITS` may still have.
    long_digits_left: usize,
}

/// Integers up to this many digits cost less to convert than to send.
const LONG_DIGITS: usize = 1_000;

impl<'a> Reader<'a> {
    /// Starts at the beginning of `text`, which must be UTF-8 and shorter than 4 GiB.
    pub fn new(text: &'a [u8], limits: &Limits) -> Result<Self, InvalidJson> {
        if u32::try_from(text.len()).is_err() {
            return Err(InvalidJson);
        }
        Ok(Self {
            text: std::str::from_utf8(text).map_err(|_| InvalidJson)?,
            at: 0,
            open: Vec::new(),
            fresh: false,
            decoded: String::new(),
            limits: *limits,
            long_digits_left: limits.integer_digits_max.saturating_mul(10),
        })
    }

    pub fn text(&self) -> &'a str {
        self.text
    }

    /// The position before which everything has been read.
    pub fn position(&self) -> usize {
        self.at
    }

    /// What has been read since `start`.
    pub fn since(&self, start: usize) -> &'a [u8] {
        self.text.as_bytes().get(start..self.at).unwrap_or_default()
    }

    /// Checks that nothing but white space is left.
    pub fn finish(mut self) -> Result<(), InvalidJson> {
        match self.peek(&mut Check) {
            Ok(_) => Err(InvalidJson),
            Err(InvalidJson) => Ok(()),
        }
    }

    /// The first byte of the next token.
    #[inline]
    pub fn peek<S: Sink>(&mut self, sink: &mut S) -> Result<u8, InvalidJson> {
        match self.text.as_bytes().get(self.at) {
            Some(&byte) if byte > b' ' => Ok(byte),
            Some(_) => self.skip_space(sink),
            None => Err(InvalidJson),
        }
    }

    fn skip_space<S: Sink>(&mut self, sink: &mut S) -> Result<u8, InvalidJson> {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        let space = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
        let end = rest.iter().position(|byte| !space(byte));
        let start = self.at;
        self.at += end.unwrap_or(rest.len());
        sink.skip(start, self.at);
        end.and_then(|end| rest.get(end)).copied().ok_or(InvalidJson)
    }

    /// Reads one value with all that is in it.
    pub fn value<S: Sink>(&mut self, sink: &mut S) -> Result<(), InvalidJson> {
        let outside = self.open.len();
        loop {
            self.begin_value(sink)?;
            loop {
                if self.open.len() == outside {
                    return Ok(());
                }
                if self.next_place(sink)? {
                    break;
                }
            }
        }
    }

    /// Reads a whole scalar, or the opening bracket of a container.
    #[inline]
    fn begin_value<S: Sink>(&mut self, sink: &mut S) -> Result<(), InvalidJson> {
        match self.peek(sink)? {
            b'"' => {
                let token = self.string()?;
                sink.string(token, self.content(token));
            }
            b'{' => return self.open(Container::Object, sink),
            b'[' => return self.open(Container::Array, sink),
            b'-' | b'0'..=b'9' => self.number(sink)?,
            b't' => self.literal("true", sink)?,
            b'f' => self.literal("false", sink)?,
            b'n' => self.literal("null", sink)?,
            _ => return Err(InvalidJson),
        }
        self.fresh = false;
        Ok(())
    }

    /// Goes to the place of the next value in the innermost container; `false` where it ends.
    #[inline]
    fn next_place<S: Sink>(&mut self, sink: &mut S) -> Result<bool, InvalidJson> {
        if self.open.last() == Some(&Container::Array) {
            return self.next_element(sink);
        }
        let Some(token) = self.next_key(sink)? else { return Ok(false) };
        sink.key(token, self.content(token));
        self.colon(sink)?;
        Ok(true)
    }

    /// Reads the `{` that `peek` has seen.
    pub fn open_object<S: Sink>(&mut self, sink: &mut S) -> Result<(), InvalidJson> {
        self.open(Container::Object, sink)
    }

    /// Reads the `[` that `peek` has seen.
    pub fn open_array<S: Sink>(&mut self, sink: &mut S) -> Result<(), InvalidJson> {
        self.open(Container::Array, sink)
    }

    fn open<S: Sink>(&mut self, container: Container, sink: &mut S) -> Result<(), InvalidJson> {
        if self.open.len() >= self.limits.depth_max {
            return Err(InvalidJson);
        }
        self.open.push(container);
        self.at += 1;
        self.fresh = true;
        sink.open(container);
        Ok(())
    }

    fn close<S: Sink>(&mut self, container: Container, sink: &mut S) {
        self.open.pop();
        self.at += 1;
        self.fresh = false;
        sink.close(container, self.at);
    }

    /// In an object: reads the next member's name, or the end of the object (`None`). The sink is
    /// not told of the name. `colon` and `value` must follow.
    #[inline]
    pub fn next_key<S: Sink>(&mut self, sink: &mut S) -> Result<Option<Token>, InvalidJson> {
        match self.peek(sink)? {
            b'}' => {
                self.close(Container::Object, sink);
                return Ok(None);
            }
            b',' if !self.fresh => {
                self.at += 1;
                self.peek(sink)?;
            }
            _ if self.fresh => {}
            _ => return Err(InvalidJson),
        }
        self.string().map(Some)
    }

    /// Reads the colon between a member's name and its value.
    #[inline]
    pub fn colon<S: Sink>(&mut self, sink: &mut S) -> Result<(), InvalidJson> {
        if self.peek(sink)? != b':' {
            return Err(InvalidJson);
        }
        self.at += 1;
        Ok(())
    }

    /// In an array: goes to the next element (`value` must follow), or reads the end (`false`).
    #[inline]
    pub fn next_element<S: Sink>(&mut self, sink: &mut S) -> Result<bool, InvalidJson> {
        match self.peek(sink)? {
            b']' => {
                self.close(Container::Array, sink);
                Ok(false)
            }
            b',' if !self.fresh => {
                self.at += 1;
                Ok(true)
            }
            _ if self.fresh => Ok(true),
            _ => Err(InvalidJson),
        }
    }

    /// The text of a string without quotes and escapes. Of the strings with escapes only the last
    /// one that was read is still known.
    #[inline]
    pub fn content(&self, token: Token) -> &str {
        if token.escaped {
            return &self.decoded;
        }
        self.text.get(token.start + 1..token.end - 1).unwrap_or_default()
    }

    #[inline]
    fn string(&mut self) -> Result<Token, InvalidJson> {
        let bytes = self.text.as_bytes();
        let start = self.at;
        if bytes.get(start) != Some(&b'"') {
            return Err(InvalidJson);
        }
        let special = string::find_special(bytes, start + 1);
        let escaped = match bytes.get(special) {
            Some(b'"') => false,
            Some(b'\\') => true,
            _ => return Err(InvalidJson),
        };
        self.at = if escaped {
            string::decode(self.text, start + 1, special, &mut self.decoded).ok_or(InvalidJson)?
        } else {
            special + 1
        };
        Ok(Token { start, end: self.at, escaped })
    }

    fn number<S: Sink>(&mut self, sink: &mut S) -> Result<(), InvalidJson> {
        let number = number::read(self.text, self.at).ok_or(InvalidJson)?;
        if let number::Value::Long(digits) = number.value {
            self.allow_long_integer(digits)?;
        }
        self.at += number.text.len();
        sink.number(&number);
        Ok(())
    }

    fn allow_long_integer(&mut self, digits: usize) -> Result<(), InvalidJson> {
        if digits > self.limits.integer_digits_max {
            return Err(InvalidJson);
        }
        if digits > LONG_DIGITS {
            self.long_digits_left = self.long_digits_left.checked_sub(digits).ok_or(InvalidJson)?;
        }
        Ok(())
    }

    fn literal<S: Sink>(&mut self, name: &'static str, sink: &mut S) -> Result<(), InvalidJson> {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        if !rest.starts_with(name.as_bytes()) {
            return Err(InvalidJson);
        }
        self.at += name.len();
        sink.literal(name);
        Ok(())
    }

    /// Reads one value of which only the simple types matter.
    pub fn scalar(&mut self) -> Result<Scalar<'_>, InvalidJson> {
        let first = self.peek(&mut Check)?;
        if first == b'"' {
            let token = self.string()?;
            self.fresh = false;
            return Ok(Scalar::String(self.content(token)));
        }
        let start = self.at;
        self.value(&mut Check)?;
        Ok(match (first, self.text.get(start..self.at).unwrap_or_default()) {
            (b't', _) => Scalar::Bool(true),
            (b'f', _) => Scalar::Bool(false),
            (b'0'..=b'9', digits) => digits.parse().map_or(Scalar::Other, Scalar::Unsigned),
            _ => Scalar::Other,
        })
    }
}
