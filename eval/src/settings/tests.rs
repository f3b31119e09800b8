//! Every way of measuring the settings against sorting whole rankings, ties included.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;

use ndarray::{Array2, ArrayView2, array};
use proptest::prelude::*;

use super::*;
use crate::collection::{Collection, Passage};
use crate::evaluation::evaluate;
use crate::qrels::Qrels;
use crate::retriever::Retriever;
use crate::run::{Hit, Run};
use crate::topics::Topic;

fn measures() -> Vec<Measure> {
    ["AP", "nDCG@3", "RR", "R@2", "AP(rel=2)", "Judged@3"].map(|m| m.parse().unwrap()).into()
}

fn threads(count: usize) -> NonZeroUsize {
    NonZeroUsize::new(count).unwrap()
}

/// A collection whose vectors are small whole numbers, so that many products tie exactly.
#[derive(Clone, Debug)]
struct Example {
    collection: Collection,
    queries: Array2<f32>,
    passages: Array2<f32>,
}

fn example() -> impl Strategy<Value = Example> {
    let language = || prop::option::weighted(0.9, prop::sample::select(vec!["am", "sw", "te"]));
    let vector = || prop::collection::vec((-2_i8..3).prop_map(f32::from), 3);
    let passages = prop::collection::vec((language(), vector()), 1..25);
    let judged = prop::collection::vec((0_usize..26, -1_i32..4), 0..8);
    let topics = prop::collection::vec((language(), vector(), judged), 1..8);
    (passages, topics).prop_map(|(passages, topics)| {
        let mut collection = Collection { name: "random".into(), ..Collection::default() };
        let owned = |language: Option<&str>| language.map(str::to_owned);
        for (i, (language, _)) in passages.iter().enumerate() {
            // Ids whose order is not that of the passages.
            let id = format!("p{}", (i * 7) % 26);
            let language = owned(*language);
            collection.passages.push(Passage { id, language, ..Passage::default() });
        }
        for (i, (language, _, judged)) in topics.iter().enumerate() {
            let id = format!("t{i}");
            for (passage, grade) in judged {
                // A second grade is refused; number 25 is in no collection.
                let _ = collection.qrels.insert(&id, format!("p{}", (passage * 7) % 26), *grade);
            }
            collection.topics.push(Topic { id, language: owned(*language), ..Topic::default() });
        }
        let matrix = |rows: Vec<&Vec<f32>>| {
            let flat: Vec<f32> = rows.iter().copied().flatten().copied().collect();
            Array2::from_shape_vec((rows.len(), 3), flat).unwrap()
        };
        Example {
            queries: matrix(topics.iter().map(|(_, vector, _)| vector).collect()),
            passages: matrix(passages.iter().map(|(_, vector)| vector).collect()),
            collection,
        }
    })
}

impl Example {
    fn hits(&self, topic: usize, pool: Pool<'_>) -> Vec<Hit> {
        let passages = self.collection.passages.iter().enumerate();
        let of_pool = passages.filter(|(_, passage)| match pool {
            Pool::All => true,
            Pool::Language(language) => passage.language.as_deref() == Some(language),
        });
        let score =
            |i: usize| (0..3).map(|d| self.queries[[topic, d]] * self.passages[[i, d]]).sum();
        of_pool.map(|(i, passage)| Hit { id: passage.id.clone(), score: score(i) }).collect()
    }

    /// The value of each topic in one pool: sort, keep the pool's judgements, evaluate.
    fn brute(&self, pool: Pool<'_>, depth: usize) -> BTreeMap<String, Vec<f64>> {
        let in_pool: BTreeSet<String> = self.hits(0, pool).into_iter().map(|hit| hit.id).collect();
        let mut qrels = Qrels::new();
        let mut run = Run::new("brute");
        for (i, topic) in self.collection.topics.iter().enumerate() {
            let judged = self.collection.qrels.of(&topic.id);
            let judged: Vec<_> =
                judged.filter(|(id, _)| pool == Pool::All || in_pool.contains(*id)).collect();
            if pool == Pool::All || judged.iter().any(|(_, grade)| *grade > 0) {
                for (id, grade) in judged {
                    qrels.insert(&topic.id, id, grade).unwrap();
                }
            }
            run.insert(&topic.id, self.best(i, pool, depth)).unwrap();
        }
        let evaluation = evaluate(&run, &qrels, &measures());
        evaluation.iter().map(|(topic, values)| (topic.to_owned(), values.to_vec())).collect()
    }

    fn best(&self, topic: usize, pool: Pool<'_>, depth: usize) -> Vec<Hit> {
        let mut hits = self.hits(topic, pool);
        hits.sort_by(Hit::ranking);
        hits.truncate(depth);
        hits
    }

