//! What `tdense eval` compares: BM25 and dense search over a collection, and their fusion.
//!
//! Invariant: a collection is searched as an index of it would be: BM25's statistics are those of
//! the pool that is searched.

use std::collections::{BTreeMap, BTreeSet};

use dense_eval::{Collection, DenseRetriever, Hit, Passage, Pool, RetrieveError, Retriever, Topic};
use dense_indexer::{Analyzers, Detector};
use dense_plugin::LanguageTag;
use tantivy::collector::TopDocs;
use tantivy::schema::{FAST, Field, IndexRecordOption, Schema, TextFieldIndexing, TextOptions};
use tantivy::{DocId, Index, Searcher, TantivyDocument, TantivyError};

use crate::fusion::reciprocal_rank;

/// Memory for the writer of one pool, in bytes.
const WRITER_MEMORY: usize = 50_000_000;

/// Ranks the passages of a collection by BM25, with the analyser of each text's language.
#[derive(Debug)]
pub struct Bm25Retriever {
    analyzers: Analyzers,
    detector: Detector,
    /// Those of the passages, and the one that is not known.
    languages: BTreeSet<LanguageTag>,
    all: PoolIndex,
    by_language: BTreeMap<String, PoolIndex>,
}

impl Bm25Retriever {
    /// Indexes a collection in memory: all of it, and each language apart.
    ///
    /// # Errors
    /// Tantivy's, if an index cannot be made.
    pub fn new(collection: &Collection, analyzers: Analyzers) -> tantivy::Result<Self> {
        let detector = Detector::new();
        let languages = collection.languages();
        let mut tags = BTreeSet::from([LanguageTag::undetermined()]);
        tags.extend(languages.iter().filter_map(|language| language.parse().ok()));
        let mut by_language = BTreeMap::new();
        // One language is the whole collection.
        if languages.len() > 1 {
            for language in languages {
                let of_language = |p: &&Passage| p.language.as_deref() == Some(language);
                let passages = collection.passages.iter().filter(of_language);
                let pool = PoolIndex::new(passages, analyzers, &detector)?;
                by_language.insert(language.to_owned(), pool);
            }
        }
        let all = PoolIndex::new(collection.passages.iter(), analyzers, &detector)?;
        Ok(Self { analyzers, detector, languages: tags, all, by_language })
    }

    /// The best `depth` passages of a pool, best first.
    ///
    /// # Errors
    /// [`RetrieveError`] if Tantivy fails.
    pub fn search(
        &self,
        topic: &Topic,
        pool: Pool<'_>,
        depth: usize,
    ) -> Result<Vec<Hit>, RetrieveError> {
        let pool = match pool {
            Pool::Language(language) => self.by_language.get(language).unwrap_or(&self.all),
            Pool::All => &self.all,
        };
        let query = match self.language_of(topic) {
            Some(language) => self.analyzers.query(pool.body, &language, &topic.text),
            None => self.analyzers.query_in_any(pool.body, &self.languages, &topic.text),
        };
        let mut hits =
            pool.search(&*query, depth).map_err(|error| RetrieveError::new(topic, error))?;
        hits.sort_unstable_by(Hit::ranking);
        Ok(hits)
    }

    /// The language that the topic names, or the one it looks like if passages are in it. A collection
    /// that names none has passages in any.
    fn language_of(&self, topic: &Topic) -> Option<LanguageTag> {
        let named = topic.language.as_deref().and_then(|named| named.parse().ok());
        named.or_else(|| {
            let detected = self.detector.detect(&topic.text);
            detected.filter(|tag| self.languages.len() == 1 || self.languages.contains(tag))
        })
    }
}

impl Retriever for Bm25Retriever {
    fn name(&self) -> &'static str {
        "bm25"
    }

    fn retrieve(&self, topic: &Topic, depth: usize) -> Result<Vec<Hit>, RetrieveError> {
        self.search(topic, Pool::All, depth)
    }
}

/// BM25 where nobody says which language a query is in: it is detected.
#[derive(Clone, Copy, Debug)]
pub struct DetectingRetriever<'a>(pub &'a Bm25Retriever);

impl DetectingRetriever<'_> {
    /// All passages of a pool, best first, whatever language the topic names.
    ///
    /// # Errors
    /// [`RetrieveError`] if Tantivy fails.
    pub fn search(&self, topic: &Topic, pool: Pool<'_>) -> Result<Vec<Hit>, RetrieveError> {
        self.0.search(&Topic { language: None, ..topic.clone() }, pool, usize::MAX)
    }
}

impl Retriever for DetectingRetriever<'_> {
    fn name(&self) -> &'static str {
        "bm25-detected"
    }

    fn retrieve(&self, topic: &Topic, depth: usize) -> Result<Vec<Hit>, RetrieveError> {
        let mut hits = self.search(topic, Pool::All)?;
        hits.truncate(depth);
        Ok(hits)
    }
}

