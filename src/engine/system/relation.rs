//! What the system relations look like: names, OIDs and columns exactly as PostgreSQL 15.
//!
//! The lists come from the embedded tables `data/system_relations.tsv` and `data/system_columns.tsv`, so a client that
//! reads a column by name, number or type finds what it finds in PostgreSQL; the views of schema tributary are listed
//! alike in `own/`. OIDs never change. This module knows shapes only; the rows come from the modules beside it.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use datafusion::arrow::datatypes::{DataType, Field, IntervalUnit, Schema, SchemaRef, TimeUnit};

use crate::engine::catalog::oid;

/// OID of schema pg_catalog.
pub const PG_CATALOG: u32 = 11;
/// OID of schema information_schema.
pub const INFORMATION_SCHEMA: u32 = 13207;

/// How a cell of a system relation is kept in Arrow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// boolean
    Bool,
    /// smallint
    Int2,
    /// integer
    Int4,
    /// bigint
    Int8,
    /// oid and everything stored like it (xid, reg*)
    Oid,
    /// real
    Float4,
    /// double precision
    Float8,
    /// numeric without precision
    Numeric,
    /// bytea
    Bytes,
    /// timestamp with time zone, in microseconds since 1970
    Timestamptz,
    /// interval
    Interval,
    /// text, name, "char" and every type that is shown as text
    Text,
    /// void: no value at all
    Void,
    /// An array, int2vector or oidvector
    List(Box<Kind>),
}

impl Kind {
    /// The kind that keeps a type, by its typname (`_text` for arrays).
    pub fn of(typname: &str) -> Self {
        match typname {
            "bool" => Self::Bool,
            "int2" => Self::Int2,
            "int4" => Self::Int4,
            "int8" => Self::Int8,
            "float4" => Self::Float4,
            "float8" => Self::Float8,
            "numeric" => Self::Numeric,
            "bytea" => Self::Bytes,
            "timestamptz" => Self::Timestamptz,
            "interval" => Self::Interval,
            "void" => Self::Void,
            "int2vector" => Self::List(Box::new(Self::Int2)),
            "oidvector" => Self::List(Box::new(Self::Oid)),
            "oid" | "xid" => Self::Oid,
            _ if typname.starts_with("reg") => Self::Oid,
            _ => match typname.strip_prefix('_') {
                Some(element) => Self::List(Box::new(Self::of(element))),
                None => Self::Text,
            },
        }
    }

    /// Its Arrow type.
    pub fn arrow(&self) -> DataType {
        match self {
            Self::Bool => DataType::Boolean,
            Self::Int2 => DataType::Int16,
            Self::Int4 => DataType::Int32,
            Self::Int8 => DataType::Int64,
            Self::Oid => DataType::UInt32,
            Self::Float4 => DataType::Float32,
            Self::Float8 => DataType::Float64,
            Self::Numeric => DataType::Decimal256(76, 38),
            Self::Bytes => DataType::BinaryView,
            Self::Timestamptz => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Self::Interval => DataType::Interval(IntervalUnit::MonthDayNano),
            Self::Text => DataType::Utf8View,
            Self::Void => DataType::Null,
            Self::List(element) => DataType::List(Arc::new(Field::new_list_field(element.arrow(), true))),
        }
    }
}

/// A column of a system relation.
#[derive(Clone, Debug)]
pub struct SystemColumn {
    /// Its name.
    pub name: &'static str,
    /// Type OID; domains of information_schema keep theirs.
    pub type_oid: u32,
    /// typname of what values look like: domains are resolved to their base type.
    pub typname: &'static str,
    /// Type modifier, -1 for none.
    pub typmod: i32,
    /// NOT NULL.
    pub not_null: bool,
    /// attcollation.
    pub collation: u32,
    /// Type modifier of values: that of the domain's base type, else [`SystemColumn::typmod`].
    pub value_typmod: i32,
    /// How cells are kept.
    pub kind: Kind,
}

/// A relation of pg_catalog, information_schema or tributary.
#[derive(Debug)]
pub struct SystemRelation {
    /// Its OID in PostgreSQL 15.
    pub oid: u32,
    /// OID of its schema.
    pub schema_oid: u32,
    /// `pg_catalog`, `information_schema` or `tributary`.
    pub schema: &'static str,
    /// Its name.
    pub name: &'static str,
    /// `r` or `v`.
    pub relkind: char,
    /// OID of its row type.
    pub row_type: u32,
    /// OID of the array of its row type; 0 for PostgreSQL's relations, whose types have rows of their own.
    pub array_type: u32,
    /// Columns in attnum order; attnum is index + 1.
    pub columns: Vec<SystemColumn>,
    /// The same as an Arrow schema, with the metadata that describes types to clients.
    pub arrow: SchemaRef,
    index: HashMap<&'static str, usize>,
}

impl SystemRelation {
    /// Index of a column.
    pub fn column_index(&self, name: &str) -> Option<usize> {
        self.index.get(name).copied()
    }
}

/// Every system relation, ordered by schema and name.
pub fn relations() -> &'static [SystemRelation] {
    &REGISTRY.relations
}

/// A relation by schema and name.
pub fn relation(schema: &str, name: &str) -> Option<&'static SystemRelation> {
    REGISTRY.by_name.get(schema)?.get(name).map(|&index| &REGISTRY.relations[index])
}

