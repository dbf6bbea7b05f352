//! What a number of operations cost: CPU time of the server, and time on the clock.

use std::time::Instant;

use crate::error::Result;
use crate::process::{Process, cpu_us, machine_cpu_us};

/// A measurement under way.
#[derive(Debug)]
pub struct Meter<'a> {
    /// None: this process itself is measured.
    server: Option<&'a Process>,
    server_us: u64,
    own_us: u64,
    machine_us: u64,
    begun: Instant,
}

#[derive(Debug, Clone, Copy, Default)]
pub struct Measured {
    pub operations: usize,
    pub seconds: f64,
    pub cpu_us: u64,
    /// Cores that neither the server nor this client kept busy: noise.
    pub other_cores: f64,
}

impl<'a> Meter<'a> {
    pub fn start(server: &'a Process) -> Result<Self> {
        Self::begin(Some(server))
    }

    /// Measures this process itself.
    pub fn start_own() -> Result<Self> {
        Self::begin(None)
    }

    fn begin(server: Option<&'a Process>) -> Result<Self> {
        Ok(Self {
            server,
            server_us: server.map_or(Ok(0), Process::cpu_us)?,
            own_us: cpu_us("self")?,
            machine_us: machine_cpu_us()?,
            begun: Instant::now(),
        })
    }

    #[expect(clippy::cast_precision_loss, reason = "durations far below 2^52 microseconds")]
    pub fn finish(self, operations: usize) -> Result<Measured> {
        let seconds = self.begun.elapsed().as_secs_f64();
        let own_us = cpu_us("self")? - self.own_us;
        let server_us = self.server.map_or(Ok(0), Process::cpu_us)? - self.server_us;
        let machine_us = machine_cpu_us()? - self.machine_us;
        let other_us = machine_us.saturating_sub(own_us + server_us);
        Ok(Measured {
            operations,
            seconds,
            cpu_us: if self.server.is_some() { server_us } else { own_us },
            other_cores: other_us as f64 / 1e6 / seconds,
        })
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
impl Measured {
    /// CPU microseconds of one operation.
    pub fn each_us(&self) -> f64 {
        self.cpu_us as f64 / self.operations.max(1) as f64
    }

    /// Operations a second.
    pub fn rate(&self) -> f64 {
        self.operations as f64 / self.seconds
    }

    /// Both measurements, one after the other.
    pub fn plus(&self, other: &Self) -> Self {
        let seconds = self.seconds + other.seconds;
        let noise = self.other_cores * self.seconds + other.other_cores * other.seconds;
        Self {
            operations: self.operations + other.operations,
            seconds,
            cpu_us: self.cpu_us + other.cpu_us,
            other_cores: noise / seconds.max(f64::MIN_POSITIVE),
        }
    }

    /// The same measurement, with `count` operations in each of those counted so far.
    pub fn times(self, count: usize) -> Self {
        Self { operations: self.operations * count, ..self }
    }
}

/// Measures `rounds` times and gives the median by CPU time.
pub async fn median_of(
    rounds: usize,
    mut once: impl AsyncFnMut(usize) -> Result<Measured>,
) -> Result<Measured> {
    let first = once(0).await?;
    let mut all = vec![first];
    for round in 1..rounds {
        all.push(once(round).await?);
    }
    all.sort_by(|a, b| a.each_us().total_cmp(&b.each_us()));
    Ok(all.get(all.len() / 2).copied().unwrap_or(first))
}
