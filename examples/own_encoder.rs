//! An encoder of your own: anything that turns texts into vectors. Run it with
//! `cargo run --example own_encoder`.
#![expect(clippy::print_stdout, reason = "an example shows what it found")]

use std::sync::Arc;

use tantivy::collector::TopDocs;
use tantivy::schema::{STORED, Schema, TEXT, Value};
use tantivy::{TantivyDocument, doc};
use tantivy_dense::{
    DenseIndex, DenseOptions, DenseSchemaBuilder, Dim, EncodeError, Encoded, Encoder, Fingerprint,
    KnnQuery, Role, Text, Vectors,
};

/// Each word is a number in one of a few places: texts that share words are near.
struct HashedWords {
    dim: Dim,
    fingerprint: Fingerprint,
}

impl HashedWords {
    fn new(dim: Dim) -> Self {
        // All that decides a vector is in the name: an index made with another one is refused.
        Self { dim, fingerprint: Fingerprint::new(format!("hashed-words-v1-{dim}")) }
    }

    fn place(&self, word: &str) -> usize {
        let letters = word.chars().flat_map(char::to_lowercase);
        letters.fold(7, |hash, letter| (hash * 31 + letter as usize) % 1_000_003) % self.dim.get()
    }
}

impl Encoder for HashedWords {
    fn fingerprint(&self) -> &Fingerprint {
        &self.fingerprint
    }

    fn dim(&self) -> Dim {
        self.dim
    }

    fn encode(&self, _: Role, texts: &[Text<'_>]) -> Result<Encoded, EncodeError> {
        let (mut vectors, mut tokens) = (Vectors::new(self.dim), 0);
        for text in texts {
            let mut vector = vec![0.0; self.dim.get()];
            for word in text.body.split_whitespace() {
                vector[self.place(word)] += 1.0;
                tokens += 1;
            }
            vectors.push(&vector).map_err(|error| EncodeError::new(texts.len(), error))?;
        }
        Ok(Encoded { vectors, tokens, truncated: 0 })
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let encoder: Arc<dyn Encoder> = Arc::new(HashedWords::new(Dim::new(256)?));
    let mut schema = Schema::builder();
    let body = schema.add_text_field("body", TEXT | STORED);
    let options = DenseOptions::for_encoder(&*encoder).source("body");
    let dense = schema.add_dense_field("dense", options);
    let index = DenseIndex::builder(schema.build()).encoder("dense", encoder).create_in_ram()?;

    let mut writer = index.writer(50_000_000)?;
    for text in ["Salt is made from sea water", "The sea rises twice a day", "Bees dance"] {
        writer.add_document(doc!(body => text))?;
    }
    writer.commit()?;

    let query = KnnQuery::new(dense, index.encode_query("dense", "why does the sea rise")?, 2);
    let searcher = index.reader()?.searcher();
    for (score, at) in searcher.search(&query, &TopDocs::with_limit(2).order_by_score())? {
        let found: TantivyDocument = searcher.doc(at)?;
        let text = found.get_first(body).and_then(|value| value.as_str()).unwrap_or("?");
        println!("{score:.3}  {text}");
    }
    Ok(())
}
