//! Writes the canonical bytes of a bitmap, container by container.
//!
//! One set has one byte string: array up to 4,096 values, else bitset, but run when that is strictly shorter. Containers
//! come by ascending key; bodies are collected in one buffer and the header is put before them at the end, because the
//! format wants counts first. Buffers are kept between values, so a column is written without an allocation per row.

use super::container::{Container, Words, for_each_bit, run_bounds, run_bytes};
use super::format::{ARRAY_MAX, COOKIE_NO_RUN, COOKIE_RUN, NO_OFFSET_MAX};
use super::kernels;
use super::types::{Width, too_large};
use crate::SqlError;

/// What receives the containers of a result: a writer, a counter or a test.
pub trait Sink {
    /// A container passed on unchanged.
    fn borrowed(&mut self, key: u64, container: Container<'_>, cardinality: u32) -> Result<(), SqlError>;
    /// Ascending values; may be empty.
    fn array(&mut self, key: u64, values: &[u16]) -> Result<(), SqlError>;
    /// Decoded bits; may be empty.
    fn words(&mut self, key: u64, words: &Words) -> Result<(), SqlError>;
}

/// Collects containers into canonical bytes.
#[derive(Debug)]
pub struct Writer {
    width: Width,
    bytes_max: usize,
    written: Vec<Written>,
    bodies: Vec<u8>,
}

#[derive(Debug, Clone, Copy)]
struct Written {
    key: u64,
    cardinality: u32,
    run: bool,
    body_bytes: u32,
}

impl Writer {
    /// A writer of values of this width; a longer value than `bytes_max` is 54000.
    pub fn new(width: Width, bytes_max: usize) -> Self {
        Self { width, bytes_max, written: Vec::new(), bodies: Vec::new() }
    }

    /// The width being written.
    pub fn width(&self) -> Width {
        self.width
    }

    /// Bytes of the buffers.
    pub fn size(&self) -> usize {
        self.bodies.capacity() + self.written.capacity() * size_of::<Written>()
    }

    fn put(&mut self, key: u64, cardinality: u32, run: bool, from: usize) -> Result<(), SqlError> {
        let body_bytes = (self.bodies.len() - from) as u32;
        self.written.push(Written { key, cardinality, run, body_bytes });
        // Descriptor and offset of each container come on top.
        if self.bodies.len() + 8 * self.written.len() > self.bytes_max {
            self.written.clear();
            self.bodies.clear();
            return Err(too_large());
        }
        Ok(())
    }

    /// Maximal ascending runs.
    fn runs(
        &mut self,
        key: u64,
        cardinality: u32,
        runs: impl ExactSizeIterator<Item = (u16, u16)>,
    ) -> Result<(), SqlError> {
        let from = self.bodies.len();
        self.bodies.extend_from_slice(&(runs.len() as u16).to_le_bytes());
        for (first, last) in runs {
            self.bodies.extend_from_slice(&run_bytes(first, last));
        }
        self.put(key, cardinality, true, from)
    }

    /// A container of trusted bytes that may not be canonical.
    pub fn canonicalise(&mut self, key: u64, container: Container<'_>, cardinality: u32) -> Result<(), SqlError> {
        match container {
            Container::Array(values) => {
                let values: Vec<u16> = values.iter().map(|v| u16::from_le_bytes(*v)).collect();
                self.array(key, &values)
            }
            Container::Run(runs) if run_is_shorter(cardinality, runs.len() as u32) => {
                self.borrowed(key, container, cardinality)
            }
            _ => {
                let mut words = [0; 1024];
                container.or_into(&mut words);
                self.words(key, &words)
            }
        }
    }

    /// Appends the bitmap to `out` and starts the next one.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        let mut bodies = self.bodies.as_slice();
        match self.width {
            Width::W32 => write_bucket(&self.written, &mut bodies, out),
            Width::W64 => {
                let buckets = self.written.chunk_by(|a, b| a.key >> 16 == b.key >> 16);
                out.extend_from_slice(&(buckets.clone().count() as u64).to_le_bytes());
                for bucket in buckets {
                    out.extend_from_slice(&((bucket[0].key >> 16) as u32).to_le_bytes());
                    write_bucket(bucket, &mut bodies, out);
                }
            }
        }
        self.written.clear();
        self.bodies.clear();
    }
}

impl Sink for Writer {
    fn borrowed(&mut self, key: u64, container: Container<'_>, cardinality: u32) -> Result<(), SqlError> {
        let from = self.bodies.len();
        match container {
            Container::Array(values) => self.bodies.extend_from_slice(values.as_flattened()),
            Container::Bitset(words) => self.bodies.extend_from_slice(words.as_flattened()),
            Container::Run(runs) if !run_is_shorter(cardinality, runs.len() as u32) => {
                return self.runs_as_array(key, cardinality, runs);
            }
            Container::Run(runs) => {
                self.bodies.extend_from_slice(&(runs.len() as u16).to_le_bytes());
                self.bodies.extend_from_slice(runs.as_flattened());
            }
        }
        self.put(key, cardinality, matches!(container, Container::Run(_)), from)
    }

    fn array(&mut self, key: u64, values: &[u16]) -> Result<(), SqlError> {
        if values.is_empty() {
            return Ok(());
        }
        let cardinality = values.len() as u32;
        let breaks = values.windows(2).filter(|pair| pair[0] + 1 != pair[1]).count() as u32;
        if run_is_shorter(cardinality, breaks + 1) {
            let chunks = values.chunk_by(|a, b| a + 1 == *b);
            let runs: Vec<(u16, u16)> = chunks.map(|run| (run[0], run[run.len() - 1])).collect();
            return self.runs(key, cardinality, runs.into_iter());
        }
        let from = self.bodies.len();
        if cardinality > ARRAY_MAX {
            let mut words = [0u64; 1024];
            for value in values {
                words[usize::from(value / 64)] |= 1 << (value % 64);
            }
            words.iter().for_each(|word| self.bodies.extend_from_slice(&word.to_le_bytes()));
        } else {
            self.bodies.reserve(2 * values.len());
            values.iter().for_each(|value| self.bodies.extend_from_slice(&value.to_le_bytes()));
        }
        self.put(key, cardinality, false, from)
    }

