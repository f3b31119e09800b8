//! Hybrid batches: each is monolingual (queries and passages in one language) with probability alpha, else cross-lingual
//! (a query and its passage in two languages, and many such pairs of languages in one batch).
//!
//! Invariant: a batch is a function of the data, the options and its number: no state has to be kept to go on. Invariant:
//! a source's sets of one language are all drawn before one is drawn again, but for those passed over because their
//! passage, or their query, is in the batch already.
//!
//! Source: arXiv 2408.10536 for the two kinds of batches and their mixing; Nussbaum et al., "Nomic embed" (2024), for
//! batches of one source.

use std::collections::{BTreeMap, HashSet};

use dense_plugin::{LanguageTag, Text};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore, SeedableRng};
use serde::{Deserialize, Serialize};

use super::corpus::{Corpus, Form, LanguageId, TextId};
use super::guard::{Row, allowed};
use super::text::{TextKey, mixed, unit_of};

/// How often a row is drawn anew because its texts are in the batch already.
const TRIES: usize = 8;

/// What batches are made of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BatchOptions {
    /// The share of monolingual batches, 0 to 1.
    pub alpha: f64,
    /// Queries a batch, at least 2.
    pub queries: usize,
    /// Hard negatives a query, where the data has them.
    pub negatives: usize,
    /// A language is drawn as often as its number of sets to this power: 0 is uniform, 1 by size.
    pub language_power: f64,
    /// Languages with fewer sets than this are not drawn.
    pub least_sets: usize,
    /// How often a source is drawn among those that have a language; 1 where nothing is said.
    pub weights: BTreeMap<String, f64>,
    /// Draw a source for each row, not for each batch. In a batch of one source, a negative is not told apart by where it
    /// comes from; where a source has fewer sets than the batch has queries, others fill it.
    pub mix_sources: bool,
    /// The share of a source's passages that are cut to the sentence nearest to their query ([`super::focused`]); 0 where
    /// nothing is said.
    pub focus: BTreeMap<String, f64>,
    /// The same seed makes the same batches.
    pub seed: u64,
}

impl Default for BatchOptions {
    /// Alpha .5, 100 queries, 1 negative, uniform languages of at least 100 sets, equal weights, one source a batch,
    /// seed 0.
    fn default() -> Self {
        Self {
            alpha: 0.5,
            queries: 100,
            negatives: 1,
            language_power: 0.0,
            least_sets: 100,
            weights: BTreeMap::new(),
            mix_sources: false,
            focus: BTreeMap::new(),
            seed: 0,
        }
    }
}

/// Which languages a batch mixes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BatchKind {
    /// All texts are in this one.
    Mono(LanguageTag),
    /// A query and its passage are in two.
    Cross,
}

/// A text of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchText<'a> {
    /// The text, without an encoder's prefix.
    pub body: &'a str,
    /// Its language.
    pub language: &'a LanguageTag,
}

impl<'a> From<BatchText<'a>> for Text<'a> {
    fn from(text: BatchText<'a>) -> Self {
        Self { body: text.body, language: Some(text.language) }
    }
}

/// One batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch<'a> {
    /// Its number, from 0.
    pub number: u64,
    /// Its languages.
    pub kind: BatchKind,
    /// What is asked.
    pub queries: Vec<BatchText<'a>>,
    /// What answers each query, in their order, and then hard negatives.
    pub passages: Vec<BatchText<'a>>,
    /// Whether a passage counts for a query, as its positive or as a negative: `[queries, passages]`, row-major. A passage
    /// that may answer a query that it does not belong to does not count.
    pub allowed: Vec<bool>,
    /// The English wording of the passage of each query, where the data has one and the passage is in another language.
    pub english: Vec<Option<BatchText<'a>>>,
    /// Whether the passage of each query is to be cut to the sentence nearest to the query.
    pub focus: Vec<bool>,
}

/// Why there are no batches.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message explains its fields")]
pub enum BatchError {
    /// A number is out of its range.
    #[error("{option} must be {wanted}, got {given}")]
    Option { option: &'static str, wanted: &'static str, given: f64 },
    /// A weight or a focus is for nothing.
    #[error("a weight or a focus is given for `{name}`, and the sources are {known}")]
    Source { name: String, known: String },
    /// There is no data for one kind of batch.
    #[error(
        "no language has {least} sets for {kind} batches; use smaller batches, a lower least number of sets, or \
         alpha {alpha}"
    )]
    Nothing { kind: &'static str, least: usize, alpha: u8 },
}

