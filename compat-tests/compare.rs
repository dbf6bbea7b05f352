//! How two JSON values and two response bodies are compared: what differs is told in words, and
//! what a server chooses for itself (sequences, sizes, identifiers) is compared by its type only.

use std::io::Read as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::read::GzDecoder;
use serde_json::{Map, Value, json};

/// Members whose value is the server's own, wherever they stand.
const VOLATILE: &[&str] = &[
    "seq",
    "last_seq",
    "update_seq",
    "committed_update_seq",
    "purge_seq",
    "instance_start_time",
    "sizes",
    "cluster",
    "uuid",
    "uuids",
    "session_id",
    "started_on",
    "updated_on",
    "pid",
    "bookmark",
    "git_sha",
    "vendor",
    "version",
    "features",
    "compact_running",
    "history",
    "_local_id",
    "start_time",
    "end_time",
    "start_last_seq",
    "end_last_seq",
    "recorded_seq",
    "execution_time_ms",
    "source_last_seq",
    "replication_id",
    "process_status",
    "changes_pending",
    "stack",
    "ref",
    "node",
    "local_seq",
    "_local_seq",
    "signature",
    "sig",
    "updater_running",
    "waiting_clients",
];
/// CouchDB's number for a stack trace: a server may leave it out.
const OPTIONAL: &[&str] = &["ref"];
const SHOWN_CHARACTERS: usize = 220;

/// The paths (dotted, `*` for any member or index) that an exchange compares less strictly.
#[derive(Debug, Default)]
pub struct Rules {
    /// Only the JSON type is compared here.
    pub loose: Vec<String>,
    /// The order of these arrays does not matter.
    pub unordered: Vec<String>,
}

/// The differences between two values, one line each.
pub fn differences(expected: &Value, actual: &Value, rules: &Rules) -> Vec<String> {
    let mut walk = Walk { rules, path: Vec::new(), found: Vec::new() };
    walk.compare(expected, actual);
    walk.found
}

struct Walk<'a> {
    rules: &'a Rules,
    path: Vec<String>,
    found: Vec<String>,
}

impl Walk<'_> {
    fn compare(&mut self, expected: &Value, actual: &Value) {
        let volatile = self.path.last().is_some_and(|name| VOLATILE.contains(&name.as_str()));
        if volatile || matches_path(&self.path, &self.rules.loose) {
            if kind(expected) != kind(actual) {
                self.tell(&format!(
                    "expected a {} such as {}, got {}",
                    kind(expected),
                    short(expected),
                    short(actual)
                ));
            }
            return;
        }
        match (expected, actual) {
            (Value::Object(expected), Value::Object(actual)) => self.objects(expected, actual),
            (Value::Array(expected), Value::Array(actual)) => self.arrays(expected, actual),
            _ if expected != actual => {
                self.tell(&format!("expected {}, got {}", short(expected), short(actual)));
            }
            _ => {}
        }
    }

    fn objects(&mut self, expected: &Map<String, Value>, actual: &Map<String, Value>) {
        for (key, wanted) in expected {
            match actual.get(key) {
                Some(got) => self.below(key, wanted, got),
                None if OPTIONAL.contains(&key.as_str()) => {}
                None => {
                    self.tell(&format!("member '{key}' is missing (expected {})", short(wanted)));
                }
            }
        }
        for (key, got) in actual.iter().filter(|(key, _)| !expected.contains_key(*key)) {
            self.tell(&format!("member '{key}' is not expected (got {})", short(got)));
        }
    }

    fn arrays(&mut self, expected: &[Value], actual: &[Value]) {
        if expected.len() != actual.len() {
            let got = short(&Value::Array(actual.to_vec()));
            let (wanted, count) = (expected.len(), actual.len());
            self.tell(&format!("expected {wanted} items, got {count}: {got}"));
            return;
        }
        let (mut expected, mut actual) = (expected.to_vec(), actual.to_vec());
        if matches_path(&self.path, &self.rules.unordered) {
            expected.sort_by_cached_key(canonical);
            actual.sort_by_cached_key(canonical);
        }
        for (index, (wanted, got)) in expected.iter().zip(&actual).enumerate() {
            self.below(&index.to_string(), wanted, got);
        }
    }

    fn below(&mut self, step: &str, expected: &Value, actual: &Value) {
        self.path.push(step.to_owned());
        self.compare(expected, actual);
        self.path.pop();
    }

    fn tell(&mut self, what: &str) {
        let place = if self.path.is_empty() { "(body)".to_owned() } else { self.path.join(".") };
        self.found.push(format!("{place}: {what}"));
    }
}

