//! A model folder, opened.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Component, Path, PathBuf};
use std::str::FromStr;

use dense_plugin::{Dim, Fingerprint, Role};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::foreign;
use super::manifest::{FORMAT, FileFacts, Manifest, hex};
use crate::encoder::{Device, Pooling};

pub(crate) const MANIFEST: &str = "manifest.json";

/// In which numbers a model runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 8-bit integers: about twice as fast, and a quarter of the size.
    #[default]
    Int8,
    /// 32-bit floating point.
    F32,
    /// The same graph; products on a CUDA device round what they multiply to 10 bits behind the point (TF32),
    /// which its matrix units take. Elsewhere the same as [`Precision::F32`].
    Tf32,
    /// 16-bit floating point inside, f32 vectors: half the memory of f32. For CUDA devices; right elsewhere too, and
    /// slower than f32. The graph is made of the 32-bit one when it is opened, for models that were made here.
    F16,
}

impl Precision {
    /// What a device runs unless it is told otherwise: of the int8 graph CUDA has not all operators.
    pub(crate) fn usual_on(device: Device) -> Self {
        if matches!(device, Device::Cuda(_)) { Self::F32 } else { Self::Int8 }
    }
}

impl FromStr for Precision {
    type Err = PrecisionError;

    fn from_str(written: &str) -> Result<Self, Self::Err> {
        match written {
            "int8" => Ok(Self::Int8),
            "f32" | "fp32" => Ok(Self::F32),
            "tf32" => Ok(Self::Tf32),
            "f16" | "fp16" => Ok(Self::F16),
            _ => Err(PrecisionError { given: written.to_owned() }),
        }
    }
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Int8 => "int8",
            Self::F32 => "f32",
            Self::Tf32 => "tf32",
            Self::F16 => "f16",
        })
    }
}

/// A text that names no precision.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is no precision: int8, f32, tf32 or f16")]
pub struct PrecisionError {
    given: String,
}

/// A model folder whose files are there.
#[derive(Clone, Debug)]
pub struct ModelFolder {
    path: PathBuf,
    manifest: Manifest,
}

/// The facts that `tdense model info` shows.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ModelInfo {
    /// Where the model lies.
    pub path: PathBuf,
    /// How many bytes its files have together.
    pub bytes: u64,
    /// All else.
    #[serde(flatten)]
    pub manifest: Manifest,
}

/// Makes the folder `place` whole: `make` fills a folder beside it, which then gets its name. What failed, and where,
/// goes through `io`; nothing half-made stays.
pub(crate) fn made_whole<E>(
    place: &Path,
    io: impl Fn(&Path, io::Error) -> E,
    make: impl FnOnce(&Path) -> Result<(), E>,
) -> Result<(), E> {
    let parent = place.parent().filter(|parent| !parent.as_os_str().is_empty());
    let parent = parent.unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(|source| io(parent, source))?;
    let scratch = tempfile::Builder::new().prefix(".unfinished-").tempdir_in(parent);
    let scratch = scratch.map_err(|source| io(parent, source))?;
    let made = scratch.path().join("model");
    fs::create_dir(&made).map_err(|source| io(&made, source))?;
    make(&made)?;
    fs::rename(&made, place).map_err(|source| io(place, source))
}

