//! A token bucket: so many requests a second, so many at once.

/// Lets requests through at a rate. One token is worth `token_ns` of waiting.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bucket {
    token_ns: u64,
    full_ns: u64,
    saved_ns: u64,
    last_ns: Option<u64>,
}

impl Bucket {
    /// A full bucket. No rate or burst is below one.
    pub(crate) fn new(per_second: u32, burst: u32) -> Self {
        let token_ns = 1_000_000_000 / u64::from(per_second.max(1));
        let full_ns = token_ns.saturating_mul(u64::from(burst.max(1)));
        Self { token_ns, full_ns, saved_ns: full_ns, last_ns: None }
    }

    /// Takes a token, if there is one.
    pub(crate) fn take(&mut self, now_ns: u64) -> bool {
        let passed_ns = now_ns.saturating_sub(self.last_ns.unwrap_or(now_ns));
        self.last_ns = Some(now_ns.max(self.last_ns.unwrap_or(0)));
        self.saved_ns = self.saved_ns.saturating_add(passed_ns).min(self.full_ns);
        let has_token = self.saved_ns >= self.token_ns;
        if has_token {
            self.saved_ns -= self.token_ns;
        }
        has_token
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_the_rate() {
        let mut bucket = Bucket::new(100, 3);
        let passed = |bucket: &mut Bucket, now_ns| (0..10).filter(|_| bucket.take(now_ns)).count();
        assert_eq!(passed(&mut bucket, 5), 3);
        assert_eq!(passed(&mut bucket, 9_999_999), 0);
        assert_eq!(passed(&mut bucket, 10_000_005), 1);
        assert_eq!(passed(&mut bucket, 1_000_000_000), 3);
        assert_eq!(passed(&mut bucket, 1), 0, "a clock that goes back");
    }
}
