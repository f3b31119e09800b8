//! What `tdense index` and `tdense search` do, as a program: a corpus into an index, and questions to
//! it by words, by meaning and by both. Run it with `cargo run --example index_and_search`, which
//! takes an encoder without a model, or with the default model:
//! `cargo run --example index_and_search -- "$(tdense model get -q)"`.
#![expect(clippy::print_stdout, reason = "an example shows what it found")]

use std::error::Error;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use tantivy_dense::indexer::{Event, Indexer, Source};
use tantivy_dense::toy::ToyEncoder;
use tantivy_dense::{Dim, Encoder, Engine, Mode, Request};

fn main() -> Result<(), Box<dyn Error>> {
    let encoder: Arc<dyn Encoder> = match std::env::args_os().nth(1) {
        Some(folder) => model(folder.as_ref())?,
        None => Arc::new(ToyEncoder::new(Dim::new(256)?)),
    };
    println!("encoder {}", encoder.fingerprint());

    let folder = tempfile::tempdir()?;
    let engine = Engine::create_in_dir(folder.path(), encoder)?;
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/parallel");
    let summary = Indexer::builder(engine.index()).run([Source::at(corpus)?], |event| {
        if let Event::Committed { documents } = event {
            println!("{documents} documents are committed");
        }
        // `Break` would commit what has been read and end the run.
        ControlFlow::Continue(())
    })?;
    for bad in &summary.first_skipped {
        println!("left out: {bad}");
    }
    engine.reload()?;

    let question = "why does the sea come and go twice a day?";
    for mode in [Mode::Bm25, Mode::Dense, Mode::Hybrid] {
        println!("\n{mode:?}: {question}");
        show(&engine, &Request::new(question).k(3).mode(mode).filter("lang:en OR lang:sw"))?;
    }
    Ok(())
}

fn show(engine: &Engine, request: &Request<'_>) -> Result<(), Box<dyn Error>> {
    for found in engine.search(request)? {
        let title = found.title.unwrap_or_default();
        println!("  {}. {:.4}  {} [{}] {title}", found.rank, found.score, found.id, found.lang);
    }
    Ok(())
}

#[cfg(feature = "onnx")]
fn model(folder: &Path) -> Result<Arc<dyn Encoder>, Box<dyn Error>> {
    use tantivy_dense::{encoder::OnnxEncoder, model::ModelFolder};
    Ok(Arc::new(OnnxEncoder::builder(ModelFolder::open(folder)?).build()?))
}

#[cfg(not(feature = "onnx"))]
fn model(_: &Path) -> Result<Arc<dyn Encoder>, Box<dyn Error>> {
    Err("this build runs no model: build it with the feature `onnx`".into())
}
