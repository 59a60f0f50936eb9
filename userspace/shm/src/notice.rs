//! A notice: what the appliance has to tell a person, as a record of the ring of notices.
//!
//! What arrives: a time, a level and a line of text. What leaves: a DBN system message whose text is
//! `LEVEL: TEXT`, and the notice again out of it. It promises that a text too long for a record is
//! cut at a character, never refused.

use std::ffi::c_char;

use dbn::enums::SystemCode;
use dbn::{RecordHeader, SystemMsg, rtype};

/// How much a notice matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Good to know; often the end of something worse.
    Info,
    /// Something is not as it should be, and may mend by itself.
    Warning,
    /// Something is lost or down.
    Error,
}

impl Level {
    const ALL: [Self; 3] = [Self::Info, Self::Warning, Self::Error];

    /// The level's name: `info`, `warning` or `error`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

/// One thing to tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// When, in nanoseconds since the UNIX epoch.
    pub ts_event: u64,
    /// How much it matters.
    pub level: Level,
    /// What.
    pub text: String,
}

impl Notice {
    /// The notice as a record.
    pub fn to_record(&self) -> SystemMsg {
        let hd = RecordHeader::new::<SystemMsg>(rtype::SYSTEM, 0, 0, self.ts_event);
        let mut record = SystemMsg { hd, msg: [0; 303], code: SystemCode::Unset as u8 };
        // The last byte stays the zero that ends the text.
        let text = format!("{}: {}", self.level.name(), self.text.replace('\0', " "));
        let text = &text[..text.floor_char_boundary(record.msg.len() - 1)];
        for (to, from) in record.msg.iter_mut().zip(text.bytes()) {
            *to = from as c_char;
        }
        record
    }

    /// The notice that a record is, where it is one.
    pub fn of(record: &SystemMsg) -> Option<Self> {
        let (level, text) = record.msg().ok()?.split_once(": ")?;
        let level = Level::ALL.into_iter().find(|known| known.name() == level)?;
        Some(Self { ts_event: record.hd.ts_event, level, text: text.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_notice_comes_back_from_its_record() {
        for (level, text) in
            [(Level::Info, "c0: healing → live"), (Level::Error, ""), (Level::Warning, "a: b: c")]
        {
            let notice = Notice { ts_event: 7, level, text: text.into() };
            assert_eq!(Notice::of(&notice.to_record()), Some(notice));
        }
        assert_eq!(Notice::of(&SystemMsg::heartbeat(1)), None);
    }

    #[test]
    fn a_text_that_is_too_long_is_cut_at_a_character() {
        for length in 280..310 {
            let text = format!("{}→→→→→→", "x".repeat(length));
            let notice = Notice { ts_event: 7, level: Level::Info, text: text.clone() };
            let cut = Notice::of(&notice.to_record()).unwrap();
            assert!(text.starts_with(&cut.text) && cut.text.len() > 280.min(length) - 1);
        }
    }
}
