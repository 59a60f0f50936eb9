//! Order-by-order DBN as ITCH: small cases by hand, and two days of real CME flow.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use dbn::decode::{DbnDecoder, DecodeRecord};
use dbn::{MboMsg, flags};
use std::collections::{BTreeMap, HashMap};
use wirebook_simulator::{Message, Model, ModelOrder, Side, Transcoder};

const START_NS: u64 = 34_200_000_000_000;

fn transcoder() -> Transcoder {
    Transcoder::new(START_NS, HashMap::from([(7, "ESH4".to_owned())]))
}

fn record(action: u8, order_id: u64, side: u8, price: i64, size: u32) -> MboMsg {
    let mut record = MboMsg { order_id, price, size, ..MboMsg::default() };
    record.hd.instrument_id = 7;
    record.action = action as std::ffi::c_char;
    record.side = side as std::ffi::c_char;
    record.flags.set_raw(flags::LAST);
    record
}

/// The types of the messages of these records, after the directory, and the books that they make.
fn told(records: &[MboMsg]) -> (String, Vec<ModelOrder>) {
    let mut transcoder = transcoder();
    let messages: Vec<Message> =
        records.iter().flat_map(|record| transcoder.record(record).collect::<Vec<_>>()).collect();
    let kinds: String = messages.iter().map(|message| char::from(message.body.kind())).collect();
    let mut model = Model::default();
    for message in &messages {
        apply(&mut model, message);
    }
    let kinds = kinds.strip_prefix("RH").unwrap().to_owned();
    (kinds, model.orders(1).collect())
}

fn apply(model: &mut Model, message: &Message) {
    let mut bytes = Vec::new();
    message.encode(&mut bytes);
    model.apply(&bytes).unwrap();
}

fn order(reference: u64, side: Side, price: u32, shares: u32) -> ModelOrder {
    ModelOrder { reference, side, price, shares }
}

const P: i64 = 4_810_250_000_000;
const P4: u32 = 48_102_500;

#[test]
fn each_action_becomes_what_itch_has_for_it() {
    let add = record(b'A', 1, b'B', P, 10);
    let modify = |price, size| record(b'M', 1, b'B', price, size);
    let cases: [(&[MboMsg], &str, Vec<ModelOrder>); 9] = [
        (std::slice::from_ref(&add), "A", vec![order(1, Side::Buy, P4, 10)]),
        (&[add.clone(), modify(P, 4)], "AX", vec![order(1, Side::Buy, P4, 4)]),
        (&[add.clone(), modify(P, 11)], "AU", vec![order(2, Side::Buy, P4, 11)]),
        (
            &[add.clone(), modify(P - 250_000_000, 4)],
            "AU",
            vec![order(2, Side::Buy, P4 - 2_500, 4)],
        ),
        (&[add.clone(), modify(P, 10)], "A", vec![order(1, Side::Buy, P4, 10)]),
        (&[modify(P, 10)], "A", vec![order(1, Side::Buy, P4, 10)]),
        (&[add.clone(), record(b'C', 1, b'B', P, 3)], "AX", vec![order(1, Side::Buy, P4, 7)]),
        (&[add.clone(), record(b'C', 1, b'B', P, 10)], "AD", vec![]),
        (&[add.clone(), add.clone(), record(b'R', 0, b'N', i64::MAX, 0)], "AD", vec![]),
    ];
    for (records, kinds, orders) in cases {
        assert_eq!(told(records), (kinds.to_owned(), orders));
    }
}

#[test]
fn a_fill_and_what_follows_it_are_one_execution() {
    let add = record(b'A', 1, b'A', P, 10);
    let fill = |size| record(b'F', 1, b'A', P, size);
    let trade = record(b'T', 9, b'B', P, 4);
    let cancel = |size| record(b'C', 1, b'A', P, size);
    let left = vec![order(1, Side::Sell, P4, 6)];
    for follows in [record(b'M', 1, b'A', P, 6), cancel(4)] {
        assert_eq!(told(&[add.clone(), fill(4), follows]), ("AE".to_owned(), left.clone()));
    }
    assert_eq!(told(&[add.clone(), fill(10), cancel(10)]), ("AE".to_owned(), vec![]));
    let both = [add.clone(), fill(5), fill(3), cancel(5), cancel(3)];
    assert_eq!(told(&both), ("AEE".to_owned(), vec![order(1, Side::Sell, P4, 2)]));
    let elsewhere = record(b'F', 1, b'A', P - 250_000_000, 4);
    assert_eq!(told(&[add.clone(), elsewhere, cancel(4)]), ("AC".to_owned(), left.clone()));
    // A trade is told by its fills; without any it is one against what is not displayed.
    let mut open = trade.clone();
    open.flags.set_raw(0);
    assert_eq!(told(&[add.clone(), open, fill(4), cancel(4)]), ("AE".to_owned(), left));
    assert_eq!(told(&[trade]), ("P".to_owned(), vec![]));
}

