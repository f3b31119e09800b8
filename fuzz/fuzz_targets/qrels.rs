//! Judgements.
#![no_main]

use std::path::Path;

use dense_eval::Qrels;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(qrels) = Qrels::read_from(bytes, Path::new("any")) {
        let judgements: usize = qrels.topics().map(|topic| qrels.of(topic).count()).sum();
        assert_eq!(judgements, qrels.judgements());
    }
});
