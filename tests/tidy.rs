//! Holds the house rules: the order of the layers, sizes, headers, names and words.
//!
//! Each rule is a function from a source text to complaints, tested on small texts at the end of
//! this file, and a test that applies it to the whole tree. A complaint reads `file:line: what`.
//! Relies on the standard library alone; a folder that does not exist gives no complaint.

use std::fs;
use std::path::{Path, PathBuf};

use rust::{Token, code_of, end_of_group, functions, imports, text_at, tokens};

#[path = "tidy/rust.rs"]
mod rust;

/// The modules of `src/`, lowest first. A module imports only from rows above its own.
const LAYERS: [&[&str]; 15] = [
    &["metrics"],
    &["document", "collation", "sandbox", "config"],
    &["auth", "http", "storage"],
    &["design"],
    &["database"],
    &["views"],
    &["mango"],
    &["blocking"],
    &["changes"],
    &["replicator", "users"],
    &["app"],
    &["couch_api", "dashboard"],
    &["server"],
    &["cli"],
    &["main", "lib"],
];

/// Modules that may import less than what stands above them, and what that is.
const NARROWER: [(&str, &[&str]); 1] =
    [("database", &["metrics", "document", "collation", "config", "storage", "design"])];

/// Handlers make one call into the core; what is stored is none of their business.
const FORBIDDEN: [(&str, &str); 1] = [("couch_api", "storage")];

/// Crates that only their owners name.
const OWNED_CRATES: [(&str, &[&str]); 7] = [
    ("rocksdb", &["storage"]),
    ("rquickjs", &["sandbox"]),
    ("boa_engine", &["sandbox"]),
    ("oxc_parser", &["sandbox"]),
    ("wasmtime", &["sandbox"]),
    ("axum", &["couch_api", "dashboard", "server"]),
    ("reqwest", &["http"]),
];

/// Modules without async code.
const SYNCHRONOUS: [&str; 11] = [
    "metrics",
    "document",
    "collation",
    "sandbox",
    "config",
    "auth",
    "storage",
    "design",
    "database",
    "views",
    "mango",
];

const FILE_LINES_MAX: usize = 600;
const FUNCTION_LINES_MAX: usize = 70;
const LINE_CHARACTERS_MAX: usize = 100;

/// A file that may be longer than [`FILE_LINES_MAX`].
struct LongFile {
    path: &'static str,
    #[expect(dead_code, reason = "for the reader")]
    reason: &'static str,
}

/// A function that may be longer than [`FUNCTION_LINES_MAX`].
struct LongFunction {
    path: &'static str,
    name: &'static str,
    #[expect(dead_code, reason = "for the reader")]
    reason: &'static str,
}

/// Only ever shorter: an entry that is not needed any more is a complaint.
const LONG_FILES: &[LongFile] = &[];
const LONG_FUNCTIONS: &[LongFunction] = &[];

/// Names that say nothing about what is inside.
const EMPTY_NAMES: [&str; 3] = ["utils", "helpers", "common"];

/// Put together here, so that this file does not hold them.
const BANNED_WORDS: [&str; 3] = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];
const BANNED_PATHS: [&str; 2] = [concat!("/wo", "rk/"), concat!("/ro", "ot/")];

/// Pages whose links into `docs/` must lead somewhere.
const PAGES: [&str; 2] = ["README.md", "ARCHITECTURE.md"];

/// Folders that are made, fetched or recorded, not written.
const SKIPPED_FOLDERS: [&str; 5] = [".git", "target", "node_modules", "data", "fixtures"];

// The tree.

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// A text file of the tree, by its path from the root.
struct File {
    path: String,
    text: String,
}

/// Text files below `folder`, in order of their paths.
fn files_below(folder: &str) -> Vec<File> {
    let mut paths = Vec::new();
    collect(&root().join(folder), &mut paths);
    paths.sort();
    let texts = paths.into_iter().filter_map(|path| {
        let text = fs::read_to_string(&path).ok()?;
        let path = path.strip_prefix(root()).ok()?.to_str()?.replace('\\', "/");
        Some(File { path, text })
    });
    texts.collect()
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        let skipped = SKIPPED_FOLDERS.iter().any(|name| entry.file_name() == *name);
        match (is_folder, skipped) {
            (true, false) => collect(&entry.path(), found),
            // In a linked work tree `.git` is a file.
            (_, true) => {}
            (false, false) => found.push(entry.path()),
        }
    }
}

