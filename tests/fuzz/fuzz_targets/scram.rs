//! Bytes of a client: scram.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tributary::wire::fuzz::scram_exchange(data));
