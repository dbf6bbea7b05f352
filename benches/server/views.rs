//! View indexes: building them, keeping them up to date, asking them.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::bench::{Base, Bench, Server};
use crate::documents::{self, Random};
use crate::error::{BenchError, Result, check};
use crate::http::{self, Connection};
use crate::load::{self, Load};
use crate::meter::{Meter, median_of};
use crate::reads::{replayed, streamed};
use crate::report::{Figure, Unit};

const SIMPLE: &str = "function(doc) { emit([doc.author, doc.date], doc.score); }";
const TOKENISE: &str = r"function(doc) {
  var words = doc.text.toLowerCase().split(/\W+/);
  for (var i = 0; i < words.length; i++) { if (words[i]) emit(words[i], 1); }
}";
const BY_AUTHOR: &str = "function(doc) { emit(doc.author, doc.score); }";
const REDUCE: &str = "function(keys, values, rereduce) {
  var all = {count: 0, sum: 0, max: -1};
  for (var i = 0; i < values.length; i++) {
    var value = values[i];
    if (rereduce) {
      all.count += value.count; all.sum += value.sum; all.max = Math.max(all.max, value.max);
    } else {
      all.count++; all.sum += value; all.max = Math.max(all.max, value);
    }
  }
  return all;
}";

/// What the sample documents have, for checking answers.
#[derive(Debug)]
struct Sample {
    author: String,
    date: String,
    score: f64,
    words: usize,
}

fn sample(number: usize) -> Sample {
    let members = documents::members(number);
    let document: Value = serde_json::from_str(&format!("{{{members}}}")).unwrap_or_default();
    let text = |name: &str| document.get(name).and_then(Value::as_str).unwrap_or_default();
    Sample {
        author: text("author").to_owned(),
        date: text("date").to_owned(),
        score: document.get("score").and_then(Value::as_f64).unwrap_or_default(),
        words: text("text").split_whitespace().count(),
    }
}

fn samples(count: usize) -> Vec<Sample> {
    (0..count).map(sample).collect()
}

async fn put_view(
    connection: &mut Connection,
    database: &str,
    name: &str,
    view: &Value,
) -> Result<()> {
    let ddoc = json!({"views": {"v": view}});
    let request = http::put(&format!("{database}/_design/{name}"), ddoc.to_string().as_bytes());
    connection.expect(&request).await?;
    Ok(())
}

fn view_path(database: &str, name: &str, query: &str) -> String {
    format!("{database}/_design/{name}/_view/v?{query}")
}

fn number_at(json: &Value, pointer: &str) -> f64 {
    json.pointer(pointer).and_then(Value::as_f64).unwrap_or(-1.0)
}

