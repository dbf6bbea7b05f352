//! Who sends this request: the configured handlers are asked one after the other.
//!
//! Two steps. `authenticate_cached` and `login_cached` are cheap and may run anywhere. Where they
//! answer `NeedsVerification`, a password must be hashed: `verify` takes a tenth of a second and
//! more, and belongs on a blocking thread.

use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing::warn;

use crate::config::{AuthenticationHandler, Config, Settings};

use super::admins::Admins;
use super::basic::BasicCredentials;
use super::cache::{PasswordsCache, Question};
use super::cookie::{self, Moment, Scheme, Session, Validity};
use super::lockout::{Account, Lock, Lockout};
use super::secret::SecretHistory;
use super::user::{SecondFactor, Source};
use super::{AuthError, JwtVerifier, UserCtx, UserRecord, basic, jwt, proxy};

/// The accounts outside of `[admins]`.
pub trait Users: Send + Sync {
    /// The account of this name.
    ///
    /// # Errors
    /// Where it cannot be read, or must not be used.
    fn find(&self, settings: &Settings, name: &str) -> Result<Option<UserRecord>, AuthError>;

    /// The password of an account was right, and its hash is of a kind that is not made any more.
    fn upgrade(&self, name: &str, password: &[u8], record: &UserRecord);
}

/// A request's headers, by their names in any case.
pub type Headers<'a> = &'a dyn Fn(&str) -> Option<&'a str>;

/// Passwords of one account are verified one after the other, so that the lockout counts exactly
/// and the cache helps a crowd of equal requests. So many accounts can be verified at once.
const VERIFICATION_LANES: usize = 16;

/// What a request says about its sender.
#[derive(Clone, Copy)]
pub struct Credentials<'a> {
    pub headers: Headers<'a>,
    pub peer: &'a Peer,
    pub scheme: Scheme,
    /// Unix time in seconds.
    pub now_s: u64,
}

/// Whose wrong passwords are counted together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Peer {
    /// The client's own address, where there is one.
    Connected(Option<IpAddr>),
    /// As a proxy names its client.
    Forwarded(String),
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connected(None) => Ok(()),
            Self::Connected(Some(address)) => address.fmt(f),
            Self::Forwarded(name) => f.write_str(name),
        }
    }
}

/// What a client sends to log in.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Login {
    pub name: String,
    pub password: String,
    /// The one-time password, for users who have these.
    pub token: String,
}

/// Who sends a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    pub user_ctx: UserCtx,
    /// Who recognised the user; `None` for an anonymous request.
    pub authenticated_by: Option<AuthenticationHandler>,
    /// A `Set-Cookie` value for the answer, unless the answer sets the cookie itself.
    pub renewed_cookie: Option<String>,
}

/// What the cheap step found.
#[derive(Debug)]
pub enum Authentication {
    Done(Identity),
    /// Hand it to `Authenticator::verify`.
    NeedsVerification(Verification),
}

/// A password that must be hashed to be verified.
pub struct Verification {
    name: String,
    password: Vec<u8>,
    token: String,
    record: UserRecord,
    peer: Peer,
    now_s: u64,
}

impl fmt::Debug for Verification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verification").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Recognises users by what their requests carry. One for the whole server.
pub struct Authenticator {
    config: Arc<Config>,
    users: Arc<dyn Users>,
    admins: Admins,
    passwords: PasswordsCache,
    lockout: Lockout,
    secrets: SecretHistory,
    tokens: Arc<JwtVerifier>,
    lanes: [Mutex<()>; VERIFICATION_LANES],
}

impl Authenticator {
    /// With server admins and other users. An account in both keeps the admin's password and has
    /// the roles of both.
    pub fn new(config: Arc<Config>, users: Arc<dyn Users>) -> Self {
        Self {
            config,
            users,
            admins: Admins::default(),
            passwords: PasswordsCache::new(),
            lockout: Lockout::new(),
            secrets: SecretHistory::default(),
            tokens: Arc::default(),
            lanes: Default::default(),
        }
    }

    /// The cheap step for any request.
    pub fn authenticate_cached(
        &self,
        credentials: &Credentials<'_>,
    ) -> Result<Authentication, AuthError> {
        use AuthenticationHandler as Handler;
        let settings = self.config.snapshot();
        let done = |user, handler| Authentication::Done(Identity::of(user, handler));
        for &handler in &settings.chttpd.authentication_handlers {
            let found = match handler {
                Handler::Cookie => {
                    self.by_cookie(&settings, credentials)?.map(Authentication::Done)
                }
                Handler::Default => self.by_basic(&settings, credentials)?,
                Handler::Proxy => {
                    proxy::user(credentials.headers, &settings.auth).map(|user| done(user, handler))
                }
                Handler::Jwt => {
                    self.by_token(&settings, credentials)?.map(|user| done(user, handler))
                }
                Handler::Null => Some(done(UserCtx::server(), handler)),
            };
            if let Some(found) = found {
                return Ok(found);
            }
        }
        Ok(Authentication::Done(Identity::anonymous()))
    }

