//! `/_node/{name}/_stats`: every metric under CouchDB's names, or the part that a path names
//! (couchdb-api.md E023).

use axum::http::Method;
use serde_json::{Map, Value, json};

use crate::app::process::Process;
use crate::app::{App, SharedApp};
use crate::blocking;
use crate::metrics::{self, Kind, Metric, Summary};

use super::error::ApiError;
use super::request::Request;
use super::respond::{self, Answer};

/// `GET /_node/{name}/_stats[/path...]`; what there is not is null.
pub async fn stats(request: &Request, path: &[&str]) -> Answer {
    request.allow(&[Method::GET], "GET")?;
    let path: Vec<String> = path.iter().map(|name| (*name).to_owned()).collect();
    look(request.app.clone()).await?;
    let mut found = &all();
    for name in &path {
        found = found.get(name).unwrap_or(&Value::Null);
    }
    respond::ok(found)
}

/// Brings what is not counted as it happens up to date.
///
/// # Errors
/// 500 where the work was interrupted.
pub async fn look(app: SharedApp) -> Result<Process, ApiError> {
    Ok(blocking::run("look at the process", move || update(&app)).await?)
}

fn update(app: &App) -> Process {
    let process = Process::look();
    metrics::OPEN_OS_FILES.set(process.open_files);
    metrics::OPEN_DATABASES.set(app.registry.open_count() as u64);
    let jobs = app.replicator.jobs();
    let in_state = |state: &str| jobs.iter().filter(|job| job.state() == state).count() as u64;
    metrics::REPLICATOR_JOBS_RUNNING.set(in_state("running"));
    metrics::REPLICATOR_JOBS_PENDING.set(in_state("pending"));
    metrics::REPLICATOR_JOBS_CRASHED.set(in_state("crashing"));
    metrics::REPLICATOR_JOBS_TOTAL.set(jobs.len() as u64);
    process
}

fn all() -> Value {
    let mut tree = Map::new();
    for metric in metrics::all() {
        put(&mut tree, metric.path, shown(metric));
    }
    let counted = |number: u64, description: String| json!({"value": number, "type": "counter", "desc": description});
    for method in metrics::METHODS {
        let number = metrics::methods(method).map_or(0, metrics::Counter::get);
        let path = format!("couchdb.httpd_request_methods.{method}");
        put(&mut tree, &path, counted(number, format!("{method} requests")));
    }
    for code in metrics::STATUS_CODES {
        let number = metrics::status_codes(code).map_or(0, metrics::Counter::get);
        let path = format!("couchdb.httpd_status_codes.{code}");
        put(&mut tree, &path, counted(number, format!("answers with status {code}")));
    }
    Value::Object(tree)
}

fn put(tree: &mut Map<String, Value>, path: &str, value: Value) {
    match path.split_once('.') {
        None => {
            tree.insert(path.to_owned(), value);
        }
        Some((name, rest)) => {
            let inner = tree.entry(name.to_owned()).or_insert_with(|| json!({}));
            if let Value::Object(inner) = inner {
                put(inner, rest, value);
            }
        }
    }
}

fn shown(metric: &Metric) -> Value {
    let kind = match metric.kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram => "histogram",
    };
    let value = match (metric.value, metric.kind) {
        (metrics::Value::Number(counter), _) => json!(counter.get()),
        (metrics::Value::Spread(histogram), _) => spread(&histogram.summary()),
        (metrics::Value::Nothing, Kind::Histogram) => spread(&Summary::default()),
        (metrics::Value::Nothing, _) => json!(0),
    };
    json!({"value": value, "type": kind, "desc": metric.description})
}

fn spread(summary: &Summary) -> Value {
    let percentiles = summary.percentiles.map(|p| json!([p.name, p.value]));
    json!({
        "n": summary.n,
        "min": summary.min,
        "max": summary.max,
        "arithmetic_mean": summary.arithmetic_mean,
        "geometric_mean": summary.geometric_mean,
        "harmonic_mean": summary.harmonic_mean,
        "median": summary.median,
        "variance": summary.variance,
        "standard_deviation": summary.standard_deviation,
        "skewness": summary.skewness,
        "kurtosis": summary.kurtosis,
        "percentile": percentiles,
        // CouchDB has kept the member, but no bins in it.
        "histogram": [[0, 0]],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metrics_have_their_places() {
        let all = all();
        for path in [
            "/couchdb/httpd/requests",
            "/couchdb/httpd_status_codes/200",
            "/couchdb/httpd_request_methods/GET",
            "/couchdb/open_databases",
            "/couch_replicator/jobs/running",
            "/couchdb/query_server/time/map",
        ] {
            let metric = all.pointer(path).unwrap();
            assert!(metric["value"].is_u64() && metric["desc"].is_string(), "{path}: {metric}");
        }
        let time = all.pointer("/couchdb/request_time").unwrap();
        assert_eq!(time["type"], "histogram");
        let members = time["value"].as_object().unwrap();
        assert_eq!(members.len(), 13, "{members:?}");
        assert_eq!(time["value"]["percentile"][5][0], 999);
        assert_eq!(all["couch_replicator"]["jobs"]["running"]["type"], "gauge");
    }
}