fn matches_path(path: &[String], patterns: &[String]) -> bool {
    patterns.iter().any(|pattern| {
        let steps: Vec<&str> = pattern.split('.').collect();
        let same = |(step, name): (&&str, &String)| *step == "*" || *step == name.as_str();
        steps.len() == path.len() && steps.iter().zip(path).all(same)
    })
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// One text for all values that differ only in the order of members.
pub fn canonical(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let mut sorted: Vec<String> = members
                .iter()
                .map(|(key, value)| format!("{}: {}", json!(key), canonical(value)))
                .collect();
            sorted.sort();
            format!("{{{}}}", sorted.join(", "))
        }
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(canonical).collect();
            format!("[{}]", items.join(", "))
        }
        plain => plain.to_string(),
    }
}

/// A value's JSON, cut where it gets long.
pub fn short(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(SHOWN_CHARACTERS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// A body in the form a transcript holds it: an object with one member `json`, `lines` (a feed of
/// JSON lines), `parts`, `text` or `b64`; no member for an empty body.
pub fn parse_body(content_type: &str, body: &[u8], encoding: &str) -> Map<String, Value> {
    if let Some(parts) = parse_multipart(content_type, body) {
        return form("parts", Value::Array(parts));
    }
    let mut plain = Vec::new();
    let unpacked = encoding == "gzip" && GzDecoder::new(body).read_to_end(&mut plain).is_ok();
    let body = if unpacked { plain.as_slice() } else { body };
    if body.is_empty() {
        return Map::new();
    }
    let Ok(text) = std::str::from_utf8(body) else {
        return form("b64", STANDARD.encode(body).into());
    };
    if let Ok(value) = serde_json::from_str(text.trim()) {
        return form("json", value);
    }
    let lines = text.split('\n').filter(|line| !line.trim().is_empty());
    match lines.map(serde_json::from_str).collect::<Result<Vec<Value>, _>>() {
        Ok(lines) => form("lines", Value::Array(lines)),
        Err(_) => form("text", text.into()),
    }
}

fn form(name: &str, value: Value) -> Map<String, Value> {
    Map::from_iter([(name.to_owned(), value)])
}

fn parse_multipart(content_type: &str, body: &[u8]) -> Option<Vec<Value>> {
    let boundary = boundary(content_type)?;
    if !content_type.to_ascii_lowercase().starts_with("multipart/") {
        return None;
    }
    let delimiter = format!("--{boundary}");
    let mut parts = Vec::new();
    for piece in split(body, delimiter.as_bytes()).into_iter().skip(1) {
        if piece.starts_with(b"--") {
            break;
        }
        parts.push(parse_part(piece));
    }
    Some(parts)
}

fn parse_part(piece: &[u8]) -> Value {
    let end = piece.windows(4).position(|four| four == b"\r\n\r\n");
    let (head, content) = match end {
        Some(end) => (&piece[..end], &piece[end + 4..]),
        None => (piece, &[][..]),
    };
    let content = content.strip_suffix(b"\r\n").unwrap_or(content);
    let mut headers = Map::new();
    for line in String::from_utf8_lossy(head).split("\r\n") {
        if let Some((name, value)) = line.split_once(':') {
            headers.insert(name.trim().to_ascii_lowercase(), value.trim().into());
        }
    }
    let text = |name: &str| headers.get(name).and_then(Value::as_str).unwrap_or("").to_owned();
    let (content_type, encoding) = (text("content-type"), text("content-encoding"));
    let mut part = parse_body(&content_type, content, &encoding);
    if !encoding.is_empty() {
        headers.shift_remove("content-length");
    }
    if headers.contains_key("content-type") {
        let masked = mask_boundary(&content_type, &content_type);
        headers.insert("content-type".to_owned(), masked.into());
    }
    part.insert("headers".to_owned(), Value::Object(headers));
    Value::Object(part)
}

fn split<'a>(body: &'a [u8], delimiter: &[u8]) -> Vec<&'a [u8]> {
    let (mut pieces, mut start, mut at) = (Vec::new(), 0, 0);
    while at + delimiter.len() <= body.len() {
        if body[at..].starts_with(delimiter) {
            pieces.push(&body[start..at]);
            at += delimiter.len();
            start = at;
        } else {
            at += 1;
        }
    }
    pieces.push(&body[start..]);
    pieces
}

