//! A generated market against the wire views, a plain replay of its bytes, and its own promises.
#![allow(clippy::unwrap_used, reason = "a test reports by panicking")]

use std::collections::{BTreeMap, HashMap};
use wirebook_simulator::{
    Body, ConfigError, ExpectedBook, ExpectedLevel, Market, MarketConfig, Message, Model, Side,
};
use wirebook_wire::{Price4, itch50};

fn config(seed: u64) -> MarketConfig {
    MarketConfig { seed, instruments: 40, messages: 60_000, ..MarketConfig::default() }
}

fn bytes_of(config: MarketConfig) -> Vec<u8> {
    let mut bytes = Vec::new();
    for message in Market::new(config).unwrap() {
        message.encode(&mut bytes);
    }
    bytes
}

/// FNV-1a, 64 bits: one number for a whole market.
fn fingerprint(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[test]
fn the_same_seed_gives_the_same_bytes() {
    let first = bytes_of(config(7));
    assert_eq!(first, bytes_of(config(7)));
    assert_ne!(first, bytes_of(config(8)));
}

/// Changes only when the generator is meant to change: recorded runs name their seed.
const FINGERPRINT_OF_SEED_1: u64 = 7040124408945278232;

#[test]
fn the_market_of_a_seed_never_changes() {
    assert_eq!(fingerprint(&bytes_of(config(1))), FINGERPRINT_OF_SEED_1);
}

#[test]
fn every_message_is_read_as_it_was_meant() {
    for seed in 0..4 {
        for message in Market::new(config(seed)).unwrap() {
            let mut bytes = Vec::new();
            message.encode(&mut bytes);
            assert_meant(&message, &bytes);
        }
    }
}

/// Compares fields; lengths must be the specification's exactly.
fn assert_meant(message: &Message, bytes: &[u8]) {
    let length = itch50::Message::LENGTHS.iter().find(|(kind, _)| *kind == bytes[0]);
    assert_eq!(length, Some(&(message.body.kind(), bytes.len())));
    assert_eq!(bytes[1..3], message.stock_locate.to_be_bytes());
    assert_eq!(bytes[3..5], [0, 0]);
    assert_eq!(bytes[5..11], message.timestamp_ns.to_be_bytes()[2..]);
    let shown = |price: Price4| price.0.get();
    let side = |side: Side| if side == Side::Buy { b'B' } else { b'S' };
    match (message.body, itch50::Message::parse(bytes).unwrap()) {
        (Body::SystemEvent { event_code }, itch50::Message::SystemEvent(read)) => {
            assert_eq!(read.event_code.0, event_code);
        }
        (Body::StockDirectory { stock }, itch50::Message::StockDirectory(read)) => {
            assert_eq!((read.stock.0, read.round_lot_size.get()), (stock, 100));
            assert_eq!((read.authenticity.0, read.issue_classification.0), (b'P', b'C'));
            assert_eq!((read.inverse_indicator.0, read.etp_flag.0), (b'N', b'N'));
        }
        (
            Body::TradingAction { stock, trading_state, reason },
            itch50::Message::StockTradingAction(read),
        ) => {
            assert_eq!((read.stock.0, read.trading_state.0), (stock, trading_state));
            assert_eq!(read.reason.0, reason);
        }
        (Body::DeclineLevels { levels }, itch50::Message::MwcbDeclineLevel(read)) => {
            let shown = [&read.level_1, &read.level_2, &read.level_3].map(|level| level.0.get());
            assert_eq!(shown, levels);
        }
        (Body::DeclineBreach { level }, itch50::Message::MwcbStatus(read)) => {
            assert_eq!(read.breached_level.0, level);
        }
        (
            Body::AuctionCollar { stock, reference_price, upper_price, lower_price, extension },
            itch50::Message::LuldAuctionCollar(read),
        ) => {
            assert_eq!((read.stock.0, read.auction_collar_extension.get()), (stock, extension));
            assert_eq!(shown(read.auction_collar_reference_price), reference_price);
            assert_eq!(shown(read.upper_auction_collar_price), upper_price);
            assert_eq!(shown(read.lower_auction_collar_price), lower_price);
        }
        (Body::BrokenTrade { match_number }, itch50::Message::BrokenTrade(read)) => {
            assert_eq!(read.match_number.get(), match_number);
        }
        (
            Body::Add { reference, side: meant, shares, stock, price, mpid: None },
            itch50::Message::AddOrder(read),
        ) => {
            assert_eq!(read.order_reference_number.get(), reference);
            assert_eq!((read.buy_sell_indicator.0, read.shares.get()), (side(meant), shares));
            assert_eq!((read.stock.0, shown(read.price)), (stock, price));
        }
        (
            Body::Add { reference, side: meant, shares, stock, price, mpid: Some(mpid) },
            itch50::Message::AddOrderWithMpid(read),
        ) => {
            assert_eq!(read.order_reference_number.get(), reference);
            assert_eq!((read.buy_sell_indicator.0, read.shares.get()), (side(meant), shares));
            assert_eq!((read.stock.0, shown(read.price)), (stock, price));
            assert_eq!(read.attribution.0, mpid);
        }
        (
            Body::Execute { reference, shares, match_number },
            itch50::Message::OrderExecuted(read),
        ) => {
            assert_eq!(read.order_reference_number.get(), reference);
            assert_eq!(read.executed_shares.get(), shares);
            assert_eq!(read.match_number.get(), match_number);
        }
        (
            Body::ExecuteWithPrice { reference, shares, match_number, printable, price },
            itch50::Message::OrderExecutedWithPrice(read),
        ) => {
            assert_eq!(read.order_reference_number.get(), reference);
            assert_eq!(read.executed_shares.get(), shares);
            assert_eq!(read.match_number.get(), match_number);
            assert_eq!(read.printable.0 == b'Y', printable);
            assert_eq!(shown(read.execution_price), price);
        }
        (Body::Cancel { reference, shares }, itch50::Message::OrderCancel(read)) => {
            assert_eq!(read.order_reference_number.get(), reference);
            assert_eq!(read.canceled_shares.get(), shares);
        }
        (Body::Delete { reference }, itch50::Message::OrderDelete(read)) => {
            assert_eq!(read.order_reference_number.get(), reference);
        }
        (
            Body::Replace { reference, new_reference, shares, price },
            itch50::Message::OrderReplace(read),
        ) => {
            assert_eq!(read.original_order_reference_number.get(), reference);
            assert_eq!(read.new_order_reference_number.get(), new_reference);
            assert_eq!((read.shares.get(), shown(read.price)), (shares, price));
        }
        (
            Body::Trade { shares, stock, price, match_number },
            itch50::Message::NonCrossTrade(read),
        ) => {
            assert_eq!((read.order_reference_number.get(), read.buy_sell_indicator.0), (0, b'B'));
            assert_eq!((read.shares.get(), read.stock.0), (shares, stock));
            assert_eq!((shown(read.price), read.match_number.get()), (price, match_number));
        }
        (
            Body::CrossTrade { shares, stock, price, match_number, cross_type },
            itch50::Message::CrossTrade(read),
        ) => {
            assert_eq!((read.shares.get(), read.stock.0), (shares, stock));
            assert_eq!((shown(read.cross_price), read.match_number.get()), (price, match_number));
            assert_eq!(read.cross_type.0, cross_type);
        }
        (
            Body::Imbalance {
                paired_shares,
                imbalance_shares,
                direction,
                stock,
                far_price,
                near_price,
                reference_price,
                cross_type,
            },
            itch50::Message::NetOrderImbalanceIndicator(read),
        ) => {
            assert_eq!(read.paired_shares.get(), paired_shares);
            assert_eq!(read.imbalance_shares.get(), imbalance_shares);
            assert_eq!((read.imbalance_direction.0, read.stock.0), (direction, stock));
            assert_eq!((shown(read.far_price), shown(read.near_price)), (far_price, near_price));
            assert_eq!(shown(read.current_reference_price), reference_price);
            assert_eq!(read.cross_type.0, cross_type);
        }
        (meant, read) => panic!("meant {meant:?}, read {read:?}"),
    }
}

/// Shares and orders by side and price.
type Levels = BTreeMap<(u8, u32), (u64, u32)>;

/// A book kept from the bytes alone: every order in one map.
#[derive(Default)]
struct Replay {
    /// Locate, side, price and shares, by reference.
    orders: HashMap<u64, (u16, u8, u32, u32)>,
    symbols: HashMap<u16, String>,
    /// By locate.
    levels: HashMap<u16, Levels>,
}

impl Replay {
    fn apply(&mut self, bytes: &[u8]) {
        match itch50::Message::parse(bytes).unwrap() {
            itch50::Message::StockDirectory(m) => {
                let symbol = String::from_utf8(m.stock.trimmed().to_vec()).unwrap();
                assert!(self.symbols.insert(m.stock_locate.get(), symbol).is_none());
            }
            itch50::Message::AddOrder(m) => {
                let (side, price) = (m.buy_sell_indicator.0, m.price.0.get());
                let (id, shares) = (m.order_reference_number.get(), m.shares.get());
                self.add(m.stock_locate.get(), id, side, price, shares);
            }
            itch50::Message::AddOrderWithMpid(m) => {
                let (side, price) = (m.buy_sell_indicator.0, m.price.0.get());
                let (id, shares) = (m.order_reference_number.get(), m.shares.get());
                self.add(m.stock_locate.get(), id, side, price, shares);
            }
            itch50::Message::OrderExecuted(m) => {
                let id = m.order_reference_number.get();
                assert!(self.is_first(id), "order {id} traded before its turn");
                self.reduce(m.stock_locate.get(), id, m.executed_shares.get());
            }
            itch50::Message::OrderExecutedWithPrice(m) => {
                let id = m.order_reference_number.get();
                self.reduce(m.stock_locate.get(), id, m.executed_shares.get());
            }
            itch50::Message::OrderCancel(m) => {
                let id = m.order_reference_number.get();
                self.reduce(m.stock_locate.get(), id, m.canceled_shares.get());
                assert!(self.orders.contains_key(&id), "a cancel leaves shares");
            }
            itch50::Message::OrderDelete(m) => {
                let id = m.order_reference_number.get();
                self.reduce(m.stock_locate.get(), id, self.orders[&id].3);
            }
            itch50::Message::OrderReplace(m) => {
                let id = m.original_order_reference_number.get();
                let (locate, side, _, shares) = self.orders[&id];
                self.reduce(locate, id, shares);
                let (id, shares) = (m.new_order_reference_number.get(), m.shares.get());
                self.add(m.stock_locate.get(), id, side, m.price.0.get(), shares);
            }
            _ => {}
        }
    }

    fn add(&mut self, locate: u16, id: u64, side: u8, price: u32, shares: u32) {
        assert!(shares > 0 && price > 0);
        assert!(self.symbols.contains_key(&locate));
        assert!(self.orders.insert(id, (locate, side, price, shares)).is_none());
        let level = self.levels.entry(locate).or_default().entry((side, price)).or_default();
        *level = (level.0 + u64::from(shares), level.1 + 1);
        assert!(!self.is_crossed(locate), "locate {locate} crossed by order {id}");
    }

    fn reduce(&mut self, locate: u16, id: u64, shares: u32) {
        let order = self.orders.get_mut(&id).expect("a reference that rests");
        assert_eq!(order.0, locate);
        assert!(shares > 0 && shares <= order.3);
        order.3 -= shares;
        let (_, side, price, left) = *order;
        let levels = self.levels.get_mut(&locate).unwrap();
        let level = levels.get_mut(&(side, price)).unwrap();
        level.0 -= u64::from(shares);
        if left == 0 {
            self.orders.remove(&id);
            level.1 -= 1;
            if level.1 == 0 {
                levels.remove(&(side, price));
            }
        }
    }

    /// True where no order of the same book and side has a better price, or the same and is older.
    fn is_first(&self, id: u64) -> bool {
        let (locate, side, price, _) = self.orders[&id];
        let worse = |price: u32| if side == b'B' { u32::MAX - price } else { price };
        !self.orders.iter().any(|(&other_id, other)| {
            (other.0, other.1) == (locate, side) && (worse(other.2), other_id) < (worse(price), id)
        })
    }

    fn is_crossed(&self, locate: u16) -> bool {
        let levels = &self.levels[&locate];
        let bid = levels.range((b'B', 0)..=(b'B', u32::MAX)).next_back();
        let ask = levels.range((b'S', 0)..=(b'S', u32::MAX)).next();
        matches!((bid, ask), (Some(((_, bid), _)), Some(((_, ask), _))) if bid >= ask)
    }

    fn book(&self, locate: u16) -> ExpectedBook {
        let mut book = ExpectedBook::default();
        for (&(side, price), &(shares, orders)) in self.levels.get(&locate).into_iter().flatten() {
            let level = ExpectedLevel { price, shares, orders };
            if side == b'B' {
                book.bids.insert(0, level);
            } else {
                book.asks.push(level);
            }
        }
        book
    }
}

#[test]
fn the_expected_books_are_those_of_a_plain_replay() {
    for seed in 0..4 {
        let mut market = Market::new(config(seed)).unwrap();
        let mut replay = Replay::default();
        let mut bytes = Vec::new();
        for message in market.by_ref() {
            bytes.clear();
            message.encode(&mut bytes);
            replay.apply(&bytes);
        }
        assert_eq!(replay.symbols.len(), 40);
        assert_eq!(replay.orders.len(), market.live_orders());
        for (locate, symbol) in &replay.symbols {
            assert_eq!(market.expected_book(symbol), Some(replay.book(*locate)), "{symbol}");
        }
        assert!(replay.book(1).bids.len() > 5 && replay.book(1).asks.len() > 5);
        assert_eq!(market.expected_book("NONE"), None);
    }
}

/// Two judges of one market: the generator's own books, and those kept from the bytes.
#[test]
fn the_model_agrees_with_the_generator_order_by_order() {
    for seed in 0..4 {
        let mut market = Market::new(config(seed)).unwrap();
        let mut model = Model::default();
        let mut bytes = Vec::new();
        for message in market.by_ref() {
            bytes.clear();
            message.encode(&mut bytes);
            model.apply(&bytes).unwrap();
        }
        assert_eq!(model.order_count(), market.live_orders());
        assert_eq!(model.locates().count(), 40);
        for locate in model.locates() {
            let expected = market.expected_book(model.symbol(locate)).unwrap();
            let mut found = ExpectedBook::default();
            for order in model.orders(locate) {
                let side = match order.side {
                    Side::Buy => &mut found.bids,
                    Side::Sell => &mut found.asks,
                };
                match side.last_mut() {
                    Some(level) if level.price == order.price => {
                        level.shares += u64::from(order.shares);
                        level.orders += 1;
                    }
                    _ => side.push(ExpectedLevel {
                        price: order.price,
                        shares: u64::from(order.shares),
                        orders: 1,
                    }),
                }
            }
            assert_eq!(found, expected, "seed {seed}, locate {locate}");
        }
    }
}

#[test]
fn the_mix_is_that_of_a_real_day() {
    let messages = 300_000;
    let mut market = Market::new(MarketConfig { messages, ..MarketConfig::default() }).unwrap();
    assert_eq!(market.by_ref().count() as u64, messages);
    let totals = market.totals();
    assert_eq!(totals.values().sum::<u64>(), messages);
    for (kinds, percent, tolerance) in
        [("AF", 47.0, 1.0), ("D", 39.0, 1.0), ("U", 8.0, 0.5), ("ECP", 4.0, 0.5), ("X", 1.0, 0.5)]
    {
        let count: u64 = kinds.bytes().map(|kind| totals[&kind]).sum();
        let found = 100.0 * count as f64 / messages as f64;
        assert!((found - percent).abs() <= tolerance, "{kinds}: {found:.2} % of {percent} %");
    }
    assert_eq!((totals[&b'S'], totals[&b'R'], totals[&b'V']), (6, 500, 1));
    assert!(totals[&b'B'] > 20 && totals[&b'J'] > 5, "{totals:?}");
}

#[test]
fn the_day_has_its_phases_in_order_and_its_times_grow() {
    let config = config(3);
    let mut last_ns = config.start_ns;
    let mut events = Vec::new();
    for message in Market::new(config).unwrap() {
        assert!(message.timestamp_ns >= last_ns);
        last_ns = message.timestamp_ns;
        let phase = events.last().copied();
        match message.body {
            Body::SystemEvent { event_code } => events.push(event_code),
            Body::Execute { .. } | Body::ExecuteWithPrice { .. } | Body::Trade { .. } => {
                assert_eq!(phase, Some(b'Q'));
            }
            Body::Imbalance { cross_type, .. } => {
                assert_eq!(phase, Some(if cross_type == b'O' { b'S' } else { b'Q' }));
            }
            Body::CrossTrade { cross_type, .. } => {
                assert_eq!(phase, Some(if cross_type == b'C' { b'M' } else { b'Q' }));
            }
            _ => {}
        }
    }
    assert_eq!(events, b"OSQMEC");
    let spread_ns = last_ns - config.start_ns;
    assert!(spread_ns <= config.duration_ns && spread_ns > config.duration_ns * 9 / 10);
}

#[test]
fn the_open_and_the_close_are_the_busiest() {
    let config = config(4);
    let mut by_twentieth = [0; 21];
    for message in Market::new(config).unwrap() {
        let into = message.timestamp_ns - config.start_ns;
        by_twentieth[(20 * into / config.duration_ns) as usize] += 1;
    }
    let (open, noon, close) = (by_twentieth[2], by_twentieth[10], by_twentieth[19]);
    assert!(open > 2 * noon && close > 2 * noon, "{by_twentieth:?}");
}

/// Follows every halt: nothing trades in it, and what comes next is what may come next.
#[test]
fn a_halted_instrument_does_not_trade_until_it_resumes() {
    let (mut news, mut pauses, mut market_wide, mut resumed) = (0, 0, 0, 0);
    for seed in 0..12 {
        let mut states: HashMap<u16, u8> = HashMap::new();
        for message in Market::new(config(seed)).unwrap() {
            let state = states.get(&message.stock_locate).copied();
            match message.body {
                Body::TradingAction { trading_state, reason, .. } => {
                    let before = states.insert(message.stock_locate, trading_state);
                    match (before, trading_state, &reason) {
                        (Some(b'T'), b'H', b"T1  ") => news += 1,
                        (Some(b'T'), b'P', b"LUDP") => pauses += 1,
                        (Some(b'T'), b'H', b"MWC1") => market_wide += 1,
                        (Some(b'H'), b'Q', b"T3  " | b"MWCQ") | (Some(b'P'), b'Q', b"LUDP") => {}
                        (Some(b'Q'), b'T', b"    ") => resumed += 1,
                        (None, b'T', b"    ") => {}
                        other => panic!("{other:?}"),
                    }
                }
                Body::Execute { .. } | Body::ExecuteWithPrice { .. } | Body::Trade { .. } => {
                    assert_eq!(state, Some(b'T'));
                }
                Body::CrossTrade { cross_type: b'H', shares, .. } => {
                    assert!(state == Some(b'T') && shares > 0);
                }
                Body::Imbalance { cross_type: b'H', .. } | Body::AuctionCollar { .. } => {
                    assert_eq!(state, Some(b'Q'));
                }
                _ => {}
            }
        }
    }
    assert!(news > 10 && pauses > 10 && market_wide >= 40 && resumed > 50);
}

#[test]
fn a_broken_trade_was_one_and_is_broken_once() {
    let mut matches = std::collections::HashSet::new();
    let mut broken = 0;
    for message in Market::new(MarketConfig { instruments: 5, ..config(2) }).unwrap() {
        match message.body {
            Body::Execute { match_number, .. }
            | Body::ExecuteWithPrice { match_number, .. }
            | Body::Trade { match_number, .. }
            | Body::CrossTrade { match_number, .. } => assert!(matches.insert(match_number)),
            Body::BrokenTrade { match_number } => {
                broken += 1;
                assert!(matches.remove(&match_number));
            }
            _ => {}
        }
    }
    assert!(broken > 5);
}

#[test]
fn the_smallest_day_has_only_its_fixed_messages() {
    for instruments in [1, 2, 30] {
        let config = MarketConfig { instruments, ..config(1) };
        let least = config.messages_min();
        let market = Market::new(MarketConfig { messages: least, ..config }).unwrap();
        assert_eq!(market.count() as u64, least);
        let more = Market::new(MarketConfig { messages: least + 1, ..config }).unwrap();
        assert_eq!(more.count() as u64, least + 1);
        let fewer = Market::new(MarketConfig { messages: least - 1, ..config });
        assert!(matches!(fewer, Err(ConfigError::TooFewMessages { .. })));
    }
}

#[test]
fn what_cannot_be_is_an_error() {
    let none = Market::new(MarketConfig { instruments: 0, ..config(1) });
    assert!(matches!(none, Err(ConfigError::NoInstruments)));
    let late = Market::new(MarketConfig { start_ns: 1 << 48, ..config(1) });
    assert!(matches!(late, Err(ConfigError::TooLate { .. })));
}

#[test]
fn an_instant_market_has_one_time() {
    let config = MarketConfig { duration_ns: 0, ..config(1) };
    assert!(Market::new(config).unwrap().all(|m| m.timestamp_ns == config.start_ns));
}
