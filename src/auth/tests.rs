//! Authentication from header to identity, and the accounts in `[admins]`.

use std::fs;
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{
    AuthError, AuthErrorKind, Authentication, Authenticator, Credentials, Identity, Login,
    PasswordHash, Peer, Scheme, SecondFactor, Source, Totp, UserCtx, UserRecord, Users,
    create_first_admin, hash_plain_text_admins, set_admin,
};
use crate::config::{AuthenticationHandler, Config, HashAlgorithm, Override, Persist, Settings};

const NOW: u64 = 1_795_303_700;

/// `bob` and `root` with the same password; `tina` also needs a token; `carl` has conflicts.
struct SomeUsers {
    password: PasswordHash,
    upgraded: Mutex<Vec<String>>,
}

impl Users for SomeUsers {
    fn find(&self, _: &Settings, name: &str) -> Result<Option<UserRecord>, AuthError> {
        let second_factor = match name {
            "bob" | "root" => SecondFactor::Nothing,
            // RFC 6238, appendix B.
            "tina" => SecondFactor::Totp(
                Totp::new("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", HashAlgorithm::Sha, 8).unwrap(),
            ),
            "carl" => return Err(AuthError::UserConflicts),
            _ => return Ok(None),
        };
        let (password, roles) = (self.password.clone(), vec!["staff".to_owned()]);
        Ok(Some(UserRecord { password, roles, second_factor, source: Source::Document }))
    }

    fn upgrade(&self, name: &str, password: &[u8], record: &UserRecord) {
        assert_eq!((password, &record.password), (b"secret".as_slice(), &self.password));
        self.upgraded.lock().unwrap().push(name.to_owned());
    }
}

/// Without users of its own.
struct Nobody;

impl Users for Nobody {
    fn find(&self, _: &Settings, _: &str) -> Result<Option<UserRecord>, AuthError> {
        Ok(None)
    }

    fn upgrade(&self, _: &str, _: &[u8], _: &UserRecord) {}
}

/// An admin `root` and the users, all with the password `secret`.
fn authenticator(settings: &[(&str, &str, &str)]) -> (Arc<Config>, Authenticator) {
    let (config, authenticator, _) = with_users(settings);
    (config, authenticator)
}

fn with_users(settings: &[(&str, &str, &str)]) -> (Arc<Config>, Authenticator, Arc<SomeUsers>) {
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
    let users = Arc::new(SomeUsers { password, upgraded: Mutex::default() });
    let authenticator = Authenticator::new(Arc::clone(&config), users.clone());
    (config, authenticator, users)
}

fn basic(name: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{name}:{password}")))
}

fn from(peer: &str) -> Peer {
    Peer::Forwarded(peer.to_owned())
}

/// What a request carries.
#[derive(Clone, Copy, Default)]
struct Sent<'a> {
    authorization: Option<&'a str>,
    cookie: Option<&'a str>,
    proxied_user: Option<&'a str>,
    peer: Option<&'a str>,
    now_s: u64,
}

impl Sent<'_> {
    fn with<T>(self, ask: impl FnOnce(&Credentials<'_>) -> T) -> T {
        let headers = |name: &str| match name.to_ascii_lowercase().as_str() {
            "authorization" => self.authorization,
            "cookie" => self.cookie,
            "x-auth-couchdb-username" => self.proxied_user,
            _ => None,
        };
        let peer = &from(self.peer.unwrap_or("10.0.0.1"));
        let (scheme, now_s) = (Scheme::Http, self.now_s);
        ask(&Credentials { headers: &headers, peer, scheme, now_s })
    }

    fn cached(self, authenticator: &Authenticator) -> Result<Authentication, AuthError> {
        self.with(|credentials| authenticator.authenticate_cached(credentials))
    }

    fn to(self, authenticator: &Authenticator) -> Result<Identity, AuthError> {
        self.with(|credentials| authenticator.authenticate(credentials))
    }
}

fn credentials<'a>(
    authorization: Option<&'a str>,
    cookie: Option<&'a str>,
    now_s: u64,
) -> Sent<'a> {
    Sent { authorization, cookie, now_s, ..Sent::default() }
}

fn login(name: &str, token: &str) -> Login {
    Login { name: name.to_owned(), password: "secret".to_owned(), token: token.to_owned() }
}

fn by_basic(
    authenticator: &Authenticator,
    name: &str,
    password: &str,
) -> Result<Identity, AuthError> {
    credentials(Some(&basic(name, password)), None, NOW).to(authenticator)
}

