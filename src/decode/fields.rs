//! Fields: what can a record of the canonical format say?
//!
//! One table; the decoders, `affluent schema` and the JSON Schema are all made from it.

use std::fmt::Write;

use serde_json::{Map, Value, json};

/// What a field holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// Any text; in NDJSON a number will do, and counts as the text that it is written with.
    Text,
    /// One of these texts.
    Choice(&'static [&'static str]),
    /// An instant in RFC 3339 with its offset.
    Time,
    /// A calendar day, as in `2011-06-28`.
    Day,
    /// A whole number.
    Integer,
    /// An amount of money in decimal digits, with at most the decimals of the shop.
    Money,
    /// `true` or `false`, or 1 or 0.
    Boolean,
    /// One identifier: `kind:value`.
    Identifier,
    /// Identifiers: in CSV `kind:value` with spaces between, in NDJSON an object from kind to
    /// value or to a list of values.
    Identifiers,
    /// Order lines: in CSV `item*quantity@price` with semicolons between (quantity and price may
    /// be left out), in NDJSON a list of objects of `item`, `quantity`, `price` or `amount`.
    Lines,
    /// Traits: in CSV `name=value` with semicolons between, in NDJSON an object.
    Traits,
}

/// Which actions use a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Actions {
    /// Every action.
    All,
    /// These; other actions ignore it.
    Only(&'static [&'static str]),
}

/// One field of the canonical format.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Its name: the column of a CSV file, the key of an NDJSON object.
    pub name: &'static str,
    /// What it holds.
    pub kind: Type,
    /// The unit of what it holds, if it has one.
    pub unit: &'static str,
    /// What is taken where it is absent, empty or null; empty where nothing is.
    pub default: &'static str,
    /// What it means.
    pub doc: &'static str,
    /// Which actions use it.
    pub actions: Actions,
    /// Which actions cannot do without it.
    pub required: &'static [&'static str],
}

/// A field by its place in [`FIELDS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "each is described once, in FIELDS")]
pub enum Name {
    Op,
    Id,
    Source,
    At,
    Who,
    Action,
    Item,
    Quantity,
    Price,
    Amount,
    Order,
    Lines,
    Term,
    Page,
    Traits,
    Title,
    Category,
    Brand,
    Available,
    Left,
    Right,
    Purpose,
    Given,
    Day,
    Session,
    Device,
    Country,
    Channel,
}

/// How many fields there are.
pub const FIELDS_COUNT: usize = 28;

impl Name {
    /// All of them, in the order of [`FIELDS`].
    pub const ALL: [Name; FIELDS_COUNT] = {
        use Name::*;
        [
            Op, Id, Source, At, Who, Action, Item, Quantity, Price, Amount, Order, Lines, Term,
            Page, Traits, Title, Category, Brand, Available, Left, Right, Purpose, Given, Day,
            Session, Device, Country, Channel,
        ]
    };

    /// The field named `name`.
    #[must_use]
    pub fn of(name: &str) -> Option<Name> {
        let place = FIELDS.iter().position(|field| field.name == name)?;
        Name::ALL.get(place).copied()
    }

    /// What the table says of it.
    #[must_use]
    #[expect(clippy::as_conversions, clippy::indexing_slicing, reason = "as many as fields")]
    pub const fn field(self) -> &'static Field {
        &FIELDS[self as usize]
    }

    /// Its name in records.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.field().name
    }
}

/// What a record can ask for.
pub const OPS: &[&str] = &["insert", "retract", "erase"];

/// What can have happened.
pub const ACTIONS: &[&str] = &[
    "view",
    "add_to_cart",
    "remove_from_cart",
    "order",
    "refund",
    "search",
    "page",
    "identify",
    "item",
    "link",
    "unlink",
    "consent",
    "day",
];

/// The actions on lines.
const LINES: Actions = Actions::Only(&["order", "refund"]);
/// The catalogue's action.
const CATALOGUE: Actions = Actions::Only(&["item"]);
/// An operator's actions.
const JOINS: &[&str] = &["link", "unlink"];

