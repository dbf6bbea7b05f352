//! A query of a view that has been checked and whose index is as fresh as the query wants: what
//! answers and list functions begin with.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::app::App;
use crate::couch_api::all_docs::queries;
use crate::couch_api::error::ApiError;
use crate::couch_api::query::Query;
use crate::couch_api::view_query::{self, Update, ViewKind, ViewQuery};
use crate::database::{Database, Direction};
use crate::design::Ddoc;
use crate::views::{Grouping, Index, MapReader, RangeQuery, ReduceReader, View, ViewGroup};

use super::documents::RowDocumentReader;
use super::listing::ViewListing;
use super::rows::{Rows, RowsWithDocuments};
use super::wait::{update_later, wait_until_current};

/// The parameters of a view or list request; `body` is that of a POST.
///
/// # Errors
/// 400 where a parameter cannot be read.
pub fn parameters(query: &Query, body: Option<Map<String, Value>>) -> Result<ViewQuery, ApiError> {
    let Some(mut body) = body else {
        let mut read = ViewQuery::from_query(query)?;
        read.fold_single_key();
        return Ok(read);
    };
    if body.contains_key("queries") {
        queries(&mut body)?;
        return Err(ApiError::bad_request(
            "The `queries` parameter is no longer supported at this endpoint",
        ));
    }
    let read = ViewQuery::from_body(body)?;
    if read.has_bad_keys() {
        return Err(ApiError::bad_request("`keys` member must be an array."));
    }
    let mut read = read.with_query(query)?;
    read.fold_single_key();
    Ok(read)
}

/// The index of a design document, and one of its views.
#[derive(Debug, Clone)]
pub struct ViewAt {
    app: Arc<App>,
    db: Arc<Database>,
    index: Arc<Index>,
    view: View,
}

/// A checked query of a view.
#[derive(Debug)]
pub struct Prepared {
    at: ViewAt,
    query: ViewQuery,
    range: RangeQuery,
    /// None for the rows of the map function.
    grouping: Option<Grouping>,
}

impl ViewAt {
    /// Finds a view.
    ///
    /// # Errors
    /// 404 `missing_named_view`; where no engine runs the design document's language.
    pub fn find(
        app: &Arc<App>,
        db: &Arc<Database>,
        ddoc: &Ddoc,
        name: &str,
    ) -> Result<Self, ApiError> {
        let index = app.views.index(db, ddoc)?;
        let view = index.group().view(name);
        let view = view.ok_or_else(|| ApiError::not_found("missing_named_view"))?;
        if index.group().partitioned {
            check_partitioned(ddoc)?;
        }
        Ok(Self { app: app.clone(), db: db.clone(), index, view })
    }

    /// Checks a query.
    ///
    /// # Errors
    /// `query_parse_error`.
    pub fn check(&self, mut query: ViewQuery) -> Result<Prepared, ApiError> {
        self.apply_limit(&mut query)?;
        let reduces = self.view.reduce.is_some() && query.reduce != Some(false);
        let kind = if reduces { ViewKind::Reduce } else { ViewKind::Map };
        query.check(kind)?;
        let grouping = if reduces { Some(grouping(&query)?) } else { None };
        check_partition(&self.db, self.index.group(), &query)?;
        let mut keys = query.take_keys();
        if let (None, Direction::Backward, Some(keys)) = (grouping, query.direction, &mut keys) {
            keys.reverse();
        }
        let range = RangeQuery {
            start_key: query.start_key.take(),
            start_docid: query.start_key_docid.take(),
            end_key: query.end_key.take(),
            end_docid: query.end_key_docid.take(),
            inclusive_end: query.inclusive_end,
            direction: query.direction,
            keys,
            spans: None,
            skip: query.skip,
            limit: query.limit.unwrap_or(u64::MAX),
            partition: query.partition.clone(),
        };
        if range.keys.is_none() && range.is_inverted(self.view.collation) {
            return Err(ApiError::InvertedRange { direction: range.direction });
        }
        Ok(Prepared { at: self.clone(), query, range, grouping })
    }
}

impl ViewAt {
    /// No query gives more rows than the configuration allows.
    fn apply_limit(&self, query: &mut ViewQuery) -> Result<(), ApiError> {
        let settings = self.app.config.snapshot().query_server;
        let max = if self.index.group().partitioned {
            settings.partition_query_limit
        } else {
            settings.query_limit
        };
        let Some(max) = max else { return Ok(()) };
        if query.limit.is_some_and(|limit| limit > max) {
            let reason = format!("Limit is too large, must not exceed {max}");
            return Err(ApiError::query(reason));
        }
        query.limit.get_or_insert(max);
        Ok(())
    }
}

/// In a partitioned index CouchDB cannot call the reduce functions of design documents, and fails.
fn check_partitioned(ddoc: &Ddoc) -> Result<(), ApiError> {
    let views = ddoc.body.get("views").and_then(Value::as_object).into_iter().flatten();
    let mut reduces = views.filter_map(|(_, view)| view.get("reduce").and_then(Value::as_str));
    if reduces.any(|reduce| !reduce.starts_with('_')) {
        return Err(ApiError::UnknownError("a partitioned view can have built-in reduces only"));
    }
    Ok(())
}

fn grouping(query: &ViewQuery) -> Result<Grouping, ApiError> {
    Ok(match query.grouping()? {
        view_query::Grouping::Level(level) => Grouping::Level(level),
        view_query::Grouping::Exact => Grouping::Exact,
    })
}

fn check_partition(db: &Database, group: &ViewGroup, query: &ViewQuery) -> Result<(), ApiError> {
    match (group.partitioned, &query.partition) {
        (true, Some(_)) | (false, None) => Ok(()),
        (true, None) => {
            Err(ApiError::query("`partition` parameter is mandatory for queries to this view."))
        }
        (false, Some(_)) if db.is_partitioned() => {
            Err(ApiError::query("`partition` parameter is not supported in this design doc"))
        }
        (false, Some(_)) => {
            Err(ApiError::query("`partition` parameter is not supported on this db"))
        }
    }
}

impl Prepared {
    /// Waits until the index is as fresh as the query wants.
    ///
    /// # Errors
    /// Why the index cannot be brought up to date.
    pub async fn wait(&self) -> Result<(), ApiError> {
        match self.query.update {
            Update::First => wait_until_current(&self.at.app, &self.at.db, &self.at.index).await,
            Update::Never | Update::Lazy => Ok(()),
        }
    }

    /// Starts what the query wants to happen after its answer.
    pub fn update_afterwards(&self) {
        if self.query.update == Update::Lazy {
            update_later(&self.at.db, &self.at.index);
        }
    }

    /// The rows, and what stands before them.
    #[must_use]
    pub fn listing(&self) -> ViewListing {
        let ViewAt { db, index, view, .. } = self.at.clone();
        let range = self.range.clone();
        let rows = match self.grouping {
            Some(grouping) => Rows::Reduce(ReduceReader::new(index.clone(), view, range, grouping)),
            None => {
                let reader = MapReader::new(index.clone(), view, range);
                if self.query.include_docs {
                    let documents = RowDocumentReader::new(db.clone(), &self.query);
                    Rows::Documents(Box::new(RowsWithDocuments::new(reader, documents)))
                } else {
                    Rows::Map(reader)
                }
            }
        };
        let (skip, update_seq) = (self.query.skip, self.query.update_seq);
        ViewListing { db, index, rows, skip, update_seq, is_begun: false, is_first: true }
    }
}
