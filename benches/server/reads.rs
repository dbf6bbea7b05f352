//! Reading documents, lists and revisions.

use std::fmt::Write as _;

use bytes::Bytes;
use serde_json::{Value, json};

use crate::bench::{Base, Bench, folder};
use crate::documents;
use crate::error::{BenchError, Result, check};
use crate::http::{self, Answer, Connection};
use crate::load::{self, Load};
use crate::mango;
use crate::meter::{Measured, Meter, median_of};
use crate::process::Process;
use crate::report::{Figure, Unit};

const CLIENTS: usize = 32;

/// GET of random documents, and the same bytes from a bare handler.
pub async fn get_document(bench: &mut Bench) -> Result<()> {
    let base = bench.base().await?;
    let numbers = base.sample(5000);
    let path = |number: &usize| format!("{}/{}", Base::PATH, documents::id(*number));
    let requests: Vec<Bytes> = numbers.iter().map(|number| http::get(&path(number))).collect();
    let answer = check_documents(bench, &base, &numbers).await?;
    let mean_bytes = answer.body.len() as u64;
    let ours = replayed(bench, &requests, CLIENTS, mean_bytes).await?;
    let bound = handler(bench, &answer, &requests).await?;
    bench.report.add(Figure::cpu("bound: bare axum handler", &bound));
    bench.report.add(Figure::cpu("get_document", &ours).bound(bound.each_us()));
    let part = ours.rate() / bound.rate() * 100.0;
    bench.report.add(Figure::new("get_document of handler", part, Unit::Percent));
    Ok(())
}

