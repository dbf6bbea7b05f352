//! What a replication is asked to do: the members of a `_replicate` request or of a document in
//! `_replicator`, with CouchDB's words for what is wrong (couchdb-api.md 1.18, 1.19).

use std::time::Duration;

use serde_json::{Map, Value};

use crate::config::{ClientTls, ReplicatorSettings, ValidProtocols};
use crate::http::path::{self, Plus};

use super::{Endpoint, SpecificationError};

/// A replication, read and checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Specification {
    pub source: Endpoint,
    pub target: Endpoint,
    pub continuous: bool,
    /// The target is created where it is not there, with these parameters.
    pub create_target: Option<CreateTarget>,
    pub selection: Selection,
    /// Where to begin in the place of a checkpoint.
    pub since_seq: Option<Value>,
    /// Only winners are replicated, not conflicts.
    pub winning_revs_only: bool,
    pub tuning: Tuning,
}

/// How a target is created.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CreateTarget {
    pub q: Option<u64>,
    pub n: Option<u64>,
    pub partitioned: bool,
}

/// Which documents are replicated.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Selection {
    #[default]
    Everything,
    /// These documents alone, sorted.
    DocIds(Vec<String>),
    /// What a filter function of the source lets pass: `ddoc/name`, or `_view`, and its parameters.
    Filter { name: String, query_params: Map<String, Value> },
    /// What a selector matches.
    Selector(Value),
}

/// How a replication goes about its work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tuning {
    pub checkpoint_interval: Duration,
    /// How many requests for documents run side by side.
    pub worker_processes: usize,
    /// Changes that one worker takes at once.
    pub worker_batch_size: usize,
    pub http_connections: usize,
    pub connection_timeout: Duration,
    pub retries_per_request: u32,
    pub use_checkpoints: bool,
    pub use_bulk_get: bool,
    pub tls: ClientTls,
    /// Whether to log in for a cookie.
    pub sessions: bool,
    pub protocols: ValidProtocols,
}

/// Bounds for what a document may ask for: the work of one replication stays bounded.
const WORKERS_MAX: u64 = 64;
const BATCH_MAX: u64 = 10_000;
const CONNECTIONS_MAX: u64 = 200;

impl Specification {
    /// Reads the members of a request or a document; `defaults` are the server's settings.
    ///
    /// # Errors
    /// The first thing that is wrong, in CouchDB's order.
    pub fn parse(body: &Map<String, Value>, defaults: &Tuning) -> Result<Self, SpecificationError> {
        let valid = &defaults.protocols;
        let (source_proxy, target_proxy) = proxies(body, &valid.proxy)?;
        // CouchDB looks at the parameters before it looks at the sides.
        let tuning = Tuning::parse(body, defaults)?;
        let selection = Selection::parse(body)?;
        let continuous = boolean(body, "continuous", false)?;
        let create_target = boolean(body, "create_target", false)?;
        let params = object(body, "create_target_params", "a JSON object")?;
        let winning_revs_only = boolean(body, "winning_revs_only", false)?;
        let missing = SpecificationError::MissingDatabase;
        let source = body.get("source").ok_or(missing.clone())?;
        let target = body.get("target").ok_or(missing)?;
        let source = Endpoint::parse(source, source_proxy)?;
        let target = Endpoint::parse(target, target_proxy)?;
        for side in [&source, &target] {
            if side.scheme().is_some_and(|scheme| !has(&valid.endpoint, scheme.name())) {
                return Err(SpecificationError::Address("endpoint"));
            }
        }
        Ok(Self {
            source,
            target,
            continuous,
            create_target: create_target.then(|| CreateTarget::of(params)),
            selection,
            since_seq: body.get("since_seq").filter(|seq| !seq.is_null()).cloned(),
            winning_revs_only,
            tuning,
        })
    }
}

impl CreateTarget {
    fn of(params: Option<&Map<String, Value>>) -> Self {
        let number = |name| params.and_then(|params| params.get(name)?.as_u64());
        let partitioned = params.and_then(|params| params.get("partitioned"));
        let partitioned = partitioned == Some(&Value::Bool(true));
        Self { q: number("q"), n: number("n"), partitioned }
    }
}

