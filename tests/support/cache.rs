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

/// The cache folder, if the default model is in it; says so where it is not.
pub(crate) fn model_cache() -> Option<PathBuf> {
    let cache = cache()?;
    let folder = tantivy_dense::model::default_folder(&cache);
    if folder.is_dir() {
        return Some(cache);
    }
    println!("SKIPPED: {} is not there; run `tdense model get`", folder.display());
    None
}

/// The evaluation data that `TDENSE_DATA` names; says so where it names none.
#[expect(clippy::disallowed_methods, reason = "the environment says where the data is")]
pub(crate) fn data() -> Option<PathBuf> {
    let data = std::env::var("TDENSE_DATA").ok().filter(|value| !value.is_empty());
    if data.is_none() {
        println!("SKIPPED: TDENSE_DATA names no evaluation data");
    }
    data.map(PathBuf::from)
}
