//! Password hashes as CouchDB stores them.
//!
//! An admin's hash is one text: `-pbkdf2:sha256-<hex>,<salt>,<iterations>`, the older
//! `-pbkdf2-<hex>,<salt>,<iterations>` (SHA-1) or the oldest `-hashed-<hex>,<salt>` (SHA-1 once).
//! The salt is used as the text it is, also where it consists of hexadecimal digits.

use crate::config::{AuthSettings, HashAlgorithm, PasswordScheme};

use super::{AuthError, hash};

/// What is kept of a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PasswordHash {
    Pbkdf2 {
        prf: HashAlgorithm,
        derived_key: Vec<u8>,
        salt: String,
        iterations: u32,
    },
    /// SHA-1 of password and salt.
    Simple {
        digest: Vec<u8>,
        salt: String,
    },
    /// PBKDF2 over the hexadecimal digits of such a SHA-1: a weak hash that was made stronger
    /// while nobody knew the password. Only read, never made.
    SimplePbkdf2 {
        prf: HashAlgorithm,
        derived_key: Vec<u8>,
        salt: String,
        iterations: u32,
    },
    /// Made with a hash function that nobody knows: a try is an error.
    UnknownPrf {
        salt: String,
    },
    /// Nothing that a password could fit.
    Nothing {
        salt: String,
    },
}

impl PasswordHash {
    /// Reads the text of an admin's hash; `None` for anything else, such as a clear password.
    pub fn parse_admin(text: &str) -> Option<Self> {
        if let Some(rest) = text.strip_prefix("-hashed-") {
            let (digest, salt) = rest.split_once(',')?;
            return Some(Self::Simple { digest: hash::from_hex(digest)?, salt: salt.to_owned() });
        }
        let rest = text.strip_prefix("-pbkdf2")?;
        let (prf, rest) = match rest.strip_prefix(':') {
            Some(rest) => {
                let (prf, rest) = rest.split_once('-')?;
                (HashAlgorithm::parse(prf)?, rest)
            }
            None => (HashAlgorithm::Sha, rest.strip_prefix('-')?),
        };
        let mut parts = rest.splitn(3, ',');
        let (derived_key, salt, iterations) = (parts.next()?, parts.next()?, parts.next()?);
        Some(Self::Pbkdf2 {
            prf,
            derived_key: hash::from_hex(derived_key)?,
            salt: salt.to_owned(),
            iterations: iterations.parse().ok().filter(|&iterations| iterations > 0)?,
        })
    }

    /// The text of an admin's hash; `None` for one that admins cannot have.
    pub fn to_admin(&self) -> Option<String> {
        Some(match self {
            Self::Pbkdf2 { prf, derived_key, salt, iterations } => {
                let key = hash::to_hex(derived_key);
                format!("-pbkdf2:{}-{key},{salt},{iterations}", prf.as_str())
            }
            Self::Simple { digest, salt } => format!("-hashed-{},{salt}", hash::to_hex(digest)),
            Self::SimplePbkdf2 { .. } | Self::UnknownPrf { .. } | Self::Nothing { .. } => {
                return None;
            }
        })
    }

    /// Hashes a new password with a new salt, as admins have it. Slow on purpose.
    pub fn new(password: &[u8], settings: &AuthSettings) -> Self {
        Self::pbkdf2(password, new_salt(), settings)
    }

    /// Hashes a user's password as `password_scheme` says; `None` where it names no scheme. Slow
    /// on purpose.
    pub fn of_user(password: &[u8], salt: Option<String>, settings: &AuthSettings) -> Option<Self> {
        let salt = salt.unwrap_or_else(new_salt);
        match settings.password_scheme {
            PasswordScheme::Pbkdf2 => Some(Self::pbkdf2(password, salt, settings)),
            PasswordScheme::Simple => {
                let digest = hash::sha1(&[password, salt.as_bytes()]);
                Some(Self::Simple { digest, salt })
            }
            PasswordScheme::Unknown => None,
        }
    }

