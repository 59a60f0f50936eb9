//! Feeds [`wirebook_fuzz::glimpse_server`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| wirebook_fuzz::glimpse_server(data));
