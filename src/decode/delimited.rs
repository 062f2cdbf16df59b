//! Delimited: how is any delimited file read, by what the shop's file says of its columns?
//!
//! Columns become fields of the canonical format, and from there on nothing is different.
//! What is said here beyond that is what exports of shops need: a prefix that marks a cancelled
//! invoice, requirements whose failure is a reject, names of items beside their codes, and rows
//! that are a whole basket or a whole session.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use dataflows::{Action, Attributes, Context, Event, EventId, EventTime, Item, Word};
use hashbrown::HashMap;
use jiff::tz::TimeZone;

use super::fields::Name;
use super::number::Style;
use super::standard::{Cells, MISSING, Standard, context, learn};
use super::time::{TimeFormat, TimeReader};
use super::{Change, Error, Refusal};
use crate::names::{Dictionary, Tag, low};
use crate::source::{Record, Split};

/// What a row is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Rows {
    /// One event.
    #[default]
    Event,
    /// One order; the cells beyond the named columns are its items, a piece each.
    Basket,
    /// One session; the cells beyond the named columns are the items seen, a second apart.
    Session,
}

/// Which column holds identifiers of a kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WhoColumn {
    /// The kind.
    pub kind: String,
    /// The column.
    pub column: String,
    /// What is put before the value, so that numbers of two shops differ.
    pub prefix: String,
    /// What is cut off the end of the value, such as the `.0` of a number that was a float once.
    pub strip: String,
}

/// What marks a row as a cancellation, and what becomes of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cancellation {
    /// The column that shows it.
    pub column: String,
    /// What its value begins with.
    pub prefix: String,
    /// Whether the row is a refund, to be matched by person, item and quantity; else a reject.
    pub refund: bool,
}

/// Something that a row cannot do without.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Requirement {
    /// A field.
    Field(Name),
    /// An identifier of a kind, by its name and its place among the kinds.
    Kind(String, u8),
}

/// What the shop's file says of the columns of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// How a line falls into fields.
    pub split: Split,
    /// The names of the columns, where no header names them.
    pub columns: Option<Vec<String>>,
    /// Which column each field comes from.
    pub fields: Vec<(Name, String)>,
    /// Fields that are the same in all rows.
    pub constants: Vec<(Name, String)>,
    /// Which columns hold identifiers.
    pub who: Vec<WhoColumn>,
    /// How instants are written, and where local times are local.
    pub time: (TimeFormat, TimeZone),
    /// How numbers are written.
    pub style: Style,
    /// What the source calls an action, and its name here; empty where the names are the same.
    pub actions: BTreeMap<String, String>,
    /// What marks a cancellation.
    pub cancellation: Option<Cancellation>,
    /// What a row cannot do without.
    pub require: Vec<Requirement>,
    /// The least quantity of a row that is no cancellation.
    pub quantity_min: Option<i32>,
    /// The least price of a row that is no cancellation, in the shop's smallest unit.
    pub price_min: Option<i64>,
    /// The column with the item's name, which makes a catalogue event when it is new.
    pub item_name: Option<String>,
    /// What a row is.
    pub rows: Rows,
}

impl Mapping {
    /// Whether a line's number stands for its order or session, for want of a column.
    pub(super) fn numbers_lines(&self) -> bool {
        let wanted = match self.rows {
            Rows::Event => return false,
            Rows::Basket => Name::Order,
            Rows::Session => Name::Session,
        };
        !self.fields.iter().any(|(name, _)| *name == wanted)
    }

    /// Tells `standard` how the source writes instants and numbers.
    pub(super) fn prepare(&self, standard: &mut Standard) {
        standard.times = TimeReader::new(self.time.0.clone(), self.time.1.clone());
        standard.style = self.style;
    }
}

/// How many cancellations a source had, whatever became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cancelled {
    /// Rows that are marked as one.
    pub rows: u64,
    /// Distinct order numbers on them.
    pub orders: usize,
}

/// A mapping at work.
#[derive(Debug)]
pub(super) struct Mapped {
    layout: Layout,
    seen: Seen,
}

/// A mapping, and where its columns are.
#[derive(Debug)]
struct Layout {
    mapping: Mapping,
    places: Places,
}

