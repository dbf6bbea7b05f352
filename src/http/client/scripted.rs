//! A server for tests that answers as a test says, however wrong that is, and remembers what it
//! was asked. It speaks just enough HTTP to take whole requests.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A request as it came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    pub method: String,
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
    /// Nothing was missing at its end.
    pub is_whole: bool,
}

/// What the server does next.
#[derive(Debug, Clone)]
pub enum Step {
    Send(String),
    /// Nothing, for so many milliseconds.
    Rest(u64),
    /// Nothing for ever.
    Hang,
    /// Ends the connection.
    Cut,
}

/// A running server, which ends with the test's runtime.
pub struct Scripted {
    port: u16,
    seen: watch::Sender<Vec<Seen>>,
    _accepting: JoinHandle<()>,
}

impl Seen {
    pub fn header(&self, name: &str) -> Option<&str> {
        let header = self.headers.iter().find(|(known, _)| known == name);
        header.map(|(_, value)| value.as_str())
    }

    /// Method and target.
    pub fn line(&self) -> String {
        format!("{} {}", self.method, self.target)
    }
}

/// A whole answer with a body.
pub fn answer(status: u16, headers: &str, body: &str) -> Vec<Step> {
    let length = body.len();
    let head = format!("HTTP/1.1 {status} X\r\nContent-Length: {length}\r\n{headers}\r\n");
    vec![Step::Send(head + body)]
}

/// The head of an answer whose body is sent in chunks.
pub fn chunked() -> Step {
    Step::Send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned())
}

/// One chunk of such a body.
pub fn chunk(text: &str) -> Step {
    Step::Send(format!("{:x}\r\n{text}\r\n", text.len()))
}

impl Scripted {
    /// `answers` is asked with each request and how many there were before.
    pub async fn start(
        answers: impl Fn(&Seen, usize) -> Vec<Step> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = watch::Sender::new(Vec::new());
        let (answers, known) = (Arc::new(answers), seen.clone());
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // Where time is the runtime's, it does not wait for the system's timers.
                stream.set_nodelay(true).unwrap();
                let (answers, known) = (answers.clone(), known.clone());
                tokio::spawn(async move {
                    let answers = |seen: &Seen| {
                        known.send_modify(|all: &mut Vec<Seen>| all.push(seen.clone()));
                        answers(seen, known.borrow().len() - 1)
                    };
                    // However the connection ends, the test sees it at its own end.
                    let _ = serve(BufReader::new(stream), answers).await;
                });
            }
        });
        Self { port, seen, _accepting: accepting }
    }

    pub fn address(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}/{path}", self.port)
    }

    /// All requests until now.
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.borrow().clone()
    }

    /// All requests, once there are so many.
    pub async fn seen_after(&self, count: usize) -> Vec<Seen> {
        let mut seen = self.seen.subscribe();
        let enough = seen.wait_for(|all| all.len() >= count);
        let enough = tokio::time::timeout(Duration::from_secs(30), enough).await;
        enough.expect("so many requests come").unwrap().clone()
    }

    /// The lines of all requests until now.
    pub fn lines(&self) -> Vec<String> {
        self.seen().iter().map(Seen::line).collect()
    }
}

async fn serve(
    mut stream: BufReader<TcpStream>,
    answers: impl Fn(&Seen) -> Vec<Step>,
) -> std::io::Result<()> {
    while let Some(seen) = request(&mut stream).await? {
        let steps = answers(&seen);
        if !seen.is_whole {
            break;
        }
        for step in steps {
            match step {
                Step::Send(text) => stream.write_all(text.as_bytes()).await?,
                Step::Rest(ms) => tokio::time::sleep(Duration::from_millis(ms)).await,
                Step::Hang => std::future::pending().await,
                Step::Cut => return Ok(()),
            }
        }
    }
    Ok(())
}

/// The next request; nothing where the client is done.
async fn request(stream: &mut BufReader<TcpStream>) -> std::io::Result<Option<Seen>> {
    let mut line = String::new();
    if stream.read_line(&mut line).await? == 0 {
        return Ok(None);
    }
    let mut words = line.split(' ').map(str::to_owned);
    let mut seen =
        Seen { method: words.next().unwrap(), target: words.next().unwrap(), ..Seen::default() };
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        let Some((name, value)) = line.trim_end().split_once(": ") else { break };
        seen.headers.push((name.to_ascii_lowercase(), value.to_owned()));
    }
    let mut body = Vec::new();
    let is_whole = match seen.header("content-length") {
        Some(length) => part(stream, length.parse().unwrap(), &mut body).await?,
        None if seen.header("transfer-encoding").is_some() => chunks(stream, &mut body).await?,
        None => true,
    };
    seen.body = String::from_utf8_lossy(&body).into_owned();
    Ok(Some(Seen { is_whole, ..seen }))
}

/// Adds `length` bytes; whether there were so many.
async fn part(
    stream: &mut BufReader<TcpStream>,
    length: u64,
    body: &mut Vec<u8>,
) -> std::io::Result<bool> {
    Ok(stream.take(length).read_to_end(body).await? as u64 == length)
}

async fn chunks(stream: &mut BufReader<TcpStream>, body: &mut Vec<u8>) -> std::io::Result<bool> {
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        let Ok(length) = u64::from_str_radix(line.trim_end(), 16) else { return Ok(false) };
        let is_whole = part(stream, length, body).await?;
        stream.read_line(&mut line).await?;
        if length == 0 || !is_whole {
            return Ok(is_whole);
        }
    }
}
