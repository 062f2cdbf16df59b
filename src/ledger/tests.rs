//! Ledger tests: does it hold what a plain map would?

use std::collections::BTreeMap;
use std::num::NonZeroU64;

use dataflows::{
    Context, Day, EventTime, Item, Kind, Line, Money, OrderId, Reject, SessionKey, Word,
};

use super::*;

fn word(n: u64) -> Word {
    Word(NonZeroU64::new(n).unwrap())
}

fn event(key: u128, at: i64, cookie: Option<u128>) -> Event {
    let who = cookie.map(|cookie| Identifier::new(Kind(5), cookie << 32));
    Event {
        at: EventTime(at),
        id: EventId(halves(key)[1]),
        source: word(1),
        who: who.into_iter().collect(),
        action: Action::Page(word(7)),
        context: Context::default(),
    }
}

fn shared((event, diff): (Event, Diff)) -> Update {
    (Rc::new(event), diff)
}

#[test]
fn every_part_of_an_event_is_kept() {
    let context = Context { session: Some(SessionKey(word(9).0)), ..Context::default() };
    let all = Context { device: Some(word(2)), country: Some(word(3)), ..context };
    let contexts = [
        Context::default(),
        context,
        all,
        Context { channel: Some(word(4)), ..all },
        Context { channel: Some(word(u64::MAX)), ..Context::default() },
    ];
    let line = Line { item: Item(7), quantity: -2, price: Money(199) };
    let actions = [
        Action::View(Item(1)),
        Action::AddToCart(Item(u64::MAX)),
        Action::RemoveFromCart(Item(0)),
        Action::Order { order: OrderId(5), lines: vec![line; 3] },
        Action::Identify(vec![(word(1), word(2))]),
        Action::Day(Day(-3)),
    ];
    let (mut ledger, mut expected) = (Ledger::default(), Vec::new());
    for (number, context) in (0..).zip(contexts) {
        for (part, action) in (0..).zip(&actions) {
            let key = 10 * number + part;
            let at = i64::MIN + i64::try_from(key).unwrap();
            let event = Event { context, action: action.clone(), ..event(key, at, Some(1)) };
            ledger.put(key, event.clone(), &mut Vec::new()).unwrap();
            expected.push(event);
        }
    }
    // More words than fit one byte of a number.
    for source in 100..400 {
        let event = Event { source: word(source), ..event(u128::from(source), 0, None) };
        ledger.put(u128::from(source), event.clone(), &mut Vec::new()).unwrap();
        expected.push(event);
    }
    let held: Vec<_> = ledger.events().unwrap().iter().map(|event| (**event).clone()).collect();
    assert_eq!(held, expected);
}

#[test]
fn a_repeat_is_a_duplicate_and_another_version_a_correction() {
    let (mut ledger, mut updates) = (Ledger::default(), Vec::new());
    let first = event(5, 1, Some(1));
    assert_eq!(ledger.put(5, first.clone(), &mut updates).unwrap(), Outcome::Accepted);
    for _ in 0..5 {
        assert_eq!(ledger.put(5, first.clone(), &mut updates).unwrap(), Outcome::Duplicate);
    }
    let second = event(5, 1, Some(2));
    assert_eq!(ledger.put(5, second.clone(), &mut updates).unwrap(), Outcome::Corrected);
    assert_eq!(ledger.retract(5, &mut updates).unwrap(), Outcome::Retracted);
    assert_eq!(ledger.retract(5, &mut updates).unwrap(), Outcome::Unknown);
    let expected = [(first.clone(), 1), (first, -1), (second.clone(), 1), (second, -1)];
    assert_eq!(updates, expected.map(shared));
    assert!(ledger.is_empty());
}

#[test]
fn ids_that_collide_are_refused() {
    let (mut ledger, mut updates) = (Ledger::default(), Vec::new());
    ledger.put(5, event(5, 1, None), &mut updates).unwrap();
    let other = (9 << 64) | 5;
    assert_eq!(ledger.put(other, event(other, 2, None), &mut updates).unwrap(), Outcome::Collision);
    assert_eq!(ledger.retract(other, &mut updates).unwrap(), Outcome::Unknown);
    assert_eq!(updates.len(), 1);
}

#[test]
fn a_record_that_is_mended_is_no_longer_refused() {
    let (mut ledger, mut updates) = (Ledger::default(), Vec::new());
    let key = Ledger::reject_key(5);
    let reject = Reject { reason: word(3), field: None, file: word(4), line: 1 };
    let refusal = Event { action: Action::Reject(reject), ..event(key, 0, None) };
    ledger.put(key, refusal.clone(), &mut updates).unwrap();
    ledger.put(5, event(5, 1, None), &mut updates).unwrap();
    let expected = [(refusal.clone(), 1), (refusal, -1), (event(5, 1, None), 1)];
    assert_eq!(updates, expected.map(shared));
}

#[test]
fn an_oversized_event_is_refused() {
    let (mut ledger, mut updates) = (Ledger::default(), Vec::new());
    let traits = vec![(word(1), word(u64::MAX)); EVENT_BYTES_MAX / 8];
    let large = Event { action: Action::Identify(traits), ..event(5, 1, None) };
    assert_eq!(ledger.put(5, large, &mut updates).unwrap(), Outcome::TooLarge);
    assert!(updates.is_empty());
}

#[test]
fn it_agrees_with_a_plain_map_through_erasures_and_compactions() {
    let (mut ledger, mut model) = (Ledger::default(), BTreeMap::new());
    let mut random = 1_u64;
    let mut next = |below: u64| {
        random = spread(random.wrapping_add(0x9e37_79b9_7f4a_7c15));
        random % below
    };
    for step in 0..40_000 {
        let mut updates = Vec::new();
        let key = u128::from(spread(next(3000)));
        match next(100) {
            0..70 => {
                let event = event(key, i64::try_from(next(3)).unwrap(), Some(u128::from(next(40))));
                ledger.put(key, event.clone(), &mut updates).unwrap();
                model.insert(key, event);
            }
            70..98 => {
                let outcome = ledger.retract(key, &mut updates).unwrap();
                let known = model.remove(&key).is_some();
                assert_eq!(outcome == Outcome::Retracted, known, "step {step}");
            }
            _ => {
                let who = Who::of(&event(0, 0, Some(u128::from(next(40)))).who);
                let gone = ledger.erase(who, &mut updates).unwrap();
                let before = model.len();
                model.retain(|_, event| event.key() != who);
                assert_eq!(gone, before - model.len(), "step {step}");
            }
        }
        assert_eq!(ledger.len(), model.len(), "step {step}");
    }
    let mut expected: Vec<_> = model.into_values().collect();
    expected.sort_by_key(|event| event.id);
    let held: Vec<_> = ledger.events().unwrap().iter().map(|event| (**event).clone()).collect();
    assert_eq!(held, expected);
}
