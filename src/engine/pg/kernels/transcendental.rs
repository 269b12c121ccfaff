//! exp, ln, log and power of NUMERIC, correctly rounded at the scale PostgreSQL picks.
//!
//! Values are fixed-point integers of some more digits than asked. Logarithms take square roots until the argument is near
//! one and then the series of the area tangent; exponentials halve their argument and square back.

use num_bigint::{BigInt, Sign};
use tributary_pg::error::PgError;
use tributary_pg::sqlstate;

use super::Implementation;
use super::arithmetic::division_by_zero;
use super::numeric::{Decimal, free_field, one, overflow, ten, two};

/// Significant digits PostgreSQL wants at least.
const SIGNIFICANT_DIGITS_MIN: i32 = 16;

/// Digits beyond those asked.
const GUARD_DIGITS: i32 = 12;

const LN_10: f64 = std::f64::consts::LN_10;
const LOG10_E: f64 = std::f64::consts::LOG10_E;

/// The family's codes.
pub(super) fn find(code: &str) -> Option<Implementation> {
    let shape = |_: &[super::super::typed::Typed]| Ok(free_field(0));
    match code {
        "numeric_exp" => Implementation::shaped(|call, values| one(call, values, exp), shape),
        "numeric_ln" => Implementation::shaped(|call, values| one(call, values, ln), shape),
        // Functions of one argument are SQL in PostgreSQL: log(10, x).
        "log" | "log10" => {
            Implementation::shaped(|call, values| one(call, values, |x| log(&Decimal::whole(10), x)), shape)
        }
        "numeric_log" => Implementation::shaped(|call, values| two(call, values, log), shape),
        "numeric_power" => Implementation::shaped(|call, values| two(call, values, power), shape),
        _ => None,
    }
}

/// Digits in front of the point of a result of this decimal logarithm. Beyond the bounds nothing is left to show.
fn whole_digits(weight: f64) -> i32 {
    weight.clamp(-2000.0, 2000.0) as i32
}

/// e^x.
fn exp(x: &Decimal) -> Result<Decimal, PgError> {
    let weight = x.to_f64() * LOG10_E;
    if weight > 40.0 {
        return Err(overflow());
    }
    let scale = (SIGNIFICANT_DIGITS_MIN - whole_digits(weight)).max(x.scale).clamp(0, 1000);
    Ok(exp_at(x, scale))
}

fn exp_at(x: &Decimal, scale: i32) -> Decimal {
    let weight = x.to_f64() * LOG10_E;
    if weight < f64::from(-scale - 2) {
        return Decimal { unscaled: BigInt::from(0), scale };
    }
    let places = scale + GUARD_DIGITS + (weight.max(0.0) as i32) + 8;
    let unit = ten(places as u32);
    // Halved until it is below 2^-8, then squared back as often.
    let halvings = 8 + (x.to_f64().abs().max(1.0).log2().ceil() as u32);
    let small = x.rescaled(places).unscaled >> halvings;
    let (mut term, mut sum) = (unit.clone(), unit.clone());
    let mut index = 1_u32;
    while term.sign() != Sign::NoSign {
        term = &term * &small / &unit / index;
        sum += &term;
        index += 1;
    }
    for _ in 0..halvings {
        sum = &sum * &sum / &unit;
    }
    Decimal { unscaled: sum, scale: places }.rescaled(scale)
}

/// Natural logarithm.
fn ln(x: &Decimal) -> Result<Decimal, PgError> {
    positive(x)?;
    let scale = (SIGNIFICANT_DIGITS_MIN - ln_weight(x)).max(x.scale).clamp(0, 1000);
    Ok(ln_at(x, scale))
}

fn positive(x: &Decimal) -> Result<(), PgError> {
    let message = match x.unscaled.sign() {
        Sign::Plus => return Ok(()),
        Sign::NoSign => "cannot take logarithm of zero",
        Sign::Minus => "cannot take logarithm of a negative number",
    };
    Err(PgError::new(sqlstate::INVALID_ARGUMENT_FOR_LOG, message))
}

fn ln_at(x: &Decimal, scale: i32) -> Decimal {
    let places = scale.max(x.scale) + GUARD_DIGITS + 20;
    let unit = ten(places as u32);
    let (low, high) = (&unit * 9 / 10, &unit * 11 / 10);
    let mut value = x.rescaled(places).unscaled;
    let mut roots = 0_u32;
    while value < low || value > high {
        value = (value * &unit).sqrt();
        roots += 1;
    }
    // ln v = 2 artanh((v - 1) / (v + 1)).
    let ratio = (&value - &unit) * &unit / (&value + &unit);
    let square = &ratio * &ratio / &unit;
    let (mut power, mut sum) = (ratio.clone(), ratio);
    let mut index = 3_u32;
    while power.sign() != Sign::NoSign {
        power = power * &square / &unit;
        sum += &power / index;
        index += 2;
    }
    Decimal { unscaled: (sum * 2) << roots, scale: places }.rescaled(scale)
}

/// PostgreSQL's estimate of the decimal weight of ln x.
fn ln_weight(x: &Decimal) -> i32 {
    let value = x.to_f64();
    if (0.9..=1.1).contains(&value) {
        let distance = x.minus(&Decimal::whole(1)).to_f64().abs();
        if distance == 0.0 {
            return 0;
        }
        // Weight of the first digit in base 10000, and the decimal digits within it.
        let log = distance.log10();
        let group = (log / 4.0).floor() as i32;
        return group * 4 + (log - f64::from(group * 4)) as i32;
    }
    value.ln().abs().log10() as i32
}

