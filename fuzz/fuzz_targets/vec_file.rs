//! The vectors of a segment: any bytes, and any directory with its checksums right.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| dense_plugin::fuzzing::vec_file(bytes));
