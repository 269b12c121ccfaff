use std::sync::Arc;

use arrow::array::{Decimal128Array, Int32Array};
use proptest::prelude::*;

use super::*;
use crate::input::parse_numeric;
use crate::text::numeric::{print_decimal_256, print_free};

const OPERATORS: [Operator; 5] =
    [Operator::Add, Operator::Subtract, Operator::Multiply, Operator::Divide, Operator::Modulo];

/// A literal with its own type.
fn literal(text: &str) -> (i256, DataType) {
    let (precision, scale) = crate::input::numeric::literal_shape(text).unwrap().unwrap();
    (parse_numeric(text, precision, scale).unwrap(), sized(precision.into(), scale.into()))
}

fn show(operator: Operator, left: &str, right: &str) -> String {
    let ((a, left), (b, right)) = (literal(left), literal(right));
    let data_type = result_type(operator, &left, &right).unwrap();
    let (DataType::Decimal128(_, scale) | DataType::Decimal256(_, scale)) = data_type else { panic!("{data_type}") };
    let scales = (shape(&left).unwrap().1, shape(&right).unwrap().1);
    let value = match compute(operator, (a, scales.0), (b, scales.1), scale) {
        Ok(value) => value,
        Err(error) => return format!("{} {}", error.code, error.message),
    };
    let mut out = Vec::new();
    match result_scale(operator, (&left, None), (&right, None)) {
        Some(computed) => print_free(value, Some(computed), &mut out),
        None => print_decimal_256(value, scale, &mut out),
    }
    String::from_utf8(out).unwrap()
}

#[test]
fn results_print_as_postgresql_s() {
    // Answers of PostgreSQL 15.
    for (operator, left, right, expect) in [
        (Operator::Add, "0.0869036", "10", "10.0869036"),
        (Operator::Subtract, "1.10", "1.1", "0.00"),
        (Operator::Multiply, "1.50", "2.000", "3.00000"),
        (Operator::Divide, "7.0", "2", "3.5000000000000000"),
        (Operator::Divide, "1", "3.0", "0.33333333333333333333"),
        (Operator::Divide, "2", "3", "0.66666666666666666667"),
        (Operator::Divide, "-2", "3", "-0.66666666666666666667"),
        (Operator::Divide, "100000", "3", "33333.333333333333"),
        (Operator::Modulo, "7.5", "2", "1.5"),
        (Operator::Modulo, "-7.5", "2", "-1.5"),
        (Operator::Divide, "1", "0", "22012 division by zero"),
        (Operator::Modulo, "1", "0.00", "22012 division by zero"),
        (
            Operator::Multiply,
            "99999999999999999999",
            "99999999999999999999",
            "9999999999999999999800000000000000000001",
        ),
    ] {
        assert_eq!(show(operator, left, right), expect, "{left} {operator:?} {right}");
    }
}

#[test]
fn recorded_divisions_agree() {
    let data = include_str!("../../tests/data/pg_values/numeric.tsv");
    let mut count = 0;
    for line in data.lines() {
        let parts: Vec<&str> = line.split('\t').collect();
        let [left, right, add, subtract, multiply, divide, modulo] = parts[..] else { panic!("bad line {line}") };
        for (operator, expect) in OPERATORS.into_iter().zip([add, subtract, multiply, divide, modulo]) {
            let found = show(operator, left, right);
            if operator == Operator::Divide {
                // The number of decimals may differ by a group of four; the digits both have must not.
                let shorter = found.len().min(expect.len()) - 1;
                let close = |a: &str, b: &str| a[..shorter.saturating_sub(1)] == b[..shorter.saturating_sub(1)];
                assert!(found == expect || close(&found, expect), "{left} / {right}: {found} {expect}");
            } else {
                assert_eq!(found, expect, "{left} {operator:?} {right}");
            }
            count += 1;
        }
    }
    assert!(count > 500);
}

#[test]
fn arrays_broadcast_and_check() {
    let left = Decimal128Array::from(vec![Some(150), None, Some(-250)]).with_precision_and_scale(5, 2).unwrap();
    let right = Int32Array::from(vec![2]);
    let product = binary(Operator::Multiply, &left, &right).unwrap();
    assert_eq!(product.data_type(), &DataType::Decimal128(15, 2));
    let values = product.as_primitive::<Decimal128Type>();
    assert_eq!((values.value(0), values.is_null(1), values.value(2)), (300, true, -500));
    let quotient = binary(Operator::Divide, &left, &right).unwrap();
    assert!(crate::types::is_free(quotient.data_type()));
    let big: ArrayRef =
        Arc::new(Decimal256Array::from(vec![power_of_ten(75)]).with_precision_and_scale(76, 0).unwrap());
    for operator in [Operator::Add, Operator::Multiply] {
        let mut sum = Arc::clone(&big);
        let result = loop {
            match binary(operator, &sum, &big) {
                Ok(next) => sum = next,
                Err(error) => break error,
            }
        };
        assert_eq!(result.code.as_str(), "22003");
    }
}

