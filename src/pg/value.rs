//! One value with its type: parameters and literals.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, new_null_array};

use crate::builder::InputBuilder;
use crate::error::PgResult;
use crate::input::string::check_zero;
use crate::sqlstate;
use crate::style::TextStyle;
use crate::text::{ColumnText, TextPrinter};
use crate::types::{TypeKind, TypeRef};

/// A value of a PostgreSQL type, held as an Arrow array of one row, or NULL.
#[derive(Clone, Debug)]
pub struct PgValue {
    /// The type.
    pub ty: TypeRef,
    /// The type modifier, -1 for none.
    pub modifier: i32,
    /// One row; `None` is NULL.
    pub array: Option<ArrayRef>,
}

impl PgValue {
    /// NULL of a type.
    pub fn null(ty: TypeRef, modifier: i32) -> Self {
        Self { ty, modifier, array: None }
    }

    /// Reads text with the type's input function. `now_us` is what `now` means. Lengths as in an assignment.
    pub fn from_text(ty: TypeRef, modifier: i32, text: &str, style: &TextStyle, now_us: i64) -> PgResult<Self> {
        check_zero(text)?;
        let mut builder = InputBuilder::for_type(ty, modifier, style, now_us)?.nested();
        builder.append(text)?;
        Ok(Self { ty, modifier, array: Some(builder.finish()) })
    }

    /// Reads a binary value. `parameter` (from 1) goes into the message for bytes that are left over.
    ///
    /// 08P01 `insufficient data left in message`, 22P03 `incorrect binary data format in bind parameter 1`, 22021.
    pub fn from_binary(ty: TypeRef, modifier: i32, bytes: &[u8], parameter: usize) -> PgResult<Self> {
        let style = TextStyle::default();
        let mut builder = InputBuilder::for_type(ty, modifier, &style, 0)?.nested();
        builder.append_binary(bytes).map_err(|mut error| {
            if error.code == sqlstate::INVALID_BINARY_REPRESENTATION && error.message == "incorrect binary data format"
            {
                error.message = format!("incorrect binary data format in bind parameter {parameter}");
            }
            error
        })?;
        Ok(Self { ty, modifier, array: Some(builder.finish()) })
    }

    /// Is it NULL?
    pub fn is_null(&self) -> bool {
        self.array.as_ref().is_none_or(|array| array.is_null(0)) && self.ty.kind != TypeKind::Void
    }

    /// One row in the type's Arrow layout, NULL included.
    pub fn to_array(&self) -> PgResult<ArrayRef> {
        match &self.array {
            Some(array) => Ok(Arc::clone(array)),
            None => Ok(new_null_array(&self.ty.arrow_type(self.modifier)?, 1)),
        }
    }

    /// The value's text; `None` is NULL.
    pub fn to_text(&self, style: &TextStyle) -> PgResult<Option<String>> {
        let Some(array) = &self.array else { return Ok(None) };
        let printer = TextPrinter::for_type(self.ty, self.modifier, array.data_type(), style)?;
        let mut out = ColumnText::new();
        printer.print(array.as_ref(), &mut out)?;
        Ok(out.text(0).map(str::to_owned))
    }
}

#[cfg(test)]
#[path = "value_tests.rs"]
mod tests;
