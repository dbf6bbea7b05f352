//! Parser and reader against hand-written, hostile and random bodies, in any cutting.

use std::convert::Infallible;
use std::io;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::stream;
use proptest::prelude::*;

use super::writer::{self, AttachmentPart, CLOSE, MixedPart, PartEncoding};
use super::*;

/// A part's headers as `name: value` lines, and its body.
type Part = (Vec<String>, Vec<u8>);

fn boundary(text: &str) -> Boundary {
    Boundary::parse(text).unwrap()
}

/// All parts of `body` when it comes in the given pieces.
fn parse_pieces<'a>(
    boundary: &Boundary,
    limits: Limits,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Vec<Part>, ParseError> {
    let mut parser = Parser::new(boundary, limits);
    let mut pieces = pieces.into_iter();
    let mut parts: Vec<Part> = Vec::new();
    let mut inside = false;
    loop {
        match parser.next_event()? {
            Event::Part(head) => {
                assert!(!inside);
                inside = true;
                let lines = head.headers().map(|(name, value)| format!("{name}: {value}"));
                parts.push((lines.collect(), Vec::new()));
            }
            Event::Chunk(chunk) => {
                assert!(inside && !chunk.is_empty());
                parts.last_mut().unwrap().1.extend_from_slice(&chunk);
            }
            Event::PartEnd => {
                assert!(inside);
                inside = false;
            }
            Event::End => {
                assert!(!inside);
                assert_eq!(parser.next_event(), Ok(Event::End));
                return Ok(parts);
            }
            Event::NeedInput => match pieces.next() {
                Some(piece) => parser.push(Bytes::copy_from_slice(piece)),
                None => parser.finish(),
            },
        }
    }
}

/// Parses in one piece, then byte by byte and in other cuttings, which must make no difference.
fn parse(body: &[u8]) -> Result<Vec<Part>, ParseError> {
    let boundary = boundary("B");
    let whole = parse_pieces(&boundary, Limits::default(), [body]);
    for piece_bytes in 1..=body.len().min(7) {
        let pieces = parse_pieces(&boundary, Limits::default(), body.chunks(piece_bytes));
        assert_eq!(pieces, whole, "in pieces of {piece_bytes}");
    }
    for at in 0..=body.len() {
        let (front, back) = body.split_at(at);
        assert_eq!(parse_pieces(&boundary, Limits::default(), [front, back]), whole, "cut at {at}");
    }
    whole
}

fn check(body: &str, expect: &[(&[&str], &str)]) {
    let parts = parse(body.as_bytes()).unwrap_or_else(|error| panic!("{body:?}: {error}"));
    let parts: Vec<(Vec<&str>, &str)> = parts
        .iter()
        .map(|(lines, data)| {
            (lines.iter().map(String::as_str).collect(), std::str::from_utf8(data).unwrap())
        })
        .collect();
    let expect: Vec<_> = expect.iter().map(|(lines, data)| (lines.to_vec(), *data)).collect();
    assert_eq!(parts, expect, "{body:?}");
}

#[test]
fn bodies_by_the_standard() {
    check("--B\r\n\r\n\r\n--B--", &[(&[], "")]);
    check("--B\r\nA: b\r\n\r\nx\r\n--B\r\n\r\ny\r\n--B--\r\n", &[(&["a: b"], "x"), (&[], "y")]);
    check("--B \t\r\nA: b\r\n\r\nx\r\n--B\t\r\n\r\ny\r\n--B--", &[(&["a: b"], "x"), (&[], "y")]);
    check("intro\r\n\r\nmore\r\n--B\r\n\r\nx\r\n--B--\r\nend\r\n--B\r\n", &[(&[], "x")]);
    check("--B\r\nA: b;\r\n c\r\nD:e\r\n\r\nx\r\n--B--", &[(&["a: b; c", "d: e"], "x")]);
    check("--B--", &[]);
    check("nothing here\r\n--B--", &[]);
}

/// As `_bulk_get` writes: a line end before the first boundary.
#[test]
fn a_line_end_before_the_first_boundary() {
    check("\r\n--B\r\n\r\nx\r\n--B--\r\n", &[(&[], "x")]);
    check("\n\n--B\r\n\r\nx\r\n--B--\r\n", &[(&[], "x")]);
}

#[test]
fn an_empty_body_without_its_line_end() {
    check("--B\r\nA: b\r\n\r\n--B\r\n\r\n--B--", &[(&["a: b"], ""), (&[], "")]);
}

