//! The built `settee` binary as a child process: started on a data folder, killed or stopped,
//! started again on the same folder. Relies on the ready line that `settee serve` prints.
//! A server is never left running: dropping it kills it. Its log is kept in the folder.

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

pub const ADMIN: &str = "admin";
pub const PASSWORD: &str = "adminpw";

const READY_PREFIX: &str = "settee is ready at http://127.0.0.1:";
const HTTPS_READY_PREFIX: &str = "settee is ready at https://127.0.0.1:";
const START_DEADLINE: Duration = Duration::from_mins(1);
const STOP_DEADLINE: Duration = Duration::from_secs(30);

/// Where a server is to listen.
#[derive(Clone, Copy, Debug)]
pub enum Port {
    /// Any free port, chosen by the server.
    Free,
    /// Address and port as the arguments say.
    Configured,
    /// The port that an earlier server of the same test had.
    Same(u16),
}

/// A running server. Its data lies in `data` below the folder, its log in `settee.log`.
#[derive(Debug)]
pub struct Server {
    child: Child,
    ports: Ports,
}

#[derive(Clone, Copy, Debug)]
struct Ports {
    http: u16,
    https: Option<u16>,
}

impl Server {
    /// Starts the server on `folder` (RocksDB storage) and waits until it is ready.
    pub fn start(folder: &Path, port: Port) -> Self {
        Self::start_with(folder, port, &[])
    }

    /// The same with more arguments.
    pub fn start_with(folder: &Path, port: Port, arguments: &[String]) -> Self {
        Self::start_in(folder, port, arguments, &[])
    }

    /// The same with variables too.
    pub fn start_in(
        folder: &Path,
        port: Port,
        arguments: &[String],
        environment: &[(&str, &str)],
    ) -> Self {
        let log = log_path(folder);
        let mut child = Command::new(env!("CARGO_BIN_EXE_settee"))
            .args(["serve", "--storage", "rocksdb"])
            .args(["--admin", &format!("{ADMIN}:{PASSWORD}")])
            .args(port.arguments())
            .arg("--data-dir")
            .arg(folder.join("data"))
            .args(arguments)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(append_to(&log))
            .spawn()
            .expect("the settee binary starts");
        match wait_until_ready(&mut child) {
            Ok(ports) => Self { child, ports },
            Err(reason) => {
                // Both fail only when it has ended by itself, which is as good.
                let _ = child.kill();
                let _ = child.wait();
                let log = std::fs::read_to_string(&log).unwrap_or_default();
                panic!("settee did not get ready: {reason}\n{log}");
            }
        }
    }

    pub fn port(&self) -> u16 {
        self.ports.http
    }

    /// Where HTTPS is on.
    pub fn https_port(&self) -> u16 {
        self.ports.https.expect("HTTPS is on")
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends the server with SIGKILL, as a power cut would, and waits until it is gone.
    pub fn kill(mut self) {
        self.child.kill().expect("the server was still running");
        self.child.wait().expect("the server is gone");
    }

    /// Ends the server with SIGTERM and returns how it ended; panics when it does not.
    pub fn stop(mut self) -> ExitStatus {
        self.terminate();
        self.wait()
    }

    /// Sends SIGTERM.
    pub fn terminate(&self) {
        let pid = self.pid().to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status().expect("kill runs");
        assert!(sent.success(), "SIGTERM could not be sent");
    }

    /// How it ended; panics when it does not.
    pub fn wait(&mut self) -> ExitStatus {
        let end = Instant::now() + STOP_DEADLINE;
        loop {
            if let Some(status) = self.child.try_wait().expect("the server is our child") {
                return status;
            }
            assert!(Instant::now() < end, "the server ignores SIGTERM");
            thread::sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Port {
    fn arguments(self) -> Vec<String> {
        let port = match self {
            Self::Configured => return Vec::new(),
            Self::Free => 0,
            Self::Same(port) => port,
        };
        vec!["--bind=127.0.0.1".to_owned(), format!("--port={port}")]
    }
}

fn log_path(folder: &Path) -> PathBuf {
    folder.join("settee.log")
}

fn append_to(log: &Path) -> File {
    OpenOptions::new().create(true).append(true).open(log).expect("the log can be written")
}

/// Reads the ready line; a thread goes on reading so that the server never blocks on a full pipe.
fn wait_until_ready(child: &mut Child) -> Result<Ports, String> {
    let stdout = child.stdout.take().ok_or("its output is not piped")?;
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        let mut https = None;
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            https = port_of(&line, HTTPS_READY_PREFIX).or(https);
            if let Some(http) = port_of(&line, READY_PREFIX) {
                // Fails when the deadline has passed and nobody listens any more.
                let _ = sender.send(Ports { http, https });
            }
        }
    });
    receiver.recv_timeout(START_DEADLINE).map_err(|error| match error {
        mpsc::RecvTimeoutError::Timeout => format!("no ready line within {START_DEADLINE:?}"),
        mpsc::RecvTimeoutError::Disconnected => "it ended without a ready line".to_owned(),
    })
}

fn port_of(line: &str, prefix: &str) -> Option<u16> {
    line.strip_prefix(prefix)?.strip_suffix('/')?.parse().ok()
}
