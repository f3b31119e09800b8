//! Exact search against ndarray's matrix-vector product over the same rows: 20,000 × 384, one
//! thread. Prints divan's table, then the ratio of medians over alternating runs. With the feature `faiss`
//! many queries together are compared by blocks.
#![expect(clippy::print_stdout, reason = "a bench prints its numbers")]

use std::hint::black_box;
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use divan::Bencher;
use ndarray::{Array1, Array2};
use tantivy::collector::TopDocs;
use tantivy::schema::{Field, Schema};
use tantivy::{Searcher, TantivyDocument};
use tantivy_dense_plugin::ann::{Accept, AnnIndex, Exact, RowsView, SearchParams};
use tantivy_dense_plugin::{
    AnnRecipe, DenseDocument, DenseIndex, DenseOptions, DenseSchemaBuilder, Dim, Element, KnnQuery,
    Metric, Vectors,
};

const ROWS: usize = 20_000;
const DIM: usize = 384;
const ROUNDS: usize = 41;

struct Setup {
    matrix: Array2<f32>,
    query: Array1<f32>,
    cosine: Box<dyn AnnIndex>,
    dot: Box<dyn AnnIndex>,
    searcher: Searcher,
    field: Field,
    // Goes with its files when it is dropped.
    _folder: tempfile::TempDir,
}

static SETUP: LazyLock<Setup> = LazyLock::new(|| {
    let mut state = 1u64;
    let mut number = || {
        // A linear congruential generator (Knuth's MMIX): the same rows on every machine.
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        f32::from(u16::try_from(state >> 48).expect("16 bits")) / 32_768.0 - 1.0
    };
    let dim = Dim::new(DIM).expect("a dim");
    let rows: Vec<f32> = (0..ROWS * DIM).map(|_| number()).collect();
    let query: Vec<f32> = (0..DIM).map(|_| number()).collect();
    let vectors = Vectors::from_flat(dim, rows.clone()).expect("finite rows");
    let open = |metric| {
        let view = RowsView::from_vectors(&vectors, metric, Element::F32);
        assert!(view.numbers().is_some(), "the rows are read in place");
        let index: Box<dyn AnnIndex> = Box::new(Exact::over(view));
        index
    };
    let folder = tempfile::tempdir().expect("a folder");
    let mut schema = Schema::builder();
    let field = schema.add_dense_field("v", DenseOptions::new(dim).ann(AnnRecipe::Exact));
    let index = DenseIndex::create_in_dir(folder.path(), schema.build()).expect("an index");
    let mut writer = index.writer_with_num_threads(1, 200_000_000).expect("a writer");
    for row in &vectors {
        let mut doc = TantivyDocument::new();
        doc.add_dense(field, row);
        writer.add_document(doc).expect("a document");
    }
    writer.commit().expect("a commit");
    let searcher = index.manual_reader().expect("a reader").searcher();
    assert_eq!(searcher.segment_readers().len(), 1, "one segment");
    Setup {
        matrix: Array2::from_shape_vec((ROWS, DIM), rows).expect("whole rows"),
        query: Array1::from_vec(query),
        cosine: open(Metric::Cosine),
        dot: open(Metric::Dot),
        searcher,
        field,
        _folder: folder,
    }
});

fn product() {
    black_box(SETUP.matrix.dot(black_box(&SETUP.query)));
}

fn search(index: &dyn AnnIndex) {
    let query = SETUP.query.as_slice().expect("a standard layout");
    black_box(
        index
            .search(black_box(query), 10, &Accept::All, &SearchParams::default())
            .expect("a search"),
    );
}

/// The same for so many queries, one by one or together.
fn search_many(queries: usize, together: bool) {
    let query = SETUP.query.as_slice().expect("a standard layout");
    if together {
        let queries = vec![query; queries];
        let params = SearchParams::default();
        let found = SETUP.cosine.search_batch(black_box(&queries), 10, &Accept::All, &params);
        black_box(found.expect("a search"));
    } else {
        (0..queries).for_each(|_| search(&*SETUP.cosine));
    }
}

fn whole_search() {
    let query = KnnQuery::new(SETUP.field, SETUP.query.to_vec(), 10);
    let top = TopDocs::with_limit(10).order_by_score();
    black_box(SETUP.searcher.search(&query, &top).expect("a search"));
}

#[divan::bench]
fn ndarray_product(bencher: Bencher<'_, '_>) {
    bencher.bench_local(product);
}

#[divan::bench]
fn exact_cosine(bencher: Bencher<'_, '_>) {
    bencher.bench_local(|| search(&*SETUP.cosine));
}

#[divan::bench]
fn exact_dot(bencher: Bencher<'_, '_>) {
    bencher.bench_local(|| search(&*SETUP.dot));
}

#[divan::bench]
fn tantivy_search_of_a_folder(bencher: Bencher<'_, '_>) {
    bencher.bench_local(whole_search);
}

fn main() {
    divan::main();
    let timed = |work: &dyn Fn()| {
        let start = Instant::now();
        work();
        start.elapsed()
    };
    let works: [(&str, &dyn Fn()); 8] = [
        ("ndarray's product", &product),
        ("exact, cosine", &|| search(&*SETUP.cosine)),
        ("exact, dot", &|| search(&*SETUP.dot)),
        ("a whole search of Tantivy's", &whole_search),
        ("8 queries one by one", &|| search_many(8, false)),
        ("8 queries together", &|| search_many(8, true)),
        ("64 queries one by one", &|| search_many(64, false)),
        ("64 queries together", &|| search_many(64, true)),
    ];
    let mut times = works.map(|_| Vec::with_capacity(ROUNDS));
    for (_, work) in &works {
        work();
    }
    for _ in 0..ROUNDS {
        for ((_, work), times) in works.iter().zip(&mut times) {
            times.push(timed(work));
        }
    }
    let medians = times.map(|mut times: Vec<Duration>| {
        times.sort();
        times[ROUNDS / 2]
    });
    println!("\n{ROWS} x {DIM}, medians of {ROUNDS} alternating runs:");
    for ((name, _), median) in works.iter().zip(medians) {
        let ratio = median.as_secs_f64() / medians[0].as_secs_f64();
        println!("{name:28} {:7.3} ms  x{ratio:.2}", median.as_secs_f64() * 1e3);
    }
}
