//! Feeds [`wirebook_fuzz::segment_contents`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wirebook_fuzz::segment_contents(data));
