//! The `wirebook` program: exit status 0, 1 where it failed, 2 where it was called wrongly.

use clap::Parser;
use std::process::ExitCode;
use wirebook::cli::{Cli, Command};
use wirebook::commands::{
    book, completions, convert, counters, decode, doctor, lines, record, replay, run, sim, tail,
    top, tune,
};
use wirebook::log;

fn main() -> ExitCode {
    let cli = Cli::parse();
    log::init(cli.log_format);
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
        Command::Completions(args) => completions::run(args),
        Command::Top(args) => top::run(args),
        Command::Doctor(args) => doctor::run(args),
        Command::Tune(args) => tune::run(args),
    };
    log::tell_left_out(true);
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
