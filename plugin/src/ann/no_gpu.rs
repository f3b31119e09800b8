//! The names of what a card does, in a build without FAISS: there is none.

use std::convert::Infallible;
use std::path::Path;

use super::{Accept, AnnError, AnnIndex, AnnParts, GpuError, Neighbour, RowsView, SearchParams};

/// FAISS on a CUDA card. This build has no FAISS, so there is none.
#[derive(Clone, Debug)]
pub struct Gpu(Infallible);

impl Gpu {
    /// Fails: this build has no FAISS.
    ///
    /// # Errors
    /// [`GpuError::NoFaiss`].
    pub fn load(_: &Path, _: u32) -> Result<Self, GpuError> {
        Err(GpuError::NoFaiss)
    }
}

/// The rows of one segment on a card. This build has none.
#[derive(Debug)]
pub struct OnCard(Infallible);

impl OnCard {
    pub(crate) fn is_for(_: usize, _: usize) -> bool {
        false
    }

    /// Is never called.
    ///
    /// # Errors
    /// None.
    pub fn exact(gpu: &Gpu, _: &RowsView) -> Result<Self, AnnError> {
        match gpu.0 {}
    }

    /// Is never called.
    ///
    /// # Errors
    /// None.
    pub fn index(gpu: &Gpu, _: &RowsView, _: &str, _: &AnnParts) -> Result<Option<Self>, AnnError> {
        match gpu.0 {}
    }

    /// Is never called.
    ///
    /// # Errors
    /// None.
    pub fn search_batch(
        &self,
        _: &dyn AnnIndex,
        _: &[&[f32]],
        _: usize,
        _: &Accept,
        _: &SearchParams,
    ) -> Result<Vec<Vec<Neighbour>>, AnnError> {
        match self.0 {}
    }
}
