//! The argument list `[parameters..., ts, condition...]` shared by the order-dependent aggregates: its coercion and its checks.
//!
//! Coercion never fails: what it cannot make sense of it leaves alone, and [`check`] refuses it with a SQLSTATE. (An error raised during
//! coercion would reach the client as a generic planning error.)

use arrow::datatypes::DataType;
use datafusion_expr::function::AccumulatorArgs;

use super::funnel::STEPS_MAX;
use super::time::TimeType;
use crate::SqlError;
use crate::error::{DATATYPE_MISMATCH, FEATURE_NOT_SUPPORTED, TOO_MANY_ARGUMENTS, UNDEFINED_FUNCTION};
use crate::type_name::sql_type_name;

/// How a function names its conditions.
#[derive(Debug, Clone, Copy)]
pub struct Conditions {
    /// `window_funnel`.
    pub function: &'static str,
    /// `step` or `condition`.
    pub word: &'static str,
}

/// A boolean condition, where NULL alone is one too.
pub fn condition_type(data_type: &DataType) -> DataType {
    if data_type.is_null() { DataType::Boolean } else { data_type.clone() }
}

/// Checks the time at `time_at` and the conditions behind it.
pub fn check(conditions: Conditions, time_at: usize, types: &[DataType]) -> Result<TimeType, SqlError> {
    let Conditions { function, word } = conditions;
    let (Some(time), [_, ..]) = (types.get(time_at), types.get(time_at + 1..).unwrap_or_default()) else {
        let message = format!("{function} needs a time and at least one {word}");
        return Err(SqlError::new(UNDEFINED_FUNCTION, message));
    };
    check_conditions(conditions, &types[time_at + 1..])?;
    TimeType::of(time).ok_or_else(|| {
        let message = format!("ts must be a timestamp, a date or an integer, not {}", sql_type_name(time));
        SqlError::new(DATATYPE_MISMATCH, message)
    })
}

/// Checks that there are 1 to 64 conditions and that all are boolean.
pub fn check_conditions(conditions: Conditions, types: &[DataType]) -> Result<(), SqlError> {
    let Conditions { function, word } = conditions;
    if types.is_empty() {
        return Err(SqlError::new(UNDEFINED_FUNCTION, format!("{function} needs at least one {word}")));
    }
    if types.len() > STEPS_MAX {
        return Err(SqlError::new(TOO_MANY_ARGUMENTS, format!("{function} takes at most {STEPS_MAX} {word}s")));
    }
    match types.iter().position(|data_type| *data_type != DataType::Boolean) {
        None => Ok(()),
        Some(at) => {
            let message = format!("{word} {} must be boolean, not {}", at + 1, sql_type_name(&types[at]));
            Err(SqlError::new(DATATYPE_MISMATCH, message))
        }
    }
}

/// Refuses DISTINCT: the functions here see rows, not sets.
pub fn refuse_distinct(function: &str, args: &AccumulatorArgs) -> Result<(), SqlError> {
    if args.is_distinct {
        return Err(SqlError::new(FEATURE_NOT_SUPPORTED, format!("{function} does not support DISTINCT")));
    }
    Ok(())
}
