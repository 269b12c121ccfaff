//! Bitmaps: sets of people as values, with the `rb_*` functions of pg_roaringbitmap.
//!
//! Values are the portable roaring bytes in canonical form, so equality, grouping and joins work on bytes. Scalars read
//! inputs in place ([`format::View`]); binary operations merge key lists and combine container by container
//! ([`combine`]); aggregates keep pages. Operators, casts of quoted literals and the output setting belong to the engine.

mod aggregate;
pub mod combine;
pub mod container;
mod edit;
mod entry;
pub mod format;
mod functions;
#[cfg(test)]
mod golden;
mod intersect_count;
mod kernels;
mod names;
mod scalar;
#[cfg(test)]
mod tests;
pub mod text;
pub mod types;
mod union;
pub mod writer;

pub use types::Width;

use crate::documentation::{Documentation, Example};
use crate::family::{Family, Function, LawArgument, LawCase};
use aggregate::{BitmapAggregate, Input, Output};
use combine::Operation;

/// The family on the reference page.
pub const FAMILY: Family = Family {
    title: "Bitmaps",
    summary: "Sets of integers as values: `roaringbitmap` (uint32, shown as integer) and `roaringbitmap64` (uint64, shown as \
              bigint). Elements are unsigned inside and signed at the surface: the order is 0, 1, ..., max, min, ..., -1. \
              Where a line says roaringbitmap and integer, roaringbitmap64 and bigint hold as well; the two widths never mix \
              without a cast. A quoted literal is read as a bitmap of the width of the other arguments. Equal sets have equal \
              bytes.",
    functions: || {
        let mut functions: Vec<Function> =
            functions::entries().into_iter().chain(names::entries()).map(entry::Entry::function).collect();
        functions.extend(aggregates());
        functions.push(intersect_count::function());
        functions
    },
};

fn aggregates() -> Vec<Function> {
    let mut functions = vec![
        aggregate_function("rb_build_agg", &["groupbitmapstate"], Input::Elements, Operation::Or, Output::Bitmap),
        aggregate_function("rb64_build_agg", &["bitmap_agg"], Input::Elements64, Operation::Or, Output::Bitmap),
        aggregate_function("bitmap_union_int", &["groupbitmap"], Input::Elements, Operation::Or, Output::CountOrZero),
        aggregate_function(
            "bitmap_union_count",
            &["groupbitmapor"],
            Input::Bitmaps,
            Operation::Or,
            Output::CountOrZero,
        ),
        aggregate_function("groupbitmapand", &[], Input::Bitmaps, Operation::And, Output::CountOrZero),
        aggregate_function("groupbitmapxor", &[], Input::Bitmaps, Operation::Xor, Output::CountOrZero),
    ];
    for (name, aliases, operation, output) in [
        ("rb_or_agg", &["rb64_or_agg", "bitmap_union"][..], Operation::Or, Output::Bitmap),
        ("rb_and_agg", &["rb64_and_agg", "bitmap_intersect"], Operation::And, Output::Bitmap),
        ("rb_xor_agg", &["rb64_xor_agg", "group_bitmap_xor"], Operation::Xor, Output::Bitmap),
        ("rb_or_cardinality_agg", &["rb64_or_cardinality_agg"], Operation::Or, Output::Count),
        ("rb_and_cardinality_agg", &["rb64_and_cardinality_agg"], Operation::And, Output::Count),
        ("rb_xor_cardinality_agg", &["rb64_xor_cardinality_agg"], Operation::Xor, Output::Count),
    ] {
        functions.push(aggregate_function(name, aliases, Input::Bitmaps, operation, output));
    }
    functions
}

fn aggregate_function(
    name: &'static str,
    aliases: &[&str],
    input: Input,
    operation: Operation,
    output: Output,
) -> Function {
    let (argument, values) = match input {
        Input::Elements => ("integer", "(1), (2), (2), (NULL)"),
        Input::Elements64 => ("bigint", "(1), (2), (2), (NULL)"),
        Input::Bitmaps => ("roaringbitmap", "('{1,2}'::roaringbitmap), ('{2,3}'::roaringbitmap), (NULL)"),
    };
    let what = match (input, operation) {
        (Input::Elements, _) => "the set of all values; bigint values give a roaringbitmap64",
        (Input::Elements64, _) => "the roaringbitmap64 of all values",
        (_, Operation::And) => "the elements common to all inputs",
        (_, Operation::Xor) => "the elements in an odd number of the inputs",
        _ => "the elements in any of the inputs",
    };
    let (set, count) = match (input, operation) {
        (Input::Elements | Input::Elements64, _) => ("{1,2}", "2"),
        (_, Operation::And) => ("{2}", "1"),
        (_, Operation::Xor) => ("{1,3}", "2"),
        _ => ("{1,2,3}", "3"),
    };
    let (returns, description, example, output_text) = match output {
        Output::Bitmap => {
            let returns = if input == Input::Elements64 { "roaringbitmap64" } else { "roaringbitmap" };
            (returns, format!("Aggregates into {what}."), format!("SELECT rb_to_array({name}(x))"), set)
        }
        Output::Count | Output::CountOrZero => {
            ("bigint", format!("The number of {what}; the set may be of any size."), format!("SELECT {name}(x)"), count)
        }
    };
    let rules = match output {
        Output::Bitmap => {
            "NULL inputs are skipped; without any other input the result is NULL. A set above 64 MiB: 54000."
        }
        Output::Count => "NULL inputs are skipped; without any other input the result is NULL.",
        Output::CountOrZero => "NULL inputs are skipped; without any other input the result is 0.",
    };
    let documentation = Documentation {
        syntax: vec![format!("{name}({argument}) -> {returns}")],
        description,
        arguments: Vec::new(),
        rules: rules.into(),
        cost: "O(1) amortised per value, O(bytes) per bitmap; at most 2 bytes per sparse value, 8 KiB per 65,536 dense ids.",
        source: if output == Output::CountOrZero { "StarRocks, Doris, ClickHouse" } else { "pg_roaringbitmap 1.2" },
        examples: vec![Example::new(format!("{example} FROM (VALUES {values}) AS t(x)"), output_text)],
    };
    let aggregate = BitmapAggregate::new(name, aliases, input, operation, output);
    Function::aggregate(aggregate, documentation, move || aggregate_cases(input))
}

fn aggregate_cases(input: Input) -> Vec<LawCase> {
    use arrow::array::{Int32Array, Int64Array};
    use std::sync::Arc;
    let values = [Some(5), None, Some(1), Some(-1), Some(5), Some(70_000), Some(6), Some(7), Some(65_536), Some(8)];
    if input == Input::Bitmaps {
        return [Width::W32, Width::W64]
            .map(|width| LawCase::new(width.type_name(), vec![entry::sample_bitmaps(width)]))
            .into();
    }
    let narrow: Int32Array = values.iter().map(|v| v.map(|v: i64| v as i32)).collect();
    let wide: Int64Array = values.iter().map(|v| v.map(|v| v << 30)).collect();
    vec![
        LawCase::new("integer", vec![LawArgument::column(Arc::new(narrow))]),
        LawCase::new("bigint", vec![LawArgument::column(Arc::new(wide))]),
    ]
}
