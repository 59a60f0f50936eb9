//! Supervision: whatever falls, and whenever, a chain ends as one in which nothing fell, and each
//! record leaves once; what cannot be rebuilt stays down and says so.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;
mod flow;

use std::collections::BTreeMap;
use std::panic::resume_unwind;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use dbn::{InstrumentDefMsg, MboMsg, RecordBuf, RecordRef, StatMsg, StatusReason, SystemMsg};
use flow::{DAY, Random, SECOND, interval_record, mbo, status};
use wirebook_machine::{
    Chain, Change, Fault, Machine, MachineCounters, SavedStateError, Supervision, restore_state,
    save_state,
};
use wirebook_model::RecordSink;

/// Records that may make a machine fall name a price from here: this and a trap's number.
const TRAPS: i64 = 1_000;
/// Ends of intervals at which the last trap springs.
const INTERVAL_TRAP: u64 = 63;

/// Folds all that it is fed into a number and says it twice a record; falls between the two where a
/// record's trap is armed.
#[derive(Clone)]
struct Fold {
    state: [u64; 2],
    kind: u16,
    armed: &'static AtomicU64,
}

impl Fold {
    fn new(kind: u16, armed: &'static AtomicU64) -> Self {
        Self { state: [0; 2], kind, armed }
    }

    fn say(&self, record: RecordRef<'_>, out: &mut dyn RecordSink) {
        let mut said = StatMsg { stat_type: self.kind, ..StatMsg::default() };
        said.hd.ts_event = record.header().ts_event;
        said.ts_ref = self.state[0];
        said.quantity = self.state[1] as i64;
        out.record((&said).into());
    }
}

impl Machine for Fold {
    fn record(&mut self, record: RecordRef<'_>, out: &mut dyn RecordSink) -> Result<(), Fault> {
        self.state[1] += 1;
        self.say(record, out);
        let trap = match (record.get::<MboMsg>(), record.get::<SystemMsg>()) {
            (Some(order), _) if order.price >= TRAPS => Some((order.price - TRAPS) as u64),
            (_, Some(_)) => Some(INTERVAL_TRAP),
            _ => None,
        };
        // A half-done change, so that a torn state shows.
        self.state[0] = self.state[0].wrapping_mul(31) ^ record.header().ts_event;
        match trap {
            Some(trap) if self.armed.load(Relaxed) & 1 << trap == 0 => {}
            Some(0) => return Err(Fault("zero is reached")),
            Some(1) => resume_unwind(Box::new(Explosive)),
            // As a panic, but without its message.
            Some(_) => resume_unwind(Box::new(())),
            None => {}
        }
        self.state[0] = self.state[0].rotate_left(7);
        self.say(record, out);
        Ok(())
    }

    fn save(&self, bytes: &mut Vec<u8>) {
        save_state(1, &self.state, bytes);
    }

    fn restore(&mut self, bytes: &[u8]) -> Result<(), SavedStateError> {
        self.state = restore_state(1, bytes)?;
        Ok(())
    }
}

/// A panic's payload whose drop panics too.
struct Explosive;

impl Drop for Explosive {
    fn drop(&mut self) {
        resume_unwind(Box::new(()));
    }
}

/// What a chain of two kinds is fed, and its twin in which nothing falls.
struct Pair {
    chain: Chain,
    twin: Chain,
    out: Vec<RecordBuf>,
    twin_out: Vec<RecordBuf>,
    armed: &'static AtomicU64,
    now: u64,
}

/// Instruments 0 and 2 are of channel 0, 1 and 3 of channel 1.
const INSTRUMENTS: u32 = 4;

fn channel_of(number: u32) -> u8 {
    (number % 2) as u8
}

impl Pair {
    fn new(log_records: usize, rebuilds_max: u32) -> Self {
        let armed: &AtomicU64 = Box::leak(Box::new(AtomicU64::new(0)));
        let never: &AtomicU64 = Box::leak(Box::new(AtomicU64::new(0)));
        let chain = |armed| {
            let supervision = Supervision { rebuilds_max, log_records };
            let mut chain = Chain::new(INSTRUMENTS as usize, supervision);
            chain.add("falls", Fold::new(1, armed));
            chain.add("stands", Fold::new(2, never));
            chain
        };
        let (chain, twin) = (chain(armed), chain(never));
        Self { chain, twin, out: Vec::new(), twin_out: Vec::new(), armed, now: DAY }
    }

    fn arm(&self, trap: u64) {
        self.armed.fetch_or(1 << trap, Relaxed);
    }

    fn disarm(&self) {
        self.armed.store(0, Relaxed);
    }

