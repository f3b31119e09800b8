//! What an index finds, against all rows compared: by default, on random data with deletes and several
//! rows a document, whatever share of the documents passes.

use std::collections::HashSet;
use std::ops::Bound;

use tantivy::indexer::NoMergePolicy;
use tantivy::query::RangeQuery;
use tantivy::schema::{FAST, Field, INDEXED, STORED, Schema};
use tantivy::{Searcher, TantivyDocument, Term};
use tantivy_dense_plugin::{
    AnnRecipe, AnnStatus, DenseDocument, DenseIndex, DenseOptions, DenseReader, DenseSchemaBuilder,
    DenseSearcher, DenseWriter, Element, KnnQuery, Metric, search_batch,
};

use crate::support::{dim, top};

/// Enough rows that the default recipe builds a graph.
const DOCUMENTS: u32 = 12_000;
const DIM: usize = 384;
const QUERIES: usize = 200;

/// Xorshift (Marsaglia, 2003): the same numbers each time.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// About normal: a sum of uniform numbers.
    fn normal(&mut self) -> f32 {
        let uniform = |x: u64| (f32::from(u16::try_from(x).unwrap()) - 1000.0) / 1000.0;
        (0..4).map(|_| uniform(self.below(2001))).sum()
    }
}

/// Vectors as texts have them: a few directions explain most, and the rest is noise.
struct Source {
    random: Random,
    axes: Vec<Vec<f32>>,
}

impl Source {
    fn new(axes: usize, seed: u64) -> Self {
        let mut random = Random(seed);
        let axes = (0..axes).map(|_| (0..DIM).map(|_| random.normal()).collect()).collect();
        Self { random, axes }
    }

    fn vector(&mut self) -> Vec<f32> {
        let mut vector: Vec<f32> = (0..DIM).map(|_| 0.5 * self.random.normal()).collect();
        for axis in &self.axes {
            let weight = self.random.normal();
            vector.iter_mut().zip(axis).for_each(|(x, a)| *x += weight * a);
        }
        vector
    }
}

struct Doc {
    rows: Vec<Vec<f32>>,
    bucket: u64,
}

struct World {
    reader: DenseReader,
    dense: Field,
    id: Field,
    bucket: Field,
    alive: Vec<(u64, Doc)>,
    source: Source,
}

/// One large segment with an index, and a small one without; a tenth of the documents deleted, half of
/// these before the index was built and half after.
fn world(options: DenseOptions, source: Source) -> World {
    let mut schema = Schema::builder();
    let id = schema.add_u64_field("id", INDEXED | FAST | STORED);
    let bucket = schema.add_u64_field("bucket", INDEXED | FAST);
    let dense = schema.add_dense_field("dense", options);
    let index = DenseIndex::create_in_ram(schema.build()).unwrap();
    let mut writer: DenseWriter = index.writer_with_num_threads(1, 100_000_000).unwrap();
    writer.set_merge_policy(Box::new(NoMergePolicy));
    let mut world =
        World { reader: index.manual_reader().unwrap(), dense, id, bucket, alive: vec![], source };
    for number in 0..u64::from(DOCUMENTS) {
        let rows = if number % 4 == 0 { 2 } else { 1 };
        let rows = (0..rows).map(|_| world.source.vector()).collect();
        let doc = Doc { rows, bucket: world.source.random.below(1000) };
        let mut document = TantivyDocument::new();
        document.add_u64(id, number);
        document.add_u64(bucket, doc.bucket);
        doc.rows.iter().for_each(|row| document.add_dense(dense, row));
        writer.add_document(document).unwrap();
        world.alive.push((number, doc));
        if number == u64::from(DOCUMENTS) * 9 / 10 {
            writer.commit().unwrap();
            world.delete(&mut writer, 3);
            writer.commit().unwrap();
            writer.merge(&index.tantivy().searchable_segment_ids().unwrap()).wait().unwrap();
        }
    }
    writer.commit().unwrap();
    world.delete(&mut writer, 7);
    writer.commit().unwrap();
    world.reader.reload().unwrap();
    world.reader.warm().unwrap();
    world
}

impl World {
    fn delete(&mut self, writer: &mut DenseWriter, of_twenty: u64) {
        for (number, _) in self.alive.iter().filter(|(number, _)| number % 20 == of_twenty) {
            writer.delete_term(Term::from_field_u64(self.id, *number)).unwrap();
        }
        self.alive.retain(|(number, _)| number % 20 != of_twenty);
    }

