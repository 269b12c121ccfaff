//! `attribution_weights` and `path_repeats`: one path in, one list out.
//!
//! Paths are lists of text; a NULL element is no position. The credit is that of `models`, the same code the aggregates run.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, Float64Builder, Int64Array, ListArray, ListBuilder,
    StringArray, StringBuilder,
};
use arrow::datatypes::DataType;
use datafusion_common::{Result, ScalarValue};
use datafusion_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};

use super::models::{JourneyView, Model, ModelOptions, PositionWeights, Scratch};
use super::options::{half_life_ticks, position_weights};
use super::repeats::{Repeats, SeenChannels};
use crate::SqlError;
use crate::arguments::{Rows, text_type};
use crate::behaviour::time::{TimeType, ticks, window_type};
use crate::documentation::{Documentation, Example};
use crate::error::{DATATYPE_MISMATCH, UNDEFINED_FUNCTION};
use crate::family::Function;
use crate::type_name::sql_type_name;

const WEIGHTS: &str = "attribution_weights";
const REPEATS: &str = "path_repeats";
const WEIGHTS_ARGUMENTS: [&str; 8] =
    ["path", "model", "touch_ts", "conversion_ts", "half_life", "position_weights", "direct", "weight"];
/// Models that exist but need all journeys.
const FITTED: [&str; 4] = ["markov_local", "shapley", "shao_li", "data_driven"];

fn list_of(data_type: DataType) -> DataType {
    DataType::new_list(data_type, true)
}

fn item_type(data_type: &DataType) -> Option<&DataType> {
    match data_type {
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => Some(item.data_type()),
        _ => None,
    }
}

/// A list whose items are read as `wanted` if `fits`; anything else stays for the check.
fn coerced_list(data_type: &DataType, wanted: DataType, fits: impl Fn(&DataType) -> bool) -> DataType {
    match item_type(data_type) {
        Some(item) if fits(item) || item.is_null() => list_of(wanted),
        None if data_type.is_null() => list_of(wanted),
        _ => data_type.clone(),
    }
}

fn coerced_text(data_type: &DataType) -> DataType {
    if text_type(data_type) || data_type.is_null() { DataType::Utf8 } else { data_type.clone() }
}

fn require(wrong: bool, name: &str, wanted: &str, data_type: &DataType) -> Result<(), SqlError> {
    if !wrong {
        return Ok(());
    }
    let message = format!("{name} must be {wanted}, not {}", sql_type_name(data_type));
    Err(SqlError::new(DATATYPE_MISMATCH, message))
}

/// `attribution_weights`.
#[derive(Debug, PartialEq, Eq, Hash)]
struct AttributionWeights {
    signature: Signature,
}

impl ScalarUDFImpl for AttributionWeights {
    fn name(&self) -> &str {
        WEIGHTS
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let time =
            |data_type: &DataType| matches!(TimeType::of(data_type), Some(TimeType::Date | TimeType::Timestamp(_)));
        let instant = types.get(2).and_then(item_type).filter(|item| time(item));
        let instant = instant.or_else(|| types.get(3).filter(|data_type| time(data_type))).cloned();
        let coerced = types.iter().enumerate().map(|(at, data_type)| match (at, &instant) {
            (0, _) => coerced_list(data_type, DataType::Utf8, text_type),
            (1, _) => coerced_text(data_type),
            (2, Some(instant)) => coerced_list(data_type, instant.clone(), |_| false),
            (3, Some(instant)) if data_type.is_null() => instant.clone(),
            (4, _) => window_type(data_type).unwrap_or_else(|| data_type.clone()),
            (5 | 7, _) => coerced_list(data_type, DataType::Float64, DataType::is_numeric),
            (6, _) => coerced_list(data_type, DataType::Boolean, |_| false),
            _ => data_type.clone(),
        });
        Ok(coerced.collect())
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        check_weights(types)?;
        Ok(list_of(DataType::Float64))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = Rows::new(&args.args, args.number_rows)?;
        let result = weights(&rows)?;
        rows.finish(result)
    }
}

