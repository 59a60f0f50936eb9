//! Two network namespaces with veth pairs between them, and frames to send.
//!
//! Everything is made anew for a test and removed when it ends, on failure too.
//! The machine's own interfaces are not touched.
#![allow(unsafe_code, reason = "an AF_PACKET address and one thread's user id have no safe call")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(dead_code, reason = "each test binary uses its part of these helpers")]

use std::fs::File;
use std::net::Ipv4Addr;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use nix::sched::{CloneFlags, setns};
use wirebook_xdp::FrameSender;

pub(crate) const GROUP: Ipv4Addr = Ipv4Addr::new(233, 54, 12, 111);
pub(crate) const PORT: u16 = 26_477;
/// The sender's address, in the subnet of [`Pair::receiver`]'s interfaces.
pub(crate) const SENDER: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 1);

/// Longer than anything here takes on a busy host.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);
/// Frames that are sent at once. A veth pair holds 256 of them, and a busy host leaves them there for
/// a while.
const STEP: usize = 200;

/// A sending and a receiving namespace, joined by veth pairs `tx0`-`rx0`, ….
pub(crate) struct Pair {
    pub(crate) sender: String,
    pub(crate) receiver: String,
}

impl Pair {
    /// Makes `links` pairs of `queues` queues each, or says why it cannot.
    pub(crate) fn new(links: usize, queues: usize) -> Option<Self> {
        Self::with_queues(links, queues, queues)
    }

    pub(crate) fn with_queues(links: usize, tx_queues: usize, rx_queues: usize) -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let id = format!("wbx{}n{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let pair = Self { sender: format!("{id}s"), receiver: format!("{id}r") };
        if let Err(error) = try_ip(&["netns", "add", &pair.sender]) {
            skip(&format!("no network namespaces: {error}"));
            return None;
        }
        ip(&["netns", "add", &pair.receiver]);
        for namespace in [&pair.sender, &pair.receiver] {
            // The kernel's own IPv6 chatter would spoil exact counters.
            inside(namespace, || {
                let _ = std::fs::write("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1");
            });
        }
        for link in 0..links {
            pair.add_link(link, tx_queues, rx_queues);
        }
        Some(pair)
    }

    /// Joins `tx<link>` and `rx<link>`; also in the place of one that was deleted.
    pub(crate) fn add_link(&self, link: usize, tx_queues: usize, rx_queues: usize) {
        let (tx, rx) = (format!("tx{link}"), format!("rx{link}"));
        let (tx_queues, rx_queues) = (tx_queues.to_string(), rx_queues.to_string());
        ip(&[
            "link",
            "add",
            "name",
            &tx,
            "netns",
            &self.sender,
            "numtxqueues",
            &tx_queues,
            "numrxqueues",
            &tx_queues,
            "type",
            "veth",
            "peer",
            "name",
            &rx,
            "netns",
            &self.receiver,
            "numtxqueues",
            &rx_queues,
            "numrxqueues",
            &rx_queues,
        ]);
        let address = format!("10.99.{link}.2/24");
        ip(&["-n", &self.receiver, "address", "add", &address, "dev", &rx]);
        ip(&["-n", &self.sender, "link", "set", &tx, "up"]);
        ip(&["-n", &self.receiver, "link", "set", &rx, "up"]);
        self.await_link(link);
    }

    /// Waits until both ends of a link send. With a carrier alone they need not: a kernel thread gives
    /// them their queues (`linkwatch_do_dev` in net/core/link_watch.c), and until then what is sent
    /// is thrown away (`noop_enqueue` in net/sched/sch_generic.c).
    pub(crate) fn await_link(&self, link: usize) {
        for (namespace, end) in [(&self.sender, "tx"), (&self.receiver, "rx")] {
            let interface = format!("{end}{link}");
            let is_up = || ip(&["-n", namespace, "link", "show", &interface]).contains("state UP");
            assert!(within(PATIENCE, is_up), "{interface} is not up");
        }
    }

    /// Runs `work` in a thread of the receiving namespace.
    pub(crate) fn receiving<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        inside(&self.receiver, work)
    }

    /// Sends frames on `tx<link>` and waits until `rx<link>` has taken them.
    pub(crate) fn send(&self, link: usize, frames: &[Vec<u8>]) {
        inside(&self.sender, || {
            let sender = FrameSender::open(&format!("tx{link}")).unwrap();
            for step in frames.chunks(STEP) {
                let before = self.received(link);
                for frame in step {
                    sender.send(frame).unwrap();
                }
                self.await_received(link, before + step.len() as u64);
            }
        });
    }

    /// Packets that `rx<link>` has taken since it was made.
    pub(crate) fn received(&self, link: usize) -> u64 {
        let name = format!("rx{link}:");
        // Of the namespace of the thread that reads it.
        let devices =
            self.receiving(|| std::fs::read_to_string("/proc/thread-self/net/dev").unwrap());
        let counts = devices.lines().find_map(|line| line.trim().strip_prefix(&name)).unwrap();
        counts.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// Waits until `rx<link>` has taken `packets` packets since it was made.
    pub(crate) fn await_received(&self, link: usize, packets: u64) {
        let mut count = 0;
        let all = within(PATIENCE, || {
            count = self.received(link);
            count >= packets
        });
        assert!(all, "rx{link} took {count} of {packets} packets");
    }

    /// `ip -details link show` of an interface in the receiving namespace.
    pub(crate) fn describe(&self, interface: &str) -> String {
        ip(&["-n", &self.receiver, "-details", "link", "show", "dev", interface])
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        for namespace in [&self.sender, &self.receiver] {
            let _ = try_ip(&["netns", "delete", namespace]);
        }
    }
}

