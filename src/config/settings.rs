//! All typed sections together, read in one go.

use std::collections::BTreeMap;

use super::reader::Reader;
use super::{
    AttachmentsSettings, AuthSettings, ChttpdSettings, CorsSettings, CouchdbSettings, CspSettings,
    LockoutSettings, LogSettings, PasswordsCacheSettings, PurgeSettings, QueryServerSettings,
    ReplicatorSettings, UuidsSettings, Values, VhostsSettings, Warning,
};

/// What the server obeys. A value of this type never changes.
#[derive(Debug, Clone)]
pub struct Settings {
    pub couchdb: CouchdbSettings,
    pub chttpd: ChttpdSettings,
    pub cors: CorsSettings,
    /// `[chttpd_auth]`.
    pub auth: AuthSettings,
    /// `[chttpd_auth_lockout]`.
    pub lockout: LockoutSettings,
    /// `[couch_passwords_cache]`.
    pub passwords_cache: PasswordsCacheSettings,
    pub uuids: UuidsSettings,
    pub vhosts: VhostsSettings,
    pub attachments: AttachmentsSettings,
    pub purge: PurgeSettings,
    /// `[query_server_config]`.
    pub query_server: QueryServerSettings,
    pub replicator: ReplicatorSettings,
    pub csp: CspSettings,
    pub log: LogSettings,
    /// `[admins]`: account name to password hash.
    pub admins: BTreeMap<String, String>,
    /// `[vendor] name`, if an ini file gives one.
    pub vendor_name: Option<String>,
    /// Every value that could not be used.
    pub warnings: Vec<Warning>,
}

impl Settings {
    /// Reads all sections; what is missing or unusable has its default.
    pub fn read(values: &Values) -> Self {
        let mut reader = Reader::new(values);
        Self {
            couchdb: CouchdbSettings::read(&mut reader),
            chttpd: ChttpdSettings::read(&mut reader),
            cors: CorsSettings::read(&mut reader),
            auth: AuthSettings::read(&mut reader),
            lockout: LockoutSettings::read(&mut reader),
            passwords_cache: PasswordsCacheSettings::read(&mut reader),
            uuids: UuidsSettings::read(&mut reader),
            vhosts: VhostsSettings::read(&mut reader),
            attachments: AttachmentsSettings::read(&mut reader),
            purge: PurgeSettings::read(&mut reader),
            query_server: QueryServerSettings::read(&mut reader),
            replicator: ReplicatorSettings::read(&mut reader),
            csp: CspSettings::read(&mut reader),
            log: LogSettings::read(&mut reader),
            admins: values.get("admins").cloned().unwrap_or_default(),
            vendor_name: reader.section(&["vendor"]).text("name").map(str::to_owned),
            warnings: reader.into_warnings(),
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self::read(&Values::new())
    }
}
