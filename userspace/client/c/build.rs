//! Names the shared library by the version of its ABI, so that a program finds the one it was
//! linked with (`ld(1)`, `-soname`).

fn main() {
    println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libwirebook.so.1");
    println!("cargo::rerun-if-changed=build.rs");
}
