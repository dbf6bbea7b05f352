//! Known bytes, round trips in any cutting, and damaged or hostile data.

use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::stream::{self, StreamExt as _};
use md5::{Digest as _, Md5};
use proptest::prelude::*;

use super::*;

/// A 10 MB run of zeros in a few kilobytes.
fn bomb() -> Vec<u8> {
    compress(&vec![0; 10 << 20], 9).unwrap()
}

/// Bytes that compress neither well nor badly, long enough to make zlib slide its window.
fn mixed_bytes(length: usize) -> Vec<u8> {
    let mut state = 1_u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state
    };
    let mut data: Vec<u8> = Vec::with_capacity(length);
    while data.len() < length {
        let number = next();
        let back = (number >> 8) as usize % 40_000 + 1;
        if number % 3 == 0 && back < data.len() {
            let start = data.len() - back;
            let end = (start + 200).min(data.len());
            data.extend_from_within(start..end);
        } else {
            data.push((number >> 24) as u8);
        }
    }
    data.truncate(length);
    data
}

fn compress_in_pieces(data: &[u8], piece_bytes: usize) -> Vec<u8> {
    let mut output = Vec::new();
    let mut writer = GzipWriter::new(DEFAULT_LEVEL);
    for piece in data.chunks(piece_bytes) {
        writer.write(piece, &mut output).unwrap();
    }
    writer.finish(&mut output).unwrap();
    output
}

/// What a reader makes of `data` when it comes in pieces: with the longest chunk it gave.
fn read_in_pieces(data: &[u8], piece_bytes: usize) -> Result<(Vec<u8>, usize), GzipError> {
    let mut reader = GzipReader::new();
    let (mut output, mut longest) = (Vec::new(), 0);
    for piece in data.chunks(piece_bytes) {
        let mut input = Bytes::copy_from_slice(piece);
        while let Some(chunk) = reader.read(&mut input)? {
            longest = longest.max(chunk.len());
            output.extend_from_slice(&chunk);
        }
        assert!(input.is_empty());
    }
    reader.finish()?;
    Ok((output, longest))
}

/// Digests of attachments as a CouchDB stored them.
#[test]
fn the_bytes_are_couchdbs() {
    let table = [
        ("hello world", 31, "7mkg+nM0HN26sZkLN8KVSA=="),
        ("", 20, "cCkGbCesb17xjWYNV0GXmg=="),
        ("Hello, attachment!", 38, "yYQQ0SOchONN6qnhEJuGKg=="),
        ("a", 21, "Q9YCQTjh9i7sCvBHVdHM7Q=="),
        ("b", 21, "cpKbDmPRF3bzJdKz6XMdmQ=="),
        ("2", 21, "QgJoHniSumytCSnobEAGWg=="),
    ];
    for (text, length, digest) in table {
        let packed = compress(text.as_bytes(), DEFAULT_LEVEL).unwrap();
        assert_eq!(packed.len(), length, "{text}");
        assert_eq!(STANDARD.encode(Md5::digest(&packed)), digest, "{text}");
    }
}

#[test]
fn cutting_the_input_changes_no_byte() {
    let data = mixed_bytes(400_000);
    let whole = compress(&data, DEFAULT_LEVEL).unwrap();
    assert_eq!(inflate_bounded(&whole, data.len()), Ok(data.clone()));
    for piece_bytes in [1, 7, 261, 4096, 32_768, 65_274, 65_536, 131_072, 399_999] {
        assert_eq!(compress_in_pieces(&data, piece_bytes), whole, "{piece_bytes}");
    }
}

#[test]
fn data_of_more_than_one_member() {
    let first = compress(b"first ", 8).unwrap();
    let second = compress(b"second", 1).unwrap();
    let both = [first.clone(), second.clone()].concat();
    assert_eq!(inflate_bounded(&both, 99), Ok(b"first second".to_vec()));
    for piece_bytes in [1, 5, first.len()] {
        assert_eq!(read_in_pieces(&both, piece_bytes).unwrap().0, b"first second");
    }
    let padded = [first.clone(), vec![0; 5]].concat();
    assert_eq!(inflate_bounded(&padded, 99), Ok(b"first ".to_vec()));
    let damaged = [padded, second].concat();
    assert_eq!(inflate_bounded(&damaged, 99), Err(GzipError::Corrupt));
    let trailing = [first, b"more".to_vec()].concat();
    assert_eq!(inflate_bounded(&trailing, 99), Err(GzipError::Corrupt));
}

