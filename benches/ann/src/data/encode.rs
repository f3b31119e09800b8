//! Texts into vectors of the default model, once, into the cache folder.

use std::path::Path;
use std::time::Instant;

use anyhow::Context;
use tantivy_dense::encoder::OnnxEncoder;
use tantivy_dense::eval::Collection;
use tantivy_dense::model::{ModelFolder, base_folder};
use tantivy_dense::{Encoder, Role, Text};

use super::store::{Header, Store};
use super::{SHORT, SPARE, XQUAD, passages_file, queries_file, texts};
use crate::rng::Rng;

/// How many passages the large set has, before the spare ones.
const SHORT_ROWS: usize = 200_000;
/// How many queries each set has.
const QUERIES: usize = 1_000;
/// What every sample is drawn with.
const SEED: u64 = 2026;
/// Texts in one call: progress is told after each.
const CALL: usize = 8_192;

/// Makes what is not there of both sets.
pub(crate) fn make(data: &Path, cache: &Path, store: &Store) -> anyhow::Result<()> {
    let mut encoder = Lazy { cache, encoder: None };
    if absent(store, XQUAD)? {
        let collection = Collection::open(&data.join("eval/xquad-r"))?;
        let passages = collection.passages.into_iter().map(|passage| passage.text).collect();
        let questions = collection.topics.into_iter().map(|topic| topic.text).collect();
        let queries = Rng::new(SEED).sample(questions, QUERIES);
        let header = Header { what: "XQuAD-R".into(), seed: SEED, ..Header::default() };
        encoder.write(store, XQUAD, &header, passages, queries)?;
    }
    if absent(store, SHORT)? {
        let train = data.join("train");
        let (all, drawn_from) = texts::passages(&train)?;
        let mut rng = Rng::new(SEED);
        let queries = rng.sample(texts::queries(&train, &all)?, QUERIES);
        let passages = rng.sample(all, SHORT_ROWS + SPARE);
        let header =
            Header { what: "short texts".into(), seed: SEED, drawn_from, ..Header::default() };
        encoder.write(store, SHORT, &header, passages, queries)?;
    }
    Ok(())
}

fn absent(store: &Store, set: &str) -> anyhow::Result<bool> {
    let both = [passages_file(set), queries_file(set)].map(|name| store.header(&name));
    let [passages, queries] = both;
    Ok(passages?.is_none() || queries?.is_none())
}

/// An encoder that is opened when something is to be encoded.
struct Lazy<'a> {
    cache: &'a Path,
    encoder: Option<OnnxEncoder>,
}

impl Lazy<'_> {
    fn write(
        &mut self,
        store: &Store,
        set: &str,
        header: &Header,
        passages: Vec<String>,
        queries: Vec<String>,
    ) -> anyhow::Result<()> {
        let encoder = match self.encoder.take() {
            Some(encoder) => encoder,
            None => OnnxEncoder::builder(ModelFolder::open(base_folder(self.cache))?).build()?,
        };
        let name = format!("{}, int8", encoder.fingerprint());
        let dim = encoder.dim().get();
        for (role, file, texts, what) in [
            (Role::Query, queries_file(set), queries, "queries"),
            (Role::Passage, passages_file(set), passages, "passages"),
        ] {
            let header = Header {
                what: format!("{}, {what}", header.what),
                encoder: Some(name.clone()),
                ..header.clone()
            };
            let numbers = encode(&encoder, role, &texts).with_context(|| header.what.clone())?;
            store.write_f32(&file, header, dim, &numbers)?;
        }
        self.encoder = Some(encoder);
        Ok(())
    }
}

#[expect(clippy::print_stderr, reason = "encoding takes minutes: it tells how far it is")]
fn encode(encoder: &OnnxEncoder, role: Role, texts: &[String]) -> anyhow::Result<Vec<f32>> {
    let start = Instant::now();
    let mut numbers = Vec::with_capacity(texts.len() * encoder.dim().get());
    let mut done = 0;
    for call in texts.chunks(CALL) {
        let call: Vec<Text<'_>> = call.iter().map(|text| Text::new(text)).collect();
        numbers.extend_from_slice(encoder.encode(role, &call)?.vectors.as_flat());
        done += call.len();
        eprintln!("{done} of {} texts, {:.0} s", texts.len(), start.elapsed().as_secs_f64());
    }
    Ok(numbers)
}
