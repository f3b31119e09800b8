//! Two systems side by side, from the TREC runs that any search engine writes:
//! `cargo run --example compare_runs -- QRELS RUN RUN`. This makes two runs to try it on:
//! `tdense eval --data fixtures/parallel --split multi --model toy --save-run target/runs`; their
//! judgements are in `fixtures/parallel/qrels/multi.tsv`.
#![expect(clippy::print_stdout, reason = "an example shows what it found")]

use std::error::Error;
use std::path::PathBuf;

use tantivy_dense::eval::{Measure, Qrels, Run, evaluate};

fn main() -> Result<(), Box<dyn Error>> {
    let files: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [qrels, first, second] = &files[..] else {
        return Err("usage: compare_runs QRELS RUN RUN".into());
    };
    let qrels = Qrels::read(qrels)?;
    let (first, second) = (Run::read(first)?, Run::read(second)?);
    let measures = ["AP", "nDCG@10", "RR", "R@100"].map(str::parse::<Measure>);
    let measures = measures.into_iter().collect::<Result<Vec<_>, _>>()?;

    // A topic that a run leaves out counts as 0, so both means are over the same topics.
    let (of_first, of_second) =
        (evaluate(&first, &qrels, &measures), evaluate(&second, &qrels, &measures));
    let means = of_first.mean().zip(of_second.mean()).ok_or("the qrels judge no topic")?;

    println!("{} topics", of_first.len());
    println!("measure  {:>8} {:>8}  difference  topics won, lost", first.name(), second.name());
    for (at, measure) in measures.iter().enumerate() {
        let (a, b) = (means.0[at], means.1[at]);
        let topics = || of_first.iter().zip(of_second.iter()).map(|(a, b)| b.1[at] - a.1[at]);
        let won = topics().filter(|difference| *difference > 0.0).count();
        let lost = topics().filter(|difference| *difference < 0.0).count();
        println!("{:<8} {a:8.4} {b:8.4}  {:+10.4}  {won}, {lost}", measure.to_string(), b - a);
    }
    Ok(())
}
