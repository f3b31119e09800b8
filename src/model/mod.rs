//! Model folders: what is in them, how one is made, and whether it is whole.
//!
//! Invariant: a [`ModelFolder`] that opens has every file that its manifest names, in the length that it says.
//! Whether the bytes are right as well is asked for with [`ModelFolder::verify`].

mod adapt;
mod adapter;
mod fetch;
mod folder;
mod foreign;
mod get;
mod half;
mod import;
mod manifest;
mod q4;
pub(crate) mod tensors;

pub use adapt::{AdaptError, Change, adapt};
pub use adapter::{Adapter, AdapterFile, Changed, HeadFile};
pub use fetch::{DownloadError, FetchError};
pub use folder::{ModelFolder, ModelInfo, OpenError, Precision, PrecisionError};
pub use get::{
    BASE_MODEL, DEFAULT_MODEL, GetError, GetEvent, GetOptions, base_folder, default_folder, get,
};
pub use half::HalfError;
pub use import::{ImportError, ImportOptions, import};
#[cfg(feature = "cli")]
pub(crate) use manifest::hex;
pub use manifest::{Architecture, FORMAT, FileFacts, Manifest, Prefixes, Source};
pub use q4::{Q4Error, Q4File};
pub use tensors::ParseError;
