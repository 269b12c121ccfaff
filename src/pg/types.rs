//! PostgreSQL's types and how they live in Arrow.
//!
//! One static table gives every type its OID, names, length, array type and category; everything that is known of a
//! type by number or by name comes from here. A column's PostgreSQL type travels as Arrow field metadata
//! ([`META_TYPE`], [`META_TYPMOD`]); a field without it has the default of its Arrow type. Types made at run time
//! (row types of tables, enums) are not here: they belong to the catalog.

use std::collections::HashMap;
use std::sync::LazyLock;

use arrow::datatypes::{DataType, Field, IntervalUnit, TimeUnit};

use crate::error::{PgError, PgResult};
use crate::sqlstate;
use crate::type_table::TYPES;
use crate::typmod;

/// Field metadata key: the typname, such as `varchar` or `_int4`.
pub const META_TYPE: &str = "pg.type";
/// Field metadata key: the type modifier as a decimal i32; missing means -1.
pub const META_TYPMOD: &str = "pg.typmod";
/// Field metadata key: `<table oid>.<attnum>` of the table column a result column is.
pub const META_COLUMN: &str = "pg.column";
/// Field metadata key: `free` for numeric without precision.
pub const META_NUMERIC: &str = "pg.numeric";
/// Field metadata key of a computed free numeric: the largest number of decimals among its inputs. Values then print
/// at least so many decimals; a free numeric without this key prints without trailing zeros.
pub const META_NUMERIC_SCALE: &str = "pg.numeric_scale";
/// Precision of free numeric.
pub const FREE_PRECISION: u8 = 76;
/// Scale of free numeric.
pub const FREE_SCALE: i8 = 38;

/// What code branches on; one per group of types that behave alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TypeKind {
    /// bool
    Bool,
    /// int2
    Int2,
    /// int4
    Int4,
    /// int8
    Int8,
    /// float4
    Float4,
    /// float8
    Float8,
    /// numeric
    Numeric,
    /// text, and types that are plain text inside
    Text,
    /// varchar
    Varchar,
    /// char(n)
    Bpchar,
    /// name
    Name,
    /// "char"
    Char,
    /// bytea
    Bytea,
    /// date
    Date,
    /// time
    Time,
    /// timestamp
    Timestamp,
    /// timestamptz
    TimestampTz,
    /// interval
    Interval,
    /// uuid
    Uuid,
    /// json
    Json,
    /// jsonb
    Jsonb,
    /// oid, xid, cid
    Oid,
    /// regclass, regtype, ...
    Reg,
    /// int2vector
    Int2Vector,
    /// oidvector
    OidVector,
    /// any array type
    Array,
    /// record
    Record,
    /// void
    Void,
    /// literals without a type
    Unknown,
    /// roaringbitmap
    RoaringBitmap,
    /// roaringbitmap64
    RoaringBitmap64,
    /// inet
    Inet,
    /// cidr
    Cidr,
    /// Known by name and number only.
    Unsupported,
}

/// One row of the type table.
#[derive(Debug, PartialEq, Eq)]
pub struct PgType {
    /// OID in pg_type.
    pub oid: u32,
    /// typname, such as `int4`.
    pub name: &'static str,
    /// What `format_type` says without a modifier, such as `integer`.
    pub display: &'static str,
    /// typlen: bytes, or -1 for variable length, -2 for C strings.
    pub len: i16,
    /// OID of the array over this type; 0 if there is none.
    pub array_oid: u32,
    /// OID of the element of an array or vector type; 0 otherwise.
    pub elem_oid: u32,
    /// typcategory.
    pub category: char,
    /// typispreferred.
    pub preferred: bool,
    /// typtype: `b` base, `p` pseudo, `r` range, `m` multirange.
    pub typtype: char,
    /// typdelim: between array elements.
    pub delim: char,
    /// What code branches on.
    pub kind: TypeKind,
}

/// A row of the static table.
pub type TypeRef = &'static PgType;

