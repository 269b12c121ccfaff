//! A sum of doubles that does not depend on the order of its terms.
//!
//! Fixed point with 64 fractional bits: a double of magnitude at least 2^-12 is added exactly, a smaller one is rounded to
//! the nearest multiple of 2^-64 (ties to even), so adding, merging and taking back are integer operations and commute.
//! The integer has 192 bits, so that intermediate sums cannot overflow where the final sum fits; only the final sum
//! must be below 2^63 in magnitude. It is not a sum of arbitrary doubles: NaN, infinity and magnitudes from 2^63 are refused.

use crate::SqlError;
use crate::error::NUMERIC_VALUE_OUT_OF_RANGE;

/// Bits after the binary point.
const FRACTION_BITS: i32 = 64;

/// The sum so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ExactSum {
    /// The low 128 bits of the two's complement fixed-point sum.
    low: u128,
    /// The bits above.
    high: i64,
}

impl ExactSum {
    /// Bytes of [`ExactSum::to_bytes`].
    pub const BYTES: usize = 24;

    /// Zero.
    pub const fn new() -> Self {
        Self { low: 0, high: 0 }
    }

    /// Adds a value. NaN and infinity: 22023. Magnitude from 2^63: 22003.
    #[inline]
    pub fn add(&mut self, value: f64) -> Result<(), SqlError> {
        self.add_fixed(fixed_point(value)?);
        Ok(())
    }

    /// Takes back a value that was added, exactly.
    #[inline]
    pub fn subtract(&mut self, value: f64) -> Result<(), SqlError> {
        self.add_fixed(-fixed_point(value)?);
        Ok(())
    }

    /// Adds another sum.
    pub fn merge(&mut self, other: &ExactSum) {
        let (low, carry) = self.low.overflowing_add(other.low);
        self.low = low;
        self.high = self.high.wrapping_add(other.high).wrapping_add(i64::from(carry));
    }

    /// The sum as the nearest double. Magnitude from 2^63: 22003.
    pub fn value(&self) -> Result<f64, SqlError> {
        let total = self.low as i128;
        let sign = if total < 0 { -1 } else { 0 };
        if self.high != sign {
            return Err(out_of_range());
        }
        // The conversion rounds to nearest, the scaling by a power of two is exact.
        let value = total as f64 * 2f64.powi(-FRACTION_BITS);
        if value.abs() >= 2f64.powi(63) {
            return Err(out_of_range());
        }
        Ok(value)
    }

    /// Little-endian bytes of the 192-bit integer.
    pub fn to_bytes(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..16].copy_from_slice(&self.low.to_le_bytes());
        bytes[16..].copy_from_slice(&self.high.to_le_bytes());
        bytes
    }

    /// The inverse of [`ExactSum::to_bytes`]; None if the length is wrong.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (low, high) = bytes.split_first_chunk::<16>()?;
        Some(Self { low: u128::from_le_bytes(*low), high: i64::from_le_bytes(high.try_into().ok()?) })
    }

    #[inline]
    fn add_fixed(&mut self, value: i128) {
        let (low, carry) = self.low.overflowing_add(value as u128);
        self.low = low;
        self.high = self.high.wrapping_add((value >> 127) as i64).wrapping_add(i64::from(carry));
    }
}

