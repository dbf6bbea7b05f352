//! The file that an import reads. One that is compressed, or comes through a pipe, is put into a
//! nameless file first: attachments are read where they stand.

use std::fs::File;
use std::io::{self, Read, Seek as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use flate2::read::MultiGzDecoder;

/// What a gzip stream begins with.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// A file to be read from any place.
#[derive(Debug)]
pub struct Input {
    pub file: File,
    pub bytes: u64,
}

impl Input {
    /// `-` is stdin.
    ///
    /// # Errors
    /// Where it cannot be read, or not be unpacked.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = if path.as_os_str() == "-" {
            spooled(&mut io::stdin().lock())?
        } else {
            let mut file = File::open(path)?;
            if file.metadata()?.is_file() { file } else { spooled(&mut file)? }
        };
        let mut first = [0; GZIP.len()];
        let is_packed = file.read_exact_at(&mut first, 0).is_ok() && first == GZIP;
        let file = if is_packed { spooled(&mut MultiGzDecoder::new(file))? } else { file };
        let bytes = file.metadata()?.len();
        Ok(Self { file, bytes })
    }
}

fn spooled(source: &mut impl Read) -> io::Result<File> {
    let mut file = tempfile::tempfile()?;
    io::copy(source, &mut file)?;
    file.rewind()?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn text(path: &Path) -> io::Result<String> {
        let mut text = String::new();
        let mut input = Input::open(path)?;
        input.file.read_to_string(&mut text)?;
        assert_eq!(input.bytes, text.len() as u64);
        Ok(text)
    }

    #[test]
    fn what_is_packed_is_unpacked() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(b"many words").unwrap();
        let packed = encoder.finish().unwrap();
        for (bytes, expect) in [
            (b"".to_vec(), Some("")),
            (b"{".to_vec(), Some("{")),
            (b"many words".to_vec(), Some("many words")),
            (packed.clone(), Some("many words")),
            ([packed.clone(), packed.clone()].concat(), Some("many wordsmany words")),
            (packed[..packed.len() - 4].to_vec(), None),
        ] {
            fs::write(&path, &bytes).unwrap();
            assert_eq!(text(&path).ok().as_deref(), expect, "{bytes:?}");
        }
        assert!(Input::open(&folder.path().join("none")).is_err());
    }
}
