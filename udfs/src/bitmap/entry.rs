//! An entry of the family's list: a scalar function's definition and documentation, written together.
//!
//! Syntax lines and the samples for the laws are derived from the parameter forms, so they cannot disagree with what the
//! function accepts.

use std::sync::{Arc, LazyLock};

use arrow::array::{
    ArrayRef, BinaryArray, BinaryViewArray, BooleanArray, Int32Array, Int64Array, ListArray, StringArray,
};
use arrow::datatypes::{Field, Int32Type, Int64Type};

use super::scalar::{BitmapScalar, Definition, Kernel, Parameter, Returns};
use super::text;
use super::types::Width;
use crate::documentation::{Documentation, Example};
use crate::family::{Function, LawArgument, LawCase};

/// A scalar function with its documentation.
pub struct Entry {
    definition: Definition,
    documentation: Documentation,
    samples: Option<fn() -> Vec<LawCase>>,
}

impl Entry {
    /// A strict function of these forms.
    pub fn new(name: &'static str, forms: &[&[Parameter]], returns: Returns, kernel: Kernel) -> Self {
        let twin = name.strip_prefix("rb_").map(|rest| format!("rb64_{rest}"));
        // Its twin differs: it takes any integers. The null2empty names have none.
        let has_twin = name != "rb_build" && !name.contains("null2empty");
        let definition = Definition {
            name,
            aliases: twin.into_iter().filter(|_| has_twin).collect(),
            forms: forms.iter().map(|form| form.to_vec()).collect(),
            variadic: false,
            names: Vec::new(),
            returns,
            strict: true,
            default_width: Width::W32,
            kernel,
        };
        let documentation = Documentation {
            syntax: Vec::new(),
            description: String::new(),
            arguments: Vec::new(),
            rules: "NULL in, NULL out.".into(),
            cost: "O(bytes) of the arguments at most; inputs are read in place.",
            source: "",
            examples: Vec::new(),
        };
        Self { definition, documentation, samples: None }
    }

    /// Sets the forms.
    pub fn forms(mut self, forms: Vec<Vec<Parameter>>) -> Self {
        self.definition.forms = forms;
        self
    }

    /// Lets the last argument be repeated.
    pub fn variadic(mut self) -> Self {
        self.definition.variadic = true;
        self
    }

