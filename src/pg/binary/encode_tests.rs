use std::sync::Arc;

use arrow::array::{ArrayRef, Decimal256Array, Int32Array, StringViewArray};
use proptest::prelude::*;

use super::*;
use crate::builder::InputBuilder;
use crate::style::TextStyle;
use crate::types::{by_sql_name, parse_type};
use crate::value::PgValue;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

fn encode(type_name: &str, text: &str) -> Vec<u8> {
    let (ty, modifier) = parse_type(type_name).unwrap();
    let value = PgValue::from_text(ty, modifier, text, &TextStyle::default(), 0).unwrap();
    let array = value.to_array().unwrap();
    let field = ty.annotate(Field::new("c", array.data_type().clone(), true), modifier);
    let mut out = ColumnText::new();
    BinaryEncoder::for_field(&field).unwrap().encode(array.as_ref(), &mut out).unwrap();
    out.value(0).unwrap().to_vec()
}

#[test]
fn binary_forms_are_postgresql_s() {
    // What the send functions of PostgreSQL 15 give.
    let data = include_str!("../../../tests/data/pg_values/binary.tsv");
    let mut count = 0;
    for line in data.lines() {
        let parts: Vec<&str> = line.split('\t').collect();
        let [type_name, text, expect] = parts[..] else { panic!("bad line {line}") };
        assert_eq!(hex(&encode(type_name, text)), expect, "{type_name} {text}");
        let (ty, modifier) = parse_type(type_name).unwrap();
        let value = PgValue::from_binary(ty, modifier, &bytes(expect), 1).unwrap();
        let same = PgValue::from_text(ty, modifier, text, &TextStyle::default(), 0).unwrap();
        assert_eq!(value.array.unwrap().as_ref(), same.array.unwrap().as_ref(), "{type_name} {text}");
        count += 1;
    }
    assert!(count > 100);
}

#[test]
fn every_wrong_length_is_refused() {
    for (type_name, length) in [
        ("bool", 1),
        ("int2", 2),
        ("int4", 4),
        ("int8", 8),
        ("float4", 4),
        ("float8", 8),
        ("date", 4),
        ("time", 8),
        ("timestamp", 8),
        ("timestamptz", 8),
        ("interval", 16),
        ("uuid", 16),
        ("oid", 4),
        ("regclass", 4),
    ] {
        let ty = by_sql_name(type_name).unwrap();
        for tried in 0..length + 4 {
            let result = PgValue::from_binary(ty, -1, &vec![0; tried], 3);
            let found =
                result.map(|_| String::new()).unwrap_or_else(|error| format!("{} {}", error.code, error.message));
            let expect = match tried {
                _ if tried < length => "08P01 insufficient data left in message",
                _ if tried > length => "22P03 incorrect binary data format in bind parameter 3",
                _ => "",
            };
            assert_eq!(found, expect, "{type_name} {tried}");
        }
    }
}

#[test]
fn malformed_values_say_why() {
    for (type_name, value, code, message) in [
        ("text", "ff", "22021", "invalid byte sequence for encoding \"UTF8\": 0xff"),
        ("text", "6100", "22021", "invalid byte sequence for encoding \"UTF8\": 0x00"),
        ("jsonb", "", "08P01", "insufficient data left in message"),
        ("jsonb", "02", "XX000", "unsupported jsonb version number 2"),
        ("jsonb", "017b", "22P02", "invalid input syntax for type json"),
        ("numeric", "0001", "08P01", "insufficient data left in message"),
        ("numeric", "0001000000000000", "08P01", "insufficient data left in message"),
        ("numeric", "00010000000000002710", "22P03", "invalid digit in external \"numeric\" value"),
        ("numeric", "0000000010000000", "22P03", "invalid sign in external \"numeric\" value"),
        ("numeric", "00000000c0000000", "22003", "numeric cannot hold NaN"),
        ("numeric", "00017fff000000000001", "22003", "value overflows numeric format"),
        ("numeric", "000000000000000000", "22P03", "incorrect binary data format in bind parameter 1"),
        ("int4[]", "00000001", "08P01", "insufficient data left in message"),
        (
            "int4[]",
            "000000070000000000000017",
            "54000",
            "number of array dimensions (7) exceeds the maximum allowed (6)",
        ),
        ("int4[]", "0000000100000000000000177fffffff00000001", "08P01", "insufficient data left in message"),
        (
            "int4[]",
            "000000010000000000000019",
            "42804",
            "binary data has array element type 25 (text) instead of expected 23 (integer)",
        ),
        (
            "int4[]",
            "000000010000000000000017000000010000000000000004000000ff",
            "0A000",
            "array lower bound 0 is not supported",
        ),
        ("int4[]", "00000000000000000000001700", "22P03", "incorrect binary data format in bind parameter 1"),
        ("date", "7ffffffe", "22008", "date out of range"),
        ("timestamp", "7ffffffffffffffe", "22008", "timestamp out of range"),
        ("time", "ffffffffffffffff", "22008", "time out of range"),
        ("roaringbitmap", "3a30", "22P03", "invalid roaringbitmap format"),
        ("inet", "022000040a0000", "08P01", "insufficient data left in message"),
        ("inet", "052000040a000001", "22P03", "invalid address family in external \"inet\" value"),
    ] {
        let (ty, modifier) = parse_type(type_name).unwrap();
        let error = PgValue::from_binary(ty, modifier, &bytes(&value[..value.len() & !1]), 1).unwrap_err();
        assert_eq!((error.code.as_str(), error.message.as_str()), (code, message), "{type_name} {value}");
    }
}

