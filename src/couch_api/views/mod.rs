//! `/{db}/_design/{name}/_view/{view}`: asking map and reduce views.
//!
//! Parameters are checked (`prepared.rs`), the index is waited for (`wait.rs`), rows are streamed
//! (`listing.rs`, `rows.rs`, `documents.rs`). Complaints come in CouchDB's order: what cannot be
//! read, a missing view, what does not fit the view, then what is wrong with its index.

mod documents;
mod list_rows;
mod listing;
mod prepared;
mod rows;
mod wait;

use std::sync::Arc;

use axum::http::Method;
use serde_json::Value;

use crate::database::Database;
use crate::design::Ddoc;
use crate::metrics;

pub use list_rows::ListRows;
pub use prepared::{Prepared, ViewAt, parameters};
pub use wait::{build_ahead, is_current, wait_until_current};

use super::all_docs::queries;
use super::error::ApiError;
use super::listings::Listings;
use super::request::Request;
use super::respond::Answer;
use super::stream::answer_pages;
use super::view_query::ViewQuery;

const METHODS: &str = "GET,POST,HEAD";
const OPERATION: &str = "query view";

/// Everything below `_view`; `path` is what follows.
pub async fn view(request: Request, db: Arc<Database>, ddoc: Arc<Ddoc>, path: &[String]) -> Answer {
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    match path.as_slice() {
        [name] => {
            request.allow(&[Method::GET, Method::POST], METHODS)?;
            single(request, db, ddoc, name).await
        }
        [name, "queries"] => {
            request.allow(&[Method::POST], "POST")?;
            several(request, db, ddoc, name).await
        }
        _ => Err(ApiError::MethodNotAllowed(METHODS)),
    }
}

async fn single(mut request: Request, db: Arc<Database>, ddoc: Arc<Ddoc>, name: &str) -> Answer {
    metrics::VIEW_READS.add(1);
    let body = if request.method == Method::POST {
        request.require_json()?;
        Some(request.json_object().await?)
    } else {
        None
    };
    let query = parameters(&request.query, body)?;
    let prepared = ViewAt::find(&request.app, &db, &ddoc, name)?.check(query)?;
    prepared.wait().await?;
    let answer = answer_pages(OPERATION, Listings::single(prepared.listing())).await;
    prepared.update_afterwards();
    answer
}

async fn several(mut request: Request, db: Arc<Database>, ddoc: Arc<Ddoc>, name: &str) -> Answer {
    request.require_json()?;
    let mut body = request.json_object().await?;
    let queries = queries(&mut body)?;
    let shared = ViewQuery::from_query(&request.query)?;
    let view = ViewAt::find(&request.app, &db, &ddoc, name)?;
    let mut prepared = Vec::with_capacity(queries.len());
    for query in queries {
        let Value::Object(query) = query else {
            return Err(ApiError::bad_request("`queries` must be an array of objects."));
        };
        let mut query = shared.clone().with_body(&query)?;
        query.fold_single_key();
        prepared.push(view.check(query)?);
    }
    for query in &prepared {
        query.wait().await?;
    }
    let listings = prepared.iter().map(Prepared::listing).collect();
    let answer = answer_pages(OPERATION, Listings::many(listings)).await;
    prepared.iter().for_each(Prepared::update_afterwards);
    answer
}
