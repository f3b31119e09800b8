//! The settings of vectors: every passage has a score for every topic, so ranks are counted and no
//! list is ever sorted.
//!
//! Scores are the products of blocks of queries with all passages. A block's scores take at most
//! [`BLOCK_BYTES`] (but one query's as many as there are passages), so memory beyond the vectors is
//! bounded by threads.
//!
//! Invariant: equal rows have equal scores to the bit, whichever block or [`DenseRetriever`] computes
//! them, so that duplicates tie. Every product here therefore goes through [`product`].

use std::collections::HashMap;
use std::num::NonZeroUsize;

use ndarray::linalg::general_mat_mul;
use ndarray::{Array2, ArrayView2, Axis, CowArray, Ix2, s};

use super::plan::{Plan, Ranking, Ranks, Values};
use super::{OWN_SHARE_DEPTH, Pool, Settings, SettingsError, parallel};
use crate::collection::Collection;
use crate::measure::Measure;
use crate::retriever::{RetrieveError, Retriever};
use crate::run::Hit;
use crate::topics::Topic;

/// Most bytes that the scores of one block take.
const BLOCK_BYTES: usize = 64 << 20;

/// Most queries in a block: beyond this the product gains nothing.
const BLOCK_QUERIES: usize = 256;

/// Measures vectors in every setting: the dot product of a query and a passage is the score.
///
/// Ties rank by external id, descending. For cosine scores, hand over rows of length 1.
///
/// # Shapes
/// `queries` is `[collection.topics, dim]` and `passages` is `[collection.passages, dim]`, each in the
/// order of the collection.
///
/// # Errors
/// [`SettingsError`] if the shapes differ from that, a score is not finite, or the collection has a
/// passage twice.
///
/// # Example
/// ```
/// # use std::num::NonZeroUsize;
/// # use ndarray::array;
/// # use tantivy_dense_eval::{Collection, Passage, Qrels, Topic, dense_settings};
/// let passage = |id: &str, language: &str| Passage {
///     id: id.into(),
///     language: Some(language.into()),
///     ..Passage::default()
/// };
/// let mut qrels = Qrels::new();
/// qrels.insert("q", "en-1", 1)?;
/// qrels.insert("q", "sw-1", 1)?;
/// let collection = Collection {
///     name: "small".into(),
///     passages: vec![passage("en-1", "en"), passage("en-2", "en"), passage("sw-1", "sw")],
///     topics: vec![Topic { id: "q".into(), language: Some("en".into()), ..Topic::default() }],
///     qrels,
/// };
/// let passages = array![[1.0, 0.0], [0.8, 0.6], [0.6, 0.8]];
/// let settings = dense_settings(
///     array![[1.0, 0.0]].view(),
///     passages.view(),
///     &collection,
///     &["AP".parse()?],
///     NonZeroUsize::MIN,
/// )?;
/// assert_eq!(settings.mono_mean(), Some(vec![1.0]));
/// assert_eq!(settings.multi_mean(), Some(vec![(1.0 / 1.0 + 2.0 / 3.0) / 2.0]));
/// assert_eq!(settings.rank_distance(), Some(2.0)); // ranks 1 and 3
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[expect(clippy::needless_pass_by_value, reason = "a view is a pointer and a shape")]
pub fn dense_settings(
    queries: ArrayView2<'_, f32>,
    passages: ArrayView2<'_, f32>,
    collection: &Collection,
    measures: &[Measure],
    threads: NonZeroUsize,
) -> Result<Settings, SettingsError> {
    check(&queries, &passages, collection)?;
    let plan = Plan::new(collection, measures)?;
    let ranker = Ranker { queries, passages, order: order(collection), pools: plan.pools(), plan };
    let rows = rows_of_block(collection.passages.len());
    let blocks = collection.topics.len().div_ceil(rows);
    let buffer = || Array2::zeros((rows, collection.passages.len()));
    let values = parallel::blocks(blocks, threads, buffer, |buffer, block| {
        ranker.block(block * rows, buffer, measures)
    })?;
    Ok(ranker.plan.settings(measures, values.into_iter().flatten().collect()))
}

fn rows_of_block(passages: usize) -> usize {
    (BLOCK_BYTES / (size_of::<f32>() * passages.max(1))).clamp(1, BLOCK_QUERIES)
}

