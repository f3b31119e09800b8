//! A graph over rows (HNSW), by FAISS: built over the rows where they lie, and searched there.
//!
//! Facts: `m`, `ef_construction`, `entry` (the row to start from, plus 1; 0 for none), `ef_10` and
//! `ef_100` (the candidates that find enough of 10 and 100 neighbours). Sections: `levels`, a byte a
//! row; `neighbours`, i32 each, -1 for none; and the codes, where there are any.

use super::ffi::{self, GraphArrays};
use super::plan::{self, Effort};
use super::{
    Accept, AnnBackend, AnnError, AnnIndex, AnnParts, AnnSink, BuildJob, Neighbour, RowsView,
    SearchParams, calibrate, codes, exact, scan,
};
use crate::element::Element;
use crate::vector::check_row;

pub(super) const NAME: &str = "graph";

/// Candidates tried when a graph is calibrated.
const LADDER: [usize; 11] = [16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512];

/// Candidates scored by rows for each hit, where a graph is walked over codes.
const RESCORE: usize = 3;

/// The backend of [`AnnRecipe::Hnsw`](crate::AnnRecipe::Hnsw).
#[derive(Clone, Copy, Debug)]
pub struct Graph {
    m: u16,
    ef_construction: u16,
    codes: Option<Element>,
}

impl Graph {
    /// Graphs with so many neighbours a row (2 to 512) and so many candidates for a new one.
    pub fn new(m: u16, ef_construction: u16, codes: Option<Element>) -> Self {
        Self { m: m.clamp(2, 512), ef_construction: ef_construction.max(1), codes }
    }

    /// The arrays of a graph that this one can be made of.
    fn base(self, job: &BuildJob<'_>) -> Option<(GraphArrays, u32)> {
        let base = job.base?;
        let arrays = arrays(base.parts)?;
        let fits = base.rows <= job.rows.rows()
            && arrays.m == self.m
            && base.parts.fact("ef_construction") == Some(self.ef_construction.into())
            && arrays.check(base.rows).is_ok();
        fits.then_some((arrays, base.rows))
    }
}

impl AnnBackend for Graph {
    fn name(&self) -> &'static str {
        NAME
    }

    fn build(&self, job: &BuildJob<'_>, out: &mut dyn AnnSink) -> Result<(), AnnError> {
        check_lengths(job.rows)?;
        let copy = codes::of(job.rows, self.codes);
        let walked = copy.as_ref().unwrap_or(job.rows);
        let base = self.base(job);
        let base = base.as_ref().map(|(arrays, rows)| (arrays, *rows));
        let graph = ffi::Graph::build(walked, self.m, self.ef_construction, job.threads, base)?;
        let effort = calibrate::calibrate(job.rows, &LADDER, |query, k, ef| {
            let candidates = if copy.is_some() { k * RESCORE } else { k };
            graph.search(walked, query, candidates, ef.max(candidates), &Accept::All)
        })?;
        let (levels, neighbours, entry) = graph.arrays();
        out.fact("m", self.m.into());
        out.fact("ef_construction", self.ef_construction.into());
        out.fact("entry", entry.map_or(0, |entry| u64::from(entry) + 1));
        out.fact("ef_10", effort.for_10 as u64);
        out.fact("ef_100", effort.for_100 as u64);
        let mut write = || {
            out.section("levels", &mut |out| out.write_all(&levels))?;
            out.section("neighbours", &mut |out| {
                // In pieces: each is checksummed as it is written.
                neighbours.chunks(1 << 14).try_for_each(|piece| {
                    let bytes: Vec<u8> = piece.iter().flat_map(|n| n.to_le_bytes()).collect();
                    out.write_all(&bytes)
                })
            })?;
            copy.as_ref().map_or(Ok(()), |copy| codes::write(copy, out))
        };
        write().map_err(|source| AnnError::Io { backend: NAME, source })
    }

    fn open(&self, parts: &AnnParts, rows: RowsView) -> Result<Box<dyn AnnIndex>, AnnError> {
        let wrong = |what| AnnError::Parts { backend: NAME, what };
        let arrays = arrays(parts).ok_or(wrong("a part is missing"))?;
        let walked = codes::read(parts, &rows).ok_or(wrong("its codes are of other rows"))?;
        let effort = |name| parts.fact(name).and_then(|ef| usize::try_from(ef).ok());
        let effort = Effort {
            for_10: effort("ef_10").ok_or(wrong("a part is missing"))?.min(4096),
            for_100: effort("ef_100").ok_or(wrong("a part is missing"))?.min(4096),
        };
        let graph = ffi::Graph::view(arrays, rows.rows())?;
        let coded = parts.fact("codes").is_some();
        Ok(Box::new(GraphIndex { graph, rows, walked, coded, effort }))
    }
}

