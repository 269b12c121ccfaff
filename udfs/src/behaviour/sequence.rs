//! Matching patterns against rows in order: does one match, how many do without overlap, which rows.
//!
//! Between two taken rows the skipping maps the first to at most two ranges of possible next rows: of several gaps each moves on from the
//! smallest place the one before allows, which dominates the others. As times are ordered, the ends of the ranges never move back when the
//! first row moves on, so the ranges that wait for a row form queues and every question is answered in one sweep. (Their starts may move
//! back, behind a `!=`; a range that starts before an older one makes that one superfluous.) There is no limit to the number of steps.
//! Rows are ordered by time, then mask; each meets at least one condition.

use std::collections::VecDeque;
use std::ops::Range;

use super::funnel::Row;
use super::sequence_pattern::{Compare, Gap, Pattern, Taken};

/// Where skipping may end: row numbers, or the number of rows for the end.
type Places = [Range<usize>; 2];

/// A pattern and the room to match it.
#[derive(Debug)]
pub struct Matcher {
    pattern: Pattern,
    /// For each element the ranges in which its row may lie, two queues.
    waiting: Vec<[VecDeque<Range<usize>>; 2]>,
}

impl Taken {
    fn takes(self, row: &Row) -> bool {
        match self {
            Self::Condition(index) => row.mask >> index & 1 == 1,
            Self::Any => true,
        }
    }
}

/// Where the gaps lead from a taken row; `None` if nowhere.
fn places(gaps: &[Gap], rows: &[Row], taken: usize) -> Option<Places> {
    let end = rows.len();
    let mut found: Places = [taken + 1..taken + 2, 0..0];
    for gap in gaps {
        let from = found.iter().filter(|range| !range.is_empty()).map(|range| range.start).min()?;
        let Gap::Time { compare, ticks } = gap else {
            found = [from..end + 1, 0..0];
            continue;
        };
        let limit = rows[taken].ts.saturating_add(*ticks);
        let tail = &rows[from.min(end)..];
        let below = from + tail.partition_point(|row| row.ts < limit);
        let through = from + tail.partition_point(|row| row.ts <= limit);
        found = match compare {
            Compare::Less => [from..below, 0..0],
            Compare::LessEqual => [from..through, 0..0],
            Compare::Equal => [below..through, 0..0],
            Compare::GreaterEqual => [below..end, 0..0],
            Compare::Greater => [through..end, 0..0],
            Compare::NotEqual => [from..below, through..end],
        };
    }
    found.iter().any(|range| !range.is_empty()).then_some(found)
}

impl Matcher {
    /// A matcher for one pattern.
    pub fn new(pattern: Pattern) -> Self {
        let waiting = pattern.elements.iter().map(|_| [VecDeque::new(), VecDeque::new()]).collect();
        Self { pattern, waiting }
    }

    /// Whether some match exists.
    pub fn matches(&mut self, rows: &[Row]) -> bool {
        self.sweep(rows, 1) > 0
    }

    /// The largest number of matches that do not overlap.
    pub fn count(&mut self, rows: &[Row]) -> u64 {
        self.sweep(rows, u64::MAX)
    }

    /// Counts the matches that end first, each starting behind the last row of the one before; stops at `most`.
    fn sweep(&mut self, rows: &[Row], most: u64) -> u64 {
        let mut count = 0;
        self.forget();
        for at in 0..rows.len() {
            if self.step(rows, at) {
                count += 1;
                if count == most {
                    break;
                }
                self.forget();
            }
        }
        count
    }

    fn forget(&mut self) {
        self.waiting.iter_mut().flatten().for_each(VecDeque::clear);
    }

    /// Offers a row to every element; whether it ends a match.
    fn step(&mut self, rows: &[Row], at: usize) -> bool {
        let elements = &self.pattern.elements;
        // From the last element to the first: what this row opens begins behind it.
        for index in (0..elements.len()).rev() {
            let reached = index == 0 || covered(&mut self.waiting[index], at);
            if !reached || !elements[index].taken.takes(&rows[at]) {
                continue;
            }
            match elements.get(index + 1) {
                Some(next) => {
                    if let Some(found) = places(&next.gaps, rows, at) {
                        for (queue, range) in self.waiting[index + 1].iter_mut().zip(found) {
                            wait(queue, range);
                        }
                    }
                }
                None if places(&self.pattern.tail, rows, at).is_some() => return true,
                None => {}
            }
        }
        false
    }

