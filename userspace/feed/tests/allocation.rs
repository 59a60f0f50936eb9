//! After construction nothing is allocated, whatever happens.

use allocation_counter::measure;
use std::ops::Range;
use wirebook_feed::{
    Applied, Channel, Packet, Policy, RetransmitPolicy, Retransmitter, RetransmitterPolicy, Sink,
    SnapshotPolicy, Source, Task, WindowLimits,
};
use wirebook_model::BookState;

/// Passes requests on to a retransmitter, as a queue between threads would.
struct Appliance {
    retransmitter: Retransmitter<u8>,
    messages: u64,
    snapshots: u64,
}

impl Sink<u8> for Appliance {
    fn apply(&mut self, packet: &Packet<'_, u8>, skip: u16) -> Applied {
        self.messages += u64::from(packet.message_count - skip);
        Applied { messages: packet.message_count - skip, held: packet.message_count }
    }

    fn books_are(&mut self, _state: BookState, _sequence: u64) {}

    fn clear_books(&mut self, _sequence: u64) {}

    fn request_retransmit(&mut self, session: u8, messages: Range<u64>) {
        self.retransmitter.want(session, messages, 0);
    }

    fn request_snapshot(&mut self, _session: u8, _sequence: u64) {
        self.snapshots += 1;
    }

    fn end_recovery(&mut self) {
        self.retransmitter.cancel();
    }
}

#[test]
fn a_channel_in_every_kind_of_trouble_allocates_nothing() {
    let policy = Policy {
        reorder_wait_ns: 50,
        window: WindowLimits { packets: 64, bytes: 4_000 },
        retransmit: Some(RetransmitPolicy { deadline_ns: 500, messages_max: 50 }),
        snapshot: Some(SnapshotPolicy { deadline_ns: 500, retry_after_ns: Some(500) }),
        ..Policy::default()
    };
    let mut channel = Channel::new(policy);
    let retransmitter = Retransmitter::new(RetransmitterPolicy::default());
    let mut appliance = Appliance { retransmitter, messages: 0, snapshots: 0 };
    let bytes = [0; 200];
    let allocated = measure(|| {
        for step in 0..100_000_u64 {
            // Every sixteenth packet is lost on both lines, line B runs behind and cuts differently.
            let session = 1 + (step / 30_000) as u8;
            let place = step % 30_000;
            for (source, sequence) in [(0, 3 * place + 1), (1, (3 * place).saturating_sub(7) + 1)] {
                let packet = Packet {
                    session,
                    sequence,
                    message_count: 3 + source * 2,
                    ends_session: false,
                    ts_recv: step,
                    bytes: &bytes[..(step % 200) as usize],
                };
                if step % 16 > 2 {
                    channel.arrive(Source::Line(source as u8), &packet, step, &mut appliance);
                }
            }
            channel.tick(step, &mut appliance);
            while let Some(task) = appliance.retransmitter.poll(step) {
                let Task::Send { server, session, first, message_count } = task else { continue };
                if step % 1_000 < 500
                    && appliance.retransmitter.answer(server, session, first, message_count, step)
                {
                    let packet = Packet {
                        session,
                        sequence: first,
                        message_count,
                        ends_session: false,
                        ts_recv: step,
                        bytes: &bytes,
                    };
                    channel.arrive(Source::Retransmit, &packet, step, &mut appliance);
                }
            }
            if step % 300 == 0 {
                channel.snapshot_begins(session, &mut appliance);
                channel.snapshot_ends(session, 3 * place + 1, step, &mut appliance);
            }
        }
    });
    assert_eq!((allocated.count_total, allocated.count_current), (0, 0));
    let counters = channel.counters();
    for (name, count) in [
        ("messages", counters.messages),
        ("held", counters.held),
        ("overflows", counters.overflows),
        ("retransmitted", counters.retransmitted_messages),
        ("failures", counters.retransmit_failures),
        ("snapshots", counters.snapshots),
        ("refused", counters.refused_snapshots + counters.snapshot_failures),
        ("sessions", counters.session_changes),
    ] {
        assert!(count > 0, "no {name}: {counters:?}");
    }
    assert_it_counts();
}

/// The counter counts, or nothing here says anything.
fn assert_it_counts() {
    assert_eq!(measure(|| drop(std::hint::black_box(Box::new(1)))).count_total, 1);
}
