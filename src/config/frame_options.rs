//! `[x_frame_options]`: which pages may show answers of this server inside of theirs.

use super::reader::Reader;

/// The `X-Frame-Options` header of each answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FrameOptions {
    /// No header: `[chttpd] enable_xframe_options` is off.
    Off,
    SameOrigin,
    /// Pages of these hosts; `*` is every host.
    From(Vec<String>),
}

impl FrameOptions {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let on = reader.section(&["chttpd", "httpd"]).boolean("enable_xframe_options", false);
        let mut section = reader.section(&["x_frame_options"]);
        let same_origin = section.boolean("same_origin", true);
        let hosts = section.list("hosts", &[]);
        match (on, same_origin) {
            (false, _) => Self::Off,
            (true, true) => Self::SameOrigin,
            (true, false) => Self::From(hosts),
        }
    }

    /// The header for an answer to a request that was sent to `host`, such as
    /// `http://example.com:5984`.
    #[must_use]
    pub fn header(&self, host: &str) -> Option<String> {
        match self {
            Self::Off => None,
            Self::SameOrigin => Some("SAMEORIGIN".to_owned()),
            Self::From(hosts) if hosts.iter().any(|allowed| allowed == "*" || allowed == host) => {
                Some(format!("ALLOW-FROM {host}"))
            }
            Self::From(_) => Some("DENY".to_owned()),
        }
    }
}
