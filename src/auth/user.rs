//! Users: as a request acts (`UserCtx`) and as an account is stored (`UserRecord`).

use serde::Serialize;

use super::{AuthError, PasswordHash, Totp};

/// The role that only server admins have.
pub const ADMIN_ROLE: &str = "_admin";
/// The role that may read `_stats`, `_system` and `_prometheus`.
const METRICS_ROLE: &str = "_metrics";

/// On whose behalf a request acts. `name` is `None` for an anonymous one.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct UserCtx {
    pub name: Option<String>,
    pub roles: Vec<String>,
}

impl UserCtx {
    pub fn anonymous() -> Self {
        Self::default()
    }

    /// What the server itself acts as, for instance a replication between its own databases.
    pub fn server() -> Self {
        Self { name: None, roles: vec![ADMIN_ROLE.to_owned()] }
    }

    pub fn has_role(&self, role: &str) -> bool {
        self.roles.iter().any(|own| own == role)
    }

    pub fn is_server_admin(&self) -> bool {
        self.has_role(ADMIN_ROLE)
    }

    pub fn require_server_admin(&self) -> Result<(), AuthError> {
        if self.is_server_admin() { Ok(()) } else { Err(AuthError::NotServerAdmin) }
    }

    /// For the statistics of the node.
    pub fn require_metrics_reader(&self) -> Result<(), AuthError> {
        let reader = self.is_server_admin() || self.has_role(METRICS_ROLE);
        if reader { Ok(()) } else { Err(AuthError::NotMetricsReader) }
    }

    /// For what every user may do, but no anonymous one.
    pub fn require_authenticated(&self) -> Result<(), AuthError> {
        let known = self.name.is_some() || self.is_server_admin();
        if known { Ok(()) } else { Err(AuthError::NotAuthenticated) }
    }

    /// For every request while `require_valid_user` is on.
    pub fn require_valid_user(&self) -> Result<(), AuthError> {
        self.require_authenticated().map_err(|_| AuthError::AuthenticationRequired)
    }
}

/// An account that can log in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UserRecord {
    pub password: PasswordHash,
    pub roles: Vec<String>,
    pub second_factor: SecondFactor,
    pub source: Source,
}

/// What a login needs beside the password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SecondFactor {
    Nothing,
    /// The token of a moment.
    Totp(Totp),
    /// Something that nobody can give.
    Unusable,
}

impl SecondFactor {
    /// Whether a login with this token is complete.
    pub fn accepts(&self, token: &str, now_s: u64) -> bool {
        match self {
            Self::Nothing => true,
            Self::Totp(totp) => totp.verify(token, now_s),
            Self::Unusable => false,
        }
    }
}

/// Where an account is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// In `[admins]`.
    Configuration,
    /// In a document of the users database.
    Document,
}
