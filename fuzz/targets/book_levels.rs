//! Feeds [`wirebook_fuzz::book_levels`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wirebook_fuzz::book_levels(data));
