//! `[chttpd]`: the HTTP server. A key that it lacks is looked for in `[httpd]`, its old name.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::reader::Reader;
use super::{AuthenticationHandler, ConfigWhitelist, SocketOptions};

const PREFER_MINIMAL: [&str; 8] = [
    "Cache-Control",
    "Content-Length",
    "Content-Range",
    "Content-Type",
    "ETag",
    "Server",
    "Transfer-Encoding",
    "Vary",
];

const SOCKET_OPTIONS: SocketOptions =
    SocketOptions { nodelay: true, keepalive: false, sndbuf: Some(262_144), recbuf: None };
const VHOST_GLOBAL_HANDLERS: [&str; 4] = ["_utils", "_uuids", "_session", "_users"];
/// Each rewrite nests the work on a request deeper.
const REWRITES_MAX: u64 = 1000;

/// `[chttpd]`.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is an ini key of its own")]
pub struct ChttpdSettings {
    pub port: u16,
    pub bind_address: IpAddr,
    /// Of connections.
    pub socket_options: SocketOptions,
    /// Who is asked who sends a request, one after the other.
    pub authentication_handlers: Vec<AuthenticationHandler>,
    /// Refuse anonymous requests.
    pub require_valid_user: bool,
    /// Refuse anonymous requests except for `/_up`.
    pub require_valid_user_except_for_up: bool,
    /// In bytes.
    pub max_uri_length: u64,
    /// In bytes.
    pub max_http_request_size: u64,
    /// How long a quiet changes feed stays open, in milliseconds; `None` is infinity.
    pub changes_timeout_ms: Option<u64>,
    pub admin_only_all_dbs: bool,
    pub max_db_number_for_dbs_info_req: u64,
    pub enable_cors: bool,
    /// Whether the `Server` header says more than the bare name.
    pub server_header_versions: bool,
    /// Whether `+` in a path is a space.
    pub decode_plus_to_space: bool,
    /// Whether streamed answers are gathered and sent with their length.
    pub buffer_response: bool,
    /// Headers that an answer to `Prefer: return=minimal` keeps.
    pub prefer_minimal: Vec<String>,
    pub allow_jsonp: bool,
    /// Whether large answers are compressed for clients that take it. CouchDB has no such key.
    pub compress_responses: bool,
    /// Whether functions of design documents are not shown credentials.
    pub scrub_json_request: bool,
    /// Whether rewrite rules may leave their database.
    pub secure_rewrites: bool,
    /// Rewrites of one request.
    pub rewrite_limit: u64,
    /// First path segments that mean the same on every virtual host.
    pub vhost_global_handlers: Vec<String>,
    /// The keys that may be changed over HTTP; `None` where every key may.
    pub config_whitelist: Option<ConfigWhitelist>,
    pub x_forwarded_host: String,
    pub x_forwarded_proto: String,
    pub x_forwarded_ssl: String,
    /// The header in which a trusted proxy names the client's address. CouchDB has no such key.
    pub x_forwarded_for: Option<String>,
    /// The challenge sent with a 401, if one is configured.
    pub www_authenticate: Option<String>,
}

impl ChttpdSettings {
    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        let auth_requires_valid_user =
            reader.section(&["chttpd_auth"]).boolean("require_valid_user", false);
        let authentication_handlers = AuthenticationHandler::read_all(reader);
        // Not from `[httpd]`, which configured the old port of a node for itself.
        let mut section = reader.section(&["chttpd"]);
        let port = section.number("port", 5984, 0..=u16::MAX);
        let bind_address = section.parsed(
            "bind_address",
            IpAddr::V4(Ipv4Addr::LOCALHOST),
            "an IP address, localhost or any",
            bind_address,
        );
        let socket_options = section.parsed(
            "socket_options",
            SOCKET_OPTIONS,
            "a list such as [{sndbuf, 262144}, {nodelay, true}]",
            SocketOptions::parse,
        );
        let mut section = reader.section(&["chttpd", "httpd"]);
        Self {
            port,
            bind_address,
            socket_options,
            authentication_handlers,
            // Releases differ in where they look for it: the stricter reading is the safe one.
            require_valid_user: section.boolean("require_valid_user", false)
                || auth_requires_valid_user,
            require_valid_user_except_for_up: section
                .boolean("require_valid_user_except_for_up", false),
            max_uri_length: section.number("max_uri_length", 8000, 1..=u64::MAX),
            max_http_request_size: section.number("max_http_request_size", 1 << 32, 1..=u64::MAX),
            changes_timeout_ms: section.limit("changes_timeout", Some(60_000)),
            admin_only_all_dbs: section.boolean("admin_only_all_dbs", true),
            max_db_number_for_dbs_info_req: section.number(
                "max_db_number_for_dbs_info_req",
                100,
                0..=u64::MAX,
            ),
            enable_cors: section.boolean("enable_cors", false),
            server_header_versions: section.boolean("server_header_versions", true),
            decode_plus_to_space: section.boolean("decode_plus_to_space", true),
            buffer_response: section.boolean("buffer_response", false),
            prefer_minimal: section.list("prefer_minimal", &PREFER_MINIMAL),
            allow_jsonp: section.boolean("allow_jsonp", false),
            compress_responses: section.boolean("compress_responses", true),
            scrub_json_request: section.boolean("scrub_json_request", true),
            secure_rewrites: section.boolean("secure_rewrites", true),
            rewrite_limit: section.number("rewrite_limit", 100, 0..=REWRITES_MAX),
            vhost_global_handlers: section.list("vhost_global_handlers", &VHOST_GLOBAL_HANDLERS),
            config_whitelist: section.text("config_whitelist").map(ConfigWhitelist::parse),
            x_forwarded_host: section.text_or("x_forwarded_host", "X-Forwarded-Host"),
            x_forwarded_proto: section.text_or("x_forwarded_proto", "X-Forwarded-Proto"),
            x_forwarded_ssl: section.text_or("x_forwarded_ssl", "X-Forwarded-Ssl"),
            x_forwarded_for: section.text("x_forwarded_for").map(str::to_owned),
            www_authenticate: section.text("WWW-Authenticate").map(str::to_owned),
        }
    }
}

pub(super) fn bind_address(text: &str) -> Option<IpAddr> {
    match text {
        "any" => Some(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
        "localhost" => Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        "::" => Some(IpAddr::V6(Ipv6Addr::UNSPECIFIED)),
        address => address.parse().ok(),
    }
}
