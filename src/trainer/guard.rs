//! Which passages of a batch count as negatives of which queries: not those that may answer them too.
//!
//! Two rows are *related* if they are of one set; if their sets share any text (see
//! [`TextKey`](super::TextKey)), in whatever language and role; or if they share a question id or passage id. A passage
//! does not count for another row's query if the rows are related, or if the passage is nearly the query's own: their
//! [`sketch`]es differ in at most [`NEAR`] of 64 bits. A hard negative does not count for any query to whose set, or to a
//! set related to it, it belongs as a text, or to whose passage it is near.
//!
//! Invariant: a query's own passage counts. Invariant: between rows the relation is symmetric, so the same mask serves
//! the loss from passages to queries.

use std::collections::{HashMap, HashSet};

use super::corpus::{Corpus, TextId};
use super::text::{mixed, sketch};

/// Sketches of unrelated texts differ in 32 bits with a standard deviation of 4: this is six of them away.
pub(super) const NEAR: u32 = 8;

/// A query with its passage, as far as the guard looks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row {
    pub(super) set: usize,
    pub(super) passage: TextId,
}

/// The mask `[rows, rows + hard]`, row-major.
pub(super) fn allowed(corpus: &Corpus, rows: &[Row], hard: &[TextId]) -> Vec<bool> {
    let keys: Vec<HashSet<u64>> = rows.iter().map(|row| keys_of(corpus, row.set)).collect();
    let mut holders: HashMap<u64, Vec<usize>> = HashMap::new();
    for (row, keys) in keys.iter().enumerate() {
        for &key in keys {
            holders.entry(key).or_default().push(row);
        }
    }
    let sketches: Vec<u64> = rows
        .iter()
        .map(|row| row.passage)
        .chain(hard.iter().copied())
        .map(|text| sketch(corpus.text_of(text)))
        .collect();
    let mut mask = Vec::with_capacity(rows.len() * sketches.len());
    for (row, own) in keys.iter().enumerate() {
        let mut related = vec![false; rows.len()];
        for holder in own.iter().flat_map(|key| &holders[key]) {
            related[*holder] = true;
        }
        let is_near = |passage: usize| (sketches[row] ^ sketches[passage]).count_ones() <= NEAR;
        mask.extend(
            (0..rows.len()).map(|other| other == row || !(related[other] || is_near(other))),
        );
        mask.extend(hard.iter().enumerate().map(|(at, &text)| {
            let holders = holders.get(&corpus.key_of(text).number());
            let answers =
                holders.is_some_and(|holders| holders.iter().any(|&holder| related[holder]));
            !(answers || is_near(rows.len() + at))
        }));
    }
    mask
}

/// What a set shares with related ones.
fn keys_of(corpus: &Corpus, set: usize) -> HashSet<u64> {
    let texts = corpus.queries(set).iter().chain(corpus.passages(set));
    let texts = texts.map(|form| corpus.key_of(form.text).number());
    let ids = (0..).zip(corpus.sets[set].ids).filter_map(|(kind, id)| Some(mixed(&[kind, id?])));
    texts.chain(ids).chain([mixed(&[2, set as u64])]).collect()
}
