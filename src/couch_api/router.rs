//! From paths to handlers: which resource, whether this user may, which method.

use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::Arc;

use axum::http::Method;

use crate::auth::{Access, SecurityObject};
use crate::database::{Database, DatabaseName};
use crate::design::Ddoc;
use crate::document::DocId;

use super::error::ApiError;
use super::request::{Request, check_doc_id};
use super::respond::Answer;
use super::viewer::Viewer;
use super::{
    all_dbs, all_docs, attachment_read, attachment_write, bulk_docs, bulk_get, changes,
    cluster_setup, databases, db_updates, design_docs, documents, documents_write, functions,
    local_docs, login, maintenance, mango, node, partitions, purge, replicate, reshard, revisions,
    scheduler, server_info, settings, viewer, views,
};

const DOCUMENT_METHODS: &str = "DELETE,GET,HEAD,POST,PUT,COPY";

/// What shows many documents, or parts of them: in system databases it is for server admins.
const OF_ADMINS_IN_SYSTEM_DATABASES: [&str; 8] = [
    "_all_docs",
    "_changes",
    "_design_docs",
    "_local_docs",
    "_find",
    "_explain",
    "_index",
    "_partition",
];

/// An answer under way. In a box: handlers need room, and what a request carries from caller to
/// caller is to stay small.
pub type Answering = Pin<Box<dyn Future<Output = Answer> + Send>>;

#[expect(clippy::unnecessary_wraps, reason = "a route's last line is the handler that it found")]
fn begin<F>(answer: F) -> Result<Answering, ApiError>
where
    F: Future<Output = Answer> + Send + 'static,
{
    Ok(Box::pin(answer))
}

fn at_once(answer: Answer) -> Result<Answering, ApiError> {
    begin(ready(Ok(answer?)))
}

/// Finds the handler of a request.
///
/// # Errors
/// Where there is none, and where the user may not use it.
pub fn route(request: Request) -> Result<Answering, ApiError> {
    let path: Vec<&str> = request.path.iter().map(String::as_str).collect();
    match path.as_slice() {
        [] | [""] => at_once(server_info::welcome(&request)),
        ["_up"] => at_once(server_info::up(&request)),
        ["favicon.ico"] => Err(ApiError::not_found("missing")),
        ["_session"] => begin(login::session(request)),
        ["_uuids"] => at_once(server_info::uuids(&request)),
        ["_replicate"] => begin(replicate::replicate(request)),
        [name, ..] if name.starts_with('_') && DatabaseName::parse(name).is_err() => {
            route_server(request)
        }
        [_] if request.method == Method::PUT => begin(databases::create(request)),
        [_] if request.method == Method::DELETE => begin(databases::delete(request)),
        _ => route_database(request),
    }
}

/// Resources that only server admins may use.
fn route_server(request: Request) -> Result<Answering, ApiError> {
    let path: Vec<&str> = request.path.iter().map(String::as_str).collect();
    match path.as_slice() {
        ["_all_dbs"] => begin(all_dbs::all_dbs(request)),
        ["_dbs_info"] => begin(all_dbs::dbs_info(request)),
        // A name that begins with an underscore is refused before the user matters less.
        [_] if request.method == Method::PUT => begin(databases::create(request)),
        ["_node", _, "_stats" | "_system" | "_prometheus", ..] => {
            request.require_metrics_reader()?;
            begin(node::node(request))
        }
        ["_utils", ..] => at_once(server_info::utils(&request)),
        _ => {
            request.require_server_admin()?;
            match path.as_slice() {
                ["_active_tasks"] => at_once(server_info::active_tasks(&request)),
                ["_log"] => at_once(server_info::log(&request)),
                ["_membership"] => at_once(server_info::membership(&request)),
                ["_scheduler", ..] => begin(scheduler::scheduler(request)),
                ["_db_updates"] => begin(db_updates::db_updates(request)),
                ["_node", ..] => begin(node::node(request)),
                ["_cluster_setup"] => begin(cluster_setup::cluster_setup(request)),
                ["_reshard", ..] => begin(reshard::reshard(request)),
                ["_reload_query_servers"] => at_once(server_info::reload_query_servers(&request)),
                ["_search_analyze"] => at_once(server_info::search_analyze(&request)),
                ["_nouveau_analyze"] => at_once(server_info::nouveau_analyze(&request)),
                _ => Err(crate::database::DatabaseError::NotFound.into()),
            }
        }
    }
}

/// What a user may do in a database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    Member,
    Admin,
}