#[test]
fn basic_authentication() {
    let (_, authenticator) = authenticator(&[]);
    let check = |name: &str, password: &str, expect: Result<&[&str], AuthError>| {
        let found = by_basic(&authenticator, name, password).map(|identity| {
            assert_eq!(identity.authenticated_by, Some(AuthenticationHandler::Default));
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
        let identity = credentials(nothing, None, NOW).to(&authenticator);
        assert_eq!(identity, Ok(Identity::anonymous()));
    }
    let broken = credentials(Some("Basic !"), None, NOW).to(&authenticator);
    assert_eq!(broken, Err(AuthError::InvalidBase64));
}

#[test]
fn a_verified_password_is_remembered_until_it_changes() {
    let (config, authenticator) = authenticator(&[]);
    let header = basic("root", "secret");
    let cached = |now_s| {
        let found = credentials(Some(&header), None, now_s).cached(&authenticator);
        matches!(found, Ok(Authentication::Done(_)))
    };
    assert!(!cached(NOW));
    by_basic(&authenticator, "root", "secret").unwrap();
    assert!(cached(NOW + 1));
    let wrong = basic("root", "wrong");
    let wrong = credentials(Some(&wrong), None, NOW).cached(&authenticator);
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
    let elsewhere = Sent { peer: Some("10.0.0.2"), ..credentials(Some(&header), None, NOW) };
    assert!(elsewhere.to(&authenticator).is_ok());
    let later = credentials(Some(&header), None, NOW + 300);
    assert!(later.to(&authenticator).is_ok());
    for attempt in 0..6 {
        let refused =
            authenticator.login_cached(login("nobody", ""), &from("10.0.0.1"), NOW).unwrap_err();
        let expect = if attempt < 5 { AuthError::IncorrectPassword } else { AuthError::LockedOut };
        assert_eq!(refused, expect);
    }
}

#[test]
fn failures_at_the_same_time_are_counted_one_by_one() {
    let (_, authenticator) = authenticator(&[]);
    let header = basic("bob", "wrong");
    let request = credentials(Some(&header), None, NOW);
    let pending: Vec<_> = (0..20).map(|_| request.cached(&authenticator)).collect();
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
    let evaluated = refusals.iter().filter(|r| **r == AuthError::IncorrectPassword).count();
    assert_eq!(evaluated, 5);
}

#[test]
fn sessions() {
    let (config, authenticator) = authenticator(&[]);
    let step = authenticator.login_cached(login("bob", ""), &from("10.0.0.1"), NOW).unwrap();
    let Authentication::NeedsVerification(step) = step else { panic!("never seen before") };
    assert_eq!(authenticator.verify(step).unwrap().user_ctx.name.as_deref(), Some("bob"));
    let cookie = authenticator.session_cookie("bob", Scheme::Http, NOW).unwrap();
    let cookie = cookie.split(';').next().unwrap().to_owned();
    let at = |now_s| credentials(None, Some(&cookie), now_s).to(&authenticator).unwrap();

    let fresh = at(NOW + 10);
    assert_eq!(fresh.authenticated_by, Some(AuthenticationHandler::Cookie));
    assert_eq!(fresh.user_ctx.roles, ["staff"]);
    assert_eq!(fresh.renewed_cookie, None);
    let renewed = at(NOW + 100).renewed_cookie.unwrap();
    assert!(renewed.starts_with("AuthSession=") && !renewed.starts_with(&cookie));
    assert_eq!(at(NOW + 600), Identity::anonymous());

    let both = basic("root", "secret");
    let both = credentials(Some(&both), Some(&cookie), NOW).to(&authenticator);
    assert_eq!(both.unwrap().user_ctx.name.as_deref(), Some("bob"));
    let expired = basic("root", "secret");
    let expired = credentials(Some(&expired), Some(&cookie), NOW + 700).to(&authenticator);
    assert_eq!(expired.unwrap().user_ctx.name.as_deref(), Some("root"));
    let malformed = credentials(None, Some("AuthSession=!"), NOW).to(&authenticator);
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
    assert!(request.to(&authenticator).unwrap().user_ctx.is_server_admin());
    set_admin(&config, "root", "other", Persist::Yes).unwrap();
    assert_eq!(request.to(&authenticator), Ok(Identity::anonymous()));
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
    let authenticator = Authenticator::new(Arc::new(again), Arc::new(Nobody));
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
    let authenticator = Authenticator::new(config, Arc::new(Nobody));
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
    check(&admin, [const { Ok(()) }; 4]);
}

const HANDLERS: (&str, &str) = ("chttpd", "authentication_handlers");

#[test]
fn handlers_are_asked_in_their_order() {
    let pair = |name: &str| format!("{{chttpd_auth, {name}_authentication_handler}}");
    let (header, wrong) = (basic("bob", "secret"), basic("bob", "wrong"));
    let check = |handlers: &[&str], sent: Sent<'_>, expect: Result<(&str, &str), AuthError>| {
        let list: Vec<String> = handlers.iter().map(|name| pair(name)).collect();
        let list = list.join(", ");
        let (_, authenticator) = authenticator(&[(HANDLERS.0, HANDLERS.1, list.as_str())]);
        let found = sent.to(&authenticator).map(|identity| {
            let by = identity.authenticated_by.map_or("", AuthenticationHandler::as_str);
            (identity.user_ctx.name.unwrap_or_default(), by)
        });
        assert_eq!(found, expect.map(|(name, by)| (name.to_owned(), by)), "{handlers:?}");
    };
    let basic_only = credentials(Some(&header), None, NOW);
    let both = Sent { proxied_user: Some("eve"), ..basic_only };
    let refused = Sent { authorization: Some(&wrong), ..both };
    check(&["cookie", "default"], both, Ok(("bob", "default")));
    check(&["cookie", "proxy", "default"], both, Ok(("eve", "proxy")));
    check(&["default", "proxy"], both, Ok(("bob", "default")));
    check(&["default", "proxy"], refused, Err(AuthError::IncorrectPassword));
    check(&["proxy", "default"], refused, Ok(("eve", "proxy")));
    check(&["cookie"], both, Ok(("", "")));
    check(&["default", "null"], Sent::default(), Ok(("", "null")));
    check(&["default", "null"], basic_only, Ok(("bob", "default")));
    let (_, authenticator) = authenticator(&[(HANDLERS.0, HANDLERS.1, &pair("null"))]);
    assert!(Sent::default().to(&authenticator).unwrap().user_ctx.is_server_admin());
}

#[test]
fn a_second_factor_needs_a_login() {
    let (_, authenticator) = authenticator(&[]);
    let attempt = |name: &str, token: &str| match authenticator.login_cached(
        login(name, token),
        &from("10.0.0.1"),
        59,
    ) {
        Ok(Authentication::NeedsVerification(step)) => authenticator.verify(step),
        Ok(Authentication::Done(identity)) => Ok(identity),
        Err(error) => Err(error),
    };
    for token in ["", "94287083", "0"] {
        assert_eq!(attempt("tina", token), Err(AuthError::IncorrectPassword), "{token}");
    }
    assert!(attempt("tina", "94287082").is_ok());
    assert_eq!(attempt("tina", ""), Err(AuthError::IncorrectPassword));
    assert_eq!(by_basic(&authenticator, "tina", "secret"), Err(AuthError::IncorrectPassword));
    assert!(attempt("bob", "94287082").is_ok());
}

#[test]
fn conflicts_must_be_resolved() {
    let (config, authenticator) = authenticator(&[]);
    assert_eq!(by_basic(&authenticator, "carl", "secret"), Err(AuthError::UserConflicts));
    assert_eq!(AuthError::UserConflicts.kind(), AuthErrorKind::Unauthorized);
    set_admin(&config, "carl", "secret", Persist::Yes).unwrap();
    assert!(by_basic(&authenticator, "carl", "secret").unwrap().user_ctx.is_server_admin());
}

#[test]
fn outdated_hashes_are_upgraded() {
    let (config, authenticator, users) = with_users(&[]);
    let upgraded = || std::mem::take(&mut *users.upgraded.lock().unwrap());
    assert!(by_basic(&authenticator, "bob", "secret").is_ok());
    assert!(upgraded().is_empty());
    config.set("chttpd_auth", "iterations", "3", Persist::Yes).unwrap();
    assert!(by_basic(&authenticator, "bob", "wrong").is_err());
    assert!(upgraded().is_empty());
    assert!(by_basic(&authenticator, "bob", "secret").is_ok());
    assert_eq!(upgraded(), ["bob"]);
    assert!(by_basic(&authenticator, "root", "secret").is_ok());
    assert!(upgraded().is_empty(), "an admin's hash stands in the configuration");
    config.set("chttpd_auth", "upgrade_hash_on_auth", "false", Persist::Yes).unwrap();
    assert!(by_basic(&authenticator, "bob", "secret").is_ok());
    assert!(upgraded().is_empty());
}
