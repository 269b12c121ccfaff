//! Expressions as PostgreSQL shows them: `DEFAULT 'q'` of a varchar column is `'q'::character varying`.
//!
//! PostgreSQL prints its analyzed tree; this prints the syntax tree with what is known of types: the columns of the
//! table and the type the expression is assigned to. What is shown is for clients to read; what is planned is always
//! the text the user wrote, so an unusual form here can mislead a reader but never an answer.

use tributary_pg::types::{self, oid};

use crate::dialect::sqlparser::ast::{
    BinaryOperator, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArguments, Ident, UnaryOperator, Value,
};

/// Type and typmod of a column by name.
pub type ColumnTypes<'a> = &'a dyn Fn(&str) -> Option<(u32, i32)>;

/// An identifier as SQL reads it: lower case unless quoted.
pub fn fold(ident: &Ident) -> String {
    if ident.quote_style.is_some() { ident.value.clone() } else { ident.value.to_lowercase() }
}

/// A name quoted if it must be, as quote_ident does.
pub fn quote_ident(name: &str) -> String {
    let plain = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
        && !super::keywords::needs_quotes(name);
    if plain { name.to_owned() } else { format!("\"{}\"", name.replace('"', "\"\"")) }
}

/// A text as a literal, as quote_literal does.
pub fn quote_literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if text.contains('\\') { format!("E'{}'", quoted.replace('\\', "\\\\")) } else { format!("'{quoted}'") }
}

/// An expression assigned to a value of type `target` (0 if there is none).
pub fn expression(expr: &Expr, columns: ColumnTypes<'_>, target: u32) -> String {
    Deparser { columns }.show(expr, target)
}

struct Deparser<'a> {
    columns: ColumnTypes<'a>,
}

