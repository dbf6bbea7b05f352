//! `/_all_dbs` and `/_dbs_info`: the names of all databases in byte order, streamed, so that a
//! hundred thousand of them need no more memory than a few.

use std::ops::{Bound, ControlFlow};

use axum::http::{Method, StatusCode, header};
use axum::response::Response;
use md5::{Digest as _, Md5};
use serde_json::{Map, Value, json};

use crate::app::SharedApp;
use crate::blocking;
use crate::database::{DatabaseError, DatabaseName, Direction};
use crate::document::encode::write_string;

use super::databases::info_json;
use super::error::ApiError;
use super::request::Request;
use super::respond::{self, Answer};
use super::stream::{PAGE_BYTES, Pages, stream_pages};
use super::view_query::ViewQuery;

/// Names read in one scan.
const NAMES_PER_SCAN: usize = 1000;

/// `GET /_all_dbs`.
pub async fn all_dbs(request: Request) -> Answer {
    authorise(&request)?;
    request.allow(&[Method::GET], "GET,HEAD")?;
    list(request, Row::Name).await
}

/// `GET` and `POST /_dbs_info`.
pub async fn dbs_info(request: Request) -> Answer {
    authorise(&request)?;
    match request.method {
        Method::GET => list(request, Row::Info).await,
        Method::POST => infos_of_keys(request).await,
        _ => Err(ApiError::MethodNotAllowed("GET,HEAD,POST")),
    }
}

fn authorise(request: &Request) -> Result<(), ApiError> {
    if request.settings.chttpd.admin_only_all_dbs { request.require_server_admin() } else { Ok(()) }
}

async fn list(request: Request, row: Row) -> Answer {
    let mut query = ViewQuery::from_query(&request.query)?;
    let keys = query.take_keys();
    let names = Names::new(request.app.clone(), &query, keys);
    let (hashed, etag) = (names.clone(), request.app.clone());
    let state = move || hashed.etag(&etag, row);
    let etag = blocking::run("tag databases", state).await??;
    if request.matches_etag(&etag) {
        return Ok(respond::not_modified(&etag));
    }
    let pages = DatabasePages { names, row, rows: 0, opened: false };
    let body = stream_pages("list databases", pages).await?;
    Ok(respond::with(respond::json_stream(body), header::ETAG, &etag))
}

/// `POST /_dbs_info`: unlike the list, it says which of the names are unknown.
async fn infos_of_keys(mut request: Request) -> Result<Response, ApiError> {
    request.require_json()?;
    let keys = match request.json_object().await?.remove("keys") {
        None => return Err(ApiError::bad_request("`keys` member must exist.")),
        Some(Value::Array(keys)) => keys,
        Some(_) => return Err(ApiError::bad_request("`keys` member must be an array.")),
    };
    if keys.len() as u64 > request.settings.chttpd.max_db_number_for_dbs_info_req {
        return Err(ApiError::bad_request("too_many_keys"));
    }
    let app = request.app.clone();
    let infos = move || keys.into_iter().map(|key| info_of_key(&app, key)).collect();
    let infos: Result<Vec<Value>, ApiError> = blocking::run("database infos", infos).await?;
    Ok(respond::json(StatusCode::OK, &Value::Array(infos?)))
}

fn info_of_key(app: &SharedApp, key: Value) -> Result<Value, ApiError> {
    let mut row = Map::new();
    match key.as_str().map(|name| info(app, name)).transpose()?.flatten() {
        Some(info) => {
            row.insert("key".to_owned(), key);
            row.insert("info".to_owned(), info);
        }
        None => {
            row.insert("key".to_owned(), key);
            row.insert("error".to_owned(), json!("not_found"));
        }
    }
    Ok(Value::Object(row))
}

/// `None` where there is no such database.
fn info(app: &SharedApp, name: &str) -> Result<Option<Value>, DatabaseError> {
    let Ok(name) = DatabaseName::parse(name) else { return Ok(None) };
    match app.registry.get(&name) {
        Ok(db) => Ok(Some(info_json(&db))),
        Err(DatabaseError::NotFound) => Ok(None),
        Err(error) => Err(error),
    }
}

/// What is shown of a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Row {
    Name,
    Info,
}

/// The databases a request asks for, given out a few at a time.
#[derive(Clone)]
struct Names {
    app: SharedApp,
    source: Source,
    skip: u64,
    limit: u64,
}

#[derive(Clone)]
enum Source {
    Range { start: Bound<String>, end: Bound<String>, direction: Direction },
    Keys(std::vec::IntoIter<Value>),
    Nothing,
}

impl Names {
    fn new(app: SharedApp, query: &ViewQuery, keys: Option<Vec<Value>>) -> Self {
        let source = match keys {
            Some(keys) => Source::Keys(keys.into_iter()),
            None => range(query),
        };
        Self { app, source, skip: query.skip, limit: query.limit.unwrap_or(u64::MAX) }
    }

