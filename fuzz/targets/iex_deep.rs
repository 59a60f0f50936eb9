//! Feeds [`wirebook_fuzz::iex_deep`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wirebook_fuzz::iex_deep(data));
