//! What a run or a replay ends with: counts, digest and books, as text or as one JSON object.

use crate::repair::RepairCounters;
use crate::replay::InputCounters;
use crate::self_check::CheckCounters;
use crate::shard::Shard;
use crate::worker::WorkerCounters;
use anyhow::bail;
use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};
use std::fmt;
use wirebook_feed::{ChannelCounters, LineCounters};
use wirebook_machine::{Book, BookSink, Books, Counters, Level, MachineCounters, combine};
use wirebook_model::BookState;
use wirebook_model::price::Decimal;
use wirebook_wire::DecoderCounters;

/// One channel's counts and state.
#[derive(Clone, Debug)]
pub struct ChannelReport {
    /// The appliance's number for it.
    pub number: u8,
    /// What its books are told.
    pub state: BookState,
    /// What arbitration counted.
    pub channel: ChannelCounters,
    /// What decoding bent.
    pub decoder: DecoderCounters,
    /// What each line brought.
    pub lines: Vec<LineReport>,
}

/// One line's counts.
#[derive(Clone, Debug, Serialize)]
pub struct LineReport {
    /// `A`, `B`, …
    pub name: String,
    /// Packets, heartbeats included.
    pub packets: u64,
    /// Messages in them.
    pub messages: u64,
    /// Packets that another copy had brought before.
    pub duplicates: u64,
    /// Packets that came too late.
    pub late: u64,
    /// Messages that the line skipped, whoever brought them.
    pub missing_messages: u64,
    /// Messages that it is behind the newest.
    pub behind_messages: u64,
}

impl LineReport {
    /// The counts of the channel's line with this number.
    pub fn new(number: u8, counters: LineCounters) -> Self {
        let LineCounters { packets, messages, duplicates, late, missing_messages, behind_messages } =
            counters;
        let name = char::from(b'A' + number % 26).to_string();
        Self { name, packets, messages, duplicates, late, missing_messages, behind_messages }
    }
}

/// The counts of a whole run. Gap, drop and overrun stay apart: a gap is missing on all lines, a
/// drop was lost before userspace, an overrun is a lapped reader.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Summary {
    /// What the workers counted.
    #[serde(flatten)]
    pub worker: WorkerCounters,
    /// Complete records made.
    pub records: u64,
    /// Books, one an instrument.
    pub instruments: u64,
    /// The digest of all books, whatever the number of shards.
    pub digest: String,
    /// The digest of what the books hold, however they came to hold it.
    pub state_digest: String,
    /// Ranges of messages that no line brought in time.
    pub gaps: u64,
    /// Messages in those gaps.
    pub missing_messages: u64,
    /// Messages that nothing brought back: no line, no server.
    pub lost_messages: u64,
    /// Packets that another line had brought before.
    pub duplicates: u64,
    /// What arbitration and recovery counted besides.
    pub arbitration: Map<String, Value>,
    /// Each channel: its state and its lines.
    pub channels: Vec<Value>,
    /// Messages longer than their specification says.
    pub grown_messages: u64,
    /// Sizes beyond 32 bits, given as the largest.
    pub saturated_sizes: u64,
    /// What the books counted.
    pub book_counters: Map<String, Value>,
    /// What was wrong with the input files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<InputCounters>,
}

/// What became of books and machines that fell.
#[derive(Clone, Debug, Default, Serialize)]
pub struct SupervisionReport {
    /// Books.
    pub books: RepairCounters,
    /// The self-check.
    pub check: CheckCounters,
    /// Times that a thread was reported to stand.
    pub stalls: u64,
    /// Each kind of machine, by name.
    #[serde(serialize_with = "by_name")]
    pub machines: Vec<(String, MachineReport)>,
}

/// What became of one kind of machine.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct MachineReport {
    /// What happened to them.
    #[serde(flatten)]
    pub counters: MachineCounters,
    /// The digest of the machines of all instruments.
    #[serde(serialize_with = "hex")]
    pub digest: u64,
}

impl SupervisionReport {
    /// True where there are machines, or books were compared.
    pub fn is_asked_for(&self) -> bool {
        !self.machines.is_empty() || self.check.comparisons > 0
    }

