//! What a shard counts.

use std::ops::AddAssign;

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Counts since the start. Every event that had no effect, or not the plain one, is in one
        /// of them.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Counters {
            $($(#[$doc])* pub $name: u64,)*
        }

        impl Counters {
            /// How many counters there are.
            pub(crate) const COUNT: usize = [$(stringify!($name)),*].len();

            /// Counters with these values, in the order of the fields.
            pub(crate) fn from_values(values: [u64; Self::COUNT]) -> Self {
                let [$($name),*] = values;
                Self { $($name),* }
            }

            /// Each counter's name and value, in the order of the fields.
            pub fn named(&self) -> impl Iterator<Item = (&'static str, u64)> {
                [$((stringify!($name), self.$name),)*].into_iter()
            }
        }

        impl AddAssign for Counters {
            fn add_assign(&mut self, other: Self) {
                $(self.$name += other.$name;)*
            }
        }
    };
}

counters! {
    /// Events applied, `Packet` and `State` among them.
    events,
    /// `Packet` events.
    packets,
    /// Records of every kind that left.
    records,
    /// Executions, reductions, deletions and replacements of an order that the book does not hold.
    unknown_orders,
    /// Modifications of an order that the book does not hold: taken as additions.
    unknown_modifies,
    /// Removals of a price level that the book does not hold.
    unknown_levels,
    /// Orders added, outside a snapshot, under an id that already rested; the new one stays.
    duplicate_orders,
    /// Executions and reductions by more than the order had left.
    oversized_reductions,
    /// Events that can mean nothing: size 0, no side or no price where there must be one, or
    /// every instrument where there must be one.
    bad_events,
    /// Events after which the best bid was at or above the best ask, but for those before an
    /// auction or in a halt where the venue's status says so.
    crossed_events,
    /// Events of an instrument for which there was no book left.
    instrument_limit_hits,
    /// Events of a book that takes none because it is in quarantine.
    quarantined_events,
    /// Orders for which there was no room.
    order_limit_hits,
    /// Price levels for which there was no room.
    level_limit_hits,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shards_add_up() {
        let mut sum = Counters { events: 2, bad_events: 1, ..Counters::default() };
        sum += Counters { events: 3, level_limit_hits: 4, ..Counters::default() };
        assert_eq!(
            sum.named().filter(|&(_, count)| count > 0).collect::<Vec<_>>(),
            [("events", 5), ("bad_events", 1), ("level_limit_hits", 4)]
        );
    }
}
