//! `wirebook tune`: the host as the appliance wants it, and as it was before.
//!
//! Arrives: a [`Host`], an interface, a configuration. Leaves: a plan ([`Setting`]s: what is there,
//! what should be), the same done, or undone. Promises:
//!
//! - what was there is on disk before anything is changed, and a second run keeps the first notes;
//!   so whatever moment a run dies at, undoing brings back what was there before the first;
//! - a setting that the driver or kernel does not have is said and left out;
//! - the kernel's command line is suggested, never written.
//!
//! Everything here lasts until the next boot at most, and so do the notes.

mod knobs;
mod notes;
mod place;

pub use self::knobs::{KNOBS, Knob, Napi, Wishes, suggestions, table};
pub use self::notes::{Note, Notes, NotesError};
pub use self::place::Place;
use crate::host::Host;
use serde::Serialize;

/// One setting: where, what is there, and what should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Setting {
    /// The knob that asks for it.
    pub knob: &'static str,
    /// Where it is.
    #[serde(flatten)]
    pub place: Place,
    /// What is there; none where that cannot be read.
    pub now: Option<String>,
    /// What should be there; none where the host cannot have it.
    pub want: Option<String>,
    /// Why it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skipped: Option<String>,
    /// The command that makes it so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command: Option<String>,
}

/// What became of one setting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Outcome {
    /// Where.
    #[serde(flatten)]
    pub place: Place,
    /// What was there.
    pub before: Option<String>,
    /// What is there now.
    pub now: Option<String>,
    /// Why it is not what it should be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl Setting {
    /// A setting that is there, or is skipped with the reason why not.
    pub(crate) fn new(
        host: &Host,
        knob: &'static str,
        place: Place,
        want: impl Into<String>,
    ) -> Self {
        let want = want.into();
        match place.read(host) {
            Ok(now) => {
                let want = if place.suits(&now, &want) { now.clone() } else { want };
                let command = (now != want).then(|| place.command(&now, &want));
                Self { knob, place, now: Some(now), want: Some(want), skipped: None, command }
            }
            Err(why) => Self::skipped(knob, place, why),
        }
    }

    /// One that is left out.
    pub(crate) fn skipped(knob: &'static str, place: Place, why: impl Into<String>) -> Self {
        Self { knob, place, now: None, want: None, skipped: Some(why.into()), command: None }
    }

    /// True where nothing is to be done.
    pub fn is_as_wanted(&self) -> bool {
        self.skipped.is_some() || self.now == self.want
    }
}

/// What would be done now, in the order of doing it.
pub fn plan(host: &Host, wishes: &Wishes) -> Vec<Setting> {
    KNOBS.iter().flat_map(|knob| (knob.settings)(host, wishes)).collect()
}

/// Makes the host as wished. What was there goes into the notes first.
///
/// # Errors
/// [`NotesError`], where the notes cannot be written: then nothing more is changed.
pub fn apply(host: &Host, wishes: &Wishes, notes: &mut Notes) -> Result<Vec<Outcome>, NotesError> {
    notes.remember(knobs::touched(host, wishes))?;
    let mut outcomes = Vec::new();
    // Knob by knob: the number of queues changes which interrupts there are.
    for knob in KNOBS {
        let settings = (knob.settings)(host, wishes);
        let noted = |setting: &Setting| Some((setting.place.clone(), setting.now.clone()?));
        notes.remember(settings.iter().filter_map(noted).collect())?;
        for setting in settings.iter().filter(|setting| !setting.is_as_wanted()) {
            if let (Some(now), Some(want)) = (&setting.now, &setting.want) {
                outcomes.push(change(host, &setting.place, now, want));
            }
        }
        knob.afterwards.iter().for_each(|afterwards| afterwards(host, wishes));
    }
    Ok(outcomes)
}

/// Puts back what the notes say, the last change first. What fails is tried once more at the end,
/// as some of it needs the rest: an interrupt comes back with its queue. The notes go when all is
/// back.
///
/// # Errors
/// [`NotesError`], where the notes cannot be removed.
pub fn undo(host: &Host, notes: &mut Notes) -> Result<Vec<Outcome>, NotesError> {
    let back = |note: &Note| match note.place.read(host) {
        Ok(now) if now == note.before => None,
        Ok(now) => Some(change(host, &note.place, &now, &note.before)),
        Err(_) if note.place.goes_with_its_queue() => None,
        Err(error) => {
            Some(Outcome { place: note.place.clone(), before: None, now: None, error: Some(error) })
        }
    };
    let mut outcomes: Vec<_> = notes.iter().rev().filter_map(back).collect();
    // Twice: what was put back first may have been changed by what came after it.
    let again: Vec<_> = notes.iter().rev().filter_map(back).collect();
    outcomes.retain(|outcome| outcome.error.is_none());
    outcomes.extend(again);
    if outcomes.iter().all(|outcome| outcome.error.is_none()) {
        notes.remove()?;
    }
    Ok(outcomes)
}

/// Writes, and looks whether it is there.
fn change(host: &Host, place: &Place, before: &str, want: &str) -> Outcome {
    let written = place.write(host, before, want);
    let now = place.read(host).ok();
    let error = match written {
        Err(error) => Some(error),
        Ok(()) if now.as_deref().is_some_and(|now| place.suits(now, want)) => None,
        Ok(()) => Some(format!(
            "expected {want:?} after the change, found {:?}",
            now.as_deref().unwrap_or("nothing")
        )),
    };
    Outcome { place: place.clone(), before: Some(before.to_owned()), now, error }
}
