//! `connected_components(a, b)`: [`Forest`] as a SQL aggregate.
//!
//! Every row is an edge; the result lists every node with the smallest node of its component.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BinaryViewArray, Date32Array, FixedSizeBinaryArray, Int32Array, Int64Array, ListArray,
    StringArray, StructArray,
};
use arrow::buffer::OffsetBuffer;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, FieldRef, Fields};
use datafusion_common::{Result, ScalarValue, internal_err};
use datafusion_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion_expr::{Accumulator, AggregateUDFImpl, Signature, Volatility};

use super::forest::{Forest, Node};
use crate::arguments::{Blobs, Integers, Texts, text_type};
use crate::documentation::{Documentation, Example};
use crate::error::{PROGRAM_LIMIT_EXCEEDED, UNDEFINED_FUNCTION};
use crate::family::{Function, LawArgument, LawCase};
use crate::frame::FrameAccumulator;
use crate::{SqlError, type_name};

/// Bytes of a uuid.
const UUID_BYTES: i32 = 16;

/// The aggregate.
#[derive(Debug, PartialEq, Eq, Hash)]
struct ConnectedComponents {
    signature: Signature,
}

pub(super) fn function() -> Function {
    // Any types, so that the check with PostgreSQL's message is ours.
    let signature = Signature::variadic_any(Volatility::Immutable);
    let documentation = Documentation {
        syntax: ["bigint", "integer", "text", "uuid", "date"]
            .map(|t| format!("connected_components(a {t}, b {t}) -> record(node {t}, component {t})[]"))
            .into(),
        description:
            "Takes every row as an edge between a and b and lists every node with its component, named by the \
                      smallest node in it, ordered by component and node."
                .into(),
        arguments: vec![("a, b", "the ends of the edge, of one type; integers of different widths become bigint")],
        rules:
            "One side NULL, or a = b: a lone node. Both NULL: ignored. Duplicate and reversed edges change nothing. No \
                rows: an empty list. Text compares by bytes."
                .into(),
        cost: "O(alpha) per edge and O(nodes) memory; O(nodes log nodes) once for the order.",
        source: "union-find with path halving",
        examples: vec![Example::new(
            "SELECT c['node'], c['component'] FROM (SELECT unnest(connected_components(a, b)) AS c FROM (VALUES (1, 2), (3, 2), \
             (7, NULL)) AS t(a, b)) AS s",
            "1|1\n2|1\n3|1\n7|7",
        )],
    };
    Function::aggregate(ConnectedComponents { signature }, documentation, cases)
}

/// What the nodes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Integer,
    Date,
    Text,
    Uuid,
}

impl Kind {
    fn of(data_type: &DataType) -> Option<Self> {
        Some(match data_type {
            DataType::Date32 => Self::Date,
            DataType::FixedSizeBinary(UUID_BYTES) => Self::Uuid,
            other if text_type(other) => Self::Text,
            other if other.is_integer() => Self::Integer,
            _ => return None,
        })
    }
}

/// The type of the nodes and the field whose metadata names it.
fn node_field(fields: &[FieldRef]) -> Result<FieldRef, SqlError> {
    let undefined = || {
        let types: Vec<String> = fields.iter().map(|field| type_name::sql_type_name(field.data_type())).collect();
        let message = format!("function connected_components({}) does not exist", types.join(", "));
        SqlError::new(UNDEFINED_FUNCTION, message)
            .with_hint("Both arguments must be of one type: an integer type, text, uuid or date.")
    };
    let [a, b] = fields else { return Err(undefined()) };
    let (first, second) = match (a.data_type().is_null(), b.data_type().is_null()) {
        (true, true) => return Ok(Arc::new(Field::new("node", DataType::Utf8, true))),
        (true, false) => (b, b),
        (false, true) => (a, a),
        (false, false) => (a, b),
    };
    let kind = Kind::of(first.data_type()).filter(|kind| Kind::of(second.data_type()) == Some(*kind));
    let data_type = match kind.ok_or_else(undefined)? {
        Kind::Integer if first.data_type() != second.data_type() => DataType::Int64,
        Kind::Text => DataType::Utf8,
        _ => first.data_type().clone(),
    };
    Ok(Arc::new(Field::new("node", data_type, true).with_metadata(first.metadata().clone())))
}

