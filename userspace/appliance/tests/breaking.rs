//! More packets than an appliance takes: where the first is lost, that each is in one count, and that
//! the books say so and come back when the load falls. `scripts/soak --break` raises the rate step by
//! step and prints a table; the tests force each limit, so that it does not depend on the host's speed.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;
#[path = "common/live.rs"]
mod live;
#[allow(dead_code, reason = "the soak judges every book, these tests the last")]
mod load;

use live::Appliance;
use live::net::{PATIENCE, Pair, within};
use load::ledger::Ledger;
use load::{
    Exchange, INSTRUMENTS, LINGER_SECONDS, Server, Setting, channel_state, count, is_settled,
};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::process::Command;
use std::time::Duration;
use wirebook_model::BookState;

const BOTH: [Server; 2] = [Server::Retransmit, Server::Glimpse];

/// Messages of the easy flow.
const MESSAGES: u64 = 24_000;

/// Two lines at a pace that every host takes.
fn easy_flow(messages_a_packet: u16, more: &str) -> Vec<String> {
    words(&format!(
        "--seed 9 --instruments {INSTRUMENTS} --messages {MESSAGES} --duration 8 \
         --linger {LINGER_SECONDS} --messages-a-packet {messages_a_packet} {more}"
    ))
}

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

/// What a run ended with.
struct Outcome {
    ledger: Ledger,
    live: Value,
    /// How long the exchange took to send.
    seconds: f64,
}

/// Waits until every message has its account and the books are live, ends the exchange, stops the
/// appliance, and asserts that every sum holds and that the books are the true ones.
fn end(pair: &Pair, appliance: Appliance, mut exchange: Exchange, messages: u64) -> Outcome {
    let is_over = || is_settled(&appliance, messages) || !exchange.is_running();
    assert!(within(4 * PATIENCE, is_over), "{messages} messages have no account");
    let truth = exchange.finish();
    appliance.signal(Signal::SIGTERM);
    let live = appliance.summary();
    let ledger = Ledger::new(pair, &truth, &live);
    ledger.assert_balanced();
    assert_eq!(live["state_digest"], truth["state_digest"], "{live:#}");
    assert_eq!(live["channels"][0]["state"], "live", "{live:#}");
    assert_eq!(live["lost_in_rings"], 0, "{live:#}");
    Outcome { ledger, live, seconds: truth["seconds"].as_f64().unwrap() }
}

fn await_state(appliance: &Appliance, name: &str, wanted: impl Fn(BookState) -> bool) {
    let is_there = || BookState::from_u8(channel_state(appliance) as u8).is_some_and(&wanted);
    assert!(within(4 * PATIENCE, is_there), "the channel does not become {name}");
}

/// The appliance stands while more packets come than its ring holds, and nobody answers for a while:
/// the books say that they are not right, and are when servers do.
fn overrun(setting: Setting) -> Option<Outcome> {
    let pair = load::wire()?;
    let appliance = Appliance::start(&pair, &setting.config(), &[]);
    let exchange = Exchange::start(&pair, &easy_flow(1, ""));
    let arrived = within(4 * PATIENCE, || pair.received(0) > 500);
    assert!(arrived, "the exchange sends nothing: {}", exchange.log());
    await_state(&appliance, "live", |state| state == BookState::Live);
    load::servers_die(&pair, &BOTH);
    appliance.stop();
    pair.await_received(0, pair.received(0) + 2_000);
    appliance.signal(Signal::SIGCONT);
    await_state(&appliance, "stale", |state| state != BookState::Live);
    load::servers_return(&pair, &BOTH);
    Some(end(&pair, appliance, exchange, MESSAGES))
}

#[test]
fn a_full_ring_is_counted_packet_by_packet_and_healed() {
    let Some(outcome) = overrun(Setting { ring_size: 256, ..Setting::default() }) else { return };
    let Outcome { ledger, live, .. } = outcome;
    assert!(ledger.dropped > 0, "{ledger:#?}");
    assert!(count(&live, "/missing_messages") > 0, "{live:#}");
    assert!(ledger.retransmitted + ledger.in_snapshots + ledger.lost > 0, "{ledger:#?}");
}

#[test]
fn the_smallest_ring_and_frames_for_it_are_counted_and_healed() {
    let Some(outcome) = overrun(Setting { ring_size: 64, ..Setting::default() }) else { return };
    assert!(outcome.ledger.dropped > 1_000, "{:#?}", outcome.ledger);
}

