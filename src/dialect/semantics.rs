//! The AST pass over queries: PostgreSQL's meaning, written so that DataFusion's planner keeps it.
//!
//! Walks every query level and hands expressions to [`super::expressions`]. At query level it names output columns and keeps
//! the names unique (a repeated name gets a hidden serial number after [`super::forms::HIDDEN`]), turns set operations and
//! VALUES into private relations so that their columns get PostgreSQL's common types, set-returning functions into
//! `unnest`, and refuses what the engine would silently ignore. It knows no types and no tables.

use std::collections::HashMap;

use super::sqlparser::ast::helpers::attached_token::AttachedToken;
use super::sqlparser::ast::{
    Distinct, Expr, Fetch, FunctionArg, FunctionArgExpr, FunctionArguments, GroupByExpr, GroupByWithModifier, Ident,
    LimitClause, NamedWindowExpr, ObjectName, ObjectNamePart, Offset, OrderBy, OrderByExpr, OrderByKind, Query, Select,
    SelectFlavor, SelectItem, SetExpr, SetOperator, SetQuantifier, Statement, TableAlias, TableFactor, TableWithJoins,
    Value, Values, WildcardAdditionalOptions, WindowSpec,
};
use super::sqlparser::tokenizer::Location;
use tributary_pg::error::PgError;
use tributary_pg::sqlstate;

use super::forms::{HIDDEN, Kind, form, null};
use super::names::{figure, folded};

/// What a function name stands for; the engine answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FunctionKind {
    /// One of PostgreSQL's scalar functions.
    Scalar,
    /// An aggregate.
    Aggregate,
    /// A pure window function.
    Window,
    /// A function that returns rows.
    Set,
    /// One of our own functions, typed by its own signature.
    Own,
    /// Nothing known: resolution will say so.
    Unknown,
}

/// Whether a function is called with OVER.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Windowing {
    /// Aggregates are with it or without.
    Possible,
    /// Window functions are never without.
    Needed,
    /// Scalar and set-returning functions are never with it.
    Refused,
}

/// Tells functions apart by name.
pub trait Functions {
    /// Whether the function called `name` is called with OVER.
    fn windowing(&self, name: &str) -> Windowing;

    /// The kind of the function called `name`.
    fn kind(&self, name: &str) -> FunctionKind;

    /// Names of the columns of a function that returns rows of several.
    fn columns(&self, name: &str) -> Vec<&'static str>;

    /// The engine's name for an aggregate or window function.
    fn engine_name(&self, name: &str) -> String;

    /// Parameter names of one of our own functions; none if it takes arguments by position only.
    fn parameters(&self, name: &str) -> Vec<String>;
}

/// Private relation for set operations: name prefix; operator and quantifier follow.
pub const SET_OPERATION: &str = "\u{1}setop";
/// Private relation for `generate_series` in FROM: name prefix; position and column name follow.
pub const SERIES: &str = "\u{1}series";
/// Private relation for VALUES.
pub const VALUES: &str = "\u{1}values";

/// The statement text, for positions.
#[derive(Debug, Clone)]
pub struct SourceText {
    text: Vec<char>,
    lines: Vec<usize>,
}

impl SourceText {
    /// Indexes a text.
    pub fn new(text: &str) -> SourceText {
        let text: Vec<char> = text.chars().collect();
        let mut lines = vec![0];
        lines.extend(text.iter().enumerate().filter(|(_, one)| **one == '\n').map(|(index, _)| index + 1));
        SourceText { text, lines }
    }

    /// 1-based character position of a parser location; 0 when the parser had none.
    pub fn position(&self, at: Location) -> usize {
        if at.line == 0 || at.column == 0 || self.text.is_empty() {
            return 0;
        }
        let line = self.lines.get(at.line as usize - 1).copied().unwrap_or(self.text.len());
        (line + at.column as usize).min(self.text.len() + 1)
    }

    /// Position of `symbol` at or after `from`, within the next 200 characters.
    pub fn find(&self, symbol: &str, from: usize) -> usize {
        let wanted: Vec<char> = symbol.chars().collect();
        if from == 0 || wanted.is_empty() {
            return 0;
        }
        let start = from.saturating_sub(1);
        let end = self.text.len().min(start + 200);
        (start..end).find(|index| self.text[*index..].starts_with(&wanted)).map_or(0, |index| index + 1)
    }
}

