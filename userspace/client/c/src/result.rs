//! How a call went, and in words.
//!
//! What arrives: what a call returned or the panic that ended it. What leaves: a number for the
//! program, and a text for people, kept for the thread that called.

use std::cell::RefCell;
use std::ffi::{CStr, CString, c_char};
use std::mem::MaybeUninit;
use std::panic::{AssertUnwindSafe, catch_unwind};

use wirebook_client::ClientError;

/// How a call went. Any other number than 0 is a failure, one that this header does not name too.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum wirebook_result {
    /// It was done.
    Ok = 0,
    /// A pointer was null, a text not UTF-8, or a number out of range.
    InvalidArgument = 1,
    /// Nobody answers at the socket, or what answers is no appliance.
    Unreachable = 2,
    /// The appliance's segment is of another ABI version than this library reads.
    SegmentVersion = 3,
    /// What the appliance gave is no segment of an appliance.
    BadSegment = 4,
    /// There is no such shard.
    NoSuchShard = 5,
    /// There is no such instrument so far, or it was found in another start of the appliance.
    NoSuchInstrument = 6,
    /// The writer was at the book at every try; try again.
    Contended = 7,
    /// The records are not those of the instrument's shard.
    OtherShard = 8,
    /// The board did not catch up with the records in the time given; try again.
    NotShown = 9,
    /// The appliance's heartbeat stands still, and nobody else has come.
    WriterGone = 10,
    /// A mistake in this library. The handle can only be closed.
    Internal = 11,
    /// The appliance publishes no records of schema mbo, so it has no order-level books to give.
    NoOrders = 12,
}

/// Why a call failed.
pub(crate) struct Failure {
    result: wirebook_result,
    text: String,
}

impl Failure {
    pub(crate) fn new(result: wirebook_result, text: impl Into<String>) -> Self {
        Self { result, text: text.into() }
    }

    pub(crate) fn argument(text: impl Into<String>) -> Self {
        Self::new(wirebook_result::InvalidArgument, text)
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        use wirebook_client::{BoardError, HandOffError};
        use wirebook_result as R;
        let result = match &error {
            ClientError::HandOff(HandOffError::AbiVersion { .. }) => R::SegmentVersion,
            ClientError::HandOff(HandOffError::Segment(_)) | ClientError::Segment(_) => {
                R::BadSegment
            }
            ClientError::HandOff(_) => R::Unreachable,
            ClientError::NoSuchShard { .. } => R::NoSuchShard,
            ClientError::NoSuchInstrument(_) => R::NoSuchInstrument,
            ClientError::Board(BoardError::NoSuchCell { .. }) => R::NoSuchInstrument,
            ClientError::Board(BoardError::Contended) => R::Contended,
            ClientError::OtherShard(_) => R::OtherShard,
            ClientError::NoOrders => R::NoOrders,
            ClientError::NotShown(_) => R::NotShown,
            ClientError::WriterGone => R::WriterGone,
        };
        Self::new(result, error.to_string())
    }
}

thread_local! {
    static LAST_ERROR: RefCell<CString> = RefCell::default();
}

/// What the last call of this thread that failed had to say; empty where none has failed. Never null.
/// The text is the library's, and stays until another call of this thread fails.
#[unsafe(no_mangle)]
pub extern "C" fn wirebook_last_error() -> *const c_char {
    LAST_ERROR.try_with(|last| last.borrow().as_ptr()).unwrap_or(c"".as_ptr())
}

/// Does the call; a failure or a panic becomes its number, and this thread's last error.
pub(crate) fn catch<T>(call: impl FnOnce() -> Result<T, Failure>) -> Result<T, wirebook_result> {
    let panicked = |_| Failure::new(wirebook_result::Internal, "a mistake in libwirebook");
    // What a panic has left half done is never looked at again but to be dropped.
    let done = catch_unwind(AssertUnwindSafe(call)).map_err(panicked);
    done.flatten().map_err(|failure| {
        let text = CString::new(failure.text.replace('\0', " ")).unwrap_or_default();
        // A thread that is about to end keeps no text.
        let _ = LAST_ERROR.try_with(|last| last.replace(text));
        failure.result
    })
}

/// The same for a call that only is done or fails.
pub(crate) fn answer(call: impl FnOnce() -> Result<(), Failure>) -> wirebook_result {
    match catch(call) {
        Ok(()) => wirebook_result::Ok,
        Err(result) => result,
    }
}

/// What must not be null.
pub(crate) fn given<T>(pointer: Option<T>, name: &str) -> Result<T, Failure> {
    pointer.ok_or_else(|| Failure::argument(format!("expected {name}, found a null pointer")))
}

/// Does a call that makes something, and puts it where the caller wants it.
pub(crate) fn make<T>(
    place: Option<&mut MaybeUninit<T>>,
    call: impl FnOnce() -> Result<T, Failure>,
) -> wirebook_result {
    answer(|| {
        let place = given(place, "a place for the answer")?;
        place.write(call()?);
        Ok(())
    })
}

/// A text of the caller's.
///
/// # Safety
///
/// `pointer` is null or points to bytes up to a zero byte that stay as they are for `'a`.
pub(crate) unsafe fn text<'a>(pointer: *const c_char, name: &str) -> Result<&'a str, Failure> {
    if pointer.is_null() {
        return Err(Failure::argument(format!("expected {name}, found a null pointer")));
    }
    // SAFETY: not null, so by this function's own condition bytes up to a zero byte, for `'a`.
    let text = unsafe { CStr::from_ptr(pointer) };
    text.to_str()
        .map_err(|_| Failure::argument(format!("expected {name} in UTF-8, found {text:?}")))
}
