//! Readme: do the examples that it shows a stranger do what it says?

use affluent::config::Shop;
use affluent::decode::{Change, Form, Row};
use dataflows::Action;

/// The first block of the README in this language.
fn block(language: &str) -> String {
    let readme = include_str!("../README.md");
    let mut blocks = readme.split("```");
    let found = blocks.find_map(|block| block.strip_prefix(language)?.strip_prefix('\n'));
    found.expect("the README has such a block").to_owned()
}

/// What an event in the shop of the README asks for.
fn asked(row: &Row) -> &'static str {
    match row.outcome.as_deref() {
        Ok([Change::Put { event, .. }]) => match &event.action {
            Action::View(_) => "view",
            Action::Identify(_) => "identify",
            Action::Order { .. } => "order",
            _ => "something else",
        },
        Ok([Change::Retract { .. }]) => "retract",
        Ok([Change::Erase(_)]) => "erase",
        _ => "nothing",
    }
}

#[test]
fn the_shop_and_its_events_are_understood() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("web-1.ndjson"), block("json")).unwrap();
    std::fs::write(
        folder.path().join("till.csv"),
        "invoice,when,customer,code,pieces,each\nA1,28.06.2011 10:22,ann,85123A,6,2.55\n",
    )
    .unwrap();
    let shop = Shop::parse(&block("toml"), "shop.toml", folder.path(), &|_| None).unwrap();
    assert!(matches!(shop.sources[0].form, Form::Ndjson));
    let mut names = shop.dictionary();
    let mut rows = shop.open(&mut names).unwrap();
    let mut found = Vec::new();
    while let Some(row) = rows.next_row(&mut names).unwrap() {
        found.push(asked(&row));
    }
    let expected = ["view", "identify", "order", "order", "retract", "erase", "order"];
    assert_eq!(found, expected);
}

#[test]
fn the_paths_that_it_names_are_there() {
    let readme = include_str!("../README.md");
    let links = readme.split("](").skip(1).filter_map(|link| link.split(')').next());
    for link in links.filter(|link| !link.starts_with("http")) {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(link);
        assert!(path.exists(), "README.md links to {link}, which is not there");
    }
}
