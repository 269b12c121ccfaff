//! Operations: what a transaction's frame is made of.
//!
//! For: one encoding shared by the commit thread (writes), recovery (reads) and `State::apply`. Promises: every
//! operation is an absolute put or delete, so replaying one twice is harmless; decoding checks every length; an
//! unknown kind is refused as a newer format. Does not: validate against the state; the commit thread did.

use std::sync::Arc;

use arrow::array::ArrayRef;
use roaring::RoaringBitmap;

use crate::blob::{Blob, BlobRef};
use crate::codec::{Put, Reader};
use crate::error::{Result, StoreError};
use crate::manifest::ManifestEntry;
use crate::object::Object;
use crate::part::{Part, PartPlace};
use crate::snapshot::{Space, Value};
use crate::{ColumnId, Oid, Seq, ipc};

const APPEND: u8 = 1;
const DELETE: u8 = 2;
const REPLACE: u8 = 3;
const CARRY: u8 = 4;
const DDL: u8 = 5;
const PUT: u8 = 6;
const REMOVE: u8 = 7;

/// Rows of one shape.
#[derive(Debug, Clone)]
pub(crate) struct Rows {
    pub(crate) ids: Arc<[ColumnId]>,
    pub(crate) columns: Vec<ArrayRef>,
    pub(crate) rows: usize,
}

/// Rows deleted from one source.
#[derive(Debug, Clone)]
pub(crate) struct DeleteSet {
    pub(crate) source: u32,
    pub(crate) rows: Arc<RoaringBitmap>,
    pub(crate) blob: Option<Arc<Blob>>,
}

/// A part entering the manifest.
#[derive(Debug, Clone)]
pub(crate) struct AddedPart {
    pub(crate) part: Arc<Part>,
    pub(crate) deletes: Option<Arc<RoaringBitmap>>,
}

#[derive(Debug, Clone)]
pub(crate) enum Op {
    /// `ipc` is the encoding of `rows`, made outside the commit thread; empty after decoding.
    Append {
        table: Oid,
        generation: u32,
        schema_version: u32,
        rows: Rows,
        ipc: Arc<Vec<u8>>,
    },
    Delete {
        table: Oid,
        sets: Vec<DeleteSet>,
    },
    Replace {
        table: Oid,
        removed: Vec<u32>,
        added: Vec<AddedPart>,
    },
    /// The whole content of a generation: what earlier frames said of it is void.
    Carry {
        table: Oid,
        generation: u32,
        pieces: Vec<Rows>,
        deletes: Option<Arc<RoaringBitmap>>,
    },
    Ddl {
        oid: Oid,
        object: Option<Arc<Object>>,
    },
    Put {
        space: Space,
        key: Arc<[u8]>,
        value: Value,
    },
    Remove {
        space: Space,
        key: Arc<[u8]>,
    },
}

pub(crate) fn encode_rows(rows: &Rows) -> Result<Vec<u8>> {
    let batch = ipc::stripped(&rows.columns, rows.rows)?;
    let mut out = Vec::new();
    out.put_u32(u32::try_from(rows.ids.len()).expect("bounded by COLUMNS_MAX"));
    rows.ids.iter().for_each(|id| out.put_u32(*id));
    out.put_bytes(&ipc::encode(&batch.schema(), &[batch])?);
    Ok(out)
}

fn decode_rows(reader: &mut Reader<'_>) -> Result<Vec<Rows>> {
    let count = reader.count(4)?;
    let ids: Arc<[ColumnId]> = (0..count).map(|_| reader.u32()).collect::<Result<Vec<_>>>()?.into();
    let (_, batches) = ipc::decode(reader.bytes()?)?;
    batches
        .into_iter()
        .map(|batch| {
            if batch.num_columns() != ids.len() {
                return Err(StoreError::damaged("appended rows do not have the columns they name"));
            }
            Ok(Rows { ids: Arc::clone(&ids), columns: batch.columns().to_vec(), rows: batch.num_rows() })
        })
        .collect()
}

