//! Checked integer and float arithmetic: overflow and division by zero are errors by type, never a wrapped value.

use arrow::array::{ArrayRef, ArrowPrimitiveType, AsArray, PrimitiveArray};
use arrow::datatypes::{Float32Type, Float64Type, Int16Type, Int32Type, Int64Type};
use datafusion::logical_expr::ColumnarValue;
use datafusion::scalar::ScalarValue;
use std::sync::Arc;
use tributary_pg::error::PgError;
use tributary_pg::sqlstate;

use super::super::call::{Call, Kernel, over_arrays};
use super::Implementation;

/// `smallint out of range` and its like.
pub(super) fn out_of_range(name: &str) -> PgError {
    PgError::new(sqlstate::NUMERIC_VALUE_OUT_OF_RANGE, format!("{name} out of range"))
}

/// 22012.
pub(super) fn division_by_zero() -> PgError {
    PgError::new(sqlstate::DIVISION_BY_ZERO, "division by zero")
}

/// A value computed from two, row by row; a constant operand is not spread.
pub(super) fn binary<A, B, R>(
    call: &Call<'_>,
    values: &[ColumnarValue],
    compute: impl Fn(A::Native, B::Native) -> Result<R::Native, PgError>,
) -> Result<ColumnarValue, PgError>
where
    A: ArrowPrimitiveType,
    B: ArrowPrimitiveType,
    R: ArrowPrimitiveType,
{
    let constant = |value: &ColumnarValue| match value {
        ColumnarValue::Scalar(scalar) => scalar.to_array().ok(),
        ColumnarValue::Array(_) => None,
    };
    if let (ColumnarValue::Array(left), Some(right)) = (&values[0], constant(&values[1])) {
        let right = right.as_primitive::<B>().value(0);
        return unary_array::<A, R>(call, left, |left| compute(left, right));
    }
    if let (Some(left), ColumnarValue::Array(right)) = (constant(&values[0]), &values[1]) {
        let left = left.as_primitive::<A>().value(0);
        return unary_array::<B, R>(call, right, |right| compute(left, right));
    }
    over_arrays(call, values, |arrays, _| {
        let (left, right) = (arrays[0].as_primitive::<A>(), arrays[1].as_primitive::<B>());
        finished::<R>(call, arrow::compute::try_binary(left, right, |a, b| compute(a, b).map_err(carried)))
    })
}

/// A value computed from one, row by row.
pub(super) fn unary<A, R>(
    call: &Call<'_>,
    values: &[ColumnarValue],
    compute: impl Fn(A::Native) -> Result<R::Native, PgError>,
) -> Result<ColumnarValue, PgError>
where
    A: ArrowPrimitiveType,
    R: ArrowPrimitiveType,
{
    match &values[0] {
        ColumnarValue::Array(array) => unary_array::<A, R>(call, array, compute),
        ColumnarValue::Scalar(scalar) => {
            let array = scalar.to_array().map_err(super::super::map_error)?;
            match unary_array::<A, R>(call, &array, compute)? {
                ColumnarValue::Array(done) => {
                    ScalarValue::try_from_array(&done, 0).map(ColumnarValue::Scalar).map_err(super::super::map_error)
                }
                done => Ok(done),
            }
        }
    }
}

fn unary_array<A, R>(
    call: &Call<'_>,
    array: &ArrayRef,
    compute: impl Fn(A::Native) -> Result<R::Native, PgError>,
) -> Result<ColumnarValue, PgError>
where
    A: ArrowPrimitiveType,
    R: ArrowPrimitiveType,
{
    finished::<R>(call, array.as_primitive::<A>().try_unary(|value| compute(value).map_err(carried)))
        .map(ColumnarValue::Array)
}

/// A PgError inside the error type that arrow's loops carry.
pub(super) fn carried(error: PgError) -> arrow::error::ArrowError {
    arrow::error::ArrowError::ExternalError(Box::new(error))
}

/// The PgError inside arrow's.
pub(super) fn uncarried(error: arrow::error::ArrowError) -> PgError {
    match error {
        arrow::error::ArrowError::ExternalError(inner) => match inner.downcast::<PgError>() {
            Ok(own) => *own,
            Err(other) => PgError::internal(other.to_string()),
        },
        other => PgError::internal(other.to_string()),
    }
}

fn finished<R: ArrowPrimitiveType>(
    call: &Call<'_>,
    computed: Result<PrimitiveArray<R>, arrow::error::ArrowError>,
) -> Result<ArrayRef, PgError> {
    computed.map(|array| Arc::new(array.with_data_type(call.data_type().clone())) as ArrayRef).map_err(uncarried)
}

macro_rules! integer {
    ($arrow:ty, $name:literal, $verb:ident) => {{
        let kernel: Kernel = |call, values| {
            binary::<$arrow, $arrow, $arrow>(call, values, |a, b| a.$verb(b).ok_or_else(|| out_of_range($name)))
        };
        Implementation::strict(kernel)
    }};
}

