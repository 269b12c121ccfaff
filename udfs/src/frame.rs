//! Moving window frames for aggregates that cannot take a row back.
//!
//! [`FrameAccumulator`] keeps the rows of the frame and computes them anew for every output row: O(frame) each, which is what
//! PostgreSQL does for an aggregate without an inverse. Aggregates that can retract do not use it; frames that only grow
//! never reach it.

use std::collections::VecDeque;
use std::fmt;

use arrow::array::{Array, ArrayRef};
use datafusion_common::{Result, ScalarValue, internal_err};
use datafusion_expr::Accumulator;

/// Makes an empty accumulator of the aggregate.
pub type Fresh = Box<dyn Fn() -> Result<Box<dyn Accumulator>> + Send + Sync>;

/// The rows of a moving frame.
pub struct FrameAccumulator {
    fresh: Fresh,
    rows: VecDeque<Vec<ArrayRef>>,
}

impl FrameAccumulator {
    /// An empty frame.
    pub fn new(fresh: impl Fn() -> Result<Box<dyn Accumulator>> + Send + Sync + 'static) -> Self {
        Self { fresh: Box::new(fresh), rows: VecDeque::new() }
    }

    fn computed(&self) -> Result<Box<dyn Accumulator>> {
        let mut accumulator = (self.fresh)()?;
        for columns in &self.rows {
            accumulator.update_batch(columns)?;
        }
        Ok(accumulator)
    }
}

impl fmt::Debug for FrameAccumulator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrameAccumulator").field("batches", &self.rows.len()).finish_non_exhaustive()
    }
}

impl Accumulator for FrameAccumulator {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.rows.push_back(values.to_vec());
        Ok(())
    }

    /// Rows leave in the order in which they came.
    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let mut leaving = values.first().map_or(0, |column| column.len());
        while leaving > 0 {
            let Some(columns) = self.rows.front_mut() else {
                return internal_err!("more rows leave the frame than came");
            };
            let count = columns.first().map_or(0, |column| column.len());
            if count > leaving {
                columns.iter_mut().for_each(|column| *column = column.slice(leaving, count - leaving));
                return Ok(());
            }
            leaving -= count;
            self.rows.pop_front();
        }
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        true
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.computed()?.evaluate()
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.computed()?.state()
    }

    fn merge_batch(&mut self, _states: &[ArrayRef]) -> Result<()> {
        internal_err!("a window frame has no partial states")
    }

    fn size(&self) -> usize {
        let bytes = |column: &ArrayRef| {
            column.to_data().get_slice_memory_size().unwrap_or_else(|_| column.get_array_memory_size())
        };
        let rows = self
            .rows
            .iter()
            .map(|columns| columns.capacity() * size_of::<ArrayRef>() + columns.iter().map(bytes).sum::<usize>());
        size_of::<Self>() + self.rows.capacity() * size_of::<Vec<ArrayRef>>() + rows.sum::<usize>()
    }
}
