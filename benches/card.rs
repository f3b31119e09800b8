//! FAISS on a CUDA card beside FAISS and this library on all of the machine's cores: building lists, and searching
//! for batches. `gpu/check` runs it.
//!
//! `cargo bench --bench card -- LIBRARY [CARD [ROWS [QUERIES [RECIPE...]]]]`
//!
//! LIBRARY is that of `make faiss-gpu`; ROWS vectors of dim 384 lie around the square root of as many centres. Prints JSON,
//! an object a line. First small searches, of any metric and numbers, with ties and filters, are compared with the
//! processor's. `build`: seconds. `search`: the median of several runs, the share of the 10 nearest rows that were
//! found. `check`: a number, and the bound that it keeps to.

#![expect(clippy::print_stdout, reason = "a benchmark prints what it measured")]

use std::error::Error;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::thread;
use std::time::Instant;

use dense_plugin::ann::{
    Accept, AnnBackend, AnnIndex, AnnParts, BuildJob, Exact, Factory, Lists, Neighbour, OnCard,
    RowSet, RowsView, SearchParams,
};
use dense_plugin::{AnnRecipe, Dim, Element, Gpu, Metric, Vectors};
use serde_json::json;

const DIM: usize = 384;

/// Neighbours that are looked for.
const K: usize = 10;

/// Runs that a median is of.
const RUNS: usize = 5;

/// Queries that the processor compares with all rows: it takes long.
const FEW: usize = 256;

/// Small searches that are compared.
const SMALL: usize = 180;

/// What a card is to reach: times the machine's cores, where so much is found.
const FASTER: f64 = 20.0;
const LEAST_RECALL: f64 = 0.95;

type Done<T = ()> = Result<T, Box<dyn Error>>;

fn main() -> Done {
    // Cargo adds `--bench`. Without a library there is nothing to measure: `cargo test --benches` passes by.
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let Some(library) = arguments.next().map(PathBuf::from) else { return Ok(()) };
    let card = arguments.next().map_or(Ok(0), |card| card.parse())?;
    let rows: usize = arguments.next().map_or(Ok(2_000_000), |rows| rows.parse())?;
    let queries: usize = arguments.next().map_or(Ok(10_000), |queries| queries.parse())?;
    let mut recipes: Vec<String> = arguments.collect();
    if recipes.is_empty() {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
        let lists = (4.0 * real(rows).sqrt()) as usize;
        recipes = ["ivf", "ivf(auto,f16)", "ivf(auto,int8)"].map(str::to_owned).to_vec();
        recipes.push(format!("factory(IVF{lists},PQ96)"));
    }
    let gpu = Gpu::load(&library, card)?;
    small(&gpu)?;
    let bench = Bench::new(gpu, rows, queries)?;
    let truth = bench.exact()?;
    for recipe in recipes {
        bench.recipe(&recipe, &truth)?;
    }
    Ok(())
}

/// Compares the answers to small searches: exact ones to the bit, and those by lists in how many they are and whether
/// they pass.
fn small(gpu: &Gpu) -> Done {
    let mut random = Random(7);
    let mut below = |end: u64| usize::try_from(random.next() % end).unwrap_or(0);
    let params = SearchParams::default();
    let (mut same, mut sound) = (0, 0);
    for case in 0..SMALL {
        let metric = [Metric::Cosine, Metric::Dot, Metric::L2][case % 3];
        let element = [Element::F32, Element::F16, Element::Int8][case / 3 % 3];
        let (count, dim) = (300 + below(3000), 1 + below(40));
        // Few numbers, so that scores tie.
        let numbers = (0..count * dim).map(|_| [-1.0, -0.5, 0.0, 0.5, 1.0][below(5)]).collect();
        let vectors = Vectors::from_flat(Dim::new(dim)?, numbers)?;
        let rows = RowsView::from_vectors(&vectors, metric, element);
        let queries: Vec<Vec<f32>> = (0..40)
            .map(|_| (0..dim).map(|_| [-0.9, -0.3, 0.1, 0.4, 0.8][below(5)]).collect())
            .collect();
        let queries: Vec<&[f32]> = queries.iter().map(Vec::as_slice).collect();
        let one_in = 1 + below(30);
        let accept = match case % 4 {
            0 => Accept::All,
            _ => Accept::Rows(RowSet::from_fn(rows.rows(), |_| below(30) < one_in)),
        };
        let k = below(60);
        let processor = Exact::over(rows.clone());
        let here = processor.search_batch(&queries, k, &accept, &params)?;
        let card = OnCard::exact(gpu, &rows)?;
        same += usize::from(card.search_batch(&processor, &queries, k, &accept, &params)? == here);
        let backend = Lists::new(Some(9), (case % 2 == 0).then_some(element)).on(Some(gpu));
        let mut parts = AnnParts::default();
        backend.build(&BuildJob { rows: &rows, base: None, threads: 1 }, &mut parts)?;
        let processor = backend.open(&parts, rows.clone())?;
        let card = OnCard::index(gpu, &rows, backend.name(), &parts)?;
        let found = match &card {
            Some(card) => card.search_batch(&*processor, &queries, k, &accept, &params)?,
            None => processor.search_batch(&queries, k, &accept, &params)?,
        };
        let passes = |row: u32| accept.rows().is_none_or(|set| set.contains(row));
        sound += usize::from(found.iter().zip(&here).all(|(found, here)| {
            found.len() == here.len() && found.iter().all(|found| passes(found.row))
        }));
    }
    check(
        "small exact searches, share that are the processor's to the bit",
        real(same) / real(SMALL),
        1.0,
    );
    check("small searches by lists, share that are whole and pass", real(sound) / real(SMALL), 1.0);
    Ok(())
}

