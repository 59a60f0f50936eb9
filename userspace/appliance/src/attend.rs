//! Interfaces as they come and go: which is open, which is awaited, and what is told of it.
//!
//! ```text
//!                    found, and opened
//!   awaited ───────────────────────────────▶ open ⇄ its link is down (counted, told)
//!      ▲ │ refused: again after 50 ms, 100 ms, … 1 s  │
//!      │ ▼                                            │ deleted, or another one of its name
//!   awaited ◀─────────────────────────────────────────┘ (closed, counted, told)
//! ```
//!
//! Arrives: the time, from the housekeeping thread. Leaves: calls of [`Intake`], notices (the
//! first of a kind at once, the next after some seconds) and [`InterfaceCounters`]. Promises: an
//! interface that is not there yet, whose driver is bound anew, or whose queue a process that has just
//! died still holds, is opened as soon as it can be, without a restart; the other interfaces of the
//! same worker lose nothing meanwhile. At the start, what cannot pass by itself (a missing right, a
//! queue that the interface does not have) is an error at once; and so is, after the configured wait,
//! that no interface could be opened at all. Later everything is tried again.

use crate::config::Config;
use crate::intake::{Intake, OpenError};
use crate::links::{Link, links};
use crate::notices::{About, Notices};
use crate::source::Drops;
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use wirebook_shm::notice::Level;
use wirebook_xdp::socket_holders;

/// How often the kernel is asked about its interfaces.
const LOOK: Duration = Duration::from_millis(100);

/// The rest after the first refusal, which doubles, and the longest.
const REST: [Duration; 2] = [Duration::from_millis(50), Duration::from_secs(1)];

/// How often it is said again what is awaited.
const SAY_AGAIN: Duration = Duration::from_secs(5);

/// What happened to one interface.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct InterfaceCounters {
    /// 1 where it is open and has a link, else 0.
    pub up: u64,
    /// Times that its link went down or came up while it was open.
    pub link_changes: u64,
    /// Times that it was opened: 1, and once more each time that it was gone.
    pub openings: u64,
    /// Times that it could not be opened.
    pub refused_openings: u64,
}

/// Opens interfaces and keeps them open.
pub struct Attendant {
    /// The configuration that runs.
    pub config: Config,
    intake: Intake,
    attended: Vec<Attended>,
    began: Instant,
    looked: Option<Instant>,
}

struct Attended {
    name: String,
    state: State,
    counters: InterfaceCounters,
}

enum State {
    Awaited { since: Instant, next: Instant, rest: Duration, told: Option<Instant>, reason: String },
    Open(Link),
}

impl Attendant {
    /// Nothing is open yet.
    pub fn new(config: Config, intake: Intake, now: Instant) -> Self {
        let attended = |name: &str| Attended {
            name: name.to_owned(),
            state: State::awaited(now, None),
            counters: InterfaceCounters::default(),
        };
        let attended = intake.names().map(attended).collect();
        Self { config, intake, attended, began: now, looked: None }
    }

    /// Looks at all interfaces, and does what is to be done; true where something was opened.
    ///
    /// # Errors
    /// Fails at the start alone: for what cannot pass by itself, or where no interface at all could be
    /// opened in time.
    pub fn look(&mut self, now: Instant, notices: &mut Notices) -> anyhow::Result<bool> {
        if self.looked.is_some_and(|looked| now.duration_since(looked) < LOOK) {
            return Ok(false);
        }
        self.looked = Some(now);
        let links = match links() {
            Ok(links) => links,
            Err(error) => {
                tracing::warn!("the interfaces cannot be seen: {error}");
                return Ok(false);
            }
        };
        let mut any_opened = false;
        for at in 0..self.attended.len() {
            let name = &self.attended[at].name;
            let link = links.get(name).map(|link| link.counted(name));
            match self.attended[at].state {
                State::Awaited { next, .. } if next > now => {}
                State::Awaited { .. } => any_opened |= self.open(at, link, now, notices)?,
                State::Open(was) => self.follow(at, was, link, &links, now, notices),
            }
        }
        self.give_up_where_nothing_opens(now)?;
        Ok(any_opened)
    }

    /// True once every interface is open, or has been waited for long enough to go on without it.
    pub fn is_settled(&self, now: Instant) -> bool {
        let is_open = |attended: &Attended| matches!(attended.state, State::Open(_));
        self.attended.iter().all(is_open)
            || now.duration_since(self.began) >= self.config.intake.wait()
    }

    /// The interfaces that are open.
    pub fn open_interfaces(&self) -> impl Iterator<Item = &str> {
        let open = self.attended.iter().filter(|one| matches!(one.state, State::Open(_)));
        open.map(|attended| attended.name.as_str())
    }

    /// What happened to each interface, by name.
    pub fn counters(&self) -> impl Iterator<Item = (&str, InterfaceCounters)> {
        self.attended.iter().map(|attended| (attended.name.as_str(), attended.counters))
    }

    /// What the kernel and closed sockets lost of a worker's packets.
    pub fn drops(&self, worker: usize) -> Drops {
        self.intake.drops(worker)
    }

    /// The interfaces themselves, for a reload.
    pub fn intake_mut(&mut self) -> &mut Intake {
        &mut self.intake
    }

    /// Ends the attendance; nothing is closed.
    pub fn into_intake(self) -> Intake {
        self.intake
    }

