//! `[chttpd_auth] password_regexp`: what new passwords must look like.
//!
//! The value is an Erlang list of patterns, each a string or a tuple of a string and a reason:
//! `[".{10,}", {"[A-Z]+", "It needs a capital letter."}]`.

/// What a new password must look like.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum PasswordRules {
    /// Anything.
    #[default]
    Anything,
    Patterns(Vec<PasswordRule>),
    /// The setting cannot be read: no password can be set.
    Unreadable,
}

/// One pattern that a password must match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PasswordRule {
    pub pattern: String,
    /// Told to those whose password does not match; may be empty.
    pub reason: String,
}

impl PasswordRules {
    pub(super) fn read(text: Option<&str>) -> Self {
        match text.map(str::trim) {
            None | Some("" | "[]") => Self::Anything,
            Some(text) => {
                Term::parse(text).and_then(rules).map_or(Self::Unreadable, Self::Patterns)
            }
        }
    }
}

fn rules(term: Term) -> Option<Vec<PasswordRule>> {
    let Term::List(elements) = term else { return None };
    let rule = |element| {
        let (pattern, reason) = match element {
            Term::Text(pattern) => (pattern, String::new()),
            Term::Tuple(members) => {
                let mut members = members.into_iter();
                let (first, second) = (members.next()?, members.next());
                let (Term::Text(pattern), None) = (first, members.next()) else { return None };
                let reason = match second {
                    Some(Term::Text(reason)) => reason,
                    _ => String::new(),
                };
                (pattern, reason)
            }
            Term::List(_) => return None,
        };
        Some(PasswordRule { pattern, reason })
    };
    elements.into_iter().map(rule).collect()
}

/// As much of Erlang's terms as such a list needs.
#[derive(Debug)]
enum Term {
    Text(String),
    List(Vec<Self>),
    Tuple(Vec<Self>),
}

/// Lists and tuples in each other.
const DEPTH_MAX: usize = 8;

impl Term {
    fn parse(text: &str) -> Option<Self> {
        let mut rest = text;
        let term = Self::read(&mut rest, 0)?;
        let end = rest.trim_start();
        (end.is_empty() || end == ".").then_some(term)
    }

    fn read(rest: &mut &str, depth: usize) -> Option<Self> {
        *rest = rest.trim_start();
        let mut after = rest.chars();
        let first = after.next().filter(|_| depth < DEPTH_MAX)?;
        *rest = after.as_str();
        match first {
            '"' => read_text(rest).map(Self::Text),
            '[' => Self::read_elements(rest, ']', depth).map(Self::List),
            '{' => Self::read_elements(rest, '}', depth).map(Self::Tuple),
            _ => None,
        }
    }

    fn read_elements(rest: &mut &str, close: char, depth: usize) -> Option<Vec<Self>> {
        let mut elements = Vec::new();
        *rest = rest.trim_start();
        if let Some(after) = rest.strip_prefix(close) {
            *rest = after;
            return Some(elements);
        }
        loop {
            elements.push(Self::read(rest, depth + 1)?);
            *rest = rest.trim_start();
            if let Some(after) = rest.strip_prefix(close) {
                *rest = after;
                return Some(elements);
            }
            *rest = rest.strip_prefix(',')?;
        }
    }
}

/// A string up to its closing quote.
fn read_text(rest: &mut &str) -> Option<String> {
    let mut text = String::new();
    let mut characters = rest.chars();
    loop {
        match characters.next()? {
            '"' => break,
            '\\' => text.push(match characters.next()? {
                'n' => '\n',
                't' => '\t',
                'r' => '\r',
                's' => ' ',
                'e' => '\u{1b}',
                'd' => '\u{7f}',
                other => other,
            }),
            other => text.push(other),
        }
    }
    *rest = characters.as_str();
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_patterns() {
        let check = |text: &str, expect: &[(&str, &str)]| {
            let rule = |(pattern, reason): &(&str, &str)| PasswordRule {
                pattern: (*pattern).to_owned(),
                reason: (*reason).to_owned(),
            };
            let expect = expect.iter().map(rule).collect();
            assert_eq!(PasswordRules::read(Some(text)), PasswordRules::Patterns(expect), "{text}");
        };
        let documented = r#"[{".{10,}"}, {"[A-Z]+", "Requirement 2."}, {"[a-z]+", ""}, {"\\d+", "Req 4."}, "[!.,()]+"]"#;
        check(
            documented,
            &[
                (".{10,}", ""),
                ("[A-Z]+", "Requirement 2."),
                ("[a-z]+", ""),
                ("\\d+", "Req 4."),
                ("[!.,()]+", ""),
            ],
        );
        check(r#"["a\"b", {"x", []}]"#, &[("a\"b", ""), ("x", "")]);
        check("[ ] .", &[]);
    }

    #[test]
    fn what_is_no_list_of_patterns() {
        for anything in [None, Some(""), Some("[]"), Some(" [] ")] {
            assert_eq!(PasswordRules::read(anything), PasswordRules::Anything, "{anything:?}");
        }
        for text in [
            r#"{{".{10,}"}}"#,
            r#"[{".{10,}"]"#,
            r#"["a""#,
            r#"["a" "b"]"#,
            r#"["a",]"#,
            "[{}]",
            r#"[{"a","b","c"}]"#,
            r#"[["a"]]"#,
            r#"["a"] x"#,
            "[1]",
            "x",
            "\"",
        ] {
            assert_eq!(PasswordRules::read(Some(text)), PasswordRules::Unreadable, "{text}");
        }
        let deep = format!("{}\"a\"{}", "[".repeat(1000), "]".repeat(1000));
        assert_eq!(PasswordRules::read(Some(&deep)), PasswordRules::Unreadable);
    }
}
