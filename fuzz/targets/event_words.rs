//! Feeds [`wirebook_fuzz::event_words`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wirebook_fuzz::event_words(data));
