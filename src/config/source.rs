//! Source: what does an entry `[[source]]` of a shop's file mean?

use std::path::PathBuf;

use jiff::Timestamp;
use jiff::fmt::strtime;
use toml::{Spanned, Value};

use super::file::{ShopFile, SourceTable, Text};
use super::settings::{number, one_of, zone};
use super::{Fault, Place, Shop, fault, suggestion};
use crate::decode::fields::{ACTIONS, FIELDS, Name};
use crate::decode::number::{Style, decimal};
use crate::decode::time::{TimeFormat, TimeReader};
use crate::decode::{
    Cancellation, Duplicates, Form, Mapping, Requirement, Rows, SourceConfig, WhoColumn,
};
use crate::source::Split;

/// The sources of `file`.
pub(super) fn sources(
    file: &ShopFile,
    shop: &Shop,
    place: &Place<'_>,
) -> Result<Vec<SourceConfig>, Fault> {
    let mut sources: Vec<SourceConfig> = Vec::new();
    for spanned in &file.source {
        let table = spanned.get_ref();
        let name = table.name.as_ref().map_or("events", |name| name.get_ref());
        if sources.iter().any(|known| known.name == name) {
            let span = table.name.as_ref().map_or(spanned.span(), Spanned::span);
            let way = "give each source its own `name`: it is part of the identity of its events";
            return fault(span, format!("two sources are named `{name}`; {way}"));
        }
        let (files, roots) = files(table, place)?;
        let form = form(table, spanned, shop)?;
        let duplicates = match &table.duplicates {
            Some(text) => one_of(
                text,
                "value of `duplicates`",
                &[("keep", Duplicates::Keep), ("drop", Duplicates::Drop)],
            )?,
            None => Duplicates::Keep,
        };
        sources.push(SourceConfig { name: name.to_owned(), files, roots, form, duplicates });
    }
    Ok(sources)
}

