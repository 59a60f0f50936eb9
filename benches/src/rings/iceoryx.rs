//! `iceoryx2` as a ring: its own documentation's publisher and subscriber.

use super::{MESSAGE_WORDS, Maker, Message, Receiver, Ring, Sender};
use anyhow::{anyhow, bail};
use iceoryx2::port::publisher::Publisher;
use iceoryx2::port::subscriber::Subscriber;
use iceoryx2::prelude::{BackpressureStrategy, NodeBuilder, ServiceName, ipc};
use std::sync::atomic::{AtomicU64, Ordering};

/// The most that it is asked to keep for a subscriber.
const SLOTS_MAX: usize = 1_024;

/// `iceoryx2`: a service of publisher and subscriber between processes, here between threads.
pub struct Iceoryx;

impl Ring for Iceoryx {
    type Sender = Publisher<ipc::Service, Message, ()>;
    type Receiver = Subscriber<ipc::Service, Message, ()>;

    fn open(slots: usize) -> anyhow::Result<(Maker<Self::Sender>, Maker<Self::Receiver>)> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("wirebook/benches/{}/{number}", std::process::id());
        let name: ServiceName = name.as_str().try_into().map_err(said)?;
        let slots = slots.min(SLOTS_MAX);
        let service = move || {
            let node = NodeBuilder::new().create::<ipc::Service>().map_err(said)?;
            let service = node.service_builder(&name).publish_subscribe::<Message>();
            service
                .subscriber_max_buffer_size(slots)
                .enable_safe_overflow(false)
                .open_or_create()
                .map_err(said)
        };
        let of_sender = service.clone();
        let sender = move || {
            let service = of_sender()?;
            let publisher = service.publisher_builder();
            let waiting = BackpressureStrategy::RetryUntilDelivered;
            publisher.backpressure_strategy(waiting).create().map_err(said)
        };
        let receiver =
            move || service()?.subscriber_builder().buffer_size(slots).create().map_err(said);
        Ok((Box::new(sender), Box::new(receiver)))
    }
}

impl Sender for Publisher<ipc::Service, Message, ()> {
    fn send(&mut self, first: u64, count: u64) -> anyhow::Result<()> {
        for number in first..first + count {
            let sample = self.loan_uninit().map_err(said)?;
            if sample.write_payload([number; MESSAGE_WORDS]).send().map_err(said)? == 0 {
                bail!("iceoryx2 has no subscriber");
            }
        }
        Ok(())
    }
}

impl Receiver for Subscriber<ipc::Service, Message, ()> {
    fn receive(&mut self, mut take: impl FnMut(&Message)) -> anyhow::Result<()> {
        while let Some(sample) =
            <Subscriber<ipc::Service, Message, ()>>::receive(self).map_err(said)?
        {
            take(&sample);
        }
        Ok(())
    }
}

fn said(error: impl std::fmt::Debug) -> anyhow::Error {
    anyhow!("iceoryx2: {error:?}")
}
