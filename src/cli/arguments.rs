//! What can be said on the command line and in the environment.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::app::{StartOptions, Storage};
use crate::config::{self, ConfigError, LogFormat, LogLevel, LogSettings, Override, Settings};

use super::config_show::Show;
use super::export::Export;
use super::import::Import;
use super::store::{Backup, Compact, Restore, Verify};

/// A CouchDB-compatible replicating document database server.
#[derive(Debug, Parser)]
#[command(name = "settee", version, arg_required_else_help = true)]
pub struct Settee {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start the server
    Serve(Box<Serve>),
    /// Ask a running server whether it is up; for containers and scripts
    Health(Health),
    /// Back a server up while it runs, or while it does not
    Backup(Backup),
    /// Make a data folder out of a backup
    Restore(Restore),
    /// Check every record of a data folder or of a backup
    Verify(Verify),
    /// Reclaim the space of what is deleted or replaced
    Compact(Compact),
    /// Write a database of a server to a file of JSON lines
    Export(Export),
    /// Bring a file of documents, or another server's database, into a database
    Import(Import),
    /// Look at the configuration
    #[command(subcommand)]
    Config(ConfigCommand),
}

/// `settee health`.
#[derive(Debug, Args)]
pub struct Health {
    /// Address where the server listens [default: 127.0.0.1]
    #[arg(long, value_name = "ADDR", env = "SETTEE_BIND", value_parser = bind_address)]
    bind: Option<IpAddr>,
    /// Port where the server listens
    #[arg(long, value_name = "N", env = "SETTEE_PORT", default_value = "5984")]
    port: u16,
}

impl Health {
    /// Where to ask.
    pub fn address(&self) -> SocketAddr {
        let address = match self.bind {
            Some(IpAddr::V6(any)) if any.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            Some(address) if !address.is_unspecified() => address,
            _ => Ipv4Addr::LOCALHOST.into(),
        };
        SocketAddr::new(address, self.port)
    }
}

#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Show every setting, where it comes from, and what is wrong
    Show(Box<Show>),
}

/// The data folder that a command is about.
#[derive(Debug, Args)]
pub struct DataDir {
    /// Folder of databases and local.ini [default: database_dir of --config, or ./data]
    #[arg(long, value_name = "DIR", env = "SETTEE_DATA_DIR")]
    data_dir: Option<PathBuf>,
    /// An ini file, or a folder of them such as CouchDB's etc, to read before the data folder's
    /// local.ini; may be given several times
    #[arg(long, value_name = "FILE.ini|DIR", env = "SETTEE_CONFIG", value_delimiter = ',')]
    config: Vec<PathBuf>,
}

impl DataDir {
    /// The folder.
    ///
    /// # Errors
    /// Where a configuration file cannot be read.
    pub fn folder(&self) -> Result<PathBuf, ConfigError> {
        let folder = match &self.data_dir {
            Some(folder) => Some(folder.clone()),
            None => config::database_dir(&self.config)?,
        };
        Ok(folder.unwrap_or_else(|| PathBuf::from("./data")))
    }
}

/// `settee serve`.
#[derive(Debug, Args)]
pub struct Serve {
    #[command(flatten)]
    data: DataDir,
    /// Address to listen at: an IP address, `localhost` or `any` [default: 127.0.0.1]
    #[arg(long, value_name = "ADDR", env = "SETTEE_BIND", value_parser = bind_address)]
    pub bind: Option<IpAddr>,
    /// Port to listen at; 0 picks a free one [default: 5984]
    #[arg(long, value_name = "N", env = "SETTEE_PORT")]
    pub port: Option<u16>,
    /// A server admin's account
    #[arg(long, value_name = "NAME:PASSWORD", env = "SETTEE_ADMIN", hide_env_values = true)]
    pub admin: Option<Admin>,
    /// Where databases are kept
    #[arg(long, value_name = "KIND", env = "SETTEE_STORAGE", default_value = "rocksdb")]
    pub storage: StorageKind,
    /// How much is logged: debug, info, notice, warning, error ... none [default: info]
    #[arg(long, value_name = "LEVEL", env = "SETTEE_LOG_LEVEL", value_parser = log_level)]
    pub log_level: Option<Level>,
    /// Form of the log: text, or json for an object a line [default: text]
    #[arg(long, value_name = "FORMAT", env = "SETTEE_LOG_FORMAT", value_parser = log_format)]
    pub log_format: Option<String>,
    /// Certificate chain in PEM: the server speaks HTTPS too
    #[arg(long, value_name = "FILE", env = "SETTEE_TLS_CERT", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// Private key of the certificate in PEM
    #[arg(long, value_name = "FILE", env = "SETTEE_TLS_KEY", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// Port of HTTPS; 0 picks a free one [default: 6984]
    #[arg(long, value_name = "N", env = "SETTEE_TLS_PORT")]
    pub tls_port: Option<u16>,
    /// As CouchDB's containers have it
    #[arg(long, hide = true, env = "COUCHDB_USER", requires = "couchdb_password")]
    couchdb_user: Option<String>,
    #[arg(long, hide = true, env = "COUCHDB_PASSWORD", requires = "couchdb_user")]
    couchdb_password: Option<String>,
    /// What session cookies are signed with
    #[arg(long, hide = true, env = "COUCHDB_SECRET", hide_env_values = true)]
    couchdb_secret: Option<String>,
    /// What the node is called, or its host
    #[arg(long, hide = true, env = "NODENAME")]
    nodename: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum StorageKind {
    /// On disk
    #[value(name = "rocksdb")]
    RocksDb,
    /// Gone when the server stops
    Memory,
}

/// An account with its clear password.
#[derive(Clone, PartialEq, Eq)]
pub struct Admin {
    name: String,
    password: String,
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admin").field("name", &self.name).finish_non_exhaustive()
    }
}

