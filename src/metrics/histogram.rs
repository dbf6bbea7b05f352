//! How values are spread: over the last seconds, as CouchDB shows it, and since the start.
//!
//! Values fall into bins that grow by an eighth of a power of two, so that few bins reach from a
//! hundredth to four million and a value is known to about a tenth. A ring has the bins of each of
//! the last seconds; who comes first to a second clears what was there a turn before. Two that
//! come at once may lose a value or two: it is a statistic.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Instant;

/// Smaller and larger values count as these.
const VALUE_MIN: f64 = 0.01;
const VALUE_MAX: f64 = 4_000_000.0;
/// The bits of a float that tell its bin: exponent and three bits of the mantissa.
const BIN_SHIFT: u32 = 49;
const FIRST_BIN: u64 = VALUE_MIN.to_bits() >> BIN_SHIFT;
const BINS: usize = 230;
/// Seconds in the ring; the longest interval leaves room for the second that is being cleared.
const SECONDS: usize = 64;
const INTERVAL_MAX_S: u64 = 60;

/// How many seconds back [`Histogram::summary`] looks: `[stats] interval`.
static INTERVAL_S: AtomicU64 = AtomicU64::new(10);

/// Sets how far back histograms look.
pub fn set_interval(seconds: u64) {
    INTERVAL_S.store(seconds.clamp(1, INTERVAL_MAX_S), Ordering::Relaxed);
}

/// The values of one second.
struct Second {
    /// Which second of the process, plus one; 0 where it was never used.
    number: AtomicU64,
    bins: [AtomicU32; BINS],
}

/// Updated from any thread.
pub struct Histogram {
    ring: [Second; SECONDS],
    /// All values since the start, and their sum in thousandths.
    count: AtomicU64,
    sum_milli: AtomicU64,
}

/// A share of the values, and the value below which it lies.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Percentile {
    /// As CouchDB names it: 50 ... 99, 999.
    pub name: u32,
    pub value: f64,
}

/// What a histogram tells.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Summary {
    pub n: u64,
    pub min: f64,
    pub max: f64,
    pub arithmetic_mean: f64,
    pub geometric_mean: f64,
    pub harmonic_mean: f64,
    pub median: f64,
    pub variance: f64,
    pub standard_deviation: f64,
    pub skewness: f64,
    pub kurtosis: f64,
    pub percentiles: [Percentile; 6],
}

impl Default for Summary {
    fn default() -> Self {
        summarise(&[])
    }
}

