//! The AST pass over expressions: every node whose meaning depends on types becomes a form.
//!
//! See [`super::forms`] for what a form is and why. Syntax that PostgreSQL itself defines by rewriting (BETWEEN, LIKE,
//! SIMILAR TO, EXTRACT, row comparison, CASE with an operand) is rewritten here in the same way, so the planner meets only
//! operators, calls and a handful of special forms.

use super::sqlparser::ast::{
    AccessExpr, Array, BinaryOperator, CaseWhen, DataType, Expr, Interval, ObjectName, Query, Spanned, Subscript,
    UnaryOperator, Value, ValueWithSpan,
};
use tributary_pg::error::PgError;
use tributary_pg::sqlstate;

use super::forms::{Kind, form, null, pack, packed};
use super::names::folded;
use super::semantics::{Rewriter, unsupported};

impl Rewriter<'_> {
    /// Rewrites one expression in place.
    pub(super) fn expr(&mut self, expr: &mut Expr) -> Result<(), PgError> {
        let taken = std::mem::replace(expr, null());
        *expr = self.rewritten(taken)?;
        Ok(())
    }

    /// Position of an expression's first character.
    pub(super) fn at(&self, expr: &Expr) -> usize {
        self.source.position(expr.span().start)
    }

    pub(super) fn at_name(&self, name: &ObjectName) -> usize {
        self.source.position(name.span().start)
    }

    pub(super) fn rewritten(&mut self, expr: Expr) -> Result<Expr, PgError> {
        match expr {
            Expr::Nested(inner) => self.rewritten(*inner),
            Expr::BinaryOp { .. } => self.infix(expr),
            Expr::UnaryOp { op: UnaryOperator::Not, expr } => {
                let mut operand = *expr;
                let position = self.at(&operand);
                let subquery = matches!(unnested(&operand), Expr::Exists { .. } | Expr::InSubquery { .. });
                let positive = std::mem::replace(&mut self.positive, false);
                let filtering = self.filtering;
                self.filtering &= subquery;
                let done = self.expr(&mut operand);
                (self.positive, self.filtering) = (positive, filtering);
                done?;
                let operand = form(Kind::Condition, "NOT", position, operand, null());
                Ok(Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(operand) })
            }
            Expr::Exists { subquery, negated } => self.exists(*subquery, negated),
            Expr::InSubquery { expr, subquery, negated } => self.in_query(*expr, *subquery, negated),
            Expr::AnyOp { left, compare_op, right, .. } => self.quantified(*left, compare_op, *right, false),
            Expr::AllOp { left, compare_op, right } => self.quantified(*left, compare_op, *right, true),
            other => {
                // Below anything but AND and its own NOT a subquery no longer filters rows.
                let filtering = std::mem::replace(&mut self.filtering, false);
                let done = self.plain(other);
                self.filtering = filtering;
                done
            }
        }
    }

    fn plain(&mut self, expr: Expr) -> Result<Expr, PgError> {
        let position = self.at(&expr);
        match expr {
            Expr::Identifier(ident) => Ok(match self.keyword_function(&ident, position) {
                Some(called) => called,
                None if self.merged.contains(&folded(&ident)) => {
                    form(Kind::Merged, &folded(&ident), position, null(), null())
                }
                None if self.names_relation(&ident) => self.whole_row(&ident, position),
                None => Expr::Identifier(ident),
            }),
            Expr::CompoundIdentifier(_) | Expr::Wildcard(_) => Ok(expr),
            Expr::Value(value) => self.literal(value, position),
            Expr::UnaryOp { op, expr } => self.prefix(op, *expr, position),
            Expr::Cast { expr, data_type, format: None, .. } => self.cast(*expr, data_type, position),
            Expr::TypedString(typed) => {
                let text = Expr::Value(typed.value.clone());
                self.cast(text, typed.data_type, position)
            }
            Expr::Interval(interval) => self.interval(interval, position),
            Expr::Case { operand, conditions, else_result, .. } => {
                self.case(operand, conditions, else_result, position)
            }
            Expr::InList { expr, list, negated } => self.in_list(*expr, list, negated, position),
            Expr::Between { expr, negated, low, high } => self.between(*expr, negated, *low, *high),
            Expr::Like { negated, any: false, expr, pattern, escape_char } => {
                self.like(if negated { "!~~" } else { "~~" }, *expr, *pattern, escape_char)
            }
            Expr::ILike { negated, any: false, expr, pattern, escape_char } => {
                self.like(if negated { "!~~*" } else { "~~*" }, *expr, *pattern, escape_char)
            }
            Expr::SimilarTo { negated, expr, pattern, escape_char } => {
                let mut operands = vec![self.rewritten(*pattern)?];
                if let Some(escape) = escape_char {
                    operands.push(self.rewritten(Expr::Value(escape))?);
                }
                let pattern = packed(Kind::Call, "similar_to_escape", position, operands);
                let left = self.rewritten(*expr)?;
                Ok(form(Kind::Infix, if negated { "!~" } else { "~" }, position, left, pattern))
            }
            Expr::IsNull(inner) => self.null_test(*inner, true),
            Expr::IsNotNull(inner) => self.null_test(*inner, false),
            Expr::IsTrue(inner) => Ok(Expr::IsTrue(self.tested(*inner, "IS TRUE")?)),
            Expr::IsNotTrue(inner) => Ok(Expr::IsNotTrue(self.tested(*inner, "IS NOT TRUE")?)),
            Expr::IsFalse(inner) => Ok(Expr::IsFalse(self.tested(*inner, "IS FALSE")?)),
            Expr::IsNotFalse(inner) => Ok(Expr::IsNotFalse(self.tested(*inner, "IS NOT FALSE")?)),
            Expr::IsUnknown(inner) => Ok(Expr::IsUnknown(self.tested(*inner, "IS UNKNOWN")?)),
            Expr::IsNotUnknown(inner) => Ok(Expr::IsNotUnknown(self.tested(*inner, "IS NOT UNKNOWN")?)),
            Expr::IsDistinctFrom(left, right) => {
                let (left, right) = (self.rewritten(*left)?, self.rewritten(*right)?);
                Ok(form(Kind::Distinct, "", position, left, right))
            }
            Expr::IsNotDistinctFrom(left, right) => {
                let (left, right) = (self.rewritten(*left)?, self.rewritten(*right)?);
                Ok(form(Kind::Distinct, "not", position, left, right))
            }
            Expr::Function(function) => self.function(function, position),
            Expr::Array(Array { elem, .. }) => {
                limited_dimensions(&elem, position)?;
                let operands = self.list(elem)?;
                Ok(packed(Kind::Array, "", position, operands))
            }
            Expr::Tuple(values) => {
                let operands = self.list(values)?;
                Ok(packed(Kind::Row, "", position, operands))
            }
            Expr::CompoundFieldAccess { root, access_chain } => self.access(*root, access_chain, position),
            Expr::Subquery(mut query) => {
                self.nested_query(&mut query)?;
                Ok(Expr::Subquery(query))
            }
            Expr::Collate { expr, collation } => self.collate(*expr, &collation),
            other => self.keyword_call(other, position),
        }
    }

    pub(super) fn list(&mut self, list: Vec<Expr>) -> Result<Vec<Expr>, PgError> {
        list.into_iter().map(|one| self.rewritten(one)).collect()
    }

    pub(super) fn nested_query(&mut self, query: &mut Query) -> Result<(), PgError> {
        let (filtering, positive, sets) = (self.filtering, self.positive, self.sets_allowed);
        self.positive = true;
        let sorting = std::mem::replace(&mut self.sorting, false);
        let done = self.query(query);
        (self.filtering, self.positive, self.sets_allowed, self.sorting) = (filtering, positive, sets, sorting);
        done
    }

    fn literal(&mut self, value: ValueWithSpan, position: usize) -> Result<Expr, PgError> {
        Ok(match value.value {
            Value::Number(digits, _) => number(&digits.replace('_', ""), position),
            Value::SingleQuotedString(text)
            | Value::EscapedStringLiteral(text)
            | Value::UnicodeStringLiteral(text)
            | Value::NationalStringLiteral(text) => string(text, position),
            Value::DollarQuotedString(quoted) => string(quoted.value, position),
            Value::HexStringLiteral(digits) => {
                form(Kind::Bits, "x", position, Expr::value(Value::SingleQuotedString(digits)), null())
            }
            Value::SingleQuotedByteStringLiteral(digits) => {
                form(Kind::Bits, "b", position, Expr::value(Value::SingleQuotedString(digits)), null())
            }
            other => Expr::value(other),
        })
    }

    fn prefix(&mut self, op: UnaryOperator, operand: Expr, position: usize) -> Result<Expr, PgError> {
        if let Expr::Value(ValueWithSpan { value: Value::Number(digits, _), .. }) = &operand {
            match op {
                UnaryOperator::Minus => return Ok(number(&format!("-{}", digits.replace('_', "")), position)),
                UnaryOperator::Plus => return Ok(number(&digits.replace('_', ""), position)),
                _ => {}
            }
        }
        let symbol = op.to_string();
        let operand = self.rewritten(operand)?;
        Ok(form(Kind::Prefix, &symbol, position, operand, null()))
    }

    /// Infix operators; a left-deep chain is one loop, however long.
    fn infix(&mut self, expr: Expr) -> Result<Expr, PgError> {
        let mut spine = Vec::new();
        let mut current = expr;
        let logical = is_logical(&current);
        // A comparison on the left of AND is an operand, not part of the chain.
        while is_logical(&current) == logical
            && let Expr::BinaryOp { left, op, right } = current
        {
            spine.push((op, *right, 0));
            current = *left;
        }
        // What is left of an operator ends where the operand before it does.
        let mut end = self.source.position(current.span().end);
        for (_, right, left_end) in spine.iter_mut().rev() {
            *left_end = end;
            end = self.source.position(right.span().end);
        }
        let filtering = self.filtering;
        // Below OR a subquery is a value: joins there do not know NULL.
        self.filtering = filtering && spine.iter().all(|(op, ..)| *op == BinaryOperator::And);
        if logical && spine.len() >= LONG && spine.iter().all(|(op, ..)| *op == spine[0].0) {
            let op = spine[0].0.clone();
            let mut operands = vec![(self.at(&current), self.rewritten(current)?)];
            while let Some((_, right, _)) = spine.pop() {
                operands.push((self.at(&right), self.rewritten(right)?));
            }
            self.filtering = filtering;
            return Ok(balanced(&op, operands).1);
        }
        let mut built = match current {
            row @ Expr::Tuple(_) => row,
            other => self.rewritten(other)?,
        };
        while let Some((op, right, end)) = spine.pop() {
            built = self.joined(built, op, right, end)?;
        }
        self.filtering = filtering;
        Ok(built)
    }

    fn joined(&mut self, left: Expr, op: BinaryOperator, right: Expr, end: usize) -> Result<Expr, PgError> {
        let symbol = operator_name(&op);
        let position = self.source.find(&symbol, end);
        if let (Expr::Tuple(lefts), Expr::Tuple(rights)) = (&left, &unnested(&right)) {
            return self.row_comparison(lefts.clone(), &symbol, rights.clone(), position);
        }
        let left = match left {
            row @ Expr::Tuple(_) => self.rewritten(row)?,
            other => other,
        };
        let right_at = self.at(&right);
        let right = self.rewritten(right)?;
        if let BinaryOperator::And | BinaryOperator::Or = op {
            return Ok(both(&op, (0, left), (right_at, right)));
        }
        if op == BinaryOperator::Spaceship {
            return Ok(form(Kind::Distinct, "", position, left, right));
        }
        Ok(form(Kind::Infix, &symbol, position, left, right))
    }

    /// `(a, b) < (c, d)` by the standard's rule: the first pair that differs decides.
    fn row_comparison(
        &mut self,
        lefts: Vec<Expr>,
        symbol: &str,
        rights: Vec<Expr>,
        position: usize,
    ) -> Result<Expr, PgError> {
        if lefts.len() != rights.len() {
            return Err(
                PgError::new(sqlstate::SYNTAX_ERROR, "unequal number of entries in row expressions").at(position)
            );
        }
        let lefts = self.list(lefts)?;
        let rights = self.list(rights)?;
        let pair =
            |name: &str, index: usize| form(Kind::Infix, name, position, lefts[index].clone(), rights[index].clone());
        let last = lefts.len().saturating_sub(1);
        let both = |op: BinaryOperator, a: Expr, b: Expr| Expr::BinaryOp { left: Box::new(a), op, right: Box::new(b) };
        match symbol {
            "=" => {
                Ok((1..lefts.len()).fold(pair("=", 0), |sum, index| both(BinaryOperator::And, sum, pair("=", index))))
            }
            "<>" => {
                Ok((1..lefts.len()).fold(pair("<>", 0), |sum, index| both(BinaryOperator::Or, sum, pair("<>", index))))
            }
            "<" | "<=" | ">" | ">=" => {
                let strict = &symbol[..1];
                let mut built = pair(symbol, last);
                for index in (0..last).rev() {
                    let tied = both(BinaryOperator::And, pair("=", index), built);
                    built = both(BinaryOperator::Or, pair(strict, index), tied);
                }
                Ok(built)
            }
            "OVERLAPS" => Ok(packed(Kind::Call, "overlaps", position, lefts.into_iter().chain(rights).collect())),
            _ => Err(unsupported(&format!("operator {symbol} between rows")).at(position)),
        }
    }

    fn cast(&mut self, expr: Expr, data_type: DataType, position: usize) -> Result<Expr, PgError> {
        let target = Expr::Cast {
            kind: super::sqlparser::ast::CastKind::Cast,
            expr: Box::new(null()),
            data_type,
            array: false,
            format: None,
        };
        // A cast over ARRAY[..] reaches the elements, so that ARRAY[]::int[] has a type.
        if let Expr::Array(Array { elem, .. }) = expr {
            let operands = self.list(elem)?;
            return Ok(form(Kind::Array, "cast", position, pack(operands), target));
        }
        let operand = self.rewritten(expr)?;
        Ok(form(Kind::Cast, "", position, operand, target))
    }

    fn interval(&mut self, interval: Interval, position: usize) -> Result<Expr, PgError> {
        let Expr::Value(ValueWithSpan { value, .. }) = *interval.value else {
            return Err(PgError::new(sqlstate::SYNTAX_ERROR, "an interval literal must be a string").at(position));
        };
        let mut text = match value {
            Value::SingleQuotedString(text) | Value::EscapedStringLiteral(text) => text,
            Value::Number(digits, _) => digits,
            _ => return Err(PgError::new(sqlstate::SYNTAX_ERROR, "an interval literal must be a string").at(position)),
        };
        let field = interval.last_field.or(interval.leading_field);
        if let Some(field) = field {
            // A bare number takes the unit that follows the literal.
            if !text.is_empty() && text.chars().all(|one| one.is_ascii_digit() || "+-. ".contains(one)) {
                text = format!("{} {}", text.trim(), field.to_string().to_lowercase());
            }
        }
        let target = DataType::Interval { fields: None, precision: interval.fractional_seconds_precision };
        self.cast(Expr::value(Value::SingleQuotedString(text)), target, position)
    }

    fn case(
        &mut self,
        operand: Option<Box<Expr>>,
        conditions: Vec<CaseWhen>,
        else_result: Option<Box<Expr>>,
        position: usize,
    ) -> Result<Expr, PgError> {
        let operand = match operand {
            Some(operand) => Some(self.rewritten(*operand)?),
            None => None,
        };
        let mut operands = Vec::new();
        for CaseWhen { condition, result } in conditions {
            let at = self.at(&condition);
            let condition = self.rewritten(condition)?;
            operands.push(match &operand {
                Some(operand) => form(Kind::Infix, "=", at, operand.clone(), condition),
                None => form(Kind::Condition, "CASE/WHEN", at, condition, null()),
            });
            operands.push(self.rewritten(result)?);
        }
        operands.push(match else_result {
            Some(result) => self.rewritten(*result)?,
            None => null(),
        });
        Ok(packed(Kind::Case, "", position, operands))
    }

    fn in_list(&mut self, expr: Expr, list: Vec<Expr>, negated: bool, position: usize) -> Result<Expr, PgError> {
        if let Expr::Tuple(lefts) = unnested(&expr) {
            let mut any: Option<Expr> = None;
            for one in list {
                let Expr::Tuple(rights) = unnested(&one) else {
                    return Err(unsupported("IN between a row and a value"));
                };
                let same = self.row_comparison(lefts.clone(), "=", rights, position)?;
                any = Some(match any {
                    None => same,
                    Some(left) => {
                        Expr::BinaryOp { left: Box::new(left), op: BinaryOperator::Or, right: Box::new(same) }
                    }
                });
            }
            let any = any.unwrap_or_else(|| Expr::value(Value::Boolean(false)));
            return Ok(if negated { Expr::UnaryOp { op: UnaryOperator::Not, expr: Box::new(any) } } else { any });
        }
        let left = self.rewritten(expr)?;
        let list = self.list(list)?;
        Ok(form(Kind::InList, if negated { "not" } else { "" }, position, left, pack(list)))
    }

    fn between(&mut self, expr: Expr, negated: bool, low: Expr, high: Expr) -> Result<Expr, PgError> {
        let position = self.source.find("", 0).max(self.at(&low).saturating_sub(1));
        let (value, low, high) = (self.rewritten(expr)?, self.rewritten(low)?, self.rewritten(high)?);
        let (above, below, op) =
            if negated { ("<", ">", BinaryOperator::Or) } else { (">=", "<=", BinaryOperator::And) };
        let left = form(Kind::Infix, above, position, value.clone(), low);
        let right = form(Kind::Infix, below, position, value, high);
        Ok(Expr::BinaryOp { left: Box::new(left), op, right: Box::new(right) })
    }

    fn like(
        &mut self,
        operator: &str,
        expr: Expr,
        pattern: Expr,
        escape: Option<ValueWithSpan>,
    ) -> Result<Expr, PgError> {
        let position = self.source.position(expr.span().end);
        let left = self.rewritten(expr)?;
        let mut pattern = self.rewritten(pattern)?;
        if let Some(escape) = escape {
            let escape = self.rewritten(Expr::Value(escape))?;
            pattern = packed(Kind::Call, "like_escape", position, vec![pattern, escape]);
        }
        Ok(form(Kind::Infix, operator, position, left, pattern))
    }

    fn null_test(&mut self, inner: Expr, is_null: bool) -> Result<Expr, PgError> {
        if let Expr::Tuple(values) = unnested(&inner) {
            let tests = self
                .list(values)?
                .into_iter()
                .map(|one| if is_null { Expr::IsNull(Box::new(one)) } else { Expr::IsNotNull(Box::new(one)) });
            return Ok(tests
                .reduce(|left, right| Expr::BinaryOp {
                    left: Box::new(left),
                    op: BinaryOperator::And,
                    right: Box::new(right),
                })
                .unwrap_or_else(|| Expr::value(Value::Boolean(true))));
        }
        let position = self.at(&inner);
        if let Expr::Identifier(ident) = &inner
            && self.names_relation(ident)
        {
            let test = if is_null { "null" } else { "not null" };
            return Ok(form(Kind::RowTest, test, position, self.whole_row(ident, position), null()));
        }
        let inner = self.rewritten(inner)?;
        let settled = Box::new(form(Kind::Output, "", position, inner, null()));
        Ok(if is_null { Expr::IsNull(settled) } else { Expr::IsNotNull(settled) })
    }

    fn tested(&mut self, inner: Expr, clause: &str) -> Result<Box<Expr>, PgError> {
        let position = self.at(&inner);
        let inner = self.rewritten(inner)?;
        Ok(Box::new(form(Kind::Condition, clause, position, inner, null())))
    }

    fn access(&mut self, root: Expr, chain: Vec<AccessExpr>, position: usize) -> Result<Expr, PgError> {
        let mut chain = chain.into_iter().peekable();
        // `t.a[1]` is a subscript of column a: a field of a column t would be written `(t).a[1]`.
        let mut parts = match root {
            Expr::Identifier(ident) => vec![ident],
            Expr::CompoundIdentifier(parts) => parts,
            other => {
                return self.access_of(other, chain, position);
            }
        };
        while let Some(AccessExpr::Dot(Expr::Identifier(ident))) =
            chain.next_if(|access| matches!(access, AccessExpr::Dot(Expr::Identifier(_))))
        {
            parts.push(ident);
        }
        let root = match parts.len() {
            1 => parts.pop().map(Expr::Identifier),
            _ => Some(Expr::CompoundIdentifier(parts)),
        };
        let Some(root) = root else { return Err(unsupported("this kind of field access").at(position)) };
        self.access_of(root, chain, position)
    }

    fn access_of(
        &mut self,
        root: Expr,
        chain: impl Iterator<Item = AccessExpr>,
        position: usize,
    ) -> Result<Expr, PgError> {
        let mut built = self.rewritten(root)?;
        let mut shape = String::new();
        let mut indexes = Vec::new();
        for access in chain {
            match access {
                AccessExpr::Dot(Expr::Identifier(ident)) => {
                    built = subscripted(built, &mut shape, &mut indexes, position);
                    built = form(Kind::Field, &folded(&ident), position, built, null());
                }
                AccessExpr::Subscript(Subscript::Index { index }) => {
                    shape.push('i');
                    indexes.push(self.rewritten(index)?);
                }
                AccessExpr::Subscript(Subscript::Slice { lower_bound, upper_bound, stride: None }) => {
                    shape.push('s');
                    for bound in [lower_bound, upper_bound] {
                        indexes.push(match bound {
                            Some(bound) => self.rewritten(bound)?,
                            None => null(),
                        });
                    }
                }
                _ => return Err(unsupported("this kind of field access").at(position)),
            }
        }
        Ok(subscripted(built, &mut shape, &mut indexes, position))
    }

    fn collate(&mut self, expr: Expr, collation: &ObjectName) -> Result<Expr, PgError> {
        let name =
            collation.0.last().and_then(|part| part.as_ident()).map(|ident| ident.value.clone()).unwrap_or_default();
        let known = ["c", "posix", "default", "c.utf8", "c.utf-8", "ucs_basic"];
        if !known.contains(&name.to_lowercase().as_str()) {
            let message = format!("collation \"{name}\" for encoding \"UTF8\" does not exist");
            return Err(PgError::new(sqlstate::UNDEFINED_OBJECT, message).at(self.at_name(collation)));
        }
        self.rewritten(expr)
    }
}