    /// Adds what one shard counted.
    pub fn add<S: BookSink>(&mut self, shard: &Shard<S>) {
        self.books += shard.repair_counters();
        self.check += shard.check_counters();
        for (name, counters) in shard.machines().counters() {
            self.machine(name).counters += counters;
        }
        for (name, channel, id, digest) in shard.machine_digests() {
            let sum = &mut self.machine(name).digest;
            *sum = sum.wrapping_add(combine([(channel, id, digest)]));
        }
    }

    /// The report of the machines of this name, begun where there is none.
    fn machine(&mut self, name: &str) -> &mut MachineReport {
        let at = self.machines.iter().position(|(known, _)| known == name).unwrap_or_else(|| {
            self.machines.push((name.to_owned(), MachineReport::default()));
            self.machines.len() - 1
        });
        &mut self.machines[at].1
    }
}

impl fmt::Display for SupervisionReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let books = &self.books;
        let CheckCounters { comparisons, differences } = self.check;
        if *books != RepairCounters::default() {
            writeln!(f, "{:>24}  {books:?}", "fallen books")?;
        }
        if self.stalls > 0 {
            writeln!(f, "{:>24}  {}", "stalled threads", self.stalls)?;
        }
        if comparisons > 0 {
            writeln!(f, "{:>24}  {differences} differences in {comparisons}", "self-check")?;
        }
        for (name, report) in &self.machines {
            let counts = serde_json::to_string(report).map_err(|_| fmt::Error)?;
            writeln!(f, "{name:>24}  {counts}")?;
        }
        Ok(())
    }
}

fn by_name<S: Serializer>(
    machines: &[(String, MachineReport)],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(machines.iter().map(|(name, report)| (name, report)))
}

fn hex<S: Serializer>(digest: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{digest:016x}"))
}

impl Summary {
    /// Adds a worker's counts.
    pub fn add_worker(&mut self, worker: WorkerCounters, channels: &[ChannelReport]) {
        self.worker += worker;
        for report in channels {
            let ChannelReport { number, state, channel, decoder, lines } = report;
            self.gaps += channel.gaps;
            self.missing_messages += channel.missing_messages;
            self.lost_messages += channel.lost_messages;
            self.duplicates += channel.duplicates;
            self.grown_messages += decoder.grown_messages;
            self.saturated_sizes += decoder.saturated_sizes;
            for (name, count) in arbitration(channel) {
                let sum = self.arbitration.get(name).and_then(Value::as_u64).unwrap_or_default();
                self.arbitration.insert(name.to_owned(), json!(sum + count));
            }
            self.channels.push(json!({"channel": number, "state": state.name(), "lines": lines}));
        }
    }

    /// Takes the books of all shards.
    pub fn set_books<'a>(&mut self, shards: impl Iterator<Item = &'a Books> + Clone) {
        let mut counters = Counters::default();
        for books in shards.clone() {
            counters += *books.counters();
        }
        let digests = |book: Book<'_>| (book.channel(), book.instrument_id(), book.digest());
        let books = || shards.clone().flat_map(Books::iter);
        self.records = counters.records;
        self.instruments = books().count() as u64;
        self.digest = format!("{:016x}", wirebook_machine::combine(books().map(digests)));
        self.state_digest = format!("{:016x}", crate::state_digest::state_digest(books()));
        self.book_counters =
            counters.named().map(|(name, count)| (name.to_owned(), json!(count))).collect();
    }

    /// All counts by name, in the order in which they are shown.
    ///
    /// # Errors
    /// None in practice: every part is plain numbers and text.
    pub fn to_json(&self) -> serde_json::Result<Map<String, Value>> {
        match serde_json::to_value(self)? {
            Value::Object(object) => Ok(object),
            other => Ok(Map::from_iter([("summary".to_owned(), other)])),
        }
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let object = self.to_json().map_err(|_| fmt::Error)?;
        for (name, value) in &object {
            match value {
                Value::Object(inner) => {
                    let counted = inner.iter().filter(|(_, count)| **count != json!(0));
                    for (inner_name, count) in counted {
                        writeln!(f, "{:>24}  {count}", inner_name)?;
                    }
                }
                Value::Array(_) => {}
                Value::String(text) => writeln!(f, "{name:>24}  {text}")?,
                other => writeln!(f, "{name:>24}  {other}")?,
            }
        }
        Ok(())
    }
}

