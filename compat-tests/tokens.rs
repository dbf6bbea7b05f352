//! Bearer tokens: keys of the configuration, and keys that an issuer publishes and changes while
//! tokens are used.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use ring::hmac;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};

use crate::stage::{Stage, text};

const HANDLERS: &str = "{chttpd_auth, cookie_authentication_handler}, \
    {chttpd_auth, jwt_authentication_handler}, {chttpd_auth, default_authentication_handler}";

impl Stage {
    #[track_caller]
    fn configure(&self, path: &str, value: &str) {
        let response =
            self.ask("PUT", &format!("/_node/_local/_config/{path}"), Some(&json!(value)));
        assert_eq!(response.status, 200, "{}", text(&response));
    }

    fn session(&self, token: &str) -> (u16, Value) {
        let bearer = format!("Bearer {token}");
        let response = self.send("GET", "/_session", &[("Authorization", &bearer)], "");
        (response.status, serde_json::from_slice(&response.body).unwrap())
    }
}

fn now_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

fn message(header: &Value, claims: &Value) -> String {
    let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}", encode(header), encode(claims))
}

fn hs256(secret: &[u8], claims: &Value) -> String {
    let message = message(&json!({"alg": "HS256", "typ": "JWT"}), claims);
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let signature = hmac::sign(&key, message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
}

#[test]
fn tokens_with_configured_keys() {
    let stage = Stage::new();
    let claims = json!({"sub": "bob", "exp": now_s() + 600, "_couchdb.roles": ["staff"]});
    let token = hs256(b"secret", &claims);
    // Nobody asked for tokens yet.
    assert_eq!(stage.session(&token).1["userCtx"]["name"], Value::Null);
    stage.configure("chttpd/authentication_handlers", HANDLERS);
    assert_eq!(
        stage.session(&token),
        (400, json!({"error": "bad_request", "reason": "Unknown kid"}))
    );
    stage.configure("jwt_keys/hmac:_default", &STANDARD.encode("secret"));
    let (status, session) = stage.session(&token);
    assert_eq!(status, 200);
    assert_eq!(session["userCtx"], json!({"name": "bob", "roles": ["staff"]}));
    assert_eq!(session["info"]["authenticated"], "jwt");
    assert_eq!(session["info"]["authentication_handlers"], json!(["cookie", "jwt", "default"]));
    let check = |claims: Value, status: u16, reason: &str| {
        let (found, body) = stage.session(&hs256(b"secret", &claims));
        assert_eq!((found, body["reason"].as_str()), (status, Some(reason)), "{claims}");
    };
    check(json!({"sub": "bob"}), 400, "Missing exp claim");
    check(json!({"sub": "bob", "exp": 1}), 401, "exp not in future");
    check(json!({"exp": now_s() + 600}), 401, "Token missing sub claim.");
    let (status, body) = stage.session(&hs256(b"other", &claims));
    assert_eq!((status, &body["reason"]), (400, &json!("Bad HMAC")));
    // The user of a token is asked for in `_security` as any other.
    let members = json!({"members": {"roles": ["staff"]}, "admins": {}});
    stage.put("/db/_security", &members);
    let read = |token: &str| {
        let bearer = format!("Bearer {token}");
        stage.send("GET", "/db/_all_docs", &[("Authorization", &bearer)], "").status
    };
    assert_eq!(read(&token), 200);
    let stranger = hs256(b"secret", &json!({"sub": "eve", "exp": now_s() + 600}));
    assert_eq!(read(&stranger), 403);
    stage.configure("jwt_auth/roles_claim_path", r"realm.my\.roles");
    let nested = json!({"sub": "x", "exp": now_s() + 600, "realm": {"my.roles": ["staff"]}});
    assert_eq!(read(&hs256(b"secret", &nested)), 200);
    assert_eq!(stage.session(&token).0, 404);
}

/// An issuer: publishes the public parts of its keys.
struct Issuer {
    keys: Mutex<Vec<(String, EcdsaKeyPair)>>,
    reads: AtomicUsize,
    broken: AtomicBool,
}

impl Issuer {
    fn start() -> (Arc<Self>, String) {
        let issuer = Arc::new(Self {
            keys: Mutex::default(),
            reads: AtomicUsize::new(0),
            broken: AtomicBool::new(false),
        });
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/keys", listener.local_addr().unwrap());
        thread::spawn({
            let issuer = issuer.clone();
            move || {
                for stream in listener.incoming() {
                    let mut stream = stream.unwrap();
                    let head = BufReader::new(stream.try_clone().unwrap());
                    let lines = head.lines().map_while(Result::ok);
                    lines.take_while(|line| !line.is_empty()).for_each(drop);
                    issuer.reads.fetch_add(1, Ordering::SeqCst);
                    let (status, body) = if issuer.broken.load(Ordering::SeqCst) {
                        ("500 Broken", "{}".to_owned())
                    } else {
                        ("200 OK", issuer.published().to_string())
                    };
                    let answer = format!(
                        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                        body.len()
                    );
                    // Where the server is gone nobody reads it.
                    let _ = stream.write_all(answer.as_bytes());
                }
            }
        });
        (issuer, url)
    }

    /// Makes a key and forgets all but the one before.
    fn rotate(&self, kid: &str) {
        let random = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        let key = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random).unwrap();
        let mut keys = self.keys.lock().unwrap();
        keys.push((kid.to_owned(), key));
        let old = keys.len().saturating_sub(2);
        keys.drain(..old);
    }

    fn published(&self) -> Value {
        let keys = self.keys.lock().unwrap();
        let keys = keys.iter().map(|(kid, key)| {
            let (x, y) = key.public_key().as_ref()[1..].split_at(32);
            let (x, y) = (URL_SAFE_NO_PAD.encode(x), URL_SAFE_NO_PAD.encode(y));
            json!({"kty": "EC", "crv": "P-256", "use": "sig", "kid": kid, "x": x, "y": y})
        });
        json!({"keys": keys.collect::<Vec<_>>()})
    }

    /// A token signed with the newest key.
    fn token(&self) -> String {
        let keys = self.keys.lock().unwrap();
        let (kid, key) = keys.last().unwrap();
        let header = json!({"alg": "ES256", "kid": kid});
        let message = message(&header, &json!({"sub": "bob", "exp": now_s() + 600}));
        let signature = key.sign(&SystemRandom::new(), message.as_bytes()).unwrap();
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }
}

