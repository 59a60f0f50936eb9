//! Numbers as people read them, in few characters.

/// A count in at most seven characters: `99,999`, `1.23M`.
pub(super) fn count(count: u64) -> String {
    match count {
        0..=999 => count.to_string(),
        1_000..=99_999 => format!("{},{:03}", count / 1_000, count % 1_000),
        _ => scaled(count as f64, &["", "k", "M", "G", "T", "P", "E"]),
    }
}

/// A rate a second.
pub(super) fn rate(per_s: f64) -> String {
    match per_s {
        0.0 => "0".to_owned(),
        ..9.95 => format!("{per_s:.1}"),
        _ => count(per_s.round() as u64),
    }
}

/// A latency: `812ns`, `1.23µs`, `45.6ms`.
pub(super) fn latency(ns: u64) -> String {
    match ns {
        0..=999 => format!("{ns}ns"),
        _ => scaled(ns as f64, &["ns", "µs", "ms", "s"]),
    }
}

/// A time span in its two largest units: `3h 07m`.
pub(super) fn span(seconds: f64) -> String {
    let seconds = seconds.max(0.0) as u64;
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{minutes}m {:02}s", seconds % 60),
        3_600..86_400 => format!("{hours}h {minutes:02}m"),
        _ => format!("{days}d {hours:02}h"),
    }
}

/// A bar for each of the newest `width` values, as high as its part of the highest.
pub(super) fn sparkline(values: &[u64], width: usize) -> String {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let values = &values[values.len().saturating_sub(width)..];
    let highest = values.iter().copied().max().unwrap_or(0).max(1);
    let bar = |value: &u64| match value {
        0 => ' ',
        value => BARS[(u128::from(*value) * 7 / u128::from(highest)) as usize],
    };
    values.iter().map(bar).collect()
}

/// Three digits and the unit that suits them, each unit a thousand of the one before.
fn scaled(value: f64, units: &[&str]) -> String {
    let (mut value, mut unit) = (value, 0);
    while value >= 999.5 && unit + 1 < units.len() {
        (value, unit) = (value / 1_000.0, unit + 1);
    }
    let digits = match value {
        ..9.995 => 2,
        ..99.95 => 1,
        _ => 0,
    };
    format!("{value:.digits$}{}", units[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_stay_short() {
        let counts = [0, 999, 1_000, 99_999, 100_000, 1_234_567, 999_999, u64::MAX].map(count);
        assert_eq!(counts, ["0", "999", "1,000", "99,999", "100k", "1.23M", "1.00M", "18.4E"]);
        assert_eq!([0.0, 0.25, 9.96, 1_234.4].map(rate), ["0", "0.2", "10", "1,234"]);
        let latencies = [0, 999, 1_000, 12_345, 999_499, 60_000_000_000].map(latency);
        assert_eq!(latencies, ["0ns", "999ns", "1.00µs", "12.3µs", "999µs", "60.0s"]);
        let spans = [5.9, 65.0, 3_700.0, 90_000.0].map(span);
        assert_eq!(spans, ["5s", "1m 05s", "1h 01m", "1d 01h"]);
    }

    #[test]
    fn a_sparkline_is_as_high_as_its_values() {
        assert_eq!(sparkline(&[9, 0, 1, 4, 8], 4), " ▁▄█");
        assert_eq!(sparkline(&[], 4), "");
        assert_eq!(sparkline(&[u64::MAX, u64::MAX], 4), "██");
    }
}
