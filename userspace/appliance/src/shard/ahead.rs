//! A shard directly behind the router, in a replay: it looks ahead as one behind a ring does.
//!
//! Arrives: events, one by one. Leaves: what the shard makes of them, in order. Promises: at most
//! [`EVENTS`] wait, and none once [`Ahead::into_shard`] was called.

use super::Shard;
use crate::router::Mailbox;
use wirebook_machine::BookSink;
use wirebook_model::Event;

/// Events that are collected before they are applied: enough to look ahead over.
const EVENTS: usize = 64;

/// A shard and the events that it has not applied yet.
pub struct Ahead<S> {
    shard: Shard<S>,
    events: Vec<Event>,
}

impl<S: BookSink> Ahead<S> {
    /// Nothing waits yet.
    pub fn new(shard: Shard<S>) -> Self {
        Self { shard, events: Vec::with_capacity(EVENTS) }
    }

    /// The shard, which has applied everything.
    pub fn into_shard(mut self) -> Shard<S> {
        self.apply();
        self.shard
    }

    fn apply(&mut self) {
        let mut ahead = self.shard.look_ahead(&self.events);
        for (at, event) in self.events.iter().enumerate() {
            ahead.step(self.shard.books(), &self.events, at);
            self.shard.apply(event);
        }
        self.events.clear();
    }
}

impl<S: BookSink> Mailbox for Ahead<S> {
    #[inline]
    fn deliver(&mut self, event: &Event) {
        self.events.push(*event);
        if self.events.len() == EVENTS {
            self.apply();
        }
    }
}
