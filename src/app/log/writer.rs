//! Where lines go: stderr, a file that may be moved away, journald, or a syslog server.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Write as _};
use std::net::UdpSocket;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::config::{LogBuffer, LogSettings, LogWriter, SyslogSettings};

use super::line::Line;

/// How often the file is looked for: a program that turns logs over moves it away.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Writes lines one by one.
#[derive(Debug)]
pub enum Writer {
    Stderr,
    /// stderr, with the level as journald reads it, which has a clock of its own.
    Journald,
    File(LogFile),
    Syslog(Syslog),
}

impl Writer {
    /// The one that the settings ask for; where that is not possible, stderr, and why.
    pub fn new(settings: &LogSettings) -> (Self, Option<String>) {
        let made = match &settings.writer {
            LogWriter::Stderr => Ok(Self::Stderr),
            LogWriter::Journald => Ok(Self::Journald),
            LogWriter::File(path) => LogFile::open(path.clone(), settings.buffer)
                .map(Self::File)
                .map_err(|error| format!("cannot log to {}: {error}", path.display())),
            LogWriter::Syslog(syslog) => Syslog::new(syslog)
                .map(Self::Syslog)
                .map_err(|error| format!("cannot log to a syslog server: {error}")),
        };
        match made {
            Ok(writer) => (writer, None),
            Err(reason) => (Self::Stderr, Some(reason)),
        }
    }

    /// Writes a line. What cannot be written is lost: there is nobody to tell.
    pub fn write(&mut self, line: &Line, settings: &LogSettings) {
        let bytes_max = settings.max_message_size;
        match self {
            Self::Stderr => to_stderr(&line.render(settings.format, bytes_max)),
            Self::Journald => to_stderr(&format!("<{}>{}", line.severity(), line.text(bytes_max))),
            Self::File(file) => file.write(&line.render(settings.format, bytes_max)),
            Self::Syslog(syslog) => syslog.send(line, bytes_max),
        }
    }

    /// Writes what has waited for long enough.
    pub fn flush_what_is_due(&mut self) {
        if let Self::File(file) = self
            && file.since.elapsed() >= file.buffer.delay
        {
            file.flush();
        }
    }

    /// Writes what waits.
    pub fn flush(&mut self) {
        if let Self::File(file) = self {
            file.flush();
        }
    }
}

fn to_stderr(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{text}");
}

/// A file that is opened anew once its path leads elsewhere.
#[derive(Debug)]
pub struct LogFile {
    path: PathBuf,
    file: File,
    buffer: LogBuffer,
    waiting: Vec<u8>,
    /// When the first line of those that wait came.
    since: Instant,
    looked: Instant,
}

impl LogFile {
    fn open(path: PathBuf, buffer: LogBuffer) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.create(true).append(true);
        owner_only(&mut options);
        let file = options.open(&path)?;
        let now = Instant::now();
        Ok(Self { path, file, buffer, waiting: Vec::new(), since: now, looked: now })
    }

    fn write(&mut self, text: &str) {
        if self.waiting.is_empty() {
            self.since = Instant::now();
        }
        self.waiting.extend_from_slice(text.as_bytes());
        self.waiting.push(b'\n');
        if self.waiting.len() > self.buffer.bytes || self.since.elapsed() >= self.buffer.delay {
            self.flush();
        }
    }

    fn flush(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        if self.looked.elapsed() >= LOOK_EVERY {
            self.looked = Instant::now();
            if self.is_gone()
                && let Ok(opened) = Self::open(self.path.clone(), self.buffer)
            {
                self.file = opened.file;
            }
        }
        let _ = self.file.write_all(&self.waiting);
        self.waiting.clear();
    }

    fn is_gone(&self) -> bool {
        match (self.path.metadata(), self.file.metadata()) {
            (Ok(there), Ok(open)) => !is_same(&there, &open),
            _ => true,
        }
    }
}

#[cfg(unix)]
fn is_same(one: &Metadata, other: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

#[cfg(not(unix))]
fn is_same(one: &Metadata, other: &Metadata) -> bool {
    one.len() == other.len()
}

#[cfg(unix)]
fn owner_only(options: &mut OpenOptions) {
    use std::os::unix::fs::OpenOptionsExt;
    options.mode(0o640);
}

#[cfg(not(unix))]
fn owner_only(_: &mut OpenOptions) {}

/// A server that takes the syslog protocol (RFC 5424) over UDP.
#[derive(Debug)]
pub struct Syslog {
    socket: UdpSocket,
    settings: SyslogSettings,
}

impl Syslog {
    fn new(settings: &SyslogSettings) -> io::Result<Self> {
        let socket = UdpSocket::bind(("0.0.0.0", 0))?;
        socket.connect((settings.host.as_str(), settings.port))?;
        // A line that finds no room is lost; nobody waits for it.
        socket.set_nonblocking(true)?;
        Ok(Self { socket, settings: settings.clone() })
    }

    fn send(&self, line: &Line, bytes_max: usize) {
        let SyslogSettings { appid, facility, .. } = &self.settings;
        let priority = u16::from(*facility) * 8 + u16::from(line.severity());
        let process = std::process::id();
        let packet = format!(
            "<{priority}>1 {} settee {appid} {process} - - {}\n",
            line.time(),
            line.text(bytes_max)
        );
        let _ = self.socket.send(packet.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_was_moved_away_is_made_anew() {
        let folder = tempfile::tempdir().unwrap();
        let (path, moved) = (folder.path().join("log"), folder.path().join("log.1"));
        let at_once = LogBuffer { bytes: 0, delay: Duration::ZERO };
        let mut file = LogFile::open(path.clone(), at_once).unwrap();
        file.write("one");
        std::fs::rename(&path, &moved).unwrap();
        file.write("two");
        assert_eq!(std::fs::read_to_string(&moved).unwrap(), "one\ntwo\n");
        let looked = file.looked.checked_sub(LOOK_EVERY);
        file.looked = looked.unwrap();
        file.write("three");
        file.write("four");
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "three\nfour\n");
        assert_eq!(std::fs::read_to_string(&moved).unwrap(), "one\ntwo\n");
    }

    #[test]
    fn lines_wait_for_others() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let buffer = LogBuffer { bytes: 10, delay: Duration::from_mins(1) };
        let mut file = LogFile::open(path.clone(), buffer).unwrap();
        let written = || std::fs::read_to_string(&path).unwrap();
        file.write("one");
        file.write("two");
        assert_eq!(written(), "");
        file.write("three");
        assert_eq!(written(), "one\ntwo\nthree\n");
        file.write("four");
        file.since = file.since.checked_sub(buffer.delay).unwrap();
        file.write("5");
        assert_eq!(written(), "one\ntwo\nthree\nfour\n5\n");
        file.write("six");
        file.flush();
        assert_eq!(written(), "one\ntwo\nthree\nfour\n5\nsix\n");
    }
}