/// All batches of a corpus.
#[derive(Clone, Debug)]
pub struct Batches<'a> {
    corpus: &'a Corpus,
    options: BatchOptions,
    mono: Vec<Language>,
    cross: Vec<Language>,
    pools: Vec<Vec<u32>>,
    /// How many sets each source has for cross-lingual batches.
    in_cross: Vec<usize>,
    english: Option<LanguageId>,
    /// How often each pool was drawn from before batch `next`.
    drawn: Vec<u64>,
    next: u64,
}

/// A language that batches are drawn in.
#[derive(Clone, Debug)]
struct Language {
    id: LanguageId,
    weight: f64,
    /// One for each source that has the language.
    pools: Vec<Pool>,
}

/// The sets of one source that have a language.
#[derive(Clone, Copy, Debug)]
struct Pool {
    /// Its place among all pools.
    at: usize,
    source: usize,
    /// The source's.
    weight: f64,
}

/// One row: a set, and which of its texts.
struct Draw {
    set: usize,
    query: Form,
    passage: Form,
    focus: bool,
}

impl<'a> Batches<'a> {
    /// Sorts the sets by source and language.
    ///
    /// # Errors
    /// [`BatchError`] if an option is out of its range, or a kind of batch that alpha wants has no data.
    ///
    /// # Panics
    /// Past four billion sets.
    pub fn new(corpus: &'a Corpus, options: BatchOptions) -> Result<Self, BatchError> {
        check(corpus, &options)?;
        let mut pools = Vec::new();
        let mut side = |least: usize, has: &dyn Fn(usize, LanguageId) -> bool| {
            let mut found: BTreeMap<LanguageId, BTreeMap<usize, Vec<u32>>> = BTreeMap::new();
            for (set, facts) in corpus.sets.iter().enumerate() {
                let mut languages: Vec<LanguageId> =
                    corpus.queries(set).iter().map(|form| form.language).collect();
                languages.sort_unstable();
                languages.dedup();
                for language in languages.into_iter().filter(|&language| has(set, language)) {
                    let number = u32::try_from(set).expect("forms are numbered in 32 bits");
                    let sources = found.entry(language).or_default();
                    sources.entry(facts.source).or_default().push(number);
                }
            }
            let mut languages = Vec::new();
            for (id, sources) in found {
                let weight = |source: usize| {
                    options.weights.get(&corpus.sources()[source].name).copied().unwrap_or(1.0)
                };
                let sources: Vec<_> =
                    sources.into_iter().filter(|(source, _)| weight(*source) > 0.0).collect();
                let sets: usize = sources.iter().map(|(_, sets)| sets.len()).sum();
                if sets < least.max(1) {
                    continue;
                }
                #[expect(clippy::cast_precision_loss, reason = "a weight")]
                let by_size = (sets as f64).powf(options.language_power);
                let mut language = Language { id, weight: by_size, pools: Vec::new() };
                for (source, sets) in sources {
                    let weight = weight(source);
                    language.pools.push(Pool { at: pools.len(), source, weight });
                    pools.push(sets);
                }
                languages.push(language);
            }
            languages
        };
        let least = options.least_sets.max(options.queries);
        let mono = side(least, &|set, language| corpus.is_mono(set, language));
        let cross = side(options.least_sets, &|set, language| corpus.is_cross(set, language));
        if options.alpha > 0.0 && mono.is_empty() {
            return Err(BatchError::Nothing { kind: "monolingual", least, alpha: 0 });
        }
        if options.alpha < 1.0 && cross.is_empty() {
            let least = options.least_sets;
            return Err(BatchError::Nothing { kind: "cross-lingual", least, alpha: 1 });
        }
        let mut in_cross = vec![0; corpus.sources().len()];
        let mut seen = vec![false; corpus.sets.len()];
        for pool in cross.iter().flat_map(|language: &Language| &language.pools) {
            for &set in &pools[pool.at] {
                let seen = &mut seen[set as usize];
                in_cross[pool.source] += usize::from(!std::mem::replace(seen, true));
            }
        }
        let drawn = vec![0; pools.len()];
        let english = corpus.language_of(&"en".parse().expect("English has a tag"));
        Ok(Self { corpus, options, mono, cross, pools, in_cross, english, drawn, next: 0 })
    }

    /// The options.
    pub fn options(&self) -> &BatchOptions {
        &self.options
    }

    /// The languages that batches are drawn in: of monolingual ones, and of queries of cross-lingual ones.
    pub fn languages(&self) -> [Vec<&'a LanguageTag>; 2] {
        [&self.mono, &self.cross].map(|languages| {
            languages.iter().map(|language| self.corpus.tag_of(language.id)).collect()
        })
    }

