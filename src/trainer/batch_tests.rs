use super::*;
use crate::trainer::corpus::NewSet;
use crate::trainer::corpus::tests::{set, wording};
use crate::trainer::guard::NEAR;
use crate::trainer::text::{normalized, sketch};
use proptest::prelude::*;
use std::sync::Arc;

/// Questions in each of `languages`, with a passage of their own in the same ones.
fn parallel(source: &str, sets: usize, languages: &[&str], corpus: &mut Corpus) {
    let number = corpus.source(source, None);
    for at in 0..sets {
        let texts = |what: &str| -> Vec<(String, String)> {
            let text = |l: &&str| {
                ((*l).to_owned(), format!("{what} {source} {at} {l} {:x}", mixed(&[at as u64])))
            };
            languages.iter().map(text).collect()
        };
        let (queries, passages) = (texts("why"), texts("because"));
        let all = |texts: &[(String, String)]| texts.iter().map(|(l, t)| wording(l, t)).collect();
        corpus.add(
            number,
            &NewSet { queries: all(&queries), passages: all(&passages), ..set("d", &[], &[]) },
        );
    }
}

fn options(alpha: f64, queries: usize, seed: u64) -> BatchOptions {
    BatchOptions { alpha, queries, seed, least_sets: 1, ..BatchOptions::default() }
}

#[test]
fn a_pass_draws_every_set_once_before_one_is_drawn_again() {
    let mut corpus = Corpus::new();
    parallel("s", 24, &["sw"], &mut corpus);
    let mut batches = Batches::new(&corpus, options(1.0, 8, 3)).unwrap();
    for pass in 0..5 {
        let mut drawn: Vec<&str> = (0..3)
            .flat_map(|batch| batches.at(pass * 3 + batch).queries)
            .map(|text| text.body)
            .collect();
        drawn.sort_unstable();
        drawn.dedup();
        assert_eq!(drawn.len(), 24, "pass {pass}");
    }
}

#[test]
fn shares_of_kinds_and_languages_and_sources_are_those_asked_for() {
    let mut corpus = Corpus::new();
    parallel("large", 400, &["de", "en", "sw"], &mut corpus);
    parallel("small", 40, &["sw", "te"], &mut corpus);
    let weights = BTreeMap::from([("small".to_owned(), 3.0)]);
    let options = BatchOptions { weights, mix_sources: true, ..options(0.25, 10, 1) };
    let mut batches = Batches::new(&corpus, options).unwrap();
    let mut mono: BTreeMap<String, usize> = BTreeMap::new();
    let mut from_small = (0, 0);
    let mut pairs: BTreeMap<(String, String), usize> = BTreeMap::new();
    for number in 0..4000 {
        let batch = batches.at(number);
        match &batch.kind {
            BatchKind::Mono(language) => {
                *mono.entry(language.to_string()).or_default() += 1;
                assert!(
                    batch.queries.iter().chain(&batch.passages).all(|t| t.language == language)
                );
                if language.as_str() == "sw" {
                    let small = batch.queries.iter().filter(|text| text.body.contains("small"));
                    from_small = (from_small.0 + small.count(), from_small.1 + batch.queries.len());
                }
            }
            BatchKind::Cross => {
                for (query, passage) in batch.queries.iter().zip(&batch.passages) {
                    assert_ne!(query.language, passage.language);
                    let pair = (query.language.to_string(), passage.language.to_string());
                    *pairs.entry(pair).or_default() += 1;
                }
            }
        }
    }
    // Four standard deviations of a count of 4,000 draws of .25 are 110; of 1,000 draws of .25, 55.
    let total: usize = mono.values().sum();
    assert!(total.abs_diff(1000) < 110, "{mono:?}");
    assert_eq!(mono.len(), 4);
    assert!(mono.values().all(|count| count.abs_diff(total / 4) < 60), "{mono:?}");
    assert!((from_small.0 * 100 / from_small.1).abs_diff(75) < 5, "{from_small:?}");
    let queries = |language: &str| -> usize {
        pairs.iter().filter(|((from, _), _)| from == language).map(|(_, count)| count).sum()
    };
    for language in ["de", "en", "sw", "te"] {
        assert!(queries(language).abs_diff(7_500) < 600, "{pairs:?}");
    }
    assert_eq!(pairs.len(), 8, "six among three languages, and sw-te both ways: {pairs:?}");
}

