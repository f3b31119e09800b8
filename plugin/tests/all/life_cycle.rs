//! Folders: reopening, damage, shards, files.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use tantivy::directory::RamDirectory;
use tantivy::index::SegmentId;
use tantivy::indexer::{NoMergePolicy, merge_indices};
use tantivy::schema::Schema;
use tantivy::{IndexWriter, TantivyDocument, TantivyError, doc};
use tantivy_dense_plugin::{
    DenseDocument, DenseIndex, DenseOptions, DensePlugin, DenseSchemaBuilder, DenseSearcher,
    DenseWriter, KnnQuery, Metric,
};

use crate::support::{TestEncoder, dim, ids, text_schema, top};

fn vec_files(folder: &Path) -> Vec<std::path::PathBuf> {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.extension().is_some_and(|e| e == "vec")).collect()
}

#[test]
fn an_index_in_a_folder_is_found_again() {
    let folder = tempfile::tempdir().unwrap();
    let encoder = TestEncoder::new();
    let (schema, f) = text_schema(encoder.as_ref());
    {
        let builder = DenseIndex::builder(schema.clone()).encoder("dense", encoder.clone());
        let index = builder.create_in_dir(folder.path()).unwrap();
        let mut writer = index.writer(60_000_000).unwrap();
        for (id, body) in [(0u64, "a volcano"), (1, "a teapot")] {
            writer.add_document(doc!(f.id => id, f.body => body)).unwrap();
        }
        writer.commit().unwrap();
        writer.wait_merging_threads().unwrap();
    }
    let again = DenseIndex::builder(schema).create_in_dir(folder.path());
    assert!(again.is_err(), "an index is not overwritten");
    let index = DenseIndex::open_in_dir(folder.path()).unwrap();
    let index = index.with_encoder("dense", encoder).unwrap();
    let searcher = index.reader().unwrap().searcher();
    let knn = KnnQuery::new(f.dense, index.encode_query("dense", "teapot").unwrap(), 1);
    assert_eq!(ids(&searcher, &knn, f.id), [1]);
    let files = vec_files(folder.path());
    let usage = searcher.space_usage().unwrap();
    let on_disk: u64 = files.iter().map(|file| fs::metadata(file).unwrap().len()).sum();
    assert!(on_disk > 0 && usage.total().get_bytes() > on_disk, "without any `.ann`");
}

#[test]
fn damage_is_an_error_that_names_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let mut schema = Schema::builder();
    let field = schema.add_dense_field("v", DenseOptions::new(dim(4)).metric(Metric::Dot));
    let index = DenseIndex::create_in_dir(folder.path(), schema.build()).unwrap();
    let mut writer = index.writer_with_num_threads(1, 15_000_000).unwrap();
    let mut doc = TantivyDocument::new();
    doc.add_dense(field, &[1.0, 2.0, 3.0, 4.0]);
    writer.add_document(doc).unwrap();
    writer.commit().unwrap();
    writer.wait_merging_threads().unwrap();
    let file = vec_files(folder.path()).remove(0);
    let name = file.file_name().unwrap().to_str().unwrap().to_owned();
    let sound = fs::read(&file).unwrap();

    let search_with = |at: usize| {
        let mut damaged = sound.clone();
        damaged[at] ^= 0x40;
        fs::write(&file, damaged).unwrap();
        let searcher = DenseIndex::open_in_dir(folder.path())?.reader()?.searcher();
        let hits =
            searcher.search(&KnnQuery::new(field, [1.0; 4], 3), &tantivy::collector::Count)?;
        searcher.verify_vectors()?;
        Ok::<usize, tantivy_dense_plugin::OpenError>(hits)
    };
    // The header, a number of the row, the row's doc.
    for at in [12, 64, 128] {
        let error = search_with(at).unwrap_err().to_string();
        assert!(error.contains("amaged"), "{at}: {error}");
        assert!(error.contains(&name) || at == 64, "{at}: {error}");
    }
    fs::remove_file(&file).unwrap();
    let error = DenseIndex::open_in_dir(folder.path()).unwrap().reader().unwrap_err().to_string();
    assert!(error.contains(&name), "missing: {error}");
    fs::write(&file, &sound).unwrap();
    let searcher = index.reader().unwrap().searcher();
    assert_eq!(top(&searcher, &KnnQuery::new(field, [1.0; 4], 3)).len(), 1);
}

#[test]
fn a_merge_makes_no_delete_durable_that_was_not_committed() {
    let mut schema = Schema::builder();
    let field = schema.add_dense_field("v", DenseOptions::new(dim(2)));
    let index = DenseIndex::create_in_ram(schema.build()).unwrap();
    let open = || -> DenseWriter {
        let writer = index.writer_with_num_threads(1, 15_000_000).unwrap();
        writer.set_merge_policy(Box::new(NoMergePolicy));
        writer
    };
    let mut writer = open();
    let mut doc = TantivyDocument::new();
    doc.add_dense(field, &[1.0, 2.0]);
    writer.add_document(doc).unwrap();
    writer.commit().unwrap();
    for before in ["a new writer", "a rollback", "an abort"] {
        drop(writer);
        writer = open();
        match before {
            "a rollback" => _ = writer.rollback().unwrap(),
            "an abort" => _ = writer.prepare_commit().unwrap().abort().unwrap(),
            _ => {}
        }
        writer.delete_all_documents().unwrap();
        writer.merge(&index.tantivy().searchable_segment_ids().unwrap()).wait().unwrap();
        assert_eq!(index.reader().unwrap().searcher().num_docs(), 1, "after {before}");
    }
    drop(writer);
    assert_eq!(index.reader().unwrap().searcher().num_docs(), 1, "nothing was committed");
}