/// One run of the pass.
pub struct Rewriter<'a> {
    pub(super) source: &'a SourceText,
    pub(super) functions: &'a dyn Functions,
    /// Whether the expression stands where EXISTS and IN (subquery) filter rows.
    pub(super) filtering: bool,
    /// Columns of USING, while in WHERE of their query.
    pub(super) merged: Vec<String>,
    /// Whether no NOT stands between here and the filter: NULL and false are then the same.
    pub(super) positive: bool,
    /// Whether set-returning functions may stand here.
    pub(super) sets_allowed: bool,
    /// Whether the expression is a sort key.
    pub(super) sorting: bool,
    /// Names that the query's ORDER BY uses: they must stay visible.
    ordered_by: Vec<String>,
    /// Names of the relations in the FROM clause at hand.
    pub(super) relations: Vec<super::rows::Relation>,
    serial: usize,
    /// Queries around the one in hand, itself included.
    depth: usize,
    /// WITH queries in scope.
    ctes: Vec<String>,
}

impl std::fmt::Debug for Rewriter<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rewriter").field("filtering", &self.filtering).finish_non_exhaustive()
    }
}

/// An unsupported feature, with PostgreSQL's code for it.
pub(super) fn unsupported(what: &str) -> PgError {
    PgError::new(sqlstate::FEATURE_NOT_SUPPORTED, format!("{what} is not supported"))
}

