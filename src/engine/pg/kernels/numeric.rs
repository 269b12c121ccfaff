//! NUMERIC: exact decimals with PostgreSQL's scales.
//!
//! A numeric expression is an Arrow decimal whose scale is known while planning, or the *free* decimal of 38 integer and 38
//! decimal digits. [`Decimal`] is the exact value between the two; results are stored with rounding half away from zero
//! and 22003 when they do not fit. Addition, subtraction and multiplication of decimals that fit 128 bits take a fast path.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Decimal128Array, Decimal128Builder, Decimal256Builder, PrimitiveArray};
use arrow::datatypes::{DataType, Decimal128Type, Decimal256Type, Field, Int32Type, i256};
use datafusion::logical_expr::{ColumnarValue, Expr};
use datafusion::scalar::ScalarValue;
use num_bigint::{BigInt, Sign};
use tributary_pg::error::PgError;
use tributary_pg::sqlstate;

use super::super::call::{Call, Kernel, over_arrays};
use super::super::typed::Typed;
use super::super::types::{FREE_PRECISION, FREE_SCALE, NUMERIC_KEY, NUMERIC_SCALE_KEY};
use super::Implementation;
use super::arithmetic::division_by_zero;

/// Significant digits PostgreSQL wants at least in a quotient.
const SIGNIFICANT_DIGITS_MIN: i32 = 16;

/// An exact decimal value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::engine::pg) struct Decimal {
    /// The digits.
    pub unscaled: BigInt,
    /// How many of them follow the point.
    pub scale: i32,
}

/// 10 to a power.
pub(super) fn ten(power: u32) -> BigInt {
    BigInt::from(10).pow(power)
}

/// 22003.
pub(super) fn overflow() -> PgError {
    PgError::new(sqlstate::NUMERIC_VALUE_OUT_OF_RANGE, "value overflows numeric format")
}

impl Decimal {
    /// A whole number.
    pub fn whole(value: impl Into<BigInt>) -> Decimal {
        Decimal { unscaled: value.into(), scale: 0 }
    }

    /// Zero.
    pub fn zero() -> Decimal {
        Decimal::whole(0)
    }

    /// Whether the value is zero.
    pub fn is_zero(&self) -> bool {
        self.unscaled.sign() == Sign::NoSign
    }

    /// The value at another scale, rounded half away from zero.
    pub fn rescaled(&self, scale: i32) -> Decimal {
        match scale.cmp(&self.scale) {
            Ordering::Equal => self.clone(),
            Ordering::Greater => Decimal { unscaled: &self.unscaled * ten((scale - self.scale) as u32), scale },
            Ordering::Less => {
                let unscaled = divide_rounded(&self.unscaled, &ten((self.scale - scale) as u32));
                Decimal { unscaled, scale }
            }
        }
    }

    /// The value cut to a scale.
    pub fn truncated(&self, scale: i32) -> Decimal {
        if scale >= self.scale {
            return self.rescaled(scale);
        }
        Decimal { unscaled: &self.unscaled / ten((self.scale - scale) as u32), scale }
    }

    /// The same value with the fewest decimals that show it.
    pub fn trimmed(&self) -> Decimal {
        let mut value = self.clone();
        let base = BigInt::from(10);
        while value.scale > 0 && (&value.unscaled % &base).sign() == Sign::NoSign {
            value.unscaled /= &base;
            value.scale -= 1;
        }
        value
    }

    fn digits(&self) -> i32 {
        self.unscaled.magnitude().to_string().len() as i32
    }

    /// Power of ten of the first digit.
    fn exponent(&self) -> i32 {
        self.digits() - 1 - self.scale
    }

    /// Weight and first digit in PostgreSQL's base 10000.
    fn leading(&self) -> (i32, u32) {
        if self.is_zero() {
            return (0, 0);
        }
        let weight = self.exponent().div_euclid(4);
        let whole = self.truncated_magnitude(weight * 4);
        (weight, whole)
    }

    /// The magnitude divided by 10^power, cut.
    fn truncated_magnitude(&self, power: i32) -> u32 {
        let magnitude = BigInt::from(self.unscaled.magnitude().clone());
        let shift = power + self.scale;
        let cut = if shift >= 0 { magnitude / ten(shift as u32) } else { magnitude * ten((-shift) as u32) };
        u32::try_from(cut).unwrap_or(0)
    }

