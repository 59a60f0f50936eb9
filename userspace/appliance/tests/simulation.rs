//! The deterministic simulation: exchange → faults → channel → books in virtual time, by seed.
//!
//! A seed draws a market, what goes wrong on lines A and B, how the retransmit and GLIMPSE servers
//! behave, and when the receiver starts. Nothing reads a clock or a socket, so a seed always runs
//! the same way. Whenever the books say that they are live, every order of every book is compared
//! with the exchange's own at the same sequence; at the end, whoever could recover must have.
//!
//! `WIREBOOK_SEED=17 cargo test -p wirebook --test simulation` runs one seed again and shows what
//! it drew; `WIREBOOK_SEEDS=100000` runs more.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "simulation/books.rs"]
mod books;
#[path = "common/model_orders.rs"]
mod model_orders;
#[path = "simulation/receiver.rs"]
mod receiver;
#[path = "simulation/scenario.rs"]
mod scenario;
#[path = "simulation/world.rs"]
mod world;

use scenario::Scenario;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use world::{Outcome, World};

const SEEDS: u64 = 5_000;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().expect("a number"))
}

#[test]
fn no_seed_shows_a_wrong_book_as_a_good_one() {
    if let Some(seed) = number("WIREBOOK_SEED") {
        println!("{:#?}", Scenario::of_seed(seed));
        println!("{:#?}", World::run(Scenario::of_seed(seed)));
        return;
    }
    let seeds = number("WIREBOOK_SEEDS").unwrap_or(SEEDS);
    let next = AtomicU64::new(0);
    let total = Mutex::new(Outcome::default());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut outcome = Outcome::default();
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds {
                        break;
                    }
                    let _told = TellOnPanic(seed);
                    outcome += World::run(Scenario::of_seed(seed));
                }
                *total.lock().unwrap() += outcome;
            });
        }
    });
    let outcome = total.into_inner().unwrap();
    outcome.print(seeds);
    assert!(outcome.is_varied(seeds), "the seeds meet every kind of trouble: {outcome:?}");
}

/// Names the seed of a failure and how to run it again.
struct TellOnPanic(u64);

impl Drop for TellOnPanic {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let seed = self.0;
            eprintln!("seed {seed} failed; to run it again:");
            eprintln!("    WIREBOOK_SEED={seed} cargo test -p wirebook --test simulation");
        }
    }
}
