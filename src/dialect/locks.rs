//! FOR UPDATE and its kin: which tables a query locks the rows of.
//!
//! The forms that sqlparser does not read are put in its words. In the tree the locked tables of FROM, those of subqueries
//! there included, get a name that no user can write; who plans them then knows what is asked. Strengths are not told
//! apart: a lock here is the promise that the rows are unchanged when the transaction commits.

use std::ops::ControlFlow;

use tributary_pg::error::PgError;
use tributary_pg::sqlstate;

use super::names::folded;
use super::semantics::{FunctionKind, Functions};
use super::sqlparser::ast::{
    Expr, GroupByExpr, Ident, LockClause, LockType, ObjectName, ObjectNamePart, OrderByKind, Query, Select, SetExpr,
    TableFactor, TableWithJoins, Visit, Visitor,
};
use super::sqlparser::keywords::Keyword;
use super::sqlparser::tokenizer::{Token, TokenWithSpan};

/// First part of the name of a locked table: control characters are refused in names of objects.
pub const LOCKED: &str = "\u{1}locked";

/// What may follow the rows of a query that is part of another statement: it ends LIMIT.
const AFTER_QUERY: [Keyword; 4] = [Keyword::ON, Keyword::RETURNING, Keyword::WITH, Keyword::FOR];

fn is(token: &TokenWithSpan, word: Keyword) -> bool {
    matches!(&token.token, Token::Word(found) if found.quote_style.is_none() && found.keyword == word)
}

/// A locking clause in tokens without blanks.
struct Clause {
    /// `FOR UPDATE` or `FOR SHARE`.
    head: Vec<TokenWithSpan>,
    /// Tables after OF.
    names: Vec<Vec<TokenWithSpan>>,
    /// NOWAIT or SKIP LOCKED.
    end: Vec<TokenWithSpan>,
}

impl Clause {
    /// Reads a clause at the start of `tokens`; gives how many it has.
    fn read(tokens: &[TokenWithSpan]) -> Option<(Self, usize)> {
        let word = |at: usize, word| tokens.get(at).is_some_and(|token| is(token, word));
        let strength = match () {
            () if !word(0, Keyword::FOR) => return None,
            () if word(1, Keyword::UPDATE) || word(1, Keyword::SHARE) => 1,
            () if word(1, Keyword::KEY) && word(2, Keyword::SHARE) => 2,
            () if word(1, Keyword::NO) && word(2, Keyword::KEY) && word(3, Keyword::UPDATE) => 3,
            () => return None,
        };
        let mut clause =
            Self { head: vec![tokens[0].clone(), tokens[strength].clone()], names: Vec::new(), end: Vec::new() };
        let mut at = strength + 1;
        let comma = |at: usize| tokens.get(at).is_some_and(|token| token.token == Token::Comma);
        while word(at, Keyword::OF) || !clause.names.is_empty() && comma(at) {
            let first = at + 1;
            at = first + 1;
            while tokens.get(at).is_some_and(|token| token.token == Token::Period) {
                at += 2;
            }
            clause.names.push(tokens.get(first..at)?.to_vec());
        }
        let end = match () {
            () if word(at, Keyword::NOWAIT) => 1,
            () if word(at, Keyword::SKIP) && word(at + 1, Keyword::LOCKED) => 2,
            () => 0,
        };
        clause.end = tokens[at..at + end].to_vec();
        Some((clause, at + end))
    }

    /// The clause in words that are read: one name a clause.
    fn write(self, out: &mut Vec<TokenWithSpan>) {
        if self.names.is_empty() {
            out.extend(self.head.into_iter().chain(self.end));
            return;
        }
        for name in self.names {
            out.extend(self.head.iter().cloned());
            out.push(TokenWithSpan { token: Token::make_keyword("OF"), span: self.head[0].span });
            out.extend(name);
            out.extend(self.end.iter().cloned());
        }
    }
}

/// Adapts the tokens of one statement: strengths, lists of names, and clauses that stand before LIMIT.
pub(super) fn adapt(tokens: &mut Vec<TokenWithSpan>) {
    let begins = |pair: &[&TokenWithSpan]| {
        is(pair[0], Keyword::FOR)
            && [Keyword::UPDATE, Keyword::SHARE, Keyword::NO, Keyword::KEY].iter().any(|word| is(pair[1], *word))
    };
    let blank = |token: &&TokenWithSpan| matches!(token.token, Token::Whitespace(_));
    let words: Vec<&TokenWithSpan> = tokens.iter().filter(|token| !blank(token)).collect();
    if !words.windows(2).any(begins) {
        return;
    }
    let words: Vec<TokenWithSpan> = words.into_iter().cloned().collect();
    let mut out = Vec::with_capacity(words.len());
    let mut at = 0;
    while at < words.len() {
        let mut clauses = Vec::new();
        while let Some((clause, length)) = Clause::read(&words[at..]) {
            clauses.push(clause);
            at += length;
        }
        if !clauses.is_empty() {
            let limit = limit_length(&words[at..]);
            out.extend_from_slice(&words[at..at + limit]);
            at += limit;
            clauses.into_iter().for_each(|clause| clause.write(&mut out));
            continue;
        }
        out.push(words[at].clone());
        at += 1;
    }
    *tokens = out;
}

