//! The bytes of an `.ann` file, version 1: indexes over the rows of a segment's `.vec`, which can be
//! built again from it.
//!
//! All numbers are little-endian. Tantivy's own footer comes after what is described here.
//!
//! ```text
//! header, 16 bytes
//!      0   8  magic "tdensANN"
//!      8   4  version, 1
//!     12   4  crc32 of bytes 0..12
//! sections, each at a multiple of 64
//! directory: JSON
//! tail, the last 24 bytes
//!      0   8  offset of the directory; it ends where the tail starts
//!      8   4  crc32 of the directory
//!     12   4  crc32 of the tail's bytes 0..12
//!     16   4  zeros
//!     20   4  magic "nna1"
//! ```
//!
//! The directory names the checksum of the `.vec` that the indexes are over (that of its directory,
//! which holds all others), and for each field that has an index: the field's id, the backend, the
//! recipe, the number of rows, facts, and for each section its name, checksum, offset and length.
//!
//! Invariant: [`AnnFile::parse`] never panics, costs nothing that grows with the rows, and every
//! section that it returns lies in the file. What sections hold is checked by [`AnnFile::check`] and
//! by the backend that opens them.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::ops::Range;

use serde::{Deserialize, Serialize};
use tantivy::directory::OwnedBytes;

use super::format::{ALIGN, Bytes, align};
use crate::ann::{AnnParts, AnnSink};

const MAGIC: [u8; 8] = *b"tdensANN";
const TAIL_MAGIC: [u8; 4] = *b"nna1";
const VERSION: u32 = 1;
const HEADER: usize = 16;
const TAIL: usize = 24;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Directory {
    vec: u32,
    fields: Vec<AnnEntry>,
}

/// The index of one field.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AnnEntry {
    pub(crate) field: u32,
    pub(crate) backend: String,
    pub(crate) recipe: String,
    pub(crate) rows: u32,
    facts: BTreeMap<String, u64>,
    sections: Vec<Section>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Section {
    name: String,
    crc: u32,
    offset: u64,
    length: u64,
}

impl Section {
    fn range(&self) -> Option<Range<usize>> {
        let end = self.offset.checked_add(self.length)?;
        Some(usize::try_from(self.offset).ok()?..usize::try_from(end).ok()?)
    }
}

/// A parsed `.ann` file.
#[derive(Clone, Debug)]
pub(crate) struct AnnFile {
    bytes: OwnedBytes,
    /// The checksum of the directory: with those in it, that of the whole file.
    pub(crate) crc: u32,
    /// The checksum of the `.vec` that it is over.
    pub(crate) vec: u32,
    pub(crate) fields: Vec<AnnEntry>,
}

impl AnnFile {
    /// Reads header, tail and directory.
    pub(crate) fn parse(bytes: OwnedBytes) -> Result<Self, AnnFileError> {
        let all = bytes.as_slice();
        let damaged = |what| AnnFileError::Damaged { what };
        if all.len() < HEADER + TAIL || all[..8] != MAGIC {
            return Err(damaged("header, or the file was not finished"));
        }
        let version = Bytes(&all[8..]).u32().ok_or(damaged("header"))?;
        if !crc_is(&all[..12], &all[12..HEADER]) {
            return Err(damaged("header"));
        }
        if version != VERSION {
            return Err(AnnFileError::OtherVersion { found: version, ours: VERSION });
        }
        let tail_at = all.len() - TAIL;
        let tail = &all[tail_at..];
        if tail[20..] != TAIL_MAGIC || tail[16..20] != [0; 4] || !crc_is(&tail[..12], &tail[12..16])
        {
            return Err(damaged("tail, or the file was not finished"));
        }
        let mut tail = Bytes(tail);
        let start = tail.u64().and_then(|at| usize::try_from(at).ok());
        let crc = tail.u32().ok_or(damaged("tail"))?;
        let start = start.filter(|at| (HEADER..=tail_at).contains(at)).ok_or(damaged("tail"))?;
        if crc32fast::hash(&all[start..tail_at]) != crc {
            return Err(damaged("directory"));
        }
        let directory: Directory =
            serde_json::from_slice(&all[start..tail_at]).map_err(|_| damaged("directory"))?;
        let sections = directory.fields.iter().flat_map(|field| &field.sections);
        let inside = |section: &Section| {
            section.offset.is_multiple_of(ALIGN)
                && section.range().is_some_and(|range| HEADER <= range.start && range.end <= start)
        };
        if !sections.into_iter().all(inside) {
            return Err(damaged("directory"));
        }
        let Directory { vec, fields } = directory;
        Ok(Self { bytes, crc, vec, fields })
    }

    /// Checks every section against its checksum.
    pub(crate) fn check(&self) -> Result<(), AnnFileError> {
        let sections = self.fields.iter().flat_map(|field| &field.sections);
        for section in sections {
            if crc32fast::hash(&self.section(section)) != section.crc {
                return Err(AnnFileError::Damaged { what: "section" });
            }
        }
        Ok(())
    }

