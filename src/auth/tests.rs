//! Authentication from header to identity, and the accounts in `[admins]`.

use std::fs;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{
    AuthError, AuthErrorKind, AuthenticatedBy, Authentication, Authenticator, Credentials,
    Identity, PasswordHash, Scheme, UserCtx, UserRecord, create_first_admin,
    hash_plain_text_admins, set_admin,
};
use crate::config::{Config, Override, Persist};

const NOW: u64 = 1_795_303_700;

/// An admin `root` and a user `bob`, both with the password `secret`.
fn authenticator(settings: &[(&str, &str, &str)]) -> (Arc<Config>, Authenticator) {
    let fixed = [
        ("chttpd_auth", "iterations", "2"),
        ("chttpd_auth", "secret", "cookie secret"),
        ("admins", "root", "secret"),
    ];
    let overrides = fixed.iter().chain(settings);
    let overrides = overrides.map(|(s, k, v)| Override::new(*s, *k, *v)).collect();
    let config = Arc::new(Config::in_memory(overrides).unwrap());
    hash_plain_text_admins(&config).unwrap();
    let password = PasswordHash::new(b"secret", &config.snapshot().auth);
    let lookup = move |name: &str| {
        let roles = vec!["staff".to_owned()];
        let known = matches!(name, "bob" | "root");
        known.then(|| UserRecord { password: password.clone(), roles })
    };
    let authenticator = Authenticator::with_users(Arc::clone(&config), Box::new(lookup));
    (config, authenticator)
}

fn basic(name: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{name}:{password}")))
}

fn credentials<'a>(
    authorization: Option<&'a str>,
    cookie: Option<&'a str>,
    now_s: u64,
) -> Credentials<'a> {
    Credentials { authorization, cookie, peer: "10.0.0.1", scheme: Scheme::Http, now_s }
}

fn by_basic(
    authenticator: &Authenticator,
    name: &str,
    password: &str,
) -> Result<Identity, AuthError> {
    authenticator.authenticate(&credentials(Some(&basic(name, password)), None, NOW))
}

#[test]
fn basic_authentication() {
    let (_, authenticator) = authenticator(&[]);
    let check = |name: &str, password: &str, expect: Result<&[&str], AuthError>| {
        let found = by_basic(&authenticator, name, password).map(|identity| {
            assert_eq!(identity.authenticated_by, Some(AuthenticatedBy::Default));
            assert_eq!(identity.user_ctx.name.as_deref(), Some(name));
            identity.user_ctx.roles
        });
        assert_eq!(found, expect.map(|roles| roles.iter().map(|&r| r.to_owned()).collect()));
    };
    check("bob", "secret", Ok(&["staff"]));
    check("root", "secret", Ok(&["_admin", "staff"]));
    check("bob", "wrong", Err(AuthError::IncorrectPassword));
    check("bob", "", Err(AuthError::IncorrectPassword));
    check("nobody", "secret", Err(AuthError::IncorrectPassword));
    for nothing in [None, Some("Bearer x"), Some("Basic Xzpf")] {
        let identity = authenticator.authenticate(&credentials(nothing, None, NOW));
        assert_eq!(identity, Ok(Identity::anonymous()));
    }
    let broken = authenticator.authenticate(&credentials(Some("Basic !"), None, NOW));
    assert_eq!(broken, Err(AuthError::InvalidBase64));
}

#[test]
fn a_verified_password_is_remembered_until_it_changes() {
    let (config, authenticator) = authenticator(&[]);
    let header = basic("root", "secret");
    let cached = |now_s| {
        let found = authenticator.authenticate_cached(&credentials(Some(&header), None, now_s));
        matches!(found, Ok(Authentication::Done(_)))
    };
    assert!(!cached(NOW));
    by_basic(&authenticator, "root", "secret").unwrap();
    assert!(cached(NOW + 1));
    let wrong = basic("root", "wrong");
    let wrong = authenticator.authenticate_cached(&credentials(Some(&wrong), None, NOW));
    assert_eq!(wrong.unwrap_err(), AuthError::IncorrectPassword);
    set_admin(&config, "root", "other", Persist::Yes).unwrap();
    assert!(!cached(NOW + 1));
    assert_eq!(by_basic(&authenticator, "root", "secret"), Err(AuthError::IncorrectPassword));
    assert!(by_basic(&authenticator, "root", "other").is_ok());
}

