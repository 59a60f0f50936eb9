//! The room: an exchange's namespace and a receiver's, and a veth pair between them.
//!
//! Leaves: two network namespaces that are removed when this is dropped, with all that is in them,
//! and the NAPI thread of the receiving interface. It takes CAP_SYS_ADMIN and CAP_NET_ADMIN, `ip` and
//! `ethtool`. The machine's own interfaces are not touched.
//!
//! **NAPI.** A veth interface receives by NAPI where it has an XDP program, or where GRO is on and its
//! peer does no TSO (`veth_gro_requested`, `veth_skb_is_eligible_for_gro` in drivers/net/veth.c); else
//! in the backlog of the *sender's* core. So that is how the wire is set up for all contestants. NAPI
//! runs where [`Napi`] says.

use super::{PATIENCE, cpu_ns, pin};
use anyhow::{Context, bail, ensure};
use nix::sched::{CloneFlags, setns};
use std::fs::{self, File};
use std::process::Command;
use std::time::{Duration, Instant};

/// Address of the receiving interface, on which sockets join.
pub const ADDRESS: std::net::Ipv4Addr = std::net::Ipv4Addr::new(10, 99, 0, 2);

/// Two namespaces and the wire between them.
pub struct Room {
    /// The exchange's namespace.
    pub exchange: String,
    /// The receiver's namespace.
    pub receiver: String,
    /// The interface on which is sent.
    pub tx: String,
    /// The interface on which is received.
    pub rx: String,
    /// The NAPI thread of `rx`, where NAPI has one.
    pub napi: Option<u32>,
    /// The kernel's number for `tx`, in its namespace.
    pub tx_index: u32,
}

/// Where the receiving interface's NAPI runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Napi {
    /// In a kernel thread (`threaded`, Documentation/networking/napi.rst) on this core.
    Thread(usize),
    /// Where the sender runs, between its batches: a softirq, as veth has it by default.
    Sender,
}

impl Room {
    /// Makes the room.
    ///
    /// # Errors
    /// Says what could not be made, and why.
    pub fn new() -> anyhow::Result<Self> {
        ensure!(
            nix::unistd::geteuid().is_root(),
            "needs root: network namespaces, XDP and threaded NAPI (sudo scripts/bench path)"
        );
        // Of this process alone: a kernel thread is known by its interface's name.
        let id = std::process::id();
        let mut room = Self {
            exchange: format!("wbp-exchange-{id}"),
            receiver: format!("wbp-receiver-{id}"),
            tx: format!("wb{id}t"),
            rx: format!("wb{id}r"),
            napi: None,
            tx_index: 0,
        };
        // From here on a failure drops the room, which removes what is there.
        ip(&["netns", "add", &room.exchange])?;
        ip(&["netns", "add", &room.receiver])?;
        room.lay_wire()?;
        Ok(room)
    }

    /// Lets NAPI run there alone.
    ///
    /// # Errors
    /// Fails where the kernel has no threaded NAPI, and with sched_setaffinity(2)'s.
    pub fn place_napi(&mut self, napi: Napi) -> anyhow::Result<()> {
        let threaded = u8::from(napi != Napi::Sender);
        shell(&self.receiver, &format!("echo {threaded} > /sys/class/net/{}/threaded", self.rx))?;
        self.napi = match napi {
            Napi::Thread(core) => {
                let thread = self.napi_thread()?;
                pin(thread, &[core]).context("the NAPI thread")?;
                Some(thread)
            }
            Napi::Sender => None,
        };
        Ok(())
    }

    /// Processor time of the NAPI thread; 0 where there is none.
    ///
    /// # Errors
    /// Fails where it is gone.
    pub fn napi_ns(&self) -> nix::Result<u64> {
        self.napi.map_or(Ok(0), cpu_ns)
    }

    /// XDP frames that the wire's ring had no room for, so far (`xdp_xmit_errors`).
    ///
    /// # Errors
    /// Fails where ethtool does.
    pub fn refused(&self) -> anyhow::Result<u64> {
        let counters = ip(&["netns", "exec", &self.exchange, "ethtool", "-S", &self.tx])?;
        let mut lines = counters.lines().filter_map(|line| line.trim().split_once(": "));
        let found = lines.find(|(name, _)| *name == "tx_queue_0_xdp_xmit_errors");
        let (_, count) = found.with_context(|| format!("no count of errors in {counters}"))?;
        Ok(count.parse()?)
    }

