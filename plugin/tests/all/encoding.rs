//! What the writer encodes, in which batches, and what it does when that fails.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use tantivy::schema::{Facet, FacetOptions, Field, OwnedValue, STORED, Schema, TEXT};
use tantivy::tokenizer::PreTokenizedString;
use tantivy::{DocAddress, TantivyDocument, Term, doc};
use tantivy_dense_plugin::{
    DenseDocument, DenseIndex, DenseOptions, DenseRow, DenseSchemaBuilder, DenseSearcher,
    DenseWriter, KnnQuery, VectorError, WriteError,
};

use crate::directory::Staged;
use crate::support::{TestEncoder, dim, id_of, ids, text_index, text_schema};

const BUDGET: usize = 15_000_000;

#[test]
fn texts_are_encoded_in_batches_and_found_under_their_documents() {
    let encoder = TestEncoder::new();
    let (index, f) = text_index(&encoder);
    let mut writer = index.writer_with_num_threads(1, BUDGET).unwrap().batch(50);
    for id in 0..120u64 {
        writer.add_document(doc!(f.id => id, f.body => format!("text number {id}"))).unwrap();
    }
    writer.commit().unwrap();
    assert_eq!(*encoder.batches.lock().unwrap(), [50, 50, 20]);
    assert_eq!(writer.totals().texts, 120);
    let searcher = index.reader().unwrap().searcher();
    let maximum = searcher.segment_reader(0).max_doc();
    assert_eq!(maximum, 120, "one segment");
    for at in (0..maximum).map(|doc| DocAddress::new(0, doc)) {
        let text = format!("text number {}", id_of(&searcher, at, f.id));
        assert_eq!(searcher.vectors(f.dense, at).unwrap().as_flat(), encoder.vector(&text));
    }
}

#[test]
fn a_merge_never_encodes() {
    let encoder = TestEncoder::new();
    let (index, f) = text_index(&encoder);
    let mut writer = index.writer_with_num_threads(1, BUDGET).unwrap();
    for id in 0..4u64 {
        writer.add_document(doc!(f.id => id, f.body => "some words")).unwrap();
        writer.commit().unwrap();
    }
    let before = encoder.batches.lock().unwrap().len();
    writer.merge(&index.tantivy().searchable_segment_ids().unwrap()).wait().unwrap();
    assert_eq!((before, encoder.batches.lock().unwrap().len()), (4, 4));
}

#[test]
fn each_value_of_the_source_is_a_row_and_blank_ones_are_none() {
    let encoder = TestEncoder::new();
    let (index, f) = text_index(&encoder);
    let mut writer = index.writer_with_num_threads(1, BUDGET).unwrap();
    let tokenized = PreTokenizedString { text: "made of tokens".to_owned(), tokens: vec![] };
    let mut many = doc!(f.id => 0u64, f.body => "first part", f.body => " \n", f.body => "second");
    many.add_pre_tokenized_text(f.body, tokenized);
    writer.add_document(many).unwrap();
    writer.add_document(doc!(f.id => 1u64, f.body => "")).unwrap();
    writer.add_document(doc!(f.id => 2u64)).unwrap();
    writer.commit().unwrap();
    let searcher = index.reader().unwrap().searcher();
    let rows = |doc| searcher.vectors(f.dense, DocAddress::new(0, doc)).unwrap();
    let expected = ["first part", "second", "made of tokens"].map(|text| encoder.vector(text));
    assert_eq!(rows(0).iter().collect::<Vec<_>>(), expected);
    assert!(rows(1).is_empty() && rows(2).is_empty());
    assert_eq!(searcher.num_docs(), 3);
    let found = ids(&searcher, &KnnQuery::new(f.dense, encoder.vector("second"), 5), f.id);
    assert_eq!(found, [0], "a document once, whatever its rows");
}