    /// The next names; none when there are no more.
    fn next(&mut self) -> Result<Vec<String>, DatabaseError> {
        let mut names = Vec::new();
        while names.is_empty() && self.limit > 0 {
            let found = self.scan()?;
            if found.is_empty() {
                break;
            }
            let skipped = self.skip.min(found.len() as u64);
            self.skip -= skipped;
            names.extend(found.into_iter().skip(usize::try_from(skipped).unwrap_or(usize::MAX)));
        }
        names.truncate(usize::try_from(self.limit).unwrap_or(usize::MAX));
        self.limit -= names.len() as u64;
        Ok(names)
    }

    /// The next names of the source, without regard to `skip` and `limit`.
    fn scan(&mut self) -> Result<Vec<String>, DatabaseError> {
        match &mut self.source {
            Source::Nothing => Ok(Vec::new()),
            Source::Range { start, end, direction } => {
                let found = scan_range(&self.app, start, end, *direction)?;
                if let Some(last) = found.last() {
                    let next = Bound::Excluded(last.clone());
                    match direction {
                        Direction::Forward => *start = next,
                        Direction::Backward => *end = next,
                    }
                }
                Ok(found)
            }
            Source::Keys(keys) => known_names(&self.app, keys),
        }
    }

    /// A tag over what the answer will show. A change between this and the answer makes the tag
    /// too old for the answer, never too new.
    fn etag(mut self, app: &SharedApp, row: Row) -> Result<String, DatabaseError> {
        let mut md5 = Md5::new();
        loop {
            let names = self.next()?;
            if names.is_empty() {
                break;
            }
            for name in names {
                md5.update(&name);
                md5.update([0]);
                if row == Row::Info {
                    md5.update(info(app, &name)?.unwrap_or_default().to_string());
                }
            }
        }
        Ok(respond::content_etag(&[&md5.finalize()]))
    }
}

fn scan_range(
    app: &SharedApp,
    start: &Bound<String>,
    end: &Bound<String>,
    direction: Direction,
) -> Result<Vec<String>, DatabaseError> {
    let mut found = Vec::new();
    let range = (start.as_ref().map(String::as_str), end.as_ref().map(String::as_str));
    app.registry.names(range, direction, &mut |name| {
        found.push(name.to_owned());
        if found.len() < NAMES_PER_SCAN {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        }
    })?;
    Ok(found)
}

/// The next of the keys that name databases.
fn known_names(
    app: &SharedApp,
    keys: &mut std::vec::IntoIter<Value>,
) -> Result<Vec<String>, DatabaseError> {
    let mut found = Vec::new();
    for key in keys {
        let name = key.as_str().and_then(|name| DatabaseName::parse(name).ok());
        match name {
            Some(name) if app.registry.exists(&name)? => found.push(name.as_str().to_owned()),
            _ => {}
        }
        if found.len() == NAMES_PER_SCAN {
            break;
        }
    }
    Ok(found)
}

/// The range in the order of the keys, whatever the direction of reading.
fn range(query: &ViewQuery) -> Source {
    let (first, last) = (query.start_key.as_ref(), query.end_key.as_ref());
    let direction = query.direction;
    let (low, high) = match direction {
        Direction::Forward => (first, last),
        Direction::Backward => (last, first),
    };
    // Whatever is no text sorts before every name.
    let high = match high.map(Value::as_str) {
        None => Bound::Unbounded,
        Some(None) => return Source::Nothing,
        Some(Some(name)) => Bound::Included(name.to_owned()),
    };
    let low = match low.and_then(Value::as_str) {
        None => Bound::Unbounded,
        Some(name) => Bound::Included(name.to_owned()),
    };
    let (start, end) = match direction {
        _ if query.inclusive_end => (low, high),
        Direction::Forward => (low, exclusive(high)),
        Direction::Backward => (exclusive(low), high),
    };
    Source::Range { start, end, direction }
}

fn exclusive(bound: Bound<String>) -> Bound<String> {
    match bound {
        Bound::Included(name) => Bound::Excluded(name),
        other => other,
    }
}

struct DatabasePages {
    names: Names,
    row: Row,
    rows: u64,
    opened: bool,
}

impl DatabasePages {
    fn write_row(&mut self, out: &mut Vec<u8>, name: &str) -> Result<(), ApiError> {
        let info = match self.row {
            Row::Name => None,
            Row::Info => match info(&self.names.app, name)? {
                // Deleted since its name was read.
                None => return Ok(()),
                found => found,
            },
        };
        if self.rows > 0 {
            out.push(b',');
        }
        self.rows += 1;
        match info {
            None => write_string(out, name),
            Some(info) => {
                out.extend_from_slice(json!({"key": name, "info": info}).to_string().as_bytes());
            }
        }
        Ok(())
    }
}

impl Pages for DatabasePages {
    fn write_page(&mut self, out: &mut Vec<u8>) -> Result<bool, ApiError> {
        if !std::mem::replace(&mut self.opened, true) {
            out.push(b'[');
        }
        while out.len() < PAGE_BYTES {
            let names = self.names.next()?;
            if names.is_empty() {
                out.extend_from_slice(b"]\n");
                return Ok(false);
            }
            for name in names {
                self.write_row(out, &name)?;
            }
        }
        Ok(true)
    }
}
