//! Set-returning functions, as functions that give the list of their values.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Int32Array, ListArray, StructArray};
use datafusion::arrow::buffer::OffsetBuffer;
use datafusion::arrow::datatypes::{DataType, Field, FieldRef, Fields};
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::{
    ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

use super::{Definition, SystemFunction, function};
use crate::engine::system::rows::Cell;

/// The functions whose values are of one plain type; each returns the array of them.
const LISTS: &[Definition] = &[
    // Tables have no partitions in PostgreSQL's sense.
    function("pg_partition_ancestors", &[1], "_regclass", |_, _| Ok(Cell::List(Vec::new()))),
    function("pg_listening_channels", &[0], "_text", |scope, _| Ok(scope.vars.channels().into())),
];

/// The list form of a set-returning function of ours.
pub(in crate::engine) fn list_form(name: &str) -> Option<ScalarUDF> {
    if name == "_pg_expandarray" {
        return Some(ScalarUDF::new_from_impl(ExpandArray { signature: Signature::any(1, Volatility::Immutable) }));
    }
    let definition = LISTS.iter().find(|definition| definition.name == name)?;
    Some(ScalarUDF::from(SystemFunction::new(*definition)))
}

/// `_pg_expandarray(array)`: each element x with its number n from 1.
#[derive(Debug, PartialEq, Eq, Hash)]
struct ExpandArray {
    signature: Signature,
}

fn pair(element: &FieldRef) -> Fields {
    let x = Field::new("x", element.data_type().clone(), true).with_metadata(element.metadata().clone());
    Fields::from(vec![x, Field::new("n", DataType::Int32, true)])
}

fn element_of(list: &DataType) -> Result<FieldRef> {
    match list {
        DataType::List(element) => Ok(Arc::clone(element)),
        other => exec_err!("_pg_expandarray takes an array, not {other}"),
    }
}

impl ScalarUDFImpl for ExpandArray {
    fn name(&self) -> &str {
        "_pg_expandarray"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        let element = element_of(&types[0])?;
        Ok(DataType::new_list(DataType::Struct(pair(&element)), true))
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let types = [args.arg_fields[0].data_type().clone()];
        Ok(Arc::new(Field::new(self.name(), self.return_type(&types)?, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let array = args.args[0].to_array(args.number_rows)?;
        let element = element_of(array.data_type())?;
        let list = array.as_list::<i32>();
        let (mut lengths, mut numbers, mut pieces) = (Vec::new(), Vec::new(), Vec::new());
        for row in 0..list.len() {
            let values = if list.is_null(row) { list.values().slice(0, 0) } else { list.value(row) };
            lengths.push(values.len());
            numbers.extend((1..).take(values.len()));
            pieces.push(values);
        }
        let pieces: Vec<&dyn Array> = pieces.iter().map(AsRef::as_ref).collect();
        let values: ArrayRef =
            if pieces.is_empty() { list.values().slice(0, 0) } else { datafusion::arrow::compute::concat(&pieces)? };
        let numbers: ArrayRef = Arc::new(Int32Array::from_iter_values(numbers));
        let fields = pair(&element);
        let pairs = StructArray::try_new(fields.clone(), vec![values, numbers], None)?;
        let item = Arc::new(Field::new_list_field(DataType::Struct(fields), true));
        let list = ListArray::try_new(item, OffsetBuffer::from_lengths(lengths), Arc::new(pairs), None)?;
        Ok(ColumnarValue::Array(Arc::new(list)))
    }
}
