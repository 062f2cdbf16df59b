//! Limits: how is a component divided when it holds more of a kind than one person may have?

use std::collections::BTreeMap;

use super::graph::Graph;
use super::{Conflict, Pair};
use crate::event::{Kind, ProfileId};
use crate::settings::Settings;

/// The groups that the component `members` falls into, with their profiles; the pairs that a limit
/// refused go into `conflicts`.
///
/// Cost: a sort of the component's pairs.
pub(super) fn groups(
    graph: &Graph,
    settings: &Settings,
    members: &[u32],
    conflicts: &mut BTreeMap<Pair, Conflict>,
) -> Vec<(Vec<u32>, ProfileId)> {
    let mut edges: Vec<_> = graph
        .active_edges(members)
        .into_iter()
        .map(|edge| {
            let edge = &graph.edges[edge];
            let [left, right] = edge.ends.map(|end| graph.nodes[end].id);
            // The smaller end is of the stronger kind, or of the same.
            (right.kind(), graph.first_claim(edge), Pair(left, right), edge.ends)
        })
        .collect();
    edges.sort_unstable();
    let mut sets = Sets::new(graph, settings, members);
    for (_, _, pair, ends) in edges {
        if let Some(kind) = sets.join(ends) {
            conflicts.insert(pair, Conflict { kind });
        }
    }
    let mut groups: BTreeMap<usize, Vec<u32>> = BTreeMap::new();
    for member in members {
        groups.entry(sets.root(*member)).or_default().push(*member);
    }
    let profile = |group: &Vec<u32>| graph.profile(group.iter().copied());
    let named = groups.into_values().filter_map(|group| profile(&group).map(|id| (group, id)));
    named.collect()
}

/// Disjoint sets of a component's nodes, each with its number of identifiers by kind.
struct Sets<'a> {
    settings: &'a Settings,
    place: BTreeMap<u32, usize>,
    parent: Vec<usize>,
    kinds: Vec<BTreeMap<Kind, u32>>,
}

impl<'a> Sets<'a> {
    fn new(graph: &Graph, settings: &'a Settings, members: &[u32]) -> Sets<'a> {
        let kinds = members.iter().map(|node| BTreeMap::from([(graph.nodes[*node].id.kind(), 1)]));
        Sets {
            settings,
            place: members.iter().enumerate().map(|(place, node)| (*node, place)).collect(),
            parent: (0..members.len()).collect(),
            kinds: kinds.collect(),
        }
    }

    fn root(&mut self, node: u32) -> usize {
        let mut at = self.place[&node];
        while self.parent[at] != at {
            self.parent[at] = self.parent[self.parent[at]];
            at = self.parent[at];
        }
        at
    }

    /// Joins the sets of two nodes, or says which kind forbids it.
    fn join(&mut self, ends: [u32; 2]) -> Option<Kind> {
        let [a, b] = ends.map(|end| self.root(end));
        if a == b {
            return None;
        }
        let (few, many) = if self.kinds[a].len() < self.kinds[b].len() { (a, b) } else { (b, a) };
        let count = |kind: &Kind| [few, many].map(|set| self.kinds[set].get(kind).copied());
        let over = self.kinds[few].keys().find(|kind| {
            let joined: u32 = count(kind).into_iter().flatten().sum();
            self.settings.limit(**kind).is_some_and(|limit| limit < joined)
        });
        if let Some(kind) = over {
            return Some(*kind);
        }
        for (kind, count) in std::mem::take(&mut self.kinds[few]) {
            *self.kinds[many].entry(kind).or_default() += count;
        }
        self.parent[few] = many;
        None
    }
}
