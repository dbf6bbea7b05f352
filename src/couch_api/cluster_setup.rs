//! `/_cluster_setup`: how far this node is set up, and setting it up (couchdb-api.md E011, E012).
//! There is one node: what would join others is refused.

use axum::http::{Method, StatusCode};
use serde_json::{Map, Value, json};

use crate::app::{App, SharedApp, now_s};
use crate::auth;
use crate::config::{ConfigError, Persist};
use crate::database::{CreateOptions, DatabaseError, DatabaseName};

use super::error::ApiError;
use super::node::change;
use super::request::Request;
use super::respond::{self, Answer};

const SYSTEM_DATABASES: [&str; 3] = ["_users", "_replicator", "_global_changes"];
const ONE_NODE: &str = "This server is always a cluster of one node";

/// `GET` and `POST /_cluster_setup`.
pub async fn cluster_setup(request: Request) -> Answer {
    match request.method {
        Method::GET => {
            let names = request.query.get("ensure_dbs_exist");
            let names = names.map(serde_json::from_str).transpose();
            let names: Option<Value> = names.map_err(|_| ApiError::invalid_json())?;
            let state = state(&request, &database_names(names.as_ref())?)?;
            respond::ok(&json!({ "state": state }))
        }
        Method::POST => set_up(request).await,
        _ => Err(ApiError::MethodNotAllowed("GET,POST")),
    }
}

/// The databases that a set up node has.
fn database_names(names: Option<&Value>) -> Result<Vec<DatabaseName>, ApiError> {
    let names: Vec<&str> = match names {
        None => SYSTEM_DATABASES.to_vec(),
        Some(names) => {
            let bad = || ApiError::bad_request("`ensure_dbs_exist` must be an array of names");
            let names = names.as_array().ok_or_else(bad)?.iter();
            names.map(|name| name.as_str().ok_or_else(bad)).collect::<Result<_, _>>()?
        }
    };
    Ok(names.into_iter().map(DatabaseName::parse).collect::<Result<_, _>>()?)
}

fn state(request: &Request, names: &[DatabaseName]) -> Result<&'static str, ApiError> {
    let settings = &request.settings;
    if settings.couchdb.single_node {
        return Ok("single_node_enabled");
    }
    let all_exist = all_exist(&request.app, names)?;
    let has_admins = !settings.admins.is_empty();
    Ok(match settings.cluster.n {
        1 if has_admins && all_exist => "single_node_enabled",
        1 => "single_node_disabled",
        _ if !is_enabled(request) => "cluster_disabled",
        _ if all_exist => "cluster_finished",
        _ => "cluster_enabled",
    })
}

/// Whether others could reach this node, as CouchDB would say it.
fn is_enabled(request: &Request) -> bool {
    let chttpd = &request.settings.chttpd;
    !chttpd.bind_address.is_loopback() && !request.settings.admins.is_empty()
}

fn all_exist(app: &App, names: &[DatabaseName]) -> Result<bool, DatabaseError> {
    for name in names {
        if !app.registry.exists(name)? {
            return Ok(false);
        }
    }
    Ok(true)
}

async fn set_up(mut request: Request) -> Answer {
    request.require_json()?;
    let body = request.json_object().await;
    let body = body.map_err(|_| ApiError::bad_request("Missing JSON body'"))?;
    match body.get("action").and_then(Value::as_str) {
        Some("enable_single_node") => {
            let setup = Setup::read(&body)?;
            setup.require_admins(&request)?;
            run(&request, setup).await?;
        }
        Some("enable_cluster") => {
            if is_enabled(&request) {
                return Err(ApiError::bad_request("Cluster is already enabled"));
            }
            let setup = Setup::read(&body)?;
            setup.require_admins(&request)?;
            setup.require_remote_bind_address(&request)?;
            check_node_count(&body)?;
            run(&request, Setup { databases: Vec::new(), ..setup }).await?;
        }
        Some("finish_cluster") => {
            let names = database_names(body.get("ensure_dbs_exist"))?;
            if all_exist(&request.app, &names)? {
                return Err(ApiError::bad_request("Cluster is already finished"));
            }
            run(&request, Setup { databases: names, ..Setup::default() }).await?;
        }
        Some("add_node") if !is_enabled(&request) => {
            return Err(ApiError::bad_request("Cluster is not enabled."));
        }
        Some("add_node" | "remove_node" | "receive_cookie") => {
            return Err(ApiError::bad_request(ONE_NODE));
        }
        _ => return Err(ApiError::bad_request("Invalid Action'")),
    }
    respond::ok_true(StatusCode::CREATED)
}