#[test]
fn lone_line_feeds() {
    check("--B\nA: b\n\nx\r\n--B\n\ny\n--B--\n", &[(&["a: b"], "x\r"), (&[], "y")]);
    // Once the first boundary ended with CR LF, a lone line feed is data.
    check("--B\r\n\r\nx\n--B\r\ny\r\n--B--", &[(&[], "x\n--B\r\ny")]);
    check("--B\r\nA: b\n\nx\r\n--B--", &[(&["a: b"], "x")]);
}

#[test]
fn what_only_looks_like_a_boundary() {
    for data in [
        "\r",
        "\n",
        "\r\n",
        "\r\n\r\n",
        "-",
        "--",
        "\r\n--",
        "\r\n-B",
        "--C",
        "\r\n--Bx",
        "\r\n--Bx--",
        "\r\n--B -",
        "\r\n--b--",
        "x--B--",
        "\r\r\n--BB",
        "\r\n\r\n--C\r\n",
        "\r\n--B\rx",
        "--Bx",
        "\0\0\r\n\0--B",
    ] {
        check(&format!("--B\r\n\r\n{data}\r\n--B--"), &[(&[], data)]);
    }
    let padded = format!("\r\n--B{}\r\n", " ".repeat(65));
    check(&format!("--B\r\n\r\n{padded}\r\n--B--"), &[(&[], &padded)]);
}

#[test]
fn hostile_bodies() {
    use ParseError::{BadHeader, UnexpectedEnd};
    let table: [(&[u8], ParseError); 18] = [
        (b"", UnexpectedEnd),
        (b"no boundary at all", UnexpectedEnd),
        (b"--", UnexpectedEnd),
        (b"--B", UnexpectedEnd),
        (b"--B-", UnexpectedEnd),
        (b"--B\r\n", UnexpectedEnd),
        (b"--B\r\nA: b", UnexpectedEnd),
        (b"--B\r\nA: b\r\n\r\n", UnexpectedEnd),
        (b"--B\r\n\r\ndata", UnexpectedEnd),
        (b"--B\r\n\r\ndata\r\n--B", UnexpectedEnd),
        (b"--B\r\n\r\ndata\r\n--B\r\n", UnexpectedEnd),
        (b"--b\r\n\r\ndata\r\n--b--", UnexpectedEnd),
        (b"--B\r\nno colon\r\n\r\n\r\n--B--", BadHeader),
        (b"--B\r\n folded: first\r\n\r\n\r\n--B--", BadHeader),
        (b"--B\r\nA: \0\r\n\r\n\r\n--B--", BadHeader),
        (b"--B\r\nA: \xff\r\n\r\n\r\n--B--", BadHeader),
        (b"--B\r\n\0\0\0\0\r\n\r\n\r\n--B--", BadHeader),
        (b"--B\r\n--B--\r\n", BadHeader),
    ];
    for (body, expect) in table {
        assert_eq!(parse(body).unwrap_err(), expect, "{:?}", String::from_utf8_lossy(body));
    }
}

#[test]
fn an_error_stays() {
    let mut parser = Parser::new(&boundary("B"), Limits::default());
    parser.push(Bytes::from_static(b"--B\r\nbad\r\n"));
    for _ in 0..2 {
        assert_eq!(parser.next_event(), Err(ParseError::BadHeader));
        parser.push(Bytes::from_static(b"A: b\r\n\r\n"));
    }
}

#[test]
fn limits() {
    let limits = Limits { header_bytes_max: 100, parts_max: 3 };
    let run = |body: &[u8]| parse_pieces(&boundary("B"), limits, body.chunks(9));
    let too_long = Err(ParseError::HeadersTooLong { max: 100 });
    let block = |bytes: usize| format!("--B\r\nA: {}\r\n\r\n\r\n--B--", "x".repeat(bytes - 7));
    assert!(run(block(100).as_bytes()).is_ok());
    assert_eq!(run(block(101).as_bytes()), too_long);
    assert_eq!(run(format!("--B\r\n{}", "x".repeat(200)).as_bytes()), too_long);
    assert_eq!(run(format!("--B\r\n{}", "A: b\r\n".repeat(50)).as_bytes()), too_long);
    assert_eq!(run(format!("--B\r\nA: b\r\n{}", " c\r\n".repeat(50)).as_bytes()), too_long);
    let parts = |count: usize| format!("{}--B--", "--B\r\n\r\n\r\n".repeat(count));
    assert_eq!(run(parts(3).as_bytes()).unwrap().len(), 3);
    assert_eq!(run(parts(4).as_bytes()), Err(ParseError::TooManyParts { max: 3 }));
}

