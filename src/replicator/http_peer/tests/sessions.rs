//! Who is said to ask: sessions, their end, and servers without them.

use std::time::Duration;

use serde_json::json;

use super::*;
use crate::http::client::scripted::Seen;
use crate::replicator::{Peer, PeerError};

/// The peer `db` of a server, asked by somebody.
fn known_peer(server: &Scripted) -> HttpPeer {
    let auth = json!({"basic": {"username": "a b", "password": "p&q"}});
    let headers = json!({"X-Extra": "1"});
    peer_of(&json!({"url": server.address("db"), "auth": auth, "headers": headers}), true)
}

fn cookie(value: &str) -> Vec<Step> {
    let header = format!("Set-Cookie: AuthSession={value}; Version=1; Path=/; HttpOnly\r\n");
    answer(200, &header, "{\"ok\":true}")
}

fn closed() -> Vec<Step> {
    refusal(401, "unauthorized", "You are not authorized to access this db.")
}

fn is_login(seen: &Seen) -> bool {
    seen.line() == "POST /_session"
}

fn has_cookie(seen: &Seen, value: &str) -> bool {
    seen.header("cookie") == Some(&format!("AuthSession={value}"))
}

fn open() -> Vec<Step> {
    json_answer(200, &json!({}))
}

const BASIC: &str = "Basic YSBiOnAmcQ==";

#[tokio::test(start_paused = true)]
async fn one_login_serves_many_requests() {
    let server = Scripted::start(|seen, _| match is_login(seen) {
        true => cookie("c1"),
        false if has_cookie(seen, "c1") => open(),
        false => closed(),
    })
    .await;
    let peer = known_peer(&server);
    let all = futures_util::future::join_all((0..8).map(|_| Peer::info(&peer))).await;
    assert!(all.iter().all(Result::is_ok), "{all:?}");
    let seen = server.seen();
    assert_eq!((seen.len(), seen[0].body.as_str()), (9, "name=a+b&password=p%26q"));
    assert!(seen.iter().all(|seen| seen.header("x-extra") == Some("1")));
    assert!(seen.iter().all(|seen| seen.header("authorization").is_none()));
    let agent = seen[1].header("user-agent").unwrap();
    assert!(agent.starts_with("CouchDB-Replicator/settee"), "{agent}");
}

#[tokio::test(start_paused = true)]
async fn a_session_that_ended_is_renewed() {
    for status in [401, 403] {
        let server = Scripted::start(move |seen, before| match (is_login(seen), before) {
            (true, 0) => cookie("c1"),
            (true, _) => cookie("c2"),
            (false, 1) if has_cookie(seen, "c1") => open(),
            (false, _) if has_cookie(seen, "c2") => open(),
            _ => refusal(status, "unauthorized", "x"),
        })
        .await;
        let peer = known_peer(&server);
        assert!(Peer::info(&peer).await.is_ok());
        tokio::time::advance(Duration::from_mins(1)).await;
        assert!(Peer::info(&peer).await.is_ok());
        let expect = ["POST /_session", "GET /db/", "GET /db/", "POST /_session", "GET /db/"];
        assert_eq!(server.lines(), expect);
        // Before a session of CouchDB ends by itself, there is a new one.
        tokio::time::advance(Duration::from_secs(551)).await;
        assert!(Peer::info(&peer).await.is_ok());
        assert_eq!(server.lines()[5..], ["POST /_session", "GET /db/"]);
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_may_bring_a_newer_cookie() {
    let server = Scripted::start(|seen, before| match (is_login(seen), before) {
        (true, _) => cookie("c1"),
        (false, 1) => cookie("c2"),
        _ if has_cookie(seen, "c2") => open(),
        _ => closed(),
    })
    .await;
    let peer = known_peer(&server);
    assert!(Peer::info(&peer).await.is_ok());
    assert!(Peer::info(&peer).await.is_ok());
    assert_eq!(server.lines(), ["POST /_session", "GET /db/", "GET /db/"]);
}

#[tokio::test(start_paused = true)]
async fn servers_without_sessions_get_the_password() {
    for login in [404, 401, 405, 500, 200, 302] {
        let server = Scripted::start(move |seen, _| match is_login(seen) {
            true => answer(login, "Location: http://127.0.0.1:1/\r\n", "{}"),
            false if seen.header("authorization") == Some(BASIC) => open(),
            false => closed(),
        })
        .await;
        let peer = known_peer(&server);
        assert!(Peer::info(&peer).await.is_ok(), "{login}");
        assert!(Peer::info(&peer).await.is_ok());
        assert_eq!(server.lines(), ["POST /_session", "GET /db/", "GET /db/"]);
    }
}

/// Whoever stands before the server may want the password, and know nothing of its cookies.
#[tokio::test(start_paused = true)]
async fn a_cookie_that_is_good_for_nothing() {
    let server = Scripted::start(|seen, _| match is_login(seen) {
        true => cookie("c1"),
        false if seen.header("authorization") == Some(BASIC) => open(),
        false => closed(),
    })
    .await;
    let peer = known_peer(&server);
    assert!(Peer::info(&peer).await.is_ok());
    assert!(Peer::info(&peer).await.is_ok());
    assert_eq!(server.lines(), ["POST /_session", "GET /db/", "GET /db/", "GET /db/"]);
}

#[tokio::test(start_paused = true)]
async fn a_wrong_password_is_told_at_once() {
    let server = Scripted::start(|_, _| closed()).await;
    let error = Peer::info(&known_peer(&server)).await.unwrap_err();
    assert_eq!(error, PeerError::Unauthorized(server.address("db/")));
    assert_eq!(server.lines(), ["POST /_session", "GET /db/"]);
}

/// The password and the cookie are for one server, whatever it answers.
#[tokio::test(start_paused = true)]
async fn redirects_tell_no_secrets() {
    let other = Scripted::start(|_, _| open()).await;
    let to = other.address("db/");
    let server = Scripted::start(move |seen, _| {
        let away = || answer(302, &format!("Location: {to}\r\n"), "");
        if is_login(seen) { cookie("c1") } else { away() }
    })
    .await;
    assert!(Peer::info(&known_peer(&server)).await.is_ok());
    let told = &other.seen()[0].headers;
    let secrets = ["cookie", "authorization", "x-extra"];
    assert!(told.iter().all(|(name, _)| !secrets.contains(&name.as_str())), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn a_token_needs_no_session() {
    let server = Scripted::start(|_, _| open()).await;
    let address = server.address("db").replace("http://", "http://a:b@");
    let headers = json!({"Authorization": "Bearer t"});
    let peer = peer_of(&json!({"url": address, "headers": headers}), true);
    assert!(Peer::info(&peer).await.is_ok());
    let seen = server.seen();
    assert_eq!((seen.len(), seen[0].header("authorization")), (1, Some("Bearer t")));
}
