//! The `AuthSession` cookie: base64url of `user:HEXTIME:HMAC`, and its attributes.
//!
//! The HMAC is raw bytes over `user:HEXTIME`, its key the server's secret followed by the user's
//! salt. So a session needs no memory on the server, ends with its time, and ends when the secret
//! or the password changes.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::config::{AuthSettings, HashAlgorithm, SameSite};

use super::{AuthError, cookie_date, hash};

const NAME: &str = "AuthSession";

/// How the client reached the server; a cookie that was set over https stays there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    Http,
    Https,
}

/// A cookie's claim, not yet believed.
#[derive(Debug, PartialEq, Eq)]
pub struct Session {
    user: Vec<u8>,
    time: Vec<u8>,
    mac: Vec<u8>,
}

/// How much longer a believed session lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validity {
    Fresh,
    /// Less than 90 % of its life remain: time for a new cookie.
    Renew,
}

impl Session {
    /// The session in a `Cookie` header, if it carries one.
    pub fn from_header(header: &str) -> Result<Option<Self>, AuthError> {
        let mut cookies = header.split(';').filter_map(|cookie| cookie.split_once('='));
        let Some((_, value)) = cookies.find(|(name, _)| name.trim() == NAME) else {
            return Ok(None);
        };
        match value.trim().trim_matches('"') {
            "" => Ok(None),
            value => Self::parse(value).map(Some),
        }
    }

    fn parse(value: &str) -> Result<Self, AuthError> {
        let decoded = URL_SAFE_NO_PAD.decode(value).map_err(|_| AuthError::MalformedCookie)?;
        let mut parts = decoded.splitn(3, |&byte| byte == b':').map(<[u8]>::to_vec);
        match (parts.next(), parts.next(), parts.next()) {
            (Some(user), Some(time), Some(mac)) => Ok(Self { user, time, mac }),
            _ => Err(AuthError::MalformedCookie),
        }
    }

    /// Whose session it claims to be.
    pub fn user(&self) -> Option<&str> {
        std::str::from_utf8(&self.user).ok()
    }

    /// Whether to believe it; `None` for a forged or an expired one.
    pub fn verify(
        &self,
        secret: &str,
        salt: &str,
        settings: &AuthSettings,
        now_s: u64,
    ) -> Option<Validity> {
        let left_s = self.issued_s()?.checked_add(settings.timeout_s)?.checked_sub(now_s)?;
        let key = [secret.as_bytes(), salt.as_bytes()].concat();
        let signed = settings.hash_algorithms.iter().any(|&algorithm| {
            let mac = hash::hmac(algorithm, &key, &[&self.user, b":", &self.time]);
            hash::equal(&mac, &self.mac)
        });
        match left_s {
            _ if !signed => None,
            0 => None,
            left_s if left_s.saturating_mul(10) < settings.timeout_s.saturating_mul(9) => {
                Some(Validity::Renew)
            }
            _ => Some(Validity::Fresh),
        }
    }

    fn issued_s(&self) -> Option<u64> {
        let digits = std::str::from_utf8(&self.time).ok()?;
        let hexadecimal = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        hexadecimal.then(|| u64::from_str_radix(digits, 16).ok())?
    }
}

/// The `Set-Cookie` value that begins (or renews) a session.
pub fn issue(
    user: &str,
    secret: &str,
    salt: &str,
    settings: &AuthSettings,
    moment: Moment,
) -> String {
    let algorithm = settings.hash_algorithms.first().copied().unwrap_or(HashAlgorithm::Sha256);
    let key = [secret.as_bytes(), salt.as_bytes()].concat();
    let mut value = format!("{user}:{:X}", moment.now_s).into_bytes();
    let mac = hash::hmac(algorithm, &key, &[&value]);
    value.push(b':');
    value.extend(mac);
    let life_s = settings.allow_persistent_cookies.then_some(settings.timeout_s);
    set_cookie(&URL_SAFE_NO_PAD.encode(value), life_s, settings, moment)
}

/// The `Set-Cookie` value that ends a session.
pub fn clear(settings: &AuthSettings, moment: Moment) -> String {
    set_cookie("", Some(0), settings, moment)
}

/// When and over what a cookie is sent.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    pub now_s: u64,
    pub scheme: Scheme,
}