/// A relation by OID.
pub fn relation_by_oid(oid: u32) -> Option<&'static SystemRelation> {
    REGISTRY.by_oid.get(&oid).map(|&index| &REGISTRY.relations[index])
}

/// Splits an embedded table (header line, tab-separated, `\N` for null) into rows of raw fields.
pub(crate) fn tsv(text: &'static str) -> impl Iterator<Item = Vec<&'static str>> {
    text.lines().skip(1).map(|line| line.split('\t').collect())
}

struct Registry {
    relations: Vec<SystemRelation>,
    by_name: HashMap<&'static str, HashMap<&'static str, usize>>,
    by_oid: HashMap<u32, usize>,
}

static REGISTRY: LazyLock<Registry> = LazyLock::new(|| {
    let mut columns: HashMap<(&str, &str), Vec<SystemColumn>> = HashMap::new();
    let listed = tsv(include_str!("data/system_columns.tsv")).chain(tsv(include_str!("own/columns.tsv")));
    for row in listed {
        columns.entry((row[0], row[1])).or_default().push(column(&row));
    }
    let mut registry = Registry { relations: Vec::new(), by_name: HashMap::new(), by_oid: HashMap::new() };
    let listed = tsv(include_str!("data/system_relations.tsv")).chain(tsv(include_str!("own/relations.tsv")));
    for row in listed {
        let own = row[1] == "tributary";
        let columns = columns.remove(&(row[1], row[2])).unwrap_or_default();
        let oid = number(row[0]);
        let index = registry.relations.len();
        registry.by_name.entry(row[1]).or_default().insert(row[2], index);
        registry.by_oid.insert(oid, index);
        registry.relations.push(SystemRelation {
            oid,
            schema_oid: match row[1] {
                "pg_catalog" => PG_CATALOG,
                "information_schema" => INFORMATION_SCHEMA,
                _ => oid::TRIBUTARY,
            },
            schema: row[1],
            name: row[2],
            relkind: row[3].chars().next().unwrap_or('r'),
            row_type: number(row[4]),
            array_type: if own { number(row[5]) } else { 0 },
            arrow: arrow_schema(oid, &columns),
            index: columns.iter().enumerate().map(|(index, column)| (column.name, index)).collect(),
            columns,
        });
    }
    registry
});

fn column(row: &[&'static str]) -> SystemColumn {
    let typname = base_typname(row[4]);
    SystemColumn {
        name: row[3],
        type_oid: number(row[5]),
        typname,
        typmod: row[6].parse().unwrap_or(-1),
        value_typmod: domain_typmod(row[4]).unwrap_or_else(|| row[6].parse().unwrap_or(-1)),
        not_null: row[7] == "t",
        collation: number(row[8]),
        kind: Kind::of(typname),
    }
}

/// typname for a type as format_type spells it; the five domains of information_schema become their base types, as
/// they do on the wire.
fn base_typname(formatted: &'static str) -> &'static str {
    match formatted {
        "boolean" => "bool",
        "boolean[]" => "_bool",
        "smallint" => "int2",
        "smallint[]" => "_int2",
        "integer" | "information_schema.cardinal_number" => "int4",
        "bigint" => "int8",
        "real" => "float4",
        "real[]" => "_float4",
        "double precision" => "float8",
        "double precision[]" => "_float8",
        "\"char\"" => "char",
        "\"char\"[]" => "_char",
        "name[]" => "_name",
        "text[]" => "_text",
        "oid[]" => "_oid",
        "regtype[]" => "_regtype",
        "aclitem[]" => "_aclitem",
        "pg_statistic[]" => "_pg_statistic",
        "timestamp with time zone" | "information_schema.time_stamp" => "timestamptz",
        "information_schema.character_data" | "information_schema.yes_or_no" => "varchar",
        "information_schema.sql_identifier" => "name",
        other => other,
    }
}

/// Modifier of the base type of the domains that have one.
fn domain_typmod(formatted: &str) -> Option<i32> {
    match formatted {
        "information_schema.yes_or_no" => Some(7),
        "information_schema.time_stamp" => Some(2),
        _ => None,
    }
}

fn arrow_schema(oid: u32, columns: &[SystemColumn]) -> SchemaRef {
    let fields: Vec<Field> = columns
        .iter()
        .enumerate()
        .map(|(index, column)| {
            let mut metadata = HashMap::from([
                ("pg.type".to_string(), column.typname.to_string()),
                ("pg.column".to_string(), format!("{oid}.{}", index + 1)),
            ]);
            if column.value_typmod >= 0 {
                metadata.insert("pg.typmod".to_string(), column.value_typmod.to_string());
            }
            Field::new(column.name, column.kind.arrow(), !column.not_null).with_metadata(metadata)
        })
        .collect();
    Arc::new(Schema::new(fields))
}

fn number(text: &str) -> u32 {
    text.parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_are_complete() {
        let own = relations().iter().filter(|relation| relation.schema_oid == oid::TRIBUTARY).count();
        assert_eq!((relations().len() - own, own), (208, 3));
        let class = relation("pg_catalog", "pg_class").expect("listed");
        assert_eq!((class.oid, class.columns.len(), class.column_index("relkind")), (1259, 33, Some(16)));
        for relation in relations() {
            assert!(!relation.columns.is_empty(), "{} has columns", relation.name);
            assert!(relation.row_type != 0, "{} has a row type", relation.name);
        }
    }
}