/// What has been seen of a source so far.
#[derive(Debug, Default)]
struct Seen {
    /// The name of each item as it was last told. A hash table because every row asks it.
    told: HashMap<Item, Word>,
    cancelled: u64,
    cancelled_orders: BTreeSet<Word>,
    /// The place of the row at hand as text, kept for its allocation.
    place: String,
}

/// Where the columns of a mapping are.
#[derive(Debug, Default)]
struct Places {
    columns: usize,
    fields: Vec<(Name, usize)>,
    who: Vec<usize>,
    cancellation: Option<usize>,
    item_name: Option<usize>,
}

impl Mapped {
    /// A mapping whose columns have not been found yet, unless it names them itself.
    ///
    /// # Errors
    ///
    /// A column of the mapping is not among those that it names itself.
    pub(super) fn new(mapping: Mapping, source: &str) -> Result<Mapped, Error> {
        let columns = mapping.columns.clone();
        let layout = Layout { mapping, places: Places::default() };
        let mut mapped = Mapped { layout, seen: Seen::default() };
        if let Some(columns) = columns {
            let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
            mapped.layout.find(source, &columns)?;
        }
        Ok(mapped)
    }

    /// Whether the first record of a file names its columns.
    pub(super) fn has_header(&self) -> bool {
        self.layout.mapping.columns.is_none()
    }

    /// How many cancellations there were.
    pub(super) fn cancelled(&self) -> Cancelled {
        Cancelled { rows: self.seen.cancelled, orders: self.seen.cancelled_orders.len() }
    }

    /// Takes the names of the columns from the first record of `file`.
    pub(super) fn set_header(&mut self, file: &str, header: &Record) -> Result<(), Error> {
        let columns: Vec<&str> = header.iter().map(str::trim_ascii).collect();
        self.layout.find(file, &columns)
    }

    /// What `record` of `file` asks for.
    pub(super) fn decode(
        &mut self,
        file: &str,
        record: &Record,
        standard: &mut Standard,
        names: &mut Dictionary,
    ) -> Result<Vec<Change>, Refusal> {
        let Mapped { layout, seen } = self;
        let mut cells = layout.cells(record)?;
        let source = standard.begin_key(&cells, names)?;
        if layout.mapping.rows != Rows::Event {
            seen.place.clear();
            _ = write!(seen.place, "{file}:{}", record.line);
            let place = seen.place.as_bytes();
            standard.key.get_or_insert_with(|| names.key(Tag::Place, source, place, 0));
        }
        let cancelled = layout.cancels(record);
        if cancelled {
            seen.cancelled += 1;
            let order = cells.some(Name::Order).map(|order| names.word_of(order));
            seen.cancelled_orders.extend(order);
        }
        layout.identify(record, standard, names)?;
        layout.require(&cells, standard)?;
        match layout.mapping.rows {
            Rows::Basket => layout.basket(&mut cells, source, record, standard, names),
            Rows::Session => layout.session(&cells, seen, source, record, standard, names),
            Rows::Event if cancelled => layout.cancel(&mut cells, source, record, standard, names),
            Rows::Event => layout.event(&mut cells, seen, source, record, standard, names),
        }
    }
}

impl Layout {
    /// Finds the columns of the mapping among `columns`.
    fn find(&mut self, file: &str, columns: &[&str]) -> Result<(), Error> {
        let place = |wanted: &String| {
            let mut found = columns.iter().enumerate().filter(|(_, column)| *column == wanted);
            let (file, column) = (file.to_owned(), wanted.clone());
            match (found.next(), found.next()) {
                (Some((place, _)), None) => Ok(place),
                (Some(_), Some(_)) => Err(Error::DoubleColumn { file, column }),
                (None, _) => {
                    Err(Error::MissingColumn { file, column, columns: columns.join(", ") })
                }
            }
        };
        let mapping = &self.mapping;
        let fields = mapping.fields.iter().map(|(name, column)| Ok((*name, place(column)?)));
        let cancellation = mapping.cancellation.as_ref().map(|mark| place(&mark.column));
        self.places = Places {
            columns: columns.len(),
            fields: fields.collect::<Result<_, Error>>()?,
            who: mapping.who.iter().map(|who| place(&who.column)).collect::<Result<_, _>>()?,
            cancellation: cancellation.transpose()?,
            item_name: mapping.item_name.as_ref().map(place).transpose()?,
        };
        Ok(())
    }

