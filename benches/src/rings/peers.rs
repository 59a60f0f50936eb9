//! The peers: a bare cache line, and the rings and queues of other crates, each used as its own
//! documentation shows for speed: one sender, one receiver, in batches where it has them.

use super::{MESSAGE_WORDS, Maker, Message, Receiver, Ring, Sender};
use crossbeam_queue::ArrayQueue;
use disruptor::{
    BusySpin, EventPoller, Polling, Producer as _, SingleConsumerBarrier, SingleProducer,
    SingleProducerBarrier,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// One word on a cache line of its own, without any queue: what the cores themselves need.
pub struct Line;

/// An end of a [`Line`], and the number after the last one seen there.
pub struct LineEnd(Arc<Word>, u64);

#[repr(align(128))]
struct Word(AtomicU64);

impl Ring for Line {
    type Sender = LineEnd;
    type Receiver = LineEnd;

    fn open(_: usize) -> anyhow::Result<(Maker<LineEnd>, Maker<LineEnd>)> {
        let word = Arc::new(Word(AtomicU64::new(0)));
        let (one, other) = (LineEnd(Arc::clone(&word), 0), LineEnd(word, 0));
        Ok((Box::new(|| Ok(one)), Box::new(|| Ok(other))))
    }
}

impl Sender for LineEnd {
    fn send(&mut self, first: u64, count: u64) -> anyhow::Result<()> {
        self.0.0.store(first + count, Ordering::Release);
        Ok(())
    }
}

impl Receiver for LineEnd {
    fn receive(&mut self, mut take: impl FnMut(&Message)) -> anyhow::Result<()> {
        let after = self.0.0.load(Ordering::Acquire);
        if after != self.1 {
            self.1 = after;
            take(&[after - 1; MESSAGE_WORDS]);
        }
        Ok(())
    }
}

/// `rtrb`, by its chunks.
pub struct Rtrb;

impl Ring for Rtrb {
    type Sender = rtrb::Producer<Message>;
    type Receiver = rtrb::Consumer<Message>;

    fn open(slots: usize) -> anyhow::Result<(Maker<Self::Sender>, Maker<Self::Receiver>)> {
        let (producer, consumer) = rtrb::RingBuffer::new(slots);
        Ok((Box::new(|| Ok(producer)), Box::new(|| Ok(consumer))))
    }
}

impl Sender for rtrb::Producer<Message> {
    fn send(&mut self, first: u64, count: u64) -> anyhow::Result<()> {
        let (mut next, end) = (first, first + count);
        while next < end {
            let room = self.slots().min((end - next) as usize);
            match self.write_chunk_uninit(room) {
                Ok(chunk) => {
                    let numbers = next..next + room as u64;
                    let written = chunk.fill_from_iter(numbers.map(|n| [n; MESSAGE_WORDS]));
                    next += written as u64;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

impl Receiver for rtrb::Consumer<Message> {
    fn receive(&mut self, mut take: impl FnMut(&Message)) -> anyhow::Result<()> {
        let chunk = self.read_chunk(self.slots())?;
        let (one, other) = chunk.as_slices();
        one.iter().chain(other).for_each(&mut take);
        chunk.commit_all();
        Ok(())
    }
}

/// `crossbeam-queue`'s `ArrayQueue`, which has room for many senders and receivers.
pub struct Crossbeam;

impl Ring for Crossbeam {
    type Sender = Arc<ArrayQueue<Message>>;
    type Receiver = Arc<ArrayQueue<Message>>;

    fn open(slots: usize) -> anyhow::Result<(Maker<Self::Sender>, Maker<Self::Receiver>)> {
        let queue = Arc::new(ArrayQueue::new(slots));
        let other = Arc::clone(&queue);
        Ok((Box::new(|| Ok(queue)), Box::new(|| Ok(other))))
    }
}

impl Sender for Arc<ArrayQueue<Message>> {
    fn send(&mut self, first: u64, count: u64) -> anyhow::Result<()> {
        for number in first..first + count {
            while self.push([number; MESSAGE_WORDS]).is_err() {
                std::hint::spin_loop();
            }
        }
        Ok(())
    }
}

impl Receiver for Arc<ArrayQueue<Message>> {
    fn receive(&mut self, mut take: impl FnMut(&Message)) -> anyhow::Result<()> {
        while let Some(message) = self.pop() {
            take(&message);
        }
        Ok(())
    }
}

/// `disruptor`, with a single producer and a poller.
pub struct Disruptor;

/// Its sending end.
pub struct DisruptorSender(SingleProducer<Message, SingleConsumerBarrier>);

/// Its receiving end.
pub struct DisruptorReceiver(EventPoller<Message, SingleProducerBarrier>);

impl Ring for Disruptor {
    type Sender = DisruptorSender;
    type Receiver = DisruptorReceiver;

    fn open(slots: usize) -> anyhow::Result<(Maker<Self::Sender>, Maker<Self::Receiver>)> {
        let builder = disruptor::build_single_producer(slots, || [0; MESSAGE_WORDS], BusySpin);
        let (poller, builder) = builder.new_event_poller();
        let producer = builder.build();
        let (sender, receiver) = (DisruptorSender(producer), DisruptorReceiver(poller));
        Ok((Box::new(|| Ok(sender)), Box::new(|| Ok(receiver))))
    }
}

impl Sender for DisruptorSender {
    fn send(&mut self, first: u64, count: u64) -> anyhow::Result<()> {
        if count == 1 {
            self.0.publish(|message| *message = [first; MESSAGE_WORDS]);
            return Ok(());
        }
        self.0.batch_publish(count as usize, |messages| {
            for (message, number) in messages.zip(first..) {
                *message = [number; MESSAGE_WORDS];
            }
        });
        Ok(())
    }
}

impl Receiver for DisruptorReceiver {
    fn receive(&mut self, mut take: impl FnMut(&Message)) -> anyhow::Result<()> {
        match self.0.poll() {
            Ok(mut messages) => (&mut messages).for_each(&mut take),
            // A sender that is done drops its end; what it sent before has been received.
            Err(Polling::NoEvents | Polling::Shutdown) => {}
        }
        Ok(())
    }
}
