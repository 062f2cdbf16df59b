//! Standard: how does a record whose fields are known become an event?
//!
//! Every decoder fills the same cells and hands them in here, so that a field means the same
//! whichever way it came.

use std::borrow::Cow;

use dataflows::{
    Action, Attributes, Context, Event, EventId, EventTime, Identifier, Item, Kind, Line, Money,
    OrderId, SessionKey, Word,
};
use hashbrown::HashMap;

use super::fields::{FIELDS_COUNT, Name};
use super::number::{Style, decimal};
use super::time::{TimeReader, day};
use super::{Change, Duplicates, Refusal, Rules};
use crate::names::{Dictionary, Tag, low};
use crate::source::Record;

/// The texts of a record's fields; what is absent is empty.
#[derive(Debug)]
pub(super) struct Cells<'a>([Cow<'a, str>; FIELDS_COUNT]);

impl<'a> Cells<'a> {
    /// No field.
    pub(super) fn new() -> Cells<'a> {
        Cells([const { Cow::Borrowed("") }; FIELDS_COUNT])
    }

    /// The text of `name`, without white space around it.
    #[expect(clippy::as_conversions, clippy::indexing_slicing, reason = "as many as fields")]
    pub(super) fn get(&self, name: Name) -> &str {
        self.0[name as usize].trim_ascii()
    }

    /// The text of `name`, if there is any.
    pub(super) fn some(&self, name: Name) -> Option<&str> {
        Some(self.get(name)).filter(|text| !text.is_empty())
    }

    /// The text of `name`, which the action cannot do without.
    fn need(&self, name: Name) -> Result<&str, Refusal> {
        self.some(name).ok_or(Refusal::of(name.name(), MISSING))
    }

    /// Sets the text of `name`.
    #[expect(clippy::as_conversions, clippy::indexing_slicing, reason = "as many as fields")]
    pub(super) fn set(&mut self, name: Name, text: impl Into<Cow<'a, str>>) {
        self.0[name as usize] = text.into();
    }
}

/// The reason for a field that is not there.
pub(super) const MISSING: &str = "is missing";
/// The reason for a text whose hash is another's.
const COLLISION: &str = "has the 64-bit hash of another text";
/// The reason for money that is too much.
const TOO_MUCH: &str = "comes to more than can be kept";

/// What a source's records have in common, and what of the record at hand has been read.
#[derive(Debug)]
pub(super) struct Standard {
    pub(super) rules: Rules,
    /// The source's name.
    pub(super) source: Word,
    /// How the source writes instants.
    pub(super) times: TimeReader,
    /// How the source writes numbers.
    pub(super) style: Style,
    /// What the receiving clock shows, if there is one.
    pub(super) now: Option<EventTime>,
    /// The key of the record at hand, where it has an id.
    pub(super) key: Option<u128>,
    /// The identifiers of the record at hand.
    pub(super) who: Vec<Identifier>,
    /// The lines of the record at hand.
    pub(super) lines: Vec<Line>,
    /// The traits of the record at hand.
    pub(super) traits: Vec<(Word, Word)>,
    duplicates: Duplicates,
    /// How often each content has been seen, by 64 bits of its hash: contents that share them
    /// share a count, which does no harm. A hash table because every row without an id asks it.
    seen: HashMap<u64, u64>,
}

impl Standard {
    /// What the records of `source` have in common.
    pub(super) fn new(rules: Rules, source: Word, duplicates: Duplicates) -> Standard {
        Standard {
            rules,
            source,
            times: TimeReader::rfc3339(),
            style: Style::PLAIN,
            now: None,
            key: None,
            who: Vec::new(),
            lines: Vec::new(),
            traits: Vec::new(),
            duplicates,
            seen: HashMap::new(),
        }
    }

    /// Forgets the record before.
    pub(super) fn begin(&mut self) {
        self.key = None;
        self.who.clear();
        self.lines.clear();
        self.traits.clear();
    }

    /// Notes the key of the record of `cells`, so that even its refusal can be corrected.
    pub(super) fn begin_key(
        &mut self,
        cells: &Cells<'_>,
        names: &mut Dictionary,
    ) -> Result<Word, Refusal> {
        let source = match cells.some(Name::Source) {
            Some(source) => learn(Name::Source, source, names)?,
            None => self.source,
        };
        self.key = cells.some(Name::Id).map(|id| names.key(Tag::Id, source, id.as_bytes(), 0));
        Ok(source)
    }

