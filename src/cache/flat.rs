//! Flat: what is an event made of, if all there is are words of 64 bits?

use std::num::NonZeroU64;

use dataflows::{
    Action, Attributes, Context, Day, Event, EventId, EventTime, Identifier, Item, Kind, Line,
    Model, ModelKind, Money, OrderId, Reject, SessionKey, Word,
};

/// An event with its key, in words: an identifier takes two, and no word of a text or session is 0.
///
/// The fields are: key; event time, id and source; identifiers; context; the action's number and
/// what belongs to it.
pub(super) type Flat =
    ((u64, u64), (i64, u64, u64), Vec<(u64, u64)>, (u64, u64, u64, u64), Vec<u64>);

/// All events in words.
pub(super) fn flatten(events: &[(u128, Event)]) -> Vec<Flat> {
    let flat = events.iter().map(|(key, event)| {
        let Event { at, id, source, who, action, context } = event;
        let Context { session, device, country, channel } = *context;
        let context = (
            session.map_or(0, |session| session.0.get()),
            optional(device),
            optional(country),
            optional(channel),
        );
        let who = who.iter().map(|id| halves(id.bits())).collect();
        (halves(*key), (at.0, id.0, source.0.get()), who, context, words(action))
    });
    flat.collect()
}

/// All events of `flat`; `None` if one of them is none.
pub(super) fn events(flat: Vec<Flat>) -> Option<Vec<(u128, Event)>> {
    let events = flat.into_iter().map(|(key, (at, id, source), who, context, action)| {
        let who = who.into_iter().map(|(high, low)| identifier(high, low)).collect();
        let mut words = Words(action.iter());
        let event = Event {
            at: EventTime(at),
            id: EventId(id),
            source: Word(NonZeroU64::new(source)?),
            who,
            action: words.action()?,
            context: Context {
                session: NonZeroU64::new(context.0).map(SessionKey),
                device: NonZeroU64::new(context.1).map(Word),
                country: NonZeroU64::new(context.2).map(Word),
                channel: NonZeroU64::new(context.3).map(Word),
            },
        };
        words.0.next().is_none().then_some(((u128::from(key.0) << 64) | u128::from(key.1), event))
    });
    events.collect()
}

/// The high and the low half of 128 bits.
fn halves(bits: u128) -> (u64, u64) {
    let half = |bits: u128| u64::try_from(bits & u128::from(u64::MAX)).unwrap_or_default();
    (half(bits >> 64), half(bits))
}

/// The identifier of these bits: its kind stands in the highest byte, above 120 bits of hash.
fn identifier(high: u64, low: u64) -> Identifier {
    let hash = (u128::from(high << 8) << 64) | u128::from(low);
    Identifier::new(Kind(high.to_be_bytes()[0]), hash)
}

/// The word of a text that may be absent.
fn optional(word: Option<Word>) -> u64 {
    word.map_or(0, |word| word.0.get())
}

/// An action in words: its number first, a list last or after its length.
fn words(action: &Action) -> Vec<u64> {
    let pair = |left: &Identifier, right: &Identifier| {
        let [left, right] = [left, right].map(|id| halves(id.bits()));
        [left.0, left.1, right.0, right.1]
    };
    let lines = |head: [u64; 3], lines: &[Line]| {
        let lines = lines.iter().flat_map(|line| {
            let Line { item, quantity, price } = line;
            [item.0, i64::from(*quantity).cast_unsigned(), price.0.cast_unsigned()]
        });
        head.into_iter().chain(lines).collect()
    };
    match action {
        Action::View(item) => vec![0, item.0],
        Action::AddToCart(item) => vec![1, item.0],
        Action::RemoveFromCart(item) => vec![2, item.0],
        Action::Order { order, lines: all } => lines([3, 1, order.0], all),
        Action::Refund { order, lines: all } => {
            let head = [4, order.is_some().into(), order.map_or(0, |order| order.0)];
            lines(head, all)
        }
        Action::Search(word) => vec![5, word.0.get()],
        Action::Page(word) => vec![6, word.0.get()],
        Action::Identify(traits) => {
            let traits = traits.iter().flat_map(|(name, value)| [name.0.get(), value.0.get()]);
            [7].into_iter().chain(traits).collect()
        }
        Action::Item(item, of) => {
            let Attributes { name, category, brand, price, available } = *of;
            let [name, category, brand] = [name, category, brand].map(optional);
            let amount = price.map_or(0, |price| price.0.cast_unsigned());
            vec![8, item.0, name, category, brand, price.is_some().into(), amount, available.into()]
        }
        Action::Link(left, right) => [&[9][..], &pair(left, right)].concat(),
        Action::Unlink(left, right) => [&[10][..], &pair(left, right)].concat(),
        Action::Consent(purpose, given) => vec![11, purpose.0.get(), (*given).into()],
        Action::Day(day) => vec![12, i64::from(day.0).cast_unsigned()],
        Action::Model(model) => words_of_model(model),
        Action::Reject(reject) => {
            let Reject { reason, field, file, line } = *reject;
            vec![14, reason.0.get(), optional(field), file.0.get(), line]
        }
    }
}

