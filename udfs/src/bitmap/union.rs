//! The growing union behind `rb_build_agg` and `rb_or_agg`: O(1) amortised per value, no allocation per row.
//!
//! Values start in one unsorted vector that is sorted and deduplicated whenever it doubles. As soon as the values
//! cluster (at least 8 to a page of 65,536) they move into pages: an unsorted buffer of up to 4,096 low halves, then a
//! bitset of 8 KiB, where adding a value is one store. Hashed 64-bit ids never cluster and stay 8 bytes each.
//! The result does not depend on the way: emission sorts, the writer is canonical.

use hashbrown::HashMap;

use super::container::{Container, Words};
use super::format::{ARRAY_MAX, View};
use super::writer::Sink;
use crate::SqlError;

/// Values in the vector before it is looked at for the first time.
const VALUES_FIRST: usize = 64;
/// Mean values per page from which pages are smaller and faster than the vector.
const PAGE_VALUES_MIN: usize = 8;
/// Pages are indexed directly while the table has at most this many slots per page.
const DIRECT_SLOTS_PER_PAGE: u64 = 16;

/// A growing set. Changes of its heap size are booked to the `ledger` of every call.
#[derive(Debug, Default)]
pub struct Union {
    values: Vec<u64>,
    /// Length at which the vector is sorted and looked at next.
    limit: usize,
    pages: Option<Box<Pages>>,
}

#[derive(Debug, Default)]
struct Pages {
    pages: Vec<Page>,
    directory: Directory,
    /// Key and index of the page used last: equal and near ids come in a row.
    last: (u64, u32),
}

#[derive(Debug)]
struct Page {
    key: u64,
    body: Body,
}

#[derive(Debug)]
enum Body {
    Buffer(Vec<u16>),
    Bits(Box<Words>),
}

#[derive(Debug)]
enum Directory {
    /// Index of each page from key `base`; `u32::MAX` where there is none.
    Direct {
        base: u64,
        slots: Vec<u32>,
    },
    Hashed(HashMap<u64, u32>),
}

impl Default for Directory {
    fn default() -> Self {
        Self::Direct { base: 0, slots: Vec::new() }
    }
}

impl Union {
    /// Adds a value.
    #[inline]
    pub fn insert(&mut self, value: u64, ledger: &mut usize) {
        if let Some(pages) = &mut self.pages {
            pages.insert(value, ledger);
            return;
        }
        if self.values.last() == Some(&value) {
            return;
        }
        if self.values.len() >= self.limit {
            self.settle(ledger);
            if self.pages.is_some() {
                return self.insert(value, ledger);
            }
        }
        push(&mut self.values, value, ledger);
    }

    /// Adds all values of a bitmap.
    pub fn merge(&mut self, view: &View<'_>, ledger: &mut usize) {
        for entry in view.entries() {
            if self.pages.is_none() && entry.cardinality as usize <= PAGE_VALUES_MIN {
                entry.container.for_each(|low| self.insert(entry.key << 16 | u64::from(low), ledger));
            } else {
                self.paged(ledger).merge(entry.key, entry.container, entry.cardinality, ledger);
            }
        }
    }

    /// Hands all values to a sink by ascending key. The set stays usable.
    pub fn emit(&mut self, sink: &mut impl Sink) -> Result<(), SqlError> {
        let mut low = Vec::new();
        let Some(pages) = &mut self.pages else {
            self.values.sort_unstable();
            self.values.dedup();
            for chunk in self.values.chunk_by(|a, b| a >> 16 == b >> 16) {
                low.clear();
                low.extend(chunk.iter().map(|value| *value as u16));
                sink.array(chunk[0] >> 16, &low)?;
            }
            return Ok(());
        };
        let mut order: Vec<u32> = (0..pages.pages.len() as u32).collect();
        order.sort_unstable_by_key(|index| pages.pages[*index as usize].key);
        for index in order {
            let page = &mut pages.pages[index as usize];
            match &mut page.body {
                Body::Bits(words) => sink.words(page.key, words)?,
                Body::Buffer(buffer) => {
                    buffer.sort_unstable();
                    buffer.dedup();
                    sink.array(page.key, buffer)?;
                }
            }
        }
        Ok(())
    }

