//! The default model against an independent forward pass: `fixtures/make/golden.py`.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "clippy.toml allows it in test functions alone"
)]

use dense_plugin::{Encoder, Role, Text};
use serde::Deserialize;
use tantivy_dense::encoder::OnnxEncoder;
use tantivy_dense::model::{ModelFolder, Precision, base_folder};

#[derive(Deserialize)]
struct Golden {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    role: String,
    text: String,
    ids: Vec<u32>,
    vector: Vec<f32>,
}

impl Case {
    fn role(&self) -> Role {
        if self.role == "query" { Role::Query } else { Role::Passage }
    }
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("../fixtures/golden/e5-small.json")).unwrap()
}

fn model() -> Option<ModelFolder> {
    let folder = base_folder(&super::support::cache::cache()?);
    if !folder.is_dir() {
        println!(
            "SKIPPED: the default model is not in {}; run `tdense model get`",
            folder.display()
        );
        return None;
    }
    Some(ModelFolder::open(folder).unwrap())
}

fn cosines(precision: Precision, together: bool) -> Option<Vec<f32>> {
    let encoder = OnnxEncoder::builder(model()?).precision(precision).threads(2).build().unwrap();
    let golden = golden();
    let mut out = Vec::new();
    for role in [Role::Query, Role::Passage] {
        let cases: Vec<&Case> = golden.cases.iter().filter(|case| case.role() == role).collect();
        let step = if together { cases.len() } else { 1 };
        for cases in cases.chunks(step) {
            let texts: Vec<Text<'_>> = cases.iter().map(|case| Text::new(&case.text)).collect();
            let encoded = encoder.encode(role, &texts).unwrap();
            assert_eq!(encoded.tokens, cases.iter().map(|case| case.ids.len()).sum::<usize>());
            assert_eq!(encoded.truncated, 0);
            for (case, vector) in cases.iter().zip(&encoded.vectors) {
                out.push(case.vector.iter().zip(vector).map(|(a, b)| a * b).sum());
            }
        }
    }
    Some(out)
}

fn at_least(bar: f32, cosines: &[f32]) {
    let least = cosines.iter().copied().min_by(f32::total_cmp).unwrap();
    println!("least cosine {least:.6} over {}", cosines.len());
    assert!(least >= bar, "{cosines:?}");
}

#[test]
fn f32_vectors_are_those_of_an_independent_forward_pass() {
    for together in [false, true] {
        if let Some(cosines) = cosines(Precision::F32, together) {
            at_least(0.9999, &cosines);
        }
    }
}

#[test]
fn int8_vectors_are_near_those_of_f32() {
    for together in [false, true] {
        if let Some(cosines) = cosines(Precision::Int8, together) {
            at_least(0.99, &cosines);
        }
    }
}

#[test]
fn the_tokenizer_gives_the_ids_of_the_reference() {
    let Some(model) = model() else { return };
    let file = model.path().join(&model.manifest().tokenizer);
    let tokenizer = tokenizers::Tokenizer::from_file(file).unwrap();
    for case in golden().cases {
        let text = format!("{}: {}", case.role, case.text);
        assert_eq!(tokenizer.encode_fast(text, true).unwrap().get_ids(), case.ids, "{}", case.text);
    }
}

#[test]
fn the_folder_is_what_its_manifest_says() {
    let Some(model) = model() else { return };
    model.verify().unwrap();
    let info = model.info();
    assert_eq!(info.manifest.dim.unwrap().get(), 384);
    assert!(info.manifest.source.unwrap().description.contains("4-bit"));
}

#[test]
fn a_million_characters_and_no_character_at_all_are_encoded() {
    let Some(model) = model() else { return };
    let encoder = OnnxEncoder::builder(model).threads(2).build().unwrap();
    let long = "zima barafu ".repeat(84_000);
    let encoded = encoder.encode(Role::Passage, &[Text::new(&long), Text::new("")]).unwrap();
    assert_eq!(encoded.truncated, 1);
    assert_eq!(encoded.vectors.rows(), 2);
    for vector in &encoded.vectors {
        let length = vector.iter().map(|x| x * x).sum::<f32>().sqrt();
        assert!((length - 1.0).abs() < 1e-4);
    }
}

#[test]
fn threads_that_encode_at_once_get_what_each_would_get_alone() {
    let Some(model) = model() else { return };
    let builder = OnnxEncoder::builder(model).precision(Precision::F32).threads(1);
    let encoder = builder.build().unwrap();
    let texts = ["lait", "молоко", "maziwa", "牛奶"];
    let alone = texts.map(|text| encoder.encode(Role::Query, &[Text::new(text)]).unwrap().vectors);
    std::thread::scope(|scope| {
        for (text, alone) in texts.iter().zip(&alone) {
            let encoder = &encoder;
            scope.spawn(move || {
                let again = encoder.encode(Role::Query, &[Text::new(text)]).unwrap().vectors;
                let cosine: f32 =
                    alone.as_flat().iter().zip(again.as_flat()).map(|(a, b)| a * b).sum();
                assert!(cosine > 0.9999);
            });
        }
    });
}
