//! Any index of FAISS's own making, from the text that its `index_factory` takes.
//!
//! One section, `index`, as FAISS writes it. It holds what FAISS keeps of the rows; what is found is
//! scored by the rows in `.vec`.

use super::ffi::gpu::CardIndex;
use super::{
    Accept, AnnBackend, AnnError, AnnIndex, AnnParts, AnnSink, BuildJob, Gpu, Neighbour, RowsView,
    SearchParams, exact, ffi, gpu, graph, lists, plan,
};
use crate::vector::{Dim, Metric, check_row};

pub(super) const NAME: &str = "faiss";

/// Rows that an index is trained on, at most: 150 MB of dim 384.
const SAMPLE: u32 = 100_000;

/// Rows that are added at once.
const BATCH: u32 = 16_384;

/// Candidates of a walk, and lists read, unless the query says otherwise: FAISS's own 16 and 1 find
/// too little.
const EF: usize = 64;
pub(super) const PROBES: usize = 16;

/// Candidates scored by rows for each hit.
pub(super) const RESCORE: usize = 4;

/// The backend of [`AnnRecipe::Factory`](crate::AnnRecipe::Factory).
#[derive(Clone, Debug)]
pub struct Factory {
    description: String,
    gpu: Option<Gpu>,
}

impl Factory {
    /// Takes a description, if FAISS makes an index of it.
    ///
    /// # Errors
    /// [`AnnError::Backend`] with what FAISS says of it.
    pub fn new(description: &str, dim: Dim, metric: Metric) -> Result<Self, AnnError> {
        ffi::Index::make(description, dim, metric)?;
        Ok(Self { description: description.to_owned(), gpu: None })
    }

    /// Where there is a card, and FAISS can build such an index there, it does.
    #[must_use]
    pub fn on(mut self, gpu: Option<&Gpu>) -> Self {
        // FAISS would build there something else of them: it takes the rest of the description for nothing.
        let is_more = self.description.contains("Dedup") || self.description.contains('+');
        self.gpu = gpu.filter(|_| !is_more).cloned();
        self
    }

    pub(super) fn to_open() -> Self {
        Self { description: String::new(), gpu: None }
    }
}

impl AnnBackend for Factory {
    fn name(&self) -> &'static str {
        NAME
    }

    fn build(&self, job: &BuildJob<'_>, out: &mut dyn AnnSink) -> Result<(), AnnError> {
        let rows = job.rows;
        graph::check_lengths(rows)?;
        let step = (rows.rows() / SAMPLE).max(1) as usize;
        let sample = lists::floats(rows, (0..rows.rows()).step_by(step));
        let batches = || {
            (0..rows.rows()).step_by(BATCH as usize).map(|first| {
                lists::floats(rows, first..rows.rows().min(first.saturating_add(BATCH)))
            })
        };
        let (dim, metric) = (rows.dim(), rows.metric());
        let index = gpu::or_else(
            self.gpu.as_ref(),
            |card| {
                let mut index = CardIndex::make(card, dim, metric, &self.description)?;
                index.train(&sample)?;
                batches().try_for_each(|batch| index.add(&batch))?;
                Ok(Made::OnCard(index.bytes()?))
            },
            || {
                let mut index = ffi::Index::make(&self.description, dim, metric)?;
                index.train(&sample, job.threads)?;
                batches().try_for_each(|batch| index.add(&batch, job.threads))?;
                Ok(Made::Here(index))
            },
        )?;
        let mut failed = None;
        let written = out.section("index", &mut |out| match &index {
            Made::OnCard(bytes) => out.write_all(bytes),
            Made::Here(index) => {
                failed = index.write(out).err();
                Ok(())
            }
        });
        match failed {
            Some(error) => Err(error),
            None => written.map_err(|source| AnnError::Io { backend: NAME, source }),
        }
    }

    fn open(&self, parts: &AnnParts, rows: RowsView) -> Result<Box<dyn AnnIndex>, AnnError> {
        let missing = AnnError::Parts { backend: NAME, what: "a part is missing" };
        let bytes = parts.bytes("index").ok_or(missing)?;
        let index = ffi::Index::view(bytes, rows.dim(), rows.rows())?;
        Ok(Box::new(FactoryIndex { index, rows }))
    }
}

