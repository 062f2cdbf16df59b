//! History: random shops that shrink.
//!
//! A history is small and dense on purpose: few people, items, orders and instants, so that ties,
//! shared identifiers, merges and their undoing, late events, corrections and refunds meet often.

use std::collections::BTreeMap;
use std::num::NonZeroU64;
use std::rc::Rc;

use dataflows::identity::owner_batch;
use dataflows::{
    Action, Attributes, Context, DAY_MICROS, Day, Event, EventId, EventTime, Feature, History,
    IDENTITY, Identifier, Item, Kind, Line, Model, ModelKind, Money, OrderId, Reject, SegmentCount,
    SessionKey, Settings, Word,
};
use proptest::prelude::*;
use proptest::sample::subsequence;

/// What happens in one tick.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Events come, are corrected, repeated or retracted.
    Changes(Vec<Change>),
    /// A person is erased, known by the n-th identifier.
    Erase(usize),
}

/// One change.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    /// The event with this number comes, or another version of it.
    Put(u8, Event),
    /// The event with this number is delivered again.
    Repeat(u8),
    /// The event with this number is retracted.
    Retract(u8),
}

/// A shop's settings and what happens to it, tick by tick.
#[derive(Clone, Debug)]
pub(crate) struct Shop {
    pub(crate) settings: Settings,
    pub(crate) steps: Vec<Step>,
}

/// How many event numbers there are: few, so that corrections are common.
const EVENTS: u8 = 60;

/// The key of an event number.
pub(crate) fn key(number: u8) -> u128 {
    u128::from(number) + 1
}

/// The identifiers of all people: (kind, number).
pub(crate) fn identifiers() -> Vec<Identifier> {
    let of = |kind: u8, count: u128| (1..=count).map(move |n| (kind, n));
    let all = of(0, 4).chain(of(1, 3)).chain(of(2, 1)).chain(of(4, 2)).chain(of(5, 4));
    all.map(|(kind, n)| Identifier::new(Kind(kind), (n * 7919) << 40)).collect()
}

fn word(n: u64) -> Word {
    Word(NonZeroU64::new(n).expect("words are counted from 1"))
}

/// An instant in twenty days, often the same or close to another.
fn instant() -> impl Strategy<Value = EventTime> {
    (0..20_i64, 0..4_i64, 0..4_i64).prop_map(|(day, hour, step)| {
        EventTime(day * DAY_MICROS + hour * 8 * 3_600_000_000 + step * 1_800_000_000)
    })
}

fn who() -> impl Strategy<Value = Box<[Identifier]>> {
    // One person is met more often than all others, so that orders and refunds of the same meet.
    prop_oneof![
        2 => subsequence(identifiers(), 0..=3).prop_map(Vec::into_boxed_slice),
        1 => Just(Box::from([identifiers()[0]])),
    ]
}

fn lines() -> impl Strategy<Value = Vec<Line>> {
    let line = (1..5_u64, prop_oneof![6 => Just(1), 3 => Just(2), 1 => Just(-1)], 0..4_i64);
    let line = line.prop_map(|(item, quantity, price)| Line {
        item: Item(item),
        quantity,
        price: Money(price * 250),
    });
    proptest::collection::vec(line, 0..4)
}

fn action() -> impl Strategy<Value = Action> {
    let item = || (1..7_u64).prop_map(Item);
    let order = || (1..13_u64).prop_map(OrderId);
    let some = || proptest::sample::select(identifiers());
    let attributes = (0..3_u64, any::<bool>()).prop_map(|(category, available)| Attributes {
        category: NonZeroU64::new(category).map(Word),
        available,
        ..Attributes::default()
    });
    // On a coarse grid, so that a profile often lies just between two centroids.
    let point = (0..5_i32, 0..2_i32, 7..10_i32)
        .prop_map(|(a, b, c)| [a * 1000, b * 1000, c * 1000, 0, 0, 0, 0, 0]);
    let model = (1..5_u64, proptest::collection::vec(point, 0..4)).prop_map(|(tick, centroids)| {
        Action::Model(Model { tick, kind: ModelKind::Fit, centroids })
    });
    let reject = (1..4_u64).prop_map(|line| {
        Action::Reject(Reject { reason: word(1), field: None, file: word(2), line })
    });
    prop_oneof![
        6 => item().prop_map(Action::View),
        2 => item().prop_map(Action::AddToCart),
        1 => item().prop_map(Action::RemoveFromCart),
        8 => (order(), lines()).prop_map(|(order, lines)| Action::Order { order, lines }),
        5 => (proptest::option::weighted(0.4, order()), lines())
            .prop_map(|(order, lines)| Action::Refund { order, lines }),
        1 => (1..4_u64).prop_map(|n| Action::Search(word(n))),
        1 => (1..4_u64).prop_map(|n| Action::Page(word(n))),
        2 => (1..3_u64, 1..4_u64).prop_map(|(t, v)| Action::Identify(vec![(word(t), word(v))])),
        1 => (1..3_u64, any::<bool>()).prop_map(|(p, given)| Action::Consent(word(p), given)),
        1 => (item(), attributes).prop_map(|(item, told)| Action::Item(item, told)),
        1 => (some(), some()).prop_map(|(a, b)| Action::Link(a, b)),
        1 => (some(), some()).prop_map(|(a, b)| Action::Unlink(a, b)),
        2 => (0..24_i32).prop_map(|day| Action::Day(Day(day))),
        1 => model,
        1 => reject,
    ]
}

