//! Rings side by side: how many nanoseconds a message takes from one core to another, and how many a
//! round trip.
//!
//! A round measures each ring once at each capacity and batch, ours first in one round and last in the
//! next; a ratio is to ours in the same round. Sender and receiver spin, each on a core of its own.
#![forbid(unsafe_code)]

use anyhow::{Context, bail};
use clap::Parser;
use core_affinity::CoreId;
use hdrhistogram::Histogram;
use serde::Serialize;
use serde_json::json;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;
use wirebook_benches::rings::{ours, peers, round_trips, stream};
use wirebook_benches::{Host, Spread};

const OURS: &str = "wirebook";

#[derive(Parser)]
#[command(
    about = "Our ring beside others: throughput and round trips between two cores",
    after_help = "\
Each message is 56 bytes and checked by its receiver. Ratios are to our gated ring, within a round: above
1, the other takes longer.

Example: scripts/bench rings --rounds 5 --messages 2000000"
)]
struct Arguments {
    /// Rounds, each of which measures every ring.
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Messages of each measurement of throughput.
    #[arg(long, default_value_t = 5_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    messages: u64,
    /// Round trips of each measurement of latency.
    #[arg(long, default_value_t = 200_000, value_parser = clap::value_parser!(u64).range(1..))]
    trips: u64,
    /// Capacities to measure, in messages.
    #[arg(long, value_delimiter = ',', default_values_t = [1_024, 16_384, 65_536])]
    slots: Vec<usize>,
    /// Batches to measure, in messages.
    #[arg(long, value_delimiter = ',', default_values_t = [1, 64])]
    batches: Vec<u64>,
    /// Rings to measure beside ours, by name; absent, all.
    #[arg(long, value_delimiter = ',')]
    beside: Option<Vec<String>>,
    /// Where to write what was measured, as JSON.
    #[arg(long)]
    raw: Option<PathBuf>,
}

impl Arguments {
    fn measures(&self, ring: &str) -> bool {
        let beside = self.beside.as_ref();
        ring == OURS || beside.is_none_or(|names| names.iter().any(|name| name == ring))
    }
}

type Stream = fn([CoreId; 2], usize, u64, u64) -> anyhow::Result<Duration>;
type RoundTrips = fn([CoreId; 2], usize, u64) -> anyhow::Result<Histogram<u64>>;

/// A ring by name, and what is measured of it.
struct Candidate {
    name: &'static str,
    stream: Option<Stream>,
    round_trips: RoundTrips,
}

fn candidates() -> Vec<Candidate> {
    macro_rules! ring {
        ($name:literal, $ring:ty) => {
            Candidate {
                name: $name,
                stream: Some(stream::<$ring>),
                round_trips: round_trips::<$ring>,
            }
        };
    }
    vec![
        ring!("wirebook", ours::Gated),
        // Its writer waits for nobody, so it has no throughput without loss.
        Candidate { name: "wirebook, open", stream: None, round_trips: round_trips::<ours::Open> },
        Candidate { name: "a cache line", stream: None, round_trips: round_trips::<peers::Line> },
        ring!("rtrb", peers::Rtrb),
        ring!("crossbeam", peers::Crossbeam),
        ring!("disruptor", peers::Disruptor),
        #[cfg(feature = "peers")]
        ring!("iceoryx2", wirebook_benches::rings::iceoryx::Iceoryx),
        #[cfg(feature = "aeron")]
        ring!("Aeron IPC", wirebook_benches::rings::aeron::AeronIpc),
    ]
}

/// One measurement.
#[derive(Serialize)]
struct Measured {
    round: u32,
    ring: &'static str,
    slots: usize,
    /// Messages a batch; none for round trips.
    batch: Option<u64>,
    /// Nanoseconds a message, or of the median round trip.
    ns: f64,
    /// Of round trips: the 99th percentile.
    p99_ns: Option<u64>,
}

fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let host = Host::read();
    let cores = core_affinity::get_core_ids().unwrap_or_default();
    let &[one, other, ..] = cores.as_slice() else {
        bail!("two cores are needed, found {}", cores.len());
    };
    let mut all = Vec::new();
    for round in 0..arguments.rounds {
        let mut candidates = candidates();
        candidates.retain(|candidate| arguments.measures(candidate.name));
        if round % 2 == 1 {
            candidates.reverse();
        }
        for candidate in candidates {
            measure(&arguments, round, &candidate, [one, other], &mut all)
                .with_context(|| candidate.name)?;
        }
        eprintln!("round {} of {}", round + 1, arguments.rounds);
    }
    print(&arguments, &host, [one, other], &all);
    if let Some(path) = &arguments.raw {
        let Arguments { rounds, messages, trips, .. } = &arguments;
        let command =
            format!("scripts/bench rings --rounds {rounds} --messages {messages} --trips {trips}");
        let run = json!({ "command": command, "host": host, "cores": [one.id, other.id],
            "measurements": all });
        fs::write(path, serde_json::to_string_pretty(&run)? + "\n")
            .with_context(|| path.display().to_string())?;
    }
    Ok(())
}

/// Everything of one ring in one round.
fn measure(
    arguments: &Arguments,
    round: u32,
    candidate: &Candidate,
    cores: [CoreId; 2],
    all: &mut Vec<Measured>,
) -> anyhow::Result<()> {
    let ring = candidate.name;
    for &slots in &arguments.slots {
        for &batch in &arguments.batches {
            let Some(stream) = candidate.stream else { continue };
            let took = stream(cores, slots, batch, arguments.messages)?;
            let ns = took.as_nanos() as f64 / arguments.messages as f64;
            all.push(Measured { round, ring, slots, batch: Some(batch), ns, p99_ns: None });
        }
    }
    let slots = arguments.slots[0];
    let trips = (candidate.round_trips)(cores, slots, arguments.trips)?;
    let (ns, p99_ns) = (trips.value_at_quantile(0.5) as f64, Some(trips.value_at_quantile(0.99)));
    all.push(Measured { round, ring, slots, batch: None, ns, p99_ns });
    Ok(())
}

fn print(arguments: &Arguments, host: &Host, cores: [CoreId; 2], all: &[Measured]) {
    println!("{host}");
    println!(
        "sender on core {}, receiver on core {}; median (min to max) of the rounds, ratios to {OURS} \
         in the same round",
        cores[0].id, cores[1].id
    );
    for &slots in &arguments.slots {
        for &batch in &arguments.batches {
            table(&format!("ns a message, {slots} slots, batches of {batch}"), all, |measured| {
                measured.slots == slots && measured.batch == Some(batch)
            });
        }
    }
    table("ns a round trip, median", all, |measured| measured.batch.is_none());
}

fn table(title: &str, all: &[Measured], is_of: impl Fn(&Measured) -> bool) {
    let ours = |round| all.iter().find(|m| is_of(m) && m.round == round && m.ring == OURS);
    println!("\n{title:<44} {:>26} {:>24}", "", "ratio");
    for Candidate { name, .. } in candidates() {
        let of = |figure: &dyn Fn(&Measured) -> Option<f64>| {
            Spread::of(all.iter().filter(|m| is_of(m) && m.ring == name).filter_map(figure))
        };
        let (ns, ratio) = (of(&|m| Some(m.ns)), of(&|m| Some(m.ns / ours(m.round)?.ns)));
        if let (Some(ns), Some(ratio)) = (ns, ratio) {
            println!("{name:<44} {:>26} {:>24}", ns.to_string(), ratio.to_string());
        }
    }
}
