//! The ini dialect of CouchDB, reading and editing as pure functions on text.
//!
//! The rules, as CouchDB 3.5 applies them: lines are trimmed; `;` begins a comment at the start of
//! a line or after a space or tab; a section stands alone in its line; key and value part at the
//! first ` = `, or else at the first `=`; an empty value deletes what an earlier file set; all
//! other lines are ignored, and backslashes, quotes and colons mean nothing. Two things are taken
//! from elsewhere: `#` at the start of a line is a comment too, and an indented line without `=`
//! continues the value above it, joined by one space (CouchDB up to 3.3).

/// One setting as a file gives it. `value` is `None` where the file deletes the key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub section: String,
    pub key: String,
    pub value: Option<String>,
}

/// What one line is, once comments and blanks around it are gone.
#[derive(Debug, PartialEq, Eq)]
enum Line<'a> {
    Section(&'a str),
    Entry {
        key: &'a str,
        value: &'a str,
        comment: &'a str,
    },
    /// Only a continuation where a key with a value stands above it.
    Continuation(&'a str),
    Ignored,
}

/// Every setting of a file, in the order of its lines.
pub fn parse(text: &str) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut section = "";
    let mut value_above = false;
    for line in lines(text) {
        match classify(line) {
            Line::Section(name) => {
                section = name;
                value_above = false;
            }
            Line::Entry { key, value, .. } if !section.is_empty() => {
                let value = (!value.is_empty()).then(|| value.to_owned());
                value_above = value.is_some();
                entries.push(Entry { section: section.to_owned(), key: key.to_owned(), value });
            }
            Line::Continuation(more) if value_above => {
                if let Some(value) = entries.last_mut().and_then(|entry| entry.value.as_mut()) {
                    value.push(' ');
                    value.push_str(more);
                }
            }
            Line::Entry { .. } | Line::Continuation(_) | Line::Ignored => {}
        }
    }
    entries
}

/// How an edit leaves a key behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edit<'a> {
    Set(&'a str),
    /// `key =`, which hides the key of an earlier file.
    Hide,
    Remove,
}

/// The text with one key changed. All other sections, keys and comments stay as they are.
pub fn edit(text: &str, section: &str, key: &str, edit: Edit<'_>) -> String {
    let mut new_line = match edit {
        Edit::Set(value) => Some(format!("{key} = {}", value.trim()).trim_end().to_owned()),
        Edit::Hide => Some(format!("{key} =")),
        Edit::Remove => None,
    };
    let mut out: Vec<String> = Vec::new();
    let mut current = "";
    let mut in_edited_value = false;
    // Where a new key goes: behind the last line of its section that says something.
    let mut section_end = None;
    for line in lines(text) {
        let kind = classify(line);
        let edited = matches!(&kind, Line::Entry { key: k, .. } if *k == key && current == section);
        if edited {
            in_edited_value = true;
            if let (Some(new), Line::Entry { comment, .. }) = (new_line.take(), &kind) {
                out.push(format!("{new}{comment}"));
                section_end = Some(out.len());
            }
            continue;
        }
        match kind {
            Line::Continuation(_) if in_edited_value => continue,
            Line::Section(name) => {
                current = name;
                in_edited_value = false;
            }
            Line::Entry { .. } => in_edited_value = false,
            Line::Continuation(_) | Line::Ignored => {}
        }
        out.push(line.to_owned());
        if current == section && !line.trim().is_empty() {
            section_end = Some(out.len());
        }
    }
    if let Some(new) = new_line {
        insert(&mut out, section_end, section, new);
    }
    finish(&out)
}

/// Whether a file that says this section, key and value would be read back as just that.
pub fn round_trips(section: &str, key: &str, value: &str) -> bool {
    let value = value.trim();
    let entries = parse(&format!("[{section}]\n{key} = {value}\n"));
    let kept = (!value.is_empty()).then_some(value);
    match entries.as_slice() {
        [entry] => entry.section == section && entry.key == key && entry.value.as_deref() == kept,
        _ => false,
    }
}

fn insert(out: &mut Vec<String>, section_end: Option<usize>, section: &str, new: String) {
    if let Some(at) = section_end {
        out.insert(at, new);
        return;
    }
    while out.last().is_some_and(|line| line.trim().is_empty()) {
        out.pop();
    }
    if !out.is_empty() {
        out.push(String::new());
    }
    out.push(format!("[{section}]"));
    out.push(new);
}

fn finish(lines: &[String]) -> String {
    let mut text = lines.join("\n");
    let kept = text.trim_end_matches('\n').len();
    text.truncate(kept);
    text.push('\n');
    text
}

fn lines(text: &str) -> impl Iterator<Item = &str> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    text.split(['\n', '\x1a']).flat_map(|line| line.strip_suffix('\r').unwrap_or(line).split('\r'))
}

fn classify(line: &str) -> Line<'_> {
    let indented = line.starts_with([' ', '\t']);
    let line = line.trim();
    if line.starts_with([';', '#']) {
        return Line::Ignored;
    }
    let (line, comment) = split_comment(line);
    if let Some(rest) = line.strip_prefix('[') {
        return match rest.split_once(']') {
            Some((name, "")) if !name.is_empty() => Line::Section(name),
            _ => Line::Ignored,
        };
    }
    match line.split_once(" = ").or_else(|| line.split_once('=')) {
        Some(("", _)) => Line::Ignored,
        Some((key, value)) => Line::Entry { key: key.trim(), value: value.trim(), comment },
        None if indented && !line.is_empty() => Line::Continuation(line),
        None => Line::Ignored,
    }
}

/// What stands before a comment, trimmed, and the comment with the blanks before it.
fn split_comment(line: &str) -> (&str, &str) {
    let begin = [" ;", "\t;"].iter().filter_map(|mark| line.find(mark)).min();
    let (before, _) = line.split_at(begin.unwrap_or(line.len()));
    line.split_at(before.trim_end().len())
}