struct Bench {
    gpu: Gpu,
    rows: RowsView,
    queries: Vectors,
    cores: usize,
}

impl Bench {
    fn new(gpu: Gpu, rows: usize, queries: usize) -> Done<Self> {
        let cores = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let clusters = Clusters::new(rows);
        let vectors = clusters.vectors(rows, 1, cores)?;
        let rows = RowsView::from_vectors(&vectors, Metric::Cosine, Element::F32);
        Ok(Self { gpu, rows, queries: clusters.vectors(queries, 2, cores)?, cores })
    }

    fn queries(&self) -> Vec<&[f32]> {
        self.queries.iter().collect()
    }

    /// What is nearest, after a look at whether the card and the processor agree on it.
    fn exact(&self) -> Done<Vec<Vec<Neighbour>>> {
        let processor = Exact::over(self.rows.clone());
        let start = Instant::now();
        let card = OnCard::exact(&self.gpu, &self.rows)?;
        let copied = start.elapsed().as_secs_f64();
        let queries = self.queries();
        let few = &queries[..queries.len().min(FEW)];
        let (here, slow) = self.by_cores(few, &processor)?;
        let (there, fast) = by_card(&queries, &card, &processor)?;
        let same = here.iter().zip(&there).filter(|(here, there)| here == there).count();
        let (slow, fast) = (real(few.len()) / slow, real(queries.len()) / fast);
        println!(
            "{}",
            json!({
                "bench": "search", "recipe": "exact", "rows": self.rows.rows(), "queries": queries.len(),
                "seconds_to_copy": copied, "cores": self.cores, "cores_queries_a_second": slow,
                "card_queries_a_second": fast, "times": fast / slow,
            })
        );
        check("exact search, share of the same answers", real(same) / real(few.len()), 1.0);
        check("exact search, times the machine's cores", fast / slow, FASTER);
        Ok(there)
    }

    fn recipe(&self, recipe: &str, truth: &[Vec<Neighbour>]) -> Done {
        let parsed: AnnRecipe = recipe.parse()?;
        let (dim, metric) = (self.rows.dim(), self.rows.metric());
        let backend = |gpu: Option<&Gpu>| -> Done<Box<dyn AnnBackend>> {
            Ok(match &parsed {
                AnnRecipe::Ivf { lists, codes } => Box::new(Lists::new(*lists, *codes).on(gpu)),
                AnnRecipe::Factory(made) => Box::new(Factory::new(made, dim, metric)?.on(gpu)),
                other => return Err(format!("{other} is not built on a card").into()),
            })
        };
        let build = |gpu: Option<&Gpu>| -> Done<(AnnParts, f64)> {
            let mut parts = AnnParts::default();
            let start = Instant::now();
            let job = BuildJob { rows: &self.rows, base: None, threads: self.cores };
            backend(gpu)?.build(&job, &mut parts)?;
            Ok((parts, start.elapsed().as_secs_f64()))
        };
        let (_, slow_build) = build(None)?;
        let (parts, fast_build) = build(Some(&self.gpu))?;
        let backend = backend(None)?;
        let processor = backend.open(&parts, self.rows.clone())?;
        let start = Instant::now();
        let card = OnCard::index(&self.gpu, &self.rows, backend.name(), &parts)?;
        let card = card.ok_or("FAISS has no such index on a card")?;
        let copied = start.elapsed().as_secs_f64();
        let queries = self.queries();
        let (here, slow) = self.by_cores(&queries, &*processor)?;
        let (there, fast) = by_card(&queries, &card, &*processor)?;
        let found = recall(&there, truth);
        println!(
            "{}",
            json!({
                "bench": "build", "recipe": recipe, "rows": self.rows.rows(), "cores": self.cores,
                "cores_seconds": slow_build, "card_seconds": fast_build, "times": slow_build / fast_build,
            })
        );
        println!(
            "{}",
            json!({
                "bench": "search", "recipe": recipe, "rows": self.rows.rows(), "queries": queries.len(),
                "seconds_to_copy": copied, "cores": self.cores,
                "cores_recall": recall(&here, truth), "cores_queries_a_second": real(queries.len()) / slow,
                "card_recall": found, "card_queries_a_second": real(queries.len()) / fast, "times": slow / fast,
            })
        );
        check(&format!("{recipe}, recall@10 on the card"), found, LEAST_RECALL);
        check(
            &format!("{recipe}, building, times the machine's cores"),
            slow_build / fast_build,
            FASTER,
        );
        check(&format!("{recipe}, searching, times the machine's cores"), slow / fast, FASTER);
        Ok(())
    }

