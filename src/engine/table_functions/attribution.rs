//! `attribution(touches, conversions => ..., ...)`: every touch that leads to a conversion, with its credits.
//!
//! Touches and conversions are reduced to the needed columns, put one after the other and aggregated by unit; the touches of units that
//! never convert are dropped first. What a conversion carries besides its value (its id, the `by` columns) travels as one record through
//! the aggregate's `conversion_id`.

use arrow::datatypes::DataType;
use datafusion::common::{DataFusionError, JoinType, NullEquality, Result, ScalarValue};
use datafusion::functions::core::expr_fn::named_struct;
use datafusion::logical_expr::{Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, cast, ident, lit};
use tributary_pg::error::PgError;
use tributary_pg::sqlstate;
use tributary_udfs::attribution::attribution_by;
use tributary_udfs::attribution::models::Model;
use tributary_udfs::attribution::scalars::read_model;
use tributary_udfs::behaviour::time::TimeType;
use tributary_udfs::type_name::sql_type_name;

use super::TableFunction;
use super::call::{Bound, Call, column_name, external, field, invalid};

const OPTIONS: &[&str] = &[
    "conversions",
    "unit",
    "ts",
    "channel",
    "models",
    "value",
    "conversion_id",
    "touch_id",
    "by",
    "lookback",
    "direct",
    "weight",
    "half_life",
    "position_weights",
    "consume",
    "skip_direct",
    "repeats",
    "max_touches",
    "as_of",
];

pub(super) const ATTRIBUTION: TableFunction =
    TableFunction { name: "attribution", options: OPTIONS, required: 5, expand: attribution };

/// Columns of the result besides `unit`, the `by` columns and the models.
const COLUMNS: [&str; 9] = [
    "journey_no",
    "conversion_id",
    "conversion_ts",
    "value",
    "position",
    "path_length",
    "channel",
    "touch_ts",
    "touch_id",
];

/// Models that are fitted on all journeys.
const FITTED: [&str; 4] = ["markov_local", "shapley", "shao_li", "data_driven"];

/// One argument of the aggregate: where its value comes from.
enum Source {
    /// A column of the touches; NULL on conversions.
    Touch(Box<Bound>),
    /// A column of the conversions; NULL on touches.
    Conversion(Expr, DataType),
    /// The same for all rows.
    Constant(ScalarValue),
}

fn attribution(mut call: Call) -> Result<LogicalPlan> {
    let conversions = call.relation_option("conversions")?;
    let touches = call.relation.clone();
    let unit = BothSides::new(&mut call, "unit", &touches, &conversions)?;
    let ts = BothSides::new(&mut call, "ts", &touches, &conversions)?;
    let ts_type = common_time(&ts, &touches, &conversions)?;
    let models = models(&mut call)?;
    let by = call.list_texts("by");
    let by = by.iter().map(|text| call.bind_on(text, &conversions, "conversions")).collect::<Result<Vec<_>>>()?;
    let names = names(&unit.touch, &by, &models);
    let sources = sources(&mut call, &touches, &conversions, &by, &ts_type)?;
    let channel = call.required("channel")?;
    let parts = Parts { unit, ts, channel };
    let (rows, arguments) = rows(touches, conversions, parts, sources)?;
    let credits = attribution_by(&models).call(arguments).alias("credits");
    let plan = rows.aggregate(vec![ident("unit")], vec![credits])?.unnest_column("credits")?;
    plan.project(columns(&names, &by, &models))?.build()
}

/// An expression that both relations have.
struct BothSides {
    touch: Bound,
    conversion: Bound,
}

impl BothSides {
    fn new(call: &mut Call, name: &str, touches: &LogicalPlan, conversions: &LogicalPlan) -> Result<Self> {
        let text = call.text_of(name).ok_or_else(|| invalid(format!("{name} must not be null")))?;
        let touch = call.bind_on(&text, touches, "touches")?;
        Ok(Self { touch, conversion: call.bind_on(&text, conversions, "conversions")? })
    }
}

