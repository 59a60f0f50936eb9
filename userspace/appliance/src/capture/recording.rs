//! DBN files: metadata, then records (versions 1 to 3; older ones are upgraded).
//!
//! The `dbn` crate's file decoder ends in silence where a file is cut; its state machine, which
//! leaves the reading to us, does not.

use super::CaptureError;
use super::window::{ITEM_BYTES_MAX, Window};
use dbn::VersionUpgradePolicy;
use dbn::decode::dbn::fsm::{DbnFsm, ProcessResult};
use dbn::{Metadata, RecordRef, rtype, v1, v2};

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
            self.check_next(window)?;
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

    /// Checks what the decoder takes for granted of the record that comes next: that it is a
    /// multiple of 8 bytes long, so that the one after it is aligned, and that one of an older
    /// version has the bytes that are read to upgrade it.
    fn check_next(&self, window: &Window) -> Result<(), CaptureError> {
        // A record begins with its length, in units of 4 bytes, and its type.
        let [length, rtype, ..] = *self.decoder.data() else { return Ok(()) };
        let length = usize::from(length) * 4;
        let version = self.decoder.input_dbn_version().unwrap_or(dbn::DBN_VERSION);
        let ts_out_bytes = if self.decoder.ts_out() { size_of::<u64>() } else { 0 };
        let least = upgraded_bytes(version, rtype) + ts_out_bytes;
        if length.is_multiple_of(8) && length >= least {
            return Ok(());
        }
        Err(window.damaged(format!(
            "expected a record of type {rtype:#04x} of at least {least} bytes in eights, found \
             {length}"
        )))
    }

    pub(super) fn record(&self) -> Option<RecordRef<'_>> {
        self.decoder.last_record()
    }
}

/// Bytes of a record that are read to upgrade it from `version`; 0 where it stays as it is
/// (`dbn` crate, `decode/dbn/fsm.rs`, `upgrade_record_with_version`).
fn upgraded_bytes(version: u8, rtype: u8) -> usize {
    match (version, rtype) {
        (1, rtype::INSTRUMENT_DEF) => size_of::<v1::InstrumentDefMsg>(),
        (2, rtype::INSTRUMENT_DEF) => size_of::<v2::InstrumentDefMsg>(),
        (1 | 2, rtype::STATISTICS) => size_of::<v1::StatMsg>(),
        (1, rtype::SYMBOL_MAPPING) => size_of::<v1::SymbolMappingMsg>(),
        (1, rtype::ERROR) => size_of::<v1::ErrorMsg>(),
        (1, rtype::SYSTEM) => size_of::<v1::SystemMsg>(),
        _ => 0,
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