    /// Bytes on the heap, as they were booked.
    pub fn heap_bytes(&self) -> usize {
        let values = self.values.capacity() * size_of::<u64>();
        let Some(pages) = &self.pages else { return values };
        let bodies: usize = pages.pages.iter().map(|page| page.body.heap_bytes()).sum();
        let table = pages.pages.capacity() * size_of::<Page>() + pages.directory.heap_bytes();
        values + bodies + table + size_of::<Pages>()
    }

    /// Sorts the vector and moves it into pages if the values cluster.
    fn settle(&mut self, ledger: &mut usize) {
        self.values.sort_unstable();
        self.values.dedup();
        let keys = self.values.chunk_by(|a, b| a >> 16 == b >> 16).count();
        if !self.values.is_empty() && keys * PAGE_VALUES_MIN <= self.values.len() {
            self.paged(ledger);
        }
        self.limit = VALUES_FIRST.max(2 * self.values.len());
    }

    fn paged(&mut self, ledger: &mut usize) -> &mut Pages {
        let values = std::mem::take(&mut self.values);
        *ledger -= values.capacity() * size_of::<u64>();
        let pages = self.pages.get_or_insert_with(|| {
            *ledger += size_of::<Pages>();
            Box::default()
        });
        values.into_iter().for_each(|value| pages.insert(value, ledger));
        pages
    }
}

impl Pages {
    #[inline]
    fn insert(&mut self, value: u64, ledger: &mut usize) {
        let index = self.page(value >> 16, ledger);
        self.pages[index].body.insert(value as u16, ledger);
    }

    fn merge(&mut self, key: u64, container: Container<'_>, cardinality: u32, ledger: &mut usize) {
        let index = self.page(key, ledger);
        let body = &mut self.pages[index].body;
        match (&mut *body, container) {
            (Body::Buffer(buffer), Container::Array(values)) if buffer.len() as u32 + cardinality <= ARRAY_MAX => {
                let before = buffer.capacity();
                buffer.extend(values.iter().map(|v| u16::from_le_bytes(*v)));
                *ledger += (buffer.capacity() - before) * size_of::<u16>();
            }
            _ => container.or_into(body.bits_mut(ledger)),
        }
    }

    /// Index of the page of a key, made if there is none.
    #[inline]
    fn page(&mut self, key: u64, ledger: &mut usize) -> usize {
        if self.last.0 == key && !self.pages.is_empty() {
            return self.last.1 as usize;
        }
        let index = match self.directory.find(key) {
            Some(index) => index,
            None => self.add_page(key, ledger),
        };
        self.last = (key, index);
        index as usize
    }

    fn add_page(&mut self, key: u64, ledger: &mut usize) -> u32 {
        let index = self.pages.len() as u32;
        push(&mut self.pages, Page { key, body: Body::Buffer(Vec::new()) }, ledger);
        let before = self.directory.heap_bytes();
        self.directory.insert(key, index, &self.pages);
        *ledger = *ledger + self.directory.heap_bytes() - before;
        index
    }
}

impl Body {
    #[inline]
    fn insert(&mut self, low: u16, ledger: &mut usize) {
        match self {
            Self::Bits(words) => words[usize::from(low / 64)] |= 1 << (low % 64),
            Self::Buffer(buffer) => {
                if buffer.last() == Some(&low) {
                    return;
                }
                if buffer.len() < ARRAY_MAX as usize {
                    push(buffer, low, ledger);
                    return;
                }
                buffer.sort_unstable();
                buffer.dedup();
                // A buffer that stays more than half full would be sorted too often.
                if buffer.len() > ARRAY_MAX as usize / 2 {
                    self.bits_mut(ledger);
                }
                self.insert(low, ledger);
            }
        }
    }

    fn bits_mut(&mut self, ledger: &mut usize) -> &mut Words {
        if let Self::Buffer(buffer) = self {
            let mut words: Box<Words> = Box::new([0; 1024]);
            for low in buffer.iter() {
                words[usize::from(low / 64)] |= 1 << (low % 64);
            }
            *ledger = *ledger + size_of::<Words>() - buffer.capacity() * size_of::<u16>();
            *self = Self::Bits(words);
        }
        match self {
            Self::Bits(words) => words,
            Self::Buffer(_) => unreachable!("replaced by a bitset above"),
        }
    }

    fn heap_bytes(&self) -> usize {
        match self {
            Self::Bits(_) => size_of::<Words>(),
            Self::Buffer(buffer) => buffer.capacity() * size_of::<u16>(),
        }
    }
}

