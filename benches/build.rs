//! Compiles the sender of live frames, `live/send.bpf.c`, as the steering program is compiled.

use libbpf_cargo::SkeletonBuilder;
use std::env;
use std::error::Error;
use std::path::PathBuf;

const SOURCE: &str = "live/send.bpf.c";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed={SOURCE}");
    println!("cargo:rerun-if-changed=build.rs");
    let object = PathBuf::from(env::var("OUT_DIR")?).join("send.o");
    // Where Debian keeps <asm/types.h>.
    let include = format!("-I/usr/include/{}-linux-gnu", env::var("CARGO_CFG_TARGET_ARCH")?);
    let arguments = [include.as_str(), "-Wall", "-Werror"];
    SkeletonBuilder::new().source(SOURCE).obj(object).clang_args(arguments).build()?;
    Ok(())
}
