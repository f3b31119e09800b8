//! Two systems side by side, from the TREC runs that any search engine writes, and whether their difference
//! is more than chance: `cargo run --example compare_runs -- QRELS RUN RUN`. This makes two runs to
//! try it on: `tdense eval --data fixtures/parallel --split multi --model toy --save-run target/runs`;
//! their judgements are in `fixtures/parallel/qrels/multi.tsv`.
#![expect(clippy::print_stdout, reason = "an example shows what it found")]

use std::error::Error;
use std::path::{Path, PathBuf};

use tantivy_dense::eval::stats::Draws;
use tantivy_dense::eval::{Comparison, Measure, Qrels, Report, Run, RunReport, Side, evaluate};

fn main() -> Result<(), Box<dyn Error>> {
    let files: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [qrels, first, second] = &files[..] else {
        return Err("usage: compare_runs QRELS RUN RUN".into());
    };
    let qrels = Qrels::read(qrels)?;
    let measures = ["AP", "nDCG@10", "RR", "R@100"].map(str::parse::<Measure>);
    let measures = measures.into_iter().collect::<Result<Vec<_>, _>>()?;

    // A topic that a run leaves out counts as 0, so both are measured on the same topics.
    let measured = |file: &Path| -> Result<Report, Box<dyn Error>> {
        let run = Run::read(file)?;
        let values = evaluate(&run, &qrels, &measures);
        Ok(RunReport::new(run.name(), &values).ok_or("the qrels judge no topic")?.into())
    };
    let (first, second) = (measured(first)?, measured(second)?);
    for &measure in &measures {
        let comparison = Comparison::new(side(&first), side(&second), measure, Draws::new(1))?;
        println!("{comparison}");
    }
    Ok(())
}

/// A run is a report of one system.
fn side(report: &Report) -> Side<'_> {
    Side { report, system: report.systems().first().map_or("", String::as_str) }
}
