//! ITCH 5.0 messages about states and prices, rather than orders, become these events.

use wirebook_model::dbn::{StatType, StatusAction, StatusReason};
use wirebook_model::{Event, VenueEvent};
use wirebook_wire::itch50::*;
use wirebook_wire::{Code, Decoded, Decoder, Limits, Price4, Protocol, Text, U48};
use zerocopy::{Immutable, IntoBytes};

/// 2023-08-22 00:00 US Eastern.
const MIDNIGHT: u64 = 1_692_676_800_000_000_000;

/// What one known message says.
fn bodies(message: &(impl IntoBytes + Immutable)) -> Vec<VenueEvent> {
    let mut decoder = Decoder::new(Protocol::Itch50, 3, Limits::default());
    decoder.set_midnight(MIDNIGHT);
    let mut events: Vec<Event> = Vec::new();
    assert_eq!(decoder.decode(message.as_bytes(), 1, &mut events), Decoded::Known);
    events.into_iter().map(|event| event.body).collect()
}

/// The statistics among `events`, as type and price.
fn statistics(events: &[VenueEvent]) -> Vec<(u16, i64)> {
    let statistic = |event: &VenueEvent| match event {
        VenueEvent::Statistic(statistic) => Some((statistic.stat_type, statistic.price)),
        _ => None,
    };
    events.iter().filter_map(statistic).collect()
}

#[test]
fn collars_are_statistics() {
    let collar = LuldAuctionCollar {
        message_type: Code(b'J'),
        stock_locate: 9.into(),
        tracking_number: 0.into(),
        timestamp: U48::new(5),
        stock: Text::new(b"AAPL"),
        auction_collar_reference_price: Price4(2.into()),
        upper_auction_collar_price: Price4(3.into()),
        lower_auction_collar_price: Price4(1.into()),
        auction_collar_extension: 0.into(),
    };
    let expected = [
        (StatType::AuctionCollarReferencePrice as u16, 200_000),
        (StatType::AuctionCollarUpperPrice as u16, 300_000),
        (StatType::AuctionCollarLowerPrice as u16, 100_000),
    ];
    assert_eq!(statistics(&bodies(&collar)), expected);
}

#[test]
fn the_bounds_of_a_direct_listing_are_statistics() {
    let listing = DirectListingPriceDiscovery {
        message_type: Code(b'O'),
        stock_locate: 9.into(),
        tracking_number: 0.into(),
        timestamp: U48::new(5),
        stock: Text::new(b"AAPL"),
        open_eligibility_status: Code(b'Y'),
        minimum_allowable_price: Price4(1.into()),
        maximum_allowable_price: Price4(5.into()),
        near_execution_price: Price4(3.into()),
        near_execution_time: 0.into(),
        lower_price_range_collar: Price4(2.into()),
        upper_price_range_collar: Price4(4.into()),
    };
    let expected = [
        (StatType::UpperPriceLimit as u16, 500_000),
        (StatType::LowerPriceLimit as u16, 100_000),
        (StatType::AuctionCollarReferencePrice as u16, 300_000),
        (StatType::AuctionCollarUpperPrice as u16, 400_000),
        (StatType::AuctionCollarLowerPrice as u16, 200_000),
    ];
    assert_eq!(statistics(&bodies(&listing)), expected);
}

#[test]
fn an_ipo_tells_its_price_and_the_time_of_its_release() {
    let update = IpoQuotingPeriodUpdate {
        message_type: Code(b'K'),
        stock_locate: 9.into(),
        tracking_number: 0.into(),
        timestamp: U48::new(5),
        stock: Text::new(b"AAPL"),
        ipo_quotation_release_time: 36_000.into(),
        ipo_quotation_release_qualifier: Code(b'A'),
        ipo_price: Price4(170_000.into()),
    };
    let [VenueEvent::Statistic(price), VenueEvent::Status(status)] = bodies(&update)[..] else {
        panic!("a statistic and a status");
    };
    assert_eq!((price.price, price.ts_ref), (17_000_000_000, MIDNIGHT + 36_000_000_000_000));
    assert_eq!(status.action, StatusAction::NewPriceIndication as u16);
}

#[test]
fn halts_of_other_markets_and_of_nasdaq_are_told_apart() {
    let halt = |market_code, action| OperationalHalt {
        message_type: Code(b'h'),
        stock_locate: 9.into(),
        tracking_number: 0.into(),
        timestamp: U48::new(5),
        stock: Text::new(b"AAPL"),
        market_code: Code(market_code),
        operational_halt_action: Code(action),
    };
    assert_eq!(bodies(&halt(b'B', b'H')), []);
    for (code, action) in [(b'H', StatusAction::Halt), (b'T', StatusAction::Trading)] {
        let [VenueEvent::Status(status)] = bodies(&halt(b'Q', code))[..] else {
            panic!("one status");
        };
        let expected = (action as u16, StatusReason::Operational as u16);
        assert_eq!((status.action, status.reason), expected);
    }
}

#[test]
fn a_halt_tells_its_reason() {
    let action = |state, reason: &[u8]| StockTradingAction {
        message_type: Code(b'H'),
        stock_locate: 9.into(),
        tracking_number: 0.into(),
        timestamp: U48::new(5),
        stock: Text::new(b"AAPL"),
        trading_state: Code(state),
        reserved: Code(b' '),
        reason: Text::new(reason),
    };
    for (state, code, expected, reason, trading, quoting) in [
        (b'H', &b"T1"[..], StatusAction::Halt, StatusReason::NewsPending, b'N', b'N'),
        (b'P', b"LUDP", StatusAction::Pause, StatusReason::LuldPause, b'N', b'N'),
        (b'Q', b"T3", StatusAction::Quoting, StatusReason::NewsAndResumptionTimes, b'N', b'Y'),
        (b'T', b"", StatusAction::Trading, StatusReason::None, b'Y', b'Y'),
        (b'z', b"ZZ", StatusAction::None, StatusReason::None, b'~', b'~'),
    ] {
        let [VenueEvent::Status(status)] = bodies(&action(state, code))[..] else {
            panic!("one status");
        };
        assert_eq!((status.action, status.reason), (expected as u16, reason as u16));
        assert_eq!((status.is_trading, status.is_quoting), (trading, quoting));
    }
}

#[test]
fn the_short_sale_test_is_a_status() {
    let restriction = |action| RegShoRestriction {
        message_type: Code(b'Y'),
        locate_code: 9.into(),
        tracking_number: 0.into(),
        timestamp: U48::new(5),
        stock: Text::new(b"AAPL"),
        reg_sho_action: Code(action),
    };
    for (code, restricted) in [(b'0', b'N'), (b'1', b'Y'), (b'2', b'Y'), (b'9', b'~')] {
        let [VenueEvent::Status(status)] = bodies(&restriction(code))[..] else {
            panic!("one status");
        };
        assert_eq!(status.action, StatusAction::SsrChange as u16);
        assert_eq!((status.is_short_sell_restricted, status.is_trading), (restricted, b'~'));
    }
}
