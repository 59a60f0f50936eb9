//! What several tests share: the data, plain books to compare with, the way back from records, and
//! what books promise about any events.
#![allow(dead_code, reason = "each test uses a part")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

pub(crate) mod draw;
pub(crate) mod es;
pub(crate) mod inverse;
pub(crate) mod lobster;
pub(crate) mod plain;
pub(crate) mod properties;

use std::path::PathBuf;

/// A file of the test data; `None`, with a line that says so, where it is absent.
pub(crate) fn data(path: &str) -> Option<PathBuf> {
    let beside = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/data");
    let folder = std::env::var_os("WIREBOOK_DATA").map_or_else(|| beside.into(), PathBuf::from);
    let file = folder.join(path);
    if !file.exists() {
        eprintln!("SKIP: no test data at {}", file.display());
        return None;
    }
    Some(file)
}