impl Selection {
    fn parse(body: &Map<String, Value>) -> Result<Self, SpecificationError> {
        let doc_ids = array(body, "doc_ids")?;
        let filter = text(body, "filter")?;
        let query_params = object(body, "query_params", "an object")?;
        let selector = object(body, "selector", "a JSON object")?;
        match (doc_ids, filter, selector) {
            (None, None, None) => Ok(Self::Everything),
            (Some(ids), None, None) => {
                // CouchDB takes percent-encoded ids too.
                let decode = |id: &str| path::decode(id, Plus::Literal).unwrap_or(id.to_owned());
                let ids: Option<Vec<String>> =
                    ids.iter().map(|id| id.as_str().map(decode)).collect();
                let mut ids = ids.ok_or_else(|| wrong("doc_ids", "an array"))?;
                ids.sort_unstable();
                ids.dedup();
                Ok(Self::DocIds(ids))
            }
            (None, Some(name), None) => {
                let query_params = query_params.cloned().unwrap_or_default();
                Ok(Self::Filter { name: name.to_owned(), query_params })
            }
            (None, None, Some(selector)) => Ok(Self::Selector(Value::Object(selector.clone()))),
            _ => {
                let reason = "`doc_ids`,`filter`,`selector` are mutually exclusive";
                Err(SpecificationError::Exclusive(reason.to_owned()))
            }
        }
    }
}

impl Tuning {
    /// What the server's settings say.
    #[must_use]
    pub fn of(settings: &ReplicatorSettings) -> Self {
        Self {
            checkpoint_interval: settings.checkpoint_interval,
            worker_processes: settings.worker_processes,
            worker_batch_size: settings.worker_batch_size,
            http_connections: settings.http_connections,
            connection_timeout: settings.connection_timeout,
            retries_per_request: settings.retries_per_request,
            use_checkpoints: settings.use_checkpoints,
            use_bulk_get: settings.use_bulk_get,
            tls: settings.tls.clone(),
            sessions: settings.sessions,
            protocols: settings.protocols.clone(),
        }
    }

    fn parse(body: &Map<String, Value>, defaults: &Self) -> Result<Self, SpecificationError> {
        let number = |name, otherwise: u64, most: u64| -> Result<u64, SpecificationError> {
            let Some(value) = body.get(name).filter(|value| !value.is_null()) else {
                return Ok(otherwise);
            };
            // As in the ini files, a number may be a text.
            let parsed = value.as_u64().or_else(|| value.as_str()?.parse().ok());
            Ok(parsed.ok_or_else(|| wrong(name, "an integer"))?.min(most))
        };
        let count = |name, otherwise: usize, most| {
            let found = number(name, otherwise as u64, most)?.max(1);
            Ok(usize::try_from(found).unwrap_or(otherwise))
        };
        let millis = |name, otherwise: Duration| {
            let otherwise = u64::try_from(otherwise.as_millis()).unwrap_or(u64::MAX);
            Ok(Duration::from_millis(number(name, otherwise, 86_400_000)?))
        };
        let retries = number("retries_per_request", defaults.retries_per_request.into(), 100)?;
        Ok(Self {
            checkpoint_interval: millis("checkpoint_interval", defaults.checkpoint_interval)?,
            worker_processes: count("worker_processes", defaults.worker_processes, WORKERS_MAX)?,
            worker_batch_size: count("worker_batch_size", defaults.worker_batch_size, BATCH_MAX)?,
            http_connections: count(
                "http_connections",
                defaults.http_connections,
                CONNECTIONS_MAX,
            )?,
            connection_timeout: millis("connection_timeout", defaults.connection_timeout)?,
            retries_per_request: u32::try_from(retries).unwrap_or(u32::MAX),
            use_checkpoints: match body.get("use_checkpoints") {
                Some(Value::Bool(wanted)) => *wanted,
                _ => defaults.use_checkpoints,
            },
            use_bulk_get: boolean(body, "use_bulk_get", defaults.use_bulk_get)?,
            tls: defaults.tls.clone(),
            sessions: defaults.sessions,
            protocols: defaults.protocols.clone(),
        })
    }
}

fn wrong(name: &str, wanted: &str) -> SpecificationError {
    SpecificationError::Parameter(format!("parameter `{name}` must be {wanted}"))
}

fn has(protocols: &[String], wanted: &str) -> bool {
    protocols.iter().any(|protocol| protocol == wanted)
}

fn is_proxy(address: &str, valid: &[String]) -> bool {
    let parts = address.split_once("://");
    parts.is_some_and(|(scheme, rest)| {
        matches!(scheme, "http" | "https" | "socks5") && has(valid, scheme) && !rest.is_empty()
    })
}

/// The proxies of the source and the target.
fn proxies<'b>(
    body: &'b Map<String, Value>,
    valid: &[String],
) -> Result<(Option<&'b str>, Option<&'b str>), SpecificationError> {
    let both = text(body, "proxy")?;
    let (source, target) = (text(body, "source_proxy")?, text(body, "target_proxy")?);
    if [both, source, target].into_iter().flatten().any(|proxy| !is_proxy(proxy, valid)) {
        return Err(SpecificationError::Address("proxy"));
    }
    let other = source.map(|_| "source_proxy").or(target.map(|_| "target_proxy"));
    match (both, other) {
        (Some(_), Some(other)) => {
            let reason = format!("`proxy` is mutually exclusive with `{other}`");
            Err(SpecificationError::Exclusive(reason))
        }
        (Some(_), None) => Ok((both, both)),
        (None, _) => Ok((source, target)),
    }
}

