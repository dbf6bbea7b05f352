//! The table of figures: printed line by line as they come, and kept for `--json`.

use std::path::Path;

use serde_json::{Map, Value, json};

use crate::error::{BenchError, Result};
use crate::meter::Measured;
use crate::targets::{Aim, Target, target};

/// More than this of other processes and a figure is marked as noisy.
const OTHER_CORES_MAX: f64 = 0.3;

/// What a figure counts, and whether more of it is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unit {
    CpuUs,
    Milliseconds,
    Seconds,
    Kilobytes,
    Megabytes,
    Bytes,
    BytesPerByte,
    PerSecond,
    Percent,
}

impl Unit {
    const fn name(self) -> &'static str {
        match self {
            Self::CpuUs => "us CPU",
            Self::Milliseconds => "ms",
            Self::Seconds => "s",
            Self::Kilobytes => "KB",
            Self::Megabytes => "MB",
            Self::Bytes => "B",
            Self::BytesPerByte => "B/B",
            Self::PerSecond => "/s",
            Self::Percent => "%",
        }
    }

    const fn more_is_better(self) -> bool {
        matches!(self, Self::PerSecond | Self::Percent)
    }
}

/// One line of the table.
#[derive(Debug, Clone)]
pub struct Figure {
    name: String,
    target: Option<Target>,
    value: f64,
    unit: Unit,
    /// Operations a second.
    rate: Option<f64>,
    /// What the machine could do at best, in the unit of the figure.
    bound: Option<f64>,
    other_cores: f64,
    note: String,
}

impl Figure {
    pub fn new(name: &str, value: f64, unit: Unit) -> Self {
        Self {
            name: name.to_owned(),
            target: target(name),
            value,
            unit,
            rate: None,
            bound: None,
            other_cores: 0.0,
            note: String::new(),
        }
    }

    /// CPU time of an operation, and operations a second.
    pub fn cpu(name: &str, measured: &Measured) -> Self {
        let figure = Self::new(name, measured.each_us(), Unit::CpuUs);
        Self { rate: Some(measured.rate()), other_cores: measured.other_cores, ..figure }
    }

    /// Operations a second, for work that waits for the disk and not for the CPU.
    pub fn rate(name: &str, measured: &Measured) -> Self {
        let figure = Self::new(name, measured.rate(), Unit::PerSecond);
        let note = format!("{:.1} us CPU", measured.each_us());
        Self { other_cores: measured.other_cores, note, ..figure }
    }

    /// Kilobytes, shown as megabytes.
    #[expect(clippy::cast_precision_loss, reason = "sizes far below 2^52")]
    pub fn megabytes(name: &str, kilobytes: u64) -> Self {
        Self::new(name, kilobytes as f64 / 1024.0, Unit::Megabytes)
    }

    /// The same figure under another name, with the target of the first.
    pub fn named(self, name: &str) -> Self {
        Self { name: name.to_owned(), ..self }
    }

    pub fn bound(self, bound: f64) -> Self {
        Self { bound: Some(bound), ..self }
    }

    pub fn note(self, note: String) -> Self {
        let note = if self.note.is_empty() { note } else { format!("{}, {note}", self.note) };
        Self { note, ..self }
    }

    /// How many times better than CouchDB.
    fn gain(&self) -> Option<f64> {
        let couchdb = self.target?.couchdb?;
        Some(if self.unit.more_is_better() { self.value / couchdb } else { couchdb / self.value })
    }

    /// The part of the bound that is reached.
    fn of_bound(&self) -> Option<f64> {
        let bound = self.bound?;
        Some(if self.unit.more_is_better() { self.value / bound } else { bound / self.value })
    }

    /// Whether the aim is reached.
    fn reached(&self) -> Option<bool> {
        match self.target?.aim {
            Aim::Gain(times) => self.gain().map(|gain| gain >= times),
            Aim::AtMost(limit) => Some(self.value <= limit),
            Aim::AtLeast(limit) => Some(self.value >= limit),
        }
    }

