//! An index of a corpus, searched by text: by words, by meaning, or by both.
//!
//! Left out on purpose: schemas of one's own. Whoever has one uses [`DenseIndex`] and
//! [`KnnQuery`] beside Tantivy's own queries.

mod explain;

use std::collections::BTreeSet;
use std::num::NonZeroUsize;
use std::panic::resume_unwind;
use std::path::Path;
use std::slice;
use std::str::FromStr;
use std::sync::Arc;
use std::thread::{self, ScopedJoinHandle};

use dense_indexer::{Analyzers, CorpusSchema, Detector};
use dense_plugin::{
    DenseIndex, DenseOptions, DenseReader, DenseSearcher, Encoder, KnnHits, KnnQuery, LanguageTag,
    OpenError, Role, RrfQuery, SegmentSummary, Text, WeightedQuery, search_batch,
};
use serde::Serialize;
use tantivy::collector::TopDocs;
use tantivy::query::{BooleanQuery, ConstScoreQuery, Occur, Query, QueryParser, QueryParserError};
use tantivy::schema::Value;
use tantivy::schema::document::TantivyDocument;
use tantivy::{Score, Searcher, TantivyError};

use explain::Ranking;
pub use explain::{Place, TermPart, Why};

/// How many documents of each ranking a hybrid search fuses at least; [`RrfQuery`]'s default.
const WINDOW: usize = 100;

/// How many vectors it takes for [`search_batch`] to ask a card.
const FOR_A_CARD: usize = 32;

/// Fewer words do not tell a language: `tides` alone could be of many.
const LEAST_WORDS: usize = 3;

/// How documents are ranked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// By words: BM25 with the analyser of the query's language.
    Bm25,
    /// By meaning: the nearest vectors.
    Dense,
    /// By both, fused.
    #[default]
    Hybrid,
}

impl Mode {
    /// Whether the query is encoded.
    pub fn is_dense(self) -> bool {
        self != Self::Bm25
    }

    /// What it is called, as it parses.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bm25 => "bm25",
            Self::Dense => "dense",
            Self::Hybrid => "hybrid",
        }
    }
}

impl FromStr for Mode {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "bm25" => Ok(Self::Bm25),
            "dense" => Ok(Self::Dense),
            "hybrid" => Ok(Self::Hybrid),
            _ => Err(format!("`{name}` is none of bm25, dense and hybrid")),
        }
    }
}

/// How the rankings by words and by meaning become one.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Fusion {
    /// By reciprocal ranks: nothing has to be tuned.
    #[default]
    ReciprocalRanks,
    /// By scores between the least and the greatest of each ranking: meaning counts so much, and words
    /// what is left to 1. Above 0 and below 1.
    Weighted(f32),
}

impl Fusion {
    /// How much words and meaning count.
    fn weights(self) -> [f32; 2] {
        match self {
            Self::ReciprocalRanks => [1.0, 1.0],
            Self::Weighted(meaning) => [1.0 - meaning, meaning],
        }
    }
}

/// What to search for.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    text: &'a str,
    k: usize,
    mode: Mode,
    fusion: Fusion,
    explain: bool,
    language: Option<LanguageTag>,
    filter: Option<&'a str>,
    effort: Effort,
}

/// How hard the nearest vectors are looked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Effort {
    exact: bool,
    ef_search: Option<usize>,
    nprobe: Option<usize>,
    rescore: Option<usize>,
}

impl Effort {
    fn of(self, mut query: KnnQuery) -> KnnQuery {
        if self.exact {
            return query.exact();
        }
        if let Some(candidates) = self.ef_search {
            query = query.ef_search(candidates);
        }
        if let Some(lists) = self.nprobe {
            query = query.nprobe(lists);
        }
        if let Some(candidates) = self.rescore {
            query = query.rescore(candidates);
        }
        query
    }
}

impl<'a> Request<'a> {
    /// The 10 best documents for a text, by words and by meaning.
    pub fn new(text: &'a str) -> Self {
        let (mode, fusion, effort) = (Mode::default(), Fusion::default(), Effort::default());
        let (language, filter) = (None, None);
        Self { text, k: 10, mode, fusion, explain: false, language, filter, effort }
    }

