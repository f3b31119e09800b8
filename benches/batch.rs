//! Searching for many queries together, against one by one, over an index that `tdense index` made. One thread.
//!
//! `cargo bench --bench batch -- INDEX MODEL_FOLDER QUERIES [COUNT]`
//!
//! QUERIES is a file as `tdense search --queries` takes it, of which the first COUNT (default: 1024) are encoded. Prints how
//! long a query takes, medians of alternating runs, and whether both ways found the same.

#![expect(clippy::print_stdout, reason = "a benchmark prints what it measured")]

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use dense_eval::Topic;
use dense_plugin::{Encoder, KnnQuery, Role, Text, search_batch};
use tantivy::collector::TopDocs;
use tantivy::{DocAddress, Score, Searcher};
use tantivy_dense::Engine;
use tantivy_dense::encoder::OnnxEncoder;
use tantivy_dense::model::ModelFolder;

/// Documents for a query.
const K: usize = 10;

/// Runs of each way.
const RUNS: usize = 5;

type Found = Vec<Vec<(Score, DocAddress)>>;

fn main() -> Result<(), Box<dyn Error>> {
    // Cargo adds `--bench`. Without an index there is nothing to measure: `cargo test --benches` passes by.
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let Some(index) = arguments.next() else { return Ok(()) };
    let model = ModelFolder::open(arguments.next().ok_or("MODEL_FOLDER is missing")?)?;
    let topics = Topic::read(Path::new(&arguments.next().ok_or("QUERIES is missing")?))?;
    let count: usize = arguments.next().map_or(Ok(1024), |count| count.parse())?;
    let topics = &topics[..count.min(topics.len())];
    let texts: Vec<Text<'_>> = topics.iter().map(|topic| Text::new(&topic.text)).collect();
    let vectors = OnnxEncoder::builder(model).build()?.encode(Role::Query, &texts)?.vectors;

    let engine = Engine::open_in_dir(Path::new(&index))?;
    engine.warm()?;
    let dense = engine.index().dense_field("dense")?.field;
    let searcher = engine.index().manual_reader()?.searcher();
    let query = KnnQuery::new(dense, vec![0.0; vectors.dim().get()], K);
    for (way, query) in [("by its indexes", query.clone()), ("exactly", query.exact())] {
        let queries: Vec<KnnQuery> =
            vectors.iter().map(|vector| query.with_vector(vector)).collect();
        let (mut alone, mut together) = (Vec::new(), Vec::new());
        let mut same = true;
        for _ in 0..RUNS {
            let (one, seconds) = timed(|| one_by_one(&searcher, &queries))?;
            alone.push(seconds);
            let (all, seconds) = timed(|| at_once(&searcher, &queries))?;
            together.push(seconds);
            same &= one == all;
        }
        let [alone, together] = [alone, together].map(|mut seconds: Vec<f64>| {
            seconds.sort_by(f64::total_cmp);
            seconds[RUNS / 2] * 1e6 / f64::from(u32::try_from(queries.len()).unwrap_or(u32::MAX))
        });
        println!(
            "{} queries {way}: {alone:.0} microseconds each one by one, {together:.0} together, x{:.2}; {}",
            queries.len(),
            alone / together,
            if same { "the same found" } else { "NOT the same found" }
        );
    }
    Ok(())
}

fn one_by_one(searcher: &Searcher, queries: &[KnnQuery]) -> tantivy::Result<Found> {
    let top = TopDocs::with_limit(K).order_by_score();
    queries.iter().map(|query| searcher.search(query, &top)).collect()
}

fn at_once(searcher: &Searcher, queries: &[KnnQuery]) -> tantivy::Result<Found> {
    Ok(search_batch(searcher, queries)?.iter().map(|hits| hits.iter().collect()).collect())
}

fn timed<T>(run: impl FnOnce() -> tantivy::Result<T>) -> tantivy::Result<(T, f64)> {
    let start = Instant::now();
    let done = run()?;
    Ok((done, start.elapsed().as_secs_f64()))
}
