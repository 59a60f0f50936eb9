//! Interfaces that come late, lose their link, or are gone and come back: the appliance brings them
//! in again by itself, and the other interfaces of the same worker lose nothing.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;
#[path = "common/live.rs"]
mod live;

use common::{SimulatedMarket, assert_says, folder, replay};
use live::net::{Pair, inside, ip, within};
use live::{Appliance, PATIENCE, SMALL, channel, config, play, wire};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;
use wirebook_simulator::Line;

const GROUP: &str = "239.192.12.111:26477";
const OTHER_GROUP: &str = "239.192.12.112:26478";

/// A market to one group, and its capture.
struct Market {
    simulated: SimulatedMarket,
    capture: PathBuf,
    _folder: TempDir,
}

impl Market {
    fn new(seed: u64, group: &str) -> Self {
        let folder = folder();
        let line = Line::new(group.parse().unwrap());
        let simulated = SimulatedMarket::on_line(&line, seed, 10, 6_000);
        let capture = simulated.write(&folder, "market.pcap");
        Self { simulated, capture, _folder: folder }
    }

    fn packets(&self) -> u64 {
        self.simulated.frames.len() as u64
    }

    /// Sends its packets from `from` to before `to` on `tx<link>`.
    fn send(&self, wire: &Pair, link: usize, from: u64, to: u64) {
        let frames = &self.simulated.frames[from as usize..to as usize];
        let frames: Vec<_> = frames.iter().map(|(_, frame)| frame.clone()).collect();
        wire.send(link, &frames);
    }

    fn replayed(&self) -> Value {
        replay(&[self.capture.to_str().unwrap(), "--protocol", "itch50"])
    }
}

/// One worker on `rx0` and `rx1`, a channel on each.
fn two_interfaces(options: &str) -> String {
    let worker = format!(
        "[[worker]]\nname = \"w0\"\nidle = \"poll\"\nring_size = 8192\n\
         interface = [{{ name = \"rx0\" }}, {{ name = \"rx1\" }}]\n{options}\n"
    );
    let first = channel(0, "itch50", GROUP, "");
    let second = channel(1, "itch50", OTHER_GROUP, "").replace("\"w1\"", "\"w0\"");
    [SMALL, &worker, "[[shard]]\nidle = \"poll\"\n", &first, &second].concat()
}

/// Waits until a counter of the segment has this value.
fn await_counter(appliance: &Appliance, name: &str, expected: u64) {
    let mut found = None;
    let reached = within(PATIENCE, || {
        found = appliance.counter(name);
        found == Some(expected)
    });
    assert!(reached, "{name} is {found:?}, not {expected}; {}", appliance.log());
}

fn of_interface(name: &str, interface: &str) -> String {
    format!("interface_{name}{{interface=\"{interface}\"}}")
}

fn await_log(appliance: &Appliance, words: &str) {
    assert!(within(PATIENCE, || appliance.log().contains(words)), "{words}: {}", appliance.log());
}

/// Deletes `rx<link>` with its peer, and makes both anew; the new one has another index.
fn remake(wire: &Pair, link: usize, while_gone: impl FnOnce()) {
    ip(&["-n", &wire.receiver, "link", "delete", &format!("rx{link}")]);
    while_gone();
    wire.add_link(link, 1, 1);
    wire.receiving(|| {
        fs::write(format!("/proc/sys/net/ipv4/conf/rx{link}/rp_filter"), "0").unwrap();
    });
}

/// An interface goes in mid-session and comes back, and the other one of the same worker loses
/// nothing.
fn gone_and_back(options: &str) {
    let Some(wire) = wire(2, 1) else { return };
    let (steady, broken) = (Market::new(61, GROUP), Market::new(62, OTHER_GROUP));
    let appliance = Appliance::start(&wire, &two_interfaces(options), &[]);
    let (half, all) = (steady.packets() / 2, steady.packets());
    steady.send(&wire, 0, 0, half);
    broken.send(&wire, 1, 0, 100);
    appliance.await_packets(half + 100);
    let descriptors = appliance.descriptors();
    remake(&wire, 1, || {
        await_log(&appliance, "interface rx1: it is gone");
        await_counter(&appliance, &of_interface("up", "rx1"), 0);
        steady.send(&wire, 0, half, half + 100);
        appliance.await_packets(half + 200);
    });
    await_log(&appliance, "interface rx1 is open after");
    await_counter(&appliance, &of_interface("up", "rx1"), 1);
    await_counter(&appliance, &of_interface("openings", "rx1"), 2);
    await_counter(&appliance, &of_interface("openings", "rx0"), 1);
    // What was sent meanwhile is a gap; what comes now comes.
    broken.send(&wire, 1, 150, 250);
    steady.send(&wire, 0, half + 100, all);
    appliance.await_packets(all + 200);
    // The look at the interfaces has a socket of its own for a moment.
    assert!(within(PATIENCE, || appliance.descriptors() == descriptors), "{}", appliance.log());
    appliance.signal(Signal::SIGTERM);
    let live = appliance.finish();
    let channels = live["channels"].as_array().unwrap();
    assert_eq!(channels[0]["state"], "live");
    assert_eq!(channels[0]["lines"][0]["missing_messages"], 0);
    assert_eq!(channels[0]["lines"][0]["packets"], all);
    assert_ne!(channels[1]["state"], "live", "its gap is not healed by an open interface");
    assert_eq!((&live["gaps"], &live["packets"]), (&1.into(), &(all + 200).into()));
}