fn check_weights(types: &[DataType]) -> Result<(), SqlError> {
    if types.len() < 2 || types.len() > WEIGHTS_ARGUMENTS.len() {
        let message = format!("{WEIGHTS} takes 2 to {} arguments, not {}", WEIGHTS_ARGUMENTS.len(), types.len());
        let hint = format!("They are {}.", WEIGHTS_ARGUMENTS.join(", "));
        return Err(SqlError::new(UNDEFINED_FUNCTION, message).with_hint(hint));
    }
    for (at, (name, data_type)) in WEIGHTS_ARGUMENTS.iter().zip(types).enumerate() {
        let is_list = |item: DataType| *data_type == list_of(item);
        let times =
            |data_type: &DataType| matches!(TimeType::of(data_type), Some(TimeType::Date | TimeType::Timestamp(_)));
        let (fits, wanted) = match at {
            0 => (is_list(DataType::Utf8), "a list of text"),
            1 => (*data_type == DataType::Utf8, "text"),
            2 => (data_type.is_null() || item_type(data_type).is_some_and(times), "a list of dates or timestamps"),
            3 => (data_type.is_null() || times(data_type), "a date or a timestamp"),
            4 => (window_type(data_type).is_some(), "an interval"),
            6 => (is_list(DataType::Boolean), "a list of booleans"),
            _ => (is_list(DataType::Float64), "a list of numbers"),
        };
        require(!fits, name, wanted, data_type)?;
    }
    match (types.get(2).and_then(item_type), types.get(3)) {
        (Some(touch), Some(conversion)) if touch != conversion => {
            let message =
                format!("touch_ts is {}[] and conversion_ts {}", sql_type_name(touch), sql_type_name(conversion));
            Err(SqlError::new(DATATYPE_MISMATCH, message))
        }
        _ => Ok(()),
    }
}

/// The model of a name, or why there is none.
pub fn read_model(name: &str) -> Result<Model, SqlError> {
    if let Some(model) = Model::from_name(name) {
        return Ok(model);
    }
    if FITTED.contains(&name) {
        let error = SqlError::invalid_parameter(format!("model \"{name}\" needs all journeys"));
        return Err(error.with_hint("Use the table function attribution."));
    }
    let names: Vec<&str> = Model::ALL.iter().map(|model| model.name()).collect();
    let error = SqlError::invalid_parameter(format!("unknown attribution model \"{name}\""))
        .with_detail(format!("Models are {}.", names.join(", ")));
    Err(match name {
        "markov" => error.with_hint("Use markov_local, or markov_attribution for the global split."),
        _ => error,
    })
}

/// The lists of one argument, if it is given.
fn lists(rows: &Rows, at: usize) -> Option<&ListArray> {
    (at < rows.argument_count()).then(|| rows.array(at)).and_then(|array| array.as_list_opt::<i32>())
}

fn weights(rows: &Rows) -> Result<ArrayRef> {
    let paths = rows.array(0).as_list::<i32>();
    let models: &StringArray = rows.array(1).as_string();
    let instants = if rows.argument_count() > 3 && !rows.array(3).data_type().is_null() {
        Some(ticks(rows.array(3))?)
    } else {
        None
    };
    let mut options = OptionReader { rows, time: TimeType::Date, cache: [None, None] };
    options.time = lists(rows, 2).and_then(|list| TimeType::of(&list.value_type())).unwrap_or(TimeType::Date);
    let mut result = ListBuilder::new(Float64Builder::new());
    let mut credit = PathCredit::default();
    for row in 0..rows.row_count() {
        let (path_at, model_at) = (rows.index(0, row), rows.index(1, row));
        if paths.is_null(path_at) || models.is_null(model_at) {
            result.append(false);
            continue;
        }
        let model = read_model(models.value(model_at))?;
        let path = paths.value(path_at);
        let path: &StringArray = path.as_string();
        credit.number(path);
        credit.read(rows, row, path, model, instants.as_ref())?;
        let model_options = options.read(row, model)?;
        let credits = credit.credits(model, &model_options);
        let mut credits = credits.iter();
        for at in 0..path.len() {
            let credit = if path.is_null(at) { Some(&0.0) } else { credits.next() };
            result.values().append_option(credit.copied());
        }
        result.append(true);
    }
    Ok(Arc::new(result.finish()))
}