    /// How many documents are wanted. Default: 10.
    #[must_use]
    pub fn k(mut self, documents: usize) -> Self {
        self.k = documents;
        self
    }

    /// How documents are ranked. Default: [`Mode::Hybrid`].
    #[must_use]
    pub fn mode(mut self, mode: Mode) -> Self {
        self.mode = mode;
        self
    }

    /// How a hybrid search fuses. Default: [`Fusion::ReciprocalRanks`].
    #[must_use]
    pub fn fusion(mut self, fusion: Fusion) -> Self {
        self.fusion = fusion;
        self
    }

    /// Each document says what made its score. Default: no.
    #[must_use]
    pub fn explain(mut self) -> Self {
        self.explain = true;
        self
    }

    /// The language of the text, which chooses its analyser. Default: detected; where the text does not
    /// show one, the analysers of all languages of the index.
    #[must_use]
    pub fn language(mut self, language: LanguageTag) -> Self {
        self.language = Some(language);
        self
    }

    /// A query in Tantivy's language over the fields `id` and `lang`, as in `lang:sw`, that
    /// documents must match. Default: all do.
    #[must_use]
    pub fn filter(mut self, filter: &'a str) -> Self {
        self.filter = Some(filter);
        self
    }

    /// How many candidates a walk over a graph keeps, as [`KnnQuery::ef_search`] has it. Default:
    /// what was measured when the graph was built.
    #[must_use]
    pub fn ef_search(mut self, candidates: usize) -> Self {
        self.effort.ef_search = Some(candidates);
        self
    }

    /// How many lists are read, as [`KnnQuery::nprobe`] has it. Default: what was measured when they
    /// were made.
    #[must_use]
    pub fn nprobe(mut self, lists: usize) -> Self {
        self.effort.nprobe = Some(lists);
        self
    }

    /// How many candidates that codes have found are scored by rows for each document wanted, as
    /// [`KnnQuery::rescore`] has it. Default: by the recipe.
    #[must_use]
    pub fn rescore(mut self, candidates: usize) -> Self {
        self.effort.rescore = Some(candidates);
        self
    }

    /// Every vector that passes is compared, whatever index there is. Default: no.
    #[must_use]
    pub fn exact(mut self) -> Self {
        self.effort.exact = true;
        self
    }

    /// How many documents of each ranking are looked at, to find `k`.
    fn window(&self, k: usize) -> usize {
        if self.mode == Mode::Hybrid { k.max(WINDOW) } else { k }
    }

    /// Whether the nearest vectors are asked for in the same way.
    fn asks_like(&self, other: &Self) -> bool {
        (self.k, self.mode, self.filter, self.effort)
            == (other.k, other.mode, other.filter, other.effort)
    }
}

/// A document that was found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Found {
    /// Its place among those found, from 1.
    pub rank: usize,
    /// BM25, the metric of the dense field, or what fusion makes of both, by mode.
    pub score: Score,
    /// The corpus's own name for it.
    pub id: String,
    /// The tag of its language.
    pub lang: String,
    /// Its title, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Its text.
    pub text: String,
    /// What made its score, where the request asks for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<Why>,
}

/// An index of a corpus, as `tdense index` makes it.
///
/// ```
/// # use std::sync::Arc;
/// # use tantivy_dense::{Dim, Engine, Request, indexer::{Indexer, Source}, toy::ToyEncoder};
/// # let folder = tempfile::tempdir()?;
/// let engine = Engine::create_in_dir(folder.path(), Arc::new(ToyEncoder::new(Dim::new(64)?)))?;
/// let corpus = r#"{"_id": "tea", "lang": "en", "text": "How to boil tea"}"#;
/// let source = Source::from_reader("corpus", corpus.as_bytes());
/// Indexer::builder(engine.index()).run([source], |_| std::ops::ControlFlow::Continue(()))?;
/// engine.reload()?;
/// let found = engine.search(&Request::new("boiling tea").k(1))?;
/// assert_eq!(found[0].id, "tea");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Engine {
    index: DenseIndex,
    schema: CorpusSchema,
    reader: DenseReader,
    analyzers: Analyzers,
    detector: Detector,
}

