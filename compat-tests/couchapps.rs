//! Whole applications in the old style (fixtures/couchapps), pushed with the tools of their time
//! and then used through HTTP, one of them in a browser too. Needs what `make deps` installs: the
//! Python couchapp, node with the npm one, and Chromium.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::node::{finish, node, scripts_folder};
use crate::python::cache;
use crate::server::{ADMIN, PASSWORD, Port, Server};
use crate::wire;

const PYTHON_COUCHAPP: &str = "cmscouchapp-1.3.4";

#[test]
fn a_blog_of_lists_templates_feeds_and_validation() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), Port::Free);
    let app = folder.path().join("blog");
    copy(&fixtures().join("blog"), &app);
    // As the blog's author would have done: the library lies in the application.
    let mustache = scripts_folder().join("node_modules/mustache/mustache.js");
    fs::copy(mustache, app.join("vendor/mustache.js")).unwrap();
    push_with_python(&app, &server, "blog");
    finish(node("couchapp-blog.mjs", &server, &["blog"]).spawn().unwrap());
    // A second push sends the unchanged attachments as stubs.
    push_with_python(&app, &server, "blog");
    finish(node("couchapp-again.mjs", &server, &["blog", "blog"]).spawn().unwrap());
}

#[test]
fn a_wiki_of_shows_and_updates() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), Port::Free);
    let made = wire::Client::new(server.port()).send("PUT", "/wiki", &[], None).unwrap();
    assert_eq!(made.status, 201);
    for _ in 0..2 {
        push_with_node(&fixtures().join("wiki/app.js"), &server, "wiki");
    }
    finish(node("couchapp-wiki.mjs", &server, &["wiki"]).spawn().unwrap());
    finish(node("couchapp-again.mjs", &server, &["wiki", "wiki"]).spawn().unwrap());
}

#[test]
fn a_chat_of_filters_and_feeds_in_a_browser() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(folder.path(), Port::Free);
    // CouchDB keeps scripts in attachments from running unless it is told otherwise.
    let setting = "/_node/_local/_config/csp/attachments_enable";
    let set = wire::Client::new(server.port()).send("PUT", setting, &[], Some(b"\"false\""));
    assert_eq!(set.unwrap().status, 200);
    push_with_python(&fixtures().join("chat"), &server, "chat");
    finish(node("couchapp-chat.mjs", &server, &["chat"]).spawn().unwrap());
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/couchapps")
}

fn database(server: &Server, name: &str) -> String {
    format!("http://{ADMIN}:{PASSWORD}@127.0.0.1:{}/{name}", server.port())
}

/// Makes the database too, as the tool does.
fn push_with_python(app: &Path, server: &Server, name: &str) {
    let tool = cache().join(PYTHON_COUCHAPP).join("bin/couchapp");
    assert!(tool.is_file(), "the Python couchapp is missing: run `make deps`");
    let mut command = Command::new(tool);
    command.args(["push", "-p"]).arg(app).args(["-c", &database(server, name)]);
    push(command);
}

fn push_with_node(app: &Path, server: &Server, name: &str) {
    let modules = scripts_folder().join("node_modules");
    let mut command = Command::new("node");
    command.arg(modules.join("couchapp/bin.js")).arg("push").arg(app).arg(database(server, name));
    // The application asks for the tool's own module, wherever that is installed.
    command.env("NODE_PATH", modules);
    push(command);
}

fn push(mut command: Command) {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{said}{complained}", output.status);
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}