/// `half_life` and `position_weights`, read once when they are constants.
struct OptionReader<'a> {
    rows: &'a Rows,
    time: TimeType,
    cache: [Option<ScalarValue>; 2],
}

impl OptionReader<'_> {
    fn value(&mut self, argument: usize, row: usize) -> Result<Option<ScalarValue>> {
        if argument >= self.rows.argument_count() {
            return Ok(None);
        }
        let slot = argument - 4;
        if self.cache[slot].is_none() || !self.rows.is_constant(argument) {
            let at = self.rows.index(argument, row);
            self.cache[slot] = Some(ScalarValue::try_from_array(self.rows.array(argument), at)?);
        }
        Ok(self.cache[slot].clone().filter(|value| !value.is_null()))
    }

    fn read(&mut self, row: usize, model: Model) -> Result<ModelOptions> {
        let mut options = ModelOptions { half_life: 1.0, position_weights: PositionWeights::U };
        match model {
            Model::TimeDecay => {
                let seven_days = ScalarValue::new_interval_mdn(0, 7, 0);
                let half_life = self.value(4, row)?.unwrap_or(seven_days);
                options.half_life = half_life_ticks(self.time, &half_life)?;
            }
            Model::PositionBased => options.position_weights = position_weights(self.value(5, row)?)?,
            _ => {}
        }
        Ok(options)
    }
}

/// One path without its NULL elements.
#[derive(Default)]
struct PathCredit {
    channels: Vec<u32>,
    ages: Vec<f64>,
    direct: Vec<bool>,
    weights: Vec<f64>,
    credits: Vec<f64>,
    scratch: Scratch,
}

impl PathCredit {
    /// Numbers the channels of a path by first occurrence.
    fn number(&mut self, path: &StringArray) {
        self.channels.clear();
        number_names(path.iter().flatten(), &mut self.channels);
    }

    fn read(
        &mut self,
        rows: &Rows,
        row: usize,
        path: &StringArray,
        model: Model,
        instants: Option<&Int64Array>,
    ) -> Result<()> {
        let positions = || (0..path.len()).filter(|&at| path.is_valid(at));
        self.ages.clear();
        self.direct.clear();
        self.weights.clear();
        let touch_ts = list_at(rows, 2, row, path.len())?;
        let direct = list_at(rows, 6, row, path.len())?;
        let weight = list_at(rows, 7, row, path.len())?;
        let instant = instants.and_then(|instants| {
            let at = rows.index(3, row);
            instants.is_valid(at).then(|| instants.value(at))
        });
        if let (Some(touch_ts), Some(instant)) = (&touch_ts, instant) {
            let touch_ts = ticks(touch_ts)?;
            for at in positions() {
                let age = i128::from(instant) - i128::from(touch_ts.value(at));
                if touch_ts.is_valid(at) && age < 0 {
                    return Err(SqlError::invalid_parameter("touch_ts must not be later than conversion_ts").into());
                }
                self.ages.extend(touch_ts.is_valid(at).then_some(age as f64));
            }
        }
        if model == Model::TimeDecay && self.ages.len() < self.channels.len() {
            return Err(SqlError::invalid_parameter("time_decay needs touch_ts and conversion_ts").into());
        }
        if let Some(direct) = direct {
            let direct: &BooleanArray = direct.as_boolean();
            self.direct.extend(positions().map(|at| direct.is_valid(at) && direct.value(at)));
        }
        if let Some(weight) = weight {
            let weight: &Float64Array = weight.as_primitive();
            self.weights.extend(positions().map(|at| if weight.is_valid(at) { weight.value(at) } else { 0.0 }));
            if self.weights.iter().any(|weight| *weight < 0.0) {
                return Err(SqlError::invalid_parameter("weight must not be negative").into());
            }
            if self.weights.iter().any(|weight| !weight.is_finite()) {
                return Err(SqlError::invalid_parameter("weight must be finite").into());
            }
        }
        Ok(())
    }

