//! The whole appliance on a wire: what is played over a veth pair into `wirebook run` gives the
//! counts and the digest that `wirebook replay` gives for the same capture, in every mode.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;
#[path = "common/live.rs"]
mod live;

use common::{SimulatedMarket, data, folder, replay, write};
use live::net::{Pair, within};
use live::{
    Appliance, PATIENCE, SMALL, channel, config, inline, play, send_in_steps, wire, worker,
};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use wirebook_simulator::Line;

const DEEP: &str = "iex/deep-2023-10-02.pcap.gz";
const DEEP_GROUP: &str = "233.215.21.4:10378";
const GROUP: &str = "239.192.12.111:26477";
const OTHER_GROUP: &str = "239.192.12.112:26478";

/// A market and its capture.
struct Market {
    simulated: SimulatedMarket,
    capture: PathBuf,
    _folder: TempDir,
}

impl Market {
    fn new(seed: u64, line: &Line) -> Self {
        let folder = folder();
        let simulated = SimulatedMarket::on_line(line, seed, 10, 6_000);
        let capture = simulated.write(&folder, "market.pcap");
        Self { simulated, capture, _folder: folder }
    }

    fn packets(&self) -> u64 {
        self.simulated.frames.len() as u64
    }

    fn replayed(&self) -> Value {
        replay(&[self.capture.to_str().unwrap(), "--protocol", "itch50"])
    }
}

/// Asserts that a live run ended with what the replay of the same packets ended with.
fn assert_same(live: &Value, replayed: &Value) {
    for name in [
        "packets",
        "messages",
        "heartbeats",
        "ends_of_session",
        "records",
        "instruments",
        "gaps",
        "missing_messages",
        "duplicates",
        "malformed_packets",
        "unknown_messages",
        "digest",
    ] {
        assert_eq!(live[name], replayed[name], "{name}");
    }
    assert_eq!(live["missing_messages"], 0);
    assert_eq!(live["book_counters"]["records"], replayed["book_counters"]["records"]);
}

/// The steering program of an interface took all `packets` in this mode.
fn assert_steered(live: &Value, mode: &str, packets: u64) {
    let steering = &live["intake"]["steering"][0];
    assert_eq!(steering["mode"], mode);
    assert_eq!(steering["steered"], packets);
    assert_eq!((&steering["malformed"], &steering["no_socket"]), (&0.into(), &0.into()));
}

/// Plays a market until the end of its session.
fn run_market(worker_options: &str, line: &Line, line_options: &str) -> Option<(Value, Market)> {
    run_market_by(&(config(worker_options) + &channel(0, "itch50", GROUP, line_options)), line)
}

fn run_market_by(config: &str, line: &Line) -> Option<(Value, Market)> {
    let wire = wire(1, 1)?;
    let market = Market::new(31, line);
    let appliance = Appliance::start(&wire, config, &["--until-end-of-session"]);
    play(&wire, 0, &market.capture);
    let live = appliance.finish();
    assert_same(&live, &market.replayed());
    Some((live, market))
}

/// Plays the IEX capture, which has no end of session, until all its packets have come.
fn run_deep(worker_options: &str) -> Option<Value> {
    let (capture, wire) = (data(DEEP)?, wire(1, 1)?);
    let config = config(worker_options) + &channel(0, "iex-deep", DEEP_GROUP, "");
    let appliance = Appliance::start(&wire, &config, &[]);
    let frames: Vec<_> = common::frames_of(&capture).into_iter().map(|(_, frame)| frame).collect();
    send_in_steps(&wire, &appliance, &frames);
    appliance.signal(Signal::SIGTERM);
    let live = appliance.finish();
    assert_same(&live, &replay(&[capture.to_str().unwrap(), "--protocol", "iex-deep"]));
    Some(live)
}