impl<'a> Rewriter<'a> {
    /// A pass over one statement.
    pub fn new(source: &'a SourceText, functions: &'a dyn Functions) -> Rewriter<'a> {
        Rewriter {
            source,
            functions,
            filtering: false,
            merged: Vec::new(),
            positive: true,
            sets_allowed: false,
            sorting: false,
            ordered_by: Vec::new(),
            relations: Vec::new(),
            serial: 0,
            depth: 0,
            ctes: Vec::new(),
        }
    }

    /// Rewrites whatever a statement holds of queries and expressions.
    pub fn statement(&mut self, statement: &mut Statement) -> Result<(), PgError> {
        match statement {
            Statement::Query(query) => self.query(query),
            Statement::Explain { statement, .. } => self.statement(statement),
            Statement::CreateView(view) => self.query(&mut view.query),
            Statement::CreateTable(table) => match &mut table.query {
                Some(query) => self.query(query),
                None => Ok(()),
            },
            Statement::Insert(insert) => {
                if let Some(source) = &mut insert.source {
                    self.insert_source(source)?;
                }
                self.returning(&mut insert.returning)
            }
            Statement::Update(update) => {
                for assignment in &mut update.assignments {
                    if !is_default(&assignment.value) {
                        self.value(&mut assignment.value)?;
                    }
                }
                if let Some(selection) = &mut update.selection {
                    self.condition(selection, "WHERE")?;
                }
                self.returning(&mut update.returning)
            }
            Statement::Delete(delete) => {
                if let Some(selection) = &mut delete.selection {
                    self.condition(selection, "WHERE")?;
                }
                self.returning(&mut delete.returning)
            }
            _ => Ok(()),
        }
    }

    fn returning(&mut self, items: &mut Option<Vec<SelectItem>>) -> Result<(), PgError> {
        match items {
            Some(items) => self.projection(items, true),
            None => Ok(()),
        }
    }

    /// Rewrites a query whose rows go to the client or into a subquery.
    pub fn query(&mut self, query: &mut Query) -> Result<(), PgError> {
        self.query_at(query, true)
    }

    /// Rewrites the source of an INSERT: unknown literals stay unknown until the target column decides.
    pub fn insert_source(&mut self, query: &mut Query) -> Result<(), PgError> {
        if let SetExpr::Values(values) = query.body.as_mut() {
            for row in &mut values.rows {
                for value in &mut row.content {
                    if !is_default(value) {
                        self.value(value)?;
                    }
                }
            }
            return self.tail(query);
        }
        self.query_at(query, false)
    }

    /// Rewrites a free-standing expression: a SET value, a DEFAULT, a CHECK.
    pub fn value(&mut self, expr: &mut Expr) -> Result<(), PgError> {
        let (filtering, sets) = (self.filtering, self.sets_allowed);
        (self.filtering, self.sets_allowed) = (false, false);
        let done = self.expr(expr);
        (self.filtering, self.sets_allowed) = (filtering, sets);
        done
    }

    /// Rewrites a condition; `clause` names it in the error for non-boolean ones.
    pub fn condition(&mut self, expr: &mut Expr, clause: &str) -> Result<(), PgError> {
        let (filtering, sets) = (self.filtering, self.sets_allowed);
        (self.filtering, self.sets_allowed) = (true, false);
        let position = self.at(expr);
        let done = self.expr(expr);
        (self.filtering, self.sets_allowed) = (filtering, sets);
        done?;
        let inner = std::mem::replace(expr, null());
        *expr = form(Kind::Condition, clause, position, inner, null());
        Ok(())
    }

    /// One query level.
    pub(super) fn query_at(&mut self, query: &mut Query, settle: bool) -> Result<(), PgError> {
        self.depth += 1;
        let outer = self.ctes.len();
        let locks = std::mem::take(&mut query.locks);
        let done = super::locks::check(query, &locks, self.functions).and_then(|()| self.query_inside(query, settle));
        if !locks.is_empty() {
            super::locks::mark(&mut query.body, &locks, &self.ctes);
        }
        self.ctes.truncate(outer);
        self.depth -= 1;
        done
    }

    fn query_inside(&mut self, query: &mut Query, settle: bool) -> Result<(), PgError> {
        if let Some(with) = &mut query.with {
            let recursive = with.recursive;
            for cte in &mut with.cte_tables {
                let name = folded(&cte.alias.name);
                if recursive && mentions(&cte.query, &name) {
                    self.recursive(&mut cte.query)?;
                } else {
                    self.query_at(&mut cte.query, true)?;
                }
                self.ctes.push(name);
            }
        }
        if let (SetExpr::Select(select), Some(OrderBy { kind: OrderByKind::Expressions(keys), .. })) =
            (query.body.as_mut(), &mut query.order_by)
        {
            hide_shadowing_aliases(select, keys);
        }
        let keys = match &query.order_by {
            Some(OrderBy { kind: OrderByKind::Expressions(keys), .. }) => keys.as_slice(),
            _ => &[],
        };
        let names = keys.iter().filter_map(|key| match &key.expr {
            Expr::Identifier(ident) => Some(folded(ident)),
            _ => None,
        });
        let outer = std::mem::replace(&mut self.ordered_by, names.collect());
        let done = self.body(&mut query.body, settle);
        self.ordered_by = outer;
        done?;
        self.tail(query)
    }

    /// ORDER BY, LIMIT, FETCH, locks.
    fn tail(&mut self, query: &mut Query) -> Result<(), PgError> {
        if !query.locks.is_empty() {
            return Err(unsupported("FOR UPDATE/SHARE here"));
        }
        if let Some(OrderBy { kind: OrderByKind::Expressions(keys), .. }) = &mut query.order_by {
            self.sort_keys(keys)?;
        }
        if let Some(Fetch { quantity, percent, with_ties }) = query.fetch.take() {
            if percent || with_ties {
                return Err(unsupported("FETCH FIRST with PERCENT or WITH TIES"));
            }
            let limit = quantity.unwrap_or_else(|| Expr::value(Value::Number("1".to_owned(), false)));
            let offset = match query.limit_clause.take() {
                Some(LimitClause::LimitOffset { offset, .. }) => offset,
                _ => None,
            };
            query.limit_clause = Some(LimitClause::LimitOffset { limit: Some(limit), offset, limit_by: Vec::new() });
        }
        if let Some(LimitClause::LimitOffset { limit, offset, .. }) = &mut query.limit_clause {
            if let Some(limit) = limit {
                self.limit(limit, "LIMIT")?;
            }
            if let Some(Offset { value, .. }) = offset {
                self.limit(value, "OFFSET")?;
            }
        }
        Ok(())
    }

    fn limit(&mut self, expr: &mut Expr, clause: &str) -> Result<(), PgError> {
        let position = self.at(expr);
        self.value(expr)?;
        let inner = std::mem::replace(expr, null());
        *expr = form(Kind::Limit, clause, position, inner, null());
        Ok(())
    }

    /// A recursive CTE keeps its own set operation: DataFusion plans the recursion from it.
    fn recursive(&mut self, query: &mut Query) -> Result<(), PgError> {
        if let SetExpr::SetOperation { left, right, .. } = query.body.as_mut() {
            self.body(left, true)?;
            self.body(right, true)?;
            return self.tail(query);
        }
        self.query_at(query, true)
    }

    fn body(&mut self, body: &mut Box<SetExpr>, settle: bool) -> Result<(), PgError> {
        match body.as_mut() {
            SetExpr::Select(select) => self.select(select, settle),
            SetExpr::Query(query) => self.query_at(query, settle),
            SetExpr::Values(values) => {
                let replaced = self.values(values)?;
                **body = replaced;
                Ok(())
            }
            SetExpr::SetOperation { .. } => {
                let taken = std::mem::replace(body.as_mut(), empty_values());
                **body = self.set_operation(taken)?;
                Ok(())
            }
            SetExpr::Table(table) => {
                let mut parts = Vec::new();
                if let Some(schema) = &table.schema_name {
                    parts.push(ObjectNamePart::Identifier(Ident::new(schema.clone())));
                }
                parts.push(ObjectNamePart::Identifier(Ident::new(table.table_name.clone().unwrap_or_default())));
                **body = select_all(plain_table(ObjectName(parts)));
                Ok(())
            }
            _ => Err(unsupported("a data-modifying statement in WITH")),
        }
    }

    /// `a UNION b` becomes `SELECT * FROM setop((a), (b))`; a chain of one operator is one relation.
    fn set_operation(&mut self, taken: SetExpr) -> Result<SetExpr, PgError> {
        let SetExpr::SetOperation { op, set_quantifier, .. } = &taken else { return Ok(taken) };
        let (op, quantifier) = (*op, *set_quantifier);
        let mut branches = Vec::new();
        let chained = matches!(op, SetOperator::Union);
        flatten(taken, op, quantifier, chained, &mut branches);
        let mut args = Vec::new();
        for branch in branches {
            let mut query = match branch {
                SetExpr::Query(query) => *query,
                other => bare_query(other),
            };
            self.query_at(&mut query, false)?;
            args.push(FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Subquery(Box::new(query)))));
        }
        let all = matches!(quantifier, SetQuantifier::All);
        let word = match op {
            SetOperator::Union => "UNION",
            SetOperator::Except | SetOperator::Minus => "EXCEPT",
            SetOperator::Intersect => "INTERSECT",
        };
        let name = format!("{SET_OPERATION}\u{1}{word}\u{1}{}", if all { "ALL" } else { "" });
        Ok(select_all(private_relation(&name, args, None)))
    }

    fn values(&mut self, values: &mut Values) -> Result<SetExpr, PgError> {
        let mut rows = Vec::new();
        let width = values.rows.first().map_or(0, |row| row.content.len());
        for row in &mut values.rows {
            if row.content.len() != width {
                return Err(PgError::new(sqlstate::SYNTAX_ERROR, "VALUES lists must all be the same length"));
            }
            for value in &mut row.content {
                self.value(value)?;
            }
            let content = std::mem::take(&mut row.content);
            rows.push(FunctionArg::Unnamed(FunctionArgExpr::Expr(Expr::Tuple(content))));
        }
        Ok(select_all(private_relation(VALUES, rows, None)))
    }

    fn select(&mut self, select: &mut Select, settle: bool) -> Result<(), PgError> {
        super::rows::add_system_columns(select);
        let names = super::rows::relation_names(&select.from);
        let outer = (std::mem::replace(&mut self.relations, names), std::mem::take(&mut self.merged));
        let done = self.select_inside(select, settle);
        (self.relations, self.merged) = outer;
        done
    }

    fn select_inside(&mut self, select: &mut Select, settle: bool) -> Result<(), PgError> {
        for from in &mut select.from {
            self.from(from)?;
        }
        if let Some(selection) = &mut select.selection {
            // Elsewhere the engine finds out by itself that the two columns are one.
            self.merged = super::joins::merged(&select.from);
            self.condition(selection, "WHERE")?;
            self.merged.clear();
        }
        match &mut select.group_by {
            GroupByExpr::Expressions(keys, modifiers) => {
                if modifiers.iter().any(|one| !matches!(one, GroupByWithModifier::GroupingSets(_))) {
                    return Err(unsupported("GROUP BY with a modifier"));
                }
                let named = |ident: &Ident| select.projection.iter().any(|item| item_name(item) == Some(folded(ident)));
                for key in keys.iter_mut() {
                    if let Expr::Identifier(ident) = key
                        && self.names_relation(ident)
                        && !named(ident)
                    {
                        *key = self.whole_row(ident, self.source.position(ident.span.start));
                    } else {
                        self.group_key(key)?;
                    }
                }
                // GROUP BY () alone is one group.
                if matches!(keys.as_slice(), [Expr::Tuple(empty)] if empty.is_empty()) {
                    keys.clear();
                }
            }
            GroupByExpr::All(_) => {}
        }
        if let Some(having) = &mut select.having {
            self.condition(having, "HAVING")?;
        }
        for window in &mut select.named_window {
            if let NamedWindowExpr::WindowSpec(spec) = &mut window.1 {
                self.window(spec)?;
            }
        }
        if let Some(Distinct::On(keys)) = &mut select.distinct {
            for key in keys {
                self.key(key)?;
            }
        }
        self.projection(&mut select.projection, settle)
    }

    fn projection(&mut self, items: &mut [SelectItem], settle: bool) -> Result<(), PgError> {
        // What a star brings may have the name of another item. Outermost that is allowed, so the item's name is hidden;
        // further in it would be ambiguous to whoever refers to it, and who does must see the name.
        let wild = self.depth <= 1
            && items.iter().any(|item| matches!(item, SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..)));
        // Further in a name given twice is hidden everywhere: who refers to it finds that it is ambiguous.
        let mut twice: HashMap<String, usize> = HashMap::new();
        if self.depth > 1 {
            for name in items.iter().filter_map(item_name) {
                *twice.entry(name).or_insert(0) += 1;
            }
        }
        let mut seen: HashMap<String, usize> = HashMap::new();
        for item in items {
            let (mut expr, name) = match item {
                SelectItem::UnnamedExpr(expr) => {
                    let name = figure(expr);
                    (std::mem::replace(expr, null()), name)
                }
                SelectItem::ExprWithAlias { expr, alias } => (std::mem::replace(expr, null()), folded(alias)),
                SelectItem::ExprWithAliases { .. } => return Err(unsupported("a list of column aliases")),
                SelectItem::Wildcard(_) | SelectItem::QualifiedWildcard(..) => continue,
            };
            if let Expr::Identifier(ident) = &expr
                && let Some(called) = self.keyword_function(ident, self.at(&expr))
            {
                expr = called;
            }
            if let Expr::Identifier(ident) = &expr
                && self.names_relation(ident)
            {
                expr = self.whole_row(ident, self.at(&expr));
            }
            let count = seen.entry(name.clone()).or_insert(0);
            *count += 1;
            let ambiguous = twice.get(&name).is_some_and(|count| *count > 1) && !self.ordered_by.contains(&name);
            let first = *count == 1 && !ambiguous && (!wild || self.ordered_by.contains(&name));
            let plain = matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_));
            if plain && first && matches!(item, SelectItem::UnnamedExpr(_)) {
                *item = SelectItem::UnnamedExpr(expr);
                continue;
            }
            let hidden = if first { name } else { format!("{name}{HIDDEN}{}", self.next_serial()) };
            self.filtering = false;
            self.sets_allowed = true;
            let position = self.at(&expr);
            let done = if is_built(&expr) { Ok(()) } else { self.expr(&mut expr) };
            self.sets_allowed = false;
            done?;
            if settle && !plain {
                expr = form(Kind::Output, "", position, expr, null());
            }
            *item = SelectItem::ExprWithAlias { expr, alias: Ident::with_quote('"', hidden) };
        }
        Ok(())
    }

    pub(super) fn next_serial(&mut self) -> usize {
        self.serial += 1;
        self.serial
    }

    fn group_key(&mut self, key: &mut Expr) -> Result<(), PgError> {
        match key {
            Expr::Rollup(lists) | Expr::Cube(lists) | Expr::GroupingSets(lists) => {
                lists.iter_mut().flatten().try_for_each(|one| self.key(one))
            }
            other => self.key(other),
        }
    }

    /// A grouping or DISTINCT ON key: positions and names stay as they are.
    fn key(&mut self, expr: &mut Expr) -> Result<(), PgError> {
        if is_position(expr) || matches!(expr, Expr::Identifier(_) | Expr::CompoundIdentifier(_)) {
            return Ok(());
        }
        self.value(expr)
    }

    /// Sort keys of a query or an aggregate.
    pub(super) fn sort_keys(&mut self, keys: &mut [OrderByExpr]) -> Result<(), PgError> {
        for key in keys {
            let outer = std::mem::replace(&mut self.sorting, true);
            let done = self.key(&mut key.expr);
            self.sorting = outer;
            done?;
        }
        Ok(())
    }

    /// PARTITION BY and ORDER BY of a window.
    pub(super) fn window(&mut self, spec: &mut WindowSpec) -> Result<(), PgError> {
        for key in &mut spec.partition_by {
            self.key(key)?;
        }
        self.sort_keys(&mut spec.order_by)
    }

    fn from(&mut self, from: &mut TableWithJoins) -> Result<(), PgError> {
        self.factor(&mut from.relation)?;
        for join in &mut from.joins {
            self.factor(&mut join.relation)?;
            if let Some(condition) = super::joins::condition(&mut join.join_operator)? {
                self.condition(condition, "JOIN/ON")?;
            }
        }
        Ok(())
    }

    pub(super) fn factor(&mut self, factor: &mut TableFactor) -> Result<(), PgError> {
        match factor {
            TableFactor::Table { sample: Some(_), .. } => Err(unsupported("TABLESAMPLE")),
            TableFactor::Derived { subquery, .. } => self.query_at(subquery, true),
            TableFactor::NestedJoin { table_with_joins, .. } => self.from(table_with_joins),
            TableFactor::Table { args: Some(args), name, alias, with_ordinality, .. } => {
                let args = std::mem::take(&mut args.args);
                self.function_factor(name.clone(), args, alias.take(), *with_ordinality, factor)
            }
            TableFactor::Function { name, args, alias, with_ordinality, .. } => {
                let args = std::mem::take(args);
                self.function_factor(name.clone(), args, alias.take(), *with_ordinality, factor)
            }
            TableFactor::UNNEST { array_exprs, alias, with_ordinality, .. } => {
                let args = std::mem::take(array_exprs)
                    .into_iter()
                    .map(|one| FunctionArg::Unnamed(FunctionArgExpr::Expr(one)))
                    .collect();
                let name = ObjectName(vec![ObjectNamePart::Identifier(Ident::new("unnest"))]);
                self.function_factor(name, args, alias.take(), *with_ordinality, factor)
            }
            _ => Ok(()),
        }
    }
}

