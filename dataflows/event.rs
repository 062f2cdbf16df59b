//! Event: what happened, in one vocabulary for every source?
//!
//! An event is one standardised fact.
//! No text that a person could be known by is in it: an identifier is a keyed hash, and every
//! other text is a [`Word`], a hash whose text is kept in a dictionary outside the dataflows.

use std::num::NonZeroU64;

use serde::{Deserialize, Serialize};

/// When something happened, in microseconds since the Unix epoch, UTC.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct EventTime(pub i64);

/// Microseconds in a day.
pub const DAY_MICROS: i64 = 86_400_000_000;

impl EventTime {
    /// The calendar day, in UTC, on which it happened.
    #[must_use]
    pub fn day(self) -> Day {
        Day(i32::try_from(self.0.div_euclid(DAY_MICROS)).unwrap_or(i32::MAX))
    }

    /// The hour of the day, in UTC, from 0 to 23.
    #[must_use]
    pub fn hour(self) -> u8 {
        u8::try_from(self.0.rem_euclid(DAY_MICROS) / (DAY_MICROS / 24)).unwrap_or(0)
    }
}

/// A calendar day in UTC, counted from 1970-01-01.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Day(pub i32);

/// A text's 64-bit hash; the text is in the dictionary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Word(pub NonZeroU64);

/// An item of the catalogue, named by the 64-bit hash of its code.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Item(pub u64);

/// An order, named by the 64-bit hash of its number.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct OrderId(pub u64);

/// A session that the source itself names, by the 64-bit hash of that name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SessionKey(pub NonZeroU64);

/// The identity of an event: the 64-bit hash of its source and the id that the source gave it.
///
/// The ledger keeps 128 bits of the same hash and refuses two events that share only these 64.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct EventId(pub u64);

/// An amount in the shop's smallest unit of money, fine enough for its unit prices.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Money(pub i64);

/// A kind of identifier: its place in the shop's list of kinds, 0 the strongest.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Kind(pub u8);

/// What a source knows a person by: a kind and the keyed hash of a normalised value, in 128 bits.
///
/// The kind stands in the highest byte, so that identifiers order by strength first: the strongest
/// identifier of a set is its smallest.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Identifier {
    high: u64,
    low: u64,
}

impl Identifier {
    /// An identifier of `kind` whose value has the keyed hash `hash`, of which 120 bits are kept.
    #[must_use]
    pub fn new(kind: Kind, hash: u128) -> Identifier {
        let [high, low] = halves(hash);
        Identifier { high: (high >> 8) | (u64::from(kind.0) << 56), low }
    }

    /// The kind of the identifier.
    #[must_use]
    pub fn kind(self) -> Kind {
        Kind(self.high.to_be_bytes()[0])
    }

    /// All 128 bits: the kind, then the hash.
    #[must_use]
    pub fn bits(self) -> u128 {
        (u128::from(self.high) << 64) | u128::from(self.low)
    }
}

/// The high and the low half of 128 bits.
fn halves(bits: u128) -> [u64; 2] {
    let bytes = bits.to_be_bytes();
    let mut half = [[0; 8]; 2];
    half[0].copy_from_slice(&bytes[..8]);
    half[1].copy_from_slice(&bytes[8..]);
    half.map(u64::from_be_bytes)
}

/// One line of an order or of a refund.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Line {
    /// What was ordered.
    pub item: Item,
    /// How many; an order's line may be negative (a correction that names no order).
    pub quantity: i32,
    /// What one of them costs.
    pub price: Money,
}

impl Line {
    /// What the line comes to; it saturates rather than overflows.
    #[must_use]
    pub fn amount(&self) -> i64 {
        self.price.0.saturating_mul(i64::from(self.quantity))
    }
}

/// What the catalogue says of an item.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Attributes {
    /// Its name.
    pub name: Option<Word>,
    /// Its category.
    pub category: Option<Word>,
    /// Its brand.
    pub brand: Option<Word>,
    /// Its price.
    pub price: Option<Money>,
    /// Whether it can be bought now.
    pub available: bool,
}

/// How many numbers a [`Point`] holds.
pub const FEATURES_MAX: usize = 8;

/// A place in feature space: one number a feature, in thousandths; places not in use are 0.
pub type Point = [i32; FEATURES_MAX];

/// How a model came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ModelKind {
    /// The fit is a function of the cells at [`Model::tick`] and of the model before.
    Fit,
    /// The fit is a function of the cells at [`Model::tick`] alone.
    FreshFit,
}

/// A trained segmentation: an input like any other event, because training is not incremental.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Model {
    /// The tick of the snapshot it was fitted on; the newest model is the one with the greatest.
    pub tick: u64,
    /// How it came about.
    pub kind: ModelKind,
    /// The middle of each segment; the place in this list is the segment's number.
    pub centroids: Vec<Point>,
}

