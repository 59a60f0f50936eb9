//! What each event becomes, case by case.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use common::inverse::mbo;
use dbn::{
    ImbalanceMsg, InstrumentDefMsg, MboMsg, RecordBuf, StatMsg, StatusMsg, UNDEF_PRICE,
    UNDEF_STAT_QUANTITY, UNDEF_TIMESTAMP, flags, rtype,
};
use wirebook_machine::{Books, LastTrade, Limits, QueuePosition};
use wirebook_model::{
    ALL_INSTRUMENTS, BookState, Definition, Event, EventHeader, Imbalance, Packet, Side,
    StaleReason, Statistic, Status, Symbol, VenueEvent,
};

const LIMITS: Limits = Limits { instruments: 8, orders: 100, levels: 100 };
const INSTRUMENT: u32 = 7;
const LAST: u8 = flags::LAST;
const BAD: u8 = flags::MAYBE_BAD_BOOK;

/// A shard under test.
struct Shard {
    books: Books,
    sequence: u64,
}

/// (action, side, order id, price, size, flags) of a record.
type Said = (char, char, u64, i64, u32, u8);

impl Shard {
    fn new() -> Self {
        Self::with(LIMITS)
    }

    fn with(limits: Limits) -> Self {
        let mut books = Books::new(limits).unwrap();
        books.set_publisher(3, 2);
        Self { books, sequence: 0 }
    }

    fn apply(&mut self, flags: u8, instrument_id: u32, body: VenueEvent) -> Vec<RecordBuf> {
        self.sequence += 1;
        let (sequence, ts_event) = (self.sequence, 1_000 + self.sequence);
        let header = EventHeader { channel: 3, flags, instrument_id, sequence, ts_event };
        let mut out = Vec::new();
        self.books.apply(&Event { header, body }, &mut out);
        out
    }

    /// Applies an event that ends a venue's event, and tells what left.
    fn says(&mut self, body: VenueEvent) -> Vec<Said> {
        said(&self.apply(LAST, INSTRUMENT, body))
    }

    fn add(&mut self, order_id: u64, side: Side, price: i64, size: u32) {
        let added = self.says(VenueEvent::Add { order_id, side, price, size });
        assert_eq!(added, [('A', side.into(), order_id, price, size, LAST)]);
    }

    fn state(&self) -> BookState {
        self.books.get(3, INSTRUMENT).unwrap().state()
    }

    fn changed(&mut self) -> Vec<u32> {
        let mut changed = Vec::new();
        self.books.drain_changed(|_, book| changed.push(book.instrument_id()));
        changed
    }
}

fn said(records: &[RecordBuf]) -> Vec<Said> {
    let fields = |record: &MboMsg| {
        let MboMsg { order_id, price, size, .. } = *record;
        let (action, side) = (record.action().unwrap(), record.side().unwrap());
        (action.into(), side.into(), order_id, price, size, record.flags.raw())
    };
    mbo(records).map(fields).collect()
}

fn execute(order_id: u64, size: u32, price: i64, printable: bool) -> VenueEvent {
    VenueEvent::Execute { order_id, size, price, match_id: 77, printable }
}

#[test]
fn a_record_is_complete() {
    let mut shard = Shard::new();
    let packet = Packet { ts_recv: 5_000, ts_sent: 4_990, ts_worker: 1 };
    assert!(shard.apply(0, ALL_INSTRUMENTS, VenueEvent::Packet(packet)).is_empty());
    shard.sequence = (7 << 32) + 8;
    let add = VenueEvent::Add { order_id: 1, side: Side::Bid, price: 100, size: 10 };
    let records = shard.apply(LAST | flags::BAD_TS_RECV, INSTRUMENT, add);
    let expected = MboMsg {
        hd: dbn::RecordHeader::new::<MboMsg>(rtype::MBO, 2, INSTRUMENT, 1_000 + (7 << 32) + 9),
        order_id: 1,
        price: 100,
        size: 10,
        flags: dbn::FlagSet::new(LAST | flags::BAD_TS_RECV),
        channel_id: 3,
        action: b'A' as _,
        side: b'B' as _,
        ts_recv: 5_000,
        ts_in_delta: 10,
        sequence: 9,
    };
    assert_eq!(mbo(&records).collect::<Vec<_>>(), [&expected]);
}

