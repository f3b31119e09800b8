//! BM25 in memory, with any k1 and b: Tantivy's own are fixed when it is compiled.
//!
//! Invariant: with k1 = 1.2, b = 0.75 and [`Lengths::AsTantivy`] a score is Tantivy's, but for the rounding
//! of its 32-bit sums.

use std::collections::HashMap;

use tantivy::fieldnorm::FieldNormReader;

/// How much repetition counts (`k1`), and how much a long passage is held against it (`b`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Parameters {
    /// 0: a term counts once, however often it occurs. More: repetition counts more.
    pub k1: f64,
    /// 0: length does not matter. 1: it matters in full.
    pub b: f64,
}

impl Parameters {
    /// Those of Tantivy, which an index is searched with.
    pub const TANTIVY: Self = Self { k1: 1.2, b: 0.75 };
}

/// How many terms a passage is said to have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lengths {
    /// As many as it has.
    Exact,
    /// What Tantivy keeps in one byte: exact up to 40, above that rounded down by up to an eighth.
    AsTantivy,
}

/// The terms of passages, to be searched again and again.
///
/// The score of a passage is the sum, over the terms of the query as often as it has them, of
/// `idf * tf * (k1 + 1) / (tf + k1 * (1 - b + b * length / mean length))` with
/// `idf = ln(1 + (N - n + 0.5) / (n + 0.5))`.
///
/// # Source
/// Robertson et al., "Okapi at TREC-3" (1994), with Lucene's idf.
///
/// ```
/// use tantivy_dense::bm25::{Lengths, Parameters, TermIndex};
///
/// let terms = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
/// let passages = ["the tide comes in", "the tide of the tide", "a storm"].map(terms);
/// let index = TermIndex::new(passages, Lengths::Exact);
/// let scores = index.scores(&index.weights(Parameters::TANTIVY), &terms("tide"));
/// assert!(scores[1] > scores[0] && scores[0] > 0.0 && scores[2] == 0.0);
/// ```
#[derive(Clone, Debug)]
pub struct TermIndex {
    terms: HashMap<String, usize>,
    /// Where the postings of each term begin; one more at the end.
    starts: Vec<usize>,
    /// The passage of each posting.
    passages: Vec<u32>,
    /// How often the term is in that passage.
    counts: Vec<f64>,
    lengths: Vec<f64>,
    mean_length: f64,
}

/// What each posting adds to a score.
#[derive(Clone, Debug)]
pub struct Weights(Vec<f64>);

impl TermIndex {
    /// Takes the terms of each passage.
    pub fn new(passages: impl IntoIterator<Item = Vec<String>>, lengths: Lengths) -> Self {
        let mut terms = HashMap::new();
        let mut postings: Vec<Vec<(u32, f64)>> = Vec::new();
        let mut counted: Vec<usize> = Vec::new();
        for (passage, of_passage) in (0_u32..).zip(passages) {
            counted.push(of_passage.len());
            for term in of_passage {
                let next = terms.len();
                let term = *terms.entry(term).or_insert(next);
                if term == next {
                    postings.push(Vec::new());
                }
                match postings[term].last_mut() {
                    Some((last, count)) if *last == passage => *count += 1.0,
                    _ => postings[term].push((passage, 1.0)),
                }
            }
        }
        let total: f64 = counted.iter().map(|&length| real(length)).sum();
        let mut starts = vec![0];
        starts.extend(postings.iter().scan(0, |end, postings| {
            *end += postings.len();
            Some(*end)
        }));
        let (passages, counts) = postings.into_iter().flatten().unzip();
        Self {
            terms,
            starts,
            passages,
            counts,
            mean_length: total / real(counted.len()).max(1.0),
            lengths: counted.into_iter().map(|length| lengths.of(length)).collect(),
        }
    }

    /// How many passages there are.
    pub fn len(&self) -> usize {
        self.lengths.len()
    }

    /// Whether there is no passage.
    pub fn is_empty(&self) -> bool {
        self.lengths.is_empty()
    }

    /// What each posting adds to a score, worked out once for all queries.
    pub fn weights(&self, Parameters { k1, b }: Parameters) -> Weights {
        let passages = real(self.len());
        let mut weights = Vec::with_capacity(self.passages.len());
        for ends in self.starts.windows(2) {
            let found = real(ends[1] - ends[0]);
            let idf = (1.0 + (passages - found + 0.5) / (found + 0.5)).ln();
            for at in ends[0]..ends[1] {
                let (count, length) = (self.counts[at], self.lengths[self.passages[at] as usize]);
                let norm = k1 * (1.0 - b + b * length / self.mean_length);
                weights.push(idf * count * (k1 + 1.0) / (count + norm));
            }
        }
        Weights(weights)
    }

