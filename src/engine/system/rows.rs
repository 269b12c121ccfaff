//! Rows of system relations on their way into Arrow.
//!
//! A row is set by column name and what is not set takes the column's default (NULL, or zero where PostgreSQL says NOT
//! NULL), so the code that derives a relation says only what it knows. Values that do not fit their column are a
//! mistake of ours and become an internal error, never a wrong cell.

use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, BinaryViewBuilder, BooleanArray, Decimal256Array, Float32Array, Float64Array, Int16Array, Int32Array,
    Int64Array, IntervalMonthDayNanoArray, ListArray, NullArray, RecordBatch, StringViewArray,
    TimestampMicrosecondArray, UInt32Array,
};
use datafusion::arrow::buffer::{NullBuffer, OffsetBuffer};
use datafusion::arrow::datatypes::{Field, IntervalMonthDayNano, i256};

use super::relation::{Kind, SystemRelation};
use tributary_pg::error::{PgError, PgResult};

/// One value of a system relation.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// NULL
    Null,
    /// boolean
    Bool(bool),
    /// Any integer, OID, or microseconds of a timestamp
    Int(i64),
    /// real, double precision
    Float(f64),
    /// Text of the program
    Static(&'static str),
    /// Text
    Text(String),
    /// bytea
    Bytes(Vec<u8>),
    /// Array elements
    List(Vec<Cell>),
}

impl From<bool> for Cell {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}
impl From<&'static str> for Cell {
    fn from(value: &'static str) -> Self {
        Self::Static(value)
    }
}
impl From<String> for Cell {
    fn from(value: String) -> Self {
        Self::Text(value)
    }
}
impl From<char> for Cell {
    fn from(value: char) -> Self {
        Self::Text(value.to_string())
    }
}
impl From<f64> for Cell {
    fn from(value: f64) -> Self {
        Self::Float(value)
    }
}
impl<T: Into<Cell>> From<Option<T>> for Cell {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}
impl<T: Into<Cell>> From<Vec<T>> for Cell {
    fn from(values: Vec<T>) -> Self {
        Self::List(values.into_iter().map(Into::into).collect())
    }
}
macro_rules! integers {
    ($($integer:ty),*) => {$(
        impl From<$integer> for Cell {
            fn from(value: $integer) -> Self {
                Self::Int(i64::from(value))
            }
        }
    )*};
}
integers!(i16, i32, i64, u32);

impl Cell {
    /// Reads a field of an embedded table (COPY text form).
    pub fn parse(kind: &Kind, field: &'static str) -> PgResult<Self> {
        if field == "\\N" {
            return Ok(Self::Null);
        }
        let bad = || PgError::internal(format!("embedded catalog value \"{field}\" does not fit {kind:?}"));
        Ok(match kind {
            Kind::Bool => Self::Bool(field == "t"),
            Kind::Int2 | Kind::Int4 | Kind::Int8 | Kind::Oid => Self::Int(field.parse().map_err(|_| bad())?),
            Kind::Float4 | Kind::Float8 => Self::Float(field.parse().map_err(|_| bad())?),
            Kind::Text if field.contains('\\') => Self::Text(unescape(field)),
            Kind::Text => Self::Static(field),
            Kind::List(element) if field.starts_with('{') => {
                Self::List(array_elements(field, element).ok_or_else(bad)??)
            }
            Kind::List(element) => Self::List(
                field.split_ascii_whitespace().map(|word| Self::parse(element, word)).collect::<PgResult<_>>()?,
            ),
            Kind::Numeric | Kind::Bytes | Kind::Timestamptz | Kind::Interval | Kind::Void => return Err(bad()),
        })
    }
}

fn unescape(field: &str) -> String {
    let mut text = String::with_capacity(field.len());
    let mut chars = field.chars();
    while let Some(c) = chars.next() {
        text.push(match c {
            '\\' => match chars.next() {
                Some('n') => '\n',
                Some('t') => '\t',
                Some('r') => '\r',
                Some(other) => other,
                None => '\\',
            },
            other => other,
        });
    }
    text
}