fn subscripted(built: Expr, shape: &mut String, indexes: &mut Vec<Expr>, position: usize) -> Expr {
    if shape.is_empty() {
        return built;
    }
    let name = std::mem::take(shape);
    form(Kind::Subscript, &name, position, built, pack(std::mem::take(indexes)))
}

pub(super) fn unnested(expr: &Expr) -> Expr {
    match expr {
        Expr::Nested(inner) => unnested(inner),
        other => other.clone(),
    }
}

pub(super) fn text(value: &str) -> Expr {
    Expr::value(Value::SingleQuotedString(value.to_owned()))
}

fn string(text: String, position: usize) -> Expr {
    form(Kind::String, "", position, Expr::value(Value::SingleQuotedString(text)), null())
}

fn number(digits: &str, position: usize) -> Expr {
    form(Kind::Number, "", position, Expr::value(Value::SingleQuotedString(digits.to_owned())), null())
}

/// The symbol of an operator as the operator table spells it.
pub(super) fn operator_name(op: &BinaryOperator) -> String {
    match op {
        BinaryOperator::PGCustomBinaryOperator(parts) => parts.last().cloned().unwrap_or_default(),
        BinaryOperator::NotEq => "<>".to_owned(),
        BinaryOperator::PGBitwiseXor => "#".to_owned(),
        BinaryOperator::PGExp | BinaryOperator::BitwiseXor => "^".to_owned(),
        BinaryOperator::Custom(symbol) => symbol.clone(),
        other => other.to_string(),
    }
}

