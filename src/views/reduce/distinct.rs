//! `_approx_count_distinct`: about how many different keys there are (HyperLogLog, precision 11).
//!
//! Registers are found as CouchDB finds them, from the SHA-1 of a key as an Erlang term, so that
//! up to the point where linear counting ends the estimates are the same. A state is either a list
//! of registers (index and value, three bytes each, by index) or all registers, a byte each.

use sha1::{Digest, Sha1};

use crate::document::json::{self, Limits};

use super::{ReduceGroup, ReducedState};

const PRECISION: u32 = 11;
const REGISTERS: usize = 1 << PRECISION;
/// Up to this estimate the empty registers alone are counted.
const LINEAR_MAX: f64 = 1800.0;

/// The registers that are not zero, by index.
struct Registers(Box<[u8; REGISTERS]>);

/// The state of rows.
pub fn reduce(group: &ReduceGroup<'_>) -> ReducedState {
    let mut registers = Registers(Box::new([0; REGISTERS]));
    let mut last = None;
    for row in &group.rows {
        // Rows stand in the order of their keys.
        if last.replace(row.key) != Some(row.key) {
            registers.insert(row.key);
        }
    }
    registers.encode()
}

/// The state that several stand for.
pub fn rereduce(states: &[&[u8]]) -> ReducedState {
    let mut registers = Registers(Box::new([0; REGISTERS]));
    for state in states {
        registers.merge(state);
    }
    registers.encode()
}

/// What clients see of a state.
pub fn finish(state: &[u8]) -> String {
    let mut registers = Registers(Box::new([0; REGISTERS]));
    registers.merge(state);
    format!("{:.0}", registers.estimate())
}

impl Registers {
    fn insert(&mut self, key: &str) {
        let term = json::term(key.as_bytes(), &Limits::default());
        let hash = Sha1::digest(term.as_deref().unwrap_or(key.as_bytes()));
        let Some(head) = hash.first_chunk::<8>() else { return };
        let bits = u64::from_be_bytes(*head);
        let index = usize::try_from(bits >> (64 - PRECISION)).unwrap_or_default();
        let rest = bits << PRECISION;
        let zeros = rest.leading_zeros().min(64 - PRECISION);
        self.raise(index, u8::try_from(zeros + 1).unwrap_or(u8::MAX));
    }

    fn raise(&mut self, index: usize, value: u8) {
        if let Some(register) = self.0.get_mut(index) {
            *register = value.max(*register);
        }
    }

    fn merge(&mut self, state: &[u8]) {
        if let Ok(all) = <&[u8; REGISTERS]>::try_from(state) {
            for (register, value) in self.0.iter_mut().zip(all) {
                *register = *value.max(register);
            }
            return;
        }
        for entry in state.chunks_exact(3) {
            if let [high, low, value] = entry {
                self.raise(usize::from(u16::from_be_bytes([*high, *low])), *value);
            }
        }
    }

    fn encode(&self) -> ReducedState {
        let used = self.0.iter().filter(|register| **register > 0).count();
        if used * 3 >= REGISTERS {
            return self.0.to_vec();
        }
        let mut out = Vec::with_capacity(used * 3);
        for (index, value) in (0_u16..).zip(self.0.iter()).filter(|(_, value)| **value > 0) {
            out.extend_from_slice(&index.to_be_bytes());
            out.push(*value);
        }
        out
    }

    /// Linear counting while registers are empty and the estimate is small, else the estimator
    /// of Ertl (2017), which needs no tables of corrections.
    #[expect(clippy::cast_precision_loss, reason = "counts of registers are small")]
    fn estimate(&self) -> f64 {
        let registers = REGISTERS as f64;
        let mut counts = [0_u32; 64];
        for register in self.0.iter() {
            if let Some(count) = counts.get_mut(usize::from(*register)) {
                *count += 1;
            }
        }
        let [empty, filled @ ..] = counts;
        if empty > 0 {
            let linear = registers * (registers / f64::from(empty)).ln();
            if linear <= LINEAR_MAX {
                return linear.round();
            }
        }
        let last = 64 - PRECISION as usize;
        let saturated = filled.get(last).copied().unwrap_or(0);
        let mut sum = registers * tau(1.0 - f64::from(saturated) / registers);
        for count in filled.iter().take(last).rev() {
            sum = 0.5 * (sum + f64::from(*count));
        }
        sum += registers * sigma(f64::from(empty) / registers);
        (registers * registers / (2.0 * std::f64::consts::LN_2 * sum)).round()
    }
}

/// The share of empty registers, corrected.
fn sigma(share: f64) -> f64 {
    let (mut power, mut weight, mut sum) = (share, 1.0, share);
    loop {
        power *= power;
        let before = sum;
        sum += power * weight;
        weight += weight;
        if !sum.is_finite() || (sum - before).abs() < f64::EPSILON {
            return sum;
        }
    }
}

/// The share of registers that are not saturated, corrected.
fn tau(share: f64) -> f64 {
    if share <= 0.0 || share >= 1.0 {
        return 0.0;
    }
    let (mut root, mut weight, mut sum) = (share, 1.0, 1.0 - share);
    loop {
        root = root.sqrt();
        let before = sum;
        weight *= 0.5;
        sum -= (1.0 - root).powi(2) * weight;
        if (sum - before).abs() < f64::EPSILON {
            return sum / 3.0;
        }
    }
}
