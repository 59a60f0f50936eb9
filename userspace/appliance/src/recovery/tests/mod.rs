//! The recovery thread against servers on 127.0.0.1 that these tests make.

mod config;
mod glimpse;
mod moldudp64;

use super::config::RecoveryConfig;
use super::link::{Answer, Request, WorkerEnd};
use super::{Recovery, RecoveryCounters};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use wirebook_telemetry::probe;
use wirebook_wire::Session;

const NAME: [u8; 10] = *b"000010059B";
const SESSION: Session = Session::MoldUdp64(NAME);

/// Longest wait for something that must come, on a busy host too.
const PATIENCE: Duration = Duration::from_secs(60);

/// Recovery of one channel, served by the test's own thread, and what its worker took.
struct Bench {
    recovery: Recovery,
    worker: WorkerEnd,
    seen: Vec<Seen>,
}

/// An answer without its buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    Packet(Vec<u8>),
    RetransmitFailed(std::ops::Range<u64>),
    Begins,
    Messages(Vec<Vec<u8>>),
    Ends(u64),
    Failed(super::snapshot::SnapshotFailure),
}

impl Bench {
    fn new(config: &RecoveryConfig) -> Self {
        let mut recovery = Recovery::new();
        let worker = recovery.add("channel", config).expect("sockets on this host");
        Self { recovery, worker, seen: Vec::new() }
    }

    /// A bench for the servers of a table as it stands in a configuration.
    fn of(table: &str) -> Self {
        Self::new(&toml::from_str(table).expect("a recovery table"))
    }

    fn ask_again(&mut self, messages: std::ops::Range<u64>) {
        let request = Request::Retransmit { session: SESSION, messages };
        self.worker.request(request).expect("room");
    }

    fn ask_snapshot(&mut self, sequence: u64) {
        self.worker.request(Request::Snapshot { session: SESSION, sequence }).expect("room");
    }

    fn turn(&mut self) {
        self.recovery.wait();
        self.recovery.serve();
    }

    fn take(&mut self) {
        while let Some(answer) = self.worker.take() {
            self.seen.push(match answer {
                Answer::Packet(buffer) => Seen::Packet(buffer.bytes().to_vec()),
                Answer::RetransmitFailed { messages, .. } => Seen::RetransmitFailed(messages),
                Answer::SnapshotBegins { .. } => Seen::Begins,
                Answer::SnapshotMessages(batch) => {
                    Seen::Messages(batch.messages().map(<[u8]>::to_vec).collect())
                }
                Answer::SnapshotEnds { sequence, .. } => Seen::Ends(sequence),
                Answer::SnapshotFailed { failure, .. } => Seen::Failed(failure),
            });
        }
    }

    /// Serves until `is_done`, which must come.
    fn until(&mut self, is_done: impl Fn(&Self) -> bool) {
        let began = Instant::now();
        while !is_done(self) {
            assert!(began.elapsed() < PATIENCE, "{:?}, {:?}", self.seen, self.counters());
            self.turn();
            self.take();
        }
    }

    /// Serves for a while, for what must not come.
    fn meanwhile(&mut self, duration: Duration) {
        let began = Instant::now();
        while began.elapsed() < duration {
            self.turn();
            self.take();
        }
    }

    fn counters(&self) -> RecoveryCounters {
        self.recovery.counters()
    }

    /// The messages of all batches, from the last beginning on.
    fn snapshot_messages(&self) -> Vec<Vec<u8>> {
        let begin = self.seen.iter().rposition(|seen| *seen == Seen::Begins).unwrap_or_default();
        let batches = self.seen[begin..].iter().filter_map(|seen| match seen {
            Seen::Messages(messages) => Some(messages.clone()),
            _ => None,
        });
        batches.flatten().collect()
    }
}

/// Ends a server's thread when the test is over.
struct Stop(Arc<AtomicBool>);

impl Drop for Stop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_channel_without_servers_is_told_so() {
    let mut bench = Bench::of("");
    bench.ask_again(5..9);
    bench.ask_snapshot(9);
    bench.until(|bench| bench.seen.len() == 2);
    let no_server = super::snapshot::SnapshotFailure::NoServer;
    assert_eq!(bench.seen, [Seen::RetransmitFailed(5..9), Seen::Failed(no_server)]);
}

#[test]
fn the_thread_answers_its_probe_and_stops() {
    let mut recovery = Recovery::new();
    let mut worker = recovery.add("channel", &RecoveryConfig::default()).unwrap();
    let (stop, (hot, reader)) = (AtomicBool::new(false), probe());
    std::thread::scope(|scope| {
        scope.spawn(|| recovery.run(&stop, &hot));
        worker.request(Request::Snapshot { session: SESSION, sequence: 1 }).unwrap();
        let began = Instant::now();
        while worker.take().is_none() {
            assert!(began.elapsed() < PATIENCE);
            std::thread::yield_now();
        }
        reader.ask();
        while reader.take().is_none() {
            assert!(began.elapsed() < PATIENCE);
            std::thread::yield_now();
        }
        stop.store(true, Ordering::Relaxed);
    });
    assert_eq!(recovery.channels().map(|(name, _)| name).collect::<Vec<_>>(), ["channel"]);
}
