//! How a connection begins: with HTTP/1, or with the preface of HTTP/2.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

/// What a client that knows a server of HTTP/2 says first.
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Enough for most first requests, so that they come with the first read.
const FIRST_READ_BYTES: usize = 4096;

/// Which HTTP a client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    Http1,
    Http2,
}

/// The protocol, and the bytes that were read to know it.
#[derive(Debug)]
pub struct Opening {
    pub protocol: Protocol,
    pub bytes: Vec<u8>,
}

impl Opening {
    /// Where the handshake has said it.
    pub fn known(protocol: Protocol) -> Self {
        Self { protocol, bytes: Vec::new() }
    }

    /// Reads as little as it takes: in most cases the first bytes decide.
    pub async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Self> {
        let mut bytes = Vec::with_capacity(FIRST_READ_BYTES);
        loop {
            let read = stream.read_buf(&mut bytes).await?;
            if bytes.starts_with(PREFACE) {
                return Ok(Self { protocol: Protocol::Http2, bytes });
            }
            if read == 0 || !PREFACE.starts_with(&bytes) {
                return Ok(Self { protocol: Protocol::Http1, bytes });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;

    use super::*;

    #[tokio::test]
    async fn only_the_whole_preface_is_http_2() {
        let check = async |chunks: &[&str], expect: Protocol| {
            let (mut client, mut server) = tokio::io::duplex(64);
            let sent = async {
                for chunk in chunks {
                    client.write_all(chunk.as_bytes()).await.unwrap();
                    tokio::task::yield_now().await;
                }
                drop(client);
            };
            let (opening, ()) = tokio::join!(Opening::read(&mut server), sent);
            let opening = opening.unwrap();
            assert_eq!(opening.protocol, expect, "{chunks:?}");
            assert!(chunks.concat().as_bytes().starts_with(&opening.bytes), "{chunks:?}");
        };
        check(&["GET / HTTP/1.1\r\n"], Protocol::Http1).await;
        check(&["P", "UT / HTTP/1.1\r\n"], Protocol::Http1).await;
        check(&["PRI * HTTP/2.0\r\n\r\n"], Protocol::Http1).await;
        check(&["PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n more"], Protocol::Http2).await;
        check(&["PRI * HTTP/2.", "0\r\n\r\nSM\r\n", "\r\n"], Protocol::Http2).await;
        check(&[], Protocol::Http1).await;
    }
}
