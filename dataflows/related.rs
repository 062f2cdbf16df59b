//! Related: which items go together?
//!
//! Exact counts are kept, and scored when they are read ([`Score`](crate::score::Score)): a score
//! holds the counts of both items and of all baskets, so keeping scores would rewrite thousands of
//! rows for one event.
//!
//! * The basket of an order is its distinct items: those on lines with a positive quantity of the
//!   `order` events with its id. Refunds do not change it.
//! * The basket of a session ([named or found](crate::session)) is the distinct items viewed, put
//!   into the cart, or ordered with a positive quantity in it.
//! * A basket with more than [`basket_items_max`](crate::Settings) items counts only that many, the
//!   smallest by hash.
//! * Items and baskets are counted only for the pairs that the shop keeps: orders for
//!   `bought_together`, sessions for `viewed_together` or `viewed_then_bought`.
//! * An *ordered session* is one in which a counted item was ordered. Its pairs are directed: each
//!   counted item viewed or put into the cart, with each other counted item ordered.

use std::rc::Rc;

use differential_dataflow::AsCollection;
use serde::{Deserialize, Serialize};
use timely::dataflow::operators::vec::Partition;

use crate::event::{Action, Event, Item};
use crate::operator::{Index, by_tick, values};
use crate::show;
use crate::view::{Diff, Facts, Update, View};

pub use crate::view::{Items, Role, RoleItem};
pub use batch::{
    basket_items_batch, baskets_batch, bought_together_batch, viewed_then_bought_batch,
    viewed_together_batch,
};

/// In how many orders two items are together.
pub const BOUGHT_TOGETHER: View<Items, i64> = View::new("bought_together", bought_together_batch);

/// In how many sessions two items are together.
pub const VIEWED_TOGETHER: View<Items, i64> = View::new("viewed_together", viewed_together_batch);

/// In how many ordered sessions the first item was viewed and the second ordered.
pub const VIEWED_THEN_BOUGHT: View<Items, i64> =
    View::new("viewed_then_bought", viewed_then_bought_batch);

/// In how many baskets an item is, by its role there.
pub const BASKET_ITEMS: View<RoleItem, i64> = View::new("basket_items", basket_items_batch);

/// How many baskets with at least one item there are.
pub const BASKETS: View<Basket, i64> = View::new("baskets", baskets_batch);

/// A kind of basket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Basket {
    /// The basket of an order.
    Order,
    /// The basket of a session.
    Session,
    /// The basket of an ordered session.
    OrderedSession,
}

show!(Basket, |basket, names| {
    "basket" => match basket {
        Basket::Order => "order",
        Basket::Session => "session",
        Basket::OrderedSession => "ordered_session",
    }.to_string(),
});

/// An item that an event touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Touched {
    /// The item.
    pub item: Item,
    /// Whether it was ordered; otherwise it was viewed or put into the cart.
    pub bought: bool,
}

impl Touched {
    /// An item that was viewed or put into the cart.
    #[must_use]
    pub fn viewed(item: Item) -> Touched {
        Touched { item, bought: false }
    }

    /// An item that was ordered.
    #[must_use]
    pub fn bought(item: Item) -> Touched {
        Touched { item, bought: true }
    }
}

/// What baskets are counted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// Orders: bought together.
    Orders,
    /// Sessions: viewed together, and viewed then bought.
    Sessions,
}

/// The counts of baskets: each fact is counted as often as it is there.
#[expect(missing_debug_implementations, reason = "a collection has nothing to show")]
pub struct Related<'s> {
    /// Pairs in one basket.
    pub together: Facts<'s, Items>,
    /// Directed pairs of ordered sessions.
    pub then: Facts<'s, Items>,
    /// Items by role.
    pub items: Facts<'s, RoleItem>,
    /// Baskets.
    pub baskets: Facts<'s, Basket>,
}

/// The items of orders, by order.
///
/// Cost: per `order` event, one update a line.
#[must_use]
pub fn order_baskets<'s>(events: Facts<'s, Rc<Event>>) -> Facts<'s, (u64, Touched)> {
    events.flat_map(|event| match &event.action {
        Action::Order { order, lines } => {
            let lines = lines.iter().filter(|line| 0 < line.quantity);
            lines.map(|line| (order.0, Touched::bought(line.item))).collect()
        }
        _ => Vec::new(),
    })
}

