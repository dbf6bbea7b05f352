//! Gzip as CouchDB stores it, and gzip as others send it.
//!
//! Digests and revision ids are taken over the compressed bytes, so `GzipWriter` must produce
//! exactly what Erlang's `zlib:deflateInit` with window bits 31 and memory level 8 does: a plain
//! header without time or name, zlib's deflate (flate2 must be built on the C library), CRC and
//! length. The bytes depend on the input and the level, never on how the input was cut.
//!
//! Reading takes any valid gzip data of one or more members, in bounded memory: a chunk of output
//! at a time, so that a small body that unpacks to a huge one does no harm.

mod reader;
#[cfg(test)]
mod tests;
mod writer;

pub use reader::{Gunzip, GunzipError, GzipReader};
pub use writer::GzipWriter;

use thiserror::Error;

/// The level of `[attachments] compression_level` when nothing else is configured.
pub const DEFAULT_LEVEL: u32 = 8;

/// Why gzip data cannot be written or read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum GzipError {
    #[error("the data is not in gzip format, or damaged")]
    Corrupt,
    #[error("the gzip data ends too early")]
    Truncated,
    #[error("the gzip data unpacks to more than {max_bytes} bytes")]
    TooLong { max_bytes: usize },
    #[error("zlib could not compress")]
    Compressor,
}

/// Compresses `data` in one go.
///
/// # Errors
/// `Compressor`, when zlib fails.
pub fn compress(data: &[u8], level: u32) -> Result<Vec<u8>, GzipError> {
    let mut output = Vec::with_capacity(data.len() / 2 + 64);
    let mut writer = GzipWriter::new(level);
    writer.write(data, &mut output)?;
    writer.finish(&mut output)?;
    Ok(output)
}

/// Unpacks `data` in one go, as far as the result is at most `max_bytes` long.
///
/// # Errors
/// `TooLong` as soon as there is more; `Corrupt` or `Truncated` for what is not gzip.
pub fn inflate_bounded(data: &[u8], max_bytes: usize) -> Result<Vec<u8>, GzipError> {
    let mut reader = GzipReader::new();
    let mut input = data;
    let mut output = Vec::new();
    while let Some(chunk) = reader.read_slice(&mut input)? {
        if output.len() + chunk.len() > max_bytes {
            return Err(GzipError::TooLong { max_bytes });
        }
        output.extend_from_slice(&chunk);
    }
    reader.finish()?;
    Ok(output)
}