#[test]
fn a_merge_does_not_take_damage_for_sound() {
    let folder = tempfile::tempdir().unwrap();
    let mut schema = Schema::builder();
    let field = schema.add_dense_field("v", DenseOptions::new(dim(2)).metric(Metric::Dot));
    let index = DenseIndex::create_in_dir(folder.path(), schema.build()).unwrap();
    let mut writer = index.writer_with_num_threads(1, 15_000_000).unwrap();
    writer.set_merge_policy(Box::new(NoMergePolicy));
    for _ in 0..2 {
        let mut doc = TantivyDocument::new();
        doc.add_dense(field, &[1.0, 2.0]);
        writer.add_document(doc).unwrap();
        writer.commit().unwrap();
    }
    let merge = |writer: &mut DenseWriter, ids: &[SegmentId]| writer.merge(ids).wait().map(drop);
    let ids = index.tantivy().searchable_segment_ids().unwrap();
    let file = vec_files(folder.path()).remove(0);
    let sound = fs::read(&file).unwrap();
    let mut damaged = sound.clone();
    damaged[64] ^= 0x40;
    fs::write(&file, damaged).unwrap();
    merge(&mut writer, &ids).unwrap_err();
    assert_eq!(index.tantivy().searchable_segment_ids().unwrap(), ids, "nothing has changed");
    fs::write(&file, &sound).unwrap();
    merge(&mut writer, &ids).unwrap();
    let searcher = index.reader().unwrap().searcher();
    searcher.verify_vectors().unwrap();
    assert_eq!(top(&searcher, &KnnQuery::new(field, [1.0, 0.0], 9)).len(), 2);
}

#[test]
fn indexes_that_were_made_apart_are_merged_into_one() {
    let mut schema = Schema::builder();
    let field = schema.add_dense_field("v", DenseOptions::new(dim(2)));
    let schema = schema.build();
    let shard = |x: f32| {
        let index = DenseIndex::create_in_ram(schema.clone()).unwrap();
        let mut writer = index.writer_with_num_threads(1, 15_000_000).unwrap();
        let mut doc = TantivyDocument::new();
        doc.add_dense(field, &[1.0, x]);
        writer.add_document(doc).unwrap();
        writer.commit().unwrap();
        index.tantivy().clone()
    };
    let directory = RamDirectory::create();
    merge_indices(&[shard(0.0), shard(1.0), shard(2.0)], directory.clone()).unwrap();
    let searcher = DenseIndex::open(directory).unwrap().reader().unwrap().searcher();
    assert_eq!(searcher.segment_readers().len(), 1);
    assert_eq!(top(&searcher, &KnnQuery::new(field, [1.0, 0.0], 9)).len(), 3);
}

#[test]
fn indexing_never_fails_on_what_a_document_holds() {
    let mut schema = Schema::builder();
    let field = schema.add_dense_field("v", DenseOptions::new(dim(2)));
    let index = DenseIndex::create_in_ram(schema.build()).unwrap();
    // Around the door: Tantivy's own writer checks nothing.
    let mut writer: IndexWriter = index.tantivy().writer_with_num_threads(1, 15_000_000).unwrap();
    for vector in [&[1.0, 2.0][..], &[1.0], &[f32::NAN, 0.0]] {
        let mut doc = TantivyDocument::new();
        doc.add_dense(field, vector);
        writer.add_document(doc).unwrap();
    }
    let mut bytes = TantivyDocument::new();
    bytes.add_custom(field, b"no vector at all");
    writer.add_document(bytes).unwrap();
    writer.commit().unwrap();
    let searcher = index.reader().unwrap().searcher();
    assert_eq!(searcher.num_docs(), 4);
    let segments = searcher.dense_segments().unwrap();
    assert_eq!((segments[0].fields[0].rows, segments[0].fields[0].refused), (1, 3));
}

#[test]
fn a_plugin_registered_by_hand_does_the_same() {
    let mut schema = Schema::builder();
    let field = schema.add_dense_field("v", DenseOptions::new(dim(2)));
    let schema = schema.build();
    let plugin = Arc::new(DensePlugin::for_schema(&schema).unwrap());
    let directory = RamDirectory::create();
    let index = tantivy::Index::builder()
        .schema(schema)
        .register_plugin(plugin)
        .open_or_create(directory.clone())
        .unwrap();
    let mut writer: IndexWriter = index.writer_with_num_threads(1, 15_000_000).unwrap();
    let mut doc = TantivyDocument::new();
    doc.add_dense(field, &[1.0, 2.0]);
    writer.add_document(doc).unwrap();
    writer.commit().unwrap();
    let knn = KnnQuery::new(field, [1.0, 0.0], 9);
    assert_eq!(top(&index.reader().unwrap().searcher(), &knn).len(), 1);
    let door = DenseIndex::open(directory.clone()).unwrap();
    assert_eq!(top(&door.reader().unwrap().searcher(), &knn).len(), 1);

    let without = tantivy::Index::open(directory).unwrap();
    let error =
        without.reader().unwrap().searcher().search(&knn, &tantivy::collector::Count).unwrap_err();
    assert!(matches!(&error, TantivyError::InvalidArgument(why) if why.contains("DenseIndex")));
}
