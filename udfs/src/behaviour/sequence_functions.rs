//! `sequence_match`, `sequence_count` and `sequence_match_events`: patterns over a group's rows as SQL aggregates.
//!
//! All take `(pattern, ts, condition, ...)`. The pattern is a constant, read once when the aggregation starts.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Int64Array};
use arrow::datatypes::{DataType, Field, FieldRef, TimeUnit};
use datafusion_common::{Result, ScalarValue};
use datafusion_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion_expr::{Accumulator, AggregateUDFImpl, GroupsAccumulator, ReversedUDAF, Signature, Volatility};

use super::arguments::{Conditions, check, condition_type, refuse_distinct};
use super::row_aggregate::{Digest, RowGroup, RowGroups, STATE_TYPE};
use super::rows::GroupedRows;
use super::sequence::Matcher;
use super::sequence_pattern::{Pattern, Ticks};
use super::time::TimeType;
use super::window_funnel::time_lists;
use crate::SqlError;
use crate::arguments::{literal_of_aggregate, scalar_text, text_type};
use crate::documentation::{Documentation, Example};
use crate::error::DATATYPE_MISMATCH;
use crate::family::Function;
use crate::type_name::sql_type_name;

/// Position of the time among the arguments.
const TIME_AT: usize = 1;

/// One of the three functions.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Sequence {
    answer: Answer,
    signature: Signature,
    aliases: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Answer {
    Matches,
    Count,
    Events,
}

impl Answer {
    fn name(self) -> &'static str {
        match self {
            Self::Matches => "sequence_match",
            Self::Count => "sequence_count",
            Self::Events => "sequence_match_events",
        }
    }

    fn conditions(self) -> Conditions {
        Conditions { function: self.name(), word: "condition" }
    }
}

fn ticks_of(time: TimeType) -> Ticks {
    match time {
        TimeType::Date => Ticks { plain: 1, second: None, day: 1 },
        TimeType::Integer => Ticks { plain: 1, second: Some(1), day: 86_400 },
        TimeType::Timestamp(unit) => {
            let second = match unit {
                TimeUnit::Second => 1,
                TimeUnit::Millisecond => 1_000,
                TimeUnit::Microsecond => 1_000_000,
                TimeUnit::Nanosecond => 1_000_000_000,
            };
            Ticks { plain: second, second: Some(second), day: 86_400 * second }
        }
    }
}

impl Sequence {
    fn new(answer: Answer, alias: &str) -> Self {
        let signature = Signature::user_defined(Volatility::Immutable);
        Self { answer, signature, aliases: vec![alias.to_owned()] }
    }

    fn digest(&self, args: &AccumulatorArgs) -> Result<SequenceDigest> {
        refuse_distinct(self.name(), args)?;
        let types: Vec<DataType> = args.expr_fields.iter().map(|field| field.data_type().clone()).collect();
        let time = check(self.answer.conditions(), TIME_AT, &types)?;
        let pattern = literal_of_aggregate(args, 0, "pattern")?;
        let Some(pattern) = pattern.as_ref().and_then(scalar_text) else {
            return Err(SqlError::invalid_parameter("pattern must not be null").into());
        };
        let pattern = Pattern::parse(pattern, types.len() - TIME_AT - 1, ticks_of(time))?;
        Ok(SequenceDigest { answer: self.answer, time_type: types[TIME_AT].clone(), matcher: Matcher::new(pattern) })
    }
}

