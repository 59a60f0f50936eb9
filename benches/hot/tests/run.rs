//! What `scripts/budget` counts is there, under the name that it asks for.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::process::Command;

#[test]
fn each_function_takes_all_messages() {
    for name in ["count", "decode", "book", "levels", "decode_and_book", "ring"] {
        let output = Command::new(env!("CARGO_BIN_EXE_hot")).arg(name).output().unwrap();
        assert_eq!(output.stdout, b"100000\n", "{name}");
    }
}
