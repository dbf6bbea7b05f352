//! The server on a network: HTTPS and HTTP/2 with curl, overload, stopping, what systemd and
//! containers ask for.

use std::fs;
use std::io::Write as _;
use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use serde_json::json;

use crate::node::{finish, node};
use crate::server::{ADMIN, PASSWORD, Port, Server};
use crate::stage::{Stage, text};
use crate::wire::{Client, Response};

const DEADLINE: Duration = Duration::from_secs(30);

/// A server that speaks HTTPS too, with a certificate of its own making in `cert.pem`.
fn start_https(folder: &Path) -> Server {
    let (cert_file, key_file) = make_certificate(folder);
    let arguments = ["--tls-cert", &cert_file, "--tls-key", &key_file, "--tls-port", "0"];
    Server::start_with(folder, Port::Free, &arguments.map(str::to_owned))
}

/// A certificate and its key, in files of these paths.
fn make_certificate(folder: &Path) -> (String, String) {
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(names).unwrap();
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let (cert_file, key_file) = (path("cert.pem"), path("key.pem"));
    fs::write(&cert_file, cert.pem()).unwrap();
    fs::write(&key_file, signing_key.serialize_pem()).unwrap();
    (cert_file, key_file)
}

/// What curl says: the body, then version and status.
fn curl(arguments: &[&str]) -> String {
    let mut command = Command::new("curl");
    command.args([
        "--silent",
        "--show-error",
        "--max-time",
        "30",
        "-w",
        "%{http_version} %{http_code}",
    ]);
    command.args(["-u", &format!("{ADMIN}:{PASSWORD}"), "-H", "Content-Type: application/json"]);
    let output = command.args(arguments).output().unwrap();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "curl {arguments:?}: {complaint}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn curl_over_tls_and_http_2() {
    let folder = tempfile::tempdir().unwrap();
    let server = start_https(folder.path());
    let plain = format!("http://localhost:{}", server.port());
    let secure = format!("https://localhost:{}", server.https_port());
    let cert = folder.path().join("cert.pem");
    let cert = cert.to_str().unwrap();
    let variants: [(&str, &str, &[&str]); 5] = [
        (&plain, "1.1", &["--http1.1"]),
        (&plain, "2", &["--http2-prior-knowledge"]),
        (&secure, "1.1", &["--cacert", cert, "--http1.1", "--tls-max", "1.2"]),
        (&secure, "2", &["--cacert", cert, "--http2", "--tlsv1.3"]),
        (&secure, "2", &["--cacert", cert, "--http2", "--tls-max", "1.2"]),
    ];
    let large = folder.path().join("large");
    fs::write(&large, vec![b'x'; 3_000_000]).unwrap();
    for (number, (address, version, how)) in variants.into_iter().enumerate() {
        let ask = |more: &[&str]| curl(&[how, more].concat());
        let db = format!("{address}/db{number}");
        assert_eq!(ask(&["-X", "PUT", &db]), format!("{{\"ok\":true}}\n{version} 201"));
        let attachment = format!("{db}/doc/a");
        let put = ask(&["-T", large.to_str().unwrap(), "-H", "Expect:", &attachment]);
        assert!(put.ends_with(&format!("{version} 201")), "{put}");
        let got = ask(&[&attachment]);
        assert_eq!(got.len(), 3_000_000 + version.len() + 4, "{version}");
        let feed = ask(&[&format!("{db}/_changes?feed=continuous&timeout=10")]);
        assert!(feed.contains("\"last_seq\""), "{feed}");
        let missing = ask(&["--get", "--data-urlencode", "a=\"b c\"", &format!("{db}/none")]);
        assert!(missing.ends_with(&format!("{version} 404")), "{missing}");
    }
}

