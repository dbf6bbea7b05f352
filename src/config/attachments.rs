//! `[attachments]`: which attachments are stored compressed.

use super::reader::Reader;

const COMPRESSIBLE_TYPES: [&str; 4] =
    ["text/*", "application/javascript", "application/json", "application/xml"];

/// `[attachments]`.
#[derive(Debug, Clone)]
pub struct AttachmentsSettings {
    /// From 0 (stored as it is) to 9. It is part of what revision ids depend on.
    pub compression_level: u32,
    /// Media types, or `type/*`.
    pub compressible_types: Vec<String>,
}

impl AttachmentsSettings {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let mut section = reader.section(&["attachments"]);
        Self {
            compression_level: section.number("compression_level", 8, 0..=9),
            compressible_types: section.list("compressible_types", &COMPRESSIBLE_TYPES),
        }
    }

    /// Whether an attachment of this type is stored compressed. Parameters do not matter.
    pub fn is_compressible(&self, content_type: &str) -> bool {
        let media_type = content_type.split(';').next().unwrap_or_default().trim();
        let fits = |pattern: &String| match pattern.strip_suffix('*') {
            Some(prefix) => {
                media_type.get(..prefix.len()).is_some_and(|m| m.eq_ignore_ascii_case(prefix))
            }
            None => media_type.eq_ignore_ascii_case(pattern),
        };
        self.compression_level > 0 && self.compressible_types.iter().any(fits)
    }
}
