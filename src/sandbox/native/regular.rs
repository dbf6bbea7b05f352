//! Regular expressions that only tell whether they match: `/^[a-z]+-\d{4}$/.test(text)`.
//!
//! They are written anew for a matcher whose time is linear in the text, as far as they mean the
//! same to it: which texts match does not depend on the order in which ways to match are tried.
//! Look-around, back-references and rarer escapes are the engine's.

use std::fmt::Write as _;

use regex::{Regex, RegexBuilder};

use super::pattern::{Class, Others, class_of, is_special};
use super::value::{Answer, Stop};

/// The longest expression, in bytes.
const SOURCE_BYTES_MAX: usize = 500;

/// The largest program, in bytes, and what it keeps beside it.
const PROGRAM_BYTES_MAX: usize = 64 << 10;

/// Groups within groups.
const DEPTH_MAX: usize = 10;

/// What `\s` matches beyond ASCII.
const SPACES: &str =
    r"\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}\x{feff}";

/// A regular expression.
#[derive(Debug)]
pub(super) struct Regular {
    program: Regex,
}

impl Regular {
    /// Reads a literal's source and flags. It must be one that the engine takes.
    pub fn new(source: &str, flags: &str) -> Option<Self> {
        let known = flags.chars().all(|flag| matches!(flag, 'g' | 'i'));
        if !known || source.len() > SOURCE_BYTES_MAX {
            return None;
        }
        let mut reader = Reader {
            rest: source,
            ignores_case: flags.contains('i'),
            depth: 0,
            out: String::with_capacity(4 * source.len()),
        };
        reader.alternatives()?;
        reader.rest.is_empty().then_some(())?;
        let mut builder = RegexBuilder::new(&reader.out);
        let program =
            builder.size_limit(PROGRAM_BYTES_MAX).dfa_size_limit(PROGRAM_BYTES_MAX).build();
        Some(Self { program: program.ok()? })
    }

    /// Whether it matches anywhere. JavaScript sees halves of characters beyond the basic plane:
    /// texts with such are the engine's.
    pub fn is_in(&self, text: &str) -> Answer<bool> {
        if text.bytes().any(|byte| byte >= 0xf0) {
            return Err(Stop::Engine);
        }
        Ok(self.program.is_match(text))
    }
}

struct Reader<'s> {
    rest: &'s str,
    ignores_case: bool,
    depth: usize,
    /// The same for the matcher.
    out: String,
}

