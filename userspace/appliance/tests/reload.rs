//! SIGHUP in mid-session: channels, lines and servers come, change and go, and a channel that stays
//! the same loses not a packet: its counts and its digest are those of a replay.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;
#[path = "common/live.rs"]
mod live;

use common::{SimulatedMarket, assert_says, folder, replay, write};
use live::net::{Pair, within};
use live::{Appliance, PATIENCE, config, wire};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::sync::atomic::{AtomicBool, Ordering};
use tempfile::TempDir;
use wirebook_client::{Book, Session};
use wirebook_model::{BookState, StaleReason};
use wirebook_simulator::Line;

const STAYS: &str = "239.192.12.111:26477";
const COMES: &str = "239.192.12.112:26478";
const GOES: &str = "239.192.12.113:26479";
const OTHER_LINE: &str = "239.192.12.114:26480";

/// A channel's market, on one group or another.
struct Market {
    name: &'static str,
    simulated: SimulatedMarket,
    folder: TempDir,
}

impl Market {
    fn new(seed: u64, name: &'static str, group: &str) -> Self {
        let line = Line::new(group.parse().unwrap());
        let simulated = SimulatedMarket::on_line(&line, seed, 10, 6_000);
        Self { name, simulated, folder: folder() }
    }

    fn packets(&self) -> u64 {
        self.simulated.frames.len() as u64
    }

    fn send(&self, wire: &Pair, from: u64, to: u64) {
        let frames = &self.simulated.frames[from as usize..to as usize];
        let frames: Vec<_> = frames.iter().map(|(_, frame)| frame.clone()).collect();
        wire.send(0, &frames);
    }

    /// The replay of its capture by this configuration.
    fn replayed(&self, config: &str) -> Value {
        let capture = self.simulated.write(&self.folder, "market.pcap");
        let config = write(&self.folder, "wirebook.toml", config);
        replay(&[capture.to_str().unwrap(), "--config", config.to_str().unwrap()])
    }
}

/// A channel of this name on this group.
fn channel(name: &str, group: &str) -> String {
    live::channel(0, "itch50", group, "").replace("\"c0\"", &format!("{name:?}"))
}

fn configured(options: &str, channels: &[(&str, &str)]) -> String {
    let channels = channels.iter().map(|(name, group)| channel(name, group));
    config(options) + &channels.collect::<String>()
}

/// What a channel has counted, by its number.
fn counted(live: &Value, number: u64) -> &Value {
    let channels = live["channels"].as_array().unwrap();
    channels.iter().find(|channel| channel["channel"] == number).unwrap()
}

/// The books of a channel, by its number, as readers see them.
fn books(session: &Session, number: u8) -> Vec<Book> {
    let mut books = session.books().unwrap();
    books.directory().refresh();
    let ours = |instrument: &&wirebook_client::Instrument| instrument.channel == number;
    let ours: Vec<_> = books.directory().iter().filter(ours).cloned().collect();
    ours.iter().map(|instrument| books.read(instrument).unwrap()).collect()
}

fn are_removed(books: &[Book]) -> bool {
    let is_removed = |book: &Book| {
        book.state() == BookState::Stale
            && book.stale_reason() == Some(StaleReason::Removed)
            && book.bids().is_empty()
            && book.asks().is_empty()
    };
    !books.is_empty() && books.iter().all(is_removed)
}

/// One channel is played the whole time, while others come and go again and again.
fn channels_come_and_go(options: &str) {
    channels_come_and_go_as(options, str::to_owned);
}

fn channels_come_and_go_as(options: &str, handlers: fn(&str) -> String) {
    let configured =
        |options: &str, channels: &[(&str, &str)]| handlers(&configured(options, channels));
    let Some(wire) = wire(1, 1) else { return };
    let stays = Market::new(71, "stays", STAYS);
    let before = configured(options, &[("goes", GOES), ("stays", STAYS)]);
    let others = [
        configured(options, &[("stays", STAYS), ("comes", COMES)]),
        configured(options, &[("stays", STAYS)]),
        configured(options, &[("new", GOES), ("stays", STAYS), ("comes", COMES)]),
    ];
    let appliance = Appliance::start(&wire, &before, &[]);
    let over = AtomicBool::new(false);
    let mut reloads = 0;
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // One by one, so that every reload falls among them.
            for at in 0..stays.packets() {
                stays.send(&wire, at, at + 1);
            }
            over.store(true, Ordering::Relaxed);
        });
        while !over.load(Ordering::Relaxed) && reloads < 60 {
            appliance.reloaded(&others[reloads % others.len()]);
            reloads += 1;
        }
    });
    assert!(reloads > 3, "{reloads} reloads fell into the session");
    appliance.await_packets(stays.packets());
    appliance.signal(Signal::SIGTERM);
    let live = appliance.finish();
    let replayed = stays.replayed(&before);
    for name in ["digest", "messages", "records", "packets", "gaps", "duplicates", "lost_messages"]
    {
        assert_eq!(live[name], replayed[name], "{name}");
    }
    assert_eq!((&live["gaps"], &live["other_packets"]), (&0.into(), &0.into()));
    assert_eq!(counted(&live, 1), counted(&replayed, 1), "{}", stays.name);
}

