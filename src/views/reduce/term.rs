//! JSON values as built-in reduces calculate with them: integers exact, members in order.
//!
//! What is read is JSON that this server has checked before, so the reader is lenient; depth is
//! limited because it recurses.

use std::cmp::Ordering;
use std::fmt::Write;

use crate::document::json::{write_float, write_string};

/// Arrays and objects inside each other.
const DEPTH_MAX: usize = 1_000;

/// What a stored number begins with.
const INTEGER: u8 = 0;
const FLOAT: u8 = 1;
const LONG_INTEGER: u8 = 2;

/// A number as Erlang tells them apart. An integer beyond the type becomes a float.
#[derive(Debug, Clone, Copy)]
pub enum Number {
    Integer(i128),
    Float(f64),
}

/// A JSON value.
#[derive(Debug, Clone, PartialEq)]
pub enum Term {
    Null,
    Bool(bool),
    Number(Number),
    Text(String),
    List(Vec<Term>),
    Object(Vec<(String, Term)>),
}

impl Number {
    pub const ZERO: Self = Self::Integer(0);
    pub const ONE: Self = Self::Integer(1);

    /// Reads the text of a JSON number.
    pub fn parse(text: &str) -> Option<Self> {
        if let Ok(integer) = text.parse::<i64>() {
            return Some(Self::Integer(integer.into()));
        }
        // Only digits can be an integer of more than 64 bits.
        if let Some(b'0'..=b'9') = text.as_bytes().get(18)
            && let Ok(integer) = text.parse()
        {
            return Some(Self::Integer(integer));
        }
        text.parse().ok().filter(|float: &f64| float.is_finite()).map(Self::Float)
    }

    /// The number that a JSON text is; none where it is something else.
    pub fn of_json(text: &str) -> Option<Self> {
        match text.as_bytes().first()? {
            b'-' | b'0'..=b'9' => Self::parse(text),
            _ => None,
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "that is what a float is")]
    pub fn float(self) -> f64 {
        match self {
            Self::Integer(integer) => match i64::try_from(integer) {
                Ok(small) => small as f64,
                Err(_) => integer as f64,
            },
            Self::Float(float) => float,
        }
    }

    /// Writes it so that [`Self::decode`] reads it.
    pub fn encode_to(self, out: &mut Vec<u8>) {
        match self {
            Self::Integer(integer) => match i64::try_from(integer) {
                Ok(small) => {
                    out.push(INTEGER);
                    out.extend_from_slice(&small.to_be_bytes());
                }
                Err(_) => {
                    out.push(LONG_INTEGER);
                    out.extend_from_slice(&integer.to_be_bytes());
                }
            },
            Self::Float(float) => {
                out.push(FLOAT);
                out.extend_from_slice(&float.to_bits().to_be_bytes());
            }
        }
    }

    /// Reads what [`Self::encode_to`] has written, and goes on behind it.
    pub fn decode(rest: &mut &[u8]) -> Option<Self> {
        let (tag, after) = rest.split_first()?;
        let number;
        (number, *rest) = match *tag {
            INTEGER => {
                let (bytes, after) = after.split_first_chunk()?;
                (Self::Integer(i64::from_be_bytes(*bytes).into()), after)
            }
            LONG_INTEGER => {
                let (bytes, after) = after.split_first_chunk()?;
                (Self::Integer(i128::from_be_bytes(*bytes)), after)
            }
            FLOAT => {
                let (bytes, after) = after.split_first_chunk()?;
                (Self::Float(f64::from_bits(u64::from_be_bytes(*bytes))), after)
            }
            _ => return None,
        };
        Some(number)
    }

    /// Erlang's `+`; none where a float cannot hold it.
    pub fn plus(self, other: Self) -> Option<Self> {
        self.calculate(other, i128::checked_add, |a, b| a + b)
    }

    /// Erlang's `*`; none where a float cannot hold it.
    pub fn times(self, other: Self) -> Option<Self> {
        self.calculate(other, i128::checked_mul, |a, b| a * b)
    }

