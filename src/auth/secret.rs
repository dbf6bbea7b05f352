//! The secret that signs session cookies.
//!
//! When it is changed, sessions signed with the one before stay valid for one lifetime, so that
//! nobody is logged out by a rotation.

use std::sync::{Mutex, PoisonError};

use crate::config::{AuthSettings, Config, ConfigError, Persist};

use super::hash;

/// Gives the server a secret, kept in `[chttpd_auth] secret`, unless it has one.
pub fn ensure_cookie_secret(config: &Config) -> Result<(), ConfigError> {
    if config.snapshot().auth.secret.is_none() {
        let secret = hash::to_hex(&hash::random::<16>());
        config.set("chttpd_auth", "secret", &secret, Persist::Yes)?;
    }
    Ok(())
}

/// The secrets a cookie may be signed with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Secrets {
    /// Signs new cookies.
    pub current: String,
    /// Still taken, after a rotation.
    pub previous: Option<String>,
}

/// Notices when the configured secret changes.
#[derive(Default)]
pub struct SecretHistory {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    current: Option<String>,
    previous: Option<(String, u64)>,
}

impl SecretHistory {
    /// The secrets that hold now; `None` while no secret is configured.
    pub fn secrets(&self, settings: &AuthSettings, now_s: u64) -> Option<Secrets> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.current != settings.secret {
            let old = std::mem::replace(&mut state.current, settings.secret.clone());
            let until_s = now_s.saturating_add(settings.timeout_s);
            state.previous = old.map(|old| (old, until_s));
        }
        state.previous.take_if(|(_, until_s)| *until_s <= now_s);
        let previous = state.previous.as_ref().map(|(secret, _)| secret.clone());
        Some(Secrets { current: state.current.clone()?, previous })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;

    #[test]
    fn the_secret_before_holds_for_one_lifetime() {
        let (history, mut settings) = (SecretHistory::default(), Settings::default().auth);
        let mut check = |secret: Option<&str>, now_s, expect: Option<(&str, Option<&str>)>| {
            settings.secret = secret.map(str::to_owned);
            let found = history.secrets(&settings, now_s);
            let expect = expect.map(|(current, previous)| Secrets {
                current: current.to_owned(),
                previous: previous.map(str::to_owned),
            });
            assert_eq!(found, expect, "{secret:?} {now_s}");
        };
        check(None, 0, None);
        check(Some("a"), 1, Some(("a", None)));
        check(Some("b"), 10, Some(("b", Some("a"))));
        check(Some("b"), 609, Some(("b", Some("a"))));
        check(Some("b"), 610, Some(("b", None)));
    }

    #[test]
    fn a_secret_is_made_once() {
        let config = Config::in_memory(Vec::new()).unwrap();
        ensure_cookie_secret(&config).unwrap();
        let secret = config.get("chttpd_auth", "secret").unwrap();
        assert_eq!(secret.len(), 32);
        ensure_cookie_secret(&config).unwrap();
        assert_eq!(config.get("chttpd_auth", "secret"), Some(secret));
    }
}
