//! Times and windows of the behaviour functions: every time type as `i64` in its own unit, every window in the same unit.
//!
//! A time is a timestamp (any unit, with or without zone), a date, or an integer whose unit is the user's business. Nothing is rounded:
//! the comparison happens in the unit the column has. The two infinite timestamps and dates keep their order and are inside no finite
//! window. Windows with months are refused because their length depends on where they lie.

use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Date32Type, Int64Type, IntervalUnit, TimeUnit};
use datafusion_common::{Result, ScalarValue, internal_err};
use std::sync::Arc;

use crate::SqlError;
use crate::error::DATATYPE_MISMATCH;

const NANOS_PER_DAY: i128 = 86_400_000_000_000;

/// How a time column is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TimeType {
    /// Ticks of this unit.
    Timestamp(TimeUnit),
    /// Days.
    Date,
    /// Whatever the user counts.
    Integer,
}

impl TimeType {
    /// The kind of a column of this type; `None` if it is no time.
    pub fn of(data_type: &DataType) -> Option<Self> {
        match data_type {
            DataType::Timestamp(unit, _) => Some(Self::Timestamp(*unit)),
            DataType::Date32 => Some(Self::Date),
            DataType::Int16 | DataType::Int32 | DataType::Int64 => Some(Self::Integer),
            _ => None,
        }
    }

    /// Whether the extreme values mean infinity.
    pub fn infinities(self) -> bool {
        self != Self::Integer
    }

    /// Nanoseconds of one tick; `None` for integers.
    fn tick_nanos(self) -> Option<i128> {
        match self {
            Self::Timestamp(TimeUnit::Second) => Some(1_000_000_000),
            Self::Timestamp(TimeUnit::Millisecond) => Some(1_000_000),
            Self::Timestamp(TimeUnit::Microsecond) => Some(1_000),
            Self::Timestamp(TimeUnit::Nanosecond) => Some(1),
            Self::Date => Some(NANOS_PER_DAY),
            Self::Integer => None,
        }
    }

    /// Ticks in one unit of an integer window: a second for timestamps, a day for dates, one for integers.
    fn window_unit(self) -> i64 {
        match self {
            Self::Timestamp(TimeUnit::Second) | Self::Date | Self::Integer => 1,
            Self::Timestamp(TimeUnit::Millisecond) => 1_000,
            Self::Timestamp(TimeUnit::Microsecond) => 1_000_000,
            Self::Timestamp(TimeUnit::Nanosecond) => 1_000_000_000,
        }
    }

    /// Ticks in a second as a double, to report durations; integers count as seconds.
    pub fn ticks_per_second(self) -> f64 {
        match self {
            Self::Integer => 1.0,
            Self::Date => 1.0 / 86_400.0,
            Self::Timestamp(_) => self.window_unit() as f64,
        }
    }

    /// A constant window or gap called `name`, in ticks. NULL, negative lengths and months are refused.
    pub fn window(self, value: Option<&ScalarValue>, name: &str) -> Result<i64, SqlError> {
        let Some(value) = value.filter(|value| !value.is_null()) else {
            return Err(SqlError::invalid_parameter(format!("{name} must not be null")));
        };
        let ticks = match interval_nanos(value, name)? {
            Some(nanos) => self.ticks_of_nanos(nanos, name)?,
            None => i128::from(integer(value, name)?) * i128::from(self.window_unit()),
        };
        if ticks < 0 {
            return Err(SqlError::invalid_parameter(format!("{name} must not be negative")));
        }
        Ok(i64::try_from(ticks).unwrap_or(i64::MAX))
    }

    fn ticks_of_nanos(self, nanos: i128, name: &str) -> Result<i128, SqlError> {
        match self.tick_nanos() {
            // Rounding down is exact: times are whole ticks apart.
            Some(tick) => Ok(nanos.div_euclid(tick)),
            None => Err(SqlError::new(DATATYPE_MISMATCH, format!("{name} must be an integer because ts is one"))),
        }
    }
}

/// Length of an interval; `None` if the value is no interval. Months: 22023.
fn interval_nanos(value: &ScalarValue, name: &str) -> Result<Option<i128>, SqlError> {
    let (months, nanos) = match value {
        ScalarValue::IntervalMonthDayNano(Some(interval)) => {
            (interval.months, i128::from(interval.days) * NANOS_PER_DAY + i128::from(interval.nanoseconds))
        }
        ScalarValue::IntervalDayTime(Some(interval)) => {
            (0, i128::from(interval.days) * NANOS_PER_DAY + i128::from(interval.milliseconds) * 1_000_000)
        }
        ScalarValue::IntervalYearMonth(Some(months)) => (*months, 0),
        ScalarValue::DurationSecond(Some(ticks)) => (0, i128::from(*ticks) * 1_000_000_000),
        ScalarValue::DurationMillisecond(Some(ticks)) => (0, i128::from(*ticks) * 1_000_000),
        ScalarValue::DurationMicrosecond(Some(ticks)) => (0, i128::from(*ticks) * 1_000),
        ScalarValue::DurationNanosecond(Some(ticks)) => (0, i128::from(*ticks)),
        _ => return Ok(None),
    };
    if months != 0 {
        let message = format!("{name} must have a fixed length");
        return Err(SqlError::invalid_parameter(message).with_hint("Write INTERVAL '30 days'."));
    }
    Ok(Some(nanos))
}

