//! Arithmetic of numeric: Arrow decimals with PostgreSQL's scales.
//!
//! `+ -` take the larger scale, `*` the sum of both (at most 38, rounded half away from zero), `%` the larger, `/`
//! gives free numeric: Decimal256(76, 38). Everything is checked: a result of too many digits is 22003, never wrapped.
//! Operands may be decimals of any width and integers; an array of one row meets every row of the other.

use std::cmp::Ordering;
use std::sync::{Arc, LazyLock};

use arrow::array::{Array, ArrayRef, AsArray, Decimal128Array, Decimal128Builder, Decimal256Array, Decimal256Builder};
use arrow::datatypes::{
    DataType, Decimal128Type, Decimal256Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type, i256,
};
use num_bigint::{BigInt, Sign};

use crate::error::{PgError, PgResult};
use crate::input::numeric::free_overflow;
use crate::sqlstate;
use crate::types::{FREE_PRECISION, FREE_SCALE};

/// The arithmetic operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operator {
    /// +
    Add,
    /// -
    Subtract,
    /// *
    Multiply,
    /// /
    Divide,
    /// %
    Modulo,
}

static POWERS: LazyLock<Vec<i256>> = LazyLock::new(|| {
    let ten = i256::from_i128(10);
    std::iter::successors(Some(i256::ONE), |power| power.checked_mul(ten)).take(77).collect()
});

/// 10 to the power of 0 to 76; larger exponents give 10^76.
pub fn power_of_ten(exponent: u8) -> i256 {
    POWERS[usize::from(exponent).min(76)]
}

/// Precision and scale of an operand's type: decimals as they are, integers with their digits.
pub fn shape(data_type: &DataType) -> Option<(u8, i8)> {
    Some(match data_type {
        DataType::Decimal32(p, s) | DataType::Decimal64(p, s) => (*p, *s),
        DataType::Decimal128(p, s) | DataType::Decimal256(p, s) => (*p, *s),
        DataType::Int8 | DataType::UInt8 => (3, 0),
        DataType::Int16 | DataType::UInt16 => (5, 0),
        DataType::Int32 | DataType::UInt32 => (10, 0),
        DataType::Int64 => (19, 0),
        DataType::UInt64 => (20, 0),
        _ => return None,
    })
}

/// The type of `left op right`.
pub fn result_type(operator: Operator, left: &DataType, right: &DataType) -> PgResult<DataType> {
    let refuse = || PgError::internal(format!("no numeric operator for {left} and {right}"));
    let (p1, s1) = shape(left).ok_or_else(refuse)?;
    let (p2, s2) = shape(right).ok_or_else(refuse)?;
    let free = is_free(left) || is_free(right);
    let (p1, s1, p2, s2) = (i32::from(p1), i32::from(s1), i32::from(p2), i32::from(s2));
    let scale = s1.max(s2).max(0);
    let whole = (p1 - s1).max(p2 - s2);
    Ok(match operator {
        Operator::Divide => free_type(),
        _ if free => free_type(),
        Operator::Add | Operator::Subtract => sized(whole + 1 + scale, scale),
        Operator::Modulo => sized(whole + scale, scale),
        Operator::Multiply => sized(p1 - s1 + p2 - s2 + (s1 + s2).min(38), (s1 + s2).clamp(0, 38)),
    })
}

/// The decimals to remember (`pg.numeric_scale`) of a computed free numeric, from each operand's type and what it
/// remembers itself. `None` if the result is not free or is as plain as a stored value.
pub fn result_scale(operator: Operator, left: (&DataType, Option<u8>), right: (&DataType, Option<u8>)) -> Option<u8> {
    let own = |(data_type, scale): (&DataType, Option<u8>)| {
        if is_free(data_type) { scale } else { shape(data_type).map(|(_, s)| s.max(0) as u8) }
    };
    let computed =
        operator == Operator::Divide || is_free(left.0) && left.1.is_some() || is_free(right.0) && right.1.is_some();
    computed.then(|| own(left).unwrap_or(0).max(own(right).unwrap_or(0)))
}