    /// The batch of a number. Batches in order are cheap; another one costs a walk over the draws of all before it, and
    /// makes no text of them.
    pub fn at(&mut self, number: u64) -> Batch<'a> {
        if number < self.next {
            self.next = 0;
            self.drawn.fill(0);
        }
        while self.next < number {
            self.draw();
        }
        let (kind, rows, negatives) = self.draw();
        self.batch(number, kind, &rows, &negatives)
    }

    /// The next batch's rows, and hard negatives by row.
    fn draw(&mut self) -> (Option<LanguageId>, Vec<Draw>, Vec<(usize, Form)>) {
        let mut rng = ChaCha8Rng::seed_from_u64(self.options.seed);
        rng.set_stream(self.next);
        self.next += 1;
        let is_mono = unit(&mut rng) < self.options.alpha;
        let only = is_mono.then(|| weighted(&mut rng, &self.mono, |language| language.weight));
        let source = (!self.options.mix_sources).then(|| self.source(only, &mut rng));
        let mut rows: Vec<Draw> = Vec::with_capacity(self.options.queries);
        let mut seen: HashSet<TextKey> = HashSet::new();
        while rows.len() < self.options.queries {
            let mut tries = 0;
            let source = source.filter(|(_, sets)| rows.len() < *sets).map(|(source, _)| source);
            let row = loop {
                tries += 1;
                let row = self.row(only, source, &mut rng);
                let keys = [row.query, row.passage].map(|form| self.corpus.key_of(form.text));
                let is_new = keys.iter().all(|key| !seen.contains(key));
                if is_new || tries == TRIES {
                    seen.extend(keys);
                    break row;
                }
            };
            rows.push(row);
        }
        let mut negatives = Vec::new();
        for (at, row) in rows.iter().enumerate() {
            let all = self.corpus.negatives(row.set);
            // The first of a random order, by taking every one at most once.
            let mut left: Vec<Form> = all.to_vec();
            for _ in 0..self.options.negatives.min(all.len()) {
                negatives.push((at, left.swap_remove(below(&mut rng, left.len()))));
            }
        }
        for row in &mut rows {
            let source = &self.corpus.sources()[self.corpus.sets[row.set].source].name;
            row.focus = self.options.focus.get(source).is_some_and(|share| unit(&mut rng) < *share);
        }
        (only.map(|language| self.mono[language].id), rows, negatives)
    }

    /// The source that a batch is drawn from, and how many sets it has for it.
    fn source(&self, only: Option<usize>, rng: &mut ChaCha8Rng) -> (usize, usize) {
        let languages = only.map_or(&self.cross[..], |only| &self.mono[only..=only]);
        let mut sources: BTreeMap<usize, (f64, usize)> = BTreeMap::new();
        for pool in languages.iter().flat_map(|language| &language.pools) {
            let sets = match only {
                Some(_) => self.pools[pool.at].len(),
                None => self.in_cross[pool.source],
            };
            sources.insert(pool.source, (pool.weight, sets));
        }
        let sources: Vec<_> = sources.into_iter().collect();
        let (source, (_, sets)) = sources[weighted(rng, &sources, |(_, (weight, _))| *weight)];
        (source, sets)
    }

    fn row(&mut self, only: Option<usize>, source: Option<usize>, rng: &mut ChaCha8Rng) -> Draw {
        let is_in = |pool: &Pool| source.is_none_or(|source| source == pool.source);
        let language = if let Some(language) = only {
            &self.mono[language]
        } else {
            let weight = |language: &Language| {
                if language.pools.iter().any(is_in) { language.weight } else { 0.0 }
            };
            &self.cross[weighted(rng, &self.cross, weight)]
        };
        let id = language.id;
        let weight = |pool: &Pool| if is_in(pool) { pool.weight } else { 0.0 };
        let pool = language.pools[weighted(rng, &language.pools, weight)].at;
        let sets = &self.pools[pool];
        let drawn = &mut self.drawn[pool];
        let (pass, place) = (*drawn / sets.len() as u64, *drawn % sets.len() as u64);
        *drawn += 1;
        let key = mixed(&[self.options.seed, pool as u64, pass]);
        let set = sets[as_index(shuffled(place, sets.len() as u64, key))] as usize;
        let fits = |query: &Form, passage: &Form| {
            let same = query.language == passage.language;
            query.language == id && same == only.is_some() && query.text != passage.text
        };
        let passages = self.corpus.passages(set);
        let queries: Vec<Form> = (self.corpus.queries(set).iter())
            .filter(|query| passages.iter().any(|passage| fits(query, passage)))
            .copied()
            .collect();
        let query = queries[below(rng, queries.len())];
        let passages: Vec<&Form> =
            passages.iter().filter(|passage| fits(&query, passage)).collect();
        Draw { set, query, passage: *passages[below(rng, passages.len())], focus: false }
    }

    fn batch(
        &self,
        number: u64,
        only: Option<LanguageId>,
        rows: &[Draw],
        negatives: &[(usize, Form)],
    ) -> Batch<'a> {
        let corpus = self.corpus;
        let text = |form: Form| BatchText {
            body: corpus.text_of(form.text),
            language: corpus.tag_of(form.language),
        };
        let english = rows.iter().map(|row| {
            let foreign = Some(row.passage.language) != self.english;
            let forms = corpus.passages(row.set).iter();
            let mut english = forms.filter(|form| Some(form.language) == self.english);
            english.next().filter(|_| foreign).map(|form| text(*form))
        });
        let guarded: Vec<Row> =
            rows.iter().map(|row| Row { set: row.set, passage: row.passage.text }).collect();
        let hard: Vec<TextId> = negatives.iter().map(|(_, form)| form.text).collect();
        let forms =
            rows.iter().map(|row| row.passage).chain(negatives.iter().map(|(_, form)| *form));
        Batch {
            number,
            kind: only.map_or(BatchKind::Cross, |id| BatchKind::Mono(corpus.tag_of(id).clone())),
            queries: rows.iter().map(|row| text(row.query)).collect(),
            passages: forms.map(text).collect(),
            allowed: allowed(corpus, &guarded, &hard),
            english: english.collect(),
            focus: rows.iter().map(|row| row.focus).collect(),
        }
    }
}