/// The items of the sessions that the source names, by session.
///
/// Cost: per event, one update an item that it touches.
#[must_use]
pub fn named_baskets<'s>(events: Facts<'s, Rc<Event>>) -> Facts<'s, (u64, Touched)> {
    events.flat_map(|event| {
        let touches = match &event.action {
            Action::View(_) | Action::AddToCart(_) => 1,
            Action::Order { lines, .. } => lines.len(),
            _ => 0,
        };
        let session = event.context.session.map(|session| session.0.get());
        let touched = (0..touches).filter_map(move |number| touched(&event, number));
        session.into_iter().flat_map(move |session| touched.clone().map(move |one| (session, one)))
    })
}

/// What an event touches with its `number`-th line.
fn touched(event: &Event, number: usize) -> Option<Touched> {
    match &event.action {
        Action::View(item) | Action::AddToCart(item) => Some(Touched::viewed(*item)),
        Action::Order { lines, .. } => lines
            .get(number)
            .filter(|line| 0 < line.quantity)
            .map(|line| Touched::bought(line.item)),
        _ => None,
    }
}

/// Counts what is together in `baskets`, and where `directed`, what was ordered after what.
///
/// Cost: per item that comes to or leaves a basket, one update for each item it is there with.
pub fn related<'s>(
    baskets: Facts<'s, (u64, Touched)>,
    purpose: Purpose,
    directed: bool,
    basket_items_max: usize,
) -> Related<'s> {
    let mut states: Index<u64, Vec<Entry>> = Index::default();
    let route = |(basket, _): &(u64, Touched)| crate::event::spread(*basket);
    let found = by_tick(baskets, "related", route, move |_, updates, changes| {
        for group in updates.chunk_by(|((a, _), _), ((b, _), _)| a == b) {
            let basket = &group[0].0.0;
            let state = states.entry(basket);
            let old = counted(state, basket_items_max);
            values(group).for_each(|(touched, diff)| touch(state, *touched, diff));
            let new = counted(state, basket_items_max);
            if state.is_empty() {
                states.remove(basket);
            } else {
                state.shrink_to(state.len() + state.len() / 4);
            }
            if old != new {
                together(purpose, &old, &new, changes);
                if directed && old.iter().chain(&new).any(|item| item.bought) {
                    then(&old, -1, changes);
                    then(&new, 1, changes);
                }
            }
        }
    });
    // Pairs are by far the most: nothing is copied for those who do not want it.
    let route = |(found, tick, diff): Update<Found>| {
        let part = match found {
            Found::Together(_) => 0,
            Found::Then(_) => 1,
            Found::Item(_) => 2,
            Found::Basket(_) => 3,
        };
        (part, (found, tick, diff))
    };
    let mut parts = found.inner.partition(4, route).into_iter().map(AsCollection::as_collection);
    let mut part = || parts.next().expect("as many parts as were asked for");
    Related {
        together: part().flat_map(|found| match found {
            Found::Together(items) => Some(items),
            _ => None,
        }),
        then: part().flat_map(|found| match found {
            Found::Then(items) => Some(items),
            _ => None,
        }),
        items: part().flat_map(|found| match found {
            Found::Item(item) => Some(item),
            _ => None,
        }),
        baskets: part().flat_map(|found| match found {
            Found::Basket(basket) => Some(basket),
            _ => None,
        }),
    }
}

/// What changes in the counts.
#[derive(Clone, Copy, Debug)]
enum Found {
    Together(Items),
    Then(Items),
    Item(RoleItem),
    Basket(Basket),
}

/// An item of a basket, and how often it was touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    item: Item,
    viewed: u32,
    bought: u32,
}

/// An item that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Counted {
    item: Item,
    viewed: bool,
    bought: bool,
}

/// One touch more or fewer.
fn touch(entries: &mut Vec<Entry>, touched: Touched, diff: Diff) {
    let place = entries.partition_point(|entry| entry.item < touched.item);
    if entries.get(place).is_none_or(|entry| entry.item != touched.item) {
        entries.insert(place, Entry { item: touched.item, viewed: 0, bought: 0 });
    }
    let entry = &mut entries[place];
    let count = if touched.bought { &mut entry.bought } else { &mut entry.viewed };
    *count = count.saturating_add_signed(i32::try_from(diff).unwrap_or(0));
    if entry.viewed == 0 && entry.bought == 0 {
        entries.remove(place);
    }
}