    /// Feeds an order record to both; a price from `TRAPS` up is a trap.
    fn order(&mut self, number: u32, price: i64) {
        self.now += 1;
        let mut record = mbo(self.now, dbn::Action::Add, 1, price, 1);
        record.hd.instrument_id = number + 1;
        self.chain.record(number, channel_of(number), (&record).into(), &mut self.out);
        self.twin.record(number, channel_of(number), (&record).into(), &mut self.twin_out);
    }

    fn trap(&mut self, number: u32, trap: i64) {
        self.order(number, TRAPS + trap);
    }

    fn interval(&mut self, channel: u8) {
        self.now += 1;
        let record = interval_record(self.now);
        self.chain.end_of_interval(channel, &record, &mut self.out);
        self.twin.end_of_interval(channel, &record, &mut self.twin_out);
    }

    fn market(&mut self, channel: u8) {
        self.now += 1;
        let record = status(0, self.now, 7, StatusReason::Scheduled);
        self.chain.market(channel, record.as_rec_ref(), &mut self.out);
        self.twin.market(channel, record.as_rec_ref(), &mut self.twin_out);
    }

    fn changes(&mut self) -> Vec<(Change, &'static str)> {
        let incidents: Vec<_> = self.chain.incidents().collect();
        assert!(incidents.iter().all(|incident| incident.kind == 0));
        incidents.iter().map(|incident| (incident.change, incident.reason)).collect()
    }

    fn counters(&self) -> MachineCounters {
        let mut counters = self.chain.counters().map(|(_, counters)| counters);
        let falls = counters.next().unwrap();
        assert_eq!(counters.next(), Some(MachineCounters::default()), "the other kind stands");
        falls
    }

    /// The machines of both chains are equal, and each said the same in the same order.
    fn assert_same(&self) {
        for number in 0..INSTRUMENTS {
            let digests = self.chain.digests(number);
            assert!(digests.eq(self.twin.digests(number)), "instrument {number}");
        }
        assert_eq!(said(&self.out, 1), said(&self.twin_out, 1));
        self.assert_other_kind_same();
    }

    fn assert_other_kind_same(&self) {
        let other = |out: &[RecordBuf]| {
            let out = out.iter().filter(|record| kind_of(record) == 2);
            out.cloned().collect::<Vec<_>>()
        };
        assert_eq!(other(&self.out), other(&self.twin_out));
    }
}

fn kind_of(record: &RecordBuf) -> u16 {
    record.get::<StatMsg>().unwrap().stat_type
}

/// What machines of one kind said: how often what (a machine that is rebuilt says late what others
/// of its kind have said in between; each number is of one machine at one time).
fn said(out: &[RecordBuf], kind: u16) -> BTreeMap<(u64, u64, i64), u32> {
    let mut said = BTreeMap::new();
    for record in out.iter().filter(|record| kind_of(record) == kind) {
        let record = record.get::<StatMsg>().unwrap();
        *said.entry((record.hd.ts_event, record.ts_ref, record.quantity)).or_default() += 1;
    }
    said
}

#[test]
fn a_machine_that_falls_is_rebuilt_as_if_it_had_not() {
    for trap in [0, 1, 2] {
        let mut pair = Pair::new(1_000, 5);
        (0..INSTRUMENTS).for_each(|number| pair.order(number, 5));
        pair.arm(trap);
        pair.trap(0, trap as i64);
        (0..INSTRUMENTS).for_each(|number| pair.order(number, 6));
        let reason = if trap == 0 { "zero is reached" } else { "panicked" };
        assert_eq!(pair.changes(), [(Change::Down, reason)]);
        assert_eq!(pair.counters().down, 1);
        pair.disarm();
        pair.interval(1);
        assert_eq!(pair.counters().rebuilds, 0, "the other channel's interval");
        pair.interval(0);
        assert_eq!(pair.changes(), [(Change::Rebuilt, "rebuilt")]);
        let expected = MachineCounters { faults: 1, rebuilds: 1, down: 0, given_up: 0 };
        assert_eq!(pair.counters(), expected);
        pair.assert_same();
        (0..INSTRUMENTS).for_each(|number| pair.order(number, 7));
        pair.assert_same();
    }
}

#[test]
fn other_instruments_hear_and_say_all_at_once() {
    let mut pair = Pair::new(1_000, 5);
    pair.order(0, 5);
    pair.arm(2);
    pair.trap(0, 2);
    let (heard, said) = (pair.out.len(), pair.twin_out.len());
    for number in 1..INSTRUMENTS {
        pair.order(number, 5);
    }
    assert_eq!(pair.out[heard..], pair.twin_out[said..]);
}

