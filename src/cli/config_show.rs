//! `settee config show`: what holds, key by key, where it comes from, and what is wrong with it.
//! It reads what `settee serve` with the same arguments would read, and writes nothing.

use std::io::{self, Write};

use clap::parser::ValueSource;
use clap::{ArgMatches, Args};
use serde_json::{Map, Value, json};
use thiserror::Error;

use crate::config::catalogue::Treatment;
use crate::config::{self, ConfigError, Effective, Origin, Sources};

use super::arguments::Serve;

/// `settee config show`.
#[derive(Debug, Args)]
pub struct Show {
    #[command(flatten)]
    serve: Serve,
    /// Print a JSON object instead of an ini file
    #[arg(long)]
    json: bool,
    /// Leave out what only has its default
    #[arg(long)]
    changed: bool,
}

/// Why the settings could not be shown.
#[derive(Debug, Error)]
pub enum ShowError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("cannot print the settings: {0}")]
    Print(#[from] io::Error),
}

/// Prints the settings. `matches` are those of the whole command line.
pub fn run(show: &Show, matches: &ArgMatches) -> Result<(), ShowError> {
    let options = show.serve.start_options()?;
    let sources = Sources {
        paths: options.config_files,
        local_ini: Some(options.data_dir.join("local.ini")),
        overrides: options.overrides,
    };
    let (mut settings, warnings) = config::effective(&sources)?;
    if show.changed {
        settings.retain(|setting| setting.origin != Origin::Default);
    }
    let origin = |setting: &Effective| origin(setting, matches);
    let text = if show.json { as_json(&settings, origin) } else { as_ini(&settings, origin) };
    io::stdout().lock().write_all(text.as_bytes())?;
    let mut err = io::stderr().lock();
    for warning in warnings {
        writeln!(err, "settee: {warning}")?;
    }
    Ok(())
}

fn as_ini(settings: &[Effective], origin: impl Fn(&Effective) -> String) -> String {
    let mut lines = Vec::new();
    let mut section = "";
    for setting in settings {
        if setting.section != section {
            section = &setting.section;
            let gap = if lines.is_empty() { "" } else { "\n" };
            lines.push(format!("{gap}[{section}]\n"));
        }
        let line = format!("{} = {}", setting.key, setting.value);
        let remark = match remark(setting.treatment) {
            Some(remark) => format!("{}, {remark}", origin(setting)),
            None => origin(setting),
        };
        lines.push(format!("{:<50} ; {remark}\n", line.trim_end()));
    }
    lines.concat()
}

fn as_json(settings: &[Effective], origin: impl Fn(&Effective) -> String) -> String {
    let mut sections = Map::new();
    for setting in settings {
        let section = sections.entry(setting.section.clone()).or_insert_with(|| json!({}));
        section[&setting.key] = json!({
            "value": setting.value,
            "origin": origin(setting),
            "treatment": setting.treatment.map(Treatment::word),
        });
    }
    format!("{:#}\n", Value::Object(sections))
}

fn origin(setting: &Effective, matches: &ArgMatches) -> String {
    match &setting.origin {
        Origin::Default => "default".to_owned(),
        Origin::File(path) => path.display().to_string(),
        Origin::Override => {
            let arguments: &[&str] = match (setting.section.as_str(), setting.key.as_str()) {
                ("couchdb", "database_dir") => &["data_dir"],
                ("admins", _) => &["admin", "couchdb_user"],
                ("log", "level") => &["log_level"],
                ("log", "format") => &["log_format"],
                ("chttpd", "bind_address") => &["bind"],
                ("chttpd", "port") => &["port"],
                ("chttpd_auth", "secret") => &["couchdb_secret"],
                ("ssl", "enable" | "cert_file") => &["tls_cert"],
                ("ssl", "key_file") => &["tls_key"],
                ("ssl", "port") => &["tls_port"],
                _ => &[],
            };
            given(arguments, matches).to_owned()
        }
    }
}

/// How the first of these arguments was given, in the innermost subcommand.
fn given(arguments: &[&str], mut matches: &ArgMatches) -> &'static str {
    while let Some((_, inner)) = matches.subcommand() {
        matches = inner;
    }
    let mut known = arguments.iter().filter(|id| matches.try_contains_id(id).unwrap_or(false));
    match known.find_map(|id| matches.value_source(id)) {
        Some(ValueSource::EnvVariable) => "environment",
        Some(ValueSource::CommandLine) => "command line",
        _ => "command line or environment",
    }
}

/// What there is to say of a key that does not do what it does in CouchDB.
fn remark(treatment: Option<Treatment>) -> Option<&'static str> {
    match treatment? {
        Treatment::Honoured | Treatment::Own => None,
        Treatment::Accepted | Treatment::Ignored => Some("no effect here"),
        Treatment::Refused(_) => Some("not supported"),
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use clap::CommandFactory as _;

    use super::*;

    fn setting(section: &str, key: &str, value: &str, origin: Origin) -> Effective {
        let treatment = config::catalogue::find(section, key).map(|key| key.treatment);
        let owned = str::to_owned;
        Effective {
            section: owned(section),
            key: owned(key),
            value: owned(value),
            origin,
            treatment,
        }
    }

    #[test]
    fn both_forms() {
        let settings = [
            setting("chttpd", "bind_address", "::", Origin::File(PathBuf::from("/etc/local.ini"))),
            setting("chttpd", "port", "80", Origin::Override),
            setting("ioq", "ratio", "0.01", Origin::Default),
            setting("nouveau", "enable", "true", Origin::Override),
        ];
        let words = ["settee", "config", "show", "--port", "80"];
        let matches = super::super::Settee::command().try_get_matches_from(words).unwrap();
        let text = as_ini(&settings, |setting| origin(setting, &matches));
        let lines: Vec<_> =
            text.lines().map(|l| l.split_whitespace().collect::<Vec<_>>()).collect();
        let lines: Vec<_> = lines.iter().map(|words| words.join(" ")).collect();
        let expect = [
            "[chttpd]",
            "bind_address = :: ; /etc/local.ini",
            "port = 80 ; command line",
            "",
            "[ioq]",
            "ratio = 0.01 ; default, no effect here",
            "",
            "[nouveau]",
            "enable = true ; command line or environment, not supported",
        ];
        assert_eq!(lines, expect);
        let json: Value =
            serde_json::from_str(&as_json(&settings, |setting| origin(setting, &matches))).unwrap();
        let expect = json!({"value": "80", "origin": "command line", "treatment": "honoured"});
        assert_eq!(json["chttpd"]["port"], expect);
    }
}
