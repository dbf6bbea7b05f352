//! What a client takes and has: `Accept`, `Accept-Encoding`, `If-None-Match`; and which attachment
//! types are stored compressed.
//!
//! CouchDB answers with multipart wherever the client does not exclude it, so `*/*` and a missing
//! `Accept` mean multipart for documents with attachments and for `open_revs`, and JSON for
//! `_bulk_get`. An entry whose `q` cannot be read counts as `q=1`.

/// Whether the body of a reply is JSON or multipart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyFormat {
    Json,
    MultipartMixed,
    MultipartRelated,
}

/// The format of one document with `attachments=true` (or `atts_since`).
#[must_use]
pub fn document_format(accept: Option<&str>) -> BodyFormat {
    if accepts(accept, "multipart/related") {
        BodyFormat::MultipartRelated
    } else {
        BodyFormat::Json
    }
}

/// The format of the answer to `open_revs`.
#[must_use]
pub fn open_revs_format(accept: Option<&str>) -> BodyFormat {
    if accepts(accept, "multipart/mixed") { BodyFormat::MultipartMixed } else { BodyFormat::Json }
}

/// The format of the answer to `_bulk_get`: multipart only for a client that takes no JSON.
#[must_use]
pub fn bulk_get_format(accept: Option<&str>) -> BodyFormat {
    if accepts(accept, "application/json") {
        BodyFormat::Json
    } else if accepts(accept, "multipart/mixed") {
        BodyFormat::MultipartMixed
    } else if accepts(accept, "multipart/related") {
        BodyFormat::MultipartRelated
    } else {
        BodyFormat::Json
    }
}

/// Whether the value of an `Accept` header (`None`: there is none) allows `media_type`, which is
/// written in lower case. The most exact entry decides: the type, then `type/*`, then `*/*`.
#[must_use]
pub fn accepts(accept: Option<&str>, media_type: &str) -> bool {
    let Some(accept) = accept else { return true };
    let main_type = media_type.split('/').next().unwrap_or_default();
    let mut best: Option<(u8, bool)> = None;
    for (item, wanted) in weighted_items(accept) {
        let exactness = match item.split_once('/') {
            _ if item.eq_ignore_ascii_case(media_type) => 2,
            Some((main, "*")) if main.eq_ignore_ascii_case(main_type) => 1,
            Some(("*", "*")) => 0,
            _ => continue,
        };
        if best.is_none_or(|(known, _)| known < exactness) {
            best = Some((exactness, wanted));
        }
    }
    best.is_some_and(|(_, wanted)| wanted)
}

/// Whether the value of an `Accept-Encoding` header (`None`: there is none) allows gzip.
#[must_use]
pub fn accepts_gzip(accept_encoding: Option<&str>) -> bool {
    let mut any = false;
    for (coding, wanted) in weighted_items(accept_encoding.unwrap_or_default()) {
        if coding.eq_ignore_ascii_case("gzip") {
            return wanted;
        }
        any |= coding == "*" && wanted;
    }
    any
}

/// The items of a comma-separated list, each with whether its `q` is above zero.
fn weighted_items(list: &str) -> impl Iterator<Item = (&str, bool)> {
    list.split(',').filter_map(|entry| {
        let mut pieces = entry.split(';');
        let item = pieces.next()?.trim();
        let weight = pieces.find_map(|piece| {
            let (name, value) = piece.split_once('=')?;
            name.trim().eq_ignore_ascii_case("q").then(|| value.trim())
        });
        let wanted = weight.and_then(|text| text.parse::<f32>().ok()).is_none_or(|q| q > 0.0);
        (!item.is_empty()).then_some((item, wanted))
    })
}

/// Whether the value of an `If-None-Match` header names `etag`, which is written with its quotes.
/// `W/` before either does not matter, and `*` names every tag.
#[must_use]
pub fn if_none_match(header: &str, etag: &str) -> bool {
    let etag = strong(etag);
    entity_tags(header).any(|tag| tag == "*" || strong(tag) == etag)
}

fn strong(tag: &str) -> &str {
    tag.strip_prefix("W/").unwrap_or(tag)
}

/// The tags of a list. A comma inside quotes belongs to the tag.
fn entity_tags(header: &str) -> impl Iterator<Item = &str> {
    let mut quoted = false;
    header
        .split(move |character| {
            quoted ^= character == '"';
            !quoted && matches!(character, ',' | ' ' | '\t')
        })
        .filter(|tag| !tag.is_empty())
}

/// The media types that are stored compressed: `[attachments] compressible_types`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CompressibleTypes {
    patterns: Vec<String>,
}

impl CompressibleTypes {
    /// Reads the setting: types separated by commas, with one `*` for any text in each.
    #[must_use]
    pub fn parse(setting: &str) -> Self {
        let patterns = setting.split(',').map(|pattern| pattern.trim().to_ascii_lowercase());
        Self { patterns: patterns.filter(|pattern| !pattern.is_empty()).collect() }
    }

