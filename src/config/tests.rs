//! The dialect as a table, the store over real files, and the typed settings.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::ini::{self, Edit};
use super::{
    Config, ConfigError, ConfigWhitelist, DefaultSecurity, HashAlgorithm, LockoutMode, LogLevel,
    MaintenanceMode, Override, Persist, Settings, UuidAlgorithm, Values,
};

/// As a distribution ships it, comments, examples and unfilled templates included.
const DEFAULT_INI: &str = r"; Upgrading CouchDB will overwrite this file.
[vendor]
name = The Apache Software Foundation

[couchdb]
uuid = 7f4a0c1d2e3b4f5a8c9d0e1f2a3b4c5d
database_dir = ./data
;util_driver_dir =
os_process_timeout = 5000 ; 5 seconds. for view servers.
; Default security object for databases if not explicitly set
default_security = admin_only
;
; Limit maximum document size.
max_document_size = 8000000 ; bytes
;max_attachment_size = 1073741824

[cluster]
q=2
n=3
; placement = metro-dc-a:2,metro-dc-b:1

[chttpd]
port = 5984
bind_address = 127.0.0.1
socket_options = [{sndbuf, 262144}, {nodelay, true}]
prefer_minimal = Cache-Control, Content-Length, Content-Range, Content-Type, ETag
; authentication_handlers = {chttpd_auth, cookie_authentication_handler}

[jwt_keys]
; hmac:_default = aGVsbG8=
hmac:foo = aGVsbG8=
rsa:foo = -----BEGIN PUBLIC KEY-----\nMIIBIjAN...IDAQAB\n-----END PUBLIC KEY-----\n

[cors]
credentials = false
;origins = *

