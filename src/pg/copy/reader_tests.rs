use super::*;
use crate::copy::options::CopyOptions;
use proptest::prelude::*;

fn options(format: CopyFormat) -> CopyOptions {
    CopyOptions::new(format)
}

/// All rows as text and the error that ends them, for a chunk size.
fn read(options: &CopyOptions, columns: &[&str], data: &[u8], chunk: usize) -> (Vec<String>, Option<PgError>) {
    let columns = columns.iter().map(|name| (*name).to_owned()).collect();
    let mut reader = CopyReader::new(options, "t", columns).unwrap();
    let mut rows = Vec::new();
    let mut chunks = data.chunks(chunk);
    loop {
        let more = match reader.next_row() {
            Ok(Some(row)) => {
                let fields: Vec<Option<&str>> = (0..row.len()).map(|index| row.field(index)).collect();
                rows.push(format!("{} {fields:?}", row.line));
                continue;
            }
            Ok(None) => chunks.next(),
            Err(error) => return (rows, Some(error)),
        };
        match more {
            _ if reader.finished() => return (rows, None),
            Some(bytes) => reader.push(bytes),
            None => reader.end_input(),
        }
    }
}

/// Rows, or the error's SQLSTATE, message, hint and context; the same for every way to cut the data.
fn check(options: &CopyOptions, columns: &[&str], data: &str, rows: &[&str], error: Option<[&str; 3]>) {
    for chunk in 1..18 {
        let (found, refused) = read(options, columns, data.as_bytes(), chunk);
        assert_eq!(found, rows, "{data:?} in chunks of {chunk}");
        let refused = refused
            .map(|error| [error.code.to_string(), error.message.clone(), error.context.clone().unwrap_or_default()]);
        assert_eq!(refused, error.map(|parts| parts.map(str::to_owned)), "{data:?} in chunks of {chunk}");
    }
}

