//! Groups: which identifiers are one person, and what has that person ordered?
//!
//! Identifiers are joined through the *sets* in which they occur on events: most events repeat a
//! set, and then nothing has to be joined.
//! Groups are disjoint lists of identifiers; of two that join, the smaller is relabelled.
//! When a set is gone or an identifier becomes shared, the touched groups are found anew.

use dataflows::{Event, EventTime, Identifier, Money, ProfileId, Settings, Who};

use super::kmeans::Model;
use super::table::{Table, index, next};
use super::{Fact, NONE, Profile};

/// An order, as far as RFM needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Order {
    pub(super) at: i64,
    pub(super) spent: i64,
    /// Whether anything was ordered in it.
    pub(super) open: bool,
}

/// What orders come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sum {
    pub(super) last: i64,
    pub(super) orders: u32,
    pub(super) spent: i64,
}

impl Default for Sum {
    fn default() -> Sum {
        Sum { last: i64::MIN, orders: 0, spent: 0 }
    }
}

impl Sum {
    fn add(&mut self, other: Sum) {
        self.last = self.last.max(other.last);
        self.orders += other.orders;
        self.spent += other.spent;
    }
}

impl From<Order> for Sum {
    fn from(Order { at, spent, open }: Order) -> Sum {
        Sum { last: if open { at } else { i64::MIN }, orders: u32::from(open), spent }
    }
}

/// Identifiers that occur together on events.
#[derive(Debug, Default)]
struct Set {
    /// By identifier: the strongest first.
    members: Box<[u32]>,
    /// The member to whose profile the events belong.
    owner: u32,
    events: Vec<u32>,
    /// The least event time.
    first: i64,
    sum: Sum,
}

/// An identifier.
#[derive(Debug)]
struct Node {
    sets: Vec<u32>,
    /// The identifiers of stronger kinds that it is seen with, and in how many sets.
    above: Vec<(u32, u32)>,
    shared: bool,
    group: u32,
}

impl Default for Node {
    fn default() -> Node {
        Node { sets: Vec::new(), above: Vec::new(), shared: false, group: NONE }
    }
}

/// A person.
#[derive(Debug, Default)]
struct Group {
    nodes: Vec<u32>,
    /// The identifier that stands for it.
    label: u32,
    sum: Sum,
    segment: Option<u8>,
    /// Whether label and segment have to be found again.
    dirty: bool,
}

/// Everybody.
#[derive(Debug)]
pub(super) struct Groups {
    nodes: Table<Identifier, Node>,
    sets: Table<Who, Set>,
    groups: Vec<Group>,
    free: Vec<u32>,
    dirty: Vec<u32>,
    /// By kind: an identifier seen with more stronger ones than this is shared.
    shared_above: Vec<Option<u32>>,
}

impl Groups {
    /// Nobody.
    pub(super) fn new(settings: &Settings) -> Groups {
        Groups {
            nodes: Table::default(),
            sets: Table::default(),
            groups: Vec::new(),
            free: Vec::new(),
            dirty: Vec::new(),
            shared_above: settings.kinds.iter().map(|kind| kind.shared_above).collect(),
        }
    }

    /// Where the set of an event's identifiers stands.
    pub(super) fn set(&mut self, event: &Event) -> u32 {
        let Some(key) = event.key() else { return NONE };
        let place = self.sets.place(key);
        let set = &mut self.sets[place];
        if set.members.is_empty() {
            set.members =
                event.who.iter().map(|&identifier| self.nodes.place(identifier)).collect();
        }
        place
    }

    /// Counts the event at `place`.
    pub(super) fn add(&mut self, place: u32, events: &Table<u128, Fact>) {
        let fact = &events[place];
        if fact.set == NONE {
            return;
        }
        if self.sets[fact.set].events.is_empty() {
            self.appear(fact.set);
            self.sets[fact.set].first = i64::MAX;
        }
        let set = &mut self.sets[fact.set];
        set.events.push(place);
        let earlier = fact.at < set.first;
        set.first = set.first.min(fact.at);
        let added = fact.order().map(Sum::from);
        set.sum.add(added.unwrap_or_default());
        if earlier {
            // It may change the label of each member, shared or not.
            let members = set.members.iter();
            let groups: Vec<u32> = members.map(|&node| self.nodes[node].group).collect();
            groups.into_iter().for_each(|group| self.touch(group));
        }
        if let Some(added) = added {
            let group = self.nodes[self.sets[fact.set].owner].group;
            self.groups[index(group)].sum.add(added);
            self.touch(group);
        }
    }

