//! Mango: queries through an index, by a scan, building an index, and how few keys `$in` and
//! `$or` read among many documents.

use bytes::Bytes;
use serde_json::{Value, json};

use crate::bench::{Base, Bench, Server};
use crate::documents::{self, Random};
use crate::error::{Result, check};
use crate::http::{self, Connection};
use crate::meter::{Meter, median_of};
use crate::reads::replayed;
use crate::report::{Figure, Unit};

/// What is asked of the sample documents.
#[derive(Debug)]
struct Sample {
    author: String,
    date: String,
    score: f64,
}

fn samples(count: usize) -> Vec<Sample> {
    let sample = |number| {
        let members = documents::members(number);
        let document: Value = serde_json::from_str(&format!("{{{members}}}")).unwrap_or_default();
        let text = |name: &str| document.get(name).and_then(Value::as_str).unwrap_or_default();
        Sample {
            author: text("author").to_owned(),
            date: text("date").to_owned(),
            score: document.get("score").and_then(Value::as_f64).unwrap_or_default(),
        }
    };
    (0..count).map(sample).collect()
}

pub async fn create_index(
    connection: &mut Connection,
    database: &str,
    name: &str,
    fields: &[&str],
) -> Result<()> {
    let body = json!({"index": {"fields": fields}, "ddoc": name, "name": name});
    let request = http::post(&format!("{database}/_index"), body.to_string().as_bytes());
    connection.expect(&request).await?;
    Ok(())
}

pub fn find(database: &str, query: &Value) -> Bytes {
    http::post(&format!("{database}/_find"), query.to_string().as_bytes())
}

fn found(answer: &Value) -> usize {
    answer.get("docs").and_then(Value::as_array).map_or(0, Vec::len)
}

/// Twenty documents of an author from a date on, through an index of both.
pub async fn mango_find(bench: &mut Bench) -> Result<()> {
    let documents = bench.base().await?.documents;
    let mut connection = bench.server.connect().await?;
    create_index(&mut connection, Base::PATH, "mango-asked", &["author", "date"]).await?;
    let samples = samples(documents);
    let mut random = Random::new(17);
    let mut requests = Vec::new();
    let mut bytes = 0;
    for number in 0..500 {
        let Some(from) = samples.get(random.below(documents)) else { continue };
        let query = json!({
            "selector": {"author": from.author, "date": {"$gte": from.date}},
            "limit": 20,
            "use_index": "mango-asked",
        });
        let request = find(Base::PATH, &query);
        if number < 50 {
            let is_wanted =
                |sample: &&Sample| sample.author == from.author && sample.date >= from.date;
            let expected = samples.iter().filter(is_wanted).count().min(20);
            let answer = connection.expect(&request).await?;
            check("documents of a query", &expected, &found(&answer.json()?))?;
            bytes += answer.body.len() as u64;
        }
        requests.push(request);
    }
    let measured = replayed(bench, &requests, 32, bytes / 50).await?;
    bench.report.add(Figure::cpu("mango_find", &measured));
    Ok(())
}

/// A selector asked of every document, because no index knows it.
pub async fn mango_scan(bench: &mut Bench) -> Result<()> {
    let documents = bench.base().await?.documents;
    let expected = samples(documents).iter().filter(|sample| sample.score > 95.0).count();
    let request = find(
        Base::PATH,
        &json!({"selector": {"score": {"$gt": 95}, "nothing": {"$exists": false}}, "limit": 100_000}),
    );
    let mut connection = bench.server.connect().await?;
    let measured = median_of(bench.scale.rounds, async |_| {
        let meter = Meter::start(&bench.server.process)?;
        let answer = connection.expect(&request).await?;
        let measured = meter.finish(documents)?;
        check("documents of a scan", &expected, &found(&answer.json()?))?;
        Ok(measured)
    })
    .await?;
    bench.report.add(Figure::cpu("mango_scan", &measured));
    Ok(())
}