#[test]
fn published_keys_change_under_load_and_nobody_is_refused() {
    let stage = Arc::new(Stage::new());
    let (issuer, url) = Issuer::start();
    issuer.rotate("key-0");
    stage.configure("chttpd/authentication_handlers", HANDLERS);
    stage.configure("jwt_auth/jwks_url", &url);
    let stop = Arc::new(AtomicBool::new(false));
    let users = (0..4).map(|_| {
        let (stage, issuer, stop) = (stage.clone(), issuer.clone(), stop.clone());
        thread::spawn(move || {
            let mut served = 0;
            while !stop.load(Ordering::SeqCst) {
                let (status, session) = stage.session(&issuer.token());
                assert_eq!(
                    (status, &session["userCtx"]["name"]),
                    (200, &json!("bob")),
                    "{session}"
                );
                served += 1;
            }
            served
        })
    });
    let users: Vec<_> = users.collect();
    for rotation in 1..=3 {
        // Longer than the server waits between two readings: then a key is there for two of them.
        thread::sleep(Duration::from_millis(1500));
        issuer.rotate(&format!("key-{rotation}"));
    }
    // What was read holds while the issuer cannot be read.
    thread::sleep(Duration::from_millis(1500));
    issuer.broken.store(true, Ordering::SeqCst);
    thread::sleep(Duration::from_millis(300));
    stop.store(true, Ordering::SeqCst);
    let served: usize = users.into_iter().map(|user| user.join().unwrap()).sum();
    let reads = issuer.reads.load(Ordering::SeqCst);
    assert!(served > 20 && reads <= 8, "{served} requests, {reads} readings of the keys");
    // Made-up keys are refused.
    let forged =
        message(&json!({"alg": "ES256", "kid": "x"}), &json!({"sub": "x", "exp": now_s() + 9}));
    let forged = format!("{forged}.AAAA");
    assert_eq!(stage.session(&forged).0, 400);
}
