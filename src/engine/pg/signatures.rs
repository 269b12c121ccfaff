//! PostgreSQL's signatures: which types, casts, operators and functions exist, under which names.
//!
//! The four tables beside this file are PostgreSQL 15's own `pg_type`, `pg_cast`, `pg_operator` and `pg_proc`, cut to the
//! columns that name resolution reads. Resolution over the real rows is what makes "operator does not exist" and "function
//! is not unique" come out as PostgreSQL says them. Nothing here knows how a function is computed: `kernels` does.

use std::collections::HashMap;
use std::sync::LazyLock;

/// The number PostgreSQL gives a type.
pub type Oid = u32;

/// Type numbers that the code names.
pub mod oid {
    use super::Oid;
    pub const BOOL: Oid = 16;
    pub const BYTEA: Oid = 17;
    pub const CHAR: Oid = 18;
    pub const NAME: Oid = 19;
    pub const INT8: Oid = 20;
    pub const INT2: Oid = 21;
    pub const INT2VECTOR: Oid = 22;
    pub const INT4: Oid = 23;
    pub const REGPROC: Oid = 24;
    pub const TEXT: Oid = 25;
    pub const OID: Oid = 26;
    pub const XID: Oid = 28;
    pub const OIDVECTOR: Oid = 30;
    pub const JSON: Oid = 114;
    pub const CIDR: Oid = 650;
    pub const FLOAT4: Oid = 700;
    pub const FLOAT8: Oid = 701;
    pub const UNKNOWN: Oid = 705;
    pub const INET: Oid = 869;
    pub const TEXT_ARRAY: Oid = 1009;
    pub const BPCHAR: Oid = 1042;
    pub const VARCHAR: Oid = 1043;
    pub const DATE: Oid = 1082;
    pub const TIME: Oid = 1083;
    pub const TIMESTAMP: Oid = 1114;
    pub const TIMESTAMPTZ: Oid = 1184;
    pub const INTERVAL: Oid = 1186;
    pub const NUMERIC: Oid = 1700;
    pub const REGCLASS: Oid = 2205;
    pub const REGTYPE: Oid = 2206;
    pub const RECORD: Oid = 2249;
    pub const ANY: Oid = 2276;
    pub const ANYARRAY: Oid = 2277;
    pub const VOID: Oid = 2278;
    pub const ANYELEMENT: Oid = 2283;
    pub const RECORD_ARRAY: Oid = 2287;
    pub const ANYNONARRAY: Oid = 2776;
    pub const UUID: Oid = 2950;
    pub const ANYENUM: Oid = 3500;
    pub const JSONB: Oid = 3802;
    pub const ANYRANGE: Oid = 3831;
    pub const REGNAMESPACE: Oid = 4089;
    pub const REGROLE: Oid = 4096;
    pub const ANYMULTIRANGE: Oid = 4537;
    pub const ANYCOMPATIBLEMULTIRANGE: Oid = 4538;
    pub const ANYCOMPATIBLE: Oid = 5077;
    pub const ANYCOMPATIBLEARRAY: Oid = 5078;
    pub const ANYCOMPATIBLENONARRAY: Oid = 5079;
    pub const ANYCOMPATIBLERANGE: Oid = 5080;
    pub const ROARINGBITMAP: Oid = 8000;
    pub const ROARINGBITMAP64: Oid = 8002;
}

/// One row of `pg_type`.
#[derive(Debug)]
pub struct TypeRow {
    /// Number.
    pub oid: Oid,
    /// `typname`.
    pub name: &'static str,
    /// `typlen`.
    pub length: i16,
    /// `typtype`: b, p, r, m.
    pub kind: u8,
    /// `typcategory`: N numbers, S strings, D dates, A arrays, ...
    pub category: u8,
    /// Whether the type is the preferred one of its category.
    pub preferred: bool,
    /// Element type of an array, else 0.
    pub element: Oid,
    /// Array type over this one, else 0.
    pub array: Oid,
}