/// Serializes a bitmap in roaring's portable format.
pub(crate) fn bitmap_bytes(rows: &RoaringBitmap) -> Vec<u8> {
    let mut out = Vec::with_capacity(rows.serialized_size());
    rows.serialize_into(&mut out).expect("writing to memory cannot fail");
    out
}

/// Reads a bitmap, checking it.
pub(crate) fn bitmap_from(bytes: &[u8]) -> Result<RoaringBitmap> {
    RoaringBitmap::deserialize_from(bytes)
        .map_err(|error| StoreError::damaged(format!("delete vector does not decode: {error}")))
}

fn put_deletes(out: &mut Vec<u8>, deletes: Option<&Arc<RoaringBitmap>>) {
    match deletes {
        None => out.put_u8(0),
        Some(rows) => {
            out.put_u8(1);
            out.put_bytes(&bitmap_bytes(rows));
        }
    }
}

fn get_deletes(reader: &mut Reader<'_>) -> Result<Option<Arc<RoaringBitmap>>> {
    Ok(match reader.u8()? {
        0 => None,
        _ => Some(Arc::new(bitmap_from(reader.bytes()?)?)),
    })
}

/// The value as the log and the meta store hold it: 0 and the bytes, or 1 and a blob reference.
pub(crate) fn put_value(out: &mut Vec<u8>, value: &Value) {
    out.put_u64(value.version);
    match &value.body {
        crate::snapshot::ValueBody::Inline(bytes) => {
            out.put_u8(0);
            out.put_bytes(bytes);
        }
        crate::snapshot::ValueBody::Blob(blob) => {
            out.put_u8(1);
            blob.reference.encode(out);
        }
    }
}

pub(crate) fn get_value(reader: &mut Reader<'_>, place: &Arc<PartPlace>) -> Result<Value> {
    let version = reader.u64()?;
    Ok(match reader.u8()? {
        0 => Value::inline(version, reader.bytes()?),
        _ => Value::blob(version, Arc::new(Blob::kept(place, BlobRef::decode(reader)?))),
    })
}

fn count(items: usize) -> u32 {
    u32::try_from(items).expect("a frame of at most 32 MiB holds fewer items")
}

impl Op {
    fn kind(&self) -> u8 {
        match self {
            Self::Append { .. } => APPEND,
            Self::Delete { .. } => DELETE,
            Self::Replace { .. } => REPLACE,
            Self::Carry { .. } => CARRY,
            Self::Ddl { .. } => DDL,
            Self::Put { .. } => PUT,
            Self::Remove { .. } => REMOVE,
        }
    }

