use std::sync::Arc;

use arrow::array::{ArrayRef, StringViewArray};
use arrow::datatypes::{DataType, Field};
use proptest::prelude::*;

use super::*;
use crate::copy::options::ColumnChoice;
use crate::copy::reader::CopyReader;
use crate::style::TextStyle;
use crate::text::TextPrinter;

fn printed(values: &[Option<String>]) -> ColumnText {
    let array: ArrayRef = Arc::new(StringViewArray::from_iter(values.iter().map(|value| value.as_deref())));
    let field = Field::new("c", DataType::Utf8View, true);
    let mut out = ColumnText::new();
    TextPrinter::for_field(&field, &TextStyle::default()).unwrap().print(array.as_ref(), &mut out).unwrap();
    out
}

fn one(options: &CopyOptions, values: &[Option<&str>]) -> String {
    let names: Vec<String> = (0..values.len()).map(|index| format!("c{index}")).collect();
    let columns: Vec<ColumnText> = values.iter().map(|value| printed(&[value.map(str::to_owned)])).collect();
    let writer = CopyWriter::new(options, None, names).unwrap();
    let mut out = Vec::new();
    writer.write_row(&columns, 0, &mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn escapes_and_quotes() {
    let text = CopyOptions::new(CopyFormat::Text);
    assert_eq!(one(&text, &[Some("a\tb\\c\n\r\u{8}\u{b}\u{c}\u{1}"), None]), "a\\tb\\\\c\\n\\r\\b\\v\\f\u{1}\t\\N\n");
    let mut bar = CopyOptions::new(CopyFormat::Text);
    bar.delimiter = b'|';
    assert_eq!(one(&bar, &[Some("a|b\tc"), Some("")]), "a\\|b\\tc|\n");
    let csv = CopyOptions::new(CopyFormat::Csv);
    assert_eq!(one(&csv, &[Some("a,b"), Some(""), None, Some("x\"y"), Some("\\.")]), "\"a,b\",\"\",,\"x\"\"y\",\\.\n");
    assert_eq!(one(&csv, &[Some("\\.")]), "\"\\.\"\n");
    let mut forced = CopyOptions::new(CopyFormat::Csv);
    forced.force_quote = ColumnChoice::All;
    forced.header = CopyHeader::Present;
    assert_eq!(one(&forced, &[Some("a"), None]), "\"a\",\n");
    let writer = CopyWriter::new(&forced, Some("t"), vec!["a".to_owned(), "b,c".to_owned()]).unwrap();
    let mut out = Vec::new();
    assert!(writer.write_header(&mut out));
    assert_eq!(out, b"a,\"b,c\"\n");
    forced.force_quote = ColumnChoice::Names(vec!["z".to_owned()]);
    assert_eq!(CopyWriter::new(&forced, Some("t"), Vec::new()).unwrap_err().code.as_str(), "42703");
}

proptest! {
    #[test]
    fn what_is_written_reads_back(
        rows in proptest::collection::vec((proptest::option::of("[a,\"'\\\\\t\n\r|.N\u{e9}]{0,6}"),
                                           proptest::option::of(".{0,6}")), 1..6),
        csv in any::<bool>(),
    ) {
        let clean = |value: &Option<String>| value.as_ref().map(|text| text.replace('\0', ""));
        let a: Vec<Option<String>> = rows.iter().map(|row| clean(&row.0)).collect();
        let b: Vec<Option<String>> = rows.iter().map(|row| clean(&row.1)).collect();
        let options = CopyOptions::new(if csv { CopyFormat::Csv } else { CopyFormat::Text });
        let names = vec!["a".to_owned(), "b".to_owned()];
        let writer = CopyWriter::new(&options, None, names.clone()).unwrap();
        let columns = [printed(&a), printed(&b)];
        let mut out = Vec::new();
        for row in 0..rows.len() {
            writer.write_row(&columns, row, &mut out);
        }
        let mut reader = CopyReader::new(&options, "t", names).unwrap();
        reader.push(&out);
        reader.end_input();
        for row in 0..rows.len() {
            let read = reader.next_row().unwrap().unwrap();
            prop_assert_eq!(read.field(0), a[row].as_deref());
            prop_assert_eq!(read.field(1), b[row].as_deref());
        }
        prop_assert!(reader.next_row().unwrap().is_none());
    }
}
