//! The parameters of `_changes`, with CouchDB's rules and words for what is wrong.
//!
//! Names are matched in any case and the last value counts. `since` and the rest come from the
//! query string only; of a body, the filters take `doc_ids`, `selector` and `fields`.

use std::collections::HashSet;
use std::time::Duration;

use serde_json::{Map, Value};

use crate::changes::{Documents, Filter, SelectorFilter, Since, Style};
use crate::database::{Database, Direction, Seq};
use crate::document::DocId;

use super::error::ApiError;
use super::feed::{FeedKind, Timing};
use super::query::Query;
use super::row_documents::RowDocuments;

/// The heartbeat that `heartbeat=true` means.
const HEARTBEAT_DEFAULT_MS: u64 = 60_000;

/// What the query string says.
#[derive(Debug, Clone, PartialEq)]
pub struct ChangesOptions {
    pub feed: String,
    pub style: Style,
    pub direction: Direction,
    pub since: String,
    /// `None` for all: CouchDB takes a negative number for that.
    pub limit: Option<u64>,
    pub heartbeat_ms: Option<u64>,
    pub timeout_ms: Option<u64>,
    pub include_docs: bool,
    pub conflicts: bool,
    pub documents: RowDocuments,
    pub filter: String,
    pub view: String,
    pub doc_ids: Option<String>,
    /// Only every so many rows say their sequence.
    pub seq_interval: Option<u64>,
}

impl Default for ChangesOptions {
    fn default() -> Self {
        Self {
            feed: "normal".to_owned(),
            style: Style::MainOnly,
            direction: Direction::Forward,
            since: "0".to_owned(),
            limit: None,
            heartbeat_ms: None,
            timeout_ms: None,
            include_docs: false,
            conflicts: false,
            documents: RowDocuments::default(),
            filter: String::new(),
            view: String::new(),
            doc_ids: None,
            seq_interval: None,
        }
    }
}

impl ChangesOptions {
    /// Reads the query string; `last_event_id` is the header that browsers send when they connect
    /// again.
    ///
    /// # Errors
    /// 400, and CouchDB's 500 `badarg` for what it cannot read at all.
    pub fn parse(query: &Query, last_event_id: Option<&str>) -> Result<Self, ApiError> {
        let mut options = Self::default();
        let (mut attachments, mut encoding_info) = (false, false);
        for (name, value) in query.pairs() {
            let is_true = value == "true";
            match name.to_ascii_lowercase().as_str() {
                "feed" if value == "live" => options.feed = "continuous".to_owned(),
                "feed" => options.feed = value.to_owned(),
                "descending" if is_true => options.direction = Direction::Backward,
                "since" | "last-event-id" => options.since = value.to_owned(),
                "limit" => options.limit = u64::try_from(integer(value)?).ok(),
                "style" => options.style = style(value)?,
                "heartbeat" => options.heartbeat_ms = Some(heartbeat(value)?),
                "timeout" => options.timeout_ms = Some(u64::try_from(integer(value)?).unwrap_or(0)),
                "include_docs" => options.include_docs |= is_true,
                "conflicts" => options.conflicts |= is_true,
                "attachments" => attachments |= is_true,
                "att_encoding_info" => encoding_info |= is_true,
                "filter" => options.filter = value.to_owned(),
                "view" => options.view = value.to_owned(),
                "doc_ids" => options.doc_ids = Some(value.to_owned()),
                "seq_interval" => options.seq_interval = Some(seq_interval(value)?),
                _ => {}
            }
        }
        options.documents = RowDocuments::of(attachments, encoding_info);
        if let (Ok(FeedKind::EventSource), Some(id)) = (options.kind(), last_event_id) {
            options.since = id.to_owned();
        }
        Ok(options)
    }

    /// # Errors
    /// 400 for a feed that does not exist.
    pub fn kind(&self) -> Result<FeedKind, ApiError> {
        feed_kind(&self.feed).ok_or_else(|| {
            ApiError::bad_request(
                "Supported `feed` types: normal, continuous, live, longpoll, eventsource",
            )
        })
    }

