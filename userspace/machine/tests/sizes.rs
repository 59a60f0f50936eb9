//! What books of given limits take is known before they are made.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use wirebook_machine::{Books, Limits};

#[test]
fn the_tables_are_as_large_as_they_were_said_to_be() {
    let limits = [
        Limits { instruments: 10, orders: 1_000, levels: 100 },
        Limits { instruments: 100, orders: 1, levels: 7 },
        Limits { instruments: 1, orders: 4_096, levels: 4_096 },
    ];
    // What is beside the tables is so much for each instrument.
    let beside = limits.map(|limits| {
        let tables: usize = limits.table_bytes().unwrap().iter().sum();
        (Books::new(limits).unwrap().memory_bytes() - tables) / limits.instruments
    });
    assert_eq!(beside[0], beside[1]);
    assert_eq!(beside[0], beside[2]);
    let impossible = Limits { instruments: usize::MAX / 2, orders: 1, levels: 1 };
    assert_eq!(impossible.table_bytes(), None);
}
