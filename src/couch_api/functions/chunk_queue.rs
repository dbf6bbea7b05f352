//! What a list function has sent and its client has not taken yet.
//!
//! The function runs on one of few threads, so it never waits for a client: chunks wait in memory,
//! and beyond [`MEMORY_BYTES_MAX`] in a nameless file. The whole is bounded by [`FILE_BYTES_MAX`].
//! In the order of sending: memory, file, tail. There is one writer and one reader.

use std::collections::VecDeque;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_util::{Stream, stream};
use tokio::sync::Notify;

use crate::blocking;
use crate::couch_api::error::ApiError;

/// Bytes that wait in memory before others go to the file.
const MEMORY_BYTES_MAX: usize = 1 << 20;
/// Bytes that the file may hold.
const FILE_BYTES_MAX: u64 = 1 << 30;
/// Bytes that go to the file at once.
const WRITE_BYTES: usize = 256 << 10;
/// Bytes that are taken at once.
const READ_BYTES: usize = 128 << 10;

/// Where a list function's thread puts chunks.
#[derive(Debug)]
pub struct ChunkWriter(Arc<Shared>);

/// Where the client's connection takes them.
#[derive(Debug)]
pub struct ChunkReader(Arc<Shared>);

/// Tells whether anybody still wants the chunks.
#[derive(Debug, Clone)]
pub struct ReaderWatch(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    changed: Notify,
    scratch: PathBuf,
}

#[derive(Debug, Default)]
struct State {
    memory: VecDeque<Bytes>,
    memory_bytes: usize,
    file: Option<Arc<File>>,
    /// Bytes of the file that hold chunks, and those of them that are taken.
    written: u64,
    read: u64,
    /// On its way to the file.
    tail: Vec<u8>,
    end: Option<End>,
    reader_gone: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Complete,
    /// The connection is to be cut.
    BrokenOff,
}

/// Why a chunk is not taken.
#[derive(Debug, thiserror::Error)]
pub enum ChunkError {
    #[error("the client has gone")]
    ReaderGone,
    #[error("the answer of a list is too large for its client's pace")]
    TooLarge,
    #[error("a temporary file: {0}")]
    File(#[from] std::io::Error),
}

/// The two ends of a new queue; its file lies in `scratch`.
#[must_use]
pub fn chunk_queue(scratch: PathBuf) -> (ChunkWriter, ChunkReader) {
    let state = Mutex::new(State::default());
    let shared = Arc::new(Shared { state, changed: Notify::new(), scratch });
    (ChunkWriter(shared.clone()), ChunkReader(shared))
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ChunkWriter {
    /// Adds a chunk. Never waits for the reader; it may write to disk.
    ///
    /// # Errors
    /// Where there is no reader any more, or no room.
    pub fn push(&mut self, chunk: String) -> Result<(), ChunkError> {
        let mut state = self.0.lock();
        if state.reader_gone {
            return Err(ChunkError::ReaderGone);
        }
        let file_is_empty = state.read == state.written && state.tail.is_empty();
        if file_is_empty && state.memory_bytes + chunk.len() <= MEMORY_BYTES_MAX {
            state.memory_bytes += chunk.len();
            state.memory.push_back(chunk.into());
        } else {
            state.tail.extend_from_slice(chunk.as_bytes());
            if state.tail.len() >= WRITE_BYTES {
                self.write_tail(state)?;
            }
        }
        self.0.changed.notify_one();
        Ok(())
    }

    /// Writes the tail behind what is in the file. The state is not locked meanwhile; the reader
    /// finds nothing behind the file's end until the tail is there.
    fn write_tail(&self, mut state: MutexGuard<'_, State>) -> Result<(), ChunkError> {
        let tail = std::mem::take(&mut state.tail);
        if state.read == state.written {
            (state.read, state.written) = (0, 0);
        }
        let at = state.written;
        let after = at + tail.len() as u64;
        if after > FILE_BYTES_MAX {
            return Err(ChunkError::TooLarge);
        }
        let file = match &state.file {
            Some(file) => file.clone(),
            None => Arc::new(tempfile::tempfile_in(&self.0.scratch)?),
        };
        state.file = Some(file.clone());
        drop(state);
        file.write_all_at(&tail, at)?;
        self.0.lock().written = after;
        Ok(())
    }

    /// There are no further chunks.
    pub fn finish(&self) {
        self.end(End::Complete);
    }

    /// The chunks end before they should, as they do when the writer is dropped unfinished.
    pub fn break_off(&self) {
        self.end(End::BrokenOff);
    }

    fn end(&self, end: End) {
        self.0.lock().end.get_or_insert(end);
        self.0.changed.notify_one();
    }

    /// Something that tells whether there is a reader.
    #[must_use]
    pub fn watch(&self) -> ReaderWatch {
        ReaderWatch(self.0.clone())
    }
}

impl Drop for ChunkWriter {
    fn drop(&mut self) {
        self.end(End::BrokenOff);
    }
}

impl ReaderWatch {
    /// Whether the client has gone.
    #[must_use]
    pub fn reader_is_gone(&self) -> bool {
        self.0.lock().reader_gone
    }
}

impl Drop for ChunkReader {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        *state = State { reader_gone: true, end: state.end, ..State::default() };
    }
}

/// What the reader finds.
enum Next {
    Chunk(Bytes),
    InFile { file: Arc<File>, at: u64, length: usize },
    End(End),
    Nothing,
}

impl ChunkReader {
    /// The chunks as they come, put together where they are small.
    ///
    /// # Errors
    /// At the end of an answer that broke off.
    pub fn into_stream(self) -> impl Stream<Item = Result<Bytes, ApiError>> + Send {
        stream::try_unfold(self, |reader| async move {
            loop {
                match reader.next() {
                    Next::Chunk(chunk) => return Ok(Some((chunk, reader))),
                    Next::InFile { file, at, length } => {
                        let read = blocking::run("read spooled chunks", move || {
                            let mut bytes = vec![0; length];
                            file.read_exact_at(&mut bytes, at)?;
                            Ok::<_, ApiError>(Bytes::from(bytes))
                        });
                        let bytes = read.await??;
                        reader.0.lock().read += bytes.len() as u64;
                        return Ok(Some((bytes, reader)));
                    }
                    Next::End(End::Complete) => return Ok(None),
                    Next::End(End::BrokenOff) => {
                        // What came before must be on its way when the connection is cut.
                        tokio::task::yield_now().await;
                        return Err(ApiError::BrokenOff);
                    }
                    Next::Nothing => reader.0.changed.notified().await,
                }
            }
        })
    }