/// How many tokens LIMIT, OFFSET and FETCH at the start take.
fn limit_length(tokens: &[TokenWithSpan]) -> usize {
    let limits = [Keyword::LIMIT, Keyword::OFFSET, Keyword::FETCH];
    if !tokens.first().is_some_and(|first| limits.iter().any(|word| is(first, *word))) {
        return 0;
    }
    let mut depth = 0;
    let ends = |token: &TokenWithSpan| {
        match token.token {
            Token::LParen => depth += 1,
            Token::RParen if depth == 0 => return true,
            Token::RParen => depth -= 1,
            Token::EOF => return true,
            _ => {}
        }
        depth == 0 && AFTER_QUERY.iter().any(|word| is(token, *word))
    };
    tokens.iter().position(ends).unwrap_or(tokens.len())
}

fn words_of(lock: &LockClause) -> &'static str {
    match lock.lock_type {
        LockType::Share => "FOR SHARE",
        LockType::Update => "FOR UPDATE",
    }
}

/// Refuses locks where the rows of a query are not rows of its tables.
pub(super) fn check(query: &Query, locks: &[LockClause], functions: &dyn Functions) -> Result<(), PgError> {
    let Some(lock) = locks.first() else { return Ok(()) };
    let unsupported = |message: String| Err(PgError::new(sqlstate::FEATURE_NOT_SUPPORTED, message));
    let refused = |what: &str| unsupported(format!("{} is not allowed with {what}", words_of(lock)));
    let select = match query.body.as_ref() {
        SetExpr::Select(select) => select,
        SetExpr::Query(inner) => return check(inner, locks, functions),
        SetExpr::SetOperation { .. } => return refused("UNION/INTERSECT/EXCEPT"),
        SetExpr::Values(_) => return unsupported(format!("{} cannot be applied to VALUES", words_of(lock))),
        _ => return Ok(()),
    };
    if select.distinct.is_some() {
        return refused("DISTINCT clause");
    }
    let grouped = match &select.group_by {
        GroupByExpr::All(_) => true,
        GroupByExpr::Expressions(keys, modifiers) => !keys.is_empty() || !modifiers.is_empty(),
    };
    if grouped {
        return refused("GROUP BY clause");
    }
    if select.having.is_some() {
        return refused("HAVING clause");
    }
    let mut calls = Calls { functions, depth: 0, found: [false; 3] };
    let in_order = match query.order_by.as_ref().map(|order| &order.kind) {
        Some(OrderByKind::Expressions(keys)) => keys.visit(&mut calls),
        _ => ControlFlow::Continue(()),
    };
    let in_list = select.projection.visit(&mut calls);
    if in_order.is_break() || in_list.is_break() {
        return Err(PgError::internal("looking at calls never stops early"));
    }
    let kinds = ["aggregate functions", "window functions", "set-returning functions in the target list"];
    if let Some((_, kind)) = calls.found.iter().zip(kinds).find(|(found, _)| **found) {
        return refused(kind);
    }
    let names: Vec<String> = factors(select).filter_map(name_of).collect();
    for lock in locks {
        let Some(of) = &lock.of else { continue };
        let [part] = of.0.as_slice() else {
            let message = format!("{} must specify unqualified relation names", words_of(lock));
            return Err(PgError::new(sqlstate::SYNTAX_ERROR, message));
        };
        let wanted = part.as_ident().map(folded).unwrap_or_default();
        if !names.contains(&wanted) {
            let message = format!("relation \"{wanted}\" in {} clause not found in FROM clause", words_of(lock));
            return Err(PgError::new(sqlstate::UNDEFINED_TABLE, message));
        }
    }
    for factor in factors(select).filter(|factor| chosen(factor, locks)) {
        if let TableFactor::Derived { subquery, .. } = factor {
            let whole = [LockClause { of: None, ..lock.clone() }];
            check(subquery, &whole, functions)?;
        }
    }
    Ok(())
}