    /// Counts no more the event `old`, which was at `place`.
    pub(super) fn remove(&mut self, place: u32, old: &Fact, events: &Table<u128, Fact>) {
        if old.set == NONE {
            return;
        }
        let set = &mut self.sets[old.set];
        let found = set.events.iter().rposition(|&other| other == place);
        found.map(|found| set.events.swap_remove(found));
        if set.events.is_empty() {
            return self.vanish(old.set);
        }
        let group = self.nodes[set.owner].group;
        if let Some(order) = old.order() {
            let left = set.events.iter().filter_map(|&event| events[event].order());
            take(&mut set.sum, order, || left.map(Sum::from).map(|sum| sum.last).max());
            let mut sum = self.groups[index(group)].sum;
            let sums = || self.owned(group).map(|set| self.sets[set].sum.last).max();
            take(&mut sum, order, sums);
            self.groups[index(group)].sum = sum;
            self.touch(group);
        }
        let set = &mut self.sets[old.set];
        if old.at == set.first {
            set.first = set.events.iter().map(|&event| events[event].at).min().unwrap_or(old.at);
            let members = set.members.iter();
            let groups: Vec<u32> = members.map(|&node| self.nodes[node].group).collect();
            groups.into_iter().for_each(|group| self.touch(group));
        }
    }

    /// Finds labels and segments of touched groups again.
    pub(super) fn settle(&mut self, model: Option<&Model>) {
        for place in std::mem::take(&mut self.dirty) {
            let group = &self.groups[index(place)];
            if !group.dirty {
                continue;
            }
            let label = self.label(&group.nodes);
            let segment = model.filter(|_| 0 < group.sum.orders).map(|model| model.of(&group.sum));
            let group = &mut self.groups[index(place)];
            (group.label, group.segment, group.dirty) = (label, segment, false);
        }
    }

    /// Assigns everybody to the segments of a model.
    pub(super) fn assign(&mut self, model: Option<&Model>) {
        for group in self.groups.iter_mut().filter(|group| 0 < group.sum.orders) {
            group.segment = model.map(|model| model.of(&group.sum));
        }
    }

    /// What everybody with an order has ordered, by profile.
    pub(super) fn customers(&self) -> Vec<Sum> {
        let customers = self.groups.iter().filter(|group| 0 < group.sum.orders);
        let mut rows: Vec<(Identifier, Sum)> =
            customers.map(|group| (self.nodes.key(group.label), group.sum)).collect();
        rows.sort_unstable_by_key(|(label, _)| *label);
        rows.into_iter().map(|(_, sum)| sum).collect()
    }

    /// Whose identifier it is.
    pub(super) fn owner(&self, identifier: Identifier) -> Option<ProfileId> {
        let group = self.nodes[self.nodes.find(identifier)?].group;
        Some(ProfileId(self.nodes.key(self.groups[index(group)].label)))
    }

    /// RFM and segment of a profile that has ordered.
    pub(super) fn profile(&self, id: ProfileId) -> Option<Profile> {
        let node = self.nodes.find(id.0)?;
        let group = &self.groups[index(self.nodes[node].group)];
        let Group { label, sum, segment, .. } = group;
        (*label == node && 0 < sum.orders).then_some(Profile {
            last_order: EventTime(sum.last),
            orders: sum.orders,
            spent: Money(sum.spent),
            segment: *segment,
        })
    }

    /// Where the events of an identifier's profile stand.
    pub(super) fn events(&self, identifier: Identifier) -> Vec<u32> {
        let Some(node) = self.nodes.find(identifier) else { return Vec::new() };
        let sets = self.owned(self.nodes[node].group);
        sets.flat_map(|set| self.sets[set].events.iter().copied()).collect()
    }

