//! Log lines that a peer can cause: at most one a second of a kind.

use std::collections::HashMap;

/// How long a kind is silent after a line.
const SILENT_NS: u64 = 1_000_000_000;

/// Says which lines may be logged.
#[derive(Debug, Default)]
pub(super) struct Limited {
    kinds: HashMap<&'static str, Kind>,
}

#[derive(Debug, Default)]
struct Kind {
    silent_until_ns: u64,
    left_out: u64,
}

impl Limited {
    /// How many lines of this kind were left out since the last one; `None` where this one is to
    /// be left out too.
    pub(super) fn may_log(&mut self, kind: &'static str, now_ns: u64) -> Option<u64> {
        let kind = self.kinds.entry(kind).or_default();
        if now_ns < kind.silent_until_ns {
            kind.left_out += 1;
            return None;
        }
        kind.silent_until_ns = now_ns.saturating_add(SILENT_NS);
        Some(std::mem::take(&mut kind.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_a_second_of_a_kind_and_a_count_of_the_others() {
        let mut limited = Limited::default();
        assert_eq!(limited.may_log("unasked", 5), Some(0));
        assert_eq!(limited.may_log("refused", 5), Some(0));
        assert_eq!(limited.may_log("unasked", 6), None);
        assert_eq!(limited.may_log("unasked", 1_000_000_004), None);
        assert_eq!(limited.may_log("unasked", 1_000_000_005), Some(2));
        assert_eq!(limited.may_log("unasked", 2_000_000_005), Some(0));
    }
}