/// Kinds of functions that a list calls, outside its subqueries: aggregates, window functions, sets.
struct Calls<'a> {
    functions: &'a dyn Functions,
    depth: usize,
    found: [bool; 3],
}

impl Visitor for Calls<'_> {
    type Break = ();

    fn pre_visit_query(&mut self, _query: &Query) -> ControlFlow<()> {
        self.depth += 1;
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _query: &Query) -> ControlFlow<()> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expr: &Expr) -> ControlFlow<()> {
        if let Expr::Function(call) = expr
            && self.depth == 0
        {
            let name = call.name.0.last().and_then(|part| part.as_ident()).map(folded).unwrap_or_default();
            let kind = self.functions.kind(&name);
            self.found[1] |= call.over.is_some();
            self.found[0] |= kind == FunctionKind::Aggregate && call.over.is_none();
            self.found[2] |= kind == FunctionKind::Set;
        }
        ControlFlow::Continue(())
    }
}

/// Relations of FROM, those of joins included.
fn factors(select: &Select) -> impl Iterator<Item = &TableFactor> {
    fn of(table: &TableWithJoins) -> Vec<&TableFactor> {
        let all = std::iter::once(&table.relation).chain(table.joins.iter().map(|join| &join.relation));
        all.flat_map(|factor| match factor {
            TableFactor::NestedJoin { table_with_joins, .. } => of(table_with_joins),
            other => vec![other],
        })
        .collect()
    }
    select.from.iter().flat_map(of)
}

fn name_of(factor: &TableFactor) -> Option<String> {
    match factor {
        TableFactor::Table { alias: Some(alias), .. } | TableFactor::Derived { alias: Some(alias), .. } => {
            Some(folded(&alias.name))
        }
        TableFactor::Table { name, .. } => name.0.last().and_then(|part| part.as_ident()).map(folded),
        _ => None,
    }
}

/// Whether one of the clauses locks a relation.
fn chosen(factor: &TableFactor, locks: &[LockClause]) -> bool {
    let name = name_of(factor);
    locks.iter().any(|lock| match lock.of.as_ref().and_then(|of| of.0.last()).and_then(|part| part.as_ident()) {
        None => true,
        Some(of) => name.as_deref() == Some(folded(of).as_str()),
    })
}

/// Marks the tables of a query's FROM that the clauses lock. `ctes` are names of WITH queries in scope: their rows are
/// not those of a table.
pub(super) fn mark(body: &mut SetExpr, locks: &[LockClause], ctes: &[String]) {
    match body {
        SetExpr::Select(select) => select.from.iter_mut().for_each(|table| mark_table(table, locks, ctes)),
        SetExpr::Query(inner) => mark_query(inner, locks, ctes),
        _ => {}
    }
}

/// The same for a query with WITH queries of its own.
fn mark_query(query: &mut Query, locks: &[LockClause], ctes: &[String]) {
    let own = query.with.iter().flat_map(|with| &with.cte_tables).map(|cte| folded(&cte.alias.name));
    let ctes: Vec<String> = ctes.iter().cloned().chain(own).collect();
    mark(&mut query.body, locks, &ctes);
}

fn mark_table(table: &mut TableWithJoins, locks: &[LockClause], ctes: &[String]) {
    let all = std::iter::once(&mut table.relation).chain(table.joins.iter_mut().map(|join| &mut join.relation));
    for factor in all {
        if let TableFactor::NestedJoin { table_with_joins, .. } = factor {
            mark_table(table_with_joins, locks, ctes);
            continue;
        }
        if !chosen(factor, locks) {
            continue;
        }
        match factor {
            TableFactor::Table { name, args: None, .. } if !is_cte(name, ctes) && !is_marked(name) => {
                // A database's name before the schema's makes room.
                name.0.drain(..name.0.len().saturating_sub(2));
                name.0.insert(0, ObjectNamePart::Identifier(Ident::with_quote('"', LOCKED)));
            }
            TableFactor::Derived { subquery, .. } => {
                let whole: Vec<LockClause> = locks.iter().map(|lock| LockClause { of: None, ..lock.clone() }).collect();
                mark_query(subquery, &whole, ctes);
            }
            _ => {}
        }
    }
}

fn is_cte(name: &ObjectName, ctes: &[String]) -> bool {
    matches!(name.0.as_slice(), [part] if part.as_ident().is_some_and(|one| ctes.contains(&folded(one))))
}

fn is_marked(name: &ObjectName) -> bool {
    name.0.len() > 1 && name.0.first().and_then(|part| part.as_ident()).is_some_and(|first| first.value == LOCKED)
}