fn check(
    queries: &ArrayView2<'_, f32>,
    passages: &ArrayView2<'_, f32>,
    collection: &Collection,
) -> Result<(), SettingsError> {
    for (what, wanted, given) in [
        ("topics", collection.topics.len(), queries.nrows()),
        ("passages", collection.passages.len(), passages.nrows()),
    ] {
        if wanted != given {
            return Err(SettingsError::Rows { what, wanted, given });
        }
    }
    if queries.ncols() != passages.ncols() {
        let (queries, passages) = (queries.ncols(), passages.ncols());
        return Err(SettingsError::Dim { queries, passages });
    }
    Ok(())
}

/// Fills the first rows of `scores` with the products of each query and each passage.
fn product(
    queries: &ArrayView2<'_, f32>,
    passages: &ArrayView2<'_, f32>,
    scores: &mut Array2<f32>,
) {
    let mut scores = scores.slice_mut(s![..queries.nrows(), ..]);
    general_mat_mul(1.0, queries, &passages.t(), 0.0, &mut scores);
}

/// The place of each passage among all external ids in ascending order: the greater wins a tie.
fn order(collection: &Collection) -> Vec<u32> {
    let mut by_id: Vec<usize> = (0..collection.passages.len()).collect();
    by_id.sort_unstable_by_key(|&passage| collection.passages[passage].id.as_str());
    let mut order = vec![0; by_id.len()];
    for (place, passage) in (0_u32..).zip(by_id) {
        order[passage] = place;
    }
    order
}

struct Ranker<'a> {
    queries: ArrayView2<'a, f32>,
    passages: ArrayView2<'a, f32>,
    plan: Plan<'a>,
    order: Vec<u32>,
    pools: Vec<Vec<usize>>,
}

impl Ranker<'_> {
    /// The values of as many topics as `buffer` has rows, the first of them `from`.
    fn block(
        &self,
        from: usize,
        buffer: &mut Array2<f32>,
        measures: &[Measure],
    ) -> Result<Vec<Values>, SettingsError> {
        let to = (from + buffer.nrows()).min(self.queries.nrows());
        product(&self.queries.slice(s![from..to, ..]), &self.passages, buffer);
        let mut values = Vec::with_capacity(to - from);
        for (topic, scores) in (from..to).zip(buffer.rows()) {
            let scores = scores.to_slice().expect("the buffer is row-major");
            values.extend(self.values(topic, scores, measures)?);
        }
        Ok(values)
    }

    fn values(
        &self,
        topic: usize,
        scores: &[f32],
        measures: &[Measure],
    ) -> Result<Option<Values>, SettingsError> {
        let Some(judged) = self.plan.judged(topic) else {
            return Ok(None);
        };
        if let Some(passage) = scores.iter().position(|score| !score.is_finite()) {
            let collection = self.plan.collection;
            return Err(SettingsError::NotFinite {
                topic: collection.topics[topic].id.clone(),
                passage: collection.passages[passage].id.clone(),
            });
        }
        let ranks: Vec<Ranks> = judged
            .passages
            .iter()
            .map(|judged| {
                judged.passage.map_or_else(Ranks::default, |passage| {
                    let target = (scores[passage], self.order[passage]);
                    let all = scores.iter().copied().zip(self.order.iter().copied());
                    let pool = judged.language.map(|language| {
                        self.pools[language].iter().map(|&other| (scores[other], self.order[other]))
                    });
                    Ranks {
                        in_all: Some(rank(target, all)),
                        in_language: pool.map(|pool| rank(target, pool)),
                    }
                })
            })
            .collect();
        let in_language = self.pools.iter().map(Vec::len).collect();
        let own_share =
            judged.own.and_then(|_| self.plan.own_share(judged, self.first(scores).into_iter()));
        let ranking = Ranking { ranks, in_all: scores.len(), in_language, own_share };
        Ok(self.plan.values(topic, &ranking, measures))
    }

    /// The passages that rank first, best first: as many as the share of the own language is of.
    fn first(&self, scores: &[f32]) -> Vec<usize> {
        let key = |passage: usize| (scores[passage], self.order[passage]);
        let mut first: Vec<usize> = Vec::with_capacity(OWN_SHARE_DEPTH + 1);
        for passage in 0..scores.len() {
            let full = first.len() == OWN_SHARE_DEPTH;
            if full && first.last().is_some_and(|&last| !is_before(key(passage), key(last))) {
                continue;
            }
            let at = first.partition_point(|&other| is_before(key(other), key(passage)));
            first.insert(at, passage);
            first.truncate(OWN_SHARE_DEPTH);
        }
        first
    }
}

/// Whether a passage ranks before another, each as score and place.
fn is_before((score, place): (f32, u32), (other, than): (f32, u32)) -> bool {
    score > other || (score >= other && place > than)
}

