//! Graphs and lists whose parts were changed: opened, searched, and built on.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| dense_plugin::fuzzing::ann_parts(bytes));