    fn credits(&mut self, model: Model, options: &ModelOptions) -> &[f64] {
        let Self { channels, ages, direct, weights, credits, scratch } = self;
        credits.clear();
        credits.resize(channels.len(), 0.0);
        scratch.credits(model, JourneyView { channels, ages, direct, weights }, options, credits);
        credits
    }
}

/// Numbers names by first occurrence: a scan for short paths, which is nearly all, a table for long ones.
fn number_names<'a>(names: impl Iterator<Item = &'a str>, numbers: &mut Vec<u32>) {
    const SCANNED_MAX: usize = 16;
    let mut known: Vec<&str> = Vec::new();
    let mut table: std::collections::HashMap<&str, u32> = std::collections::HashMap::new();
    for name in names {
        let found = match known.len() {
            0..=SCANNED_MAX => known.iter().position(|other| *other == name).map(|at| at as u32),
            _ => table.get(name).copied(),
        };
        numbers.push(found.unwrap_or(known.len() as u32));
        if found.is_none() {
            known.push(name);
            if known.len() == SCANNED_MAX + 1 {
                table.extend(known.iter().enumerate().map(|(at, name)| (*name, at as u32)));
            } else if known.len() > SCANNED_MAX {
                table.insert(name, known.len() as u32 - 1);
            }
        }
    }
}

/// The list of one row, checked to be as long as the path; `None` if it is not given or NULL.
fn list_at(rows: &Rows, argument: usize, row: usize, path_length: usize) -> Result<Option<ArrayRef>, SqlError> {
    let Some(lists) = lists(rows, argument) else { return Ok(None) };
    let at = rows.index(argument, row);
    if lists.is_null(at) {
        return Ok(None);
    }
    let list = lists.value(at);
    if list.len() != path_length {
        let name = WEIGHTS_ARGUMENTS[argument];
        return Err(SqlError::invalid_parameter(format!("{WEIGHTS} lists differ in length"))
            .with_detail(format!("path has {path_length} elements, {name} has {}.", list.len())));
    }
    Ok(Some(list))
}

/// `path_repeats`.
#[derive(Debug, PartialEq, Eq, Hash)]
struct PathRepeats {
    signature: Signature,
}

impl ScalarUDFImpl for PathRepeats {
    fn name(&self) -> &str {
        REPEATS
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        let coerced = types.iter().enumerate().map(|(at, data_type)| match at {
            0 => coerced_list(data_type, DataType::Utf8, text_type),
            _ => coerced_text(data_type),
        });
        Ok(coerced.collect())
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        let [path, mode] = types else {
            return Err(SqlError::new(UNDEFINED_FUNCTION, "path_repeats takes a path and a mode").into());
        };
        require(*path != list_of(DataType::Utf8), "path", "a list of text", path)?;
        require(*mode != DataType::Utf8, "mode", "text", mode)?;
        Ok(list_of(DataType::Utf8))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = Rows::new(&args.args, args.number_rows)?;
        let (paths, modes) = (rows.array(0).as_list::<i32>(), rows.array(1).as_string::<i32>());
        let mut result = ListBuilder::new(StringBuilder::new());
        let mut seen = SeenChannels::default();
        for row in 0..rows.row_count() {
            let (path_at, mode_at) = (rows.index(0, row), rows.index(1, row));
            if paths.is_null(path_at) || modes.is_null(mode_at) {
                result.append(false);
                continue;
            }
            let path = paths.value(path_at);
            for name in kept_names(path.as_string(), modes.value(mode_at), &mut seen)? {
                result.values().append_value(name);
            }
            result.append(true);
        }
        rows.finish(Arc::new(result.finish()))
    }
}

