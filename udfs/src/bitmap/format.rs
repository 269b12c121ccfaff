//! The portable roaring format, read in place and checked.
//!
//! Both widths are seen as one ascending sequence of (key, container), where the key is the value without its low 16
//! bits. [`View::open`] checks the frame (cookies, counts, sizes against the length), which is all that memory safety needs
//! and costs O(containers); [`validate`] also checks every value and is for bytes from outside. Bytes that were validated
//! once, canonicalised and stored are opened only.
//! Reference: <https://github.com/RoaringBitmap/RoaringFormatSpec>.

use super::container::{Container, run_bounds};
use super::types::Width;
use crate::SqlError;
use crate::error::INVALID_BINARY_REPRESENTATION;

/// Cookie of a 32-bit bitmap without run containers.
pub const COOKIE_NO_RUN: u32 = 12346;
/// Low half of the cookie of one with run containers.
pub const COOKIE_RUN: u32 = 12347;
/// Values an array container holds at most.
pub const ARRAY_MAX: u32 = 4096;
/// With run containers, fewer containers than this have no offset table.
pub const NO_OFFSET_MAX: usize = 4;

/// What is wrong with the bytes and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormatError {
    /// What is wrong.
    pub what: &'static str,
    /// Offset of the byte.
    pub at: usize,
}

impl From<FormatError> for SqlError {
    fn from(error: FormatError) -> Self {
        let detail = format!("At byte {}: {}.", error.at, error.what);
        SqlError::new(INVALID_BINARY_REPRESENTATION, "invalid roaring bitmap").with_detail(detail)
    }
}

fn fault<T>(what: &'static str, at: usize) -> Result<T, FormatError> {
    Err(FormatError { what, at })
}

/// A 32-bit bitmap in place; a 64-bit one is a sequence of these.
#[derive(Debug, Clone, Copy)]
struct Bucket<'a> {
    /// The high word shifted to the key's place.
    base: u64,
    bytes: &'a [u8],
    run_flags: &'a [u8],
    /// (key, cardinality - 1) of each container.
    descriptors: &'a [[u8; 4]],
    offsets: &'a [[u8; 4]],
    bodies_at: usize,
    /// Length of the bitmap in `bytes`.
    end: usize,
}

/// A container with its place in the bitmap.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    /// The values' bits above the low 16.
    pub key: u64,
    /// The values' low 16 bits.
    pub container: Container<'a>,
    /// Number of values.
    pub cardinality: u32,
}

/// A bitmap of either width, read in place.
#[derive(Debug, Clone)]
pub struct View<'a> {
    buckets: Buckets<'a>,
}

