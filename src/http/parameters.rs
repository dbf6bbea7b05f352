//! Header values with parameters: `multipart/related; boundary="x"`,
//! `attachment; filename="a.txt"`.
//!
//! Lenient, as senders are: parameters may be quoted or not, and an unclosed quote ends with the
//! value. Linear in the length of the value.

/// A header value split into its first item and its parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameters {
    /// What stands before the first `;`, in lower case: a media type or a disposition.
    pub item: String,
    parameters: Vec<(String, String)>,
}

impl Parameters {
    /// Splits `value`. Parameter names become lower case, their values keep their case and lose
    /// quotes and the escapes `\"` and `\\`. Another backslash stays: browsers send Windows paths.
    #[must_use]
    pub fn parse(value: &str) -> Self {
        let (item, mut rest) = split_at_first(value, ';');
        let mut parameters = Vec::new();
        while !rest.is_empty() {
            let (name, after_name) = split_before_any(rest, &['=', ';']);
            let name = name.trim().to_ascii_lowercase();
            let value;
            (value, rest) = match after_name.strip_prefix('=') {
                Some(text) => parameter_value(text.trim_start()),
                None => (String::new(), split_at_first(after_name, ';').1),
            };
            if !name.is_empty() {
                parameters.push((name, value));
            }
        }
        Self { item: item.trim().to_ascii_lowercase(), parameters }
    }

    /// The first parameter called `name` (in lower case).
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// A parameter's value and what follows its `;`.
fn parameter_value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let (value, rest) = split_at_first(text, ';');
        return (value.trim_end().to_owned(), rest);
    };
    let mut value = String::new();
    let mut characters = quoted.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => break,
            '\\' => match characters.clone().next() {
                Some(escaped @ ('"' | '\\')) => {
                    value.push(escaped);
                    characters.next();
                }
                _ => value.push('\\'),
            },
            _ => value.push(character),
        }
    }
    (value, split_at_first(characters.as_str(), ';').1)
}

fn split_at_first(text: &str, separator: char) -> (&str, &str) {
    text.split_once(separator).unwrap_or((text, ""))
}

fn split_before_any<'a>(text: &'a str, separators: &[char]) -> (&'a str, &'a str) {
    let at = text.find(separators).unwrap_or(text.len());
    text.split_at_checked(at).unwrap_or((text, ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    type Pairs<'a> = &'a [(&'a str, &'a str)];

    #[test]
    fn parameters() {
        let table: [(&str, &str, Pairs); 11] = [
            ("text/plain", "text/plain", &[]),
            ("Text/HTML ; Charset=UTF-8", "text/html", &[("charset", "UTF-8")]),
            ("a; b=\"c;d\" ; e=f", "a", &[("b", "c;d"), ("e", "f")]),
            ("a; b=\"c\\\"d\\\\e\\f\"", "a", &[("b", "c\"d\\e\\f")]),
            ("a; b=\"unclosed", "a", &[("b", "unclosed")]),
            ("a; b=\"trailing\\", "a", &[("b", "trailing\\")]),
            ("a;;; ;b=", "a", &[("b", "")]),
            ("a;b;c=d", "a", &[("b", ""), ("c", "d")]),
            ("attachment; filename=my file.txt", "attachment", &[("filename", "my file.txt")]),
            ("attachment; filename=\"ä\u{1f600}\"", "attachment", &[("filename", "ä\u{1f600}")]),
            ("", "", &[]),
        ];
        for (value, item, expect) in table {
            let parsed = Parameters::parse(value);
            assert_eq!(parsed.item, item, "{value}");
            let pairs: Vec<_> =
                parsed.parameters.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            assert_eq!(pairs, expect, "{value}");
        }
    }

    #[test]
    fn the_first_of_equal_names_counts() {
        assert_eq!(Parameters::parse("a; b=1; B=2").get("b"), Some("1"));
        assert_eq!(Parameters::parse("a; b=1").get("c"), None);
    }
}
