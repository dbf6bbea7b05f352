//! Strings in the order of ICU's root collation: comparison, sort keys, and the data's version.
//!
//! ICU never writes a zero byte into a sort key, so zero can end one (a test walks Unicode).
//! Printable ASCII is compared from a table that is taken from the collator itself.

use std::cmp::Ordering;
use std::sync::LazyLock;

use icu_collator::options::CollatorOptions;
use icu_collator::{CollatorBorrowed, CollatorPreferences};

#[expect(clippy::expect_used, reason = "the root collation is compiled into the program")]
static COLLATOR: LazyLock<CollatorBorrowed<'static>> = LazyLock::new(|| {
    CollatorBorrowed::try_new(CollatorPreferences::default(), CollatorOptions::default())
        .expect("compiled collation data holds the root locale")
});

static ASCII_RANKS: LazyLock<[u8; 256]> = LazyLock::new(ascii_ranks);

static VERSION: LazyLock<String> = LazyLock::new(fingerprint);

/// Compares two strings as CouchDB's views do. `Equal` does not mean identical.
pub fn compare_strings(a: &str, b: &str) -> Ordering {
    if a == b {
        return Ordering::Equal;
    }
    compare_ascii(a.as_bytes(), b.as_bytes()).unwrap_or_else(|| COLLATOR.compare(a, b))
}

/// Appends the sort key of a string, without an end mark. Its bytes are never zero.
pub(super) fn write_sort_key(out: &mut Vec<u8>, text: &str) {
    let Ok(()) = COLLATOR.write_sort_key_to(text, out);
}

/// Names the collation data: differs between two builds whose sort keys differ.
///
/// It is a fingerprint of the keys themselves (one code point in 89), so an index whose signature
/// holds it is rebuilt exactly when an update of the Unicode data could have moved its rows.
pub fn collator_version() -> &'static str {
    &VERSION
}

/// The order of two strings if printable ASCII alone decides it.
///
/// Root collation gives each such character a weight of its own, and only a character outside
/// ASCII can change the weight of the one before it, so looking one byte past the first difference
/// is enough.
fn compare_ascii(a: &[u8], b: &[u8]) -> Option<Ordering> {
    let ranks = &*ASCII_RANKS;
    let rank = |text: &[u8], at: usize| text.get(at).map(|byte| ranks[usize::from(*byte)]);
    let mut case = Ordering::Equal;
    for at in 0.. {
        match (rank(a, at), rank(b, at)) {
            (None, None) => return Some(case),
            (Some(0), _) | (_, Some(0)) => return None,
            (left, right) if left != right => {
                let plain = rank(a, at + 1) != Some(0) && rank(b, at + 1) != Some(0);
                return plain.then(|| left.cmp(&right));
            }
            // Of one letter's two cases the lower, which has the higher byte, stands first.
            _ => case = case.then_with(|| b[at].cmp(&a[at])),
        }
    }
    None
}

/// For each byte its place in the order, cases taken together; 0 where it is not printable ASCII.
fn ascii_ranks() -> [u8; 256] {
    let mut printable: Vec<char> = (' '..='~').filter(|c| !c.is_ascii_uppercase()).collect();
    printable
        .sort_by(|a, b| COLLATOR.compare(a.encode_utf8(&mut [0; 4]), b.encode_utf8(&mut [0; 4])));
    let mut ranks = [0; 256];
    for (rank, character) in (1..).zip(printable) {
        ranks[u32::from(character) as usize] = rank;
        ranks[u32::from(character.to_ascii_uppercase()) as usize] = rank;
    }
    ranks
}

fn fingerprint() -> String {
    const STEP: usize = 89;
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut key = Vec::new();
    for character in ('\u{1}'..=char::MAX).step_by(STEP) {
        key.clear();
        write_sort_key(&mut key, character.encode_utf8(&mut [0; 4]));
        key.push(0);
        for byte in &key {
            hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
    format!("icu4x-{hash:016x}")
}
