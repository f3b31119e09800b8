//! Text files line by line, packed or not, so that every reader names file and line in the same way.
//!
//! Invariant: no input panics; what cannot be read is an error that names its file, and where it is
//! about a line its line.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Chain, Cursor, Read};
use std::path::{Path, PathBuf};

use flate2::bufread::MultiGzDecoder;

/// Why a file of judgements, topics, passages or rankings could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message explains its fields")]
pub enum ReadError {
    /// The file system refused, or packed bytes are damaged.
    #[error("{}: cannot be read", file.display())]
    Io { file: PathBuf, source: io::Error },
    /// One line is not what the format wants.
    #[error("{}, line {line}", file.display())]
    Line { file: PathBuf, line: usize, source: LineError },
    /// A run that is too long to hold can be measured if its lines are in order, or can be read again.
    #[error(
        "{}, line {line}: topic `{topic}` comes back after other topics, and what is no regular file \
         cannot be read again: save it to a file first, or pass it through `sort -s -k1,1`",
        file.display()
    )]
    Apart { file: PathBuf, line: usize, topic: String },
    /// Between two readings of a file somebody wrote to it.
    #[error("{}: the file changed while it was read", file.display())]
    Changed { file: PathBuf },
}

/// What is wrong with one line.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message explains its fields")]
pub enum LineError {
    /// The line is no text.
    #[error("the line is not UTF-8: convert the file first")]
    Utf8,
    /// There are too few or too many columns.
    #[error("the line has {found} columns where `{wanted}` is wanted")]
    Columns { wanted: &'static str, found: usize },
    /// A column that must hold a number holds something else.
    #[error("`{text}` is no {wanted}")]
    Number { wanted: &'static str, text: String },
    /// The line is not the JSON object that is wanted.
    #[error("the line is not a JSON object with the fields that are wanted")]
    Json { source: serde_json::Error },
    /// A ranking or a corpus holds an id a second time.
    #[error("`{id}` is here a second time: remove one of the two")]
    Twice { id: String },
    /// A document that is to be found by its headline.
    #[error("document `{id}` has one line, its headline, and no text to be found")]
    OneLine { id: String },
    /// Two lines disagree about one passage.
    #[error(
        "topic `{topic}` grades `{id}` {second} here and {first} before: remove one of the two"
    )]
    Conflict { topic: String, id: String, first: i32, second: i32 },
}

impl ReadError {
    pub(crate) fn line(file: &Path, line: usize, source: LineError) -> Self {
        Self::Line { file: file.to_owned(), line, source }
    }
}

/// Opens a file and unpacks it if its first bytes say that it is gzip or Zstandard.
pub(crate) fn open(file: &Path) -> Result<Unpacked<File>, ReadError> {
    File::open(file)
        .and_then(unpacked)
        .map_err(|source| ReadError::Io { file: file.to_owned(), source })
}

/// Unpacks what starts as gzip or Zstandard do; anything else passes through.
pub(crate) fn unpacked<R: Read>(mut input: R) -> io::Result<Unpacked<R>> {
    let mut magic = Vec::with_capacity(4);
    input.by_ref().take(4).read_to_end(&mut magic)?;
    let kind = magic.clone();
    let whole = BufReader::new(Cursor::new(magic).chain(input));
    Ok(if kind.starts_with(&[0x1f, 0x8b]) {
        Unpacked::Gzip(Box::new(BufReader::new(MultiGzDecoder::new(whole))))
    } else if matches!(kind[..], [0x28, 0xb5, 0x2f, 0xfd] | [0x50..=0x5f, 0x2a, 0x4d, 0x18]) {
        // A frame of Zstandard, or one to skip, which pzstd puts before each.
        Unpacked::Zstandard(Box::new(BufReader::new(zstd::Decoder::with_buffer(whole)?)))
    } else {
        Unpacked::Plain(whole)
    })
}

/// The bytes of a file with the ones that told its kind put back.
type Whole<R> = BufReader<Chain<Cursor<Vec<u8>>, R>>;

/// A file's bytes as they were before they were packed.
pub(crate) enum Unpacked<R: Read> {
    Plain(Whole<R>),
    Gzip(Box<BufReader<MultiGzDecoder<Whole<R>>>>),
    Zstandard(Box<BufReader<zstd::Decoder<'static, Whole<R>>>>),
}

impl<R: Read> Read for Unpacked<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(input) => input.read(into),
            Self::Gzip(input) => input.read(into),
            Self::Zstandard(input) => input.read(into),
        }
    }
}

