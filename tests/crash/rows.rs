//! What the views of the test must answer, computed here: the rows of documents, and what reduces
//! make of them.

use rand::Rng;
use rand::rngs::StdRng;
use serde_json::{Value, json};

use crate::editor::id_of;

/// What [`emitted`] does, and so slowly that builds can be watched.
pub const MAP: &str = "function (doc) {
  for (var spin = 0; spin < 3000; spin++);
  for (var n = 0; n <= doc.number % 3; n++)
    emit(['abcdefg'[doc.number % 7], Math.floor(doc.number / 7) % 10, n], doc.number);
}";

/// What `_stats` does.
pub const REDUCE: &str = "function (keys, values, rereduce) {
  var parts = rereduce ? values : values.map(function (value) {
    return {sum: value, count: 1, min: value, max: value, sumsqr: value * value};
  });
  return parts.reduce(function (all, part) {
    return {
      sum: all.sum + part.sum,
      count: all.count + part.count,
      min: Math.min(all.min, part.min),
      max: Math.max(all.max, part.max),
      sumsqr: all.sumsqr + part.sumsqr
    };
  });
}";

type Key = (String, u64, u64);

/// A row, in the order of views.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Row {
    key: Key,
    pub id: String,
    pub number: u64,
}

/// The rows of a document.
pub fn emitted(number: u64) -> Vec<Row> {
    let group = &"abcdefg"[(number % 7) as usize..][..1];
    let key = |n| (group.to_owned(), number / 7 % 10, n);
    (0..=number % 3).map(|n| Row { key: key(n), id: id_of(number), number }).collect()
}

/// The rows in a view's answer.
pub fn read(answer: &Value) -> Vec<Row> {
    let rows = answer["rows"].as_array().expect("a view has rows");
    let row = |row: &Value| {
        let key = serde_json::from_value(row["key"].clone()).ok()?;
        Some(Row { key, id: row["id"].as_str()?.to_owned(), number: row["value"].as_u64()? })
    };
    rows.iter().map(|found| row(found).unwrap_or_else(|| panic!("no such row: {found}"))).collect()
}

/// What is asked of a reduce view.
#[derive(Debug)]
pub struct Question {
    /// The first and the last key, none for all.
    range: Option<(Key, Key)>,
    level: usize,
    descending: bool,
}

impl Question {
    pub fn random(random: &mut StdRng) -> Self {
        let mut key = || {
            let group = &"abcdefg"[random.random_range(0..7)..][..1];
            (group.to_owned(), random.random_range(0..10), random.random_range(0..3))
        };
        let (one, other) = (key(), key());
        let range = (one.clone().min(other.clone()), one.max(other));
        Self {
            range: random.random_ratio(3, 4).then_some(range),
            level: random.random_range(0..=3),
            descending: random.random(),
        }
    }

    /// As it is sent.
    pub fn query(&self) -> Value {
        let mut query = json!({"group_level": self.level, "descending": self.descending});
        if let Some((first, last)) = &self.range {
            let (start, end) = if self.descending { (last, first) } else { (first, last) };
            query["start_key"] = json!(start);
            query["end_key"] = json!(end);
        }
        query
    }

    /// Fails unless the answer is what the rows of the view, in their order, make.
    pub fn check(&self, answer: &Value, rows: &[Row]) {
        let rows = match &self.range {
            Some((first, last)) => {
                let start = rows.partition_point(|row| row.key < *first);
                &rows[start..rows.partition_point(|row| row.key <= *last)]
            }
            None => rows,
        };
        let mut expected: Vec<(Value, [f64; 5])> = rows
            .chunk_by(|one, two| self.group(one) == self.group(two))
            .map(|rows| (self.group(&rows[0]), summary(rows)))
            .collect();
        if self.descending {
            expected.reverse();
        }
        let found = answer["rows"].as_array().expect("a view has rows").iter();
        let found: Vec<(Value, [f64; 5])> =
            found.map(|row| (row["key"].clone(), summary_in(&row["value"]))).collect();
        assert_eq!(found, expected, "{self:?}");
    }

    fn group(&self, row: &Row) -> Value {
        let (group, tenth, n) = &row.key;
        let key = [json!(group), json!(tenth), json!(n)];
        if self.level == 0 { Value::Null } else { Value::from(key[..self.level].to_vec()) }
    }
}

const SUMMARY: [&str; 5] = ["sum", "count", "min", "max", "sumsqr"];

#[expect(clippy::cast_precision_loss, reason = "the numbers are small")]
fn summary(rows: &[Row]) -> [f64; 5] {
    let numbers = || rows.iter().map(|row| row.number as f64);
    [
        numbers().sum(),
        rows.len() as f64,
        numbers().fold(f64::INFINITY, f64::min),
        numbers().fold(0.0, f64::max),
        numbers().map(|number| number * number).sum(),
    ]
}

fn summary_in(value: &Value) -> [f64; 5] {
    SUMMARY.map(|name| value[name].as_f64().unwrap_or_else(|| panic!("no {name} in {value}")))
}
