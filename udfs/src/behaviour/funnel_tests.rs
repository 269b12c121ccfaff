//! The funnel against golden tables, against a recursion over all chains, and at its edges.

use std::collections::HashMap;

use proptest::prelude::*;

use super::super::golden::{numbers, table};
use super::*;

fn rule(step_count: usize, window: Option<i64>, mode: &str) -> FunnelRule {
    FunnelRule { step_count, window, mode: FunnelMode::parse(mode).unwrap(), infinities: false }
}

fn rows(pairs: &[(i64, u64)]) -> Vec<Row> {
    let mut rows: Vec<Row> = pairs.iter().map(|&(ts, mask)| Row { ts, mask }).collect();
    rows.sort_unstable();
    rows
}

/// Level, times and the start of the living chain, through both kinds of scan.
fn run(rule: FunnelRule, rows: &[Row], excluded: &[i64]) -> (FunnelOutcome, Vec<i64>) {
    let mut scan = FunnelScan::new(rule, true);
    let outcome = scan.run(rows, excluded);
    assert_eq!(FunnelScan::new(rule, false).run(rows, excluded), outcome, "times change the level");
    assert_eq!(scan.times().len(), outcome.level);
    (outcome, scan.times().to_vec())
}

#[test]
fn golden_tables() {
    let mut cases: HashMap<String, Vec<(i64, u64)>> = HashMap::new();
    for line in table("funnel_events", ',') {
        cases.entry(line[0].clone()).or_default().push((line[1].parse().unwrap(), line[2].parse().unwrap()));
    }
    let expected = table("funnel_expected", ';');
    assert_eq!(expected.len(), 105_300);
    for line in &expected {
        let step_count: usize = line[1].parse().unwrap();
        let case: Vec<(i64, u64)> = cases.get(&line[0]).into_iter().flatten().copied().collect();
        let case: Vec<_> = case.into_iter().map(|(ts, mask)| (ts, mask & low_bits(step_count))).collect();
        let (outcome, times) = run(rule(step_count, Some(line[2].parse().unwrap()), &line[3]), &rows(&case), &[]);
        assert_eq!((outcome.level.to_string(), times), (line[4].clone(), numbers(&line[5])), "{line:?}");
    }
}

/// Every chain, by recursion, straight from the definition.
struct Twin<'a> {
    rule: FunnelRule,
    rows: &'a [Row],
    excluded: &'a [i64],
    chains: Vec<Vec<i64>>,
}

impl Twin<'_> {
    fn free(&self, length: usize, from: i64, to: i64) -> bool {
        let mode = self.rule.mode;
        let between = |ts: i64| from < ts && ts < to;
        let forbidden = |row: &Row| {
            (mode.deduplication && row.mask & low_bits(length) != 0)
                || (mode.between.no_other && row.mask == 0)
                || (mode.between.no_step && row.mask != 0)
        };
        !self.rows.iter().any(|row| between(row.ts) && forbidden(row)) && !self.excluded.iter().any(|&ts| between(ts))
    }

    fn grow(&mut self, chain: &mut Vec<usize>) {
        let length = chain.len();
        if length > 0 {
            self.chains.push(chain.iter().map(|&row| self.rows[row].ts).collect());
        }
        if length == self.rule.step_count {
            return;
        }
        for row in 0..self.rows.len() {
            let Row { ts, mask } = self.rows[row];
            if mask >> length & 1 == 0 || (self.rule.mode.once && chain.contains(&row)) {
                continue;
            }
            if let (Some(&first), Some(&last)) = (chain.first(), chain.last()) {
                let (first, last) = (self.rows[first].ts, self.rows[last].ts);
                let late = self.rule.window.is_some_and(|window| ts - first > window);
                let early = ts < last || (self.rule.mode.increase && ts == last);
                if late || early || !self.free(length, last, ts) {
                    continue;
                }
            }
            chain.push(row);
            self.grow(chain);
            chain.pop();
        }
    }

    fn answer(mut self) -> (FunnelOutcome, Vec<i64>) {
        self.grow(&mut Vec::new());
        let level = self.chains.iter().map(Vec::len).max().unwrap_or(0);
        let longest: Vec<&Vec<i64>> = self.chains.iter().filter(|chain| chain.len() == level).collect();
        let times = longest.iter().min_by_key(|chain| (chain[level - 1], -chain[0], chain.to_vec()));
        let alive = longest.iter().filter(|chain| self.free(level, chain[level - 1], i64::MAX));
        let alive_since = alive.map(|chain| chain[0]).max().filter(|_| level < self.rule.step_count);
        (FunnelOutcome { level, alive_since }, times.map(|chain| chain.to_vec()).unwrap_or_default())
    }
}

