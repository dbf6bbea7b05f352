//! `POST /{db}/_find` and `/{db}/_explain`, also of one partition.

use std::sync::Arc;

use axum::http::Method;

use crate::blocking;
use crate::couch_api::error::ApiError;
use crate::couch_api::request::Request;
use crate::couch_api::respond::{self, Answer};
use crate::couch_api::stream::answer_pages;
use crate::couch_api::views::wait_until_current;
use crate::database::Database;
use crate::mango::cursor::{FindCursor, open_index};
use crate::mango::error::MangoError;
use crate::mango::index::{IndexDefinition, design_documents, indexes};
use crate::mango::planner::{self, Choice, Estimating, Purpose};
use crate::mango::request::FindRequest;
use crate::views::Index;

use super::answer::{FindAnswer, Found};

const OPERATION: &str = "find documents";

/// `POST /{db}/_find`.
pub async fn find(mut request: Request, db: Arc<Database>) -> Answer {
    let query = read(&mut request, &db).await?;
    let threshold = request.settings.mango.index_scan_warning_threshold;
    let (app, at, asked) = (request.app.clone(), db.clone(), query.clone());
    let planned = blocking::run("plan a query", move || {
        let ddocs = design_documents(&at)?;
        let mut all = indexes(&at, &ddocs);
        let mut choice = planner::choose(&all, &asked, at.is_partitioned(), Purpose::Find)?;
        if asked.estimates {
            let indexes = all.as_slice();
            let estimating = Estimating { db: &at, views: &app.views, ddocs: &ddocs, indexes };
            let plans = estimating.plans(&asked, &choice)?;
            planner::choose_cheapest(&mut choice, &plans);
        }
        // To find is to have chosen.
        let chosen = choice.chosen.ok_or(MangoError::NoSortIndex { scope: "" })?;
        let definition = all.swap_remove(chosen.at);
        let index = open_index(&app.views, &at, &ddocs, &definition)?;
        let is_impossible = chosen.ranges == [planner::FieldRange::Empty];
        Ok::<_, MangoError>(Planned { definition, index, is_impossible })
    });
    let Planned { definition, index, is_impossible } = planned.await??;
    if is_impossible {
        return answer_pages(OPERATION, FindAnswer::Nothing { counts: query.count }).await;
    }
    if query.updates()
        && let Some(index) = &index
    {
        wait_until_current(&request.app, &db, index).await?;
    }
    let cursor = FindCursor::new(db, query.clone(), &definition, index)?;
    let counts = query.count;
    let found = Box::new(Found { cursor, query, definition, threshold, is_begun: false });
    let answer = if counts { FindAnswer::Count(found) } else { FindAnswer::Documents(found) };
    answer_pages(OPERATION, answer).await
}

/// What a query is to be answered with.
struct Planned {
    definition: IndexDefinition,
    index: Option<Arc<Index>>,
    /// The selector's comparisons exclude each other.
    is_impossible: bool,
}

/// `POST /{db}/_explain`.
pub async fn explain(mut request: Request, db: Arc<Database>) -> Answer {
    let query = read(&mut request, &db).await?;
    let app = request.app.clone();
    let explained = blocking::run("explain a query", move || {
        let ddocs = design_documents(&db)?;
        let all = indexes(&db, &ddocs);
        let mut choice = planner::choose(&all, &query, db.is_partitioned(), Purpose::Explain)?;
        let explain = |choice: &Choice| {
            planner::explain(db.name().as_str(), db.is_partitioned(), &all, &query, choice)
        };
        if !query.estimates {
            return Ok::<_, MangoError>(explain(&choice));
        }
        let estimating = Estimating { db: &db, views: &app.views, ddocs: &ddocs, indexes: &all };
        let plans = estimating.plans(&query, &choice)?;
        planner::choose_cheapest(&mut choice, &plans);
        let mut explained = explain(&choice);
        explained["estimates"] = planner::estimates_json(&all, &plans);
        Ok(explained)
    });
    respond::ok(&explained.await??)
}

async fn read(request: &mut Request, db: &Database) -> Result<Arc<FindRequest>, ApiError> {
    request.allow(&[Method::POST], "POST")?;
    request.require_json()?;
    let mut body = request.json_object().await?;
    if let Some(partition) = request.query.get("partition") {
        let given = body.insert("partition".to_owned(), partition.into());
        if given.is_some_and(|given| given != partition) {
            let reason = "Conflicting value for `partition` in query string";
            return Err(ApiError::bad_request(reason));
        }
    }
    let query = FindRequest::parse(body, request.settings.mango.default_limit)?;
    if query.partition.is_some() && !db.is_partitioned() {
        return Err(ApiError::query("`partition` parameter is not supported on this db"));
    }
    Ok(Arc::new(query))
}
