//! Compiles `steer.bpf.c` twice: for any loader, and with hardware timestamps.
//!
//! Needs `clang` with the BPF target and the kernel's user headers; no kernel
//! type information of the building machine goes in.

use std::env;
use std::error::Error;
use std::path::{Path, PathBuf};

use libbpf_cargo::SkeletonBuilder;

const SOURCE: &str = "steer.bpf.c";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed={SOURCE}");
    println!("cargo:rerun-if-changed=build.rs");
    let out = PathBuf::from(env::var("OUT_DIR")?);
    compile(&out.join("steer.o"), &[])?;
    compile(&out.join("steer_hardware.o"), &["-DWIREBOOK_HARDWARE_TIMESTAMP"])
}

fn compile(object: &Path, defines: &[&str]) -> Result<(), Box<dyn Error>> {
    // Debian keeps <asm/types.h> in a folder of the machine's architecture,
    // which clang does not look into when it compiles for BPF.
    let architecture = env::var("CARGO_CFG_TARGET_ARCH")?;
    let mut arguments = vec![
        format!("-I/usr/include/{architecture}-linux-gnu"),
        "-Wall".to_owned(),
        "-Werror".to_owned(),
    ];
    arguments.extend(defines.iter().map(|define| (*define).to_owned()));
    SkeletonBuilder::new().source(SOURCE).obj(object).clang_args(arguments).build().map_err(
        |error| {
            format!(
                "{SOURCE}: {error:#}\n(the build needs the packages clang, llvm, libelf-dev, \
                 zlib1g-dev and linux-libc-dev)"
            )
        },
    )?;
    Ok(())
}
