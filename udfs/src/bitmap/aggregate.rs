//! The bitmap aggregates: `rb_build_agg`, `rb_or_agg`, `rb_and_agg`, `rb_xor_agg` and their counts.
//!
//! NULL inputs are skipped; a group without any other input is NULL, counts included (other engines' names say where they
//! differ, `names.rs`). A partial state is a version byte and the canonical bytes, so partial results merge without
//! decoding. Evaluating does not consume the state: window frames that only grow work.

use std::fmt::Debug;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryViewArray, BinaryViewBuilder, BooleanArray, Int64Builder};
use arrow::datatypes::{DataType, Field, FieldRef};
use datafusion_common::{Result, ScalarValue};
use datafusion_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion_expr::utils::{AggregateOrderSensitivity, format_state_name};
use datafusion_expr::{Accumulator, AggregateUDFImpl, EmitTo, GroupsAccumulator, Signature, Volatility};

use super::combine::{Buffers, Operand, Operation, combine};
use super::format::View;
use super::types::{VALUE_BYTES_MAX, Width, sql_type_name};
use super::union::Union;
use super::writer::{Counter, Sink, Writer};
use crate::SqlError;
use crate::arguments::{Blobs, Integers};
use crate::error::{FEATURE_NOT_SUPPORTED, UNDEFINED_FUNCTION};
use crate::frame::FrameAccumulator;

const STATE_VERSION: u8 = 1;
/// Limit: what one value of an Arrow array can hold.
const STATE_BYTES_MAX: usize = i32::MAX as usize;

/// What an aggregate reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Input {
    /// Elements; the width follows the argument type.
    Elements,
    /// Elements of a 64-bit bitmap, whatever their type.
    Elements64,
    /// Bitmaps.
    Bitmaps,
}

/// What an aggregate returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Output {
    /// The bitmap, NULL without input.
    Bitmap,
    /// Its cardinality, NULL without input.
    Count,
    /// Its cardinality, 0 without input.
    CountOrZero,
}

/// One of the bitmap aggregates.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct BitmapAggregate {
    name: &'static str,
    aliases: Vec<String>,
    input: Input,
    /// Never [`Operation::AndNot`].
    operation: Operation,
    output: Output,
    signature: Signature,
}

impl BitmapAggregate {
    /// An aggregate by what it reads, does and returns.
    pub fn new(name: &'static str, aliases: &[&str], input: Input, operation: Operation, output: Output) -> Self {
        // Any number of any types, so that the check with PostgreSQL's message is ours.
        let signature = Signature::variadic_any(Volatility::Immutable);
        let aliases = aliases.iter().map(|alias| alias.to_string()).collect();
        Self { name, aliases, input, operation, output, signature }
    }

    fn width(&self, fields: &[FieldRef]) -> Result<Width, SqlError> {
        let undefined = || {
            let types: Vec<String> = fields.iter().map(|field| sql_type_name(field)).collect();
            let message = format!("function {}({}) does not exist", self.name, types.join(", "));
            let hint = match self.input {
                Input::Bitmaps => "The argument must be a roaringbitmap or roaringbitmap64; you might need a cast.",
                Input::Elements | Input::Elements64 => "The argument must be an integer or a bigint.",
            };
            SqlError::new(UNDEFINED_FUNCTION, message).with_hint(hint)
        };
        let [field] = fields else { return Err(undefined()) };
        let integer = field.data_type().is_integer() || field.data_type().is_null();
        match self.input {
            Input::Bitmaps if field.data_type().is_null() => Ok(Width::W32),
            Input::Bitmaps => Width::of_field(field).ok_or_else(undefined),
            Input::Elements64 if integer => Ok(Width::W64),
            Input::Elements if integer => Ok(match field.data_type() {
                DataType::Int64 | DataType::UInt32 | DataType::UInt64 => Width::W64,
                _ => Width::W32,
            }),
            _ => Err(undefined()),
        }
    }

    fn groups<S: SetState>(&self, fields: &[FieldRef]) -> Result<SetGroups<S>> {
        let width = self.width(fields)?;
        Ok(SetGroups {
            name: self.name,
            width,
            input: self.input,
            output: self.output,
            states: Vec::new(),
            ledger: 0,
            tools: Tools { buffers: Buffers::default(), writer: Writer::new(width, STATE_BYTES_MAX) },
        })
    }

