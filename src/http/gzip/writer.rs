//! Compressing, byte for byte as Erlang's zlib does it.

use flate2::{Compress, Compression, Crc, FlushCompress, Status};

use super::GzipError;

/// Magic, method deflate, no flags, no time, no extra flags, written on Unix. Written here because
/// zlib names the system it was built for.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];
/// The most room that is reserved for one call of zlib.
const ROOM_BYTES_MAX: usize = 64 * 1024;

/// Compresses a stream of bytes into one gzip member.
pub struct GzipWriter {
    deflate: Compress,
    crc: Crc,
    header_written: bool,
}

impl GzipWriter {
    /// A writer at `level` (1-9; zlib takes 9 for more).
    #[must_use]
    pub fn new(level: u32) -> Self {
        Self {
            deflate: Compress::new(Compression::new(level.min(9)), false),
            crc: Crc::new(),
            header_written: false,
        }
    }

    /// Compresses `input` and appends what is ready to `output`.
    ///
    /// # Errors
    /// `Compressor`, when zlib fails.
    pub fn write(&mut self, mut input: &[u8], output: &mut Vec<u8>) -> Result<(), GzipError> {
        self.write_header(output);
        self.crc.update(input);
        while !input.is_empty() {
            let (_, consumed) = self.deflate(input, output, FlushCompress::None)?;
            input = input.get(consumed..).unwrap_or_default();
        }
        Ok(())
    }

    /// Ends the member: appends everything that is left, then CRC and length.
    ///
    /// # Errors
    /// `Compressor`, when zlib fails.
    pub fn finish(mut self, output: &mut Vec<u8>) -> Result<(), GzipError> {
        self.write_header(output);
        while self.deflate(&[], output, FlushCompress::Finish)?.0 != Status::StreamEnd {}
        for number in [self.crc.sum(), self.crc.amount()] {
            output.extend(number.to_be_bytes().iter().rev());
        }
        Ok(())
    }

    fn write_header(&mut self, output: &mut Vec<u8>) {
        if !self.header_written {
            output.extend_from_slice(&HEADER);
            self.header_written = true;
        }
    }

    /// One call of zlib: its status and how much of `input` it took.
    fn deflate(
        &mut self,
        input: &[u8],
        output: &mut Vec<u8>,
        flush: FlushCompress,
    ) -> Result<(Status, usize), GzipError> {
        output.reserve(input.len().clamp(64, ROOM_BYTES_MAX));
        let taken_before = self.deflate.total_in();
        let made_before = self.deflate.total_out();
        let status =
            self.deflate.compress_vec(input, output, flush).map_err(|_| GzipError::Compressor)?;
        let taken = self.deflate.total_in() - taken_before;
        let stuck = taken == 0 && self.deflate.total_out() == made_before;
        if stuck && status != Status::StreamEnd {
            return Err(GzipError::Compressor);
        }
        Ok((status, usize::try_from(taken).unwrap_or(input.len())))
    }
}