impl Histogram {
    #[must_use]
    #[expect(
        clippy::new_without_default,
        clippy::large_stack_arrays,
        reason = "histograms are statics"
    )]
    pub const fn new() -> Self {
        Self {
            ring: [const {
                Second { number: AtomicU64::new(0), bins: [const { AtomicU32::new(0) }; BINS] }
            }; SECONDS],
            count: AtomicU64::new(0),
            sum_milli: AtomicU64::new(0),
        }
    }

    pub fn update(&self, value: f64) {
        self.update_at(now_s(), value);
    }

    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is clamped")]
    fn update_at(&self, now_s: u64, value: f64) {
        let value = value.clamp(VALUE_MIN, VALUE_MAX);
        self.count.fetch_add(1, Ordering::Relaxed);
        self.sum_milli.fetch_add((value * 1000.0) as u64, Ordering::Relaxed);
        let Some(second) = self.ring.get((now_s % SECONDS as u64) as usize) else { return };
        let number = second.number.load(Ordering::Relaxed);
        if number != now_s + 1
            && second
                .number
                .compare_exchange(number, now_s + 1, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
        {
            for bin in &second.bins {
                bin.store(0, Ordering::Relaxed);
            }
        }
        if let Some(bin) = second.bins.get(bin_of(value)) {
            bin.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many values there were since the start, and their sum.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a statistic")]
    pub fn total(&self) -> (u64, f64) {
        let sum = self.sum_milli.load(Ordering::Relaxed) as f64 / 1000.0;
        (self.count.load(Ordering::Relaxed), sum)
    }

    /// The values of the last seconds.
    #[must_use]
    pub fn summary(&self) -> Summary {
        self.summary_at(now_s(), INTERVAL_S.load(Ordering::Relaxed))
    }

    fn summary_at(&self, now_s: u64, interval_s: u64) -> Summary {
        let mut counts = [0u64; BINS];
        let known = |second: &&Second| {
            let number = second.number.load(Ordering::Relaxed);
            number > 0 && now_s + 1 - number.min(now_s + 1) < interval_s
        };
        for second in self.ring.iter().filter(known) {
            for (count, bin) in counts.iter_mut().zip(&second.bins) {
                *count += u64::from(bin.load(Ordering::Relaxed));
            }
        }
        let filled = counts.into_iter().enumerate().filter(|(_, count)| *count > 0);
        summarise(&filled.collect::<Vec<_>>())
    }
}

impl std::fmt::Debug for Histogram {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Histogram").field("total", &self.total()).finish_non_exhaustive()
    }
}

/// Seconds since the process first counted something.
fn now_s() -> u64 {
    static START: OnceLock<Instant> = OnceLock::new();
    START.get_or_init(Instant::now).elapsed().as_secs()
}

#[expect(clippy::cast_possible_truncation, reason = "there are few bins")]
fn bin_of(value: f64) -> usize {
    ((value.to_bits() >> BIN_SHIFT) - FIRST_BIN) as usize
}

fn bin_min(bin: usize) -> f64 {
    f64::from_bits((FIRST_BIN + bin as u64) << BIN_SHIFT)
}

fn bin_max(bin: usize) -> f64 {
    bin_min(bin + 1)
}

fn bin_middle(bin: usize) -> f64 {
    f64::midpoint(bin_min(bin), bin_max(bin))
}

/// `bins` are those with a count, in their order.
#[expect(clippy::cast_precision_loss, reason = "a statistic")]
fn summarise(bins: &[(usize, u64)]) -> Summary {
    let percentiles = [50, 75, 90, 95, 99, 999].map(|name| {
        let share = f64::from(name) / if name > 100 { 1000.0 } else { 100.0 };
        Percentile { name, value: percentile(bins, share) }
    });
    let count: u64 = bins.iter().map(|(_, count)| count).sum();
    let n = count as f64;
    let mean = |of: &dyn Fn(f64) -> f64| match count {
        0 => 0.0,
        _ => bins.iter().map(|(bin, count)| *count as f64 * of(bin_middle(*bin))).sum::<f64>() / n,
    };
    let arithmetic_mean = mean(&|value| value);
    let moment = |power: i32| mean(&|value| (value - arithmetic_mean).powi(power));
    let variance = moment(2);
    let standard_deviation = variance.sqrt();
    let shape = |power: i32, normal: f64| match standard_deviation.powi(power) {
        nothing if nothing < 1e-12 => 0.0,
        scale => moment(power) / scale - normal,
    };
    let inverse = mean(&|value| 1.0 / value);
    Summary {
        n: count,
        min: bins.first().map_or(0.0, |(bin, _)| bin_min(*bin)),
        max: bins.last().map_or(0.0, |(bin, _)| bin_max(*bin)),
        arithmetic_mean,
        geometric_mean: if count == 0 { 0.0 } else { mean(&f64::ln).exp() },
        harmonic_mean: if count == 0 { 0.0 } else { 1.0 / inverse },
        median: percentiles[0].value,
        variance,
        standard_deviation,
        skewness: shape(3, 0.0),
        kurtosis: shape(4, 3.0),
        percentiles,
    }
}

/// The value below which `share` of all values lie; inside of a bin they count as evenly spread.
#[expect(clippy::cast_precision_loss, reason = "a statistic")]
fn percentile(bins: &[(usize, u64)], share: f64) -> f64 {
    let mut rank = share * bins.iter().map(|(_, count)| count).sum::<u64>() as f64;
    for (bin, count) in bins {
        let count = *count as f64;
        if rank < count {
            return bin_min(*bin) + (bin_max(*bin) - bin_min(*bin)) * rank / count;
        }
        rank -= count;
    }
    0.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn near(found: f64, expect: f64) -> bool {
        (found - expect).abs() <= 0.05_f64.max(expect.abs() * 0.1)
    }

    #[test]
    fn bins_cover_all_values_without_gaps() {
        assert_eq!((bin_of(VALUE_MIN), bin_of(VALUE_MAX)), (0, BINS - 1));
        for bin in 0..BINS {
            let (low, high) = (bin_min(bin), bin_max(bin));
            assert!(low < high && high <= low * 1.126, "{bin}: {low} {high}");
            assert!(bin == 0 || bin_of(low) == bin, "{bin}");
        }
    }

    #[test]
    fn summaries() {
        let histogram = Box::new(Histogram::new());
        for value in 1..=1000 {
            histogram.update_at(7, f64::from(value));
        }
        let found = histogram.summary_at(7, 1);
        assert_eq!(found.n, 1000);
        let check = |what: &str, found: f64, expect: f64| {
            assert!(near(found, expect), "{what}: {found}, not {expect}");
        };
        check("min", found.min, 1.0);
        check("max", found.max, 1024.0);
        check("mean", found.arithmetic_mean, 500.5);
        check("geometric mean", found.geometric_mean, 369.5);
        check("harmonic mean", found.harmonic_mean, 133.6);
        check("median", found.median, 500.0);
        check("deviation", found.standard_deviation, 288.7);
        check("skewness", found.skewness, 0.0);
        check("kurtosis", found.kurtosis, -1.2);
        for (percentile, expect) in
            found.percentiles.iter().zip([500.0, 750.0, 900.0, 950.0, 990.0, 999.0])
        {
            check("percentile", percentile.value, expect);
        }
        let (count, sum) = histogram.total();
        assert_eq!(count, 1000);
        check("sum", sum, 500_500.0);
    }

    #[test]
    fn nothing_is_all_zeros() {
        let found = Summary::default();
        assert_eq!((found.n, found.min, found.harmonic_mean, found.kurtosis), (0, 0.0, 0.0, 0.0));
        assert_eq!(found.percentiles.map(|percentile| percentile.name), [50, 75, 90, 95, 99, 999]);
    }

    #[test]
    fn old_seconds_are_forgotten() {
        let histogram = Box::new(Histogram::new());
        let count = |now_s: u64| histogram.summary_at(now_s, 10).n;
        histogram.update_at(0, 0.0);
        histogram.update_at(3, f64::MAX);
        assert_eq!((count(3), count(9), count(10), count(12), count(13)), (2, 2, 1, 1, 0));
        // A turn later the second's place is used again.
        histogram.update_at(SECONDS as u64, 1.0);
        assert_eq!((count(SECONDS as u64), histogram.total().0), (1, 3));
    }
}
