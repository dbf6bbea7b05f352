//! The filters of `_changes` that are functions of design documents: finding them.

use std::sync::Arc;

use serde_json::Value;

use crate::app::SharedApp;
use crate::blocking;
use crate::changes::{Filter, FilterFunction, FunctionFilter};
use crate::database::Database;
use crate::design::Ddoc;
use crate::document::DocId;
use crate::http::path::{self, Plus};

use super::changes_filter::Posted;
use super::error::ApiError;
use super::request::Request;
use super::request_object::SeenRequest;

/// What the function is in its design document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Filter,
    /// A map function that is used as a filter.
    View,
}

impl Kind {
    fn member(self) -> &'static str {
        match self {
            Self::Filter => "filters",
            Self::View => "views",
        }
    }
}

/// A function that a request names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionAsked {
    kind: Kind,
    ddoc: String,
    name: String,
}

impl FunctionAsked {
    /// # Errors
    /// 400 where a name cannot be decoded: CouchDB does so once more after the query was read.
    pub fn of(kind: Kind, ddoc: &str, name: &str) -> Result<Self, ApiError> {
        let decode = |piece: &str| path::decode(piece, Plus::Space);
        Ok(Self { kind, ddoc: decode(ddoc)?, name: decode(name)? })
    }

    /// Loads the function, which then stays as it is as long as the feed lasts.
    ///
    /// # Errors
    /// 404 for a design document or a function that is not there.
    pub async fn load(
        self,
        request: &mut Request,
        db: &Arc<Database>,
        posted: Posted,
    ) -> Result<Filter, ApiError> {
        let seen = match (self.kind, posted) {
            (Kind::View, _) => None,
            (Kind::Filter, Posted::Json(body)) => Some(SeenRequest::with_json(request, body)?),
            (Kind::Filter, Posted::Nothing | Posted::Empty(_)) => {
                Some(SeenRequest::take(request).await?)
            }
        };
        let (app, db) = (request.app.clone(), db.clone());
        blocking::run("load filter", move || self.find(&app, &db, seen.as_ref())).await?
    }

    fn find(
        self,
        app: &SharedApp,
        db: &Database,
        seen: Option<&SeenRequest>,
    ) -> Result<Filter, ApiError> {
        let id =
            DocId::parse(&format!("_design/{}", self.ddoc)).map_err(|_| ApiError::missing())?;
        let Some(ddoc) = db.design(&id)? else {
            let there_was_one = db.winner(&id)?.is_some();
            return Err(ApiError::not_found(if there_was_one { "deleted" } else { "missing" }));
        };
        require_member(&ddoc, self.kind.member(), &self.name)?;
        let function = match seen {
            Some(seen) => {
                let request: Arc<str> = seen.to_json(db, None).into();
                let asked = if sees_one_request(&ddoc, &self.name) {
                    request.clone()
                } else {
                    seen.to_common_json(db).into()
                };
                FilterFunction::Filter { name: self.name, request, asked }
            }
            None => FilterFunction::View { name: self.name },
        };
        Ok(Filter::Function(FunctionFilter { functions: app.functions.clone(), ddoc, function }))
    }
}

/// Whether a filter may look at what no other request has: its id, and the state of the database
/// when it came. What is no JavaScript cannot be known.
fn sees_one_request(ddoc: &Ddoc, name: &str) -> bool {
    let source = ddoc.body.get("filters").and_then(|filters| filters.get(name)?.as_str());
    let names = ["uuid", "info"];
    ddoc.language() != "javascript"
        || source.is_none_or(|source| names.iter().any(|name| source.contains(name)))
}

fn require_member(ddoc: &Ddoc, kind: &str, name: &str) -> Result<(), ApiError> {
    let missing = |key: &str| ApiError::not_found(format!("missing json key: {key}"));
    match ddoc.body.get(kind).ok_or_else(|| missing(kind))? {
        Value::Object(functions) if functions.contains_key(name) => Ok(()),
        Value::Object(_) => Err(missing(name)),
        _ => Err(ApiError::not_found("json_mismatch")),
    }
}
