//! Real Nasdaq order flow (a LOBSTER sample) made whole, so that a book can be kept from it.
//!
//! LOBSTER (lobsterdata.com, "Data structure") gives messages and, after each, the ten best levels.
//! Two things are missing to keep a book from the messages alone: the orders that rested before
//! the file begins, and what happens deeper than the tenth level, which LOBSTER leaves out. Both
//! show in the levels when they surface. [`steps`] fills them in: before each message stand made-up
//! messages that bring each level which the message lets surface to the size it surfaces with.
//!
//! A made-up message is therefore only ever about a level that no row shows at that moment (which
//! `steps` asserts), and every change of a level that *is* shown comes from LOBSTER's own messages.
//! So a book that equals all rows has applied those rightly. An order that LOBSTER names but never
//! adds is made up under its own id, with the size that its messages take from it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fs;

use dbn::{UNDEF_PRICE, flags};
use wirebook_model::{Event, EventHeader, Side as BookSide, VenueEvent, price::PER_FOUR_DECIMALS};

/// The instrument id that the events have.
pub(crate) const INSTRUMENT: u32 = 13;

/// Levels of a side in each row.
pub(crate) const LEVELS: usize = 10;

/// (price, size) of one side, best first.
pub(crate) type Side = [(u32, u64); LEVELS];

/// Ids of orders that are made up count from here, above all ids of the file.
const MADE_UP: u64 = 1 << 40;

/// What a message says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// 1: a new order (ITCH `A`).
    Add,
    /// 2: an order lost this size (ITCH `X`).
    Cancel,
    /// 3: an order is gone; the size is what it had left (ITCH `D`).
    Delete,
    /// 4: a displayed order was executed (ITCH `E`).
    Execute,
    /// 5: an order that is not displayed was executed (ITCH `P`).
    Hidden,
}

/// One message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    /// Nanoseconds since midnight in New York.
    pub(crate) time_ns: u64,
    /// What it says.
    pub(crate) kind: Kind,
    /// Nasdaq's order reference number; 0 for `Hidden`.
    pub(crate) order_id: u64,
    /// Shares.
    pub(crate) size: u32,
    /// Four decimals, as in ITCH.
    pub(crate) price: u32,
    /// Whether the resting order is a bid.
    pub(crate) bid: bool,
}

/// One message, what must come before it, and what the book shows after it.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    /// Made-up messages about levels that no row shows at that moment.
    pub(crate) made_up: Vec<Message>,
    /// LOBSTER's message.
    pub(crate) message: Message,
    /// (price, size) of the bids after the message, best first.
    pub(crate) bids: Side,
    /// (price, size) of the asks after the message, best first.
    pub(crate) asks: Side,
}

/// All steps of the file, AAPL on 2012-06-21; `None` where the data is absent.
pub(crate) fn steps() -> Option<Vec<Step>> {
    let messages = fs::read_to_string(super::data("lobster/AAPL_message_10.csv")?).unwrap();
    let rows = fs::read_to_string(super::data("lobster/AAPL_orderbook_10.csv")?).unwrap();
    let mut steps: Vec<Step> = messages
        .lines()
        .zip(rows.lines())
        .map(|(line, row)| {
            let (asks, bids) = levels_of(row);
            Step { made_up: Vec::new(), message: message_of(line), bids, asks }
        })
        .collect();
    let mut book = Reconstruction::new(&steps);
    for at in 0..steps.len() {
        steps[at].made_up = book.surface(&steps, at);
        book.apply(&steps[at].message);
    }
    Some(steps)
}

/// The event of a message.
pub(crate) fn event(message: &Message, sequence: u64) -> Event {
    let Message { time_ns, order_id, size, .. } = *message;
    let price = i64::from(message.price) * PER_FOUR_DECIMALS;
    let side = if message.bid { BookSide::Bid } else { BookSide::Ask };
    let aggressor = if message.bid { BookSide::Ask } else { BookSide::Bid };
    let body = match message.kind {
        Kind::Add => VenueEvent::Add { order_id, side, price, size },
        Kind::Cancel => VenueEvent::Reduce { order_id, size },
        Kind::Delete => VenueEvent::Delete { order_id },
        Kind::Execute => VenueEvent::Execute {
            order_id,
            size,
            price: UNDEF_PRICE,
            match_id: sequence,
            printable: true,
        },
        Kind::Hidden => {
            VenueEvent::Trade { side: aggressor, price, size, order_id, match_id: sequence }
        }
    };
    let header = EventHeader {
        channel: 0,
        flags: flags::LAST,
        instrument_id: INSTRUMENT,
        sequence,
        ts_event: time_ns,
    };
    Event { header, body }
}

fn message_of(line: &str) -> Message {
    let fields: Vec<&str> = line.split(',').collect();
    let (seconds, fraction) = fields[0].split_once('.').unwrap_or((fields[0], "0"));
    let nanoseconds: u64 = format!("{fraction:0<9}").parse().unwrap();
    let kind = match fields[1] {
        "1" => Kind::Add,
        "2" => Kind::Cancel,
        "3" => Kind::Delete,
        "4" => Kind::Execute,
        "5" => Kind::Hidden,
        other => panic!("message type {other} is not in the sample"),
    };
    Message {
        time_ns: seconds.parse::<u64>().unwrap() * 1_000_000_000 + nanoseconds,
        kind,
        order_id: fields[2].parse().unwrap(),
        size: fields[3].parse().unwrap(),
        price: fields[4].parse().unwrap(),
        bid: fields[5] == "1",
    }
}

