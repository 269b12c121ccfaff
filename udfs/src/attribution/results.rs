//! What `journeys` and `attribution` return: the list of a unit's journeys, or of its credited touches.
//!
//! Rows are collected column by column; ids and times are gathered once for all units.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, Float64Array, Int32Array, Int64Array, ListArray, StringBuilder, StructArray,
    UInt32Array,
};
use arrow::datatypes::{DataType, Field, Fields};
use datafusion_common::Result;

use super::channels::{Channels, UNATTRIBUTED};
use super::journey::{Journey, JourneyScan, Touch};
use super::models::{JourneyView, Model, Scratch};
use super::options::{Options, Types};
use super::touch_log::{CONVERTED, DIRECT, NO_CHANNEL, RowOrder, TouchLog, VALUED, gather, list_offsets};
use crate::SqlError;
use crate::behaviour::time::times_of;
use crate::error::PROGRAM_LIMIT_EXCEEDED;

/// Which of the two lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Answer {
    /// One element for each journey.
    #[default]
    Journeys,
    /// One element for each touch of a converting journey, with its credits.
    Credits,
}

fn list(data_type: DataType) -> DataType {
    DataType::new_list(data_type, true)
}

/// Ids of a call without ids are bigints, all NULL.
fn id_type(data_type: &DataType) -> DataType {
    if data_type.is_null() { DataType::Int64 } else { data_type.clone() }
}

/// The fields of a list element.
pub fn element_fields(answer: Answer, models: &[Model], types: &Types) -> Fields {
    let (ts, conversion_id, touch_id) = (types.ts.clone(), id_type(&types.conversion_id), id_type(&types.touch_id));
    let mut fields = vec![("journey_no", DataType::Int32)];
    match answer {
        Answer::Journeys => fields.extend([
            ("converted", DataType::Boolean),
            ("still_open", DataType::Boolean),
            ("conversion_id", conversion_id),
            ("conversion_ts", ts.clone()),
            ("value", DataType::Float64),
            ("path", list(DataType::Utf8)),
            ("touch_ts", list(ts)),
            ("touch_ids", list(touch_id)),
            ("path_length", DataType::Int32),
        ]),
        Answer::Credits => {
            fields.extend([
                ("conversion_id", conversion_id),
                ("conversion_ts", ts.clone()),
                ("value", DataType::Float64),
                ("position", DataType::Int32),
                ("path_length", DataType::Int32),
                ("channel", DataType::Utf8),
                ("touch_ts", ts),
                ("touch_id", touch_id),
            ]);
            fields.extend(models.iter().map(|model| (model.name(), DataType::Float64)));
        }
    }
    fields.into_iter().map(|(name, data_type)| Field::new(name, data_type, true)).collect()
}

/// The answer for each group of `log`.
pub fn answer(
    answer: Answer,
    models: &[Model],
    log: &TouchLog,
    channels: &Channels,
    options: &Options,
) -> Result<ArrayRef> {
    let wanted = models.to_vec();
    let models: Vec<(Model, Vec<f64>)> = models.iter().map(|model| (*model, Vec::new())).collect();
    let mut rows = Rows { answer, models, ..Rows::default() };
    let ends = each_journey(log, channels, options, |number, conversion, journey, touches| {
        rows.push(log, options, number, conversion, journey, touches);
        rows.len()
    })?;
    let fields = element_fields(answer, &wanted, &options.types);
    let columns = rows.columns(log, channels, options)?;
    let elements = StructArray::try_new(fields.clone(), columns, None)?;
    let field = Arc::new(Field::new_list_field(DataType::Struct(fields), true));
    Ok(Arc::new(ListArray::try_new(field, list_offsets(ends)?, Arc::new(elements), None)?))
}