    /// What all cores find, each for a part of the queries, and the median of the seconds.
    fn by_cores(
        &self,
        queries: &[&[f32]],
        index: &dyn AnnIndex,
    ) -> Done<(Vec<Vec<Neighbour>>, f64)> {
        let params = SearchParams::default();
        timed(|| {
            let part = queries.len().div_ceil(self.cores).max(1);
            let search = |queries: &[&[f32]]| index.search_batch(queries, K, &Accept::All, &params);
            thread::scope(|scope| {
                let search = &search;
                let workers: Vec<_> =
                    queries.chunks(part).map(|part| scope.spawn(move || search(part))).collect();
                let mut found = Vec::with_capacity(queries.len());
                for worker in workers {
                    found.extend(worker.join().map_err(|_| "a thread panicked")??);
                }
                Ok(found)
            })
        })
    }
}

fn by_card(
    queries: &[&[f32]],
    card: &OnCard,
    processor: &dyn AnnIndex,
) -> Done<(Vec<Vec<Neighbour>>, f64)> {
    let params = SearchParams::default();
    // The first run makes room on the card.
    card.search_batch(processor, queries, K, &Accept::All, &params)?;
    timed(|| Ok(card.search_batch(processor, queries, K, &Accept::All, &params)?))
}

fn timed<T>(mut run: impl FnMut() -> Done<T>) -> Done<(T, f64)> {
    let mut times = Vec::with_capacity(RUNS);
    loop {
        let start = Instant::now();
        let done = run()?;
        times.push(start.elapsed().as_secs_f64());
        if times.len() == RUNS {
            times.sort_by(f64::total_cmp);
            return Ok((done, times[RUNS / 2]));
        }
    }
}

/// The share of the nearest rows that were found, or others that are as near.
fn recall(found: &[Vec<Neighbour>], truth: &[Vec<Neighbour>]) -> f64 {
    let right = found.iter().zip(truth).map(|(found, truth)| {
        let worst = truth.last().map_or(f32::INFINITY, |worst| worst.score);
        found.iter().filter(|row| row.score >= worst).count()
    });
    real(right.sum::<usize>()) / real(truth.iter().map(Vec::len).sum::<usize>().max(1))
}

/// Says whether a number keeps to its bound.
fn check(what: &str, value: f64, least: f64) {
    println!(
        "{}",
        json!({"check": what, "value": value, "bound": format!("at least {least}"), "passed": value >= least})
    );
}

/// Centres with points around them.
struct Clusters {
    centres: Vec<f32>,
}

impl Clusters {
    fn new(rows: usize) -> Self {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
        let count = real(rows).sqrt().ceil() as usize;
        let mut random = Random(1);
        Self { centres: (0..count.max(1) * DIM).map(|_| random.normal()).collect() }
    }

    /// Vectors of length 1, the same for a seed and a number of threads.
    fn vectors(&self, count: usize, seed: u64, threads: usize) -> Done<Vectors> {
        let mut flat = vec![0.0; count * DIM];
        let part = count.div_ceil(threads).max(1) * DIM;
        thread::scope(|scope| {
            for (number, part) in (0u64..).zip(flat.chunks_mut(part)) {
                scope.spawn(move || {
                    let mut random = Random(seed << 32 | (number + 1));
                    for row in part.chunks_exact_mut(DIM) {
                        self.draw(&mut random, row);
                    }
                });
            }
        });
        Ok(Vectors::from_flat(Dim::new(DIM)?, flat)?)
    }

    fn draw(&self, random: &mut Random, row: &mut [f32]) {
        let centres = self.centres.len() / DIM;
        let centre = usize::try_from(random.next()).unwrap_or(usize::MAX) % centres;
        let centre = &self.centres[centre * DIM..][..DIM];
        for (x, centre) in row.iter_mut().zip(centre) {
            *x = centre + random.normal();
        }
        let length = row.iter().map(|x| x * x).sum::<f32>().sqrt();
        for x in row.iter_mut() {
            *x /= length;
        }
    }
}

/// Xorshift (Marsaglia, 2003).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// About normal: a sum of four uniform numbers, which are the parts of one of 64 bits.
    fn normal(&mut self) -> f32 {
        let bytes = self.next().to_le_bytes();
        let (parts, _) = bytes.as_chunks::<2>();
        parts.iter().map(|part| f32::from(u16::from_le_bytes(*part)) / 32_768.0 - 1.0).sum()
    }
}

#[expect(clippy::cast_precision_loss, reason = "counts are below 2^53")]
fn real(count: usize) -> f64 {
    count as f64
}
