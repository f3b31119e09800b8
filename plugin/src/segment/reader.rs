//! Opens the vectors of a segment: doc id ↔ ordinal, rows, languages.
//!
//! Invariant: what [`OpenField`] gives out was range-checked: a row's doc is below `max_doc`. An index
//! is searched only after all of it was checked; until then, and without one, rows are compared.
//!
//! More than 500 lines: a segment's fields and what is known of its index change together, under one lock.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock, TryLockError};

use tantivy::directory::OwnedBytes;
use tantivy::directory::error::OpenReadError;
use tantivy::error::DataCorruption;
use tantivy::index::{SegmentComponent, SegmentId};
use tantivy::schema::Field;
use tantivy::{DocId, Opstamp, SegmentReader, TantivyError};
use zerocopy::{FromBytes, LE, U16, U32, U64};

use super::annfile::{AnnEntry, AnnFile};
use super::format::{
    FieldEntry, FormatError, IN_DOC_ORDER, Kind, NO_SOURCE, ONE_ROW_A_DOC, VecFile,
};
use super::languages::read_tags;
use super::{ANN, VEC};
use crate::ann::{
    self, AnnError, AnnIndex, AnnParts, Exact, Floats, Gpu, OnCard, RowSet, RowsView,
};
use crate::field::DenseField;
use crate::language::LanguageTag;
use crate::row::DenseRow;

/// The dense fields of one segment, open.
#[derive(Debug)]
pub(crate) struct OpenSegment {
    id: SegmentId,
    file: VecFile,
    fields: Vec<OpenField>,
    ann: Mutex<AnnState>,
    /// Why the index was last said to be unusable.
    told: Mutex<String>,
}

/// What is known of a segment's `.ann`.
#[derive(Debug)]
enum AnnState {
    Absent,
    /// It is there, and not a byte of its sections was looked at.
    Unchecked(AnnFile),
    /// What was sound is searched with.
    Checked(AnnFile),
    /// It cannot be used, and why. What this build does not know need not be damaged.
    Bypassed {
        why: String,
        damaged: bool,
    },
}

/// How the vectors of one field in one segment are searched.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum AnnStatus {
    /// Exactly, as the recipe has it for a segment of this size.
    Exact,
    /// Exactly, until an index is built.
    Missing,
    /// Exactly, until the index is checked.
    Unchecked,
    /// By an index of this recipe.
    Ready(String),
    /// Exactly: the index cannot be used until it is built again, and why.
    Bypassed(String),
    /// Exactly: this build, or this processor, cannot use the index, and why. Others can.
    Unusable(String),
}

impl OpenSegment {
    /// Opens the vector file of a segment. What grows with the rows is looked at when it is used.
    pub(crate) fn open(reader: &SegmentReader, schema: &[DenseField]) -> Result<Self, ReadError> {
        let id = reader.segment_id();
        let component = SegmentComponent::Custom(VEC.to_owned());
        let bytes = read(reader.open_read(component), &file_name(id))?;
        let opened = Self::of(id, bytes, reader.max_doc(), schema)?;
        opened.attach(reader);
        Ok(opened)
    }

    /// The same from the bytes of a vector file; the segment has no index.
    pub(crate) fn of(
        id: SegmentId,
        bytes: OwnedBytes,
        max_doc: u32,
        schema: &[DenseField],
    ) -> Result<Self, ReadError> {
        let bad = |source| ReadError::Format { file: file_name(id), source };
        let file = VecFile::parse(bytes).map_err(bad)?;
        if file.max_doc != max_doc {
            return Err(bad(FormatError::Damaged { what: "header" }));
        }
        let fields = schema
            .iter()
            .map(|field| OpenField::open(id, &file, field))
            .collect::<Result<_, _>>()?;
        Ok(Self { id, file, fields, ann: Mutex::new(AnnState::Absent), told: Mutex::default() })
    }

    /// Looks for an index, unless one is there: it may have been built since. Costs nothing that
    /// grows with the rows. One that cannot be used is no error: rows are compared then.
    pub(crate) fn attach(&self, reader: &SegmentReader) {
        match self.ann.try_lock() {
            Ok(mut state) => self.attach_to(&mut state, reader),
            Err(TryLockError::Poisoned(poisoned)) => {
                self.attach_to(&mut poisoned.into_inner(), reader);
            }
            // It is just being checked.
            Err(TryLockError::WouldBlock) => {}
        }
    }

    /// The same for who has just built the index: it waits for another thread that is at it, which
    /// may have met half a file.
    pub(crate) fn attach_built(&self, reader: &SegmentReader) {
        self.attach_to(&mut self.lock_ann(), reader);
    }