#[test]
fn channels_come_and_go_with_inline_handlers() {
    channels_come_and_go_as("", live::inline);
}

#[test]
fn channels_come_and_go_in_native_mode() {
    channels_come_and_go("");
}

#[test]
fn channels_come_and_go_in_generic_mode() {
    channels_come_and_go("xdp_mode = \"generic\"");
}

#[test]
fn channels_come_and_go_by_udp_sockets() {
    channels_come_and_go("source = \"socket\"");
}

#[test]
fn books_come_and_go_with_their_channels() {
    for options in ["", "source = \"socket\""] {
        let Some(wire) = wire(1, 1) else { return };
        let goes = Market::new(73, "goes", GOES);
        let comes = Market::new(72, "comes", COMES);
        let before = configured(options, &[("goes", GOES), ("stays", STAYS)]);
        let appliance = Appliance::start(&wire, &before, &[]);
        let session = Session::connect(appliance.socket()).unwrap();
        goes.send(&wire, 0, 200);
        appliance.await_packets(200);
        assert!(within(PATIENCE, || {
            books(&session, 0).iter().any(|book| !book.bids().is_empty())
        }));
        let after = configured(options, &[("stays", STAYS), ("comes", COMES)]);
        appliance.reloaded(&after);
        assert!(within(PATIENCE, || are_removed(&books(&session, 0))), "{}", appliance.log());
        // What is sent to a channel that is gone is nobody's.
        goes.send(&wire, 200, 300);
        comes.send(&wire, 0, comes.packets());
        appliance.await_packets(200 + comes.packets());
        let expected = |book: &Book| comes.simulated.market.expected_book(book.symbol()).unwrap();
        assert!(within(PATIENCE, || {
            let books = books(&session, 2);
            let all_live = books.iter().all(|book| book.state() == BookState::Live);
            all_live
                && books.len() == 10
                && books.iter().all(|book| {
                    let expected = expected(book);
                    let best = |level: &wirebook_simulator::ExpectedLevel| {
                        (i64::from(level.price) * 100_000, level.shares)
                    };
                    let ours = |levels: &[_]| levels.first().copied();
                    let [bid, ask] = [book.bids(), book.asks()].map(|levels| {
                        ours(levels).map(|level: wirebook_client::Level| (level.price, level.size))
                    });
                    bid == expected.bids.first().map(best) && ask == expected.asks.first().map(best)
                })
        }));
        assert!(are_removed(&books(&session, 0)), "still");
        // It comes back under its name, in mid-session: with its books, which are not good yet.
        appliance.reloaded(&before);
        goes.send(&wire, 300, 400);
        appliance.await_packets(300 + comes.packets());
        assert!(within(PATIENCE, || {
            let states: Vec<_> = books(&session, 0).iter().map(Book::state).collect();
            states.iter().all(|state| *state == BookState::Warming)
        }));
        appliance.signal(Signal::SIGTERM);
        let live = appliance.finish();
        assert_eq!(live["packets"], 300 + comes.packets());
    }
}

#[test]
fn a_line_moves_and_another_comes_without_a_gap() {
    for options in ["", "source = \"socket\""] {
        let Some(wire) = wire(1, 1) else { return };
        // The same market on two groups.
        let [first, second] = [STAYS, OTHER_LINE].map(|group| Market::new(74, "stays", group));
        let before = configured(options, &[("stays", STAYS)]);
        let both = before.replace(
            "port = 26477 }",
            "port = 26477 }, { name = \"B\", interface = \"rx0\", group = \"239.192.12.114\", \
             port = 26480 }",
        );
        let moved = configured(options, &[("stays", OTHER_LINE)]);
        let appliance = Appliance::start(&wire, &before, &[]);
        let third = first.packets() / 3;
        first.send(&wire, 0, third);
        appliance.await_packets(third);
        appliance.reloaded(&both);
        first.send(&wire, third, third + 50);
        second.send(&wire, third, 2 * third);
        appliance.await_packets(2 * third + 50);
        appliance.reloaded(&moved);
        // Nobody listens there any more.
        first.send(&wire, third, third + 10);
        second.send(&wire, 2 * third, second.packets());
        appliance.await_packets(first.packets() + 50);
        appliance.signal(Signal::SIGTERM);
        let live = appliance.finish();
        let replayed = first.replayed(&before);
        assert_eq!(live["digest"], replayed["digest"]);
        let counts = ["gaps", "duplicates", "packets"].map(|name| live[name].as_u64().unwrap());
        assert_eq!(counts, [0, 50, first.packets() + 50]);
    }
}

