//! The channel's states and the one table of its transitions.
//!
//! ```text
//!                  whole
//!   Idle ──────────────────────▶ Live ◀──────────────────┐
//!     │ gap                   gap │ ▲                     │
//!     │                           ▼ │ whole               │
//!     └────────────────────────▶ Gapped ◀──┐              │
//!                                 │        │ gap (younger)│
//!                          waited │        │              │
//!                                 ▼        │    whole     │
//!                        Recovering: Retransmit ──────────┤
//!                                 │                       │
//!                         overdue │                       │
//!                 wide            ▼             loaded    │
//!   any of these ─────▶ Recovering: Snapshot ─────────────┘
//!                                 │ ▲
//!                            over │ │ retry
//!                                 ▼ │
//!                                Stale
//! ```
//!
//! A gap is *waited* for until its reorder time is over, *overdue* once retransmission has taken
//! too long or failed, *wide* where it is too large for either. A recovery that the venue has not
//! is the next one down. A gap whose time is over when it is found passes Gapped by. A new session
//! starts from Idle, whatever the state was.

use crate::policy::Policy;
use wirebook_model::BookState;

/// Where a channel stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Nothing of the session has arrived.
    Idle,
    /// Every message known to exist has been applied.
    Live,
    /// A message is missing, and a line may still bring it: the books are right but late.
    Gapped,
    /// Messages are missing on every line and are asked for.
    Recovering(Recovery),
    /// Messages are missing for good; later ones are applied.
    Stale,
}

/// How missing messages are made good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Recovery {
    /// The venue sends them again.
    Retransmit,
    /// The venue sends its books; meanwhile every packet waits in the reorder window.
    Snapshot,
}

/// What a channel found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Input {
    /// No message is missing.
    Whole,
    /// The next message is missing; its reorder time is not over.
    Gap,
    /// The next message is missing, and its reorder time is over.
    Waited,
    /// The next message is missing, and retransmission took too long or failed.
    Overdue,
    /// More messages are missing than a line or a retransmit server is expected to bring.
    Wide,
    /// A snapshot has been taken over.
    Loaded,
    /// A snapshot took too long, failed or was refused.
    Over,
    /// Stale for long enough to ask for a snapshot again.
    Retry,
}

/// What recovery a venue offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Means {
    pub(crate) retransmit: bool,
    pub(crate) snapshot: bool,
}

impl Means {
    pub(crate) fn of(policy: &Policy) -> Self {
        Self { retransmit: policy.retransmit.is_some(), snapshot: policy.snapshot.is_some() }
    }

    pub(crate) fn any(self) -> bool {
        self.retransmit || self.snapshot
    }

    fn retransmit(self) -> State {
        if self.retransmit { State::Recovering(Recovery::Retransmit) } else { self.snapshot() }
    }

    fn snapshot(self) -> State {
        if self.snapshot { State::Recovering(Recovery::Snapshot) } else { State::Stale }
    }
}

/// A change of state and what it asks of others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) to: State,
    /// What the state before had asked for is no longer needed.
    pub(crate) ends_recovery: bool,
    /// What is to be asked for.
    pub(crate) asks: Option<Recovery>,
}

/// The table: the state after `input`, or `None` where that changes nothing.
#[inline]
pub(crate) fn next(state: State, input: Input, means: Means) -> Option<Step> {
    use self::{Input::*, Recovery::*, State::*};
    let to = match (state, input) {
        (Idle | Gapped | Recovering(Retransmit), Whole) => Live,
        (Idle | Live | Recovering(Retransmit), Gap) => Gapped,
        (Idle | Live | Gapped, Waited) => means.retransmit(),
        (Idle | Live | Gapped | Recovering(Retransmit), Wide) => means.snapshot(),
        (Recovering(Retransmit), Overdue) => means.snapshot(),
        (Recovering(Snapshot), Loaded) => Live,
        (Recovering(Snapshot), Over) => Stale,
        (Stale, Retry) => means.snapshot(),
        _ => state,
    };
    let asks = if let Recovering(recovery) = to { Some(recovery) } else { None };
    let ends_recovery = matches!(state, Recovering(_));
    (to != state).then_some(Step { to, ends_recovery, asks })
}

