//! `settee backup`, `restore`, `verify` and `compact`, on a running server and without one.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::server::{Port, Server};
use crate::wire::{Client, Response};

fn settee(arguments: &[&str], folders: &[&Path]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_settee"));
    command.args(arguments).args(folders);
    command.output().expect("the settee binary starts")
}

#[track_caller]
fn works(arguments: &[&str], folders: &[&Path]) -> String {
    let done = settee(arguments, folders);
    let told = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{arguments:?} {folders:?}: {told}");
    String::from_utf8(done.stdout).unwrap()
}

#[track_caller]
fn fails(arguments: &[&str], folders: &[&Path], expect: &str) {
    let done = settee(arguments, folders);
    let told = [done.stdout, done.stderr].concat();
    let told = String::from_utf8_lossy(&told);
    assert_eq!(done.status.code(), Some(1), "{arguments:?}: {told}");
    assert!(told.contains(expect), "{arguments:?}: {told}");
}

fn send(client: &Client, method: &str, path: &str, body: Option<&Value>) -> Response {
    let json = [("Content-Type".to_owned(), "application/json".to_owned())];
    let body = body.map(Value::to_string);
    client.send(method, path, &json, body.as_deref().map(str::as_bytes)).unwrap()
}

#[track_caller]
fn get(client: &Client, path: &str) -> Value {
    serde_json::from_slice(&send(client, "GET", path, None).body).unwrap()
}

fn fill(client: &Client, from: usize, count: usize) {
    let docs = (from..from + count).map(|number| {
        let id = format!("doc-{number:06}");
        json!({"_id": id, "number": number, "text": "x".repeat(500)})
    });
    let docs: Vec<Value> = docs.collect();
    let written = send(client, "POST", "/db/_bulk_docs", Some(&json!({"docs": docs})));
    assert_eq!(written.status, 201);
}

fn prepare(client: &Client) {
    assert_eq!(send(client, "PUT", "/db", None).status, 201);
    fill(client, 0, 3000);
    let large: Vec<u8> = (0..=250).cycle().take(3_000_000).collect();
    let typed = [("Content-Type".to_owned(), "image/png".to_owned())];
    assert_eq!(client.send("PUT", "/db/large/a", &typed, Some(&large)).unwrap().status, 201);
    let map = "function (doc) { emit(doc.number, 1); emit(doc.number, 1); }";
    let ddoc = json!({"views": {"v": {"map": map, "reduce": "_sum"}}});
    assert_eq!(send(client, "PUT", "/db/_design/d", Some(&ddoc)).status, 201);
    assert_eq!(get(client, "/db/_design/d/_view/v")["rows"][0]["value"], 6002);
}

fn newest(backups: &Path) -> PathBuf {
    let mut names: Vec<_> = fs::read_dir(backups).unwrap().map(|e| e.unwrap().path()).collect();
    names.sort();
    names.pop().unwrap()
}

fn store_files(backup: &Path) -> Vec<PathBuf> {
    let files = fs::read_dir(backup.join("store")).unwrap().map(|entry| entry.unwrap().path());
    files.collect()
}

fn bytes_in(folder: &Path) -> u64 {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let tables = files.filter(|path| path.extension().is_some_and(|kind| kind != "log"));
    tables.map(|path| fs::metadata(path).map_or(0, |file| file.len())).sum()
}

