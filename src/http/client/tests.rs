//! The client against servers that misbehave.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use tokio::time::Instant;

use crate::config::ClientTls;

use super::scripted::{Scripted, Step, answer, chunk, chunked};
use super::*;

const PATIENCE: Duration = Duration::from_secs(10);

fn request(method: Method, url: String) -> Request {
    Request {
        method,
        url,
        headers: vec![("accept", "application/json".to_owned())],
        private_headers: vec![("Authorization".to_owned(), "Basic c2VjcmV0".to_owned())],
        body: Body::Empty,
        patience: PATIENCE,
        redirects_max: 3,
    }
}

async fn send(request: &Request) -> Result<Response, ClientError> {
    HttpClients::new().client(None, &ClientTls::default()).unwrap().send(request).await
}

/// The whole answer to a request.
async fn read(request: &Request) -> Result<(u16, Bytes), ClientError> {
    let mut response = send(request).await?;
    Ok((response.status(), response.read(1_000).await?))
}

fn moved(status: u16, to: &str) -> Vec<Step> {
    answer(status, &format!("Location: {to}\r\n"), "")
}

#[tokio::test]
async fn redirects_keep_method_and_body() {
    for (status, line, body) in [
        (301, "POST /new", "abc"),
        (302, "POST /new", "abc"),
        (303, "GET /new", ""),
        (307, "POST /new", "abc"),
        (308, "POST /new", "abc"),
    ] {
        let server = Scripted::start(move |seen, _| match seen.target.as_str() {
            "/old" => moved(status, "new"),
            _ => answer(200, "", "here"),
        })
        .await;
        let body_sent = Body::of("abc");
        let sent = Request { body: body_sent, ..request(Method::Post, server.address("old")) };
        assert_eq!(read(&sent).await.unwrap(), (200, "here".into()));
        let last = server.seen().pop().unwrap();
        assert_eq!((last.line().as_str(), last.body.as_str()), (line, body), "{status}");
        assert_eq!(last.header("authorization"), Some("Basic c2VjcmV0"), "the same server");
    }
}

#[tokio::test]
async fn who_asks_is_not_told_to_another_server() {
    let other = Scripted::start(|_, _| answer(200, "Set-Cookie: AuthSession=x\r\n", "{}")).await;
    let to = other.address("db").replace("http://", "http://a:b@");
    let server = Scripted::start(move |_, _| moved(307, &to)).await;
    let response = send(&request(Method::Get, server.address("db"))).await.unwrap();
    assert_eq!((response.status(), response.is_home()), (200, false));
    let seen = other.seen();
    assert_eq!(seen[0].header("accept"), Some("application/json"));
    assert_eq!(seen[0].header("authorization"), None);
}

/// A server that sends a request on and back again gets nothing out of the other's mouth either.
#[tokio::test]
async fn a_way_back_is_no_way_home() {
    let home = Scripted::start(|seen, _| match seen.target.as_str() {
        "/back" => answer(200, "", ""),
        to => moved(307, &to.replace("/to?", "")),
    })
    .await;
    let back = home.address("back");
    let other = Scripted::start(move |_, _| moved(307, &back)).await;
    let away = home.address(&format!("to?{}", other.address("")));
    let response = send(&request(Method::Get, away)).await.unwrap();
    assert!(!response.is_home());
    assert_eq!(home.seen()[1].header("authorization"), None);
}