    /// The score of each passage; 0 for those that have no term of the query.
    ///
    /// # Shapes
    /// The result is `[passages]`.
    ///
    /// # Panics
    /// If the weights are those of another index.
    pub fn scores(&self, weights: &Weights, query: &[String]) -> Vec<f64> {
        let mut scores = vec![0.0; self.len()];
        self.add_scores(weights, &self.known(query), &mut scores);
        scores
    }

    /// The terms of a query that a passage has, in the order of the query.
    pub(super) fn known(&self, query: &[String]) -> Vec<usize> {
        query.iter().filter_map(|term| self.terms.get(term).copied()).collect()
    }

    pub(super) fn add_scores(
        &self,
        Weights(weights): &Weights,
        known: &[usize],
        scores: &mut [f64],
    ) {
        for &term in known {
            let of_term = self.starts[term]..self.starts[term + 1];
            for (&passage, weight) in self.passages[of_term.clone()].iter().zip(&weights[of_term]) {
                scores[passage as usize] += weight;
            }
        }
    }
}

impl Lengths {
    fn of(self, terms: usize) -> f64 {
        match self {
            Self::Exact => real(terms),
            Self::AsTantivy => {
                let terms = u32::try_from(terms).unwrap_or(u32::MAX);
                FieldNormReader::id_to_fieldnorm(FieldNormReader::fieldnorm_to_id(terms)).into()
            }
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "no pool has 2^53 terms")]
fn real(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use dense_indexer::{Analysis, Analyzers};
    use dense_plugin::LanguageTag;
    use proptest::prelude::*;
    use tantivy::collector::TopDocs;
    use tantivy::schema::{IndexRecordOption, Schema, TextFieldIndexing, TextOptions};
    use tantivy::{Index, TantivyDocument};

    fn terms(text: &str) -> Vec<String> {
        let analyzers = Analyzers::only(Analysis::WORD);
        let tokens = analyzers.analyze(&LanguageTag::undetermined(), text).tokens;
        tokens.into_iter().map(|token| token.text).collect()
    }

    fn tantivys_scores(passages: &[String], query: &str) -> Vec<f64> {
        let mut schema = Schema::builder();
        let indexing = TextFieldIndexing::default().set_index_option(IndexRecordOption::WithFreqs);
        let body =
            schema.add_text_field("body", TextOptions::default().set_indexing_options(indexing));
        let index = Index::create_in_ram(schema.build());
        let mut writer = index.writer_with_num_threads(1, 15_000_000).unwrap();
        let (analyzers, und) = (Analyzers::only(Analysis::WORD), LanguageTag::undetermined());
        for passage in passages {
            let mut document = TantivyDocument::new();
            document.add_pre_tokenized_text(body, analyzers.analyze(&und, passage));
            writer.add_document(document).unwrap();
        }
        writer.commit().unwrap();
        let query = analyzers.query(body, &und, query);
        let all = TopDocs::with_limit(passages.len().max(1)).order_by_score();
        let mut scores = vec![0.0; passages.len()];
        for (score, at) in index.reader().unwrap().searcher().search(&*query, &all).unwrap() {
            scores[at.doc_id as usize] = f64::from(score);
        }
        scores
    }

    #[test]
    fn a_score_is_the_formula_s() {
        let index = TermIndex::new(["a b", "a a a c", "b"].map(terms), Lengths::Exact);
        let scores = index.scores(&index.weights(Parameters { k1: 2.0, b: 0.5 }), &terms("a"));
        let idf = (1.0 + (3.0 - 2.0 + 0.5) / (2.0 + 0.5_f64)).ln();
        let mean = 7.0 / 3.0;
        let of = |tf: f64, length: f64| idf * tf * 3.0 / (tf + 2.0 * (0.5 + 0.5 * length / mean));
        for (ours, wanted) in scores.iter().zip([of(1.0, 2.0), of(3.0, 4.0), 0.0]) {
            assert!((ours - wanted).abs() < 1e-12, "{scores:?}");
        }
    }

    #[test]
    fn lengths_are_rounded_as_tantivy_rounds_them() {
        for (terms, kept) in [(0, 0.0), (40, 40.0), (41, 40.0), (43, 42.0), (1_000, 984.0)] {
            assert!((Lengths::AsTantivy.of(terms) - kept).abs() < 1e-12, "{terms}");
            assert!((Lengths::Exact.of(terms) - real(terms)).abs() < 1e-12);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]
        #[test]
        fn scores_are_tantivy_s(
            passages in proptest::collection::vec("([a-f]{1,2} ){0,60}", 1..12),
            query in "([a-f]{1,2} ){0,6}",
        ) {
            let index = TermIndex::new(passages.iter().map(|text| terms(text)), Lengths::AsTantivy);
            let ours = index.scores(&index.weights(Parameters::TANTIVY), &terms(&query));
            for (ours, tantivys) in ours.iter().zip(tantivys_scores(&passages, &query)) {
                prop_assert!((ours - tantivys).abs() < 1e-4, "{} {}", ours, tantivys);
            }
        }
    }
}
