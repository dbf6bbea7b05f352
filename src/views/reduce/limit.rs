//! `reduce_limit`: a reduce whose answer does not shrink would make every block of a view as large
//! as all the rows below it.

use crate::config::ReduceLimit;

use super::Reducer;

/// What a reduce was given and what it answered, in bytes.
pub struct Size<'a> {
    pub output: usize,
    /// Counted only where it matters.
    pub input: &'a dyn Fn() -> usize,
}

/// What is to become of an answer.
pub enum Verdict {
    Fits,
    /// Why it does not.
    TooLong(String),
}

impl Reducer<'_> {
    /// The length up to which answers are never too long.
    pub(super) fn threshold(&self, otherwise: u64) -> u64 {
        self.settings.reduce_limit_threshold.unwrap_or(otherwise)
    }

    pub(super) fn judge(&self, size: &Size<'_>, threshold: u64) -> Verdict {
        if self.settings.reduce_limit == ReduceLimit::Off
            || size.output as u64 <= self.threshold(threshold)
        {
            return Verdict::Fits;
        }
        let (output, input) = (size.output, (size.input)());
        #[expect(clippy::cast_precision_loss, reason = "sizes of texts are far below 2^53")]
        if output as f64 * self.settings.reduce_limit_ratio <= input as f64 {
            return Verdict::Fits;
        }
        let reason = format!(
            "Reduce output must shrink more rapidly: input size: {input} output size: {output}"
        );
        if self.settings.reduce_limit == ReduceLimit::Log {
            tracing::warn!("reduce_overflow_error: {reason}");
            return Verdict::Fits;
        }
        Verdict::TooLong(reason)
    }
}
