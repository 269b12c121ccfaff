//! Names to meaning: the planner's view of catalog, functions and options for one statement.
//!
//! DataFusion's own provider looks tables up by a fixed default schema before planning. Ours is asked while planning, so
//! search_path, views, the transaction's own objects and PostgreSQL's errors all work in one place.

use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::{DataFusionError, Result, TableReference};
use datafusion::config::ConfigOptions;
use datafusion::datasource::{ViewTable, provider_as_source};
use datafusion::execution::SessionState;
use datafusion::logical_expr::planner::{ContextProvider, ExprPlanner, RelationPlanner, TypePlanner};
use datafusion::logical_expr::{
    AggregateUDF, Expr, HigherOrderUDF, LogicalPlan, LogicalPlanBuilder, ScalarUDF, TableSource, WindowUDF,
};
use datafusion::sql::planner::{NullOrdering, ParserOptions, SqlToRel};
use tributary_pg::error::PgError;

use super::catalog::{Catalog, Relation, TableObject, ViewObject, lookup_path, rights};
use super::pg::{self, Parameters};
use super::session_vars::SessionVars;
use super::table::ReadRows;
use super::{dml, system, table};
use crate::dialect::locks::LOCKED;
use crate::dialect::semantics::{Rewriter, SourceText};
use crate::dialect::sqlparser::tokenizer::Location;
use crate::dialect::{self, Ast, sqlparser};

/// What one statement may read: one catalog and one snapshot.
#[derive(Clone, Debug)]
pub struct ReadView {
    /// Objects.
    pub catalog: Arc<Catalog>,
    /// Rows of every table.
    pub(super) rows: ReadRows,
    /// Lookup path, in order.
    pub search_path: Vec<String>,
    /// The session.
    pub vars: SessionVars,
}

/// Deepest nesting of views. Reason: a view that reads itself through CREATE OR REPLACE would never end.
const VIEW_DEPTH_MAX: usize = 64;

/// Plans statements over a [`ReadView`].
pub(super) struct Planner<'a> {
    pub state: &'a SessionState,
    pub view: &'a ReadView,
    depth: usize,
    text: String,
    parameters: Arc<Parameters>,
    expr_planners: Vec<Arc<dyn ExprPlanner>>,
    relation_planners: Vec<Arc<dyn RelationPlanner>>,
    /// Planning the query of a system view.
    trusted: bool,
    /// Planning the query of a view: OIDs of what its names meant when it was made.
    bound: Vec<u32>,
    /// Planning the query of a view whose rows are locked.
    locking: bool,
    /// The table of a write, known under names that nobody else knows.
    target: Option<Arc<TableObject>>,
}

impl<'a> Planner<'a> {
    /// A planner for a statement without parameters.
    pub(super) fn new(state: &'a SessionState, view: &'a ReadView) -> Self {
        Self::with_parameters(state, view, "", Arc::default())
    }

    /// A planner for the statement whose text is `text`: errors then carry positions.
    pub(super) fn with_parameters(
        state: &'a SessionState,
        view: &'a ReadView,
        text: &str,
        parameters: Arc<Parameters>,
    ) -> Self {
        let own = pg::expr_planners(&parameters, &view.vars);
        let expr_planners = own.into_iter().chain(state.expr_planners().iter().map(Arc::clone)).collect();
        let own = pg::relation_planners(&parameters, &view.vars);
        let relation_planners = own.into_iter().chain(state.relation_planners().iter().map(Arc::clone)).collect();
        Self {
            state,
            view,
            depth: 0,
            text: text.to_owned(),
            parameters,
            expr_planners,
            relation_planners,
            trusted: false,
            bound: Vec::new(),
            locking: false,
            target: None,
        }
    }

    /// An error at a place in the statement.
    pub(super) fn at(&self, error: PgError, place: Location) -> PgError {
        let position = SourceText::new(&self.text).position(place);
        error.or_at((position > 0).then_some(position))
    }