impl Deparser<'_> {
    fn show(&self, expr: &Expr, target: u32) -> String {
        match expr {
            Expr::Nested(inner) => self.show(inner, target),
            Expr::Identifier(ident) => quote_ident(&fold(ident)),
            Expr::CompoundIdentifier(parts) => parts.last().map(|ident| quote_ident(&fold(ident))).unwrap_or_default(),
            Expr::Value(value) => literal(&value.value, target),
            Expr::TypedString(typed) => match parsed(&typed.data_type) {
                Some(ty) => format!("{}::{ty}", string_literal(&typed.value.value)),
                None => expr.to_string(),
            },
            Expr::Cast { expr: inner, data_type, .. } => self.cast(inner, &data_type.to_string()),
            Expr::UnaryOp { op: UnaryOperator::Not, expr } => format!("(NOT {})", self.show(expr, oid::BOOL)),
            Expr::UnaryOp { op: UnaryOperator::Minus, expr } => match expr.as_ref() {
                Expr::Value(value) if matches!(value.value, Value::Number(..)) => negative(&value.value.to_string()),
                other => format!("(- {})", self.show(other, target)),
            },
            Expr::UnaryOp { op: UnaryOperator::Plus, expr } => self.show(expr, target),
            Expr::BinaryOp { left, op, right } => self.binary(left, op, right),
            Expr::IsNull(inner) => format!("({} IS NULL)", self.show(inner, 0)),
            Expr::IsNotNull(inner) => format!("({} IS NOT NULL)", self.show(inner, 0)),
            Expr::IsDistinctFrom(left, right) => self.distinct(left, "IS DISTINCT FROM", right),
            Expr::IsNotDistinctFrom(left, right) => self.distinct(left, "IS NOT DISTINCT FROM", right),
            Expr::Array(array) => {
                let items: Vec<String> = array.elem.iter().map(|item| self.show(item, oid::TEXT)).collect();
                format!("ARRAY[{}]", items.join(", "))
            }
            Expr::IsTrue(inner) => format!("({} IS TRUE)", self.show(inner, 0)),
            Expr::IsFalse(inner) => format!("({} IS FALSE)", self.show(inner, 0)),
            Expr::InList { expr, list, negated } => self.in_list(expr, list, *negated),
            Expr::Between { expr, negated, low, high } => self.between(expr, low, high, *negated),
            Expr::Like { negated, expr, pattern, escape_char: None, .. } => {
                let op = if *negated { "!~~" } else { "~~" };
                format!("({} {op} {})", self.operand(expr, oid::TEXT), self.show(pattern, oid::TEXT))
            }
            Expr::ILike { negated, expr, pattern, escape_char: None, .. } => {
                let op = if *negated { "!~~*" } else { "~~*" };
                format!("({} {op} {})", self.operand(expr, oid::TEXT), self.show(pattern, oid::TEXT))
            }
            Expr::Function(function) => self.function(function),
            other => other.to_string(),
        }
    }

    /// PostgreSQL's type for an expression, as far as the syntax tells it; 0 if not.
    fn type_of(&self, expr: &Expr) -> u32 {
        match expr {
            Expr::Nested(inner) => self.type_of(inner),
            Expr::Identifier(ident) => (self.columns)(&fold(ident)).map_or(0, |(oid, _)| oid),
            Expr::CompoundIdentifier(parts) => {
                parts.last().and_then(|ident| (self.columns)(&fold(ident))).map_or(0, |(oid, _)| oid)
            }
            Expr::Cast { data_type, .. } => types::parse_type(&data_type.to_string()).map_or(0, |(ty, _)| ty.oid),
            Expr::BinaryOp { op: BinaryOperator::StringConcat, .. } => oid::TEXT,
            Expr::Function(function) => match function.name.to_string().to_lowercase().as_str() {
                "lower" | "upper" | "btrim" | "ltrim" | "rtrim" | "concat" | "replace" | "substr" | "left"
                | "right" => oid::TEXT,
                "length" | "char_length" | "octet_length" | "array_length" | "cardinality" => oid::INT4,
                "now" => oid::TIMESTAMPTZ,
                _ => 0,
            },
            _ => 0,
        }
    }

    fn cast(&self, inner: &Expr, to: &str) -> String {
        let shown = types::parse_type(to).map_or_else(|_| to.to_owned(), |(ty, m)| types::format_type(ty.oid, Some(m)));
        match inner {
            Expr::Value(value) => match &value.value {
                Value::SingleQuotedString(text) => format!("{}::{shown}", quote_literal(text)),
                Value::Null => format!("NULL::{shown}"),
                Value::Number(..) => format!("({})::{shown}", value.value),
                _ => format!("({})::{shown}", self.show(inner, 0)),
            },
            _ => {
                let inner = self.show(inner, 0);
                if inner.starts_with('(') { format!("{inner}::{shown}") } else { format!("({inner})::{shown}") }
            }
        }
    }

    /// An operand of an operator over text: varchar and bpchar are shown converted.
    fn operand(&self, expr: &Expr, other: u32) -> String {
        let own = self.type_of(expr);
        let shown = self.show(expr, other);
        if matches!(own, oid::VARCHAR) { format!("({shown})::text") } else { shown }
    }

    fn binary(&self, left: &Expr, op: &BinaryOperator, right: &Expr) -> String {
        if let BinaryOperator::And | BinaryOperator::Or = op {
            let mut terms = Vec::new();
            flatten(left, op, &mut terms);
            flatten(right, op, &mut terms);
            let terms: Vec<String> = terms.into_iter().map(|term| self.show(term, oid::BOOL)).collect();
            return format!("({})", terms.join(&format!(" {op} ")));
        }
        let side = |other: &Expr| match text_of(self.type_of(other)) {
            0 if *op == BinaryOperator::StringConcat => oid::TEXT,
            known => known,
        };
        let op_text = if *op == BinaryOperator::NotEq { "<>".to_owned() } else { op.to_string() };
        format!("({} {op_text} {})", self.operand(left, side(right)), self.operand(right, side(left)))
    }

    fn distinct(&self, left: &Expr, words: &str, right: &Expr) -> String {
        let (left_type, right_type) = (text_of(self.type_of(left)), text_of(self.type_of(right)));
        format!("({} {words} {})", self.operand(left, right_type), self.operand(right, left_type))
    }

    fn in_list(&self, expr: &Expr, list: &[Expr], negated: bool) -> String {
        let (op, all) = if negated { ("<>", "ALL") } else { ("=", "ANY") };
        if let [only] = list {
            return format!("({} {op} {})", self.operand(expr, 0), self.show(only, text_of(self.type_of(expr))));
        }
        let of = self.type_of(expr);
        let items: Vec<String> = list.iter().map(|item| self.show(item, of)).collect();
        let items = format!("ARRAY[{}]", items.join(", "));
        let items = if of == oid::VARCHAR { format!("({items})::text[]") } else { items };
        format!("({} {op} {all} ({items}))", self.operand(expr, of))
    }

    fn between(&self, expr: &Expr, low: &Expr, high: &Expr, negated: bool) -> String {
        let of = self.type_of(expr);
        let (value, low, high) = (self.operand(expr, of), self.show(low, of), self.show(high, of));
        if negated {
            format!("(({value} < {low}) OR ({value} > {high}))")
        } else {
            format!("(({value} >= {low}) AND ({value} <= {high}))")
        }
    }

    fn function(&self, function: &Function) -> String {
        let name = function.name.to_string();
        let FunctionArguments::List(list) = &function.args else {
            return name.to_uppercase();
        };
        let plain = list.args.iter().map(|arg| match arg {
            FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => self.argument(expr),
            other => other.to_string(),
        });
        let plain: Vec<String> = plain.collect();
        match name.to_lowercase().as_str() {
            "coalesce" | "nullif" | "greatest" | "least" => format!("{}({})", name.to_uppercase(), plain.join(", ")),
            "current_date" | "current_timestamp" | "localtimestamp" | "current_user" => name.to_uppercase(),
            lower => format!("{}({})", lower.strip_prefix("pg_catalog.").unwrap_or(lower), plain.join(", ")),
        }
    }

    fn argument(&self, expr: &Expr) -> String {
        match (expr, self.type_of(expr)) {
            (Expr::Value(_), _) => self.show(expr, oid::TEXT),
            (_, oid::VARCHAR) => format!("({})::text", self.show(expr, 0)),
            _ => self.show(expr, 0),
        }
    }
}

