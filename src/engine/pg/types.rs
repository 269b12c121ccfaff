//! PostgreSQL types in Arrow: which Arrow type carries which OID, and the metadata that tells them apart.
//!
//! Several PostgreSQL types share one Arrow type (text, varchar, json, name). The field metadata [`TYPE_KEY`] and
//! [`TYPMOD_KEY`] say which; without them an Arrow type stands for its default. `numeric` without precision is
//! `Decimal256(76, 38)` with [`NUMERIC_KEY`] = `free`. Everything reads types through [`of_field`] and makes fields
//! through [`field`]; nobody else spells the keys.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, IntervalUnit, TimeUnit};
use datafusion::common::{DataFusionError, Result};
use datafusion::logical_expr::planner::TypePlanner;
use tributary_pg::error::PgError;
use tributary_pg::sqlstate;

use super::signatures::{Oid, array_of, display_name, element_of, oid, signatures};
use crate::dialect::names::{folded, type_name};
use crate::dialect::sqlparser::ast::{
    ArrayElemTypeDef, CharacterLength, DataType as SqlType, ExactNumberInfo, ObjectName,
};

/// Metadata key: the type's internal name.
pub const TYPE_KEY: &str = "pg.type";
/// Metadata key: the type modifier.
pub const TYPMOD_KEY: &str = "pg.typmod";
/// Metadata key: `free` for numeric without a fixed scale.
pub const NUMERIC_KEY: &str = "pg.numeric";
/// Metadata key of a computed free numeric: how many decimals its inputs have at most.
pub const NUMERIC_SCALE_KEY: &str = "pg.numeric_scale";

/// Precision and scale of numeric without a declared precision.
pub const FREE_PRECISION: u8 = 76;
/// Scale of numeric without a declared precision.
pub const FREE_SCALE: i8 = 38;

/// A type with its modifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PgType {
    /// Number.
    pub oid: Oid,
    /// Modifier, -1 for none.
    pub typmod: i32,
}

impl PgType {
    /// A type without modifier.
    pub const fn plain(oid: Oid) -> PgType {
        PgType { oid, typmod: -1 }
    }
}

/// The PostgreSQL type of a field.
pub fn of_field(field: &Field) -> PgType {
    let typmod = field.metadata().get(TYPMOD_KEY).and_then(|text| text.parse().ok()).unwrap_or(-1);
    if let Some(oid) = field.metadata().get(TYPE_KEY).and_then(|name| signatures().type_named(name)) {
        return PgType { oid, typmod };
    }
    PgType { oid: of_arrow(field.data_type()), typmod }
}

/// The type an Arrow type stands for when nothing says more.
pub fn of_arrow(data_type: &DataType) -> Oid {
    match data_type {
        DataType::Boolean => oid::BOOL,
        DataType::Int8 | DataType::Int16 | DataType::UInt8 => oid::INT2,
        DataType::Int32 | DataType::UInt16 => oid::INT4,
        DataType::Int64 | DataType::UInt64 => oid::INT8,
        DataType::UInt32 => oid::OID,
        DataType::Float16 | DataType::Float32 => oid::FLOAT4,
        DataType::Float64 => oid::FLOAT8,
        DataType::Decimal32(..) | DataType::Decimal64(..) | DataType::Decimal128(..) | DataType::Decimal256(..) => {
            oid::NUMERIC
        }
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => oid::BYTEA,
        DataType::FixedSizeBinary(16) => oid::UUID,
        DataType::FixedSizeBinary(_) => oid::BYTEA,
        DataType::Date32 | DataType::Date64 => oid::DATE,
        DataType::Time32(_) | DataType::Time64(_) => oid::TIME,
        DataType::Timestamp(_, None) => oid::TIMESTAMP,
        DataType::Timestamp(_, Some(_)) => oid::TIMESTAMPTZ,
        DataType::Interval(_) | DataType::Duration(_) => oid::INTERVAL,
        DataType::List(inner) | DataType::LargeList(inner) | DataType::FixedSizeList(inner, _) => {
            let element = match inner.data_type() {
                DataType::List(_) | DataType::LargeList(_) => return of_arrow(inner.data_type()),
                _ => of_field(inner).oid,
            };
            array_of(element).unwrap_or(oid::TEXT_ARRAY)
        }
        DataType::Struct(_) => oid::RECORD,
        DataType::Dictionary(_, value) => of_arrow(value),
        _ => oid::TEXT,
    }
}