    /// Sum.
    pub fn plus(&self, other: &Decimal) -> Decimal {
        let scale = self.scale.max(other.scale);
        Decimal { unscaled: self.rescaled(scale).unscaled + other.rescaled(scale).unscaled, scale }
    }

    /// Difference.
    pub fn minus(&self, other: &Decimal) -> Decimal {
        let scale = self.scale.max(other.scale);
        Decimal { unscaled: self.rescaled(scale).unscaled - other.rescaled(scale).unscaled, scale }
    }

    /// Product.
    pub fn times(&self, other: &Decimal) -> Decimal {
        Decimal { unscaled: &self.unscaled * &other.unscaled, scale: self.scale + other.scale }
    }

    /// Quotient, at the scale `select_div_scale` picks.
    pub fn over(&self, other: &Decimal) -> Result<Decimal, PgError> {
        if other.is_zero() {
            return Err(division_by_zero());
        }
        let (own_weight, own_digit) = self.leading();
        let (other_weight, other_digit) = other.leading();
        let mut weight = own_weight - other_weight;
        if own_digit <= other_digit {
            weight -= 1;
        }
        let scale = (SIGNIFICANT_DIGITS_MIN - weight * 4).max(self.scale).max(other.scale).max(0);
        Ok(self.quotient(other, scale))
    }

    /// Quotient at a scale, rounded half away from zero.
    pub fn quotient(&self, other: &Decimal, scale: i32) -> Decimal {
        let shift = scale + other.scale - self.scale;
        let unscaled = if shift >= 0 {
            divide_rounded(&(&self.unscaled * ten(shift as u32)), &other.unscaled)
        } else {
            divide_rounded(&self.unscaled, &(&other.unscaled * ten((-shift) as u32)))
        };
        Decimal { unscaled, scale }
    }

    /// Remainder with the dividend's sign.
    pub fn remainder(&self, other: &Decimal) -> Result<Decimal, PgError> {
        if other.is_zero() {
            return Err(division_by_zero());
        }
        let scale = self.scale.max(other.scale);
        let (left, right) = (self.rescaled(scale), other.rescaled(scale));
        Ok(Decimal { unscaled: left.unscaled % right.unscaled, scale })
    }

    /// Integer quotient, cut towards zero.
    pub fn whole_quotient(&self, other: &Decimal) -> Result<Decimal, PgError> {
        if other.is_zero() {
            return Err(division_by_zero());
        }
        let scale = self.scale.max(other.scale);
        let (left, right) = (self.rescaled(scale), other.rescaled(scale));
        Ok(Decimal::whole(left.unscaled / right.unscaled))
    }

    /// Square root, at PostgreSQL's scale.
    pub fn square_root(&self) -> Result<Decimal, PgError> {
        if self.unscaled.sign() == Sign::Minus {
            let message = "cannot take square root of a negative number";
            return Err(PgError::new(sqlstate::INVALID_ARGUMENT_FOR_POWER_FUNCTION, message));
        }
        let (weight, _) = self.leading();
        let whole_digits = if weight >= 0 { weight * 4 / 2 + 1 } else { 1 - (1 - weight * 4) / 2 };
        let scale = (SIGNIFICANT_DIGITS_MIN - whole_digits).max(self.scale).max(0);
        // One digit more than asked, cut, then rounded.
        let radicand = self.rescaled_exact(2 * (scale + 1));
        Ok(Decimal { unscaled: radicand.sqrt(), scale: scale + 1 }.rescaled(scale))
    }

    fn rescaled_exact(&self, scale: i32) -> BigInt {
        if scale >= self.scale { self.rescaled(scale).unscaled } else { self.truncated(scale).unscaled }
    }

    /// Text with all decimals of the scale.
    pub fn text(&self) -> String {
        let digits = self.unscaled.magnitude().to_string();
        let sign = if self.unscaled.sign() == Sign::Minus { "-" } else { "" };
        if self.scale <= 0 {
            return format!("{sign}{digits}");
        }
        let places = self.scale as usize;
        let padded = format!("{digits:0>width$}", width = places + 1);
        let (whole, fraction) = padded.split_at(padded.len() - places);
        format!("{sign}{whole}.{fraction}")
    }

