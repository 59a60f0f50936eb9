//! What a message costs, decoded and in its book, against the size of the market.
//!
//! Three sweeps, each in both layouts: instruments, live orders, messages a packet. All points of a sweep
//! stand ready with their books filled; then each takes a slice of its day in turn, round by round, so
//! that what the host does meanwhile is spread over all of them.
#![forbid(unsafe_code)]

use anyhow::Context;
use clap::Parser;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use wirebook_benches::feed::{Feed, PART_MESSAGES, Part};
use wirebook_benches::ours::{DecodedBooks, limits_of};
use wirebook_benches::plot::{Line, draw};
use wirebook_benches::rounds::cpu_time;
use wirebook_benches::{Host, Spread};
use wirebook_simulator::{Day, DayConfig, Layout};

#[derive(Parser)]
#[command(
    about = "What a message costs against instruments, live orders and messages a packet",
    after_help = "Example: scripts/bench scale --plots docs/plots"
)]
struct Arguments {
    /// Rounds, in each of which every point takes a slice.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Messages of a slice.
    #[arg(long, default_value_t = 400_000)]
    messages: usize,
    /// Leaves out points with more live orders.
    #[arg(long, default_value_t = 10_000_000)]
    live_orders_max: u32,
    /// Draws into this folder.
    #[arg(long)]
    plots: Option<PathBuf>,
    /// Measures nothing, and draws what an earlier run wrote.
    #[arg(long, requires = "plots")]
    from: Option<PathBuf>,
    /// Where to write what was measured, as JSON.
    #[arg(long)]
    raw: Option<PathBuf>,
}

/// One measurement.
#[derive(Clone, Serialize, Deserialize)]
struct Measured {
    sweep: String,
    layout: String,
    value: u64,
    round: u32,
    messages: u64,
    cpu_ns: u64,
}

/// Days that differ in one thing.
struct Sweep {
    name: &'static str,
    values: &'static [u64],
    /// A day, and messages a packet, with this value.
    of: fn(u64) -> (DayConfig, u16),
}

/// What does not vary is in the middle.
const DAY: DayConfig = DayConfig {
    seed: 1,
    instruments: 3_000,
    live_orders: 300_000,
    messages: 0,
    layout: Layout::Bursty,
};
const PACKET_MESSAGES: u16 = 30;

const SWEEPS: [Sweep; 3] = [
    Sweep {
        name: "instruments",
        values: &[10, 30, 100, 300, 1_000, 3_000, 10_000],
        of: |value| (DayConfig { instruments: value as u16, ..DAY }, PACKET_MESSAGES),
    },
    Sweep {
        name: "live orders",
        values: &[10_000, 30_000, 100_000, 300_000, 1_000_000, 3_000_000, 10_000_000],
        of: |value| (DayConfig { live_orders: value as u32, ..DAY }, PACKET_MESSAGES),
    },
    Sweep {
        name: "messages a packet",
        values: &[1, 2, 5, 10, 20, 30, 60],
        of: |value| (DAY, value as u16),
    },
];

const LAYOUTS: [(&str, Layout); 2] = [("bursty", Layout::Bursty), ("cold", Layout::Cold)];

/// A point of a sweep: its day in the hours in which books stay as full as they are.
struct Point {
    layout: &'static str,
    value: u64,
    feed: Feed,
    books: DecodedBooks,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let all = match &arguments.from {
        Some(path) => {
            let run: Value = serde_json::from_slice(&fs::read(path)?)?;
            serde_json::from_value(run["measurements"].clone())?
        }
        None => measure(&arguments)?,
    };
    print(&all);
    if let Some(folder) = &arguments.plots {
        plot(folder, &all)?;
    }
    Ok(())
}

fn measure(arguments: &Arguments) -> anyhow::Result<Vec<Measured>> {
    let host = Host::read();
    let mut all = Vec::new();
    for sweep in &SWEEPS {
        let mut points = Vec::new();
        for &value in sweep.values {
            let (day, packet_messages) = (sweep.of)(value);
            if day.live_orders > arguments.live_orders_max {
                continue;
            }
            for (name, layout) in LAYOUTS {
                points.push(point(
                    DayConfig { layout, ..day },
                    packet_messages,
                    name,
                    value,
                    arguments,
                )?);
            }
        }
        let mut part = Part::default();
        for round in 0..arguments.rounds {
            for point in &mut points {
                point.feed.next_part(arguments.messages, &mut part);
                let before = cpu_time()?;
                point.books.take_ahead(&part);
                let cpu_ns = (cpu_time()? - before).as_nanos() as u64;
                let (sweep, layout) = (sweep.name.to_owned(), point.layout.to_owned());
                let messages = part.messages;
                all.push(Measured { sweep, layout, value: point.value, round, messages, cpu_ns });
            }
        }
        points.iter().for_each(|point| point.books.assert_whole());
    }
    if let Some(path) = &arguments.raw {
        let run = json!({ "command": "scripts/bench scale", "host": host, "rounds": arguments.rounds,
            "slice_messages": arguments.messages, "measurements": all });
        fs::write(path, serde_json::to_string_pretty(&run)? + "\n")
            .with_context(|| path.display().to_string())?;
    }
    Ok(all)
}

/// A day long enough for all slices, and its books filled.
fn point(
    day: DayConfig,
    packet_messages: u16,
    layout: &'static str,
    value: u64,
    arguments: &Arguments,
) -> anyhow::Result<Point> {
    // Half of a day is its hours.
    let slices = 2 * u64::from(arguments.rounds + 1) * arguments.messages as u64;
    let messages = day.messages_min().max(slices);
    let day = DayConfig { messages, ..day };
    let mut books = DecodedBooks::new(limits_of(&day))?;
    let mut left = Day::new(day)?.opening_messages() as usize;
    let mut feed = Feed::new(day, packet_messages)?;
    let mut part = Part::default();
    while left > 0 && feed.next_part(left.min(PART_MESSAGES), &mut part) {
        books.take_ahead(&part);
        left -= part.messages as usize;
    }
    Ok(Point { layout, value, feed, books })
}

/// The lines of a sweep: nanoseconds a message.
fn lines(sweep: &str, all: &[Measured]) -> Vec<Line> {
    let of = |layout: &str, value| {
        let same = move |m: &&Measured| m.sweep == sweep && m.layout == layout && m.value == value;
        Spread::of(all.iter().filter(same).map(|m| m.cpu_ns as f64 / m.messages as f64))
    };
    let values = SWEEPS.iter().filter(|each| each.name == sweep).flat_map(|each| each.values);
    let line = |(name, _): (&str, Layout)| Line {
        name: name.to_owned(),
        points: values.clone().filter_map(|&x| Some((x as f64, of(name, x)?))).collect(),
    };
    LAYOUTS.map(line).into()
}

fn print(all: &[Measured]) {
    for sweep in &SWEEPS {
        println!("\n{}: CPU ns a message, median (lowest to highest) of the slices\n", sweep.name);
        for line in lines(sweep.name, all) {
            for (x, spread) in &line.points {
                println!("{:<8} {x:>10} {spread:>28.1}", line.name);
            }
        }
    }
}

fn plot(folder: &Path, all: &[Measured]) -> anyhow::Result<()> {
    fs::create_dir_all(folder)?;
    for sweep in &SWEEPS {
        let name = format!("scale-{}.svg", sweep.name.replace(' ', "-"));
        let title = format!("decode and order-level book, by {}", sweep.name);
        draw(&folder.join(name), &title, sweep.name, "CPU ns a message", &lines(sweep.name, all))?;
    }
    Ok(())
}
