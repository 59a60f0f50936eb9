//! How the appliance is, for people: what `wirebook top` and the status page show.
//!
//! Arrives: two [`Look`]s at the segment and the time between them. Leaves: [`Vitals`], each line,
//! channel, stage and busy book with its rates over that time. Promises: the same looks give the same
//! vitals, whatever the clock says; what did not happen within the time is absent, never zero.
//! [`Observer`] takes the looks; [`History`] adds what takes more than two of them.

mod curve;
mod history;
mod look;
mod observer;
#[cfg(test)]
mod tests;

pub use self::history::History;
pub use self::look::{Look, Top};
pub use self::observer::Observer;

use self::curve::stages;
use serde::Serialize;
use std::time::Duration;
use wirebook_client::BookState;

/// How the appliance is. Rates are of the time between two looks.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Vitals {
    /// The appliance's name.
    pub name: String,
    /// False where its heartbeat stands still: all else is then of the past.
    pub is_alive: bool,
    /// Seconds since its start.
    pub uptime_s: f64,
    /// Seconds that the rates are of.
    pub interval_s: f64,
    /// When it counted this, in milliseconds since the UNIX epoch.
    pub counted_at_ms: u64,
    /// The worst state of any channel; absent where there is none.
    pub state: Option<&'static str>,
    /// Packets lost before userspace.
    pub drops: Figure,
    /// Ranges of messages that no line brought in time.
    pub gaps: Figure,
    /// Times that a ring's writer lapped a reader of the appliance's own.
    pub overruns: Figure,
    /// The lines, by channel and name.
    pub lines: Vec<LineVitals>,
    /// The channels, by name.
    pub channels: Vec<ChannelVitals>,
    /// The stages, in the order of the path.
    pub stages: Vec<StageVitals>,
    /// The books that moved most, busiest first.
    pub books: Vec<BookVitals>,
    /// What the appliance told, newest first.
    pub notices: Vec<NoticeVitals>,
}

/// A count that should stay 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Figure {
    /// Since the start.
    pub total: u64,
    /// Within the interval.
    pub new: u64,
}

/// One line of one channel.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct LineVitals {
    /// The channel.
    pub channel: String,
    /// The line.
    pub line: String,
    /// Packets since the start.
    pub packets: u64,
    /// Packets a second.
    pub packets_per_s: f64,
    /// Messages a second.
    pub messages_per_s: f64,
    /// The part of the channel's packets that this line brought first, 0 to 1; absent where none came.
    pub first_share: Option<f64>,
    /// Packets that another line had brought before.
    pub duplicates: u64,
    /// Packets that came too late to be of use.
    pub late: u64,
    /// Messages that the line skipped, whoever brought them.
    pub missing_messages: u64,
    /// Those of the interval.
    pub missing_new: u64,
    /// Messages that it is behind the newest of any line.
    pub behind_messages: u64,
    /// Seconds for which no packet came; absent before the first packet.
    pub silent_s: Option<f64>,
}

/// One channel.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct ChannelVitals {
    /// Its name.
    pub channel: String,
    /// `warming`, `live`, `healing` or `stale`.
    pub state: &'static str,
    /// The sequence of the next message.
    pub next_sequence: u64,
    /// Messages applied a second.
    pub messages_per_s: f64,
    /// Gaps.
    pub gaps: Figure,
    /// Messages in those gaps.
    pub missing_messages: u64,
    /// Messages that a retransmission brought back.
    pub retransmitted_messages: u64,
    /// Snapshots taken over.
    pub snapshots: u64,
    /// Messages that nothing brought back.
    pub lost_messages: u64,
}

/// One stage of the path. The latencies are those of the interval, in nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct StageVitals {
    /// From where to where.
    pub stage: String,
    /// Samples within the interval.
    pub samples: u64,
    /// The median; absent, as all that follows, where there is no sample.
    pub p50_ns: Option<u64>,
    /// 99 in a hundred were no longer.
    pub p99_ns: Option<u64>,
    /// 999 in a thousand were no longer.
    pub p99_9_ns: Option<u64>,
    /// The longest.
    pub max_ns: Option<u64>,
    /// Points of the percentile curve, from the least up: quantile (0 to 1) and latency.
    pub curve: Vec<(f64, u64)>,
    /// The p99 of this interval and those before it, oldest first; 0 where there was no sample.
    pub p99_history_ns: Vec<u64>,
}

/// The top of one book.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct BookVitals {
    /// The venue's name for the instrument.
    pub symbol: String,
    /// `warming`, `live`, `healing` or `stale`.
    pub state: &'static str,
    /// Times a second that its top was published.
    pub updates_per_s: f64,
    /// Price and size of the best bid.
    pub bid: Option<(String, u64)>,
    /// Price and size of the best ask.
    pub ask: Option<(String, u64)>,
    /// Price and size of the last trade.
    pub last: Option<(String, u64)>,
}

