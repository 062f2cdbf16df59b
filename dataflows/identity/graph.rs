//! Graph: who becomes one person when claims come and go?
//!
//! The state behind [`identity`](super::identity). It lives on one worker: identity is the one
//! result in which any two keys may meet. Only *changed* sets of identifiers reach it (a repeated
//! sight of the same identifiers does not), so it handles far more events than it is given; its
//! memory, about 300 bytes an identifier with its claims, is what bounds a cluster. Sharding it
//! would mean a first pass between shards before this one.

use std::collections::{BTreeMap, BTreeSet};

use super::{Claim, Conflict, Found, Pair};
use crate::event::{EventTime, Identifier, Kind, Place, ProfileId, Who};
use crate::operator::Index;
use crate::settings::Settings;
use crate::slab::{List, Slab};
use crate::view::Diff;

/// An identifier.
#[derive(Debug, Default)]
pub(super) struct Node {
    pub(super) id: Identifier,
    /// The least event time of its groups and links; `None` if it is named nowhere.
    first_seen: Option<EventTime>,
    /// Its pairs.
    edges: List,
    /// The groups it is in.
    groups: List,
    /// How many live pairs join it to stronger kinds.
    stronger: u32,
    /// Whether that is too many.
    shared: bool,
    /// The tick's number at which its component was walked last.
    walked: u64,
    /// Its published profile.
    profile: Option<ProfileId>,
}

/// A pair of identifiers.
#[derive(Debug, Default)]
pub(super) struct Edge {
    /// The two ends; the smaller identifier first.
    pub(super) ends: [u32; 2],
    /// How many groups and links claim it.
    claims: u32,
    /// How many operators' decisions forbid it.
    unlinks: u32,
}

impl Edge {
    fn live(&self) -> bool {
        0 < self.claims && self.unlinks == 0
    }
}

/// A set of identifiers that were seen together.
#[derive(Debug, Default)]
struct Group {
    who: Who,
    /// Its identifiers, the strongest first.
    nodes: List,
    /// The least place of its events.
    first: Option<Place>,
    /// The published profile of its events.
    profile: Option<ProfileId>,
}