/// Input that makes a careless search quadratic is done in the time of a copy. The limit is wide,
/// for slow machines and builds: quadratic work would take minutes.
#[test]
fn hostile_bodies_take_linear_time() {
    let name = "-".repeat(BOUNDARY_BYTES_MAX);
    let near_miss = format!("\r\n--{}x", "-".repeat(BOUNDARY_BYTES_MAX - 1));
    let fillers = [
        "\r".to_owned(),
        "\r\n".to_owned(),
        "\n".to_owned(),
        "-".to_owned(),
        "\r\n--".to_owned(),
        near_miss,
        format!("\r\n--{name} "),
        "\r\n \t".to_owned(),
    ];
    let boundary = boundary(&name);
    for filler in fillers {
        let data = filler.repeat((1 << 17) / filler.len());
        for head in [String::new(), format!("--{name}\r\n\r\n")] {
            let body = format!("{head}{data}");
            for piece_bytes in [1, 4096, body.len()] {
                let started = Instant::now();
                let pieces = body.as_bytes().chunks(piece_bytes);
                let _ = parse_pieces(&boundary, Limits::default(), pieces);
                assert!(started.elapsed() < Duration::from_secs(10), "{filler:?} {piece_bytes}");
            }
        }
    }
}

/// A source of `pieces`, with one error at its end if there is one.
fn source<E>(
    pieces: Vec<Bytes>,
    end: Option<E>,
) -> impl futures_util::Stream<Item = Result<Bytes, E>> + Unpin {
    stream::iter(pieces.into_iter().map(Ok).chain(end.map(Err)))
}

fn cut(body: &[u8], piece_bytes: usize) -> Vec<Bytes> {
    body.chunks(piece_bytes).map(Bytes::copy_from_slice).collect()
}

/// A revision with attachments, one without and a missing one, read through nested readers.
#[tokio::test]
async fn revisions_are_read_nested() {
    let (outer, inner) = (Boundary::new([1; 16]), Boundary::new([2; 16]));
    let attachment = AttachmentPart {
        name: "ä \"1\"",
        content_type: "text/plain",
        length: 4,
        encoding: PartEncoding::Gzip,
    };
    let body = [
        writer::opening(&outer),
        writer::mixed_part_head(MixedPart::Related(&inner)),
        writer::related_head(&inner),
        "{\"_id\":\"a\"}".into(),
        writer::next(&inner),
        attachment.head(),
        "\r\n--".into(),
        writer::next(&inner),
        CLOSE,
        writer::next(&outer),
        writer::mixed_part_head(MixedPart::Missing),
        writer::missing_body("1-abc"),
        writer::next(&outer),
        CLOSE,
    ]
    .concat();
    for piece_bytes in 1..body.len() {
        let source = source::<Infallible>(cut(&body, piece_bytes), None);
        let mut reader = MultipartReader::new(source, &outer);
        let head = reader.next_part().await.unwrap().unwrap();
        let nested = head.nested_boundary().unwrap();
        {
            let mut parts = MultipartReader::new(reader.part_chunks(), &nested);
            let document = parts.next_part().await.unwrap().unwrap();
            assert_eq!(document.media_type().as_deref(), Some("application/json"));
            assert_eq!(parts.read_part(100).await.unwrap(), "{\"_id\":\"a\"}");
            let head = parts.next_part().await.unwrap().unwrap();
            assert_eq!(head.filename().as_deref(), Some(attachment.name));
            assert_eq!((head.content_length(), head.is_gzip()), (Some(4), true));
            assert_eq!(parts.read_part(100).await.unwrap(), "\r\n--");
            assert_eq!(parts.next_part().await.unwrap(), None);
        }
        let missing = reader.next_part().await.unwrap().unwrap();
        assert!(missing.is_error());
        assert_eq!(reader.read_part(19).await.unwrap(), "{\"missing\":\"1-abc\"}");
        assert_eq!(reader.next_part().await.unwrap(), None);
        assert_eq!(reader.read_part_chunk().await.unwrap(), None);
    }
}

#[tokio::test]
async fn unread_parts_are_passed_over() {
    let body = b"--B\r\nA: 1\r\n\r\nlong data\r\n--B\r\nA: 2\r\n\r\ndata\r\n--B--";
    let mut reader = MultipartReader::new(source::<Infallible>(cut(body, 5), None), &boundary("B"));
    assert_eq!(reader.read_part_chunk().await.unwrap(), None);
    reader.next_part().await.unwrap().unwrap();
    assert!(reader.read_part_chunk().await.unwrap().is_some());
    let second = reader.next_part().await.unwrap().unwrap();
    assert_eq!(second.header("a"), Some("2"));
    assert_eq!(reader.next_part().await.unwrap(), None);
    assert_eq!(reader.next_part().await.unwrap(), None);
}

