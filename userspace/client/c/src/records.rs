//! Records: the output rings of one shard or of all, as one stream.

use std::ffi::c_char;
use std::mem::MaybeUninit;
use std::time::Duration;

use wirebook_client::{Next, Records, Wait};

use crate::books::{wirebook_book, wirebook_books, wirebook_instrument};
use crate::dbn_records::wirebook_record_header;
use crate::result::{Failure, answer, catch, given, make, text, wirebook_result};
use crate::session::wirebook_session;

/// A stream of records.
pub struct wirebook_records {
    /// `None` after a panic in the middle of a change.
    records: Option<Records>,
}

/// How a reader waits for the next record.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum wirebook_wait {
    /// Never gives its core away.
    Spin = 0,
    /// Spins for a moment, then yields to other threads of its core.
    SpinThenYield = 1,
    /// Spins for a moment, then sleeps: until the appliance wakes its readers, or where it wakes none,
    /// at most 1 ms at a time. The way of new records.
    Sleep = 2,
}

/// What comes next. Kinds may be added: step over one that this header does not name.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum wirebook_kind {
    /// The call failed: see `wirebook_last_error()`.
    Failed = -1,
    /// No record within the time given.
    Nothing = 0,
    /// A record.
    Record = 1,
    /// The writer has lapped this reader, which goes on at the newest record.
    Overrun = 2,
    /// All records have been read, and the writer's heartbeat stands still: see
    /// `wirebook_reconnect()`.
    WriterGone = 3,
}

/// One record or one overrun. What its kind does not speak of is zero.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct wirebook_next {
    /// Of a record: its DBN header, at the beginning of the whole record, aligned to 8 bytes. It stays
    /// until the next call with these records; copy what is to stay longer.
    pub record: *const wirebook_record_header,
    /// Of a record: its length.
    pub length_bytes: u32,
    /// The shard that made it, or whose ring has lapped this reader.
    pub shard: u32,
    /// Of a record: where in that shard's ring it begins.
    pub cursor: u64,
    /// Of an overrun: slots of 64 bytes that were missed. An order's record takes one, others up to
    /// ten.
    pub missed_slots: u64,
    /// Zero.
    pub reserved: [u64; 4],
}

/// The records of all shards, from the next that is published. Those of one shard keep their order;
/// between shards the lowest `ts_recv` of those that are there comes first.
#[unsafe(no_mangle)]
pub extern "C" fn wirebook_records_open(
    session: Option<&wirebook_session>,
    records: Option<&mut MaybeUninit<Box<wirebook_records>>>,
) -> wirebook_result {
    make(records, || {
        let records = given(session, "a session")?.session.records()?;
        Ok(Box::new(wirebook_records { records: Some(records) }))
    })
}

/// The same of one shard.
#[unsafe(no_mangle)]
pub extern "C" fn wirebook_records_open_shard(
    session: Option<&wirebook_session>,
    shard: u32,
    records: Option<&mut MaybeUninit<Box<wirebook_records>>>,
) -> wirebook_result {
    make(records, || {
        let records = given(session, "a session")?.session.shard_records(shard as usize)?;
        Ok(Box::new(wirebook_records { records: Some(records) }))
    })
}

/// Ends a stream; null is none.
#[unsafe(no_mangle)]
pub extern "C" fn wirebook_records_close(records: Option<Box<wirebook_records>>) {
    answer(|| {
        drop(records);
        Ok(())
    });
}

/// Goes back to the first record of this start. Where that is overwritten, the first that comes is an
/// overrun.
#[unsafe(no_mangle)]
pub extern "C" fn wirebook_records_from_start(
    records: Option<&mut wirebook_records>,
) -> wirebook_result {
    answer(|| change(records, Records::from_start))
}

/// Keeps a reader's own order-level books right, whatever it misses, from now on. Of an instrument of
/// which something was missed, by joining late or by an overrun, no `wirebook_mbo_msg` is given until
/// its whole book has come from memory: a clear and an add for each order, flagged
/// `WIREBOOK_FLAG_SNAPSHOT`, the last one `WIREBOOK_FLAG_LAST` too; then every record from there on.
/// Records of other schemas are given as ever. Fails with `WIREBOOK_RESULT_NO_ORDERS` where the
/// appliance publishes no orders.
#[unsafe(no_mangle)]
pub extern "C" fn wirebook_records_heal(records: Option<&mut wirebook_records>) -> wirebook_result {
    answer(|| Ok(whole(records)?.heal()?))
}

/// How many instruments' orders are withheld until their book has come; `UINT64_MAX` where it is not
/// known yet, 0 for null.
#[unsafe(no_mangle)]
pub extern "C" fn wirebook_records_pending(records: Option<&wirebook_records>) -> u64 {
    let records = records.and_then(|mine| mine.records.as_ref());
    records.map_or(0, |records| records.pending().map_or(u64::MAX, |pending| pending as u64))
}

/// Waits in this way from now on: a `wirebook_wait`.
#[unsafe(no_mangle)]
pub extern "C" fn wirebook_records_wait(
    records: Option<&mut wirebook_records>,
    wait: i32,
) -> wirebook_result {
    answer(|| {
        let named = [
            (wirebook_wait::Spin, Wait::Spin),
            (wirebook_wait::SpinThenYield, Wait::SpinThenYield),
            (wirebook_wait::Sleep, Wait::Sleep),
        ];
        let found = named.iter().find(|(number, _)| *number as i32 == wait);
        let expected = || Failure::argument(format!("expected a wirebook_wait, found {wait}"));
        let (_, wait) = *found.ok_or_else(expected)?;
        change(records, |records| records.waiting(wait))
    })
}