    /// Appends the operation to a payload.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) -> Result<()> {
        out.put_u8(self.kind());
        let len_at = out.len();
        out.put_u32(0);
        self.encode_body(out)?;
        let len = count(out.len() - len_at - 4);
        out[len_at..len_at + 4].copy_from_slice(&len.to_le_bytes());
        Ok(())
    }

    fn encode_body(&self, out: &mut Vec<u8>) -> Result<()> {
        match self {
            Self::Append { table, generation, schema_version, rows, ipc } => {
                out.put_u32(*table);
                out.put_u32(*generation);
                out.put_u32(*schema_version);
                if ipc.is_empty() {
                    out.extend_from_slice(&encode_rows(rows)?);
                } else {
                    out.extend_from_slice(ipc);
                }
            }
            Self::Delete { table, sets } => {
                out.put_u32(*table);
                out.put_u32(count(sets.len()));
                for set in sets {
                    out.put_u32(set.source);
                    match &set.blob {
                        None => {
                            out.put_u8(0);
                            out.put_bytes(&bitmap_bytes(&set.rows));
                        }
                        Some(blob) => {
                            out.put_u8(1);
                            blob.reference.encode(out);
                        }
                    }
                }
            }
            Self::Replace { table, removed, added } => {
                out.put_u32(*table);
                out.put_u32(count(removed.len()));
                removed.iter().for_each(|source| out.put_u32(*source));
                out.put_u32(count(added.len()));
                for part in added {
                    part.part.entry.encode(out);
                    put_deletes(out, part.deletes.as_ref());
                }
            }
            Self::Carry { table, generation, pieces, deletes } => {
                out.put_u32(*table);
                out.put_u32(*generation);
                put_deletes(out, deletes.as_ref());
                out.put_u32(count(pieces.len()));
                for rows in pieces {
                    out.extend_from_slice(&encode_rows(rows)?);
                }
            }
            Self::Ddl { oid, object } => {
                out.put_u32(*oid);
                match object {
                    None => out.put_u8(0),
                    Some(object) => {
                        out.put_u8(1);
                        out.put_bytes(&object.encode()?);
                    }
                }
            }
            Self::Put { space, key, value } => {
                out.put_u8(*space as u8);
                out.put_bytes(key);
                put_value(out, value);
            }
            Self::Remove { space, key } => {
                out.put_u8(*space as u8);
                out.put_bytes(key);
            }
        }
        Ok(())
    }

    fn decode_body(kind: u8, body: &[u8], place: &Arc<PartPlace>) -> Result<Self> {
        let mut reader = Reader::new(body);
        let r = &mut reader;
        let op = match kind {
            APPEND => {
                let (table, generation, schema_version) = (r.u32()?, r.u32()?, r.u32()?);
                let mut pieces = decode_rows(r)?;
                let rows = pieces.pop().filter(|_| pieces.is_empty());
                let rows = rows.ok_or_else(|| StoreError::damaged("an append does not hold one batch"))?;
                Self::Append { table, generation, schema_version, rows, ipc: Arc::default() }
            }
            DELETE => {
                let table = r.u32()?;
                let sets = (0..r.count(5)?).map(|_| decode_set(r, place)).collect::<Result<Vec<_>>>()?;
                Self::Delete { table, sets }
            }
            REPLACE => {
                let table = r.u32()?;
                let removed = (0..r.count(4)?).map(|_| r.u32()).collect::<Result<Vec<_>>>()?;
                let added = (0..r.count(80)?)
                    .map(|_| {
                        let entry = ManifestEntry::decode(r)?;
                        let part = Arc::new(Part::kept(Arc::clone(place), table, entry));
                        Ok(AddedPart { part, deletes: get_deletes(r)? })
                    })
                    .collect::<Result<Vec<_>>>()?;
                Self::Replace { table, removed, added }
            }
            CARRY => {
                let (table, generation) = (r.u32()?, r.u32()?);
                let deletes = get_deletes(r)?;
                let mut pieces = Vec::new();
                for _ in 0..r.count(8)? {
                    pieces.extend(decode_rows(r)?);
                }
                Self::Carry { table, generation, pieces, deletes }
            }
            DDL => {
                let oid = r.u32()?;
                let object = match r.u8()? {
                    0 => None,
                    _ => Some(Arc::new(Object::decode(r.bytes()?)?)),
                };
                Self::Ddl { oid, object }
            }
            PUT => Self::Put { space: Space::from_u8(r.u8()?)?, key: r.bytes()?.into(), value: get_value(r, place)? },
            REMOVE => Self::Remove { space: Space::from_u8(r.u8()?)?, key: r.bytes()?.into() },
            other => {
                return Err(StoreError::new("XX001", format!("write-ahead log has unknown operation {other}"))
                    .with_hint("The data directory was written by a newer version."));
            }
        };
        reader.end()?;
        Ok(op)
    }
}

fn decode_set(r: &mut Reader<'_>, place: &Arc<PartPlace>) -> Result<DeleteSet> {
    let source = r.u32()?;
    if r.u8()? == 0 {
        return Ok(DeleteSet { source, rows: Arc::new(bitmap_from(r.bytes()?)?), blob: None });
    }
    let blob = Arc::new(Blob::kept(place, BlobRef::decode(r)?));
    // The blob is read when the set is applied: a set of a source that is gone by now may have lost its blob.
    Ok(DeleteSet { source, rows: Arc::default(), blob: Some(blob) })
}

/// Decodes the payload of a transaction frame.
pub(crate) fn decode_payload(payload: &[u8], place: &Arc<PartPlace>) -> Result<Vec<Op>> {
    let mut reader = Reader::new(payload);
    let mut ops = Vec::new();
    while reader.remaining() > 0 {
        let kind = reader.u8()?;
        ops.push(Op::decode_body(kind, reader.bytes()?, place)?);
    }
    Ok(ops)
}

