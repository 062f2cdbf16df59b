//! Decode tests: is each record read as the fields are documented?

use proptest::prelude::*;

use super::fields::{ACTIONS, FIELDS, Name};
use super::*;
use crate::source::Record;
use dataflows::view::Names;
use dataflows::{Item, Kind, Line, Money, OrderId, SessionKey};

fn rules() -> Rules {
    let kind = |name: &str, lower| KindFormat { name: name.into(), lower };
    Rules {
        kinds: vec![kind("user", false), kind("email", true), kind("cookie", false)],
        blocked: Blocked { patterns: vec!["null".into(), "test@*".into()], zeros: true },
        decimals: 2,
        future_max: 0,
    }
}

fn config(form: Form, duplicates: Duplicates) -> SourceConfig {
    SourceConfig { name: "web".into(), files: vec![], roots: vec![], form, duplicates }
}

/// A dictionary, and a decoder of our own format.
fn decoder(form: Form) -> (Dictionary, Decoder) {
    let mut names = Dictionary::new(crate::names::SECRET_DEFAULT);
    let decoder = Decoder::new(&config(form, Duplicates::Keep), &rules(), &mut names).unwrap();
    (names, decoder)
}

/// What one CSV row of these fields asks for.
fn csv(fields: &[(&str, &str)]) -> Result<Vec<Change>, Refusal> {
    let (mut names, mut decoder) = decoder(Form::Csv);
    let (header, cells): (Vec<&str>, Vec<&str>) = fields.iter().copied().unzip();
    decoder.set_header("f", &Record::of(1, &header)).unwrap();
    decoder.decode("f", &Record::of(2, &cells), &mut names)
}

/// What one line of NDJSON asks for.
fn ndjson(line: &str) -> Result<Vec<Change>, Refusal> {
    let (mut names, mut decoder) = decoder(Form::Ndjson);
    decoder.decode("f", &Record::of(1, &[line]), &mut names)
}

fn event(changes: &[Change]) -> &Event {
    match changes {
        [Change::Put { key, event }] => {
            assert_eq!(event.id, EventId(low(*key)));
            event
        }
        other => panic!("one event, not {other:?}"),
    }
}

fn refused(outcome: Result<Vec<Change>, Refusal>) -> (String, &'static str) {
    let refusal = outcome.unwrap_err();
    (refusal.field.unwrap_or_default().into_owned(), refusal.reason)
}

const AT: (&str, &str) = ("at", "2020-01-01T00:00:00Z");

#[test]
fn csv_and_ndjson_say_the_same() {
    let row = csv(&[
        ("id", "1"),
        AT,
        ("who", "cookie:c email:A@B.c cookie:c user:null"),
        ("action", "order"),
        ("order", "o"),
        ("lines", "a*2@1.50; b; c@0.01"),
        ("session", "s"),
    ]);
    let line = ndjson(
        r#"{"id": 1, "at": "2020-01-01T00:00:00Z", "action": "order", "order": "o", "session": "s",
            "who": {"cookie": ["c", "c"], "email": "A@B.c", "user": "null"}, "page": null,
            "lines": [{"item": "a", "quantity": 2, "price": 1.50}, {"item": "b"},
                      {"item": "\u0063", "price": "0.01"}]}"#,
    );
    assert_eq!(row, line);
    let changes = row.unwrap();
    let event = event(&changes);
    let names = Dictionary::new(crate::names::SECRET_DEFAULT);
    let item = |text| Item(names.word_of(text).0.get());
    let who = [names.identifier_of(Kind(1), "a@b.c"), names.identifier_of(Kind(2), "c")];
    assert_eq!(*event.who, who);
    assert_eq!(event.context.session, Some(SessionKey(names.word_of("s").0)));
    let lines = vec![
        Line { item: item("a"), quantity: 2, price: Money(150) },
        Line { item: item("b"), quantity: 1, price: Money(0) },
        Line { item: item("c"), quantity: 1, price: Money(1) },
    ];
    let order = OrderId(names.word_of("o").0.get());
    assert_eq!(event.action, Action::Order { order, lines });
}

