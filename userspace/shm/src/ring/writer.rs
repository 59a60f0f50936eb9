//! The writing end of a ring: [`Writer`] laps its readers, [`GatedWriter`] waits for one.

use super::slot::slots_for;
use super::{Cursor, RECORD_BYTES_MAX, Ring, SLOT_PAYLOAD_BYTES, SLOT_WORDS};
use crate::sync::{Ordering, Rule, fence_by, keeps};

/// A record that no ring, or not this one, carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this ring carries records of 1 to {max_bytes} bytes, found {found_bytes}")]
pub struct LengthError {
    /// The record's length.
    pub found_bytes: usize,
    /// The longest this ring carries.
    pub max_bytes: usize,
}

/// Why a gated writer took no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PushError {
    /// Backpressure: the gating reader has not given back the slots this record needs.
    #[error("the ring is full until its reader gives slots back")]
    Full,
    /// A record that this ring never carries.
    #[error(transparent)]
    Length(#[from] LengthError),
}

/// The writer of an open ring: it never waits, and laps readers that do not keep up.
pub struct Writer {
    end: End,
}

impl Writer {
    pub(crate) fn new(ring: Ring) -> Self {
        Self { end: End::new(ring) }
    }

    /// Publishes a record of 64-bit words. Returns the cursor at which it begins.
    ///
    /// # Errors
    ///
    /// [`LengthError`] for no word, or more bytes than the ring carries.
    #[inline]
    pub fn push_words(&mut self, words: &[u64]) -> Result<Cursor, LengthError> {
        let need = self.end.need(size_of_val(words))?;
        Ok(self.push(need, words))
    }

    /// Publishes a record of bytes. Returns the cursor at which it begins.
    ///
    /// # Errors
    ///
    /// [`LengthError`] for no byte, or more bytes than the ring carries.
    #[inline]
    pub fn push_bytes(&mut self, bytes: &[u8]) -> Result<Cursor, LengthError> {
        let need = self.end.need(bytes.len())?;
        Ok(self.push(need, bytes))
    }

    #[inline]
    fn push<P: Payload + ?Sized>(&mut self, need: Need, payload: &P) -> Cursor {
        let first = self.end.write(need, payload);
        self.end.announce();
        first
    }

    /// Where the next record will begin.
    pub fn cursor(&self) -> Cursor {
        self.end.cursor
    }

    /// Says that a board beside this ring shows all that the records so far say.
    #[inline]
    pub fn mark_shown(&self) {
        self.end.ring.control().set_shown(self.end.cursor);
    }
}

/// The writer of a gated ring: it overwrites nothing that its gating reader has not given back.
pub struct GatedWriter {
    end: End,
    /// The reader's cursor as last seen: loaded again only when the ring looks full, so that the
    /// line it lies on stays with the reader.
    gate: Cursor,
    /// Where it announces its own cursor next.
    announce_at: Cursor,
}

impl GatedWriter {
    pub(crate) fn new(ring: Ring) -> Self {
        let announce_at = Cursor::default().after(ring.block());
        Self { end: End::new(ring), gate: Cursor::default(), announce_at }
    }

    /// Publishes a record of 64-bit words. Returns the cursor at which it begins.
    ///
    /// # Errors
    ///
    /// [`PushError::Full`] where the reader must give slots back first, [`PushError::Length`] for no
    /// word, or more bytes than the ring carries.
    #[inline]
    pub fn try_push_words(&mut self, words: &[u64]) -> Result<Cursor, PushError> {
        let need = self.end.need(size_of_val(words))?;
        self.push(need, words)
    }

    /// Publishes a record of bytes. Returns the cursor at which it begins.
    ///
    /// # Errors
    ///
    /// [`PushError::Full`] where the reader must give slots back first, [`PushError::Length`] for no
    /// byte, or more bytes than the ring carries.
    #[inline]
    pub fn try_push_bytes(&mut self, bytes: &[u8]) -> Result<Cursor, PushError> {
        let need = self.end.need(bytes.len())?;
        self.push(need, bytes)
    }

    /// Where the next record will begin.
    pub fn cursor(&self) -> Cursor {
        self.end.cursor
    }

