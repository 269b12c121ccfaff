//! How many relations a statement names, with its WITH queries put in place.
//!
//! A WITH query stands in the plan once for each time it is named, and those it names once more for each of these: twenty
//! lines can say a million scans. The planner would be at work on them long before the plan could be measured.

use std::collections::HashMap;
use std::ops::ControlFlow;

use tributary_pg::error::PgError;
use tributary_pg::sqlstate;

use super::names::folded;
use super::sqlparser::ast::{ObjectName, Query, Statement, Visit, Visitor};

/// Relations of a statement at most, those of a WITH query counted once for each time it is named.
const RELATIONS_MAX: u64 = 5_000;

/// 54001 if there are more.
pub(super) fn check(statement: &Statement) -> Result<(), PgError> {
    let mut weigher = Weigher { queries: vec![Weighed::default()], ..Weigher::default() };
    match statement.visit(&mut weigher) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(PgError::new(sqlstate::STATEMENT_TOO_COMPLEX, "statement is too complex")
            .detail(format!("With its WITH queries in place it names more than {RELATIONS_MAX} relations."))
            .hint("Store the rows of a query that is named again and again in a table.")),
    }
}

/// A query on the way.
#[derive(Default)]
struct Weighed {
    relations: u64,
    /// Its name, if it is one of WITH.
    name: Option<String>,
}

#[derive(Default)]
struct Weigher {
    /// From the outermost to the one in hand.
    queries: Vec<Weighed>,
    /// WITH queries still to come, by their place in memory.
    names: HashMap<*const Query, String>,
    /// Relations of WITH queries behind us, by name; the last of a name counts.
    known: HashMap<String, u64>,
}

impl Visitor for Weigher {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        for one in query.with.iter().flat_map(|with| &with.cte_tables) {
            self.names.insert(std::ptr::from_ref(one.query.as_ref()), folded(&one.alias.name));
        }
        let name = self.names.remove(&std::ptr::from_ref(query));
        self.queries.push(Weighed { relations: 0, name });
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &Query) -> ControlFlow<()> {
        let Some(done) = self.queries.pop() else { return ControlFlow::Continue(()) };
        match done.name {
            Some(name) => {
                self.known.insert(name, done.relations.max(1));
                ControlFlow::Continue(())
            }
            None => self.add(done.relations),
        }
    }

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<()> {
        let name = match relation.0.as_slice() {
            [one] => one.as_ident().map(folded),
            _ => None,
        };
        let relations = name.and_then(|name| self.known.get(&name)).copied().unwrap_or(1);
        self.add(relations)
    }
}

impl Weigher {
    fn add(&mut self, relations: u64) -> ControlFlow<()> {
        let Some(query) = self.queries.last_mut() else { return ControlFlow::Continue(()) };
        query.relations = query.relations.saturating_add(relations);
        if query.relations > RELATIONS_MAX { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}