impl ModelFolder {
    /// Opens a folder that `tdense model get` made, or one with `model.onnx` (or `onnx/model.onnx`) and
    /// `tokenizer.json` as sentence-transformers and optimum export it. Lengths of files are checked; contents are
    /// not, see [`ModelFolder::verify`]. A folder without a manifest is hashed, for its fingerprint.
    ///
    /// # Errors
    /// [`OpenError`] if a file is absent or has another length, or the manifest is of a later release.
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, OpenError> {
        let path = path.into();
        let file = path.join(MANIFEST);
        let text = match fs::read_to_string(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if !path.is_dir() {
                    return Err(OpenError::Missing { folder: path });
                }
                let manifest = foreign::manifest_of(&path)?;
                return Ok(Self { path, manifest });
            }
            Err(source) => return Err(OpenError::Io { file, source }),
        };
        // The version first: later releases may have other fields.
        let fail = |source| OpenError::Manifest { file: file.clone(), source };
        let Versioned { format } = serde_json::from_str(&text).map_err(fail)?;
        if format > FORMAT {
            return Err(OpenError::TooNew { file, found: format });
        }
        let manifest: Manifest = serde_json::from_str(&text).map_err(fail)?;
        let folder = Self { path, manifest };
        folder.check_lengths()?;
        Ok(folder)
    }

    /// Reads every file and compares its SHA-256: about a second for half a gigabyte.
    ///
    /// # Errors
    /// [`OpenError`] for the first file that is not what the manifest says.
    pub fn verify(&self) -> Result<(), OpenError> {
        self.check_lengths()?;
        for (name, facts) in &self.manifest.files {
            let file = self.path.join(name);
            let found =
                facts_of(&file).map_err(|source| OpenError::Io { file: file.clone(), source })?;
            if found.sha256 != facts.sha256 {
                return Err(OpenError::Damaged { file });
            }
        }
        Ok(())
    }

    /// What there is to know of the model.
    pub fn info(&self) -> ModelInfo {
        ModelInfo {
            path: self.path.clone(),
            bytes: self.manifest.files.values().map(|file| file.bytes).sum(),
            manifest: self.manifest.clone(),
        }
    }

    /// Puts these before texts instead of what the folder says, as many exports do not say it. The fingerprint
    /// changes with them.
    #[must_use]
    pub fn with_prefixes(mut self, query: impl Into<String>, passage: impl Into<String>) -> Self {
        let prefixes = super::Prefixes { query: query.into(), passage: passage.into() };
        if prefixes != self.manifest.prefixes {
            let old = self.manifest.fingerprint.as_str();
            let mut hash = Sha256::new();
            for part in [old, &prefixes.query, &prefixes.passage] {
                hash.update((part.len() as u64).to_le_bytes());
                hash.update(part);
            }
            let digest = hex(&hash.finalize());
            self.manifest.fingerprint =
                Fingerprint::new(format!("{}-{}", self.manifest.name, &digest[..16]));
            self.manifest.prefixes = prefixes;
        }
        self
    }

    /// Where the model lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The folder's manifest.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// What vectors of this model are known by.
    pub fn fingerprint(&self) -> &Fingerprint {
        &self.manifest.fingerprint
    }

    /// How many numbers a vector has, where the folder says it.
    pub fn dim(&self) -> Option<Dim> {
        self.manifest.dim
    }

    pub(crate) fn pooling(&self) -> Pooling {
        self.manifest.pooling
    }

    pub(crate) fn prefix(&self, role: Role) -> &str {
        self.manifest.prefixes.of(role)
    }

    pub(crate) fn token_limit(&self) -> usize {
        self.manifest.token_limit
    }

    pub(crate) fn tokenizer(&self) -> PathBuf {
        self.path.join(&self.manifest.tokenizer)
    }

    /// The file of the language means that the model brings.
    pub fn language_means(&self) -> Option<PathBuf> {
        self.manifest.language_means.as_ref().map(|name| self.path.join(name))
    }

    /// The graph's file in a precision, or in 32 bits where there is no other.
    pub(crate) fn graph(&self, precision: Precision) -> PathBuf {
        let name = match precision {
            Precision::Int8 => {
                self.manifest.int8_graph.as_ref().unwrap_or(&self.manifest.f32_graph)
            }
            Precision::F32 | Precision::Tf32 | Precision::F16 => &self.manifest.f32_graph,
        };
        self.path.join(name)
    }

    /// The cache folder, if the model lies in one: `CACHE/models/NAME`.
    pub(crate) fn cache(&self) -> Option<&Path> {
        let models = self.path.parent()?;
        (models.file_name()? == "models").then(|| models.parent())?
    }

    fn check_lengths(&self) -> Result<(), OpenError> {
        let manifest = &self.manifest;
        let named = [&manifest.f32_graph, &manifest.tokenizer];
        let optional = [&manifest.int8_graph, &manifest.adapter, &manifest.language_means];
        for name in named.into_iter().chain(optional.into_iter().flatten()) {
            if !manifest.files.contains_key(name) {
                return Err(OpenError::Unlisted { folder: self.path.clone(), name: name.clone() });
            }
        }
        for (name, facts) in &manifest.files {
            let inside =
                Path::new(name).components().all(|part| matches!(part, Component::Normal(_)));
            if !inside {
                return Err(OpenError::Outside { folder: self.path.clone(), name: name.clone() });
            }
            let file = self.path.join(name);
            match fs::metadata(&file) {
                Ok(found) if found.len() == facts.bytes => {}
                Ok(found) => {
                    let (found, wanted) = (found.len(), facts.bytes);
                    return Err(OpenError::Length { file, found, wanted });
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    return Err(OpenError::MissingFile { file });
                }
                Err(source) => return Err(OpenError::Io { file, source }),
            }
        }
        Ok(())
    }
}

/// All that manifests of any release have.
#[derive(Deserialize)]
struct Versioned {
    format: u32,
}

/// Length and SHA-256 of a file.
pub(crate) fn facts_of(file: &Path) -> io::Result<FileFacts> {
    let mut file = File::open(file)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 18];
    let mut bytes = 0;
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok(FileFacts { bytes, sha256: hex(&hash.finalize()) });
        }
        hash.update(&buffer[..read]);
        bytes += read as u64;
    }
}

/// Why a model folder could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message explains its fields")]
pub enum OpenError {
    /// No such folder.
    #[error("{folder}: no model is there; `tdense model get` makes the default one", folder = folder.display())]
    Missing { folder: PathBuf },
    /// A folder of something else.
    #[error("{folder}: is no model folder: it has neither {MANIFEST} nor model.onnx with tokenizer.json; `tdense model get` makes the default one", folder = folder.display())]
    NoModel { folder: PathBuf },
    /// A file of the model is gone.
    #[error("{file}: the model's file is not there; run `tdense model get`", file = file.display())]
    MissingFile { file: PathBuf },
    /// A file of the model was cut short or changed.
    #[error("{file}: has {found} bytes where {wanted} are wanted; run `tdense model get`", file = file.display())]
    Length { file: PathBuf, found: u64, wanted: u64 },
    /// A file of the model was changed.
    #[error("{file}: has other contents than when it was made; run `tdense model get`", file = file.display())]
    Damaged { file: PathBuf },
    /// A later release made the folder.
    #[error("{file}: format {found} is newer than {FORMAT}, the newest this build reads", file = file.display())]
    TooNew { file: PathBuf, found: u32 },
    /// The manifest, or a settings file, is no such file.
    #[error("{file}: cannot be understood", file = file.display())]
    Manifest { file: PathBuf, source: serde_json::Error },
    /// The manifest uses a file that it does not list.
    #[error("{folder}: its manifest does not list the file `{name}`", folder = folder.display())]
    Unlisted { folder: PathBuf, name: String },
    /// The manifest names a file elsewhere.
    #[error("{folder}: its manifest names `{name}`, which is not inside the folder", folder = folder.display())]
    Outside { folder: PathBuf, name: String },
    /// The file system refused.
    #[error("{file}: cannot be read", file = file.display())]
    Io { file: PathBuf, source: io::Error },
}
