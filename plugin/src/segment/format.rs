//! The bytes of a `.vec` file, version 1: the only copy of a segment's vectors.
//!
//! All numbers are little-endian. Tantivy's own footer comes after what is described here and is
//! not seen by this module. Sections start at multiples of 64 bytes from the file's start, lie in
//! the order of the directory, and only zeros are between them. The directory comes last, so that
//! a file is written in one pass while rows stream through.
//!
//! ```text
//! header, 64 bytes
//!      0   8  magic "tdensVEC"
//!      8   4  version, 1
//!     12   4  max_doc: doc ids of this segment are below it
//!     16  44  zeros
//!     60   4  crc32 of bytes 0..60
//! sections, each at a multiple of 64
//! directory, at a multiple of 64: for each dense field of the schema, by ascending field id
//!      0   4  field id, Tantivy's
//!      4   2  dim, 1 to 65,535
//!      6   1  element type: 0 f32, 1 f16, 2 int8
//!      7   1  metric: 0 cosine, 1 dot, 2 L2
//!      8   4  rows
//!     12   4  flags: bit 0, rows are in the order of their docs; bit 1, no doc has two rows
//!     16   4  values that were refused while indexing (wrong dim, not finite)
//!     20   4  number of sections that follow
//!   then for each section, by ascending kind, each kind at most once
//!      0   4  kind
//!      4   4  crc32 of the section
//!      8   8  offset from the file's start
//!     16   8  length in bytes
//! tail, the last 32 bytes
//!      0   8  offset of the directory; it ends where the tail starts
//!      8   4  number of fields in the directory
//!     12   4  crc32 of the directory
//!     16   8  zeros
//!     24   4  crc32 of the tail's bytes 0..24
//!     28   4  magic "cev1"
//! ```
//!
//! | kind | section | length |
//! | --- | --- | --- |
//! | 1 | rows: the vectors, row after row; as they were given if the elements are f32; required | rows × dim × element |
//! | 2 | row → doc: u32 each; required | rows × 4 |
//! | 3 | language tags: u16 count, then for each u16 length and the tag in ASCII | any |
//! | 4 | row → language: u16 each, 0 not known, n the n-th tag of section 3 | rows × 2 |
//! | 5 | row → source: u32 start and u32 end, bytes of the source text; both `u32::MAX`: not known | rows × 8 |
//! | 6 | row → scale: f32 each; a number of an int8 row is its byte times it; with int8, and only then | rows × 4 |
//! | 7 | row → one over its length: f32 each, 0 for a row of zeros; only for a cosine, absent if each row has length 1 or 0 | rows × 4 |
//!
//! Sections 3 and 4 come together or not at all.
//!
//! Invariant: [`VecFile::parse`] never panics, and what it returns can be sliced without a check:
//! every section lies in the file and has the length that its field needs. What the sections
//! themselves hold is checked before use by [`reader`](super::reader), and in full by
//! [`VecFile::verify`].

use std::ops::Range;

use tantivy::directory::OwnedBytes;

use crate::element::Element;
use crate::vector::{Dim, Metric};

pub(crate) const MAGIC: [u8; 8] = *b"tdensVEC";
pub(crate) const TAIL_MAGIC: [u8; 4] = *b"cev1";
pub(crate) const VERSION: u32 = 1;
pub(crate) const ALIGN: u64 = 64;
pub(crate) const HEADER: usize = 64;
pub(crate) const TAIL: usize = 32;
pub(crate) const FIELD: usize = 24;
pub(crate) const SECTION: usize = 24;

/// Rows lie in ascending order of their docs.
pub(crate) const IN_DOC_ORDER: u32 = 1;
/// No doc has two rows.
pub(crate) const ONE_ROW_A_DOC: u32 = 2;
/// A row whose place in its source text is not known.
pub(crate) const NO_SOURCE: u64 = u64::MAX;