/// Operators over varchar are text's.
fn text_of(type_oid: u32) -> u32 {
    if type_oid == oid::VARCHAR { oid::TEXT } else { type_oid }
}

/// The terms of a chain of one operator: `a AND b AND c` is one list.
fn flatten<'a>(expr: &'a Expr, op: &BinaryOperator, terms: &mut Vec<&'a Expr>) {
    match expr {
        Expr::BinaryOp { left, op: inner, right } if inner == op => {
            flatten(left, op, terms);
            flatten(right, op, terms);
        }
        Expr::Nested(inner) => match inner.as_ref() {
            Expr::BinaryOp { op: below, .. } if below == op => flatten(inner, op, terms),
            _ => terms.push(expr),
        },
        _ => terms.push(expr),
    }
}

fn parsed(data_type: &impl ToString) -> Option<String> {
    types::parse_type(&data_type.to_string()).ok().map(|(ty, modifier)| types::format_type(ty.oid, Some(modifier)))
}

fn string_literal(value: &Value) -> String {
    match value {
        Value::SingleQuotedString(text) => quote_literal(text),
        other => other.to_string(),
    }
}

fn literal(value: &Value, target: u32) -> String {
    let shown = |text: &str| match target {
        0 => quote_literal(text),
        target => format!("{}::{}", quote_literal(text), types::format_type(target, Some(-1))),
    };
    match value {
        Value::SingleQuotedString(text) | Value::EscapedStringLiteral(text) => shown(text),
        Value::Null => match target {
            0 => "NULL".to_owned(),
            target => format!("NULL::{}", types::format_type(target, Some(-1))),
        },
        Value::Boolean(flag) => flag.to_string(),
        other => other.to_string(),
    }
}

