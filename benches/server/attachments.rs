//! Attachments, large and small.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::json;

use crate::bench::Bench;
use crate::documents::Random;
use crate::error::{Result, check};
use crate::http;
use crate::load::{self, Load};
use crate::meter::{Meter, median_of};
use crate::report::Figure;

const LARGE_BYTES: usize = 10 << 20;
const SMALL_BYTES: usize = 5 << 10;
const SMALL: usize = 100;
const CLIENTS: usize = 32;

pub async fn attachment_10mb(bench: &mut Bench) -> Result<()> {
    let path = bench.database().await?;
    let puts = bench.scale.attachment_puts;
    // Different bytes each: equal ones would be stored once.
    let contents: Vec<Vec<u8>> =
        (0..puts).map(|number| Random::new(number as u64).bytes(LARGE_BYTES)).collect();
    let upload = |index: usize| {
        let head = http::upload_head(&format!("{path}/doc-{index}/large"), LARGE_BYTES);
        Bytes::from([head.as_ref(), contents.get(index).map_or(&[], Vec::as_slice)].concat())
    };
    let requests: Vec<Bytes> = (0..puts).map(upload).collect();
    let server = &bench.server.process;
    let load = Load::of_requests(puts, 1).answered(201);
    let request = |index: usize| requests.get(index).cloned().unwrap_or_default();
    let meter = Meter::start(server)?;
    let outcome = load::run(server.address, load, request).await?;
    let put = meter.finish(outcome.requests)?;

    let mut connection = bench.server.connect().await?;
    for (index, sent) in contents.iter().enumerate() {
        let answer = connection.expect(&http::get(&format!("{path}/doc-{index}/large"))).await?;
        check("the attachment as sent", &true, &(&answer.body == sent))?;
    }
    let request = http::get(&format!("{path}/doc-0/large"));
    let load = Load::lasting(bench.scale.load, 1);
    let get = median_of(bench.scale.rounds, async |_| {
        let meter = Meter::start(server)?;
        let outcome = load::run(server.address, load, |_| request.clone()).await?;
        let measured = meter.finish(outcome.requests)?;
        let expected = (outcome.requests * LARGE_BYTES) as u64;
        check("bytes of all answers", &expected, &outcome.body_bytes)?;
        Ok(measured)
    })
    .await?;
    bench.report.add(Figure::cpu("attachment_put_10mb", &put));
    bench.report.add(Figure::cpu("attachment_get_10mb", &get));
    bench.drop_database(&path).await
}

pub async fn attachment_get_5kb(bench: &mut Bench) -> Result<()> {
    let path = bench.database().await?;
    let content = Random::new(9).bytes(SMALL_BYTES);
    let data = STANDARD.encode(&content);
    let document = |number: usize| {
        let file = json!({ "content_type": http::BINARY, "data": data });
        json!({ "_id": format!("doc-{number}"), "_attachments": { "small": file } })
    };
    let body = json!({ "docs": (0..SMALL).map(document).collect::<Vec<_>>() }).to_string();
    let mut connection = bench.server.connect().await?;
    connection.expect(&http::post(&format!("{path}/_bulk_docs"), body.as_bytes())).await?;
    let request = |index: usize| http::get(&format!("{path}/doc-{}/small", index % SMALL));
    let answer = connection.expect(&request(7)).await?;
    check("the attachment as sent", &true, &(answer.body == content))?;
    let server = &bench.server.process;
    let load = Load::lasting(bench.scale.load, CLIENTS);
    let measured = median_of(bench.scale.rounds, async |_| {
        let meter = Meter::start(server)?;
        let outcome = load::run(server.address, load, request).await?;
        let measured = meter.finish(outcome.requests)?;
        let expected = (outcome.requests * SMALL_BYTES) as u64;
        check("bytes of all answers", &expected, &outcome.body_bytes)?;
        Ok(measured)
    })
    .await?;
    bench.report.add(Figure::cpu("attachment_get_5kb", &measured));
    bench.drop_database(&path).await
}
