//! Writes the small index that `fixtures/index` keeps of each version of the file formats: run once for a
//! new version, with the folder to make, and never for an older one.
//!
//! `cargo run -p tantivy-dense-plugin --features faiss --example frozen_index -- fixtures/index/v1`

use std::error::Error;

use tantivy::TantivyDocument;
use tantivy::indexer::NoMergePolicy;
use tantivy::schema::{FAST, INDEXED, STORED, Schema};
use tantivy_dense_plugin::{
    DenseDocument, DenseIndex, DenseOptions, DenseSchemaBuilder, DenseWriter, Dim, Element, Metric,
};

fn main() -> Result<(), Box<dyn Error>> {
    let folder = std::env::args().nth(1).ok_or("usage: frozen_index FOLDER")?;
    let dim = Dim::new(4)?;
    let mut schema = Schema::builder();
    let id = schema.add_u64_field("id", INDEXED | FAST | STORED);
    let graph = schema.add_dense_field("graph", DenseOptions::new(dim).ann("hnsw(4,10)".parse()?));
    let lists = DenseOptions::new(dim).ann("ivf(8,f16)".parse()?);
    let lists = schema.add_dense_field("lists", lists.element(Element::Int8).metric(Metric::L2));
    std::fs::create_dir_all(&folder)?;
    let index = DenseIndex::create_in_dir(&folder, schema.build())?;
    let mut writer: DenseWriter = index.writer_with_num_threads(1, 15_000_000)?;
    writer.set_merge_policy(Box::new(NoMergePolicy));
    for number in 0..300u16 {
        let mut document = TantivyDocument::new();
        document.add_u64(id, number.into());
        let angle = f32::from(number) * 0.37;
        let place = f32::from(number % 17);
        document.add_dense(graph, &[angle.cos(), angle.sin(), (2.0 * angle).cos(), place / 8.0]);
        document.add_dense(lists, &[f32::from(number) / 20.0, place, angle.sin(), 1.0]);
        writer.add_document(document)?;
    }
    writer.commit()?;
    writer.optimize()?.wait()?;
    writer.wait_merging_threads()?;
    Ok(())
}