/// Inside an ORDER BY expression a name means an input column, alone it means an output column. DataFusion takes the
/// output column in both places, so an output name that such an expression mentions is hidden from it.
fn hide_shadowing_aliases(select: &mut Select, keys: &mut [OrderByExpr]) {
    let mut mentioned = Vec::new();
    for key in keys.iter().filter(|key| !matches!(key.expr, Expr::Identifier(_))) {
        let _flow = super::sqlparser::ast::visit_expressions(&key.expr, |one| {
            if let Expr::Identifier(ident) = one {
                mentioned.push(folded(ident));
            }
            std::ops::ControlFlow::<()>::Continue(())
        });
    }
    for (index, item) in select.projection.iter_mut().enumerate() {
        let SelectItem::ExprWithAlias { expr, alias } = item else { continue };
        let name = folded(alias);
        let same = matches!(expr, Expr::Identifier(ident) if folded(ident) == name);
        if same || !mentioned.contains(&name) {
            continue;
        }
        for key in keys.iter_mut() {
            if matches!(&key.expr, Expr::Identifier(ident) if folded(ident) == name) {
                key.expr = Expr::value(Value::Number((index + 1).to_string(), false));
            }
        }
        *alias = Ident::with_quote('"', format!("{name}{HIDDEN}o{index}"));
    }
}

