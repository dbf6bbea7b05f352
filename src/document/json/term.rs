//! Erlang's external term format (minor version 1), as CouchDB hashes documents in it.
//!
//! An object is `{[{Name, Value}, ...]}`, a string a binary, `true`, `false` and `null` atoms. A
//! list of fewer than 65,535 integers of one byte each has a form of its own, as in the Erlang VM
//! (`is_external_string`). The length of a list stands before it, so it is filled in at its end.

use std::borrow::Cow;
use std::ops::Range;

use super::number::{Number, Value};
use super::reader::{Container, Sink, Token};
use super::text::{Minified, USUAL_DEPTH, USUAL_MEMBERS, remove};

/// The byte that begins every term.
pub const VERSION: u8 = 131;

const SMALL_INTEGER: u8 = 0x61;
const INTEGER: u8 = 0x62;
const SMALL_BIG: u8 = 0x6e;
const LARGE_BIG: u8 = 0x6f;
const NEW_FLOAT: u8 = 0x46;
const ATOM: u8 = 0x64;
const SMALL_TUPLE: u8 = 0x68;
const NIL: u8 = 0x6a;
const STRING: u8 = 0x6b;
const LIST: u8 = 0x6c;
const BINARY: u8 = 0x6d;

/// A list of this length or longer is never written as a string.
const STRING_LENGTH_END: usize = 0xffff;
/// Bytes of a list's head: the tag and the length.
const LIST_HEAD_BYTES: usize = 5;

/// The sink that writes normalised text and, beside it, the term.
pub struct MinifiedWithTerm<'a> {
    text: Minified<'a>,
    term: Vec<u8>,
    open: Vec<OpenList>,
    /// Where the members of all open objects begin in the term, the innermost object's last.
    members: Vec<usize>,
    /// Parts of the term that duplicate members have made void.
    void: Vec<Range<usize>>,
}

/// The list of an array's elements or an object's members that has not ended yet.
struct OpenList {
    /// Where its head stands in the term.
    head: usize,
    /// Where its members begin in `members`.
    members: usize,
    length: usize,
    /// Whether every element up to now is an integer of one byte.
    bytes_only: bool,
}

impl<'a> MinifiedWithTerm<'a> {
    pub fn new(source: &'a str) -> Self {
        Self {
            text: Minified::new(source, 0),
            term: Vec::with_capacity(source.len() + source.len() / 4 + 64),
            open: Vec::with_capacity(USUAL_DEPTH),
            members: Vec::with_capacity(USUAL_MEMBERS),
            void: Vec::new(),
        }
    }

    /// As `Minified::end_with_member_left_out`.
    pub fn end_with_member_left_out(&mut self, end: usize) {
        self.text.end_with_member_left_out(end);
    }

    /// The normalised text up to `end` of the source, and the term without its version byte.
    pub fn finish(mut self, end: usize) -> (Cow<'a, [u8]>, Vec<u8>) {
        remove(&mut self.term, self.void);
        (self.text.finish(end), self.term)
    }

    /// Counts a value in the list that it stands in.
    #[inline]
    fn count(&mut self, is_byte: bool) {
        if let Some(list) = self.open.last_mut() {
            list.length += 1;
            list.bytes_only &= is_byte;
        }
    }

    /// Ends an object's list, whose duplicates the text has just found.
    fn close_members(&mut self, list: &OpenList) {
        let starts = self.members.get(list.members..).unwrap_or_default();
        let void = self.text.void_members();
        for at in void {
            if let (Some(start), Some(end)) = (starts.get(*at), starts.get(at + 1)) {
                self.void.push(*start..*end);
            }
        }
        let length = list.length - void.len();
        self.members.truncate(list.members);
        self.close_list(list.head, length);
    }

    fn close_list(&mut self, head: usize, length: usize) {
        if length == 0 {
            self.term.truncate(head);
        } else if let Some(place) = self.term.get_mut(head + 1..head + LIST_HEAD_BYTES) {
            place.copy_from_slice(&length_bytes(length));
        }
        self.term.push(NIL);
    }

    /// Writes the list of bytes that ends the term anew, in its short form.
    fn close_bytes(&mut self, head: usize, length: usize) {
        let from = head + LIST_HEAD_BYTES;
        let [.., high, low] = length_bytes(length);
        // Each element takes a tag and a byte, so the short form never overtakes its source.
        for at in 0..length {
            let byte = self.term.get(from + 2 * at + 1).copied().unwrap_or_default();
            if let Some(place) = self.term.get_mut(head + 3 + at) {
                *place = byte;
            }
        }
        if let Some(place) = self.term.get_mut(head..head + 3) {
            place.copy_from_slice(&[STRING, high, low]);
        }
        self.term.truncate(head + 3 + length);
    }
}

