//! The whole path: packets a second under overload and without loss, and wire to strategy, on a veth
//! pair.
//!
//! What is compared, and how, is said where it is done: `path::throughput` and `path::latency`. Here are the
//! options, the rounds and the tables. A round measures each contestant once, each round begins with
//! another, and a ratio is to ours in the same round.
#![forbid(unsafe_code)]

use clap::{Parser, Subcommand, ValueEnum};
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;
use std::process::ExitCode;
use wirebook::housekeeping::Stop;
use wirebook_benches::path::count::By;
use wirebook_benches::path::latency::{self, Measured, PERCENTILES};
use wirebook_benches::path::live::LiveSender;
use wirebook_benches::path::market::Frames;
use wirebook_benches::path::room::{Napi, Room};
use wirebook_benches::path::sender::Tempo;
use wirebook_benches::path::stamp::Waiting;
use wirebook_benches::path::throughput::{self, Limit, Purpose, Taken, Trial};
use wirebook_benches::path::{CoreArguments, Cores, NapiPlace, appliance, count, stamp};
use wirebook_benches::{Host, Spread};

/// Names of the schedules.
const EVEN: &str = "evenly";
const OWN_PACE: &str = "own pace";

#[derive(Parser)]
#[command(
    about = "The whole path on a veth pair: throughput, and latency to a strategy",
    args_conflicts_with_subcommands = true,
    after_help = "\
Needs root: it makes two network namespaces and removes them. Threads share what cores there are; the
tables say how.

Examples:
  scripts/bench path --part throughput --napi apart
  scripts/bench path --part throughput --without limit --messages-max 1
  scripts/bench path --part latency --rounds 5 --seconds 5
  scripts/bench path --rounds 1 --milliseconds 100 --steps 1 --tries 1 --seconds 1    a look, in a minute"
)]
struct Arguments {
    /// What to measure; absent, both.
    #[arg(long)]
    part: Option<Part>,
    /// Rounds, each of which measures every contestant.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Seed of the market.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    cores: CoreArguments,
    /// Where NAPI runs in trials of throughput; may be repeated. Absent, in each place.
    #[arg(long)]
    napi: Vec<NapiPlace>,
    /// What is left out of throughput; may be repeated.
    #[arg(long)]
    without: Vec<Figure>,
    /// Packets of the market, all of which are sent under overload.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1_000..))]
    packets: u64,
    /// The most messages of a packet; as a rule fewer are there in time to share one.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..))]
    messages_max: u16,
    /// How long a trial at a rate sends, where the market lasts.
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u64).range(10..))]
    milliseconds: u64,
    /// Packets a second at which all are compared.
    #[arg(long, default_value_t = 100_000.0)]
    fixed_rate: f64,
    /// Trials that must lose packets until a rate counts as too high.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..))]
    tries: u32,
    /// How often the range in which a limit lies is halved.
    #[arg(long, default_value_t = 4)]
    steps: u32,
    /// How the appliance's threads wait in trials of throughput: spin, spin-then-yield, poll or
    /// sleep [default: sleep where they share a core, NAPI included, else poll].
    #[arg(long)]
    idle: Option<String>,
    /// More lines for the appliance's worker (TOML).
    #[arg(long, default_value = "")]
    worker_options: String,
    /// How long the receiving interface puts interrupts off, microseconds, whoever receives.
    #[arg(long, default_value_t = 0)]
    defer_us: u64,
    /// How long a trial of latency sends.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..))]
    seconds: u64,
    /// Packets a second of the even schedule.
    #[arg(long, default_value_t = 10_000)]
    latency_rate: u64,
    /// How many times as fast as its own pace the session is played.
    #[arg(long, default_value_t = 20)]
    speed: u64,
    /// Messages a second of that session at its own pace: by default 20 million in 6.5 hours.
    #[arg(long, default_value_t = 855)]
    session_rate: u64,
    /// Where to write what was measured, as JSON.
    #[arg(long)]
    raw: Option<PathBuf>,
    #[command(subcommand)]
    role: Option<Role>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    Throughput,
    Latency,
}

/// What throughput is measured in.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Figure {
    Overload,
    Limit,
    FixedRate,
}

