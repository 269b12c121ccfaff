//! A union-find forest over interned nodes: integers, or byte strings such as text and uuid.
//!
//! Promises O(alpha) per edge and memory O(nodes); what the components are does not depend on the order of edges, nor
//! on how they were split over forests that were merged. It does not keep the edges.

use std::hash::BuildHasher;

use hashbrown::hash_map::Entry;
use hashbrown::{DefaultHashBuilder, HashMap, HashTable};

use crate::SqlError;
use crate::error::PROGRAM_LIMIT_EXCEEDED;

/// Limit: nodes of one forest; indices are 32 bits.
const NODES_MAX: usize = u32::MAX as usize - 1;

/// Nodes of one kind.
#[derive(Debug)]
pub enum Nodes {
    /// Integers and dates.
    Integers {
        /// Index of each value.
        index: HashMap<i64, u32>,
        /// Value of each index.
        values: Vec<i64>,
    },
    /// Text, uuid.
    Bytes {
        /// Indices, found by the hash of their bytes.
        index: HashTable<u32>,
        /// All bytes in a row.
        bytes: Vec<u8>,
        /// Where each node's bytes end.
        ends: Vec<usize>,
        /// Hashes the bytes.
        hasher: DefaultHashBuilder,
    },
}

/// A node to be added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Node<'a> {
    /// An integer or date.
    Integer(i64),
    /// The bytes of a text or uuid.
    Bytes(&'a [u8]),
}

/// The forest: a set of nodes, split into components.
#[derive(Debug)]
pub struct Forest {
    nodes: Nodes,
    parents: Vec<u32>,
}

impl Forest {
    /// An empty forest of integers.
    pub fn of_integers() -> Self {
        Self { nodes: Nodes::Integers { index: HashMap::new(), values: Vec::new() }, parents: Vec::new() }
    }

    /// An empty forest of byte strings.
    pub fn of_bytes() -> Self {
        let (index, hasher) = (HashTable::new(), DefaultHashBuilder::default());
        Self { nodes: Nodes::Bytes { index, bytes: Vec::new(), ends: Vec::new(), hasher }, parents: Vec::new() }
    }

    /// Number of nodes.
    pub fn len(&self) -> usize {
        self.parents.len()
    }

    /// No nodes?
    pub fn is_empty(&self) -> bool {
        self.parents.is_empty()
    }

