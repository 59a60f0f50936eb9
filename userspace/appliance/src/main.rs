//! The `wirebook` program: exit status 0, 1 where it failed, 2 where it was called wrongly.

use clap::Parser;
use std::io::IsTerminal;
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;
use wirebook::cli::{Cli, Command};
use wirebook::commands::{
    book, convert, counters, decode, doctor, lines, record, replay, run, sim, tail, tune,
};

fn main() -> ExitCode {
    let cli = Cli::parse();
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .with_env_filter(
            EnvFilter::builder()
                .with_env_var("WIREBOOK_LOG")
                .with_default_directive(tracing::Level::INFO.into())
                .from_env_lossy(),
        )
        .init();
    let result = match &cli.command {
        Command::Run(args) => run::run(args),
        Command::Record(args) => record::run(args),
        Command::Replay(args) => replay::run(args),
        Command::Convert(args) => convert::run(args),
        Command::Decode(args) => decode::run(args),
        Command::Lines(args) => lines::run(args),
        Command::Sim(args) => sim::run(args),
        Command::Tail(args) => tail::run(args),
        Command::Book(args) => book::run(args),
        Command::Counters(args) => counters::run(args),
        Command::Doctor(args) => doctor::run(args),
        Command::Tune(args) => tune::run(args),
    };
    result.unwrap_or_else(|error| {
        eprintln!("wirebook: {}", with_causes(&error));
        ExitCode::FAILURE
    })
}

/// The error with those of its causes that its own text does not name.
fn with_causes(error: &anyhow::Error) -> String {
    error.chain().skip(1).map(ToString::to_string).fold(error.to_string(), |text, cause| {
        if text.contains(&cause) { text } else { format!("{text}: {cause}") }
    })
}
