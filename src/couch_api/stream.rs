//! Rows streamed page by page: one page is one short scan on a thread that may block.

use bytes::Bytes;
use futures_util::Stream;

use crate::blocking;

use super::error::ApiError;

/// Bytes of a page: enough to make the crossing of threads cheap, few enough to hold for many
/// slow clients.
pub const PAGE_BYTES: usize = 64 << 10;

/// Makes the pages of a streamed answer.
pub trait Pages: Send + 'static {
    /// Adds the next rows to `out`, about [`PAGE_BYTES`] of them. Returns whether more may come.
    fn write_page(&mut self, out: &mut Vec<u8>) -> Result<bool, ApiError>;
}

/// The first page, made at once so that errors still have their status, and the pages after it.
///
/// # Errors
/// Those of the first page.
pub async fn stream_pages<P: Pages>(
    operation: &'static str,
    mut pages: P,
) -> Result<impl Stream<Item = Result<Bytes, ApiError>> + Send, ApiError> {
    let first = blocking::run(operation, move || {
        let mut out = Vec::with_capacity(PAGE_BYTES / 8);
        let more = pages.write_page(&mut out)?;
        Ok::<_, ApiError>((out, more, pages))
    });
    let (out, more, pages) = first.await??;
    let rest = blocking::pages(operation, (pages, more), |(pages, more)| {
        if !*more {
            return Ok(None);
        }
        let mut out = Vec::with_capacity(PAGE_BYTES + PAGE_BYTES / 4);
        *more = pages.write_page(&mut out)?;
        Ok::<_, ApiError>(Some(Bytes::from(out)))
    });
    let first = futures_util::stream::once(async move { Ok(Bytes::from(out)) });
    Ok(futures_util::StreamExt::chain(first, rest))
}