    /// Takes the keys that an issuer of tokens publishes.
    pub fn tokens(&self) -> &Arc<JwtVerifier> {
        &self.tokens
    }

    fn by_token(
        &self,
        settings: &Settings,
        credentials: &Credentials<'_>,
    ) -> Result<Option<UserCtx>, AuthError> {
        let token = (credentials.headers)("authorization").and_then(jwt::bearer);
        let verified =
            token.map(|token| self.tokens.verify(token, &settings.jwt, credentials.now_s));
        Ok(verified.transpose()?)
    }

    fn by_basic(
        &self,
        settings: &Settings,
        credentials: &Credentials<'_>,
    ) -> Result<Option<Authentication>, AuthError> {
        let header = (credentials.headers)("authorization");
        let Some(basic) = header.map(basic::parse).transpose()?.flatten() else { return Ok(None) };
        let BasicCredentials { name, password } = basic;
        let name = String::from_utf8(name).map_err(|_| AuthError::IncorrectPassword)?;
        let record = self.find(settings, &name)?.ok_or(AuthError::IncorrectPassword)?;
        if record.second_factor != SecondFactor::Nothing {
            // The header has no place for a one-time password.
            return Err(AuthError::IncorrectPassword);
        }
        let (peer, now_s) = (credentials.peer.clone(), credentials.now_s);
        let token = String::new();
        let verification = Verification { name, password, token, record, peer, now_s };
        self.check_password(settings, verification).map(Some)
    }

    /// The cheap step for a login (`POST /_session`). Unlike with Basic, unknown names are counted
    /// towards the lockout too.
    pub fn login_cached(
        &self,
        login: Login,
        peer: &Peer,
        now_s: u64,
    ) -> Result<Authentication, AuthError> {
        let settings = self.config.snapshot();
        let Login { name, password, token } = login;
        let Some(record) = self.find(&settings, &name)? else {
            let account = Account::new(peer, &name, "");
            self.check_lock(&settings, || account, &name, peer, now_s)?;
            self.lockout.count(account, &settings.lockout, now_s);
            return Err(AuthError::IncorrectPassword);
        };
        let (password, peer) = (password.into_bytes(), peer.clone());
        let verification = Verification { name, password, token, record, peer, now_s };
        self.check_password(&settings, verification)
    }

    /// The slow step.
    pub fn verify(&self, verification: Verification) -> Result<Identity, AuthError> {
        let settings = self.config.snapshot();
        let _one_at_a_time = self.lane(&verification.name);
        // While this one waited, another may have found the password right or locked the account.
        let verification = match self.check_password(&settings, verification)? {
            Authentication::Done(identity) => return Ok(identity),
            Authentication::NeedsVerification(verification) => verification,
        };
        let stored = &verification.record.password;
        if !stored.verify(&verification.password, &settings.auth)? {
            self.lockout.count(verification.account(), &settings.lockout, verification.now_s);
            return Err(AuthError::IncorrectPassword);
        }
        let cache = &settings.passwords_cache;
        self.passwords.insert(verification.question(), cache, verification.now_s);
        self.accept(&settings, verification)
    }

    /// Both steps in one, for callers that may wait.
    pub fn authenticate(&self, credentials: &Credentials<'_>) -> Result<Identity, AuthError> {
        match self.authenticate_cached(credentials)? {
            Authentication::Done(identity) => Ok(identity),
            Authentication::NeedsVerification(verification) => self.verify(verification),
        }
    }

    /// The `Set-Cookie` value of a session for a user who has just logged in.
    pub fn session_cookie(
        &self,
        name: &str,
        scheme: Scheme,
        now_s: u64,
    ) -> Result<String, AuthError> {
        let settings = self.config.snapshot();
        let secrets = self.secrets.secrets(&settings.auth, now_s).ok_or(AuthError::SecretNotSet)?;
        let record = self.find(&settings, name)?.ok_or(AuthError::IncorrectPassword)?;
        let (salt, moment) = (record.password.salt(), Moment { now_s, scheme });
        Ok(cookie::issue(name, &secrets.current, salt, &settings.auth, moment))
    }

    /// The `Set-Cookie` value that ends a session.
    pub fn clear_cookie(&self, scheme: Scheme, now_s: u64) -> String {
        cookie::clear(&self.config.snapshot().auth, Moment { now_s, scheme })
    }