#[test]
fn the_language_of_a_document_reaches_encoder_and_rows() {
    let encoder = TestEncoder::new();
    let (index, f) = text_index(&encoder);
    let mut writer = index.writer_with_num_threads(1, BUDGET).unwrap();
    for (id, lang) in [(0u64, "swa"), (1, "de"), (2, "sw"), (3, "no language at all")] {
        writer.add_document(doc!(f.id => id, f.body => "maneno", f.lang => lang)).unwrap();
    }
    let mut own = doc!(f.id => 4u64, f.lang => "te");
    own.add_dense(f.dense, &[1.0; 32]);
    let row = DenseRow::new([2.0; 32]).language("am".parse().unwrap()).source(3..9);
    own.add_dense_row(f.dense, &row);
    writer.add_document(own).unwrap();
    writer.commit().unwrap();
    writer.add_document(doc!(f.id => 5u64, f.body => "more", f.lang => "de")).unwrap();
    writer.commit().unwrap();
    assert_eq!(
        encoder.languages.lock().unwrap()[..4],
        ["sw", "de", "sw", ""].map(|l| (!l.is_empty()).then(|| l.to_owned()))
    );
    let merged = |writer: &mut DenseWriter| {
        writer.merge(&index.tantivy().searchable_segment_ids().unwrap()).wait().unwrap();
    };
    merged(&mut writer);
    let searcher = index.reader().unwrap().searcher();
    let segments = searcher.dense_segments().unwrap();
    assert_eq!((segments.len(), segments[0].fields[0].rows), (1, 7));
    let counts: Vec<(String, u32)> =
        segments[0].fields[0].languages.iter().map(|(tag, n)| (tag.to_string(), *n)).collect();
    let expected = [("am", 1), ("de", 2), ("sw", 2), ("te", 1)];
    assert_eq!(counts, expected.map(|(tag, n)| (tag.to_owned(), n)));
    searcher.verify_vectors().unwrap();
    let mut own: Vec<DenseRow> = (0..searcher.segment_reader(0).max_doc())
        .flat_map(|doc| searcher.dense_rows(f.dense, DocAddress::new(0, doc)).unwrap())
        .filter(|given| given.get_source().is_some())
        .collect();
    assert_eq!(own.pop(), Some(row), "its place comes through a merge");
    assert!(own.is_empty(), "and is nobody else's");
}

#[test]
fn a_delete_affects_what_waits_and_not_what_comes_after() {
    let encoder = TestEncoder::new();
    let (index, f) = text_index(&encoder);
    let mut writer = index.writer_with_num_threads(1, BUDGET).unwrap();
    let id = |id| Term::from_field_u64(f.id, id);
    writer.add_document(doc!(f.id => 1u64, f.body => "older")).unwrap();
    assert_eq!(writer.waiting(), 1);
    writer.delete_term(id(1)).unwrap();
    writer.add_document(doc!(f.id => 1u64, f.body => "newer")).unwrap();
    writer.add_document(doc!(f.id => 2u64, f.body => "another")).unwrap();
    writer.commit().unwrap();
    let reader = index.manual_reader().unwrap();
    let knn = KnnQuery::new(f.dense, encoder.vector("older"), 10);
    let mut found = ids(&reader.searcher(), &knn, f.id);
    found.sort_unstable();
    assert_eq!(found, [1, 2]);
    let newer = KnnQuery::new(f.dense, encoder.vector("newer"), 1).threshold(0.999);
    assert_eq!(ids(&reader.searcher(), &newer, f.id), [1]);

    writer.add_document(doc!(f.id => 3u64, f.body => "gone too")).unwrap();
    writer.delete_all_documents().unwrap();
    writer.add_document(doc!(f.id => 4u64, f.body => "stays")).unwrap();
    writer.commit().unwrap();
    reader.reload().unwrap();
    assert_eq!(ids(&reader.searcher(), &knn, f.id), [4]);
}

#[test]
fn nothing_is_lost_when_the_encoder_fails_and_comes_back() {
    let encoder = TestEncoder::new();
    let (index, f) = text_index(&encoder);
    let mut writer = index.writer_with_num_threads(1, BUDGET).unwrap().batch(2);
    writer.add_document(doc!(f.id => 0u64, f.body => "one")).unwrap();
    encoder.fails.store(true, Ordering::SeqCst);
    let failed = writer.add_document(doc!(f.id => 1u64, f.body => "two"));
    assert!(matches!(failed, Err(WriteError::Encode { .. })), "{failed:?}");
    assert!(matches!(writer.commit(), Err(WriteError::Encode { .. })));
    assert_eq!(index.reader().unwrap().searcher().num_docs(), 0, "no part of a batch");
    assert_eq!((writer.waiting(), writer.totals().texts), (2, 0));
    encoder.fails.store(false, Ordering::SeqCst);
    writer.commit().unwrap();
    assert_eq!(index.reader().unwrap().searcher().num_docs(), 2);
}

#[test]
fn a_rollback_forgets_what_waits() {
    let encoder = TestEncoder::new();
    let (index, f) = text_index(&encoder);
    let mut writer = index.writer_with_num_threads(1, BUDGET).unwrap();
    writer.add_document(doc!(f.id => 0u64, f.body => "kept")).unwrap();
    let mut commit = writer.prepare_commit().unwrap();
    commit.set_payload("first");
    commit.commit().unwrap();
    writer.add_document(doc!(f.id => 1u64, f.body => "dropped")).unwrap();
    writer.rollback().unwrap();
    writer.add_document(doc!(f.id => 2u64, f.body => "prepared, then dropped")).unwrap();
    writer.prepare_commit().unwrap().abort().unwrap();
    writer.add_document(doc!(f.id => 3u64, f.body => "after")).unwrap();
    // Neither committed nor aborted: left to the next commit.
    drop(writer.prepare_commit().unwrap());
    assert_eq!(index.tantivy().load_metas().unwrap().payload.as_deref(), Some("first"));
    writer.commit().unwrap();
    let searcher = index.reader().unwrap().searcher();
    let knn = KnnQuery::new(f.dense, encoder.vector("kept"), 10);
    assert_eq!(ids(&searcher, &knn, f.id), [0, 3]);
}

