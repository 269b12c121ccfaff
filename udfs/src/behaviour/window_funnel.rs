//! `window_funnel` and `window_funnel_times`: the funnel algorithm as SQL aggregates.
//!
//! Both take `(window, [mode,] ts, step, ...)`. The window and the mode are constants, read once when the aggregation starts.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, Int32Builder, Int64Array, ListArray};
use arrow::buffer::{OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion_common::{Result, ScalarValue};
use datafusion_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion_expr::{Accumulator, AggregateUDFImpl, GroupsAccumulator, ReversedUDAF, Signature, Volatility};

use super::arguments::{Conditions, check, condition_type, refuse_distinct};
use super::funnel::{FunnelRule, FunnelScan, Row};
use super::funnel_mode::{FunnelMode, MODE_WORDS, ModeError};
use super::row_aggregate::{Digest, RowGroup, RowGroups, STATE_TYPE};
use super::rows::GroupedRows;
use super::time::{times_of, window_type};
use crate::SqlError;
use crate::arguments::{literal_of_aggregate, scalar_text, text_type};
use crate::documentation::{Documentation, Example};
use crate::family::Function;

/// One of the two functions.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct WindowFunnel {
    answer: Answer,
    signature: Signature,
    aliases: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Answer {
    Level,
    Times,
}

impl Answer {
    fn name(self) -> &'static str {
        match self {
            Self::Level => "window_funnel",
            Self::Times => "window_funnel_times",
        }
    }
}

impl WindowFunnel {
    fn new(answer: Answer, aliases: &[&str]) -> Self {
        let aliases = aliases.iter().map(|alias| (*alias).to_owned()).collect();
        Self { answer, signature: Signature::user_defined(Volatility::Immutable), aliases }
    }

    fn digest(&self, args: &AccumulatorArgs) -> Result<FunnelDigest> {
        refuse_distinct(self.name(), args)?;
        let types: Vec<DataType> = args.expr_fields.iter().map(|field| field.data_type().clone()).collect();
        let time_at = time_at(&types);
        let time = check(self.conditions(), time_at, &types)?;
        let window = literal_of_aggregate(args, 0, "window")?;
        let mode = if time_at == 2 { literal_of_aggregate(args, 1, "mode")? } else { None };
        let rule = FunnelRule {
            step_count: types.len() - time_at - 1,
            window: Some(time.window(window.as_ref(), "window")?),
            mode: read_mode(mode.as_ref().and_then(scalar_text).unwrap_or_default(), self.name())?,
            infinities: time.infinities(),
        };
        let scan = FunnelScan::new(rule, self.answer == Answer::Times);
        Ok(FunnelDigest { answer: self.answer, time_at, time_type: types[time_at].clone(), rule, scan })
    }

    fn conditions(&self) -> Conditions {
        Conditions { function: self.answer.name(), word: "step" }
    }
}

/// Position of the time: behind the window, and behind the mode if the second argument is text.
fn time_at(types: &[DataType]) -> usize {
    if types.get(1).is_some_and(text_type) { 2 } else { 1 }
}

/// Reads a mode for `function`, with the errors a client sees.
pub fn read_mode(text: &str, function: &str) -> Result<FunnelMode, SqlError> {
    FunnelMode::parse(text).map_err(|error| match error {
        ModeError::Unknown(word) => {
            let message = format!("unrecognized {function} mode \"{word}\"");
            SqlError::invalid_parameter(message).with_hint(format!("Modes are {}.", MODE_WORDS.join(", ")))
        }
        ModeError::ReentryAlone => SqlError::invalid_parameter("allow_reentry needs strict_order"),
    })
}

impl AggregateUDFImpl for WindowFunnel {
    fn name(&self) -> &str {
        self.answer.name()
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let time_at = time_at(types);
        let coerced = types.iter().enumerate().map(|(at, data_type)| match at {
            0 => window_type(data_type).unwrap_or_else(|| data_type.clone()),
            _ if at < time_at => DataType::Utf8,
            _ if at == time_at => data_type.clone(),
            _ => condition_type(data_type),
        });
        Ok(coerced.collect())
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        let time_at = time_at(types);
        check(self.conditions(), time_at, types)?;
        Ok(match self.answer {
            Answer::Level => DataType::Int32,
            Answer::Times => DataType::new_list(types[time_at].clone(), true),
        })
    }

    fn default_value(&self, data_type: &DataType) -> Result<ScalarValue> {
        match self.answer {
            Answer::Level => Ok(ScalarValue::Int32(Some(0))),
            Answer::Times => ScalarValue::new_default(data_type),
        }
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        Ok(vec![Arc::new(Field::new(format_state_name(args.name, "rows"), STATE_TYPE, true))])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(RowGroup::new(self.digest(&args)?)))
    }

    fn groups_accumulator_supported(&self, _args: AccumulatorArgs) -> bool {
        true
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(Box::new(RowGroups::new(self.digest(&args)?)))
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        ReversedUDAF::Identical
    }
}

/// Runs the scan over each group.
#[derive(Debug)]
struct FunnelDigest {
    answer: Answer,
    time_at: usize,
    time_type: DataType,
    rule: FunnelRule,
    scan: FunnelScan,
}

