//! Why a token is not believed, with CouchDB's reasons as texts.

use thiserror::Error;

use super::super::AuthErrorKind;

/// Why a bearer token is refused. The text is the `reason` of CouchDB's answer.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum JwtError {
    #[error("Malformed token")]
    Malformed,
    #[error("Not an object")]
    NotAnObject,
    #[error("Missing {0} header parameter")]
    MissingParameter(&'static str),
    #[error("Invalid {0} header parameter")]
    InvalidParameter(&'static str),
    #[error("Missing {0} claim")]
    MissingClaim(&'static str),
    #[error("Invalid {0} claim")]
    InvalidClaim(&'static str),
    /// Beyond `exp`.
    #[error("{0} not in future")]
    NotInFuture(&'static str),
    /// Before `nbf`.
    #[error("{0} not in past")]
    NotInPast(&'static str),
    #[error("Unknown kid")]
    UnknownKid,
    /// What is configured as a key is none.
    #[error("Not a valid key")]
    NotAKey,
    #[error("not an RSA public key")]
    NotAnRsaKey,
    #[error("not an EC public key")]
    NotAnEcKey,
    #[error("Bad HMAC")]
    BadHmac,
    #[error("Bad signature")]
    BadSignature,
    #[error("Token missing sub claim.")]
    MissingSub,
    /// The path of the roles leads nowhere.
    #[error("missing json key: {0}")]
    MissingKey(String),
    /// `required_claims` cannot be read.
    #[error("JWT is not configured correctly")]
    Misconfigured,
}

impl JwtError {
    /// The `error` of CouchDB's answer.
    pub fn kind(&self) -> AuthErrorKind {
        match self {
            Self::NotInFuture(_) | Self::NotInPast(_) | Self::MissingSub => {
                AuthErrorKind::Unauthorized
            }
            Self::MissingKey(_) => AuthErrorKind::NotFound,
            Self::Misconfigured => AuthErrorKind::MisconfiguredServer,
            _ => AuthErrorKind::BadRequest,
        }
    }
}
