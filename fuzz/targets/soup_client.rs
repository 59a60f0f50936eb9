//! Feeds [`wirebook_fuzz::soup_client`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wirebook_fuzz::soup_client(data));
