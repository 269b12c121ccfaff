//! The one funnel algorithm: the longest chain that satisfies the named constraints, exactly, in one pass over time-ordered rows.
//!
//! A *chain* of length k is k rows r1..rk, row i true for step i, times not decreasing, the last at most `window` after the first, and no
//! forbidden row strictly between two of them. The answer is the longest chain; of those the one that ends first; of those the one that
//! starts last; of those the one whose second, third, ... time is earliest. Rows of equal time have no order.
//!
//! Why one pass is exact: whether rows may lie between two rows of a chain depends only on how many steps the chain has and on the rows of
//! one instant, so of two chains of i steps that can still grow the one that started later can do all the other can. Keeping that one
//! chain per i is enough: O(rows x steps) time, O(steps) memory (O(steps^2) with times).
//!
//! It does not read Arrow, parse modes or sort: `rows` come ordered by time.

use super::funnel_mode::FunnelMode;

/// Most steps a funnel may have: one bit of a mask each.
pub const STEPS_MAX: usize = 64;

/// One event: its time and a bit per step it is true for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Row {
    /// Microseconds, days or units.
    pub ts: i64,
    /// Bit i is set when the row is true for step i + 1.
    pub mask: u64,
}

/// What a funnel asks of a chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FunnelRule {
    /// 1 to [`STEPS_MAX`]; masks have no bits above it.
    pub step_count: usize,
    /// Longest time from the first to the last row, in units of `ts`; `None` is unlimited.
    pub window: Option<i64>,
    /// Constraints besides order and window.
    pub mode: FunnelMode,
    /// Whether the two extreme values of `i64` stand for infinite times, which are inside no finite window.
    pub infinities: bool,
}

/// What one group's rows amount to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FunnelOutcome {
    /// Length of the longest chain.
    pub level: usize,
    /// First time of the latest-started chain of `level` steps that later rows could still extend.
    pub alive_since: Option<i64>,
}

impl FunnelRule {
    fn reaches(&self, start: i64, ts: i64) -> bool {
        let Some(window) = self.window else { return true };
        if self.infinities && (is_infinite(start) || is_infinite(ts)) {
            return false;
        }
        // ts >= start, so the distance fits u64 even from one end of i64 to the other.
        (ts as u64).wrapping_sub(start as u64) <= window as u64
    }
}

fn is_infinite(ts: i64) -> bool {
    ts == i64::MIN || ts == i64::MAX
}

fn low_bits(count: usize) -> u64 {
    if count >= 64 { u64::MAX } else { (1 << count) - 1 }
}

/// The chains kept while rows go by. One value serves many groups; each [`FunnelScan::run`] starts afresh.
#[derive(Debug)]
pub struct FunnelScan {
    rule: FunnelRule,
    /// `best[i]`: the chain of i + 1 steps that can still grow.
    best: Chains,
    /// `current[i]`: the chain of i + 1 steps that ends at the present instant.
    current: Chains,
    top: usize,
    reported: Vec<i64>,
    matching: Matching,
}

/// One chain for each length, `alive` telling which exist. `times` holds a row of `stride` times for each, or nothing if times are not asked for.
#[derive(Debug)]
struct Chains {
    alive: u64,
    start: [i64; STEPS_MAX],
    times: Vec<i64>,
    stride: usize,
}

impl Chains {
    fn new(step_count: usize, with_times: bool) -> Self {
        let stride = if with_times { step_count } else { 0 };
        Self { alive: 0, start: [0; STEPS_MAX], times: vec![0; stride * stride], stride }
    }

    fn has(&self, index: usize) -> bool {
        self.alive >> index & 1 == 1
    }

    /// The times of the chain of `index + 1` steps; empty when times are not kept.
    fn times(&self, index: usize) -> &[i64] {
        if self.stride == 0 { &[] } else { &self.times[index * self.stride..=index * self.stride + index] }
    }

    /// Sets chain `to` to `head` (of `from + 1` steps) followed by `ts` as often as needed.
    fn extend_from(&mut self, to: usize, head: &Chains, from: usize, ts: i64) {
        self.alive |= 1 << to;
        self.start[to] = head.start[from];
        if self.stride > 0 {
            let at = to * self.stride;
            self.times[at..=at + from].copy_from_slice(head.times(from));
            self.times[at + from + 1..=at + to].fill(ts);
        }
    }

    /// The same when the head is one of these chains.
    fn extend_own(&mut self, to: usize, from: usize, ts: i64) {
        self.alive |= 1 << to;
        self.start[to] = self.start[from];
        if self.stride > 0 {
            let (source, at) = (from * self.stride, to * self.stride);
            self.times.copy_within(source..=source + from, at);
            self.times[at + from + 1..=at + to].fill(ts);
        }
    }

    /// Sets the chain of one step.
    fn begin(&mut self, ts: i64) {
        self.alive |= 1;
        self.start[0] = ts;
        if self.stride > 0 {
            self.times[0] = ts;
        }
    }
}