    fn fresh(&self, fields: &[FieldRef]) -> Result<Box<dyn Accumulator>> {
        Ok(match self.operation {
            Operation::And => Box::new(SetAccumulator::new(self.groups::<Intersection>(fields)?)),
            Operation::Xor => Box::new(SetAccumulator::new(self.groups::<Difference>(fields)?)),
            _ => Box::new(SetAccumulator::new(self.groups::<Collection>(fields)?)),
        })
    }

    /// DISTINCT changes nothing but for xor, where nobody wants it.
    fn check_distinct(&self, args: &AccumulatorArgs) -> Result<()> {
        if args.is_distinct && self.operation == Operation::Xor {
            let message = format!("DISTINCT is not supported for {}", self.name);
            return Err(SqlError::new(FEATURE_NOT_SUPPORTED, message).into());
        }
        Ok(())
    }
}

impl AggregateUDFImpl for BitmapAggregate {
    fn name(&self) -> &str {
        self.name
    }

    fn aliases(&self) -> &[String] {
        &self.aliases
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(match self.output {
            Output::Bitmap => DataType::BinaryView,
            Output::Count | Output::CountOrZero => DataType::Int64,
        })
    }

    fn return_field(&self, fields: &[FieldRef]) -> Result<FieldRef> {
        let width = self.width(fields)?;
        Ok(match self.output {
            Output::Bitmap => width.field(self.name),
            Output::Count | Output::CountOrZero => Arc::new(Field::new(self.name, DataType::Int64, true)),
        })
    }

    fn default_value(&self, data_type: &DataType) -> Result<ScalarValue> {
        match self.output {
            Output::CountOrZero => Ok(ScalarValue::Int64(Some(0))),
            _ => ScalarValue::try_from(data_type),
        }
    }

    fn state_fields(&self, args: StateFieldsArgs) -> Result<Vec<FieldRef>> {
        Ok(vec![Arc::new(Field::new(format_state_name(args.name, "set"), DataType::BinaryView, true))])
    }

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        self.check_distinct(&args)?;
        self.fresh(args.expr_fields)
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        self.check_distinct(&args)?;
        if self.operation == Operation::Xor {
            return self.fresh(args.expr_fields);
        }
        let (aggregate, fields) = (self.clone(), args.expr_fields.to_vec());
        Ok(Box::new(FrameAccumulator::new(move || aggregate.fresh(&fields))))
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        self.check_distinct(&args).is_ok()
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        Ok(match self.operation {
            Operation::And => Box::new(self.groups::<Intersection>(args.expr_fields)?),
            Operation::Xor => Box::new(self.groups::<Difference>(args.expr_fields)?),
            _ => Box::new(self.groups::<Collection>(args.expr_fields)?),
        })
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        AggregateOrderSensitivity::Insensitive
    }
}

/// Buffers shared by the groups.
#[derive(Debug)]
struct Tools {
    buffers: Buffers,
    writer: Writer,
}

/// The state of one group.
trait SetState: Debug + Default + Send + Sync + 'static {
    /// Adds an element; only collections have some.
    fn insert(&mut self, _element: u64, _ledger: &mut usize) {}
    /// Takes in a bitmap, whose bytes are given too.
    fn merge(&mut self, bytes: &[u8], view: &View<'_>, tools: &mut Tools, ledger: &mut usize) -> Result<(), SqlError>;
    /// Undoes a merge, where that is possible.
    fn retract(
        &mut self,
        _bytes: &[u8],
        _view: &View<'_>,
        _tools: &mut Tools,
        _ledger: &mut usize,
    ) -> Result<(), SqlError> {
        Err(SqlError::new(FEATURE_NOT_SUPPORTED, "the aggregate cannot retract"))
    }
    /// Is retracting possible?
    const RETRACTS: bool = false;
    /// Has there been any input?
    fn seen(&self) -> bool;
    /// Hands the set to a sink and stays usable.
    fn emit(&mut self, width: Width, buffers: &mut Buffers, sink: &mut impl Sink) -> Result<(), SqlError>;
    /// Bytes on the heap, as they were booked.
    fn heap_bytes(&self) -> usize;
}

/// Union of elements or bitmaps.
#[derive(Debug, Default)]
struct Collection {
    seen: bool,
    union: Union,
}

impl SetState for Collection {
    #[inline]
    fn insert(&mut self, element: u64, ledger: &mut usize) {
        self.seen = true;
        self.union.insert(element, ledger);
    }

