//! System-information functions: what psql, drivers and BI tools ask beside the catalog's rows.
//!
//! Each is one line of a table below: name, numbers of arguments, result type, and a plain function from a row of
//! arguments to a value. They see the session through the statement's options, so no function reads a global. All are
//! stable; a NULL argument gives NULL unless the line says otherwise. Arguments may be of any integer or text type,
//! because clients pass OIDs as int4, oid, text and reg* alike.

mod arguments;
mod definitions;
mod information;
pub(in crate::engine) mod names;
mod rights;
mod sequences;
mod session;
mod sets;
mod sizes;
mod sleep;

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, LazyLock};

use datafusion::arrow::array::ArrayRef;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef};
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::FunctionRegistry;
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};
use datafusion::scalar::ScalarValue;
use tributary_pg::error::{PgError, PgResult};
use tributary_pg::types;

use super::relation::Kind;
use super::rows::{self, Cell};
use crate::engine::catalog::{Catalog, RoleObject};
use crate::engine::session_vars::SessionVars;

pub(super) use session::micros;
pub(in crate::engine) use sets::list_form;

/// A catalog and the schemas searched in it.
pub(in crate::engine) struct Place<'a> {
    /// The catalog.
    pub catalog: &'a Catalog,
    /// Schemas searched, in order.
    pub path: &'a [String],
}

/// What a function may know.
pub(super) struct Scope<'a> {
    /// The session.
    pub vars: &'a SessionVars,
    /// The catalog the statement sees.
    pub catalog: &'a Catalog,
    /// Schemas searched, in order.
    pub path: &'a [String],
    /// Fields of the arguments, with their type metadata.
    pub fields: &'a [FieldRef],
}

impl Scope<'_> {
    /// Where names are looked up.
    pub(super) fn place(&self) -> Place<'_> {
        Place { catalog: self.catalog, path: self.path }
    }

    /// The role in force.
    pub(super) fn role(&self) -> Option<&Arc<RoleObject>> {
        self.catalog.role(&self.vars.current_user)
    }
}

/// From the arguments of one row to its value.
type Eval = fn(&Scope<'_>, &[Cell]) -> PgResult<Cell>;

/// One function.
#[derive(Clone, Copy)]
pub(super) struct Definition {
    /// Name in pg_catalog.
    pub name: &'static str,
    /// Numbers of arguments it takes.
    pub arities: &'static [usize],
    /// typname of the result.
    pub returns: &'static str,
    /// A NULL argument gives NULL without a call.
    pub strict: bool,
    /// Called anew for each row, and never before execution.
    pub volatile: bool,
    /// What it does.
    pub eval: Eval,
}

/// A strict stable function.
pub(super) const fn function(
    name: &'static str,
    arities: &'static [usize],
    returns: &'static str,
    eval: Eval,
) -> Definition {
    Definition { name, arities, returns, strict: true, volatile: false, eval }
}

impl Definition {
    /// The same, called with NULL arguments too.
    pub(super) const fn with_nulls(self) -> Self {
        Self { strict: false, ..self }
    }

    /// The same, with an effect or an answer that changes.
    pub(super) const fn volatile(self) -> Self {
        Self { volatile: true, ..self }
    }
}

fn definitions() -> impl Iterator<Item = Definition> {
    let families = [
        session::FUNCTIONS,
        names::FUNCTIONS,
        definitions::FUNCTIONS,
        rights::FUNCTIONS,
        sizes::FUNCTIONS,
        information::FUNCTIONS,
        sequences::FUNCTIONS,
    ];
    families.into_iter().flatten().copied()
}

static FUNCTIONS: LazyLock<HashMap<&'static str, Arc<ScalarUDF>>> = LazyLock::new(|| {
    let made = definitions().map(|one| (one.name, Arc::new(ScalarUDF::from(SystemFunction::new(one)))));
    made.chain(std::iter::once(("pg_sleep", Arc::new(sleep::pg_sleep())))).collect()
});

