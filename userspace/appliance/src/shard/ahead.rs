//! A shard directly behind the router, in a replay: it looks ahead as one behind a ring does.
//!
//! Arrives: events, one by one. Leaves: what the shard makes of them, in order. Promises: at most
//! [`EVENTS`] wait, and none once [`Ahead::into_shard`] was called.

use super::Shard;
use crate::router::Mailbox;
use wirebook_machine::{BookSink, LookAhead};
use wirebook_model::{Event, PackedEvent};

/// Events that are collected before they are applied: enough to look ahead over.
const EVENTS: usize = 64;

/// A shard and the events that it has not applied yet.
pub struct Ahead<S> {
    shard: Shard<S>,
    events: LookAhead,
}

impl<S: BookSink> Ahead<S> {
    /// Nothing waits yet.
    pub fn new(shard: Shard<S>) -> Self {
        Self { shard, events: LookAhead::with_capacity(EVENTS) }
    }

    /// The shard, which has applied everything.
    pub fn into_shard(mut self) -> Shard<S> {
        self.apply();
        self.shard
    }

    #[inline]
    fn apply_if_full(&mut self) {
        if self.events.is_full() {
            self.apply();
        }
    }

    fn apply(&mut self) {
        while let Some(expected) = self.events.next(self.shard.books()) {
            self.shard.apply_expected(expected);
        }
        self.events.clear();
    }
}

impl<S: BookSink> Mailbox for Ahead<S> {
    #[inline]
    fn deliver(&mut self, event: &Event) {
        self.events.push(self.shard.books(), event);
        self.apply_if_full();
    }

    #[inline]
    fn deliver_packed(&mut self, event: &PackedEvent) {
        self.events.push_packed(self.shard.books(), event);
        self.apply_if_full();
    }
}
