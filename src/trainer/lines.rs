//! Training files line by line, packed or not.
//!
//! Invariant: no bytes panic; what cannot be read is an error that names its file, and where it is about a line its line.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;

/// What becomes of lines that are no rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnBadLine {
    /// The first ends the reading.
    #[default]
    Refuse,
    /// They are left out and counted.
    Skip,
}

/// Why a training file could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message explains its fields")]
pub enum ReadError {
    /// The file system refused, or packed bytes are damaged.
    #[error("{}: cannot be read", file.display())]
    Io { file: PathBuf, source: io::Error },
    /// One line is no row.
    #[error("{}, line {line}", file.display())]
    Line { file: PathBuf, line: usize, source: LineError },
}

/// What is wrong with one line.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message explains its fields")]
pub enum LineError {
    /// The line is no text.
    #[error("the line is not UTF-8: convert the file first")]
    Utf8,
    /// The line is not the JSON object that is wanted.
    #[error("the line is not a JSON object with the fields of its kind")]
    Json { source: serde_json::Error },
    /// A text that has to be there is empty.
    #[error("`{field}` is empty")]
    Empty { field: &'static str },
    /// A language is missing or none.
    #[error("`{field}` is `{given}`, which is no language tag")]
    Language { field: &'static str, given: String },
}

/// Hands each row to `take`; gives how many lines were left out.
pub(super) fn each_row<Row: DeserializeOwned>(
    file: &Path,
    on_bad: OnBadLine,
    mut take: impl FnMut(Row) -> Result<(), LineError>,
) -> Result<usize, ReadError> {
    let fail = |source| ReadError::Io { file: file.to_owned(), source };
    let mut input = open(file).map_err(fail)?;
    let mut bytes = Vec::new();
    let mut bad = 0;
    for line in 1.. {
        bytes.clear();
        if input.read_until(b'\n', &mut bytes).map_err(fail)? == 0 {
            break;
        }
        let text = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(&bytes);
        if text.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let row = str::from_utf8(text).map_err(|_| LineError::Utf8).and_then(|text| {
            serde_json::from_str(text).map_err(|source| LineError::Json { source })
        });
        match (row.and_then(&mut take), on_bad) {
            (Ok(()), _) => {}
            (Err(_), OnBadLine::Skip) => bad += 1,
            (Err(source), OnBadLine::Refuse) => {
                return Err(ReadError::Line { file: file.to_owned(), line, source });
            }
        }
    }
    Ok(bad)
}

/// A file's bytes as they were before they were packed, by the first of them.
pub(super) fn open(file: &Path) -> io::Result<Box<dyn BufRead>> {
    let mut input = File::open(file)?;
    let mut magic = Vec::with_capacity(4);
    input.by_ref().take(4).read_to_end(&mut magic)?;
    let kind = magic.clone();
    let whole = BufReader::with_capacity(1 << 16, Cursor::new(magic).chain(input));
    Ok(match kind[..] {
        [0x1f, 0x8b, ..] => {
            Box::new(BufReader::with_capacity(1 << 16, flate2::bufread::MultiGzDecoder::new(whole)))
        }
        // A frame of Zstandard, or one to skip, which pzstd puts before each.
        [0x28, 0xb5, 0x2f, 0xfd] | [0x50..=0x5f, 0x2a, 0x4d, 0x18] => {
            Box::new(BufReader::with_capacity(1 << 16, zstd::Decoder::with_buffer(whole)?))
        }
        _ => Box::new(whole),
    })
}