/// Visits the journeys of each group in order, with their number, the conversion's row and the touches' rows. `visit` tells how many
/// elements there are so far. Returns that count after each group.
fn each_journey(
    log: &TouchLog,
    channels: &Channels,
    options: &Options,
    mut visit: impl FnMut(i32, Option<u32>, Journey, &[u32]) -> usize,
) -> Result<Vec<usize>> {
    let order = RowOrder::new(log, channels)?;
    let (rows, group_ends) = log.by_group();
    let mut scan = JourneyScan::default();
    let (mut touch_rows, mut conversion_rows) = (Vec::new(), Vec::new());
    let (mut touches, mut instants, mut path_rows) = (Vec::new(), Vec::new(), Vec::new());
    let (mut start, mut element_count) = (0, 0);
    let mut ends = Vec::with_capacity(group_ends.len());
    for end in group_ends {
        let group = &rows[start..end];
        start = end;
        touch_rows.clear();
        touch_rows.extend(group.iter().filter(|&&row| log.channel[row as usize] != NO_CHANNEL));
        touch_rows.sort_unstable_by(|&a, &b| order.touches(a, b));
        conversion_rows.clear();
        conversion_rows.extend(group.iter().filter(|&&row| log.flags[row as usize] & CONVERTED != 0));
        conversion_rows.sort_unstable_by(|&a, &b| order.conversions(a, b));
        touches.clear();
        touches.extend(touch_rows.iter().map(|&row| touch_of(log, options, row as usize)));
        instants.clear();
        instants.extend(conversion_rows.iter().map(|&row| log.ts[row as usize]));
        let mut number = 0;
        let found = scan.run(&touches, &instants, &options.shape, options.as_of, |journey| {
            number += 1;
            path_rows.clear();
            path_rows.extend(journey.path.iter().map(|&at| touch_rows[at as usize]));
            let conversion = journey.conversion.map(|at| conversion_rows[at]);
            element_count = visit(number, conversion, journey, &path_rows);
        });
        found.map_err(|exceeded| {
            let most = super::journey::PAIRS_PER_UNIT_MAX;
            let message = format!("a unit has {} touch-conversion pairs, the limit is {most}", exceeded.pairs);
            SqlError::new(PROGRAM_LIMIT_EXCEEDED, message).with_hint("Filter robots or set max_touches.")
        })?;
        ends.push(element_count);
    }
    Ok(ends)
}

fn touch_of(log: &TouchLog, options: &Options, row: usize) -> Touch {
    Touch {
        ts: log.ts[row],
        channel: log.channel[row],
        lookback: options.lookback.unwrap_or_else(|| log.lookback[row]),
        direct: log.flags[row] & DIRECT != 0,
    }
}

/// Elements of all groups, column by column.
#[derive(Default)]
struct Rows {
    answer: Answer,
    numbers: Vec<i32>,
    still_open: Vec<bool>,
    conversions: Vec<Option<u32>>,
    lengths: Vec<i32>,
    positions: Vec<i32>,
    /// Of credits one for each element, of journeys all of them.
    touches: Vec<Option<u32>>,
    /// Of journeys: where each one's touches end.
    path_ends: Vec<usize>,
    models: Vec<(Model, Vec<f64>)>,
    scratch: Scratch,
    path: PathColumns,
}

/// The present journey as the models see it.
#[derive(Default)]
struct PathColumns {
    channels: Vec<u32>,
    ages: Vec<f64>,
    direct: Vec<bool>,
    weights: Vec<f64>,
}

impl PathColumns {
    fn fill(&mut self, log: &TouchLog, instant: i64, touches: &[u32]) -> JourneyView<'_> {
        let rows = || touches.iter().map(|&row| row as usize);
        self.channels.clear();
        self.channels.extend(rows().map(|row| log.channel[row]));
        self.ages.clear();
        self.ages.extend(rows().map(|row| (i128::from(instant) - i128::from(log.ts[row])) as f64));
        self.direct.clear();
        self.direct.extend(rows().map(|row| log.flags[row] & DIRECT != 0));
        self.weights.clear();
        if !log.weight.is_empty() {
            self.weights.extend(rows().map(|row| log.weight[row]));
        }
        JourneyView { channels: &self.channels, ages: &self.ages, direct: &self.direct, weights: &self.weights }
    }
}

impl Rows {
    fn len(&self) -> usize {
        self.numbers.len()
    }

