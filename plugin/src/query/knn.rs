//! The nearest neighbours of a vector, or of a document, as a Tantivy query; and those of many vectors
//! together.

use std::collections::HashSet;
use std::fmt;
use std::slice;
use std::sync::Arc;

use tantivy::index::SegmentId;
use tantivy::query::{EnableScoring, Explanation, Query, Weight};
use tantivy::schema::Field;
use tantivy::{DocAddress, Opstamp, Score, Searcher, TantivyError};

use super::hits::{Hit, HitsWeight, keep_best};
use super::search::{self, Effort, Target};
use crate::ann::SearchParams;
use crate::cache::Segments;
use crate::field::{DenseField, DenseOptions, FieldError};
use crate::row::DenseRow;
use crate::segment::OpenSegment;
use crate::vector::{VectorError, check_row};

/// Fewer queries than this are answered by the processor before a card has begun.
const FOR_A_CARD: usize = 32;

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

    /// The same question about another vector. It shares the filter, so that [`search_batch`] asks it
    /// once.
    #[must_use]
    pub fn with_vector(&self, vector: impl Into<Vec<f32>>) -> Self {
        Self { near: Near::Vector(vector.into().into()), ..self.clone() }
    }

    fn with(mut self, set: impl FnOnce(&mut SearchParams)) -> Self {
        if let Effort::Index(params) = &mut self.effort {
            set(params);
        }
        self
    }

    fn check(&self, segments: &Segments, searcher: &Searcher) -> Result<(), KnnError> {
        let options = options_of(segments, searcher, self.field)?;
        let Near::Vector(vector) = &self.near else { return Ok(()) };
        check_row(options.options.dim(), vector)
            .map_err(|source| KnnError::Vector { field: options.name.clone(), source })
    }

    /// Whether two queries are the same but for their vectors and thresholds.
    fn is_like(&self, other: &Self) -> bool {
        let same_filter = match (&self.filter, &other.filter) {
            (None, None) => true,
            (Some(filter), Some(other)) => Arc::ptr_eq(filter, other),
            _ => false,
        };
        matches!((&self.near, &other.near), (Near::Vector(_), Near::Vector(_)))
            && (self.field, self.k, self.effort) == (other.field, other.k, other.effort)
            && same_filter
    }

    /// The vectors that are compared: a document has as many as it has rows.
    fn vectors(&self, open: &[Arc<OpenSegment>]) -> tantivy::Result<Vec<Arc<[f32]>>> {
        match &self.near {
            Near::Vector(vector) => Ok(vec![vector.clone()]),
            Near::Document { at, .. } => {
                let rows = rows_of(open, self.field, *at)?;
                Ok(rows.into_iter().map(|row| row.into_vector().into()).collect())
            }
        }
    }
}

/// What each of many queries finds, in their order: the same as if each was searched for alone, and
/// sooner. Where a card is used, that holds for exact searches; by an index it may be others.
///
/// Neighbours in the list that differ in nothing but vectors and thresholds, as
/// [`KnnQuery::with_vector`] makes them, are searched for together: in each segment their filter is asked
/// once, and rows that are compared one after another are read once for many of them. Segments are
/// searched side by side where the index has a search executor.
///
/// ```
/// # use tantivy::{TantivyDocument, schema::Schema};
/// # use tantivy_dense_plugin::{DenseDocument, DenseIndex, DenseOptions, DenseSchemaBuilder, Dim, KnnQuery};
/// use tantivy_dense_plugin::search_batch;
/// # let mut schema = Schema::builder();
/// # let place = schema.add_dense_field("place", DenseOptions::new(Dim::new(2)?));
/// # let index = DenseIndex::create_in_ram(schema.build())?;
/// # let mut writer = index.writer_with_num_threads(1, 20_000_000)?;
/// # for vector in [[1.0, 0.0], [0.0, 1.0], [0.6, 0.8]] {
/// #     let mut doc = TantivyDocument::new();
/// #     doc.add_dense(place, &vector);
/// #     writer.add_document(doc)?;
/// # }
/// # writer.commit()?;
/// # let searcher = index.reader()?.searcher();
/// let east = KnnQuery::new(place, [1.0, 0.0], 2);
/// let north = east.with_vector([0.0, 1.0]);
/// let found = search_batch(&searcher, &[east, north])?;
/// let scores = |of: usize| found[of].iter().map(|(score, _)| score).collect::<Vec<_>>();
/// assert_eq!([scores(0), scores(1)], [[1.0, 0.6], [1.0, 0.8]]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// As a search for one of them: a vector that does not fit the field, a field that is not dense, a
/// filter or a segment that fails.
pub fn search_batch(searcher: &Searcher, queries: &[KnnQuery]) -> tantivy::Result<Vec<KnnHits>> {
    let segments = Segments::of_index(searcher.index())?;
    queries.iter().try_for_each(|query| query.check(&segments, searcher))?;
    let of: Arc<[_]> = addressed(searcher).collect();
    let mut found = Vec::with_capacity(queries.len());
    for alike in queries.chunk_by(KnnQuery::is_like) {
        for (query, hits) in alike.iter().zip(find(&segments, searcher, alike)?) {
            found.push(KnnHits { hits: hits.into(), k: query.k, of: of.clone() });
        }
    }
    Ok(found)
}

