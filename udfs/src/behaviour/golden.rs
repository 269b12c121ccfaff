//! Reads the golden tables under `tests/data` for the tests of this family.

use std::io::Read;

/// The lines after the header of a gzipped text table, split at `separator`.
pub(crate) fn table(name: &str, separator: char) -> Vec<Vec<String>> {
    let path = format!("{}/../tests/data/behaviour/{name}.csv.gz", env!("CARGO_MANIFEST_DIR"));
    let file = std::fs::File::open(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let mut text = String::new();
    flate2::read::GzDecoder::new(file).read_to_string(&mut text).unwrap();
    text.lines().skip(1).map(|line| line.split(separator).map(str::to_owned).collect()).collect()
}

/// The numbers of a field, separated by spaces.
pub(crate) fn numbers(field: &str) -> Vec<i64> {
    field.split_whitespace().map(|number| number.parse().unwrap()).collect()
}
