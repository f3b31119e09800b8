//! Any sequence of adds, deletes, commits, rollbacks and merges, against a list in memory that is
//! searched by brute force.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use proptest::prelude::*;
use tantivy::collector::{Count, TopDocs};
use tantivy::directory::RamDirectory;
use tantivy::indexer::NoMergePolicy;
use tantivy::query::{Query, RangeQuery};
use tantivy::schema::{FAST, Field, INDEXED, STORED, Schema};
use tantivy::{DocAddress, Searcher, TantivyDocument, Term};
use tantivy_dense_plugin::{
    DenseDocument, DenseIndex, DenseOptions, DenseSchemaBuilder, DenseSearcher, KnnQuery, Metric,
    search_batch,
};

use crate::support::{dim, id_of, top};

#[derive(Clone, Debug)]
enum Op {
    Add { near: Vec<Vec<f32>>, far: Vec<Vec<f32>>, group: u64 },
    Delete { nth: usize },
    Update { nth: usize, near: Vec<Vec<f32>> },
    DeleteAll,
    Commit,
    Rollback,
    Merge,
    Reopen,
}

#[derive(Clone, Debug)]
struct Doc {
    near: Vec<Vec<f32>>,
    far: Vec<Vec<f32>>,
    group: u64,
}

/// Coarse numbers, so that equal vectors and equal scores happen.
fn vectors(dim: usize) -> impl Strategy<Value = Vec<Vec<f32>>> {
    let number = (-4i8..5).prop_map(|x| f32::from(x) / 2.0);
    prop::collection::vec(prop::collection::vec(number, dim), 0..4)
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        12 => (vectors(3), vectors(2), 0u64..10)
            .prop_map(|(near, far, group)| Op::Add { near, far, group }),
        3 => (0usize..50).prop_map(|nth| Op::Delete { nth }),
        2 => (0usize..50, vectors(3)).prop_map(|(nth, near)| Op::Update { nth, near }),
        1 => Just(Op::DeleteAll),
        4 => Just(Op::Commit),
        1 => Just(Op::Rollback),
        2 => Just(Op::Merge),
        1 => Just(Op::Reopen),
    ]
}

#[derive(Clone, Copy)]
struct Fields {
    id: Field,
    group: Field,
    near: Field,
    far: Field,
}

/// The definitions of the metrics, in `f64`.
fn score(metric: Metric, a: &[f32], b: &[f32]) -> f64 {
    let pairs = || a.iter().zip(b).map(|(a, b)| (f64::from(*a), f64::from(*b)));
    let dot: f64 = pairs().map(|(a, b)| a * b).sum();
    let norm = |v: &[f32]| v.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>().sqrt();
    match metric {
        Metric::Cosine if norm(a) * norm(b) == 0.0 => 0.0,
        Metric::Cosine => dot / (norm(a) * norm(b)),
        Metric::Dot => dot,
        Metric::L2 => 1.0 / (1.0 + pairs().map(|(a, b)| (a - b) * (a - b)).sum::<f64>()),
    }
}

struct World {
    directory: RamDirectory,
    index: DenseIndex,
    fields: Fields,
    committed: BTreeMap<u64, Doc>,
}

impl World {
    fn new() -> Self {
        let mut schema = Schema::builder();
        let id = schema.add_u64_field("id", INDEXED | STORED);
        let near = schema.add_dense_field("near", DenseOptions::new(dim(3)));
        let group = schema.add_u64_field("group", INDEXED | FAST);
        let far = schema.add_dense_field("far", DenseOptions::new(dim(2)).metric(Metric::L2));
        let directory = RamDirectory::create();
        let index = DenseIndex::builder(schema.build()).create(directory.clone()).unwrap();
        let fields = Fields { id, group, near, far };
        Self { directory, index, fields, committed: BTreeMap::new() }
    }

    fn document(&self, id: u64, doc: &Doc) -> TantivyDocument {
        let mut document = TantivyDocument::new();
        document.add_u64(self.fields.id, id);
        document.add_u64(self.fields.group, doc.group);
        for vector in &doc.near {
            document.add_dense(self.fields.near, vector);
        }
        for vector in &doc.far {
            document.add_dense(self.fields.far, vector);
        }
        document
    }