impl Sink for MinifiedWithTerm<'_> {
    #[inline]
    fn skip(&mut self, from: usize, to: usize) {
        self.text.skip(from, to);
    }

    #[inline]
    fn open(&mut self, container: Container) {
        self.text.open(container);
        self.count(false);
        if container == Container::Object {
            self.term.extend_from_slice(&[SMALL_TUPLE, 1]);
        }
        let (head, members) = (self.term.len(), self.members.len());
        self.open.push(OpenList { head, members, length: 0, bytes_only: true });
        self.term.extend_from_slice(&[LIST, 0, 0, 0, 0]);
    }

    #[inline]
    fn key(&mut self, token: Token, content: &str) {
        self.text.key(token, content);
        self.members.push(self.term.len());
        let [a, b, c, d] = length_bytes(content.len());
        self.term.extend_from_slice(&[SMALL_TUPLE, 2, BINARY, a, b, c, d]);
        self.term.extend_from_slice(content.as_bytes());
    }

    #[inline]
    fn string(&mut self, token: Token, content: &str) {
        self.text.string(token, content);
        self.count(false);
        put_binary(&mut self.term, content.as_bytes());
    }

    #[inline]
    fn number(&mut self, number: &Number<'_>) {
        let is_byte = matches!(number.value, Value::Small(0..=255));
        self.count(is_byte);
        match number.value {
            Value::Small(value) => put_integer(&mut self.term, value.into()),
            Value::Long(_) => put_long_integer(&mut self.term, number.text),
            Value::Float(value) => put_float(&mut self.term, value),
        }
    }

    #[inline]
    fn literal(&mut self, name: &'static str) {
        self.count(false);
        put_atom(&mut self.term, name);
    }

    #[inline]
    fn close(&mut self, container: Container, end: usize) {
        self.text.close(container, end);
        let Some(list) = self.open.pop() else { return };
        if container == Container::Object {
            self.close_members(&list);
        } else if list.bytes_only && (1..STRING_LENGTH_END).contains(&list.length) {
            self.close_bytes(list.head, list.length);
        } else {
            self.close_list(list.head, list.length);
        }
    }
}

/// A length as the format has it. Texts are shorter than 4 GiB, so it always fits.
fn length_bytes(length: usize) -> [u8; 4] {
    u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes()
}

/// The beginning of a list of `length` elements, which must be ended with `put_nil`.
pub fn put_list_head(out: &mut Vec<u8>, length: usize) {
    out.push(LIST);
    out.extend_from_slice(&length_bytes(length));
}

/// The end of a list, or a whole empty one.
pub fn put_nil(out: &mut Vec<u8>) {
    out.push(NIL);
}

/// The beginning of a tuple of `size` elements.
pub fn put_tuple_head(out: &mut Vec<u8>, size: u8) {
    out.extend_from_slice(&[SMALL_TUPLE, size]);
}

/// An atom. `name` is ASCII and shorter than 256 bytes.
pub fn put_atom(out: &mut Vec<u8>, name: &'static str) {
    let [.., high, low] = length_bytes(name.len());
    out.extend_from_slice(&[ATOM, high, low]);
    out.extend_from_slice(name.as_bytes());
}

#[inline]
pub fn put_binary(out: &mut Vec<u8>, bytes: &[u8]) {
    let [a, b, c, d] = length_bytes(bytes.len());
    out.extend_from_slice(&[BINARY, a, b, c, d]);
    out.extend_from_slice(bytes);
}

fn put_float(out: &mut Vec<u8>, value: f64) {
    out.push(NEW_FLOAT);
    out.extend_from_slice(&value.to_bits().to_be_bytes());
}

#[inline]
pub fn put_integer(out: &mut Vec<u8>, value: i128) {
    if let Ok(byte) = u8::try_from(value) {
        out.extend_from_slice(&[SMALL_INTEGER, byte]);
    } else if let Ok(value) = i32::try_from(value) {
        out.push(INTEGER);
        out.extend_from_slice(&value.to_be_bytes());
    } else {
        put_big(out, value < 0, &value.unsigned_abs().to_be_bytes());
    }
}

/// An integer of any size that does not fit into 32 bits, from its decimal digits.
fn put_long_integer(out: &mut Vec<u8>, text: &str) {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    put_big(out, negative, &big_endian(digits));
}

/// A big integer, from the bytes of its magnitude, highest first.
fn put_big(out: &mut Vec<u8>, negative: bool, magnitude: &[u8]) {
    let zeros = magnitude.iter().position(|byte| *byte != 0).unwrap_or(magnitude.len());
    let bytes = magnitude.get(zeros..).unwrap_or_default();
    if let Ok(length) = u8::try_from(bytes.len()) {
        out.extend_from_slice(&[SMALL_BIG, length]);
    } else {
        out.push(LARGE_BIG);
        out.extend_from_slice(&length_bytes(bytes.len()));
    }
    out.push(u8::from(negative));
    out.extend(bytes.iter().rev());
}

/// The bytes of a decimal number, highest first.
fn big_endian(digits: &str) -> Vec<u8> {
    const DIGITS: usize = 19;
    const BASE: u64 = 10_u64.pow(19);
    let mut limbs: Vec<u64> = Vec::with_capacity(digits.len() / DIGITS + 1);
    let (head, rest) = digits.as_bytes().split_at(digits.len() % DIGITS);
    for chunk in std::iter::once(head).chain(rest.chunks_exact(DIGITS)) {
        let mut carry =
            chunk.iter().fold(0, |value: u64, digit| value * 10 + u64::from(digit - b'0'));
        for limb in &mut limbs {
            (*limb, carry) = limb.carrying_mul(BASE, carry);
        }
        if carry != 0 {
            limbs.push(carry);
        }
    }
    limbs.iter().rev().flat_map(|limb| limb.to_be_bytes()).collect()
}