/// Gives the records of these `symbols_count` symbols alone, on every channel that has them. Overruns
/// are still told. Fails with `WIREBOOK_RESULT_NO_SUCH_INSTRUMENT` where no channel has spoken of one
/// of them yet, and changes nothing then.
///
/// # Safety
///
/// `symbols` is null or points to `symbols_count` texts, each null or ending with a zero byte.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wirebook_records_only(
    records: Option<&mut wirebook_records>,
    books: Option<&mut wirebook_books>,
    symbols: *const *const c_char,
    symbols_count: usize,
) -> wirebook_result {
    answer(|| {
        let directory = given(books, "books")?.books.directory();
        if symbols.is_null() || symbols_count > isize::MAX as usize / size_of::<*const c_char>() {
            return Err(Failure::argument("expected symbols, found a null pointer or too many"));
        }
        // SAFETY: not null, of a size below `isize::MAX`, and as long as this function's condition
        // says.
        let symbols = unsafe { std::slice::from_raw_parts(symbols, symbols_count) };
        let mut wanted = Vec::new();
        for symbol in symbols {
            // SAFETY: this function's own condition.
            let symbol = unsafe { text(*symbol, "a symbol") }?;
            let before = wanted.len();
            wanted.extend(directory.find(symbol).cloned());
            if wanted.len() == before {
                let error = wirebook_client::ClientError::NoSuchInstrument(symbol.to_owned());
                return Err(error.into());
            }
        }
        change(records, |records| records.only(&wanted))
    })
}

/// What comes next, after at most `timeout_ns`; 0 looks without waiting.
#[unsafe(no_mangle)]
pub extern "C" fn wirebook_records_next(
    records: Option<&mut wirebook_records>,
    timeout_ns: u64,
    next: Option<&mut MaybeUninit<wirebook_next>>,
) -> wirebook_kind {
    let found = catch(|| {
        let next = given(next, "a place for the answer")?;
        let mut found = NOTHING;
        let kind = match whole(records)?.next(Duration::from_nanos(timeout_ns)) {
            Next::Record(read) => {
                let bytes = read.record.as_ref();
                found.record = bytes.as_ptr().cast();
                found.length_bytes = bytes.len() as u32;
                found.shard = read.shard as u32;
                found.cursor = read.cursor.get();
                wirebook_kind::Record
            }
            Next::Overrun { shard, missed_slots } => {
                found.shard = shard as u32;
                found.missed_slots = missed_slots;
                wirebook_kind::Overrun
            }
            Next::Nothing => wirebook_kind::Nothing,
            Next::WriterGone => wirebook_kind::WriterGone,
        };
        next.write(found);
        Ok(kind)
    });
    found.unwrap_or(wirebook_kind::Failed)
}

/// Records that were stepped over, as they are none of this DBN version; 0 for null.
#[unsafe(no_mangle)]
pub extern "C" fn wirebook_records_unknown(records: Option<&wirebook_records>) -> u64 {
    records.and_then(|mine| mine.records.as_ref()).map_or(0, Records::unknown)
}

/// The instrument's book at a place from which these records go on: it holds every record of the
/// instrument that begins before the book's cursor, and all others are still to come. So after an
/// overrun, or at the start: take this book, step over the instrument's records before its cursor,
/// apply the rest. Waits at most `patience_ns` for the end of the shard's turn, and fails with
/// `WIREBOOK_RESULT_NOT_SHOWN` where that did not come.
#[unsafe(no_mangle)]
pub extern "C" fn wirebook_records_join(
    records: Option<&mut wirebook_records>,
    books: Option<&wirebook_books>,
    instrument: Option<&wirebook_instrument>,
    patience_ns: u64,
    book: Option<&mut MaybeUninit<wirebook_book>>,
) -> wirebook_result {
    make(book, || {
        let (records, books) = (whole(records)?, given(books, "books")?);
        let patience = Duration::from_nanos(patience_ns);
        books.read(given(instrument, "an instrument")?, |books, instrument| {
            records.join(books, instrument, patience)
        })
    })
}

const NOTHING: wirebook_next = wirebook_next {
    record: std::ptr::null(),
    length_bytes: 0,
    shard: 0,
    cursor: 0,
    missed_slots: 0,
    reserved: [0; 4],
};

/// The records, unless a panic has broken them.
#[inline]
fn whole(records: Option<&mut wirebook_records>) -> Result<&mut Records, Failure> {
    given(records, "records")?.records.as_mut().ok_or_else(broken)
}

fn change(
    records: Option<&mut wirebook_records>,
    call: impl FnOnce(Records) -> Records,
) -> Result<(), Failure> {
    let mine = given(records, "records")?;
    let taken = mine.records.take().ok_or_else(broken)?;
    mine.records = Some(call(taken));
    Ok(())
}

fn broken() -> Failure {
    Failure::new(wirebook_result::Internal, "these records were broken by a mistake in libwirebook")
}
