//! The parameters of views and of what is read like a view (`_all_docs` and its kin), from the
//! query string and from a JSON body, with CouchDB's rules and words for what is wrong.
//!
//! Parameters count one after the other, so a later one wins; the query string is read after the
//! body. A value of the query string is text (keys are JSON in it), one of a body is JSON.

use serde_json::{Map, Value};

use crate::database::Direction;

use super::error::ApiError;
use super::query::Query;

/// When the index is brought up to date.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Update {
    /// Before the answer.
    #[default]
    First,
    /// Not for this request.
    Never,
    /// After the answer.
    Lazy,
}

/// What kind of view is asked, as far as the parameters care.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ViewKind {
    Map,
    Reduce,
}

/// How far keys are grouped in a reduce view.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grouping {
    /// By the first so many elements of array keys; 0 is one row for all.
    Level(u64),
    /// One row a key.
    Exact,
}

/// Every parameter of a view.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a parameter of its own")]
pub struct ViewQuery {
    pub start_key: Option<Value>,
    pub end_key: Option<Value>,
    keys: Option<Value>,
    pub start_key_docid: Option<String>,
    pub end_key_docid: Option<String>,
    pub limit: Option<u64>,
    pub skip: u64,
    pub direction: Direction,
    pub inclusive_end: bool,
    pub group: Option<bool>,
    pub group_level: Option<u64>,
    pub reduce: Option<bool>,
    pub include_docs: bool,
    pub attachments: bool,
    pub att_encoding_info: bool,
    pub conflicts: Option<bool>,
    pub update: Update,
    pub stable: bool,
    pub update_seq: bool,
    pub sorted: bool,
    pub partition: Option<String>,
}

impl Default for ViewQuery {
    fn default() -> Self {
        Self {
            start_key: None,
            end_key: None,
            keys: None,
            start_key_docid: None,
            end_key_docid: None,
            limit: None,
            skip: 0,
            direction: Direction::Forward,
            inclusive_end: true,
            group: None,
            group_level: None,
            reduce: None,
            include_docs: false,
            attachments: false,
            att_encoding_info: false,
            conflicts: None,
            update: Update::First,
            stable: false,
            update_seq: false,
            sorted: true,
            partition: None,
        }
    }
}

