//! Models of a few kilobytes, made here and run in ONNX Runtime: what holds for any model folder.

#![expect(clippy::unwrap_used, reason = "clippy.toml allows it in test functions alone")]

use std::fs;
use std::path::Path;

use dense_plugin::{Encoder, Role, Text};
use tantivy_dense::encoder::{BuildError, Device, OnnxEncoder, Pooling, Runtime, RuntimeError};
use tantivy_dense::graph::{
    Activation, Axis, BertConfig, ElementType, GraphBuilder, Head, Numeric, Tensor, Weights,
    WeightsError, bert_encoder,
};
use tantivy_dense::model::{Architecture, HalfError, ModelFolder, OpenError, Precision};

use super::support::cache::library;

const CONFIG: BertConfig = BertConfig {
    layers: 2,
    heads: 4,
    hidden: 64,
    inner: 96,
    vocabulary: 9,
    positions: 16,
    token_types: 1,
    epsilon: 1e-12,
    head: Head { pooling: Pooling::Mean, dense: None, activation: Activation::Tanh },
};

/// Numbers without a pattern, equal for equal names.
struct Noise;

impl Weights for Noise {
    fn tensor(&self, name: &str, dims: &[usize]) -> Result<Vec<f32>, WeightsError> {
        let mut state =
            name.bytes().fold(1_u64, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
        let spread = if name.ends_with("LayerNorm.weight") { 0.1 } else { 0.3 };
        let centre = if name.ends_with("LayerNorm.weight") { 1.0 } else { 0.0 };
        Ok((0..dims.iter().product())
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                let unit = f32::from(u16::try_from(state >> 48).unwrap()) / 32_768.0 - 1.0;
                centre + spread * unit
            })
            .collect())
    }
}

/// Words `a` to `f`, `[`before and `]` after each text.
fn tokenizer(folder: &Path) {
    let text = r#"{"version":"1.0","truncation":null,"padding":null,"added_tokens":[],"normalizer":null,
        "pre_tokenizer":{"type":"Whitespace"},"decoder":null,
        "post_processor":{"type":"TemplateProcessing",
            "single":[{"SpecialToken":{"id":"[","type_id":0}},{"Sequence":{"id":"A","type_id":0}},{"SpecialToken":{"id":"]","type_id":0}}],
            "pair":[{"Sequence":{"id":"A","type_id":0}},{"Sequence":{"id":"B","type_id":0}}],
            "special_tokens":{"[":{"id":"[","ids":[1],"tokens":["["]},"]":{"id":"]","ids":[2],"tokens":["]"]}}},
        "model":{"type":"WordLevel","unk_token":"?","vocab":{"?":0,"[":1,"]":2,"a":3,"b":4,"c":5,"d":6,"e":7,"f":8}}}"#;
    fs::write(folder.join("tokenizer.json"), text).unwrap();
}

fn bert() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    tokenizer(folder.path());
    fs::write(folder.path().join("sentence_bert_config.json"), r#"{"max_seq_length": 16}"#)
        .unwrap();
    let f32 = bert_encoder(&CONFIG, &Noise, Numeric::F32).unwrap();
    f32.save(folder.path(), "model.onnx").unwrap();
    let int8 = bert_encoder(&CONFIG, &Noise, Numeric::Int8).unwrap();
    int8.save(folder.path(), "model.int8.onnx").unwrap();
    folder
}

/// A graph that gives each token the row of a table: the sum of what it gives is known.
fn lookup() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    tokenizer(folder.path());
    let mut graph = GraphBuilder::new();
    let axes = [Axis::Named("batch"), Axis::Named("seq")];
    let ids = graph.input("input_ids", ElementType::I64, &axes);
    let mut rows = vec![0.0; 9 * 2];
    rows[2] = 1.0; // `[` is (1, 0)
    rows[7] = 4.0; // `a` is (0, 4), all else (0, 0)
    let table = graph.constant("table", Tensor::f32(&[9, 2], rows));
    let tokens = graph.gather(table, ids);
    let axes = [axes[0], axes[1], Axis::Fixed(2)];
    graph.output("last_hidden_state", tokens, ElementType::F32, &axes);
    fs::write(folder.path().join("model.onnx"), graph.to_bytes()).unwrap();
    folder
}