pub(super) fn aliased(expr: Expr, name: &str) -> SelectItem {
    SelectItem::ExprWithAlias { expr, alias: Ident::with_quote('"', name) }
}

fn flatten(node: SetExpr, op: SetOperator, quantifier: SetQuantifier, chained: bool, into: &mut Vec<SetExpr>) {
    match node {
        SetExpr::SetOperation { op: own, set_quantifier: own_quantifier, left, right }
            if into.is_empty() && own == op && own_quantifier == quantifier =>
        {
            if chained {
                // Left-deep chains are walked with a loop: thousands of branches are one level.
                let mut rights = vec![*right];
                let mut current = *left;
                loop {
                    match current {
                        SetExpr::SetOperation { op: o, set_quantifier: q, left: l, right: r }
                            if o == op && q == quantifier =>
                        {
                            rights.push(*r);
                            current = *l;
                        }
                        other => {
                            into.push(other);
                            break;
                        }
                    }
                }
                rights.reverse();
                into.append(&mut rights);
            } else {
                into.push(*left);
                into.push(*right);
            }
        }
        other => into.push(other),
    }
}

fn is_default(expr: &Expr) -> bool {
    matches!(expr, Expr::Identifier(ident) if ident.quote_style.is_none() && ident.value.eq_ignore_ascii_case("default"))
}