    /// Says how far it has come, which it does by itself once a block. A reader that takes block by block
    /// learns so at once that there is less than one; else it looks by itself a little later.
    #[inline]
    pub fn announce(&mut self) {
        let next = self.end.cursor.after(self.end.ring.block());
        if self.announce_at != next {
            self.announce_at = next;
            self.end.announce();
        }
    }

    #[inline]
    fn push<P: Payload + ?Sized>(&mut self, need: Need, payload: &P) -> Result<Cursor, PushError> {
        self.wait_for(need)?;
        let first = self.end.write(need, payload);
        if self.end.cursor >= self.announce_at {
            self.announce();
        }
        Ok(first)
    }

    #[inline]
    fn wait_for(&mut self, need: Need) -> Result<(), PushError> {
        let end = self.end.cursor.get() + need.slots as u64;
        if end - self.gate.get() > self.end.ring.capacity() {
            self.gate = self.end.ring.control().gate();
            if keeps(Rule::Gate) && end - self.gate.get() > self.end.ring.capacity() {
                return Err(PushError::Full);
            }
        }
        Ok(())
    }
}

/// What a record of a checked length needs.
#[derive(Clone, Copy)]
struct Need {
    length_bytes: usize,
    slots: usize,
}

/// The writing of slots, which both writers share. One a ring, so its cursor is its own.
struct End {
    ring: Ring,
    cursor: Cursor,
    record_bytes_max: usize,
}

impl End {
    fn new(ring: Ring) -> Self {
        let ring_bytes = ring.slots.len() * SLOT_PAYLOAD_BYTES;
        Self { ring, cursor: Cursor::default(), record_bytes_max: ring_bytes.min(RECORD_BYTES_MAX) }
    }

    #[inline]
    fn need(&self, length_bytes: usize) -> Result<Need, LengthError> {
        if length_bytes == 0 || length_bytes > self.record_bytes_max {
            return Err(LengthError {
                found_bytes: length_bytes,
                max_bytes: self.record_bytes_max,
            });
        }
        Ok(Need { length_bytes, slots: slots_for(length_bytes) })
    }

    /// Writes and publishes one record: W1 to W5 of the proof in `ring`.
    #[inline]
    fn write<P: Payload + ?Sized>(&mut self, need: Need, payload: &P) -> Cursor {
        let first = self.cursor;
        for nth in 0..need.slots {
            let cursor = first.after(nth as u64);
            self.ring.slot(cursor).invalidate(cursor);
        }
        fence_by(Rule::FenceAfterInvalidate, Ordering::Release);
        if !keeps(Rule::FirstSlotLast) {
            self.ring.slot(first).publish(first, need.length_bytes);
        }
        for nth in 0..need.slots {
            let cursor = first.after(nth as u64);
            let slot = self.ring.slot(cursor);
            slot.store(&payload.slot(nth));
            if nth > 0 {
                slot.mark_continuation(cursor);
            }
        }
        self.ring.slot(first).publish(first, need.length_bytes);
        self.cursor = first.after(need.slots as u64);
        first
    }

    /// Shares its cursor.
    #[inline(always)]
    fn announce(&self) {
        self.ring.control().set_writer(self.cursor);
    }
}

/// A record cut into slots.
trait Payload {
    /// The words of slot `nth` of the record, zero beyond its end.
    fn slot(&self, nth: usize) -> [u64; SLOT_WORDS];
}

impl Payload for [u64] {
    #[inline(always)]
    fn slot(&self, nth: usize) -> [u64; SLOT_WORDS] {
        let rest = &self[nth * SLOT_WORDS..];
        if let Some(whole) = rest.first_chunk() {
            return *whole;
        }
        let mut words = [0; SLOT_WORDS];
        words[..rest.len()].copy_from_slice(rest);
        words
    }
}

impl Payload for [u8] {
    #[inline(always)]
    fn slot(&self, nth: usize) -> [u64; SLOT_WORDS] {
        let rest = &self[nth * SLOT_PAYLOAD_BYTES..];
        let mut bytes = [0; SLOT_PAYLOAD_BYTES];
        match rest.first_chunk() {
            Some(whole) => bytes = *whole,
            None => bytes[..rest.len()].copy_from_slice(rest),
        }
        zerocopy::transmute!(bytes)
    }
}
