//! Batches to DataRow messages, under back-pressure and a row limit.
//!
//! A batch is encoded in slices, so that chunks stay near their size however wide the rows are, and nothing beyond the
//! batch in hand is held. What is gathered is sent whenever the query makes us wait: the first row leaves when it is
//! there, and a fast query fills whole chunks.

use std::pin::pin;

use arrow::array::RecordBatch;
use arrow::datatypes::DataType;
use bytes::BytesMut;
use futures::poll;
use tributary_pg::binary::BinaryEncoder;
use tributary_pg::error::{PgError, PgResult};
use tributary_pg::rows::encode_data_rows;
use tributary_pg::{ColumnText, TextPrinter, TextStyle, sqlstate};

use super::conversation::{Conversation, Step, Stop};
use super::outbox::CHUNK_BYTES;
use crate::engine::{OutputColumn, Portal};

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
        let style = self.session.text_style();
        let columns = portal.prepared.columns.as_deref().unwrap_or_default();
        let mut encoder = RowEncoder::new(columns, formats, &style)?;
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
            self.send_batch(&batch, &mut encoder).await?;
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

    async fn send_batch(&mut self, batch: &RecordBatch, encoder: &mut RowEncoder) -> Step {
        encoder.check(batch)?;
        let mut start = 0;
        let mut slice_rows = FIRST_SLICE_ROWS;
        while start < batch.num_rows() {
            let count = slice_rows.min(batch.num_rows() - start);
            let before = self.out.buffer().len();
            encoder.encode(&batch.slice(start, count), self.out.buffer())?;
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

/// Prints the columns of one result.
struct RowEncoder {
    columns: Vec<ColumnEncoder>,
    /// One scratch a column, kept from slice to slice.
    printed: Vec<ColumnText>,
}

struct ColumnEncoder {
    data_type: DataType,
    printer: Printer,
}

enum Printer {
    Text(Box<TextPrinter>),
    Binary(BinaryEncoder),
}

impl RowEncoder {
    fn new(columns: &[OutputColumn], formats: &Formats, style: &TextStyle) -> PgResult<Self> {
        let encoders = columns.iter().enumerate().map(|(index, column)| {
            let printer = match formats.code(index) {
                0 => Printer::Text(Box::new(TextPrinter::for_field(&column.field, style)?)),
                1 => Printer::Binary(BinaryEncoder::for_field(&column.field)?),
                other => return Err(unsupported_format(other)),
            };
            Ok(ColumnEncoder { data_type: column.field.data_type().clone(), printer })
        });
        Ok(Self {
            columns: encoders.collect::<PgResult<_>>()?,
            printed: columns.iter().map(|_| ColumnText::new()).collect(),
        })
    }

    /// A batch of other types than were described would be sent as garbage.
    fn check(&self, batch: &RecordBatch) -> PgResult<()> {
        let same = batch.num_columns() == self.columns.len()
            && batch.columns().iter().zip(&self.columns).all(|(array, column)| {
                array.data_type() == &column.data_type || same_text(array.data_type(), &column.data_type)
            });
        if same {
            return Ok(());
        }
        let described: Vec<String> = self.columns.iter().map(|column| column.data_type.to_string()).collect();
        Err(PgError::internal(format!("rows of {} came where {} were described", batch.schema(), described.join(", "))))
    }

    fn encode(&mut self, batch: &RecordBatch, out: &mut BytesMut) -> PgResult<()> {
        for ((array, column), printed) in batch.columns().iter().zip(&self.columns).zip(&mut self.printed) {
            match &column.printer {
                Printer::Text(printer) => {
                    printed.clear();
                    printer.print(array.as_ref(), printed)?;
                }
                Printer::Binary(encoder) => encoder.encode(array.as_ref(), printed)?,
            }
        }
        encode_data_rows(&self.printed, 0..batch.num_rows(), out)
    }
}

/// The layouts of one string or bytes type mean the same.
fn same_text(left: &DataType, right: &DataType) -> bool {
    let family = |data_type: &DataType| match data_type {
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => 1,
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => 2,
        _ => 0,
    };
    family(left) != 0 && family(left) == family(right)
}