#[test]
fn ts_in_delta_falls_back_to_ts_event_and_is_clamped() {
    for (ts_recv, ts_sent, expected) in [
        (1_500, 0, 1_500 - 1_002),
        (1_500, 1_600, -100),
        (u64::MAX - 1, 5, i32::MAX),
        (5, u64::MAX - 1, i32::MIN),
    ] {
        let mut shard = Shard::new();
        let packet = Packet { ts_recv, ts_sent, ts_worker: 0 };
        shard.apply(0, ALL_INSTRUMENTS, VenueEvent::Packet(packet));
        let records = shard.apply(LAST, INSTRUMENT, VenueEvent::Clear);
        assert_eq!(mbo(&records).next().unwrap().ts_in_delta, expected);
    }
}

#[test]
fn an_execution_is_a_trade_a_fill_and_a_cancel() {
    let mut shard = Shard::new();
    shard.add(1, Side::Ask, 100, 10);
    assert_eq!(
        shard.says(execute(1, 4, 99, true)),
        [('T', 'B', 77, 99, 4, 0), ('F', 'A', 1, 99, 4, 0), ('C', 'A', 1, 100, 4, LAST),]
    );
    let trade = LastTrade { side: Side::Bid, price: 99, size: 4 };
    assert_eq!(shard.books.get(3, INSTRUMENT).unwrap().last_trade(), Some(trade));
    assert_eq!(
        shard.says(execute(1, 6, UNDEF_PRICE, false)),
        [('F', 'A', 1, 100, 6, 0), ('C', 'A', 1, 100, 6, LAST)]
    );
    let book = shard.books.get(3, INSTRUMENT).unwrap();
    assert_eq!((book.order(1), book.best()), (None, (None, None)));
    assert_eq!(book.last_trade(), Some(trade));
}

#[test]
fn what_the_venue_leaves_out_the_book_fills_in() {
    let mut shard = Shard::new();
    shard.add(1, Side::Bid, 100, 10);
    assert_eq!(
        shard.says(VenueEvent::Reduce { order_id: 1, size: 3 }),
        [('C', 'B', 1, 100, 3, LAST)]
    );
    let replace = VenueEvent::Replace { order_id: 1, new_order_id: 2, price: 101, size: 5 };
    assert_eq!(shard.says(replace), [('C', 'B', 1, 100, 7, 0), ('A', 'B', 2, 101, 5, LAST)]);
    assert_eq!(shard.says(VenueEvent::Delete { order_id: 2 }), [('C', 'B', 2, 101, 5, LAST)]);
    assert_eq!(shard.state(), BookState::Live);
}

#[test]
fn a_modified_order_keeps_its_place_only_if_it_shrinks() {
    let mut shard = Shard::new();
    for order_id in 1..=3 {
        shard.add(order_id, Side::Bid, 100, 10);
    }
    let ahead = |shard: &Shard, order_id| {
        let position = shard.books.get(3, INSTRUMENT).unwrap().queue_position(order_id);
        position.map(|QueuePosition { orders_ahead, size_ahead }| (orders_ahead, size_ahead))
    };
    let modify =
        |order_id, price, size| VenueEvent::Modify { order_id, side: Side::Bid, price, size };
    assert_eq!(shard.says(modify(1, 100, 9)), [('M', 'B', 1, 100, 9, LAST)]);
    assert_eq!(ahead(&shard, 1), Some((0, 0)));
    assert_eq!(ahead(&shard, 3), Some((2, 19)));
    shard.says(modify(1, 100, 10));
    assert_eq!(ahead(&shard, 1), Some((2, 20)));
    shard.says(modify(2, 101, 10));
    assert_eq!(ahead(&shard, 2), Some((0, 0)));
    assert_eq!(ahead(&shard, 1), Some((1, 10)));
    assert_eq!(ahead(&shard, 9), None);
    assert_eq!(shard.says(modify(9, 100, 5)), [('M', 'B', 9, 100, 5, LAST)]);
    assert_eq!(shard.books.counters().unknown_modifies, 1);
    assert_eq!(ahead(&shard, 9), Some((2, 20)));
    assert_eq!(shard.state(), BookState::Live);
}