fn context() -> impl Strategy<Value = Context> {
    let named = proptest::option::weighted(0.4, 1..4_u64);
    let told = || proptest::option::weighted(0.3, (1..3_u64).prop_map(word));
    (named, told(), told(), told()).prop_map(|(session, device, country, channel)| Context {
        session: session.and_then(NonZeroU64::new).map(SessionKey),
        device,
        country,
        channel,
    })
}

fn event() -> impl Strategy<Value = (u8, Event)> {
    (0..EVENTS, instant(), who(), action(), context()).prop_map(
        |(number, at, who, action, context)| {
            let id = EventId(u64::from(number) + 1);
            // Decisions and rejects are of nobody, as decoding makes them.
            let of_nobody = matches!(
                action,
                Action::Link(..) | Action::Unlink(..) | Action::Day(_) | Action::Model(_)
            ) || matches!(action, Action::Reject(_) | Action::Item(..));
            let who = if of_nobody { Box::default() } else { who };
            (number, Event { at, id, source: word(9), who, action, context })
        },
    )
}

fn change() -> impl Strategy<Value = Change> {
    prop_oneof![
        12 => event().prop_map(|(number, event)| Change::Put(number, event)),
        1 => (0..EVENTS).prop_map(Change::Repeat),
        2 => (0..EVENTS).prop_map(Change::Retract),
    ]
}

fn settings() -> impl Strategy<Value = Settings> {
    let wide = (any::<bool>(), any::<bool>(), 0..3_u32, 0..2_i32, 0..2_u32, any::<bool>());
    wide.prop_map(|(window, midnight, features, hysteresis, reassign, match_refunds)| {
        let mut settings = Settings {
            rfm_window_days: if window { 5 } else { 0 },
            popular_days: if window { 3 } else { 0 },
            session_day: midnight,
            basket_items_max: 3,
            match_refunds,
            ..Settings::default()
        };
        settings.kinds[1].shared_above = Some(1 + features);
        settings.kinds[5].limit = (features == 1).then_some(2);
        settings.segments.count = SegmentCount::Fixed(3);
        settings.segments.hysteresis = hysteresis * 1500;
        settings.segments.reassign_after = reassign * 2;
        if features == 2 {
            use Feature::{
                Breadth, Depth, Frequency, OrderValue, Recency, Returns, SessionTime, Spent,
            };
            settings.segments.features =
                vec![Recency, Frequency, OrderValue, Spent, Depth, SessionTime, Breadth, Returns];
        }
        settings
    })
}

/// Any shop.
pub(crate) fn shop() -> impl Strategy<Value = Shop> {
    let step = prop_oneof![
        9 => proptest::collection::vec(change(), 0..14).prop_map(Step::Changes),
        1 => (0..identifiers().len()).prop_map(Step::Erase),
    ];
    (settings(), proptest::collection::vec(step, 1..10))
        .prop_map(|(settings, steps)| Shop { settings, steps })
}

/// The events that hold, kept as plainly as possible: what every tick is judged by.
#[derive(Clone, Debug, Default)]
pub(crate) struct Oracle {
    pub(crate) events: BTreeMap<u128, Event>,
}

impl Oracle {
    /// Applies a step.
    pub(crate) fn apply(&mut self, settings: &Settings, step: &Step) {
        match step {
            Step::Changes(changes) => {
                for change in changes {
                    match change {
                        Change::Put(number, event) => {
                            self.events.insert(key(*number), event.clone());
                        }
                        Change::Repeat(_) => {}
                        Change::Retract(number) => {
                            self.events.remove(&key(*number));
                        }
                    }
                }
            }
            Step::Erase(number) => self.erase(settings, identifiers()[*number]),
        }
    }

    /// Takes out every event that belongs to the person, and every decision that names one of the
    /// person's identifiers.
    fn erase(&mut self, settings: &Settings, identifier: Identifier) {
        let events = self.events();
        let history = History::new(&events, settings);
        let identity = (IDENTITY.batch)(&history);
        let Some(person) = identity.get(&identifier) else { return };
        let of_person = |id: &Identifier| identity.get(id) == Some(person);
        self.events.retain(|_, event| {
            let decided = match event.action {
                Action::Link(a, b) | Action::Unlink(a, b) => of_person(&a) || of_person(&b),
                _ => false,
            };
            !decided && owner_batch(&history, event) != Some(*person)
        });
    }

    /// The events, shareable.
    pub(crate) fn events(&self) -> Vec<Rc<Event>> {
        self.events.values().cloned().map(Rc::new).collect()
    }
}
