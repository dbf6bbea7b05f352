//! Strings as JavaScript counts and cuts them: by UTF-16 units.

use super::value::{Answer, Stop};

/// What `trim` takes away and `\s` matches.
pub(super) fn is_space(character: char) -> bool {
    matches!(
        character,
        '\t' | '\n' | '\u{b}' | '\u{c}' | '\r' | ' ' | '\u{a0}' | '\u{1680}' | '\u{2000}'
            ..='\u{200a}'
                | '\u{2028}'
                | '\u{2029}'
                | '\u{202f}'
                | '\u{205f}'
                | '\u{3000}'
                | '\u{feff}'
    )
}

/// A string's `length`.
pub(super) fn units(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { text.chars().map(char::len_utf16).sum() }
}

/// The byte at which a unit begins; the end where there is none. Only the engine knows strings
/// that begin in the middle of a character.
pub(super) fn byte_of_unit(text: &str, unit: usize) -> Answer<usize> {
    if text.is_ascii() {
        return Ok(unit.min(text.len()));
    }
    let mut passed = 0;
    for (byte, character) in text.char_indices() {
        if passed >= unit {
            return if passed == unit { Ok(byte) } else { Err(Stop::Engine) };
        }
        passed += character.len_utf16();
    }
    if passed > unit { Err(Stop::Engine) } else { Ok(text.len()) }
}

/// The unit at which a byte stands.
pub(super) fn unit_of_byte(text: &str, byte: usize) -> usize {
    text.get(..byte).map_or(0, units)
}

/// The units from `start` up to `end`.
pub(super) fn cut(text: &str, start: usize, end: usize) -> Answer<&str> {
    if start >= end {
        return Ok("");
    }
    let (start, end) = (byte_of_unit(text, start)?, byte_of_unit(text, end)?);
    Ok(text.get(start..end).unwrap_or_default())
}

/// The character at a unit, as `charAt` gives it.
pub(super) fn unit_at(text: &str, unit: usize) -> Answer<Option<&str>> {
    let start = byte_of_unit(text, unit)?;
    let Some(character) = text.get(start..).and_then(|rest| rest.chars().next()) else {
        return Ok(None);
    };
    if character.len_utf16() > 1 {
        return Err(Stop::Engine);
    }
    Ok(text.get(start..start + character.len_utf8()))
}

/// Whether the engine and Rust agree about the other case of a character, whatever their versions
/// of Unicode: scripts that have been complete for long. The capital sigma's other case depends on
/// what stands around it.
pub(super) fn has_known_case(character: char) -> bool {
    matches!(character,
        '\0'..='\u{17f}' | '\u{370}'..='\u{3a2}' | '\u{3a4}'..='\u{52f}'
            | '\u{3000}'..='\u{9fff}' | '\u{ac00}'..='\u{d7a3}' | '\u{1f300}'..='\u{1faff}')
}