    /// Whether a new hash of the same password would be made in another way, and none weaker.
    pub fn is_outdated(&self, settings: &AuthSettings) -> bool {
        let current = (settings.pbkdf2_prf, settings.iterations);
        settings.password_scheme == PasswordScheme::Pbkdf2
            && match self {
                Self::Pbkdf2 { prf, iterations, .. } => (*prf, *iterations) != current,
                Self::Simple { .. } | Self::SimplePbkdf2 { .. } => true,
                Self::UnknownPrf { .. } | Self::Nothing { .. } => false,
            }
    }

    fn pbkdf2(password: &[u8], salt: String, settings: &AuthSettings) -> Self {
        let (prf, iterations) = (settings.pbkdf2_prf, settings.iterations);
        let derived_key = hash::pbkdf2(prf, password, salt.as_bytes(), iterations);
        Self::Pbkdf2 { prf, derived_key, salt, iterations }
    }

    /// Whether this is the password. Slow on purpose; a hash whose iterations are outside the
    /// configured bounds is refused unread.
    pub fn verify(&self, password: &[u8], settings: &AuthSettings) -> Result<bool, AuthError> {
        let (expected, found) = match self {
            Self::Simple { digest, salt } => (digest, hash::sha1(&[password, salt.as_bytes()])),
            Self::Pbkdf2 { iterations, .. } | Self::SimplePbkdf2 { iterations, .. }
                if *iterations < settings.min_iterations =>
            {
                return Err(AuthError::TooFewIterations);
            }
            Self::Pbkdf2 { iterations, .. } | Self::SimplePbkdf2 { iterations, .. }
                if *iterations > settings.max_iterations =>
            {
                return Err(AuthError::TooManyIterations);
            }
            Self::Pbkdf2 { prf, derived_key, salt, iterations } => {
                (derived_key, hash::pbkdf2(*prf, password, salt.as_bytes(), *iterations))
            }
            Self::SimplePbkdf2 { prf, derived_key, salt, iterations } => {
                let simple = hash::to_hex(&hash::sha1(&[password, salt.as_bytes()]));
                let found = hash::pbkdf2(*prf, simple.as_bytes(), salt.as_bytes(), *iterations);
                (derived_key, found)
            }
            Self::UnknownPrf { .. } => return Err(AuthError::InvalidPrf),
            Self::Nothing { .. } => return Ok(false),
        };
        Ok(hash::equal(expected, &found))
    }

    /// The salt; it is part of what signs a session, so that a new password ends the old sessions.
    pub fn salt(&self) -> &str {
        match self {
            Self::Pbkdf2 { salt, .. }
            | Self::Simple { salt, .. }
            | Self::SimplePbkdf2 { salt, .. }
            | Self::UnknownPrf { salt }
            | Self::Nothing { salt } => salt,
        }
    }
}