/// From the definition to the first answer: an index of three fields, and a JavaScript view with
/// the same keys.
pub async fn mango_build(bench: &mut Bench) -> Result<()> {
    let documents = bench.base().await?.documents;
    let mut connection = bench.server.connect().await?;
    let fields = ["type", "author", "score"];
    let native = median_of(bench.scale.rounds, async |round| {
        // Other fields in each round: what is equal shares an index.
        let mut fields = fields.to_vec();
        fields.rotate_left(round % 3);
        let name = format!("mango-build-{round}");
        let meter = Meter::start(&bench.server.process)?;
        create_index(&mut connection, Base::PATH, &name, &fields).await?;
        let selector =
            json!({"type": {"$gt": null}, "author": {"$gt": null}, "score": {"$gt": null}});
        let query = json!({"selector": selector, "use_index": name, "limit": 1, "fields": ["_id"]});
        let answer = connection.expect(&find(Base::PATH, &query)).await?.json()?;
        let measured = meter.finish(documents)?;
        check("documents of a new index", &1, &found(&answer))?;
        Ok(measured)
    })
    .await?;
    bench.report.add(Figure::cpu("mango_build", &native));
    let in_javascript = median_of(bench.scale.rounds, async |round| {
        let map = format!(
            "function(doc) {{ emit([doc.type, doc.author, doc.score], null); }} // {round}"
        );
        let ddoc = json!({"views": {"v": {"map": map, "reduce": "_count"}}});
        let path = format!("{}/_design/as-mango-{round}", Base::PATH);
        let meter = Meter::start(&bench.server.process)?;
        connection.expect(&http::put(&path, ddoc.to_string().as_bytes())).await?;
        let answer = connection.expect(&http::get(&format!("{path}/_view/v"))).await?.json()?;
        let measured = meter.finish(documents)?;
        let rows = answer.pointer("/rows/0/value").and_then(Value::as_u64).unwrap_or_default();
        check("rows of the view", &(documents as u64), &rows)?;
        Ok(measured)
    })
    .await?;
    let note = format!("{:.1} times the index", in_javascript.each_us() / native.each_us());
    bench.report.add(Figure::cpu("mango_build as a JavaScript view", &in_javascript).note(note));
    Ok(())
}

/// Keys that are read for each result among many documents.
pub async fn mango_keys(bench: &mut Bench) -> Result<()> {
    let server = Server::start()?;
    let mut connection = server.connect().await?;
    let count = bench.scale.view_documents;
    let database = "/mango-keys";
    connection.expect(&http::put(database, b"")).await?;
    for first in (0..count).step_by(10_000) {
        let documents: Vec<Value> = (first..(first + 10_000).min(count))
            .map(|number| json!({"_id": documents::id(number), "number": number, "m": number % 1000}))
            .collect();
        let body = json!({ "docs": documents }).to_string();
        let request = http::post(&format!("{database}/_bulk_docs"), body.as_bytes());
        connection.expect(&request).await?;
    }
    create_index(&mut connection, database, "number", &["number"]).await?;
    create_index(&mut connection, database, "m", &["m", "number"]).await?;
    let mut random = Random::new(23);
    let numbers: Vec<usize> = (0..100).map(|_| random.below(count)).collect();
    let edge = count - 50;
    for (name, selector) in [
        ("$in", json!({"number": {"$in": numbers}})),
        ("$or", json!({"$or": [{"number": {"$lt": 50}}, {"number": {"$gte": edge}}]})),
        ("$in of two fields", json!({"m": {"$in": [7, 8]}, "number": {"$lt": count / 10}})),
        ("$in of ids", json!({"_id": {"$in": [documents::id(5), documents::id(count - 1)]}})),
    ] {
        let query = json!({"selector": selector, "limit": 100_000, "execution_stats": true});
        let request = find(database, &query);
        connection.expect(&request).await?;
        let meter = Meter::start(&server.process)?;
        let answer = connection.expect(&request).await?.json()?;
        let measured = meter.finish(1)?;
        let stats = |member: &str| {
            let stats = answer.get("execution_stats").and_then(|stats| stats.get(member));
            stats.and_then(Value::as_f64).unwrap_or(-1.0)
        };
        let (keys, results) = (stats("total_keys_examined"), stats("results_returned"));
        let note = format!("{keys} keys for {results} results, {:.0} us CPU", measured.each_us());
        let name = format!("mango_keys {name}");
        bench.report.add(Figure::new(&name, keys / results, Unit::BytesPerByte).note(note));
    }
    let count_query = json!({"selector": {"number": {"$gte": count / 3}}, "count": true});
    let request = find(database, &count_query);
    connection.expect(&request).await?;
    let meter = Meter::start(&server.process)?;
    let answer = connection.expect(&request).await?.json()?;
    let measured = meter.finish(1)?;
    let counted = answer.get("count").and_then(Value::as_u64).unwrap_or_default();
    check("counted documents", &((count - count / 3) as u64), &counted)?;
    bench.report.add(Figure::cpu("mango_count", &measured).note(format!("of {count} documents")));
    Ok(())
}
