//! The feed's own time, cut into intervals.
//!
//! Arrives: the header of each event, in the order of its channel. Leaves: an `EndOfInterval` before
//! the first event that is not before the interval's end. Intervals in which nothing happened end
//! together, as one; one that a recording tells is not told again. A time that jumps back by more than a day is another session's, and counts anew.

use wirebook_model::{ALL_INSTRUMENTS, Event, EventHeader, UnixNanos, VenueEvent};

/// How many channels an appliance can number.
const CHANNELS: usize = 1 << u8::BITS;

/// No session lasts longer.
const DAY_NS: u64 = 86_400_000_000_000;

/// Where each channel's interval ends.
#[derive(Debug)]
pub struct Intervals {
    interval_ns: u64,
    /// By channel; 0 before its first event.
    ends: Box<[UnixNanos; CHANNELS]>,
}

impl Intervals {
    /// Intervals of so many nanoseconds, at least one, counted from the UNIX epoch.
    pub fn new(interval_ns: u64) -> Self {
        Self { interval_ns: interval_ns.max(1), ends: Box::new([0; CHANNELS]) }
    }

    /// The end of the interval that was over before this event.
    #[inline]
    pub fn ended_before(&mut self, event: &Event) -> Option<Event> {
        let ended = self.ended_at(&event.header);
        if event.body == VenueEvent::EndOfInterval { None } else { ended }
    }

    /// The same of an event that ends no interval itself, with this header.
    #[inline]
    pub fn ended_at(&mut self, header: &EventHeader) -> Option<Event> {
        let end = self.ends[usize::from(header.channel)];
        if header.ts_event < end && end - header.ts_event <= DAY_NS {
            return None;
        }
        self.turn(header)
    }

    #[cold]
    fn turn(&mut self, event: &EventHeader) -> Option<Event> {
        let end = &mut self.ends[usize::from(event.channel)];
        // A channel's own doings and times that the venue did not tell are at no time of the feed.
        if event.ts_event == 0 || event.ts_event == u64::MAX {
            return None;
        }
        let began = event.ts_event - event.ts_event % self.interval_ns;
        let was = std::mem::replace(end, began.saturating_add(self.interval_ns));
        if was == 0 || was > began {
            return None;
        }
        let header = EventHeader {
            channel: event.channel,
            flags: 0,
            instrument_id: ALL_INSTRUMENTS,
            sequence: event.sequence,
            ts_event: began,
        };
        Some(Event { header, body: VenueEvent::EndOfInterval })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(channel: u8, ts_event: u64, body: VenueEvent) -> Event {
        let header = EventHeader { channel, flags: 0, instrument_id: 1, sequence: 1, ts_event };
        Event { header, body }
    }

    fn ends(times: &[(u8, u64)]) -> Vec<(u8, u64)> {
        let mut intervals = Intervals::new(100);
        let ended = times.iter().filter_map(|&(channel, ts_event)| {
            intervals.ended_before(&event(channel, ts_event, VenueEvent::Clear))
        });
        ended.map(|event| (event.header.channel, event.header.ts_event)).collect()
    }

    #[test]
    fn an_interval_ends_before_the_first_event_past_it() {
        assert_eq!(ends(&[(0, 150), (0, 199), (0, 200), (0, 201)]), [(0, 200)]);
    }

    #[test]
    fn an_interval_that_the_input_ends_ends_once() {
        let mut intervals = Intervals::new(100);
        for (ts_event, body, ends) in [
            (150, VenueEvent::Clear, false),
            (200, VenueEvent::EndOfInterval, false),
            (200, VenueEvent::Clear, false),
            (299, VenueEvent::Clear, false),
            (300, VenueEvent::Clear, true),
        ] {
            assert_eq!(intervals.ended_before(&event(0, ts_event, body)).is_some(), ends);
        }
    }

    #[test]
    fn quiet_intervals_end_together() {
        assert_eq!(ends(&[(0, 150), (0, 950)]), [(0, 900)]);
    }

    #[test]
    fn each_channel_has_its_own_time() {
        assert_eq!(ends(&[(0, 150), (1, 950), (0, 250), (1, 1_000)]), [(0, 200), (1, 1_000)]);
    }

    #[test]
    fn a_late_event_ends_nothing() {
        assert_eq!(ends(&[(0, 350), (0, 150), (0, 399), (0, 400)]), [(0, 400)]);
    }

    #[test]
    fn no_time_is_no_time() {
        assert_eq!(ends(&[(0, 350), (0, 0), (0, u64::MAX), (0, 400)]), [(0, 400)]);
    }

    #[test]
    fn another_session_counts_anew() {
        let late = 2 * DAY_NS + 50;
        assert_eq!(ends(&[(0, late), (0, 150), (0, 250)]), [(0, 200)]);
    }
}