/// An index that was built.
enum Made {
    /// By a card: its bytes.
    OnCard(Vec<u8>),
    /// By the processor.
    Here(ffi::Index),
}

#[derive(Debug)]
struct FactoryIndex {
    index: ffi::Index,
    rows: RowsView,
}

impl AnnIndex for FactoryIndex {
    fn search(
        &self,
        query: &[f32],
        k: usize,
        accept: &Accept,
        params: &SearchParams,
    ) -> Result<Vec<Neighbour>, AnnError> {
        check_row(self.rows.dim(), query).map_err(|source| AnnError::Query { source })?;
        let rows = self.rows.rows();
        let passing = accept.count(rows) as usize;
        let wanted = k.min(passing);
        let rescore = params.rescore.unwrap_or(RESCORE).max(1);
        let candidates = wanted.saturating_mul(rescore).min(passing);
        let ef = params.ef_search.unwrap_or(EF).max(candidates);
        // FAISS's own walks do not end where a distance is not a number.
        if wanted > 0
            && graph::fits(query)
            && let Some(ef) = plan::walk(rows, passing, candidates, ef)
        {
            // Fewer rows pass, so more lists are read for as many of them.
            let more = (rows as usize / passing.max(1)).max(1);
            let probes = params.nprobe.unwrap_or(PROBES).saturating_mul(more);
            let found = self.index.search(query, candidates, ef, probes, accept)?;
            if found.len() >= wanted {
                let sound = found.into_iter().filter(|row| *row < rows);
                return exact::best_of(&self.rows, query, wanted, sound);
            }
        }
        exact::search(&self.rows, query, k, accept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ann::conformance;
    use crate::element::Element;

    #[test]
    fn indexes_of_faiss_are_built_and_searched() {
        for description in ["Flat", "HNSW8", "HNSW8,SQ8", "IVF4,Flat", "IVF4,SQ8", "PCA8,IVF4,SQ8"]
        {
            for metric in [Metric::Cosine, Metric::Dot, Metric::L2] {
                let rows = conformance::sample_rows(700, 24, metric, Element::F32);
                let backend = Factory::new(description, rows.dim(), metric).unwrap();
                let mut parts = AnnParts::default();
                let job = BuildJob { rows: &rows, base: None, threads: 2 };
                backend.build(&job, &mut parts).unwrap();
                let index = backend.open(&parts, rows.clone()).unwrap();
                let params = SearchParams { nprobe: Some(4), ..SearchParams::default() };
                let found = index.search(&[0.5; 24], 5, &Accept::All, &params).unwrap();
                let truth = exact::search(&rows, &[0.5; 24], 5, &Accept::All).unwrap();
                let right = found.iter().filter(|n| n.score >= truth[4].score).count();
                assert!(right >= 3, "{description} {metric:?}: {found:?} {truth:?}");
            }
        }
    }

    #[test]
    fn a_query_too_large_for_floats_is_compared_with_all_rows() {
        let rows = conformance::sample_rows(700, 8, Metric::Dot, Element::F32);
        let backend = Factory::new("HNSW8", rows.dim(), Metric::Dot).unwrap();
        let mut parts = AnnParts::default();
        let job = BuildJob { rows: &rows, base: None, threads: 2 };
        backend.build(&job, &mut parts).unwrap();
        let index = backend.open(&parts, rows.clone()).unwrap();
        let params = SearchParams { ef_search: Some(1), ..SearchParams::default() };
        let query = [3e38, -3e38, 3e38, -3e38, 3e38, -3e38, 3e38, 3e38];
        assert_eq!(index.search(&query, 3, &Accept::All, &params).unwrap().len(), 3);
    }

    #[test]
    fn what_faiss_does_not_know_is_refused_with_its_words() {
        let dim = Dim::new(24).unwrap();
        let error = Factory::new("HNSW8,Nonsense", dim, Metric::Dot).unwrap_err();
        assert!(matches!(error, AnnError::Backend { .. }), "{error}");
    }
}