/// Whether an item is a keyword function already turned into a call.
fn is_built(expr: &Expr) -> bool {
    match expr {
        Expr::BinaryOp { op, .. } => super::forms::Form::read(op).is_some(),
        Expr::Function(function) => {
            matches!(function.name.0.as_slice(), [part] if part.as_ident().is_some_and(|ident| ident.quote_style == Some('"') && matches!(&function.args, FunctionArguments::List(list) if list.args.is_empty())))
        }
        _ => false,
    }
}

fn is_position(expr: &Expr) -> bool {
    matches!(expr, Expr::Value(value) if matches!(value.value, Value::Number(..)))
}

/// Whether a query names a relation: decides if a CTE under RECURSIVE really recurses.
fn mentions(query: &Query, name: &str) -> bool {
    let mut found = false;
    let _flow = super::sqlparser::ast::visit_relations(query, |relation| {
        found |= relation.0.len() == 1 && relation.0[0].as_ident().is_some_and(|ident| folded(ident) == name);
        std::ops::ControlFlow::<()>::Continue(())
    });
    found
}

pub(super) fn mentions_columns(expr: &Expr) -> bool {
    let mut found = false;
    let _flow = super::sqlparser::ast::visit_expressions(expr, |one| {
        found |= matches!(one, Expr::Identifier(_) | Expr::CompoundIdentifier(_));
        std::ops::ControlFlow::<()>::Continue(())
    });
    found
}