#[test]
fn five_failures_lock_even_the_right_password_out() {
    let (_, authenticator) = authenticator(&[]);
    by_basic(&authenticator, "bob", "secret").unwrap();
    for _ in 0..5 {
        assert_eq!(by_basic(&authenticator, "bob", "no"), Err(AuthError::IncorrectPassword));
    }
    assert_eq!(by_basic(&authenticator, "bob", "secret"), Err(AuthError::LockedOut));
    assert!(by_basic(&authenticator, "root", "secret").is_ok());
    let header = basic("bob", "secret");
    let elsewhere = Credentials { peer: "10.0.0.2", ..credentials(Some(&header), None, NOW) };
    assert!(authenticator.authenticate(&elsewhere).is_ok());
    let later = credentials(Some(&header), None, NOW + 300);
    assert!(authenticator.authenticate(&later).is_ok());
    for attempt in 0..6 {
        let refused = authenticator.login_cached("nobody", b"x", "10.0.0.1", NOW).unwrap_err();
        let expect = if attempt < 5 { AuthError::IncorrectPassword } else { AuthError::LockedOut };
        assert_eq!(refused, expect);
    }
}

#[test]
fn failures_at_the_same_time_are_counted_one_by_one() {
    let (_, authenticator) = authenticator(&[]);
    let header = basic("bob", "wrong");
    let request = credentials(Some(&header), None, NOW);
    let pending: Vec<_> = (0..20).map(|_| authenticator.authenticate_cached(&request)).collect();
    let refusals: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = pending
            .into_iter()
            .map(|step| match step.unwrap() {
                Authentication::NeedsVerification(one) => {
                    let authenticator = &authenticator;
                    scope.spawn(move || authenticator.verify(one).unwrap_err())
                }
                Authentication::Done(_) => panic!("a wrong password"),
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let evaluated = refusals.iter().filter(|&&r| r == AuthError::IncorrectPassword).count();
    assert_eq!(evaluated, 5);
}

#[test]
fn sessions() {
    let (config, authenticator) = authenticator(&[]);
    let login = authenticator.login_cached("bob", b"secret", "10.0.0.1", NOW).unwrap();
    let Authentication::NeedsVerification(login) = login else { panic!("never seen before") };
    assert_eq!(authenticator.verify(login).unwrap().user_ctx.name.as_deref(), Some("bob"));
    let cookie = authenticator.session_cookie("bob", Scheme::Http, NOW).unwrap();
    let cookie = cookie.split(';').next().unwrap().to_owned();
    let at = |now_s| authenticator.authenticate(&credentials(None, Some(&cookie), now_s)).unwrap();

    let fresh = at(NOW + 10);
    assert_eq!(fresh.authenticated_by, Some(AuthenticatedBy::Cookie));
    assert_eq!(fresh.user_ctx.roles, ["staff"]);
    assert_eq!(fresh.renewed_cookie, None);
    let renewed = at(NOW + 100).renewed_cookie.unwrap();
    assert!(renewed.starts_with("AuthSession=") && !renewed.starts_with(&cookie));
    assert_eq!(at(NOW + 600), Identity::anonymous());

    let both = basic("root", "secret");
    let both = authenticator.authenticate(&credentials(Some(&both), Some(&cookie), NOW));
    assert_eq!(both.unwrap().user_ctx.name.as_deref(), Some("bob"));
    let expired = basic("root", "secret");
    let expired =
        authenticator.authenticate(&credentials(Some(&expired), Some(&cookie), NOW + 700));
    assert_eq!(expired.unwrap().user_ctx.name.as_deref(), Some("root"));
    let malformed = authenticator.authenticate(&credentials(None, Some("AuthSession=!"), NOW));
    assert_eq!(malformed, Err(AuthError::MalformedCookie));

    config.set("chttpd_auth", "secret", "new", Persist::Yes).unwrap();
    let rotated = at(NOW + 1);
    assert_eq!(rotated.user_ctx.name.as_deref(), Some("bob"));
    assert!(rotated.renewed_cookie.is_some());
    config.set("chttpd_auth", "secret", "newer", Persist::Yes).unwrap();
    assert_eq!(at(NOW + 2), Identity::anonymous());
    config.delete("chttpd_auth", "secret", Persist::Yes).unwrap();
    let no_secret = authenticator.session_cookie("bob", Scheme::Http, NOW);
    assert_eq!(no_secret, Err(AuthError::SecretNotSet));
}

#[test]
fn a_new_password_ends_sessions() {
    let (config, authenticator) = authenticator(&[]);
    let cookie = authenticator.session_cookie("root", Scheme::Https, NOW).unwrap();
    assert!(cookie.contains("; Secure;"));
    let request = credentials(None, Some(&cookie), NOW);
    assert!(authenticator.authenticate(&request).unwrap().user_ctx.is_server_admin());
    set_admin(&config, "root", "other", Persist::Yes).unwrap();
    assert_eq!(authenticator.authenticate(&request), Ok(Identity::anonymous()));
    assert!(authenticator.clear_cookie(Scheme::Http, NOW).starts_with("AuthSession=;"));
}

#[test]
fn iteration_bounds_refuse_before_hashing() {
    let (_, authenticator) = authenticator(&[("chttpd_auth", "max_iterations", "1")]);
    let refused = by_basic(&authenticator, "bob", "secret").unwrap_err();
    assert_eq!(refused, AuthError::TooManyIterations);
    assert_eq!(refused.kind(), AuthErrorKind::Forbidden);
}

#[test]
fn clear_passwords_are_hashed_on_start() {
    let folder = tempfile::tempdir().unwrap();
    let local_ini = folder.path().join("local.ini");
    fs::write(&local_ini, "[chttpd_auth]\niterations = 2\n[admins]\n; us\nanna = geheim\n")
        .unwrap();
    let open = || {
        let overrides = vec![Override::new("admins", "env", "from docker")];
        Config::open(&[], local_ini.clone(), overrides).unwrap()
    };
    let config = open();
    assert_eq!(hash_plain_text_admins(&config).unwrap(), 2);
    assert_eq!(hash_plain_text_admins(&config).unwrap(), 0);
    let text = fs::read_to_string(&local_ini).unwrap();
    assert!(!text.contains("geheim") && !text.contains("docker") && text.contains("; us\n"));
    let first = config.all();
    let again = open();
    assert_eq!(hash_plain_text_admins(&again).unwrap(), 1);
    assert_eq!(again.all(), first);
    assert_eq!(fs::read_to_string(&local_ini).unwrap(), text);
    let authenticator = Authenticator::new(Arc::new(again));
    for (name, password) in [("anna", "geheim"), ("env", "from docker")] {
        assert!(by_basic(&authenticator, name, password).unwrap().user_ctx.is_server_admin());
    }
}

#[test]
fn the_first_admin() {
    let overrides = vec![Override::new("chttpd_auth", "iterations", "2")];
    let config = Arc::new(Config::in_memory(overrides).unwrap());
    let Some(made) = create_first_admin(&config, "admin").unwrap() else { panic!("no admin yet") };
    assert!(made.password.len() >= 20);
    assert!(made.password.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_')));
    assert!(create_first_admin(&config, "admin").unwrap().is_none());
    let authenticator = Authenticator::new(config);
    assert!(by_basic(&authenticator, "admin", &made.password).unwrap().user_ctx.is_server_admin());
}

#[test]
fn what_a_user_may() {
    let anonymous = UserCtx::anonymous();
    let bob = UserCtx { name: Some("bob".into()), roles: vec!["_metrics".into()] };
    let admin = UserCtx { name: Some("root".into()), roles: vec!["_admin".into()] };
    assert_eq!(serde_json::to_string(&anonymous).unwrap(), r#"{"name":null,"roles":[]}"#);
    let check = |user: &UserCtx, expect: [Result<(), AuthError>; 4]| {
        let found = [
            user.require_server_admin(),
            user.require_metrics_reader(),
            user.require_authenticated(),
            user.require_valid_user(),
        ];
        assert_eq!(found, expect, "{user:?}");
    };
    let refused = [
        Err(AuthError::NotServerAdmin),
        Err(AuthError::NotMetricsReader),
        Err(AuthError::NotAuthenticated),
        Err(AuthError::AuthenticationRequired),
    ];
    check(&anonymous, refused);
    check(&bob, [Err(AuthError::NotServerAdmin), Ok(()), Ok(()), Ok(())]);
    check(&admin, [Ok(()); 4]);
}
