//! The settings in which a multilingual collection is searched: the topic's own language, one other
//! language, all at once. [`Settings`] defines them; two ways lead there, by vectors ([`dense`]) and by
//! ranked lists ([`ranked`]).
//!
//! Invariant: ranks found by counting scores and ranks read from ranked lists give the same values.

mod dense;
mod parallel;
mod plan;
mod ranked;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use crate::evaluation::{ByLanguage, Evaluation, LanguageScores, mean_of};
use crate::measure::{Measure, real};
use crate::retriever::RetrieveError;

pub use dense::{DenseRetriever, dense_settings};
pub use ranked::{Pool, pooled_settings, ranked_settings};

/// Of how many passages, from the first, the share of the topic's own language is taken.
pub const OWN_SHARE_DEPTH: usize = 10;

/// What each measure says about each topic in the three settings: searching the passages of the
/// topic's own language (monolingual), of one other language (cross-lingual), of all languages at once
/// (multilingual).
///
/// Values are means over the topics of a language, or of an ordered pair of languages, and then over
/// languages or pairs, so that each counts alike. *Rank distance* says how far apart the best and the
/// worst of a topic's relevant passages stand when all languages are ranked together: the less a
/// system cares for the language of a passage, the smaller it is. The *share of the own language* says how many of
/// the first [`OWN_SHARE_DEPTH`] passages of that ranking are in the language of the topic: where every language has
/// as many relevant passages, a system that does not care for language has 1 over the number of languages
/// on average, and one that cares for nothing else has 1.
///
/// A topic counts in a setting if a passage of that pool is relevant to it; in the multilingual one
/// every topic with judgements counts. A judged passage that the collection lacks counts there as
/// relevant and never found.
///
/// # Source
/// Roy et al., "`LAReQA`" (2020), for the pools, and for counting the languages of what is found first (section 5,
/// language bias); arXiv 2408.10536 for rank distance.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    measures: Vec<Measure>,
    /// Passages by language.
    pools: BTreeMap<String, usize>,
    passages: usize,
    mono: BTreeMap<String, Evaluation>,
    cross: BTreeMap<(String, String), Evaluation>,
    multi: BTreeMap<String, Evaluation>,
    distances: Option<BTreeMap<String, BTreeMap<String, usize>>>,
    own_shares: BTreeMap<String, BTreeMap<String, f64>>,
}

impl Settings {
    /// The measures, in the order of the values.
    pub fn measures(&self) -> &[Measure] {
        &self.measures
    }

    /// Passages of the topic's own language, by that language. Empty if no language is named.
    pub fn mono(&self) -> &BTreeMap<String, Evaluation> {
        &self.mono
    }

    /// Passages of one other language, by the language of the topic and that of the passages.
    pub fn cross(&self) -> &BTreeMap<(String, String), Evaluation> {
        &self.cross
    }

