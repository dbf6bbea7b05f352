//! The boundary between parts, from a `Content-Type` or made anew.

use std::fmt;

use thiserror::Error;

use crate::http::parameters::Parameters;

/// The longest boundary that is taken. RFC 2046 allows 70 bytes; some senders use more.
pub const BOUNDARY_BYTES_MAX: usize = 256;

/// Why a `Content-Type` gives no boundary.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum BoundaryError {
    #[error("the content type is not multipart")]
    NotMultipart,
    #[error("the multipart content type has no boundary")]
    Missing,
    #[error("the multipart boundary is longer than {BOUNDARY_BYTES_MAX} bytes")]
    TooLong,
    #[error("the multipart boundary has a control character")]
    Control,
}

/// A boundary: 1 to `BOUNDARY_BYTES_MAX` bytes without control characters, letter case kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Boundary(Box<str>);

impl Boundary {
    /// A fresh boundary as CouchDB writes them: 32 hexadecimal digits in lower case.
    #[must_use]
    pub fn new(random: [u8; 16]) -> Self {
        Self(format!("{:032x}", u128::from_be_bytes(random)).into())
    }

    /// The boundary that a `Content-Type` of `multipart/…` names, quoted or not.
    ///
    /// # Errors
    /// Another type, no boundary, or one that breaks the rules above.
    pub fn from_content_type(content_type: &str) -> Result<Self, BoundaryError> {
        let parameters = Parameters::parse(content_type);
        if !parameters.item.starts_with("multipart/") {
            return Err(BoundaryError::NotMultipart);
        }
        Self::parse(parameters.get("boundary").unwrap_or_default())
    }

    /// Takes `text` as a boundary.
    ///
    /// # Errors
    /// `Missing` for the empty text; `TooLong`, `Control`.
    pub fn parse(text: &str) -> Result<Self, BoundaryError> {
        if text.is_empty() {
            return Err(BoundaryError::Missing);
        }
        if text.len() > BOUNDARY_BYTES_MAX {
            return Err(BoundaryError::TooLong);
        }
        if text.bytes().any(|byte| byte.is_ascii_control()) {
            return Err(BoundaryError::Control);
        }
        Ok(Self(text.into()))
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Boundary {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boundaries_of_content_types() {
        use BoundaryError::{Control, Missing, NotMultipart, TooLong};
        let long = "x".repeat(2000);
        let table = [
            ("multipart/related;boundary=\"cut-here\"", Ok("cut-here")),
            ("Multipart/Mixed; type=a; Boundary=AbC", Ok("AbC")),
            ("multipart/mixed; boundary=\"a b;c\"", Ok("a b;c")),
            ("multipart/mixed; boundary=--abc", Ok("--abc")),
            ("multipart/mixed; boundary=\"\"", Err(Missing)),
            ("multipart/mixed; boundary=", Err(Missing)),
            ("multipart/mixed", Err(Missing)),
            ("multipart/mixed; boundary=a\0b", Err(Control)),
            ("multipart/mixed; boundary=\"a\r\nb\"", Err(Control)),
            ("application/json; boundary=a", Err(NotMultipart)),
            ("multipart", Err(NotMultipart)),
            ("", Err(NotMultipart)),
            (&format!("multipart/mixed; boundary={long}"), Err(TooLong)),
        ];
        for (content_type, expect) in table {
            let boundary = Boundary::from_content_type(content_type);
            assert_eq!(boundary.as_ref().map(Boundary::as_str), expect.as_ref().copied());
        }
    }

    #[test]
    fn fresh_boundaries_have_32_digits() {
        assert_eq!(Boundary::new([0; 16]).as_str(), "0".repeat(32));
        let mut random = [0xab; 16];
        random[0] = 1;
        assert_eq!(Boundary::new(random).as_str(), format!("01{}", "ab".repeat(15)));
    }
}