#[test]
fn every_action_needs_what_the_table_says_and_no_more() {
    let value = |name: &str| match name {
        "at" => AT.1,
        "left" | "right" => "user:u",
        "given" => "true",
        "day" => "2020-01-02",
        _ => "x",
    };
    for action in ACTIONS {
        let needed = FIELDS.iter().filter(|field| field.required.contains(action));
        let mut fields: Vec<(&str, &str)> =
            needed.map(|field| (field.name, value(field.name))).collect();
        for (name, text) in &mut fields {
            *text = if *name == "action" { action } else { text };
        }
        if matches!(*action, "order" | "refund") {
            fields.push(("item", "x"));
        }
        assert!(csv(&fields).is_ok(), "{action}: {fields:?}");
        for place in 0..fields.len() {
            let mut fewer = fields.clone();
            let (name, _) = fewer.remove(place);
            let name = match *action {
                "order" if name == "item" => "lines",
                "refund" if name == "item" => "order",
                _ => name,
            };
            assert_eq!(refused(csv(&fewer)).0, name, "{action} without {name}");
        }
    }
}

#[test]
fn an_amount_is_spread_to_the_smallest_unit() {
    let order = |quantity, amount| {
        let changes = csv(&[
            AT,
            ("action", "order"),
            ("item", "cd"),
            ("quantity", quantity),
            ("amount", amount),
        ])?;
        let Action::Order { lines, .. } = event(&changes).action.clone() else { panic!("order") };
        Ok::<_, Refusal>(lines.iter().map(|line| (line.quantity, line.price.0)).collect::<Vec<_>>())
    };
    assert_eq!(order("3", "29.33"), Ok(vec![(1, 977), (2, 978)]));
    assert_eq!(order("2", "29.00"), Ok(vec![(2, 1450)]));
    assert_eq!(order("-2", "-0.03"), Ok(vec![(-1, 1), (-1, 2)]));
    assert_eq!(order("0", "1").unwrap_err().reason, "is 0");
    assert!(order("-2147483648", "1").is_err());
}

