//! The arguments of `journeys` and `attribution`: names, coercion, checks and constants.
//!
//! Both read `(ts, channel, converted, option, ...)`; options are positional behind their parameter names, NULL or left out means the
//! default. Coercion never fails: what it cannot make sense of it leaves alone, and [`check`] refuses it with a SQLSTATE.

use arrow::array::{Array, AsArray};
use arrow::datatypes::{DataType, Float64Type};
use datafusion_common::{Result, ScalarValue};
use datafusion_expr::function::AccumulatorArgs;

use super::journey::Shape;
use super::models::{ModelOptions, PositionWeights};
use super::repeats::Repeats;
use crate::SqlError;
use crate::arguments::{literal_of_aggregate, scalar_text, text_type};
use crate::behaviour::time::{TimeType, ticks, window_type};
use crate::error::{DATATYPE_MISMATCH, UNDEFINED_FUNCTION};
use crate::type_name::sql_type_name;

/// An argument of one of the two aggregates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Argument {
    /// When.
    Ts,
    /// Channel of a touch.
    Channel,
    /// Whether the row is a conversion.
    Converted,
    /// Of the conversion.
    Value,
    /// Of the conversion.
    ConversionId,
    /// Of the touch.
    TouchId,
    /// Of the touch.
    Lookback,
    /// Of the touch.
    Direct,
    /// Of the touch.
    Weight,
    /// Constant.
    HalfLife,
    /// Constant.
    PositionWeights,
    /// Constant.
    Consume,
    /// Constant.
    SkipDirect,
    /// Constant.
    Repeats,
    /// Constant.
    MaxTouches,
    /// Constant.
    AsOf,
}

/// Arguments of `journeys`.
pub const JOURNEYS: [Argument; 14] = [
    Argument::Ts,
    Argument::Channel,
    Argument::Converted,
    Argument::Value,
    Argument::ConversionId,
    Argument::TouchId,
    Argument::Lookback,
    Argument::Direct,
    Argument::Weight,
    Argument::Consume,
    Argument::SkipDirect,
    Argument::Repeats,
    Argument::MaxTouches,
    Argument::AsOf,
];

/// Arguments of `attribution`.
pub const ATTRIBUTION: [Argument; 16] = [
    Argument::Ts,
    Argument::Channel,
    Argument::Converted,
    Argument::Value,
    Argument::ConversionId,
    Argument::TouchId,
    Argument::Lookback,
    Argument::Direct,
    Argument::Weight,
    Argument::HalfLife,
    Argument::PositionWeights,
    Argument::Consume,
    Argument::SkipDirect,
    Argument::Repeats,
    Argument::MaxTouches,
    Argument::AsOf,
];

/// Lookback where none is given: 30 days.
const LOOKBACK_DEFAULT_DAYS: i32 = 30;
/// Half-life where none is given: 7 days.
const HALF_LIFE_DEFAULT_DAYS: i32 = 7;

impl Argument {
    /// The parameter name in SQL.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ts => "ts",
            Self::Channel => "channel",
            Self::Converted => "converted",
            Self::Value => "value",
            Self::ConversionId => "conversion_id",
            Self::TouchId => "touch_id",
            Self::Lookback => "lookback",
            Self::Direct => "direct",
            Self::Weight => "weight",
            Self::HalfLife => "half_life",
            Self::PositionWeights => "position_weights",
            Self::Consume => "consume",
            Self::SkipDirect => "skip_direct",
            Self::Repeats => "repeats",
            Self::MaxTouches => "max_touches",
            Self::AsOf => "as_of",
        }
    }

    /// The type this argument is coerced to.
    fn coerced(self, data_type: &DataType, ts: &DataType) -> DataType {
        let same = || data_type.clone();
        match self {
            Self::Channel | Self::Converted if data_type.is_null() => match self {
                Self::Channel => DataType::Utf8,
                _ => DataType::Boolean,
            },
            _ if data_type.is_null() => DataType::Null,
            Self::Value | Self::Weight if data_type.is_numeric() => DataType::Float64,
            Self::ConversionId | Self::TouchId | Self::Repeats if text_type(data_type) => DataType::Utf8,
            Self::Lookback | Self::HalfLife => window_type(data_type).unwrap_or_else(same),
            Self::PositionWeights if is_number_list(data_type) => DataType::new_list(DataType::Float64, true),
            Self::MaxTouches if data_type.is_integer() => DataType::Int64,
            Self::AsOf if TimeType::of(data_type).is_some() || text_type(data_type) => ts.clone(),
            _ => same(),
        }
    }

    /// What the argument must be, for the message, if it is not.
    fn refuses(self, data_type: &DataType) -> Option<&'static str> {
        let (fine, wanted) = match self {
            Self::Ts => (
                matches!(TimeType::of(data_type), Some(TimeType::Date | TimeType::Timestamp(_))),
                "a date or a timestamp",
            ),
            Self::Channel => (text_type(data_type), "text"),
            Self::Converted | Self::Direct | Self::Consume | Self::SkipDirect => {
                (*data_type == DataType::Boolean, "boolean")
            }
            Self::Value | Self::Weight => (*data_type == DataType::Float64, "a number"),
            Self::ConversionId | Self::TouchId => (
                // A record is how the table function carries further columns of a conversion along.
                data_type.is_integer()
                    || matches!(data_type, DataType::Utf8 | DataType::FixedSizeBinary(_))
                    || (self == Self::ConversionId && matches!(data_type, DataType::Struct(_))),
                "an integer, text or a uuid",
            ),
            Self::Lookback | Self::HalfLife => (window_type(data_type).is_some(), "an interval"),
            Self::PositionWeights => (is_number_list(data_type), "a list of numbers"),
            Self::Repeats => (*data_type == DataType::Utf8, "text"),
            Self::MaxTouches => (*data_type == DataType::Int64, "an integer"),
            Self::AsOf => (TimeType::of(data_type).is_some(), "a time of the type of ts"),
        };
        let optional = !matches!(self, Self::Ts | Self::Channel | Self::Converted);
        let left_out = optional && data_type.is_null();
        (!fine && !left_out).then_some(wanted)
    }
}

