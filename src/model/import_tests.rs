use super::*;
use crate::encoder::Pooling;
use safetensors::tensor::TensorView;
use serde_json::json;

const SIZE: BertConfig = BertConfig {
    layers: 1,
    heads: 2,
    hidden: 32,
    inner: 48,
    vocabulary: 7,
    positions: 10,
    token_types: 1,
    epsilon: 1e-5,
    head: Head { pooling: Pooling::Mean, dense: None, activation: Activation::Tanh },
};

/// Numbers that are exact in 16 bits, so that each type holds the same model.
struct Drawn;

impl Weights for Drawn {
    fn tensor(&self, name: &str, dims: &[usize]) -> Result<Vec<f32>, WeightsError> {
        let seed: u32 =
            name.bytes().fold(7, |seed, byte| seed.wrapping_mul(31).wrapping_add(u32::from(byte)));
        let number = |at: u32| {
            let mixed = seed.wrapping_add(at).wrapping_mul(2_654_435_761) >> 25;
            (f32::from(u8::try_from(mixed).unwrap()) - 64.0) / 64.0
        };
        Ok((0..u32::try_from(dims.iter().product::<usize>()).unwrap()).map(number).collect())
    }
}

/// Remembers which tensors a graph asks for.
struct Asked(std::cell::RefCell<Vec<(String, Vec<usize>)>>);

impl Weights for Asked {
    fn tensor(&self, name: &str, dims: &[usize]) -> Result<Vec<f32>, WeightsError> {
        self.0.borrow_mut().push((name.to_owned(), dims.to_vec()));
        Drawn.tensor(name, dims)
    }
}

/// A folder as transformers saves it: weights under `before`, with `extra` position embeddings at the front.
fn folder(kind: &str, before: &str, extra: usize, dtype: Dtype) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let asked = Asked(std::cell::RefCell::default());
    bert_encoder(&SIZE, &asked, Numeric::F32).unwrap();
    let mut tensors = Vec::new();
    for (name, mut dims) in asked.0.into_inner() {
        let mut numbers = Drawn.tensor(&name, &dims).unwrap();
        if name.contains("position_embeddings") {
            dims[0] += extra;
            numbers.splice(0..0, vec![9.0; extra * SIZE.hidden]);
        }
        let bytes: Vec<u8> = match dtype {
            Dtype::F16 => numbers.iter().flat_map(|x| f16::from_f32(*x).to_le_bytes()).collect(),
            Dtype::BF16 => numbers.iter().flat_map(|x| bf16::from_f32(*x).to_le_bytes()).collect(),
            _ => numbers.iter().flat_map(|x| x.to_le_bytes()).collect(),
        };
        tensors.push((format!("{before}{name}"), dims, bytes));
    }
    let views = tensors
        .iter()
        .map(|(name, dims, bytes)| (name, TensorView::new(dtype, dims.clone(), bytes).unwrap()));
    fs::write(folder.path().join(WEIGHTS), safetensors::serialize(views, None).unwrap()).unwrap();
    let config = json!({
        "model_type": kind, "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
        "intermediate_size": 48, "vocab_size": 7, "max_position_embeddings": 10 + extra, "type_vocab_size": 1,
        "layer_norm_eps": 1e-5, "hidden_act": "gelu", "pad_token_id": 1,
    });
    fs::write(folder.path().join(CONFIG), config.to_string()).unwrap();
    fs::write(folder.path().join(TOKENIZER), "{}").unwrap();
    folder
}

fn imported(folder: &Path) -> Result<(tempfile::TempDir, ModelFolder), ImportError> {
    let place = tempfile::tempdir().unwrap();
    let options = ImportOptions::default().prefixes("q: ", "p: ").licence("MIT");
    let model = import(folder, &place.path().join("mine"), &options)?;
    Ok((place, model))
}

#[test]
fn bert_and_xlm_r_in_any_precision_give_the_graph_of_their_weights() {
    let wanted = tempfile::tempdir().unwrap();
    bert_encoder(&SIZE, &Drawn, Numeric::F32).unwrap().save(wanted.path(), F32_GRAPH).unwrap();
    let graph = |folder: &Path| {
        [F32_GRAPH.to_owned(), format!("{F32_GRAPH}.data")]
            .map(|name| fs::read(folder.join(name)).unwrap())
    };
    for (kind, before, extra, dtype) in [
        ("bert", "", 0, Dtype::F32),
        ("bert", "bert.", 0, Dtype::F16),
        ("xlm-roberta", "roberta.", 2, Dtype::BF16),
        ("xlm-roberta", "", 2, Dtype::F32),
    ] {
        let (_place, model) = imported(folder(kind, before, extra, dtype).path()).unwrap();
        assert!(graph(model.path()) == graph(wanted.path()), "{kind} {before} {dtype:?}");
        let manifest = model.manifest();
        assert_eq!((manifest.name.as_str(), manifest.licence.as_deref()), ("mine", Some("MIT")));
        assert_eq!((manifest.token_limit, manifest.prefixes.query.as_str()), (10, "q: "));
        model.verify().unwrap();
    }
}

