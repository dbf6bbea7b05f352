//! `[csp]`: the `Content-Security-Policy` headers.

use super::reader::{Reader, Section};

const UTILS_POLICY: &str = "child-src 'self' data: blob:; default-src 'self'; \
    img-src 'self' data:; font-src 'self'; script-src 'self' 'unsafe-eval'; \
    style-src 'self' 'unsafe-inline'; frame-src https://blog.couchdb.org;";

/// The policy of one kind of answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CspRule {
    pub enable: bool,
    pub header_value: String,
}

impl CspRule {
    /// The header to send, if any.
    pub fn header(&self) -> Option<&str> {
        self.enable.then_some(self.header_value.as_str())
    }
}

/// `[csp]`.
#[derive(Debug, Clone)]
pub struct CspSettings {
    /// For `/_utils`.
    pub utils: CspRule,
    pub attachments: CspRule,
    /// For shows and lists.
    pub showlist: CspRule,
}

impl CspSettings {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let mut section = reader.section(&["csp"]);
        // Before 3.2 there was only a policy for `/_utils`, under names without its prefix.
        let enable = section.boolean("enable", true);
        let value = section.text_or("header_value", UTILS_POLICY);
        Self {
            utils: CspRule {
                enable: section.boolean("utils_enable", enable),
                header_value: section.text_or("utils_header_value", &value),
            },
            attachments: rule(&mut section, "attachments_enable", "attachments_header_value"),
            showlist: rule(&mut section, "showlist_enable", "showlist_header_value"),
        }
    }
}

fn rule(section: &mut Section<'_>, enable: &str, value: &str) -> CspRule {
    CspRule {
        enable: section.boolean(enable, true),
        header_value: section.text_or(value, "sandbox"),
    }
}
