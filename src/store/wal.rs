//! The write-ahead log: the durability point.
//!
//! For: the commit thread (append a group, one write and one fdatasync) and recovery (scan). Promises: segments are
//! zero-filled and synced before use, so a commit never extends a file; a failed write is voided by a new segment
//! before it is answered; a failed sync is never retried; the tail rule tells a torn, unacknowledged tail from damage
//! to acknowledged data; a segment that is no longer needed becomes a later one by rename, because nothing it holds can
//! verify under another number. Does not: know what frames mean.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::Seq;
use crate::disk::{Disk, DiskFile, at};
use crate::error::{Result, StoreError};
use crate::frame::{
    FRAME_HEADER_BYTES, FrameFields, FrameKind, FrameView, Position, SEGMENT_HEADER_BYTES, SegmentHeader, decode_frame,
    encode_frame, frame_bytes,
};

/// Zeros written at once while a segment is prepared.
const FILL_BYTES: usize = 1 << 20;

pub(crate) fn wal_dir(data_dir: &Path) -> PathBuf {
    data_dir.join("wal")
}

pub(crate) fn segment_path(data_dir: &Path, number: u32) -> PathBuf {
    wal_dir(data_dir).join(format!("{number:016x}.wal"))
}

/// Segment numbers present, ascending.
pub(crate) fn segments(disk: &dyn Disk, data_dir: &Path) -> Result<Vec<u32>> {
    let dir = wal_dir(data_dir);
    let names = at("list", &dir, disk.list(&dir))?;
    let mut numbers: Vec<u32> = names
        .iter()
        .filter_map(|name| u32::try_from(u64::from_str_radix(name.strip_suffix(".wal")?, 16).ok()?).ok())
        .collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// Why a group was not written.
#[derive(Debug)]
pub(crate) enum WalFailure {
    /// Nothing of the group is or will become durable.
    Refused(StoreError),
    /// Nobody knows; the process must end.
    Unknown(StoreError),
}

/// A segment file that is filled, synced and not yet used.
pub(crate) struct Prepared {
    number: u32,
    size: u64,
    file: Arc<dyn DiskFile>,
    recycled: bool,
}

/// Makes an old segment file a new one. Its new name is durable when this returns.
pub(crate) fn recycle(disk: &dyn Disk, data_dir: &Path, old: u32, number: u32) -> Result<Prepared> {
    let (from, to) = (segment_path(data_dir, old), segment_path(data_dir, number));
    at("rename", &from, disk.rename(&from, &to))?;
    let dir = wal_dir(data_dir);
    at("sync", &dir, disk.sync_dir(&dir))?;
    let file = at("open", &to, disk.open(&to))?;
    let size = at("stat", &to, file.size())?;
    Ok(Prepared { number, size, file, recycled: true })
}

/// Bytes of a segment file.
pub(crate) fn segment_bytes(disk: &dyn Disk, data_dir: &Path, number: u32) -> Result<u64> {
    let path = segment_path(data_dir, number);
    at("stat", &path, disk.open(&path).and_then(|file| file.size()))
}

/// Fills and syncs a new segment file.
pub(crate) fn prepare(disk: &dyn Disk, data_dir: &Path, number: u32, size: u64) -> Result<Prepared> {
    let path = segment_path(data_dir, number);
    let filled = fill(disk, &path, size);
    if filled.is_err() && disk.exists(&path) {
        at("unlink", &path, disk.unlink(&path))?;
    }
    let file = filled?;
    let dir = wal_dir(data_dir);
    at("sync", &dir, disk.sync_dir(&dir))?;
    Ok(Prepared { number, size, file, recycled: false })
}

fn fill(disk: &dyn Disk, path: &Path, size: u64) -> Result<Arc<dyn DiskFile>> {
    let file = at("create", path, disk.create(path))?;
    let zeros = vec![0; FILL_BYTES.min(usize::try_from(size).unwrap_or(FILL_BYTES))];
    let mut offset = 0;
    while offset < size {
        let len = (size - offset).min(zeros.len() as u64);
        at("write", path, file.write_at(offset, &zeros[..usize::try_from(len).unwrap_or(zeros.len())]))?;
        offset += len;
    }
    at("sync", path, file.sync_all())?;
    Ok(file)
}

/// A frame waiting for its group.
pub(crate) struct PendingFrame {
    pub(crate) kind: FrameKind,
    pub(crate) seq: Seq,
    pub(crate) time_us: i64,
    pub(crate) payload: Vec<u8>,
    pub(crate) compressed: bool,
}

/// The end of the log.
pub(crate) struct WalWriter {
    disk: Arc<dyn Disk>,
    data_dir: PathBuf,
    uuid: [u8; 16],
    file: Arc<dyn DiskFile>,
    number: u32,
    size: u64,
    offset: u64,
    size_next: u64,
    size_max: u64,
    prepared: Option<Prepared>,
    /// The highest number any file has or is about to get. Numbers may be skipped: segments name their predecessor.
    number_last: u32,
    /// The number of a segment that is being prepared outside.
    reserved: Option<u32>,
    /// Bytes written since the store was opened.
    pub(crate) written: u64,
}

impl WalWriter {
    /// Opens a new segment after everything that exists. Its header is durable when this returns.
    pub(crate) fn start(
        disk: Arc<dyn Disk>,
        data_dir: &Path,
        uuid: [u8; 16],
        number: u32,
        first_seq: Seq,
        prev_end: Position,
        sizes: (u64, u64),
    ) -> Result<Self> {
        let prepared = prepare(disk.as_ref(), data_dir, number, sizes.0)?;
        let mut writer = Self {
            disk,
            data_dir: data_dir.to_path_buf(),
            uuid,
            file: Arc::clone(&prepared.file),
            number,
            size: prepared.size,
            offset: 0,
            size_next: (sizes.0 * 2).min(sizes.1),
            size_max: sizes.1,
            prepared: None,
            number_last: number,
            reserved: None,
            written: 0,
        };
        let header = writer.enter(prepared, first_seq, prev_end);
        let path = segment_path(data_dir, number);
        at("write", &path, writer.file.write_at(0, &header))?;
        at("sync", &path, writer.file.sync_data())?;
        Ok(writer)
    }

    fn enter(&mut self, prepared: Prepared, first_seq: Seq, prev_end: Position) -> [u8; SEGMENT_HEADER_BYTES] {
        self.file = prepared.file;
        self.number = prepared.number;
        self.size = prepared.size;
        self.offset = SEGMENT_HEADER_BYTES as u64;
        let header = SegmentHeader {
            size: self.size,
            uuid: self.uuid,
            number: self.number,
            first_seq,
            prev_end,
            recycled: prepared.recycled,
        };
        header.encode()
    }

    /// Where the next frame goes; everything before it is synced.
    pub(crate) fn end(&self) -> Position {
        Position::new(self.number, u32::try_from(self.offset).expect("segments are at most 2 GiB"))
    }

    /// Whether a segment should be prepared now: the current one is half full.
    pub(crate) fn wants_segment(&self) -> bool {
        self.prepared.is_none() && self.reserved.is_none() && self.offset > self.size / 2
    }

    /// Number and size of a segment to be prepared outside, if one is wanted. Nothing else gets that number, however
    /// late the segment comes; [`WalWriter::offer`] ends the reservation.
    pub(crate) fn reserve(&mut self) -> Option<(u32, u64)> {
        if !self.wants_segment() {
            return None;
        }
        self.number_last += 1;
        self.reserved = Some(self.number_last);
        Some((self.number_last, self.size_next))
    }

    /// Hands over the segment that was reserved, or None if it could not be made. One that comes after a later segment
    /// was begun is ignored: nobody wrote to it, so it can never count.
    pub(crate) fn offer(&mut self, prepared: Option<Prepared>) {
        let reserved = self.reserved.take();
        if prepared.is_none() && reserved == Some(self.number_last) {
            // What a failure left is a file without a header; the next attempt replaces it.
            self.number_last -= 1;
        }
        if let Some(prepared) = prepared.filter(|prepared| prepared.number > self.number) {
            self.size_next = (prepared.size * 2).min(self.size_max);
            self.prepared = Some(prepared);
        }
    }

    fn take_segment(&mut self, bytes: u64) -> Result<Prepared> {
        // One that is too small stays a file nobody wrote to: it has no valid header, so it can never count.
        if let Some(prepared) = self.prepared.take().filter(|prepared| prepared.size >= bytes) {
            return Ok(prepared);
        }
        let size = self.size_next.max(bytes.next_multiple_of(4_096));
        let prepared = self.prepare_here(size)?;
        self.size_next = (size * 2).min(self.size_max);
        Ok(prepared)
    }

    /// Size of the segment that a group of so many bytes would need.
    pub(crate) fn next_bytes(&self, bytes: u64) -> u64 {
        self.size_next.max(bytes)
    }

    fn prepare_here(&mut self, size: u64) -> Result<Prepared> {
        let prepared = prepare(self.disk.as_ref(), &self.data_dir, self.number_last + 1, size)?;
        self.number_last = prepared.number;
        Ok(prepared)
    }

    /// Appends a group: one write, one fdatasync. On [`WalFailure::Refused`] the log is as before.
    pub(crate) fn write_group(&mut self, frames: &[PendingFrame]) -> std::result::Result<(), WalFailure> {
        let bytes: usize = frames.iter().map(|frame| frame_bytes(frame.payload.len())).sum();
        let durable = self.end();
        let mut buffer = Vec::with_capacity(bytes + SEGMENT_HEADER_BYTES);
        let mut start = self.offset;
        if self.offset + bytes as u64 > self.size {
            let prepared = self.take_segment((bytes + SEGMENT_HEADER_BYTES) as u64).map_err(|error| {
                let why = if error.sqlstate == "53100" { "no space left on device" } else { error.message.as_str() };
                let message = format!("could not extend the write-ahead log: {why}");
                WalFailure::Refused(StoreError { message, ..error })
            })?;
            let first_seq = frames.first().map_or(0, |frame| frame.seq);
            buffer.extend_from_slice(&self.enter(prepared, first_seq, durable));
            start = 0;
        }
        for frame in frames {
            let offset = u32::try_from(start + buffer.len() as u64).expect("segments are at most 2 GiB");
            let PendingFrame { kind, seq, time_us, compressed, .. } = *frame;
            let fields = FrameFields { kind, seq, durable, time_us, compressed };
            encode_frame(&mut buffer, &fields, &frame.payload, Position::new(self.number, offset));
        }
        let path = segment_path(&self.data_dir, self.number);
        if let Err(error) = self.file.write_at(start, &buffer) {
            return Err(self.void_partial_write(durable, StoreError::io("write", &path, &error)));
        }
        if let Err(error) = self.file.sync_data() {
            return Err(WalFailure::Unknown(StoreError::io("sync", &path, &error)));
        }
        self.offset = start + buffer.len() as u64;
        self.written += buffer.len() as u64;
        Ok(())
    }

    /// Complete frames of a refused group must never come back: a new segment voids them before the group is answered.
    fn void_partial_write(&mut self, end: Position, cause: StoreError) -> WalFailure {
        let voided = (|| {
            self.prepared = None;
            let prepared = self.prepare_here(self.size_next)?;
            let header = self.enter(prepared, 0, end);
            let path = segment_path(&self.data_dir, self.number);
            at("write", &path, self.file.write_at(0, &header))?;
            at("sync", &path, self.file.sync_data())
        })();
        match voided {
            Ok(()) => WalFailure::Refused(cause),
            Err(error) => WalFailure::Unknown(error),
        }
    }
}

/// How to scan.
pub(crate) struct ScanOptions {
    /// Go on past damage to acknowledged data, dropping it.
    pub(crate) accept_data_loss: bool,
    /// Replay whatever verifies, past any hole: only to show that the tail rule matters.
    pub(crate) no_tail_rule: bool,
}

/// What a scan found.
#[derive(Debug, Default)]
pub(crate) struct ScanEnd {
    /// Where valid data ends.
    pub(crate) end: Position,
    /// The highest segment number in use by any file.
    pub(crate) segment_last: u32,
    pub(crate) seq_last: Seq,
    /// Bytes after `end` that are not zero, up to the last such byte.
    pub(crate) torn_bytes: u64,
    /// Commits dropped because of `accept_data_loss`.
    pub(crate) lost: Vec<Seq>,
}

struct Segment {
    number: u32,
    bytes: bytes::Bytes,
    header: Option<SegmentHeader>,
}

/// Reads every valid frame from `start` on, in order.
pub(crate) fn scan(
    disk: &dyn Disk,
    data_dir: &Path,
    uuid: &[u8; 16],
    start: Position,
    options: &ScanOptions,
    visit: &mut dyn FnMut(FrameView<'_>) -> Result<()>,
) -> Result<ScanEnd> {
    let mut found = Vec::new();
    for number in segments(disk, data_dir)? {
        let path = segment_path(data_dir, number);
        if number < start.segment() {
            continue;
        }
        let bytes = at("map", &path, disk.map(&path))?;
        let header = SegmentHeader::decode(&bytes, uuid)?.filter(|header| header.number == number);
        found.push(Segment { number, bytes, header });
    }
    if start == log_start() && nothing_written(&found) {
        let segment_last = found.last().map_or(0, |segment| segment.number);
        return Ok(ScanEnd { end: start, segment_last, ..ScanEnd::default() });
    }
    let chain = chain(&found, start)?;
    let mut result = ScanEnd {
        end: start,
        segment_last: found.last().map_or(start.segment(), |segment| segment.number),
        ..ScanEnd::default()
    };
    for (index, (segment, bound)) in chain.iter().enumerate() {
        let mut offset = if segment.number == start.segment() { start.offset() as usize } else { SEGMENT_HEADER_BYTES };
        loop {
            let position = Position::new(segment.number, u32::try_from(offset).unwrap_or(u32::MAX));
            result.end = position;
            if offset >= *bound {
                break;
            }
            let frame = decode_frame(&segment.bytes[offset..*bound], position)
                .filter(|frame| options.no_tail_rule || follows(frame, result.seq_last));
            if let Some(frame) = frame {
                result.seq_last = frame.seq;
                visit(frame)?;
                offset += frame_bytes(frame.payload.len());
                continue;
            }
            if options.no_tail_rule && offset + 8 < *bound {
                offset += 8;
                continue;
            }
            let last = index + 1 == chain.len();
            if options.no_tail_rule || (last && blank(&segment.bytes[offset..*bound]) && !later(&found, segment.number))
            {
                break;
            }
            return end_at_damage(&found, position, options, result);
        }
    }
    Ok(result)
}

/// Where the log of a new directory starts, and that of a backup, which has none.
pub(crate) fn log_start() -> Position {
    Position::new(1, u32::try_from(SEGMENT_HEADER_BYTES).expect("64"))
}

/// No segment was ever begun: there is none, or the very first start ended before its header was durable. A header that
/// was damaged later has frames behind it.
fn nothing_written(found: &[Segment]) -> bool {
    let frames = |segment: &Segment| {
        let at = |offset: &usize| Position::new(segment.number, u32::try_from(*offset).unwrap_or(u32::MAX));
        let mut offsets = (SEGMENT_HEADER_BYTES..segment.bytes.len()).step_by(8);
        offsets.any(|offset| decode_frame(&segment.bytes[offset..], at(&offset)).is_some())
    };
    found.iter().all(|segment| segment.header.is_none() && !frames(segment))
}

fn follows(frame: &FrameView<'_>, last: Seq) -> bool {
    last == 0
        || match frame.kind {
            FrameKind::Transaction => frame.seq == last + 1,
            FrameKind::Mark => frame.seq == last,
        }
}

fn blank(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

fn later(found: &[Segment], number: u32) -> bool {
    found.iter().any(|segment| segment.number > number && !blank(&segment.bytes))
}

/// The segments that count, with the end of each: from the newest valid header backwards along `prev_end`.
fn chain(found: &[Segment], start: Position) -> Result<Vec<(&Segment, usize)>> {
    let missing = || {
        StoreError::damaged(format!(
            "write-ahead log is damaged at {start}: segment {:016x} is missing",
            start.segment()
        ))
    };
    let mut chain = Vec::new();
    let mut bound = usize::MAX;
    let mut wanted = found.iter().rfind(|segment| segment.header.is_some());
    loop {
        let segment = wanted.ok_or_else(missing)?;
        chain.push((segment, bound.min(segment.bytes.len())));
        if segment.number == start.segment() {
            break;
        }
        let header = segment.header.ok_or_else(missing)?;
        let previous = header.prev_end;
        if previous.segment() >= segment.number || previous.segment() < start.segment() {
            return Err(missing());
        }
        bound = previous.offset() as usize;
        // The header of an older segment may be damaged; its frames still verify by themselves.
        wanted = found.iter().find(|other| other.number == previous.segment());
    }
    chain.reverse();
    Ok(chain)
}

/// The tail rule: what does not verify at `p` is a torn tail, unless some later frame was written when `p` was already
/// known to be synced.
fn end_at_damage(found: &[Segment], p: Position, options: &ScanOptions, mut result: ScanEnd) -> Result<ScanEnd> {
    let mut acknowledged = false;
    let mut lost = Vec::new();
    for segment in found.iter().filter(|segment| segment.number >= p.segment()) {
        let mut offset = if segment.number == p.segment() { p.offset() as usize } else { SEGMENT_HEADER_BYTES };
        while offset + FRAME_HEADER_BYTES <= segment.bytes.len() {
            let position = Position::new(segment.number, u32::try_from(offset).unwrap_or(u32::MAX));
            match decode_frame(&segment.bytes[offset..], position) {
                Some(frame) => {
                    acknowledged |= frame.durable > p;
                    if frame.kind == FrameKind::Transaction {
                        lost.push(frame.seq);
                    }
                    offset += frame_bytes(frame.payload.len());
                }
                None => offset += 8,
            }
        }
        // What a recycled segment holds behind its last frame is no tail of anything.
        if segment.header.is_none_or(|header| header.recycled) {
            continue;
        }
        let used = segment.bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        let from = if segment.number == p.segment() { p.offset() as usize } else { 0 };
        result.torn_bytes += used.saturating_sub(from) as u64;
    }
    if acknowledged {
        if !options.accept_data_loss {
            let message = format!("write-ahead log is damaged at {p} (commit {})", result.seq_last + 1);
            return Err(StoreError::damaged(message)
                .with_detail(format!("{} later commits are readable but cannot be applied.", lost.len()))
                .with_hint(
                    "Restore a backup, or start once with --accept-data-loss to drop everything from there on.",
                ));
        }
        result.lost = lost;
    }
    result.end = p;
    Ok(result)
}
