//! Text columns of few distinct values, as codes into a sorted dictionary.
//!
//! For: parts. A column of at most 256 distinct texts is stored as `Dictionary(UInt8)`, one of at most 65,536 that
//! repeat eight times on average as `Dictionary(UInt16)`; anything else as plain views. Promises: values are sorted by
//! bytes, so the order of codes is the order of texts; the scan gives out Utf8View by a gather of prebuilt views.
//! Does not: share dictionaries between parts.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, DictionaryArray, StringArray, StringViewArray, UInt8Array, UInt16Array};
use arrow::datatypes::{DataType, UInt8Type, UInt16Type};
use hashbrown::HashMap;

use crate::error::{Result, StoreError};

const DISTINCT_U8_MAX: usize = 1 << 8;
const DISTINCT_U16_MAX: usize = 1 << 16;
/// Average repetitions from which 16-bit codes pay.
const REPEATS_MIN: usize = 8;
/// Texts up to this length lie in their view.
const INLINE_BYTES: usize = 12;

/// Distinct texts with a number each, in order of first sight.
#[derive(Default)]
struct Distinct {
    inline: HashMap<u128, u32>,
    long: HashMap<Box<str>, u32>,
    count: u32,
}

fn inline_key(text: &str) -> Option<u128> {
    if text.len() > INLINE_BYTES {
        return None;
    }
    let mut key = [0; 16];
    key[..text.len()].copy_from_slice(text.as_bytes());
    key[15] = u8::try_from(text.len()).ok()?;
    Some(u128::from_le_bytes(key))
}

impl Distinct {
    fn insert(&mut self, text: &str) {
        let count = &mut self.count;
        let mut next = || {
            *count += 1;
            *count - 1
        };
        match inline_key(text) {
            Some(key) => {
                self.inline.entry(key).or_insert_with(next);
            }
            None if self.long.contains_key(text) => {}
            None => {
                self.long.insert(text.into(), next());
            }
        }
    }

    fn get(&self, text: &str) -> Option<u32> {
        match inline_key(text) {
            Some(key) => self.inline.get(&key).copied(),
            None => self.long.get(text).copied(),
        }
    }

    fn texts(&self) -> Vec<(String, u32)> {
        let inline = self.inline.iter().map(|(key, number)| {
            let bytes = key.to_le_bytes();
            let text = String::from_utf8_lossy(&bytes[..usize::from(bytes[15])]).into_owned();
            (text, *number)
        });
        inline.chain(self.long.iter().map(|(text, number)| (text.to_string(), *number))).collect()
    }
}

/// The dictionary of one column of one part.
pub(crate) struct Dictionary {
    distinct: Distinct,
    /// Code by number of first sight.
    codes: Vec<u16>,
    values: ArrayRef,
}

/// Collects the distinct texts of a column until they are too many.
pub(crate) struct Collector {
    distinct: Distinct,
    distinct_max: usize,
}

impl Collector {
    /// For a column of so many rows.
    pub(crate) fn new(rows: usize) -> Self {
        let distinct_max = (rows / REPEATS_MIN).clamp(DISTINCT_U8_MAX, DISTINCT_U16_MAX);
        Self { distinct: Distinct::default(), distinct_max }
    }

    /// False once the column is not worth a dictionary.
    pub(crate) fn push(&mut self, text: Option<&str>) -> bool {
        if let Some(text) = text {
            self.distinct.insert(text);
        }
        self.distinct.count as usize <= self.distinct_max
    }

    pub(crate) fn finish(self) -> Dictionary {
        let mut texts = self.distinct.texts();
        texts.sort_unstable();
        let mut codes = vec![0; texts.len()];
        for (code, (_, number)) in (0u16..=u16::MAX).zip(&texts) {
            codes[*number as usize] = code;
        }
        let values: StringArray = texts.iter().map(|(text, _)| Some(text)).collect();
        Dictionary { distinct: self.distinct, codes, values: Arc::new(values) }
    }
}

impl Dictionary {
    pub(crate) fn data_type(&self) -> DataType {
        let key = if self.codes.len() <= DISTINCT_U8_MAX { DataType::UInt8 } else { DataType::UInt16 };
        DataType::Dictionary(Box::new(key), Box::new(DataType::Utf8))
    }

