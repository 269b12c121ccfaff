//! A delete vector.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tributary_store::fuzz::delete_vector(data));
