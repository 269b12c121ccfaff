//! A column of printed values, text or binary.

use arrow::buffer::NullBuffer;

use crate::error::PgResult;

/// The values of one column, one behind the other, with the end of each row's value and the rows that are NULL.
///
/// Made to be used again for the next batch: clearing keeps the memory.
#[derive(Clone, Debug, Default)]
pub struct ColumnText {
    bytes: Vec<u8>,
    ends: Vec<usize>,
    nulls: Option<NullBuffer>,
}

impl ColumnText {
    /// An empty column.
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets all rows, keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
        self.nulls = None;
    }

    /// Number of rows.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Has it no rows?
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Bytes of all values.
    pub fn byte_count(&self) -> usize {
        self.bytes.len()
    }

    /// A row's value; `None` is NULL. Panics if there is no such row, as indexing does.
    #[inline]
    pub fn value(&self, row: usize) -> Option<&[u8]> {
        if self.is_null(row) { None } else { Some(self.raw(row)) }
    }

    /// A row's value as text; bytes that are no UTF-8 (binary columns) give `None` too.
    pub fn text(&self, row: usize) -> Option<&str> {
        self.value(row).and_then(|bytes| std::str::from_utf8(bytes).ok())
    }

    /// Is the row NULL?
    #[inline]
    pub fn is_null(&self, row: usize) -> bool {
        self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row))
    }

    /// Which rows are NULL; `None` if none is.
    pub fn nulls(&self) -> Option<&NullBuffer> {
        self.nulls.as_ref()
    }

    #[inline]
    pub(crate) fn raw(&self, row: usize) -> &[u8] {
        let start = if row == 0 { 0 } else { self.ends[row - 1] };
        &self.bytes[start..self.ends[row]]
    }

    pub(crate) fn set_nulls(&mut self, nulls: Option<NullBuffer>) {
        self.nulls = nulls.filter(|nulls| nulls.null_count() > 0);
    }

    /// Appends `rows` rows; `print` writes the value of a row that is not NULL.
    #[inline]
    pub(crate) fn fill(&mut self, rows: usize, mut print: impl FnMut(usize, &mut Vec<u8>)) {
        self.ends.reserve(rows);
        match self.nulls.take() {
            None => {
                for row in 0..rows {
                    print(row, &mut self.bytes);
                    self.ends.push(self.bytes.len());
                }
            }
            Some(nulls) => {
                for row in 0..rows {
                    if nulls.is_valid(row) {
                        print(row, &mut self.bytes);
                    }
                    self.ends.push(self.bytes.len());
                }
                self.nulls = Some(nulls);
            }
        }
    }

    /// The same where printing may fail.
    pub(crate) fn try_fill(
        &mut self,
        rows: usize,
        mut print: impl FnMut(usize, &mut Vec<u8>) -> PgResult<()>,
    ) -> PgResult<()> {
        let mut failed = Ok(());
        self.fill(rows, |row, bytes| {
            if failed.is_ok() {
                failed = print(row, bytes);
            }
        });
        failed
    }
}
