//! `[chttpd] config_whitelist`: an Erlang list of the keys that may be changed over HTTP, such as
//! `[{chttpd, config_whitelist}, {log, level}, {<<"cors">>, "origins"}]`.

/// The keys that may be changed over HTTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigWhitelist(Vec<(String, String)>);

impl ConfigWhitelist {
    /// Reads the list. A text that is no such list allows only the list itself to be changed, so
    /// that a typing error locks nobody out.
    pub fn parse(text: &str) -> Self {
        let itself = || {
            let key = || "config_whitelist".to_owned();
            vec![("chttpd".to_owned(), key()), ("httpd".to_owned(), key())]
        };
        Self(pairs(text).unwrap_or_else(itself))
    }

    /// Whether this key may be set or deleted over HTTP.
    pub fn allows(&self, section: &str, key: &str) -> bool {
        self.0.iter().any(|(s, k)| s == section && k == key)
    }
}

fn pairs(text: &str) -> Option<Vec<(String, String)>> {
    let text = text.trim().trim_end_matches('.').trim_end();
    let mut rest = text.strip_prefix('[')?.strip_suffix(']')?.trim();
    let mut pairs = Vec::new();
    while !rest.is_empty() {
        let (section, after) = name(rest.strip_prefix('{')?)?;
        let (key, after) = name(after.strip_prefix(',')?)?;
        pairs.push((section, key));
        rest = after.strip_prefix('}')?.trim_start();
        rest = match rest.strip_prefix(',') {
            Some(more) if !more.trim().is_empty() => more.trim_start(),
            None if rest.is_empty() => rest,
            Some(_) | None => return None,
        };
    }
    Some(pairs)
}

/// An atom, a string or a binary, and what follows it.
fn name(text: &str) -> Option<(String, &str)> {
    let text = text.trim_start();
    if let Some(binary) = text.strip_prefix("<<\"") {
        let (name, rest) = binary.split_once("\">>")?;
        return Some((name.to_owned(), rest.trim_start()));
    }
    if let Some(quote) = text.chars().next().filter(|c| matches!(c, '"' | '\'')) {
        let (name, rest) = text.split_at(1).1.split_once(quote)?;
        return Some((name.to_owned(), rest.trim_start()));
    }
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '@'))?;
    let (name, rest) = text.split_at(end);
    (!name.is_empty()).then(|| (name.to_owned(), rest.trim_start()))
}