#[test]
fn a_market_in_native_mode() {
    let Some((live, market)) = run_market("", &Line::new(GROUP.parse().unwrap()), "") else {
        return;
    };
    assert_steered(&live, "native", market.packets());
    assert_eq!(live["ends_of_session"], 3);
    assert_latencies(&live, market.packets());
}

#[test]
fn a_market_in_generic_mode() {
    let line = Line::new(GROUP.parse().unwrap());
    let Some((live, market)) = run_market("xdp_mode = \"generic\"", &line, "") else { return };
    assert_steered(&live, "generic", market.packets());
    assert_latencies(&live, market.packets());
}

#[test]
fn a_market_through_udp_sockets() {
    let line = Line::new(GROUP.parse().unwrap());
    let Some((live, market)) = run_market("source = \"socket\"", &line, "") else { return };
    assert_eq!(live["intake"]["steering"].as_array().unwrap().len(), 0);
    assert_latencies(&live, market.packets());
}

/// The worker keeps the books: no stage lies between decoding and publication.
#[test]
fn a_market_with_inline_handlers() {
    let line = Line::new(GROUP.parse().unwrap());
    for options in ["", "xdp_mode = \"generic\"", "source = \"socket\"", "idle-spin"] {
        let worker = if options == "idle-spin" { "" } else { options };
        let config = inline(&(config(worker) + &channel(0, "itch50", GROUP, "")));
        let config = match options {
            "idle-spin" => config.replace("idle = \"poll\"", "idle = \"spin-then-yield\""),
            _ => config,
        };
        let Some((live, market)) = run_market_by(&config, &line) else { return };
        assert_eq!(live["backpressure"], 0);
        assert_inline_latencies(&live, market.packets());
    }
}

#[test]
fn two_workers_with_inline_handlers() {
    let Some(wire) = wire(2, 1) else { return };
    let markets = [(GROUP, 41), (OTHER_GROUP, 42)]
        .map(|(group, seed)| Market::new(seed, &Line::new(group.parse().unwrap())));
    let config = inline(
        &[
            SMALL,
            "[machines]\ninterval_ms = 10\nrun = [\"trading-status\", \"ohlcv-1s\", \"statistics\"]\n\
             [check]\nshadow = [\"WB001\"]\n",
            &worker(0, ""),
            &worker(1, ""),
            &channel(0, "itch50", GROUP, ""),
            &channel(1, "itch50", OTHER_GROUP, ""),
        ]
        .concat()
        .replace("instruments = 16384", "instruments = 64"),
    );
    let appliance = Appliance::start(&wire, &config, &[]);
    std::thread::scope(|scope| {
        scope.spawn(|| play(&wire, 0, &markets[0].capture));
        play(&wire, 1, &markets[1].capture);
    });
    appliance.await_packets(markets[0].packets() + markets[1].packets());
    // What is told of shards is told of the workers' own.
    assert!(within(PATIENCE, || appliance.counter("shard_records{shard=\"1\"}") > Some(0)));
    assert_eq!(appliance.counter("shard_records{shard=\"2\"}"), None);
    appliance.signal(Signal::SIGTERM);
    let live = appliance.finish();
    let replayed = replay_by_config(&config, &[&markets[0].capture, &markets[1].capture]);
    assert_same(&live, &replayed);
    assert_inline_latencies(&live, markets[0].packets() + markets[1].packets());
    let [live, replayed] = [&live, &replayed].map(|run| &run["supervision"]);
    assert_eq!(live["machines"], replayed["machines"]);
    assert_eq!(live["check"], replayed["check"]);
    assert!(live["check"]["comparisons"].as_u64().unwrap() > 100, "{live}");
}

