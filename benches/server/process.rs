//! The processes that are measured: started, asked for CPU time and memory through `/proc`, ended.
//!
//! A process is never left running: dropping it kills it.

use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use crate::error::{BenchError, Result};
use crate::http::ADMIN;

const START_SECONDS: u64 = 120;
const STOP_SECONDS: u64 = 120;

/// Linux counts the CPU time of a process in hundredths of a second.
const TICK_US: u64 = 10_000;

/// What `stat` counts blocks in.
const BLOCK_BYTES: u64 = 512;

/// A listening server in a process of its own.
#[derive(Debug)]
pub struct Process {
    child: Child,
    pub address: SocketAddr,
    /// From the start to the ready line.
    pub start: Duration,
}

impl Process {
    /// Starts settee on `folder`.
    pub fn settee(folder: &Path) -> Result<Self> {
        let mut command = Command::new(env!("CARGO_BIN_EXE_settee"));
        command.args(["serve", "--bind", "127.0.0.1", "--port", "0", "--admin", ADMIN]);
        command.arg("--data-dir").arg(folder.join("data"));
        let log = File::options().create(true).append(true).open(folder.join("settee.log"))?;
        Self::spawn("settee", command.stderr(log))
    }

    /// Starts this program again as the bare handler that answers with `answer`.
    pub fn handler(answer: &Path) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        Self::spawn("the bare handler", command.arg("--handler").arg(answer))
    }

    fn spawn(name: &'static str, command: &mut Command) -> Result<Self> {
        let begun = Instant::now();
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let address = ready_address(&mut child).ok_or(BenchError::NotReady(name));
        // Made before a failure is told, so that the child does not outlive it.
        let placeholder = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut process = Self { child, address: placeholder, start: begun.elapsed() };
        process.address = address?;
        Ok(process)
    }

    /// Ends the process as an operator would, and waits.
    pub fn stop(mut self) -> Result<()> {
        let pid = self.child.id().to_string();
        Command::new("kill").args(["-TERM", &pid]).status()?;
        let end = Instant::now() + Duration::from_secs(STOP_SECONDS);
        while self.child.try_wait()?.is_none() {
            if Instant::now() > end {
                return Err(BenchError::NotStopped(STOP_SECONDS));
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// CPU time used so far, by all threads, in user code and in the kernel.
    pub fn cpu_us(&self) -> Result<u64> {
        cpu_us(&self.child.id().to_string())
    }

    /// Kilobytes that lie in memory now.
    pub fn resident_kb(&self) -> Result<u64> {
        self.status_kb("VmRSS:")
    }

    /// The most kilobytes that lay in memory since [`Self::reset_peak`].
    pub fn peak_kb(&self) -> Result<u64> {
        self.status_kb("VmHWM:")
    }

    pub fn reset_peak(&self) -> Result<()> {
        Ok(fs::write(format!("/proc/{}/clear_refs", self.child.id()), "5")?)
    }

    fn status_kb(&self, field: &'static str) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        let number = line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok());
        number.ok_or(BenchError::Proc(field))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads the address that ends the ready line; a thread goes on reading so that the process never
/// blocks on a full pipe.
fn ready_address(child: &mut Child) -> Option<SocketAddr> {
    let stdout = child.stdout.take()?;
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(std::result::Result::ok) {
            let address = line.split_once(" is ready at http://");
            if let Some(address) =
                address.and_then(|(_, rest)| rest.trim_end_matches('/').parse().ok())
            {
                // Fails when the deadline has passed and nobody listens any more.
                let _ = sender.send(address);
            }
        }
    });
    receiver.recv_timeout(Duration::from_secs(START_SECONDS)).ok()
}

/// CPU time of the process with this number, or of `self`.
pub fn cpu_us(pid: &str) -> Result<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    // The name, in brackets, may hold spaces.
    let (_, fields) = stat.rsplit_once(") ").ok_or(BenchError::Proc("stat"))?;
    let ticks = fields.split(' ').skip(11).take(2).map(|ticks| ticks.parse::<u64>().ok());
    ticks.sum::<Option<u64>>().map(|ticks| ticks * TICK_US).ok_or(BenchError::Proc("stat"))
}

/// CPU time that all processes together have used.
pub fn machine_cpu_us() -> Result<u64> {
    let stat = fs::read_to_string("/proc/stat")?;
    let fields: Vec<u64> = stat
        .lines()
        .next()
        .unwrap_or_default()
        .split_whitespace()
        .skip(1)
        .take(8)
        .filter_map(|field| field.parse().ok())
        .collect();
    let idle: u64 = fields.iter().skip(3).take(2).sum();
    Ok((fields.iter().sum::<u64>() - idle) * TICK_US)
}

/// How many files this process, and those it starts, may have open.
pub fn open_files_max() -> Result<usize> {
    let limits = fs::read_to_string("/proc/self/limits")?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let soft = line.and_then(|line| line.split_whitespace().next());
    match soft {
        Some("unlimited") => Ok(usize::MAX),
        Some(number) => number.parse().map_err(|_| BenchError::Proc("limits")),
        None => Err(BenchError::Proc("limits")),
    }
}

/// What the files below a folder take on disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DiskUse {
    pub table_bytes: u64,
    /// The write-ahead log, whose size is limited however much is stored.
    pub log_bytes: u64,
}

impl DiskUse {
    pub fn of(folder: &Path) -> Result<Self> {
        let mut total = Self::default();
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            // A file may be deleted while we look.
            let Ok(metadata) = entry.metadata() else { continue };
            if metadata.is_dir() {
                let inside = Self::of(&entry.path())?;
                total.table_bytes += inside.table_bytes;
                total.log_bytes += inside.log_bytes;
            } else if entry.path().extension().is_some_and(|ending| ending == "log") {
                total.log_bytes += metadata.blocks() * BLOCK_BYTES;
            } else {
                // Space that is reserved beyond the end of a file does not count.
                total.table_bytes += metadata.len().min(metadata.blocks() * BLOCK_BYTES);
            }
        }
        Ok(total)
    }
}
