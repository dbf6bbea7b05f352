//! Which key a token names: one of the configuration, else one of the published set.

use serde_json::{Map, Value};

use crate::config::JwtSettings;

use super::JwtError;
use super::key::{Key, KeyType};

/// The id of the key for tokens that name none.
const DEFAULT: &str = "_default";
/// A set with more keys than this is not one that somebody rotates.
const KEYS_MAX: usize = 256;

/// Public keys that an issuer of tokens publishes (RFC 7517, section 5).
#[derive(Clone, Default, PartialEq, Eq)]
pub struct KeySet {
    keys: Vec<(Option<String>, Key)>,
}

impl std::fmt::Debug for KeySet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.keys.iter().map(|(kid, _)| kid)).finish()
    }
}

impl KeySet {
    /// Reads a set. Keys for other uses and of kinds that are not known are left out, as the RFC
    /// wants it. `None` for what is no set.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let set: Map<String, Value> = serde_json::from_slice(text).ok()?;
        let keys = set.get("keys")?.as_array()?.iter().filter_map(Value::as_object);
        let signs = |jwk: &&Map<String, Value>| {
            jwk.get("use").and_then(Value::as_str).is_none_or(|usage| usage == "sig")
        };
        let named = |jwk: &Map<String, Value>| {
            let kid = jwk.get("kid").and_then(Value::as_str).map(str::to_owned);
            Some((kid, Key::from_jwk(jwk)?))
        };
        Some(Self { keys: keys.filter(signs).filter_map(named).take(KEYS_MAX).collect() })
    }

    /// How many keys there are that can verify something.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// A token that names no key means the only one of its kind.
    fn find(&self, key_type: KeyType, kid: Option<&str>) -> Option<&Key> {
        let mut fitting = self.keys.iter().filter(|(own, key)| {
            key.key_type() == key_type && (kid.is_none() || own.as_deref() == kid)
        });
        let (_, key) = fitting.next()?;
        (kid.is_some() || fitting.next().is_none()).then_some(key)
    }
}

/// # Errors
/// Where there is no such key, or what is configured is none.
pub fn find(
    settings: &JwtSettings,
    published: &KeySet,
    key_type: KeyType,
    kid: Option<&str>,
) -> Result<Key, JwtError> {
    let name = format!("{}:{}", key_type.as_str(), kid.unwrap_or(DEFAULT));
    if let Some(text) = settings.keys.get(&name).filter(|text| !text.is_empty()) {
        return Key::configured(key_type, text);
    }
    let published = settings.jwks.as_ref().and_then(|_| published.find(key_type, kid));
    published.cloned().ok_or(JwtError::UnknownKid)
}
