//! `include/wirebook.h` is what cbindgen makes of the sources as they are.
//!
//! To write it anew: `WIREBOOK_WRITE_HEADER=1 cargo test -p wirebook-c --test header`.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

#[test]
fn the_header_is_current() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = cbindgen::Config::from_file(folder.join("cbindgen.toml")).unwrap();
    let source = folder.join("src/lib.rs");
    let bindings = cbindgen::Builder::new().with_config(config).with_src(source).generate();
    let mut made = Vec::new();
    bindings.unwrap().write(&mut made);
    let path = folder.join("include/wirebook.h");
    if std::env::var_os("WIREBOOK_WRITE_HEADER").is_some() {
        std::fs::write(&path, &made).unwrap();
    }
    let kept = std::fs::read(&path).unwrap_or_default();
    let command = "WIREBOOK_WRITE_HEADER=1 cargo test -p wirebook-c --test header";
    assert!(kept == made, "{} is not what the sources make; run: {command}", path.display());
}