/// Dimensions of an array at most, as in PostgreSQL.
const DIMENSIONS: usize = 6;

/// 54000 if arrays stand in arrays too deep, seen from the outermost.
fn limited_dimensions(elements: &[Expr], position: usize) -> Result<(), PgError> {
    let (mut dimensions, mut first) = (1, elements.first());
    while let Some(Expr::Array(inner)) = first {
        dimensions += 1;
        first = inner.elem.first();
    }
    if dimensions <= DIMENSIONS {
        return Ok(());
    }
    let message = format!("number of array dimensions ({dimensions}) exceeds the maximum allowed ({DIMENSIONS})");
    Err(PgError::new(sqlstate::PROGRAM_LIMIT_EXCEEDED, message).or_at((position > 0).then_some(position)))
}

fn is_logical(expr: &Expr) -> bool {
    matches!(expr, Expr::BinaryOp { op: BinaryOperator::And | BinaryOperator::Or, .. })
}

/// Conditions from which a chain of ANDs or ORs is planned as a balanced tree: passes over it take time with its depth.
const LONG: usize = 16;

/// Two conditions joined, each with the place errors about it point at.
fn both(op: &BinaryOperator, left: (usize, Expr), right: (usize, Expr)) -> Expr {
    let word = if *op == BinaryOperator::And { "AND" } else { "OR" };
    let left = form(Kind::Condition, word, left.0, left.1, null());
    let right = form(Kind::Condition, word, right.0, right.1, null());
    Expr::BinaryOp { left: Box::new(left), op: op.clone(), right: Box::new(right) }
}

/// Conditions joined two by two, in their order.
fn balanced(op: &BinaryOperator, mut operands: Vec<(usize, Expr)>) -> (usize, Expr) {
    while operands.len() > 1 {
        let mut pairs = Vec::with_capacity(operands.len().div_ceil(2));
        let mut rest = operands.into_iter();
        while let Some(left) = rest.next() {
            pairs.push(match rest.next() {
                Some(right) => (left.0, both(op, left, right)),
                None => left,
            });
        }
        operands = pairs;
    }
    operands.pop().unwrap_or_else(|| (0, null()))
}
