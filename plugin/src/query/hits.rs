//! Hits that are known beforehand, as Tantivy's weight and scorer.
//!
//! Invariant: a segment's hits are in ascending order of doc ids, each doc once.

use std::collections::HashMap;
use std::sync::Arc;

use tantivy::index::SegmentId;
use tantivy::query::{EmptyScorer, Explanation, Scorer, Weight};
use tantivy::{
    DocAddress, DocId, DocSet, Score, Searcher, SegmentReader, TERMINATED, TantivyError,
};

/// A document that was found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Hit {
    pub(super) score: Score,
    pub(super) at: DocAddress,
}

/// Sorts hits, best first, equal scores by address, and keeps the first `k`.
pub(super) fn keep_best(hits: &mut Vec<Hit>, k: usize) {
    hits.sort_unstable_by(|a, b| b.score.total_cmp(&a.score).then(a.at.cmp(&b.at)));
    hits.truncate(k);
}

/// Says why a document is among the hits.
pub(super) type Explain = dyn Fn(DocAddress, Score) -> Explanation + Send + Sync;

/// The hits of all segments of one searcher.
pub(super) struct HitsWeight {
    segments: HashMap<SegmentId, SegmentHits>,
    explain: Box<Explain>,
}

struct SegmentHits {
    ord: u32,
    hits: Arc<[(DocId, Score)]>,
}

impl HitsWeight {
    pub(super) fn new(searcher: &Searcher, hits: &[Hit], explain: Box<Explain>) -> Self {
        let mut by_ord: Vec<Vec<(DocId, Score)>> =
            vec![Vec::new(); searcher.segment_readers().len()];
        for hit in hits {
            by_ord[hit.at.segment_ord as usize].push((hit.at.doc_id, hit.score));
        }
        let segments = (0u32..).zip(searcher.segment_readers()).zip(by_ord);
        let segments = segments
            .map(|((ord, reader), mut hits)| {
                hits.sort_unstable_by_key(|(doc, _)| *doc);
                (reader.segment_id(), SegmentHits { ord, hits: hits.into() })
            })
            .collect();
        Self { segments, explain }
    }
}

impl Weight for HitsWeight {
    fn scorer(&self, reader: &SegmentReader, boost: Score) -> tantivy::Result<Box<dyn Scorer>> {
        match self.segments.get(&reader.segment_id()) {
            Some(segment) if !segment.hits.is_empty() => {
                Ok(Box::new(HitsScorer { hits: segment.hits.clone(), at: 0, boost }))
            }
            _ => Ok(Box::new(EmptyScorer)),
        }
    }

    fn explain(&self, reader: &SegmentReader, doc: DocId) -> tantivy::Result<Explanation> {
        let found = self.segments.get(&reader.segment_id()).and_then(|segment| {
            let at = segment.hits.binary_search_by_key(&doc, |(doc, _)| *doc).ok()?;
            Some((segment.ord, segment.hits[at].1))
        });
        match found {
            Some((ord, score)) => Ok((self.explain)(DocAddress::new(ord, doc), score)),
            None => {
                Err(TantivyError::InvalidArgument(format!("document {doc} is not among the hits")))
            }
        }
    }
}

/// The hits of one segment.
struct HitsScorer {
    hits: Arc<[(DocId, Score)]>,
    at: usize,
    boost: Score,
}

impl DocSet for HitsScorer {
    fn advance(&mut self) -> DocId {
        self.at = (self.at + 1).min(self.hits.len());
        self.doc()
    }

    fn seek(&mut self, target: DocId) -> DocId {
        self.at += self.hits[self.at..].partition_point(|(doc, _)| *doc < target);
        self.doc()
    }

    fn doc(&self) -> DocId {
        self.hits.get(self.at).map_or(TERMINATED, |(doc, _)| *doc)
    }

    fn size_hint(&self) -> u32 {
        u32::try_from(self.hits.len()).unwrap_or(u32::MAX)
    }
}

impl Scorer for HitsScorer {
    fn score(&mut self) -> Score {
        self.hits.get(self.at).map_or(0.0, |(_, score)| *score * self.boost)
    }
}
