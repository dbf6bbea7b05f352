//! What follows the configuration but is no part of a settings snapshot.

use crate::auth::SecurityObject;
use crate::metrics;

use super::{App, log};

impl App {
    /// Has the server obey settings that were changed; called after every change.
    pub fn apply_settings(&self) {
        let settings = self.config.snapshot();
        let security = SecurityObject::default_object(settings.couchdb.default_security);
        self.registry.set_default_security(security.to_json().into_bytes().into());
        let limits = self.registry.limits();
        limits.set_stem_interactive_updates(settings.couchdb.stem_interactive_updates);
        self.views.set_query_server(settings.query_server);
        metrics::set_interval(settings.monitoring.interval_s);
        self.peruser.apply(&settings);
        self.check_disk(&settings.disk_monitor);
        log::set(&settings.log);
        let sandbox = self.functions.sandbox();
        sandbox.set_time_limit(settings.couchdb.os_process_timeout);
        sandbox.set_idle_limit(settings.query_server.os_process_idle_limit);
        for warning in self.config.new_warnings() {
            tracing::warn!("configuration: {warning}");
        }
    }
}
