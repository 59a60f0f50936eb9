//! Books: who is who, and the ten best levels of each book.

use std::ffi::c_char;
use std::mem::MaybeUninit;

use wirebook_client::dbn::{MboMsg, RecordHeader, rtype};
use wirebook_client::{Book, BookState, Books, ClientError, Instrument, Level};

use crate::result::{Failure, answer, given, make, text, wirebook_result};
use crate::session::wirebook_session;

/// Price levels that a book shows of each side.
pub const WIREBOOK_LEVELS: usize = 10;

/// Bytes of a symbol, with the zero byte at its end.
pub const WIREBOOK_SYMBOL_BYTES: usize = 33;

/// The books of a session, and the directory of its instruments.
pub struct wirebook_books {
    pub(crate) books: Books,
    shards: usize,
}

/// What a book says of itself. Only a live one is to be traded on.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum wirebook_state {
    /// Started in mid-session: what was before is not known yet.
    Warming = 1,
    /// Complete.
    Live = 2,
    /// Incomplete since a gap, and being recovered.
    Healing = 3,
    /// Incomplete, and nothing repairs it.
    Stale = 4,
}

/// Why a book is stale. Reasons may be added; `UINT32_MAX` stands for one that this library does not
/// know.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum wirebook_stale_reason {
    /// It is not stale.
    None = 0,
    /// The channel missed messages that nothing repairs.
    Gap = 1,
    /// The venue spoke of an order that the book does not hold.
    UnknownOrder = 2,
    /// A limit of the shard kept something out of the book.
    Limit = 3,
    /// The code that keeps the book failed.
    Fault = 4,
    /// The book was not what the model book beside it was.
    SelfCheck = 5,
    /// Its channel is no longer received.
    Removed = 6,
}

/// One instrument of one channel, in one start of the appliance.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct wirebook_instrument {
    /// The venue's name for it, which ends with a zero byte; empty until its definition has come.
    pub symbol: [c_char; WIREBOOK_SYMBOL_BYTES],
    /// The channel it is fed from.
    pub channel: u8,
    /// DBN publisher id, as in its records.
    pub publisher_id: u16,
    /// Its id, as in its records.
    pub instrument_id: u32,
    /// The shard that owns it.
    pub shard: u32,
    /// Its cell on that shard's board.
    pub place: u32,
}

/// One price level.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct wirebook_level {
    /// Price, 1e-9 of the currency.
    pub price: i64,
    /// Total size of the orders.
    pub size: u64,
    /// Number of orders; 0 where the feed does not tell.
    pub orders: u32,
    /// Zero.
    pub reserved: u32,
}

/// The top of one book at one moment. Times are nanoseconds since the UNIX epoch.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct wirebook_book {
    /// Whose book it is.
    pub instrument: wirebook_instrument,
    /// What the book says of itself.
    pub state: wirebook_state,
    /// Size of the last trade; 0 where there was none.
    pub last_size: u32,
    /// Price of the last trade, 1e-9 of the currency.
    pub last_price: i64,
    /// Venue sequence of the last event in the book.
    pub sequence: u64,
    /// Venue time of that event.
    pub ts_event: u64,
    /// Receive time of that event.
    pub ts_recv: u64,
    /// Where in its shard's ring the records begin that are not in the book.
    pub cursor: u64,
    /// Levels in `bids`.
    pub bids_count: u32,
    /// Levels in `asks`.
    pub asks_count: u32,
    /// Why it is stale: a `wirebook_stale_reason`, or `UINT32_MAX`.
    pub stale_reason: u32,
    /// Zero.
    pub reserved: [u32; 7],
    /// Best bid first; zero behind the last.
    pub bids: [wirebook_level; WIREBOOK_LEVELS],
    /// Best ask first; zero behind the last.
    pub asks: [wirebook_level; WIREBOOK_LEVELS],
}

/// The books of all shards.
#[unsafe(no_mangle)]
pub extern "C" fn wirebook_books_open(
    session: Option<&wirebook_session>,
    books: Option<&mut MaybeUninit<Box<wirebook_books>>>,
) -> wirebook_result {
    make(books, || {
        let session = &given(session, "a session")?.session;
        Ok(Box::new(wirebook_books { books: session.books()?, shards: session.shards() }))
    })
}

/// Ends them; null is none.
#[unsafe(no_mangle)]
pub extern "C" fn wirebook_books_close(books: Option<Box<wirebook_books>>) {
    answer(|| {
        drop(books);
        Ok(())
    });
}

/// Reads on where the directory has grown. `instruments_count` is how many instruments there are so
/// far; they are numbered from 0 on and keep their number.
#[unsafe(no_mangle)]
pub extern "C" fn wirebook_books_refresh(
    books: Option<&mut wirebook_books>,
    instruments_count: Option<&mut MaybeUninit<usize>>,
) -> wirebook_result {
    make(instruments_count, || {
        let directory = given(books, "books")?.books.directory();
        directory.refresh();
        Ok(directory.iter().count())
    })
}

/// The instrument of this number, of those that the last look into the directory found.
#[unsafe(no_mangle)]
pub extern "C" fn wirebook_books_instrument(
    books: Option<&mut wirebook_books>,
    number: usize,
    instrument: Option<&mut MaybeUninit<wirebook_instrument>>,
) -> wirebook_result {
    make(instrument, || {
        let directory = given(books, "books")?.books.directory();
        let missing = || none(format!("there is no instrument number {number} so far"));
        directory.iter().nth(number).map(wirebook_instrument::from).ok_or_else(missing)
    })
}