#[test]
fn damaged_data() {
    let good = compress(&mixed_bytes(1000), 8).unwrap();
    for length in 0..good.len() {
        let error = inflate_bounded(&good[..length], 2000).unwrap_err();
        assert_eq!(error, GzipError::Truncated, "{length}");
    }
    for trailer_byte in good.len() - 8..good.len() {
        let mut bad = good.clone();
        bad[trailer_byte] ^= 1;
        assert_eq!(inflate_bounded(&bad, 2000), Err(GzipError::Corrupt), "{trailer_byte}");
    }
    for not_gzip in [&b"{\"a\":1}"[..], b"\x78\x9c\x03\x00\x00\x00\x00\x01", b"\0\0\0\0"] {
        assert_eq!(inflate_bounded(not_gzip, 2000), Err(GzipError::Corrupt));
    }
}

#[test]
fn a_bomb_is_stopped_at_the_limit() {
    let bomb = bomb();
    assert_eq!(inflate_bounded(&bomb, 10 << 20).unwrap().len(), 10 << 20);
    let error = inflate_bounded(&bomb, (10 << 20) - 1).unwrap_err();
    assert_eq!(error, GzipError::TooLong { max_bytes: (10 << 20) - 1 });
    let (output, longest) = read_in_pieces(&bomb, bomb.len()).unwrap();
    assert_eq!(output.len(), 10 << 20);
    assert!(longest <= 64 * 1024, "{longest}");
}

#[tokio::test]
async fn a_stream_is_unpacked() {
    let data = mixed_bytes(200_000);
    let packed = compress(&data, 8).unwrap();
    let pieces: Vec<_> = packed.chunks(1000).map(Bytes::copy_from_slice).collect();
    let unpack = |pieces: Vec<Result<Bytes, io::ErrorKind>>| async move {
        Gunzip::new(stream::iter(pieces)).collect::<Vec<_>>().await
    };
    let all = unpack(pieces.iter().cloned().map(Ok).collect()).await;
    let all: Vec<u8> = all.into_iter().flat_map(Result::unwrap).collect();
    assert_eq!(all, data);

    let mut short: Vec<_> = pieces.iter().cloned().map(Ok).collect();
    short.pop();
    let last = unpack(short.clone()).await.pop().unwrap();
    assert_eq!(last, Err(GunzipError::Gzip(GzipError::Truncated)));

    short.push(Err(io::ErrorKind::BrokenPipe));
    let last = unpack(short).await.pop().unwrap();
    assert_eq!(last, Err(GunzipError::Source(io::ErrorKind::BrokenPipe)));

    let bad = unpack(vec![Ok(Bytes::from_static(b"nonsense"))]).await;
    assert_eq!(bad, [Err(GunzipError::Gzip(GzipError::Corrupt))]);
}

proptest! {
    #[test]
    fn round_trips(
        data in prop::collection::vec(any::<u8>(), 0..2000),
        level in 1_u32..12,
        write_bytes in 1_usize..300,
        read_bytes in 1_usize..300,
    ) {
        let mut packed = Vec::new();
        let mut writer = GzipWriter::new(level);
        for piece in data.chunks(write_bytes) {
            writer.write(piece, &mut packed).unwrap();
        }
        writer.finish(&mut packed).unwrap();
        prop_assert_eq!(&packed, &compress(&data, level).unwrap());
        prop_assert_eq!(read_in_pieces(&packed, read_bytes).unwrap().0, data);
    }

    #[test]
    fn any_bytes_are_answered(
        data in prop::collection::vec(any::<u8>(), 0..200),
        cut in 1_usize..50,
    ) {
        let mut gzip_like = vec![0x1f, 0x8b, 8, 0];
        gzip_like.extend_from_slice(&data);
        for input in [data, gzip_like] {
            let whole = inflate_bounded(&input, 1 << 20);
            let pieces = read_in_pieces(&input, cut).map(|(output, _)| output);
            prop_assert_eq!(whole, pieces);
        }
    }
}
