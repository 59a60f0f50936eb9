//! Aeron's IPC: an exclusive publication and a subscription on a media driver within this process.

use super::{MESSAGE_WORDS, Maker, Message, Receiver, Ring, Sender};
use anyhow::{Context, anyhow};
use rusteron_client::{
    AERON_IPC_STREAM, Aeron, AeronExclusivePublication, AeronSubscription, Handlers,
};
use rusteron_media_driver::testing::EmbeddedDriver;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

/// Messages that a poll brings at most.
const FRAGMENTS: usize = 64;
const PATIENCE: Duration = Duration::from_secs(30);

/// Aeron over shared memory. How much its term buffers hold is its own: 64 MiB, whatever was asked for.
pub struct AeronIpc;

/// Its sending end, and the client that it belongs to.
pub struct AeronSender(
    AeronExclusivePublication,
    #[expect(dead_code, reason = "it lives as long")] Aeron,
);

/// Its receiving end, and the client that it belongs to.
pub struct AeronReceiver(
    AeronSubscription,
    #[expect(dead_code, reason = "it lives as long")] Aeron,
);

impl Ring for AeronIpc {
    type Sender = AeronSender;
    type Receiver = AeronReceiver;

    fn open(_: usize) -> anyhow::Result<(Maker<AeronSender>, Maker<AeronReceiver>)> {
        static STREAM: AtomicI32 = AtomicI32::new(1);
        let folder = folder()?;
        let stream = STREAM.fetch_add(1, Ordering::Relaxed);
        let sender = move || {
            let client = Aeron::connect_dir(folder).map_err(said)?;
            let publication = client.async_add_exclusive_publication(AERON_IPC_STREAM, stream);
            let publication = publication.map_err(said)?.poll_blocking(PATIENCE).map_err(said)?;
            Ok(AeronSender(publication, client))
        };
        let receiver = move || {
            let client = Aeron::connect_dir(folder).map_err(said)?;
            let subscription = client
                .async_add_subscription(AERON_IPC_STREAM, stream, Handlers::NONE, Handlers::NONE)
                .map_err(said)?;
            Ok(AeronReceiver(subscription.poll_blocking(PATIENCE).map_err(said)?, client))
        };
        Ok((Box::new(sender), Box::new(receiver)))
    }
}

impl Sender for AeronSender {
    fn send(&mut self, first: u64, count: u64) -> anyhow::Result<()> {
        for number in first..first + count {
            let message = [number.to_ne_bytes(); MESSAGE_WORDS];
            loop {
                match self.0.offer(message.as_flattened()) {
                    Ok(_) => break,
                    Err(error) if error.is_retryable() => std::hint::spin_loop(),
                    Err(error) => return Err(said(error)),
                }
            }
        }
        Ok(())
    }
}

impl Receiver for AeronReceiver {
    fn receive(&mut self, mut take: impl FnMut(&Message)) -> anyhow::Result<()> {
        let taken = self.0.poll_fn(
            |bytes: &[u8], _| {
                let (words, _) = bytes.as_chunks();
                let mut message = [0; MESSAGE_WORDS];
                for (into, word) in message.iter_mut().zip(words) {
                    *into = u64::from_ne_bytes(*word);
                }
                take(&message);
            },
            FRAGMENTS,
        );
        taken.map(|_| ()).map_err(said)
    }
}

/// The folder of this process's media driver, which runs until the process ends.
fn folder() -> anyhow::Result<&'static str> {
    static DRIVER: OnceLock<Option<String>> = OnceLock::new();
    let folder = DRIVER.get_or_init(|| {
        let driver = EmbeddedDriver::launch().ok()?;
        let folder = driver.dir().to_owned();
        // Its threads are this process's for as long as it lives.
        std::mem::forget(driver);
        Some(folder)
    });
    folder.as_deref().context("Aeron's media driver does not start")
}

fn said(error: impl std::fmt::Debug) -> anyhow::Error {
    anyhow!("Aeron: {error:?}")
}