fn is_free(data_type: &DataType) -> bool {
    crate::types::is_free(data_type)
}

fn free_type() -> DataType {
    DataType::Decimal256(FREE_PRECISION, FREE_SCALE)
}

fn sized(precision: i32, scale: i32) -> DataType {
    let precision = precision.clamp(1, 76) as u8;
    // Free numeric is told by its shape alone, so a sized result stays one digit below it.
    let precision = if scale == i32::from(FREE_SCALE) { precision.min(FREE_PRECISION - 1) } else { precision };
    if precision <= 38 {
        DataType::Decimal128(precision, scale as i8)
    } else {
        DataType::Decimal256(precision, scale as i8)
    }
}

/// 22003 for a result with too many digits.
#[cold]
fn overflow() -> PgError {
    free_overflow()
}

/// 22012.
#[cold]
fn division_by_zero() -> PgError {
    PgError::new(sqlstate::DIVISION_BY_ZERO, "division by zero")
}

/// `left op right` on one pair of values with their scales, at `scale` decimals.
pub fn compute(operator: Operator, left: (i256, i8), right: (i256, i8), scale: i8) -> PgResult<i256> {
    match operator {
        Operator::Add | Operator::Subtract | Operator::Modulo => {
            let common = left.1.max(right.1);
            let (a, b) = (rescale(left.0, left.1, common)?, rescale(right.0, right.1, common)?);
            let result = match operator {
                Operator::Add => a.checked_add(b).ok_or_else(overflow)?,
                Operator::Subtract => a.checked_sub(b).ok_or_else(overflow)?,
                _ if b == i256::ZERO => return Err(division_by_zero()),
                _ => a.checked_rem(b).ok_or_else(overflow)?,
            };
            rescale(result, common, scale)
        }
        Operator::Multiply => {
            let product_scale = i32::from(left.1) + i32::from(right.1);
            match left.0.checked_mul(right.0) {
                Some(product) if product_scale <= 76 => rescale(product, product_scale as i8, scale),
                _ => big_ratio(&(big(left.0) * big(right.0)), product_scale, &BigInt::from(1), scale),
            }
        }
        Operator::Divide => {
            if right.0 == i256::ZERO {
                return Err(division_by_zero());
            }
            let shift = i32::from(scale) + i32::from(right.1) - i32::from(left.1);
            let exact = match u8::try_from(shift) {
                Ok(shift @ 0..=76) => left.0.checked_mul(power_of_ten(shift)),
                _ => None,
            };
            let quotient = match exact {
                Some(numerator) => divide_rounded(numerator, right.0)?,
                None => big_ratio(&big(left.0), i32::from(left.1) - i32::from(right.1), &big(right.0), scale)?,
            };
            if scale != FREE_SCALE {
                return Ok(quotient);
            }
            // A free quotient is rounded where it is computed, as PostgreSQL does: printing never cuts digits.
            let inputs_scale = left.1.max(right.1).max(0) as u8;
            let decimals = display_decimals(quotient, scale, inputs_scale) as i8;
            rescale(rescale(quotient, scale, decimals)?, decimals, scale)
        }
    }
}

/// Moves a value from one scale to another; down, it is rounded half away from zero. 22003 if it leaves 76 digits.
pub fn rescale(value: i256, from: i8, to: i8) -> PgResult<i256> {
    match i32::from(to) - i32::from(from) {
        0 => Ok(value),
        up @ 1..=76 => value.checked_mul(power_of_ten(up as u8)).ok_or_else(overflow),
        down @ -76..=-1 => divide_rounded(value, power_of_ten(-down as u8)),
        up if up > 0 && value != i256::ZERO => Err(overflow()),
        _ => Ok(i256::ZERO),
    }
}

/// The quotient rounded half away from zero.
fn divide_rounded(numerator: i256, denominator: i256) -> PgResult<i256> {
    let quotient = numerator.checked_div(denominator).ok_or_else(overflow)?;
    let rest = numerator.wrapping_sub(quotient.wrapping_mul(denominator));
    if rest == i256::ZERO {
        return Ok(quotient);
    }
    let rest = rest.wrapping_abs();
    let denominator_size = denominator.wrapping_abs();
    // rest >= denominator - rest is 2 * rest >= denominator without overflow.
    if rest >= denominator_size.wrapping_sub(rest) {
        let negative = numerator.is_negative() != denominator.is_negative();
        let step = if negative { i256::MINUS_ONE } else { i256::ONE };
        return quotient.checked_add(step).ok_or_else(overflow);
    }
    Ok(quotient)
}