/// One committed transaction.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) seq: Seq,
    pub(crate) ops: Vec<Op>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ScanIo;
    use crate::manifest::{FileSum, PartFormat};
    use crate::sim::SimDisk;
    use arrow::array::{Int64Array, StringViewArray};

    fn samples(place: &Arc<PartPlace>) -> Vec<Op> {
        let rows = Rows {
            ids: [1, 7].into(),
            columns: vec![
                Arc::new(Int64Array::from(vec![Some(1), None])) as ArrayRef,
                Arc::new(StringViewArray::from(vec!["short", "a text that is not inlined"])),
            ],
            rows: 2,
        };
        let bits = Arc::new(RoaringBitmap::from_iter([1, 5, 70_000]));
        let blob = Arc::new(Blob::kept(place, BlobRef { id: 3, len: 4, crc: 5 }));
        let sum = FileSum { len: 1, crc: 2 };
        let entry = ManifestEntry {
            part: 9,
            format: PartFormat::Arrow,
            idx_generation: 0,
            run: 9,
            level: 1,
            bucket: 0,
            rows: 10,
            bytes: 11,
            min_seq: 1,
            max_seq: 2,
            key_min: vec![1],
            key_max: vec![2],
            data: sum,
            idx: sum,
        };
        let part = Arc::new(Part::kept(Arc::clone(place), 5, entry));
        let object = Object { oid: 5, kind: 1, name_key: b"n"[..].into(), body: b"b"[..].into(), layout: None };
        let key: Arc<[u8]> = b"key"[..].into();
        vec![
            Op::Append { table: 5, generation: 2, schema_version: 1, rows: rows.clone(), ipc: Arc::default() },
            Op::Delete {
                table: 5,
                sets: vec![
                    DeleteSet { source: 1, rows: Arc::clone(&bits), blob: None },
                    DeleteSet { source: 2, rows: Arc::default(), blob: Some(Arc::clone(&blob)) },
                ],
            },
            Op::Replace {
                table: 5,
                removed: vec![1, 2],
                added: vec![AddedPart { part, deletes: Some(Arc::clone(&bits)) }],
            },
            Op::Carry { table: 5, generation: 2, pieces: vec![rows.clone(), rows], deletes: Some(bits) },
            Op::Ddl { oid: 5, object: Some(Arc::new(object)) },
            Op::Ddl { oid: 5, object: None },
            Op::Put { space: Space::Kv, key: Arc::clone(&key), value: Value::inline(3, b"value") },
            Op::Put { space: Space::Token, key: Arc::clone(&key), value: Value::blob(3, blob) },
            Op::Remove { space: Space::Kv, key },
        ]
    }

    #[test]
    fn every_operation_round_trips_and_no_shortened_one_decodes() {
        let disk = Arc::new(SimDisk::new());
        let place = Arc::new(PartPlace { disk, data_dir: "/sim".into(), uuid: [0; 16], scan_io: ScanIo::Mmap });
        let samples = samples(&place);
        for op in &samples {
            let mut bytes = Vec::new();
            op.encode(&mut bytes).unwrap();
            let back = decode_payload(&bytes, &place).unwrap();
            let mut again = Vec::new();
            back.iter().for_each(|op| op.encode(&mut again).unwrap());
            assert_eq!(again, bytes, "{op:?}");
            for len in 1..bytes.len() {
                assert!(decode_payload(&bytes[..len], &place).is_err(), "{op:?} cut to {len}");
            }
        }
        let kinds: std::collections::BTreeSet<u8> = samples.iter().map(Op::kind).collect();
        assert_eq!(kinds.into_iter().collect::<Vec<_>>(), [APPEND, DELETE, REPLACE, CARRY, DDL, PUT, REMOVE]);
        let unknown = decode_payload(&[8, 0, 0, 0, 0], &place).unwrap_err();
        assert_eq!(unknown.message, "write-ahead log has unknown operation 8");
    }
}