fn empty_values() -> SetExpr {
    SetExpr::Values(Values { explicit_row: false, value_keyword: false, rows: Vec::new() })
}

/// The output name an item is given or has.
fn item_name(item: &SelectItem) -> Option<String> {
    match item {
        SelectItem::UnnamedExpr(expr) => Some(figure(expr)),
        SelectItem::ExprWithAlias { alias, .. } => Some(folded(alias)),
        _ => None,
    }
}

/// A relation by name.
pub(super) fn plain_table(name: ObjectName) -> TableFactor {
    TableFactor::Table {
        name,
        alias: None,
        args: None,
        with_hints: Vec::new(),
        version: None,
        with_ordinality: false,
        partitions: Vec::new(),
        json_path: None,
        sample: None,
        index_hints: Vec::new(),
    }
}

pub(super) fn private_relation(name: &str, args: Vec<FunctionArg>, alias: Option<TableAlias>) -> TableFactor {
    let name = ObjectName(vec![ObjectNamePart::Identifier(Ident::with_quote('"', name))]);
    TableFactor::Function { lateral: false, name, args, with_ordinality: false, alias }
}

/// SELECT * over one relation.
pub(super) fn select_all(from: TableFactor) -> SetExpr {
    let items = vec![SelectItem::Wildcard(WildcardAdditionalOptions::default())];
    let from = vec![TableWithJoins { relation: from, joins: Vec::new() }];
    SetExpr::Select(Box::new(bare_select(items, from)))
}

/// A SELECT of the given items and relations and nothing else.
pub(super) fn bare_select(projection: Vec<SelectItem>, from: Vec<TableWithJoins>) -> Select {
    Select {
        select_token: AttachedToken::empty(),
        optimizer_hints: Vec::new(),
        distinct: None,
        select_modifiers: None,
        top: None,
        top_before_distinct: false,
        projection,
        exclude: None,
        into: None,
        from,
        lateral_views: Vec::new(),
        prewhere: None,
        selection: None,
        connect_by: Vec::new(),
        group_by: GroupByExpr::Expressions(Vec::new(), Vec::new()),
        cluster_by: Vec::new(),
        distribute_by: Vec::new(),
        sort_by: Vec::new(),
        having: None,
        named_window: Vec::new(),
        qualify: None,
        window_before_qualify: false,
        value_table_mode: None,
        flavor: SelectFlavor::Standard,
    }
}

/// A query that is only its body.
pub(super) fn bare_query(body: SetExpr) -> Query {
    Query {
        with: None,
        body: Box::new(body),
        order_by: None,
        limit_clause: None,
        fetch: None,
        locks: Vec::new(),
        for_clause: None,
        settings: None,
        format_clause: None,
        pipe_operators: Vec::new(),
    }
}