    fn aim(&self) -> String {
        match self.target.map(|target| target.aim) {
            Some(Aim::Gain(times)) => format!(">= {times:.0} x"),
            Some(Aim::AtMost(limit)) => format!("<= {limit}"),
            Some(Aim::AtLeast(limit)) => format!(">= {limit}"),
            None => String::new(),
        }
    }

    fn line(&self) -> String {
        let noisy = if self.other_cores > OTHER_CORES_MAX { "~" } else { "" };
        let verdict = match self.reached() {
            Some(true) => "ok",
            Some(false) => "SHORT",
            None => "",
        };
        let gain = self.gain().map_or(String::new(), |gain| format!("{gain:.1} x"));
        let of_bound =
            self.of_bound().map_or(String::new(), |part| format!("{:.0} %", part * 100.0));
        let line = format!(
            "{:32} {:>11} {:6} {:>10} {:>9} {:>8} {:>8} {:>9} {:>6} {:5} {}",
            self.name,
            format!("{noisy}{}", shown(self.value)),
            self.unit.name(),
            self.rate.map_or(String::new(), shown),
            self.target.and_then(|target| target.couchdb).map_or(String::new(), shown),
            gain,
            self.aim(),
            self.bound.map_or(String::new(), shown),
            of_bound,
            verdict,
            self.note
        );
        line.trim_end().to_owned()
    }

    fn json(&self) -> Value {
        json!({
            "value": self.value,
            "unit": self.unit.name(),
            "rate": self.rate,
            "couchdb": self.target.and_then(|target| target.couchdb),
            "gain": self.gain(),
            "aim": self.aim(),
            "reached": self.reached(),
            "bound": self.bound,
            "of_bound": self.of_bound(),
            "other_cores": self.other_cores,
            "note": self.note,
        })
    }
}

/// A number with about four digits.
fn shown(value: f64) -> String {
    match value.abs() {
        size if size >= 1000.0 => format!("{value:.0}"),
        size if size >= 10.0 => format!("{value:.1}"),
        size if size >= 1.0 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}

/// Prints the head of the table.
pub fn begin() {
    println!(
        "{:32} {:>11} {:6} {:>10} {:>9} {:>8} {:>8} {:>9} {:>6} {:5} note",
        "workload", "settee", "unit", "rate /s", "CouchDB", "gain", "aim", "bound", "of it", ""
    );
}

/// All figures so far.
#[derive(Debug, Default)]
pub struct Report {
    figures: Vec<Figure>,
    failures: Vec<(&'static str, String)>,
}

impl Report {
    pub fn add(&mut self, figure: Figure) {
        println!("{}", figure.line());
        self.figures.push(figure);
    }

    pub fn fail(&mut self, workload: &'static str, error: &BenchError) {
        println!("{workload:32} FAILED: {error}");
        self.failures.push((workload, error.to_string()));
    }

    /// The last lines; whether every workload ran.
    pub fn end(&self) -> bool {
        let reached =
            |wanted| self.figures.iter().filter(move |figure| figure.reached() == Some(wanted));
        println!(
            "\n{} aims reached, {} short, {} workloads failed. \
             ~: other processes used more than {OTHER_CORES_MAX} cores meanwhile.",
            reached(true).count(),
            reached(false).count(),
            self.failures.len()
        );
        for figure in reached(false) {
            println!("short: {}", figure.line());
        }
        self.failures.is_empty()
    }

    pub fn write_json(&self, file: &Path) -> Result<()> {
        let figures = self.figures.iter().map(|figure| (figure.name.clone(), figure.json()));
        let failures: Map<String, Value> = self
            .failures
            .iter()
            .map(|(name, error)| ((*name).to_owned(), error.as_str().into()))
            .collect();
        let report = json!({ "figures": figures.collect::<Map<_, _>>(), "failures": failures });
        Ok(std::fs::write(file, serde_json::to_vec_pretty(&report)?)?)
    }
}