/// Fuses the whole rankings of BM25 and of dense search by reciprocal ranks.
#[derive(Clone, Copy, Debug)]
pub struct HybridRetriever<'a> {
    bm25: &'a Bm25Retriever,
    dense: &'a DenseRetriever<'a>,
}

impl<'a> HybridRetriever<'a> {
    /// Takes two systems over one collection.
    pub fn new(bm25: &'a Bm25Retriever, dense: &'a DenseRetriever<'a>) -> Self {
        Self { bm25, dense }
    }

    /// All passages of a pool, best first.
    ///
    /// # Errors
    /// [`RetrieveError`] if one of the systems fails.
    pub fn search(&self, topic: &Topic, pool: Pool<'_>) -> Result<Vec<Hit>, RetrieveError> {
        let words = self.bm25.search(topic, pool, usize::MAX)?;
        let meaning = self.dense.search(topic, pool, usize::MAX)?;
        let mut hits = reciprocal_rank(&[words, meaning]);
        hits.sort_unstable_by(Hit::ranking);
        Ok(hits)
    }
}

impl Retriever for HybridRetriever<'_> {
    fn name(&self) -> &'static str {
        "hybrid"
    }

    fn retrieve(&self, topic: &Topic, depth: usize) -> Result<Vec<Hit>, RetrieveError> {
        let mut hits = self.search(topic, Pool::All)?;
        hits.truncate(depth);
        Ok(hits)
    }
}

/// What is indexed and encoded of a passage: its title, a space, and its text, as BEIR has it.
pub fn full_text(passage: &Passage) -> String {
    match (passage.title.is_empty(), passage.text.is_empty()) {
        (true, _) => passage.text.clone(),
        (false, true) => passage.title.clone(),
        (false, false) => format!("{} {}", passage.title, passage.text),
    }
}

/// The language that a collection names, or else the one that the text looks like.
pub fn language_of(named: Option<&str>, text: &str, detector: &Detector) -> LanguageTag {
    named
        .and_then(|named| named.parse().ok())
        .or_else(|| detector.detect(text))
        .unwrap_or_else(LanguageTag::undetermined)
}

/// The passages of one pool, in memory.
#[derive(Debug)]
struct PoolIndex {
    body: Field,
    searcher: Searcher,
    ids: Vec<String>,
}

impl PoolIndex {
    fn new<'a>(
        passages: impl Iterator<Item = &'a Passage>,
        analyzers: Analyzers,
        detector: &Detector,
    ) -> tantivy::Result<Self> {
        let mut schema = Schema::builder();
        let indexing = TextFieldIndexing::default().set_index_option(IndexRecordOption::WithFreqs);
        let body =
            schema.add_text_field("body", TextOptions::default().set_indexing_options(indexing));
        let number = schema.add_u64_field("number", FAST);
        let index = Index::create_in_ram(schema.build());
        let mut writer = index.writer_with_num_threads(1, WRITER_MEMORY)?;
        let mut ids = Vec::new();
        for passage in passages {
            let text = full_text(passage);
            let language = language_of(passage.language.as_deref(), &text, detector);
            let mut document = TantivyDocument::new();
            document.add_pre_tokenized_text(body, analyzers.analyze(&language, &text));
            document.add_u64(number, ids.len() as u64);
            writer.add_document(document)?;
            ids.push(passage.id.clone());
        }
        writer.commit()?;
        writer.wait_merging_threads()?;
        Ok(Self { body, searcher: index.reader()?.searcher(), ids })
    }

    fn search(&self, query: &dyn tantivy::query::Query, depth: usize) -> tantivy::Result<Vec<Hit>> {
        let depth = depth.min(self.ids.len());
        if depth == 0 {
            return Ok(Vec::new());
        }
        let numbers = self
            .searcher
            .segment_readers()
            .iter()
            .map(|reader| reader.fast_fields().u64("number"))
            .collect::<tantivy::Result<Vec<_>>>()?;
        let id = |segment: u32, doc: DocId| {
            let number = numbers.get(segment as usize).and_then(|column| column.first(doc));
            let number = number.and_then(|number| usize::try_from(number).ok());
            number
                .and_then(|number| self.ids.get(number))
                .cloned()
                .ok_or_else(|| TantivyError::InternalError(format!("document {doc} has no number")))
        };
        let found = self.searcher.search(query, &TopDocs::with_limit(depth).order_by_score())?;
        let hit = |(score, at): (f32, tantivy::DocAddress)| {
            Ok(Hit { id: id(at.segment_ord, at.doc_id)?, score })
        };
        found.into_iter().map(hit).collect()
    }
}