    /// A planner of the same statement for a write to `table`.
    pub(super) fn for_target(&self, table: &Arc<TableObject>) -> Planner<'a> {
        let planner = Self::with_parameters(self.state, self.view, &self.text, Arc::clone(&self.parameters));
        planner.with_target(Arc::clone(table))
    }

    /// Plans a statement and decides its parameters' types. `declared`: what the client said, 0 for unknown.
    pub(super) fn plan_declared(
        state: &'a SessionState,
        view: &'a ReadView,
        text: &str,
        statement: &sqlparser::ast::Statement,
        declared: &[u32],
    ) -> Result<(LogicalPlan, Vec<u32>), PgError> {
        let parameters = Arc::new(Parameters::declared(declared)?);
        let plan = Self::with_parameters(state, view, text, Arc::clone(&parameters)).plan(statement.clone())?;
        if !parameters.any() {
            return Ok((plan, Vec::new()));
        }
        let parameters = Arc::new(parameters.again());
        let plan = Self::with_parameters(state, view, text, Arc::clone(&parameters)).plan(statement.clone())?;
        Ok((plan, parameters.settled()?))
    }

    /// The same for a write to `table`.
    pub(super) fn with_target(self, table: Arc<TableObject>) -> Self {
        Self { target: Some(table), ..self }
    }

    /// Plans one statement: passes A and B. The result is not yet analyzed.
    pub(super) fn plan(&self, mut statement: sqlparser::ast::Statement) -> Result<LogicalPlan, PgError> {
        let source = SourceText::new(&self.text);
        let names = pg::FunctionNames(self.state);
        Rewriter::new(&source, &names).statement(&mut statement)?;
        SqlToRel::new_with_options(self, parser_options())
            .sql_statement_to_plan(statement)
            .map_err(|error| pg::located(error, &source))
    }

    /// A relation the server fills: its rows, or the view over other such relations.
    fn system_source(&self, schema: &str, name: &str) -> Result<Arc<dyn TableSource>, PgError> {
        let Some(query) = system::views::query_of(schema, name) else {
            return system::source(schema, name, self.view, self.trusted);
        };
        if !self.trusted {
            // Checks the right to read the view itself.
            system::source(schema, name, self.view, false)?;
        }
        let mut inner = Planner::new(self.state, self.view);
        inner.depth = self.depth + 1;
        inner.trusted = true;
        let statement = dialect::parse(query)?.into_iter().next();
        let Some(Ast::Sql(sql)) = statement.map(|statement| statement.ast) else {
            return Err(PgError::internal(format!("the text of view {schema}.{name} is no query")));
        };
        let plan = system::views::shape(schema, name, inner.plan(*sql)?)?;
        Ok(provider_as_source(Arc::new(ViewTable::new(plan, Some(query.to_owned())))))
    }

    /// What a name means. In a view's query a relation that got the name after the view was made does not count.
    fn relation(&self, schema: Option<&str>, name: &str) -> Result<Relation, PgError> {
        let catalog = &self.view.catalog;
        let found = catalog.resolve(&self.view.search_path, schema, name);
        let settled = match &found {
            Ok(Relation::Table(table)) => self.bound.contains(&table.oid),
            Ok(Relation::View(view)) => self.bound.contains(&view.oid),
            Ok(Relation::Sequence(_) | Relation::System(..)) => true,
            Err(_) => false,
        };
        if settled || schema.is_some() {
            return found;
        }
        let table = |oid| catalog.tables.get(oid).filter(|table| table.name == name).map(Arc::clone);
        let view = |oid| catalog.views.get(oid).filter(|view| view.name == name).map(Arc::clone);
        let of = |oid| table(oid).map(Relation::Table).or_else(|| view(oid).map(Relation::View));
        let mut meant = self.bound.iter().filter_map(of);
        match (meant.next(), meant.next()) {
            (Some(one), None) => Ok(one),
            _ => found,
        }
    }

    fn view_source(&self, view: &ViewObject, locking: bool) -> Result<Arc<dyn TableSource>, PgError> {
        if self.depth >= VIEW_DEPTH_MAX {
            return Err(PgError::new(
                tributary_pg::sqlstate::STATEMENT_TOO_COMPLEX,
                format!("view \"{}\" is nested too deeply", view.name),
            ));
        }
        let mut read_view = self.view.clone();
        let owner = self.view.catalog.roles.get(&view.owner);
        read_view.search_path = lookup_path(&view.search_path, owner.map_or("", |owner| owner.name.as_str()));
        // Only a temporary view may have been written over temporary tables.
        let own = self.view.vars.temporary_schema();
        if self.view.catalog.schema_name(view.schema) == own {
            read_view.search_path.insert(0, own);
        }
        // Its relations are read with its owner's rights.
        if let Some(owner) = owner {
            read_view.vars.current_user = owner.name.clone();
        }
        let mut inner = Planner::with_parameters(self.state, &read_view, &view.query, Arc::clone(&self.parameters));
        inner.depth = self.depth + 1;
        inner.bound.clone_from(&view.depends_on);
        inner.locking = locking;
        let statement = dialect::parse(&view.query)?.into_iter().next();
        let Some(Ast::Sql(query)) = statement.map(|statement| statement.ast) else {
            return Err(PgError::internal(format!("the text of view \"{}\" is no query", view.name)));
        };
        let plan = named(inner.plan(*query)?, view)?;
        Ok(provider_as_source(Arc::new(ViewTable::new(plan, Some(view.query.clone())))))
    }
}

