//! `sessionize(ts, gap) OVER (PARTITION BY unit ORDER BY ts)`: the number of the session each row belongs to.
//!
//! It reads its partition in the window's order and trusts nothing: a time below the one before it is an error, because the numbers would
//! then depend on the input's order.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion_common::{Result, ScalarValue, exec_err};
use datafusion_expr::function::{PartitionEvaluatorArgs, WindowUDFFieldArgs};
use datafusion_expr::{LimitEffect, PartitionEvaluator, Signature, Volatility, WindowUDFImpl};
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::expressions::Literal;

use super::time::{TimeType, ticks, window_type};
use crate::SqlError;
use crate::documentation::{Documentation, Example};
use crate::error::{DATATYPE_MISMATCH, UNDEFINED_FUNCTION, WINDOWING_ERROR};
use crate::family::{Function, LawArgument, LawCase};
use crate::type_name::sql_type_name;

/// The window function.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Sessionize {
    signature: Signature,
}

/// `sessionize`.
pub(super) fn function() -> Function {
    let documentation = Documentation {
        syntax: vec!["sessionize(ts, gap interval | integer) OVER (PARTITION BY unit ORDER BY ts [, tie]) -> bigint".into()],
        description: "The number of the session a row belongs to, from 1; a new session starts where more than the gap lies between a row \
            and the one before it."
            .into(),
        arguments: vec![
            ("ts", "timestamp, timestamptz, date, smallint, integer or bigint; the window must be ordered by it, ascending"),
            ("gap", "constant; an interval without months, or an integer: seconds for timestamps, days for dates, units for integers"),
        ],
        rules: "A distance equal to the gap stays in the session. A row with NULL ts has NULL and is skipped. The frame clause is ignored. \
            Without ORDER BY: 42P20."
            .into(),
        cost: "O(1) per row.",
        source: "Tributary",
        examples: vec![Example::new(
            "SELECT ts, sessionize(ts, 30) OVER (ORDER BY ts) FROM (VALUES (0), (30), (61), (62)) AS t(ts) ORDER BY ts",
            "0|1\n30|1\n61|2\n62|2",
        )],
    };
    let udf = Sessionize { signature: Signature::user_defined(Volatility::Immutable) };
    Function::window(udf, documentation, || {
        let ts: ArrayRef =
            Arc::new(Int64Array::from(vec![None, Some(0), Some(3), Some(7), None, Some(7), Some(20), Some(23)]));
        let gap = LawArgument::constant(ScalarValue::Int64(Some(3)));
        vec![LawCase::in_order("bigint", vec![LawArgument::column(ts), gap])]
    })
}

fn check(types: &[DataType]) -> Result<TimeType, SqlError> {
    let [ts, _] = types else {
        return Err(SqlError::new(UNDEFINED_FUNCTION, "sessionize needs a time and a gap"));
    };
    TimeType::of(ts).ok_or_else(|| {
        let message = format!("ts must be a timestamp, a date or an integer, not {}", sql_type_name(ts));
        SqlError::new(DATATYPE_MISMATCH, message)
    })
}

impl WindowUDFImpl for Sessionize {
    fn name(&self) -> &str {
        "sessionize"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let coerced = types.iter().enumerate().map(|(at, data_type)| match at {
            1 => window_type(data_type).unwrap_or_else(|| data_type.clone()),
            _ => data_type.clone(),
        });
        Ok(coerced.collect())
    }

    fn field(&self, args: WindowUDFFieldArgs) -> Result<FieldRef> {
        let types: Vec<DataType> = args.input_fields().iter().map(|field| field.data_type().clone()).collect();
        check(&types)?;
        Ok(Arc::new(Field::new(args.name(), DataType::Int64, true)))
    }

    fn partition_evaluator(&self, args: PartitionEvaluatorArgs) -> Result<Box<dyn PartitionEvaluator>> {
        let types: Vec<DataType> = args.input_fields().iter().map(|field| field.data_type().clone()).collect();
        let time = check(&types)?;
        let Some(gap) = args.input_exprs()[1].downcast_ref::<Literal>() else {
            return Err(SqlError::invalid_parameter("gap must be a constant").into());
        };
        Ok(Box::new(Sessions { gap: time.window(Some(gap.value()), "gap")?, infinities: time.infinities() }))
    }

    fn limit_effect(&self, _args: &[Arc<dyn PhysicalExpr>]) -> LimitEffect {
        LimitEffect::None
    }
}

#[derive(Debug)]
struct Sessions {
    gap: i64,
    infinities: bool,
}

impl PartitionEvaluator for Sessions {
    fn evaluate_all(&mut self, values: &[ArrayRef], row_count: usize) -> Result<ArrayRef> {
        let times = ticks(&values[0])?;
        if times.len() != row_count {
            return exec_err!("sessionize: {} times for {row_count} rows", times.len());
        }
        Ok(Arc::new(sessions(&times, self.gap, self.infinities)?))
    }
}

/// Session numbers of times in ascending order.
fn sessions(times: &Int64Array, gap: i64, infinities: bool) -> Result<Int64Array, SqlError> {
    let infinite = |ts: i64| infinities && (ts == i64::MIN || ts == i64::MAX);
    let mut session = 0;
    let mut previous: Option<i64> = None;
    let mut number = |ts: i64| {
        let near = match previous {
            None => false,
            Some(before) if ts < before => {
                return Err(SqlError::new(WINDOWING_ERROR, "sessionize needs ORDER BY")
                    .with_detail("Its rows are not in ascending order of ts."));
            }
            Some(before) if infinite(before) || infinite(ts) => ts == before,
            Some(before) => (ts as u64).wrapping_sub(before as u64) <= gap as u64,
        };
        session += i64::from(!near);
        previous = Some(ts);
        Ok(session)
    };
    times.iter().map(|ts| ts.map(&mut number).transpose()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gap_itself_stays_and_nulls_are_skipped() {
        let times =
            Int64Array::from(vec![Some(i64::MIN), Some(-4), Some(-1), None, Some(2), Some(6), Some(6), Some(i64::MAX)]);
        let found = sessions(&times, 3, false).unwrap();
        let expected = vec![Some(1), Some(2), Some(2), None, Some(2), Some(3), Some(3), Some(4)];
        assert_eq!(found, Int64Array::from(expected));
        assert_eq!(
            sessions(&Int64Array::from(vec![i64::MIN, -1, i64::MAX]), i64::MAX, false).unwrap(),
            Int64Array::from(vec![1, 1, 2])
        );
    }

    #[test]
    fn infinite_times_are_sessions_of_their_own() {
        let times = Int64Array::from(vec![i64::MIN, i64::MIN, i64::MIN + 1, i64::MAX]);
        assert_eq!(sessions(&times, i64::MAX, true).unwrap(), Int64Array::from(vec![1, 1, 2, 3]));
    }

    #[test]
    fn disorder_is_refused() {
        let error = sessions(&Int64Array::from(vec![2, 1]), 3, false).unwrap_err();
        assert_eq!((error.sqlstate, error.message.as_str()), ("42P20", "sessionize needs ORDER BY"));
    }
}
