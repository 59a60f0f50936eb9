//! No allocation a packet: a global allocator counts while whole sessions go through the path of a
//! replay, and through the worker's and the shard's halves, with a ring between them and without.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use allocation_counter::measure;
use common::{SimulatedMarket, data};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use wirebook::config::{Config, Idle};
use wirebook::cycles::Found;
use wirebook::handover::handover;
use wirebook::incidents::incidents;
use wirebook::lines::{ChannelSpec, Lines};
use wirebook::published::Published;
use wirebook::recorder::{JournalWriter, PacketWriter};
use wirebook::router::{Mailbox, Router};
use wirebook::samples::{ShardProbes, ShardSample};
use wirebook::shard::Shard;
use wirebook::stages::{Batch, OutputRing, RingMailbox, ShardSink, ShardStage};
use wirebook::stream::{Stream, StreamHistograms, StreamUpdate};
use wirebook::worker::{ChannelChange, Worker};
use wirebook_machine::Limits;
use wirebook_model::Event;
use wirebook_shm::board::{self, BoardReader};
use wirebook_shm::ring::{self, GatingReader, ObservingReader};
use wirebook_telemetry::{HistogramCollector, ProbeReader, probe};
use wirebook_wire::Protocol;

type Frames = Vec<(u64, Vec<u8>)>;

/// A market of more than 200,000 messages.
fn market() -> Frames {
    SimulatedMarket::new(71, 200, 210_000).frames
}

fn deep() -> Option<Frames> {
    Some(common::frames_of(&data("iex/deep-2023-10-02.pcap.gz")?))
}

fn lines(protocol: Protocol) -> Lines {
    Lines::any_destination(ChannelSpec::of_protocol(protocol))
}

const LIMITS: Limits = Limits { instruments: 12_000, orders: 120_000, levels: 60_000 };

/// Asserts that `work` takes and gives back no memory.
fn without_allocation<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let mut result = None;
    let allocated = measure(|| result = Some(work()));
    // One that gives memory back has taken it before, or waits for the allocator's lock.
    assert_eq!((allocated.count_total, allocated.count_current), (0, 0), "allocations in {what}");
    result.expect("the work was done")
}

#[test]
fn the_allocator_notices() {
    let noticed = std::panic::catch_unwind(|| without_allocation("a box", || Box::new(1)));
    assert!(noticed.is_err());
}

#[test]
fn a_replayed_market_allocates_nothing() {
    let worker = replayed(Protocol::Itch50, &market(), 2);
    assert_eq!(worker.counters().messages, 210_000);
    let shards: Vec<_> = worker.into_mailboxes().collect();
    assert!(shards.iter().all(|shard| shard.books().counters().records > 10_000));
}

#[test]
fn the_replayed_iex_capture_allocates_nothing() {
    let Some(frames) = deep() else { return };
    let worker = replayed(Protocol::IexDeep, &frames, 1);
    assert_eq!(worker.counters().messages, 48_325);
}

/// Sends all frames through a worker and its shards on this thread, as a replay does.
fn replayed(protocol: Protocol, frames: &Frames, shards: usize) -> Worker<Shard<()>> {
    let shards = (0..shards).map(|_| Shard::new(LIMITS, ()).unwrap()).collect();
    let mut worker = Worker::new(lines(protocol), LIMITS.instruments, Router::new(shards)).unwrap();
    // The first packet of a day looks its midnight up.
    let (first, rest) = frames.split_first().unwrap();
    worker.frame(&first.1, first.0, 0);
    without_allocation("the replay", || {
        for (ts_recv, frame) in rest {
            worker.frame(frame, *ts_recv, 0);
        }
    });
    worker
}

#[test]
fn a_market_through_rings_allocates_nothing() {
    through_rings(Protocol::Itch50, &market(), 210_000);
}

#[test]
fn the_iex_capture_through_rings_allocates_nothing() {
    let Some(frames) = deep() else { return };
    through_rings(Protocol::IexDeep, &frames, 48_325);
}

