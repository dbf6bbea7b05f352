//! Writes a file line by line.

use std::io::{self, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use crate::document::Encoding;

use super::Header;
use super::format::{AttachmentLine, End, SkippedLine, VERSION};

/// Bytes of an attachment that one line has: no remainder in base64 but at the end.
const CHUNK_BYTES: usize = 192 << 10;

/// A file that is being written.
#[derive(Debug)]
pub struct ArchiveWriter<W> {
    output: W,
    /// Bytes given to `output`.
    written: u64,
    docs: u64,
    /// Bytes of the attachment that have no line yet, and that line.
    waiting: Vec<u8>,
    line: String,
}

impl<W: Write> ArchiveWriter<W> {
    /// Begins with the header.
    ///
    /// # Errors
    /// Where `output` cannot be written, as with all that follows.
    pub fn new(output: W, header: &Header) -> io::Result<Self> {
        let (waiting, line) = (Vec::new(), String::new());
        let mut writer = Self { output, written: 0, docs: 0, waiting, line };
        writer.json(header)?;
        Ok(writer)
    }

    /// Bytes until now.
    #[must_use]
    pub fn written(&self) -> u64 {
        self.written
    }

    /// A document; its attachments must follow in the order of its stubs.
    ///
    /// # Errors
    /// See [`Self::new`].
    pub(super) fn document(&mut self, text: &[u8]) -> io::Result<()> {
        self.docs += 1;
        let line: Vec<u8>;
        let text = if text.iter().any(|byte| is_line_end(*byte)) {
            // In JSON such bytes are space between tokens, and nothing else.
            line = text.iter().map(|byte| if is_line_end(*byte) { b' ' } else { *byte }).collect();
            &line
        } else {
            text
        };
        self.write(text)?;
        self.write(b"\n")
    }

    /// An attachment, of which `length` bytes must follow.
    ///
    /// # Errors
    /// See [`Self::new`].
    pub(super) fn attachment(
        &mut self,
        name: &str,
        length: u64,
        encoding: Encoding,
    ) -> io::Result<()> {
        let encoding = encoding.into();
        self.json(&AttachmentLine { attachment: name.into(), length, encoding })
    }

    /// Some of an attachment's bytes.
    ///
    /// # Errors
    /// See [`Self::new`].
    pub(super) fn data(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while self.waiting.len() + bytes.len() >= CHUNK_BYTES {
            let (fits, rest) = bytes.split_at(CHUNK_BYTES - self.waiting.len());
            self.waiting.extend_from_slice(fits);
            self.flush_data()?;
            bytes = rest;
        }
        self.waiting.extend_from_slice(bytes);
        Ok(())
    }

    /// The attachment's bytes are all there.
    ///
    /// # Errors
    /// See [`Self::new`].
    pub(super) fn end_attachment(&mut self) -> io::Result<()> {
        if self.waiting.is_empty() { Ok(()) } else { self.flush_data() }
    }

    /// Takes the last document back, wherever its attachments have come to.
    ///
    /// # Errors
    /// See [`Self::new`].
    pub(super) fn skip(&mut self, reason: &str) -> io::Result<()> {
        self.waiting.clear();
        self.docs -= 1;
        self.json(&SkippedLine { skipped: reason.into() })
    }

    /// The last line. What was written is not made durable.
    ///
    /// # Errors
    /// See [`Self::new`].
    pub(super) fn finish(mut self) -> io::Result<W> {
        self.json(&End { version: VERSION, docs: self.docs })?;
        self.output.flush()?;
        Ok(self.output)
    }

    fn flush_data(&mut self) -> io::Result<()> {
        let mut line = std::mem::take(&mut self.line);
        line.clear();
        line.push_str("{\"data\":\"");
        STANDARD.encode_string(&self.waiting, &mut line);
        line.push_str("\"}\n");
        self.waiting.clear();
        let written = self.write(line.as_bytes());
        self.line = line;
        written
    }

    fn json(&mut self, line: &impl Serialize) -> io::Result<()> {
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        self.write(&text)
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.output.write_all(bytes)?;
        self.written += bytes.len() as u64;
        Ok(())
    }
}

fn is_line_end(byte: u8) -> bool {
    matches!(byte, b'\n' | b'\r')
}