/// A field that all actions may use, without unit or default.
const fn field(name: &'static str, kind: Type, doc: &'static str) -> Field {
    Field { name, kind, unit: "", default: "", doc, actions: Actions::All, required: &[] }
}

/// A field that only some actions use.
const fn only(name: &'static str, kind: Type, actions: Actions, doc: &'static str) -> Field {
    Field { actions, ..field(name, kind, doc) }
}

/// A field that only some actions use, and those cannot do without it.
const fn needed(
    name: &'static str,
    kind: Type,
    actions: &'static [&'static str],
    doc: &'static str,
) -> Field {
    Field { required: actions, ..only(name, kind, Actions::Only(actions), doc) }
}

/// The unit of money.
const MONEY: &str = "the shop's currency";

/// The fields of the canonical format.
pub const FIELDS: &[Field; FIELDS_COUNT] = &[
    Field {
        default: "insert",
        ..field(
            "op",
            Type::Choice(OPS),
            "insert the event (the same id again with other content corrects it), retract the \
             event of this id, or erase the person of these identifiers",
        )
    },
    Field {
        default: "the content of the record (see `duplicates` of the source)",
        ..field("id", Type::Text, "which event of its source it is")
    },
    Field {
        default: "the name of the source in the shop's file",
        ..field("source", Type::Text, "where the event comes from")
    },
    Field {
        unit: "kept to the microsecond",
        required: ACTIONS,
        ..field("at", Type::Time, "when it happened")
    },
    Field {
        default: "nobody",
        ..field(
            "who",
            Type::Identifiers,
            "the identifiers seen with it, of the kinds in the shop's file; blocked values are \
             left out",
        )
    },
    Field { required: ACTIONS, ..field("action", Type::Choice(ACTIONS), "what happened") },
    Field {
        required: &["view", "add_to_cart", "remove_from_cart", "item"],
        ..only(
            "item",
            Type::Text,
            Actions::Only(&["view", "add_to_cart", "remove_from_cart", "order", "refund", "item"]),
            "the item's code; in an order or refund of a single line, instead of `lines`",
        )
    },
    Field {
        unit: "pieces",
        default: "1",
        ..only(
            "quantity",
            Type::Integer,
            LINES,
            "how many of `item`; negative in an order that corrects, never in a refund",
        )
    },
    Field {
        unit: MONEY,
        default: "0 on a line, unknown in the catalogue",
        ..only(
            "price",
            Type::Money,
            Actions::Only(&["order", "refund", "item"]),
            "what one piece of `item` costs",
        )
    },
    Field {
        unit: MONEY,
        ..only(
            "amount",
            Type::Money,
            LINES,
            "what `quantity` pieces come to, instead of `price`; what cannot be divided evenly is \
             spread over them to the smallest unit",
        )
    },
    Field {
        default: "the event itself; in a refund, the orders that its lines match",
        ..only("order", Type::Text, LINES, "the order's number")
    },
    Field {
        default: "the single line of `item`; in a refund of an `order`, the whole of it",
        ..only("lines", Type::Lines, LINES, "what was ordered or given back")
    },
    needed("term", Type::Text, &["search"], "what was searched for"),
    needed("page", Type::Text, &["page"], "which page was seen"),
    only("traits", Type::Traits, Actions::Only(&["identify"]), "what the person told"),
    only("name", Type::Text, CATALOGUE, "the item's name"),
    only("category", Type::Text, CATALOGUE, "the item's category"),
    only("brand", Type::Text, CATALOGUE, "the item's brand"),
    Field {
        default: "true",
        ..only("available", Type::Boolean, CATALOGUE, "whether the item can be bought now")
    },
    needed("left", Type::Identifier, JOINS, "one identifier"),
    needed("right", Type::Identifier, JOINS, "the other identifier"),
    needed("purpose", Type::Text, &["consent"], "what the consent is for"),
    needed("given", Type::Boolean, &["consent"], "whether it was given, or withdrawn"),
    Field { unit: "UTC", ..needed("day", Type::Day, &["day"], "the day that begins") },
    field("session", Type::Text, "the session, where the source keeps sessions"),
    field("device", Type::Text, "the kind of device"),
    field("country", Type::Text, "the country"),
    field("channel", Type::Text, "the marketing channel"),
];

