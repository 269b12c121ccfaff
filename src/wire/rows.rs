//! Batches to DataRow messages, under back-pressure and a row limit.
//!
//! A batch is encoded in slices, so that chunks stay near their size however wide the rows are, and nothing beyond the
//! batch in hand is held. What is gathered is sent whenever the query makes us wait: the first row leaves when it is
//! there, and a fast query fills whole chunks.

use std::pin::pin;

use arrow::array::RecordBatch;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use bytes::{BufMut, BytesMut};
use futures::poll;
use tributary_pg::error::{PgError, PgResult};
use tributary_pg::sqlstate;

use super::conversation::{Conversation, Step, Stop};
use super::outbox::CHUNK_BYTES;
use crate::engine::Portal;

/// Rows of the first slice; later ones follow the width of the rows seen.
const FIRST_SLICE_ROWS: usize = 64;

/// Result format codes as Bind gave them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Formats(Vec<i16>);

impl Formats {
    /// Text for every column.
    pub fn text() -> Self {
        Self::default()
    }

    /// As the portal was bound.
    pub fn of_portal(portal: &Portal) -> Self {
        Self(portal.result_formats.clone())
    }

    /// The code of a column.
    pub fn code(&self, index: usize) -> i16 {
        self.0.get(index).or(self.0.first()).copied().unwrap_or(0)
    }

    /// 22023 for a code that is neither text nor binary.
    pub fn check(&self) -> PgResult<()> {
        match self.0.iter().find(|code| !matches!(code, 0 | 1)) {
            Some(code) => Err(unsupported_format(*code)),
            None => Ok(()),
        }
    }
}

/// 22023.
pub fn unsupported_format(code: i16) -> PgError {
    PgError::new(sqlstate::INVALID_PARAMETER_VALUE, format!("unsupported format code: {code}"))
}

/// What was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// Rows of this call.
    pub row_count: u64,
    /// The row limit stopped it: more rows may follow.
    pub more: bool,
}

impl Conversation {
    /// Sends rows of a running portal up to a limit.
    pub(super) async fn stream_rows(
        &mut self,
        portal: &mut Portal,
        formats: &Formats,
        row_limit: Option<u64>,
    ) -> Step<Sent> {
        let mut row_count = 0;
        loop {
            let wanted = row_limit.map_or(u64::MAX, |limit| limit - row_count);
            if wanted == 0 {
                return Ok(Sent { row_count, more: true });
            }
            let Some(batch) = self.fetch(portal, usize::try_from(wanted).unwrap_or(usize::MAX)).await? else {
                return Ok(Sent { row_count, more: false });
            };
            row_count += batch.num_rows() as u64;
            self.send_batch(&batch, formats).await?;
        }
    }

    /// The next batch. If it is not there yet, what is gathered leaves first.
    async fn fetch(&mut self, portal: &mut Portal, rows_max: usize) -> Step<Option<RecordBatch>> {
        let token = self.session.token().clone();
        let mut fetching = pin!(self.session.fetch(portal, rows_max));
        if let std::task::Poll::Ready(batch) = poll!(fetching.as_mut()) {
            return Ok(batch?);
        }
        tokio::select! {
            biased;
            sent = self.out.send() => sent?,
            error = token.fired() => return Err(Stop::Error(error)),
        }
        Ok(fetching.await?)
    }

    async fn send_batch(&mut self, batch: &RecordBatch, formats: &Formats) -> Step {
        let mut start = 0;
        let mut slice_rows = FIRST_SLICE_ROWS;
        while start < batch.num_rows() {
            let count = slice_rows.min(batch.num_rows() - start);
            let before = self.out.buffer().len();
            encode(&batch.slice(start, count), formats, self.out.buffer())?;
            let row_bytes = (self.out.buffer().len() - before) / count;
            slice_rows = (CHUNK_BYTES / 2 / row_bytes.max(1)).clamp(1, 8_192);
            start += count;
            if self.out.full() {
                self.send_chunk().await?;
            }
        }
        Ok(())
    }
}

fn encode(batch: &RecordBatch, formats: &Formats, out: &mut BytesMut) -> PgResult<()> {
    let options = FormatOptions::default();
    let formatters: Vec<ArrayFormatter<'_>> = batch
        .columns()
        .iter()
        .map(|column| ArrayFormatter::try_new(column, &options))
        .collect::<Result<_, _>>()
        .map_err(|error| PgError::internal(error.to_string()))?;
    if (0..batch.num_columns()).any(|index| formats.code(index) != 0) {
        return Err(PgError::unsupported("binary results are not supported yet"));
    }
    for row in 0..batch.num_rows() {
        let start = out.len();
        out.put_u8(b'D');
        out.put_u32(0);
        out.put_u16(batch.num_columns() as u16);
        for (index, formatter) in formatters.iter().enumerate() {
            if batch.column(index).is_null(row) {
                out.put_i32(-1);
                continue;
            }
            let text = formatter.value(row).to_string();
            let text = match text.as_str() {
                "true" => "t",
                "false" => "f",
                other => other,
            };
            out.put_u32(text.len() as u32);
            out.put_slice(text.as_bytes());
        }
        let length = (out.len() - start - 1) as u32;
        out[start + 1..start + 5].copy_from_slice(&length.to_be_bytes());
    }
    Ok(())
}
