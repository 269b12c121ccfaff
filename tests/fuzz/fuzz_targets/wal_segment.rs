//! Frames of a log segment, by the tail rule.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tributary_store::fuzz::wal_segment(data));
