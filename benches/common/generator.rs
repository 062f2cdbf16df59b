//! Generator: what does a shop's stream look like?
//!
//! An endless, seeded stream of changes in the order in which they arrive, shaped like a shop's:
//!
//! * one person to 25 events, some far busier than others (Pareto);
//! * each with one to three devices, of which 3 % are somebody else's, and one to three cookies on
//!   each; one person in ten has two e-mail addresses;
//! * sessions of about five events, at most 30, named by the source, on one cookie each;
//! * 71 % views, 15 % carts, 6 % orders of one line and 8 % logins, the last two with e-mail;
//! * items by Zipf's law, half of them near the topic of the session, so that pairs have structure;
//! * 1 % arrive late, by an hour to seven days; 0.5 % arrive twice; 0.1 % are corrected and 0.1 %
//!   retracted within three days.
//!
//! The first [`Shape::events`] changes span 90 days; what follows goes on at the same pace, so that
//! a steady state lasts as long as it is measured.
//! Only what has not arrived yet is kept: the stream costs no memory that grows with it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::num::NonZeroU64;

use dataflows::{
    Action, Context, Event, EventId, EventTime, Identifier, Item, Kind, Line, Money, OrderId,
    SessionKey, Settings, Word,
};

use super::random::{Random, Weighted, mix};

/// What a change does to the events that hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    /// The event happened; an identical repeat changes nothing.
    Insert,
    /// The event takes the place of the one with its key.
    Correct,
    /// The event with this key does not hold any more.
    Retract,
}

/// What is done, the 128-bit key of the event, and the event.
pub(crate) type Change = (Op, u128, Event);

/// How large the shop is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// How many changes 90 days bring; persons and items follow from it.
    pub(crate) events: u64,
    /// Where the generator starts: the same seed gives the same stream.
    pub(crate) seed: u64,
}

impl Shape {
    /// How many persons there are.
    fn persons(self) -> u64 {
        (self.events / 25).max(100)
    }

    /// How many items there are: 5,000 for 100,000 events, and 10 times the events bring 4 times
    /// as many.
    fn items(self) -> u64 {
        match self.events {
            0..100_000 => (self.events / 20).max(50),
            100_000..1_000_000 => 5_000 + (self.events - 100_000) / 60,
            _ => (20_000 + (self.events - 1_000_000) / 133).min(200_000),
        }
    }
}

const SECOND: u64 = 1_000_000;
const DAY: u64 = 86_400 * SECOND;
/// How long the first [`Shape::events`] changes take.
const SPAN: u64 = 90 * DAY;
/// When the stream begins.
const START: u64 = 1_700_000_000 * SECOND;
/// The most events of a session.
const SESSION_EVENTS_MAX: u64 = 30;
/// Events of a session on average, the limit taken into account, in hundredths.
const SESSION_EVENTS: u64 = 499;
/// How far an item near a session's topic may be from it.
const TOPIC_ITEMS: u64 = 12;

/// A change that has not arrived yet; they order by arrival, then by when they were made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Pending {
    arrival: u64,
    made: u64,
    fact: Fact,
}

/// An event before it is spelled out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Fact {
    /// Its number.
    number: u64,
    at: u64,
    session: u64,
    person: u64,
    /// The device: four times its owner, plus its number there.
    device: u64,
    /// The cookie: four times its person's device, plus its number there.
    cookie: u64,
    item: u64,
    quantity: i32,
    price: i64,
    does: Does,
    change: Version,
    /// Whether the person's second e-mail address is on it.
    other_mail: bool,
}

/// What a fact does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Does {
    View,
    Cart,
    Order,
    Login,
}

/// What of a fact arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Version {
    First,
    Corrected,
    Retracted,
}

/// How often a person was seen.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    events: u32,
    cookie: u64,
}

/// The stream; it never ends.
#[derive(Debug)]
pub(crate) struct Generator {
    shape: Shape,
    random: Random,
    persons: Weighted,
    items: Weighted,
    email: Kind,
    device: Kind,
    cookie: Kind,
    /// What has not arrived yet.
    pending: BinaryHeap<Reverse<Pending>>,
    /// When the next session starts.
    next_start: u64,
    sessions: u64,
    events: u64,
    made: u64,
    /// By person.
    seen: Vec<Seen>,
}

