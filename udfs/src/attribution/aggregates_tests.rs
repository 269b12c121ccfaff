//! The aggregates against the golden event tables.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray, Float64Array, Int64Array, StringArray, StructArray, new_null_array};
use arrow::datatypes::{Field, Float64Type, Int32Type, Int64Type, Schema};
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::expressions::{Column, Literal};

use super::super::golden::lines;
use super::super::models::Model;
use super::*;
use crate::SqlError;

fn micros(text: &str) -> i64 {
    let text = ScalarValue::from(text);
    let ts = text.cast_to(&DataType::Timestamp(arrow::datatypes::TimeUnit::Microsecond, None)).unwrap();
    match ts {
        ScalarValue::TimestampMicrosecond(Some(ts), _) => ts,
        other => panic!("{other}"),
    }
}

/// Runs one aggregate over the edge cases, grouped by unit. `constants` are the options from `half_life` or `consume` on.
fn edge_cases(
    answer: Answer,
    constants: Vec<ScalarValue>,
    tweak: impl Fn(&mut Vec<ArrayRef>),
) -> Result<Vec<StructArray>> {
    let touches = lines("events_edge/touches.csv");
    let conversions = lines("events_edge/conversions.csv");
    let fields = |line: &String| line.split(',').map(str::to_owned).collect::<Vec<_>>();
    let touches: Vec<Vec<String>> = touches.iter().map(fields).collect();
    let conversions: Vec<Vec<String>> = conversions.iter().map(fields).collect();
    let units: Vec<usize> =
        touches.iter().chain(&conversions).map(|row| row[1].parse::<usize>().unwrap() - 1).collect();
    let ts = touches.iter().chain(&conversions).map(|row| micros(&row[2]));
    let channel = |row: &Vec<String>| Some(row[3].clone()).filter(|name| !name.is_empty());
    let (no_touch, no_conversion) = (vec![None; conversions.len()], vec![None::<i64>; touches.len()]);
    let names: StringArray = touches.iter().map(channel).chain(no_touch).collect();
    let direct = names.iter().map(|name| name.map(|name| name == "direct")).collect::<BooleanArray>();
    let id = |row: &Vec<String>| Some(row[0].parse::<i64>().unwrap());
    let touch_ids: Int64Array = touches.iter().map(id).chain(vec![None; conversions.len()]).collect();
    let conversion_ids: Int64Array = no_conversion.iter().copied().chain(conversions.iter().map(id)).collect();
    let value = |row: &Vec<String>| row[3].parse::<f64>().ok();
    let values: Float64Array = touches.iter().map(|_| None).chain(conversions.iter().map(value)).collect();
    let converted = BooleanArray::from_iter((0..units.len()).map(|row| Some(row >= touches.len())));
    let mut columns: Vec<ArrayRef> = vec![
        Arc::new(arrow::array::TimestampMicrosecondArray::from_iter_values(ts)),
        Arc::new(names),
        Arc::new(converted),
        Arc::new(values),
        Arc::new(conversion_ids),
        Arc::new(touch_ids),
        new_null_array(&DataType::Null, units.len()),
        Arc::new(direct),
        new_null_array(&DataType::Null, units.len()),
    ];
    tweak(&mut columns);
    let udf = JourneyAggregate::new(answer, &Model::ALL);
    let (mut types, mut exprs) = (Vec::new(), Vec::<Arc<dyn PhysicalExpr>>::new());
    for (at, column) in columns.iter().enumerate() {
        types.push(column.data_type().clone());
        match column.data_type() {
            DataType::Null => exprs.push(Arc::new(Literal::new(ScalarValue::Null))),
            _ => exprs.push(Arc::new(Column::new("c", at))),
        }
    }
    types.extend(constants.iter().map(ScalarValue::data_type));
    let types = udf.coerce_types(&types).unwrap();
    for (constant, data_type) in constants.iter().zip(&types[columns.len()..]) {
        exprs.push(Arc::new(Literal::new(constant.cast_to(data_type).unwrap())));
    }
    let expr_fields: Vec<FieldRef> = types.iter().map(|t| Arc::new(Field::new("c", t.clone(), true))).collect();
    let args = AccumulatorArgs {
        return_field: Arc::new(Field::new("r", udf.return_type(&types).unwrap(), true)),
        schema: &Schema::empty(),
        ignore_nulls: false,
        order_bys: &[],
        is_reversed: false,
        name: udf.name(),
        is_distinct: false,
        exprs: &exprs,
        expr_fields: &expr_fields,
    };
    let mut groups = udf.create_groups_accumulator(args)?;
    groups.update_batch(&columns, &units, None, 14)?;
    let result = groups.evaluate(EmitTo::All).unwrap();
    Ok((0..14).map(|unit| result.as_list::<i32>().value(unit).as_struct().clone()).collect())
}

