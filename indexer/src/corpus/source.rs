//! Where bytes come from: a file, a folder, standard input or any reader; plain or compressed.

use std::fmt;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use flate2::bufread::MultiGzDecoder;

use super::SourceError;

/// How a source's lines are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a line.
    JsonLines,
    /// Columns between tabs: id and text; or id, title and text; or as a header line names them.
    Tsv,
}

/// One input, not opened yet. gzip and Zstandard are told by their first bytes, the format by the
/// name (`.tsv`, `.txt`, `.jsonl`, `.ndjson`, `.json`) or else by the first character (`{`: JSON).
#[derive(Debug)]
pub struct Source {
    name: Arc<str>,
    input: Input,
    format: Option<Format>,
    bytes_read: Arc<AtomicU64>,
}

enum Input {
    File(PathBuf),
    Reader(Box<dyn Read + Send>),
}

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => f.debug_tuple("File").field(path).finish(),
            Self::Reader(_) => f.write_str("Reader"),
        }
    }
}

/// An open source.
pub(super) struct Opened {
    pub(super) reader: Box<dyn BufRead + Send>,
    pub(super) format: Format,
}

impl Source {
    /// A file; a folder in BEIR layout, which stands for its `corpus.jsonl`, plain or compressed;
    /// or `-`, standard input.
    ///
    /// # Errors
    /// [`SourceError::Folder`] for a folder in another layout; [`SourceError::Open`] for a path
    /// that leads nowhere.
    pub fn at(path: impl AsRef<Path>) -> Result<Self, SourceError> {
        let path = path.as_ref();
        if path == Path::new("-") {
            return Ok(Self::from_reader("standard input", io::stdin()));
        }
        let file = if path.is_dir() {
            ["corpus.jsonl", "corpus.jsonl.gz", "corpus.jsonl.zst"]
                .iter()
                .map(|name| path.join(name))
                .find(|file| file.is_file())
                .ok_or_else(|| SourceError::Folder { folder: path.to_owned() })?
        } else {
            path.to_owned()
        };
        let name: Arc<str> = file.display().to_string().into();
        if let Err(source) = file.metadata() {
            return Err(SourceError::Open { source_name: name, source });
        }
        Ok(Self { name, input: Input::File(file), format: None, bytes_read: Arc::default() })
    }

    /// Whatever a reader gives. The name stands in messages.
    pub fn from_reader(name: impl Into<Arc<str>>, reader: impl Read + Send + 'static) -> Self {
        let input = Input::Reader(Box::new(reader));
        Self { name: name.into(), input, format: None, bytes_read: Arc::default() }
    }

    /// Says how the lines are to be read, instead of telling it by name and first character.
    #[must_use]
    pub fn format(mut self, format: Format) -> Self {
        self.format = Some(format);
        self
    }

    /// What messages call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How many bytes there are to read, compressed as they are; a reader does not tell.
    pub fn bytes(&self) -> Option<u64> {
        match &self.input {
            Input::File(path) => {
                path.metadata().ok().filter(std::fs::Metadata::is_file).map(|m| m.len())
            }
            Input::Reader(_) => None,
        }
    }

    /// Counts the bytes read so far, while the source is being read.
    pub(crate) fn bytes_read(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.bytes_read)
    }

    pub(super) fn open(self) -> Result<Opened, SourceError> {
        let fail = |source| SourceError::Open { source_name: Arc::clone(&self.name), source };
        let raw: Box<dyn Read + Send> = match self.input {
            Input::File(path) => Box::new(File::open(path).map_err(fail)?),
            Input::Reader(reader) => reader,
        };
        let count = Arc::clone(&self.bytes_read);
        let mut reader = decompress(Counting { inner: raw, count }).map_err(fail)?;
        // Read as if they were UTF-8, some of its lines would pass, a NUL between each two letters.
        if let [0xff, 0xfe, ..] | [0xfe, 0xff, ..] = reader.fill_buf().unwrap_or_default() {
            return Err(SourceError::Utf16 { source_name: self.name });
        }
        let format = match self.format.or_else(|| format_by_name(&self.name)) {
            Some(format) => format,
            None => format_by_start(&mut *reader),
        };
        Ok(Opened { reader, format })
    }
}

fn decompress(mut raw: impl Read + Send + 'static) -> io::Result<Box<dyn BufRead + Send>> {
    // A pipe may give its first bytes one by one.
    let mut magic = Vec::with_capacity(4);
    (&mut raw).take(4).read_to_end(&mut magic)?;
    let kind = magic.clone();
    let whole = BufReader::with_capacity(1 << 16, Cursor::new(magic).chain(raw));
    Ok(match kind.as_slice() {
        [0x1f, 0x8b, ..] => Box::new(BufReader::with_capacity(1 << 16, MultiGzDecoder::new(whole))),
        // A frame of Zstandard, or one to skip, which pzstd puts before each.
        [0x28, 0xb5, 0x2f, 0xfd] | [0x50..=0x5f, 0x2a, 0x4d, 0x18] => {
            Box::new(BufReader::with_capacity(1 << 16, zstd::Decoder::with_buffer(whole)?))
        }
        _ => Box::new(whole),
    })
}

fn format_by_name(name: &str) -> Option<Format> {
    let name = name.to_ascii_lowercase();
    let name = name.trim_end_matches(".gz").trim_end_matches(".zst");
    match Path::new(name).extension()?.to_str()? {
        "jsonl" | "ndjson" | "json" => Some(Format::JsonLines),
        "tsv" | "txt" => Some(Format::Tsv),
        _ => None,
    }
}

/// An unreadable start is left to whoever reads on: the error comes again with its line.
fn format_by_start(reader: &mut dyn BufRead) -> Format {
    let start = reader.fill_buf().unwrap_or_default();
    let start = start.strip_prefix("\u{feff}".as_bytes()).unwrap_or(start);
    match start.iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'{') | None => Format::JsonLines,
        Some(_) => Format::Tsv,
    }
}

struct Counting<R> {
    inner: R,
    count: Arc<AtomicU64>,
}

impl<R: Read> Read for Counting<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buf)?;
        self.count.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}