/// What each of some queries finds that are alike, or that is one.
fn find(
    segments: &Arc<Segments>,
    searcher: &Searcher,
    alike: &[KnnQuery],
) -> tantivy::Result<Vec<Vec<Hit>>> {
    let mut hits = vec![Vec::new(); alike.len()];
    let Some(first) = alike.first().filter(|query| query.k > 0) else { return Ok(hits) };
    let open = segments.of_searcher(searcher)?;
    let vectors = alike.iter().map(|query| query.vectors(&open));
    let vectors = vectors.collect::<tantivy::Result<Vec<_>>>()?.concat();
    let vectors: Vec<&[f32]> = vectors.iter().map(|vector| &**vector).collect();
    let filter = first
        .filter
        .as_ref()
        .map(|filter| filter.weight(EnableScoring::disabled_from_searcher(searcher)))
        .transpose()?;

    let in_segment = |ord: u32| {
        let Some(field) = open[ord as usize].field(first.field) else { return Ok(Vec::new()) };
        let except = match first.near {
            Near::Document { at, itself: false } if at.segment_ord == ord => Some(at.doc_id),
            _ => None,
        };
        let gpu = segments.gpu().filter(|_| vectors.len() >= FOR_A_CARD);
        let target = Target { vectors: &vectors, k: first.k, except, effort: first.effort, gpu };
        search::search(field, searcher.segment_reader(ord), filter.as_deref(), &target)
    };
    let ords = 0..u32::try_from(open.len()).expect("a segment ordinal has 32 bits");
    let found = searcher.index().search_executor().map(in_segment, ords)?;
    for (ord, of_vectors) in (0u32..).zip(found) {
        for (vector, documents) in of_vectors.into_iter().enumerate() {
            // Only a query about a document has several vectors, and it is like no other.
            let query = if alike.len() == 1 { 0 } else { vector };
            let hit = |(doc, score)| Hit { score, at: DocAddress::new(ord, doc) };
            hits[query].extend(documents.into_iter().map(hit));
        }
    }
    for (query, hits) in alike.iter().zip(&mut hits) {
        hits.retain(|hit| query.threshold.is_none_or(|least| hit.score >= least));
        if vectors.len() > alike.len() {
            keep_best(hits, usize::MAX);
            let mut seen = HashSet::with_capacity(hits.len());
            hits.retain(|hit| seen.insert(hit.at));
        }
        keep_best(hits, query.k);
    }
    Ok(hits)
}

/// What a [`search_batch`] found for one query: the documents, best first, and a query that matches them
/// and searches for nothing more, to be composed with others.
///
/// As a query it is for the searcher that found them; another one is refused, since addresses mean
/// something else there.
#[derive(Clone, Debug)]
pub struct KnnHits {
    hits: Arc<[Hit]>,
    k: usize,
    of: Arc<[(SegmentId, Option<Opstamp>)]>,
}

impl KnnHits {
    /// Scores and addresses, best first; equal scores by address.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (Score, DocAddress)> {
        self.hits.iter().map(|hit| (hit.score, hit.at))
    }
}

impl Query for KnnHits {
    fn weight(&self, scoring: EnableScoring<'_>) -> tantivy::Result<Box<dyn Weight>> {
        let searcher = scoring.searcher().ok_or(KnnError::NoSearcher)?;
        if !addressed(searcher).eq(self.of.iter().copied()) {
            return Err(KnnError::OtherSearcher.into());
        }
        Ok(weight(searcher, &self.hits, self.k))
    }
}

/// What addresses of a searcher, and the absence of deleted documents, rest on.
fn addressed(searcher: &Searcher) -> impl Iterator<Item = (SegmentId, Option<Opstamp>)> {
    searcher.segment_readers().iter().map(|reader| (reader.segment_id(), reader.delete_opstamp()))
}

fn weight(searcher: &Searcher, hits: &[Hit], k: usize) -> Box<dyn Weight> {
    let explain = move |_, score| {
        let mut why = Explanation::new("KnnQuery, score of the document's best row", score);
        why.add_context(format!("among the nearest {k} documents of the index"));
        why
    };
    Box::new(HitsWeight::new(searcher, hits, Box::new(explain)))
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
        let segments = Segments::of_index(searcher.index())?;
        self.check(&segments, searcher)?;
        let hits = find(&segments, searcher, slice::from_ref(self))?.concat();
        Ok(weight(searcher, &hits, self.k))
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
    /// Addresses mean something else in another searcher.
    #[error("these hits are of another searcher, or of another commit; search again with this one")]
    OtherSearcher,
}

impl From<KnnError> for TantivyError {
    fn from(error: KnnError) -> Self {
        Self::InvalidArgument(error.to_string())
    }
}
