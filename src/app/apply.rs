//! What follows the configuration but is no part of a settings snapshot.

use crate::auth::SecurityObject;
use crate::config::FileCompression;
use crate::metrics;
use crate::storage::Compression;

use super::{App, log};

impl App {
    /// Has the server obey settings that were changed; called after every change.
    pub fn apply_settings(&self) {
        let settings = self.config.snapshot();
        let security = SecurityObject::default_object(settings.couchdb.default_security);
        self.registry.set_default_security(security.to_json().into_bytes().into());
        let limits = self.registry.limits();
        limits.set_stem_interactive_updates(settings.couchdb.stem_interactive_updates);
        limits.set_max_partition_size(settings.couchdb.max_partition_size);
        self.set_compression(settings.couchdb.file_compression);
        self.registry.keep_untold_events(settings.global_changes.update_db);
        self.views.set_query_server(settings.query_server);
        metrics::set_interval(settings.monitoring.interval_s);
        self.peruser.apply(&settings);
        self.check_disk(&settings.disk_monitor);
        log::set(&settings.log);
        let sandbox = self.functions.sandbox();
        sandbox.set_time_limit(settings.couchdb.os_process_timeout);
        sandbox.set_idle_limit(settings.query_server.os_process_idle_limit);
        let limit = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        sandbox.set_instance_limits(
            limit(settings.query_server.os_process_limit),
            limit(settings.query_server.os_process_soft_limit),
        );
        for warning in self.config.new_warnings() {
            tracing::warn!("configuration: {warning}");
        }
    }

    fn set_compression(&self, wanted: FileCompression) {
        let compression = match wanted {
            FileCompression::None => Compression::None,
            FileCompression::Snappy => Compression::Mixed,
            // Zstandard takes the place of deflate, at about the same levels.
            FileCompression::Deflate(level) => Compression::Zstd(Some(level)),
            FileCompression::Lz4 => Compression::Lz4,
            FileCompression::Zstd => Compression::Zstd(None),
        };
        if let Err(error) = self.registry.set_compression(compression) {
            tracing::error!(%error, "the compression of files was not changed");
        }
    }
}