    /// Where the feed begins.
    ///
    /// # Errors
    /// `Malformed sequence supplied in 'since' parameter.`
    pub fn since(&self) -> Result<Since, ApiError> {
        since(&self.since)
    }

    #[must_use]
    pub fn row_documents(&self) -> Documents {
        match (self.include_docs, self.conflicts) {
            (false, _) => Documents::No,
            (true, false) => Documents::Winner,
            (true, true) => Documents::WinnerWithConflicts,
        }
    }

    /// How long the feed stays silent; `default_ms` is the server's, `None` for ever.
    #[must_use]
    pub fn timing(&self, default_ms: Option<u64>) -> Timing {
        timing(self.heartbeat_ms, self.timeout_ms, default_ms)
    }
}

/// A feed by the name that clients give it.
#[must_use]
pub fn feed_kind(name: &str) -> Option<FeedKind> {
    match name {
        "normal" => Some(FeedKind::Normal),
        "longpoll" => Some(FeedKind::Longpoll),
        "continuous" => Some(FeedKind::Continuous),
        "eventsource" => Some(FeedKind::EventSource),
        _ => None,
    }
}

/// Reads `since`.
///
/// # Errors
/// `Malformed sequence supplied in 'since' parameter.`
pub fn since(text: &str) -> Result<Since, ApiError> {
    match text {
        "0" | "\"0\"" => Ok(Since::Beginning),
        "now" => Ok(Since::Now),
        text => Ok(Since::Seq(Seq::parse(text)?)),
    }
}

/// The server's timeout bounds both; a heartbeat keeps a feed open for ever.
#[must_use]
pub fn timing(
    heartbeat_ms: Option<u64>,
    timeout_ms: Option<u64>,
    default_ms: Option<u64>,
) -> Timing {
    let bounded = |ms: u64| Duration::from_millis(default_ms.map_or(ms, |most| ms.min(most)));
    Timing {
        heartbeat: heartbeat_ms.map(bounded),
        timeout: timeout_ms.map(bounded).or(default_ms.map(Duration::from_millis)),
    }
}

/// An integer of any size, cut to 64 bits.
fn integer(text: &str) -> Result<i64, ApiError> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(ApiError::UnknownError("badarg"));
    }
    let otherwise = if text.starts_with('-') { i64::MIN } else { i64::MAX };
    Ok(text.parse().unwrap_or(otherwise))
}

fn style(text: &str) -> Result<Style, ApiError> {
    match text {
        "main_only" => Ok(Style::MainOnly),
        "all_docs" => Ok(Style::AllDocs),
        _ => Err(ApiError::UnknownError("badarg")),
    }
}

fn heartbeat(text: &str) -> Result<u64, ApiError> {
    if text == "true" {
        return Ok(HEARTBEAT_DEFAULT_MS);
    }
    let milliseconds = integer(text).map_err(|_| {
        ApiError::bad_request(
            "Invalid heartbeat value. Expecting a positive integer value (in milliseconds).",
        )
    })?;
    match u64::try_from(milliseconds) {
        Ok(milliseconds) if milliseconds > 0 => Ok(milliseconds),
        _ => Err(ApiError::bad_request(
            "The heartbeat value should be a positive integer (in milliseconds).",
        )),
    }
}

fn seq_interval(text: &str) -> Result<u64, ApiError> {
    match integer(text).map(u64::try_from) {
        Ok(Ok(interval)) if interval > 0 => Ok(interval),
        _ => Err(ApiError::InvalidSeqInterval),
    }
}

/// The filter that is asked for. `body` is that of a POST.
///
/// # Errors
/// 400 for what makes no filter, 404 for functions that do not exist.
pub fn filter(
    options: &ChangesOptions,
    body: Option<&Map<String, Value>>,
    db: &Database,
) -> Result<Filter, ApiError> {
    match options.filter.as_str() {
        "_doc_ids" => doc_ids(options, body),
        "_selector" => selector(body),
        "_design" => Ok(Filter::Design),
        "_view" => view(options, db),
        name if name.starts_with('_') => Err(ApiError::bad_request("unknown builtin filter name")),
        name => match pieces(name).as_slice() {
            [] => Ok(Filter::Everything),
            [ddoc, function] => function_of(db, ddoc, "filters", function),
            _ => Err(ApiError::bad_request("`filter` must be of the form `designname/filtername`")),
        },
    }
}