/// The patterns of a source, complete, and what is cut off the names of its files.
fn files(table: &SourceTable, place: &Place<'_>) -> Result<(Vec<String>, Vec<PathBuf>), Fault> {
    let span = table.files.span();
    let patterns: Vec<&str> = match table.files.get_ref() {
        Value::String(pattern) => vec![pattern],
        Value::Array(list) => list.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let given = table.files.get_ref().as_array().map_or(1, Vec::len);
    if patterns.is_empty() || patterns.len() != given {
        return fault(span, "`files` is a pattern of file names, or a list of patterns");
    }
    let mut roots = vec![place.folder.clone()];
    let mut complete = Vec::new();
    for pattern in patterns {
        let (expanded, value) =
            expand(pattern, place).or_else(|message| fault(span.clone(), message))?;
        roots.extend(value.map(PathBuf::from));
        let folder = glob::Pattern::escape(&place.folder.display().to_string());
        let relative = !std::path::Path::new(&expanded).is_absolute() && !folder.is_empty();
        complete.push(if relative { format!("{folder}/{expanded}") } else { expanded });
    }
    Ok((complete, roots))
}

/// `pattern` with the variables of the environment in place of `${NAME}`, and the value of the
/// variable that it begins with.
fn expand(pattern: &str, place: &Place<'_>) -> Result<(String, Option<String>), String> {
    let mut expanded = String::new();
    let mut first = None;
    let mut rest = pattern;
    while let Some((before, behind)) = rest.split_once("${") {
        let (name, after) = behind.split_once('}').ok_or("a `${` is not closed by a `}`")?;
        let value = (place.environment)(name).filter(|value| !value.is_empty());
        let value = value.ok_or_else(|| {
            format!("the environment has no variable `{name}`; set it to the folder that is meant")
        })?;
        expanded.push_str(before);
        expanded.push_str(&glob::Pattern::escape(&value));
        if pattern.starts_with("${") {
            first.get_or_insert(value);
        }
        rest = after;
    }
    expanded.push_str(rest);
    Ok((expanded, first))
}

/// How the records of a source are written.
fn form(table: &SourceTable, whole: &Spanned<SourceTable>, shop: &Shop) -> Result<Form, Fault> {
    let mapped = !table.fields.is_empty()
        || !table.constants.is_empty()
        || !table.who.is_empty()
        || table.rows.is_some()
        || table.columns.is_some()
        || table.at.is_some();
    let known = [("csv", 0), ("ndjson", 1), ("delimited", 2)];
    let chosen = match &table.format {
        Some(format) => one_of(format, "format", &known)?,
        None if mapped => 2,
        None => {
            let files = table.files.get_ref();
            let first = files.as_str().or(files.get(0).and_then(Value::as_str)).unwrap_or("");
            let ending = first.strip_suffix(".gz").unwrap_or(first);
            match ending.rsplit_once('.').map(|(_, ending)| ending) {
                Some("csv") => 0,
                Some("ndjson" | "jsonl" | "json") => 1,
                _ => {
                    let way = "give it a `format`: csv, ndjson or delimited";
                    return fault(table.files.span(), format!("the format cannot be told; {way}"));
                }
            }
        }
    };
    match chosen {
        2 => Ok(Form::Delimited(Box::new(mapping(table, whole, shop)?))),
        _ if mapped => {
            let way = "`format = \"delimited\"` maps columns; csv and ndjson name the fields";
            fault(whole.span(), format!("columns are mapped, but the format is our own; {way}"))
        }
        0 => Ok(Form::Csv),
        _ => Ok(Form::Ndjson),
    }
}

/// What is said of the columns of a source.
fn mapping(
    table: &SourceTable,
    whole: &Spanned<SourceTable>,
    shop: &Shop,
) -> Result<Mapping, Fault> {
    let rows = [("event", Rows::Event), ("basket", Rows::Basket), ("session", Rows::Session)];
    let rows =
        table.rows.as_ref().map_or(Ok(Rows::Event), |name| one_of(name, "kind of row", &rows))?;
    let style = style(table)?;
    let decimals = shop.decimals;
    let mut mapping = Mapping {
        split: split(table)?,
        columns: table.columns.as_ref().map(|columns| columns.get_ref().clone()),
        fields: Vec::new(),
        constants: Vec::new(),
        who: who(table, shop)?,
        time: (TimeFormat::Rfc3339, shop.zone.clone()),
        style,
        actions: actions(table)?,
        cancellation: cancellation(table)?,
        require: table
            .require
            .iter()
            .map(|name| requirement(name, shop))
            .collect::<Result<_, _>>()?,
        quantity_min: table
            .quantity_min
            .as_ref()
            .map(|least| number(least, 0..=1 << 30))
            .transpose()?,
        price_min: match &table.price_min {
            Some(least) => match decimal(least.get_ref(), decimals, Style::PLAIN) {
                Ok(least) => Some(least),
                Err(reason) => return fault(least.span(), format!("`price_min` {reason}")),
            },
            None => None,
        },
        item_name: table.item_name.as_ref().map(|column| column.get_ref().clone()),
        rows,
    };
    if rows != Rows::Event {
        // A row without a header has only the columns that are named; all others are items.
        mapping.columns.get_or_insert_default();
    }
    for (field, column) in &table.fields {
        mapping.fields.push((name_of(field)?, column.get_ref().clone()));
    }
    for (field, text) in &table.constants {
        let name = name_of(field)?;
        if name == Name::At
            && let Err(reason) = TimeReader::rfc3339().read(text.get_ref())
        {
            return fault(text.span(), format!("the constant `at` {reason}"));
        }
        mapping.constants.push((name, text.get_ref().clone()));
    }
    if let Some(at) = &table.at {
        let at = at.get_ref();
        mapping.fields.push((Name::At, at.column.clone()));
        if let Some(format) = &at.format {
            mapping.time.0 = time_format(format)?;
        }
        if let Some(name) = &at.zone {
            mapping.time.1 = zone(name)?;
        }
    }
    complete(&mapping, whole)?;
    Ok(mapping)
}

/// Refuses a mapping in which no row could ever be accepted, or that says a thing twice.
fn complete(mapping: &Mapping, whole: &Spanned<SourceTable>) -> Result<(), Fault> {
    let sources = |name: Name| {
        let fields = mapping.fields.iter().filter(|(field, _)| *field == name).count();
        fields + mapping.constants.iter().filter(|(field, _)| *field == name).count()
    };
    for name in Name::ALL {
        if 1 < sources(name) {
            let name = name.name();
            return fault(whole.span(), format!("the field `{name}` has more than one origin"));
        }
    }
    let mut needed = vec![(Name::At, "`at = { column = … }`, or a constant `at`")];
    if mapping.rows == Rows::Event {
        needed.push((Name::Action, "a column in `fields`, or a constant `action`"));
    }
    for (name, way) in needed {
        if sources(name) == 0 {
            let name = name.name();
            return fault(whole.span(), format!("the source says nothing of `{name}`; give {way}"));
        }
    }
    Ok(())
}

/// The field of the canonical format that is named.
fn name_of(field: &Text) -> Result<Name, Fault> {
    let given = field.get_ref();
    let apart = |way: &str| fault(field.span(), format!("`{given}` is not a single cell; {way}"));
    match Name::of(given) {
        Some(Name::Who) => apart("use `who.<kind>`"),
        Some(Name::Lines) => apart("use `item`, `quantity` and `price`, or `rows = \"basket\"`"),
        Some(Name::Traits) => apart("such a file is best written in the canonical format"),
        Some(name) => Ok(name),
        None => {
            let known: Vec<&str> = FIELDS.iter().map(|field| field.name).collect();
            let meant = suggestion(given, &known);
            let way = "`affluent schema` lists the fields";
            fault(field.span(), format!("`{given}` is no field; {way}{meant}"))
        }
    }
}

/// How a line falls into fields.
fn split(table: &SourceTable) -> Result<Split, Fault> {
    let quotes = table.quotes.unwrap_or(true);
    let at = |byte: u8| if quotes { Split::Quoted(byte) } else { Split::Plain(byte) };
    let Some(delimiter) = &table.delimiter else { return Ok(at(b',')) };
    match delimiter.get_ref().as_bytes() {
        b"whitespace" => Ok(Split::Whitespace),
        b"tab" => Ok(at(b'\t')),
        [byte] if byte.is_ascii() && !matches!(byte, b'"' | b'\n' | b'\r') => Ok(at(*byte)),
        _ => fault(
            delimiter.span(),
            "a delimiter is one ASCII character, or \"tab\", or \"whitespace\"",
        ),
    }
}

/// How numbers are written.
fn style(table: &SourceTable) -> Result<Style, Fault> {
    let mut style = Style::PLAIN;
    if let Some(point) = &table.decimal {
        style.point = one_of(point, "decimal point", &[(".", b'.'), (",", b',')])?;
    }
    if let Some(separator) = &table.thousands {
        let known = [(".", b'.'), (",", b','), (" ", b' '), ("'", b'\''), ("_", b'_')];
        let byte = one_of(separator, "separator of thousands", &known)?;
        if byte == style.point {
            return fault(separator.span(), "`thousands` and `decimal` are the same character");
        }
        style.thousands = Some(byte);
    }
    Ok(style)
}

/// How instants are written.
fn time_format(format: &Text) -> Result<TimeFormat, Fault> {
    let known = [
        ("rfc3339", TimeFormat::Rfc3339),
        ("unix", TimeFormat::UnixSeconds),
        ("unix_ms", TimeFormat::UnixMillis),
        ("unix_us", TimeFormat::UnixMicros),
    ];
    let pattern = format.get_ref();
    if !pattern.contains('%') {
        return one_of(format, "format of time (nor a pattern with %)", &known);
    }
    // A pattern that can write an instant and read it again is a pattern.
    let epoch = Timestamp::UNIX_EPOCH.to_zoned_datetime(jiff::tz::TimeZone::UTC);
    let written = strtime::format(pattern, &epoch);
    match written.and_then(|text| strtime::parse(pattern, &text)?.to_datetime()) {
        Ok(_) => Ok(TimeFormat::Pattern(pattern.clone())),
        Err(_) => {
            let way = "it must name a year, a month and a day, as in \"%Y-%m-%d %H:%M:%S\"";
            fault(format.span(), format!("`{pattern}` is no pattern of strptime; {way}"))
        }
    }
}

/// Which columns hold identifiers.
fn who(table: &SourceTable, shop: &Shop) -> Result<Vec<WhoColumn>, Fault> {
    let kinds: Vec<(&str, ())> =
        shop.settings.kinds.iter().map(|rule| (rule.name.as_str(), ())).collect();
    let mut columns = Vec::new();
    for (kind, value) in &table.who {
        one_of(kind, "kind of identifier", &kinds)?;
        let kind = kind.get_ref().clone();
        let (mut prefix, mut strip) = (String::new(), String::new());
        let mut column = value.get_ref().as_str().map(str::to_owned);
        for (key, text) in value.get_ref().as_table().into_iter().flatten() {
            match (key.as_str(), text.as_str().map(str::to_owned)) {
                ("column", Some(text)) => column = Some(text),
                ("prefix", Some(text)) => prefix = text,
                ("strip", Some(text)) => strip = text,
                _ => {
                    let message = format!("`{key}` is none of the texts column, prefix and strip");
                    return fault(value.span(), message);
                }
            }
        }
        match column {
            Some(column) => columns.push(WhoColumn { kind, column, prefix, strip }),
            None => {
                let message = format!("`who.{kind}` is a column, or a table with a `column`");
                return fault(value.span(), message);
            }
        }
    }
    Ok(columns)
}

/// What the source calls its actions.
fn actions(table: &SourceTable) -> Result<std::collections::BTreeMap<String, String>, Fault> {
    let known: Vec<(&str, &str)> = ACTIONS.iter().map(|action| (*action, *action)).collect();
    let action = |(theirs, ours): (&String, &Text)| {
        Ok((theirs.clone(), one_of(ours, "action", &known)?.to_owned()))
    };
    table.actions.iter().map(action).collect()
}

/// What marks a cancellation.
fn cancellation(table: &SourceTable) -> Result<Option<Cancellation>, Fault> {
    let Some(mark) = &table.cancellation else { return Ok(None) };
    if mark.prefix.get_ref().is_empty() {
        return fault(mark.prefix.span(), "an empty prefix would make every row a cancellation");
    }
    let known = [("refund", true), ("reject", false)];
    let becomes = mark.becomes.as_ref().map(|name| one_of(name, "value of `becomes`", &known));
    Ok(Some(Cancellation {
        column: mark.column.clone(),
        prefix: mark.prefix.get_ref().clone(),
        refund: becomes.transpose()?.unwrap_or(true),
    }))
}

/// A kind or a field that a row cannot do without.
fn requirement(name: &Text, shop: &Shop) -> Result<Requirement, Fault> {
    if let Some(kind) = shop.settings.kind(name.get_ref()) {
        return Ok(Requirement::Kind(name.get_ref().clone(), kind.0));
    }
    name_of(name).map(Requirement::Field)
}
