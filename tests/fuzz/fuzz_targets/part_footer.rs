//! Where the footer of a part lies.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| tributary_store::fuzz::part_footer(data));