/// Reads some of the documents and gives the last answer.
async fn check_documents(bench: &Bench, base: &Base, numbers: &[usize]) -> Result<Answer> {
    let mut connection = bench.server.connect().await?;
    let mut last = None;
    for number in numbers.iter().take(20) {
        let path = format!("{}/{}", Base::PATH, documents::id(*number));
        let answer = connection.expect(&http::get(&path)).await?;
        let (id, rev) = (documents::id(*number), base.rev(*number));
        let expected =
            format!(r#"{{"_id":"{id}","_rev":"{rev}",{}}}"#, documents::members(*number));
        check(
            "a document",
            &expected,
            &String::from_utf8_lossy(&answer.body).trim_end().to_owned(),
        )?;
        last = Some(answer);
    }
    last.ok_or(BenchError::Sample("document"))
}

/// The cost of the same answer from a server that does nothing else.
async fn handler(bench: &Bench, answer: &Answer, requests: &[Bytes]) -> Result<Measured> {
    let folder = folder()?;
    let file = folder.path().join("answer");
    std::fs::write(&file, [answer.head.as_ref(), &answer.body].concat())?;
    let handler = Process::handler(&file)?;
    measured_replay(&handler, bench, requests, CLIENTS, answer.body.len() as u64).await
}

/// The cost of `requests`, repeated in turn; `body_bytes` are in an answer, more or less.
pub async fn replayed(
    bench: &Bench,
    requests: &[Bytes],
    connections: usize,
    body_bytes: u64,
) -> Result<Measured> {
    measured_replay(&bench.server.process, bench, requests, connections, body_bytes).await
}

async fn measured_replay(
    server: &Process,
    bench: &Bench,
    requests: &[Bytes],
    connections: usize,
    body_bytes: u64,
) -> Result<Measured> {
    let request = |index: usize| {
        let at = index % requests.len().max(1);
        requests.get(at).cloned().unwrap_or_default()
    };
    let warm = Load::of_requests(connections * 20, connections);
    load::run(server.address, warm, request).await?;
    let load = Load::lasting(bench.scale.load, connections);
    median_of(bench.scale.rounds, async |_| {
        let meter = Meter::start(server)?;
        let outcome = load::run(server.address, load, request).await?;
        let measured = meter.finish(outcome.requests)?;
        let mean = outcome.body_bytes / (outcome.requests as u64).max(1);
        if mean.abs_diff(body_bytes) > body_bytes / 5 {
            check("mean bytes of an answer", &body_bytes, &mean)?;
        }
        Ok(measured)
    })
    .await
}

/// The cost of a row where one connection repeats `request`, whose answer has `rows` rows.
pub async fn streamed(bench: &Bench, request: Bytes, rows: usize, read: usize) -> Result<Measured> {
    let server = &bench.server.process;
    let mut connection = bench.server.connect().await?;
    let answer = connection.expect(&request).await?;
    check_rows(&answer, rows)?;
    let load = Load::lasting(bench.scale.load, 1);
    let body_bytes = answer.body.len() as u64;
    median_of(bench.scale.rounds, async |_| {
        let meter = Meter::start(server)?;
        let outcome = load::run(server.address, load, |_| request.clone()).await?;
        let measured = meter.finish(outcome.requests)?;
        check(
            "bytes of all answers",
            &(body_bytes * outcome.requests as u64),
            &outcome.body_bytes,
        )?;
        Ok(measured.times(read))
    })
    .await
}

/// Fails unless the answer has `expected` rows or results, of as many documents.
fn check_rows(answer: &Answer, expected: usize) -> Result<()> {
    let json = answer.json()?;
    let rows = json.get("rows").or_else(|| json.get("results")).and_then(Value::as_array);
    let ids = rows.into_iter().flatten().filter_map(|row| row.get("id")?.as_str());
    let ids: std::collections::HashSet<&str> = ids.collect();
    check("rows", &expected, &ids.len())
}

pub async fn all_docs(bench: &mut Bench) -> Result<()> {
    let rows = bench.base().await?.documents;
    let plain = http::get(&format!("{}/_all_docs", Base::PATH));
    let measured = streamed(bench, plain, rows, rows).await?;
    bench.report.add(Figure::cpu("all_docs", &measured));
    let with_documents = http::get(&format!("{}/_all_docs?include_docs=true", Base::PATH));
    let measured = streamed(bench, with_documents, rows, rows).await?;
    bench.report.add(Figure::cpu("all_docs include_docs", &measured));
    Ok(())
}

pub async fn changes(bench: &mut Bench) -> Result<()> {
    let rows = bench.base().await?.documents;
    let plain = http::get(&format!("{}/_changes", Base::PATH));
    let measured = streamed(bench, plain, rows, rows).await?;
    bench.report.add(Figure::cpu("changes", &measured));
    let with_documents = http::get(&format!("{}/_changes?include_docs=true", Base::PATH));
    let measured = streamed(bench, with_documents, rows, rows).await?;
    bench.report.add(Figure::cpu("changes include_docs", &measured));
    Ok(())
}

/// `_changes` through a selector that one document in six passes, and through one that an index
/// knows and one document in a hundred passes.
pub async fn changes_selector(bench: &mut Bench) -> Result<()> {
    let documents = bench.base().await?.documents;
    let passes = |number: &usize| documents::members(*number).starts_with(r#""type":"order""#);
    let rows = (0..documents).filter(passes).count();
    let path = format!("{}/_changes?filter=_selector", Base::PATH);
    let request = http::post(&path, br#"{"selector":{"type":"order"}}"#);
    let measured = streamed(bench, request, rows, documents).await?;
    bench.report.add(Figure::cpu("changes _selector", &measured));
    let selector = json!({"count": {"$lt": 100}});
    let mut connection = bench.server.connect().await?;
    mango::create_index(&mut connection, Base::PATH, "changes-asked", &["count"]).await?;
    let count = mango::find(Base::PATH, &json!({"selector": selector, "count": true}));
    let rows = connection.expect(&count).await?.json()?;
    let rows = rows.get("count").and_then(Value::as_u64).unwrap_or_default();
    let passes = |number: &usize| {
        let document = format!("{{{}}}", documents::members(*number));
        let document: Value = serde_json::from_str(&document).unwrap_or_default();
        document.get("count").and_then(Value::as_u64).is_some_and(|count| count < 100)
    };
    let passing = (0..documents).filter(passes).count();
    check("documents of the index", &(passing as u64), &rows)?;
    let request = http::post(&path, json!({"selector": selector}).to_string().as_bytes());
    let measured = streamed(bench, request, passing, documents).await?;
    bench.report.add(Figure::cpu("changes _selector indexed", &measured));
    Ok(())
}

/// Clients that ask for the last 10 to 30 changes.
pub async fn changes_near_end(bench: &mut Bench) -> Result<()> {
    let documents = bench.base().await?.documents;
    let mut connection = bench.server.connect().await?;
    let mut requests = Vec::new();
    let mut body_bytes = 0;
    for rows in [10, 15, 20, 25, 30] {
        let path = format!("{}/_changes?limit={}", Base::PATH, documents - rows);
        let json = connection.expect(&http::get(&path)).await?.json()?;
        let since = json.get("last_seq").and_then(Value::as_str).unwrap_or_default();
        let since = http::in_query(since);
        let request = http::get(&format!("{}/_changes?since={since}", Base::PATH));
        let answer = connection.expect(&request).await?;
        check_rows(&answer, rows)?;
        body_bytes += answer.body.len() as u64 / 5;
        requests.push(request);
    }
    let measured = replayed(bench, &requests, CLIENTS, body_bytes).await?;
    bench.report.add(Figure::cpu("changes near the end", &measured));
    Ok(())
}

/// 1000 ids a request; every second revision is missing.
pub async fn revs_diff(bench: &mut Bench) -> Result<()> {
    let base = bench.base().await?;
    let mut random = documents::Random::new(19);
    let asked = base.documents.min(1000);
    let mut requests = Vec::new();
    for first in 0..10 {
        let mut body = String::from("{");
        for number in 0..asked {
            let document = (first * 977 + number) % base.documents;
            let missing = format!("2-{}", random.hash());
            let rev = if number % 2 == 0 { base.rev(document) } else { &missing };
            let comma = if number == 0 { "" } else { "," };
            // Writing into a string does not fail.
            let _ = write!(body, r#"{comma}"{}":["{rev}"]"#, documents::id(document));
        }
        body.push('}');
        requests.push(http::post(&format!("{}/_revs_diff", Base::PATH), body.as_bytes()));
    }
    let answer = first_answer(bench, &requests).await?;
    let found = answer.json()?.as_object().map_or(0, serde_json::Map::len);
    check("missing revisions", &(asked / 2), &found)?;
    let measured = replayed(bench, &requests, 2, answer.body.len() as u64).await?;
    bench.report.add(Figure::cpu("revs_diff", &measured.times(asked)));
    Ok(())
}

/// 100 documents a request, with their histories.
pub async fn bulk_get(bench: &mut Bench) -> Result<()> {
    let base = bench.base().await?;
    let requests: Vec<Bytes> = base
        .sample(10_000)
        .chunks(100)
        .map(|numbers| {
            let wanted = numbers.iter().map(|number| {
                format!(r#"{{"id":"{}","rev":"{}"}}"#, documents::id(*number), base.rev(*number))
            });
            let body = format!(r#"{{"docs":[{}]}}"#, wanted.collect::<Vec<_>>().join(","));
            http::post(&format!("{}/_bulk_get?revs=true", Base::PATH), body.as_bytes())
        })
        .collect();
    let answer = first_answer(bench, &requests).await?;
    let json = answer.json()?;
    let results = json.get("results").and_then(Value::as_array).into_iter().flatten();
    let found = results.filter(|row| row.pointer("/docs/0/ok/_revisions/ids/0").is_some()).count();
    check("documents of _bulk_get", &100, &found)?;
    let measured = replayed(bench, &requests, 4, answer.body.len() as u64).await?;
    bench.report.add(Figure::cpu("bulk_get", &measured.times(100)));
    Ok(())
}

async fn first_answer(bench: &Bench, requests: &[Bytes]) -> Result<Answer> {
    let mut connection = Connection::open(bench.server.process.address).await?;
    connection.expect(requests.first().map_or(&[], |request| request.as_ref())).await
}
