//! From CLOCK_TAI, which the steering program reads, to UNIX time.

use nix::time::{ClockId, clock_gettime};

const SECOND_NS: i64 = 1_000_000_000;

/// Nanoseconds that CLOCK_TAI is ahead of CLOCK_REALTIME: whole seconds, 37
/// since 2017, or 0 on a host whose time service has not told the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TaiOffset {
    ahead_ns: i64,
}

impl TaiOffset {
    /// Reads both clocks. Where one cannot be read the offset counts as 0.
    pub(crate) fn read() -> Self {
        let now_ns =
            |clock| clock_gettime(clock).map(|now| now.tv_sec() * SECOND_NS + now.tv_nsec());
        let (Ok(tai_ns), Ok(realtime_ns)) =
            (now_ns(ClockId::CLOCK_TAI), now_ns(ClockId::CLOCK_REALTIME))
        else {
            return Self { ahead_ns: 0 };
        };
        // The reads are a moment apart; the offset itself is whole seconds.
        let seconds = (tai_ns - realtime_ns + SECOND_NS / 2).div_euclid(SECOND_NS);
        Self { ahead_ns: seconds * SECOND_NS }
    }

    #[inline]
    pub(crate) fn unix_ns(self, tai_ns: u64) -> u64 {
        tai_ns.saturating_add_signed(-self.ahead_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unix_time_is_behind_tai() {
        let offset = TaiOffset { ahead_ns: 37 * SECOND_NS };
        assert_eq!(offset.unix_ns(1_700_000_037_000_000_005), 1_700_000_000_000_000_005);
        assert_eq!(offset.unix_ns(0), 0, "never wraps");
        assert_eq!(TaiOffset::read().ahead_ns % SECOND_NS, 0);
    }
}