impl FromStr for Admin {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once(':') {
            Some((name, password)) if !name.is_empty() && !password.is_empty() => {
                Ok(Self { name: name.to_owned(), password: password.to_owned() })
            }
            _ => Err("expected NAME:PASSWORD"),
        }
    }
}

/// A level, and the word for it in the configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Level {
    pub level: LogLevel,
    word: String,
}

fn log_level(text: &str) -> Result<Level, &'static str> {
    let level = LogLevel::parse(text);
    let level = level.ok_or("expected debug, info, notice, warning, error, critical or none")?;
    Ok(Level { level, word: text.to_owned() })
}

fn log_format(text: &str) -> Result<String, &'static str> {
    LogFormat::parse(text).map(|_| text.to_owned()).ok_or("expected text or json")
}

fn bind_address(text: &str) -> Result<IpAddr, &'static str> {
    match text {
        "localhost" => Ok(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        "any" => Ok(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
        address => address.parse().map_err(|_| "expected an IP address, localhost or any"),
    }
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

impl Serve {
    /// How to log until the configuration is read.
    pub fn log_settings(&self) -> LogSettings {
        let mut settings = Settings::default().log;
        if let Some(given) = &self.log_level {
            settings.level = given.level;
        }
        let format = self.log_format.as_deref().and_then(LogFormat::parse);
        settings.format = format.unwrap_or(settings.format);
        settings
    }

    /// What the app is started with. Flags and variables win over every file.
    ///
    /// # Errors
    /// Where a configuration file cannot be read.
    pub fn start_options(&self) -> Result<StartOptions, ConfigError> {
        let mut overrides = Vec::new();
        let mut set = |section: &str, key: &str, value: Option<String>| {
            overrides.extend(value.map(|value| Override::new(section, key, value)));
        };
        set("couchdb", "database_dir", self.data.data_dir.as_deref().map(text));
        set("chttpd", "bind_address", self.bind.map(|address| address.to_string()));
        set("chttpd", "port", self.port.map(|port| port.to_string()));
        set("log", "level", self.log_level.as_ref().map(|level| level.word.clone()));
        set("log", "format", self.log_format.clone());
        let tls = self.tls_cert.is_some().then(|| "true".to_owned());
        set("ssl", "enable", tls);
        set("ssl", "cert_file", self.tls_cert.as_deref().map(text));
        set("ssl", "key_file", self.tls_key.as_deref().map(text));
        set("ssl", "port", self.tls_port.map(|port| port.to_string()));
        set("chttpd_auth", "secret", self.couchdb_secret.clone());
        let couchdb = self.couchdb_user.clone().zip(self.couchdb_password.clone());
        let couchdb = couchdb.map(|(name, password)| Admin { name, password });
        if let Some(Admin { name, password }) = self.admin.clone().or(couchdb) {
            set("admins", &name, Some(password));
        }
        Ok(StartOptions {
            data_dir: self.data.folder()?,
            config_files: self.data.config.clone(),
            overrides,
            node_name: self.nodename.clone().filter(|name| !name.is_empty()),
            storage: match self.storage {
                StorageKind::RocksDb => Storage::RocksDb,
                StorageKind::Memory => Storage::Memory,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &str) -> Result<Serve, String> {
        let words = ["settee", "serve"].into_iter().chain(arguments.split_whitespace());
        match Settee::try_parse_from(words) {
            Ok(Settee { command: Command::Serve(serve) }) => Ok(*serve),
            Ok(other) => Err(format!("{other:?}")),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn flags_become_settings() {
        let check = |arguments: &str, expect: &[(&str, &str, &str)]| {
            let options = parse(arguments).unwrap().start_options().unwrap();
            let expect =
                expect.iter().map(|(section, key, value)| Override::new(*section, *key, *value));
            assert_eq!(options.overrides, expect.collect::<Vec<_>>(), "{arguments}");
        };
        check("", &[]);
        check("--data-dir d", &[("couchdb", "database_dir", "d")]);
        check("--port 0", &[("chttpd", "port", "0")]);
        check("--bind any", &[("chttpd", "bind_address", "0.0.0.0")]);
        check("--bind ::1", &[("chttpd", "bind_address", "::1")]);
        check("--log-format json", &[("log", "format", "json")]);
        check("--log-level warning", &[("log", "level", "warning")]);
        check("--admin bob:a:b", &[("admins", "bob", "a:b")]);
        check("--couchdb-user u --couchdb-password p", &[("admins", "u", "p")]);
        check("--admin a:b --couchdb-user u --couchdb-password p", &[("admins", "a", "b")]);
        check("--couchdb-secret s", &[("chttpd_auth", "secret", "s")]);
        check(
            "--tls-cert c.pem --tls-key k.pem --tls-port 0",
            &[
                ("ssl", "enable", "true"),
                ("ssl", "cert_file", "c.pem"),
                ("ssl", "key_file", "k.pem"),
                ("ssl", "port", "0"),
            ],
        );
    }

    #[test]
    fn where_health_is_asked() {
        let check = |arguments: &str, expect: &str| {
            let words = ["settee", "health"].into_iter().chain(arguments.split_whitespace());
            let Command::Health(health) = Settee::try_parse_from(words).unwrap().command else {
                panic!("`{arguments}` asks for something else")
            };
            assert_eq!(health.address().to_string(), expect);
        };
        check("", "127.0.0.1:5984");
        check("--bind any --port 80", "127.0.0.1:80");
        check("--bind ::", "[::1]:5984");
        check("--bind 10.0.0.1", "10.0.0.1:5984");
    }

    #[test]
    fn the_rest() {
        let options = parse("--storage memory --data-dir d --config a.ini --config b.ini").unwrap();
        let options = options.start_options().unwrap();
        assert_eq!(options.storage, Storage::Memory);
        assert_eq!(options.config_files, [PathBuf::from("a.ini"), PathBuf::from("b.ini")]);
        assert_eq!(parse("").unwrap().start_options().unwrap().storage, Storage::RocksDb);
    }

    #[test]
    fn where_data_lies() {
        let folder = tempfile::tempdir().unwrap();
        let ini = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        let a = ini("a.ini", "[couchdb]\ndatabase_dir = /a\n");
        let b = ini("b.ini", "[couchdb]\ndatabase_dir = b\n");
        let none = ini("none.ini", "[couchdb]\ndatabase_dir =\n");
        for (arguments, expect) in [
            (String::new(), "./data"),
            (format!("--config {a}"), "/a"),
            (format!("--config {a} --config {b}"), "b"),
            (format!("--config {a} --config {none}"), "./data"),
            (format!("--config {a} --data-dir d"), "d"),
        ] {
            let found = parse(&arguments).unwrap().start_options().unwrap().data_dir;
            assert_eq!(found, PathBuf::from(expect), "{arguments}");
        }
        assert!(parse("--config none/such.ini").unwrap().start_options().is_err());
    }

    #[test]
    fn what_is_refused() {
        for arguments in [
            "--port 65536",
            "--bind example.com",
            "--admin bob",
            "--admin :x",
            "--admin bob:",
            "--storage disk",
            "--log-level loud",
            "--log-format xml",
            "--couchdb-user u",
            "--tls-cert c.pem",
            "extra",
        ] {
            assert!(parse(arguments).is_err(), "{arguments}");
        }
    }

    #[test]
    fn passwords_are_not_shown() {
        let shown = format!("{:?}", parse("--admin bob:hidden-word").unwrap().admin);
        assert!(shown.contains("bob") && !shown.contains("hidden-word"), "{shown}");
    }
}
