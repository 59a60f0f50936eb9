//! What the appliance tells a person: in the log, and in the segment for who looks later.
//!
//! Arrives: from housekeeping, a level and a line of text, and the counts of each second. Leaves: a
//! line in the log and a notice in the segment's ring, which keeps the newest few hundred; from
//! counts, notices of what changed: a channel's state, gaps, losses, recoveries, drops, a line that
//! falls silent. Promises: at most one notice a second of each kind and channel.

use crate::samples::ChannelSample;
use crate::{clock, source::Drops};
use wirebook_feed::{ChannelCounters, LineCounters};
use wirebook_model::BookState;
use wirebook_model::dbn::RecordRef;
use wirebook_shm::notice::{Level, Notice};
use wirebook_shm::ring::Writer;
use wirebook_shm::{Segment, SegmentError, SegmentLayout, names};

/// Slots of the ring: a notice takes six.
const SLOTS: usize = 2_048;
/// How long a line may be silent while another of its channel is not.
const SILENT_LOOKS: u32 = 3;

/// Adds the ring of notices to a segment.
pub fn lay_out(layout: SegmentLayout) -> SegmentLayout {
    layout.open_ring(names::NOTICES, SLOTS)
}

/// What a notice is about: the fields of its line in the log, which are also what similar lines are
/// known by.
#[derive(Clone, Copy, Debug, Default)]
pub struct About<'a> {
    /// A channel, by its name.
    pub channel: Option<&'a str>,
    /// An interface, by its name.
    pub interface: Option<&'a str>,
    /// A worker, by its name.
    pub worker: Option<&'a str>,
    /// A shard, by its number.
    pub shard: Option<usize>,
    /// A kind of machine, by its name.
    pub machine: Option<&'a str>,
    /// A thread, by its name.
    pub thread: Option<&'a str>,
}

impl<'a> About<'a> {
    /// About a channel.
    pub fn channel(name: &'a str) -> Self {
        Self { channel: Some(name), ..Self::default() }
    }

    /// About an interface.
    pub fn interface(name: &'a str) -> Self {
        Self { interface: Some(name), ..Self::default() }
    }

    /// About a worker.
    pub fn worker(name: &'a str) -> Self {
        Self { worker: Some(name), ..Self::default() }
    }

    /// About a shard.
    pub fn shard(number: usize) -> Self {
        Self { shard: Some(number), ..Self::default() }
    }

    /// About a thread.
    pub fn thread(name: &'a str) -> Self {
        Self { thread: Some(name), ..Self::default() }
    }
}

/// Where notices are told.
pub struct Notices {
    ring: Writer,
}

impl Notices {
    /// The notices of a segment.
    ///
    /// # Errors
    /// [`SegmentError`] where they were taken before.
    pub fn new(segment: &mut Segment) -> Result<Self, SegmentError> {
        Ok(Self { ring: segment.open_ring(names::NOTICES)? })
    }

    /// Tells this.
    pub fn tell(&mut self, level: Level, about: About<'_>, text: impl Into<String>) {
        let text = text.into();
        let About { channel, interface, worker, shard, machine, thread } = about;
        match level {
            Level::Info => {
                tracing::info!(channel, interface, worker, shard, machine, thread, "{text}");
            }
            Level::Warning => {
                tracing::warn!(channel, interface, worker, shard, machine, thread, "{text}");
            }
            Level::Error => {
                tracing::error!(channel, interface, worker, shard, machine, thread, "{text}");
            }
        }
        let record = Notice { ts_event: clock::now(), level, text }.to_record();
        let pushed = self.ring.push_bytes(RecordRef::from(&record).as_ref());
        debug_assert!(pushed.is_ok(), "a system message is no longer than a ring's record");
    }
}

/// What was last known of a channel, to tell what is new.
#[derive(Clone, Debug, Default)]
pub struct ChannelMemory {
    known: Option<(BookState, ChannelCounters)>,
    lines: Vec<LineMemory>,
}

#[derive(Clone, Debug, Default)]
struct LineMemory {
    packets: u64,
    silent_looks: u32,
}

impl ChannelMemory {
    /// Another line stands at this place from now on, which counts from zero.
    pub fn forget_line(&mut self, place: usize) {
        if let Some(line) = self.lines.get_mut(place) {
            *line = LineMemory::default();
        }
    }

    /// What is new of the channel of this name, once a second.
    pub fn news(
        &mut self,
        name: &str,
        lines: &[String],
        sample: &ChannelSample,
    ) -> Vec<(Level, String)> {
        let ChannelSample { state, channel, .. } = *sample;
        let (was, before) =
            self.known.replace((state, channel)).unwrap_or((BookState::Warming, <_>::default()));
        let mut news = Vec::new();
        if state != was {
            let level = match state {
                BookState::Live => Level::Info,
                BookState::Warming | BookState::Healing => Level::Warning,
                BookState::Stale => Level::Error,
            };
            news.push((level, format!("channel {name}: {} → {}", was.name(), state.name())));
        }
        let new = |count: fn(&ChannelCounters) -> u64| count(&channel) - count(&before);
        let messages = |count| format!("{count} {}", plural(count, "message"));
        let told = [
            (Level::Warning, new(|c| c.missing_messages), "missing on all lines"),
            (Level::Info, new(|c| c.retransmitted_messages), "retransmitted"),
            (Level::Error, new(|c| c.lost_messages), "lost for good"),
        ];
        for (level, count, what) in told.into_iter().filter(|(_, count, _)| *count > 0) {
            news.push((level, format!("channel {name}: {} {what}", messages(count))));
        }
        let told = [
            (Level::Info, new(|c| c.snapshots), "snapshot taken over"),
            (Level::Warning, new(|c| c.retransmit_failures), "retransmission failed"),
            (Level::Warning, new(|c| c.snapshot_failures), "snapshot failed"),
            (Level::Info, new(|c| c.session_changes), "session changed"),
        ];
        for (level, count, what) in told.into_iter().filter(|(_, count, _)| *count > 0) {
            news.push((level, format!("channel {name}: {what}{}", times(count))));
        }
        self.news_of_lines(name, lines, &sample.lines, &mut news);
        news
    }