fn boundary(content_type: &str) -> Option<&str> {
    let (_, rest) = content_type.split_once("boundary=")?;
    let rest = rest.strip_prefix('"').unwrap_or(rest);
    let end = rest.find(['"', ';']).unwrap_or(rest.len());
    Some(&rest[..end]).filter(|boundary| !boundary.is_empty())
}

/// Multipart boundaries are random: `text` with the one of `content_type` written as BOUNDARY.
pub fn mask_boundary(text: &str, content_type: &str) -> String {
    match boundary(content_type) {
        Some(boundary) => text.replace(boundary, "BOUNDARY"),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::{Rules, differences, parse_body};
    use serde_json::{Value, json};

    #[test]
    fn what_differs_is_told() {
        let rules = Rules { loose: vec!["rows.*.rev".into()], unordered: vec!["set".into()] };
        let check = |expected: Value, actual: Value, told: &[&str]| {
            assert_eq!(differences(&expected, &actual, &rules), told);
        };
        check(json!({"a": 1, "seq": "1-x"}), json!({"seq": "2-y", "a": 1}), &[]);
        check(
            json!({"seq": "1"}),
            json!({"seq": 1}),
            &["seq: expected a string such as \"1\", got 1"],
        );
        check(json!({"a": 1}), json!({"a": 1.0}), &["a: expected 1, got 1.0"]);
        check(
            json!({"a": 1, "ref": 2}),
            json!({"b": 1}),
            &[
                "(body): member 'a' is missing (expected 1)",
                "(body): member 'b' is not expected (got 1)",
            ],
        );
        check(json!([1, 2]), json!([1]), &["(body): expected 2 items, got 1: [1]"]);
        check(json!({"set": [{"x": 1}, 2]}), json!({"set": [2, {"x": 1}]}), &[]);
        check(
            json!({"list": [1, 2]}),
            json!({"list": [2, 1]}),
            &["list.0: expected 1, got 2", "list.1: expected 2, got 1"],
        );
        check(json!({"rows": [{"rev": "a"}]}), json!({"rows": [{"rev": "b"}]}), &[]);
    }

    #[test]
    fn bodies_are_recognised() {
        let check = |content_type: &str, body: &[u8], wanted: Value| {
            assert_eq!(Value::Object(parse_body(content_type, body, "")), wanted);
        };
        check("", b"", json!({}));
        check("", b" {\"a\":1}\n", json!({"json": {"a": 1}}));
        check("", b"{\"a\":1}\n\n{\"b\":2}\n", json!({"lines": [{"a": 1}, {"b": 2}]}));
        check("", b"hello", json!({"text": "hello"}));
        check("", b"\xff", json!({"b64": "/w=="}));
        check(
            "multipart/mixed; boundary=\"xyz\"",
            b"--xyz\r\nContent-Type: application/json\r\n\r\n{}\r\n--xyz--",
            json!({"parts": [{"json": {}, "headers": {"content-type": "application/json"}}]}),
        );
    }
}
