//! Tokens of a second factor: time-based one-time passwords (RFC 6238), as CouchDB keeps their
//! keys in the `totp` member of user documents.

use data_encoding::BASE32_NOPAD;

use crate::config::HashAlgorithm;

use super::hash;

/// Seconds for which a token holds.
const STEP_S: u64 = 30;
/// More digits than a token of 31 bits has.
const LENGTH_MAX: usize = 10;

/// The second factor of an account.
#[derive(Clone, PartialEq, Eq)]
pub struct Totp {
    key: Vec<u8>,
    algorithm: HashAlgorithm,
    length: usize,
}

impl std::fmt::Debug for Totp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Totp").finish_non_exhaustive()
    }
}

impl Totp {
    /// `key` is base32. `None` for what no token can be made from: then nobody can log in.
    pub fn new(key: &str, algorithm: HashAlgorithm, length: usize) -> Option<Self> {
        let text = key.trim().trim_end_matches('=').to_ascii_uppercase();
        let key = BASE32_NOPAD.decode(text.as_bytes()).ok()?;
        let usable = !key.is_empty() && (1..=LENGTH_MAX).contains(&length);
        usable.then_some(Self { key, algorithm, length })
    }

    /// Whether this is the token of now, of the half minute before or of the one after. Takes the
    /// same time for every token.
    pub fn verify(&self, token: &str, now_s: u64) -> bool {
        let now = now_s / STEP_S;
        let steps = [now.saturating_sub(1), now, now.saturating_add(1)];
        steps.into_iter().fold(false, |found, step| {
            hash::equal(self.token(step).as_bytes(), token.as_bytes()) | found
        })
    }

    /// RFC 4226, section 5.3.
    fn token(&self, step: u64) -> String {
        let mac = hash::hmac(self.algorithm, &self.key, &[&step.to_be_bytes()]);
        let offset = mac.last().map_or(0, |last| usize::from(last & 15));
        let bytes = mac.iter().skip(offset).take(4);
        let number = bytes.fold(0_u64, |number, byte| number << 8 | u64::from(*byte)) & 0x7fff_ffff;
        let digits = format!("{number:0width$}", width = self.length);
        digits[digits.len() - self.length..].to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The keys and tokens of RFC 6238, appendix B.
    #[test]
    fn tokens_of_the_rfc() {
        let check = |algorithm, key_bytes: usize, now_s: u64, expect: &str| {
            let key: Vec<u8> = b"1234567890".iter().copied().cycle().take(key_bytes).collect();
            let totp = Totp::new(&data_encoding::BASE32.encode(&key), algorithm, 8).unwrap();
            assert!(totp.verify(expect, now_s), "{now_s}");
            assert!(totp.verify(expect, now_s + 30), "{now_s}");
            assert!(!totp.verify(expect, now_s + 90), "{now_s}");
            assert!(!totp.verify(&expect[1..], now_s), "{now_s}");
        };
        check(HashAlgorithm::Sha, 20, 59, "94287082");
        check(HashAlgorithm::Sha256, 32, 59, "46119246");
        check(HashAlgorithm::Sha512, 64, 59, "90693936");
        check(HashAlgorithm::Sha, 20, 1_111_111_109, "07081804");
        check(HashAlgorithm::Sha256, 32, 1_234_567_890, "91819424");
        check(HashAlgorithm::Sha512, 64, 20_000_000_000, "47863826");
    }

    #[test]
    fn lengths() {
        let six = Totp::new("gezdgnbvgy3tqojqgezdgnbvgy3tqojq", HashAlgorithm::Sha, 6).unwrap();
        assert!(six.verify("287082", 59));
        assert_eq!(Totp::new("0189", HashAlgorithm::Sha, 6), None);
        assert_eq!(Totp::new("", HashAlgorithm::Sha, 6), None);
        assert_eq!(Totp::new("GEZDGNBV", HashAlgorithm::Sha, 0), None);
    }
}