    /// What the index of a field is made of, as views.
    pub(crate) fn parts(&self, entry: &AnnEntry) -> AnnParts {
        let sections = entry.sections.iter();
        AnnParts {
            facts: entry.facts.clone(),
            sections: sections.map(|s| (s.name.clone(), self.section(s))).collect(),
        }
    }

    fn section(&self, section: &Section) -> OwnedBytes {
        self.bytes.slice(section.range().expect("looked at by `parse`"))
    }
}

/// A file with any bytes as its directory, room for sections before it, and all checksums right.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn with_directory(directory: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; HEADER];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
    let crc = crc32fast::hash(&bytes[..12]);
    bytes[12..].copy_from_slice(&crc.to_le_bytes());
    bytes.resize(16 * 1024, 0);
    let mut tail = [0; TAIL];
    tail[..8].copy_from_slice(&(bytes.len() as u64).to_le_bytes());
    tail[8..12].copy_from_slice(&crc32fast::hash(directory).to_le_bytes());
    let crc = crc32fast::hash(&tail[..12]);
    tail[12..16].copy_from_slice(&crc.to_le_bytes());
    tail[20..].copy_from_slice(&TAIL_MAGIC);
    bytes.extend(directory);
    bytes.extend(tail);
    bytes
}

fn crc_is(bytes: &[u8], crc: &[u8]) -> bool {
    crc32fast::hash(bytes).to_le_bytes() == *crc
}

/// An `.ann` file that is being written, section after section. It is opened when there is something
/// to write: what takes long is building, and meanwhile nobody finds half a file.
pub(crate) struct AnnFileWriter<W, F> {
    open: Option<F>,
    out: Option<W>,
    at: u64,
    directory: Directory,
    facts: BTreeMap<String, u64>,
    sections: Vec<Section>,
}

impl<W: Write, F: FnOnce() -> io::Result<W>> AnnFileWriter<W, F> {
    /// `vec` is the checksum of the `.vec` that the indexes will be over.
    pub(crate) fn new(open: F, vec: u32) -> Self {
        let directory = Directory { vec, fields: Vec::new() };
        let (facts, sections) = (BTreeMap::new(), Vec::new());
        Self { open: Some(open), out: None, at: 0, directory, facts, sections }
    }

    /// Opens the file, once, and writes the header.
    fn start(&mut self) -> io::Result<()> {
        let Some(open) = self.open.take() else { return Ok(()) };
        let mut header = [0; HEADER];
        header[..8].copy_from_slice(&MAGIC);
        header[8..12].copy_from_slice(&VERSION.to_le_bytes());
        let crc = crc32fast::hash(&header[..12]);
        header[12..].copy_from_slice(&crc.to_le_bytes());
        let mut out = open()?;
        out.write_all(&header)?;
        self.out = Some(out);
        self.at = HEADER as u64;
        Ok(())
    }

    fn out(&mut self) -> io::Result<&mut W> {
        self.start()?;
        self.out.as_mut().ok_or_else(|| io::Error::other("the file could not be opened before"))
    }

    /// Ends the index of a field: its parts are those written since the last one.
    pub(crate) fn field(&mut self, field: u32, backend: &str, recipe: String, rows: u32) {
        let (facts, sections) =
            (std::mem::take(&mut self.facts), std::mem::take(&mut self.sections));
        let backend = backend.to_owned();
        self.directory.fields.push(AnnEntry { field, backend, recipe, rows, facts, sections });
    }

    /// Forgets what was written since the last field: its bytes stay, and nothing names them.
    pub(crate) fn forget(&mut self) {
        self.facts.clear();
        self.sections.clear();
    }

    /// Writes directory and tail, and gives back what was written to.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        self.start()?;
        let directory = serde_json::to_vec(&self.directory)?;
        let mut tail = [0; TAIL];
        tail[..8].copy_from_slice(&self.at.to_le_bytes());
        tail[8..12].copy_from_slice(&crc32fast::hash(&directory).to_le_bytes());
        let crc = crc32fast::hash(&tail[..12]);
        tail[12..16].copy_from_slice(&crc.to_le_bytes());
        tail[20..].copy_from_slice(&TAIL_MAGIC);
        let out = self.out()?;
        out.write_all(&directory)?;
        out.write_all(&tail)?;
        self.out.ok_or_else(|| io::Error::other("the file could not be opened before"))
    }
}

impl<W: Write, F: FnOnce() -> io::Result<W>> AnnSink for AnnFileWriter<W, F> {
    fn fact(&mut self, name: &str, value: u64) {
        self.facts.insert(name.to_owned(), value);
    }