    /// Lets the arguments be given by name.
    pub fn names(mut self, names: &[&'static str]) -> Self {
        self.definition.names = names.to_vec();
        self
    }

    /// Adds another name.
    pub fn alias(mut self, name: &str) -> Self {
        self.definition.aliases.push(name.to_string());
        self
    }

    /// Adds other names.
    pub fn aliases(mut self, names: &[&str]) -> Self {
        self.definition.aliases.extend(names.iter().map(|name| name.to_string()));
        self
    }

    /// Replaces the samples that are derived from the forms.
    pub fn samples(mut self, samples: fn() -> Vec<LawCase>) -> Self {
        self.samples = Some(samples);
        self
    }

    /// Sets the width of a call that no argument decides.
    pub fn default_width(mut self, width: Width) -> Self {
        self.definition.default_width = width;
        self
    }

    /// Lets the kernel see NULLs.
    pub fn sees_nulls(mut self) -> Self {
        self.definition.strict = false;
        self
    }

    /// Describes an argument.
    pub fn argument(mut self, name: &'static str, meaning: &'static str) -> Self {
        self.documentation.arguments.push((name, meaning));
        self
    }

    /// Sets the description.
    pub fn says(mut self, description: impl Into<String>) -> Self {
        self.documentation.description = description.into();
        self
    }

    /// Sets the rules of NULLs and edges.
    pub fn rules(mut self, rules: impl Into<String>) -> Self {
        self.documentation.rules = rules.into();
        self
    }

    /// Sets the cost.
    pub fn cost(mut self, cost: &'static str) -> Self {
        self.documentation.cost = cost;
        self
    }

    /// Sets the source.
    pub fn source(mut self, source: &'static str) -> Self {
        self.documentation.source = source;
        self
    }

    /// Adds an example.
    pub fn example(mut self, sql: impl Into<String>, output: impl Into<String>) -> Self {
        self.documentation.examples.push(Example::new(sql, output));
        self
    }

    /// The registered function.
    pub fn function(mut self) -> Function {
        let definition = self.definition;
        self.documentation.syntax = syntax(&definition);
        let (own, derived) = (self.samples, definition.clone());
        let samples = move || own.map_or_else(|| cases(&derived), |own| own());
        Function::scalar(BitmapScalar::new(definition), self.documentation, samples)
    }
}

fn syntax(definition: &Definition) -> Vec<String> {
    let returns = match definition.returns {
        Returns::Bitmap => "roaringbitmap",
        Returns::BitmapOf(width) => width.type_name(),
        Returns::Element => "integer",
        Returns::Bigint => "bigint",
        Returns::Boolean => "boolean",
        Returns::Double => "double precision",
        Returns::Array => "integer[]",
        Returns::Text => "text",
        Returns::Bytes => "bytea",
    };
    // Optional arguments: the longest form says it all.
    let forms: Vec<&Vec<Parameter>> = match definition.names.is_empty() {
        true => definition.forms.iter().collect(),
        false => definition.forms.last().into_iter().collect(),
    };
    let least = definition.forms.first().map_or(0, Vec::len);
    let render = |form: &Vec<Parameter>| {
        let types = form.iter().enumerate().map(|(index, parameter)| {
            let type_name = match parameter {
                Parameter::Bitmap => "roaringbitmap",
                Parameter::BitmapOf(width) => width.type_name(),
                Parameter::Element => "integer",
                Parameter::Bigint => "bigint",
                Parameter::Boolean => "boolean",
                Parameter::Array => "integer[]",
                Parameter::Text => "text",
                Parameter::Bytes => "bytea",
            };
            let named = match definition.names.get(index) {
                Some(name) => format!("{name} {type_name}"),
                None => type_name.to_string(),
            };
            if !definition.names.is_empty() && index >= least { format!("[{named}]") } else { named }
        });
        let mut types: Vec<String> = types.collect();
        if definition.variadic {
            types.push("...".into());
        }
        format!("{}({}) -> {returns}", definition.name, types.join(", "))
    };
    forms.into_iter().map(render).collect()
}

/// Bitmaps for the laws: NULL, empty, one value, arrays, runs, a bitset, both ends of the width.
pub(super) fn sample_bitmaps(width: Width) -> LawArgument {
    // Parsed once: some eighty functions are tried on them.
    static SAMPLES: LazyLock<[ArrayRef; 2]> = LazyLock::new(|| [Width::W32, Width::W64].map(parse_samples));
    let array = &SAMPLES[usize::from(width == Width::W64)];
    LawArgument::Column(width.field("bitmap"), Arc::clone(array))
}

fn parse_samples(width: Width) -> ArrayRef {
    let runs: Vec<String> = (100..300).chain(70_000..70_900).map(|v| v.to_string()).collect();
    let odd: Vec<String> = (0..6_000).map(|v| (2 * v + 1).to_string()).collect();
    let literals = [
        None,
        Some("{}".to_string()),
        Some("{1}".to_string()),
        Some("{1,2,3,65535,65536,131072,-2,-1}".to_string()),
        Some(format!("{{{}}}", runs.join(","))),
        Some(format!("{{{}}}", odd.join(","))),
        Some("{2,5,7,200,70001,-1}".to_string()),
        Some("{2147483647,-2147483648}".to_string()),
    ];
    let bytes = literals.map(|literal| literal.map(|l| text::parse(&l, width).expect("a well-formed literal")));
    Arc::new(bytes.iter().map(|b| b.as_deref()).collect::<BinaryViewArray>())
}

/// The same bitmaps in another order, to pair them differently.
fn rotated(argument: LawArgument, by: usize) -> LawArgument {
    match argument {
        LawArgument::Column(field, array) => {
            let indices: Int64Array = (0..array.len()).map(|row| ((row * 3 + by) % array.len()) as i64).collect();
            let array = arrow::compute::take(&array, &indices, None).expect("indices are in range");
            LawArgument::Column(field, array)
        }
        constant => constant,
    }
}

fn cases(definition: &Definition) -> Vec<LawCase> {
    let mut cases = Vec::new();
    for (number, form) in definition.forms.iter().enumerate() {
        for width in [Width::W32, Width::W64] {
            let arguments =
                form.iter().enumerate().map(|(index, parameter)| sample(*parameter, width, index)).collect();
            cases.push(LawCase::new(format!("form {number}, {}", width.type_name()), arguments));
        }
    }
    cases
}

fn sample(parameter: Parameter, width: Width, index: usize) -> LawArgument {
    // A range that reads -1 or 0 as its unsigned end fills all 64 bits, which is an error and no sample.
    let last = if parameter == Parameter::Element { [-1, 0] } else { [3, 9] };
    let integers = [Some(1), Some(7), None, Some(65_536), Some(last[0]), Some(150), Some(last[1]), Some(70_100)];
    let shifted = |by: usize| (0..8).map(move |row| integers[(row + by) % 8]);
    let column: ArrayRef = match parameter {
        Parameter::Bitmap => return rotated(sample_bitmaps(width), index),
        Parameter::BitmapOf(width) => return rotated(sample_bitmaps(width), index),
        Parameter::Element if width == Width::W32 => {
            Arc::new(shifted(index).map(|value| value.map(|v| v as i32)).collect::<Int32Array>())
        }
        Parameter::Element | Parameter::Bigint => Arc::new(shifted(index).collect::<Int64Array>()),
        Parameter::Boolean => {
            Arc::new((0..8).map(|row| [Some(true), Some(false), None][row % 3]).collect::<BooleanArray>())
        }
        Parameter::Array => {
            let lists =
                [Some(vec![3, 1, 3]), None, Some(vec![]), Some(vec![-1, 7]), Some(vec![5]), Some(vec![65_536, 2])];
            let lists = lists.into_iter().cycle().take(8);
            match width {
                Width::W32 => Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(
                    lists.map(|list| list.map(|l| l.into_iter().map(|v| Some(v as i32)).collect::<Vec<_>>())),
                )),
                Width::W64 => Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(
                    lists.map(|list| list.map(|l| l.into_iter().map(Some).collect::<Vec<_>>())),
                )),
            }
        }
        Parameter::Text => Arc::new(
            [
                Some("{1,5}"),
                None,
                Some("{}"),
                Some("{ 3 , -1 }"),
                Some("{7}"),
                Some("{1,2,3,4,5,6,7,8}"),
                None,
                Some("{0}"),
            ]
            .into_iter()
            .collect::<StringArray>(),
        ),
        // What cast accepts is the width of the function itself; both are tried, hence the empty sets that fit neither
        // are left out.
        Parameter::Bytes => Arc::new(vec![None::<&[u8]>; 8].into_iter().collect::<BinaryArray>()),
    };
    let field = Field::new("column", column.data_type().clone(), true);
    LawArgument::Column(Arc::new(field), column)
}
