//! Any text is a configuration file, and a setting that is written into one is read from it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use settee_fuzz::ini::{Edit, edit, parse, round_trips};

fuzz_target!(|data: &str| {
    let _ = parse(data);
    let mut words = data.split('\u{1}');
    let (Some(section), Some(key), Some(value)) = (words.next(), words.next(), words.next()) else {
        return;
    };
    let file = words.next().unwrap_or(data);
    if !round_trips(section, key, value) || value.trim().is_empty() {
        return;
    }
    let edited = edit(file, section, key, Edit::Set(value));
    let entries = parse(&edited);
    let found = entries.iter().rev().find(|entry| entry.section == section && entry.key == key);
    let found = found.expect("the setting is there").value.as_deref();
    assert_eq!(found, Some(value.trim()));
    // Everything else is as it was.
    let others = |entries: &[settee_fuzz::ini::Entry]| -> Vec<_> {
        let other = entries.iter().filter(|e| e.section != section || e.key != key);
        other.cloned().collect()
    };
    assert_eq!(others(&entries), others(&parse(file)));
    let removed = parse(&edit(&edited, section, key, Edit::Remove));
    assert_eq!(others(&removed), others(&entries));
});