#[test]
fn an_interface_gone_and_back_in_native_mode() {
    gone_and_back("");
}

#[test]
fn an_interface_gone_and_back_in_generic_mode() {
    gone_and_back("xdp_mode = \"generic\"");
}

#[test]
fn an_interface_gone_and_back_by_udp_sockets() {
    gone_and_back("source = \"socket\"");
}

/// The link of either side goes and comes back: nothing is opened anew, and packets flow again.
fn link_down_and_up(options: &str, namespace: fn(&Pair) -> &str, interface: &str) {
    let Some(wire) = wire(1, 1) else { return };
    let market = Market::new(63, GROUP);
    let config = config(options) + &channel(0, "itch50", GROUP, "");
    let appliance = Appliance::start(&wire, &config, &["--until-end-of-session"]);
    let half = market.packets() / 2;
    market.send(&wire, 0, 0, half);
    appliance.await_packets(half);
    let set = |how| ip(&["-n", namespace(&wire), "link", "set", interface, how]);
    set("down");
    await_log(&appliance, "interface rx0: the link is down");
    await_counter(&appliance, &of_interface("up", "rx0"), 0);
    let reports = reports_on(&wire, || {
        set("up");
        await_log(&appliance, "interface rx0: the link is up");
    });
    await_counter(&appliance, &of_interface("up", "rx0"), 1);
    await_counter(&appliance, &of_interface("link_changes", "rx0"), 2);
    assert!(reports > 0, "the group was not announced again; {}", appliance.log());
    market.send(&wire, 0, half, market.packets());
    let live = appliance.finish();
    assert_eq!(common::outcome(&live), common::outcome(&market.replayed()));
}

/// IGMP messages that name our group and arrive at `tx0` until `work` is done and one has come.
fn reports_on(wire: &Pair, work: impl FnOnce()) -> usize {
    let socket = inside(&wire.sender, || {
        use socket2::{Domain, Protocol, Socket, Type};
        // Of every interface of the namespace, and there is but one. ETH_P_ALL in network order.
        let all = Protocol::from(i32::from(3_u16.to_be()));
        Socket::new(Domain::PACKET, Type::DGRAM, Some(all)).unwrap()
    });
    socket.set_nonblocking(true).unwrap();
    work();
    let (mut socket, mut packet, mut reports) = (socket, [0; 2_048], 0);
    within(PATIENCE, || {
        use std::io::Read;
        while let Ok(length) = socket.read(&mut packet) {
            let is_igmp = length > 20 && packet[0] >> 4 == 4 && packet[9] == 2;
            let names_it = packet[..length].windows(4).any(|ip| ip == [239, 192, 12, 111]);
            reports += usize::from(is_igmp && names_it);
        }
        reports > 0
    });
    reports
}

#[test]
fn the_interface_is_set_down_and_up() {
    for options in ["", "source = \"socket\""] {
        link_down_and_up(options, |wire| &wire.receiver, "rx0");
    }
}

#[test]
fn the_carrier_is_lost_and_comes_back() {
    for options in ["", "xdp_mode = \"generic\"", "source = \"socket\""] {
        link_down_and_up(options, |wire| &wire.sender, "tx0");
    }
}

#[test]
fn a_carrier_that_is_lost_for_a_moment_is_noticed() {
    let Some(wire) = wire(1, 1) else { return };
    let config = config("") + &channel(0, "itch50", GROUP, "");
    let appliance = Appliance::start(&wire, &config, &[]);
    for flaps in 1..4 {
        let reports = reports_on(&wire, || {
            ip(&["-n", &wire.sender, "link", "set", "tx0", "down"]);
            ip(&["-n", &wire.sender, "link", "set", "tx0", "up"]);
        });
        assert!(reports > 0, "the group was not announced again; {}", appliance.log());
        await_counter(&appliance, &of_interface("link_changes", "rx0"), 2 * flaps);
    }
}

#[test]
fn an_interface_that_comes_late_is_awaited() {
    let Some(wire) = wire(1, 1) else { return };
    let market = Market::new(64, GROUP);
    ip(&["-n", &wire.receiver, "link", "delete", "rx0"]);
    let config = config("") + &channel(0, "itch50", GROUP, "");
    let mut appliance = Appliance::spawn(&wire, &config, &["--until-end-of-session"]);
    await_log(&appliance, "interface rx0: awaited for");
    assert!(!appliance.is_ready() && appliance.is_running());
    wire.add_link(0, 1, 1);
    appliance.await_ready();
    play(&wire, 0, &market.capture);
    let live = appliance.finish();
    assert_eq!(common::outcome(&live), common::outcome(&market.replayed()));
}