fn boolean(
    body: &Map<String, Value>,
    name: &'static str,
    otherwise: bool,
) -> Result<bool, SpecificationError> {
    match body.get(name) {
        None => Ok(otherwise),
        Some(Value::Bool(value)) => Ok(*value),
        Some(_) => Err(wrong(name, "a boolean")),
    }
}

fn text<'a>(
    body: &'a Map<String, Value>,
    name: &'static str,
) -> Result<Option<&'a str>, SpecificationError> {
    match body.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.is_empty() => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(wrong(name, "a string")),
    }
}

fn array<'a>(
    body: &'a Map<String, Value>,
    name: &'static str,
) -> Result<Option<&'a Vec<Value>>, SpecificationError> {
    match body.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Array(elements)) => Ok(Some(elements)),
        Some(_) => Err(wrong(name, "an array")),
    }
}

fn object<'a>(
    body: &'a Map<String, Value>,
    name: &'static str,
    wanted: &'static str,
) -> Result<Option<&'a Map<String, Value>>, SpecificationError> {
    match body.get(name) {
        None => Ok(None),
        Some(Value::Object(members)) => Ok(Some(members)),
        Some(_) => Err(wrong(name, wanted)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::config::Settings;

    fn defaults() -> Tuning {
        Tuning::of(&Settings::default().replicator)
    }

    fn parse(mut extra: Value) -> Result<Specification, SpecificationError> {
        let members = extra.as_object_mut().unwrap();
        members.entry("source").or_insert(json!("a"));
        members.entry("target").or_insert(json!("http://host/b"));
        Specification::parse(members, &defaults())
    }

    #[test]
    fn what_is_not_said_is_couchdbs_default() {
        let found = parse(json!({})).unwrap();
        assert_eq!(found.source.shown(), "a");
        assert_eq!(found.target.shown(), "http://host/b/");
        assert!(!found.continuous && found.tuning.use_checkpoints && found.tuning.use_bulk_get);
        assert_eq!((found.create_target, found.selection), (None, Selection::Everything));
        assert_eq!(found.tuning, defaults());
    }

    #[test]
    fn everything_can_be_said() {
        let found = parse(json!({
            "continuous": true, "create_target": true, "create_target_params": {"q": 2},
            "doc_ids": ["b", "a", "b"], "since_seq": "5-x", "winning_revs_only": true,
            "use_checkpoints": false, "use_bulk_get": false, "checkpoint_interval": 1000,
            "worker_batch_size": "7", "worker_processes": 1_000_000, "retries_per_request": 0,
        }))
        .unwrap();
        let create = CreateTarget { q: Some(2), n: None, partitioned: false };
        assert_eq!(found.create_target, Some(create));
        assert_eq!(found.selection, Selection::DocIds(vec!["a".to_owned(), "b".to_owned()]));
        assert_eq!(found.since_seq, Some(json!("5-x")));
        assert_eq!((found.tuning.worker_batch_size, found.tuning.worker_processes), (7, 64));
        assert_eq!(found.tuning.checkpoint_interval, Duration::from_secs(1));
        let filter = parse(json!({"filter": "d/f", "query_params": {"a": "b"}})).unwrap().selection;
        assert!(matches!(filter, Selection::Filter { name, .. } if name == "d/f"));
    }

    #[test]
    fn complaints_are_couchdbs() {
        for (extra, reason) in [
            (json!({"continuous": "yes"}), "parameter `continuous` must be a boolean"),
            (json!({"create_target": 1}), "parameter `create_target` must be a boolean"),
            (json!({"use_bulk_get": null}), "parameter `use_bulk_get` must be a boolean"),
            (json!({"doc_ids": "a"}), "parameter `doc_ids` must be an array"),
            (json!({"selector": 1}), "parameter `selector` must be a JSON object"),
            (json!({"query_params": []}), "parameter `query_params` must be an object"),
            (
                json!({"proxy": "http://p", "target_proxy": "http://q"}),
                "`proxy` is mutually exclusive with `target_proxy`",
            ),
            (
                json!({"doc_ids": ["x"], "filter": "a/b"}),
                "`doc_ids`,`filter`,`selector` are mutually exclusive",
            ),
            (json!({"proxy": "ftp://p"}), "proxy has an invalid url"),
            (json!({"source_proxy": "p:3128"}), "proxy has an invalid url"),
            (json!({"source": 5}), "function_clause"),
            (json!({"source": {}}), "endpoint has an invalid url"),
            (json!({"source": "ftp://host/db"}), "endpoint has an invalid url"),
        ] {
            assert_eq!(parse(extra).unwrap_err().to_string(), reason);
        }
    }
}
