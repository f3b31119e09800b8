//! Opens the vectors of a segment: doc id ↔ ordinal, rows, languages.
//!
//! Invariant: what [`OpenField`] gives out was range-checked: a row's doc is below `max_doc`.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::OnceLock;

use tantivy::directory::OwnedBytes;
use tantivy::directory::error::OpenReadError;
use tantivy::error::DataCorruption;
use tantivy::index::{SegmentComponent, SegmentId};
use tantivy::schema::Field;
use tantivy::{DocId, SegmentReader, TantivyError};
use zerocopy::{FromBytes, LE, U16, U32, U64};

use super::VEC;
use super::format::{
    FieldEntry, FormatError, IN_DOC_ORDER, Kind, NO_SOURCE, ONE_ROW_A_DOC, VecFile,
};
use super::languages::read_tags;
use crate::ann::{AnnBackend, AnnIndex, Exact, RowsView};
use crate::field::{AnnRecipe, DenseField};
use crate::language::LanguageTag;
use crate::row::DenseRow;

/// The dense fields of one segment, open.
#[derive(Debug)]
pub(crate) struct OpenSegment {
    id: SegmentId,
    file: VecFile,
    fields: Vec<OpenField>,
}

impl OpenSegment {
    /// Opens the vector file of a segment. What grows with the rows is looked at when it is used.
    pub(crate) fn open(reader: &SegmentReader, schema: &[DenseField]) -> Result<Self, ReadError> {
        let id = reader.segment_id();
        let name = file_name(id);
        let read = || -> Result<OwnedBytes, OpenReadError> {
            let slice = reader.open_read(SegmentComponent::Custom(VEC.to_owned()))?;
            slice
                .read_bytes()
                .map_err(|error| OpenReadError::wrap_io_error(error, PathBuf::from(&name)))
        };
        let bytes = read().map_err(|source| ReadError::Open { file: name.clone(), source })?;
        let bad = |source| ReadError::Format { file: name.clone(), source };
        let file = VecFile::parse(bytes).map_err(bad)?;
        if file.max_doc != reader.max_doc() {
            return Err(bad(FormatError::Damaged { what: "header" }));
        }
        let fields = schema
            .iter()
            .map(|field| OpenField::open(id, &file, field))
            .collect::<Result<_, _>>()?;
        Ok(Self { id, file, fields })
    }

    /// The segment that is open.
    pub(crate) fn id(&self) -> SegmentId {
        self.id
    }

    /// Doc ids are below it.
    pub(crate) fn max_doc(&self) -> u32 {
        self.file.max_doc
    }

    /// One dense field. None if the schema has no such dense field.
    pub(crate) fn field(&self, field: Field) -> Option<&OpenField> {
        self.fields.iter().find(|open| open.field == field)
    }

    /// Reads everything and checks it against checksums and ranges.
    pub(crate) fn verify(&self) -> Result<(), ReadError> {
        let name = || file_name(self.id);
        self.file.verify().map_err(|source| ReadError::Format { file: name(), source })?;
        for field in &self.fields {
            field.docs()?;
            field.check_languages()?;
        }
        Ok(())
    }
}

/// One dense field of one segment, open.
#[derive(Debug)]
pub(crate) struct OpenField {
    segment: SegmentId,
    field: Field,
    max_doc: u32,
    entry: FieldEntry,
    rows: RowsView,
    docs: OwnedBytes,
    checked: OnceLock<()>,
    tags: Vec<LanguageTag>,
    languages: Option<OwnedBytes>,
    sources: Option<OwnedBytes>,
    index: Box<dyn AnnIndex>,
}