    /// The node of an index.
    pub fn node(&self, index: u32) -> Node<'_> {
        match &self.nodes {
            Nodes::Integers { values, .. } => Node::Integer(values[index as usize]),
            Nodes::Bytes { bytes, ends, .. } => Node::Bytes(bytes_of(bytes, ends, index)),
        }
    }

    /// Adds a node if it is new and gives its index. More than 2^32 - 2 nodes: 54000.
    #[inline]
    pub fn add(&mut self, node: Node<'_>) -> Result<u32, SqlError> {
        let next = self.parents.len() as u32;
        let found = match (&mut self.nodes, node) {
            (Nodes::Integers { index, values }, Node::Integer(value)) => match index.entry(value) {
                Entry::Occupied(entry) => *entry.get(),
                Entry::Vacant(entry) => {
                    entry.insert(next);
                    values.push(value);
                    next
                }
            },
            (Nodes::Bytes { index, bytes, ends, hasher }, Node::Bytes(value)) => {
                let hash = hasher.hash_one(value);
                match index.find(hash, |at| bytes_of(bytes, ends, *at) == value) {
                    Some(at) => *at,
                    None => {
                        bytes.extend_from_slice(value);
                        ends.push(bytes.len());
                        index.insert_unique(hash, next, |at| hasher.hash_one(bytes_of(bytes, ends, *at)));
                        next
                    }
                }
            }
            _ => return Err(SqlError::corrupt_state("connected_components", "The kind of node differs.")),
        };
        if found == next {
            if self.parents.len() >= NODES_MAX {
                let message = "connected_components takes at most 4294967294 nodes";
                return Err(SqlError::new(PROGRAM_LIMIT_EXCEEDED, message));
            }
            self.parents.push(next);
        }
        Ok(found)
    }

    /// Joins the components of two nodes.
    #[inline]
    pub fn join(&mut self, a: u32, b: u32) {
        let (a, b) = (self.root(a), self.root(b));
        if a != b {
            // By index: the older root stays, which keeps paths short enough and needs no rank.
            self.parents[a.max(b) as usize] = a.min(b);
        }
    }

    /// The representative of a node's component, halving the path on the way.
    #[inline]
    pub fn root(&mut self, mut node: u32) -> u32 {
        loop {
            let parent = self.parents[node as usize];
            if parent == node {
                return node;
            }
            let above = self.parents[parent as usize];
            self.parents[node as usize] = above;
            node = above;
        }
    }

    /// All (node, smallest node of its component), ordered by component, then node.
    pub fn components(&mut self) -> Vec<(u32, u32)> {
        let count = self.parents.len();
        let mut sorted: Vec<u32> = (0..count as u32).collect();
        match &self.nodes {
            Nodes::Integers { values, .. } => sorted.sort_unstable_by_key(|index| values[*index as usize]),
            Nodes::Bytes { bytes, ends, .. } => {
                sorted.sort_unstable_by(|a, b| bytes_of(bytes, ends, *a).cmp(bytes_of(bytes, ends, *b)));
            }
        }
        // In ascending order the first node met of a component is its smallest, and components are met in order.
        const UNSEEN: u32 = u32::MAX;
        let mut number_of_root = vec![UNSEEN; count];
        let mut smallest = Vec::new();
        let mut sizes: Vec<usize> = Vec::new();
        let mut number_of_node = vec![0u32; count];
        for index in &sorted {
            let root = self.root(*index) as usize;
            if number_of_root[root] == UNSEEN {
                number_of_root[root] = smallest.len() as u32;
                smallest.push(*index);
                sizes.push(0);
            }
            number_of_node[*index as usize] = number_of_root[root];
            sizes[number_of_root[root] as usize] += 1;
        }
        // Where the next node of each component goes.
        let mut places = Vec::with_capacity(sizes.len());
        let mut next = 0;
        for size in sizes {
            places.push(next);
            next += size;
        }
        let mut result = vec![(0, 0); count];
        for index in sorted {
            let number = number_of_node[index as usize] as usize;
            result[places[number]] = (index, smallest[number]);
            places[number] += 1;
        }
        result
    }

    /// Bytes on the heap.
    pub fn heap_bytes(&self) -> usize {
        let nodes = match &self.nodes {
            Nodes::Integers { index, values } => index.allocation_size() + values.capacity() * size_of::<i64>(),
            Nodes::Bytes { index, bytes, ends, .. } => {
                index.allocation_size() + bytes.capacity() + ends.capacity() * size_of::<usize>()
            }
        };
        nodes + self.parents.capacity() * size_of::<u32>()
    }

    /// Nodes and roots as bytes: version, kind, count, nodes, root index of each.
    pub fn to_bytes(&mut self) -> Vec<u8> {
        let mut out = vec![STATE_VERSION];
        let count = self.parents.len() as u32;
        match &self.nodes {
            Nodes::Integers { values, .. } => {
                out.push(KIND_INTEGERS);
                out.extend_from_slice(&count.to_le_bytes());
                values.iter().for_each(|value| out.extend_from_slice(&value.to_le_bytes()));
            }
            Nodes::Bytes { bytes, ends, .. } => {
                out.push(KIND_BYTES);
                out.extend_from_slice(&count.to_le_bytes());
                for index in 0..count {
                    let value = bytes_of(bytes, ends, index);
                    out.extend_from_slice(&(value.len() as u32).to_le_bytes());
                    out.extend_from_slice(value);
                }
            }
        }
        for index in 0..count {
            let root = self.root(index);
            out.extend_from_slice(&root.to_le_bytes());
        }
        out
    }

    /// Adds the nodes and joins of a forest's bytes. `check` judges the bytes of a node.
    pub fn merge_bytes(&mut self, state: &[u8], check: impl Fn(&[u8]) -> bool) -> Result<(), SqlError> {
        let corrupt = |what: &str| SqlError::corrupt_state("connected_components", what);
        let (head, mut rest) = state.split_first_chunk::<6>().ok_or_else(|| corrupt("It is too short."))?;
        let [version, kind, count @ ..] = *head;
        let count = u32::from_le_bytes(count) as usize;
        if version != STATE_VERSION || !matches!(kind, KIND_INTEGERS | KIND_BYTES) {
            return Err(corrupt("The version is unknown."));
        }
        // Each node takes at least 8 bytes with its root: nothing is reserved for counts that cannot be true.
        if count > rest.len() / 8 {
            return Err(corrupt("The count is too large."));
        }
        let mut indices = Vec::with_capacity(count);
        for _ in 0..count {
            let node = if kind == KIND_INTEGERS {
                let (value, after) = rest.split_first_chunk::<8>().ok_or_else(|| corrupt("A node is cut."))?;
                rest = after;
                Node::Integer(i64::from_le_bytes(*value))
            } else {
                let (length, after) = rest.split_first_chunk::<4>().ok_or_else(|| corrupt("A node is cut."))?;
                let length = u32::from_le_bytes(*length) as usize;
                let (value, after) = after.split_at_checked(length).ok_or_else(|| corrupt("A node is cut."))?;
                rest = after;
                if !check(value) {
                    return Err(corrupt("A node is no value of its type."));
                }
                Node::Bytes(value)
            };
            indices.push(self.add(node)?);
        }
        let (roots, surplus) = rest.as_chunks::<4>();
        if roots.len() != count || !surplus.is_empty() {
            return Err(corrupt("The length is wrong."));
        }
        for (index, root) in indices.iter().zip(roots) {
            let root = indices.get(u32::from_le_bytes(*root) as usize).ok_or_else(|| corrupt("A root is unknown."))?;
            self.join(*index, *root);
        }
        Ok(())
    }
}