/// The function of a name.
pub(in crate::engine) fn named(name: &str) -> Option<Arc<ScalarUDF>> {
    FUNCTIONS.get(name).cloned()
}

/// Registers every function.
pub(super) fn register(registry: &mut dyn FunctionRegistry) -> Result<()> {
    for function in FUNCTIONS.values() {
        registry.register_udf(Arc::clone(function))?;
    }
    Ok(())
}

struct SystemFunction {
    definition: Definition,
    signature: Signature,
}

impl SystemFunction {
    fn new(definition: Definition) -> Self {
        let volatility = if definition.volatile { Volatility::Volatile } else { Volatility::Stable };
        let shapes = definition
            .arities
            .iter()
            .map(|count| if *count == 0 { TypeSignature::Nullary } else { TypeSignature::Any(*count) })
            .collect();
        Self { definition, signature: Signature::one_of(shapes, volatility) }
    }

    /// Rows that no column argument distinguishes are computed once.
    fn evaluate(&self, args: &ScalarFunctionArgs) -> PgResult<ColumnarValue> {
        let fallback = SessionVars::default();
        let vars = SessionVars::of(&args.config_options).unwrap_or(&fallback);
        let scope = Scope { vars, catalog: &vars.catalog, path: &vars.search_path, fields: &args.arg_fields };
        let constant = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let count = if constant && !self.definition.volatile { 1 } else { args.number_rows };
        let columns = args
            .args
            .iter()
            .map(|arg| {
                let array = arg.to_array(count).map_err(crate::engine::pg::map_error)?;
                arguments::cells(&array)
            })
            .collect::<PgResult<Vec<_>>>()?;
        let mut row = Vec::with_capacity(columns.len());
        let mut cells = Vec::with_capacity(count);
        for index in 0..count {
            row.clear();
            row.extend(columns.iter().map(|column| column[index].clone()));
            cells.push(if self.definition.strict && row.contains(&Cell::Null) {
                Cell::Null
            } else {
                (self.definition.eval)(&scope, &row)?
            });
        }
        let array = self.array(&cells)?;
        if constant && !self.definition.volatile {
            let value = ScalarValue::try_from_array(&array, 0).map_err(crate::engine::pg::map_error)?;
            return Ok(ColumnarValue::Scalar(value));
        }
        Ok(ColumnarValue::Array(array))
    }

    fn array(&self, cells: &[Cell]) -> PgResult<ArrayRef> {
        rows::kind_array(&Kind::of(self.definition.returns), cells)
            .ok_or_else(|| PgError::internal(format!("{} gave a value of the wrong type", self.definition.name)))
    }
}

impl std::fmt::Debug for SystemFunction {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SystemFunction({})", self.definition.name)
    }
}

impl PartialEq for SystemFunction {
    fn eq(&self, other: &Self) -> bool {
        self.definition.name == other.definition.name
    }
}

impl Eq for SystemFunction {}

impl Hash for SystemFunction {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.definition.name.hash(state);
    }
}

impl ScalarUDFImpl for SystemFunction {
    fn name(&self) -> &str {
        self.definition.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arg_types: &[DataType]) -> Result<DataType> {
        Ok(Kind::of(self.definition.returns).arrow())
    }

    fn return_field_from_args(&self, _args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let field = Field::new(self.definition.name, Kind::of(self.definition.returns).arrow(), true);
        Ok(Arc::new(match types::by_name(self.definition.returns) {
            Some(ty) => ty.annotate(field, -1),
            None => field,
        }))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        self.evaluate(&args).map_err(|error| DataFusionError::External(Box::new(error)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_results_have_types() {
        let mut seen = std::collections::BTreeSet::new();
        for definition in definitions() {
            assert!(seen.insert(definition.name), "{} is there twice", definition.name);
            assert!(types::by_name(definition.returns).is_some(), "{} returns {}", definition.name, definition.returns);
        }
    }
}
