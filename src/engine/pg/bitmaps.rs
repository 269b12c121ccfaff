//! Operators over roaring bitmaps: the `rb_*` functions of the same meaning do the work.
//!
//! The two widths never mix: `roaringbitmap & roaringbitmap64` is no operator. An undecided literal beside a bitmap is a
//! bitmap of its width, a number beside it an element.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use datafusion::logical_expr::ScalarUDF;
use tributary_pg::error::PgError;
use tributary_udfs::{FAMILIES, Implementation};

use super::signatures::{Context, Oid, oid};
use super::typed::{Scope, Typed};
use super::types::PgType;

/// Our scalar functions by name.
static FUNCTIONS: LazyLock<HashMap<String, Arc<ScalarUDF>>> = LazyLock::new(|| {
    let functions = FAMILIES.iter().flat_map(|family| (family.functions)());
    functions
        .filter_map(|function| match &function.implementation {
            Implementation::Scalar(udf) => Some((function.name().to_owned(), Arc::clone(udf))),
            _ => None,
        })
        .collect()
});

/// The function an operator stands for, with the types of its arguments and result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BitmapFunction {
    name: &'static str,
    arguments: [Oid; 2],
    result: Oid,
}

/// The function of an operator between these types; `None` if no bitmap takes part or there is no such operator.
pub(super) fn function(operator: &str, left: Oid, right: Oid) -> Option<BitmapFunction> {
    let bitmap = |of: Oid| matches!(of, oid::ROARINGBITMAP | oid::ROARINGBITMAP64);
    let width = if bitmap(left) { left } else { right };
    if !bitmap(width) || (bitmap(left) && bitmap(right) && left != right) {
        return None;
    }
    let element = if width == oid::ROARINGBITMAP64 { oid::INT8 } else { oid::INT4 };
    let kind = |of: Oid| match of {
        oid::UNKNOWN => Some(width),
        oid::INT2 | oid::INT4 => Some(element),
        oid::INT8 if width == oid::ROARINGBITMAP64 => Some(element),
        of if of == width => Some(width),
        _ => None,
    };
    if matches!(operator, "<<" | ">>") {
        let name = if operator == "<<" { "rb_shiftleft" } else { "rb_shiftright" };
        let number = matches!(right, oid::INT2 | oid::INT4 | oid::INT8 | oid::UNKNOWN);
        let arguments = [width, oid::INT8];
        return (left == width && number).then_some(BitmapFunction { name, arguments, result: width });
    }
    let arguments = [kind(left)?, kind(right)?];
    let (both, second) = (arguments == [width, width], arguments == [width, element]);
    let first = arguments == [element, width];
    let (name, result) = match operator {
        "&" if both => ("rb_and", width),
        "|" if both => ("rb_or", width),
        "#" if both => ("rb_xor", width),
        "-" if both => ("rb_andnot", width),
        "|" if first || second => ("rb_add", width),
        "-" if second => ("rb_remove", width),
        "@>" if both || second => ("rb_contains", oid::BOOL),
        "<@" if both || first => ("rb_containedby", oid::BOOL),
        "&&" if both => ("rb_intersect", oid::BOOL),
        "=" if both => ("rb_equals", oid::BOOL),
        "<>" if both => ("rb_not_equals", oid::BOOL),
        _ => return None,
    };
    Some(BitmapFunction { name, arguments, result })
}

impl BitmapFunction {
    /// The call, its arguments coerced.
    pub(super) fn call(self, scope: &Scope<'_>, left: Typed, right: Typed) -> Result<Typed, PgError> {
        let udf = FUNCTIONS
            .get(self.name)
            .ok_or_else(|| PgError::internal(format!("the library has no function {}", self.name)))?;
        let left = scope.coerce(left, PgType::plain(self.arguments[0]), Context::Implicit)?;
        let right = scope.coerce(right, PgType::plain(self.arguments[1]), Context::Implicit)?;
        Ok(Typed::new(udf.call(vec![left.expr, right.expr]), self.result))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operators_stand_for_functions() {
        let (rb, rb64) = (oid::ROARINGBITMAP, oid::ROARINGBITMAP64);
        let name = |operator, left, right| function(operator, left, right).map(|found| found.name);
        assert_eq!(name("&", rb, rb), Some("rb_and"));
        assert_eq!(name("|", rb64, oid::INT8), Some("rb_add"));
        assert_eq!(name("|", oid::INT4, rb64), Some("rb_add"));
        assert_eq!(name("-", oid::INT4, rb64), None);
        assert_eq!(name("@>", rb64, oid::INT4), Some("rb_contains"));
        assert_eq!(name("<@", oid::INT4, rb), Some("rb_containedby"));
        assert_eq!(name("<<", rb, oid::INT4), Some("rb_shiftleft"));
        assert_eq!(name("=", rb, oid::UNKNOWN), Some("rb_equals"));
        assert_eq!(name("&", rb, rb64), None);
        assert_eq!(name("<", rb, rb), None);
        assert_eq!(name("+", oid::INT4, oid::INT4), None);
    }
}
