//! All typed sections together, read in one go.

use std::collections::BTreeMap;

use super::reader::Reader;
use super::{
    AttachmentsSettings, AuthCacheSettings, AuthSettings, ChttpdSettings, ClusterSettings,
    CorsSettings, CouchdbSettings, CspSettings, DiskMonitorSettings, FrameOptions,
    GlobalChangesSettings, JwtSettings, LimitsSettings, LockoutSettings, LogSettings,
    MangoSettings, MonitoringSettings, PasswordsCacheSettings, PeruserSettings, PurgeSettings,
    QueryServerSettings, ReplicatorSettings, SslSettings, UuidsSettings, Values, VhostsSettings,
    Warning, catalogue,
};

/// What the server obeys. A value of this type never changes.
#[derive(Debug, Clone)]
pub struct Settings {
    pub couchdb: CouchdbSettings,
    pub chttpd: ChttpdSettings,
    /// Of `[chttpd]`, too.
    pub limits: LimitsSettings,
    pub ssl: SslSettings,
    pub cluster: ClusterSettings,
    pub cors: CorsSettings,
    /// `[chttpd_auth]`.
    pub auth: AuthSettings,
    /// `[jwt_auth]` and `[jwt_keys]`.
    pub jwt: JwtSettings,
    /// `[chttpd_auth_cache]`.
    pub auth_cache: AuthCacheSettings,
    /// `[chttpd_auth_lockout]`.
    pub lockout: LockoutSettings,
    /// `[couch_passwords_cache]`.
    pub passwords_cache: PasswordsCacheSettings,
    /// `[couch_peruser]`.
    pub peruser: PeruserSettings,
    pub uuids: UuidsSettings,
    pub vhosts: VhostsSettings,
    pub attachments: AttachmentsSettings,
    pub purge: PurgeSettings,
    /// `[query_server_config]`.
    pub query_server: QueryServerSettings,
    pub replicator: ReplicatorSettings,
    pub csp: CspSettings,
    /// `[x_frame_options]`, where `[chttpd] enable_xframe_options` turns it on.
    pub frame_options: FrameOptions,
    pub log: LogSettings,
    pub mango: MangoSettings,
    pub disk_monitor: DiskMonitorSettings,
    pub global_changes: GlobalChangesSettings,
    /// `[prometheus]` and `[stats]`.
    pub monitoring: MonitoringSettings,
    /// `[admins]`: account name to password hash.
    pub admins: BTreeMap<String, String>,
    /// `[vendor]`: what the welcome says of who made the server.
    pub vendor: BTreeMap<String, String>,
    /// Every value that could not be used.
    pub warnings: Vec<Warning>,
}

impl Settings {
    /// Reads all sections; what is missing or unusable has its default.
    pub fn read(values: &Values) -> Self {
        let mut reader = Reader::new(values);
        let mut settings = Self::read_with(&mut reader);
        settings.warnings = reader.into_warnings();
        settings.warnings.extend(catalogue::warnings(values));
        settings
    }

    /// As [`Self::read`], without the warnings.
    pub(super) fn read_with(reader: &mut Reader<'_>) -> Self {
        let section = |name: &str| reader.values().get(name).cloned().unwrap_or_default();
        let (admins, vendor) = (section("admins"), section("vendor"));
        Self {
            couchdb: CouchdbSettings::read(reader),
            chttpd: ChttpdSettings::read(reader),
            limits: LimitsSettings::read(reader),
            ssl: SslSettings::read(reader),
            cluster: ClusterSettings::read(reader),
            cors: CorsSettings::read(reader),
            auth: AuthSettings::read(reader),
            jwt: JwtSettings::read(reader),
            auth_cache: AuthCacheSettings::read(reader),
            lockout: LockoutSettings::read(reader),
            passwords_cache: PasswordsCacheSettings::read(reader),
            peruser: PeruserSettings::read(reader),
            uuids: UuidsSettings::read(reader),
            vhosts: VhostsSettings::read(reader),
            attachments: AttachmentsSettings::read(reader),
            purge: PurgeSettings::read(reader),
            query_server: QueryServerSettings::read(reader),
            replicator: ReplicatorSettings::read(reader),
            csp: CspSettings::read(reader),
            frame_options: FrameOptions::read(reader),
            log: LogSettings::read(reader),
            mango: MangoSettings::read(reader),
            disk_monitor: DiskMonitorSettings::read(reader),
            global_changes: GlobalChangesSettings::read(reader),
            monitoring: MonitoringSettings::read(reader),
            admins,
            vendor,
            warnings: Vec::new(),
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self::read(&Values::new())
    }
}
