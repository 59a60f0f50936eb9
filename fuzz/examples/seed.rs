//! Writes the seeds of every target into `FOLDER/TARGET/`, for the seed numbers below COUNT.
//!
//! Usage: `cargo run --package wirebook-fuzz --example seed -- FOLDER COUNT`

use std::path::PathBuf;
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let mut arguments = env::args_os().skip(1);
    let folder = PathBuf::from(arguments.next().unwrap_or_else(|| "fuzz/corpus".into()));
    let count = arguments.next().and_then(|count| count.to_str()?.parse().ok()).unwrap_or(1);
    for target in wirebook_fuzz::TARGETS {
        let folder = folder.join(target.name);
        fs::create_dir_all(&folder)?;
        for number in 0..count {
            for (at, seed) in (target.seeds)(number).into_iter().enumerate() {
                fs::write(folder.join(format!("seed-{number}-{at}")), seed)?;
            }
        }
    }
    Ok(())
}