/// What the exchange holds back for two seconds comes at once, and in packets of more messages than
/// the shard's ring has slots, so that the worker must wait.
#[test]
fn a_small_mailbox_holds_the_worker_up_first_and_loses_nothing_untold() {
    let Some(pair) = load::wire() else { return };
    let setting = Setting { mailbox_slots: 64, checks_itself: true, ..Setting::default() };
    let appliance = Appliance::start(&pair, &setting.config(), &[]);
    let exchange = Exchange::start(&pair, &easy_flow(64, "--stall ab:1-3 --lag-us 0,100"));
    let Outcome { ledger, live, .. } = end(&pair, appliance, exchange, MESSAGES);
    assert!(count(&live, "/backpressure") > 0, "{live:#}");
    assert_eq!(ledger.decoded + ledger.dropped, ledger.arrived, "{ledger:#?}");
}

/// A burst by AF_XDP, which does not send again what the interface refuses.
#[test]
fn what_the_interface_refuses_is_counted_by_the_sender() {
    let Some(pair) = load::wire() else { return };
    let appliance = Appliance::start(&pair, &Setting::default().config(), &[]);
    threaded(&pair);
    let exchange = Exchange::start(&pair, &easy_flow(1, "--stall ab:1-3 --send xdp"));
    let Outcome { ledger, .. } = end(&pair, appliance, exchange, MESSAGES);
    assert_eq!(ledger.refused, ledger.tx_dropped, "sender and interface disagree: {ledger:#?}");
}

/// The kernel polls `rx0`, which it does once an XDP program is there, on a thread of its own and not in
/// the sender's system call.
fn threaded(pair: &Pair) {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", &pair.receiver, "sh", "-c"]);
    let done = command.arg("echo 1 > /sys/class/net/rx0/threaded").status().unwrap();
    assert!(done.success(), "no threaded NAPI on rx0");
}

/// Seconds of one step, and packets a second of the first, for each line.
const STEP_SECONDS: u64 = 3;
const FIRST_RATE: u64 = 5_000;
const LAST_RATE: u64 = 640_000;

#[test]
#[ignore = "it takes minutes, and its figures are the host's: scripts/soak --break"]
fn the_rate_is_raised_until_packets_are_lost() {
    println!("packets of one message on two lines, {STEP_SECONDS} s a step; then silence");
    for (title, send, setting) in [
        ("AF_PACKET, which sends again what the link refuses", "frames", Setting::default()),
        ("AF_XDP, which does not", "xdp", Setting::default()),
        ("a shard's ring of 64 slots, books checked", "frames", small_mailbox()),
        ("AF_XDP rings of 64", "frames", Setting { ring_size: 64, ..Setting::default() }),
    ] {
        println!("\n{title}\n{HEAD}");
        let mut rate = FIRST_RATE;
        // The first step that loses, and one more.
        let mut lossy = 0;
        while rate <= LAST_RATE && lossy < 2 {
            let Some(lost) = step(send, setting, rate) else { return };
            lossy += u32::from(lost);
            rate *= 2;
        }
    }
}

fn small_mailbox() -> Setting {
    Setting { mailbox_slots: 64, checks_itself: true, ..Setting::default() }
}

const HEAD: &str = "| asked/s | sent/s | refused | tx_dropped | fill ring empty | RX ring full | \
                    waits for the shard | gap messages | retransmitted | in snapshots | lost | books |";

/// One rate; gives whether packets were lost.
fn step(send: &str, setting: Setting, rate: u64) -> Option<bool> {
    let pair = load::wire()?;
    let appliance = Appliance::start(&pair, &setting.config(), &[]);
    threaded(&pair);
    let options = words(&format!(
        "--seed 9 --instruments {INSTRUMENTS} --messages {} --rate {rate} --duration {STEP_SECONDS} \
         --messages-a-packet 1 --linger {LINGER_SECONDS} --send {send}",
        rate * STEP_SECONDS
    ));
    let mut exchange = Exchange::start(&pair, &options);
    let mut seen = [false; 5];
    let messages = rate * STEP_SECONDS;
    while exchange.is_running() && !is_settled(&appliance, messages) {
        seen[(channel_state(&appliance) as usize).min(4)] = true;
        std::thread::sleep(Duration::from_millis(20));
    }
    let Outcome { ledger, live, seconds } = end(&pair, appliance, exchange, messages);
    let Ledger { delivered, refused, tx_dropped, dropped, ring_full, .. } = ledger;
    let Ledger { retransmitted, in_snapshots, lost, .. } = ledger;
    let states = (0..5_u8).filter(|state| seen[usize::from(*state)]);
    let states: Vec<_> = states.filter_map(BookState::from_u8).map(BookState::name).collect();
    println!(
        "| {} | {:.0} | {refused} | {tx_dropped} | {} | {ring_full} | {} | {} | {retransmitted} | \
         {in_snapshots} | {lost} | {}, at the end live and right |",
        2 * rate,
        delivered as f64 / seconds,
        dropped - ring_full,
        count(&live, "/backpressure"),
        count(&live, "/missing_messages"),
        states.join(" "),
    );
    Some(refused + dropped > 0)
}