/// What a section holds. The numbers are on disk and never change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Rows = 1,
    Docs = 2,
    Tags = 3,
    Languages = 4,
    Sources = 5,
    Scales = 6,
    InverseNorms = 7,
}

impl Kind {
    fn read(code: u32) -> Option<Self> {
        let known = [
            Self::Rows,
            Self::Docs,
            Self::Tags,
            Self::Languages,
            Self::Sources,
            Self::Scales,
            Self::InverseNorms,
        ];
        known.into_iter().find(|kind| *kind as u32 == code)
    }
}

/// Where a section lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Section {
    pub(crate) kind: Kind,
    pub(crate) crc: u32,
    pub(crate) range: Range<usize>,
}

/// One field's line in the directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct FieldEntry {
    pub(crate) field: u32,
    pub(crate) dim: Dim,
    pub(crate) element: Element,
    pub(crate) metric: Metric,
    pub(crate) rows: u32,
    pub(crate) flags: u32,
    pub(crate) refused: u32,
    pub(crate) sections: Vec<Section>,
}

impl FieldEntry {
    pub(crate) fn section(&self, kind: Kind) -> Option<&Section> {
        self.sections.iter().find(|section| section.kind == kind)
    }
}

/// The number that stands for a metric on disk.
pub(crate) fn metric_code(metric: Metric) -> u8 {
    match metric {
        Metric::Cosine => 0,
        Metric::Dot => 1,
        Metric::L2 => 2,
    }
}

/// The number that stands for an element type on disk.
pub(crate) fn element_code(element: Element) -> u8 {
    match element {
        Element::F32 => 0,
        Element::F16 => 1,
        Element::Int8 => 2,
    }
}

/// The next multiple of 64.
pub(crate) fn align(at: u64) -> Option<u64> {
    at.checked_next_multiple_of(ALIGN)
}

/// A parsed `.vec` file: its bytes and its directory.
#[derive(Clone, Debug)]
pub(crate) struct VecFile {
    bytes: OwnedBytes,
    directory: Range<usize>,
    pub(crate) max_doc: u32,
    /// The checksum of the directory: with the checksums in it, that of the whole file.
    pub(crate) crc: u32,
    pub(crate) fields: Vec<FieldEntry>,
}

impl VecFile {
    /// Reads header, directory and tail. Costs nothing that grows with the rows.
    pub(crate) fn parse(bytes: OwnedBytes) -> Result<Self, FormatError> {
        let all = bytes.as_slice();
        let damaged = |what| FormatError::Damaged { what };
        if all.get(..8) != Some(&MAGIC[..]) {
            return Err(FormatError::NotVec);
        }
        let mut version = Bytes(all.get(8..12).ok_or(damaged("header"))?);
        let version = version.u32().ok_or(damaged("header"))?;
        if version > VERSION {
            return Err(FormatError::TooNew { found: version, newest: VERSION });
        }
        if version != VERSION || all.len() < HEADER + TAIL {
            return Err(damaged("header"));
        }
        let mut header = Bytes(&all[12..HEADER]);
        let max_doc = header.u32().ok_or(damaged("header"))?;
        if !crc_follows(&all[..HEADER - 4], &all[HEADER - 4..HEADER]) {
            return Err(damaged("header"));
        }

        let tail_at = all.len() - TAIL;
        let tail = &all[tail_at..];
        if tail[28..] != TAIL_MAGIC || !crc_follows(&tail[..24], &tail[24..28]) {
            return Err(damaged("tail"));
        }
        let mut tail = Bytes(tail);
        let start = tail.u64().ok_or(damaged("tail"))?;
        let count = tail.u32().ok_or(damaged("tail"))?;
        let crc = tail.u32().ok_or(damaged("tail"))?;
        let start = usize::try_from(start).ok().filter(|at| (HEADER..=tail_at).contains(at));
        let directory = start.ok_or(damaged("tail"))?..tail_at;
        if crc32fast::hash(&all[directory.clone()]) != crc {
            return Err(damaged("directory"));
        }
        let fields = parse_directory(&all[directory.clone()], count, directory.start as u64)?;
        Ok(Self { bytes, directory, max_doc, crc, fields })
    }