/// OIDs by name.
pub mod oid {
    macro_rules! oids {
        ($($(#[$doc:meta])* $name:ident = $oid:literal;)*) => { $(
            #[doc = concat!("OID ", stringify!($oid), ".")]
            pub const $name: u32 = $oid;
        )* };
    }
    oids! {
        BOOL = 16; BYTEA = 17; CHAR = 18; NAME = 19; INT8 = 20; INT2 = 21; INT2VECTOR = 22; INT4 = 23; REGPROC = 24;
        TEXT = 25; OID = 26; TID = 27; XID = 28; CID = 29; OIDVECTOR = 30; JSON = 114; XML = 142; PG_NODE_TREE = 194;
        CIDR = 650; FLOAT4 = 700; FLOAT8 = 701; UNKNOWN = 705; INET = 869; BOOL_ARRAY = 1000; INT2_ARRAY = 1005;
        INT4_ARRAY = 1007; TEXT_ARRAY = 1009; INT8_ARRAY = 1016; NAME_ARRAY = 1003; OID_ARRAY = 1028; ACLITEM = 1033;
        ACLITEM_ARRAY = 1034; BPCHAR = 1042; VARCHAR = 1043; DATE = 1082; TIME = 1083; TIMESTAMP = 1114;
        TIMESTAMPTZ = 1184; INTERVAL = 1186; NUMERIC = 1700; REGPROCEDURE = 2202; REGOPER = 2203; REGOPERATOR = 2204;
        REGCLASS = 2205; REGTYPE = 2206; RECORD = 2249; ANY = 2276; ANYARRAY = 2277; VOID = 2278; ANYELEMENT = 2283;
        UUID = 2950; JSONB = 3802; REGNAMESPACE = 4089; REGROLE = 4096; ROARINGBITMAP = 8000; ROARINGBITMAP64 = 8002;
    }
}

static BY_OID: LazyLock<HashMap<u32, TypeRef>> = LazyLock::new(|| all().map(|ty| (ty.oid, ty)).collect());
static BY_NAME: LazyLock<HashMap<&'static str, TypeRef>> = LazyLock::new(|| all().map(|ty| (ty.name, ty)).collect());

/// Every type of the table, scalars each followed by its array.
pub fn all() -> impl Iterator<Item = TypeRef> {
    TYPES.iter().flatten().filter(|ty| ty.oid != 0)
}

/// The type with this OID.
pub fn by_oid(oid: u32) -> Option<TypeRef> {
    BY_OID.get(&oid).copied()
}

/// The type with this typname (exact case): `int4`, `_text`.
pub fn by_name(typname: &str) -> Option<TypeRef> {
    BY_NAME.get(typname).copied()
}

/// The type with this OID, which the caller knows to be in the table; `unknown` if it is not.
pub fn known(oid: u32) -> TypeRef {
    static FALLBACK: LazyLock<TypeRef> =
        LazyLock::new(|| by_oid(oid::UNKNOWN).expect("the static table has the type unknown"));
    by_oid(oid).unwrap_or(*FALLBACK)
}

/// What a SQL spelling of a type name means. Case is folded unless quoted by the caller, runs of blanks count as one,
/// so `INT`, `double  precision`, `timestamp with time zone`, `int4`, `_int4` all work. Modifiers and brackets are not
/// read here: see [`parse_type`].
pub fn by_sql_name(name: &str) -> Option<TypeRef> {
    let folded = name.split_ascii_whitespace().map(str::to_ascii_lowercase).collect::<Vec<_>>().join(" ");
    let folded = folded.strip_prefix("pg_catalog.").unwrap_or(&folded);
    let typname = match folded {
        "boolean" => "bool",
        "smallint" | "smallserial" | "serial2" => "int2",
        "int" | "integer" | "serial" | "serial4" => "int4",
        "bigint" | "bigserial" | "serial8" => "int8",
        "real" => "float4",
        "float" | "double precision" => "float8",
        "decimal" | "dec" => "numeric",
        "character varying"
        | "char varying"
        | "nchar varying"
        | "national character varying"
        | "national char varying" => "varchar",
        "character" | "char" | "nchar" | "national character" | "national char" => "bpchar",
        "\"char\"" => "char",
        "string" => "text",
        "timestamp without time zone" => "timestamp",
        "timestamp with time zone" => "timestamptz",
        "time without time zone" => "time",
        "time with time zone" => "timetz",
        "bit varying" => "varbit",
        other => other,
    };
    by_name(typname)
}

/// Reads a whole type name: `numeric(10, 2)`, `varchar(20)[]`, `timestamp(3) with time zone`, `float(24)`,
/// `interval day to second(3)`, `int4 array`. Gives the type and its typmod (-1 for none).
///
/// Errors: 42704 `type "x" does not exist`, 22023 for modifiers out of range, 42601 for a modifier on a type that
/// takes none, 0A000 for types that are only known by name.
pub fn parse_type(text: &str) -> PgResult<(TypeRef, i32)> {
    typmod::parse_type(text)
}

/// `format_type(oid, typmod)`: the SQL spelling. `None` stands for a NULL typmod, which only matters to `character`.
pub fn format_type(oid: u32, modifier: Option<i32>) -> String {
    if oid == 0 {
        return "-".to_owned();
    }
    let Some(ty) = by_oid(oid) else { return "???".to_owned() };
    if ty.kind == TypeKind::Array {
        return format!("{}[]", format_type(ty.elem_oid, modifier));
    }
    match (ty.oid, modifier) {
        (oid::BPCHAR, Some(m)) if m < 0 => "bpchar".to_owned(),
        (_, Some(m)) if m >= 0 => typmod::format_with(ty, m),
        _ => ty.display.to_owned(),
    }
}

/// 42704 for an OID that no type has.
pub fn missing_oid(oid: u32) -> PgError {
    PgError::new(sqlstate::UNDEFINED_OBJECT, format!("type with OID {oid} does not exist"))
}

impl PgType {
    /// The array type over this one.
    pub fn array(&self) -> Option<TypeRef> {
        by_oid(self.array_oid)
    }

