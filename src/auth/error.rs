//! Every refusal of this layer, with CouchDB's reason as its text.

use thiserror::Error;

use super::JwtError;

/// Why a request is refused. The text is the `reason` of CouchDB's answer.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AuthError {
    #[error("Authorization header has invalid base64 value")]
    InvalidBase64,
    #[error("Malformed AuthSession cookie. Please clear your cookies.")]
    MalformedCookie,
    /// A bearer token that is not believed.
    #[error(transparent)]
    Jwt(#[from] JwtError),
    #[error("Name or password is incorrect.")]
    IncorrectPassword,
    #[error("Account is temporarily locked due to multiple authentication failures")]
    LockedOut,
    #[error("Iteration count is too low for this server")]
    TooFewIterations,
    #[error("Iteration count is too high for this server")]
    TooManyIterations,
    #[error("PRF is invalid")]
    InvalidPrf,
    #[error(
        "User document conflicts must be resolved before the document is used for authentication \
         purposes."
    )]
    UserConflicts,
    /// The account could not be looked up.
    #[error("the users database cannot be read")]
    UsersUnreadable,
    #[error("cookie auth secret is not set")]
    SecretNotSet,
    /// An anonymous request while `require_valid_user` is on.
    #[error("Authentication required.")]
    AuthenticationRequired,
    /// `GET /_session?basic=true` without a user.
    #[error("Please login.")]
    PleaseLogin,
    #[error("You are not an authenticated user")]
    NotAuthenticated,
    #[error("You are not a server admin.")]
    NotServerAdmin,
    #[error("You are not a server admin or read-only metrics user")]
    NotMetricsReader,
    /// An anonymous user in a database that is not open to all.
    #[error("You are not authorized to access this db.")]
    AnonymousNotMember,
    /// A named user who is no member of the database.
    #[error("You are not allowed to access this db.")]
    NotMember,
    /// An anonymous user who wants to change a design document or the like.
    #[error("You are not a db or server admin.")]
    AnonymousNotDatabaseAdmin,
    /// A named user who wants to change a design document or the like.
    #[error("You are not a db or server admin.")]
    NotDatabaseAdmin,
    /// Refused at the door of a resource for database admins, such as `_compact`.
    #[error("You are not a server or db admin.")]
    NotServerOrDatabaseAdmin,
}

/// The `error` of CouchDB's answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuthErrorKind {
    BadRequest,
    Unauthorized,
    Forbidden,
    NotFound,
    InternalServerError,
    MisconfiguredServer,
}

impl AuthError {
    pub fn kind(&self) -> AuthErrorKind {
        match self {
            Self::Jwt(error) => error.kind(),
            Self::InvalidBase64 | Self::MalformedCookie => AuthErrorKind::BadRequest,
            Self::IncorrectPassword
            | Self::UserConflicts
            | Self::AuthenticationRequired
            | Self::PleaseLogin
            | Self::NotAuthenticated
            | Self::NotServerAdmin
            | Self::NotMetricsReader
            | Self::AnonymousNotMember
            | Self::AnonymousNotDatabaseAdmin
            | Self::NotServerOrDatabaseAdmin => AuthErrorKind::Unauthorized,
            Self::LockedOut
            | Self::TooFewIterations
            | Self::TooManyIterations
            | Self::InvalidPrf
            | Self::NotMember
            | Self::NotDatabaseAdmin => AuthErrorKind::Forbidden,
            Self::SecretNotSet | Self::UsersUnreadable => AuthErrorKind::InternalServerError,
        }
    }
}