/// Constants from `half_life` on, or from `consume` on.
fn constants(answer: Answer, consume: bool) -> Vec<ScalarValue> {
    match answer {
        Answer::Journeys => vec![consume.into()],
        Answer::Credits => vec![ScalarValue::Null, ScalarValue::Null, consume.into()],
    }
}

fn integer(row: &StructArray, name: &str, at: usize) -> i64 {
    i64::from(row.column_by_name(name).unwrap().as_primitive::<Int32Type>().value(at))
}

fn check_credits(consume: bool, file: &str, found: &[StructArray]) {
    let mut rows: BTreeMap<(i64, i64), String> = BTreeMap::new();
    let expected = lines(file);
    for line in &expected {
        let fields: Vec<&str> = line.split(',').collect();
        rows.insert((fields[0].parse().unwrap(), fields[1].parse().unwrap()), line.clone());
    }
    let models: Vec<Model> =
        Model::ALL.into_iter().filter(|model| !matches!(model, Model::PositionBased | Model::Weighted)).collect();
    let mut seen = 0;
    for unit in found {
        let column = |name: &str| unit.column_by_name(name).unwrap();
        for at in 0..unit.len() {
            let id = column("conversion_id").as_primitive::<Int64Type>().value(at);
            let line = rows.remove(&(id, integer(unit, "position", at))).unwrap_or_else(|| panic!("{id} {at}"));
            let fields: Vec<&str> = line.split(',').collect();
            assert_eq!(integer(unit, "path_length", at).to_string(), fields[2], "{line}");
            assert_eq!(column("channel").as_string::<i32>().value(at), fields[3], "{line}");
            let touch_id = column("touch_id").as_primitive::<Int64Type>();
            assert_eq!(touch_id.is_valid(at).then(|| touch_id.value(at)), fields[4].parse().ok(), "{line}");
            assert_eq!(column("value").as_primitive::<Float64Type>().value(at), fields[5].parse::<f64>().unwrap());
            for (model, expected) in models.iter().zip(&fields[6..]) {
                let found = column(model.name()).as_primitive::<Float64Type>().value(at);
                assert!((found - expected.parse::<f64>().unwrap()).abs() < 1e-9, "{line}: {} {found}", model.name());
            }
            seen += 1;
        }
    }
    assert_eq!((seen, rows.len()), (expected.len(), 0), "consume {consume}");
}

#[test]
fn golden_credits() {
    for (consume, file) in [(false, "events_edge/expected_reuse.csv"), (true, "events_edge/expected_consume.csv")] {
        let found = edge_cases(Answer::Credits, constants(Answer::Credits, consume), |_| {}).unwrap();
        check_credits(consume, file, &found);
        // The default lookback, given by row or as a constant, changes nothing.
        let thirty = ScalarValue::new_interval_mdn(0, 30, 0);
        let by_row = |columns: &mut Vec<ArrayRef>| columns[6] = thirty.to_array_of_size(columns[0].len()).unwrap();
        check_credits(
            consume,
            file,
            &edge_cases(Answer::Credits, constants(Answer::Credits, consume), by_row).unwrap(),
        );
    }
}