    /// The fields of a row.
    fn cells<'a>(&'a self, record: &'a Record) -> Result<Cells<'a>, Refusal> {
        let columns = self.places.columns;
        if record.len() < columns {
            return Err(Refusal::record("has fewer cells than the file has columns"));
        }
        if self.mapping.rows == Rows::Event && columns < record.len() {
            return Err(Refusal::record("has more cells than the file has columns"));
        }
        let mut cells = Cells::new();
        for (name, text) in &self.mapping.constants {
            cells.set(*name, text.as_str());
        }
        for (name, place) in &self.places.fields {
            cells.set(*name, record.get(*place).unwrap_or_default());
        }
        Ok(cells)
    }

    /// Adds the identifiers of the row.
    fn identify(
        &self,
        record: &Record,
        standard: &mut Standard,
        names: &mut Dictionary,
    ) -> Result<(), Refusal> {
        for (who, place) in self.mapping.who.iter().zip(&self.places.who) {
            let value = record.get(*place).unwrap_or_default().trim_ascii();
            let value = value.strip_suffix(who.strip.as_str()).unwrap_or(value);
            if who.prefix.is_empty() || value.is_empty() {
                standard.identify(&who.kind, value, names)?;
            } else {
                standard.identify(&who.kind, &format!("{}{value}", who.prefix), names)?;
            }
        }
        Ok(())
    }

    /// Whether the row is marked as a cancellation.
    fn cancels(&self, record: &Record) -> bool {
        let (Some(mark), Some(place)) = (&self.mapping.cancellation, self.places.cancellation)
        else {
            return false;
        };
        let value = record.get(place).unwrap_or_default();
        value.trim_ascii().starts_with(mark.prefix.as_str())
    }

    /// Refuses a row that lacks what the shop's file requires.
    fn require(&self, cells: &Cells<'_>, standard: &Standard) -> Result<(), Refusal> {
        for requirement in &self.mapping.require {
            match requirement {
                Requirement::Field(name) if cells.some(*name).is_none() => {
                    return Err(Refusal::of(name.name(), MISSING));
                }
                Requirement::Kind(kind, place)
                    if !standard.who.iter().any(|who| who.kind().0 == *place) =>
                {
                    return Err(Refusal::of(kind.clone(), MISSING));
                }
                Requirement::Field(_) | Requirement::Kind(..) => {}
            }
        }
        Ok(())
    }