#[test]
fn a_restart_takes_the_server_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    let (cert_file, key_file) = make_certificate(folder.path());
    let ini = folder.path().join("restart.ini");
    let text = format!(
        "[log]\nlevel = info\n[chttpd]\nport = 0\n\
         [ssl]\nport = 0\ncert_file = {cert_file}\nkey_file = {key_file}\n"
    );
    fs::write(&ini, text).unwrap();
    let arguments = ["--config".to_owned(), ini.to_str().unwrap().to_owned()];
    let server = Server::start_with(folder.path(), Port::Configured, &arguments);
    let log = || fs::read_to_string(folder.path().join("settee.log")).unwrap();
    let address = |protocol: &str| {
        let (log, prefix) = (log(), format!("the server listens at {protocol}://"));
        let (_, rest) = log.rsplit_once(&prefix).unwrap_or_else(|| panic!("{prefix} in {log}"));
        rest.split('/').next().unwrap().to_owned()
    };
    let ask = |host: &str, method: &str, path: &str, body: &str| {
        let json = ("Content-Type".to_owned(), "application/json".to_owned());
        let client = Client { host: host.to_owned() };
        client.send(method, path, &[json], Some(body.as_bytes())).unwrap().status
    };
    let restart = |host: &str| {
        let moved = log().matches("listens at http://").count();
        assert_eq!(ask(host, "POST", "/_node/_local/_restart", ""), 200);
        let end = Instant::now() + DEADLINE;
        while log().matches("listens at http://").count() == moved {
            assert!(Instant::now() < end, "{}", log());
            thread::sleep(Duration::from_millis(5));
        }
    };
    let first = format!("127.0.0.1:{}", server.port());
    let config = "/_node/_local/_config";
    let elsewhere = format!("{config}/chttpd/bind_address");
    assert_eq!(ask(&first, "PUT", &elsewhere, "\"127.0.0.2\""), 200);
    assert_eq!(ask(&first, "PUT", &format!("{config}/ssl/enable"), "\"true\""), 200);
    restart(&first);
    let (http, https) = (address("http"), address("https"));
    assert!(http.starts_with("127.0.0.2:") && https.starts_with("127.0.0.2:"), "{http} {https}");
    assert_eq!(ask(&http, "GET", "/_up", ""), 200);
    assert!(TcpStream::connect(&first).is_err(), "nobody listens there any more");
    let up = curl(&["--insecure", &format!("https://{https}/_up")]);
    assert!(up.ends_with(" 200"), "{up}");
    // The same port, at all addresses.
    let port = http.rsplit_once(':').unwrap().1.to_owned();
    assert_eq!(ask(&http, "PUT", &format!("{config}/chttpd/port"), &format!("\"{port}\"")), 200);
    assert_eq!(ask(&http, "PUT", &elsewhere, "\"any\""), 200);
    restart(&http);
    let first = format!("127.0.0.1:{port}");
    assert_eq!(ask(&first, "GET", "/_up", ""), 200);
    // An address that this machine does not have: everything stays where it was.
    assert_eq!(ask(&first, "PUT", &elsewhere, "\"203.0.113.7\""), 200);
    restart(&first);
    assert!(log().contains("the server listens where it did before"), "{}", log());
    assert_eq!(ask(&first, "GET", "/_up", ""), 200);
    assert_eq!(ask(&first, "PUT", &format!("{config}/ssl/enable"), "\"false\""), 200);
    restart(&first);
    assert!(TcpStream::connect(&https).is_err(), "HTTPS is off");
}

#[test]
fn a_node_has_the_name_it_is_given() {
    let folder = tempfile::tempdir().unwrap();
    let name = [("NODENAME", "db.example")];
    let server = Server::start_in(folder.path(), Port::Free, &[], &name);
    let client = Client::new(server.port());
    let get = |path: &str| {
        let response = client.send("GET", path, &[], None).unwrap();
        (response.status, text(&response))
    };
    let members =
        json!({"all_nodes": ["couchdb@db.example"], "cluster_nodes": ["couchdb@db.example"]});
    assert_eq!(get("/_membership"), (200, members.to_string()));
    assert_eq!(get("/_node/_local"), (200, json!({"name": "couchdb@db.example"}).to_string()));
    assert_eq!(get("/_node/couchdb@db.example/_config").0, 200);
    assert_eq!(get("/_node/settee@127.0.0.1/_config").0, 404);
}

#[test]
fn pouchdb_in_a_page_of_another_origin() {
    let folder = tempfile::tempdir().unwrap();
    let server = start_https(folder.path());
    let secure = format!("https://127.0.0.1:{}", server.https_port());
    finish(node("browser-cors.mjs", &server, &[&secure]).spawn().unwrap());
}