/// The family's codes.
pub(super) fn find(code: &str) -> Option<Implementation> {
    integers_by_code(code).or_else(|| floats_by_code(code))
}

fn prefixed<'a>(code: &'a str, prefix: &str) -> Option<&'a str> {
    code.strip_prefix(prefix)
}

macro_rules! integer_family {
    ($name:ident, $prefix:literal, $arrow:ty, $shown:literal) => {
        fn $name(code: &str) -> Option<Implementation> {
            match prefixed(code, $prefix)? {
                "pl" => integer!($arrow, $shown, checked_add),
                "mi" => integer!($arrow, $shown, checked_sub),
                "mul" => integer!($arrow, $shown, checked_mul),
                "div" => Implementation::strict(|call, values| {
                    binary::<$arrow, $arrow, $arrow>(call, values, |a, b| match b {
                        0 => Err(division_by_zero()),
                        _ => a.checked_div(b).ok_or_else(|| out_of_range($shown)),
                    })
                }),
                "mod" => Implementation::strict(|call, values| {
                    binary::<$arrow, $arrow, $arrow>(call, values, |a, b| match b {
                        0 => Err(division_by_zero()),
                        _ => Ok(a.wrapping_rem(b)),
                    })
                }),
                "um" => Implementation::strict(|call, values| {
                    unary::<$arrow, $arrow>(call, values, |a| a.checked_neg().ok_or_else(|| out_of_range($shown)))
                }),
                "abs" => Implementation::strict(|call, values| {
                    unary::<$arrow, $arrow>(call, values, |a| a.checked_abs().ok_or_else(|| out_of_range($shown)))
                }),
                "and" => Implementation::strict(|call, values| {
                    binary::<$arrow, $arrow, $arrow>(call, values, |a, b| Ok(a & b))
                }),
                "or" => Implementation::strict(|call, values| {
                    binary::<$arrow, $arrow, $arrow>(call, values, |a, b| Ok(a | b))
                }),
                "xor" => Implementation::strict(|call, values| {
                    binary::<$arrow, $arrow, $arrow>(call, values, |a, b| Ok(a ^ b))
                }),
                "not" => Implementation::strict(|call, values| unary::<$arrow, $arrow>(call, values, |a| Ok(!a))),
                "shl" => Implementation::strict(|call, values| {
                    binary::<$arrow, Int32Type, $arrow>(call, values, |a, b| Ok(a.wrapping_shl(b as u32)))
                }),
                "shr" => Implementation::strict(|call, values| {
                    binary::<$arrow, Int32Type, $arrow>(call, values, |a, b| Ok(a.wrapping_shr(b as u32)))
                }),
                "gcd" => Implementation::strict(|call, values| {
                    binary::<$arrow, $arrow, $arrow>(call, values, |a, b| {
                        gcd(i128::from(a), i128::from(b)).try_into().map_err(|_| out_of_range($shown))
                    })
                }),
                "lcm" => Implementation::strict(|call, values| {
                    binary::<$arrow, $arrow, $arrow>(call, values, |a, b| {
                        let (a, b) = (i128::from(a), i128::from(b));
                        let divisor = gcd(a, b);
                        let lcm = if divisor == 0 { 0 } else { (a / divisor * b).abs() };
                        lcm.try_into().map_err(|_| out_of_range($shown))
                    })
                }),
                _ => None,
            }
        }
    };
}

integer_family!(int2_family, "int2", Int16Type, "smallint");
integer_family!(int4_family, "int4", Int32Type, "integer");
integer_family!(int8_family, "int8", Int64Type, "bigint");

