//! Search by meaning in a Tantivy schema of one's own. `embed "$(tdense model get -q)"`

use std::sync::Arc;

use anyhow::Context;
use tantivy::collector::TopDocs;
use tantivy::schema::{STORED, STRING, Schema, TEXT, Value};
use tantivy::{TantivyDocument, Term, doc, query::TermQuery, schema::IndexRecordOption};
use tantivy_dense::encoder::OnnxEncoder;
use tantivy_dense::model::ModelFolder;
use tantivy_dense::{DenseIndex, DenseOptions, DenseSchemaBuilder, Encoder, KnnQuery};

fn main() -> anyhow::Result<()> {
    let folder = std::env::args().nth(1).context("usage: embed MODEL_FOLDER")?;
    let model = ModelFolder::open(folder)?;
    let encoder: Arc<dyn Encoder> = Arc::new(OnnxEncoder::builder(model).build()?);

    let mut schema = Schema::builder();
    let body = schema.add_text_field("body", TEXT | STORED);
    let shelf = schema.add_text_field("shelf", STRING);
    let dense = schema.add_dense_field("dense", DenseOptions::for_encoder(&*encoder).source("body"));
    let index = DenseIndex::builder(schema.build()).encoder("dense", encoder).create_in_ram()?;

    let mut writer = index.writer(50_000_000)?;
    writer.add_document(doc!(body => "Volkano hulipuka wakati mwamba ulioyeyuka unapanda.", shelf => "earth"))?;
    writer.add_document(doc!(body => "Tee zieht in heißem Wasser, nicht in kochendem.", shelf => "kitchen"))?;
    writer.add_document(doc!(body => "Basaltic lava flows slowly down the slope.", shelf => "earth"))?;
    writer.commit()?;

    let earth = TermQuery::new(Term::from_field_text(shelf, "earth"), IndexRecordOption::Basic);
    let query = KnnQuery::new(dense, index.encode_query("dense", "Why do volcanoes erupt?")?, 2).filter(earth);
    let searcher = index.reader()?.searcher();
    for (score, address) in searcher.search(&query, &TopDocs::with_limit(2).order_by_score())? {
        let found: TantivyDocument = searcher.doc(address)?;
        println!("{score:.3} {}", found.get_first(body).and_then(|v| v.as_str()).unwrap_or_default());
    }
    Ok(())
}
