//! Feeds [`wirebook_fuzz::iex_tops`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wirebook_fuzz::iex_tops(data));
