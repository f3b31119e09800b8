//! How often the detector names the language of real questions and passages.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use tantivy_dense_indexer::Detector;

use crate::support::data;

fn json_lines(file: PathBuf) -> Vec<String> {
    let text = fs::read_to_string(file).unwrap();
    text.lines()
        .map(|line| {
            serde_json::from_str::<Value>(line).unwrap()["text"].as_str().unwrap().to_owned()
        })
        .collect()
}

#[test]
fn passages_and_questions_tell_their_language() {
    let Some(data) = data("language detection") else { return };
    let eval = data.join("eval");
    let mut texts = BTreeMap::<(&str, &str), Vec<String>>::new();
    for language in ["ar", "de", "el", "en", "es", "hi", "ru", "th", "tr", "vi", "zh"] {
        let file = fs::read(eval.join(format!("xquad-r/{language}.json"))).unwrap();
        let json: Value = serde_json::from_slice(&file).unwrap();
        for article in json["data"].as_array().unwrap() {
            for paragraph in article["paragraphs"].as_array().unwrap() {
                let sentences = paragraph["sentences"].as_array().unwrap();
                texts
                    .entry((language, "passages"))
                    .or_default()
                    .extend(sentences.iter().map(|s| s.as_str().unwrap().to_owned()));
                let questions = paragraph["qas"].as_array().unwrap();
                texts
                    .entry((language, "questions"))
                    .or_default()
                    .extend(questions.iter().map(|q| q["question"].as_str().unwrap().to_owned()));
            }
        }
    }
    for language in ["ar", "bn", "en", "fi", "id", "ko", "ru", "sw", "te"] {
        let folder = eval.join(format!("tydiqa-r/{language}"));
        for (kind, file) in [("passages", "corpus.jsonl"), ("questions", "queries.jsonl")] {
            texts.entry((language, kind)).or_default().extend(json_lines(folder.join(file)));
        }
    }
    for (language, code) in [
        ("am", "amh"),
        ("yo", "yor"),
        ("ha", "hau"),
        ("fr", "fra"),
        ("ja", "jpn"),
        ("pt", "por"),
        ("it", "ita"),
        ("nl", "nld"),
        ("pl", "pol"),
        ("uk", "ukr"),
        ("fa", "fas"),
        ("ur", "urd"),
        ("mr", "mar"),
        ("ne", "nep"),
        ("ta", "tam"),
        ("ig", "ibo"),
    ] {
        let file = eval.join(format!("ntrex/NTREX-128/newstest2019-ref.{code}.txt"));
        let lines = fs::read_to_string(file).unwrap();
        texts
            .entry((language, "sentences"))
            .or_default()
            .extend(lines.lines().step_by(4).map(String::from));
    }

    let detector = Detector::new();
    let mut below = Vec::new();
    for ((language, kind), texts) in &texts {
        let (mut right, mut unsure) = (0_u32, 0_u32);
        let mut wrong = BTreeMap::<String, u32>::new();
        for text in texts {
            match detector.detect(text) {
                Some(tag) if tag.as_str() == *language => right += 1,
                Some(tag) => *wrong.entry(tag.to_string()).or_default() += 1,
                None => unsure += 1,
            }
        }
        let of = f64::from(u32::try_from(texts.len()).unwrap());
        let share = f64::from(right) / of;
        let mut wrong: Vec<_> = wrong.into_iter().collect();
        wrong.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
        wrong.truncate(3);
        let unsure = f64::from(unsure) / of;
        println!("{language} {kind:9} {of:5} right {share:.3} unsure {unsure:.3} wrong {wrong:?}");
        let bar = match (*language, *kind) {
            ("yo" | "ha", _) => 0.3, // only where a letter gives it away
            ("fi" | "id" | "sw", "questions") => 0.74,
            ("mr" | "ne", _) => 0.78,
            (_, "questions") => 0.95,
            _ => 0.96,
        };
        if share < bar {
            below.push((language, kind, share));
        }
    }
    assert!(below.is_empty(), "{below:?}");
}