impl Directory {
    #[inline]
    fn find(&self, key: u64) -> Option<u32> {
        match self {
            Self::Direct { base, slots } => {
                slots.get(usize::try_from(key.wrapping_sub(*base)).ok()?).copied().filter(|index| *index != u32::MAX)
            }
            Self::Hashed(map) => map.get(&key).copied(),
        }
    }

    /// Adds the page that was just appended to `pages`.
    fn insert(&mut self, key: u64, index: u32, pages: &[Page]) {
        if let Self::Direct { base, slots } = self {
            let first = if slots.is_empty() { key } else { key.min(*base) };
            let end = (key + 1).max(if slots.is_empty() { 0 } else { *base + slots.len() as u64 });
            if end - first <= DIRECT_SLOTS_PER_PAGE * pages.len() as u64 {
                if first < *base || slots.is_empty() {
                    // Grown towards smaller keys by doubling, so that descending ids do not shift at every page.
                    let spare = if slots.is_empty() { 0 } else { first.min(slots.len() as u64) };
                    let front = if slots.is_empty() { 0 } else { *base - (first - spare) };
                    slots.splice(0..0, std::iter::repeat_n(u32::MAX, front as usize));
                    *base = first - spare;
                }
                let at = (key - *base) as usize;
                if at >= slots.len() {
                    slots.resize(at + 1, u32::MAX);
                }
                slots[at] = index;
                return;
            }
            *self = Self::Hashed(pages.iter().zip(0..).map(|(page, index)| (page.key, index)).collect());
            return;
        }
        if let Self::Hashed(map) = self {
            map.insert(key, index);
        }
    }

    fn heap_bytes(&self) -> usize {
        match self {
            Self::Direct { slots, .. } => slots.capacity() * size_of::<u32>(),
            Self::Hashed(map) => map.allocation_size(),
        }
    }
}

/// Pushes and books the growth.
#[inline]
fn push<T>(values: &mut Vec<T>, value: T, ledger: &mut usize) {
    let before = values.capacity();
    values.push(value);
    *ledger += (values.capacity() - before) * size_of::<T>();
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::super::tests::{bytes_of, sets};
    use super::super::types::{VALUE_BYTES_MAX, Width};
    use super::super::writer::{Counter, Writer};
    use super::*;

    fn check(union: &mut Union, ledger: usize, expected: &BTreeSet<u64>) {
        let (mut writer, mut counter, mut out) = (Writer::new(Width::W64, VALUE_BYTES_MAX), Counter::default(), vec![]);
        union.emit(&mut writer).unwrap();
        union.emit(&mut counter).unwrap();
        writer.finish(&mut out);
        assert_eq!(out, bytes_of(expected, Width::W64));
        assert_eq!(counter.count, expected.len() as u64);
        assert_eq!(ledger, union.heap_bytes(), "the ledger is the heap");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(40))]

        #[test]
        fn inserts_and_merges_agree_with_a_btree_set(
            a in sets(Width::W64),
            b in sets(Width::W64),
            scattered in prop::collection::vec(any::<u64>(), 0..300),
            seed in any::<u64>(),
        ) {
            let (mut union, mut ledger) = (Union::default(), 0);
            let mut values: Vec<u64> = a.iter().copied().chain(scattered.iter().copied()).collect();
            let count = values.len().max(1) as u64;
            (0..values.len()).for_each(|i| values.swap(i, (seed.wrapping_mul(i as u64 + 1) % count) as usize));
            for value in values.iter().chain(values.iter().take(50)) {
                union.insert(*value, &mut ledger);
            }
            let mut expected: BTreeSet<u64> = values.iter().copied().collect();
            check(&mut union, ledger, &expected);
            let bytes = bytes_of(&b, Width::W64);
            union.merge(&View::open(&bytes, Width::W64).unwrap(), &mut ledger);
            expected.extend(&b);
            check(&mut union, ledger, &expected);
            union.insert(12_345, &mut ledger);
            expected.insert(12_345);
            check(&mut union, ledger, &expected);
        }
    }

    #[test]
    fn descending_and_hashed_ids() {
        for stride in [1u64, 3_000, 70_000, 0x9e37_79b9_7f4a_7c15] {
            let (mut union, mut ledger, mut expected) = (Union::default(), 0, BTreeSet::new());
            for i in (0..20_000u64).rev() {
                union.insert(i.wrapping_mul(stride), &mut ledger);
                expected.insert(i.wrapping_mul(stride));
            }
            check(&mut union, ledger, &expected);
        }
    }
}
