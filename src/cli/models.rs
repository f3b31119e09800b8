//! Which encoder a command uses: the options that say so, and where models are looked for.

use std::path::Path;
use std::sync::Arc;

#[cfg(feature = "onnx")]
use anyhow::Context;
use clap::Args;
use dense_plugin::toy::ToyEncoder;
use dense_plugin::{Dim, Encoder, Fingerprint, LanguageTag, Role};

use super::card::Wanted;
use super::vectors::Kept;
use crate::means::{LanguageMeans, MeansEncoder};

/// The name of the encoder without a model.
const TOY: &str = "toy";

/// The toy's vectors: enough to tell a few hundred short texts apart.
const TOY_DIM: usize = 256;

/// The options of every command that encodes.
#[derive(Debug, Args)]
#[command(next_help_heading = "Model")]
pub(super) struct ModelOptions {
    /// A model folder, the name of one in the cache, or `toy` (hashed character n-grams, no model:
    /// for tests). Default: the one the index was made with, or else e5-small-hybrid;
    /// `e5-small` is the model that was trained from
    #[arg(long, value_name = "NAME|DIR")]
    model: Option<String>,
    #[command(flatten)]
    #[cfg(feature = "onnx")]
    onnx: onnx::OnnxOptions,
    /// Take each language's mean off its vectors, so that languages mix: a file that `tdense model
    /// means` wrote, or `model` for those that the model brings, or `none`. Default: as the index
    /// was made, or else none
    #[arg(long, value_name = "FILE|model|none")]
    language_means: Option<String>,
    /// Encode again what an earlier run of `eval` has encoded
    #[arg(long)]
    #[cfg(feature = "onnx")]
    fresh: bool,
    #[command(flatten)]
    #[cfg(feature = "onnx")]
    cache: CacheOptions,
}

/// Where downloads and converted models are kept.
#[cfg(feature = "onnx")]
#[derive(Debug, Args)]
pub(super) struct CacheOptions {
    /// Where ONNX Runtime and models are kept [default: tantivy-dense in the XDG cache folder]
    #[arg(long, value_name = "DIR", env = "TDENSE_CACHE", hide_env_values = true)]
    cache: Option<std::path::PathBuf>,
}

#[cfg(feature = "onnx")]
impl CacheOptions {
    /// The folder, which need not be there yet.
    pub(super) fn folder(&self) -> anyhow::Result<std::path::PathBuf> {
        use etcetera::BaseStrategy;
        if let Some(folder) = &self.cache {
            return Ok(folder.clone());
        }
        let base = etcetera::choose_base_strategy().context("no home folder for the cache")?;
        Ok(base.cache_dir().join("tantivy-dense"))
    }
}

/// What a new index is made with.
pub(super) struct Chosen {
    pub(super) encoder: Arc<dyn Encoder>,
    /// What the encoder takes off, where it does.
    pub(super) means: Option<LanguageMeans>,
}

impl ModelOptions {
    /// The encoder for a new index.
    pub(super) fn chosen(&self) -> anyhow::Result<Chosen> {
        let encoder = self.encoder()?;
        let means = self.means(None)?;
        let encoder = match &means {
            Some(means) => Arc::new(MeansEncoder::new(encoder, means.clone())?),
            None => encoder,
        };
        Ok(Chosen { encoder, means })
    }

    /// The encoder alone, without language means.
    pub(super) fn encoder(&self) -> anyhow::Result<Arc<dyn Encoder>> {
        self.load(None, usize::MAX)
    }

    /// The same, of texts that are cut after so many tokens.
    #[cfg(feature = "train")]
    pub(super) fn encoder_of_the_first(&self, tokens: usize) -> anyhow::Result<Arc<dyn Encoder>> {
        self.load(None, tokens)
    }

    /// The encoder for an index that was made with `built_with`. `kept` is where the index has its means, where it
    /// was made with any.
    pub(super) fn encoder_of(
        &self,
        built_with: &Fingerprint,
        kept: &Path,
    ) -> anyhow::Result<Arc<dyn Encoder>> {
        let Some(alone) = MeansEncoder::without_means(built_with) else {
            return if self.language_means.as_deref().is_some_and(|named| named != "none") {
                Ok(self.chosen()?.encoder)
            } else {
                self.load(Some(built_with), usize::MAX)
            };
        };
        let encoder = self.load(Some(&alone), usize::MAX)?;
        let means = match &self.language_means {
            Some(_) => self.means(Some(&alone))?,
            None => Some(LanguageMeans::read(kept)?),
        };
        match means {
            Some(means) => Ok(Arc::new(MeansEncoder::new(encoder, means)?)),
            None => Ok(encoder),
        }
    }

    /// The language means that were asked for.
    fn means(&self, built_with: Option<&Fingerprint>) -> anyhow::Result<Option<LanguageMeans>> {
        match self.language_means.as_deref() {
            None | Some("none") => Ok(None),
            Some("model") => Ok(Some(self.means_of_model(built_with)?)),
            Some(file) => Ok(Some(LanguageMeans::read(file.as_ref())?)),
        }
    }

