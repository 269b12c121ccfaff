//! The aggregates that turn units into the rows of `funnel` and `funnel_time`.
//!
//! Neither is registered under a name; the engine builds them with the constants of a call. Both return a list of records in report order.

use std::mem::size_of;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int32Array, Int64Array, ListArray, StringArray, StructArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Float64Type, Int32Type, Int64Type};
use datafusion_common::{Result, ScalarValue, exec_err};
use datafusion_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility};

use super::time::{TimeType, ticks};
use crate::SqlError;
use crate::statistics::ExactSum;

/// Counts units by step: `(level, open)` in, one record for each step out. `labels` are those of the steps.
pub fn funnel_counts(labels: Vec<String>) -> AggregateUDF {
    AggregateUDF::from(FunnelReport {
        kind: Kind::Counts { labels },
        signature: Signature::user_defined(Volatility::Immutable),
    })
}

/// Durations between steps: `times` in, one record for each pair of neighbouring steps and for the whole out.
pub fn funnel_durations(step_count: usize) -> AggregateUDF {
    AggregateUDF::from(FunnelReport {
        kind: Kind::Durations { step_count },
        signature: Signature::user_defined(Volatility::Immutable),
    })
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Kind {
    Counts { labels: Vec<String> },
    Durations { step_count: usize },
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct FunnelReport {
    kind: Kind,
    signature: Signature,
}

impl Kind {
    fn fields(&self) -> Fields {
        let field = |name: &str, data_type| Field::new(name, data_type, true);
        let doubles = |names: &[&str]| names.iter().map(|name| field(name, DataType::Float64)).collect::<Vec<_>>();
        match self {
            Self::Counts { .. } => {
                let mut fields = vec![field("step", DataType::Int32), field("label", DataType::Utf8)];
                fields.extend(["people", "open", "lost"].map(|name| field(name, DataType::Int64)));
                fields.extend(doubles(&["from_previous", "from_first"]));
                fields.into()
            }
            Self::Durations { .. } => {
                let mut fields = ["from_step", "to_step"].map(|name| field(name, DataType::Int32)).to_vec();
                fields.push(field("people", DataType::Int64));
                fields.extend(doubles(&["mean_s", "min_s", "p10_s", "p50_s", "p90_s", "max_s"]));
                fields.into()
            }
        }
    }

    fn state_type(&self) -> DataType {
        match self {
            Self::Counts { .. } => DataType::new_list(DataType::Int64, true),
            Self::Durations { .. } => DataType::new_list(DataType::new_list(DataType::Float64, true), true),
        }
    }
}

impl AggregateUDFImpl for FunnelReport {
    fn name(&self) -> &str {
        match self.kind {
            Kind::Counts { .. } => "funnel_counts",
            Kind::Durations { .. } => "funnel_durations",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(types.to_vec())
    }

    fn return_type(&self, _types: &[DataType]) -> Result<DataType> {
        Ok(DataType::new_list(DataType::Struct(self.kind.fields()), true))
    }

    fn is_nullable(&self) -> bool {
        false
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        Ok(vec![Arc::new(Field::new(format_state_name(args.name, "units"), self.kind.state_type(), true))])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(match &self.kind {
            Kind::Counts { labels } => {
                let stopped = vec![0; 2 * (labels.len() + 1)];
                Box::new(Counts { labels: labels.clone(), stopped, fields: self.kind.fields() })
            }
            Kind::Durations { step_count } => Box::new(Durations {
                pairs: step_pairs(*step_count),
                seconds: vec![Vec::new(); step_pairs(*step_count).len()],
                time: time_of_list(args.expr_fields[0].data_type())?,
                fields: self.kind.fields(),
            }),
        })
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }
}

fn time_of_list(data_type: &DataType) -> Result<TimeType> {
    match data_type {
        DataType::List(item) if TimeType::of(item.data_type()).is_some() => {
            Ok(TimeType::of(item.data_type()).expect("checked by the guard"))
        }
        other => exec_err!("a list of times was expected, not {other}"),
    }
}

/// Neighbouring steps, then the whole if it is more than one pair.
fn step_pairs(step_count: usize) -> Vec<(usize, usize)> {
    let mut pairs: Vec<(usize, usize)> = (1..step_count).map(|step| (step, step + 1)).collect();
    if step_count > 2 {
        pairs.push((1, step_count));
    }
    pairs
}

fn list_scalar(fields: &Fields, columns: Vec<ArrayRef>) -> Result<ScalarValue> {
    let rows = StructArray::try_new(fields.clone(), columns, None)?;
    let field = Arc::new(Field::new_list_field(DataType::Struct(fields.clone()), true));
    let offsets = OffsetBuffer::from_lengths([rows.len()]);
    Ok(ScalarValue::List(Arc::new(ListArray::try_new(field, offsets, Arc::new(rows), None)?)))
}

/// Units by level and whether they are open.
#[derive(Debug)]
struct Counts {
    labels: Vec<String>,
    /// For each level the closed, then the open ones.
    stopped: Vec<i64>,
    fields: Fields,
}

impl Accumulator for Counts {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let levels = values[0].as_primitive::<Int32Type>();
        let open: &BooleanArray = values[1].as_boolean();
        for row in 0..levels.len() {
            let at = 2 * levels.value(row) as usize + usize::from(open.is_valid(row) && open.value(row));
            match self.stopped.get_mut(at) {
                Some(count) => *count += 1,
                None => return exec_err!("funnel_counts: level {} of {}", levels.value(row), self.labels.len()),
            }
        }
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let steps = self.labels.len();
        let people: Vec<i64> = (0..=steps).map(|step| self.stopped[2 * step..].iter().sum()).collect();
        let open: Vec<i64> = (0..=steps).map(|step| self.stopped[2 * step + 1]).collect();
        let lost: Vec<i64> =
            (0..=steps).map(|step| people.get(step + 1).map_or(0, |next| people[step] - next - open[step])).collect();
        let share =
            |step: usize, of: usize| (step > 0 && people[of] != 0).then(|| people[step] as f64 / people[of] as f64);
        let labels = std::iter::once("(all)").chain(self.labels.iter().map(String::as_str));
        list_scalar(
            &self.fields,
            vec![
                Arc::new(Int32Array::from_iter_values(0..=steps as i32)),
                Arc::new(StringArray::from_iter_values(labels)),
                Arc::new(Int64Array::from(people.clone())),
                Arc::new(Int64Array::from(open)),
                Arc::new(Int64Array::from(lost)),
                Arc::new((0..=steps).map(|step| share(step, step.saturating_sub(1))).collect::<Float64Array>()),
                Arc::new((0..=steps).map(|step| share(step, 1)).collect::<Float64Array>()),
            ],
        )
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let counts: Vec<ScalarValue> = self.stopped.iter().map(|&count| count.into()).collect();
        Ok(vec![ScalarValue::List(ScalarValue::new_list_nullable(&counts, &DataType::Int64))])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let states = states[0].as_list::<i32>();
        for state in (0..states.len()).filter(|&row| states.is_valid(row)) {
            let counts = states.value(state);
            let counts = counts.as_primitive::<Int64Type>();
            if counts.len() != self.stopped.len() {
                return Err(SqlError::corrupt_state("funnel_counts", "It has another number of steps.").into());
            }
            for (sum, count) in self.stopped.iter_mut().zip(counts.values()) {
                *sum += count;
            }
        }
        Ok(())
    }

    fn size(&self) -> usize {
        let labels: usize = self.labels.iter().map(|label| label.capacity() + size_of::<String>()).sum();
        size_of::<Self>() + labels + self.stopped.capacity() * size_of::<i64>()
    }
}

/// Seconds between steps.
#[derive(Debug)]
struct Durations {
    pairs: Vec<(usize, usize)>,
    seconds: Vec<Vec<f64>>,
    time: TimeType,
    fields: Fields,
}

impl Accumulator for Durations {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let lists = values[0].as_list::<i32>();
        let times = ticks(lists.values())?;
        let per_second = self.time.ticks_per_second();
        for row in (0..lists.len()).filter(|&row| lists.is_valid(row)) {
            let start = lists.value_offsets()[row] as usize;
            let times = &times.values()[start..start + lists.value_length(row) as usize];
            for (&(from, to), seconds) in self.pairs.iter().zip(&mut self.seconds) {
                if to <= times.len() {
                    seconds.push((i128::from(times[to - 1]) - i128::from(times[from - 1])) as f64 / per_second);
                }
            }
        }
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let mut columns: Vec<Vec<Option<f64>>> = vec![Vec::new(); 6];
        for seconds in &mut self.seconds {
            seconds.sort_unstable_by(f64::total_cmp);
            let mut sum = ExactSum::new();
            for second in seconds.iter() {
                sum.add(*second)?;
            }
            let mean = if seconds.is_empty() { None } else { Some(sum.value()? / seconds.len() as f64) };
            let row = [
                mean,
                seconds.first().copied(),
                percentile(seconds, 0.1),
                percentile(seconds, 0.5),
                percentile(seconds, 0.9),
                seconds.last().copied(),
            ];
            for (column, value) in columns.iter_mut().zip(row) {
                column.push(value);
            }
        }
        let step = |side: fn(&(usize, usize)) -> usize| -> ArrayRef {
            Arc::new(Int32Array::from_iter_values(self.pairs.iter().map(|pair| side(pair) as i32)))
        };
        let people = self.seconds.iter().map(|seconds| seconds.len() as i64);
        let mut arrays: Vec<ArrayRef> =
            vec![step(|pair| pair.0), step(|pair| pair.1), Arc::new(Int64Array::from_iter_values(people))];
        arrays.extend(columns.into_iter().map(|column| Arc::new(Float64Array::from(column)) as ArrayRef));
        list_scalar(&self.fields, arrays)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let values: Float64Array = self.seconds.iter().flatten().copied().map(Some).collect();
        let item = Arc::new(Field::new_list_field(DataType::Float64, true));
        let offsets = OffsetBuffer::from_lengths(self.seconds.iter().map(Vec::len));
        let inner = ListArray::try_new(Arc::clone(&item), offsets, Arc::new(values), None)?;
        let field = Arc::new(Field::new_list_field(DataType::List(item), true));
        let offsets = OffsetBuffer::from_lengths([inner.len()]);
        Ok(vec![ScalarValue::List(Arc::new(ListArray::try_new(field, offsets, Arc::new(inner), None)?))])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let states = states[0].as_list::<i32>();
        for state in (0..states.len()).filter(|&row| states.is_valid(row)) {
            let pairs = states.value(state);
            let pairs = pairs.as_list::<i32>();
            if pairs.len() != self.seconds.len() {
                return Err(SqlError::corrupt_state("funnel_durations", "It has another number of steps.").into());
            }
            for (pair, seconds) in self.seconds.iter_mut().enumerate() {
                seconds.extend_from_slice(pairs.value(pair).as_primitive::<Float64Type>().values());
            }
        }
        Ok(())
    }

    fn size(&self) -> usize {
        let seconds: usize =
            self.seconds.iter().map(|seconds| seconds.capacity() * size_of::<f64>() + size_of::<Vec<f64>>()).sum();
        size_of::<Self>() + seconds + self.pairs.capacity() * size_of::<(usize, usize)>()
    }
}

/// As `percentile_cont`: linear between the two nearest of the sorted values.
fn percentile(sorted: &[f64], share: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    let rank = share * last as f64;
    let (low, high) = (sorted[rank.floor() as usize], sorted[rank.ceil() as usize]);
    Some(low + (high - low) * (rank - rank.floor()))
}