#[test]
fn retract_and_erase_need_only_what_they_name() {
    let (names, _) = decoder(Form::Csv);
    let web = names.word_of("web");
    let key = names.key(Tag::Id, web, b"7", 0);
    assert_eq!(csv(&[("op", "retract"), ("id", "7")]), Ok(vec![Change::Retract { key }]));
    let user = names.identifier_of(Kind(0), "u");
    assert_eq!(ndjson(r#"{"op":"erase","who":{"user":"u"}}"#), Ok(vec![Change::Erase(user)]));
    assert_eq!(refused(csv(&[("op", "retract"), ("id", "")])), ("id".into(), "is missing"));
    assert_eq!(refused(csv(&[("op", "erase"), ("who", "user:0")])), ("who".into(), "is missing"));
    assert_eq!(refused(csv(&[("op", "delete")])).0, "op");
}

#[test]
fn a_refusal_names_the_field_and_no_value() {
    let field = |line: &str| refused(ndjson(line)).0;
    assert_eq!(refused(ndjson("[1]")), (String::new(), "is not a JSON object"));
    assert_eq!(field(r#"{"acton": "view"}"#), "acton");
    assert_eq!(field(r#"{"ann@example.org": 1}"#), "");
    assert_eq!(refused(ndjson(r#"{"at": 1, "at": 2}"#)), ("at".into(), "is given twice"));
    assert_eq!(field(r#"{"who": "u"}"#), "who");
    assert_eq!(field(r#"{"who": {"usr": "u"}}"#), "who");
    assert_eq!(field(r#"{"action": ["view"]}"#), "action");
    assert_eq!(field(r#"{"lines": [{"item": "a", "qty": 1}]}"#), "lines");
    let base = [AT, ("action", "order"), ("item", "a")];
    let with = |name, text| csv(&[&base[..], &[(name, text)]].concat());
    assert_eq!(refused(with("price", "1.005")).0, "price");
    assert_eq!(refused(with("quantity", "1.5")).0, "quantity");
    assert_eq!(refused(with("quantity", "2147483648")).0, "quantity");
    assert_eq!(refused(with("lines", "b")).0, "item");
    assert_eq!(refused(csv(&[AT, ("action", "model")])).0, "action");
    let link = [AT, ("action", "link"), ("left", "user:u"), ("right", "user:0")];
    assert_eq!(refused(csv(&link)), ("right".into(), "is a value that is blocked"));
    let refund = [AT, ("action", "refund"), ("item", "a"), ("quantity", "-1")];
    assert_eq!(refused(csv(&refund)).0, "quantity");
}

#[test]
fn a_reject_is_found_again_by_the_id_that_could_be_read() {
    let (mut names, mut decoder) = decoder(Form::Ndjson);
    let line = r#"{"id": "7", "at": "yesterday", "action": "page", "page": "p"}"#;
    let refusal = decoder.decode("f", &Record::of(1, &[line]), &mut names).unwrap_err();
    let (source, file) = (decoder.source(), names.learn("f").unwrap());
    let key = names.key(Tag::Id, source, b"7", 0);
    let (reject, event) = reject_event(source, file, 1, &refusal, &mut names).unwrap();
    assert_eq!(reject, Ledger::reject_key(key));
    let Action::Reject(row) = event.action else { panic!("a reject") };
    assert_eq!(Names::word(&names, row.field.unwrap().0.get()), "at");
    let nameless = Refusal::record("is not UTF-8");
    let at = |line, names: &mut _| reject_event(source, file, line, &nameless, names).unwrap().0;
    assert_ne!(at(1, &mut names), at(2, &mut names));
}

#[test]
fn records_without_id_are_kept_or_dropped() {
    for (duplicates, distinct) in [(Duplicates::Keep, 2), (Duplicates::Drop, 1)] {
        let mut names = Dictionary::new(crate::names::SECRET_DEFAULT);
        let config = config(Form::Csv, duplicates);
        let mut decoder = Decoder::new(&config, &rules(), &mut names).unwrap();
        decoder.set_header("f", &Record::of(1, &["at", "action", "page"])).unwrap();
        let mut keys = std::collections::BTreeSet::new();
        for _ in 0..2 {
            let record = Record::of(2, &[AT.1, "page", "p"]);
            match decoder.decode("f", &record, &mut names).unwrap().as_slice() {
                [Change::Put { key, .. }] => _ = keys.insert(*key),
                other => panic!("one event, not {other:?}"),
            }
        }
        assert_eq!(keys.len(), distinct);
    }
}

#[test]
fn an_event_ahead_of_the_receiving_clock_is_refused() {
    let (mut names, mut decoder) = decoder(Form::Csv);
    decoder.set_header("f", &Record::of(1, &["at", "action", "page"])).unwrap();
    decoder.set_clock(Some(EventTime(0)));
    let outcome = decoder.decode("f", &Record::of(2, &[AT.1, "page", "p"]), &mut names);
    assert_eq!(refused(outcome), ("at".into(), "lies too far ahead of the receiving clock"));
}

#[test]
fn unknown_and_double_columns_are_errors() {
    let (_, mut decoder) = decoder(Form::Csv);
    let wrong = decoder.set_header("f", &Record::of(1, &["at", "itm"])).unwrap_err();
    assert!(wrong.to_string().contains("`itm`"), "{wrong}");
    let twice = decoder.set_header("f", &Record::of(1, &["at", "at"]));
    assert!(matches!(twice, Err(Error::DoubleColumn { .. })));
}

proptest! {
    /// No bytes make a decoder panic, and every record is an answer.
    #[test]
    fn no_record_panics(cells in prop::collection::vec("\\PC*|[0-9.,+*@;:=-]{0,20}", 28)) {
        let (mut names, mut decoder) = decoder(Form::Csv);
        let header: Vec<&str> = FIELDS.iter().map(|field| field.name).collect();
        decoder.set_header("f", &Record::of(1, &header)).unwrap();
        let mut cells: Vec<&str> = cells.iter().map(String::as_str).collect();
        for action in ACTIONS {
            cells[3] = AT.1;
            cells[5] = action;
            cells[0] = "";
            _ = decoder.decode("f", &Record::of(2, &cells), &mut names);
        }
    }

    /// Nor do those that are nearly JSON.
    #[test]
    fn no_line_panics(key in "at|who|id|lines|x", value in r"[\[{]?\PC{0,20}[\]}]{0,3}|\PC*") {
        _ = ndjson(&format!("{{\"{key}\": {value}"));
        _ = ndjson(&value);
    }

    /// What one record says does not depend on the fields' order.
    #[test]
    fn the_order_of_fields_does_not_matter(seed in 0_usize..720) {
        let mut fields = vec![AT, ("id", "1"), ("action", "view"), ("item", "a")];
        fields.extend([("who", "user:u"), ("country", "DE")]);
        let expected = csv(&fields);
        let mut seed = seed;
        for place in (1..fields.len()).rev() {
            fields.swap(place, seed % (place + 1));
            seed /= place + 1;
        }
        prop_assert_eq!(csv(&fields), expected);
        prop_assert_eq!(Name::of("at"), Some(Name::At));
    }
}
