//! Feeds [`wirebook_fuzz::book_replay`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wirebook_fuzz::book_replay(data));
