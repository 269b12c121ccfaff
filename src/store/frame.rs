//! Bytes of the write-ahead log: segment headers and frames.
//!
//! For: `wal.rs`, which writes and scans them. Promises: a frame is accepted only where it was written, because its
//! crc covers segment number and offset beside header and payload; so what an older life of a file left behind never
//! verifies. Payloads above 4 KiB are lz4 where that saves a fifth. Does not: interpret payloads.

use std::borrow::Cow;

use crate::Seq;
use crate::error::{Result, StoreError};

pub(crate) const SEGMENT_MAGIC: &[u8; 8] = b"TRIBWAL1";
pub(crate) const SEGMENT_HEADER_BYTES: usize = 64;
pub(crate) const FRAME_HEADER_BYTES: usize = 40;
/// Limit: payload of one frame.
pub(crate) const PAYLOAD_BYTES_MAX: usize = 32 << 20;
const SEGMENT_VERSION: u32 = 1;
const FRAME_MAGIC: u32 = 0x4d52_4654; // "TFRM"
const FRAME_VERSION: u8 = 1;
/// The payload is its length before compression (u32), then one lz4 block.
const FLAG_LZ4: u16 = 1;
/// Payloads up to this are not worth compressing.
const LZ4_FROM_BYTES: usize = 4 << 10;
/// A sample tells whether the rest is worth it.
const LZ4_SAMPLE_BYTES: usize = 64 << 10;
/// The segment was another one before: what follows its last frame is left over from then.
const SEGMENT_RECYCLED: u32 = 1 << 16;

/// A place in the log: segment number in the upper, offset in the lower half.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(crate) struct Position(pub(crate) u64);

impl Position {
    pub(crate) fn new(segment: u32, offset: u32) -> Self {
        Self((u64::from(segment) << 32) | u64::from(offset))
    }
    pub(crate) fn segment(self) -> u32 {
        u32::try_from(self.0 >> 32).expect("the upper half of 64 bits")
    }
    pub(crate) fn offset(self) -> u32 {
        u32::try_from(self.0 & 0xFFFF_FFFF).expect("the lower half of 64 bits")
    }
}

impl std::fmt::Display for Position {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:016x}:{}", self.segment(), self.offset())
    }
}

/// First 64 bytes of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) size: u64,
    pub(crate) uuid: [u8; 16],
    pub(crate) number: u32,
    pub(crate) first_seq: Seq,
    /// Where valid data before this segment ends; what lies between is void even if it verifies.
    pub(crate) prev_end: Position,
    /// Its file had another number before.
    pub(crate) recycled: bool,
}

impl SegmentHeader {
    pub(crate) fn encode(&self) -> [u8; SEGMENT_HEADER_BYTES] {
        let mut out = [0; SEGMENT_HEADER_BYTES];
        out[..8].copy_from_slice(SEGMENT_MAGIC);
        let version = SEGMENT_VERSION | if self.recycled { SEGMENT_RECYCLED } else { 0 };
        out[8..12].copy_from_slice(&version.to_le_bytes());
        out[12..20].copy_from_slice(&self.size.to_le_bytes());
        out[20..36].copy_from_slice(&self.uuid);
        out[36..44].copy_from_slice(&u64::from(self.number).to_le_bytes());
        out[44..52].copy_from_slice(&self.first_seq.to_le_bytes());
        out[52..60].copy_from_slice(&self.prev_end.0.to_le_bytes());
        let crc = crc32c::crc32c(&out[..60]);
        out[60..].copy_from_slice(&crc.to_le_bytes());
        out
    }