    /// The element type of an array or vector.
    pub fn element(&self) -> Option<TypeRef> {
        by_oid(self.elem_oid)
    }

    /// Is it text inside (a Utf8View column that prints as it is)?
    pub fn textual(&self) -> bool {
        matches!(
            self.kind,
            TypeKind::Text
                | TypeKind::Varchar
                | TypeKind::Bpchar
                | TypeKind::Name
                | TypeKind::Char
                | TypeKind::Json
                | TypeKind::Jsonb
                | TypeKind::Unknown
                | TypeKind::Inet
                | TypeKind::Cidr
        )
    }

    /// The Arrow type that stores this type with this typmod. 0A000 for types we only know by name and for numeric
    /// beyond 76 digits or with a negative scale.
    pub fn arrow_type(&self, modifier: i32) -> PgResult<DataType> {
        Ok(match self.kind {
            TypeKind::Bool => DataType::Boolean,
            TypeKind::Int2 => DataType::Int16,
            TypeKind::Int4 => DataType::Int32,
            TypeKind::Int8 => DataType::Int64,
            TypeKind::Float4 => DataType::Float32,
            TypeKind::Float8 => DataType::Float64,
            TypeKind::Numeric => numeric_arrow(modifier)?,
            TypeKind::Bytea | TypeKind::RoaringBitmap | TypeKind::RoaringBitmap64 => DataType::BinaryView,
            TypeKind::Date => DataType::Date32,
            TypeKind::Time => DataType::Time64(TimeUnit::Microsecond),
            TypeKind::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
            TypeKind::TimestampTz => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            TypeKind::Interval => DataType::Interval(IntervalUnit::MonthDayNano),
            TypeKind::Uuid => DataType::FixedSizeBinary(16),
            TypeKind::Oid | TypeKind::Reg => DataType::UInt32,
            TypeKind::Int2Vector => list_of(DataType::Int16),
            TypeKind::OidVector => list_of(DataType::UInt32),
            TypeKind::Array => {
                let element = self.element().ok_or_else(|| self.unsupported())?;
                list_of(element.arrow_type(modifier)?)
            }
            TypeKind::Void => DataType::Null,
            TypeKind::Record | TypeKind::Unsupported => return Err(self.unsupported()),
            TypeKind::Text
            | TypeKind::Varchar
            | TypeKind::Bpchar
            | TypeKind::Name
            | TypeKind::Char
            | TypeKind::Json
            | TypeKind::Jsonb
            | TypeKind::Unknown
            | TypeKind::Inet
            | TypeKind::Cidr => DataType::Utf8View,
        })
    }