#[test]
fn systemd_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    manager.set_read_timeout(Some(DEADLINE)).unwrap();
    let next = || {
        let mut message = [0; 100];
        let length = manager.recv(&mut message).unwrap();
        String::from_utf8_lossy(&message[..length]).into_owned()
    };
    let environment = [("NOTIFY_SOCKET", path.to_str().unwrap()), ("WATCHDOG_USEC", "20000")];
    let mut server = Server::start_in(folder.path(), Port::Free, &[], &environment);
    assert_eq!(next(), "READY=1");
    assert_eq!(next(), "WATCHDOG=1");
    server.terminate();
    while next() != "STOPPING=1" {}
    assert_eq!(server.wait().code(), Some(0));
}

#[test]
fn a_second_signal_ends_the_server_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start(folder.path(), Port::Free);
    // A request that does not end: the first signal waits for it.
    let mut stream = TcpStream::connect(("127.0.0.1", server.port())).unwrap();
    let head = "POST /_session HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
                expect: 100-continue\r\ncontent-length: 100\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    let mut proceed = [0; 12];
    std::io::Read::read_exact(&mut stream, &mut proceed).unwrap();
    assert_eq!(&proceed, b"HTTP/1.1 100");
    server.terminate();
    // Nobody new is taken any more.
    while TcpStream::connect(("127.0.0.1", server.port())).is_ok() {
        thread::yield_now();
    }
    server.terminate();
    assert_eq!(server.wait().code(), Some(1));
}

#[test]
fn health() {
    let stage = Stage::new();
    let healthy = |port: u16| -> ExitStatus {
        let mut command = Command::new(env!("CARGO_BIN_EXE_settee"));
        command.args(["health", "--port", &port.to_string()]).stderr(Stdio::null());
        command.status().unwrap()
    };
    let port = stage.server.port();
    assert_eq!(healthy(port).code(), Some(0));
    let mode = "/_node/_local/_config/couchdb/maintenance_mode";
    stage.put(mode, &json!("true"));
    assert_eq!(healthy(port).code(), Some(1));
    stage.put(mode, &json!("false"));
    assert_eq!(healthy(port).code(), Some(0));
    drop(stage);
    assert_eq!(healthy(port).code(), Some(1));
}

fn is_refusal(response: &Response) -> bool {
    if response.status != 503 {
        return false;
    }
    let seconds = response.header("retry-after").and_then(|seconds| seconds.parse::<u8>().ok());
    assert!(seconds.is_some_and(|seconds| (1..=3).contains(&seconds)), "{seconds:?}");
    assert!(text(response).contains("\"service unavailable\""), "{}", text(response));
    true
}

#[test]
fn what_is_too_much_is_refused_at_once_and_the_rest_goes_on() {
    let stage = Stage::with(|_| vec!["--log-level=info".to_owned()]);
    let spin = "function (doc, req) { while (true) {} }";
    let ddoc = json!({"shows": {"spin": spin}, "language": "javascript"});
    stage.put("/db/_design/d", &ddoc);
    stage.put("/_node/_local/_config/couchdb/os_process_timeout", &json!("3000"));
    stage.put("/_node/_local/_config/chttpd/max_concurrent_requests", &json!("2"));
    let ask = |path: &str| stage.ask("GET", path, None);
    thread::scope(|scope| {
        let spin = || {
            loop {
                // What asks below may have taken the place.
                let spun = ask("/db/_design/d/_show/spin");
                if !is_refusal(&spun) {
                    return spun;
                }
            }
        };
        let spinning = [0, 1].map(|_| scope.spawn(spin));
        // Two that take long fill the places.
        while !is_refusal(&ask("/db")) {}
        assert_eq!(ask("/_up").status, 200);
        let limit = "/_node/_local/_config/chttpd/max_concurrent_requests";
        assert_eq!(text(&ask(limit)), "\"2\"");
        stage.put(limit, &json!("3"));
        assert_eq!(ask("/db").status, 200);
        stage.put(limit, &json!("2"));
        assert!(is_refusal(&ask("/db")));
        for spun in spinning {
            assert_eq!(spun.join().unwrap().status, 500);
        }
    });
    let log = stage.log();
    assert!(log.contains("http.method=\"GET\" http.path=\"/db\" http.status=503"), "{log}");
    assert_eq!(ask("/db").status, 200);
}

