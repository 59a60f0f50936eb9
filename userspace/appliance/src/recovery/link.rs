//! The two ends between a worker and the recovery thread, one pair a channel.
//!
//! Arrives at the worker's end: what its channel asks for. Leaves there: [`Answer`]s, in the order
//! in which the recovery thread made them. Promises: the worker's end never waits, allocates or
//! makes a system call; all buffers are taken at start and go back by themselves when an answer is
//! dropped; an answer to something that is no longer wanted is never seen. Counts nothing: a full
//! queue is an error, to be repeated at the worker's next tick.

use super::buffer::{Batch, Buffer, Pool};
use super::snapshot::SnapshotFailure;
use crossbeam_queue::ArrayQueue;
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use wirebook_wire::Session;

/// Buffers for retransmitted packets; they are not lent to snapshots.
const PACKET_BUFFERS: usize = 64;

/// Buffers for messages of a snapshot: with all of them on their way the thread waits.
const BATCH_BUFFERS: usize = 64;

/// Requests, and answers without a buffer, that may be on their way.
const QUEUE_SLACK: usize = 64;

/// Both ends of a channel's link, with all memory that they will use.
pub fn link() -> (WorkerEnd, RecoveryEnd) {
    let wishes = Arc::new(ArrayQueue::new(QUEUE_SLACK));
    let answers = Arc::new(ArrayQueue::new(PACKET_BUFFERS + BATCH_BUFFERS + QUEUE_SLACK));
    let worker =
        WorkerEnd { wishes: Arc::clone(&wishes), answers: Arc::clone(&answers), recovery: 0 };
    let recovery = RecoveryEnd {
        wishes,
        answers,
        packets: Pool::new(PACKET_BUFFERS),
        batches: Pool::new(BATCH_BUFFERS),
        outbox: VecDeque::new(),
        postponed: None,
        recovery: 0,
    };
    (worker, recovery)
}

/// What a worker wants of the recovery thread.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// These messages of a session, sent again.
    Retransmit {
        /// The session that numbers them.
        session: Session,
        /// Their sequences.
        messages: Range<u64>,
    },
    /// A snapshot that holds every message before `sequence`, or more.
    Snapshot {
        /// The session that numbers the messages.
        session: Session,
        /// The first message that it need not hold.
        sequence: u64,
    },
}

/// The queue of requests is full: the recovery thread is busy or gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected room for a request to the recovery thread, found its queue full")]
pub struct QueueFull;

/// What the recovery thread gives a worker.
#[derive(Debug)]
pub enum Answer {
    /// A retransmitted packet: a UDP payload, to go the way of a line's.
    Packet(Buffer),
    /// The session of these messages will not send them again.
    RetransmitFailed {
        /// The session that numbers them.
        session: Session,
        /// Their sequences.
        messages: Range<u64>,
    },
    /// A snapshot begins, or begins anew from another server.
    SnapshotBegins {
        /// The session that it was asked for.
        session: Session,
    },
    /// Messages of the snapshot, in their order.
    SnapshotMessages(Batch),
    /// The snapshot is whole.
    SnapshotEnds {
        /// The session that it was asked for.
        session: Session,
        /// The first message that is not in it.
        sequence: u64,
    },
    /// No server gave a whole snapshot.
    SnapshotFailed {
        /// The session that it was asked for.
        session: Session,
        /// Why the last server did not.
        failure: SnapshotFailure,
    },
}

/// A request or an answer, and how many recoveries had been ended before it.
#[derive(Debug)]
struct Numbered<T> {
    recovery: u64,
    item: T,
}

/// What a worker's end sends: a request, or the end of all requests before.
#[derive(Debug)]
enum Wish {
    Request(Request),
    End,
}

/// The worker's end.
#[derive(Debug)]
pub struct WorkerEnd {
    wishes: Arc<ArrayQueue<Numbered<Wish>>>,
    answers: Arc<ArrayQueue<Numbered<Answer>>>,
    recovery: u64,
}

impl WorkerEnd {
    /// Asks for something.
    ///
    /// # Errors
    /// [`QueueFull`] where the request was not taken: it is to be repeated later.
    #[cold]
    pub fn request(&mut self, request: Request) -> Result<(), QueueFull> {
        let wish = Numbered { recovery: self.recovery, item: Wish::Request(request) };
        self.wishes.push(wish).map_err(|_| QueueFull)
    }

    /// What was asked for is not wanted any more; its answers will not be seen.
    #[cold]
    pub fn end(&mut self) {
        self.recovery += 1;
        // Where the queue is full the next request, which has the new number, says the same.
        let _ = self.wishes.push(Numbered { recovery: self.recovery, item: Wish::End });
    }

    /// The next answer. Dropping it gives its buffer back.
    #[inline]
    pub fn take(&mut self) -> Option<Answer> {
        while let Some(answer) = self.answers.pop() {
            if answer.recovery == self.recovery {
                return Some(answer.item);
            }
        }
        None
    }
}

/// The recovery thread's end.
#[derive(Debug)]
pub struct RecoveryEnd {
    wishes: Arc<ArrayQueue<Numbered<Wish>>>,
    answers: Arc<ArrayQueue<Numbered<Answer>>>,
    packets: Pool,
    batches: Pool,
    /// Answers for which the queue had no room; the few that have no buffer.
    outbox: VecDeque<Numbered<Answer>>,
    postponed: Option<Request>,
    recovery: u64,
}

