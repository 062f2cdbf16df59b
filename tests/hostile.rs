//! Hostile: does anything that a source may send stop the program, or vanish?
//!
//! `TRIALS` sets the number of rows. Every one is accepted, a duplicate, or in the rejects with its
//! reason, and the program goes on to its end.
#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

use std::io::{BufWriter, Write};

use affluent::config::Shop;
use affluent::run::{Input, Plan, run};
use affluent::storage::Dice;
use dataflows::REJECTS;

/// How a row begins that would be good.
const HEAD: &str = r#"{"id":"#;

/// One row, which is hostile in some way, or good once in a while.
fn row(dice: &mut Dice, number: usize) -> Vec<u8> {
    let field = |name: &str, value: String| {
        let at = if name == "at" { value.clone() } else { "\"2024-02-03T04:05:06Z\"".to_owned() };
        let who = if name == "who" { value.clone() } else { "{\"cookie\":\"c1\"}".to_owned() };
        let item = if name == "item" { value } else { "\"i1\"".to_owned() };
        format!(
            "{HEAD}\"e{number}\",\"at\":{at},\"who\":{who},\"action\":\"view\",\"item\":{item}}}"
        )
    };
    let numbers = ["NaN", "1e308", "-1e999", "1e-400", "Infinity", "0x10", "00"].map(str::to_owned);
    let years = [
        "0000-00-00T00:00:00Z",
        "0000-01-01T00:00:00Z",
        "9999-12-31T23:59:59Z",
        "99999-01-01",
        "-1",
    ];
    let pick = dice.below(1000);
    let some = pick % 7;
    let good = || field("item", "\"ok\"".into()).into_bytes();
    match dice.below(14) {
        0 => field("at", format!("\"{}\"", years[some % years.len()])).into_bytes(),
        1 => field("at", numbers[some].clone()).into_bytes(),
        2 => field("item", "[".repeat(1 + pick) + &"]".repeat(1 + pick)).into_bytes(),
        3 => {
            let deep = 1 + pick % 200;
            field("who", "{\"a\":".repeat(deep) + "1" + &"}".repeat(deep)).into_bytes()
        }
        4 => {
            let long = if pick == 0 { 2 << 20 } else { pick };
            field("item", format!("\"{}\"", "x".repeat(long))).into_bytes()
        }
        5 => {
            let mut bytes = good();
            let place = dice.below(bytes.len());
            bytes[place] = 0x80 | u8::try_from(pick % 128).unwrap();
            bytes
        }
        6 => {
            let mut bytes = good();
            bytes.truncate(dice.below(bytes.len()));
            // A row of blanks is no row.
            bytes.insert(0, b'{');
            bytes
        }
        7 => field("who", "null".into()).into_bytes(),
        8 => field("item", "\"\\u0000\\ud800\"".into()).into_bytes(),
        9 => format!("{HEAD}\"e{number}\",\"op\":\"retract\"}}").into_bytes(),
        10 => {
            let mut bytes = vec![0; 1 + pick % 300];
            dice.fill(&mut bytes);
            bytes.iter_mut().filter(|byte| b"\n\r".contains(byte)).for_each(|byte| *byte = b'?');
            bytes.push(b'x');
            bytes
        }
        11 => format!(
            "{HEAD}\"e{number}\",\"at\":\"2024-02-03T04:05:06Z\",\"who\":{{\"cookie\":\"c1\"}},\
             \"action\":\"order\",\"order\":\"o\",\"lines\":[{{\"item\":\"i\",\"quantity\":{},\
             \"price\":\"{}\"}}]}}",
            numbers[some],
            numbers[(some + 3) % 7]
        )
        .into_bytes(),
        12 => format!("{HEAD}\"e{number}\",\"{}\":1}}", "k".repeat(1 + pick)).into_bytes(),
        _ => field("item", format!("\"i{some}\"")).into_bytes(),
    }
}

#[test]
fn no_row_stops_the_program_and_none_vanishes() {
    let rows = std::env::var("TRIALS").map_or(50_000, |text| text.parse().expect("a number"));
    let folder = tempfile::tempdir().unwrap();
    let mut file = BufWriter::new(std::fs::File::create(folder.path().join("web.ndjson")).unwrap());
    let mut dice = Dice::new(20_101_201);
    for number in 0..rows {
        file.write_all(&row(&mut dice, number)).unwrap();
        file.write_all(b"\n").unwrap();
    }
    file.flush().unwrap();
    let text = "[[source]]\nname = \"web\"\nfiles = \"web.ndjson\"\n";
    let shop = Shop::parse(text, "shop.toml", folder.path(), &|_| None).unwrap();
    let input = Input::open(&shop).unwrap();
    let done = run(&shop, Some(input), Plan::default(), |_| ()).unwrap().unwrap();
    let counts = done.report.counts;
    assert_eq!(counts.rows, u64::try_from(rows).unwrap());
    assert_eq!(counts.rows, counts.accepted + counts.duplicate + counts.rejected);
    let rejects = done.store.len(REJECTS.name);
    eprintln!(
        "{} rows: {} accepted, {} rejected, {rejects} in the view of rejects",
        counts.rows, counts.accepted, counts.rejected
    );
    assert_eq!(u64::try_from(rejects).unwrap(), counts.rejected, "every reject can be seen");
}