/// The Arrow type that carries a PostgreSQL type; 0A000 for types the engine does not have.
pub fn arrow_type(of: PgType) -> Result<DataType, PgError> {
    Ok(match of.oid {
        oid::BOOL => DataType::Boolean,
        oid::INT2 => DataType::Int16,
        oid::INT4 => DataType::Int32,
        oid::INT8 => DataType::Int64,
        oid::FLOAT4 => DataType::Float32,
        oid::FLOAT8 => DataType::Float64,
        oid::NUMERIC => numeric_type(of.typmod)?,
        oid::TEXT
        | oid::VARCHAR
        | oid::BPCHAR
        | oid::NAME
        | oid::CHAR
        | oid::JSON
        | oid::JSONB
        | oid::INET
        | oid::CIDR
        | oid::UNKNOWN => DataType::Utf8View,
        oid::BYTEA | oid::ROARINGBITMAP | oid::ROARINGBITMAP64 => DataType::BinaryView,
        oid::DATE => DataType::Date32,
        oid::TIME => DataType::Time64(TimeUnit::Microsecond),
        oid::TIMESTAMP => DataType::Timestamp(TimeUnit::Microsecond, None),
        oid::TIMESTAMPTZ => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        oid::INTERVAL => DataType::Interval(IntervalUnit::MonthDayNano),
        oid::UUID => DataType::FixedSizeBinary(16),
        oid::OID
        | oid::XID
        | oid::REGPROC
        | 2202
        | 2203
        | 2204
        | oid::REGCLASS
        | oid::REGTYPE
        | 3734
        | 3769
        | oid::REGNAMESPACE
        | oid::REGROLE
        | 4191 => DataType::UInt32,
        oid::INT2VECTOR => list(oid::INT2)?,
        oid::OIDVECTOR => list(oid::OID)?,
        oid::VOID => DataType::Null,
        // Tools read these columns as text; nothing computes with them.
        194 | 1033 | oid::ANYARRAY => DataType::Utf8View,
        other => match element_of(other) {
            Some(element) => list(element)?,
            None => return Err(unsupported(other)),
        },
    })
}

fn unsupported(of: Oid) -> PgError {
    PgError::new(sqlstate::FEATURE_NOT_SUPPORTED, format!("type \"{}\" is not supported", display_name(of)))
}

fn list(element: Oid) -> Result<DataType, PgError> {
    Ok(DataType::List(Arc::new(item_field(element)?)))
}

/// The item field of an array of `element`.
pub fn item_field(element: Oid) -> Result<Field, PgError> {
    // No metadata here: the array's own field says which type it is, and Arrow compares list types with it.
    Ok(Field::new("item", arrow_type(PgType::plain(element))?, true))
}

/// Precision and scale inside a numeric type modifier.
pub fn numeric_parts(typmod: i32) -> Option<(i32, i32)> {
    (typmod >= 4).then(|| {
        let bare = typmod - 4;
        // The scale is an 11-bit signed number.
        ((bare >> 16) & 0xffff, ((bare & 0x7ff) ^ 1024) - 1024)
    })
}

/// The modifier of `numeric(precision, scale)`.
pub fn numeric_typmod(precision: i32, scale: i32) -> i32 {
    ((precision << 16) | (scale & 0x7ff)) + 4
}

fn numeric_type(typmod: i32) -> Result<DataType, PgError> {
    let Some((precision, scale)) = numeric_parts(typmod) else {
        return Ok(DataType::Decimal256(FREE_PRECISION, FREE_SCALE));
    };
    if precision > 76 || scale < 0 || scale > precision {
        let message = format!("numeric({precision},{scale}) is not supported");
        return Err(PgError::new(sqlstate::FEATURE_NOT_SUPPORTED, message)
            .hint("Use a precision of at most 76 and a scale from 0 to the precision."));
    }
    Ok(if precision <= 38 {
        DataType::Decimal128(precision as u8, scale as i8)
    } else {
        DataType::Decimal256(precision as u8, scale as i8)
    })
}

/// A field of a PostgreSQL type: its Arrow type and the metadata that tells it apart.
pub fn field(name: &str, of: PgType, nullable: bool) -> Result<Field, PgError> {
    let mut keys = metadata(of);
    if of == PgType::plain(oid::NUMERIC) {
        keys.insert(NUMERIC_KEY.to_owned(), "free".to_owned());
    }
    Ok(Field::new(name, arrow_type(of)?, nullable).with_metadata(keys))
}