/// `value * 2^64` rounded to an integer, ties to even.
#[inline]
fn fixed_point(value: f64) -> Result<i128, SqlError> {
    const MANTISSA_BITS: i32 = 52;
    let bits = value.to_bits();
    let biased = ((bits >> MANTISSA_BITS) & 0x7ff) as i32;
    let fraction = bits & ((1 << MANTISSA_BITS) - 1);
    if biased == 0x7ff {
        return Err(SqlError::invalid_parameter("value must be finite"));
    }
    // Subnormals are far below 2^-64 and round to zero with everything else that small.
    let mantissa = i128::from(fraction | (1 << MANTISSA_BITS));
    let shift = biased - 1023 - MANTISSA_BITS + FRACTION_BITS;
    let magnitude = if shift >= 0 {
        // The mantissa has 53 bits and the result must stay below 2^127.
        if shift > 127 - 1 - MANTISSA_BITS {
            return Err(out_of_range());
        }
        mantissa << shift
    } else if shift < -(MANTISSA_BITS + 1) {
        0
    } else {
        let down = -shift;
        let (whole, rest) = (mantissa >> down, mantissa & ((1 << down) - 1));
        let half = 1i128 << (down - 1);
        whole + i128::from(rest > half || (rest == half && whole & 1 == 1))
    };
    Ok(if bits >> 63 == 1 { -magnitude } else { magnitude })
}

fn out_of_range() -> SqlError {
    SqlError::new(NUMERIC_VALUE_OUT_OF_RANGE, "sum is out of range")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sum(values: &[f64]) -> Result<f64, SqlError> {
        let mut sum = ExactSum::new();
        for value in values {
            sum.add(*value)?;
        }
        sum.value()
    }

    #[test]
    fn known_sums() {
        let tiny = 2f64.powi(-64);
        let big = 2f64.powi(62);
        for (values, expected) in [
            (vec![], 0.0),
            (vec![-0.0], 0.0),
            (vec![0.5, 0.25, -0.125], 0.625),
            (vec![1e15, 0.0625, -1e15], 0.0625),
            (vec![tiny], tiny),
            (vec![tiny / 2.0], 0.0),
            (vec![tiny * 1.5], tiny * 2.0),
            (vec![tiny * 0.75], tiny),
            (vec![-tiny * 0.75], -tiny),
            (vec![f64::MIN_POSITIVE, 5e-324], 0.0),
            (vec![big, big, big, -big, -big, 1.0], big),
            (vec![0.1; 10], 1.0),
        ] {
            assert_eq!(sum(&values), Ok(expected), "{values:?}");
        }
    }

    #[test]
    fn refusals() {
        let big = 2f64.powi(62);
        for values in [vec![big, big], vec![2f64.powi(63)], vec![-1e300], vec![f64::MAX, f64::MIN]] {
            assert_eq!(sum(&values).unwrap_err().sqlstate, "22003", "{values:?}");
        }
        // -2^63 fits the integer, but the limit is symmetric.
        assert_eq!(sum(&[-big, -big]).unwrap_err().sqlstate, "22003");
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(sum(&[value]).unwrap_err().sqlstate, "22023");
        }
    }

    // The twin: the exact sum of integers that were scaled by a power of two.
    proptest! {
        #[test]
        fn exact_for_dyadic_values(values in prop::collection::vec((-(1i64 << 50)..(1i64 << 50), 0u32..12), 0..60)) {
            let mut twin: i128 = 0;
            let mut doubles = Vec::new();
            for (mantissa, down) in values {
                twin += i128::from(mantissa) << (12 - down);
                doubles.push(mantissa as f64 / f64::from(1u32 << down));
            }
            let forward = sum(&doubles).unwrap();
            doubles.reverse();
            prop_assert_eq!(forward, sum(&doubles).unwrap());
            prop_assert_eq!(forward, twin as f64 / 4096.0);
        }

        #[test]
        fn taking_back_and_bytes_are_exact(values in prop::collection::vec(-1e18f64..1e18, 1..40)) {
            let mut all = ExactSum::new();
            let mut head = ExactSum::new();
            let mut tail = ExactSum::new();
            for (i, value) in values.iter().enumerate() {
                all.add(*value).unwrap();
                if i < values.len() / 2 { &mut head } else { &mut tail }.add(*value).unwrap();
            }
            let mut merged = ExactSum::from_bytes(&tail.to_bytes()).unwrap();
            merged.merge(&head);
            prop_assert_eq!(merged, all);
            for value in &values {
                all.subtract(*value).unwrap();
            }
            prop_assert_eq!(all, ExactSum::new());
        }
    }
}
