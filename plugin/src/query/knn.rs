//! The nearest neighbours of a vector, or of a document, as a Tantivy query.

use std::fmt;
use std::sync::Arc;

use tantivy::query::{EnableScoring, Explanation, Query, Weight};
use tantivy::schema::Field;
use tantivy::{DocAddress, Score, Searcher, TantivyError};

use super::hits::{Hit, HitsWeight, keep_best};
use super::search::{self, Effort, Target};
use crate::ann::SearchParams;
use crate::cache::Segments;
use crate::field::{DenseField, DenseOptions, FieldError};
use crate::row::DenseRow;
use crate::segment::OpenSegment;
use crate::vector::{VectorError, check_row};

/// Matches the `k` documents nearest to a vector, over all segments; a document's score is that
/// of its best row, as the field's [`Metric`](crate::Metric) defines it.
///
/// A filter goes into the search: exactly `min(k, documents with a vector that pass)` are found. In a
/// segment with an index they are the nearest as far as it finds them; [`KnnQuery::exact`] misses none.
/// The same filter as a MUST beside the query would only thin out the `k`. Equal scores rank by
/// address. The query needs a searcher, so it cannot delete.
///
/// ```
/// # use tantivy::{TantivyDocument, collector::TopDocs, schema::Schema};
/// # use tantivy_dense_plugin::{DenseDocument, DenseIndex, DenseOptions, DenseSchemaBuilder, Dim, KnnQuery};
/// let mut schema = Schema::builder();
/// let place = schema.add_dense_field("place", DenseOptions::new(Dim::new(2)?));
/// let index = DenseIndex::create_in_ram(schema.build())?;
/// let mut writer = index.writer_with_num_threads(1, 20_000_000)?;
/// for vector in [[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]] {
///     let mut doc = TantivyDocument::new();
///     doc.add_dense(place, &vector);
///     writer.add_document(doc)?;
/// }
/// writer.commit()?;
/// let searcher = index.reader()?.searcher();
/// let nearest = KnnQuery::new(place, [1.0, 0.0], 2);
/// let hits = searcher.search(&nearest, &TopDocs::with_limit(2).order_by_score())?;
/// assert_eq!(hits.iter().map(|(score, _)| *score).collect::<Vec<_>>(), [1.0, 0.6]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct KnnQuery {
    field: Field,
    near: Near,
    k: usize,
    filter: Option<Arc<dyn Query>>,
    threshold: Option<Score>,
    effort: Effort,
}

#[derive(Clone, Debug)]
enum Near {
    Vector(Arc<[f32]>),
    Document { at: DocAddress, itself: bool },
}

impl KnnQuery {
    /// The `k` documents nearest to a vector. For `k` of 0, none.
    pub fn new(field: Field, vector: impl Into<Vec<f32>>, k: usize) -> Self {
        Self::near(field, Near::Vector(vector.into().into()), k)
    }

    /// The `k` documents nearest to one that is in the index; itself is left out. Where it has
    /// several rows, the best pair of rows counts; where it has none, nothing is found.
    ///
    /// The address is one of the searcher that the query is given to.
    pub fn like(field: Field, document: DocAddress, k: usize) -> Self {
        Self::near(field, Near::Document { at: document, itself: false }, k)
    }

    fn near(field: Field, near: Near, k: usize) -> Self {
        let effort = Effort::Index(SearchParams::default());
        Self { field, near, k, filter: None, threshold: None, effort }
    }

    /// After [`KnnQuery::like`]: the document itself may be found too. Default: it is left out.
    #[must_use]
    pub fn including_itself(mut self) -> Self {
        if let Near::Document { itself, .. } = &mut self.near {
            *itself = true;
        }
        self
    }

    /// Only documents that this query matches are searched. Default: all.
    #[must_use]
    pub fn filter(mut self, filter: impl Query) -> Self {
        self.filter = Some(Arc::new(filter));
        self
    }

    /// Only documents with at least this score are found. Default: no bound.
    #[must_use]
    pub fn threshold(mut self, score: Score) -> Self {
        self.threshold = Some(score);
        self
    }

    /// How many candidates a walk over a graph keeps: more find more and take longer. Default: what
    /// found 96 % of the neighbours when the graph was built, more for a filter that few pass.
    #[must_use]
    pub fn ef_search(self, candidates: usize) -> Self {
        self.with(|params| params.ef_search = Some(candidates))
    }

    /// How many lists are read. Default: what found 96 % of the neighbours when they were made.
    #[must_use]
    pub fn nprobe(self, lists: usize) -> Self {
        self.with(|params| params.nprobe = Some(lists))
    }

    /// How many candidates that codes have found are scored by rows, for each document wanted.
    /// Default: 3 for a graph, 4 for lists. It matters where the recipe has codes.
    #[must_use]
    pub fn rescore(self, candidates: usize) -> Self {
        self.with(|params| params.rescore = Some(candidates))
    }

    /// Every row that passes is compared, whatever index there is: nothing is missed. Default: no.
    #[must_use]
    pub fn exact(mut self) -> Self {
        self.effort = Effort::Exact;
        self
    }

    fn with(mut self, set: impl FnOnce(&mut SearchParams)) -> Self {
        if let Effort::Index(params) = &mut self.effort {
            set(params);
        }
        self
    }

