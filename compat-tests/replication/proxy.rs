//! A TCP proxy in front of a server that brings only so many bytes: then it cuts the connection,
//! or says nothing more on any until it is told to go on.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// Its threads end with the process, or with the connections they serve.
pub struct Proxy {
    pub port: u16,
    /// Connections that have brought all that they may.
    ended: Arc<AtomicUsize>,
    /// Bytes that all connections together may still bring, where they share.
    shared: Option<Arc<AtomicUsize>>,
}

impl Proxy {
    /// Cuts each connection when it has brought so many bytes.
    pub fn cutting(upstream: &str, bytes: usize) -> Self {
        Self::start(upstream, bytes, None)
    }

    /// Falls silent when all connections together have brought so many bytes.
    pub fn stalling(upstream: &str, bytes: usize) -> Self {
        Self::start(upstream, 0, Some(Arc::new(AtomicUsize::new(bytes))))
    }

    fn start(upstream: &str, bytes: usize, shared: Option<Arc<AtomicUsize>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let ended = Arc::new(AtomicUsize::new(0));
        let proxy = Self { port, ended: ended.clone(), shared: shared.clone() };
        let upstream = upstream.to_owned();
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = TcpStream::connect(&upstream) else { return };
                let left = shared.clone().unwrap_or_else(|| Arc::new(AtomicUsize::new(bytes)));
                let (ended, stalls) = (ended.clone(), shared.is_some());
                // Connections end in all kinds of ways, which is what they are here for.
                thread::spawn(move || serve(&client, &server, &left, &ended, stalls));
            }
        });
        proxy
    }

    /// How many connections have brought all that they may.
    pub fn ended(&self) -> usize {
        self.ended.load(Ordering::Relaxed)
    }

    /// Stalls no more; new connections are served.
    pub fn go_on(&self) {
        self.shared.as_ref().unwrap().store(usize::MAX / 2, Ordering::Relaxed);
    }
}

fn serve(
    client: &TcpStream,
    server: &TcpStream,
    left: &AtomicUsize,
    ended: &AtomicUsize,
    stalls: bool,
) -> io::Result<()> {
    let (mut asks, mut asked) = (client.try_clone()?, server.try_clone()?);
    let asking = thread::spawn(move || {
        let _ = io::copy(&mut asks, &mut asked);
        let _ = asked.shutdown(Shutdown::Write);
    });
    if hand_on(server, client, left)? {
        ended.fetch_add(1, Ordering::Relaxed);
        if stalls {
            // Until the client has enough.
            let _ = asking.join();
        }
    }
    client.shutdown(Shutdown::Both)?;
    server.shutdown(Shutdown::Both)
}

/// Whether it brought all that it may, before the end.
fn hand_on(mut from: &TcpStream, mut to: &TcpStream, left: &AtomicUsize) -> io::Result<bool> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let most = left.load(Ordering::Relaxed).min(buffer.len());
        if most == 0 {
            return Ok(true);
        }
        let read = from.read(&mut buffer[..most])?;
        if read == 0 {
            return Ok(false);
        }
        to.write_all(&buffer[..read])?;
        let rest = |left: usize| Some(left.saturating_sub(read));
        let _ = left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, rest);
    }
}