    fn section(
        &mut self,
        name: &str,
        fill: &mut dyn FnMut(&mut dyn Write) -> io::Result<()>,
    ) -> io::Result<()> {
        self.start()?;
        let start = align(self.at).ok_or_else(|| io::Error::other("a file past 2^64 bytes"))?;
        let gap = usize::try_from(start - self.at).expect("less than an alignment");
        let out = self.out()?;
        out.write_all(&[0; 64][..gap])?;
        let mut section = super::file::SectionWriter::new(out);
        fill(&mut section)?;
        let (crc, length) = section.finish();
        self.at = start + length;
        self.sections.push(Section { name: name.to_owned(), crc, offset: start, length });
        Ok(())
    }
}

/// Why bytes are not an `.ann` file that this build can use.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AnnFileError {
    #[error("format {found}, and this build reads {ours}")]
    OtherVersion { found: u32, ours: u32 },
    #[error("damaged {what}")]
    Damaged { what: &'static str },
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(sections: &[(String, Vec<u8>)]) -> Vec<u8> {
        let mut file = AnnFileWriter::new(|| Ok(Vec::new()), 77);
        for (name, bytes) in sections {
            file.fact(name, bytes.len() as u64);
            file.section(name, &mut |out| out.write_all(bytes)).unwrap();
        }
        file.field(3, "graph", "hnsw(8,20)".to_owned(), 12);
        file.finish().unwrap()
    }

    fn parse(bytes: Vec<u8>) -> Result<AnnFile, AnnFileError> {
        AnnFile::parse(OwnedBytes::new(bytes))
    }

    fn example() -> Vec<u8> {
        written(&[("levels".to_owned(), vec![1; 100]), ("neighbours".to_owned(), vec![7; 333])])
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(
            sections in prop::collection::btree_map("[a-z]{1,9}", prop::collection::vec(any::<u8>(), 0..200), 0..5),
        ) {
            let sections: Vec<_> = sections.into_iter().collect();
            let file = parse(written(&sections)).unwrap();
            file.check().unwrap();
            prop_assert_eq!((file.vec, file.fields.len()), (77, 1));
            let entry = &file.fields[0];
            prop_assert_eq!((entry.field, entry.rows, entry.recipe.as_str()), (3, 12, "hnsw(8,20)"));
            let parts = file.parts(entry);
            for (name, bytes) in sections {
                prop_assert_eq!(parts.fact(&name), Some(bytes.len() as u64));
                let read = parts.bytes(&name).unwrap();
                prop_assert_eq!(read.as_slice(), &bytes[..]);
            }
        }

        #[test]
        fn any_bytes_are_an_error(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(parse(bytes).is_err());
        }

        /// A directory that is wrong, but whose checksums are right.
        #[test]
        fn a_directory_of_any_bytes_never_panics(
            changes in prop::collection::vec((0usize..1000, any::<u8>()), 1..4),
        ) {
            let mut bytes = example();
            let tail = bytes.len() - TAIL;
            let start = usize::try_from(u64::from_le_bytes(bytes[tail..tail + 8].try_into().unwrap())).unwrap();
            for (at, byte) in changes {
                bytes[start + at % (tail - start)] = byte;
            }
            let crc = crc32fast::hash(&bytes[start..tail]).to_le_bytes();
            bytes[tail + 8..tail + 12].copy_from_slice(&crc);
            let crc = crc32fast::hash(&bytes[tail..tail + 12]).to_le_bytes();
            bytes[tail + 12..tail + 16].copy_from_slice(&crc);
            if let Ok(file) = parse(bytes) {
                let _ = file.check();
                file.fields.iter().for_each(|entry| drop(file.parts(entry)));
            }
        }
    }

    #[test]
    fn every_flipped_byte_that_is_read_is_found() {
        let bytes = example();
        let mut unseen = 0;
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x41;
            unseen += usize::from(parse(damaged).is_ok_and(|file| file.check().is_ok()));
        }
        let padding = (64 - HEADER) + (192 - 164);
        assert_eq!(unseen, padding, "only what lies between sections");
    }

    #[test]
    fn every_truncation_is_found_when_opening() {
        let bytes = example();
        for end in 0..bytes.len() {
            assert!(parse(bytes[..end].to_vec()).is_err(), "cut at {end}");
        }
    }

    /// The bytes of version 1 are frozen: whoever changes them changes this, and the version.
    #[test]
    fn version_1_has_these_bytes() {
        let bytes = example();
        assert_eq!(&bytes[..12], b"tdensANN\x01\0\0\0");
        assert_eq!(bytes[64], 1, "the first section");
        assert_eq!(bytes[192], 7, "the second section");
        let tail = bytes.len() - TAIL;
        assert_eq!(bytes[tail..tail + 8], [13, 2, 0, 0, 0, 0, 0, 0], "the directory is at 525");
        let directory = std::str::from_utf8(&bytes[525..tail]).unwrap();
        assert_eq!(
            directory,
            r#"{"vec":77,"fields":[{"field":3,"backend":"graph","recipe":"hnsw(8,20)","rows":12,"facts":{"levels":100,"neighbours":333},"sections":[{"name":"levels","crc":3763876191,"offset":64,"length":100},{"name":"neighbours","crc":383235527,"offset":192,"length":333}]}]}"#
        );
    }
}
