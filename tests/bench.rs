//! Bench: are the plain program and the stream that the benches measure with right?
//!
//! The plain program is compared with a recomputation of everything from the events that hold.
#![expect(clippy::as_conversions, reason = "the numbers of these tests are small")]

#[path = "../benches/common"]
mod common {
    //! What benches share.
    pub(crate) mod generator;
    pub(crate) mod plain;
    pub(crate) mod random;
}

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU64;

use common::generator::{Change, Generator, Op, Shape};
use common::plain::{Neighbour, Plain, Profile};
use common::random::{Random, Weighted};
use dataflows::score::{Counts, Score};
use dataflows::{
    Action, Context, Event, EventId, EventTime, Identifier, Item, Kind, Line, Money, OrderId,
    ProfileId, SessionKey, Settings, Word,
};

/// The events that hold, by key.
type Held = BTreeMap<u128, Event>;

/// Lets a change hold.
fn apply(held: &mut Held, (op, key, event): &Change) {
    match op {
        Op::Insert | Op::Correct => held.insert(*key, event.clone()),
        Op::Retract => held.remove(key),
    };
}

/// Whose each identifier is, and which of them are shared.
fn identity(held: &Held, settings: &Settings) -> BTreeMap<Identifier, (Identifier, bool)> {
    let mut above: BTreeMap<Identifier, BTreeSet<Identifier>> = BTreeMap::new();
    let mut first: BTreeMap<Identifier, EventTime> = BTreeMap::new();
    for event in held.values() {
        for &id in &event.who {
            let least = first.entry(id).or_insert(event.at);
            *least = event.at.min(*least);
            let stronger = event.who.iter().filter(|other| other.kind() < id.kind());
            above.entry(id).or_default().extend(stronger);
        }
    }
    let limit =
        |id: Identifier| settings.shared_above(id.kind()).map_or(usize::MAX, |n| n as usize);
    let shared = |id: Identifier| limit(id) < above[&id].len();
    let mut label: BTreeMap<Identifier, Identifier> = above.keys().map(|&id| (id, id)).collect();
    let mut changed = true;
    while changed {
        changed = false;
        for event in held.values() {
            let own: Vec<Identifier> =
                event.who.iter().copied().filter(|&id| !shared(id)).collect();
            let Some(least) =
                own.iter().map(|id| label[id]).min_by_key(|id| (id.kind(), first[id], *id))
            else {
                continue;
            };
            for id in own {
                changed |= label.insert(id, least) != Some(least);
            }
        }
    }
    label.into_iter().map(|(id, label)| (id, (label, shared(id)))).collect()
}

/// Everything that the plain program says of profiles must follow from the events that hold.
fn check_profiles(plain: &Plain, held: &Held, settings: &Settings) {
    let identity = identity(held, settings);
    let mut orders: BTreeMap<Identifier, (EventTime, u32, i64)> = BTreeMap::new();
    for event in held.values() {
        let Action::Order { lines, .. } = &event.action else { continue };
        let own = event.who.iter().find(|id| !identity[*id].1);
        let Some(owner) = own.or(event.who.first()) else { continue };
        let row = orders.entry(identity[owner].0).or_insert((event.at, 0, 0));
        row.0 = row.0.max(event.at);
        row.1 += 1;
        row.2 += lines.iter().map(Line::amount).sum::<i64>();
    }
    for (id, (label, _)) in &identity {
        assert_eq!(plain.owner(*id), Some(ProfileId(*label)));
        let profile = plain.profile(ProfileId(*id));
        let profile = profile.map(|row| (row.last_order, row.orders, row.spent.0));
        assert_eq!(profile, orders.get(id).copied());
    }
}

