//! Lists of rows around centroids (an inverted file): FAISS finds the centroids and assigns the rows,
//! and the rows of the nearest lists are compared where they lie.
//!
//! Facts: `probe_10` and `probe_100`, the lists that hold enough of 10 and 100 neighbours. Sections:
//! `centroids`, f32; `ends`, u32 each, where each list ends; `rows`, u32 each, list after list; and
//! the codes, where there are any.

use tantivy::directory::OwnedBytes;
use zerocopy::{FromBytes, LE, U32};

use super::ffi::gpu::CardIndex;
use super::plan::Effort;
use super::{
    Accept, AnnBackend, AnnError, AnnIndex, AnnParts, AnnSink, BuildJob, Floats, Gpu, Neighbour,
    RowsView, SearchParams, calibrate, codes, exact, ffi, gpu, graph, scan,
};
use crate::element::Element;
use crate::vector::{Metric, check_row};

pub(super) const NAME: &str = "lists";

/// Rows that centroids are found from, for each list: more make no better ones (FAISS warns below 39).
const SAMPLE: u32 = 64;

/// Rows that are brought into floats at once.
const BATCH: u32 = 16_384;

/// Lists tried when an index is calibrated.
const LADDER: [usize; 10] = [1, 2, 4, 8, 16, 24, 32, 64, 128, 256];

/// Candidates scored by rows for each hit, where codes are compared.
pub(super) const RESCORE: usize = 4;

/// The backend of [`AnnRecipe::Ivf`](crate::AnnRecipe::Ivf).
#[derive(Clone, Debug)]
pub struct Lists {
    wanted: Option<u32>,
    codes: Option<Element>,
    gpu: Option<Gpu>,
}

impl Lists {
    /// So many lists; none stands for 4 times the square root of the rows.
    pub fn new(lists: Option<u32>, codes: Option<Element>) -> Self {
        Self { wanted: lists, codes, gpu: None }
    }

    /// Where there is a card, centroids are found and rows given to them there.
    #[must_use]
    pub fn on(mut self, gpu: Option<&Gpu>) -> Self {
        self.gpu = gpu.cloned();
        self
    }

    fn count(&self, rows: u32) -> u32 {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "below rows")]
        let usual = (4.0 * f64::from(rows).sqrt()) as u32;
        // Fewer than 16 rows a list are no cluster.
        self.wanted.unwrap_or(usual).clamp(1, (rows / 16).max(1))
    }
}

impl AnnBackend for Lists {
    fn name(&self) -> &'static str {
        NAME
    }

    fn build(&self, job: &BuildJob<'_>, out: &mut dyn AnnSink) -> Result<(), AnnError> {
        let rows = job.rows;
        graph::check_lengths(rows)?;
        let lists = self.count(rows.rows());
        let sample = u64::from(lists) * u64::from(SAMPLE);
        let step = (u64::from(rows.rows()) / sample).max(1);
        let step = usize::try_from(step).expect("fewer than 2^32 rows");
        let centroids = if rows.rows() == 0 {
            vec![0.0; rows.dim().get()]
        } else {
            let sample = floats(rows, (0..rows.rows()).step_by(step));
            let (dim, metric) = (rows.dim(), rows.metric());
            gpu::or_else(
                self.gpu.as_ref(),
                |card| card.kmeans(dim, metric, &sample, lists),
                || ffi::kmeans(dim, metric, &sample, lists, job.threads),
            )?
        };
        let of_list = gpu::or_else(
            self.gpu.as_ref(),
            |card| {
                let nearest = CardIndex::of_centroids(card, rows.dim(), rows.metric(), &centroids)?;
                given_to_lists(rows, lists, |batch| {
                    let (_, labels) = nearest.search(batch, 1, None)?;
                    Ok(labels)
                })
            },
            || {
                given_to_lists(rows, lists, |batch| {
                    ffi::assign(rows.dim(), rows.metric(), &centroids, batch, job.threads)
                })
            },
        )?;
        let copy = codes::of(rows, self.codes);
        let mut end = 0;
        let ends = of_list.iter().map(|list| {
            end += u32::try_from(list.len()).expect("fewer than 2^32 rows");
            end
        });
        let bytes = |numbers: &mut dyn Iterator<Item = u32>| -> OwnedBytes {
            OwnedBytes::new(numbers.flat_map(u32::to_le_bytes).collect::<Vec<u8>>())
        };
        let bytes_of_centroids: Vec<u8> = centroids.iter().flat_map(|x| x.to_le_bytes()).collect();
        let index = ListsIndex {
            centroids: rows_of(OwnedBytes::new(bytes_of_centroids), rows).ok_or_else(missing)?,
            ends: bytes(&mut ends.into_iter()),
            order: bytes(&mut of_list.iter().flatten().copied()),
            walked: copy.clone().unwrap_or_else(|| rows.clone()),
            rows: rows.clone(),
            coded: copy.is_some(),
            effort: Effort { for_10: 1, for_100: 1 },
        };
        let effort = calibrate::calibrate(rows, &LADDER, |query, k, probes| {
            let params = SearchParams { nprobe: Some(probes), ..SearchParams::default() };
            let found = index.read(&[query], k.min(rows.rows() as usize), &Accept::All, &params)?;
            Ok(found.concat().into_iter().map(|n| n.row).collect())
        })?;
        out.fact("probe_10", effort.for_10 as u64);
        out.fact("probe_100", effort.for_100 as u64);
        let mut write = || {
            let bytes_of_centroids = index.centroids.bytes_of(0..index.centroids.rows());
            out.section("centroids", &mut |out| out.write_all(bytes_of_centroids))?;
            out.section("ends", &mut |out| out.write_all(&index.ends))?;
            out.section("rows", &mut |out| out.write_all(&index.order))?;
            copy.as_ref().map_or(Ok(()), |copy| codes::write(copy, out))
        };
        write().map_err(|source| AnnError::Io { backend: NAME, source })
    }

    fn open(&self, parts: &AnnParts, rows: RowsView) -> Result<Box<dyn AnnIndex>, AnnError> {
        let wrong = |what| AnnError::Parts { backend: NAME, what };
        let centroids = parts.bytes("centroids").ok_or_else(missing)?;
        let index = ListsIndex {
            centroids: rows_of(centroids, &rows).ok_or_else(missing)?,
            ends: parts.bytes("ends").ok_or_else(missing)?,
            order: parts.bytes("rows").ok_or_else(missing)?,
            walked: codes::read(parts, &rows).ok_or(wrong("its codes are of other rows"))?,
            coded: parts.fact("codes").is_some(),
            effort: effort(parts).ok_or_else(missing)?,
            rows,
        };
        index.check().map_err(wrong)?;
        Ok(Box::new(index))
    }
}