impl OpenField {
    pub(crate) fn open(
        segment: SegmentId,
        file: &VecFile,
        schema: &DenseField,
    ) -> Result<Self, ReadError> {
        let name = || file_name(segment);
        let bad = |what| ReadError::Format { file: name(), source: FormatError::Damaged { what } };
        let Some(entry) = file.fields.iter().find(|e| e.field == schema.field.field_id()) else {
            return Err(ReadError::NoField { file: name(), field: schema.name.clone() });
        };
        let options = &schema.options;
        if entry.dim != options.dim() || entry.metric != options.get_metric() {
            return Err(ReadError::OtherField { file: name(), field: schema.name.clone() });
        }
        let section = |kind| entry.section(kind).map(|section| file.section(section));
        let rows = section(Kind::Rows).ok_or_else(|| bad("directory"))?;
        let rows = RowsView::new(rows, entry.dim, entry.metric).ok_or_else(|| bad("rows"))?;
        let docs = section(Kind::Docs).ok_or_else(|| bad("directory"))?;
        let tags = match section(Kind::Tags) {
            Some(bytes) => read_tags(&bytes).ok_or_else(|| bad("language tags"))?,
            None => Vec::new(),
        };
        let index = match options.get_ann() {
            AnnRecipe::Exact => Exact.open(OwnedBytes::empty(), rows.clone()),
        }
        .map_err(|_| bad("rows"))?;
        Ok(Self {
            segment,
            field: schema.field,
            max_doc: file.max_doc,
            entry: entry.clone(),
            rows,
            docs,
            checked: OnceLock::new(),
            tags,
            languages: section(Kind::Languages),
            sources: section(Kind::Sources),
            index,
        })
    }

    /// The rows themselves.
    pub(crate) fn rows(&self) -> &RowsView {
        &self.rows
    }

    /// What finds the nearest of the rows.
    pub(crate) fn index(&self) -> &dyn AnnIndex {
        self.index.as_ref()
    }

    /// How many values were refused while this segment was indexed.
    pub(crate) fn refused(&self) -> u32 {
        self.entry.refused
    }

    /// Which doc each row belongs to; checked when first asked for.
    pub(crate) fn docs(&self) -> Result<Docs<'_>, ReadError> {
        let table = <[U32<LE>]>::ref_from_bytes(self.docs.as_slice()).expect("rows × 4 bytes");
        let docs = Docs { table, flags: self.entry.flags };
        if self.checked.get().is_none() {
            if !docs.are_as_flagged(self.max_doc) {
                return Err(self.damaged("row to doc table"));
            }
            // Whoever comes first has found the same.
            let _ = self.checked.set(());
        }
        Ok(docs)
    }

    /// The language of each row; none if no row of the segment has one.
    pub(crate) fn languages(&self) -> Option<Languages<'_>> {
        let bytes = self.languages.as_ref()?;
        let numbers = <[U16<LE>]>::ref_from_bytes(bytes.as_slice()).expect("rows × 2 bytes");
        Some(Languages { numbers, tags: &self.tags })
    }

    /// The place of a row in its source text, as it lies in the file.
    pub(crate) fn source_bits(&self, row: u32) -> u64 {
        let Some(bytes) = &self.sources else { return NO_SOURCE };
        let places = <[U64<LE>]>::ref_from_bytes(bytes.as_slice()).expect("rows × 8 bytes");
        places[row as usize].get()
    }

    /// A row with all that is known about it.
    pub(crate) fn row(&self, row: u32) -> DenseRow {
        let mut vector = vec![0.0; self.rows.dim().get()];
        self.rows.copy_row(row, &mut vector);
        let language = self.languages().and_then(|languages| languages.of(row)).cloned();
        let place = self.source_bits(row).to_le_bytes();
        let [start, end] = [0, 4].map(|at| {
            u32::from_le_bytes(place[at..at + 4].try_into().expect("half of eight bytes"))
        });
        let source = (self.source_bits(row) != NO_SOURCE).then_some(start..end);
        DenseRow::from_parts(vector, language, source)
    }

    /// Whether any row has a place in its source text.
    pub(crate) fn has_sources(&self) -> bool {
        self.sources.is_some()
    }

    fn check_languages(&self) -> Result<(), ReadError> {
        let known = |languages: Languages<'_>| {
            languages.numbers.iter().all(|n| usize::from(n.get()) <= languages.tags.len())
        };
        if self.languages().is_none_or(known) {
            Ok(())
        } else {
            Err(self.damaged("row to language table"))
        }
    }

    fn damaged(&self, what: &'static str) -> ReadError {
        ReadError::Format { file: file_name(self.segment), source: FormatError::Damaged { what } }
    }
}

