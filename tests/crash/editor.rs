//! The documents of the views' test, and a client that edits them while indexes are built.
//! A document is a number: which document it is, and how often it was edited.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};

use crate::couch::Couch;

/// Numbers are a document's place plus this for each edit.
pub const PLACES: u64 = 10_000;
const DOCUMENTS_AT_FIRST: u64 = 3000;
/// New documents a round.
const NEW_DOCUMENTS_MAX: u64 = 300;
/// Keeps sums of squares within what a double holds exactly.
const EDITS_MAX: u64 = 40;
const EDITED_AT_ONCE: std::ops::Range<usize> = 10..60;
const EDITED_MANY: usize = 1500;
/// One in so many edits is a deletion.
const DELETED_SHARE: u32 = 30;

/// A live document.
#[derive(Clone, Debug)]
pub struct Held {
    pub id: String,
    rev: String,
    pub number: u64,
}

/// The id of the document with that number.
pub fn id_of(number: u64) -> String {
    format!("doc-{:04}", number % PLACES)
}

/// Writes the documents that there are at first.
pub async fn fill(couch: &Couch) {
    let numbers: Vec<u64> = (0..DOCUMENTS_AT_FIRST).collect();
    for numbers in numbers.chunks(500) {
        let documents: Vec<Value> = numbers.iter().copied().map(new_document).collect();
        couch.bulk(&documents).await.expect("the server answers");
    }
}

fn new_document(number: u64) -> Value {
    json!({"_id": id_of(number), "number": number})
}

/// All live documents.
pub async fn live(couch: &Couch) -> Vec<Held> {
    let listed = couch.read("/_all_docs?include_docs=true&start_key=%22doc%22").await;
    let rows = listed["rows"].as_array().expect("_all_docs has rows");
    let held = rows.iter().map(|row| Held {
        id: row["id"].as_str().expect("a row has an id").to_owned(),
        rev: row["value"]["rev"].as_str().expect("a row has a revision").to_owned(),
        number: row["doc"]["number"].as_u64().expect("a document has its number"),
    });
    held.collect()
}

/// A client that edits documents until its server is gone.
#[derive(Debug)]
pub struct Editor {
    random: StdRng,
    documents: Vec<Held>,
    /// Numbers of documents that nobody has written yet.
    new: std::ops::Range<u64>,
}

impl Editor {
    pub async fn new(couch: &Couch, round: u64, seed: u64) -> Self {
        let random = StdRng::seed_from_u64(seed ^ (round + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let documents = live(couch).await;
        let first = DOCUMENTS_AT_FIRST + round * NEW_DOCUMENTS_MAX;
        Self { random, documents, new: first..first + NEW_DOCUMENTS_MAX }
    }

    pub async fn edit_many(mut self, couch: &Couch) {
        self.edit(couch, EDITED_MANY).await.expect("the server answers");
    }

    pub async fn run_until_cut_off(mut self, couch: Couch) {
        loop {
            let count = self.random.random_range(EDITED_AT_ONCE);
            let made = self.new.next().map(new_document);
            if self.edit(&couch, count).await.is_none()
                || couch.bulk(made.as_slice()).await.is_none()
            {
                return;
            }
        }
    }

    async fn edit(&mut self, couch: &Couch, count: usize) -> Option<()> {
        let (mut bodies, mut edited) = (Vec::new(), Vec::new());
        for _ in 0..count.min(self.documents.len()) {
            let place = self.random.random_range(0..self.documents.len());
            if self.documents[place].number / PLACES == EDITS_MAX {
                continue;
            }
            let mut held = self.documents.swap_remove(place);
            held.number += PLACES;
            let deleted = self.random.random_ratio(1, DELETED_SHARE);
            let Held { id, rev, number } = &held;
            bodies.push(json!({"_id": id, "_rev": rev, "_deleted": deleted, "number": number}));
            edited.push((held, deleted));
        }
        let revs = couch.bulk(&bodies).await?;
        for ((held, deleted), rev) in edited.into_iter().zip(revs) {
            if !deleted {
                self.documents.push(Held { rev, ..held });
            }
        }
        Some(())
    }
}
