//! `journeys` and `attribution` as SQL aggregates: one call for each unit, over its touches and conversions.

use std::mem::size_of;

use arrow::array::{ArrayRef, BooleanArray};
use arrow::datatypes::{DataType, FieldRef};
use datafusion_common::{Result, ScalarValue, exec_err};
use datafusion_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion_expr::utils::AggregateOrderSensitivity;
use datafusion_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator, ReversedUDAF, Signature, Volatility,
};

use super::channels::Channels;
use super::models::Model;
use super::options::{ATTRIBUTION, Argument, JOURNEYS, Options, Types, check, coerce};
use super::results::{Answer, answer, element_fields};
use super::touch_log::{TouchLog, state_fields};
use crate::behaviour::arguments::refuse_distinct;
use crate::documentation::{Documentation, Example};
use crate::family::Function;

/// One of the two aggregates.
#[derive(Debug, PartialEq, Eq, Hash)]
struct JourneyAggregate {
    answer: Answer,
    /// Models of [`Answer::Credits`], in the order of the result fields.
    models: Vec<Model>,
    signature: Signature,
}

impl Answer {
    fn function(self) -> &'static str {
        match self {
            Self::Journeys => "journeys",
            Self::Credits => "attribution",
        }
    }

    fn arguments(self) -> &'static [Argument] {
        match self {
            Self::Journeys => &JOURNEYS,
            Self::Credits => &ATTRIBUTION,
        }
    }
}

impl JourneyAggregate {
    fn new(answer: Answer, models: &[Model]) -> Self {
        let names: Vec<&str> = answer.arguments().iter().map(|argument| argument.name()).collect();
        let signature = Signature::user_defined(Volatility::Immutable).with_parameter_names(names);
        let signature = signature.expect("a user-defined signature takes distinct names");
        Self { answer, models: models.to_vec(), signature }
    }

    fn options(&self, args: &AccumulatorArgs) -> Result<Options> {
        refuse_distinct(self.name(), args)?;
        Options::new(self.answer.function(), self.answer.arguments(), args)
    }
}

impl AggregateUDFImpl for JourneyAggregate {
    fn name(&self) -> &str {
        self.answer.function()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        Ok(coerce(self.answer.arguments(), types))
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        check(self.name(), self.answer.arguments(), types)?;
        Ok(DataType::new_list(DataType::Struct(element_fields(self.answer, &self.models, &Types::new(types))), true))
    }

    fn default_value(&self, data_type: &DataType) -> Result<ScalarValue> {
        ScalarValue::new_default(data_type)
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        let types: Vec<DataType> = args.input_fields.iter().map(|field| field.data_type().clone()).collect();
        Ok(state_fields(args.name, &Types::new(&types)))
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let mut rows = Rows::new(self, self.options(&args)?);
        rows.log.grow(1)?;
        Ok(Box::new(OneUnit(rows)))
    }

    fn groups_accumulator_supported(&self, _args: AccumulatorArgs) -> bool {
        true
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(Units(Rows::new(self, self.options(&args)?))))
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }
}

/// The aggregate `attribution` with these models only: what the table function of that name is made of.
pub fn attribution_by(models: &[Model]) -> AggregateUDF {
    AggregateUDF::from(JourneyAggregate::new(Answer::Credits, models))
}

/// The rows of all groups and what to make of them.
#[derive(Debug)]
struct Rows {
    answer: Answer,
    models: Vec<Model>,
    options: Options,
    channels: Channels,
    log: TouchLog,
}

impl Rows {
    fn new(function: &JourneyAggregate, options: Options) -> Self {
        let (answer, models) = (function.answer, function.models.clone());
        Self { answer, models, options, channels: Channels::default(), log: TouchLog::default() }
    }

    fn append(
        &mut self,
        values: &[ArrayRef],
        filter: Option<&BooleanArray>,
        group_of: impl Fn(usize) -> usize,
    ) -> Result<()> {
        self.log.append(&self.options, &mut self.channels, values, filter, group_of)
    }

    fn answer(&self, log: &TouchLog) -> Result<ArrayRef> {
        answer(self.answer, &self.models, log, &self.channels, &self.options)
    }

    fn state(&self, log: &TouchLog) -> Result<Vec<ArrayRef>> {
        log.state(&self.options.types, &self.channels)
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.channels.size() + self.log.size()
    }
}

#[derive(Debug)]
struct Units(Rows);

impl GroupsAccumulator for Units {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.0.log.grow(total_num_groups)?;
        self.0.append(values, opt_filter, |row| group_indices[row])
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let log = self.0.log.take(emit_to)?;
        self.0.answer(&log)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let log = self.0.log.take(emit_to)?;
        self.0.state(&log)
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        let Rows { options, channels, log, .. } = &mut self.0;
        log.grow(total_num_groups)?;
        log.merge(options, channels, values, |state| group_indices[state])
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let Rows { answer, models, options, .. } = &self.0;
        let (channels, log) = (Channels::default(), TouchLog::default());
        let mut rows = Rows { answer: *answer, models: models.clone(), options: options.clone(), channels, log };
        rows.log.grow(values[0].len())?;
        rows.append(values, opt_filter, |row| row)?;
        rows.state(&rows.log)
    }

    fn size(&self) -> usize {
        self.0.size()
    }
}

#[derive(Debug)]
struct OneUnit(Rows);

