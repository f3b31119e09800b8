//! Merges the vectors of segments: rows go from the mapped files of the sources to the target's,
//! without one of them being held in memory.
//!
//! Invariant: a row is in the target exactly if its doc is alive; its bytes are what was indexed:
//! a damaged source is an error, and its segments stay as they are.

use std::io::{self, Write};

use tantivy::directory::TerminatingWrite;
use tantivy::index::SegmentComponent;
use tantivy::indexer::doc_id_mapping::MappingType;
use tantivy::{DocId, PluginMergeContext, SegmentReader, TERMINATED};

use super::VEC;
use super::file::VecFileWriter;
use super::format::{FieldEntry, Kind};
use super::languages::Tags;
use super::reader::{Docs, OpenField, OpenSegment, ReadError, doc_flags};
use crate::field::DenseField;

/// Writes the target's vector file.
pub(super) fn merge(fields: &[DenseField], ctx: &PluginMergeContext<'_>) -> tantivy::Result<()> {
    // The map itself cannot be read. For both stacked kinds it is: what is alive, in the order of
    // the readers.
    if ctx.doc_id_mapping.mapping_type() == MappingType::Shuffled {
        return Err(super::shuffled());
    }
    let mut sources = Vec::new();
    let mut max_doc = 0;
    for reader in ctx.readers {
        let new_ids = new_doc_ids(reader, &mut max_doc);
        let source = OpenSegment::open(reader, fields)?;
        // Or else the target's checksums would call damaged rows sound.
        source.verify()?;
        sources.push((source, new_ids));
    }
    let out = ctx.target_segment.open_write(SegmentComponent::Custom(VEC.to_owned()))?;
    let mut file = VecFileWriter::new(out, max_doc)?;
    let mut in_id_order: Vec<&DenseField> = fields.iter().collect();
    in_id_order.sort_by_key(|field| field.field.field_id());
    for field in in_id_order {
        let sources = sources
            .iter()
            .map(|(segment, new_ids)| {
                let open = segment.field(field.field).expect("opened with these fields");
                Ok(Source { open, docs: open.docs()?, new_ids })
            })
            .collect::<Result<Vec<_>, ReadError>>()?;
        merge_field(field, &sources, &mut file)?;
    }
    file.finish()?.terminate()?;
    Ok(())
}

/// What each doc of a source is called in the target; [`TERMINATED`] for a deleted one.
fn new_doc_ids(reader: &SegmentReader, next: &mut DocId) -> Vec<DocId> {
    let mut new_ids = vec![TERMINATED; reader.max_doc() as usize];
    for doc in reader.doc_ids_alive() {
        new_ids[doc as usize] = *next;
        *next += 1;
    }
    new_ids
}

/// One field of one source.
struct Source<'a> {
    open: &'a OpenField,
    docs: Docs<'a>,
    new_ids: &'a [DocId],
}

impl Source<'_> {
    /// The rows that live on, with their docs in the target.
    fn alive(&self) -> impl Iterator<Item = (u32, DocId)> + Clone + '_ {
        let new_ids = self.docs.iter().map(|doc| self.new_ids[doc as usize]);
        (0u32..).zip(new_ids).filter(|(_, doc)| *doc != TERMINATED)
    }

    /// Writes the rows that live on, as long runs as there are.
    fn write_rows(&self, out: &mut impl Write) -> io::Result<()> {
        let mut run = 0..0;
        for (row, _) in self.alive() {
            if row != run.end {
                out.write_all(self.open.rows().bytes_of(run))?;
                run = row..row;
            }
            run.end = row + 1;
        }
        out.write_all(self.open.rows().bytes_of(run))
    }
}

fn merge_field<W: Write>(
    field: &DenseField,
    sources: &[Source<'_>],
    file: &mut VecFileWriter<W>,
) -> io::Result<()> {
    let docs = || sources.iter().flat_map(|source| source.alive().map(|(_, doc)| doc));
    let mut sections = vec![
        file.section(Kind::Rows, |out| sources.iter().try_for_each(|s| s.write_rows(out)))?,
        file.section(Kind::Docs, |out| {
            docs().try_for_each(|doc| out.write_all(&doc.to_le_bytes()))
        })?,
    ];

    let mut tags = Tags::default();
    let mut numbers: Vec<u16> = Vec::new();
    for source in sources {
        let languages = source.open.languages();
        numbers.extend(source.alive().map(|(row, _)| {
            let tag = languages.and_then(|languages| languages.of(row));
            tag.map_or(0, |tag| tags.number(tag.as_str()))
        }));
    }
    if !tags.is_empty() {
        sections.push(file.section(Kind::Tags, |out| tags.write(out))?);
        sections.push(file.section(Kind::Languages, |out| {
            numbers.iter().try_for_each(|number| out.write_all(&number.to_le_bytes()))
        })?);
    }

    if sources.iter().any(|source| source.open.has_sources()) {
        sections.push(file.section(Kind::Sources, |out| {
            sources.iter().try_for_each(|source| {
                source.alive().try_for_each(|(row, _)| {
                    out.write_all(&source.open.source_bits(row).to_le_bytes())
                })
            })
        })?);
    }

    file.field(FieldEntry {
        field: field.field.field_id(),
        dim: field.options.dim(),
        metric: field.options.get_metric(),
        rows: u32::try_from(docs().count()).map_err(io::Error::other)?,
        flags: doc_flags(&docs()),
        refused: sources.iter().map(|source| source.open.refused()).fold(0, u32::saturating_add),
        sections,
    });
    Ok(())
}