/// Elements of `{a,"b c",NULL}`; `None` for anything malformed or nested.
fn array_elements(field: &'static str, element: &Kind) -> Option<PgResult<Vec<Cell>>> {
    let inner = field.strip_prefix('{')?.strip_suffix('}')?;
    let mut cells = Vec::new();
    let mut rest = inner;
    while !rest.is_empty() {
        let (word, quoted, tail) = match rest.strip_prefix('"') {
            Some(open) => {
                let end = open.find('"')?;
                (&open[..end], true, open[end + 1..].strip_prefix(',').unwrap_or(&open[end + 1..]))
            }
            None => match rest.split_once(',') {
                Some((word, tail)) => (word, false, tail),
                None => (rest, false, ""),
            },
        };
        cells.push(if !quoted && word == "NULL" { Ok(Cell::Null) } else { Cell::parse(element, word) });
        rest = tail;
    }
    Some(cells.into_iter().collect())
}

/// Collects rows of one relation.
pub struct Rows {
    relation: &'static SystemRelation,
    columns: Vec<Vec<Cell>>,
    count: usize,
    strange: Option<String>,
}

impl Rows {
    /// No rows yet.
    pub fn new(relation: &'static SystemRelation) -> Self {
        Self { relation, columns: vec![Vec::new(); relation.columns.len()], count: 0, strange: None }
    }

    /// Adds a row whose columns are given by name.
    pub fn push<const N: usize>(&mut self, cells: [(&str, Cell); N]) {
        for column in &mut self.columns {
            column.push(Cell::Null);
        }
        for (name, cell) in cells {
            match self.relation.column_index(name) {
                Some(index) => self.columns[index][self.count] = cell,
                None => self.strange = Some(name.to_string()),
            }
        }
        self.count += 1;
    }

    /// Adds a row whose columns are given in order.
    pub fn push_ordered(&mut self, cells: Vec<Cell>) {
        debug_assert_eq!(cells.len(), self.columns.len(), "a whole row of {}", self.relation.name);
        for (column, cell) in self.columns.iter_mut().zip(cells) {
            column.push(cell);
        }
        self.count += 1;
    }

    /// The rows as one batch.
    pub fn finish(self) -> PgResult<RecordBatch> {
        let name = self.relation.name;
        if let Some(column) = self.strange {
            return Err(PgError::internal(format!("{name} has no column {column}")));
        }
        let arrays = self
            .relation
            .columns
            .iter()
            .zip(&self.columns)
            .map(|(column, cells)| {
                let zero = if column.not_null { zero(&column.kind) } else { Cell::Null };
                array(&column.kind, cells.iter().map(|cell| if *cell == Cell::Null { &zero } else { cell }))
                    .ok_or_else(|| PgError::internal(format!("a value of {name}.{} has the wrong type", column.name)))
            })
            .collect::<PgResult<Vec<_>>>()?;
        RecordBatch::try_new(Arc::clone(&self.relation.arrow), arrays)
            .map_err(|error| PgError::internal(format!("rows of {name}: {error}")))
    }
}

/// An array of cells of one kind; `None` if one is of another.
pub fn kind_array(kind: &Kind, cells: &[Cell]) -> Option<ArrayRef> {
    array(kind, cells.iter())
}

fn zero(kind: &Kind) -> Cell {
    match kind {
        Kind::Bool => Cell::Bool(false),
        Kind::Text => Cell::Static(""),
        Kind::Void => Cell::Null,
        Kind::List(_) => Cell::List(Vec::new()),
        Kind::Bytes => Cell::Bytes(Vec::new()),
        Kind::Float4 | Kind::Float8 => Cell::Float(0.0),
        Kind::Numeric | Kind::Interval | Kind::Timestamptz | Kind::Int2 | Kind::Int4 | Kind::Int8 | Kind::Oid => {
            Cell::Int(0)
        }
    }
}

