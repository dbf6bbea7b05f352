//! Reads the bytes of an attachment, stored form as it is, from where an earlier reading stopped.

use std::sync::Arc;

use crate::document::Encoding;
use crate::http::path::{encode_segment, quote_plus};
use crate::replicator::{AttachmentBody, PeerError, Revision, Stub};

use super::connection::{Call, Connection};
use super::document_path;

/// The bytes from `offset` on where the server can do that, from the beginning otherwise.
pub(super) async fn open(
    connection: &Arc<Connection>,
    revision: &Revision,
    stub: &Stub,
    offset: u64,
) -> Result<AttachmentBody, PeerError> {
    let path = format!(
        "{}/{}?rev={}",
        document_path(&revision.id),
        encode_segment(&stub.name),
        quote_plus(&revision.rev.to_string())
    );
    let wanted = match stub.encoding {
        Encoding::Gzip => "gzip",
        Encoding::Identity => "identity",
    };
    let mut call = Call::get(path).with("accept", "*/*").with("accept-encoding", wanted);
    if offset > 0 && stub.encoding == Encoding::Identity {
        call = call.with("range", format!("bytes={offset}-"));
    }
    let reply = connection.retried(|| connection.reply(&call)).await?;
    let response = &reply.response;
    let encoding = match response.header("content-encoding") {
        None | Some("identity") => Encoding::Identity,
        Some("gzip") if stub.encoding == Encoding::Gzip => Encoding::Gzip,
        Some(_) => return Err(connection.garbage("an attachment is encoded as nobody asked")),
    };
    let offset = match (response.status(), response.header("content-range")) {
        (206, Some(range)) => {
            start(range).ok_or_else(|| connection.garbage("a Content-Range that cannot be read"))?
        }
        _ => 0,
    };
    if offset > 0 && call_was_whole(stub) {
        return Err(connection.garbage("a part of an attachment that nobody asked for"));
    }
    Ok(AttachmentBody { encoding, offset, bytes: reply.into_stream(connection.clone()) })
}

fn call_was_whole(stub: &Stub) -> bool {
    stub.encoding == Encoding::Gzip
}

/// Where the bytes of `bytes 5-9/10` begin.
fn start(content_range: &str) -> Option<u64> {
    let range = content_range.trim().strip_prefix("bytes")?.trim_start();
    range.split_once('-')?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_begin_somewhere() {
        for (header, expect) in [
            ("bytes 5-9/10", Some(5)),
            ("bytes 0-0/*", Some(0)),
            ("bytes */10", None),
            ("items 1-2/3", None),
        ] {
            assert_eq!(start(header), expect, "{header}");
        }
    }
}
