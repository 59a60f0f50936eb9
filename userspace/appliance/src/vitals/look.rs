//! One look at the segment: everything that vitals are made of.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use wirebook_client::{Book, BookState, Books, ClientError, Histogram, Level, Session};
use wirebook_model::price::Decimal;

/// How many books are shown at most.
const BUSIEST: usize = 40;

/// What the segment said at one moment.
#[derive(Clone, Default)]
pub struct Look {
    /// Every counter by its name with labels.
    pub counters: BTreeMap<String, u64>,
    /// Latencies since the start of each stage that has a sample, in the order of the path.
    pub stages: Vec<(String, Histogram<u64>)>,
    /// How often each book's top was published, by its place in the directory.
    pub updates: Vec<u64>,
    /// The books that moved most since the look before, busiest first.
    pub tops: Vec<Top>,
}

/// The top of a book.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Top {
    /// Its place in the directory.
    pub number: usize,
    /// How often it was published.
    pub updates: u64,
    /// The venue's name for the instrument, its id where that is not known: `#17`.
    pub symbol: String,
    /// What the book says of itself.
    pub state: BookState,
    /// Price and size of the best bid.
    pub bid: Option<(String, u64)>,
    /// Price and size of the best ask.
    pub ask: Option<(String, u64)>,
    /// Price and size of the last trade.
    pub last: Option<(String, u64)>,
}

impl Look {
    /// Looks at everything; `None` where the appliance has counted nothing since `before`.
    ///
    /// # Errors
    /// [`ClientError`] where the segment is not laid out as an appliance's.
    pub fn take(
        session: &Session,
        books: &mut Books,
        before: &Self,
    ) -> Result<Option<Self>, ClientError> {
        let mut look =
            Self { counters: session.counters()?.into_iter().collect(), ..<_>::default() };
        if look.counted_ns() == before.counted_ns() {
            return Ok(None);
        }
        for stage in session.stages() {
            if let Some(histogram) = session.latency(&stage)? {
                look.stages.push((stage, histogram));
            }
        }
        look.take_tops(books, before);
        Ok(Some(look))
    }

    fn take_tops(&mut self, books: &mut Books, before: &Self) {
        books.directory().refresh();
        let instruments: Vec<_> = books.directory().iter().cloned().collect();
        self.updates = instruments.iter().map(|instrument| books.updates(instrument)).collect();
        let moved = |number: usize| {
            self.updates[number].saturating_sub(before.updates.get(number).copied().unwrap_or(0))
        };
        let mut busiest: Vec<_> = (0..instruments.len()).filter(|n| moved(*n) > 0).collect();
        busiest.sort_by_key(|number| (Reverse(moved(*number)), *number));
        busiest.truncate(BUSIEST);
        // A cell at which the writer was at every try is left out of this look.
        let top = |number: usize| {
            let book = books.read(&instruments[number]).ok()?;
            Some(Top::of(&book, number, self.updates[number]))
        };
        self.tops = busiest.into_iter().filter_map(top).collect();
    }

    /// When the appliance counted this, in nanoseconds since the UNIX epoch; 0 before the first time.
    pub fn counted_ns(&self) -> u64 {
        self.count("appliance_counted_ns", "")
    }

    /// When it started, in nanoseconds since the UNIX epoch, to the millisecond.
    pub fn started_ns(&self) -> u64 {
        self.count("appliance_start_time_ms", "").saturating_mul(1_000_000)
    }

    /// A counter; 0 where there is none.
    pub fn count(&self, name: &str, labels: &str) -> u64 {
        let count = match labels {
            "" => self.counters.get(name),
            labels => self.counters.get(&format!("{name}{{{labels}}}")),
        };
        count.copied().unwrap_or(0)
    }

    /// The sum of the counters whose names begin so.
    pub fn sum(&self, beginning: &str) -> u64 {
        self.beginning(beginning).map(|(_, count)| count).sum()
    }

    /// The labels of each counter of this name.
    pub fn labels(&self, name: &str) -> impl Iterator<Item = &str> {
        let beginning = format!("{name}{{");
        let all = self.beginning(&beginning);
        let labels = all.filter_map(|(name, _)| name[beginning.len()..].strip_suffix('}'));
        labels.collect::<Vec<_>>().into_iter()
    }

    fn beginning(&self, with: &str) -> impl Iterator<Item = (&str, u64)> {
        let from = self.counters.range(with.to_owned()..);
        from.take_while(move |(name, _)| name.starts_with(with))
            .map(|(name, count)| (name.as_str(), *count))
    }
}

impl Top {
    fn of(book: &Book, number: usize, updates: u64) -> Self {
        let best = |levels: &[Level]| {
            levels.first().map(|level| (Decimal(level.price).to_string(), level.size))
        };
        Self {
            number,
            updates,
            symbol: match book.symbol() {
                "" => format!("#{}", book.instrument_id()),
                symbol => symbol.to_owned(),
            },
            state: book.state(),
            bid: best(book.bids()),
            ask: best(book.asks()),
            last: book.last_trade().map(|t| (Decimal(t.price).to_string(), u64::from(t.size))),
        }
    }

    /// How often it was published since the look before.
    pub(super) fn updates_since(&self, before: &Look) -> u64 {
        self.updates.saturating_sub(before.updates.get(self.number).copied().unwrap_or(0))
    }
}

/// The value of a label; empty where there is none of that name.
pub(super) fn label<'a>(labels: &'a str, name: &str) -> &'a str {
    let value_of = |label: &'a str| label.strip_prefix(name)?.strip_prefix("=\"");
    let value = labels.split("\",").find_map(value_of).unwrap_or_default();
    value.strip_suffix('"').unwrap_or(value)
}