/// Everything that the plain program says of items must follow from the events that hold.
fn check_items(plain: &Plain, held: &Held) {
    let mut baskets: BTreeMap<SessionKey, BTreeSet<Item>> = BTreeMap::new();
    for event in held.values() {
        let Some(session) = event.context.session else { continue };
        let basket = baskets.entry(session).or_default();
        match &event.action {
            Action::View(item) | Action::AddToCart(item) => drop(basket.insert(*item)),
            Action::Order { lines, .. } => basket.extend(lines.iter().map(|line| line.item)),
            _ => {}
        }
    }
    let mut pairs: BTreeMap<(Item, Item), u64> = BTreeMap::new();
    for basket in baskets.values() {
        for &a in basket {
            basket.iter().for_each(|&b| *pairs.entry((a, b)).or_default() += 1);
        }
    }
    let mut related: BTreeMap<Item, Vec<(i64, u64, Item)>> = BTreeMap::new();
    for (&(a, b), &pair) in &pairs {
        let counts = Counts { pair, first: pairs[&(a, a)], second: pairs[&(b, b)], total: 0 };
        let near = related.entry(a).or_default();
        near.extend((a != b).then_some((-Score::Cosine.of(counts), pair, b)));
    }
    for (item, mut near) in related {
        near.sort_by_key(|&(score, pair, item)| (score, u64::MAX - pair, item));
        let row = |near: Neighbour| (-near.score, u64::from(near.together), near.item);
        let found: Vec<_> = plain.related(item, 20).into_iter().map(row).collect();
        assert_eq!(found, near[..near.len().min(20)]);
    }
}

#[test]
fn a_stream_equals_its_recomputation() {
    let settings = Settings::default();
    let mut stream = Generator::new(Shape { events: 20_000, seed: 3 }, &settings);
    let (mut plain, mut held) = (Plain::new(&settings), Held::new());
    for size in [1, 999, 4_000, 10, 100] {
        let changes: Vec<Change> = stream.by_ref().take(size).collect();
        changes.iter().for_each(|change| apply(&mut held, change));
        plain.apply(&changes);
        check_profiles(&plain, &held, &settings);
        check_items(&plain, &held);
    }
}

/// An identifier, where the first two of twelve are e-mails and the next four devices.
fn some_identifier(number: u64) -> Identifier {
    let kind = match number {
        0..2 => Kind(0),
        2..4 => Kind(1),
        4..8 => Kind(4),
        _ => Kind(5),
    };
    Identifier::new(kind, u128::from(number) * 77)
}

/// A random change of one of 40 events among 12 identifiers, 5 items and 6 sessions.
fn some_change(random: &mut Random) -> Change {
    let number = random.below(40);
    let mut who: Vec<Identifier> =
        (0..random.below(4)).map(|_| some_identifier(random.below(12))).collect();
    who.sort();
    who.dedup();
    let item = Item(random.below(5));
    let line = Line { item, quantity: 1, price: Money(100) };
    let action = match random.below(4) {
        0 => Action::AddToCart(item),
        1 => Action::Order { order: OrderId(number), lines: vec![line] },
        2 => Action::Identify(Vec::new()),
        _ => Action::View(item),
    };
    let event = Event {
        at: EventTime(random.below(50) as i64),
        id: EventId(number),
        source: Word(NonZeroU64::MIN),
        who: who.into(),
        action,
        context: Context {
            session: NonZeroU64::new(random.below(6)).map(SessionKey),
            ..Context::default()
        },
    };
    let op = [Op::Insert, Op::Correct, Op::Retract][random.below(3) as usize];
    (op, u128::from(number), event)
}

#[test]
fn random_histories_equal_their_recomputation() {
    let mut settings = Settings::default();
    settings.kinds[4].shared_above = Some(2);
    settings.kinds[5].shared_above = Some(3);
    for seed in 0..200 {
        let mut random = Random::new(seed);
        let (mut plain, mut held) = (Plain::new(&settings), Held::new());
        for _ in 0..30 {
            let n = 1 + random.below(8);
            let changes: Vec<Change> = (0..n).map(|_| some_change(&mut random)).collect();
            changes.iter().for_each(|change| apply(&mut held, change));
            plain.apply(&changes);
            check_profiles(&plain, &held, &settings);
            check_items(&plain, &held);
        }
    }
}

