//! The words of `window_funnel`'s mode and the constraints they name.
//!
//! A mode is a set of constraints on a chain, not a loop: any combination is allowed and means the chains that satisfy all of them.
//! Words of other engines are synonyms for such sets. What the constraints do is in `funnel.rs`; here is only the reading of the text.

/// The constraints a chain has to satisfy besides order and window.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct FunnelMode {
    /// All rows of the chain are different rows.
    pub once: bool,
    /// Times of the chain strictly increase.
    pub increase: bool,
    /// No row true for steps 1..i lies between rows i and i+1.
    pub deduplication: bool,
    /// What else may not lie between two rows of the chain.
    pub between: Between,
}

/// Which rows may not lie between two consecutive rows of a chain, whatever the chain's length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Between {
    /// No row that is true for no step.
    pub no_other: bool,
    /// No row that is true for any step.
    pub no_step: bool,
}

/// Why a mode text is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModeError {
    /// The word is none of ours.
    Unknown(String),
    /// `allow_reentry` without `strict_order`.
    ReentryAlone,
}

/// Every accepted word, in the order in which hints list them.
pub const MODE_WORDS: [&str; 9] = [
    "strict_once",
    "strict_increase",
    "strict_deduplication",
    "strict_order",
    "allow_reentry",
    "fixed",
    "default",
    "deduplication",
    "increase",
];

impl FunnelMode {
    /// Reads a comma-separated list of words; spaces are ignored and the empty text names no constraint.
    pub fn parse(text: &str) -> Result<Self, ModeError> {
        let mut mode = Self::default();
        let (mut order, mut reentry) = (false, false);
        if text.trim().is_empty() {
            return Ok(mode);
        }
        for word in text.split(',').map(str::trim) {
            match word {
                "strict_once" | "default" => mode.once = true,
                "strict_increase" => mode.increase = true,
                "strict_deduplication" => mode.deduplication = true,
                "strict_order" => order = true,
                "allow_reentry" => reentry = true,
                "fixed" => (mode.once, mode.between.no_step) = (true, true),
                "deduplication" => (mode.once, mode.deduplication) = (true, true),
                "increase" => (mode.once, mode.increase) = (true, true),
                other => return Err(ModeError::Unknown(other.to_owned())),
            }
        }
        if reentry && !order {
            return Err(ModeError::ReentryAlone);
        }
        mode.between.no_other |= order;
        mode.between.no_step |= order && !reentry;
        Ok(mode)
    }

    /// Whether rows that are true for no step can change the answer, so that they have to be kept.
    pub fn needs_every_row(self) -> bool {
        self.between.no_other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_combine_and_spaces_do_not_count() {
        let both = FunnelMode::parse(" strict_once , strict_increase ").unwrap();
        assert_eq!(both, FunnelMode { once: true, increase: true, ..FunnelMode::default() });
        assert_eq!(FunnelMode::parse("increase"), Ok(both));
        assert_eq!(FunnelMode::parse("  "), Ok(FunnelMode::default()));
        let order = FunnelMode::parse("strict_order").unwrap();
        assert_eq!(order.between, Between { no_other: true, no_step: true });
        let reentry = FunnelMode::parse("allow_reentry,strict_order").unwrap();
        assert_eq!(reentry.between, Between { no_other: true, no_step: false });
    }

    #[test]
    fn every_word_is_read() {
        for word in MODE_WORDS {
            let text = if word == "allow_reentry" { "strict_order,allow_reentry" } else { word };
            assert!(FunnelMode::parse(text).is_ok(), "{word}");
        }
    }

    #[test]
    fn unknown_words_and_lonely_reentry_are_refused() {
        assert_eq!(FunnelMode::parse("strict"), Err(ModeError::Unknown("strict".into())));
        assert_eq!(FunnelMode::parse("strict_once,"), Err(ModeError::Unknown(String::new())));
        assert_eq!(FunnelMode::parse("allow_reentry"), Err(ModeError::ReentryAlone));
    }
}