    /// None unless the bytes are a valid header. A valid one of another database or a newer version is an error.
    pub(crate) fn decode(bytes: &[u8], uuid: &[u8; 16]) -> Result<Option<Self>> {
        let Some(bytes) = bytes.get(..SEGMENT_HEADER_BYTES) else { return Ok(None) };
        if &bytes[..8] != SEGMENT_MAGIC || word(bytes, 60) != crc32c::crc32c(&bytes[..60]) {
            return Ok(None);
        }
        let version = word(bytes, 8) & !SEGMENT_RECYCLED;
        if version != SEGMENT_VERSION {
            return Err(StoreError::damaged(format!("write-ahead log segment has version {version}"))
                .with_hint("The data directory was written by a newer version."));
        }
        if &bytes[20..36] != uuid {
            return Err(StoreError::damaged("write-ahead log segment belongs to another data directory"));
        }
        let number = u32::try_from(long(bytes, 36)).map_err(|_| StoreError::damaged("segment number is too large"))?;
        Ok(Some(Self {
            size: long(bytes, 12),
            uuid: *uuid,
            number,
            first_seq: long(bytes, 44),
            prev_end: Position(long(bytes, 52)),
            recycled: word(bytes, 8) & SEGMENT_RECYCLED != 0,
        }))
    }
}

/// Kind of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FrameKind {
    Transaction,
    /// Carries nothing; shows that everything before it was synced.
    Mark,
}

/// A frame as found in a segment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FrameView<'a> {
    pub(crate) kind: FrameKind,
    pub(crate) seq: Seq,
    pub(crate) durable: Position,
    #[cfg_attr(not(test), expect(dead_code, reason = "read by point-in-time restore, which does not exist yet"))]
    pub(crate) time_us: i64,
    pub(crate) payload: &'a [u8],
    pub(crate) compressed: bool,
}

impl FrameView<'_> {
    /// The operations. XX001 when they do not decompress, which a matching crc makes a fault of the writer.
    pub(crate) fn content(&self) -> Result<Cow<'_, [u8]>> {
        if !self.compressed {
            return Ok(Cow::Borrowed(self.payload));
        }
        let damaged = || StoreError::damaged(format!("commit {} in the write-ahead log does not decompress", self.seq));
        let (len, block) = self.payload.split_first_chunk::<4>().ok_or_else(damaged)?;
        let len = u32::from_le_bytes(*len) as usize;
        if len > PAYLOAD_BYTES_MAX {
            return Err(damaged());
        }
        let content = lz4_flex::block::decompress(block, len).map_err(|_| damaged())?;
        if content.len() == len { Ok(Cow::Owned(content)) } else { Err(damaged()) }
    }
}

/// A payload as it is stored: lz4 if that saves at least a fifth. The flag says which.
pub(crate) fn pack(payload: Vec<u8>) -> (Vec<u8>, bool) {
    let pays = |raw: usize, packed: usize| packed <= raw / 5 * 4;
    if payload.len() <= LZ4_FROM_BYTES {
        return (payload, false);
    }
    if payload.len() > 2 * LZ4_SAMPLE_BYTES {
        // From the middle: the beginning is headers, which compress whatever the data is.
        let from = payload.len() / 2 - LZ4_SAMPLE_BYTES / 2;
        let sample = &payload[from..from + LZ4_SAMPLE_BYTES];
        if !pays(sample.len(), lz4_flex::block::compress(sample).len()) {
            return (payload, false);
        }
    }
    let len = u32::try_from(payload.len()).expect("payloads are at most PAYLOAD_BYTES_MAX");
    let mut packed = vec![0; 4 + lz4_flex::block::get_maximum_output_size(payload.len())];
    packed[..4].copy_from_slice(&len.to_le_bytes());
    match lz4_flex::block::compress_into(&payload, &mut packed[4..]) {
        Ok(used) if pays(payload.len(), used + 4) => {
            packed.truncate(used + 4);
            (packed, true)
        }
        _ => (payload, false),
    }
}

/// Bytes a frame takes, its padding to 8 included.
pub(crate) fn frame_bytes(payload: usize) -> usize {
    (FRAME_HEADER_BYTES + payload).next_multiple_of(8)
}