const STATE_VERSION: u8 = 1;
const KIND_INTEGERS: u8 = 1;
const KIND_BYTES: u8 = 2;

fn bytes_of<'a>(bytes: &'a [u8], ends: &[usize], index: u32) -> &'a [u8] {
    let index = index as usize;
    let start = if index == 0 { 0 } else { ends[index - 1] };
    &bytes[start..ends[index]]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    /// The twin: repeat taking the smaller label over every edge until nothing changes.
    fn labels(edges: &[(i64, i64)]) -> BTreeMap<i64, i64> {
        let mut labels: BTreeMap<i64, i64> = edges.iter().flat_map(|(a, b)| [(*a, *a), (*b, *b)]).collect();
        loop {
            let mut changed = false;
            for (a, b) in edges {
                let smaller = labels[a].min(labels[b]);
                for node in [a, b] {
                    changed |= labels.insert(*node, smaller) != Some(smaller);
                }
            }
            if !changed {
                return labels;
            }
        }
    }

    fn forest(edges: &[(i64, i64)], text: bool) -> Forest {
        let mut forest = if text { Forest::of_bytes() } else { Forest::of_integers() };
        for (a, b) in edges {
            let [a, b] = [a, b].map(|value| {
                let name = format!("{value:03}");
                forest.add(if text { Node::Bytes(name.as_bytes()) } else { Node::Integer(*value) }).unwrap()
            });
            forest.join(a, b);
        }
        forest
    }

    fn components(forest: &mut Forest) -> Vec<(i64, i64)> {
        let pairs = forest.components();
        let value = |index| match forest.node(index) {
            Node::Integer(value) => value,
            Node::Bytes(bytes) => std::str::from_utf8(bytes).unwrap().parse().unwrap(),
        };
        pairs.into_iter().map(|(node, component)| (value(component), value(node))).collect()
    }

    proptest! {
        #[test]
        fn components_agree_with_the_twin(edges in prop::collection::vec((0i64..60, 0i64..60), 0..60), split in 0usize..60) {
            let expected: Vec<(i64, i64)> = {
                let mut pairs: Vec<_> = labels(&edges).into_iter().map(|(node, label)| (label, node)).collect();
                pairs.sort_unstable();
                pairs
            };
            for text in [false, true] {
                prop_assert_eq!(&components(&mut forest(&edges, text)), &expected);
                let (head, tail) = edges.split_at(split.min(edges.len()));
                let mut merged = forest(tail, text);
                merged.merge_bytes(&forest(head, text).to_bytes(), |_| true).unwrap();
                prop_assert_eq!(&components(&mut merged), &expected);
            }
        }
    }

    #[test]
    fn long_chains_and_stars() {
        let chain: Vec<(i64, i64)> = (0..20_000).rev().map(|i| (i + 1, i)).collect();
        assert!(components(&mut forest(&chain, false)).iter().all(|(component, _)| *component == 0));
        let star: Vec<(i64, i64)> = (1..20_000).map(|i| (20_000, i)).collect();
        assert!(components(&mut forest(&star, false)).iter().all(|(component, _)| *component == 1));
    }
}
