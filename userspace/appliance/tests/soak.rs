//! An appliance that lives for a while with faults of every kind: `scripts/soak` says for how long, and
//! how fast. Asserts that nothing is lost that no counter tells, that no book is live and wrong, and
//! that memory, descriptors and threads stay what they were.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;
#[path = "common/live.rs"]
mod live;
mod load;
#[path = "soak/readers.rs"]
mod readers;
#[path = "soak/vitals.rs"]
mod vitals;

use live::net::{PATIENCE, Pair, ip, within};
use live::{Appliance, stop};
use load::ledger::Ledger;
use load::oracle::Oracle;
use load::{Exchange, INSTRUMENTS, LINGER_SECONDS, Server, Setting, channel_count, channel_state};
use nix::sys::signal::Signal;
use readers::Readers;
use serde_json::Value;
use std::ops::Range;
use std::time::{Duration, Instant};
use vitals::Vitals;
use wirebook_model::BookState;
use wirebook_simulator::MarketConfig;

/// The faults come again so often.
const CYCLE_SECONDS: u64 = 60;
/// How often a line is printed, and how often books, memory and descriptors are looked at.
const REPORT: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(500);

/// A run lasts so much longer than its session: then all that happens once, as the first reload, is in
/// its first half, with which memory is compared.
const QUIET: Duration = Duration::from_secs(10);

/// When, in thousandths of a cycle, line A is dead, …
const A_DEAD: Range<u64> = 100..200;
/// … line B, …
const B_DEAD: Range<u64> = 250..350;
/// … both, …
const BOTH_DEAD: Range<u64> = 400..405;
/// … and both while the servers are.
const BOTH_DEAD_ALONE: Range<u64> = 500..505;
/// When the servers are dead: of retransmission, in every second cycle those of snapshots too.
const SERVERS_DEAD: Range<u64> = 450..550;
/// When the feed's interface is down.
const INTERFACE_DOWN: Range<u64> = 600..610;
/// When the configuration is read anew.
const RELOADS: [u64; 2] = [700, 730];
/// When a reader is stopped.
const READER_STOPPED: Range<u64> = 750..900;

/// What the environment says of a run.
struct Settings {
    seconds: u64,
    /// Messages a second.
    rate: u64,
    seed: u64,
}

impl Settings {
    fn from_environment() -> Self {
        let number = |name: &str, absent| match std::env::var(name) {
            Ok(value) => value.parse().unwrap_or_else(|_| panic!("{name} is no number: {value:?}")),
            Err(_) => absent,
        };
        Self {
            seconds: number("WIREBOOK_SOAK_SECONDS", 20),
            rate: number("WIREBOOK_SOAK_RATE", 3_000),
            seed: number("WIREBOOK_SOAK_SEED", 1),
        }
    }

    fn market(&self) -> MarketConfig {
        MarketConfig {
            seed: self.seed,
            instruments: INSTRUMENTS,
            messages: self.rate * self.seconds,
            duration_ns: self.seconds * 1_000_000_000,
            ..MarketConfig::default()
        }
    }

    fn cycle_ms(&self) -> u64 {
        CYCLE_SECONDS.min(self.seconds) * 1_000
    }

    /// Faults of the exchange.
    fn exchange(&self) -> Vec<String> {
        let MarketConfig { seed, messages, .. } = self.market();
        let mut options: Vec<String> = format!(
            "--seed {seed} --instruments {INSTRUMENTS} --messages {messages} --duration {} \
             --linger {LINGER_SECONDS} --loss 0.005,0.01 --burst-loss 0.0002:0.2 \
             --reorder 0.005 --reorder-delay-us 1500 --duplicate 0.002 --lag-us 0,150",
            self.seconds
        )
        .split_whitespace()
        .map(str::to_owned)
        .collect();
        let cycles = self.seconds * 1_000 / self.cycle_ms();
        for cycle in 0..cycles {
            let all = [("a", A_DEAD), ("b", B_DEAD), ("ab", BOTH_DEAD), ("ab", BOTH_DEAD_ALONE)];
            for (lines, time) in all {
                let seconds = |part| (cycle * 1_000 + part) as f64 * self.cycle_ms() as f64 / 1e6;
                let (from, to) = (seconds(time.start), seconds(time.end));
                options.extend(["--dead".to_owned(), format!("{lines}:{from:.3}-{to:.3}")]);
            }
        }
        options
    }
}

