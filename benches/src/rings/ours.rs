//! Our rings: gated, as from a worker to a shard, and open, as from a shard to readers.

use super::{Maker, Message, Receiver, Ring, Sender};
use anyhow::{bail, ensure};
use wirebook_shm::ring::{
    GatedWriter, GatingReader, Observed, ObservingReader, PushError, Writer, gated, open,
};

/// Records that a gating reader takes before it gives their slots back, as a shard does.
const BATCH: usize = 64;

/// The ring whose reader holds its writer back.
pub struct Gated;

impl Ring for Gated {
    type Sender = GatedWriter;
    type Receiver = GatingReader;

    fn open(slots: usize) -> anyhow::Result<(Maker<GatedWriter>, Maker<GatingReader>)> {
        let (writer, reader) = gated(slots)?;
        Ok((Box::new(|| Ok(writer)), Box::new(|| Ok(reader))))
    }
}

impl Sender for GatedWriter {
    fn send(&mut self, first: u64, count: u64) -> anyhow::Result<()> {
        for number in first..first + count {
            loop {
                match self.try_push_words(&[number; super::MESSAGE_WORDS]) {
                    Ok(_) => break,
                    Err(PushError::Full) => std::hint::spin_loop(),
                    Err(error) => return Err(error.into()),
                }
            }
        }
        Ok(())
    }
}

impl Receiver for GatingReader {
    fn receive(&mut self, mut take: impl FnMut(&Message)) -> anyhow::Result<()> {
        let mut is_message = true;
        self.pop_each(BATCH, |record| match record.words().try_into() {
            Ok(message) => take(message),
            Err(_) => is_message = false,
        });
        self.release();
        ensure!(is_message, "not a message");
        Ok(())
    }
}

/// The ring whose writer never waits, and laps a reader that does not keep up: for round trips, in
/// which none can fall behind.
pub struct Open;

impl Ring for Open {
    type Sender = Writer;
    type Receiver = ObservingReader;

    fn open(slots: usize) -> anyhow::Result<(Maker<Writer>, Maker<ObservingReader>)> {
        let (writer, reader) = open(slots)?;
        Ok((Box::new(|| Ok(writer)), Box::new(|| Ok(reader))))
    }
}

impl Sender for Writer {
    fn send(&mut self, first: u64, count: u64) -> anyhow::Result<()> {
        for number in first..first + count {
            self.push_words(&[number; super::MESSAGE_WORDS])?;
        }
        Ok(())
    }
}

impl Receiver for ObservingReader {
    fn receive(&mut self, mut take: impl FnMut(&Message)) -> anyhow::Result<()> {
        match self.poll() {
            Observed::Record(record) => take(record.words().try_into()?),
            Observed::Empty => {}
            Observed::Overrun { missed_slots } => bail!("lapped by {missed_slots} slots"),
        }
        Ok(())
    }
}
