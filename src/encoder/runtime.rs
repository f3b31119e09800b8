//! Finds ONNX Runtime, loads it while the program runs, and opens graphs with it.
//!
//! Invariant: a library that is absent, damaged, too old or something else is an error, never a panic or a crash: what
//! loading alone would not survive (a file cut short) is looked for before.
//!
//! Left out on purpose: the search path of the system. Which library runs decides what vectors come out, so it is the
//! one that was fetched, or one that is named.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use ort::environment::Environment;
use ort::ep::{CUDA, ExecutionProvider};
use ort::session::Session;
use ort::session::builder::SessionBuilder;

use super::device::Device;
use crate::graph::{Axis, ElementType, GraphBuilder};
use crate::model::Precision;

/// The release of ONNX Runtime that is fetched and tested with.
pub const RUNTIME_VERSION: &str = "1.31.1";

/// ONNX Runtime keeps its environment for the process's life, and loads but once.
static LOADED: Mutex<Option<Environment>> = Mutex::new(None);

/// How a graph runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings<'a> {
    /// At least 1.
    pub(crate) threads: usize,
    /// What [`Runtime::device`] gave.
    pub(crate) device: Device,
    /// Whether products may be rounded; the graph decides the rest.
    pub(crate) precision: Precision,
    /// Where each operator's time and place are written when the session ends; the name gets a date.
    pub(crate) profile: Option<&'a Path>,
}

/// ONNX Runtime, loaded. The first library that a process loads stays: later ones are not looked at.
#[derive(Clone)]
pub struct Runtime {
    environment: Environment,
}

impl Runtime {
    /// Loads a library file.
    ///
    /// # Errors
    /// [`RuntimeError`] if it is absent, damaged, too old, or no ONNX Runtime.
    pub fn load(library: &Path) -> Result<Self, RuntimeError> {
        let mut loaded = LOADED.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(environment) = &*loaded {
            return Ok(Self { environment: environment.clone() });
        }
        // A relative path would be looked for beside the program.
        let path = std::path::absolute(library).unwrap_or_else(|_| library.to_owned());
        if !path.is_file() {
            return Err(RuntimeError::Missing { library: path });
        }
        match dense_plugin::shared_library::is_cut_short(&path) {
            Ok(false) => {}
            Ok(true) => return Err(RuntimeError::CutShort { library: path }),
            Err(source) => return Err(RuntimeError::Io { library: path, source }),
        }
        let fail = |source: Box<dyn std::error::Error + Send + Sync>| RuntimeError::Load {
            library: path.clone(),
            reason: source.to_string(),
        };
        let builder = ort::init_from(&path).map_err(|error| fail(error.to_string().into()))?;
        let environment = builder.with_name("tantivy-dense").build().map_err(|e| fail(e.into()))?;
        *loaded = Some(environment.clone());
        Ok(Self { environment })
    }

    /// Where `tdense model get` puts the library in its cache folder.
    pub fn library_in(cache: &Path) -> PathBuf {
        cache
            .join(format!("onnxruntime-{RUNTIME_VERSION}"))
            .join(format!("libonnxruntime.so.{RUNTIME_VERSION}"))
    }

