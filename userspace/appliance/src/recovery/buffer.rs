//! Buffers that are taken once and go round between two threads.

use crossbeam_queue::ArrayQueue;
use std::sync::Arc;
use wirebook_wire::Blocks;

/// Bytes of one buffer: a jumbo frame's packet, or some hundred messages of a snapshot.
pub const BUFFER_BYTES: usize = 16 * 1024;

/// Buffers at rest.
#[derive(Debug)]
pub(super) struct Pool(Arc<ArrayQueue<Box<[u8]>>>);

impl Pool {
    /// So many buffers.
    pub(super) fn new(count: usize) -> Self {
        let home = ArrayQueue::new(count);
        for _ in 0..count {
            // The queue has a place for each.
            let _ = home.push(vec![0; BUFFER_BYTES].into_boxed_slice());
        }
        Self(Arc::new(home))
    }

    /// An empty buffer; `None` while all are elsewhere.
    pub(super) fn take(&self) -> Option<Buffer> {
        Some(Buffer { bytes: Some(self.0.pop()?), length: 0, home: Arc::clone(&self.0) })
    }
}

/// Bytes in a buffer that goes back where it came from when it is dropped.
#[derive(Debug)]
pub struct Buffer {
    bytes: Option<Box<[u8]>>,
    length: usize,
    home: Arc<ArrayQueue<Box<[u8]>>>,
}

impl Buffer {
    /// What it holds.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.as_ref().map_or(&[], |bytes| &bytes[..self.length])
    }

    /// Appends bytes; false, and nothing is appended, where there is no room.
    pub fn append(&mut self, parts: &[&[u8]]) -> bool {
        let Some(bytes) = &mut self.bytes else { return false };
        let length = parts.iter().map(|part| part.len()).sum::<usize>();
        let Some(room) = bytes.get_mut(self.length..self.length + length) else { return false };
        let mut start = 0;
        for part in parts {
            room[start..start + part.len()].copy_from_slice(part);
            start += part.len();
        }
        self.length += length;
        true
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if let Some(bytes) = self.bytes.take() {
            // The queue has a place for each buffer that was ever made.
            let returned = self.home.push(bytes);
            debug_assert!(returned.is_ok(), "every buffer has a place at home");
        }
    }
}

/// Messages one after the other, each behind its length.
#[derive(Debug)]
pub struct Batch {
    buffer: Buffer,
    count: u16,
}

impl Batch {
    /// A batch of no messages.
    pub(super) fn new(buffer: Buffer) -> Self {
        Self { buffer, count: 0 }
    }

    /// The messages.
    pub fn messages(&self) -> impl Iterator<Item = &[u8]> {
        Blocks::big_endian(self.buffer.bytes(), self.count).flatten()
    }

    /// How many they are.
    pub fn count(&self) -> u16 {
        self.count
    }

    /// Bytes in use.
    pub(super) fn bytes(&self) -> usize {
        self.buffer.length
    }

    /// Appends a message; false where there is no room.
    pub fn push(&mut self, message: &[u8]) -> bool {
        let (Ok(length), Some(count)) = (u16::try_from(message.len()), self.count.checked_add(1))
        else {
            return false;
        };
        let has_room = self.buffer.append(&[&length.to_be_bytes(), message]);
        if has_room {
            self.count = count;
        }
        has_room
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_goes_back_when_it_is_dropped() {
        let pool = Pool::new(2);
        let held = [pool.take(), pool.take()];
        assert!(held.iter().all(Option::is_some) && pool.take().is_none());
        drop(held);
        let mut buffer = pool.take().unwrap();
        assert!(buffer.append(&[b"ab", b"c"]) && buffer.append(&[]));
        assert!(!buffer.append(&[&[0; BUFFER_BYTES]]));
        assert_eq!(buffer.bytes(), b"abc");
        drop(buffer);
        assert_eq!(pool.take().unwrap().bytes(), b"", "it comes back empty");
    }

    #[test]
    fn a_batch_gives_its_messages_until_it_is_full() {
        let mut batch = Batch::new(Pool::new(1).take().unwrap());
        assert!(batch.push(b"first") && batch.push(b"") && batch.push(&[7; 1_000]));
        let messages: Vec<_> = batch.messages().collect();
        assert_eq!(messages, [&b"first"[..], b"", &[7; 1_000]]);
        let room = BUFFER_BYTES - (2 + 5) - 2 - (2 + 1_000) - 2;
        assert!(!batch.push(&vec![1; room + 1]));
        assert!(batch.push(&vec![1; room]));
        assert!(!batch.push(b""));
        assert_eq!((batch.count(), batch.messages().count()), (4, 4));
    }
}