/// Whether chain `a` of `from_a + 1` steps, continued at one instant, is better than `b` continued at the same: later start, then earlier
/// times. Both are compared up to the longer head, the shorter one being padded with the instant itself.
fn better(a: &Chains, from_a: usize, b: &Chains, from_b: usize, ts: i64) -> bool {
    if a.start[from_a] != b.start[from_b] {
        return a.start[from_a] > b.start[from_b];
    }
    let (a, b) = (a.times(from_a), b.times(from_b));
    let length = a.len().max(b.len());
    let padded = |times: &[i64], i: usize| times.get(i).copied().unwrap_or(ts);
    (0..length).map(|i| padded(a, i)).lt((0..length).map(|i| padded(b, i)))
}

impl FunnelScan {
    /// A scan for `rule`; with `with_times` it also remembers the times of the reported chain.
    pub fn new(rule: FunnelRule, with_times: bool) -> Self {
        Self {
            rule,
            best: Chains::new(rule.step_count, with_times),
            current: Chains::new(rule.step_count, with_times),
            top: 0,
            reported: Vec::new(),
            matching: Matching::default(),
        }
    }

    /// Times of the chain reported by the last run, one for each step reached; empty if the scan keeps no times.
    pub fn times(&self) -> &[i64] {
        &self.reported
    }

    /// Reads one group. `rows` are ordered by `ts`; `excluded` are the ordered times of rows that may not lie between two rows of a chain.
    pub fn run(&mut self, rows: &[Row], excluded: &[i64]) -> FunnelOutcome {
        (self.best.alive, self.current.alive, self.top) = (0, 0, 0);
        self.reported.clear();
        let between = self.rule.mode.between;
        let rows_may_lie_between = !self.rule.mode.deduplication && !between.no_other && !between.no_step;
        let plain = rows_may_lie_between && excluded.is_empty() && self.best.stride == 0;
        let mut excluded = excluded.iter().copied().peekable();
        let mut at = 0;
        while at < rows.len() && self.top < self.rule.step_count {
            let ts = rows[at].ts;
            let mut end = at + 1;
            while end < rows.len() && rows[end].ts == ts {
                end += 1;
            }
            if plain && end == at + 1 && rows[at].mask.is_power_of_two() {
                self.one_step(ts, rows[at].mask.trailing_zeros() as usize);
                at = end;
                continue;
            }
            while excluded.next_if(|&x| x < ts).is_some() {
                self.best.alive = 0;
            }
            let mut barred = false;
            while excluded.next_if_eq(&ts).is_some() {
                barred = true;
            }
            self.instant(ts, &rows[at..end], barred);
            at = end;
        }
        let complete = self.top == self.rule.step_count;
        if excluded.next().is_some() {
            self.best.alive = 0;
        }
        let alive = !complete && self.top > 0 && self.best.has(self.top - 1);
        FunnelOutcome { level: self.top, alive_since: alive.then(|| self.best.start[self.top.saturating_sub(1)]) }
    }

    /// The most frequent instant on its own: one row that is true for one step, where nothing is forbidden between rows and no times are
    /// kept. Does what [`Self::instant`] does.
    fn one_step(&mut self, ts: i64, step: usize) {
        let best = &mut self.best;
        let start = match step.checked_sub(1) {
            None => ts,
            Some(from) if best.alive >> from & 1 == 1 && self.rule.reaches(best.start[from], ts) => best.start[from],
            Some(_) => return,
        };
        if best.alive >> step & 1 == 0 || start > best.start[step] {
            best.alive |= 1 << step;
            best.start[step] = start;
        }
        self.top = self.top.max(step + 1);
    }

    /// All rows of one instant.
    fn instant(&mut self, ts: i64, rows: &[Row], barred: bool) {
        let mut any = 0;
        let mut several = false;
        let mut other = false;
        for row in rows {
            any |= row.mask;
            several |= row.mask & row.mask.wrapping_sub(1) != 0;
            other |= row.mask == 0;
        }
        if self.best.alive == 0 && any & 1 == 0 {
            return;
        }
        self.current.alive = 0;
        let endless = self.rule.window.is_some() && self.rule.infinities && is_infinite(ts);
        let one_row_one_step = self.rule.mode.once && several;
        if self.rule.mode.increase || endless || (one_row_one_step && rows.len() == 1) {
            self.serve_one(ts, any);
        } else if one_row_one_step {
            self.serve_matched(ts, rows);
        } else {
            self.serve_many(ts, any);
        }
        self.settle(any, other, barred);
    }

    /// Every chain may take one more step at this instant.
    fn serve_one(&mut self, ts: i64, any: u64) {
        if any & 1 == 1 {
            self.current.begin(ts);
        }
        let mut steps = any >> 1 & self.best.alive;
        while steps != 0 {
            let from = steps.trailing_zeros() as usize;
            steps &= steps - 1;
            if self.rule.reaches(self.best.start[from], ts) {
                self.current.extend_from(from + 1, &self.best, from, ts);
            }
        }
    }