/// The common cases of at most one bucket need no allocation.
#[derive(Debug, Clone)]
enum Buckets<'a> {
    None,
    One(Bucket<'a>),
    Many(Vec<Bucket<'a>>),
}

impl<'a> Bucket<'a> {
    fn open(bytes: &'a [u8], base: u64) -> Result<Self, FormatError> {
        let Some(cookie) = u32_at(bytes, 0) else { return fault("truncated header", bytes.len()) };
        let (count, flags_at) = match cookie {
            COOKIE_NO_RUN => match u32_at(bytes, 4) {
                Some(count) => (count as usize, 8),
                None => return fault("truncated header", bytes.len()),
            },
            _ if cookie & 0xffff == COOKIE_RUN => ((cookie >> 16) as usize + 1, 4),
            _ => return fault("unknown cookie", 0),
        };
        if count > 65_536 {
            return fault("more than 65536 containers", 4);
        }
        let has_runs = flags_at == 4;
        let flags_len = if has_runs { count.div_ceil(8) } else { 0 };
        let descriptors_at = flags_at + flags_len;
        let offsets_at = descriptors_at + 4 * count;
        let with_offsets = !has_runs || count >= NO_OFFSET_MAX;
        let bodies_at = offsets_at + if with_offsets { 4 * count } else { 0 };
        if bodies_at > bytes.len() {
            return fault("truncated header", bytes.len());
        }
        let mut bucket = Self {
            base,
            bytes,
            run_flags: &bytes[flags_at..descriptors_at],
            descriptors: bytes[descriptors_at..offsets_at].as_chunks().0,
            offsets: bytes[offsets_at..bodies_at].as_chunks().0,
            bodies_at,
            end: bodies_at,
        };
        for index in 0..count {
            let at = match bucket.offsets.get(index) {
                Some(offset) => u32::from_le_bytes(*offset) as usize,
                None => bucket.end,
            };
            let size = match bucket.size_at(index, at) {
                Some(size) if at >= bodies_at && at + size <= bytes.len() => size,
                _ => return fault("truncated container, or an offset points outside", at.min(bytes.len())),
            };
            bucket.end = bucket.end.max(at + size);
        }
        Ok(bucket)
    }

    fn is_run(&self, index: usize) -> bool {
        self.run_flags.get(index / 8).is_some_and(|flags| flags >> (index % 8) & 1 == 1)
    }

    fn cardinality(&self, index: usize) -> u32 {
        let [_, _, low, high] = self.descriptors[index];
        u32::from(u16::from_le_bytes([low, high])) + 1
    }

    fn low_key(&self, index: usize) -> u16 {
        let [low, high, _, _] = self.descriptors[index];
        u16::from_le_bytes([low, high])
    }

    /// Bytes of a container that lies at `at`; None if its head is outside.
    fn size_at(&self, index: usize, at: usize) -> Option<usize> {
        if self.is_run(index) {
            let head = self.bytes.get(at..at.checked_add(2)?)?;
            return Some(2 + 4 * usize::from(u16::from_le_bytes([head[0], head[1]])));
        }
        Some(match self.cardinality(index) {
            array if array <= ARRAY_MAX => 2 * array as usize,
            _ => 8192,
        })
    }

    /// Where a container lies. Without an offset table there are at most three containers to walk over.
    fn position(&self, index: usize) -> usize {
        if let Some(offset) = self.offsets.get(index) {
            return u32::from_le_bytes(*offset) as usize;
        }
        let mut at = self.bodies_at;
        for before in 0..index {
            at += self.size_at(before, at).unwrap_or(0);
        }
        at
    }

    fn entry(&self, index: usize) -> Entry<'a> {
        let at = self.position(index);
        let size = self.size_at(index, at).unwrap_or(0);
        let body = self.bytes.get(at..at + size).unwrap_or(&[]);
        let container = if self.is_run(index) {
            Container::Run(body.get(2..).unwrap_or(&[]).as_chunks().0)
        } else {
            match <&[[u8; 8]; 1024]>::try_from(body.as_chunks().0) {
                Ok(words) if self.cardinality(index) > ARRAY_MAX => Container::Bitset(words),
                _ => Container::Array(body.as_chunks().0),
            }
        };
        let key = self.base | u64::from(self.low_key(index));
        Entry { key, container, cardinality: self.cardinality(index) }
    }
}

impl<'a> View<'a> {
    /// Opens bytes whose content is trusted, checking the frame only.
    pub fn open(bytes: &'a [u8], width: Width) -> Result<Self, FormatError> {
        match width {
            Width::W32 => Ok(Self { buckets: Buckets::One(Bucket::open(bytes, 0)?) }),
            Width::W64 => Self::open_buckets(bytes).map(|(view, _)| view),
        }
    }

    fn open_buckets(bytes: &'a [u8]) -> Result<(Self, usize), FormatError> {
        // High word and the shortest bucket: 4 + 8 bytes.
        const BUCKET_BYTES_MIN: u64 = 12;
        let Some(head) = bytes.first_chunk::<8>() else { return fault("truncated header", bytes.len()) };
        let count = u64::from_le_bytes(*head);
        if count > (bytes.len() as u64 - 8) / BUCKET_BYTES_MIN {
            return fault("more buckets than the bytes can hold", 0);
        }
        let mut buckets = Vec::with_capacity(if count > 1 { count as usize } else { 0 });
        let mut at = 8;
        for index in 0..count {
            let Some(high) = u32_at(bytes, at) else { return fault("truncated bucket", bytes.len()) };
            let bucket = Bucket::open(&bytes[at + 4..], u64::from(high) << 16)
                .map_err(|e| FormatError { what: e.what, at: e.at + at + 4 })?;
            at += 4 + bucket.end;
            if count == 1 {
                return Ok((Self { buckets: Buckets::One(bucket) }, at));
            }
            if index > 0 && buckets.last().is_some_and(|last: &Bucket| last.base >= bucket.base) {
                return fault("high words are not ascending", at);
            }
            buckets.push(bucket);
        }
        let buckets = if count == 0 { Buckets::None } else { Buckets::Many(buckets) };
        Ok((Self { buckets }, at))
    }