/// The items of a basket that count: the smallest.
fn counted(entries: &[Entry], max: usize) -> Vec<Counted> {
    let counted = entries.iter().take(max).map(|entry| Counted {
        item: entry.item,
        viewed: 0 < entry.viewed,
        bought: 0 < entry.bought,
    });
    counted.collect()
}

/// The change of the pairs without direction, of the items and of the basket itself.
fn together(purpose: Purpose, old: &[Counted], new: &[Counted], changes: &mut Vec<(Found, Diff)>) {
    let (role, basket) = match purpose {
        Purpose::Orders => (Role::Bought, Basket::Order),
        Purpose::Sessions => (Role::Viewed, Basket::Session),
    };
    // What leaves parts from all that was there, then what comes meets all that is there.
    let has =
        |items: &[Counted], item: Item| items.binary_search_by_key(&item, |of| of.item).is_ok();
    let mut there: Vec<Item> = old.iter().map(|counted| counted.item).collect();
    let mut pairs = |item: Item, others: &[Item], diff: Diff| {
        changes.push((Found::Item(RoleItem(role, item)), diff));
        for other in others {
            let pair = Items(item.min(*other), item.max(*other));
            changes.push((Found::Together(pair), diff));
        }
    };
    for counted in old.iter().filter(|counted| !has(new, counted.item)) {
        there.retain(|item| *item != counted.item);
        pairs(counted.item, &there, -1);
    }
    for counted in new.iter().filter(|counted| !has(old, counted.item)) {
        pairs(counted.item, &there, 1);
        there.push(counted.item);
    }
    match (old.is_empty(), new.is_empty()) {
        (true, false) => changes.push((Found::Basket(basket), 1)),
        (false, true) => changes.push((Found::Basket(basket), -1)),
        _ => {}
    }
}

/// The directed pairs of an ordered session, its items by role, and the session itself.
fn then(items: &[Counted], diff: Diff, changes: &mut Vec<(Found, Diff)>) {
    if !items.iter().any(|item| item.bought) {
        return;
    }
    changes.push((Found::Basket(Basket::OrderedSession), diff));
    for bought in items.iter().filter(|item| item.bought) {
        changes.push((Found::Item(RoleItem(Role::BoughtAfter, bought.item)), diff));
    }
    for viewed in items.iter().filter(|item| item.viewed) {
        changes.push((Found::Item(RoleItem(Role::ViewedBefore, viewed.item)), diff));
        for bought in items.iter().filter(|item| item.bought && item.item != viewed.item) {
            changes.push((Found::Then(Items(viewed.item, bought.item)), diff));
        }
    }
}

mod batch {
    //! The batch twin of [`related`](crate::related).

    use std::collections::{BTreeMap, BTreeSet};
    use std::rc::Rc;

    use crate::event::{Action, Item, OrderId};
    use crate::related::{Basket, Items, Role, RoleItem};
    use crate::session::{bought_batch, sittings_batch};
    use crate::view::{History, View};
    use crate::{BOUGHT_TOGETHER, VIEWED_THEN_BOUGHT, VIEWED_TOGETHER};

    /// The meaning of [`BOUGHT_TOGETHER`](crate::BOUGHT_TOGETHER).
    pub fn bought_together_batch(history: &History<'_>) -> BTreeMap<Items, i64> {
        count_batch(all_baskets_batch(history).orders.iter().flat_map(pairs_batch))
    }

    /// The meaning of [`VIEWED_TOGETHER`](crate::VIEWED_TOGETHER).
    pub fn viewed_together_batch(history: &History<'_>) -> BTreeMap<Items, i64> {
        count_batch(all_baskets_batch(history).sessions.iter().flat_map(pairs_batch))
    }

    /// The meaning of [`VIEWED_THEN_BOUGHT`](crate::VIEWED_THEN_BOUGHT).
    pub fn viewed_then_bought_batch(history: &History<'_>) -> BTreeMap<Items, i64> {
        let mut counts = BTreeMap::new();
        for (seen, ordered) in &all_baskets_batch(history).ordered_sessions {
            for first in seen {
                for second in ordered.iter().filter(|second| *second != first) {
                    *counts.entry(Items(*first, *second)).or_default() += 1;
                }
            }
        }
        counts
    }

