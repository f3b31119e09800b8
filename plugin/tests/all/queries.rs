//! The queries in the company of Tantivy's.

use std::collections::HashMap;

use tantivy::aggregation::AggregationCollector;
use tantivy::aggregation::agg_req::Aggregations;
use tantivy::collector::{Count, TopDocs};
use tantivy::query::{
    AllQuery, BooleanQuery, BoostQuery, EmptyQuery, Occur, Query, QueryClone, QueryParser,
    TermQuery,
};
use tantivy::schema::IndexRecordOption;
use tantivy::{DocAddress, Searcher, Term, doc};
use tantivy_dense_plugin::{
    DenseIndex, DenseSearcher, DenseWriter, KnnQuery, RrfQuery, WeightedQuery, WriteError,
    search_batch,
};

use crate::support::{TestEncoder, TextFields, ids, text_index, top};

struct World {
    index: DenseIndex,
    writer: DenseWriter,
    searcher: Searcher,
    f: TextFields,
    encoder: std::sync::Arc<TestEncoder>,
}

/// 60 documents in 3 segments, one of them deleted.
fn world() -> World {
    let encoder = TestEncoder::new();
    let (index, f) = text_index(&encoder);
    let mut writer = index.writer_with_num_threads(1, 15_000_000).unwrap();
    writer.set_merge_policy(Box::new(tantivy::indexer::NoMergePolicy));
    let words = ["volcano", "teapot", "river", "harvest", "engine", "lullaby"];
    for (number, id) in (0..60u64).enumerate() {
        let (a, b) = (words[number % 6], words[number / 6 % 6]);
        let lang = ["en", "sw", "te"][number % 3];
        let body = format!("the {a} and the {b}, story {id}");
        writer.add_document(doc!(f.id => id, f.body => body, f.lang => lang)).unwrap();
        if id % 20 == 19 {
            writer.commit().unwrap();
        }
    }
    writer.delete_term(Term::from_field_u64(f.id, 7)).unwrap();
    writer.commit().unwrap();
    let searcher = index.reader().unwrap().searcher();
    assert_eq!(searcher.segment_readers().len(), 3);
    World { index, writer, searcher, f, encoder }
}

impl World {
    fn knn(&self, text: &str, k: usize) -> KnnQuery {
        KnnQuery::new(self.f.dense, self.encoder.vector(text), k)
    }

    fn bm25(&self, text: &str) -> Box<dyn Query> {
        let parser = QueryParser::for_index(self.index.tantivy(), vec![self.f.body]);
        parser.parse_query(text).unwrap()
    }

    fn lang(&self, lang: &str) -> TermQuery {
        TermQuery::new(Term::from_field_text(self.f.lang, lang), IndexRecordOption::Basic)
    }
}

#[test]
fn k_counts_documents_of_all_segments_together() {
    let w = world();
    for k in [0, 1, 10, 59, 1000] {
        assert_eq!(w.searcher.search(&w.knn("volcano", k), &Count).unwrap(), k.min(59));
    }
}

#[test]
fn a_filter_inside_keeps_k_where_a_must_beside_thins_it_out() {
    let w = world();
    let knn = w.knn("volcano", 15);
    let inside = knn.clone().filter(w.lang("sw"));
    assert_eq!(w.searcher.search(&inside, &Count).unwrap(), 15);
    let beside = BooleanQuery::new(vec![
        (Occur::Must, knn.box_clone()),
        (Occur::Must, Box::new(w.lang("sw"))),
    ]);
    assert!(w.searcher.search(&beside, &Count).unwrap() < 15);
    let all = ids(&w.searcher, &w.knn("volcano", 1000), w.f.id);
    let expected: Vec<u64> = all.into_iter().filter(|id| id % 3 == 1).take(15).collect();
    assert_eq!(ids(&w.searcher, &inside, w.f.id), expected);
    let none = knn.clone().filter(EmptyQuery);
    assert_eq!(w.searcher.search(&none, &Count).unwrap(), 0);
    let nearest_of_nearest = knn.clone().filter(w.knn("teapot", 3));
    assert_eq!(w.searcher.search(&nearest_of_nearest, &Count).unwrap(), 3);
}

