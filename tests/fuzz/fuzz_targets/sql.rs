//! Bytes of a client: sql.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tributary::wire::fuzz::sql_text(data));
