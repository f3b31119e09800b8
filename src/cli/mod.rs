//! The command `tdense`: its arguments, and one file a subcommand. Only here is anything printed,
//! and only here are the clock and the environment read.

mod build;
mod check;
mod compare;
mod error;
mod eval;
mod fields;
mod index;
mod inspect;
mod interrupt;
#[cfg(feature = "onnx")]
mod model;
mod models;
mod open;
mod optimize;
mod repair;
mod report;
mod search;
mod ui;
mod verify;
mod warnings;

use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use self::ui::{Ui, Verbosity};

/// Dense multilingual search inside Tantivy: index, search and evaluate text.
#[derive(Debug, Parser)]
#[command(name = "tdense", version, about, max_term_width = 100)]
#[command(
    after_help = "Exit status: 0 done, 1 failed, 2 wrong arguments, 3 a stated bar not met, \
                        130 stopped by Ctrl-C."
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    global: Global,
}

/// What every subcommand takes.
#[derive(Debug, Args)]
struct Global {
    /// Say nothing but data, warnings and errors
    #[arg(short, long, global = true)]
    quiet: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Index passages from JSON lines, BEIR folders, TSV files or stdin
    Index(index::Options),
    /// Search an index by meaning, by words, or by both
    Search(search::Options),
    /// Measure how well BM25, dense and hybrid search rank, language by language
    Eval(eval::Options),
    /// Show what an index holds
    Inspect(inspect::Options),
    /// Build the indexes that segments lack, so that large ones are searched fast
    Optimize(optimize::Options),
    /// Check all files of an index
    Verify(verify::Options),
    /// Make again what is damaged, where it can be made again
    Repair(repair::Options),
    /// Get the default model, or show what a model is
    #[cfg(feature = "onnx")]
    #[command(subcommand)]
    Model(model::Options),
}

/// Runs the command with the arguments of this process.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let verbosity = if arguments.global.quiet { Verbosity::Quiet } else { Verbosity::Normal };
    let ui = Ui::new(verbosity);
    warnings::show(ui);
    let done = match arguments.command {
        Command::Index(options) => index::run(&options, ui),
        Command::Search(options) => search::run(&options, ui),
        Command::Eval(options) => eval::run(&options, ui),
        Command::Inspect(options) => inspect::run(&options, ui),
        Command::Optimize(options) => optimize::run(&options, ui),
        Command::Verify(options) => verify::run(&options, ui),
        Command::Repair(options) => repair::run(&options, ui),
        #[cfg(feature = "onnx")]
        Command::Model(options) => model::run(&options, ui),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => error::report(&error, ui),
    }
}