/// One more than there are passages that rank before the target.
#[expect(
    clippy::needless_bitwise_bool,
    reason = "without branches several passages are compared at a time: benches/settings.rs takes \
              2.1 s, with them 2.5 s"
)]
fn rank(target: (f32, u32), pool: impl Iterator<Item = (f32, u32)>) -> usize {
    let (score, place) = target;
    let before = pool.map(|(s, p)| u32::from((s > score) | ((s >= score) & (p > place))));
    1 + before.sum::<u32>() as usize
}

/// Ranks the passages of a collection by the dot product with the topic's vector, one topic at a
/// time: for run files and for fusion with other systems.
#[derive(Clone, Debug)]
pub struct DenseRetriever<'a> {
    name: String,
    queries: ArrayView2<'a, f32>,
    topics: HashMap<&'a str, usize>,
    all: Ranked<'a>,
    by_language: HashMap<&'a str, Ranked<'a>>,
}

/// The passages of one pool.
#[derive(Clone, Debug)]
struct Ranked<'a> {
    ids: Vec<&'a str>,
    rows: CowArray<'a, f32, Ix2>,
}

impl<'a> DenseRetriever<'a> {
    /// Takes the vectors of a collection, in the shapes of [`dense_settings`]. If it has several
    /// languages, those of the passages are copied once, language by language.
    ///
    /// # Errors
    /// [`SettingsError`] if the shapes differ from that.
    #[expect(clippy::needless_pass_by_value, reason = "a view is a pointer and a shape")]
    pub fn new(
        name: impl Into<String>,
        queries: ArrayView2<'a, f32>,
        passages: ArrayView2<'a, f32>,
        collection: &'a Collection,
    ) -> Result<Self, SettingsError> {
        check(&queries, &passages, collection)?;
        let topics = collection.topics.iter().map(|topic| topic.id.as_str()).zip(0..).collect();
        let ids: Vec<&str> =
            collection.passages.iter().map(|passage| passage.id.as_str()).collect();
        let languages = collection.languages();
        let several = if languages.len() > 1 { languages } else { Vec::new() };
        let pool = |language: &'a str| {
            let is_there =
                |&at: &usize| collection.passages[at].language.as_deref() == Some(language);
            let numbers: Vec<usize> = (0..ids.len()).filter(is_there).collect();
            let rows = passages.select(Axis(0), &numbers).into();
            (language, Ranked { ids: numbers.iter().map(|&at| ids[at]).collect(), rows })
        };
        let by_language = several.into_iter().map(pool).collect();
        let all = Ranked { ids, rows: passages.into() };
        Ok(Self { name: name.into(), queries, topics, all, by_language })
    }

    /// The best `depth` passages of a pool, best first.
    ///
    /// # Errors
    /// [`RetrieveError`] if the topic has no vector, or a score is not finite.
    pub fn search(
        &self,
        topic: &Topic,
        pool: Pool<'_>,
        depth: usize,
    ) -> Result<Vec<Hit>, RetrieveError> {
        let row = self.topics.get(topic.id.as_str()).copied();
        let row = row.ok_or_else(|| RetrieveError::new(topic, "it has no vector"))?;
        let Ranked { ids, rows } = match pool {
            Pool::Language(language) => self.by_language.get(language).unwrap_or(&self.all),
            Pool::All => &self.all,
        };
        let mut scores = Array2::zeros((1, ids.len()));
        product(&self.queries.slice(s![row..=row, ..]), &rows.view(), &mut scores);
        let mut hits: Vec<(f32, &str)> = scores.iter().copied().zip(ids.iter().copied()).collect();
        if hits.iter().any(|(score, _)| !score.is_finite()) {
            return Err(RetrieveError::new(topic, "a score is not a finite number"));
        }
        let depth = depth.min(hits.len());
        let ranking = |a: &(f32, &str), b: &(f32, &str)| {
            (b.0 + 0.0).total_cmp(&(a.0 + 0.0)).then_with(|| b.1.cmp(a.1))
        };
        if depth < hits.len() {
            hits.select_nth_unstable_by(depth, ranking);
            hits.truncate(depth);
        }
        hits.sort_unstable_by(ranking);
        Ok(hits.into_iter().map(|(score, id)| Hit { id: id.to_owned(), score }).collect())
    }
}

impl Retriever for DenseRetriever<'_> {
    fn name(&self) -> &str {
        &self.name
    }

    fn retrieve(&self, topic: &Topic, depth: usize) -> Result<Vec<Hit>, RetrieveError> {
        self.search(topic, Pool::All, depth)
    }
}
