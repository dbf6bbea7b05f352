//! Who is it, and what may they do: passwords, sessions, lockout, `_security` and user contexts.
//!
//! Synchronous and without HTTP types, storage or a clock: headers come in as text, the time as
//! unix seconds, and answers are values. The one slow step, PBKDF2, stands apart (`Verification`),
//! so that the caller can move it off its event loop; everything else takes microseconds.

mod admins;
mod authenticate;
mod basic;
mod cache;
mod cookie;
mod cookie_date;
mod error;
mod hash;
mod jwt;
mod lockout;
mod password;
mod proxy;
mod secret;
mod security;
#[cfg(test)]
mod tests;
mod totp;
mod user;
mod user_document;

pub use admins::{NewAdmin, create_first_admin, hash_plain_text_admins, set_admin};
pub use authenticate::{
    Authentication, Authenticator, Credentials, Headers, Identity, Login, Peer, Users, Verification,
};
pub use cookie::Scheme;
pub use error::{AuthError, AuthErrorKind};
pub use jwt::{JwtError, JwtVerifier, KeySet, bearer};
pub use password::PasswordHash;
pub use secret::ensure_cookie_secret;
pub use security::{Access, Group, SecurityError, SecurityObject};
pub use totp::Totp;
pub use user::{SecondFactor, Source, UserCtx, UserRecord};
pub use user_document::{record_of, set_password};