/// One thing that happens to a running appliance from outside.
#[derive(Clone, Copy, Debug)]
enum Blow {
    ServersDie,
    ServersReturn,
    InterfaceDown,
    InterfaceUp,
    Reload,
    ReaderStops,
    ReaderGoesOn,
}

/// All blows of a cycle, by their time in thousandths of it.
fn blows() -> Vec<(u64, Blow)> {
    let mut blows = vec![
        (SERVERS_DEAD.start, Blow::ServersDie),
        (SERVERS_DEAD.end, Blow::ServersReturn),
        (INTERFACE_DOWN.start, Blow::InterfaceDown),
        (INTERFACE_DOWN.end, Blow::InterfaceUp),
        (READER_STOPPED.start, Blow::ReaderStops),
        (READER_STOPPED.end, Blow::ReaderGoesOn),
    ];
    blows.extend(RELOADS.map(|at| (at, Blow::Reload)));
    blows.sort_by_key(|(at, _)| *at);
    blows
}

/// A run.
struct Soak<'a> {
    settings: &'a Settings,
    pair: &'a Pair,
    appliance: &'a Appliance,
    exchange: Exchange,
    readers: Readers,
    oracle: Oracle,
    vitals: Vitals,
    began: Instant,
    /// Blows dealt so far.
    dealt: usize,
    reloads: u64,
    reported: Instant,
    /// How often the channel was seen in each state.
    states: [u64; 5],
}