#[test]
fn a_running_server_is_backed_up_restored_and_verified() {
    let folder = tempfile::tempdir().unwrap();
    let (data, backups) = (folder.path().join("data"), folder.path().join("backups"));
    let server = Server::start(folder.path(), Port::Free);
    let client = Client::new(server.port());
    prepare(&client);
    // Somebody writes all the time; what was acknowledged before a backup begins is in it.
    let (stop, acknowledged) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let writer = thread::spawn({
        let (stop, acknowledged) = (stop.clone(), acknowledged.clone());
        let client = Client::new(server.port());
        move || {
            while !stop.load(Ordering::SeqCst) {
                let number = acknowledged.load(Ordering::SeqCst);
                let path = format!("/db/written-{number}");
                assert_eq!(send(&client, "PUT", &path, Some(&json!({}))).status, 201);
                acknowledged.store(number + 1, Ordering::SeqCst);
            }
        }
    });
    while acknowledged.load(Ordering::SeqCst) < 100 {
        thread::sleep(Duration::from_millis(1));
    }
    let before = acknowledged.load(Ordering::SeqCst);
    let data_dir = ["--data-dir", data.to_str().unwrap()];
    works(&["backup", data_dir[0], data_dir[1]], &[&backups]);
    let first = newest(&backups);
    works(&["backup", data_dir[0], data_dir[1]], &[&backups]);
    let second = newest(&backups);
    assert_ne!(first, second);
    works(&["verify", data_dir[0], data_dir[1]], &[]);
    stop.store(true, Ordering::SeqCst);
    writer.join().unwrap();
    let checkpoints = fs::read_dir(data.join("tmp")).unwrap().count();
    assert_eq!(checkpoints, 0, "checkpoints go when the command has ended");
    // Tables are shared between the backups.
    let shared = store_files(&second).into_iter().filter(|path| {
        let is_table = path.extension().is_some_and(|kind| kind == "sst");
        is_table && fs::metadata(path).unwrap().nlink() > 1
    });
    assert!(shared.count() > 0);
    for backup in [&first, &second] {
        let told = works(&["verify"], &[backup]);
        assert!(told.contains("databases"), "{told}");
    }
    drop(server);
    let again = tempfile::tempdir().unwrap();
    let new_data = again.path().join("data");
    works(&["restore", "--data-dir", new_data.to_str().unwrap()], &[&first]);
    fails(&["restore", "--data-dir", new_data.to_str().unwrap()], &[&first], "holds databases");
    let server = Server::start(again.path(), Port::Free);
    let client = Client::new(server.port());
    let info = get(&client, "/db");
    assert!(info["doc_count"].as_u64().unwrap() >= 3002 + before, "{info}");
    let attachment = client.send("GET", "/db/large/a", &[], None).unwrap();
    assert_eq!(attachment.body.len(), 3_000_000);
    assert_eq!(
        get(&client, "/db/_design/d/_view/v?reduce=false&key=7")["rows"][0]["id"],
        "doc-000007"
    );
    assert_eq!(get(&client, "/db/written-99")["_id"], "written-99");
}

#[test]
fn a_stopped_server_too_and_damage_is_found() {
    let folder = tempfile::tempdir().unwrap();
    let (data, backups) = (folder.path().join("data"), folder.path().join("backups"));
    let server = Server::start(folder.path(), Port::Free);
    prepare(&Client::new(server.port()));
    assert_eq!(server.stop().code(), Some(0));
    let data_dir = ["--data-dir", data.to_str().unwrap()];
    for _ in 0..3 {
        works(&["backup", "--keep", "2", data_dir[0], data_dir[1]], &[&backups]);
    }
    assert_eq!(fs::read_dir(&backups).unwrap().count(), 2);
    works(&["compact", data_dir[0], data_dir[1]], &[]);
    works(&["verify", data_dir[0], data_dir[1]], &[]);
    fails(&["compact", data_dir[0], data_dir[1], "nothing"], &[], "nothing: ");
    let backup = newest(&backups);
    let tables = store_files(&backup).into_iter();
    let table = tables.filter(|path| path.extension().is_some_and(|kind| kind == "sst"));
    let table = table.max_by_key(|path| fs::metadata(path).unwrap().len()).unwrap();
    // Not in place: the file may be the data folder's too.
    let mut bytes = fs::read(&table).unwrap();
    let middle = bytes.len() / 3;
    bytes[middle] ^= 1;
    fs::remove_file(&table).unwrap();
    fs::write(&table, bytes).unwrap();
    fails(&["verify"], &[&backup], "not the file that was backed up");
    let new_data = folder.path().join("new");
    fails(
        &["restore", "--data-dir", new_data.to_str().unwrap()],
        &[&backup],
        "not the file that was backed up",
    );
    assert!(!new_data.join("store").exists());
    let empty = folder.path().join("empty");
    fs::create_dir(&empty).unwrap();
    fails(&["verify"], &[&empty], "no backup");
    fails(&["backup", "--data-dir", empty.to_str().unwrap()], &[&backups], "no store");
    works(&["verify", data_dir[0], data_dir[1]], &[]);
}

#[test]
fn compaction_of_a_running_server_gives_space_back() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let server = Server::start(folder.path(), Port::Free);
    let client = Client::new(server.port());
    prepare(&client);
    let compact = |databases: &[&Path]| {
        works(&["compact", "--data-dir", data.to_str().unwrap()], databases);
    };
    compact(&[]);
    let before = bytes_in(&data.join("store"));
    let rev = get(&client, "/db/large")["_rev"].as_str().unwrap().to_owned();
    assert_eq!(send(&client, "DELETE", &format!("/db/large?rev={rev}"), None).status, 200);
    compact(&[Path::new("db")]);
    compact(&[]);
    let after = bytes_in(&data.join("store"));
    assert!(after + 2_500_000 < before, "{before} {after}");
    fails(&["compact", "--data-dir", data.to_str().unwrap(), "none"], &[], "none: ");
}