    /// The sets whose events belong to a group.
    fn owned(&self, group: u32) -> impl Iterator<Item = u32> {
        let nodes = self.groups[index(group)].nodes.iter();
        nodes.flat_map(move |&node| {
            let sets = self.nodes[node].sets.iter().copied();
            sets.filter(move |&set| self.sets[set].owner == node)
        })
    }

    /// The node with the least (first seen, identifier) of the strongest kind.
    fn label(&self, nodes: &[u32]) -> u32 {
        let strongest = nodes.iter().map(|&node| self.nodes.key(node).kind()).min();
        let candidates =
            nodes.iter().filter(|&&node| Some(self.nodes.key(node).kind()) == strongest);
        let mut label = candidates.clone();
        match (label.next(), label.next()) {
            (Some(only), None) => *only,
            _ => {
                let first = |node| self.nodes[node].sets.iter().map(|&set| self.sets[set].first);
                let place = |&node: &u32| (first(node).min(), self.nodes.key(node));
                candidates.copied().min_by_key(place).unwrap_or(NONE)
            }
        }
    }

    /// Notes that label and segment of a group have to be found again.
    fn touch(&mut self, group: u32) {
        let touched = &mut self.groups[index(group)];
        if !touched.dirty {
            touched.dirty = true;
            self.dirty.push(group);
        }
    }
}

/// How groups come about and come apart.
impl Groups {
    /// A set occurs for the first time.
    fn appear(&mut self, set: u32) {
        let members = self.sets[set].members.clone();
        for (i, &node) in members.iter().enumerate() {
            for &stronger in self.stronger(&members[..i], node) {
                let above = &mut self.nodes[node].above;
                match above.iter_mut().find(|(other, _)| *other == stronger) {
                    Some((_, sets)) => *sets += 1,
                    None => above.push((stronger, 1)),
                }
            }
            self.nodes[node].sets.push(set);
            if self.nodes[node].group == NONE {
                self.found(vec![node]);
            }
        }
        self.sets[set].owner = self.chosen(&members);
        let mut touched = self.turn(&members);
        if touched.is_empty() {
            let own = members.iter().copied().filter(|&node| !self.nodes[node].shared);
            for pair in own.collect::<Vec<u32>>().windows(2) {
                self.join(self.nodes[pair[0]].group, self.nodes[pair[1]].group);
            }
        } else {
            touched.extend(members.iter().map(|&node| self.nodes[node].group));
            self.rebuild(touched);
        }
    }

    /// A set occurs no more.
    fn vanish(&mut self, set: u32) {
        let members = std::mem::take(&mut self.sets[set].members);
        self.sets.remove(self.sets.key(set));
        for (i, &node) in members.iter().enumerate() {
            for &stronger in self.stronger(&members[..i], node) {
                let above = &mut self.nodes[node].above;
                if let Some(found) = above.iter().position(|(other, _)| *other == stronger) {
                    above[found].1 -= 1;
                    if above[found].1 == 0 {
                        above.swap_remove(found);
                    }
                }
            }
            self.nodes[node].sets.retain(|&other| other != set);
        }
        let mut touched = self.turn(&members);
        touched.extend(members.iter().map(|&node| self.nodes[node].group));
        self.rebuild(touched);
        for node in members {
            if self.nodes[node].sets.is_empty() {
                self.nodes.remove(self.nodes.key(node));
            }
        }
    }

