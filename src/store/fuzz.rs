//! The store's decoders, each given arbitrary bytes.
//!
//! For: the fuzz targets in `tests/fuzz` and the test that replays their corpora. Promises: each function returns, whatever
//! it is given; a panic, an endless loop or memory out of proportion to the input is a bug. Checksums would keep nearly
//! all inputs out, so what they protect is called directly or sealed anew first. Does not: judge what is decoded.

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use crate::config::ScanIo;
use crate::disk::Disk;
use crate::error::Result;
use crate::file_bytes::FileBytes;
use crate::frame::{FrameKind, FrameView, Position, SEGMENT_HEADER_BYTES, SegmentHeader};
use crate::index_file::{self, Index};
use crate::key_section::KeySection;
use crate::op::{bitmap_from, decode_payload};
use crate::part::PartPlace;
use crate::sim::SimDisk;
use crate::sketch::Sketch;
use crate::wal::{self, ScanOptions};
use crate::zone::{ColumnSummary, Zones};
use crate::{dump, increment};

/// A decoder: its name, which is that of its corpus and of its fuzz target, and what it does.
pub type Target = (&'static str, fn(&[u8]));

/// All of them.
pub const TARGETS: [Target; 8] = [
    ("wal_segment", wal_segment),
    ("wal_payload", wal_payload),
    ("index", index),
    ("index_section", index_section),
    ("part_footer", part_footer),
    ("dump", dump),
    ("increment", increment),
    ("delete_vector", delete_vector),
];

const UUID: [u8; 16] = [7; 16];

fn place() -> Arc<PartPlace> {
    let disk: Arc<dyn Disk> = Arc::new(SimDisk::new());
    Arc::new(PartPlace { disk, data_dir: "/sim/data".into(), uuid: UUID, scan_io: ScanIo::Mmap })
}

/// An error is an answer.
fn answered<T>(outcome: Result<T>) {
    if let Err(error) = outcome {
        assert!(!error.sqlstate.is_empty());
    }
}

/// Replaces the crc32c that ends the bytes by the right one.
fn sealed(data: &[u8]) -> Vec<u8> {
    let mut out = data.to_vec();
    if let Some(end) = out.len().checked_sub(4) {
        let crc = crc32c::crc32c(&out[..end]);
        out[end..].copy_from_slice(&crc.to_le_bytes());
    }
    out
}

/// Frames as they lie behind the header of a segment, by the tail rule and without it.
pub fn wal_segment(data: &[u8]) {
    let disk = SimDisk::new();
    let dir = Path::new("/sim/data");
    let header = SegmentHeader {
        size: (SEGMENT_HEADER_BYTES + data.len()) as u64,
        uuid: UUID,
        number: 1,
        first_seq: 1,
        prev_end: Position::default(),
        recycled: false,
    };
    let path = wal::segment_path(dir, 1);
    let written = disk.create_dir(&wal::wal_dir(dir)).and_then(|()| {
        let file = disk.create(&path)?;
        file.write_at(0, &header.encode())?;
        file.write_at(SEGMENT_HEADER_BYTES as u64, data)
    });
    assert!(written.is_ok(), "a disk in memory has room");
    let place = place();
    for accept_data_loss in [false, true] {
        let options = ScanOptions { accept_data_loss, no_tail_rule: false };
        let mut visit = |frame: FrameView<'_>| -> Result<()> { decode_payload(&frame.content()?, &place).map(drop) };
        answered(wal::scan(&disk, dir, &UUID, wal::log_start(), &options, &mut visit));
    }
}

/// The payload of a frame; the first byte says whether it is compressed.
pub fn wal_payload(data: &[u8]) {
    let Some((flag, payload)) = data.split_first() else { return };
    let (kind, durable) = (FrameKind::Transaction, Position::default());
    let frame = FrameView { kind, seq: 1, durable, time_us: 0, payload, compressed: flag & 1 == 1 };
    answered(frame.content().and_then(|content| decode_payload(&content, &place()).map(drop)));
}

/// A whole `.idx` file, as it is and with its header sealed anew.
pub fn index(data: &[u8]) {
    for bytes in [data.to_vec(), index_file::resealed(data)] {
        let parsed = Index::parse(FileBytes::Whole(Bytes::from(bytes)), 16_384, 2);
        if let Ok(index) = parsed {
            answered(index.verify());
            (0..index.ids.len().min(64)).for_each(|position| drop(index.statistics(position).cloned()));
            answered(index.batches.iter().try_for_each(|batch| batch.block().map(drop)));
        }
    }
}

/// A section of an index; the first byte says of which kind.
pub fn index_section(data: &[u8]) {
    let Some((kind, body)) = data.split_first() else { return };
    match kind % 5 {
        0 => answered(Index::parse_places(body)),
        1 => answered(ColumnSummary::decode(body)),
        2 => answered(Zones::decode(body)),
        3 => answered(Sketch::default().merge_encoded(body)),
        _ => answered(KeySection::parse(Bytes::copy_from_slice(body)).map(|keys| keys.rows(7).count())),
    }
}

/// The end of an `.arrow` file. Its content is parsed only if its checksum is that of the index, so only where it lies is
/// decided here.
pub fn part_footer(data: &[u8]) {
    answered(index_file::footer_range(&Bytes::copy_from_slice(data)));
}

/// A dump, sealed.
pub fn dump(data: &[u8]) {
    answered(dump::decode(data, 3));
    answered(dump::decode(&sealed(data), 3));
}

/// An increment, sealed.
pub fn increment(data: &[u8]) {
    answered(increment::Increment::decode(data, 4));
    answered(increment::Increment::decode(&sealed(data), 4));
}

/// A delete vector.
pub fn delete_vector(data: &[u8]) {
    answered(bitmap_from(data));
}