fn is_number_list(data_type: &DataType) -> bool {
    match data_type {
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            item.data_type().is_numeric() || item.data_type().is_null()
        }
        _ => false,
    }
}

/// Coerces the types of a call.
pub fn coerce(arguments: &[Argument], types: &[DataType]) -> Vec<DataType> {
    let ts = types.first().cloned().unwrap_or(DataType::Null);
    let known = arguments.iter().zip(types).map(|(argument, data_type)| argument.coerced(data_type, &ts));
    known.chain(types.iter().skip(arguments.len()).cloned()).collect()
}

/// Checks the coerced types of a call of `function`.
pub fn check(function: &str, arguments: &[Argument], types: &[DataType]) -> Result<(), SqlError> {
    if types.len() < 3 || types.len() > arguments.len() {
        let names: Vec<&str> = arguments.iter().map(|argument| argument.name()).collect();
        let message = format!("{function} takes 3 to {} arguments, not {}", arguments.len(), types.len());
        return Err(SqlError::new(UNDEFINED_FUNCTION, message).with_hint(format!("They are {}.", names.join(", "))));
    }
    for (argument, data_type) in arguments.iter().zip(types) {
        if let Some(wanted) = argument.refuses(data_type) {
            let message = format!("{} must be {wanted}, not {}", argument.name(), sql_type_name(data_type));
            return Err(SqlError::new(DATATYPE_MISMATCH, message));
        }
    }
    Ok(())
}

/// Types that shape state and result. `Null` means the argument is not given.
#[derive(Debug, Clone, PartialEq)]
pub struct Types {
    /// Of times.
    pub ts: DataType,
    /// Of values.
    pub value: DataType,
    /// Of conversion ids.
    pub conversion_id: DataType,
    /// Of touch ids.
    pub touch_id: DataType,
    /// `Int64` if lookbacks differ by row or are constant, `Null` if not given.
    pub lookback: DataType,
    /// Of weights.
    pub weight: DataType,
}

impl Types {
    /// From the coerced types of a call.
    pub fn new(types: &[DataType]) -> Self {
        let at = |argument: Argument| {
            let at = JOURNEYS.iter().position(|known| *known == argument);
            at.and_then(|at| types.get(at)).cloned().unwrap_or(DataType::Null)
        };
        let lookback = if at(Argument::Lookback).is_null() { DataType::Null } else { DataType::Int64 };
        Self {
            ts: at(Argument::Ts),
            value: at(Argument::Value),
            conversion_id: at(Argument::ConversionId),
            touch_id: at(Argument::TouchId),
            lookback,
            weight: at(Argument::Weight),
        }
    }
}

/// All that a call fixes for all rows.
#[derive(Debug, Clone)]
pub struct Options {
    /// Name of the function, for errors.
    pub function: &'static str,
    /// Column types.
    pub types: Types,
    /// How times are counted.
    pub time: TimeType,
    /// The lookback of every touch, if it is a constant.
    pub lookback: Option<i64>,
    /// The lookback of a touch whose own is NULL.
    pub lookback_default: i64,
    /// Shaping of journeys.
    pub shape: Shape,
    /// Later rows are ignored.
    pub as_of: Option<i64>,
    /// Parameters of the models.
    pub models: ModelOptions,
}

