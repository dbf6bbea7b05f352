//! Accounts as documents of the users database hold them: the hash's members, the roles, TOTP.
//!
//! What a document lacks, or has in a form that means nothing, fits no password.

use serde_json::{Map, Value};

use crate::config::HashAlgorithm;

use super::user::{SecondFactor, Source, UserRecord};
use super::{PasswordHash, Totp, hash};

/// The members that a hash consists of, and those that ask for one.
const PASSWORD_MEMBERS: [&str; 8] = [
    "derived_key",
    "iterations",
    "password",
    "password_scheme",
    "password_sha",
    "preserve_salt",
    "pbkdf2_prf",
    "salt",
];

/// Iterations of a document that does not say how many.
const ITERATIONS: u32 = 10_000;

/// Digits of a token where the document does not say how many.
const TOKEN_DIGITS: usize = 6;

/// The account of a user document.
#[must_use]
pub fn record_of(document: &Map<String, Value>) -> UserRecord {
    let roles = document.get("roles").and_then(Value::as_array);
    let roles = roles.into_iter().flatten().filter_map(|role| role.as_str().map(str::to_owned));
    UserRecord {
        password: password_of(document),
        roles: roles.collect(),
        second_factor: document.get("totp").map_or(SecondFactor::Nothing, second_factor),
        source: Source::Document,
    }
}

fn second_factor(totp: &Value) -> SecondFactor {
    let algorithm = match totp.get("algorithm") {
        None => Some(HashAlgorithm::Sha),
        Some(algorithm) => algorithm.as_str().and_then(HashAlgorithm::parse),
    };
    let length = match totp.get("length") {
        None => Some(TOKEN_DIGITS),
        Some(length) => length.as_u64().and_then(|length| usize::try_from(length).ok()),
    };
    let key = totp.get("key").and_then(Value::as_str);
    let made = key.zip(algorithm).zip(length);
    let made = made.and_then(|((key, algorithm), length)| Totp::new(key, algorithm, length));
    made.map_or(SecondFactor::Unusable, SecondFactor::Totp)
}

fn password_of(document: &Map<String, Value>) -> PasswordHash {
    let text = |name: &str| document.get(name).and_then(Value::as_str);
    let salt = || text("salt").unwrap_or_default().to_owned();
    let nothing = || PasswordHash::Nothing { salt: salt() };
    let scheme = match document.get("password_scheme") {
        None => "simple",
        Some(scheme) => scheme.as_str().unwrap_or_default(),
    };
    if scheme == "simple" {
        let digest = text("password_sha").and_then(hash::from_hex);
        return digest.map_or_else(nothing, |digest| PasswordHash::Simple { digest, salt: salt() });
    }
    let prf = match document.get("pbkdf2_prf") {
        None => Some(HashAlgorithm::Sha),
        Some(prf) => prf.as_str().and_then(HashAlgorithm::parse),
    };
    let Some(prf) = prf else { return PasswordHash::UnknownPrf { salt: salt() } };
    let iterations = match document.get("iterations") {
        None => Some(ITERATIONS),
        // More than fit are more than any server allows.
        Some(given) => given.as_u64().map(|count| u32::try_from(count).unwrap_or(u32::MAX)),
    };
    let derived_key = text("derived_key").and_then(hash::from_hex);
    match (scheme, derived_key, iterations) {
        ("pbkdf2", Some(derived_key), Some(iterations)) => {
            PasswordHash::Pbkdf2 { prf, derived_key, salt: salt(), iterations }
        }
        ("simple+pbkdf2", Some(derived_key), Some(iterations)) => {
            PasswordHash::SimplePbkdf2 { prf, derived_key, salt: salt(), iterations }
        }
        _ => nothing(),
    }
}