    fn lane(&self, name: &str) -> MutexGuard<'_, ()> {
        let sum = name.bytes().fold(0, |sum: usize, byte| sum.wrapping_add(byte.into()));
        self.lanes[sum % VERIFICATION_LANES].lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn find(&self, settings: &Settings, name: &str) -> Result<Option<UserRecord>, AuthError> {
        let Some(mut admin) = self.admins.find(settings, name) else {
            return self.users.find(settings, name);
        };
        // A document in a bad state locks no admin out.
        let user = self.users.find(settings, name).unwrap_or_default();
        admin.roles.extend(user.into_iter().flat_map(|user| user.roles));
        Ok(Some(admin))
    }

    /// `None` when there is no session or one not to be believed: then the next handler is asked.
    fn by_cookie(
        &self,
        settings: &Settings,
        credentials: &Credentials<'_>,
    ) -> Result<Option<Identity>, AuthError> {
        let Some(header) = (credentials.headers)("cookie") else { return Ok(None) };
        let Some(session) = Session::from_header(header)? else { return Ok(None) };
        let now_s = credentials.now_s;
        let Some(secrets) = self.secrets.secrets(&settings.auth, now_s) else { return Ok(None) };
        let Some(name) = session.user() else { return Ok(None) };
        let Some(record) = self.find(settings, name)? else { return Ok(None) };
        let salt = record.password.salt();
        let verify = |secret: &str| session.verify(secret, salt, &settings.auth, now_s);
        let validity = verify(&secrets.current)
            .or_else(|| secrets.previous.as_deref().and_then(verify).map(|_| Validity::Renew));
        let Some(validity) = validity else { return Ok(None) };
        let renewed_cookie = (validity == Validity::Renew).then(|| {
            let moment = Moment { now_s, scheme: credentials.scheme };
            cookie::issue(name, &secrets.current, salt, &settings.auth, moment)
        });
        let user_ctx = UserCtx { name: Some(name.to_owned()), roles: record.roles };
        let authenticated_by = Some(AuthenticationHandler::Cookie);
        Ok(Some(Identity { user_ctx, authenticated_by, renewed_cookie }))
    }

    fn check_password(
        &self,
        settings: &Settings,
        verification: Verification,
    ) -> Result<Authentication, AuthError> {
        let now_s = verification.now_s;
        let Verification { name, peer, .. } = &verification;
        self.check_lock(settings, || verification.account(), name, peer, now_s)?;
        let question = verification.question();
        match self.passwords.check(question, &settings.passwords_cache, now_s) {
            Some(true) => self.accept(settings, verification).map(Authentication::Done),
            Some(false) => {
                self.lockout.count(verification.account(), &settings.lockout, now_s);
                Err(AuthError::IncorrectPassword)
            }
            None => Ok(Authentication::NeedsVerification(verification)),
        }
    }

    /// The password is right.
    fn accept(
        &self,
        settings: &Settings,
        verification: Verification,
    ) -> Result<Identity, AuthError> {
        let now_s = verification.now_s;
        if !verification.record.second_factor.accepts(&verification.token, now_s) {
            // Tokens are short: who knows the password must not be able to try them all.
            self.lockout.count(verification.account(), &settings.lockout, now_s);
            return Err(AuthError::IncorrectPassword);
        }
        let Verification { name, password, record, .. } = verification;
        let upgrade = settings.auth.upgrade_hash_on_auth && record.source == Source::Document;
        if upgrade && record.password.is_outdated(&settings.auth) {
            self.users.upgrade(&name, &password, &record);
        }
        let user = UserCtx { name: Some(name), roles: record.roles };
        Ok(Identity::of(user, AuthenticationHandler::Default))
    }

    fn check_lock(
        &self,
        settings: &Settings,
        account: impl FnOnce() -> Account,
        name: &str,
        peer: &Peer,
        now_s: u64,
    ) -> Result<(), AuthError> {
        match self.lockout.check(account, &settings.lockout, now_s) {
            Lock::Open => Ok(()),
            Lock::Warned => {
                warn!(user.name = name, %peer, "authentication failure threshold reached");
                Ok(())
            }
            Lock::Locked => {
                warn!(user.name = name, %peer, "authentication rejected, account is locked");
                Err(AuthError::LockedOut)
            }
        }
    }
}

impl Verification {
    fn account(&self) -> Account {
        Account::new(&self.peer, &self.name, self.record.password.salt())
    }

    fn question(&self) -> Question<'_> {
        Question { name: &self.name, stored: &self.record.password, password: &self.password }
    }
}

impl Identity {
    pub fn anonymous() -> Self {
        Self { user_ctx: UserCtx::anonymous(), authenticated_by: None, renewed_cookie: None }
    }

    fn of(user_ctx: UserCtx, handler: AuthenticationHandler) -> Self {
        Self { user_ctx, authenticated_by: Some(handler), renewed_cookie: None }
    }
}
