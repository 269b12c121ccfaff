//! The house rules, each as a test: floors, names, ASCII, one major of arrow and datafusion.

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn rust_files(below: &str) -> Vec<PathBuf> {
    fn walk(directory: &Path, files: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(directory).expect("readable") {
            let path = entry.expect("readable").path();
            if path.is_dir() && path.file_name().is_some_and(|name| name != "target") {
                walk(&path, files);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    let mut files = Vec::new();
    walk(&root().join(below), &mut files);
    files.sort();
    files
}

fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).expect("readable")
}

/// Lines that are code: no comments. A `//` inside a string ends the line early, which only hides code from the rules.
fn code_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().map(|(index, line)| (index + 1, line.split("//").next().unwrap_or_default()))
}

/// The floor of a file of the root package, lowest first. `None`: tests, benches, other crates.
fn floor(path: &str) -> Option<(u8, &'static str)> {
    const FLOORS: [(&str, u8, &str); 10] = [
        ("src/pg/", 0, "pg"),
        ("src/store/", 1, "store"),
        ("src/dialect", 2, "dialect"),
        ("src/engine", 3, "engine"),
        ("src/wire", 4, "wire"),
        ("src/admin", 4, "admin"),
        ("src/config", 5, "config"),
        ("src/server", 6, "server"),
        ("src/demo", 7, "demo"),
        ("src/command", 8, "command"),
    ];
    FLOORS.iter().find(|(prefix, ..)| path.starts_with(prefix)).map(|(_, level, name)| (*level, *name))
}

#[test]
fn a_file_uses_only_floors_below() {
    let mut breaches = Vec::new();
    for path in rust_files("src") {
        let file = shown(&path);
        let Some((level, name)) = floor(&file) else { continue };
        let text = read(&path);
        for (line, code) in code_lines(&text) {
            for used in code.match_indices("crate::").filter_map(|(at, _)| {
                let rest = &code[at + "crate::".len()..];
                let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
                Some(&rest[..end]).filter(|module| !module.is_empty())
            }) {
                let target = floor(&format!("src/{used}"));
                if let Some((used_level, used_name)) = target
                    && used_name != name
                    && used_level >= level
                    && level >= 2
                {
                    breaches.push(format!("{file}:{line} floor {name} uses {used_name}"));
                }
            }
        }
    }
    assert!(breaches.is_empty(), "{}", breaches.join("\n"));
}

#[test]
fn outside_names_stay_on_their_floor() {
    let allowed: [(&str, &[&str]); 4] = [
        ("datafusion::", &["src/engine", "src/dialect"]),
        ("pgwire::", &["src/wire"]),
        ("sled::", &["src/store/"]),
        ("axum::", &["src/admin"]),
    ];
    let mut breaches = Vec::new();
    for path in rust_files("src") {
        let file = shown(&path);
        for (line, code) in code_lines(&read(&path)) {
            for (name, places) in allowed {
                let named = code
                    .match_indices(name)
                    .any(|(at, _)| !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':'));
                if named && !places.iter().any(|place| file.starts_with(place)) {
                    breaches.push(format!("{file}:{line} names {name}"));
                }
                // The dialect may name the parser that DataFusion re-exports, and nothing else of it.
                let parser = code.contains("datafusion::sql::sqlparser");
                if named && name == "datafusion::" && file.starts_with("src/dialect") && !parser {
                    breaches.push(format!("{file}:{line} names more of datafusion than its SQL parser"));
                }
            }
        }
    }
    assert!(breaches.is_empty(), "{}", breaches.join("\n"));
}

#[test]
fn functions_are_free_of_the_engine() {
    let manifest = read(&root().join("udfs/Cargo.toml"));
    for forbidden in ["datafusion.workspace", "tokio", "sled", "tributary-store"] {
        assert!(!manifest.contains(forbidden), "udfs/Cargo.toml names {forbidden}");
    }
    for path in rust_files("udfs/src") {
        for (line, code) in code_lines(&read(&path)) {
            for forbidden in ["std::fs", "std::env", "SystemTime", "Instant::now", "tokio::", "datafusion::prelude"] {
                let test_only =
                    code.contains("var_os(\"TRIBUTARY_BLESS\")") || code.contains("var(\"TRIBUTARY_BLESS\")");
                assert!(
                    !code.contains(forbidden) || test_only || in_tests(&path, line),
                    "{}:{line} names {forbidden}",
                    shown(&path)
                );
            }
        }
    }
}