/// The row → doc table of a field.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Docs<'a> {
    table: &'a [U32<LE>],
    flags: u32,
}

impl<'a> Docs<'a> {
    /// The doc of a row.
    #[inline]
    pub(crate) fn of(&self, row: u32) -> DocId {
        self.table[row as usize].get()
    }

    /// The doc of each row.
    pub(crate) fn iter(&self) -> impl Iterator<Item = DocId> + Clone + 'a {
        self.table.iter().map(|doc| doc.get())
    }

    /// Whether rows lie in the order of their docs.
    pub(crate) fn in_order(&self) -> bool {
        self.flags & IN_DOC_ORDER != 0
    }

    /// Whether no doc has two rows.
    pub(crate) fn one_row_each(&self) -> bool {
        self.flags & ONE_ROW_A_DOC != 0
    }

    /// The rows of one doc, ascending.
    pub(crate) fn rows_of(&self, doc: DocId) -> Vec<u32> {
        let number = |row: usize| u32::try_from(row).expect("ordinals are 32 bits");
        if self.in_order() {
            let first = self.table.partition_point(|d| d.get() < doc);
            let count = self.table[first..].iter().take_while(|d| d.get() == doc).count();
            (number(first)..number(first + count)).collect()
        } else {
            let rows = self.table.iter().enumerate().filter(|(_, d)| d.get() == doc);
            rows.map(|(row, _)| number(row)).collect()
        }
    }

    fn are_as_flagged(&self, max_doc: u32) -> bool {
        if self.iter().any(|doc| doc >= max_doc) {
            return false;
        }
        doc_flags(&self.iter()) == self.flags
    }
}

/// The flags that a row → doc table has.
pub(crate) fn doc_flags(docs: &(impl Iterator<Item = DocId> + Clone)) -> u32 {
    let pairs = || docs.clone().zip(docs.clone().skip(1));
    let in_order = pairs().all(|(doc, next)| doc <= next);
    let one_each = if in_order {
        pairs().all(|(doc, next)| doc < next)
    } else {
        let mut seen = HashSet::new();
        docs.clone().all(|doc| seen.insert(doc))
    };
    u32::from(in_order) * IN_DOC_ORDER + u32::from(one_each) * ONE_ROW_A_DOC
}

/// The languages of a field's rows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Languages<'a> {
    numbers: &'a [U16<LE>],
    tags: &'a [LanguageTag],
}

impl<'a> Languages<'a> {
    /// The language of a row, where known.
    pub(crate) fn of(&self, row: u32) -> Option<&'a LanguageTag> {
        let number = usize::from(self.numbers[row as usize].get());
        number.checked_sub(1).and_then(|at| self.tags.get(at))
    }
}

/// The vector file of a segment, as Tantivy names it.
fn file_name(id: SegmentId) -> String {
    format!("{}.{VEC}", id.uuid_string())
}

/// Why the vectors of a segment could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message explains its fields")]
pub enum ReadError {
    /// The file is missing, or the file system refused.
    #[error("{file}: cannot be opened")]
    Open { file: String, source: OpenReadError },
    /// The bytes are not what this build reads.
    #[error("{file}")]
    Format { file: String, source: FormatError },
    /// The schema and the segment do not belong together.
    #[error("{file}: no vectors of field `{field}`, which the schema has; index again")]
    NoField { file: String, field: String },
    /// The schema and the segment do not belong together.
    #[error("{file}: field `{field}` has another dim or metric than in the schema; index again")]
    OtherField { file: String, field: String },
}

impl From<ReadError> for TantivyError {
    fn from(error: ReadError) -> Self {
        match error {
            // As it is: who reads while a merge cleans up tries again on exactly this error.
            ReadError::Open { source, .. } => source.into(),
            ReadError::Format { file, source } => {
                DataCorruption::new(PathBuf::from(file), source.to_string()).into()
            }
            other => DataCorruption::comment_only(other).into(),
        }
    }
}