/// Levels without orders: by shards and inline, the records of a replay, and the exchange's levels.
#[test]
fn a_market_in_books_of_levels() {
    let Some(wire) = wire(1, 1) else { return };
    let market = Market::new(43, &Line::new(GROUP.parse().unwrap()));
    let of_orders = config("") + &channel(0, "itch50", GROUP, "");
    let of_levels = of_orders.replace("[limits]\n", "[limits]\nbooks = \"levels\"\n");
    let replayed = replay_by_config(&of_levels, &[&market.capture]);
    for config in [of_levels.clone(), inline(&of_levels)] {
        let appliance = Appliance::start(&wire, &config, &["--until-end-of-session"]);
        play(&wire, 0, &market.capture);
        assert_same(&appliance.finish(), &replayed);
    }
    assert_ne!(replayed["digest"], replay_by_config(&of_orders, &[&market.capture])["digest"]);

    let folder = folder();
    let file = write(&folder, "wirebook.toml", of_levels);
    let mut arguments = common::all_books(&market.simulated.symbols());
    let places = [market.capture.to_str().unwrap(), "--config", file.to_str().unwrap()];
    arguments.extend(places.map(str::to_owned));
    market.simulated.assert_books(&replay(&arguments)["books"]);
    arguments.extend(["--shadow", "WB001"].map(str::to_owned));
    common::fails(&arguments_of("replay", &arguments), 1, &["--shadow", "books of orders"]);
}

fn arguments_of(command: &str, arguments: &[String]) -> Vec<String> {
    [command.to_owned()].into_iter().chain(arguments.iter().cloned()).collect()
}

#[test]
fn a_market_from_one_source_only() {
    let line = Line::new(GROUP.parse().unwrap());
    let source = format!(", source = \"{}\"", line.source.ip());
    for worker_options in ["", "source = \"socket\""] {
        if run_market(worker_options, &line, &source).is_none() {
            return;
        }
    }
}

#[test]
fn a_tagged_market() {
    let line = Line { vlan: Some(141), ..Line::new(GROUP.parse().unwrap()) };
    for (mode, vlan) in [("native", ", vlan = [141]"), ("generic", "")] {
        let options = format!("xdp_mode = \"{mode}\"");
        let Some((live, market)) = run_market(&options, &line, vlan) else { return };
        assert_steered(&live, mode, market.packets());
    }
}

#[test]
fn a_market_of_another_tag_is_not_ours() {
    let Some(wire) = wire(1, 1) else { return };
    let market = Market::new(31, &Line { vlan: Some(142), ..Line::new(GROUP.parse().unwrap()) });
    let config = config("") + &channel(0, "itch50", GROUP, ", vlan = [141]");
    let appliance = Appliance::start(&wire, &config, &[]);
    play(&wire, 0, &market.capture);
    wire.await_received(0, market.packets());
    appliance.signal(Signal::SIGTERM);
    let live = appliance.finish();
    assert_eq!((&live["packets"], &live["other_packets"]), (&0.into(), &0.into()));
    let steering = &live["intake"]["steering"][0];
    assert_eq!(steering["steered"], 0);
    assert!(steering["passed"].as_u64().unwrap() >= market.packets());
}

#[test]
fn the_iex_capture_in_native_mode() {
    let Some(live) = run_deep("") else { return };
    assert_steered(&live, "native", 5_000);
    assert_latencies(&live, 5_000);
}

#[test]
fn the_iex_capture_in_generic_mode() {
    let Some(live) = run_deep("xdp_mode = \"generic\"") else { return };
    assert_steered(&live, "generic", 5_000);
}

#[test]
fn the_iex_capture_through_udp_sockets() {
    run_deep("source = \"socket\"");
}

/// Every packet has its time to the worker, and every packet with something for a shard the two
/// times behind it.
fn assert_latencies(live: &Value, packets: u64) {
    assert_stages(live, packets, &["worker→shard", "shard→published"]);
}

/// The same where one thread does both.
fn assert_inline_latencies(live: &Value, packets: u64) {
    assert_stages(live, packets, &["worker→published"]);
    let stages = live["latency"]["stages"].as_array().unwrap();
    let is_of_rings = |stage: &Value| stage["stage"].as_str().unwrap().contains("shard");
    assert!(!stages.iter().any(is_of_rings), "{stages:?}");
}