/// The rows of each list, given to it by the number of the list that is found for each of a batch.
fn given_to_lists(
    rows: &RowsView,
    lists: u32,
    mut assign: impl FnMut(&[f32]) -> Result<Vec<i64>, AnnError>,
) -> Result<Vec<Vec<u32>>, AnnError> {
    let mut of_list: Vec<Vec<u32>> = vec![Vec::new(); lists as usize];
    for first in (0..rows.rows()).step_by(BATCH as usize) {
        let batch = first..rows.rows().min(first.saturating_add(BATCH));
        let labels = assign(&floats(rows, batch.clone()))?;
        for (row, label) in batch.zip(labels) {
            // A row that is near to none (it has a NaN for a distance) goes to the first.
            of_list[usize::try_from(label).unwrap_or(0)].push(row);
        }
    }
    Ok(of_list)
}

/// Centroids, and how many lists are read, of an index that was opened.
pub(super) fn around(parts: &AnnParts) -> Option<(Floats, Effort)> {
    Some((Floats::new(parts.bytes("centroids")?), effort(parts)?))
}

fn effort(parts: &AnnParts) -> Option<Effort> {
    let effort = |name| parts.fact(name).and_then(|n| usize::try_from(n).ok());
    Some(Effort {
        for_10: effort("probe_10")?.min(1 << 20),
        for_100: effort("probe_100")?.min(1 << 20),
    })
}

/// Some rows as floats; those of a cosine with length 1.
pub(super) fn floats(rows: &RowsView, among: impl Iterator<Item = u32>) -> Vec<f32> {
    let norms = rows.inverse_norms().filter(|_| rows.metric() == Metric::Cosine);
    let mut flat = Vec::new();
    rows.for_each(among, |row, vector| {
        let factor = norms.map_or(1.0, |norms| norms[row as usize]);
        flat.extend(vector.iter().map(|x| x * factor));
    });
    flat
}

fn missing() -> AnnError {
    AnnError::Parts { backend: NAME, what: "a part is missing" }
}

/// Centroids as rows that are compared like those around them; of a cosine they have length 1.
fn rows_of(centroids: OwnedBytes, rows: &RowsView) -> Option<RowsView> {
    RowsView::new(centroids, Element::F32, rows.dim(), rows.metric(), None, None)
}

#[derive(Debug)]
struct ListsIndex {
    centroids: RowsView,
    ends: OwnedBytes,
    order: OwnedBytes,
    rows: RowsView,
    /// The rows, or codes of them.
    walked: RowsView,
    coded: bool,
    effort: Effort,
}