/// A field of a PostgreSQL type over an Arrow type already known (a decimal's precision, a nested list).
pub fn field_over(name: &str, of: PgType, data_type: DataType, nullable: bool) -> Field {
    Field::new(name, data_type, nullable).with_metadata(metadata(of))
}

/// The metadata of a type; empty where the Arrow type says it all.
pub fn metadata(of: PgType) -> HashMap<String, String> {
    let mut map = HashMap::new();
    let default = arrow_type(PgType::plain(of.oid)).map(|one| of_arrow(&one));
    if default.ok() != Some(of.oid)
        && let Some(row) = signatures().type_row(of.oid)
    {
        map.insert(TYPE_KEY.to_owned(), row.name.to_owned());
    }
    if of.typmod != -1 {
        map.insert(TYPMOD_KEY.to_owned(), of.typmod.to_string());
    }
    map
}

/// The type that SQL text names: `numeric(10,2)`, `varchar(5)[]`, `pg_catalog.int4`.
pub fn from_sql(written: &SqlType) -> Result<PgType, PgError> {
    if let SqlType::Array(definition) = written {
        let inner = match definition {
            ArrayElemTypeDef::SquareBracket(inner, _)
            | ArrayElemTypeDef::AngleBracket(inner)
            | ArrayElemTypeDef::Parenthesis(inner) => from_sql(inner)?,
            ArrayElemTypeDef::None => return Err(undefined("array")),
        };
        // Every number of dimensions is one type.
        let oid = if element_of(inner.oid).is_some() { Some(inner.oid) } else { array_of(inner.oid) };
        let oid = oid.ok_or_else(|| undefined(&format!("{}[]", display_name(inner.oid))))?;
        return Ok(PgType { oid, typmod: inner.typmod });
    }
    if let SqlType::Custom(name, modifiers) = written {
        return custom(name, modifiers);
    }
    let name = type_name(written);
    let typmod = written_typmod(written)?;
    let oid = signatures().type_named(&name).ok_or_else(|| undefined(&written.to_string()))?;
    Ok(PgType { oid, typmod })
}

fn undefined(name: &str) -> PgError {
    PgError::new(sqlstate::UNDEFINED_OBJECT, format!("type \"{name}\" does not exist"))
}

/// What the domains of information_schema are over.
fn domain_base(name: &str) -> Option<PgType> {
    Some(match name {
        "cardinal_number" => PgType::plain(oid::INT4),
        "character_data" => PgType::plain(oid::VARCHAR),
        "sql_identifier" => PgType::plain(oid::NAME),
        "yes_or_no" => PgType { oid: oid::VARCHAR, typmod: 7 },
        "time_stamp" => PgType { oid: oid::TIMESTAMPTZ, typmod: 2 },
        _ => return None,
    })
}

fn custom(name: &ObjectName, modifiers: &[String]) -> Result<PgType, PgError> {
    let parts: Vec<_> = name.0.iter().filter_map(|part| part.as_ident()).collect();
    let Some(last) = parts.last() else { return Err(undefined(&name.to_string())) };
    let mut word = folded(last);
    if let [.., schema, _] = parts.as_slice()
        && folded(schema) == "information_schema"
        && let Some(base) = domain_base(&word)
    {
        return Ok(base);
    }
    if parts.len() > 1 && !["pg_catalog", "public", "tributary"].contains(&folded(parts[parts.len() - 2]).as_str()) {
        return Err(undefined(&parts.iter().map(|part| folded(part)).collect::<Vec<_>>().join(".")));
    }
    if last.quote_style.is_none() && parts.len() == 1 {
        word = match word.as_str() {
            "char" => "bpchar".to_owned(),
            "serial" | "serial4" => "int4".to_owned(),
            "bigserial" | "serial8" => "int8".to_owned(),
            "smallserial" | "serial2" => "int2".to_owned(),
            "integer" | "int" => "int4".to_owned(),
            _ => word,
        };
    }
    let oid = signatures().type_named(&word).ok_or_else(|| undefined(&word))?;
    let number = |index: usize| modifiers.get(index).and_then(|text| text.parse::<i32>().ok());
    let typmod = match (oid, number(0), number(1)) {
        (oid::NUMERIC, Some(precision), scale) => numeric_typmod(precision, scale.unwrap_or(0)),
        (oid::VARCHAR | oid::BPCHAR, Some(length), _) => length + 4,
        (oid::TIMESTAMP | oid::TIMESTAMPTZ | oid::TIME, Some(places), _) => places.min(6),
        _ => -1,
    };
    Ok(PgType { oid, typmod })
}

