//! From a venue's messages to events.
//!
//! Arrives: one message and its sequence. Leaves: its events, to an [`EventSink`], and whether
//! the message was understood ([`Decoded`]). Promises: no allocation after [`Decoder::new`]; the
//! same messages give the same events; a message that is malformed or over a limit gives none.
//! Counts, in [`DecoderCounters`], what it had to bend; the caller counts the rest by [`Decoded`].

use crate::message::MessageError;
use crate::{Protocol, iex_deep, iex_tops, itch50};
use serde::Serialize;
use wirebook_model::dbn::flags::LAST;
use wirebook_model::{Event, EventHeader, EventSink, UnixNanos, VenueEvent};

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use]
pub enum Decoded {
    /// It is understood; its events, if it has any, were given.
    Known,
    /// Its type is not in the specification; it was stepped over.
    Unknown,
    /// It is too short, or a field holds what its meaning rules out.
    Malformed,
    /// It names one instrument more than [`Limits::instruments`]; it was dropped.
    OverLimit,
}

/// What became of messages that were decoded one after the other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Run {
    /// Messages, but for one that is malformed.
    pub messages: u64,
    /// Those of them whose type is not in the specification.
    pub unknown: u64,
    /// Those of them that were dropped for a limit.
    pub over_limit: u64,
    /// The message after them is malformed, and ended the run.
    pub malformed: bool,
}

impl Run {
    /// Decodes until a message is malformed.
    #[inline]
    fn of<'m>(
        messages: impl Iterator<Item = &'m [u8]>,
        sequence: u64,
        mut decode: impl FnMut(&'m [u8], u64) -> Decoded,
    ) -> Self {
        let mut run = Self::default();
        for (sequence, message) in (sequence..).zip(messages) {
            if run.ends_with(decode(message, sequence)) {
                break;
            }
        }
        run
    }

    #[inline]
    pub(crate) fn ends_with(&mut self, decoded: Decoded) -> bool {
        match decoded {
            Decoded::Known => {}
            Decoded::Unknown => self.unknown += 1,
            Decoded::OverLimit => self.over_limit += 1,
            Decoded::Malformed => {
                self.malformed = true;
                return true;
            }
        }
        self.messages += 1;
        false
    }
}

/// What a decoder may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Instruments that a decoder of a protocol without instrument numbers can number.
    pub instruments: usize,
}

impl Default for Limits {
    /// 32,768 instruments: three times what IEX lists on a day of 2023.
    fn default() -> Self {
        Self { instruments: 32_768 }
    }
}

/// What a decoder had to bend.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DecoderCounters {
    /// Known messages that were longer than the specification says; their tails were ignored.
    pub grown_messages: u64,
    /// Sizes beyond 32 bits, given as the largest size there is.
    pub saturated_sizes: u64,
}

/// A decoder of one channel's messages.
#[derive(Debug)]
pub enum Decoder {
    /// Nasdaq TotalView-ITCH 5.0.
    Itch50(itch50::Decoder),
    /// IEX DEEP 1.0.
    IexDeep(iex_deep::Decoder),
    /// IEX TOPS 1.6.
    IexTops(iex_tops::Decoder),
}

impl Decoder {
    /// A decoder for the channel that the appliance numbers `channel`. Takes all its memory now.
    pub fn new(protocol: Protocol, channel: u8, limits: Limits) -> Self {
        match protocol {
            Protocol::Itch50 => Self::Itch50(itch50::Decoder::new(channel)),
            Protocol::IexDeep => Self::IexDeep(iex_deep::Decoder::new(channel, limits)),
            Protocol::IexTops => Self::IexTops(iex_tops::Decoder::new(channel, limits)),
        }
    }

    /// The protocol that this decodes.
    pub fn protocol(&self) -> Protocol {
        match self {
            Self::Itch50(_) => Protocol::Itch50,
            Self::IexDeep(_) => Protocol::IexDeep,
            Self::IexTops(_) => Protocol::IexTops,
        }
    }

    /// Sets the midnight, US Eastern, that ITCH timestamps count from. Other protocols carry
    /// whole timestamps and ignore it.
    pub fn set_midnight(&mut self, midnight: UnixNanos) {
        if let Self::Itch50(decoder) = self {
            decoder.set_midnight(midnight);
        }
    }

    /// The venue's time in `message`, for messages that come without a packet and its times;
    /// `None` where the message is too short or its protocol never comes that way.
    pub fn time_of(&self, message: &[u8]) -> Option<UnixNanos> {
        match self {
            Self::Itch50(decoder) => decoder.time_of(message),
            Self::IexDeep(_) | Self::IexTops(_) => None,
        }
    }

    /// Gives the events of `message`, which has this `sequence` in the channel, to `out`.
    #[inline]
    pub fn decode(&mut self, message: &[u8], sequence: u64, out: &mut impl EventSink) -> Decoded {
        match self {
            Self::Itch50(decoder) => decoder.decode(message, sequence, out),
            Self::IexDeep(decoder) => decoder.decode(message, sequence, out),
            Self::IexTops(decoder) => decoder.decode(message, sequence, out),
        }
    }

    /// Gives the events of `messages`, which are numbered from `sequence` on, to `out`, until one of
    /// them is malformed: a packet's loop has one look at the protocol.
    #[inline]
    pub fn decode_run<'m>(
        &mut self,
        messages: impl Iterator<Item = &'m [u8]>,
        sequence: u64,
        out: &mut impl EventSink,
    ) -> Run {
        match self {
            Self::Itch50(decoder) => decoder.decode_run(messages, sequence, out),
            Self::IexDeep(decoder) => Run::of(messages, sequence, |message, sequence| {
                decoder.decode(message, sequence, out)
            }),
            Self::IexTops(decoder) => Run::of(messages, sequence, |message, sequence| {
                decoder.decode(message, sequence, out)
            }),
        }
    }

    /// What was bent so far.
    pub fn counters(&self) -> DecoderCounters {
        match self {
            Self::Itch50(decoder) => decoder.counters(),
            Self::IexDeep(decoder) => decoder.counters(),
            Self::IexTops(decoder) => decoder.counters(),
        }
    }
}

impl From<MessageError> for Decoded {
    fn from(error: MessageError) -> Self {
        match error {
            MessageError::Unknown(_) => Self::Unknown,
            MessageError::Empty | MessageError::TooShort { .. } => Self::Malformed,
        }
    }
}

/// Gives the events of one message to a sink.
pub(crate) struct Emitter<'s, S> {
    header: EventHeader,
    out: &'s mut S,
}

impl<'s, S: EventSink> Emitter<'s, S> {
    /// For events with this header; its flags are set with each event.
    pub(crate) fn new(header: EventHeader, out: &'s mut S) -> Self {
        Self { header, out }
    }

    /// An event that another one of the same venue event follows.
    #[inline]
    pub(crate) fn more(&mut self, body: VenueEvent) {
        self.emit(0, body);
    }

    /// The event that ends the venue's event.
    #[inline]
    pub(crate) fn last(&mut self, body: VenueEvent) {
        self.emit(LAST, body);
    }

    #[inline]
    fn emit(&mut self, flags: u8, body: VenueEvent) {
        self.out.event(&Event { header: EventHeader { flags, ..self.header }, body });
    }
}