fn integer(value: &ScalarValue, name: &str) -> Result<i64, SqlError> {
    let wrong = || SqlError::new(DATATYPE_MISMATCH, format!("{name} must be an interval or an integer"));
    if !value.data_type().is_integer() {
        return Err(wrong());
    }
    match value.cast_to(&DataType::Int64) {
        Ok(ScalarValue::Int64(Some(number))) => Ok(number),
        _ => Err(SqlError::new(crate::error::NUMERIC_VALUE_OUT_OF_RANGE, format!("{name} is out of range"))),
    }
}

/// The type a window argument is coerced to; `None` if it can be none.
pub fn window_type(data_type: &DataType) -> Option<DataType> {
    match data_type {
        DataType::Interval(_) | DataType::Duration(_) => Some(data_type.clone()),
        // An untyped literal: '7 days' reads as an interval.
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
            Some(DataType::Interval(IntervalUnit::MonthDayNano))
        }
        DataType::Null => Some(DataType::Int64),
        integer if integer.is_integer() => Some(integer.clone()),
        _ => None,
    }
}

/// The times of a column as ticks.
pub fn ticks(times: &ArrayRef) -> Result<Int64Array> {
    match times.data_type() {
        DataType::Date32 => Ok(times.as_primitive::<Date32Type>().unary(|day| match day {
            i32::MIN => i64::MIN,
            i32::MAX => i64::MAX,
            day => i64::from(day),
        })),
        other if TimeType::of(other).is_some() => {
            Ok(cast(times, &DataType::Int64)?.as_primitive::<Int64Type>().clone())
        }
        other => internal_err!("a time column was expected, not {other}"),
    }
}

/// The inverse of [`ticks`].
pub fn times_of(ticks: Int64Array, data_type: &DataType) -> Result<ArrayRef> {
    match data_type {
        DataType::Date32 => Ok(Arc::new(ticks.unary::<_, Date32Type>(|day| match day {
            i64::MIN => i32::MIN,
            i64::MAX => i32::MAX,
            day => day as i32,
        }))),
        other => Ok(cast(&ticks, other)?),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::IntervalMonthDayNano;

    const MICROS: TimeType = TimeType::Timestamp(TimeUnit::Microsecond);

    fn interval(months: i32, days: i32, nanoseconds: i64) -> ScalarValue {
        ScalarValue::IntervalMonthDayNano(Some(IntervalMonthDayNano { months, days, nanoseconds }))
    }

    #[test]
    fn windows_in_ticks() {
        let seven = ScalarValue::Int64(Some(7));
        for (time, value, expected) in [
            (MICROS, seven.clone(), 7_000_000),
            (TimeType::Date, seven.clone(), 7),
            (TimeType::Integer, seven.clone(), 7),
            (TimeType::Timestamp(TimeUnit::Second), seven, 7),
            (MICROS, interval(0, 7, 1_500), 7 * 86_400_000_000 + 1),
            (TimeType::Date, interval(0, 1, 3_600_000_000_000), 1),
            (MICROS, interval(0, 0, 0), 0),
            (MICROS, interval(0, -1, 86_400_000_000_000), 0),
            (MICROS, ScalarValue::Int64(Some(i64::MAX)), i64::MAX),
        ] {
            assert_eq!(time.window(Some(&value), "window"), Ok(expected), "{time:?} {value}");
        }
    }

    #[test]
    fn refused_windows() {
        for (time, value, sqlstate, message) in [
            (MICROS, ScalarValue::Int32(Some(-1)), "22023", "window must not be negative"),
            (MICROS, interval(0, 0, -1), "22023", "window must not be negative"),
            (MICROS, interval(1, 0, 0), "22023", "window must have a fixed length"),
            (MICROS, ScalarValue::Int32(None), "22023", "window must not be null"),
            (TimeType::Integer, interval(0, 1, 0), "42804", "window must be an integer because ts is one"),
            (MICROS, ScalarValue::Float64(Some(1.0)), "42804", "window must be an interval or an integer"),
        ] {
            let error = time.window(Some(&value), "window").unwrap_err();
            assert_eq!((error.sqlstate, error.message.as_str()), (sqlstate, message), "{value}");
        }
        let error = MICROS.window(Some(&interval(1, 0, 0)), "gap").unwrap_err();
        assert_eq!(error.hint.as_deref(), Some("Write INTERVAL '30 days'."));
    }

    #[test]
    fn dates_keep_their_infinities() {
        let dates: ArrayRef =
            Arc::new(arrow::array::Date32Array::from(vec![Some(i32::MIN), Some(3), None, Some(i32::MAX)]));
        let read = ticks(&dates).unwrap();
        assert_eq!(read, Int64Array::from(vec![Some(i64::MIN), Some(3), None, Some(i64::MAX)]));
        assert_eq!(&times_of(read, &DataType::Date32).unwrap(), &dates);
    }
}
