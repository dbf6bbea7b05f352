//! What is too much is refused at once, and what is too slow is cut.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::config::Persist;

use super::{Running, exchange, run_with};

const UP: &str = "GET /_up HTTP/1.1\r\nhost: x\r\n\r\n";
const LIST: &str = "GET /_all_dbs HTTP/1.1\r\nhost: x\r\n\r\n";

fn set(server: &Running, key: &str, value: &str) {
    server.app.config.set("chttpd", key, value, Persist::MemoryOnly).unwrap();
}

async fn connect(server: &Running) -> TcpStream {
    TcpStream::connect(server.address).await.unwrap()
}

/// All that comes until the server closes the connection.
async fn rest(mut stream: TcpStream) -> String {
    let mut answer = Vec::new();
    // A connection that is cut ends as well.
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn connections() {
    let server = run_with(&[("chttpd", "server_options", "[{max, 2}]")]);
    let (mut one, mut two) = (connect(&server).await, connect(&server).await);
    exchange(&mut one, UP).await;
    exchange(&mut two, UP).await;
    let refused = rest(connect(&server).await).await;
    assert!(refused.starts_with("HTTP/1.1 503 Service Unavailable\r\n"), "{refused}");
    assert!(refused.contains("\r\nretry-after: "), "{refused}");
    assert!(refused.contains("{\"error\":\"service unavailable\""), "{refused}");
    exchange(&mut one, UP).await;
    set(&server, "max_connections", "3");
    let mut three = connect(&server).await;
    assert!(exchange(&mut three, UP).await.starts_with("HTTP/1.1 200 "));
    drop((one, two, three));
    set(&server, "max_connections", "1");
    while !exchange(&mut connect(&server).await, UP).await.starts_with("HTTP/1.1 200 ") {}
}

#[tokio::test]
async fn who_goes_while_its_answer_is_under_way_is_missed() {
    let server = run_with(&[("chttpd", "server_options", "[{max, 1}]")]);
    let mut stream = connect(&server).await;
    let made = "PUT /db HTTP/1.1\r\nhost: x\r\nauthorization: Basic YWRtaW46YWRtaW5wdw==\r\n\r\n";
    assert!(exchange(&mut stream, made).await.starts_with("HTTP/1.1 201 "));
    // Served by the library, which says nothing for ten minutes and reads nothing either.
    let ask = "GET /db/_changes?feed=continuous&since=now&heartbeat=600000 HTTP/1.1\r\nhost: x\r\n\
               connection: close\r\n\r\n";
    stream.write_all(ask.as_bytes()).await.unwrap();
    let mut head = [0; 12];
    stream.read_exact(&mut head).await.unwrap();
    assert_eq!(&head, b"HTTP/1.1 200");
    assert!(rest(connect(&server).await).await.starts_with("HTTP/1.1 503 "), "no more room");
    drop(stream);
    let room = async {
        while !exchange(&mut connect(&server).await, UP).await.starts_with("HTTP/1.1 200 ") {}
    };
    tokio::time::timeout(std::time::Duration::from_mins(1), room).await.unwrap();
}

#[tokio::test]
async fn slow_heads_bodies_and_idle_connections() {
    let server = run_with(&[
        ("chttpd", "header_timeout", "50"),
        ("chttpd", "body_timeout", "50"),
        ("chttpd", "idle_timeout", "200"),
    ]);
    // No request: closed without a word.
    assert_eq!(rest(connect(&server).await).await, "");
    let mut idle = connect(&server).await;
    exchange(&mut idle, UP).await;
    assert_eq!(rest(idle).await, "");
    let mut half = connect(&server).await;
    half.write_all(b"GET /_up HTTP/1.1\r\nhos").await.unwrap();
    let answer = rest(half).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    let mut late = connect(&server).await;
    let head = "POST /_session HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
                content-length: 100\r\n\r\n{";
    late.write_all(head.as_bytes()).await.unwrap();
    let answer = rest(late).await;
    assert!(answer.starts_with("HTTP/1.1 408 Request Timeout\r\n"), "{answer}");
    assert!(answer.contains("the request body came too slowly"), "{answer}");
}

#[tokio::test]
async fn who_reads_nothing_is_cut_and_a_quiet_feed_is_not() {
    let server = run_with(&[("chttpd", "write_timeout", "200")]);
    let mut stream = connect(&server).await;
    let auth = "authorization: Basic YWRtaW46YWRtaW5wdw==\r\n";
    let made = format!("PUT /db HTTP/1.1\r\nhost: x\r\n{auth}\r\n");
    assert!(exchange(&mut stream, &made).await.starts_with("HTTP/1.1 201 "));
    let large = format!("{{\"x\":\"{}\"}}", "x".repeat(5_000_000));
    let length = large.len();
    let put =
        format!("PUT /db/a HTTP/1.1\r\nhost: x\r\n{auth}content-length: {length}\r\n\r\n{large}");
    assert!(exchange(&mut stream, &put).await.starts_with("HTTP/1.1 201 "));
    let mut feed = connect(&server).await;
    let ask =
        "GET /db/_changes?feed=continuous&since=now&heartbeat=100 HTTP/1.1\r\nhost: x\r\n\r\n";
    feed.write_all(ask.as_bytes()).await.unwrap();
    let mut unread = connect(&server).await;
    for _ in 0..4 {
        unread.write_all(b"GET /db/a HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
    }
    // Heartbeats go on for longer than the other waits.
    let mut beats = Vec::new();
    while beats.windows(6).filter(|window| window == b"1\r\n\n\r\n").count() < 10 {
        let mut buffer = [0; 1024];
        let count = feed.read(&mut buffer).await.unwrap();
        assert!(count > 0, "the feed was cut: {beats:?}");
        beats.extend_from_slice(&buffer[..count]);
    }
    let got = rest(unread).await;
    assert!(got.len() < 4 * length, "the connection was cut, {} bytes came", got.len());
    assert!(exchange(&mut stream, UP).await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn requests_at_one_time() {
    let server = run_with(&[]);
    let mut stream = connect(&server).await;
    let body = "{\"name\":\"admin\",\"password\":\"adminpw\"}";
    let head = format!(
        "POST /_session HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    // One that waits for its body takes no place from others.
    let mut slow = connect(&server).await;
    slow.write_all(head.as_bytes()).await.unwrap();
    set(&server, "max_concurrent_requests", "1");
    while !exchange(&mut stream, LIST).await.starts_with("HTTP/1.1 200 ") {}
    assert!(exchange(&mut stream, LIST).await.starts_with("HTTP/1.1 200 "));
    assert!(exchange(&mut slow, body).await.starts_with("HTTP/1.1 200 "));
}