    fn next(&self) -> Next {
        let mut state = self.0.lock();
        if let Some(first) = state.memory.pop_front() {
            return Next::Chunk(state.with_following(first));
        }
        let waiting = state.written - state.read;
        if let (1.., Some(file)) = (waiting, &state.file) {
            let length = usize::try_from(waiting).map_or(READ_BYTES, |all| all.min(READ_BYTES));
            return Next::InFile { file: file.clone(), at: state.read, length };
        }
        if !state.tail.is_empty() {
            return Next::Chunk(std::mem::take(&mut state.tail).into());
        }
        state.end.map_or(Next::Nothing, Next::End)
    }
}

impl State {
    /// A chunk from memory with small ones that follow it.
    fn with_following(&mut self, first: Bytes) -> Bytes {
        self.memory_bytes -= first.len();
        let fits = |chunk: &Bytes, length: usize| length + chunk.len() <= READ_BYTES;
        if self.memory.front().is_none_or(|chunk| !fits(chunk, first.len())) {
            return first;
        }
        let mut together = first.to_vec();
        while let Some(chunk) = self.memory.pop_front_if(|chunk| fits(chunk, together.len())) {
            self.memory_bytes -= chunk.len();
            together.extend_from_slice(&chunk);
        }
        together.into()
    }
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt;
    use proptest::prelude::*;

    use super::*;

    fn queue() -> (ChunkWriter, ChunkReader, tempfile::TempDir) {
        let folder = tempfile::tempdir().unwrap();
        let (writer, reader) = chunk_queue(folder.path().to_owned());
        (writer, reader, folder)
    }

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().build().unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]
        /// Whatever is written and read in whatever turns comes out in order.
        #[test]
        fn order_is_kept(
            turns in prop::collection::vec((1usize..400_000, 0usize..3), 1..24),
        ) {
            let (mut writer, reader, _folder) = queue();
            let (mut sent, mut got) = (Vec::new(), Vec::new());
            runtime().block_on(async {
                let mut chunks = std::pin::pin!(reader.into_stream());
                for (at, (length, reads)) in turns.iter().enumerate() {
                    let letter = char::from(b'a' + u8::try_from(at % 26).unwrap());
                    let chunk = letter.to_string().repeat(*length);
                    sent.extend_from_slice(chunk.as_bytes());
                    writer.push(chunk).unwrap();
                    for _ in 0..*reads {
                        if got.len() < sent.len() {
                            got.extend_from_slice(&chunks.next().await.unwrap().unwrap());
                        }
                    }
                }
                writer.finish();
                while let Some(chunk) = chunks.next().await {
                    got.extend_from_slice(&chunk.unwrap());
                }
            });
            prop_assert!(sent == got);
        }
    }

    #[test]
    fn memory_stays_small() {
        let (mut writer, reader, _folder) = queue();
        for _ in 0..64 {
            writer.push("x".repeat(100_000)).unwrap();
        }
        let state = reader.0.lock();
        assert!(state.memory_bytes <= MEMORY_BYTES_MAX);
        assert!(state.tail.len() < WRITE_BYTES);
        assert!(state.written > 4_000_000);
    }

    #[test]
    fn a_reader_that_leaves_stops_the_writer() {
        let (mut writer, reader, _folder) = queue();
        let watch = writer.watch();
        writer.push("a".to_owned()).unwrap();
        assert!(!watch.reader_is_gone());
        drop(reader.into_stream());
        assert!(watch.reader_is_gone());
        assert!(matches!(writer.push("b".to_owned()), Err(ChunkError::ReaderGone)));
    }

    #[test]
    fn a_writer_that_stops_breaks_the_answer_off() {
        let (mut writer, reader, _folder) = queue();
        writer.push("a".to_owned()).unwrap();
        drop(writer);
        let chunks = runtime().block_on(reader.into_stream().collect::<Vec<_>>());
        assert!(matches!(chunks.as_slice(), [Ok(chunk), Err(ApiError::BrokenOff)] if chunk == "a"));
    }
}