/// One row of `pg_proc`.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Proc {
    /// Number.
    pub oid: Oid,
    /// Name without schema.
    pub name: &'static str,
    /// f function, a aggregate, w window function.
    pub kind: u8,
    /// Element type of a VARIADIC last argument, else 0.
    pub variadic: Oid,
    /// Whether it returns a set.
    pub set: bool,
    /// Whether a NULL argument gives NULL.
    pub strict: bool,
    /// i immutable, s stable, v volatile.
    pub volatile: u8,
    /// How many trailing arguments have defaults.
    pub defaults: usize,
    /// Result type.
    pub result: Oid,
    /// Argument types.
    pub arguments: Vec<Oid>,
    /// The implementation's name (`prosrc`): unique where names are overloaded.
    pub code: &'static str,
    /// Output columns of functions that return rows.
    pub columns: Vec<(&'static str, Oid)>,
}

/// One row of `pg_operator`.
#[derive(Debug)]
pub struct OperatorRow {
    /// Symbol.
    pub name: &'static str,
    /// Left operand type; 0 for a prefix operator.
    pub left: Oid,
    /// Right operand type.
    pub right: Oid,
    /// Result type.
    pub result: Oid,
    /// The implementing function.
    pub code: &'static str,
}

/// When a cast may be applied without being written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Context {
    /// Anywhere.
    Implicit,
    /// When storing into a column.
    Assignment,
    /// Only when written.
    Explicit,
}

/// One row of `pg_cast`.
#[derive(Debug)]
pub struct CastRow {
    /// Weakest context in which the cast applies.
    pub context: Context,
    /// f by function, i through text, b by relabelling.
    pub method: u8,
}

/// The tables, indexed.
#[derive(Debug)]
pub struct Signatures {
    types: HashMap<Oid, TypeRow>,
    type_names: HashMap<&'static str, Oid>,
    procs: HashMap<&'static str, Vec<Proc>>,
    operators: HashMap<&'static str, Vec<OperatorRow>>,
    casts: HashMap<(Oid, Oid), CastRow>,
}

static SIGNATURES: LazyLock<Signatures> = LazyLock::new(load);

/// The one set of tables.
pub fn signatures() -> &'static Signatures {
    &SIGNATURES
}

impl Signatures {
    /// The row of a type.
    pub fn type_row(&self, oid: Oid) -> Option<&TypeRow> {
        self.types.get(&oid)
    }

    /// The number of the type called `name` (its internal name, `int4` rather than `integer`).
    pub fn type_named(&self, name: &str) -> Option<Oid> {
        self.type_names.get(name).copied()
    }

    /// All functions, aggregates and window functions called `name`.
    pub fn procs(&self, name: &str) -> &[Proc] {
        self.procs.get(name).map_or(&[], Vec::as_slice)
    }

    /// Names of all functions.
    pub fn proc_names(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.procs.keys().copied()
    }

    /// All operators with that symbol.
    pub fn operators(&self, name: &str) -> &[OperatorRow] {
        self.operators.get(name).map_or(&[], Vec::as_slice)
    }

    /// The cast from one type to another, if `pg_cast` has it.
    pub fn cast(&self, from: Oid, to: Oid) -> Option<&CastRow> {
        self.casts.get(&(from, to))
    }
}

/// Element type of an array type, else None. `name` has elements but is no array.
pub fn element_of(array: Oid) -> Option<Oid> {
    match signatures().type_row(array) {
        Some(row) if row.element != 0 && row.length == -1 && row.kind == b'b' => Some(row.element),
        _ => None,
    }
}

/// Array type over an element type.
pub fn array_of(element: Oid) -> Option<Oid> {
    signatures().type_row(element).map(|row| row.array).filter(|array| *array != 0)
}

/// A type's category letter; X for unknown types.
pub fn category(of: Oid) -> u8 {
    signatures().type_row(of).map_or(b'X', |row| row.category)
}

/// Whether the type is the preferred one of its category.
pub fn preferred(of: Oid) -> bool {
    signatures().type_row(of).is_some_and(|row| row.preferred)
}

