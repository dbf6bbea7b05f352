//! Shows how far work has come: a bar where stderr is a terminal, else a line every few seconds.

use std::io::{self, IsTerminal as _};
use std::time::{Duration, Instant};

use indicatif::{HumanBytes, HumanCount, ProgressBar, ProgressStyle};

/// How often a bar is drawn, and how often a line is written.
const DRAW: Duration = Duration::from_millis(100);
const LINE: Duration = Duration::from_secs(5);
const TEMPLATE: &str = "{wide_bar} {percent:>3}% {msg}, {eta} left";

/// How far work has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reached {
    pub documents: u64,
    /// Of a file, where there is one.
    pub bytes: Option<u64>,
    /// In whatever unit `total` has.
    pub position: u64,
}

/// A piece of work that takes its time.
pub struct Meter {
    total: u64,
    began: Instant,
    bar: Option<ProgressBar>,
}

impl Meter {
    pub fn new(total: u64) -> Self {
        let bar = io::stderr().is_terminal().then(|| ProgressBar::new(total));
        if let (Some(bar), Ok(style)) = (&bar, ProgressStyle::with_template(TEMPLATE)) {
            bar.set_style(style);
        }
        Self { total, began: Instant::now(), bar }
    }

    /// Waits for `work`, and shows meanwhile what `reached` says.
    pub async fn watch<T>(
        &self,
        work: impl Future<Output = T>,
        reached: impl Fn() -> Reached,
    ) -> T {
        if self.bar.is_some() {
            self.show(reached());
        }
        let mut work = std::pin::pin!(work);
        let every = if self.bar.is_some() { DRAW } else { LINE };
        let ended = loop {
            tokio::select! {
                biased;
                ended = &mut work => break ended,
                () = tokio::time::sleep(every) => self.show(reached()),
            }
        };
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        ended
    }

    fn show(&self, reached: Reached) {
        let Some(bar) = &self.bar else {
            let percent = reached.position.min(self.total) * 100 / self.total.max(1);
            eprintln!("{percent}%: {}", self.told(reached));
            return;
        };
        // A source may have got more documents meanwhile.
        bar.set_length(self.total.max(reached.position));
        bar.set_position(reached.position);
        bar.set_message(self.told(reached));
    }

    /// What has been done, in words.
    pub fn told(&self, Reached { documents, bytes, .. }: Reached) -> String {
        let took = self.began.elapsed();
        let per_second = |count: u64| {
            let micros = took.as_micros().max(1);
            u64::try_from(u128::from(count) * 1_000_000 / micros).unwrap_or(u64::MAX)
        };
        let rate = HumanCount(per_second(documents));
        let documents = format!("{} ({rate}/s)", count(documents));
        match bytes {
            Some(bytes) => {
                let (all, rate) = (HumanBytes(bytes), HumanBytes(per_second(bytes)));
                format!("{documents}, {all} ({rate}/s)")
            }
            None => documents,
        }
    }

    /// How long it took, in words.
    pub fn took(&self) -> String {
        format!("{:.1} s", self.began.elapsed().as_secs_f64())
    }
}

/// So many documents, in words.
pub fn count(documents: u64) -> String {
    let plural = if documents == 1 { "" } else { "s" };
    format!("{} document{plural}", HumanCount(documents))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_told() {
        let began = Instant::now().checked_sub(Duration::from_secs(10)).unwrap();
        let meter = Meter { total: 100, began, bar: None };
        let told = meter.told(Reached { documents: 50_000, bytes: None, position: 50 });
        // Some time has passed since.
        assert!(told.starts_with("50,000 documents (4,9") || told.ends_with("(5,000/s)"), "{told}");
        let told = meter.told(Reached { documents: 0, bytes: Some(1 << 20), position: 0 });
        assert!(told.starts_with("0 documents (0/s), 1.00 MiB (10"), "{told}");
    }
}
