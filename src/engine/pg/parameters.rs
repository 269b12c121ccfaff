//! Types of `$1`, `$2`, ...: declared by the client or decided by the first context that coerces one.
//!
//! As in PostgreSQL a parameter without declared type is like an unknown literal until something needs its type; from
//! then on it has that type everywhere. Planning runs once to decide and once more with all types known, so a use before
//! the deciding one sees the same type as a use after it. What nothing decides is text.

use std::sync::{Mutex, PoisonError};

use tributary_pg::error::PgError;
use tributary_pg::sqlstate;

use super::signatures::{Oid, display_name, oid, signatures};

/// Most parameters of a statement. Reason: the protocol counts them in 16 bits.
pub(in crate::engine) const PARAMETERS_MAX: usize = 65_535;

/// The parameters of one statement while it is planned.
#[derive(Debug, Default)]
pub(in crate::engine) struct Parameters {
    /// Type (0 while undecided) and whether the statement uses the parameter.
    types: Mutex<Vec<(Oid, bool)>>,
    /// In the second run undecided parameters are text.
    last_run: bool,
}

impl Parameters {
    /// Starts from the types the client declared; 0 and `unknown` mean: to be decided.
    pub(in crate::engine) fn declared(declared: &[Oid]) -> Result<Self, PgError> {
        let mut types = Vec::with_capacity(declared.len());
        for given in declared {
            let given = if *given == oid::UNKNOWN { 0 } else { *given };
            if given != 0 && signatures().type_row(given).is_none() {
                let message = format!("type with OID {given} does not exist");
                return Err(PgError::new(sqlstate::UNDEFINED_OBJECT, message));
            }
            types.push((given, false));
        }
        Ok(Self { types: Mutex::new(types), last_run: false })
    }

    /// The same parameters for the second run.
    pub(in crate::engine) fn again(&self) -> Self {
        Self { types: Mutex::new(self.all()), last_run: true }
    }

    /// Whether the statement has parameters at all.
    pub(in crate::engine) fn any(&self) -> bool {
        !self.all().is_empty()
    }

    fn all(&self) -> Vec<(Oid, bool)> {
        self.types.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The number of `$n`, noted as used.
    pub(super) fn mention(&self, id: &str) -> Result<usize, PgError> {
        let undefined = || PgError::new(sqlstate::UNDEFINED_PARAMETER, format!("there is no parameter {id}"));
        let number: usize = id.trim_start_matches('$').parse().map_err(|_| undefined())?;
        if number == 0 || number > PARAMETERS_MAX {
            return Err(undefined());
        }
        let mut types = self.types.lock().unwrap_or_else(PoisonError::into_inner);
        if types.len() < number {
            types.resize(number, (0, false));
        }
        types[number - 1].1 = true;
        Ok(number)
    }

    /// The type of parameter `number`, if decided.
    pub(super) fn type_of(&self, number: usize) -> Option<Oid> {
        match self.all().get(number - 1).map(|one| one.0) {
            Some(0) | None if self.last_run => Some(oid::TEXT),
            Some(0) | None => None,
            decided => decided,
        }
    }

    /// Decides a parameter's type; the first decision holds.
    pub(super) fn decide(&self, number: usize, of: Oid) -> Result<(), PgError> {
        let mut types = self.types.lock().unwrap_or_else(PoisonError::into_inner);
        match types.get_mut(number - 1) {
            Some(slot) if slot.0 == 0 => slot.0 = of,
            Some(slot) if slot.0 != of => {
                let detail = format!("{} versus {}", display_name(slot.0), display_name(of));
                let message = format!("inconsistent types deduced for parameter ${number}");
                return Err(PgError::new(sqlstate::AMBIGUOUS_PARAMETER, message).detail(detail));
            }
            _ => {}
        }
        Ok(())
    }

    /// All types after the last run, `$1` first; 42P18 for a number that never occurs.
    pub(in crate::engine) fn settled(&self) -> Result<Vec<Oid>, PgError> {
        let types = self.all();
        for (index, (of, used)) in types.iter().enumerate() {
            if *of == 0 && !used {
                let message = format!("could not determine data type of parameter ${}", index + 1);
                return Err(PgError::new(sqlstate::INDETERMINATE_DATATYPE, message));
            }
        }
        Ok(types.into_iter().map(|(of, _)| if of == 0 { oid::TEXT } else { of }).collect())
    }
}
