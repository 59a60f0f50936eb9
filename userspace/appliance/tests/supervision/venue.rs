//! An exchange, the appliance's stages behind its packets, and a stand-in for the recovery thread.

use crate::PATIENCE;
use crate::common::{MIDNIGHT_NS, market_config};
use crate::model_orders::model_orders;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};
use wirebook::config::Idle;
use wirebook::cycles::Found;
use wirebook::handover::handover;
use wirebook::incidents::incidents;
use wirebook::lines::{ChannelSpec, Lines};
use wirebook::progress::Progress;
use wirebook::recovery::link::{self, Answer, Order, RecoveryEnd, Request};
use wirebook::repair::{RepairCounters, Repairs, demands};
use wirebook::router::Router;
use wirebook::samples::ShardProbes;
use wirebook::shard::Shard;
use wirebook::stages::{Batch, Output, RingMailbox, ShardStage};
use wirebook::stream::StreamHistograms;
use wirebook::worker::Worker;
use wirebook_feed::{Policy, SnapshotPolicy};
use wirebook_machine::{Book, Limits};
use wirebook_model::dbn::{MboMsg, RecordRef};
use wirebook_model::{BookState, RecordSink, StaleReason};
use wirebook_shm::board::BoardReader;
use wirebook_shm::ring::Cursor;
use wirebook_shm::{board, ring};
use wirebook_simulator::{
    Exchange, Market, Messages, Model, ModelOrder, Packet, PacketConfig, Packets,
};
use wirebook_telemetry::{HistogramCollector, StageHistogram, probe};
use wirebook_wire::{Protocol, Session};

pub(crate) const ATTEMPTS_MAX: u32 = 4;
const LIMITS: Limits = Limits { instruments: 16, orders: 50_000, levels: 20_000 };

/// When a sink panics.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cue {
    /// The records that are still to make it panic.
    pub(crate) falls: Arc<AtomicU32>,
    /// Of which instrument; 0 for a record of the whole market.
    pub(crate) instrument_id: Arc<AtomicU32>,
    /// Only a record with one of these flags; any, where it is 0.
    pub(crate) flags: Arc<AtomicU32>,
}

impl Cue {
    pub(crate) fn set(&self, instrument_id: u32, falls: u32, flags: u8) {
        self.instrument_id.store(instrument_id, Ordering::Relaxed);
        self.flags.store(flags.into(), Ordering::Relaxed);
        self.falls.store(falls, Ordering::Relaxed);
    }

    fn is_struck(&self, record: RecordRef<'_>) -> bool {
        let wanted = self.flags.load(Ordering::Relaxed);
        let flags = record.get::<MboMsg>().map_or(0, |record| record.flags.raw());
        let is_it = record.header().instrument_id == self.instrument_id.load(Ordering::Relaxed)
            && (wanted == 0 || u32::from(flags) & wanted != 0);
        is_it && self.falls.load(Ordering::Relaxed) > 0
    }
}

/// Keeps all records, and panics on cue.
#[derive(Default)]
pub(crate) struct Records {
    cue: Cue,
    pub(crate) by_instrument: BTreeMap<u32, Vec<Vec<u8>>>,
}

impl RecordSink for Records {
    fn record(&mut self, record: RecordRef<'_>) {
        if self.cue.is_struck(record) {
            self.cue.falls.fetch_sub(1, Ordering::Relaxed);
            panic!("as the test wants");
        }
        let id = record.header().instrument_id;
        self.by_instrument.entry(id).or_default().push(record.as_ref().to_vec());
    }
}

impl Output for Records {
    fn cursor(&self) -> Cursor {
        Cursor::default()
    }

    fn mark_shown(&self) {}
}

thread_local! {
    /// Whether the next run has the books on the worker's thread.
    static IS_INLINE: Cell<bool> = const { Cell::new(false) };
}

/// Does what a test does, with the books on the worker's thread.
pub(crate) fn inline(test: fn()) {
    IS_INLINE.set(true);
    test();
}

/// From packets to records.
enum Path {
    Ring(Worker<RingMailbox>, Box<ShardStage<Records>>),
    Inline(Worker<ShardStage<Records>>),
}

impl Path {
    fn stage(&self) -> &ShardStage<Records> {
        match self {
            Self::Ring(_, stage) => stage,
            Self::Inline(worker) => worker.mailboxes().next().unwrap(),
        }
    }

    fn payload(&mut self, payload: &[u8], now: u64) {
        match self {
            Self::Ring(worker, _) => worker.payload(0, payload, now, 0),
            Self::Inline(worker) => worker.payload(0, payload, now, 0),
        }
    }

