//! The test suite that aiocouch (Python) ships in its source distribution, run by pytest. What
//! waits for later features is listed in `aiocouch_waits.txt`: an unlisted failure fails, and so
//! does a listed test that passes. Needs the virtual environment that `make deps` makes.

use std::collections::{BTreeMap, BTreeSet};
use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::server::{ADMIN, PASSWORD, Port, Server};

const SUITE: &str = "aiocouch-4.0.1";
const TESTS_IN_SUITE: usize = 145;

#[test]
fn aiocouch() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), Port::Free);
    let suite = cache().join(SUITE);
    let output = Command::new(suite.join("venv/bin/python"))
        .current_dir(suite.join("source"))
        .args(["-m", "pytest", "-rA", "--tb=short", "--timeout=60", "-p", "no:cacheprovider"])
        // The suite's own options ask for a coverage report.
        .args(["-o", "addopts=", "tests"])
        .env("COUCHDB_HOST", format!("http://127.0.0.1:{}", server.port()))
        .env("COUCHDB_USER", ADMIN)
        .env("COUCHDB_PASS", PASSWORD)
        .output()
        .expect("the virtual environment is there: `make deps` makes it");
    let said = String::from_utf8_lossy(&output.stdout);
    let Outcome { passed, failed } = outcome(&said);
    assert_eq!(
        passed.len() + failed.len(),
        TESTS_IN_SUITE,
        "{said}\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let waits = waits();
    let new: Vec<&String> = failed.iter().filter(|test| !waits.contains_key(*test)).collect();
    let vanished: Vec<_> = waits.iter().filter(|(test, _)| passed.contains(*test)).collect();
    let unknown: Vec<_> =
        waits.keys().filter(|test| !passed.contains(*test) && !failed.contains(*test)).collect();
    assert!(
        new.is_empty() && vanished.is_empty() && unknown.is_empty(),
        "{said}\nfail and are not listed: {new:#?}\nare listed and pass: {vanished:#?}\n\
         are listed and do not exist: {unknown:#?}"
    );
}

/// The tests of a run by their pytest ids.
struct Outcome {
    passed: BTreeSet<String>,
    failed: BTreeSet<String>,
}

/// Reads pytest's closing summary. A test that passed but could not clean up has failed.
fn outcome(said: &str) -> Outcome {
    let named = |words: &[&str]| -> BTreeSet<String> {
        said.lines()
            .filter_map(|line| line.split_once(' '))
            .filter(|(word, rest)| words.contains(word) && rest.starts_with("tests/"))
            .filter_map(|(_, rest)| rest.split_whitespace().next())
            .map(str::to_owned)
            .collect()
    };
    let failed = named(&["FAILED", "ERROR"]);
    let passed = &named(&["PASSED"]) - &failed;
    Outcome { passed, failed }
}

/// Test id -> what it waits for.
fn waits() -> BTreeMap<String, String> {
    let list = Path::new(env!("CARGO_MANIFEST_DIR")).join("compat-tests/aiocouch_waits.txt");
    let lines = std::fs::read_to_string(list).unwrap();
    lines
        .lines()
        .filter(|line| !line.starts_with('#') && !line.trim().is_empty())
        .map(|line| {
            let (test, reason) = line.split_once(' ').expect("a test and what it waits for");
            (test.to_owned(), reason.trim().to_owned())
        })
        .collect()
}

pub fn cache() -> PathBuf {
    let home = || PathBuf::from(env::var_os("HOME").expect("HOME is set")).join(".cache/settee");
    env::var_os("SETTEE_CACHE").map_or_else(home, PathBuf::from)
}
