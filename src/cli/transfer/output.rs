//! The file that an export writes. It has its name only when it is whole and on disk.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use flate2::Compression;
use flate2::write::GzEncoder;

const BUFFER_BYTES: usize = 256 << 10;

/// Where an export goes.
pub struct Output {
    sink: Sink,
    unfinished: Option<Unfinished>,
}

enum Sink {
    Plain(BufWriter<Box<dyn Write + Send>>),
    Gzip(GzEncoder<BufWriter<Box<dyn Write + Send>>>),
}

/// A file under another name, which is removed unless it gets its own.
struct Unfinished {
    file: File,
    partial: PathBuf,
    path: PathBuf,
    is_whole: bool,
}

impl Output {
    /// `-` is stdout; a file whose name ends in `.gz` is compressed.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub fn open(path: &Path) -> io::Result<Self> {
        let is_packed = path.extension().is_some_and(|suffix| suffix.eq_ignore_ascii_case("gz"));
        let (writer, unfinished): (Box<dyn Write + Send>, _) = if path.as_os_str() == "-" {
            (Box::new(io::stdout()), None)
        } else if fs::metadata(path).is_ok_and(|known| !known.is_file()) {
            // A device or a pipe is written as it is.
            (Box::new(File::options().write(true).open(path)?), None)
        } else {
            let unfinished = Unfinished::create(path)?;
            (Box::new(unfinished.file.try_clone()?), Some(unfinished))
        };
        let writer = BufWriter::with_capacity(BUFFER_BYTES, writer);
        let sink = if is_packed {
            Sink::Gzip(GzEncoder::new(writer, Compression::default()))
        } else {
            Sink::Plain(writer)
        };
        Ok(Self { sink, unfinished })
    }

    /// All has been written: makes it durable, and gives it its name.
    ///
    /// # Errors
    /// Where that fails; the file is gone then.
    pub fn finish(self) -> io::Result<()> {
        let mut writer = match self.sink {
            Sink::Plain(writer) => writer,
            Sink::Gzip(encoder) => encoder.finish()?,
        };
        writer.flush()?;
        self.unfinished.map_or(Ok(()), Unfinished::keep)
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.sink {
            Sink::Plain(writer) => writer.write(bytes),
            Sink::Gzip(encoder) => encoder.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.sink {
            Sink::Plain(writer) => writer.flush(),
            Sink::Gzip(encoder) => encoder.flush(),
        }
    }
}

impl Unfinished {
    fn create(path: &Path) -> io::Result<Self> {
        let mut partial = OsString::from(path);
        partial.push(".partial");
        let partial = PathBuf::from(partial);
        let file = File::create(&partial)?;
        Ok(Self { file, partial, path: path.to_owned(), is_whole: false })
    }

    fn keep(mut self) -> io::Result<()> {
        self.file.sync_all()?;
        fs::rename(&self.partial, &self.path)?;
        self.is_whole = true;
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if !self.is_whole {
            // If it cannot be removed, its name still says what it is.
            let _ = fs::remove_file(&self.partial);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn a_file_has_its_name_when_it_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jsonl");
        fs::write(&path, "old").unwrap();
        let mut output = Output::open(&path).unwrap();
        output.write_all(b"new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"old");
        drop(output);
        assert_eq!(names(folder.path()), ["a.jsonl"], "what was not finished is gone");
        let mut output = Output::open(&path).unwrap();
        output.write_all(b"new").unwrap();
        output.finish().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(names(folder.path()), ["a.jsonl"]);
    }

    #[test]
    fn names_say_what_is_packed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.jsonl.gz");
        let mut output = Output::open(&path).unwrap();
        output.write_all(b"text").unwrap();
        output.finish().unwrap();
        let mut text = String::new();
        let packed = File::open(&path).unwrap();
        flate2::read::GzDecoder::new(packed).read_to_string(&mut text).unwrap();
        assert_eq!(text, "text");
        Output::open(Path::new("/dev/null")).unwrap().finish().unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
    }
}
