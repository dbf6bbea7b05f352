//! CouchDB's configuration: ini files read as they are, the live store behind
//! `/_node/_local/_config`, and one typed struct a section for everybody who obeys it.
//!
//! Stands on nothing else of the crate and knows no HTTP. A reader takes a [`Settings`] snapshot;
//! a snapshot never changes, a new one is made once per change. A bad value never stops the
//! server: the default holds and a [`Warning`] says so.

mod attachments;
mod auth;
mod auth_cache;
mod authentication_handlers;
pub mod catalogue;
mod chttpd;
mod cluster;
mod cors;
mod couchdb;
mod csp;
mod disk_monitor;
mod effective;
mod error;
mod files;
mod frame_options;
mod global_changes;
mod ini;
mod jwt;
mod limits;
mod lockout;
mod log;
mod mango;
mod monitoring;
mod password_rules;
mod passwords_cache;
mod persist;
mod peruser;
mod purge;
mod query_server;
mod reader;
mod replicator;
mod settings;
mod socket_options;
mod ssl;
mod store;
#[cfg(test)]
mod tests;
mod uuids;
mod vhosts;
mod whitelist;

pub use attachments::AttachmentsSettings;
pub use auth::{AuthSettings, HashAlgorithm, PasswordScheme, ProxySettings, SameSite};
pub use auth_cache::AuthCacheSettings;
pub use authentication_handlers::AuthenticationHandler;
pub use chttpd::ChttpdSettings;
pub use cluster::ClusterSettings;
pub use cors::{CorsPolicy, CorsSettings};
pub use couchdb::{CouchdbSettings, DefaultSecurity, FileCompression, MaintenanceMode};
pub use csp::{CspRule, CspSettings};
pub use disk_monitor::DiskMonitorSettings;
pub use effective::{Effective, Origin, Sources, database_dir, effective, without_credentials};
pub use error::ConfigError;
pub use frame_options::FrameOptions;
pub use global_changes::GlobalChangesSettings;
pub use jwt::{JwksSettings, JwtSettings, RequiredClaim, RolesClaim};
pub use limits::LimitsSettings;
pub use lockout::{LockoutMode, LockoutSettings};
pub use log::{LogBuffer, LogFormat, LogLevel, LogSettings, LogWriter, SyslogSettings};
pub use mango::MangoSettings;
pub use monitoring::MonitoringSettings;
pub use password_rules::{PasswordRule, PasswordRules};
pub use passwords_cache::PasswordsCacheSettings;
pub use peruser::PeruserSettings;
pub use purge::PurgeSettings;
pub use query_server::{QueryServerSettings, ReduceLimit};
pub use reader::{Problem, Warning};
pub use replicator::{ClientTls, ReplicatorSettings, SharesSettings, ValidProtocols};
pub use settings::Settings;
pub use socket_options::SocketOptions;
pub use ssl::{SslSettings, TlsVersion};
pub use store::{Config, Override, Persist, Values, is_password_hash};
pub use uuids::{UuidAlgorithm, UuidsSettings};
pub use vhosts::{VhostMatch, VhostsSettings};
pub use whitelist::ConfigWhitelist;