    fn merge(
        &mut self,
        _bytes: &[u8],
        view: &View<'_>,
        _tools: &mut Tools,
        ledger: &mut usize,
    ) -> Result<(), SqlError> {
        self.seen = true;
        self.union.merge(view, ledger);
        Ok(())
    }

    fn seen(&self) -> bool {
        self.seen
    }

    fn emit(&mut self, _width: Width, _buffers: &mut Buffers, sink: &mut impl Sink) -> Result<(), SqlError> {
        self.union.emit(sink)
    }

    fn heap_bytes(&self) -> usize {
        self.union.heap_bytes()
    }
}

/// The common values so far, as bytes. Once empty it stays empty without reading further input.
#[derive(Debug, Default)]
struct Intersection {
    bytes: Option<Vec<u8>>,
}

impl SetState for Intersection {
    fn merge(&mut self, bytes: &[u8], view: &View<'_>, tools: &mut Tools, ledger: &mut usize) -> Result<(), SqlError> {
        let Some(current) = &mut self.bytes else {
            let copy = bytes.to_vec();
            *ledger += copy.capacity();
            self.bytes = Some(copy);
            return Ok(());
        };
        let width = tools.writer.width();
        let mine = View::open(current, width)?;
        if mine.is_empty() {
            return Ok(());
        }
        combine(Operation::And, &[Operand::View(&mine), Operand::View(view)], &mut tools.buffers, &mut tools.writer)?;
        let before = current.capacity();
        current.clear();
        tools.writer.finish(current);
        *ledger = *ledger + current.capacity() - before;
        Ok(())
    }

    fn seen(&self) -> bool {
        self.bytes.is_some()
    }

    fn emit(&mut self, width: Width, buffers: &mut Buffers, sink: &mut impl Sink) -> Result<(), SqlError> {
        match &self.bytes {
            Some(bytes) => combine(Operation::And, &[Operand::View(&View::open(bytes, width)?)], buffers, sink),
            None => Ok(()),
        }
    }

    fn heap_bytes(&self) -> usize {
        self.bytes.as_ref().map_or(0, Vec::capacity)
    }
}

/// Symmetric difference, as a binary counter of partial results: level i holds the difference of 2^i inputs, so that n
/// inputs cost log n passes over their bytes and not n.
#[derive(Debug, Default)]
struct Difference {
    inputs: u64,
    levels: Vec<Vec<u8>>,
}

impl Difference {
    fn toggle(&mut self, bytes: &[u8], tools: &mut Tools, ledger: &mut usize) -> Result<(), SqlError> {
        let before = self.heap_bytes();
        let width = tools.writer.width();
        let mut carry = bytes.to_vec();
        let mut level = 0;
        loop {
            match self.levels.get_mut(level) {
                None => {
                    self.levels.push(carry);
                    break;
                }
                Some(place) if place.is_empty() => {
                    *place = carry;
                    break;
                }
                Some(place) => {
                    let (mine, other) = (View::open(place, width)?, View::open(&carry, width)?);
                    let operands = [Operand::View(&mine), Operand::View(&other)];
                    combine(Operation::Xor, &operands, &mut tools.buffers, &mut tools.writer)?;
                    let mut next = Vec::new();
                    tools.writer.finish(&mut next);
                    *place = Vec::new();
                    carry = next;
                    level += 1;
                }
            }
        }
        *ledger = *ledger + self.heap_bytes() - before;
        Ok(())
    }
}

impl SetState for Difference {
    const RETRACTS: bool = true;

    fn merge(&mut self, bytes: &[u8], _view: &View<'_>, tools: &mut Tools, ledger: &mut usize) -> Result<(), SqlError> {
        self.inputs += 1;
        self.toggle(bytes, tools, ledger)
    }

    fn retract(
        &mut self,
        bytes: &[u8],
        _view: &View<'_>,
        tools: &mut Tools,
        ledger: &mut usize,
    ) -> Result<(), SqlError> {
        self.inputs -= 1;
        self.toggle(bytes, tools, ledger)
    }

    fn seen(&self) -> bool {
        self.inputs > 0
    }

    fn emit(&mut self, width: Width, buffers: &mut Buffers, sink: &mut impl Sink) -> Result<(), SqlError> {
        let levels = self.levels.iter().filter(|level| !level.is_empty());
        let views: Vec<View<'_>> = levels.map(|level| View::open(level, width)).collect::<Result<_, _>>()?;
        let operands: Vec<Operand<'_>> = views.iter().map(Operand::View).collect();
        combine(Operation::Xor, &operands, buffers, sink)
    }