fn assert_stages(live: &Value, packets: u64, behind: &[&str]) {
    let stages = live["latency"]["stages"].as_array().unwrap();
    let count = |name: &str| {
        let stage = stages.iter().find(|stage| stage["stage"] == name).unwrap();
        let count = stage["count"].as_u64().unwrap();
        let [low, middle, high] =
            ["min_ns", "p50_ns", "max_ns"].map(|q| stage[q].as_u64().unwrap());
        assert!(low <= middle && middle <= high && high > 0, "{stage}");
        assert_eq!(stage["saturated"], 0, "{stage}");
        count
    };
    assert_eq!(count("wire→worker"), packets);
    let said_something = live["book_counters"]["packets"].as_u64().unwrap();
    assert!(said_something > packets / 3, "{said_something} of {packets}");
    for stage in behind {
        assert_eq!(count(stage), said_something, "{stage}");
    }
}

#[test]
fn two_queues_of_one_worker() {
    let Some(wire) = wire(1, 2) else { return };
    // The sender's queue, and with it ours, follows the flow: one of these goes to each queue.
    let (first, second) = flows_of_both_queues(&wire);
    let config = config("").replace("\"rx0\"", "\"rx0\", queues = [0, 1]")
        + &channel(0, "itch50", GROUP, "")
        + &channel(0, "itch50", OTHER_GROUP, "").replace("\"c0\"", "\"c1\"");
    let appliance = Appliance::start(&wire, &config, &["--until-end-of-session"]);
    std::thread::scope(|scope| {
        scope.spawn(|| play(&wire, 0, &first.capture));
        play(&wire, 0, &second.capture);
    });
    let live = appliance.finish();
    assert_eq!(live["intake"]["sockets"].as_array().unwrap().len(), 2);
    assert_steered(&live, "native", first.packets() + second.packets());
    assert_same(&live, &replay_by_config(&config, &[&first.capture, &second.capture]));
}

/// Two markets, to each group one, of which each fills one queue: found by serving queue 0 alone.
fn flows_of_both_queues(wire: &Pair) -> (Market, Market) {
    let (mut first, mut second) = (None, None);
    let mut sent = 0;
    for port in 30_001..30_040 {
        let group = if first.is_none() { GROUP } else { OTHER_GROUP };
        let mut line = Line::new(group.parse().unwrap());
        line.source.set_port(port);
        let market = Market::new(u64::from(port), &line);
        let config = config("") + &channel(0, "itch50", group, "");
        let appliance = Appliance::start(wire, &config, &[]);
        play(wire, 0, &market.capture);
        sent += market.packets();
        wire.await_received(0, sent);
        appliance.signal(Signal::SIGTERM);
        let live = appliance.finish();
        let steering = &live["intake"]["steering"][0];
        match (steering["steered"].as_u64(), steering["no_socket"].as_u64()) {
            // A queue that no socket serves is the kernel's, and counted.
            (Some(0), Some(left)) if left == market.packets() && first.is_some() => {
                second = Some(market);
            }
            (Some(served), Some(0)) if served == market.packets() && first.is_none() => {
                first = Some(market);
            }
            (Some(served), Some(left)) => assert_eq!(served + left, market.packets()),
            counters => panic!("{counters:?}"),
        }
        if let (Some(_), Some(_)) = (&first, &second) {
            break;
        }
    }
    (first.unwrap(), second.unwrap())
}

/// The replay of these captures with the lines of the live run's configuration.
fn replay_by_config(config: &str, captures: &[&Path]) -> Value {
    let folder = folder();
    let config = write(&folder, "wirebook.toml", config);
    let mut arguments: Vec<&str> = captures.iter().map(|file| file.to_str().unwrap()).collect();
    arguments.extend(["--config", config.to_str().unwrap()]);
    replay(&arguments)
}

