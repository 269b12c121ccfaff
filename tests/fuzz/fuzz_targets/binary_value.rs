//! Bytes of a client: binary_value.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tributary::wire::fuzz::binary_value(data));