fn big(value: i256) -> BigInt {
    BigInt::from_signed_bytes_le(&value.to_le_bytes())
}

/// numerator / 10^numerator_scale / denominator at `scale` decimals, rounded half away from zero.
fn big_ratio(numerator: &BigInt, numerator_scale: i32, denominator: &BigInt, scale: i8) -> PgResult<i256> {
    let shift = i32::from(scale) - numerator_scale;
    let power = BigInt::from(10).pow(shift.unsigned_abs());
    let (numerator, denominator) =
        if shift >= 0 { (numerator * power, denominator.clone()) } else { (numerator.clone(), denominator * power) };
    let negative = (numerator.sign() == Sign::Minus) != (denominator.sign() == Sign::Minus);
    let (n, d) = (numerator.magnitude(), denominator.magnitude());
    let rounded = BigInt::from((n * 2u32 + d) / (d * 2u32));
    from_big(&if negative { -rounded } else { rounded })
}

fn from_big(value: &BigInt) -> PgResult<i256> {
    let bytes = value.to_signed_bytes_le();
    if bytes.len() > 32 {
        return Err(overflow());
    }
    let mut wide = [if value.sign() == Sign::Minus { 0xFF } else { 0 }; 32];
    wide[..bytes.len()].copy_from_slice(&bytes);
    Ok(i256::from_le_bytes(wide))
}

/// Compares two values of different scales.
pub fn compare(left: (i256, i8), right: (i256, i8)) -> Ordering {
    let common = left.1.max(right.1);
    match (rescale(left.0, left.1, common), rescale(right.0, right.1, common)) {
        (Ok(a), Ok(b)) => a.cmp(&b),
        _ => {
            let power = |scale: i8| BigInt::from(10).pow((common - scale).unsigned_abs().into());
            (big(left.0) * power(left.1)).cmp(&(big(right.0) * power(right.1)))
        }
    }
}

/// `left op right` on arrays; NULL with anything is NULL. The result has the type of [`result_type`].
pub fn binary(operator: Operator, left: &dyn Array, right: &dyn Array) -> PgResult<ArrayRef> {
    let data_type = result_type(operator, left.data_type(), right.data_type())?;
    let rows = match (left.len(), right.len()) {
        (1, rows) | (rows, 1) => rows,
        (a, b) if a == b => a,
        _ => return Err(PgError::internal("numeric operands of different lengths")),
    };
    let (a, b) = (Operand::of(left)?, Operand::of(right)?);
    let (DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale)) = data_type else {
        return Err(PgError::internal("a numeric result that is no decimal"));
    };
    if let DataType::Decimal128(..) = data_type {
        let mut out = Decimal128Builder::with_capacity(rows);
        for row in 0..rows {
            match (a.value(row), b.value(row)) {
                (Some(x), Some(y)) => {
                    let value = compute(operator, (x, a.scale), (y, b.scale), scale)?;
                    out.append_value(value.to_i128().ok_or_else(overflow)?);
                }
                _ => out.append_null(),
            }
        }
        return Ok(Arc::new(out.with_data_type(data_type).finish()));
    }
    let mut out = Decimal256Builder::with_capacity(rows);
    for row in 0..rows {
        match (a.value(row), b.value(row)) {
            (Some(x), Some(y)) => {
                let value = compute(operator, (x, a.scale), (y, b.scale), scale)?;
                if !crate::input::numeric::within(value, precision) {
                    return Err(overflow());
                }
                out.append_value(value);
            }
            _ => out.append_null(),
        }
    }
    Ok(Arc::new(out.with_data_type(data_type).finish()))
}

