//! FAISS on a CUDA card, for the commands that build indexes or search in batches.

use std::path::PathBuf;

use clap::Args;
use dense_plugin::{DenseIndex, Gpu, GpuError};

/// Where FAISS for cards is.
#[derive(Debug, Args)]
pub(super) struct CardOptions {
    /// FAISS for CUDA cards, which `make faiss-gpu` builds: `ivf` recipes are built, and queries of a file
    /// searched for, on the card that --device names, or with auto where there is one [default: none]
    #[arg(long, value_name = "FILE", env = "TDENSE_FAISS_GPU", hide_env_values = true)]
    faiss_gpu: Option<PathBuf>,
}

/// Which card may be used, as `--device` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(feature = "onnx"), expect(dead_code, reason = "no models, no `--device`"))]
pub(super) enum Wanted {
    /// None.
    No,
    /// The first, if there is one.
    IfThere,
    /// The one of this number.
    Card(u32),
}

#[cfg(feature = "onnx")]
impl From<crate::encoder::Device> for Wanted {
    fn from(device: crate::encoder::Device) -> Self {
        match device {
            crate::encoder::Device::Auto => Self::IfThere,
            crate::encoder::Device::Cpu => Self::No,
            crate::encoder::Device::Cuda(number) => Self::Card(number),
        }
    }
}

impl CardOptions {
    /// Lets an index use a card. A library that is named and cannot be loaded is an error, unless no
    /// card is wanted.
    pub(super) fn lend(&self, index: &DenseIndex, wanted: Wanted) -> anyhow::Result<()> {
        let Some(library) = self.faiss_gpu.as_deref() else { return Ok(()) };
        let card = match wanted {
            Wanted::No => return Ok(()),
            Wanted::IfThere => 0,
            Wanted::Card(number) => number,
        };
        match Gpu::load(library, card) {
            Ok(gpu) => index.use_gpu(gpu),
            Err(GpuError::NoCard { .. }) if wanted == Wanted::IfThere => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }
}