    fn attach_to(&self, state: &mut AnnState, reader: &SegmentReader) {
        if matches!(*state, AnnState::Unchecked(_) | AnnState::Checked(_)) {
            return;
        }
        let name = format!("{}.{ANN}", self.id.uuid_string());
        let bytes = match read(reader.open_read(SegmentComponent::Custom(ANN.to_owned())), &name) {
            Ok(bytes) => bytes,
            Err(ReadError::Open { source: OpenReadError::FileDoesNotExist(_), .. }) => {
                *state = AnnState::Absent;
                return;
            }
            Err(error) => return self.bypass(state, with_cause(&error), true),
        };
        match AnnFile::parse(bytes) {
            Ok(file) if file.vec == self.file.crc => *state = AnnState::Unchecked(file),
            Ok(_) => self.bypass(state, format!("{name}: built over other vectors"), true),
            Err(error) => self.bypass(state, format!("{name}: {error}"), true),
        }
    }

    /// Goes on without an index, and says so, once for each new reason: a damaged file is met again
    /// at every reload.
    fn bypass(&self, state: &mut AnnState, why: String, damaged: bool) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if *told != why {
            if damaged {
                log::warn!("{why}; its segment is searched exactly until the file is built again");
            } else {
                log::info!("{why}; its segment is searched exactly");
            }
            told.clone_from(&why);
        }
        *state = AnnState::Bypassed { why, damaged };
    }

    /// Whether there is an index that was not looked at.
    pub(crate) fn is_unchecked(&self) -> bool {
        matches!(*self.lock_ann(), AnnState::Unchecked(_))
    }

    /// Checks the index in full, and searches with it from then on. Where another thread is at it,
    /// waits for it. `checked` tells whether a file of this checksum was found sound before.
    pub(crate) fn check_ann(&self, checked: impl FnOnce(u32) -> bool) -> Option<u32> {
        let mut state = self.lock_ann();
        let AnnState::Unchecked(file) = &*state else { return None };
        let name = format!("{}.{ANN}", self.id.uuid_string());
        let file = file.clone();
        if !checked(file.crc)
            && let Err(error) = file.check()
        {
            self.bypass(&mut state, format!("{name}: {error}"), true);
            return None;
        }
        let crc = file.crc;
        for entry in &file.fields {
            let Some(field) = self.fields.iter().find(|open| open.entry.field == entry.field)
            else {
                continue;
            };
            match field.open_index(&file.parts(entry), entry) {
                Ok(index) => field.set_index(Some(index)),
                Err(error) => {
                    self.fields.iter().for_each(|field| field.set_index(None));
                    let sound =
                        matches!(error, AnnError::Unknown { .. } | AnnError::Processor { .. });
                    self.bypass(&mut state, format!("{name}: {error}"), !sound);
                    return None;
                }
            }
        }
        *state = AnnState::Checked(file);
        Some(crc)
    }

    /// Reads the index in full and says what is wrong with it. What was sound when it was opened and
    /// is not any more is bypassed from now on.
    pub(crate) fn verify_ann(&self) -> Result<(), String> {
        self.check_ann(|_| false);
        let mut state = self.lock_ann();
        if let AnnState::Checked(file) = &*state
            && let Err(error) = file.check()
        {
            self.fields.iter().for_each(|field| field.set_index(None));
            self.bypass(&mut state, format!("{}.{ANN}: {error}", self.id.uuid_string()), true);
        }
        match &*state {
            AnnState::Bypassed { why, damaged: true } => Err(why.clone()),
            _ => Ok(()),
        }
    }

    /// How one field is searched.
    pub(crate) fn status(&self, field: &OpenField) -> AnnStatus {
        let entry =
            |file: &AnnFile| file.fields.iter().find(|e| e.field == field.entry.field).cloned();
        match &*self.lock_ann() {
            _ if !field.wants_index() => AnnStatus::Exact,
            AnnState::Absent => AnnStatus::Missing,
            AnnState::Unchecked(_) => AnnStatus::Unchecked,
            AnnState::Bypassed { why, damaged: true } => AnnStatus::Bypassed(why.clone()),
            AnnState::Bypassed { why, .. } => AnnStatus::Unusable(why.clone()),
            AnnState::Checked(file) => {
                entry(file).map_or(AnnStatus::Missing, |entry| AnnStatus::Ready(entry.recipe))
            }
        }
    }

    /// Whether an index is to be built: one is wanted, and there is none that can be used.
    pub(crate) fn needs_index(&self) -> bool {
        let missing = |field: &OpenField| {
            matches!(self.status(field), AnnStatus::Missing | AnnStatus::Bypassed(_))
        };
        self.fields.iter().any(missing)
    }

    /// The sound index of a field, to build another one on.
    pub(crate) fn index_parts(&self, field: &OpenField) -> Option<(AnnEntry, AnnParts)> {
        match &*self.lock_ann() {
            AnnState::Checked(file) => {
                let entry = file.fields.iter().find(|e| e.field == field.entry.field)?;
                Some((entry.clone(), file.parts(entry)))
            }
            _ => None,
        }
    }

    /// What all of the vector file's checksums come to.
    pub(crate) fn crc(&self) -> u32 {
        self.file.crc
    }

    /// All dense fields.
    pub(crate) fn fields(&self) -> &[OpenField] {
        &self.fields
    }

    fn lock_ann(&self) -> std::sync::MutexGuard<'_, AnnState> {
        // A panic while checking leaves the state as it was.
        self.ann.lock().unwrap_or_else(PoisonError::into_inner)
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
    recipe: ann::AnnRecipe,
    exact: Arc<dyn AnnIndex>,
    index: RwLock<Option<OpenIndex>>,
    cards: Mutex<OnCards>,
    alive: Mutex<Option<Alive>>,
}

