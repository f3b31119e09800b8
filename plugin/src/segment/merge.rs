//! Merges the vectors of segments: rows go from the mapped files of the sources to the target's,
//! without one of them being held in memory.
//!
//! The target's index is built last, over the rows as they lie in its file. The largest source with a
//! sound graph and no deletes comes first, so that its graph is taken over and only the other rows are
//! added to it.
//!
//! Invariant: a row is in the target exactly if its doc is alive; its bytes are what was indexed:
//! a damaged source is an error, and its segments stay as they are. An index that cannot be built is
//! none: the target has no `.ann` then.

use std::io::{self, Write};
use std::sync::Arc;

use tantivy::directory::TerminatingWrite;
use tantivy::index::SegmentComponent;
use tantivy::indexer::doc_id_mapping::MappingType;
use tantivy::{DocId, PluginMergeContext, SegmentReader, TERMINATED};

use super::VEC;
use super::build::{self, BuildError, FieldBase};
use super::file::VecFileWriter;
use super::format::{FieldEntry, Kind};
use super::languages::Tags;
use super::reader::{Docs, EXACT, OpenField, OpenSegment, ReadError, doc_flags};
use crate::cache::Segments;
use crate::element::Element;
use crate::field::DenseField;

/// Writes the target's vector file.
pub(super) fn merge(
    fields: &[DenseField],
    segments: &Segments,
    ctx: &PluginMergeContext<'_>,
) -> tantivy::Result<()> {
    // The map itself cannot be read. For both stacked kinds it is: what is alive, in the order of
    // the readers.
    if ctx.doc_id_mapping.mapping_type() == MappingType::Shuffled {
        return Err(super::shuffled());
    }
    let mut sources = Vec::new();
    let mut max_doc = 0;
    for reader in ctx.readers {
        let new_ids = new_doc_ids(reader, &mut max_doc);
        let source = segments.of_reader(reader)?;
        // Or else the target's checksums would call damaged rows sound.
        source.verify()?;
        segments.check(&source);
        sources.push(MergedSegment { open: source, new_ids, deletes: reader.has_deletes() });
    }
    let largest = largest_graph(&sources);
    if let Some(largest) = largest {
        sources[..=largest].rotate_right(1);
    }
    let out = ctx.target_segment.open_write(SegmentComponent::Custom(VEC.to_owned()))?;
    let mut file = VecFileWriter::new(out, max_doc)?;
    let mut in_id_order: Vec<&DenseField> = fields.iter().collect();
    in_id_order.sort_by_key(|field| field.field.field_id());
    for field in in_id_order {
        let sources = sources
            .iter()
            .map(|MergedSegment { open: segment, new_ids, .. }| {
                let open = segment.field(field.field).expect("opened with these fields");
                Ok(Source { open, docs: open.docs()?, new_ids })
            })
            .collect::<Result<Vec<_>, ReadError>>()?;
        merge_field(field, &sources, &mut file)?;
    }
    file.finish()?.terminate()?;
    if let Err(error) =
        build_index(fields, segments, ctx, max_doc, largest.map(|_| &*sources[0].open))
    {
        let id = ctx.target_segment.id().uuid_string();
        log::warn!("segment {id} has no index and is searched exactly: {error}");
    }
    Ok(())
}

/// A source, open.
struct MergedSegment {
    open: Arc<OpenSegment>,
    new_ids: Vec<DocId>,
    deletes: bool,
}

/// The source whose graphs the target can take over: the one with the most rows, if it has lost none.
fn largest_graph(sources: &[MergedSegment]) -> Option<usize> {
    let rows = |source: &MergedSegment| -> u64 {
        source.open.fields().iter().map(|field| u64::from(field.rows().rows())).sum()
    };
    let has_index = |source: &MergedSegment| {
        let of_field =
            |field| source.open.index_parts(field).is_some_and(|(e, _)| e.backend != EXACT);
        source.open.fields().iter().any(of_field)
    };
    let all: u64 = sources.iter().map(rows).sum();
    let (at, largest) = sources.iter().enumerate().max_by_key(|(_, source)| rows(source))?;
    // Below half of the rows, a graph that only grew finds less than it saves.
    let pays = 2 * rows(largest) >= all && !largest.deletes && has_index(largest);
    pays.then_some(at)
}

/// Builds the target's index over the file just written.
fn build_index(
    fields: &[DenseField],
    segments: &Segments,
    ctx: &PluginMergeContext<'_>,
    max_doc: u32,
    base: Option<&OpenSegment>,
) -> Result<bool, BuildError> {
    let target = ctx.target_segment;
    let vec = SegmentComponent::Custom(VEC.to_owned());
    let bytes = target.open_read(vec).map_err(io::Error::other)?.read_bytes()?;
    let open = OpenSegment::of(target.id(), bytes, max_doc, fields).map_err(io::Error::other)?;
    build::build(target, &open, segments, |field| {
        let of_base = base?.field(field.handle())?;
        let (entry, parts) = base?.index_parts(of_base)?;
        Some(FieldBase { entry, parts })
    })
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

    if field.options.get_element() == Element::Int8 {
        sections.push(file.section(Kind::Scales, |out| {
            sources.iter().try_for_each(|source| {
                let scales = source.open.rows().scales().unwrap_or_default();
                source
                    .alive()
                    .try_for_each(|(row, _)| out.write_all(&scales[row as usize].to_le_bytes()))
            })
        })?);
    }
    if sources.iter().any(|source| source.open.rows().inverse_norms().is_some()) {
        sections.push(file.section(Kind::InverseNorms, |out| {
            sources.iter().try_for_each(|source| {
                let norms = source.open.rows().inverse_norms();
                // Where there are none, each row has length 1, or 0 and any factor will do.
                let norm = |row: u32| norms.map_or(1.0, |norms| norms[row as usize]);
                source.alive().try_for_each(|(row, _)| out.write_all(&norm(row).to_le_bytes()))
            })
        })?);
    }

    file.field(FieldEntry {
        field: field.field.field_id(),
        dim: field.options.dim(),
        element: field.options.get_element(),
        metric: field.options.get_metric(),
        rows: u32::try_from(docs().count()).map_err(io::Error::other)?,
        flags: doc_flags(&docs()),
        refused: sources.iter().map(|source| source.open.refused()).fold(0, u32::saturating_add),
        sections,
    });
    Ok(())
}
