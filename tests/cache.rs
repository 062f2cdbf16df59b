//! Cache: does every codec give back what it was given, and nothing that is damaged?

use std::num::NonZeroU64;

use affluent::cache::{Codec, Error, load, store};
use dataflows::{
    Action, Attributes, Context, Day, Event, EventId, EventTime, Identifier, Item, Kind, Line,
    Model, ModelKind, Money, OrderId, Reject, SessionKey, Word,
};
use proptest::prelude::*;

fn word() -> impl Strategy<Value = Word> {
    any::<NonZeroU64>().prop_map(Word)
}

fn item() -> impl Strategy<Value = Item> {
    any::<u64>().prop_map(Item)
}

fn identifier() -> impl Strategy<Value = Identifier> {
    (any::<u8>(), any::<u128>()).prop_map(|(kind, hash)| Identifier::new(Kind(kind), hash))
}

fn lines() -> impl Strategy<Value = Vec<Line>> {
    let line = (item(), any::<i32>(), any::<i64>().prop_map(Money));
    let line = line.prop_map(|(item, quantity, price)| Line { item, quantity, price });
    prop::collection::vec(line, 0..4)
}

fn optional() -> impl Strategy<Value = Option<Word>> {
    prop::option::of(word())
}

fn attributes() -> impl Strategy<Value = Attributes> {
    let price = prop::option::of(any::<i64>().prop_map(Money));
    (optional(), optional(), optional(), price, any::<bool>()).prop_map(
        |(name, category, brand, price, available)| Attributes {
            name,
            category,
            brand,
            price,
            available,
        },
    )
}

fn model() -> impl Strategy<Value = Model> {
    let kind = prop::sample::select(&[ModelKind::Fit, ModelKind::FreshFit]);
    let centroids = prop::collection::vec(any::<[i32; 8]>(), 0..4);
    (any::<u64>(), kind, centroids).prop_map(|(tick, kind, centroids)| Model {
        tick,
        kind,
        centroids,
    })
}

fn action() -> impl Strategy<Value = Action> {
    let order = any::<u64>().prop_map(OrderId);
    let reject = (word(), optional(), word(), any::<u64>());
    prop_oneof![
        item().prop_map(Action::View),
        item().prop_map(Action::AddToCart),
        item().prop_map(Action::RemoveFromCart),
        (order.clone(), lines()).prop_map(|(order, lines)| Action::Order { order, lines }),
        (prop::option::of(order), lines())
            .prop_map(|(order, lines)| Action::Refund { order, lines }),
        word().prop_map(Action::Search),
        word().prop_map(Action::Page),
        prop::collection::vec((word(), word()), 0..3).prop_map(Action::Identify),
        (item(), attributes()).prop_map(|(item, of)| Action::Item(item, of)),
        (identifier(), identifier()).prop_map(|(left, right)| Action::Link(left, right)),
        (identifier(), identifier()).prop_map(|(left, right)| Action::Unlink(left, right)),
        (word(), any::<bool>()).prop_map(|(purpose, given)| Action::Consent(purpose, given)),
        any::<i32>().prop_map(|day| Action::Day(Day(day))),
        model().prop_map(Action::Model),
        reject.prop_map(|(reason, field, file, line)| {
            Action::Reject(Reject { reason, field, file, line })
        }),
    ]
}

fn event() -> impl Strategy<Value = (u128, Event)> {
    let session = prop::option::of(any::<NonZeroU64>().prop_map(SessionKey));
    let context = (session, optional(), optional(), optional());
    let who = prop::collection::vec(identifier(), 0..4);
    (any::<u128>(), any::<(i64, u64)>(), word(), who, action(), context).prop_map(
        |(key, (at, id), source, who, action, (session, device, country, channel))| {
            let (at, id) = (EventTime(at), EventId(id));
            let context = Context { session, device, country, channel };
            (key, Event { at, id, source, who: who.into(), action, context })
        },
    )
}

proptest! {
    #[test]
    fn every_codec_gives_back_what_it_was_given(events in prop::collection::vec(event(), 0..20)) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.cache");
        for codec in Codec::ALL {
            store(&path, *codec, &events).unwrap();
            prop_assert_eq!(&load(&path, *codec).unwrap(), &events);
        }
    }
}

/// The event of a view of item 7.
fn view() -> (u128, Event) {
    let event = Event {
        at: EventTime(5),
        id: EventId(6),
        source: Word(NonZeroU64::MIN),
        who: [].into(),
        action: Action::View(Item(7)),
        context: Context::default(),
    };
    (8, event)
}

#[test]
fn a_file_gives_back_what_was_stored_and_nothing_once_a_byte_has_changed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.cache");
    for codec in Codec::ALL {
        store(&path, *codec, &[view()]).unwrap();
        assert_eq!(load(&path, *codec).unwrap(), [view()]);
        let whole = std::fs::read(&path).unwrap();
        for place in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[place] ^= 1;
            std::fs::write(&path, &bytes).unwrap();
            let error = load(&path, *codec).unwrap_err();
            let expected = match place {
                0..16 => matches!(error, Error::Foreign { .. }),
                16..56 => matches!(error, Error::Codec { .. }),
                _ => matches!(error, Error::Damaged { .. }),
            };
            assert!(expected, "byte {place}: {error}");
        }
        for length in 0..whole.len() {
            std::fs::write(&path, &whole[..length]).unwrap();
            load(&path, *codec).unwrap_err();
        }
    }
}

#[test]
fn an_absent_file_and_a_foreign_one_are_told_apart() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events.cache");
    assert!(matches!(load(&path, Codec::Compact), Err(Error::Read { .. })));
    std::fs::write(&path, "at,who,action\n").unwrap();
    assert!(matches!(load(&path, Codec::Compact), Err(Error::Foreign { .. })));
}
