//! Expressions with their PostgreSQL type, and how one becomes another.
//!
//! A string literal or NULL without a cast is *unknown*: `ScalarValue::Utf8` and `ScalarValue::Null`. Typed text is always
//! `Utf8View`, so the two never mix. Coercion gives unknown values the wanted type by parsing them while planning (with
//! the literal's position in the error), decides parameters, and puts cast functions around everything else.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::metadata::FieldMetadata;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{Column, DFSchema};
use datafusion::logical_expr::expr::{Placeholder, ScalarFunction};
use datafusion::logical_expr::{Cast, Expr, ExprSchemable, LogicalPlan, LogicalPlanBuilder, Subquery, Volatility};
use datafusion::scalar::ScalarValue;
use tributary_pg::error::PgError;
use tributary_pg::sqlstate;

use super::call::PgFunction;
use super::casts;
use super::coerce::{Pathway, pathway};
use super::parameters::Parameters;
use super::signatures::{Context, Oid, display_name, element_of, oid, signatures};
use super::types::{PgType, TYPE_KEY, arrow_type, field, field_over, metadata, of_field};
use crate::engine::session_vars::SessionVars;

/// Metadata key of an unknown literal: where it stands in the statement.
const POSITION_KEY: &str = "pg.at";

/// What planning one expression may look at.
#[derive(Debug)]
pub(super) struct Scope<'a> {
    /// Columns in sight.
    pub schema: &'a DFSchema,
    /// Parameters of the statement.
    pub parameters: &'a Parameters,
    /// The session: literals of some types depend on its settings.
    pub session: &'a SessionVars,
}

/// An expression and its type.
#[derive(Debug, Clone)]
pub(super) struct Typed {
    /// The expression.
    pub expr: Expr,
    /// Its type.
    pub of: PgType,
    /// Where it stands, 0 when unknown.
    pub at: usize,
    /// Precision and scale of a numeric, where the expression itself does not say.
    pub decimals: Option<(i32, i32)>,
}

impl Typed {
    /// An expression of a plain type.
    pub fn new(expr: Expr, oid: Oid) -> Typed {
        Typed { expr, of: PgType::plain(oid), at: 0, decimals: None }
    }

    /// The Arrow type, where the expression says it without a schema.
    pub fn arrow(&self) -> Option<DataType> {
        list_type(&self.expr)
    }

    /// How many dimensions an array is known to have.
    pub fn depth(&self) -> usize {
        let mut depth = 0;
        let Some(mut data_type) = list_type(&self.expr) else { return 1 };
        while let DataType::List(item) = data_type {
            depth += 1;
            data_type = item.data_type().clone();
        }
        depth.max(1)
    }

    /// Whether it is an unknown literal, NULL or an undecided parameter.
    pub fn unknown(&self) -> bool {
        self.of.oid == oid::UNKNOWN
    }
}

/// The Arrow type of an expression over no columns; None when it needs a schema.
fn list_type(expr: &Expr) -> Option<DataType> {
    match expr {
        Expr::ScalarFunction(function) => match function.func.inner().downcast_ref::<PgFunction>() {
            Some(own) => Some(own.field.data_type().clone()),
            None => expr.get_type(&DFSchema::empty()).ok(),
        },
        Expr::Cast(cast) => Some(cast.field.data_type().clone()),
        Expr::Literal(value, _) => Some(value.data_type()),
        _ => None,
    }
}

/// Puts a position into an error unless it has one.
pub(super) fn placed(error: PgError, position: usize) -> PgError {
    error.or_at((position > 0).then_some(position))
}

/// An unknown literal.
pub(super) fn unknown_literal(text: String, position: usize) -> Expr {
    let keys = HashMap::from([(POSITION_KEY.to_owned(), position.to_string())]);
    Expr::Literal(ScalarValue::Utf8(Some(text)), Some(FieldMetadata::from(keys)))
}

/// A constant of a type.
pub(super) fn literal(value: ScalarValue, of: PgType) -> Expr {
    let keys = metadata(of);
    let keys = (!keys.is_empty()).then(|| FieldMetadata::from(keys));
    Expr::Literal(value, keys)
}