#[test]
fn text_rows_and_ends() {
    let text = options(CopyFormat::Text);
    let two = &["a", "b"];
    // Answers of PostgreSQL 15.
    for (data, rows) in [
        ("1\tx\n2\ty\n", &[r#"1 [Some("1"), Some("x")]"#, r#"2 [Some("2"), Some("y")]"#][..]),
        ("1\tx\r\n2\ty\r\n", &[r#"1 [Some("1"), Some("x")]"#, r#"2 [Some("2"), Some("y")]"#]),
        ("1\tx\r2\ty\r", &[r#"1 [Some("1"), Some("x")]"#, r#"2 [Some("2"), Some("y")]"#]),
        ("1\tx", &[r#"1 [Some("1"), Some("x")]"#]),
        ("1\t\\N\n", &[r#"1 [Some("1"), None]"#]),
        ("1\tx\\\ny\n", &[r#"1 [Some("1"), Some("x\ny")]"#]),
        ("1\tx\\x4\\101\\7z\\q\\\\\n", &["1 [Some(\"1\"), Some(\"x\\u{4}A\\u{7}zq\\\\\")]"]),
        ("1\ta\\tb\\nc\\r\\b\\f\\v\n", &["1 [Some(\"1\"), Some(\"a\\tb\\nc\\r\\u{8}\\u{c}\\u{b}\")]"]),
        ("1\tx\\\ty\n", &[r#"1 [Some("1"), Some("x\ty")]"#]),
        ("1\tx\n\\.\nignored\t\t\t\n", &[r#"1 [Some("1"), Some("x")]"#]),
        ("1\tx\\.\n2\ty\n", &[r#"1 [Some("1"), Some("x")]"#]),
        ("1\tx\r\n\\.\r\nmore", &[r#"1 [Some("1"), Some("x")]"#]),
        ("\\.\n", &[]),
        ("", &[]),
        ("\t\n", &[r#"1 [Some(""), Some("")]"#]),
        ("1\t\u{e9}\\u\u{e9}\n", &["1 [Some(\"1\"), Some(\"\u{e9}u\u{e9}\")]"]),
    ] {
        check(&text, two, data, rows, None);
    }
    check(&text, &["a"], "\n1\n", &[r#"1 [Some("")]"#, r#"2 [Some("1")]"#], None);
}

#[test]
fn text_errors() {
    let text = options(CopyFormat::Text);
    let first = &[r#"1 [Some("1"), Some("x")]"#][..];
    for (data, rows, error) in [
        ("1\n", &[][..], ["22P04", "missing data for column \"b\"", "COPY t, line 1: \"1\""]),
        ("1\tx\ty\n", &[], ["22P04", "extra data after last expected column", "COPY t, line 1: \"1\tx\ty\""]),
        ("1\tx\n2\ty\r\n", first, ["22P04", "literal carriage return found in data", "COPY t, line 2"]),
        ("1\tx\r\n2\ty\n", first, ["22P04", "literal newline found in data", "COPY t, line 2"]),
        ("1\tx\r\n2\ty\rz\r\n", first, ["22P04", "literal carriage return found in data", "COPY t, line 2"]),
        ("1\tx\n\\.", first, ["22P04", "end-of-copy marker corrupt", "COPY t, line 2"]),
        ("1\tx\n\\.x\n", first, ["22P04", "end-of-copy marker corrupt", "COPY t, line 2"]),
        (
            "1\tx\r\n\\.\n",
            first,
            ["22P04", "end-of-copy marker does not match previous newline style", "COPY t, line 2"],
        ),
        (
            "1\tx\\xff\n",
            &[],
            ["22021", "invalid byte sequence for encoding \"UTF8\": 0xff", "COPY t, line 1: \"1\tx\\xff\""],
        ),
    ] {
        check(&text, &["a", "b"], data, rows, Some(error));
    }
    let stray = read(&text, &["a"], b"1\n2\r\n", 64).1.unwrap();
    assert_eq!(stray.hint.as_deref(), Some("Use \"\\r\" to represent carriage return."));
}

#[test]
fn csv_rows() {
    let csv = options(CopyFormat::Csv);
    let two = &["a", "b"];
    for (data, rows) in [
        ("1,x\n2,\n", &[r#"1 [Some("1"), Some("x")]"#, r#"2 [Some("2"), None]"#][..]),
        ("1,\"\"\n", &[r#"1 [Some("1"), Some("")]"#]),
        ("1,\"a,b\"\n", &[r#"1 [Some("1"), Some("a,b")]"#]),
        ("1,\"a\"\"b\"\n", &[r#"1 [Some("1"), Some("a\"b")]"#]),
        ("1,\"a\nb\"\n2,y\n", &[r#"1 [Some("1"), Some("a\nb")]"#, r#"2 [Some("2"), Some("y")]"#]),
        (
            "0,z\n1,\"a\nb\"\n2,y\n",
            &[r#"1 [Some("0"), Some("z")]"#, r#"3 [Some("1"), Some("a\nb")]"#, r#"4 [Some("2"), Some("y")]"#],
        ),
        ("1,x\"y,z\"w\n", &[r#"1 [Some("1"), Some("xy,zw")]"#]),
        ("1,\\.\n", &[r#"1 [Some("1"), Some("\\.")]"#]),
        ("\\.\nrest", &[]),
        ("\\.x,1\n", &[r#"1 [Some("\\.x"), Some("1")]"#]),
        ("1,a\\b\n", &[r#"1 [Some("1"), Some("a\\b")]"#]),
        ("1,\"x\r\n\"\r\n", &["2 [Some(\"1\"), Some(\"x\\r\\n\")]"]),
    ] {
        check(&csv, two, data, rows, None);
    }
}

#[test]
fn csv_options_and_errors() {
    let csv = options(CopyFormat::Csv);
    let two = &["a", "b"];
    for (data, error) in [
        ("1\n", ["22P04", "missing data for column \"b\"", "COPY t, line 1: \"1\""]),
        ("1,\"x\n", ["22P04", "unterminated CSV quoted field", "COPY t, line 1: \"1,\"x\n\""]),
        ("1,x\r2,y\n", ["22P04", "unquoted newline found in data", "COPY t, line 2"]),
    ] {
        let found = read(&csv, two, data.as_bytes(), 64).1.unwrap();
        assert_eq!([found.code.as_str(), &found.message, found.context.as_deref().unwrap()], error);
    }
    let mut other = options(CopyFormat::Csv);
    (other.quote, other.escape, other.delimiter) = (b'\'', b'\\', b';');
    other.null = "nil".to_owned();
    check(
        &other,
        two,
        "'it\\'s';nil\n'a\\\\';'nil'\n",
        &[r#"1 [Some("it's"), None]"#, r#"2 [Some("a\\"), Some("nil")]"#],
        None,
    );
    let mut forced = options(CopyFormat::Csv);
    forced.force_not_null = vec!["a".to_owned()];
    forced.force_null = vec!["b".to_owned()];
    check(&forced, two, ",\"\"\n", &[r#"1 [Some(""), None]"#], None);
    forced.force_null = vec!["z".to_owned()];
    let error = CopyReader::new(&forced, "t", vec!["a".to_owned()]).unwrap_err();
    assert_eq!(error.message, "column \"z\" of relation \"t\" does not exist");
}

#[test]
fn headers() {
    let mut csv = options(CopyFormat::Csv);
    csv.header = CopyHeader::Present;
    check(&csv, &["a", "b"], "any\n1,2\n", &[r#"2 [Some("1"), Some("2")]"#], None);
    let error = read(&csv, &["a", "b"], b"a\xff,b\n1,2\n", 3).1.unwrap();
    assert_eq!((error.code.as_str(), error.context.as_deref()), ("22021", Some("COPY t, line 1")));
    csv.header = CopyHeader::Match;
    check(&csv, &["a", "b"], "a,\"b\"\n1,2\n", &[r#"2 [Some("1"), Some("2")]"#], None);
    for (data, message) in [
        ("id,nom\n", "column name mismatch in header line field 2: got \"nom\", expected \"name\""),
        ("id,\n", "column name mismatch in header line field 2: got null value (\"\"), expected \"name\""),
        ("id\n", "wrong number of fields in header line: field count is 1, expected 2"),
    ] {
        let error = read(&csv, &["id", "name"], data.as_bytes(), 3).1.unwrap();
        assert_eq!((error.code.as_str(), error.message.as_str()), ("22P04", message));
        assert_eq!(error.context, Some(format!("COPY t, line 1: \"{}\"", data.trim_end())));
    }
}

#[test]
fn contexts_cut_long_values() {
    let context = CopyContext::new("wcp");
    let error = context.value_error(PgError::invalid_input("integer", "x"), 2, "id", Some("x"));
    assert_eq!(error.context.as_deref(), Some("COPY wcp, line 2, column id: \"x\""));
    assert_eq!(context.column(3, "id", None), "COPY wcp, line 3, column id: null input");
    let long = "\u{e9}".repeat(60);
    let cut = format!("COPY wcp, line 1: \"{}...\"", "\u{e9}".repeat(50));
    assert_eq!(context.line_text(1, long.as_bytes()), cut);
}

#[test]
fn memory_does_not_grow_with_the_input() {
    let text = options(CopyFormat::Text);
    let mut reader = CopyReader::new(&text, "t", vec!["a".to_owned()]).unwrap();
    for _ in 0..2000 {
        reader.push(&b"0123456789\n".repeat(100));
        while reader.next_row().unwrap().is_some() {}
    }
    assert!(reader.buffer.capacity() < 16 * 1024, "{}", reader.buffer.capacity());
}

proptest! {
    #[test]
    fn chunks_do_not_matter(data in "[ab1,\"\t\\\\.N\r\n\u{e9}]{0,40}", chunk in 1usize..18, csv in any::<bool>()) {
        let options = options(if csv { CopyFormat::Csv } else { CopyFormat::Text });
        let whole = read(&options, &["a", "b"], data.as_bytes(), 1000);
        prop_assert_eq!(read(&options, &["a", "b"], data.as_bytes(), chunk), whole);
    }

    #[test]
    fn any_bytes_are_read_or_refused(data in proptest::collection::vec(any::<u8>(), 0..60), csv in any::<bool>()) {
        let options = options(if csv { CopyFormat::Csv } else { CopyFormat::Text });
        if let (_, Some(error)) = read(&options, &["a"], &data, 7) {
            prop_assert!(["22P04", "22021"].contains(&error.code.as_str()));
        }
    }
}
