//! The market's packets as frames, made before anything is sent.

use super::GROUP;
use anyhow::ensure;
use wirebook_simulator::{Line, Market, MarketConfig, PacketConfig, PacketKind, Packets};

const NS_PER_SECOND: u64 = 1_000_000_000;
/// Of a market that is sent at a rate of ours: as dense as `wirebook sim` plays one.
const MESSAGE_GAP_NS: u64 = 20_000;
/// More messages than share a packet at that density.
const MESSAGES_A_PACKET_MAX: u64 = 8;
const INSTRUMENTS: u16 = 500;

/// Frames of one session, in order, the first with sequence 1.
pub struct Frames {
    bytes: Vec<u8>,
    frames: Vec<Frame>,
}

#[derive(Clone, Copy)]
struct Frame {
    end: usize,
    /// Sequence after its last message.
    next_sequence: u64,
    offset_ns: u64,
}

impl Frames {
    /// The first packets of a market in which messages follow each other closely, at most
    /// `messages_max` in one packet.
    ///
    /// # Errors
    /// Fails where so few packets are no market.
    pub fn dense(seed: u64, packets: u64, messages_max: u16) -> anyhow::Result<Self> {
        let messages = (packets * MESSAGES_A_PACKET_MAX.min(messages_max.into())).max(10_000);
        let duration_ns = messages * MESSAGE_GAP_NS;
        let frames = Self::of(seed, messages, duration_ns, packets, messages_max)?;
        let found = frames.len() as u64;
        ensure!(found == packets, "expected a market of {packets} packets, found {found}");
        Ok(frames)
    }

    /// A whole session of so many seconds of its own, with so many messages a second of those.
    ///
    /// # Errors
    /// Fails where there are too few messages for a session.
    pub fn session(seed: u64, seconds: u64, messages_a_second: u64) -> anyhow::Result<Self> {
        let messages_max = PacketConfig::default().messages_max;
        let duration_ns = seconds * NS_PER_SECOND;
        Self::of(seed, seconds * messages_a_second, duration_ns, u64::MAX, messages_max)
    }

    fn of(
        seed: u64,
        messages: u64,
        duration_ns: u64,
        packets: u64,
        messages_max: u16,
    ) -> anyhow::Result<Self> {
        let config = MarketConfig {
            seed,
            instruments: INSTRUMENTS,
            messages,
            duration_ns,
            ..MarketConfig::default()
        };
        let line = Line::new(GROUP);
        let mut frames = Self { bytes: Vec::new(), frames: Vec::new() };
        let mut frame = Vec::new();
        let packing = PacketConfig { messages_max, ..PacketConfig::default() };
        for packet in Packets::new(Market::new(config)?, packing) {
            if frames.frames.len() as u64 == packets {
                break;
            }
            if packet.kind == PacketKind::Messages {
                line.frame(&packet.payload, &mut frame);
                frames.bytes.extend(&frame);
                frames.frames.push(Frame {
                    end: frames.bytes.len(),
                    next_sequence: packet.sequence + u64::from(packet.messages),
                    offset_ns: packet.offset_ns,
                });
            }
        }
        Ok(frames)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// True where there is none.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// The bytes of each.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.frames.iter().map(|frame| frame.end));
        starts.zip(&self.frames).map(|(start, frame)| &self.bytes[start..frame.end])
    }

    /// The time of each after the first, by the session's own clock.
    pub fn offsets_ns(&self) -> impl Iterator<Item = u64> {
        self.frames.iter().map(|frame| frame.offset_ns)
    }

    /// The sequences in each, from and to the one after the last.
    pub fn sequences(&self) -> impl Iterator<Item = (u64, u64)> {
        let firsts = std::iter::once(1).chain(self.frames.iter().map(|frame| frame.next_sequence));
        firsts.zip(self.frames.iter().map(|frame| frame.next_sequence))
    }

    /// Messages in the first `packets` of them.
    pub fn messages(&self, packets: usize) -> u64 {
        let last = packets.checked_sub(1).and_then(|last| self.frames.get(last));
        last.map_or(0, |frame| frame.next_sequence - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_hold_the_sequences_they_name() -> anyhow::Result<()> {
        let frames = Frames::dense(7, 3_000, 64)?;
        let mut next = 1;
        for ((first, end), bytes) in frames.sequences().zip(frames.iter()) {
            // Ethernet, IPv4 and UDP headers, then MoldUDP64's session, sequence and count.
            let header = &bytes[14 + 20 + 8..][..20];
            assert_eq!(header[10..18], first.to_be_bytes());
            assert_eq!(header[18..], ((end - first) as u16).to_be_bytes());
            assert_eq!(first, next);
            next = end;
        }
        assert_eq!((frames.len(), frames.messages(3_000)), (3_000, next - 1));
        Ok(())
    }
}
