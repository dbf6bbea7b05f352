//! One event as a line: text, JSON, or what journald and syslog add themselves left out.

use std::fmt::{self, Write as _};

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Level};

use crate::blocking::RequestContext;
use crate::config::{LogFormat, without_credentials};
use crate::http::date::iso_date;

use super::super::node_name;

/// An event with its fields.
pub struct Line {
    level: Level,
    target: &'static str,
    now_us: u64,
    message: String,
    fields: Vec<(&'static str, Value)>,
}

impl Line {
    /// Reads an event, and who asked for what it tells of.
    pub fn of(event: &Event<'_>, request: Option<&RequestContext>, now_us: u64) -> Self {
        let metadata = event.metadata();
        let (level, target) = (*metadata.level(), metadata.target());
        let (message, fields) = (String::new(), Vec::new());
        let mut line = Self { level, target, now_us, message, fields };
        event.record(&mut line);
        let known = line.fields.iter().any(|(name, _)| *name == "request.id");
        if let (Some(request), false) = (request, known) {
            line.fields.push(("request.id", request.id().into()));
            line.fields.extend(request.user().map(|user| ("user", user.into())));
            line.fields.extend(request.peer().map(|peer| ("peer", peer.to_string().into())));
        }
        line
    }

    /// CouchDB's word for the level.
    pub fn level_name(&self) -> &'static str {
        match self.level {
            Level::ERROR => "error",
            Level::WARN => "warning",
            Level::INFO => "info",
            Level::DEBUG | Level::TRACE => "debug",
        }
    }

    /// Syslog's number for the level.
    pub fn severity(&self) -> u8 {
        match self.level {
            Level::ERROR => 3,
            Level::WARN => 4,
            Level::INFO => 6,
            Level::DEBUG | Level::TRACE => 7,
        }
    }

    /// `2026-11-22T11:38:00.123456Z`.
    pub fn time(&self) -> String {
        let seconds = iso_date(self.now_us / 1_000_000);
        format!("{}.{:06}Z", seconds.trim_end_matches('Z'), self.now_us % 1_000_000)
    }

    /// The whole line without its end; the message is cut to `bytes_max`.
    pub fn render(&self, format: LogFormat, bytes_max: usize) -> String {
        match format {
            LogFormat::Json => self.json(bytes_max),
            LogFormat::Text => {
                let (level, time) = (self.level_name(), self.time());
                format!("[{level}] {time} {} {}", node_name(), self.text(bytes_max))
            }
        }
    }

    /// The message and the fields.
    pub fn text(&self, bytes_max: usize) -> String {
        let mut text = self.message.clone();
        for (name, value) in &self.fields {
            // Writing to a String does not fail.
            let _ = write!(text, " {name}={value}");
        }
        // One event is one line, whatever somebody put into a name.
        let text = text.replace(['\n', '\r'], " ");
        cut(without_credentials(text.trim_start()), bytes_max)
    }

    fn json(&self, bytes_max: usize) -> String {
        let message = cut(without_credentials(&self.message), bytes_max);
        let mut object = Map::new();
        object.insert("time".to_owned(), self.time().into());
        object.insert("level".to_owned(), self.level_name().into());
        object.insert("target".to_owned(), self.target.into());
        object.insert("message".to_owned(), message.into());
        for (name, value) in &self.fields {
            let value = match value {
                Value::String(text) => cut(without_credentials(text), bytes_max).into(),
                value => value.clone(),
            };
            object.insert((*name).to_owned(), value);
        }
        Value::Object(object).to_string()
    }
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.record(field, format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.record(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.record(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.record(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.record(field, value.into());
    }
}

impl Line {
    fn record(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::String(text)) => self.message = text,
            (name, value) => self.fields.push((name, value)),
        }
    }
}

/// At most `bytes_max` of a text, with a mark where something is missing.
fn cut(mut text: String, bytes_max: usize) -> String {
    if text.len() > bytes_max {
        let end = (0..=bytes_max).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
        text.push_str("...");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(message: &str, fields: &[(&'static str, Value)]) -> Line {
        Line {
            level: Level::WARN,
            target: "settee::x",
            now_us: 1_700_000_000_000_042,
            message: message.to_owned(),
            fields: fields.to_vec(),
        }
    }

    #[test]
    fn both_formats() {
        let fields = [("db.name", "d".into()), ("http.status", 201.into())];
        let line = line("it is\nslow", &fields);
        assert_eq!(
            line.render(LogFormat::Text, 100),
            "[warning] 2023-11-14T22:13:20.000042Z settee@127.0.0.1 \
             it is slow db.name=\"d\" http.status=201"
        );
        assert_eq!(
            line.render(LogFormat::Json, 5),
            "{\"time\":\"2023-11-14T22:13:20.000042Z\",\"level\":\"warning\",\
             \"target\":\"settee::x\",\"message\":\"it is...\",\"db.name\":\"d\",\
             \"http.status\":201}"
        );
    }

    #[test]
    fn credentials_are_hidden_and_long_messages_cut() {
        let source = ("source", Value::from("http://bob:word@host/db"));
        let told = line("from https://eve:secret@b/ on", &[source]);
        for format in [LogFormat::Text, LogFormat::Json] {
            let text = told.render(format, 1000);
            assert!(text.contains("@host/db") && text.contains("@b/ on"), "{text}");
            assert!(!text.contains("word@") && !text.contains("secret"), "{text}");
        }
        assert_eq!(cut("äöü".to_owned(), 3), "ä...");
        assert_eq!(cut("abc".to_owned(), 3), "abc");
    }
}
