//! `/{db}/_design/{name}/_list/{function}/[{other}/]{view}`: the rows of a view as anything.
//!
//! The answer is sent while the function makes it (`chunk_queue.rs`). It begins with the first
//! text that is sent: errors before that are errors, those after it cut the connection.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::body::Body;
use axum::http::Method;
use axum::response::Response as HttpResponse;
use serde_json::{Map, Value};
use tokio::sync::oneshot;

use crate::blocking::{self, Interrupted};
use crate::couch_api::error::ApiError;
use crate::couch_api::id_rows::{Listing, Namespace};
use crate::couch_api::request::Request;
use crate::couch_api::request_object::SeenRequest;
use crate::couch_api::respond::Answer;
use crate::couch_api::view_query::ViewQuery;
use crate::couch_api::viewer::Viewer;
use crate::couch_api::views::{ListRows, Prepared, ViewAt, parameters};
use crate::couch_api::{all_docs, design_docs};
use crate::database::Database;
use crate::design::{Ddoc, FunctionError, Response};
use crate::document::DocId;
use crate::sandbox::{ChunkSink, RowSource};

use super::all_docs_rows::AllDocsRows;
use super::chunk_queue::{ChunkError, ChunkWriter, ReaderWatch, chunk_queue};
use super::{answer, require_function};

const METHODS: &str = "GET,POST,HEAD";

/// `path` is what follows `_list`.
pub async fn list(
    mut request: Request,
    db: Arc<Database>,
    ddoc: Arc<Ddoc>,
    path: &[String],
) -> Answer {
    if ![Method::GET, Method::POST, Method::OPTIONS].contains(&request.method) {
        return Err(ApiError::MethodNotAllowed(METHODS));
    }
    let (name, other, view) = match path {
        [name, view] => (name, None, view),
        [name, other, view] => (name, Some(other), view),
        _ => return Err(ApiError::InvalidPath("list_error")),
    };
    require_function(&ddoc, "lists", name)?;
    let view_ddoc = match other {
        Some(other) => {
            let id = DocId::parse(&format!("_design/{other}"))?;
            design_docs::open(&db, &id)?
        }
        None => ddoc.clone(),
    };
    if request.method == Method::POST {
        request.require_json()?;
    }
    let seen = SeenRequest::take(&mut request).await?;
    let rows = Rows::find(&request, &db, &view_ddoc, view, &seen)?;
    if let Rows::Of(prepared) = &rows {
        prepared.wait().await?;
    }
    let begin = rows.begin();
    let answer = run(&request, Call { db, ddoc, name: name.clone(), seen }, begin).await;
    if let Rows::Of(prepared) = &rows {
        prepared.update_afterwards();
    }
    answer
}

/// What a list's rows are those of.
enum Rows {
    Of(Box<Prepared>),
    AllDocs(Arc<Database>, Box<ViewQuery>),
}

/// What stands before the rows, and the rows; from disk.
type Begin = Box<dyn FnOnce() -> Result<(String, Box<dyn RowSource>), ApiError> + Send>;

impl Rows {
    fn find(
        request: &Request,
        db: &Arc<Database>,
        ddoc: &Ddoc,
        view: &str,
        seen: &SeenRequest,
    ) -> Result<Self, ApiError> {
        let body = if request.method == Method::POST { Some(object(seen)?) } else { None };
        let query = parameters(&request.query, body)?;
        if view == "_all_docs" {
            all_docs::check(db, &query)?;
            return Ok(Self::AllDocs(db.clone(), Box::new(query)));
        }
        let prepared = ViewAt::find(&request.app, db, ddoc, view)?.check(query)?;
        Ok(Self::Of(Box::new(prepared)))
    }

    fn begin(&self) -> Begin {
        match self {
            Self::Of(prepared) => {
                let rows = ListRows::new(prepared.listing());
                Box::new(move || Ok((rows.head()?, Box::new(rows) as Box<dyn RowSource>)))
            }
            Self::AllDocs(db, query) => {
                let listing =
                    Listing::new(db.clone(), Namespace::All, (**query).clone(), Viewer::Everything);
                Box::new(move || {
                    let (head, rows) = AllDocsRows::begin(listing)?;
                    Ok((head, Box::new(rows) as Box<dyn RowSource>))
                })
            }
        }
    }
}

