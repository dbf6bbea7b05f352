//! Crash safety from outside: the process is killed with SIGKILL and started again on the same
//! folder, many times. While eight clients write, it is killed at random moments: every
//! acknowledged write must be there, nothing half-written, and what the server says about itself
//! must add up. While it builds view indexes, it is killed when one has come so far: the indexes
//! must be those of some moment, go on from there, and end as the documents are.
//! `SETTEE_CRASH_SEED=N` repeats the choices of the run that printed N.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

#[path = "../compat-tests/server.rs"]
#[allow(dead_code, reason = "other tests speak TLS")]
mod server;

#[path = "crash/check.rs"]
mod check;
#[path = "crash/couch.rs"]
mod couch;
#[path = "crash/editor.rs"]
mod editor;
#[path = "crash/rows.rs"]
mod rows;
#[path = "crash/views.rs"]
mod views;
#[path = "crash/writer.rs"]
mod writer;

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tokio::task::JoinSet;

use check::Scope;
use couch::Couch;
use editor::Editor;
use server::{Port, Server};
use writer::Writer;

const ROUNDS: usize = 20;
const CLIENTS: u64 = 8;
const VIEW_ROUNDS: u64 = 10;
const SEED_VARIABLE: &str = "SETTEE_CRASH_SEED";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_acknowledged_write_outlives_twenty_kills() {
    let seed = seed();
    println!("{SEED_VARIABLE}={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start(folder.path(), Port::Free);
    Couch::new(server.port()).create_database().await;
    let mut writers: Vec<Writer> = (0..CLIENTS).map(|client| Writer::new(client, seed)).collect();
    for round in 0..ROUNDS {
        let before: usize = writers.iter().map(Writer::acknowledged).sum();
        let mut running = JoinSet::new();
        for writer in writers.drain(..) {
            running.spawn(writer.run_until_cut_off(Couch::new(server.port())));
        }
        tokio::time::sleep(Duration::from_millis(random.random_range(50..400))).await;
        let port = server.port();
        server.kill();
        writers = running.join_all().await;
        let after: usize = writers.iter().map(Writer::acknowledged).sum();
        let port = if round % 2 == 0 { Port::Same(port) } else { Port::Free };
        server = Server::start(folder.path(), port);
        let couch = Couch::new(server.port());
        let scope = if round + 1 == ROUNDS { Scope::Everything } else { Scope::Touched };
        check::holds_what_was_acknowledged(&couch, &mut writers, scope).await;
        let documents = check::adds_up(&couch).await;
        println!("round {round}: {} writes acknowledged, {documents} documents", after - before);
    }
    let written: usize = writers.iter().map(Writer::acknowledged).sum();
    assert!(written > ROUNDS, "the clients hardly wrote anything: {written}");
    let status = server.stop();
    assert_eq!(status.code(), Some(0), "exit status after SIGTERM: {status}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn view_indexes_outlive_ten_kills_while_they_are_built() {
    let seed = seed();
    println!("{SEED_VARIABLE}={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let folder = tempfile::tempdir().unwrap();
    let mut server = Server::start(folder.path(), Port::Free);
    let couch = Couch::new(server.port());
    couch.create_database().await;
    editor::fill(&couch).await;
    for round in 0..VIEW_ROUNDS {
        let couch = Couch::new(server.port());
        if round % 3 == 2 {
            Editor::new(&couch, round, seed).await.edit_many(&couch).await;
        } else {
            views::save(&couch, round).await;
        }
        let editor = Editor::new(&couch, round, seed).await;
        let mut running = JoinSet::new();
        running.spawn(editor.run_until_cut_off(Couch::new(server.port())));
        for name in views::DESIGNS {
            running.spawn(views::ask_until_cut_off(Couch::new(server.port()), name));
        }
        let seen = views::watch(&couch, &mut random).await;
        server.kill();
        running.join_all().await;
        server = Server::start(folder.path(), Port::Free);
        let couch = Couch::new(server.port());
        let found = views::are_of_a_moment(&couch, &seen, &mut random).await;
        let rows = views::catch_up(&couch, &found, &mut random).await;
        println!("round {round}: killed at {seen:?}, found {found:?}, {rows} rows");
    }
    let status = server.stop();
    assert_eq!(status.code(), Some(0), "exit status after SIGTERM: {status}");
}

fn seed() -> u64 {
    match std::env::var(SEED_VARIABLE) {
        Ok(text) => text.parse().expect("the seed is a number"),
        Err(_) => rand::rng().random_range(0..1_000_000),
    }
}
