//! The side on which something rests: unlike DBN's, it is never "none".

use std::hint::select_unpredictable;
use wirebook_model::Side;
use zerocopy::FromZeros;

/// Bid or ask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromZeros)]
#[repr(u8)]
pub(crate) enum RestingSide {
    Bid = 0,
    Ask = 1,
}

impl RestingSide {
    pub(crate) const BOTH: [Self; 2] = [Self::Bid, Self::Ask];

    /// The side as DBN has it; `None` where DBN names no side.
    pub(crate) fn from_dbn(side: Side) -> Option<Self> {
        // Which of the two no processor can foresee, so no branch asks for it.
        let either = select_unpredictable(side == Side::Ask, Self::Ask, Self::Bid);
        (side != Side::None).then_some(either)
    }

    #[inline]
    pub(crate) fn to_dbn(self) -> Side {
        [Side::Bid, Side::Ask][self as usize]
    }

    /// The side of an aggressor that met an order resting here.
    pub(crate) fn opposite(self) -> Self {
        match self {
            Self::Bid => Self::Ask,
            Self::Ask => Self::Bid,
        }
    }

    /// Maps a price so that a greater rank is a better price; its own inverse.
    ///
    /// `!price` is `-1 - price`: it turns the order around and cannot overflow.
    pub(crate) fn rank(self, price: i64) -> i64 {
        match self {
            Self::Bid => price,
            Self::Ask => !price,
        }
    }
}
