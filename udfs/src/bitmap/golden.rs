//! The functions against recorded answers (`tests/data/bitmaps`), through the same planning and calls as the engine's.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, BinaryViewArray};
use arrow::datatypes::{DataType, Field, FieldRef, Schema};
use datafusion_common::config::ConfigOptions;
use datafusion_common::{DataFusionError, ScalarValue};
use datafusion_expr::function::AccumulatorArgs;
use datafusion_expr::type_coercion::functions::fields_with_udf;
use datafusion_expr::{AggregateUDF, ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF};
use datafusion_physical_expr::PhysicalExpr;
use datafusion_physical_expr::expressions::Column;
use serde_json::Value as Json;

use super::format::View;
use super::text::{canonical, format_array, parse};
use super::types::Width;
use crate::SqlError;
use crate::family::Implementation;

fn records(file: &str) -> Vec<Json> {
    let path = format!("{}/../tests/data/bitmaps/{file}", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
    let records: Vec<Json> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(!records.is_empty());
    records
}

fn implementation(name: &str) -> Implementation {
    let named = |f: &crate::Function| f.name() == name || f.aliases().iter().any(|alias| alias == name);
    let function = (super::FAMILY.functions)().into_iter().find(named);
    function.unwrap_or_else(|| panic!("no function {name}")).implementation
}

fn scalar(name: &str) -> Arc<ScalarUDF> {
    match implementation(name) {
        Implementation::Scalar(udf) => udf,
        other => panic!("{name} is {other:?}"),
    }
}

fn aggregate(name: &str) -> Arc<AggregateUDF> {
    match implementation(name) {
        Implementation::Aggregate(udf) => udf,
        other => panic!("{name} is {other:?}"),
    }
}

/// A typed constant.
type Constant = (FieldRef, ScalarValue);

fn call(name: &str, arguments: &[Constant]) -> Result<Constant, DataFusionError> {
    let udf = scalar(name);
    let fields: Vec<FieldRef> = arguments.iter().map(|(field, _)| Arc::clone(field)).collect();
    let fields = fields_with_udf(&fields, udf.as_ref())?;
    let literals: Vec<Option<&ScalarValue>> = arguments.iter().map(|(_, value)| Some(value)).collect();
    let return_field =
        udf.return_field_from_args(ReturnFieldArgs { arg_fields: &fields, scalar_arguments: &literals })?;
    let result = udf.invoke_with_args(ScalarFunctionArgs {
        args: arguments.iter().map(|(_, value)| ColumnarValue::Scalar(value.clone())).collect(),
        arg_fields: fields,
        number_rows: 1,
        return_field: Arc::clone(&return_field),
        config_options: Arc::new(ConfigOptions::default()),
    })?;
    let value = ScalarValue::try_from_array(result.to_array(1)?.as_ref(), 0)?;
    Ok((return_field, value))
}

fn untyped(value: ScalarValue) -> Constant {
    (Arc::new(Field::new("literal", value.data_type(), true)), value)
}

fn bitmap(bytes: Option<Vec<u8>>, width: Width) -> Constant {
    (width.field("literal"), ScalarValue::BinaryView(bytes))
}

/// Evaluates the expressions of `functions.jsonl`: one operator, one call or casts of a quoted literal.
fn evaluate(expression: &str) -> Result<Constant, DataFusionError> {
    let text = expression.trim();
    if let Some(inner) = text.strip_suffix(')')
        && let Some((name, arguments)) = inner.split_once('(')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    {
        if arguments.is_empty() {
            return call(name, &[]);
        }
        let arguments: Result<Vec<Constant>, _> =
            split_outside_quotes(arguments, ", ").iter().map(|a| evaluate(a)).collect();
        return match name {
            "" => arguments.map(|mut one| one.remove(0)),
            name => call(name, &arguments?),
        };
    }
    for (operator, by_bitmap, by_element) in [
        (" @> ", "rb_contains", "rb_contains"),
        (" <@ ", "rb_containedby", "rb_containedby"),
        (" & ", "rb_and", ""),
        (" | ", "rb_or", "rb_add"),
        (" # ", "rb_xor", ""),
        (" - ", "rb_andnot", "rb_remove"),
    ] {
        if let [left, right] = split_outside_quotes(text, operator).as_slice() {
            let arguments = [evaluate(left)?, evaluate(right)?];
            let element = arguments[1].0.data_type().is_integer();
            return call(if element { by_element } else { by_bitmap }, &arguments);
        }
    }
    let parts = split_outside_quotes(text, "::");
    let mut value = match parts[0].as_str() {
        "NULL" => untyped(ScalarValue::Null),
        "true" => untyped(ScalarValue::from(true)),
        "false" => untyped(ScalarValue::from(false)),
        quoted if quoted.starts_with('\'') => untyped(ScalarValue::from(quoted.trim_matches('\''))),
        number => untyped(ScalarValue::from(number.parse::<i64>().unwrap_or_else(|_| panic!("{number}")))),
    };
    for cast in &parts[1..] {
        value = call(cast, &[value])?;
    }
    Ok(value)
}

fn split_outside_quotes(text: &str, separator: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let (mut quoted, mut depth, mut rest) = (false, 0, text);
    while let Some(first) = rest.chars().next() {
        quoted ^= first == '\'';
        depth += match first {
            '(' if !quoted => 1,
            ')' if !quoted => -1,
            _ => 0,
        };
        if !quoted && depth == 0 && rest.starts_with(separator) {
            parts.push(String::new());
            rest = &rest[separator.len()..];
        } else {
            parts.last_mut().unwrap().push(first);
            rest = &rest[first.len_utf8()..];
        }
    }
    parts
}

/// PostgreSQL's text of a value, bitmaps as arrays.
fn shown((field, value): &Constant) -> Option<String> {
    if value.is_null() {
        return None;
    }
    Some(match (Width::of_field(field), value) {
        (Some(width), ScalarValue::BinaryView(Some(bytes))) => format_array(&View::open(bytes, width).unwrap(), width),
        (None, ScalarValue::Boolean(Some(value))) => if *value { "t" } else { "f" }.into(),
        (None, ScalarValue::List(list)) => {
            let items = list.value(0);
            let items = (0..items.len()).map(|i| ScalarValue::try_from_array(&items, i).unwrap().to_string());
            format!("{{{}}}", items.collect::<Vec<_>>().join(","))
        }
        (None, ScalarValue::Binary(Some(bytes))) => {
            format!("\\x{}", bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
        }
        (None, value) => value.to_string(),
        (Some(_), value) => panic!("{value:?}"),
    })
}

#[test]
fn functions() {
    for record in records("functions.jsonl") {
        let sql = record["sql"].as_str().unwrap();
        let result = evaluate(sql.strip_prefix("SELECT ").unwrap());
        match record.get("error").and_then(Json::as_str) {
            Some(sqlstate) => {
                let error = result.expect_err(sql);
                assert_eq!(
                    SqlError::find(&error).unwrap_or_else(|| panic!("{sql}: {error}")).sqlstate,
                    sqlstate,
                    "{sql}"
                );
            }
            None => {
                let result = result.unwrap_or_else(|e| panic!("{sql}: {e}"));
                assert_eq!(shown(&result).as_deref(), record["expected"].as_str(), "{sql}");
            }
        }
    }
}

/// The documented examples of the scalars, as far as this evaluator reads SQL; the server's tests execute all.
#[test]
fn documented_examples() {
    let mut evaluated = 0;
    for function in (super::FAMILY.functions)() {
        let examples = function.documentation.examples.iter();
        for example in examples.filter(|e| !e.sql.contains("ARRAY[") && !e.sql.contains(" FROM ")) {
            let mut columns = Vec::new();
            for expression in split_outside_quotes(example.sql.strip_prefix("SELECT ").unwrap(), ", ") {
                let value = evaluate(&expression).unwrap_or_else(|e| panic!("{expression}: {e}"));
                columns.push(shown(&value).unwrap_or_default());
            }
            assert_eq!(columns.join("|"), example.output, "{}", example.sql);
            evaluated += 1;
        }
    }
    assert!(evaluated > 50, "{evaluated}");
}

/// NULL and edge rules of the names of other engines.
#[test]
fn names_of_other_engines() {
    for (expression, expected) in [
        ("bitmap_to_string(bitmap_or(NULL, '{2}', '{1}'))", Some("1,2")),
        ("bitmap_or(NULL, NULL)", None),
        ("bitmap_to_string(bitmap_xor('{1,2}', NULL, '{2,3}'))", Some("1,3")),
        ("bitmap_and('{1}', NULL)", None),
        ("bitmap_andnot(NULL, '{1}')", None),
        ("bitmap_to_string(bitmap_not('{1,2}', '{2}'))", Some("1")),
        ("bitmap_and_count(NULL, NULL)", Some("0")),
        ("bitmap_or_count(NULL, NULL)", Some("0")),
        ("bitmap_or_count('{1}', '{2}', '{3}')", Some("3")),
        ("bitmap_andnot_count(NULL, '{1}')", Some("0")),
        ("bitmap_and_not_count('{1,2}', NULL)", Some("2")),
        ("bitmap_count(bitmap_from_string(''))", Some("0")),
        ("bitmap_from_string('1,x')", None),
        ("to_bitmap('x')", None),
        ("to_bitmap(NULL)", None),
        ("bitmap_to_string(to_bitmap('18446744073709551615'))", Some("-1")),
        ("bitmap_from_base64('%%')", None),
        ("bitmap_from_base64('OjAAAA==')", None),
        ("bitmap_to_string('{}')", Some("")),
        ("bitmap_to_array('{}')", Some("{}")),
        ("bitmap_subset_in_range('{1,5}', 2, 3)", None),
        ("bitmap_to_string(bitmap_subset_limit('{1,5,9}', 6, -1))", Some("5")),
        ("bitmap_subset_limit('{1,5,9}', 10, 5)", None),
        ("bitmap_subset_limit('{1,5,9}', -5, -5)", None),
        ("bitmap_to_string(bitmap_subset_limit('{1,5,9}', -5, 2))", Some("1,5")),
        ("bitmap_to_string(bitmapsubsetlimit('{1,5,9}', 10, 5))", Some("")),
        ("sub_bitmap('{1,5,9}', -4, 2)", None),
        ("bitmap_to_string(sub_bitmap('{1,5,9}', -3, 2))", Some("1,5")),
        ("sub_bitmap('{1,5,9}', 0, -1)", None),
        ("bitmapmin('{}')", None),
        ("bitmap_to_string(rb_and_null2empty('{1}', NULL))", Some("")),
        ("bitmap_to_string(rb_andnot_null2empty(NULL, '{1}'))", Some("")),
        ("rb_or_null2empty_cardinality(NULL, NULL)", Some("0")),
    ] {
        let value = evaluate(expression).unwrap_or_else(|e| panic!("{expression}: {e}"));
        assert_eq!(shown(&value).as_deref(), expected, "{expression}");
    }
    for expression in ["to_bitmap_with_check(-1)", "to_bitmap_with_check('x')"] {
        let error = evaluate(expression).unwrap_err();
        assert_eq!(SqlError::find(&error).unwrap().sqlstate, "22003", "{expression}");
    }
}

fn hex(record: &Json, key: &str) -> Vec<u8> {
    let digits = record[key].as_str().unwrap_or_else(|| panic!("{key}"));
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

#[test]
fn pairs() {
    for (file, width) in [("pairs.jsonl", Width::W32), ("pairs64.jsonl", Width::W64)] {
        for record in records(file) {
            check_pair(&record, width);
        }
    }
}

fn check_pair(record: &Json, width: Width) {
    let id = &record["id"];
    let cast = |key: &str| call(width.type_name(), &[untyped(ScalarValue::Binary(Some(hex(record, key))))]).unwrap();
    let (a, b) = (cast("a"), cast("b"));
    assert_eq!(a.1, ScalarValue::BinaryView(Some(hex(record, "a_canonical"))), "{id}: a canonical");
    assert_eq!(b.1, ScalarValue::BinaryView(Some(hex(record, "b_canonical"))), "{id}: b canonical");
    let both = [a.clone(), b.clone()];
    for (name, bytes, count, cardinality) in [
        ("rb_and", "a_and_b", "rb_and_cardinality", "and_card"),
        ("rb_or", "a_or_b", "rb_or_cardinality", "or_card"),
        ("rb_xor", "a_xor_b", "rb_xor_cardinality", "xor_card"),
        ("rb_andnot", "a_andnot_b", "rb_andnot_cardinality", "andnot_card"),
    ] {
        assert_eq!(call(name, &both).unwrap().1, ScalarValue::BinaryView(Some(hex(record, bytes))), "{id}: {name}");
        assert_eq!(call(count, &both).unwrap().1, ScalarValue::Int64(record[cardinality].as_i64()), "{id}: {count}");
    }
    for (name, key) in [("rb_contains", "a_contains_b"), ("rb_intersect", "overlaps"), ("rb_equals", "equal")] {
        assert_eq!(call(name, &both).unwrap().1, ScalarValue::Boolean(record[key].as_bool()), "{id}: {name}");
    }
    let ScalarValue::Float64(Some(jaccard)) = call("rb_jaccard_dist", &both).unwrap().1 else { panic!("jaccard") };
    match record["jaccard"].as_f64() {
        Some(expected) => assert!((jaccard - expected).abs() < 1e-12, "{id}: jaccard"),
        None => assert!(jaccard.is_nan(), "{id}: jaccard"),
    }
    for (name, key) in [("rb_cardinality", "card_a"), ("rb_min", "min_a"), ("rb_max", "max_a")] {
        let value = call(name, std::slice::from_ref(&a)).unwrap().1.cast_to(&DataType::Int64).unwrap();
        assert_eq!(value, ScalarValue::Int64(record[key].as_i64()), "{id}: {name}");
    }
    let rank = call("rb_rank", &[a, untyped(ScalarValue::from(70_000i64))]).unwrap().1;
    assert_eq!(rank, ScalarValue::Int64(record["rank_70000"].as_i64()), "{id}: rank");
}

#[test]
fn untrusted_bytes() {
    for (number, record) in records("untrusted_bytes.jsonl").into_iter().enumerate() {
        let width = if record["width"] == 32 { Width::W32 } else { Width::W64 };
        match (canonical(&hex(&record, "bytes"), width), record["ok"].as_bool().unwrap()) {
            (Ok(bytes), true) => {
                assert_eq!(bytes, hex(&record, "canonical"), "{number}");
                let cardinality = View::open(&bytes, width).unwrap().cardinality();
                assert_eq!(Some(cardinality), record["cardinality"].as_u64(), "{number}");
            }
            (Err(error), false) => {
                assert_eq!(error.sqlstate, "22P03", "{number}");
                assert!(error.detail.is_some_and(|detail| detail.starts_with("At byte ")), "{number}");
            }
            (result, ok) => panic!("{number}: {:?}, expected ok = {ok}: {}", result.map(|b| b.len()), record["why"]),
        }
    }
}

#[test]
fn aggregates() {
    let names = ["or", "and", "xor", "or_cardinality", "and_cardinality", "xor_cardinality"];
    for (number, record) in records("aggregates.jsonl").into_iter().enumerate() {
        for name in names {
            let udf = aggregate(&format!("rb_{name}_agg"));
            let field = Width::W32.field("column");
            let fields = [Arc::clone(&field)];
            let schema = Schema::new(fields.to_vec());
            let exprs: [Arc<dyn PhysicalExpr>; 1] = [Arc::new(Column::new("column", 0))];
            let args = AccumulatorArgs {
                return_field: udf.return_field(&fields).unwrap(),
                schema: &schema,
                ignore_nulls: false,
                order_bys: &[],
                is_reversed: false,
                name,
                is_distinct: false,
                exprs: &exprs,
                expr_fields: &fields,
            };
            let return_field = Arc::clone(&args.return_field);
            let mut accumulator = udf.accumulator(args).unwrap();
            assert!(accumulator.evaluate().unwrap().is_null(), "{number}, {name}: before the first row");
            let inputs = record["input"].as_array().unwrap();
            for (row, input) in inputs.iter().enumerate() {
                let bytes = input.as_str().map(|literal| parse(literal, Width::W32).unwrap());
                let column: ArrayRef = Arc::new(BinaryViewArray::from_iter([bytes]));
                accumulator.update_batch(&[column]).unwrap();
                let value = (Arc::clone(&return_field), accumulator.evaluate().unwrap());
                let expected = json_text(&record["running"][row][name]);
                assert_eq!(shown(&value), expected, "{number}, {name}, row {row}");
            }
            let value = (return_field, accumulator.evaluate().unwrap());
            assert_eq!(shown(&value), json_text(&record["total"][name]), "{number}, {name}");
        }
    }
}

fn json_text(value: &Json) -> Option<String> {
    value.as_i64().map(|n| n.to_string()).or(value.as_str().map(String::from))
}

/// Planning refuses what PostgreSQL refuses, with its SQLSTATE.
#[test]
fn refusals() {
    let narrow = bitmap(Some(parse("{1}", Width::W32).unwrap()), Width::W32);
    let wide = bitmap(Some(parse("{1}", Width::W64).unwrap()), Width::W64);
    let bytes = untyped(ScalarValue::Binary(Some(vec![1])));
    let number = untyped(ScalarValue::from(5i64));
    let text = untyped(ScalarValue::from("{x}"));
    for (name, arguments, sqlstate, message) in [
        ("rb_and", vec![&narrow, &wide], "42883", "function rb_and(roaringbitmap, roaringbitmap64) does not exist"),
        ("rb_or", vec![&bytes, &narrow], "42883", "function rb_or(bytea, roaringbitmap) does not exist"),
        ("rb_cardinality", vec![&number], "42883", "function rb_cardinality(bigint) does not exist"),
        ("rb_min", vec![&narrow, &narrow], "42883", "function rb_min(roaringbitmap, roaringbitmap) does not exist"),
        ("rb_or", vec![&narrow, &text], "22P02", "invalid input syntax for integer: \"x\""),
        ("rb_or", vec![&wide, &text], "22P02", "invalid input syntax for bigint: \"x\""),
        ("roaringbitmap", vec![&bytes], "22P03", "invalid roaring bitmap"),
    ] {
        let arguments: Vec<Constant> = arguments.into_iter().cloned().collect();
        let error = call(name, &arguments).unwrap_err();
        let error = SqlError::find(&error).unwrap_or_else(|| panic!("{name}: {error}"));
        assert_eq!((error.sqlstate, error.message.as_str()), (sqlstate, message));
    }
    for (name, literal, sqlstate) in [
        ("roaringbitmap", "{1,2", "22P02"),
        ("roaringbitmap", "{1,,2}", "22P02"),
        ("roaringbitmap", "{4294967296}", "22003"),
        ("roaringbitmap64", "{9223372036854775808}", "22003"),
        ("roaringbitmap", "\\x3a3", "22P02"),
        ("roaringbitmap", "\\x3a30", "22P03"),
    ] {
        let error = call(name, &[untyped(ScalarValue::from(literal))]).unwrap_err();
        assert_eq!(SqlError::find(&error).unwrap().sqlstate, sqlstate, "{literal}");
    }
    let element = call("rb_add", &[narrow, untyped(ScalarValue::from(1i64 << 31))]).unwrap_err();
    let element = SqlError::find(&element).unwrap();
    assert_eq!(element.message, "value \"2147483648\" is out of range for type integer");
}
