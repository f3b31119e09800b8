//! The command `tdense`: its arguments, and one file a subcommand. Only here is anything printed,
//! and only here are the clock and the environment read.

mod bm25;
mod build;
mod card;
mod check;
mod compare;
mod debias;
mod error;
mod eval;
mod fields;
#[cfg(feature = "onnx")]
mod heads;
mod index;
mod inspect;
mod interrupt;
#[cfg(feature = "onnx")]
mod means;
mod measured;
#[cfg(feature = "onnx")]
mod model;
mod models;
mod open;
mod optimize;
mod queries;
mod repair;
mod report;
mod search;
#[cfg(feature = "train")]
mod train;
mod ui;
mod vectors;
mod verify;
mod warnings;

use std::process::ExitCode;

use clap::{Args, CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

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
    Eval(Box<eval::Options>),
    /// Train an encoder with monolingual and cross-lingual batches
    #[cfg(feature = "train")]
    Train(Box<train::Options>),
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
    Model(Box<model::Options>),
    /// Print a script that completes `tdense` in a shell
    ///
    /// Examples:
    ///   tdense completions bash > ~/.local/share/bash-completion/completions/tdense
    ///   tdense completions fish > ~/.config/fish/completions/tdense.fish
    #[command(verbatim_doc_comment)]
    Completions {
        /// Which shell
        shell: Shell,
    },
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
        #[cfg(feature = "train")]
        Command::Train(options) => train::run(&options, ui),
        Command::Inspect(options) => inspect::run(&options, ui),
        Command::Optimize(options) => optimize::run(&options, ui),
        Command::Verify(options) => verify::run(&options, ui),
        Command::Repair(options) => repair::run(&options, ui),
        #[cfg(feature = "onnx")]
        Command::Model(options) => model::run(&options, ui),
        Command::Completions { shell } => completions(shell, ui),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => error::report(&error, ui),
    }
}

fn completions(shell: Shell, ui: Ui) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "tdense", &mut script);
    Ok(ui.line(String::from_utf8_lossy(&script).trim_end())?)
}