/// Is the line below the file's `#[cfg(test)]`, or the file a test module?
fn in_tests(path: &Path, line: usize) -> bool {
    let name = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    name.ends_with("tests")
        // Modules that exist under `#[cfg(test)]` only.
        || ["golden", "laws", "twin"].contains(&name)
        || path.components().any(|part| part.as_os_str() == "laws")
        || path.components().any(|part| part.as_os_str() == "tests")
        || read(path).lines().take(line).any(|text| text.trim().starts_with("#[cfg(test)]"))
}

#[test]
fn sources_are_ascii_and_open_with_their_purpose() {
    let mut faults = Vec::new();
    for path in rust_files("src").into_iter().chain(rust_files("udfs")) {
        let text = read(&path);
        if let Some(line) = text.lines().position(|line| !line.is_ascii()) {
            faults.push(format!("{}:{} is not ASCII", shown(&path), line + 1));
        }
        if !text.starts_with("//!") && !shown(&path).ends_with("_tests.rs") {
            faults.push(format!("{} does not open with what it is for", shown(&path)));
        }
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if ["mod.rs", "utils.rs", "util.rs", "common.rs", "helpers.rs"].contains(&name) {
            faults.push(format!("{} says nothing by its name", shown(&path)));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn unsafe_code_is_where_it_is_expected() {
    // The mmap reader, and kernels behind run-time CPU detection: each has a checked twin.
    let allowed = ["src/store/map.rs", "udfs/src/bitmap/kernels.rs"];
    for path in rust_files("src").into_iter().chain(rust_files("udfs")) {
        let file = shown(&path);
        for (line, code) in code_lines(&read(&path)) {
            let found = code.contains("unsafe {") || code.contains("unsafe fn") || code.contains("unsafe impl");
            let expected = allowed.contains(&file.as_str()) || in_tests(&path, line);
            assert!(!found || expected, "{file}:{line} is unsafe");
        }
    }
}

#[test]
fn one_major_of_arrow_and_datafusion() {
    let lock = read(&root().join("Cargo.lock"));
    for family in ["arrow", "datafusion", "parquet", "sqlparser", "tokio"] {
        let mut majors: Vec<&str> = lock
            .split("[[package]]")
            .filter(|package| package.contains(&format!("name = \"{family}\"\n")))
            .filter_map(|package| package.split("version = \"").nth(1)?.split('.').next())
            .collect();
        majors.dedup();
        assert_eq!(majors.len(), 1, "{family} is locked as {majors:?}");
    }
}

#[test]
fn the_reference_of_functions_is_current() {
    let file = root().join("sql/FUNCTIONS.md");
    assert_eq!(
        read(&file),
        tributary_udfs::render_functions_markdown(),
        "sql/FUNCTIONS.md is stale: TRIBUTARY_BLESS=1 cargo test -p tributary-udfs writes it"
    );
}

#[test]
fn no_function_name_is_given_twice() {
    let mut names: Vec<String> = Vec::new();
    for family in tributary_udfs::FAMILIES {
        for function in (family.functions)() {
            names.push(function.name().to_owned());
            names.extend(function.aliases().iter().cloned());
        }
    }
    let mut sorted = names.clone();
    sorted.sort();
    let twice: Vec<&String> = sorted.windows(2).filter(|pair| pair[0] == pair[1]).map(|pair| &pair[0]).collect();
    assert!(twice.is_empty(), "{twice:?}");
    assert!(names.len() > 20, "only {} functions are listed", names.len());
}

#[test]
fn the_top_level_is_fixed() {
    let allowed = [
        "ARCHITECTURE.md",
        "CHANGELOG.md",
        "CONTRIBUTING.md",
        "Cargo.lock",
        "Cargo.toml",
        "LICENSE",
        "README.md",
        "benches",
        "sql",
        "src",
        "tests",
        "udfs",
        "target",
        "data",
    ];
    for entry in fs::read_dir(root()).expect("readable") {
        let name = entry.expect("readable").file_name().to_string_lossy().into_owned();
        assert!(name.starts_with('.') || allowed.contains(&name.as_str()), "{name} does not belong at the top");
    }
}
