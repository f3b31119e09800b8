//! Tiny models: weights that Python makes the same, and texts whose tokens are chosen.

#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "numbers of tests are small"
)]

use std::fs;
use std::path::Path;

use tantivy_dense::graph::{Weights, WeightsError};

/// The generator of `training.py` and `imports.py` in `fixtures/make`.
pub(crate) struct Noise;

impl Weights for Noise {
    fn tensor(&self, name: &str, dims: &[usize]) -> Result<Vec<f32>, WeightsError> {
        let mut seed =
            name.bytes().fold(11_u64, |h, b| h.wrapping_mul(31).wrapping_add(u64::from(b)));
        let (centre, spread) =
            if name.ends_with("LayerNorm.weight") { (1.0, 0.2) } else { (0.0, 0.3) };
        let number = |_| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (centre + spread * ((seed >> 33) as f64 / f64::from(1_u32 << 30) - 1.0)) as f32
        };
        Ok((0..dims.iter().product()).map(number).collect())
    }
}

/// Writes a tokenizer with the words `w0`, `w1`, ..., which are the tokens 0, 1, ...
pub(crate) fn write_tokenizer(folder: &Path, words: usize) {
    let words: Vec<String> = (0..words).map(|id| format!(r#""w{id}":{id}"#)).collect();
    let text = format!(
        r#"{{"version":"1.0","truncation":null,"padding":null,"added_tokens":[],"normalizer":null,
        "pre_tokenizer":{{"type":"Whitespace"}},"post_processor":null,"decoder":null,
        "model":{{"type":"WordLevel","unk_token":"w0","vocab":{{{}}}}}}}"#,
        words.join(",")
    );
    fs::write(folder.join("tokenizer.json"), text).unwrap();
}

/// The text that has these tokens.
pub(crate) fn text(ids: &[u32]) -> String {
    ids.iter().map(|id| format!("w{id}")).collect::<Vec<_>>().join(" ")
}
