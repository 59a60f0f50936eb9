//! Feeds [`wirebook_fuzz::retransmit`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wirebook_fuzz::retransmit(data));