fn check(corpus: &Corpus, options: &BatchOptions) -> Result<(), BatchError> {
    let wrong = |option, wanted, given| Err(BatchError::Option { option, wanted, given });
    if !(0.0..=1.0).contains(&options.alpha) {
        return wrong("alpha", "from 0 to 1", options.alpha);
    }
    if options.queries < 2 {
        #[expect(clippy::cast_precision_loss, reason = "0 or 1")]
        return wrong("queries a batch", "at least 2", options.queries as f64);
    }
    if !(0.0..=4.0).contains(&options.language_power) {
        return wrong("language_power", "from 0 to 4", options.language_power);
    }
    for name in options.weights.keys().chain(options.focus.keys()) {
        if !corpus.sources().iter().any(|source| source.name == *name) {
            let known: Vec<&str> = corpus.sources().iter().map(|s| s.name.as_str()).collect();
            return Err(BatchError::Source { name: name.clone(), known: known.join(", ") });
        }
    }
    if let Some(&weight) = options.weights.values().find(|weight| !(0.0..=1e6).contains(*weight)) {
        return wrong("a source's weight", "from 0 to 1000000", weight);
    }
    if let Some(&share) = options.focus.values().find(|share| !(0.0..=1.0).contains(*share)) {
        return wrong("a source's focus", "from 0 to 1", share);
    }
    Ok(())
}

/// A number from 0 to below 1.
fn unit(rng: &mut ChaCha8Rng) -> f64 {
    unit_of(rng.next_u64())
}

/// A number below `count`, which is at least 1.
fn below(rng: &mut ChaCha8Rng, count: usize) -> usize {
    let wide = u128::from(rng.next_u64()) * count as u128;
    as_index(u64::try_from(wide >> 64).expect("below a usize"))
}

fn as_index(number: u64) -> usize {
    usize::try_from(number).expect("below a length in memory")
}

/// The place of one of several, drawn by weight.
fn weighted<T>(rng: &mut ChaCha8Rng, all: &[T], weight: impl Fn(&T) -> f64) -> usize {
    let total: f64 = all.iter().map(&weight).sum();
    let mut left = unit(rng) * total;
    let mut last = 0;
    for (at, one) in all.iter().enumerate().filter(|(_, one)| weight(one) > 0.0) {
        left -= weight(one);
        last = at;
        if left < 0.0 {
            break;
        }
    }
    last
}

/// Where `place` is in an order of `count` places that looks random and depends on `key` alone.
///
/// Source: Black and Rogaway, "Ciphers with arbitrary finite domains" (2002): four Feistel rounds over the next even
/// number of bits, walked until the result is below `count`.
fn shuffled(place: u64, count: u64, key: u64) -> u64 {
    let bits = (u64::BITS - (count - 1).leading_zeros()).max(2).div_ceil(2);
    let mask = (1_u64 << bits) - 1;
    let mut at = place;
    loop {
        let (mut left, mut right) = (at >> bits, at & mask);
        for round in 0..4 {
            (left, right) = (right, left ^ (mixed(&[key, round, right]) & mask));
        }
        at = left << bits | right;
        if at < count {
            return at;
        }
    }
}

#[cfg(test)]
#[path = "batch_tests.rs"]
mod tests;