#[test]
fn one_of_two_interfaces_is_enough_to_start() {
    let Some(wire) = wire(2, 1) else { return };
    let market = Market::new(65, GROUP);
    ip(&["-n", &wire.receiver, "link", "delete", "rx1"]);
    let config = two_interfaces("").replacen("[limits]", "[intake]\nwait_s = 1\n[limits]", 1);
    let appliance = Appliance::start(&wire, &config, &[]);
    assert_says(&appliance.log(), &["rx1", "awaited"]);
    play(&wire, 0, &market.capture);
    appliance.await_packets(market.packets());
    appliance.signal(Signal::SIGTERM);
    assert_eq!(appliance.finish()["digest"], market.replayed()["digest"]);
}

#[test]
fn no_interface_at_all_is_an_error_after_the_wait() {
    let Some(wire) = wire(1, 1) else { return };
    let config = config("") + &channel(0, "itch50", GROUP, "");
    let config = config.replacen("[limits]", "[intake]\nwait_s = 1\n[limits]", 1);
    let mut appliance = Appliance::spawn(&wire, &config.replace("rx0", "nic7"), &[]);
    assert_eq!(appliance.wait().code(), Some(1));
    assert_says(&appliance.log(), &["within 1 s", "intake.wait_s", "nic7", "not found"]);
}

/// Another process holds the queue for three seconds.
#[test]
fn a_busy_queue_is_awaited() {
    let Some(wire) = wire(1, 1) else { return };
    let market = Market::new(66, GROUP);
    // `wirebook sim --send xdp` binds queue 0 of its interface, here for as long as it lingers.
    let mut holder = Command::new("ip");
    holder.args(["netns", "exec", &wire.receiver, env!("CARGO_BIN_EXE_wirebook")]);
    holder.args(["sim", "--interface", "rx0", "--send", "xdp", "--messages", "2000"]);
    holder.args(["--instruments", "10", "--duration", "3", "--no-digest"]);
    let mut holder = holder.stdout(Stdio::null()).spawn().unwrap();
    // Its first frame: its socket is bound.
    assert!(within(PATIENCE, || sent_by(&wire) > 0));
    // The holder has all of root's capabilities: only who has them too sees what it holds.
    let config =
        config("") + &channel(0, "itch50", GROUP, "") + "[rights]\ndrop_capabilities = false\n";
    let mut appliance = Appliance::spawn(&wire, &config, &["--until-end-of-session"]);
    await_log(&appliance, "another AF_XDP socket holds this queue");
    let who = format!("wirebook (process {})", holder.id());
    assert_says(&appliance.log(), &["AF_XDP sockets are held by", &who]);
    assert!(!appliance.is_ready());
    assert!(holder.wait().unwrap().success());
    appliance.await_ready();
    await_log(&appliance, "interface rx0 is open after");
    let said = appliance.log().matches("interface rx0: awaited").count();
    assert!((1..=3).contains(&said), "said {said} times: {}", appliance.log());
    play(&wire, 0, &market.capture);
    let live = appliance.finish();
    assert_eq!(common::outcome(&live), common::outcome(&market.replayed()));
}

/// Packets that `rx0` has sent.
fn sent_by(wire: &Pair) -> u64 {
    let devices = wire.receiving(|| fs::read_to_string("/proc/thread-self/net/dev").unwrap());
    let counts = devices.lines().find_map(|line| line.trim().strip_prefix("rx0:")).unwrap();
    counts.split_whitespace().nth(9).unwrap().parse().unwrap()
}

#[test]
fn an_appliance_that_was_killed_is_followed_at_once_by_the_next() {
    let Some(wire) = wire(1, 1) else { return };
    let market = Market::new(67, GROUP);
    let config = config("") + &channel(0, "itch50", GROUP, "");
    for _ in 0..3 {
        let mut killed = Appliance::start(&wire, &config, &[]);
        killed.signal(Signal::SIGKILL);
        killed.wait();
    }
    let appliance = Appliance::start(&wire, &config, &["--until-end-of-session"]);
    play(&wire, 0, &market.capture);
    let live = appliance.finish();
    assert_eq!(common::outcome(&live), common::outcome(&market.replayed()));
}

/// What cannot pass by itself is no reason to wait.
#[test]
fn a_missing_queue_is_an_error_at_once() {
    let Some(wire) = wire(1, 1) else { return };
    let config = config("") + &channel(0, "itch50", GROUP, "");
    let config = config.replace("\"rx0\" }]", "\"rx0\", queues = [3] }]");
    let began = std::time::Instant::now();
    let mut appliance = Appliance::spawn(&wire, &config, &[]);
    assert_eq!(appliance.wait().code(), Some(1));
    // Not after `intake.wait_s`.
    assert!(began.elapsed() < Duration::from_secs(25), "{}", appliance.log());
    assert_says(&appliance.log(), &["rx0", "queue 3"]);
}
