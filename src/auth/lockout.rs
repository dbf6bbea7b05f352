//! Counts wrong passwords: at the threshold an account is locked for the address they came from.
//!
//! The salt is part of what is counted, so a new password unlocks. Failures are forgotten together,
//! a fixed time after the first. Nothing unlocks earlier: were a right password to do so, whoever
//! shares an address with the account's owner could go on guessing.

use std::collections::HashMap;
use std::fmt::Display;
use std::sync::{Mutex, MutexGuard, PoisonError};

use sha2::{Digest, Sha256};

use crate::config::{LockoutMode, LockoutSettings};

/// Who is trying. Hashed, as a name may be as long as a request allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Account([u8; 32]);

impl Account {
    /// `salt` is empty for an unknown name.
    pub fn new(peer: &(impl Display + ?Sized), name: &str, salt: &str) -> Self {
        let mut hasher = Sha256::new();
        for part in [peer.to_string().as_str(), name, salt] {
            hasher.update((part.len() as u64).to_be_bytes());
            hasher.update(part);
        }
        Self(hasher.finalize().into())
    }
}

/// Whether an account may try a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lock {
    Open,
    /// At the threshold, but the mode is `warn`.
    Warned,
    Locked,
}

struct Failures {
    count: u32,
    first_s: u64,
}

/// The failures of this process.
pub struct Lockout {
    failures: Mutex<HashMap<Account, Failures>>,
}

impl Lockout {
    pub fn new() -> Self {
        Self { failures: Mutex::new(HashMap::new()) }
    }

    /// `account` is only asked for when somebody failed lately: this runs with every request.
    pub fn check(
        &self,
        account: impl FnOnce() -> Account,
        settings: &LockoutSettings,
        now_s: u64,
    ) -> Lock {
        let lock = match settings.mode {
            LockoutMode::Off => return Lock::Open,
            LockoutMode::Warn => Lock::Warned,
            LockoutMode::Enforce => Lock::Locked,
        };
        let mut table = self.lock();
        if table.is_empty() {
            return Lock::Open;
        }
        let account = account();
        match table.get(&account) {
            Some(failures) if is_over(failures, settings, now_s) => {
                table.remove(&account);
                Lock::Open
            }
            Some(failures) if failures.count >= settings.threshold => lock,
            _ => Lock::Open,
        }
    }

    /// Counts one wrong password.
    pub fn count(&self, account: Account, settings: &LockoutSettings, now_s: u64) {
        if settings.mode == LockoutMode::Off {
            return;
        }
        let mut table = self.lock();
        if !table.contains_key(&account) {
            make_room(&mut table, settings, now_s);
        }
        let failures = table.entry(account).or_insert(Failures { count: 0, first_s: now_s });
        if is_over(failures, settings, now_s) {
            *failures = Failures { count: 0, first_s: now_s };
        }
        failures.count = failures.count.saturating_add(1);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Account, Failures>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn make_room(table: &mut HashMap<Account, Failures>, settings: &LockoutSettings, now_s: u64) {
    if table.len() >= settings.max_objects {
        table.retain(|_, failures| !is_over(failures, settings, now_s));
    }
    while table.len() >= settings.max_objects {
        let oldest = table.iter().min_by_key(|(_, failures)| failures.first_s);
        let Some(oldest) = oldest.map(|(account, _)| *account) else { break };
        table.remove(&oldest);
    }
}

fn is_over(failures: &Failures, settings: &LockoutSettings, now_s: u64) -> bool {
    now_s.saturating_sub(failures.first_s).saturating_mul(1000) >= settings.max_lifetime_ms
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;

    #[test]
    fn the_sixth_try_is_locked_until_the_time_is_over() {
        let (lockout, settings) = (Lockout::new(), Settings::default().lockout);
        let account = Account::new("10.0.0.1", "bob", "salt");
        for second in 0..5 {
            assert_eq!(lockout.check(|| account, &settings, second), Lock::Open);
            lockout.count(account, &settings, second);
        }
        let check = |peer, name, salt, now_s, expect| {
            let found = lockout.check(|| Account::new(peer, name, salt), &settings, now_s);
            assert_eq!(found, expect, "{peer} {name} {salt} {now_s}");
        };
        check("10.0.0.1", "bob", "salt", 5, Lock::Locked);
        check("10.0.0.2", "bob", "salt", 5, Lock::Open);
        check("10.0.0.1", "eve", "salt", 5, Lock::Open);
        check("10.0.0.1", "bob", "new salt", 5, Lock::Open);
        check("10.0.0.1b", "ob", "salt", 5, Lock::Open);
        check("10.0.0.1", "bob", "salt", 299, Lock::Locked);
        check("10.0.0.1", "bob", "salt", 300, Lock::Open);
        lockout.count(account, &settings, 301);
        check("10.0.0.1", "bob", "salt", 301, Lock::Open);
    }

    #[test]
    fn old_failures_do_not_add_up() {
        let (lockout, settings) = (Lockout::new(), Settings::default().lockout);
        let account = Account::new("p", "n", "s");
        for now_s in [0, 1, 2, 3, 300, 301] {
            lockout.count(account, &settings, now_s);
        }
        assert_eq!(lockout.check(|| account, &settings, 301), Lock::Open);
    }

    #[test]
    fn modes() {
        let check = |mode, expect| {
            let mut settings = Settings::default().lockout;
            (settings.mode, settings.threshold) = (mode, 1);
            let (lockout, account) = (Lockout::new(), Account::new("p", "n", "s"));
            lockout.count(account, &settings, 0);
            assert_eq!(lockout.check(|| account, &settings, 0), expect);
        };
        check(LockoutMode::Enforce, Lock::Locked);
        check(LockoutMode::Warn, Lock::Warned);
        check(LockoutMode::Off, Lock::Open);
    }

    #[test]
    fn the_table_is_bounded() {
        let (lockout, mut settings) = (Lockout::new(), Settings::default().lockout);
        (settings.max_objects, settings.threshold) = (3, 1);
        for (now_s, name) in ["a", "b", "c", "d"].into_iter().enumerate() {
            lockout.count(Account::new("p", name, ""), &settings, now_s as u64);
        }
        assert_eq!(lockout.lock().len(), 3);
        assert_eq!(lockout.check(|| Account::new("p", "a", ""), &settings, 4), Lock::Open);
        assert_eq!(lockout.check(|| Account::new("p", "d", ""), &settings, 4), Lock::Locked);
    }
}
