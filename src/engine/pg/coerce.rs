//! Which type may stand where another is wanted.
//!
//! The rules of PostgreSQL's `parse_coerce.c` over type numbers alone: cast pathways, implicit coercibility, the common
//! type of CASE, UNION, VALUES and their like, and the concrete types behind polymorphic arguments. No expressions here.

use super::signatures::{Context, Oid, array_of, category, element_of, oid, preferred, signatures};

/// How a value gets from one type to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pathway {
    /// Same bits, other label.
    Relabel,
    /// A conversion function.
    Function,
    /// Element by element.
    Array,
    /// Printed by one type and parsed by the other.
    Text,
}

/// The way from `from` to `to` that is open in `context`.
pub fn pathway(from: Oid, to: Oid, context: Context) -> Option<Pathway> {
    if from == to {
        return Some(Pathway::Relabel);
    }
    if let Some(cast) = signatures().cast(from, to) {
        return (context >= cast.context).then_some(match cast.method {
            b'b' => Pathway::Relabel,
            b'i' => Pathway::Text,
            _ => Pathway::Function,
        });
    }
    if let (Some(source), Some(target)) = (element_of(from), element_of(to))
        && to != oid::OIDVECTOR
        && to != oid::INT2VECTOR
    {
        return pathway(source, target, context).map(|inner| match inner {
            Pathway::Relabel => Pathway::Relabel,
            _ => Pathway::Array,
        });
    }
    let through_text = (context >= Context::Assignment && category(to) == b'S')
        || (context >= Context::Explicit && category(from) == b'S');
    through_text.then_some(Pathway::Text)
}

/// Whether the type is one of the polymorphic placeholders.
pub fn polymorphic(of: Oid) -> bool {
    matches!(
        of,
        oid::ANYELEMENT
            | oid::ANYARRAY
            | oid::ANYNONARRAY
            | oid::ANYENUM
            | oid::ANYRANGE
            | oid::ANYMULTIRANGE
            | oid::ANYCOMPATIBLE
            | oid::ANYCOMPATIBLEARRAY
            | oid::ANYCOMPATIBLENONARRAY
            | oid::ANYCOMPATIBLERANGE
            | oid::ANYCOMPATIBLEMULTIRANGE
    )
}

/// Whether every input may be passed where the target is declared.
pub fn can_coerce(inputs: &[Oid], targets: &[Oid], context: Context) -> bool {
    let mut generic = false;
    for (input, target) in inputs.iter().zip(targets) {
        if polymorphic(*target) {
            generic = true;
            continue;
        }
        let fits = input == target
            || *target == oid::ANY
            || *input == oid::UNKNOWN
            || pathway(*input, *target, context).is_some()
            || (*input == oid::RECORD_ARRAY && *target == oid::RECORD_ARRAY);
        if !fits {
            return false;
        }
    }
    !generic || resolve_generic(inputs, targets).is_some()
}

/// The concrete types behind polymorphic arguments.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Generic {
    /// What `anyelement` stands for, 0 when no argument says.
    pub element: Oid,
    /// What `anycompatible` stands for, 0 when no argument says.
    pub compatible: Oid,
}

impl Generic {
    /// A declared type with its placeholder filled in.
    pub fn apply(self, declared: Oid) -> Option<Oid> {
        let known = |of: Oid| (of != 0).then_some(of);
        match declared {
            oid::ANYELEMENT | oid::ANYNONARRAY | oid::ANYENUM => known(self.element),
            oid::ANYARRAY => known(self.element).and_then(array_of),
            oid::ANYCOMPATIBLE | oid::ANYCOMPATIBLENONARRAY => known(self.compatible),
            oid::ANYCOMPATIBLEARRAY => known(self.compatible).and_then(array_of),
            other if polymorphic(other) => None,
            other => Some(other),
        }
    }
}

