//! The parameters of `_changes`, with CouchDB's rules and words for what is wrong.
//!
//! Names are matched in any case and the last value counts. All of them come from the query
//! string only.

use std::time::Duration;

use crate::changes::{Documents, Since, Style};
use crate::database::{Direction, Seq};

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
                "feed" if value == "live" => "continuous".clone_into(&mut options.feed),
                "feed" => value.clone_into(&mut options.feed),
                "descending" if is_true => options.direction = Direction::Backward,
                "since" | "last-event-id" => value.clone_into(&mut options.since),
                "limit" => options.limit = u64::try_from(integer(value)?).ok(),
                "style" => options.style = style(value)?,
                "heartbeat" => options.heartbeat_ms = Some(heartbeat(value)?),
                "timeout" => options.timeout_ms = Some(u64::try_from(integer(value)?).unwrap_or(0)),
                "include_docs" => options.include_docs |= is_true,
                "conflicts" => options.conflicts |= is_true,
                "attachments" => attachments |= is_true,
                "att_encoding_info" => encoding_info |= is_true,
                "filter" => value.clone_into(&mut options.filter),
                "view" => value.clone_into(&mut options.view),
                "doc_ids" => options.doc_ids = Some(value.to_owned()),
                "seq_interval" => options.seq_interval = Some(seq_interval(value)?),
                _ => {}
            }
        }
        options.documents = RowDocuments::of(attachments, encoding_info);
        if let (Ok(FeedKind::EventSource), Some(id)) = (options.kind(), last_event_id) {
            id.clone_into(&mut options.since);
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

#[cfg(test)]
mod tests {
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
        let minute = Some(Duration::from_mins(1));
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
}
