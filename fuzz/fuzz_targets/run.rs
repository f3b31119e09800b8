//! Runs: what is read is written and read again as the same.
#![no_main]

use std::path::Path;

use dense_eval::Run;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let any = Path::new("any");
    if let Ok(run) = Run::read_from(bytes, any) {
        if run.is_empty() {
            // It has no name that could be written.
            return;
        }
        let mut written = Vec::new();
        run.write(&mut written).expect("what was read can be written");
        let again = Run::read_from(&written[..], any).expect("what was written can be read");
        assert!(run.iter().eq(again.iter()), "the same topics and hits");
    }
});