fn set_cookie(value: &str, life_s: Option<u64>, settings: &AuthSettings, moment: Moment) -> String {
    let mut cookie = format!("{NAME}={value}; Version=1");
    if let Some(life_s) = life_s {
        cookie.push_str("; Expires=");
        cookie.push_str(&cookie_date::format(moment.now_s.saturating_add(life_s)));
        cookie.push_str("; Max-Age=");
        cookie.push_str(&life_s.to_string());
    }
    if moment.scheme == Scheme::Https {
        cookie.push_str("; Secure");
    }
    if let Some(domain) = &settings.cookie_domain {
        cookie.push_str("; Domain=");
        cookie.push_str(domain);
    }
    cookie.push_str("; Path=/; HttpOnly");
    cookie.push_str(match settings.same_site {
        None => "",
        Some(SameSite::None) => "; SameSite=None",
        Some(SameSite::Lax) => "; SameSite=Lax",
        Some(SameSite::Strict) => "; SameSite=Strict",
    });
    cookie
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::Settings;

    const SECRET: &str = "92de07df7e7a3fe14808cef90a7cc0d91";
    const SALT: &str = "3f2b1c4d5e6f708192a3b4c5d6e7f809";
    const NOW: u64 = 1_795_303_700;
    /// Made with Python's hmac: `admin` at that time, under SHA-256 and under SHA-1.
    const SHA256: &str = "YWRtaW46NkIwMjI5MTQ6DMa0OWJ78l7pPUcxx9Y_6hGdWsNyhhUbR9Gs85mGw0o";
    const SHA1: &str = "YWRtaW46NkIwMjI5MTQ6cYxleO-kwwlT16ZFUYrJSdm2Z5A";

    fn settings() -> AuthSettings {
        Settings::default().auth
    }

    const HTTP: Moment = Moment { now_s: NOW, scheme: Scheme::Http };

    #[test]
    fn the_cookie_of_couchdb() {
        let cookie = issue("admin", SECRET, SALT, &settings(), HTTP);
        let attributes =
            "; Version=1; Expires=Sat, 21 Nov 2026 23:38:20 GMT; Max-Age=600; Path=/; HttpOnly";
        assert_eq!(cookie, format!("AuthSession={SHA256}{attributes}"));
        for value in [SHA256, SHA1] {
            let session = Session::parse(value).unwrap();
            assert_eq!(session.user(), Some("admin"));
            assert_eq!(session.verify(SECRET, SALT, &settings(), NOW), Some(Validity::Fresh));
            assert_eq!(session.verify(SECRET, "other", &settings(), NOW), None);
            assert_eq!(session.verify("other", SALT, &settings(), NOW), None);
        }
        let mut only_sha256 = settings();
        only_sha256.hash_algorithms = vec![HashAlgorithm::Sha256];
        assert_eq!(Session::parse(SHA1).unwrap().verify(SECRET, SALT, &only_sha256, NOW), None);
    }

    #[test]
    fn lifetime() {
        let session = Session::parse(SHA256).unwrap();
        for (later_s, expect) in [
            (0, Some(Validity::Fresh)),
            (60, Some(Validity::Fresh)),
            (61, Some(Validity::Renew)),
            (599, Some(Validity::Renew)),
            (600, None),
            (601, None),
        ] {
            let found = session.verify(SECRET, SALT, &settings(), NOW + later_s);
            assert_eq!(found, expect, "{later_s}");
        }
    }

    #[test]
    fn attributes() {
        let mut settings = settings();
        settings.cookie_domain = Some("example.com".into());
        settings.same_site = Some(SameSite::Strict);
        settings.allow_persistent_cookies = false;
        let https = Moment { now_s: NOW, scheme: Scheme::Https };
        let cookie = issue("admin", SECRET, SALT, &settings, https);
        let rest = "; Version=1; Secure; Domain=example.com; Path=/; HttpOnly; SameSite=Strict";
        assert_eq!(cookie, format!("AuthSession={SHA256}{rest}"));
        let cleared = "AuthSession=; Version=1; Expires=Sat, 21 Nov 2026 23:28:20 GMT; Max-Age=0; \
            Path=/; HttpOnly";
        assert_eq!(clear(&self::settings(), HTTP), cleared);
    }

    #[test]
    fn headers() {
        let check = |header: &str, expect: Result<Option<&str>, AuthError>| {
            let session = Session::from_header(header);
            let user = session.map(|s| s.and_then(|s| s.user().map(str::to_owned)));
            assert_eq!(user, expect.map(|user| user.map(str::to_owned)), "{header}");
        };
        check(&format!("AuthSession={SHA256}"), Ok(Some("admin")));
        check(&format!("a=b; AuthSession=\"{SHA256}\" ;c=d"), Ok(Some("admin")));
        check("", Ok(None));
        check("a=b; AuthSession=; c", Ok(None));
        check("authsession=x; XAuthSession=y", Ok(None));
        check("AuthSession=not base64!", Err(AuthError::MalformedCookie));
        check("AuthSession=YWRtaW4", Err(AuthError::MalformedCookie));
        check("AuthSession=YWRtaW46MQ", Err(AuthError::MalformedCookie));
    }

    proptest! {
        #[test]
        fn a_changed_byte_is_refused(at in 0..SHA256.len(), byte in 0x21u8..0x7f) {
            let mut changed = SHA256.as_bytes().to_vec();
            prop_assume!(changed[at] != byte);
            changed[at] = byte;
            let text = String::from_utf8(changed).unwrap();
            let believed = Session::parse(&text)
                .is_ok_and(|session| session.verify(SECRET, SALT, &settings(), NOW).is_some());
            prop_assert!(!believed, "{}", text);
        }

        #[test]
        fn round_trip(user in "[^:;]{0,20}", secret in ".{0,20}", salt in "[0-9a-f]{0,32}",
                      now_s in 0..1u64 << 40) {
            let moment = Moment { now_s, scheme: Scheme::Http };
            let cookie = issue(&user, &secret, &salt, &settings(), moment);
            let session = Session::from_header(&cookie).unwrap().unwrap();
            prop_assert_eq!(session.user(), Some(user.as_str()));
            let validity = session.verify(&secret, &salt, &settings(), now_s);
            prop_assert_eq!(validity, Some(Validity::Fresh));
        }
    }
}
