//! Sequences against golden tables and against a recursion over all matches.

use std::collections::HashMap;

use proptest::prelude::*;

use super::super::golden::{numbers, table};
use super::super::sequence_pattern::Ticks;
use super::*;

const UNITS: Ticks = Ticks { plain: 1, second: Some(1), day: 86_400 };

fn answers(pattern: &str, conditions: usize, rows: &[Row]) -> (bool, u64, Vec<i64>) {
    let mut matcher = Matcher::new(Pattern::parse(pattern, conditions, UNITS).unwrap());
    let mut events = Vec::new();
    matcher.events(rows, &mut events);
    (matcher.matches(rows), matcher.count(rows), events)
}

fn prepared(events: &[(i64, u64)], conditions: usize) -> Vec<Row> {
    let mask = (1_u64 << conditions) - 1;
    let rows = events.iter().map(|&(ts, bits)| Row { ts, mask: bits & mask });
    let mut rows: Vec<Row> = rows.filter(|row| row.mask != 0).collect();
    rows.sort_unstable();
    rows
}

fn cases(name: &str) -> HashMap<String, Vec<(i64, u64)>> {
    let mut cases: HashMap<String, Vec<(i64, u64)>> = HashMap::new();
    for line in table(name, ',') {
        cases.entry(line[0].clone()).or_default().push((line[1].parse().unwrap(), line[2].parse().unwrap()));
    }
    cases
}

#[test]
fn golden_tables() {
    let events = cases("sequence_events");
    let expected = table("sequence_expected", ';');
    assert_eq!(expected.len(), 8_600);
    for line in &expected {
        let conditions: usize = line[1].parse().unwrap();
        let rows = prepared(events.get(&line[0]).map_or(&[][..], |case| case), conditions);
        let wanted = (line[3] == "1", line[4].parse().unwrap(), numbers(&line[5]));
        assert_eq!(answers(&line[2], conditions, &rows), wanted, "{line:?} {rows:?}");
    }
}

#[test]
fn golden_tables_with_equal_times() {
    let events = cases("sequence_ties_events");
    let expected = table("sequence_ties_expected", ';');
    assert_eq!(expected.len(), 600);
    for line in &expected {
        let rows = prepared(events.get(&line[0]).map_or(&[][..], |case| case), 3);
        let wanted = (line[2] == "1", line[3].parse().unwrap(), numbers(&line[4]));
        assert_eq!(answers(&line[1], 3, &rows), wanted, "{line:?} {rows:?}");
    }
}

/// Every match by recursion: rows taken by all elements of a prefix, in order.
fn all_prefixes(pattern: &Pattern, rows: &[Row], taken: &mut Vec<usize>, found: &mut Vec<Vec<usize>>) {
    found.push(taken.clone());
    let Some(element) = pattern.elements.get(taken.len()) else { return };
    let next: Vec<usize> = match taken.last() {
        None => (0..rows.len()).collect(),
        Some(&last) => skipped(&element.gaps, rows, last).into_iter().filter(|&at| at < rows.len()).collect(),
    };
    for at in next {
        if element.taken.takes(&rows[at]) {
            taken.push(at);
            all_prefixes(pattern, rows, taken, found);
            taken.pop();
        }
    }
}

/// Places after the gaps, one gap after another, each trying every place.
fn skipped(gaps: &[Gap], rows: &[Row], last: usize) -> Vec<usize> {
    let mut places = vec![last + 1];
    for gap in gaps {
        let reachable = |to: usize| places.iter().any(|&from| from <= to);
        let fits = |to: usize| match gap {
            Gap::Any => true,
            Gap::Time { compare, ticks } if to < rows.len() => {
                let (ts, limit) = (rows[to].ts, rows[last].ts + ticks);
                match compare {
                    Compare::Less => ts < limit,
                    Compare::LessEqual => ts <= limit,
                    Compare::Greater => ts > limit,
                    Compare::GreaterEqual => ts >= limit,
                    Compare::Equal => ts == limit,
                    Compare::NotEqual => ts != limit,
                }
            }
            Gap::Time { .. } => false,
        };
        places = (0..=rows.len()).filter(|&to| reachable(to) && fits(to)).collect();
    }
    places
}

fn twin(pattern: &Pattern, rows: &[Row]) -> (bool, u64, Vec<i64>) {
    let mut found = Vec::new();
    all_prefixes(pattern, rows, &mut Vec::new(), &mut found);
    let length = pattern.elements.len();
    let complete = |taken: &&Vec<usize>| {
        taken.len() == length && taken.last().is_some_and(|&last| !skipped(&pattern.tail, rows, last).is_empty())
    };
    let full: Vec<&Vec<usize>> = found.iter().filter(complete).collect();
    // The largest set of matches that do not overlap, by trying every first match.
    fn most(full: &[(usize, usize)], from: usize) -> u64 {
        full.iter().filter(|(first, _)| *first >= from).map(|(_, last)| 1 + most(full, last + 1)).max().unwrap_or(0)
    }
    let mut spans: Vec<(usize, usize)> = full.iter().map(|taken| (taken[0], taken[length - 1])).collect();
    spans.sort_unstable();
    spans.dedup();
    let events = |taken: &Vec<usize>| -> Vec<i64> {
        let pairs = taken.iter().zip(&pattern.elements);
        pairs.filter(|(_, element)| element.taken != Taken::Any).map(|(&at, _)| rows[at].ts).collect()
    };
    let candidates: Vec<Vec<i64>> = found.iter().map(events).collect();
    let longest = candidates.iter().map(Vec::len).max().unwrap_or(0);
    let best = candidates.into_iter().filter(|events| events.len() == longest).min().unwrap_or_default();
    (!full.is_empty(), most(&spans, 0), best)
}

fn any_element() -> impl Strategy<Value = String> {
    let compare = prop::sample::select(vec!["<", "<=", ">", ">=", "==", "!="]);
    prop_oneof![
        4 => (1_usize..=3).prop_map(|n| format!("(?{n})")),
        1 => Just(".".to_owned()),
        2 => Just(".*".to_owned()),
        3 => (compare, 0..6).prop_map(|(compare, value)| format!("(?t{compare}{value})")),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]
    #[test]
    fn equals_the_recursion(
        elements in prop::collection::vec(any_element(), 0..6),
        events in prop::collection::vec((0_i64..8, 1_u64..8), 0..=8),
    ) {
        let text = format!("(?1){}", elements.concat());
        let pattern = Pattern::parse(&text, 3, UNITS).unwrap();
        let rows = prepared(&events, 3);
        prop_assert_eq!(answers(&text, 3, &rows), twin(&pattern, &rows), "{} {:?}", text, rows);
    }
}

#[test]
fn two_thousand_rows_and_two_time_elements() {
    let rows: Vec<Row> = (0..2_000).map(|ts| Row { ts, mask: 3 }).collect();
    let (matches, count, events) = answers("(?1)(?t<=100000)(?2)(?t<=100000)(?3)", 3, &rows);
    assert_eq!((matches, count, events), (false, 0, vec![0, 1]));
}
