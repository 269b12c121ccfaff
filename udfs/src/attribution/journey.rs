//! Journeys of one unit: which touches lead to which conversion.
//!
//! A touch is eligible for a conversion at or after it and within the touch's own lookback, both ends inclusive. Every conversion ends a
//! journey, also one without touches; the touches that are eligible for no conversion form non-converting journeys, cut where a conversion
//! or a lookback separates neighbours. Each journey is then shaped, always in this order: direct touches, repeats, most recent n.
//!
//! Touches come ordered by time (and whatever breaks ties), conversions by time. It reads no options and knows no credit.

use std::mem::size_of;

use super::repeats::{Repeats, SeenChannels};

/// Most (touch, conversion) pairs of one unit: one robot must not take the node.
pub const PAIRS_PER_UNIT_MAX: u64 = 50_000_000;

/// A touch of the unit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Touch {
    /// When, in ticks.
    pub ts: i64,
    /// Channel number.
    pub channel: u32,
    /// How long after it a conversion may follow, in ticks, not negative.
    pub lookback: i64,
    /// Ranks last, e.g. direct traffic.
    pub direct: bool,
}

impl Touch {
    fn expires(&self) -> i64 {
        self.ts.saturating_add(self.lookback)
    }
}

/// How journeys are shaped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Shape {
    /// A touch serves only conversions of the first instant after it.
    pub consume: bool,
    /// Direct touches leave a journey that has others.
    pub skip_direct: bool,
    /// Which touches of a channel stay.
    pub repeats: Repeats,
    /// How many of the most recent touches stay.
    pub touches_max: Option<usize>,
}

/// One journey.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Journey<'a> {
    /// Index of the conversion it leads to.
    pub conversion: Option<usize>,
    /// Indices of its touches, oldest first.
    pub path: &'a [u32],
    /// Non-converting, and its last touch may still lead to a conversion after `as_of`.
    pub still_open: bool,
}

/// A unit with more pairs than allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PairsExceeded {
    /// How many there are at least.
    pub pairs: u64,
}

/// Room that is reused from unit to unit.
#[derive(Debug, Default)]
pub struct JourneyScan {
    active: Vec<u32>,
    path: Vec<u32>,
    loose: Vec<u32>,
    seen: SeenChannels,
}

impl JourneyScan {
    /// Bytes owned.
    pub fn size(&self) -> usize {
        (self.active.capacity() + self.path.capacity() + self.loose.capacity()) * size_of::<u32>() + self.seen.size()
    }

    /// Visits the unit's journeys in order: by the instant they end, converting ones first. `as_of` only decides what is still open;
    /// later rows must have been left out.
    pub fn run(
        &mut self,
        touches: &[Touch],
        conversions: &[i64],
        shape: &Shape,
        as_of: Option<i64>,
        mut visit: impl FnMut(Journey),
    ) -> Result<(), PairsExceeded> {
        self.active.clear();
        self.find_loose(touches, conversions);
        let loose = std::mem::take(&mut self.loose);
        let mut loose_at = 0;
        let mut window = Window::new(touches);
        let mut pairs = 0;
        for (index, &instant) in conversions.iter().enumerate() {
            while loose_at < loose.len() {
                let end = journey_end(&loose, loose_at, touches, conversions);
                if touches[loose[end - 1] as usize].ts >= instant {
                    break;
                }
                self.visit_loose(&loose[loose_at..end], touches, shape, as_of, &mut visit);
                loose_at = end;
            }
            let restart = shape.consume && index > 0 && conversions[index - 1] < instant;
            let consumed = if restart { Some(conversions[index - 1]) } else { None };
            self.fill_path(&mut window, touches, instant, consumed, shape);
            pairs += self.path.len() as u64;
            if pairs > PAIRS_PER_UNIT_MAX {
                self.loose = loose;
                return Err(PairsExceeded { pairs });
            }
            self.shape(touches, shape);
            visit(Journey { conversion: Some(index), path: &self.path, still_open: false });
        }
        while loose_at < loose.len() {
            let end = journey_end(&loose, loose_at, touches, conversions);
            self.visit_loose(&loose[loose_at..end], touches, shape, as_of, &mut visit);
            loose_at = end;
        }
        self.loose = loose;
        Ok(())
    }

