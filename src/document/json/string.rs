//! JSON strings: finding their end, decoding their escapes, writing them as CouchDB does.
//!
//! Positions are byte offsets into a text that is known to be UTF-8; a string begins and ends at
//! ASCII bytes, so every slice taken here falls on character boundaries.

use std::mem::size_of;

/// The position of the first quote, backslash or control character at or after `at`; the length
/// of `bytes` where there is none.
pub fn find_special(bytes: &[u8], mut at: usize) -> usize {
    while let Some(chunk) = bytes.get(at..).and_then(|rest| rest.first_chunk()) {
        let found = special_bytes(u64::from_le_bytes(*chunk));
        if found != 0 {
            return at + found.trailing_zeros() as usize / 8;
        }
        at += size_of::<u64>();
    }
    let rest = bytes.get(at..).unwrap_or_default();
    let special = |byte: &u8| *byte < b' ' || matches!(byte, b'"' | b'\\');
    rest.iter().position(special).map_or(bytes.len(), |found| at + found)
}

/// The top bit of the first special byte of eight, little-endian; bits after the first one mean
/// nothing (a borrow can set them). Zero where no byte is special.
fn special_bytes(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const TOPS: u64 = 0x8080_8080_8080_8080;
    let below = |word: u64, bound: u64| word.wrapping_sub(ONES * bound) & !word;
    let quote = below(word ^ (ONES * 0x22), 1);
    let backslash = below(word ^ (ONES * 0x5c), 1);
    (below(word, 0x20) | quote | backslash) & TOPS
}

/// Decodes the string whose content begins at `start` and whose first backslash is at `special`.
/// Puts the content into `decoded` and returns the position after the closing quote; `None` where
/// the string does not end, or has a bad escape, a lone surrogate or a raw control character.
pub fn decode(text: &str, start: usize, special: usize, decoded: &mut String) -> Option<usize> {
    let bytes = text.as_bytes();
    let (mut start, mut special) = (start, special);
    decoded.clear();
    loop {
        decoded.push_str(text.get(start..special)?);
        match bytes.get(special)? {
            b'"' => return Some(special + 1),
            b'\\' => {}
            _ => return None,
        }
        let (character, next) = unescape(bytes, special + 1)?;
        decoded.push(character);
        start = next;
        special = find_special(bytes, next);
    }
}

/// Reads what stands behind a backslash, from `at`: the character and the position after it.
fn unescape(bytes: &[u8], at: usize) -> Option<(char, usize)> {
    let character = match bytes.get(at)? {
        b'"' => '"',
        b'\\' => '\\',
        b'/' => '/',
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => return unescape_unicode(bytes, at + 1),
        _ => return None,
    };
    Some((character, at + 1))
}

/// Reads the four digits at `at`, and the second half of a surrogate pair where they are a first.
fn unescape_unicode(bytes: &[u8], at: usize) -> Option<(char, usize)> {
    let unit = four_digits(bytes, at)?;
    if !(0xd800..0xdc00).contains(&unit) {
        return Some((char::from_u32(unit)?, at + 4));
    }
    if bytes.get(at + 4..at + 6)? != br"\u" {
        return None;
    }
    let low = four_digits(bytes, at + 6)?;
    if !(0xdc00..0xe000).contains(&low) {
        return None;
    }
    let code = 0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
    Some((char::from_u32(code)?, at + 10))
}

fn four_digits(bytes: &[u8], at: usize) -> Option<u32> {
    let digits = bytes.get(at..at + 4)?;
    digits.iter().try_fold(0, |unit, digit| Some(unit << 4 | char::from(*digit).to_digit(16)?))
}

/// Appends `text` as a JSON string with CouchDB's escapes: `\" \\ \b \f \n \r \t`, `\u00XX` for
/// the other control characters, and everything else as it is.
pub fn write_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    write_content(out, text);
    out.push(b'"');
}

/// As `write_string`, without the quotes.
pub fn write_content(out: &mut Vec<u8>, text: &str) {
    let bytes = text.as_bytes();
    let mut start = 0;
    loop {
        let special = find_special(bytes, start);
        out.extend_from_slice(bytes.get(start..special).unwrap_or_default());
        let Some(byte) = bytes.get(special) else { return };
        write_escape(out, *byte);
        start = special + 1;
    }
}

fn write_escape(out: &mut Vec<u8>, byte: u8) {
    let letter = match byte {
        b'"' | b'\\' => byte,
        0x08 => b'b',
        0x0c => b'f',
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        _ => {
            const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
            let digit = |value: u8| DIGITS[usize::from(value & 15)];
            out.extend_from_slice(&[b'\\', b'u', b'0', b'0', digit(byte >> 4), digit(byte)]);
            return;
        }
    };
    out.extend_from_slice(&[b'\\', letter]);
}