    fn find(&self, searcher: &Searcher) -> tantivy::Result<Vec<Hit>> {
        let segments = Segments::of_index(searcher.index())?;
        let options = options_of(&segments, searcher, self.field)?;
        if let Near::Vector(vector) = &self.near {
            check_row(options.options.dim(), vector)
                .map_err(|source| KnnError::Vector { field: options.name.clone(), source })?;
        }
        if self.k == 0 {
            return Ok(Vec::new());
        }
        let open = segments.of_searcher(searcher)?;
        let vectors = self.vectors(&open)?;
        let filter = self
            .filter
            .as_ref()
            .map(|filter| filter.weight(EnableScoring::disabled_from_searcher(searcher)))
            .transpose()?;

        let in_segment = |ord: u32| -> tantivy::Result<Vec<Hit>> {
            let Some(field) = open[ord as usize].field(self.field) else { return Ok(Vec::new()) };
            let except = match self.near {
                Near::Document { at, itself: false } if at.segment_ord == ord => Some(at.doc_id),
                _ => None,
            };
            let target = Target { vectors: &vectors, k: self.k, except, effort: self.effort };
            let reader = searcher.segment_reader(ord);
            let found = search::search(field, reader, filter.as_deref(), &target)?;
            let hit = |(doc, score)| Hit { score, at: DocAddress::new(ord, doc) };
            let passes = |hit: &Hit| self.threshold.is_none_or(|least| hit.score >= least);
            Ok(found.into_iter().map(hit).filter(passes).collect())
        };
        let ords = 0..u32::try_from(open.len()).expect("a segment ordinal has 32 bits");
        let executor = searcher.index().search_executor();
        let mut hits: Vec<Hit> = executor.map(in_segment, ords)?.into_iter().flatten().collect();
        keep_best(&mut hits, self.k);
        Ok(hits)
    }

    fn vectors(&self, open: &[Arc<OpenSegment>]) -> tantivy::Result<Vec<Vec<f32>>> {
        match &self.near {
            Near::Vector(vector) => Ok(vec![vector.to_vec()]),
            Near::Document { at, .. } => {
                let rows = rows_of(open, self.field, *at)?;
                Ok(rows.into_iter().map(DenseRow::into_vector).collect())
            }
        }
    }
}

/// The dense field of a searcher's schema that a query names.
pub(crate) fn options_of<'a>(
    segments: &'a Segments,
    searcher: &Searcher,
    field: Field,
) -> Result<&'a DenseField, KnnError> {
    match segments.fields().iter().find(|dense| dense.field == field) {
        Some(dense) => Ok(dense),
        None => match DenseOptions::of(searcher.schema(), field) {
            Err(source) => Err(KnnError::Field { source }),
            Ok(_) => Err(KnnError::OtherSchema),
        },
    }
}

/// The rows of one document.
pub(crate) fn rows_of(
    open: &[Arc<OpenSegment>],
    field: Field,
    at: DocAddress,
) -> tantivy::Result<Vec<DenseRow>> {
    let Some(segment) = open.get(at.segment_ord as usize) else {
        return Err(KnnError::NoDocument { at }.into());
    };
    if at.doc_id >= segment.max_doc() {
        return Err(KnnError::NoDocument { at }.into());
    }
    let Some(field) = segment.field(field) else { return Ok(Vec::new()) };
    let rows = field.docs()?.rows_of(at.doc_id);
    Ok(rows.into_iter().map(|row| field.row(row)).collect())
}

impl Query for KnnQuery {
    fn weight(&self, scoring: EnableScoring<'_>) -> tantivy::Result<Box<dyn Weight>> {
        let searcher = scoring.searcher().ok_or(KnnError::NoSearcher)?;
        let hits = self.find(searcher)?;
        let k = self.k;
        let explain = move |_, score| {
            let mut why = Explanation::new("KnnQuery, score of the document's best row", score);
            why.add_context(format!("among the nearest {k} documents of the index"));
            why
        };
        Ok(Box::new(HitsWeight::new(searcher, &hits, Box::new(explain))))
    }
}

impl fmt::Debug for KnnQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("KnnQuery");
        out.field("field", &self.field.field_id()).field("k", &self.k);
        match &self.near {
            Near::Vector(vector) => out.field("dim", &vector.len()),
            Near::Document { at, .. } => out.field("like", at),
        };
        out.field("filter", &self.filter).field("threshold", &self.threshold);
        out.field("effort", &self.effort).finish()
    }
}

/// Why neighbours cannot be searched for. Tantivy hands it on as
/// [`TantivyError::InvalidArgument`].
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message explains its fields")]
pub enum KnnError {
    /// Only a searcher has segments to search.
    #[error(
        "KnnQuery needs a searcher, and so cannot be used to delete; search first and delete the \
         documents found by a term, such as their external id"
    )]
    NoSearcher,
    /// The query's vector cannot be compared with the field's.
    #[error("the query vector does not fit field `{field}`: {source}")]
    Vector { field: String, source: VectorError },
    /// Not a dense field.
    #[error("{source}")]
    Field { source: FieldError },
    /// The plugin was made for one schema and registered with another.
    #[error("the registered DensePlugin was made for another schema; make it for this one")]
    OtherSchema,
    /// An address of another searcher.
    #[error("no document {} in a segment {}; take an address of this searcher", at.doc_id, at.segment_ord)]
    NoDocument { at: DocAddress },
}

impl From<KnnError> for TantivyError {
    fn from(error: KnnError) -> Self {
        Self::InvalidArgument(error.to_string())
    }
}