    /// Tries to open an awaited interface.
    fn open(
        &mut self,
        at: usize,
        link: Option<Link>,
        now: Instant,
        notices: &mut Notices,
    ) -> anyhow::Result<bool> {
        let attended = &mut self.attended[at];
        match self.intake.open(at, &self.config) {
            Ok(index) => {
                // One that came between the look and now is seen by the next look.
                let seen = link.filter(|link| link.index == index);
                let unseen = Link { index, is_up: false, carrier_changes: 0 };
                attended.opened(seen.unwrap_or(unseen), now, notices);
                Ok(true)
            }
            Err(error) if error.may_pass() || attended.counters.openings > 0 => {
                attended.refused(&error, now, notices);
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Follows an open interface.
    fn follow(
        &mut self,
        at: usize,
        was: Link,
        link: Option<Link>,
        links: &BTreeMap<String, Link>,
        now: Instant,
        notices: &mut Notices,
    ) {
        let attended = &mut self.attended[at];
        let name = &attended.name;
        match link {
            Some(link) if link.index == was.index => {
                if attended.link_changed(was, link, notices)
                    && link.is_up
                    && let Err(error) = self.intake.announce(at, &self.config)
                {
                    let why = format!("its groups cannot be joined anew ({error})");
                    self.lose(at, &why, now, notices);
                }
            }
            // Sockets and program are the interface's, whatever it is called.
            None if let Some((new_name, _)) =
                links.iter().find(|(_, link)| link.index == was.index) =>
            {
                if was.is_up {
                    let text = format!(
                        "interface {name} is called {new_name} now; its packets still come"
                    );
                    notices.tell(Level::Warning, About::interface(name), text);
                    attended.counters.up = 0;
                    attended.counters.link_changes += 1;
                    attended.state = State::Open(Link { is_up: false, ..was });
                }
            }
            _ => self.lose(at, "it is gone", now, notices),
        }
    }

    /// Closes an interface that is gone and awaits it.
    fn lose(&mut self, at: usize, why: &str, now: Instant, notices: &mut Notices) {
        let attended = &mut self.attended[at];
        let name = &attended.name;
        let text = format!("interface {name}: {why}; its sockets are closed, and it is awaited");
        notices.tell(Level::Error, About::interface(name), text);
        attended.counters.up = 0;
        attended.counters.link_changes += 1;
        attended.state = State::awaited(now, Some(now));
        self.intake.close(at, &self.config);
    }

    fn give_up_where_nothing_opens(&self, now: Instant) -> anyhow::Result<()> {
        let none_ever = self.attended.iter().all(|attended| attended.counters.openings == 0);
        if none_ever && self.is_settled(now) {
            let reasons = self.attended.iter().filter_map(Attended::reason);
            let reasons: Vec<_> = reasons.collect();
            anyhow::bail!(
                "no interface could be opened within {} s (intake.wait_s): {}",
                self.config.intake.wait_s,
                reasons.join("; ")
            );
        }
        Ok(())
    }
}

/// Who may hold a queue, as far as this process can see: not into those with more capabilities.
fn held_by() -> String {
    match socket_holders() {
        holders if holders.is_empty() => "; root sees who by `ss --xdp --processes`".to_owned(),
        holders => format!("; AF_XDP sockets are held by {}", holders.join(", ")),
    }
}

impl State {
    /// Since now; `told` is when that was said.
    fn awaited(now: Instant, told: Option<Instant>) -> Self {
        Self::Awaited { since: now, next: now, rest: REST[0], told, reason: String::new() }
    }
}

impl Attended {
    fn opened(&mut self, link: Link, now: Instant, notices: &mut Notices) {
        let name = &self.name;
        if let State::Awaited { since, told: Some(_), .. } = self.state {
            let waited = now.duration_since(since);
            let text = format!("interface {name} is open after {waited:.1?}");
            notices.tell(Level::Info, About::interface(name), text);
        }
        if !link.is_up {
            let text = format!("interface {name} is open, but has no link");
            notices.tell(Level::Warning, About::interface(name), text);
        }
        self.counters.openings += 1;
        self.counters.up = u64::from(link.is_up);
        self.state = State::Open(link);
    }

    fn refused(&mut self, error: &OpenError, now: Instant, notices: &mut Notices) {
        self.counters.refused_openings += 1;
        if let State::Awaited { since, next, rest, told, reason } = &mut self.state {
            *reason = error.to_string();
            *next = now + *rest;
            *rest = (*rest * 2).min(REST[1]);
            if told.is_none_or(|told| now.duration_since(told) >= SAY_AGAIN) {
                *told = Some(now);
                let waited = now.duration_since(*since);
                if error.is_busy_queue() {
                    *reason += &held_by();
                }
                let name = &self.name;
                let text = format!("interface {name}: awaited for {waited:.1?}: {reason}");
                notices.tell(Level::Warning, About::interface(name), text);
            }
        }
    }

    /// Tells what has become of the link since `was`; false where it is the same.
    fn link_changed(&mut self, was: Link, link: Link, notices: &mut Notices) -> bool {
        let changes = link.carrier_changes.saturating_sub(was.carrier_changes);
        let name = &self.name;
        let (level, what) = match (was.is_up, link.is_up) {
            (false, true) => (Level::Info, "the link is up; groups are joined anew"),
            (true, false) => (Level::Warning, "the link is down"),
            // A single change is one that the flags do not show yet.
            (true, true) if changes >= 2 && was.carrier_changes > 0 => {
                (Level::Warning, "the link was down; groups are joined anew")
            }
            _ => return false,
        };
        notices.tell(level, About::interface(name), format!("interface {name}: {what}"));
        self.counters.link_changes += changes.max(1);
        self.counters.up = u64::from(link.is_up);
        self.state = State::Open(link);
        true
    }

    /// What it waits for, where it does.
    fn reason(&self) -> Option<&str> {
        match &self.state {
            State::Awaited { reason, .. } => Some(reason),
            State::Open(_) => None,
        }
    }
}
