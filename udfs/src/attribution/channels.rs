//! Channel names as numbers.

use std::mem::size_of;

use hashbrown::HashTable;
use xxhash_rust::xxh3::xxh3_64;

use crate::SqlError;
use crate::error::PROGRAM_LIMIT_EXCEEDED;

/// Most distinct channels of one aggregation: more means an id was passed as channel.
pub const CHANNELS_MAX: usize = 65_536;

/// The channel of a conversion without a touch.
pub const UNATTRIBUTED: &str = "(unattributed)";

/// Names that reports add and data may not use.
pub const RESERVED_NAMES: [&str; 7] =
    [UNATTRIBUTED, "(start)", "(conversion)", "(no conversion)", "(earlier)", "(later)", "(other paths)"];

/// Numbers names in the order they are met. All names are in one text.
#[derive(Debug, Default)]
pub struct Channels {
    table: HashTable<u32>,
    text: String,
    ends: Vec<usize>,
}

impl Channels {
    /// The number of a name. Reserved names and too many of them are refused.
    pub fn number(&mut self, name: &str) -> Result<u32, SqlError> {
        let Self { table, text, ends } = self;
        let hash = xxh3_64(name.as_bytes());
        if let Some(&number) = table.find(hash, |&number| name_at(text, ends, number) == name) {
            return Ok(number);
        }
        if RESERVED_NAMES.contains(&name) {
            return Err(SqlError::invalid_parameter(format!("channel name \"{name}\" is reserved")));
        }
        if ends.len() == CHANNELS_MAX {
            let message = format!("more than {CHANNELS_MAX} distinct channels");
            return Err(SqlError::new(PROGRAM_LIMIT_EXCEEDED, message).with_hint("Pass a channel, not an id."));
        }
        let number = ends.len() as u32;
        text.push_str(name);
        ends.push(text.len());
        table.insert_unique(hash, number, |&number| xxh3_64(name_at(text, ends, number).as_bytes()));
        Ok(number)
    }

    /// The name of a number that was given out.
    pub fn name(&self, number: u32) -> &str {
        name_at(&self.text, &self.ends, number)
    }

    /// For each number its rank among the names, by bytes.
    pub fn ranks(&self) -> Vec<u32> {
        let mut order: Vec<u32> = (0..self.ends.len() as u32).collect();
        order.sort_unstable_by_key(|&number| self.name(number).as_bytes());
        let mut ranks = vec![0; order.len()];
        for (rank, number) in order.into_iter().enumerate() {
            ranks[number as usize] = rank as u32;
        }
        ranks
    }

    /// Bytes owned.
    pub fn size(&self) -> usize {
        self.table.allocation_size() + self.text.capacity() + self.ends.capacity() * size_of::<usize>()
    }
}

fn name_at<'a>(text: &'a str, ends: &[usize], number: u32) -> &'a str {
    let at = number as usize;
    let start = if at == 0 { 0 } else { ends[at - 1] };
    &text[start..ends[at]]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_their_numbers() {
        let mut channels = Channels::default();
        let numbers: Vec<u32> = ["b", "", "a", "b", " "].map(|name| channels.number(name).unwrap()).to_vec();
        assert_eq!(numbers, [0, 1, 2, 0, 3]);
        assert_eq!(channels.ranks(), [3, 0, 2, 1]);
        assert_eq!(channels.name(2), "a");
    }

    #[test]
    fn reserved_names_and_ids_are_refused() {
        let mut channels = Channels::default();
        assert_eq!(channels.number("(start)").unwrap_err().message, "channel name \"(start)\" is reserved");
        assert!(channels.number("(none)").is_ok());
        let error = (0..CHANNELS_MAX).find_map(|id| channels.number(&id.to_string()).err()).unwrap();
        assert_eq!(error.sqlstate, "54000");
    }
}
