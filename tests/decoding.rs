//! Decoding: do the figures of real shops come out of their files by configuration alone?
//!
//! The data is found in `AFFLUENT_DATA` or in `../shared/data`; without it these tests are skipped.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use affluent::config::Shop;
use affluent::decode::{Change, Reader, Refusal};
use dataflows::{Action, Event, EventTime};

/// Where the real data is, if it is anywhere.
fn data() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    let given = std::env::var_os("AFFLUENT_DATA").map(PathBuf::from);
    let found = given.or(Some(beside)).filter(|folder| folder.is_dir());
    if found.is_none() {
        eprintln!("skipped: no real data in AFFLUENT_DATA or ../shared/data");
    }
    found
}

/// The shop of a folder under `fixtures/shops`, whose file `edit` may change.
fn shop(data: &Path, folder: &str, edit: impl Fn(String) -> String) -> Shop {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/shops").join(folder);
    let file = folder.join("shop.toml");
    let text = edit(std::fs::read_to_string(&file).expect("the shop has a file"));
    let data = data.canonicalize().expect("the folder is there").display().to_string();
    let environment = move |name: &str| (name == "AFFLUENT_DATA").then(|| data.clone());
    Shop::parse(&text, &file.display().to_string(), &folder, &environment)
        .expect("the shop's file is right")
}

/// What the rows of a shop come to.
#[derive(Debug, Default)]
struct Rows {
    rows: usize,
    events: Vec<Event>,
    keys: Vec<u128>,
    /// The first change of each row that is accepted.
    firsts: Vec<usize>,
    refusals: Vec<Refusal>,
}

impl Rows {
    /// What a number per order line comes to, over rows whose own event is an order.
    fn sum(&self, number: impl Fn(&dataflows::Line) -> i64) -> i64 {
        let lines = self.events.iter().filter_map(|event| match &event.action {
            Action::Order { lines, .. } => Some(lines),
            _ => None,
        });
        lines.flatten().map(number).sum()
    }

    /// How many events are of an action.
    fn count(&self, action: impl Fn(&Action) -> bool) -> usize {
        self.events.iter().filter(|event| action(&event.action)).count()
    }
}

/// Reads all rows.
fn read(shop: &Shop) -> (Rows, Reader) {
    let mut names = shop.dictionary();
    let mut reader = shop.open(&mut names).expect("the files are there");
    let mut rows = Rows::default();
    while let Some(row) = reader.next_row(&mut names).expect("the files can be read") {
        rows.rows += 1;
        match row.outcome {
            Ok(changes) => {
                rows.firsts.push(rows.events.len());
                for change in changes {
                    let Change::Put { key, event } = change else { panic!("files only insert") };
                    rows.events.push(event);
                    rows.keys.push(key);
                }
            }
            Err(refusal) => rows.refusals.push(refusal),
        }
    }
    assert_eq!(reader.progress().bytes(), reader.bytes());
    (rows, reader)
}

fn is_order(action: &Action) -> bool {
    matches!(action, Action::Order { .. })
}

fn is_refund(action: &Action) -> bool {
    matches!(action, Action::Refund { .. })
}

#[test]
fn online_retail_cleaned() {
    let Some(data) = data() else { return };
    let (rows, reader) = read(&shop(&data, "online-retail", |text| text));
    assert_eq!(rows.rows, 245_903);
    assert_eq!(rows.count(is_order), 172_635);
    assert_eq!(rows.sum(|line| line.amount()), 3_993_805_651);
    assert_eq!((reader.cancelled().rows, reader.cancelled().orders), (4_494, 2_006));
    assert_eq!(rows.firsts.len() + rows.refusals.len(), rows.rows);
    let refunded = rows.events.iter().filter_map(|event| match &event.action {
        Action::Refund { lines, .. } => Some(lines),
        _ => None,
    });
    let refunded: i64 = refunded.flatten().map(dataflows::Line::amount).sum();
    assert_eq!(3_993_805_651 - refunded, 3_728_501_251);
    assert_eq!((rows.count(is_refund), rows.refusals.len()), (4_241, 69_027));
    let orders = |event: &Event| match &event.action {
        Action::Order { order, .. } => Some(*order),
        _ => None,
    };
    let people: BTreeSet<_> =
        rows.events.iter().filter(|event| is_order(&event.action)).map(Event::key).collect();
    assert_eq!(people.len(), 2_960);
    assert_eq!(rows.events.iter().filter_map(orders).collect::<BTreeSet<_>>().len(), 8_802);
    assert_eq!(
        rows.keys.len() - rows.count(|action| matches!(action, Action::Item(..))),
        172_635 + rows.count(is_refund)
    );
    for &first in &rows.firsts {
        assert!(!matches!(rows.events[first].action, Action::Item(..)));
    }
}