/// Fields of a frame that is about to be written.
pub(crate) struct FrameFields {
    pub(crate) kind: FrameKind,
    pub(crate) seq: Seq,
    pub(crate) durable: Position,
    pub(crate) time_us: i64,
    /// The payload was packed by [`pack`].
    pub(crate) compressed: bool,
}

/// Appends a frame that will lie at `at`.
pub(crate) fn encode_frame(out: &mut Vec<u8>, fields: &FrameFields, payload: &[u8], at: Position) {
    let start = out.len();
    out.extend_from_slice(&FRAME_MAGIC.to_le_bytes());
    out.push(FRAME_VERSION);
    out.push(match fields.kind {
        FrameKind::Transaction => 1,
        FrameKind::Mark => 2,
    });
    let flags = if fields.compressed { FLAG_LZ4 } else { 0 };
    out.extend_from_slice(&flags.to_le_bytes());
    let len = u32::try_from(payload.len()).expect("payloads are at most PAYLOAD_BYTES_MAX");
    out.extend_from_slice(&len.to_le_bytes());
    out.extend_from_slice(&0u32.to_le_bytes());
    out.extend_from_slice(&fields.seq.to_le_bytes());
    out.extend_from_slice(&fields.durable.0.to_le_bytes());
    out.extend_from_slice(&fields.time_us.to_le_bytes());
    let crc = frame_crc(&out[start..], payload, at);
    out[start + 12..start + 16].copy_from_slice(&crc.to_le_bytes());
    out.extend_from_slice(payload);
    out.resize(start + frame_bytes(payload.len()), 0);
}

/// `header` has zeros in place of the crc.
fn frame_crc(header: &[u8], payload: &[u8], at: Position) -> u32 {
    let crc = crc32c::crc32c_append(crc32c::crc32c(header), payload);
    let crc = crc32c::crc32c_append(crc, &u64::from(at.segment()).to_le_bytes());
    crc32c::crc32c_append(crc, &u64::from(at.offset()).to_le_bytes())
}

/// The frame at `at`, whose bytes start at `bytes[0]`; None when nothing there verifies.
pub(crate) fn decode_frame(bytes: &[u8], at: Position) -> Option<FrameView<'_>> {
    let header = bytes.get(..FRAME_HEADER_BYTES)?;
    if word(header, 0) != FRAME_MAGIC || header[4] != FRAME_VERSION || word(header, 4) >> 16 > u32::from(FLAG_LZ4) {
        return None;
    }
    let kind = match header[5] {
        1 => FrameKind::Transaction,
        2 => FrameKind::Mark,
        _ => return None,
    };
    let len = word(header, 8) as usize;
    if len > PAYLOAD_BYTES_MAX {
        return None;
    }
    let payload = bytes.get(FRAME_HEADER_BYTES..FRAME_HEADER_BYTES + len)?;
    let mut cleared = [0; FRAME_HEADER_BYTES];
    cleared.copy_from_slice(header);
    cleared[12..16].fill(0);
    if frame_crc(&cleared, payload, at) != word(header, 12) {
        return None;
    }
    let time_us = i64::from_le_bytes(long(header, 32).to_le_bytes());
    let compressed = word(header, 4) >> 16 == u32::from(FLAG_LZ4);
    let durable = Position(long(header, 24));
    Some(FrameView { kind, seq: long(header, 16), durable, time_us, payload, compressed })
}

fn word(bytes: &[u8], at: usize) -> u32 {
    let mut out = [0; 4];
    out.copy_from_slice(&bytes[at..at + 4]);
    u32::from_le_bytes(out)
}