/// An index that was checked.
#[derive(Clone, Debug)]
struct OpenIndex {
    index: Arc<dyn AnnIndex>,
    backend: String,
    parts: AnnParts,
}

/// Copies on a card.
#[derive(Debug, Default)]
struct OnCards {
    rows: Copied,
    index: Copied,
}

/// Whether something was copied to a card.
#[derive(Debug, Default)]
enum Copied {
    #[default]
    NotTried,
    /// FAISS has no such index there, or it failed: it is not tried again.
    Not,
    There(Arc<OnCard>),
}

impl Copied {
    fn or_try(&mut self, copy: impl FnOnce() -> Option<OnCard>) -> Option<Arc<OnCard>> {
        if matches!(self, Self::NotTried) {
            *self = copy().map_or(Self::Not, |copy| Self::There(Arc::new(copy)));
        }
        match self {
            Self::There(copy) => Some(copy.clone()),
            Self::NotTried | Self::Not => None,
        }
    }
}

/// The rows of documents that were alive at a delete of this stamp.
#[derive(Debug)]
struct Alive {
    opstamp: Option<Opstamp>,
    rows: Arc<RowSet>,
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
        let same = entry.dim == options.dim()
            && entry.metric == options.get_metric()
            && entry.element == options.get_element();
        if !same {
            return Err(ReadError::OtherField { file: name(), field: schema.name.clone() });
        }
        let section = |kind| entry.section(kind).map(|section| file.section(section));
        let rows = section(Kind::Rows).ok_or_else(|| bad("directory"))?;
        let [scales, norms] =
            [Kind::Scales, Kind::InverseNorms].map(|k| section(k).map(Floats::new));
        let rows = RowsView::new(rows, entry.element, entry.dim, entry.metric, scales, norms)
            .ok_or_else(|| bad("rows"))?;
        let docs = section(Kind::Docs).ok_or_else(|| bad("directory"))?;
        let tags = match section(Kind::Tags) {
            Some(bytes) => read_tags(&bytes).ok_or_else(|| bad("language tags"))?,
            None => Vec::new(),
        };
        Ok(Self {
            segment,
            field: schema.field,
            max_doc: file.max_doc,
            entry: entry.clone(),
            docs,
            checked: OnceLock::new(),
            tags,
            languages: section(Kind::Languages),
            sources: section(Kind::Sources),
            recipe: options.get_ann().clone(),
            exact: Arc::new(Exact::over(rows.clone())),
            rows,
            index: RwLock::new(None),
            cards: Mutex::default(),
            alive: Mutex::new(None),
        })
    }

    /// The rows themselves.
    pub(crate) fn rows(&self) -> &RowsView {
        &self.rows
    }

    /// Tantivy's handle.
    pub(crate) fn handle(&self) -> Field {
        self.field
    }

    /// What finds the nearest of the rows: the index, where there is one that was checked.
    pub(crate) fn index(&self) -> Arc<dyn AnnIndex> {
        let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
        index.as_ref().map_or(&self.exact, |open| &open.index).clone()
    }

    /// A copy of the rows on a card. It is made when it is first asked for, and nothing where that failed.
    pub(crate) fn rows_on_card(&self, gpu: &Gpu) -> Option<Arc<OnCard>> {
        let mut cards = self.cards.lock().unwrap_or_else(PoisonError::into_inner);
        cards.rows.or_try(|| self.copied(OnCard::exact(gpu, &self.rows).map(Some)))
    }

    /// A copy of the index on a card, or of the rows where FAISS has no such index there.
    pub(crate) fn index_on_card(&self, gpu: &Gpu) -> Option<Arc<OnCard>> {
        // Who waits here waits for the copy that it wants.
        let mut cards = self.cards.lock().unwrap_or_else(PoisonError::into_inner);
        let open = self.index.read().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(OpenIndex { backend, parts, .. }) = open {
            let of_index = || self.copied(OnCard::index(gpu, &self.rows, &backend, &parts));
            if let Some(copy) = cards.index.or_try(of_index) {
                return Some(copy);
            }
        }
        drop(cards);
        self.rows_on_card(gpu)
    }

    fn copied(&self, copy: Result<Option<OnCard>, AnnError>) -> Option<OnCard> {
        copy.unwrap_or_else(|error| {
            log::warn!("{}: {error}; the processor searches it", file_name(self.segment));
            None
        })
    }

    /// What compares all rows.
    pub(crate) fn exact(&self) -> Arc<dyn AnnIndex> {
        self.exact.clone()
    }

    /// What builds this field's index; none where rows are to be compared.
    pub(crate) fn backend(
        &self,
        gpu: Option<&Gpu>,
    ) -> Result<Option<Box<dyn ann::AnnBackend>>, AnnError> {
        ann::backend(&self.recipe, self.rows.rows(), self.rows.dim(), self.rows.metric(), gpu)
    }

    /// The recipe of the schema.
    pub(crate) fn recipe(&self) -> &ann::AnnRecipe {
        &self.recipe
    }

    fn wants_index(&self) -> bool {
        !matches!(self.backend(None), Ok(None))
    }

    fn open_index(&self, parts: &AnnParts, entry: &AnnEntry) -> Result<OpenIndex, AnnError> {
        if entry.rows != self.rows.rows() {
            return Err(AnnError::Parts { backend: "field's", what: "another number of rows" });
        }
        let index = if entry.backend == EXACT {
            self.exact.clone()
        } else {
            ann::opener(&entry.backend)?.open(parts, self.rows.clone())?.into()
        };
        Ok(OpenIndex { index, backend: entry.backend.clone(), parts: parts.clone() })
    }

    fn set_index(&self, index: Option<OpenIndex>) {
        let mut cards = self.cards.lock().unwrap_or_else(PoisonError::into_inner);
        cards.index = Copied::NotTried;
        *self.index.write().unwrap_or_else(PoisonError::into_inner) = index;
    }

    /// The rows whose documents are alive, as of the deletes that a reader sees. What was made last
    /// is kept: one set of deletes serves many searches.
    pub(crate) fn alive(
        &self,
        opstamp: Option<Opstamp>,
        make: impl FnOnce() -> Result<RowSet, ReadError>,
    ) -> Result<Arc<RowSet>, ReadError> {
        let mut kept = self.alive.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(alive) = kept.as_ref().filter(|alive| alive.opstamp == opstamp) {
            return Ok(alive.rows.clone());
        }
        let rows = Arc::new(make()?);
        *kept = Some(Alive { opstamp, rows: rows.clone() });
        Ok(rows)
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

/// In the place of a backend's name: the rows can only be compared, and need not be tried again.
pub(crate) const EXACT: &str = "exact";

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

fn read(
    opened: Result<tantivy::directory::FileSlice, OpenReadError>,
    name: &str,
) -> Result<OwnedBytes, ReadError> {
    let bytes = opened.and_then(|slice| {
        slice.read_bytes().map_err(|error| OpenReadError::wrap_io_error(error, PathBuf::from(name)))
    });
    bytes.map_err(|source| ReadError::Open { file: name.to_owned(), source })
}

/// An error and what caused it, as one line.
fn with_cause(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
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
    #[error(
        "{file}: field `{field}` has another dim, metric or kind of numbers than in the schema; index again"
    )]
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