/// A loss is told once, whatever is reloaded afterwards: after the second, the first is not new.
#[test]
fn what_was_told_is_not_told_again() {
    let Some(wire) = wire(1, 1) else { return };
    let stays = Market::new(75, "stays", STAYS);
    let before = configured("", &[("stays", STAYS)]);
    let both = configured("", &[("stays", STAYS), ("comes", COMES)]);
    let appliance = Appliance::start(&wire, &before, &[]);
    let half = stays.packets() / 2;
    let losses = || appliance.log().matches("lost for good").count();
    stays.send(&wire, 0, 100);
    stays.send(&wire, 107, half);
    assert!(within(PATIENCE, || losses() == 1), "{}", appliance.log());
    for config in [&both, &before, &both] {
        appliance.reloaded(config);
    }
    stays.send(&wire, half + 1, stays.packets());
    assert!(within(PATIENCE, || losses() > 1), "{}", appliance.log());
    let told = appliance.log();
    let of: Vec<u64> = (told.lines().filter(|line| line.contains("lost for good")))
        .map(|line| line.split("channel stays: ").nth(1).unwrap().split(' ').next().unwrap())
        .map(|messages| messages.parse().unwrap())
        .collect();
    appliance.signal(Signal::SIGTERM);
    let live = appliance.finish();
    assert_eq!(of.iter().sum::<u64>(), live["lost_messages"].as_u64().unwrap(), "{of:?}: {told}");
    assert_eq!(of.len(), 2, "{told}");
}

#[test]
fn what_cannot_be_taken_is_refused_as_a_whole() {
    let Some(wire) = wire(1, 1) else { return };
    let stays = Market::new(75, "stays", STAYS);
    let before = configured("", &[("stays", STAYS)]);
    let appliance = Appliance::start(&wire, &before, &[]);
    let more = configured("", &[("stays", STAYS), ("comes", COMES)]);
    for (wrong, words) in [
        (more.replace("26478", "0"), ["port", "found 0"]),
        (more.replace("[limits]", "[limits"), ["TOML", "line"]),
        (
            more.replace("ring_size = 8192", "ring_size = 4096"),
            ["needs a restart", "worker \"w0\""],
        ),
        (more.replace("orders = 32768", "orders = 1024"), ["needs a restart", "[limits]"]),
        (more.replacen("itch50", "iex-deep", 1), ["needs a restart", "\"stays\": protocol"]),
        (more.replace("\"comes\"", "\"stays\""), ["needs a restart", "two channels"]),
    ] {
        let told = appliance.reload(&wrong);
        assert_says(&told, &["configuration not reloaded"]);
        assert_says(&told, &words[words.len() - 1..]);
        assert!(!told.contains("reloaded: "), "{told}");
    }
    assert!(within(PATIENCE, || appliance.counter("reload_refused") == Some(6)));
    stays.send(&wire, 0, stays.packets());
    appliance.await_packets(stays.packets());
    appliance.signal(Signal::SIGTERM);
    let live = appliance.finish();
    assert_eq!(live["digest"], stays.replayed(&before)["digest"]);
    assert_eq!(live["channels"].as_array().unwrap().len(), 1);
}

#[test]
fn the_log_level_changes() {
    let Some(wire) = wire(1, 1) else { return };
    let before = configured("", &[("stays", STAYS)]);
    let appliance = Appliance::start(&wire, &before, &[]);
    let level = |level: &str| {
        before.replacen("[limits]", &format!("[log]\nlevel = {level:?}\n[limits]"), 1)
    };
    appliance.reloaded(&level("debug"));
    appliance.reloaded(&before);
    let told = appliance.reload(&level("loud"));
    assert_says(&told, &["expected error, warn, info, debug, trace or off", "loud"]);
    // What is not graver than the level is not said, not even that it was taken.
    appliance.write_and_reload(&level("off"));
    assert!(within(PATIENCE, || appliance.counter("reload_done") == Some(3)));
    let length = appliance.log().len();
    appliance.signal(Signal::SIGHUP);
    assert!(within(PATIENCE, || appliance.counter("reload_done") == Some(4)));
    assert_eq!(appliance.log().len(), length, "{}", appliance.log());
}
