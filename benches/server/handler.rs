//! The bound of reads: a server that does nothing but give the same bytes as settee does for a
//! document. It runs as a process of its own, so that its CPU time is measured in the same way.

use std::net::Ipv4Addr;
use std::path::Path;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response};
use axum::serve::ListenerExt as _;
use bytes::Bytes;
use tokio::net::TcpListener;

use crate::error::Result;

/// Headers that the HTTP library writes by itself.
const WRITTEN_ANYWAY: [&str; 3] = ["content-length", "date", "transfer-encoding"];

/// Serves the answer (head and body) that is in `file`, to every request, until killed.
pub fn run(file: &Path) -> Result<()> {
    let (headers, body) = parse(&std::fs::read(file)?);
    let answer = async move || {
        let mut response = Response::new(Body::from(body));
        *response.headers_mut() = headers;
        response
    };
    let app = Router::new().fallback(answer);
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        println!("handler is ready at http://{}/", listener.local_addr()?);
        // A connection without it works too, only later.
        let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
        Ok(axum::serve(listener, app).await?)
    })
}

fn parse(answer: &[u8]) -> (HeaderMap, Bytes) {
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap_or(answer.len());
    let (head, body) = answer.split_at(end);
    let mut headers = HeaderMap::new();
    for line in head.split(|byte| *byte == b'\n').skip(1) {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else { continue };
        let (name, value) = line.split_at(colon);
        let name = HeaderName::from_bytes(name);
        let value = HeaderValue::from_bytes(value[1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value)
            && !WRITTEN_ANYWAY.contains(&name.as_str())
        {
            headers.append(name, value);
        }
    }
    (headers, Bytes::copy_from_slice(body.get(4..).unwrap_or_default()))
}