    /// The texts as codes. Every text was collected before.
    pub(crate) fn encode(&self, array: &ArrayRef) -> Result<ArrayRef> {
        let texts = array.as_string_view_opt().ok_or_else(|| StoreError::internal("only text has dictionaries"))?;
        let code = |row: usize| -> Result<u16> {
            if texts.is_null(row) {
                return Ok(0);
            }
            let number = self.distinct.get(texts.value(row));
            let number = number.ok_or_else(|| StoreError::internal("a text is not in its dictionary"))?;
            Ok(self.codes[number as usize])
        };
        let codes = (0..texts.len()).map(code).collect::<Result<Vec<u16>>>()?;
        let nulls = texts.nulls().cloned();
        let values = Arc::clone(&self.values);
        if self.codes.len() <= DISTINCT_U8_MAX {
            let narrow = |code: u16| u8::try_from(code).expect("codes are below the number of values");
            let keys = UInt8Array::new(codes.into_iter().map(narrow).collect(), nulls);
            return Ok(Arc::new(DictionaryArray::<UInt8Type>::try_new(keys, values)?));
        }
        let keys = UInt16Array::new(codes.into(), nulls);
        Ok(Arc::new(DictionaryArray::<UInt16Type>::try_new(keys, values)?))
    }
}

/// The values of a stored dictionary as views: those too long to lie in a view point into the file.
pub(crate) fn views(values: &ArrayRef) -> Result<ArrayRef> {
    let texts = values.as_string_opt::<i32>();
    let texts = texts.ok_or_else(|| StoreError::damaged("a dictionary does not hold text"))?;
    Ok(Arc::new(StringViewArray::from(texts)))
}

/// Utf8View out of codes and the views of their dictionary.
pub(crate) fn gather(keys: &ArrayRef, views: &ArrayRef) -> Result<ArrayRef> {
    if views.is_empty() {
        return Ok(arrow::array::new_null_array(&DataType::Utf8View, keys.len()));
    }
    Ok(arrow::compute::take(views, keys, None)?)
}

/// Codes and values of a dictionary array, or None for another array.
pub(crate) fn split(array: &ArrayRef) -> Option<(ArrayRef, ArrayRef)> {
    let dictionary = array.as_any_dictionary_opt()?;
    let keys = dictionary.keys();
    Some((keys.slice(0, keys.len()), Arc::clone(dictionary.values())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn encoded(texts: &[Option<String>]) -> Option<ArrayRef> {
        let mut collector = Collector::new(texts.len());
        if !texts.iter().all(|text| collector.push(text.as_deref())) {
            return None;
        }
        let array: ArrayRef = Arc::new(texts.iter().map(Option::as_deref).collect::<StringViewArray>());
        Some(collector.finish().encode(&array).unwrap())
    }

    fn decoded(array: &ArrayRef) -> Vec<Option<String>> {
        let (keys, values) = split(array).unwrap();
        let out = gather(&keys, &views(&values).unwrap()).unwrap();
        out.as_string_view().iter().map(|text| text.map(str::to_owned)).collect()
    }

    #[test]
    fn code_width_follows_the_number_of_distinct_texts() {
        let cases = [(256, 1, Some(8)), (257, 8, Some(16)), (257, 7, None), (65_536, 8, Some(16)), (65_537, 8, None)];
        for (distinct, repeats, bits) in cases {
            let texts: Vec<Option<String>> =
                (0..distinct * repeats).map(|i| Some(format!("{}", i % distinct))).collect();
            let array = encoded(&texts);
            let width = array.as_ref().map(|array| match array.data_type() {
                DataType::Dictionary(key, _) if **key == DataType::UInt8 => 8,
                _ => 16,
            });
            assert_eq!(width, bits, "{distinct} distinct, {repeats} times");
            if let Some(array) = array {
                assert_eq!(decoded(&array), texts);
            }
        }
    }

    proptest! {
        #[test]
        fn texts_round_trip_and_codes_keep_their_order(
            texts in prop::collection::vec(prop::option::of("[a-c\u{0}\u{e9}]{0,14}"), 0..200)
        ) {
            let array = encoded(&texts).unwrap();
            prop_assert_eq!(decoded(&array), texts);
            let (_, values) = split(&array).unwrap();
            let values = values.as_string::<i32>();
            prop_assert!((1..values.len()).all(|i| values.value(i - 1) < values.value(i)));
        }
    }
}
