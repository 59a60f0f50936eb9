//! Feeds [`wirebook_fuzz::itch50`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wirebook_fuzz::itch50(data));