    fn push(
        &mut self,
        log: &TouchLog,
        options: &Options,
        number: i32,
        conversion: Option<u32>,
        journey: Journey,
        touches: &[u32],
    ) {
        match (self.answer, conversion) {
            (Answer::Journeys, _) => {
                self.numbers.push(number);
                self.conversions.push(conversion);
                self.still_open.push(journey.still_open);
                self.lengths.push(touches.len() as i32);
                self.touches.extend(touches.iter().map(|&row| Some(row)));
                self.path_ends.push(self.touches.len());
            }
            (Answer::Credits, Some(row)) => self.push_credits(log, options, number, row, touches),
            (Answer::Credits, None) => {}
        }
    }

    fn push_credits(&mut self, log: &TouchLog, options: &Options, number: i32, conversion: u32, touches: &[u32]) {
        let count = touches.len().max(1);
        let from = self.numbers.len();
        self.numbers.resize(from + count, number);
        self.conversions.resize(from + count, Some(conversion));
        self.lengths.resize(from + count, touches.len() as i32);
        if touches.is_empty() {
            self.positions.push(0);
            self.touches.push(None);
            self.models.iter_mut().for_each(|(_, credits)| credits.push(1.0));
            return;
        }
        self.positions.extend(1..=touches.len() as i32);
        self.touches.extend(touches.iter().map(|&row| Some(row)));
        let view = self.path.fill(log, log.ts[conversion as usize], touches);
        for (model, credits) in &mut self.models {
            credits.resize(from + count, 0.0);
            self.scratch.credits(*model, view, &options.models, &mut credits[from..]);
        }
    }

    fn columns(self, log: &TouchLog, channels: &Channels, options: &Options) -> Result<Vec<ArrayRef>> {
        let types = &options.types;
        let touch_rows = UInt32Array::from(self.touches);
        let conversion_rows = UInt32Array::from(self.conversions);
        let times = |rows: &UInt32Array| {
            let ticks = rows.iter().map(|row| row.map(|row| log.ts[row as usize])).collect::<Int64Array>();
            times_of(ticks, &types.ts)
        };
        let value_of = |row: u32| (log.flags[row as usize] & VALUED != 0).then(|| log.value[row as usize]);
        let values: Float64Array = conversion_rows.iter().map(|row| row.and_then(value_of)).collect();
        let conversion_ids = gather(log.conversion_ids()?, &id_type(&types.conversion_id), &conversion_rows)?;
        let touch_ids = gather(log.touch_ids()?, &id_type(&types.touch_id), &touch_rows)?;
        let names = channel_names(log, channels, &touch_rows);
        let mut columns: Vec<ArrayRef> = vec![Arc::new(Int32Array::from(self.numbers))];
        match self.answer {
            Answer::Journeys => {
                let converted: BooleanArray = conversion_rows.iter().map(|row| Some(row.is_some())).collect();
                columns.extend([Arc::new(converted) as ArrayRef, Arc::new(BooleanArray::from(self.still_open))]);
                columns.extend([conversion_ids, times(&conversion_rows)?, Arc::new(values)]);
                let offsets = list_offsets(self.path_ends)?;
                for items in [names, times(&touch_rows)?, touch_ids] {
                    let field = Arc::new(Field::new_list_field(items.data_type().clone(), true));
                    columns.push(Arc::new(ListArray::try_new(field, offsets.clone(), items, None)?));
                }
                columns.push(Arc::new(Int32Array::from(self.lengths)));
            }
            Answer::Credits => {
                columns.extend([conversion_ids, times(&conversion_rows)?, Arc::new(values) as ArrayRef]);
                columns.push(Arc::new(Int32Array::from(self.positions)));
                columns.push(Arc::new(Int32Array::from(self.lengths)));
                columns.extend([names, times(&touch_rows)?, touch_ids]);
                columns.extend(
                    self.models.into_iter().map(|(_, credits)| Arc::new(Float64Array::from(credits)) as ArrayRef),
                );
            }
        }
        Ok(columns)
    }
}

fn channel_names(log: &TouchLog, channels: &Channels, rows: &UInt32Array) -> ArrayRef {
    let mut names = StringBuilder::with_capacity(rows.len(), rows.len() * 8);
    for row in rows {
        match row {
            Some(row) => names.append_value(channels.name(log.channel[row as usize])),
            None => names.append_value(UNATTRIBUTED),
        }
    }
    Arc::new(names.finish())
}