fn new_salt() -> String {
    hash::to_hex(&hash::random::<16>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;

    /// Made with Python's hashlib: password `passwort`.
    const HASHES: [&str; 7] = [
        "-pbkdf2:sha-5f71c0fa7be51d2ea8fee917119eda5e28dfad91,0123456789abcdef0123456789abcdef,25",
        "-pbkdf2-5f71c0fa7be51d2ea8fee917119eda5e28dfad91,0123456789abcdef0123456789abcdef,25",
        "-pbkdf2:sha224-eb5a30456c00441c6b263d626d00a6e6ac70b96fdd8373c497fdc3e2,\
         0123456789abcdef0123456789abcdef,25",
        "-pbkdf2:sha256-f93f44cf8f35fb66e5d6897dbcf1851e31e30db8328bfc7d3cb213c31ab1aa10,\
         0123456789abcdef0123456789abcdef,25",
        "-pbkdf2:sha384-97a3d87406acd0eba7a91a1e0092ab72b0241873fb8bd530498d8e750c063bf9\
         4f48f7eee061b1d36f3940c5ba9d7cd6,0123456789abcdef0123456789abcdef,25",
        "-pbkdf2:sha512-5c090f90366006a8e952a19907cac9e72d2594e6d347a65a44c9f6ce598858e4\
         ba972b9825f04dd576a2c5e37ca43a45f2a6e0e161d5d8134aa7d04d95b953bd,\
         0123456789abcdef0123456789abcdef,25",
        "-hashed-dd3cf353307b7fb1f3dd0b3db3efde303f9f8c25,abc",
    ];

    #[test]
    fn every_stored_form_verifies() {
        let settings = Settings::default().auth;
        for text in HASHES {
            let hash = PasswordHash::parse_admin(text).unwrap();
            assert_eq!(hash.verify(b"passwort", &settings), Ok(true), "{text}");
            assert_eq!(hash.verify(b"Passwort", &settings), Ok(false), "{text}");
            assert_eq!(hash.verify(b"", &settings), Ok(false), "{text}");
            let again = text.replace("-pbkdf2-", "-pbkdf2:sha-");
            assert_eq!(hash.to_admin(), Some(again));
        }
    }

    #[test]
    fn pbkdf2_vectors() {
        // RFC 6070, and the same input under SHA-256.
        let check = |prf, iterations, expect: &str| {
            let key = hash::pbkdf2(prf, b"password", b"salt", iterations);
            assert_eq!(hash::to_hex(&key), expect);
        };
        check(HashAlgorithm::Sha, 2, "ea6c014dc72d6f8ccd1ed92ace1d41f0d8de8957");
        let sha256 = "c5e478d59288c841aa530db6845c4c8d962893a001ce4e11a4963873aa98134a";
        check(HashAlgorithm::Sha256, 4096, sha256);
    }

    #[test]
    fn what_is_no_hash() {
        for text in [
            "",
            "secret",
            "-pbkdf2",
            "-pbkdf2-",
            "-pbkdf2-00",
            "-pbkdf2-00,aa",
            "-pbkdf2-0,aa,1",
            "-pbkdf2-zz,aa,1",
            "-pbkdf2-00,aa,0",
            "-pbkdf2-00,aa,x",
            "-pbkdf2:md5-00,aa,1",
            "-pbkdf2-00,aa,4294967296",
            "-pbkdf2-+1,aa,1",
            "-hashed-00",
            "-pbkdf2-äö,aa,1",
        ] {
            assert_eq!(PasswordHash::parse_admin(text), None, "{text}");
        }
    }

    #[test]
    fn a_short_derived_key_fits_no_password() {
        let settings = Settings::default().auth;
        for text in ["-pbkdf2:sha256-,aa,1", "-pbkdf2:sha256-f9,aa,1", "-hashed-,aa"] {
            let hash = PasswordHash::parse_admin(text).unwrap();
            assert_eq!(hash.verify(b"", &settings), Ok(false), "{text}");
        }
    }

    #[test]
    fn new_hashes_and_bounds() {
        let mut settings = Settings::default().auth;
        settings.iterations = 3;
        let made = PasswordHash::new(b"geheim", &settings);
        let text = made.to_admin().unwrap();
        assert_eq!(PasswordHash::parse_admin(&text).as_ref(), Some(&made));
        assert!(text.starts_with("-pbkdf2:sha256-"));
        assert!(text.ends_with(",3"));
        assert_eq!((made.salt().len(), made.verify(b"geheim", &settings)), (32, Ok(true)));
        assert_ne!(made, PasswordHash::new(b"geheim", &settings));
        settings.min_iterations = 4;
        assert_eq!(made.verify(b"geheim", &settings), Err(AuthError::TooFewIterations));
        (settings.min_iterations, settings.max_iterations) = (1, 2);
        assert_eq!(made.verify(b"geheim", &settings), Err(AuthError::TooManyIterations));
    }
}
