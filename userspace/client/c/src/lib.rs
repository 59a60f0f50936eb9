//! Reads a running Wirebook from C and C++: the functions of `wirebook.h`.
//!
//! What arrives: calls with handles that these functions have made, plain numbers, and texts that end
//! with a zero byte. What leaves: what `wirebook-client` gives, in C's shapes, and DBN records as they
//! lie in the reader's own copy. `include/wirebook.h` is made of these files by cbindgen; a test says
//! so where it is not (`tests/header.rs`).
//!
//! It promises: no panic crosses the border, as each call that could panic catches it
//! (`WIREBOOK_RESULT_INTERNAL`); a null pointer, a text that is not UTF-8, a number out of range or an
//! instrument of another start is an error with a text. It cannot promise more than C can: that a
//! pointer points to what its type says, and that one thread at a time uses a handle.
#![allow(unsafe_code, reason = "names without mangling and C's texts")]
#![allow(non_camel_case_types, reason = "the types have C's names")]

pub mod books;
pub mod dbn_records;
pub mod definition;
#[cfg(test)]
mod layout;
pub mod records;
pub mod result;
pub mod session;
#[cfg(test)]
mod tests;
#[cfg(test)]
#[path = "../../tests/common/mod.rs"]
mod writer;

/// Version of this interface. A program compares it with `wirebook_abi_version()`, which is that of
/// the library that it runs with.
pub const WIREBOOK_ABI_VERSION: u32 = 1;

/// Version of the DBN records.
pub const WIREBOOK_DBN_VERSION: u8 = 3;

/// A time to wait that does not end.
pub const WIREBOOK_FOREVER_NS: u64 = u64::MAX;

/// The version of this interface that the library has; `WIREBOOK_ABI_VERSION` is the header's.
#[unsafe(no_mangle)]
pub extern "C" fn wirebook_abi_version() -> u32 {
    WIREBOOK_ABI_VERSION
}
