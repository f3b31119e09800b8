//! Whether a searcher sees one commit, all of it and nothing else.

use std::collections::BTreeMap;
use std::sync::Arc;

use tantivy::collector::{Count, DocSetCollector, TopDocs};
use tantivy::columnar::Column;
use tantivy::query::{Query, RangeQuery, TermQuery};
use tantivy::schema::{Field, IndexRecordOption};
use tantivy::{DocAddress, Searcher, Term};
use tantivy_dense::KnnQuery;

use super::{Chance, Fields, history};

/// A searcher, and what it must find.
pub(super) struct Seen {
    searcher: Searcher,
    fields: Fields,
    /// The number of the commit that is seen.
    pub(super) commit: u64,
    pub(super) live: Arc<BTreeMap<u64, u64>>,
    columns: Vec<[Column<u64>; 2]>,
}

impl Seen {
    /// Looks up which commit a searcher sees, and whether it has as many documents as that.
    pub(super) fn of(searcher: Searcher, fields: Fields) -> Self {
        let columns = searcher
            .segment_readers()
            .iter()
            .map(|reader| ["id", "version"].map(|name| reader.fast_fields().u64(name).unwrap()));
        let columns = columns.collect();
        let commit = Self::commit_of(&searcher, fields);
        let live = Arc::new(history::live(commit));
        let marker = u64::from(commit > 0);
        assert_eq!(searcher.num_docs(), live.len() as u64 + marker, "after commit {commit}");
        Self { searcher, fields, commit, live, columns }
    }

    fn commit_of(searcher: &Searcher, fields: Fields) -> u64 {
        let lowest = std::ops::Bound::Included(Term::from_field_u64(fields.commit, 0));
        let any = RangeQuery::new(lowest, std::ops::Bound::Unbounded);
        let found: Vec<_> = searcher.search(&any, &DocSetCollector).unwrap().into_iter().collect();
        let [at] = found[..] else {
            assert!(found.is_empty() && searcher.num_docs() == 0, "{found:?}: two commits at once");
            return 0;
        };
        let reader = searcher.segment_reader(at.segment_ord);
        reader.fast_fields().u64("commit").unwrap().first(at.doc_id).unwrap()
    }

    /// The id and version of a document with a vector.
    fn identify(&self, at: DocAddress) -> (u64, u64) {
        let [id, version] = &self.columns[at.segment_ord as usize];
        (id.first(at.doc_id).unwrap(), version.first(at.doc_id).unwrap())
    }

    /// The documents that a query finds, best first: each of them lives, none comes twice.
    fn find(&self, query: &dyn Query) -> Vec<u64> {
        let top = TopDocs::with_limit(self.live.len().max(1)).order_by_score();
        let hits = self.searcher.search(query, &top).unwrap();
        assert!(hits.is_sorted_by(|a, b| a.0 >= b.0), "{hits:?}");
        let mut ids = Vec::new();
        for (_, at) in hits {
            let (id, version) = self.identify(at);
            assert_eq!(self.live.get(&id), Some(&version), "{id} after commit {}", self.commit);
            assert!(!ids.contains(&id), "{id} twice");
            ids.push(id);
        }
        ids
    }

    fn knn(&self, id: u64, k: usize) -> KnnQuery {
        KnnQuery::new(self.fields.vector, history::vector(id, self.live[&id]), k)
    }

    fn term(field: Field, value: u64) -> TermQuery {
        TermQuery::new(Term::from_field_u64(field, value), IndexRecordOption::Basic)
    }

    fn address(&self, id: u64) -> DocAddress {
        let found =
            self.searcher.search(&Self::term(self.fields.id, id), &DocSetCollector).unwrap();
        assert_eq!(found.len(), 1, "{id} after commit {}", self.commit);
        found.into_iter().next().unwrap()
    }

    /// Asks some questions by chance: every way to search.
    pub(super) fn ask(&self, chance: &mut Chance) {
        let ids: Vec<u64> = self.live.keys().copied().collect();
        if ids.is_empty() {
            return;
        }
        let id = *chance.one_of(&ids);
        let k = *chance.one_of(&[1, 10, 100, 5000]);
        let exact = self.find(&self.knn(id, k).exact());
        assert_eq!((exact[0], exact.len()), (id, k.min(ids.len())), "exact, k {k}");
        // An early end makes it walk the graph, where a segment has one.
        for query in [self.knn(id, k), self.knn(id, k).ef_search(8)] {
            assert_eq!(self.find(&query).len(), exact.len(), "by index, k {k}");
        }
        let digit = chance.below(10);
        let passing = ids.iter().filter(|id| **id % 10 == digit).count();
        let filter = || Self::term(self.fields.digit, digit);
        for query in [self.knn(id, k).filter(filter()), self.knn(id, k).filter(filter()).exact()] {
            let found = self.find(&query);
            assert_eq!(found.len(), k.min(passing), "{passing} pass, k {k}");
            assert!(found.iter().all(|id| id % 10 == digit), "{found:?} pass {digit}?");
        }
        let like = KnnQuery::like(self.fields.vector, self.address(id), k);
        let found = self.find(&like);
        assert_eq!(found.len(), k.min(ids.len() - 1), "like {id}, k {k}");
        assert!(!found.contains(&id), "itself");
    }

    /// Looks each document up: by its id, by its vector among all rows, and by its vector with the
    /// indexes. The last may miss one in twenty: a graph is not exact.
    pub(super) fn ask_for_everything(&self) {
        self.ask_for_every(1);
    }

    /// The same for every `n`-th document.
    pub(super) fn ask_for_every(&self, n: usize) {
        let (mut asked, mut by_index) = (0, 0);
        for (id, version) in self.live.iter().step_by(n) {
            asked += 1;
            assert_eq!(self.identify(self.address(*id)), (*id, *version));
            assert_eq!(self.find(&self.knn(*id, 1).exact()), [*id]);
            by_index += usize::from(self.find(&self.knn(*id, 1).ef_search(16)) == [*id]);
        }
        assert!(by_index * 20 >= asked * 19, "{by_index} of {asked}");
        let all = self.searcher.search(&tantivy::query::AllQuery, &Count).unwrap();
        assert_eq!(all as u64, self.searcher.num_docs());
    }
}