fn check_near(what: &'static str, expected: f64, found: f64) -> Result<()> {
    if (expected - found).abs() > expected.abs() * 1e-9 + 1e-6 {
        check(what, &expected, &found)?;
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
fn as_number(count: usize) -> f64 {
    count as f64
}

/// From the design document to the first answer, for three kinds of views.
pub async fn view_build(bench: &mut Bench) -> Result<()> {
    let documents = bench.base().await?.documents;
    let samples = samples(documents);
    let sum: f64 = samples.iter().map(|sample| sample.score).sum();
    let words: usize = samples.iter().map(|sample| sample.words).sum();
    let views = [
        ("simple", json!({"map": SIMPLE, "reduce": "_stats"}), ""),
        ("tokenise", json!({"map": TOKENISE}), "limit=10"),
        ("js_reduce", json!({"map": BY_AUTHOR, "reduce": REDUCE}), "group=true"),
    ];
    for (name, mut view, query) in views {
        let map = view.get("map").and_then(Value::as_str).unwrap_or_default().to_owned();
        let server = &bench.server;
        let mut connection = server.connect().await?;
        let measured = median_of(bench.scale.rounds, async |round| {
            // Equal sources share an index: make them differ.
            view["map"] = format!("{map} // {round}").into();
            let ddoc = format!("{name}-{round}");
            let meter = Meter::start(&server.process)?;
            put_view(&mut connection, Base::PATH, &ddoc, &view).await?;
            let request = http::get(&view_path(Base::PATH, &ddoc, query));
            let answer = connection.expect(&request).await?.json()?;
            let measured = meter.finish(documents)?;
            match name {
                "simple" => {
                    check_near(
                        "count",
                        as_number(documents),
                        number_at(&answer, "/rows/0/value/count"),
                    )?;
                    check_near("sum", sum, number_at(&answer, "/rows/0/value/sum"))?;
                }
                "tokenise" => {
                    check_near("rows", as_number(words), number_at(&answer, "/total_rows"))?;
                }
                _ => {
                    let rows = answer.get("rows").and_then(Value::as_array);
                    let counts =
                        rows.into_iter().flatten().map(|row| number_at(row, "/value/count"));
                    check_near("documents", as_number(documents), counts.sum())?;
                }
            }
            Ok(measured)
        })
        .await?;
        bench.report.add(Figure::cpu(&format!("view_build {name}"), &measured));
    }
    Ok(())
}

/// One document in a hundred changes, then the view is asked; both together, by changed document.
pub async fn view_incremental(bench: &mut Bench) -> Result<()> {
    let database = bench.database().await?;
    let mut connection = bench.server.connect().await?;
    let count = bench.scale.documents / 2;
    let mut revs = load(&mut connection, &database, count).await?;
    put_view(&mut connection, &database, "v", &json!({"map": SIMPLE, "reduce": "_stats"})).await?;
    let ask = http::get(&view_path(&database, "v", ""));
    connection.expect(&ask).await?;
    let mut scores: Vec<f64> = samples(count).iter().map(|sample| sample.score).collect();
    let mut random = Random::new(77);
    let changed = count / 100;
    let process = &bench.server.process;
    let measured = median_of(bench.scale.rounds.max(3), async |_| {
        let mut picked: Vec<usize> = Vec::new();
        while picked.len() < changed {
            let number = random.below(count);
            if !picked.contains(&number) {
                picked.push(number);
            }
        }
        let body = changed_documents(&picked, &revs, &mut scores, &mut random);
        let request = http::post(&format!("{database}/_bulk_docs"), body.as_bytes());
        let meter = Meter::start(process)?;
        let answer = connection.expect(&request).await?.json()?;
        let asked = connection.expect(&ask).await?.json()?;
        let measured = meter.finish(changed)?;
        for (at, number) in picked.iter().enumerate() {
            let rev = answer.pointer(&format!("/{at}/rev")).and_then(Value::as_str);
            let rev = rev.ok_or(BenchError::Sample("revision"))?;
            if let Some(kept) = revs.get_mut(*number) {
                rev.clone_into(kept);
            }
        }
        check_near("sum", scores.iter().sum(), number_at(&asked, "/rows/0/value/sum"))?;
        Ok(measured)
    })
    .await?;
    bench.report.add(Figure::cpu("view_incremental", &measured));
    bench.drop_database(&database).await
}

/// A `_bulk_docs` body that gives the picked documents new scores.
fn changed_documents(
    picked: &[usize],
    revs: &[String],
    scores: &mut [f64],
    random: &mut Random,
) -> String {
    let changed = picked.iter().map(|number| {
        let score = as_number(random.below(100_000)) / 1000.0;
        if let Some(kept) = scores.get_mut(*number) {
            *kept = score;
        }
        let rev = revs.get(*number).map_or("", String::as_str);
        let members = documents::members(*number).replacen("\"score\":", "\"was\":", 1);
        let id = documents::id(*number);
        format!(r#"{{"_id":"{id}","_rev":"{rev}","score":{score},{members}}}"#)
    });
    format!(r#"{{"docs":[{}]}}"#, changed.collect::<Vec<_>>().join(","))
}

/// Writes the first `count` sample documents and gives their revisions.
async fn load(connection: &mut Connection, database: &str, count: usize) -> Result<Vec<String>> {
    let mut revs = Vec::with_capacity(count);
    for first in (0..count).step_by(1000) {
        let body = documents::bulk(first..(first + 1000).min(count));
        let request = http::post(&format!("{database}/_bulk_docs"), &body);
        let answer = connection.expect(&request).await?.json()?;
        let rows = answer.as_array().into_iter().flatten();
        revs.extend(rows.filter_map(|row| Some(row.get("rev")?.as_str()?.to_owned())));
    }
    check("revisions of loaded documents", &count, &revs.len())?;
    Ok(revs)
}

/// The view by author and date with `_stats` over the shared database, built; its keys in order.
async fn asked_view(bench: &mut Bench) -> Result<Vec<(String, String)>> {
    let documents = bench.base().await?.documents;
    let mut connection = bench.server.connect().await?;
    let path = format!("{}/_design/asked", Base::PATH);
    if connection.call(&http::get(&path)).await?.status == 404 {
        let view = json!({"map": format!("{SIMPLE} // asked"), "reduce": "_stats"});
        put_view(&mut connection, Base::PATH, "asked", &view).await?;
    }
    connection.expect(&http::get(&view_path(Base::PATH, "asked", ""))).await?;
    let mut keys: Vec<(String, String)> =
        samples(documents).into_iter().map(|sample| (sample.author, sample.date)).collect();
    keys.sort();
    Ok(keys)
}

fn key_text(keys: &[(String, String)], at: usize) -> String {
    keys.get(at).map_or_else(String::new, |(author, date)| {
        http::in_query(&json!([author, date]).to_string())
    })
}

/// Twenty rows from a random key.
pub async fn view_range(bench: &mut Bench) -> Result<()> {
    let keys = asked_view(bench).await?;
    let mut random = Random::new(5);
    let starts: Vec<usize> = (0..1000).map(|_| random.below(keys.len() - 25)).collect();
    let request = |at: &usize| {
        let query = format!("reduce=false&limit=20&startkey={}", key_text(&keys, *at));
        http::get(&view_path(Base::PATH, "asked", &query))
    };
    let requests: Vec<Bytes> = starts.iter().map(request).collect();
    let mut connection = bench.server.connect().await?;
    let mut bytes = 0;
    for (start, request) in starts.iter().zip(&requests).take(20) {
        let answer = connection.expect(request).await?;
        let json = answer.json()?;
        let rows = json.get("rows").and_then(Value::as_array).into_iter().flatten();
        let found: Vec<String> =
            rows.filter_map(|row| Some(row.pointer("/key/1")?.as_str()?.to_owned())).collect();
        let from = keys.partition_point(|key| Some(key) < keys.get(*start));
        let expected = keys.iter().skip(from).take(20).map(|(_, date)| date.clone());
        check("rows of a range", &expected.collect::<Vec<_>>().join(" "), &found.join(" "))?;
        bytes += answer.body.len() as u64;
    }
    let measured = replayed(bench, &requests, 32, bytes / 20).await?;
    bench.report.add(Figure::cpu("view_range", &measured));
    Ok(())
}

/// Requests that reduce random wide ranges, with the number of rows of each.
fn wide_ranges(
    database: &str,
    ddoc: &str,
    keys: &[(String, String)],
    count: usize,
) -> Vec<(Bytes, usize)> {
    let mut random = Random::new(13);
    let mut one = || {
        let (low, high) = (random.below(keys.len() / 4), random.below(keys.len() / 4));
        let high = keys.len() - 1 - high;
        let (from, to) = (key_text(keys, low), key_text(keys, high));
        let rows = keys.partition_point(|key| Some(key) <= keys.get(high))
            - keys.partition_point(|key| Some(key) < keys.get(low));
        let query = format!("startkey={from}&endkey={to}");
        (http::get(&view_path(database, ddoc, &query)), rows)
    };
    (0..count).map(|_| one()).collect()
}

/// `_stats` over random ranges of at least half of the rows.
pub async fn view_reduce_range(bench: &mut Bench) -> Result<()> {
    let keys = asked_view(bench).await?;
    let asked = wide_ranges(Base::PATH, "asked", &keys, 1000);
    let mut connection = bench.server.connect().await?;
    let mut bytes = 0;
    for (request, rows) in asked.iter().take(50) {
        let answer = connection.expect(request).await?;
        check_near("count", as_number(*rows), number_at(&answer.json()?, "/rows/0/value/count"))?;
        bytes += answer.body.len() as u64;
    }
    let requests: Vec<Bytes> = asked.into_iter().map(|(request, _)| request).collect();
    let measured = replayed(bench, &requests, 32, bytes / 50).await?;
    bench.report.add(Figure::cpu("view_reduce_range", &measured));
    Ok(())
}

/// One row an author, over the whole view.
pub async fn view_group_level(bench: &mut Bench) -> Result<()> {
    let keys = asked_view(bench).await?;
    let request = http::get(&view_path(Base::PATH, "asked", "group_level=1"));
    let answer = bench.server.connect().await?.expect(&request).await?;
    let json = answer.json()?;
    let rows = json.get("rows").and_then(Value::as_array).cloned().unwrap_or_default();
    let authors: std::collections::HashSet<&String> =
        keys.iter().map(|(author, _)| author).collect();
    check("groups", &authors.len(), &rows.len())?;
    let counted = rows.iter().map(|row| number_at(row, "/value/count")).sum();
    check_near("rows in groups", as_number(keys.len()), counted)?;
    let measured = replayed(bench, &[request], 4, answer.body.len() as u64).await?;
    bench.report.add(Figure::cpu("view_group_level", &measured));
    Ok(())
}

/// Rows with their documents, 2000 an answer.
pub async fn view_include_docs(bench: &mut Bench) -> Result<()> {
    let keys = asked_view(bench).await?;
    let rows = keys.len().min(2000);
    let query = format!("reduce=false&include_docs=true&limit={rows}");
    let request = http::get(&view_path(Base::PATH, "asked", &query));
    let measured = streamed(bench, request, rows, rows).await?;
    bench.report.add(Figure::cpu("view_include_docs", &measured));
    Ok(())
}

/// Three views in one design document over many documents; reduces of few and of many rows.
pub async fn view_million(bench: &mut Bench) -> Result<()> {
    let server = Server::start()?;
    let mut connection = server.connect().await?;
    let whole = bench.scale.view_documents;
    let mut latencies = Vec::new();
    for count in [whole / 100, whole / 10, whole] {
        let database = format!("/views-{count}");
        connection.expect(&http::put(&database, b"")).await?;
        load(&mut connection, &database, count).await?;
        let ddoc = json!({"views": {
            "v": {"map": SIMPLE, "reduce": "_stats"},
            "by_author": {"map": BY_AUTHOR, "reduce": REDUCE},
            "by_type": {"map": "function(doc) { emit(doc.type, null); }", "reduce": "_count"},
        }});
        let put = http::put(&format!("{database}/_design/three"), ddoc.to_string().as_bytes());
        server.process.reset_peak()?;
        let before = server.process.resident_kb()?;
        let meter = Meter::start(&server.process)?;
        connection.expect(&put).await?;
        let answer =
            connection.expect(&http::get(&view_path(&database, "three", ""))).await?.json()?;
        let measured = meter.finish(count)?;
        check_near("count", as_number(count), number_at(&answer, "/rows/0/value/count"))?;
        if count == whole {
            let note = format!("{count} documents, 3 views, {:.1} s", measured.seconds);
            bench.report.add(Figure::cpu("view_million", &measured).note(note));
            let peak = server.process.peak_kb()?;
            let note = format!("before {} MB", before / 1024);
            bench.report.add(Figure::megabytes("view_million peak", peak).note(note));
        }
        let mut keys: Vec<(String, String)> =
            (0..count).map(sample).map(|sample| (sample.author, sample.date)).collect();
        keys.sort();
        let asked = wide_ranges(&database, "three", &keys, 500);
        for (request, rows) in asked.iter().take(20) {
            let answer = connection.expect(request).await?.json()?;
            check_near("count", as_number(*rows), number_at(&answer, "/rows/0/value/count"))?;
        }
        let request = |at: usize| asked.get(at % 500).map(|(request, _)| request.clone());
        let load = Load::lasting(bench.scale.load, 1);
        let meter = Meter::start(&server.process)?;
        let outcome = load::run(server.process.address, load, |at| request(at).unwrap_or_default());
        let measured = meter.finish(outcome.await?.requests)?;
        bench.report.add(Figure::cpu(&format!("view_reduce of {count}"), &measured));
        latencies.push(measured.each_us());
    }
    if let [few, _, many] = latencies[..] {
        let figure = Figure::new("view_reduce 1M over 10k", many / few, Unit::BytesPerByte);
        bench.report.add(figure.note("CPU time over CPU time".to_owned()));
    }
    Ok(())
}
