//! The thirteen heuristic models: credit of one conversion among the touches of its journey.
//!
//! A model gives each touch a weight; credit is the weight divided by the sum of weights, added left to right, so a journey's credits sum
//! to 1 (not for `participation`). Weights that sum to 0 give every touch the same. Fitted models are not here: they need all journeys.

/// Credit of one journey by one rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Model {
    /// All to the first touch.
    First,
    /// All to the last touch.
    Last,
    /// All to the first touch that is not direct, or to the first.
    FirstNonDirect,
    /// All to the last touch that is not direct, or to the last.
    LastNonDirect,
    /// The same to every touch.
    Linear,
    /// The same to every channel, and within a channel to each of its touches.
    LinearDistinct,
    /// Halves with every half-life before the conversion.
    TimeDecay,
    /// 40 % first, 40 % last, the rest between.
    UShaped,
    /// 20 % first, 60 % last, the rest between.
    JShaped,
    /// 60 % first, 20 % last, the rest between.
    InverseJ,
    /// First, middle and last as the caller says.
    PositionBased,
    /// In proportion to each touch's own weight.
    Weighted,
    /// 1 to the first touch of each channel.
    Participation,
}

impl Model {
    /// Every model, in the order of the result fields.
    pub const ALL: [Self; 13] = [
        Self::First,
        Self::Last,
        Self::FirstNonDirect,
        Self::LastNonDirect,
        Self::Linear,
        Self::LinearDistinct,
        Self::TimeDecay,
        Self::UShaped,
        Self::JShaped,
        Self::InverseJ,
        Self::PositionBased,
        Self::Weighted,
        Self::Participation,
    ];

    /// The name in SQL.
    pub fn name(self) -> &'static str {
        match self {
            Self::First => "first",
            Self::Last => "last",
            Self::FirstNonDirect => "first_non_direct",
            Self::LastNonDirect => "last_non_direct",
            Self::Linear => "linear",
            Self::LinearDistinct => "linear_distinct",
            Self::TimeDecay => "time_decay",
            Self::UShaped => "u_shaped",
            Self::JShaped => "j_shaped",
            Self::InverseJ => "inverse_j",
            Self::PositionBased => "position_based",
            Self::Weighted => "weighted",
            Self::Participation => "participation",
        }
    }

    /// The model of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|model| model.name() == name)
    }
}

/// First, middle and last share; they need not sum to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PositionWeights {
    /// Share of the first touch.
    pub first: f64,
    /// Share of all touches between.
    pub middle: f64,
    /// Share of the last touch.
    pub last: f64,
}

impl PositionWeights {
    /// The default of `position_weights`, and `u_shaped`.
    pub const U: Self = Self { first: 0.4, middle: 0.2, last: 0.4 };
    const J: Self = Self { first: 0.2, middle: 0.2, last: 0.6 };
    const INVERSE_J: Self = Self { first: 0.6, middle: 0.2, last: 0.2 };

    /// Three finite numbers, none negative, not all zero.
    pub fn new(shares: &[f64]) -> Option<Self> {
        let &[first, middle, last] = shares else { return None };
        let proper = shares.iter().all(|share| share.is_finite() && *share >= 0.0) && first + middle + last > 0.0;
        proper.then_some(Self { first, middle, last })
    }
}

/// A journey as the models see it, oldest touch first.
#[derive(Debug, Clone, Copy)]
pub struct JourneyView<'a> {
    /// Channel numbers below the count given to [`Scratch::credits`].
    pub channels: &'a [u32],
    /// Ticks from each touch to the conversion; needed by `time_decay` only, else it may be empty.
    pub ages: &'a [f64],
    /// Which touches are direct; empty if none is.
    pub direct: &'a [bool],
    /// The touches' own weights; empty if all are 1.
    pub weights: &'a [f64],
}

/// Parameters of the models.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ModelOptions {
    /// In the ticks of the ages.
    pub half_life: f64,
    /// For `position_based`.
    pub position_weights: PositionWeights,
}