    /// The touches that are eligible for no conversion. Only the first conversion at or after a touch needs looking at: if it is too late,
    /// so are the others; and it is the one that may use the touch when conversions consume.
    fn find_loose(&mut self, touches: &[Touch], conversions: &[i64]) {
        self.loose.clear();
        let mut next = 0;
        for (index, touch) in touches.iter().enumerate() {
            while next < conversions.len() && conversions[next] < touch.ts {
                next += 1;
            }
            if conversions.get(next).is_none_or(|&instant| instant > touch.expires()) {
                self.loose.push(index as u32);
            }
        }
    }

    fn visit_loose(
        &mut self,
        indices: &[u32],
        touches: &[Touch],
        shape: &Shape,
        as_of: Option<i64>,
        visit: &mut impl FnMut(Journey),
    ) {
        self.path.clear();
        self.path.extend_from_slice(indices);
        let last = indices.last().map(|&last| touches[last as usize].expires());
        let still_open = as_of.is_some_and(|as_of| last.is_some_and(|expires| expires > as_of));
        self.shape(touches, shape);
        visit(Journey { conversion: None, path: &self.path, still_open });
    }

    /// The eligible touches of a conversion. When nothing but `touches_max` shapes journeys, only so many are looked at.
    fn fill_path(
        &mut self,
        window: &mut Window,
        touches: &[Touch],
        instant: i64,
        consumed: Option<i64>,
        shape: &Shape,
    ) {
        self.path.clear();
        while window.end < touches.len() && touches[window.end].ts <= instant {
            if !window.uniform {
                self.active.push(window.end as u32);
            }
            window.end += 1;
        }
        let plain = !shape.skip_direct && shape.repeats == Repeats::All;
        let most = shape.touches_max.filter(|_| plain).unwrap_or(usize::MAX);
        if window.uniform {
            let gone =
                |touch: &Touch| touch.expires() < instant || consumed.is_some_and(|consumed| touch.ts <= consumed);
            while window.start < window.end && gone(&touches[window.start]) {
                window.start += 1;
            }
            let start = window.start.max(window.end.saturating_sub(most));
            self.path.extend(start as u32..window.end as u32);
        } else {
            self.active.retain(|&at| {
                let touch = &touches[at as usize];
                touch.expires() >= instant && consumed.is_none_or(|consumed| touch.ts > consumed)
            });
            let start = self.active.len().saturating_sub(most);
            self.path.extend_from_slice(&self.active[start..]);
        }
    }

    fn shape(&mut self, touches: &[Touch], shape: &Shape) {
        let path = &mut self.path;
        if shape.skip_direct && path.iter().any(|&at| !touches[at as usize].direct) {
            path.retain(|&at| !touches[at as usize].direct);
        }
        self.seen.apply(shape.repeats, path, |at| touches[at as usize].channel);
        if let Some(most) = shape.touches_max
            && path.len() > most
        {
            path.drain(..path.len() - most);
        }
    }
}

/// The touches at or before the present conversion that have not expired: a range if all lookbacks are equal.
struct Window {
    uniform: bool,
    start: usize,
    end: usize,
}

impl Window {
    fn new(touches: &[Touch]) -> Self {
        let uniform = touches.windows(2).all(|pair| pair[0].lookback == pair[1].lookback);
        Self { uniform, start: 0, end: 0 }
    }
}

/// Where the non-converting journey that starts at `start` ends: before a conversion or a lookback that lies between two neighbours.
fn journey_end(loose: &[u32], start: usize, touches: &[Touch], conversions: &[i64]) -> usize {
    let mut end = start + 1;
    while end < loose.len() {
        let (before, after) = (&touches[loose[end - 1] as usize], &touches[loose[end] as usize]);
        let next = conversions.partition_point(|&instant| instant < before.ts);
        let crossed = conversions.get(next).is_some_and(|&instant| instant < after.ts);
        if crossed || after.ts > before.expires() {
            break;
        }
        end += 1;
    }
    end
}

#[cfg(test)]
#[path = "journey_tests.rs"]
mod tests;
