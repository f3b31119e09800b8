//! Makes a training step of the default model for each line that comes in on stdin, and prints the seconds it took, the
//! loss, and the peak of resident memory in MB: the Rust side of `benches/step.py`, which takes turns with it.
//!
//! `cargo bench --bench step -- CACHE_FOLDER BATCH_FILE THREADS CHUNK_TOKENS KEPT_TOKENS`
//!
//! The batch is JSON: `queries` and `passages`, as many of each, as lists of token ids.

#![expect(clippy::print_stdout, reason = "a benchmark prints what it measured")]

use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::time::Instant;

use ndarray::Array2;
use tantivy_dense::encoder::Runtime;
use tantivy_dense::model::{ModelFolder, base_folder};
use tantivy_dense::trainer::step::{Batch, OnnxStep, StepConfig};

#[derive(serde::Deserialize)]
struct Texts {
    queries: Vec<Vec<u32>>,
    passages: Vec<Vec<u32>>,
}

fn main() -> Result<(), Box<dyn Error>> {
    // Cargo adds `--bench`. Without a folder there is nothing to measure: `cargo test --benches` passes by.
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let Some(cache) = arguments.next().map(PathBuf::from) else { return Ok(()) };
    let mut next = |what| arguments.next().ok_or(what);
    let Texts { queries, passages } =
        serde_json::from_str(&std::fs::read_to_string(next("BATCH_FILE is missing")?)?)?;
    let config = StepConfig {
        threads: next("THREADS is missing")?.parse()?,
        chunk_tokens: next("CHUNK_TOKENS is missing")?.parse()?,
        kept_tokens: next("KEPT_TOKENS is missing")?.parse()?,
        ..StepConfig::default()
    };
    let allowed = Array2::from_elem((queries.len(), passages.len()), true);
    let batch = Batch { queries, passages, allowed, ..Batch::default() };
    let model = ModelFolder::open(base_folder(&cache))?;
    let mut step = OnnxStep::new(&model, &Runtime::library_in(&cache), config, 1)?;
    for line in io::stdin().lines() {
        line?;
        let start = Instant::now();
        let report = step.step(&batch, 4e-4)?;
        let seconds = start.elapsed().as_secs_f64();
        println!("{seconds} {} {}", report.loss, peak()?);
    }
    Ok(())
}

/// The most memory that was resident so far, in MB, as Linux counts it.
fn peak() -> Result<u64, Box<dyn Error>> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB")).ok_or("no VmHWM")?;
    Ok(kilobytes.parse::<u64>()? / 1024)
}
