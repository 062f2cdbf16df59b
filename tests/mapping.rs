//! Mapping: does any delimited file become events as the shop's file says?

use affluent::config::Shop;
use affluent::decode::{Change, Error, Refusal};
use affluent::names::Dictionary;
use dataflows::{Action, Event, Item, Line, Money};
use proptest::prelude::*;

/// What became of each row.
type Outcomes = Vec<Result<Vec<Change>, Refusal>>;

/// What the rows of a file under a source's `keys` come to.
fn read(keys: &str, bytes: &[u8]) -> Result<(Dictionary, Outcomes), Error> {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("a.txt"), bytes).expect("a file");
    let text = format!("[shop]\ndecimals = 2\n[[source]]\nfiles = \"*.txt\"\n{keys}");
    let shop = Shop::parse(&text, "shop.toml", folder.path(), &|_| None).expect("a shop");
    let mut names = shop.dictionary();
    let mut reader = shop.open(&mut names)?;
    let mut rows = Vec::new();
    while let Some(row) = reader.next_row(&mut names)? {
        rows.push(row.outcome);
    }
    Ok((names, rows))
}

fn events(changes: &[Change]) -> Vec<&Event> {
    fn event(change: &Change) -> &Event {
        match change {
            Change::Put { event, .. } => event,
            other => panic!("an event, not {other:?}"),
        }
    }
    changes.iter().map(event).collect()
}

fn fields(rows: &[Result<Vec<Change>, Refusal>]) -> Vec<String> {
    let field = |row: &Result<Vec<Change>, Refusal>| match row {
        Ok(_) => "accepted".to_owned(),
        Err(refusal) => refusal.field.clone().unwrap_or_default().into_owned(),
    };
    rows.iter().map(field).collect()
}

const SALES: &str = r#"
    delimiter = ";"
    decimal = ","
    thousands = "."
    fields = { item = "code", quantity = "qty", price = "each", action = "what", order = "no" }
    actions = { sale = "order", look = "view" }
    at = { column = "when", format = "%d.%m.%Y %H:%M", zone = "Europe/Berlin" }
    who.user = { column = "customer", prefix = "shop-", strip = ".0" }
    cancellation = { column = "no", prefix = "C" }
    require = ["user"]
    quantity_min = 1
    price_min = "0.01"
    item_name = "title"
"#;
const SALES_HEADER: &str = "no;code;title;qty;when;each;customer;what\n";

#[test]
fn columns_become_fields() {
    let text = format!("{SALES_HEADER}1;a;Apple;2;03.07.2020 12:00;1.234,5;17.0;sale\n");
    let (names, rows) = read(SALES, text.as_bytes()).unwrap();
    let changes = rows[0].as_ref().unwrap();
    let [order, item] = events(changes)[..] else { panic!("an order and an item") };
    assert_eq!(order.at.0, 1_593_770_400_000_000);
    assert_eq!(*order.who, [names.identifier_of(dataflows::Kind(0), "shop-17")]);
    let code = Item(names.word_of("a").0.get());
    let Action::Order { lines, .. } = &order.action else { panic!("an order") };
    assert_eq!(lines[..], [Line { item: code, quantity: 2, price: Money(123_450) }]);
    let Action::Item(told, attributes) = item.action else { panic!("an item") };
    assert_eq!((told, attributes.name), (code, Some(names.word_of("Apple"))));
}

#[test]
fn what_the_shop_requires_is_refused_by_name() {
    let text = format!(
        "{SALES_HEADER}\
         1;a;A;2;03.07.2020 12:00;1;;sale\n\
         1;a;A;0;03.07.2020 12:00;1;1;sale\n\
         1;a;A;1;03.07.2020 12:00;0;1;sale\n\
         1;a;A;1;2020-07-03;1;1;sale\n\
         1;a;A;1;03.07.2020 12:00;1;1;steal\n\
         1;;A;1;03.07.2020 12:00;1;1;look\n\
         1;a;A;1\n\
         1;a;A;1;03.07.2020 12:00;1;1;look;more\n\
         1;a;A;1;03.07.2020 12:00;1;1;look\n"
    );
    let (_, rows) = read(SALES, text.as_bytes()).unwrap();
    let expected = ["user", "quantity", "price", "at", "action", "item", "", "", "accepted"];
    assert_eq!(fields(&rows), expected);
}

