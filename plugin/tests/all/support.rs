//! What several tests need.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use tantivy::collector::TopDocs;
use tantivy::query::Query;
use tantivy::schema::{FAST, Field, INDEXED, STORED, STRING, Schema, TEXT, Value};
use tantivy::{DocAddress, Score, Searcher, TantivyDocument};
use tantivy_dense_plugin::toy::ToyEncoder;
use tantivy_dense_plugin::{
    DenseIndex, DenseOptions, DenseSchemaBuilder, Dim, EncodeError, Encoded, Encoder, Fingerprint,
    Role, Text,
};

pub(crate) fn dim(dim: usize) -> Dim {
    Dim::new(dim).unwrap()
}

/// Documents with an id, a text that is encoded, and a language.
#[derive(Clone, Copy)]
pub(crate) struct TextFields {
    pub(crate) id: Field,
    pub(crate) body: Field,
    pub(crate) lang: Field,
    pub(crate) dense: Field,
}

pub(crate) fn text_schema(encoder: &dyn Encoder) -> (Schema, TextFields) {
    let mut schema = Schema::builder();
    let id = schema.add_u64_field("id", INDEXED | FAST | STORED);
    let body = schema.add_text_field("body", TEXT);
    let lang = schema.add_text_field("lang", STRING | FAST);
    let options = DenseOptions::for_encoder(encoder).source("body").language("lang");
    let dense = schema.add_dense_field("dense", options);
    (schema.build(), TextFields { id, body, lang, dense })
}

pub(crate) fn text_index(encoder: &Arc<TestEncoder>) -> (DenseIndex, TextFields) {
    let (schema, fields) = text_schema(encoder.as_ref());
    let builder = DenseIndex::builder(schema).encoder("dense", encoder.clone());
    (builder.create_in_ram().unwrap(), fields)
}

/// The toy encoder, which remembers its batches and fails when told to.
pub(crate) struct TestEncoder {
    toy: ToyEncoder,
    pub(crate) batches: Mutex<Vec<usize>>,
    pub(crate) languages: Mutex<Vec<Option<String>>>,
    pub(crate) fails: AtomicBool,
}

impl TestEncoder {
    pub(crate) fn new() -> Arc<Self> {
        let toy = ToyEncoder::new(dim(32));
        let (batches, languages) = (Mutex::default(), Mutex::default());
        Arc::new(Self { toy, batches, languages, fails: AtomicBool::new(false) })
    }

    pub(crate) fn vector(&self, text: &str) -> Vec<f32> {
        let encoded = self.toy.encode(Role::Passage, &[Text::new(text)]).unwrap();
        encoded.vectors.row(0).to_vec()
    }
}

impl Encoder for TestEncoder {
    fn fingerprint(&self) -> &Fingerprint {
        self.toy.fingerprint()
    }

    fn dim(&self) -> Dim {
        self.toy.dim()
    }

    fn encode(&self, role: Role, texts: &[Text<'_>]) -> Result<Encoded, EncodeError> {
        if self.fails.load(Ordering::SeqCst) {
            return Err(EncodeError::new(texts.len(), "told to fail"));
        }
        self.batches.lock().unwrap().push(texts.len());
        let languages = texts.iter().map(|text| text.language.map(ToString::to_string));
        self.languages.lock().unwrap().extend(languages);
        self.toy.encode(role, texts)
    }
}

/// The hits of a query, best first.
pub(crate) fn top(searcher: &Searcher, query: &dyn Query) -> Vec<(Score, DocAddress)> {
    searcher.search(query, &TopDocs::with_limit(1000).order_by_score()).unwrap()
}

/// The ids of the hits of a query, best first.
pub(crate) fn ids(searcher: &Searcher, query: &dyn Query, id: Field) -> Vec<u64> {
    top(searcher, query).into_iter().map(|(_, at)| id_of(searcher, at, id)).collect()
}

pub(crate) fn id_of(searcher: &Searcher, at: DocAddress, id: Field) -> u64 {
    let doc: TantivyDocument = searcher.doc(at).unwrap();
    doc.get_first(id).unwrap().as_u64().unwrap()
}