    /// Those of `members` that are of a stronger kind than `node`.
    fn stronger<'m>(&self, members: &'m [u32], node: u32) -> &'m [u32] {
        let kind = self.nodes.key(node).kind();
        let n = members.partition_point(|&other| self.nodes.key(other).kind() < kind);
        &members[..n]
    }

    /// Settles which of `members` are shared, and returns the groups that this touches.
    fn turn(&mut self, members: &[u32]) -> Vec<u32> {
        let mut touched = Vec::new();
        for &node in members {
            let kind = usize::from(self.nodes.key(node).kind().0);
            let limit = self.shared_above.get(kind).copied().flatten().unwrap_or(NONE);
            let shared = index(limit) < self.nodes[node].above.len();
            if shared == self.nodes[node].shared {
                continue;
            }
            self.nodes[node].shared = shared;
            for set in self.nodes[node].sets.clone() {
                self.sets[set].owner = self.chosen(&self.sets[set].members);
                let others = self.sets[set].members.iter();
                touched.extend(others.map(|&other| self.nodes[other].group));
            }
        }
        touched
    }

    /// The member to whose profile the events of a set belong: the strongest that is not shared,
    /// or the strongest if all are.
    fn chosen(&self, members: &[u32]) -> u32 {
        let own = members.iter().find(|&&node| !self.nodes[node].shared);
        own.or(members.first()).copied().unwrap_or(NONE)
    }

    /// Makes a group of nodes.
    fn found(&mut self, nodes: Vec<u32>) -> u32 {
        let place = self.free.pop().unwrap_or_else(|| {
            self.groups.push(Group::default());
            next(self.groups.len() - 1)
        });
        nodes.iter().for_each(|&node| self.nodes[node].group = place);
        // A place may be among the dirty still, from the group that was there before.
        let dirty = self.groups[index(place)].dirty;
        self.groups[index(place)] = Group { nodes, dirty, ..Group::default() };
        self.touch(place);
        place
    }

    /// Joins two groups.
    fn join(&mut self, left: u32, right: u32) {
        if left == right {
            return;
        }
        let size = |group: u32| self.groups[index(group)].nodes.len();
        let (large, small) = if size(left) < size(right) { (right, left) } else { (left, right) };
        let gone = self.dissolve(small);
        gone.nodes.iter().for_each(|&node| self.nodes[node].group = large);
        let group = &mut self.groups[index(large)];
        group.nodes.extend(gone.nodes);
        group.sum.add(gone.sum);
        self.touch(large);
    }

    /// Takes a group out.
    fn dissolve(&mut self, place: u32) -> Group {
        self.free.push(place);
        let group = &mut self.groups[index(place)];
        let empty = Group { dirty: group.dirty, ..Group::default() };
        std::mem::replace(group, empty)
    }

    /// Finds the groups of the identifiers in `touched` groups anew.
    fn rebuild(&mut self, mut touched: Vec<u32>) {
        touched.sort_unstable();
        touched.dedup();
        let mut nodes = Vec::new();
        for group in touched {
            nodes.extend(self.dissolve(group).nodes);
        }
        nodes.iter().for_each(|&node| self.nodes[node].group = NONE);
        for node in nodes {
            if self.nodes[node].group == NONE && !self.nodes[node].sets.is_empty() {
                let reached = self.reached(node);
                let place = self.found(reached);
                let mut sum = Sum::default();
                self.owned(place).for_each(|set| sum.add(self.sets[set].sum));
                self.groups[index(place)].sum = sum;
            }
        }
    }

    /// All nodes that belong together with `node`.
    fn reached(&mut self, node: u32) -> Vec<u32> {
        let mut reached = vec![node];
        if self.nodes[node].shared {
            return reached;
        }
        // A node without a group that is reached is marked by a group that is none.
        const REACHED: u32 = NONE - 1;
        self.nodes[node].group = REACHED;
        let mut looked = 0;
        while let Some(&node) = reached.get(looked) {
            looked += 1;
            for at in 0..self.nodes[node].sets.len() {
                let set = self.nodes[node].sets[at];
                for &other in &self.sets[set].members {
                    if self.nodes[other].group == NONE && !self.nodes[other].shared {
                        self.nodes[other].group = REACHED;
                        reached.push(other);
                    }
                }
            }
        }
        reached
    }
}

/// Takes an order out of a sum; `last` says what the last order is then.
fn take(sum: &mut Sum, order: Order, last: impl FnOnce() -> Option<i64>) {
    let gone = Sum::from(order);
    sum.orders -= gone.orders;
    sum.spent -= gone.spent;
    if gone.last == sum.last {
        sum.last = last().unwrap_or(i64::MIN);
    }
}