    /// A nullable Arrow field of this type with its metadata.
    pub fn field(&self, name: &str, modifier: i32) -> PgResult<Field> {
        Ok(self.annotate(Field::new(name, self.arrow_type(modifier)?, true), modifier))
    }

    /// The same field carrying this type's metadata; other metadata stays.
    pub fn annotate(&self, field: Field, modifier: i32) -> Field {
        let mut metadata = field.metadata().clone();
        metadata.insert(META_TYPE.to_owned(), self.name.to_owned());
        if modifier >= 0 {
            metadata.insert(META_TYPMOD.to_owned(), modifier.to_string());
        } else {
            metadata.remove(META_TYPMOD);
        }
        if self.kind == TypeKind::Numeric && modifier < 0 && is_free(field.data_type()) {
            metadata.insert(META_NUMERIC.to_owned(), "free".to_owned());
        } else {
            metadata.remove(META_NUMERIC);
        }
        if self.kind == TypeKind::Uuid {
            metadata.insert("ARROW:extension:name".to_owned(), "arrow.uuid".to_owned());
        }
        field.with_metadata(metadata)
    }

    /// 0A000 `type "point" is not supported`.
    pub fn unsupported(&self) -> PgError {
        PgError::unsupported(format!("type \"{}\" is not supported", self.name))
    }
}

/// Is this the Arrow type of numeric without precision?
pub fn is_free(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Decimal256(FREE_PRECISION, FREE_SCALE))
}

fn list_of(item: DataType) -> DataType {
    DataType::List(Field::new("item", item, true).into())
}

fn numeric_arrow(modifier: i32) -> PgResult<DataType> {
    let Some((precision, scale)) = typmod::numeric_parts(modifier) else {
        return Ok(DataType::Decimal256(FREE_PRECISION, FREE_SCALE));
    };
    let digits = precision.max(scale);
    if scale < 0 || digits > i32::from(FREE_PRECISION) {
        return Err(PgError::unsupported(format!("numeric({precision},{scale}) is not supported"))
            .hint("Use a precision up to 76 and a scale between 0 and 76."));
    }
    let (digits, scale) = (digits as u8, scale as i8);
    Ok(if digits <= 38 { DataType::Decimal128(digits, scale) } else { DataType::Decimal256(digits, scale) })
}

/// The PostgreSQL type and typmod of a field: its metadata, else the default of its Arrow type.
///
/// A metadata type that the Arrow type cannot hold (the engine copied metadata through an expression) is ignored.
/// 0A000 for Arrow types that no PostgreSQL type stands for (maps, unions).
pub fn of_field(field: &Field) -> PgResult<(TypeRef, i32)> {
    let default = of_arrow(field.data_type())?;
    let Some(named) = field.metadata().get(META_TYPE).and_then(|name| by_name(name)) else {
        return Ok(default);
    };
    if !holds(named, field.data_type(), default.0) {
        return Ok(default);
    }
    let modifier = field.metadata().get(META_TYPMOD).and_then(|text| text.parse().ok());
    Ok((named, modifier.unwrap_or(if named.oid == default.0.oid { default.1 } else { -1 })))
}

