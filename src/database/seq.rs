//! Update sequences as clients see them: `N-opaque`.
//!
//! The opaque part carries the number again, and the database's incarnation, so that a sequence
//! of an earlier database of the same name is noticed. As in CouchDB, the text before the dash
//! is for people and is ignored.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use thiserror::Error;

/// Letters of the opaque part.
const OPAQUE_BYTES: usize = 22;

/// A text that is no sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("Malformed sequence supplied in 'since' parameter.")]
pub struct SeqError;

/// A point in the life of one database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seq {
    pub number: u64,
    pub incarnation: u64,
}

impl Seq {
    /// Reads `N-opaque`, with or without JSON quotes around it.
    ///
    /// # Errors
    /// Where the opaque part is not one that [`Seq`]'s display wrote.
    pub fn parse(text: &str) -> Result<Self, SeqError> {
        let unquoted = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"'));
        let (_, opaque) = unquoted.unwrap_or(text).split_once('-').ok_or(SeqError)?;
        let bytes = URL_SAFE_NO_PAD.decode(opaque).map_err(|_| SeqError)?;
        let bytes: [u8; 16] = bytes.try_into().map_err(|_| SeqError)?;
        let [incarnation, number] = [&bytes[..8], &bytes[8..]]
            .map(|half| u64::from_be_bytes(half.try_into().unwrap_or_default()));
        Ok(Self { number, incarnation })
    }

    /// Where a reader of the database `incarnation` goes on: an earlier database's sequence
    /// means from the beginning.
    #[must_use]
    pub fn number_for(self, incarnation: u64) -> u64 {
        if self.incarnation == incarnation { self.number } else { 0 }
    }
}

impl Seq {
    /// The part after the dash, where feeds write sequences straight into their rows.
    #[must_use]
    pub fn opaque(self) -> [u8; OPAQUE_BYTES] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.incarnation.to_be_bytes());
        bytes[8..].copy_from_slice(&self.number.to_be_bytes());
        let mut opaque = [0; OPAQUE_BYTES];
        // 16 bytes are 22 letters, so there is room for them.
        let _ = URL_SAFE_NO_PAD.encode_slice(bytes, &mut opaque);
        opaque
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let opaque = self.opaque();
        write!(f, "{}-{}", self.number, std::str::from_utf8(&opaque).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_round_trip_and_others_are_refused() {
        let seq = Seq { number: 3, incarnation: u64::MAX - 7 };
        let text = seq.to_string();
        assert!(text.starts_with("3-"));
        assert_eq!(Seq::parse(&text), Ok(seq));
        assert_eq!(Seq::parse(&format!("\"{text}\"")), Ok(seq));
        assert_eq!(Seq::parse(&text.replacen('3', "999999", 1)), Ok(seq));
        for bad in ["", "3", "3-", "3-x", "now", "-", "\"3\""] {
            assert_eq!(Seq::parse(bad), Err(SeqError), "{bad}");
        }
        assert_eq!(seq.number_for(seq.incarnation), 3);
        assert_eq!(seq.number_for(1), 0);
    }
}
