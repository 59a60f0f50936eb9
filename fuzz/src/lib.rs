//! What comes from outside, and what must hold whatever it is.
//!
//! Arrives: any bytes. Leaves: nothing, or a panic that says what did not hold. Each [`Target`] is a
//! body that `targets/` hands to libFuzzer in one line, and that this crate's test runs over the
//! target's seeds on a stable compiler. Seeds are made from a number by the simulator and by our own
//! encoders, so that no corpus lies in the repository. `scripts/fuzz` runs them.
#![forbid(unsafe_code)]

mod book;
#[cfg(feature = "appliance")]
mod capture;
mod channel;
mod client;
#[cfg(feature = "appliance")]
mod config;
mod decode;
mod plain_books;
mod retransmit;
mod seeds;
mod segment;
mod soup;
#[cfg(feature = "appliance")]
mod worker;

/// What is fuzzed.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// As in `targets/`.
    pub name: &'static str,
    /// Takes any bytes and panics where something does not hold.
    pub body: fn(&[u8]),
    /// Inputs of the shape that the body knows, the same for the same number.
    pub seeds: fn(u64) -> Vec<Vec<u8>>,
}

macro_rules! targets {
    ($($(#[$cfg:meta])? $name:ident: $body:path, $seeds:path;)+) => {
        /// Every target but [`must_fail`].
        pub const TARGETS: &[Target] = &[$(
            $(#[$cfg])?
            Target { name: stringify!($name), body: $body, seeds: $seeds },
        )+];

        $(
            $(#[$cfg])?
            #[doc = concat!("The body of the target `", stringify!($name), "`.")]
            pub fn $name(data: &[u8]) {
                $body(data);
            }
        )+
    };
}

targets! {
    frame: decode::frame, seeds::frames;
    itch50: decode::itch50, seeds::itch50_payloads;
    iex_deep: decode::iex_deep, seeds::iex_deep_payloads;
    iex_tops: decode::iex_tops, seeds::iex_tops_payloads;
    event_words: decode::event_words, seeds::event_words;
    #[cfg(feature = "appliance")]
    worker: worker::frames, seeds::frame_lists;
    book_orders: book::orders, seeds::book_steps;
    book_levels: book::levels, seeds::book_steps;
    book_limits: book::limits, seeds::book_steps;
    book_replay: book::replay, seeds::book_steps;
    book_resume: book::resume, seeds::book_steps;
    book_restore: book::restore, seeds::saved_books;
    channel: channel::schedule, seeds::channel_steps;
    retransmit: retransmit::answers, seeds::retransmit_steps;
    retransmit_packets: retransmit::packets, seeds::itch50_payloads;
    soup_client: soup::client, seeds::soup_streams;
    glimpse_server: soup::server, seeds::soup_logins;
    #[cfg(feature = "appliance")]
    config: config::text, seeds::configs;
    #[cfg(feature = "appliance")]
    capture: capture::file, seeds::captures;
    segment_header: segment::header, seeds::segment_headers;
    segment_contents: segment::contents, seeds::segment_contents;
    client: client::session, seeds::segment_contents;
}

/// Fails on an input that a fuzzer guided by coverage finds in seconds and one without it does not
/// find at all: where it is not found, nothing that the other targets do not find means anything.
pub fn must_fail(data: &[u8]) {
    let mut found = 0;
    for (wanted, byte) in b"WIREBOOK".iter().zip(data) {
        if wanted != byte {
            break;
        }
        found += 1;
    }
    assert!(found < 8, "found, as it must be");
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seed numbers of each target; `WIREBOOK_FUZZ_SEEDS` asks for more.
    const SEEDS: u64 = 4;

    #[test]
    fn no_seed_and_no_bent_seed_fails() {
        let seeds = std::env::var("WIREBOOK_FUZZ_SEEDS").ok().and_then(|seeds| seeds.parse().ok());
        for target in TARGETS {
            for number in 0..seeds.unwrap_or(SEEDS) {
                let seeds = (target.seeds)(number);
                assert!(!seeds.is_empty(), "{}", target.name);
                for (at, seed) in seeds.iter().enumerate() {
                    run(target, number, at, seed);
                    run(target, number, at, &seeds::bent(number + at as u64, seed));
                }
            }
        }
    }

    fn run(target: &Target, number: u64, at: usize, seed: &[u8]) {
        let outcome = std::panic::catch_unwind(|| (target.body)(seed));
        assert!(outcome.is_ok(), "{}: seed {at} of number {number}", target.name);
    }

    #[test]
    #[should_panic(expected = "as it must be")]
    fn what_must_fail_fails() {
        must_fail(b"WIREBOOK");
    }

    #[cfg(feature = "appliance")]
    #[test]
    fn every_target_is_built() {
        let manifest = include_str!("../Cargo.toml");
        let built: Vec<_> =
            manifest.lines().filter_map(|line| line.strip_prefix("path = \"targets/")).collect();
        let names = TARGETS.iter().map(|target| target.name).chain(["must_fail"]);
        assert!(names.map(|name| format!("{name}.rs\"")).eq(built));
    }
}
