//! Rank: which score has a profile among all others?
//!
//! A score is `1 + floor(5·L/n)`, so it is at least `s + 1` exactly if more than the
//! `ceil(s·n/5)` smallest values lie strictly below: if the value is greater than the
//! `ceil(s·n/5)`-th smallest. Those four values of each measure are its *edges*. A change moves an
//! edge by a few places at most, and only the profiles between its old and its new value are scored
//! anew: no quintile rewrites the view.
//!
//! It lives on one worker, since a rank is among all: about 300 bytes a profile.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::{Purchases, Rfm};
use crate::event::{Identifier, ProfileId};
use crate::operator::Index;
use crate::settings::Settings;
use crate::view::Diff;

/// The edges between five scores.
const EDGES: usize = 4;

/// All profiles in the orders of the three measures.
#[derive(Debug)]
pub(super) struct Ranks {
    settings: Rc<Settings>,
    /// The published rows.
    rows: Index<ProfileId, Rfm>,
    /// Recency, frequency, monetary value.
    measures: [Measure; 3],
}

impl Ranks {
    pub(super) fn new(settings: Rc<Settings>) -> Ranks {
        Ranks { settings, rows: Index::default(), measures: Default::default() }
    }

    /// Applies one tick's changes and appends what follows from them.
    pub(super) fn tick(
        &mut self,
        updates: &[((ProfileId, Purchases), Diff)],
        changes: &mut Vec<((ProfileId, Rfm), Diff)>,
    ) {
        let mut bases = BTreeMap::new();
        // What leaves goes first: the same profile may come back with the same value.
        for leaving in [true, false] {
            for ((profile, purchases), diff) in updates.iter().filter(|(_, d)| (*d < 0) == leaving)
            {
                for (measure, value) in self.measures.iter_mut().zip(values(purchases)) {
                    measure.update(value, *profile, *diff);
                }
                if !leaving {
                    bases.insert(*profile, *purchases);
                }
            }
        }
        let changed: BTreeSet<ProfileId> =
            updates.iter().map(|((profile, _), _)| *profile).collect();
        let mut touched = changed.clone();
        for measure in &mut self.measures {
            measure.settle(&mut touched);
        }
        for profile in touched {
            let old = self.rows.get(&profile).copied();
            let new = match bases.get(&profile) {
                Some(purchases) => Some(self.row(purchases)),
                None if changed.contains(&profile) => None,
                None => old.map(|old| self.rescored(old)),
            };
            if old != new {
                changes.extend(old.map(|old| ((profile, old), -1)));
                changes.extend(new.map(|new| ((profile, new), 1)));
                match new {
                    Some(new) => self.rows.insert(profile, new),
                    None => self.rows.remove(&profile),
                };
            }
        }
    }

    /// The row of a profile with these purchases.
    fn row(&self, purchases: &Purchases) -> Rfm {
        let Purchases { last_order, orders, .. } = *purchases;
        let spent = purchases.spent();
        self.rescored(Rfm { last_order, orders, spent, r: 0, f: 0, m: 0, group: 0 })
    }

    /// A row with the scores that its values have now.
    fn rescored(&self, row: Rfm) -> Rfm {
        let [recency, frequency, monetary] = &self.measures;
        let r = recency.score(row.last_order.0);
        let f = frequency.score(i64::from(row.orders));
        let m = monetary.score(row.spent.0);
        let inside = |range: (u8, u8), score| range.0 <= score && score <= range.1;
        let fits = |group: &crate::settings::Group| {
            inside(group.r, r) && inside(group.f, f) && inside(group.m, m)
        };
        let groups = &self.settings.groups;
        let group = groups.iter().position(fits).unwrap_or(groups.len());
        Rfm { r, f, m, group: u8::try_from(group).unwrap_or(u8::MAX), ..row }
    }
}

/// What is ranked.
fn values(purchases: &Purchases) -> [i64; 3] {
    [purchases.last_order.0, i64::from(purchases.orders), purchases.spent().0]
}

/// The profiles in the order of one value.
#[derive(Debug, Default)]
struct Measure {
    profiles: BTreeSet<(i64, ProfileId)>,
    /// How many profiles have each value.
    counts: BTreeMap<i64, usize>,
    edges: [Edge; EDGES],
}

/// A value that a score begins above.
#[derive(Clone, Copy, Debug, Default)]
struct Edge {
    /// The value; `None` while there is nothing to rank.
    value: Option<i64>,
    /// How many profiles have a strictly smaller value.
    below: usize,
}

impl Measure {
    /// A profile came to have `value`, or has it no longer.
    fn update(&mut self, value: i64, profile: ProfileId, diff: Diff) {
        let count = self.counts.entry(value).or_default();
        if 0 < diff {
            self.profiles.insert((value, profile));
            *count += 1;
        } else {
            self.profiles.remove(&(value, profile));
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&value);
            }
        }
        for edge in self.edges.iter_mut().filter(|edge| Some(value) < edge.value) {
            edge.below = if 0 < diff { edge.below + 1 } else { edge.below - 1 };
        }
    }

    /// Moves the edges to where they belong, and adds the profiles that this scores anew.
    fn settle(&mut self, touched: &mut BTreeSet<ProfileId>) {
        let total = self.profiles.len();
        for (number, edge) in (1..).zip(&mut self.edges) {
            let old = edge.value;
            *edge = edge.moved(&self.counts, (number * total).div_ceil(EDGES + 1));
            if let (Some(old), Some(new)) = (old, edge.value)
                && old != new
            {
                let after = |value: i64| (value + 1, ProfileId(Identifier::default()));
                let between = after(old.min(new))..after(old.max(new));
                touched.extend(self.profiles.range(between).map(|(_, profile)| *profile));
            }
        }
    }

    /// The score of `value`.
    fn score(&self, value: i64) -> u8 {
        let passed = self.edges.iter().filter(|edge| edge.value < Some(value)).count();
        1 + u8::try_from(passed).unwrap_or(0)
    }
}

impl Edge {
    /// The edge at the `place`-th smallest value, counted from 1.
    fn moved(self, counts: &BTreeMap<i64, usize>, place: usize) -> Edge {
        let Some((least, _)) = counts.first_key_value() else { return Edge::default() };
        let Edge { value, mut below } = self;
        let mut value = value.unwrap_or(*least);
        while place <= below {
            let Some((before, count)) = counts.range(..value).next_back() else { break };
            value = *before;
            below -= count;
        }
        while below + counts.get(&value).copied().unwrap_or(0) < place {
            let Some((after, _)) = counts.range(value + 1..).next() else { break };
            below += counts.get(&value).copied().unwrap_or(0);
            value = *after;
        }
        Edge { value: Some(value), below }
    }
}