/// # Errors
/// 401 for anonymous users, 403 for others, with CouchDB's reasons.
pub fn authorise(request: &Request, db: &Database) -> Result<Role, ApiError> {
    if request.user.is_server_admin() {
        return Ok(Role::Admin);
    }
    match SecurityObject::stored(&db.security()).access(&request.user) {
        Access::Admin => Ok(Role::Admin),
        Access::Member => Ok(Role::Member),
        Access::Refused(refusal) => Err(refusal.into()),
    }
}

/// What of the server's own databases is for server admins, whatever their security objects say.
fn require_system_admin(request: &Request, db: &Database) -> Result<(), ApiError> {
    let second = request.path.get(1).map_or("", String::as_str);
    let is_for_admins = match db.name().as_str() {
        "_users" if second == "_all_docs" => !viewer::lists_public_fields(request, db),
        "_users" | "_replicator" => OF_ADMINS_IN_SYSTEM_DATABASES.contains(&second),
        name => name.starts_with('_'),
    };
    if is_for_admins { request.require_server_admin() } else { Ok(()) }
}

fn route_database(request: Request) -> Result<Answering, ApiError> {
    let db = request.database()?;
    require_system_admin(&request, &db)?;
    let role = authorise(&request, &db)?;
    viewer::require_role(&request, &db, role)?;
    let path: Vec<&str> = request.path.iter().map(String::as_str).collect();
    match path.as_slice() {
        [_] => begin(databases::database(request, db, role)),
        [_, "_all_docs"] => begin(all_docs::all_docs(request, db)),
        [_, "_all_docs", "queries"] => begin(all_docs::all_docs_queries(request, db)),
        [_, "_design_docs"] => begin(all_docs::design_docs(request, db)),
        [_, "_design_docs", "queries"] => begin(all_docs::design_docs_queries(request, db)),
        [_, "_local_docs"] => begin(all_docs::local_docs(request, db)),
        [_, "_local_docs", "queries"] => begin(all_docs::local_docs_queries(request, db)),
        [_, "_changes", ..] => begin(changes::changes(request, db)),
        [_, "_bulk_docs"] => begin(bulk_docs::bulk_docs(request, db, role)),
        [_, "_bulk_get"] => begin(bulk_get::bulk_get(request, db)),
        [_, "_revs_diff"] => begin(revisions::revs_diff(request, db)),
        [_, "_missing_revs"] => begin(revisions::missing_revs(request, db)),
        [_, "_revs_limit"] => begin(settings::revs_limit(request, db, role)),
        [_, "_security"] => begin(settings::security(request, db, role)),
        [_, "_purge"] => begin(purge::purge(request, db)),
        [_, "_purged_infos"] => at_once(purge::purged_infos(&request, &db)),
        [_, "_purged_infos_limit"] => begin(purge::purged_infos_limit(request, db)),
        [_, "_ensure_full_commit"] => at_once(maintenance::ensure_full_commit(&request, &db)),
        [_, "_compact", ..] => at_once(maintenance::compact(&request, &db, role)),
        [_, "_view_cleanup"] => begin(maintenance::view_cleanup(request, db, role)),
        [_, "_search_cleanup" | "_nouveau_cleanup"] => {
            at_once(maintenance::cleanup(&request, role))
        }
        [_, "_sync_shards"] => at_once(maintenance::sync_shards(&request)),
        [_, "_shards", ..] => at_once(maintenance::shards(&request)),
        [_, "_temp_view"] => Err(ApiError::Gone),
        [_, "_find"] => begin(mango::find(request, db)),
        [_, "_explain"] => begin(mango::explain(request, db)),
        [_, "_index", ..] => begin(mango::index(request, db, role)),
        [_, "_partition", ..] => begin(partitions::partition(request, db, role)),
        [_, "_local", ..] => route_local(request, db),
        [_, "_design", ..] => route_design(request, db, role),
        [_, name, ..] if name.starts_with("_design/") => redirect_design(request, db, role),
        [_, name, ..] if name.starts_with("_local/") => {
            let id = path_id(&request, &db, name)?;
            begin(local_docs::local_doc(request, db, id))
        }
        [_, name] => {
            let id = path_id(&request, &db, name)?;
            route_document(request, db, id, role)
        }
        [_, name, rest @ ..] => {
            let (id, attachment) = (path_id(&request, &db, name)?, rest.join("/"));
            route_attachment(request, db, id, attachment, role)
        }
        [] => Err(ApiError::missing()),
    }
}

/// The id in a path. A read of what can be no id finds nothing; a write says why.
fn path_id(request: &Request, db: &Database, text: &str) -> Result<DocId, ApiError> {
    match check_doc_id(db, &request.settings, text) {
        Err(ApiError::DocId(_)) if request.method == Method::GET && text.starts_with('_') => {
            Err(ApiError::missing())
        }
        checked => checked,
    }
}