#[test]
fn golden_journeys() {
    for (consume, name) in [(false, "reuse"), (true, "consume")] {
        let found = edge_cases(Answer::Journeys, constants(Answer::Journeys, consume), |_| {}).unwrap();
        let expected = lines(&format!("events_edge/expected_journeys_{name}.csv"));
        let mut lines = expected.iter();
        for (unit, journeys) in found.iter().enumerate() {
            let column = |name: &str| journeys.column_by_name(name).unwrap();
            for at in 0..journeys.len() {
                let line = lines.next().expect("more journeys than expected");
                let id = column("conversion_id").as_primitive::<Int64Type>();
                let value = column("value").as_primitive::<Float64Type>();
                let path = column("path").as_list::<i32>().value(at);
                let path: Vec<&str> = path.as_string::<i32>().iter().flatten().collect();
                let path =
                    if path.is_empty() { "[]".into() } else { format!("\"[\"\"{}\"\"]\"", path.join("\"\", \"\"")) };
                let shown = format!(
                    "{},{},{},{},{},{path},{}",
                    unit + 1,
                    integer(journeys, "journey_no", at),
                    column("converted").as_boolean().value(at),
                    if id.is_valid(at) { id.value(at).to_string() } else { String::new() },
                    if value.is_valid(at) { format!("{:?}", value.value(at)) } else { String::new() },
                    integer(journeys, "path_length", at),
                );
                assert_eq!(&shown, line);
            }
        }
        assert_eq!(lines.next(), None);
    }
}

#[test]
fn refused_options() {
    let credits = |position: usize, value: ScalarValue| {
        let mut options = vec![ScalarValue::Null; 7];
        options[position] = value;
        options
    };
    let cases = [
        (0, ScalarValue::new_interval_mdn(0, 0, 0), "half_life must be positive"),
        (0, ScalarValue::new_interval_mdn(0, -1, 0), "half_life must be positive"),
        (0, ScalarValue::new_interval_mdn(1, 0, 0), "half_life must not contain months"),
        (4, "sometimes".into(), "unknown value \"sometimes\" for repeats"),
        (5, 0_i64.into(), "max_touches must be at least 1"),
    ];
    for (position, value, message) in cases {
        assert_eq!(refusal(credits(position, value), |_| {}), message);
    }
    let lookback = |value: ScalarValue| {
        move |columns: &mut Vec<ArrayRef>| columns[6] = value.to_array_of_size(columns[0].len()).unwrap()
    };
    let none = || vec![ScalarValue::Null; 7];
    assert_eq!(refusal(none(), lookback(ScalarValue::new_interval_mdn(0, -1, 0))), "lookback must not be negative");
    assert_eq!(refusal(none(), lookback(ScalarValue::new_interval_mdn(1, 0, 0))), "lookback must not contain months");
    let weight = |columns: &mut Vec<ArrayRef>| columns[8] = Arc::new(Float64Array::from(vec![-1.0; columns[0].len()]));
    assert_eq!(refusal(none(), weight), "weight must not be negative");
    let value =
        |columns: &mut Vec<ArrayRef>| columns[3] = Arc::new(Float64Array::from(vec![f64::NAN; columns[0].len()]));
    assert_eq!(refusal(none(), value), "value must be finite");
    let channel =
        |columns: &mut Vec<ArrayRef>| columns[1] = Arc::new(StringArray::from(vec!["(later)"; columns[0].len()]));
    assert_eq!(refusal(none(), channel), "channel name \"(later)\" is reserved");
}

fn refusal(constants: Vec<ScalarValue>, tweak: impl Fn(&mut Vec<ArrayRef>)) -> String {
    let error = edge_cases(Answer::Credits, constants, tweak).unwrap_err();
    let error = SqlError::find(&error).unwrap_or_else(|| panic!("{error}"));
    assert_eq!(error.sqlstate, "22023");
    error.message.clone()
}
