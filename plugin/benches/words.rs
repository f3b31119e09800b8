//! Searches by words, for callgrind to count: on an index with a dense field, or on one without.
//!
//! `benches/words` runs it both ways and prints the ratio. Run by itself it searches, and says nothing.

use std::hint::black_box;

use tantivy::collector::TopDocs;
use tantivy::query::{BooleanQuery, Occur, Query, TermQuery};
use tantivy::schema::{Field, IndexRecordOption, STORED, Schema, TEXT};
use tantivy::{Index, Searcher, TantivyDocument, Term};
use tantivy_dense_plugin::{
    DenseDocument, DenseIndex, DenseOptions, DenseSchemaBuilder, DenseWriter, Dim,
};

const DOCUMENTS: u32 = 20_000;
const WORDS: u32 = 2_000;
const SEARCHES: u32 = 200;

fn main() {
    let with = std::env::args().any(|argument| argument == "with");
    let mut schema = Schema::builder();
    let body = schema.add_text_field("body", TEXT | STORED);
    let searcher = if with {
        let dense = schema.add_dense_field("v", DenseOptions::new(Dim::new(8).expect("a dim")));
        let index = DenseIndex::create_in_ram(schema.build()).expect("an index");
        let mut writer: DenseWriter =
            index.writer_with_num_threads(1, 100_000_000).expect("a writer");
        for number in 0..DOCUMENTS {
            let mut document = document(body, number);
            let x = f32::from(u16::try_from(number).expect("16 bits"));
            document.add_dense(dense, &[x, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0]);
            writer.add_document(document).expect("a document");
        }
        writer.commit().expect("a commit");
        index.manual_reader().expect("a reader").searcher()
    } else {
        let index = Index::create_in_ram(schema.build());
        let mut writer = index.writer_with_num_threads(1, 100_000_000).expect("a writer");
        for number in 0..DOCUMENTS {
            writer.add_document(document(body, number)).expect("a document");
        }
        writer.commit().expect("a commit");
        index.reader().expect("a reader").searcher()
    };
    // Once to warm what is made when it is first asked for.
    searches(&searcher, body);
    counted(&searcher, body);
}

/// A linear congruential generator (Knuth's MMIX): the same words on every machine.
fn word(state: &mut u64) -> String {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    // Squared, so that some words are frequent and most are rare.
    let uniform = u32::try_from(*state >> 48).expect("16 bits");
    let squared = (uniform * (uniform >> 8)) >> 8;
    format!("w{}", (squared * WORDS) >> 16)
}

fn document(body: Field, number: u32) -> TantivyDocument {
    let mut state = u64::from(number) + 1;
    let text: Vec<String> = (0..30).map(|_| word(&mut state)).collect();
    let mut document = TantivyDocument::new();
    document.add_text(body, text.join(" "));
    document
}

/// What callgrind counts: a function of its own, called once.
#[inline(never)]
fn counted(searcher: &Searcher, body: Field) {
    searches(searcher, body);
}

fn searches(searcher: &Searcher, body: Field) {
    for number in 0..SEARCHES {
        let mut state = u64::from(number) + 777;
        let terms = (0..3).map(|_| {
            let term = Term::from_field_text(body, &word(&mut state));
            let query = TermQuery::new(term, IndexRecordOption::WithFreqs);
            (Occur::Should, Box::new(query) as Box<dyn Query>)
        });
        let query = BooleanQuery::new(terms.collect());
        let top = TopDocs::with_limit(10).order_by_score();
        black_box(searcher.search(&query, &top).expect("a search"));
    }
}