/// What this program is when it starts itself.
#[derive(Subcommand)]
enum Role {
    #[command(hide = true)]
    Appliance { folder: PathBuf, cores: Vec<usize> },
    #[command(hide = true)]
    Count { by: By, interface: String, core: usize },
    #[command(hide = true)]
    Records { appliance: PathBuf, waiting: Waiting, messages: usize, core: usize, file: PathBuf },
    #[command(hide = true)]
    Datagrams { waiting: Waiting, messages: usize, core: usize, file: PathBuf },
}

fn main() -> anyhow::Result<ExitCode> {
    let arguments = Arguments::parse();
    match &arguments.role {
        Some(Role::Appliance { folder, cores }) => return appliance::run(folder, cores),
        Some(Role::Count { by, interface, core }) => count::run(*by, interface, *core)?,
        Some(Role::Records { appliance, waiting, messages, core, file }) => {
            stamp::records(appliance, *waiting, *messages, *core, file)?;
        }
        Some(Role::Datagrams { waiting, messages, core, file }) => {
            stamp::datagrams(*waiting, *messages, *core, file)?;
        }
        None => measure(&arguments)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn measure(arguments: &Arguments) -> anyhow::Result<()> {
    let host = Host::read();
    let stop = Stop::on_signals()?;
    let mut room = Room::new()?;
    room.defer_interrupts(arguments.defer_us)?;
    println!(
        "{} ({} cores, {}), Linux {}, load {}\n{}, {} profile, commit {}",
        host.processor,
        host.cores,
        host.virtualization,
        host.kernel,
        host.load,
        host.compiler,
        host.profile,
        host.commit,
    );
    let command = std::env::args().skip(1).collect::<Vec<_>>().join(" ");
    let mut run = json!({ "command": format!("scripts/bench path {command}"), "host": host });
    if arguments.part != Some(Part::Latency) {
        run["throughput"] = throughput(arguments, &mut room, &stop)?;
    }
    if arguments.part != Some(Part::Throughput) {
        run["latency"] = latency(arguments, &mut room, &stop)?;
    }
    if let Some(path) = &arguments.raw {
        fs::write(path, serde_json::to_string_pretty(&run)? + "\n")?;
    }
    Ok(())
}

/// The places of `count` contestants in the order of a round.
fn turns(round: u32, count: usize) -> impl Iterator<Item = usize> {
    (0..count).map(move |at| (at + round as usize) % count)
}

fn throughput(arguments: &Arguments, room: &mut Room, stop: &Stop) -> anyhow::Result<Value> {
    let frames = Frames::dense(arguments.seed, arguments.packets, arguments.messages_max)?;
    let sender = LiveSender::load(&frames)?;
    let messages = frames.messages(frames.len()) as f64 / frames.len() as f64;
    let places = match arguments.napi.as_slice() {
        [] => NapiPlace::value_variants(),
        places => places,
    };
    let mut all = Vec::new();
    for &place in places {
        let cores = arguments.cores.for_throughput(place)?;
        room.place_napi(match place {
            NapiPlace::Beside => Napi::Thread(cores.napi),
            NapiPlace::Apart => Napi::Sender,
        })?;
        let plan = throughput::Plan {
            room,
            place,
            cores,
            frames: &frames,
            sender: &sender,
            milliseconds: arguments.milliseconds,
            tries: arguments.tries,
            steps: arguments.steps,
            idle: arguments.idle.as_deref(),
            worker_options: &arguments.worker_options,
            stop,
        };
        println!("\nThroughput, {}: {messages:.2} messages a packet", place.words());
        print_cores(&cores);
        all.push(at_place(arguments, &plan)?);
    }
    Ok(json!({ "messages_a_packet": messages, "places": all }))
}

/// All rounds of throughput with NAPI in one place.
fn at_place(arguments: &Arguments, plan: &throughput::Plan<'_>) -> anyhow::Result<Value> {
    let wants = |figure| !arguments.without.contains(&figure);
    let (mut trials, mut limits) = (Vec::new(), Vec::new());
    for round in 0..arguments.rounds {
        for at in turns(round, throughput::CONTESTANTS.len()) {
            let mut near = arguments.fixed_rate;
            if wants(Figure::Overload) {
                let trial = plan.trial(round, Purpose::Overload, at, None)?;
                near = trial.taken_rate;
                trials.push(trial);
            }
            if wants(Figure::Limit) {
                limits.push(plan.limit(round, at, near, &mut trials)?);
            }
            if wants(Figure::FixedRate) {
                let rate = Some(arguments.fixed_rate);
                trials.push(plan.trial(round, Purpose::FixedRate, at, rate)?);
            }
        }
    }
    if wants(Figure::Overload) {
        print_overload(&trials);
    }
    if wants(Figure::Limit) {
        print_limits(&limits);
    }
    if wants(Figure::FixedRate) {
        print_fixed(&trials, arguments.fixed_rate);
    }
    Ok(throughput::raw(plan, &trials, &limits))
}

fn print_cores(cores: &Cores) {
    let Cores { sender, napi, worker, shard, strategy } = cores;
    println!(
        "cores: sender {sender}, NAPI {napi}, worker {worker}, shard {shard}, strategy {strategy}"
    );
    println!("median (min to max) of the rounds; ratios to wirebook in the same round");
}

fn print_overload(trials: &[Trial]) {
    let (ours, _) = throughput::CONTESTANTS[0];
    println!(
        "\n{:<26} {:>34} {:>22} {:>34} {:>30} {:>22}",
        "as fast as can be sent",
        "packets/s taken",
        "times ours",
        "packets/s sent",
        "CPU ns a packet, with NAPI",
        "of lost orders, %"
    );
    let all = || trials.iter().filter(|trial| trial.purpose == Purpose::Overload);
    for (name, _) in throughput::CONTESTANTS {
        let mine: Vec<_> = all().filter(|trial| trial.name == name).collect();
        let ratio = |trial: &Trial| {
            let same = all().find(|one| one.name == ours && one.round == trial.round)?;
            Some(trial.taken_rate / same.taken_rate)
        };
        let unknown = |taken: &Taken| {
            let share = taken.unknown_orders as f64 / taken.messages as f64;
            (taken.messages > 0).then_some(share * 100.0)
        };
        println!(
            "{name:<26} {:>34} {:>22} {:>34} {:>30} {:>22}",
            spread(mine.iter().map(|trial| trial.taken_rate), 0),
            spread(mine.iter().filter_map(|trial| ratio(trial)), 2),
            spread(mine.iter().map(|trial| trial.rate), 0),
            spread(mine.iter().map(|trial| trial.cpu_ns_a_packet()), 0),
            spread(mine.iter().filter_map(|trial| unknown(&trial.taken)), 0),
        );
    }
}

fn print_limits(limits: &[Limit]) {
    let (ours, _) = throughput::CONTESTANTS[0];
    println!(
        "\n{:<26} {:>34} {:>22} {:>30}  limited by",
        "highest rate without loss", "packets/s", "times ours", "CPU ns a packet, with NAPI"
    );
    for (name, _) in throughput::CONTESTANTS {
        let rate = |limit: &Limit| limit.best.as_ref().map(|best| best.rate);
        let ratio = |limit: &Limit| {
            let same = limits.iter().find(|one| one.name == ours && one.round == limit.round);
            Some(rate(limit)? / rate(same?)?)
        };
        let cpu = |limit: &Limit| limit.best.as_ref().map(Trial::cpu_ns_a_packet);
        let mine: Vec<_> = limits.iter().filter(|limit| limit.name == name).collect();
        let senders = mine.iter().filter(|limit| limit.is_senders).count();
        println!(
            "{name:<26} {:>34} {:>22} {:>30}  {}",
            spread(mine.iter().filter_map(|limit| rate(limit)), 0),
            spread(mine.iter().filter_map(|limit| ratio(limit)), 2),
            spread(mine.iter().filter_map(|limit| cpu(limit)), 0),
            match senders {
                0 => "itself".to_owned(),
                _ => format!("the sender, in {senders} of {} rounds", mine.len()),
            }
        );
    }
}

fn print_fixed(trials: &[Trial], rate: f64) {
    let (ours, _) = throughput::CONTESTANTS[0];
    println!(
        "\n{:<26} {:>26} {:>26} {:>26} {:>22} {:>8}",
        format!("at {rate:.0} packets/s"),
        "process, CPU ns a packet",
        "NAPI thread",
        "both",
        "times ours",
        "lost"
    );
    let fixed = || trials.iter().filter(|trial| trial.purpose == Purpose::FixedRate);
    for (name, _) in throughput::CONTESTANTS {
        let mine: Vec<_> = fixed().filter(|trial| trial.name == name).collect();
        let part = |of: fn(&Trial) -> u64| {
            spread(mine.iter().map(|trial| of(trial) as f64 / trial.taken.packets.max(1) as f64), 0)
        };
        let ratio = |trial: &Trial| {
            let same = fixed().find(|one| one.name == ours && one.round == trial.round)?;
            Some(trial.cpu_ns_a_packet() / same.cpu_ns_a_packet())
        };
        println!(
            "{name:<26} {:>26} {:>26} {:>26} {:>22} {:>8}",
            part(|trial| trial.taken.process_ns),
            part(|trial| trial.napi_ns),
            spread(mine.iter().map(|trial| trial.cpu_ns_a_packet()), 0),
            spread(mine.iter().filter_map(|trial| ratio(trial)), 2),
            mine.iter().map(|trial| trial.lost).sum::<u64>()
        );
    }
}

fn latency(arguments: &Arguments, room: &mut Room, stop: &Stop) -> anyhow::Result<Value> {
    let cores = arguments.cores.for_latency()?;
    let Arguments { seed, seconds, latency_rate, speed, session_rate, .. } = *arguments;
    room.place_napi(Napi::Thread(cores.napi))?;
    let even = Frames::dense(seed, latency_rate * seconds, arguments.messages_max)?;
    let session = Frames::session(seed, seconds * speed, session_rate)?;
    let plan = |schedule, tempo, frames| latency::Plan {
        room,
        cores,
        schedule,
        tempo,
        frames,
        worker_options: &arguments.worker_options,
        stop,
    };
    let plans = [
        plan(EVEN, Tempo::Rate(latency_rate as f64), &even),
        plan(OWN_PACE, Tempo::Speed(speed as f64), &session),
    ];
    let mut all = Vec::new();
    for round in 0..arguments.rounds {
        for plan in &plans {
            for at in turns(round, latency::CONTESTANTS.len()) {
                all.push(plan.trial(round, at)?);
            }
        }
    }
    println!("\nLatency, from a packet's due time to the strategy");
    print_cores(&cores);
    let (packets, messages) = (session.len() as u64 / seconds, session_rate * speed);
    print_schedule(&format!("{latency_rate} packets/s, evenly"), EVEN, &all);
    let pace =
        format!("{speed} times the session's own pace, {packets} packets/s, {messages} messages/s");
    print_schedule(&pace, OWN_PACE, &all);
    Ok(json!({ "cores": cores, "seconds": seconds, "percentiles": PERCENTILES,
        "worker_options": arguments.worker_options, "measurements": all }))
}

fn print_schedule(title: &str, schedule: &str, all: &[Measured]) {
    let (ours, _) = latency::CONTESTANTS[0];
    print!("{title}, µs\n{:<26}", "");
    for percentile in PERCENTILES {
        print!(" {:>28}", format!("p{percentile}"));
    }
    println!(" {:>22} {:>8} {:>8}", "p50, times ours", "lost", "silent");
    for (name, _) in latency::CONTESTANTS {
        let mine = all.iter().filter(|one| one.name == name && one.schedule == schedule);
        let mine: Vec<_> = mine.collect();
        print!("{name:<26}");
        for at in 0..PERCENTILES.len() {
            print!(
                " {:>28}",
                spread(mine.iter().map(|one| one.percentiles_ns[at] as f64 / 1e3), 1)
            );
        }
        let ratio = |one: &Measured| {
            let same = |other: &&Measured| {
                other.name == ours && other.round == one.round && other.schedule == schedule
            };
            let same = all.iter().find(same)?;
            Some(one.percentiles_ns[0] as f64 / same.percentiles_ns[0] as f64)
        };
        let sum = |of: fn(&Measured) -> u64| mine.iter().map(|one| of(one)).sum::<u64>();
        println!(
            " {:>22} {:>8} {:>8}",
            spread(mine.iter().filter_map(|one| ratio(one)), 2),
            sum(|one| one.lost),
            sum(|one| one.silent)
        );
    }
    println!();
}

fn spread(values: impl Iterator<Item = f64>, decimals: usize) -> String {
    Spread::of(values).map_or_else(|| "none".to_owned(), |spread| format!("{spread:.decimals$}"))
}
