//! The two SQL types and how an Arrow field says that it is one.
//!
//! Values travel as byte strings (BinaryView from our functions, any layout into them); the field's metadata carries
//! the type, because bytea must not be taken for a bitmap. [`Width`] is everything that differs between the types.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};

use crate::arguments::blob_type;
use crate::error::{NUMERIC_VALUE_OUT_OF_RANGE, PROGRAM_LIMIT_EXCEEDED};
use crate::{SqlError, type_name};

/// Field metadata key of Arrow extension types.
pub const EXTENSION_NAME: &str = "ARROW:extension:name";
/// Field metadata key by which the server finds the PostgreSQL type.
pub const PG_TYPE: &str = "pg.type";

/// Limit: a value is at most 64 MiB, about 536 million dense random people; a row must stay sendable.
pub const VALUE_BYTES_MAX: usize = 64 << 20;

/// Which of the two types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Width {
    /// `roaringbitmap`, a set of uint32 shown as integer.
    W32,
    /// `roaringbitmap64`, a set of uint64 shown as bigint.
    W64,
}

impl Width {
    /// SQL name of the type.
    pub fn type_name(self) -> &'static str {
        match self {
            Self::W32 => "roaringbitmap",
            Self::W64 => "roaringbitmap64",
        }
    }

    /// SQL name of the element type.
    pub fn element_name(self) -> &'static str {
        match self {
            Self::W32 => "integer",
            Self::W64 => "bigint",
        }
    }

    /// Arrow extension name of the type.
    pub fn extension_name(self) -> &'static str {
        match self {
            Self::W32 => "tributary.roaringbitmap",
            Self::W64 => "tributary.roaringbitmap64",
        }
    }

    /// Arrow type of an element.
    pub fn element_type(self) -> DataType {
        match self {
            Self::W32 => DataType::Int32,
            Self::W64 => DataType::Int64,
        }
    }

    /// The largest element in unsigned order.
    pub fn max(self) -> u64 {
        match self {
            Self::W32 => u64::from(u32::MAX),
            Self::W64 => u64::MAX,
        }
    }

    /// A field of this type.
    pub fn field(self, name: &str) -> FieldRef {
        let metadata = HashMap::from([
            (EXTENSION_NAME.to_string(), self.extension_name().to_string()),
            (PG_TYPE.to_string(), self.type_name().to_string()),
        ]);
        Arc::new(Field::new(name, DataType::BinaryView, true).with_metadata(metadata))
    }

    /// The type a field is tagged with, if it is a bitmap. Either tag will do: a plan step may keep only one.
    pub fn of_field(field: &Field) -> Option<Self> {
        if !blob_type(field.data_type()) {
            return None;
        }
        let tagged = |width: &Self| {
            let has = |key: &str, name: &str| field.metadata().get(key).is_some_and(|value| value == name);
            has(EXTENSION_NAME, width.extension_name()) || has(PG_TYPE, width.type_name())
        };
        [Self::W32, Self::W64].into_iter().find(tagged)
    }

    /// An element as it is stored. What does not fit `integer`: 22003.
    #[inline]
    pub fn element(self, value: i64) -> Result<u64, SqlError> {
        match self {
            Self::W64 => Ok(value as u64),
            Self::W32 => match i32::try_from(value) {
                Ok(value) => Ok(u64::from(value as u32)),
                Err(_) => Err(out_of_range(value, self)),
            },
        }
    }

    /// An element as it is shown.
    #[inline]
    pub fn shown(self, element: u64) -> i64 {
        match self {
            Self::W64 => element as i64,
            Self::W32 => i64::from(element as u32 as i32),
        }
    }
}

/// 22003 for a number that is no element.
pub fn out_of_range(value: impl std::fmt::Display, width: Width) -> SqlError {
    let message = format!("value \"{value}\" is out of range for type {}", width.element_name());
    SqlError::new(NUMERIC_VALUE_OUT_OF_RANGE, message)
}

/// 54000 for a value above [`VALUE_BYTES_MAX`].
pub fn too_large() -> SqlError {
    SqlError::new(PROGRAM_LIMIT_EXCEEDED, "roaring bitmap is larger than 64 MiB")
        .with_hint("The *_cardinality functions and aggregates count without building the bitmap.")
}

/// PostgreSQL's name of a field's type, for messages.
pub fn sql_type_name(field: &Field) -> String {
    if let Some(width) = Width::of_field(field) {
        return width.type_name().to_string();
    }
    if let Some(name) = field.metadata().get(PG_TYPE) {
        return name.clone();
    }
    type_name::sql_type_name(field.data_type())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn either_tag_names_the_type_and_plain_bytes_have_none() {
        for width in [Width::W32, Width::W64] {
            let field = width.field("b");
            assert_eq!(Width::of_field(&field), Some(width));
            for kept in [EXTENSION_NAME, PG_TYPE] {
                let mut metadata = field.metadata().clone();
                metadata.retain(|key, _| key == kept);
                let field = Field::new("b", DataType::Binary, true).with_metadata(metadata);
                assert_eq!(Width::of_field(&field), Some(width), "{kept}");
            }
            let text = Field::new("b", DataType::Utf8, true).with_metadata(field.metadata().clone());
            assert_eq!(Width::of_field(&text), None);
        }
        assert_eq!(Width::of_field(&Field::new("b", DataType::BinaryView, true)), None);
    }
}
