//! DBN files: metadata, then records (versions 1 to 3; older ones are upgraded).
//!
//! The `dbn` crate's file decoder ends in silence where a file is cut; its state machine, which
//! leaves the reading to us, does not.

use super::CaptureError;
use super::window::{ITEM_BYTES_MAX, Window};
use dbn::VersionUpgradePolicy;
use dbn::decode::dbn::fsm::{DbnFsm, ProcessResult};
use dbn::{Metadata, RecordRef};

const PRELUDE_BYTES: usize = 8;

/// Metadata longer than this is damage: it would be the mappings of millions of symbols.
const METADATA_BYTES_MAX: usize = 16 * ITEM_BYTES_MAX;

/// True where a file that begins like this is a DBN file.
pub(super) fn is_dbn(first: &[u8]) -> bool {
    first.starts_with(b"DBN")
}

pub(super) struct Recording {
    decoder: DbnFsm,
    metadata: Metadata,
}

impl Recording {
    pub(super) fn open(window: &mut Window) -> Result<Self, CaptureError> {
        window.require(PRELUDE_BYTES)?;
        let length = window.data()[4..].first_chunk().copied().map_or(0, u32::from_le_bytes);
        if length as usize > METADATA_BYTES_MAX {
            return Err(window.damaged(format!(
                "expected DBN metadata of at most {METADATA_BYTES_MAX} bytes, found {length}"
            )));
        }
        let builder = DbnFsm::builder().upgrade_policy(VersionUpgradePolicy::default());
        let mut decoder = builder.build().map_err(|error| window.damaged(error.to_string()))?;
        loop {
            match decoder.process() {
                ProcessResult::Metadata(metadata) => return Ok(Self { decoder, metadata }),
                ProcessResult::ReadMore(count) => {
                    if !feed(&mut decoder, window, count)? {
                        return Err(unfinished(&decoder, window, count));
                    }
                }
                ProcessResult::Record(()) => {
                    return Err(window.damaged("expected DBN metadata, found a record"));
                }
                ProcessResult::Err(error) => return Err(window.damaged(error.to_string())),
            }
        }
    }

    pub(super) fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// Makes the next record the last one decoded: false at the end.
    pub(super) fn advance(&mut self, window: &mut Window) -> Result<bool, CaptureError> {
        loop {
            self.check_alignment(window)?;
            match self.decoder.process() {
                ProcessResult::Record(()) => return Ok(true),
                ProcessResult::Metadata(_) => {}
                ProcessResult::ReadMore(count) => match feed(&mut self.decoder, window, count) {
                    Ok(true) => {}
                    Ok(false) if self.decoder.data().is_empty() => return Ok(false),
                    Ok(false) => return Err(unfinished(&self.decoder, window, count)),
                    Err(error) => return Err(error),
                },
                ProcessResult::Err(error) => return Err(window.damaged(error.to_string())),
            }
        }
    }

    /// Every DBN record is a multiple of 8 bytes long, so that the next one is aligned; the
    /// decoder takes that for granted. A record begins with its length in units of 4 bytes.
    fn check_alignment(&self, window: &Window) -> Result<(), CaptureError> {
        match self.decoder.data().first() {
            Some(length) if length % 2 != 0 => Err(window.damaged(format!(
                "expected a record length in units of 8 bytes, found {} bytes",
                u32::from(*length) * 4
            ))),
            _ => Ok(()),
        }
    }

    pub(super) fn record(&self) -> Option<RecordRef<'_>> {
        self.decoder.last_record()
    }
}

/// Moves what the window has into the decoder: false where the file is at its end.
fn feed(decoder: &mut DbnFsm, window: &mut Window, count: usize) -> Result<bool, CaptureError> {
    if !window.require(1)? {
        return Ok(false);
    }
    let space = decoder.space();
    let moved = space.len().min(window.data().len());
    space[..moved].copy_from_slice(&window.data()[..moved]);
    decoder.fill(moved);
    window.consume(moved);
    if moved == 0 {
        return Err(window.damaged(format!("expected a DBN record, found one of {count} bytes")));
    }
    Ok(true)
}

fn unfinished(decoder: &DbnFsm, window: &Window, missing: usize) -> CaptureError {
    let found = decoder.data().len();
    CaptureError::Truncated {
        at_byte: window.offset() - found as u64,
        expected: found + missing,
        found,
    }
}
