//! How large activations become, so that int8 can even them out.
//!
//! The texts are this project's own, short, and in many scripts: what sets the range are a few inputs that any text
//! drives high, so that a few texts show them.

use std::path::Path;

use ort::value::TensorRef;

use super::device::Device;
use super::runtime::{Runtime, RuntimeError};
use super::tokenize::{TokenizeError, Tokens};
use crate::graph::{BertConfig, Calibration, Weights, WeightsError, bert_observer};

/// Written for this. Both roles are run over each.
const TEXTS: [&str; 24] = [
    "The ferry leaves at nine and takes forty minutes to cross the bay.",
    "Why do apples turn brown after they are cut?",
    "In 1987, about 3,400 of the 12,150 households (28%) had no telephone; prices started at $15.99.",
    "https://example.org/help?id=42 - Error 0x80070005: access denied!",
    "Die Bibliothek bleibt wegen Umbauarbeiten bis Ende März geschlossen.",
    "¿Cuántos días se puede conservar la sopa en la nevera?",
    "Le musée expose des cartes anciennes et des instruments de navigation.",
    "Vlak přijel o deset minut později, protože na trati ležel strom.",
    "Kisima kipya kinatoa maji safi kwa vijiji vitatu.",
    "Hava soğuyunca arılar kovanın ortasında toplanır.",
    "Учёные измерили толщину льда в трёх точках озера.",
    "Ο φούρνος πρέπει να είναι ζεστός πριν μπει το ψωμί.",
    "كم تبلغ المسافة بين القريتين عبر الجبل؟",
    "הספר יצא לאור לפני שלושים שנה ותורגם לשש שפות.",
    "किसान ने बारिश से पहले खेत जोत लिया।",
    "নদীর ওপর নতুন সেতু তৈরি হচ্ছে।",
    "பள்ளிக்கு அருகில் ஒரு பெரிய ஆலமரம் உள்ளது.",
    "ఈ వంటకానికి రెండు కప్పుల బియ్యం కావాలి.",
    "ห้องสมุดเปิดทุกวันยกเว้นวันจันทร์",
    "这种茶叶要用八十度的水冲泡三分钟。",
    "この公園では春に桜まつりが開かれます。",
    "산길은 비가 온 뒤에 미끄러우니 조심하세요.",
    "ወንዙ በክረምት ሲሞላ መንገዱ ይዘጋል።",
    "Nước mắm được làm từ cá cơm và muối.",
];

const NAME: &str = "observer.onnx";

/// Runs a model over the texts and keeps the largest magnitude of each input of each linear layer. Its weights are
/// taken from the f32 graph that was saved as `f32_graph` in `folder`.
pub(crate) fn calibrate(
    config: &BertConfig,
    weights: &dyn Weights,
    tokenizer: &Path,
    prefixes: [&str; 2],
    library: &Path,
    (folder, f32_graph): (&Path, &str),
) -> Result<Calibration, CalibrateError> {
    let runtime = Runtime::load(library)?;
    let tokens = Tokens::open(tokenizer, config.positions)?;
    let (graph, layers) = bert_observer(config, weights)?;
    graph.save_beside(folder, NAME, f32_graph)?;
    drop(graph);
    let mut session = runtime.open(&folder.join(NAME), 1, Device::Cpu)?;
    std::fs::remove_file(folder.join(NAME))?;
    let mut calibration = Calibration::new();
    for text in TEXTS {
        for prefix in prefixes {
            let ids: Vec<i64> =
                tokens.encode(prefix, text)?.ids.into_iter().map(i64::from).collect();
            let mask = vec![1_i64; ids.len()];
            let shape = [1, ids.len()];
            let outputs = session.run(ort::inputs![
                "input_ids" => TensorRef::from_array_view((shape, &*ids))?,
                "attention_mask" => TensorRef::from_array_view((shape, &*mask))?,
            ])?;
            for layer in &layers {
                let (_, seen) = outputs[&**layer].try_extract_tensor::<f32>()?;
                let largest =
                    calibration.entry(layer.clone()).or_insert_with(|| vec![0.0; seen.len()]);
                largest.iter_mut().zip(seen).for_each(|(l, &s)| *l = l.max(s));
            }
        }
    }
    Ok(calibration)
}

/// Why a model could not be looked at while it runs.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CalibrateError {
    /// ONNX Runtime could not be loaded, or not open the graph.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// The tokenizer could not be opened, or failed.
    #[error(transparent)]
    Tokenize(#[from] TokenizeError),
    /// The weights make no such graph.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// The graph failed.
    #[error("ONNX Runtime failed on the calibration texts")]
    Run(#[from] ort::Error),
    /// The graph could not be written.
    #[error("the calibration graph cannot be written")]
    Io(#[from] std::io::Error),
}