fn pieces(name: &str) -> Vec<&str> {
    name.split('/').filter(|piece| !piece.is_empty()).collect()
}

fn doc_ids(
    options: &ChangesOptions,
    body: Option<&Map<String, Value>>,
) -> Result<Filter, ApiError> {
    let bad = || ApiError::bad_request("`doc_ids` filter parameter is not a list of doc ids.");
    let parsed: Value;
    let given = match (body, &options.doc_ids) {
        (Some(body), _) => body.get("doc_ids"),
        (None, Some(text)) => {
            parsed = serde_json::from_str(text).map_err(|_| ApiError::invalid_json())?;
            Some(&parsed)
        }
        (None, None) => None,
    };
    let listed = given.and_then(Value::as_array).ok_or_else(bad)?;
    let mut ids = HashSet::with_capacity(listed.len());
    for id in listed {
        // What can be no id names no document.
        ids.extend(DocId::parse(id.as_str().ok_or_else(bad)?));
    }
    Ok(Filter::DocIds(ids))
}

fn selector(body: Option<&Map<String, Value>>) -> Result<Filter, ApiError> {
    let body =
        body.ok_or_else(|| ApiError::bad_request("Selector must be specified in POST payload"))?;
    let selector = body.get("selector").filter(|selector| selector.is_object());
    let selector =
        selector.ok_or_else(|| ApiError::bad_request("Selector error: expected a JSON object"))?;
    let bad = || ApiError::bad_request("Selector error: fields must be JSON array");
    let fields = match body.get("fields") {
        None => &[],
        Some(fields) => fields.as_array().ok_or_else(bad)?.as_slice(),
    };
    let fields: Option<Vec<&str>> = fields.iter().map(Value::as_str).collect();
    let fields = fields.ok_or_else(|| {
        ApiError::bad_request("Selector error: fields must be an array of strings")
    })?;
    let filter = SelectorFilter::parse(selector, &fields);
    Ok(Filter::Selector(filter.map_err(|error| ApiError::bad_request(error.to_string()))?))
}

fn view(options: &ChangesOptions, db: &Database) -> Result<Filter, ApiError> {
    if options.view.is_empty() {
        return Err(ApiError::bad_request("`view` filter parameter is not provided."));
    }
    match pieces(&options.view).as_slice() {
        [ddoc, view] => function_of(db, ddoc, "views", view),
        [] => Err(ApiError::bad_request("`view` must be of the form `designname/viewname`")),
        _ => Err(ApiError::UnknownError("case_clause")),
    }
}

