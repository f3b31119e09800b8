//! Folders that others made: `model.onnx` and `tokenizer.json`, as sentence-transformers and optimum export them.
//!
//! Left out on purpose: `modules.json` and layers after pooling. A graph that gives vectors has them inside.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::folder::{OpenError, facts_of};
use super::manifest::{FORMAT, Identity, Manifest, Prefixes, hex};
use crate::encoder::Pooling;

/// Where exporters put the graph.
const GRAPHS: [&str; 2] = ["model.onnx", "onnx/model.onnx"];

/// And a quantized one beside it.
const INT8_GRAPHS: [&str; 5] = [
    "model_quantized.onnx",
    "model_int8.onnx",
    "model_qint8_avx512_vnni.onnx",
    "model_quint8_avx2.onnx",
    "model.int8.onnx",
];

/// Used where no file says another.
const TOKEN_LIMIT: usize = 512;

/// Makes the manifest that such a folder lacks.
pub(super) fn manifest_of(folder: &Path) -> Result<Manifest, OpenError> {
    let no_model = || OpenError::NoModel { folder: folder.to_owned() };
    let graph = *GRAPHS.iter().find(|name| folder.join(name).is_file()).ok_or_else(no_model)?;
    let tokenizer = "tokenizer.json";
    if !folder.join(tokenizer).is_file() {
        return Err(no_model());
    }
    let graphs = Path::new(graph).parent().unwrap_or(Path::new(""));
    let int8 =
        INT8_GRAPHS.iter().map(|name| graphs.join(name)).find(|name| folder.join(name).is_file());
    let int8 = int8.and_then(|name| name.to_str().map(str::to_owned));

    let mut files = BTreeMap::new();
    let mut list = |name: &str| -> Result<String, OpenError> {
        let file = folder.join(name);
        let facts = facts_of(&file).map_err(|source| OpenError::Io { file, source })?;
        let sha256 = facts.sha256.clone();
        files.insert(name.to_owned(), facts);
        Ok(sha256)
    };
    // Weights above 2 GB, or by choice, lie beside the graph under the graph's name and an ending.
    let mut weights = Sha256::new();
    for name in beside(folder, graph)? {
        weights.update(list(&name)?);
    }
    let tokenizer_sha256 = list(tokenizer)?;
    if let Some(name) = &int8 {
        for name in beside(folder, name)? {
            list(&name)?;
        }
    }

    let pooling = pooling_of(folder)?;
    let token_limit = token_limit_of(folder)?;
    let absolute = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let name =
        absolute.file_name().map_or("model".into(), |name| name.to_string_lossy()).into_owned();
    let fingerprint = Identity {
        // Not the folder's name: the same model in another place is the same model.
        name: "model",
        weights_sha256: &hex(&weights.finalize()),
        tokenizer_sha256: &tokenizer_sha256,
        adapter_sha256: None,
        pooling,
        prefixes: &Prefixes::default(),
        token_limit,
    }
    .fingerprint();
    Ok(Manifest {
        format: FORMAT,
        conversion: 0,
        name,
        licence: None,
        source: None,
        architecture: None,
        dim: None,
        pooling,
        prefixes: Prefixes::default(),
        token_limit,
        fingerprint,
        f32_graph: graph.to_owned(),
        int8_graph: int8,
        tokenizer: tokenizer.to_owned(),
        adapter: None,
        language_means: None,
        files,
    })
}

/// The graph, and `GRAPH.data`, `GRAPH_data`, `GRAPH_data_1`, ..., in order.
fn beside(folder: &Path, graph: &str) -> Result<Vec<String>, OpenError> {
    let path = folder.join(graph);
    let parent = path.parent().unwrap_or(folder);
    let fail = |source: io::Error| OpenError::Io { file: parent.to_owned(), source };
    let mut names = vec![graph.to_owned()];
    for entry in fs::read_dir(parent).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let prefix = graph.rsplit_once('/').map_or("", |(prefix, _)| prefix);
        let name = if prefix.is_empty() { name } else { format!("{prefix}/{name}") };
        let ending = name.strip_prefix(graph).unwrap_or("");
        if ending.starts_with(".data") || ending.starts_with("_data") {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

pub(super) fn pooling_of(folder: &Path) -> Result<Pooling, OpenError> {
    #[derive(Deserialize, Default)]
    #[serde(default)]
    struct Config {
        pooling_mode_cls_token: bool,
    }
    let config: Config = settings(folder, "1_Pooling/config.json")?.unwrap_or_default();
    Ok(if config.pooling_mode_cls_token { Pooling::Cls } else { Pooling::Mean })
}

pub(super) fn token_limit_of(folder: &Path) -> Result<usize, OpenError> {
    #[derive(Deserialize)]
    struct SentenceBert {
        max_seq_length: Option<usize>,
    }
    #[derive(Deserialize)]
    struct Tokenizer {
        // Some exports write 1e30 for "no limit".
        model_max_length: Option<f64>,
    }
    let limit = settings::<SentenceBert>(folder, "sentence_bert_config.json")?
        .and_then(|config| config.max_seq_length);
    if let Some(limit) = limit.filter(|&limit| limit > 2) {
        return Ok(limit);
    }
    let limit = settings::<Tokenizer>(folder, "tokenizer_config.json")?
        .and_then(|config| config.model_max_length)
        .filter(|limit| (3.0..=1e6).contains(limit));
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 3 and a million"
    )]
    Ok(limit.map_or(TOKEN_LIMIT, |limit| limit as usize))
}

pub(super) fn settings<T: for<'a> Deserialize<'a>>(
    folder: &Path,
    name: &str,
) -> Result<Option<T>, OpenError> {
    let file = folder.join(name);
    match fs::read_to_string(&file) {
        Ok(text) => match serde_json::from_str(&text) {
            Ok(settings) => Ok(Some(settings)),
            Err(source) => Err(OpenError::Manifest { file, source }),
        },
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(OpenError::Io { file, source }),
    }
}