/// Counters by channel that are reused from journey to journey.
#[derive(Debug, Default)]
pub struct Scratch {
    counts: Vec<u32>,
}

impl Scratch {
    /// Writes the credit of each touch for `model` into `credits`, which is as long as the journey. An empty journey has no credit.
    pub fn credits(&mut self, model: Model, journey: JourneyView, options: &ModelOptions, credits: &mut [f64]) {
        let count = credits.len();
        if count == 0 {
            return;
        }
        match model {
            Model::First => one(credits, 0),
            Model::Last => one(credits, count - 1),
            Model::FirstNonDirect => one(credits, journey.direct.iter().position(|direct| !direct).unwrap_or(0)),
            Model::LastNonDirect => {
                one(credits, journey.direct.iter().rposition(|direct| !direct).unwrap_or(count - 1));
            }
            Model::Linear => credits.fill(1.0),
            Model::LinearDistinct => self.linear_distinct(journey.channels, credits),
            Model::TimeDecay => time_decay(journey.ages, options.half_life, credits),
            Model::UShaped => by_position(PositionWeights::U, credits),
            Model::JShaped => by_position(PositionWeights::J, credits),
            Model::InverseJ => by_position(PositionWeights::INVERSE_J, credits),
            Model::PositionBased => by_position(options.position_weights, credits),
            Model::Weighted if journey.weights.is_empty() => credits.fill(1.0),
            Model::Weighted => credits.copy_from_slice(journey.weights),
            Model::Participation => return self.participation(journey.channels, credits),
        }
        normalise(credits);
    }

    fn count(&mut self, channels: &[u32]) -> usize {
        let mut distinct = 0;
        for &channel in channels {
            let channel = channel as usize;
            if channel >= self.counts.len() {
                self.counts.resize(channel + 1, 0);
            }
            distinct += usize::from(self.counts[channel] == 0);
            self.counts[channel] += 1;
        }
        distinct
    }

    fn clear(&mut self, channels: &[u32]) {
        for &channel in channels {
            self.counts[channel as usize] = 0;
        }
    }

    fn linear_distinct(&mut self, channels: &[u32], credits: &mut [f64]) {
        let distinct = self.count(channels) as f64;
        for (credit, &channel) in credits.iter_mut().zip(channels) {
            *credit = 1.0 / (distinct * f64::from(self.counts[channel as usize]));
        }
        self.clear(channels);
    }

    fn participation(&mut self, channels: &[u32], credits: &mut [f64]) {
        for (credit, channel) in credits.iter_mut().zip(channels) {
            *credit = self.count(std::slice::from_ref(channel)) as f64;
        }
        self.clear(channels);
    }

    /// Bytes owned.
    pub fn size(&self) -> usize {
        self.counts.capacity() * std::mem::size_of::<u32>()
    }
}

fn one(credits: &mut [f64], at: usize) {
    credits.fill(0.0);
    credits[at] = 1.0;
}

/// The age of the youngest touch is taken off first: the plain form is 0/0 for a journey many half-lives old.
fn time_decay(ages: &[f64], half_life: f64, credits: &mut [f64]) {
    let youngest = ages.iter().copied().fold(f64::INFINITY, f64::min);
    for (credit, age) in credits.iter_mut().zip(ages) {
        *credit = (-(age - youngest) / half_life).exp2();
    }
}

fn by_position(shares: PositionWeights, credits: &mut [f64]) {
    let PositionWeights { first, middle, last } = shares;
    match credits {
        [] => {}
        [only] => *only = 1.0,
        [head, tail] => (*head, *tail) = (first, last),
        [head, between @ .., tail] => {
            (*head, *tail) = (first, last);
            between.fill(middle / between.len() as f64);
        }
    }
}

fn normalise(credits: &mut [f64]) {
    let total: f64 = credits.iter().sum();
    if total > 0.0 {
        for credit in credits {
            *credit /= total;
        }
    } else {
        credits.fill(1.0 / credits.len() as f64);
    }
}

#[cfg(test)]
#[path = "models_tests.rs"]
mod tests;
