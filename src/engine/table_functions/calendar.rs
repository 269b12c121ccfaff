//! Calendar periods of the reports, in the report's own time zone: the number of the period an instant lies in, and its first day.
//!
//! Numbers count periods from the one of 1970-01-01, so that a difference of numbers is a number of periods. A timestamp without zone is
//! read as UTC; dates have no zone.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Date32Array, Int32Array};
use arrow::datatypes::{DataType, Date32Type, Int32Type, TimestampMicrosecondType};
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};
use tributary_pg::zone::Zone;

const DAY_US: i64 = 86_400_000_000;
/// 1970-01-01 is a Thursday: the Monday of its week is three days before.
const MONDAY_SHIFT: i64 = 3;

/// A calendar period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Period {
    Day,
    Week,
    Month,
    Quarter,
    Year,
}

impl Period {
    pub(super) const NAMES: [(&'static str, Self); 5] = [
        ("day", Self::Day),
        ("week", Self::Week),
        ("month", Self::Month),
        ("quarter", Self::Quarter),
        ("year", Self::Year),
    ];

    /// Days of a rolling period; `None` where there is none.
    pub(super) fn rolling_days(self) -> Option<i32> {
        match self {
            Self::Day => Some(1),
            Self::Week => Some(7),
            Self::Month => Some(30),
            Self::Quarter | Self::Year => None,
        }
    }

    fn months(self) -> Option<i64> {
        match self {
            Self::Day | Self::Week => None,
            Self::Month => Some(1),
            Self::Quarter => Some(3),
            Self::Year => Some(12),
        }
    }

    /// The number of the period that holds a day since 1970-01-01.
    fn number(self, day: i64) -> i32 {
        let number = match self.months() {
            None if self == Self::Day => day,
            None => (day + MONDAY_SHIFT).div_euclid(7),
            Some(length) => months_of(day).div_euclid(length),
        };
        number.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32
    }

    /// The first day of a period.
    fn first_day(self, number: i32) -> i32 {
        let number = i64::from(number);
        let day = match self.months() {
            None if self == Self::Day => number,
            None => number * 7 - MONDAY_SHIFT,
            Some(length) => first_of_month(number * length),
        };
        day.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32
    }
}

/// Months since January 1970 of a day, by the proleptic Gregorian calendar.
fn months_of(day: i64) -> i64 {
    // Counted in years that begin in March, whose leap day comes last. Reference: Hinnant, chrono-compatible date algorithms.
    let shifted = day + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    (era * 400 + year_of_era - 1970) * 12 + march_month + 2
}

/// The first day of a month counted from January 1970.
fn first_of_month(months: i64) -> i64 {
    let (year, month) = (1970 + (months - 2).div_euclid(12), (months - 2).rem_euclid(12));
    let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let day_of_year = (153 * month + 2) / 5;
    era * 146_097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719_468
}

/// Numbers periods of times.
pub(super) fn period_number(period: Period, zone: Zone) -> ScalarUDF {
    ScalarUDF::from(PeriodNumber {
        period,
        zone_name: zone.name().to_owned(),
        signature: Signature::any(1, Volatility::Immutable),
    })
}

/// First days of numbered periods.
pub(super) fn period_start(period: Period) -> ScalarUDF {
    ScalarUDF::from(PeriodStart { period, signature: Signature::exact(vec![DataType::Int32], Volatility::Immutable) })
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct PeriodNumber {
    period: Period,
    zone_name: String,
    signature: Signature,
}

impl ScalarUDFImpl for PeriodNumber {
    fn name(&self) -> &str {
        "period_number"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Int32)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let times = args.args[0].to_array(args.number_rows)?;
        let zone = Zone::parse_argument(&self.zone_name).map_err(super::call::external)?;
        let numbers: Int32Array = match times.data_type() {
            DataType::Date32 => times.as_primitive::<Date32Type>().unary(|day| self.period.number(i64::from(day))),
            DataType::Timestamp(_, _) => {
                let micros = DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, None);
                let ticks = arrow::compute::cast(&times, &DataType::Int64)?;
                let unit = times.data_type().clone();
                let micros = match unit {
                    DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, _) => {
                        arrow::compute::cast(&ticks, &micros)?
                    }
                    _ => arrow::compute::cast(&times, &micros)?,
                };
                let micros = micros.as_primitive::<TimestampMicrosecondType>();
                micros.unary(|ts| self.period.number(zone.local(ts).div_euclid(DAY_US)))
            }
            other => return exec_err!("a date or a timestamp was expected, not {other}"),
        };
        Ok(ColumnarValue::Array(Arc::new(numbers)))
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct PeriodStart {
    period: Period,
    signature: Signature,
}

impl ScalarUDFImpl for PeriodStart {
    fn name(&self) -> &str {
        "period_start"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::Date32)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let numbers: ArrayRef = args.args[0].to_array(args.number_rows)?;
        let days: Date32Array = numbers.as_primitive::<Int32Type>().unary(|number| self.period.first_day(number));
        Ok(ColumnarValue::Array(Arc::new(days)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_day_lies_in_its_period() {
        for (_, period) in Period::NAMES {
            for day in (-800_000_i64..800_000).step_by(13) {
                let number = period.number(day);
                let (first, next) = (period.first_day(number), period.first_day(number + 1));
                assert!(i64::from(first) <= day && day < i64::from(next), "{period:?} {day}: {first}..{next}");
            }
        }
    }

    #[test]
    fn known_periods() {
        // 2024-02-29 is day 19,782, a Thursday; its week begins on 2024-02-26.
        assert_eq!(Period::Week.first_day(Period::Week.number(19_782)), 19_779);
        assert_eq!(Period::Month.first_day(Period::Month.number(19_782)), 19_754);
        assert_eq!(Period::Quarter.first_day(Period::Quarter.number(19_782)), 19_723);
        assert_eq!(Period::Year.first_day(Period::Year.number(19_782)), 19_723);
    }

    #[test]
    fn a_short_day_is_one_day() {
        // 2024-03-10 in New York has 23 hours: from 05:00 UTC to 04:00 UTC.
        let zone = Zone::parse_argument("America/New_York").unwrap();
        let day =
            |hours: i64| Period::Day.number(zone.local(19_792 * DAY_US + hours * 3_600_000_000).div_euclid(DAY_US));
        assert_eq!([day(4), day(5), day(27), day(28)], [19_791, 19_792, 19_792, 19_793]);
    }
}
