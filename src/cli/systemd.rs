//! What systemd is told (`Type=notify`): one datagram a message to the socket that it names.

use std::env;
use std::io;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// The service's manager; nobody where the process was started otherwise.
#[derive(Debug, Clone, Default)]
pub struct Systemd {
    socket: Option<SocketAddr>,
    /// The manager ends a service that says nothing for so long.
    watchdog: Option<Duration>,
}

impl Systemd {
    /// As `sd_notify(3)` and `sd_watchdog_enabled(3)` have it, for sockets that are files.
    pub fn from_environment() -> Self {
        let Some(name) = env::var_os("NOTIFY_SOCKET") else { return Self::default() };
        let number = |name: &str| env::var(name).ok()?.parse::<u64>().ok();
        let mine = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(std::process::id()));
        let watchdog = number("WATCHDOG_USEC").filter(|_| mine).map(Duration::from_micros);
        match SocketAddr::from_pathname(&name) {
            Ok(socket) => Self { socket: Some(socket), watchdog },
            Err(error) => {
                tracing::warn!(%error, "NOTIFY_SOCKET cannot be used");
                Self::default()
            }
        }
    }

    /// Tells the manager.
    pub fn notify(&self, message: &str) {
        if let Err(error) = self.send(message) {
            tracing::warn!(%error, message, "systemd could not be told");
        }
    }

    fn send(&self, message: &str) -> io::Result<()> {
        let Some(address) = &self.socket else { return Ok(()) };
        let socket = UnixDatagram::unbound()?;
        // A full queue must not hold anybody up.
        socket.set_nonblocking(true)?;
        socket.send_to_addr(message.as_bytes(), address).map(|_| ())
    }

    /// Shows that the server's threads still take turns.
    pub async fn keep_watchdog(self) {
        let Some(every) = self.watchdog.map(|most| most / 2) else { return };
        loop {
            tokio::time::sleep(every).await;
            self.notify("WATCHDOG=1");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn messages_are_datagrams() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let manager = tokio::net::UnixDatagram::bind(&path).unwrap();
        let systemd = Systemd {
            socket: Some(SocketAddr::from_pathname(&path).unwrap()),
            watchdog: Some(Duration::from_millis(2)),
        };
        systemd.notify("READY=1");
        let mut message = [0; 100];
        let mut next = async || {
            let length = manager.recv(&mut message).await.unwrap();
            String::from_utf8_lossy(&message[..length]).into_owned()
        };
        assert_eq!(next().await, "READY=1");
        let watched = tokio::spawn(systemd.keep_watchdog());
        assert_eq!(next().await, "WATCHDOG=1");
        assert_eq!(next().await, "WATCHDOG=1");
        watched.abort();
        // Nobody to tell.
        Systemd::default().notify("READY=1");
        Systemd::default().keep_watchdog().await;
    }
}
