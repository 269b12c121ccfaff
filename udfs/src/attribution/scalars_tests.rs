//! The scalars against golden files and at their edges.

use std::collections::BTreeMap;

use super::super::golden::{json, lines};
use super::*;

fn list(values: Vec<ScalarValue>, data_type: &DataType) -> ScalarValue {
    ScalarValue::List(ScalarValue::new_list_nullable(&values, data_type))
}

fn path(names: &[&str]) -> ScalarValue {
    let name = |name: &&str| ScalarValue::Utf8((*name != "NULL").then(|| (*name).to_owned()));
    list(names.iter().map(name).collect(), &DataType::Utf8)
}

fn call(values: Vec<ScalarValue>) -> Result<Vec<f64>> {
    let arguments: Vec<ColumnarValue> = values.into_iter().map(ColumnarValue::Scalar).collect();
    check_weights(&arguments.iter().map(ColumnarValue::data_type).collect::<Vec<_>>())?;
    let result = weights(&Rows::new(&arguments, 1)?)?;
    Ok(result.as_list::<i32>().value(0).as_primitive::<arrow::datatypes::Float64Type>().values().to_vec())
}

#[test]
fn golden_totals_of_the_public_path_set() {
    let mut totals: BTreeMap<(String, String), (f64, f64)> = BTreeMap::new();
    let rows: Vec<Vec<String>> =
        lines("path_data/path_data.csv").iter().map(|line| line.split(',').map(str::to_owned).collect()).collect();
    let paths: Vec<Vec<&str>> = rows.iter().map(|row| row[0].split(" > ").collect()).collect();
    let mut column = ListBuilder::new(StringBuilder::new());
    for path in &paths {
        path.iter().for_each(|name| column.values().append_value(name));
        column.append(true);
    }
    let column: ArrayRef = Arc::new(column.finish());
    let expected: Vec<Vec<String>> =
        lines("path_data/heuristics.csv").iter().map(|line| line.split(',').map(str::to_owned).collect()).collect();
    let models: std::collections::BTreeSet<&String> = expected.iter().map(|row| &row[1]).collect();
    for model in models {
        let arguments = [ColumnarValue::Array(Arc::clone(&column)), ColumnarValue::Scalar(model.as_str().into())];
        let credits = weights(&Rows::new(&arguments, paths.len()).unwrap()).unwrap();
        for (at, (path, row)) in paths.iter().zip(&rows).enumerate() {
            let credits = credits.as_list::<i32>().value(at);
            let credits = credits.as_primitive::<arrow::datatypes::Float64Type>();
            let number = |field: &String| field.parse::<f64>().unwrap_or(0.0);
            for (name, credit) in path.iter().zip(credits.values()) {
                let total = totals.entry(((*name).to_owned(), model.clone())).or_default();
                total.0 += credit * number(&row[1]);
                total.1 += credit * number(&row[2]);
            }
        }
    }
    assert_eq!(totals.len(), expected.len());
    for row in &expected {
        let found = totals[&(row[0].clone(), row[1].clone())];
        let close = |found: f64, expected: &String| {
            let expected: f64 = expected.parse().unwrap();
            (found - expected).abs() <= 1e-9 * expected.abs().max(1.0)
        };
        assert!(close(found.0, &row[2]) && close(found.1, &row[3]), "{row:?}: {found:?}");
    }
}

#[test]
fn golden_repeats() {
    let mut seen = SeenChannels::default();
    for case in json("tiny/path_repeats.json").as_array().unwrap() {
        let names = |value: &serde_json::Value| -> Vec<Option<String>> {
            value.as_array().unwrap().iter().map(|name| name.as_str().map(str::to_owned)).collect()
        };
        let path: StringArray = names(&case["path"]).into_iter().collect();
        for mode in ["all", "collapse", "first", "last", "set"] {
            let found: Vec<Option<String>> =
                kept_names(&path, mode, &mut seen).unwrap().into_iter().map(|name| Some(name.to_owned())).collect();
            assert_eq!(found, names(&case[mode]), "{mode} of {}", case["path"]);
        }
    }
}

#[test]
fn a_null_element_is_no_position() {
    assert_eq!(call(vec![path(&["a", "NULL", "b"]), "u_shaped".into()]).unwrap(), [0.5, 0.0, 0.5]);
    assert_eq!(call(vec![path(&["NULL"]), "linear".into()]).unwrap(), [0.0]);
}

#[test]
fn refusals() {
    let day = |day: i32| ScalarValue::Date32(Some(day));
    let touches = |days: &[i32]| list(days.iter().map(|d| day(*d)).collect(), &DataType::Date32);
    let one = || path(&["a"]);
    for (arguments, message) in [
        (vec![one(), "foo".into()], "unknown attribution model \"foo\""),
        (vec![one(), "markov".into()], "unknown attribution model \"markov\""),
        (vec![one(), "shapley".into()], "model \"shapley\" needs all journeys"),
        (vec![one(), "time_decay".into()], "time_decay needs touch_ts and conversion_ts"),
        (vec![one(), "last".into(), touches(&[1, 2]), day(3)], "attribution_weights lists differ in length"),
        (vec![one(), "last".into(), touches(&[4]), day(3)], "touch_ts must not be later than conversion_ts"),
    ] {
        let error = call(arguments).unwrap_err();
        let error = SqlError::find(&error).unwrap();
        assert_eq!((error.sqlstate, error.message.as_str()), ("22023", message));
    }
    let decay = call(vec![path(&["a", "b"]), "time_decay".into(), touches(&[0, 7]), day(7)]).unwrap();
    assert!((decay[0] - 1.0 / 3.0).abs() < 1e-12, "{decay:?}");
}

#[test]
fn long_paths_number_their_channels_alike() {
    let names: Vec<String> = (0..100).map(|at| (at * at % 37).to_string()).collect();
    let mut numbers = Vec::new();
    number_names(names.iter().map(String::as_str), &mut numbers);
    for (name, number) in names.iter().zip(&numbers) {
        let first = names.iter().position(|other| other == name).unwrap();
        assert_eq!(*number, numbers[first]);
        assert!(names[..first].iter().zip(&numbers).all(|(_, other)| other < number));
    }
}