    /// What the library says of itself: version, commit, compiler flags.
    pub fn build_info(&self) -> &'static str {
        ort::info()
    }

    /// The device that graphs run on where this one is asked for: never [`Device::Auto`].
    ///
    /// Whether CUDA can be used is tried: library, driver and card must fit each other.
    ///
    /// # Errors
    /// [`RuntimeError::NoCuda`] if a CUDA device is asked for that cannot be used.
    pub fn device(&self, wanted: Device) -> Result<Device, RuntimeError> {
        let device = match wanted {
            Device::Cpu => return Ok(Device::Cpu),
            Device::Auto => Device::Cuda(0),
            Device::Cuda(_) => wanted,
        };
        match self.try_cuda(device) {
            Ok(()) => Ok(device),
            Err(_) if wanted == Device::Auto => Ok(Device::Cpu),
            Err(reason) => Err(RuntimeError::NoCuda { device, reason }),
        }
    }

    /// Opens a graph of one node, which takes all that a large one does.
    fn try_cuda(&self, device: Device) -> Result<(), String> {
        if !CUDA::is_available().map_err(|error| error.to_string())? {
            return Err("this ONNX Runtime is built without CUDA, as `onnxruntime` is and \
                        `onnxruntime-gpu` is not"
                .to_owned());
        }
        let mut graph = GraphBuilder::new();
        let x = graph.input("x", ElementType::F32, &[Axis::Fixed(1), Axis::Fixed(1)]);
        let y = graph.matmul(x, x);
        graph.output("y", y, ElementType::F32, &[Axis::Fixed(1), Axis::Fixed(1)]);
        let settings = Settings { threads: 1, device, precision: Precision::F32, profile: None };
        let mut session = self.session(settings).map_err(|e| said(&e))?;
        session.commit_from_memory(&graph.to_bytes()).map_err(|e| said(&e)).map(drop)
    }

    /// Opens a graph file.
    pub(crate) fn open(
        &self,
        graph: &Path,
        settings: Settings<'_>,
    ) -> Result<Session, RuntimeError> {
        let builder = self.session(settings);
        let mut builder = builder.map_err(|source| RuntimeError::Settings { source })?;
        let opened = builder.commit_from_file(graph);
        opened.map_err(|source| RuntimeError::Graph { graph: graph.to_owned(), source })
    }

    /// Opens a graph that was written just now; `name` is for messages.
    pub(crate) fn open_bytes(
        &self,
        graph: &[u8],
        name: &Path,
        settings: Settings<'_>,
    ) -> Result<Session, RuntimeError> {
        let builder = self.session(settings);
        let mut builder = builder.map_err(|source| RuntimeError::Settings { source })?;
        let opened = builder.commit_from_memory(graph);
        opened.map_err(|source| RuntimeError::Graph { graph: name.to_owned(), source })
    }

    /// The same of one of several graphs that run by turns: its threads stop between runs, so that they do not take
    /// the others' time.
    #[cfg(feature = "train")]
    pub(crate) fn open_by_turns(
        &self,
        graph: &[u8],
        name: &Path,
        settings: Settings<'_>,
    ) -> Result<Session, RuntimeError> {
        let builder = self.session(settings);
        let builder = builder.map_err(|source| RuntimeError::Settings { source })?;
        let builder = builder.with_config_entry("session.force_spinning_stop", "1");
        let opened =
            builder.map_err(ort::Error::from).and_then(|mut b| b.commit_from_memory(graph));
        opened.map_err(|source| RuntimeError::Graph { graph: name.to_owned(), source })
    }

    fn session(&self, settings: Settings<'_>) -> ort::Result<SessionBuilder> {
        let builder = Session::builder(&self.environment)?;
        let builder = builder.with_intra_threads(settings.threads)?.with_inter_threads(1)?;
        let builder = match settings.profile {
            Some(file) => builder.with_profiling(file)?,
            None => builder,
        };
        let Device::Cuda(number) = settings.device else { return Ok(builder) };
        let number =
            i32::try_from(number).map_err(|_| ort::Error::new("there is no such device"))?;
        let tf32 = settings.precision == Precision::Tf32;
        let cuda = CUDA::default().with_device_id(number).with_tf32(tf32);
        Ok(builder.with_execution_providers([cuda.build().error_on_failure()])?)
    }
}

/// What ONNX Runtime says, in one line.
fn said(error: &ort::Error) -> String {
    error.to_string().split_whitespace().collect::<Vec<_>>().join(" ")
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime").finish_non_exhaustive()
    }
}

/// Why ONNX Runtime, or a graph, could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message explains its fields")]
pub enum RuntimeError {
    /// Nothing has been fetched, or another place was meant.
    #[error("{library}: ONNX Runtime is not there; `tdense model get` fetches it", library = library.display())]
    Missing { library: PathBuf },
    /// A copy or a download was interrupted.
    #[error("{library}: the library is cut short; delete it and run `tdense model get`", library = library.display())]
    CutShort { library: PathBuf },
    /// The system's loader, or the library itself, refused.
    #[error("{library}: cannot be loaded as ONNX Runtime {RUNTIME_VERSION}: {reason}", library = library.display())]
    Load { library: PathBuf, reason: String },
    /// The file system refused.
    #[error("{library}: cannot be read", library = library.display())]
    Io { library: PathBuf, source: io::Error },
    /// The graph file is damaged, or needs another ONNX Runtime.
    #[error("{graph}: ONNX Runtime cannot open this graph", graph = graph.display())]
    Graph { graph: PathBuf, source: ort::Error },
    /// It does not take its settings.
    #[error("ONNX Runtime cannot be set up")]
    Settings { source: ort::Error },
    /// Library, driver and card do not make a CUDA device.
    #[error("device {device} cannot be used: {reason}")]
    NoCuda { device: Device, reason: String },
}