/// What the recovery thread is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Order {
    /// Forget what was asked for.
    End,
    /// See to this.
    Request(Request),
}

impl RecoveryEnd {
    /// The next order.
    pub fn order(&mut self) -> Option<Order> {
        if let Some(request) = self.postponed.take() {
            return Some(Order::Request(request));
        }
        let Numbered { recovery, item } = self.wishes.pop()?;
        match item {
            Wish::Request(request) if recovery == self.recovery => Some(Order::Request(request)),
            wish => {
                // A request with a new number says that the end before it found no room.
                if let Wish::Request(request) = wish {
                    self.postponed = Some(request);
                }
                self.recovery = recovery;
                self.outbox.clear();
                Some(Order::End)
            }
        }
    }

    /// Sends an answer; where the queue is full it goes out later, in its order.
    pub fn send(&mut self, answer: Answer) {
        self.outbox.push_back(Numbered { recovery: self.recovery, item: answer });
        self.flush();
    }

    /// Sends what had no room before.
    pub fn flush(&mut self) {
        while let Some(answer) = self.outbox.pop_front() {
            if let Err(answer) = self.answers.push(answer) {
                self.outbox.push_front(answer);
                return;
            }
        }
    }

    /// An empty buffer for a retransmitted packet; `None` while the worker has them all.
    pub fn packet_buffer(&self) -> Option<Buffer> {
        self.packets.take()
    }

    /// An empty batch of messages; `None` while the worker has them all.
    pub fn batch(&self) -> Option<Batch> {
        self.batches.take().map(Batch::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SESSION: Session = Session::MoldUdp64(*b"000010059B");

    fn snapshot(sequence: u64) -> Request {
        Request::Snapshot { session: SESSION, sequence }
    }

    fn packet(recovery: &RecoveryEnd, bytes: &[u8]) -> Answer {
        let mut buffer = recovery.packet_buffer().unwrap();
        assert!(buffer.append(&[bytes]));
        Answer::Packet(buffer)
    }

    #[test]
    fn requests_and_answers_come_in_order() {
        let (mut worker, mut recovery) = link();
        worker.request(snapshot(1)).unwrap();
        worker.request(snapshot(2)).unwrap();
        assert_eq!(recovery.order(), Some(Order::Request(snapshot(1))));
        assert_eq!(recovery.order(), Some(Order::Request(snapshot(2))));
        assert_eq!(recovery.order(), None);
        recovery.send(Answer::SnapshotBegins { session: SESSION });
        recovery.send(packet(&recovery, b"abc"));
        assert!(matches!(worker.take(), Some(Answer::SnapshotBegins { .. })));
        let Some(Answer::Packet(buffer)) = worker.take() else { panic!("expected a packet") };
        assert_eq!(buffer.bytes(), b"abc");
        assert!(worker.take().is_none());
    }

    #[test]
    fn answers_to_what_was_ended_are_not_seen() {
        let (mut worker, mut recovery) = link();
        worker.request(snapshot(1)).unwrap();
        recovery.order();
        recovery.send(packet(&recovery, b"old"));
        worker.end();
        recovery.send(Answer::SnapshotEnds { session: SESSION, sequence: 9 });
        assert!(worker.take().is_none());
        assert_eq!(recovery.order(), Some(Order::End));
        worker.request(snapshot(2)).unwrap();
        assert_eq!(recovery.order(), Some(Order::Request(snapshot(2))));
        recovery.send(packet(&recovery, b"new"));
        assert!(matches!(worker.take(), Some(Answer::Packet(buffer)) if buffer.bytes() == b"new"));
    }

    #[test]
    fn a_full_queue_is_an_error_and_an_end_that_found_no_room_is_not_lost() {
        let (mut worker, mut recovery) = link();
        let taken = (0..).take_while(|sequence| worker.request(snapshot(*sequence)).is_ok());
        assert_eq!(taken.count(), QUEUE_SLACK);
        worker.end();
        for sequence in 0..QUEUE_SLACK as u64 {
            assert_eq!(recovery.order(), Some(Order::Request(snapshot(sequence))));
        }
        assert_eq!(recovery.order(), None);
        worker.request(snapshot(7)).unwrap();
        assert_eq!(recovery.order(), Some(Order::End));
        assert_eq!(recovery.order(), Some(Order::Request(snapshot(7))));
    }

    #[test]
    fn buffers_go_back_and_answers_without_room_wait_in_order() {
        let (mut worker, mut recovery) = link();
        let failed = |sequence| Answer::SnapshotEnds { session: SESSION, sequence };
        let held: Vec<_> = std::iter::from_fn(|| recovery.packet_buffer()).collect();
        assert_eq!(held.len(), PACKET_BUFFERS);
        assert!(recovery.batch().is_some(), "snapshots have their own");
        drop(held);
        let total = 2 * (PACKET_BUFFERS + BATCH_BUFFERS + QUEUE_SLACK) as u64;
        (0..total).for_each(|sequence| recovery.send(failed(sequence)));
        for expected in 0..total {
            let answer = worker.take();
            assert!(
                matches!(answer, Some(Answer::SnapshotEnds { sequence, .. }) if sequence == expected)
            );
            recovery.flush();
        }
        assert!(worker.take().is_none());
        assert!(recovery.packet_buffer().is_some());
    }
}
