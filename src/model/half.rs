//! A model's graph in 16-bit floating point, made of the one in 32 bits when it is asked for.
//!
//! Left out on purpose: a file of it. It is made within seconds, and would be another 240 MB in each folder.

use std::path::PathBuf;

use super::{Architecture, ModelFolder, Precision};
use crate::graph::{GraphWeights, Numeric, ReadError, WeightsError, bert_encoder};

impl ModelFolder {
    /// The graph as an ONNX file's bytes.
    pub(crate) fn half_graph(&self) -> Result<Vec<u8>, HalfError> {
        let Some(Architecture::Bert(config)) = self.manifest().architecture else {
            return Err(HalfError::Foreign { folder: self.path().to_owned() });
        };
        let graph = self.graph(Precision::F32);
        let weights = GraphWeights::open(&graph, &config)?;
        let halves = bert_encoder(&config, &weights, Numeric::F16);
        Ok(halves.map_err(|source| HalfError::Weights { graph, source })?.to_bytes())
    }
}

/// Why a model does not run in 16-bit floating point.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
#[expect(missing_docs, reason = "each message explains its fields")]
pub enum HalfError {
    /// Of graphs that were made elsewhere it is not known which numbers can be narrowed.
    #[error("{folder}: its graph was made elsewhere, so it does not run in f16; use tf32 or f32, or make a folder of its weights with `tdense model import`", folder = folder.display())]
    Foreign { folder: PathBuf },
    /// The graph is damaged, or not what its folder says.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// It has other weights than its folder says, or some that 16 bits cannot hold.
    #[error("{graph}: does not run in f16; use tf32 or f32", graph = graph.display())]
    Weights { graph: PathBuf, source: WeightsError },
}