/// Protocol and id of a VLAN tag.
pub(crate) type Tag = (u16, u16);

/// What to put into a UDP frame to [`GROUP`]:[`PORT`].
#[derive(Clone, Default)]
pub(crate) struct Frame<'a> {
    /// The outer first.
    pub(crate) tags: &'a [Tag],
    /// 32-bit words of IPv4 options, all "no operation".
    pub(crate) option_words: usize,
    pub(crate) source_port: u16,
    pub(crate) payload: &'a [u8],
}

impl Frame<'_> {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let group = GROUP.octets();
        let mut frame = vec![1, 0, 0x5e, group[1] & 0x7f, group[2], group[3]];
        frame.extend([2, 0, 0, 0, 0, 1]);
        for (protocol, id) in self.tags {
            frame.extend(protocol.to_be_bytes());
            frame.extend(id.to_be_bytes());
        }
        frame.extend([8, 0]);
        let udp_length = 8 + self.payload.len();
        let mut ip = vec![0x45 + self.option_words as u8, 0];
        ip.extend(((20 + 4 * self.option_words + udp_length) as u16).to_be_bytes());
        ip.extend([0, 1, 0x40, 0, 8, 17, 0, 0]);
        ip.extend(SENDER.octets());
        ip.extend(group);
        ip.extend(vec![1; 4 * self.option_words]);
        let sum = checksum(&ip);
        ip[10..12].copy_from_slice(&sum.to_be_bytes());
        frame.extend(ip);
        frame.extend(self.source_port.to_be_bytes());
        frame.extend(PORT.to_be_bytes());
        frame.extend((udp_length as u16).to_be_bytes());
        // Checksum 0: not computed (RFC 768).
        frame.extend([0, 0]);
        frame.extend(self.payload);
        frame
    }

    pub(crate) fn payload_offset(&self) -> usize {
        14 + 4 * self.tags.len() + 20 + 4 * self.option_words + 8
    }
}

fn checksum(bytes: &[u8]) -> u16 {
    let mut sum: u32 =
        bytes.chunks(2).map(|pair| u32::from(u16::from_be_bytes([pair[0], pair[1]]))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

/// Runs `work` in a thread that has entered `namespace`.
pub(crate) fn inside<T: Send>(namespace: &str, work: impl FnOnce() -> T + Send) -> T {
    in_thread(|| {
        let file = File::open(format!("/run/netns/{namespace}")).unwrap();
        setns(file, CloneFlags::CLONE_NEWNET).unwrap();
        work()
    })
}

/// Runs `work` in a thread that has given up root and every capability.
pub(crate) fn without_rights<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    in_thread(|| {
        const NOBODY: libc::uid_t = 65_534;
        // SAFETY: the bare system call changes this thread alone, by numbers.
        let result = unsafe { libc::syscall(libc::SYS_setresuid, NOBODY, NOBODY, NOBODY) };
        assert_eq!(result, 0);
        work()
    })
}

/// Runs `work` in a thread of its own.
pub(crate) fn in_thread<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| match scope.spawn(work).join() {
        Ok(value) => value,
        Err(panic) => std::panic::resume_unwind(panic),
    })
}

/// Asks until `done` says so; false after `limit`.
pub(crate) fn within(limit: Duration, mut done: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + limit;
    loop {
        if done() {
            return true;
        }
        if Instant::now() > end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

pub(crate) fn unix_ns() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(now.as_nanos()).unwrap()
}

/// Says why a test does nothing, or fails where nothing may be skipped.
pub(crate) fn skip(why: &str) {
    assert!(
        std::env::var_os("WIREBOOK_REQUIRE_PRIVILEGED").is_none_or(|value| value != "1"),
        "must not be skipped: {why}"
    );
    eprintln!("SKIP: {why}");
}

pub(crate) fn ip(arguments: &[&str]) -> String {
    try_ip(arguments).unwrap()
}

fn try_ip(arguments: &[&str]) -> Result<String, String> {
    let output = Command::new("ip")
        .args(arguments)
        .output()
        .map_err(|error| format!("`ip` (package iproute2): {error}"))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        Err(format!("`ip {}`: {error}", arguments.join(" ")))
    }
}