    /// Lets the receiving interface put interrupts off for so long after it was polled, so that NAPI
    /// takes several packets in a turn (Documentation/networking/napi.rst, "software IRQ coalescing").
    ///
    /// # Errors
    /// Fails where the kernel has no such setting.
    pub fn defer_interrupts(&self, microseconds: u64) -> anyhow::Result<()> {
        let place = format!("/sys/class/net/{}", self.rx);
        let (defer, flush_ns) = (u64::from(microseconds > 0), microseconds * 1_000);
        let line = format!(
            "echo {defer} > {place}/napi_defer_hard_irqs; echo {flush_ns} > {place}/gro_flush_timeout"
        );
        shell(&self.receiver, &format!("set -e; {line}")).map(drop)
    }

    /// A command that runs in the receiver's namespace, with that namespace's `/sys`.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.receiver, program]);
        command
    }

    /// Takes this thread into the exchange's namespace.
    ///
    /// # Errors
    /// setns(2)'s.
    pub fn enter_exchange(&self) -> anyhow::Result<()> {
        let namespace = File::open(format!("/run/netns/{}", self.exchange))?;
        Ok(setns(namespace, CloneFlags::CLONE_NEWNET)?)
    }

    fn lay_wire(&mut self) -> anyhow::Result<()> {
        for namespace in [&self.exchange, &self.receiver] {
            // The kernel's own IPv6 chatter would be counted.
            let file = "/proc/sys/net/ipv6/conf/default/disable_ipv6";
            shell(namespace, &format!("echo 1 > {file} || true"))?;
        }
        let Self { exchange, receiver, tx, rx, .. } = self;
        ip(&[
            "link",
            "add",
            "name",
            tx,
            "netns",
            exchange,
            "numtxqueues",
            "1",
            "numrxqueues",
            "1",
            "type",
            "veth",
            "peer",
            "name",
            rx,
            "netns",
            receiver,
            "numtxqueues",
            "1",
            "numrxqueues",
            "1",
        ])?;
        ip(&["-n", receiver, "address", "add", &format!("{ADDRESS}/24"), "dev", rx])?;
        ip(&["-n", exchange, "link", "set", tx, "up"])?;
        ip(&["-n", receiver, "link", "set", rx, "up"])?;
        // The exchange's address is not of this subnet: ordinary sockets must take it too.
        let line =
            format!("for i in all {rx}; do echo 0 > /proc/sys/net/ipv4/conf/$i/rp_filter; done");
        shell(receiver, &line)?;
        ip(&["netns", "exec", exchange, "ethtool", "-K", tx, "tso", "off"])?;
        ip(&["netns", "exec", receiver, "ethtool", "-K", rx, "gro", "on"])?;
        let index = shell(exchange, &format!("cat /sys/class/net/{tx}/ifindex"))?;
        self.tx_index = index.trim().parse().with_context(|| format!("a number, not {index}"))?;
        Ok(())
    }

    /// The id of the NAPI thread, which comes with `threaded`.
    fn napi_thread(&self) -> anyhow::Result<u32> {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if let Some(id) = napi_thread(&self.rx)? {
                return Ok(id);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        bail!("no kernel thread napi/{}-*: expected Linux 5.13 or newer", self.rx);
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        for namespace in [&self.exchange, &self.receiver] {
            // One that was never made is none to remove.
            let _ = ip(&["netns", "delete", namespace]);
        }
    }
}

/// The kernel thread that serves an interface's only queue, `napi/NAME-ID` (net/core/dev.c,
/// `napi_kthread_create`).
fn napi_thread(interface: &str) -> anyhow::Result<Option<u32>> {
    let begins = format!("napi/{interface}-");
    for process in fs::read_dir("/proc")?.flatten() {
        let name = process.file_name();
        let Some(id) = name.to_str().and_then(|name| name.parse().ok()) else { continue };
        // A process may end meanwhile.
        let comm = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
        if comm.starts_with(&begins) {
            return Ok(Some(id));
        }
    }
    Ok(None)
}

/// Runs a line of shell in a namespace.
fn shell(namespace: &str, line: &str) -> anyhow::Result<String> {
    ip(&["netns", "exec", namespace, "sh", "-c", line])
}

/// Runs `ip`, and gives what it says.
fn ip(arguments: &[&str]) -> anyhow::Result<String> {
    let output = Command::new("ip")
        .args(arguments)
        .output()
        .context("ip: packages iproute2 and ethtool are needed")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "ip {}: {}", arguments.join(" "), said.trim());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