/// `None` when a cell is not of the kind.
fn array<'a>(kind: &Kind, cells: impl Iterator<Item = &'a Cell>) -> Option<ArrayRef> {
    Some(match kind {
        Kind::Bool => Arc::new(
            typed(cells, |cell| if let Cell::Bool(v) = cell { Some(*v) } else { None })?.collect::<BooleanArray>(),
        ),
        Kind::Int2 => Arc::new(typed(cells, integer::<i16>)?.collect::<Int16Array>()),
        Kind::Int4 => Arc::new(typed(cells, integer::<i32>)?.collect::<Int32Array>()),
        Kind::Int8 => Arc::new(typed(cells, integer::<i64>)?.collect::<Int64Array>()),
        Kind::Oid => Arc::new(typed(cells, integer::<u32>)?.collect::<UInt32Array>()),
        Kind::Float4 => Arc::new(typed(cells, |cell| float(cell).map(|v| v as f32))?.collect::<Float32Array>()),
        Kind::Float8 => Arc::new(typed(cells, float)?.collect::<Float64Array>()),
        Kind::Numeric => {
            let scale = i256::from_i128(10_i128.pow(38));
            let values =
                typed(cells, |cell| integer::<i64>(cell).map(|v| i256::from_i128(i128::from(v)).wrapping_mul(scale)))?;
            Arc::new(values.collect::<Decimal256Array>().with_precision_and_scale(76, 38).ok()?)
        }
        Kind::Timestamptz => {
            Arc::new(typed(cells, integer::<i64>)?.collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
        }
        Kind::Interval => Arc::new(
            typed(cells, |cell| {
                integer::<i64>(cell).map(|us| IntervalMonthDayNano::new(0, 0, us.saturating_mul(1000)))
            })?
            .collect::<IntervalMonthDayNanoArray>(),
        ),
        Kind::Void => Arc::new(NullArray::new(cells.count())),
        Kind::Text => Arc::new(typed(cells, text)?.collect::<StringViewArray>()),
        Kind::Bytes => {
            let mut builder = BinaryViewBuilder::new();
            for cell in cells {
                match cell {
                    Cell::Null => builder.append_null(),
                    Cell::Bytes(bytes) => builder.append_value(bytes),
                    _ => return None,
                }
            }
            Arc::new(builder.finish())
        }
        Kind::List(element) => list(element, cells)?,
    })
}

fn list<'a>(element: &Kind, cells: impl Iterator<Item = &'a Cell>) -> Option<ArrayRef> {
    let (mut lengths, mut valid, mut values) = (Vec::new(), Vec::new(), Vec::new());
    for cell in cells {
        let items: &[Cell] = match cell {
            Cell::Null => &[],
            Cell::List(items) => items,
            _ => return None,
        };
        lengths.push(items.len());
        valid.push(*cell != Cell::Null);
        values.extend(items);
    }
    let field = Arc::new(Field::new_list_field(element.arrow(), true));
    let offsets = OffsetBuffer::from_lengths(lengths);
    let values = array(element, values.into_iter())?;
    Some(Arc::new(ListArray::try_new(field, offsets, values, Some(NullBuffer::from(valid))).ok()?))
}

/// Reads every cell, or `None` if one is neither NULL nor readable.
fn typed<'a, T>(
    cells: impl Iterator<Item = &'a Cell>,
    read: impl Fn(&'a Cell) -> Option<T>,
) -> Option<std::vec::IntoIter<Option<T>>> {
    let values: Option<Vec<Option<T>>> =
        cells.map(|cell| if *cell == Cell::Null { Some(None) } else { read(cell).map(Some) }).collect();
    values.map(Vec::into_iter)
}

fn integer<T: TryFrom<i64>>(cell: &Cell) -> Option<T> {
    match cell {
        Cell::Int(value) => T::try_from(*value).ok(),
        _ => None,
    }
}

fn float(cell: &Cell) -> Option<f64> {
    match cell {
        Cell::Float(value) => Some(*value),
        Cell::Int(value) => Some(*value as f64),
        _ => None,
    }
}

fn text(cell: &Cell) -> Option<&str> {
    match cell {
        Cell::Static(text) => Some(text),
        Cell::Text(text) => Some(text),
        _ => None,
    }
}
