//! An increment of the dump.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tributary_store::fuzz::increment(data));
