//! The test suite of couchdb-bootstrap, which sets CouchDB up from a folder: configuration, users,
//! `_security`, documents. Needs its packages, which `make deps` installs.

use std::process::Command;

use crate::python::cache;
use crate::server::{ADMIN, PASSWORD, Port, Server};

const SUITE: &str = "couchdb-bootstrap-15.1.0";
const FILES: [&str; 3] = ["cli", "couchdb-bootstrap", "map-db-name-option"];
/// Those of the suite, without one a file that its runner adds.
const TESTS_IN_SUITE: usize = 70;

#[test]
fn couchdb_bootstrap() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), Port::Free);
    let mut passed = 0;
    for file in FILES {
        let output = Command::new("node")
            .current_dir(cache().join(SUITE).join("node_modules/couchdb-bootstrap"))
            .arg(format!("test/test-{file}.js"))
            .env("COUCH", format!("http://{ADMIN}:{PASSWORD}@127.0.0.1:{}", server.port()))
            .output()
            .expect("node is there, and the suite: `make deps` installs them");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{file}: {said}");
        passed += said.lines().filter(|line| line.trim_start().starts_with("ok ")).count();
    }
    assert_eq!(passed, TESTS_IN_SUITE);
}