fn object(seen: &SeenRequest) -> Result<Map<String, Value>, ApiError> {
    let body = seen.body().map_or(b"".as_slice(), |body| body);
    match serde_json::from_slice(body) {
        Ok(Value::Object(object)) => Ok(object),
        Ok(_) => Err(ApiError::bad_request("Request body must be a JSON object")),
        Err(_) => Err(ApiError::invalid_json()),
    }
}

/// A list function and what it is called with besides rows.
struct Call {
    db: Arc<Database>,
    ddoc: Arc<Ddoc>,
    name: String,
    seen: SeenRequest,
}

/// How an answer begins; nothing where nothing was sent.
type Begun = Result<Option<Response>, ApiError>;

/// Starts the list and waits until its answer begins.
async fn run(request: &Request, call: Call, begin: Begin) -> Answer {
    let (writer, reader) = chunk_queue(request.app.scratch.clone());
    let (tell, told) = oneshot::channel::<Begun>();
    let functions = request.app.functions.clone();
    blocking::start("list", move || {
        let watch = writer.watch();
        let progress = Progress { tell: Some(tell), writer, refused: None };
        let progress = Arc::new(Mutex::new(progress));
        let sink = Box::new(Sink { progress: progress.clone(), head: Response::default() });
        let Call { db, ddoc, name, seen } = call;
        let ended = begin().and_then(|(head, rows)| {
            let rows = Box::new(WatchedRows { rows, watch });
            let arguments = [head, seen.to_json(&db, None)];
            Ok(functions.list(&ddoc, &name, arguments, rows, sink)?)
        });
        lock(&progress).end(ended);
    });
    match told.await.map_err(|_| Interrupted)?? {
        Some(response) => {
            answer::begun(&response, Body::from_stream(reader.into_stream()), &request.settings)
        }
        None => Ok(HttpResponse::new(Body::empty())),
    }
}

/// How far a list has come.
struct Progress {
    /// Until the answer begins.
    tell: Option<oneshot::Sender<Begun>>,
    writer: ChunkWriter,
    /// Why the list was ended from here.
    refused: Option<FunctionError>,
}

fn lock(progress: &Mutex<Progress>) -> MutexGuard<'_, Progress> {
    progress.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Progress {
    fn end(&mut self, ended: Result<(), ApiError>) {
        let error = match (ended, self.refused.take()) {
            (Ok(()), None) => {
                self.begin(Ok(None));
                self.writer.finish();
                return;
            }
            (_, Some(refused)) => refused.into(),
            (Err(error), None) => error,
        };
        let reason = error.to_string();
        if self.begin(Err(error)).is_none() {
            // Its client sees no more than the broken connection.
            tracing::warn!(%reason, "a list broke off");
            self.writer.break_off();
        }
    }

    /// Tells how the answer begins, the first time.
    fn begin(&mut self, begun: Begun) -> Option<()> {
        // Who has gone need not be told.
        let _ = self.tell.take()?.send(begun);
        Some(())
    }
}

/// Where a list's texts go.
struct Sink {
    progress: Arc<Mutex<Progress>>,
    head: Response,
}

impl ChunkSink for Sink {
    fn start(&mut self, response: String) -> Result<(), String> {
        match Response::from_json(&response) {
            Ok(head) => {
                self.head = head;
                Ok(())
            }
            Err(error) => {
                let text = error.to_string();
                lock(&self.progress).refused = Some(error);
                Err(text)
            }
        }
    }

    fn chunk(&mut self, text: String) -> Result<(), String> {
        if text.is_empty() {
            return Ok(());
        }
        let mut progress = lock(&self.progress);
        progress.begin(Ok(Some(std::mem::take(&mut self.head))));
        progress.writer.push(text).map_err(|error| error.to_string())
    }
}

/// Rows that end when nobody reads the answer any more, whether the list sends anything or not.
struct WatchedRows {
    rows: Box<dyn RowSource>,
    watch: ReaderWatch,
}

impl RowSource for WatchedRows {
    fn next_row(&mut self) -> Result<Option<String>, String> {
        if self.watch.reader_is_gone() {
            return Err(ChunkError::ReaderGone.to_string());
        }
        self.rows.next_row()
    }
}
