//! Transcripts recorded from Apache CouchDB, replayed against the server: the same requests in
//! the same order must get the same status, headers and body. What differs on purpose is listed
//! in `differences.json` with its reason; a difference that is not listed fails, and so does a
//! listed one that is no longer there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use regex::{Captures, Regex};
use serde::Deserialize;
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::compare::{Rules, canonical, differences, mask_boundary, parse_body, short};
use crate::server::{ADMIN, PASSWORD, Port, Server};
use crate::wire::{Client, Response};

/// The areas that are not replayed yet, each with what it waits for.
const WAITING: &[(&str, &str)] = &[];
/// The same for single scenarios of areas that are replayed.
const WAITING_SCENARIOS: &[(&str, &str)] = &[];
const REPLAYED: &[&str] = &[
    "documents",
    "changes",
    "attachments",
    "auth_and_server",
    "views",
    "design_functions",
    "replicator",
    "mango",
];

const COMPARED_HEADERS: &[&str] = &[
    "content-type",
    "etag",
    "location",
    "cache-control",
    "content-md5",
    "content-encoding",
    "content-range",
    "accept-ranges",
    "allow",
    "vary",
    "www-authenticate",
    "x-couch-update-newrev",
    "x-couch-id",
    "access-control-allow-origin",
    "access-control-allow-credentials",
    "access-control-allow-methods",
    "access-control-allow-headers",
    "access-control-expose-headers",
    "access-control-max-age",
    "content-disposition",
    "content-security-policy",
    "deprecation",
    "sunset",
];
const BODY_FORMS: &[&str] = &["json", "lines", "parts", "text", "b64"];

#[derive(Debug, Deserialize)]
struct Transcript {
    scenarios: Vec<Scenario>,
}

#[derive(Debug, Deserialize)]
struct Scenario {
    name: String,
    exchanges: Vec<Exchange>,
    /// Documents that are left in shared databases: paths to remove at the end.
    #[serde(default)]
    cleanup: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Exchange {
    request: Request,
    response: Map<String, Value>,
    #[serde(default)]
    bind: BTreeMap<String, String>,
    #[serde(default)]
    loose: Vec<String>,
    #[serde(default)]
    unordered: Vec<String>,
    #[serde(default)]
    loose_headers: Vec<String>,
    #[serde(default)]
    loose_text: bool,
    #[serde(default)]
    skip_body: bool,
    #[serde(default)]
    unordered_parts: bool,
    #[serde(default)]
    wait_ms: u64,
    #[serde(default = "once")]
    retry: usize,
    #[serde(default = "half_a_second")]
    retry_ms: u64,
}

#[derive(Debug, Deserialize)]
struct Request {
    method: String,
    path: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    json: Option<Value>,
    text: Option<String>,
    b64: Option<String>,
}

/// One difference as `differences.json` lists it; `exchange` counts from 1, `scenario` is
/// `AREA/NAME`. Names made for a run stand as `${tag}` and `${host}`.
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd)]
struct Difference {
    scenario: String,
    exchange: usize,
    #[serde(rename = "difference")]
    text: String,
}

#[derive(Debug, Deserialize)]
struct Intended {
    #[serde(flatten)]
    difference: Difference,
    reason: String,
}

fn once() -> usize {
    1
}

fn half_a_second() -> u64 {
    500
}

#[test]
fn documents() {
    replay("documents");
}

#[test]
fn changes() {
    replay("changes");
}

#[test]
fn attachments() {
    replay("attachments");
}

#[test]
fn auth_and_server() {
    replay("auth_and_server");
}

#[test]
fn views() {
    replay("views");
}

#[test]
fn design_functions() {
    replay("design_functions");
}

#[test]
fn replicator() {
    replay("replicator");
}

#[test]
fn mango() {
    replay("mango");
}

#[test]
fn every_recorded_area_is_replayed_or_waits_for_something() {
    let recorded: BTreeSet<String> = std::fs::read_dir(transcripts_folder())
        .unwrap()
        .map(|entry| entry.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    let known = REPLAYED.iter().chain(WAITING.iter().map(|(area, _)| area));
    assert_eq!(recorded, known.map(|area| (*area).to_owned()).collect());
}

#[test]
fn every_intended_difference_has_a_place_and_a_reason() {
    for Intended { difference, reason } in intended() {
        let area = difference.scenario.split('/').next().unwrap_or_default();
        assert!(REPLAYED.contains(&area), "{} is not replayed", difference.scenario);
        assert!(!reason.trim().is_empty(), "no reason for {difference:?}");
    }
}

fn transcripts_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/transcripts")
}

