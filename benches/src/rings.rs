//! Rings side by side: the same messages from one thread to another through ours and through peers.
//!
//! What arrives: a ring by its type, a number of slots, a batch, a number of messages. What leaves: the
//! time they took, or a histogram of round trips. Promises: every message is checked by its receiver,
//! so a ring that loses, doubles or tears one fails the run instead of winning it.
//!
//! A message is what one slot of ours carries: [`MESSAGE_WORDS`] words, 56 bytes. Each ring writes it
//! in its own way, in place where it can, and batches where it can.

#[cfg(feature = "aeron")]
pub mod aeron;
#[cfg(feature = "peers")]
pub mod iceoryx;
pub mod ours;
pub mod peers;

use anyhow::{Context, ensure};
use core_affinity::CoreId;
use hdrhistogram::Histogram;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

/// Words of a message.
pub const MESSAGE_WORDS: usize = 7;

/// A message: its number, in every word.
pub type Message = [u64; MESSAGE_WORDS];

/// Round trips that are not counted, before those that are.
const WARM_UP: u64 = 10_000;

/// The sending end of a ring.
pub trait Sender {
    /// Sends the messages of these numbers, waiting where the ring is full.
    ///
    /// # Errors
    /// Whatever else the ring says.
    fn send(&mut self, first: u64, count: u64) -> anyhow::Result<()>;
}

/// The receiving end of a ring.
pub trait Receiver {
    /// Gives away the messages that are there, of which there may be none.
    ///
    /// # Errors
    /// Whatever the ring says.
    fn receive(&mut self, take: impl FnMut(&Message)) -> anyhow::Result<()>;
}

/// Makes an end on the thread that will use it, as some peers' ends cannot move.
pub type Maker<T> = Box<dyn FnOnce() -> anyhow::Result<T> + Send>;

/// Both ends, each to be made where it is used.
pub type Ends<S, R> = (Maker<S>, Maker<R>);

/// A ring, or what a peer has in its place.
pub trait Ring {
    /// Its sending end.
    type Sender: Sender;
    /// Its receiving end.
    type Receiver: Receiver;

    /// A ring with room for so many messages, at least.
    ///
    /// # Errors
    /// Whatever keeps the ring from being made.
    fn open(slots: usize) -> anyhow::Result<Ends<Self::Sender, Self::Receiver>>;
}

/// How long so many messages take from one core to another, in batches.
///
/// # Errors
/// A ring's own, and one that did not bring each message once and in order.
pub fn stream<R: Ring>(
    cores: [CoreId; 2],
    slots: usize,
    batch: u64,
    messages: u64,
) -> anyhow::Result<Duration> {
    let (sender, receiver) = R::open(slots)?;
    let start = Barrier::new(2);
    thread::scope(|scope| {
        let receiving = scope.spawn(|| {
            pin(cores[1])?;
            let mut receiver = receiver()?;
            start.wait();
            let mut next = 0;
            let mut is_right = true;
            while next < messages {
                receiver.receive(|message| {
                    is_right &= message.iter().all(|word| *word == next);
                    next += 1;
                })?;
                std::hint::spin_loop();
            }
            ensure!(is_right, "a message was lost, doubled or torn");
            anyhow::Ok(Instant::now())
        });
        pin(cores[0])?;
        let sender = sender();
        start.wait();
        let mut sender = sender?;
        let begun = Instant::now();
        let mut first = 0;
        while first < messages {
            let count = batch.min(messages - first);
            sender.send(first, count)?;
            first += count;
        }
        let ended = receiving.join().ok().context("the receiver panicked")??;
        Ok(ended - begun)
    })
}

/// How long so many messages take from one core to another and back, one after the other, in
/// nanoseconds.
///
/// # Errors
/// As [`stream`].
pub fn round_trips<R: Ring>(
    cores: [CoreId; 2],
    slots: usize,
    messages: u64,
) -> anyhow::Result<Histogram<u64>> {
    let (there_sender, there_receiver) = R::open(slots)?;
    let (back_sender, back_receiver) = R::open(slots)?;
    let all = WARM_UP + messages;
    let start = Barrier::new(2);
    thread::scope(|scope| {
        let echoing = scope.spawn(|| {
            pin(cores[1])?;
            let mut receiver = there_receiver()?;
            let mut sender = back_sender()?;
            start.wait();
            let mut next = 0;
            while next < all {
                let mut found = None;
                receiver.receive(|message| found = Some(message[0]))?;
                if let Some(number) = found {
                    sender.send(number, 1)?;
                    next = number + 1;
                }
                std::hint::spin_loop();
            }
            anyhow::Ok(())
        });
        pin(cores[0])?;
        let ends = there_sender().and_then(|sender| Ok((sender, back_receiver()?)));
        start.wait();
        let (mut sender, mut receiver) = ends?;
        let mut trips = Histogram::new_with_bounds(1, 10_000_000_000, 3)?;
        for number in 0..all {
            let begun = Instant::now();
            sender.send(number, 1)?;
            let mut is_back = false;
            while !is_back {
                receiver.receive(|message| is_back = message[0] == number)?;
                std::hint::spin_loop();
            }
            if number >= WARM_UP {
                trips.saturating_record(begun.elapsed().as_nanos() as u64);
            }
        }
        echoing.join().ok().context("the echo panicked")??;
        Ok(trips)
    })
}

fn pin(core: CoreId) -> anyhow::Result<()> {
    ensure!(core_affinity::set_for_current(core), "cannot have core {}", core.id);
    Ok(())
}
