//! What the service manager is told, by sd_notify(3): ready, alive, and how things are.
//!
//! Arrives: a look at every channel and at the threads that stand, from housekeeping. Leaves, where
//! `NOTIFY_SOCKET` names somebody to tell: `READY=1` once every channel has had a packet, or once the
//! time for that is over, with a status and a warning that name the silent ones; `STATUS=` when it
//! changes, at most every other second; `WATCHDOG=1` at half of systemd's interval, as long as every
//! thread moves, so that systemd restarts an appliance that stands. Promises: who cannot be told is
//! said in the log, and holds nothing up.
//!
//! ```text
//!  begin ──▶ awaiting channels ── a packet of each, or the time is over ──▶ ready ──▶ stopping
//! ```

use sd_notify::NotifyState;
use std::collections::BTreeMap;
use std::io;
use std::time::{Duration, Instant};
use wirebook_model::BookState;

/// The least time from one status to the next.
const STATUS_PACE: Duration = Duration::from_secs(2);
/// Silent channels that a status names.
const NAMES_MAX: usize = 8;

/// A channel as it is now.
#[derive(Clone, Copy, Debug)]
pub struct ChannelLook<'a> {
    /// Its name.
    pub name: &'a str,
    /// What its books are told; `None` where its worker has not answered yet.
    pub state: Option<BookState>,
    /// Packets of all its lines since the start.
    pub packets: u64,
}