prop_compose! {
    fn any_mode()(once: bool, increase: bool, deduplication: bool, no_other: bool, no_step: bool) -> FunnelMode {
        FunnelMode { once, increase, deduplication, between: super::super::funnel_mode::Between { no_other, no_step } }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24_000))]
    #[test]
    fn equals_the_recursion_over_all_chains(
        step_count in 1_usize..=5,
        events in prop::collection::vec((0_i64..7, 0_u64..32), 0..=8),
        window in prop::option::of(0_i64..8),
        mode in any_mode(),
        excluded in prop::collection::vec(0_i64..8, 0..=2),
    ) {
        let events: Vec<_> = events.into_iter().map(|(ts, mask)| (ts, mask & low_bits(step_count))).collect();
        let rows = rows(&events);
        let mut excluded = excluded;
        excluded.sort_unstable();
        let rule = FunnelRule { step_count, window, mode, infinities: false };
        let twin = Twin { rule, rows: &rows, excluded: &excluded, chains: Vec::new() }.answer();
        prop_assert_eq!(run(rule, &rows, &excluded), twin);
    }
}

#[test]
fn the_window_is_inclusive_and_may_span_all_of_time() {
    let ends = |from: i64, to: i64| rows(&[(from, 1), (to, 2)]);
    let level = |rows: &[Row], window| run(rule(2, window, ""), rows, &[]).0.level;
    assert_eq!(level(&ends(0, 10), Some(10)), 2);
    assert_eq!(level(&ends(0, 10), Some(9)), 1);
    assert_eq!(level(&ends(5, 5), Some(0)), 2);
    assert_eq!(level(&ends(i64::MIN, i64::MAX), Some(i64::MAX)), 1);
    assert_eq!(level(&ends(i64::MIN, i64::MAX), None), 2);
    assert_eq!(level(&ends(i64::MIN, -1), Some(i64::MAX)), 2);
}

#[test]
fn infinite_times_are_inside_no_finite_window() {
    let infinite = |window| FunnelRule { infinities: true, ..rule(2, window, "") };
    for (from, to) in [(i64::MIN, 0), (0, i64::MAX), (i64::MAX, i64::MAX), (i64::MIN, i64::MIN)] {
        let rows = rows(&[(from, 1), (to, 2)]);
        assert_eq!(run(infinite(Some(i64::MAX)), &rows, &[]).0.level, 1, "{from} {to}");
        assert_eq!(run(infinite(None), &rows, &[]).0.level, 2, "{from} {to}");
    }
}

#[test]
fn a_new_first_step_at_the_same_instant_is_seen() {
    // A published failure elsewhere: (0, A) (3, A) (3, B) with strictly increasing times is a complete chain.
    let rows = rows(&[(0, 1), (3, 1), (3, 2)]);
    assert_eq!(run(rule(2, Some(10), "strict_increase"), &rows, &[]).1, vec![0, 3]);
}

#[test]
fn one_interruption_does_not_end_the_person() {
    let rows = rows(&[(0, 1), (1, 0), (2, 1), (3, 2), (4, 4)]);
    assert_eq!(run(rule(3, Some(10), "strict_order"), &rows, &[]).1, vec![2, 3, 4]);
}

#[test]
fn sixty_four_steps_and_a_large_tie_with_overlapping_steps() {
    let ladder: Vec<(i64, u64)> = (0..64).map(|i| (i, 1 << i)).collect();
    assert_eq!(run(rule(64, None, "strict_order"), &rows(&ladder), &[]).0.level, 64);
    // 63 rows that serve all steps and one that serves only the last: all different rows, at one instant.
    let mut tie = vec![(7, u64::MAX); 63];
    tie.push((7, 1 << 63));
    assert_eq!(run(rule(64, Some(0), "strict_once"), &rows(&tie), &[]).0.level, 64);
    tie.pop();
    assert_eq!(run(rule(64, Some(0), "strict_once"), &rows(&tie), &[]).0.level, 63);
}