#[test]
fn an_unknown_order_makes_a_live_book_stale() {
    let unknown = [
        VenueEvent::Delete { order_id: 9 },
        VenueEvent::Reduce { order_id: 9, size: 1 },
        execute(9, 1, 100, true),
        VenueEvent::Replace { order_id: 9, new_order_id: 10, price: 100, size: 1 },
    ];
    for body in unknown {
        for (state, then) in [
            (BookState::Live, BookState::Stale),
            (BookState::Warming, BookState::Warming),
            (BookState::Healing, BookState::Healing),
        ] {
            let mut shard = Shard::new();
            shard.apply(0, INSTRUMENT, VenueEvent::State(state));
            assert_eq!(shard.says(body), []);
            assert_eq!(shard.books.counters().unknown_orders, 1);
            assert_eq!(shard.state(), then);
            let add = VenueEvent::Add { order_id: 1, side: Side::Bid, price: 1, size: 1 };
            assert_eq!(shard.says(add), [('A', 'B', 1, 1, 1, LAST | BAD)]);
        }
    }
}

#[test]
fn more_than_remains_removes_the_order_and_marks_the_book() {
    let mut shard = Shard::new();
    shard.add(1, Side::Bid, 100, 10);
    assert_eq!(
        shard.says(execute(1, 11, UNDEF_PRICE, true)),
        [
            ('T', 'A', 77, 100, 11, BAD),
            ('F', 'B', 1, 100, 11, BAD),
            ('C', 'B', 1, 100, 10, LAST | BAD),
        ]
    );
    assert_eq!(shard.books.counters().oversized_reductions, 1);
    assert_eq!(shard.state(), BookState::Stale);
    assert_eq!(shard.books.in_use().orders, 0);
}

#[test]
fn an_order_added_twice_is_told_except_in_a_snapshot() {
    let mut shard = Shard::new();
    shard.add(1, Side::Bid, 100, 10);
    let again = VenueEvent::Add { order_id: 1, side: Side::Bid, price: 101, size: 5 };
    let snapshot = LAST | flags::SNAPSHOT;
    let records = shard.apply(snapshot, INSTRUMENT, again);
    assert_eq!(said(&records), [('A', 'B', 1, 101, 5, snapshot)]);
    assert_eq!(shard.books.counters().duplicate_orders, 0);
    assert_eq!(shard.says(again), [('C', 'B', 1, 101, 5, 0), ('A', 'B', 1, 101, 5, LAST)]);
    assert_eq!(shard.books.counters().duplicate_orders, 1);
    assert_eq!(shard.books.get(3, INSTRUMENT).unwrap().bids().count(), 1);
}

#[test]
fn events_that_mean_nothing_are_counted() {
    let mut shard = Shard::new();
    shard.add(1, Side::Bid, 100, 10);
    let (order_id, price, size) = (1, 100, 0);
    for (count, body) in [
        VenueEvent::Add { order_id: 2, side: Side::Bid, price, size },
        VenueEvent::Add { order_id: 2, side: Side::None, price, size: 1 },
        VenueEvent::Add { order_id: 2, side: Side::Bid, price: UNDEF_PRICE, size: 1 },
        VenueEvent::Modify { order_id, side: Side::Bid, price, size },
        execute(order_id, 0, price, true),
        VenueEvent::Reduce { order_id, size },
        VenueEvent::Replace { order_id, new_order_id: 2, price, size },
        VenueEvent::Level { side: Side::None, price, size: 1 },
        VenueEvent::Level { side: Side::Bid, price: UNDEF_PRICE, size: 1 },
        VenueEvent::Top { side: Side::Bid, price, size },
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(shard.says(body), []);
        assert_eq!(shard.books.counters().bad_events, count as u64 + 1);
    }
    assert_eq!(shard.books.get(3, INSTRUMENT).unwrap().orders().count(), 1);
    assert_eq!(shard.state(), BookState::Live);
}

#[test]
fn an_aggregated_level_has_an_id_of_its_own() {
    let mut shard = Shard::new();
    let level = |side, size| VenueEvent::Level { side, price: 100, size };
    let mbp = LAST | flags::MBP;
    let added = shard.says(level(Side::Bid, 5));
    let id = added[0].2;
    assert_ne!(id, 0);
    assert_eq!(added, [('A', 'B', id, 100, 5, mbp)]);
    assert_ne!(shard.says(level(Side::Ask, 5))[0].2, id);
    assert_eq!(shard.says(level(Side::Bid, 3)), [('M', 'B', id, 100, 3, mbp)]);
    let bid = shard.books.get(3, INSTRUMENT).unwrap().best().0.unwrap();
    assert_eq!((bid.price, bid.size, bid.orders), (100, 3, 0));
    assert_eq!(shard.says(level(Side::Bid, 0)), [('C', 'B', id, 100, 3, mbp)]);
    assert_eq!(shard.says(level(Side::Bid, 0)), []);
    assert_eq!(shard.books.counters().unknown_levels, 1);
    assert_eq!(shard.state(), BookState::Live);
}

