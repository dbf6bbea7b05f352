//! Remembers which password was right for which hash, so that Basic authentication pays for
//! PBKDF2 once and not with every request.
//!
//! No password is kept: an entry holds a keyed hash under a random key that never leaves the
//! process, and the stored hash it was verified against. So a changed password is never served
//! from here, and a wrong password for a known entry is known to be wrong at once.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::config::PasswordsCacheSettings;
use crate::metrics::{AUTH_CACHE_HITS, AUTH_CACHE_MISSES};

use super::PasswordHash;
use super::hash::{self, ProcessKey};

/// What is asked about: does this password belong to this user's hash?
#[derive(Clone, Copy)]
pub struct Question<'a> {
    pub name: &'a str,
    pub stored: &'a PasswordHash,
    pub password: &'a [u8],
}

/// The verified passwords of this process, by user name.
pub struct PasswordsCache {
    process_key: ProcessKey,
    entries: Mutex<HashMap<String, Entry>>,
}

struct Entry {
    stored: PasswordHash,
    password_mac: [u8; 32],
    used_s: u64,
}

impl PasswordsCache {
    pub fn new() -> Self {
        Self { process_key: ProcessKey::new(), entries: Mutex::new(HashMap::new()) }
    }

    /// Whether the password is right, or `None` when only the slow way can tell.
    pub fn check(
        &self,
        question: Question<'_>,
        settings: &PasswordsCacheSettings,
        now_s: u64,
    ) -> Option<bool> {
        let known = self.find(question, settings, now_s);
        let count = if known.is_some() { &AUTH_CACHE_HITS } else { &AUTH_CACHE_MISSES };
        count.add(1);
        known
    }

    fn find(
        &self,
        question: Question<'_>,
        settings: &PasswordsCacheSettings,
        now_s: u64,
    ) -> Option<bool> {
        if !settings.enable {
            return None;
        }
        let password_mac = self.password_mac(question);
        let mut entries = self.lock();
        let entry = entries.get_mut(question.name)?;
        if entry.stored != *question.stored || is_idle(entry, settings, now_s) {
            entries.remove(question.name);
            return None;
        }
        let right = hash::equal(&entry.password_mac, &password_mac);
        if right {
            entry.used_s = now_s;
        }
        Some(right)
    }

    /// Remembers that this password is right.
    pub fn insert(&self, question: Question<'_>, settings: &PasswordsCacheSettings, now_s: u64) {
        if !settings.enable {
            return;
        }
        let password_mac = self.password_mac(question);
        let entry = Entry { stored: question.stored.clone(), password_mac, used_s: now_s };
        let mut entries = self.lock();
        if !entries.contains_key(question.name) {
            make_room(&mut entries, settings, now_s);
        }
        entries.insert(question.name.to_owned(), entry);
    }

    fn password_mac(&self, question: Question<'_>) -> [u8; 32] {
        self.process_key.hash([question.name.as_bytes(), question.password])
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn make_room(entries: &mut HashMap<String, Entry>, settings: &PasswordsCacheSettings, now_s: u64) {
    if entries.len() >= settings.max_objects {
        entries.retain(|_, entry| !is_idle(entry, settings, now_s));
    }
    while entries.len() >= settings.max_objects {
        let oldest = entries.iter().min_by_key(|(_, entry)| entry.used_s);
        let Some(oldest) = oldest.map(|(name, _)| name.clone()) else { break };
        entries.remove(&oldest);
    }
}

fn is_idle(entry: &Entry, settings: &PasswordsCacheSettings, now_s: u64) -> bool {
    now_s.saturating_sub(entry.used_s).saturating_mul(1000) >= settings.max_idle_ms
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;

    fn stored(salt: &str) -> PasswordHash {
        PasswordHash::Simple { digest: vec![1], salt: salt.to_owned() }
    }

    #[test]
    fn answers_only_what_was_verified() {
        let (cache, settings) = (PasswordsCache::new(), Settings::default().passwords_cache);
        let (old, new) = (stored("old"), stored("new"));
        let ask = |name, stored, password: &'static str, now_s| {
            let question = Question { name, stored, password: password.as_bytes() };
            cache.check(question, &settings, now_s)
        };
        assert_eq!(ask("bob", &old, "right", 0), None);
        let right = Question { name: "bob", stored: &old, password: b"right" };
        cache.insert(right, &settings, 0);
        assert_eq!(ask("bob", &old, "right", 599), Some(true));
        assert_eq!(ask("bob", &old, "wrong", 600), Some(false));
        assert_eq!(ask("bob", &old, "", 600), Some(false));
        assert_eq!(ask("bo", &old, "bright", 600), None);
        assert_eq!(ask("bob", &old, "right", 1198), Some(true));
        assert_eq!(ask("bob", &old, "right", 1798), None);
        cache.insert(right, &settings, 2000);
        assert_eq!(ask("bob", &new, "right", 2000), None);
        assert_eq!(ask("bob", &old, "right", 2000), None);
    }

    #[test]
    fn bounded_and_switched_off() {
        let cache = PasswordsCache::new();
        let mut settings = Settings::default().passwords_cache;
        settings.max_objects = 2;
        let stored = stored("s");
        let question = |name| Question { name, stored: &stored, password: b"p" };
        for (now_s, name) in ["a", "b", "c"].into_iter().enumerate() {
            cache.insert(question(name), &settings, now_s as u64);
        }
        assert_eq!(cache.check(question("a"), &settings, 3), None);
        assert_eq!(cache.check(question("b"), &settings, 3), Some(true));
        assert_eq!(cache.lock().len(), 2);
        settings.enable = false;
        assert_eq!(cache.check(question("b"), &settings, 3), None);
        cache.insert(question("d"), &settings, 3);
        assert_eq!(cache.lock().len(), 2);
    }
}
