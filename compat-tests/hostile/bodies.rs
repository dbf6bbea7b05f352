//! Bodies that are not what they say, too deep, too large, or cut.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::generator::{BODIES, Generator};

impl Generator {
    pub fn multipart(&mut self) -> Vec<u8> {
        const STUB: &str = "{\"_attachments\":{\"a\":{\"follows\":true,\"length\":5,\
            \"content_type\":\"x\"},\"b\":{\"follows\":true,\"length\":99999999999}}}";
        let types = [
            "multipart/related;boundary=\"abc\"",
            "multipart/related;boundary=abc",
            "multipart/related",
            "multipart/related;boundary=",
            "multipart/related;boundary=\"",
            "multipart/form-data;boundary=abc",
            "multipart/form-data",
            "multipart/mixed;boundary=abc;boundary=abd",
        ];
        let parts = [
            "--abc\r\nContent-Type: application/json\r\n\r\n",
            "--abc\r\n\r\n",
            "--abc\r\n",
            "--abc--",
            "--abc",
            "\r\n--abc\r\n",
            "hello",
            "\r\n",
            STUB,
            "{\"_attachments\":{\"a\":{\"follows\":true}}}",
            "{\"_attachments\":{\"a\":{\"data\":\"!!\"}}}",
            "{\"_attachments\":[]}",
            "Content-Disposition: form-data; name=\"_doc\"\r\n\r\n{}",
            "Content-Disposition: attachment; filename=\"a\r\nX-Injected: 1\"\r\n\r\nhello",
            "Content-Encoding: gzip\r\n\r\n",
            "\0\0\0",
        ];
        let mut body = String::new();
        for _ in 0..self.random.below(8) {
            body += self.random.pick(&parts);
        }
        if self.random.one_in(10) {
            body += &"--abc\r\nX: ".repeat(1 + self.random.below(5000));
        }
        let kind = format!("Content-Type: {}", self.random.pick(&types));
        let (method, path) = self.random.pick(&[
            ("PUT", "/db/multi?new_edits=false"),
            ("PUT", "/db/multi"),
            ("POST", "/db/doc"),
            ("POST", "/db"),
            ("POST", "/db/_bulk_docs"),
        ]);
        self.request(method, path, &[kind], body.as_bytes())
    }

    pub fn json(&mut self) -> Vec<u8> {
        let depth = 1 + self.random.below(200_000);
        let digits = 1 + self.random.below(300_000);
        let bodies: [Vec<u8>; 22] = [
            "[".repeat(depth).into_bytes(),
            "{\"a\":".repeat(depth).into_bytes(),
            format!("{}1{}", "{\"a\":".repeat(depth), "}".repeat(depth)).into_bytes(),
            format!("{{\"docs\":{}{}}}", "[".repeat(depth), "]".repeat(depth)).into_bytes(),
            format!("{{\"selector\":{}1{}}}", "{\"$not\":".repeat(depth), "}".repeat(depth))
                .into_bytes(),
            format!("{{\"keys\":[{}1]}}", "1,".repeat(depth)).into_bytes(),
            format!("{{\"a\":{}}}", "9".repeat(digits)).into_bytes(),
            format!("{{\"a\":1e{}}}", "9".repeat(digits.min(20))).into_bytes(),
            b"{\"a\":\"\\ud800\"}".to_vec(),
            b"{\"a\":\"\xff\xfe\"}".to_vec(),
            b"{\"a\":\"\0\"}".to_vec(),
            b"\xef\xbb\xbf{}".to_vec(),
            b"{\"_id\":5,\"_rev\":{},\"_deleted\":\"x\",\"_attachments\":7}".to_vec(),
            b"{\"_revisions\":{\"start\":-5,\"ids\":[\"a\",1]},\"_id\":\"r\"}".to_vec(),
            b"{\"_id\":\"_bad\",\"docs\":[null,1,\"a\",[],{\"_id\":null}]}".to_vec(),
            b"{\"docs\":[{\"id\":5,\"rev\":[]},{\"id\":\"doc\",\"rev\":\"x\"},{}]}".to_vec(),
            b"{\"keys\":{\"a\":1},\"queries\":[1,null,{\"keys\":5}],\"doc_ids\":\"a\"}".to_vec(),
            b"{\"doc\":[\"1-x\"],\"a\":{\"b\":1},\"c\":[5,null]}".to_vec(),
            b"{\"source\":\"http://127.0.0.1:1/x\",\"target\":5}".to_vec(),
            b"{\"views\":{\"v\":{\"map\":\"function(\"}},\"language\":\"cobol\"}".to_vec(),
            b"null".to_vec(),
            b"".to_vec(),
        ];
        let at = self.random.below(bodies.len());
        self.json_request(&bodies[at])
    }

    pub fn types(&mut self) -> Vec<u8> {
        let types = [
            "",
            "application/json;charset=utf-16",
            "text/plain",
            "application/jsonx",
            "\u{e4}/\u{e4}",
            "application/json, text/html",
            "a/b;c=\"\r\nX-Injected: 1",
            "multipart/form-data",
            "json",
            "application/x-www-form-urlencoded",
            "application/json;;;;;;",
        ];
        let kind = format!("Content-Type: {}", self.random.pick(&types));
        let (method, path) = self.random.pick(&BODIES);
        let body = self.random.pick(&["{}", "name=%zz&password", "a=1&a=2", "\u{0}", "<xml/>"]);
        self.request(method, path, &[kind], body.as_bytes())
    }

    pub fn ranges(&mut self) -> Vec<u8> {
        let many = format!("bytes={}", vec!["0-9999"; 1 + self.random.below(5000)].join(","));
        let ranges = [
            many.as_str(),
            "bytes=-0",
            "bytes=9999999999999999999999-",
            "bytes=5-1",
            "bytes=-99999999999999999999",
            "bytes=0-0,0-0,-1",
            "bytes=",
            "bytes",
            "chunks=1-2",
            "bytes=a-b",
            "bytes=1--2",
            "bytes= 1 - 2 ",
            "bytes=0-18446744073709551615",
        ];
        let header = format!("Range: {}", self.random.pick(&ranges));
        let method = self.random.pick(&["GET", "HEAD"]);
        self.request(method, "/db/attached/a.bin", &[header], b"")
    }

    pub fn gzip(&mut self) -> Vec<u8> {
        let mut bomb = GzEncoder::new(Vec::new(), Compression::fast());
        let megabytes = [0, 1, 5, 40][self.random.below(4)];
        let piece = vec![self.random.pick(b" 0[{\"\0"); 1 << 16];
        for _ in 0..megabytes * 16 {
            bomb.write_all(&piece).unwrap();
        }
        bomb.write_all(b"{}").unwrap();
        let mut body = bomb.finish().unwrap();
        match self.random.below(6) {
            0 => body.truncate(body.len() / 2),
            1 => body.extend_from_slice(b"trailing"),
            2 => body = self.random.bytes(100),
            3 => body = [body.clone(), body].concat(),
            _ => {}
        }
        let encoding = self.random.pick(&["gzip", "gzip", "gzip", "gzip, gzip", "deflate", "GZIP"]);
        let (method, path) = self.random.pick(&BODIES);
        let headers =
            ["Content-Type: application/json".to_owned(), format!("Content-Encoding: {encoding}")];
        self.request(method, path, &headers, &body)
    }
}
