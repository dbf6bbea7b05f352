//! Functions of design documents on requests, on writes and on changes.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::bench::{Base, Bench};
use crate::documents;
use crate::error::{Result, check};
use crate::http;
use crate::load::{self, Load};
use crate::meter::{Meter, median_of};
use crate::reads::{replayed, streamed};
use crate::report::Figure;

const SHOW: &str = "function(doc, req) {
  return {headers: {'Content-Type': 'text/html'},
    body: '<h1>' + doc.title + '</h1><p>' + doc.author + ', ' + doc.date + '</p><p>' + doc.text +
      '</p>'};
}";
const LIST: &str = "function(head, req) {
  start({headers: {'Content-Type': 'text/html'}});
  var row, n = 0;
  send('<ul>');
  while (row = getRow()) { send('<li>' + row.key + ' ' + row.value + '</li>'); n++; }
  send('</ul>');
  return '<p>' + n + ' rows</p>';
}";
const UPDATE: &str = "function(doc, req) {
  doc.counter = (doc.counter || 0) + 1;
  doc.by = req.query.by;
  return [doc, 'ok ' + doc.counter];
}";
const VALIDATE: &str = r"function(newDoc, oldDoc, userCtx, secObj) {
  if (newDoc._deleted) return;
  var need = ['type', 'author', 'date', 'text'];
  for (var i = 0; i < need.length; i++) {
    if (typeof newDoc[need[i]] !== 'string') throw({forbidden: need[i] + ' is missing'});
  }
  if (oldDoc && oldDoc.author !== newDoc.author) throw({forbidden: 'author is fixed'});
  if (!/^\d{4}-\d\d/.test(newDoc.date)) throw({forbidden: 'bad date'});
}";

async fn put_ddoc(bench: &Bench, database: &str, ddoc: &Value) -> Result<()> {
    let request = http::put(&format!("{database}/_design/functions"), ddoc.to_string().as_bytes());
    bench.server.connect().await?.expect(&request).await?;
    Ok(())
}

/// The functions that read the shared database.
async fn shared(bench: &mut Bench) -> Result<()> {
    bench.base().await?;
    let path = format!("{}/_design/functions", Base::PATH);
    if bench.server.connect().await?.call(&http::get(&path)).await?.status == 200 {
        return Ok(());
    }
    let ddoc = json!({
        "shows": {"s": SHOW},
        "lists": {"l": LIST},
        "views": {"v": {"map": "function(doc) { emit(doc.date, doc.title); }"}},
        "filters": {"t": "function(doc, req) { return doc.type === req.query.t; }"},
    });
    put_ddoc(bench, Base::PATH, &ddoc).await
}

pub async fn show(bench: &mut Bench) -> Result<()> {
    shared(bench).await?;
    let base = bench.base().await?;
    let path = |number: &usize| {
        format!("{}/_design/functions/_show/s/{}", Base::PATH, documents::id(*number))
    };
    let requests: Vec<Bytes> =
        base.sample(2000).iter().map(|number| http::get(&path(number))).collect();
    let mut connection = bench.server.connect().await?;
    let answer = connection.expect(requests.first().map_or(&[], |first| &first[..])).await?;
    check("a page", &true, &answer.body.starts_with(b"<h1>"))?;
    let measured = replayed(bench, &requests, 32, answer.body.len() as u64).await?;
    bench.report.add(Figure::cpu("show", &measured));
    Ok(())
}

/// A list over 100 rows.
pub async fn list(bench: &mut Bench) -> Result<()> {
    shared(bench).await?;
    let mut connection = bench.server.connect().await?;
    let mut requests = Vec::new();
    for year in 2010..2025 {
        let start = http::in_query(&format!("\"{year}\""));
        let path = format!("{}/_design/functions/_list/l/v?limit=100", Base::PATH);
        requests.push(http::get(&format!("{path}&startkey={start}")));
    }
    let answer = connection.expect(requests.first().map_or(&[], |first| &first[..])).await?;
    let body = String::from_utf8_lossy(&answer.body);
    check("the end of the list", &true, &body.ends_with("</ul><p>100 rows</p>"))?;
    check("rows of the list", &100, &body.matches("<li>").count())?;
    let measured = replayed(bench, &requests, 8, answer.body.len() as u64).await?;
    bench.report.add(Figure::cpu("list", &measured));
    Ok(())
}