/// Whoever tells the service manager.
#[derive(Debug)]
pub struct Notifier {
    ready_timeout: Duration,
    began: Option<Instant>,
    is_ready: bool,
    status: String,
    status_told: Option<Instant>,
    /// Half the interval at which systemd expects to hear from us.
    feed_every: Option<Duration>,
    fed: Option<Instant>,
    tell: fn(&[NotifyState<'_>]) -> io::Result<()>,
}

impl Notifier {
    /// Tells whom `NOTIFY_SOCKET` names; the watchdog is `WATCHDOG_USEC`'s.
    pub fn of_environment(ready_timeout: Duration) -> Self {
        Self::new(ready_timeout, sd_notify::watchdog_enabled(), sd_notify::notify)
    }

    fn new(
        ready_timeout: Duration,
        watchdog: Option<Duration>,
        tell: fn(&[NotifyState<'_>]) -> io::Result<()>,
    ) -> Self {
        Self {
            ready_timeout,
            began: None,
            is_ready: false,
            status: String::new(),
            status_told: None,
            feed_every: watchdog.map(|interval| interval / 2),
            fed: None,
            tell,
        }
    }

    /// Packets can be received from now on: channels are awaited.
    pub fn begin(&mut self, now: Instant) {
        self.began = Some(now);
    }

    /// Whether the service manager has been told so.
    pub fn is_ready(&self) -> bool {
        self.is_ready
    }

    /// Tells what is new of channels and of the threads that stand.
    pub fn look<'a>(
        &mut self,
        now: Instant,
        channels: &[ChannelLook<'_>],
        stalled: impl Iterator<Item = &'a str>,
    ) {
        let silent = || channels.iter().filter(|channel| channel.packets == 0);
        let names: Vec<_> = silent().map(|channel| channel.name).collect();
        let is_over = self
            .began
            .is_some_and(|began| now.saturating_duration_since(began) >= self.ready_timeout);
        let became_ready = !self.is_ready && (names.is_empty() || is_over);
        if became_ready {
            self.is_ready = true;
            for channel in &names {
                let waited_s = self.ready_timeout.as_secs();
                tracing::warn!(channel, "no packet yet, after {waited_s} s: ready without it");
            }
            self.say(&[NotifyState::Ready]);
            tracing::info!(
                channels = channels.len(),
                silent = names.len(),
                "the service manager is told that the appliance is ready"
            );
        }
        let status = status(self.is_ready, channels, &names, stalled);
        let may_tell = self.status_told.is_none_or(|told| now - told >= STATUS_PACE);
        if status != self.status && (may_tell || became_ready) {
            self.say(&[NotifyState::Status(&status)]);
            self.status = status;
            self.status_told = Some(now);
        }
    }

    /// Every thread moves: tells the watchdog, if it is time.
    pub fn feed_watchdog(&mut self, now: Instant) {
        let Some(every) = self.feed_every else { return };
        if self.fed.is_none_or(|fed| now - fed >= every) {
            self.fed = Some(now);
            self.say(&[NotifyState::Watchdog]);
        }
    }

    /// The configuration is being read again (`Type=notify-reload` of systemd.service(5)): to be
    /// followed by [`Notifier::reloaded`].
    pub fn reloading(&mut self) {
        match NotifyState::monotonic_usec_now() {
            Ok(now) => self.say(&[NotifyState::Reloading, now]),
            Err(error) => tracing::warn!("the reload is not told: {error}"),
        }
    }

    /// The configuration has been read again, or refused.
    pub fn reloaded(&mut self) {
        self.say(&[NotifyState::Ready]);
        // It is told again, as systemd forgot none of it but a person would like to see it.
        self.status.clear();
    }

    /// The appliance ends.
    pub fn stopping(&mut self) {
        self.say(&[NotifyState::Stopping, NotifyState::Status("stopping")]);
    }

    fn say(&self, states: &[NotifyState<'_>]) {
        if let Err(error) = (self.tell)(states) {
            tracing::warn!("the service manager cannot be told: {error}");
        }
    }
}

/// How things are, in a line.
fn status<'a>(
    is_ready: bool,
    channels: &[ChannelLook<'_>],
    silent: &[&str],
    stalled: impl Iterator<Item = &'a str>,
) -> String {
    let mut parts = Vec::new();
    let stalled: Vec<_> = stalled.collect();
    if !stalled.is_empty() {
        parts.push(format!("{} stands", stalled.join(", ")));
    }
    if !is_ready {
        parts.push(format!("waiting for the first packet of {}", names(silent)));
        return parts.join("; ");
    }
    let mut states = BTreeMap::<_, usize>::new();
    for channel in channels.iter().filter(|channel| channel.packets > 0) {
        *states.entry(word(channel.state)).or_default() += 1;
    }
    let states: Vec<_> = states.iter().map(|(word, count)| format!("{count} {word}")).collect();
    parts.extend((!states.is_empty()).then(|| format!("channels: {}", states.join(", "))));
    if !silent.is_empty() {
        parts.push(format!("no packet yet of {}", names(silent)));
    }
    parts.join("; ")
}

fn names(channels: &[&str]) -> String {
    let shown = channels.iter().take(NAMES_MAX).copied().collect::<Vec<_>>().join(", ");
    match channels.len().saturating_sub(NAMES_MAX) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

fn word(state: Option<BookState>) -> &'static str {
    match state {
        Some(BookState::Live) => "live",
        Some(BookState::Healing) => "healing",
        Some(BookState::Stale) => "stale",
        Some(BookState::Warming) | None => "warming",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    thread_local! {
        static TOLD: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
    }

    fn tell(states: &[NotifyState<'_>]) -> io::Result<()> {
        TOLD.with_borrow_mut(|told| told.extend(states.iter().map(ToString::to_string)));
        Ok(())
    }

    fn told() -> Vec<String> {
        TOLD.take()
    }

    fn channel(name: &str, state: BookState, packets: u64) -> ChannelLook<'_> {
        ChannelLook { name, state: Some(state), packets }
    }

    const SECOND: Duration = Duration::from_secs(1);
    const NONE: [&str; 0] = [];

    #[test]
    fn it_is_ready_once_each_channel_has_had_a_packet() {
        let now = Instant::now();
        let mut notifier = Notifier::new(30 * SECOND, None, tell);
        notifier.begin(now);
        let mut look = |seconds, packets: [u64; 2]| {
            let states = [BookState::Live, BookState::Healing];
            let [a, b] = [0, 1].map(|at| channel(["a", "b"][at], states[at], packets[at]));
            notifier.look(now + seconds * SECOND, &[a, b], NONE.into_iter());
            told()
        };
        assert_eq!(look(1, [0, 0]), ["STATUS=waiting for the first packet of a, b"]);
        assert_eq!(look(2, [5, 0]), NONE, "a status too early");
        assert_eq!(look(3, [5, 0]), ["STATUS=waiting for the first packet of b"]);
        assert_eq!(look(4, [5, 1]), ["READY=1", "STATUS=channels: 1 healing, 1 live"]);
        assert_eq!(look(40, [6, 2]), NONE);
    }

    #[test]
    fn when_the_time_is_over_it_is_ready_and_names_the_silent() {
        let now = Instant::now();
        let mut notifier = Notifier::new(30 * SECOND, None, tell);
        notifier.begin(now);
        let channels = [channel("a", BookState::Live, 9), channel("b", BookState::Warming, 0)];
        notifier.look(now + 29 * SECOND, &channels, NONE.into_iter());
        assert_eq!(told(), ["STATUS=waiting for the first packet of b"]);
        notifier.look(now + 30 * SECOND, &channels, NONE.into_iter());
        assert_eq!(told(), ["READY=1", "STATUS=channels: 1 live; no packet yet of b"]);
    }

    #[test]
    fn a_thread_that_stands_is_named() {
        let now = Instant::now();
        let mut notifier = Notifier::new(Duration::ZERO, None, tell);
        notifier.begin(now);
        let channels = [channel("a", BookState::Stale, 9)];
        notifier.look(now, &channels, ["shard-0"].into_iter());
        assert_eq!(told(), ["READY=1", "STATUS=shard-0 stands; channels: 1 stale"]);
    }

    #[test]
    fn the_watchdog_is_fed_at_half_its_interval() {
        let now = Instant::now();
        let mut notifier = Notifier::new(SECOND, Some(10 * SECOND), tell);
        let mut feed = |seconds| {
            notifier.feed_watchdog(now + seconds * SECOND);
            told().len()
        };
        assert_eq!([feed(0), feed(1), feed(4), feed(5), feed(6), feed(10)], [1, 0, 0, 1, 0, 1]);
    }

    #[test]
    fn a_reload_says_when_it_began() {
        let mut notifier = Notifier::new(SECOND, None, tell);
        notifier.reloading();
        notifier.reloaded();
        let told = told();
        assert_eq!((told[0].as_str(), told[2].as_str()), ("RELOADING=1", "READY=1"));
        let began = told[1].strip_prefix("MONOTONIC_USEC=").unwrap();
        assert!(began.parse::<u64>().unwrap() > 0);
    }
}
