//! Micro benchmarks: `cargo bench --package wirebook-benches`. Paired figures beside others' programs are
//! `scripts/bench`'s.
#![allow(missing_docs, reason = "criterion's macros make functions without documentation")]

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use wirebook_benches::feed::{Feed, Part};
use wirebook_benches::ours::{DecodedBooks, limits_of};
use wirebook_benches::slots::Slots;
use wirebook_simulator::{DayConfig, Layout};
use wirebook_wire::{Decoder, Limits, Protocol};

const DAY: DayConfig = DayConfig {
    seed: 1,
    instruments: 1_000,
    live_orders: 20_000,
    messages: 200_000,
    layout: Layout::Bursty,
};

fn whole_day() -> Part {
    let mut part = Part::default();
    if let Ok(mut feed) = Feed::new(DAY, 30) {
        feed.next_part(DAY.messages as usize, &mut part);
    }
    assert_eq!(part.messages, DAY.messages, "the day is a valid one");
    part
}

fn decode(criterion: &mut Criterion) {
    let part = whole_day();
    let mut group = criterion.benchmark_group("decode");
    group.throughput(Throughput::Elements(part.messages));
    group.bench_function("events", |bencher| {
        let mut decoder = Decoder::new(Protocol::Itch50, 0, Limits::default());
        let mut slots = Slots::default();
        bencher.iter(|| {
            for packet in part.packets() {
                let messages = packet.blocks.map_while(Result::ok);
                let _ = black_box(decoder.decode_run(messages, packet.sequence, &mut slots));
                slots.end_packet();
            }
        });
    });
    group.finish();
}

/// How a packet's messages go into books.
type Take = fn(&mut DecodedBooks, &Part);

fn books(criterion: &mut Criterion) {
    let part = whole_day();
    let mut group = criterion.benchmark_group("books");
    group.throughput(Throughput::Elements(part.messages)).sample_size(10);
    let takes: [(&str, Take); 2] =
        [("ahead", DecodedBooks::take_ahead), ("one by one", DecodedBooks::take)];
    for (name, take) in takes {
        group.bench_function(name, |bencher| {
            bencher.iter_batched_ref(
                || DecodedBooks::new(limits_of(&DAY)),
                |books| books.as_mut().map(|books| take(books, &part)).is_ok(),
                BatchSize::PerIteration,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, decode, books);
criterion_main!(benches);
