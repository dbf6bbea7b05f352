//! Proxy authentication: headers in which a trusted proxy says who the user is.
//!
//! Without `proxy_use_secret` everybody who can send headers can be anybody: the proxy has to
//! remove them from what its clients send.

use crate::config::AuthSettings;

use super::authenticate::Headers;
use super::{UserCtx, hash};

/// The user that the headers name; nobody where they name none, or the token is not right.
pub fn user(headers: Headers<'_>, settings: &AuthSettings) -> Option<UserCtx> {
    let proxy = &settings.proxy;
    let name = headers(&proxy.username_header)?;
    if proxy.use_secret {
        let token = headers(&proxy.token_header).unwrap_or_default();
        let secret = settings.secret.as_deref();
        secret.filter(|secret| is_right(token, secret, name, settings))?;
    }
    let roles = headers(&proxy.roles_header).unwrap_or_default();
    let roles = roles.split(',').map(str::trim).map(str::to_owned);
    let mut roles: Vec<String> = roles.collect();
    while roles.last().is_some_and(String::is_empty) {
        roles.pop();
    }
    Some(UserCtx { name: Some(name.to_owned()), roles })
}

/// Whether the token is the name's, signed by one who knows the secret.
fn is_right(token: &str, secret: &str, name: &str, settings: &AuthSettings) -> bool {
    settings.hash_algorithms.iter().any(|&algorithm| {
        let mac = hash::hmac(algorithm, secret.as_bytes(), &[name.as_bytes()]);
        hash::equal(hash::to_hex(&mac).as_bytes(), token.as_bytes())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Settings;

    /// Made with Python's hmac: the name `bob`, the secret `s3cret`.
    const SHA256: &str = "222da4508f426b355e5ae578455c357940ed063d77bb975142ddd0ef9eb2b645";
    const SHA1: &str = "154f7c5a3a6c9a128cd030d1e4093b8ab6d52f6f";

    fn check(settings: &AuthSettings, sent: &[(&str, &str)], expect: Option<(&str, &[&str])>) {
        let headers = |wanted: &str| {
            sent.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| *value)
        };
        let expect = expect.map(|(name, roles)| UserCtx {
            name: Some(name.to_owned()),
            roles: roles.iter().map(|&role| role.to_owned()).collect(),
        });
        assert_eq!(user(&headers, settings), expect, "{sent:?}");
    }

    #[test]
    fn names_and_roles() {
        let settings = Settings::default().auth;
        let name = ("X-Auth-CouchDB-UserName", "bob");
        check(&settings, &[], None);
        check(&settings, &[name], Some(("bob", &[])));
        for (roles, expect) in [
            ("", &[][..]),
            ("a", &["a"]),
            ("a,b , c", &["a", "b", "c"]),
            ("a,,b,", &["a", "", "b"]),
        ] {
            check(&settings, &[name, ("X-Auth-CouchDB-Roles", roles)], Some(("bob", expect)));
        }
    }

    #[test]
    fn tokens() {
        let mut settings = Settings::default().auth;
        settings.proxy.use_secret = true;
        settings.secret = Some("s3cret".to_owned());
        let name = ("X-Auth-CouchDB-UserName", "bob");
        let token = |token| ("X-Auth-CouchDB-Token", token);
        check(&settings, &[name, token(SHA256)], Some(("bob", &[])));
        check(&settings, &[name, token(SHA1)], Some(("bob", &[])));
        let upper = SHA256.to_uppercase();
        for wrong in ["", "00", upper.as_str(), &SHA256[1..]] {
            check(&settings, &[name, ("X-Auth-CouchDB-Token", wrong)], None);
        }
        check(&settings, &[name], None);
        check(&settings, &[("X-Auth-CouchDB-UserName", "eve"), token(SHA256)], None);
        settings.hash_algorithms = vec![crate::config::HashAlgorithm::Sha256];
        check(&settings, &[name, token(SHA1)], None);
        settings.proxy.token_header = "X-Token".to_owned();
        settings.proxy.username_header = "X-Name".to_owned();
        check(&settings, &[("X-Name", "bob"), ("X-Token", SHA256)], Some(("bob", &[])));
    }
}
