//! Which groups of rows of a Parquet file a query need not read.
//!
//! A group may be left out only when the bounds its file gives show that no row can pass. Bounds are used of columns whose
//! order is the file's too: whole numbers, decimals, dates and times. Not of floats, whose bounds say nothing of NaN, which
//! is the greatest value here, and not of text, which old programs ordered otherwise.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray};
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::common::pruning::PruningStatistics;
use datafusion::common::{Column, ScalarValue};
use datafusion::parquet::arrow::arrow_reader::statistics::StatisticsConverter;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::physical_expr::utils::conjunction;
use datafusion::physical_optimizer::pruning::{PruningPredicate, PruningPredicateBuilder};

use crate::engine::copy::parquet::Opened;
use crate::engine::foreign::{self, Wanted};

/// A filter in the form that judges bounds.
#[derive(Debug)]
pub(super) struct GroupFilter {
    predicate: Arc<PruningPredicate>,
}

impl GroupFilter {
    /// `None` if the filter cannot prune.
    pub(super) fn new(filters: &[Arc<dyn PhysicalExpr>], schema: &SchemaRef) -> Option<Self> {
        if filters.is_empty() {
            return None;
        }
        let builder = PruningPredicateBuilder::new().with_file_schema(Arc::clone(schema));
        Some(Self { predicate: builder.build(conjunction(filters.iter().cloned()))? })
    }

    /// Of each group of a file, whether it may hold a row that passes.
    pub(super) fn groups_kept(&self, file: &Opened, columns: &[(String, Wanted)]) -> Vec<bool> {
        let count = file.metadata().num_row_groups();
        let kept = self.predicate.prune(&Bounds { file, columns });
        kept.ok().filter(|kept| kept.len() == count).unwrap_or_else(|| vec![true; count])
    }
}

/// Whether a column's bounds stay bounds when its values become what is wanted.
fn ordered_alike(found: &DataType) -> bool {
    match found {
        DataType::UInt64 => false,
        DataType::Decimal32(..) | DataType::Decimal64(..) | DataType::Decimal128(..) => true,
        DataType::Date32 | DataType::Timestamp(..) => true,
        other => other.is_integer(),
    }
}

struct Bounds<'a> {
    file: &'a Opened,
    columns: &'a [(String, Wanted)],
}

impl<'a> Bounds<'a> {
    fn of(&self, column: &Column) -> Option<(StatisticsConverter<'a>, &'a Wanted)> {
        let (_, wanted) = self.columns.iter().find(|(name, _)| *name == column.name)?;
        let schema = self.file.schema();
        let converter = StatisticsConverter::try_new(&column.name, schema, self.file.parquet_schema()).ok()?;
        ordered_alike(converter.arrow_field().data_type()).then_some((converter, wanted))
    }

    fn bound(&self, column: &Column, max: bool) -> Option<ArrayRef> {
        let (converter, wanted) = self.of(column)?;
        let groups = self.file.metadata().row_groups();
        let bounds = if max { converter.row_group_maxes(groups) } else { converter.row_group_mins(groups) };
        foreign::reordered(&bounds.ok()?, wanted)
    }
}

impl PruningStatistics for Bounds<'_> {
    fn min_values(&self, column: &Column) -> Option<ArrayRef> {
        self.bound(column, false)
    }

    fn max_values(&self, column: &Column) -> Option<ArrayRef> {
        self.bound(column, true)
    }

    fn num_containers(&self) -> usize {
        self.file.metadata().num_row_groups()
    }

    fn null_counts(&self, column: &Column) -> Option<ArrayRef> {
        let (converter, _) = self.of(column)?;
        // Without a count anything may be NULL.
        let converter = converter.with_missing_null_counts_as_zero(false);
        let counts = converter.row_group_null_counts(self.file.metadata().row_groups()).ok()?;
        Some(Arc::new(counts))
    }

    fn row_counts(&self) -> Option<ArrayRef> {
        let groups = self.file.metadata().row_groups().iter();
        let rows = groups.map(|group| u64::try_from(group.num_rows()).ok());
        Some(Arc::new(rows.collect::<arrow::array::UInt64Array>()))
    }

    fn contained(&self, _column: &Column, _values: &HashSet<ScalarValue>) -> Option<BooleanArray> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{Float64Array, Int64Array, RecordBatch};
    use datafusion::common::DFSchema;
    use datafusion::logical_expr::{Expr, col, lit};
    use datafusion::parquet::arrow::ArrowWriter;
    use datafusion::parquet::file::properties::WriterProperties;
    use datafusion::prelude::SessionContext;
    use tributary_pg::types::oid;

    /// Ten groups of ten rows.
    fn file() -> (Opened, SchemaRef) {
        let whole: ArrayRef = Arc::new((0..100).collect::<Int64Array>());
        let floats: ArrayRef =
            Arc::new((0..100).map(|n| Some(if n == 3 { f64::NAN } else { f64::from(n) })).collect::<Float64Array>());
        let batch = RecordBatch::try_from_iter([("a", whole), ("f", floats)]).expect("of one length");
        let file = tempfile::tempfile().expect("a file");
        let properties = WriterProperties::builder().set_max_row_group_row_count(Some(10)).build();
        let copy = file.try_clone().expect("clones");
        let mut writer = ArrowWriter::try_new(copy, batch.schema(), Some(properties)).expect("begins");
        writer.write(&batch).expect("writes");
        writer.close().expect("ends");
        (Opened::try_new(file).expect("opens"), batch.schema())
    }

    #[test]
    fn groups_that_cannot_pass_are_left_out() {
        let (file, _) = file();
        let wanted = |of| Wanted::new(of, -1).expect("known");
        // The table has the file's bigint as integer.
        let columns = [("a".to_owned(), wanted(oid::INT4)), ("f".to_owned(), wanted(oid::FLOAT8))];
        let fields =
            columns.iter().map(|(name, wanted)| arrow::datatypes::Field::new(name, wanted.data_type.clone(), true));
        let schema: SchemaRef = Arc::new(arrow::datatypes::Schema::new(fields.collect::<Vec<_>>()));
        let cases: [(Expr, &[usize]); 7] = [
            (col("a").gt_eq(lit(95_i32)), &[9]),
            (col("a").eq(lit(50_i32)), &[5]),
            (col("a").in_list(vec![lit(1_i32), lit(99_i32)], false), &[0, 9]),
            (col("a").lt(lit(0_i32)), &[]),
            (col("a").is_null(), &[]),
            (col("a").lt(lit(15_i32)).and(col("f").gt(lit(1e9))), &[0, 1]),
            // A NaN is in the first group, and no bound tells.
            (col("f").gt(lit(1e9)), &[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]),
        ];
        for (filter, expected) in cases {
            let bound = DFSchema::try_from(arrow::datatypes::Schema::clone(&schema)).expect("a schema");
            let physical = SessionContext::new().create_physical_expr(filter.clone(), &bound).expect("binds");
            let kept = match GroupFilter::new(&[physical], &schema) {
                Some(groups) => groups.groups_kept(&file, &columns),
                None => vec![true; 10],
            };
            let kept: Vec<usize> = (0..kept.len()).filter(|group| kept[*group]).collect();
            assert_eq!(kept, expected, "{filter}");
        }
    }
}