impl Generator {
    /// The stream of a shop of this shape, with the kinds of identifiers of `settings`.
    ///
    /// # Panics
    ///
    /// If `settings` have no kind named email, device or cookie.
    pub(crate) fn new(shape: Shape, settings: &Settings) -> Generator {
        let kind = |name| settings.kind(name).expect("the shop knows e-mail, device and cookie");
        let mut random = Random::new(shape.seed);
        let persons = Weighted::pareto(shape.persons(), 1.5, 0.2, &mut random);
        Generator {
            shape,
            persons,
            items: Weighted::zipf(shape.items(), 1.05),
            email: kind("email"),
            device: kind("device"),
            cookie: kind("cookie"),
            pending: BinaryHeap::new(),
            next_start: START,
            sessions: 0,
            events: 0,
            made: 0,
            seen: vec![Seen::default(); index(shape.persons())],
            random,
        }
    }

    /// Cookies of up to `n` persons whose number of events up to now is the `permille`th of all
    /// persons with an event.
    pub(crate) fn typical(&self, permille: usize, n: usize) -> Vec<Identifier> {
        let mut seen: Vec<Seen> =
            self.seen.iter().copied().filter(|person| 0 < person.events).collect();
        seen.sort_by_key(|person| (person.events, mix(person.cookie)));
        let middle = seen.len() * permille / 1000;
        let first = middle.saturating_sub(n / 2);
        let chosen = seen.iter().skip(first).take(n);
        chosen.map(|person| identifier(self.cookie, person.cookie)).collect()
    }

    /// Makes the next session.
    fn session(&mut self) {
        let start = self.next_start;
        // A session starts every so often that the changes fill the span.
        let mean = SPAN * SESSION_EVENTS * 1007 / 1000 / 100 / self.shape.events.max(1);
        self.next_start += self.random.below(2 * mean.max(1));
        let person = self.persons.pick(&mut self.random);
        let (device, cookie) = self.cookie_of(person);
        let topic = self.items.pick(&mut self.random);
        let session = self.sessions;
        self.sessions += 1;
        let mut length = 1;
        while length < SESSION_EVENTS_MAX && self.random.permille(800) {
            length += 1;
        }
        for step in 0..length {
            let at = start + step * 30 * SECOND + self.random.below(20_000) * 1000;
            let fact = self.fact(at, person, topic);
            self.arrive(Fact { session, device, cookie, ..fact });
        }
    }

    /// One of a person's cookies, and the device it is on.
    fn cookie_of(&mut self, person: u64) -> (u64, u64) {
        let shop = self.shape.seed;
        let cookies = |slot| match mix(shop ^ mix(4 * person + slot)) % 10 {
            0..6 => 1,
            6..9 => 2,
            _ => 3,
        };
        let devices = |person| 1 + mix(shop ^ person) % 3;
        let all: u64 = (0..devices(person)).map(cookies).sum();
        let (mut chosen, mut slot) = (self.random.below(all), 0);
        while cookies(slot) <= chosen {
            chosen -= cookies(slot);
            slot += 1;
        }
        let own = 4 * person + slot;
        let fate = mix(!shop ^ mix(own));
        let device = if fate % 100 < 3 {
            let other = (fate >> 8) % self.shape.persons();
            4 * other + (fate >> 48) % devices(other)
        } else {
            own
        };
        (device, 4 * own + chosen)
    }

    /// An event of a person in a session about `topic`.
    fn fact(&mut self, at: u64, person: u64, topic: u64) -> Fact {
        let random = &mut self.random;
        let does = match random.below(100) {
            0..71 => Does::View,
            71..86 => Does::Cart,
            86..92 => Does::Order,
            _ => Does::Login,
        };
        let item = if random.permille(500) {
            (topic + random.below(TOPIC_ITEMS)) % self.shape.items()
        } else {
            self.items.pick(random)
        };
        let quantity = match random.below(100) {
            0..80 => 1,
            80..95 => 2,
            _ => 3,
        };
        let price = i64::try_from(199 + mix(!item) % 19_800).unwrap_or(199);
        let two_mails = mix(self.shape.seed.rotate_left(32) ^ person).is_multiple_of(10);
        let other_mail = two_mails && random.permille(300);
        let number = self.events;
        self.events += 1;
        let change = Version::First;
        let (session, device, cookie) = (0, 0, 0);
        Fact {
            number,
            at,
            session,
            person,
            device,
            cookie,
            item,
            quantity,
            price,
            does,
            change,
            other_mail,
        }
    }

