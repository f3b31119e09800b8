//! A merge and a garbage collection between a reader's two steps.

use std::sync::{Arc, Mutex};

use tantivy::TantivyDocument;
use tantivy::indexer::NoMergePolicy;
use tantivy::schema::Schema;
use tantivy_dense_plugin::{
    DenseDocument, DenseIndex, DenseOptions, DenseSchemaBuilder, DenseWriter, KnnQuery,
};

use crate::directory::Staged;
use crate::support::{dim, top};

#[test]
fn a_reader_comes_through_when_files_are_deleted_while_it_opens_them() {
    let mut schema = Schema::builder();
    let field = schema.add_dense_field("v", DenseOptions::new(dim(2)));
    let directory = Staged::new();
    let index = DenseIndex::builder(schema.build()).create(directory.clone()).unwrap();
    let mut writer: DenseWriter = index.writer_with_num_threads(1, 15_000_000).unwrap();
    writer.set_merge_policy(Box::new(NoMergePolicy));
    let reader = DenseIndex::open(directory.clone()).unwrap().manual_reader().unwrap();
    for x in [0.0, 1.0, 2.0] {
        let mut doc = TantivyDocument::new();
        doc.add_dense(field, &[1.0, x]);
        writer.add_document(doc).unwrap();
        writer.commit().unwrap();
    }
    let writer = Arc::new(Mutex::new(writer));
    let merge_now = {
        let (index, writer) = (index.clone(), writer.clone());
        move || {
            let mut writer = writer.lock().unwrap();
            writer.merge(&index.tantivy().searchable_segment_ids().unwrap()).wait().unwrap();
            writer.garbage_collect_files().wait().unwrap();
        }
    };

    directory.before_open(merge_now.clone());
    reader.reload().unwrap();
    assert!(directory.missing() > 0, "the race took place");
    let searcher = reader.searcher();
    assert_eq!((searcher.num_docs(), searcher.segment_readers().len()), (3, 1));
    assert_eq!(top(&searcher, &KnnQuery::new(field, [1.0, 0.0], 3)).len(), 3);

    // The same while the reader is made.
    let mut doc = TantivyDocument::new();
    doc.add_dense(field, &[5.0, 5.0]);
    writer.lock().unwrap().add_document(doc).unwrap();
    writer.lock().unwrap().commit().unwrap();
    let missing = directory.missing();
    directory.before_open(merge_now);
    let reader = DenseIndex::open(directory.clone()).unwrap().reader().unwrap();
    assert!(directory.missing() > missing, "the race took place");
    assert_eq!(reader.searcher().num_docs(), 4);
}

#[test]
fn a_searcher_outlives_its_reader_and_the_files_of_its_segments() {
    let mut schema = Schema::builder();
    let field = schema.add_dense_field("v", DenseOptions::new(dim(1)));
    let index = DenseIndex::create_in_ram(schema.build()).unwrap();
    let mut writer: DenseWriter = index.writer_with_num_threads(1, 15_000_000).unwrap();
    writer.set_merge_policy(Box::new(NoMergePolicy));
    for x in [1.0, 2.0] {
        let mut doc = TantivyDocument::new();
        doc.add_dense(field, &[x]);
        writer.add_document(doc).unwrap();
        writer.commit().unwrap();
    }
    let kept = index.manual_reader().unwrap();
    let older = [kept.searcher(), index.reader().unwrap().searcher()];
    writer.merge(&index.tantivy().searchable_segment_ids().unwrap()).wait().unwrap();
    writer.garbage_collect_files().wait().unwrap();
    kept.reload().unwrap();
    let newer = [kept.searcher(), index.reader().unwrap().searcher()];
    drop(kept);
    for (searchers, segments) in [(older, 2), (newer, 1)] {
        for searcher in searchers {
            assert_eq!(searcher.segment_readers().len(), segments);
            assert_eq!(top(&searcher, &KnnQuery::new(field, [1.0], 9)).len(), 2);
        }
    }
}

#[cfg(target_os = "linux")]
#[test]
fn readers_that_are_gone_leave_no_threads_behind() {
    let mut schema = Schema::builder();
    schema.add_dense_field("v", DenseOptions::new(dim(1)));
    let index = DenseIndex::create_in_ram(schema.build()).unwrap();
    for _ in 0..20 {
        index.manual_reader().unwrap().reload().unwrap();
    }
    let threads = std::fs::read_dir("/proc/self/task").unwrap();
    let names = threads.map(|thread| std::fs::read_to_string(thread.unwrap().path().join("comm")));
    let warming = names.flatten().filter(|name| name.starts_with("tantivy-warm")).count();
    assert_eq!(warming, 0, "Tantivy's warmers have threads that never end");
}

#[test]
fn a_following_reader_comes_through_the_same_race_by_itself() {
    let mut schema = Schema::builder();
    let field = schema.add_dense_field("v", DenseOptions::new(dim(1)));
    let directory = Staged::new();
    let index = DenseIndex::builder(schema.build()).create(directory.clone()).unwrap();
    let mut writer: DenseWriter = index.writer_with_num_threads(1, 15_000_000).unwrap();
    writer.set_merge_policy(Box::new(NoMergePolicy));
    let reader = DenseIndex::open(directory.clone()).unwrap().reader().unwrap();
    for x in [1.0, 2.0] {
        let mut doc = TantivyDocument::new();
        doc.add_dense(field, &[x]);
        writer.add_document(doc).unwrap();
        writer.commit().unwrap();
    }
    assert_eq!(reader.searcher().num_docs(), 0, "nobody told it yet");
    directory.before_open(move || {
        writer.merge(&index.tantivy().searchable_segment_ids().unwrap()).wait().unwrap();
        writer.garbage_collect_files().wait().unwrap();
    });
    directory.tell_watchers();
    assert!(directory.missing() > 0, "the race took place");
    assert_eq!(reader.searcher().num_docs(), 2);
}