    /// Adds an identifier to the record at hand, unless its value is blocked.
    pub(super) fn identify(
        &mut self,
        kind: &str,
        value: &str,
        names: &mut Dictionary,
    ) -> Result<(), Refusal> {
        let found = self.identifier(Name::Who, kind, value, names)?;
        self.who.extend(found);
        Ok(())
    }

    /// The identifier of `value`; `None` if it is blocked.
    fn identifier(
        &self,
        field: Name,
        kind: &str,
        value: &str,
        names: &mut Dictionary,
    ) -> Result<Option<Identifier>, Refusal> {
        let unknown = "names a kind of identifier that the shop's file does not list";
        let known = self.rules.kinds.iter().enumerate().find(|(_, known)| known.name == kind);
        let (place, format) = known.ok_or(Refusal::of(field.name(), unknown))?;
        let kind = Kind(u8::try_from(place).map_err(|_| Refusal::of(field.name(), unknown))?);
        let value = format.normalise(value);
        Ok((!self.rules.blocked.blocks(&value)).then(|| names.learn_identifier(kind, &value)))
    }

    /// One identifier, written as `kind:value`, that must name somebody.
    fn one_identifier(
        &self,
        cells: &Cells<'_>,
        field: Name,
        names: &mut Dictionary,
    ) -> Result<Identifier, Refusal> {
        let (kind, value) = pair(field, cells.need(field)?)?;
        let found = self.identifier(field, kind, value, names)?;
        found.ok_or(Refusal::of(field.name(), "is a value that is blocked"))
    }

    /// Adds lines to the record at hand: `quantity` pieces of `item` at `price` each, or for
    /// `amount` in all.
    pub(super) fn line(
        &mut self,
        item: &str,
        [quantity, price, amount]: [Option<&str>; 3],
        names: &mut Dictionary,
    ) -> Result<(), Refusal> {
        if item.is_empty() {
            return Err(Refusal::of(Name::Item.name(), MISSING));
        }
        let item = Item(learn(Name::Item, item, names)?.0.get());
        let quantity = match quantity {
            Some(text) => self.quantity(text)?,
            None => 1,
        };
        let Some(amount) = amount else {
            let price = Money(price.map_or(Ok(0), |text| self.money(Name::Price, text))?);
            let line = Line { item, quantity, price };
            let fits = price.0.checked_mul(i64::from(quantity)).is_some();
            fits.then(|| self.lines.push(line)).ok_or(Refusal::of(Name::Price.name(), TOO_MUCH))?;
            return Ok(());
        };
        if price.is_some() {
            return Err(Refusal::of(Name::Amount.name(), "stands beside a price"));
        }
        let amount = self.money(Name::Amount, amount)?;
        let lines =
            spread(item, quantity, amount).ok_or(Refusal::of(Name::Quantity.name(), "is 0"))?;
        self.lines.extend(lines.into_iter().filter(|line| line.quantity != 0));
        Ok(())
    }

    /// A number of pieces.
    pub(super) fn quantity(&self, text: &str) -> Result<i32, Refusal> {
        let number = decimal(text, 0, self.style);
        let number = number.map_err(|reason| Refusal::of(Name::Quantity.name(), reason))?;
        i32::try_from(number)
            .map_err(|_| Refusal::of(Name::Quantity.name(), "is too large a number"))
    }

    /// An amount of money.
    pub(super) fn money(&self, field: Name, text: &str) -> Result<i64, Refusal> {
        decimal(text, self.rules.decimals, self.style)
            .map_err(|reason| Refusal::of(field.name(), reason))
    }

    /// What the record of `cells` asks for.
    pub(super) fn finish(
        &mut self,
        cells: &Cells<'_>,
        source: Word,
        record: &Record,
        names: &mut Dictionary,
    ) -> Result<Vec<Change>, Refusal> {
        self.who.sort_unstable();
        self.who.dedup();
        match cells.get(Name::Op) {
            "" | "insert" => {}
            "retract" => {
                let key = self.key.ok_or(Refusal::of(Name::Id.name(), MISSING))?;
                return Ok(vec![Change::Retract { key }]);
            }
            "erase" if self.who.is_empty() => return Err(Refusal::of(Name::Who.name(), MISSING)),
            "erase" => return Ok(self.who.iter().copied().map(Change::Erase).collect()),
            _ => return Err(Refusal::of(Name::Op.name(), "is not insert, retract or erase")),
        }
        let at = self.instant(cells)?;
        let action = self.action(cells, names)?;
        let context = context(cells, names)?;
        let key = self.key.unwrap_or_else(|| self.content_key(source, record, names));
        Ok(vec![Change::Put { key, event: self.event(key, source, at, action, context) }])
    }

