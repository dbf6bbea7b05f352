//! Feeds that wait are sent without the HTTP library; a client sees no difference.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{Running, exchange, run};

const UP: &str = "GET /_up HTTP/1.1\r\nhost: x\r\n\r\n";
const ADMIN: &str = "authorization: Basic YWRtaW46YWRtaW5wdw==\r\n";

async fn connect(server: &Running) -> TcpStream {
    TcpStream::connect(server.address).await.unwrap()
}

async fn database(server: &Running) {
    let put = format!("PUT /db HTTP/1.1\r\nhost: x\r\n{ADMIN}\r\n");
    let answer = exchange(&mut connect(server).await, &put).await;
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
}

async fn write(server: &Running, id: &str) {
    let put = format!("PUT /db/{id} HTTP/1.1\r\nhost: x\r\n{ADMIN}content-length: 2\r\n\r\n{{}}");
    let answer = exchange(&mut connect(server).await, &put).await;
    assert!(answer.starts_with("HTTP/1.1 201 "), "{answer}");
}

/// Reads until `end` has come.
async fn read_until(stream: &mut TcpStream, end: &str) -> String {
    let mut text = String::new();
    while !text.ends_with(end) {
        let mut buffer = [0; 4096];
        let count = stream.read(&mut buffer).await.unwrap();
        assert!(count > 0, "cut: {text}");
        text.push_str(std::str::from_utf8(&buffer[..count]).unwrap());
    }
    text
}

fn feed(parameters: &str) -> String {
    format!("GET /db/_changes?{parameters} HTTP/1.1\r\nhost: x\r\n{ADMIN}\r\n")
}

#[tokio::test]
async fn rows_come_one_by_one_and_the_connection_goes_on() {
    let server = run();
    database(&server).await;
    for _ in 0..2 {
        let mut listener = connect(&server).await;
        let asked = feed("feed=continuous&since=now&limit=2&timeout=60000");
        listener.write_all(asked.as_bytes()).await.unwrap();
        let head = read_until(&mut listener, "\r\n\r\n1\r\n\n\r\n").await;
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        assert_eq!(head.matches("transfer-encoding: chunked\r\n").count(), 1, "{head}");
        write(&server, &uuid()).await;
        let row = read_until(&mut listener, "}\n\r\n").await;
        assert!(row.contains("{\"seq\":"), "{row}");
        // Sent before the feed has ended.
        listener.write_all(UP.as_bytes()).await.unwrap();
        write(&server, &uuid()).await;
        let rest = read_until(&mut listener, "\"status\":\"ok\",\"seeds\":{}}\n").await;
        assert!(rest.contains("\"pending\":0}\n\n\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n"), "{rest}");
        let again = exchange(&mut listener, UP).await;
        assert!(again.starts_with("HTTP/1.1 200 OK\r\n"), "{again}");
    }
}

fn uuid() -> String {
    uuid::Uuid::new_v4().simple().to_string()
}

#[tokio::test]
async fn clients_of_older_http_or_that_close_get_their_own_framing() {
    let server = run();
    database(&server).await;
    write(&server, "a").await;
    let parameters = "feed=continuous&timeout=1";
    let old = feed(parameters).replace("HTTP/1.1", "HTTP/1.0");
    let closing = feed(parameters).replace("host: x\r\n", "host: x\r\nconnection: close\r\n");
    for (asked, chunked) in [(old, false), (closing, true)] {
        let mut listener = connect(&server).await;
        listener.write_all(asked.as_bytes()).await.unwrap();
        let mut text = String::new();
        listener.read_to_string(&mut text).await.unwrap();
        assert_eq!(text.contains("transfer-encoding: chunked"), chunked, "{text}");
        assert_eq!(text.ends_with("\"pending\":0}\n\n"), !chunked, "{text}");
        assert_eq!(text.ends_with("0\r\n\r\n"), chunked, "{text}");
    }
}

#[tokio::test]
async fn a_listener_that_goes_is_noticed_and_a_stop_ends_feeds() {
    let server = run();
    database(&server).await;
    let name = crate::database::DatabaseName::parse("db").unwrap();
    let db = server.app.registry.get(&name).unwrap();
    let mut listener = connect(&server).await;
    listener.write_all(feed("feed=continuous&since=now").as_bytes()).await.unwrap();
    read_until(&mut listener, "1\r\n\n\r\n").await;
    assert_eq!(db.followers(), 1);
    drop(listener);
    while db.followers() > 0 {
        tokio::task::yield_now().await;
    }
    let mut listener = connect(&server).await;
    listener.write_all(feed("feed=continuous&since=now").as_bytes()).await.unwrap();
    read_until(&mut listener, "1\r\n\n\r\n").await;
    server.stop.send(()).unwrap();
    read_until(&mut listener, "\"pending\":0}\n\n\r\n0\r\n\r\n").await;
    assert_eq!(listener.read(&mut [0; 16]).await.unwrap(), 0);
    server.served.await.unwrap().unwrap();
}