    fn heap_bytes(&self) -> usize {
        let table = self.levels.capacity() * size_of::<Vec<u8>>();
        table + self.levels.iter().map(Vec::capacity).sum::<usize>()
    }
}

/// All groups of one aggregate.
#[derive(Debug)]
struct SetGroups<S> {
    name: &'static str,
    width: Width,
    input: Input,
    output: Output,
    states: Vec<S>,
    /// Heap bytes of all states.
    ledger: usize,
    tools: Tools,
}

impl<S: SetState> SetGroups<S> {
    /// Feeds the rows that pass `group_of`, which names their group.
    fn update(&mut self, values: &ArrayRef, group_of: impl Fn(usize) -> Option<usize>) -> Result<()> {
        if self.input == Input::Bitmaps {
            let blobs = Blobs::new(values.as_ref())?;
            for row in 0..blobs.len() {
                let (Some(group), Some(bytes)) = (group_of(row), blobs.get(row)) else { continue };
                self.merge_one(group, bytes)?;
            }
            return Ok(());
        }
        let integers = Integers::new(values.as_ref())?;
        let elements = integers.array();
        for row in 0..elements.len() {
            if elements.is_null(row) {
                continue;
            }
            let Some(group) = group_of(row) else { continue };
            let element = self.element(elements.value(row));
            self.states[group].insert(element, &mut self.ledger);
        }
        Ok(())
    }

    /// The argument type decides the width, so every value fits.
    #[inline]
    fn element(&self, value: i64) -> u64 {
        if self.width == Width::W64 { value as u64 } else { u64::from(value as u32) }
    }

    fn merge_one(&mut self, group: usize, bytes: &[u8]) -> Result<(), SqlError> {
        let view = View::open(bytes, self.width)?;
        self.states[group].merge(bytes, &view, &mut self.tools, &mut self.ledger)
    }

    fn merge_states(&mut self, states: &BinaryViewArray, group_of: impl Fn(usize) -> usize) -> Result<()> {
        for (row, state) in states.iter().enumerate() {
            let Some(state) = state else { continue };
            let bytes = match state.split_first() {
                Some((&STATE_VERSION, bytes)) => bytes,
                _ => return Err(SqlError::corrupt_state(self.name, "The version is unknown.").into()),
            };
            super::format::validate(bytes, self.width)
                .map_err(|e| SqlError::corrupt_state(self.name, format!("At byte {}: {}.", e.at, e.what)))?;
            self.merge_one(group_of(row), bytes)?;
        }
        Ok(())
    }

    fn grow(&mut self, groups: usize) {
        if self.states.len() < groups {
            self.states.resize_with(groups, S::default);
        }
    }

    fn values(&mut self, states: &mut [S]) -> Result<ArrayRef> {
        if self.output == Output::Bitmap {
            let mut builder = BinaryViewBuilder::with_capacity(states.len());
            let mut bytes = Vec::new();
            for state in states {
                if !state.seen() {
                    builder.append_null();
                    continue;
                }
                bytes.clear();
                self.write(state, VALUE_BYTES_MAX, &mut bytes)?;
                builder.append_value(&bytes);
            }
            return Ok(Arc::new(builder.finish()));
        }
        let mut builder = Int64Builder::with_capacity(states.len());
        for state in states {
            if !state.seen() {
                builder.append_option((self.output == Output::CountOrZero).then_some(0));
                continue;
            }
            let mut counter = Counter::default();
            state.emit(self.width, &mut self.tools.buffers, &mut counter)?;
            builder.append_value(counter.count as i64);
        }
        Ok(Arc::new(builder.finish()))
    }

    fn write(&mut self, state: &mut S, bytes_max: usize, out: &mut Vec<u8>) -> Result<(), SqlError> {
        let mut writer = Writer::new(self.width, bytes_max);
        state.emit(self.width, &mut self.tools.buffers, &mut writer)?;
        writer.finish(out);
        Ok(())
    }

    fn partial(&mut self, states: &mut [S]) -> Result<ArrayRef> {
        let mut builder = BinaryViewBuilder::with_capacity(states.len());
        let mut bytes = Vec::new();
        for state in states {
            if !state.seen() {
                builder.append_null();
                continue;
            }
            bytes.clear();
            bytes.push(STATE_VERSION);
            self.write(state, STATE_BYTES_MAX, &mut bytes)?;
            builder.append_value(&bytes);
        }
        Ok(Arc::new(builder.finish()))
    }