    /// The event of `key` with the identifiers at hand.
    pub(super) fn event(
        &self,
        key: u128,
        source: Word,
        at: EventTime,
        mut action: Action,
        context: Context,
    ) -> Event {
        let id = EventId(low(key));
        if let Action::Order { order, .. } = &mut action
            && *order == OrderId::default()
        {
            // An order without a number is the event itself.
            *order = OrderId(id.0);
        }
        Event { at, id, source, who: self.who.as_slice().into(), action, context }
    }

    /// When the record of `cells` happened.
    pub(super) fn instant(&mut self, cells: &Cells<'_>) -> Result<EventTime, Refusal> {
        let refusal = |reason| Refusal::of(Name::At.name(), reason);
        let at = self.times.read(cells.need(Name::At)?).map_err(refusal)?;
        match self.now {
            Some(now) if now.0.saturating_add(self.rules.future_max) < at.0 => {
                Err(refusal("lies too far ahead of the receiving clock"))
            }
            _ => Ok(at),
        }
    }

    /// The key of a record without an id: its content, and how often that was seen before.
    pub(super) fn content_key(
        &mut self,
        source: Word,
        record: &Record,
        names: &Dictionary,
    ) -> u128 {
        let (text, ends) = record.parts();
        // One field more or less, or a border moved, is another content.
        let shape = ends.iter().fold(0_u64, |shape, end| {
            dataflows::spread(shape ^ u64::try_from(*end).unwrap_or(u64::MAX)).wrapping_add(1)
        });
        let content = names.key(Tag::Content, source, text.as_bytes(), shape);
        if self.duplicates == Duplicates::Drop {
            return content;
        }
        let count = self.seen.entry(low(content)).or_default();
        *count += 1;
        match *count {
            1 => content,
            count => names.key(Tag::Content, source, &content.to_le_bytes(), count),
        }
    }

    /// What happened in the record of `cells`.
    fn action(&mut self, cells: &Cells<'_>, names: &mut Dictionary) -> Result<Action, Refusal> {
        let mut word = |name| learn(name, cells.need(name)?, names);
        Ok(match cells.need(Name::Action)? {
            "view" => Action::View(Item(word(Name::Item)?.0.get())),
            "add_to_cart" => Action::AddToCart(Item(word(Name::Item)?.0.get())),
            "remove_from_cart" => Action::RemoveFromCart(Item(word(Name::Item)?.0.get())),
            "search" => Action::Search(word(Name::Term)?),
            "page" => Action::Page(word(Name::Page)?),
            "identify" => {
                self.traits.sort_unstable();
                Action::Identify(self.traits.clone())
            }
            "order" => {
                let lines = self.take_lines(cells, names)?;
                if lines.is_empty() {
                    return Err(Refusal::of(Name::Lines.name(), MISSING));
                }
                Action::Order { order: order(cells, names)?.unwrap_or_default(), lines }
            }
            "refund" => {
                let lines = self.take_lines(cells, names)?;
                refund(order(cells, names)?, lines)?
            }
            "item" => {
                let item = Item(word(Name::Item)?.0.get());
                Action::Item(item, self.attributes(cells, names)?)
            }
            "link" => {
                let left = self.one_identifier(cells, Name::Left, names)?;
                Action::Link(left, self.one_identifier(cells, Name::Right, names)?)
            }
            "unlink" => {
                let left = self.one_identifier(cells, Name::Left, names)?;
                Action::Unlink(left, self.one_identifier(cells, Name::Right, names)?)
            }
            "consent" => {
                let purpose = word(Name::Purpose)?;
                Action::Consent(purpose, boolean(Name::Given, cells.need(Name::Given)?)?)
            }
            "day" => {
                let text = cells.need(Name::Day)?;
                Action::Day(day(text).map_err(|why| Refusal::of(Name::Day.name(), why))?)
            }
            "model" => return Err(Refusal::of(Name::Action.name(), "cannot come from a file")),
            _ => return Err(Refusal::of(Name::Action.name(), "is none of the known actions")),
        })
    }