    /// Whether an attachment of `content_type` is compressed. Letter case and parameters such as
    /// `; charset=utf-8` do not matter.
    #[must_use]
    pub fn matches(&self, content_type: &str) -> bool {
        let media_type = content_type.split(';').next().unwrap_or_default();
        let media_type = media_type.trim().to_ascii_lowercase();
        self.patterns.iter().any(|pattern| match pattern.split_once('*') {
            None => *pattern == media_type,
            Some((start, end)) => {
                media_type.strip_prefix(start).is_some_and(|rest| rest.ends_with(end))
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::BodyFormat::{Json, MultipartMixed, MultipartRelated};
    use super::*;

    #[test]
    fn formats_by_accept() {
        let table = [
            (None, MultipartRelated, MultipartMixed, Json),
            (Some("*/*"), MultipartRelated, MultipartMixed, Json),
            (Some("application/json"), Json, Json, Json),
            (Some("application/json, */*"), MultipartRelated, MultipartMixed, Json),
            (Some("multipart/mixed"), Json, MultipartMixed, MultipartMixed),
            (Some("Multipart/Related"), MultipartRelated, Json, MultipartRelated),
            (
                Some("multipart/related,multipart/mixed"),
                MultipartRelated,
                MultipartMixed,
                MultipartMixed,
            ),
            (Some("multipart/*"), MultipartRelated, MultipartMixed, MultipartMixed),
            (Some("multipart/related, application/json"), MultipartRelated, Json, Json),
            (
                Some("multipart/mixed; q=0.5, application/json;q=0"),
                Json,
                MultipartMixed,
                MultipartMixed,
            ),
            (Some("*/*;q=0.1, multipart/*; Q=0"), Json, Json, Json),
            (Some("*/*;q=0"), Json, Json, Json),
            (Some("multipart/*;q=0, multipart/related"), MultipartRelated, Json, MultipartRelated),
            (Some("multipart/mixed;q=high"), Json, MultipartMixed, MultipartMixed),
            (Some("multipart/mixed;level=1;q=0.000"), Json, Json, Json),
            (Some("text/html"), Json, Json, Json),
            (Some(""), Json, Json, Json),
            (Some(",;/*"), Json, Json, Json),
        ];
        for (accept, document, open_revs, bulk_get) in table {
            assert_eq!(document_format(accept), document, "document {accept:?}");
            assert_eq!(open_revs_format(accept), open_revs, "open_revs {accept:?}");
            assert_eq!(bulk_get_format(accept), bulk_get, "bulk_get {accept:?}");
        }
    }

    #[test]
    fn gzip_by_accept_encoding() {
        let table = [
            (None, false),
            (Some(""), false),
            (Some("gzip"), true),
            (Some("deflate, GZIP;q=0.5"), true),
            (Some("gzip;q=0"), false),
            (Some("gzip; q=0.0, *"), false),
            (Some("*, gzip;q=0"), false),
            (Some("*"), true),
            (Some("*;q=0"), false),
            (Some("identity, deflate"), false),
            (Some("gzipped"), false),
        ];
        for (header, expect) in table {
            assert_eq!(accepts_gzip(header), expect, "{header:?}");
        }
    }

    #[test]
    fn entity_tags_match() {
        let table = [
            ("\"a\"", "\"a\"", true),
            ("W/\"a\"", "\"a\"", true),
            ("\"b\", W/\"a\"", "\"a\"", true),
            ("\"b\" \"a\"", "\"a\"", true),
            ("\"b\",\"a\"", "\"a\"", true),
            ("*", "\"a\"", true),
            ("\"x, y\"", "\"x, y\"", true),
            ("\"x, \"a\" y\"", "\"a\"", false),
            ("\"*\"", "\"a\"", false),
            ("a", "\"a\"", false),
            ("\"A\"", "\"a\"", false),
            ("\"ab\"", "\"a\"", false),
            ("", "\"a\"", false),
            (",, ,", "\"a\"", false),
        ];
        for (header, etag, expect) in table {
            assert_eq!(if_none_match(header, etag), expect, "{header} {etag}");
        }
    }

    #[test]
    fn types_stored_compressed() {
        let types = CompressibleTypes::parse(
            "text/*, application/javascript ,, application/json, application/*+xml",
        );
        let table = [
            ("text/plain", true),
            ("TEXT/Html; charset=utf-8", true),
            (" application/json ;charset=utf-8", true),
            ("application/atom+xml", true),
            ("application/jsonx", false),
            ("application/xml", false),
            ("image/png", false),
            ("image/png; text/plain", false),
            ("", false),
        ];
        for (content_type, expect) in table {
            assert_eq!(types.matches(content_type), expect, "{content_type}");
        }
        assert!(!CompressibleTypes::parse("").matches(""));
        assert!(CompressibleTypes::parse("*").matches("image/png"));
    }
}
