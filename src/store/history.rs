//! What flushes and merges did lately, and what they are doing now.
//!
//! For: the view an operator looks at when writes wait or the disk is busy. Promises: a rewrite is listed from its start,
//! and with its outcome, failure included, when it ended; the list is bounded, oldest first out. Does not: survive a
//! restart; figures over time belong to whoever collects metrics.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::Oid;

/// Limit: rewrites remembered.
const KEPT_MAX: usize = 256;

/// Why parts are written anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RewriteKind {
    /// Rows of the delta become parts.
    Flush,
    /// Several runs become one.
    Merge,
    /// Deleted rows are left out of a part.
    Purge,
}

/// One flush, merge or purge.
#[derive(Debug, Clone)]
pub struct Rewrite {
    /// The table.
    pub table: Oid,
    /// Why.
    pub kind: RewriteKind,
    /// Microseconds since 1970.
    pub started_at_us: i64,
    /// Microseconds since 1970; None while it runs.
    pub finished_at_us: Option<i64>,
    /// Delta generations or parts read.
    pub sources: usize,
    /// Their rows, deleted ones included.
    pub rows_in: u64,
    /// Their bytes.
    pub bytes_in: u64,
    /// Parts written.
    pub parts: usize,
    /// Their rows.
    pub rows_out: u64,
    /// Their bytes.
    pub bytes_out: u64,
    /// Why it failed; its sources are then as they were.
    pub error: Option<String>,
}

/// The newest rewrites.
#[derive(Debug, Default)]
pub(crate) struct History {
    list: Mutex<Listed>,
}

#[derive(Debug, Default)]
struct Listed {
    next: u64,
    rewrites: VecDeque<(u64, Rewrite)>,
}

impl History {
    fn lock(&self) -> MutexGuard<'_, Listed> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lists a rewrite that starts; gives its number.
    pub(crate) fn begin(&self, rewrite: Rewrite) -> u64 {
        let mut listed = self.lock();
        let number = listed.next;
        listed.next += 1;
        if listed.rewrites.len() >= KEPT_MAX {
            listed.rewrites.pop_front();
        }
        listed.rewrites.push_back((number, rewrite));
        number
    }

    /// Notes the outcome of a rewrite; one that fell off the list meanwhile stays forgotten.
    pub(crate) fn end(&self, number: u64, note: impl FnOnce(&mut Rewrite)) {
        if let Some((_, rewrite)) = self.lock().rewrites.iter_mut().find(|(listed, _)| *listed == number) {
            note(rewrite);
        }
    }

    /// All of them, oldest first.
    pub(crate) fn all(&self) -> Vec<Rewrite> {
        self.lock().rewrites.iter().map(|(_, rewrite)| rewrite.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_bounded_and_outcomes_reach_their_rewrite() {
        let history = History::default();
        let started = |table| Rewrite {
            table,
            kind: RewriteKind::Flush,
            started_at_us: 1,
            finished_at_us: None,
            sources: 1,
            rows_in: 2,
            bytes_in: 3,
            parts: 0,
            rows_out: 0,
            bytes_out: 0,
            error: None,
        };
        let numbers: Vec<u64> = (0..300).map(|table| history.begin(started(table))).collect();
        // The first fell off long ago.
        history.end(numbers[0], |rewrite| rewrite.finished_at_us = Some(5));
        history.end(numbers[299], |rewrite| rewrite.finished_at_us = Some(6));
        let all = history.all();
        assert_eq!((all.len(), all[0].table, all[255].table), (KEPT_MAX, 44, 299));
        assert_eq!(all.iter().filter_map(|rewrite| rewrite.finished_at_us).collect::<Vec<_>>(), [6]);
    }
}
