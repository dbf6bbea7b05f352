//! What is sent: one kind of malice a request.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::random::Random;
use crate::server::{ADMIN, PASSWORD};

/// A header that no answer may have.
pub const INJECTED: &str = "x-injected:";

/// One request, or what is none.
pub struct Shot {
    pub kind: &'static str,
    pub bytes: Vec<u8>,
    /// Whether the client says that nothing more will come.
    pub half_close: bool,
}

impl Shot {
    /// Its begin, for a complaint.
    pub fn shown(&self) -> String {
        let begin = &self.bytes[..self.bytes.len().min(600)];
        format!("{} bytes: {:?}", self.bytes.len(), String::from_utf8_lossy(begin))
    }
}

pub struct Generator {
    pub random: Random,
}

type Kind = (&'static str, fn(&mut Generator) -> Vec<u8>);

const KINDS: [Kind; 15] = [
    ("escapes", Generator::escapes),
    ("parameters", Generator::parameters),
    ("headers", Generator::headers),
    ("lengths", Generator::lengths),
    ("chunks", Generator::chunks),
    ("truncated", Generator::truncated),
    ("multipart", Generator::multipart),
    ("json", Generator::json),
    ("types", Generator::types),
    ("ranges", Generator::ranges),
    ("gzip", Generator::gzip),
    ("credentials", Generator::credentials),
    ("http2", Generator::http2),
    ("smuggling", Generator::smuggling),
    ("mutations", Generator::mutations),
];

const METHODS: [&str; 8] = ["GET", "PUT", "POST", "DELETE", "COPY", "HEAD", "OPTIONS", "PATCH"];

/// Paths that take something, with the method that they take it by.
pub const BODIES: [(&str, &str); 22] = [
    ("PUT", "/db/new"),
    ("POST", "/db"),
    ("PUT", "/db/_local/l"),
    ("PUT", "/db/_design/x"),
    ("POST", "/db/_bulk_docs"),
    ("POST", "/db/_bulk_get"),
    ("POST", "/db/_all_docs"),
    ("POST", "/db/_all_docs/queries"),
    ("POST", "/db/_changes?filter=_doc_ids"),
    ("POST", "/db/_changes?filter=_selector"),
    ("POST", "/db/_revs_diff"),
    ("POST", "/db/_missing_revs"),
    ("POST", "/db/_purge"),
    ("PUT", "/db/_security"),
    ("PUT", "/db/_revs_limit"),
    ("POST", "/db/_design/d/_view/v"),
    ("POST", "/db/_design/d/_update/u"),
    ("POST", "/_session"),
    ("POST", "/_dbs_info"),
    ("POST", "/_replicate"),
    ("PUT", "/db/attached/b.bin"),
    ("POST", "/db/_find"),
];

const READS: [&str; 20] = [
    "/",
    "/_all_dbs",
    "/_uuids",
    "/_session",
    "/db",
    "/db/doc",
    "/db/_all_docs",
    "/db/_changes",
    "/db/_design/d",
    "/db/_design/d/_view/v",
    "/db/_design/d/_show/s/doc",
    "/db/_design/d/_list/l/v",
    "/db/_design/d/_rewrite/a/b",
    "/db/_design/d/_info",
    "/db/_local_docs",
    "/db/attached/a.bin",
    "/db/_security",
    "/_active_tasks",
    "/_db_updates",
    "/_scheduler/docs",
];

const PARAMETERS: [&str; 36] = [
    "limit",
    "skip",
    "startkey",
    "endkey",
    "start_key_doc_id",
    "key",
    "keys",
    "descending",
    "include_docs",
    "conflicts",
    "attachments",
    "att_encoding_info",
    "revs",
    "revs_info",
    "open_revs",
    "rev",
    "atts_since",
    "latest",
    "since",
    "style",
    "filter",
    "view",
    "doc_ids",
    "seq_interval",
    "group",
    "group_level",
    "reduce",
    "stable",
    "update",
    "sorted",
    "inclusive_end",
    "count",
    "batch",
    "new_edits",
    "callback",
    "buffer_response",
];
const VALUES: [&str; 30] = [
    "",
    "-1",
    "0",
    "99999999999999999999999",
    "1e400",
    "1.5",
    "true",
    "false",
    "null",
    "[",
    "]",
    "{}",
    "[[[[[[[[",
    "\"a",
    "\"%00\"",
    "\"\\ud800\"",
    "%ff",
    "all",
    "[\"1-a\"]",
    "[\"1-967a00dff5e02add41819138abb3284d\"]",
    "1-x",
    "999999999999-a",
    "_view",
    "_design",
    "d/none",
    "d/v",
    "a%0d%0aX-Injected: 1",
    "undefined",
    "NaN",
    "{\"%ff\":1}",
];

impl Generator {
    pub fn new(seed: u64, number: u64) -> Self {
        let mut random = Random::new(seed.rotate_left(32) ^ number);
        random.next();
        Self { random }
    }

    pub fn shot(mut self) -> Shot {
        let (kind, make) = self.random.pick(&KINDS);
        let bytes = make(&mut self);
        let half_close =
            self.random.one_in(4) || matches!(kind, "truncated" | "lengths" | "chunks");
        Shot { kind, bytes, half_close }
    }

    /// A whole request, by the server's admin more often than not.
    pub fn request(
        &mut self,
        method: &str,
        path: &str,
        headers: &[String],
        body: &[u8],
    ) -> Vec<u8> {
        // The database itself is needed to the end.
        let spared = method == "DELETE" && !path.contains("/doc") && !path.contains("/attached");
        let method = if spared { "OPTIONS" } else { method };
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n");
        if !self.random.one_in(3) {
            let pair = STANDARD.encode(format!("{ADMIN}:{PASSWORD}"));
            head += &["Authorization: Basic ", &pair, "\r\n"].concat();
        }
        let framed = headers.iter().any(|header| {
            let header = header.to_ascii_lowercase();
            header.contains("content-length") || header.contains("transfer-encoding")
        });
        if !framed && (!body.is_empty() || matches!(method, "PUT" | "POST")) {
            head += &["Content-Length: ", &body.len().to_string(), "\r\n"].concat();
        }
        for header in headers {
            head += header;
            head += "\r\n";
        }
        head += "\r\n";
        [head.as_bytes(), body].concat()
    }

    pub fn json_request(&mut self, body: &[u8]) -> Vec<u8> {
        let (method, path) = self.random.pick(&BODIES);
        self.request(method, path, &["Content-Type: application/json".to_owned()], body)
    }

    fn escapes(&mut self) -> Vec<u8> {
        const PARTS: [&str; 28] = [
            "%",
            "%z",
            "%zz",
            "%0",
            "%00",
            "%ff",
            "%FF%FE",
            "%c3%28",
            "%ed%a0%80",
            "%2f",
            "%2F..",
            "..",
            ".",
            "//",
            "%2e%2e",
            "%0d%0aX-Injected:%201",
            "%0aX-Injected: 1",
            "+",
            "%2B",
            "_design%2Fd",
            "_design/",
            "_local%2f",
            "%25",
            ";",
            "%5c",
            "~",
            "db",
            "doc",
        ];
        let mut path = String::new();
        for _ in 0..=self.random.below(8) {
            if !self.random.one_in(3) {
                path.push('/');
            }
            path += self.random.pick(&PARTS);
        }
        if self.random.one_in(10) {
            path += &"a".repeat(self.random.below(100_000));
        }
        let method = self.random.pick(&METHODS);
        self.request(method, &format!("/{path}"), &[], b"")
    }

    fn parameters(&mut self) -> Vec<u8> {
        let mut path = self.random.pick(&READS).to_owned();
        for at in 0..=self.random.below(5) {
            path.push(if at == 0 { '?' } else { self.random.pick(&['&', ';', '?']) });
            path += self.random.pick(&PARAMETERS);
            if !self.random.one_in(10) {
                path.push('=');
            }
            path += self.random.pick(&VALUES);
        }
        let method = self.random.pick(&["GET", "GET", "HEAD", "DELETE", "COPY", "POST"]);
        self.request(method, &path, &[], b"")
    }

    fn headers(&mut self) -> Vec<u8> {
        let large = self.random.below(100_000);
        let many = self.random.below(300);
        let strange = [
            format!("X-Large: {}", "x".repeat(large)),
            vec!["X-Many: 1"; many.max(1)].join("\r\n"),
            "No colon".to_owned(),
            ": no name".to_owned(),
            "X Space: 1".to_owned(),
            "X-Fold: 1\r\n folded\r\n\tmore".to_owned(),
            "X-Nul: a\0b".to_owned(),
            "X-Bell: \x07".to_owned(),
            "Host: a\r\nHost: b".to_owned(),
            "Host: a\"><script>".to_owned(),
            "Host: \r\nX-Forwarded-Host: evil\r\nX-Forwarded-Proto: gopher".to_owned(),
            "X-Couch-Request-ID: a\rX-Injected: 1".to_owned(),
            "X-Couch-Request-ID: ../../etc/passwd".to_owned(),
            "X-HTTP-Method-Override: GET / HTTP/1.1".to_owned(),
            "X-HTTP-Method-Override: \u{e4}".to_owned(),
            "If-None-Match: \"".to_owned() + &"a\",\"".repeat(1000),
            "If-Match: -1-\u{0}".to_owned(),
            "Destination: http://x/%zz?rev=".to_owned(),
            "Destination: \u{e4}%ff".to_owned(),
            "Origin: null\r\nAccess-Control-Request-Method: \u{fc}".to_owned(),
            "Accept: */*;q=99999999999999,".repeat(500),
            "Accept: multipart/mixed;boundary=\"a\r\nX-Injected: 1\"".to_owned(),
            "Accept-Encoding: gzip;q=-1, zstd;q=1e999".to_owned(),
            "X-CouchDB-WWW-Authenticate: Basic\tx".to_owned(),
            "Expect: 200-maybe".to_owned(),
            "Upgrade: websocket\r\nConnection: upgrade".to_owned(),
            "Upgrade: h2c\r\nHTTP2-Settings: !!!\r\nConnection: Upgrade, HTTP2-Settings".to_owned(),
            "Last-Event-ID: \u{ff}".to_owned(),
            "Prefer: return=minimal, ".repeat(300),
        ];
        let header = strange[self.random.below(strange.len())].clone();
        let path = self.random.pick(&READS);
        let method = self.random.pick(&METHODS);
        self.request(method, path, &[header], b"")
    }

    fn lengths(&mut self) -> Vec<u8> {
        let lengths = [
            "Content-Length: 5\r\nContent-Length: 7",
            "Content-Length: 5, 5",
            "Content-Length: -1",
            "Content-Length: +5",
            "Content-Length: 0x5",
            "Content-Length: 5 5",
            "Content-Length:",
            "Content-Length: 18446744073709551616",
            "Content-Length: 9223372036854775807",
            "Content-Length: 4294967297",
            "Content-Length: 10000000",
            "Content-Length : 5",
            "Content-Length: 5\u{b}",
            "Content-Length: \u{ff15}",
        ];
        let header = self.random.pick(&lengths).to_owned();
        let (method, path) = self.random.pick(&BODIES);
        self.request(
            method,
            path,
            &["Content-Type: application/json".to_owned(), header],
            b"{\"a\":1}",
        )
    }

    fn chunks(&mut self) -> Vec<u8> {
        let bodies: [&[u8]; 14] = [
            b"zz\r\n{}\r\n0\r\n\r\n",
            b"-2\r\n{}\r\n0\r\n\r\n",
            b"2\r\n{}0\r\n\r\n",
            b"2\n{}\n0\n\n",
            b"ffffffffffffffff\r\n{}\r\n0\r\n\r\n",
            b"fffffffffffffffffffff\r\n{}\r\n0\r\n\r\n",
            b"2;a=\"\r\nX: 1\"\r\n{}\r\n0\r\n\r\n",
            b"2\r\n{}\r\n0\r\nX-Injected: 1\r\nContent-Length: 5\r\n\r\n",
            b"2\r\n{}\r\n",
            b"2 \r\n{}\r\n0 \r\n\r\n",
            b"0x2\r\n{}\r\n0\r\n\r\n",
            b"\r\n\r\n\r\n",
            b"2\r\n{}\r\n0",
            b"80000000\r\n",
        ];
        let mut body = self.random.pick(&bodies).to_vec();
        if self.random.one_in(5) {
            body = format!("2;{}\r\n{{}}\r\n0\r\n\r\n", "x".repeat(200_000)).into_bytes();
        }
        let (method, path) = self.random.pick(&BODIES);
        let headers = ["Content-Type: application/json", "Transfer-Encoding: chunked"];
        self.request(method, path, &headers.map(str::to_owned), &body)
    }

    fn truncated(&mut self) -> Vec<u8> {
        let body = b"{\"_id\":\"truncated\",\"docs\":[{\"_id\":\"a\",\"b\":[1,2,{\"c\":\"d\"}]}]}";
        let mut bytes = self.json_request(body);
        let keep = self.random.below(bytes.len());
        bytes.truncate(keep);
        bytes
    }

    fn credentials(&mut self) -> Vec<u8> {
        let noise = self.random.below(3000);
        let noise = STANDARD.encode(self.random.bytes(noise));
        let header = match self.random.below(12) {
            0 => format!("Authorization: Basic {noise}"),
            1 => "Authorization: Basic".to_owned(),
            2 => format!("Authorization: Basic {}", STANDARD.encode("no colon")),
            3 => format!("Authorization: Bearer {noise}"),
            4 => {
                let claims = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiJ9";
                format!("Authorization: Bearer {claims}.{noise}")
            }
            5 => "Authorization: Bearer eyJhbGciOiJIUzI1NiJ9..".to_owned(),
            6 => format!("Cookie: AuthSession={noise}"),
            7 => "Cookie: AuthSession=YWRtaW46RkZGRkZGRkY6AAAA; AuthSession=\"".to_owned(),
            8 => format!("Cookie: {}", "a=b; ".repeat(2000)),
            9 => "Cookie: AuthSession=;;;=;=\u{e4}".to_owned(),
            10 => "X-Auth-CouchDB-UserName: admin\r\nX-Auth-CouchDB-Roles: _admin".to_owned(),
            _ => format!("Authorization: {noise}"),
        };
        let path = self.random.pick(&READS);
        let mut head = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n");
        head += &header;
        (head + "\r\n\r\n").into_bytes()
    }

    fn http2(&mut self) -> Vec<u8> {
        let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        if self.random.one_in(5) {
            bytes.truncate(self.random.below(24));
        }
        if !self.random.one_in(3) {
            // Settings without any.
            bytes.extend_from_slice(&[0, 0, 0, 4, 0, 0, 0, 0, 0]);
        }
        for _ in 0..self.random.below(200) {
            let length = self.random.pick(&[0, 1, 4, 5, 8, 100, 16_384]);
            let claimed =
                if self.random.one_in(8) { 0x00ff_ffff } else { u32::try_from(length).unwrap() };
            let stream = self.random.pick(&[0, 1, 2, 3, 5, 0x7fff_ffff, 0x8000_0001]);
            // DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY...
            let kind = u8::try_from(self.random.below(12)).unwrap();
            bytes.extend_from_slice(&claimed.to_be_bytes()[1..]);
            bytes.extend_from_slice(&[kind, self.random.next().to_be_bytes()[0]]);
            bytes.extend_from_slice(&u32::to_be_bytes(stream));
            let payload = self.random.bytes(length);
            bytes.extend_from_slice(&payload);
        }
        bytes
    }

    fn smuggling(&mut self) -> Vec<u8> {
        let inner = "GET /_all_dbs HTTP/1.1\r\nHost: x\r\n\r\n";
        let chunked = format!("0\r\n\r\n{inner}");
        let encodings = [
            "Transfer-Encoding: chunked",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
            "Transfer-Encoding: xchunked",
            "Transfer-Encoding : chunked",
            "Transfer-Encoding: chunked, gzip",
            "Transfer-Encoding: gzip, chunked",
            "Transfer-Encoding:\u{b}chunked",
            "Transfer-Encoding: \"chunked\"",
            "X: y\nTransfer-Encoding: chunked",
            "Transfer-Encoding\r\n: chunked",
        ];
        let encoding = self.random.pick(&encodings);
        let length = self.random.pick(&[0, 3, 5, chunked.len()]);
        let length = format!("Content-Length: {length}");
        let headers = if self.random.one_in(2) { [encoding, &length] } else { [&length, encoding] };
        let headers = headers.map(str::to_owned);
        let (method, path) =
            self.random.pick(&[("POST", "/_session"), ("GET", "/"), ("PUT", "/db/s")]);
        let mut bytes = self.request(method, path, &headers, chunked.as_bytes());
        for _ in 0..self.random.below(50) {
            bytes.extend_from_slice(inner.as_bytes());
        }
        bytes
    }

    /// Good requests with a few bytes changed.
    fn mutations(&mut self) -> Vec<u8> {
        let mut bytes = if self.random.one_in(2) {
            let path = self.random.pick(&READS);
            self.request("GET", path, &["Accept: */*".to_owned()], b"")
        } else {
            self.json_request(b"{\"docs\":[{\"_id\":\"m\",\"id\":\"doc\"}],\"keys\":[\"doc\"]}")
        };
        for _ in 0..=self.random.below(6) {
            let at = self.random.below(bytes.len());
            let byte = if self.random.one_in(2) {
                self.random.pick(b"\0\r\n :;/%\"<>{}[],=&?\xff\x80")
            } else {
                self.random.next().to_be_bytes()[0]
            };
            match self.random.below(3) {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => {
                    bytes.remove(at);
                }
            }
        }
        bytes
    }
}