impl AggregateUDFImpl for Sequence {
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
        let coerced = types.iter().enumerate().map(|(at, data_type)| match at {
            0 if text_type(data_type) || data_type.is_null() => DataType::Utf8,
            0 | TIME_AT => data_type.clone(),
            _ => condition_type(data_type),
        });
        Ok(coerced.collect())
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        check(self.answer.conditions(), TIME_AT, types)?;
        if types[0] != DataType::Utf8 {
            let message = format!("pattern must be text, not {}", sql_type_name(&types[0]));
            return Err(SqlError::new(DATATYPE_MISMATCH, message).into());
        }
        Ok(match self.answer {
            Answer::Matches => DataType::Boolean,
            Answer::Count => DataType::Int64,
            Answer::Events => DataType::new_list(types[TIME_AT].clone(), true),
        })
    }

    fn default_value(&self, data_type: &DataType) -> Result<ScalarValue> {
        match self.answer {
            Answer::Matches => Ok(ScalarValue::from(false)),
            Answer::Count => Ok(ScalarValue::from(0_i64)),
            Answer::Events => ScalarValue::new_default(data_type),
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

#[derive(Debug)]
struct SequenceDigest {
    answer: Answer,
    time_type: DataType,
    matcher: Matcher,
}

impl Digest for SequenceDigest {
    fn name(&self) -> &'static str {
        self.answer.name()
    }

    fn time_at(&self) -> usize {
        TIME_AT
    }

    fn keeps_every_row(&self) -> bool {
        false
    }

    fn digest(&mut self, groups: &GroupedRows) -> Result<ArrayRef> {
        let matcher = &mut self.matcher;
        match self.answer {
            Answer::Matches => {
                Ok(Arc::new(groups.iter().map(|rows| Some(matcher.matches(rows))).collect::<BooleanArray>()))
            }
            Answer::Count => {
                Ok(Arc::new(groups.iter().map(|rows| Some(matcher.count(rows) as i64)).collect::<Int64Array>()))
            }
            Answer::Events => time_lists(groups, &self.time_type, |rows, times| matcher.events(rows, times)),
        }
    }
}

const EVENTS: &str = "(VALUES (1, 'view'), (3, 'cart'), (9, 'pay'), (10, 'view'), (12, 'pay')) AS t(ts, e)";

fn function(
    answer: Answer,
    alias: &str,
    result: &str,
    description: &str,
    rules: &str,
    example: (&str, &str),
) -> Function {
    let name = answer.name();
    let documentation = Documentation {
        syntax: vec![format!("{name}(pattern text, ts T, condition1 boolean, ..., conditionN boolean) -> {result}")],
        description: description.to_owned(),
        arguments: vec![
            (
                "pattern",
                "constant; (?N) takes the next row if condition N is true, . takes the next row, .* skips any number of rows, \
                 (?t op V) with op < <= > >= == != skips to a row whose time compares so with the last taken row's plus V: an integer \
                 (seconds for timestamps, days for dates) or with a unit s, m, h, d",
            ),
            ("ts", "timestamp, timestamptz, date, smallint, integer or bigint"),
            ("condition", "1 to 64 conditions"),
        ],
        rules: format!(
            "{rules} Rows that meet no condition and rows with NULL ts are dropped; the others are ordered by time, then by the set of \
             conditions they meet. A NULL condition is false. A row serves at most one element; a match may start anywhere."
        ),
        cost: "O(rows x elements x log rows), without a limit on steps; 20 bytes per row that meets a condition.",
        source: "ClickHouse, which gives up after 1,000,000 steps",
        examples: vec![Example::new(
            format!("SELECT {name}('{}', ts, e = 'view', e = 'pay') FROM {EVENTS}", example.0),
            example.1,
        )],
    };
    Function::aggregate(Sequence::new(answer, alias), documentation, super::samples::sequences)
}

/// The three functions.
pub(super) fn functions() -> [Function; 3] {
    [
        function(
            Answer::Matches,
            "sequencematch",
            "boolean",
            "Whether the group's rows match the pattern somewhere.",
            "An empty group gives false.",
            ("(?1).*(?2)", "t"),
        ),
        function(
            Answer::Count,
            "sequencecount",
            "bigint",
            "The largest number of matches of which no two overlap.",
            "An empty group gives 0.",
            ("(?1).*(?2)", "2"),
        ),
        function(
            Answer::Events,
            "sequencematchevents",
            "T[]",
            "The times of the rows that (?N) elements take in the longest prefix of the pattern that matches; of several the earliest.",
            "An empty list if nothing matches.",
            ("(?1)(?t>5)(?2)", "{1,9}"),
        ),
    ]
}
