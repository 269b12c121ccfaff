//! `percentile_disc` and `mode`: one of the input values, chosen by its place in their order.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::compute::concat;
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{Result, ScalarValue, exec_err, internal_err};
use datafusion::execution::FunctionRegistry;
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{Accumulator, AggregateUDF, AggregateUDFImpl, Signature, Volatility};

/// Registers both.
pub(super) fn register(registry: &mut dyn FunctionRegistry) -> Result<()> {
    for kind in [Choice::Mode, Choice::PercentileDisc] {
        registry.register_udaf(Arc::new(AggregateUDF::new_from_impl(OrderedSet::new(kind))))?;
    }
    Ok(())
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Choice {
    Mode,
    PercentileDisc,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct OrderedSet {
    choice: Choice,
    signature: Signature,
}

impl OrderedSet {
    fn new(choice: Choice) -> Self {
        let arguments = if choice == Choice::Mode { 1 } else { 2 };
        Self { choice, signature: Signature::any(arguments, Volatility::Immutable) }
    }
}

impl AggregateUDFImpl for OrderedSet {
    fn name(&self) -> &str {
        match self.choice {
            Choice::Mode => "mode",
            Choice::PercentileDisc => "percentile_disc",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        match arguments.first() {
            Some(first) => Ok(first.clone()),
            None => internal_err!("an ordered-set aggregate has no argument"),
        }
    }

    fn supports_within_group_clause(&self) -> bool {
        true
    }

    fn accumulator(&self, arguments: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let descending = arguments.order_bys.first().is_some_and(|order| order.options.descending);
        let data_type = arguments.return_field.data_type().clone();
        Ok(Box::new(Collected { choice: self.choice, values: Vec::new(), share: None, descending, data_type }))
    }

    fn state_fields(&self, arguments: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let item = Field::new("item", arguments.input_fields[0].data_type().clone(), true);
        Ok(vec![
            Arc::new(Field::new(format!("{}[values]", arguments.name), DataType::List(Arc::new(item)), true)),
            Arc::new(Field::new(format!("{}[share]", arguments.name), DataType::Float64, true)),
        ])
    }
}

/// All values of a group; the choice is made at the end.
#[derive(Debug)]
struct Collected {
    choice: Choice,
    values: Vec<ArrayRef>,
    share: Option<f64>,
    descending: bool,
    data_type: DataType,
}

impl Accumulator for Collected {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let kept = arrow::compute::filter(&values[0], &arrow::compute::is_not_null(&values[0])?)?;
        if let (Some(shares), None) = (values.get(1), self.share)
            && !shares.is_empty()
        {
            let share = ScalarValue::try_from_array(shares, 0)?.cast_to(&DataType::Float64)?;
            if let ScalarValue::Float64(share) = share {
                self.share = share;
            }
        }
        if !kept.is_empty() {
            self.values.push(kept);
        }
        Ok(())
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let lists = arrow::array::AsArray::as_list::<i32>(&states[0]);
        for row in 0..lists.len() {
            let list = lists.value(row);
            if !list.is_empty() {
                self.values.push(list);
            }
            if self.share.is_none()
                && let ScalarValue::Float64(share) = ScalarValue::try_from_array(&states[1], row)?
            {
                self.share = share;
            }
        }
        Ok(())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let values = self.joined()?;
        let item = Arc::new(Field::new("item", self.data_type.clone(), true));
        let offsets = arrow::buffer::OffsetBuffer::from_lengths([values.len()]);
        let list = arrow::array::ListArray::try_new(item, offsets, values, None)?;
        Ok(vec![ScalarValue::List(Arc::new(list)), ScalarValue::Float64(self.share)])
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let values = self.joined()?;
        if values.is_empty() || (self.choice == Choice::PercentileDisc && self.share.is_none()) {
            return ScalarValue::try_from(&self.data_type);
        }
        let options = arrow::compute::SortOptions { descending: self.descending, nulls_first: false };
        let sorted = arrow::compute::sort(&values, Some(options))?;
        let index = match self.choice {
            Choice::Mode => most_frequent(&sorted)?,
            Choice::PercentileDisc => {
                let share = self.share.unwrap_or(0.0);
                if !(0.0..=1.0).contains(&share) {
                    return exec_err!("percentile value {share} is not between 0 and 1");
                }
                let place = (share * sorted.len() as f64).ceil() as usize;
                place.saturating_sub(1).min(sorted.len() - 1)
            }
        };
        ScalarValue::try_from_array(&sorted, index)
    }

    fn size(&self) -> usize {
        size_of_val(self) + self.values.iter().map(|array| array.get_array_memory_size()).sum::<usize>()
    }
}

impl Collected {
    fn joined(&self) -> Result<ArrayRef> {
        if self.values.is_empty() {
            return Ok(arrow::array::new_empty_array(&self.data_type));
        }
        let views: Vec<&dyn arrow::array::Array> = self.values.iter().map(|array| array.as_ref()).collect();
        Ok(concat(&views)?)
    }
}

/// Where the longest run of equal values begins; the first of equally long ones.
fn most_frequent(sorted: &ArrayRef) -> Result<usize> {
    let runs = arrow::compute::partition(std::slice::from_ref(sorted))?.ranges();
    let mut best = 0..0;
    for run in runs {
        if run.len() > best.len() {
            best = run;
        }
    }
    Ok(best.start)
}