impl Field {
    /// Its type in one word.
    #[must_use]
    pub fn type_name(&self) -> &'static str {
        match self.kind {
            Type::Text => "text",
            Type::Choice(_) => "choice",
            Type::Time => "time",
            Type::Day => "day",
            Type::Integer => "integer",
            Type::Money => "money",
            Type::Boolean => "boolean",
            Type::Identifier => "identifier",
            Type::Identifiers => "identifiers",
            Type::Lines => "lines",
            Type::Traits => "traits",
        }
    }
}

/// How each type is written, in the order of the text that `affluent schema` prints.
const TYPES: &[(&str, &str)] = &[
    ("text", "any text; in NDJSON a number will do"),
    ("time", "RFC 3339 with its offset, such as 2011-06-28T10:22:00Z"),
    ("day", "such as 2011-06-28"),
    ("integer", "a whole number"),
    ("money", "decimal digits with a point, such as 12.50; no more decimals than the shop has"),
    ("boolean", "true or false, or 1 or 0"),
    ("identifier", "kind:value, such as email:ann@example.org"),
    (
        "identifiers",
        "CSV: kind:value with spaces between; NDJSON: {\"kind\": \"value\" or [\"value\", ...]}",
    ),
    (
        "lines",
        "CSV: item*quantity@price with semicolons between, quantity and price may be left out; \
         NDJSON: [{\"item\", \"quantity\", \"price\" or \"amount\"}]",
    ),
    ("traits", "CSV: name=value with semicolons between; NDJSON: {\"name\": \"value\"}"),
];

/// The canonical format as text for a reader.
#[must_use]
pub fn schema_text() -> String {
    let mut text = String::from(
        "A record is a row of a CSV file with a header, or a line of NDJSON.\n\
         An empty cell, an absent key and null all mean that the field is absent.\n\
         White space around a value does not count. Actions ignore fields that they do not use.\n\
         Any field that is not listed here is refused.\n\nFIELDS\n",
    );
    for field in FIELDS {
        _ = writeln!(text, "\n  {}  ({})", field.name, field.type_name());
        _ = writeln!(text, "      {}", field.doc);
        if let Type::Choice(choices) = field.kind {
            _ = writeln!(text, "      one of: {}", choices.join(", "));
        }
        if !field.unit.is_empty() {
            _ = writeln!(text, "      unit: {}", field.unit);
        }
        if !field.default.is_empty() {
            _ = writeln!(text, "      default: {}", field.default);
        }
        if let Actions::Only(actions) = field.actions {
            _ = writeln!(text, "      used by: {}", actions.join(", "));
        }
        match field.required {
            [] => {}
            all if all.len() == ACTIONS.len() => text.push_str("      required to insert\n"),
            some => _ = writeln!(text, "      required by: {}", some.join(", ")),
        }
    }
    text.push_str("\nTYPES\n\n");
    for (name, doc) in TYPES {
        _ = writeln!(text, "  {name:<12} {doc}");
    }
    text
}