impl Scope<'_> {
    /// The type of a planned expression.
    pub fn typed(&self, expr: Expr) -> Result<Typed, PgError> {
        match &expr {
            Expr::Literal(ScalarValue::Utf8(_), keys) => {
                let at = keys
                    .as_ref()
                    .and_then(|keys| keys.inner().get(POSITION_KEY).and_then(|text| text.parse().ok()))
                    .unwrap_or(0);
                return Ok(Typed { expr, of: PgType::plain(oid::UNKNOWN), at, decimals: None });
            }
            Expr::Literal(ScalarValue::Null, _) => return Ok(Typed::new(expr, oid::UNKNOWN)),
            Expr::Placeholder(placeholder) => return self.parameter(placeholder.clone()),
            Expr::ScalarFunction(function) => {
                if let Some(own) = function.func.inner().downcast_ref::<PgFunction>() {
                    let of = own.result;
                    return Ok(Typed { expr, of, at: 0, decimals: None });
                }
            }
            Expr::Literal(value, keys) => {
                let mut one = arrow::datatypes::Field::new("", value.data_type(), true);
                if let Some(keys) = keys {
                    one = one.with_metadata(keys.to_hashmap());
                }
                let of = of_field(&one);
                return Ok(Typed { expr, of, at: 0, decimals: None });
            }
            Expr::BinaryExpr(_)
            | Expr::Not(_)
            | Expr::IsNull(_)
            | Expr::IsNotNull(_)
            | Expr::InSubquery(_)
            | Expr::Exists(_)
            | Expr::Like(_)
            | Expr::InList(_)
            | Expr::IsTrue(_)
            | Expr::IsFalse(_) => {
                return Ok(Typed::new(expr, oid::BOOL));
            }
            _ => {}
        }
        let expr = match expr {
            Expr::ScalarSubquery(subquery) => Expr::ScalarSubquery(nullable_subquery(subquery)?),
            Expr::ScalarFunction(function) => Expr::ScalarFunction(self.system_call(function)?),
            other => other,
        };
        let typed_field = self.field(&expr)?;
        let of = of_field(&typed_field);
        let wanted = arrow_type(of).ok();
        let expr = match wanted {
            Some(wanted) if !carries(typed_field.data_type(), &wanted, of.oid) => {
                let target = Arc::new(field_over(typed_field.name(), of, wanted, true));
                Expr::Cast(Cast::new_from_field(Box::new(expr), target))
            }
            _ => expr,
        };
        let decimals = super::kernels::numeric::shape_of(typed_field.data_type());
        Ok(Typed { expr, of, at: 0, decimals })
    }

    /// The field an expression gives. A name that USING made one of two columns has either's type here; the engine settles
    /// which it is when the whole query is there, and refuses names of two columns that are not one.
    pub fn field(&self, expr: &Expr) -> Result<FieldRef, PgError> {
        let error = match expr.to_field(self.schema) {
            Ok((_, field)) => return Ok(field),
            Err(error) => error,
        };
        let settled = expr.clone().transform(|one| match &one {
            Expr::Column(Column { relation: None, name, .. }) => {
                Ok(match self.schema.qualified_fields_with_unqualified_name(name).as_slice() {
                    [(relation, field), _, ..] => {
                        Transformed::yes(Expr::Column(Column::new(relation.cloned(), field.name())))
                    }
                    _ => Transformed::no(one),
                })
            }
            _ => Ok(Transformed::no(one)),
        });
        let settled = settled.map_err(super::map_error)?;
        if !settled.transformed {
            return Err(super::map_error(error));
        }
        settled.data.to_field(self.schema).map(|(_, field)| field).map_err(super::map_error)
    }

    /// A function of the system schemas takes values of any type: a bare parameter among them is text.
    fn system_call(&self, mut function: ScalarFunction) -> Result<ScalarFunction, PgError> {
        for argument in &mut function.args {
            if let Expr::Placeholder(placeholder) = argument {
                *argument = self.parameter(placeholder.clone())?.expr;
            }
        }
        Ok(function)
    }

    fn parameter(&self, placeholder: Placeholder) -> Result<Typed, PgError> {
        let number = self.parameters.mention(&placeholder.id)?;
        match self.parameters.type_of(number) {
            Some(of) => self.decided(&placeholder.id, PgType::plain(of)),
            None => Ok(Typed::new(Expr::Placeholder(placeholder), oid::UNKNOWN)),
        }
    }

    fn decided(&self, id: &str, of: PgType) -> Result<Typed, PgError> {
        let typed_field = Arc::new(field(id, of, true)?);
        let expr = Expr::Placeholder(Placeholder::new_with_field(id.to_owned(), Some(typed_field)));
        Ok(Typed { expr, of, at: 0, decimals: None })
    }

    /// Coerces to a type in a context; 42846 or 42804 when there is no way.
    pub fn coerce(&self, value: Typed, to: PgType, context: Context) -> Result<Typed, PgError> {
        let at = value.at;
        if value.unknown() {
            return self.settle(value, to).map_err(|error| placed(error, at));
        }
        if value.of.oid == to.oid {
            return casts::sized(self, value, to, context);
        }
        let Some(way) = pathway(value.of.oid, to.oid, context) else {
            let message = format!("cannot cast type {} to {}", display_name(value.of.oid), display_name(to.oid));
            return Err(placed(PgError::new(sqlstate::CANNOT_COERCE, message), at));
        };
        let target = PgType::plain(to.oid);
        let same_arrow = way == Pathway::Relabel && self.same_arrow(&value, target)?;
        let cast = if same_arrow {
            Typed { expr: value.expr, of: target, at, decimals: value.decimals }
        } else {
            casts::cast(value, target, way)?
        };
        casts::sized(self, cast, to, context)
    }

    fn same_arrow(&self, value: &Typed, target: PgType) -> Result<bool, PgError> {
        Ok(arrow_type(value.of)? == arrow_type(target)?)
    }

    /// Gives an unknown value its type.
    fn settle(&self, value: Typed, to: PgType) -> Result<Typed, PgError> {
        match value.expr {
            Expr::Literal(ScalarValue::Utf8(Some(text)), _) => {
                let parsed = casts::parse_literal(self, &text, to)?;
                Ok(Typed { expr: literal(parsed, PgType::plain(to.oid)), of: to, at: value.at, decimals: None })
            }
            Expr::Literal(ScalarValue::Null | ScalarValue::Utf8(None), _) => {
                let null = ScalarValue::try_from(&arrow_type(to)?).map_err(super::map_error)?;
                Ok(Typed { expr: literal(null, to), of: to, at: value.at, decimals: None })
            }
            Expr::Placeholder(placeholder) => {
                let number = self.parameters.mention(&placeholder.id)?;
                self.parameters.decide(number, to.oid)?;
                let typed = self.decided(&placeholder.id, PgType::plain(to.oid))?;
                casts::sized(self, typed, to, Context::Explicit)
            }
            other => {
                let text = Typed { expr: other, of: PgType::plain(oid::TEXT), at: value.at, decimals: None };
                self.coerce(text, to, Context::Explicit)
            }
        }
    }

    /// Makes the expression carry its type by itself, so that whoever meets it next reads the same.
    pub fn finish(&self, value: Typed) -> Result<Expr, PgError> {
        if value.unknown() {
            return Ok(value.expr);
        }
        let seen = self.typed(value.expr.clone())?;
        if seen.of == value.of {
            return Ok(value.expr);
        }
        let own = self.field(&value.expr)?;
        let data_type = own.data_type().clone();
        // A cast whose target says nothing would keep the source's metadata.
        let mut keys = metadata(value.of);
        if let Some(row) = signatures().type_row(value.of.oid) {
            keys.insert(TYPE_KEY.to_owned(), row.name.to_owned());
        }
        let target = Arc::new(field_over("", value.of, data_type, true).with_metadata(keys));
        Ok(Expr::Cast(Cast::new_from_field(Box::new(value.expr), target)))
    }

    /// Brings siblings (CASE branches, list elements, UNION columns) to one type; `what` names them in the error.
    pub fn unify(&self, values: Vec<Typed>, what: &str) -> Result<(Vec<Typed>, PgType), PgError> {
        let inputs: Vec<Oid> = values.iter().map(|value| value.of.oid).collect();
        let Some(common) = super::coerce::common_type(&inputs) else {
            return Err(self.mismatch(&values, &inputs, what));
        };
        let typmods: Vec<i32> = values.iter().filter(|value| !value.unknown()).map(|value| value.of.typmod).collect();
        let same = values.iter().all(|value| value.unknown() || value.of.oid == common)
            && typmods.windows(2).all(|pair| pair[0] == pair[1]);
        let typmod = if same { typmods.first().copied().unwrap_or(-1) } else { -1 };
        let mut coerced = Vec::with_capacity(values.len());
        for value in values {
            coerced.push(self.coerce(value, PgType::plain(common), Context::Implicit)?);
        }
        let of = PgType { oid: common, typmod };
        if common == oid::NUMERIC {
            coerced = casts::same_scale(self, coerced)?;
        }
        for value in &mut coerced {
            value.of = of;
        }
        Ok((coerced, of))
    }

    fn mismatch(&self, values: &[Typed], inputs: &[Oid], what: &str) -> PgError {
        let Some((first, other, categories)) = super::coerce::common_type_conflict(inputs) else {
            return PgError::new(sqlstate::DATATYPE_MISMATCH, format!("{what} types cannot be matched"));
        };
        let at = values.iter().find(|value| value.of.oid == other).map_or(0, |value| value.at);
        let (first, other) = (display_name(first), display_name(other));
        if categories {
            let message = format!("{what} types {first} and {other} cannot be matched");
            return placed(PgError::new(sqlstate::DATATYPE_MISMATCH, message), at);
        }
        let message = format!("{what} could not convert type {other} to {first}");
        placed(PgError::new(sqlstate::CANNOT_COERCE, message), at)
    }
}