#[test]
fn a_top_replaces_its_side() {
    let mut shard = Shard::new();
    shard.add(1, Side::Bid, 90, 1);
    shard.add(2, Side::Ask, 120, 1);
    let top = |price, size| VenueEvent::Top { side: Side::Bid, price, size };
    let said = shard.says(top(100, 7));
    assert_eq!(said, [('A', 'B', said[0].2, 100, 7, LAST | flags::TOB)]);
    let book = shard.books.get(3, INSTRUMENT).unwrap();
    assert_eq!(book.bids().map(|level| (level.price, level.size)).collect::<Vec<_>>(), [(100, 7)]);
    assert_eq!((book.order(1), book.asks().count()), (None, 1));
    let emptied = shard.says(top(UNDEF_PRICE, 0));
    assert_eq!((emptied[0].0, emptied[0].3), ('A', UNDEF_PRICE));
    assert_eq!(shard.books.get(3, INSTRUMENT).unwrap().best().0, None);
}

#[test]
fn a_quoted_book_comes_back_once_both_sides_are_told_again() {
    let mut shard = Shard::new();
    shard.books.set_quotes_restore(3, true);
    let top = |side, price| VenueEvent::Top { side, price, size: 5 };
    shard.says(top(Side::Bid, 100));
    shard.apply(0, ALL_INSTRUMENTS, VenueEvent::State(BookState::Stale));
    assert_eq!(shard.says(top(Side::Ask, 102))[0].5 & BAD, BAD);
    assert_eq!(shard.state(), BookState::Stale, "the bid is still from before the gap");
    assert_eq!(shard.says(top(Side::Bid, 101))[0].5 & BAD, 0);
    assert_eq!(shard.state(), BookState::Live);
}

#[test]
fn a_quote_restores_nothing_unless_it_is_asked_to() {
    let mut shard = Shard::new();
    shard.apply(0, ALL_INSTRUMENTS, VenueEvent::State(BookState::Stale));
    for side in [Side::Bid, Side::Ask] {
        shard.says(VenueEvent::Top { side, price: 100, size: 5 });
    }
    assert_eq!(shard.state(), BookState::Stale);
}

#[test]
fn trades_fills_and_breaks_leave_the_book_alone() {
    let mut shard = Shard::new();
    shard.add(1, Side::Bid, 100, 10);
    let (price, size, match_id) = (99, 4, 8);
    let trade = VenueEvent::Trade { side: Side::None, price, size, order_id: 0, match_id };
    assert_eq!(shard.says(trade), [('T', 'N', 8, 99, 4, LAST)]);
    let fill = VenueEvent::Fill { order_id: 1, side: Side::Bid, price, size };
    assert_eq!(shard.says(fill), [('F', 'B', 1, 99, 4, LAST)]);
    let broken = VenueEvent::TradeBreak { match_id, price, size };
    assert_eq!(shard.says(broken), [('N', 'N', 8, 99, 4, LAST)]);
    assert_eq!(shard.books.get(3, INSTRUMENT).unwrap().order(1).unwrap().size, 10);
}

#[test]
fn an_event_whose_last_message_says_nothing_is_closed() {
    let mut shard = Shard::new();
    let level = |price, size| VenueEvent::Level { side: Side::Bid, price, size };
    assert_eq!(said(&shard.apply(0, INSTRUMENT, level(100, 5))).len(), 1);
    assert_eq!(shard.changed(), []);
    assert_eq!(shard.says(level(101, 0)), [('N', 'N', 0, UNDEF_PRICE, 0, LAST)]);
    assert_eq!(shard.changed(), [INSTRUMENT]);
    assert_eq!(shard.says(level(101, 0)), []);
}

