//! BM25 on XQuAD-R, each language's questions against its own sentences: the analysers' bar.

use std::collections::BTreeMap;
use std::path::Path;

use dense_plugin::LanguageTag;
use serde_json::Value;
use tantivy::collector::TopDocs;
use tantivy::schema::{
    FAST, IndexRecordOption, Schema, TextFieldIndexing, TextOptions, Value as _,
};
use tantivy::{Index, TantivyDocument};
use tantivy_dense_indexer::{Analysis, Analyzers};

use crate::support::data;

const LANGUAGES: [&str; 11] = ["ar", "de", "el", "en", "es", "hi", "ru", "th", "tr", "vi", "zh"];

struct Questions {
    sentences: Vec<String>,
    /// A question and the sentence that answers it.
    questions: Vec<(String, usize)>,
}

/// Reads one language of XQuAD-R. A question's relevant sentence holds its answer's first character.
fn read(file: &Path) -> Questions {
    let json: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    let mut read = Questions { sentences: Vec::new(), questions: Vec::new() };
    for article in json["data"].as_array().unwrap() {
        for paragraph in article["paragraphs"].as_array().unwrap() {
            let first = read.sentences.len();
            let texts = paragraph["sentences"].as_array().unwrap();
            read.sentences.extend(texts.iter().map(|text| text.as_str().unwrap().to_owned()));
            let breaks = paragraph["sentence_breaks"].as_array().unwrap();
            for question in paragraph["qas"].as_array().unwrap() {
                let start = question["answers"][0]["answer_start"].as_u64().unwrap();
                let sentence = breaks
                    .iter()
                    .position(|b| (b[0].as_u64().unwrap()..b[1].as_u64().unwrap()).contains(&start))
                    .unwrap();
                let text = question["question"].as_str().unwrap().to_owned();
                read.questions.push((text, first + sentence));
            }
        }
    }
    read
}

/// Reads one language of TyDiQA-R. Each question has one relevant passage.
fn read_beir(folder: &Path) -> Questions {
    let lines = |file: &str| -> Vec<Value> {
        let text = std::fs::read_to_string(folder.join(file)).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    let text = |json: &Value, field: &str| json[field].as_str().unwrap().to_owned();
    let corpus = lines("corpus.jsonl");
    let places: BTreeMap<String, usize> =
        corpus.iter().enumerate().map(|(i, passage)| (text(passage, "_id"), i)).collect();
    let queries: BTreeMap<String, String> = lines("queries.jsonl")
        .iter()
        .map(|query| (text(query, "_id"), text(query, "text")))
        .collect();
    let qrels = std::fs::read_to_string(folder.join("qrels/test.tsv")).unwrap();
    let questions = qrels.lines().skip(1).map(|line| {
        let mut cells = line.split('\t');
        (queries[cells.next().unwrap()].clone(), places[cells.next().unwrap()])
    });
    Questions {
        sentences: corpus.iter().map(|passage| text(passage, "text")).collect(),
        questions: questions.collect(),
    }
}

/// Mean average precision over the full ranking: with one relevant sentence, 1 / its rank.
fn mean_average_precision(data: &Questions, analyzers: Analyzers, language: &LanguageTag) -> f64 {
    let mut schema = Schema::builder();
    let indexing = TextFieldIndexing::default().set_index_option(IndexRecordOption::WithFreqs);
    let body = schema.add_text_field("body", TextOptions::default().set_indexing_options(indexing));
    let row = schema.add_u64_field("row", FAST | tantivy::schema::STORED);
    let index = Index::create_in_ram(schema.build());
    let mut writer = index.writer_with_num_threads(1, 50_000_000).unwrap();
    for (i, sentence) in data.sentences.iter().enumerate() {
        let mut document = TantivyDocument::new();
        document.add_pre_tokenized_text(body, analyzers.analyze(language, sentence));
        document.add_u64(row, i as u64);
        writer.add_document(document).unwrap();
    }
    writer.commit().unwrap();
    let searcher = index.reader().unwrap().searcher();
    let all = TopDocs::with_limit(data.sentences.len()).order_by_score();
    let sum: f64 = data
        .questions
        .iter()
        .map(|(question, relevant)| {
            let query = analyzers.query(body, language, question);
            let mut hits: Vec<(f32, u64)> = searcher
                .search(&*query, &all)
                .unwrap()
                .into_iter()
                .map(|(score, address)| {
                    let document: TantivyDocument = searcher.doc(address).unwrap();
                    (score, document.get_first(row).unwrap().as_u64().unwrap())
                })
                .collect();
            hits.sort_by(|a, b| b.0.total_cmp(&a.0).then(b.1.cmp(&a.1)));
            let rank = hits.iter().position(|hit| hit.1 == *relevant as u64);
            #[expect(clippy::cast_precision_loss, reason = "a few thousand sentences")]
            rank.map_or(0.0, |rank| 1.0 / (rank as f64 + 1.0))
        })
        .sum();
    #[expect(clippy::cast_precision_loss, reason = "1,190 questions")]
    let questions = data.questions.len() as f64;
    sum / questions
}

#[test]
fn bm25_reaches_its_bar_on_xquad_r() {
    let Some(data) = data("BM25") else { return };
    let mut means = BTreeMap::<&str, f64>::new();
    for language in LANGUAGES {
        let questions = read(&data.join(format!("eval/xquad-r/{language}.json")));
        let tag = language.parse().unwrap();
        for (name, analyzers) in [
            ("default", Analyzers::default()),
            ("stemmed", Analyzers::only(Analysis::STEM)),
            ("as written", Analyzers::only(Analysis::WORD)),
        ] {
            let value = mean_average_precision(&questions, analyzers, &tag);
            println!("{language} {name:10} {value:.3}");
            *means.entry(name).or_default() += value / 11.0;
        }
    }
    println!("{means:?}");
    assert!(means["default"] >= 0.76, "{means:?}");
    assert!(means["default"] > means["stemmed"], "{means:?}");
    assert!(means["stemmed"] > means["as written"], "{means:?}");
}

#[test]
fn neither_stemmers_nor_the_defaults_cost_a_language_anything() {
    let Some(data) = data("BM25") else { return };
    for language in ["ar", "bn", "en", "fi", "id", "ko", "ru", "sw", "te"] {
        let questions = read_beir(&data.join(format!("eval/tydiqa-r/{language}")));
        let tag = language.parse().unwrap();
        let [stemmed, written, default] = [
            Analyzers::only(Analysis::STEM),
            Analyzers::only(Analysis::WORD),
            Analyzers::default(),
        ]
        .map(|analyzers| mean_average_precision(&questions, analyzers, &tag));
        println!("{language} stemmed {stemmed:.3} as written {written:.3} default {default:.3}");
        assert!(default >= stemmed - 0.005, "{language}");
        assert!(stemmed >= written - 0.005, "{language}");
    }
}
