//! The three settings at the size of XQuAD-R, on random vectors: 13,090 queries, 13,014 passages of
//! 384 dimensions, 11 languages, 143,990 judgements.

use std::num::NonZeroUsize;

use ndarray::Array2;
use tantivy_dense_eval::{Collection, Measure, Passage, Qrels, Topic, dense_settings};

const LANGUAGES: usize = 11;
const QUESTIONS: usize = 1190;
const PASSAGES: usize = 13_014;
const DIM: usize = 384;

fn main() {
    divan::main();
}

fn collection() -> Collection {
    let language = |i: usize| Some(format!("l{:02}", i % LANGUAGES));
    let passages = (0..PASSAGES)
        .map(|i| Passage { id: format!("p{i}"), language: language(i), ..Passage::default() })
        .collect();
    let mut qrels = Qrels::new();
    let mut topics = Vec::new();
    for i in 0..QUESTIONS * LANGUAGES {
        let id = format!("q{i}");
        let group = i / LANGUAGES % (PASSAGES / LANGUAGES);
        for passage in group * LANGUAGES..(group + 1) * LANGUAGES {
            qrels.insert(&id, format!("p{passage}"), 1).expect("each pair once");
        }
        topics.push(Topic { id, language: language(i), ..Topic::default() });
    }
    Collection { name: "random".into(), passages, topics, qrels }
}

/// Numbers from -1 to 1, the same in each run (Knuth's linear congruential generator).
fn vectors(rows: usize, seed: u64) -> Array2<f32> {
    let mut state = seed;
    Array2::from_shape_simple_fn((rows, DIM), || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        f32::from((state >> 48) as u16) / 32_768.0 - 1.0
    })
}

#[divan::bench(args = [1, 2], sample_count = 3, sample_size = 1)]
fn settings(bencher: divan::Bencher<'_, '_>, threads: usize) {
    let collection = collection();
    let queries = vectors(collection.topics.len(), 1);
    let passages = vectors(PASSAGES, 2);
    let measures: Vec<Measure> =
        ["AP", "nDCG@10", "R@100", "RR"].map(|m| m.parse().expect("a measure")).into();
    let threads = NonZeroUsize::new(threads).expect("at least one thread");
    bencher.bench_local(|| {
        dense_settings(queries.view(), passages.view(), &collection, &measures, threads)
    });
}