    /// The bytes of one section, as a view.
    pub(crate) fn section(&self, section: &Section) -> OwnedBytes {
        self.bytes.slice(section.range.clone())
    }

    /// Checks every byte that [`VecFile::parse`] did not: the sections against their checksums,
    /// and that only zeros are between them. What the sections mean is not checked here.
    pub(crate) fn verify(&self) -> Result<(), FormatError> {
        let all = self.bytes.as_slice();
        let mut end = HEADER;
        for section in self.fields.iter().flat_map(|field| &field.sections) {
            let what = match section.kind {
                Kind::Rows => "rows",
                Kind::Docs => "row to doc table",
                Kind::Tags => "language tags",
                Kind::Languages => "row to language table",
                Kind::Sources => "row to source table",
                Kind::Scales => "row to scale table",
                Kind::InverseNorms => "row to length table",
            };
            if all[end..section.range.start].iter().any(|byte| *byte != 0) {
                return Err(FormatError::Damaged { what: "padding" });
            }
            if crc32fast::hash(&all[section.range.clone()]) != section.crc {
                return Err(FormatError::Damaged { what });
            }
            end = section.range.end;
        }
        if all[end..self.directory.start].iter().any(|byte| *byte != 0) {
            return Err(FormatError::Damaged { what: "padding" });
        }
        Ok(())
    }
}

/// A file of any body and directory, with header, tail and all checksums right.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn with_directory(body: &[u8], directory: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; HEADER];
    bytes[..8].copy_from_slice(&MAGIC);
    bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
    bytes[12..16].copy_from_slice(&9u32.to_le_bytes());
    let crc = crc32fast::hash(&bytes[..HEADER - 4]);
    bytes[HEADER - 4..].copy_from_slice(&crc.to_le_bytes());
    bytes.extend(body);
    bytes.resize(bytes.len().next_multiple_of(64), 0);
    let mut tail = [0; TAIL];
    tail[..8].copy_from_slice(&(bytes.len() as u64).to_le_bytes());
    // As many fields as make sense of so many bytes.
    tail[8] = u8::try_from(directory.len() / (FIELD + 2 * SECTION)).unwrap_or(u8::MAX);
    tail[12..16].copy_from_slice(&crc32fast::hash(directory).to_le_bytes());
    let crc = crc32fast::hash(&tail[..24]);
    tail[24..28].copy_from_slice(&crc.to_le_bytes());
    tail[28..].copy_from_slice(&TAIL_MAGIC);
    bytes.extend(directory);
    bytes.extend(tail);
    bytes
}

fn crc_follows(bytes: &[u8], crc: &[u8]) -> bool {
    crc32fast::hash(bytes).to_le_bytes() == *crc
}

fn parse_directory(bytes: &[u8], count: u32, end: u64) -> Result<Vec<FieldEntry>, FormatError> {
    let damaged = FormatError::Damaged { what: "directory" };
    let mut bytes = Bytes(bytes);
    let mut fields: Vec<FieldEntry> = Vec::new();
    let mut at = HEADER as u64;
    for _ in 0..count {
        let entry = parse_field(&mut bytes, &mut at)?;
        if fields.last().is_some_and(|last| last.field >= entry.field) {
            return Err(damaged);
        }
        fields.push(entry);
    }
    if !bytes.0.is_empty() || align(at) != Some(end) {
        return Err(damaged);
    }
    Ok(fields)
}