#[test]
fn two_workers_and_two_shards() {
    let Some(wire) = wire(2, 1) else { return };
    let markets = [(GROUP, 41), (OTHER_GROUP, 42)]
        .map(|(group, seed)| Market::new(seed, &Line::new(group.parse().unwrap())));
    let shard = "[[shard]]\nidle = \"poll\"\n";
    let config = [
        SMALL,
        &worker(0, ""),
        &worker(1, ""),
        shard,
        shard,
        &channel(0, "itch50", GROUP, ""),
        &channel(1, "itch50", OTHER_GROUP, ""),
    ]
    .concat();
    let appliance = Appliance::start(&wire, &config, &["--until-end-of-session"]);
    std::thread::scope(|scope| {
        scope.spawn(|| play(&wire, 0, &markets[0].capture));
        play(&wire, 1, &markets[1].capture);
    });
    let live = appliance.finish();
    assert_same(&live, &replay_by_config(&config, &[&markets[0].capture, &markets[1].capture]));
    assert_latencies(&live, markets[0].packets() + markets[1].packets());
    let steering = live["intake"]["steering"].as_array().unwrap();
    let steered: Vec<_> = steering.iter().map(|one| one["steered"].as_u64().unwrap()).collect();
    assert_eq!(steered, [markets[0].packets(), markets[1].packets()]);
}

/// Every machine of every instrument ends as a replay on one thread makes it.
#[test]
fn machines_on_two_shards() {
    let Some(wire) = wire(1, 1) else { return };
    let market = Market::new(45, &Line::new(GROUP.parse().unwrap()));
    let machines = "[machines]\ninterval_ms = 10\nrun = [\"trading-status\", \"ohlcv-1s\", \
        \"ohlcv-1m\", \"ohlcv-1h\", \"ohlcv-1d\", \"auction\", \"trades\", \"statistics\"]\n\
        [check]\nshadow = [\"WB001\"]\n";
    let limits = SMALL.replace("instruments = 16384", "instruments = 64");
    let shard = "[[shard]]\nidle = \"poll\"\n";
    let channel = channel(0, "itch50", GROUP, "");
    let config = [&limits, machines, &worker(0, ""), shard, shard, &channel].concat();
    let appliance = Appliance::start(&wire, &config, &["--until-end-of-session"]);
    play(&wire, 0, &market.capture);
    let live = appliance.finish();
    let replayed = replay_by_config(&config, &[&market.capture]);
    assert_eq!(live["digest"], replayed["digest"]);
    let [live, replayed] = [&live, &replayed].map(|run| &run["supervision"]);
    assert_eq!(live["machines"], replayed["machines"]);
    assert_eq!(live["machines"].as_object().unwrap().len(), 8);
    assert_eq!(live["check"], replayed["check"]);
    assert!(live["check"]["comparisons"].as_u64().unwrap() > 100, "{live}");
    assert_eq!(live["check"]["differences"], 0);
}

#[test]
fn both_lines_of_a_channel_make_one_channel() {
    let Some(wire) = wire(1, 1) else { return };
    let a = Market::new(43, &Line::new(GROUP.parse().unwrap()));
    let b = Market::new(43, &Line::new(OTHER_GROUP.parse().unwrap()));
    // Line A loses some packets, line B others; each packet comes at least once, and in order.
    let lost = |line: usize, at: usize| at % 10 == 3 + 4 * line;
    let frames: Vec<_> = (a.simulated.frames.iter().zip(&b.simulated.frames).enumerate())
        .flat_map(|(at, (a, b))| {
            let copies = [(0, a), (1, b)].into_iter();
            copies.filter(move |(line, _)| !lost(*line, at)).map(|(_, frame)| frame.clone())
        })
        .collect();
    let folder = folder();
    let capture = write(&folder, "lines.pcap", common::pcap_file(&frames));
    let both = format!(
        "{}{}",
        config(""),
        channel(0, "itch50", GROUP, "").replace(
            "26477 }",
            "26477 }, { name = \"B\", interface = \"rx0\", group = \"239.192.12.112\", port = 26478 }"
        )
    );
    let appliance = Appliance::start(&wire, &both, &["--until-end-of-session"]);
    play(&wire, 0, &capture);
    let live = appliance.finish();
    assert_eq!(live["digest"], a.replayed()["digest"]);
    assert_eq!((&live["gaps"], &live["messages"]), (&0.into(), &6_000.into()));
    assert_eq!(live["packets"], frames.len());
    assert!(live["duplicates"].as_u64().unwrap() > 0);
}