    #[inline]
    fn calculate(
        self,
        other: Self,
        exact: impl Fn(i128, i128) -> Option<i128>,
        rounded: impl Fn(f64, f64) -> f64,
    ) -> Option<Self> {
        if let (Self::Integer(a), Self::Integer(b)) = (self, other)
            && let Some(integer) = exact(a, b)
        {
            return Some(Self::Integer(integer));
        }
        let float = rounded(self.float(), other.float());
        float.is_finite().then_some(Self::Float(float))
    }

    pub fn compare(self, other: Self) -> Ordering {
        match (self, other) {
            (Self::Integer(a), Self::Integer(b)) => a.cmp(&b),
            (Self::Float(a), Self::Float(b)) => a.partial_cmp(&b).unwrap_or(Ordering::Equal),
            (a, b) => a.float().partial_cmp(&b.float()).unwrap_or(Ordering::Equal),
        }
    }

    pub fn write(self, out: &mut String) {
        match self {
            Self::Integer(integer) => {
                let _ = write!(out, "{integer}");
            }
            Self::Float(float) => out.push_str(&write_float(float)),
        }
    }
}

impl PartialEq for Number {
    /// Whether they are the same number of the same kind.
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Integer(a), Self::Integer(b)) => a == b,
            (Self::Float(a), Self::Float(b)) => a.to_bits() == b.to_bits(),
            _ => false,
        }
    }
}

impl Term {
    /// Reads JSON; none where it is none, or too deep, or has a number that is too large.
    pub fn parse(text: &str) -> Option<Self> {
        let mut reader = TermReader { text, at: 0 };
        let term = reader.value(0)?;
        (reader.peek().is_none()).then_some(term)
    }

    pub fn member(&self, name: &str) -> Option<&Self> {
        match self {
            // Of two members of one name Erlang's lookups find the first.
            Self::Object(members) => {
                members.iter().find(|(member, _)| member == name).map(|(_, value)| value)
            }
            _ => None,
        }
    }

    pub fn write(&self, out: &mut String) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(bool) => out.push_str(if *bool { "true" } else { "false" }),
            Self::Number(number) => number.write(out),
            Self::Text(text) => write_text(out, text),
            Self::List(elements) => {
                out.push('[');
                for (at, element) in elements.iter().enumerate() {
                    out.push_str(if at > 0 { "," } else { "" });
                    element.write(out);
                }
                out.push(']');
            }
            Self::Object(members) => {
                out.push('{');
                for (at, (name, value)) in members.iter().enumerate() {
                    out.push_str(if at > 0 { "," } else { "" });
                    write_text(out, name);
                    out.push(':');
                    value.write(out);
                }
                out.push('}');
            }
        }
    }

    pub fn to_json(&self) -> String {
        let mut out = String::new();
        self.write(&mut out);
        out
    }
}

/// Writes a JSON string.
pub fn write_text(out: &mut String, text: &str) {
    let mut bytes = Vec::with_capacity(text.len() + 2);
    write_string(&mut bytes, text);
    out.push_str(std::str::from_utf8(&bytes).unwrap_or_default());
}