fn common_time(ts: &BothSides, touches: &LogicalPlan, conversions: &LogicalPlan) -> Result<DataType> {
    let touch = ts.touch.expr.get_type(touches.schema())?;
    let conversion = ts.conversion.expr.get_type(conversions.schema())?;
    let mismatch = |message| external(PgError::new(sqlstate::DATATYPE_MISMATCH, message));
    if touch != conversion {
        let (touch, conversion) = (sql_type_name(&touch), sql_type_name(&conversion));
        return Err(mismatch(format!("ts is {touch} in touches and {conversion} in conversions")));
    }
    match TimeType::of(&touch) {
        Some(TimeType::Date | TimeType::Timestamp(_)) => Ok(touch),
        _ => Err(mismatch(format!("ts must be a date or a timestamp, not {}", sql_type_name(&touch)))),
    }
}

/// The models asked for.
fn models(call: &mut Call) -> Result<Vec<Model>> {
    let refused = |_: DataFusionError| invalid("models must be a constant list of names");
    let names = call.texts("models").map_err(refused)?.unwrap_or_default();
    if names.is_empty() {
        return Err(invalid("models must be a constant list of names"));
    }
    let mut models = Vec::with_capacity(names.len());
    for name in &names {
        if FITTED.contains(&name.as_str()) {
            return Err(external(PgError::unsupported(format!("model \"{name}\" is not supported yet"))));
        }
        let model = read_model(name)?;
        if models.contains(&model) {
            return Err(invalid(format!("model \"{name}\" is listed twice")));
        }
        models.push(model);
    }
    Ok(models)
}

/// Names of the columns a user chose: unit, then the `by` columns.
fn names(unit: &Bound, by: &[Bound], models: &[Model]) -> Vec<String> {
    let mut taken: Vec<String> = COLUMNS.iter().map(|name| (*name).to_owned()).collect();
    taken.extend(models.iter().map(|model| model.name().to_owned()));
    let mut names = Vec::new();
    for (at, bound) in std::iter::once(unit).chain(by).enumerate() {
        let fallback = match at {
            0 => "unit".to_owned(),
            1 => "by".to_owned(),
            _ => format!("by{at}"),
        };
        let known: Vec<&str> = taken.iter().map(String::as_str).collect();
        let name = column_name(bound, &fallback, &known);
        taken.push(name.clone());
        names.push(name);
    }
    names
}

/// The arguments of the aggregate from `value` on, in its order.
fn sources(
    call: &mut Call,
    touches: &LogicalPlan,
    conversions: &LogicalPlan,
    by: &[Bound],
    ts_type: &DataType,
) -> Result<Vec<Source>> {
    let mut of_conversion = |name: &str| -> Result<Option<(Expr, DataType)>> {
        let Some(text) = call.text_of(name) else { return Ok(None) };
        let bound = call.bind_on(&text, conversions, "conversions")?;
        let data_type = bound.expr.get_type(conversions.schema())?;
        Ok(Some((bound.expr, data_type)))
    };
    let value = of_conversion("value")?.map(|(value, _)| (cast(value, DataType::Float64), DataType::Float64));
    let id = of_conversion("conversion_id")?;
    let carried = carried(id, value.as_ref(), by);
    let carried_type = carried.get_type(conversions.schema())?;
    let mut sources = vec![
        value.map_or(Source::Constant(ScalarValue::Null), |(value, data_type)| Source::Conversion(value, data_type)),
        Source::Conversion(carried, carried_type),
    ];
    for name in ["touch_id", "lookback", "direct", "weight"] {
        sources.push(match call.text_of(name) {
            None => Source::Constant(ScalarValue::Null),
            Some(text) => match call.bind_on(&text, touches, "touches")? {
                Bound { expr: Expr::Literal(value, _), .. } if name == "lookback" => Source::Constant(value),
                bound => Source::Touch(Box::new(bound)),
            },
        });
    }
    for name in ["half_life", "position_weights", "consume", "skip_direct", "repeats", "max_touches"] {
        let value = match name {
            "position_weights" => call.constants(name)?.map(number_list).transpose()?,
            _ => call.constant(name)?,
        };
        sources.push(Source::Constant(value.unwrap_or(ScalarValue::Null)));
    }
    let as_of = call.constant("as_of")?.map(|as_of| as_of.cast_to(ts_type)).transpose()?;
    sources.push(Source::Constant(as_of.unwrap_or(ScalarValue::Null)));
    Ok(sources)
}

