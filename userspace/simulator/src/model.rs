//! The judge: every book as it must be, kept from the messages' bytes alone.
//!
//! Arrives: ITCH 5.0 messages, in order. Leaves: every resting order in the order of its priority,
//! and what a snapshot of the market must say. A plain model: one ordered map a side, one map of
//! orders; it reads the bytes by the specification's offsets and shares no code with the
//! generator or with the appliance. What contradicts the books so far is an error, and changes
//! nothing.

mod snapshot;

use crate::itch::Side;
use std::collections::{BTreeMap, HashMap};

/// An order that rests in a book.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ModelOrder {
    /// The venue's reference.
    pub reference: u64,
    /// Its side.
    pub side: Side,
    /// Its price, 1/10,000.
    pub price: u32,
    /// Shares left.
    pub shares: u32,
}

/// Why a message cannot be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ModelError {
    /// Shorter than its type's layout.
    #[error("expected at least {expected} bytes of a message of type {kind:?}, found {found}")]
    Short {
        /// Type of the message.
        kind: char,
        /// Bytes needed.
        expected: usize,
        /// Bytes there.
        found: usize,
    },
    /// It names an order that does not rest.
    #[error("expected the reference of a resting order, found {reference}")]
    UnknownOrder {
        /// The reference.
        reference: u64,
    },
    /// It names a new order like one that rests.
    #[error("expected a new reference, found {reference}, which rests")]
    KnownOrder {
        /// The reference.
        reference: u64,
    },
    /// It takes more from an order than there is, or nothing.
    #[error("expected from 1 to {resting} shares of order {reference}, found {found}")]
    Shares {
        /// The reference.
        reference: u64,
        /// What rests.
        resting: u32,
        /// What is taken.
        found: u32,
    },
    /// A side that is neither `B` nor `S`.
    #[error("expected side B or S, found {found:?}")]
    Side {
        /// The code.
        found: char,
    },
}

/// The books of one session.
#[derive(Clone, Debug, Default)]
pub struct Model {
    instruments: BTreeMap<u16, Instrument>,
    orders: HashMap<u64, Resting>,
    /// Orders that ever came: the priority of the next one.
    arrivals: u64,
    /// The last system event and the decline levels, as they were said.
    market: BTreeMap<u8, Vec<u8>>,
}

#[derive(Clone, Debug, Default)]
struct Instrument {
    symbol: String,
    /// What its directory, its trading action and the like said last, by type.
    said: BTreeMap<u8, Vec<u8>>,
    /// References by price, best first, and arrival.
    bids: BTreeMap<(u32, u64), u64>,
    asks: BTreeMap<(u32, u64), u64>,
}

#[derive(Clone, Copy, Debug)]
struct Resting {
    locate: u16,
    arrival: u64,
    timestamp_ns: u64,
    mpid: Option<[u8; 4]>,
    order: ModelOrder,
}

