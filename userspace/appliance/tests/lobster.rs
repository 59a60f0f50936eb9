//! Real Nasdaq order flow (a LOBSTER sample) as ITCH over MoldUDP64 through the whole path: the ten
//! levels of each of the 999 rows. Once on one thread, and once over a veth pair, AF_XDP, the
//! mailbox and a shard, as another process sees it on the board and in the published records.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;
#[path = "common/live.rs"]
mod live;

use common::lobster::{self, Kind, LEVELS, Step};
use common::plain::Plain;
use dbn::decode::dbn::RecordDecoder;
use dbn::{BidAskPair, MboMsg, Mbp1Msg, Mbp10Msg};
use live::net::{inside, within};
use live::{Appliance, PATIENCE};
use nix::sys::signal::Signal;
use std::cell::RefCell;
use std::rc::Rc;
use wirebook::lines::{ChannelSpec, Lines};
use wirebook::router::{Mailbox, Router};
use wirebook::shard::Shard;
use wirebook::worker::{Worker, WorkerCounters};
use wirebook_machine::{Counters, Level, Limits};
use wirebook_model::price::PER_FOUR_DECIMALS;
use wirebook_model::{Event, Side};
use wirebook_shm::board::CellLevel;
use wirebook_shm::ring::{Observed, ObservingReader};
use wirebook_simulator::{Body, Line, Message, Side as ItchSide};
use wirebook_wire::Protocol;
use wirebook_xdp::FrameSender;

const LOCATE: u16 = 13;
const STOCK: [u8; 8] = *b"AAPL    ";
const GROUP: &str = "239.192.12.111:26477";
/// Midnight in New York on 2012-06-21.
const MIDNIGHT_NS: u64 = 1_340_251_200_000_000_000;

/// What a row shows of one side: price in 1/10,000 and size.
type Shown = Vec<(u32, u64)>;

/// One frame a row: what is made up, then LOBSTER's message; before the first, the directory.
struct Flow {
    steps: Vec<Step>,
    /// Time, bytes, and the sequence of the last message in it.
    frames: Vec<(u64, Vec<u8>, u64)>,
}

impl Flow {
    fn new() -> Option<Self> {
        let steps = lobster::steps()?;
        assert_eq!(steps.len(), 999);
        let line = Line::new(GROUP.parse().unwrap());
        let (mut frames, mut sequence) = (Vec::new(), 1);
        for step in &steps {
            let time_ns = step.message.time_ns;
            let directory = (sequence == 1).then_some(Body::StockDirectory { stock: STOCK });
            let flow = step.made_up.iter().chain([&step.message]).map(body);
            let messages: Vec<Vec<u8>> = directory
                .into_iter()
                .chain(flow)
                .map(|body| {
                    let mut bytes = Vec::new();
                    Message { timestamp_ns: time_ns, stock_locate: LOCATE, body }
                        .encode(&mut bytes);
                    bytes
                })
                .collect();
            let mut frame = Vec::new();
            line.frame(&moldudp64(sequence, &messages), &mut frame);
            sequence += messages.len() as u64;
            frames.push((MIDNIGHT_NS + time_ns, frame, sequence - 1));
        }
        Some(Self { steps, frames })
    }

    fn messages(&self) -> u64 {
        self.frames[998].2
    }
}

fn body(message: &lobster::Message) -> Body {
    let lobster::Message { kind, order_id: reference, size: shares, price, bid, .. } = *message;
    let side = if bid { ItchSide::Buy } else { ItchSide::Sell };
    let match_number = message.time_ns;
    match kind {
        Kind::Add => Body::Add { reference, side, shares, stock: STOCK, price, mpid: None },
        Kind::Cancel => Body::Cancel { reference, shares },
        Kind::Delete => Body::Delete { reference },
        Kind::Execute => Body::Execute { reference, shares, match_number },
        Kind::Hidden => Body::Trade { shares, stock: STOCK, price, match_number },
    }
}

/// A downstream packet (MoldUDP64 1.00).
fn moldudp64(sequence: u64, messages: &[Vec<u8>]) -> Vec<u8> {
    let count = (messages.len() as u16).to_be_bytes();
    let mut payload = [&b"LOBSTER   "[..], &sequence.to_be_bytes(), &count].concat();
    for message in messages {
        payload.extend((message.len() as u16).to_be_bytes());
        payload.extend(message);
    }
    payload
}

fn of_book(levels: impl Iterator<Item = Level>) -> Shown {
    let shown = |level: Level| ((level.price / PER_FOUR_DECIMALS) as u32, level.size);
    levels.take(LEVELS).map(shown).collect()
}

fn of_cell(levels: &[CellLevel]) -> Shown {
    let shown = |level: &CellLevel| ((level.price / PER_FOUR_DECIMALS) as u32, level.size);
    levels[..LEVELS].iter().map(shown).collect()
}

fn of_plain(plain: &Plain, side: Side) -> Shown {
    let shown = |(price, size, _)| ((price / PER_FOUR_DECIMALS) as u32, size);
    plain.levels(side).take(LEVELS).map(shown).collect()
}

/// A shard that can be looked at while its worker goes on.
#[derive(Clone)]
struct Visible(Rc<RefCell<Shard<()>>>);

impl Mailbox for Visible {
    fn deliver(&mut self, event: &Event) {
        self.0.borrow_mut().apply(event);
    }
}