#[test]
fn books_are_drained_once_and_never_inside_an_event() {
    let mut shard = Shard::new();
    shard.add(1, Side::Bid, 100, 10);
    let delete = VenueEvent::Delete { order_id: 1 };
    shard.apply(0, INSTRUMENT, delete);
    shard.apply(LAST, 8, VenueEvent::Clear);
    assert_eq!(shard.changed(), [8]);
    shard.says(VenueEvent::Clear);
    assert_eq!(shard.changed(), [INSTRUMENT]);
    assert_eq!(shard.changed(), []);
    shard.apply(0, INSTRUMENT, VenueEvent::Clear);
    shard.apply(0, ALL_INSTRUMENTS, VenueEvent::State(BookState::Healing));
    assert_eq!(shard.changed(), [INSTRUMENT, 8]);
}

#[test]
fn a_channel_speaks_for_its_books_and_those_to_come() {
    let mut shard = Shard::new();
    shard.add(1, Side::Bid, 100, 10);
    shard.apply(0, ALL_INSTRUMENTS, VenueEvent::State(BookState::Healing));
    assert_eq!(shard.state(), BookState::Healing);
    shard.apply(LAST, 8, VenueEvent::Clear);
    assert_eq!(shard.books.get(3, 8).unwrap().state(), BookState::Healing);
    shard.apply(0, INSTRUMENT, VenueEvent::State(BookState::Live));
    assert_eq!(shard.state(), BookState::Live);
    let records = shard.apply(LAST, ALL_INSTRUMENTS, VenueEvent::Clear);
    assert_eq!(
        said(&records),
        [('R', 'N', 0, UNDEF_PRICE, 0, LAST), ('R', 'N', 0, UNDEF_PRICE, 0, LAST | BAD)]
    );
    assert_eq!(shard.books.in_use(), Limits { instruments: 2, orders: 0, levels: 0 });
    assert_eq!(shard.state(), BookState::Live);
    let everything = VenueEvent::Add { order_id: 1, side: Side::Bid, price: 1, size: 1 };
    shard.apply(LAST, ALL_INSTRUMENTS, everything);
    assert_eq!(shard.books.counters().bad_events, 1);
}

#[test]
fn a_book_over_its_limit_stays_stale_until_it_is_cleared() {
    let mut shard = Shard::with(Limits { instruments: 1, orders: 1, levels: 1 });
    shard.add(1, Side::Bid, 100, 10);
    let over = VenueEvent::Add { order_id: 2, side: Side::Bid, price: 100, size: 1 };
    assert_eq!(shard.says(over), []);
    shard.apply(0, INSTRUMENT, VenueEvent::State(BookState::Live));
    assert_eq!(shard.state(), BookState::Stale);
    let replace = VenueEvent::Replace { order_id: 1, new_order_id: 3, price: 101, size: 2 };
    assert_eq!(
        shard.says(replace),
        [('C', 'B', 1, 100, 10, BAD), ('A', 'B', 3, 101, 2, LAST | BAD)]
    );
    shard.says(VenueEvent::Clear);
    shard.apply(0, INSTRUMENT, VenueEvent::State(BookState::Live));
    assert_eq!(shard.state(), BookState::Live);
    shard.apply(LAST, 8, VenueEvent::Clear);
    assert!(shard.books.get(3, 8).is_none());
    let counters = shard.books.counters();
    assert_eq!((counters.order_limit_hits, counters.instrument_limit_hits), (1, 1));
}

#[test]
fn crossed_books_are_counted_at_the_end_of_events() {
    let mut shard = Shard::new();
    shard.add(1, Side::Bid, 100, 1);
    shard.add(2, Side::Ask, 101, 1);
    assert_eq!(shard.books.counters().crossed_events, 0);
    assert!(!shard.books.get(3, INSTRUMENT).unwrap().crossed());
    let cross = VenueEvent::Add { order_id: 3, side: Side::Bid, price: 101, size: 1 };
    shard.apply(0, INSTRUMENT, cross);
    assert_eq!(shard.books.counters().crossed_events, 0);
    shard.says(VenueEvent::Delete { order_id: 1 });
    assert_eq!(shard.books.counters().crossed_events, 1);
    assert!(shard.books.get(3, INSTRUMENT).unwrap().crossed());
}