#[test]
fn connections_leave_files_for_the_store() {
    let stage = Stage::new();
    let pid = stage.server.pid().to_string();
    let limited = Command::new("prlimit").args(["--nofile=200:200", "--pid", &pid]).status();
    assert!(limited.unwrap().success());
    let feeds = |count: usize| -> Vec<_> {
        let feed = |_| {
            let feed = stage.ask_and_hold("/db/_changes?feed=continuous&heartbeat=1000");
            let mut begin = [0; 12];
            std::io::Read::read_exact(&mut &feed, &mut begin).unwrap();
            (feed, String::from_utf8_lossy(&begin).into_owned())
        };
        (0..count).map(feed).collect()
    };
    let held = feeds(140);
    assert!(held.iter().all(|(_, begin)| begin == "HTTP/1.1 200"));
    for n in 0..10 {
        stage.put(&format!("/db/{n}"), &json!({}));
    }
    // Three quarters of the files are 150.
    let more = feeds(20);
    let refused = more.iter().filter(|(_, begin)| begin == "HTTP/1.1 503").count();
    assert!((10..20).contains(&refused), "{refused} were refused");
    drop((held, more));
    let end = Instant::now() + DEADLINE;
    while stage.ask("GET", "/db", None).status != 200 {
        assert!(Instant::now() < end, "there is no room again");
    }
}

#[test]
fn a_crowd_of_logins_does_not_take_the_server() {
    let stage = Stage::new();
    // Whoever logs in with a new password is not known yet.
    stage.put("/_node/_local/_config/couch_passwords_cache/enable", &json!("false"));
    let pair = format!("name={ADMIN}&password={PASSWORD}");
    let form = ("Content-Type".to_owned(), "application/x-www-form-urlencoded".to_owned());
    let nobody = ("X-No-Auth".to_owned(), String::new());
    let client = Client::new(stage.server.port());
    let headers = [form, nobody.clone()];
    let statuses: Vec<u16> = thread::scope(|scope| {
        let log_in = || client.send("POST", "/_session", &headers, Some(pair.as_bytes())).unwrap();
        let crowd: Vec<_> = (0..60).map(|_| scope.spawn(log_in)).collect();
        // Others are served meanwhile.
        while crowd.iter().any(|one| !one.is_finished()) {
            let up = client.send("GET", "/", std::slice::from_ref(&nobody), None).unwrap();
            assert_eq!(up.status, 200);
        }
        let answers = crowd.into_iter().map(|one| one.join().unwrap());
        answers.map(|answer| if is_refusal(&answer) { 503 } else { answer.status }).collect()
    });
    let count = |status| statuses.iter().filter(|&&found| found == status).count();
    assert!(count(200) >= 1 && count(503) >= 1, "{statuses:?}");
    assert_eq!(count(200) + count(503), 60, "{statuses:?}");
}

#[test]
fn replication_over_tls_trusts_whom_it_is_told_to() {
    let folder = tempfile::tempdir().unwrap();
    let target = start_https(folder.path());
    let stage = Stage::new();
    stage.put("/db/doc", &json!({"over": "TLS"}));
    let there = |db: &str| {
        let port = target.https_port();
        json!({
            "source": format!("http://{ADMIN}:{PASSWORD}@{}/db", stage.client.host),
            "target": format!("https://{ADMIN}:{PASSWORD}@localhost:{port}/{db}"),
            "create_target": true,
        })
    };
    let configure = |key: &str, value: &str| {
        let path = format!("/_node/_local/_config/replicator/{key}");
        assert_eq!(stage.ask("PUT", &path, Some(&json!(value))).status, 200);
    };
    let replicate = |db: &str| stage.ask("POST", "/_replicate", Some(&there(db)));
    configure("retries_per_request", "0");
    let refused = replicate("untrusted");
    assert_eq!(refused.status, 500, "{}", text(&refused));
    let cert = folder.path().join("cert.pem");
    configure("ssl_trusted_certificates_file", cert.to_str().unwrap());
    let trusted = replicate("trusted");
    assert_eq!(trusted.status, 200, "{}", text(&trusted));
    configure("ssl_trusted_certificates_file", "/none/such.pem");
    assert_eq!(replicate("unreadable").status, 500);
    configure("verify_ssl_certificates", "false");
    let blind = replicate("blind");
    assert_eq!(blind.status, 200, "{}", text(&blind));
    let target = Client::new(target.port());
    for (db, status) in [("trusted", 200), ("blind", 200), ("untrusted", 404), ("unreadable", 404)]
    {
        let found = target.send("GET", &format!("/{db}/doc"), &[], None).unwrap();
        assert_eq!(found.status, status, "{db}");
    }
}