fn intended() -> Vec<Intended> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("compat-tests/differences.json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// Replays one area on a server of its own and compares what differs with what may.
fn replay(area: &str) {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), Port::Free);
    let client = Client::new(server.port());
    let bytes = std::fs::read(transcripts_folder().join(format!("{area}.json"))).unwrap();
    let transcript: Transcript = serde_json::from_slice(&bytes).unwrap();
    assert!(!transcript.scenarios.is_empty());
    let mut found = BTreeSet::new();
    for scenario in &transcript.scenarios {
        let told = run_scenario(area, scenario, &client);
        let name = format!("{area}/{}", scenario.name);
        match WAITING_SCENARIOS.iter().find(|(waiting, _)| *waiting == name) {
            None => found.extend(told),
            Some((_, what)) => assert!(!told.is_empty(), "{name} need not wait for {what}"),
        }
    }
    let prefix = format!("{area}/");
    let listed: BTreeSet<Difference> = intended()
        .into_iter()
        .map(|intended| intended.difference)
        .filter(|difference| difference.scenario.starts_with(&prefix))
        .collect();
    let new: Vec<String> = found.difference(&listed).map(Difference::line).collect();
    let vanished: Vec<String> = listed.difference(&found).map(Difference::line).collect();
    assert!(
        new.is_empty() && vanished.is_empty(),
        "{} differences that are not listed:\n{}\n{} listed ones that are not there:\n{}",
        new.len(),
        new.join("\n"),
        vanished.len(),
        vanished.join("\n")
    );
}

impl Exchange {
    /// How often to ask before a difference counts.
    fn attempts(&self) -> usize {
        // The index of a design document is built a while after that was saved.
        const UNTIL_BUILT: usize = 20;
        let shows_index = self.request.path.ends_with("/_info");
        if shows_index { self.retry.max(UNTIL_BUILT) } else { self.retry }
    }
}

impl Difference {
    fn line(&self) -> String {
        format!("  {} exchange {}: {}", self.scenario, self.exchange, self.text)
    }
}

/// Runs the exchanges of one scenario in databases of its own, and returns what differs.
fn run_scenario(area: &str, scenario: &Scenario, client: &Client) -> Vec<Difference> {
    let mut names = Names::fresh(client);
    let mut found = Vec::new();
    for (index, exchange) in scenario.exchanges.iter().enumerate() {
        let told = check_exchange(exchange, client, &mut names);
        found.extend(told.into_iter().map(|text| Difference {
            scenario: format!("{area}/{}", scenario.name),
            exchange: index + 1,
            text: names.mask(&text),
        }));
    }
    for name in ["db", "db2", "db3"] {
        let path = names.substitute(&format!("/${{{name}}}"));
        // A server that has died shows in the exchanges.
        let _ = client.send("DELETE", &path, &[], None);
    }
    for path in &scenario.cleanup {
        remove_document(client, &names.substitute(path));
    }
    found
}

fn remove_document(client: &Client, path: &str) {
    let Ok(found) = client.send("GET", path, &[], None) else { return };
    let body: Value = serde_json::from_slice(&found.body).unwrap_or_default();
    if let Some(rev) = body["_rev"].as_str().filter(|_| found.status == 200) {
        let _ = client.send("DELETE", &format!("{path}?rev={rev}"), &[], None);
    }
}

/// Sends one request, again where the transcript says that the answer may need time.
fn check_exchange(exchange: &Exchange, client: &Client, names: &mut Names) -> Vec<String> {
    thread::sleep(Duration::from_millis(exchange.wait_ms));
    let mut attempt = 1;
    loop {
        let response = match send(&exchange.request, client, names) {
            Ok(response) => response,
            Err(error) => return vec![format!("no answer: {error}")],
        };
        let body = parse_body(
            response.header("content-type").unwrap_or_default(),
            &response.body,
            response.header("content-encoding").unwrap_or_default(),
        );
        let mut told = compare_heads(exchange, &response, names);
        if !exchange.skip_body {
            told.extend(compare_bodies(exchange, &response, &body, names));
        }
        if told.is_empty() || attempt >= exchange.attempts() {
            told.extend(bind(exchange, &response, &body, names));
            return told;
        }
        attempt += 1;
        thread::sleep(Duration::from_millis(exchange.retry_ms));
    }
}

