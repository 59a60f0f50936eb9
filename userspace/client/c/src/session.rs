//! Sessions: attaching to an appliance, and to the next.

use std::ffi::c_char;
use std::mem::MaybeUninit;
use std::time::Duration;

use wirebook_client::{Reattached, Session};

use crate::result::{answer, given, make, text, wirebook_result};

/// The segment of one start of an appliance. Records and books that were opened from it may outlive
/// it.
pub struct wirebook_session {
    pub(crate) session: Session,
}

/// What a session was attached to anew.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum wirebook_reattached {
    /// The same start, which had only been slow: records and books are as good as before.
    SameStart = 1,
    /// Another start: records and books are to be closed, and opened anew from the session.
    NextStart = 2,
}

/// Attaches to the appliance that listens at `path`, which `/run/wirebook/wirebook.sock` is where its
/// configuration names no other. Fails with `WIREBOOK_RESULT_UNREACHABLE` or
/// `WIREBOOK_RESULT_SEGMENT_VERSION`.
///
/// # Safety
///
/// `path` is null or ends with a zero byte.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn wirebook_connect(
    path: *const c_char,
    session: Option<&mut MaybeUninit<Box<wirebook_session>>>,
) -> wirebook_result {
    make(session, || {
        // SAFETY: this function's own condition.
        let path = unsafe { text(path, "a path") }?;
        Ok(Box::new(wirebook_session { session: Session::connect(path)? }))
    })
}

/// Ends a session; null is none.
#[unsafe(no_mangle)]
pub extern "C" fn wirebook_close(session: Option<Box<wirebook_session>>) {
    answer(|| {
        drop(session);
        Ok(())
    });
}

/// What tells this start of the appliance from any other; 0 for null.
#[unsafe(no_mangle)]
pub extern "C" fn wirebook_epoch(session: Option<&wirebook_session>) -> u64 {
    session.map_or(0, |mine| mine.session.epoch())
}

/// The appliance's process id, as it sees it; 0 for null.
#[unsafe(no_mangle)]
pub extern "C" fn wirebook_writer_pid(session: Option<&wirebook_session>) -> u32 {
    session.map_or(0, |mine| mine.session.writer_pid())
}

/// Number of shards; 0 for null.
#[unsafe(no_mangle)]
pub extern "C" fn wirebook_shards(session: Option<&wirebook_session>) -> u32 {
    session.map_or(0, |mine| mine.session.shards() as u32)
}

/// Attaches again after the writer's end, to whichever start answers within `patience_ns`. Where it
/// fails, the session is as it was, and this can be called again; with
/// `WIREBOOK_RESULT_SEGMENT_VERSION` that is in vain.
#[unsafe(no_mangle)]
pub extern "C" fn wirebook_reconnect(
    session: Option<&mut wirebook_session>,
    patience_ns: u64,
    reattached: Option<&mut MaybeUninit<wirebook_reattached>>,
) -> wirebook_result {
    make(reattached, || {
        let session = &mut given(session, "a session")?.session;
        Ok(match session.reconnect(Duration::from_nanos(patience_ns))? {
            Reattached::SameStart => wirebook_reattached::SameStart,
            Reattached::NextStart => wirebook_reattached::NextStart,
        })
    })
}
