//! A row on its way into a segment.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| dense_plugin::fuzzing::row(bytes));