#[test]
fn one_that_always_falls_is_given_up_after_longer_and_longer_waits() {
    let mut pair = Pair::new(1_000, 3);
    pair.order(0, 5);
    pair.arm(2);
    pair.trap(0, 2);
    let mut falls = Vec::new();
    for interval in 0..20 {
        if !pair.changes().is_empty() {
            falls.push(interval);
        }
        pair.interval(0);
    }
    // After the fall itself one interval, then two, then four.
    assert_eq!(falls, [0, 1, 3, 7]);
    let expected = MachineCounters { faults: 4, rebuilds: 0, down: 0, given_up: 1 };
    assert_eq!(pair.counters(), expected);
    pair.disarm();
    pair.interval(0);
    assert_eq!(pair.counters(), expected);
    pair.order(2, 5);
    pair.assert_other_kind_same();
}

#[test]
fn the_last_incident_says_that_it_stays_down() {
    let mut pair = Pair::new(1_000, 1);
    pair.order(0, 5);
    pair.arm(0);
    pair.trap(0, 0);
    pair.interval(0);
    let reason = "zero is reached";
    assert_eq!(pair.changes(), [(Change::Down, reason), (Change::GivenUp, reason)]);
}

#[test]
fn a_rebuild_that_fails_half_way_says_nothing_twice() {
    let mut pair = Pair::new(1_000, 5);
    pair.arm(2);
    pair.arm(3);
    for price in [5, TRAPS + 2, 6, TRAPS + 3, 7] {
        pair.order(0, price);
    }
    pair.armed.store(1 << 3, Relaxed);
    pair.interval(0);
    assert_eq!(pair.counters().faults, 2);
    pair.disarm();
    pair.interval(0);
    pair.interval(0);
    assert_eq!(pair.counters(), MachineCounters { faults: 2, rebuilds: 1, ..Default::default() });
    pair.assert_same();
}

#[test]
fn one_that_falls_at_the_end_of_an_interval_waits_for_the_next() {
    let mut pair = Pair::new(1_000, 5);
    pair.order(0, 5);
    pair.arm(INTERVAL_TRAP);
    pair.interval(0);
    pair.disarm();
    assert_eq!(pair.counters().down, 1);
    pair.interval(0);
    assert_eq!(pair.counters().rebuilds, 1);
    pair.assert_same();
}

#[test]
fn records_that_left_the_log_are_not_missed() {
    for (before, after) in [(100, 2), (2, 100), (100, 100)] {
        let mut pair = Pair::new(8, 5);
        for price in 0..before {
            pair.order(0, price);
            pair.order(2, price);
            pair.interval(0);
        }
        pair.arm(2);
        pair.trap(0, 2);
        pair.disarm();
        for price in 0..after {
            pair.order(0, price);
            pair.order(2, price);
            pair.market((price % 4 != 0) as u8);
        }
        pair.interval(0);
        assert_eq!(pair.counters().rebuilds, 1, "{before} before, {after} after");
        pair.assert_same();
    }
}

#[test]
fn one_that_falls_again_on_what_leaves_the_log_is_given_up() {
    let mut pair = Pair::new(8, 5);
    pair.arm(0);
    pair.trap(0, 0);
    for price in 0..8 {
        pair.order(0, price);
    }
    let expected = [(Change::Down, "zero is reached"), (Change::GivenUp, "zero is reached")];
    assert_eq!(pair.changes(), expected);
    let expected = MachineCounters { faults: 2, rebuilds: 0, down: 0, given_up: 1 };
    assert_eq!(pair.counters(), expected);
}

#[test]
fn what_a_channel_was_fed_before_an_instrument_came_is_not_the_instruments() {
    let mut pair = Pair::new(1_000, 5);
    // Book 3 first: 0 to 2 are not known by it, nor of its channel.
    pair.order(3, 5);
    (0..3).for_each(|_| pair.interval(0));
    (0..3).for_each(|_| pair.interval(1));
    pair.market(0);
    assert!(said(&pair.out, 1).keys().all(|&(ts_event, ..)| ts_event != DAY + 2));
    pair.arm(2);
    (0..3).for_each(|number| pair.trap(number, 2));
    pair.disarm();
    pair.market(1);
    pair.interval(0);
    pair.interval(1);
    assert_eq!(pair.counters().rebuilds, 3);
    pair.assert_same();
}

#[test]
fn a_record_of_the_market_reaches_its_channel_alone() {
    let mut pair = Pair::new(1_000, 5);
    (0..3).for_each(|number| pair.order(number, 5));
    pair.out.clear();
    pair.market(0);
    // Two of the channel's instruments, two kinds, each says it twice.
    assert_eq!(pair.out.len(), 2 * 2 * 2);
}

