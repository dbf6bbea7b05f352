//! `[couchdb]`: identity, limits of documents and default security.

use std::time::Duration;

use super::reader::Reader;

/// Who may use a database that nobody gave a `_security` object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DefaultSecurity {
    AdminOnly,
    /// `everyone`, or `admin_local`, which says the same about the public port.
    Everyone,
}

/// What `/_up` answers. Other requests are served in every mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MaintenanceMode {
    Off,
    On,
    NoLoadBalancer,
}

/// How the store's files are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileCompression {
    None,
    /// CouchDB's default: the one that is good for most.
    Snappy,
    /// With its level, 1 to 9.
    Deflate(u8),
    /// LZ4 or Zstandard for all files, which CouchDB does not have.
    Lz4,
    Zstd,
}

/// `[couchdb]`.
#[derive(Debug, Clone)]
pub struct CouchdbSettings {
    /// The server's stable identity; PouchDB derives its database ids from it.
    pub uuid: Option<String>,
    /// In bytes of the parsed document without attachments.
    pub max_document_size: u64,
    /// In bytes; `None` is infinity.
    pub max_attachment_size: Option<u64>,
    /// In bytes; `None` is infinity.
    pub max_document_id_length: Option<u64>,
    /// In bytes; 0: there is no limit.
    pub max_partition_size: u64,
    pub file_compression: FileCompression,
    pub default_security: DefaultSecurity,
    pub users_db_security_editable: bool,
    pub maintenance_mode: MaintenanceMode,
    /// Up to so many ids, a `_doc_ids` filter looks the documents up instead of scanning.
    pub changes_doc_ids_optimization_threshold: u64,
    /// Whether edits of clients shorten revision trees to `_revs_limit`; replicated ones always do.
    pub stem_interactive_updates: bool,
    /// Whether this node was set up to stand alone.
    pub single_node: bool,
    /// How long a design function may run.
    pub os_process_timeout: Duration,
}

impl CouchdbSettings {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let mut section = reader.section(&["couchdb"]);
        // Both mean the engine that there is; whoever names another is told.
        section.parsed("js_engine", (), "spidermonkey or quickjs", |engine| {
            matches!(engine, "spidermonkey" | "quickjs").then_some(())
        });
        Self {
            uuid: section.text("uuid").map(str::to_owned),
            max_document_size: section.number("max_document_size", 8_000_000, 0..=u64::MAX),
            max_attachment_size: section.limit("max_attachment_size", Some(1 << 30)),
            max_document_id_length: section.limit("max_document_id_length", None),
            max_partition_size: section.number("max_partition_size", 10 << 30, 0..=u64::MAX),
            file_compression: section.parsed(
                "file_compression",
                FileCompression::Snappy,
                "none, snappy, deflate_1 to deflate_9, lz4 or zstd",
                file_compression,
            ),
            default_security: section.parsed(
                "default_security",
                DefaultSecurity::AdminOnly,
                "admin_only, admin_local or everyone",
                default_security,
            ),
            users_db_security_editable: section.boolean("users_db_security_editable", false),
            maintenance_mode: section.parsed(
                "maintenance_mode",
                MaintenanceMode::Off,
                "true, false or nolb",
                maintenance_mode,
            ),
            changes_doc_ids_optimization_threshold: section.number(
                "changes_doc_ids_optimization_threshold",
                1000,
                0..=u64::MAX,
            ),
            stem_interactive_updates: section.boolean("stem_interactive_updates", true),
            single_node: section.boolean("single_node", false),
            os_process_timeout: Duration::from_millis(section.number(
                "os_process_timeout",
                5000,
                1..=u64::from(u32::MAX),
            )),
        }
    }
}

fn default_security(text: &str) -> Option<DefaultSecurity> {
    match text {
        "admin_only" => Some(DefaultSecurity::AdminOnly),
        "everyone" | "admin_local" => Some(DefaultSecurity::Everyone),
        _ => None,
    }
}

fn file_compression(text: &str) -> Option<FileCompression> {
    match text {
        "none" => Some(FileCompression::None),
        "snappy" => Some(FileCompression::Snappy),
        "lz4" => Some(FileCompression::Lz4),
        "zstd" => Some(FileCompression::Zstd),
        text => {
            let level = text.strip_prefix("deflate_")?.parse().ok()?;
            (1..=9).contains(&level).then_some(FileCompression::Deflate(level))
        }
    }
}

fn maintenance_mode(text: &str) -> Option<MaintenanceMode> {
    match text {
        "false" => Some(MaintenanceMode::Off),
        "true" => Some(MaintenanceMode::On),
        "nolb" => Some(MaintenanceMode::NoLoadBalancer),
        _ => None,
    }
}
