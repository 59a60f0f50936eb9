//! Where messages come from.

use crate::itch::Message;

/// A flow of messages in the order of their sequence.
pub trait MessageSource {
    /// Appends the next message's bytes, at least one, to `out` and gives its time, nanoseconds
    /// since midnight; none at the end.
    fn next_message(&mut self, out: &mut Vec<u8>) -> Option<u64>;
}

impl<I: Iterator<Item = Message>> MessageSource for I {
    fn next_message(&mut self, out: &mut Vec<u8>) -> Option<u64> {
        let message = self.next()?;
        message.encode(out);
        Some(message.timestamp_ns)
    }
}