impl Soak<'_> {
    /// Until the session is over and every message has its account.
    fn run(&mut self) {
        let least = Duration::from_secs(self.settings.seconds) + QUIET;
        let is_over = |elapsed| {
            let messages = self.settings.market().messages;
            elapsed >= least && load::is_settled(self.appliance, messages)
        };
        while !is_over(self.began.elapsed()) {
            let elapsed = self.began.elapsed();
            assert!(elapsed < least + 8 * PATIENCE, "not settled: {}", self.appliance.log());
            assert!(self.exchange.is_running(), "it has ended: {}", self.exchange.log());
            self.deal(elapsed);
            self.readers.turn();
            self.oracle.judge(self.appliance);
            self.vitals.look(self.began.elapsed());
            let state = channel_state(self.appliance) as usize;
            self.states[state.min(self.states.len() - 1)] += 1;
            if self.reported.elapsed() >= REPORT {
                self.reported = Instant::now();
                self.report();
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Deals each blow whose time has come; the last cycle's come to an end before the session does.
    fn deal(&mut self, elapsed: Duration) {
        let (blows, cycle_ms) = (blows(), self.settings.cycle_ms());
        let cycles = self.settings.seconds * 1_000 / cycle_ms;
        loop {
            let (cycle, number) = ((self.dealt / blows.len()) as u64, self.dealt % blows.len());
            let (at, blow) = blows[number];
            if cycle == cycles
                || elapsed.as_millis() < u128::from((cycle * 1_000 + at) * cycle_ms / 1_000)
            {
                return;
            }
            self.dealt += 1;
            self.blow(blow, cycle);
        }
    }

    fn blow(&mut self, blow: Blow, cycle: u64) {
        let both = [Server::Retransmit, Server::Glimpse];
        let servers = if cycle.is_multiple_of(2) { &both[..1] } else { &both };
        let set = |how: &str| ip(&["-n", &self.pair.receiver, "link", "set", "rx0", how]);
        match blow {
            Blow::ServersDie => load::servers_die(self.pair, servers),
            Blow::ServersReturn => load::servers_return(self.pair, servers),
            Blow::InterfaceDown => {
                self.exchange.standing(self.pair, || set("down"));
            }
            Blow::InterfaceUp => {
                set("up");
            }
            Blow::Reload => {
                self.reloads += 1;
                let reorder_wait_us = 2_000 + 1_000 * (self.reloads % 2);
                let setting = Setting { reorder_wait_us, ..Setting::default() };
                self.appliance.reloaded(&setting.config());
            }
            Blow::ReaderStops => stop(self.readers.steady()),
            Blow::ReaderGoesOn => self.readers.go_on(),
        }
    }

    fn report(&self) {
        let of = |name: &str| channel_count(self.appliance, name);
        let now = self.vitals.now();
        println!(
            "{:>5} s: {} messages, {} gaps, {} retransmitted, {} snapshots, {} lost; {}; {} books \
             right; {} readers gone; {now}",
            self.began.elapsed().as_secs(),
            of("messages"),
            of("gaps"),
            of("retransmitted_messages"),
            of("snapshots"),
            of("lost_messages"),
            BookState::from_u8(channel_state(self.appliance) as u8).map_or("?", BookState::name),
            self.oracle.judged,
            self.readers.gone,
        );
    }
}

#[test]
fn an_appliance_with_faults_of_every_kind_loses_nothing_untold_and_grows_no_more() {
    let settings = Settings::from_environment();
    let Some(pair) = load::wire() else { return };
    let appliance = Appliance::start(&pair, &Setting::default().config(), &[]);
    let readers = Readers::start(&appliance.socket(), settings.seed);
    let exchange = Exchange::start(&pair, &settings.exchange());
    assert!(
        within(8 * PATIENCE, || pair.received(0) > 0),
        "the exchange sends nothing: {}",
        exchange.log()
    );
    let mut soak = Soak {
        settings: &settings,
        pair: &pair,
        appliance: &appliance,
        exchange,
        readers,
        oracle: Oracle::new(settings.market()),
        vitals: Vitals::of(appliance.id()),
        began: Instant::now(),
        dealt: 0,
        reloads: 0,
        reported: Instant::now(),
        states: [0; 5],
    };
    soak.run();
    let truth = soak.exchange.finish();
    let Soak { oracle, mut vitals, readers, states, reloads, .. } = soak;
    let gone = readers.finish();
    vitals.settle();
    assert_whole(&pair, appliance, &truth, &oracle);
    println!(
        "books: {} live and right, {} not judged, {} not live",
        oracle.judged, oracle.passed, oracle.not_live
    );
    for (state, looks) in (0..).zip(states).filter(|(_, looks)| *looks > 0) {
        let name = BookState::from_u8(state).map_or("not told yet", BookState::name);
        println!("channel {name} at {looks} looks");
    }
    println!("{reloads} reloads, {gone} readers that came and went");
    vitals.assert_flat();
}

/// Stops the appliance, and asserts that every sum holds and every book is the true one.
fn assert_whole(pair: &Pair, appliance: Appliance, truth: &Value, oracle: &Oracle) {
    appliance.signal(Signal::SIGTERM);
    let live = appliance.summary();
    let ledger = Ledger::new(pair, truth, &live);
    ledger.print();
    ledger.assert_balanced();
    assert_eq!(live["channels"][0]["state"], "live", "{live:#}");
    assert_eq!(live["state_digest"], truth["state_digest"], "{live:#}");
    assert_eq!(live["lost_in_rings"], 0, "{live:#}");
    println!("state digest {} is the true one", truth["state_digest"]);
    assert!(ledger.injected > 0 && ledger.retransmitted > 0, "no faults: {ledger:#?}");
    assert!(oracle.judged > 0, "no live book was seen");
}
