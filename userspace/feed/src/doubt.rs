//! Packets that nobody would believe alone: of an unknown session, or far ahead of all others.
//!
//! Arrives: such packets. Leaves: whether they are to be believed, and then the packets
//! themselves, which have been kept aside meanwhile. Promises: nothing that is believed in the end
//! is lost on the way, as far as there is room.

use crate::packet::{Packet, Source};
use crate::policy::{Doubtfulness, WindowLimits};
use crate::window::{Held, Window};

/// The bytes of the longest UDP payload.
const PACKET_BYTES_MAX: usize = 65_507;

/// What is doubted at the moment.
#[derive(Clone, Debug)]
pub(crate) struct Doubt<S> {
    policy: Doubtfulness,
    suspect: Option<Suspect<S>>,
    kept: Window,
}

/// A session, or a part of one, that has not been believed yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Suspect<S> {
    pub(crate) session: S,
    /// The lowest sequence seen.
    pub(crate) first: u64,
    /// The highest next sequence seen.
    pub(crate) end: u64,
    source: Source,
    packets: u8,
    since_ns: u64,
    last_ns: u64,
}

impl<S: Copy + Eq> Doubt<S> {
    /// Nothing is doubted. No more bytes are kept than a reorder window of `window_bytes` could
    /// take up.
    pub(crate) fn new(policy: Doubtfulness, window_bytes: usize) -> Self {
        let packets = usize::from(policy.packets);
        let bytes = packets.saturating_mul(PACKET_BYTES_MAX).min(window_bytes);
        let kept = Window::new(WindowLimits { packets, bytes });
        Self { policy, suspect: None, kept }
    }

    /// Takes a packet that cannot be believed alone. True: by now it can.
    pub(crate) fn consider(&mut self, source: Source, packet: &Packet<'_, S>, now_ns: u64) -> bool {
        let Some(suspect) = self.suspect.as_mut().filter(|suspect| {
            suspect.session == packet.session
                && now_ns.saturating_sub(suspect.last_ns) < self.policy.silence_ns
                && packet.sequence.abs_diff(suspect.end) <= self.policy.jump_messages
        }) else {
            self.suspect_anew(source, packet, now_ns);
            return self.policy.packets <= 1;
        };
        suspect.last_ns = now_ns;
        suspect.first = suspect.first.min(packet.sequence);
        // The network may bring the same packet twice: only what goes on counts.
        if packet.sequence >= suspect.end {
            suspect.packets = suspect.packets.saturating_add(1);
        }
        suspect.end = suspect.end.max(packet.end());
        let is_believed = suspect.source != source || suspect.packets >= self.policy.packets;
        if !is_believed {
            self.kept.insert(source, packet, now_ns);
        }
        is_believed
    }

    /// True where the suspect is to be believed because the session that we follow has said
    /// nothing since.
    #[inline]
    pub(crate) fn is_overcome_by_silence(&self, last_ns: u64, now_ns: u64) -> bool {
        self.suspect.is_some_and(|suspect| {
            now_ns.saturating_sub(suspect.since_ns.max(last_ns)) >= self.policy.silence_ns
        })
    }

    /// What is doubted, and the packets of it; nothing is doubted afterwards. Give the window
    /// back with [`Doubt::put_back`].
    pub(crate) fn take(&mut self) -> Option<(Suspect<S>, Window)> {
        let suspect = self.suspect.take()?;
        Some((suspect, std::mem::replace(&mut self.kept, Window::none())))
    }

    pub(crate) fn put_back(&mut self, mut kept: Window) {
        kept.clear();
        self.kept = kept;
    }

    fn suspect_anew(&mut self, source: Source, packet: &Packet<'_, S>, now_ns: u64) {
        self.suspect = Some(Suspect {
            session: packet.session,
            first: packet.sequence,
            end: packet.end(),
            source,
            packets: 1,
            since_ns: now_ns,
            last_ns: now_ns,
        });
        self.kept.clear();
        self.kept.insert(source, packet, now_ns);
    }
}

/// The next packet of a window that has been taken.
pub(crate) fn next_kept(kept: &mut Window) -> Option<Held> {
    kept.pop_until(u64::MAX)
}

#[cfg(test)]
impl<S: Copy> Doubt<S> {
    /// What is doubted and how near it is to being believed, whenever that began.
    pub(crate) fn suspects(&self) -> Option<(S, u64, u64, Source, u8)> {
        let suspect = self.suspect?;
        let Suspect { session, first, end, source, packets, .. } = suspect;
        Some((session, first, end, source, packets))
    }
}
