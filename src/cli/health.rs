//! `settee health`: whether the server at an address says that it is up.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use thiserror::Error;

const TIME_MAX: Duration = Duration::from_secs(5);
/// Enough for a status line.
const ANSWER_BYTES_MAX: u64 = 1024;
const REQUEST: &str = "GET /_up HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n";

/// Why a server is not healthy.
#[derive(Debug, Error)]
pub enum HealthError {
    #[error("no answer from {address}: {source}")]
    NoAnswer { address: SocketAddr, source: io::Error },
    #[error("the server at {address} is not up: {answer}")]
    NotUp { address: SocketAddr, answer: String },
}

/// Asks `/_up`.
///
/// # Errors
/// Where the answer is not 200, or there is none.
pub fn run(address: SocketAddr) -> Result<(), HealthError> {
    let answer = ask(address).map_err(|source| HealthError::NoAnswer { address, source })?;
    let status = answer.lines().next().unwrap_or_default();
    if status.starts_with("HTTP/1.1 200 ") {
        Ok(())
    } else {
        Err(HealthError::NotUp { address, answer: status.to_owned() })
    }
}

fn ask(address: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, TIME_MAX)?;
    stream.set_read_timeout(Some(TIME_MAX))?;
    stream.set_write_timeout(Some(TIME_MAX))?;
    stream.write_all(REQUEST.as_bytes())?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES_MAX).read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    #[test]
    fn only_200_is_healthy() {
        let check = |answer: &'static str, expect: &str| {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let address = listener.local_addr().unwrap();
            let server = thread::spawn(move || {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = vec![0; REQUEST.len()];
                stream.read_exact(&mut request).unwrap();
                assert_eq!(request, REQUEST.as_bytes());
                stream.write_all(answer.as_bytes()).unwrap();
            });
            let found = run(address).map_err(|error| error.to_string()).err().unwrap_or_default();
            server.join().unwrap();
            assert_eq!(found.replace(&address.to_string(), "ADDRESS"), expect);
        };
        check("HTTP/1.1 200 OK\r\n\r\n{\"status\":\"ok\"}", "");
        check(
            "HTTP/1.1 404 Object Not Found\r\n\r\n{\"status\":\"maintenance_mode\"}",
            "the server at ADDRESS is not up: HTTP/1.1 404 Object Not Found",
        );
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        assert!(matches!(run(address), Err(HealthError::NoAnswer { .. })));
    }
}
