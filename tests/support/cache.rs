//! Where ONNX Runtime and the default model are, if they are.

#![expect(clippy::print_stdout, reason = "clippy.toml allows it in test functions alone")]

use std::path::PathBuf;

use tantivy_dense::encoder::Runtime;

/// The cache folder: `TDENSE_CACHE`, else `tantivy-dense` in the XDG cache.
#[expect(clippy::disallowed_methods, reason = "the environment says where the model is")]
pub(crate) fn cache() -> Option<PathBuf> {
    let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty()).map(PathBuf::from);
    set("TDENSE_CACHE")
        .or_else(|| set("XDG_CACHE_HOME").map(|cache| cache.join("tantivy-dense")))
        .or_else(|| set("HOME").map(|home| home.join(".cache/tantivy-dense")))
}

/// ONNX Runtime's library; says so where it is absent.
pub(crate) fn library() -> Option<PathBuf> {
    let library = Runtime::library_in(&cache()?);
    if library.is_file() {
        return Some(library);
    }
    println!("SKIPPED: {} is not there; run `tdense model get`", library.display());
    None
}
