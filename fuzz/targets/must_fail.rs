//! Feeds [`wirebook_fuzz::must_fail`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wirebook_fuzz::must_fail(data));
