//! Nearest neighbours in one segment: which rows pass, and which documents their best rows make.
//!
//! Invariant: a document is returned at most once, with the score of its best row, and never if it
//! is deleted or does not pass the filter.

use std::collections::HashMap;
use std::sync::Arc;

use tantivy::query::Weight;
use tantivy::{DocId, Score, SegmentReader, TantivyError};

use crate::ann::{Accept, AnnError, Gpu, Neighbour, OnCard, RowSet, SearchParams};
use crate::segment::{Docs, OpenField};

/// What to look for.
pub(super) struct Target<'a> {
    /// Vectors, each of which looks for documents of its own.
    pub(super) vectors: &'a [&'a [f32]],
    /// How many documents for each.
    pub(super) k: usize,
    /// A document that must not be found.
    pub(super) except: Option<DocId>,
    /// How hard to look.
    pub(super) effort: Effort,
    /// A card that is asked too.
    pub(super) gpu: Option<&'a Gpu>,
}

/// How hard to look.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Effort {
    /// Compare every row that passes.
    Exact,
    /// As the index and these settings have it.
    Index(SearchParams),
}

/// For each vector the best `k` documents of a segment. Of equal ones, those with lower doc ids.
pub(super) fn search(
    field: &OpenField,
    reader: &SegmentReader,
    filter: Option<&dyn Weight>,
    target: &Target<'_>,
) -> tantivy::Result<Vec<Vec<(DocId, Score)>>> {
    let accept = accept(field, reader, filter, target.except)?;
    let (index, params) = match target.effort {
        Effort::Exact => (field.exact(), SearchParams::default()),
        Effort::Index(params) => (field.index(), params),
    };
    let passing = accept.count(field.rows().rows()) as usize;
    let gpu = target.gpu.filter(|_| OnCard::is_for(passing, target.k));
    let on_card = gpu.and_then(|gpu| match target.effort {
        Effort::Exact => field.rows_on_card(gpu),
        Effort::Index(_) => field.index_on_card(gpu),
    });
    best_docs(field, target.vectors, target.k, &accept, |vectors, k, accept| match &on_card {
        Some(card) => card.search_batch(&*index, vectors, k, accept, &params),
        None => index.search_batch(vectors, k, accept, &params),
    })
}

/// Which rows pass.
fn accept(
    field: &OpenField,
    reader: &SegmentReader,
    filter: Option<&dyn Weight>,
    except: Option<DocId>,
) -> tantivy::Result<Accept> {
    let mut accept = match filter {
        Some(filter) => Accept::Rows(filtered(field, reader, filter)?),
        None => Accept::All,
    };
    if let Some(alive) = alive(field, reader)? {
        accept = match accept {
            Accept::All => Accept::Shared(alive),
            Accept::Rows(mut rows) => {
                rows.intersect(&alive);
                Accept::Rows(rows)
            }
            shared @ Accept::Shared(_) => shared,
        };
    }
    if let Some(doc) = except {
        let mut rows = accept.into_rows(field.rows().rows());
        field.docs()?.rows_of(doc).into_iter().for_each(|row| rows.remove(row));
        accept = Accept::Rows(rows);
    }
    Ok(accept)
}

/// The rows of documents that were not deleted; none where none was.
fn alive(field: &OpenField, reader: &SegmentReader) -> tantivy::Result<Option<Arc<RowSet>>> {
    let Some(alive) = reader.alive_bitset() else { return Ok(None) };
    let rows = field.alive(reader.delete_opstamp(), || {
        let docs = field.docs()?;
        Ok(RowSet::from_fn(field.rows().rows(), |row| alive.is_alive(docs.of(row))))
    })?;
    Ok(Some(rows))
}

/// The rows of documents that a filter matches, deleted ones too.
fn filtered(
    field: &OpenField,
    reader: &SegmentReader,
    filter: &dyn Weight,
) -> tantivy::Result<RowSet> {
    let docs = field.docs()?;
    let rows = field.rows().rows();
    // Where each document has one row, in order, a row's number is its document's.
    let same = docs.in_order() && docs.one_row_each() && rows == reader.max_doc();
    let mut matching = RowSet::none(reader.max_doc());
    filter.for_each_no_score(reader, &mut |found| {
        for doc in found {
            matching.insert(*doc);
        }
    })?;
    if same {
        return Ok(matching);
    }
    let count = u64::from(matching.count());
    // Looking a document up takes about the logarithm of the rows.
    if docs.in_order() && count * u64::from(rows.max(2).ilog2()) < u64::from(rows) {
        let mut passing = RowSet::none(rows);
        for doc in matching.iter() {
            docs.rows_of(doc).into_iter().for_each(|row| passing.insert(row));
        }
        return Ok(passing);
    }
    Ok(RowSet::from_fn(rows, |row| matching.contains(docs.of(row))))
}

