//! Whole runs: what is in the index afterwards, and what the run says.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{Cursor, Write as _};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use dense_plugin::toy::ToyEncoder;
use dense_plugin::{
    DenseIndex, DenseSearcher, Dim, EncodeError, Encoded, Encoder, Fingerprint, Role, Text,
};
use proptest::prelude::*;
use tantivy::collector::TopDocs;
use tantivy::directory::RamDirectory;
use tantivy::query::AllQuery;
use tantivy::schema::Value;
use tantivy::{DocAddress, Index, TantivyDocument};
use tantivy_dense_indexer::{
    Analyzers, BadKind, CorpusSchema, Counts, Event, Fields, IndexError, Indexer, MissingLanguage,
    OnBad, ReadOptions, Resume, ResumeError, Source, SourceError, Summary, Version,
};

/// The toy encoder; it fails once it has been called so often. Negative: never.
struct Failing {
    toy: ToyEncoder,
    calls_left: AtomicI64,
}

impl Encoder for Failing {
    fn fingerprint(&self) -> &Fingerprint {
        self.toy.fingerprint()
    }

    fn dim(&self) -> Dim {
        self.toy.dim()
    }

    fn encode(&self, role: Role, texts: &[Text<'_>]) -> Result<Encoded, EncodeError> {
        if self.calls_left.fetch_sub(1, Ordering::Relaxed) == 0 {
            return Err(EncodeError::new(texts.len(), "told to fail"));
        }
        self.toy.encode(role, texts)
    }
}

struct Fixture {
    index: DenseIndex,
    encoder: Arc<Failing>,
    fields: CorpusSchema,
}

/// What a document says and its vector.
type Content = BTreeMap<String, (Vec<String>, String, String, Vec<f32>)>;

impl Fixture {
    fn new() -> Self {
        let toy = ToyEncoder::new(Dim::new(16).unwrap());
        let encoder = Arc::new(Failing { toy, calls_left: AtomicI64::new(-1) });
        let fields = CorpusSchema::new(&*encoder);
        let index = DenseIndex::builder(fields.schema.clone())
            .encoder("dense", Arc::clone(&encoder) as Arc<dyn Encoder>)
            .create_in_ram()
            .unwrap();
        Self { index, encoder, fields }
    }

    fn indexer(&self) -> Indexer {
        Indexer::builder(&self.index).memory(15_000_000)
    }

    fn content(&self) -> Content {
        let searcher = self.index.manual_reader().unwrap().searcher();
        let all = TopDocs::with_limit(10_000).order_by_score();
        let hits = searcher.search(&AllQuery, &all).unwrap();
        let documents = hits.len();
        let content: Content = hits
            .into_iter()
            .map(|(_, address)| {
                let document: TantivyDocument = searcher.doc(address).unwrap();
                let text = |field| {
                    let values = document.get_all(field);
                    values.map(|value| value.as_str().unwrap().to_owned()).collect::<Vec<_>>()
                };
                let vectors = searcher.vectors(self.fields.dense, address).unwrap();
                (
                    text(self.fields.id).remove(0),
                    (
                        text(self.fields.language),
                        text(self.fields.title).join(""),
                        text(self.fields.text).join(""),
                        vectors.as_flat().to_vec(),
                    ),
                )
            })
            .collect();
        assert_eq!(content.len(), documents, "an id is in the index once");
        content
    }