    /// The meaning of [`BASKET_ITEMS`](crate::BASKET_ITEMS).
    pub fn basket_items_batch(history: &History<'_>) -> BTreeMap<RoleItem, i64> {
        let baskets = all_baskets_batch(history);
        let mut roles: Vec<(Role, &BTreeSet<Item>)> = Vec::new();
        roles.extend(baskets.orders.iter().map(|items| (Role::Bought, items)));
        roles.extend(baskets.sessions.iter().map(|items| (Role::Viewed, items)));
        for (seen, ordered) in &baskets.ordered_sessions {
            roles.extend([(Role::ViewedBefore, seen), (Role::BoughtAfter, ordered)]);
        }
        let role_items = |(role, items): (Role, &BTreeSet<Item>)| -> Vec<RoleItem> {
            items.iter().map(|item| RoleItem(role, *item)).collect()
        };
        count_batch(roles.into_iter().flat_map(role_items))
    }

    /// The meaning of [`BASKETS`](crate::BASKETS).
    pub fn baskets_batch(history: &History<'_>) -> BTreeMap<Basket, i64> {
        let baskets = all_baskets_batch(history);
        let mut kinds = Vec::new();
        kinds.extend(baskets.orders.iter().map(|_| Basket::Order));
        kinds.extend(baskets.sessions.iter().map(|_| Basket::Session));
        kinds.extend(baskets.ordered_sessions.iter().map(|_| Basket::OrderedSession));
        count_batch(kinds.into_iter())
    }

    /// All baskets with at least one item, as far as they count.
    struct AllBasketsBatch {
        /// Those of orders.
        orders: Vec<BTreeSet<Item>>,
        /// Those of sessions.
        sessions: Vec<BTreeSet<Item>>,
        /// Those of ordered sessions: what was viewed or put into the cart, and what was ordered.
        ordered_sessions: Vec<(BTreeSet<Item>, BTreeSet<Item>)>,
    }

    /// [`AllBasketsBatch`], once for a history.
    fn all_baskets_batch(history: &History<'_>) -> Rc<AllBasketsBatch> {
        history.once(|history| {
            let counted = |items: BTreeSet<Item>| -> BTreeSet<Item> {
                items.into_iter().take(history.settings.basket_items_max).collect()
            };
            let mut orders: BTreeMap<OrderId, BTreeSet<Item>> = BTreeMap::new();
            for event in history.events {
                if let Action::Order { order, lines } = &event.action {
                    orders.entry(*order).or_default().extend(bought_batch(lines));
                }
            }
            let mut orders: Vec<BTreeSet<Item>> = orders.into_values().map(counted).collect();
            orders.retain(|items| !items.is_empty());
            let (mut sessions, mut ordered_sessions) = (Vec::new(), Vec::new());
            for sitting in sittings_batch(history).0.values() {
                let (seen, ordered) = (sitting.seen(), sitting.ordered());
                let basket = counted(&seen | &ordered);
                if !basket.is_disjoint(&ordered) {
                    ordered_sessions.push((&seen & &basket, &ordered & &basket));
                }
                if !basket.is_empty() {
                    sessions.push(basket);
                }
            }
            let keeps = |view: View<Items, i64>| history.settings.keeps(view.name);
            if !keeps(BOUGHT_TOGETHER) {
                orders.clear();
            }
            if !keeps(VIEWED_TOGETHER) && !keeps(VIEWED_THEN_BOUGHT) {
                sessions.clear();
                ordered_sessions.clear();
            }
            AllBasketsBatch { orders, sessions, ordered_sessions }
        })
    }

    /// Every two items of a basket, the smaller first.
    fn pairs_batch(items: &BTreeSet<Item>) -> Vec<Items> {
        let mut pairs = Vec::new();
        for first in items {
            pairs.extend(
                items.iter().filter(|second| first < second).map(|second| Items(*first, *second)),
            );
        }
        pairs
    }

    /// How often each thing is there.
    fn count_batch<T: Ord>(things: impl Iterator<Item = T>) -> BTreeMap<T, i64> {
        let mut counts = BTreeMap::new();
        for thing in things {
            *counts.entry(thing).or_default() += 1;
        }
        counts
    }
}
