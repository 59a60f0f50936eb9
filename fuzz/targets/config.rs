//! Feeds [`wirebook_fuzz::config`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wirebook_fuzz::config(data));