    /// Ids that a BM25 query finds, best first.
    fn search(&self, language: &str, text: &str) -> Vec<String> {
        let searcher = self.index.manual_reader().unwrap().searcher();
        let query = Analyzers::default().query(self.fields.body, &language.parse().unwrap(), text);
        let hits: Vec<(f32, DocAddress)> =
            searcher.search(&*query, &TopDocs::with_limit(10).order_by_score()).unwrap();
        hits.into_iter()
            .map(|(_, address)| {
                let document: TantivyDocument = searcher.doc(address).unwrap();
                document.get_first(self.fields.id).unwrap().as_str().unwrap().to_owned()
            })
            .collect()
    }
}

fn run(indexer: &Indexer, lines: &str) -> Result<Summary, IndexError> {
    indexer.run([source(lines)], |_| ControlFlow::Continue(()))
}

fn source(lines: &str) -> Source {
    Source::from_reader("s", Cursor::new(lines.to_owned().into_bytes()))
}

/// `number` good lines, their ids from `first` on.
fn lines(first: u32, number: u32) -> String {
    (first..first + number).fold(String::new(), |mut lines, i| {
        writeln!(lines, "{{\"_id\": \"{i}\", \"text\": \"document number {i}\"}}").unwrap();
        lines
    })
}

fn ids(fixture: &Fixture) -> Vec<u32> {
    let mut ids: Vec<u32> = fixture.content().keys().map(|id| id.parse().unwrap()).collect();
    ids.sort_unstable();
    ids
}

#[test]
fn a_document_is_found_by_words_of_title_and_text_and_has_the_vector_of_both() {
    let fixture = Fixture::new();
    let corpus = concat!(
        "{\"_id\": \"a\", \"title\": \"Volcanoes\", \"text\": \"They erupted.\", \"lang\": \"en-US\"}\n",
        "{\"_id\": \"b\", \"text\": \"水在一百度沸腾。\"}\n",
        "{\"_id\": \"c\", \"text\": \"1984\"}\n",
    );
    let summary = run(&fixture.indexer(), corpus).unwrap();
    assert_eq!(fixture.search("en", "an erupting volcano"), ["a"]);
    assert_eq!(fixture.search("zh", "沸腾"), ["b"]);
    let content = fixture.content();
    assert_eq!(content["a"].0, ["en-US", "en"]);
    assert_eq!(content["b"].0, ["zh"]);
    assert_eq!(content["c"].0, ["und"]);
    let text = [Text::new("Volcanoes They erupted.")];
    let vector = fixture.encoder.toy.encode(Role::Passage, &text).unwrap().vectors;
    assert_eq!(content["a"].3, vector.row(0));
    let counts = &summary.counts;
    assert_eq!((counts.documents, counts.detected, counts.undetermined), (3, 1, 1));
}

#[test]
fn a_language_that_is_set_is_not_detected() {
    let fixture = Fixture::new();
    let indexer = fixture.indexer().missing_language(MissingLanguage::Is("de".parse().unwrap()));
    let summary = run(&indexer, &lines(0, 1)).unwrap();
    assert_eq!(summary.counts.detected, 0);
    assert_eq!(fixture.content()["0"].0, ["de"]);
}

#[test]
fn bad_lines_are_counted_by_kind_and_the_rest_is_indexed() {
    let fixture = Fixture::new();
    let mut corpus = lines(0, 2);
    corpus.push_str("nonsense\n{\"_id\": \"x\"}\n{\"_id\": \"y\", \"text\": \"\"}\n");
    corpus.push_str(&lines(1, 2)); // 1 again, 2 for the first time
    let summary = run(&fixture.indexer(), &corpus).unwrap();
    assert_eq!(ids(&fixture), [0, 1, 2]);
    let expected = BTreeMap::from([
        (BadKind::Malformed, 1),
        (BadKind::MissingField, 1),
        (BadKind::EmptyText, 1),
        (BadKind::DuplicateId, 1),
    ]);
    assert_eq!(summary.counts.skipped, expected);
    let duplicate = summary.first_skipped.last().unwrap().to_string();
    assert_eq!(duplicate, "s:6: duplicate id: `1` is the id of s:2");
}

#[test]
fn a_million_characters_are_one_document() {
    let fixture = Fixture::new();
    let text = "word ".repeat(200_000) + &"字".repeat(1_000_000) + &"x".repeat(1_000_000);
    let corpus = format!("{{\"_id\": \"a\", \"text\": \"{text}\"}}\n");
    let summary = run(&fixture.indexer(), &corpus).unwrap();
    assert_eq!(summary.counts.documents, 1);
    assert_eq!(fixture.search("en", "word"), ["a"]);
    assert_eq!(fixture.search("en", &"x".repeat(1_000_000)), ["a"]);
}

#[test]
fn a_document_of_an_earlier_run_is_replaced() {
    let fixture = Fixture::new();
    run(&fixture.indexer(), &lines(0, 3)).unwrap();
    let corpus = "{\"_id\": \"1\", \"text\": \"other words\"}\n".to_owned() + &lines(3, 1);
    let summary = run(&fixture.indexer(), &corpus).unwrap();
    assert_eq!((summary.counts.documents, summary.counts.replaced), (2, 1));
    assert_eq!(ids(&fixture), [0, 1, 2, 3]);
    assert_eq!(fixture.content()["1"].2, "other words");
}

#[test]
fn a_strict_run_stops_at_a_bad_line_and_goes_on_once_it_is_corrected() {
    let fixture = Fixture::new();
    let indexer = fixture.indexer().on_bad(OnBad::Stop).batch(2);
    let wrong = lines(0, 3) + "nonsense\n" + &lines(4, 2);
    let error = run(&indexer, &wrong).unwrap_err();
    assert!(error.to_string().starts_with("s:4: malformed line"), "{error}");
    assert_eq!(ids(&fixture), [0, 1, 2]);
    let summary = run(&indexer.resume(Resume::GoOn), &lines(0, 6)).unwrap();
    assert_eq!(ids(&fixture), [0, 1, 2, 3, 4, 5]);
    assert_eq!((summary.resumed, summary.counts.documents), (3, 6));
}

#[test]
fn a_file_cut_short_is_an_error_and_what_came_before_is_kept() {
    let whole = lines(0, 5_000);
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
    gz.write_all(whole.as_bytes()).unwrap();
    let gz = gz.finish().unwrap();
    let fixture = Fixture::new();
    let cut = Source::from_reader("s", Cursor::new(gz[..gz.len() / 2].to_vec()));
    let error = fixture.indexer().run([cut], |_| ControlFlow::Continue(())).unwrap_err();
    let IndexError::Source(SourceError::Read { after, .. }) = &error else { panic!("{error}") };
    let kept = ids(&fixture);
    assert_eq!(kept.len() as u64, after.line);
    assert!(after.line > 1_000, "{}", after.line);
    let resumed = fixture.indexer().resume(Resume::GoOn);
    let again = Source::from_reader("s", Cursor::new(gz));
    let summary = resumed.run([again], |_| ControlFlow::Continue(())).unwrap();
    assert_eq!((summary.resumed, summary.counts.documents), (after.line, 5_000));
    assert_eq!(ids(&fixture).len(), 5_000);
}

#[test]
fn a_resumed_run_that_fails_in_what_is_committed_leaves_the_commit_alone() {
    let whole = lines(0, 5_000);
    let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
    gz.write_all(whole.as_bytes()).unwrap();
    let gz = gz.finish().unwrap();
    let fixture = Fixture::new();
    run(&fixture.indexer(), &whole).unwrap();
    let payload = || fixture.index.tantivy().load_metas().unwrap().payload;
    let before = payload();
    let resume = fixture.indexer().resume(Resume::GoOn);
    let cut = Source::from_reader("s", Cursor::new(gz[..gz.len() / 2].to_vec()));
    let mut events = Vec::new();
    let error = resume
        .run([cut], |event| {
            events.push(event);
            ControlFlow::Continue(())
        })
        .unwrap_err();
    assert!(matches!(error, IndexError::Source(SourceError::Read { .. })), "{error}");
    assert_eq!(payload(), before);
    assert!(!events.iter().any(|event| matches!(event, Event::Committed { .. })), "{events:?}");
    let summary = run(&resume, &(whole + &lines(5_000, 2))).unwrap();
    let counts = summary.counts;
    assert_eq!((counts.documents, counts.replaced, summary.resumed), (5_002, 0, 5_000));
}

#[test]
fn long_titles_fill_a_batch_as_long_texts_do() {
    for field in ["title", "text"] {
        let fixture = Fixture::new();
        let long = "word ".repeat(200_000);
        let corpus = (0..10).fold(String::new(), |mut lines, id| {
            let line = format!("{{\"_id\": {id}, \"text\": \"x\", \"{field}\": \"{long}\"}}");
            writeln!(lines, "{line}").unwrap();
            lines
        });
        let mut batches = 0;
        let run = fixture.indexer().run([source(&corpus)], |event| {
            batches += u32::from(matches!(event, Event::Added { .. }));
            ControlFlow::Continue(())
        });
        assert_eq!(run.unwrap().counts.documents, 10);
        assert!(batches > 1, "10 MB of {field} came in one batch");
    }
}

#[test]
fn the_longest_id_there_is_is_replaced_like_any_other() {
    let fixture = Fixture::new();
    let corpus = format!("{{\"_id\": \"{}\", \"text\": \"t\"}}\n", "x".repeat(65_530));
    run(&fixture.indexer(), &corpus).unwrap();
    assert_eq!(run(&fixture.indexer(), &corpus).unwrap().counts.replaced, 1);
    assert_eq!(fixture.content().len(), 1);
}

#[test]
fn a_stopped_run_commits_what_it_has_added_and_says_so() {
    let fixture = Fixture::new();
    let indexer = fixture.indexer().batch(3).commit_every(4);
    let mut told = Vec::new();
    let summary = indexer
        .run([source(&lines(0, 20))], |event| {
            told.push(event.clone());
            match event {
                Event::Added { documents: 9, .. } => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            }
        })
        .unwrap();
    assert!(summary.stopped);
    assert_eq!(summary.counts.documents, 9);
    assert_eq!(ids(&fixture), (0..9).collect::<Vec<_>>());
    let committed: Vec<_> = told
        .iter()
        .filter_map(|event| match event {
            Event::Committed { documents } => Some(*documents),
            _ => None,
        })
        .collect();
    assert_eq!(committed, [6, 9]);
}

#[test]
fn after_an_encoder_error_the_last_commit_stays() {
    let fixture = Fixture::new();
    fixture.encoder.calls_left.store(3, Ordering::Relaxed);
    let indexer = fixture.indexer().batch(2).commit_every(4);
    let error = run(&indexer, &lines(0, 20)).unwrap_err();
    assert!(matches!(error, IndexError::Write(_)), "{error}");
    assert_eq!(ids(&fixture), [0, 1, 2, 3]);
}

#[test]
fn an_empty_corpus_is_an_empty_index_and_can_be_gone_on_from() {
    let fixture = Fixture::new();
    let resume = fixture.indexer().resume(Resume::GoOn);
    let summary = run(&resume, "\n\n").unwrap();
    assert_eq!(summary.counts, Counts::default());
    run(&resume, &lines(0, 2)).unwrap();
    assert_eq!(ids(&fixture), [0, 1]);
}

#[test]
fn what_was_appended_to_a_finished_corpus_is_added() {
    let fixture = Fixture::new();
    let resume = fixture.indexer().resume(Resume::GoOn);
    run(&resume, &lines(0, 2)).unwrap();
    let more = [source(&lines(0, 3)), source(&lines(3, 2))];
    let summary = resume.run(more, |_| ControlFlow::Continue(())).unwrap();
    assert_eq!((summary.resumed, summary.counts.documents), (2, 5));
    assert_eq!(ids(&fixture), [0, 1, 2, 3, 4]);
}

#[test]
fn other_sources_other_settings_and_other_tools_are_not_gone_on_from() {
    let fixture = Fixture::new();
    let resume = fixture.indexer().resume(Resume::GoOn);
    run(&fixture.indexer(), &lines(0, 3)).unwrap();
    for other in [lines(1, 5), lines(0, 2), lines(0, 5).replace("number 1", "Number 1")] {
        let error = run(&resume, &other).unwrap_err();
        let IndexError::Resume(ResumeError::OtherCorpus { line, .. }) = &error else {
            panic!("{error}")
        };
        assert_eq!(*line, 3);
    }
    let language = MissingLanguage::Is("en".parse().unwrap());
    let error = run(&resume.clone().missing_language(language), &lines(0, 5)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the run was started with missing language detected, or else und, not en; resume it with \
         the same"
    );
    let fields = Fields { id: Some("docno".to_owned()), ..Fields::default() };
    let read = ReadOptions { fields, ..ReadOptions::default() };
    let error = run(&resume.clone().read(read), &lines(0, 5)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the run was started with field of the id as usual, not docno; resume it with the same"
    );
    let read = ReadOptions { longest_line: 9_999, ..ReadOptions::default() };
    let error = run(&resume.clone().read(read), &lines(0, 5)).unwrap_err();
    assert!(matches!(error, IndexError::Resume(ResumeError::Settings { .. })), "{error}");
    assert_eq!(ids(&fixture), [0, 1, 2]);

    for payload in [None, Some("another tool's words")] {
        let mut writer =
            fixture.index.writer_with_num_threads::<TantivyDocument>(1, 15_000_000).unwrap();
        let mut prepared = writer.prepare_commit().unwrap();
        if let Some(payload) = payload {
            prepared.set_payload(payload);
        }
        prepared.commit().unwrap();
        drop(writer);
        let error = run(&resume, &lines(0, 5)).unwrap_err();
        let expected = match payload {
            None => matches!(error, IndexError::Resume(ResumeError::NoRun)),
            Some(_) => matches!(error, IndexError::Resume(ResumeError::Payload { .. })),
        };
        assert!(expected, "{error}");
    }
}

#[test]
fn an_index_with_other_fields_is_refused() {
    let mut schema = tantivy::schema::Schema::builder();
    schema.add_text_field("title", tantivy::schema::TEXT);
    let index =
        Index::create(RamDirectory::create(), schema.build(), tantivy::IndexSettings::default());
    let error = CorpusSchema::of(&index.unwrap().schema()).unwrap_err();
    assert!(error.to_string().contains("its field `dense` is missing"), "{error}");
}

/// A corpus with bad lines and ids that come twice.
fn corpus() -> impl Strategy<Value = Vec<String>> {
    let good = (
        0_u32..30,
        "[a-zé中อ ]{0,12}x",
        prop::option::of(prop::sample::select(vec!["en", "sw", "zh-CN"])),
    )
        .prop_map(|(id, text, lang)| {
            serde_json::json!({"_id": id.to_string(), "text": text, "lang": lang}).to_string()
        });
    let line = prop_oneof![6 => good, 1 => Just("nonsense".to_owned()), 1 => Just(String::new())];
    prop::collection::vec(line, 0..40)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    #[test]
    fn a_run_that_fails_and_stops_anywhere_and_is_resumed_equals_an_uninterrupted_one(
        lines in corpus(),
        split in any::<prop::sample::Index>(),
        batch in 1_usize..5,
        commit_every in 1_u64..8,
        threads in 1_usize..3,
        // Encoder calls until the next failure, or (negative) events until the callback stops.
        ends in prop::collection::vec(-6_i64..6, 0..4),
    ) {
        let split = split.index(lines.len() + 1);
        let sources = || [source(&lines[..split].join("\n")), source(&lines[split..].join("\n"))];
        let whole = Fixture::new();
        let old = "{\"_id\": \"1\", \"text\": \"old\"}\n{\"_id\": \"99\", \"text\": \"stays\"}\n";
        run(&whole.indexer(), old).unwrap();
        let expected = whole.indexer().run(sources(), |_| ControlFlow::Continue(())).unwrap();

        let broken = Fixture::new();
        run(&broken.indexer(), old).unwrap();
        let indexer = broken.indexer().batch(batch).commit_every(commit_every).threads(threads);
        let mut resume = Resume::FromStart;
        for end in ends {
            let before = broken.index.tantivy().load_metas().unwrap().payload;
            broken.encoder.calls_left.store(end.max(-1), Ordering::Relaxed);
            let mut events = 0;
            let result = indexer.clone().resume(resume).run(sources(), |_| {
                events -= 1;
                if end < 0 && events <= end { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            });
            if end < 0 {
                prop_assert!(result.is_ok());
            }
            // As a user would: go on if this run has committed, begin again if it has not.
            if broken.index.tantivy().load_metas().unwrap().payload != before {
                resume = Resume::GoOn;
            }
        }
        broken.encoder.calls_left.store(-1, Ordering::Relaxed);
        let last = indexer.resume(resume).run(sources(), |_| ControlFlow::Continue(())).unwrap();
        prop_assert_eq!(broken.content(), whole.content());
        prop_assert_eq!(last.counts, expected.counts);
    }
}

#[test]
fn an_index_of_the_first_analysis_keeps_it() {
    let encoder: Arc<dyn Encoder> = Arc::new(ToyEncoder::new(Dim::new(16).unwrap()));
    let newest = CorpusSchema::new(&*encoder);
    let first = serde_json::to_string(&newest.schema).unwrap().replace("tdense-2", "default");
    let first = serde_json::from_str(&first).unwrap();
    assert_eq!(CorpusSchema::of(&first).unwrap().analysis, Version::First);
    assert_eq!(CorpusSchema::of(&newest.schema).unwrap().analysis, Version::Second);
    let terms = |schema| {
        let builder = DenseIndex::builder(schema).encoder("dense", Arc::clone(&encoder));
        let index = builder.create_in_ram().unwrap();
        let line = r#"{"_id": "a", "lang": "sw", "text": "Maji yanachemka"}"#;
        let source = Source::from_reader("lines", line.as_bytes());
        let indexer = Indexer::builder(&index).memory(15_000_000);
        indexer.run([source], |_| ControlFlow::Continue(())).unwrap();
        let fields = CorpusSchema::of(&index.schema()).unwrap();
        let searcher = index.manual_reader().unwrap().searcher();
        let query = |analyzers: Analyzers| {
            let query = analyzers.query(fields.body, &"sw".parse().unwrap(), "yanachemsha");
            searcher.search(&*query, &tantivy::collector::Count).unwrap()
        };
        let swahili = Version::Second.analysis("sw");
        (query(fields.analyzers()), query(Analyzers::only(swahili)))
    };
    // Another form of the word is found by the n-grams that the second has.
    assert_eq!(terms(first), (0, 0));
    assert_eq!(terms(newest.schema), (1, 1));
}

#[test]
fn an_index_of_a_later_analysis_is_refused() {
    let newest = CorpusSchema::new(&ToyEncoder::new(Dim::new(16).unwrap()));
    let later = serde_json::to_string(&newest.schema).unwrap().replace("tdense-2", "tdense-3");
    let error = CorpusSchema::of(&serde_json::from_str(&later).unwrap()).unwrap_err().to_string();
    assert!(error.contains("analysed as `tdense-3`") && error.contains("index the corpus again"));
}