const TWO_CHANNELS: &str = r#"
[[worker]]
name = "w"
interface = [{ name = "lo" }]
[[shard]]
[[channel]]
name = "one"
protocol = "itch50"
worker = "w"
line = [{ name = "A", interface = "lo", group = "239.192.12.111", port = 26477 }]
[[channel]]
name = "two"
protocol = "itch50"
worker = "w"
line = [{ name = "A", interface = "lo", group = "239.192.12.112", port = 26477 }]
"#;

/// Takes events to nowhere.
struct Nowhere;

impl Mailbox for Nowhere {
    fn deliver(&mut self, _: &Event) {}
}

#[test]
fn channels_that_come_and_go_allocate_nothing() {
    let spec = |number| ChannelSpec { number, ..ChannelSpec::of_protocol(Protocol::Itch50) };
    let stream = |number| {
        let histograms = StreamHistograms::new(&mut HistogramCollector::new());
        Stream::new(&spec(number), None, histograms, LIMITS.instruments).unwrap()
    };
    let router = Router::new(vec![Nowhere]);
    let mut worker = Worker::new(lines(Protocol::Itch50), LIMITS.instruments, router).unwrap();
    let frames = SimulatedMarket::new(72, 10, 2_000).frames;
    let half = frames.len() / 2;
    frames[..half].iter().for_each(|(ts_recv, frame)| worker.frame(frame, *ts_recv, 0));
    let mut streams = Vec::with_capacity(2);
    streams.push(stream(1));
    let policy = wirebook_feed::Policy { lines: 8, ..spec(0).policy };
    let update = StreamUpdate { number: 0, policy, replaced_lines: 1, servers: Some(None) };
    let folder = common::folder();
    let both = common::write(&folder, "wirebook.toml", TWO_CHANNELS);
    let both = Lines::of_config(&Config::read(&both).unwrap(), None);
    let mut more = ChannelChange { lines: both, streams, updates: vec![update] };
    let less = Lines::any_destination(spec(0));
    let mut less =
        ChannelChange { lines: less, streams: Vec::with_capacity(1), updates: Vec::new() };
    without_allocation("changes of channels", || {
        worker.exchange(&mut more, 0);
        worker.exchange(&mut less, 0);
    });
    assert_eq!(less.streams.iter().map(Stream::number).collect::<Vec<_>>(), [1]);
    frames[half..].iter().for_each(|(ts_recv, frame)| worker.frame(frame, *ts_recv, 0));
    let counters = (worker.counters().messages, worker.samples().next().unwrap().channel.gaps);
    assert_eq!(counters, (2_000, 0));
}

/// A shard as in a live run, with its output ring, board, histograms and probe, and a ring to the
/// recorder; and who looks at what leaves it.
struct Observed {
    stage: ShardStage,
    output: ObservingReader,
    recorded: ObservingReader,
    shown: BoardReader,
    sample: ProbeReader<ShardSample>,
    histograms: HistogramCollector,
}

impl Observed {
    fn shard(mailboxes: Vec<GatingReader>) -> Self {
        let (writer, output) = ring::open(1 << 12).unwrap();
        let (journal, recorded) = ring::open(1 << 12).unwrap();
        let (board, shown) = board::board(LIMITS.instruments);
        let mut histograms = HistogramCollector::new();
        let (probe, sample) = probe();
        let writer = OutputRing::new(writer, Published::default());
        let sink = ShardSink { output: writer, journal: Some(JournalWriter::new(journal)) };
        let crosses_ring = !mailboxes.is_empty();
        let stage = ShardStage {
            mailboxes,
            shard: Shard::new(LIMITS, sink).unwrap(),
            board,
            publishers: [0; 256],
            worker_to_shard: crosses_ring.then(|| histograms.recorder("worker→shard")),
            to_published: histograms.recorder("shard→published"),
            progress: wirebook::progress::Progress::default(),
            probes: ShardProbes { shard: probe, machines: Vec::new() },
            idle: Idle::Spin,
            batch: Batch::default(),
            cycles: wirebook::cycles::Cycles::default(),
            changes: handover().1,
            incidents: incidents(0, Vec::new()).0,
            refresh: None,
            waker: None,
        };
        Self { stage, output, recorded, shown, sample, histograms }
    }
}