#[test]
fn online_retail_as_it_is() {
    let Some(data) = data() else { return };
    let edit = |text: String| {
        let kept = |line: &&str| {
            !["require", "quantity_min", "price_min", "item_name"]
                .iter()
                .any(|key| line.starts_with(key))
        };
        let text: Vec<&str> = text.lines().filter(kept).collect();
        text.join("\n").replace("\"keep\"", "\"drop\"")
    };
    let (rows, _) = read(&shop(&data, "online-retail", edit));
    assert_eq!((rows.rows, rows.refusals.len()), (245_903, 0));
    assert_eq!(rows.count(is_refund), 4_494);
    let distinct: BTreeSet<u128> = rows.keys.iter().copied().collect();
    assert_eq!(rows.keys.len() - distinct.len(), 2_012);
}

#[test]
fn cdnow() {
    let Some(data) = data() else { return };
    let (rows, _) = read(&shop(&data, "cdnow", |text| text));
    assert_eq!((rows.rows, rows.count(is_order)), (6_919, 6_919));
    assert_eq!(rows.sum(|line| i64::from(line.quantity)), 16_479);
    assert_eq!(rows.sum(|line| line.amount()), 24_409_194);
    assert_eq!(rows.events.iter().map(Event::key).collect::<BTreeSet<_>>().len(), 2_357);
    let first = rows.events.iter().map(|event| event.at).min();
    assert_eq!(first, Some(EventTime(852_094_800_000_000)));
}

#[test]
fn groceries() {
    let Some(data) = data() else { return };
    let (rows, _) = read(&shop(&data, "groceries", |text| text));
    assert_eq!((rows.rows, rows.count(is_order)), (9_835, 9_835));
    assert_eq!(rows.sum(|line| i64::from(line.quantity)), 43_367);
}

#[test]
fn sessions() {
    let Some(data) = data() else { return };
    let expected = [
        ("serenade", 113_601, 113_601),
        ("rsc15", 70_278, 70_278),
        ("yoochoose", 116_167, 486_026),
    ];
    for (folder, lines, views) in expected {
        let (rows, _) = read(&shop(&data, folder, |text| text));
        assert_eq!((rows.rows, rows.refusals.len()), (lines, 0), "{folder}");
        assert_eq!(rows.count(|action| matches!(action, Action::View(_))), views, "{folder}");
        let distinct: BTreeSet<u128> = rows.keys.iter().copied().collect();
        assert_eq!(distinct.len(), views, "{folder}");
        assert!(rows.events.iter().all(|event| event.context.session.is_some()), "{folder}");
    }
}

/// The JSON Schema that other tools read is a file, made of the same table as all else;
/// `UPDATE_FIXTURES=1` writes it again.
#[test]
fn the_json_schema_is_that_of_the_fields() {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/src/decode/event.schema.json");
    let schema = affluent::decode::fields::json_schema();
    if std::env::var_os("UPDATE_FIXTURES").is_some() {
        std::fs::write(file, &schema).expect("the file can be written");
    }
    let shipped = std::fs::read_to_string(file).expect("the file is shipped");
    assert!(shipped.trim_end() == schema.trim_end(), "write it again with UPDATE_FIXTURES=1");
}
