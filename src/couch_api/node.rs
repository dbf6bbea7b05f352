//! `/_node/{name}`: its `_config`, the live configuration, read and changed over HTTP
//! (couchdb-api.md E018-E022), and the way to what tells of the node. Values of the configuration
//! are texts; a change answers what was there before.

use axum::http::Method;
use serde_json::{Value, json};

use crate::app::{SharedApp, node_name};
use crate::auth;
use crate::blocking;
use crate::config::{ConfigError, Persist};

use super::error::ApiError;
use super::request::Request;
use super::respond::{self, Answer};
use super::{prometheus, stats, system};

/// Sections that decide which programs run: never changed over HTTP.
const BLACKLISTED_SECTIONS: [&str; 8] = [
    "daemons",
    "external",
    "httpd_design_handlers",
    "httpd_db_handlers",
    "httpd_global_handlers",
    "native_query_servers",
    "os_daemons",
    "query_servers",
];

/// `/_node/...`.
pub async fn node(request: Request) -> Answer {
    let path: Vec<&str> = request.path.iter().skip(1).map(String::as_str).collect();
    let (name, rest) = match path.as_slice() {
        [] => return Err(ApiError::bad_request("Incomplete path to _node request")),
        [name, rest @ ..] => (*name, rest),
    };
    if name != "_local" && name != node_name() {
        return Err(ApiError::not_found(format!("no such node: {name}")));
    }
    match rest {
        [] => respond::ok(&json!({"name": node_name()})),
        ["_config"] => {
            request.allow(&[Method::GET], "GET")?;
            respond::ok(&json!(request.app.config.all()))
        }
        ["_config", "_reload"] => {
            request.allow(&[Method::POST], "POST")?;
            reload(request.app.clone()).await
        }
        ["_config", section] => {
            request.allow(&[Method::GET], "GET")?;
            respond::ok(&json!(request.app.config.section(section)))
        }
        ["_config", section, key] => {
            let (section, key) = ((*section).to_owned(), (*key).to_owned());
            value(request, section, key).await
        }
        ["_stats", path @ ..] => stats::stats(&request, path).await,
        ["_prometheus"] => {
            request.allow(&[Method::GET], "GET")?;
            prometheus::prometheus(&request).await
        }
        ["_system"] => {
            request.allow(&[Method::GET], "GET")?;
            system::system(&request).await
        }
        ["_versions"] => {
            request.allow(&[Method::GET], "GET")?;
            system::versions()
        }
        ["_restart"] => {
            request.allow(&[Method::POST], "POST")?;
            restart(request.app.clone()).await
        }
        ["_smoosh", "status"] => {
            request.allow(&[Method::GET], "GET")?;
            system::smoosh_status(&request)
        }
        _ => Err(ApiError::missing()),
    }
}

async fn value(request: Request, section: String, key: String) -> Answer {
    match request.method {
        Method::GET => match request.app.config.get(&section, &key) {
            Some(value) => respond::ok(&Value::String(value)),
            None => Err(unknown()),
        },
        Method::PUT => set(request, section, key).await,
        Method::DELETE => delete(request, section, key).await,
        _ => Err(ApiError::MethodNotAllowed("GET,PUT,DELETE")),
    }
}

fn unknown() -> ApiError {
    ApiError::not_found("unknown_config_value")
}

async fn set(mut request: Request, section: String, key: String) -> Answer {
    check_changeable(&request, &section, &key)?;
    let Value::String(value) = request.json().await? else {
        return Err(ApiError::bad_request("a JSON string expected"));
    };
    let persist = persist(&request);
    let old = change(request.app.clone(), move |app| {
        let value = value.trim();
        match section.as_str() {
            "admins" => auth::set_admin(&app.config, &key, value, persist),
            _ => app.config.set(&section, &key, value, persist),
        }
    });
    respond::ok(&Value::String(old.await?.unwrap_or_default()))
}

async fn delete(request: Request, section: String, key: String) -> Answer {
    check_changeable(&request, &section, &key)?;
    let persist = persist(&request);
    let old =
        change(request.app.clone(), move |app| app.config.delete(&section, &key, persist)).await?;
    respond::ok(&Value::String(old.ok_or_else(unknown)?))
}

async fn reload(app: SharedApp) -> Answer {
    change(app, |app| -> Result<_, ConfigError> {
        app.config.reload()?;
        auth::hash_plain_text_admins(&app.config)
    })
    .await?;
    respond::ok(&json!({"ok": true}))
}

/// What a restart of CouchDB is for, without a pause: the files are read again, what was set in
/// memory only is forgotten, every program is made anew, and the server listens where it is told
/// to by then. Open connections go on.
async fn restart(app: SharedApp) -> Answer {
    app.functions.sandbox().forget_programs();
    let answer = reload(app.clone()).await?;
    app.restarted.send_replace(());
    Ok(answer)
}

/// Changes the configuration where waiting for disks and hashes is allowed, and has the server
/// obey it.
///
/// # Errors
/// Those of the work.
pub async fn change<T, E>(
    app: SharedApp,
    work: impl FnOnce(&SharedApp) -> Result<T, E> + Send + 'static,
) -> Result<T, ApiError>
where
    T: Send + 'static,
    E: Into<ApiError> + Send + 'static,
{
    let changed = move || {
        let result = work(&app);
        app.apply_settings();
        result
    };
    blocking::run("change configuration", changed).await?.map_err(Into::into)
}

fn check_changeable(request: &Request, section: &str, key: &str) -> Result<(), ApiError> {
    if BLACKLISTED_SECTIONS.contains(&section) {
        let reason = "Config section blacklisted for modification over HTTP API.";
        return Err(ApiError::Forbidden(reason.into()));
    }
    let whitelist = request.settings.chttpd.config_whitelist.as_ref();
    if whitelist.is_some_and(|whitelist| !whitelist.allows(section, key)) {
        return Err(ApiError::ModificationNotAllowed);
    }
    Ok(())
}

/// The header means what it says only as `false`.
fn persist(request: &Request) -> Persist {
    match request.header("x-couch-persist") {
        Some("false") => Persist::MemoryOnly,
        _ => Persist::Yes,
    }
}
