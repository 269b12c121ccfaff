//! Reads the golden files under `tests/data/attribution` for the tests of this family.

/// A file's text.
pub(crate) fn text(name: &str) -> String {
    let path = format!("{}/../tests/data/attribution/{name}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The lines after the header.
pub(crate) fn lines(name: &str) -> Vec<String> {
    text(name).lines().skip(1).map(str::to_owned).collect()
}

/// A JSON file.
pub(crate) fn json(name: &str) -> serde_json::Value {
    serde_json::from_str(&text(name)).unwrap()
}
