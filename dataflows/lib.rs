//! Dataflows: what does affluent compute? Pure functions from collections to collections.
//!
//! ```text
//!            ┌─ today ──────────────┐ windows
//!            ├─ orders ─────────────┼─▶ purchases ─▶ rfm
//!  events ───┼─ identity ─▶ owners ─┤        └─────▶ features ─▶ cells ··▶ fit ··▶ (an event)
//!            ├─ touches ─▶ sessions ┤                    └─────▶ segments ◀── models
//!            ├─ baskets ─▶ related  └─▶ profiles
//!            └─ items, popular, rejects
//! ```
//!
//! What shapes every dataflow:
//!
//! 1. **One input.** Catalogue changes, consent, "the day turned", a trained model: all are events.
//! 2. **No ages.** A view holds instants, never durations since now. Where a result must move with
//!    time, the day turning is an event, and only those who cross a threshold change.
//! 3. **No floats in collections**: sums must not depend on the number of workers.
//! 4. **No dependence on arrival.** A view is a function of the set of events.
//! 5. **Failure is a row**: a refused record is in [`REJECTS`] until it is corrected.
//!
//! To add a dataflow: one file with its view, its row, its function and its batch twin; one line in
//! [`personalize`] and one in [`views`]; one story. The laws, the audit and the snapshots follow
//! from the registration.

pub mod day;
pub mod event;
pub mod feature;
pub mod fit;
pub mod identity;
pub mod item;
pub mod operator;
pub mod order;
pub mod popular;
pub mod profile;
pub mod reject;
pub mod related;
pub mod rfm;
pub mod score;
pub mod segment;
pub mod session;
pub mod settings;
mod slab;
pub mod tick;
pub mod view;
#[cfg(test)]
mod batch_tests;

use std::rc::Rc;

use differential_dataflow::collection::concatenate;

pub use day::TODAY;
pub use event::*;
pub use feature::FEATURES;
pub use identity::{CONFLICTS, IDENTITY, OWNERS};
pub use item::ITEMS;
pub use popular::POPULAR;
pub use profile::PROFILES;
pub use reject::REJECTS;
pub use related::{BASKET_ITEMS, BASKETS, BOUGHT_TOGETHER, VIEWED_THEN_BOUGHT, VIEWED_TOGETHER};
pub use rfm::RFM;
pub use segment::{CELLS, CENTROIDS, SEGMENTS, SPREAD};
pub use session::{DWELL, SESSIONS};
pub use settings::*;
pub use tick::Tick;
pub use view::{Diff, Facts, History, Names, Publish, Rows, Show, Update, View, Visit};

use related::{Purpose, Role, named_baskets, order_baskets, related};

/// The views that need to know whose an event is.
const OF_PROFILES: [&str; 12] = [
    IDENTITY.name,
    CONFLICTS.name,
    OWNERS.name,
    PROFILES.name,
    RFM.name,
    FEATURES.name,
    CELLS.name,
    SEGMENTS.name,
    CENTROIDS.name,
    SPREAD.name,
    SESSIONS.name,
    DWELL.name,
];

/// The registry: makes every view that the shop keeps, and publishes it.
///
/// Some are kept with others: whose an event is with all that is of profiles (an erasure asks for
/// it), all of a segmentation with any part of it (a fit asks for it), and the number of baskets
/// with all pairs (a score asks for it).
pub fn personalize<'s>(
    events: Facts<'s, Rc<Event>>,
    settings: &Rc<Settings>,
    out: &mut impl Publish<'s>,
) {
    let keeps = |names: &[&str]| names.iter().any(|name| settings.keeps(name));
    let rare = events.clone().filter(|event| is_rare(&event.action));
    let today = day::today(rare.clone());
    out.publish(TODAY, today.clone());
    out.publish(REJECTS, reject::rejects(rare.clone()));
    out.publish(ITEMS, item::items(rare.clone()));
    if keeps(&[POPULAR.name]) {
        out.publish(POPULAR, popular::popular(events.clone(), today.clone(), settings));
    }
    let (mut items, mut counted) = (Vec::new(), Vec::new());
    if keeps(&[BOUGHT_TOGETHER.name]) {
        let baskets = order_baskets(rare.clone());
        let bought = related(baskets, Purpose::Orders, false, settings.basket_items_max);
        out.pairs(BOUGHT_TOGETHER, BOUGHT, bought.together, bought.items.clone());
        items.push(bought.items);
        counted.push(bought.baskets);
    }
    let seen = keeps(&[VIEWED_TOGETHER.name, VIEWED_THEN_BOUGHT.name]);
    let mut found = None;
    if keeps(&OF_PROFILES) || (seen && settings.find_sessions) {
        found = profiles(events.clone(), rare, today, settings, out);
    }
    if seen {
        let directed = keeps(&[VIEWED_THEN_BOUGHT.name]);
        let baskets = named_baskets(events.clone()).concatenate(found);
        let seen = related(baskets, Purpose::Sessions, directed, settings.basket_items_max);
        if keeps(&[VIEWED_TOGETHER.name]) {
            out.pairs(VIEWED_TOGETHER, VIEWED, seen.together, seen.items.clone());
        }
        if directed {
            out.pairs(VIEWED_THEN_BOUGHT, THEN, seen.then, seen.items.clone());
        }
        items.push(seen.items);
        counted.push(seen.baskets);
    }
    let scope = events.scope();
    if keeps(&[BASKET_ITEMS.name]) {
        out.tally(BASKET_ITEMS, concatenate(scope, items));
    }
    out.tally(BASKETS, concatenate(scope, counted));
}