    fn brute_distance(&self, topic: usize) -> Option<usize> {
        let ids: Vec<String> =
            self.best(topic, Pool::All, 99).into_iter().map(|hit| hit.id).collect();
        let judged = self.collection.qrels.of(&self.collection.topics[topic].id);
        let ranks: Vec<usize> = judged
            .filter(|(_, grade)| *grade > 0)
            .map(|(id, _)| ids.iter().position(|other| other == id))
            .collect::<Option<_>>()?;
        Some(ranks.iter().max()? - ranks.iter().min()?)
    }

    /// The share of the own language among the first ten of a ranking of `depth`.
    fn brute_own_share(&self, topic: usize, depth: usize) -> Option<f64> {
        let passages = &self.collection.passages;
        let own = self.collection.topics[topic].language.as_deref()?;
        let languages = self.collection.languages();
        let mut first = self.best(topic, Pool::All, depth);
        first.truncate(10);
        let language_of = |hit: &Hit| passages.iter().find(|p| p.id == hit.id)?.language.as_deref();
        let of_own = first.iter().filter(|hit| language_of(hit) == Some(own)).count();
        let is_told = languages.len() > 1 && languages.contains(&own) && !first.is_empty();
        is_told.then(|| real(of_own) / real(first.len()))
    }

    /// Compares settings with brute force over rankings of `depth`.
    fn check(&self, settings: &Settings, depth: usize) -> Result<(), TestCaseError> {
        let language_of = |id: &str| {
            let topic = self.collection.topics.iter().find(|topic| topic.id == id);
            topic.unwrap().language.clone()
        };
        let flat = |groups: Vec<&Evaluation>| -> BTreeMap<String, Vec<f64>> {
            let topics = groups.into_iter().flat_map(Evaluation::iter);
            topics.map(|(topic, values)| (topic.to_owned(), values.to_vec())).collect()
        };
        prop_assert_eq!(flat(settings.multi().values().collect()), self.brute(Pool::All, depth));
        let topics = self.collection.topics.iter().enumerate();
        let judged = topics.filter(|(_, topic)| self.collection.qrels.has(&topic.id));
        let shares: BTreeMap<String, f64> = judged
            .filter_map(|(i, topic)| Some((topic.id.clone(), self.brute_own_share(i, depth)?)))
            .collect();
        let ours = settings.own_language_shares().values().flatten();
        let ours: BTreeMap<String, f64> = ours.map(|(id, share)| (id.clone(), *share)).collect();
        prop_assert_eq!(ours, shares);
        for language in self.collection.languages() {
            let mut wanted = self.brute(Pool::Language(language), depth);
            // Without a language a topic has neither its own pool nor a pair.
            wanted.retain(|topic, _| language_of(topic).is_some());
            let (own, other): (BTreeMap<_, _>, BTreeMap<_, _>) = wanted
                .into_iter()
                .partition(|(topic, _)| language_of(topic).as_deref() == Some(language));
            prop_assert_eq!(flat(settings.mono().get(language).into_iter().collect()), own);
            let pairs = settings.cross().iter().filter(|((_, to), _)| to == language);
            prop_assert_eq!(flat(pairs.map(|(_, evaluation)| evaluation).collect()), other);
        }
        for ((from, to), evaluation) in settings.cross() {
            prop_assert!(from != to);
            prop_assert!(evaluation.iter().all(|(id, _)| language_of(id).as_ref() == Some(from)));
        }
        Ok(())
    }

    fn check_distances(&self, settings: &Settings) -> Result<(), TestCaseError> {
        let mut distances = BTreeMap::new();
        for (i, topic) in self.collection.topics.iter().enumerate() {
            let relevant = self.collection.qrels.of(&topic.id).filter(|(_, grade)| *grade > 0);
            let languages: BTreeSet<&str> = relevant
                .filter_map(|(id, _)| self.collection.passages.iter().find(|p| p.id == id))
                .filter_map(|passage| passage.language.as_deref())
                .collect();
            if languages.len() > 1 {
                distances.insert(topic.id.clone(), self.brute_distance(i));
            }
        }
        let distances: Option<BTreeMap<String, usize>> =
            distances.into_iter().map(|(topic, ranks)| Some((topic, ranks?))).collect();
        let ours = settings.rank_distances().map(|by| by.values().flatten());
        let ours = ours.map(|all| all.map(|(topic, ranks)| (topic.clone(), *ranks)).collect());
        prop_assert_eq!(ours, distances.filter(|all| !all.is_empty()));
        Ok(())
    }
}

