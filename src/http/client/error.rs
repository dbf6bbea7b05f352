//! Why a request has no answer. Addresses and headers are in no message: they may hold secrets.

use std::error::Error;
use std::time::Duration;

/// Why there is no answer, or not all of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// An address, a header or a proxy that cannot be read.
    #[error("{0}")]
    Invalid(String),
    /// No connection, or one that was cut.
    #[error("{0}")]
    Connection(String),
    /// Nothing was sent or received for so long.
    #[error("nothing moved for {} ms", .0.as_millis())]
    Silent(Duration),
    #[error("the answer has more than {0} bytes")]
    TooLarge(usize),
}

impl From<reqwest::Error> for ClientError {
    fn from(error: reqwest::Error) -> Self {
        let is_invalid = error.is_builder();
        let text = innermost(&error.without_url());
        if is_invalid { Self::Invalid(text) } else { Self::Connection(text) }
    }
}

/// What the last of the causes says: the ones above only tell that there was an error.
fn innermost(error: &dyn Error) -> String {
    let mut cause = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}