/// Logarithm to a base.
fn log(base: &Decimal, x: &Decimal) -> Result<Decimal, PgError> {
    positive(base)?;
    positive(x)?;
    let scale = (SIGNIFICANT_DIGITS_MIN - (ln_weight(x) - ln_weight(base))).max(base.scale).max(x.scale).clamp(0, 1000);
    let below = ln_at(base, scale + GUARD_DIGITS);
    if below.is_zero() {
        return Err(division_by_zero());
    }
    Ok(ln_at(x, scale + GUARD_DIGITS).quotient(&below, scale))
}

/// x^y.
fn power(x: &Decimal, y: &Decimal) -> Result<Decimal, PgError> {
    let argument = |message: &str| Err(PgError::new(sqlstate::INVALID_ARGUMENT_FOR_POWER_FUNCTION, message));
    if x.is_zero() && y.unscaled.sign() == Sign::Minus {
        return argument("zero raised to a negative power is undefined");
    }
    let whole = y.trimmed();
    if whole.scale <= 0
        && let Ok(exponent) = i32::try_from(whole.unscaled)
    {
        return whole_power(x, exponent);
    }
    if x.is_zero() {
        return Ok(Decimal { unscaled: BigInt::from(0), scale: SIGNIFICANT_DIGITS_MIN });
    }
    if x.unscaled.sign() == Sign::Minus {
        let whole = y.trimmed();
        if whole.scale > 0 {
            return argument("a negative number raised to a non-integer power yields a complex result");
        }
        let odd = whole.scale == 0 && whole.unscaled.bit(0);
        let mut result = power(&Decimal { unscaled: -&x.unscaled, scale: x.scale }, y)?;
        if odd {
            result.unscaled = -result.unscaled;
        }
        return Ok(result);
    }
    let weight = x.to_f64().ln() * y.to_f64() / LN_10;
    if weight > 40.0 {
        return Err(overflow());
    }
    let scale = (SIGNIFICANT_DIGITS_MIN - whole_digits(weight)).max(x.scale).max(y.scale).clamp(0, 1000);
    // The logarithm's error grows with the exponent and with the result.
    let digits = scale + GUARD_DIGITS + y.text().len() as i32 + weight.max(0.0) as i32;
    let exponent = ln_at(x, digits).times(y).rescaled(digits);
    Ok(exp_at(&exponent, scale))
}

fn whole_power(x: &Decimal, exponent: i32) -> Result<Decimal, PgError> {
    let scale = SIGNIFICANT_DIGITS_MIN.max(x.scale).min(1000);
    let weight = f64::from(exponent) * x.to_f64().abs().log10();
    if x.is_zero() {
        let value = i32::from(exponent == 0);
        return Ok(Decimal::whole(value).rescaled(scale));
    }
    if weight > 40.0 {
        return Err(overflow());
    }
    if weight < f64::from(-scale - 2) {
        return Ok(Decimal { unscaled: BigInt::from(0), scale });
    }
    // Squaring with a bounded number of decimals: far more than asked, so that rounding shows nowhere.
    let digits = scale + GUARD_DIGITS + 24 + weight.abs() as i32 * 2;
    let mut result = Decimal::whole(1);
    let mut square = x.clone();
    let mut left = exponent.unsigned_abs();
    while left > 0 {
        if left & 1 == 1 {
            result = bounded(result.times(&square), digits);
        }
        left >>= 1;
        if left > 0 {
            square = bounded(square.times(&square), digits);
        }
    }
    if exponent < 0 { Ok(Decimal::whole(1).quotient(&result, scale)) } else { Ok(result.rescaled(scale)) }
}

fn bounded(value: Decimal, digits: i32) -> Decimal {
    if value.scale > digits { value.rescaled(digits) } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decimal(text: &str) -> Decimal {
        Decimal::parse(text).expect("the test gives a number")
    }

    /// Answers of PostgreSQL 15.
    #[test]
    fn values_are_postgresqls() {
        for (got, expect) in [
            (ln(&decimal("2")), "0.6931471805599453"),
            (ln(&decimal("1.0001")), "0.00009999500033330834"),
            (exp(&decimal("1")), "2.7182818284590452"),
            (exp(&decimal("-10.5")), "0.00002753644934974716"),
            (log(&decimal("2"), &decimal("8")), "3.0000000000000000"),
            (log(&decimal("10"), &decimal("0.001")), "-3.0000000000000000"),
            (power(&decimal("2"), &decimal("0.5")), "1.4142135623730950"),
            (power(&decimal("2"), &decimal("10")), "1024.0000000000000000"),
            (power(&decimal("1.5"), &decimal("-3")), "0.2962962962962963"),
            (power(&decimal("10"), &decimal("-20")), "0.0000000000000000"),
            (power(&decimal("-2"), &decimal("3")), "-8.0000000000000000"),
            (power(&decimal("0"), &decimal("0")), "1.0000000000000000"),
        ] {
            assert_eq!(got.expect("a value").text(), expect);
        }
    }
}
