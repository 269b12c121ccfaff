//! A dump of the metadata.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tributary_store::fuzz::dump(data));