struct TermReader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> TermReader<'a> {
    /// The first byte of the next token.
    fn peek(&mut self) -> Option<u8> {
        let rest = self.text.as_bytes().get(self.at..)?;
        let space = rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        self.at += space;
        rest.get(space).copied()
    }

    fn take(&mut self, wanted: u8) -> Option<()> {
        (self.peek()? == wanted).then(|| self.at += 1)
    }

    /// The text up to where `ends` says so.
    fn until(&mut self, ends: impl Fn(u8) -> bool) -> Option<&'a str> {
        let rest = self.text.get(self.at..)?;
        let length = rest.bytes().position(ends).unwrap_or(rest.len());
        self.at += length;
        rest.get(..length)
    }

    fn value(&mut self, depth: usize) -> Option<Term> {
        if depth > DEPTH_MAX {
            return None;
        }
        match self.peek()? {
            b'"' => self.string().map(Term::Text),
            b'[' => self.list(depth),
            b'{' => self.object(depth),
            b'-' | b'0'..=b'9' => {
                let part = |byte: u8| {
                    byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E')
                };
                Number::parse(self.until(|byte| !part(byte))?).map(Term::Number)
            }
            _ => match self.until(|byte| !byte.is_ascii_lowercase())? {
                "null" => Some(Term::Null),
                "true" => Some(Term::Bool(true)),
                "false" => Some(Term::Bool(false)),
                _ => None,
            },
        }
    }

    fn string(&mut self) -> Option<String> {
        let rest = self.text.get(self.at..)?;
        let mut escaped = false;
        let end = rest.bytes().skip(1).position(|byte| {
            let end = byte == b'"' && !escaped;
            escaped = byte == b'\\' && !escaped;
            end
        })?;
        self.at += end + 2;
        let token = rest.get(..end + 2)?;
        if token.contains('\\') {
            return serde_json::from_str(token).ok();
        }
        token.get(1..end + 1).map(str::to_owned)
    }

    fn list(&mut self, depth: usize) -> Option<Term> {
        self.take(b'[')?;
        let mut elements = Vec::new();
        while self.peek()? != b']' {
            if !elements.is_empty() {
                self.take(b',')?;
            }
            elements.push(self.value(depth + 1)?);
        }
        self.take(b']')?;
        Some(Term::List(elements))
    }

    fn object(&mut self, depth: usize) -> Option<Term> {
        self.take(b'{')?;
        let mut members = Vec::new();
        while self.peek()? != b'}' {
            if !members.is_empty() {
                self.take(b',')?;
                self.peek()?;
            }
            let name = self.string()?;
            self.take(b':')?;
            members.push((name, self.value(depth + 1)?));
        }
        self.take(b'}')?;
        Some(Term::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".{0,4}".prop_map(Value::String),
            "[\\\\\"\u{1}é]{0,4}".prop_map(Value::String),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
                prop::collection::vec(("[a-c\"]{0,2}", inner), 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn numbers_are_stored_exactly(integer: i128, small: i64, bits: u64, behind: Vec<u8>) {
            let float = f64::from_bits(bits);
            for number in [
                Number::Integer(integer), Number::Integer(small.into()), Number::Float(float),
            ] {
                let mut stored = Vec::new();
                number.encode_to(&mut stored);
                for end in 0..stored.len() {
                    prop_assert_eq!(Number::decode(&mut &stored[..end]), None);
                }
                stored.extend_from_slice(&behind);
                let mut rest = stored.as_slice();
                prop_assert_eq!(Number::decode(&mut rest), Some(number));
                prop_assert_eq!(rest, behind.as_slice());
            }
            prop_assert_eq!(Number::of_json(&integer.to_string()), Some(Number::Integer(integer)));
        }

        #[test]
        fn values_survive_a_round_trip(value in json(), pretty: bool) {
            let text = if pretty { format!("{value:#}") } else { value.to_string() };
            let term = Term::parse(&text).unwrap();
            let written = term.to_json();
            prop_assert_eq!(serde_json::from_str::<Value>(&written).unwrap(), value);
            prop_assert_eq!(Term::parse(&written), Some(term));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "[\\[\\]{}\":,0-9a-z\\\\ .-]{0,12}") {
            let _ = Term::parse(&text);
        }
    }

    #[test]
    fn integers_are_exact_and_floats_stay_floats() {
        let digits = "170141183460469231731687303715884105727";
        let texts = [
            ("1", "1"),
            ("1.0", "1.0"),
            ("-0.0", "-0.0"),
            ("1e3", "1000.0"),
            (digits, digits),
            ("1701411834604692317316873037158841057270", "1.7014118346046923e+39"),
            ("[1e-7,{\"a\":[]}]", "[1e-7,{\"a\":[]}]"),
        ];
        for (text, written) in texts {
            assert_eq!(Term::parse(text).unwrap().to_json(), written);
        }
        assert_eq!(Term::parse("1e999"), None);
    }

    #[test]
    fn depth_is_limited() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(Term::parse(&nested(DEPTH_MAX)).is_some());
        assert!(Term::parse(&nested(100_000)).is_none());
    }
}
