//! Feeds [`wirebook_fuzz::channel`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wirebook_fuzz::channel(data));
