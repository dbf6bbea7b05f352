//! `/{db}/_index`: creating, listing and deleting indexes.

use std::sync::Arc;

use axum::http::Method;
use serde_json::{Map, Value, json};

use crate::blocking;
use crate::couch_api::documents_write::{self, Write, require_design_role};
use crate::couch_api::error::ApiError;
use crate::couch_api::request::Request;
use crate::couch_api::respond::{self, Answer};
use crate::couch_api::router::Role;
use crate::database::Database;
use crate::design::Ddoc;
use crate::document::DocId;
use crate::mango::error::MangoError;
use crate::mango::index::{
    IndexDefinition, NewIndex, design_documents, design_id, designs_to_clear, indexes,
    without_index,
};

/// Everything below `/{db}/_index`.
pub async fn index(request: Request, db: Arc<Database>, role: Role) -> Answer {
    let path: Vec<String> = request.path.iter().skip(2).cloned().collect();
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    match path.as_slice() {
        [] if request.method == Method::GET => list(&request, db).await,
        [] => {
            request.allow(&[Method::POST], "GET,POST")?;
            create(request, db, role).await
        }
        ["_bulk_delete"] => {
            request.allow(&[Method::POST], "POST")?;
            delete_many(request, db, role).await
        }
        ["_design", ddoc, kind, name] | [ddoc, kind, name] => {
            request.allow(&[Method::DELETE], "DELETE")?;
            delete(&request, db, role, (&design_id(ddoc), kind, name)).await
        }
        _ => Err(ApiError::MethodNotAllowed("GET,POST")),
    }
}

async fn all_of(db: &Arc<Database>) -> Result<Vec<IndexDefinition>, ApiError> {
    let db = db.clone();
    let read = blocking::run("list indexes", move || {
        let ddocs = design_documents(&db)?;
        Ok::<_, MangoError>(indexes(&db, &ddocs))
    });
    Ok(read.await??)
}

async fn list(request: &Request, db: Arc<Database>) -> Answer {
    let parameter = |name: &str| match request.query.get(name).map(str::parse::<i64>) {
        None => Ok(None),
        Some(Ok(number)) => Ok(Some(number)),
        Some(Err(_)) => Err(MangoError::ListParameters),
    };
    let (limit, skip) = (parameter("limit")?, parameter("skip")?);
    if limit.is_some_and(|limit| limit < 1) || skip.is_some_and(|skip| skip < 0) {
        return Err(MangoError::ListParameters.into());
    }
    let count = |number: Option<i64>| number.and_then(|number| usize::try_from(number).ok());
    let all = all_of(&db).await?;
    let shown = all.iter().skip(count(skip).unwrap_or(0)).take(count(limit).unwrap_or(usize::MAX));
    let shown: Vec<Value> = shown.map(IndexDefinition::to_json).collect();
    respond::ok(&json!({"total_rows": all.len(), "indexes": shown}))
}

async fn create(mut request: Request, db: Arc<Database>, role: Role) -> Answer {
    request.require_json()?;
    let new = NewIndex::parse(request.json_object().await?)?;
    let id = DocId::parse(&new.ddoc)?;
    let ddoc = design(&db, &id).await?;
    let result = match new.add_to(ddoc.as_ref().map(|ddoc| &ddoc.body))? {
        None => "exists",
        Some(body) => {
            save(&request, &db, role, (id, ddoc.as_deref()), Some(body)).await?;
            "created"
        }
    };
    respond::ok(&json!({"result": result, "id": new.ddoc, "name": new.name}))
}

async fn design(db: &Arc<Database>, id: &DocId) -> Result<Option<Arc<Ddoc>>, ApiError> {
    let (db, id) = (db.clone(), id.clone());
    Ok(blocking::run("read a design document", move || db.design(&id)).await??)
}

/// Writes a design document, or deletes it where there is no body.
async fn save(
    request: &Request,
    db: &Arc<Database>,
    role: Role,
    (id, old): (DocId, Option<&Ddoc>),
    body: Option<Map<String, Value>>,
) -> Result<(), ApiError> {
    let mut document = Map::new();
    if let Some(old) = old {
        document.insert("_rev".to_owned(), old.rev.to_string().into());
        document.insert("_attachments".to_owned(), old.attachments().clone().into());
    }
    match body {
        Some(body) => document.extend(body),
        None => drop(document.insert("_deleted".to_owned(), true.into())),
    }
    let text = Value::Object(document).to_string();
    let incoming = documents_write::parse(&request.settings, text.as_bytes())?;
    let write = Write::by_function(request, id, incoming, role)?;
    match write.run(request, db).await {
        Ok(_) => Ok(()),
        Err(ApiError::Conflict) => {
            let reason = "Encountered a conflict while saving the design document.".to_owned();
            Err(MangoError::SavingDesign { reason }.into())
        }
        Err(error) => Err(error),
    }
}

async fn delete(
    request: &Request,
    db: Arc<Database>,
    role: Role,
    (ddoc, kind, name): (&str, &str, &str),
) -> Answer {
    let all = all_of(&db).await?;
    let is_meant = |index: &&IndexDefinition| {
        index.ddoc.as_deref() == Some(ddoc) && kind == "json" && index.name == name
    };
    if !all.iter().any(|index| is_meant(&index)) {
        return Err(ApiError::missing());
    }
    remove(request, &db, role, (ddoc, name)).await?;
    respond::ok(&json!({"ok": true}))
}

async fn remove(
    request: &Request,
    db: &Arc<Database>,
    role: Role,
    (ddoc, name): (&str, &str),
) -> Result<(), ApiError> {
    let id = DocId::parse(ddoc)?;
    let ddoc = design(db, &id).await?.ok_or_else(ApiError::missing)?;
    let body = without_index(&ddoc.body, name);
    save(request, db, role, (id, Some(&ddoc)), body).await
}

/// Deletes the indexes of design documents that have one each, as CouchDB does.
async fn delete_many(mut request: Request, db: Arc<Database>, role: Role) -> Answer {
    request.require_json()?;
    let ids = designs_to_clear(request.json_object().await?)?;
    let all = all_of(&db).await?;
    require_design_role(&request, role)?;
    let (mut success, mut fail) = (Vec::new(), Vec::new());
    for id in ids {
        let id = design_id(&id);
        let meant: Vec<&IndexDefinition> =
            all.iter().filter(|index| index.ddoc.as_ref() == Some(&id)).collect();
        let error = match meant.as_slice() {
            [only] => {
                let removed = remove(&request, &db, role, (&id, &only.name)).await;
                removed.err().map(|error| error.describe().1.into_owned())
            }
            _ => Some("not_found".to_owned()),
        };
        match error {
            None => success.push(json!({"id": id, "ok": true})),
            Some(error) => fail.push(json!({"id": id, "error": error})),
        }
    }
    success.reverse();
    fail.reverse();
    respond::ok(&json!({"success": success, "fail": fail}))
}
