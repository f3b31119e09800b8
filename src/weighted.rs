//! Weighted fusion whose weights are chosen by cross-validation over queries.
//!
//! Invariant: no topic is ranked with a weight that it, or the same question in another language, had a
//! part in choosing.

use std::collections::{BTreeMap, HashMap};
use std::num::{NonZeroU32, NonZeroUsize};
use std::thread;

use dense_eval::stats::{Draws, cross_validate, folds};
use dense_eval::{
    Collection, DenseRetriever, Hit, Measure, Passage, Pool, RetrieveError, Retriever, Topic,
};

use crate::fusion::{Normalization, Normalized};
use crate::retrievers::Bm25Retriever;

/// Weights of the ranking by meaning that are tried. The first is taken where nothing can be chosen.
const WEIGHTS: [f64; 11] = [0.5, 0.0, 0.1, 0.2, 0.3, 0.4, 0.6, 0.7, 0.8, 0.9, 1.0];

const AP: Measure = Measure::AveragePrecision { level: NonZeroU32::MIN, cutoff: None };

/// Which passages a topic searches. How far words can be trusted depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Scope {
    Own,
    Other,
    All,
}

/// What was chosen for the topics of one language, fold by fold.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
pub struct ChosenWeights {
    /// To search the passages of their own language.
    pub own: Vec<f64>,
    /// To search those of one other language.
    pub other: Vec<f64>,
    /// To search all.
    pub all: Vec<f64>,
}

/// Sums the normalised scores of BM25 and of dense search, with a weight for each language of topics and
/// for own, other and all passages.
#[derive(Debug)]
pub struct WeightedRetriever<'a> {
    bm25: &'a Bm25Retriever,
    dense: &'a DenseRetriever<'a>,
    normalization: Normalization,
    languages: HashMap<String, Option<String>>,
    weights: HashMap<(String, Scope), f64>,
    chosen: BTreeMap<String, ChosenWeights>,
}

impl<'a> WeightedRetriever<'a> {
    /// Takes two systems over one collection, and chooses the weights by AP over all topics that it
    /// judges, in `count` folds.
    ///
    /// # Errors
    /// [`RetrieveError`] if one of the systems fails.
    pub fn cross_validated(
        bm25: &'a Bm25Retriever,
        dense: &'a DenseRetriever<'a>,
        collection: &Collection,
        normalization: Normalization,
        (count, draws): (usize, Draws),
        threads: NonZeroUsize,
    ) -> Result<Self, RetrieveError> {
        let language = |passage: &Passage| (passage.id.clone(), passage.language.clone());
        let languages = collection.passages.iter().map(language).collect();
        let (weights, chosen) = (HashMap::new(), BTreeMap::new());
        let mut new = Self { bm25, dense, normalization, languages, weights, chosen };
        let judged: Vec<&Topic> =
            collection.topics.iter().filter(|topic| collection.qrels.has(&topic.id)).collect();
        let values = new.values(&judged, collection, threads)?;
        let groups: Vec<&str> =
            judged.iter().map(|topic| topic.group.as_ref().unwrap_or(&topic.id).as_str()).collect();
        let folds = folds(&groups, count, draws);
        let mut of_language: HashMap<(&str, Scope), Vec<usize>> = HashMap::new();
        for (at, topic) in judged.iter().enumerate() {
            let language = topic.language.as_deref().unwrap_or("");
            for &scope in values[at].keys() {
                of_language.entry((language, scope)).or_default().push(at);
            }
        }
        for ((language, scope), topics) in of_language {
            let by_weight: Vec<Vec<f64>> = (0..WEIGHTS.len())
                .map(|weight| topics.iter().map(|&at| values[at][&scope][weight]).collect())
                .collect();
            let of_topics: Vec<usize> = topics.iter().map(|&at| folds[at]).collect();
            let choices = cross_validate(&by_weight, &of_topics).choices;
            for (&at, &fold) in topics.iter().zip(&of_topics) {
                let weight = WEIGHTS[choices[fold]];
                new.weights.insert((judged[at].id.clone(), scope), weight);
            }
            let chosen = new.chosen.entry(language.to_owned()).or_default();
            let list = match scope {
                Scope::Own => &mut chosen.own,
                Scope::Other => &mut chosen.other,
                Scope::All => &mut chosen.all,
            };
            *list = choices.into_iter().map(|choice| WEIGHTS[choice]).collect();
        }
        Ok(new)
    }

    /// The weights of the ranking by meaning that were chosen, by the language of the topics.
    pub fn chosen(&self) -> &BTreeMap<String, ChosenWeights> {
        &self.chosen
    }

    /// All passages of a pool, best first.
    ///
    /// # Errors
    /// [`RetrieveError`] if one of the systems fails.
    pub fn search(&self, topic: &Topic, pool: Pool<'_>) -> Result<Vec<Hit>, RetrieveError> {
        let scope = scope(topic, pool);
        let weight = self.weights.get(&(topic.id.clone(), scope)).copied().unwrap_or(WEIGHTS[0]);
        let [words, meaning] = self.rankings(topic, pool)?;
        let mut hits = Normalized::new(&words, &meaning, self.normalization).hits(weight);
        hits.sort_unstable_by(Hit::ranking);
        Ok(hits)
    }