impl Engine {
    /// Makes an index in an existing folder that has none.
    ///
    /// # Errors
    /// [`EngineError::Open`] if the folder holds an index already or cannot be written.
    pub fn create_in_dir(path: &Path, encoder: Arc<dyn Encoder>) -> Result<Self, EngineError> {
        let options = DenseOptions::for_encoder(&*encoder);
        Self::create_with_options(path, encoder, options)
    }

    /// The same with a recipe, a kind of numbers or a metric of one's own choice. What is encoded is
    /// set here.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use tantivy_dense::{DenseOptions, Dim, Element, Encoder, Engine, toy::ToyEncoder};
    /// # let folder = tempfile::tempdir()?;
    /// let encoder: Arc<dyn Encoder> = Arc::new(ToyEncoder::new(Dim::new(64)?));
    /// let options = DenseOptions::for_encoder(&*encoder).element(Element::F16).ann("exact".parse()?);
    /// let engine = Engine::create_with_options(folder.path(), encoder, options)?;
    /// assert_eq!(engine.index().dense_field("dense")?.options.get_element(), Element::F16);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`Engine::create_in_dir`]; [`EngineError::Open`] if the options are not the encoder's or the
    /// recipe cannot be built.
    pub fn create_with_options(
        path: &Path,
        encoder: Arc<dyn Encoder>,
        options: DenseOptions,
    ) -> Result<Self, EngineError> {
        let schema = CorpusSchema::with_dense(options);
        let builder = DenseIndex::builder(schema.schema.clone()).encoder("dense", encoder);
        Self::over(builder.create_in_dir(path)?, schema)
    }

    /// Opens an index, to be searched by words. [`Engine::with_encoder`] adds meaning.
    ///
    /// # Errors
    /// [`EngineError::Open`] if there is no index, or one that was not made by this library;
    /// [`EngineError::Schema`] if it has another schema.
    pub fn open_in_dir(path: &Path) -> Result<Self, EngineError> {
        let index = DenseIndex::open_in_dir(path)?;
        let schema = CorpusSchema::of(&index.schema())?;
        Self::over(index, schema)
    }

    fn over(index: DenseIndex, schema: CorpusSchema) -> Result<Self, EngineError> {
        schema.register(index.tantivy());
        let reader = index.reader()?;
        let (analyzers, detector) = (schema.analyzers(), Detector::new());
        Ok(Self { index, schema, reader, analyzers, detector })
    }

    /// Gives the index the encoder that it was made with.
    ///
    /// # Errors
    /// [`EngineError::Open`] if it was made with another one.
    pub fn with_encoder(mut self, encoder: Arc<dyn Encoder>) -> Result<Self, EngineError> {
        self.index = self.index.with_encoder("dense", encoder)?;
        Ok(self)
    }

    /// The index itself.
    pub fn index(&self) -> &DenseIndex {
        &self.index
    }

    /// Looks for commits made since the index was opened.
    ///
    /// # Errors
    /// [`EngineError::Search`] if their segments cannot be opened.
    pub fn reload(&self) -> Result<(), EngineError> {
        Ok(self.reader.reload()?)
    }

    /// Waits until the indexes of all segments are checked, as [`DenseReader::warm`] does. Until then
    /// segments are searched exactly.
    ///
    /// # Errors
    /// [`EngineError::Search`] if segments cannot be opened.
    pub fn warm(&self) -> Result<(), EngineError> {
        Ok(self.reader.warm()?)
    }

    /// What the segments hold, and how each is searched.
    ///
    /// # Errors
    /// [`EngineError::Search`] if segments cannot be opened.
    pub fn segments(&self) -> Result<Vec<SegmentSummary>, EngineError> {
        Ok(self.reader.searcher().dense_segments()?)
    }

    /// The best documents, best first.
    ///
    /// # Errors
    /// [`EngineError::Filter`] if the filter cannot be parsed; [`EngineError::NoEncoder`] if the text
    /// must be encoded and no encoder was given; [`EngineError::Open`] if it fails;
    /// [`EngineError::Search`] if Tantivy does.
    pub fn search(&self, request: &Request<'_>) -> Result<Vec<Found>, EngineError> {
        let searcher = self.reader.searcher();
        let requests = slice::from_ref(request);
        let asked = self.asked(&searcher, requests)?;
        let meanings = meanings(&searcher, &asked)?;
        Ok(self.answers(&searcher, requests, &meanings)?.pop().unwrap_or_default())
    }