    /// A row that is one event.
    fn event<'a>(
        &'a self,
        cells: &mut Cells<'a>,
        seen: &mut Seen,
        source: Word,
        record: &Record,
        standard: &mut Standard,
        names: &mut Dictionary,
    ) -> Result<Vec<Change>, Refusal> {
        let mapping = &self.mapping;
        if !mapping.actions.is_empty() {
            let unknown = "is none of the actions that the shop's file lists";
            let action = mapping.actions.get(cells.get(Name::Action));
            let action = action.ok_or(Refusal::of(Name::Action.name(), unknown))?;
            cells.set(Name::Action, action.as_str());
        }
        if let (Some(least), Some(text)) = (mapping.quantity_min, cells.some(Name::Quantity))
            && standard.quantity(text)? < least
        {
            let reason = "is below the least that the shop's file allows";
            return Err(Refusal::of(Name::Quantity.name(), reason));
        }
        if let (Some(least), Some(text)) = (mapping.price_min, cells.some(Name::Price))
            && standard.money(Name::Price, text)? < least
        {
            let reason = "is below the least that the shop's file allows";
            return Err(Refusal::of(Name::Price.name(), reason));
        }
        let mut changes = standard.finish(cells, source, record, names)?;
        if let (Some(place), Some(code)) = (self.places.item_name, cells.some(Name::Item)) {
            let name = record.get(place).unwrap_or_default().trim_ascii();
            let at = standard.instant(cells)?;
            changes.extend(tell(&mut seen.told, [code, name], source, at, names)?);
        }
        Ok(changes)
    }

    /// A row that cancels: a refund that names no order, with its quantity above 0.
    fn cancel(
        &self,
        cells: &mut Cells<'_>,
        source: Word,
        record: &Record,
        standard: &mut Standard,
        names: &mut Dictionary,
    ) -> Result<Vec<Change>, Refusal> {
        if let Some(mark) = self.mapping.cancellation.as_ref().filter(|mark| !mark.refund) {
            let reason = "marks a cancellation, which this source leaves out";
            return Err(Refusal::of(mark.column.clone(), reason));
        }
        let item = cells.some(Name::Item).ok_or(Refusal::of(Name::Item.name(), MISSING))?;
        let numbers = [Name::Quantity, Name::Price, Name::Amount];
        standard.line(item, numbers.map(|name| cells.some(name)), names)?;
        for line in &mut standard.lines {
            // Sources differ in which of the two carries the sign of a cancellation.
            line.quantity = line.quantity.saturating_abs();
            line.price.0 = line.price.0.saturating_abs();
        }
        cells.set(Name::Action, "refund");
        for name in [Name::Item, Name::Order] {
            cells.set(name, "");
        }
        standard.finish(cells, source, record, names)
    }

    /// The cells beyond the named columns.
    fn items<'r>(&self, record: &'r Record) -> impl Iterator<Item = &'r str> + use<'r> {
        let beyond = record.iter().skip(self.places.columns);
        beyond.map(str::trim_ascii).filter(|item| !item.is_empty())
    }

    /// A row that is one order.
    fn basket(
        &self,
        cells: &mut Cells<'_>,
        source: Word,
        record: &Record,
        standard: &mut Standard,
        names: &mut Dictionary,
    ) -> Result<Vec<Change>, Refusal> {
        for item in self.items(record) {
            standard.line(item, [None; 3], names)?;
        }
        cells.set(Name::Action, "order");
        if cells.some(Name::Order).is_none() {
            cells.set(Name::Order, record.line.to_string());
        }
        standard.finish(cells, source, record, names)
    }

    /// A row that is one session.
    fn session(
        &self,
        cells: &Cells<'_>,
        seen: &Seen,
        source: Word,
        record: &Record,
        standard: &mut Standard,
        names: &mut Dictionary,
    ) -> Result<Vec<Change>, Refusal> {
        standard.who.sort_unstable();
        standard.who.dedup();
        let start = standard.instant(cells)?;
        let mut context = context(cells, names)?;
        if context.session.is_none() {
            let line = learn(Name::Session, &record.line.to_string(), names)?;
            context.session = Some(dataflows::SessionKey(line.0));
        }
        let mut changes = Vec::new();
        for (place, item) in (0_u32..).zip(self.items(record)) {
            let at = EventTime(start.0.saturating_add(i64::from(place) * 1_000_000));
            let place = u64::from(place) + 1;
            let key = names.key(Tag::Place, source, seen.place.as_bytes(), place);
            let action = Action::View(Item(learn(Name::Item, item, names)?.0.get()));
            changes
                .push(Change::Put { key, event: standard.event(key, source, at, action, context) });
        }
        if changes.is_empty() {
            return Err(Refusal::of(Name::Item.name(), MISSING));
        }
        Ok(changes)
    }
}

/// The catalogue event that tells the name of an item, if it was told another one last.
fn tell(
    told: &mut HashMap<Item, Word>,
    [code, name]: [&str; 2],
    source: Word,
    at: EventTime,
    names: &mut Dictionary,
) -> Result<Option<Change>, Refusal> {
    if name.is_empty() {
        return Ok(None);
    }
    let item = Item(learn(Name::Item, code, names)?.0.get());
    let name = learn(Name::Title, name, names)?;
    if told.insert(item, name) == Some(name) {
        return Ok(None);
    }
    let key = names.key(Tag::Item, source, code.as_bytes(), 0);
    let attributes = Attributes { name: Some(name), available: true, ..Attributes::default() };
    let event = Event {
        at,
        id: EventId(low(key)),
        source,
        who: Box::default(),
        action: Action::Item(item, attributes),
        context: Context::default(),
    };
    Ok(Some(Change::Put { key, event }))
}