/// The canonical NDJSON record as a JSON Schema, draft 2020-12.
#[must_use]
pub fn json_schema() -> String {
    let properties: Map<String, Value> =
        FIELDS.iter().map(|field| (field.name.into(), property(field))).collect();
    let rules = ACTIONS.iter().map(|action| {
        let needed = FIELDS.iter().filter(|field| field.required.contains(action));
        let needed: Vec<&str> = needed.map(|field| field.name).collect();
        json!({
            "if": { "properties": { "action": { "const": action } }, "required": ["action"] },
            "then": { "required": needed },
        })
    });
    let insert = json!({
        "if": { "properties": { "op": { "enum": ["insert", null] } } },
        "then": { "required": ["at", "action"], "allOf": rules.collect::<Vec<Value>>() },
    });
    let by = |op: &str, needs: &str| {
        json!({
            "if": { "properties": { "op": { "const": op } }, "required": ["op"] },
            "then": { "required": [needs] },
        })
    };
    let schema = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "https://example.invalid/affluent/record.schema.json",
        "title": "affluent record",
        "description": "One record of the canonical NDJSON format",
        "type": "object",
        "additionalProperties": false,
        "properties": properties,
        "allOf": [insert, by("retract", "id"), by("erase", "who")],
    });
    format!("{schema:#}\n")
}

/// What the JSON Schema says of a field.
fn property(field: &Field) -> Value {
    let text = || json!({ "type": ["string", "number"] });
    let decimal = || {
        json!({
            "type": ["string", "number"],
            "pattern": r"^\s*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)\s*$",
        })
    };
    let several = || json!({ "oneOf": [text(), { "type": "array", "items": text() }] });
    let mut value = match field.kind {
        Type::Text => text(),
        Type::Choice(choices) => {
            let mut all: Vec<Value> = choices.iter().map(|choice| json!(choice)).collect();
            all.push(Value::Null);
            json!({ "enum": all })
        }
        Type::Time => json!({ "type": "string", "format": "date-time" }),
        Type::Day => json!({ "type": "string", "format": "date" }),
        Type::Integer => {
            json!({ "type": ["integer", "string"], "pattern": r"^\s*[+-]?[0-9]+\s*$" })
        }
        Type::Money => decimal(),
        Type::Boolean => json!({ "enum": [true, false, "true", "false", 0, 1, "0", "1", null] }),
        Type::Identifier => json!({ "type": "string", "pattern": "^[^:]+:.+$" }),
        Type::Identifiers => json!({ "type": "object", "additionalProperties": several() }),
        Type::Lines => json!({ "type": "array", "items": {
            "type": "object",
            "required": ["item"],
            "additionalProperties": false,
            "properties": {
                "item": text(), "quantity": text(), "price": decimal(), "amount": decimal(),
            },
        }}),
        Type::Traits => json!({ "type": "object", "additionalProperties": text() }),
    };
    if let Some(known) = value.get_mut("type") {
        let mut types = match known.take() {
            Value::Array(types) => types,
            one => vec![one],
        };
        types.push(json!("null"));
        *known = Value::Array(types);
    }
    let doc = if field.unit.is_empty() {
        field.doc.to_owned()
    } else {
        format!("{} ({})", field.doc, field.unit)
    };
    if let Some(object) = value.as_object_mut() {
        object.insert("description".into(), json!(doc));
        if !field.default.is_empty() {
            object.insert("$comment".into(), json!(format!("default: {}", field.default)));
        }
    }
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_fields_stand_in_the_same_order() {
        for (place, name) in Name::ALL.into_iter().enumerate() {
            assert_eq!(name.name(), FIELDS[place].name);
            assert_eq!(Name::of(name.name()), Some(name));
        }
        assert_eq!(Name::Title.name(), "name");
        assert_eq!(Name::Channel.name(), "channel");
        assert_eq!(Name::Lines.name(), "lines");
    }

    #[test]
    fn every_field_and_every_type_is_described() {
        let text = schema_text();
        let schema: Value = serde_json::from_str(&json_schema()).unwrap();
        for field in FIELDS {
            assert!(text.contains(&format!("\n  {}  (", field.name)), "{}", field.name);
            assert!(schema["properties"][field.name]["description"].is_string());
            let known = TYPES.iter().any(|(name, _)| *name == field.type_name());
            assert!(known || matches!(field.kind, Type::Choice(_)), "{}", field.name);
        }
    }
}