    fn run(&mut self, ops: Vec<Op>) {
        let mut docs = self.committed.clone();
        let mut next_id = 0;
        let mut writer = self.index.writer_with_num_threads(1, 15_000_000).unwrap();
        writer.set_merge_policy(Box::new(NoMergePolicy));
        for op in ops {
            let nth = |nth: usize, docs: &BTreeMap<u64, Doc>| docs.keys().nth(nth).copied();
            match op {
                Op::Add { near, far, group } => {
                    let doc = Doc { near, far, group };
                    writer.add_document(self.document(next_id, &doc)).unwrap();
                    docs.insert(next_id, doc);
                    next_id += 1;
                }
                Op::Delete { nth: n } => {
                    if let Some(id) = nth(n, &docs) {
                        writer.delete_term(Term::from_field_u64(self.fields.id, id)).unwrap();
                        docs.remove(&id);
                    }
                }
                Op::Update { nth: n, near } => {
                    if let Some(id) = nth(n, &docs) {
                        docs.get_mut(&id).unwrap().near = near;
                        writer.delete_term(Term::from_field_u64(self.fields.id, id)).unwrap();
                        writer.add_document(self.document(id, &docs[&id])).unwrap();
                    }
                }
                Op::DeleteAll => {
                    writer.delete_all_documents().unwrap();
                    docs.clear();
                }
                Op::Commit => {
                    writer.commit().unwrap();
                    self.committed.clone_from(&docs);
                }
                Op::Rollback => {
                    writer.rollback().unwrap();
                    writer.set_merge_policy(Box::new(NoMergePolicy));
                    docs.clone_from(&self.committed);
                }
                Op::Merge => {
                    let ids = self.index.tantivy().searchable_segment_ids().unwrap();
                    if !ids.is_empty() {
                        writer.merge(&ids).wait().unwrap();
                    }
                }
                Op::Reopen => {
                    drop(writer);
                    self.index = DenseIndex::open(self.directory.clone()).unwrap();
                    docs.clone_from(&self.committed);
                    writer = self.index.writer_with_num_threads(1, 15_000_000).unwrap();
                    writer.set_merge_policy(Box::new(NoMergePolicy));
                }
            }
        }
    }

    /// Checks one search against brute force.
    fn check(&self, searcher: &Searcher, query: &[f32], k: usize, groups: u64, least: Option<f32>) {
        let near = query.len() == 3;
        let (field, metric) =
            if near { (self.fields.near, Metric::Cosine) } else { (self.fields.far, Metric::L2) };
        let mut expected: BTreeMap<u64, f64> = BTreeMap::new();
        for (id, doc) in self.committed.iter().filter(|(_, doc)| doc.group < groups) {
            let rows = if near { &doc.near } else { &doc.far };
            let scores = rows.iter().map(|row| score(metric, query, row));
            if let Some(best) = scores.max_by(f64::total_cmp) {
                expected.insert(*id, best);
            }
        }
        let mut best: Vec<f64> = expected.values().copied().collect();
        best.sort_by(|a, b| b.total_cmp(a));
        best.truncate(k);
        let mut knn = KnnQuery::new(field, query, k);
        if groups < 10 {
            knn = knn.filter(RangeQuery::new(
                std::ops::Bound::Unbounded,
                std::ops::Bound::Excluded(Term::from_field_u64(self.fields.group, groups)),
            ));
        }
        if let Some(least) = least {
            knn = knn.threshold(least);
            best.retain(|score| *score >= f64::from(least));
        }
        let hits = top(searcher, &knn);
        let other: Vec<f32> = query.iter().map(|x| 1.0 - x).collect();
        let queries = [knn.clone(), knn.with_vector(other), knn.clone(), knn.clone().exact()];
        let alone = queries.each_ref().map(|query| top(searcher, query));
        let together = search_batch(searcher, &queries).unwrap();
        for (hits, alone) in together.iter().zip(&alone) {
            assert_eq!(&hits.iter().collect::<Vec<_>>(), alone, "together as one by one");
            assert_eq!(&top(searcher, hits), alone, "and as a query");
        }
        let close = |a: f64, b: f64| (a - b).abs() < 1e-5;
        assert_eq!(hits.len(), best.len(), "min(k, passing documents)");
        assert_eq!(knn.count(searcher).unwrap(), best.len());
        let mut seen = HashSet::new();
        for ((score, at), best) in hits.iter().zip(&best) {
            let id = id_of(searcher, *at, self.fields.id);
            assert!(seen.insert(id), "document {id} twice");
            let of_doc = expected.get(&id).expect("neither deleted nor filtered out");
            assert!(close(f64::from(*score), *of_doc), "document {id}: {score} for {of_doc}");
            assert!(close(f64::from(*score), *best), "rank by rank: {score} for {best}");
        }
        let ordered = hits
            .windows(2)
            .all(|pair| pair[0].0 > pair[1].0 || (pair[0].0 >= pair[1].0 && pair[0].1 < pair[1].1));
        assert!(ordered, "best first, equal ones by address: {hits:?}");
    }