/// A type's name as error messages and `format_type` print it.
pub fn display_name(of: Oid) -> String {
    if let Some(element) = element_of(of)
        && of != oid::INT2VECTOR
        && of != oid::OIDVECTOR
    {
        return format!("{}[]", display_name(element));
    }
    let name = signatures().type_row(of).map_or("???", |row| row.name);
    match name {
        "bool" => "boolean",
        "int2" => "smallint",
        "int4" => "integer",
        "int8" => "bigint",
        "float4" => "real",
        "float8" => "double precision",
        "varchar" => "character varying",
        "bpchar" => "character",
        "char" => "\"char\"",
        "time" => "time without time zone",
        "timetz" => "time with time zone",
        "timestamp" => "timestamp without time zone",
        "timestamptz" => "timestamp with time zone",
        "varbit" => "bit varying",
        other => other,
    }
    .to_owned()
}

fn rows(text: &'static str) -> impl Iterator<Item = Vec<&'static str>> {
    text.lines().skip(1).filter(|line| !line.is_empty()).map(|line| line.split('\t').collect())
}

fn number(field: &str) -> u32 {
    field.parse().unwrap_or(0)
}

fn load() -> Signatures {
    let mut types = HashMap::new();
    for row in rows(include_str!("signatures/types.tsv")) {
        let row = TypeRow {
            oid: number(row[0]),
            name: row[1],
            length: row[2].parse().unwrap_or(-1),
            kind: row[3].as_bytes()[0],
            category: row[4].as_bytes()[0],
            preferred: row[5] == "t",
            element: number(row[6]),
            array: number(row[7]),
        };
        types.insert(row.oid, row);
    }
    let type_names = types.values().map(|row: &TypeRow| (row.name, row.oid)).collect();
    let mut procs: HashMap<&'static str, Vec<Proc>> = HashMap::new();
    for row in rows(include_str!("signatures/functions.tsv")) {
        procs.entry(row[1]).or_default().push(proc(&row));
    }
    let mut operators: HashMap<&'static str, Vec<OperatorRow>> = HashMap::new();
    for row in rows(include_str!("signatures/operators.tsv")) {
        operators.entry(row[1]).or_default().push(OperatorRow {
            name: row[1],
            left: number(row[2]),
            right: number(row[3]),
            result: number(row[4]),
            code: row[5].strip_prefix("pg_catalog.").unwrap_or(row[5]),
        });
    }
    let mut casts = HashMap::new();
    for row in rows(include_str!("signatures/casts.tsv")) {
        let context = match row[3] {
            "i" => Context::Implicit,
            "a" => Context::Assignment,
            _ => Context::Explicit,
        };
        casts.insert((number(row[0]), number(row[1])), CastRow { context, method: row[4].as_bytes()[0] });
    }
    Signatures { types, type_names, procs, operators, casts }
}

fn proc(row: &[&'static str]) -> Proc {
    let columns = match row[11] {
        "\\N" => Vec::new(),
        list => list.split(' ').filter_map(|pair| pair.split_once(':')).map(|(name, of)| (name, number(of))).collect(),
    };
    Proc {
        oid: number(row[0]),
        name: row[1],
        kind: row[2].as_bytes()[0],
        variadic: number(row[3]),
        set: row[4] == "s",
        strict: row[5] == "t",
        volatile: row[6].as_bytes()[0],
        defaults: number(row[7]) as usize,
        result: number(row[8]),
        arguments: row[9].split(' ').filter(|text| !text.is_empty()).map(number).collect(),
        code: row[10],
        columns,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_load_and_agree_with_each_other() {
        let all = signatures();
        assert_eq!(all.type_named("int4"), Some(oid::INT4));
        assert_eq!(element_of(oid::TEXT_ARRAY), Some(oid::TEXT));
        assert_eq!(element_of(oid::NAME), None);
        for row in all.operators.values().flatten() {
            for side in [row.left, row.right, row.result] {
                assert!(side == 0 || all.type_row(side).is_some(), "operator {} names type {side}", row.name);
            }
        }
        for (from, to) in all.casts.keys() {
            assert!(all.type_row(*from).is_some() && all.type_row(*to).is_some(), "cast {from} to {to}");
        }
    }
}
