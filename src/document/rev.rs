//! Revisions: `N-hash`, and the ancestry lists (`_revisions`) that replication sends.

use std::fmt;

use thiserror::Error;

/// Why a text is no revision (CouchDB: `Invalid rev format`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("Invalid rev format")]
pub struct RevError;

/// The part of a revision after `N-`: 16 bytes written as 32 hexadecimal digits, or any other text.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum RevHash {
    Md5([u8; 16]),
    Text(Box<str>),
}

impl RevHash {
    /// Reads what stands after `N-`. Upper-case hexadecimal digits come back in lower case.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let bytes = text.as_bytes();
        let mut hash = [0u8; 16];
        if bytes.len() != 32 {
            return Self::Text(text.into());
        }
        for (byte, pair) in hash.iter_mut().zip(bytes.chunks_exact(2)) {
            match (hex_digit(pair[0]), hex_digit(pair[1])) {
                (Some(high), Some(low)) => *byte = high << 4 | low,
                _ => return Self::Text(text.into()),
            }
        }
        Self::Md5(hash)
    }

    /// The bytes by which CouchDB compares and hashes a revision id.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Md5(hash) => hash,
            Self::Text(text) => text.as_bytes(),
        }
    }
}

/// By bytes; an md5 stands before a text of the same bytes.
impl Ord for RevHash {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let kind = |hash: &Self| matches!(hash, Self::Text(_));
        self.as_bytes().cmp(other.as_bytes()).then_with(|| kind(self).cmp(&kind(other)))
    }
}

impl PartialOrd for RevHash {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

impl fmt::Display for RevHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Md5(hash) => {
                const DIGITS: &[u8; 16] = b"0123456789abcdef";
                let mut text = [0u8; 32];
                for (pair, byte) in text.chunks_exact_mut(2).zip(hash) {
                    pair[0] = DIGITS[usize::from(byte >> 4)];
                    pair[1] = DIGITS[usize::from(byte & 15)];
                }
                f.write_str(std::str::from_utf8(&text).unwrap_or_default())
            }
            Self::Text(text) => f.write_str(text),
        }
    }
}

impl fmt::Debug for RevHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A revision of a document. Ordered as CouchDB chooses winners among leaves of equal liveness:
/// by generation, then by hash bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rev {
    /// 1 for a document's first revision; 0 only in local documents.
    pub generation: u64,
    pub hash: RevHash,
}

impl Rev {
    /// Reads `N-hash`.
    ///
    /// # Errors
    /// Where there is no number, no dash, or nothing after it.
    pub fn parse(text: &str) -> Result<Self, RevError> {
        let (number, hash) = text.split_once('-').ok_or(RevError)?;
        if hash.is_empty() || number.is_empty() || !number.bytes().all(|b| b.is_ascii_digit()) {
            return Err(RevError);
        }
        let generation = number.parse().map_err(|_| RevError)?;
        Ok(Self { generation, hash: RevHash::parse(hash) })
    }
}

impl fmt::Display for Rev {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.generation, self.hash)
    }
}

impl fmt::Debug for Rev {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A revision and its ancestors, newest first: the `_revisions` member. Never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revisions {
    /// The generation of the first id.
    pub start: u64,
    pub ids: Vec<RevHash>,
}

impl Revisions {
    /// A revision whose ancestors are not known.
    #[must_use]
    pub fn of(rev: Rev) -> Self {
        Self { start: rev.generation, ids: vec![rev.hash] }
    }

    /// The newest revision; `None` only where `ids` is empty.
    #[must_use]
    pub fn newest(&self) -> Option<Rev> {
        Some(Rev { generation: self.start, hash: self.ids.first()?.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn revisions_are_read_and_written() {
        for text in ["1-967a00dff5e02add41819138abb3284d", "3-abc", "12-a-b", "1-zz"] {
            assert_eq!(Rev::parse(text).unwrap().to_string(), text);
        }
        let upper = Rev::parse("1-967A00DFF5E02ADD41819138ABB3284D").unwrap();
        assert_eq!(upper.to_string(), "1-967a00dff5e02add41819138abb3284d");
        for bad in ["", "1", "1-", "-a", "nonsense", "x-a", "+1-a", "99999999999999999999-a"] {
            assert_eq!(Rev::parse(bad), Err(RevError), "{bad}");
        }
    }
}