/// A model in words: the centroids come last.
fn words_of_model(model: &Model) -> Vec<u64> {
    let kind = match model.kind {
        ModelKind::Fit => 0,
        ModelKind::FreshFit => 1,
    };
    let count = u64::try_from(model.centroids.len()).unwrap_or(u64::MAX);
    let places = model.centroids.iter().flatten();
    let places = places.map(|place| i64::from(*place).cast_unsigned());
    let head = [13, model.tick, kind, count].into_iter();
    head.chain(places).collect()
}

/// The words of an action that have not been read.
struct Words<'a>(std::slice::Iter<'a, u64>);

impl Words<'_> {
    fn next(&mut self) -> Option<u64> {
        self.0.next().copied()
    }

    fn signed(&mut self) -> Option<i64> {
        self.next().map(u64::cast_signed)
    }

    fn small(&mut self) -> Option<i32> {
        i32::try_from(self.signed()?).ok()
    }

    fn yes(&mut self) -> Option<bool> {
        match self.next()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    fn item(&mut self) -> Option<Item> {
        self.next().map(Item)
    }

    fn word(&mut self) -> Option<Word> {
        NonZeroU64::new(self.next()?).map(Word)
    }

    fn optional(&mut self) -> Option<Option<Word>> {
        self.next().map(|word| NonZeroU64::new(word).map(Word))
    }

    fn identifier(&mut self) -> Option<Identifier> {
        Some(identifier(self.next()?, self.next()?))
    }

    /// What `read` gives until there are no words left.
    fn rest<T>(&mut self, read: impl Fn(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let mut all = Vec::new();
        while !self.0.as_slice().is_empty() {
            all.push(read(self)?);
        }
        Some(all)
    }

    fn order(&mut self) -> Option<(Option<OrderId>, Vec<Line>)> {
        let (named, order) = (self.yes()?, self.next()?);
        let lines = self.rest(|words| {
            let (item, quantity) = (words.item()?, words.small()?);
            Some(Line { item, quantity, price: Money(words.signed()?) })
        })?;
        Some((named.then_some(OrderId(order)), lines))
    }

    fn attributes(&mut self) -> Option<Attributes> {
        let (name, category, brand) = (self.optional()?, self.optional()?, self.optional()?);
        let price = (self.yes()?, Money(self.signed()?));
        let price = price.0.then_some(price.1);
        Some(Attributes { name, category, brand, price, available: self.yes()? })
    }

    fn model(&mut self) -> Option<Model> {
        let tick = self.next()?;
        let kind = match self.next()? {
            0 => ModelKind::Fit,
            1 => ModelKind::FreshFit,
            _ => return None,
        };
        let mut centroids = Vec::new();
        for _ in 0..self.next()? {
            let mut point = dataflows::Point::default();
            for place in &mut point {
                *place = self.small()?;
            }
            centroids.push(point);
        }
        Some(Model { tick, kind, centroids })
    }

    fn action(&mut self) -> Option<Action> {
        Some(match self.next()? {
            0 => Action::View(self.item()?),
            1 => Action::AddToCart(self.item()?),
            2 => Action::RemoveFromCart(self.item()?),
            3 => {
                let (order, lines) = self.order()?;
                Action::Order { order: order?, lines }
            }
            4 => {
                let (order, lines) = self.order()?;
                Action::Refund { order, lines }
            }
            5 => Action::Search(self.word()?),
            6 => Action::Page(self.word()?),
            7 => Action::Identify(self.rest(|words| Some((words.word()?, words.word()?)))?),
            8 => Action::Item(self.item()?, self.attributes()?),
            9 => Action::Link(self.identifier()?, self.identifier()?),
            10 => Action::Unlink(self.identifier()?, self.identifier()?),
            11 => Action::Consent(self.word()?, self.yes()?),
            12 => Action::Day(Day(self.small()?)),
            13 => Action::Model(self.model()?),
            14 => Action::Reject(Reject {
                reason: self.word()?,
                field: self.optional()?,
                file: self.word()?,
                line: self.next()?,
            }),
            _ => return None,
        })
    }
}
