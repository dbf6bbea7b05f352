//! Lists: one function, called again and again on one instance.
//!
//! A module cannot ask for rows, so it is given them: first it is called with what stands before
//! the rows, then with some rows at a time, at last with nothing more. Between the calls it keeps
//! what it wants in its own memory. So neither side ever holds more than a few rows.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::functions::{ask, invalid, response};
use super::guest::{Function, Running};
use crate::sandbox::clock::Clock;
use crate::sandbox::host::Streams;
use crate::sandbox::program::CallError;

/// Rows of one call, by number and by bytes; a row that is longer comes alone.
const ROWS_MAX: usize = 100;
const ROWS_BYTES_MAX: usize = 64 << 10;

/// What a list answers to rows.
#[derive(Deserialize)]
#[serde(untagged)]
enum Piece {
    Nothing(()),
    Text(String),
    Object(PieceObject),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PieceObject {
    #[serde(default)]
    body: String,
    /// It wants no more rows.
    #[serde(default)]
    stop: bool,
}

/// The response object that a list begins with.
#[derive(Deserialize)]
struct Start<'a> {
    #[serde(default)]
    body: Option<String>,
    #[serde(borrow, default)]
    code: Option<&'a RawValue>,
    #[serde(borrow, default)]
    headers: Option<&'a RawValue>,
}

/// A list under way.
struct Listing<'a> {
    running: &'a mut Running,
    function: &'a Function,
    streams: Streams,
    clock: &'a Clock,
}

/// Runs a list to its end.
pub(super) fn run(
    running: &mut Running,
    function: &Function,
    [head, request]: &[String; 2],
    streams: Streams,
    clock: &Clock,
) -> Result<(), CallError> {
    let mut listing = Listing { running, function, streams, clock };
    let start = format!(r#"{{"phase":"start","head":{head},"req":{request}}}"#);
    let start = listing.ask(&start)?;
    listing.start(&response(&start)?)?;
    while let Some(rows) = listing.next_rows()? {
        let piece = listing.ask(&format!(r#"{{"phase":"rows","rows":[{rows}]}}"#))?;
        if listing.send(&piece)? {
            break;
        }
    }
    let end = listing.ask(r#"{"phase":"end"}"#)?;
    listing.send(&end).map(|_| ())
}

impl Listing<'_> {
    /// Calls the function; each call is a step.
    fn ask(&mut self, input: &str) -> Result<String, CallError> {
        self.running.restart(self.clock);
        ask(self.running, self.function, input)
    }

    /// Begins the answer; a body that comes with the response object is its first piece.
    fn start(&mut self, response: &str) -> Result<(), CallError> {
        let start: Start<'_> =
            serde_json::from_str(response).map_err(|error| invalid(&error.to_string()))?;
        let members = [("code", start.code), ("headers", start.headers)];
        let members = members
            .iter()
            .filter_map(|(name, value)| value.map(|value| format!(r#""{name}":{value}"#)));
        let head = format!("{{{}}}", members.collect::<Vec<_>>().join(","));
        let sink = &mut self.streams.sink;
        self.clock.outside(|| sink.start(head)).map_err(CallError::Aborted)?;
        self.chunk(start.body.unwrap_or_default())
    }

    /// Some rows, with commas between them; none at the end.
    fn next_rows(&mut self) -> Result<Option<String>, CallError> {
        let rows = &mut self.streams.rows;
        let read = self.clock.outside(|| {
            let mut texts: Option<String> = None;
            for _ in 0..ROWS_MAX {
                let Some(row) = rows.next_row()? else { break };
                match &mut texts {
                    None => texts = Some(row),
                    Some(texts) => {
                        texts.push(',');
                        texts.push_str(&row);
                    }
                }
                if texts.as_ref().is_some_and(|texts| texts.len() > ROWS_BYTES_MAX) {
                    break;
                }
            }
            Ok(texts)
        });
        read.map_err(CallError::Aborted)
    }

    /// Sends what the function answered; whether it wants no more rows.
    fn send(&mut self, answer: &str) -> Result<bool, CallError> {
        let piece = serde_json::from_str(answer).map_err(|_| {
            invalid("a piece of a list is a string, null, or an object with `body` and `stop`")
        })?;
        let (text, stop) = match piece {
            Piece::Nothing(()) => (String::new(), false),
            Piece::Text(text) => (text, false),
            Piece::Object(PieceObject { body, stop }) => (body, stop),
        };
        self.chunk(text)?;
        Ok(stop)
    }

    fn chunk(&mut self, text: String) -> Result<(), CallError> {
        if text.is_empty() {
            return Ok(());
        }
        let sink = &mut self.streams.sink;
        self.clock.outside(|| sink.chunk(text)).map_err(CallError::Aborted)
    }
}
