//! A generated day as benchmarks take it: length-prefixed ITCH messages, a part at a time.
//!
//! Arrives: a [`DayConfig`] and how many messages a packet has. Leaves: [`Part`]s, made before the
//! clock runs, so that a day of any length needs the memory of one part.

use std::collections::HashMap;
use wirebook_simulator::{Body, Day, DayConfig, DayError, Message, Side};
use wirebook_wire::{Blocks, Malformed};

/// Messages of a part.
pub const PART_MESSAGES: usize = 1 << 19;

/// A day that is being told.
pub struct Feed {
    day: Day,
    packet_messages: u16,
    sequence: u64,
}

/// Some of its messages, in packets.
#[derive(Default)]
pub struct Part {
    /// Each message behind its two-byte length, as in Nasdaq's files.
    pub bytes: Vec<u8>,
    /// How many there are.
    pub messages: u64,
    /// Where each packet begins, and the messages in it.
    packets: Vec<(usize, u16)>,
    /// Sequence of the first message.
    first_sequence: u64,
}

/// Messages that share a packet.
pub struct Packet<'a> {
    /// Sequence of the first.
    pub sequence: u64,
    /// The messages.
    pub blocks: Blocks<'a>,
}

impl Feed {
    /// A day of packets with so many messages each.
    ///
    /// # Errors
    /// Fails where the configuration contradicts itself.
    pub fn new(config: DayConfig, packet_messages: u16) -> Result<Self, DayError> {
        Ok(Self { day: Day::new(config)?, packet_messages: packet_messages.max(1), sequence: 1 })
    }

    /// Makes the next part of at most so many messages; false where the day is over.
    pub fn next_part(&mut self, messages: usize, part: &mut Part) -> bool {
        self.next_part_seen(messages, part, |_| {})
    }

    /// The same, and shows each message.
    pub fn next_part_seen(
        &mut self,
        messages: usize,
        part: &mut Part,
        mut seen: impl FnMut(&Message),
    ) -> bool {
        part.bytes.clear();
        part.packets.clear();
        part.first_sequence = self.sequence;
        let mut in_packet = self.packet_messages;
        part.messages = 0;
        for message in self.day.by_ref().take(messages) {
            if in_packet == self.packet_messages {
                in_packet = 0;
                part.packets.push((part.bytes.len(), 0));
            }
            in_packet += 1;
            if let Some((_, count)) = part.packets.last_mut() {
                *count += 1;
            }
            let start = part.bytes.len();
            part.bytes.extend([0; 2]);
            message.encode(&mut part.bytes);
            let length = (part.bytes.len() - start - 2) as u16;
            part.bytes[start..start + 2].copy_from_slice(&length.to_be_bytes());
            part.messages += 1;
            seen(&message);
        }
        self.sequence += part.messages;
        part.messages > 0
    }
}

impl Part {
    /// Its packets, in order.
    pub fn packets(&self) -> impl Iterator<Item = Packet<'_>> {
        let mut sequence = self.first_sequence;
        let ends = self.packets.iter().skip(1).map(|&(start, _)| start).chain([self.bytes.len()]);
        self.packets.iter().zip(ends).map(move |(&(start, count), end)| {
            let first = sequence;
            sequence += u64::from(count);
            Packet { sequence: first, blocks: Blocks::big_endian(&self.bytes[start..end], count) }
        })
    }

    /// Its messages, in order.
    pub fn messages(&self) -> impl Iterator<Item = &[u8]> {
        self.packets().flat_map(|packet| packet.blocks.filter_map(Result::<_, Malformed>::ok))
    }
}

/// What a message does to the orders, with all that it does not name itself. A builder that keeps no
/// map of its own can take it as it is; looking it up costs nobody who is measured.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Step {
    /// An order came.
    Add(Resting),
    /// An order has this size now.
    Reduce(Resting),
    /// An order is gone.
    Remove(Resting),
    /// The first is gone, the second came.
    Replace(Resting, Resting),
    /// Nothing that a book holds.
    Nothing,
}

/// An order, whole.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Resting {
    /// Its instrument.
    pub stock_locate: u16,
    /// Its reference.
    pub reference: u64,
    /// Its side.
    pub side: Side,
    /// Its price, 1/10,000.
    pub price: u32,
    /// Its size.
    pub shares: u32,
}

/// A plain table of all orders.
#[derive(Default)]
pub struct Resolver(HashMap<u64, Resting>);

impl Resolver {
    /// What a message does.
    pub fn step(&mut self, message: &Message) -> Step {
        let stock_locate = message.stock_locate;
        match message.body {
            Body::Add { reference, side, shares, price, .. } => {
                let order = Resting { stock_locate, reference, side, price, shares };
                self.0.insert(reference, order);
                Step::Add(order)
            }
            Body::Execute { reference, shares, .. }
            | Body::ExecuteWithPrice { reference, shares, .. }
            | Body::Cancel { reference, shares } => match self.0.get_mut(&reference) {
                Some(order) if order.shares > shares => {
                    order.shares -= shares;
                    Step::Reduce(*order)
                }
                _ => self.0.remove(&reference).map_or(Step::Nothing, Step::Remove),
            },
            Body::Delete { reference } => {
                self.0.remove(&reference).map_or(Step::Nothing, Step::Remove)
            }
            Body::Replace { reference, new_reference, shares, price } => {
                let Some(old) = self.0.remove(&reference) else { return Step::Nothing };
                let new = Resting { reference: new_reference, price, shares, ..old };
                self.0.insert(new_reference, new);
                Step::Replace(old, new)
            }
            _ => Step::Nothing,
        }
    }
}