fn written_typmod(written: &SqlType) -> Result<i32, PgError> {
    let length = |given: &Option<CharacterLength>| match given {
        Some(CharacterLength::IntegerLength { length, .. }) => Some(*length),
        _ => None,
    };
    let invalid = |message: String| PgError::new(sqlstate::INVALID_PARAMETER_VALUE, message);
    Ok(match written {
        SqlType::Varchar(given) | SqlType::CharacterVarying(given) | SqlType::CharVarying(given) => match length(given)
        {
            Some(0) => return Err(invalid("length for type varchar must be at least 1".to_owned())),
            Some(size) if size > 10_485_760 => {
                return Err(invalid("length for type varchar cannot exceed 10485760".to_owned()));
            }
            Some(size) => size as i32 + 4,
            None => -1,
        },
        SqlType::Char(given) | SqlType::Character(given) => match length(given) {
            Some(0) => return Err(invalid("length for type char must be at least 1".to_owned())),
            Some(size) if size > 10_485_760 => {
                return Err(invalid("length for type char cannot exceed 10485760".to_owned()));
            }
            Some(size) => size as i32 + 4,
            None => 5,
        },
        SqlType::Numeric(info) | SqlType::Decimal(info) | SqlType::Dec(info) => match info {
            ExactNumberInfo::None => -1,
            ExactNumberInfo::Precision(precision) => declared_numeric(*precision, 0)?,
            ExactNumberInfo::PrecisionAndScale(precision, scale) => declared_numeric(*precision, *scale)?,
        },
        SqlType::Timestamp(places, _) | SqlType::Time(places, _) => places.map_or(-1, |places| places.min(6) as i32),
        SqlType::Interval { precision, .. } => precision.map_or(-1, |places| places.min(6) as i32),
        _ => -1,
    })
}

fn declared_numeric(precision: u64, scale: i64) -> Result<i32, PgError> {
    let invalid = |message: String| PgError::new(sqlstate::INVALID_PARAMETER_VALUE, message);
    if !(1..=1000).contains(&precision) {
        return Err(invalid(format!("NUMERIC precision {precision} must be between 1 and 1000")));
    }
    if !(-1000..=1000).contains(&scale) {
        return Err(invalid(format!("NUMERIC scale {scale} must be between -1000 and 1000")));
    }
    let typmod = numeric_typmod(precision as i32, scale as i32);
    numeric_type(typmod)?;
    Ok(typmod)
}

/// DataFusion's question for the Arrow type behind SQL text.
#[derive(Debug)]
pub(super) struct PgTypePlanner;

impl TypePlanner for PgTypePlanner {
    fn plan_type_field(&self, written: &SqlType) -> Result<Option<FieldRef>> {
        let external = |error: PgError| DataFusionError::External(Box::new(error));
        let of = from_sql(written).map_err(external)?;
        Ok(Some(Arc::new(field("", of, true).map_err(external)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_supported_type_reads_back() {
        for of in [
            oid::BOOL,
            oid::BYTEA,
            oid::CHAR,
            oid::NAME,
            oid::INT8,
            oid::INT2,
            oid::INT4,
            oid::TEXT,
            oid::OID,
            oid::JSON,
            oid::JSONB,
            oid::FLOAT4,
            oid::FLOAT8,
            oid::BPCHAR,
            oid::VARCHAR,
            oid::DATE,
            oid::TIME,
            oid::TIMESTAMP,
            oid::TIMESTAMPTZ,
            oid::INTERVAL,
            oid::NUMERIC,
            oid::UUID,
            oid::REGCLASS,
            oid::INT2VECTOR,
            oid::OIDVECTOR,
            oid::ROARINGBITMAP,
            oid::ROARINGBITMAP64,
            oid::TEXT_ARRAY,
            3807,
            1015,
            1231,
        ] {
            let typed = field("x", PgType::plain(of), true).expect("the type is supported");
            assert_eq!(of_field(&typed), PgType::plain(of), "{}", display_name(of));
        }
    }

    #[test]
    fn numeric_modifiers() {
        for (precision, scale) in [(10, 2), (38, 0), (76, 38), (5, 5)] {
            assert_eq!(numeric_parts(numeric_typmod(precision, scale)), Some((precision, scale)));
        }
    }
}