fn encode(encoder: &OnnxEncoder, texts: &[&str]) -> Vec<Vec<f32>> {
    let texts: Vec<Text<'_>> = texts.iter().map(|text| Text::new(text)).collect();
    let encoded = encoder.encode(Role::Passage, &texts).unwrap();
    encoded.vectors.iter().map(<[f32]>::to_vec).collect()
}

fn cosine(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[test]
fn token_vectors_are_averaged_and_brought_to_length_1() {
    let Some(library) = library() else { return };
    let folder = lookup();
    let model = ModelFolder::open(folder.path()).unwrap();
    let encoder = OnnxEncoder::builder(model).runtime(&library).build().unwrap();
    assert_eq!(encoder.dim().get(), 2);
    // `[` (1, 0), three times `a` (0, 4), `]` (0, 0): along (1, 12).
    let vector = &encode(&encoder, &["b", "a a a"])[1];
    assert!((vector[1] / vector[0] - 12.0).abs() < 1e-4, "{vector:?}");
    assert!((cosine(vector, vector) - 1.0).abs() < 1e-5);

    fs::create_dir(folder.path().join("1_Pooling")).unwrap();
    let cls = r#"{"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false}"#;
    fs::write(folder.path().join("1_Pooling/config.json"), cls).unwrap();
    let first = ModelFolder::open(folder.path()).unwrap();
    assert_ne!(first.fingerprint(), encoder.folder().fingerprint());
    let first = OnnxEncoder::builder(first).runtime(&library).build().unwrap();
    assert_eq!(encode(&first, &["a a a"])[0], [1.0, 0.0]);
}

#[test]
fn batches_and_their_padding_leave_f32_vectors_as_they_are_and_in_order() {
    let Some(library) = library() else { return };
    let folder = bert();
    let model = ModelFolder::open(folder.path()).unwrap();
    let texts = ["a", "b c d e f a b", "", "f f", "a b c d", "c", "e d c"];
    let f32 = |tokens| {
        let builder = OnnxEncoder::builder(model.clone()).runtime(&library).threads(1);
        builder.precision(Precision::F32).batch_tokens(tokens).build().unwrap()
    };
    let alone: Vec<Vec<f32>> =
        texts.iter().map(|text| encode(&f32(1), &[text]).remove(0)).collect();
    for tokens in [1, 10, 20, 1000] {
        for (a, b) in encode(&f32(tokens), &texts).iter().zip(&alone) {
            assert!(cosine(a, b) > 0.99999, "batches of {tokens} tokens");
        }
    }
    assert!(alone.iter().skip(1).all(|other| cosine(other, &alone[0]) < 0.999));
}

#[test]
fn many_texts_are_tokenized_by_several_threads_and_stay_in_order() {
    let Some(library) = library() else { return };
    let folder = bert();
    let model = ModelFolder::open(folder.path()).unwrap();
    let builder =
        || OnnxEncoder::builder(model.clone()).runtime(&library).precision(Precision::F32);
    let texts: Vec<String> =
        (0..200).map(|n| ["a", "b", "c", "d"][n % 4].to_owned() + &" e".repeat(n % 7)).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let together = encode(&builder().threads(3).build().unwrap(), &texts);
    let alone = builder().threads(1).build().unwrap();
    for (text, vector) in texts.iter().zip(&together) {
        assert!(cosine(vector, &encode(&alone, &[text])[0]) > 0.999_999, "{text}");
    }
}

#[test]
fn texts_that_are_tokenized_in_parts_stay_in_order_and_keep_their_vectors() {
    let Some(library) = library() else { return };
    let folder = bert();
    let model = ModelFolder::open(folder.path()).unwrap();
    let builder = || {
        let builder = OnnxEncoder::builder(model.clone()).runtime(&library).threads(2);
        builder.precision(Precision::F32).batch_tokens(32)
    };
    let texts: Vec<String> =
        (0..300).map(|n| ["a", "b", "c", "d"][n % 4].to_owned() + &" e".repeat(n % 17)).collect();
    let bodies: Vec<Text<'_>> = texts.iter().map(|text| Text::new(text)).collect();
    let whole = builder().build().unwrap().encode(Role::Passage, &bodies).unwrap();
    for part in [1, 7, 100, 299] {
        let encoder = builder().part_texts(part).build().unwrap();
        let found = encoder.encode(Role::Passage, &bodies).unwrap();
        assert_eq!((found.tokens, found.truncated), (whole.tokens, whole.truncated));
        for (n, (a, b)) in found.vectors.iter().zip(&whole.vectors).enumerate() {
            assert!(cosine(a, b) > 0.999_999, "text {n} in parts of {part}");
        }
        let again = encoder.encode(Role::Passage, &bodies).unwrap();
        assert_eq!(again.vectors, found.vectors, "batches do not depend on time");
    }
    assert!(whole.truncated > 0);
}

/// A folder of [`bert`] that says what its graph is, as those do that are made here.
fn ours() -> tempfile::TempDir {
    let folder = bert();
    let mut manifest = ModelFolder::open(folder.path()).unwrap().manifest().clone();
    manifest.architecture = Some(Architecture::Bert(CONFIG));
    let manifest = serde_json::to_string(&manifest).unwrap();
    fs::write(folder.path().join("manifest.json"), manifest).unwrap();
    folder
}

#[test]
fn f16_stays_near_f32_and_needs_no_other_file() {
    let Some(library) = library() else { return };
    let folder = ours();
    let model = ModelFolder::open(folder.path()).unwrap();
    let texts = ["a", "b c d e f a b", "", "f f", "a b c d"];
    let [f16, f32] = [Precision::F16, Precision::F32].map(|precision| {
        let builder = OnnxEncoder::builder(model.clone()).runtime(&library).threads(1);
        encode(&builder.precision(precision).build().unwrap(), &texts)
    });
    for (a, b) in f16.iter().zip(&f32) {
        assert!(cosine(a, b) > 0.999, "{}", cosine(a, b));
        assert!((cosine(a, a) - 1.0).abs() < 1e-5);
    }
    assert_ne!(f16, f32);
}

#[test]
fn f16_is_refused_for_a_graph_that_was_made_elsewhere_or_is_not_what_its_folder_says() {
    let Some(library) = library() else { return };
    let foreign = lookup();
    let refused = |folder: &Path| {
        let model = ModelFolder::open(folder).unwrap();
        let builder = OnnxEncoder::builder(model).runtime(&library);
        builder.precision(Precision::F16).build().unwrap_err()
    };
    let error = refused(foreign.path());
    assert!(matches!(error, BuildError::Half(HalfError::Foreign { .. })), "{error}");
    assert!(error.to_string().contains("use tf32 or f32"), "{error}");
    let folder = ours();
    let manifest = fs::read_to_string(folder.path().join("manifest.json")).unwrap();
    let other = manifest.replace("\"layers\":2", "\"layers\":3");
    assert_ne!(other, manifest);
    fs::write(folder.path().join("manifest.json"), other).unwrap();
    let error = refused(folder.path());
    assert!(matches!(error, BuildError::Half(HalfError::Weights { .. })), "{error}");
}

#[test]
fn int8_stays_near_f32_on_a_model_without_outliers() {
    let Some(library) = library() else { return };
    let folder = bert();
    let model = ModelFolder::open(folder.path()).unwrap();
    let texts = ["a", "b c d e f a b", "f f", "a b c d"];
    let [int8, f32] = [Precision::Int8, Precision::F32].map(|precision| {
        let builder = OnnxEncoder::builder(model.clone()).runtime(&library).threads(1);
        encode(&builder.precision(precision).build().unwrap(), &texts)
    });
    for (a, b) in int8.iter().zip(&f32) {
        assert!(cosine(a, b) > 0.995, "{}", cosine(a, b));
    }
    assert_ne!(int8, f32);
}

#[test]
fn a_text_past_the_limit_is_cut_and_counted() {
    let Some(library) = library() else { return };
    let folder = bert();
    let model = ModelFolder::open(folder.path()).unwrap();
    let encoder = OnnxEncoder::builder(model).runtime(&library).build().unwrap();
    let texts = ["a b ".repeat(7), "a b ".repeat(8), "a".repeat(100_000)];
    let texts = [&*texts[0], &*texts[1], &*texts[2]].map(Text::new);
    let encoded = encoder.encode(Role::Query, &texts).unwrap();
    assert_eq!(encoded.truncated, 2);
    assert_eq!(encoded.tokens, 16 + 16 + 3);
    assert!(cosine(encoded.vectors.row(0), encoded.vectors.row(1)) > 0.99);
}

#[test]
fn other_prefixes_are_another_fingerprint_and_other_vectors() {
    let Some(library) = library() else { return };
    let folder = bert();
    let model = ModelFolder::open(folder.path()).unwrap();
    let prefixed = model.clone().with_prefixes("e ", "");
    assert_ne!(model.fingerprint(), prefixed.fingerprint());
    assert_eq!(model.fingerprint(), model.clone().with_prefixes("", "").fingerprint());
    let encoder = OnnxEncoder::builder(prefixed).runtime(&library).build().unwrap();
    let of = |role, text| encoder.encode(role, &[Text::new(text)]).unwrap().vectors;
    assert_eq!(of(Role::Query, "a"), of(Role::Passage, "e a"));
}

#[test]
fn no_texts_are_no_vectors() {
    let Some(library) = library() else { return };
    let folder = bert();
    let model = ModelFolder::open(folder.path()).unwrap();
    let encoder = OnnxEncoder::builder(model).runtime(&library).build().unwrap();
    let encoded = encoder.encode(Role::Query, &[]).unwrap();
    assert_eq!((encoded.vectors.rows(), encoded.tokens), (0, 0));
}

#[test]
fn what_cannot_run_is_refused_when_the_encoder_is_built() {
    let Some(library) = library() else { return };
    let folder = bert();
    let model = ModelFolder::open(folder.path()).unwrap();
    let builder = || OnnxEncoder::builder(model.clone()).runtime(&library);
    let error = builder().batch_tokens(0).build().unwrap_err();
    assert!(matches!(error, BuildError::BatchTokens { given: 0 }));
    let error = OnnxEncoder::builder(model.clone()).build().unwrap_err();
    assert!(matches!(error, BuildError::NoRuntime { .. }));

    fs::write(folder.path().join("model.int8.onnx"), "no graph").unwrap();
    let error = builder().build().unwrap_err();
    assert!(matches!(error, BuildError::Runtime(RuntimeError::Graph { .. })), "{error}");
    fs::write(folder.path().join("tokenizer.json"), "{}").unwrap();
    let error = builder().precision(Precision::F32).build().unwrap_err();
    assert!(matches!(error, BuildError::Tokenizer(_)), "{error}");
}

/// The library that is fetched has no CUDA: so `auto` is the processor, with the vectors that it gives.
#[test]
fn where_cuda_cannot_be_used_it_is_refused_with_the_reason_and_auto_does_without() {
    let Some(library) = library() else { return };
    let folder = bert();
    let model = ModelFolder::open(folder.path()).unwrap();
    let builder = || OnnxEncoder::builder(model.clone()).runtime(&library);
    let error = builder().device(Device::Cuda(1)).build().unwrap_err();
    assert!(matches!(error, BuildError::Runtime(RuntimeError::NoCuda { .. })), "{error}");
    let said = error.to_string();
    assert!(said.starts_with("device cuda:1 cannot be used: ") && said.contains("CUDA"), "{said}");
    let texts = ["a b", "c"];
    let on = |device| encode(&builder().device(device).build().unwrap(), &texts);
    assert_eq!(on(Device::Auto), on(Device::Cpu));
    let precision = |precision| encode(&builder().precision(precision).build().unwrap(), &texts);
    assert_eq!(precision(Precision::Tf32), precision(Precision::F32), "on the processor");
    let runtime = Runtime::load(&library).unwrap();
    assert_eq!(runtime.device(Device::Auto).unwrap(), Device::Cpu);
}

#[test]
fn a_folder_without_a_model_says_how_to_get_one() {
    let folder = tempfile::tempdir().unwrap();
    let error = ModelFolder::open(folder.path()).unwrap_err();
    assert!(matches!(error, OpenError::NoModel { .. }));
    assert!(error.to_string().contains("tdense model get"));
    let error = ModelFolder::open(folder.path().join("absent")).unwrap_err();
    assert!(matches!(error, OpenError::Missing { .. }));
    assert!(error.to_string().contains("tdense model get"));
}
