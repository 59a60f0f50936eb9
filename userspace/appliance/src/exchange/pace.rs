//! When packets are sent: by the flow's own time, a factor of it, or a rate.

use std::time::{Duration, Instant};

/// Shorter waits than this are spun away: a sleep takes longer.
const SPIN: Duration = Duration::from_micros(200);
/// Longest sleep, so that whoever waits can look whether it is still wanted.
const SLEEP_MAX: Duration = Duration::from_millis(100);

/// Open-loop pacing: each packet has its time from the start, and one that is late delays none
/// after it.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    began: Instant,
    tempo: Tempo,
    waits: bool,
    rests: bool,
    packets: u64,
}

#[derive(Clone, Copy, Debug)]
enum Tempo {
    /// So many times as fast as the flow's own time.
    Factor(f64),
    /// So many packets a second.
    Rate(f64),
}

impl Pace {
    /// So many times as fast as the flow's own time; 0 sends at once, and the schedule is the
    /// flow's own.
    pub fn factor(factor: f64) -> Self {
        let tempo = Tempo::Factor(if factor > 0.0 { factor } else { 1.0 });
        Self { began: Instant::now(), tempo, waits: factor > 0.0, rests: true, packets: 0 }
    }

    /// So many packets a second, whatever the flow's own time.
    pub fn rate(packets_per_second: f64) -> Self {
        let tempo = Tempo::Rate(packets_per_second);
        Self { began: Instant::now(), tempo, waits: true, rests: true, packets: 0 }
    }

    /// The same schedule for a file: nobody waits.
    pub fn without_waiting(self) -> Self {
        Self { waits: false, rests: false, ..self }
    }

    /// When the next packet, which the flow has at `offset_ns`, is sent: nanoseconds after the
    /// first one.
    pub fn schedule_ns(&mut self, offset_ns: u64) -> u64 {
        let number = self.packets;
        self.packets += 1;
        match self.tempo {
            Tempo::Factor(factor) => (offset_ns as f64 / factor) as u64,
            Tempo::Rate(rate) => (number as f64 * 1e9 / rate) as u64,
        }
    }

    /// Nanoseconds since the start, by the clock.
    pub fn elapsed_ns(&self) -> u64 {
        self.began.elapsed().as_nanos() as u64
    }

    /// Lets so much time pass, or until `is_over`, however packets are paced; none for a file.
    pub fn rest(&self, time: Duration, is_over: impl Fn() -> bool) {
        let until = Instant::now() + time;
        while self.rests
            && !is_over()
            && let Some(left) = until.checked_duration_since(Instant::now())
            && !left.is_zero()
        {
            std::thread::sleep(left.min(SLEEP_MAX));
        }
    }

    /// True where it is too early for what is sent `at_ns` after the start.
    pub fn is_early(&self, at_ns: u64) -> bool {
        self.waits && self.elapsed_ns() < at_ns
    }

    /// Waits until `at_ns` after the start or until `is_over`.
    pub fn wait_until(&self, at_ns: u64, is_over: impl Fn() -> bool) {
        if !self.waits {
            return;
        }
        let due = Duration::from_nanos(at_ns);
        loop {
            let Some(left) = due.checked_sub(self.began.elapsed()) else { return };
            if left > SPIN {
                std::thread::sleep((left - SPIN).min(SLEEP_MAX));
                if is_over() {
                    return;
                }
            } else {
                std::hint::spin_loop();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_schedule_is_the_flows_the_factors_or_the_rates() {
        let of = |mut pace: Pace| [0, 1_000, 5_000].map(|offset_ns| pace.schedule_ns(offset_ns));
        assert_eq!(of(Pace::factor(1.0)), [0, 1_000, 5_000]);
        assert_eq!(of(Pace::factor(0.0)), [0, 1_000, 5_000]);
        assert_eq!(of(Pace::factor(2.0)), [0, 500, 2_500]);
        assert_eq!(of(Pace::rate(1e6)), [0, 1_000, 2_000]);
    }

    #[test]
    fn only_who_waits_takes_time() {
        let second_ns = 1_000_000_000;
        Pace::factor(0.0).wait_until(3_600 * second_ns, || false);
        Pace::factor(1.0).without_waiting().wait_until(3_600 * second_ns, || false);
        Pace::factor(1.0).wait_until(3_600 * second_ns, || true);
        Pace::factor(1.0).without_waiting().rest(Duration::from_secs(3_600), || false);
        Pace::factor(1.0).rest(Duration::from_secs(3_600), || true);
        let pace = Pace::factor(1.0);
        pace.wait_until(20_000_000, || false);
        assert!(pace.elapsed_ns() >= 20_000_000);
        assert!(pace.is_early(3_600 * second_ns) && !pace.is_early(20_000_000));
        let pace = Pace::factor(0.0);
        assert!(!pace.is_early(3_600 * second_ns));
        pace.rest(Duration::from_millis(20), || false);
        assert!(pace.elapsed_ns() >= 20_000_000);
    }
}