fn kept_names<'a>(path: &'a StringArray, mode: &str, seen: &mut SeenChannels) -> Result<Vec<&'a str>, SqlError> {
    let names: Vec<&str> = path.iter().flatten().collect();
    if mode == "set" {
        let mut names = names;
        names.sort_unstable();
        names.dedup();
        return Ok(names);
    }
    let repeats = Repeats::from_name(mode).ok_or_else(|| {
        let names: Vec<&str> = Repeats::NAMES.iter().map(|(name, _)| *name).collect();
        SqlError::invalid_parameter(format!("unknown value \"{mode}\" for repeats"))
            .with_detail(format!("Values are {}, set.", names.join(", ")))
    })?;
    let mut numbers = Vec::with_capacity(names.len());
    number_names(names.iter().copied(), &mut numbers);
    let mut kept: Vec<usize> = (0..names.len()).collect();
    seen.apply(repeats, &mut kept, |at| numbers[at]);
    Ok(kept.into_iter().map(|at| names[at]).collect())
}

/// The function `attribution_weights`.
pub(super) fn attribution_weights() -> Function {
    let documentation = Documentation {
        syntax: vec![
            "attribution_weights(path text[], model text, touch_ts => , conversion_ts => , half_life => , position_weights => , direct => , \
             weight => ) -> double precision[]"
                .into(),
        ],
        description: "The credit of each touch of one path by one heuristic model; as long as the path.".into(),
        arguments: vec![
            ("path", "channels, oldest first"),
            ("model", "first, last, first_non_direct, last_non_direct, linear, linear_distinct, time_decay, u_shaped, j_shaped, inverse_j, position_based, weighted or participation"),
            ("touch_ts, conversion_ts", "times of the touches and the conversion, needed by time_decay"),
            ("half_life", "positive interval, 7 days"),
            ("position_weights", "first, all between, last: [0.4, 0.2, 0.4]; need not sum to 1"),
            ("direct", "which touches are direct; NULL is false"),
            ("weight", "the touches' own weights for the model weighted; NULL is 0"),
        ],
        rules: "NULL path or model: NULL. Empty path: empty. A NULL element is no position and has weight 0. Credits sum to 1 except for \
            participation. Lists of unequal length, a touch later than the conversion, time_decay without times: 22023."
            .into(),
        cost: "O(length of the path).",
        source: "models as in Adobe Analytics, Google Analytics, Zhao 2018",
        examples: vec![
            Example::new("SELECT attribution_weights(ARRAY['ad', 'blog', 'mail'], 'u_shaped')", "{0.4,0.2,0.4}"),
            Example::new("SELECT attribution_weights(ARRAY['ad', 'mail', 'ad', 'ad'], 'participation')", "{1,1,0,0}"),
        ],
    };
    let signature = Signature::user_defined(Volatility::Immutable).with_parameter_names(WEIGHTS_ARGUMENTS.to_vec());
    let udf = AttributionWeights { signature: signature.expect("a user-defined signature takes distinct names") };
    Function::scalar(datafusion_expr::ScalarUDF::from(udf), documentation, super::samples::weights)
}

/// The function `path_repeats`.
pub(super) fn path_repeats() -> Function {
    let documentation = Documentation {
        syntax: vec!["path_repeats(path text[], mode text) -> text[]".into()],
        description: "A path with repeated channels treated as said.".into(),
        arguments: vec![
            ("path", "channels, oldest first"),
            (
                "mode",
                "'all': every touch; 'collapse': of consecutive touches of one channel one; 'first', 'last': each channel's first, last touch; 'set': the distinct channels, sorted by bytes",
            ),
        ],
        rules: "NULL path or mode: NULL. NULL elements are removed.".into(),
        cost: "O(length of the path); 'set' sorts.",
        source: "Tributary",
        examples: vec![Example::new("SELECT path_repeats(ARRAY['a', 'a', 'b', 'a'], 'collapse')", "{a,b,a}")],
    };
    let signature = Signature::user_defined(Volatility::Immutable).with_parameter_names(vec!["path", "mode"]);
    let udf = PathRepeats { signature: signature.expect("a user-defined signature takes distinct names") };
    Function::scalar(datafusion_expr::ScalarUDF::from(udf), documentation, super::samples::repeats)
}

#[cfg(test)]
#[path = "scalars_tests.rs"]
mod tests;