/// A parameter's value as it was sent.
#[derive(Debug, Clone, Copy)]
enum Given<'a> {
    /// In the query string, decoded.
    Text(&'a str),
    /// In a JSON body.
    Json(&'a Value),
}

impl ViewQuery {
    /// Reads the query string alone.
    ///
    /// # Errors
    /// `query_parse_error`, or `invalid UTF-8 JSON` for a key.
    pub fn from_query(query: &Query) -> Result<Self, ApiError> {
        Self::default().with_query(query)
    }

    /// Reads a body's members; `keys` and other lists are taken out of it.
    ///
    /// # Errors
    /// `query_parse_error`.
    pub fn from_body(mut body: Map<String, Value>) -> Result<Self, ApiError> {
        let keys = body.remove("keys");
        let mut read = Self::default().with_body(&body)?;
        read.keys = keys;
        Ok(read)
    }

    /// Reads the query string on top of what is known.
    ///
    /// # Errors
    /// As [`Self::from_query`].
    pub fn with_query(mut self, query: &Query) -> Result<Self, ApiError> {
        for (name, value) in query.pairs() {
            self.take(name, Given::Text(value))?;
        }
        Ok(self)
    }

    /// Reads one of several queries on top of what they share.
    ///
    /// # Errors
    /// `query_parse_error`.
    pub fn with_body(mut self, body: &Map<String, Value>) -> Result<Self, ApiError> {
        for (name, value) in body {
            self.take(name, Given::Json(value))?;
        }
        Ok(self)
    }

    /// The list of keys asked for; `None` also where `keys` is no list.
    #[must_use]
    pub fn keys(&self) -> Option<&[Value]> {
        self.keys.as_ref().and_then(Value::as_array).map(Vec::as_slice)
    }

    /// Moves the list of keys out.
    #[must_use]
    pub fn take_keys(&mut self) -> Option<Vec<Value>> {
        match self.keys.take() {
            Some(Value::Array(keys)) => Some(keys),
            _ => None,
        }
    }

    /// Whether `keys` was given as anything but a list.
    #[must_use]
    pub fn has_bad_keys(&self) -> bool {
        self.keys.as_ref().is_some_and(|keys| !keys.is_array())
    }

    /// Turns a list of one key into `key`, as CouchDB does where it reads queries from a body.
    pub fn fold_single_key(&mut self) {
        if let Some(Value::Array(keys)) = &mut self.keys
            && keys.len() == 1
        {
            self.start_key = keys.pop();
            self.end_key = self.start_key.clone();
            self.keys = None;
        }
    }

    /// How far keys are grouped.
    ///
    /// # Errors
    /// `group=false` beside a level.
    pub fn grouping(&self) -> Result<Grouping, ApiError> {
        match (self.group, self.group_level) {
            (Some(false), Some(level)) if level > 0 => {
                Err(ApiError::query("Can't specify group=false and group_level>0 at the same time"))
            }
            (Some(true), None) => Ok(Grouping::Exact),
            (_, level) => Ok(Grouping::Level(level.unwrap_or(0))),
        }
    }

    /// What the parameters ask of a view together, in CouchDB's order of complaints.
    ///
    /// # Errors
    /// `query_parse_error`.
    pub fn check(&self, kind: ViewKind) -> Result<(), ApiError> {
        let grouping = self.grouping()?;
        let complaint = match kind {
            ViewKind::Map if self.reduce == Some(true) => "Reduce is invalid for map-only views.",
            ViewKind::Reduce if self.keys().is_some() && grouping != Grouping::Exact => {
                "Multi-key fetches for reduce views must use `group=true`"
            }
            _ if self.has_bad_keys() => "`keys` must be an array of strings.",
            _ if self.keys().is_some_and(|keys| !keys.is_empty())
                && (self.start_key.is_some() || self.end_key.is_some()) =>
            {
                "`keys` is incompatible with `key`, `start_key` and `end_key`"
            }
            ViewKind::Map if grouping != Grouping::Level(0) => {
                "Invalid use of grouping on a map view."
            }
            ViewKind::Reduce if self.include_docs => "`include_docs` is invalid for reduce",
            ViewKind::Reduce if self.conflicts.is_some() => {
                "`conflicts` is invalid for reduce views."
            }
            _ if self.partition.as_deref() == Some("") => "Invalid value for `partition`.",
            _ => return Ok(()),
        };
        Err(ApiError::query(complaint))
    }

    fn take(&mut self, name: &str, given: Given<'_>) -> Result<(), ApiError> {
        match name {
            "key" => {
                self.start_key = Some(given.json()?);
                self.end_key.clone_from(&self.start_key);
            }
            "keys" => self.keys = Some(given.json()?),
            "startkey" | "start_key" => self.start_key = Some(given.json()?),
            "endkey" | "end_key" => self.end_key = Some(given.json()?),
            "startkey_docid" | "start_key_doc_id" => {
                self.start_key_docid = Some(given.string("`start_key_docid` must be a string.")?);
            }
            "endkey_docid" | "end_key_doc_id" => {
                self.end_key_docid = Some(given.string("`end_key_docid` must be a string.")?);
            }
            "limit" => self.limit = Some(given.unsigned()?),
            "skip" => self.skip = given.unsigned()?,
            "group_level" => self.group_level = Some(given.unsigned()?),
            "partition" => {
                self.partition = Some(given.string("Invalid value for `partition`.")?);
            }
            "stale" | "stable" | "update" => self.take_freshness(name, given)?,
            _ => self.take_boolean(name, given)?,
        }
        Ok(())
    }

    fn take_freshness(&mut self, name: &str, given: Given<'_>) -> Result<(), ApiError> {
        let word = match given {
            Given::Json(Value::Bool(true)) => "true",
            Given::Json(Value::Bool(false)) => "false",
            Given::Json(value) => value.as_str().unwrap_or_default(),
            Given::Text(text) => text,
        };
        match (name, word) {
            ("stale", "ok") => (self.stable, self.update) = (true, Update::Never),
            ("stale", "update_after") => (self.stable, self.update) = (true, Update::Lazy),
            ("stable", "true") => self.stable = true,
            ("stable", "false") => self.stable = false,
            ("update", "true") => self.update = Update::First,
            ("update", "false") => self.update = Update::Never,
            ("update", "lazy") => self.update = Update::Lazy,
            _ => return Err(ApiError::query(format!("Invalid value for `{name}`."))),
        }
        Ok(())
    }

    fn take_boolean(&mut self, name: &str, given: Given<'_>) -> Result<(), ApiError> {
        match name {
            "reduce" => self.reduce = Some(given.boolean()?),
            "group" => self.group = Some(given.boolean()?),
            "conflicts" => self.conflicts = Some(given.boolean()?),
            "descending" => {
                self.direction =
                    if given.boolean()? { Direction::Backward } else { Direction::Forward };
            }
            "inclusive_end" => self.inclusive_end = given.boolean()?,
            "include_docs" => self.include_docs = given.boolean()?,
            "attachments" => self.attachments |= given.boolean()?,
            "att_encoding_info" => self.att_encoding_info |= given.boolean()?,
            "update_seq" => self.update_seq = given.boolean()?,
            "sorted" => self.sorted = given.boolean()?,
            _ => {}
        }
        Ok(())
    }
}

impl Given<'_> {
    fn json(self) -> Result<Value, ApiError> {
        match self {
            Self::Text(text) => serde_json::from_str(text).map_err(|_| ApiError::invalid_json()),
            Self::Json(value) => Ok(value.clone()),
        }
    }

    fn string(self, complaint: &'static str) -> Result<String, ApiError> {
        match self {
            Self::Text(text) => Ok(text.to_owned()),
            Self::Json(Value::String(text)) => Ok(text.clone()),
            Self::Json(_) => Err(ApiError::query(complaint)),
        }
    }

    /// `true` and `false` in any case.
    fn boolean(self) -> Result<bool, ApiError> {
        let text = match self {
            Self::Json(Value::Bool(value)) => return Ok(*value),
            Self::Text(text) => Some(text),
            Self::Json(value) => value.as_str(),
        };
        match text {
            Some(text) if text.eq_ignore_ascii_case("true") => Ok(true),
            Some(text) if text.eq_ignore_ascii_case("false") => Ok(false),
            _ => Err(ApiError::query(format!("Invalid boolean parameter: {}", self.shown()))),
        }
    }

    /// An integer that is not negative. One beyond 64 bits is as good as the largest.
    fn unsigned(self) -> Result<u64, ApiError> {
        let text = match self {
            Self::Text(text) => text.to_owned(),
            Self::Json(Value::Number(number)) => number.to_string(),
            Self::Json(value) => value.as_str().unwrap_or_default().to_owned(),
        };
        let digits = text.strip_prefix(['+', '-']).unwrap_or(&text);
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            let message = format!("Invalid value for integer: {}", self.shown_number());
            return Err(ApiError::query(message));
        }
        if text.starts_with('-') && digits.bytes().any(|byte| byte != b'0') {
            let message = format!("Invalid value for positive integer: {}", self.shown_number());
            return Err(ApiError::query(message));
        }
        Ok(digits.parse().unwrap_or(u64::MAX))
    }

    /// The same where a number is wanted: CouchDB shows text of a body as an Erlang binary.
    fn shown_number(self) -> String {
        match self {
            Self::Json(Value::String(_)) => format!("<<{}>>", self.shown()),
            _ => self.shown(),
        }
    }

    /// The value as CouchDB repeats it in a complaint.
    fn shown(self) -> String {
        match self {
            Self::Text(text) => Value::from(text).to_string(),
            Self::Json(value) => value.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn query(pairs: &[(&str, &str)]) -> Query {
        Query::new(pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect())
    }

    fn read(pairs: &[(&str, &str)]) -> Result<ViewQuery, ApiError> {
        ViewQuery::from_query(&query(pairs))
    }

    #[test]
    fn parameters_are_read_from_the_query_string() {
        let all = read(&[
            ("startkey", "[1]"),
            ("end_key", "{}"),
            ("startkey_docid", "a"),
            ("limit", "+10"),
            ("skip", "-0"),
            ("descending", "TRUE"),
            ("inclusive_end", "false"),
            ("group_level", "2"),
            ("stale", "update_after"),
            ("include_docs", "true"),
            ("unknown", "x"),
        ])
        .unwrap();
        let expect = ViewQuery {
            start_key: Some(json!([1])),
            end_key: Some(json!({})),
            start_key_docid: Some("a".to_owned()),
            limit: Some(10),
            direction: Direction::Backward,
            inclusive_end: false,
            group_level: Some(2),
            update: Update::Lazy,
            stable: true,
            include_docs: true,
            ..ViewQuery::default()
        };
        assert_eq!(all, expect);
        let key = read(&[("key", "\"a\""), ("endkey", "\"b\"")]).unwrap();
        assert_eq!((key.start_key, key.end_key), (Some(json!("a")), Some(json!("b"))));
        assert_eq!(read(&[("limit", "99999999999999999999")]).unwrap().limit, Some(u64::MAX));
    }

    #[test]
    fn the_query_string_wins_over_the_body() {
        let body = json!({"limit": 2, "skip": "3", "keys": [1], "reduce": false, "x": []});
        let Value::Object(body) = body else { panic!("no object") };
        let read = ViewQuery::from_body(body).unwrap();
        let mut read = read.with_query(&query(&[("limit", "1")])).unwrap();
        assert_eq!((read.limit, read.skip, read.reduce), (Some(1), 3, Some(false)));
        assert_eq!(read.keys(), Some([json!(1)].as_slice()));
        read.fold_single_key();
        assert_eq!((read.keys(), read.start_key.as_ref()), (None, Some(&json!(1))));
    }

    #[test]
    fn complaints_are_couchdbs() {
        let reason = |pairs: &[(&str, &str)], kind| {
            let checked = read(pairs).and_then(|query| query.check(kind));
            checked.err().map(|error| error.describe().2)
        };
        for (name, value, map, reduce) in [
            ("limit", "x", "Invalid value for integer: \"x\"", None),
            ("skip", "-2", "Invalid value for positive integer: \"-2\"", None),
            ("descending", "maybe", "Invalid boolean parameter: \"maybe\"", None),
            ("key", "z", "invalid UTF-8 JSON", None),
            ("stale", "no", "Invalid value for `stale`.", None),
            ("update", "x", "Invalid value for `update`.", None),
            ("stable", "x", "Invalid value for `stable`.", None),
            ("keys", "1", "`keys` must be an array of strings.", None),
            ("partition", "", "Invalid value for `partition`.", None),
            ("reduce", "true", "Reduce is invalid for map-only views.", Some("")),
            ("group", "true", "Invalid use of grouping on a map view.", Some("")),
            ("group_level", "1", "Invalid use of grouping on a map view.", Some("")),
            ("include_docs", "true", "", Some("`include_docs` is invalid for reduce")),
            ("conflicts", "true", "", Some("`conflicts` is invalid for reduce views.")),
            ("keys", "[]", "", Some("Multi-key fetches for reduce views must use `group=true`")),
        ] {
            let told = |kind| reason(&[(name, value)], kind).unwrap_or_default();
            assert_eq!(told(ViewKind::Map), map, "{name}={value}");
            assert_eq!(told(ViewKind::Reduce), reduce.unwrap_or(map), "{name}={value}");
        }
        let Value::Object(body) = json!({"limit": "x"}) else { panic!("no object") };
        let complaint = ViewQuery::from_body(body).unwrap_err().describe().2;
        assert_eq!(complaint, "Invalid value for integer: <<\"x\">>");
        let both = [("keys", "[1]"), ("key", "1")];
        let incompatible = "`keys` is incompatible with `key`, `start_key` and `end_key`";
        assert_eq!(reason(&both, ViewKind::Map).unwrap(), incompatible);
        let levels = [("group", "false"), ("group_level", "1")];
        let reason = reason(&levels, ViewKind::Reduce).unwrap();
        assert_eq!(reason, "Can't specify group=false and group_level>0 at the same time");
    }
}
