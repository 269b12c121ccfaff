//! Journeys against a twin that filters all touches for each conversion.

use proptest::prelude::*;

use super::*;

/// What a journey is, without borrowing: conversion, path, still open.
type Found = (Option<usize>, Vec<u32>, bool);

fn run(touches: &[Touch], conversions: &[i64], shape: &Shape, as_of: Option<i64>) -> Vec<Found> {
    let mut found = Vec::new();
    let mut scan = JourneyScan::default();
    // Twice, so that what one unit leaves behind would show in the next.
    for _ in 0..2 {
        found.clear();
        let visit = |journey: Journey| found.push((journey.conversion, journey.path.to_vec(), journey.still_open));
        scan.run(touches, conversions, shape, as_of, visit).unwrap();
    }
    found
}

fn twin(touches: &[Touch], conversions: &[i64], shape: &Shape, as_of: Option<i64>) -> Vec<Found> {
    let eligible = |touch: &Touch, instant: i64| {
        let earlier = conversions.iter().filter(|&&other| other < instant).max();
        let free = !shape.consume || earlier.is_none_or(|&earlier| touch.ts > earlier);
        touch.ts <= instant && instant <= touch.ts + touch.lookback && free
    };
    let shaped = |mut path: Vec<u32>| {
        let touch = |at: &u32| touches[*at as usize];
        if shape.skip_direct && path.iter().any(|at| !touch(at).direct) {
            path.retain(|at| !touch(at).direct);
        }
        let whole = path.clone();
        let mut at = 0;
        path.retain(|_| {
            let here = touch(&whole[at]).channel;
            let keep = match shape.repeats {
                Repeats::All => true,
                Repeats::Collapse => whole.get(at + 1).is_none_or(|next| touch(next).channel != here),
                Repeats::First => whole[..at].iter().all(|other| touch(other).channel != here),
                Repeats::Last => whole[at + 1..].iter().all(|other| touch(other).channel != here),
            };
            at += 1;
            keep
        });
        let skip = path.len().saturating_sub(shape.touches_max.unwrap_or(usize::MAX));
        path.split_off(skip)
    };
    let mut found: Vec<(i64, Found)> = Vec::new();
    for (index, &instant) in conversions.iter().enumerate() {
        let path = (0..touches.len() as u32).filter(|&at| eligible(&touches[at as usize], instant)).collect();
        found.push((instant, (Some(index), shaped(path), false)));
    }
    let loose =
        (0..touches.len() as u32).filter(|&at| !conversions.iter().any(|&c| eligible(&touches[at as usize], c)));
    let mut journeys: Vec<Vec<u32>> = Vec::new();
    for at in loose {
        let touch = &touches[at as usize];
        let joins = journeys.last().and_then(|journey| journey.last()).is_some_and(|&before| {
            let before = &touches[before as usize];
            let crossed = conversions.iter().any(|&c| before.ts <= c && c < touch.ts);
            !crossed && touch.ts <= before.ts + before.lookback
        });
        match journeys.last_mut() {
            Some(journey) if joins => journey.push(at),
            _ => journeys.push(vec![at]),
        }
    }
    for journey in journeys {
        let last = touches[*journey.last().unwrap() as usize];
        let still_open = as_of.is_some_and(|as_of| last.ts + last.lookback > as_of);
        found.push((last.ts, (None, shaped(journey), still_open)));
    }
    found.sort_by_key(|(end, (conversion, _, _))| (*end, conversion.is_none()));
    found.into_iter().map(|(_, journey)| journey).collect()
}

prop_compose! {
    fn any_touch(uniform: bool)(ts in 0_i64..20, channel in 0_u32..3, lookback in 0_i64..12, direct: bool) -> Touch {
        Touch { ts, channel, lookback: if uniform { 5 } else { lookback }, direct }
    }
}

prop_compose! {
    fn any_shape()(consume: bool, skip_direct: bool, repeats in 0_usize..4, most in prop::option::of(1_usize..4)) -> Shape {
        Shape { consume, skip_direct, repeats: Repeats::NAMES[repeats].1, touches_max: most }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6_000))]
    #[test]
    fn equals_the_filter_for_each_conversion(
        touches in any::<bool>().prop_flat_map(|uniform| prop::collection::vec(any_touch(uniform), 0..10)),
        conversions in prop::collection::vec(0_i64..24, 0..5),
        shape in any_shape(),
        as_of in prop::option::of(20_i64..30),
    ) {
        let (mut touches, mut conversions) = (touches, conversions);
        touches.sort_by_key(|touch| touch.ts);
        conversions.sort_unstable();
        prop_assert_eq!(run(&touches, &conversions, &shape, as_of), twin(&touches, &conversions, &shape, as_of));
    }

    #[test]
    fn every_touch_is_in_a_journey_before_shaping(
        touches in prop::collection::vec(any_touch(false), 0..10),
        conversions in prop::collection::vec(0_i64..24, 0..5),
        consume: bool,
    ) {
        let (mut touches, mut conversions) = (touches, conversions);
        touches.sort_by_key(|touch| touch.ts);
        conversions.sort_unstable();
        let shape = Shape { consume, ..Shape::default() };
        let mut used: Vec<u32> = run(&touches, &conversions, &shape, None).into_iter().flat_map(|(_, path, _)| path).collect();
        used.sort_unstable();
        used.dedup();
        prop_assert_eq!(used.len(), touches.len());
    }
}

#[test]
fn a_robot_is_refused_unless_it_is_shaped() {
    let touch = Touch { ts: 0, channel: 0, lookback: 1, direct: false };
    let (touches, conversions) = (vec![touch; 8_000], vec![1; 8_000]);
    let mut scan = JourneyScan::default();
    let refused = scan.run(&touches, &conversions, &Shape::default(), None, |_| {});
    assert_eq!(refused, Err(PairsExceeded { pairs: 50_008_000 }));
    let shape = Shape { touches_max: Some(2), ..Shape::default() };
    let mut journeys = 0;
    assert_eq!(scan.run(&touches, &conversions, &shape, None, |_| journeys += 1), Ok(()));
    assert_eq!(journeys, 8_000);
}