    /// A chain may take any run of steps at this instant: what was just extended can be extended again.
    fn serve_many(&mut self, ts: i64, any: u64) {
        if any & 1 == 1 {
            self.current.begin(ts);
        }
        let mut steps = any >> 1;
        while steps != 0 {
            let from = steps.trailing_zeros() as usize;
            steps &= steps - 1;
            let old = self.best.has(from) && self.rule.reaches(self.best.start[from], ts);
            let new = self.current.has(from);
            if new && !(old && better(&self.best, from, &self.current, from, ts)) {
                self.current.extend_own(from + 1, from, ts);
            } else if old {
                self.current.extend_from(from + 1, &self.best, from, ts);
            }
        }
    }

    /// A chain may take a run of steps if these can be given different rows of this instant.
    fn serve_matched(&mut self, ts: i64, rows: &[Row]) {
        self.matching.load(rows, self.rule.step_count);
        for from in 0..self.rule.step_count {
            // `from` steps are done before this instant; the chain of one step at this instant has none.
            let head = from.checked_sub(1);
            let usable = head.is_none_or(|head| self.best.has(head) && self.rule.reaches(self.best.start[head], ts));
            let reach = self.matching.reach(from);
            for to in from..reach {
                match head {
                    _ if !usable => break,
                    None if to == 0 => self.current.begin(ts),
                    // A chain that lies wholly in this instant starts at it: nothing starts later.
                    None => self.current.extend_own(to, 0, ts),
                    Some(head) => {
                        if !self.current.has(to) || self.improves(head, to, ts) {
                            self.current.extend_from(to, &self.best, head, ts);
                        }
                    }
                }
            }
        }
    }

    fn improves(&self, head: usize, to: usize, ts: i64) -> bool {
        better(&self.best, head, &self.current, to, ts)
    }

    /// Drops the chains this instant may not lie inside of, then lets the ones that end here take their place.
    fn settle(&mut self, any: u64, other: bool, barred: bool) {
        let mode = self.rule.mode;
        let blocked = barred || (mode.between.no_other && other) || (mode.between.no_step && any != 0);
        if blocked {
            self.best.alive = 0;
        } else if mode.deduplication {
            self.best.alive &= low_bits(any.trailing_zeros() as usize);
        }
        let mut ends = self.current.alive;
        if ends == 0 {
            return;
        }
        let longest = (63 - ends.leading_zeros()) as usize;
        if longest + 1 > self.top {
            self.top = longest + 1;
            self.reported.clear();
            self.reported.extend_from_slice(self.current.times(longest));
        }
        while ends != 0 {
            let index = ends.trailing_zeros() as usize;
            ends &= ends - 1;
            if !self.best.has(index) || self.current.start[index] > self.best.start[index] {
                self.best.alive |= 1 << index;
                self.best.start[index] = self.current.start[index];
                if self.best.stride > 0 {
                    let at = index * self.best.stride;
                    self.best.times[at..=at + index].copy_from_slice(&self.current.times[at..=at + index]);
                }
            }
        }
    }
}

/// Gives the steps of one instant different rows, by augmenting paths.
///
/// Any `step_count` rows true for a step are as good as all of them: a matching uses at most that many rows, so of a step's first
/// `step_count` rows one is always free to be swapped in. That bounds the work of an instant with millions of rows.
#[derive(Debug, Default)]
struct Matching {
    masks: Vec<u64>,
    /// For each row the step it serves.
    owner: Vec<Option<u8>>,
    step_count: usize,
    /// Steps `from..to` are served now.
    to: usize,
}

impl Matching {
    fn load(&mut self, rows: &[Row], step_count: usize) {
        self.masks.clear();
        let mut seen = [0_usize; STEPS_MAX];
        for row in rows {
            let mut bits = row.mask;
            let mut useful = false;
            while bits != 0 {
                let step = bits.trailing_zeros() as usize;
                bits &= bits - 1;
                useful |= seen[step] < step_count;
                seen[step] += 1;
            }
            if useful {
                self.masks.push(row.mask);
            }
        }
        self.owner.clear();
        self.owner.resize(self.masks.len(), None);
        (self.step_count, self.to) = (step_count, 0);
    }

    /// The largest `to` such that steps `from..to` have different rows. Asked for `from` = 0, 1, 2, ...: it never decreases, so the
    /// matching of one call is the start of the next.
    fn reach(&mut self, from: usize) -> usize {
        if from > 0 {
            for owner in &mut self.owner {
                if *owner == Some((from - 1) as u8) {
                    *owner = None;
                }
            }
        }
        self.to = self.to.max(from);
        while self.to < self.step_count && self.augment(self.to, &mut 0) {
            self.to += 1;
        }
        self.to
    }

    /// Serves `step`, moving other steps to other rows if need be. `visited` are the steps on the way, at most 64 deep.
    fn augment(&mut self, step: usize, visited: &mut u64) -> bool {
        *visited |= 1 << step;
        for row in 0..self.masks.len() {
            if self.masks[row] >> step & 1 == 0 {
                continue;
            }
            let free = match self.owner[row] {
                None => true,
                Some(owner) if *visited >> owner & 1 == 1 => false,
                Some(owner) => self.augment(owner as usize, visited),
            };
            if free {
                self.owner[row] = Some(step as u8);
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
#[path = "funnel_tests.rs"]
mod tests;