fn route_local(request: Request, db: Arc<Database>) -> Result<Answering, ApiError> {
    let id = match request.path.get(2..) {
        Some(rest) if !rest.is_empty() => format!("_local/{}", rest.join("/")),
        _ => return Err(ApiError::bad_request("Invalid _local document id.")),
    };
    let id = path_id(&request, &db, &id)?;
    begin(local_docs::local_doc(request, db, id))
}

/// Everything below `/{db}/_design`.
pub fn route_design(
    request: Request,
    db: Arc<Database>,
    role: Role,
) -> Result<Answering, ApiError> {
    let path: Vec<&str> = request.path.iter().map(String::as_str).collect();
    let name = path.get(2).copied().unwrap_or_default();
    let id = path_id(&request, &db, &format!("_design/{name}"))?;
    match path.get(3..).unwrap_or_default() {
        [] => route_document(request, db, id, role),
        [action, ..] if action.starts_with('_') => route_design_action(request, db, id, role),
        rest => {
            let attachment = rest.join("/");
            route_attachment(request, db, id, attachment, role)
        }
    }
}

/// The design document of a path of which something else than the document is asked.
///
/// # Errors
/// 404, and where the user may not use it.
pub fn open_design(request: &Request) -> Result<(Arc<Database>, Arc<Ddoc>), ApiError> {
    let db = request.database()?;
    require_system_admin(request, &db)?;
    let role = authorise(request, &db)?;
    let name = request.path.get(2).map_or("", String::as_str);
    let id = path_id(request, &db, &format!("_design/{name}"))?;
    viewer::require_action_role(&db, role, "_rewrite")?;
    let ddoc = design_docs::open(&db, &id)?;
    Ok((db, ddoc))
}

/// What can be asked of a design document beside itself; without one nothing can.
fn route_design_action(
    request: Request,
    db: Arc<Database>,
    id: DocId,
    role: Role,
) -> Result<Answering, ApiError> {
    let path = request.path.get(3..).unwrap_or_default().to_vec();
    let action = path.first().map_or("", String::as_str);
    viewer::require_action_role(&db, role, action)?;
    let ddoc = design_docs::open(&db, &id)?;
    match action {
        "_view" | "_show" | "_list" | "_update" => begin(async move {
            let (action, rest) = path.split_first().ok_or_else(ApiError::missing)?;
            match action.as_str() {
                "_view" => views::view(request, db, ddoc, rest).await,
                "_show" => functions::show(request, db, ddoc, rest).await,
                "_list" => functions::list(request, db, ddoc, rest).await,
                _ => functions::update(request, db, ddoc, rest, role).await,
            }
        }),
        "_info" if path.len() > 1 => Err(ApiError::MethodNotAllowed("GET")),
        "_info" => at_once(design_docs::info(&request, &db, &ddoc)),
        _ => route_attachment(request, db, id, path.join("/"), role),
    }
}

/// `/db/_design%2Fname`: reads are sent to the path with a slash.
fn redirect_design(request: Request, db: Arc<Database>, role: Role) -> Result<Answering, ApiError> {
    let id = path_id(&request, &db, request.path.get(1).map_or("", String::as_str))?;
    if request.method == Method::GET {
        return at_once(documents::redirect_to_design(&request));
    }
    let rest = request.path.get(2..).unwrap_or_default().join("/");
    if rest.is_empty() {
        route_document(request, db, id, role)
    } else {
        route_attachment(request, db, id, rest, role)
    }
}

fn route_document(
    request: Request,
    db: Arc<Database>,
    id: DocId,
    role: Role,
) -> Result<Answering, ApiError> {
    match request.method.as_str() {
        "GET" => begin(documents::get(request, db, id)),
        "PUT" => begin(documents_write::put(request, db, id, role)),
        "DELETE" => begin(documents_write::delete(request, db, id, role)),
        "COPY" => begin(documents_write::copy(request, db, id, role)),
        "POST" => begin(documents_write::post_form(request, db, id, role)),
        _ => Err(ApiError::MethodNotAllowed(DOCUMENT_METHODS)),
    }
}

fn route_attachment(
    request: Request,
    db: Arc<Database>,
    id: DocId,
    name: String,
    role: Role,
) -> Result<Answering, ApiError> {
    if id.is_design() && request.method != Method::GET {
        documents_write::require_design_role(&request, role)?;
    }
    Viewer::of(&request, &db)?.check(&id)?;
    match request.method.as_str() {
        "GET" => begin(attachment_read::get(request, db, id, name)),
        "PUT" => begin(attachment_write::put(request, db, id, name)),
        "DELETE" => begin(attachment_write::delete(request, db, id, name)),
        _ => Err(ApiError::MethodNotAllowed("GET,HEAD,PUT,DELETE")),
    }
}
