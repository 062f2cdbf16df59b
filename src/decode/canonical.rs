//! Canonical: how is our own format read, as CSV and as NDJSON?
//!
//! What the fields mean is in [`FIELDS`](super::fields::FIELDS).

use std::borrow::Cow;
use std::fmt;

use serde::Deserializer;
use serde::de::{Deserialize, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::fields::{FIELDS_COUNT, Name};
use super::standard::{Cells, Standard, learn, pair};
use super::{Change, Error, Refusal};
use crate::names::Dictionary;
use crate::source::Record;

/// Which field each column of a CSV file holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Columns(Vec<Name>);

impl Columns {
    /// Takes the names of the columns from the first record of `file`.
    ///
    /// # Errors
    ///
    /// A column is not a field, or is there twice.
    pub fn set(&mut self, file: &str, header: &Record) -> Result<(), Error> {
        self.0.clear();
        for column in header.iter() {
            let column = column.trim_ascii();
            let (file, name) = (file.to_owned(), column.to_owned());
            match Name::of(column) {
                None => return Err(Error::UnknownColumn { file, column: name }),
                Some(known) if self.0.contains(&known) => {
                    return Err(Error::DoubleColumn { file, column: name });
                }
                Some(known) => self.0.push(known),
            }
        }
        Ok(())
    }
}

/// What a row of a CSV file asks for.
pub(super) fn csv(
    columns: &Columns,
    record: &Record,
    standard: &mut Standard,
    names: &mut Dictionary,
) -> Result<Vec<Change>, Refusal> {
    if record.len() != columns.0.len() {
        return Err(Refusal::record("does not have as many cells as the file has columns"));
    }
    let mut cells = Cells::new();
    for (name, text) in columns.0.iter().zip(record.iter()) {
        cells.set(*name, text);
    }
    let source = standard.begin_key(&cells, names)?;
    for identifier in cells.get(Name::Who).split_ascii_whitespace() {
        let (kind, value) = pair(Name::Who, identifier)?;
        standard.identify(kind, value, names)?;
    }
    for line in parts(cells.get(Name::Lines)) {
        let (rest, price) = after(line, '@');
        let (item, quantity) = after(rest, '*');
        standard.line(item.trim_ascii(), [quantity, price, None], names)?;
    }
    for told in parts(cells.get(Name::Traits)) {
        let wrong = Refusal::of(Name::Traits.name(), "is not written as name=value");
        let (name, value) = told.split_once('=').ok_or(wrong)?;
        let name = learn(Name::Traits, name.trim_ascii(), names)?;
        standard.traits.push((name, learn(Name::Traits, value.trim_ascii(), names)?));
    }
    standard.finish(&cells, source, record, names)
}

/// The texts between semicolons.
fn parts(text: &str) -> impl Iterator<Item = &str> {
    text.split(';').map(str::trim_ascii).filter(|part| !part.is_empty())
}

/// What stands before the last `mark`, and behind it.
fn after(text: &str, mark: char) -> (&str, Option<&str>) {
    match text.rsplit_once(mark) {
        Some((before, behind)) => (before, Some(behind)),
        None => (text, None),
    }
}

/// What a line of NDJSON asks for.
pub(super) fn ndjson(
    record: &Record,
    standard: &mut Standard,
    names: &mut Dictionary,
) -> Result<Vec<Change>, Refusal> {
    let line = record.get(0).unwrap_or_default();
    let wrong = |_| Refusal::record("is not a JSON object");
    let raw: Raw<'_> = serde_json::from_str(line).map_err(wrong)?;
    let mut cells = Cells::new();
    for name in [Name::Id, Name::Source] {
        cells.set(name, raw.scalar(name)?);
    }
    let source = standard.begin_key(&cells, names)?;
    match raw.fault {
        Some(Fault::Unknown(key)) => {
            let named = plain(&key).then(|| Cow::Owned(key.into_owned()));
            let reason = "is no field of the canonical format";
            return Err(Refusal { reason, field: named, key: None });
        }
        Some(Fault::Twice(name)) => return Err(Refusal::of(name.name(), "is given twice")),
        None => {}
    }
    for name in Name::ALL {
        if !matches!(name, Name::Who | Name::Lines | Name::Traits | Name::Id | Name::Source) {
            cells.set(name, raw.scalar(name)?);
        }
    }
    if let Some(who) = raw.get(Name::Who) {
        let who: Pairs<'_> = parse(Name::Who, who, "is not an object from kind to value")?;
        for (kind, values) in &who.0 {
            for value in several(values)? {
                standard.identify(kind, &text(Name::Who, value)?, names)?;
            }
        }
    }
    if let Some(lines) = raw.get(Name::Lines) {
        let lines: Vec<RawLine<'_>> =
            parse(Name::Lines, lines, "is not a list of objects of item, quantity, price, amount")?;
        for line in lines {
            ndjson_line(&line, standard, names)?;
        }
    }
    if let Some(traits) = raw.get(Name::Traits) {
        let traits: Pairs<'_> = parse(Name::Traits, traits, "is not an object from name to value")?;
        for (name, value) in &traits.0 {
            let name = learn(Name::Traits, name, names)?;
            let value = text(Name::Traits, value)?;
            standard.traits.push((name, learn(Name::Traits, &value, names)?));
        }
    }
    standard.finish(&cells, source, record, names)
}

/// One line of an order in NDJSON.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct RawLine<'a> {
    #[serde(borrow)]
    item: &'a RawValue,
    #[serde(borrow)]
    quantity: Option<&'a RawValue>,
    #[serde(borrow)]
    price: Option<&'a RawValue>,
    #[serde(borrow)]
    amount: Option<&'a RawValue>,
}

