//! min, max, sum and avg of intervals: by length, as PostgreSQL compares them, and added field by field.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{
    DataType, Field, FieldRef, Int64Type, IntervalMonthDayNano, IntervalMonthDayNanoType, IntervalUnit,
};
use datafusion::common::{DataFusionError, Result, ScalarValue};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility};
use tributary_pg::interval;

/// The aggregate of intervals that PostgreSQL calls `name`.
pub(super) fn named(name: &str) -> Option<Arc<AggregateUDF>> {
    let what = match name {
        "min" => What::Min,
        "max" => What::Max,
        "sum" => What::Sum,
        "avg" => What::Avg,
        _ => return None,
    };
    Some(Arc::new(AggregateUDF::new_from_impl(Intervals { what, signature: Signature::any(1, Volatility::Immutable) })))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum What {
    Min,
    Max,
    Sum,
    Avg,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Intervals {
    what: What,
    signature: Signature,
}

const INTERVAL: DataType = DataType::Interval(IntervalUnit::MonthDayNano);

impl AggregateUDFImpl for Intervals {
    fn name(&self) -> &str {
        match self.what {
            What::Min => "min_interval",
            What::Max => "max_interval",
            What::Sum => "sum_interval",
            What::Avg => "avg_interval",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(INTERVAL)
    }

    fn accumulator(&self, _: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(State { what: self.what, value: None, count: 0 }))
    }

    fn create_sliding_accumulator(&self, _: AccumulatorArgs<'_>) -> Result<Box<dyn Accumulator>> {
        Ok(match self.what {
            What::Min => Box::new(Window { wanted: Ordering::Less, ..Window::default() }),
            What::Max => Box::new(Window { wanted: Ordering::Greater, ..Window::default() }),
            what => Box::new(State { what, value: None, count: 0 }),
        })
    }

    fn state_fields(&self, arguments: StateFieldsArgs<'_>) -> Result<Vec<FieldRef>> {
        Ok(vec![
            Arc::new(Field::new(format!("{}[value]", arguments.name), INTERVAL, true)),
            Arc::new(Field::new(format!("{}[count]", arguments.name), DataType::Int64, false)),
        ])
    }
}

#[derive(Debug)]
struct State {
    what: What,
    value: Option<IntervalMonthDayNano>,
    count: i64,
}

impl State {
    fn take(&mut self, one: IntervalMonthDayNano, count: i64) -> Result<()> {
        let value = match (self.what, self.value) {
            (_, None) => one,
            // Of equally long ones the last is taken, as PostgreSQL does.
            (What::Min, Some(best)) if interval::compare(one, best).is_le() => one,
            (What::Max, Some(best)) if interval::compare(one, best).is_ge() => one,
            (What::Min | What::Max, Some(best)) => best,
            (What::Sum | What::Avg, Some(sum)) => interval::add(sum, one).map_err(external)?,
        };
        self.value = Some(value);
        self.count += count;
        Ok(())
    }
}

fn external(error: tributary_pg::PgError) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

impl Accumulator for State {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        values[0].as_primitive::<IntervalMonthDayNanoType>().iter().flatten().try_for_each(|one| self.take(one, 1))
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let (values, counts) =
            (states[0].as_primitive::<IntervalMonthDayNanoType>(), states[1].as_primitive::<Int64Type>());
        (0..values.len())
            .filter(|row| values.is_valid(*row))
            .try_for_each(|row| self.take(values.value(row), counts.value(row)))
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![ScalarValue::IntervalMonthDayNano(self.value), ScalarValue::Int64(Some(self.count))])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let value = match (self.what, self.value) {
            (What::Avg, Some(sum)) => Some(interval::divide(sum, self.count as f64).map_err(external)?),
            (_, value) => value,
        };
        Ok(ScalarValue::IntervalMonthDayNano(value))
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for one in values[0].as_primitive::<IntervalMonthDayNanoType>().iter().flatten() {
            let rest = self.value.map(|sum| interval::subtract(sum, one)).transpose().map_err(external)?;
            self.count -= 1;
            self.value = rest.filter(|_| self.count > 0);
        }
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        matches!(self.what, What::Sum | What::Avg)
    }

    fn size(&self) -> usize {
        size_of_val(self)
    }
}

/// The shortest or longest of a window that moves on: those that no later one beats, in the order they came.
#[derive(Debug)]
struct Window {
    wanted: Ordering,
    /// Each with how many came before it. Invariant: the first is the answer.
    left: VecDeque<(u64, IntervalMonthDayNano)>,
    entered: u64,
    gone: u64,
}

impl Default for Window {
    fn default() -> Self {
        Self { wanted: Ordering::Less, left: VecDeque::new(), entered: 0, gone: 0 }
    }
}

impl Accumulator for Window {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        for one in values[0].as_primitive::<IntervalMonthDayNanoType>().iter().flatten() {
            // An equally long one that came before leaves earlier: the later one is shown, as PostgreSQL does.
            while self.left.back().is_some_and(|(_, last)| interval::compare(*last, one) != self.wanted) {
                self.left.pop_back();
            }
            self.left.push_back((self.entered, one));
            self.entered += 1;
        }
        Ok(())
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.gone += (values[0].len() - values[0].null_count()) as u64;
        while self.left.front().is_some_and(|(place, _)| *place < self.gone) {
            self.left.pop_front();
        }
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        Ok(ScalarValue::IntervalMonthDayNano(self.left.front().map(|(_, one)| *one)))
    }

    fn merge_batch(&mut self, _: &[ArrayRef]) -> Result<()> {
        datafusion::common::internal_err!("a window's aggregate is not merged")
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        datafusion::common::internal_err!("a window's aggregate has no state to merge")
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.left.capacity() * size_of::<(u64, IntervalMonthDayNano)>()
    }
}
