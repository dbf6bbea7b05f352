//! `POST /{db}/_find` and `/{db}/_explain`, also of one partition.

use std::sync::Arc;

use axum::http::Method;
use bytes::Bytes;

use crate::blocking;
use crate::couch_api::error::ApiError;
use crate::couch_api::request::Request;
use crate::couch_api::respond::{self, Answer};
use crate::couch_api::stream::{answer_begun, answer_pages, begin};
use crate::couch_api::views::{is_current, wait_until_current};
use crate::database::Database;
use crate::mango::cursor::{FindCursor, open_index};
use crate::mango::error::MangoError;
use crate::mango::index::{IndexDefinition, design_documents, indexes};
use crate::mango::planner::{self, Choice, Estimating, FieldRange, Purpose};
use crate::mango::request::FindRequest;
use crate::views::{Index, Views};

use super::answer::{FindAnswer, Found};

const OPERATION: &str = "find documents";

/// `POST /{db}/_find`.
pub async fn find(mut request: Request, db: Arc<Database>) -> Answer {
    let query = read(&mut request, &db).await?;
    let app = request.app.clone();
    let asked = Asked {
        db: db.clone(),
        query,
        threshold: request.settings.mango.index_scan_warning_threshold,
    };
    let step = blocking::run(OPERATION, move || {
        let (definition, index) = match asked.plan(&app.views)? {
            Plan::Impossible => {
                let counts = asked.query.count;
                return Ok::<_, ApiError>(Step::Begun(begin(FindAnswer::Nothing { counts })?));
            }
            Plan::Read(definition, index) => (definition, index),
        };
        match index {
            Some(index) if asked.query.updates() && !is_current(&asked.db, &index) => {
                Ok(Step::Wait(asked, definition, index))
            }
            index => Ok(Step::Begun(begin(asked.answer(definition, index)?)?)),
        }
    });
    match step.await?? {
        Step::Begun(begun) => Ok(answer_begun(OPERATION, begun)),
        Step::Wait(asked, definition, index) => {
            wait_until_current(&request.app, &db, &index).await?;
            answer_pages(OPERATION, asked.answer(definition, Some(index))?).await
        }
    }
}

/// How far an answer came on the thread that planned it.
enum Step {
    Begun((Bytes, bool, FindAnswer)),
    /// The index is waited for first.
    Wait(Asked, IndexDefinition, Arc<Index>),
}

/// What a query is to be answered with.
enum Plan {
    /// The selector's comparisons exclude each other.
    Impossible,
    Read(IndexDefinition, Option<Arc<Index>>),
}

/// A query of a database.
struct Asked {
    db: Arc<Database>,
    query: Arc<FindRequest>,
    /// Documents read for each result from which on the answer warns.
    threshold: u64,
}

impl Asked {
    fn plan(&self, views: &Views) -> Result<Plan, MangoError> {
        let (db, query) = (&self.db, &self.query);
        let ddocs = design_documents(db)?;
        let mut all = indexes(db, &ddocs);
        let mut choice = planner::choose(&all, query, db.is_partitioned(), Purpose::Find)?;
        if query.estimates {
            let estimating = Estimating { db, views, ddocs: &ddocs, indexes: &all };
            let plans = estimating.plans(query, &choice)?;
            planner::choose_cheapest(&mut choice, &plans);
        }
        // To find is to have chosen.
        let chosen = choice.chosen.ok_or(MangoError::NoSortIndex { scope: "" })?;
        if chosen.ranges == [FieldRange::Empty] {
            return Ok(Plan::Impossible);
        }
        let definition = all.swap_remove(chosen.at);
        let index = open_index(views, db, &ddocs, &definition)?;
        Ok(Plan::Read(definition, index))
    }

    fn answer(
        self,
        definition: IndexDefinition,
        index: Option<Arc<Index>>,
    ) -> Result<FindAnswer, MangoError> {
        let Self { db, query, threshold } = self;
        let cursor = FindCursor::new(db, query.clone(), &definition, index)?;
        let counts = query.count;
        let found = Box::new(Found { cursor, query, definition, threshold, is_begun: false });
        Ok(if counts { FindAnswer::Count(found) } else { FindAnswer::Documents(found) })
    }
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
