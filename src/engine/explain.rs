//! What made the score of a document that was found.
//!
//! Invariant: what the terms add sums to the score by words, but for rounding.

use std::collections::{BTreeMap, HashMap};

use dense_plugin::LanguageTag;
use serde::Serialize;
use tantivy::collector::TopDocs;
use tantivy::query::{Query, TermQuery};
use tantivy::schema::IndexRecordOption;
use tantivy::{DocAddress, Score, Searcher, TantivyError, Term};

use super::{Engine, Request};

/// What made the score of a document.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Why {
    /// Its place by words; `None` if words did not rank it, or not within the window.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub words: Option<Place>,
    /// What each term of the query adds to the score by words, most first. A term that the query says
    /// twice adds twice as much.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub terms: Vec<TermPart>,
    /// Its place by meaning; `None` if meaning did not rank it, or not within the window.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub meaning: Option<Place>,
}

/// A place in one ranking.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Place {
    /// From 1.
    pub rank: usize,
    /// BM25, or the metric of the dense field.
    pub score: Score,
    /// How much the ranking counts in a fusion.
    pub weight: f32,
}

/// A term of the query that a document has.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TermPart {
    /// As the index has it: a stem, an n-gram behind `_`, a pair.
    pub term: String,
    /// What it adds to the score.
    pub adds: Score,
}

/// The best documents of one leg, by address.
#[derive(Debug, Default)]
pub(super) struct Ranking(HashMap<DocAddress, Place>);

impl Ranking {
    pub(super) fn of(
        searcher: &Searcher,
        query: &dyn Query,
        window: usize,
        weight: f32,
    ) -> tantivy::Result<Self> {
        let hits = searcher.search(query, &TopDocs::with_limit(window).order_by_score())?;
        let place = |(rank, (score, at))| (at, Place { rank, score, weight });
        Ok(Self((1..).zip(hits).map(place).collect()))
    }

    pub(super) fn place(&self, at: DocAddress) -> Option<Place> {
        self.0.get(&at).copied()
    }
}

impl Engine {
    /// What each term adds, in the language of the query in which the document scores best.
    pub(super) fn terms(
        &self,
        searcher: &Searcher,
        request: &Request<'_>,
        at: DocAddress,
    ) -> tantivy::Result<Vec<TermPart>> {
        let languages = self.languages_of(searcher, request)?;
        let parts = languages.iter().map(|tag| self.terms_in(searcher, tag, request.text, at));
        let parts = parts.collect::<tantivy::Result<Vec<_>>>()?;
        let sum = |parts: &Vec<TermPart>| parts.iter().map(|part| part.adds).sum::<Score>();
        Ok(parts.into_iter().max_by(|a, b| sum(a).total_cmp(&sum(b))).unwrap_or_default())
    }

    fn terms_in(
        &self,
        searcher: &Searcher,
        language: &LanguageTag,
        text: &str,
        at: DocAddress,
    ) -> tantivy::Result<Vec<TermPart>> {
        let mut counts = BTreeMap::<String, u16>::new();
        for token in self.analyzers.analyze(language, text).tokens {
            let count = counts.entry(token.text).or_default();
            *count = count.saturating_add(1);
        }
        let mut parts = Vec::new();
        for (term, count) in counts {
            let of_index = Term::from_field_text(self.schema.body, &term);
            match TermQuery::new(of_index, IndexRecordOption::WithFreqs).explain(searcher, at) {
                Ok(why) => parts.push(TermPart { term, adds: why.value() * Score::from(count) }),
                // So Tantivy says that the document lacks the term.
                Err(TantivyError::InvalidArgument(_)) => {}
                Err(error) => return Err(error),
            }
        }
        parts.sort_by(|a, b| b.adds.total_cmp(&a.adds));
        Ok(parts)
    }
}