fn parse_field(bytes: &mut Bytes<'_>, at: &mut u64) -> Result<FieldEntry, FormatError> {
    let damaged = || FormatError::Damaged { what: "directory" };
    let field = bytes.u32().ok_or_else(damaged)?;
    let dim = bytes.u16().and_then(|dim| Dim::new(usize::from(dim)).ok()).ok_or_else(damaged)?;
    let element = match bytes.u8().ok_or_else(damaged)? {
        0 => Element::F32,
        1 => Element::F16,
        2 => Element::Int8,
        code => {
            return Err(FormatError::Unsupported { what: "element type", code: u32::from(code) });
        }
    };
    let metric = match bytes.u8().ok_or_else(damaged)? {
        0 => Metric::Cosine,
        1 => Metric::Dot,
        2 => Metric::L2,
        code => return Err(FormatError::Unsupported { what: "metric", code: u32::from(code) }),
    };
    let rows = bytes.u32().ok_or_else(damaged)?;
    let flags = bytes.u32().ok_or_else(damaged)?;
    if flags & !(IN_DOC_ORDER | ONE_ROW_A_DOC) != 0 {
        return Err(FormatError::Unsupported { what: "flags", code: flags });
    }
    let refused = bytes.u32().ok_or_else(damaged)?;
    let count = bytes.u32().ok_or_else(damaged)?;
    let mut sections: Vec<Section> = Vec::new();
    for _ in 0..count {
        let code = bytes.u32().ok_or_else(damaged)?;
        let kind =
            Kind::read(code).ok_or(FormatError::Unsupported { what: "section kind", code })?;
        let crc = bytes.u32().ok_or_else(damaged)?;
        let offset = bytes.u64().ok_or_else(damaged)?;
        let length = bytes.u64().ok_or_else(damaged)?;
        let per_row = match kind {
            Kind::Rows => Some((element.bytes() * dim.get()) as u64),
            Kind::Docs | Kind::Scales | Kind::InverseNorms => Some(4),
            Kind::Tags => None,
            Kind::Languages => Some(2),
            Kind::Sources => Some(8),
        };
        let wanted = per_row.map_or(length, |bytes| bytes * u64::from(rows));
        let end = offset.checked_add(length).ok_or_else(damaged)?;
        let ascending = sections.last().is_none_or(|last| (last.kind as u32) < code);
        if length != wanted || align(*at) != Some(offset) || !ascending {
            return Err(damaged());
        }
        let start = usize::try_from(offset).map_err(|_| damaged())?;
        sections.push(Section {
            kind,
            crc,
            range: start..usize::try_from(end).map_err(|_| damaged())?,
        });
        *at = end;
    }
    let entry = FieldEntry { field, dim, element, metric, rows, flags, refused, sections };
    let has = |kind| entry.section(kind).is_some();
    let wrong = !has(Kind::Rows)
        || !has(Kind::Docs)
        || has(Kind::Tags) != has(Kind::Languages)
        || has(Kind::Scales) != (element == Element::Int8)
        || has(Kind::InverseNorms) && metric != Metric::Cosine;
    if wrong {
        return Err(damaged());
    }
    Ok(entry)
}

/// Takes little-endian numbers from the front.
pub(crate) struct Bytes<'a>(pub(crate) &'a [u8]);

impl<'a> Bytes<'a> {
    pub(crate) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N).and_then(|bytes| bytes.try_into().ok())
    }

    fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_le_bytes)
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }
}

/// Why bytes are not a `.vec` file that this build can read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message explains its fields")]
pub enum FormatError {
    /// The magic is another.
    #[error("no vector file")]
    NotVec,
    /// A later release wrote the file.
    #[error("format {found} is newer than {newest}, the newest that this build reads")]
    TooNew { found: u32, newest: u32 },
    /// A later release wrote something that this one does not know.
    #[error("{what} {code} is not known to this build; open it with a later release")]
    Unsupported { what: &'static str, code: u32 },
    /// Bytes are not as they were written.
    #[error("damaged {what}; restore the file from a copy, or index again")]
    Damaged { what: &'static str },
}