    fn buckets(&self) -> &[Bucket<'a>] {
        match &self.buckets {
            Buckets::None => &[],
            Buckets::One(bucket) => std::slice::from_ref(bucket),
            Buckets::Many(buckets) => buckets,
        }
    }

    /// Number of values.
    pub fn cardinality(&self) -> u64 {
        let buckets = self.buckets().iter();
        buckets.map(|b| (0..b.descriptors.len()).map(|i| u64::from(b.cardinality(i))).sum::<u64>()).sum()
    }

    /// No values?
    pub fn is_empty(&self) -> bool {
        self.buckets().iter().all(|bucket| bucket.descriptors.is_empty())
    }

    /// The containers by ascending key, starting at the first whose key is not below `key`.
    pub fn entries_from(&self, key: u64) -> Entries<'_, 'a> {
        let mut entries = Entries { buckets: self.buckets(), bucket: 0, index: 0 };
        entries.seek(key);
        entries
    }

    /// All containers by ascending key.
    pub fn entries(&self) -> Entries<'_, 'a> {
        Entries { buckets: self.buckets(), bucket: 0, index: 0 }
    }

    /// The container of a key.
    pub fn find(&self, key: u64) -> Option<Entry<'a>> {
        let buckets = self.buckets();
        let base = key & !0xffff;
        let bucket = match buckets {
            [one] => Some(one).filter(|b| b.base == base)?,
            many => &many[many.binary_search_by_key(&base, |b| b.base).ok()?],
        };
        let low = (key & 0xffff) as u16;
        let found = bucket.descriptors.binary_search_by_key(&low, |d| u16::from_le_bytes([d[0], d[1]]));
        found.ok().map(|index| bucket.entry(index))
    }

    /// Is the value in?
    pub fn contains(&self, value: u64) -> bool {
        self.find(value >> 16).is_some_and(|entry| entry.container.contains(value as u16))
    }

    /// Number of values not above `value`.
    pub fn rank(&self, value: u64) -> u64 {
        let key = value >> 16;
        let mut rank = 0;
        for bucket in self.buckets() {
            for index in 0..bucket.descriptors.len() {
                let here = bucket.base | u64::from(bucket.low_key(index));
                if here > key {
                    return rank;
                }
                rank += match here == key {
                    true => u64::from(bucket.entry(index).container.rank(value as u16)),
                    false => u64::from(bucket.cardinality(index)),
                };
            }
        }
        rank
    }

    /// The value at a 0-based position, None behind the end.
    pub fn select(&self, position: u64) -> Option<u64> {
        let mut left = position;
        for bucket in self.buckets() {
            for index in 0..bucket.descriptors.len() {
                let cardinality = u64::from(bucket.cardinality(index));
                if left < cardinality {
                    let entry = bucket.entry(index);
                    return entry.container.select(left as u32).map(|low| entry.key << 16 | u64::from(low));
                }
                left -= cardinality;
            }
        }
        None
    }

    /// The smallest value.
    pub fn min(&self) -> Option<u64> {
        let entry = self.entries().next()?;
        entry.container.min().map(|low| entry.key << 16 | u64::from(low))
    }

    /// The largest value.
    pub fn max(&self) -> Option<u64> {
        let bucket = self.buckets().iter().rev().find(|bucket| !bucket.descriptors.is_empty())?;
        let entry = bucket.entry(bucket.descriptors.len() - 1);
        entry.container.max().map(|low| entry.key << 16 | u64::from(low))
    }

    /// Calls `visit` with every value, ascending.
    pub fn for_each(&self, mut visit: impl FnMut(u64)) {
        for entry in self.entries() {
            entry.container.for_each(|low| visit(entry.key << 16 | u64::from(low)));
        }
    }
}

