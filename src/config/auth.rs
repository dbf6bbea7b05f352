//! `[chttpd_auth]`: sessions, password hashing and proxies. A key that it lacks is looked for in
//! `[couch_httpd_auth]`, its old name.

use super::PasswordRules;
use super::reader::{Reader, Section};

/// The database of user accounts where no other is named.
const USERS_DATABASE: &str = "_users";

/// The hash functions CouchDB names in its configuration and in password hashes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HashAlgorithm {
    /// SHA-1.
    Sha,
    Sha224,
    Sha256,
    Sha384,
    Sha512,
}

impl HashAlgorithm {
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "sha" => Some(Self::Sha),
            "sha224" => Some(Self::Sha224),
            "sha256" => Some(Self::Sha256),
            "sha384" => Some(Self::Sha384),
            "sha512" => Some(Self::Sha512),
            _ => None,
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sha => "sha",
            Self::Sha224 => "sha224",
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
        }
    }
}

/// How the passwords of user documents are hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PasswordScheme {
    Pbkdf2,
    /// SHA-1 once, for servers that share their users with a very old one.
    Simple,
    /// What the setting names is no scheme: no password can be set.
    Unknown,
}

/// The `SameSite` attribute of session cookies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SameSite {
    None,
    Lax,
    Strict,
}

/// How a trusted proxy names the user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxySettings {
    /// Whether the proxy must prove itself with a token.
    pub use_secret: bool,
    pub username_header: String,
    pub roles_header: String,
    pub token_header: String,
}

/// `[chttpd_auth]`.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each is an ini key of its own")]
pub struct AuthSettings {
    /// Life of a session, in seconds.
    pub timeout_s: u64,
    /// The key of session cookies; without one there are no sessions.
    pub secret: Option<String>,
    /// Whether a session cookie outlives the browser.
    pub allow_persistent_cookies: bool,
    pub cookie_domain: Option<String>,
    pub same_site: Option<SameSite>,
    /// The first one signs cookies, every one is taken. Never empty.
    pub hash_algorithms: Vec<HashAlgorithm>,
    /// PBKDF2 iterations of new password hashes.
    pub iterations: u32,
    /// Bounds of the iterations that stored hashes may ask for.
    pub min_iterations: u32,
    pub max_iterations: u32,
    /// The hash function of new password hashes.
    pub pbkdf2_prf: HashAlgorithm,
    pub password_scheme: PasswordScheme,
    /// What a new password of a user must look like (`password_regexp`).
    pub password_rules: PasswordRules,
    /// Whether a login replaces a hash that was made with other settings.
    pub upgrade_hash_on_auth: bool,
    /// Members of user documents that everybody who may read the database sees.
    pub public_fields: Vec<String>,
    /// Whether `_all_docs` shows these members, too.
    pub users_db_public: bool,
    /// Whether a user document may have conflicts and its user log in.
    pub allow_conflicted_user_docs: bool,
    pub proxy: ProxySettings,
    /// As configured: `_session` names the database only where an ini file does.
    pub authentication_db: Option<String>,
    /// Where a browser is sent when authentication fails.
    pub authentication_redirect: String,
}

impl AuthSettings {
    /// The database of user accounts.
    #[must_use]
    pub fn users_database(&self) -> &str {
        self.authentication_db.as_deref().unwrap_or(USERS_DATABASE)
    }

    pub(super) fn read(reader: &mut Reader<'_>) -> Self {
        // The old section holds this key in CouchDB's own default.ini, where it must not show.
        let authentication_db =
            reader.section(&["chttpd_auth"]).text("authentication_db").map(str::to_owned);
        let mut section = reader.section(&["chttpd_auth", "couch_httpd_auth"]);
        let prf = "sha, sha224, sha256, sha384 or sha512";
        Self {
            timeout_s: section.number("timeout", 600, 1..=u64::from(u32::MAX)),
            secret: section.text("secret").map(str::to_owned),
            allow_persistent_cookies: section.boolean("allow_persistent_cookies", true),
            cookie_domain: section.text("cookie_domain").map(str::to_owned),
            same_site: section
                .parsed("same_site", None, "none, lax or strict", |text| same_site(text).map(Some)),
            hash_algorithms: hash_algorithms(&mut section),
            iterations: section.number("iterations", 600_000, 1..=u32::MAX),
            min_iterations: section.number("min_iterations", 1, 0..=u32::MAX),
            max_iterations: section.number("max_iterations", 1_000_000_000, 1..=u32::MAX),
            pbkdf2_prf: section.parsed(
                "pbkdf2_prf",
                HashAlgorithm::Sha256,
                prf,
                HashAlgorithm::parse,
            ),
            password_scheme: section.parsed(
                "password_scheme",
                PasswordScheme::Pbkdf2,
                "pbkdf2 or simple",
                |text| Some(password_scheme(text)),
            ),
            password_rules: PasswordRules::read(section.text("password_regexp")),
            upgrade_hash_on_auth: section.boolean("upgrade_hash_on_auth", true),
            public_fields: section.list("public_fields", &[]),
            users_db_public: section.boolean("users_db_public", false),
            allow_conflicted_user_docs: section.boolean("allow_conflicted_user_docs", false),
            proxy: ProxySettings {
                use_secret: section.boolean("proxy_use_secret", false),
                username_header: section.text_or("x_auth_username", "X-Auth-CouchDB-UserName"),
                roles_header: section.text_or("x_auth_roles", "X-Auth-CouchDB-Roles"),
                token_header: section.text_or("x_auth_token", "X-Auth-CouchDB-Token"),
            },
            authentication_db,
            authentication_redirect: section
                .text_or("authentication_redirect", "/_utils/session.html"),
        }
    }
}

fn password_scheme(text: &str) -> PasswordScheme {
    match text {
        "pbkdf2" => PasswordScheme::Pbkdf2,
        "simple" => PasswordScheme::Simple,
        _ => PasswordScheme::Unknown,
    }
}

fn same_site(text: &str) -> Option<SameSite> {
    match text.to_ascii_lowercase().as_str() {
        "none" => Some(SameSite::None),
        "lax" => Some(SameSite::Lax),
        "strict" => Some(SameSite::Strict),
        _ => None,
    }
}

/// Unknown names are skipped with a warning, as one file may serve servers of several releases.
fn hash_algorithms(section: &mut Section<'_>) -> Vec<HashAlgorithm> {
    let names = section.list("hash_algorithms", &[]);
    let known: Vec<_> = names.iter().filter_map(|name| HashAlgorithm::parse(name)).collect();
    if known.len() < names.len() {
        section.warn("chttpd_auth", "hash_algorithms", "a list of sha, sha224 ... sha512");
    }
    if known.is_empty() { vec![HashAlgorithm::Sha256, HashAlgorithm::Sha] } else { known }
}