fn rust_files() -> Vec<File> {
    let mut files = files_below("");
    files.retain(|file| Path::new(&file.path).extension().is_some_and(|ending| ending == "rs"));
    files
}

/// The source files with the top-level module that each belongs to.
fn modules() -> Vec<(String, File)> {
    let files = rust_files().into_iter();
    files.filter_map(|file| Some((module_of(&file.path)?.to_owned(), file))).collect()
}

fn module_of(path: &str) -> Option<&str> {
    let inside = path.strip_prefix("src/")?;
    Some(inside.split('/').next()?.trim_end_matches(".rs"))
}

/// Applies `rule` to each file and fails with what it complains about.
fn hold(files: &[File], rule: impl Fn(&File) -> Vec<(usize, String)>) {
    let complaints = files.iter().flat_map(|file| {
        rule(file).into_iter().map(|(line, what)| format!("{}:{line}: {what}", file.path))
    });
    fail_with(&complaints.collect::<Vec<_>>());
}

fn fail_with(complaints: &[String]) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

// Layers.

fn layer_of(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

fn may_import(module: &str, wanted: &str) -> bool {
    if module == wanted {
        return true;
    }
    let narrower = NARROWER.iter().find(|(name, _)| *name == module);
    narrower.is_none_or(|(_, allowed)| allowed.contains(&wanted))
        && !FORBIDDEN.contains(&(module, wanted))
        && layer_of(wanted).is_some_and(|below| layer_of(module).is_some_and(|at| below < at))
}

fn import_complaints(module: &str, file: &File) -> Vec<(usize, String)> {
    if layer_of(module).is_none() {
        return vec![(1, format!("`{module}` has no place in the table of layers"))];
    }
    let code = code_of(&file.text);
    let imports = imports(&file.path, &tokens(&code)).into_iter();
    imports
        .filter(|import| !may_import(module, import.text))
        .map(|import| (import.line, format!("`{module}` may not import `{}`", import.text)))
        .collect()
}

fn crate_complaints(module: &str, text: &str) -> Vec<(usize, String)> {
    let code = code_of(text);
    let tokens = tokens(&code);
    let named = tokens.iter().enumerate().filter(|(index, token)| {
        let owner = OWNED_CRATES.iter().find(|(name, _)| *name == token.text);
        let before = index.checked_sub(1).map_or("", |before| text_at(&tokens, before));
        let inside = before == "::" && names_something(&tokens, *index);
        let is_path = text_at(&tokens, index + 1) == "::" && !inside;
        let is_crate = is_path || matches!(before, "use" | "crate");
        is_crate && owner.is_some_and(|(_, owners)| !owners.contains(&module))
    });
    named.map(|(_, token)| (token.line, format!("`{module}` names `{}`", token.text))).collect()
}

/// Whether the `::` before the token follows a name: `a::b`, not `::b`.
fn names_something(tokens: &[Token<'_>], index: usize) -> bool {
    let name = index.checked_sub(2).map_or("", |before| text_at(tokens, before));
    name.starts_with(|c: char| c.is_alphanumeric() || c == '_')
}

fn async_complaints(module: &str, text: &str) -> Vec<(usize, String)> {
    if !SYNCHRONOUS.contains(&module) {
        return Vec::new();
    }
    let code = code_of(text);
    let asynchronous = tokens(&code).into_iter().filter(|t| matches!(t.text, "async" | "await"));
    asynchronous
        .map(|token| (token.line, format!("`{}` in the synchronous `{module}`", token.text)))
        .collect()
}

/// Applies a rule that goes by the module a file belongs to.
fn hold_in_modules(rule: impl Fn(&str, &File) -> Vec<(usize, String)>) {
    let complaints = modules().into_iter().flat_map(|(module, file)| {
        let found = rule(&module, &file).into_iter();
        let located = found.map(|(line, what)| format!("{}:{line}: {what}", file.path));
        located.collect::<Vec<_>>()
    });
    fail_with(&complaints.collect::<Vec<_>>());
}

#[test]
fn modules_import_only_from_below() {
    hold_in_modules(import_complaints);
}

#[test]
fn engines_are_named_only_by_their_owners() {
    hold_in_modules(|module, file| crate_complaints(module, &file.text));
}

#[test]
fn the_core_is_synchronous() {
    hold_in_modules(|module, file| async_complaints(module, &file.text));
}

// Sizes.

#[test]
fn files_are_short() {
    let files = rust_files();
    let excepted = |path: &str| LONG_FILES.iter().any(|long| long.path == path);
    let is_long = |file: &File| file.text.lines().count() > FILE_LINES_MAX;
    let long = files.iter().filter(|file| is_long(file) && !excepted(&file.path));
    let mut complaints: Vec<String> =
        long.map(|file| format!("{}:1: {} lines", file.path, file.text.lines().count())).collect();
    let needed = |path: &str| files.iter().any(|file| file.path == path && is_long(file));
    let stale = LONG_FILES.iter().filter(|long| !needed(long.path));
    complaints.extend(stale.map(|long| format!("{}:1: needs no exception", long.path)));
    fail_with(&complaints);
}

#[test]
fn functions_are_short() {
    let mut complaints = Vec::new();
    let mut needed = Vec::new();
    for file in rust_files() {
        let functions = functions(&file.text).into_iter();
        for (name, line, lines) in functions.filter(|(_, _, lines)| *lines > FUNCTION_LINES_MAX) {
            let exception = |long: &&LongFunction| long.path == file.path && long.name == name;
            match LONG_FUNCTIONS.iter().find(exception) {
                Some(long) => needed.push((long.path, long.name)),
                None => complaints.push(format!("{}:{line}: `{name}`: {lines} lines", file.path)),
            }
        }
    }
    let stale = LONG_FUNCTIONS.iter().filter(|long| !needed.contains(&(long.path, long.name)));
    let stale = stale.map(|long| format!("{}:1: `{}` needs no exception", long.path, long.name));
    complaints.extend(stale);
    fail_with(&complaints);
}

/// Lines with strings, which rustfmt does not break, are measured without them.
fn width_complaints(text: &str) -> Vec<(usize, String)> {
    let code = code_of(text);
    let lines = text.lines().zip(code.lines()).enumerate();
    let wide = lines.filter(|(_, (line, code))| {
        let strings_go = line.contains('"') && !line.trim_start().starts_with("//");
        let kept = |(c, code): &(char, char)| !strings_go || c == code || c.is_whitespace();
        line.chars().zip(code.chars()).filter(kept).count() > LINE_CHARACTERS_MAX
    });
    wide.map(|(index, _)| (index + 1, "more than 100 columns".to_owned())).collect()
}

#[test]
fn lines_are_short() {
    hold(&rust_files(), |file| width_complaints(&file.text));
}

// Headers, names, words.

#[test]
fn files_open_with_a_header() {
    hold(&rust_files(), |file| {
        let header = file.text.starts_with("//!");
        if header { Vec::new() } else { vec![(1, "no `//!` header".to_owned())] }
    });
}

fn has_empty_name(path: &str) -> bool {
    let mut parts = path.trim_end_matches(".rs").split('/');
    parts.any(|part| EMPTY_NAMES.contains(&part))
}

#[test]
fn files_are_named_for_what_they_hold() {
    hold(&rust_files(), |file| {
        let empty = has_empty_name(&file.path);
        if empty { vec![(1, "name the thing itself".to_owned())] } else { Vec::new() }
    });
}

/// `#[allow(..)]` and `#[expect(..)]` without a reason.
fn lint_complaints(text: &str) -> Vec<(usize, String)> {
    let code = code_of(text);
    let tokens = tokens(&code);
    let lints = tokens.iter().enumerate().filter(|(index, token)| {
        let is_attribute = *index > 0
            && matches!(token.text, "allow" | "expect")
            && matches!(text_at(&tokens, index - 1), "[" | ",")
            && text_at(&tokens, index + 1) == "(";
        let inside = index + 1..end_of_group(&tokens, index + 1);
        is_attribute && !tokens[inside].iter().any(|token| token.text == "reason")
    });
    lints.map(|(_, token)| (token.line, format!("`{}` without a reason", token.text))).collect()
}

#[test]
fn lints_are_switched_off_with_a_reason() {
    hold(&rust_files(), |file| lint_complaints(&file.text));
}

fn word_complaints(text: &str) -> Vec<(usize, String)> {
    let mut complaints = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let alone = |at: usize, length: usize| {
            let joins = |c: char| c.is_alphanumeric();
            !line[..at].ends_with(joins) && !line[at + length..].starts_with(joins)
        };
        for word in BANNED_WORDS {
            if line.match_indices(word).any(|(at, _)| alone(at, word.len())) {
                complaints.push((index + 1, format!("`{word}`: do it, or write an issue")));
            }
        }
        // Within a longer path or an address it is not a place on this machine.
        let inside = |c: char| c.is_alphanumeric() || "._-})".contains(c);
        for path in BANNED_PATHS {
            if line.match_indices(path).any(|(at, _)| !line[..at].ends_with(inside)) {
                complaints.push((index + 1, format!("`{path}` is a place on one machine")));
            }
        }
    }
    complaints
}

#[test]
fn no_word_is_left_for_later() {
    let mut files = files_below("");
    files.retain(|file| !file.path.ends_with("lock") && !file.path.ends_with("-lock.json"));
    hold(&files, |file| word_complaints(&file.text));
}

/// The paths below `docs/` that a page names.
fn docs_named(text: &str) -> Vec<(usize, &str)> {
    let lines = text.lines().enumerate();
    let named = lines.flat_map(|(index, line)| {
        let places = line.match_indices("docs/").filter(|(at, _)| {
            !line[..*at].ends_with(|c: char| c.is_alphanumeric() || "_.-/".contains(c))
        });
        places.map(move |(at, _)| {
            let rest = &line[at..];
            let end = rest.find(|c: char| !c.is_alphanumeric() && !"_.-/".contains(c));
            (index + 1, rest[..end.unwrap_or(rest.len())].trim_end_matches('.'))
        })
    });
    named.collect()
}

#[test]
fn docs_that_pages_name_are_there() {
    let files = PAGES.into_iter().filter_map(|page| {
        let text = fs::read_to_string(root().join(page)).ok()?;
        Some(File { path: page.to_owned(), text })
    });
    hold(&files.collect::<Vec<_>>(), |file| {
        let named = docs_named(&file.text).into_iter();
        let missing = named.filter(|(_, path)| !root().join(path).exists());
        missing.map(|(line, path)| (line, format!("no {path}"))).collect()
    });
}

// The rules themselves.

fn check_imports(path: &str, text: &str, expect: &[&str]) {
    let file = File { path: path.to_owned(), text: text.to_owned() };
    let complaints = import_complaints(module_of(path).unwrap_or_default(), &file).into_iter();
    let found: Vec<String> = complaints.map(|(line, what)| format!("{line}: {what}")).collect();
    assert_eq!(found, expect, "{path}: {text}");
}

#[test]
fn imports_against_the_table_are_found() {
    let storage = "src/storage/keys.rs";
    check_imports(storage, "use crate::document::Rev;\nuse super::values;", &[]);
    check_imports(storage, "use crate::{document::{Rev, id}, storage::keys};", &[]);
    let no_database = ["1: `storage` may not import `database`"];
    check_imports(storage, "use crate::database::Registry;", &no_database);
    check_imports(storage, "fn f() -> crate::database::Registry {}", &no_database);
    check_imports(storage, "use super::super::database::x;", &no_database);
    check_imports(storage, "use self::super::super::database::x;", &no_database);
    check_imports(storage, "mod tests { use super::super::keys; }", &[]);
    check_imports(storage, "mod tests { use super::super::super::database; }", &no_database);
    check_imports("src/storage/mod.rs", "use super::database;", &no_database);
    check_imports("src/app.rs", "use super::server;", &["1: `app` may not import `server`"]);
    let text = "use crate::{\n  document::{id, rev},\n  views,\n};";
    check_imports(storage, text, &["3: `storage` may not import `views`"]);
    check_imports(storage, "use crate::*;", &["1: `storage` may not import `*`"]);
    check_imports(
        "src/config/a.rs",
        "use crate::document;",
        &["1: `config` may not import `document`"],
    );
    check_imports(
        "src/database/a.rs",
        "use crate::auth::User;",
        &["1: `database` may not import `auth`"],
    );
    check_imports(
        "src/couch_api/a.rs",
        "use crate::storage::Engine;",
        &["1: `couch_api` may not import `storage`"],
    );
    check_imports(
        "src/main.rs",
        "settee::cli::run(); settee::nothing();",
        &["1: `main` may not import `nothing`"],
    );
    check_imports("src/new/mod.rs", "", &["1: `new` has no place in the table of layers"]);
    check_imports(storage, "// use crate::views;\nlet a = \"crate::views\";", &[]);
    check_imports(storage, "let a = r#\"\"crate::views\"#; let b: &'a str; '\\''; b'\"'", &[]);
}

#[test]
fn engines_and_async_code_are_found() {
    let line = |found: Vec<(usize, String)>| found.into_iter().map(|(line, _)| line).next();
    assert_eq!(line(crate_complaints("views", "\nuse rocksdb::DB;")), Some(2));
    assert_eq!(line(crate_complaints("views", "let a = ::axum::serve();")), Some(1));
    assert_eq!(line(crate_complaints("views", "let a = b::axum::serve();")), None);
    assert_eq!(line(crate_complaints("views", "let a = axum::serve();")), Some(1));
    assert_eq!(line(crate_complaints("storage", "use rocksdb;")), None);
    assert_eq!(line(crate_complaints("http", "use rquickjs as js;")), Some(1));
    assert_eq!(line(async_complaints("views", "\n\nasync fn f() {}")), Some(3));
    assert_eq!(line(async_complaints("views", "a.await")), Some(1));
    assert_eq!(line(async_complaints("changes", "async fn f() {}")), None);
}

#[test]
fn lines_names_lints_and_words_are_judged() {
    assert_eq!(width_complaints(&"x".repeat(100)), []);
    assert_eq!(width_complaints(&format!("\n{}", "é".repeat(101)))[0].0, 2);
    assert_eq!(width_complaints(&format!("f(\"{}\")", "x".repeat(200))), []);
    assert_eq!(width_complaints(&format!("// \"{}\"", "x".repeat(200))).len(), 1);
    assert!(has_empty_name("src/http/utils.rs") && has_empty_name("tests/common/mod.rs"));
    assert!(!has_empty_name("src/http/uncommon.rs"));
    assert_eq!(lint_complaints("#[allow(dead_code)]\nfn f() {}").len(), 1);
    assert_eq!(lint_complaints("#[expect(dead_code, reason = \"x\")]").len(), 0);
    assert_eq!(lint_complaints("#[cfg_attr(test, allow(dead_code))]").len(), 1);
    assert_eq!(lint_complaints("a.expect(b)").len(), 0);
    for (word, found) in [(BANNED_WORDS[0], 1), (BANNED_PATHS[0], 1), ("work/", 0)] {
        assert_eq!(word_complaints(&format!("a {word}: b")).len(), found, "{word}");
        assert_eq!(word_complaints(&format!("http://a{word}a")).len(), 0, "{word}");
    }
    let page = "[a](docs/a-b.md), `docs/c/d.toml`.\nmydocs/e.md and docs/f.md.";
    assert_eq!(docs_named(page), [(1, "docs/a-b.md"), (1, "docs/c/d.toml"), (2, "docs/f.md")]);
}