/// Walks over the containers of a view.
#[derive(Debug, Clone)]
pub struct Entries<'v, 'a> {
    buckets: &'v [Bucket<'a>],
    bucket: usize,
    index: usize,
}

impl<'a> Entries<'_, 'a> {
    /// The next key, without moving.
    pub fn peek(&mut self) -> Option<u64> {
        while let Some(bucket) = self.buckets.get(self.bucket) {
            if self.index < bucket.descriptors.len() {
                return Some(bucket.base | u64::from(bucket.low_key(self.index)));
            }
            self.bucket += 1;
            self.index = 0;
        }
        None
    }

    /// Moves forward to the first container whose key is not below `key`.
    pub fn seek(&mut self, key: u64) {
        let base = key & !0xffff;
        while let Some(bucket) = self.buckets.get(self.bucket) {
            if bucket.base >= base {
                if bucket.base == base {
                    let rest = &bucket.descriptors[self.index..];
                    let low = (key & 0xffff) as u16;
                    self.index += rest.partition_point(|d| u16::from_le_bytes([d[0], d[1]]) < low);
                }
                return;
            }
            self.bucket += 1;
            self.index = 0;
        }
    }
}

impl<'a> Iterator for Entries<'_, 'a> {
    type Item = Entry<'a>;

    fn next(&mut self) -> Option<Entry<'a>> {
        self.peek()?;
        let entry = self.buckets[self.bucket].entry(self.index);
        self.index += 1;
        Some(entry)
    }
}

/// Checks bytes from outside completely, in O(bytes): nothing is believed, nothing may follow the bitmap.
pub fn validate(bytes: &[u8], width: Width) -> Result<View<'_>, FormatError> {
    let (view, end) = match width {
        Width::W32 => {
            let bucket = Bucket::open(bytes, 0)?;
            (View { buckets: Buckets::One(bucket) }, bucket.end)
        }
        Width::W64 => View::open_buckets(bytes)?,
    };
    for bucket in view.buckets() {
        let start = bucket.bytes.as_ptr() as usize - bytes.as_ptr() as usize;
        validate_bucket(bucket).map_err(|e| FormatError { what: e.what, at: e.at + start })?;
    }
    if end != bytes.len() {
        return fault("trailing bytes", end);
    }
    Ok(view)
}

fn validate_bucket(bucket: &Bucket<'_>) -> Result<(), FormatError> {
    let mut at = bucket.bodies_at;
    let mut last_key = None;
    for index in 0..bucket.descriptors.len() {
        let key = bucket.low_key(index);
        if last_key.is_some_and(|last| last >= key) {
            return fault("keys are not ascending", at);
        }
        last_key = Some(key);
        if bucket.position(index) != at {
            return fault("an offset does not point at its container", at);
        }
        let entry = bucket.entry(index);
        validate_container(&entry, at)?;
        at += bucket.size_at(index, at).unwrap_or(0);
    }
    Ok(())
}

fn validate_container(entry: &Entry<'_>, at: usize) -> Result<(), FormatError> {
    match entry.container {
        Container::Array(values) => {
            let disorder = values.windows(2).position(|p| u16::from_le_bytes(p[0]) >= u16::from_le_bytes(p[1]));
            if let Some(index) = disorder {
                return fault("array values are not ascending", at + 2 * (index + 1));
            }
        }
        Container::Bitset(_) => {}
        Container::Run(runs) => {
            let mut end: Option<u32> = None;
            for (index, run) in runs.iter().enumerate() {
                let (first, length) = (u32::from(run_bounds(*run).0), u32::from(u16::from_le_bytes([run[2], run[3]])));
                if end.is_some_and(|end| first <= end + 1) || first + length > 65_535 {
                    return fault("runs overlap, touch or pass the end", at + 2 + 4 * index);
                }
                end = Some(first + length);
            }
        }
    }
    if entry.container.cardinality() != entry.cardinality {
        return fault("the cardinality does not match", at);
    }
    Ok(())
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.first_chunk().map(|chunk| u32::from_le_bytes(*chunk))
}