/// The weights as one list; what is no number is left to the aggregate's check.
fn number_list(values: Vec<ScalarValue>) -> Result<ScalarValue> {
    let numbers = values.into_iter().map(|value| value.cast_to(&DataType::Float64)).collect::<Result<Vec<_>>>()?;
    Ok(ScalarValue::List(ScalarValue::new_list_nullable(&numbers, &DataType::Float64)))
}

/// What orders conversions and comes back with them: id, value, `by` columns.
fn carried(id: Option<(Expr, DataType)>, value: Option<&(Expr, DataType)>, by: &[Bound]) -> Expr {
    let id = id.map_or(lit(ScalarValue::Int64(None)), |(id, _)| id);
    let value = value.map_or(lit(ScalarValue::Float64(None)), |(value, _)| value.clone());
    let mut fields = vec![lit("id"), id, lit("value"), value];
    for (at, bound) in by.iter().enumerate() {
        fields.extend([lit(format!("by{at}")), bound.expr.clone()]);
    }
    named_struct(fields)
}

/// What both relations have and the channel.
struct Parts {
    unit: BothSides,
    ts: BothSides,
    channel: Bound,
}

/// Touches of converting units, then conversions, and the arguments of the aggregate over them.
fn rows(
    touches: LogicalPlan,
    conversions: LogicalPlan,
    parts: Parts,
    sources: Vec<Source>,
) -> Result<(LogicalPlanBuilder, Vec<Expr>)> {
    let channel_type = parts.channel.expr.get_type(touches.schema())?;
    let null = |data_type: &DataType| ScalarValue::try_from(data_type).map(lit);
    let mut touch_columns = vec![
        parts.unit.touch.expr.alias("unit"),
        parts.ts.touch.expr.alias("ts"),
        parts.channel.expr.alias("channel"),
        lit(false).alias("converted"),
    ];
    let mut conversion_columns = vec![
        parts.unit.conversion.expr.alias("unit"),
        parts.ts.conversion.expr.alias("ts"),
        null(&channel_type)?.alias("channel"),
        lit(true).alias("converted"),
    ];
    let mut arguments = ["ts", "channel", "converted"].map(ident).to_vec();
    for (at, source) in sources.into_iter().enumerate() {
        let name = format!("argument{at}");
        match source {
            Source::Constant(value) => {
                arguments.push(lit(value));
                continue;
            }
            Source::Touch(bound) => {
                conversion_columns.push(null(&bound.expr.get_type(touches.schema())?)?.alias(name.clone()));
                touch_columns.push(bound.expr.alias(name.clone()));
            }
            Source::Conversion(expr, data_type) => {
                touch_columns.push(null(&data_type)?.alias(name.clone()));
                conversion_columns.push(expr.alias(name.clone()));
            }
        }
        arguments.push(ident(name));
    }
    let conversions =
        LogicalPlanBuilder::from(conversions).project(conversion_columns)?.filter(ident("ts").is_not_null())?;
    let converting = conversions.clone().project(vec![ident("unit").alias("converting_unit")])?.build()?;
    let is_touch = ident("unit").is_not_null().and(ident("ts").is_not_null()).and(ident("channel").is_not_null());
    let touches = LogicalPlanBuilder::from(touches).project(touch_columns)?.filter(is_touch)?;
    let touches = touches.join_detailed(
        converting,
        JoinType::LeftSemi,
        (vec!["unit"], vec!["converting_unit"]),
        None,
        NullEquality::NullEqualsNothing,
    )?;
    Ok((touches.union(conversions.build()?)?, arguments))
}

fn columns(names: &[String], by: &[Bound], models: &[Model]) -> Vec<Expr> {
    let credit = |name: &str| field(ident("credits"), name);
    let carried = |name: &str| field(credit("conversion_id"), name);
    let mut columns = vec![ident("unit").alias(names[0].clone()), credit("journey_no").alias("journey_no")];
    columns.push(carried("id").alias("conversion_id"));
    columns.extend(["conversion_ts", "value"].map(|name| credit(name).alias(name)));
    columns.extend((0..by.len()).map(|at| carried(&format!("by{at}")).alias(names[at + 1].clone())));
    columns.extend(["position", "path_length", "channel", "touch_ts", "touch_id"].map(|name| credit(name).alias(name)));
    columns.extend(models.iter().map(|model| credit(model.name()).alias(model.name())));
    columns
}