impl Digest for FunnelDigest {
    fn name(&self) -> &'static str {
        self.answer.name()
    }

    fn time_at(&self) -> usize {
        self.time_at
    }

    fn keeps_every_row(&self) -> bool {
        self.rule.mode.needs_every_row()
    }

    fn digest(&mut self, groups: &GroupedRows) -> Result<ArrayRef> {
        match self.answer {
            Answer::Level => {
                let mut levels = Int32Builder::with_capacity(groups.group_count());
                for rows in groups.iter() {
                    levels.append_value(self.scan.run(rows, &[]).level as i32);
                }
                Ok(Arc::new(levels.finish()))
            }
            Answer::Times => time_lists(groups, &self.time_type, |rows, times| {
                self.scan.run(rows, &[]);
                times.extend_from_slice(self.scan.times());
            }),
        }
    }
}

/// A list of times for each group, filled by `append`.
pub(super) fn time_lists(
    groups: &GroupedRows,
    time_type: &DataType,
    mut append: impl FnMut(&[Row], &mut Vec<i64>),
) -> Result<ArrayRef> {
    let mut times = Vec::new();
    let mut offsets = Vec::with_capacity(groups.group_count() + 1);
    offsets.push(0);
    for rows in groups.iter() {
        append(rows, &mut times);
        let offset = i32::try_from(times.len()).map_err(|_| {
            SqlError::new(crate::error::PROGRAM_LIMIT_EXCEEDED, "more than 2,147,483,647 times in one batch of results")
        })?;
        offsets.push(offset);
    }
    let values = times_of(Int64Array::from(times), time_type)?;
    let field = Arc::new(Field::new_list_field(values.data_type().clone(), true));
    Ok(Arc::new(ListArray::try_new(field, OffsetBuffer::new(ScalarBuffer::from(offsets)), values, None)?))
}

/// `window_funnel`.
pub(super) fn level() -> Function {
    let documentation = Documentation {
        syntax: vec![
            "window_funnel(window interval | integer, [mode text,] ts, step1 boolean, ..., stepN boolean) -> integer".into(),
        ],
        description: "How many steps of a funnel the group reached: the length of the longest chain of rows, one for each step in \
            order, whose times do not decrease and span at most the window."
            .into(),
        arguments: arguments(),
        rules: rules("0 if no row is true for step 1, also for an empty group."),
        cost: "O(rows x steps) time; 20 bytes per row that meets a step until the group ends.",
        source: "argument order of Hologres, Doris and DuckDB; exact where other engines follow their loop",
        examples: vec![
            Example::new(
                "SELECT window_funnel(10, ts, e = 'view', e = 'cart', e = 'pay') FROM (VALUES (1, 'view'), (4, 'cart'), (20, 'pay')) AS t(ts, e)",
                "2",
            ),
            Example::new(
                "SELECT window_funnel(INTERVAL '1 day', 'strict_order', ts, e = 'view', e = 'pay') FROM (VALUES (TIMESTAMP '2024-05-01 10:00', 'view'), (TIMESTAMP '2024-05-01 11:00', 'help'), (TIMESTAMP '2024-05-02 10:00', 'pay')) AS t(ts, e)",
                "1",
            ),
        ],
    };
    let udf = WindowFunnel::new(Answer::Level, &["windowfunnel"]);
    Function::aggregate(udf, documentation, super::samples::funnels)
}

/// `window_funnel_times`.
pub(super) fn times() -> Function {
    let documentation = Documentation {
        syntax: vec![
            "window_funnel_times(window interval | integer, [mode text,] ts T, step1 boolean, ..., stepN boolean) -> T[]".into(),
        ],
        description: "The times of the chain that window_funnel reports: of the longest chains the one that ends first, of those the \
            one that starts last, of those the one with the earliest times between."
            .into(),
        arguments: arguments(),
        rules: rules("The list has as many times as window_funnel has steps; it is empty at level 0 and for an empty group."),
        cost: "as window_funnel; O(rows x steps + extending rows x steps^2) at worst.",
        source: "Tributary",
        examples: vec![Example::new(
            "SELECT window_funnel_times(10, ts, e = 'view', e = 'cart') FROM (VALUES (1, 'view'), (3, 'view'), (4, 'cart'), (5, 'cart')) AS t(ts, e)",
            "{3,4}",
        )],
    };
    Function::aggregate(WindowFunnel::new(Answer::Times, &[]), documentation, super::samples::funnels)
}

fn arguments() -> Vec<(&'static str, &'static str)> {
    vec![
        (
            "window",
            "constant; an interval without months, or an integer: seconds for timestamps, days for dates, units for integers",
        ),
        (
            "mode",
            "constant; comma-separated words, any combination: strict_once (all rows of the chain differ), strict_increase (times \
             strictly increase), strict_deduplication (no row true for steps 1..i between rows i and i+1), strict_order (no row \
             between), strict_order,allow_reentry (no row between that is true for no step), fixed (strict_once, and no row true \
             for any step between); default, deduplication and increase are Doris' names",
        ),
        ("ts", "timestamp, timestamptz, date, smallint, integer or bigint"),
        ("step", "1 to 64 conditions"),
    ]
}

fn rules(result: &str) -> String {
    format!(
        "{result} The window is inclusive. Rows of equal time have no order and are not between each other. A NULL step is false; a row \
         with NULL ts is ignored. Infinite times are inside no finite window."
    )
}
