//! The self-check: chosen books beside a plain model of each.
//!
//! Arrives: every event of the shard, after its book has taken it. Leaves: the instruments whose book
//! parted from its model at an event's end. The model begins with what the book holds when the
//! instrument is first seen under its name. Allocates, and takes a step for each order of the book at
//! each event: it is for a few instruments, on request. Counts in [`CheckCounters`].

use derive_more::AddAssign;
use serde::Serialize;
use wirebook_machine::{Books, Difference, Shadow};
use wirebook_model::dbn::flags::LAST;
use wirebook_model::{ALL_INSTRUMENTS, Event, VenueEvent};

/// What the self-check counted.
#[derive(AddAssign, Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct CheckCounters {
    /// Ends of events at which a book was compared with its model.
    pub comparisons: u64,
    /// Comparisons that found a difference.
    pub differences: u64,
}

/// A book that parted from its model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Parted {
    /// The channel.
    pub channel: u8,
    /// The instrument.
    pub instrument_id: u32,
    /// Where.
    pub difference: Difference,
}

/// The models of one shard.
#[derive(Debug, Default)]
pub struct SelfCheck {
    /// Symbols, or instrument ids, not all of which need be this shard's.
    wanted: Vec<String>,
    models: Vec<(u8, u32, Shadow)>,
    counters: CheckCounters,
}

impl SelfCheck {
    /// A check of these instruments, by symbol or by id.
    pub fn new(wanted: Vec<String>) -> Self {
        Self { wanted, ..Self::default() }
    }

    /// True where nothing is to be checked.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.wanted.is_empty()
    }

    /// What has been counted.
    pub fn counters(&self) -> CheckCounters {
        self.counters
    }

    /// Takes an event that its book has taken, and compares both where a venue's event ends.
    pub fn applied(&mut self, event: &Event, books: &Books) -> Option<Parted> {
        let (channel, instrument_id) = (event.header.channel, event.header.instrument_id);
        if instrument_id == ALL_INSTRUMENTS {
            self.models.iter_mut().for_each(|(_, _, model)| model.apply(event));
            return None;
        }
        let of = |&(of_channel, of_id, _): &(u8, u32, Shadow)| {
            (of_channel, of_id) == (channel, instrument_id)
        };
        let Some(at) = self.models.iter().position(of) else {
            self.admit(event, books);
            return None;
        };
        let model = &mut self.models[at].2;
        model.apply(event);
        if event.header.flags & LAST == 0 {
            return None;
        }
        self.counters.comparisons += 1;
        let difference = model.compare(books.get(channel, instrument_id)?).err()?;
        self.counters.differences += 1;
        Some(Parted { channel, instrument_id, difference })
    }

    /// An instrument without a model: it gets one where its symbol or id is wanted.
    fn admit(&mut self, event: &Event, books: &Books) {
        let (channel, instrument_id) = (event.header.channel, event.header.instrument_id);
        let is_wanted = |name: &String| match event.body {
            VenueEvent::Definition(definition) => definition.symbol.as_str() == name,
            _ => name.parse() == Ok(instrument_id),
        };
        if self.wanted.iter().any(is_wanted)
            && let Some(book) = books.get(channel, instrument_id)
        {
            self.models.push((channel, instrument_id, Shadow::of(book)));
        }
    }
}
