//! Feeds [`wirebook_fuzz::client`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wirebook_fuzz::client(data));