#[test]
fn after_an_error_of_tantivys_a_writer_asks_for_a_rollback() {
    let encoder = TestEncoder::new();
    let (schema, f) = text_schema(encoder.as_ref());
    let directory = Staged::new();
    let index = tantivy_dense_plugin::DenseIndex::builder(schema)
        .encoder("dense", encoder.clone())
        .create(directory.clone())
        .unwrap();
    let mut writer = index.writer_with_num_threads(1, BUDGET).unwrap();
    writer.add_document(doc!(f.id => 0u64, f.body => "safe")).unwrap();
    writer.commit().unwrap();
    directory.refuse(true);
    writer.add_document(doc!(f.id => 1u64, f.body => "not written")).unwrap();
    assert!(matches!(writer.commit(), Err(WriteError::Tantivy(_))));
    directory.refuse(false);
    assert!(matches!(writer.commit(), Err(WriteError::Broken)), "no commit without document 1");
    assert!(matches!(writer.add_document(doc!(f.id => 2u64)), Err(WriteError::Broken)));
    writer.rollback().unwrap();
    writer.add_document(doc!(f.id => 1u64, f.body => "written")).unwrap();
    writer.commit().unwrap();
    let searcher = index.reader().unwrap().searcher();
    assert_eq!(ids(&searcher, &KnnQuery::new(f.dense, encoder.vector("safe"), 9), f.id), [0, 1]);
}

#[test]
fn after_a_rollback_that_failed_a_writer_asks_for_a_new_one() {
    let encoder = TestEncoder::new();
    let (schema, f) = text_schema(encoder.as_ref());
    let directory = Staged::new();
    let index = tantivy_dense_plugin::DenseIndex::builder(schema)
        .encoder("dense", encoder.clone())
        .create(directory.clone())
        .unwrap();
    for abort in [false, true] {
        let mut writer: DenseWriter = index.writer_with_num_threads(1, BUDGET).unwrap();
        writer.add_document(doc!(f.id => 1u64, f.body => "forgotten")).unwrap();
        directory.refuse_reads(true);
        let failed =
            if abort { writer.prepare_commit().unwrap().abort() } else { writer.rollback() };
        directory.refuse_reads(false);
        assert!(matches!(failed, Err(WriteError::Tantivy(_))), "{failed:?}");
        assert!(matches!(writer.add_document(doc!(f.id => 2u64)), Err(WriteError::Dead)));
        assert!(matches!(writer.commit(), Err(WriteError::Dead)));
        assert!(matches!(writer.rollback(), Err(WriteError::Dead)), "without a panic");
    }
    let mut writer: DenseWriter = index.writer_with_num_threads(1, BUDGET).unwrap();
    writer.add_document(doc!(f.id => 3u64, f.body => "kept")).unwrap();
    writer.commit().unwrap();
    let searcher = index.reader().unwrap().searcher();
    assert_eq!(ids(&searcher, &KnnQuery::new(f.dense, encoder.vector("kept"), 9), f.id), [3]);
}

#[test]
fn a_document_with_a_wrong_vector_is_refused_and_the_others_stay() {
    let encoder = TestEncoder::new();
    let (index, f) = text_index(&encoder);
    let mut writer = index.writer_with_num_threads(1, BUDGET).unwrap();
    writer.add_document(doc!(f.id => 0u64, f.body => "good")).unwrap();
    let with = |vector: &[f32]| {
        let mut doc = TantivyDocument::new();
        doc.add_dense(f.dense, vector);
        doc
    };
    let short = writer.add_document(with(&[1.0; 31])).unwrap_err();
    let length = VectorError::Length { dim: dim(32), given: 31 };
    assert!(matches!(short, WriteError::Vector { source, .. } if source == length));
    let mut nan = [0.0; 32];
    nan[3] = f32::NAN;
    let error = writer.add_document(with(&nan)).unwrap_err();
    assert!(matches!(error, WriteError::Vector { source: VectorError::NotFinite { .. }, .. }));
    let mut bytes = TantivyDocument::new();
    bytes.add_custom(f.dense, &[0; 128]);
    assert!(matches!(writer.add_document(bytes), Err(WriteError::NoVector { .. })));
    let mut text = TantivyDocument::new();
    text.add_text(f.dense, "not a vector");
    assert!(matches!(writer.add_document(text), Err(WriteError::NoVector { .. })));
    writer.commit().unwrap();
    assert_eq!(index.reader().unwrap().searcher().num_docs(), 1);
}

