//! Fixed-point prices, 1e-9 each unit, as DBN has them.

use dbn::{FIXED_PRICE_SCALE, UNDEF_PRICE};
use std::fmt;

/// What one unit of a four-decimal venue price (ITCH `Price(4)`, IEX `Price`) is in 1e-9 units.
pub const PER_FOUR_DECIMALS: i64 = 100_000;

/// What one unit of an eight-decimal venue price (ITCH `Price(8)`) is in 1e-9 units.
pub const PER_EIGHT_DECIMALS: i64 = 10;

/// Shows a price as an exact decimal number: at least two decimals, no trailing zeros past them.
///
/// ```
/// use wirebook_model::price::Decimal;
/// assert_eq!(Decimal(87_390_000_000).to_string(), "87.39");
/// assert_eq!(Decimal(4_810_000_000_000).to_string(), "4810.00");
/// assert_eq!(Decimal(-1_500).to_string(), "-0.0000015");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decimal(
    /// The price, 1e-9.
    pub i64,
);

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == UNDEF_PRICE {
            return f.write_str("-");
        }
        let scale = FIXED_PRICE_SCALE.unsigned_abs();
        let magnitude = self.0.unsigned_abs();
        let sign = if self.0 < 0 { "-" } else { "" };
        let fraction = format!("{:09}", magnitude % scale);
        let shown = fraction.trim_end_matches('0').len().max(2);
        write!(f, "{sign}{}.{}", magnitude / scale, &fraction[..shown])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extremes_are_shown() {
        assert_eq!(Decimal(UNDEF_PRICE).to_string(), "-");
        assert_eq!(Decimal(i64::MIN).to_string(), "-9223372036.854775808");
        assert_eq!(Decimal(0).to_string(), "0.00");
    }
}