    /// The lines at hand; the one of `item` where there are none.
    fn take_lines(
        &mut self,
        cells: &Cells<'_>,
        names: &mut Dictionary,
    ) -> Result<Vec<Line>, Refusal> {
        match cells.some(Name::Item) {
            Some(_) if !self.lines.is_empty() => {
                return Err(Refusal::of(Name::Item.name(), "stands beside lines"));
            }
            Some(item) => {
                let numbers = [Name::Quantity, Name::Price, Name::Amount];
                self.line(item, numbers.map(|name| cells.some(name)), names)?;
            }
            None => {}
        }
        Ok(self.lines.as_slice().to_vec())
    }

    /// What the catalogue says of an item.
    fn attributes(&self, cells: &Cells<'_>, names: &mut Dictionary) -> Result<Attributes, Refusal> {
        let price = cells.some(Name::Price).map(|text| self.money(Name::Price, text));
        let available = cells.some(Name::Available).map(|text| boolean(Name::Available, text));
        Ok(Attributes {
            name: some(cells, Name::Title, names)?,
            category: some(cells, Name::Category, names)?,
            brand: some(cells, Name::Brand, names)?,
            price: price.transpose()?.map(Money),
            available: available.transpose()?.unwrap_or(true),
        })
    }
}

/// A refund of `lines`, or of the whole `order`.
pub(super) fn refund(order: Option<OrderId>, lines: Vec<Line>) -> Result<Action, Refusal> {
    if lines.is_empty() && order.is_none() {
        return Err(Refusal::of(Name::Order.name(), "is missing, and so are lines"));
    }
    if lines.iter().any(|line| line.quantity <= 0) {
        return Err(Refusal::of(Name::Quantity.name(), "is not above 0 in a refund"));
    }
    Ok(Action::Refund { order, lines })
}

/// `amount` over `quantity` pieces, to the smallest unit; `None` over no piece.
fn spread(item: Item, quantity: i32, amount: i64) -> Option<[Line; 2]> {
    let sign = quantity.signum();
    let pieces = quantity.checked_abs().filter(|pieces| 0 < *pieces)?;
    let amount = amount.checked_mul(i64::from(sign))?;
    let low = amount.div_euclid(i64::from(pieces));
    let dearer = i32::try_from(amount.rem_euclid(i64::from(pieces))).ok()?;
    let line = |pieces: i32, price| Line { item, quantity: sign * pieces, price: Money(price) };
    Some([line(pieces - dearer, low), line(dearer, low.saturating_add(1))])
}

/// The order's number, if there is one.
pub(super) fn order(cells: &Cells<'_>, names: &mut Dictionary) -> Result<Option<OrderId>, Refusal> {
    Ok(some(cells, Name::Order, names)?.map(|word| OrderId(word.0.get())))
}

/// Where and how the record of `cells` happened.
pub(super) fn context(cells: &Cells<'_>, names: &mut Dictionary) -> Result<Context, Refusal> {
    Ok(Context {
        session: some(cells, Name::Session, names)?.map(|word| SessionKey(word.0)),
        device: some(cells, Name::Device, names)?,
        country: some(cells, Name::Country, names)?,
        channel: some(cells, Name::Channel, names)?,
    })
}

/// The word of a field, if it is there.
fn some(cells: &Cells<'_>, name: Name, names: &mut Dictionary) -> Result<Option<Word>, Refusal> {
    cells.some(name).map(|text| learn(name, text, names)).transpose()
}

/// The word of `text`, which stands in the field `name`.
pub(super) fn learn(name: Name, text: &str, names: &mut Dictionary) -> Result<Word, Refusal> {
    names.learn(text).map_err(|_| Refusal::of(name.name(), COLLISION))
}

/// Kind and value of `kind:value`.
pub(super) fn pair(field: Name, text: &str) -> Result<(&str, &str), Refusal> {
    text.split_once(':').ok_or(Refusal::of(field.name(), "is not written as kind:value"))
}

/// Yes or no.
fn boolean(field: Name, text: &str) -> Result<bool, Refusal> {
    match text {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(Refusal::of(field.name(), "is not true or false")),
    }
}