#[test]
fn other_records_are_complete() {
    let mut shard = Shard::new();
    let packet = Packet { ts_recv: 5_000, ts_sent: 4_000, ts_worker: 0 };
    shard.apply(0, ALL_INSTRUMENTS, VenueEvent::Packet(packet));
    let definition = Definition {
        symbol: Symbol::from_padded(b"AAPL    "),
        min_price_increment: 10_000_000,
        round_lot_size: 100,
        instrument_class: b'K',
    };
    let records = shard.apply(LAST, INSTRUMENT, VenueEvent::Definition(definition));
    let record = records[0].get::<InstrumentDefMsg>().unwrap();
    assert_eq!(record.raw_symbol().unwrap(), "AAPL");
    assert_eq!(record.min_price_increment, 10_000_000);
    assert_eq!(record.min_lot_size_round_lot, 100);
    assert_eq!((record.hd.instrument_id, record.hd.publisher_id), (INSTRUMENT, 2));
    assert_eq!(record.strike_price, UNDEF_PRICE);
    assert_eq!(shard.books.get(3, INSTRUMENT).unwrap().symbol().as_str(), "AAPL");

    let status = Status {
        action: dbn::StatusAction::Halt as u16,
        reason: 0,
        trading_event: 0,
        is_trading: b'N',
        is_quoting: b'Y',
        is_short_sell_restricted: b'~',
    };
    let records = shard.apply(0, ALL_INSTRUMENTS, VenueEvent::Status(status));
    let record = records[0].get::<StatusMsg>().unwrap();
    assert_eq!(record.action().unwrap(), dbn::StatusAction::Halt);
    assert_eq!((record.is_trading as u8, record.is_quoting as u8), (b'N', b'Y'));
    assert_eq!((record.hd.instrument_id, record.ts_recv), (0, 5_000));

    let statistic = Statistic {
        stat_type: 1,
        price: 5,
        quantity: UNDEF_STAT_QUANTITY,
        ts_ref: UNDEF_TIMESTAMP,
    };
    let records = shard.apply(0, INSTRUMENT, VenueEvent::Statistic(statistic));
    let record = records[0].get::<StatMsg>().unwrap();
    assert_eq!((record.stat_type, record.price, record.channel_id), (1, 5, 3));
    assert_eq!((record.sequence, record.ts_in_delta), (4, 1_000));

    let imbalance = Imbalance {
        ref_price: 1,
        auction_time: UNDEF_TIMESTAMP,
        cont_book_clr_price: 2,
        auct_interest_clr_price: 3,
        upper_collar: 4,
        lower_collar: 5,
        ind_match_price: 6,
        paired_qty: 7,
        total_imbalance_qty: 8,
        side: Side::Ask,
        auction_type: b'O',
        num_extensions: 9,
        significant_imbalance: b'L',
    };
    let records = shard.apply(0, INSTRUMENT, VenueEvent::Imbalance(imbalance));
    let record = records[0].get::<ImbalanceMsg>().unwrap();
    assert_eq!((record.ref_price, record.cont_book_clr_price), (1, 2));
    assert_eq!((record.auct_interest_clr_price, record.upper_collar), (3, 4));
    assert_eq!((record.lower_collar, record.ind_match_price), (5, 6));
    assert_eq!((record.paired_qty, record.total_imbalance_qty), (7, 8));
    assert_eq!((record.side().unwrap(), record.num_extensions), (Side::Ask, 9));
    assert_eq!(record.ssr_filling_price, UNDEF_PRICE);
    assert_eq!(shard.books.counters().records, 4);
}

#[test]
fn tops_are_told_with_each_trade_and_where_a_best_level_changed() {
    let mut shard = Shard::new();
    shard.books.tell_tops();
    let mut tops = |flags, body| {
        let records = shard.apply(flags, INSTRUMENT, body);
        let top = |record: &dbn::RecordBuf| {
            let top = record.get::<dbn::Mbp1Msg>()?;
            let [level] = &top.levels;
            let (action, flags) = (top.action as u8 as char, top.flags.raw());
            Some((action, top.price, flags, level.bid_px, level.bid_sz, level.bid_ct))
        };
        records.iter().filter_map(top).collect::<Vec<_>>()
    };
    let add = |order_id, price| VenueEvent::Add { order_id, side: Side::Bid, price, size: 10 };
    assert_eq!(tops(LAST, add(1, 100)), [('A', 100, LAST, 100, 10, 1)]);
    assert_eq!(tops(LAST, add(2, 99)), [], "a deeper level is no news");
    assert_eq!(tops(0, add(3, 100)), [], "the venue's event goes on");
    assert_eq!(tops(LAST, add(4, 100)), [('A', 100, LAST, 100, 30, 3)]);
    assert_eq!(
        tops(LAST, execute(1, 4, UNDEF_PRICE, true)),
        [('T', 100, 0, 100, 30, 3), ('C', 100, LAST, 100, 26, 3)],
        "a trade comes with the levels before it"
    );
    assert_eq!(tops(LAST, VenueEvent::Clear), [('R', UNDEF_PRICE, LAST, UNDEF_PRICE, 0, 0)]);
}