/// Replaces whatever a document says of its password by a hash, whose members come first.
#[must_use]
pub fn set_password(document: Map<String, Value>, password: &PasswordHash) -> Map<String, Value> {
    let hex = |bytes: &[u8]| Value::from(hash::to_hex(bytes));
    let members = match password {
        PasswordHash::Pbkdf2 { prf, derived_key, salt, iterations } => vec![
            ("password_scheme", "pbkdf2".into()),
            ("pbkdf2_prf", prf.as_str().into()),
            ("salt", salt.as_str().into()),
            ("iterations", (*iterations).into()),
            ("derived_key", hex(derived_key)),
        ],
        PasswordHash::Simple { digest, salt } => vec![
            ("password_scheme", "simple".into()),
            ("salt", salt.as_str().into()),
            ("password_sha", hex(digest)),
        ],
        PasswordHash::SimplePbkdf2 { prf, derived_key, salt, iterations } => vec![
            ("password_scheme", "simple+pbkdf2".into()),
            ("pbkdf2_prf", prf.as_str().into()),
            ("salt", salt.as_str().into()),
            ("iterations", (*iterations).into()),
            ("derived_key", hex(derived_key)),
        ],
        PasswordHash::UnknownPrf { .. } | PasswordHash::Nothing { .. } => Vec::new(),
    };
    let members = members.into_iter().map(|(name, value)| (name.to_owned(), value));
    let others =
        document.into_iter().filter(|(name, _)| !PASSWORD_MEMBERS.contains(&name.as_str()));
    members.chain(others).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::auth::AuthError;
    use crate::config::Settings;

    fn parse(document: Value) -> UserRecord {
        let Value::Object(document) = document else { panic!("{document} is no object") };
        record_of(&document)
    }

    #[test]
    fn every_stored_form() {
        // Made with Python's hashlib: password `passwort`, 25 iterations.
        let salt = "0123456789abcdef0123456789abcdef";
        let sha1 = "5f71c0fa7be51d2ea8fee917119eda5e28dfad91";
        let sha256 = "f93f44cf8f35fb66e5d6897dbcf1851e31e30db8328bfc7d3cb213c31ab1aa10";
        let simple = "dd3cf353307b7fb1f3dd0b3db3efde303f9f8c25";
        let simple_pbkdf2 = {
            let key = hash::pbkdf2(HashAlgorithm::Sha, simple.as_bytes(), b"abc", 25);
            hash::to_hex(&key)
        };
        for (document, expect) in [
            (
                json!({"password_scheme": "pbkdf2", "iterations": 25, "salt": salt,
                "derived_key": sha1}),
                Ok(true),
            ),
            (
                json!({"password_scheme": "pbkdf2", "pbkdf2_prf": "sha", "iterations": 25,
                "salt": salt, "derived_key": sha1}),
                Ok(true),
            ),
            (
                json!({"password_scheme": "pbkdf2", "pbkdf2_prf": "sha256", "iterations": 25,
                "salt": salt, "derived_key": sha256}),
                Ok(true),
            ),
            (json!({"password_scheme": "simple", "salt": "abc", "password_sha": simple}), Ok(true)),
            (json!({"salt": "abc", "password_sha": simple}), Ok(true)),
            (
                json!({"password_scheme": "simple+pbkdf2", "iterations": 25, "salt": "abc",
                "derived_key": simple_pbkdf2}),
                Ok(true),
            ),
            (
                json!({"password_scheme": "pbkdf2", "pbkdf2_prf": "md5", "iterations": 25,
                "salt": salt, "derived_key": sha1}),
                Err(AuthError::InvalidPrf),
            ),
            (
                json!({"password_scheme": "pbkdf2", "iterations": 0, "salt": salt,
                "derived_key": sha1}),
                Err(AuthError::TooFewIterations),
            ),
            (
                json!({"password_scheme": "pbkdf2", "iterations": 5_000_000_000_u64, "salt": salt,
                "derived_key": sha1}),
                Err(AuthError::TooManyIterations),
            ),
            (
                json!({"password_scheme": "pbkdf2", "iterations": 2.5, "salt": salt,
                "derived_key": sha1}),
                Ok(false),
            ),
            (json!({"password_scheme": "pbkdf2", "iterations": 25, "salt": salt}), Ok(false)),
            (
                json!({"password_scheme": "other", "iterations": 25, "salt": salt,
                "derived_key": sha1}),
                Ok(false),
            ),
            (json!({"password_scheme": 7, "salt": "abc", "password_sha": simple}), Ok(false)),
            (json!({"salt": "abc"}), Ok(false)),
            (json!({}), Ok(false)),
        ] {
            check_stored(document, &expect);
        }
    }

    fn check_stored(document: Value, expect: &Result<bool, AuthError>) {
        let settings = Settings::default().auth;
        let record = parse(document.clone());
        assert_eq!(&record.password.verify(b"passwort", &settings), expect, "{document}");
        if *expect == Ok(true) {
            assert_eq!(record.password.verify(b"Passwort", &settings), Ok(false));
            let Value::Object(object) = document else { panic!("no object") };
            let again = record_of(&set_password(object, &record.password));
            assert_eq!(again, record);
        }
    }

    #[test]
    fn roles_and_totp() {
        let record = parse(json!({"roles": ["a", 1, "b"], "salt": "s"}));
        assert_eq!(record.roles, ["a", "b"]);
        assert_eq!(record.second_factor, SecondFactor::Nothing);
        assert_eq!(record.password.salt(), "s");
        // RFC 6238, appendix B.
        let key = "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ";
        let eight = parse(json!({"totp": {"key": key, "algorithm": "sha", "length": 8}}));
        assert!(eight.second_factor.accepts("94287082", 59));
        assert!(!eight.second_factor.accepts("94287083", 59));
        let six = parse(json!({"totp": {"key": key}}));
        assert!(six.second_factor.accepts("287082", 59));
        for unusable in [
            json!(null),
            json!({}),
            json!({"key": 7}),
            json!({"key": key, "algorithm": "md5"}),
            json!({"key": key, "length": -1}),
        ] {
            let record = parse(json!({"roles": "a", "totp": unusable}));
            assert_eq!((record.second_factor, record.roles.len()), (SecondFactor::Unusable, 0));
        }
    }

    #[test]
    fn a_new_hash_comes_first() {
        let document = json!({"name": "bob", "password": "x", "salt": "old", "iterations": 1,
            "preserve_salt": true, "roles": []});
        let Value::Object(document) = document else { panic!("no object") };
        let digest = vec![1, 255];
        let simple = PasswordHash::Simple { digest, salt: "new".to_owned() };
        let text = Value::Object(set_password(document, &simple)).to_string();
        let expect = r#"{"password_scheme":"simple","salt":"new","password_sha":"01ff","name":"bob","roles":[]}"#;
        assert_eq!(text, expect);
    }
}
