//! Makes the default model in a cache folder (first argument), and encodes two texts with it.

use dense_plugin::{Encoder, Role, Text};
use tantivy_dense::encoder::OnnxEncoder;
use tantivy_dense::model::{GetOptions, get};

#[expect(clippy::print_stdout, reason = "an example shows what it does")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let cache = std::env::args_os().nth(1).ok_or("usage: model_get CACHE_FOLDER")?;
    let folder = get(cache.as_ref(), GetOptions::default(), &mut |event| println!("{event:?}"))?;
    println!("{}", folder.fingerprint());
    let encoder = OnnxEncoder::builder(folder).build()?;
    let asked = encoder.encode(Role::Query, &[Text::new("When do the bees sleep?")])?;
    let found = encoder.encode(Role::Passage, &[Text::new("Arılar geceleri dinlenir.")])?;
    let score: f32 =
        asked.vectors.row(0).iter().zip(found.vectors.row(0)).map(|(a, b)| a * b).sum();
    println!("cosine {score:.3}");
    Ok(())
}