    /// Whatever is under way goes through.
    fn settle(&mut self, now: u64) {
        match self {
            Self::Ring(worker, stage) => {
                worker.tick(now);
                stage.run(&AtomicBool::new(true));
            }
            Self::Inline(worker) => {
                worker.tick(now);
                worker.end_cycle(Found::Nothing);
            }
        }
    }
}

/// What a run is made of.
pub(crate) struct Venue {
    pub(crate) exchange: Exchange,
    packets: Packets<Market>,
    path: Path,
    board: BoardReader,
    pub(crate) recovery: RecoveryEnd,
    pub(crate) cue: Cue,
    /// What the worker takes for the time.
    pub(crate) now: u64,
}

impl Venue {
    /// A channel with snapshot servers.
    pub(crate) fn new(seed: u64, instruments: u16, messages: u64) -> Self {
        let retry_after_ns = Some(1_000_000);
        let snapshot = Some(SnapshotPolicy { deadline_ns: 60_000_000_000, retry_after_ns });
        Self::with(seed, instruments, messages, Policy { snapshot, ..Policy::default() })
    }

    pub(crate) fn with(seed: u64, instruments: u16, messages: u64, policy: Policy) -> Self {
        let config = market_config(seed, instruments, messages);
        let packing = PacketConfig { messages_max: 8, ..PacketConfig::default() };
        let cue = Cue::default();
        let spec = ChannelSpec { policy, ..ChannelSpec::of_protocol(Protocol::Itch50) };
        let mut histograms = HistogramCollector::new();
        let (end, recovery) = link::link();
        let mut end = policy.snapshot.map(|_| end);
        let times = |_: &_| StreamHistograms::new(&mut histograms);
        let lines = Lines::any_destination(spec);
        let demands = demands();
        let repairs = Repairs::new(vec![Some(Arc::clone(&demands))], ATTEMPTS_MAX);
        let records = Records { cue: cue.clone(), ..Records::default() };
        let (board, board_reader) = board::board(LIMITS.instruments);
        let is_inline = IS_INLINE.get();
        let stage = ShardStage {
            mailboxes: Vec::new(),
            shard: Shard::new(LIMITS, records).unwrap().with_repairs(repairs),
            board,
            publishers: [0; 256],
            worker_to_shard: (!is_inline).then(StageHistogram::unheard),
            to_published: StageHistogram::unheard(),
            probes: ShardProbes { shard: probe().0, machines: Vec::new() },
            progress: Progress::default(),
            idle: Idle::SpinThenYield,
            batch: Batch::default(),
            cycles: wirebook::cycles::Cycles::default(),
            changes: handover().1,
            incidents: incidents(0, Vec::new()).0,
            refresh: None,
            waker: None,
        };
        let (limit, end_of) = (LIMITS.instruments, |_: &_| end.take());
        let path = if is_inline {
            let router = Router::new(vec![stage]);
            let worker = Worker::with_recovery(lines, end_of, limit, router, times).unwrap();
            Path::Inline(worker.with_demands(demands))
        } else {
            let (writer, reader) = ring::gated(1 << 14).unwrap();
            let router = Router::new(vec![RingMailbox::new(writer, Arc::default())]);
            let worker = Worker::with_recovery(lines, end_of, limit, router, times).unwrap();
            let stage = ShardStage { mailboxes: vec![reader], ..stage };
            Path::Ring(worker.with_demands(demands), stage.into())
        };
        Self {
            exchange: Exchange::new(packing.session),
            packets: Packets::new(Market::new(config).unwrap(), packing),
            path,
            board: board_reader,
            recovery,
            cue,
            now: 0,
        }
    }

    /// The next packet is said, but does not arrive.
    pub(crate) fn lose(&mut self) -> Option<Packet> {
        let packet = self.packets.next()?;
        self.exchange.publish(&packet).unwrap();
        Some(packet)
    }

    /// So many packets arrive and go all the way; false once there are no more.
    pub(crate) fn play(&mut self, packets: usize) -> bool {
        (0..packets).all(|_| {
            let packet = self.lose();
            packet.inspect(|packet| self.deliver(packet)).is_some()
        })
    }

    pub(crate) fn deliver(&mut self, packet: &Packet) {
        self.now = MIDNIGHT_NS + self.packets.start_ns() + packet.offset_ns;
        self.path.payload(&packet.payload, self.now);
        self.settle();
    }

    /// All packets until `until` holds.
    pub(crate) fn play_until(&mut self, until: impl Fn(&Self) -> bool) {
        while !until(self) {
            assert!(self.play(1), "the market ended before");
        }
    }

    /// Whatever is under way between worker and shard goes through.
    pub(crate) fn settle(&mut self) {
        self.path.settle(self.now);
    }

