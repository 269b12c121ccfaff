//! The relations whose rows never change: PostgreSQL 15's own types, functions, operators, casts and the like.
//!
//! The rows are embedded as PostgreSQL's COPY text (`data/`, with PostgreSQL's licence) and parsed once, when first
//! read. Relations that also hold rows of the user's making (pg_type, pg_proc, pg_authid, pg_description) take these
//! rows as their beginning.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use datafusion::arrow::array::RecordBatch;

use super::relation::{SystemRelation, relation, tsv};
use super::rows::{Cell, Rows};
use tributary_pg::error::PgResult;

/// The embedded text of a relation of pg_catalog.
fn embedded(name: &str) -> Option<&'static str> {
    Some(match name {
        "pg_aggregate" => include_str!("data/pg_aggregate.tsv"),
        "pg_am" => include_str!("data/pg_am.tsv"),
        "pg_amop" => include_str!("data/pg_amop.tsv"),
        "pg_amproc" => include_str!("data/pg_amproc.tsv"),
        "pg_auth_members" => include_str!("data/pg_auth_members.tsv"),
        "pg_authid" => include_str!("data/pg_authid.tsv"),
        "pg_cast" => include_str!("data/pg_cast.tsv"),
        "pg_collation" => include_str!("data/pg_collation.tsv"),
        "pg_conversion" => include_str!("data/pg_conversion.tsv"),
        "pg_description" => include_str!("data/pg_description.tsv"),
        "pg_language" => include_str!("data/pg_language.tsv"),
        "pg_opclass" => include_str!("data/pg_opclass.tsv"),
        "pg_operator" => include_str!("data/pg_operator.tsv"),
        "pg_opfamily" => include_str!("data/pg_opfamily.tsv"),
        "pg_proc" => include_str!("data/pg_proc.tsv"),
        "pg_range" => include_str!("data/pg_range.tsv"),
        "pg_ts_config" => include_str!("data/pg_ts_config.tsv"),
        "pg_ts_config_map" => include_str!("data/pg_ts_config_map.tsv"),
        "pg_ts_dict" => include_str!("data/pg_ts_dict.tsv"),
        "pg_ts_parser" => include_str!("data/pg_ts_parser.tsv"),
        "pg_ts_template" => include_str!("data/pg_ts_template.tsv"),
        "pg_type" => include_str!("data/pg_type.tsv"),
        _ => return None,
    })
}

/// Raw fields of an embedded relation's rows; none if it is not embedded.
pub fn raw_rows(name: &str) -> impl Iterator<Item = Vec<&'static str>> {
    embedded(name).into_iter().flat_map(tsv)
}

/// Relations of which every row is embedded.
const WHOLLY_FIXED: [&str; 17] = [
    "pg_aggregate",
    "pg_am",
    "pg_amop",
    "pg_amproc",
    "pg_cast",
    "pg_collation",
    "pg_conversion",
    "pg_language",
    "pg_opclass",
    "pg_operator",
    "pg_opfamily",
    "pg_range",
    "pg_ts_config",
    "pg_ts_config_map",
    "pg_ts_dict",
    "pg_ts_parser",
    "pg_ts_template",
];

/// All rows of a relation that never changes; `None` if the relation is not of that kind.
pub fn batch(relation: &'static SystemRelation) -> Option<PgResult<RecordBatch>> {
    static CACHE: LazyLock<Mutex<HashMap<&'static str, RecordBatch>>> = LazyLock::new(Mutex::default);
    if relation.schema != "pg_catalog" || !WHOLLY_FIXED.contains(&relation.name) {
        return None;
    }
    let mut cache = CACHE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(batch) = cache.get(relation.name) {
        return Some(Ok(batch.clone()));
    }
    let mut rows = Rows::new(relation);
    Some(append(relation, &mut rows).and_then(|()| rows.finish()).inspect(|batch| {
        cache.insert(relation.name, batch.clone());
    }))
}

/// Adds the embedded rows of a relation.
pub fn append(relation: &'static SystemRelation, rows: &mut Rows) -> PgResult<()> {
    let Some(text) = embedded(relation.name) else { return Ok(()) };
    for fields in tsv(text) {
        let cells = relation
            .columns
            .iter()
            .zip(fields)
            .map(|(column, field)| Cell::parse(&column.kind, field))
            .collect::<PgResult<Vec<_>>>()?;
        rows.push_ordered(cells);
    }
    Ok(())
}

