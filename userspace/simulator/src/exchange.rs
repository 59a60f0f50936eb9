//! What an exchange knows of its session: every message said so far, and the books after them.
//!
//! Arrives: the packets as they leave. Leaves: what its servers answer from. Holds all messages of
//! the session in memory.

use crate::messages::Messages;
use crate::model::{Model, ModelError};
use crate::packets::Packet;

/// One session of an exchange.
#[derive(Clone, Debug)]
pub struct Exchange {
    session: [u8; 10],
    messages: Messages,
    model: Model,
}

impl Exchange {
    /// A session in which nothing was said yet.
    pub fn new(session: [u8; 10]) -> Self {
        Self { session, messages: Messages::default(), model: Model::default() }
    }

    /// Takes a packet that is sent: the next one of the session.
    ///
    /// # Errors
    /// [`ModelError`] of the first message that contradicts the books; the session has it
    /// nevertheless.
    pub fn publish(&mut self, packet: &Packet) -> Result<(), ModelError> {
        let mut outcome = Ok(());
        for message in packet.messages() {
            self.messages.push(message);
            outcome = outcome.and(self.model.apply(message));
        }
        outcome
    }

    /// The session's name.
    pub fn session(&self) -> [u8; 10] {
        self.session
    }

    /// The sequence that the next message will have.
    pub fn next_sequence(&self) -> u64 {
        self.messages.len() as u64 + 1
    }

    /// The message of a sequence.
    pub fn message(&self, sequence: u64) -> Option<&[u8]> {
        self.messages.get(usize::try_from(sequence.checked_sub(1)?).ok()?)
    }

    /// The books as they are.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The books as they were when `sequence` was the next one.
    pub fn model_before(&self, sequence: u64) -> Model {
        let mut model = Model::default();
        let before = usize::try_from(sequence.saturating_sub(1)).unwrap_or(usize::MAX);
        for message in self.messages.iter().take(before) {
            // What contradicts the books was told when it was published.
            let _ = model.apply(message);
        }
        model
    }
}
