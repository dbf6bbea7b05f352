//! `[jwt_auth]` and `[jwt_keys]`: which bearer tokens are believed, and who is in which role by
//! them.

use std::collections::BTreeMap;
use std::time::Duration;

use super::reader::Reader;

/// Where a token says the roles of its user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RolesClaim {
    /// A claim of this name; without it there are no roles.
    Name(String),
    /// The names of nested objects, the outermost first; it must be there.
    Path(Vec<String>),
}

/// What a token must say, beside who it speaks of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequiredClaim {
    pub name: String,
    /// What it must be, where that is configured.
    pub value: Option<String>,
}

/// Keys that are read from an address. CouchDB has nothing like it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JwksSettings {
    /// Where the set of keys is (RFC 7517).
    pub url: String,
    /// How old the keys may become before they are read again.
    pub refresh: Duration,
}

/// `[jwt_auth]` and `[jwt_keys]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JwtSettings {
    /// `None` where the list cannot be read: then no token is believed.
    pub required_claims: Option<Vec<RequiredClaim>>,
    pub roles_claim: RolesClaim,
    /// `TYPE:ID` to the key, which is base64 for `hmac` and PEM for `rsa` and `ec`.
    pub keys: BTreeMap<String, String>,
    pub jwks: Option<JwksSettings>,
}

/// The claims that can be asked for.
const CLAIMS: [&str; 7] = ["alg", "exp", "iat", "iss", "kid", "nbf", "typ"];

impl JwtSettings {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let keys = reader.values().get("jwt_keys").cloned().unwrap_or_default();
        let mut section = reader.section(&["jwt_auth"]);
        let roles_claim = match section.text("roles_claim_path") {
            Some(path) => RolesClaim::Path(split_path(path)),
            None => RolesClaim::Name(section.text_or("roles_claim_name", "_couchdb.roles")),
        };
        let refresh = Duration::from_secs(section.number("jwks_refresh", 300, 1..=86_400));
        Self {
            required_claims: required_claims(section.text("required_claims").unwrap_or("exp")),
            roles_claim,
            keys,
            jwks: section.text("jwks_url").map(|url| JwksSettings { url: url.to_owned(), refresh }),
        }
    }
}

/// Dots part the names; `\.` is a dot in one.
fn split_path(path: &str) -> Vec<String> {
    let mut names = vec![String::new()];
    let mut chars = path.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, names.last_mut()) {
            ('\\', Some(name)) if chars.peek() == Some(&'.') => {
                chars.next();
                name.push('.');
            }
            ('.', _) => names.push(String::new()),
            (c, Some(name)) => name.push(c),
            (_, None) => {}
        }
    }
    names
}

/// `exp, {iss, "Somebody"}`. `None` for what names no claim that is known.
fn required_claims(text: &str) -> Option<Vec<RequiredClaim>> {
    let mut claims = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let (claim, after) = match rest.strip_prefix('{') {
            Some(pair) => {
                let (name, after) = pair.split_once(',')?;
                let (value, after) = after.trim_start().strip_prefix('"')?.split_once('"')?;
                let after = after.trim_start().strip_prefix('}')?;
                (RequiredClaim { name: name.trim().to_owned(), value: Some(value.into()) }, after)
            }
            None => {
                let (name, after) = rest.split_at(rest.find(',').unwrap_or(rest.len()));
                (RequiredClaim { name: name.trim().to_owned(), value: None }, after)
            }
        };
        if !CLAIMS.contains(&claim.name.as_str()) {
            return None;
        }
        claims.push(claim);
        rest = match after.trim_start() {
            "" => "",
            after => after.strip_prefix(',')?.trim_start(),
        };
    }
    Some(claims)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        assert_eq!(split_path("roles"), ["roles"]);
        assert_eq!(split_path(r"my.nested._couchdb\.roles"), ["my", "nested", "_couchdb.roles"]);
        assert_eq!(split_path(r"a\b."), [r"a\b", ""]);
    }

    #[test]
    fn claims() {
        let check = |text: &str, expect: Option<&[(&str, Option<&str>)]>| {
            let found = required_claims(text).map(|claims| {
                claims.into_iter().map(|claim| (claim.name, claim.value)).collect::<Vec<_>>()
            });
            let owned = |(name, value): &(&str, Option<&str>)| {
                ((*name).to_owned(), value.map(str::to_owned))
            };
            assert_eq!(found, expect.map(|claims| claims.iter().map(owned).collect()), "{text}");
        };
        check("exp", Some(&[("exp", None)]));
        let three = [("exp", None), ("nbf", None), ("iss", Some("MyCompany"))];
        check(r#"exp,nbf , {iss, "MyCompany"}"#, Some(&three));
        check("", Some(&[]));
        check("wrong", None);
        check(r"{iss, MyCompany}", None);
        check(r#"{iss, "x"} exp"#, None);
    }
}