#[test]
fn rounding_to_decimals() {
    let value = i256::from_i128(12_355);
    assert_eq!(round(value, 2, 1).unwrap(), i256::from_i128(12_360));
    assert_eq!(round(value, 2, -2).unwrap(), i256::from_i128(10_000));
    assert_eq!(round(value, 2, -3).unwrap(), i256::ZERO);
    assert_eq!(trunc(value, 2, 1).unwrap(), i256::from_i128(12_350));
    assert_eq!(trunc(value.wrapping_neg(), 2, 0).unwrap(), i256::from_i128(-12_300));
    assert_eq!(round(value, 2, i32::MIN).unwrap(), i256::ZERO);
    assert_eq!(round(value, 2, i32::MAX).unwrap(), value);
    assert_eq!(compare((i256::from_i128(10), 1), (i256::from_i128(100), 2)), Ordering::Equal);
}

/// numerator / 10^from as numerator / 10^to, rounded half away from zero, in rationals.
fn twin_scale(numerator: &BigInt, from: i32, to: i32) -> BigInt {
    let ten = BigInt::from(10);
    if to >= from {
        return numerator * ten.pow((to - from) as u32);
    }
    let unit = ten.pow((from - to) as u32);
    let half: BigInt = &unit / 2;
    let size: BigInt = (numerator.magnitude().clone() + half.magnitude().clone()).into();
    let rounded = size / &unit;
    if numerator.sign() == Sign::Minus { -rounded } else { rounded }
}

proptest! {
    #[test]
    fn twin_with_rationals(a in any::<i128>(), sa in 0i8..30, b in any::<i128>(), sb in 0i8..30, cut in 0u32..38,
                           scale in 0i8..38) {
        let (a, b) = (a / 10i128.pow(cut), b / 10i128.pow(38 - cut.max(1)));
        let (big_a, big_b) = (BigInt::from(a), BigInt::from(b));
        for operator in OPERATORS {
            let found = compute(operator, (i256::from_i128(a), sa), (i256::from_i128(b), sb), scale);
            let common = i32::from(sa.max(sb));
            let (wide_a, wide_b) = (twin_scale(&big_a, sa.into(), common), twin_scale(&big_b, sb.into(), common));
            let zero = b == 0 && matches!(operator, Operator::Divide | Operator::Modulo);
            if zero {
                prop_assert_eq!(found.unwrap_err().code, sqlstate::DIVISION_BY_ZERO);
                continue;
            }
            let twin = match operator {
                Operator::Add => twin_scale(&(wide_a + wide_b), common, scale.into()),
                Operator::Subtract => twin_scale(&(wide_a - wide_b), common, scale.into()),
                Operator::Modulo => twin_scale(&(wide_a % wide_b), common, scale.into()),
                Operator::Multiply => twin_scale(&(&big_a * &big_b), i32::from(sa) + i32::from(sb), scale.into()),
                Operator::Divide => {
                    // a/10^sa / (b/10^sb) * 10^scale
                    let numerator = &big_a * BigInt::from(10).pow((i32::from(scale) + i32::from(sb)) as u32);
                    let denominator = &big_b * BigInt::from(10).pow(sa as u32);
                    let negative = (numerator.sign() == Sign::Minus) != (denominator.sign() == Sign::Minus);
                    let (n, d) = (BigInt::from(numerator.magnitude().clone()), BigInt::from(denominator.magnitude().clone()));
                    let quotient = (&n + &n + &d) / (&d + &d);
                    if negative { -quotient } else { quotient }
                }
            };
            match found {
                Ok(value) => prop_assert_eq!(value.to_string(), twin.to_string()),
                Err(error) => {
                    prop_assert_eq!(error.code.as_str(), "22003");
                    prop_assert!(twin.to_string().len() > 50, "{} {}", error.message, twin);
                }
            }
        }
    }

    #[test]
    fn big_numbers_convert_both_ways(high in any::<i128>(), low in any::<u128>()) {
        let value = i256::from_parts(low, high);
        prop_assert_eq!(from_big(&big(value)).unwrap(), value);
        prop_assert_eq!(big(value).to_string(), value.to_string());
    }
}