#[test]
fn every_row_is_met_on_one_thread() {
    let Some(flow) = Flow::new() else { return };
    let limits = Limits { instruments: 1, orders: 2_000, levels: 500 };
    let shard = Visible(Rc::new(RefCell::new(Shard::new(limits, ()).unwrap())));
    let lines = Lines::any_destination(ChannelSpec::of_protocol(Protocol::Itch50));
    let mut worker = Worker::new(lines, 1, Router::new(vec![shard.clone()])).unwrap();
    for (at, (step, (time_ns, frame, sequence))) in flow.steps.iter().zip(&flow.frames).enumerate()
    {
        worker.frame(frame, *time_ns, 0);
        let shard = shard.0.borrow();
        let book = shard.books().get(0, LOCATE.into()).unwrap();
        assert_eq!(of_book(book.bids()), step.bids, "bids of row {at}");
        assert_eq!(of_book(book.asks()), step.asks, "asks of row {at}");
        assert_eq!((book.sequence(), book.ts_event()), (*sequence, *time_ns), "row {at}");
    }
    let counters =
        WorkerCounters { packets: 999, messages: flow.messages(), ..WorkerCounters::default() };
    assert_eq!(worker.counters(), counters);
    let shard = shard.0.borrow();
    let Counters { events, packets, records, .. } = *shard.books().counters();
    let clean = Counters { events, packets, records, ..Counters::default() };
    assert_eq!(*shard.books().counters(), clean, "nothing unusual was counted");
}

#[test]
fn every_row_is_met_over_af_xdp() {
    let Some(flow) = Flow::new() else { return };
    let Some(wire) = live::wire(1, 1) else { return };
    let config = live::config("") + &live::channel(0, "itch50", GROUP, "");
    let schemas = "[segment]\nschemas = [\"mbo\", \"mbp-1\", \"mbp-10\"]\n";
    let config = config.replace(common::DATE, "2012-06-21").replacen("[segment]\n", schemas, 1);
    let appliance = Appliance::start(&wire, &config, &[]);
    let segment = appliance.segment();
    let board = segment.board("board-0").unwrap();
    let mut records = segment.observe("output-0").unwrap();
    let mut told = Told::default();

    let sender = inside(&wire.sender, || FrameSender::open("tx0").unwrap());
    for (at, (step, (time_ns, frame, sequence))) in flow.steps.iter().zip(&flow.frames).enumerate()
    {
        sender.send(frame).unwrap();
        let mut cell = None;
        let shown = within(PATIENCE, || {
            cell = board.read(0).ok().filter(|cell| cell.sequence == *sequence);
            cell.is_some()
        });
        assert!(shown, "row {at} never came: {}", appliance.log());
        let cell = cell.unwrap();
        assert_eq!(of_cell(&cell.bids), step.bids, "the board's bids of row {at}");
        assert_eq!(of_cell(&cell.asks), step.asks, "the board's asks of row {at}");
        assert_eq!((cell.ts_event, &cell.symbol[..5]), (*time_ns, &b"AAPL\0"[..]));
        // What the cell shows is published.
        told.keep(&mut records);
        let Told { orders, ten, one } = &told;
        assert_eq!(of_plain(orders, Side::Bid), step.bids, "the records' bids of row {at}");
        assert_eq!(of_plain(orders, Side::Ask), step.asks, "the records' asks of row {at}");
        assert_eq!(*ten, [step.bids, step.asks], "mbp-10 of row {at}");
        assert_eq!(*one, [&step.bids, &step.asks].map(|side| side[..1].to_vec()), "mbp-1 of {at}");
    }
    assert_eq!(records.overruns(), 0);
    appliance.signal(Signal::SIGTERM);
    let summary = appliance.finish();
    assert_eq!(summary["packets"], 999);
    assert_eq!(summary["messages"], flow.messages());
    assert_eq!(summary["digest"], digest(&flow));
    let steering = &summary["intake"]["steering"][0];
    assert_eq!((&steering["mode"], &steering["steered"]), (&"native".into(), &999.into()));
}

/// What the records of each schema have said so far; of levels, bids and asks.
#[derive(Default)]
struct Told {
    orders: Plain,
    ten: [Shown; 2],
    one: [Shown; 2],
}

impl Told {
    /// Takes all records that have come.
    fn keep(&mut self, records: &mut ObservingReader) {
        loop {
            match records.poll() {
                Observed::Empty => return,
                Observed::Overrun { missed_slots } => panic!("{missed_slots} slots missed"),
                Observed::Record(record) => {
                    let mut decoder = RecordDecoder::new(record.bytes());
                    let record = decoder.decode_ref().unwrap().unwrap();
                    if let Some(mbo) = record.get::<MboMsg>() {
                        self.orders.apply_record(mbo);
                    } else if let Some(ten) = record.get::<Mbp10Msg>() {
                        self.ten = of_pairs(&ten.levels);
                    } else if let Some(one) = record.get::<Mbp1Msg>() {
                        self.one = of_pairs(&one.levels);
                    }
                }
            }
        }
    }
}

fn of_pairs(levels: &[BidAskPair]) -> [Shown; 2] {
    let level = |price: i64, size: u32| ((price / PER_FOUR_DECIMALS) as u32, u64::from(size));
    let bids = levels.iter().map(|pair| level(pair.bid_px, pair.bid_sz));
    let asks = levels.iter().map(|pair| level(pair.ask_px, pair.ask_sz));
    [bids.collect(), asks.collect()]
}

/// The digest of the same frames out of a file.
fn digest(flow: &Flow) -> String {
    let folder = common::folder();
    let frames: Vec<_> = flow.frames.iter().map(|(ts, frame, _)| (*ts, frame.clone())).collect();
    let file = common::write(&folder, "lobster.pcap", common::pcap_file(&frames));
    let summary = common::replay(&[file.to_str().unwrap(), "--protocol", "itch50"]);
    summary["digest"].as_str().unwrap().to_owned()
}