impl AggregateUDFImpl for ConnectedComponents {
    fn name(&self) -> &str {
        "connected_components"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, arguments: &[DataType]) -> Result<DataType> {
        let fields: Vec<FieldRef> =
            arguments.iter().map(|t| Arc::new(Field::new("argument", t.clone(), true)) as FieldRef).collect();
        Ok(self.return_field(&fields)?.data_type().clone())
    }

    fn return_field(&self, fields: &[FieldRef]) -> Result<FieldRef> {
        let node = node_field(fields)?;
        let component = Arc::new(node.as_ref().clone().with_name("component"));
        let row = DataType::Struct(Fields::from(vec![node, component]));
        Ok(Arc::new(Field::new(self.name(), DataType::new_list(row, true), true)))
    }

    fn default_value(&self, data_type: &DataType) -> Result<ScalarValue> {
        let DataType::List(item) = data_type else { return ScalarValue::try_from(data_type) };
        Ok(ScalarValue::List(ScalarValue::new_list(&[], item.data_type(), true)))
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        Ok(vec![Arc::new(Field::new(format_state_name(args.name, "forest"), DataType::BinaryView, true))])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        Ok(Box::new(Components::new(node_field(args.expr_fields)?.as_ref(), args.return_field.data_type())?))
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let (node, return_type) = (node_field(args.expr_fields)?, args.return_field.data_type().clone());
        Ok(Box::new(FrameAccumulator::new(move || Ok(Box::new(Components::new(&node, &return_type)?)))))
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }
}

#[derive(Debug)]
struct Components {
    kind: Kind,
    node_type: DataType,
    item: FieldRef,
    forest: Forest,
}

/// One side of the edges.
enum Side<'a> {
    Integers(Integers),
    Texts(Texts<'a>),
    Blobs(Blobs<'a>),
}

impl<'a> Side<'a> {
    fn new(kind: Kind, array: &'a ArrayRef) -> Result<Self> {
        Ok(match kind {
            Kind::Integer => Self::Integers(Integers::new(array.as_ref())?),
            Kind::Date if array.data_type().is_null() => Self::Integers(Integers::new(array.as_ref())?),
            Kind::Date => Self::Integers(Integers::new(&cast(array, &DataType::Int32)?)?),
            Kind::Text => Self::Texts(Texts::new(array.as_ref())?),
            Kind::Uuid => Self::Blobs(Blobs::new(array.as_ref())?),
        })
    }

    #[inline]
    fn get(&self, row: usize) -> Option<Node<'_>> {
        match self {
            Self::Integers(integers) => integers.get(row).map(Node::Integer),
            Self::Texts(texts) => texts.get(row).map(|text| Node::Bytes(text.as_bytes())),
            Self::Blobs(blobs) => blobs.get(row).map(Node::Bytes),
        }
    }
}

impl Components {
    fn new(node: &Field, return_type: &DataType) -> Result<Self> {
        let (DataType::List(item), Some(kind)) = (return_type, Kind::of(node.data_type())) else {
            return internal_err!("connected_components returns a list of nodes, not {return_type}");
        };
        let forest = match kind {
            Kind::Integer | Kind::Date => Forest::of_integers(),
            Kind::Text | Kind::Uuid => Forest::of_bytes(),
        };
        Ok(Self { kind, node_type: node.data_type().clone(), item: Arc::clone(item), forest })
    }

    /// The nodes of these indices as an array of the node type.
    fn nodes(&self, indices: impl Iterator<Item = u32> + Clone) -> Result<ArrayRef> {
        let integers = || {
            indices.clone().map(|index| match self.forest.node(index) {
                Node::Integer(value) => value,
                Node::Bytes(_) => 0,
            })
        };
        let bytes = || {
            indices.clone().map(|index| match self.forest.node(index) {
                Node::Bytes(bytes) => bytes,
                Node::Integer(_) => &[],
            })
        };
        Ok(match self.kind {
            Kind::Date => Arc::new(integers().map(|day| Some(day as i32)).collect::<Date32Array>()),
            Kind::Integer if self.node_type == DataType::Int32 => {
                Arc::new(integers().map(|value| Some(value as i32)).collect::<Int32Array>())
            }
            Kind::Integer => cast(&Int64Array::from_iter_values(integers()), &self.node_type)?,
            Kind::Uuid if self.forest.is_empty() => arrow::array::new_empty_array(&self.node_type),
            Kind::Uuid => Arc::new(FixedSizeBinaryArray::try_from_iter(bytes())?),
            Kind::Text => {
                // Limit: offsets of a text column are 31 bits.
                if bytes().map(<[u8]>::len).sum::<usize>() > i32::MAX as usize {
                    return Err(too_large());
                }
                let texts: Result<Vec<&str>, _> = bytes().map(std::str::from_utf8).collect();
                match texts {
                    Ok(texts) => Arc::new(StringArray::from_iter_values(texts)),
                    Err(_) => return internal_err!("a text node is no text"),
                }
            }
        })
    }