#[test]
fn an_erased_person_never_was() {
    let settings = Settings::default();
    let mut stream = Generator::new(Shape { events: 10_000, seed: 5 }, &settings);
    let (mut plain, mut held) = (Plain::new(&settings), Held::new());
    let changes: Vec<Change> = stream.by_ref().take(3_000).collect();
    changes.iter().for_each(|change| apply(&mut held, change));
    plain.apply(&changes);
    for who in stream.typical(500, 20) {
        let owners = identity(&held, &settings);
        let gone = owners.get(&who).map(|(owner, _)| *owner);
        let before = held.len();
        held.retain(|_, event| {
            let own = event.who.iter().find(|id| !owners[*id].1);
            own.or(event.who.first()).map(|id| owners[id].0) != gone
        });
        assert_eq!(plain.erase(who), before - held.len());
        check_profiles(&plain, &held, &settings);
    }
    check_items(&plain, &held);
}

#[test]
fn every_customer_has_a_segment() {
    let settings = Settings::default();
    let mut stream = Generator::new(Shape { events: 10_000, seed: 6 }, &settings);
    let mut plain = Plain::new(&settings);
    let changes: Vec<Change> = stream.by_ref().take(8_000).collect();
    plain.apply(&changes);
    let owners: BTreeSet<ProfileId> = changes
        .iter()
        .flat_map(|(_, _, event)| &event.who)
        .filter_map(|id| plain.owner(*id))
        .collect();
    let customers = |plain: &Plain| -> Vec<Profile> {
        owners.iter().filter_map(|id| plain.profile(*id)).collect()
    };
    assert!(customers(&plain).iter().all(|row| row.segment.is_none()));
    plain.fit();
    let fitted = customers(&plain);
    let segments: BTreeSet<Option<u8>> = fitted.iter().map(|row| row.segment).collect();
    assert_eq!(segments, (0..5).map(Some).collect());
    plain.apply(&stream.by_ref().take(100).collect::<Vec<_>>());
    assert!(customers(&plain).iter().all(|row| row.segment.is_some()));
}

#[test]
fn weights_are_kept() {
    let mut random = Random::new(1);
    let weighted = Weighted::new([1, 2, 7].into_iter());
    let mut times = [0; 3];
    (0..100_000).for_each(|_| times[weighted.pick(&mut random) as usize] += 1);
    for (times, share) in times.into_iter().zip([10_000_i32, 20_000, 70_000]) {
        assert!((times - share).abs() < 1_000, "{times} of about {share}");
    }
}

#[test]
fn a_stream_has_the_shape_that_it_says() {
    let settings = Settings::default();
    let shape = Shape { events: 100_000, seed: 7 };
    let changes: Vec<Change> = Generator::new(shape, &settings).take(100_000).collect();
    let again = Generator::new(shape, &settings).take(1_000);
    assert!(again.eq(changes[..1_000].iter().cloned()), "the seed decides the stream");
    let share = |part: usize| part * 1000 / changes.len();
    for op in [Op::Correct, Op::Retract] {
        let times = changes.iter().filter(|change| change.0 == op).count();
        assert!((60..140).contains(&times), "a thousandth each: {times}");
    }
    let does = |wanted: fn(&Action) -> bool| {
        share(changes.iter().filter(|(_, _, event)| wanted(&event.action)).count())
    };
    let views = does(|action| matches!(action, Action::View(_)));
    let carts = does(|action| matches!(action, Action::AddToCart(_)));
    let orders = does(|action| matches!(action, Action::Order { .. }));
    let logins = does(|action| matches!(action, Action::Identify(_)));
    assert!((700..720).contains(&views), "{views}");
    assert!((140..160).contains(&carts), "{carts}");
    assert!((55..65).contains(&orders), "{orders}");
    assert!((75..85).contains(&logins), "{logins}");
    let keys: BTreeSet<u128> = changes.iter().map(|(_, key, _)| *key).collect();
    let repeats = changes.len() - keys.len();
    assert!((500..900).contains(&repeats), "0.5 % twice and 0.2 % changed: {repeats}");
    let sessions: BTreeSet<_> = changes.iter().map(|(_, _, event)| event.context.session).collect();
    assert!((45..55).contains(&(changes.len() * 10 / sessions.len())), "about five a session");
    let times = changes.iter().map(|(_, _, event)| event.at.day().0);
    let days = times.clone().max().unwrap() - times.min().unwrap();
    assert!((85..95).contains(&days), "{days} days");
    assert!(changes.iter().all(|(_, _, event)| event.who.is_sorted()));
}