#[test]
fn a_cancellation_is_a_refund_that_names_no_order() {
    let text = format!(
        "{SALES_HEADER}C1;a;A;-2;03.07.2020 12:00;1;1;sale\nC1;a;A;2;03.07.2020 12:00;-1;1;sale\n"
    );
    let (names, rows) = read(SALES, text.as_bytes()).unwrap();
    let item = Item(names.word_of("a").0.get());
    let lines = vec![Line { item, quantity: 2, price: Money(100) }];
    for row in &rows {
        let [refund] = events(row.as_ref().unwrap())[..] else { panic!("a refund alone") };
        assert_eq!(refund.action, Action::Refund { order: None, lines: lines.clone() });
    }
    let reject = SALES.replace("prefix = \"C\"", "prefix = \"C\", becomes = \"reject\"");
    let (_, rows) = read(&reject, text.as_bytes()).unwrap();
    assert_eq!(fields(&rows), ["no", "no"]);
}

#[test]
fn a_name_is_told_when_it_is_new_and_corrected_when_it_changes() {
    let row = |title: &str| format!("1;a;{title};1;03.07.2020 12:00;1;1;sale\n");
    let text: String = ["A", "A", "", "B", "A"].map(row).concat();
    let (_, rows) = read(SALES, format!("{SALES_HEADER}{text}").as_bytes()).unwrap();
    let told: Vec<&[Change]> = rows.iter().map(|row| &row.as_ref().unwrap()[1..]).collect();
    assert_eq!(told.iter().map(|told| told.len()).collect::<Vec<_>>(), [1, 0, 0, 1, 1]);
    let key = |told: &[Change]| match told {
        [Change::Put { key, .. }] => *key,
        other => panic!("one event, not {other:?}"),
    };
    assert_eq!(key(told[0]), key(told[3]));
}

#[test]
fn a_row_can_be_a_basket_or_a_session() {
    let keys = "constants = { at = \"2020-01-01T00:00:00Z\" }\nrows = ";
    let (names, rows) = read(&format!("{keys}\"basket\""), b"a,b\n,\n\"c, d\",b,\n").unwrap();
    assert_eq!(fields(&rows), ["accepted", "lines", "accepted"]);
    let [order] = events(rows[2].as_ref().unwrap())[..] else { panic!("an order") };
    let Action::Order { order, lines } = &order.action else { panic!("an order") };
    assert_eq!((order.0, lines.len()), (names.word_of("3").0.get(), 2));

    let session = format!("{keys}\"session\"\ndelimiter = \"whitespace\"\ncolumns = [\"c\"]\n");
    let session = format!("{session}who.cookie = \"c\"");
    let (names, rows) = read(&session, b"x 7 7 8\ny\n").unwrap();
    assert_eq!(fields(&rows), ["accepted", "item"]);
    let views = events(rows[0].as_ref().unwrap());
    let seconds: Vec<i64> = views.iter().map(|view| view.at.0 / 1_000_000 % 60).collect();
    assert_eq!(seconds, [0, 1, 2]);
    assert!(views.iter().all(|view| view.who[0] == names.identifier_of(dataflows::Kind(5), "x")));
}

#[test]
fn a_column_that_is_not_there_is_an_error_with_those_that_are() {
    let message = |text: &[u8]| read(SALES, text).unwrap_err().to_string();
    assert_eq!(message(b"no;code\n"), "`a.txt` has no column `what`; it has no, code");
    assert!(message(b"").contains("is not there"));
    assert!(message(b"\xff\n").contains("is not UTF-8"));
    let named = "columns = [\"a\"]\nfields = { item = \"b\" }\nconstants = { action = \"view\", \
                 at = \"2020-01-01T00:00:00Z\" }";
    let message = read(named, b"1\n").unwrap_err().to_string();
    assert_eq!(message, "`events` has no column `b`; it has a");
}

proptest! {
    /// No bytes of a file make reading panic, however its format.
    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(prop::sample::select(
        b"abC:;,\"'-=*@ \t\r\n0123456789.{}[]\\\xff\xc3\xa9".to_vec()), 0..200)) {
        let constants = "constants = { at = \"2020-01-01T00:00:00Z\" }\n";
        let header = [SALES_HEADER.as_bytes(), &bytes].concat();
        prop_assert!(read(SALES, &header).is_ok());
        prop_assert!(read("format = \"ndjson\"", &bytes).is_ok());
        let canonical = [b"id,at,action,who,lines\n", &bytes[..]].concat();
        prop_assert!(read("format = \"csv\"", &canonical).is_ok());
        for rows in ["basket", "session"] {
            let keys = format!("{constants}rows = \"{rows}\"\nquotes = false\n");
            prop_assert!(read(&keys, &bytes).is_ok());
        }
    }
}
