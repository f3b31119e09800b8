//! One segment's vectors while it is being indexed.
//!
//! Invariant: nothing in a document makes this writer fail; a value that is no row of its field is
//! counted and left out. An error here would cost the caller every document since the last commit.

use std::any::Any;
use std::io::{self, Write};
use std::sync::Arc;

use tantivy::directory::TerminatingWrite;
use tantivy::index::SegmentComponent;
use tantivy::indexer::doc_id_mapping::DocIdMapping;
use tantivy::schema::Schema;
use tantivy::schema::document::{ErasedDocument, ErasedValue, ReferenceValueLeaf};
use tantivy::{DocId, PluginWriter, Segment, TantivyError};

use super::VEC;
use super::file::VecFileWriter;
use super::format::{FieldEntry, Kind, NO_SOURCE};
use super::languages::Tags;
use super::reader::doc_flags;
use crate::ann::RowsBuffer;
use crate::cache::Segments;
use crate::element::Element;
use crate::field::DenseField;
use crate::row::RowBytes;

/// Collects the rows of all dense fields.
pub(crate) struct DenseSegmentWriter {
    fields: Arc<[DenseField]>,
    columns: Vec<Column>,
    max_doc: u32,
    segments: Arc<Segments>,
}

impl DenseSegmentWriter {
    pub(crate) fn new(fields: Arc<[DenseField]>, segments: Arc<Segments>) -> Self {
        let columns = fields.iter().map(Column::new).collect();
        Self { fields, columns, max_doc: 0, segments }
    }

    /// The opened segments of the plugin that made this writer.
    pub(crate) fn segments(&self) -> &Arc<Segments> {
        &self.segments
    }
}

impl PluginWriter for DenseSegmentWriter {
    fn add_document(
        &mut self,
        doc_id: DocId,
        doc: &dyn ErasedDocument,
        _: &Schema,
    ) -> tantivy::Result<()> {
        self.max_doc = doc_id + 1;
        for (field, value) in doc.erased_fields() {
            let Some(at) = self.fields.iter().position(|dense| dense.field == field) else {
                continue;
            };
            let column = &mut self.columns[at];
            let row = match value {
                ErasedValue::Leaf(ReferenceValueLeaf::Custom(bytes)) => RowBytes::parse(bytes),
                _ => None,
            };
            match row {
                Some(row) if row.check(&self.fields[at].options).is_ok() => {
                    column.push(doc_id, &row);
                }
                _ => column.refused += 1,
            }
        }
        Ok(())
    }

    fn serialize(
        self: Box<Self>,
        segment: &Segment,
        map: Option<&DocIdMapping>,
    ) -> tantivy::Result<()> {
        if map.is_some() {
            return Err(super::shuffled());
        }
        let out = segment.open_write(SegmentComponent::Custom(VEC.to_owned()))?;
        let mut file = VecFileWriter::new(out, self.max_doc)?;
        let mut fields: Vec<_> = self.fields.iter().zip(&self.columns).collect();
        fields.sort_by_key(|(field, _)| field.field.field_id());
        for (field, column) in fields {
            column.write(field, &mut file)?;
        }
        file.finish()?.terminate()?;
        Ok(())
    }

    fn mem_usage(&self) -> usize {
        self.columns.iter().map(Column::bytes).sum()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}

/// The rows of one field.
struct Column {
    rows: RowsBuffer,
    docs: Vec<DocId>,
    languages: Vec<u16>,
    tags: Tags,
    sources: Vec<u64>,
    has_sources: bool,
    refused: u32,
}

impl Column {
    fn new(field: &DenseField) -> Self {
        let options = &field.options;
        let rows = RowsBuffer::new(options.dim(), options.get_metric(), options.get_element());
        let (docs, languages, sources) = <(Vec<_>, Vec<_>, Vec<_>)>::default();
        Self {
            rows,
            docs,
            languages,
            tags: Tags::default(),
            sources,
            has_sources: false,
            refused: 0,
        }
    }

    fn push(&mut self, doc: DocId, row: &RowBytes<'_>) {
        self.rows.push(&row.vector());
        self.docs.push(doc);
        self.languages.push(row.language.map_or(0, |tag| self.tags.number(tag)));
        let source = row.source.as_ref();
        self.has_sources |= source.is_some();
        self.sources.push(
            source.map_or(NO_SOURCE, |range| u64::from(range.start) | u64::from(range.end) << 32),
        );
    }

    fn bytes(&self) -> usize {
        self.rows.memory()
            + self.docs.capacity() * 4
            + self.languages.capacity() * 2
            + self.sources.capacity() * 8
    }

    fn write<W: Write>(&self, field: &DenseField, file: &mut VecFileWriter<W>) -> io::Result<()> {
        let mut sections = vec![
            file.section(Kind::Rows, |out| out.write_all(&self.rows.bytes))?,
            file.section(Kind::Docs, |out| {
                self.docs.iter().try_for_each(|doc| out.write_all(&doc.to_le_bytes()))
            })?,
        ];
        if !self.tags.is_empty() {
            sections.push(file.section(Kind::Tags, |out| self.tags.write(out))?);
            sections.push(file.section(Kind::Languages, |out| {
                self.languages.iter().try_for_each(|n| out.write_all(&n.to_le_bytes()))
            })?);
        }
        if self.has_sources {
            sections.push(file.section(Kind::Sources, |out| {
                self.sources.iter().try_for_each(|place| out.write_all(&place.to_le_bytes()))
            })?);
        }
        let numbers = |out: &mut dyn Write, numbers: &[f32]| {
            numbers.iter().try_for_each(|x| out.write_all(&x.to_le_bytes()))
        };
        if field.options.get_element() == Element::Int8 {
            let scales = &self.rows.scales;
            sections.push(file.section(Kind::Scales, |out| numbers(out, scales))?);
        }
        if let Some(norms) = self.rows.inverse_norms() {
            sections.push(file.section(Kind::InverseNorms, |out| numbers(out, norms))?);
        }
        file.field(FieldEntry {
            field: field.field.field_id(),
            dim: field.options.dim(),
            element: field.options.get_element(),
            metric: field.options.get_metric(),
            rows: u32::try_from(self.docs.len()).map_err(io::Error::other)?,
            flags: doc_flags(&self.docs.iter().copied()),
            refused: self.refused,
            sections,
        });
        Ok(())
    }
}

impl From<super::Refused> for TantivyError {
    fn from(refused: super::Refused) -> Self {
        Self::InvalidArgument(refused.to_string())
    }
}