#[test]
fn a_knn_query_composes_with_boolean_queries_boosts_and_aggregations() {
    let w = world();
    let knn = w.knn("volcano", 12);
    let scores: HashMap<DocAddress, f32> =
        top(&w.searcher, &knn).into_iter().map(|(score, at)| (at, score)).collect();
    let words = w.bm25("teapot");
    let bm25: HashMap<DocAddress, f32> =
        top(&w.searcher, &words).into_iter().map(|(score, at)| (at, score)).collect();
    let both = BooleanQuery::new(vec![
        (Occur::Should, words.box_clone()),
        (Occur::Should, Box::new(BoostQuery::new(knn.box_clone(), 5.0))),
    ]);
    for (score, at) in top(&w.searcher, &both) {
        let parts = bm25.get(&at).unwrap_or(&0.0) + 5.0 * scores.get(&at).unwrap_or(&0.0);
        assert!((score - parts).abs() < 1e-4, "{score} is {parts}");
    }
    let not = BooleanQuery::new(vec![
        (Occur::Must, Box::new(AllQuery) as Box<dyn Query>),
        (Occur::MustNot, knn.box_clone()),
    ]);
    assert_eq!(w.searcher.search(&not, &Count).unwrap(), 59 - 12);

    let by_lang: Aggregations =
        serde_json::from_value(serde_json::json!({"by": {"terms": {"field": "lang"}}})).unwrap();
    let collector =
        AggregationCollector::from_aggs(by_lang, tantivy::aggregation::AggContextParams::default());
    let counts = w.searcher.search(&knn, &collector).unwrap();
    let counts = serde_json::to_value(counts).unwrap();
    let buckets = counts["by"]["buckets"].as_array().unwrap();
    let total: u64 = buckets.iter().map(|b| b["doc_count"].as_u64().unwrap()).sum();
    assert_eq!(total, 12);

    let by_id = TopDocs::with_limit(3).order_by_fast_field::<u64>("id", tantivy::Order::Desc);
    assert_eq!(w.searcher.search(&knn, &by_id).unwrap().len(), 3);
}

#[test]
fn hits_of_a_batch_compose_like_the_query_that_found_them_and_with_their_searcher_alone() {
    let mut w = world();
    let (_, at) = top(&w.searcher, &w.knn("the harvest and the river, story 20", 1))[0];
    let queries = [
        w.knn("volcano", 12),
        w.knn("volcano", 12).filter(w.lang("sw")),
        KnnQuery::like(w.f.dense, at, 5),
        w.knn("river", 0),
        w.knn("river", 1000),
    ];
    let found = search_batch(&w.searcher, &queries).unwrap();
    for (query, hits) in queries.iter().zip(&found) {
        assert_eq!(hits.iter().collect::<Vec<_>>(), top(&w.searcher, query));
        let fused = |leg: &dyn Query| {
            let legs = RrfQuery::new().leg(leg.box_clone()).leg(w.bm25("teapot"));
            top(&w.searcher, &legs)
        };
        assert_eq!(fused(hits), fused(query));
    }
    assert!(search_batch(&w.searcher, &[]).unwrap().is_empty());
    let short = KnnQuery::new(w.f.dense, [1.0], 3);
    let error = search_batch(&w.searcher, &[queries[0].clone(), short]).unwrap_err();
    assert!(error.to_string().contains("does not fit field `dense`"), "{error}");

    w.writer.delete_term(Term::from_field_u64(w.f.id, 20)).unwrap();
    w.writer.commit().unwrap();
    let later = w.index.reader().unwrap().searcher();
    let error = later.search(&found[0], &Count).unwrap_err();
    assert!(error.to_string().contains("of another searcher"), "{error}");
}

#[test]
fn explain_gives_the_score_and_refuses_what_is_no_hit() {
    let w = world();
    let knn = w.knn("river", 5);
    let hits = top(&w.searcher, &knn);
    for (score, at) in &hits {
        assert_eq!(knn.explain(&w.searcher, *at).unwrap().value().to_bits(), score.to_bits());
    }
    let other = top(&w.searcher, &w.knn("river", 6))[5].1;
    assert!(knn.explain(&w.searcher, other).is_err());
}

#[test]
fn documents_like_another_leave_it_out_unless_asked() {
    let w = world();
    let (_, at) = top(&w.searcher, &w.knn("the harvest and the river, story 20", 1))[0];
    let ranking = top(&w.searcher, &KnnQuery::like(w.f.dense, at, 1000).including_itself());
    assert_eq!((ranking.len(), ranking[0].1), (59, at));
    let without = top(&w.searcher, &KnnQuery::like(w.f.dense, at, 4));
    assert_eq!(without, ranking[1..5]);
    for elsewhere in [DocAddress::new(99, 0), DocAddress::new(0, 20)] {
        let error = w.searcher.search(&KnnQuery::like(w.f.dense, elsewhere, 4), &Count);
        assert!(error.unwrap_err().to_string().contains("take an address of this searcher"));
        assert!(w.searcher.vectors(w.f.dense, elsewhere).is_err());
        assert!(w.searcher.dense_rows(w.f.dense, elsewhere).is_err());
    }
}

#[test]
fn a_query_without_a_searcher_says_what_to_do() {
    let mut w = world();
    let error = w.writer.delete_query(w.knn("volcano", 3)).unwrap_err();
    assert!(error.to_string().contains("delete the documents found by a term"), "{error}");
    assert!(matches!(error, WriteError::Tantivy(_)));
    w.writer.add_document(doc!(w.f.id => 99u64, w.f.body => "goes on")).unwrap();
    w.writer.commit().unwrap();
    let rrf = RrfQuery::new().leg(w.knn("volcano", 3));
    assert!(w.writer.delete_query(rrf).is_err());
}