impl<R: Read> BufRead for Unpacked<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        match self {
            Self::Plain(input) => input.fill_buf(),
            Self::Gzip(input) => input.fill_buf(),
            Self::Zstandard(input) => input.fill_buf(),
        }
    }

    fn consume(&mut self, amount: usize) {
        match self {
            Self::Plain(input) => input.consume(amount),
            Self::Gzip(input) => input.consume(amount),
            Self::Zstandard(input) => input.consume(amount),
        }
    }
}

/// A text without the byte order mark that some programs write before it.
pub(crate) fn without_mark(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

/// Hands every line that is not blank to `take`, with its number, counted from 1.
pub(crate) fn each_line(
    input: impl BufRead,
    file: &Path,
    mut take: impl FnMut(usize, &str) -> Result<(), LineError>,
) -> Result<(), ReadError> {
    let mut lines = Lines::new(input, file);
    while let Some((line, text)) = lines.next()? {
        if !text.trim().is_empty() {
            take(line, text).map_err(|source| ReadError::line(file, line, source))?;
        }
    }
    Ok(())
}

/// The lines of a file one after another, in a buffer that is used again.
pub(crate) struct Lines<'a, R> {
    input: R,
    file: &'a Path,
    bytes: Vec<u8>,
    line: usize,
}

impl<'a, R: BufRead> Lines<'a, R> {
    pub(crate) fn new(input: R, file: &'a Path) -> Self {
        Self { input, file, bytes: Vec::new(), line: 0 }
    }

    /// The next line, blank or not, without its end, and its number, counted from 1.
    pub(crate) fn next(&mut self) -> Result<Option<(usize, &str)>, ReadError> {
        self.bytes.clear();
        let read = self.input.read_until(b'\n', &mut self.bytes);
        if read.map_err(|source| ReadError::Io { file: self.file.to_owned(), source })? == 0 {
            return Ok(None);
        }
        self.line += 1;
        let text = str::from_utf8(&self.bytes);
        let text = text.map_err(|_| ReadError::line(self.file, self.line, LineError::Utf8))?;
        let text = if self.line == 1 { without_mark(text) } else { text };
        Ok(Some((self.line, text.trim_end_matches(['\n', '\r']))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write;

    fn text_of(input: &[u8]) -> String {
        let mut text = String::new();
        unpacked(input).unwrap().read_to_string(&mut text).unwrap();
        text
    }

    fn gz(text: &str) -> Vec<u8> {
        let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        out.write_all(text.as_bytes()).unwrap();
        out.finish().unwrap()
    }

    #[test]
    fn gzip_in_several_members_and_zstandard_are_unpacked_by_their_first_bytes() {
        assert_eq!(text_of(&[gz("one "), gz("two")].concat()), "one two");
        let three = zstd::encode_all("three".as_bytes(), 0).unwrap();
        assert_eq!(text_of(&three), "three");
        // pzstd puts a frame to skip before each, which holds its length.
        let skipped = b"\x50\x2a\x4d\x18\x04\0\0\0\x0e\0\0\0";
        assert_eq!(text_of(&[&skipped[..], &three].concat()), "three");
        for plain in ["", "a", "\u{1f}", "four and more"] {
            assert_eq!(text_of(plain.as_bytes()), plain);
        }
    }

    #[test]
    fn damaged_packed_bytes_are_an_error_with_the_name_of_the_file() {
        let mut bytes = gz("a line\n");
        bytes.truncate(bytes.len() - 6);
        let error = each_line(unpacked(&bytes[..]).unwrap(), "some.gz".as_ref(), |_, _| Ok(()))
            .unwrap_err();
        assert_eq!(error.to_string(), "some.gz: cannot be read");
    }

    #[test]
    fn blank_lines_count_but_are_not_handed_on() {
        let mut seen = Vec::new();
        each_line("\u{feff}a\r\n\n \nb".as_bytes(), "f".as_ref(), |line, text| {
            seen.push((line, text.to_owned()));
            Ok(())
        })
        .unwrap();
        assert_eq!(seen, [(1, "a".to_owned()), (4, "b".to_owned())]);
    }

    #[test]
    fn a_line_that_is_no_text_is_named() {
        let error = each_line(&b"a\n\xff\n"[..], "f".as_ref(), |_, _| Ok(())).unwrap_err();
        assert!(matches!(error, ReadError::Line { line: 2, source: LineError::Utf8, .. }));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(input) = unpacked(&bytes[..]) {
                let _ = each_line(input, "f".as_ref(), |_, _| Ok(()));
            }
        }
    }
}
