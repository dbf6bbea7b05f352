//! Who sends this request: the session cookie first, then Basic.
//!
//! Two steps. `authenticate_cached` and `login_cached` are cheap and may run anywhere. Where they
//! answer `NeedsVerification`, a password must be hashed: `verify` takes a tenth of a second and
//! more, and belongs on a blocking thread.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tracing::warn;

use crate::config::{Config, Settings};

use super::basic::BasicCredentials;
use super::cache::{PasswordsCache, Question};
use super::cookie::{self, Moment, Scheme, Session, Validity};
use super::lockout::{Account, Lock, Lockout};
use super::secret::SecretHistory;
use super::{AuthError, UserCtx, UserRecord, admins, basic};

/// Finds an account outside of `[admins]` by its name.
pub type Lookup = Box<dyn Fn(&str) -> Option<UserRecord> + Send + Sync>;

/// Passwords of one account are verified one after the other, so that the lockout counts exactly
/// and the cache helps a crowd of equal requests. So many accounts can be verified at once.
const VERIFICATION_LANES: usize = 16;

/// What a request says about its sender.
#[derive(Clone, Copy)]
pub struct Credentials<'a> {
    /// The `Authorization` header.
    pub authorization: Option<&'a str>,
    /// The `Cookie` header.
    pub cookie: Option<&'a str>,
    /// The client's address without its port.
    pub peer: &'a str,
    pub scheme: Scheme,
    /// Unix time in seconds.
    pub now_s: u64,
}

/// The handler that recognised a user; `_session` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthenticatedBy {
    Cookie,
    /// Basic, which CouchDB calls the default handler.
    Default,
}

impl AuthenticatedBy {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cookie => "cookie",
            Self::Default => "default",
        }
    }
}

/// Who sends a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    pub user_ctx: UserCtx,
    /// `None` for an anonymous request.
    pub authenticated_by: Option<AuthenticatedBy>,
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
    record: UserRecord,
    peer: String,
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
    lookup: Lookup,
    passwords: PasswordsCache,
    lockout: Lockout,
    secrets: SecretHistory,
    lanes: [Mutex<()>; VERIFICATION_LANES],
}

impl Authenticator {
    /// With server admins as the only accounts.
    pub fn new(config: Arc<Config>) -> Self {
        Self::with_users(config, Box::new(|_| None))
    }

    /// With server admins and the accounts that `lookup` finds. An account in both keeps the
    /// admin's password and has the roles of both.
    pub fn with_users(config: Arc<Config>, lookup: Lookup) -> Self {
        Self {
            config,
            lookup,
            passwords: PasswordsCache::new(),
            lockout: Lockout::new(),
            secrets: SecretHistory::default(),
            lanes: Default::default(),
        }
    }

    /// The cheap step for any request.
    pub fn authenticate_cached(
        &self,
        credentials: &Credentials<'_>,
    ) -> Result<Authentication, AuthError> {
        let settings = self.config.snapshot();
        if let Some(identity) = self.by_cookie(&settings, credentials)? {
            return Ok(Authentication::Done(identity));
        }
        let Some(basic) = credentials.authorization.map(basic::parse).transpose()?.flatten() else {
            return Ok(Authentication::Done(Identity::anonymous()));
        };
        let BasicCredentials { name, password } = basic;
        let name = String::from_utf8(name).map_err(|_| AuthError::IncorrectPassword)?;
        let record = self.find(&settings, &name).ok_or(AuthError::IncorrectPassword)?;
        let (peer, now_s) = (credentials.peer.to_owned(), credentials.now_s);
        self.check_password(&settings, Verification { name, password, record, peer, now_s })
    }

    /// The cheap step for a login (`POST /_session`). Unlike with Basic, unknown names are counted
    /// towards the lockout too.
    pub fn login_cached(
        &self,
        name: &str,
        password: &[u8],
        peer: &str,
        now_s: u64,
    ) -> Result<Authentication, AuthError> {
        let settings = self.config.snapshot();
        let Some(record) = self.find(&settings, name) else {
            let account = Account::new(peer, name, "");
            self.check_lock(&settings, || account, name, peer, now_s)?;
            self.lockout.count(account, &settings.lockout, now_s);
            return Err(AuthError::IncorrectPassword);
        };
        let (name, password, peer) = (name.to_owned(), password.to_vec(), peer.to_owned());
        self.check_password(&settings, Verification { name, password, record, peer, now_s })
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
        Ok(verification.into_identity())
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
        let record = self.find(&settings, name).ok_or(AuthError::IncorrectPassword)?;
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

    fn find(&self, settings: &Settings, name: &str) -> Option<UserRecord> {
        let user = (self.lookup)(name);
        match admins::find(settings, name) {
            Some(mut admin) => {
                admin.roles.extend(user.into_iter().flat_map(|user| user.roles));
                Some(admin)
            }
            None => user,
        }
    }

    /// `None` when there is no session or one not to be believed: then the next handler is asked.
    fn by_cookie(
        &self,
        settings: &Settings,
        credentials: &Credentials<'_>,
    ) -> Result<Option<Identity>, AuthError> {
        let Some(header) = credentials.cookie else { return Ok(None) };
        let Some(session) = Session::from_header(header)? else { return Ok(None) };
        let now_s = credentials.now_s;
        let Some(secrets) = self.secrets.secrets(&settings.auth, now_s) else { return Ok(None) };
        let Some(name) = session.user() else { return Ok(None) };
        let Some(record) = self.find(settings, name) else { return Ok(None) };
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
        let authenticated_by = Some(AuthenticatedBy::Cookie);
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
            Some(true) => Ok(Authentication::Done(verification.into_identity())),
            Some(false) => {
                self.lockout.count(verification.account(), &settings.lockout, now_s);
                Err(AuthError::IncorrectPassword)
            }
            None => Ok(Authentication::NeedsVerification(verification)),
        }
    }

    fn check_lock(
        &self,
        settings: &Settings,
        account: impl FnOnce() -> Account,
        name: &str,
        peer: &str,
        now_s: u64,
    ) -> Result<(), AuthError> {
        match self.lockout.check(account, &settings.lockout, now_s) {
            Lock::Open => Ok(()),
            Lock::Warned => {
                warn!(user.name = name, peer, "authentication failure threshold reached");
                Ok(())
            }
            Lock::Locked => {
                warn!(user.name = name, peer, "authentication rejected, account is locked");
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

    fn into_identity(self) -> Identity {
        Identity {
            user_ctx: UserCtx { name: Some(self.name), roles: self.record.roles },
            authenticated_by: Some(AuthenticatedBy::Default),
            renewed_cookie: None,
        }
    }
}

impl Identity {
    pub fn anonymous() -> Self {
        Self { user_ctx: UserCtx::anonymous(), authenticated_by: None, renewed_cookie: None }
    }
}
