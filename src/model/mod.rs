//! Model folders: what is in them, how one is made, and whether it is whole.
//!
//! Invariant: a [`ModelFolder`] that opens has every file that its manifest names, in the length that it says.
//! Whether the bytes are right as well is asked for with [`ModelFolder::verify`].

mod fetch;
mod folder;
mod foreign;
mod get;
mod import;
mod manifest;
mod q4;

pub use fetch::{DownloadError, FetchError};
#[cfg(feature = "train")]
pub(crate) use folder::{MANIFEST, facts_of, made_whole};
pub use folder::{ModelFolder, ModelInfo, OpenError, Precision, PrecisionError};
pub use get::{DEFAULT_MODEL, GetError, GetEvent, GetOptions, default_folder, get};
pub use import::{ImportError, ImportOptions, import};
#[cfg(feature = "train")]
pub(crate) use manifest::Identity;
#[cfg(feature = "cli")]
pub(crate) use manifest::hex;
pub use manifest::{Architecture, FORMAT, FileFacts, Manifest, Prefixes, Source};
pub use q4::{Q4Error, Q4File};