    /// Times of the rows taken by conditions in the longest prefix of the pattern that matches; of those the earliest.
    pub fn events(&self, rows: &[Row], times: &mut Vec<i64>) {
        let elements = &self.pattern.elements;
        let mut reach: Vec<Vec<bool>> = Vec::with_capacity(elements.len());
        for index in 0..elements.len() {
            let possible = match reach.last() {
                None => vec![true; rows.len()],
                Some(before) => self.successors(rows, before, index),
            };
            reach.push(self.taken(rows, possible, index));
            if !reach[index].contains(&true) {
                reach.pop();
                break;
            }
        }
        // What follows the last condition takes no part, so the shortest prefix with as many conditions is the one.
        let last = (0..reach.len()).rev().find(|&index| matches!(elements[index].taken, Taken::Condition(_)));
        if let Some(last) = last {
            self.walk(rows, last, reach[last].clone(), times);
        }
    }

    fn taken(&self, rows: &[Row], mut possible: Vec<bool>, index: usize) -> Vec<bool> {
        let taken = self.pattern.elements[index].taken;
        possible.iter_mut().zip(rows).for_each(|(possible, row)| *possible &= taken.takes(row));
        possible
    }

    /// The rows that element `index` may take after any of `before`.
    fn successors(&self, rows: &[Row], before: &[bool], index: usize) -> Vec<bool> {
        let mut change = vec![0_i64; rows.len() + 2];
        for at in (0..rows.len()).filter(|&at| before[at]) {
            for range in places(&self.pattern.elements[index].gaps, rows, at).into_iter().flatten() {
                if !range.is_empty() {
                    change[range.start] += 1;
                    change[range.end] -= 1;
                }
            }
        }
        let sums = change.iter().scan(0, |sum, change| {
            *sum += change;
            Some(*sum > 0)
        });
        sums.take(rows.len()).collect()
    }

    /// Walks from the first element to `last`, whose rows are `ends`, and takes the earliest times.
    fn walk(&self, rows: &[Row], last: usize, ends: Vec<bool>, times: &mut Vec<i64>) {
        let elements = &self.pattern.elements;
        // `leads[i]`: rows of element i from which the end can be reached.
        let mut leads = vec![ends];
        for index in (0..last).rev() {
            let after = &leads[leads.len() - 1];
            let mut ahead = vec![0_usize; rows.len() + 1];
            for at in 0..rows.len() {
                ahead[at + 1] = ahead[at] + usize::from(after[at]);
            }
            let leads_on = |at: usize| {
                let found = places(&elements[index + 1].gaps, rows, at);
                found.into_iter().flatten().any(|range| {
                    let (start, end) = (range.start.min(rows.len()), range.end.min(rows.len()));
                    ahead[end.max(start)] > ahead[start]
                })
            };
            let rows_here = (0..rows.len()).map(|at| elements[index].taken.takes(&rows[at]) && leads_on(at)).collect();
            leads.push(rows_here);
        }
        leads.reverse();
        let mut present = leads[0].clone();
        for index in 0..=last {
            if index > 0 {
                present = self.successors(rows, &present, index);
                present.iter_mut().zip(&leads[index]).for_each(|(present, leads)| *present &= leads);
            }
            if let Taken::Condition(_) = elements[index].taken
                && let Some(first) = present.iter().position(|present| *present)
            {
                let ts = rows[first].ts;
                times.push(ts);
                present.iter_mut().zip(rows).for_each(|(present, row)| *present &= row.ts == ts);
            }
        }
    }
}

/// Queues a range, in place of those that start no earlier: it ends no earlier than they do.
fn wait(queue: &mut VecDeque<Range<usize>>, range: Range<usize>) {
    if range.is_empty() {
        return;
    }
    while queue.back().is_some_and(|older| older.start >= range.start) {
        queue.pop_back();
    }
    queue.push_back(range);
}

/// Whether a range covers the place; ranges that lie behind it are dropped.
fn covered(queues: &mut [VecDeque<Range<usize>>; 2], at: usize) -> bool {
    queues.iter_mut().fold(false, |covered, queue| {
        while queue.front().is_some_and(|range| range.end <= at) {
            queue.pop_front();
        }
        covered || queue.front().is_some_and(|range| range.start <= at)
    })
}

#[cfg(test)]
#[path = "sequence_tests.rs"]
mod tests;