    /// Decides when a fact arrives, and whether it does so again.
    fn arrive(&mut self, fact: Fact) {
        let random = &mut self.random;
        let mut arrival = fact.at;
        if random.permille(10) {
            arrival += 3_600 * SECOND + random.below(7 * DAY - 3_600 * SECOND);
        }
        let again = match random.below(1000) {
            0..5 => Some((fact.change, 1 + random.below(600 * SECOND))),
            5 => Some((Version::Corrected, 1 + random.below(3 * DAY))),
            6 => Some((Version::Retracted, 1 + random.below(3 * DAY))),
            _ => None,
        };
        let mut push = |arrival, fact| {
            self.pending.push(Reverse(Pending { arrival, made: self.made, fact }));
            self.made += 1;
        };
        push(arrival, fact);
        if let Some((change, later)) = again {
            push(arrival + later, Fact { change, ..fact });
        }
    }

    /// Spells a fact out.
    fn change(&mut self, fact: &Fact) -> Change {
        let seen = &mut self.seen[index(fact.person)];
        let op = match fact.change {
            Version::First => Op::Insert,
            Version::Corrected => Op::Correct,
            Version::Retracted => Op::Retract,
        };
        if op == Op::Insert {
            *seen = Seen { events: seen.events + 1, cookie: fact.cookie };
        }
        let key = hash(1, fact.number);
        let mail = 2 * fact.person + u64::from(fact.other_mail);
        let device = identifier(self.device, fact.device);
        let cookie = identifier(self.cookie, fact.cookie);
        let mut who: Box<[Identifier]> = match fact.does {
            Does::View | Does::Cart => Box::new([device, cookie]),
            Does::Order | Does::Login => Box::new([identifier(self.email, mail), device, cookie]),
        };
        who.sort_unstable();
        let event = Event {
            at: EventTime(i64::try_from(fact.at).unwrap_or(i64::MAX)),
            id: EventId(low(key)),
            source: word(2, 0),
            who,
            action: action(fact),
            context: Context {
                session: NonZeroU64::new(low(hash(3, fact.session))).map(SessionKey),
                device: Some(word(4, fact.device % 3)),
                country: Some(word(5, mix(fact.person) % 4)),
                channel: Some(word(6, mix(fact.session) % 5)),
            },
        };
        (op, key, event)
    }
}

impl Iterator for Generator {
    type Item = Change;

    fn next(&mut self) -> Option<Change> {
        // Nothing of a session arrives before the session starts.
        while self.pending.peek().is_none_or(|Reverse(next)| self.next_start <= next.arrival) {
            self.session();
        }
        let Reverse(next) = self.pending.pop()?;
        Some(self.change(&next.fact))
    }
}

/// What a fact does, as an action; a correction does it a little differently.
fn action(fact: &Fact) -> Action {
    let corrected = fact.change == Version::Corrected;
    let item = |number| Item(low(hash(7, number)));
    // Not the item itself: an order is corrected in quantity and price.
    let touched = item(if corrected { fact.item ^ 1 } else { fact.item });
    match fact.does {
        Does::View => Action::View(touched),
        Does::Cart => Action::AddToCart(touched),
        Does::Order => {
            let (more, price) = if corrected { (1, fact.price * 9 / 10) } else { (0, fact.price) };
            Action::Order {
                order: OrderId(low(hash(8, fact.number))),
                lines: vec![Line {
                    item: item(fact.item),
                    quantity: fact.quantity + more,
                    price: Money(price),
                }],
            }
        }
        Does::Login => {
            let value = fact.person % 7 + u64::from(corrected);
            Action::Identify(vec![(word(9, 0), word(10, value))])
        }
    }
}

/// An identifier of `kind`, by its number.
fn identifier(kind: Kind, number: u64) -> Identifier {
    Identifier::new(kind, hash(u64::from(kind.0) + 100, number))
}

/// A word of a vocabulary, by its number.
fn word(vocabulary: u64, number: u64) -> Word {
    Word(NonZeroU64::new(low(hash(vocabulary, number))).unwrap_or(NonZeroU64::MIN))
}

/// 128 bits that stand for a number of some purpose.
fn hash(purpose: u64, number: u64) -> u128 {
    let low = mix(mix(purpose) ^ number);
    (u128::from(mix(low ^ purpose)) << 64) | u128::from(low)
}

/// The low half of 128 bits.
fn low(bits: u128) -> u64 {
    u64::try_from(bits & u128::from(u64::MAX)).unwrap_or(0)
}

/// A number as a place in memory.
fn index(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}
