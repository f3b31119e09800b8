//! Writes a `.vec` file in one pass, so that rows stream through without being held.
//!
//! Invariant: what comes out parses with [`VecFile::parse`](super::format::VecFile::parse) if the
//! sections of a field are written between two calls of [`VecFileWriter::field`], by ascending kind.

use std::io::{self, Write};

use super::format::{
    FIELD, FieldEntry, HEADER, Kind, MAGIC, SECTION, Section, TAIL, TAIL_MAGIC, VERSION, align,
    element_code, metric_code,
};

/// A `.vec` file that is being written.
pub(crate) struct VecFileWriter<W> {
    out: W,
    at: u64,
    fields: Vec<FieldEntry>,
}

impl<W: Write> VecFileWriter<W> {
    /// Writes the header.
    pub(crate) fn new(mut out: W, max_doc: u32) -> io::Result<Self> {
        let mut header = [0; HEADER];
        header[..8].copy_from_slice(&MAGIC);
        header[8..12].copy_from_slice(&VERSION.to_le_bytes());
        header[12..16].copy_from_slice(&max_doc.to_le_bytes());
        let crc = crc32fast::hash(&header[..HEADER - 4]);
        header[HEADER - 4..].copy_from_slice(&crc.to_le_bytes());
        out.write_all(&header)?;
        Ok(Self { out, at: HEADER as u64, fields: Vec::new() })
    }

    /// Writes one section: `fill` puts its bytes.
    pub(crate) fn section(
        &mut self,
        kind: Kind,
        fill: impl FnOnce(&mut SectionWriter<'_>) -> io::Result<()>,
    ) -> io::Result<Section> {
        self.pad()?;
        let mut section = SectionWriter::new(&mut self.out);
        fill(&mut section)?;
        let (crc, length) = section.finish();
        let start = usize::try_from(self.at).map_err(io::Error::other)?;
        self.at += length;
        let end = usize::try_from(self.at).map_err(io::Error::other)?;
        Ok(Section { kind, crc, range: start..end })
    }

    /// Ends a field: its sections are those written since the last one.
    pub(crate) fn field(&mut self, entry: FieldEntry) {
        self.fields.push(entry);
    }

    /// Writes directory and tail, and gives back what was written to.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        self.pad()?;
        let mut directory = Vec::with_capacity(self.fields.len() * (FIELD + 7 * SECTION));
        for entry in &self.fields {
            directory.extend(entry.field.to_le_bytes());
            let dim = u16::try_from(entry.dim.get()).expect("a dim fits 16 bits");
            directory.extend(dim.to_le_bytes());
            directory.extend([element_code(entry.element), metric_code(entry.metric)]);
            directory.extend(entry.rows.to_le_bytes());
            directory.extend(entry.flags.to_le_bytes());
            directory.extend(entry.refused.to_le_bytes());
            let count = u32::try_from(entry.sections.len()).map_err(io::Error::other)?;
            directory.extend(count.to_le_bytes());
            for section in &entry.sections {
                directory.extend((section.kind as u32).to_le_bytes());
                directory.extend(section.crc.to_le_bytes());
                directory.extend((section.range.start as u64).to_le_bytes());
                directory.extend((section.range.len() as u64).to_le_bytes());
            }
        }
        let mut tail = [0; TAIL];
        tail[..8].copy_from_slice(&self.at.to_le_bytes());
        let count = u32::try_from(self.fields.len()).map_err(io::Error::other)?;
        tail[8..12].copy_from_slice(&count.to_le_bytes());
        tail[12..16].copy_from_slice(&crc32fast::hash(&directory).to_le_bytes());
        let crc = crc32fast::hash(&tail[..24]);
        tail[24..28].copy_from_slice(&crc.to_le_bytes());
        tail[28..].copy_from_slice(&TAIL_MAGIC);
        self.out.write_all(&directory)?;
        self.out.write_all(&tail)?;
        Ok(self.out)
    }

    fn pad(&mut self) -> io::Result<()> {
        let next = align(self.at).ok_or_else(|| io::Error::other("a file past 2^64 bytes"))?;
        let gap = usize::try_from(next - self.at).expect("less than an alignment");
        self.out.write_all(&[0; 64][..gap])?;
        self.at = next;
        Ok(())
    }
}

/// Counts and checksums what passes.
pub(crate) struct SectionWriter<'a> {
    out: &'a mut dyn Write,
    crc: crc32fast::Hasher,
    length: u64,
}

impl<'a> SectionWriter<'a> {
    pub(crate) fn new(out: &'a mut dyn Write) -> Self {
        Self { out, crc: crc32fast::Hasher::new(), length: 0 }
    }

    /// The checksum and the length of what passed.
    pub(crate) fn finish(self) -> (u32, u64) {
        (self.crc.finalize(), self.length)
    }
}

impl Write for SectionWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.crc.update(&bytes[..written]);
        self.length += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}
