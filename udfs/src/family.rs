//! Families and their functions as data.
//!
//! A [`Function`] carries its implementation, its documentation and the sample arguments on which the generic laws
//! (`laws.rs`) are tested. A function without samples fails the tests, so no function escapes them.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{Field, FieldRef};
use datafusion_common::{Result, ScalarValue, exec_err};
use datafusion_expr::registry::FunctionRegistry;
use datafusion_expr::{AggregateUDF, ScalarUDF, WindowUDF};

use crate::documentation::Documentation;

/// A group of functions that share a page section and a folder.
#[derive(Debug, Clone, Copy)]
pub struct Family {
    /// Heading on the reference page.
    pub title: &'static str,
    /// One paragraph below the heading.
    pub summary: &'static str,
    /// Builds the functions; called once per registration or rendering.
    pub functions: fn() -> Vec<Function>,
}

/// What a function is to the engine.
#[derive(Debug, Clone)]
pub enum Implementation {
    /// One value per row.
    Scalar(Arc<ScalarUDF>),
    /// One value per group; also usable as a window aggregate.
    Aggregate(Arc<AggregateUDF>),
    /// One value per row over a window.
    Window(Arc<WindowUDF>),
}

/// A function with its documentation and its samples.
pub struct Function {
    /// The implementation.
    pub implementation: Implementation,
    /// What the reference page says.
    pub documentation: Documentation,
    /// Sample arguments for the laws. Called by tests only.
    pub cases: Box<dyn Fn() -> Vec<LawCase>>,
}

/// One set of sample arguments; all columns have the same number of rows, at least 8 for an aggregate.
#[derive(Debug, Clone)]
pub struct LawCase {
    /// Shown when a law fails.
    pub name: String,
    /// The arguments in order.
    pub arguments: Vec<LawArgument>,
    /// The rows are in the order an order-sensitive aggregate needs and must not be permuted.
    pub ordered: bool,
}

/// One argument of a case.
#[derive(Debug, Clone)]
pub enum LawArgument {
    /// A column, with its field (type and metadata).
    Column(FieldRef, ArrayRef),
    /// A literal, with its field.
    Constant(FieldRef, ScalarValue),
}

impl Function {
    /// A scalar function.
    pub fn scalar(
        udf: impl Into<ScalarUDF>,
        documentation: Documentation,
        cases: impl Fn() -> Vec<LawCase> + 'static,
    ) -> Self {
        let implementation = Implementation::Scalar(Arc::new(udf.into()));
        Self { implementation, documentation, cases: Box::new(cases) }
    }

    /// An aggregate function.
    pub fn aggregate(
        udf: impl Into<AggregateUDF>,
        documentation: Documentation,
        cases: impl Fn() -> Vec<LawCase> + 'static,
    ) -> Self {
        let implementation = Implementation::Aggregate(Arc::new(udf.into()));
        Self { implementation, documentation, cases: Box::new(cases) }
    }

    /// A window function.
    pub fn window(
        udf: impl Into<WindowUDF>,
        documentation: Documentation,
        cases: impl Fn() -> Vec<LawCase> + 'static,
    ) -> Self {
        let implementation = Implementation::Window(Arc::new(udf.into()));
        Self { implementation, documentation, cases: Box::new(cases) }
    }

    /// The SQL name.
    pub fn name(&self) -> &str {
        match &self.implementation {
            Implementation::Scalar(f) => f.name(),
            Implementation::Aggregate(f) => f.name(),
            Implementation::Window(f) => f.name(),
        }
    }

    /// Other names of the same function. Implementations list them in `aliases()`; `with_aliases` of DataFusion is not
    /// used because its wrapper replaces a sliding accumulator by the plain one.
    pub fn aliases(&self) -> &[String] {
        match &self.implementation {
            Implementation::Scalar(f) => f.aliases(),
            Implementation::Aggregate(f) => f.aliases(),
            Implementation::Window(f) => f.aliases(),
        }
    }
}

impl LawCase {
    /// A case whose rows may come in any order.
    pub fn new(name: impl Into<String>, arguments: Vec<LawArgument>) -> Self {
        Self { name: name.into(), arguments, ordered: false }
    }

    /// A case whose rows must stay in order.
    pub fn in_order(name: impl Into<String>, arguments: Vec<LawArgument>) -> Self {
        Self { name: name.into(), arguments, ordered: true }
    }
}

impl LawArgument {
    /// A column without metadata.
    pub fn column(array: ArrayRef) -> Self {
        let field = Field::new("column", array.data_type().clone(), true);
        Self::Column(Arc::new(field), array)
    }

    /// A literal without metadata.
    pub fn constant(value: ScalarValue) -> Self {
        let field = Field::new("constant", value.data_type(), true);
        Self::Constant(Arc::new(field), value)
    }

    /// The field of the argument.
    pub fn field(&self) -> &FieldRef {
        match self {
            Self::Column(field, _) | Self::Constant(field, _) => field,
        }
    }
}

/// Registers every function of every family. A name that the registry already knows is an error: silently replacing
/// a function would change the meaning of stored queries.
pub fn register_all(registry: &mut dyn FunctionRegistry) -> Result<()> {
    let mut scalars = registry.udfs();
    let mut aggregates = registry.udafs();
    let mut windows = registry.udwfs();
    for family in crate::FAMILIES {
        for function in (family.functions)() {
            match function.implementation.clone() {
                Implementation::Scalar(f) => {
                    take_names(&mut scalars, &function)?;
                    registry.register_udf(f)?;
                }
                Implementation::Aggregate(f) => {
                    take_names(&mut aggregates, &function)?;
                    registry.register_udaf(f)?;
                }
                Implementation::Window(f) => {
                    take_names(&mut windows, &function)?;
                    registry.register_udwf(f)?;
                }
            }
        }
    }
    Ok(())
}

fn take_names(taken: &mut HashSet<String>, function: &Function) -> Result<()> {
    for name in std::iter::once(function.name()).chain(function.aliases().iter().map(String::as_str)) {
        if !taken.insert(name.to_string()) {
            return exec_err!("function name {name} is taken twice");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use datafusion_expr::registry::MemoryFunctionRegistry;

    #[test]
    fn all_register_once_and_a_taken_name_is_an_error() {
        let mut registry = MemoryFunctionRegistry::new();
        register_all(&mut registry).unwrap();
        let error = register_all(&mut registry).unwrap_err();
        assert!(error.to_string().contains("is taken twice"), "{error}");
    }

    #[test]
    fn names_are_snake_case_and_unique_across_kinds() {
        let mut seen = HashSet::new();
        for function in crate::FAMILIES.iter().flat_map(|family| (family.functions)()) {
            for name in std::iter::once(function.name()).chain(function.aliases().iter().map(String::as_str)) {
                assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_'), "{name}");
                assert!(seen.insert(name.to_string()), "{name} appears twice");
            }
        }
    }
}