#[test]
fn columns_with_nulls_and_slices() {
    let array: ArrayRef = Arc::new(Int32Array::from(vec![Some(1), None, Some(3)]));
    let field = Field::new("c", DataType::Int32, true);
    let mut out = ColumnText::new();
    BinaryEncoder::for_field(&field).unwrap().encode(array.slice(1, 2).as_ref(), &mut out).unwrap();
    assert_eq!(out.len(), 2);
    assert_eq!((out.value(0), out.value(1)), (None, Some(&[0, 0, 0, 3][..])));
    let strings = StringViewArray::from(vec![Some("a"), None]);
    let field = by_sql_name("jsonb").unwrap().field("j", -1).unwrap();
    BinaryEncoder::for_field(&field).unwrap().encode(&strings, &mut out).unwrap();
    assert_eq!((out.value(0), out.value(1)), (Some(&b"\x01a"[..]), None));
}

#[test]
fn free_numeric_keeps_only_the_digits_shown() {
    let free = crate::input::parse_numeric_free("1.5").unwrap();
    let array = Decimal256Array::from(vec![free]).with_data_type(DataType::Decimal256(76, 38));
    let mut out = ColumnText::new();
    let field = Field::new("n", DataType::Decimal256(76, 38), true);
    BinaryEncoder::for_field(&field).unwrap().encode(&array, &mut out).unwrap();
    assert_eq!(hex(out.value(0).unwrap()), "000200000000000100011388");
}

fn round_trip(type_name: &str, value: &[u8]) -> Option<Vec<u8>> {
    let (ty, modifier) = parse_type(type_name).unwrap();
    let value = PgValue::from_binary(ty, modifier, value, 1).ok()?;
    let array = value.to_array().unwrap();
    let field = ty.annotate(Field::new("c", array.data_type().clone(), true), modifier);
    let mut out = ColumnText::new();
    BinaryEncoder::for_field(&field).unwrap().encode(array.as_ref(), &mut out).unwrap();
    Some(out.value(0).unwrap().to_vec())
}

proptest! {
    #[test]
    fn fixed_types_round_trip(value in any::<[u8; 16]>()) {
        for (type_name, length) in [("int4", 4), ("int8", 8), ("float8", 8), ("uuid", 16), ("timestamp", 8), ("date", 4)] {
            if let Some(again) = round_trip(type_name, &value[..length]) {
                prop_assert_eq!(&again[..], &value[..length]);
            }
        }
    }

    #[test]
    fn any_bytes_are_decoded_or_refused(value in proptest::collection::vec(any::<u8>(), 0..48)) {
        for type_name in ["bool", "int4[]", "text[]", "numeric", "numeric(10,2)", "jsonb", "interval", "time", "inet",
                          "roaringbitmap", "roaringbitmap64", "text", "int2vector"] {
            if let Some(once) = round_trip(type_name, &value) {
                prop_assert_eq!(round_trip(type_name, &once), Some(once.clone()), "{}", type_name);
            }
        }
    }

    #[test]
    fn numerics_round_trip(whole in "[1-9][0-9]{0,20}", fraction in "[0-9]{0,15}", negative in any::<bool>()) {
        let text = format!("{}{whole}.{fraction}0", if negative { "-" } else { "" });
        let encoded = encode("numeric(40,18)", &text);
        prop_assert_eq!(round_trip("numeric(40,18)", &encoded), Some(encoded));
    }

    #[test]
    fn arrays_round_trip(values in proptest::collection::vec(proptest::option::of(any::<i32>()), 0..6)) {
        let mut builder = InputBuilder::for_type(by_sql_name("_int4").unwrap(), -1, &TextStyle::default(), 0).unwrap();
        let items: Vec<String> =
            values.iter().map(|value| value.map_or("NULL".to_owned(), |value| value.to_string())).collect();
        builder.append(&format!("{{{}}}", items.join(","))).unwrap();
        let encoded = encode("int4[]", &format!("{{{}}}", items.join(",")));
        prop_assert_eq!(round_trip("int4[]", &encoded), Some(encoded));
    }
}
