//! What to do with repeated channels in a path. One rule for the aggregates and for `path_repeats`.

/// Which touches of a channel stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Repeats {
    /// Every touch.
    #[default]
    All,
    /// Of consecutive touches the last.
    Collapse,
    /// The first of the path.
    First,
    /// The last of the path.
    Last,
}

impl Repeats {
    /// Names and values.
    pub const NAMES: [(&'static str, Self); 4] =
        [("all", Self::All), ("collapse", Self::Collapse), ("first", Self::First), ("last", Self::Last)];

    /// The value of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::NAMES.into_iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }
}

/// Marks channels as seen, reused from path to path.
#[derive(Debug, Default)]
pub struct SeenChannels {
    seen: Vec<bool>,
}

impl SeenChannels {
    /// Whether the channel is new; it is seen from now on.
    fn insert(&mut self, channel: u32) -> bool {
        let at = channel as usize;
        if at >= self.seen.len() {
            self.seen.resize(at + 1, false);
        }
        !std::mem::replace(&mut self.seen[at], true)
    }

    /// Bytes owned.
    pub fn size(&self) -> usize {
        self.seen.capacity()
    }

    /// Drops from `path` what `repeats` does not keep; `channel` tells a touch's channel.
    pub fn apply<T: Copy>(&mut self, repeats: Repeats, path: &mut Vec<T>, channel: impl Fn(T) -> u32) {
        match repeats {
            Repeats::All => {}
            Repeats::Collapse => {
                let mut kept = 0;
                for at in 0..path.len() {
                    if path.get(at + 1).is_none_or(|next| channel(*next) != channel(path[at])) {
                        path[kept] = path[at];
                        kept += 1;
                    }
                }
                path.truncate(kept);
            }
            Repeats::First => {
                path.retain(|touch| self.insert(channel(*touch)));
                self.forget(path, channel);
            }
            Repeats::Last => {
                path.reverse();
                path.retain(|touch| self.insert(channel(*touch)));
                path.reverse();
                self.forget(path, channel);
            }
        }
    }

    fn forget<T: Copy>(&mut self, path: &[T], channel: impl Fn(T) -> u32) {
        for touch in path {
            self.seen[channel(*touch) as usize] = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::golden::json;
    use super::*;

    #[test]
    fn golden_paths() {
        let cases = json("tiny/path_repeats.json");
        let mut names: Vec<String> = Vec::new();
        let mut path_of = |value: &serde_json::Value| -> Vec<u32> {
            let number = |name: &serde_json::Value| {
                let name = name.as_str().unwrap();
                let at = names.iter().position(|known| known == name).unwrap_or(names.len());
                names.extend((at == names.len()).then(|| name.to_owned()));
                at as u32
            };
            value.as_array().unwrap().iter().map(number).collect()
        };
        let mut seen = SeenChannels::default();
        for case in cases.as_array().unwrap() {
            for (name, repeats) in Repeats::NAMES {
                let mut path = path_of(&case["path"]);
                seen.apply(repeats, &mut path, |channel| channel);
                assert_eq!(path, path_of(&case[name]), "{name} of {}", case["path"]);
            }
        }
    }
}