/// `-1` is shown as `'-1'::integer`.
fn negative(number: &str) -> String {
    let ty = if number.contains(['.', 'e', 'E']) {
        "numeric"
    } else if number.parse::<i32>().is_ok() {
        "integer"
    } else if number.parse::<i64>().is_ok() {
        "bigint"
    } else {
        "numeric"
    };
    format!("'-{number}'::{ty}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::sqlparser::dialect::PostgreSqlDialect;
    use crate::dialect::sqlparser::parser::Parser;

    /// Expected texts are PostgreSQL 15's pg_get_expr and pg_get_constraintdef.
    #[test]
    fn shown_as_postgresql_does() {
        let columns = |name: &str| match name {
            "n" => Some((oid::INT4, -1)),
            "v" => Some((oid::VARCHAR, 124)),
            "t" => Some((oid::TEXT, -1)),
            _ => None,
        };
        for (sql, target, expect) in [
            ("'anon'", oid::TEXT, "'anon'::text"),
            ("'q'", oid::VARCHAR, "'q'::character varying"),
            ("'{}'", oid::JSONB, "'{}'::jsonb"),
            ("0", oid::NUMERIC, "0"),
            ("-1", oid::INT4, "'-1'::integer"),
            ("true", oid::BOOL, "true"),
            ("NULL", oid::TEXT, "NULL::text"),
            ("now()", oid::TIMESTAMPTZ, "now()"),
            ("current_timestamp", oid::TIMESTAMPTZ, "CURRENT_TIMESTAMP"),
            ("n > 0", oid::BOOL, "(n > 0)"),
            ("n > 0 AND n < 10 AND t = 'x'", oid::BOOL, "((n > 0) AND (n < 10) AND (t = 'x'::text))"),
            ("v = 'x'", oid::BOOL, "((v)::text = 'x'::text)"),
            (
                "v IN ('a', 'b')",
                oid::BOOL,
                "((v)::text = ANY ((ARRAY['a'::character varying, 'b'::character varying])::text[]))",
            ),
            ("t IN ('a', 'b')", oid::BOOL, "(t = ANY (ARRAY['a'::text, 'b'::text]))"),
            ("n IN (1, 2)", oid::BOOL, "(n = ANY (ARRAY[1, 2]))"),
            ("length(v) > 2", oid::BOOL, "(length((v)::text) > 2)"),
            (
                "v IS NOT NULL OR n IS NULL AND t IS NULL",
                oid::BOOL,
                "((v IS NOT NULL) OR ((n IS NULL) AND (t IS NULL)))",
            ),
            ("n + 1 > 2 * n", oid::BOOL, "((n + 1) > (2 * n))"),
            ("lower(v) = v", oid::BOOL, "(lower((v)::text) = (v)::text)"),
            ("n = 1 OR NOT (t = 'a')", oid::BOOL, "((n = 1) OR (NOT (t = 'a'::text)))"),
            ("n NOT BETWEEN 2 AND 3", oid::BOOL, "((n < 2) OR (n > 3))"),
            ("coalesce(n, 0) >= 0", oid::BOOL, "(COALESCE(n, 0) >= 0)"),
            ("v || 'x' = 'y'", oid::BOOL, "(((v)::text || 'x'::text) = 'y'::text)"),
            ("n IS DISTINCT FROM 4", oid::BOOL, "(n IS DISTINCT FROM 4)"),
            ("-1.5", oid::NUMERIC, "'-1.5'::numeric"),
            ("upper('x')", oid::VARCHAR, "upper('x'::text)"),
            ("'a' || 'b'", oid::TEXT, "('a'::text || 'b'::text)"),
            ("array[1, 2]", 1007, "ARRAY[1, 2]"),
            ("'{}'", oid::TEXT_ARRAY, "'{}'::text[]"),
            ("'x'", oid::BPCHAR, "'x'::bpchar"),
            ("n BETWEEN 1 AND 5", oid::BOOL, "((n >= 1) AND (n <= 5))"),
            ("t LIKE 'a%'", oid::BOOL, "(t ~~ 'a%'::text)"),
            ("NOT (n IS NULL)", oid::BOOL, "(NOT (n IS NULL))"),
            ("length(t) <= 5", oid::BOOL, "(length(t) <= 5)"),
            ("'2020-01-01'::date", oid::DATE, "'2020-01-01'::date"),
        ] {
            let expr = Parser::new(&PostgreSqlDialect {})
                .try_with_sql(sql)
                .and_then(|mut parser| parser.parse_expr())
                .expect("valid");
            assert_eq!(expression(&expr, &columns, target), expect, "{sql}");
        }
    }

    #[test]
    fn names_and_texts_are_quoted_when_they_must() {
        for (name, expect) in
            [("a_1", "a_1"), ("A", "\"A\""), ("select", "\"select\""), ("1a", "\"1a\""), ("a\"b", "\"a\"\"b\"")]
        {
            assert_eq!(quote_ident(name), expect);
        }
        assert_eq!(quote_literal("it's"), "'it''s'");
        assert_eq!(quote_literal("a\\b"), "E'a\\\\b'");
    }
}