    /// The next request for a snapshot; `None` where none comes in `patience`.
    pub(crate) fn request_within(&mut self, patience: Duration) -> Option<(Session, u64)> {
        let began = Instant::now();
        loop {
            self.settle();
            while let Some(order) = self.recovery.order() {
                if let Order::Request(Request::Snapshot { session, sequence }) = order {
                    return Some((session, sequence));
                }
            }
            if began.elapsed() > patience {
                return None;
            }
            sleep(Duration::from_millis(1));
        }
    }

    pub(crate) fn request(&mut self) -> (Session, u64) {
        self.request_within(PATIENCE).expect("a snapshot is asked for")
    }

    pub(crate) fn send(&mut self, answer: Answer) {
        self.recovery.send(answer);
        self.settle();
    }

    /// Messages of a snapshot, in batches.
    pub(crate) fn send_messages<'m>(&mut self, messages: impl Iterator<Item = &'m [u8]>) {
        let mut batch = self.recovery.batch().unwrap();
        for message in messages {
            if !batch.push(message) {
                self.send(Answer::SnapshotMessages(batch));
                batch = self.recovery.batch().unwrap();
                assert!(batch.push(message));
            }
        }
        self.send(Answer::SnapshotMessages(batch));
    }

    /// A whole snapshot: what these messages say, up to `sequence`.
    pub(crate) fn answer(&mut self, session: Session, snapshot: &Messages, sequence: u64) {
        self.send(Answer::SnapshotBegins { session });
        self.send_messages(snapshot.iter());
        self.send(Answer::SnapshotEnds { session, sequence });
    }

    /// Answers a request with the books as they are.
    pub(crate) fn answer_now(&mut self) {
        let (session, _) = self.request();
        let (snapshot, sequence) =
            (self.exchange.model().snapshot(), self.exchange.next_sequence());
        self.answer(session, &snapshot, sequence);
    }

    pub(crate) fn counters(&self) -> RepairCounters {
        self.path.stage().shard.repair_counters()
    }

    pub(crate) fn book(&self, id: u32) -> Book<'_> {
        self.path.stage().shard.books().get(0, id).unwrap()
    }

    /// The book is empty and says everywhere why it cannot be trusted.
    pub(crate) fn assert_fallen(&self, id: u32) {
        let book = self.book(id);
        assert_eq!((book.state(), book.stale_reason()), (BookState::Stale, StaleReason::Fault));
        assert_eq!(book.orders().count(), 0);
        let cell = self.board.read(book.number() as usize).unwrap();
        assert_eq!((cell.instrument_id, cell.state), (id, BookState::Stale as u8));
        assert_eq!(cell.stale_reason, StaleReason::Fault as u8);
        assert_eq!(cell.bids[0].size, 0);
    }

    /// The book is the exchange's, order by order, and says that it is live.
    pub(crate) fn assert_true(&self, id: u32) {
        self.assert_is(id, self.exchange.model());
        let book = self.book(id);
        assert_eq!((book.state(), book.stale_reason()), (BookState::Live, StaleReason::None));
        let cell = self.board.read(book.number() as usize).unwrap();
        assert_eq!((cell.state, cell.stale_reason), (BookState::Live as u8, 0));
        assert_eq!(cell.bids[0].price, book.best().0.map_or(cell.bids[0].price, |best| best.price));
    }

    pub(crate) fn assert_all_true(&self) {
        let locates: Vec<u16> = self.exchange.model().locates().filter(|id| *id > 0).collect();
        assert!(locates.len() > 1);
        for locate in locates {
            self.assert_true(locate.into());
        }
        let orders = self.path.stage().shard.books().in_use().orders;
        assert_eq!(orders, self.exchange.model().order_count());
    }

    fn assert_is(&self, id: u32, model: &Model) {
        let expected: Vec<ModelOrder> = model.orders(u16::try_from(id).unwrap()).collect();
        assert_eq!(model_orders(&self.book(id)), expected, "the book of {id}");
    }

    /// Every book but one, and every record of it, is as in a run in which nothing fell.
    pub(crate) fn assert_others_as_in(&self, twin: &Self, fallen: u32) {
        let others = |venue: &Self| {
            let all = venue.path.stage().shard.books().digests();
            let others: Vec<_> = all.filter(|&(_, id, _)| id != fallen).collect();
            others
        };
        assert_eq!(others(self), others(twin));
        for (id, records) in &twin.path.stage().shard.sink().by_instrument {
            if *id != fallen {
                let ours = &self.path.stage().shard.sink().by_instrument[id];
                assert!(ours == records, "records of {id}: {} {}", ours.len(), records.len());
            }
        }
    }
}