fn arrays(parts: &AnnParts) -> Option<GraphArrays> {
    let m =
        parts.fact("m").and_then(|m| u16::try_from(m).ok()).filter(|m| (2..=512).contains(m))?;
    let entry = parts.fact("entry").and_then(|entry| u32::try_from(entry).ok())?;
    let (levels, neighbours) = (parts.bytes("levels")?, parts.bytes("neighbours")?);
    Some(GraphArrays { m, levels, neighbours, entry: entry.checked_sub(1) })
}

/// Whether products and distances between such vectors fit `f32`.
pub(super) fn fits(vector: &[f32]) -> bool {
    super::kernel::dot(vector, vector) < 1e30
}

/// Rows whose distances do not fit `f32` have no order that a graph could be built by.
pub(super) fn check_lengths(rows: &RowsView) -> Result<(), AnnError> {
    let mut fit = true;
    rows.for_each(0..rows.rows(), |_, row| fit &= fits(row));
    let known = rows.inverse_norms().is_none_or(|norms| norms.iter().all(|norm| norm.is_finite()));
    if fit && known {
        Ok(())
    } else {
        Err(AnnError::Rows { what: "their lengths do not fit 32-bit floats" })
    }
}

#[derive(Debug)]
struct GraphIndex {
    graph: ffi::Graph,
    rows: RowsView,
    /// The rows, or codes of them.
    walked: RowsView,
    coded: bool,
    effort: Effort,
}