[cors:http://example.com]
origins = https://app.example.com
max_age = 60

[csp]
;utils_header_value = default-src 'self';
utils_header_value = default-src 'self'; img-src 'self'; font-src *;

[attachments]
compression_level = 8 ; from 1 (lowest, fastest) to 9 (highest, slowest), 0 to disable compression
compressible_types = text/*, application/javascript, application/json, application/xml
";

/// As CouchDB's Docker image ships it.
const DOCKER_LOCAL_INI: &str = "\
; CouchDB Configuration Settings

; Custom settings should be made in this file. They will override settings
; in default.ini, but unlike changes made to default.ini, this file won't be
; overwritten on server upgrade.

[couchdb]
;max_document_size = 4294967296 ; bytes
;os_process_timeout = 5000
single_node=true

[chttpd]
;port = 5984
bind_address = any

; CouchDB can optionally enforce a maximum uri length;
;max_uri_length = 8000

[admins]
;admin = mysecretpassword
admin = -pbkdf2-0a1b,2c3d,10
";

struct Files {
    folder: TempDir,
    files: Vec<PathBuf>,
}

impl Files {
    fn new(texts: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut files = Vec::new();
        for (number, text) in texts.iter().enumerate() {
            let path = folder.path().join(format!("{number}.ini"));
            fs::write(&path, text).unwrap();
            files.push(path);
        }
        Self { folder, files }
    }

    fn local_ini(&self) -> PathBuf {
        self.folder.path().join("data").join("local.ini")
    }

    fn write_local_ini(&self, text: &str) {
        fs::create_dir_all(self.local_ini().parent().unwrap()).unwrap();
        fs::write(self.local_ini(), text).unwrap();
    }

    fn local_text(&self) -> String {
        fs::read_to_string(self.local_ini()).unwrap()
    }

    fn open(&self) -> Config {
        Config::open(&self.files, self.local_ini(), Vec::new()).unwrap()
    }
}

fn settings(text: &str) -> Settings {
    let mut values = Values::new();
    for entry in ini::parse(text) {
        values.entry(entry.section).or_default().insert(entry.key, entry.value.unwrap_or_default());
    }
    Settings::read(&values)
}

fn check_parse(text: &str, expect: &[(&str, &str, Option<&str>)]) {
    let entries = ini::parse(text);
    let found: Vec<_> =
        entries.iter().map(|e| (e.section.as_str(), e.key.as_str(), e.value.as_deref())).collect();
    assert_eq!(found, expect, "{text:?}");
}

#[test]
fn which_lines_say_something() {
    for nothing in [
        "",
        "k",
        "\n",
        "\r\n",
        "[s]",
        "\n[s]\n",
        "k1\nk2",
        "=",
        "==",
        "= =",
        " = ",
        ";",
        " ;",
        "k = v",
        "[s]\n;k = v",
        "[s]\n# k = v",
        "[s\nk=v",
        "s]\nk=v",
        ";[s]\nk = v",
        "[s]\n\t;k = v",
        "[s]\nk ;=v",
        "[]\nk = v",
        "[s] x\nk=v",
        "[s]]\nk=v",
        "[s]\n = v",
    ] {
        check_parse(nothing, &[]);
    }
    for text in [
        "[s]\nk=v",
        "[s]\nk = v",
        "[s]\nk= v",
        "[s]\nk  =v",
        "[s]\n\tk =  v  \r\n",
        "[s]\rk=v",
        "\u{feff}[s]\nk=v",
        "[s]\nk = v ; c",
        "[s]\nk = v\t;c",
        "[s]\nk=v\ngarbage",
        " [s] ; c\nk=v",
    ] {
        check_parse(text, &[("s", "k", Some("v"))]);
    }
}

#[test]
fn where_a_key_ends_and_what_a_value_is() {
    for (line, value) in [
        ("k==v", "=v"),
        ("k=v=", "v="),
        ("k = =v", "=v"),
        ("k=v=v", "v=v"),
        ("k=;", ";"),
        ("k = v;w", "v;w"),
        ("k =;v;", ";v;"),
        ("k = v # no comment", "v # no comment"),
        (r"k = a\nb\\c", r"a\nb\\c"),
        (r#"k = "v""#, r#""v""#),
        ("k = 'v", "'v"),
        ("k = a: b", "a: b"),
        ("k = [{a, 1}]", "[{a, 1}]"),
        ("k = ü", "ü"),
    ] {
        check_parse(&format!("[s]\n{line}"), &[("s", "k", Some(value))]);
    }
    for line in ["k=", "k =", "k = ", "k = ;", "k  =\t;", "k = ; ;", "k = ;v"] {
        check_parse(&format!("[s]\n{line}"), &[("s", "k", None)]);
    }
    check_parse("[s]\nk= = v", &[("s", "k=", Some("v"))]);
    check_parse("[cors:http://a.b]\nhmac:a/b = c", &[("cors:http://a.b", "hmac:a/b", Some("c"))]);
    check_parse(
        "[a]\nx=1\n[b]\ny=2\n[a]\nx=3",
        &[("a", "x", Some("1")), ("b", "y", Some("2")), ("a", "x", Some("3"))],
    );
}

#[test]
fn continuation_lines_join_the_value_above() {
    let check = |text: &str, expect: Option<&str>| {
        let entries = ini::parse(text);
        assert_eq!(entries.first().and_then(|e| e.value.as_deref()), expect, "{text:?}");
    };
    check("[s]\nk = a,\n  b,\n\tc ; end", Some("a, b, c"));
    check("[s]\nk = a\n\n  ; note\n  b", Some("a b"));
    check("[s]\nk = a\nb", Some("a"));
    check("[s]\nk =\n  b", None);
    check("[s]\nk = a\n[t]\n  b", Some("a"));
}

#[test]
fn edits_keep_everything_else() {
    let check = |text: &str, key: &str, edit: Edit<'_>, expect: &str| {
        assert_eq!(ini::edit(text, "s", key, edit), expect, "{text:?} {key} {edit:?}");
    };
    check("", "k", Edit::Set("v"), "[s]\nk = v\n");
    check("; top\n[t]\nk = 1\n\n", "k", Edit::Set("v"), "; top\n[t]\nk = 1\n\n[s]\nk = v\n");
    check(
        "[s]\na = 1 ; one\n\n[t]\nk = 2\n",
        "k",
        Edit::Set("v"),
        "[s]\na = 1 ; one\nk = v\n\n[t]\nk = 2\n",
    );
    check(
        "[s]\n; about k\nk = 1 ; unit\nz = 2\n",
        "k",
        Edit::Set("v"),
        "[s]\n; about k\nk = v ; unit\nz = 2\n",
    );
    check("[s]\nk = 1,\n  2\nz = 2\n  3\n", "k", Edit::Set("v"), "[s]\nk = v\nz = 2\n  3\n");
    check("[s]\nk=1\n[t]\n[s]\nk=2\n", "k", Edit::Set("v"), "[s]\nk = v\n[t]\n[s]\n");
    check("[s]\r\nk=1\r\n;c\r\n", "k", Edit::Hide, "[s]\nk =\n;c\n");
    check("[s]\na=1\nk=1\n", "k", Edit::Remove, "[s]\na=1\n");
    check("[s]\na=1\n", "k", Edit::Remove, "[s]\na=1\n");
    check("[s]\nk=1\n", "k", Edit::Set(""), "[s]\nk =\n");
    check("[s]\n;k = 1\n", "k", Edit::Set(r"a\nb"), "[s]\n;k = 1\nk = a\\nb\n");
}

#[test]
fn later_layers_win() {
    let files = Files::new(&[DEFAULT_INI, DOCKER_LOCAL_INI, "[cluster]\nn =\n[x]\ny = file"]);
    files.write_local_ini("[cluster]\nq = 8\n[x]\ny = local\nz = local\n");
    let overrides = vec![Override::new("x", "y", "flag")];
    let config = Config::open(&files.files, files.local_ini(), overrides).unwrap();
    let check = |section: &str, key: &str, expect: Option<&str>| {
        assert_eq!(config.get(section, key).as_deref(), expect, "{section} {key}");
    };
    check("couchdb", "os_process_timeout", Some("5000"));
    check("couchdb", "single_node", Some("true"));
    check("couchdb", "max_attachment_size", None);
    check("chttpd", "bind_address", Some("any"));
    check("cluster", "q", Some("8"));
    check("cluster", "n", None);
    check("x", "y", Some("flag"));
    check("x", "z", Some("local"));
    check("chttpd", "max_uri_length", None);
    check("jwt_keys", "hmac:foo", Some("aGVsbG8="));
    check(
        "jwt_keys",
        "rsa:foo",
        Some(r"-----BEGIN PUBLIC KEY-----\nMIIBIjAN...IDAQAB\n-----END PUBLIC KEY-----\n"),
    );
    check("csp", "utils_header_value", Some("default-src 'self'; img-src 'self'; font-src *;"));
    assert_eq!(config.beneath_overrides("x", "y").as_deref(), Some("local"));
    assert!(config.section("nope").is_empty());
    assert_eq!(config.all()["admins"]["admin"], "-pbkdf2-0a1b,2c3d,10");
    let settings = config.snapshot();
    assert!(settings.warnings.is_empty(), "{:?}", settings.warnings);
    assert_eq!(settings.chttpd.bind_address.to_string(), "0.0.0.0");
    assert_eq!(settings.couchdb.max_document_size, 8_000_000);
    assert_eq!(settings.attachments.compression_level, 8);
    assert_eq!(settings.vendor["name"], "The Apache Software Foundation");
}

#[test]
fn changes_are_kept_on_disk() {
    let files = Files::new(&["[log]\nlevel = info\n[x]\nk = file\n"]);
    files.write_local_ini("; mine\n[log]\nlevel = debug ; for a while\n\n[y]\nz = 1\n");
    let config = files.open();
    let version = config.version();
    let old = config.set("log", "level", "warning", Persist::Yes).unwrap();
    assert_eq!(old.as_deref(), Some("debug"));
    assert!(config.version() > version);
    assert_eq!(config.snapshot().log.level, LogLevel::Warning);
    assert_eq!(files.local_text(), "; mine\n[log]\nlevel = warning ; for a while\n\n[y]\nz = 1\n");

    assert_eq!(config.set("new", "a/b:c", "v", Persist::Yes).unwrap(), None);
    assert_eq!(config.set("y", "m", "memory", Persist::MemoryOnly).unwrap(), None);
    assert_eq!(config.delete("x", "k", Persist::Yes).unwrap().as_deref(), Some("file"));
    assert_eq!(config.delete("y", "z", Persist::Yes).unwrap().as_deref(), Some("1"));
    assert_eq!(config.delete("y", "z", Persist::Yes).unwrap(), None);
    assert_eq!(config.get("x", "k"), None);
    let text =
        "; mine\n[log]\nlevel = warning ; for a while\n\n[y]\n\n[new]\na/b:c = v\n\n[x]\nk =\n";
    assert_eq!(files.local_text(), text);

    let again = files.open();
    assert_eq!(again.get("x", "k"), None);
    assert_eq!(again.get("new", "a/b:c").as_deref(), Some("v"));
    assert_eq!(again.get("y", "m"), None);
    assert_eq!(fs::read_dir(files.local_ini().parent().unwrap()).unwrap().count(), 1);
}

#[cfg(unix)]
#[test]
fn only_the_owner_may_read_the_file_and_a_link_stays_one() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let files = Files::new(&[]);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    files.write_local_ini("[a]\nb = 1\n");
    fs::set_permissions(files.local_ini(), fs::Permissions::from_mode(0o644)).unwrap();
    files.open().set("a", "b", "2", Persist::Yes).unwrap();
    assert_eq!(mode(&files.local_ini()), 0o600);

    let elsewhere = files.folder.path().join("elsewhere.ini");
    fs::rename(files.local_ini(), &elsewhere).unwrap();
    symlink(&elsewhere, files.local_ini()).unwrap();
    files.open().set("a", "b", "3", Persist::Yes).unwrap();
    assert!(fs::symlink_metadata(files.local_ini()).unwrap().is_symlink());
    assert_eq!(fs::read_to_string(&elsewhere).unwrap(), "[a]\nb = 3\n");
}

#[test]
fn a_failed_write_changes_nothing() {
    let files = Files::new(&["[a]\nb = 1\n"]);
    let config = files.open();
    // A file where the data folder should be.
    fs::write(files.local_ini().parent().unwrap(), "").unwrap();
    let version = config.version();
    let refused = config.set("a", "b", "2", Persist::Yes);
    assert!(matches!(refused, Err(ConfigError::Read { .. } | ConfigError::Write { .. })));
    assert!(config.delete("a", "b", Persist::Yes).is_err());
    assert_eq!(config.get("a", "b").as_deref(), Some("1"));
    assert_eq!(config.version(), version);
    assert_eq!(config.set("a", "b", "2", Persist::MemoryOnly).unwrap().as_deref(), Some("1"));
}

#[test]
fn a_change_by_hand_survives_and_a_reload_forgets_memory() {
    let files = Files::new(&[]);
    let config = files.open();
    config.set("a", "b", "1", Persist::Yes).unwrap();
    config.set("a", "m", "1", Persist::MemoryOnly).unwrap();
    files.write_local_ini("[hand]\nk = v\n[a]\nb = 1\n");
    config.set("a", "b", "2", Persist::Yes).unwrap();
    assert_eq!(files.local_text(), "[hand]\nk = v\n[a]\nb = 2\n");
    config.set("a", "e", "", Persist::Yes).unwrap();
    assert_eq!(config.get("a", "e").as_deref(), Some(""));
    config.reload().unwrap();
    assert_eq!(config.get("hand", "k").as_deref(), Some("v"));
    assert_eq!(config.get("a", "m"), None);
    assert_eq!(config.get("a", "e"), None);
    files.write_local_ini("[a]\nb = \u{e4}");
    fs::write(files.local_ini(), b"[a]\nb = \xe4").unwrap();
    assert!(matches!(config.reload(), Err(ConfigError::NotUtf8 { .. })));
    assert_eq!(config.get("a", "b").as_deref(), Some("2"));
}

#[test]
fn a_key_that_the_file_cannot_hide_is_not_deleted() {
    let config = Files::new(&["[s]\na=b = 1\n"]).open();
    let refused = config.delete("s", "a=b", Persist::Yes);
    assert!(matches!(refused, Err(ConfigError::InvalidKey)));
    assert_eq!(config.delete("s", "a=b", Persist::MemoryOnly).unwrap().as_deref(), Some("1"));
}

#[test]
fn a_missing_file_is_an_error_but_local_ini_is_not() {
    let files = Files::new(&[]);
    let nowhere = files.folder.path().join("nowhere.ini");
    let missing = Config::open(&[nowhere], files.local_ini(), Vec::new());
    assert!(matches!(missing, Err(ConfigError::Read { .. })));
    let shown = files.open().all();
    assert_eq!(shown.into_keys().collect::<Vec<_>>(), ["log"], "what default.ini sets");
}

#[test]
fn what_the_file_cannot_hold_is_refused() {
    let config = Files::new(&[]).open();
    let check = |section: &str, key: &str, value: &str, expect: &str| {
        let refused = config.set(section, key, value, Persist::Yes).unwrap_err();
        assert_eq!(refused.to_string(), format!("Invalid configuration {expect}"), "{key} {value}");
    };
    for section in ["", "s\n", "s\r\n", "s[t", "s]", "s ;x", "x\u{0}"] {
        check(section, "k", "v", "section");
    }
    for key in ["", "k\n", "k]", "[k", ";k", "#k", "a = b", " k", "k\t"] {
        check("s", key, "v", "key");
    }
    for value in ["v\n", "a\rb", "a ;b", "a\t;b", "\u{7f}"] {
        check("s", "k", value, "value");
    }
    check("s", &"k".repeat(2000), "v", "key");
    check("s", "k", &"v".repeat(100_000), "value");
    for (key, value) in
        [("a=b", "v"), ("=k", "v"), ("k", "a;b"), ("k", "[{a, <<\"b\">>}]"), ("ü", "ü\tü")]
    {
        config.set("s", key, value, Persist::Yes).unwrap();
        config.reload().unwrap();
        assert_eq!(config.get("s", key).as_deref(), Some(value));
    }
    // `a=b =` would be read as the key `a`.
    check("s", "a=b", "", "value");
    config.set("s", "m", "a ;b", Persist::MemoryOnly).unwrap();
    assert_eq!(config.get("s", "m").as_deref(), Some("a ;b"));
}

#[test]
fn bad_values_fall_back_with_a_warning() {
    let bad = settings(
        "[chttpd]\nport = {{cluster_port}}\nmax_uri_length = 0\nenable_cors = yes\n\
         [couchdb]\ndefault_security = nobody\nmax_attachment_size = lots\n\
         [chttpd_auth]\nhash_algorithms = md5, sha512\npbkdf2_prf = md5\n[log]\nlevel = loud\n",
    );
    assert_eq!(bad.chttpd.port, 5984);
    assert_eq!(bad.chttpd.max_uri_length, 8000);
    assert!(!bad.chttpd.enable_cors);
    assert_eq!(bad.couchdb.default_security, DefaultSecurity::AdminOnly);
    assert_eq!(bad.couchdb.max_attachment_size, Some(1 << 30));
    assert_eq!(bad.auth.hash_algorithms, [HashAlgorithm::Sha512]);
    assert_eq!(bad.auth.pbkdf2_prf, HashAlgorithm::Sha256);
    let keys: Vec<_> = bad.warnings.iter().map(|warning| warning.key.as_str()).collect();
    assert_eq!(
        keys,
        [
            "max_attachment_size",
            "default_security",
            "port",
            "max_uri_length",
            "enable_cors",
            "hash_algorithms",
            "pbkdf2_prf",
            "level"
        ]
    );
    assert_eq!(
        bad.warnings[2].to_string(),
        "[chttpd] port is not a whole number in its range; the default holds"
    );
}

#[test]
fn old_sections_stand_in() {
    let old = settings(
        "[httpd]\nmax_uri_length = 5\nenable_cors = true\n[chttpd]\nenable_cors = false\n\
         [couch_httpd_auth]\ntimeout = 20\nsecret = old\nauthentication_db = _users\n\
         [chttpd_auth]\nsecret = new\nsame_site = Lax\n\
         [csp]\nenable = false\n",
    );
    assert_eq!(old.chttpd.max_uri_length, 5);
    assert!(!old.chttpd.enable_cors);
    assert_eq!(old.auth.timeout_s, 20);
    assert_eq!(old.auth.secret.as_deref(), Some("new"));
    assert_eq!(old.auth.authentication_db, None);
    assert_eq!(old.csp.utils.header(), None);
    assert_eq!(old.csp.attachments.header(), Some("sandbox"));
    let strict = settings("[chttpd_auth]\nrequire_valid_user = true\n");
    assert!(strict.chttpd.require_valid_user);
}

#[test]
fn typed_values() {
    let typed = settings(
        "[couchdb]\nmax_document_id_length = 10\nmax_attachment_size = infinity\n\
         maintenance_mode = nolb\ndefault_security = admin_local\n\
         [uuids]\nalgorithm = utc_id\nutc_id_suffix = ab\n[chttpd_auth_lockout]\nmode = warn\n\
         [purge]\nmax_revisions_number = 7\n[chttpd]\nprefer_minimal = A, B,\n\
         bind_address = ::\n",
    );
    assert!(typed.warnings.is_empty(), "{:?}", typed.warnings);
    assert_eq!(typed.couchdb.max_document_id_length, Some(10));
    assert_eq!(typed.couchdb.max_attachment_size, None);
    assert_eq!(typed.couchdb.maintenance_mode, MaintenanceMode::NoLoadBalancer);
    assert_eq!(typed.couchdb.default_security, DefaultSecurity::Everyone);
    assert_eq!(typed.uuids.algorithm, UuidAlgorithm::UtcId);
    assert_eq!(typed.lockout.mode, LockoutMode::Warn);
    assert_eq!(typed.purge.max_revisions_number, Some(7));
    assert_eq!(typed.chttpd.prefer_minimal, ["A", "B"]);
    assert_eq!(typed.chttpd.bind_address.to_string(), "::");
    let defaults = Settings::default();
    assert_eq!(defaults.purge.max_revisions_number, None);
    assert_eq!(defaults.auth.iterations, 600_000);
    assert!(defaults.attachments.is_compressible("TEXT/plain; charset=utf-8"));
    assert!(!defaults.attachments.is_compressible("image/png"));
    assert!(
        !settings("[attachments]\ncompression_level = 0").attachments.is_compressible("text/a")
    );
}

#[test]
fn cors_rules_by_host() {
    let cors = settings(&format!("{DEFAULT_INI}[cors:other.org]\ncredentials = true\n")).cors;
    let check = |host: &str, origin: &str, expect: bool| {
        assert_eq!(cors.for_host(host).allows_origin(origin), expect, "{host} {origin}");
    };
    check("example.com", "https://app.example.com", true);
    check("EXAMPLE.com:5984", "https://app.example.com", true);
    check("example.com", "https://APP.example.com", false);
    check("localhost:5984", "https://app.example.com", false);
    assert_eq!(cors.for_host("example.com").max_age_s, 60);
    assert_eq!(cors.for_host("other.org").max_age_s, 600);
    assert!(cors.for_host("other.org").credentials);
    assert_eq!(cors.for_host("[::1]:5984").methods.len(), 9);
    assert!(settings("[cors]\norigins = *\n").cors.for_host("a").allows_origin("http://b"));
}

#[test]
fn whitelists() {
    let check = |text: &str, section: &str, key: &str, expect: bool| {
        assert_eq!(ConfigWhitelist::parse(text).allows(section, key), expect, "{text}");
    };
    let list = r#"[{chttpd, config_whitelist}, {"log","level"}, {<<"cors">>, 'origins'}]."#;
    check(list, "chttpd", "config_whitelist", true);
    check(list, "log", "level", true);
    check(list, "cors", "origins", true);
    check(list, "cors", "methods", false);
    check("[]", "chttpd", "config_whitelist", false);
    for broken in ["", "{a, b}", "[{a, b}", "[{a, b},]", "[{a}]", "[{a, b} {c, d}]", "[a]", "[{\"a"]
    {
        check(broken, "chttpd", "config_whitelist", true);
        check(broken, "a", "b", false);
    }
}

#[test]
fn plain_text_admins_are_found() {
    let config = Config::in_memory(vec![
        Override::new("admins", "a", "-pbkdf2:sha256-00,11,1"),
        Override::new("admins", "b", "-hashed-00,11"),
        Override::new("admins", "c", "-pbkdf2:md5-secret"),
        Override::new("admins", "d", "secret"),
        Override::new("admins", "e", ""),
    ]);
    let plain = config.unwrap().plain_text_admins();
    let names: Vec<_> = plain.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["c", "d"]);
}
