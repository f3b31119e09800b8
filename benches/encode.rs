//! Encodes the lines of a text file as passages, once for each line that comes in on stdin, and prints the seconds it
//! took: the Rust side of `benches/encode.py`, which takes turns with it.
//!
//! `cargo bench --bench encode -- CACHE_FOLDER TEXT_FILE THREADS BATCH_TOKENS`

#![expect(clippy::print_stdout, reason = "a benchmark prints what it measured")]

use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::time::Instant;

use dense_plugin::{Encoder, Role, Text};
use tantivy_dense::encoder::OnnxEncoder;
use tantivy_dense::model::{ModelFolder, base_folder};

fn main() -> Result<(), Box<dyn Error>> {
    // Cargo adds `--bench`. Without a folder there is nothing to measure: `cargo test --benches` passes by.
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let Some(cache) = arguments.next().map(PathBuf::from) else { return Ok(()) };
    let mut next = |what| arguments.next().ok_or(what);
    let text = std::fs::read_to_string(next("TEXT_FILE is missing")?)?;
    let threads = next("THREADS is missing")?.parse()?;
    let batch_tokens = next("BATCH_TOKENS is missing")?.parse()?;
    let encoder = OnnxEncoder::builder(ModelFolder::open(base_folder(&cache))?)
        .threads(threads)
        .batch_tokens(batch_tokens)
        .build()?;
    let texts: Vec<Text<'_>> = text.lines().map(Text::new).collect();
    for line in io::stdin().lines() {
        line?;
        let start = Instant::now();
        let encoded = encoder.encode(Role::Passage, &texts)?;
        println!("{} {}", start.elapsed().as_secs_f64(), encoded.tokens);
    }
    Ok(())
}
