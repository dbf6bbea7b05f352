//! The regular expressions that find: one class of characters, once or several times (`/\W+/`,
//! `/[,;]/g`, `/\s+/`).

use super::text::is_space;
use super::value::{Answer, Stop};

#[derive(Debug)]
pub(super) struct Pattern {
    ascii: [bool; 128],
    others: Others,
    /// Whether a match is as long as it can be, and not one character.
    is_run: bool,
    /// The flag `g`.
    pub is_global: bool,
}

/// Which characters beyond ASCII a class has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Others {
    None,
    All,
    Spaces,
    AllButSpaces,
}

impl Others {
    fn has(self, character: char) -> bool {
        match self {
            Self::None => false,
            Self::All => true,
            Self::Spaces => is_space(character),
            Self::AllButSpaces => !is_space(character),
        }
    }

    fn not(self) -> Self {
        match self {
            Self::None => Self::All,
            Self::All => Self::None,
            Self::Spaces => Self::AllButSpaces,
            Self::AllButSpaces => Self::Spaces,
        }
    }

    fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::None, any) | (any, Self::None) => any,
            (one, two) if one == two => one,
            _ => Self::All,
        }
    }
}

/// A set of characters.
pub(super) struct Class {
    pub ascii: [bool; 128],
    pub others: Others,
}

impl Class {
    const EMPTY: Self = Self { ascii: [false; 128], others: Others::None };

    pub fn of(others: Others, has: impl Fn(char) -> bool) -> Self {
        let mut class = Self { ascii: [false; 128], others };
        class.add(has);
        class
    }

    fn add(&mut self, has: impl Fn(char) -> bool) {
        for (code, member) in (0u8..).zip(&mut self.ascii) {
            *member |= has(char::from(code));
        }
    }

    pub fn not(mut self) -> Self {
        for member in &mut self.ascii {
            *member = !*member;
        }
        Self { others: self.others.not(), ..self }
    }

    fn include(&mut self, other: &Self) {
        for (member, also) in self.ascii.iter_mut().zip(&other.ascii) {
            *member |= *also;
        }
        self.others = self.others.or(other.others);
    }

    pub fn ignore_case(&mut self) {
        let before = self.ascii;
        let had = |code: u8| before.get(usize::from(code)).is_some_and(|had| *had);
        for (code, member) in (0u8..).zip(&mut self.ascii) {
            *member |= had(code.to_ascii_lowercase()) | had(code.to_ascii_uppercase());
        }
    }

    /// What a letter after a backslash stands for.
    pub fn of_escape(letter: char) -> Option<Self> {
        let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
        Some(match letter {
            'w' => Self::of(Others::None, is_word),
            'W' => Self::of(Others::None, is_word).not(),
            'd' => Self::of(Others::None, |c| c.is_ascii_digit()),
            'D' => Self::of(Others::None, |c| c.is_ascii_digit()).not(),
            's' => Self::of(Others::Spaces, is_space),
            'S' => Self::of(Others::Spaces, is_space).not(),
            _ => {
                let character = escaped(letter)?;
                Self::of(Others::None, |c| c == character)
            }
        })
    }
}

/// The character that a letter or sign after a backslash stands for.
fn escaped(letter: char) -> Option<char> {
    match letter {
        't' => Some('\t'),
        'n' => Some('\n'),
        'r' => Some('\r'),
        sign if sign.is_ascii_punctuation() => Some(sign),
        _ => None,
    }
}

impl Pattern {
    /// Reads a literal's source and flags.
    pub fn new(source: &str, flags: &str) -> Option<Self> {
        let (is_run, source) = match source.strip_suffix('+') {
            Some(class) if !class.ends_with('\\') => (true, class),
            _ => (false, source),
        };
        let mut characters = source.chars();
        // The case of a class is ignored before it is turned around.
        let (mut class, is_negated) = match characters.next()? {
            '\\' => {
                let class = Class::of_escape(characters.next()?)?;
                characters.as_str().is_empty().then_some((class, false))?
            }
            '[' => {
                let inside = characters.as_str().strip_suffix(']')?;
                match inside.strip_prefix('^') {
                    Some(inside) => (class_of(inside)?, true),
                    None => (class_of(inside)?, false),
                }
            }
            one if characters.as_str().is_empty() && !is_special(one) && one.is_ascii() => {
                (Class::of(Others::None, |c| c == one), false)
            }
            _ => return None,
        };
        if flags.contains('i') {
            class.ignore_case();
        }
        let Class { ascii, others } = if is_negated { class.not() } else { class };
        let known = flags.chars().all(|flag| matches!(flag, 'g' | 'i'));
        known.then(|| Self { ascii, others, is_run, is_global: flags.contains('g') })
    }

    fn has(&self, character: char) -> bool {
        match self.ascii.get(character as usize) {
            Some(has) => *has,
            None => self.others.has(character),
        }
    }

    /// Whether the pattern matches anywhere.
    pub fn is_in(&self, text: &str) -> bool {
        text.chars().any(|character| self.has(character))
    }

    /// The first match in `text` at or after the byte `from`.
    pub fn find(&self, text: &str, from: usize) -> Option<(usize, usize)> {
        let rest = text.get(from..)?;
        let (start, first) = rest.char_indices().find(|(_, character)| self.has(*character))?;
        let length = if self.is_run {
            let rest = rest.get(start..)?;
            rest.find(|character| !self.has(character)).unwrap_or(rest.len())
        } else {
            first.len_utf8()
        };
        Some((from + start, from + start + length))
    }

    /// JavaScript's patterns see halves of characters beyond the basic plane: where a match could
    /// be one the engine is asked.
    pub fn check(&self, text: &str) -> Answer<()> {
        let splits = !self.is_run && self.others != Others::None;
        let wide = splits && text.bytes().any(|byte| byte >= 0xf0);
        if wide { Err(Stop::Engine) } else { Ok(()) }
    }
}

pub(super) fn is_special(character: char) -> bool {
    "^$\\.*+?()[]{}|/".contains(character)
}

/// What stands between the brackets of a class.
pub(super) fn class_of(inside: &str) -> Option<Class> {
    let mut class = Class::EMPTY;
    let mut characters = inside.chars().peekable();
    while let Some(first) = characters.next() {
        let first = match first {
            '\\' => {
                let letter = characters.next()?;
                if let Some(character) = escaped(letter) {
                    character
                } else {
                    class.include(&Class::of_escape(letter)?);
                    // A range from a class would be something odd; a dash at the end is one.
                    let mut ahead = characters.clone();
                    let is_range = ahead.next() == Some('-') && ahead.next().is_some();
                    (!is_range).then_some(())?;
                    continue;
                }
            }
            '[' | ']' => return None,
            other => other,
        };
        first.is_ascii().then_some(())?;
        let mut last = first;
        if characters.peek() == Some(&'-') {
            characters.next();
            last = match characters.next() {
                // A dash at the end is one.
                None => {
                    class.add(|character| character == '-');
                    first
                }
                Some('\\') => escaped(characters.next()?)?,
                Some(last) => last,
            };
        }
        (last.is_ascii() && last >= first).then_some(())?;
        class.add(|character| (first..=last).contains(&character));
    }
    Some(class)
}