/// An instrument of this symbol: of the channels that have it, the `nth` counted from 0. Fails with
/// `WIREBOOK_RESULT_NO_SUCH_INSTRUMENT` behind the last.
///
/// # Safety
///
/// `symbol` is null or ends with a zero byte.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wirebook_books_find(
    books: Option<&mut wirebook_books>,
    symbol: *const c_char,
    nth: usize,
    instrument: Option<&mut MaybeUninit<wirebook_instrument>>,
) -> wirebook_result {
    make(instrument, || {
        // SAFETY: this function's own condition.
        let symbol = unsafe { text(symbol, "a symbol") }?;
        let found = given(books, "books")?.books.directory().find(symbol).nth(nth);
        let missing = || Failure::from(ClientError::NoSuchInstrument(symbol.to_owned()));
        found.map(wirebook_instrument::from).ok_or_else(missing)
    })
}

/// The instrument of a record, by two fields of its header. Fails with
/// `WIREBOOK_RESULT_NO_SUCH_INSTRUMENT` for a record about the market, and for one so new that the
/// board does not show its instrument yet.
#[unsafe(no_mangle)]
pub extern "C" fn wirebook_books_find_id(
    books: Option<&mut wirebook_books>,
    publisher_id: u16,
    instrument_id: u32,
    instrument: Option<&mut MaybeUninit<wirebook_instrument>>,
) -> wirebook_result {
    make(instrument, || {
        let header = RecordHeader::new::<MboMsg>(rtype::MBO, publisher_id, instrument_id, 0);
        let found = given(books, "books")?.books.directory().of(&header);
        let missing = || none(format!("no instrument has the id {instrument_id} so far"));
        found.map(wirebook_instrument::from).ok_or_else(missing)
    })
}

/// The book of this instrument as it is now. Fails with `WIREBOOK_RESULT_NO_SUCH_INSTRUMENT` where the
/// instrument was found in another start.
#[unsafe(no_mangle)]
pub extern "C" fn wirebook_books_read(
    books: Option<&wirebook_books>,
    instrument: Option<&wirebook_instrument>,
    book: Option<&mut MaybeUninit<wirebook_book>>,
) -> wirebook_result {
    make(book, || {
        let instrument = given(instrument, "an instrument")?;
        given(books, "books")?.read(instrument, Books::read)
    })
}

impl wirebook_books {
    /// Reads the book of an instrument that the caller brings, in this way, and looks whether it is the
    /// one that was meant.
    pub(crate) fn read(
        &self,
        instrument: &wirebook_instrument,
        read: impl FnOnce(&Books, &Instrument) -> Result<Book, ClientError>,
    ) -> Result<wirebook_book, Failure> {
        let wirebook_instrument { publisher_id, instrument_id, channel, .. } = *instrument;
        let (shard, place) = (instrument.shard as usize, instrument.place as usize);
        if shard >= self.shards {
            return Err(ClientError::NoSuchShard { found: shard, shards: self.shards }.into());
        }
        let symbol = String::new();
        let (id, publisher) = (instrument_id, publisher_id);
        let book = read(&self.books, &Instrument { symbol, id, publisher, channel, shard, place })?;
        if book.instrument_id() != instrument_id {
            return Err(none(format!(
                "instrument {instrument_id} is not at its place in this start"
            )));
        }
        Ok(wirebook_book::new(instrument, &book))
    }
}

impl wirebook_book {
    fn new(instrument: &wirebook_instrument, book: &Book) -> Self {
        let last = book.last_trade();
        let mut instrument = *instrument;
        instrument.symbol = symbol(book.symbol());
        Self {
            instrument,
            state: match book.state() {
                BookState::Warming => wirebook_state::Warming,
                BookState::Live => wirebook_state::Live,
                BookState::Healing => wirebook_state::Healing,
                BookState::Stale => wirebook_state::Stale,
            },
            last_size: last.map_or(0, |trade| trade.size),
            last_price: last.map_or(0, |trade| trade.price),
            sequence: book.sequence(),
            ts_event: book.ts_event(),
            ts_recv: book.ts_recv(),
            cursor: book.cursor().get(),
            bids_count: book.bids().len() as u32,
            asks_count: book.asks().len() as u32,
            stale_reason: book.stale_reason().map_or(u32::MAX, |reason| reason as u32),
            reserved: [0; 7],
            bids: levels(book.bids()),
            asks: levels(book.asks()),
        }
    }
}

impl From<&Instrument> for wirebook_instrument {
    fn from(found: &Instrument) -> Self {
        Self {
            symbol: symbol(&found.symbol),
            channel: found.channel,
            publisher_id: found.publisher,
            instrument_id: found.id,
            shard: found.shard as u32,
            place: found.place as u32,
        }
    }
}

fn symbol(text: &str) -> [c_char; WIREBOOK_SYMBOL_BYTES] {
    let mut symbol = [0; WIREBOOK_SYMBOL_BYTES];
    let last = WIREBOOK_SYMBOL_BYTES - 1;
    for (place, byte) in symbol[..last].iter_mut().zip(text.bytes()) {
        *place = byte as c_char;
    }
    symbol
}

fn levels(found: &[Level]) -> [wirebook_level; WIREBOOK_LEVELS] {
    let mut levels = [wirebook_level::default(); WIREBOOK_LEVELS];
    for (place, level) in levels.iter_mut().zip(found) {
        let Level { price, size, orders, .. } = *level;
        *place = wirebook_level { price, size, orders, reserved: 0 };
    }
    levels
}

fn none(text: String) -> Failure {
    Failure::new(wirebook_result::NoSuchInstrument, text)
}
