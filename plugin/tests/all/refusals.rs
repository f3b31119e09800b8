//! What cannot be opened, and what the error says.

use std::sync::Arc;

use tantivy::directory::RamDirectory;
use tantivy::index::{IndexSettings, IndexSortByField};
use tantivy::schema::{FAST, Schema, TEXT};
use tantivy::{Index, IndexWriter, Order, doc};
use tantivy_dense_plugin::toy::ToyEncoder;
use tantivy_dense_plugin::{
    DenseIndex, DenseOptions, DensePlugin, DenseSchemaBuilder, Dim, EncodeError, Encoded, Encoder,
    Fingerprint, OpenError, Refused, Role, Text,
};

use crate::support::{TestEncoder, dim, text_schema};

/// Calls itself what it is told to.
struct Named(Fingerprint, Dim);

impl Encoder for Named {
    fn fingerprint(&self) -> &Fingerprint {
        &self.0
    }

    fn dim(&self) -> Dim {
        self.1
    }

    fn encode(&self, role: Role, texts: &[Text<'_>]) -> Result<Encoded, EncodeError> {
        ToyEncoder::new(dim(5)).encode(role, texts)
    }
}

fn sorted() -> IndexSettings {
    let by = IndexSortByField { field: "n".to_owned(), order: Order::Asc };
    IndexSettings { sort_by_field: Some(by), ..IndexSettings::default() }
}

#[test]
fn another_encoder_is_refused_by_name() {
    let encoder = TestEncoder::new();
    let (schema, _) = text_schema(encoder.as_ref());
    let index = DenseIndex::create_in_ram(schema).unwrap();
    let other: Arc<dyn Encoder> = Arc::new(ToyEncoder::new(dim(16)));
    let error = index.clone().with_encoder("dense", other).unwrap_err();
    let said = error.to_string();
    for part in ["`dense`", "toy-trigrams-32", "toy-trigrams-16", "index again"] {
        assert!(said.contains(part), "{part} in {said}");
    }
    let same_name: Arc<dyn Encoder> = Arc::new(Named(encoder.fingerprint().clone(), dim(5)));
    let error = index.clone().with_encoder("dense", same_name).unwrap_err();
    assert!(matches!(error, OpenError::OtherDim { .. }), "{error}");
    let error = index.with_encoder("title", encoder).unwrap_err();
    assert!(error.to_string().contains("there is `dense`"), "{error}");
}

#[test]
fn an_encoder_for_vectors_of_the_callers_own_is_refused() {
    let mut schema = Schema::builder();
    schema.add_dense_field("v", DenseOptions::new(dim(32)));
    let builder = DenseIndex::builder(schema.build()).encoder("v", TestEncoder::new());
    assert!(matches!(builder.create_in_ram(), Err(OpenError::OwnVectors { .. })));
}

#[test]
fn a_refused_encoder_leaves_no_index_behind() {
    let folder = tempfile::tempdir().unwrap();
    let encoder = TestEncoder::new();
    let (schema, _) = text_schema(encoder.as_ref());
    let create = |encoder: Arc<dyn Encoder>| {
        let builder = DenseIndex::builder(schema.clone()).encoder("dense", encoder);
        builder.create_in_dir(folder.path())
    };
    let error = create(Arc::new(ToyEncoder::new(dim(16)))).unwrap_err();
    assert!(matches!(error, OpenError::OtherEncoder { .. }), "{error}");
    create(encoder).unwrap();
}

#[test]
fn an_encoder_that_breaks_its_promise_is_found_out() {
    let lying = Named(Fingerprint::new("lies about its dim"), dim(3));
    let (schema, f) = text_schema(&lying);
    let builder = DenseIndex::builder(schema).encoder("dense", Arc::new(lying));
    let index = builder.create_in_ram().unwrap();
    let error = index.encode_query("dense", "text").unwrap_err();
    assert!(matches!(error, OpenError::WrongAnswer { .. }));
    let mut writer = index.writer_with_num_threads(1, 15_000_000).unwrap();
    writer.add_document(doc!(f.body => "text")).unwrap();
    assert!(writer.commit().is_err());
}

#[test]
fn an_index_whose_documents_are_put_in_order_is_refused() {
    let mut schema = Schema::builder();
    let n = schema.add_u64_field("n", FAST);
    schema.add_dense_field("v", DenseOptions::new(dim(2)));
    let schema = schema.build();
    let manual = IndexSettings { manual_doc_id_mapping: true, ..IndexSettings::default() };
    for (settings, why) in [(sorted(), Refused::Sorted), (manual, Refused::ManualOrder)] {
        let builder = DenseIndex::builder(schema.clone()).settings(settings);
        let error = builder.create_in_ram().unwrap_err();
        assert!(matches!(&error, OpenError::Refused(refused) if *refused == why), "{error}");
        assert!(error.to_string().contains("leave"), "says what to do: {error}");
    }

    // Made without the door, it is refused when it is opened and when it is written.
    let directory = RamDirectory::create();
    let plugin = Arc::new(DensePlugin::for_schema(&schema).unwrap());
    let index = Index::builder()
        .schema(schema)
        .settings(sorted())
        .register_plugin(plugin)
        .open_or_create(directory.clone())
        .unwrap();
    let refused = DenseIndex::open(directory).unwrap_err();
    assert!(matches!(refused, OpenError::Refused(Refused::Sorted)));
    let mut writer: IndexWriter = index.writer_with_num_threads(1, 15_000_000).unwrap();
    let _ = writer.add_document(doc!(n => 1u64));
    let error = writer.commit().unwrap_err().to_string();
    assert!(error.contains("sort_by_field"), "{error}");
}

#[test]
fn an_index_that_is_not_ours_says_so() {
    let mut schema = Schema::builder();
    schema.add_text_field("body", TEXT);
    let schema = schema.build();
    let directory = RamDirectory::create();
    Index::builder().schema(schema.clone()).open_or_create(directory.clone()).unwrap();
    let error = DenseIndex::open(directory).unwrap_err();
    assert!(matches!(error, OpenError::NotDense), "{error}");
    assert!(matches!(DenseIndex::create_in_ram(schema), Err(OpenError::NoDenseField)));
    let nothing = DenseIndex::open(RamDirectory::create()).unwrap_err();
    assert!(matches!(nothing, OpenError::Tantivy(_)), "{nothing}");
    assert!(DenseIndex::open_in_dir("no such folder").is_err());
}

#[test]
fn a_second_writer_and_no_threads_are_refused() {
    let mut schema = Schema::builder();
    schema.add_dense_field("v", DenseOptions::new(dim(2)));
    let index = DenseIndex::create_in_ram(schema.build()).unwrap();
    let zero = index.writer_with_num_threads::<tantivy::TantivyDocument>(0, 15_000_000);
    assert!(zero.unwrap_err().to_string().contains("at least 1 thread"));
    let _first = index.writer::<tantivy::TantivyDocument>(15_000_000).unwrap();
    assert!(index.writer::<tantivy::TantivyDocument>(15_000_000).is_err());
}
