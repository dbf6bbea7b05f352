//! The accounts in `[admins]`: hashing what stands there in clear text, and the first account.
//!
//! Everything here but [`Admins::find`] hashes passwords and is slow on purpose.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::config::{Config, ConfigError, Persist, Settings, is_password_hash};

use super::user::{ADMIN_ROLE, SecondFactor, Source, UserRecord};
use super::{PasswordHash, hash};

/// An account made by the server, whose password is shown once.
#[derive(Clone, PartialEq, Eq)]
pub struct NewAdmin {
    pub name: String,
    /// 24 characters that need no escaping in a URL.
    pub password: String,
}

/// Finds admins, whose hashes are read once: somebody asks with every request.
#[derive(Debug, Default)]
pub struct Admins {
    /// By name, with the text that was read.
    hashes: Mutex<HashMap<String, (String, PasswordHash)>>,
}

impl Admins {
    /// The admin of this name, once the password is hashed.
    pub fn find(&self, settings: &Settings, name: &str) -> Option<UserRecord> {
        Some(UserRecord {
            password: self.password(settings, name)?,
            roles: vec![ADMIN_ROLE.to_owned()],
            second_factor: SecondFactor::Nothing,
            source: Source::Configuration,
        })
    }

    fn password(&self, settings: &Settings, name: &str) -> Option<PasswordHash> {
        let text = settings.admins.get(name)?;
        let mut hashes = self.hashes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, hash)) = hashes.get(name).filter(|(read, _)| read == text) {
            return Some(hash.clone());
        }
        let hash = PasswordHash::parse_admin(text)?;
        hashes.retain(|name, _| settings.admins.contains_key(name));
        hashes.insert(name.to_owned(), (text.clone(), hash.clone()));
        Some(hash)
    }
}

/// Replaces clear passwords by hashes, for the start and after a reload. Answers how many.
///
/// A password that comes from the environment with every start keeps the hash made for it before,
/// and with its salt the sessions.
pub fn hash_plain_text_admins(config: &Config) -> Result<usize, ConfigError> {
    let admins = config.plain_text_admins();
    for (name, password) in &admins {
        let kept = config.beneath_overrides("admins", name);
        let kept = kept.filter(|text| fits(text, password, &config.snapshot()));
        match kept {
            Some(text) => config.set("admins", name, &text, Persist::MemoryOnly)?,
            None => set_admin(config, name, password, Persist::Yes)?,
        };
    }
    Ok(admins.len())
}

/// Creates or changes an admin account; a clear password is hashed first, so that it is never on
/// disk. Answers the old value, as a change of any other key does.
pub fn set_admin(
    config: &Config,
    name: &str,
    value: &str,
    persist: Persist,
) -> Result<Option<String>, ConfigError> {
    if value.is_empty() || is_password_hash(value) {
        return config.set("admins", name, value, persist);
    }
    let hashed = PasswordHash::new(value.as_bytes(), &config.snapshot().auth).to_admin();
    config.set("admins", name, &hashed.unwrap_or_default(), persist)
}

/// Creates the account `name` with a random password when there is no admin at all.
pub fn create_first_admin(config: &Config, name: &str) -> Result<Option<NewAdmin>, ConfigError> {
    if config.section("admins").values().any(|value| !value.is_empty()) {
        return Ok(None);
    }
    let password = URL_SAFE_NO_PAD.encode(hash::random::<18>());
    set_admin(config, name, &password, Persist::Yes)?;
    Ok(Some(NewAdmin { name: name.to_owned(), password }))
}

fn fits(text: &str, password: &str, settings: &Settings) -> bool {
    PasswordHash::parse_admin(text)
        .is_some_and(|hash| hash.verify(password.as_bytes(), &settings.auth) == Ok(true))
}