#[test]
fn what_itch_cannot_say_is_counted_and_left_out() {
    let mut transcoder = transcoder();
    for (price, side, size) in [
        (-250_000_000, b'B', 1),
        (i64::MAX, b'B', 1),
        (12_345_678, b'B', 1),
        (500_000_000_000_000, b'B', 1),
        (P, b'N', 1),
        (P, b'A', 0),
    ] {
        transcoder.record(&record(b'A', 1, side, price, size)).for_each(|message| {
            assert!(matches!(message.body.kind(), b'R' | b'H'));
        });
        let changes = [record(b'C', 1, side, price, 1), record(b'F', 1, side, price, 1)];
        assert!(changes.iter().all(|change| transcoder.record(change).next().is_none()));
    }
    let counts = transcoder.counts();
    assert_eq!((counts.unsayable_prices, counts.unsayable_orders), (4, 2));
    assert_eq!((counts.unknown_orders, counts.records), (12, 18));
}

/// A plain book of DBN's own semantics: size by order, levels by side and price.
#[derive(Default)]
struct Plain {
    orders: HashMap<u64, (u8, i64, u32)>,
}

impl Plain {
    fn apply(&mut self, record: &MboMsg) {
        match record.action as u8 {
            b'A' | b'M' => {
                let order = (record.side as u8, record.price, record.size);
                self.orders.insert(record.order_id, order);
            }
            b'C' => {
                if let Some(order) = self.orders.get_mut(&record.order_id) {
                    order.2 -= record.size.min(order.2);
                    if order.2 == 0 {
                        self.orders.remove(&record.order_id);
                    }
                }
            }
            b'R' => self.orders.clear(),
            _ => {}
        }
    }

    fn levels(&self) -> BTreeMap<(u8, i64), (u64, u64)> {
        let mut levels = BTreeMap::new();
        for &(side, price, size) in self.orders.values() {
            let level: &mut (u64, u64) = levels.entry((side, price)).or_default();
            *level = (level.0 + u64::from(size), level.1 + 1);
        }
        levels
    }
}

fn levels_of(model: &Model) -> BTreeMap<(u8, i64), (u64, u64)> {
    let mut levels = BTreeMap::new();
    for order in model.orders(1) {
        let side = if order.side == Side::Buy { b'B' } else { b'A' };
        let level: &mut (u64, u64) =
            levels.entry((side, i64::from(order.price) * 100_000)).or_default();
        *level = (level.0 + u64::from(order.shares), level.1 + 1);
    }
    levels
}

#[test]
fn two_days_of_es_end_with_the_known_book() {
    let mut records: Vec<MboMsg> = Vec::new();
    for day in ["20231224", "20231225"] {
        let Some(file) = common::data(&format!("dbn-mbo/esh4-glbx-mdp3-{day}.mbo.dbn.zst")) else {
            return;
        };
        let mut decoder = DbnDecoder::from_zstd_file(file).unwrap();
        while let Some(record) = decoder.decode_record::<MboMsg>().unwrap() {
            records.push(record.clone());
        }
    }
    let mut transcoder = Transcoder::new(START_NS, HashMap::new());
    let (mut model, mut plain) = (Model::default(), Plain::default());
    let mut last_ns = START_NS;
    transcoder.begin().for_each(|message| apply(&mut model, &message));
    for (at, record) in records.iter().enumerate() {
        plain.apply(record);
        for message in transcoder.record(record) {
            assert!(message.timestamp_ns >= last_ns && message.timestamp_ns < 1 << 48);
            last_ns = message.timestamp_ns;
            apply(&mut model, &message);
        }
        if record.flags.is_last() && at % 500 == 0 {
            assert_eq!(levels_of(&model), plain.levels(), "record {at}");
        }
    }
    transcoder.end().for_each(|message| apply(&mut model, &message));
    let levels = levels_of(&model);
    assert_eq!(levels, plain.levels());
    let side = |side| levels.keys().filter(move |key| key.0 == side).map(|key| key.1);
    assert_eq!((side(b'B').count(), side(b'A').count()), (922, 565));
    assert_eq!(side(b'B').max(), Some(4_810_000_000_000));
    assert_eq!(side(b'A').min(), Some(4_810_250_000_000));
    assert_eq!(model.symbol(1), "17077");
    let counts = transcoder.counts();
    assert_eq!(counts.records, 77_517);
    assert_eq!((counts.unsayable_prices, counts.unsayable_orders), (0, 0));
}