fn check_node_count(body: &Map<String, Value>) -> Result<(), ApiError> {
    if body.contains_key("remote_node") {
        return Err(ApiError::bad_request(ONE_NODE));
    }
    let count = body.get("node_count");
    let count = count.and_then(|count| count.as_u64().or_else(|| count.as_str()?.parse().ok()));
    match count {
        None => Err(ApiError::bad_request("Cluster setup requires node_count to be configured")),
        Some(1) => Ok(()),
        Some(_) => Err(ApiError::bad_request(ONE_NODE)),
    }
}

/// What a setup changes.
#[derive(Debug, Default)]
struct Setup {
    /// A name, and a password or its hash.
    admin: Option<(String, String)>,
    bind_address: Option<String>,
    port: Option<String>,
    databases: Vec<DatabaseName>,
}

impl Setup {
    fn read(body: &Map<String, Value>) -> Result<Self, ApiError> {
        let text = |name: &str| match body.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.clone())),
            Some(Value::Number(number)) => Ok(Some(number.to_string())),
            Some(_) => Err(ApiError::bad_request(format!("`{name}` must be a string"))),
        };
        let password = match text("password_hash")? {
            Some(hash) => Some(hash),
            None => text("password")?,
        };
        let bind_address = text("bind_address")?;
        if let Some(address) = bind_address.as_deref().filter(|text| !is_address(text)) {
            let reason = format!("Setup requires a valid IP bind_address. {address} is invalid.");
            return Err(ApiError::bad_request(reason));
        }
        let port = text("port")?;
        if port.as_deref().is_some_and(|port| port.parse::<u16>().is_err()) {
            return Err(ApiError::bad_request("`port` must be the number of a port"));
        }
        Ok(Self {
            admin: text("username")?.zip(password),
            bind_address,
            port,
            databases: database_names(body.get("ensure_dbs_exist"))?,
        })
    }

    fn require_admins(&self, request: &Request) -> Result<(), ApiError> {
        if self.admin.is_some() || !request.settings.admins.is_empty() {
            return Ok(());
        }
        let reason = "Cluster setup requires admin account to be configured";
        Err(ApiError::bad_request(reason))
    }

    fn require_remote_bind_address(&self, request: &Request) -> Result<(), ApiError> {
        let local = match self.bind_address.as_deref() {
            Some(address) => matches!(address, "127.0.0.1" | "::1"),
            None => request.settings.chttpd.bind_address.is_loopback(),
        };
        let reason = "Cluster setup requires a remote bind_address (not 127.0.0.1 nor ::1)";
        if local { Err(ApiError::bad_request(reason)) } else { Ok(()) }
    }

    fn apply(&self, app: &App) -> Result<(), SetupError> {
        let config = &app.config;
        if let Some((name, password)) = &self.admin {
            auth::set_admin(config, name, password, Persist::Yes)?;
        }
        let one = Some("1".to_owned());
        for (section, key, value) in [
            ("cluster", "n", &one),
            ("chttpd", "bind_address", &self.bind_address),
            ("chttpd", "port", &self.port),
        ] {
            if let Some(value) = value {
                config.set(section, key, value, Persist::Yes)?;
            }
        }
        for name in &self.databases {
            let options = CreateOptions { created_s: now_s(), ..CreateOptions::default() };
            match app.registry.create(name, options) {
                Ok(()) | Err(DatabaseError::Exists) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// Why a setup stopped half-way; it can be sent again.
#[derive(Debug, thiserror::Error)]
enum SetupError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

impl From<SetupError> for ApiError {
    fn from(error: SetupError) -> Self {
        match error {
            SetupError::Config(error) => error.into(),
            SetupError::Database(error) => error.into(),
        }
    }
}

fn is_address(text: &str) -> bool {
    matches!(text, "any" | "localhost") || text.parse::<std::net::IpAddr>().is_ok()
}

/// A port or an address that has changed holds from the next start on.
async fn run(request: &Request, setup: Setup) -> Result<(), ApiError> {
    change(request.app.clone(), move |app: &SharedApp| setup.apply(app)).await
}
