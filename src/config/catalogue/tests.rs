//! The catalogue against the typed settings and the documentation.

use super::super::Settings;
use super::super::reader::Reader;
use super::*;

/// Keys of the sections that are read as a whole, and what is read before there are settings.
const READ_ELSEWHERE: [(&str, &str); 3] =
    [("vendor", "name"), ("couchdb", "database_dir"), ("replicator.shares", "_replicator")];

fn all() -> impl Iterator<Item = (&'static Section, &'static Key)> {
    sections().flat_map(|section| section.keys.iter().map(move |key| (section, key)))
}

#[test]
fn each_key_of_couchdb_stands_here_once() {
    let of_couchdb = all().filter(|(_, key)| key.treatment != Treatment::Own);
    assert!(of_couchdb.count() >= 335 - 4, "those of [cors:host] stand in [cors]");
    for (section, key) in all() {
        let same = |other: &&Key| other.name == key.name;
        assert_eq!(section.keys.iter().filter(same).count(), 1, "[{}] {}", section.name, key.name);
        assert_eq!(sections().filter(|other| other.name == section.name).count(), 1);
    }
}

#[test]
fn what_is_honoured_is_read() {
    let values = Values::new();
    let mut reader = Reader::new(&values);
    Settings::read_with(&mut reader);
    let asked = reader.asked.into_inner();
    for (section, key) in all() {
        let honoured = matches!(key.treatment, Treatment::Honoured | Treatment::Own);
        let name = (section.name.to_owned(), key.name.to_owned());
        if honoured && !READ_ELSEWHERE.contains(&(section.name, key.name)) {
            assert!(asked.contains(&name), "nobody reads [{}] {}", section.name, key.name);
        }
    }
    for (section, name) in asked {
        let key = find(&section, &name);
        // Of that one it is only looked whether the value makes sense.
        let said = (section.as_str(), name.as_str()) == ("couchdb", "js_engine")
            || key.is_some_and(|key| matches!(key.treatment, Treatment::Honoured | Treatment::Own));
        assert!(said, "[{section}] {name} is read; say so here");
    }
}

#[test]
fn defaults_are_those_of_the_settings() {
    let default = format!("{:?}", Settings::default());
    for (section, key) in all().filter(|(_, key)| !key.default.is_empty()) {
        let mut values = Values::new();
        let set = values.entry(section.name.to_owned()).or_default();
        set.insert(key.name.to_owned(), key.default.to_owned());
        let settings = Settings::read(&values);
        assert_eq!(settings.warnings, [], "[{}] {}", section.name, key.name);
        if !OLD_NAMES.iter().any(|(old, _)| *old == section.name) {
            assert_eq!(format!("{settings:?}"), default, "[{}] {}", section.name, key.name);
        }
    }
}

#[test]
fn settings_without_an_effect_are_told_of() {
    let check = |section: &str, key: &str, value: &str, expect: Option<Problem>| {
        assert_eq!(problem(section, key, value), expect, "[{section}] {key} = {value}");
    };
    check("chttpd", "prot", "1", Some(Problem::Unknown));
    check("httpd", "max_uri_length", "1", None);
    check("cors:http://a.b", "origins", "*", None);
    check("cors:http://a.b", "origin", "*", Some(Problem::Unknown));
    check("nouveau", "enable", "false", None);
    check("nouveau", "enable", "true", Some(Problem::Missing("full-text search")));
    check("dreyfus", "name", "a@b", Some(Problem::Missing("full-text search")));
    check("os_daemons", "x", "/bin/x", Some(Problem::Missing("programs beside the server")));
    check("vendor", "anything", "x", None);
    check("feature_flags", "partitioned||*", "true", None);
    check("my_section", "anything", "x", None);
}

#[test]
fn secrets_are_known() {
    for (section, key, expect) in [
        ("admins", "bob", true),
        ("jwt_keys", "hmac:a", true),
        ("chttpd_auth", "secret", true),
        ("couch_httpd_auth", "secret", true),
        ("replicator", "password", true),
        ("nouveau", "ssl_password", true),
        ("chttpd_auth", "password_scheme", false),
        ("couchdb", "uuid", false),
    ] {
        assert_eq!(is_secret(section, key), expect, "[{section}] {key}");
    }
}

/// A row of `docs/configuration.md`.
fn row(section: &Section, key: &Key) -> String {
    let default = match key.default.replace('|', "\\|") {
        none if none.is_empty() => String::new(),
        default => format!("`{default}`"),
    };
    format!("| `[{}]` | `{}` | {default} | {} |", section.name, key.name, key.treatment.word())
}

#[test]
fn the_documentation_has_a_row_for_each_key() {
    let page = include_str!("../../../docs/configuration.md");
    let rows: Vec<_> = page.lines().filter(|line| line.starts_with("| `[")).collect();
    let expect: Vec<_> = all().map(|(section, key)| row(section, key)).collect();
    let missing: Vec<_> = expect.iter().filter(|row| !rows.contains(&row.as_str())).collect();
    assert!(missing.is_empty(), "docs/configuration.md lacks: {missing:#?}");
    let stray: Vec<_> = rows.iter().filter(|row| !expect.iter().any(|e| e == *row)).collect();
    assert!(stray.is_empty(), "docs/configuration.md has too much: {stray:#?}");
}
