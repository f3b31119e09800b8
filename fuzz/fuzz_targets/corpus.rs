//! The lines of a corpus, as JSON, as TSV and as whatever they look like, plain or packed.
#![no_main]

use std::io::Cursor;

use dense_indexer::{Format, ReadOptions, Records, Source};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    for format in [None, Some(Format::JsonLines), Some(Format::Tsv)] {
        let source = Source::from_reader("any", Cursor::new(bytes.to_vec()));
        let source = format.into_iter().fold(source, Source::format);
        let mut options = ReadOptions::default();
        options.longest_line = 1 << 16;
        let Ok(records) = Records::open(source, &options) else { continue };
        // What is packed may be a million times longer.
        for entry in records.take(1000).flatten() {
            if let Ok(record) = entry.record {
                assert!(!record.id.is_empty(), "a document has an id");
                let _ = record.full_text();
            }
        }
    }
});