#[test]
fn the_generated_market_is_played_live() {
    let Some(wire) = wire(1, 1) else { return };
    let config = config("") + &channel(0, "itch50", GROUP, "");
    // Waits as an appliance on cores of its own does.
    let config = config.replace("idle = \"poll\"", "idle = \"spin-then-yield\"");
    let options = ["--until-end-of-session", "--watch", "WB001,WB002"];
    let appliance = Appliance::start(&wire, &config, &options);
    let market = ["--seed", "44", "--instruments", "10", "--messages", "5000"];
    let on_wire = [&market[..], &["--duration", "2", "--interface", "tx0"]].concat();
    let sent = live::sim(&wire, &on_wire);
    let folder = folder();
    let file = folder.path().join("market.pcap");
    let in_file = [&market[..], &["--duration", "2", "--write", file.to_str().unwrap()]].concat();
    assert_eq!(live::sim(&wire, &in_file)["bytes"], sent["bytes"]);
    let log = within_log(&appliance, "WB002");
    let live = appliance.finish();
    assert_same(&live, &replay(&[file.to_str().unwrap(), "--protocol", "itch50"]));
    assert_eq!(live["packets"], sent["packets"]);
    // Books were seen moving.
    assert!(log.contains("bid size") && log.contains("WB001"), "{log}");
}

/// The log once it holds `word`.
fn within_log(appliance: &Appliance, word: &str) -> String {
    assert!(within(PATIENCE, || appliance.log().contains(word)), "{}", appliance.log());
    appliance.log()
}

#[test]
fn sigusr1_prints_and_both_signals_end() {
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let Some(wire) = wire(1, 1) else { return };
        let config = config("") + &channel(0, "itch50", GROUP, "");
        let mut appliance = Appliance::start(&wire, &config, &[]);
        assert!(wire.describe("rx0").contains("prog/xdp"));
        appliance.signal(Signal::SIGUSR1);
        let log = within_log(&appliance, "shard→published");
        assert!(log.contains("worker 0: ") && log.contains("shard 0: "), "{log}");
        assert!(appliance.is_running());
        appliance.signal(signal);
        assert_eq!(appliance.finish()["packets"], 0);
        assert!(!wire.describe("rx0").contains("prog/xdp"), "{}", wire.describe("rx0"));
    }
}

#[test]
fn sigkill_leaves_no_program_attached() {
    for mode in ["native", "generic"] {
        let Some(wire) = wire(1, 1) else { return };
        let options = format!("xdp_mode = \"{mode}\"");
        let config = config(&options) + &channel(0, "itch50", GROUP, "");
        let mut appliance = Appliance::start(&wire, &config, &[]);
        assert!(wire.describe("rx0").contains("prog/xdp"), "{}", wire.describe("rx0"));
        appliance.signal(Signal::SIGKILL);
        assert_eq!(appliance.wait().code(), None);
        let gone = within(PATIENCE, || !wire.describe("rx0").contains("prog/xdp"));
        assert!(gone, "{mode}: {}", wire.describe("rx0"));
        // The next one finds the interface free.
        let again = Appliance::start(&wire, &config, &[]);
        again.signal(Signal::SIGTERM);
        again.finish();
    }
}
