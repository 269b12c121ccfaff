//! The payload of a frame: operations and their rows.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tributary_store::fuzz::wal_payload(data));
