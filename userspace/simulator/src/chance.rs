//! How often something happens.

use rand::RngExt;
use rand_pcg::Pcg64;

/// A probability, in steps of 2^-32.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Chance(u64);

impl Chance {
    /// Something that never happens.
    pub const NEVER: Self = Self(0);
    /// Something that always happens.
    pub const ALWAYS: Self = Self(1 << 32);

    /// The chance nearest to a probability from 0 to 1; none for any other number.
    pub fn new(probability: f64) -> Option<Self> {
        let steps = (probability * Self::ALWAYS.0 as f64).round();
        (0.0..=1.0).contains(&probability).then_some(Self(steps as u64))
    }

    /// Throws the dice: always once, whatever the chance, so that one chance never changes what
    /// another one gets.
    pub(crate) fn happens(self, rng: &mut Pcg64) -> bool {
        u64::from(rng.random::<u32>()) < self.0
    }
}
