//! Rows streamed page by page: one page is one short scan on a thread that may block.

use axum::http::StatusCode;
use axum::response::Response;
use bytes::Bytes;
use futures_util::Stream;

use crate::blocking;

use super::error::ApiError;
use super::respond::{self, Answer};

/// Bytes of a page: enough to make the crossing of threads cheap, few enough to hold for many
/// slow clients.
pub const PAGE_BYTES: usize = 64 << 10;

/// Makes the pages of a streamed answer.
pub trait Pages: Send + 'static {
    /// Adds the next rows to `out`, about [`PAGE_BYTES`] of them. Returns whether more may come.
    fn write_page(&mut self, out: &mut Vec<u8>) -> Result<bool, ApiError>;

    /// The same for the first page where it can be made quickly and without blocking; else none,
    /// and nothing has changed.
    ///
    /// # Errors
    /// Those of the page.
    fn write_at_once(&mut self, _out: &mut Vec<u8>) -> Result<Option<bool>, ApiError> {
        Ok(None)
    }
}

/// The first page, made at once so that errors still have their status, and the pages after it.
///
/// # Errors
/// Those of the first page.
pub async fn stream_pages<P: Pages>(
    operation: &'static str,
    pages: P,
) -> Result<impl Stream<Item = Result<Bytes, ApiError>> + Send, ApiError> {
    let (first, more, pages) = first_page(operation, pages).await?;
    Ok(and_the_rest(operation, first, more, pages))
}

/// A JSON answer of pages: whole where one page is all, else streamed.
///
/// # Errors
/// Those of the first page.
pub async fn answer_pages<P: Pages>(operation: &'static str, pages: P) -> Answer {
    Ok(answer_begun(operation, first_page(operation, pages).await?))
}

/// The same where the first page is there.
pub fn answer_begun<P: Pages>(
    operation: &'static str,
    (first, more, pages): (Bytes, bool, P),
) -> Response {
    if more {
        respond::json_stream(and_the_rest(operation, first, more, pages))
    } else {
        respond::json_bytes(StatusCode::OK, first)
    }
}

/// Makes the first page. Blocks. Gives it with whether more may come.
///
/// # Errors
/// Those of the page.
pub fn begin<P: Pages>(mut pages: P) -> Result<(Bytes, bool, P), ApiError> {
    let mut out = Vec::with_capacity(PAGE_BYTES / 8);
    let more = pages.write_page(&mut out)?;
    Ok((out.into(), more, pages))
}

async fn first_page<P: Pages>(
    operation: &'static str,
    mut pages: P,
) -> Result<(Bytes, bool, P), ApiError> {
    let mut out = Vec::new();
    if let Some(more) = pages.write_at_once(&mut out)? {
        return Ok((out.into(), more, pages));
    }
    blocking::run(operation, move || begin(pages)).await?
}

fn and_the_rest<P: Pages>(
    operation: &'static str,
    first: Bytes,
    more: bool,
    pages: P,
) -> impl Stream<Item = Result<Bytes, ApiError>> + Send {
    let rest = blocking::pages(operation, (pages, more), |(pages, more)| {
        if !*more {
            return Ok(None);
        }
        let mut out = Vec::with_capacity(PAGE_BYTES + PAGE_BYTES / 4);
        *more = pages.write_page(&mut out)?;
        Ok::<_, ApiError>(Some(Bytes::from(out)))
    });
    let first = futures_util::stream::once(async move { Ok(first) });
    futures_util::StreamExt::chain(first, rest)
}