/// A scalar subquery of no rows is NULL, whatever its column promises; the engine would refuse the NULL. Aggregates over
/// everything always give a row and stay as they are.
fn nullable_subquery(subquery: Subquery) -> Result<Subquery, PgError> {
    let mut root = subquery.subquery.as_ref();
    while let LogicalPlan::Projection(_) | LogicalPlan::SubqueryAlias(_) | LogicalPlan::Sort(_) = root {
        match root.inputs().first() {
            Some(input) => root = input,
            None => break,
        }
    }
    let one_row = matches!(root, LogicalPlan::Aggregate(aggregate) if aggregate.group_expr.is_empty());
    let schema = subquery.subquery.schema();
    if one_row || schema.fields().len() != 1 || schema.field(0).is_nullable() {
        return Ok(subquery);
    }
    let column = schema.columns().remove(0);
    let field = Arc::new(schema.field(0).as_ref().clone().with_nullable(true));
    let name = format!("nullable_{}", field.data_type());
    let of = of_field(&field);
    let function =
        PgFunction::new(name, vec![of], of, field, |_, values| Ok(values[0].clone()), true, Volatility::Immutable);
    let shown = column.name.clone();
    let plan = LogicalPlanBuilder::from((*subquery.subquery).clone())
        .project([function.call(vec![Expr::Column(column)]).alias(shown)])
        .and_then(|builder| builder.build())
        .map_err(super::map_error)?;
    Ok(Subquery { subquery: Arc::new(plan), ..subquery })
}

/// Whether an Arrow type already is the carrier of a PostgreSQL type.
fn carries(have: &DataType, wanted: &DataType, of: Oid) -> bool {
    match (have, wanted) {
        (DataType::Decimal128(..) | DataType::Decimal256(..), _) if of == oid::NUMERIC => true,
        (DataType::List(inner), DataType::List(_)) => {
            let mut inner = inner.data_type();
            while let DataType::List(deeper) = inner {
                inner = deeper.data_type();
            }
            let element = element_of(of).unwrap_or(oid::TEXT);
            arrow_type(PgType::plain(element)).is_ok_and(|element_type| carries(inner, &element_type, element))
        }
        (DataType::Struct(_) | DataType::Null, _) => true,
        _ => have == wanted,
    }
}