#[test]
fn the_first_token_and_a_layer_after_it_are_built_as_labse_has_them() {
    let folder = folder("bert", "", 0, Dtype::F32);
    let write = |name: &str, json: serde_json::Value| {
        let file = folder.path().join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, json.to_string()).unwrap();
    };
    let module = |kind: &str, path: &str| json!({"type": format!("sentence_transformers.models.{kind}"), "path": path});
    write(
        "modules.json",
        json!([
            module("Transformer", ""),
            module("Pooling", "1_Pooling"),
            module("Dense", "2_Dense"),
            module("Normalize", "3_Normalize"),
        ]),
    );
    write("1_Pooling/config.json", json!({"pooling_mode_cls_token": true}));
    let dense = |activation: &str| json!({"in_features": 32, "out_features": 64, "activation_function": activation});
    write("2_Dense/config.json", dense("torch.nn.modules.activation.Tanh"));
    let bytes = |name: &str, dims: &[usize]| -> Vec<u8> {
        Drawn.tensor(name, dims).unwrap().iter().flat_map(|x| x.to_le_bytes()).collect()
    };
    let (weight, bias) = (bytes("dense.weight", &[64, 32]), bytes("dense.bias", &[64]));
    let views = [
        ("linear.weight", TensorView::new(Dtype::F32, vec![64, 32], &weight).unwrap()),
        ("linear.bias", TensorView::new(Dtype::F32, vec![64], &bias).unwrap()),
    ];
    let bytes = safetensors::serialize(views, None).unwrap();
    fs::write(folder.path().join("2_Dense").join(WEIGHTS), bytes).unwrap();

    let (_place, model) = imported(folder.path()).unwrap();
    let head = Head { pooling: Pooling::Cls, dense: Some(64), activation: Activation::Tanh };
    let wanted = tempfile::tempdir().unwrap();
    let size = BertConfig { head, ..SIZE };
    bert_encoder(&size, &Drawn, Numeric::F32).unwrap().save(wanted.path(), F32_GRAPH).unwrap();
    let data = |folder: &Path| fs::read(folder.join(format!("{F32_GRAPH}.data"))).unwrap();
    assert!(data(model.path()) == data(wanted.path()));
    assert_eq!((model.dim().unwrap().get(), model.manifest().pooling), (64, Pooling::Cls));

    write("2_Dense/config.json", dense("torch.nn.modules.activation.ReLU"));
    let error = imported(folder.path()).unwrap_err();
    assert!(matches!(error, ImportError::Unsupported { .. }), "{error}");
}

#[test]
fn a_folder_with_a_graph_is_copied_with_what_it_needs() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("onnx")).unwrap();
    for name in ["onnx/model.onnx", "onnx/model.onnx_data", "tokenizer.json", "README.md"] {
        fs::write(folder.path().join(name), name).unwrap();
    }
    let (_place, model) = imported(folder.path()).unwrap();
    let names: Vec<&String> = model.manifest().files.keys().collect();
    assert_eq!(names, ["onnx/model.onnx", "onnx/model.onnx_data", "tokenizer.json"]);
    let again = ModelFolder::open(model.path()).unwrap();
    assert_eq!(
        (again.fingerprint(), &again.manifest().prefixes),
        (model.fingerprint(), &model.manifest().prefixes)
    );
    assert_eq!(again.manifest().prefixes.passage, "p: ");
}

#[test]
fn what_cannot_be_built_is_refused_and_leaves_nothing() {
    let refused = |change: &dyn Fn(&Path)| {
        let folder = folder("bert", "", 0, Dtype::F32);
        change(folder.path());
        let place = tempfile::tempdir().unwrap();
        let error =
            import(folder.path(), &place.path().join("m"), &ImportOptions::default()).unwrap_err();
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 0, "{error}");
        error
    };
    let write = |name: &'static str, text: &'static str| {
        move |folder: &Path| {
            fs::create_dir_all(folder.join(name).parent().unwrap()).unwrap();
            fs::write(folder.join(name), text).unwrap();
        }
    };
    assert!(matches!(refused(&write(WEIGHTS, "none")), ImportError::Tensors { .. }));
    assert!(matches!(refused(&write(CONFIG, "{}")), ImportError::Open(_)));
    assert!(matches!(
        refused(&|folder| fs::remove_file(folder.join(TOKENIZER)).unwrap()),
        ImportError::Missing { .. }
    ));
    assert!(matches!(
        refused(&|folder| fs::remove_file(folder.join(WEIGHTS)).unwrap()),
        ImportError::Missing { .. }
    ));
    let modules = r#"[{"idx": 0, "type": "sentence_transformers.models.CNN"}]"#;
    assert!(matches!(refused(&write("modules.json", modules)), ImportError::Unsupported { .. }));
    let small = |folder: &Path| {
        let text = fs::read_to_string(folder.join(CONFIG)).unwrap();
        fs::write(folder.join(CONFIG), text.replace("\"vocab_size\":7", "\"vocab_size\":8"))
            .unwrap();
    };
    assert!(matches!(refused(&small), ImportError::Weights(WeightsError::Dims { .. })));
    let gpt = |folder: &Path| {
        let text = fs::read_to_string(folder.join(CONFIG)).unwrap();
        fs::write(folder.join(CONFIG), text.replace("\"bert\"", "\"gpt2\"")).unwrap();
    };
    assert!(matches!(refused(&gpt), ImportError::Unsupported { .. }));
    let place = tempfile::tempdir().unwrap();
    let taken = import(place.path(), place.path(), &ImportOptions::default()).unwrap_err();
    assert!(matches!(taken, ImportError::Exists { .. }));
}