/// Tells `visit` of every view that there is, whether a shop keeps it or not, and with no dataflow.
///
/// Whoever reads rows that were written before needs to know their types.
pub fn views(visit: &mut impl Visit) {
    visit.rows(TODAY);
    visit.rows(REJECTS);
    visit.rows(ITEMS);
    visit.rows(POPULAR);
    visit.rows(OWNERS);
    visit.rows(IDENTITY);
    visit.rows(CONFLICTS);
    visit.rows(PROFILES);
    visit.rows(SESSIONS);
    visit.rows(DWELL);
    visit.rows(RFM);
    visit.rows(FEATURES);
    visit.rows(CELLS);
    visit.rows(SEGMENTS);
    visit.rows(CENTROIDS);
    visit.rows(SPREAD);
    visit.pairs(BOUGHT_TOGETHER, BOUGHT);
    visit.pairs(VIEWED_TOGETHER, VIEWED);
    visit.pairs(VIEWED_THEN_BOUGHT, THEN);
    visit.rows(BASKET_ITEMS);
    visit.rows(BASKETS);
}

/// What the items of pairs are to a basket.
const BOUGHT: [Role; 2] = [Role::Bought; 2];
const VIEWED: [Role; 2] = [Role::Viewed; 2];
const THEN: [Role; 2] = [Role::ViewedBefore, Role::BoughtAfter];

/// Whether an action is none of those that nearly all events are.
///
/// What reads none of those is given the rest, so that a view costs one look and not ten.
fn is_rare(action: &Action) -> bool {
    use Action::{AddToCart, Identify, Page, RemoveFromCart, Search, View};
    !matches!(
        action,
        View(_) | AddToCart(_) | RemoveFromCart(_) | Search(_) | Page(_) | Identify(_)
    )
}

/// The part of the registry that needs identity; gives the baskets of the sessions it found.
fn profiles<'s>(
    events: Facts<'s, Rc<Event>>,
    rare: Facts<'s, Rc<Event>>,
    today: Rows<'s, (), Day>,
    settings: &Rc<Settings>,
    out: &mut impl Publish<'s>,
) -> Option<Facts<'s, (u64, related::Touched)>> {
    let keeps = |names: &[&str]| names.iter().any(|name| settings.keeps(name));
    let wanted = &settings.segments.features;
    let identity = identity::identity(events.clone(), rare.clone(), settings);
    let owned = identity.events.clone();
    out.publish(OWNERS, owned.map(|(who, profile)| (identity::Owned(profile, who), ())));
    out.publish(IDENTITY, identity.profiles.clone());
    if keeps(&[CONFLICTS.name]) {
        out.publish(CONFLICTS, identity.conflicts);
    }
    let segmented = keeps(&[FEATURES.name, CELLS.name, SEGMENTS.name, CENTROIDS.name, SPREAD.name]);
    let bought = segmented || keeps(&[RFM.name]);
    let browsing = wanted.iter().any(|of| matches!(of, Feature::Depth | Feature::SessionTime));
    let all_sessions = (segmented && browsing) || keeps(&[SESSIONS.name, DWELL.name]);
    if !(bought || all_sessions || settings.find_sessions || keeps(&[PROFILES.name])) {
        return None;
    }
    let owners = identity.events.arrange_by_key_named("owners");
    let orders = (bought || keeps(&[PROFILES.name])).then(|| order::orders(rare.clone(), settings));
    if let Some(orders) = orders.clone().filter(|_| keeps(&[PROFILES.name])) {
        let known = (events.clone(), orders, identity.profiles, owners.clone());
        out.publish(PROFILES, profile::profiles(known.0, known.1, known.2, known.3));
    }
    let sessions = (all_sessions || settings.find_sessions)
        .then(|| session::sessions(events.clone(), owners.clone(), settings, all_sessions));
    let (rows, found) = match sessions {
        Some(sessions) => {
            if keeps(&[SESSIONS.name]) {
                out.publish(SESSIONS, sessions.rows.clone());
            }
            if keeps(&[DWELL.name]) {
                out.publish(DWELL, sessions.dwell);
            }
            (Some(sessions.rows), Some(sessions.baskets))
        }
        None => (None, None),
    };
    if let Some(orders) = orders.filter(|_| bought) {
        let bought = rfm::purchases(orders, today.clone(), owners.clone(), settings);
        if keeps(&[RFM.name]) {
            out.publish(RFM, rfm::rfm(bought.clone(), settings));
        }
        if segmented {
            let categories = wanted.contains(&Feature::Breadth).then(|| {
                feature::categories(rare.clone(), item::items(rare.clone()), owners.clone())
            });
            let rows = rows.filter(|_| browsing);
            let features = feature::features(bought, today, rows, categories, settings);
            out.publish(FEATURES, features.clone());
            out.publish(CELLS, segment::cells(features.clone(), settings));
            let segments = segment::segments(events, rare, features, owners, settings);
            out.publish(SEGMENTS, segments.rows);
            out.publish(CENTROIDS, segments.centroids);
            out.publish(SPREAD, segments.spread);
        }
    }
    found
}
