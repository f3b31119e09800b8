//! `tdense`: index, search and evaluate multilingual text. See `tdense --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    tantivy_dense::cli::main()
}