    /// The best documents for each of many requests, in their order, by so many threads.
    ///
    /// The texts are encoded in one call, and vectors are searched for as [`search_batch`] does. An int8
    /// model gives a text a slightly other vector beside others than alone
    /// ([`OnnxEncoder`](crate::encoder::OnnxEncoder) says how much), and a card may find others by an index
    /// ([`DenseIndex::use_gpu`]); else a request finds what it finds in [`Engine::search`].
    ///
    /// ```
    /// # use std::{num::NonZeroUsize, sync::Arc};
    /// # use tantivy_dense::{Dim, Engine, Request, indexer::{Indexer, Source}, toy::ToyEncoder};
    /// # let folder = tempfile::tempdir()?;
    /// # let engine = Engine::create_in_dir(folder.path(), Arc::new(ToyEncoder::new(Dim::new(64)?)))?;
    /// # let corpus = r#"{"_id": "tea", "lang": "en", "text": "How to boil tea"}"#;
    /// # let source = Source::from_reader("corpus", corpus.as_bytes());
    /// # Indexer::builder(engine.index()).run([source], |_| std::ops::ControlFlow::Continue(()))?;
    /// # engine.reload()?;
    /// let requests = ["boiling tea", "a kettle"].map(|text| Request::new(text).k(1));
    /// let found = engine.search_batch(&requests, NonZeroUsize::MIN)?;
    /// assert_eq!(found.len(), 2);
    /// assert_eq!(found[0][0].id, "tea");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`Engine::search`], if one of the requests fails.
    pub fn search_batch(
        &self,
        requests: &[Request<'_>],
        threads: NonZeroUsize,
    ) -> Result<Vec<Vec<Found>>, EngineError> {
        let searcher = self.reader.searcher();
        let asked = self.asked(&searcher, requests)?;
        // A card takes all queries at once, and is no faster for being asked by several threads.
        let card = self.index.gpu().filter(|_| requests.len() >= FOR_A_CARD);
        let of_card = card.map(|_| meanings(&searcher, &asked)).transpose()?;
        let part = requests.len().div_ceil(threads.get()).max(1);
        let parts = requests.chunks(part).zip(asked.chunks(part)).enumerate();
        let answers = |(number, (requests, asked)): (usize, (&[Request<'_>], &[_]))| {
            let found = match &of_card {
                Some(found) => &found[number * part..][..requests.len()],
                None => &meanings(&searcher, asked)?[..],
            };
            self.answers(&searcher, requests, found)
        };
        let found: Result<Vec<_>, EngineError> = thread::scope(|scope| {
            let answers = &answers;
            let workers: Vec<_> = parts.map(|part| scope.spawn(move || answers(part))).collect();
            let answered = workers.into_iter().map(ScopedJoinHandle::join);
            answered.map(|part| part.unwrap_or_else(|panic| resume_unwind(panic))).collect()
        });
        Ok(found?.into_iter().flatten().collect())
    }

    /// How the vectors of requests are searched for, where they are: those that ask alike share a filter.
    fn asked(
        &self,
        searcher: &Searcher,
        requests: &[Request<'_>],
    ) -> Result<Vec<Option<KnnQuery>>, EngineError> {
        let documents = documents(searcher);
        let encodes =
            |request: &Request<'_>| request.mode.is_dense() && request.k.min(documents) > 0;
        let mut last: Option<(&Request<'_>, KnnQuery)> = None;
        let mut asked = Vec::with_capacity(requests.len());
        for request in requests {
            if !encodes(request) {
                asked.push(None);
                continue;
            }
            let knn = match &last {
                Some((before, knn)) if before.asks_like(request) => knn.clone(),
                _ => {
                    let window = request.window(request.k.min(documents));
                    let knn = KnnQuery::new(self.schema.dense, Vec::new(), window);
                    let knn = request.effort.of(knn);
                    match request.filter {
                        Some(filter) => knn.filter(self.filter(filter)?),
                        None => knn,
                    }
                }
            };
            last = Some((request, knn.clone()));
            asked.push(Some(knn));
        }
        if last.is_none() {
            return Ok(asked);
        }
        let encoder = self.index.encoder(self.schema.dense).ok_or(EngineError::NoEncoder)?;
        let dense: Vec<&Request<'_>> = requests.iter().filter(|request| encodes(request)).collect();
        // An encoder that takes language means off needs to know.
        let language =
            |request: &&Request<'_>| request.language.clone().or_else(|| self.detect(request.text));
        let languages: Vec<Option<LanguageTag>> = dense.iter().map(language).collect();
        let of_dense = dense.iter().zip(languages.iter().map(Option::as_ref));
        let texts: Vec<Text<'_>> =
            of_dense.map(|(request, language)| Text { body: request.text, language }).collect();
        let vectors = encoder.encode(Role::Query, &texts).map_err(OpenError::from)?.vectors;
        if vectors.rows() != texts.len() {
            return Err(OpenError::WrongAnswer { field: "dense".to_owned() }.into());
        }
        for (knn, vector) in asked.iter_mut().flatten().zip(&vectors) {
            *knn = knn.with_vector(vector);
        }
        Ok(asked)
    }

    /// What requests find, with what their vectors have found where they have some.
    fn answers(
        &self,
        searcher: &Searcher,
        requests: &[Request<'_>],
        meanings: &[Option<KnnHits>],
    ) -> Result<Vec<Vec<Found>>, EngineError> {
        let of_each = requests.iter().zip(meanings);
        of_each.map(|(request, hits)| self.answer(searcher, request, hits.clone())).collect()
    }

    fn answer(
        &self,
        searcher: &Searcher,
        request: &Request<'_>,
        meaning: Option<KnnHits>,
    ) -> Result<Vec<Found>, EngineError> {
        let filter = request.filter.map(|filter| self.filter(filter)).transpose()?;
        let documents = documents(searcher);
        let k = request.k.min(documents);
        if k == 0 {
            return Ok(Vec::new());
        }
        let window = request.window(k);
        let words = match request.mode {
            Mode::Dense => None,
            _ => Some(self.words(searcher, request, filter.as_deref())?),
        };
        let legs = if request.explain {
            let [of_words, of_meaning] = request.fusion.weights();
            let window = window.min(documents);
            let ranking = |query: Option<&dyn Query>, weight| match query {
                Some(query) => Ranking::of(searcher, query, window, weight),
                None => Ok(Ranking::default()),
            };
            let meaning = meaning.as_ref().map(|meaning| meaning as &dyn Query);
            Some((ranking(words.as_deref(), of_words)?, ranking(meaning, of_meaning)?))
        } else {
            None
        };
        let query: Box<dyn Query> = match (words, meaning) {
            (Some(words), Some(meaning)) => match request.fusion {
                Fusion::ReciprocalRanks => {
                    Box::new(RrfQuery::new().leg(words).leg(meaning).window(window))
                }
                fusion @ Fusion::Weighted(_) => {
                    let [of_words, of_meaning] = fusion.weights();
                    let both = WeightedQuery::new().leg_from(0.0, words, of_words);
                    Box::new(both.leg(meaning, of_meaning).window(window))
                }
            },
            (Some(words), None) => words,
            (None, Some(meaning)) => Box::new(meaning),
            (None, None) => return Ok(Vec::new()),
        };
        let top = TopDocs::with_limit(k).order_by_score();
        let hits = searcher.search(&*query, &top)?;
        let found = (1..).zip(hits).map(|(rank, (score, address))| {
            let document: TantivyDocument = searcher.doc(address)?;
            let why = legs.as_ref().map(|(words, meaning)| {
                let (words, meaning) = (words.place(address), meaning.place(address));
                let terms = match words {
                    Some(_) => self.terms(searcher, request, address)?,
                    None => Vec::new(),
                };
                Ok::<_, TantivyError>(Why { words, terms, meaning })
            });
            Ok(self.found(rank, score, &document, why.transpose()?))
        });
        found.collect()
    }

    fn filter(&self, filter: &str) -> Result<Box<dyn Query>, EngineError> {
        let parser = QueryParser::for_index(self.index.tantivy(), Vec::new());
        parser
            .parse_query(filter)
            .map_err(|source| EngineError::Filter { filter: filter.to_owned(), source })
    }

    fn words(
        &self,
        searcher: &Searcher,
        request: &Request<'_>,
        filter: Option<&dyn Query>,
    ) -> tantivy::Result<Box<dyn Query>> {
        let languages = self.languages_of(searcher, request)?;
        let words = match languages.iter().next() {
            Some(only) if languages.len() == 1 => {
                self.analyzers.query(self.schema.body, only, request.text)
            }
            // Any language of the index may be meant.
            _ => self.analyzers.query_in_any(self.schema.body, &languages, request.text),
        };
        Ok(match filter {
            None => words,
            Some(filter) => Box::new(BooleanQuery::new(vec![
                (Occur::Must, words),
                (Occur::Must, Box::new(ConstScoreQuery::new(filter.box_clone(), 0.0))),
            ])),
        })
    }

    /// The languages that a query may be in.
    fn languages_of(
        &self,
        searcher: &Searcher,
        request: &Request<'_>,
    ) -> tantivy::Result<BTreeSet<LanguageTag>> {
        if let Some(language) = &request.language {
            return Ok(BTreeSet::from([language.clone()]));
        }
        let languages = self.languages(searcher)?;
        let detected = self.detect(request.text).filter(|language| languages.contains(language));
        Ok(detected.map_or(languages, |language| BTreeSet::from([language])))
    }

    /// The language that a query shows; a name or a word or two show none.
    fn detect(&self, text: &str) -> Option<LanguageTag> {
        let is_told = text.split_whitespace().nth(LEAST_WORDS - 1).is_some();
        if is_told { self.detector.detect(text) } else { None }
    }

    /// The languages of the documents, `und` included.
    fn languages(&self, searcher: &Searcher) -> tantivy::Result<BTreeSet<LanguageTag>> {
        let mut languages = BTreeSet::from([LanguageTag::undetermined()]);
        for segment in searcher.segment_readers() {
            let inverted = segment.inverted_index(self.schema.language)?;
            let mut terms = inverted.terms().stream()?;
            while terms.advance() {
                languages
                    .extend(std::str::from_utf8(terms.key()).ok().and_then(|t| t.parse().ok()));
            }
        }
        Ok(languages)
    }

    fn found(
        &self,
        rank: usize,
        score: Score,
        document: &TantivyDocument,
        why: Option<Why>,
    ) -> Found {
        let text =
            |field| document.get_first(field).and_then(|value| value.as_str()).map(str::to_owned);
        Found {
            rank,
            score,
            id: text(self.schema.id).unwrap_or_default(),
            lang: text(self.schema.language).unwrap_or_default(),
            title: text(self.schema.title),
            text: text(self.schema.text).unwrap_or_default(),
            why,
        }
    }
}

/// What the vectors of requests find.
fn meanings(
    searcher: &Searcher,
    asked: &[Option<KnnQuery>],
) -> tantivy::Result<Vec<Option<KnnHits>>> {
    let queries: Vec<KnnQuery> = asked.iter().flatten().cloned().collect();
    let mut found = search_batch(searcher, &queries)?.into_iter();
    Ok(asked.iter().map(|asked| asked.as_ref().and_then(|_| found.next())).collect())
}

fn documents(searcher: &Searcher) -> usize {
    usize::try_from(searcher.num_docs()).unwrap_or(usize::MAX)
}

/// Why an index of a corpus could not be made, opened or searched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message explains its fields")]
pub enum EngineError {
    /// The index, or its encoder.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A dense index with a schema of somebody's own.
    #[error(transparent)]
    Schema(#[from] dense_indexer::SchemaError),
    /// A text can be compared with vectors only by the encoder that made them.
    #[error("the index was opened without its encoder, so it can be searched by words alone")]
    NoEncoder,
    /// The filter is not in Tantivy's query language, or names a field that is not there.
    #[error("the filter `{filter}` cannot be understood: {source}")]
    Filter { filter: String, source: QueryParserError },
    /// Tantivy could not search.
    #[error(transparent)]
    Search(#[from] TantivyError),
}