/// Asks and bids of a row: ask price, ask size, bid price, bid size, level by level.
fn levels_of(row: &str) -> (Side, Side) {
    let values: Vec<u64> = row.split(',').map(|value| value.parse().unwrap()).collect();
    let level = |at: usize| (values[at] as u32, values[at + 1]);
    (
        std::array::from_fn(|depth| level(4 * depth)),
        std::array::from_fn(|depth| level(4 * depth + 2)),
    )
}

/// The orders that rest, LOBSTER's and made up ones.
struct Reconstruction {
    /// (bid, price) → orders, oldest first.
    levels: BTreeMap<(bool, u32), Vec<(u64, u32)>>,
    /// Orders that the file names but never adds: what its messages take from each.
    unseen: Vec<(u64, Message)>,
    /// The last step that names an order.
    last_named: HashMap<u64, usize>,
    next_id: u64,
}

impl Reconstruction {
    fn new(steps: &[Step]) -> Self {
        let mut added = HashSet::new();
        let mut unseen: Vec<(u64, Message)> = Vec::new();
        let mut last_named = HashMap::new();
        for (at, Step { message, .. }) in steps.iter().enumerate() {
            let id = message.order_id;
            last_named.insert(id, at);
            match message.kind {
                Kind::Hidden => {}
                Kind::Add => assert!(added.insert(id), "order {id} is added twice"),
                _ if added.contains(&id) => {}
                _ => match unseen.iter_mut().find(|(unseen, _)| *unseen == id) {
                    Some((_, taken)) => taken.size += message.size,
                    None => unseen.push((id, *message)),
                },
            }
        }
        Self { levels: BTreeMap::new(), unseen, last_named, next_id: MADE_UP }
    }

    /// Brings every level that step `at` lets surface to its size before the step.
    fn surface(&mut self, steps: &[Step], at: usize) -> Vec<Message> {
        let mut made_up = Vec::new();
        for bid in [true, false] {
            let side = |step: &Step| if bid { step.bids } else { step.asks };
            let row = side(&steps[at]);
            let shown = |price| at > 0 && !is_beyond(&side(&steps[at - 1]), bid, price);
            // What the row does not show within its range is gone.
            let mut targets: BTreeMap<u32, u64> = self
                .levels
                .range((bid, 0)..=(bid, u32::MAX))
                .filter(|((_, price), _)| !is_beyond(&row, bid, *price) && !shown(*price))
                .map(|(&(_, price), _)| (price, 0))
                .collect();
            targets.extend(row.iter().copied().filter(|&(price, _)| !shown(price)));
            let message = &steps[at].message;
            if message.bid == bid
                && message.kind == Kind::Add
                && let Some(target) = targets.get_mut(&message.price)
            {
                *target -= u64::from(message.size);
            }
            for (price, target) in targets {
                self.bring(&mut made_up, message.time_ns, (bid, price), target, at);
            }
        }
        made_up
    }

    /// Brings one level to `target` shares.
    fn bring(
        &mut self,
        made_up: &mut Vec<Message>,
        time_ns: u64,
        (bid, price): (bool, u32),
        target: u64,
        at: usize,
    ) {
        let level = self.levels.entry((bid, price)).or_default();
        let mut size: u64 = level.iter().map(|&(_, size)| u64::from(size)).sum();
        let mut messages = Vec::new();
        let mut say = |kind, order_id, size| {
            messages.push(Message { time_ns, kind, order_id, size, price, bid });
        };
        // Orders that no later message names may have gone while nobody looked.
        for &(id, rests) in level.iter() {
            let later = self.last_named.get(&id).is_some_and(|&last| last >= at);
            if size > target && !later {
                let taken = u64::from(rests).min(size - target) as u32;
                let kind = if taken == rests { Kind::Delete } else { Kind::Cancel };
                say(kind, id, taken);
                size -= u64::from(taken);
            }
        }
        assert!(size <= target, "level {price} has named orders of {size}, and shows {target}");
        self.unseen.retain(|&(id, taken)| {
            let here = (taken.bid, taken.price) == (bid, price);
            let comes = here && u64::from(taken.size) <= target - size;
            if comes {
                say(Kind::Add, id, taken.size);
                size += u64::from(taken.size);
            }
            !comes
        });
        if size < target {
            say(Kind::Add, self.next_id, (target - size) as u32);
            self.next_id += 1;
        }
        messages.iter().for_each(|message| self.apply(message));
        made_up.extend(messages);
    }

    fn apply(&mut self, message: &Message) {
        let Message { kind, order_id, size, price, bid, .. } = *message;
        let level = self.levels.entry((bid, price)).or_default();
        match kind {
            Kind::Hidden => {}
            Kind::Add => level.push((order_id, size)),
            Kind::Cancel | Kind::Delete | Kind::Execute => {
                let at = level.iter().position(|&(id, _)| id == order_id);
                let at = at.unwrap_or_else(|| panic!("order {order_id} is nowhere"));
                level[at].1 -= size;
                assert!(kind != Kind::Delete || level[at].1 == 0, "order {order_id} has more");
                if level[at].1 == 0 {
                    level.remove(at);
                }
            }
        }
        self.levels.retain(|_, level| !level.is_empty());
    }
}

/// True where `price` is worse than every price of `row`.
fn is_beyond(row: &Side, bid: bool, price: u32) -> bool {
    let worst = row[LEVELS - 1].0;
    if bid { price < worst } else { price > worst }
}
