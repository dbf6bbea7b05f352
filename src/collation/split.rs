//! Where keys end, and where the keys of a group of arrays stop being alike.
//!
//! Keys are walked by their tags; nothing is decoded.

/// What stands after a tag.
enum Token {
    /// So many bytes.
    Fixed(usize),
    /// Bytes up to a zero, which is one of them.
    SortKey,
    /// Bytes up to two zeros; a zero inside is followed by FF.
    Bytes,
    Array,
    Object,
}

type Tokens = fn(u8) -> Option<Token>;

fn view(tag: u8) -> Option<Token> {
    match tag {
        0x10..=0x12 => Some(Token::Fixed(0)),
        0x20 => Some(Token::Fixed(8)),
        0x30 => Some(Token::SortKey),
        0x40 => Some(Token::Array),
        0x50 => Some(Token::Object),
        _ => None,
    }
}

fn raw(tag: u8) -> Option<Token> {
    match tag {
        0x10 => Some(Token::Fixed(10)),
        0x20..=0x22 => Some(Token::Fixed(0)),
        0x30 => Some(Token::Object),
        0x40 => Some(Token::Array),
        0x50 => Some(Token::Bytes),
        _ => None,
    }
}

/// The length of the key in view order that `bytes` begins with.
#[must_use]
pub fn key_end(bytes: &[u8]) -> Option<usize> {
    walk(bytes, view, u64::MAX)
}

/// The length of the key in raw order that `bytes` begins with.
#[must_use]
pub fn raw_key_end(bytes: &[u8]) -> Option<usize> {
    walk(bytes, raw, u64::MAX)
}

/// How many bytes all keys have in common that are alike in their first `elements` elements: of
/// the key in view order that `bytes` begins with those up to the end of that element, or the
/// whole key if it is no array or a shorter one.
#[must_use]
pub fn group_end(bytes: &[u8], elements: u64) -> Option<usize> {
    walk(bytes, view, elements)
}

/// As [`group_end`], in raw order.
#[must_use]
pub fn raw_group_end(bytes: &[u8], elements: u64) -> Option<usize> {
    walk(bytes, raw, elements)
}

fn walk(bytes: &[u8], tokens: Tokens, elements: u64) -> Option<usize> {
    const END: u8 = 0;
    let array = matches!(tokens(*bytes.first()?), Some(Token::Array));
    let (mut at, mut depth, mut seen) = (0, 0_usize, 0);
    loop {
        let tag = *bytes.get(at)?;
        at += 1;
        if tag == END {
            depth = depth.checked_sub(1)?;
        } else {
            match tokens(tag)? {
                Token::Fixed(length) => at += length,
                Token::SortKey => at += 1 + bytes.get(at..)?.iter().position(|byte| *byte == 0)?,
                Token::Bytes => at += escaped_length(bytes.get(at..)?)?,
                Token::Array | Token::Object => {
                    depth += 1;
                    continue;
                }
            }
        }
        if depth == 1 && array {
            seen += 1;
        }
        if depth == 0 || (depth == 1 && array && seen == elements) {
            return (at <= bytes.len()).then_some(at);
        }
    }
}

/// The length of escaped bytes with the two zeros that end them.
fn escaped_length(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at += 1 + bytes.get(at..)?.iter().position(|byte| *byte == 0)?;
        let after = *bytes.get(at)?;
        at += 1;
        if after == 0 {
            return Some(at);
        }
    }
}
