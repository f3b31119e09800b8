//! Imported models against transformers (`fixtures/make/imports.py`): its settings, its names of tensors, its vectors.

#![expect(clippy::unwrap_used, reason = "clippy.toml allows it in test functions alone")]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use dense_plugin::{Encoder, Role, Text};
use safetensors::tensor::{Dtype, TensorView, serialize};
use serde::Deserialize;
use serde_json::{Value, json};
use tantivy_dense::encoder::OnnxEncoder;
use tantivy_dense::graph::Weights;
use tantivy_dense::model::{ImportOptions, Precision, import};

use super::support::cache::library;
use super::support::tiny::{Noise, text, write_tokenizer};

/// Of transformers 5.24.0 with torch 2.15.0, in 64 bits.
const GOLDEN: &str = include_str!("../fixtures/golden/imports.json");

#[derive(Deserialize)]
struct Golden {
    models: BTreeMap<String, Model>,
}

#[derive(Deserialize)]
struct Model {
    /// `config.json`, as it was saved.
    config: Value,
    /// Names and dims of what `model.safetensors` held.
    tensors: BTreeMap<String, Vec<usize>>,
    /// The same of the layer after pooling, which is over the first token then.
    dense: BTreeMap<String, Vec<usize>>,
    texts: Vec<Vec<u32>>,
    vectors: Vec<Vec<f32>>,
}

/// Writes a tiny model as its maker publishes it.
#[cfg(feature = "train")]
pub(super) fn publish(name: &str, folder: &Path) {
    let Golden { models } = serde_json::from_str(GOLDEN).unwrap();
    models[name].publish(folder);
}

impl Model {
    fn publish(&self, folder: &Path) {
        let write = |name: &str, json: &Value| {
            fs::create_dir_all(folder.join(name).parent().unwrap()).unwrap();
            fs::write(folder.join(name), json.to_string()).unwrap();
        };
        write("config.json", &self.config);
        write_weights(&folder.join("model.safetensors"), &self.tensors);
        write_tokenizer(folder, self.config["vocab_size"].as_u64().unwrap().try_into().unwrap());
        if let Some(dims) = self.dense.get("linear.weight") {
            let layers = ["Transformer", "Pooling", "Dense", "Normalize"];
            let modules = layers.iter().enumerate().map(|(at, kind)| {
                let path = if at == 0 { String::new() } else { format!("{at}_{kind}") };
                json!({"type": format!("sentence_transformers.models.{kind}"), "path": path})
            });
            write("modules.json", &modules.collect());
            write("1_Pooling/config.json", &json!({"pooling_mode_cls_token": true}));
            let (out, tanh) = (dims[0], "torch.nn.modules.activation.Tanh");
            let dense =
                json!({"in_features": dims[1], "out_features": out, "activation_function": tanh});
            write("2_Dense/config.json", &dense);
            write_weights(&folder.join("2_Dense/model.safetensors"), &self.dense);
        }
    }
}

fn write_weights(file: &Path, tensors: &BTreeMap<String, Vec<usize>>) {
    let bytes = |(name, dims): (&String, &Vec<usize>)| {
        let numbers = Noise.tensor(name, dims).unwrap();
        (name.clone(), dims.clone(), numbers.iter().flat_map(|x| x.to_le_bytes()).collect())
    };
    let parts: Vec<(String, Vec<usize>, Vec<u8>)> = tensors.iter().map(bytes).collect();
    let views = parts.iter().map(|(name, dims, bytes)| {
        (name, TensorView::new(Dtype::F32, dims.clone(), bytes).unwrap())
    });
    fs::write(file, serialize(views, None).unwrap()).unwrap();
}

#[test]
fn vectors_of_an_imported_model_are_those_of_transformers() {
    let Some(library) = library() else { return };
    let Golden { models } = serde_json::from_str(GOLDEN).unwrap();
    for (name, model) in models {
        let bench = tempfile::tempdir().unwrap();
        let published = bench.path().join("published");
        model.publish(&published);
        let imported =
            import(&published, &bench.path().join("mine"), &ImportOptions::default()).unwrap();
        let encoder = |precision| {
            let builder = OnnxEncoder::builder(imported.clone()).precision(precision);
            builder.runtime(&library).threads(1).build().unwrap()
        };
        let texts: Vec<String> = model.texts.iter().map(|ids| text(ids)).collect();
        let texts: Vec<Text<'_>> = texts.iter().map(|text| Text::new(text)).collect();
        let halves = encoder(Precision::F16).encode(Role::Passage, &texts).unwrap().vectors;
        let found = encoder(Precision::F32).encode(Role::Passage, &texts).unwrap();
        for (half, whole) in halves.iter().zip(&found.vectors) {
            let cosine: f32 = half.iter().zip(whole).map(|(a, b)| a * b).sum();
            assert!(cosine > 0.999, "{name}: {cosine} in f16");
        }
        assert_eq!((found.vectors.rows(), found.truncated), (model.vectors.len(), 0), "{name}");
        for (found, wanted) in found.vectors.iter().zip(&model.vectors) {
            assert_eq!(found.len(), wanted.len(), "{name}");
            for (found, wanted) in found.iter().zip(wanted) {
                assert!((found - wanted).abs() < 1e-5, "{name}: {found} for {wanted}");
            }
        }
    }
}
