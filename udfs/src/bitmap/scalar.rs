//! How every scalar bitmap function is planned and run; what each computes is in `functions.rs`.
//!
//! A function is data: the argument forms it takes, what it returns and a kernel over the values of one row. Planning
//! checks the types here and not by the engine's coercion, because the type of a bitmap is in the field's metadata and
//! because the engine's coercion errors lose the SQLSTATE. Constants are read once per batch. A quoted literal is read as
//! a bitmap of the width of the other arguments.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BinaryViewBuilder, BooleanArray, BooleanBuilder, Float64Builder, Int32Builder,
    Int64Builder, ListBuilder, StringBuilder,
};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion_common::{Result, internal_err};
use datafusion_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDFImpl, Signature, TypeSignature, Volatility,
};

use super::combine::{Buffers, Operand, Operation, combine};
use super::format::View;
use super::text;
use super::types::{VALUE_BYTES_MAX, Width, sql_type_name};
use super::writer::{Counter, Writer};
use crate::SqlError;
use crate::arguments::{Blobs, Integers, Rows, Texts, blob_type, scalar_text, text_type};
use crate::error::{PROGRAM_LIMIT_EXCEEDED, UNDEFINED_FUNCTION};

/// Limit: elements of one array, as in PostgreSQL.
const ARRAY_ELEMENTS_MAX: usize = 134_217_727;

/// What an argument must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parameter {
    /// A bitmap; all of one call have the same width. A quoted literal is read as one.
    Bitmap,
    /// A bitmap of this width.
    BitmapOf(Width),
    /// An integer that is an element of the call's width.
    Element,
    /// An integer.
    Bigint,
    /// A boolean.
    Boolean,
    /// An array of integers.
    Array,
    /// Text.
    Text,
    /// Bytes that are no bitmap.
    Bytes,
}

/// What a function returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Returns {
    /// A bitmap of the call's width.
    Bitmap,
    /// A bitmap of this width.
    BitmapOf(Width),
    /// An element of the call's width.
    Element,
    /// bigint.
    Bigint,
    /// boolean.
    Boolean,
    /// double precision.
    Double,
    /// An array of elements.
    Array,
    /// text.
    Text,
    /// bytea.
    Bytes,
}