    fn words(&mut self, key: u64, words: &Words) -> Result<(), SqlError> {
        let (cardinality, run_count) = kernels::count_and_runs(words);
        if cardinality == 0 {
            return Ok(());
        }
        let from = self.bodies.len();
        if run_is_shorter(cardinality, run_count) {
            self.bodies.extend_from_slice(&(run_count as u16).to_le_bytes());
            for_each_run(words, |first, last| self.bodies.extend_from_slice(&run_bytes(first, last)));
            return self.put(key, cardinality, true, from);
        }
        if cardinality > ARRAY_MAX {
            self.bodies.reserve(8192);
            words.iter().for_each(|word| self.bodies.extend_from_slice(&word.to_le_bytes()));
        } else {
            // A local buffer of fixed size: growing the vector value by value costs several times more.
            let mut values = [[0u8; 2]; ARRAY_MAX as usize];
            let mut count = 0;
            for (index, word) in words.iter().enumerate() {
                for_each_bit(*word, index, &mut |value| {
                    values[count] = value.to_le_bytes();
                    count += 1;
                });
            }
            self.bodies.extend_from_slice(values[..count].as_flattened());
        }
        self.put(key, cardinality, false, from)
    }
}

impl Writer {
    /// A short container given as runs, e.g. the edge of a range.
    fn runs_as_array(&mut self, key: u64, cardinality: u32, runs: &[[u8; 4]]) -> Result<(), SqlError> {
        if cardinality > ARRAY_MAX {
            let mut words = [0; 1024];
            Container::Run(runs).or_into(&mut words);
            return self.words(key, &words);
        }
        let from = self.bodies.len();
        for run in runs {
            let (first, last) = run_bounds(*run);
            (first..=last).for_each(|value| self.bodies.extend_from_slice(&value.to_le_bytes()));
        }
        self.put(key, cardinality, false, from)
    }
}

/// Counts the values of a result without writing it.
#[derive(Debug, Default)]
pub struct Counter {
    /// Values so far.
    pub count: u64,
}

impl Sink for Counter {
    fn borrowed(&mut self, _key: u64, _container: Container<'_>, cardinality: u32) -> Result<(), SqlError> {
        self.count += u64::from(cardinality);
        Ok(())
    }

    fn array(&mut self, _key: u64, values: &[u16]) -> Result<(), SqlError> {
        self.count += values.len() as u64;
        Ok(())
    }

    fn words(&mut self, _key: u64, words: &Words) -> Result<(), SqlError> {
        self.count += u64::from(kernels::count_and_runs(words).0);
        Ok(())
    }
}

/// The canonical rule: runs only when strictly shorter than the array or bitset they replace.
#[inline]
pub fn run_is_shorter(cardinality: u32, runs: u32) -> bool {
    2 + 4 * runs < (2 * cardinality).min(8192)
}

/// Calls `visit` with the bounds of every maximal run of set bits.
fn for_each_run(words: &Words, mut visit: impl FnMut(u16, u16)) {
    let mut position = 0u32;
    while let Some(first) = next_bit(words, position, false) {
        let last = next_bit(words, first, true).map_or(65_535, |clear| clear - 1);
        visit(first as u16, last as u16);
        position = last + 1;
    }
}

/// The first position from `from` whose bit is set (or clear, if `inverted`).
fn next_bit(words: &Words, from: u32, inverted: bool) -> Option<u32> {
    let flip = if inverted { u64::MAX } else { 0 };
    let mut index = (from / 64) as usize;
    let mut bits = (words.get(index)? ^ flip) & (u64::MAX << (from % 64));
    while bits == 0 {
        index += 1;
        bits = words.get(index)? ^ flip;
    }
    Some(index as u32 * 64 + bits.trailing_zeros())
}

fn write_bucket(written: &[Written], bodies: &mut &[u8], out: &mut Vec<u8>) {
    let count = written.len();
    let has_runs = written.iter().any(|w| w.run);
    let start = out.len();
    if has_runs {
        out.extend_from_slice(&(COOKIE_RUN | (count as u32 - 1) << 16).to_le_bytes());
        let flags_at = out.len();
        out.resize(flags_at + count.div_ceil(8), 0);
        for (index, container) in written.iter().enumerate() {
            out[flags_at + index / 8] |= u8::from(container.run) << (index % 8);
        }
    } else {
        out.extend_from_slice(&COOKIE_NO_RUN.to_le_bytes());
        out.extend_from_slice(&(count as u32).to_le_bytes());
    }
    for container in written {
        out.extend_from_slice(&(container.key as u16).to_le_bytes());
        out.extend_from_slice(&((container.cardinality - 1) as u16).to_le_bytes());
    }
    if !has_runs || count >= NO_OFFSET_MAX {
        let mut offset = (out.len() - start + 4 * count) as u32;
        for container in written {
            out.extend_from_slice(&offset.to_le_bytes());
            offset += container.body_bytes;
        }
    }
    let body_bytes: usize = written.iter().map(|w| w.body_bytes as usize).sum();
    let (here, rest) = bodies.split_at(body_bytes);
    out.extend_from_slice(here);
    *bodies = rest;
}
