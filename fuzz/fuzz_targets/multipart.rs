//! A multipart body gives the same parts however it is cut into pieces.
#![no_main]

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use settee_fuzz::http::multipart::{Boundary, Event, Limits, ParseError, Parser, PartHead};

type Parts = Vec<(PartHead, Vec<u8>, bool)>;

fn parse<'d>(pieces: impl Iterator<Item = &'d [u8]>) -> (Parts, Result<(), ParseError>) {
    let boundary = Boundary::parse("b").expect("a boundary");
    let mut parser = Parser::new(&boundary, Limits { header_bytes_max: 256, parts_max: 16 });
    let mut pieces = pieces.fuse();
    let (mut parts, mut finished) = (Parts::new(), false);
    loop {
        match parser.next_event() {
            Err(error) => return (parts, Err(error)),
            Ok(Event::End) => return (parts, Ok(())),
            Ok(Event::Part(head)) => parts.push((head, Vec::new(), false)),
            Ok(Event::Chunk(bytes)) => {
                assert!(!bytes.is_empty());
                parts.last_mut().expect("a part").1.extend_from_slice(&bytes);
            }
            Ok(Event::PartEnd) => parts.last_mut().expect("a part").2 = true,
            Ok(Event::NeedInput) => match pieces.next() {
                Some(piece) => parser.push(Bytes::copy_from_slice(piece)),
                None => {
                    assert!(!finished, "it wants more after the end");
                    finished = true;
                    parser.finish();
                }
            },
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((&size, body)) = data.split_first() else { return };
    let whole = parse(std::iter::once(body));
    let cut = parse(body.chunks(usize::from(size % 32) + 1));
    assert_eq!(whole.1, cut.1);
    // Of a body that breaks off, more or less may have been told by then.
    if whole.1.is_ok() {
        assert_eq!(whole.0, cut.0);
    }
    for (head, ..) in whole.0 {
        let _ = (head.filename(), head.field_name(), head.content_length(), head.nested_boundary());
    }
});