    /// Nearest double.
    pub fn to_f64(&self) -> f64 {
        self.text().parse().unwrap_or(f64::NAN)
    }

    /// The value of decimal text: sign, digits, point, exponent; None when it is none.
    pub fn parse(text: &str) -> Option<Decimal> {
        let text = text.trim();
        let (mantissa, exponent) = match text.find(['e', 'E']) {
            Some(at) => (&text[..at], text[at + 1..].parse::<i32>().ok()?),
            None => (text, 0),
        };
        let (negative, mantissa) = match mantissa.as_bytes().first()? {
            b'-' => (true, &mantissa[1..]),
            b'+' => (false, &mantissa[1..]),
            _ => (false, mantissa),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = format!("{whole}{fraction}");
        if digits.is_empty() || !digits.bytes().all(|one| one.is_ascii_digit()) || exponent.abs() > 2000 {
            return None;
        }
        let mut unscaled = BigInt::parse_bytes(digits.as_bytes(), 10)?;
        if negative {
            unscaled = -unscaled;
        }
        let scale = fraction.len() as i32 - exponent;
        let value = Decimal { unscaled, scale };
        Some(if scale < 0 { value.rescaled(0) } else { value })
    }
}

fn divide_rounded(left: &BigInt, right: &BigInt) -> BigInt {
    let quotient = left / right;
    let remainder = left % right;
    let twice: BigInt = BigInt::from(remainder.magnitude().clone()) * 2;
    if twice.magnitude() >= right.magnitude() {
        let up = (left.sign() == Sign::Minus) == (right.sign() == Sign::Minus);
        return if up { quotient + 1 } else { quotient - 1 };
    }
    quotient
}

/// The value of one row of a decimal array.
pub(in crate::engine::pg) fn value_at(array: &ArrayRef, row: usize) -> Option<Decimal> {
    if array.is_null(row) {
        return None;
    }
    match array.data_type() {
        DataType::Decimal128(_, scale) => {
            let value = array.as_primitive::<Decimal128Type>().value(row);
            Some(Decimal { unscaled: BigInt::from(value), scale: i32::from(*scale) })
        }
        DataType::Decimal256(_, scale) => {
            let value = array.as_primitive::<Decimal256Type>().value(row);
            let value = Decimal { unscaled: from_i256(value), scale: i32::from(*scale) };
            // Free values carry 38 places whatever they hold.
            Some(if *scale == FREE_SCALE { value.trimmed() } else { value })
        }
        _ => None,
    }
}

fn from_i256(value: i256) -> BigInt {
    BigInt::from_signed_bytes_le(&value.to_le_bytes())
}

fn to_i256(value: &BigInt) -> Option<i256> {
    let bytes = value.to_signed_bytes_le();
    if bytes.len() > 32 {
        return None;
    }
    let fill = if value.sign() == Sign::Minus { 0xff } else { 0 };
    let mut all = [fill; 32];
    all[..bytes.len()].copy_from_slice(&bytes);
    Some(i256::from_le_bytes(all))
}

/// Collects decimals into an array of a decimal type.
pub(in crate::engine::pg) fn collect(
    data_type: &DataType,
    rows: usize,
    mut value: impl FnMut(usize) -> Result<Option<Decimal>, PgError>,
) -> Result<ArrayRef, PgError> {
    match data_type {
        DataType::Decimal128(precision, scale) => {
            let limit = 10_i128.pow(u32::from(*precision));
            let mut builder = Decimal128Builder::with_capacity(rows).with_data_type(data_type.clone());
            for row in 0..rows {
                match value(row)? {
                    None => builder.append_null(),
                    Some(one) => {
                        let unscaled = one.rescaled(i32::from(*scale)).unscaled;
                        let number = i128::try_from(unscaled).map_err(|_| overflow())?;
                        if number.abs() >= limit {
                            return Err(overflow());
                        }
                        builder.append_value(number);
                    }
                }
            }
            Ok(Arc::new(builder.finish()))
        }
        DataType::Decimal256(precision, scale) => {
            let limit = ten(u32::from(*precision));
            let mut builder = Decimal256Builder::with_capacity(rows).with_data_type(data_type.clone());
            for row in 0..rows {
                match value(row)? {
                    None => builder.append_null(),
                    Some(one) => {
                        let unscaled = one.rescaled(i32::from(*scale)).unscaled;
                        if unscaled.magnitude() >= limit.magnitude() {
                            return Err(overflow());
                        }
                        builder.append_value(to_i256(&unscaled).ok_or_else(overflow)?);
                    }
                }
            }
            Ok(Arc::new(builder.finish()))
        }
        other => Err(PgError::internal(format!("a numeric result has the Arrow type {other}"))),
    }
}

/// Precision and scale of an argument's Arrow type.
pub(in crate::engine::pg) fn precision_scale(value: &Typed) -> (i32, i32) {
    let from = shape_of;
    let found = match &value.expr {
        Expr::Literal(scalar, _) => from(&scalar.data_type()),
        Expr::Cast(cast) => from(cast.field.data_type()),
        Expr::ScalarFunction(function) => function
            .func
            .inner()
            .downcast_ref::<super::super::call::PgFunction>()
            .and_then(|own| from(own.field.data_type())),
        _ => None,
    };
    found.or(value.decimals).unwrap_or((i32::from(FREE_PRECISION), i32::from(FREE_SCALE)))
}

/// A decimal type of so many integer digits and decimals; beyond 76 digits in all it is the largest there is.
pub(in crate::engine::pg) fn decimal_type(whole: i32, scale: i32) -> DataType {
    let scale = scale.clamp(0, 38);
    let precision = (whole.max(1) + scale).min(76);
    if precision <= 38 {
        DataType::Decimal128(precision as u8, scale as i8)
    } else {
        DataType::Decimal256(precision as u8, scale as i8)
    }
}

/// Precision and scale of a decimal type.
pub(in crate::engine::pg) fn shape_of(data_type: &DataType) -> Option<(i32, i32)> {
    match data_type {
        DataType::Decimal128(p, s) | DataType::Decimal256(p, s) => Some((i32::from(*p), i32::from(*s))),
        _ => None,
    }
}

/// 10 to a precision.
pub(in crate::engine::pg) fn ten_to(precision: i32) -> BigInt {
    ten(precision.max(0) as u32)
}

fn shaped(data_type: DataType) -> Field {
    Field::new("", data_type, true)
}

/// The field of free results that show at least `places` decimals.
pub(in crate::engine::pg) fn free_field(places: i32) -> Field {
    let keys = std::collections::HashMap::from([
        (NUMERIC_KEY.to_owned(), "free".to_owned()),
        (NUMERIC_SCALE_KEY.to_owned(), places.to_string()),
    ]);
    Field::new("", DataType::Decimal256(FREE_PRECISION, FREE_SCALE), true).with_metadata(keys)
}

fn is_free((precision, scale): (i32, i32)) -> bool {
    precision == i32::from(FREE_PRECISION) && scale == i32::from(FREE_SCALE)
}

fn sum_shape(arguments: &[Typed]) -> Result<Field, PgError> {
    let (a, b) = (precision_scale(&arguments[0]), precision_scale(&arguments[1]));
    if is_free(a) || is_free(b) {
        return Ok(free_field(0));
    }
    let whole = (a.0 - a.1).max(b.0 - b.1) + 1;
    Ok(shaped(decimal_type(whole, a.1.max(b.1))))
}

fn product_shape(arguments: &[Typed]) -> Result<Field, PgError> {
    let (a, b) = (precision_scale(&arguments[0]), precision_scale(&arguments[1]));
    if is_free(a) || is_free(b) {
        return Ok(free_field(0));
    }
    Ok(shaped(decimal_type((a.0 - a.1) + (b.0 - b.1), a.1 + b.1)))
}

fn remainder_shape(arguments: &[Typed]) -> Result<Field, PgError> {
    let (a, b) = (precision_scale(&arguments[0]), precision_scale(&arguments[1]));
    if is_free(a) || is_free(b) {
        return Ok(free_field(0));
    }
    Ok(shaped(decimal_type((a.0 - a.1).max(b.0 - b.1), a.1.max(b.1))))
}

fn quotient_shape(arguments: &[Typed]) -> Result<Field, PgError> {
    let (a, b) = (precision_scale(&arguments[0]), precision_scale(&arguments[1]));
    let places = |of: (i32, i32)| if is_free(of) { 0 } else { of.1 };
    Ok(free_field(places(a).max(places(b))))
}

fn same_shape(arguments: &[Typed]) -> Result<Field, PgError> {
    let own = precision_scale(&arguments[0]);
    if is_free(own) {
        return Ok(free_field(0));
    }
    Ok(shaped(decimal_type(own.0 - own.1, own.1)))
}

fn whole_shape(arguments: &[Typed]) -> Result<Field, PgError> {
    let own = precision_scale(&arguments[0]);
    Ok(shaped(decimal_type(own.0 - own.1 + 1, 0)))
}

fn whole_quotient_shape(arguments: &[Typed]) -> Result<Field, PgError> {
    let (a, b) = (precision_scale(&arguments[0]), precision_scale(&arguments[1]));
    Ok(shaped(decimal_type(a.0 - a.1 + b.1, 0)))
}

fn rounded_shape(arguments: &[Typed]) -> Result<Field, PgError> {
    let own = precision_scale(&arguments[0]);
    match arguments.get(1).map(|one| &one.expr) {
        Some(Expr::Literal(ScalarValue::Int32(Some(places)), _)) => {
            Ok(shaped(decimal_type(own.0 - own.1 + 1, (*places).max(0))))
        }
        _ if is_free(own) => Ok(free_field(0)),
        _ => Ok(shaped(decimal_type(own.0 - own.1 + 1, own.1))),
    }
}

fn free_shape(arguments: &[Typed]) -> Result<Field, PgError> {
    let own = precision_scale(&arguments[0]);
    Ok(free_field(if is_free(own) { 0 } else { own.1 }))
}

/// Computes from one numeric argument.
pub(super) fn one(
    call: &Call<'_>,
    values: &[ColumnarValue],
    compute: impl Fn(&Decimal) -> Result<Decimal, PgError>,
) -> Result<ColumnarValue, PgError> {
    over_arrays(call, values, |arrays, rows| {
        collect(call.data_type(), rows, |row| value_at(&arrays[0], row).map(|a| compute(&a)).transpose())
    })
}

/// Computes from two numeric arguments.
pub(super) fn two(
    call: &Call<'_>,
    values: &[ColumnarValue],
    compute: impl Fn(&Decimal, &Decimal) -> Result<Decimal, PgError>,
) -> Result<ColumnarValue, PgError> {
    over_arrays(call, values, |arrays, rows| {
        collect(call.data_type(), rows, |row| match (value_at(&arrays[0], row), value_at(&arrays[1], row)) {
            (Some(a), Some(b)) => compute(&a, &b).map(Some),
            _ => Ok(None),
        })
    })
}

/// Adds, subtracts or multiplies in 128 bits; None when a row needs more or a type does not fit.
fn quick(call: &Call<'_>, arrays: &[ArrayRef], verb: fn(i128, i128) -> Option<i128>, align: bool) -> Option<ArrayRef> {
    let DataType::Decimal128(precision, scale) = call.data_type() else { return None };
    let (DataType::Decimal128(_, left_scale), DataType::Decimal128(_, right_scale)) =
        (arrays[0].data_type(), arrays[1].data_type())
    else {
        return None;
    };
    if !align && left_scale + right_scale != *scale {
        return None;
    }
    let factor = |own: i8| 10_i128.pow(u32::try_from(i32::from(*scale) - i32::from(own)).unwrap_or(0));
    let (left_factor, right_factor) = if align { (factor(*left_scale), factor(*right_scale)) } else { (1, 1) };
    let limit = 10_i128.pow(u32::from(*precision));
    let (left, right) = (arrays[0].as_primitive::<Decimal128Type>(), arrays[1].as_primitive::<Decimal128Type>());
    let computed: Result<Decimal128Array, _> = arrow::compute::try_binary(left, right, |a, b| {
        let value = match (a.checked_mul(left_factor), b.checked_mul(right_factor)) {
            (Some(a), Some(b)) => verb(a, b),
            _ => None,
        };
        value.filter(|value| value.abs() < limit).ok_or_else(|| arrow::error::ArrowError::ComputeError(String::new()))
    });
    let array = computed.ok()?.with_data_type(call.data_type().clone());
    Some(Arc::new(array))
}

fn linear(
    call: &Call<'_>,
    values: &[ColumnarValue],
    verb: fn(i128, i128) -> Option<i128>,
    align: bool,
    exact: fn(&Decimal, &Decimal) -> Decimal,
) -> Result<ColumnarValue, PgError> {
    over_arrays(call, values, |arrays, rows| {
        if let Some(done) = quick(call, arrays, verb, align) {
            return Ok(done);
        }
        collect(call.data_type(), rows, |row| match (value_at(&arrays[0], row), value_at(&arrays[1], row)) {
            (Some(a), Some(b)) => Ok(Some(exact(&a, &b))),
            _ => Ok(None),
        })
    })
}

/// The family's codes.
pub(super) fn find(code: &str) -> Option<Implementation> {
    let shaped = Implementation::shaped;
    match code {
        "numeric_add" => shaped(|call, values| linear(call, values, i128::checked_add, true, Decimal::plus), sum_shape),
        "numeric_sub" => {
            shaped(|call, values| linear(call, values, i128::checked_sub, true, Decimal::minus), sum_shape)
        }
        "numeric_mul" => {
            shaped(|call, values| linear(call, values, i128::checked_mul, false, Decimal::times), product_shape)
        }
        "numeric_div" => shaped(|call, values| two(call, values, Decimal::over), quotient_shape),
        "numeric_mod" => shaped(|call, values| two(call, values, Decimal::remainder), remainder_shape),
        "numeric_div_trunc" => shaped(|call, values| two(call, values, Decimal::whole_quotient), whole_quotient_shape),
        "numeric_uminus" => shaped(
            |call, values| one(call, values, |a| Ok(Decimal { unscaled: -&a.unscaled, scale: a.scale })),
            same_shape,
        ),
        "numeric_abs" => shaped(
            |call, values| {
                one(call, values, |a| {
                    Ok(Decimal { unscaled: BigInt::from(a.unscaled.magnitude().clone()), scale: a.scale })
                })
            },
            same_shape,
        ),
        "numeric_sign" => shaped(
            |call, values| {
                one(call, values, |a| {
                    Ok(Decimal::whole(match a.unscaled.sign() {
                        Sign::Minus => -1,
                        Sign::NoSign => 0,
                        Sign::Plus => 1,
                    }))
                })
            },
            |_| Ok(Field::new("", DataType::Decimal128(1, 0), true)),
        ),
        "numeric_ceil" => shaped(|call, values| one(call, values, |a| Ok(stepped(a, Sign::Plus))), whole_shape),
        "numeric_floor" => shaped(|call, values| one(call, values, |a| Ok(stepped(a, Sign::Minus))), whole_shape),
        "round" => shaped(|call, values| one(call, values, |a| Ok(a.rescaled(0))), whole_shape),
        "trunc" => shaped(|call, values| one(call, values, |a| Ok(a.truncated(0))), whole_shape),
        "numeric_round" => shaped(|call, values| placed(call, values, Decimal::rescaled), rounded_shape),
        "numeric_trunc" => shaped(|call, values| placed(call, values, Decimal::truncated), rounded_shape),
        "numeric_sqrt" => shaped(|call, values| one(call, values, Decimal::square_root), free_shape),
        "numeric_fac" => Implementation::shaped(FACTORIAL, |_| Ok(Field::new("", DataType::Decimal256(76, 0), true))),
        "numeric_gcd" => shaped(|call, values| two(call, values, gcd), remainder_shape),
        "numeric_trim_scale" => shaped(|call, values| one(call, values, |a| Ok(a.trimmed())), free_shape),
        "numeric_scale" => Implementation::strict(|call, values| {
            over_arrays(call, values, |arrays, rows| Ok(scales(&arrays[0], rows, false)))
        }),
        "numeric_min_scale" => Implementation::strict(|call, values| {
            over_arrays(call, values, |arrays, rows| Ok(scales(&arrays[0], rows, true)))
        }),
        _ => None,
    }
}

const FACTORIAL: Kernel = |call, values| {
    over_arrays(call, values, |arrays, rows| {
        let numbers = arrays[0].as_primitive::<arrow::datatypes::Int64Type>();
        collect(call.data_type(), rows, |row| {
            if numbers.is_null(row) {
                return Ok(None);
            }
            let number = numbers.value(row);
            if number < 0 {
                let message = "factorial of a negative number is undefined";
                return Err(PgError::new(sqlstate::NUMERIC_VALUE_OUT_OF_RANGE, message));
            }
            if number > 100 {
                return Err(overflow());
            }
            Ok(Some(Decimal::whole((1..=number).fold(BigInt::from(1), |product, one| product * one))))
        })
    })
};

fn scales(array: &ArrayRef, rows: usize, least: bool) -> ArrayRef {
    let values =
        (0..rows).map(|row| value_at(array, row).map(|one| if least { one.trimmed().scale } else { one.scale }));
    Arc::new(values.collect::<PrimitiveArray<Int32Type>>())
}

fn stepped(value: &Decimal, towards: Sign) -> Decimal {
    let cut = value.truncated(0);
    let exact = cut.rescaled(value.scale.max(0)) == *value;
    let step = match (exact, value.unscaled.sign() == towards, towards) {
        (false, true, Sign::Plus) => 1,
        (false, true, _) => -1,
        _ => 0,
    };
    Decimal::whole(cut.unscaled + step)
}

fn gcd(a: &Decimal, b: &Decimal) -> Result<Decimal, PgError> {
    let scale = a.scale.max(b.scale);
    let (mut x, mut y) = (a.rescaled(scale).unscaled, b.rescaled(scale).unscaled);
    while y.sign() != Sign::NoSign {
        (x, y) = (y.clone(), x % y);
    }
    Ok(Decimal { unscaled: BigInt::from(x.magnitude().clone()), scale })
}

/// round(x, n) and trunc(x, n).
fn placed(
    call: &Call<'_>,
    values: &[ColumnarValue],
    compute: fn(&Decimal, i32) -> Decimal,
) -> Result<ColumnarValue, PgError> {
    over_arrays(call, values, |arrays, rows| {
        let places = arrays[1].as_primitive::<Int32Type>();
        collect(call.data_type(), rows, |row| {
            let Some(value) = value_at(&arrays[0], row) else { return Ok(None) };
            if places.is_null(row) {
                return Ok(None);
            }
            let places = places.value(row).clamp(-2000, 2000);
            if places > value.scale {
                return Ok(Some(value));
            }
            let cut = compute(&value, places);
            // Places before the point come back as zeros.
            Ok(Some(if cut.scale < 0 { cut.rescaled(0) } else { cut }))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal(text: &str) -> Decimal {
        Decimal::parse(text).expect("the test gives a number")
    }

    #[test]
    fn quotients_have_postgresql_scales() {
        for (a, b, expect) in [
            ("1", "3.0", "0.33333333333333333333"),
            ("7.0", "2", "3.5000000000000000"),
            ("-4731467866168957651.1", "7", "-675923980881279664.4"),
            ("0.5", "83928283.61", "0.0000000059574672"),
        ] {
            let got = decimal(a).over(&decimal(b)).expect("the divisor is not zero");
            assert!(got.text().starts_with(&expect[..expect.len() - 1]), "{a} / {b} = {}", got.text());
        }
    }

    #[test]
    fn rounding_is_half_away_from_zero() {
        for (value, places, expect) in
            [("2.5", 0, "3"), ("-2.5", 0, "-3"), ("1.005", 2, "1.01"), ("149", -2, "100"), ("150", -2, "200")]
        {
            let got = decimal(value).rescaled(places);
            let got = if places < 0 { got.rescaled(0) } else { got };
            assert_eq!(got.text(), expect, "{value} to {places}");
        }
    }

    #[test]
    fn roots() {
        assert_eq!(decimal("2").square_root().map(|one| one.text()).ok().as_deref(), Some("1.414213562373095"));
    }
}
