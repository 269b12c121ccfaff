//! Rows on their way out: an engine stream whose errors are PostgreSQL's.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use datafusion::execution::{SendableRecordBatchStream, TaskContext};
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use futures::StreamExt;
use tributary_pg::error::PgError;

use super::pg::map_error;
use super::session_vars::SessionVars;

/// A stream of batches of one schema. Dropping it stops the query.
pub struct RowStream {
    stream: SendableRecordBatchStream,
    /// Told when this is dropped: tasks of the plan end when they next wait, which some would not for hours.
    abandoned: Option<Arc<AtomicBool>>,
}

impl Drop for RowStream {
    fn drop(&mut self) {
        if let Some(abandoned) = &self.abandoned {
            abandoned.store(true, Ordering::Relaxed);
        }
    }
}

impl RowStream {
    /// Rows of a running plan.
    pub(super) fn new(stream: SendableRecordBatchStream) -> Self {
        Self { stream, abandoned: None }
    }

    /// Starts a plan.
    pub(super) fn run(plan: Arc<dyn ExecutionPlan>, context: Arc<TaskContext>) -> Result<Self, PgError> {
        let vars = SessionVars::of(context.session_config().options());
        let abandoned = vars.map(|vars| Arc::clone(&vars.abandoned));
        if let Some(abandoned) = &abandoned {
            // A plan may be run a second time.
            abandoned.store(false, Ordering::Relaxed);
        }
        let stream = execute_stream(plan, context).map_err(map_error)?;
        Ok(Self { stream, abandoned })
    }

    /// Rows that are already there.
    pub(super) fn of_batch(batch: RecordBatch) -> Self {
        let schema = batch.schema();
        let stream = futures::stream::once(async move { Ok(batch) });
        Self::new(Box::pin(RecordBatchStreamAdapter::new(schema, stream)))
    }

    /// Rows that are already there, and what they were kept with until the last is out.
    pub(super) fn of_kept(schema: SchemaRef, batches: Vec<RecordBatch>, kept: impl Send + 'static) -> Self {
        let stream = futures::stream::unfold((batches.into_iter(), kept), |(mut batches, kept)| async move {
            batches.next().map(|batch| (Ok(batch), (batches, kept)))
        });
        Self::new(Box::pin(RecordBatchStreamAdapter::new(schema, stream)))
    }

    /// Schema of the batches.
    pub fn schema(&self) -> SchemaRef {
        self.stream.schema()
    }

    /// The next batch, `None` at the end.
    pub async fn next(&mut self) -> Result<Option<RecordBatch>, PgError> {
        match self.stream.next().await {
            None => Ok(None),
            Some(Ok(batch)) => {
                // Described once, encoded by that description: a batch of another shape would be sent as garbage.
                let schema = self.stream.schema();
                let same = batch.num_columns() == schema.fields().len()
                    && batch.columns().iter().zip(schema.fields()).all(|(c, f)| c.data_type() == f.data_type());
                if same {
                    Ok(Some(batch))
                } else {
                    Err(PgError::internal(format!(
                        "a batch of {} came where {} was described",
                        batch.schema(),
                        Arc::clone(&schema)
                    )))
                }
            }
            Some(Err(error)) => Err(map_error(error)),
        }
    }
}

impl fmt::Debug for RowStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RowStream").field("schema", &self.stream.schema()).finish()
    }
}
