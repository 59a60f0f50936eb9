//! Killed at random points, a recording is the beginning of a whole one.

use super::common::{SimulatedMarket, folder};
use super::live::net::{self, Pair, inside};
use super::live::{Appliance, wire};
use super::{GROUP, Received, files, recorded_config, records_of, replay_dir};
use nix::sys::signal::Signal;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tempfile::TempDir;
use wirebook_simulator::Line;
use wirebook_xdp::FrameSender;

const KILLS: u64 = 200;
const FLUSH_NS: u64 = 20_000_000;
/// What a host takes besides.
const SLACK_NS: u64 = 80_000_000;
/// Where the exchange's own thread, which sleeps for a millisecond at a time, has waited longer for its
/// core, the host is busy with other things, and how late the recorder was says nothing of it.
const CALM_NS: u64 = 10_000_000;

#[test]
fn a_killed_recording_is_a_prefix_of_a_whole_one() {
    let Some(wire) = wire(1, 1) else { return };
    let market = SimulatedMarket::on_line(&Line::new(GROUP.parse().unwrap()), 55, 10, 6_000);
    let frames: Vec<Vec<u8>> = market.frames.into_iter().map(|(_, frame)| frame).collect();
    let whole = killed(&wire, &frames, None);
    assert!(whole.records.len() > 6_000, "{}", whole.records.len());
    let mut seed = 0x5eed_u64;
    let (mut calm, mut late, mut lengths) = (0, 0, BTreeSet::new());
    for kill in 0..KILLS {
        // Knuth's MMIX generator: the same places for every run of this test.
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let after = Duration::from_millis((seed >> 33) % 240);
        let found = killed(&wire, &frames, Some(after));
        let length = found.records.len();
        assert!(length <= whole.records.len(), "kill {kill} after {after:?}");
        for (at, (one, all)) in found.records.iter().zip(&whole.records).enumerate() {
            assert!(one.0 == all.0, "kill {kill} after {after:?}: record {at} differs");
        }
        lengths.insert(length);
        // The last thing on the disk was received a flush before the end at most.
        let last = found.records.iter().rev().find_map(|(_, ts)| *ts).unwrap_or(found.first_sent);
        let lost_ns = found.last_sent.saturating_sub(last);
        if found.longest_pause_ns < CALM_NS {
            calm += 1;
            late += u64::from(lost_ns > FLUSH_NS + SLACK_NS);
        }
        if kill % 20 == 0 && length > 0 {
            let replayed = replay_dir(&found.dir, &[]);
            assert_eq!(replayed["input"]["damaged_files"], 0);
            assert_eq!(replayed["messages"], length);
        }
    }
    println!("{} lengths; of {calm} kills on a calm host {late} were late", lengths.len());
    assert!(lengths.len() > 10, "{} different lengths", lengths.len());
    assert!(late <= calm / 10, "{late} of {calm} lost more than a flush interval");
}

/// What was found on the disk after a run.
struct Found {
    records: Vec<Received>,
    /// When frames were sent, first and last before the end.
    first_sent: u64,
    last_sent: u64,
    /// The longest time from one step of sending to the next.
    longest_pause_ns: u64,
    dir: PathBuf,
    _folder: TempDir,
}

/// Records the frames, sent over some 200 ms, and kills the program so long after the first one;
/// `None` lets it end.
fn killed(wire: &Pair, frames: &[Vec<u8>], after: Option<Duration>) -> Found {
    let folder = folder();
    let dir = folder.path().join("recording");
    let config = recorded_config(1, &dir, "flush_ms = 20\nsnapshot_s = 0");
    let appliance = Appliance::start(wire, &config, &[]);
    let (over, last_sent) = (AtomicBool::new(false), AtomicU64::new(0));
    let first_sent = net::unix_ns();
    let longest_pause_ns = std::thread::scope(|scope| {
        let sending = scope.spawn(|| send_over(wire, frames, &over, &last_sent));
        if let Some(after) = after {
            std::thread::sleep(after);
            appliance.signal(Signal::SIGKILL);
            over.store(true, Ordering::Relaxed);
        }
        sending.join().unwrap()
    });
    let last_sent = last_sent.into_inner();
    if after.is_none() {
        appliance.await_packets(frames.len() as u64);
        appliance.signal(Signal::SIGTERM);
        assert_eq!(appliance.finish()["gaps"], 0);
    } else {
        drop(appliance);
    }
    let records = files(&dir, ".dbn.zst").iter().flat_map(|file| records_of(file)).collect();
    Found { records, first_sent, last_sent, longest_pause_ns, dir, _folder: folder }
}

/// Sends all frames at an even pace, until it is over; gives the longest time between two steps.
fn send_over(wire: &Pair, frames: &[Vec<u8>], over: &AtomicBool, last_sent: &AtomicU64) -> u64 {
    inside(&wire.sender, || {
        let sender = FrameSender::open("tx0").unwrap();
        let (mut longest_pause_ns, mut before) = (0, net::unix_ns());
        for step in frames.chunks(frames.len().div_ceil(200)) {
            for frame in step {
                sender.send(frame).unwrap();
            }
            if over.load(Ordering::Relaxed) {
                break;
            }
            let now = net::unix_ns();
            last_sent.store(now, Ordering::Relaxed);
            longest_pause_ns = longest_pause_ns.max(now.saturating_sub(before));
            before = now;
            std::thread::sleep(Duration::from_millis(1));
        }
        longest_pause_ns
    })
}