/// What the system-information functions need to know of a built-in function.
#[derive(Debug)]
pub struct Function {
    /// pg_proc.oid
    pub oid: u32,
    /// Name.
    pub name: &'static str,
    /// Schema OID.
    pub schema_oid: u32,
    /// Owner.
    pub owner: u32,
    /// Argument type OIDs.
    pub argument_types: Vec<u32>,
    /// pg_get_function_arguments
    pub arguments: &'static str,
    /// pg_get_function_result
    pub result: Option<&'static str>,
}

/// The built-in functions.
pub struct Functions {
    /// By OID.
    pub by_oid: HashMap<u32, Arc<Function>>,
    /// By name, in OID order.
    pub by_name: HashMap<&'static str, Vec<Arc<Function>>>,
}

/// PostgreSQL's own functions.
pub fn functions() -> &'static Functions {
    static FUNCTIONS: LazyLock<Functions> = LazyLock::new(|| {
        let mut functions = Functions { by_oid: HashMap::new(), by_name: HashMap::new() };
        let Some(relation) = relation("pg_catalog", "pg_proc") else { return functions };
        let width = relation.columns.len();
        let types = relation.column_index("proargtypes").unwrap_or(0);
        for fields in tsv(include_str!("data/pg_proc.tsv")) {
            let function = Arc::new(Function {
                oid: fields[0].parse().unwrap_or(0),
                name: fields[1],
                schema_oid: fields[2].parse().unwrap_or(0),
                owner: fields[3].parse().unwrap_or(0),
                argument_types: fields[types].split_ascii_whitespace().filter_map(|oid| oid.parse().ok()).collect(),
                arguments: fields[width],
                result: Some(fields[width + 1]).filter(|text| *text != "\\N"),
            });
            functions.by_name.entry(function.name).or_default().push(Arc::clone(&function));
            functions.by_oid.insert(function.oid, function);
        }
        functions
    });
    &FUNCTIONS
}

/// A built-in type as the system-information functions need it.
#[derive(Debug, Clone, Copy)]
pub struct SystemType {
    /// pg_type.oid
    pub oid: u32,
    /// typname
    pub name: &'static str,
    /// typnamespace
    pub schema_oid: u32,
    /// typlen
    pub length: i16,
    /// typbyval
    pub by_value: bool,
    /// typelem
    pub element: u32,
    /// typarray
    pub array: u32,
    /// typrelid
    pub relation: u32,
    /// typalign
    pub align: &'static str,
    /// typstorage
    pub storage: &'static str,
    /// typcollation
    pub collation: u32,
}

/// PostgreSQL's own types, by OID.
pub fn types() -> &'static HashMap<u32, SystemType> {
    static TYPES: LazyLock<HashMap<u32, SystemType>> = LazyLock::new(|| {
        let Some(relation) = relation("pg_catalog", "pg_type") else { return HashMap::new() };
        let at = |name: &str| relation.column_index(name).unwrap_or(0);
        let [schema, length, by_value, element, array, relid, align, storage, collation] = [
            "typnamespace",
            "typlen",
            "typbyval",
            "typelem",
            "typarray",
            "typrelid",
            "typalign",
            "typstorage",
            "typcollation",
        ]
        .map(at);
        tsv(include_str!("data/pg_type.tsv"))
            .map(|fields| {
                let number = |index: usize| fields[index].parse().unwrap_or(0);
                let oid = number(0);
                let ty = SystemType {
                    oid,
                    name: fields[1],
                    schema_oid: number(schema),
                    length: fields[length].parse().unwrap_or(-1),
                    by_value: fields[by_value] == "t",
                    element: number(element),
                    array: number(array),
                    relation: number(relid),
                    align: fields[align],
                    storage: fields[storage],
                    collation: number(collation),
                };
                (oid, ty)
            })
            .collect()
    });
    &TYPES
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_embedded_row_parses() {
        for name in WHOLLY_FIXED {
            let relation = relation("pg_catalog", name).expect("listed");
            let rows = tsv(embedded(name).expect("embedded")).count();
            let batch = batch(relation).expect("fixed").expect("parses");
            assert_eq!(batch.num_rows(), rows, "{name}");
            assert!(rows > 0, "{name}");
        }
        for name in ["pg_type", "pg_proc", "pg_authid", "pg_description", "pg_auth_members"] {
            let relation = relation("pg_catalog", name).expect("listed");
            let mut rows = Rows::new(relation);
            append(relation, &mut rows).expect("parses");
            assert!(rows.finish().expect("fits").num_rows() > 0, "{name}");
        }
    }

    #[test]
    fn functions_and_types_are_found() {
        let upper = &functions().by_name["upper"];
        assert!(upper.iter().any(|f| f.arguments == "text" && f.result == Some("text")), "{upper:?}");
        let int4 = types()[&23];
        assert_eq!((int4.name, int4.length, int4.array), ("int4", 4, 1007));
    }
}