#[test]
fn a_batch_is_of_one_source_drawn_by_weight_and_others_fill_it_where_that_has_too_little() {
    let mut corpus = Corpus::new();
    parallel("large", 400, &["de", "en", "sw"], &mut corpus);
    parallel("small", 40, &["sw", "te"], &mut corpus);
    parallel("tiny", 3, &["sw", "te", "yo"], &mut corpus);
    let weights = [("small", 3.0), ("tiny", 0.5)].map(|(name, weight)| (name.to_owned(), weight));
    let options = BatchOptions { weights: weights.into(), ..options(0.5, 8, 1) };
    let mut batches = Batches::new(&corpus, options).unwrap();
    // Of all cross-lingual batches, and of monolingual ones in a language that all sources have.
    let mut counts: BTreeMap<(bool, Vec<String>), usize> = BTreeMap::new();
    for number in 0..2000 {
        let batch = batches.at(number);
        let is_mono = batch.kind != BatchKind::Cross;
        if is_mono && batch.queries[0].language.as_str() != "sw" {
            continue;
        }
        let source = |text: &BatchText<'_>| text.body.split(' ').nth(1).unwrap().to_owned();
        let mut sources: Vec<String> = batch.queries.iter().map(source).collect();
        sources.sort_unstable();
        sources.dedup();
        *counts.entry((is_mono, sources)).or_default() += 1;
    }
    for is_mono in [false, true] {
        let all: usize =
            counts.iter().filter(|((mono, _), _)| *mono == is_mono).map(|(_, n)| n).sum();
        let of = |names: &[&str]| {
            let key = (is_mono, names.iter().map(|name| (*name).to_owned()).collect());
            counts.get(&key).copied().unwrap_or(0)
        };
        // Four standard deviations are 90 of 1,000, and 45 of 250.
        let most = if is_mono { all / 5 } else { all / 11 };
        assert!(of(&["large"]).abs_diff(all * 2 / 9) < most, "{counts:?}");
        assert!(of(&["small"]).abs_diff(all * 6 / 9) < most, "{counts:?}");
        assert!(all - of(&["large"]) - of(&["small"]) < all / 4, "{counts:?}");
        assert!(of(&["tiny"]) < all / 50, "{counts:?}");
    }
}

#[test]
fn with_a_language_power_languages_are_drawn_by_their_size() {
    let mut corpus = Corpus::new();
    parallel("a", 90, &["de"], &mut corpus);
    parallel("b", 10, &["sw"], &mut corpus);
    let options = BatchOptions { language_power: 1.0, ..options(1.0, 5, 0) };
    let mut batches = Batches::new(&corpus, options).unwrap();
    let kinds = (0..1000).map(|number| batches.at(number).kind);
    let german = kinds.filter(|kind| *kind == BatchKind::Mono("de".parse().unwrap())).count();
    assert!(german.abs_diff(900) < 40, "{german}");
}

#[test]
fn batches_that_cannot_be_made_are_refused() {
    let mut corpus = Corpus::new();
    parallel("s", 20, &["sw"], &mut corpus);
    for wrong in [
        options(-0.1, 4, 0),
        options(f64::NAN, 4, 0),
        options(1.0, 1, 0),
        options(1.0, 21, 0),
        options(0.5, 4, 0),
        BatchOptions { weights: BTreeMap::from([("x".to_owned(), 1.0)]), ..options(1.0, 4, 0) },
        BatchOptions { weights: BTreeMap::from([("s".to_owned(), -1.0)]), ..options(1.0, 4, 0) },
        BatchOptions { language_power: f64::INFINITY, ..options(1.0, 4, 0) },
    ] {
        assert!(Batches::new(&corpus, wrong.clone()).is_err(), "{wrong:?}");
    }
    assert!(Batches::new(&corpus, options(1.0, 20, 0)).is_ok());
}

#[test]
fn english_wordings_come_with_foreign_passages() {
    let mut corpus = Corpus::new();
    parallel("s", 10, &["en", "sw"], &mut corpus);
    let mut batches = Batches::new(&corpus, options(0.0, 6, 0)).unwrap();
    let batch = batches.at(0);
    for (passage, english) in batch.passages.iter().zip(&batch.english) {
        assert_eq!(english.is_some(), passage.language.as_str() == "sw");
        assert!(english.is_none_or(
            |english| english.body.starts_with("because s ") && english.body.contains(" en ")
        ));
    }
}

/// Query, positive, question id, passage id, hard negatives.
type AnySet = (u8, u8, Option<u8>, Option<u8>, Vec<u8>);