/// An operand read as unscaled 256-bit integers.
struct Operand<'a> {
    array: &'a dyn Array,
    values: Values<'a>,
    scale: i8,
    single: bool,
}

enum Values<'a> {
    Narrow(&'a Decimal128Array),
    Wide(&'a Decimal256Array),
    Integers(Vec<i128>),
}

impl<'a> Operand<'a> {
    fn of(array: &'a dyn Array) -> PgResult<Self> {
        macro_rules! integers {
            ($type:ty) => {
                Values::Integers(array.as_primitive::<$type>().values().iter().map(|v| i128::from(*v)).collect())
            };
        }
        let (_, scale) = shape(array.data_type())
            .ok_or_else(|| PgError::internal(format!("{} is no numeric operand", array.data_type())))?;
        let values = match array.data_type() {
            DataType::Decimal128(..) => Values::Narrow(array.as_primitive::<Decimal128Type>()),
            DataType::Decimal256(..) => Values::Wide(array.as_primitive::<Decimal256Type>()),
            DataType::Int8 => integers!(Int8Type),
            DataType::Int16 => integers!(Int16Type),
            DataType::Int32 => integers!(Int32Type),
            DataType::Int64 => integers!(Int64Type),
            DataType::UInt8 => integers!(UInt8Type),
            DataType::UInt16 => integers!(UInt16Type),
            DataType::UInt32 => integers!(UInt32Type),
            DataType::UInt64 => integers!(UInt64Type),
            DataType::Decimal32(..) => integers!(arrow::datatypes::Decimal32Type),
            DataType::Decimal64(..) => integers!(arrow::datatypes::Decimal64Type),
            other => return Err(PgError::internal(format!("{other} is no numeric operand"))),
        };
        Ok(Self { array, values, scale, single: array.len() == 1 })
    }

    fn value(&self, row: usize) -> Option<i256> {
        let row = if self.single { 0 } else { row };
        if self.array.is_null(row) {
            return None;
        }
        Some(match &self.values {
            Values::Narrow(array) => i256::from_i128(array.value(row)),
            Values::Wide(array) => array.value(row),
            Values::Integers(values) => i256::from_i128(values[row]),
        })
    }
}

/// Rounds to `decimals` (may be negative) as `round(numeric, int)` does, half away from zero; the scale stays.
pub fn round(value: i256, scale: i8, decimals: i32) -> PgResult<i256> {
    cut(value, scale, decimals, true)
}

/// Cuts to `decimals` (may be negative) as `trunc(numeric, int)` does; the scale stays.
pub fn trunc(value: i256, scale: i8, decimals: i32) -> PgResult<i256> {
    cut(value, scale, decimals, false)
}

fn cut(value: i256, scale: i8, decimals: i32, rounded: bool) -> PgResult<i256> {
    let digits = i32::from(scale).saturating_sub(decimals);
    if digits <= 0 {
        return Ok(value);
    }
    if digits > 76 {
        return Ok(i256::ZERO);
    }
    let power = power_of_ten(digits as u8);
    let quotient = if rounded { divide_rounded(value, power)? } else { value.wrapping_div(power) };
    quotient.checked_mul(power).ok_or_else(overflow)
}

/// The number of decimals that division results print: PostgreSQL keeps 16 significant digits, in groups of four.
///
/// `scale` is the scale of `value`, `inputs_scale` the largest number of decimals of what it was computed from.
pub fn display_decimals(value: i256, scale: i8, inputs_scale: u8) -> u8 {
    let digits = i32::from(digit_count(value));
    // w = floor(log10000(|value|)); zero counts as below one.
    let weight = if value == i256::ZERO { -1 } else { (digits - i32::from(scale) - 1).div_euclid(4) };
    let decimals = (16 - 4 * weight).max(i32::from(inputs_scale)).max(0);
    decimals.min(i32::from(scale)) as u8
}

/// Decimal digits of |value|; 1 for zero.
pub fn digit_count(value: i256) -> u8 {
    let size = value.wrapping_abs();
    (1..=76).find(|digits| size < power_of_ten(*digits)).unwrap_or(77)
}

#[cfg(test)]
#[path = "numeric_tests.rs"]
mod tests;