    fn take(&mut self, emit_to: EmitTo) -> Vec<S> {
        let states = emit_to.take_needed(&mut self.states);
        self.ledger -= states.iter().map(S::heap_bytes).sum::<usize>();
        states
    }

    fn bytes(&self) -> usize {
        let tools = self.tools.buffers.size() + self.tools.writer.size();
        self.ledger + self.states.capacity() * size_of::<S>() + tools
    }
}

fn passes(filter: Option<&BooleanArray>, row: usize) -> bool {
    filter.is_none_or(|filter| filter.is_valid(row) && filter.value(row))
}

impl<S: SetState> GroupsAccumulator for SetGroups<S> {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        group_indices: &[usize],
        opt_filter: Option<&BooleanArray>,
        total_num_groups: usize,
    ) -> Result<()> {
        self.grow(total_num_groups);
        match opt_filter {
            None => self.update(&values[0], |row| Some(group_indices[row])),
            Some(_) => self.update(&values[0], |row| passes(opt_filter, row).then_some(group_indices[row])),
        }
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        let mut states = self.take(emit_to);
        self.values(&mut states)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        let mut states = self.take(emit_to);
        Ok(vec![self.partial(&mut states)?])
    }

    fn merge_batch(&mut self, values: &[ArrayRef], group_indices: &[usize], total_num_groups: usize) -> Result<()> {
        self.grow(total_num_groups);
        self.merge_states(values[0].as_binary_view(), |row| group_indices[row])
    }

    fn convert_to_state(&self, values: &[ArrayRef], opt_filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        let mut builder = BinaryViewBuilder::with_capacity(values[0].len());
        let mut state = Vec::new();
        if self.input == Input::Bitmaps {
            let blobs = Blobs::new(values[0].as_ref())?;
            for row in 0..blobs.len() {
                let bytes = blobs.get(row).filter(|_| passes(opt_filter, row));
                state.clear();
                state.push(STATE_VERSION);
                builder.append_option(bytes.map(|bytes| {
                    state.extend_from_slice(bytes);
                    &state
                }));
            }
            return Ok(vec![Arc::new(builder.finish())]);
        }
        let integers = Integers::new(values[0].as_ref())?;
        let mut writer = Writer::new(self.width, STATE_BYTES_MAX);
        for row in 0..values[0].len() {
            let Some(value) = integers.get(row).filter(|_| passes(opt_filter, row)) else {
                builder.append_null();
                continue;
            };
            let element = self.element(value);
            state.clear();
            state.push(STATE_VERSION);
            writer.array(element >> 16, &[element as u16])?;
            writer.finish(&mut state);
            builder.append_value(&state);
        }
        Ok(vec![Arc::new(builder.finish())])
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.bytes()
    }
}

/// One group: a table without GROUP BY, or a window.
#[derive(Debug)]
struct SetAccumulator<S> {
    groups: SetGroups<S>,
}

impl<S: SetState> SetAccumulator<S> {
    fn new(mut groups: SetGroups<S>) -> Self {
        groups.states.reserve_exact(1);
        groups.grow(1);
        Self { groups }
    }

    /// Runs `emit` over the only state and puts it back.
    fn emit(&mut self, emit: impl FnOnce(&mut SetGroups<S>, &mut [S]) -> Result<ArrayRef>) -> Result<ScalarValue> {
        let mut states = std::mem::take(&mut self.groups.states);
        let result = emit(&mut self.groups, &mut states);
        self.groups.states = states;
        ScalarValue::try_from_array(&result?, 0)
    }
}

impl<S: SetState> Accumulator for SetAccumulator<S> {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.groups.update(&values[0], |_| Some(0))
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        let blobs = Blobs::new(values[0].as_ref())?;
        let SetGroups { states, tools, ledger, width, .. } = &mut self.groups;
        for bytes in (0..blobs.len()).filter_map(|row| blobs.get(row)) {
            states[0].retract(bytes, &View::open(bytes, *width).map_err(SqlError::from)?, tools, ledger)?;
        }
        Ok(())
    }

    fn supports_retract_batch(&self) -> bool {
        S::RETRACTS
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.emit(SetGroups::values)
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        Ok(vec![self.emit(SetGroups::partial)?])
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.groups.merge_states(states[0].as_binary_view(), |_| 0)
    }

    fn size(&self) -> usize {
        size_of::<Self>() + self.groups.bytes()
    }
}