    fn valid(kind: Kind, bytes: &[u8]) -> bool {
        match kind {
            Kind::Uuid => bytes.len() == UUID_BYTES as usize,
            _ => std::str::from_utf8(bytes).is_ok(),
        }
    }
}

impl Accumulator for Components {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let (a, b) = (Side::new(self.kind, &values[0])?, Side::new(self.kind, &values[1])?);
        for row in 0..values[0].len() {
            match (a.get(row), b.get(row)) {
                (Some(a), Some(b)) => {
                    let (a, b) = (self.forest.add(a)?, self.forest.add(b)?);
                    self.forest.join(a, b);
                }
                (Some(lone), None) | (None, Some(lone)) => {
                    self.forest.add(lone)?;
                }
                (None, None) => {}
            }
        }
        Ok(())
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        let pairs = self.forest.components();
        if pairs.len() > i32::MAX as usize {
            return Err(too_large());
        }
        let DataType::Struct(fields) = self.item.data_type() else {
            return internal_err!("connected_components returns records");
        };
        let columns =
            vec![self.nodes(pairs.iter().map(|(node, _)| *node))?, self.nodes(pairs.iter().map(|(_, c)| *c))?];
        let rows = StructArray::try_new(fields.clone(), columns, None)?;
        let offsets = OffsetBuffer::from_lengths([pairs.len()]);
        let list = ListArray::try_new(Arc::clone(&self.item), offsets, Arc::new(rows), None)?;
        Ok(ScalarValue::List(Arc::new(list)))
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        let bytes = self.forest.to_bytes();
        if bytes.len() > i32::MAX as usize {
            return Err(too_large());
        }
        Ok(vec![ScalarValue::BinaryView(Some(bytes))])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        let Some(states) = states[0].as_any().downcast_ref::<BinaryViewArray>() else {
            return internal_err!("the state of connected_components is bytes");
        };
        let kind = self.kind;
        for state in states.iter().flatten() {
            self.forest.merge_bytes(state, |bytes| Self::valid(kind, bytes))?;
        }
        Ok(())
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.forest.heap_bytes()
    }
}

fn too_large() -> datafusion_common::DataFusionError {
    SqlError::new(PROGRAM_LIMIT_EXCEEDED, "connected_components has more nodes than one list can hold").into()
}

fn cases() -> Vec<LawCase> {
    let a = [Some(5), Some(1), None, Some(9), Some(2), None, Some(7), Some(30), Some(31), Some(5)];
    let b = [Some(1), Some(2), Some(4), Some(9), Some(5), None, None, Some(31), Some(32), Some(1)];
    let pair = |name: &str, build: &dyn Fn(&[Option<i64>]) -> ArrayRef| {
        LawCase::new(name, vec![LawArgument::column(build(&a)), LawArgument::column(build(&b))])
    };
    let uuid = |values: &[Option<i64>]| -> ArrayRef {
        let values = values.iter().map(|v| v.map(|v| [v as u8; UUID_BYTES as usize]));
        let array = FixedSizeBinaryArray::try_from_sparse_iter_with_size(values, UUID_BYTES);
        Arc::new(array.expect("every value has the size"))
    };
    vec![
        pair("bigint", &|values| Arc::new(Int64Array::from(values.to_vec()))),
        pair("integer", &|values| Arc::new(values.iter().map(|v| v.map(|v| v as i32)).collect::<Int32Array>())),
        pair("date", &|values| Arc::new(values.iter().map(|v| v.map(|v| v as i32)).collect::<Date32Array>())),
        pair("text", &|values| Arc::new(values.iter().map(|v| v.map(|v| format!("n{v}"))).collect::<StringArray>())),
        pair("uuid", &uuid),
    ]
}