/// A filter that runs a function of a design document.
fn function_of(
    db: &Database,
    ddoc: &str,
    kind: &'static str,
    name: &str,
) -> Result<Filter, ApiError> {
    let id = DocId::parse(&format!("_design/{ddoc}")).map_err(|_| ApiError::missing())?;
    let ddoc = db.winner(&id)?.ok_or_else(ApiError::missing)?;
    if ddoc.deleted {
        return Err(ApiError::not_found("deleted"));
    }
    let body: Map<String, Value> =
        serde_json::from_slice(&ddoc.body).map_err(|_| ApiError::invalid_json())?;
    let functions =
        body.get(kind).ok_or_else(|| ApiError::not_found(format!("missing json key: {kind}")))?;
    if functions.get(name).is_none() {
        return Err(ApiError::not_found(format!("missing json key: {name}")));
    }
    Err(ApiError::NotImplemented)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parse(pairs: &[(&str, &str)]) -> Result<ChangesOptions, ApiError> {
        let pairs = pairs.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        ChangesOptions::parse(&Query::new(pairs.collect()), Some("5-header"))
    }

    #[test]
    fn parameters_are_read() {
        let options = parse(&[
            ("FEED", "live"),
            ("descending", "true"),
            ("since", "now"),
            ("limit", "3"),
            ("style", "all_docs"),
            ("heartbeat", "true"),
            ("timeout", "90000"),
            ("include_docs", "true"),
            ("conflicts", "yes"),
            ("seq_interval", "10"),
            ("x", "y"),
        ])
        .unwrap();
        let expect = ChangesOptions {
            feed: "continuous".into(),
            direction: Direction::Backward,
            since: "now".into(),
            limit: Some(3),
            style: Style::AllDocs,
            heartbeat_ms: Some(60_000),
            timeout_ms: Some(90_000),
            include_docs: true,
            seq_interval: Some(10),
            ..ChangesOptions::default()
        };
        assert_eq!(options, expect);
        assert_eq!(options.since().unwrap(), Since::Now);
        let minute = Some(Duration::from_secs(60));
        assert_eq!(options.timing(Some(60_000)), Timing { heartbeat: minute, timeout: minute });
        assert_eq!(options.timing(None).timeout, Some(Duration::from_secs(90)));
        assert_eq!(parse(&[]).unwrap().timing(Some(60_000)).timeout, minute);
        assert_eq!(parse(&[]).unwrap().timing(Some(60_000)).heartbeat, None);
        assert_eq!(parse(&[("limit", "-1")]).unwrap().limit, None);
        let events = [("since", "1-x"), ("feed", "eventsource")];
        assert_eq!(parse(&events).unwrap().since, "5-header");
        assert_eq!(parse(&events[..1]).unwrap().since, "1-x");
    }

    #[test]
    fn complaints_are_couchdbs() {
        let malformed = "Malformed sequence supplied in 'since' parameter.";
        let feeds = "Supported `feed` types: normal, continuous, live, longpoll, eventsource";
        for (name, value, status, reason) in [
            ("limit", "x", 500, "badarg"),
            ("style", "nonsense", 500, "badarg"),
            ("timeout", "x", 500, "badarg"),
            ("since", "3", 400, malformed),
            ("since", "\"now\"", 400, malformed),
            ("since", "", 400, malformed),
            ("feed", "x", 400, feeds),
            ("seq_interval", "0", 400, "The seq_interval value should be a positive integer."),
            (
                "heartbeat",
                "0",
                400,
                "The heartbeat value should be a positive integer (in milliseconds).",
            ),
            (
                "heartbeat",
                "x",
                400,
                "Invalid heartbeat value. Expecting a positive integer value (in milliseconds).",
            ),
        ] {
            let read = parse(&[(name, value)]);
            let error = read.and_then(|options| options.kind().and_then(|_| options.since()));
            let (found, _, text) = error.unwrap_err().describe();
            assert_eq!((found.as_u16(), text.as_str()), (status, reason), "{name}={value}");
        }
    }

    #[test]
    fn filters_need_their_parameters() {
        let list = "`doc_ids` filter parameter is not a list of doc ids.";
        let reason = |filter: Result<Filter, ApiError>| filter.unwrap_err().to_string();
        let object = |value: Value| value.as_object().cloned().unwrap();
        for body in [json!({}), json!({"doc_ids": "a"}), json!({"doc_ids": ["a", 1]})] {
            let options = ChangesOptions::default();
            assert_eq!(reason(doc_ids(&options, Some(&object(body)))), list);
        }
        let mut options = ChangesOptions { doc_ids: Some("x".into()), ..Default::default() };
        assert_eq!(reason(doc_ids(&options, None)), "invalid UTF-8 JSON");
        options.doc_ids = Some("[\"a\", \"_no\"]".into());
        let Ok(Filter::DocIds(ids)) = doc_ids(&options, None) else { panic!("no filter") };
        assert_eq!(ids, HashSet::from([DocId::parse("a").unwrap()]));
        assert_eq!(reason(selector(None)), "Selector must be specified in POST payload");
        for (body, expect) in [
            (json!({}), "Selector error: expected a JSON object"),
            (json!({"selector": 1}), "Selector error: expected a JSON object"),
            (json!({"selector": {}, "fields": 1}), "Selector error: fields must be JSON array"),
            (json!({"selector": {"$x": 1}}), "Invalid operator: $x"),
        ] {
            assert_eq!(reason(selector(Some(&object(body)))), expect);
        }
    }
}