    /// Every pair of languages that was measured: that of the topics, that of the passages, which may be
    /// the same, and the values.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str, &Evaluation)> {
        let own = self
            .mono
            .iter()
            .map(|(language, values)| (language.as_str(), language.as_str(), values));
        let others = self.cross.iter();
        own.chain(others.map(|((from, to), values)| (from.as_str(), to.as_str(), values)))
    }

    /// How many passages are in a language.
    pub fn pool(&self, language: &str) -> usize {
        self.pools.get(language).copied().unwrap_or(0)
    }

    /// The same by some of the measures alone, in the order in which they are named here; `None` if one of
    /// them was not measured.
    pub fn select(&self, measures: &[Measure]) -> Option<Self> {
        let at = |wanted| self.measures.iter().position(|measure| measure == wanted);
        let places: Vec<usize> = measures.iter().map(at).collect::<Option<_>>()?;
        let select = |all: &Evaluation| {
            let mut some = Evaluation::new(measures);
            for (topic, values) in all.iter() {
                some.insert(topic, places.iter().map(|&at| values[at]).collect());
            }
            some
        };
        Some(Self {
            measures: measures.to_vec(),
            pools: self.pools.clone(),
            passages: self.passages,
            mono: self.mono.iter().map(|(key, all)| (key.clone(), select(all))).collect(),
            cross: self.cross.iter().map(|(key, all)| (key.clone(), select(all))).collect(),
            multi: self.multi.iter().map(|(key, all)| (key.clone(), select(all))).collect(),
            distances: self.distances.clone(),
            own_shares: self.own_shares.clone(),
        })
    }

    /// All passages, by the language of the topic; topics without a language stand under the name of
    /// the collection. For a collection of one language this is all there is to measure.
    pub fn multi(&self) -> &BTreeMap<String, Evaluation> {
        &self.multi
    }

    /// The worst rank less the best rank of a topic's relevant passages among all passages, by
    /// language and topic, for the topics with relevant passages in several languages.
    ///
    /// `None` if there is no such topic, or if the system left any of these passages out: what was
    /// not found has no rank.
    pub fn rank_distances(&self) -> Option<&BTreeMap<String, BTreeMap<String, usize>>> {
        self.distances.as_ref()
    }

    /// The share of the topic's own language among the first [`OWN_SHARE_DEPTH`] of all passages, or
    /// among all that were found if these are fewer, by language and topic. Topics for which nothing was found,
    /// or in whose language no passage is, are left out; all are if the passages are in one language.
    pub fn own_language_shares(&self) -> &BTreeMap<String, BTreeMap<String, f64>> {
        &self.own_shares
    }

    /// Means of the monolingual setting by language, with the size of each language's pool.
    pub fn mono_by_language(&self) -> ByLanguage {
        self.table(&self.mono, |language| self.pool(language))
    }

    /// Means of the multilingual setting by the language of the topics.
    pub fn multi_by_language(&self) -> ByLanguage {
        self.table(&self.multi, |_| self.passages)
    }

    fn table(
        &self,
        groups: &BTreeMap<String, Evaluation>,
        passages: impl Fn(&str) -> usize,
    ) -> ByLanguage {
        let rows = groups.iter().filter_map(|(language, evaluation)| {
            let scores = LanguageScores::new(evaluation.clone(), passages(language))?;
            Some((language.clone(), scores))
        });
        ByLanguage { measures: self.measures.clone(), rows: rows.collect() }
    }

    /// The monolingual mean over languages, one value a measure.
    pub fn mono_mean(&self) -> Option<Vec<f64>> {
        self.mean(self.mono.values())
    }

    /// The cross-lingual mean over ordered pairs of languages, one value a measure.
    pub fn cross_mean(&self) -> Option<Vec<f64>> {
        self.mean(self.cross.values())
    }

    /// The multilingual mean over the languages of the topics, one value a measure.
    pub fn multi_mean(&self) -> Option<Vec<f64>> {
        self.mean(self.multi.values())
    }

    fn mean<'a>(&self, groups: impl Iterator<Item = &'a Evaluation>) -> Option<Vec<f64>> {
        let means: Vec<Vec<f64>> = groups.filter_map(Evaluation::mean).collect();
        mean_of(self.measures.len(), means.iter().map(Vec::as_slice))
    }

    /// The mean rank distance over languages; `None` where [`Settings::rank_distances`] is.
    pub fn rank_distance(&self) -> Option<f64> {
        mean_over_languages(self.distances.as_ref()?, |&ranks| real(ranks))
    }

    /// The mean share of the own language, over languages; `None` where no topic has one.
    pub fn own_language_share(&self) -> Option<f64> {
        mean_over_languages(&self.own_shares, |&share| share)
    }
}

/// The mean over languages of the mean over topics.
fn mean_over_languages<T>(
    languages: &BTreeMap<String, BTreeMap<String, T>>,
    number: impl Fn(&T) -> f64,
) -> Option<f64> {
    let mean = |topics: &BTreeMap<String, T>| {
        [topics.values().map(&number).sum::<f64>() / real(topics.len())]
    };
    let means: Vec<[f64; 1]> = languages.values().map(mean).collect();
    Some(mean_of(1, means.iter().map(<[f64; 1]>::as_slice))?[0])
}

/// Why the settings could not be measured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message explains its fields")]
pub enum SettingsError {
    /// There must be one vector for each topic and each passage.
    #[error("{given} vectors for the {wanted} {what} of the collection")]
    Rows { what: &'static str, wanted: usize, given: usize },
    /// Vectors of two lengths have no product.
    #[error("queries of {queries} dimensions and passages of {passages}")]
    Dim { queries: usize, passages: usize },
    /// A score that is no number ranks nowhere.
    #[error("topic `{topic}`: the score of passage `{passage}` is not a finite number")]
    NotFinite { topic: String, passage: String },
    /// Ranks would depend on which of the two is meant.
    #[error("the collection has passage `{id}` twice")]
    PassageTwice { id: String },
    /// A hit is from somewhere else.
    #[error("topic `{topic}`: `{id}` was found and is no passage of the collection")]
    UnknownPassage { topic: String, id: String },
    /// A passage can be found once.
    #[error("topic `{topic}`: `{id}` was found twice")]
    HitTwice { topic: String, id: String },
    /// The system failed.
    #[error(transparent)]
    Retrieve(#[from] RetrieveError),
}
