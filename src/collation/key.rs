//! The two orders as byte keys.
//!
//! A key is one tag byte for the type, then: for a number its double as eight bytes that sort (in
//! raw order two more for what an integer lost by that); for a string its sort key and a zero (in
//! raw order its bytes, a zero written as 00 FF, and 00 00 at the end); for an array its elements
//! and a zero; for an object its entries, name before value, and a zero. No tag is zero, so the
//! end of a container sorts before anything that could follow in a longer one.

use std::slice;

use serde_json::Value;
use serde_json::map;

use super::compare::{double, rounded_off};
use super::strings::write_sort_key;

pub(super) const END: u8 = 0;

/// Appends the key of a value in view order.
pub fn write_key(out: &mut Vec<u8>, value: &Value) {
    write(out, value, &VIEW);
}

/// Appends the key of a value in raw order.
pub fn write_raw_key(out: &mut Vec<u8>, value: &Value) {
    write(out, value, &RAW);
}

/// What tells one kind of key from the other.
pub(super) struct Encoding {
    pub(super) null: u8,
    pub(super) no: u8,
    pub(super) yes: u8,
    pub(super) number: u8,
    pub(super) string: u8,
    pub(super) array: u8,
    pub(super) object: u8,
    /// Takes the double, and what an integer lost by becoming one.
    pub(super) write_number: fn(&mut Vec<u8>, f64, i16),
    pub(super) write_string: fn(&mut Vec<u8>, &str),
}

pub(super) const VIEW: Encoding = Encoding {
    null: 0x10,
    no: 0x11,
    yes: 0x12,
    number: 0x20,
    string: 0x30,
    array: 0x40,
    object: 0x50,
    write_number: |out, number, _| write_double(out, number),
    write_string: |out, text| {
        write_sort_key(out, text);
        out.push(END);
    },
};

pub(super) const RAW: Encoding = Encoding {
    number: 0x10,
    no: 0x20,
    null: 0x21,
    yes: 0x22,
    object: 0x30,
    array: 0x40,
    string: 0x50,
    write_number: |out, number, lost| {
        write_double(out, number);
        let lost = lost.cast_unsigned() ^ (1 << 15);
        out.extend_from_slice(&lost.to_be_bytes());
    },
    write_string: write_bytes,
};

/// An array or object whose elements are being written.
enum Open<'a> {
    Array(slice::Iter<'a, Value>),
    Object(map::Iter<'a>),
}

fn write(out: &mut Vec<u8>, value: &Value, encoding: &Encoding) {
    let mut open = Vec::new();
    let mut next = Some(value);
    loop {
        if let Some(value) = next {
            open.extend(write_head(out, value, encoding));
        }
        next = match open.last_mut() {
            None => return,
            Some(Open::Array(elements)) => elements.next(),
            Some(Open::Object(entries)) => entries.next().map(|(name, value)| {
                out.push(encoding.string);
                (encoding.write_string)(out, name);
                value
            }),
        };
        if next.is_none() {
            out.push(END);
            open.pop();
        }
    }
}

/// Writes a scalar, or the tag of a container, which is returned.
fn write_head<'a>(out: &mut Vec<u8>, value: &'a Value, encoding: &Encoding) -> Option<Open<'a>> {
    match value {
        Value::Null => out.push(encoding.null),
        Value::Bool(false) => out.push(encoding.no),
        Value::Bool(true) => out.push(encoding.yes),
        Value::Number(number) => {
            out.push(encoding.number);
            (encoding.write_number)(out, double(number), rounded_off(number));
        }
        Value::String(text) => {
            out.push(encoding.string);
            (encoding.write_string)(out, text);
        }
        Value::Array(elements) => {
            out.push(encoding.array);
            return Some(Open::Array(elements.iter()));
        }
        Value::Object(entries) => {
            out.push(encoding.object);
            return Some(Open::Object(entries.iter()));
        }
    }
    None
}

fn write_double(out: &mut Vec<u8>, number: f64) {
    const SIGN: u64 = 1 << 63;
    let bits = number.to_bits();
    let sorting = if bits & SIGN == 0 { bits | SIGN } else { !bits };
    out.extend_from_slice(&sorting.to_be_bytes());
}

fn write_bytes(out: &mut Vec<u8>, text: &str) {
    for byte in text.bytes() {
        out.push(byte);
        if byte == 0 {
            out.push(0xFF);
        }
    }
    out.extend_from_slice(&[0, 0]);
}
