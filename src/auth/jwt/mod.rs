//! Bearer tokens (JSON Web Tokens, RFC 7519), with the checks and reasons of CouchDB's `jwtf`.
//!
//! A token is believed when a key that is configured, or that stands in the set of keys at the
//! configured address, signed it. The signature says who it is; nothing else is asked.

mod error;
mod key;
mod keys;
#[cfg(test)]
mod tests;

pub use error::JwtError;
pub use keys::KeySet;

use std::sync::{Arc, PoisonError, RwLock};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use crate::config::{JwtSettings, RequiredClaim, RolesClaim};

use super::UserCtx;
use key::Algorithm;

/// A longer token is no token.
const TOKEN_BYTES_MAX: usize = 16 << 10;

/// The token of an `Authorization` header (RFC 6750, section 2.1).
#[must_use]
pub fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.trim().split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Verifies tokens. One for the whole server.
#[derive(Default)]
pub struct JwtVerifier {
    /// The keys from the configured address, as they were when they were read last.
    published: RwLock<Arc<KeySet>>,
}

impl JwtVerifier {
    /// Puts the keys of the configured address in the place of those before.
    pub fn publish(&self, keys: KeySet) {
        *self.published.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
    }

    fn published(&self) -> Arc<KeySet> {
        self.published.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Who a token speaks of.
    ///
    /// # Errors
    /// Why it is not believed. [`JwtError::UnknownKid`] may be gone once the published keys have
    /// been read again.
    pub fn verify(
        &self,
        token: &str,
        settings: &JwtSettings,
        now_s: u64,
    ) -> Result<UserCtx, JwtError> {
        let required = settings.required_claims.as_deref().ok_or(JwtError::Misconfigured)?;
        if token.len() > TOKEN_BYTES_MAX {
            return Err(JwtError::Malformed);
        }
        let parts: Vec<&str> = token.split('.').collect();
        let [header_text, claims_text, signature_text] = parts[..] else {
            return Err(JwtError::Malformed);
        };
        let required = Required(required);
        let header = object(header_text)?;
        let algorithm = check_header(&header, &required)?;
        let claims = object(claims_text)?;
        check_claims(&claims, &required, now_s)?;
        let kid = match header.get("kid") {
            Some(Value::String(kid)) => Some(kid.as_str()),
            Some(_) => return Err(JwtError::UnknownKid),
            None if required.has("kid") => return Err(JwtError::MissingClaim("kid")),
            None => None,
        };
        let published = self.published();
        let key = keys::find(settings, &published, algorithm.key_type, kid)?;
        let signature = decode(signature_text)?;
        let message = format!("{header_text}.{claims_text}");
        key.verify(algorithm, message.as_bytes(), &signature)?;
        let roles = roles(&claims, &settings.roles_claim)?;
        let name = claims.get("sub").and_then(Value::as_str).ok_or(JwtError::MissingSub)?;
        Ok(UserCtx { name: Some(name.to_owned()), roles })
    }
}

/// The claims that are asked for.
struct Required<'s>(&'s [RequiredClaim]);

impl Required<'_> {
    fn has(&self, name: &str) -> bool {
        self.0.iter().any(|claim| claim.name == name)
    }

    fn value(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|claim| claim.name == name)?.value.as_deref()
    }
}

fn decode(text: &str) -> Result<Vec<u8>, JwtError> {
    URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).map_err(|_| JwtError::Malformed)
}

fn object(text: &str) -> Result<Map<String, Value>, JwtError> {
    match serde_json::from_slice(&decode(text)?) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(JwtError::NotAnObject),
        Err(_) => Err(JwtError::Malformed),
    }
}

fn check_header(
    header: &Map<String, Value>,
    required: &Required<'_>,
) -> Result<Algorithm, JwtError> {
    if required.has("typ") {
        match header.get("typ") {
            None => return Err(JwtError::MissingParameter("typ")),
            Some(Value::String(typ)) if typ == "JWT" => {}
            Some(_) => return Err(JwtError::InvalidParameter("typ")),
        }
    }
    let name = header.get("alg").ok_or(JwtError::MissingParameter("alg"))?;
    name.as_str().and_then(Algorithm::parse).ok_or(JwtError::InvalidParameter("alg"))
}

fn check_claims(
    claims: &Map<String, Value>,
    required: &Required<'_>,
    now_s: u64,
) -> Result<(), JwtError> {
    let claim = |name: &'static str| {
        let value = claims.get(name).ok_or(JwtError::MissingClaim(name));
        required.has(name).then_some(value).transpose()
    };
    if let Some(issuer) = claim("iss")?
        && issuer.as_str().is_none_or(|issuer| required.value("iss") != Some(issuer))
    {
        return Err(JwtError::InvalidClaim("iss"));
    }
    if let Some(issued) = claim("iat")?
        && !(issued.is_u64() || issued.is_i64())
    {
        return Err(JwtError::InvalidClaim("iat"));
    }
    // Times may have a fraction (RFC 7519, section 2).
    #[expect(clippy::cast_precision_loss, reason = "exact for some hundred million years")]
    let now_s = now_s as f64;
    if let Some(begin) = claim("nbf")?
        && begin.as_f64().is_none_or(|begin| begin >= now_s)
    {
        return Err(JwtError::NotInPast("nbf"));
    }
    if let Some(end) = claim("exp")?
        && end.as_f64().is_none_or(|end| end <= now_s)
    {
        return Err(JwtError::NotInFuture("exp"));
    }
    Ok(())
}

fn roles(claims: &Map<String, Value>, claim: &RolesClaim) -> Result<Vec<String>, JwtError> {
    let found = match claim {
        RolesClaim::Name(name) => match claims.get(name) {
            Some(found) => found,
            None => return Ok(Vec::new()),
        },
        RolesClaim::Path(path) => nested(claims, path)?,
    };
    match found {
        Value::Array(roles) => {
            let names = roles.iter().map(|role| role.as_str().map(str::to_owned));
            names.collect::<Option<_>>().ok_or(JwtError::Malformed)
        }
        Value::String(text) => {
            let mut names: Vec<String> =
                text.split(',').map(|name| name.trim().to_owned()).collect();
            while names.last().is_some_and(String::is_empty) {
                names.pop();
            }
            Ok(names)
        }
        _ => Err(JwtError::Malformed),
    }
}

fn nested<'c>(claims: &'c Map<String, Value>, path: &[String]) -> Result<&'c Value, JwtError> {
    let mut object = Some(claims);
    let mut found = None;
    for name in path {
        let value = object.and_then(|object| object.get(name));
        let value = value.ok_or_else(|| JwtError::MissingKey(name.clone()))?;
        object = value.as_object();
        found = Some(value);
    }
    found.ok_or(JwtError::Malformed)
}