#[test]
fn a_query_that_does_not_fit_its_field_is_an_error() {
    let w = world();
    let fails = |query: KnnQuery, says: &str| {
        let error = w.searcher.search(&query, &Count).unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    };
    fails(KnnQuery::new(w.f.dense, [1.0], 3), "`dense`");
    fails(KnnQuery::new(w.f.dense, [f32::INFINITY; 32], 3), "not a finite number");
    fails(KnnQuery::new(w.f.dense, [1.0], 0), "dimensions");
    fails(KnnQuery::new(w.f.body, [1.0; 32], 3), "`body` is no dense field");
}

#[test]
fn ranks_are_fused_as_their_formula_says() {
    let w = world();
    let (words, knn) = (w.bm25("teapot"), w.knn("volcano", 100));
    let rrf =
        RrfQuery::new().leg(words.box_clone()).weighted_leg(knn.clone(), 2.0).k0(7.0).window(20);
    let mut expected: HashMap<DocAddress, f64> = HashMap::new();
    for (leg, weight) in [(&words as &dyn Query, 1.0), (&knn as &dyn Query, 2.0)] {
        let window = TopDocs::with_limit(20).order_by_score();
        for (rank, (_, at)) in (1u32..).zip(w.searcher.search(leg, &window).unwrap()) {
            *expected.entry(at).or_default() += weight / (7.0 + f64::from(rank));
        }
    }
    let hits = top(&w.searcher, &rrf);
    assert_eq!(hits.len(), expected.len());
    for (score, at) in &hits {
        assert!((f64::from(*score) - expected[at]).abs() < 1e-6);
        let why = rrf.explain(&w.searcher, *at).unwrap().to_pretty_json();
        assert!(why.contains("rank"), "{why}");
    }
    assert_eq!(w.searcher.search(&RrfQuery::new(), &Count).unwrap(), 0);
    assert_eq!(w.searcher.search(&rrf.window(0), &Count).unwrap(), 0);
    for wrong in [0.0, -1.0, f32::NAN] {
        let rrf = RrfQuery::new().weighted_leg(knn.clone(), wrong);
        assert!(w.searcher.search(&rrf, &Count).is_err());
    }
}

#[test]
fn no_window_and_no_k_is_too_large() {
    let w = world();
    let rrf = RrfQuery::new().leg(w.knn("volcano", usize::MAX)).window(usize::MAX);
    assert_eq!(w.searcher.search(&rrf, &Count).unwrap(), 59);
    let encoder = TestEncoder::new();
    let empty = text_index(&encoder).0.reader().unwrap().searcher();
    assert_eq!(empty.search(&rrf, &Count).unwrap(), 0, "an index without documents");
}

#[test]
fn a_plain_reader_of_tantivys_can_search_too() {
    let w = world();
    let plain = w.index.tantivy().reader().unwrap().searcher();
    let knn = w.knn("engine", 10);
    assert_eq!(top(&plain, &knn), top(&w.searcher, &knn));
}

#[test]
fn a_weighted_sum_is_of_scores_between_the_least_and_the_greatest() {
    let w = world();
    let (words, knn) = (w.bm25("teapot"), w.knn("volcano", 20));
    let query = WeightedQuery::new().leg_from(0.0, words.box_clone(), 0.25).leg(knn.clone(), 0.75);
    let query = query.window(20);
    let parts = |query: &dyn Query, least: Option<f32>| -> HashMap<DocAddress, f32> {
        let window = TopDocs::with_limit(20).order_by_score();
        let ranking = w.searcher.search(query, &window).unwrap();
        let least = least.unwrap_or(ranking[ranking.len() - 1].0);
        let spread = ranking[0].0 - least;
        ranking.into_iter().map(|(score, at)| (at, (score - least) / spread)).collect()
    };
    let (of_words, of_meaning) = (parts(&words, Some(0.0)), parts(&knn, None));
    let fused = top(&w.searcher, &query);
    assert!(fused.len() >= 20);
    for (score, at) in fused {
        let part = |of: &HashMap<DocAddress, f32>| of.get(&at).copied().unwrap_or(0.0);
        let wanted = 0.25 * part(&of_words) + 0.75 * part(&of_meaning);
        assert!((score - wanted).abs() < 1e-5, "{score} {wanted}");
        assert_eq!(query.explain(&w.searcher, at).unwrap().value().to_bits(), score.to_bits());
    }
    assert_eq!(w.searcher.search(&WeightedQuery::new(), &Count).unwrap(), 0);
    for wrong in [0.0, -1.0, f32::NAN, f32::INFINITY] {
        let error = w.searcher.search(&WeightedQuery::new().leg(knn.clone(), wrong), &Count);
        assert!(error.unwrap_err().to_string().contains("a weight must be above 0"));
    }
    let window = WeightedQuery::new().leg(w.knn("volcano", usize::MAX), 1.0).window(usize::MAX);
    assert_eq!(w.searcher.search(&window, &Count).unwrap(), 59);
}
