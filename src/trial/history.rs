//! History: what happens in a shop that is only there to be put to the test?
//!
//! Few people, items and orders, so that merges, corrections, refunds and erasures meet often.
//! Everybody's identifiers have texts that no other bytes look like.

use std::collections::BTreeMap;

use dataflows::{
    Action, Context, DAY_MICROS, Event, EventId, EventTime, Identifier, Item, Kind, Line, Money,
    OrderId, Word, spread,
};

use crate::names::Dictionary;
use crate::storage::Dice;

/// How many events there are: few, so that corrections are common.
const EVENTS: usize = 40;

/// The identifiers: how many of each kind.
const KINDS: [(u8, usize); 4] = [(0, 4), (1, 3), (4, 2), (5, 5)];

/// What is done next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Act {
    /// An event comes, or another version of it.
    Put(u128, Event),
    /// The event of this key is retracted.
    Retract(u128),
    /// All that has come is decided.
    Commit,
    /// The person of this identifier is erased.
    Erase(Identifier),
    /// A checkpoint is written.
    Checkpoint,
    /// Everything is written anew.
    Rewrite,
    /// The program ends and starts again.
    Reopen,
}

/// A shop.
#[derive(Debug)]
pub(super) struct Shop {
    dice: Dice,
    ids: Vec<Identifier>,
    words: Vec<Word>,
}

/// The text of an identifier.
pub(super) fn canary(kind: u8, number: usize) -> String {
    format!("Canary-{kind}-{:016x}", spread(u64::try_from(number).unwrap_or(0) + 77))
}

impl Shop {
    /// The shop of a seed, whose names are learnt.
    pub(super) fn new(seed: u64, names: &mut Dictionary) -> Shop {
        let ids = KINDS.iter().flat_map(|(kind, many)| (0..*many).map(|n| (*kind, n)));
        let ids: Vec<(u8, usize)> = ids.collect();
        let ids =
            ids.into_iter().map(|(kind, n)| names.learn_identifier(Kind(kind), &canary(kind, n)));
        let ids = ids.collect();
        let words = (0..12).filter_map(|n| names.learn(&format!("word {n}")).ok()).collect();
        Shop { dice: Dice::new(seed), ids, words }
    }

    /// All identifiers.
    pub(super) fn identifiers(&self) -> &[Identifier] {
        &self.ids
    }

    /// All words.
    pub(super) fn words(&self) -> &[Word] {
        &self.words
    }

    /// Learns all names that such shops have.
    pub(super) fn learn_all(names: &mut Dictionary) {
        Shop::new(0, names);
    }

    /// What is done next.
    pub(super) fn act(&mut self) -> Act {
        match self.dice.below(100) {
            0..64 => {
                let (key, event) = self.event();
                Act::Put(key, event)
            }
            64..69 => Act::Retract(self.key()),
            69..86 => Act::Commit,
            86..90 => Act::Erase(self.id()),
            90..94 => Act::Checkpoint,
            94..96 => Act::Rewrite,
            _ => Act::Reopen,
        }
    }

    fn id(&mut self) -> Identifier {
        let place = self.dice.below(self.ids.len());
        self.ids[place]
    }

    fn word(&mut self) -> Word {
        let place = self.dice.below(self.words.len());
        self.words[place]
    }

    fn key(&mut self) -> u128 {
        let number = u64::try_from(self.dice.below(EVENTS)).unwrap_or(0);
        u128::from(spread(number + 1)) << 64 | u128::from(spread(number + 1000))
    }

    fn item(&mut self) -> Item {
        Item(self.word().0.get())
    }

    fn number(&mut self, end: usize) -> i64 {
        i64::try_from(self.dice.below(end)).unwrap_or(0)
    }

    fn lines(&mut self) -> Vec<Line> {
        let many = 1 + self.dice.below(3);
        let line = |shop: &mut Shop| Line {
            item: shop.item(),
            quantity: i32::try_from(1 + shop.number(3)).unwrap_or(1),
            price: Money(100 * (1 + shop.number(4))),
        };
        (0..many).map(|_| line(self)).collect()
    }

    fn event(&mut self) -> (u128, Event) {
        let key = self.key();
        let mut who: Vec<Identifier> = (0..self.dice.below(4)).map(|_| self.id()).collect();
        who.sort_unstable();
        who.dedup();
        let order = OrderId(self.word().0.get());
        let action = match self.dice.below(20) {
            0..7 => Action::View(self.item()),
            7..9 => Action::AddToCart(self.item()),
            9..14 => Action::Order { order, lines: self.lines() },
            14 => Action::Refund { order: Some(order), lines: self.lines() },
            15 => Action::Search(self.word()),
            16 => Action::Identify(vec![(self.word(), self.word())]),
            17 => Action::Consent(self.word(), self.dice.once_in(2)),
            18 => Action::Link(self.id(), self.id()),
            _ => Action::Page(self.word()),
        };
        if matches!(action, Action::Link(..)) {
            who.clear();
        }
        let at = self.number(30) * DAY_MICROS + self.number(8) * 1_000_000_000;
        let country = self.dice.once_in(3).then(|| self.word());
        let event = Event {
            at: EventTime(at),
            id: EventId(crate::names::low(key)),
            source: self.word(),
            who: who.into(),
            action,
            context: Context { country, ..Context::default() },
        };
        (key, event)
    }
}

/// What a plain map says of which events hold.
pub(super) type Held = BTreeMap<u128, Event>;
