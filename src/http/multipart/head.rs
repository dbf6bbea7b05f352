//! The headers of one part.

use crate::http::multipart::boundary::{Boundary, BoundaryError};
use crate::http::parameters::Parameters;

/// The headers of a part, in order; there may be none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PartHead {
    /// Names in lower case; values without the white space around them.
    headers: Vec<(String, String)>,
}

impl PartHead {
    /// The value of the first header called `name` (in lower case).
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Names (in lower case) and values in the order in which they came.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The media type in lower case, without its parameters.
    #[must_use]
    pub fn media_type(&self) -> Option<String> {
        self.header("content-type").map(|value| Parameters::parse(value).item)
    }

    /// The attachment name in `Content-Disposition`, quoted or not.
    #[must_use]
    pub fn filename(&self) -> Option<String> {
        self.disposition_parameter("filename")
    }

    /// The field name in `Content-Disposition`, for `multipart/form-data`.
    #[must_use]
    pub fn field_name(&self) -> Option<String> {
        self.disposition_parameter("name")
    }

    /// `Content-Length`, where it is a number.
    #[must_use]
    pub fn content_length(&self) -> Option<u64> {
        self.header("content-length")?.parse().ok()
    }

    /// Whether `Content-Encoding` says gzip.
    #[must_use]
    pub fn is_gzip(&self) -> bool {
        self.header("content-encoding").is_some_and(|coding| coding.eq_ignore_ascii_case("gzip"))
    }

    /// Whether the part tells of a missing revision or a failure: `…; error="true"`.
    #[must_use]
    pub fn is_error(&self) -> bool {
        let content_type = self.header("content-type").map(Parameters::parse);
        content_type.is_some_and(|parameters| parameters.get("error") == Some("true"))
    }

    /// The boundary of a part that is multipart itself.
    ///
    /// # Errors
    /// As `Boundary::from_content_type`; `NotMultipart` for a part without a type.
    pub fn nested_boundary(&self) -> Result<Boundary, BoundaryError> {
        Boundary::from_content_type(self.header("content-type").unwrap_or_default())
    }

    /// Adds one line of a header block, without its line end. A line that begins with white space
    /// continues the one before it. `None` when the line is no header.
    pub(super) fn add_line(&mut self, line: &str) -> Option<()> {
        if line.bytes().any(|byte| byte.is_ascii_control() && byte != b'\t') {
            return None;
        }
        if line.starts_with([' ', '\t']) {
            let (_, value) = self.headers.last_mut()?;
            value.push(' ');
            value.push_str(line.trim());
            return Some(());
        }
        let (name, value) = line.split_once(':')?;
        let name = name.trim().to_ascii_lowercase();
        self.headers.push((name, value.trim().to_owned()));
        Some(())
    }

    fn disposition_parameter(&self, name: &str) -> Option<String> {
        let disposition = Parameters::parse(self.header("content-disposition")?);
        disposition.get(name).map(str::to_owned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(lines: &[&str]) -> Option<PartHead> {
        let mut head = PartHead::default();
        for line in lines {
            head.add_line(line)?;
        }
        Some(head)
    }

    #[test]
    fn an_attachments_head() {
        let head = head(&[
            "Content-Disposition: attachment; filename=\"a \\\"b\\\" \\\\.txt\"",
            "CONTENT-TYPE:Text/Plain; charset=utf-8",
            "Content-Length:  38 ",
            "Content-Encoding: gzip",
        ]);
        let head = head.unwrap();
        assert_eq!(head.filename().as_deref(), Some("a \"b\" \\.txt"));
        assert_eq!(head.media_type().as_deref(), Some("text/plain"));
        assert_eq!(head.header("content-type"), Some("Text/Plain; charset=utf-8"));
        assert_eq!(head.content_length(), Some(38));
        assert!(head.is_gzip() && !head.is_error());
        assert_eq!(head.headers().count(), 4);
        assert_eq!(head.nested_boundary(), Err(BoundaryError::NotMultipart));
    }

    #[test]
    fn other_heads() {
        let error = head(&["Content-Type: application/json; error=\"true\""]).unwrap();
        assert!(error.is_error());
        let nested = head(&["Content-Type: multipart/related;", "\tboundary=Inner"]).unwrap();
        assert_eq!(nested.nested_boundary().unwrap().as_str(), "Inner");
        let form = head(&["Content-Disposition: form-data; name=\"_doc\""]).unwrap();
        assert_eq!((form.field_name().as_deref(), form.filename()), (Some("_doc"), None));
        assert_eq!(head(&[]).unwrap(), PartHead::default());
        assert_eq!(head(&["Content-Length: -1"]).unwrap().content_length(), None);
    }

    #[test]
    fn lines_that_are_no_headers() {
        for lines in [&["no colon"][..], &[" continues nothing"], &["a: b\0"], &["a: b\rc: d"]] {
            assert_eq!(head(lines), None, "{lines:?}");
        }
    }
}