fn send(request: &Request, client: &Client, names: &Names) -> std::io::Result<Response> {
    let body = match request {
        Request { b64: Some(encoded), .. } => Some(STANDARD.decode(encoded).unwrap()),
        Request { json: Some(value), .. } => Some(spaced(&names.substitute_value(value))),
        Request { text: Some(text), .. } => Some(names.substitute(text).into_bytes()),
        _ => None,
    };
    let headers: Vec<(String, String)> = request
        .headers
        .iter()
        .map(|(name, value)| (name.clone(), names.substitute(value)))
        .collect();
    client.send(&request.method, &names.substitute(&request.path), &headers, body.as_deref())
}

/// JSON as it was sent when the transcripts were recorded: with spaces after commas and colons,
/// which functions that show a request's body let one see.
fn spaced(value: &Value) -> Vec<u8> {
    let mut text = Vec::new();
    let mut serializer = serde_json::Serializer::with_formatter(&mut text, Spaced);
    serde::Serialize::serialize(value, &mut serializer).unwrap();
    text
}

struct Spaced;

impl serde_json::ser::Formatter for Spaced {
    fn begin_array_value<W: ?Sized + std::io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> std::io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + std::io::Write>(
        &mut self,
        writer: &mut W,
        first: bool,
    ) -> std::io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + std::io::Write>(
        &mut self,
        writer: &mut W,
    ) -> std::io::Result<()> {
        writer.write_all(b": ")
    }
}

fn compare_heads(exchange: &Exchange, response: &Response, names: &Names) -> Vec<String> {
    let mut told = Vec::new();
    let expected = &exchange.response;
    if expected["status"] != response.status {
        told.push(format!("status: expected {}, got {}", expected["status"], response.status));
    }
    for name in COMPARED_HEADERS {
        if exchange.loose_headers.iter().any(|loose| loose == name) {
            continue;
        }
        let wanted = expected.get("headers").and_then(|headers| headers[name].as_str());
        let wanted = wanted.map(|value| names.substitute(value));
        let got = response.header(name).map(str::to_owned);
        // The entity tag of a list is the server's own: only its presence matters.
        let own = *name == "etag" && wanted.as_ref().is_some_and(|etag| !is_revision_etag(etag));
        if own && got.is_some() {
            continue;
        }
        let mask = |value: String| mask_boundary(&value, &value);
        let (wanted, got) = (wanted.map(mask), got.map(mask));
        if wanted != got {
            let show = |value: Option<String>| value.map_or("nothing".to_owned(), |text| text);
            told.push(format!("header {name}: expected {}, got {}", show(wanted), show(got)));
        }
    }
    told
}

