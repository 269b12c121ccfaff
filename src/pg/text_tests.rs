use std::sync::Arc;

use arrow::array::*;
use arrow::datatypes::*;

use super::*;

fn print(field: &Field, array: &dyn Array) -> Vec<Option<String>> {
    let printer = TextPrinter::for_field(field, &TextStyle::default()).unwrap();
    let mut out = ColumnText::new();
    printer.print(array, &mut out).unwrap();
    (0..out.len()).map(|row| out.text(row).map(str::to_owned)).collect()
}

fn plain(array: ArrayRef) -> Vec<Option<String>> {
    print(&Field::new("c", array.data_type().clone(), true), array.as_ref())
}

fn some(texts: &[&str]) -> Vec<Option<String>> {
    texts.iter().map(|text| if *text == "NULL" { None } else { Some((*text).to_owned()) }).collect()
}

#[test]
fn every_layout_of_a_type_prints_alike() {
    let words = vec![Some("a"), None, Some("b c")];
    let expect = some(&["a", "NULL", "b c"]);
    assert_eq!(plain(Arc::new(StringArray::from(words.clone()))), expect);
    assert_eq!(plain(Arc::new(LargeStringArray::from(words.clone()))), expect);
    assert_eq!(plain(Arc::new(StringViewArray::from(words.clone()))), expect);
    let dictionary: DictionaryArray<Int8Type> = words.into_iter().collect();
    assert_eq!(plain(Arc::new(dictionary)), expect);
    assert_eq!(plain(Arc::new(UInt64Array::from(vec![7]))), some(&["7"]));
    assert_eq!(plain(Arc::new(Int8Array::from(vec![-7]))), some(&["-7"]));
    assert_eq!(plain(Arc::new(TimestampSecondArray::from(vec![0]))), some(&["1970-01-01 00:00:00"]));
    assert_eq!(
        plain(Arc::new(TimestampNanosecondArray::from(vec![1_500]).with_timezone("+02:00"))),
        some(&["1970-01-01 00:00:00.000001+00"])
    );
    assert_eq!(plain(Arc::new(BinaryArray::from(vec![&b"\x00A"[..]]))), some(&["\\x0041"]));
    assert_eq!(plain(Arc::new(NullArray::new(2))), some(&["NULL", "NULL"]));
}

#[test]
fn values_beyond_the_type_are_errors() {
    let field = Field::new("c", DataType::UInt64, true);
    let printer = TextPrinter::for_field(&field, &TextStyle::default()).unwrap();
    let mut out = ColumnText::new();
    let error = printer.print(&UInt64Array::from(vec![u64::MAX]), &mut out).unwrap_err();
    assert_eq!(error.code.as_str(), "22003");
}

#[test]
fn slices_print_their_own_rows() {
    let lists = ListArray::from_iter_primitive::<Int32Type, _, _>(vec![
        Some(vec![Some(1), Some(2)]),
        None,
        Some(vec![]),
        Some(vec![Some(3), None]),
    ]);
    let lists: ArrayRef = Arc::new(lists);
    assert_eq!(plain(lists.slice(1, 3)), some(&["NULL", "{}", "{3,NULL}"]));
    assert_eq!(plain(lists), some(&["{1,2}", "NULL", "{}", "{3,NULL}"]));
}

#[test]
fn records_quote_their_fields() {
    let a: ArrayRef = Arc::new(Int32Array::from(vec![Some(1), None]));
    let b: ArrayRef = Arc::new(StringViewArray::from(vec![Some("a \"b\\"), Some("")]));
    let fields = Fields::from(vec![Field::new("a", DataType::Int32, true), Field::new("b", DataType::Utf8View, true)]);
    let records = StructArray::new(fields, vec![a, b], None);
    assert_eq!(plain(Arc::new(records)), some(&["(1,\"a \"\"b\\\\\")", "(,\"\")"]));
}

#[test]
fn char_is_padded_and_void_is_empty() {
    let (ty, modifier) = crate::types::parse_type("char(4)").unwrap();
    let array = StringViewArray::from(vec![Some("\u{e9}"), None]);
    assert_eq!(print(&ty.field("c", modifier).unwrap(), &array), some(&["\u{e9}   ", "NULL"]));
    let printer = TextPrinter::for_type(ty, modifier, array.data_type(), &TextStyle::default()).unwrap().cast();
    let mut out = ColumnText::new();
    printer.print(&array, &mut out).unwrap();
    assert_eq!(out.text(0), Some("\u{e9}"));
    let void = crate::types::known(crate::types::oid::VOID).field("v", -1).unwrap();
    assert_eq!(print(&void, &NullArray::new(1)), some(&[""]));
}

#[test]
fn bitmaps_print_by_setting() {
    let ty = crate::types::known(crate::types::oid::ROARINGBITMAP);
    let bytes = crate::input::parse_roaringbitmap("{1,2}").unwrap();
    let array = BinaryViewArray::from(vec![bytes.as_slice()]);
    let mut style = TextStyle::default();
    let mut out = ColumnText::new();
    let field = ty.field("b", -1).unwrap();
    TextPrinter::for_field(&field, &style).unwrap().print(&array, &mut out).unwrap();
    assert!(out.text(0).unwrap().starts_with("\\x3a30"));
    style.set("roaringbitmap.output_format", "array").unwrap();
    TextPrinter::for_field(&field, &style).unwrap().print(&array, &mut out).unwrap();
    assert_eq!(out.text(0), Some("{1,2}"));
}