impl Options {
    /// Reads the constants of a call.
    pub fn new(function: &'static str, arguments: &[Argument], args: &AccumulatorArgs) -> Result<Self> {
        let types: Vec<DataType> = args.expr_fields.iter().map(|field| field.data_type().clone()).collect();
        check(function, arguments, &types)?;
        let types = Types::new(&types);
        let constants = Constants { arguments, args };
        let time = TimeType::of(&types.ts).ok_or_else(|| SqlError::new(DATATYPE_MISMATCH, "ts must be a time"))?;
        let days = |days| ScalarValue::new_interval_mdn(0, days, 0);
        let lookback_default = length(time, &days(LOOKBACK_DEFAULT_DAYS), "lookback")?;
        let lookback = match constants.get(Argument::Lookback) {
            // Not a constant: it differs by touch.
            Err(_) => None,
            Ok(None) => Some(lookback_default),
            Ok(Some(value)) => Some(length(time, &value, "lookback")?),
        };
        let half_life = constants.get(Argument::HalfLife)?.unwrap_or_else(|| days(HALF_LIFE_DEFAULT_DAYS));
        let models = ModelOptions {
            half_life: half_life_ticks(time, &half_life)?,
            position_weights: position_weights(constants.get(Argument::PositionWeights)?)?,
        };
        let shape = Shape {
            consume: constants.flag(Argument::Consume)?,
            skip_direct: constants.flag(Argument::SkipDirect)?,
            repeats: repeats(constants.get(Argument::Repeats)?.as_ref().and_then(scalar_text))?,
            touches_max: touches_max(constants.get(Argument::MaxTouches)?)?,
        };
        let as_of = match constants.get(Argument::AsOf)? {
            None => None,
            Some(value) => Some(ticks(&value.to_array()?)?.value(0)),
        };
        Ok(Self { function, types, time, lookback, lookback_default, shape, as_of, models })
    }
}

struct Constants<'a, 'b> {
    arguments: &'a [Argument],
    args: &'a AccumulatorArgs<'b>,
}

impl Constants<'_, '_> {
    fn get(&self, argument: Argument) -> Result<Option<ScalarValue>> {
        match self.arguments.iter().position(|known| *known == argument) {
            None => Ok(None),
            Some(at) => literal_of_aggregate(self.args, at, argument.name()),
        }
    }

    fn flag(&self, argument: Argument) -> Result<bool> {
        Ok(matches!(self.get(argument)?, Some(ScalarValue::Boolean(Some(true)))))
    }
}

/// The length of an interval in ticks; months and negative lengths are refused in this family's words.
pub fn length(time: TimeType, value: &ScalarValue, name: &str) -> Result<i64, SqlError> {
    time.window(Some(value), name).map_err(|error| in_words(error, name))
}

fn in_words(error: SqlError, name: &str) -> SqlError {
    if error.message.ends_with("must have a fixed length") {
        return SqlError::invalid_parameter(format!("{name} must not contain months")).with_hint("Use days.");
    }
    error
}

/// A half-life in ticks, which may be less than one tick.
pub fn half_life_ticks(time: TimeType, value: &ScalarValue) -> Result<f64, SqlError> {
    let refused = || SqlError::invalid_parameter("half_life must be positive");
    let nanos = TimeType::Timestamp(arrow::datatypes::TimeUnit::Nanosecond).window(Some(value), "half_life");
    let nanos = nanos.map_err(|error| match error.message.as_str() {
        "half_life must not be negative" => refused(),
        _ => in_words(error, "half_life"),
    })?;
    if nanos == 0 {
        return Err(refused());
    }
    Ok(nanos as f64 / 1e9 * time.ticks_per_second())
}

/// `position_weights`, by default 40/20/40.
pub fn position_weights(value: Option<ScalarValue>) -> Result<PositionWeights, SqlError> {
    let Some(value) = value else { return Ok(PositionWeights::U) };
    let refused = || SqlError::invalid_parameter("position_weights must be three numbers, none negative, not all zero");
    let ScalarValue::List(list) = value else { return Err(refused()) };
    let shares = list.value(0);
    let shares = shares.as_primitive_opt::<Float64Type>().filter(|shares| shares.null_count() == 0);
    shares.and_then(|shares| PositionWeights::new(shares.values())).ok_or_else(refused)
}

fn repeats(name: Option<&str>) -> Result<Repeats, SqlError> {
    let Some(name) = name else { return Ok(Repeats::All) };
    Repeats::from_name(name).ok_or_else(|| {
        let names: Vec<&str> = Repeats::NAMES.iter().map(|(name, _)| *name).collect();
        SqlError::invalid_parameter(format!("unknown value \"{name}\" for repeats"))
            .with_detail(format!("Values are {}.", names.join(", ")))
    })
}

fn touches_max(value: Option<ScalarValue>) -> Result<Option<usize>, SqlError> {
    match value {
        None => Ok(None),
        Some(ScalarValue::Int64(Some(most))) if most >= 1 => Ok(Some(usize::try_from(most).unwrap_or(usize::MAX))),
        Some(_) => Err(SqlError::invalid_parameter("max_touches must be at least 1")),
    }
}