impl Model {
    /// Applies one message; types that say nothing of a book or of its trading state are taken.
    ///
    /// # Errors
    /// [`ModelError`] where the message contradicts its layout or the books; nothing is changed.
    pub fn apply(&mut self, message: &[u8]) -> Result<(), ModelError> {
        let fields = Fields { message };
        match message.first() {
            Some(b'A' | b'F') => self.add(fields),
            Some(b'E' | b'C' | b'X') => self.reduce(fields.u64(11)?, fields.u32(19)?),
            Some(b'D') => self.remove(fields.u64(11)?).map(|_| ()),
            Some(b'U') => self.replace(fields),
            Some(&kind @ (b'R' | b'H' | b'Y' | b'J' | b'K' | b'h')) => {
                let instrument = self.instruments.entry(fields.u16(1)?).or_default();
                if kind == b'R' {
                    let symbol = fields.text::<8>(11)?;
                    instrument.symbol = String::from_utf8_lossy(&symbol).trim_end().to_owned();
                }
                instrument.said.insert(kind, message.to_vec());
                Ok(())
            }
            Some(&kind @ (b'S' | b'V')) => {
                self.market.insert(kind, message.to_vec());
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// The locates of all instruments that were ever named, in order.
    pub fn locates(&self) -> impl Iterator<Item = u16> {
        self.instruments.keys().copied()
    }

    /// The symbol of an instrument; empty where its directory message has not come.
    pub fn symbol(&self, locate: u16) -> &str {
        self.instruments.get(&locate).map_or("", |instrument| &instrument.symbol)
    }

    /// An instrument's orders: bids before asks, best price first, in the order of priority.
    pub fn orders(&self, locate: u16) -> impl Iterator<Item = ModelOrder> {
        let instrument = self.instruments.get(&locate);
        let references =
            instrument.into_iter().flat_map(|i| i.bids.values().chain(i.asks.values()));
        references.filter_map(|reference| Some(self.orders.get(reference)?.order))
    }

    /// Orders in all books.
    pub fn order_count(&self) -> usize {
        self.orders.len()
    }

    fn add(&mut self, fields: Fields<'_>) -> Result<(), ModelError> {
        let order = ModelOrder {
            reference: fields.u64(11)?,
            side: fields.side(19)?,
            shares: fields.u32(20)?,
            price: fields.u32(32)?,
        };
        let mpid = if fields.message[0] == b'F' { Some(fields.text(36)?) } else { None };
        self.insert(fields.u16(1)?, fields.u48(5)?, mpid, order)
    }

    fn replace(&mut self, fields: Fields<'_>) -> Result<(), ModelError> {
        let (old, new) = (fields.u64(11)?, fields.u64(19)?);
        let (shares, price) = (fields.u32(27)?, fields.u32(31)?);
        if self.orders.contains_key(&new) {
            return Err(ModelError::KnownOrder { reference: new });
        }
        let Resting { locate, mpid, order, .. } = self.remove(old)?;
        let order = ModelOrder { reference: new, shares, price, ..order };
        self.insert(locate, fields.u48(5)?, mpid, order)
    }

    fn insert(
        &mut self,
        locate: u16,
        timestamp_ns: u64,
        mpid: Option<[u8; 4]>,
        order: ModelOrder,
    ) -> Result<(), ModelError> {
        let ModelOrder { reference, side, price, .. } = order;
        if self.orders.contains_key(&reference) {
            return Err(ModelError::KnownOrder { reference });
        }
        self.arrivals += 1;
        let arrival = self.arrivals;
        let instrument = self.instruments.entry(locate).or_default();
        instrument.side(side).insert((rank(side, price), arrival), reference);
        self.orders.insert(reference, Resting { locate, arrival, timestamp_ns, mpid, order });
        Ok(())
    }

    fn reduce(&mut self, reference: u64, found: u32) -> Result<(), ModelError> {
        let order = self.orders.get_mut(&reference);
        let resting = order.ok_or(ModelError::UnknownOrder { reference })?;
        let shares = resting.order.shares;
        if found == 0 || found > shares {
            return Err(ModelError::Shares { reference, resting: shares, found });
        }
        resting.order.shares -= found;
        if resting.order.shares == 0 {
            self.remove(reference)?;
        }
        Ok(())
    }

    fn remove(&mut self, reference: u64) -> Result<Resting, ModelError> {
        let resting =
            self.orders.remove(&reference).ok_or(ModelError::UnknownOrder { reference })?;
        let ModelOrder { side, price, .. } = resting.order;
        if let Some(instrument) = self.instruments.get_mut(&resting.locate) {
            instrument.side(side).remove(&(rank(side, price), resting.arrival));
        }
        Ok(resting)
    }
}

impl Instrument {
    fn side(&mut self, side: Side) -> &mut BTreeMap<(u32, u64), u64> {
        match side {
            Side::Buy => &mut self.bids,
            Side::Sell => &mut self.asks,
        }
    }
}

/// Prices by how good they are, the best first.
fn rank(side: Side, price: u32) -> u32 {
    match side {
        Side::Buy => u32::MAX - price,
        Side::Sell => price,
    }
}

/// Fields by their offsets (ITCH 5.0, section 4: the type byte is at 0).
#[derive(Clone, Copy)]
struct Fields<'a> {
    message: &'a [u8],
}

impl Fields<'_> {
    fn text<const N: usize>(&self, at: usize) -> Result<[u8; N], ModelError> {
        let bytes = self.message.get(at..).and_then(|rest| rest.first_chunk());
        bytes.copied().ok_or_else(|| ModelError::Short {
            kind: self.message.first().map_or(' ', |kind| char::from(*kind)),
            expected: at + N,
            found: self.message.len(),
        })
    }

    fn u16(&self, at: usize) -> Result<u16, ModelError> {
        Ok(u16::from_be_bytes(self.text(at)?))
    }

    fn u32(&self, at: usize) -> Result<u32, ModelError> {
        Ok(u32::from_be_bytes(self.text(at)?))
    }

    fn u48(&self, at: usize) -> Result<u64, ModelError> {
        let [a, b, c, d, e, f] = self.text(at)?;
        Ok(u64::from_be_bytes([0, 0, a, b, c, d, e, f]))
    }

    fn u64(&self, at: usize) -> Result<u64, ModelError> {
        Ok(u64::from_be_bytes(self.text(at)?))
    }

    fn side(&self, at: usize) -> Result<Side, ModelError> {
        match self.text(at)? {
            [b'B'] => Ok(Side::Buy),
            [b'S'] => Ok(Side::Sell),
            [found] => Err(ModelError::Side { found: char::from(found) }),
        }
    }
}
