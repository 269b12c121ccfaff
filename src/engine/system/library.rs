//! Our functions as rows of pg_proc: what `\df` shows of schema tributary.
//!
//! OIDs are fixed in `sql/oids.tsv`, so a client may keep them; a function without a line there has no row, and a test
//! fails. Signatures come from the functions' own documentation.

use std::collections::HashMap;
use std::sync::LazyLock;

use tributary_pg::types;
use tributary_udfs::FAMILIES;
use tributary_udfs::family::Implementation;

/// A function of the library.
#[derive(Debug, Clone)]
pub struct LibraryFunction {
    /// OID, from `sql/oids.tsv`.
    pub oid: u32,
    /// Name.
    pub name: String,
    /// Arguments as documented, `rb roaringbitmap, value bigint`.
    pub arguments: String,
    /// Result as documented.
    pub result: String,
    /// prokind: f, a, w.
    pub kind: char,
    /// First sentence of the documentation.
    pub description: String,
    /// Result's type, `anyelement` where it is no type of the table.
    pub result_type: u32,
    /// Arguments' types, likewise.
    pub argument_types: Vec<u32>,
    /// Arguments' names.
    pub argument_names: Vec<String>,
}

/// pg_type.oid of anyelement: a documented type that is no single type.
const ANYELEMENT: u32 = 2283;

static OIDS: LazyLock<HashMap<&'static str, u32>> = LazyLock::new(|| {
    include_str!("../../../sql/oids.tsv")
        .lines()
        .skip(1)
        .filter_map(|line| {
            let (oid, name) = line.split_once('\t')?;
            Some((name, oid.parse().ok()?))
        })
        .collect()
});

static FUNCTIONS: LazyLock<Vec<LibraryFunction>> = LazyLock::new(|| {
    let mut functions: Vec<LibraryFunction> = FAMILIES
        .iter()
        .flat_map(|family| (family.functions)())
        .flat_map(|function| {
            let kind = match function.implementation {
                Implementation::Scalar(_) => 'f',
                Implementation::Aggregate(_) => 'a',
                Implementation::Window(_) => 'w',
            };
            let names: Vec<String> =
                std::iter::once(function.name().to_owned()).chain(function.aliases().iter().cloned()).collect();
            let syntax = function.documentation.syntax.first().cloned().unwrap_or_default();
            let description = function.documentation.description;
            names.into_iter().filter_map(move |name| {
                let oid = OIDS.get(name.as_str()).copied()?;
                Some(described(oid, name, &syntax, kind, &description))
            })
        })
        .collect();
    functions.sort_by_key(|function| function.oid);
    functions
});

/// Every function of the library that has an OID, by OID.
pub fn all() -> &'static [LibraryFunction] {
    &FUNCTIONS
}

/// A function by OID.
pub fn by_oid(oid: u32) -> Option<&'static LibraryFunction> {
    FUNCTIONS.binary_search_by_key(&oid, |function| function.oid).ok().map(|index| &FUNCTIONS[index])
}

/// A function's OID by name.
pub fn by_name(name: &str) -> Option<u32> {
    OIDS.get(name).copied()
}

/// Reads `name(a type, b type) -> result`.
fn described(oid: u32, name: String, syntax: &str, kind: char, description: &str) -> LibraryFunction {
    let (call, result) = syntax.split_once(" -> ").unwrap_or((syntax, "anyelement"));
    let call = call.split(" OVER ").next().unwrap_or(call);
    let inside = call.split_once('(').map_or("", |(_, rest)| rest.trim_end().trim_end_matches(')'));
    let arguments: Vec<&str> = split_arguments(inside);
    let (argument_names, argument_types) = arguments
        .iter()
        .map(|argument| {
            let (name, ty) = argument.split_once(' ').unwrap_or((argument, ""));
            let ty = ty.split(" DEFAULT ").next().unwrap_or_default();
            (name.trim_matches(['[', ']', ' ']).to_owned(), type_oid(ty))
        })
        .unzip();
    let first = description.split_once(". ").map_or(description, |(first, _)| first);
    LibraryFunction {
        oid,
        name,
        arguments: inside.to_owned(),
        result: result.trim().to_owned(),
        kind,
        description: first.trim_end_matches('.').to_owned(),
        result_type: type_oid(result.trim()),
        argument_types,
        argument_names,
    }
}

fn type_oid(name: &str) -> u32 {
    types::parse_type(name.trim_matches(['[', ' '])).map_or(ANYELEMENT, |(ty, _)| ty.oid)
}

/// Splits at commas outside parentheses.
fn split_arguments(inside: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut start) = (Vec::new(), 0_i32, 0);
    for (at, c) in inside.char_indices() {
        match c {
            '(' | '<' => depth += 1,
            ')' | '>' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(inside[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(inside[start..].trim());
    parts.retain(|part| !part.is_empty());
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Where the file is, for the run that adds new functions to it.
    const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/sql/oids.tsv");

    /// Names keep their OIDs; new ones come after the last when TRIBUTARY_BLESS=1.
    #[test]
    fn every_function_has_an_oid() {
        let mut names: Vec<String> = FAMILIES
            .iter()
            .flat_map(|family| (family.functions)())
            .flat_map(|f| std::iter::once(f.name().to_owned()).chain(f.aliases().iter().cloned()).collect::<Vec<_>>())
            .collect();
        names.sort();
        let missing: Vec<String> = names.into_iter().filter(|name| !OIDS.contains_key(name.as_str())).collect();
        if std::env::var_os("TRIBUTARY_BLESS").is_some() {
            let mut text = std::fs::read_to_string(FILE).expect("readable");
            let next = OIDS.values().max().map_or(8200, |oid| oid + 1);
            for (oid, name) in (next..).zip(&missing) {
                text.push_str(&format!("{oid}\t{name}\n"));
            }
            std::fs::write(FILE, text).expect("writable");
            return;
        }
        assert!(missing.is_empty(), "add to sql/oids.tsv with TRIBUTARY_BLESS=1: {missing:?}");
    }

    #[test]
    fn oids_are_ours_and_unique() {
        let mut oids: Vec<u32> = OIDS.values().copied().collect();
        oids.sort_unstable();
        let count = oids.len();
        oids.dedup();
        assert_eq!(oids.len(), count, "an OID is given twice");
        assert!(oids.iter().all(|oid| (8200..10_000).contains(oid)));
    }

    #[test]
    fn signatures_are_read() {
        let read = described(8200, "f".to_owned(), "f(rb roaringbitmap, n bigint) -> text[]", 'f', "Does. More.");
        assert_eq!(read.argument_names, ["rb", "n"]);
        assert_eq!(read.argument_types, [8000, 20]);
        assert_eq!((read.result_type, read.description.as_str()), (1009, "Does"));
        assert_eq!(split_arguments("a numeric(1, 2), b int"), ["a numeric(1, 2)", "b int"]);
    }
}