    /// The language means that the model folder brings; where none is named, that of an index.
    #[cfg_attr(not(feature = "onnx"), expect(clippy::unused_self, reason = "without models"))]
    pub(super) fn means_of_model(
        &self,
        built_with: Option<&Fingerprint>,
    ) -> anyhow::Result<LanguageMeans> {
        #[cfg(feature = "onnx")]
        if self.model.as_deref() != Some(TOY) {
            let folder = onnx::find(&self.cache.folder()?, self.model.as_deref(), built_with)?;
            let file = folder.language_means().with_context(|| {
                format!("{}: the model brings no language means", folder.path().display())
            })?;
            let means = LanguageMeans::read(&file)?;
            means.check_encoder(folder.fingerprint())?;
            return Ok(means);
        }
        let _ = built_with;
        anyhow::bail!("the toy encoder brings no language means; name a file of them")
    }

    /// The card that may be used beside the processor.
    #[cfg_attr(not(feature = "onnx"), expect(clippy::unused_self, reason = "without models"))]
    pub(super) fn card(&self) -> Wanted {
        #[cfg(feature = "onnx")]
        return self.onnx.device().into();
        #[cfg(not(feature = "onnx"))]
        Wanted::IfThere
    }

    /// The model folder that is trained, ONNX Runtime's library, and how it runs.
    #[cfg(feature = "train")]
    pub(super) fn trainable(&self) -> anyhow::Result<onnx::Trainable> {
        if self.model.as_deref() == Some(TOY) {
            anyhow::bail!(
                "the toy encoder has no weights to train; `--part linear` trains without"
            );
        }
        self.onnx.trainable(&self.cache.folder()?, self.model.as_deref())
    }

    /// The vectors that an earlier run may have kept of these texts.
    #[cfg_attr(
        not(feature = "onnx"),
        expect(clippy::unused_self, clippy::unnecessary_wraps, reason = "without models")
    )]
    pub(super) fn kept_vectors(
        &self,
        encoder: &dyn Encoder,
        role: Role,
        bodies: &[String],
        languages: &[LanguageTag],
    ) -> anyhow::Result<Option<Kept>> {
        #[cfg(feature = "onnx")]
        if self.model.as_deref() != Some(TOY) {
            let folder = self.cache.folder()?.join("vectors");
            let precision = self.onnx.precision(&self.cache.folder()?)?;
            let kept = Kept::new(&folder, encoder, precision, role, bodies, languages);
            return Ok(Some(if self.fresh { kept.forgotten() } else { kept }));
        }
        let _ = (encoder, role, bodies, languages);
        Ok(None)
    }

    /// The numbers that a model runs in.
    #[cfg(feature = "train")]
    pub(super) fn precision(&self) -> anyhow::Result<crate::model::Precision> {
        if self.model.as_deref() == Some(TOY) {
            return Ok(crate::model::Precision::default());
        }
        self.onnx.precision(&self.cache.folder()?)
    }

    /// How many texts are encoded together, where so many are usual: more on a CUDA device, to fill it with batches
    /// of texts of like length while later ones are tokenized.
    #[cfg_attr(not(feature = "onnx"), expect(clippy::unused_self, reason = "without models"))]
    pub(super) fn documents_together(&self, usual: usize) -> usize {
        #[cfg(feature = "onnx")]
        if self.model.as_deref() != Some(TOY)
            && self.cache.folder().is_ok_and(|cache| self.onnx.is_on_cuda(&cache))
        {
            return onnx::CUDA_DOCUMENTS;
        }
        usual
    }

    fn load(
        &self,
        built_with: Option<&Fingerprint>,
        max_tokens: usize,
    ) -> anyhow::Result<Arc<dyn Encoder>> {
        let named = self.model.as_deref();
        let toy = ToyEncoder::new(Dim::new(TOY_DIM)?);
        let wants_toy = built_with.is_some_and(|fingerprint| fingerprint == toy.fingerprint());
        if named == Some(TOY) || (named.is_none() && wants_toy) {
            return Ok(Arc::new(toy));
        }
        #[cfg(feature = "onnx")]
        return self.onnx.load(&self.cache.folder()?, named, built_with, max_tokens);
        #[cfg(not(feature = "onnx"))]
        let _ = max_tokens;
        #[cfg(not(feature = "onnx"))]
        anyhow::bail!("this build has no ONNX Runtime, so it runs no model but `--model toy`");
    }
}

#[cfg(feature = "onnx")]
pub(super) mod onnx {
    use std::path::{Path, PathBuf};
    use std::sync::Arc;

    use clap::Args;
    use dense_plugin::{Encoder, Fingerprint};

    use crate::encoder::{Device, OnnxEncoder, Runtime};
    use crate::model::{BASE_MODEL, DEFAULT_MODEL, ModelFolder, Precision};

    /// A shorter name for the model that the default one was trained from.
    const BASE: &str = "e5-small";

