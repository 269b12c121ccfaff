//! One container of a roaring bitmap, borrowed from its portable bytes, and the questions asked of it.
//!
//! A container holds up to 65,536 16-bit values as an ascending array, a bitset of 8,192 bytes or ascending runs. Nothing
//! is decoded: every question reads the bytes where they lie. Content is trusted (see `format.rs` for what checks it);
//! damaged content gives a wrong answer, never a panic or an access outside.

use super::kernels;

/// The bits of a container, decoded.
pub type Words = [u64; 1024];

/// A container's values in one of the three encodings.
#[derive(Debug, Clone, Copy)]
pub enum Container<'a> {
    /// Ascending values, little-endian.
    Array(&'a [[u8; 2]]),
    /// One bit per value, little-endian words.
    Bitset(&'a [[u8; 8]; 1024]),
    /// Ascending (first, length - 1) pairs, little-endian.
    Run(&'a [[u8; 4]]),
}

/// First and last value of a run.
#[inline]
pub fn run_bounds(run: [u8; 4]) -> (u16, u16) {
    let start = u16::from_le_bytes([run[0], run[1]]);
    (start, start.saturating_add(u16::from_le_bytes([run[2], run[3]])))
}

/// The bytes of a run.
#[inline]
pub fn run_bytes(first: u16, last: u16) -> [u8; 4] {
    let [a, b] = first.to_le_bytes();
    let [c, d] = (last - first).to_le_bytes();
    [a, b, c, d]
}

impl<'a> Container<'a> {
    /// Number of values.
    pub fn cardinality(&self) -> u32 {
        match self {
            Self::Array(values) => values.len() as u32,
            Self::Bitset(words) => kernels::count(words),
            Self::Run(runs) => runs.iter().map(|run| run_length(*run)).sum(),
        }
    }

    /// Is the value in?
    #[inline]
    pub fn contains(&self, value: u16) -> bool {
        match self {
            Self::Array(values) => values.binary_search_by_key(&value, |v| u16::from_le_bytes(*v)).is_ok(),
            Self::Bitset(words) => word(words, value) >> (value % 64) & 1 == 1,
            Self::Run(runs) => {
                let after = runs.partition_point(|run| run_bounds(*run).0 <= value);
                after > 0 && run_bounds(runs[after - 1]).1 >= value
            }
        }
    }

    /// Number of values not above `value`.
    pub fn rank(&self, value: u16) -> u32 {
        match self {
            Self::Array(values) => values.partition_point(|v| u16::from_le_bytes(*v) <= value) as u32,
            Self::Bitset(words) => {
                let (full, rest) = (usize::from(value / 64), value % 64);
                let below: u32 = words[..full].iter().map(|w| u64::from_le_bytes(*w).count_ones()).sum();
                below + (u64::from_le_bytes(words[full]) << (63 - rest)).count_ones()
            }
            Self::Run(runs) => {
                let mut rank = 0;
                for run in *runs {
                    let (first, last) = run_bounds(*run);
                    if first > value {
                        break;
                    }
                    rank += u32::from(last.min(value) - first) + 1;
                }
                rank
            }
        }
    }

    /// The value at a 0-based position, None behind the end.
    pub fn select(&self, position: u32) -> Option<u16> {
        match self {
            Self::Array(values) => values.get(position as usize).map(|v| u16::from_le_bytes(*v)),
            Self::Bitset(words) => {
                let mut left = position;
                for (index, bytes) in words.iter().enumerate() {
                    let mut bits = u64::from_le_bytes(*bytes);
                    if left >= bits.count_ones() {
                        left -= bits.count_ones();
                        continue;
                    }
                    for _ in 0..left {
                        bits &= bits - 1;
                    }
                    return Some((index * 64) as u16 + bits.trailing_zeros() as u16);
                }
                None
            }
            Self::Run(runs) => {
                let mut left = position;
                for run in *runs {
                    if left < run_length(*run) {
                        return Some(run_bounds(*run).0.saturating_add(left as u16));
                    }
                    left -= run_length(*run);
                }
                None
            }
        }
    }

    /// The smallest value.
    pub fn min(&self) -> Option<u16> {
        match self {
            Self::Array(values) => values.first().map(|v| u16::from_le_bytes(*v)),
            Self::Bitset(_) => self.select(0),
            Self::Run(runs) => runs.first().map(|run| run_bounds(*run).0),
        }
    }

    /// The largest value.
    pub fn max(&self) -> Option<u16> {
        match self {
            Self::Array(values) => values.last().map(|v| u16::from_le_bytes(*v)),
            Self::Bitset(words) => {
                let index = words.iter().rposition(|w| *w != [0; 8])?;
                Some((index * 64) as u16 + 63 - u64::from_le_bytes(words[index]).leading_zeros() as u16)
            }
            Self::Run(runs) => runs.last().map(|run| run_bounds(*run).1),
        }
    }

    /// Calls `visit` with every value, ascending.
    pub fn for_each(&self, mut visit: impl FnMut(u16)) {
        match self {
            Self::Array(values) => values.iter().for_each(|v| visit(u16::from_le_bytes(*v))),
            Self::Bitset(words) => {
                for (index, bytes) in words.iter().enumerate() {
                    for_each_bit(u64::from_le_bytes(*bytes), index, &mut visit);
                }
            }
            Self::Run(runs) => {
                for run in *runs {
                    let (first, last) = run_bounds(*run);
                    (first..=last).for_each(&mut visit);
                }
            }
        }
    }

    /// Adds the values to decoded bits.
    pub fn or_into(&self, target: &mut Words) {
        match self {
            Self::Array(values) => {
                for value in *values {
                    let value = u16::from_le_bytes(*value);
                    target[usize::from(value / 64)] |= 1 << (value % 64);
                }
            }
            Self::Bitset(words) => zip_words(target, words, |a, b| a | b),
            Self::Run(runs) => runs.iter().for_each(|run| mask_run(target, *run, |word, mask| *word |= mask)),
        }
    }

    /// Toggles the values in decoded bits.
    pub fn xor_into(&self, target: &mut Words) {
        match self {
            Self::Array(values) => {
                for value in *values {
                    let value = u16::from_le_bytes(*value);
                    target[usize::from(value / 64)] ^= 1 << (value % 64);
                }
            }
            Self::Bitset(words) => zip_words(target, words, |a, b| a ^ b),
            Self::Run(runs) => runs.iter().for_each(|run| mask_run(target, *run, |word, mask| *word ^= mask)),
        }
    }

    /// Removes the values from decoded bits.
    pub fn andnot_into(&self, target: &mut Words) {
        match self {
            Self::Array(values) => {
                for value in *values {
                    let value = u16::from_le_bytes(*value);
                    target[usize::from(value / 64)] &= !(1 << (value % 64));
                }
            }
            Self::Bitset(words) => zip_words(target, words, |a, b| a & !b),
            Self::Run(runs) => runs.iter().for_each(|run| mask_run(target, *run, |word, mask| *word &= !mask)),
        }
    }

    /// Keeps in decoded bits only the values that are also here. Meant for bitsets and runs; arrays filter instead.
    pub fn and_into(&self, target: &mut Words) {
        match self {
            Self::Bitset(words) => zip_words(target, words, |a, b| a & b),
            Self::Array(_) | Self::Run(_) => {
                let mut gap_start = 0u32;
                let mut clear = |first: u32, last: u32| {
                    if first <= last {
                        mask_run(target, run_bytes(first as u16, last as u16), |word, mask| *word &= !mask);
                    }
                };
                let mut keep = |first: u16, last: u16| {
                    if u32::from(first) > gap_start {
                        clear(gap_start, u32::from(first) - 1);
                    }
                    gap_start = u32::from(last) + 1;
                };
                match self {
                    Self::Run(runs) => runs.iter().map(|run| run_bounds(*run)).for_each(|(a, b)| keep(a, b)),
                    _ => self.for_each(|value| keep(value, value)),
                }
                if gap_start <= 65_535 {
                    clear(gap_start, 65_535);
                }
            }
        }
    }

    /// Number of common values.
    pub fn and_count(&self, other: &Container<'_>) -> u32 {
        // Copies, so that both borrow for the same time.
        let (left, right): (Container<'_>, Container<'_>) = (*self, *other);
        match (left, right) {
            (Container::Array(a), Container::Array(b)) => {
                let mut count = 0;
                intersect_arrays(a, b, |_| {
                    count += 1;
                    true
                });
                count
            }
            (Container::Array(values), other) | (other, Container::Array(values)) => {
                values.iter().filter(|v| other.contains(u16::from_le_bytes(**v))).count() as u32
            }
            (Container::Bitset(a), Container::Bitset(b)) => kernels::and_count(a, b),
            (Container::Bitset(words), Container::Run(runs)) | (Container::Run(runs), Container::Bitset(words)) => {
                runs.iter().map(|run| count_in_run(words, *run)).sum()
            }
            (Container::Run(a), Container::Run(b)) => {
                let mut count = 0;
                overlap_runs(a, b, |length| {
                    count += length;
                    true
                });
                count
            }
        }
    }

    /// Is there a common value? Stops at the first.
    pub fn intersects(&self, other: &Container<'_>) -> bool {
        // Copies, so that both borrow for the same time.
        let (left, right): (Container<'_>, Container<'_>) = (*self, *other);
        match (left, right) {
            (Container::Array(a), Container::Array(b)) => {
                let mut found = false;
                intersect_arrays(a, b, |_| {
                    found = true;
                    false
                });
                found
            }
            (Container::Array(values), other) | (other, Container::Array(values)) => {
                values.iter().any(|v| other.contains(u16::from_le_bytes(*v)))
            }
            (Container::Bitset(a), Container::Bitset(b)) => {
                a.iter().zip(b.iter()).any(|(a, b)| u64::from_le_bytes(*a) & u64::from_le_bytes(*b) != 0)
            }
            (Container::Bitset(words), Container::Run(runs)) | (Container::Run(runs), Container::Bitset(words)) => {
                runs.iter().any(|run| count_in_run(words, *run) > 0)
            }
            (Container::Run(a), Container::Run(b)) => {
                let mut found = false;
                overlap_runs(a, b, |_| {
                    found = true;
                    false
                });
                found
            }
        }
    }
}

/// Calls `visit` with the value of every set bit of word `index`.
#[inline]
pub fn for_each_bit(mut bits: u64, index: usize, visit: &mut impl FnMut(u16)) {
    while bits != 0 {
        visit((index * 64) as u16 + bits.trailing_zeros() as u16);
        bits &= bits - 1;
    }
}

/// Common values of two ascending arrays, ascending, until `visit` returns false. Gallops through the longer one when
/// the lengths differ by more than 16 times.
pub fn intersect_arrays(a: &[[u8; 2]], b: &[[u8; 2]], mut visit: impl FnMut(u16) -> bool) {
    const GALLOP_RATIO: usize = 16;
    let (short, long) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    if short.len() * GALLOP_RATIO < long.len() {
        let mut rest = long;
        for value in short {
            let value = u16::from_le_bytes(*value);
            rest = &rest[gallop(rest, value)..];
            match rest.first() {
                Some(found) if u16::from_le_bytes(*found) == value => {
                    if !visit(value) {
                        return;
                    }
                }
                Some(_) => {}
                None => return,
            }
        }
        return;
    }
    let (mut i, mut j) = (0, 0);
    while i < a.len() && j < b.len() {
        let (x, y) = (u16::from_le_bytes(a[i]), u16::from_le_bytes(b[j]));
        if x == y && !visit(x) {
            return;
        }
        i += usize::from(x <= y);
        j += usize::from(y <= x);
    }
}

/// Position of the first value not below `value`, by doubling steps and then bisection.
fn gallop(values: &[[u8; 2]], value: u16) -> usize {
    let mut step = 1;
    while step < values.len() && u16::from_le_bytes(values[step]) < value {
        step *= 2;
    }
    let (from, to) = (step / 2, (step + 1).min(values.len()));
    from + values[from..to].partition_point(|v| u16::from_le_bytes(*v) < value)
}

fn overlap_runs(a: &[[u8; 4]], b: &[[u8; 4]], mut visit: impl FnMut(u32) -> bool) {
    let (mut i, mut j) = (0, 0);
    while i < a.len() && j < b.len() {
        let ((a_first, a_last), (b_first, b_last)) = (run_bounds(a[i]), run_bounds(b[j]));
        let (first, last) = (a_first.max(b_first), a_last.min(b_last));
        if first <= last && !visit(u32::from(last - first) + 1) {
            return;
        }
        i += usize::from(a_last <= b_last);
        j += usize::from(b_last <= a_last);
    }
}

fn run_length(run: [u8; 4]) -> u32 {
    let (first, last) = run_bounds(run);
    u32::from(last - first) + 1
}

#[inline]
fn word(words: &[[u8; 8]; 1024], value: u16) -> u64 {
    u64::from_le_bytes(words[usize::from(value / 64)])
}

fn count_in_run(words: &[[u8; 8]; 1024], run: [u8; 4]) -> u32 {
    let (first, last) = run_bounds(run);
    let (from, to) = (usize::from(first / 64), usize::from(last / 64));
    (from..=to).map(|index| (u64::from_le_bytes(words[index]) & run_mask(index, first, last)).count_ones()).sum()
}

/// The bits of word `index` that lie in `first..=last`.
#[inline]
fn run_mask(index: usize, first: u16, last: u16) -> u64 {
    let mut mask = u64::MAX;
    if index == usize::from(first / 64) {
        mask &= u64::MAX << (first % 64);
    }
    if index == usize::from(last / 64) {
        mask &= u64::MAX >> (63 - last % 64);
    }
    mask
}

fn mask_run(target: &mut Words, run: [u8; 4], change: impl Fn(&mut u64, u64)) {
    let (first, last) = run_bounds(run);
    let (from, to) = (usize::from(first / 64), usize::from(last / 64));
    for (word, index) in target[from..=to].iter_mut().zip(from..) {
        change(word, run_mask(index, first, last));
    }
}

#[inline]
fn zip_words(target: &mut Words, words: &[[u8; 8]; 1024], op: impl Fn(u64, u64) -> u64) {
    for (a, b) in target.iter_mut().zip(words) {
        *a = op(*a, u64::from_le_bytes(*b));
    }
}