/// Takes numbers out, each once and in order.
fn distinct(numbers: &mut Vec<u32>) -> Vec<u32> {
    let mut numbers = std::mem::take(numbers);
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

/// All identifiers with their claims.
#[derive(Debug, Default)]
pub(super) struct Graph {
    pub(super) nodes: Slab<Node>,
    pub(super) edges: Slab<Edge>,
    groups: Slab<Group>,
    node_of: Index<Identifier, u32>,
    group_of: Index<Who, u32>,
    /// The places of the links, by pair.
    links: BTreeMap<Pair, BTreeMap<Place, Diff>>,
    /// The published conflicts.
    conflicts: BTreeMap<Pair, Conflict>,
    /// Counts the ticks.
    round: u64,
    /// What the tick touched.
    dirty_nodes: Vec<u32>,
    dirty_groups: Vec<u32>,
    /// Nodes whose count of stronger partners moved.
    recounted: BTreeSet<u32>,
}

impl Graph {
    /// Applies one tick's changes and appends what follows from them.
    pub(super) fn tick(
        &mut self,
        settings: &Settings,
        updates: &[(Claim, Diff)],
        out: &mut Vec<(Found, Diff)>,
    ) {
        self.round += 1;
        // What leaves is applied first, so that a set's first place is replaced and not doubled.
        for leaving in [true, false] {
            for (claim, diff) in updates.iter().filter(|(_, diff)| (*diff < 0) == leaving) {
                match claim {
                    Claim::Seen(group, place) => self.see(&group.ids, group.who, *place, *diff),
                    Claim::Link(pair, place) => self.link(*pair, *place, *diff),
                    Claim::Unlink(pair) => self.unlink(*pair, *diff),
                }
            }
        }
        self.settle_shared(settings);
        for node in distinct(&mut self.dirty_nodes) {
            self.settle_component(settings, node, out);
        }
        for group in distinct(&mut self.dirty_groups) {
            self.settle_group(group, out);
        }
    }

    /// A set of identifiers has, or has no longer, its first event at `place`.
    fn see(&mut self, ids: &[Identifier], who: Who, place: Place, diff: Diff) {
        if 0 < diff {
            let nodes: List = ids.iter().map(|id| self.node(*id)).collect();
            let known = self.group_of.get(&who).copied();
            let group = known.unwrap_or_else(|| {
                let new = Group { who, nodes: nodes.clone(), first: None, profile: None };
                let group = self.groups.insert(new);
                self.group_of.insert(who, group);
                nodes.as_slice().iter().for_each(|node| self.nodes[*node].groups.push(group));
                group
            });
            self.groups[group].first = Some(place);
            self.dirty_groups.push(group);
        } else if let Some(group) = self.group_of.get(&who).copied() {
            self.groups[group].first = None;
            self.dirty_groups.push(group);
        }
        let Some(group) = self.group_of.get(&who).copied() else { return };
        let nodes = self.groups[group].nodes.clone();
        for (at, &node) in nodes.as_slice().iter().enumerate() {
            self.refresh_first_seen(node, place.0, diff);
            for &other in &nodes.as_slice()[at + 1..] {
                self.claim(node, other, diff);
            }
        }
    }

    /// An operator joined a pair, or took that back.
    fn link(&mut self, pair: Pair, place: Place, diff: Diff) {
        let [a, b] = [self.node(pair.0), self.node(pair.1)];
        let places = self.links.entry(pair).or_default();
        let count = places.entry(place).or_default();
        *count += diff;
        if *count == 0 {
            places.remove(&place);
        }
        if places.is_empty() {
            self.links.remove(&pair);
        }
        for node in [a, b] {
            self.refresh_first_seen(node, place.0, diff);
        }
        // A link of an identifier with itself names it, and claims nothing.
        if a != b {
            self.claim(a, b, diff);
        }
    }

    /// An operator forbade a pair, or took that back.
    fn unlink(&mut self, pair: Pair, diff: Diff) {
        let [a, b] = [self.node(pair.0), self.node(pair.1)];
        let edge = self.edge(a, b);
        let was = self.edges[edge].live();
        let unlinks = &mut self.edges[edge].unlinks;
        *unlinks = unlinks.saturating_add_signed(i32::try_from(diff).unwrap_or(0));
        self.edge_changed(edge, was);
    }

    /// A pair has one more or one fewer claim; its first claim may have moved.
    fn claim(&mut self, a: u32, b: u32, diff: Diff) {
        let edge = self.edge(a, b);
        let was = self.edges[edge].live();
        let claims = &mut self.edges[edge].claims;
        *claims = claims.saturating_add_signed(i32::try_from(diff).unwrap_or(0));
        self.edge_changed(edge, was);
    }

    /// Follows up a change of an edge: its ends are to be walked, its weaker end recounted.
    fn edge_changed(&mut self, edge: u32, was: bool) {
        let [a, b] = self.edges[edge].ends;
        let live = self.edges[edge].live();
        self.dirty_nodes.extend([a, b]);
        if was != live && self.nodes[a].id.kind() < self.nodes[b].id.kind() {
            let stronger = &mut self.nodes[b].stronger;
            *stronger = if live { *stronger + 1 } else { stronger.saturating_sub(1) };
            self.recounted.insert(b);
        }
        let Edge { claims: 0, unlinks: 0, .. } = self.edges[edge] else { return };
        self.nodes[a].edges.remove(edge);
        self.nodes[b].edges.remove(edge);
        self.edges.remove(edge);
    }

    /// The number of an identifier, new if it is new.
    fn node(&mut self, id: Identifier) -> u32 {
        if let Some(node) = self.node_of.get(&id) {
            return *node;
        }
        let node = self.nodes.insert(Node { id, ..Node::default() });
        self.node_of.insert(id, node);
        node
    }

    /// The number of the pair of two nodes, new if it is new.
    fn edge(&mut self, a: u32, b: u32) -> u32 {
        let ends = if self.nodes[a].id < self.nodes[b].id { [a, b] } else { [b, a] };
        let degree = |node: u32| self.nodes[node].edges.as_slice().len();
        let rarer = if degree(a) < degree(b) { a } else { b };
        let mut edges = self.nodes[rarer].edges.as_slice().iter().copied();
        if let Some(edge) = edges.find(|edge| self.edges[*edge].ends == ends) {
            return edge;
        }
        let edge = self.edges.insert(Edge { ends, claims: 0, unlinks: 0 });
        self.nodes[a].edges.push(edge);
        self.nodes[b].edges.push(edge);
        edge
    }

    /// A sight of `node` at `at` came or went: its first sight may have moved.
    fn refresh_first_seen(&mut self, node: u32, at: EventTime, diff: Diff) {
        let old = self.nodes[node].first_seen;
        let new = if 0 < diff {
            Some(old.map_or(at, |old| old.min(at)))
        } else if old == Some(at) {
            let groups = self.nodes[node].groups.as_slice().iter();
            let seen = groups.filter_map(|group| self.groups[*group].first.map(|(at, _)| at));
            let id = self.nodes[node].id;
            let named = |pair: &&Pair| pair.0 == id || pair.1 == id;
            let linked = self.links.keys().filter(named).flat_map(|pair| self.links[pair].keys());
            seen.chain(linked.map(|(at, _)| *at)).min()
        } else {
            old
        };
        if new != old {
            self.nodes[node].first_seen = new;
            self.dirty_nodes.push(node);
        }
    }

    /// Decides anew which of the recounted identifiers are shared.
    fn settle_shared(&mut self, settings: &Settings) {
        for node in std::mem::take(&mut self.recounted) {
            let Node { id, stronger, shared, .. } = self.nodes[node];
            let now = settings.shared_above(id.kind()).is_some_and(|above| above < stronger);
            if now == shared {
                continue;
            }
            self.nodes[node].shared = now;
            self.dirty_nodes.push(node);
            self.dirty_groups.extend(self.nodes[node].groups.as_slice());
            for edge in self.nodes[node].edges.as_slice() {
                self.dirty_nodes.extend(self.edges[*edge].ends);
            }
        }
    }

    /// Whether the pair counts for components.
    fn active(&self, edge: &Edge) -> bool {
        edge.live() && edge.ends.iter().all(|end| !self.nodes[*end].shared)
    }

    /// Decides anew the component of `node`.
    fn settle_component(&mut self, settings: &Settings, node: u32, out: &mut Vec<(Found, Diff)>) {
        if self.nodes[node].walked == self.round {
            return;
        }
        let Some(_) = self.nodes[node].first_seen else {
            self.publish(node, None, out);
            self.settle_conflicts(&[node], BTreeMap::new(), out);
            self.forget(node);
            return;
        };
        let members = self.component(node);
        let mut conflicts = BTreeMap::new();
        if self.exceeds(settings, &members) {
            for (group, profile) in super::limits::groups(self, settings, &members, &mut conflicts)
            {
                group.iter().for_each(|member| self.publish(*member, Some(profile), out));
            }
        } else {
            let profile = self.profile(members.iter().copied());
            members.iter().for_each(|member| self.publish(*member, profile, out));
        }
        if !self.conflicts.is_empty() || !conflicts.is_empty() {
            self.settle_conflicts(&members, conflicts, out);
        }
    }

    /// The nodes that active pairs join to `start`.
    fn component(&mut self, start: u32) -> Vec<u32> {
        let mut members = vec![start];
        self.nodes[start].walked = self.round;
        let mut at = 0;
        while let Some(&node) = members.get(at) {
            at += 1;
            let edges = self.nodes[node].edges.clone();
            for edge in edges.as_slice().iter().map(|edge| &self.edges[*edge]) {
                let other = edge.ends[usize::from(edge.ends[0] == node)];
                if self.nodes[other].walked != self.round && self.active(edge) {
                    self.nodes[other].walked = self.round;
                    members.push(other);
                }
            }
        }
        members
    }

    /// The pairs inside a component that count.
    pub(super) fn active_edges(&self, members: &[u32]) -> Vec<u32> {
        let smaller = members.iter().flat_map(|member| {
            let edges = self.nodes[*member].edges.as_slice().iter();
            edges.filter(|edge| self.edges[**edge].ends[0] == *member)
        });
        smaller.copied().filter(|edge| self.active(&self.edges[*edge])).collect()
    }

    /// Whether the component has more of a kind than one profile may have.
    fn exceeds(&self, settings: &Settings, members: &[u32]) -> bool {
        let kinds = (0..).map(Kind).zip(&settings.kinds);
        let mut limits = kinds.filter_map(|(kind, rule)| rule.limit.map(|limit| (kind, limit)));
        limits.any(|(kind, limit)| {
            let of_kind = members.iter().filter(|node| self.nodes[**node].id.kind() == kind);
            usize::try_from(limit).is_ok_and(|limit| limit < of_kind.count())
        })
    }

    /// The least place among the claims of a pair.
    pub(super) fn first_claim(&self, edge: &Edge) -> Option<Place> {
        let [a, b] = edge.ends;
        let rarer = |node: &u32| self.nodes[*node].groups.as_slice().len();
        let (near, far) = if rarer(&a) < rarer(&b) { (a, b) } else { (b, a) };
        let groups = self.nodes[near].groups.as_slice().iter().map(|group| &self.groups[*group]);
        let both = groups.filter(|group| group.nodes.as_slice().contains(&far));
        let links = self.links.get(&Pair(self.nodes[a].id, self.nodes[b].id));
        let linked = links.into_iter().flat_map(BTreeMap::keys).copied();
        both.filter_map(|group| group.first).chain(linked).min()
    }

    /// The profile id of identifiers that are one person.
    pub(super) fn profile(&self, members: impl Iterator<Item = u32>) -> Option<ProfileId> {
        let ranks = members.map(|member| {
            let node = &self.nodes[member];
            (node.id.kind(), node.first_seen, node.id)
        });
        ranks.min().map(|(_, _, id)| ProfileId(id))
    }

    /// Publishes the profile of an identifier, if it is another.
    fn publish(&mut self, node: u32, new: Option<ProfileId>, out: &mut Vec<(Found, Diff)>) {
        let node = &mut self.nodes[node];
        let old = std::mem::replace(&mut node.profile, new);
        if old != new {
            out.extend(old.map(|old| (Found::Profile(node.id, old), -1)));
            out.extend(new.map(|new| (Found::Profile(node.id, new), 1)));
            self.dirty_groups.extend(node.groups.as_slice());
        }
    }

    /// Publishes the conflicts of a component, and takes back those it had.
    fn settle_conflicts(
        &mut self,
        members: &[u32],
        new: BTreeMap<Pair, Conflict>,
        out: &mut Vec<(Found, Diff)>,
    ) {
        let least = Identifier::default();
        for member in members {
            let id = self.nodes[*member].id;
            let after = Pair(id, least);
            let of_member = self.conflicts.range(after..).take_while(|(pair, _)| pair.0 == id);
            let old: Vec<_> = of_member.map(|(pair, conflict)| (*pair, *conflict)).collect();
            for (pair, conflict) in old {
                if new.get(&pair) != Some(&conflict) {
                    self.conflicts.remove(&pair);
                    out.push((Found::Conflict(pair, conflict), -1));
                }
            }
        }
        for (pair, conflict) in new {
            if self.conflicts.insert(pair, conflict) != Some(conflict) {
                out.push((Found::Conflict(pair, conflict), 1));
            }
        }
    }

    /// Publishes the profile of a group's events, if it is another; forgets a group without events.
    fn settle_group(&mut self, number: u32, out: &mut Vec<(Found, Diff)>) {
        let group = &self.groups[number];
        let new = group.first.and_then(|_| {
            let nodes = group.nodes.as_slice();
            let own = nodes.iter().find(|node| !self.nodes[**node].shared).or(nodes.first())?;
            self.nodes[*own].profile
        });
        let (who, old) = (group.who, group.profile);
        if old != new {
            self.groups[number].profile = new;
            out.extend(old.map(|old| (Found::Owner(who, old), -1)));
            out.extend(new.map(|new| (Found::Owner(who, new), 1)));
        }
        if self.groups[number].first.is_none() && self.group_of.remove(&who).is_some() {
            let group = self.groups.remove(number);
            for node in group.nodes.as_slice() {
                self.nodes[*node].groups.remove(number);
                self.forget(*node);
            }
        }
    }

    /// Forgets an identifier that nothing names any more.
    fn forget(&mut self, number: u32) {
        let node = &self.nodes[number];
        let named = node.first_seen.is_some() || node.profile.is_some();
        let held = !node.edges.as_slice().is_empty() || !node.groups.as_slice().is_empty();
        if !named && !held && self.node_of.remove(&node.id).is_some() {
            self.nodes.remove(number);
        }
    }
}
