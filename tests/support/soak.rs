//! What the soak tests are told from outside.

#![expect(
    clippy::disallowed_methods,
    reason = "the environment says how long, and what a child is to do"
)]

use std::env;
use std::path::PathBuf;

/// For a child: the folder of its index.
pub(crate) const FOLDER: &str = "TDENSE_SOAK_FOLDER";
/// For a child: where its chance starts.
pub(crate) const SEED: &str = "TDENSE_SOAK_SEED";

/// Whether the long form is wanted: `TDENSE_SOAK=long`.
pub(crate) fn is_long() -> bool {
    env::var("TDENSE_SOAK").is_ok_and(|size| size == "long")
}

/// The folder that a child was given; none if this process is no child.
pub(crate) fn child_folder() -> Option<PathBuf> {
    env::var(FOLDER).ok().map(PathBuf::from)
}

/// The seed that a child was given.
pub(crate) fn child_seed() -> u64 {
    env::var(SEED).ok().and_then(|seed| seed.parse().ok()).unwrap_or_default()
}
