//! From paths to handlers: which resource, whether this user may, which method.

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

/// Finds the handler of a request and runs it.
pub async fn route(request: Request) -> Answer {
    let path: Vec<&str> = request.path.iter().map(String::as_str).collect();
    match path.as_slice() {
        [] | [""] => server_info::welcome(&request),
        ["_up"] => server_info::up(&request),
        ["favicon.ico"] => Err(ApiError::not_found("missing")),
        ["_session"] => login::session(request).await,
        ["_uuids"] => server_info::uuids(&request),
        ["_replicate"] => replicate::replicate(request).await,
        [name, ..] if name.starts_with('_') && DatabaseName::parse(name).is_err() => {
            route_server(request).await
        }
        [_] if request.method == Method::PUT => databases::create(request).await,
        [_] if request.method == Method::DELETE => databases::delete(request).await,
        _ => route_database(request).await,
    }
}

/// Resources that only server admins may use.
async fn route_server(request: Request) -> Answer {
    let path: Vec<&str> = request.path.iter().map(String::as_str).collect();
    match path.as_slice() {
        ["_all_dbs"] => all_dbs::all_dbs(request).await,
        ["_dbs_info"] => all_dbs::dbs_info(request).await,
        // A name that begins with an underscore is refused before the user matters less.
        [_] if request.method == Method::PUT => databases::create(request).await,
        ["_node", _, "_stats" | "_system" | "_prometheus", ..] => {
            request.require_metrics_reader()?;
            node::node(request).await
        }
        ["_utils", ..] => server_info::utils(&request),
        _ => {
            request.require_server_admin()?;
            match path.as_slice() {
                ["_active_tasks"] => server_info::active_tasks(&request),
                ["_log"] => server_info::log(&request),
                ["_membership"] => server_info::membership(&request),
                ["_scheduler", ..] => scheduler::scheduler(request).await,
                ["_db_updates"] => db_updates::db_updates(request).await,
                ["_node", ..] => node::node(request).await,
                ["_cluster_setup"] => cluster_setup::cluster_setup(request).await,
                ["_reshard", ..] => reshard::reshard(request).await,
                ["_reload_query_servers"] => server_info::reload_query_servers(&request),
                ["_search_analyze"] => server_info::search_analyze(&request),
                ["_nouveau_analyze"] => server_info::nouveau_analyze(&request),
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

async fn route_database(request: Request) -> Answer {
    let db = request.database()?;
    require_system_admin(&request, &db)?;
    let role = authorise(&request, &db)?;
    viewer::require_role(&request, &db, role)?;
    let path: Vec<&str> = request.path.iter().map(String::as_str).collect();
    match path.as_slice() {
        [_] => databases::database(request, db, role).await,
        [_, "_all_docs"] => all_docs::all_docs(request, db).await,
        [_, "_all_docs", "queries"] => all_docs::all_docs_queries(request, db).await,
        [_, "_design_docs"] => all_docs::design_docs(request, db).await,
        [_, "_design_docs", "queries"] => all_docs::design_docs_queries(request, db).await,
        [_, "_local_docs"] => all_docs::local_docs(request, db).await,
        [_, "_local_docs", "queries"] => all_docs::local_docs_queries(request, db).await,
        [_, "_changes", ..] => changes::changes(request, db).await,
        [_, "_bulk_docs"] => bulk_docs::bulk_docs(request, db, role).await,
        [_, "_bulk_get"] => bulk_get::bulk_get(request, db).await,
        [_, "_revs_diff"] => revisions::revs_diff(request, db).await,
        [_, "_missing_revs"] => revisions::missing_revs(request, db).await,
        [_, "_revs_limit"] => settings::revs_limit(request, db, role).await,
        [_, "_security"] => settings::security(request, db, role).await,
        [_, "_purge"] => purge::purge(request, db).await,
        [_, "_purged_infos"] => purge::purged_infos(&request, &db),
        [_, "_purged_infos_limit"] => purge::purged_infos_limit(request, db).await,
        [_, "_ensure_full_commit"] => maintenance::ensure_full_commit(&request, &db),
        [_, "_compact", ..] => maintenance::compact(&request, &db, role),
        [_, "_view_cleanup"] => maintenance::view_cleanup(request, db, role).await,
        [_, "_search_cleanup" | "_nouveau_cleanup"] => maintenance::cleanup(&request, role),
        [_, "_sync_shards"] => maintenance::sync_shards(&request),
        [_, "_shards", ..] => maintenance::shards(&request),
        [_, "_temp_view"] => Err(ApiError::Gone),
        [_, "_find"] => mango::find(request, db).await,
        [_, "_explain"] => mango::explain(request, db).await,
        [_, "_index", ..] => mango::index(request, db, role).await,
        [_, "_partition", ..] => partitions::partition(request, db, role).await,
        [_, "_local", ..] => route_local(request, db).await,
        [_, "_design", ..] => route_design(request, db, role).await,
        [_, name, ..] if name.starts_with("_design/") => redirect_design(request, db, role).await,
        [_, name, ..] if name.starts_with("_local/") => {
            let id = path_id(&request, &db, name)?;
            local_docs::local_doc(request, db, id).await
        }
        [_, name] => {
            let id = path_id(&request, &db, name)?;
            route_document(request, db, id, role).await
        }
        [_, name, rest @ ..] => {
            let (id, attachment) = (path_id(&request, &db, name)?, rest.join("/"));
            route_attachment(request, db, id, attachment, role).await
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

async fn route_local(request: Request, db: Arc<Database>) -> Answer {
    let id = match request.path.get(2..) {
        Some(rest) if !rest.is_empty() => format!("_local/{}", rest.join("/")),
        _ => return Err(ApiError::bad_request("Invalid _local document id.")),
    };
    let id = path_id(&request, &db, &id)?;
    local_docs::local_doc(request, db, id).await
}

/// Everything below `/{db}/_design`.
pub async fn route_design(request: Request, db: Arc<Database>, role: Role) -> Answer {
    let path: Vec<&str> = request.path.iter().map(String::as_str).collect();
    let name = path.get(2).copied().unwrap_or_default();
    let id = path_id(&request, &db, &format!("_design/{name}"))?;
    match path.get(3..).unwrap_or_default() {
        [] => route_document(request, db, id, role).await,
        [action, ..] if action.starts_with('_') => route_design_action(request, db, id, role).await,
        rest => {
            let attachment = rest.join("/");
            route_attachment(request, db, id, attachment, role).await
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
async fn route_design_action(request: Request, db: Arc<Database>, id: DocId, role: Role) -> Answer {
    let path = request.path.get(3..).unwrap_or_default().to_vec();
    let (action, rest) = path.split_first().map_or(("", [].as_slice()), |(a, r)| (a.as_str(), r));
    viewer::require_action_role(&db, role, action)?;
    let ddoc = design_docs::open(&db, &id)?;
    match action {
        "_view" => views::view(request, db, ddoc, rest).await,
        "_show" => functions::show(request, db, ddoc, rest).await,
        "_list" => functions::list(request, db, ddoc, rest).await,
        "_update" => functions::update(request, db, ddoc, rest, role).await,
        "_info" if !rest.is_empty() => Err(ApiError::MethodNotAllowed("GET")),
        "_info" => design_docs::info(&request, &db, &ddoc),
        _ => route_attachment(request, db, id, path.join("/"), role).await,
    }
}

/// `/db/_design%2Fname`: reads are sent to the path with a slash.
async fn redirect_design(request: Request, db: Arc<Database>, role: Role) -> Answer {
    let id = path_id(&request, &db, request.path.get(1).map_or("", String::as_str))?;
    if request.method == Method::GET {
        return documents::redirect_to_design(&request);
    }
    let rest = request.path.get(2..).unwrap_or_default().join("/");
    if rest.is_empty() {
        route_document(request, db, id, role).await
    } else {
        route_attachment(request, db, id, rest, role).await
    }
}

async fn route_document(request: Request, db: Arc<Database>, id: DocId, role: Role) -> Answer {
    match request.method.as_str() {
        "GET" => documents::get(request, db, id).await,
        "PUT" => documents_write::put(request, db, id, role).await,
        "DELETE" => documents_write::delete(request, db, id, role).await,
        "COPY" => documents_write::copy(request, db, id, role).await,
        "POST" => documents_write::post_form(request, db, id, role).await,
        _ => Err(ApiError::MethodNotAllowed(DOCUMENT_METHODS)),
    }
}

async fn route_attachment(
    request: Request,
    db: Arc<Database>,
    id: DocId,
    name: String,
    role: Role,
) -> Answer {
    if id.is_design() && request.method != Method::GET {
        documents_write::require_design_role(&request, role)?;
    }
    Viewer::of(&request, &db)?.check(&id)?;
    match request.method.as_str() {
        "GET" => attachment_read::get(request, db, id, name).await,
        "PUT" => attachment_write::put(request, db, id, name).await,
        "DELETE" => attachment_write::delete(request, db, id, name).await,
        _ => Err(ApiError::MethodNotAllowed("GET,HEAD,PUT,DELETE")),
    }
}