#[cfg(all(test, feature = "faiss"))]
mod tests {
    use std::thread;

    use tantivy::TantivyDocument;
    use tantivy::schema::Schema;

    use super::*;
    use crate::{DenseDocument, DenseIndex, DenseOptions, DenseSchemaBuilder, Dim};

    #[test]
    fn who_has_built_an_index_uses_it_whatever_another_thread_met_meanwhile() {
        let mut schema = Schema::builder();
        let options = DenseOptions::new(Dim::new(2).unwrap()).ann("hnsw(4,10)".parse().unwrap());
        let field = schema.add_dense_field("v", options);
        let index = DenseIndex::create_in_ram(schema.build()).unwrap();
        let mut writer = index.writer_with_num_threads(1, 15_000_000).unwrap();
        for x in 0..300u16 {
            let mut doc = TantivyDocument::new();
            doc.add_dense(field, &[1.0, f32::from(x)]);
            writer.add_document(doc).unwrap();
        }
        writer.commit().unwrap();
        writer.optimize().unwrap().wait().unwrap();
        let searcher = index.tantivy().reader().unwrap().searcher();
        let reader = searcher.segment_reader(0);
        let open = OpenSegment::open(reader, index.dense_fields()).unwrap();
        let mut state = open.lock_ann();
        thread::scope(|scope| {
            scope.spawn(|| open.attach_built(reader));
            *state = AnnState::Bypassed { why: "half a file".to_owned(), damaged: true };
            drop(state);
        });
        assert!(open.is_unchecked());
    }
}
