//! The `Range` request header against an attachment's length, by CouchDB's rules.
//!
//! One range gives 206 with `Content-Range`, two to nine a `multipart/byteranges` reply; ten or
//! more, and what cannot be read, are ignored and the whole is sent. A range that lies outside the
//! attachment makes the whole request unsatisfiable, as soon as it is met.

/// From this many ranges on CouchDB sends the whole attachment.
const RANGES_IGNORED_FROM: usize = 10;

/// Bytes `start..=end` of something longer than `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteRange {
    pub start: u64,
    /// The last byte, not the one after it: as in the header.
    pub end: u64,
}

impl ByteRange {
    /// How many bytes the range holds: at least one.
    #[must_use]
    pub fn length(self) -> u64 {
        self.end.saturating_sub(self.start).saturating_add(1)
    }

    /// The value of `Content-Range` for something `length` bytes long.
    #[must_use]
    pub fn content_range(self, length: u64) -> String {
        format!("bytes {}-{}/{length}", self.start, self.end)
    }
}

/// What a `Range` header asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RangeRequest {
    /// Send everything with 200.
    Full,
    /// 206 with `Content-Range`.
    Single(ByteRange),
    /// Two to nine ranges, in the order of the header: 206 with `multipart/byteranges`.
    Several(Vec<ByteRange>),
    /// 416.
    Unsatisfiable,
}

/// One range as it is written: `2-4`, `2-` or `-3`.
#[derive(Clone, Copy)]
enum Spec {
    Within { first: u64, last: u64 },
    From(u64),
    Suffix(u64),
}

/// Reads the value of a `Range` header for something `length` bytes long.
#[must_use]
pub fn parse_range(header: &str, length: u64) -> RangeRequest {
    let Some(specs) = parse_specs(header) else { return RangeRequest::Full };
    let mut ranges = Vec::new();
    for spec in specs {
        if matches!(spec, Spec::From(0)) {
            return RangeRequest::Full;
        }
        let Some(range) = resolve(spec, length) else { return RangeRequest::Unsatisfiable };
        ranges.push(range);
    }
    match ranges.as_slice() {
        [single] => RangeRequest::Single(*single),
        [] => RangeRequest::Full,
        several if several.len() < RANGES_IGNORED_FROM => RangeRequest::Several(ranges),
        _ => RangeRequest::Full,
    }
}

fn parse_specs(header: &str) -> Option<Vec<Spec>> {
    let (unit, ranges) = header.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    ranges.split(',').map(str::trim).filter(|text| !text.is_empty()).map(parse_spec).collect()
}

fn parse_spec(text: &str) -> Option<Spec> {
    let (first, last) = text.split_once('-')?;
    match (first.trim(), last.trim()) {
        ("", suffix) => Some(Spec::Suffix(parse_position(suffix)?)),
        (first, "") => Some(Spec::From(parse_position(first)?)),
        (first, last) => {
            Some(Spec::Within { first: parse_position(first)?, last: parse_position(last)? })
        }
    }
}

/// A position beyond 64 bits lies beyond every end, where the greatest number lies too.
fn parse_position(digits: &str) -> Option<u64> {
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(digits.parse().unwrap_or(u64::MAX))
}

fn resolve(spec: Spec, length: u64) -> Option<ByteRange> {
    let last_byte = length.checked_sub(1)?;
    let range = match spec {
        Spec::Within { first, last } => ByteRange { start: first, end: last.min(last_byte) },
        Spec::From(first) => ByteRange { start: first, end: last_byte },
        Spec::Suffix(count) => ByteRange { start: length.saturating_sub(count), end: last_byte },
    };
    (range.start <= range.end).then_some(range)
}

#[cfg(test)]
mod tests {
    use super::*;
    use RangeRequest::{Full, Several, Single, Unsatisfiable};
    use proptest::prelude::*;

    fn r(start: u64, end: u64) -> ByteRange {
        ByteRange { start, end }
    }

    #[test]
    fn ranges_of_eleven_bytes() {
        let nine = "bytes=0-0,1-1,2-2,3-3,4-4,5-5,6-6,7-7,8-8";
        let table = [
            ("bytes=2-4", Single(r(2, 4))),
            ("Bytes = 2 - 4 ", Single(r(2, 4))),
            ("bytes=2-", Single(r(2, 10))),
            ("bytes=-3", Single(r(8, 10))),
            ("bytes=-99", Single(r(0, 10))),
            ("bytes=10-10", Single(r(10, 10))),
            ("bytes=0-99999999999999999999999999", Single(r(0, 10))),
            ("bytes=-99999999999999999999999999", Single(r(0, 10))),
            ("bytes=0-1,,-2", Several(vec![r(0, 1), r(9, 10)])),
            (nine, Several((0..9).map(|at| r(at, at)).collect())),
            (&format!("{nine},9-9"), Full),
            ("bytes=0-", Full),
            ("bytes=1-2,0-", Full),
            ("bytes=", Full),
            ("bytes=,", Full),
            ("bytes=-", Full),
            ("bytes", Full),
            ("", Full),
            ("bytes=a-b", Full),
            ("bytes=2--4", Full),
            ("bytes=+2-4", Full),
            ("bytes=2-4;3", Full),
            ("lines=2-4", Full),
            ("bytes=4-2", Unsatisfiable),
            ("bytes=11-", Unsatisfiable),
            ("bytes=11-12", Unsatisfiable),
            ("bytes=99999999999999999999999999-", Unsatisfiable),
            ("bytes=-0", Unsatisfiable),
            ("bytes=0-1,50-60", Unsatisfiable),
        ];
        for (header, expect) in table {
            assert_eq!(parse_range(header, 11), expect, "{header}");
        }
    }

    #[test]
    fn nothing_of_nothing() {
        assert_eq!(parse_range("bytes=0-0", 0), Unsatisfiable);
        assert_eq!(parse_range("bytes=-1", 0), Unsatisfiable);
        assert_eq!(parse_range("bytes=0-", 0), Full);
    }

    #[test]
    fn content_range_header() {
        assert_eq!(r(2, 4).content_range(11), "bytes 2-4/11");
        assert_eq!(r(2, 4).length(), 3);
        assert_eq!(r(0, u64::MAX).length(), u64::MAX);
    }

    proptest! {
        #[test]
        fn ranges_lie_within(header in "bytes=[-0-9, ]{0,40}", length in 0u64..50) {
            let ranges = match parse_range(&header, length) {
                Single(range) => vec![range],
                Several(ranges) => ranges,
                Full | Unsatisfiable => vec![],
            };
            for range in ranges {
                prop_assert!(range.start <= range.end && range.end < length);
            }
        }

        #[test]
        fn any_text_is_answered(header in ".*", length in any::<u64>()) {
            let _ = parse_range(&header, length);
        }
    }
}