fn is_revision_etag(etag: &str) -> bool {
    Regex::new(r#"^(W/)?"\d+-[0-9a-f]{32}"$"#).unwrap().is_match(etag)
}

fn compare_bodies(
    exchange: &Exchange,
    response: &Response,
    got: &Map<String, Value>,
    names: &Names,
) -> Vec<String> {
    let expected = &exchange.response;
    let wanted = BODY_FORMS.iter().find_map(|form| expected.get(*form).map(|body| (*form, body)));
    let Some((form, wanted)) = wanted else {
        return match got.values().next() {
            None => Vec::new(),
            Some(got) => vec![format!("body: expected none, got {}", short(got))],
        };
    };
    let Some(got_form) = got.get(form) else {
        let got = short(&Value::Object(got.clone()));
        return vec![format!("body: expected {form} {}, got {got}", short(wanted))];
    };
    let wanted = names.substitute_value(wanted);
    if let (Value::String(wanted), Value::String(got), "text") = (&wanted, got_form, form) {
        let recorded_type =
            expected.get("headers").and_then(|headers| headers["content-type"].as_str());
        let wanted = comparable_text(wanted, recorded_type);
        let got = comparable_text(got, response.header("content-type"));
        return if wanted == got || exchange.loose_text {
            Vec::new()
        } else {
            vec![format!("body text: expected {wanted:?}, got {got:?}")]
        };
    }
    let rules = Rules { loose: exchange.loose.clone(), unordered: exchange.unordered.clone() };
    if exchange.unordered_parts && form == "parts" {
        return differences(&sorted(&wanted), &sorted(got_form), &rules);
    }
    differences(&wanted, got_form, &rules)
}

fn comparable_text(text: &str, content_type: Option<&str>) -> String {
    mask_boundary(text, content_type.unwrap_or_default()).replace("\r\n", "\n")
}

fn sorted(parts: &Value) -> Value {
    let mut parts = parts.as_array().cloned().unwrap_or_default();
    parts.sort_by_cached_key(canonical);
    Value::Array(parts)
}

/// Remembers values of this answer for later requests.
fn bind(
    exchange: &Exchange,
    response: &Response,
    body: &Map<String, Value>,
    names: &mut Names,
) -> Vec<String> {
    let mut told = Vec::new();
    for (name, path) in &exchange.bind {
        let value = if let Some(header) = path.strip_prefix("header:") {
            response.header(header).map(str::to_owned)
        } else if path.starts_with("cookie:") {
            let cookie = response.header("set-cookie");
            cookie.and_then(|cookie| cookie.split(';').next()).map(str::to_owned)
        } else {
            body.get("json").and_then(|json| lookup(json, path))
        };
        match value {
            Some(value) => {
                names.known.insert(name.clone(), value);
            }
            None => told.push(format!("bind {name}: nothing at {path}")),
        }
    }
    told
}

fn lookup(document: &Value, path: &str) -> Option<String> {
    let mut steps = path.split('.').filter(|step| !step.is_empty());
    let found = steps.try_fold(document, |value, step| match value {
        Value::Array(items) => items.get(step.parse::<usize>().ok()?),
        other => other.get(step),
    })?;
    Some(found.as_str().map_or_else(|| found.to_string(), str::to_owned))
}

/// The values that stand for `${name}` in a transcript.
#[derive(Debug)]
struct Names {
    known: BTreeMap<String, String>,
    fill: Regex,
    name: Regex,
}

impl Names {
    fn fresh(client: &Client) -> Self {
        let tag = Uuid::new_v4().simple().to_string()[..10].to_owned();
        let host = &client.host;
        let mut known = BTreeMap::from([
            ("base".to_owned(), format!("http://{host}")),
            ("adminbase".to_owned(), format!("http://{ADMIN}:{PASSWORD}@{host}")),
            ("host".to_owned(), host.clone()),
        ]);
        for name in ["db", "db2", "db3"] {
            known.insert(name.to_owned(), format!("cf-{name}-{tag}"));
        }
        known.insert("tag".to_owned(), tag);
        Self {
            known,
            fill: Regex::new(r"\$\{fill:(.):(\d+)\}").unwrap(),
            name: Regex::new(r"\$\{([A-Za-z0-9_]+)\}").unwrap(),
        }
    }

    fn substitute(&self, text: &str) -> String {
        let filled = self
            .fill
            .replace_all(text, |found: &Captures<'_>| found[1].repeat(found[2].parse().unwrap()));
        let named = self.name.replace_all(&filled, |found: &Captures<'_>| {
            self.known.get(&found[1]).cloned().unwrap_or_else(|| found[0].to_owned())
        });
        named.into_owned()
    }

    fn substitute_value(&self, value: &Value) -> Value {
        match value {
            Value::String(text) => self.substitute(text).into(),
            Value::Array(items) => items.iter().map(|item| self.substitute_value(item)).collect(),
            Value::Object(members) => members
                .iter()
                .map(|(key, item)| (self.substitute(key), self.substitute_value(item)))
                .collect(),
            plain => plain.clone(),
        }
    }

    /// Undoes what differs from run to run, so that a difference can be listed.
    fn mask(&self, text: &str) -> String {
        text.replace(&self.known["tag"], "${tag}").replace(&self.known["host"], "${host}")
    }
}