fn gcd(a: i128, b: i128) -> i128 {
    let (mut a, mut b) = (a.abs(), b.abs());
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

fn integers_by_code(code: &str) -> Option<Implementation> {
    int2_family(code).or_else(|| int4_family(code)).or_else(|| int8_family(code))
}

/// Float results: an infinity or zero that the operands do not explain is an error.
fn checked_float(value: f64, infinite_ok: bool, zero_ok: bool) -> Result<f64, PgError> {
    let message =
        |text: &str| PgError::new(sqlstate::NUMERIC_VALUE_OUT_OF_RANGE, format!("value out of range: {text}"));
    if value.is_infinite() && !infinite_ok {
        return Err(message("overflow"));
    }
    if value == 0.0 && !zero_ok {
        return Err(message("underflow"));
    }
    Ok(value)
}

fn checked_single(value: f32, infinite_ok: bool, zero_ok: bool) -> Result<f32, PgError> {
    checked_float(f64::from(value), infinite_ok, zero_ok).map(|_| value)
}

macro_rules! float_family {
    ($name:ident, $prefix:literal, $arrow:ty, $check:ident) => {
        fn $name(code: &str) -> Option<Implementation> {
            match prefixed(code, $prefix)? {
                "pl" => Implementation::strict(|call, values| {
                    binary::<$arrow, $arrow, $arrow>(call, values, |a, b| {
                        $check(a + b, a.is_infinite() || b.is_infinite(), true)
                    })
                }),
                "mi" => Implementation::strict(|call, values| {
                    binary::<$arrow, $arrow, $arrow>(call, values, |a, b| {
                        $check(a - b, a.is_infinite() || b.is_infinite(), true)
                    })
                }),
                "mul" => Implementation::strict(|call, values| {
                    binary::<$arrow, $arrow, $arrow>(call, values, |a, b| {
                        $check(a * b, a.is_infinite() || b.is_infinite(), a == 0.0 || b == 0.0)
                    })
                }),
                "div" => Implementation::strict(|call, values| {
                    binary::<$arrow, $arrow, $arrow>(call, values, |a, b| {
                        if b == 0.0 && !a.is_nan() {
                            return Err(division_by_zero());
                        }
                        $check(a / b, a.is_infinite(), a == 0.0 || b.is_infinite())
                    })
                }),
                "um" => Implementation::strict(|call, values| unary::<$arrow, $arrow>(call, values, |a| Ok(-a))),
                "abs" => Implementation::strict(|call, values| unary::<$arrow, $arrow>(call, values, |a| Ok(a.abs()))),
                _ => None,
            }
        }
    };
}

float_family!(float4_family, "float4", Float32Type, checked_single);
float_family!(float8_family, "float8", Float64Type, checked_float);

fn floats_by_code(code: &str) -> Option<Implementation> {
    if let Some(found) = float4_family(code).or_else(|| float8_family(code)) {
        return Some(found);
    }
    fn one(
        compute: fn(f64) -> Result<f64, PgError>,
        call: &Call<'_>,
        values: &[ColumnarValue],
    ) -> Result<ColumnarValue, PgError> {
        unary::<Float64Type, Float64Type>(call, values, compute)
    }
    match code {
        "dround" => Implementation::strict(|call, values| one(|a| Ok(a.round_ties_even()), call, values)),
        "dtrunc" => Implementation::strict(|call, values| one(|a| Ok(a.trunc()), call, values)),
        "dceil" => Implementation::strict(|call, values| one(|a| Ok(a.ceil()), call, values)),
        "dfloor" => Implementation::strict(|call, values| one(|a| Ok(a.floor()), call, values)),
        "dsign" => Implementation::strict(|call, values| {
            one(
                |a| {
                    Ok(if a > 0.0 {
                        1.0
                    } else if a < 0.0 {
                        -1.0
                    } else {
                        a
                    })
                },
                call,
                values,
            )
        }),
        "dsqrt" => Implementation::strict(|call, values| {
            one(
                |a| {
                    if a < 0.0 {
                        let message = "cannot take square root of a negative number";
                        return Err(PgError::new(sqlstate::INVALID_ARGUMENT_FOR_POWER_FUNCTION, message));
                    }
                    Ok(a.sqrt())
                },
                call,
                values,
            )
        }),
        "dexp" => Implementation::strict(|call, values| {
            one(|a| checked_float(a.exp(), a.is_infinite(), a == f64::NEG_INFINITY), call, values)
        }),
        "dlog1" => Implementation::strict(|call, values| one(|a| logarithm(a, f64::ln), call, values)),
        "dlog10" => Implementation::strict(|call, values| one(|a| logarithm(a, f64::log10), call, values)),
        "dpow" => {
            Implementation::strict(|call, values| binary::<Float64Type, Float64Type, Float64Type>(call, values, power))
        }
        _ => None,
    }
}

fn logarithm(value: f64, compute: fn(f64) -> f64) -> Result<f64, PgError> {
    let message = if value == 0.0 {
        "cannot take logarithm of zero"
    } else if value < 0.0 {
        "cannot take logarithm of a negative number"
    } else {
        return Ok(compute(value));
    };
    Err(PgError::new(sqlstate::INVALID_ARGUMENT_FOR_LOG, message))
}

fn power(base: f64, exponent: f64) -> Result<f64, PgError> {
    let invalid = |message: &str| Err(PgError::new(sqlstate::INVALID_ARGUMENT_FOR_POWER_FUNCTION, message));
    if base == 0.0 && exponent < 0.0 {
        return invalid("zero raised to a negative power is undefined");
    }
    if base < 0.0 && exponent.is_finite() && exponent.fract() != 0.0 {
        return invalid("a negative number raised to a non-integer power yields a complex result");
    }
    let value = base.powf(exponent);
    checked_float(
        value,
        base.is_infinite() || exponent.is_infinite(),
        base == 0.0 || base.is_infinite() || exponent.is_infinite(),
    )
}
