//! The field types of venue messages, and how a reader walks them by name.
//!
//! Arrives: bytes as a venue lays them out. Leaves: numbers in the host's order, through the
//! field itself (`order.price.to_fixed()`) or, by name, through a [`FieldVisitor`]. Every type has
//! alignment one, so a message may lie anywhere in a packet.

use wirebook_model::price::{PER_EIGHT_DECIMALS, PER_FOUR_DECIMALS};
use zerocopy::byteorder::{big_endian, little_endian};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Takes the fields of one message, in wire order.
///
/// `name` is the specification's name in snake case.
pub trait FieldVisitor {
    /// An unsigned number.
    fn number(&mut self, name: &'static str, value: u64);
    /// A one-character code; any byte may come.
    fn character(&mut self, name: &'static str, value: u8);
    /// Text without its padding; any bytes may come.
    fn text(&mut self, name: &'static str, value: &[u8]);
    /// A price of `units * 10^-decimals`.
    fn price(&mut self, name: &'static str, units: i128, decimals: u32);
    /// A byte of flags and the meaning of its bits, the highest first.
    fn flags(&mut self, name: &'static str, value: u8, bits: &'static [FlagBit]);
}

/// A named bit of a byte of flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FlagBit {
    /// The specification's name in snake case.
    pub name: &'static str,
    /// The bit.
    pub mask: u8,
}

/// A field that can be shown to a [`FieldVisitor`].
pub(crate) trait Field {
    fn visit(&self, name: &'static str, visitor: &mut impl FieldVisitor);
}

/// An unsigned 48-bit number, big-endian: ITCH's nanoseconds since midnight.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
)]
#[repr(transparent)]
pub struct U48(pub [u8; 6]);

impl U48 {
    /// The number `value`, without the bits that do not fit.
    pub fn new(value: u64) -> Self {
        let [_, _, bytes @ ..] = value.to_be_bytes();
        Self(bytes)
    }

    /// The number.
    #[inline]
    pub fn get(self) -> u64 {
        let [a, b, c, d, e, f] = self.0;
        u64::from_be_bytes([0, 0, a, b, c, d, e, f])
    }
}

/// ITCH `Price(4)`: four decimals, unsigned, big-endian.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
)]
#[repr(transparent)]
pub struct Price4(pub big_endian::U32);

impl Price4 {
    /// The price, 1e-9.
    #[inline]
    pub fn to_fixed(self) -> i64 {
        i64::from(self.0.get()) * PER_FOUR_DECIMALS
    }
}

/// ITCH `Price(8)`: eight decimals, unsigned, big-endian.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
)]
#[repr(transparent)]
pub struct Price8(pub big_endian::U64);

impl Price8 {
    /// The price, 1e-9; `None` where that does not fit.
    #[inline]
    pub fn to_fixed(self) -> Option<i64> {
        i64::try_from(self.0.get()).ok()?.checked_mul(PER_EIGHT_DECIMALS)
    }
}

/// IEX `Price`: four decimals, signed, little-endian.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
)]
#[repr(transparent)]
pub struct SignedPrice4(pub little_endian::I64);

impl SignedPrice4 {
    /// The price, 1e-9; `None` where that does not fit.
    #[inline]
    pub fn to_fixed(self) -> Option<i64> {
        self.0.get().checked_mul(PER_FOUR_DECIMALS)
    }
}

/// Text, padded with spaces on the right.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
)]
#[repr(transparent)]
pub struct Text<const N: usize>(pub [u8; N]);

impl<const N: usize> Text<N> {
    /// `text`, padded; bytes past the field's length are cut.
    pub fn new(text: &[u8]) -> Self {
        let mut bytes = [b' '; N];
        for (to, from) in bytes.iter_mut().zip(text) {
            *to = *from;
        }
        Self(bytes)
    }

    /// The text without its padding.
    pub fn trimmed(&self) -> &[u8] {
        self.0.trim_ascii_end()
    }
}

/// A one-character code.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned,
)]
#[repr(transparent)]
pub struct Code(pub u8);

impl Field for Code {
    fn visit(&self, name: &'static str, visitor: &mut impl FieldVisitor) {
        visitor.character(name, self.0);
    }
}

impl<const N: usize> Field for Text<N> {
    fn visit(&self, name: &'static str, visitor: &mut impl FieldVisitor) {
        visitor.text(name, self.trimmed());
    }
}

impl Field for u8 {
    fn visit(&self, name: &'static str, visitor: &mut impl FieldVisitor) {
        visitor.number(name, u64::from(*self));
    }
}

impl Field for U48 {
    fn visit(&self, name: &'static str, visitor: &mut impl FieldVisitor) {
        visitor.number(name, self.get());
    }
}

/// The integers of one byte order, and the prices made of them.
macro_rules! number_fields {
    ($($integer:ty),+) => {$(
        impl Field for $integer {
            fn visit(&self, name: &'static str, visitor: &mut impl FieldVisitor) {
                visitor.number(name, u64::from(self.get()));
            }
        }
    )+};
}
number_fields!(big_endian::U16, big_endian::U32, big_endian::U64);
number_fields!(little_endian::U32, little_endian::U64);

macro_rules! price_fields {
    ($($price:ty: $decimals:literal),+) => {$(
        impl Field for $price {
            fn visit(&self, name: &'static str, visitor: &mut impl FieldVisitor) {
                visitor.price(name, i128::from(self.0.get()), $decimals);
            }
        }
    )+};
}
price_fields!(Price4: 4, Price8: 8, SignedPrice4: 4);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_in_wire_order() {
        assert_eq!(U48([0, 0, 0, 0, 1, 2]).get(), 0x0102);
        assert_eq!(U48::new(0xffff_1234_5678_9abc).get(), 0x1234_5678_9abc);
        assert_eq!(Price4(1_234_500.into()).to_fixed(), 123_450_000_000);
        assert_eq!(Price4(u32::MAX.into()).to_fixed(), 429_496_729_500_000);
    }

    #[test]
    fn a_price_that_does_not_fit_is_none() {
        assert_eq!(Price8(1.into()).to_fixed(), Some(10));
        assert_eq!(Price8(u64::MAX.into()).to_fixed(), None);
        assert_eq!(SignedPrice4((-5).into()).to_fixed(), Some(-500_000));
        assert_eq!(SignedPrice4(i64::MIN.into()).to_fixed(), None);
    }

    #[test]
    fn text_is_padded_and_trimmed() {
        assert_eq!(Text::<8>::new(b"AAPL").0, *b"AAPL    ");
        assert_eq!(Text::<2>::new(b"AAPL").trimmed(), b"AA");
        assert_eq!(Text(*b"A B ").trimmed(), b"A B");
    }
}
