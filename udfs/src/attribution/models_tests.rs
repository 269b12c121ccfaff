//! The models against published and hand-made cases.

use serde_json::Value;

use super::super::golden::{json, lines};
use super::*;

const OPTIONS: ModelOptions = ModelOptions { half_life: 7.0, position_weights: PositionWeights::U };

fn credits(model: Model, journey: JourneyView, options: &ModelOptions) -> Vec<f64> {
    let mut credits = vec![f64::NAN; journey.channels.len()];
    Scratch::default().credits(model, journey, options, &mut credits);
    credits
}

fn plain(channels: &[u32]) -> JourneyView<'_> {
    JourneyView { channels, ages: &[], direct: &[], weights: &[] }
}

fn close(found: f64, expected: f64) -> bool {
    (found - expected).abs() <= 1e-12 * expected.abs().max(1.0)
}

/// A number or an exact fraction.
fn fraction(text: &str) -> f64 {
    let (above, below) = text.split_once('/').unwrap_or((text, "1"));
    above.parse::<f64>().unwrap() / below.parse::<f64>().unwrap()
}

#[test]
fn positional_models_by_length() {
    let mut seen = 0;
    for line in lines("tiny/position_weights.csv") {
        let (model, weights) = match line.split_once('[') {
            Some((_, rest)) => {
                let (weights, _) = rest.split_once(']').unwrap();
                let weights: Vec<f64> = weights.split(',').map(|w| w.trim().parse().unwrap()).collect();
                (Model::PositionBased, weights)
            }
            None => (Model::from_name(line.split(',').next().unwrap()).unwrap(), vec![0.4, 0.2, 0.4]),
        };
        let fields: Vec<&str> = line.rsplitn(3, ',').collect();
        let count: usize = fields[1].parse().unwrap();
        let options = ModelOptions { position_weights: PositionWeights::new(&weights).unwrap(), ..OPTIONS };
        let channels: Vec<u32> = (0..count as u32).collect();
        let found = credits(model, plain(&channels), &options);
        let expected: Vec<f64> = fields[0].split_whitespace().map(fraction).collect();
        assert_eq!(expected.len(), count, "{line}");
        assert!(found.iter().zip(&expected).all(|(f, e)| close(*f, *e)), "{line}: {found:?}");
        seen += 1;
    }
    assert_eq!(seen, 54);
}

#[test]
fn published_journeys() {
    let mut seen = 0;
    for case in json("tiny/cases.json").as_array().unwrap() {
        if case["kind"] != "weights" || case["phase"] == "P2" {
            continue;
        }
        let touches = case["touches"].as_array().unwrap();
        let names: Vec<&str> = touches.iter().map(|touch| touch["channel"].as_str().unwrap()).collect();
        let channels: Vec<u32> =
            names.iter().map(|name| names.iter().position(|other| other == name).unwrap() as u32).collect();
        let ages: Vec<f64> = touches.iter().map(|touch| touch["days_before_conversion"].as_f64().unwrap()).collect();
        let direct: Vec<bool> = names.iter().map(|name| *name == "direct").collect();
        let journey = JourneyView { channels: &channels, ages: &ages, direct: &direct, weights: &[] };
        let options = ModelOptions { half_life: case["half_life_days"].as_f64().unwrap_or(7.0), ..OPTIONS };
        let value = case["value"].as_f64().unwrap();
        for (model, expected) in case["expect_value"].as_object().unwrap() {
            let found = credits(Model::from_name(model).unwrap(), journey, &options);
            let expected: Vec<f64> = expected.as_array().unwrap().iter().filter_map(Value::as_f64).collect();
            assert_eq!(expected.len(), found.len());
            assert!(found.iter().zip(&expected).all(|(f, e)| close(f * value, *e)), "{model}: {found:?}");
            seen += 1;
        }
    }
    assert_eq!(seen, 12);
}

#[test]
fn thirty_years_and_an_hour_of_half_life() {
    let ages = [30.0 * 365.0 * 24.0, 30.0 * 365.0 * 24.0 + 1.0];
    let journey = JourneyView { channels: &[0, 1], ages: &ages, direct: &[], weights: &[] };
    let found = credits(Model::TimeDecay, journey, &ModelOptions { half_life: 1.0, ..OPTIONS });
    assert!(close(found[0], 2.0 / 3.0) && close(found[1], 1.0 / 3.0), "{found:?}");
}

#[test]
fn weights_that_sum_to_nothing_are_equal() {
    let journey = JourneyView { channels: &[0, 1, 0], ages: &[], direct: &[], weights: &[0.0, 0.0, 0.0] };
    assert_eq!(credits(Model::Weighted, journey, &OPTIONS), vec![1.0 / 3.0; 3]);
    let middle = ModelOptions { position_weights: PositionWeights::new(&[0.0, 1.0, 0.0]).unwrap(), ..OPTIONS };
    assert_eq!(credits(Model::PositionBased, plain(&[0, 1]), &middle), vec![0.5, 0.5]);
    assert_eq!(credits(Model::PositionBased, plain(&[0, 1, 2]), &middle), vec![0.0, 1.0, 0.0]);
}

#[test]
fn repeats_count_once_where_channels_count() {
    let channels = [5, 2, 5, 5];
    assert_eq!(credits(Model::Participation, plain(&channels), &OPTIONS), vec![1.0, 1.0, 0.0, 0.0]);
    let distinct = credits(Model::LinearDistinct, plain(&channels), &OPTIONS);
    assert!(distinct.iter().zip([1.0 / 6.0, 0.5, 1.0 / 6.0, 1.0 / 6.0]).all(|(f, e)| close(*f, e)), "{distinct:?}");
}

#[test]
fn non_direct_models_fall_back() {
    let at = |model, direct: &[bool]| {
        let journey = JourneyView { channels: &[0, 1, 2], ages: &[], direct, weights: &[] };
        credits(model, journey, &OPTIONS).iter().position(|c| *c == 1.0)
    };
    assert_eq!(at(Model::FirstNonDirect, &[true, false, true]), Some(1));
    assert_eq!(at(Model::LastNonDirect, &[false, false, true]), Some(1));
    assert_eq!(at(Model::FirstNonDirect, &[true; 3]), Some(0));
    assert_eq!(at(Model::LastNonDirect, &[true; 3]), Some(2));
    assert_eq!(at(Model::LastNonDirect, &[]), Some(2));
}

#[test]
fn position_weights_are_checked() {
    assert!(PositionWeights::new(&[0.4, 0.2]).is_none());
    assert!(PositionWeights::new(&[0.0; 3]).is_none());
    assert!(PositionWeights::new(&[1.0, -0.1, 1.0]).is_none());
    assert!(PositionWeights::new(&[f64::NAN, 1.0, 1.0]).is_none());
    assert!(PositionWeights::new(&[30.0, 10.0, 30.0]).is_some());
}