#[test]
fn a_vector_of_the_documents_own_goes_before_the_encoder() {
    let encoder = TestEncoder::new();
    let (index, f) = text_index(&encoder);
    let mut writer = index.writer_with_num_threads(1, BUDGET).unwrap();
    let mut own = doc!(f.id => 0u64, f.body => "not encoded");
    own.add_dense(f.dense, &[3.0; 32]);
    writer.add_document(own).unwrap();
    writer.commit().unwrap();
    assert!(encoder.batches.lock().unwrap().is_empty());
    let searcher = index.reader().unwrap().searcher();
    let rows = searcher.vectors(f.dense, DocAddress::new(0, 0)).unwrap();
    assert_eq!(rows.as_flat(), [3.0; 32], "stored as given, not scaled");
}

#[test]
fn any_document_type_is_encoded_and_found() {
    let encoder = TestEncoder::new();
    let (index, f) = text_index(&encoder);
    let mut writer: DenseWriter<BTreeMap<Field, OwnedValue>> =
        index.writer_with_num_threads(1, BUDGET).unwrap();
    for (id, body) in [(0u64, "a volcano"), (1, "a teapot")] {
        let doc = [(f.id, OwnedValue::U64(id)), (f.body, OwnedValue::Str(body.to_owned()))];
        writer.add_document(doc.into()).unwrap();
    }
    writer.commit().unwrap();
    let searcher = index.reader().unwrap().searcher();
    let knn = KnnQuery::new(f.dense, encoder.vector("teapots"), 1);
    assert_eq!(ids(&searcher, &knn, f.id), [1], "stored and encoded");
}

#[test]
fn what_else_a_document_holds_is_stored_as_it_is() {
    let encoder = TestEncoder::new();
    let mut schema = Schema::builder();
    let body = schema.add_text_field("body", TEXT | STORED);
    let json = schema.add_json_field("json", TEXT | STORED);
    let kind = schema.add_facet_field("kind", FacetOptions::default().set_stored());
    let raw = schema.add_bytes_field("raw", STORED);
    let options = DenseOptions::for_encoder(encoder.as_ref()).source("body");
    let dense = schema.add_dense_field("dense", options);
    let builder = DenseIndex::builder(schema.build()).encoder("dense", encoder.clone());
    let index = builder.create_in_ram().unwrap();
    let nested = serde_json::json!({"a": [1, "two", null, {"b": [true, -1.5]}], "": {}});
    let nested: BTreeMap<String, OwnedValue> = serde_json::from_value(nested).unwrap();
    let mut given = doc!(body => "one", kind => Facet::from("/a/b"), raw => vec![0u8, 255]);
    given.add_field_value(json, &OwnedValue::Object(nested.into_iter().collect()));
    given.add_text(body, "two");
    let mut writer = index.writer_with_num_threads(1, BUDGET).unwrap();
    writer.add_document(given.clone()).unwrap();
    writer.commit().unwrap();
    let searcher = index.reader().unwrap().searcher();
    let at = DocAddress::new(0, 0);
    let stored: TantivyDocument = searcher.doc(at).unwrap();
    let sorted = |doc: &TantivyDocument| {
        let mut values: Vec<_> =
            doc.field_values().map(|(f, v)| (f, OwnedValue::from(v))).collect();
        values.sort_by_key(|(field, _)| *field);
        values
    };
    assert_eq!(sorted(&stored), sorted(&given));
    assert_eq!(searcher.vectors(dense, at).unwrap().rows(), 2);
}

#[test]
fn a_text_that_nothing_encodes_is_refused_unless_the_document_has_a_vector() {
    let encoder = TestEncoder::new();
    let (schema, f) = text_schema(encoder.as_ref());
    let index = tantivy_dense_plugin::DenseIndex::create_in_ram(schema).unwrap();
    let mut writer = index.writer_with_num_threads(1, BUDGET).unwrap();
    let refused = writer.add_document(doc!(f.body => "who encodes me?"));
    assert!(matches!(refused, Err(WriteError::NoEncoder { .. })));
    let mut own = doc!(f.body => "I bring my own");
    own.add_dense(f.dense, &[1.0; 32]);
    writer.add_document(own).unwrap();
    writer.commit().unwrap();
    assert_eq!(index.reader().unwrap().searcher().num_docs(), 1);
}
