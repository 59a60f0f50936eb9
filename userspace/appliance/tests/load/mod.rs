//! An exchange and an appliance as programs over veth pairs, for tests that last: the feed on one link
//! alone, so that every frame on it is a packet of a line; the exchange's servers on another.

pub(crate) mod ledger;
pub(crate) mod oracle;

use crate::common;
use crate::live::net::{PATIENCE, Pair, ip, within};
use crate::live::{self, Appliance};
use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;
use serde_json::Value;
use std::fs::{self, File};
use std::process::{Child, Command};
use std::time::Duration;
use tempfile::TempDir;
use wirebook_model::BookState;

/// The exchange's addresses on the second link: one server each, so that one can go without the other.
const RETRANSMIT: &str = "10.99.1.1";
const GLIMPSE: &str = "10.99.1.3";

/// Instruments of the market.
pub(crate) const INSTRUMENTS: u16 = 20;

/// The two links.
pub(crate) fn wire() -> Option<Pair> {
    let pair = live::wire(2, 1)?;
    // The first address of a subnet takes the others with it when it goes.
    for address in [GLIMPSE, RETRANSMIT] {
        give_address(&pair, address);
    }
    Some(pair)
}

fn give_address(pair: &Pair, address: &str) {
    ip(&["-n", &pair.sender, "address", "add", &format!("{address}/24"), "dev", "tx1"]);
}

/// A server of the exchange.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Server {
    Retransmit,
    Glimpse,
}

impl Server {
    fn address(self) -> &'static str {
        match self {
            Self::Retransmit => RETRANSMIT,
            Self::Glimpse => GLIMPSE,
        }
    }
}

/// Servers whose addresses are nobody's for a while: what is sent to them is answered by none.
pub(crate) fn servers_die(pair: &Pair, servers: &[Server]) {
    for server in servers {
        let address = format!("{}/24", server.address());
        ip(&["-n", &pair.sender, "address", "delete", &address, "dev", "tx1"]);
    }
}

/// They are there again.
pub(crate) fn servers_return(pair: &Pair, servers: &[Server]) {
    servers.iter().rev().for_each(|server| give_address(pair, server.address()));
}

/// What is particular about an appliance.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting {
    /// Descriptors of the RX and the fill ring; twice as many frames.
    pub(crate) ring_size: u32,
    /// Slots of the ring from the worker to the shard.
    pub(crate) mailbox_slots: usize,
    /// Every book is compared with a plain one at each event, which takes a shard's time.
    pub(crate) checks_itself: bool,
    /// How long a gap waits for the other line.
    pub(crate) reorder_wait_us: u64,
}

impl Default for Setting {
    fn default() -> Self {
        let (ring_size, mailbox_slots) = (8_192, 4_096);
        Self { ring_size, mailbox_slots, checks_itself: false, reorder_wait_us: 2_000 }
    }
}

impl Setting {
    /// The configuration: lines A and B on `rx0`, recovery by both servers.
    pub(crate) fn config(self) -> String {
        let Self { ring_size, mailbox_slots, checks_itself, reorder_wait_us } = self;
        let line = |name: &str, group: &str| {
            format!(
                "{{ name = \"{name}\", interface = \"rx0\", group = \"{group}\", port = 26477 }}"
            )
        };
        let shadow: Vec<_> = (1..=INSTRUMENTS).map(|n| format!("WB{n:03}")).collect();
        let check =
            if checks_itself { format!("[check]\nshadow = {shadow:?}\n") } else { String::new() };
        let base = live::config("")
            .replace("ring_size = 8192", &format!("ring_size = {ring_size}"))
            .replace("mailbox_slots = 4096", &format!("mailbox_slots = {mailbox_slots}"))
            // A market that lasts keeps more orders than the small ones of other tests.
            .replace("orders = 32768\nlevels = 16384", "orders = 2097152\nlevels = 262144")
            .replace("[limits]", &format!("{check}[limits]"));
        format!(
            "{base}[[channel]]\nname = \"market\"\nprotocol = \"itch50\"\nworker = \"w0\"\n\
             date = \"{}\"\nline = [{}, {}]\n[channel.recovery]\n\
             reorder_wait_us = {reorder_wait_us}\n\
             retransmit = [{{ address = \"{RETRANSMIT}:26500\" }}]\n\
             retransmit_deadline_ms = 2_000\nsnapshot_deadline_ms = 2_000\n\
             snapshot_retry_ms = 500\n\
             snapshot = [{{ address = \"{GLIMPSE}:26600\", username = \"user\", password = \"pass\" }}]\n",
            common::DATE,
            line("A", "239.192.12.111"),
            line("B", "239.192.12.112"),
        )
    }
}