/// A view's rows under the view's own column names: its query may give a name twice, and hides that by a suffix.
fn named(plan: LogicalPlan, view: &ViewObject) -> Result<LogicalPlan, PgError> {
    let fields: Vec<_> = plan.schema().columns();
    if fields.len() != view.columns.len() {
        return Err(PgError::internal(format!("the query of view \"{}\" has other columns than the view", view.name)));
    }
    let columns = fields.into_iter().zip(&view.columns).map(|(column, (name, ..))| Expr::Column(column).alias(name));
    LogicalPlanBuilder::from(plan).project(columns).and_then(LogicalPlanBuilder::build).map_err(pg::map_error)
}

/// Options of the planner: they never depend on the session, so neither do a plan's types.
pub(super) fn parser_options() -> ParserOptions {
    ParserOptions {
        parse_float_as_decimal: true,
        enable_ident_normalization: true,
        support_varchar_with_length: true,
        enable_options_value_normalization: false,
        collect_spans: true,
        map_string_types_to_utf8view: true,
        default_null_ordering: NullOrdering::NullsMax,
    }
}

impl ContextProvider for Planner<'_> {
    fn get_table_source(&self, name: TableReference) -> Result<Arc<dyn TableSource>> {
        let external = |error: PgError| DataFusionError::External(Box::new(error));
        if let Some(target) = &self.target
            && let Some(source) = dml::hidden_source(target, name.schema())
        {
            return source.map_err(external);
        }
        let (schema, marked) = match (name.catalog(), name.schema()) {
            (Some(LOCKED), schema) => (schema, true),
            (None, Some(LOCKED)) => (None, true),
            (_, schema) => (schema, false),
        };
        let locks = marked || self.locking;
        let relation = self.relation(schema, name.table()).map_err(external)?;
        let readable = |schema: u32, object: (&str, &str, u32, Option<&[String]>)| {
            let (catalog, user) = (&self.view.catalog, &self.view.vars.current_user);
            let allowed = |right| rights::must_allow(catalog, user, right, object);
            rights::must_use_schema(catalog, user, schema)
                .and_then(|()| allowed('r'))
                .and_then(|()| if locks { allowed('w') } else { Ok(()) })
                .map_err(external)
        };
        match relation {
            Relation::Table(object) => {
                readable(object.schema, (object.kind_name(), &object.name, object.owner, object.acl.as_deref()))?;
                // Rows of a temporary table are nobody else's, and those of files nobody's.
                let temporary = self.view.catalog.schema_name(object.schema) == self.view.vars.temporary_schema();
                let locked = locks && !temporary && object.external.is_none();
                if locked { table::locked_source(&object) } else { table::source(&object, self.view) }
            }
            Relation::View(object) => {
                readable(object.schema, ("view", &object.name, object.owner, object.acl.as_deref()))?;
                self.view_source(&object, locks)
            }
            Relation::Sequence(object) => {
                if marked {
                    let message = format!("cannot lock rows in sequence \"{}\"", object.name);
                    return Err(external(PgError::new(tributary_pg::sqlstate::WRONG_OBJECT_TYPE, message)));
                }
                readable(object.schema, ("sequence", &object.name, object.owner, object.acl.as_deref()))?;
                system::sequence_source(&object, self.view)
            }
            Relation::System(schema, name) => self.system_source(&schema, &name),
        }
        .map_err(external)
    }

    fn create_cte_work_table(&self, name: &str, schema: SchemaRef) -> Result<Arc<dyn TableSource>> {
        let table = datafusion::datasource::cte_worktable::CteWorkTable::new(name, schema);
        Ok(provider_as_source(Arc::new(table)))
    }

    fn get_table_function_source(
        &self,
        name: &str,
        args: Vec<datafusion::logical_expr::Expr>,
    ) -> Result<Arc<dyn TableSource>> {
        if let Some(source) = system::tables::source(name, self.view) {
            return source.map_err(|error| DataFusionError::External(Box::new(error)));
        }
        let function = self.state.table_functions().get(name).ok_or_else(|| {
            let message = format!("function {name} does not exist");
            let error = PgError::new(tributary_pg::sqlstate::UNDEFINED_FUNCTION, message);
            DataFusionError::External(Box::new(error.hint_opt(pg::near_function(name))))
        })?;
        let arguments = datafusion::catalog::TableFunctionArgs::new(&args, self.state);
        Ok(provider_as_source(function.create_table_provider_with_args(arguments)?))
    }

    fn get_expr_planners(&self) -> &[Arc<dyn ExprPlanner>] {
        &self.expr_planners
    }

    fn get_relation_planners(&self) -> &[Arc<dyn RelationPlanner>] {
        &self.relation_planners
    }

    fn get_type_planner(&self) -> Option<Arc<dyn TypePlanner>> {
        pg::type_planner()
    }

    fn get_function_meta(&self, name: &str) -> Option<Arc<ScalarUDF>> {
        self.state.scalar_functions().get(name).cloned()
    }

    fn get_higher_order_meta(&self, name: &str) -> Option<Arc<HigherOrderUDF>> {
        self.state.higher_order_functions().get(name).cloned()
    }

    fn get_aggregate_meta(&self, name: &str) -> Option<Arc<AggregateUDF>> {
        self.state.aggregate_functions().get(name).cloned()
    }

    fn get_window_meta(&self, name: &str) -> Option<Arc<WindowUDF>> {
        self.state.window_functions().get(name).cloned()
    }

    fn get_variable_type(&self, _variable_names: &[String]) -> Option<DataType> {
        None
    }

    fn options(&self) -> &ConfigOptions {
        self.state.config_options()
    }

    fn udf_names(&self) -> Vec<String> {
        self.state.scalar_functions().keys().cloned().collect()
    }

    fn higher_order_function_names(&self) -> Vec<String> {
        self.state.higher_order_functions().keys().cloned().collect()
    }

    fn udaf_names(&self) -> Vec<String> {
        self.state.aggregate_functions().keys().cloned().collect()
    }

    fn udwf_names(&self) -> Vec<String> {
        self.state.window_functions().keys().cloned().collect()
    }
}
