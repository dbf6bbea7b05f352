//! Requests whose end two servers may see in different places: what stands behind the body must
//! never be taken for another request of the same client.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use crate::stage::Stage;

const DEADLINE: Duration = Duration::from_secs(30);
/// Stands behind each body; the server closes the connection after it at the latest.
const NEXT: &str = "GET /_up HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";

/// The statuses of the answers to what is sent, until the server closes the connection.
fn statuses(host: &str, sent: &str) -> Vec<u16> {
    let mut stream = TcpStream::connect(host).unwrap();
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    stream.write_all(sent.as_bytes()).unwrap();
    let mut answer = Vec::new();
    // A connection that is cut ends as well, but one that stays open is an error.
    if let Err(error) = stream.read_to_end(&mut answer) {
        assert_ne!(error.kind(), std::io::ErrorKind::WouldBlock, "it stays open: {sent:?}");
    }
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let heads = answer.split("HTTP/1.1 ").skip(1);
    heads.map(|head| head[..3].parse().unwrap()).collect()
}

#[test]
fn a_request_ends_in_one_place() {
    let stage = Stage::new();
    let check = |headers: &str, body: &str, expect: &[u16]| {
        let head = "POST /_session HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n";
        let sent = format!("{head}{headers}\r\n{body}{NEXT}");
        assert_eq!(statuses(&stage.client.host, &sent), expect, "{sent:?}");
    };
    let refused: &[u16] = &[400];
    // As it should be: two requests.
    check("Content-Length: 2\r\n", "{}", &[400, 200]);
    check("Transfer-Encoding: chunked\r\n", "2\r\n{}\r\n0\r\n\r\n", &[400, 200]);
    check("Content-Length: 2\r\nContent-Length: 2\r\n", "{}", &[400, 200]);
    // The chunks count, and the connection ends with them (RFC 9112, 6.3).
    let chunks = "2\r\n{}\r\n0\r\n\r\n";
    check("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n", chunks, refused);
    check("Transfer-Encoding: chunked\r\nContent-Length: 3\r\n", chunks, refused);
    // Nobody can say where these end.
    check("Content-Length: 2\r\nContent-Length: 3\r\n", "{}", refused);
    check("Content-Length: 2, 3\r\n", "{}", refused);
    check("Content-Length: +2\r\n", "{}", refused);
    check("Content-Length: -2\r\n", "{}", refused);
    check("Content-Length: 0x2\r\n", "{}", refused);
    check("Content-Length: 99999999999999999999\r\n", "{}", refused);
    check("Content-Length : 2\r\n", "{}", refused);
    check("Content-Length:\r\n 2\r\n", "{}", refused);
    check("X-A: b\r\n Content-Length: 2\r\n", "", refused);
    check("X-A: b\rContent-Length: 2\r\n", "", refused);
    check("X-A: b\0\r\n", "", refused);
    check("Transfer-Encoding: identity\r\n", "", refused);
    check("Transfer-Encoding: chunked, identity\r\n", chunks, refused);
    check("Transfer-Encoding: xchunked\r\n", chunks, refused);
    check("Transfer-Encoding : chunked\r\n", chunks, refused);
    check("Transfer-Encoding:\x0bchunked\r\n", chunks, refused);
    for size in ["-2", "+2", "0x2", "g", "", "fffffffffffffffff"] {
        let chunks = format!("{size}\r\n{{}}\r\n0\r\n\r\n");
        check("Transfer-Encoding: chunked\r\n", &chunks, refused);
    }
    check("Transfer-Encoding: chunked\r\n", "2;a\nb\r\n{}\r\n0\r\n\r\n", refused);
    check("Transfer-Encoding: chunked\r\n", "2\r\n{}XX0\r\n\r\n", refused);
    // Of HTTP/1.0, which has no chunks.
    let old = "POST /_session HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(statuses(&stage.client.host, &format!("{old}{chunks}{NEXT}")), refused);
    // A line may end without a carriage return: this is one request, and its body.
    let bare = "POST /_session HTTP/1.1\nHost: x\nContent-Type: application/json\n\
                Content-Length: 2\n\n{}";
    assert_eq!(statuses(&stage.client.host, &format!("{bare}{NEXT}")), [400, 200]);
    assert_eq!(stage.ask("GET", "/_up", None).status, 200);
}
