//! Written documents byte for byte, in the order that recorded answers show.

use super::*;
use crate::document::DocId;

fn rev(text: &str) -> Rev {
    Rev::parse(text).unwrap()
}

fn document(body: &'static str) -> Document {
    Document {
        id: DocId::parse("a\"b").unwrap(),
        rev: rev("2-967a00dff5e02add41819138abb3284d"),
        deleted: false,
        body: Bytes::from_static(body.as_bytes()),
        attachments: Vec::new(),
    }
}

fn attachment(name: &str, encoding: Encoding) -> Attachment {
    Attachment {
        name: name.to_owned(),
        content_type: "text/plain".to_owned(),
        digest: Digest::parse("md5-yYQQ0SOchONN6qnhEJuGKg==").unwrap(),
        length: 18,
        encoded_length: 38,
        encoding,
        revpos: 1,
    }
}

fn written(document: &Document, extras: &Extras<'_>) -> String {
    let mut out = Vec::new();
    write_document(&mut out, document, extras);
    String::from_utf8(out).unwrap()
}

const HEAD: &str = r#"{"_id":"a\"b","_rev":"2-967a00dff5e02add41819138abb3284d""#;

#[test]
fn bodies_are_spliced_in() {
    let mut document = document("{}");
    assert_eq!(written(&document, &Extras::default()), format!("{HEAD}}}"));
    document.body = Bytes::from_static(br#"{"x":1,"y":{}}"#);
    assert_eq!(written(&document, &Extras::default()), format!(r#"{HEAD},"x":1,"y":{{}}}}"#));
    document.deleted = true;
    let expect = format!(r#"{HEAD},"x":1,"y":{{}},"_deleted":true}}"#);
    assert_eq!(written(&document, &Extras::default()), expect);
}

#[test]
fn extras_come_in_couchdbs_order() {
    let mut document = document(r#"{"x":1}"#);
    document.deleted = true;
    document.attachments.push(attachment("n", Encoding::Identity));
    let revisions = Revisions { start: 2, ids: vec![rev("2-b").hash, RevHash::Text("a\"".into())] };
    let infos = [
        (rev("3-c"), RevStatus::Available),
        (rev("2-b"), RevStatus::Missing),
        (rev("1-a"), RevStatus::Deleted),
    ];
    let extras = Extras {
        revisions: Some(&revisions),
        revs_info: Some(&infos),
        local_seq: Some(u64::MAX),
        conflicts: &[rev("1-a"), rev("1-b")],
        deleted_conflicts: &[rev("10-x")],
        ..Extras::default()
    };
    let expect = [
        HEAD,
        r#","x":1,"_deleted":true,"_revisions":{"start":2,"ids":["b","a\""]}"#,
        r#","_revs_info":[{"rev":"3-c","status":"available"},{"rev":"2-b","status":"missing"},"#,
        r#"{"rev":"1-a","status":"deleted"}],"_local_seq":18446744073709551615"#,
        r#","_conflicts":["1-a","1-b"],"_deleted_conflicts":["10-x"]"#,
        r#","_attachments":{"n":{"content_type":"text/plain","revpos":1,"#,
        r#""digest":"md5-yYQQ0SOchONN6qnhEJuGKg==","length":18,"stub":true}}}"#,
    ];
    let text = written(&document, &extras);
    assert_eq!(text, expect.concat());
    assert!(serde_json::from_str::<serde_json::Value>(&text).is_ok());
}

#[test]
fn attachments_have_three_forms() {
    const STUB: &str = r#""length":18,"stub":true"#;
    const FOLLOWS: &str = r#""length":18,"follows":true"#;
    const DATA: &str = r#""data":"SGVsbG8=""#;
    const GZIP: &str = r#","encoding":"gzip","encoded_length":38"#;
    use EncodingInfo::{Hide, Show};
    let data = AttachmentForm::Data(Bytes::from_static(b"Hello"));
    for (encoding, form, info, expect) in [
        (Encoding::Gzip, AttachmentForm::Stub, Hide, STUB.to_owned()),
        (Encoding::Gzip, AttachmentForm::Stub, Show, format!("{STUB}{GZIP}")),
        (Encoding::Identity, AttachmentForm::Stub, Show, STUB.to_owned()),
        (Encoding::Identity, AttachmentForm::Follows, Show, FOLLOWS.to_owned()),
        (Encoding::Gzip, AttachmentForm::Follows, Hide, format!("{FOLLOWS}{GZIP}")),
        (Encoding::Gzip, data.clone(), Hide, DATA.to_owned()),
        (Encoding::Gzip, data, Show, format!("{DATA}{GZIP}")),
    ] {
        let mut out = Vec::new();
        write_attachment(&mut out, &attachment("n", encoding), &form, info);
        let head =
            r#"{"content_type":"text/plain","revpos":1,"digest":"md5-yYQQ0SOchONN6qnhEJuGKg==","#;
        assert_eq!(String::from_utf8(out).unwrap(), format!("{head}{expect}}}"));
    }
}

#[test]
fn forms_belong_to_attachments_by_position() {
    let mut document = document("{}");
    for name in ["x", "\u{1}", "z"] {
        document.attachments.push(attachment(name, Encoding::Identity));
    }
    let forms = [AttachmentForm::Stub, AttachmentForm::Data(Bytes::new())];
    let text = written(&document, &Extras { attachments: &forms, ..Extras::default() });
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    let attachments = &value["_attachments"];
    assert_eq!(attachments["x"]["stub"], true);
    assert_eq!(attachments["\u{1}"]["data"], "");
    assert_eq!(attachments["z"]["stub"], true);
    assert!(text.contains(r#""\u0001":{"#));
}

#[test]
fn numbers_and_revisions_are_written_as_text() {
    for number in [0, 1, 9, 10, 99, 1_000, u64::MAX] {
        let mut out = Vec::new();
        write_unsigned(&mut out, number);
        assert_eq!(String::from_utf8(out).unwrap(), number.to_string());
    }
    for text in ["1-967a00dff5e02add41819138abb3284d", "20-text", "0-1"] {
        let mut out = Vec::new();
        write_rev(&mut out, &rev(text));
        assert_eq!(String::from_utf8(out).unwrap(), format!("\"{text}\""));
    }
}
