//! Where the server listens, as its settings say when it starts and whenever it is restarted.

use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use thiserror::Error;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::config::{Config, Settings};

use super::tls::{Tls, TlsError};

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 1024;

/// Why nobody listens.
#[derive(Debug, Error)]
pub enum ListenError {
    #[error("cannot listen at {address}: {source}")]
    Bind { address: SocketAddr, source: io::Error },
    #[error("TLS: {0}")]
    Tls(#[from] TlsError),
}

/// A listener, and the address that was asked for.
struct Door {
    /// `None` where it was given up for an address that could not be had.
    listener: Option<TcpListener>,
    asked: SocketAddr,
}

/// The addresses of the server. All share limits and everything behind them.
pub struct Listeners {
    http: Door,
    https: Option<(Door, Arc<Tls>)>,
}

/// Listens at `address`; port 0 is any free port. Call it inside of a tokio runtime.
///
/// # Errors
/// Those of the system, such as an address in use.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    // A restart must not wait for connections of the server before to fade away.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

impl Door {
    fn open(asked: SocketAddr) -> Result<Self, ListenError> {
        let failed = |source| ListenError::Bind { address: asked, source };
        Ok(Self { listener: Some(bind(asked).map_err(failed)?), asked })
    }

    /// Listens elsewhere, if that is what is asked for. Where that fails, it goes on as before.
    fn move_to(&mut self, asked: SocketAddr) -> Result<(), ListenError> {
        if self.asked == asked {
            return Ok(());
        }
        let here = self.address().unwrap_or(self.asked);
        if here.port() == asked.port() {
            // Nobody gets a port of all addresses while it is taken at one.
            self.listener = None;
        }
        match Self::open(asked) {
            Ok(door) => *self = door,
            Err(error) => {
                self.listener = self.listener.take().or_else(|| bind(here).ok());
                return Err(error);
            }
        }
        Ok(())
    }

    /// Where it is in fact.
    fn address(&self) -> io::Result<SocketAddr> {
        self.listener.as_ref().map_or(Ok(self.asked), TcpListener::local_addr)
    }

    /// The next connection.
    async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        match &self.listener {
            Some(listener) => listener.accept().await,
            None => pending().await,
        }
    }
}

impl Listeners {
    /// Listens where the settings say.
    ///
    /// # Errors
    /// Where that is not possible.
    pub fn open(config: &Arc<Config>) -> Result<Self, ListenError> {
        let settings = config.snapshot();
        let http = Door::open(http_address(&settings))?;
        let https = match https_address(&settings) {
            Some(asked) => Some((Door::open(asked)?, Arc::new(Tls::load(config.clone())?))),
            None => None,
        };
        Ok(Self { http, https })
    }

    /// Where HTTP is spoken.
    ///
    /// # Errors
    /// Those of the system.
    pub fn http_address(&self) -> io::Result<SocketAddr> {
        self.http.address()
    }

    /// Where HTTPS is spoken, if it is.
    ///
    /// # Errors
    /// Those of the system.
    pub fn https_address(&self) -> io::Result<Option<SocketAddr>> {
        self.https.as_ref().map(|(door, _)| door.address()).transpose()
    }

    /// The next connection, and what it begins with where it is to be TLS.
    pub(super) async fn accept(&self) -> io::Result<(TcpStream, SocketAddr, Option<Arc<Tls>>)> {
        let encrypted = async {
            match &self.https {
                Some((door, tls)) => (door.accept().await, Some(tls.clone())),
                None => pending().await,
            }
        };
        let (accepted, tls) = tokio::select! {
            accepted = self.http.accept() => (accepted, None),
            accepted = encrypted => accepted,
        };
        accepted.map(|(stream, peer)| (stream, peer, tls))
    }

    /// Obeys settings that have changed. What cannot be done is told, and stays as it was: an
    /// operator who mistypes an address must not be locked out.
    pub(super) fn renew(&mut self, config: &Arc<Config>) {
        let settings = config.snapshot();
        let moved = self.http.move_to(http_address(&settings));
        let turned = self.renew_https(config, https_address(&settings));
        for error in [moved, turned].into_iter().filter_map(Result::err) {
            tracing::error!(%error, "the server listens where it did before");
        }
        for (protocol, door) in self.doors() {
            let address = door.address().unwrap_or(door.asked);
            tracing::info!("the server listens at {protocol}://{address}/");
        }
    }

    fn doors(&self) -> impl Iterator<Item = (&'static str, &Door)> {
        let https = self.https.iter().map(|(door, _)| ("https", door));
        std::iter::once(("http", &self.http)).chain(https)
    }

    fn renew_https(
        &mut self,
        config: &Arc<Config>,
        asked: Option<SocketAddr>,
    ) -> Result<(), ListenError> {
        match (asked, &mut self.https) {
            (Some(asked), Some((door, _))) => door.move_to(asked)?,
            (Some(asked), https @ None) => {
                let tls = Arc::new(Tls::load(config.clone())?);
                *https = Some((Door::open(asked)?, tls));
            }
            (None, https) => *https = None,
        }
        Ok(())
    }
}

fn http_address(settings: &Settings) -> SocketAddr {
    SocketAddr::new(settings.chttpd.bind_address, settings.chttpd.port)
}

fn https_address(settings: &Settings) -> Option<SocketAddr> {
    let address = SocketAddr::new(settings.chttpd.bind_address, settings.ssl.port);
    settings.ssl.enable.then_some(address)
}
