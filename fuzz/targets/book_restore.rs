//! Feeds [`wirebook_fuzz::book_restore`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wirebook_fuzz::book_restore(data));