/// One thing that the appliance told.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NoticeVitals {
    /// When, in milliseconds since the UNIX epoch.
    pub at_ms: u64,
    /// `info`, `warning` or `error`.
    pub level: &'static str,
    /// What.
    pub text: String,
}

impl Vitals {
    /// How the appliance was between two looks that are `elapsed` apart.
    pub fn between(before: &Look, after: &Look, elapsed: Duration) -> Self {
        let counted_ns = after.counted_ns();
        let two = Two { before, after, seconds: elapsed.as_secs_f64() };
        let channels = two.channels();
        Self {
            name: String::new(),
            is_alive: true,
            uptime_s: counted_ns.saturating_sub(after.started_ns()) as f64 / 1e9,
            interval_s: two.seconds,
            counted_at_ms: counted_ns / 1_000_000,
            state: worst(&channels),
            drops: two.figure(|look| look.sum("drop_")),
            gaps: two.figure(|look| look.sum("channel_gaps{")),
            overruns: two.figure(|look| look.sum("recorder_overruns{")),
            lines: two.lines(),
            channels,
            stages: stages(before, after),
            books: two.books(),
            notices: Vec::new(),
        }
    }
}

/// Two looks, and how far they are apart.
struct Two<'a> {
    before: &'a Look,
    after: &'a Look,
    seconds: f64,
}

impl Two<'_> {
    fn figure(&self, count: impl Fn(&Look) -> u64) -> Figure {
        let total = count(self.after);
        Figure { total, new: total.saturating_sub(count(self.before)) }
    }

    /// A counter with these labels.
    fn count(&self, name: &str, labels: &str) -> Figure {
        self.figure(|look| look.count(name, labels))
    }

    fn per_s(&self, new: u64) -> f64 {
        if self.seconds > 0.0 { new as f64 / self.seconds } else { 0.0 }
    }

    fn lines(&self) -> Vec<LineVitals> {
        let all: Vec<_> = self.after.labels("line_packets").collect();
        let firsts = |labels: &str| {
            let new = |name| self.count(name, labels).new;
            let others = new("line_duplicates") + new("line_late");
            new("line_packets").saturating_sub(others)
        };
        let line = |labels: &str| {
            let channel = look::label(labels, "channel");
            let same_channel = all.iter().filter(|of| look::label(of, "channel") == channel);
            let firsts_of_channel: u64 = same_channel.map(|of| firsts(of)).sum();
            let [packets, missing] =
                ["line_packets", "line_missing_messages"].map(|name| self.count(name, labels));
            LineVitals {
                channel: channel.to_owned(),
                line: look::label(labels, "line").to_owned(),
                packets: packets.total,
                packets_per_s: self.per_s(packets.new),
                messages_per_s: self.per_s(self.count("line_messages", labels).new),
                first_share: (firsts_of_channel > 0)
                    .then(|| firsts(labels) as f64 / firsts_of_channel as f64),
                duplicates: self.count("line_duplicates", labels).total,
                late: self.count("line_late", labels).total,
                missing_messages: missing.total,
                missing_new: missing.new,
                behind_messages: self.count("line_behind_messages", labels).total,
                silent_s: None,
            }
        };
        all.iter().map(|labels| line(labels)).collect()
    }

    fn channels(&self) -> Vec<ChannelVitals> {
        let channel = |labels: &str| {
            let total = |name| self.count(name, labels).total;
            ChannelVitals {
                channel: look::label(labels, "channel").to_owned(),
                state: state_name(total("channel_state")),
                next_sequence: total("channel_next_sequence"),
                messages_per_s: self.per_s(self.count("channel_messages", labels).new),
                gaps: self.count("channel_gaps", labels),
                missing_messages: total("channel_missing_messages"),
                retransmitted_messages: total("channel_retransmitted_messages"),
                snapshots: total("channel_snapshots"),
                lost_messages: total("channel_lost_messages"),
            }
        };
        self.after.labels("channel_state").map(channel).collect()
    }

    fn books(&self) -> Vec<BookVitals> {
        let book = |top: &Top| BookVitals {
            symbol: top.symbol.clone(),
            state: top.state.name(),
            updates_per_s: self.per_s(top.updates_since(self.before)),
            bid: top.bid.clone(),
            ask: top.ask.clone(),
            last: top.last.clone(),
        };
        self.after.tops.iter().map(book).collect()
    }
}

/// The name of a book's state by its number; a number that this version does not know is `stale`.
fn state_name(number: u64) -> &'static str {
    let state = u8::try_from(number).ok().and_then(BookState::from_u8);
    state.unwrap_or(BookState::Stale).name()
}

/// The worst state of any channel.
fn worst(channels: &[ChannelVitals]) -> Option<&'static str> {
    use BookState::{Healing, Live, Stale, Warming};
    let worst_first = [Stale, Healing, Warming, Live].map(BookState::name);
    worst_first.into_iter().find(|state| channels.iter().any(|channel| channel.state == *state))
}
