//! Changes feeds that are cut, that fall silent, and that make no sense.

use serde_json::{Value, json};
use tokio::time::Instant;

use super::*;
use crate::http::client::scripted::{chunk, chunked};
use crate::replicator::{ChangesBatch, ChangesQuery, ChangesReader, Peer, PeerError, Selection};

fn query(continuous: bool) -> ChangesQuery {
    ChangesQuery {
        since: json!(0),
        selection: Selection::Everything,
        winning_revs_only: false,
        continuous,
        batch: 10,
    }
}

async fn reader(server: &Scripted, query: ChangesQuery) -> Box<dyn ChangesReader> {
    peer(server).changes(query).await.unwrap()
}

fn row(seq: u64) -> String {
    json!({"seq": format!("{seq}-+"), "id": format!("d{seq}"), "changes": [{"rev": "1-a"}]})
        .to_string()
}

/// A whole normal feed.
fn normal(seqs: &[u64], last_seq: &Value) -> Vec<Step> {
    let rows: Vec<String> = seqs.iter().map(|seq| row(*seq)).collect();
    let rows = rows.join(",\n");
    let text = format!("{{\"results\":[\n{rows}\n],\n\"last_seq\":{last_seq},\"pending\":4}}\n");
    answer(200, "", &text)
}

/// The ids of a batch, and where it ends.
fn shown(batch: Option<ChangesBatch>) -> (Vec<String>, Value) {
    let batch = batch.expect("there is more");
    (batch.changed.into_iter().map(|changed| changed.id).collect(), batch.last_seq)
}

fn given(ids: &[&str], last_seq: &str) -> (Vec<String>, Value) {
    (ids.iter().map(|id| (*id).to_owned()).collect(), json!(last_seq))
}

/// All that is left, one batch after the other.
async fn rest(reader: &mut dyn ChangesReader) -> (Vec<String>, Value) {
    let (mut ids, mut last_seq) = (Vec::new(), Value::Null);
    while let Some(batch) = reader.next().await.unwrap() {
        ids.extend(batch.changed.into_iter().map(|changed| changed.id));
        last_seq = batch.last_seq;
    }
    (ids, last_seq)
}

#[tokio::test(start_paused = true)]
async fn a_feed_comes_in_batches_and_ends() {
    let server = Scripted::start(|_, _| normal(&[1, 2, 3], &json!("9-z"))).await;
    let mut reader = reader(&server, ChangesQuery { batch: 2, ..query(false) }).await;
    assert_eq!(shown(reader.next().await.unwrap()), given(&["d1", "d2"], "2-+"));
    let last = reader.next().await.unwrap().unwrap();
    assert_eq!((last.last_seq.clone(), last.pending), (json!("9-z"), Some(4)));
    assert_eq!(last.changed[0].revs, revs(&["1-a"]));
    assert_eq!(reader.next().await, Ok(None));
    let line = "GET /db/_changes?feed=normal&style=all_docs&since=0&heartbeat=10000";
    assert_eq!(server.lines(), [line]);
}

#[tokio::test(start_paused = true)]
async fn a_cut_feed_goes_on_behind_its_last_whole_row() {
    let server = Scripted::start(|_, before| match before {
        0 => {
            let begins = format!("{{\"results\":[\n{},\n{}", row(1), &row(2)[..9]);
            vec![chunked(), chunk(&begins), Step::Cut]
        }
        1 => vec![Step::Cut],
        _ => normal(&[2, 3], &json!("3-+")),
    })
    .await;
    let mut reader = reader(&server, query(false)).await;
    let (ids, last_seq) = rest(&mut *reader).await;
    assert_eq!((ids, last_seq), (["d1", "d2", "d3"].map(str::to_owned).to_vec(), json!("3-+")));
    let lines = server.lines();
    assert!(lines[0].contains("since=0&") && lines[2].contains("since=1-%2B&"), "{lines:?}");
}

#[tokio::test(start_paused = true)]
async fn what_has_arrived_is_not_kept_waiting() {
    let server = Scripted::start(|_, before| match before {
        0 => normal(&[], &json!("0-x")),
        _ => vec![chunked(), chunk(&row(1)), chunk("\n"), Step::Hang],
    })
    .await;
    let mut reader = reader(&server, query(true)).await;
    assert_eq!(shown(reader.next().await.unwrap()), given(&[], "0-x"));
    let begun = Instant::now();
    assert_eq!(shown(reader.next().await.unwrap()), given(&["d1"], "1-+"));
    assert!(begun.elapsed() < PATIENCE);
    let lines = server.lines();
    assert!(lines[1].contains("feed=continuous&style=all_docs&since=0-x&heartbeat=10000"));
}

