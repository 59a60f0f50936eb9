//! Where every frame and every message went: sent − received is the sum of what the counters say.
//!
//! Frames: the exchange's own faults take some of what it sends. What it delivers arrives, or is in the
//! sending interface's `tx_dropped`: a veth interface counts there what its peer's ring has no room for
//! (`veth_xmit` in drivers/net/veth.c; the sender is told, and AF_PACKET's sends again), and, without a
//! carrier, what it throws away (`noop_enqueue` in net/sched/sch_generic.c; the sender is not told).
//! What arrives is decoded, or the kernel dropped it for want of room in an AF_XDP ring. Messages: each
//! sequence was applied, was held by a snapshot, or is lost.

use super::count;
use crate::live::net::Pair;
use serde_json::Value;
use std::fs;

/// The counts of one run, by who counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Ledger {
    /// Packets of both lines before any fault.
    pub(crate) sent: u64,
    /// Those that the exchange's faults took away, …
    pub(crate) injected: u64,
    /// … and those that they added: copies.
    pub(crate) copies: u64,
    /// Frames put on the interface.
    pub(crate) delivered: u64,
    /// Of them, refused by the interface for good, by the exchange's own count; and, …
    pub(crate) refused: u64,
    /// … by the same, refused and sent again.
    pub(crate) retried: u64,
    /// `tx_dropped` of the sending interface.
    pub(crate) tx_dropped: u64,
    /// `rx_packets` of the receiving interface.
    pub(crate) arrived: u64,
    /// Dropped by the kernel: `XDP_STATISTICS`.
    pub(crate) dropped: u64,
    /// Of them, for a full RX ring; the rest found no frame in the fill ring.
    pub(crate) ring_full: u64,
    /// Packets at the worker.
    pub(crate) decoded: u64,
    /// Sequences of the session.
    pub(crate) messages: u64,
    /// Messages applied, from lines and retransmissions; …
    pub(crate) applied: u64,
    /// … of them, retransmitted.
    pub(crate) retransmitted: u64,
    /// Held by a snapshot instead.
    pub(crate) in_snapshots: u64,
    /// Brought back by nothing.
    pub(crate) lost: u64,
}

impl Ledger {
    /// What an exchange, an appliance and their link said at the end of a run.
    pub(crate) fn new(pair: &Pair, truth: &Value, live: &Value) -> Self {
        let of_lines = |name: &str| {
            ["A", "B"].map(|line| count(truth, &format!("/lines/{line}/{name}"))).iter().sum()
        };
        let sum = |names: &[&str]| names.iter().map(|name| -> u64 { of_lines(name) }).sum();
        let drops = live["drops"].as_object().unwrap();
        Self {
            sent: of_lines("sent"),
            injected: sum(&["lost", "burst_lost", "dead"]),
            copies: sum(&["duplicated", "repeated"]),
            delivered: of_lines("delivered"),
            refused: count(truth, "/refused"),
            retried: count(truth, "/retried"),
            tx_dropped: tx_dropped(pair),
            arrived: pair.received(0),
            dropped: drops.values().map(|count| count.as_u64().unwrap()).sum(),
            ring_full: count(live, "/drops/rx_ring_full"),
            decoded: count(live, "/packets"),
            messages: count(truth, "/next_sequence") - 1,
            applied: count(live, "/arbitration/applied_messages"),
            retransmitted: count(live, "/arbitration/retransmitted_messages"),
            in_snapshots: count(live, "/arbitration/snapshot_messages"),
            lost: count(live, "/lost_messages"),
        }
    }

    /// Fails where a sum does not hold, and says which.
    pub(crate) fn assert_balanced(&self) {
        let Self { sent, injected, copies, delivered, arrived, dropped, decoded, .. } = *self;
        assert_eq!(
            sent - injected + copies,
            delivered,
            "exchange: sent, faults, delivered: {self:#?}"
        );
        assert_eq!(
            delivered + self.retried,
            arrived + self.tx_dropped,
            "link: delivered, sent again, arrived, tx_dropped: {self:#?}"
        );
        assert_eq!(arrived - dropped, decoded, "rings: arrived, dropped, decoded: {self:#?}");
        let Self { messages, applied, in_snapshots, lost, .. } = *self;
        assert_eq!(messages, applied + in_snapshots + lost, "messages in no count: {self:#?}");
    }

    /// Prints it as the sums that hold.
    pub(crate) fn print(&self) {
        let Self { sent, injected, copies, delivered, retried, tx_dropped, arrived, .. } = self;
        let Self { dropped, ring_full, decoded, messages, applied, retransmitted, .. } = self;
        let Self { in_snapshots, lost, .. } = self;
        println!(
            "packets: {sent} sent − {injected} injected + {copies} copies = {delivered} delivered"
        );
        println!("  + {retried} sent again − {tx_dropped} tx_dropped = {arrived} arrived");
        println!("  − {dropped} dropped ({ring_full} for a full RX ring) = {decoded} decoded");
        println!(
            "messages: {messages} = {applied} applied ({retransmitted} retransmitted) + \
             {in_snapshots} in snapshots + {lost} lost"
        );
    }
}

/// `tx_dropped` of the sending interface since it was made.
fn tx_dropped(pair: &Pair) -> u64 {
    let table = crate::live::net::inside(&pair.sender, || {
        fs::read_to_string("/proc/thread-self/net/dev").unwrap()
    });
    let row = table.lines().find_map(|line| line.trim().strip_prefix("tx0:")).unwrap();
    // The fourth of the eight columns of sending (`dev_seq_printf_stats` in net/core/net-procfs.c).
    row.split_whitespace().nth(11).unwrap().parse().unwrap()
}