    /// Documents that a CUDA device encodes together: of 30 tokens, 15 batches; of 128, what 4 MiB of text hold is fewer.
    pub(super) const CUDA_DOCUMENTS: usize = 16_384;

    /// How a model runs.
    #[derive(Debug, Args)]
    pub(in crate::cli) struct OnnxOptions {
        /// The numbers it runs in: int8 is about twice as fast on a processor, f32 exact; tf32 is f32 with
        /// products that CUDA rounds, f16 half as large and for CUDA [default: int8, and f32 on CUDA]
        #[arg(long, value_name = "int8|f32|tf32|f16")]
        precision: Option<Precision>,
        /// Where to run it: cpu, cuda, cuda:N, or auto, which is CUDA where it can be used
        #[arg(long, default_value = "auto")]
        device: Device,
        /// Threads for the model; 0: one a core
        #[arg(long, value_name = "N", default_value_t = 0)]
        threads: usize,
        /// ONNX Runtime's library [default: the one that `tdense model get` fetched]
        #[arg(long, value_name = "FILE", env = "ORT_DYLIB_PATH", hide_env_values = true)]
        onnxruntime: Option<PathBuf>,
    }

    /// A model that can be trained.
    #[cfg(feature = "train")]
    #[derive(Clone)]
    pub(in crate::cli) struct Trainable {
        pub(in crate::cli) folder: ModelFolder,
        pub(in crate::cli) library: PathBuf,
        pub(in crate::cli) threads: usize,
        pub(in crate::cli) device: Device,
        /// Steps are made in f32 where none is asked for, on any device.
        pub(in crate::cli) precision: Precision,
    }

    impl OnnxOptions {
        #[cfg(feature = "train")]
        pub(super) fn trainable(
            &self,
            cache: &Path,
            named: Option<&str>,
        ) -> anyhow::Result<Trainable> {
            Ok(Trainable {
                folder: find(cache, named, None)?,
                library: self.library(cache),
                threads: self.threads,
                device: self.device,
                precision: self.precision.unwrap_or(Precision::F32),
            })
        }

        pub(super) fn load(
            &self,
            cache: &Path,
            named: Option<&str>,
            built_with: Option<&Fingerprint>,
            max_tokens: usize,
        ) -> anyhow::Result<Arc<dyn Encoder>> {
            let folder = find(cache, named, built_with)?;
            let builder = OnnxEncoder::builder(folder).device(self.device).threads(self.threads);
            let builder = match self.precision {
                Some(precision) => builder.precision(precision),
                None => builder,
            };
            let builder = builder.runtime(self.library(cache)).max_tokens(max_tokens);
            Ok(Arc::new(builder.build()?))
        }

        /// The numbers that a model runs in, which may depend on the device.
        pub(super) fn precision(&self, cache: &Path) -> anyhow::Result<Precision> {
            if let Some(precision) = self.precision {
                return Ok(precision);
            }
            let runtime = Runtime::load(&self.library(cache))?;
            Ok(Precision::usual_on(runtime.device(self.device)?))
        }

        pub(super) fn device(&self) -> Device {
            self.device
        }

        pub(super) fn is_on_cuda(&self, cache: &Path) -> bool {
            let device =
                Runtime::load(&self.library(cache)).and_then(|runtime| runtime.device(self.device));
            matches!(device, Ok(Device::Cuda(_)))
        }

        fn library(&self, cache: &Path) -> PathBuf {
            self.onnxruntime.clone().unwrap_or_else(|| Runtime::library_in(cache))
        }
    }

    /// The folder that is named; or else the one in the cache that an index was made with; or else
    /// the default.
    pub(in crate::cli) fn find(
        cache: &Path,
        named: Option<&str>,
        built_with: Option<&Fingerprint>,
    ) -> anyhow::Result<ModelFolder> {
        let models = cache.join("models");
        if let Some(named) = named {
            let mut by_name = models.join(named);
            if named == BASE && !by_name.exists() {
                by_name = models.join(BASE_MODEL);
            }
            let is_path = named.contains(std::path::MAIN_SEPARATOR) || !by_name.exists();
            let folder = if is_path { PathBuf::from(named) } else { by_name };
            return Ok(ModelFolder::open(&folder)?);
        }
        let default = models.join(DEFAULT_MODEL);
        let fits =
            |folder: &ModelFolder| built_with.is_none_or(|with| folder.fingerprint() == with);
        let opened = ModelFolder::open(&default);
        // First the default: a folder of somebody else's is hashed whole when it is opened.
        if built_with.is_none() || opened.as_ref().is_ok_and(fits) {
            return Ok(opened?);
        }
        let others = std::fs::read_dir(&models).into_iter().flatten().flatten();
        let known = others.filter_map(|entry| ModelFolder::open(entry.path()).ok()).find(fits);
        // None fits: the default's own fingerprint stands in the error that follows.
        known.map_or_else(|| Ok(opened?), Ok)
    }
}
