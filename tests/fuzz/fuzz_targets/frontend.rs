//! Bytes of a client: frontend.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tributary::wire::fuzz::frontend_message(data));