proptest! {
    #[test]
    fn counting_scores_equals_sorting_rankings(example in example(), count in 1_usize..4) {
        let Example { collection, queries, passages } = &example;
        let settings =
            dense_settings(queries.view(), passages.view(), collection, &measures(), threads(count));
        let settings = settings.unwrap();
        example.check(&settings, 99)?;
        example.check_distances(&settings)?;

        let retriever =
            DenseRetriever::new("dense", queries.view(), passages.view(), collection).unwrap();
        let pooled = pooled_settings(collection, &measures(), threads(count), &retriever).unwrap();
        prop_assert_eq!(&pooled, &settings);
    }

    #[test]
    fn what_a_system_leaves_out_is_not_found(example in example(), depth in 0_usize..6) {
        let settings = ranked_settings(&example.collection, &measures(), threads(2), |topic, pool| {
            let at = example.collection.topics.iter().position(|t| t.id == topic.id).unwrap();
            let mut hits = example.best(at, pool, depth);
            hits.reverse();
            Ok(hits)
        });
        example.check(&settings.unwrap(), depth)?;
    }

    #[test]
    fn a_retriever_keeps_the_best_of_the_whole_ranking(example in example(), depth in 0_usize..30) {
        let Example { collection, queries, passages } = &example;
        let retriever =
            DenseRetriever::new("dense", queries.view(), passages.view(), collection).unwrap();
        let run = retriever.retrieve_all(&collection.topics, depth).unwrap();
        for (i, topic) in collection.topics.iter().enumerate() {
            let best = example.best(i, Pool::All, depth);
            prop_assert_eq!(run.hits(&topic.id).unwrap(), &best[..]);
        }
    }

    /// Real vectors have no whole numbers in them, and their products round: duplicates must tie still.
    #[test]
    fn equal_vectors_have_equal_scores_in_any_block(
        dim in 1_usize..80,
        passages in 1_usize..60,
        queries in 1_usize..20,
        seed in any::<u16>(),
    ) {
        let number = |i: u16, d: u16| (f32::from(i) * 31.0 + f32::from(d) * 17.0 + f32::from(seed) * 1e-3).sin();
        let short = |i: usize| u16::try_from(i).unwrap();
        let base = Array2::from_shape_fn((passages, dim), |(i, d)| number(short(i), short(d)));
        let twice = ndarray::concatenate![ndarray::Axis(0), base, base];
        let queries = Array2::from_shape_fn((queries, dim), |(i, d)| number(short(i) + 1000, short(d)));
        let mut collection = Collection::default();
        for i in 0..2 * passages {
            collection.passages.push(Passage { id: format!("p{i:03}"), ..Passage::default() });
        }
        for i in 0..queries.nrows() {
            collection.topics.push(Topic { id: format!("t{i}"), ..Topic::default() });
            collection.qrels.insert(format!("t{i}"), "p000", 1).unwrap();
        }
        let run = |queries: ArrayView2<'_, f32>, topics: &[Topic]| {
            let collection = Collection { topics: topics.to_vec(), ..collection.clone() };
            let retriever = DenseRetriever::new("r", queries, twice.view(), &collection).unwrap();
            let run = retriever.retrieve_all(topics, 2 * passages).unwrap();
            let settings =
                dense_settings(queries, twice.view(), &collection, &measures(), threads(1)).unwrap();
            (run, settings)
        };
        let (ranked, settings) = run(queries.view(), &collection.topics);
        for topic in &collection.topics {
            let hits = ranked.hits(&topic.id).unwrap();
            let score = |id: &str| hits.iter().find(|hit| hit.id == id).unwrap().score.to_bits();
            for i in 0..passages {
                prop_assert_eq!(score(&format!("p{i:03}")), score(&format!("p{:03}", i + passages)));
            }
        }
        let from_run = evaluate(&ranked, &collection.qrels, &measures());
        prop_assert_eq!(from_run.mean(), settings.multi_mean());
    }
}

fn small() -> Collection {
    let passage = |id: &str, language: &str| Passage {
        id: id.into(),
        language: Some(language.into()),
        ..Passage::default()
    };
    let topic = |id: &str, language: &str| Topic {
        id: id.into(),
        language: Some(language.into()),
        ..Topic::default()
    };
    let mut qrels = Qrels::new();
    for topic in ["t1", "t2", "t3"] {
        qrels.insert(topic, "sw1", 1).unwrap();
        qrels.insert(topic, "te1", 1).unwrap();
    }
    Collection {
        name: "small".into(),
        passages: vec![passage("sw1", "sw"), passage("sw2", "sw"), passage("te1", "te")],
        topics: vec![topic("t1", "sw"), topic("t2", "sw"), topic("t3", "te")],
        qrels,
    }
}