#[tokio::test]
async fn redirects_end() {
    let server = Scripted::start(|seen, _| moved(302, &format!("{}x", seen.target))).await;
    assert_eq!(read(&request(Method::Get, server.address(""))).await.unwrap().0, 302);
    assert_eq!(server.lines(), ["GET /", "GET /x", "GET /xx", "GET /xxx"]);
    for nowhere in ["file:///etc/passwd", "http://", "//"] {
        let server = Scripted::start(move |_, _| moved(302, nowhere)).await;
        let sent = read(&request(Method::Get, server.address(""))).await;
        assert!(matches!(sent, Err(ClientError::Invalid(_))), "{nowhere} {sent:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn silence_ends_a_request() {
    let silent = Scripted::start(|_, _| vec![Step::Hang]).await;
    let begun = Instant::now();
    let sent = read(&request(Method::Get, silent.address(""))).await;
    assert_eq!(sent, Err(ClientError::Silent(PATIENCE)));
    assert!(begun.elapsed() >= PATIENCE && begun.elapsed() < PATIENCE * 2);

    let stops = Scripted::start(|_, _| vec![chunked(), chunk("abc"), Step::Hang]).await;
    let sent = read(&request(Method::Get, stops.address(""))).await;
    assert_eq!(sent, Err(ClientError::Silent(PATIENCE)));
}

#[tokio::test(start_paused = true)]
async fn slowness_does_not() {
    let slow = Scripted::start(|_, _| {
        let piece = [Step::Rest(9_000), chunk("a")];
        let mut steps = vec![Step::Rest(9_000), chunked()];
        steps.extend(std::iter::repeat_n(piece, 20).flatten());
        steps.extend([Step::Send("0\r\n\r\n".to_owned())]);
        steps
    })
    .await;
    // What is sent slowly is no silence either.
    let open = || {
        let pieces = stream::iter(0..20).then(|_| async {
            tokio::time::sleep(Duration::from_secs(9)).await;
            Ok(Bytes::from_static(b"b"))
        });
        pieces.boxed()
    };
    let body = Body::Stream { length: Some(20), open: Arc::new(open) };
    let sent = Request { body, ..request(Method::Put, slow.address("")) };
    assert_eq!(read(&sent).await, Ok((200, "a".repeat(20).into())));
    assert_eq!(slow.seen()[0].body, "b".repeat(20));
}

#[tokio::test]
async fn a_cut_is_an_error() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc".to_owned();
    for steps in [
        vec![Step::Send(head), Step::Cut],
        vec![chunked(), chunk("abc"), Step::Cut],
        vec![chunked(), Step::Send("ff\r\nabc".to_owned()), Step::Cut],
        vec![Step::Send("HTTP/1.1 200 OK\r\nConte".to_owned()), Step::Cut],
        vec![Step::Send("<html>no HTTP</html>\r\n\r\n".to_owned()), Step::Cut],
        vec![Step::Cut],
    ] {
        let script = steps.clone();
        let server = Scripted::start(move |_, _| script.clone()).await;
        let sent = read(&request(Method::Get, server.address(""))).await;
        assert!(matches!(sent, Err(ClientError::Connection(_))), "{steps:?}: {sent:?}");
    }
    let closed = request(Method::Get, "http://127.0.0.1:1/secret?a=b".to_owned());
    let Err(ClientError::Connection(text)) = read(&closed).await else { panic!("port 1 answers") };
    assert!(!text.contains("secret"), "{text}");
}

/// A body whose source fails must not look whole to the server, whether its length was told or not.
#[tokio::test]
async fn a_body_that_fails_is_not_whole() {
    for length in [None, Some(6)] {
        let server = Scripted::start(|_, _| answer(200, "", "")).await;
        let open = || {
            let fails = async {
                // What came before has gone out by now.
                tokio::task::yield_now().await;
                Err(BodyError)
            };
            let begins = stream::iter([Ok(Bytes::from_static(b"abc"))]);
            begins.chain(stream::once(fails)).boxed()
        };
        let body = Body::Stream { length, open: Arc::new(open) };
        let sent = Request { body, ..request(Method::Put, server.address("")) };
        assert!(matches!(read(&sent).await, Err(ClientError::Connection(_))));
        assert!(!server.seen_after(1).await[0].is_whole, "{length:?}");
    }
}

#[tokio::test]
async fn answers_are_bounded_and_left_as_they_are() {
    let server = Scripted::start(|seen, _| match seen.target.as_str() {
        "/told" => vec![Step::Send("HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n".to_owned())],
        "/untold" => vec![chunked(), chunk(&"a".repeat(600)), chunk(&"a".repeat(600))],
        _ => answer(200, "Content-Encoding: gzip\r\n", "packed"),
    })
    .await;
    for path in ["told", "untold"] {
        let sent = read(&request(Method::Get, server.address(path))).await;
        assert_eq!(sent, Err(ClientError::TooLarge(1_000)), "{path}");
    }
    let packed = read(&request(Method::Get, server.address("packed"))).await;
    assert_eq!(packed.unwrap(), (200, "packed".into()));
}

#[tokio::test]
async fn addresses_that_would_lead_elsewhere_are_not_asked() {
    let server = Scripted::start(|_, _| answer(200, "", "")).await;
    for path in ["db/..", "db/%2e%2E?a=/", "db/./x"] {
        let sent = read(&request(Method::Get, server.address(path))).await;
        assert!(matches!(sent, Err(ClientError::Invalid(_))), "{path}");
    }
    assert!(read(&request(Method::Get, server.address("db/a%2F..?x=/../y"))).await.is_ok());
    assert_eq!(server.lines(), ["GET /db/a%2F..?x=/../y"]);
}

/// Through a proxy, the whole address is asked for.
#[tokio::test]
async fn a_proxy_is_asked_in_its_place() {
    let proxy = Scripted::start(|_, _| answer(200, "", "by proxy")).await;
    let clients = HttpClients::new();
    let client = clients.client(Some(&proxy.address("")), &ClientTls::default()).unwrap();
    let asked = request(Method::Get, "http://nowhere.invalid/db".to_owned());
    let mut response = client.send(&asked).await.unwrap();
    assert_eq!(response.read(100).await.unwrap(), "by proxy");
    assert_eq!(proxy.lines(), ["GET http://nowhere.invalid/db"]);
    let same = clients.client(Some(&proxy.address("")), &ClientTls::default()).unwrap();
    assert!(Arc::ptr_eq(&client.0, &same.0), "one pool for one way out");
    let bad = clients.client(Some("http://user:secret@["), &ClientTls::default()).unwrap_err();
    assert!(!bad.to_string().contains("secret"));
}
