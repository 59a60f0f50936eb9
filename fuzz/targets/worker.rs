//! Feeds [`wirebook_fuzz::worker`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wirebook_fuzz::worker(data));