#[test]
fn means_weigh_languages_and_pairs_alike_not_topics() {
    let passages = array![[1.0, 0.0], [0.0, 1.0], [0.6, 0.6]];
    // t1 ranks sw1 te1 sw2; t2 and t3 rank sw2 te1 sw1.
    let queries = array![[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]];
    let ap = ["AP".parse().unwrap()];
    let settings =
        dense_settings(queries.view(), passages.view(), &small(), &ap, threads(1)).unwrap();
    let half = f64::midpoint;
    let (t1, t2) = (1.0, half(1.0 / 2.0, 2.0 / 3.0));
    // Of sw: t1 has sw1 first, t2 second. Of te: te1 is the only one.
    assert_eq!(settings.mono_mean(), Some(vec![half(half(1.0, 0.5), 1.0)]));
    // sw to te: always first. te to sw: second.
    assert_eq!(settings.cross_mean(), Some(vec![half(1.0, 0.5)]));
    assert_eq!(settings.multi_mean(), Some(vec![half(half(t1, t2), t2)]));
    assert_eq!(settings.rank_distance(), Some(1.0));
    // Of the three that there are, two are Swahili.
    assert_eq!(settings.own_language_share(), Some(half(2.0 / 3.0, 1.0 / 3.0)));
    let pools: Vec<_> = settings
        .mono_by_language()
        .iter()
        .map(|(l, row)| (l.to_owned(), row.topics, row.passages))
        .collect();
    assert_eq!(pools, [("sw".to_owned(), 2, 2), ("te".to_owned(), 1, 1)]);
    assert!(settings.multi_by_language().iter().all(|(_, row)| row.passages == 3));
}

#[test]
fn a_system_that_leaves_relevant_passages_out_has_no_rank_distance() {
    let only = |id: &'static str| {
        move |_: &Topic, pool: Pool<'_>| {
            let found = pool == Pool::All
                || id.starts_with(if let Pool::Language(l) = pool { l } else { "" });
            Ok(found.then(|| Hit { id: id.into(), score: 1.0 }).into_iter().collect())
        }
    };
    let settings = ranked_settings(&small(), &measures(), threads(1), only("sw1")).unwrap();
    assert_eq!(settings.rank_distance(), None);
    assert_eq!(settings.multi_mean().map(|mean| mean[..1].to_vec()), Some(vec![0.5]));
}

#[test]
fn what_is_no_ranking_of_the_collection_is_refused() {
    let hit = |id: &str, score: f32| Hit { id: id.into(), score };
    for (hits, message) in [
        (vec![hit("x", 1.0)], "topic `t1`: `x` was found and is no passage of the collection"),
        (vec![hit("sw1", 1.0), hit("sw1", 0.5)], "topic `t1`: `sw1` was found twice"),
        (
            vec![hit("sw1", f32::NAN)],
            "topic `t1`: the score of passage `sw1` is not a finite number",
        ),
    ] {
        let error = ranked_settings(&small(), &measures(), threads(1), |_, _| Ok(hits.clone()));
        assert_eq!(error.unwrap_err().to_string(), message);
    }
    // Every pool of its own: `te1` is in the whole, and not in Swahili.
    let error =
        ranked_settings(&small(), &measures(), threads(1), |_, _| Ok(vec![hit("te1", 1.0)]));
    assert!(matches!(error, Err(SettingsError::UnknownPassage { id, .. }) if id == "te1"));
    let failed = ranked_settings(&small(), &measures(), threads(1), |topic, _| {
        Err(RetrieveError::new(topic, "the index is gone"))
    });
    assert_eq!(failed.unwrap_err().to_string(), "topic `t1` could not be searched for");
}

#[test]
fn vectors_that_do_not_fit_the_collection_are_refused() {
    let check = |queries: Array2<f32>, passages: Array2<f32>, collection: &Collection| {
        dense_settings(queries.view(), passages.view(), collection, &measures(), threads(1))
            .unwrap_err()
            .to_string()
    };
    let zeros = |rows, dim| Array2::zeros((rows, dim));
    assert_eq!(
        check(zeros(2, 4), zeros(3, 4), &small()),
        "2 vectors for the 3 topics of the collection"
    );
    assert_eq!(
        check(zeros(3, 4), zeros(1, 4), &small()),
        "1 vectors for the 3 passages of the collection"
    );
    assert_eq!(
        check(zeros(3, 4), zeros(3, 5), &small()),
        "queries of 4 dimensions and passages of 5"
    );
    let mut passages = zeros(3, 4);
    passages[[1, 2]] = f32::NAN;
    let message = "topic `t1`: the score of passage `sw2` is not a finite number";
    assert_eq!(check(zeros(3, 4), passages, &small()), message);
    let mut twice = small();
    twice.passages[1].id = "sw1".into();
    assert_eq!(check(zeros(3, 4), zeros(3, 4), &twice), "the collection has passage `sw1` twice");
}