impl<'s> Reader<'s> {
    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let mut characters = self.rest.chars();
        let next = characters.next();
        self.rest = characters.as_str();
        next
    }

    fn take(&mut self, prefix: &str) -> bool {
        match self.rest.strip_prefix(prefix) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// Up to the end of the group.
    fn alternatives(&mut self) -> Option<()> {
        while let Some(next) = self.peek() {
            match next {
                ')' => break,
                '|' if self.take("|") => self.out.push('|'),
                _ => self.term()?,
            }
        }
        Some(())
    }

    fn term(&mut self) -> Option<()> {
        match self.next()? {
            '^' => {
                self.out.push_str(r"\A");
                return Some(());
            }
            '$' => {
                self.out.push_str(r"\z");
                return Some(());
            }
            '\\' if self.take("b") => {
                self.out.push_str(r"(?-u:\b)");
                return Some(());
            }
            '\\' => {
                let class = Class::of_escape(self.next()?)?;
                self.class(class, false)?;
            }
            '.' => self.out.push_str(r"[^\n\r\x{2028}\x{2029}]"),
            '[' => {
                let is_negated = self.take("^");
                let inside = self.inside()?;
                self.class(class_of(inside)?, is_negated)?;
            }
            '(' => {
                let is_plain = self.take("?:") || self.peek() != Some('?');
                (is_plain && self.depth < DEPTH_MAX).then_some(())?;
                self.out.push_str("(?:");
                self.depth += 1;
                self.alternatives()?;
                self.depth -= 1;
                self.take(")").then_some(())?;
                self.out.push(')');
            }
            one if one.is_ascii() && !is_special(one) => {
                self.class(Class::of(Others::None, |c| c == one), false)?;
            }
            _ => return None,
        }
        self.quantifier()
    }

    /// What stands up to the end of a class.
    fn inside(&mut self) -> Option<&'s str> {
        let mut is_escaped = false;
        let end = self.rest.find(|character| {
            let ends = character == ']' && !is_escaped;
            is_escaped = character == '\\' && !is_escaped;
            ends
        })?;
        let (inside, rest) = (self.rest.get(..end)?, self.rest.get(end + 1..)?);
        self.rest = rest;
        Some(inside)
    }

    fn class(&mut self, mut class: Class, is_negated: bool) -> Option<()> {
        if self.ignores_case {
            class.ignore_case();
        }
        let Class { ascii, others } = if is_negated { class.not() } else { class };
        if others == Others::None && !ascii.contains(&true) {
            return None;
        }
        self.out.push('[');
        for (code, _) in (0..).zip(ascii).filter(|(_, has)| *has) {
            write!(self.out, r"\x{{{code:x}}}").ok()?;
        }
        match others {
            Others::None => {}
            Others::All => self.out.push_str(r"[^\x00-\x7f]"),
            Others::Spaces => self.out.push_str(SPACES),
            Others::AllButSpaces => {
                self.out.push_str(r"[^\x00-\x7f");
                self.out.push_str(SPACES);
                self.out.push(']');
            }
        }
        self.out.push(']');
        Some(())
    }

    fn quantifier(&mut self) -> Option<()> {
        match self.peek() {
            Some(sign @ ('*' | '+' | '?')) => {
                self.next();
                self.out.push(sign);
            }
            Some('{') => {
                let (count, rest) = self.rest.split_once('}')?;
                let is_count = count.bytes().skip(1).all(|b| b.is_ascii_digit() || b == b',');
                let begins = count.as_bytes().get(1).is_some_and(u8::is_ascii_digit);
                let commas = count.matches(',').count();
                (is_count && begins && commas <= 1).then_some(())?;
                self.out.push_str(count);
                self.out.push('}');
                self.rest = rest;
            }
            _ => return Some(()),
        }
        // How much it prefers to match changes nothing.
        self.take("?");
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_match_as_in_javascript() {
        let check = |source: &str, flags: &str, matching: &[&str], others: &[&str]| {
            let regular = Regular::new(source, flags).unwrap();
            for text in matching {
                assert_eq!(regular.is_in(text), Ok(true), "/{source}/{flags} {text}");
            }
            for text in others {
                assert_eq!(regular.is_in(text), Ok(false), "/{source}/{flags} {text}");
            }
        };
        check(r"^\d{4}-\d{2}-\d{2}$", "", &["2020-01-02"], &["2020-01-02\n", "x2020-01-02", "٢"]);
        check("^(draft|done)$", "", &["draft", "done"], &["drafts", ""]);
        check("^[a-z_][a-z0-9_-]*$", "i", &["A1-b", "_"], &["1a", "\u{212a}", "ſ"]);
        check(
            r"^[^\s@]+@(?:[\w-]+\.)+\w{2,}$",
            "",
            &["a@b.co", "é@x-y.b.org"],
            &["a b@c.de", "a@b"],
        );
        check("a.c", "", &["a\u{85}c", "aéc"], &["a\nc", "a\u{2028}c", "ac"]);
        check(r"\bcat\b", "", &["a cat", "écaté cat"], &["cats", "_cat"]);
        check("(^a|b)+?c", "g", &["ac", "bbc", "xbc"], &["xac"]);
        assert_eq!(Regular::new("^.{2}$", "").unwrap().is_in("a\u{1f600}"), Err(Stop::Engine));
    }

    #[test]
    fn whatever_has_another_meaning_is_refused() {
        for source in [
            "(?=a)",
            "(a)\\1",
            "a**",
            "[]",
            "(?<a>b)",
            "\\Bx",
            "\\u0041",
            "é",
            "{",
            "a]",
            "a{,2}",
            "[[]",
            "*",
            "(",
            "a)",
            "\\p{L}",
            "a{1000}{1000}",
            "\\x41",
            "[\\b]",
            "(?i:a)",
        ] {
            assert!(Regular::new(source, "").is_none(), "{source}");
        }
        for flags in ["m", "s", "u", "v", "y"] {
            assert!(Regular::new("a", flags).is_none(), "{flags}");
        }
    }

    #[test]
    fn spaces_are_those_of_the_language() {
        let spaces = Regular::new(r"^\s$", "").unwrap();
        let others = Regular::new(r"^[^\s]$", "").unwrap();
        for character in '\0'..='\u{ffff}' {
            let is_space = super::super::text::is_space(character);
            let text = character.to_string();
            assert_eq!(spaces.is_in(&text), Ok(is_space), "{character:?}");
            assert_eq!(others.is_in(&text), Ok(!is_space), "{character:?}");
        }
    }
}
