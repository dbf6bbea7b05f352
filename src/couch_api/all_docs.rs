//! `_all_docs`, `_design_docs`, `_local_docs` and their `/queries`: what is asked, in which order
//! things are refused. `id_rows.rs` reads and writes the rows.

use std::sync::Arc;

use axum::http::Method;
use serde_json::{Map, Value};

use crate::database::Database;

use super::error::ApiError;
use super::id_rows::{Listing, Namespace};
use super::listings::Listings;
use super::request::Request;
use super::respond::Answer;
use super::stream::answer_pages;
use super::view_query::{ViewKind, ViewQuery};
use super::viewer::Viewer;

/// Queries in one request.
const QUERIES_MAX: usize = 10_000;

/// `/{db}/_all_docs`.
pub async fn all_docs(request: Request, db: Arc<Database>) -> Answer {
    list(request, db, Namespace::All).await
}

/// `/{db}/_design_docs`.
pub async fn design_docs(request: Request, db: Arc<Database>) -> Answer {
    list(request, db, Namespace::Design).await
}

/// `/{db}/_local_docs`.
pub async fn local_docs(request: Request, db: Arc<Database>) -> Answer {
    list(request, db, Namespace::Local).await
}

/// `/{db}/_all_docs/queries`.
pub async fn all_docs_queries(request: Request, db: Arc<Database>) -> Answer {
    list_many(request, db, Namespace::All).await
}

/// `/{db}/_design_docs/queries`.
pub async fn design_docs_queries(request: Request, db: Arc<Database>) -> Answer {
    list_many(request, db, Namespace::Design).await
}

/// `/{db}/_local_docs/queries`.
pub async fn local_docs_queries(request: Request, db: Arc<Database>) -> Answer {
    list_many(request, db, Namespace::Local).await
}

async fn list(mut request: Request, db: Arc<Database>, namespace: Namespace) -> Answer {
    let query = query_of(&mut request).await?;
    let viewer = Viewer::of(&request, &db)?;
    answer(db, namespace, query, viewer).await
}

/// The parameters of a single listing.
async fn query_of(request: &mut Request) -> Result<ViewQuery, ApiError> {
    request.allow(&[Method::GET, Method::POST], "GET,HEAD,POST")?;
    if request.method == Method::GET {
        let query = ViewQuery::from_query(&request.query)?;
        return refuse_bad_keys(query, "`keys` parameter must be an array.");
    }
    request.require_json()?;
    let body = request.json_object().await?;
    let query = ViewQuery::from_body(body)?;
    let query = refuse_bad_keys(query, "`keys` body member must be an array.")?;
    query.with_query(&request.query)
}

fn refuse_bad_keys(query: ViewQuery, reason: &'static str) -> Result<ViewQuery, ApiError> {
    if query.has_bad_keys() { Err(ApiError::bad_request(reason)) } else { Ok(query) }
}

async fn answer(
    db: Arc<Database>,
    namespace: Namespace,
    query: ViewQuery,
    viewer: Viewer,
) -> Answer {
    check(&db, &query)?;
    let listing = Listing::new(db, namespace, query, viewer);
    answer_pages("list documents", Listings::single(listing)).await
}

/// # Errors
/// Where rows of documents cannot be asked for so.
pub fn check(db: &Database, query: &ViewQuery) -> Result<(), ApiError> {
    query.check(ViewKind::Map)?;
    if query.partition.is_some() && !db.is_partitioned() {
        return Err(ApiError::query("`partition` parameter is not supported on this db"));
    }
    Ok(())
}

async fn list_many(mut request: Request, db: Arc<Database>, namespace: Namespace) -> Answer {
    request.allow(&[Method::POST], "POST")?;
    let mut body = request.json_object().await?;
    let shared = ViewQuery::from_query(&request.query)?;
    let viewer = Viewer::of(&request, &db)?;
    let mut listings = Vec::new();
    for query in queries(&mut body)? {
        let Value::Object(query) = query else {
            return Err(ApiError::bad_request("`queries` must be an array of objects."));
        };
        let mut query = shared.clone().with_body(&query)?;
        query.fold_single_key();
        check(&db, &query)?;
        listings.push(Listing::new(db.clone(), namespace, query, viewer.clone()));
    }
    answer_pages("list documents", Listings::many(listings)).await
}

/// The member `queries` of a body.
///
/// # Errors
/// 400 where it is missing, no list, or too long.
pub fn queries(body: &mut Map<String, Value>) -> Result<Vec<Value>, ApiError> {
    match body.remove("queries") {
        Some(Value::Array(queries)) if queries.len() > QUERIES_MAX => {
            Err(ApiError::bad_request("`queries` has too many members."))
        }
        Some(Value::Array(queries)) => Ok(queries),
        Some(_) => Err(ApiError::bad_request("`queries` member must be an array.")),
        None => Err(ApiError::bad_request("POST body must include `queries` parameter.")),
    }
}