/// Adds a line of NDJSON to the record at hand.
fn ndjson_line(
    line: &RawLine<'_>,
    standard: &mut Standard,
    names: &mut Dictionary,
) -> Result<(), Refusal> {
    let item = text(Name::Lines, line.item)?;
    let numbers = [line.quantity, line.price, line.amount];
    let [quantity, price, amount] = numbers.map(|raw| raw.map(|raw| text(Name::Lines, raw)));
    let [quantity, price, amount] =
        [quantity.transpose()?, price.transpose()?, amount.transpose()?];
    let numbers = [quantity.as_deref(), price.as_deref(), amount.as_deref()];
    standard.line(item.trim_ascii(), numbers, names)
}

/// A JSON object, of whose values only the borders have been read.
struct Raw<'a> {
    values: [Option<&'a RawValue>; FIELDS_COUNT],
    fault: Option<Fault<'a>>,
}

/// What is wrong with the keys of an object.
enum Fault<'a> {
    Unknown(Cow<'a, str>),
    Twice(Name),
}

impl<'a> Raw<'a> {
    /// The value of `name`; `null` counts as none.
    #[expect(clippy::as_conversions, clippy::indexing_slicing, reason = "as many as fields")]
    fn get(&self, name: Name) -> Option<&'a RawValue> {
        self.values[name as usize].filter(|raw| raw.get() != "null")
    }

    /// The text of `name`, which holds a single value.
    fn scalar(&self, name: Name) -> Result<Cow<'a, str>, Refusal> {
        self.get(name).map_or(Ok(Cow::Borrowed("")), |raw| text(name, raw))
    }
}

impl<'de> Deserialize<'de> for Raw<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(RawVisitor)
    }
}

/// Reads a [`Raw`]; a wrong key is noted and passed over, so that the id is read all the same.
struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    #[expect(clippy::as_conversions, clippy::indexing_slicing, reason = "as many as fields")]
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Raw<'de>, A::Error> {
        let mut raw = Raw { values: [None; FIELDS_COUNT], fault: None };
        while let Some(key) = map.next_key::<Key<'de>>()? {
            let value: &'de RawValue = map.next_value()?;
            let fault = match Name::of(&key.0) {
                None => Fault::Unknown(key.0),
                Some(name) if raw.values[name as usize].is_some() => Fault::Twice(name),
                Some(name) => {
                    raw.values[name as usize] = Some(value);
                    continue;
                }
            };
            raw.fault.get_or_insert(fault);
        }
        Ok(raw)
    }
}

/// A text of a JSON document, borrowed where nothing in it is escaped.
#[derive(serde::Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

/// The keys and values of a JSON object, in their order.
struct Pairs<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Pairs<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(PairsVisitor)
    }
}

/// Reads [`Pairs`].
struct PairsVisitor;

impl<'de> Visitor<'de> for PairsVisitor {
    type Value = Pairs<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs<'de>, A::Error> {
        let mut pairs = Vec::new();
        while let Some((key, value)) = map.next_entry::<Key<'de>, &'de RawValue>()? {
            pairs.push((key.0, value));
        }
        Ok(Pairs(pairs))
    }
}

/// The text of a JSON text, number or boolean: a number's is the digits that it is written with.
fn text<'a>(field: Name, raw: &'a RawValue) -> Result<Cow<'a, str>, Refusal> {
    let json = raw.get();
    match json.as_bytes().first() {
        Some(b'"') => {
            let key: Key<'a> = parse(field, raw, "is not a text")?;
            Ok(key.0)
        }
        Some(b'{' | b'[') | None => Err(Refusal::of(field.name(), "is not a single value")),
        Some(_) if json == "null" => Ok(Cow::Borrowed("")),
        Some(_) => Ok(Cow::Borrowed(json)),
    }
}

/// The values of a list, or the one value that is no list.
fn several(raw: &RawValue) -> Result<Vec<&RawValue>, Refusal> {
    if !raw.get().starts_with('[') {
        return Ok(vec![raw]);
    }
    parse(Name::Who, raw, "is not a list of values")
}

/// What a JSON document says, or `reason`.
fn parse<'a, T: Deserialize<'a>>(
    field: Name,
    raw: &'a RawValue,
    reason: &'static str,
) -> Result<T, Refusal> {
    serde_json::from_str(raw.get()).map_err(|_| Refusal::of(field.name(), reason))
}

/// Whether a key looks like a name and not like somebody's data.
fn plain(key: &str) -> bool {
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    key.len() <= 40 && key.bytes().all(letter) && key.bytes().any(|byte| byte.is_ascii_alphabetic())
}
