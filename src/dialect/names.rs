//! Output column names, by PostgreSQL's rule.
//!
//! `FigureColname` over the AST: an alias wins, else the column, field or function that the expression is about, a cast
//! takes its argument's name before its type's, and everything else is `?column?`. Pure: no catalog, no types.

use super::sqlparser::ast::{
    AccessExpr, ArrayElemTypeDef, DataType, Expr, FunctionArguments, Query, SelectItem, SetExpr, TrimWhereField,
};

/// The name PostgreSQL gives an output column without alias.
pub fn figure(expr: &Expr) -> String {
    strong(expr).or_else(|| weak(expr)).unwrap_or_else(|| "?column?".to_owned())
}

/// A name as an identifier means it: folded unless quoted.
pub fn folded(ident: &super::sqlparser::ast::Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() }
}

/// Names that win over the ones a surrounding cast would give.
fn strong(expr: &Expr) -> Option<String> {
    let fixed = |name: &str| Some(name.to_owned());
    match expr {
        Expr::Identifier(ident) => Some(folded(ident)),
        Expr::CompoundIdentifier(parts) => parts.last().map(folded),
        Expr::CompoundFieldAccess { root, access_chain } => access_chain
            .iter()
            .rev()
            .find_map(|access| match access {
                AccessExpr::Dot(Expr::Identifier(ident)) => Some(folded(ident)),
                _ => None,
            })
            .or_else(|| strong(root)),
        Expr::Nested(inner) | Expr::Collate { expr: inner, .. } => strong(inner),
        Expr::Function(function) => match function.args {
            FunctionArguments::Subquery(_) => fixed("array"),
            _ => function.name.0.last().and_then(|part| part.as_ident()).map(function_name),
        },
        Expr::Cast { expr, .. } => strong(expr),
        Expr::Case { else_result, .. } => else_result.as_deref().and_then(strong),
        Expr::Subquery(query) => query_name(query),
        Expr::Exists { negated: false, .. } => fixed("exists"),
        Expr::Array(_) => fixed("array"),
        Expr::Extract { .. } => fixed("extract"),
        Expr::Position { .. } => fixed("position"),
        Expr::Overlay { .. } => fixed("overlay"),
        Expr::Substring { shorthand, .. } => fixed(if *shorthand { "substr" } else { "substring" }),
        Expr::Trim { trim_where, .. } => fixed(match trim_where {
            Some(TrimWhereField::Leading) => "ltrim",
            Some(TrimWhereField::Trailing) => "rtrim",
            _ => "btrim",
        }),
        Expr::Ceil { .. } => fixed("ceil"),
        Expr::Floor { .. } => fixed("floor"),
        Expr::AtTimeZone { .. } => fixed("timezone"),
        Expr::Tuple(_) | Expr::Struct { .. } => fixed("row"),
        _ => None,
    }
}

/// Names that an expression has for lack of a better one.
fn weak(expr: &Expr) -> Option<String> {
    match expr {
        Expr::Nested(inner) | Expr::Collate { expr: inner, .. } => weak(inner),
        Expr::Cast { data_type, .. } => Some(type_name(data_type)),
        Expr::TypedString(typed) => Some(type_name(&typed.data_type)),
        Expr::Interval(_) => Some("interval".to_owned()),
        Expr::Case { .. } => Some("case".to_owned()),
        _ => None,
    }
}

fn function_name(ident: &super::sqlparser::ast::Ident) -> String {
    folded(ident)
}

fn query_name(query: &Query) -> Option<String> {
    match query.body.as_ref() {
        SetExpr::Select(select) => match select.projection.first()? {
            SelectItem::ExprWithAlias { alias, .. } => Some(folded(alias)),
            SelectItem::UnnamedExpr(expr) => Some(figure(expr)),
            _ => None,
        },
        SetExpr::Values(_) => Some("column1".to_owned()),
        SetExpr::Query(inner) => query_name(inner),
        SetExpr::SetOperation { left, .. } => match left.as_ref() {
            SetExpr::Select(select) => match select.projection.first()? {
                SelectItem::ExprWithAlias { alias, .. } => Some(folded(alias)),
                SelectItem::UnnamedExpr(expr) => Some(figure(expr)),
                _ => None,
            },
            _ => None,
        },
        _ => None,
    }
}

/// The internal name of a type as written.
pub fn type_name(data_type: &DataType) -> String {
    let name = match data_type {
        DataType::Boolean | DataType::Bool => "bool",
        DataType::SmallInt(_) | DataType::Int2(_) => "int2",
        DataType::Int(_) | DataType::Integer(_) | DataType::Int4(_) => "int4",
        DataType::BigInt(_) | DataType::Int8(_) => "int8",
        DataType::Real | DataType::Float4 => "float4",
        DataType::Float(info) => match info {
            super::sqlparser::ast::ExactNumberInfo::Precision(bits) if *bits <= 24 => "float4",
            _ => "float8",
        },
        DataType::Double(_) | DataType::DoublePrecision | DataType::Float8 | DataType::Float64 => "float8",
        DataType::Numeric(_) | DataType::Decimal(_) | DataType::Dec(_) => "numeric",
        DataType::Varchar(_) | DataType::CharacterVarying(_) | DataType::CharVarying(_) => "varchar",
        DataType::Char(_) | DataType::Character(_) => "bpchar",
        DataType::Text => "text",
        DataType::Bytea => "bytea",
        DataType::Date => "date",
        DataType::Time(_, zone) => match zone {
            super::sqlparser::ast::TimezoneInfo::WithTimeZone | super::sqlparser::ast::TimezoneInfo::Tz => "timetz",
            _ => "time",
        },
        DataType::Timestamp(_, zone) => match zone {
            super::sqlparser::ast::TimezoneInfo::WithTimeZone | super::sqlparser::ast::TimezoneInfo::Tz => {
                "timestamptz"
            }
            _ => "timestamp",
        },
        DataType::Interval { .. } => "interval",
        DataType::Uuid => "uuid",
        DataType::JSON => "json",
        DataType::JSONB => "jsonb",
        DataType::Regclass => "regclass",
        DataType::Bit(_) => "bit",
        DataType::BitVarying(_) | DataType::VarBit(_) => "varbit",
        DataType::Array(definition) => {
            return match definition {
                ArrayElemTypeDef::SquareBracket(inner, _)
                | ArrayElemTypeDef::AngleBracket(inner)
                | ArrayElemTypeDef::Parenthesis(inner) => type_name(inner),
                ArrayElemTypeDef::None => "array".to_owned(),
            };
        }
        DataType::Custom(name, _) => {
            return name.0.last().and_then(|part| part.as_ident()).map(custom_name).unwrap_or_default();
        }
        other => return other.to_string().to_lowercase(),
    };
    name.to_owned()
}

fn custom_name(ident: &super::sqlparser::ast::Ident) -> String {
    let name = folded(ident);
    if ident.quote_style.is_none() && name == "char" {
        return "bpchar".to_owned();
    }
    name
}