    /// A line that is silent while others speak, and one that speaks again.
    fn news_of_lines(
        &mut self,
        channel: &str,
        names: &[String],
        counters: &[LineCounters],
        news: &mut Vec<(Level, String)>,
    ) {
        self.lines.resize_with(names.len(), LineMemory::default);
        let moved = self.lines.iter().zip(counters).any(|(line, now)| now.packets > line.packets);
        for ((line, now), name) in self.lines.iter_mut().zip(counters).zip(names) {
            if now.packets > line.packets {
                if line.silent_looks >= SILENT_LOOKS {
                    news.push((Level::Info, format!("line {name} of {channel}: speaks again")));
                }
                *line = LineMemory { packets: now.packets, silent_looks: 0 };
            } else if moved {
                line.silent_looks += 1;
                if line.silent_looks == SILENT_LOOKS {
                    let text = format!("line {name} of {channel}: silent, while others speak");
                    news.push((Level::Warning, text));
                }
            }
        }
    }
}

/// What is new of a worker's drops since `before`.
pub fn news_of_drops(worker: &str, before: &Drops, now: &Drops) -> Option<(Level, String)> {
    let new = now.total().saturating_sub(before.total());
    (new > 0).then(|| {
        let text =
            format!("worker {worker}: {new} {} dropped before userspace", plural(new, "packet"));
        (Level::Error, text)
    })
}

/// What is told at the start.
pub fn started(workers: usize, shards: usize, channels: usize) -> String {
    let count = |count: usize, what| format!("{count} {}", plural(count as u64, what));
    let (workers, shards) = (count(workers, "worker"), count(shards, "shard"));
    format!("ready: {workers}, {shards}, {}", count(channels, "channel"))
}

fn plural(count: u64, what: &str) -> String {
    if count == 1 { what.to_owned() } else { format!("{what}s") }
}

fn times(count: u64) -> String {
    if count == 1 { String::new() } else { format!(", {count} times") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::LINES_MAX;

    fn sample(state: BookState, packets: [u64; 2], channel: ChannelCounters) -> ChannelSample {
        let mut lines = [LineCounters::default(); LINES_MAX];
        lines.iter_mut().zip(packets).for_each(|(line, packets)| line.packets = packets);
        ChannelSample { state, next_sequence: 1, channel, decoder: <_>::default(), lines }
    }

    /// What each of these samples tells, after the others.
    fn told(samples: &[ChannelSample]) -> Vec<Vec<String>> {
        let (mut memory, lines) = (ChannelMemory::default(), ["A".to_owned(), "B".to_owned()]);
        let news = samples.iter().map(|sample| memory.news("c0", &lines, sample));
        news.map(|news| news.into_iter().map(|(_, text)| text).collect()).collect()
    }

    #[test]
    fn what_changes_is_told_once() {
        let gap = ChannelCounters { gaps: 1, missing_messages: 7, ..<_>::default() };
        let healed = ChannelCounters { retransmitted_messages: 7, ..gap };
        let told = told(&[
            sample(BookState::Warming, [0, 0], <_>::default()),
            sample(BookState::Live, [1, 1], <_>::default()),
            sample(BookState::Healing, [2, 2], gap),
            sample(BookState::Live, [3, 3], healed),
            sample(BookState::Live, [4, 4], healed),
        ]);
        assert!(told[0].is_empty());
        assert_eq!(told[1], ["channel c0: warming → live"]);
        assert_eq!(
            told[2],
            ["channel c0: live → healing", "channel c0: 7 messages missing on all lines"]
        );
        assert_eq!(told[3], ["channel c0: healing → live", "channel c0: 7 messages retransmitted"]);
        assert!(told[4].is_empty());
    }

    #[test]
    fn a_line_that_falls_silent_alone_is_told_once_and_once_more_when_it_speaks() {
        let live = |packets| sample(BookState::Live, packets, <_>::default());
        let packets = [[1, 1], [2, 1], [3, 1], [4, 1], [5, 1], [6, 2], [6, 2], [6, 2], [6, 2]];
        let told = told(&packets.map(live));
        assert_eq!(told[3], ["line B of c0: silent, while others speak"]);
        assert_eq!(told[5], ["line B of c0: speaks again"]);
        let count: usize = told[1..].iter().map(Vec::len).sum();
        assert_eq!(count, 2, "a quiet market silences both, and nothing is told: {told:?}");
    }

    #[test]
    fn drops_are_told_by_how_many_are_new() {
        let [before, now] = [3, 4].map(|socket_dropped| Drops { socket_dropped, ..<_>::default() });
        assert_eq!(news_of_drops("w0", &before, &before), None);
        let (level, text) = news_of_drops("w0", &before, &now).unwrap();
        assert_eq!((level, &*text), (Level::Error, "worker w0: 1 packet dropped before userspace"));
    }
}