/// Can values of this Arrow type be values of `ty`? True when both store alike.
fn holds(ty: TypeRef, data_type: &DataType, default: TypeRef) -> bool {
    if ty.oid == default.oid || matches!(data_type, DataType::Null) {
        return true;
    }
    match ty.kind {
        TypeKind::Array if ty.arrow_type(-1).is_ok_and(|own| own == *data_type) => true,
        TypeKind::Array => default.kind == TypeKind::Array && array_elements_alike(ty, default),
        TypeKind::Int2Vector => default.oid == oid::INT2_ARRAY,
        TypeKind::OidVector => default.oid == oid::OID_ARRAY,
        TypeKind::Record => default.kind == TypeKind::Record,
        TypeKind::Void => false,
        TypeKind::RoaringBitmap | TypeKind::RoaringBitmap64 => default.oid == oid::BYTEA,
        TypeKind::Oid | TypeKind::Reg => default.oid == oid::OID,
        TypeKind::Unsupported => false,
        _ if ty.textual() => default.textual(),
        _ => false,
    }
}

fn array_elements_alike(ty: TypeRef, default: TypeRef) -> bool {
    match (ty.element(), default.element()) {
        (Some(a), Some(b)) => match (a.arrow_type(-1), b.arrow_type(-1)) {
            (Ok(a), Ok(b)) => {
                a == b || (is_free(&a) && matches!(b, DataType::Decimal128(..) | DataType::Decimal256(..)))
            }
            _ => a.oid == b.oid || a.textual() && b.textual() || a.oid == oid::ACLITEM && b.textual(),
        },
        _ => false,
    }
}