#[test]
fn a_stale_book_says_why() {
    let mut shard = Shard::with(Limits { orders: 1, ..LIMITS });
    let reason = |shard: &Shard| shard.books.get(3, INSTRUMENT).unwrap().stale_reason();
    let add = |order_id| VenueEvent::Add { order_id, side: Side::Bid, price: 5, size: 1 };
    shard.says(add(1));
    assert_eq!(reason(&shard), StaleReason::None);
    shard.says(VenueEvent::Delete { order_id: 9 });
    assert_eq!(reason(&shard), StaleReason::UnknownOrder);
    for (state, says) in [
        (BookState::Healing, StaleReason::None),
        (BookState::Stale, StaleReason::Gap),
        (BookState::Live, StaleReason::None),
    ] {
        shard.apply(0, ALL_INSTRUMENTS, VenueEvent::State(state));
        assert_eq!((shard.state(), reason(&shard)), (state, says));
    }
    shard.says(add(2));
    assert_eq!(reason(&shard), StaleReason::Limit);
    shard.apply(0, ALL_INSTRUMENTS, VenueEvent::State(BookState::Live));
    assert_eq!((shard.state(), reason(&shard)), (BookState::Stale, StaleReason::Limit));
    shard.says(VenueEvent::Clear);
    shard.apply(0, ALL_INSTRUMENTS, VenueEvent::State(BookState::Live));
    assert_eq!((shard.state(), reason(&shard)), (BookState::Live, StaleReason::None));
}

#[test]
fn a_book_of_a_stale_channel_begins_stale_for_its_gap() {
    let mut shard = Shard::new();
    shard.apply(0, ALL_INSTRUMENTS, VenueEvent::State(BookState::Stale));
    shard.says(VenueEvent::Clear);
    let book = shard.books.get(3, INSTRUMENT).unwrap();
    assert_eq!((book.state(), book.stale_reason()), (BookState::Stale, StaleReason::Gap));
    for number in 0..=u8::MAX {
        let reason = StaleReason::from_u8(number);
        assert!(reason.is_none_or(|reason| reason as u8 == number));
        assert_eq!(reason.is_some(), number < 7);
    }
}

#[test]
fn a_book_may_be_crossed_before_an_auction_and_in_a_halt() {
    use dbn::StatusAction::{Halt, None, PreOpen, SsrChange, Trading};
    let mut shard = Shard::new();
    shard.says(VenueEvent::Level { side: Side::Bid, price: 7, size: 1 });
    let mut crossed = |id, action: Option<dbn::StatusAction>| {
        if let Some(action) = action {
            let status = Status {
                action: action as u16,
                reason: 0,
                trading_event: 0,
                is_trading: b'~',
                is_quoting: b'~',
                is_short_sell_restricted: b'~',
            };
            shard.apply(0, id, VenueEvent::Status(status));
        }
        let before = shard.books.counters().crossed_events;
        shard.says(VenueEvent::Level { side: Side::Ask, price: 6, size: 1 });
        shard.books.counters().crossed_events - before
    };
    for (id, action, counts) in [
        (INSTRUMENT, Option::None, 1),
        (INSTRUMENT, Some(PreOpen), 0),
        (INSTRUMENT, Some(SsrChange), 0),
        (INSTRUMENT, Some(None), 0),
        (INSTRUMENT, Some(Trading), 1),
        (INSTRUMENT + 1, Some(Halt), 1),
        (ALL_INSTRUMENTS, Some(Halt), 0),
        (ALL_INSTRUMENTS, Some(Trading), 1),
    ] {
        assert_eq!(crossed(id, action), counts, "{id} {action:?}");
    }
}
