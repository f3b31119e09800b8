//! Indexes that earlier releases wrote: opened, searched and merged by this one.

use std::fs;
use std::path::Path;

use tantivy::Term;
use tantivy::query::TermQuery;
use tantivy::schema::IndexRecordOption;
use tantivy_dense_plugin::{AnnStatus, DenseIndex, DenseSearcher, DenseWriter, KnnQuery};

use crate::support::{ids, top};

#[test]
fn an_index_of_version_1_is_opened_searched_and_merged() {
    let frozen = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/index/v1");
    // Opening an index writes a lock beside it.
    let folder = tempfile::tempdir().unwrap();
    for file in fs::read_dir(frozen).unwrap() {
        let file = file.unwrap().path();
        fs::copy(&file, folder.path().join(file.file_name().unwrap())).unwrap();
    }
    let index = DenseIndex::open_in_dir(folder.path()).unwrap();
    let id = index.schema().get_field("id").unwrap();
    let reader = index.manual_reader().unwrap();
    reader.warm().unwrap();
    let check = || {
        let searcher = reader.searcher();
        searcher.verify_vectors().unwrap();
        assert_eq!(searcher.verify_indexes().unwrap(), [""; 0]);
        assert_eq!(searcher.num_docs(), 300);
        let segments = searcher.dense_segments().unwrap();
        for field in segments.iter().flat_map(|segment| &segment.fields) {
            assert_eq!(field.rows, 300);
            let ready = matches!(field.ann, AnnStatus::Ready(_));
            assert_eq!(ready, cfg!(feature = "faiss"), "{:?}", field.ann);
        }
        for field in index.dense_fields() {
            let seventh = TermQuery::new(Term::from_field_u64(id, 7), IndexRecordOption::Basic);
            let at = top(&searcher, &seventh)[0].1;
            let vectors = searcher.vectors(field.field, at).unwrap();
            let near = KnnQuery::new(field.field, vectors.row(0), 5);
            assert_eq!(ids(&searcher, &near.clone().exact(), id)[0], 7);
            assert_eq!(ids(&searcher, &near, id), ids(&searcher, &near.exact(), id));
        }
    };
    check();
    let mut writer: DenseWriter = index.writer_with_num_threads(1, 15_000_000).unwrap();
    writer.merge(&index.tantivy().searchable_segment_ids().unwrap()).wait().unwrap();
    reader.reload().unwrap();
    reader.warm().unwrap();
    check();
}