/// What a channel knows of its books.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Trust {
    /// What was before the first message received in this session is not known.
    Unfounded,
    /// The books were right once in this session.
    Founded,
    /// Messages have been given up since.
    Lost,
}

/// What the books are told.
pub(crate) fn books(state: State, trust: Trust) -> BookState {
    match (state, trust) {
        (State::Idle, _) => BookState::Warming,
        (State::Live, _) => BookState::Live,
        (_, Trust::Unfounded) => BookState::Warming,
        (State::Gapped, _) => BookState::Live,
        (State::Recovering(_), _) => BookState::Healing,
        (State::Stale, _) => BookState::Stale,
    }
}

#[cfg(test)]
mod tests {
    use super::{Input::*, State::*, *};

    const RETRANSMIT: State = Recovering(Recovery::Retransmit);
    const SNAPSHOT: State = Recovering(Recovery::Snapshot);
    const STATES: [State; 6] = [Idle, Live, Gapped, RETRANSMIT, SNAPSHOT, Stale];
    const INPUTS: [Input; 8] = [Whole, Gap, Waited, Overdue, Wide, Loaded, Over, Retry];
    const BOTH: Means = Means { retransmit: true, snapshot: true };

    /// The picture, row by row; `None` where nothing changes.
    #[rustfmt::skip]
    const PICTURE: [[Option<State>; 8]; 6] = [
        //          Whole         Gap           Waited            Overdue         Wide            Loaded      Over         Retry
        /* Idle */ [Some(Live),   Some(Gapped), Some(RETRANSMIT), None,           Some(SNAPSHOT), None,       None,        None],
        /* Live */ [None,         Some(Gapped), Some(RETRANSMIT), None,           Some(SNAPSHOT), None,       None,        None],
        /* Gap. */ [Some(Live),   None,         Some(RETRANSMIT), None,           Some(SNAPSHOT), None,       None,        None],
        /* Ret. */ [Some(Live),   Some(Gapped), None,             Some(SNAPSHOT), Some(SNAPSHOT), None,       None,        None],
        /* Sna. */ [None,         None,         None,             None,           None,           Some(Live), Some(Stale), None],
        /* Sta. */ [None,         None,         None,             None,           None,           None,       None,        Some(SNAPSHOT)],
    ];

    #[test]
    fn the_table_is_the_picture() {
        for (state, row) in STATES.into_iter().zip(PICTURE) {
            for (input, to) in INPUTS.into_iter().zip(row) {
                let step = next(state, input, BOTH);
                assert_eq!(step.map(|step| step.to), to, "{state:?}, {input:?}");
            }
        }
    }

    #[test]
    fn a_recovery_that_the_venue_has_not_is_the_next_one() {
        let only_snapshot = Means { retransmit: false, snapshot: true };
        let only_retransmit = Means { retransmit: true, snapshot: false };
        let none = Means { retransmit: false, snapshot: false };
        let to = |state, input, means| next(state, input, means).unwrap().to;
        assert_eq!(to(Gapped, Waited, only_snapshot), SNAPSHOT);
        assert_eq!(to(Gapped, Waited, none), Stale);
        assert_eq!(to(RETRANSMIT, Overdue, only_retransmit), Stale);
        assert_eq!(to(Live, Wide, only_retransmit), Stale);
        assert_eq!(next(Stale, Retry, only_retransmit), None);
    }

    #[test]
    fn each_recovery_is_asked_for_when_it_begins_and_ended_when_it_is_left() {
        for state in STATES {
            for input in INPUTS {
                let Some(step) = next(state, input, BOTH) else { continue };
                assert_eq!(step.ends_recovery, matches!(state, Recovering(_)));
                assert_eq!(step.asks.is_some(), matches!(step.to, Recovering(_)));
            }
        }
    }

    #[test]
    fn only_books_that_were_right_once_are_live_while_a_gap_waits() {
        assert_eq!(books(Gapped, Trust::Founded), BookState::Live);
        assert_eq!(books(Gapped, Trust::Unfounded), BookState::Warming);
        assert_eq!(books(SNAPSHOT, Trust::Unfounded), BookState::Warming);
        assert_eq!(books(SNAPSHOT, Trust::Lost), BookState::Healing);
        assert_eq!(books(Stale, Trust::Lost), BookState::Stale);
    }
}