fn arbitration(counters: &ChannelCounters) -> [(&'static str, u64); 17] {
    [
        ("applied_messages", counters.messages),
        ("late", counters.late),
        ("held", counters.held),
        ("overflows", counters.overflows),
        ("short_packets", counters.short_packets),
        ("retransmitted_messages", counters.retransmitted_messages),
        ("retransmit_requests", counters.retransmit_requests),
        ("retransmit_failures", counters.retransmit_failures),
        ("unasked_packets", counters.unasked_packets),
        ("snapshot_requests", counters.snapshot_requests),
        ("snapshots", counters.snapshots),
        ("snapshot_messages", counters.snapshot_messages),
        ("refused_snapshots", counters.refused_snapshots),
        ("snapshot_failures", counters.snapshot_failures),
        ("session_changes", counters.session_changes),
        ("old_session_packets", counters.old_session_packets),
        ("doubted_packets", counters.doubted_packets),
    ]
}

/// Finds a book by symbol or instrument id.
///
/// # Errors
/// Fails where there is none, or an id that several channels have.
pub fn find_book<'a>(
    shards: impl Iterator<Item = &'a Books> + Clone,
    name: &str,
) -> anyhow::Result<Book<'a>> {
    let books = || shards.clone().flat_map(Books::iter);
    let by_symbol = books().find(|book| book.symbol().as_str() == name);
    if let Some(book) = by_symbol {
        return Ok(book);
    }
    let Ok(id) = name.parse::<u32>() else {
        bail!("expected a symbol or instrument id of the input, found {name:?}");
    };
    let mut with_id = books().filter(|book| book.instrument_id() == id);
    match (with_id.next(), with_id.next()) {
        (Some(book), None) => Ok(book),
        (None, _) => bail!("expected an instrument id of the input, found {id}"),
        (Some(_), Some(_)) => bail!("several channels have an instrument {id}: name its symbol"),
    }
}

/// One book as JSON: state, sequence, and each side's levels as `[price, size, orders]`.
pub fn book_json(book: &Book<'_>, depth: usize) -> Value {
    let is_stale = book.state() == BookState::Stale;
    json!({
        "instrument_id": book.instrument_id(),
        "symbol": book.symbol().as_str(),
        "state": book.state().name(),
        "stale_reason": is_stale.then(|| book.stale_reason().name()),
        "over_limit": book.over_limit(),
        "sequence": book.sequence(),
        "bid_levels": book.bids().count(),
        "ask_levels": book.asks().count(),
        "bids": book.bids().take(depth).map(level_json).collect::<Vec<_>>(),
        "asks": book.asks().take(depth).map(level_json).collect::<Vec<_>>(),
        "digest": format!("{:016x}", book.digest()),
    })
}

fn level_json(level: Level) -> Value {
    json!([Decimal(level.price).to_string(), level.size, level.orders])
}

/// One book as a ladder for people.
pub struct Ladder<'a> {
    /// The book.
    pub book: Book<'a>,
    /// Levels to show of each side.
    pub depth: usize,
}

impl fmt::Display for Ladder<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let book = &self.book;
        let (symbol, state) = (book.symbol(), book.state().name());
        let name =
            if symbol.is_empty() { book.instrument_id().to_string() } else { symbol.to_string() };
        writeln!(f, "{name} ({state}) at sequence {}", book.sequence())?;
        writeln!(
            f,
            "{:>7} {:>10} {:>13}   {:<13} {:>10} {:>7}",
            "orders", "size", "bid", "ask", "size", "orders"
        )?;
        let (mut bids, mut asks) = (book.bids(), book.asks());
        for _ in 0..self.depth {
            let (bid, ask) = (bids.next(), asks.next());
            if bid.is_none() && ask.is_none() {
                break;
            }
            match bid {
                Some(l) => write!(
                    f,
                    "{:>7} {:>10} {:>13}   ",
                    l.orders,
                    l.size,
                    Decimal(l.price).to_string()
                )?,
                None => write!(f, "{:>7} {:>10} {:>13}   ", "", "", "")?,
            }
            match ask {
                Some(l) => writeln!(
                    f,
                    "{:<13} {:>10} {:>7}",
                    Decimal(l.price).to_string(),
                    l.size,
                    l.orders
                )?,
                None => writeln!(f)?,
            }
        }
        Ok(())
    }
}
