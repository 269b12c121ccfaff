//! One section of an index.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tributary_store::fuzz::index_section(data));
