//! The panes: which columns each has, and its rows out of the vitals.

use super::sheet::{Align, Cell, Column, Mood};
use super::text;
use crate::vitals::{BookVitals, ChannelVitals, LineVitals, NoticeVitals, StageVitals, Vitals};
use jiff::{Timestamp, tz::TimeZone};

/// The longest sparkline.
const SPARKLINE: usize = 60;
/// How long a line may be silent before that is said loudly, in seconds.
const SILENT_S: f64 = 3.0;

/// A pane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Pane {
    #[default]
    Lines,
    Channels,
    Stages,
    Books,
    Notices,
}

const fn column(title: &'static str, width: u16, align: Align, rank: u8) -> Column {
    Column { title, width, align, rank }
}

const LINES: &[Column] = &[
    column("LINES", 14, Align::Left, 0),
    column("packets/s", 9, Align::Right, 1),
    column("msgs/s", 7, Align::Right, 3),
    column("first", 6, Align::Right, 2),
    column("missing", 8, Align::Right, 1),
    column("late", 7, Align::Right, 6),
    column("duplicates", 10, Align::Right, 5),
    column("behind", 7, Align::Right, 4),
    column("silent", 7, Align::Rest, 2),
];

const CHANNELS: &[Column] = &[
    column("CHANNELS", 14, Align::Left, 0),
    column("state", 9, Align::Left, 0),
    column("sequence", 12, Align::Right, 2),
    column("msgs/s", 7, Align::Right, 3),
    column("gaps", 7, Align::Right, 1),
    column("missing", 8, Align::Right, 4),
    column("resent", 7, Align::Right, 5),
    column("snapshots", 9, Align::Right, 6),
    column("lost", 7, Align::Right, 2),
];

const STAGES: &[Column] = &[
    column("STAGES", 16, Align::Left, 0),
    column("samples", 8, Align::Right, 4),
    column("p50", 7, Align::Right, 1),
    column("p99", 7, Align::Right, 1),
    column("p99.9", 7, Align::Right, 2),
    column("max", 7, Align::Right, 3),
    column(" p99 so far", 12, Align::Rest, 2),
];

const BOOKS: &[Column] = &[
    column("BOOKS", 10, Align::Left, 0),
    column("state", 9, Align::Left, 1),
    column("updates/s", 9, Align::Right, 1),
    column("bid size", 8, Align::Right, 3),
    column("bid", 11, Align::Right, 0),
    column("ask", 11, Align::Right, 0),
    column("ask size", 8, Align::Right, 3),
    column("last", 11, Align::Right, 4),
];

const NOTICES: &[Column] = &[
    column("EVENTS", 8, Align::Left, 0),
    column("level", 9, Align::Left, 1),
    column("(UTC)", 20, Align::Rest, 0),
];

impl Pane {
    pub(super) const ALL: [Self; 5] =
        [Self::Lines, Self::Channels, Self::Stages, Self::Books, Self::Notices];

    pub(super) fn columns(self) -> &'static [Column] {
        match self {
            Self::Lines => LINES,
            Self::Channels => CHANNELS,
            Self::Stages => STAGES,
            Self::Books => BOOKS,
            Self::Notices => NOTICES,
        }
    }

    pub(super) fn rows(self, vitals: &Vitals) -> Vec<Vec<Cell>> {
        match self {
            Self::Lines => vitals.lines.iter().map(line).collect(),
            Self::Channels => vitals.channels.iter().map(channel).collect(),
            Self::Stages => vitals.stages.iter().map(stage).collect(),
            Self::Books => vitals.books.iter().map(book).collect(),
            Self::Notices => vitals.notices.iter().map(notice).collect(),
        }
    }
}

/// A state as a mark and a word.
pub(super) fn state(state: &str) -> Cell {
    let (mark, mood) = match state {
        "live" => ('●', Mood::Good),
        "stale" => ('✖', Mood::Bad),
        _ => ('▲', Mood::Doubtful),
    };
    Cell::text(format!("{mark} {state}")).in_mood(mood)
}

fn line(line: &LineVitals) -> Vec<Cell> {
    let silent = match line.silent_s {
        None => Cell::number(f64::INFINITY, "never").in_mood(Mood::Doubtful),
        Some(0.0) => Cell::number(0.0, "–").in_mood(Mood::Faint),
        Some(seconds) => {
            let mood = if seconds >= SILENT_S { Mood::Doubtful } else { Mood::Plain };
            Cell::number(seconds, text::span(seconds)).in_mood(mood)
        }
    };
    vec![
        Cell::text(format!("{} {}", line.channel, line.line)),
        Cell::rate(line.packets_per_s),
        Cell::rate(line.messages_per_s),
        line.first_share
            .map_or_else(Cell::none, |share| Cell::number(share, format!("{:.1}%", share * 100.0))),
        Cell::fault(line.missing_messages, line.missing_new > 0),
        Cell::count(line.late),
        Cell::count(line.duplicates),
        Cell::count(line.behind_messages),
        silent,
    ]
}

fn channel(channel: &ChannelVitals) -> Vec<Cell> {
    vec![
        Cell::text(&channel.channel),
        state(channel.state),
        Cell::number(channel.next_sequence as f64, channel.next_sequence.to_string()),
        Cell::rate(channel.messages_per_s),
        Cell::fault(channel.gaps.total, channel.gaps.new > 0),
        Cell::fault(channel.missing_messages, channel.gaps.new > 0),
        Cell::count(channel.retransmitted_messages),
        Cell::count(channel.snapshots),
        Cell::fault(channel.lost_messages, channel.lost_messages > 0),
    ]
}

fn stage(stage: &StageVitals) -> Vec<Cell> {
    let latency = |ns: Option<u64>| {
        ns.map_or_else(Cell::none, |ns| Cell::number(ns as f64, text::latency(ns)))
    };
    let sparkline = text::sparkline(&stage.p99_history_ns, SPARKLINE);
    vec![
        Cell::text(&stage.stage),
        Cell::count(stage.samples),
        latency(stage.p50_ns),
        latency(stage.p99_ns),
        latency(stage.p99_9_ns),
        latency(stage.max_ns),
        Cell::number(stage.p99_ns.unwrap_or(0) as f64, format!(" {sparkline}")),
    ]
}

fn book(book: &BookVitals) -> Vec<Cell> {
    let size = |side: &Option<(String, u64)>| {
        side.as_ref().map_or_else(Cell::none, |(_, size)| Cell::count(*size))
    };
    let price = |side: &Option<(String, u64)>| {
        side.as_ref()
            .map_or_else(Cell::none, |(price, _)| Cell::number(price.parse().unwrap_or(0.0), price))
    };
    vec![
        Cell::text(&book.symbol),
        state(book.state),
        Cell::rate(book.updates_per_s),
        size(&book.bid),
        price(&book.bid),
        price(&book.ask),
        size(&book.ask),
        price(&book.last),
    ]
}

fn notice(notice: &NoticeVitals) -> Vec<Cell> {
    let at = Timestamp::from_millisecond(i64::try_from(notice.at_ms).unwrap_or(0));
    let at = at.map(|at| at.to_zoned(TimeZone::UTC).strftime("%H:%M:%S").to_string());
    let mood = match notice.level {
        "info" => Mood::Plain,
        "warning" => Mood::Doubtful,
        _ => Mood::Bad,
    };
    vec![
        Cell::number(notice.at_ms as f64, at.unwrap_or_default()),
        Cell::text(notice.level).in_mood(mood),
        Cell::text(&notice.text),
    ]
}