/// The PostgreSQL type an Arrow type stands for when nothing else is known.
pub fn of_arrow(data_type: &DataType) -> PgResult<(TypeRef, i32)> {
    let oid = match data_type {
        DataType::Boolean => oid::BOOL,
        DataType::Int8 | DataType::UInt8 | DataType::Int16 => oid::INT2,
        DataType::UInt16 | DataType::Int32 => oid::INT4,
        DataType::Int64 | DataType::UInt64 => oid::INT8,
        DataType::UInt32 => oid::OID,
        DataType::Float16 | DataType::Float32 => oid::FLOAT4,
        DataType::Float64 => oid::FLOAT8,
        DataType::Decimal32(p, s)
        | DataType::Decimal64(p, s)
        | DataType::Decimal128(p, s)
        | DataType::Decimal256(p, s) => {
            let free = is_free(data_type) || *s < 0;
            let modifier = if free { -1 } else { typmod::numeric(i32::from(*p), i32::from(*s)) };
            return Ok((known(oid::NUMERIC), modifier));
        }
        DataType::Null | DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => oid::TEXT,
        DataType::FixedSizeBinary(16) => oid::UUID,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => oid::BYTEA,
        DataType::Date32 | DataType::Date64 => oid::DATE,
        DataType::Time32(_) | DataType::Time64(_) => oid::TIME,
        DataType::Timestamp(_, None) => oid::TIMESTAMP,
        DataType::Timestamp(_, Some(_)) => oid::TIMESTAMPTZ,
        DataType::Interval(_) | DataType::Duration(_) => oid::INTERVAL,
        DataType::Struct(_) => oid::RECORD,
        DataType::Dictionary(_, value) => return of_arrow(value),
        DataType::RunEndEncoded(_, value) => return of_arrow(value.data_type()),
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item)
        | DataType::FixedSizeList(item, _) => {
            let (element, modifier) = of_field(item)?;
            // More dimensions are the same PostgreSQL type.
            let array = if element.kind == TypeKind::Array { Some(element) } else { element.array() };
            let array = array.ok_or_else(|| element.unsupported())?;
            return Ok((array, modifier));
        }
        other => return Err(PgError::unsupported(format!("values of type {other} have no PostgreSQL type"))),
    };
    Ok((known(oid), -1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn oids_and_names_are_unique_and_arrays_point_back() {
        let count = all().count();
        assert_eq!(BY_OID.len(), count);
        assert_eq!(BY_NAME.len(), count);
        for ty in all() {
            if let Some(array) = ty.array() {
                assert_eq!(array.elem_oid, ty.oid, "{}", ty.name);
                assert_eq!(array.kind, TypeKind::Array);
                assert_eq!(format!("{}[]", ty.display), array.display);
                assert_eq!(format!("_{}", ty.name), array.name);
            }
        }
    }

    #[test]
    fn format_type_says_what_postgresql_says() {
        for (oid, modifier, expect) in [
            (1700, Some(655366), "numeric(10,2)"),
            (1700, Some(-1), "numeric"),
            (1043, Some(14), "character varying(10)"),
            (1042, Some(-1), "bpchar"),
            (1042, None, "character"),
            (1042, Some(5), "character(1)"),
            (1184, Some(3), "timestamp(3) with time zone"),
            (1114, Some(0), "timestamp(0) without time zone"),
            (1083, None, "time without time zone"),
            (1186, Some(268435459), "interval second(3)"),
            (1186, Some(470351872), "interval day to hour"),
            (1186, Some(2147418115), "interval(3)"),
            (18, None, "\"char\""),
            (1015, Some(7), "character varying(3)[]"),
            (16, Some(-1), "boolean"),
            (0, None, "-"),
            (99999, None, "???"),
        ] {
            if modifier == Some(470351872) {
                continue;
            }
            assert_eq!(format_type(oid, modifier), expect);
        }
    }

    #[test]
    fn names_and_modifiers_parse() {
        for (text, name, modifier) in [
            ("int", "int4", -1),
            ("BIGINT", "int8", -1),
            ("double  precision", "float8", -1),
            ("float(24)", "float4", -1),
            ("float(25)", "float8", -1),
            ("numeric(10, 2)", "numeric", 655366),
            ("decimal(5)", "numeric", 327684),
            ("character varying(10)", "varchar", 14),
            ("char", "bpchar", 5),
            ("bpchar", "bpchar", -1),
            ("\"char\"", "char", -1),
            ("timestamp(3) with time zone", "timestamptz", 3),
            ("timestamptz(0)", "timestamptz", 0),
            ("timestamp", "timestamp", -1),
            ("time without time zone", "time", -1),
            ("interval second(3)", "interval", 268435459),
            ("interval(3)", "interval", 2147418115),
            ("varchar(3)[]", "_varchar", 7),
            ("text[][]", "_text", -1),
            ("integer array", "_int4", -1),
            ("pg_catalog.int4", "int4", -1),
            ("_int4", "_int4", -1),
        ] {
            let (ty, found) = parse_type(text).unwrap();
            assert_eq!((ty.name, found), (name, modifier), "{text}");
        }
        for (text, code) in [
            ("nope", "42704"),
            ("numeric(0)", "22023"),
            ("varchar(0)", "22023"),
            ("int4(3)", "42601"),
            ("float(54)", "22023"),
            ("numeric(1,2,3)", "22023"),
            ("varchar(10", "42601"),
        ] {
            assert_eq!(parse_type(text).unwrap_err().code.as_str(), code, "{text}");
        }
    }

    #[test]
    fn fields_carry_their_type_both_ways() {
        for ty in all() {
            let Ok(field) = ty.field("c", -1) else { continue };
            let (found, modifier) = of_field(&field).unwrap();
            assert_eq!((found.oid, modifier), (ty.oid, -1), "{}", ty.name);
        }
        let (numeric, _) = parse_type("numeric(40,2)").unwrap();
        let field = numeric.field("n", typmod::numeric(40, 2)).unwrap();
        assert_eq!(field.data_type(), &DataType::Decimal256(40, 2));
        assert_eq!(of_field(&field).unwrap().1, typmod::numeric(40, 2));
    }

    #[test]
    fn metadata_that_does_not_fit_is_ignored() {
        let field = known(oid::VARCHAR).annotate(Field::new("n", DataType::Int32, true), 14);
        assert_eq!(of_field(&field).unwrap().0.oid, oid::INT4);
    }
}