impl AnnIndex for GraphIndex {
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
        let candidates = match (self.coded, params.rescore) {
            (true, rescore) => wanted.saturating_mul(rescore.unwrap_or(RESCORE).max(1)),
            (false, _) => wanted,
        }
        .min(passing);
        let ef = params.ef_search.unwrap_or_else(|| self.effort.of(wanted)).max(candidates);
        if wanted > 0
            && let Some(ef) = plan::walk(rows, passing, candidates, ef)
        {
            let found = self.graph.search(&self.walked, query, candidates, ef, accept)?;
            // A walk may end where no more rows pass: then it has missed some.
            if found.len() >= wanted {
                return exact::best_of(&self.rows, query, wanted, found.into_iter());
            }
        }
        match accept.rows() {
            Some(set) => {
                let among = set.iter().take_while(|row| *row < rows).collect();
                scan::best_of(&self.rows, &self.rows, query, wanted, wanted, among)
            }
            None => exact::search(&self.rows, query, k, accept),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ann::{Base, RowSet, conformance};
    use crate::vector::Metric;

    #[test]
    fn a_graph_conforms() {
        conformance::check(&Graph::new(8, 20, None));
    }

    #[test]
    fn a_graph_over_codes_conforms() {
        conformance::check(&Graph::new(8, 20, Some(Element::Int8)));
        conformance::check(&Graph::new(8, 20, Some(Element::F16)));
    }

    fn share_found(index: &dyn AnnIndex, rows: &RowsView, k: usize, accept: &Accept) -> f64 {
        let mut query = vec![0.0; rows.dim().get()];
        let mut found = 0;
        let mut wanted = 0;
        for row in (0..rows.rows()).step_by(97) {
            rows.copy_row(row, &mut query);
            query[0] += 0.1;
            let truth = exact::search(rows, &query, k, accept).unwrap();
            let worst = truth.last().map_or(0.0, |n| n.score);
            let hits = index.search(&query, k, accept, &SearchParams::default()).unwrap();
            assert_eq!(hits.len(), truth.len());
            found += hits.iter().filter(|n| n.score >= worst).count();
            wanted += truth.len();
        }
        f64::from(u32::try_from(found).unwrap()) / f64::from(u32::try_from(wanted).unwrap())
    }

    #[test]
    fn a_graph_that_grew_finds_as_much_as_one_built_at_once() {
        let backend = Graph::new(16, 40, None);
        for metric in [Metric::Cosine, Metric::Dot, Metric::L2] {
            let rows = conformance::sample_rows(6000, 16, metric, Element::F32);
            let first = conformance::sample_rows(5000, 16, metric, Element::F32);
            assert_eq!(first.bytes_of(0..5000), rows.bytes_of(0..5000));
            let mut base = AnnParts::default();
            let job = BuildJob { rows: &first, base: None, threads: 2 };
            backend.build(&job, &mut base).unwrap();
            let mut grown = AnnParts::default();
            let base = Some(Base { parts: &base, rows: 5000 });
            backend.build(&BuildJob { rows: &rows, base, threads: 2 }, &mut grown).unwrap();
            let index = backend.open(&grown, rows.clone()).unwrap();
            let share = share_found(index.as_ref(), &rows, 10, &Accept::All);
            assert!(share > 0.95, "{metric:?}: {share}");
            let third = Accept::Rows(RowSet::from_fn(6000, |row| row % 3 == 0));
            let share = share_found(index.as_ref(), &rows, 10, &third);
            assert!(share > 0.95, "{metric:?}, a third: {share}");
        }
    }

    #[test]
    fn a_neighbour_that_is_no_row_is_refused() {
        let rows = conformance::sample_rows(500, 8, Metric::Cosine, Element::F32);
        let backend = Graph::new(4, 10, None);
        let mut parts = AnnParts::default();
        backend.build(&BuildJob { rows: &rows, base: None, threads: 1 }, &mut parts).unwrap();
        let whole = parts.bytes("neighbours").unwrap();
        for (at, wrong) in [(0, 500i32), (7, -2), (3000, i32::MAX)] {
            let mut bytes = whole.to_vec();
            bytes[4 * at..4 * at + 4].copy_from_slice(&wrong.to_le_bytes());
            let mut damaged = parts.clone();
            damaged
                .sections
                .insert("neighbours".to_owned(), tantivy::directory::OwnedBytes::new(bytes));
            let error = backend.open(&damaged, rows.clone()).unwrap_err();
            assert!(matches!(error, AnnError::Parts { .. }), "{error}");
        }
    }

    /// Rows past what f16 can hold, and a query whose products with them are infinite or no numbers.
    #[test]
    fn numbers_too_large_for_floats_keep_no_walk_from_its_end() {
        let numbers = |scale: f32| {
            let sample = conformance::sample_rows(700, 8, Metric::Dot, Element::F32);
            let mut flat = Vec::new();
            sample.for_each(0..700, |_, row| flat.extend(row.iter().map(|x| x * scale)));
            crate::Vectors::from_flat(crate::Dim::new(8).unwrap(), flat).unwrap()
        };
        for metric in [Metric::Cosine, Metric::Dot, Metric::L2] {
            for codes in [None, Some(Element::F16), Some(Element::Int8)] {
                let rows = RowsView::from_vectors(&numbers(1e6), metric, Element::F32);
                let backend = Graph::new(4, 10, codes);
                let mut parts = AnnParts::default();
                let job = BuildJob { rows: &rows, base: None, threads: 2 };
                backend.build(&job, &mut parts).unwrap();
                let index = backend.open(&parts, rows.clone()).unwrap();
                let params = SearchParams { ef_search: Some(1), ..SearchParams::default() };
                for query in [[3e38, -3e38, 3e38, -3e38, 1.0, 1.0, 3e38, 0.0], [1e-45; 8], [1.0; 8]]
                {
                    let found = index.search(&query, 3, &Accept::All, &params).unwrap();
                    assert_eq!(found.len(), 3, "{metric:?} {codes:?} {query:?}");
                }
            }
        }
    }

    #[test]
    fn rows_too_long_for_floats_get_no_graph() {
        let vectors =
            crate::Vectors::from_flat(crate::Dim::new(1).unwrap(), vec![1e20; 300]).unwrap();
        let rows = RowsView::from_vectors(&vectors, Metric::Dot, Element::F32);
        let job = BuildJob { rows: &rows, base: None, threads: 1 };
        let error = Graph::new(4, 10, None).build(&job, &mut AnnParts::default()).unwrap_err();
        assert!(matches!(error, AnnError::Rows { .. }));
    }
}
