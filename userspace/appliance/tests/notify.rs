//! What the service manager hears of a running appliance: a datagram socket stands in for it.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;
#[path = "common/live.rs"]
mod live;

use common::SimulatedMarket;
use live::net::{Pair, within};
use live::{Appliance, Launcher, PATIENCE, channel, config, play, wire, worker};
use nix::sys::ptrace;
use nix::sys::signal::Signal;
use nix::sys::wait::waitpid;
use nix::unistd::Pid;
use std::cell::RefCell;
use std::fs;
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use wirebook_simulator::Line;

const GROUP: &str = "239.192.12.111:26477";
const OTHER_GROUP: &str = "239.192.12.112:26478";

/// Everything that was told so far, in lines.
struct Manager {
    socket: UnixDatagram,
    told: RefCell<Vec<String>>,
    folder: TempDir,
}

impl Manager {
    fn new() -> Self {
        let folder = common::folder();
        let socket = UnixDatagram::bind(folder.path().join("notify")).unwrap();
        socket.set_nonblocking(true).unwrap();
        Self { socket, told: RefCell::default(), folder }
    }

    /// An appliance that tells it, once packets can be received.
    fn start(&self, wire: &Pair, config: &str, watchdog: &str) -> Appliance {
        let path = self.folder.path().join("notify");
        let socket = format!("NOTIFY_SOCKET={}", path.display());
        let words = ["env", &socket, watchdog];
        let launcher = Launcher { words: &words, user: None };
        let mut appliance = Appliance::spawn_by(wire, &launcher, "run", config, &[]);
        appliance.await_ready();
        appliance
    }

    fn told(&self) -> Vec<String> {
        let mut datagram = [0; 4096];
        while let Ok(length) = self.socket.recv(&mut datagram) {
            let text = String::from_utf8(datagram[..length].to_vec()).unwrap();
            self.told.borrow_mut().extend(text.lines().map(str::to_owned));
        }
        self.told.borrow().clone()
    }

    fn await_line(&self, wanted: &str) {
        let is_told = || self.told().iter().any(|line| line == wanted);
        assert!(within(PATIENCE, is_told), "not told {wanted:?}: {:?}", self.told());
    }

    /// How often the watchdog was fed since this was asked last.
    fn feeds(&self) -> usize {
        let feeds = self.told().iter().filter(|line| *line == "WATCHDOG=1").count();
        self.told.borrow_mut().clear();
        feeds
    }
}

/// Two channels, each with a worker and a link of its own.
fn two_channels() -> String {
    let channels = channel(0, "itch50", GROUP, "") + &channel(1, "itch50", OTHER_GROUP, "");
    config("") + &worker(1, "") + &channels
}

/// Plays a market to a channel; gives how many packets it has.
fn play_to(wire: &Pair, link: usize, group: &str) -> u64 {
    let folder = common::folder();
    let market = SimulatedMarket::on_line(&Line::new(group.parse().unwrap()), 81, 5, 500);
    play(wire, link, &market.write(&folder, "market.pcap"));
    market.frames.len() as u64
}

#[test]
fn it_is_ready_once_every_channel_has_had_a_packet() {
    let Some(wire) = wire(2, 1) else { return };
    let manager = Manager::new();
    let patient = "[supervision]\nready_timeout_s = 3600\n";
    let appliance = manager.start(&wire, &(two_channels() + patient), "A=");
    manager.await_line("STATUS=waiting for the first packet of c0, c1");
    let packets = play_to(&wire, 0, GROUP);
    appliance.await_packets(packets);
    manager.await_line("STATUS=waiting for the first packet of c1");
    assert!(!manager.told().iter().any(|line| line == "READY=1"), "{:?}", manager.told());
    play_to(&wire, 1, OTHER_GROUP);
    manager.await_line("READY=1");
    manager.await_line("STATUS=channels: 2 live");
    appliance.signal(Signal::SIGTERM);
    manager.await_line("STOPPING=1");
    let told = manager.told();
    assert_eq!(told.iter().filter(|line| *line == "READY=1").count(), 1, "{told:?}");
    assert!(!told.iter().any(|line| line == "WATCHDOG=1"), "nobody asked for it: {told:?}");
    appliance.finish();
}

#[test]
fn it_is_ready_without_a_channel_that_stays_silent() {
    let Some(wire) = wire(2, 1) else { return };
    let manager = Manager::new();
    let impatient = "[supervision]\nready_timeout_s = 6\n";
    // All that takes time is done before the six seconds begin.
    let market = SimulatedMarket::on_line(&Line::new(GROUP.parse().unwrap()), 81, 5, 500);
    let frames: Vec<_> = market.frames.into_iter().map(|(_, frame)| frame).collect();
    let appliance = manager.start(&wire, &(two_channels() + impatient), "A=");
    live::send_in_steps(&wire, &appliance, &frames);
    manager.await_line("READY=1");
    manager.await_line("STATUS=channels: 1 live; no packet yet of c1");
    let log = appliance.log();
    assert!(log.contains("no packet yet, after 6 s: ready without it channel=\"c1\""), "{log}");
    assert!(!log.contains("ready without it channel=\"c0\""), "{log}");
    appliance.signal(Signal::SIGTERM);
    appliance.finish();
}

#[test]
fn the_watchdog_is_fed_while_all_threads_move_and_no_longer() {
    let Some(wire) = wire(1, 1) else { return };
    let manager = Manager::new();
    let config = config("") + &channel(0, "itch50", GROUP, "");
    let config = config + "[supervision]\nno_progress_ms = 2000\nready_timeout_s = 0\n";
    let appliance = manager.start(&wire, &config, "WATCHDOG_USEC=400000");
    for name in ["worker-w0", "shard-0"] {
        let fed = Instant::now();
        assert!(within(PATIENCE, || fed.elapsed() > Duration::from_secs(1)));
        assert!(manager.feeds() >= 2, "fed while threads move");
        let thread = thread_named(&appliance, name);
        ptrace::seize(thread, ptrace::Options::empty()).unwrap();
        ptrace::interrupt(thread).unwrap();
        waitpid(thread, Some(nix::sys::wait::WaitPidFlag::__WALL)).unwrap();
        let stands = format!("STATUS={name} stands; no packet yet of c0");
        manager.await_line(&stands);
        manager.feeds();
        let hungry = Instant::now();
        assert!(within(PATIENCE, || hungry.elapsed() > Duration::from_secs(1)));
        assert_eq!(manager.feeds(), 0, "{name} stands");
        ptrace::detach(thread, None).unwrap();
        manager.await_line("WATCHDOG=1");
    }
    appliance.signal(Signal::SIGTERM);
    appliance.finish();
}

/// The thread of this name.
fn thread_named(appliance: &Appliance, name: &str) -> Pid {
    let tasks = fs::read_dir(format!("/proc/{}/task", appliance.id())).unwrap().flatten();
    let is_it = |task: &fs::DirEntry| {
        fs::read_to_string(task.path().join("comm")).is_ok_and(|found| found.trim_end() == name)
    };
    let task = tasks.into_iter().find(is_it).unwrap();
    Pid::from_raw(task.file_name().to_str().unwrap().parse().unwrap())
}