    /// Of equal documents, those with the lowest addresses are the ones found.
    fn check_ties(&self, searcher: &Searcher, query: &[f32]) {
        let all = top(searcher, &KnnQuery::new(self.fields.near, query, 1000));
        for k in 0..all.len() {
            assert_eq!(top(searcher, &KnnQuery::new(self.fields.near, query, k)), all[..k]);
        }
    }

    fn check_rows(&self, searcher: &Searcher) {
        let mut found = BTreeSet::new();
        for (ord, reader) in (0u32..).zip(searcher.segment_readers()) {
            for doc in reader.doc_ids_alive() {
                let at = DocAddress::new(ord, doc);
                let id = id_of(searcher, at, self.fields.id);
                let rows = |field| -> Vec<Vec<f32>> {
                    let vectors = searcher.vectors(field, at).unwrap();
                    vectors.iter().map(<[f32]>::to_vec).collect()
                };
                assert_eq!(rows(self.fields.near), self.committed[&id].near, "bit by bit");
                assert_eq!(rows(self.fields.far), self.committed[&id].far);
                found.insert(id);
            }
        }
        assert_eq!(found, self.committed.keys().copied().collect());
        searcher.verify_vectors().unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn every_search_equals_brute_force(
        ops in prop::collection::vec(op(), 0..60),
        searches in prop::collection::vec(
            (
                prop_oneof![
                    prop::collection::vec(-2f32..2.0, 3),
                    prop::collection::vec(-2f32..2.0, 2),
                ],
                prop_oneof![0usize..4, Just(10), Just(1000)],
                prop_oneof![Just(10u64), 0u64..10],
                prop::option::of(-0.5f32..1.0),
            ),
            8,
        ),
        tied in prop::collection::vec((-1i8..2).prop_map(f32::from), 3),
    ) {
        let mut world = World::new();
        world.run(ops);
        let reader = world.index.manual_reader().unwrap();
        let searcher = reader.searcher();
        prop_assert_eq!(searcher.num_docs(), world.committed.len() as u64);
        world.check_rows(&searcher);
        world.check_ties(&searcher, &tied);
        for (query, k, groups, least) in searches {
            world.check(&searcher, &query, k, groups, least);
        }
    }
}

#[test]
fn a_search_means_the_same_whatever_the_number_of_segments_and_threads() {
    let mut world = World::new();
    let add = |i: i8| Op::Add {
        near: vec![vec![f32::from(i), 1.0, 2.0], vec![-1.0, f32::from(i % 7), 0.5]],
        far: vec![],
        group: u64::from(i.unsigned_abs() % 10),
    };
    let ops =
        (1..100).flat_map(|i| if i % 9 == 0 { vec![add(i), Op::Commit] } else { vec![add(i)] });
    world.run(ops.collect());
    world.index.tantivy_mut().set_multithread_executor(2).unwrap();
    let query = KnnQuery::new(world.fields.near, [0.3, 0.2, 0.1], 20);
    let reader = world.index.manual_reader().unwrap();
    let many = reader.searcher();
    assert_eq!(many.segment_readers().len(), 11);
    let scores = |searcher: &Searcher| -> Vec<u32> {
        let collector = TopDocs::with_limit(50).order_by_score();
        let hits = searcher.search(&query, &collector).unwrap();
        hits.into_iter().map(|(score, _)| score.to_bits()).collect()
    };
    let before = scores(&many);
    assert_eq!(before.len(), 20);
    let mut writer = world.index.writer_with_num_threads::<TantivyDocument>(1, 15_000_000).unwrap();
    writer.merge(&world.index.tantivy().searchable_segment_ids().unwrap()).wait().unwrap();
    reader.reload().unwrap();
    assert_eq!(reader.searcher().segment_readers().len(), 1);
    assert_eq!(scores(&reader.searcher()), before);
    assert_eq!(many.search(&query, &Count).unwrap(), 20, "the older searcher goes on");
}
