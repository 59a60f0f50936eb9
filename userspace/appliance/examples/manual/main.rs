//! Everything that is written from the code, so that it cannot say anything else.
//!
//! `cargo run -p wirebook --example manual -- OUT_DIR` writes into OUT_DIR a man page for each command and
//! for the configuration, completions for bash, zsh and fish, and what also lies in the repository: the
//! configuration's reference, its JSON schema and a complete example.
//!
//! The tests hold those against the repository. `WIREBOOK_WRITE_DOCS=1 cargo test -p wirebook --example manual` writes them anew.

mod example;
mod markdown;
mod pages;
mod schema;
#[cfg(test)]
mod tests;

use anyhow::{Context, bail};
use clap::CommandFactory;
use clap_complete::Shell;
use std::fs;
use std::path::Path;
use wirebook::cli::Cli;

/// The shells whose users get completions; their conventional folders are the package's business.
const SHELLS: [Shell; 3] = [Shell::Bash, Shell::Zsh, Shell::Fish];

fn main() -> anyhow::Result<()> {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let [folder] = arguments.as_slice() else { bail!("expected one argument: OUT_DIR") };
    write(Path::new(folder)).with_context(|| format!("{}", Path::new(folder).display()))
}

fn write(folder: &Path) -> anyhow::Result<()> {
    let (man, completions) = (folder.join("man"), folder.join("completions"));
    fs::create_dir_all(&man)?;
    fs::create_dir_all(&completions)?;
    for (name, page) in pages::all() {
        fs::write(man.join(name), page)?;
    }
    for (name, text) in references() {
        let file = Path::new(name).file_name().expect("each is the name of a file");
        fs::write(folder.join(file), text)?;
    }
    for shell in SHELLS {
        clap_complete::generate_to(shell, &mut Cli::command(), "wirebook", &completions)?;
    }
    Ok(())
}

/// What lies in the repository, by its place there.
fn references() -> [(&'static str, String); 3] {
    let schema = serde_json::to_string_pretty(&schema::schema());
    [
        ("docs/configuration.md", markdown::page()),
        ("deploy/wirebook.schema.json", schema.expect("a JSON value is written as JSON") + "\n"),
        ("deploy/wirebook.example.toml", example::complete()),
    ]
}
