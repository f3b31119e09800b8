//! Vectors of your own, without an encoder: add, filter, search. Run it with
//! `cargo run -p tantivy-dense-plugin --example own_vectors`.
#![expect(clippy::print_stdout, reason = "an example shows what it found")]

use tantivy::collector::TopDocs;
use tantivy::query::TermQuery;
use tantivy::schema::{IndexRecordOption, STORED, STRING, Schema, Value};
use tantivy::{TantivyDocument, Term, doc};
use tantivy_dense_plugin::{
    DenseDocument, DenseIndex, DenseOptions, DenseSchemaBuilder, Dim, KnnQuery,
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut schema = Schema::builder();
    let name = schema.add_text_field("name", STRING | STORED);
    let kind = schema.add_text_field("kind", STRING);
    let color = schema.add_dense_field("color", DenseOptions::new(Dim::new(3)?));
    let index = DenseIndex::create_in_ram(schema.build())?;

    let mut writer = index.writer(50_000_000)?;
    for (what, of, rgb) in [
        ("poppy", "flower", [0.9, 0.1, 0.1]),
        ("cornflower", "flower", [0.2, 0.3, 0.9]),
        ("fire engine", "car", [0.8, 0.1, 0.0]),
        ("tractor", "car", [0.1, 0.6, 0.2]),
    ] {
        let mut document = doc!(name => what, kind => of);
        document.add_dense(color, &rgb);
        writer.add_document(document)?;
    }
    writer.commit()?;

    let reader = index.reader()?;
    let searcher = reader.searcher();
    let cars = TermQuery::new(Term::from_field_text(kind, "car"), IndexRecordOption::Basic);
    let red = KnnQuery::new(color, [1.0, 0.0, 0.0], 2);
    for (title, query) in [("red", red.clone()), ("red cars", red.filter(cars))] {
        println!("{title}:");
        for (score, at) in searcher.search(&query, &TopDocs::with_limit(2).order_by_score())? {
            let found: TantivyDocument = searcher.doc(at)?;
            let name = found.get_first(name).and_then(|value| value.as_str()).unwrap_or("?");
            println!("  {score:.3}  {name}");
        }
    }
    Ok(())
}