impl ListsIndex {
    fn ends(&self) -> &[U32<LE>] {
        <[U32<LE>]>::ref_from_bytes(&self.ends).unwrap_or_default()
    }

    fn order(&self) -> &[U32<LE>] {
        <[U32<LE>]>::ref_from_bytes(&self.order).unwrap_or_default()
    }

    /// Whether each row is in one list, and each list lies in the table of rows.
    fn check(&self) -> Result<(), &'static str> {
        let (ends, order, rows) = (self.ends(), self.order(), self.rows.rows());
        let whole = ends.len() * 4 == self.ends.len() && order.len() * 4 == self.order.len();
        if !whole || ends.is_empty() || self.centroids.rows() as usize != ends.len() {
            return Err("centroids and lists do not fit each other");
        }
        let mut finite = true;
        self.centroids.for_each(0..self.centroids.rows(), |_, centroid| {
            finite &= centroid.iter().all(|x| x.is_finite());
        });
        if !finite {
            return Err("a centroid is not finite");
        }
        let ascending = ends.windows(2).all(|pair| pair[0].get() <= pair[1].get());
        if !ascending
            || ends.last().map(|end| end.get()) != Some(rows)
            || order.len() != rows as usize
        {
            return Err("lists of other rows");
        }
        let mut seen = super::RowSet::none(rows);
        for row in order {
            if row.get() >= rows || seen.contains(row.get()) {
                return Err("a row that is not there, or twice");
            }
            seen.insert(row.get());
        }
        Ok(())
    }

    /// For each query the best of the rows that pass in the nearest lists, and in as many more as it takes
    /// to find `k` of them. At least `k` pass.
    fn read(
        &self,
        queries: &[&[f32]],
        k: usize,
        accept: &Accept,
        params: &SearchParams,
    ) -> Result<Vec<Vec<Neighbour>>, AnnError> {
        let probes = params.nprobe.unwrap_or_else(|| self.effort.of(k)).max(1);
        let nearest = exact::search_batch(&self.centroids, queries, probes, &Accept::All)?;
        let of_each = queries.iter().zip(nearest);
        of_each
            .map(|(query, nearest)| self.read_lists(query, &nearest, k, accept, params))
            .collect()
    }

    fn read_lists(
        &self,
        query: &[f32],
        nearest: &[Neighbour],
        k: usize,
        accept: &Accept,
        params: &SearchParams,
    ) -> Result<Vec<Neighbour>, AnnError> {
        let candidates =
            if self.coded { k.saturating_mul(params.rescore.unwrap_or(RESCORE).max(1)) } else { k };
        let mut among = Vec::new();
        for list in nearest {
            self.pass(list.row, accept, &mut among);
        }
        if among.len() < candidates && nearest.len() < self.centroids.rows() as usize {
            let all = exact::search(&self.centroids, query, usize::MAX, &Accept::All)?;
            for list in &all[nearest.len()..] {
                if among.len() >= candidates {
                    break;
                }
                self.pass(list.row, accept, &mut among);
            }
        }
        scan::best_of(&self.rows, &self.walked, query, k, candidates, among)
    }

    /// Adds the rows of a list that pass.
    fn pass(&self, list: u32, accept: &Accept, among: &mut Vec<u32>) {
        let (ends, order, list) = (self.ends(), self.order(), list as usize);
        let start = list.checked_sub(1).map_or(0, |before| ends[before].get());
        let of_list = order[start as usize..ends[list].get() as usize].iter().map(|row| row.get());
        match accept.rows() {
            None => among.extend(of_list),
            Some(set) => among.extend(of_list.filter(|row| set.contains(*row))),
        }
    }
}

impl AnnIndex for ListsIndex {
    fn search(
        &self,
        query: &[f32],
        k: usize,
        accept: &Accept,
        params: &SearchParams,
    ) -> Result<Vec<Neighbour>, AnnError> {
        Ok(self.search_batch(&[query], k, accept, params)?.concat())
    }

    /// The lists are found for all queries together.
    fn search_batch(
        &self,
        queries: &[&[f32]],
        k: usize,
        accept: &Accept,
        params: &SearchParams,
    ) -> Result<Vec<Vec<Neighbour>>, AnnError> {
        for query in queries {
            check_row(self.rows.dim(), query).map_err(|source| AnnError::Query { source })?;
        }
        let passing = accept.count(self.rows.rows()) as usize;
        if passing <= super::FEWEST as usize {
            return exact::search_batch(&self.rows, queries, k, accept);
        }
        self.read(queries, k.min(passing), accept, params)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ann::conformance;

    #[test]
    fn lists_conform() {
        conformance::check(&Lists::new(None, None));
        conformance::check(&Lists::new(Some(3), Some(Element::Int8)));
    }
}