/// A running `wirebook sim --json`; killed when dropped.
pub(crate) struct Exchange {
    child: Child,
    folder: TempDir,
}

impl Exchange {
    /// Starts it on both lines of `tx0` and with both servers.
    pub(crate) fn start(pair: &Pair, options: &[String]) -> Self {
        let folder = common::folder();
        let place = |name: &str| folder.path().join(name);
        let mut command = Command::new("ip");
        command
            .args(["netns", "exec", &pair.sender])
            .arg(common::command::<&str>(&[]).get_program());
        command.args(["sim", "--json", "--interface", "tx0", "--group", "239.192.12.111"]);
        command.args(["--group-b", "239.192.12.112", "--date", common::DATE]);
        command.args(["--retransmit", &format!("{RETRANSMIT}:26500")]);
        command.args(["--glimpse", &format!("{GLIMPSE}:26600")]).args(options);
        command.stdout(File::create(place("out")).unwrap());
        command.stderr(File::create(place("log")).unwrap());
        let child = command.spawn().unwrap();
        Self { child, folder }
    }

    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// What it has written to standard error.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap()
    }

    /// Tells it to go, waits for its end and gives what it printed.
    pub(crate) fn finish(&mut self) -> Value {
        if self.is_running() {
            signal::kill(Pid::from_raw(self.child.id() as i32), Signal::SIGTERM).unwrap();
        }
        let ended = within(PATIENCE, || !self.is_running());
        assert!(ended, "the exchange does not end: {}", self.log());
        let status = self.child.wait().unwrap();
        assert!(status.success(), "{status}: {}", self.log());
        let printed = fs::read_to_string(self.folder.path().join("out")).unwrap();
        serde_json::from_str(&printed).unwrap()
    }

    /// Runs `work` while the exchange stands and nothing is under way on its first link.
    ///
    /// A veth interface that is set down throws away what stands in its ring, and no counter tells.
    pub(crate) fn standing<T>(&self, pair: &Pair, work: impl FnOnce() -> T) -> T {
        live::stop(&self.child);
        let mut before = pair.received(0);
        let quiet = || {
            std::thread::sleep(Duration::from_millis(50));
            let now = pair.received(0);
            std::mem::replace(&mut before, now) == now
        };
        assert!(within(PATIENCE, quiet), "packets come from an exchange that stands");
        let done = work();
        signal::kill(Pid::from_raw(self.child.id() as i32), Signal::SIGCONT).unwrap();
        done
    }
}

/// How long an exchange answers after its session, in seconds: until it is told to go.
pub(crate) const LINGER_SECONDS: u64 = 3_600;

/// True once an appliance has an account of so many messages, and live books: nothing is asked for any
/// more, and the exchange may go.
pub(crate) fn is_settled(appliance: &Appliance, messages: u64) -> bool {
    let accounted = ["messages", "snapshot_messages", "lost_messages"];
    let accounted: u64 = accounted.map(|name| channel_count(appliance, name)).iter().sum();
    accounted >= messages && channel_state(appliance) == BookState::Live as u64
}

impl Drop for Exchange {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The number in `value` at this path of names.
pub(crate) fn count(value: &Value, path: &str) -> u64 {
    value.pointer(path).and_then(Value::as_u64).unwrap_or_else(|| panic!("no {path} in {value:#}"))
}

/// The state of the channel's books, as the segment says.
pub(crate) fn channel_state(appliance: &Appliance) -> u64 {
    appliance.counter("channel_state{channel=\"market\"}").unwrap_or_default()
}

/// A counter of the channel.
pub(crate) fn channel_count(appliance: &Appliance, name: &str) -> u64 {
    appliance.counter(&format!("channel_{name}{{channel=\"market\"}}")).unwrap_or_default()
}
