//! Bytes of a client: startup.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tributary::wire::fuzz::startup_packet(data));
