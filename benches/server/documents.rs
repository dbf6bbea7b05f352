//! Sample documents: the same for the same number, so that what comes back can be checked.
//!
//! Twelve fields of the kinds that applications store, 531 bytes in the mean with the id.

use std::fmt::Write as _;
use std::sync::LazyLock;

const TYPES: [&str; 6] = ["post", "comment", "page", "event", "order", "note"];
const CITIES: [&str; 8] = ["Oslo", "Berlin", "Lima", "Osaka", "Paris", "Quito", "Cairo", "Turin"];
const TEXT_BYTES: usize = 204;

static WORDS: LazyLock<Vec<String>> = LazyLock::new(words);

/// A small generator of pseudo-random numbers (SplitMix64).
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: usize) -> usize {
        let limit = u64::try_from(limit.max(1)).unwrap_or(1);
        usize::try_from(self.next() % limit).unwrap_or(0)
    }

    fn pick<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices.get(self.below(choices.len())).copied().unwrap_or_default()
    }

    fn word(&mut self) -> &'static str {
        let at = self.below(WORDS.len());
        WORDS.get(at).map_or("", String::as_str)
    }

    /// `length` bytes that do not compress.
    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(length + 8);
        while bytes.len() < length {
            bytes.extend_from_slice(&self.next().to_be_bytes());
        }
        bytes.truncate(length);
        bytes
    }

    /// The 32 digits of a revision's hash.
    pub fn hash(&mut self) -> String {
        format!("{:016x}{:016x}", self.next(), self.next())
    }
}

fn words() -> Vec<String> {
    let mut random = Random::new(3);
    let mut word = || {
        let syllables = 1 + random.below(4);
        let mut syllable = || {
            let start = random.pick(&["b", "d", "f", "g", "l", "m", "n", "p", "r", "s", "t", "v"]);
            format!("{start}{}", random.pick(&["a", "e", "i", "o", "u"]))
        };
        (0..syllables).map(|_| syllable()).collect::<String>()
    };
    (0..600).map(|_| word()).collect()
}

/// The id of document `number`.
pub fn id(number: usize) -> String {
    format!("doc-{number:07}")
}

/// The members of document `number`, without `_id` and without the braces.
pub fn members(number: usize) -> String {
    let mut random = Random::new(0x5e77_ee00 + number as u64);
    let random = &mut random;
    let mut text = String::with_capacity(TEXT_BYTES + 12);
    while text.len() < TEXT_BYTES {
        text += random.word();
        text.push(' ');
    }
    text.truncate(TEXT_BYTES);
    let title: Vec<&str> = (0..5).map(|_| random.word()).collect();
    let mut json = String::with_capacity(600);
    let kind = random.pick(&TYPES);
    let author = random.below(50);
    let (year, month, day) = (2010 + random.below(16), 1 + random.below(12), 1 + random.below(28));
    let (hour, minute, second) = (random.below(24), random.below(60), random.below(60));
    // Writing into a string does not fail.
    let _ = write!(json, r#""type":"{kind}","author":"author-{author:02}","#);
    let _ =
        write!(json, r#""date":"{year}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z","#);
    let (a, b, c) = (random.word(), random.word(), random.word());
    let _ = write!(json, r#""title":"{}","tags":["{a}","{b}","{c}"],"#, title.join(" "));
    let (street, city) = (random.word(), random.pick(&CITIES));
    let (house, zip) = (1 + random.below(200), random.below(100_000));
    let _ = write!(json, r#""address":{{"street":"{street} {house}","city":"{city}","#);
    let _ = write!(json, r#""zip":"{zip:05}","country":"xx"}},"#);
    let (score, count) = (random.below(100_000), random.below(10_000));
    let (active, lang) = (random.below(2) == 0, random.pick(&["en", "de", "fr", "ja"]));
    let _ = write!(json, r#""score":{}.{:03},"count":{count},"#, score / 1000, score % 1000);
    let _ = write!(json, r#""active":{active},"lang":"{lang}","#);
    let (user, host) = (random.word(), random.word());
    let _ = write!(json, r#""email":"{user}@{host}.example","text":"{text}""#);
    json
}

/// Document `number` with its id.
pub fn document(number: usize) -> String {
    format!(r#"{{"_id":"{}",{}}}"#, id(number), members(number))
}

/// Document `number` without an id, padded to `length` bytes.
pub fn padded(number: usize, length: usize) -> String {
    let members = members(number);
    let padding = "x".repeat(length.saturating_sub(members.len() + 11));
    format!(r#"{{{members},"pad":"{padding}"}}"#)
}

/// A `_bulk_docs` body with the documents of `numbers`.
pub fn bulk(numbers: std::ops::Range<usize>) -> Vec<u8> {
    let documents: Vec<String> = numbers.map(document).collect();
    format!(r#"{{"docs":[{}]}}"#, documents.join(",")).into_bytes()
}

/// A `_bulk_docs` body with replicated revisions, each with a history of five.
pub fn bulk_replicated(numbers: std::ops::Range<usize>) -> Vec<u8> {
    let documents: Vec<String> = numbers
        .map(|number| {
            let mut random = Random::new(0xab0d_e000 + number as u64);
            let hashes: Vec<String> = (0..5).map(|_| random.hash()).collect();
            let newest = hashes.first().map_or("", String::as_str);
            format!(
                r#"{{"_id":"{}","_rev":"5-{newest}","_revisions":{{"start":5,"ids":["{}"]}},{}}}"#,
                id(number),
                hashes.join(r#"",""#),
                members(number)
            )
        })
        .collect();
    format!(r#"{{"new_edits":false,"docs":[{}]}}"#, documents.join(",")).into_bytes()
}