/// Finds the types behind placeholders; None when the arguments disagree.
pub fn resolve_generic(inputs: &[Oid], targets: &[Oid]) -> Option<Generic> {
    let (mut element, mut array) = (0, 0);
    let (mut compatible, mut compatible_arrays) = (Vec::new(), Vec::new());
    let mut nonarray = false;
    for (input, target) in inputs.iter().zip(targets) {
        match *target {
            oid::ANYELEMENT | oid::ANYNONARRAY | oid::ANYENUM if *input != oid::UNKNOWN => {
                if *target == oid::ANYENUM {
                    return None;
                }
                nonarray |= *target == oid::ANYNONARRAY;
                if element != 0 && element != *input {
                    return None;
                }
                element = *input;
            }
            oid::ANYARRAY if *input != oid::UNKNOWN => {
                if array != 0 && array != *input {
                    return None;
                }
                array = *input;
            }
            oid::ANYCOMPATIBLE | oid::ANYCOMPATIBLENONARRAY if *input != oid::UNKNOWN => {
                nonarray |= *target == oid::ANYCOMPATIBLENONARRAY;
                compatible.push(*input);
            }
            oid::ANYCOMPATIBLEARRAY if *input != oid::UNKNOWN => compatible_arrays.push(*input),
            oid::ANYRANGE | oid::ANYMULTIRANGE | oid::ANYCOMPATIBLERANGE | oid::ANYCOMPATIBLEMULTIRANGE => return None,
            _ => {}
        }
    }
    if array != 0 {
        let inner = array_element(array)?;
        if element != 0 && element != inner {
            return None;
        }
        element = inner;
    }
    if nonarray && element != 0 && element_of(element).is_some() {
        return None;
    }
    for array in compatible_arrays {
        compatible.push(array_element(array)?);
    }
    let compatible = if compatible.is_empty() { 0 } else { common_type(&compatible)? };
    if nonarray && compatible != 0 && element_of(compatible).is_some() {
        return None;
    }
    let wanted = |list: &[Oid], names: &[Oid]| list.iter().any(|one| names.contains(one));
    // An `anycompatible` with no typed argument becomes text, an `anyelement` stays undecided.
    let compatible = if compatible == 0
        && wanted(targets, &[oid::ANYCOMPATIBLE, oid::ANYCOMPATIBLEARRAY, oid::ANYCOMPATIBLENONARRAY])
    {
        oid::TEXT
    } else {
        compatible
    };
    Some(Generic { element, compatible })
}

fn array_element(array: Oid) -> Option<Oid> {
    match array {
        oid::ANYARRAY => Some(oid::ANYELEMENT),
        oid::INT2VECTOR => Some(oid::INT2),
        oid::OIDVECTOR => Some(oid::OID),
        other => element_of(other),
    }
}

/// The type that siblings of CASE, COALESCE, UNION, VALUES, ARRAY take together; None when there is none.
pub fn common_type(inputs: &[Oid]) -> Option<Oid> {
    let mut chosen = oid::UNKNOWN;
    for input in inputs {
        if *input == oid::UNKNOWN || *input == chosen {
            continue;
        }
        if chosen == oid::UNKNOWN {
            chosen = *input;
            continue;
        }
        if category(*input) != category(chosen) {
            return None;
        }
        let forward = pathway(chosen, *input, Context::Implicit).is_some();
        let backward = pathway(*input, chosen, Context::Implicit).is_some();
        if !preferred(chosen) && forward && !backward {
            chosen = *input;
        }
    }
    let chosen = if chosen == oid::UNKNOWN { oid::TEXT } else { chosen };
    inputs.iter().all(|input| can_coerce(&[*input], &[chosen], Context::Implicit)).then_some(chosen)
}

/// The two types that stopped `common_type`, for the error message.
pub fn common_type_conflict(inputs: &[Oid]) -> Option<(Oid, Oid, bool)> {
    let known: Vec<Oid> = inputs.iter().copied().filter(|input| *input != oid::UNKNOWN).collect();
    let first = *known.first()?;
    if let Some(other) = known.iter().find(|input| category(**input) != category(first)) {
        return Some((first, *other, true));
    }
    let other = known.iter().find(|input| **input != first)?;
    Some((first, *other, false))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_types() {
        for (inputs, expect) in [
            (vec![oid::INT4, oid::INT8], Some(oid::INT8)),
            (vec![oid::INT4, oid::NUMERIC, oid::FLOAT8], Some(oid::FLOAT8)),
            (vec![oid::UNKNOWN, oid::UNKNOWN], Some(oid::TEXT)),
            (vec![oid::UNKNOWN, oid::DATE], Some(oid::DATE)),
            (vec![oid::DATE, oid::TIMESTAMPTZ], Some(oid::TIMESTAMPTZ)),
            (vec![oid::INT4, oid::TEXT], None),
            (vec![oid::VARCHAR, oid::TEXT], Some(oid::VARCHAR)),
            (vec![oid::TEXT, oid::VARCHAR], Some(oid::TEXT)),
            (vec![oid::DATE, oid::INTERVAL], None),
        ] {
            assert_eq!(common_type(&inputs), expect, "{inputs:?}");
        }
    }

    #[test]
    fn polymorphic_arguments() {
        let append = [oid::ANYCOMPATIBLEARRAY, oid::ANYCOMPATIBLE];
        let int4s = array_of(oid::INT4).expect("int4 has an array type");
        assert_eq!(resolve_generic(&[int4s, oid::INT8], &append).map(|g| g.compatible), Some(oid::INT8));
        assert_eq!(resolve_generic(&[int4s, oid::TEXT], &append), None);
    }
}