/// Each document in turn counts up.
pub async fn update(bench: &mut Bench) -> Result<()> {
    let database = bench.database().await?;
    let count = 4000;
    let mut connection = bench.server.connect().await?;
    for first in (0..count).step_by(1000) {
        let body = documents::bulk(first..first + 1000);
        connection.expect(&http::post(&format!("{database}/_bulk_docs"), &body)).await?;
    }
    put_ddoc(bench, &database, &json!({"updates": {"u": UPDATE}})).await?;
    let request = |index: usize| {
        let id = documents::id(index % count);
        http::post(&format!("{database}/_design/functions/_update/u/{id}?by=me"), b"x")
    };
    let load = Load::lasting(bench.scale.load, 32).answered(201);
    let mut done = 0;
    let measured = median_of(bench.scale.rounds, async |_| {
        let meter = Meter::start(&bench.server.process)?;
        let outcome = load::run(bench.server.process.address, load, &request).await?;
        done += outcome.requests;
        meter.finish(outcome.requests)
    })
    .await?;
    let rows = http::get(&format!("{database}/_all_docs?include_docs=true"));
    let rows = connection.expect(&rows).await?.json()?;
    let rows = rows.get("rows").and_then(Value::as_array);
    let counters =
        rows.into_iter().flatten().filter_map(|row| row.pointer("/doc/counter")?.as_u64());
    check("updates", &(done as u64), &counters.sum())?;
    bench.report.add(Figure::cpu("update", &measured));
    bench.drop_database(&database).await
}

/// PUT of new documents that a function lets in.
pub async fn validate(bench: &mut Bench) -> Result<()> {
    let database = bench.database().await?;
    put_ddoc(bench, &database, &json!({"validate_doc_update": VALIDATE})).await?;
    let mut connection = bench.server.connect().await?;
    let refused = connection.call(&http::put(&format!("{database}/bad"), b"{\"type\":1}")).await?;
    check("status of what is refused", &403, &refused.status)?;
    let load = Load::lasting(bench.scale.load, 32).answered(201);
    let mut first = 0;
    let measured = median_of(bench.scale.rounds, async |_| {
        let meter = Meter::start(&bench.server.process)?;
        let request = |index: usize| {
            let body = documents::padded(first + index, 1024);
            http::put(&format!("{database}/{}", documents::id(first + index)), body.as_bytes())
        };
        let outcome = load::run(bench.server.process.address, load, request).await?;
        first += outcome.requests + 32;
        meter.finish(outcome.requests)
    })
    .await?;
    bench.report.add(Figure::cpu("validate", &measured));
    bench.drop_database(&database).await
}

/// `_changes` through a function that one document in six passes.
pub async fn changes_filter(bench: &mut Bench) -> Result<()> {
    shared(bench).await?;
    let documents = bench.base().await?.documents;
    let passes = |number: &usize| documents::members(*number).starts_with(r#""type":"order""#);
    let rows = (0..documents).filter(passes).count();
    let request = http::get(&format!("{}/_changes?filter=functions/t&t=order", Base::PATH));
    let measured = streamed(bench, request, rows, documents).await?;
    bench.report.add(Figure::cpu("changes filter", &measured));
    let map = "function(doc) { if (doc.count < 100) emit(doc.count, doc); }";
    let ddoc = json!({"views": {"few": {"map": map}}}).to_string();
    let mut connection = bench.server.connect().await?;
    let path = format!("{}/_design/filtering", Base::PATH);
    let saved = connection.expect(&http::put(&path, ddoc.as_bytes())).await?.json()?;
    let view = connection.expect(&http::get(&format!("{path}/_view/few?limit=0"))).await?.json()?;
    let rows = view.get("total_rows").and_then(Value::as_u64).unwrap_or_default();
    let passing = usize::try_from(rows).unwrap_or_default();
    let request = http::get(&format!("{}/_changes?filter=_view&view=filtering/few", Base::PATH));
    let measured = streamed(bench, request, passing, documents).await?;
    bench.report.add(Figure::cpu("changes _view indexed", &measured));
    // What is measured next copies the database, and is not to build this view again.
    let rev = saved.get("rev").and_then(Value::as_str).unwrap_or_default();
    connection.expect(&http::delete(&format!("{path}?rev={rev}"))).await?;
    Ok(())
}