/// The value of an argument in a row.
#[derive(Debug)]
pub enum Value<'a> {
    /// SQL NULL; kernels of strict functions never see it.
    Null,
    /// A bitmap with its bytes.
    Bitmap(View<'a>, &'a [u8], Width),
    /// An integer.
    Integer(i64),
    /// A boolean.
    Boolean(bool),
    /// The elements of an array.
    Array(&'a Integers, std::ops::Range<usize>),
    /// Text.
    Text(&'a str),
    /// Bytes.
    Bytes(&'a [u8]),
}

/// What a kernel answers; the larger answers are in the [`Machine`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Answer {
    /// SQL NULL.
    Null,
    /// The bytes in [`Machine::out`].
    Bytes,
    /// An integer.
    Integer(i64),
    /// A boolean.
    Boolean(bool),
    /// A double.
    Double(f64),
    /// The elements in [`Machine::elements`].
    Elements,
    /// The text in [`Machine::text`].
    Text,
}

/// What kernels work with: buffers that live as long as the batch.
#[derive(Debug)]
pub struct Machine {
    /// Width of the call.
    pub width: Width,
    /// Scratch of set operations.
    pub buffers: Buffers,
    /// Writes bitmaps of the returned width.
    pub writer: Writer,
    /// Bytes of the answer.
    pub out: Vec<u8>,
    /// Elements of the answer.
    pub elements: Vec<i64>,
    /// Text of the answer.
    pub text: String,
}

/// Computes the answer of a row.
pub type Kernel = fn(&mut Machine, &[Value<'_>]) -> Result<Answer, SqlError>;

/// A scalar bitmap function as data.
#[derive(Clone)]
pub struct Definition {
    /// SQL name.
    pub name: &'static str,
    /// Other names.
    pub aliases: Vec<String>,
    /// Parameter lists it accepts, the preferred first.
    pub forms: Vec<Vec<Parameter>>,
    /// The last parameter of every form may be repeated.
    pub variadic: bool,
    /// Names of the parameters of the longest form, if they can be given by name.
    pub names: Vec<&'static str>,
    /// What it returns.
    pub returns: Returns,
    /// Any NULL argument makes the result NULL.
    pub strict: bool,
    /// Width when no argument decides.
    pub default_width: Width,
    /// What it computes.
    pub kernel: Kernel,
}

/// The function as the engine sees it.
#[derive(Clone)]
pub struct BitmapScalar {
    definition: Definition,
    signature: Signature,
}

impl BitmapScalar {
    /// A function from its definition.
    pub fn new(definition: Definition) -> Self {
        let signature = match definition.names.as_slice() {
            _ if definition.forms == [vec![]] => Signature::nullary(Volatility::Immutable),
            [] => Signature::variadic_any(Volatility::Immutable),
            names => {
                let counts = definition.forms.iter().map(|form| TypeSignature::Any(form.len()));
                Signature::one_of(counts.collect(), Volatility::Immutable)
                    .with_parameter_names(names.iter().map(|name| name.to_string()).collect::<Vec<_>>())
                    .expect("the names are those of the longest form")
            }
        };
        Self { definition, signature }
    }

    /// The form and the width of a call.
    fn resolve(
        &self,
        fields: &[FieldRef],
        is_literal: impl Fn(usize) -> bool,
    ) -> Result<(&[Parameter], Width), SqlError> {
        let Definition { name, forms, variadic, default_width, .. } = &self.definition;
        let width_of = |form: &[Parameter]| -> Option<Width> {
            let count_fits = form.len() == fields.len() || (*variadic && fields.len() > form.len());
            if !count_fits {
                return None;
            }
            let mut width = None;
            for (index, field) in fields.iter().enumerate() {
                let parameter = form[index.min(form.len() - 1)];
                match accepts(parameter, field, is_literal(index)) {
                    Accepts::No => return None,
                    Accepts::Yes => {}
                    Accepts::Deciding(found) if width.is_some_and(|width| width != found) => return None,
                    Accepts::Deciding(found) => width = Some(found),
                }
            }
            Some(width.unwrap_or(*default_width))
        };
        for form in forms {
            if let Some(width) = width_of(form) {
                return Ok((form, width));
            }
        }
        let types: Vec<String> = fields.iter().map(|field| sql_type_name(field)).collect();
        let message = format!("function {name}({}) does not exist", types.join(", "));
        Err(SqlError::new(UNDEFINED_FUNCTION, message).with_hint(
            "No function matches the given name and argument types. You might need to add explicit type casts.",
        ))
    }

    fn return_type_of(&self, width: Width) -> FieldRef {
        let name = self.definition.name;
        let plain = |data_type| Arc::new(Field::new(name, data_type, true));
        match self.definition.returns {
            Returns::Bitmap => width.field(name),
            Returns::BitmapOf(width) => width.field(name),
            Returns::Element => plain(width.element_type()),
            Returns::Bigint => plain(DataType::Int64),
            Returns::Boolean => plain(DataType::Boolean),
            Returns::Double => plain(DataType::Float64),
            Returns::Array => plain(DataType::new_list(width.element_type(), true)),
            Returns::Text => plain(DataType::Utf8),
            Returns::Bytes => plain(DataType::Binary),
        }
    }
}

enum Accepts {
    No,
    Yes,
    /// A bitmap that decides the width of the call.
    Deciding(Width),
}

fn accepts(parameter: Parameter, field: &Field, literal: bool) -> Accepts {
    let data_type = field.data_type();
    let width = Width::of_field(field);
    let yes = |accepted: bool| if accepted { Accepts::Yes } else { Accepts::No };
    if data_type.is_null() {
        return Accepts::Yes;
    }
    match parameter {
        Parameter::Bitmap => match width {
            Some(width) => Accepts::Deciding(width),
            None => yes(literal && text_type(data_type)),
        },
        Parameter::BitmapOf(wanted) => yes(width == Some(wanted)),
        Parameter::Element | Parameter::Bigint => yes(data_type.is_integer()),
        Parameter::Boolean => yes(*data_type == DataType::Boolean),
        Parameter::Text => yes(text_type(data_type)),
        Parameter::Bytes => yes(blob_type(data_type) && width.is_none()),
        Parameter::Array => match data_type {
            DataType::List(item) | DataType::LargeList(item) | DataType::FixedSizeList(item, _) => {
                match item.data_type() {
                    DataType::Int64 | DataType::UInt32 | DataType::UInt64 => Accepts::Deciding(Width::W64),
                    item if item.is_integer() => Accepts::Deciding(Width::W32),
                    item => yes(item.is_null()),
                }
            }
            _ => Accepts::No,
        },
    }
}

impl ScalarUDFImpl for BitmapScalar {
    fn name(&self) -> &str {
        self.definition.name
    }

    fn aliases(&self) -> &[String] {
        &self.definition.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        internal_err!("the result type of {} needs the argument fields", self.definition.name)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs) -> Result<FieldRef> {
        let (form, width) = self.resolve(args.arg_fields, |index| args.scalar_arguments[index].is_some())?;
        // A bad literal is an error of the statement, even over an empty table.
        for (index, value) in args.scalar_arguments.iter().enumerate() {
            let parameter = form.get(index.min(form.len().saturating_sub(1)));
            if let (Some(Parameter::Bitmap), Some(literal)) = (parameter, value.and_then(scalar_text)) {
                text::parse(literal, width)?;
            }
        }
        Ok(self.return_type_of(width))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let literal = |index: usize| matches!(args.args[index], ColumnarValue::Scalar(_));
        let (form, width) = self.resolve(&args.arg_fields, literal)?;
        let rows = Rows::new(&args.args, args.number_rows)?;
        let mut columns = Vec::with_capacity(rows.argument_count());
        for (index, field) in args.arg_fields.iter().enumerate() {
            let parameter = form[index.min(form.len() - 1)];
            columns.push(Column::new(parameter, field, rows.array(index), width)?);
        }
        let output_width = match self.definition.returns {
            Returns::BitmapOf(width) => width,
            _ => width,
        };
        let mut machine = Machine {
            width,
            buffers: Buffers::default(),
            writer: Writer::new(output_width, VALUE_BYTES_MAX),
            out: Vec::new(),
            elements: Vec::new(),
            text: String::new(),
        };
        let mut output = OutputColumn::new(self.definition.returns, width, rows.row_count());
        let mut values: Vec<Value<'_>> = Vec::with_capacity(columns.len());
        for column in &columns {
            values.push(if column.len() == 0 { Value::Null } else { column.value(0)? });
        }
        for row in 0..rows.row_count() {
            for (index, column) in columns.iter().enumerate() {
                if !rows.is_constant(index) {
                    values[index] = column.value(row)?;
                }
            }
            let answer = match self.definition.strict && values.iter().any(|value| matches!(value, Value::Null)) {
                true => Answer::Null,
                false => (self.definition.kernel)(&mut machine, &values)?,
            };
            output.append(answer, &mut machine)?;
        }
        rows.finish(output.finish())
    }
}

impl fmt::Debug for BitmapScalar {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BitmapScalar({})", self.definition.name)
    }
}

// The name decides: two functions of one name are the same function.
impl PartialEq for BitmapScalar {
    fn eq(&self, other: &Self) -> bool {
        self.definition.name == other.definition.name
    }
}

impl Eq for BitmapScalar {}

impl Hash for BitmapScalar {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.definition.name.hash(state);
    }
}

/// An argument column, read by row.
enum Column<'a> {
    Bitmaps(Blobs<'a>, Width),
    /// A literal that was parsed; None for NULL.
    Literal(Option<Vec<u8>>, Width),
    Integers(Integers),
    Booleans(&'a BooleanArray),
    Arrays {
        array: &'a ArrayRef,
        items: Integers,
    },
    Texts(Texts<'a>),
    Bytes(Blobs<'a>),
    Nulls(usize),
}

impl<'a> Column<'a> {
    fn new(parameter: Parameter, field: &Field, array: &'a ArrayRef, width: Width) -> Result<Self> {
        if array.data_type().is_null() {
            return Ok(Self::Nulls(array.len()));
        }
        Ok(match parameter {
            Parameter::Bitmap if text_type(array.data_type()) => {
                let parsed = Texts::new(array.as_ref())?.get(0).map(|literal| text::parse(literal, width));
                Self::Literal(parsed.transpose()?, width)
            }
            Parameter::Bitmap | Parameter::BitmapOf(_) => {
                Self::Bitmaps(Blobs::new(array.as_ref())?, Width::of_field(field).unwrap_or(width))
            }
            Parameter::Element | Parameter::Bigint => Self::Integers(Integers::new(array.as_ref())?),
            Parameter::Boolean => Self::Booleans(array.as_boolean()),
            Parameter::Text => Self::Texts(Texts::new(array.as_ref())?),
            Parameter::Bytes => Self::Bytes(Blobs::new(array.as_ref())?),
            Parameter::Array => {
                let items = match array.data_type() {
                    DataType::List(_) => array.as_list::<i32>().values(),
                    DataType::LargeList(_) => array.as_list::<i64>().values(),
                    _ => array.as_fixed_size_list().values(),
                };
                Self::Arrays { array, items: Integers::new(items.as_ref())? }
            }
        })
    }

    fn len(&self) -> usize {
        match self {
            Self::Bitmaps(blobs, _) | Self::Bytes(blobs) => blobs.len(),
            Self::Literal(_, _) => 1,
            Self::Integers(integers) => integers.array().len(),
            Self::Booleans(booleans) => booleans.len(),
            Self::Arrays { array, .. } => array.len(),
            Self::Texts(texts) => texts.len(),
            Self::Nulls(len) => *len,
        }
    }

    #[inline]
    fn value(&self, row: usize) -> Result<Value<'_>, SqlError> {
        Ok(match self {
            Self::Bitmaps(blobs, width) => match blobs.get(row) {
                Some(bytes) => Value::Bitmap(View::open(bytes, *width)?, bytes, *width),
                None => Value::Null,
            },
            Self::Literal(Some(bytes), width) => Value::Bitmap(View::open(bytes, *width)?, bytes, *width),
            Self::Integers(integers) => integers.get(row).map_or(Value::Null, Value::Integer),
            Self::Booleans(booleans) if booleans.is_valid(row) => Value::Boolean(booleans.value(row)),
            Self::Arrays { array, items } if array.is_valid(row) => Value::Array(items, item_range(array, row)),
            Self::Texts(texts) => texts.get(row).map_or(Value::Null, Value::Text),
            Self::Bytes(blobs) => blobs.get(row).map_or(Value::Null, Value::Bytes),
            Self::Literal(None, _) | Self::Booleans(_) | Self::Arrays { .. } | Self::Nulls(_) => Value::Null,
        })
    }
}

fn item_range(array: &ArrayRef, row: usize) -> std::ops::Range<usize> {
    match array.data_type() {
        DataType::List(_) => {
            let offsets = array.as_list::<i32>().value_offsets();
            offsets[row] as usize..offsets[row + 1] as usize
        }
        DataType::LargeList(_) => {
            let offsets = array.as_list::<i64>().value_offsets();
            offsets[row] as usize..offsets[row + 1] as usize
        }
        _ => {
            let length = array.as_fixed_size_list().value_length() as usize;
            row * length..(row + 1) * length
        }
    }
}

/// The result column being built.
enum OutputColumn {
    Bitmaps(BinaryViewBuilder),
    Integers32(Int32Builder),
    Integers64(Int64Builder),
    Booleans(BooleanBuilder),
    Doubles(Float64Builder),
    Arrays32(ListBuilder<Int32Builder>),
    Arrays64(ListBuilder<Int64Builder>),
    Texts(StringBuilder),
    Bytes(arrow::array::BinaryBuilder),
}

impl OutputColumn {
    fn new(returns: Returns, width: Width, rows: usize) -> Self {
        match (returns, width) {
            (Returns::Bitmap | Returns::BitmapOf(_), _) => Self::Bitmaps(BinaryViewBuilder::with_capacity(rows)),
            (Returns::Element, Width::W32) => Self::Integers32(Int32Builder::with_capacity(rows)),
            (Returns::Element, Width::W64) | (Returns::Bigint, _) => {
                Self::Integers64(Int64Builder::with_capacity(rows))
            }
            (Returns::Boolean, _) => Self::Booleans(BooleanBuilder::with_capacity(rows)),
            (Returns::Double, _) => Self::Doubles(Float64Builder::with_capacity(rows)),
            (Returns::Array, Width::W32) => Self::Arrays32(ListBuilder::with_capacity(Int32Builder::new(), rows)),
            (Returns::Array, Width::W64) => Self::Arrays64(ListBuilder::with_capacity(Int64Builder::new(), rows)),
            (Returns::Text, _) => Self::Texts(StringBuilder::new()),
            (Returns::Bytes, _) => Self::Bytes(arrow::array::BinaryBuilder::new()),
        }
    }

    /// Appends the answer and empties the machine's buffers.
    #[inline]
    fn append(&mut self, answer: Answer, machine: &mut Machine) -> Result<()> {
        match (self, answer) {
            (Self::Bitmaps(builder), Answer::Bytes) => builder.append_value(&machine.out),
            (Self::Bitmaps(builder), Answer::Null) => builder.append_null(),
            (Self::Integers32(builder), Answer::Integer(value)) => builder.append_value(value as i32),
            (Self::Integers32(builder), Answer::Null) => builder.append_null(),
            (Self::Integers64(builder), Answer::Integer(value)) => builder.append_value(value),
            (Self::Integers64(builder), Answer::Null) => builder.append_null(),
            (Self::Booleans(builder), Answer::Boolean(value)) => builder.append_value(value),
            (Self::Booleans(builder), Answer::Null) => builder.append_null(),
            (Self::Doubles(builder), Answer::Double(value)) => builder.append_value(value),
            (Self::Doubles(builder), Answer::Null) => builder.append_null(),
            (Self::Arrays32(builder), Answer::Elements) => {
                check_array(builder.values_ref().values_slice().len(), machine.elements.len())?;
                machine.elements.iter().for_each(|element| builder.values().append_value(*element as i32));
                builder.append(true);
            }
            (Self::Arrays32(builder), Answer::Null) => builder.append(false),
            (Self::Arrays64(builder), Answer::Elements) => {
                check_array(builder.values_ref().values_slice().len(), machine.elements.len())?;
                builder.values().append_slice(&machine.elements);
                builder.append(true);
            }
            (Self::Arrays64(builder), Answer::Null) => builder.append(false),
            (Self::Texts(builder), Answer::Text) => {
                check_array(builder.values_slice().len() / 16, machine.text.len() / 16)?;
                builder.append_value(&machine.text);
            }
            (Self::Texts(builder), Answer::Null) => builder.append_null(),
            (Self::Bytes(builder), Answer::Bytes) => {
                check_array(builder.values_slice().len() / 16, machine.out.len() / 16)?;
                builder.append_value(&machine.out);
            }
            (Self::Bytes(builder), Answer::Null) => builder.append_null(),
            (_, answer) => return internal_err!("a bitmap kernel answered {answer:?}"),
        }
        machine.out.clear();
        machine.elements.clear();
        machine.text.clear();
        Ok(())
    }

    fn finish(self) -> ArrayRef {
        match self {
            Self::Bitmaps(mut builder) => Arc::new(builder.finish()),
            Self::Integers32(mut builder) => Arc::new(builder.finish()),
            Self::Integers64(mut builder) => Arc::new(builder.finish()),
            Self::Booleans(mut builder) => Arc::new(builder.finish()),
            Self::Doubles(mut builder) => Arc::new(builder.finish()),
            Self::Arrays32(mut builder) => Arc::new(builder.finish()),
            Self::Arrays64(mut builder) => Arc::new(builder.finish()),
            Self::Texts(mut builder) => Arc::new(builder.finish()),
            Self::Bytes(mut builder) => Arc::new(builder.finish()),
        }
    }
}

/// Refuses an array, or a batch of them, beyond what the column can hold.
pub(super) fn check_array(before: usize, added: usize) -> Result<(), SqlError> {
    if before + added <= ARRAY_ELEMENTS_MAX {
        return Ok(());
    }
    let message = format!("array size exceeds the maximum allowed ({ARRAY_ELEMENTS_MAX})");
    Err(SqlError::new(PROGRAM_LIMIT_EXCEEDED, message))
}

impl Machine {
    /// Writes the combination of all bitmaps among the values.
    pub fn combine(&mut self, operation: Operation, values: &[Value<'_>]) -> Result<Answer, SqlError> {
        match values {
            [Value::Bitmap(a, _, _), Value::Bitmap(b, _, _)] => {
                self.combine_operands(operation, &[Operand::View(a), Operand::View(b)])
            }
            _ => self.combine_operands(operation, &operands(values)),
        }
    }

    /// Writes the combination of these operands.
    pub fn combine_operands(&mut self, operation: Operation, operands: &[Operand<'_>]) -> Result<Answer, SqlError> {
        combine(operation, operands, &mut self.buffers, &mut self.writer)?;
        self.writer.finish(&mut self.out);
        Ok(Answer::Bytes)
    }

    /// Counts the combination of all bitmaps among the values.
    pub fn count(&mut self, operation: Operation, values: &[Value<'_>]) -> Result<u64, SqlError> {
        if let [Value::Bitmap(a, _, _), Value::Bitmap(b, _, _)] = values {
            let common = super::combine::and_cardinality(a, b);
            return Ok(match operation {
                Operation::And => common,
                Operation::Or => a.cardinality() + b.cardinality() - common,
                Operation::Xor => a.cardinality() + b.cardinality() - 2 * common,
                Operation::AndNot => a.cardinality() - common,
            });
        }
        let mut counter = Counter::default();
        combine(operation, &operands(values), &mut self.buffers, &mut counter)?;
        Ok(counter.count)
    }

    /// Answers the bytes given.
    pub fn copy(&mut self, bytes: &[u8]) -> Result<Answer, SqlError> {
        self.out.extend_from_slice(bytes);
        Ok(Answer::Bytes)
    }

    /// Answers what has been written, the empty set if nothing was.
    pub fn written(&mut self) -> Result<Answer, SqlError> {
        self.writer.finish(&mut self.out);
        Ok(Answer::Bytes)
    }
}

fn operands<'v>(values: &'v [Value<'v>]) -> Vec<Operand<'v>> {
    let bitmaps = values.iter().filter_map(|value| match value {
        Value::Bitmap(view, _, _) => Some(Operand::View(view)),
        _ => None,
    });
    bitmaps.collect()
}
