//! Decoding takes no memory: an allocator that counts, over whole captures.

mod common;

use allocation_counter::measure;
use wirebook_model::{Event, EventSink};
use wirebook_wire::{Datagram, Decoded, Decoder, Limits, Protocol, TransportPacket};

#[derive(Default)]
struct Count(u64);

impl EventSink for Count {
    fn event(&mut self, _event: &Event) {
        self.0 += 1;
    }
}

#[test]
fn decoding_whole_captures_allocates_nothing() {
    let Some(data) = common::data() else { return };
    let frames = common::pcap(&data.join("iex/deep-2023-10-02.pcap.gz"));
    let itch = common::artificial_messages(&data);
    let mut deep_decoder = Decoder::new(Protocol::IexDeep, 0, Limits::default());
    let mut itch_decoder = Decoder::new(Protocol::Itch50, 0, Limits::default());
    let mut events = Count::default();

    let mut messages = 0;
    let allocated = measure(|| {
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
    });

    assert_eq!(messages, 48_325 + 12_012);
    assert!(events.0 > 40_000);
    assert_eq!((allocated.count_total, allocated.count_current), (0, 0));
    assert_it_counts();
}

/// The counter counts, or nothing here says anything.
fn assert_it_counts() {
    assert_eq!(measure(|| drop(std::hint::black_box(Box::new(1)))).count_total, 1);
}
