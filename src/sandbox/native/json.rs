//! Writes values as `JSON.stringify` does.

use super::document::{Document, Kind, NodeId, array_index};
use super::number::Digits;
use super::value::{Answer, Object, Stop, Value};

/// Values may be nested so deeply; those that hold themselves are.
const DEPTH_MAX: usize = 128;

/// Writes values of one document.
pub(super) struct Writer<'a, 'o> {
    pub document: Document<'a>,
    pub out: &'o mut String,
    /// How long `out` may become.
    pub bytes_max: usize,
    pub digits: Digits,
}

impl<'a> Writer<'a, '_> {
    /// Writes a value, or null where it has no JSON.
    pub fn element(&mut self, value: Value<'a>) -> Answer<()> {
        self.value(value, 0).map(|written| {
            if !written {
                self.out.push_str("null");
            }
        })
    }

    /// Writes a value; false where it has no JSON.
    pub fn value(&mut self, value: Value<'a>, depth: usize) -> Answer<bool> {
        if depth > DEPTH_MAX || self.out.len() > self.bytes_max {
            return Err(Stop::Engine);
        }
        match value {
            Value::Undefined => return Ok(false),
            Value::Null => self.out.push_str("null"),
            Value::Bool(true) => self.out.push_str("true"),
            Value::Bool(false) => self.out.push_str("false"),
            Value::Number(number) => self.number(number),
            Value::Text(text) => write_text(self.out, text),
            Value::DocumentArray(node) | Value::DocumentObject(node) => self.node(node)?,
            Value::Array(array) => {
                let items = array.items.borrow();
                self.list('[', items.iter().copied(), ']', |this, item| {
                    if !this.value(item, depth + 1)? {
                        this.out.push_str("null");
                    }
                    Ok(true)
                })?;
            }
            Value::Object(object) => self.object(object, depth)?,
            Value::Unborn | Value::Function(_) => return Err(Stop::Engine),
        }
        Ok(true)
    }

    fn object(&mut self, object: &Object<'a>, depth: usize) -> Answer<()> {
        let members = ordered(object);
        self.list('{', members.into_iter(), '}', |this, (name, value)| {
            let begin = this.out.len();
            write_text(this.out, name);
            this.out.push(':');
            let written = this.value(value, depth + 1)?;
            if !written {
                this.out.truncate(begin);
            }
            Ok(written)
        })
    }

    fn list<T>(
        &mut self,
        open: char,
        items: impl Iterator<Item = T>,
        close: char,
        mut write: impl FnMut(&mut Self, T) -> Answer<bool>,
    ) -> Answer<()> {
        self.out.push(open);
        let mut is_first = true;
        for item in items {
            if !is_first {
                self.out.push(',');
            }
            let written = write(self, item)?;
            if !written && !is_first {
                self.out.pop();
            }
            is_first &= !written;
        }
        self.out.push(close);
        Ok(())
    }

    fn number(&mut self, number: f64) {
        let text = if number.is_finite() { self.digits.of(number) } else { "null" };
        self.out.push_str(text);
    }

    fn node(&mut self, id: NodeId) -> Answer<()> {
        let node = self.document.node(id);
        match node.kind {
            Kind::Text => {
                self.out.push('"');
                self.out.push_str(self.document.raw(node));
                self.out.push('"');
            }
            Kind::Escaped => write_text(self.out, &self.document.unescaped(node)),
            Kind::Number => {
                let raw = self.document.raw(node);
                if is_short_integer(raw) {
                    self.out.push_str(raw);
                } else {
                    self.number(super::number::decimal(raw));
                }
            }
            Kind::Null | Kind::False | Kind::True => self.out.push_str(self.document.raw(node)),
            Kind::Array => {
                let elements = self.document.elements(id);
                self.list('[', elements, ']', |this, element| this.node(element).map(|()| true))?;
            }
            Kind::Object => {
                let members = self.document.members(id);
                self.list('{', members.into_iter(), '}', |this, member| {
                    this.node(member.name)?;
                    this.out.push(':');
                    this.node(member.value).map(|()| true)
                })?;
            }
        }
        Ok(())
    }
}

/// Whether a number is written as JavaScript writes it.
fn is_short_integer(raw: &str) -> bool {
    let digits = raw.strip_prefix('-').unwrap_or(raw).as_bytes();
    match digits {
        [b'0'] => raw == "0",
        [b'1'..=b'9', rest @ ..] => rest.len() < 15 && rest.iter().all(u8::is_ascii_digit),
        _ => false,
    }
}

/// The members of an object in the order in which JavaScript goes through them.
pub(super) fn ordered<'a>(object: &Object<'a>) -> Vec<(&'a str, Value<'a>)> {
    let mut members: Vec<(&str, Value<'_>)> = object.members.borrow().iter().copied().collect();
    if members.iter().any(|(name, _)| array_index(name).is_some()) {
        members.sort_by_key(|(name, _)| array_index(name).map_or((1, 0), |index| (0, index)));
    }
    members
}

/// Writes a string that is well formed.
fn write_text(out: &mut String, text: &str) {
    out.push('"');
    let mut copied = 0;
    for (at, byte) in text.bytes().enumerate() {
        if byte >= 0x20 && byte != b'"' && byte != b'\\' {
            continue;
        }
        out.push_str(text.get(copied..at).unwrap_or_default());
        copied = at + 1;
        match byte {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            0x08 => out.push_str("\\b"),
            0x0c => out.push_str("\\f"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            control => {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                let digit = |digit: u8| char::from(HEX[usize::from(digit & 15)]);
                out.push_str("\\u00");
                out.push(digit(control >> 4));
                out.push(digit(control));
            }
        }
    }
    out.push_str(text.get(copied..).unwrap_or_default());
    out.push('"');
}
