//! From ITCH bytes to books: ours, and the builders of others on the same day.
//!
//! Ours decodes, keeps every order in its queue, completes each DBN record and hashes it. The others keep
//! their books and nothing else, and are told what an ITCH message leaves out: see
//! `wirebook_benches::builders`. After the figures each runs once more alone, in a process of its own,
//! which says what memory it needed.
#![forbid(unsafe_code)]

use anyhow::{Context, ensure};
use clap::Parser;
use serde::Serialize;
use serde_json::json;
use std::cell::RefCell;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
#[cfg(feature = "peers")]
use wirebook_benches::builders::HftBacktest;
use wirebook_benches::builders::Lobster;
use wirebook_benches::feed::{Feed, PART_MESSAGES, Part, Resolver, Step};
use wirebook_benches::ours::{DecodedBooks, limits_of};
use wirebook_benches::rounds::{Contestant, Round, print_table};
use wirebook_benches::{Host, InputArguments};
use wirebook_simulator::DayConfig;

#[derive(Parser)]
#[command(
    about = "What keeping books costs, beside the builders of others",
    after_help = "Example: scripts/bench book --rounds 5 --messages 8000000"
)]
struct Arguments {
    /// Rounds, in each of which everyone takes the same day.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    #[command(flatten)]
    input: InputArguments,
    /// Measures this one builder's memory alone, as this program asks itself.
    #[arg(long, hide = true)]
    alone: Option<usize>,
    /// Leaves the builders of others out.
    #[arg(long)]
    ours_alone: bool,
    /// Where to write what was measured, as JSON.
    #[arg(long)]
    raw: Option<PathBuf>,
}

const OURS: &str = "wirebook, orders";

/// Memory that a builder needed at its peak.
#[derive(Serialize)]
struct Memory {
    name: &'static str,
    peak_bytes: u64,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    if let Some(at) = arguments.alone {
        return alone(&arguments, at);
    }
    let host = Host::read();
    let mut all = Vec::new();
    for (name, day) in arguments.input.days() {
        for number in 0..arguments.rounds {
            let steps = RefCell::default();
            let mut contestants = (0..arguments.names().len())
                .map(|at| contestant(at, day, &steps))
                .collect::<Result<Vec<_>, _>>()?;
            let mut round = Round::new(number, name, contestants.len());
            run(&arguments.input, day, &steps, |part| Ok(round.part(&mut contestants, part)?))?;
            all.extend(round.end(&contestants));
        }
        print_table(name, OURS, &all);
    }
    let memory = memory(&arguments)?;
    println!("\nmemory at the peak of the bursty day\n");
    for Memory { name, peak_bytes } in &memory {
        println!("{name:<28} {:>10.0} MiB", *peak_bytes as f64 / f64::from(1 << 20));
    }
    if let Some(path) = &arguments.raw {
        let run = json!({ "command": "scripts/bench book", "host": host, "rounds": arguments.rounds,
            "input": arguments.input, "measurements": all, "memory": memory });
        fs::write(path, serde_json::to_string_pretty(&run)? + "\n")
            .with_context(|| path.display().to_string())?;
    }
    Ok(())
}

/// Tells a day, a part at a time, with the steps of each part.
fn run(
    input: &InputArguments,
    day: DayConfig,
    steps: &RefCell<Vec<Step>>,
    mut take: impl FnMut(&Part) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut feed = Feed::new(day, input.packet_messages)?;
    let mut resolver = Resolver::default();
    let mut part = Part::default();
    loop {
        let mut steps_of_part = steps.take();
        steps_of_part.clear();
        let seen = |message: &_| steps_of_part.push(resolver.step(message));
        let more = feed.next_part_seen(PART_MESSAGES, &mut part, seen);
        steps.replace(steps_of_part);
        if !more {
            return Ok(());
        }
        take(&part)?;
    }
}

/// Who takes part; ours are the first.
const NAMES: &[&str] = &[
    OURS,
    "wirebook, one by one",
    "wirebook, levels alone",
    "lobster, orders",
    #[cfg(feature = "peers")]
    "hftbacktest, levels",
];
const OURS_COUNT: usize = 3;

impl Arguments {
    fn names(&self) -> &'static [&'static str] {
        if self.ours_alone { &NAMES[..OURS_COUNT] } else { NAMES }
    }
}

/// The contestant at this place of [`NAMES`], with empty books.
fn contestant<'a>(
    at: usize,
    day: DayConfig,
    steps: &'a RefCell<Vec<Step>>,
) -> anyhow::Result<Contestant<'a>> {
    let take: Box<dyn FnMut(&Part) + 'a> = match at {
        0 => {
            let mut books = DecodedBooks::new(limits_of(&day))?;
            Box::new(move |part| {
                books.take_ahead(part);
                books.assert_whole();
            })
        }
        1 => {
            let mut books = DecodedBooks::new(limits_of(&day))?;
            Box::new(move |part| {
                books.take(part);
                books.assert_whole();
            })
        }
        2 => {
            let mut books = DecodedBooks::of_levels(limits_of(&day))?;
            Box::new(move |part| {
                books.take_ahead(part);
                books.assert_whole();
            })
        }
        #[cfg(feature = "peers")]
        4 => {
            let mut books = HftBacktest::new(day.instruments);
            Box::new(move |_| steps.borrow().iter().for_each(|step| books.apply(step)))
        }
        _ => {
            let mut books = Lobster::new(day.instruments);
            Box::new(move |_| steps.borrow().iter().for_each(|step| books.apply(step)))
        }
    };
    Ok(Contestant { name: NAMES[at], take })
}

/// What each needs beyond a process that keeps no book.
fn memory(arguments: &Arguments) -> anyhow::Result<Vec<Memory>> {
    let none = peak_of(arguments, NAMES.len())?;
    let mut all = Vec::new();
    for (at, &name) in arguments.names().iter().enumerate() {
        let peak_bytes = peak_of(arguments, at)?.saturating_sub(none);
        all.push(Memory { name, peak_bytes });
    }
    Ok(all)
}

fn peak_of(arguments: &Arguments, at: usize) -> anyhow::Result<u64> {
    let InputArguments { seed, instruments, live_orders, messages, packet_messages } =
        arguments.input;
    let mut command = Command::new(std::env::current_exe()?);
    command.arg(format!("--alone={at}")).arg(format!("--seed={seed}"));
    command.arg(format!("--instruments={instruments}")).arg(format!("--messages={messages}"));
    command.arg(format!("--live-orders={live_orders}"));
    command.arg(format!("--packet-messages={packet_messages}"));
    let output = command.output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?.trim().parse()?)
}

/// Takes the day with one contestant, or none, and prints this process's peak in bytes.
fn alone(arguments: &Arguments, at: usize) -> anyhow::Result<()> {
    let steps = RefCell::default();
    let (_, day) = arguments.input.days()[0];
    let mut one = (at < NAMES.len()).then(|| contestant(at, day, &steps)).transpose()?;
    run(&arguments.input, day, &steps, |part| {
        if let Some(one) = &mut one {
            (one.take)(part);
        }
        Ok(())
    })?;
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("VmHWM")?;
    let kibibytes: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
    println!("{}", kibibytes << 10);
    Ok(())
}