    /// The mean share of the true neighbours that are found, for each `k` and each share of the
    /// documents that passes. What must hold for each single query is checked on the way.
    fn recall(&mut self, metric: Metric) -> Vec<(usize, u64, f64)> {
        let searcher = self.reader.searcher();
        let mut found = vec![0.0; SETTINGS];
        for _ in 0..QUERIES {
            let query = self.source.vector();
            let mut scored: Vec<(f64, u64, u64)> = Vec::new();
            for (id, doc) in &self.alive {
                let best = doc.rows.iter().map(|row| score(metric, &query, row));
                scored.push((best.max_by(f64::total_cmp).unwrap(), *id, doc.bucket));
            }
            scored.sort_by(|a, b| b.0.total_cmp(&a.0));
            for (setting, (k, permille)) in settings().enumerate() {
                found[setting] += self.share(&searcher, &query, k, permille, &scored);
            }
        }
        let mean = |(at, (k, permille))| (k, permille, found[at] / real(QUERIES));
        settings().enumerate().map(mean).collect()
    }

    fn share(
        &self,
        searcher: &Searcher,
        query: &[f32],
        k: usize,
        permille: u64,
        scored: &[(f64, u64, u64)],
    ) -> f64 {
        let passing: Vec<&(f64, u64, u64)> =
            scored.iter().filter(|(_, _, b)| *b < permille).collect();
        let end = Bound::Excluded(Term::from_field_u64(self.bucket, permille));
        let knn =
            KnnQuery::new(self.dense, query, k).filter(RangeQuery::new(Bound::Unbounded, end));
        let ids = searcher.segment_readers().iter().map(|r| r.fast_fields().u64("id").unwrap());
        let ids: Vec<_> = ids.collect();
        let hits: Vec<u64> = top(searcher, &knn)
            .iter()
            .map(|(_, at)| ids[at.segment_ord as usize].first(at.doc_id).unwrap())
            .collect();
        let distinct: HashSet<u64> = hits.iter().copied().collect();
        assert_eq!(hits.len(), k.min(passing.len()), "min(k, passing documents)");
        assert_eq!(distinct.len(), hits.len(), "each document once");
        let may: HashSet<u64> = passing.iter().map(|(_, id, _)| *id).collect();
        assert!(hits.iter().all(|id| may.contains(id)), "neither deleted nor filtered out");
        let right = passing.iter().take(k).filter(|(_, id, _)| distinct.contains(id)).count();
        if hits.is_empty() { 1.0 } else { real(right) / real(hits.len()) }
    }
}

fn real(count: usize) -> f64 {
    f64::from(u32::try_from(count).unwrap())
}

const SETTINGS: usize = 4 * 7;

fn settings() -> impl Iterator<Item = (usize, u64)> {
    let shares = [0, 1, 10, 50, 200, 500, 1000];
    [1, 10, 100, 1000].into_iter().flat_map(move |k| shares.map(|share| (k, share)))
}

fn score(metric: Metric, a: &[f32], b: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| f64::from(a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>());
    match metric {
        Metric::Cosine => dot(a, b) / (dot(a, a) * dot(b, b)).sqrt(),
        _ => dot(a, b),
    }
}

fn statuses(searcher: &Searcher) -> Vec<AnnStatus> {
    let segments = searcher.dense_segments().unwrap();
    segments.into_iter().flat_map(|s| s.fields).map(|field| field.ann).collect()
}

/// Many queries at once find what each finds by itself: over an index and beside it, deletes and a filter
/// in the way.
fn check_together(world: &mut World) {
    let searcher = world.reader.searcher();
    for permille in [5, 300, 1000] {
        let end = Bound::Excluded(Term::from_field_u64(world.bucket, permille));
        let filter = RangeQuery::new(Bound::Unbounded, end);
        let first = KnnQuery::new(world.dense, world.source.vector(), 10).filter(filter);
        let mut queries: Vec<KnnQuery> =
            (0..70).map(|_| first.with_vector(world.source.vector())).collect();
        queries.push(first);
        let together = search_batch(&searcher, &queries).unwrap();
        for (query, hits) in queries.iter().zip(&together) {
            assert_eq!(hits.iter().collect::<Vec<_>>(), top(&searcher, query), "{permille}");
        }
    }
}

fn check(options: DenseOptions, source: Source, bar: f64) {
    let mut world = world(options, source);
    check_together(&mut world);
    let statuses = statuses(&world.reader.searcher());
    if cfg!(feature = "faiss") {
        assert!(statuses.iter().any(|s| matches!(s, AnnStatus::Ready(_))), "{statuses:?}");
    }
    let recall = world.recall(Metric::Cosine);
    let low: Vec<_> = recall.iter().filter(|(.., share)| *share < bar).collect();
    assert!(low.is_empty(), "(k, permille passing, mean recall) below {bar}: {low:?}");
}

#[test]
fn the_default_recipe_finds_95_of_100_whatever_passes() {
    check(DenseOptions::new(dim(DIM)), Source::new(24, 0x5EED), 0.95);
}

#[test]
fn a_graph_over_int8_rows_finds_90_of_100_whatever_passes() {
    let options = DenseOptions::new(dim(DIM)).ann(AnnRecipe::HNSW).element(Element::Int8);
    check(options, Source::new(24, 0xFACE), 0.90);
}