    fn rankings(&self, topic: &Topic, pool: Pool<'_>) -> Result<[Vec<Hit>; 2], RetrieveError> {
        let words = self.bm25.search(topic, pool, usize::MAX)?;
        Ok([words, self.dense.search(topic, pool, usize::MAX)?])
    }

    /// The AP of each topic by scope and weight.
    fn values(
        &self,
        topics: &[&Topic],
        collection: &Collection,
        threads: NonZeroUsize,
    ) -> Result<Vec<HashMap<Scope, Vec<f64>>>, RetrieveError> {
        let size = topics.len().div_ceil(threads.get()).max(1);
        let measure = |topics: &[&Topic]| -> Result<Vec<_>, RetrieveError> {
            topics.iter().map(|topic| self.of_topic(topic, collection)).collect()
        };
        thread::scope(|scope| {
            let chunks = topics.chunks(size);
            let workers: Vec<_> = chunks.map(|chunk| scope.spawn(|| measure(chunk))).collect();
            let mut values = Vec::with_capacity(topics.len());
            for worker in workers {
                values.extend(worker.join().expect("measuring does not panic")?);
            }
            Ok(values)
        })
    }

    fn of_topic(
        &self,
        topic: &Topic,
        collection: &Collection,
    ) -> Result<HashMap<Scope, Vec<f64>>, RetrieveError> {
        let relevant = collection.qrels.of(&topic.id).filter(|(_, grade)| *grade > 0);
        let relevant: Vec<&str> = relevant.map(|(id, _)| id).collect();
        let mut pools: BTreeMap<Option<&str>, Vec<&str>> = BTreeMap::new();
        pools.insert(None, relevant.clone());
        for id in relevant {
            if let Some(Some(language)) = self.languages.get(id) {
                pools.entry(Some(language)).or_default().push(id);
            }
        }
        let mut sums: HashMap<Scope, (f64, Vec<f64>)> = HashMap::new();
        for (language, relevant) in pools {
            let pool = language.map_or(Pool::All, Pool::Language);
            let [words, meaning] = self.rankings(topic, pool)?;
            let both = Normalized::new(&words, &meaning, self.normalization);
            let (count, sum) =
                sums.entry(scope(topic, pool)).or_insert_with(|| (0.0, vec![0.0; WEIGHTS.len()]));
            *count += 1.0;
            let (places, missed) = places_of(&both, &relevant);
            for (sum, weight) in sum.iter_mut().zip(WEIGHTS) {
                *sum += average_precision(&both, weight, &places, missed);
            }
        }
        let means = sums.into_iter().map(|(scope, (count, mut sum))| {
            for value in &mut sum {
                *value /= count;
            }
            (scope, sum)
        });
        Ok(means.collect())
    }
}

impl Retriever for WeightedRetriever<'_> {
    fn name(&self) -> &'static str {
        "weighted"
    }

    fn retrieve(&self, topic: &Topic, depth: usize) -> Result<Vec<Hit>, RetrieveError> {
        let mut hits = self.search(topic, Pool::All)?;
        hits.truncate(depth);
        Ok(hits)
    }
}

fn scope(topic: &Topic, pool: Pool<'_>) -> Scope {
    match pool {
        Pool::All => Scope::All,
        Pool::Language(language) if topic.language.as_deref() == Some(language) => Scope::Own,
        Pool::Language(_) => Scope::Other,
    }
}

/// Where the relevant passages stand, and how many of them are not there.
fn places_of(both: &Normalized<'_>, relevant: &[&str]) -> (Vec<usize>, usize) {
    let ids = both.ids();
    let places: Vec<usize> = (0..ids.len()).filter(|&at| relevant.contains(&ids[at])).collect();
    let missed = relevant.len() - places.len();
    (places, missed)
}

/// By the order that a run has: score, then external id, both descending.
/// `places` are where the relevant passages that were found stand in `both`.
fn average_precision(both: &Normalized<'_>, weight: f64, places: &[usize], missed: usize) -> f64 {
    let scores: Vec<f32> = both.scores(weight).collect();
    let ids = both.ids();
    let mut wanted: Vec<(f32, &str, usize)> =
        places.iter().map(|&at| (scores[at], ids[at], 1)).collect();
    let lowest = wanted.iter().map(|(score, ..)| *score).fold(f32::INFINITY, f32::min);
    for (id, &score) in ids.iter().zip(&scores) {
        if score < lowest {
            continue;
        }
        for (own, name, rank) in &mut wanted {
            let is_before = score.total_cmp(own).then_with(|| id.cmp(&*name)).is_gt();
            *rank += usize::from(is_before);
        }
    }
    AP.of_ranks(wanted.into_iter().map(|(.., rank)| rank), missed, ids.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn precision_is_that_of_the_ranking_by_score_and_id() {
        let hit = |id: &str, score| Hit { id: id.to_owned(), score };
        let words = [hit("a", 3.0), hit("b", 3.0), hit("c", 0.0)];
        let both = Normalized::new(&words, &words, Normalization::MinMax);
        // b, a, c: equal scores rank by id, descending; x is not there.
        let of = |relevant: &[&str]| {
            let (places, missed) = places_of(&both, relevant);
            average_precision(&both, 0.5, &places, missed)
        };
        assert!((of(&["b"]) - 1.0).abs() < 1e-12);
        assert!((of(&["a"]) - 0.5).abs() < 1e-12);
        assert!((of(&["b", "c", "x"]) - (1.0 + 2.0 / 3.0) / 3.0).abs() < 1e-12);
    }
}