/// Takes what the rings hold: records, all of which the recorder has too.
fn taken(output: &mut ObservingReader, recorded: &mut ObservingReader) -> u64 {
    let mut records = 0;
    while let ring::Observed::Record(_) = output.poll() {
        records += 1;
        assert!(matches!(recorded.poll(), ring::Observed::Record(_)));
    }
    records
}

/// Asserts that of the records of all frames but the first enough were seen, and that all was counted.
fn assert_observed(
    taken: u64,
    stage: &ShardStage,
    output: &ObservingReader,
    shown: &BoardReader,
    sample: Option<ShardSample>,
) {
    let counters = *stage.shard.books().counters();
    assert!(taken > counters.records / 2, "{taken} of {}", counters.records);
    assert_eq!((output.overruns(), stage.batch.bad_slots()), (0, 0));
    assert_eq!(sample.unwrap().counters.records, counters.records);
    assert!(shown.read(0).unwrap().state > 0, "the board shows books");
}

/// A worker with the mailbox of a live run, and behind it a shard, turn by turn on one thread, both with
/// their rings to the recorder: only the source and the waiting are left out.
fn through_rings(protocol: Protocol, frames: &Frames, messages: u64) {
    let (writer, reader) = ring::gated(1 << 12).unwrap();
    let mut packets = PacketWriter::new(ring::open(1 << 12).unwrap().0);
    let mailbox = RingMailbox::new(writer, Arc::new(AtomicBool::new(false)));
    let router = Router::new(vec![mailbox]);
    let mut worker = Worker::new(lines(protocol), LIMITS.instruments, router).unwrap();
    let Observed { mut stage, mut output, mut recorded, shown, sample, mut histograms } =
        Observed::shard(vec![reader]);
    // With the stop asked for already, a run is one that empties its mailboxes and returns.
    let stop = AtomicBool::new(true);
    let (first, rest) = frames.split_first().unwrap();
    worker.frame(&first.1, first.0, 0);
    stage.run(&stop);
    taken(&mut output, &mut recorded);
    let records = without_allocation("the stages", || {
        let mut records = 0;
        for (ts_recv, frame) in rest {
            let ts_worker = wirebook::clock::now();
            packets.frame(frame, *ts_recv);
            worker.frame(frame, *ts_recv, ts_worker);
            sample.ask();
            stage.run(&stop);
            records += taken(&mut output, &mut recorded);
        }
        records
    });
    histograms.collect();
    assert_eq!(worker.counters().messages, messages);
    assert_observed(records, &stage, &output, &shown, sample.take());
}

#[test]
fn a_market_with_inline_handlers_allocates_nothing() {
    inline(Protocol::Itch50, &market(), 210_000);
}

#[test]
fn the_iex_capture_with_inline_handlers_allocates_nothing() {
    let Some(frames) = deep() else { return };
    inline(Protocol::IexDeep, &frames, 48_325);
}

/// The same with the books on the worker's thread.
fn inline(protocol: Protocol, frames: &Frames, messages: u64) {
    let Observed { stage, mut output, mut recorded, shown, sample, mut histograms } =
        Observed::shard(Vec::new());
    let mut packets = PacketWriter::new(ring::open(1 << 12).unwrap().0);
    let router = Router::new(vec![stage]);
    let mut worker = Worker::new(lines(protocol), LIMITS.instruments, router).unwrap();
    let (first, rest) = frames.split_first().unwrap();
    worker.frame(&first.1, first.0, 0);
    worker.end_cycle(Found::Some);
    taken(&mut output, &mut recorded);
    let records = without_allocation("the worker with its books", || {
        let mut records = 0;
        for (ts_recv, frame) in rest {
            let ts_worker = wirebook::clock::now();
            packets.frame(frame, *ts_recv);
            sample.ask();
            worker.frame(frame, *ts_recv, ts_worker);
            worker.end_cycle(Found::Some);
            records += taken(&mut output, &mut recorded);
        }
        records
    });
    histograms.collect();
    assert_eq!(worker.counters().messages, messages);
    let stage = worker.mailboxes().next().unwrap();
    assert_observed(records, stage, &output, &shown, sample.take());
}
