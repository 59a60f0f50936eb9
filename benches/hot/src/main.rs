//! The hot functions on fixed input, for those who count instructions or read assembly.
//!
//! `hot NAME` makes the input, then calls the one function of that name, which is never inlined, so
//! that callgrind counts it and what it calls and nothing else, and objdump finds it. `scripts/budget`
//! does both. Prints how many messages the function took.
#![forbid(unsafe_code)]

use anyhow::{Context, bail, ensure};
use std::hint::black_box;
use wirebook_hot::feed::{Feed, Part};
use wirebook_hot::ours::{DecodedBooks, limits_of};
use wirebook_hot::slots::Slots;
use wirebook_machine::{Books, LookAhead};
use wirebook_model::{Event, EventSink};
use wirebook_shm::ring::{Observed, ObservingReader, Writer};
use wirebook_shm::{PageKind, Segment, SegmentLayout, SegmentView};
use wirebook_simulator::{DayConfig, Layout};
use wirebook_wire::{Decoder, Limits, Protocol, itch50};

/// Small enough for callgrind, large enough for deep books.
const DAY: DayConfig = DayConfig {
    seed: 1,
    instruments: 100,
    live_orders: 10_000,
    messages: 100_000,
    layout: Layout::Bursty,
};

const PACKET_MESSAGES: u16 = 30;

fn main() -> anyhow::Result<()> {
    let name = std::env::args().nth(1).context("expected the name of a function")?;
    let mut part = Part::default();
    Feed::new(DAY, PACKET_MESSAGES)?.next_part(DAY.messages as usize, &mut part);
    match name.as_str() {
        "count" => count(&part),
        "decode" => decode(&mut decoder(), &mut Slots::default(), &part),
        "book" => book(&mut Books::new(limits_of(&DAY))?, &events(&part)),
        "decode_and_book" => decode_and_book(&mut DecodedBooks::new(limits_of(&DAY))?, &part),
        "levels" => book(&mut Books::of_levels(limits_of(&DAY))?, &events(&part)),
        "ring" => pass()?,
        unknown => bail!("no function is called {unknown}"),
    }
    println!("{}", part.messages);
    Ok(())
}

/// Typed views of all messages.
#[inline(never)]
fn count(part: &Part) {
    for message in part.messages() {
        let _ = black_box(itch50::Message::parse(message));
    }
}

/// Events of all messages, each in a slot.
#[inline(never)]
fn decode(decoder: &mut Decoder, slots: &mut Slots, part: &Part) {
    for packet in part.packets() {
        let messages = packet.blocks.map_while(Result::ok);
        let _ = black_box(decoder.decode_run(messages, packet.sequence, slots));
        slots.end_packet();
    }
}

/// Events that were decoded before, into books, as many at a time as a packet has.
#[inline(never)]
fn book(books: &mut Books, events: &[Event]) {
    let mut ahead = LookAhead::with_capacity(PACKET_MESSAGES.into());
    for packet in events.chunks(PACKET_MESSAGES.into()) {
        packet.iter().for_each(|event| ahead.push(books, event));
        books.apply_all(&mut ahead, &mut ());
    }
}

/// Messages into books.
#[inline(never)]
fn decode_and_book(books: &mut DecodedBooks, part: &Part) {
    books.take_ahead(part);
}

/// As many slots as there are messages, into a ring and out of it.
#[inline(never)]
fn ring(writer: &mut Writer, reader: &mut ObservingReader) -> u64 {
    let mut passed = 0;
    for number in 0..DAY.messages {
        let _ = writer.push_words(&[number; 7]);
        passed += u64::from(matches!(reader.poll(), Observed::Record(_)));
    }
    passed
}

fn pass() -> anyhow::Result<()> {
    let layout = SegmentLayout::new().open_ring("output-0", 1 << 10);
    let mut segment = Segment::create(&layout, PageKind::Ordinary)?;
    let mut writer = segment.open_ring("output-0")?;
    let view = SegmentView::open(segment.share()?)?;
    let mut reader = view.observe("output-0")?;
    ensure!(ring(&mut writer, &mut reader) == DAY.messages, "a record was missed");
    Ok(())
}

fn decoder() -> Decoder {
    Decoder::new(Protocol::Itch50, 0, Limits::default())
}

fn events(part: &Part) -> Vec<Event> {
    struct Kept(Vec<Event>);
    impl EventSink for Kept {
        fn event(&mut self, event: &Event) {
            self.0.push(*event);
        }
    }
    let (mut kept, mut decoder) = (Kept(Vec::new()), decoder());
    for message in part.messages() {
        let _ = decoder.decode(message, 1, &mut kept);
    }
    kept.0
}