fn long(bytes: &[u8], at: usize) -> u64 {
    let mut out = [0; 8];
    out.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(at: Position) -> Vec<u8> {
        let mut out = Vec::new();
        let (kind, durable) = (FrameKind::Transaction, Position::new(1, 64));
        let fields = FrameFields { kind, seq: 7, durable, time_us: -5, compressed: false };
        encode_frame(&mut out, &fields, b"some payload bytes", at);
        out
    }

    #[test]
    fn frames_round_trip_and_every_flipped_bit_is_rejected() {
        let at = Position::new(1, 64);
        let bytes = sample(at);
        let frame = decode_frame(&bytes, at).unwrap();
        assert_eq!((frame.kind, frame.seq, frame.time_us), (FrameKind::Transaction, 7, -5));
        assert_eq!((frame.payload, frame.durable), (&b"some payload bytes"[..], at));
        let used = FRAME_HEADER_BYTES + frame.payload.len();
        for bit in 0..used * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(decode_frame(&flipped, at).is_none(), "bit {bit}");
        }
    }

    #[test]
    fn payloads_are_packed_where_it_pays_and_come_back() {
        let mut random = crate::sim::SimRandom::new(1);
        let noise: Vec<u8> = (0..300_000).map(|_| (random.bits() & 0xFF) as u8).collect();
        let text: Vec<u8> = b"channel-7,event-3,".iter().copied().cycle().take(300_000).collect();
        let mixed: Vec<u8> = [&noise[..150_000], &text[..150_000]].concat();
        let cases =
            [(&text[..4_096], false), (&text[..4_097], true), (&text, true), (&noise, false), (&noise[..5_000], false)];
        for (payload, expected) in cases.into_iter().chain([(&mixed[..], true)]) {
            let (packed, compressed) = pack(payload.to_vec());
            assert_eq!(compressed, expected, "{} bytes", payload.len());
            assert!(packed.len() <= payload.len());
            let fields = FrameFields {
                kind: FrameKind::Transaction,
                seq: 1,
                durable: Position::default(),
                time_us: 0,
                compressed,
            };
            let mut out = Vec::new();
            encode_frame(&mut out, &fields, &packed, Position::new(1, 64));
            let frame = decode_frame(&out, Position::new(1, 64)).unwrap();
            assert_eq!(&*frame.content().unwrap(), payload);
        }
    }

    #[test]
    fn a_packed_payload_that_lies_about_itself_is_refused() {
        let (packed, compressed) = pack(vec![7; 10_000]);
        assert!(compressed);
        for change in [0u32, 9_999, 10_001, u32::MAX, (PAYLOAD_BYTES_MAX + 1) as u32] {
            let mut wrong = packed.clone();
            wrong[..4].copy_from_slice(&change.to_le_bytes());
            let view = FrameView {
                kind: FrameKind::Transaction,
                seq: 3,
                durable: Position::default(),
                time_us: 0,
                payload: &wrong,
                compressed: true,
            };
            assert_eq!(view.content().unwrap_err().sqlstate, "XX001", "{change}");
        }
    }

    #[test]
    fn leftovers_of_another_segment_or_offset_do_not_verify() {
        let bytes = sample(Position::new(1, 64));
        assert!(decode_frame(&bytes, Position::new(2, 64)).is_none());
        assert!(decode_frame(&bytes, Position::new(1, 72)).is_none());
    }

    #[test]
    fn headers_round_trip_and_every_flipped_bit_is_rejected() {
        let uuid = [7; 16];
        let prev_end = Position::new(2, 4096);
        let header = SegmentHeader { size: 1 << 20, uuid, number: 3, first_seq: 9, prev_end, recycled: true };
        let fresh = SegmentHeader { recycled: false, ..header };
        assert_eq!(SegmentHeader::decode(&fresh.encode(), &uuid).unwrap(), Some(fresh));
        let bytes = header.encode();
        assert_eq!(SegmentHeader::decode(&bytes, &uuid).unwrap(), Some(header));
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(matches!(SegmentHeader::decode(&flipped, &uuid), Ok(None)), "bit {bit}");
        }
        assert_eq!(SegmentHeader::decode(&bytes, &[8; 16]).unwrap_err().sqlstate, "XX001");
    }
}
