//! Forms: how the AST pass tells the expression planner what was written.
//!
//! DataFusion plans most AST nodes by itself and asks an `ExprPlanner` only about binary operators, but there it hands over
//! the schema, that is: the types. So the AST pass turns every node whose meaning depends on types (literals, casts, calls,
//! CASE, IN, conditions) into a binary operator with a private symbol. A form is such a symbol: kind, name and the
//! character position for error messages. Several operands travel as arguments of one private function, [`PACK`].
//! Forms never reach a logical plan: the planner replaces each by a typed expression.

use super::sqlparser::ast::{
    BinaryOperator, Expr, Function, FunctionArg, FunctionArgExpr, FunctionArgumentList, FunctionArguments, Ident,
    ObjectName, ObjectNamePart, Value,
};

/// Private function that carries a form's operands.
pub const PACK: &str = "\u{1}pack";

/// Mark between a hidden unique output name and its serial number.
pub const HIDDEN: char = '\u{1}';

/// What a form stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// String literal of unknown type.
    String,
    /// Number literal, as text.
    Number,
    /// Bit string literal.
    Bits,
    /// Prefix operator.
    Prefix,
    /// Infix operator; both operands in place.
    Infix,
    /// Cast; the right operand is a NULL cast to the target.
    Cast,
    /// Function call.
    Call,
    /// Argument of an aggregate or window function: name is `function/position`.
    Argument,
    /// Set-returning function, as the list of its values.
    Set,
    /// CASE: conditions and results in turn, then the ELSE result.
    Case,
    /// `x IN (list)`; name `not` for NOT IN.
    InList,
    /// `x IN (subquery)`.
    InQuery,
    /// `x op ANY (array)`: name is the operator.
    Any,
    /// `x op ALL (array)`.
    All,
    /// `IS [NOT] DISTINCT FROM`.
    Distinct,
    /// ARRAY[...].
    Array,
    /// ARRAY(subquery).
    ArrayQuery,
    /// ROW(...).
    Row,
    /// Subscripts: `i` index, `s` slice, in order.
    Subscript,
    /// Field of a row value.
    Field,
    /// A condition that must be boolean: name is the clause.
    Condition,
    /// A value leaving the query: unknown literals become text.
    Output,
    /// LIMIT or OFFSET.
    Limit,
    /// A name that is a column, or else the whole row of the relation so called.
    WholeRow,
    /// A column that USING made of two; the name is its.
    Merged,
    /// IS NULL of a whole row; name `not null` for IS NOT NULL.
    RowTest,
    /// Values out of the list of a set-returning function: they get the type the list forgets.
    Unnested,
    /// The planned call of an aggregate or window function: name is the function.
    Aggregated,
}

const KINDS: [(Kind, &str); 28] = [
    (Kind::String, "string"),
    (Kind::Number, "number"),
    (Kind::Bits, "bits"),
    (Kind::Prefix, "prefix"),
    (Kind::Infix, "infix"),
    (Kind::Cast, "cast"),
    (Kind::Call, "call"),
    (Kind::Argument, "argument"),
    (Kind::Set, "set"),
    (Kind::Case, "case"),
    (Kind::InList, "in"),
    (Kind::InQuery, "inquery"),
    (Kind::Any, "any"),
    (Kind::All, "all"),
    (Kind::Distinct, "distinct"),
    (Kind::Array, "array"),
    (Kind::ArrayQuery, "arrayquery"),
    (Kind::Row, "row"),
    (Kind::Subscript, "subscript"),
    (Kind::Field, "field"),
    (Kind::Condition, "condition"),
    (Kind::Output, "output"),
    (Kind::Limit, "limit"),
    (Kind::WholeRow, "wholerow"),
    (Kind::Merged, "merged"),
    (Kind::RowTest, "rowtest"),
    (Kind::Unnested, "unnested"),
    (Kind::Aggregated, "aggregated"),
];

/// A decoded form symbol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Form {
    /// What it stands for.
    pub kind: Kind,
    /// Operator, function or clause name.
    pub name: String,
    /// 1-based character position in the statement text, 0 when unknown.
    pub position: usize,
}

impl Form {
    /// The symbol that carries this form through DataFusion's planner.
    pub fn symbol(&self) -> BinaryOperator {
        let kind = KINDS.iter().find(|(kind, _)| *kind == self.kind).map_or("", |(_, text)| *text);
        BinaryOperator::Custom(format!("\u{1}{kind}\u{1}{}\u{1}{}", self.name, self.position))
    }

    /// Reads a symbol back; None for operators that are no forms.
    pub fn read(symbol: &BinaryOperator) -> Option<Form> {
        let BinaryOperator::Custom(text) = symbol else { return None };
        let mut parts = text.strip_prefix('\u{1}')?.split('\u{1}');
        let (kind, name, position) = (parts.next()?, parts.next()?, parts.next()?);
        let kind = KINDS.iter().find(|(_, text)| *text == kind).map(|(kind, _)| *kind)?;
        Some(Form { kind, name: name.to_owned(), position: position.parse().ok()? })
    }
}

/// A form over two operands.
pub fn form(kind: Kind, name: &str, position: usize, left: Expr, right: Expr) -> Expr {
    let symbol = Form { kind, name: name.to_owned(), position }.symbol();
    Expr::BinaryOp { left: Box::new(left), op: symbol, right: Box::new(right) }
}

/// A form over any number of operands.
pub fn packed(kind: Kind, name: &str, position: usize, operands: Vec<Expr>) -> Expr {
    form(kind, name, position, pack(operands), null())
}

/// Operands as arguments of the private function.
pub fn pack(operands: Vec<Expr>) -> Expr {
    call(PACK, operands)
}

/// A plain function call.
pub fn call(name: &str, operands: Vec<Expr>) -> Expr {
    let args = operands.into_iter().map(|one| FunctionArg::Unnamed(FunctionArgExpr::Expr(one))).collect();
    Expr::Function(Function {
        name: ObjectName(vec![ObjectNamePart::Identifier(Ident::with_quote('"', name))]),
        uses_odbc_syntax: false,
        parameters: FunctionArguments::None,
        args: FunctionArguments::List(FunctionArgumentList { duplicate_treatment: None, args, clauses: Vec::new() }),
        filter: None,
        null_treatment: None,
        over: None,
        within_group: Vec::new(),
    })
}

/// The rows of a set given as a list.
pub fn unnest(list: Expr, position: usize) -> Expr {
    form(Kind::Unnested, "", position, call("unnest", vec![list]), null())
}

/// The NULL literal.
pub fn null() -> Expr {
    Expr::value(Value::Null)
}

/// An output name as the user sees it: without the hidden serial number.
pub fn visible(name: &str) -> &str {
    name.split_once(HIDDEN).map_or(name, |(shown, _)| shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_read_back() {
        for (kind, _) in KINDS {
            let form = Form { kind, name: "round".to_owned(), position: 17 };
            assert_eq!(Form::read(&form.symbol()), Some(form));
        }
        assert_eq!(Form::read(&BinaryOperator::Custom(":".to_owned())), None);
        assert_eq!(visible("a\u{1}2"), "a");
    }
}