#[tokio::test]
async fn failures_of_reading() {
    let body = b"--B\r\n\r\n0123456789";
    let mut reader = MultipartReader::new(source::<Infallible>(cut(body, 3), None), &boundary("B"));
    reader.next_part().await.unwrap().unwrap();
    let error = reader.read_part(9).await.unwrap_err();
    assert_eq!(error, MultipartError::PartTooLong { max_bytes: 9 });
    let error = reader.next_part().await.unwrap_err();
    assert_eq!(error, MultipartError::Parse(ParseError::UnexpectedEnd));

    let broken = source(cut(body, 3), Some(io::ErrorKind::BrokenPipe));
    let mut reader = MultipartReader::new(broken, &boundary("B"));
    reader.next_part().await.unwrap().unwrap();
    let error = reader.read_part(99).await.unwrap_err();
    assert_eq!(error, MultipartError::Source(io::ErrorKind::BrokenPipe));
}

/// Text made of the pieces of which boundaries are made.
fn boundary_like() -> impl Strategy<Value = Vec<u8>> {
    let piece =
        prop::sample::select(vec!["\r\n", "\n", "\r", "--", "-", "B", "Bc", " ", "x", "\0"]);
    prop::collection::vec(piece, 0..30).prop_map(|pieces| pieces.concat().into_bytes())
}

/// Whether `data` holds a delimiter line itself, which no boundary could protect.
fn holds_delimiter(data: &[u8]) -> bool {
    let framed = [b"\n", data, b"\r\n"].concat();
    framed.windows(4).enumerate().any(|(at, window)| {
        window == b"\n--B" && {
            let behind = &framed[at + 4..];
            let blanks = behind.iter().take_while(|&&byte| byte == b' ').count();
            behind.starts_with(b"--")
                || matches!(behind[blanks..], [b'\r', b'\n', ..] | [b'\n', ..])
        }
    })
}

fn cuttings(body: &[u8], cuts: &[prop::sample::Index]) -> Vec<Vec<u8>> {
    let mut places: Vec<usize> = cuts.iter().map(|cut| cut.index(body.len() + 1)).collect();
    places.extend([0, body.len()]);
    places.sort_unstable();
    places.windows(2).map(|pair| body[pair[0]..pair[1]].to_vec()).collect()
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        json in boundary_like(),
        attachments in prop::collection::vec(("[^\\p{Cc}]{1,9}", boundary_like()), 0..5),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
    ) {
        prop_assume!(!holds_delimiter(&json));
        prop_assume!(!attachments.iter().any(|(_, data)| holds_delimiter(data)));
        let b = boundary("B");
        let heads: Vec<_> = attachments
            .iter()
            .map(|(name, data)| AttachmentPart {
                name,
                content_type: "text/plain",
                length: data.len() as u64,
                encoding: PartEncoding::Identity,
            })
            .collect();
        let mut body = [&writer::related_head(&b)[..], &json, &writer::next(&b)].concat();
        for (head, (_, data)) in heads.iter().zip(&attachments) {
            body.extend([&head.head()[..], data, &writer::next(&b)].concat());
        }
        body.extend_from_slice(&CLOSE);
        prop_assert_eq!(writer::related_length(&b, json.len() as u64, &heads), body.len() as u64);

        let pieces = cuttings(&body, &cuts);
        let parts =
            parse_pieces(&b, Limits::default(), pieces.iter().map(Vec::as_slice)).unwrap();
        prop_assert_eq!(&parts[0].1, &json);
        prop_assert_eq!(parts.len(), attachments.len() + 1);
        for ((lines, read), (name, data)) in parts[1..].iter().zip(&attachments) {
            prop_assert_eq!(read, data);
            let mut head = PartHead::default();
            head.add_line(&lines[0]).unwrap();
            let filename = head.filename();
            prop_assert_eq!(filename.as_ref(), Some(name));
        }
    }

    #[test]
    fn cutting_makes_no_difference(
        body in boundary_like(),
        head in prop::sample::select(vec!["", "--B\r\n\r\n", "--B\n\n", "--B\r\nA: b\r\n"]),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let body = [head.as_bytes(), &body].concat();
        let whole = parse_pieces(&boundary("B"), Limits::default(), [&body[..]]);
        let pieces = cuttings(&body, &cuts);
        let cut = parse_pieces(&boundary("B"), Limits::default(), pieces.iter().map(Vec::as_slice));
        prop_assert_eq!(whole, cut);
    }

    #[test]
    fn any_bytes_are_answered(
        body in prop::collection::vec(any::<u8>(), 0..300),
        cut in 1_usize..50,
    ) {
        let framed = [b"--B\r\n\r\n", &body[..]].concat();
        for body in [body, framed] {
            let whole = parse_pieces(&boundary("B"), Limits::default(), [&body[..]]);
            let pieces = parse_pieces(&boundary("B"), Limits::default(), body.chunks(cut));
            prop_assert_eq!(whole, pieces);
        }
    }
}
