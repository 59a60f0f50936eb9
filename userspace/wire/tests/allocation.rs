//! Decoding takes no memory: an allocator that counts, over whole captures.
#![expect(unsafe_code, reason = "a global allocator can be written in no other way")]

mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};
use wirebook_model::{Event, EventSink};
use wirebook_wire::{Datagram, Decoded, Decoder, Limits, Protocol, TransportPacket};

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

struct Counting;

// SAFETY: every call goes on to `System` unchanged, which keeps the contract of `GlobalAlloc`;
// the counter allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps the contract of `alloc`, which is that of `System::alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: `pointer` came from `System.alloc` with this `layout`: `alloc` uses no other.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[derive(Default)]
struct Count(u64);

impl EventSink for Count {
    fn event(&mut self, _event: &Event) {
        self.0 += 1;
    }
}

/// One test alone: the counter is the whole program's.
#[test]
fn decoding_whole_captures_allocates_nothing() {
    let Some(data) = common::data() else { return };
    let frames = common::pcap(&data.join("iex/deep-2023-10-02.pcap.gz"));
    let itch = common::artificial_messages(&data);
    let mut deep_decoder = Decoder::new(Protocol::IexDeep, 0, Limits::default());
    let mut itch_decoder = Decoder::new(Protocol::Itch50, 0, Limits::default());
    let mut events = Count::default();

    let before = ALLOCATIONS.load(Ordering::Relaxed);
    let mut messages = 0;
    for frame in &frames {
        let datagram = Datagram::parse(&frame.bytes).expect("a datagram");
        let packet = TransportPacket::parse(Protocol::IexDeep.transport(), datagram.payload);
        let packet = packet.expect("a packet");
        for (sequence, block) in (packet.sequence..).zip(packet.blocks) {
            let block = block.expect("a message");
            assert_eq!(deep_decoder.decode(block, sequence, &mut events), Decoded::Known);
            messages += 1;
        }
    }
    for (sequence, message) in (1..).zip(&itch) {
        assert_eq!(itch_decoder.decode(message, sequence, &mut events), Decoded::Known);
        messages += 1;
    }
    let after = ALLOCATIONS.load(Ordering::Relaxed);

    assert_eq!(messages, 48_325 + 12_012);
    assert!(events.0 > 40_000);
    assert_eq!(after - before, 0, "allocations while decoding");
    assert!(before > 0, "the counter counts");
}