#[tokio::test(start_paused = true)]
async fn a_feed_without_heartbeats_is_given_up() {
    let server = Scripted::start(|_, before| match before {
        0 => normal(&[], &json!(0)),
        // Alive for a while, then no more.
        1 => {
            let alive = [Step::Rest(10_000), chunk("\n")];
            let mut steps = vec![chunked(), chunk(&(row(1) + "\n"))];
            steps.extend(std::iter::repeat_n(alive, 12).flatten());
            steps.push(Step::Hang);
            steps
        }
        _ => vec![chunked(), chunk(&(row(2) + "\n")), Step::Hang],
    })
    .await;
    let mut reader = reader(&server, query(true)).await;
    assert_eq!(shown(reader.next().await.unwrap()), given(&["d1"], "1-+"));
    let begun = Instant::now();
    assert_eq!(shown(reader.next().await.unwrap()), given(&["d2"], "2-+"));
    let waited = begun.elapsed().as_secs();
    assert!((150..153).contains(&waited), "{waited}");
    assert!(server.lines()[2].contains("feed=continuous&style=all_docs&since=1-%2B"));
}

/// Servers may end a continuous feed from time to time, which is no failure.
#[tokio::test(start_paused = true)]
async fn a_feed_that_ends_is_asked_for_again() {
    let server = Scripted::start(|_, before| match before {
        0 => normal(&[], &json!(0)),
        1..20 => vec![chunked(), chunk("{\"last_seq\":0}\n"), Step::Send("0\r\n\r\n".to_owned())],
        _ => vec![chunked(), chunk(&(row(1) + "\n")), Step::Hang],
    })
    .await;
    let mut reader = reader(&server, query(true)).await;
    assert_eq!(shown(reader.next().await.unwrap()), given(&["d1"], "1-+"));
}

#[tokio::test(start_paused = true)]
async fn what_makes_no_sense_is_asked_for_so_often() {
    for steps in [
        vec![chunked(), chunk("{\"results\":["), chunk("1"), Step::Cut],
        answer(200, "", "<html></html>"),
        answer(200, "", "{\"results\":["),
        answer(200, "", "{\"results\":[{\"id\":\"a\",\"changes\":[{\"rev\":\"x\"}]}]}"),
    ] {
        let server = Scripted::start(move |_, _| steps.clone()).await;
        let mut reader = reader(&server, query(false)).await;
        let error = reader.next().await.unwrap_err();
        assert!(error.is_transient(), "{error}");
        assert_eq!(server.lines().len(), 6, "{error}");
    }
    let server = Scripted::start(|_, _| refusal(400, "bad_request", "Malformed sequence")).await;
    let mut reader = reader(&server, query(false)).await;
    assert!(matches!(reader.next().await, Err(PeerError::Status { status: 400, .. })));
    assert_eq!(server.lines().len(), 1);
}

/// Rows before one that makes no sense are good.
#[tokio::test(start_paused = true)]
async fn rows_before_nonsense_are_given() {
    let server = Scripted::start(|_, _| {
        answer(200, "", &format!("{{\"results\":[{},{{\"error\":\"timeout\"}}", row(1)))
    })
    .await;
    let mut reader = reader(&server, query(false)).await;
    assert_eq!(shown(reader.next().await.unwrap()), given(&["d1"], "1-+"));
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_dropped_loses_nothing() {
    let server = Scripted::start(|_, before| match before {
        0 => vec![Step::Rest(3_500), Step::Cut],
        1 => [vec![Step::Rest(5_000)], normal(&[1], &json!("1-+"))].concat(),
        _ => vec![chunked(), Step::Rest(3_000), chunk(&(row(2) + "\n")), Step::Hang],
    })
    .await;
    let mut reader = reader(&server, query(true)).await;
    let mut ids = Vec::new();
    while ids.len() < 2 {
        // Nothing comes within a second of any call.
        tokio::select! {
            batch = reader.next() => ids.extend(shown(batch.unwrap()).0),
            () = tokio::time::sleep(Duration::from_secs(1)) => {}
        }
    }
    assert_eq!(ids, ["d1", "d2"]);
    assert_eq!(server.lines().len(), 3, "each feed was asked for once");
}

#[tokio::test(start_paused = true)]
async fn selections_are_the_sources_work() {
    let params = json!({"a": "b c", "n": 1, "view": "d/v"});
    let query_params = params.as_object().unwrap().clone();
    for (selection, line, body) in [
        (
            Selection::DocIds(vec!["x".to_owned()]),
            "POST /db/_changes?feed=normal&style=main_only&since=0&heartbeat=10000&filter=_doc_ids",
            "{\"doc_ids\":[\"x\"]}",
        ),
        (
            Selection::Selector(json!({"a": 1})),
            "POST /db/_changes?feed=normal&style=main_only&since=0&heartbeat=10000&filter=_selector",
            "{\"selector\":{\"a\":1}}",
        ),
        (
            Selection::Filter { name: "d/f".to_owned(), query_params },
            "GET /db/_changes?feed=normal&style=main_only&since=0&heartbeat=10000&filter=d%2Ff\
             &a=b+c&n=1&view=d%2Fv",
            "",
        ),
    ] {
        let server = Scripted::start(|_, _| normal(&[], &json!(0))).await;
        let asked = ChangesQuery { selection, winning_revs_only: true, ..query(false) };
        assert_eq!(reader(&server, asked).await.next().await, Ok(None));
        let seen = server.seen().remove(0);
        assert_eq!((seen.line().as_str(), seen.body.as_str()), (line, body));
    }
}