#[test]
fn a_definition_is_not_replayed_and_ends_the_hope_of_one_that_is_down() {
    let mut pair = Pair::new(1_000, 5);
    pair.order(0, 5);
    let definition = InstrumentDefMsg::default();
    pair.chain.record(0, 0, (&definition).into(), &mut pair.out);
    pair.twin.record(0, 0, (&definition).into(), &mut pair.twin_out);
    pair.arm(2);
    pair.trap(0, 2);
    pair.disarm();
    pair.interval(0);
    pair.assert_same();
    pair.arm(2);
    pair.trap(0, 2);
    pair.changes();
    pair.chain.record(0, 0, (&definition).into(), &mut pair.out);
    assert_eq!(pair.changes(), [(Change::GivenUp, "was down when a definition came")]);
}

#[test]
fn a_chain_goes_on_from_what_it_saved() {
    let mut pair = Pair::new(8, 5);
    for price in 0..20 {
        (0..INSTRUMENTS).for_each(|number| pair.order(number, price));
        pair.interval(0);
    }
    let mut restored = Pair::new(8, 5);
    for number in 0..INSTRUMENTS {
        let mut bytes = Vec::new();
        pair.chain.save(number, &mut bytes);
        restored.chain.restore(number, channel_of(number), &bytes).unwrap();
        restored.twin.restore(number, channel_of(number), &bytes).unwrap();
        let short = &bytes[..bytes.len() - 1];
        assert!(restored.twin.restore(number, channel_of(number), short).is_err());
        restored.twin.restore(number, channel_of(number), &bytes).unwrap();
        bytes.push(0);
        assert!(restored.twin.restore(number, channel_of(number), &bytes).is_err());
        assert!(pair.chain.digests(number).eq(restored.chain.digests(number)));
    }
    restored.now = pair.now;
    restored.arm(2);
    restored.trap(0, 2);
    restored.disarm();
    restored.interval(0);
    assert_eq!(restored.counters().rebuilds, 1);
    restored.assert_same();
}

#[test]
fn one_that_was_down_when_it_was_saved_stays_down() {
    let mut pair = Pair::new(8, 5);
    pair.order(0, 5);
    pair.arm(2);
    pair.trap(0, 2);
    let mut bytes = Vec::new();
    pair.chain.save(0, &mut bytes);
    let mut restored = Pair::new(8, 5);
    restored.chain.restore(0, 0, &bytes).unwrap();
    assert_eq!(restored.changes(), [(Change::GivenUp, "was down when it was saved")]);
    assert_eq!(restored.counters().given_up, 1);
    let stands = |chain: &Chain| chain.digests(0).nth(1).map(|(_, digest)| digest);
    assert_eq!(stands(&pair.chain), stands(&restored.chain));
    // One that was up brings it back.
    bytes.clear();
    pair.twin.save(0, &mut bytes);
    restored.chain.restore(0, 0, &bytes).unwrap();
    assert_eq!(restored.counters().given_up, 0);
    assert!(pair.twin.digests(0).eq(restored.chain.digests(0)));
}

#[test]
fn whatever_falls_whenever_all_end_the_same() {
    let (mut rebuilds, mut given_up) = (0, 0);
    for seed in 0..300 {
        let mut random = Random(seed);
        let mut pair = Pair::new(20 + random.below(60) as usize, u32::MAX);
        for step in 0..400 {
            match random.below(20) {
                0 => pair.interval(random.below(2) as u8),
                1 => pair.market(random.below(2) as u8),
                2 => pair.trap(random.below(4) as u32, random.below(4) as i64),
                3 if step % 3 == 0 => {
                    pair.arm([0, 1, 2, 3, INTERVAL_TRAP][random.below(5) as usize])
                }
                4..=6 => pair.disarm(),
                _ => pair.order(random.below(4) as u32, random.below(900) as i64),
            }
        }
        pair.disarm();
        while pair.counters().down > 0 {
            pair.interval(0);
            pair.interval(1);
        }
        let counters = pair.counters();
        assert!(counters.faults >= counters.rebuilds, "seed {seed}");
        pair.assert_other_kind_same();
        if counters.given_up > 0 {
            // A record left the log while its trap was armed.
            given_up += 1;
            continue;
        }
        rebuilds += counters.rebuilds;
        pair.assert_same();
    }
    assert!(rebuilds > 300 && given_up < 100, "{rebuilds} rebuilds, {given_up} given up");
}

#[test]
fn memory_is_known_at_the_start() {
    let pair = Pair::new(8, 5);
    let bytes = pair.chain.memory_bytes();
    assert!(bytes >= 2 * INSTRUMENTS as usize * 2 * size_of::<Fold>());
    assert!(
        Chain::new(INSTRUMENTS as usize, Supervision::default()).memory_bytes() < SECOND as usize
    );
}