/// Why a record was refused, and where it stood.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Reject {
    /// The reason, in a few plain words without any of the record's values.
    pub reason: Word,
    /// The field at fault.
    pub field: Option<Word>,
    /// The file or stream it came from.
    pub file: Word,
    /// Its line in that file, the first line being 1, or its offset in that stream.
    pub line: u64,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Action {
    /// An item was looked at.
    View(Item),
    /// An item was put into the cart.
    AddToCart(Item),
    /// An item was taken out of the cart.
    RemoveFromCart(Item),
    /// Lines of an order were placed; several events may add lines to one order.
    Order {
        /// The order.
        order: OrderId,
        /// What was ordered.
        lines: Vec<Line>,
    },
    /// Money was given back.
    Refund {
        /// The order; without it each line is matched to an earlier order line of the same person
        /// for the same item and quantity.
        order: Option<OrderId>,
        /// What was given back; empty means the whole order.
        lines: Vec<Line>,
    },
    /// Something was searched for.
    Search(Word),
    /// A page was seen that shows no single item.
    Page(Word),
    /// The person told something: trait and value.
    Identify(Vec<(Word, Word)>),
    /// The catalogue told something of an item.
    Item(Item, Attributes),
    /// An operator says that the two are one person.
    Link(Identifier, Identifier),
    /// An operator says that the two are not to be joined directly, whatever else claims it.
    Unlink(Identifier, Identifier),
    /// Consent to a purpose was given or withdrawn.
    Consent(Word, bool),
    /// The day turned: this is today.
    Day(Day),
    /// A segmentation was trained.
    Model(Model),
    /// A record was refused.
    Reject(Reject),
}

/// Where and how it happened.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Context {
    /// The session, where the source itself keeps sessions.
    pub session: Option<SessionKey>,
    /// The kind of device.
    pub device: Option<Word>,
    /// The country.
    pub country: Option<Word>,
    /// The marketing channel.
    pub channel: Option<Word>,
}

/// One standardised fact.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Event {
    /// When it happened.
    pub at: EventTime,
    /// Which event it is.
    pub id: EventId,
    /// Where it comes from.
    pub source: Word,
    /// The identifiers seen with it: sorted, without repeats, without blocked values.
    pub who: Box<[Identifier]>,
    /// What happened.
    pub action: Action,
    /// Where and how it happened.
    pub context: Context,
}

/// The key of a set of identifiers seen together: a 128-bit mix of them.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Who(pub u64, pub u64);

impl Who {
    /// The key of `identifiers`, which are sorted and without repeats; `None` where there are none.
    #[must_use]
    pub fn of(identifiers: &[Identifier]) -> Option<Who> {
        let mut key = Who(0x9e37_79b9_7f4a_7c15, 0xc2b2_ae3d_27d4_eb4f);
        for id in identifiers {
            key.0 = (key.0 ^ id.high).wrapping_mul(0xff51_afd7_ed55_8ccd).rotate_left(31) ^ id.low;
            key.1 = (key.1 ^ id.low).wrapping_mul(0xc4ce_b9fe_1a85_ec53).rotate_left(29) ^ id.high;
        }
        (!identifiers.is_empty()).then_some(Who(spread(key.0), spread(key.1)))
    }
}

/// Mixes all bits of a word into all bits of the result (the finaliser of MurmurHash3).
#[must_use]
pub fn spread(mut word: u64) -> u64 {
    word = (word ^ (word >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    word = (word ^ (word >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    word ^ (word >> 33)
}

impl Event {
    /// The key of the identifiers on the event; `None` for an event of nobody.
    #[must_use]
    pub fn key(&self) -> Option<Who> {
        Who::of(&self.who)
    }

    /// Calls `word` with every 64-bit hash of a text that the event holds, its id aside.
    pub fn each_word(&self, word: &mut dyn FnMut(u64)) {
        let Context { session, device, country, channel } = self.context;
        word(self.source.0.get());
        session.into_iter().for_each(|SessionKey(session)| word(session.get()));
        let mut some = |of: Option<Word>| of.into_iter().for_each(|of| word(of.0.get()));
        [device, country, channel].into_iter().for_each(&mut some);
        match &self.action {
            Action::View(item) | Action::AddToCart(item) | Action::RemoveFromCart(item) => {
                word(item.0);
            }
            Action::Order { order, lines } => {
                word(order.0);
                lines.iter().for_each(|line| word(line.item.0));
            }
            Action::Refund { order, lines } => {
                order.iter().for_each(|order| word(order.0));
                lines.iter().for_each(|line| word(line.item.0));
            }
            Action::Search(of) | Action::Page(of) | Action::Consent(of, _) => some(Some(*of)),
            Action::Identify(traits) => {
                traits.iter().for_each(|(name, value)| {
                    some(Some(*name));
                    some(Some(*value));
                });
            }
            Action::Item(item, Attributes { name, category, brand, .. }) => {
                [*name, *category, *brand].into_iter().for_each(&mut some);
                word(item.0);
            }
            Action::Reject(Reject { reason, field, file, .. }) => {
                [Some(*reason), *field, Some(*file)].into_iter().for_each(&mut some);
            }
            Action::Link(..) | Action::Unlink(..) | Action::Day(_) | Action::Model(_) => {}
        }
    }

    /// Where it stands among all events: by event time, then by id.
    #[must_use]
    pub fn place(&self) -> Place {
        (self.at, self.id)
    }
}

/// Where an event stands among all events: by event time, then by id.
pub type Place = (EventTime, EventId);

/// A person: the identifier that stands for all of the person's identifiers.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct ProfileId(pub Identifier);
