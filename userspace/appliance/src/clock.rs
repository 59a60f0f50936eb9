//! The host's clock, and midnight where a venue counts from it.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use nix::time::{ClockId, clock_gettime};
use wirebook_model::UnixNanos;

/// Now, by the host's real-time clock; read through the vDSO, without a system call.
#[inline]
pub fn now() -> UnixNanos {
    clock_gettime(ClockId::CLOCK_REALTIME).map_or(0, |now| {
        now.tv_sec().cast_unsigned() * 1_000_000_000 + now.tv_nsec().cast_unsigned()
    })
}

/// Midnight of the venue's day, for venues whose times count from it.
///
/// Nasdaq's timestamps are "nanoseconds since midnight" Eastern time (TotalView-ITCH 5.0,
/// section 2, "Timestamp"). The zone's rules are looked up once a day; between, a time is
/// compared with the day's two ends.
#[derive(Clone, Debug)]
pub struct VenueDay {
    zone: TimeZone,
    start: UnixNanos,
    end: UnixNanos,
}

impl VenueDay {
    /// Days of US Eastern time.
    ///
    /// # Errors
    /// Fails where the time zone database lacks `America/New_York`.
    pub fn eastern() -> Result<Self, jiff::Error> {
        Ok(Self { zone: TimeZone::get("America/New_York")?, start: 0, end: 0 })
    }

    /// Midnight of this one day of US Eastern time.
    ///
    /// # Errors
    /// Fails where the time zone database lacks `America/New_York` or the day lies before 1970.
    pub fn eastern_midnight(date: Date) -> Result<UnixNanos, jiff::Error> {
        let midnight = date.in_tz("America/New_York")?.timestamp().as_nanosecond();
        UnixNanos::try_from(midnight).map_err(|_| {
            jiff::Error::from_args(format_args!("expected a day from 1970 on, found {date}"))
        })
    }

    /// The day of US Eastern time in which `time` lies.
    ///
    /// # Errors
    /// Fails where the time zone database lacks `America/New_York`.
    pub fn eastern_date(time: UnixNanos) -> Result<Date, jiff::Error> {
        let timestamp = Timestamp::from_nanosecond(i128::from(time))?;
        Ok(timestamp.in_tz("America/New_York")?.date())
    }

    /// Midnight of the day in which `time` lies, or `None` while the day stays the same.
    #[inline]
    pub fn new_midnight(&mut self, time: UnixNanos) -> Option<UnixNanos> {
        if (self.start..self.end).contains(&time) { None } else { self.turn(time) }
    }

    #[cold]
    fn turn(&mut self, time: UnixNanos) -> Option<UnixNanos> {
        let timestamp = Timestamp::from_nanosecond(i128::from(time)).ok()?;
        let midnight = timestamp.to_zoned(self.zone.clone()).start_of_day().ok()?;
        let next = midnight.tomorrow().ok()?;
        self.start = u64::try_from(midnight.timestamp().as_nanosecond()).ok()?;
        self.end = u64::try_from(next.timestamp().as_nanosecond()).ok()?;
        Some(self.start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nanos(text: &str) -> UnixNanos {
        u64::try_from(text.parse::<Timestamp>().unwrap().as_nanosecond()).unwrap()
    }

    #[test]
    fn midnight_follows_daylight_saving() {
        let mut day = VenueDay::eastern().unwrap();
        let summer = day.new_midnight(nanos("2023-08-22T13:30:00Z"));
        assert_eq!(summer, Some(nanos("2023-08-22T04:00:00Z")));
        let winter = day.new_midnight(nanos("2026-01-05T14:30:00Z"));
        assert_eq!(winter, Some(nanos("2026-01-05T05:00:00Z")));
    }

    #[test]
    fn the_same_day_is_looked_up_once() {
        let mut day = VenueDay::eastern().unwrap();
        assert!(day.new_midnight(nanos("2023-08-22T13:30:00Z")).is_some());
        assert!(day.new_midnight(nanos("2023-08-23T03:59:59.999999999Z")).is_none());
        assert!(day.new_midnight(nanos("2023-08-23T04:00:00Z")).is_some());
    }

    #[test]
    fn a_time_out_of_range_keeps_the_day() {
        let mut day = VenueDay::eastern().unwrap();
        assert_eq!(day.new_midnight(u64::MAX), None);
    }
}