/// The best `k` documents for each vector. Rows are asked for until they make `k` documents.
fn best_docs(
    field: &OpenField,
    vectors: &[&[f32]],
    k: usize,
    accept: &Accept,
    search: impl Fn(&[&[f32]], usize, &Accept) -> Result<Vec<Vec<Neighbour>>, AnnError>,
) -> tantivy::Result<Vec<Vec<(DocId, Score)>>> {
    let docs = field.docs()?;
    let passing = accept.count(field.rows().rows()) as usize;
    let mut wanted = match (docs.one_row_each(), docs.in_order()) {
        (true, true) => k,
        // One more shows whether the last of the k is tied.
        (true, false) => k.saturating_add(1),
        (false, _) => k.saturating_mul(2),
    }
    .min(passing);
    let mut done = vec![Vec::new(); vectors.len()];
    let mut open: Vec<usize> = (0..vectors.len()).collect();
    while !open.is_empty() {
        let of_open: Vec<&[f32]> = open.iter().map(|at| vectors[*at]).collect();
        let found = search(&of_open, wanted, accept).map_err(as_tantivy)?;
        let mut short = Vec::new();
        for (at, found) in open.into_iter().zip(found) {
            let all = wanted == passing || found.len() < wanted;
            let last = found.last().map(|row| row.score);
            let best = documents(docs, found, k);
            // Rows of one score come by ordinal. Where that is not the order of docs, a row that was
            // not asked for may tie with the last document and belong to an earlier one.
            let tied =
                !docs.in_order() && best.last().zip(last).is_some_and(|(doc, last)| last >= doc.1);
            if all || best.len() == k && !tied {
                done[at] = best;
            } else {
                short.push(at);
            }
        }
        open = short;
        wanted = wanted.saturating_mul(4).min(passing);
    }
    Ok(done)
}

/// The best `k` documents that rows make, which come best first: so a document's first is its best.
fn documents(docs: Docs<'_>, found: Vec<Neighbour>, k: usize) -> Vec<(DocId, Score)> {
    let mut best: Vec<(DocId, Score)> = if docs.one_row_each() {
        found.into_iter().map(|Neighbour { row, score }| (docs.of(row), score)).collect()
    } else {
        let mut best: HashMap<DocId, Score> = HashMap::with_capacity(k.min(found.len()));
        for Neighbour { row, score } in &found {
            best.entry(docs.of(*row)).or_insert(*score);
        }
        best.into_iter().collect()
    };
    best.sort_unstable_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
    best.truncate(k);
    best
}

fn as_tantivy(error: AnnError) -> TantivyError {
    match error {
        AnnError::Query { source } => TantivyError::InvalidArgument(source.to_string()),
        other => TantivyError::InternalError(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Write;

    use proptest::prelude::*;
    use tantivy::directory::OwnedBytes;
    use tantivy::index::SegmentId;
    use tantivy::schema::Schema;

    use super::*;
    use crate::segment::file::VecFileWriter;
    use crate::segment::format::{FieldEntry, Kind, VecFile};
    use crate::segment::reader::doc_flags;
    use crate::{DenseField, DenseOptions, DenseSchemaBuilder, Dim, Element, Metric};

    /// A field of one dimension, its rows in any order of docs, as a merge may leave them.
    fn field(rows: &[(DocId, f32)]) -> OpenField {
        let dim = Dim::new(1).unwrap();
        let mut schema = Schema::builder();
        schema.add_dense_field("v", DenseOptions::new(dim).metric(Metric::Dot));
        let mut file = VecFileWriter::new(Vec::new(), 20).unwrap();
        let mut put =
            |kind, bytes: Vec<u8>| file.section(kind, |out| out.write_all(&bytes)).unwrap();
        let sections = vec![
            put(Kind::Rows, rows.iter().flat_map(|(_, x)| x.to_le_bytes()).collect()),
            put(Kind::Docs, rows.iter().flat_map(|(doc, _)| doc.to_le_bytes()).collect()),
        ];
        file.field(FieldEntry {
            field: 0,
            dim,
            element: Element::F32,
            metric: Metric::Dot,
            rows: u32::try_from(rows.len()).unwrap(),
            flags: doc_flags(&rows.iter().map(|(doc, _)| *doc)),
            refused: 0,
            sections,
        });
        let file = VecFile::parse(OwnedBytes::new(file.finish().unwrap())).unwrap();
        let dense = DenseField::all(&schema.build()).unwrap().remove(0);
        OpenField::open(SegmentId::generate_random(), &file, &dense).unwrap()
    }

    proptest! {
        #[test]
        fn rows_in_any_order_make_the_documents_that_brute_force_finds(
            rows in prop::collection::vec((0u32..20, (-2i8..3).prop_map(f32::from)), 0..60),
            passing in prop::collection::btree_set(0u32..20, 0..20),
            k in 0usize..25,
        ) {
            let field = field(&rows);
            let docs = field.docs().unwrap();
            let accept = Accept::Rows(RowSet::from_fn(field.rows().rows(), |row| {
                passing.contains(&docs.of(row))
            }));
            let mut best: BTreeMap<DocId, f32> = BTreeMap::new();
            for (doc, x) in rows.iter().filter(|(doc, _)| passing.contains(doc)) {
                best.entry(*doc).and_modify(|known| *known = known.max(*x)).or_insert(*x);
            }
            let mut expected: Vec<(DocId, f32)> = best.into_iter().collect();
            expected.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
            expected.truncate(k);
            let exact = field.exact();
            let found = best_docs(&field, &[&[1.0][..], &[2.0]], k, &accept, |vectors, k, accept| {
                exact.search_batch(vectors, k, accept, &SearchParams::default())
            });
            let twice = expected.iter().map(|(doc, x)| (*doc, 2.0 * x)).collect();
            prop_assert_eq!(found.unwrap(), [expected, twice]);
            for doc in 0..20 {
                let of_doc = (0u32..).zip(&rows).filter(|(_, row)| row.0 == doc);
                let of_doc: Vec<u32> = of_doc.map(|(row, _)| row).collect();
                prop_assert_eq!(docs.rows_of(doc), of_doc);
            }
        }
    }
}
