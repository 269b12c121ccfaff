//! Buckets: the value of a table's `partition_by` for a row.
//!
//! For: flush, staging and compaction, which never mix rows of two buckets in a part or a run; so a query over some
//! days skips the parts of all others whatever the order of rows in them, and an old bucket can go as files.
//! Promises: a bucket is a number that ascends with time (days, ISO weeks, months or years since 1970, in UTC); NULL has
//! its own. Does not: change when a table's option does; parts keep the bucket they were written with.

use arrow::array::{Array, ArrayRef, AsArray, Int64Array};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type, TimeUnit};

use crate::ColumnId;
use crate::error::{Result, StoreError};

/// The bucket of rows whose column is NULL.
pub(crate) const NULL_BUCKET: i64 = i64::MIN;
const DAY_US: i64 = 86_400_000_000;

/// Length of a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BucketUnit {
    /// A day, UTC.
    Day,
    /// An ISO week: Monday to Sunday.
    Week,
    /// A month of the Gregorian calendar.
    Month,
    /// A year of the Gregorian calendar.
    Year,
}

/// How a table's rows are divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Partition {
    /// A date or timestamp column.
    pub column: ColumnId,
    /// Length of a bucket.
    pub unit: BucketUnit,
}

impl BucketUnit {
    pub(crate) fn to_u8(self) -> u8 {
        match self {
            Self::Day => 1,
            Self::Week => 2,
            Self::Month => 3,
            Self::Year => 4,
        }
    }

    pub(crate) fn from_u8(byte: u8) -> Result<Self> {
        match byte {
            1 => Ok(Self::Day),
            2 => Ok(Self::Week),
            3 => Ok(Self::Month),
            4 => Ok(Self::Year),
            other => Err(StoreError::damaged(format!("table layout has unknown bucket unit {other}"))),
        }
    }

    /// The bucket of a day since 1970-01-01.
    fn of_day(self, day: i64) -> i64 {
        match self {
            Self::Day => day,
            // 1970-01-01 was a Thursday.
            Self::Week => (day + 3).div_euclid(7),
            Self::Month => {
                let (year, month) = year_and_month(day);
                (year - 1970) * 12 + month - 1
            }
            Self::Year => year_and_month(day).0 - 1970,
        }
    }
}

/// Year and month (1 to 12) of a day since 1970-01-01. Reference: Hinnant, "chrono-compatible low-level date
/// algorithms", civil_from_days.
fn year_and_month(day: i64) -> (i64, i64) {
    let shifted = day + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month)
}

/// Whether a column of this type can divide a table.
pub(crate) fn divides(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Date32 | DataType::Timestamp(TimeUnit::Microsecond, _))
}

/// The bucket of every value.
pub(crate) fn buckets(unit: BucketUnit, column: &ArrayRef) -> Result<Int64Array> {
    let per_day = match column.data_type() {
        DataType::Date32 => 1,
        DataType::Timestamp(TimeUnit::Microsecond, _) => DAY_US,
        _ => return Err(StoreError::internal("partition_by names a column that is no date or timestamp")),
    };
    let numbers = match column.data_type() {
        DataType::Date32 => cast(&cast(column, &DataType::Int32)?, &DataType::Int64)?,
        _ => cast(column, &DataType::Int64)?,
    };
    let numbers = numbers.as_primitive::<Int64Type>();
    // Neighbours mostly share their day: the calendar is asked once for a stretch.
    let mut last: Option<(i64, i64)> = None;
    let bucket = |value: Option<i64>| match value {
        None => NULL_BUCKET,
        Some(value) => {
            let day = value.div_euclid(per_day);
            match last {
                Some((known, bucket)) if known == day => bucket,
                _ => {
                    let bucket = unit.of_day(day);
                    last = Some((day, bucket));
                    bucket
                }
            }
        }
    };
    debug_assert_eq!(numbers.len(), column.len());
    Ok(numbers.iter().map(bucket).collect::<Vec<i64>>().into())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::array::{Date32Array, TimestampMicrosecondArray};

    use super::*;

    /// The calendar day by day from 1970 on, and back: the slow twin.
    fn walk(days: i64) -> (i64, i64) {
        let leap = |y: i64| (y % 4 == 0 && y % 100 != 0) || y % 400 == 0;
        let month_days = |y: i64, m: i64| match m {
            2 => 28 + i64::from(leap(y)),
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        let (mut year, mut month, mut left) = (1970, 1, days);
        while left >= month_days(year, month) {
            left -= month_days(year, month);
            (year, month) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
        }
        while left < 0 {
            (year, month) = if month == 1 { (year - 1, 12) } else { (year, month - 1) };
            left += month_days(year, month);
        }
        (year, month)
    }

    #[test]
    fn days_weeks_months_and_years_follow_the_calendar() {
        for day in (-200_000..200_000).step_by(13).chain(-800..800) {
            let (year, month) = walk(day);
            assert_eq!(BucketUnit::Year.of_day(day), year - 1970, "day {day}");
            assert_eq!(BucketUnit::Month.of_day(day), (year - 1970) * 12 + month - 1, "day {day}");
        }
        // 1969-12-29 and 1970-01-05 were Mondays.
        let weeks: Vec<i64> = [-4, -3, 0, 3, 4, 10, 11].iter().map(|day| BucketUnit::Week.of_day(*day)).collect();
        assert_eq!(weeks, [-1, 0, 0, 0, 1, 1, 2]);
    }

    #[test]
    fn every_value_of_every_type_has_a_bucket() {
        let dates: ArrayRef =
            Arc::new(Date32Array::from(vec![Some(0), None, Some(31), Some(i32::MIN), Some(i32::MAX)]));
        let found = buckets(BucketUnit::Month, &dates).unwrap();
        assert_eq!((found.value(0), found.value(1), found.value(2)), (0, NULL_BUCKET, 1));
        let stamps = vec![Some(-1), Some(DAY_US), None, Some(i64::MAX), Some(i64::MIN)];
        let stamps: ArrayRef = Arc::new(TimestampMicrosecondArray::from(stamps));
        let found = buckets(BucketUnit::Day, &stamps).unwrap();
        assert_eq!((found.value(0), found.value(1), found.value(2)), (-1, 1, NULL_BUCKET));
        for unit in [BucketUnit::Day, BucketUnit::Week, BucketUnit::Month, BucketUnit::Year] {
            assert!(buckets(unit, &stamps).unwrap().value(3) > 0, "{unit:?}");
            assert_eq!(BucketUnit::from_u8(unit.to_u8()).unwrap(), unit);
        }
    }
}
