//! What PostgreSQL calls a column type, for messages. Types without a PostgreSQL counterpart keep the engine's name.

use arrow::datatypes::{DataType, IntervalUnit};

/// `timestamptz`, `double precision`, `text[]`, ...
pub fn sql_type_name(data_type: &DataType) -> String {
    let name = match data_type {
        DataType::Null => "unknown",
        DataType::Boolean => "boolean",
        DataType::Int16 => "smallint",
        DataType::Int32 => "integer",
        DataType::Int64 => "bigint",
        DataType::Float32 => "real",
        DataType::Float64 => "double precision",
        DataType::Decimal128(_, _) | DataType::Decimal256(_, _) => "numeric",
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "text",
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView => "bytea",
        DataType::Date32 => "date",
        DataType::Time64(_) | DataType::Time32(_) => "time",
        DataType::Timestamp(_, None) => "timestamp",
        DataType::Timestamp(_, Some(_)) => "timestamptz",
        DataType::Interval(IntervalUnit::MonthDayNano | IntervalUnit::DayTime | IntervalUnit::YearMonth) => "interval",
        DataType::Dictionary(_, value) => return sql_type_name(value),
        DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
            return format!("{}[]", sql_type_name(item.data_type()));
        }
        DataType::Struct(_) => "record",
        other => return other.to_string(),
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::datatypes::TimeUnit;

    #[test]
    fn names() {
        assert_eq!(sql_type_name(&DataType::new_list(DataType::Utf8View, true)), "text[]");
        assert_eq!(sql_type_name(&DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))), "timestamptz");
        assert_eq!(sql_type_name(&DataType::UInt8), "UInt8");
    }
}