impl Accumulator for OneUnit {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.0.append(values, None, |_| 0)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        ScalarValue::try_from_array(&self.0.answer(&self.0.log)?, 0)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let state = self.0.state(&self.0.log)?;
        state.iter().map(|column| ScalarValue::try_from_array(column, 0)).collect()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let Rows { options, channels, log, .. } = &mut self.0;
        if states.is_empty() {
            return exec_err!("{}: a state without columns", options.function);
        }
        log.merge(options, channels, states, |_| 0)
    }

    fn size(&self) -> usize {
        self.0.size()
    }
}

const COST: &str = "O(r log r + result) for r rows of a unit; about 40 bytes per row and its ids until the unit ends.";

fn rules() -> String {
    "A touch is eligible for a conversion if touch <= conversion <= touch + lookback, inclusive. Touches are ordered by (ts, touch_id \
     NULLS LAST, channel by bytes). A row with NULL ts is ignored. A NULL value stays NULL and counts 0; NaN and infinity are 22023. \
     Options left out or NULL take their defaults: lookback 30 days, half_life 7 days, position_weights [0.4, 0.2, 0.4], consume and \
     skip_direct false, repeats 'all'. Journeys are shaped in this order: eligibility, skip_direct, repeats, max_touches. An empty group \
     gives an empty list."
        .into()
}

fn arguments() -> Vec<(&'static str, &'static str)> {
    vec![
        ("ts", "date, timestamp or timestamptz"),
        ("channel", "text; a row with a channel is a touch"),
        ("converted", "a row where it is true is a conversion; it may be a touch as well"),
        ("value, conversion_id", "of the conversion"),
        ("touch_id", "of the touch: breaks ties of ts and is handed through"),
        ("lookback", "interval without months, may differ by touch"),
        ("direct", "marks touches that rank last, e.g. direct traffic"),
        ("weight", "of the touch, for the model weighted; not negative, NULL is 0"),
        ("consume", "constant; a touch serves only conversions of the first instant after it"),
        ("skip_direct", "constant; direct touches leave a journey that has others"),
        (
            "repeats",
            "constant; 'all', 'collapse' (of consecutive touches of one channel the last), 'first', 'last' (of each channel)",
        ),
        ("max_touches", "constant; the most recent n touches of a journey stay"),
        ("as_of", "constant; later rows are ignored"),
    ]
}

/// `journeys`.
pub(super) fn journeys() -> Function {
    let documentation = Documentation {
        syntax: vec![
            "journeys(ts, channel text, converted boolean, value => , conversion_id => , touch_id => , lookback => , direct => , weight => , \
             consume => , skip_direct => , repeats => , max_touches => , as_of => ) -> record[]"
                .into(),
        ],
        description: "The journeys of one unit: one for each conversion with the touches eligible for it, and non-converting ones of the \
            touches that are eligible for none. Fields: journey_no, converted, still_open, conversion_id, conversion_ts, value, path, \
            touch_ts, touch_ids, path_length."
            .into(),
        arguments: arguments(),
        rules: rules(),
        cost: COST,
        source: "Tributary",
        examples: vec![Example::new(
            "SELECT (j).converted, (j).path FROM (SELECT unnest(journeys(ts, channel, paid)) AS j FROM (VALUES (DATE '2024-05-01', 'ad', false), (DATE '2024-05-03', 'mail', true), (DATE '2024-05-04', 'ad', false)) AS t(ts, channel, paid)) AS x",
            "t|{ad,mail}\nf|{ad}",
        )],
    };
    Function::aggregate(JourneyAggregate::new(Answer::Journeys, &[]), documentation, super::samples::journeys)
}

/// `attribution`.
pub(super) fn attribution() -> Function {
    let mut arguments = arguments();
    arguments.insert(9, ("half_life", "constant interval, positive, for time_decay"));
    arguments.insert(
        10,
        ("position_weights", "constant list of three numbers: first, all between, last, for position_based"),
    );
    let documentation = Documentation {
        syntax: vec![
            "attribution(ts, channel text, converted boolean, value => , conversion_id => , touch_id => , lookback => , direct => , \
             weight => , half_life => , position_weights => , consume => , skip_direct => , repeats => , max_touches => , as_of => ) -> \
             record[]"
                .into(),
        ],
        description: "Every touch that leads to a conversion of one unit, with its credit by all thirteen heuristic models. Fields: \
            journey_no, conversion_id, conversion_ts, value, position, path_length, channel, touch_ts, touch_id, then one for each model: \
            first, last, first_non_direct, last_non_direct, linear, linear_distinct, time_decay, u_shaped, j_shaped, inverse_j, \
            position_based, weighted, participation. A conversion without a touch is one element with channel (unattributed), position 0 \
            and credit 1."
            .into(),
        arguments,
        rules: rules(),
        cost: COST,
        source: "models as in Adobe Analytics, Google Analytics, Zhao 2018; see the family's notes on where peers differ",
        examples: vec![Example::new(
            "SELECT (c).channel, (c).u_shaped FROM (SELECT unnest(attribution(ts, channel, paid)) AS c FROM (VALUES (DATE '2024-05-01', 'ad', false), (DATE '2024-05-02', 'blog', false), (DATE '2024-05-03', 'mail', true)) AS t(ts, channel, paid)) AS x",
            "ad|0.4\nblog|0.2\nmail|0.4",
        )],
    };
    Function::aggregate(
        JourneyAggregate::new(Answer::Credits, &Model::ALL),
        documentation,
        super::samples::attributions,
    )
}

#[cfg(test)]
#[path = "aggregates_tests.rs"]
mod tests;
