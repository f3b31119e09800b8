//! Real data for the tests that measure; it is not part of the repository.

use std::path::PathBuf;

/// Where the data lies. Without it a test has nothing to measure, and says so.
#[expect(clippy::disallowed_methods, reason = "the data's folder comes from outside")]
#[expect(clippy::print_stdout, reason = "a skipped test says so")]
pub(crate) fn data(to_measure: &str) -> Option<PathBuf> {
    let data = std::env::var("TDENSE_DATA").ok().filter(|data| !data.is_empty()).map(PathBuf::from);
    if data.is_none() {
        println!("skipped: set TDENSE_DATA to the data folder to measure {to_measure}");
    }
    data
}