/// A few texts, so that sets share them.
fn any_sets() -> impl Strategy<Value = Vec<AnySet>> {
    let id = || prop::option::weighted(0.2, 0..3_u8);
    prop::collection::vec(
        (0..12_u8, 0..20_u8, id(), id(), prop::collection::vec(0..20_u8, 0..3)),
        4..16,
    )
}

/// Texts of which some are nearly others.
fn passage(of: u8) -> String {
    let words: Vec<String> =
        (0..40).map(|i| format!("w{:x}", mixed(&[u64::from(of / 2), i]) % 1000)).collect();
    format!("{}{}", words.join(" "), if of.is_multiple_of(2) { "" } else { " x" })
}

proptest! {
    #[test]
    fn the_guard_is_what_comparing_everything_gives(sets in any_sets(), which in 0..2_usize) {
        let mut corpus = Corpus::new();
        let source = corpus.source("s", None);
        for (query, positive, question, id, negatives) in &sets {
            let other = format!("ni {positive}");
            corpus.add(source, &NewSet {
                queries: Arc::new([wording("en", &format!("Query {query}")), wording("sw", &format!("swali {query}"))]),
                passages: Arc::new([wording("en", &passage(*positive)), wording("sw", &other)]),
                negatives: negatives.iter().map(|n| wording("en", &passage(*n))).collect(),
                question: question.map(|id| id.to_string()),
                passage: id.map(|id| id.to_string()),
                document: String::new(),
            });
        }
        let rows: Vec<usize> = (0..corpus.len()).collect();
        let guarded: Vec<Row> =
            rows.iter().map(|&set| Row { set, passage: corpus.passages(set)[which].text }).collect();
        let hard: Vec<TextId> = rows.iter().flat_map(|&set| corpus.negatives(set)).map(|form| form.text).collect();
        let mask = allowed(&corpus, &guarded, &hard);

        let texts = |set: usize| -> Vec<String> {
            let forms = corpus.queries(set).iter().chain(corpus.passages(set));
            forms.map(|form| normalized(corpus.text_of(form.text))).collect()
        };
        let related = |a: usize, b: usize| {
            let same = |x: Option<u8>, y: Option<u8>| x.is_some() && x == y;
            a == b || texts(a).iter().any(|text| texts(b).contains(text))
                || same(sets[a].2, sets[b].2) || same(sets[a].3, sets[b].3)
        };
        let near = |a: TextId, b: TextId| {
            (sketch(corpus.text_of(a)) ^ sketch(corpus.text_of(b))).count_ones() <= NEAR
        };
        let columns = rows.len() + hard.len();
        for &row in &rows {
            for column in 0..columns {
                let wanted = if column < rows.len() {
                    column == row
                        || !(related(row, column) || near(guarded[row].passage, guarded[column].passage))
                } else {
                    let text = hard[column - rows.len()];
                    let written = normalized(corpus.text_of(text));
                    let answers = rows.iter().any(|&other| related(row, other) && texts(other).contains(&written));
                    !(answers || near(guarded[row].passage, text))
                };
                prop_assert_eq!(mask[row * columns + column], wanted, "row {}, column {}", row, column);
            }
        }
    }

    #[test]
    fn a_batch_is_a_function_of_seed_and_number(seed in any::<u64>(), numbers in prop::collection::vec(0..20_u64, 1..6)) {
        let mut corpus = Corpus::new();
        parallel("a", 30, &["de", "en", "sw"], &mut corpus);
        parallel("b", 9, &["sw", "en"], &mut corpus);
        let new = || Batches::new(&corpus, options(0.5, 6, seed)).unwrap();
        let mut in_order = new();
        let all: Vec<Batch<'_>> = (0..20).map(|number| in_order.at(number)).collect();
        let mut any = new();
        for number in numbers {
            prop_assert_eq!(&any.at(number), &all[usize::try_from(number).unwrap()]);
        }
        let mut other = Batches::new(&corpus, options(0.5, 6, seed.wrapping_add(1))).unwrap();
        prop_assert!((0..20).any(|number| other.at(number) != all[usize::try_from(number).unwrap()]));
    }

    #[test]
    fn a_shuffled_order_holds_every_place_once(count in 1..200_u64, key in any::<u64>()) {
        let mut places: Vec<u64> = (0..count).map(|place| shuffled(place, count, key)).collect();
        places.sort_unstable();
        prop_assert_eq!(places, (0..count).collect::<Vec<_>>());
    }
}
