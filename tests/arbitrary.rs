//! Arbitrary: can any bytes make a decoder panic, hang, or say what nobody wrote?
//!
//! Each target takes good inputs, changes them at random for `FUZZ_SECONDS` (one, unless the
//! environment says), and must answer with a value or a typed error. `FUZZ_SEED` sets where the
//! changes begin. Inputs that once found something are kept in `tests/corpus` and are tried first.
#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use affluent::config::Shop;
use affluent::durable::Found;
use affluent::ledger::Ledger;
use affluent::log::{Directory, Limits, Log};
use affluent::names::{Dictionary, SECRET_DEFAULT};
use affluent::storage::{Dice, Model, Storage};
use affluent::worker::clock;
use dataflows::{
    Action, Context, Event, EventId, EventTime, Identifier, Item, Kind, Settings, Tick, spread,
};

/// A number from the environment.
fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().expect("a number"))
}

/// Changes `bytes` in one of the ways in which files go wrong.
fn change(bytes: &mut Vec<u8>, dice: &mut Dice) {
    for _ in 0..=dice.below(4) {
        let place = dice.below(bytes.len().max(1));
        match dice.below(7) {
            0 if place < bytes.len() => bytes[place] ^= 1 << dice.below(8),
            1 if place < bytes.len() => bytes[place] = u8::try_from(dice.below(256)).unwrap(),
            2 => bytes.truncate(place),
            3 => {
                let mut more = vec![0; 1 + dice.below(20)];
                dice.fill(&mut more);
                bytes.splice(place.min(bytes.len())..place.min(bytes.len()), more);
            }
            4 if place < bytes.len() => {
                let end = (place + 1 + dice.below(30)).min(bytes.len());
                bytes.drain(place..end);
            }
            5 if place + 8 <= bytes.len() => {
                let odd = [0, 1, u64::MAX, u64::from(u32::MAX), 1 << 31, 1 << 40];
                bytes[place..place + 8].copy_from_slice(&odd[dice.below(odd.len())].to_le_bytes());
            }
            _ if place < bytes.len() => {
                let end = (place + 1 + dice.below(30)).min(bytes.len());
                let again = bytes[place..end].to_vec();
                bytes.splice(place..place, again);
            }
            _ => {}
        }
    }
}

/// Tries the corpus of a target and then changed inputs, as long as there is time.
fn fuzz(target: &str, inputs: &[Vec<u8>], attempt: &dyn Fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus").join(target);
    let mut kept = 0;
    for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
        attempt(&std::fs::read(entry.path()).unwrap());
        kept += 1;
    }
    let (began, seconds) = (clock::now(), number("FUZZ_SECONDS", 1));
    let mut dice = Dice::new(number("FUZZ_SEED", 1));
    let mut tried = 0_u64;
    while began.elapsed() < Duration::from_secs(seconds) {
        for _ in 0..64 {
            let mut bytes = inputs[dice.below(inputs.len())].clone();
            change(&mut bytes, &mut dice);
            attempt(&bytes);
            tried += 1;
        }
    }
    eprintln!("{target}: {kept} kept inputs and {tried} changed ones");
}

/// A directory with a log of a few ticks, on a modelled disk.
fn log() -> (Model, Vec<Vec<u8>>) {
    let disk = Model::new(1);
    let storage: Arc<dyn Storage> = Arc::new(disk.clone());
    let mut directory = Directory::create(Arc::clone(&storage), [7; 16]).unwrap();
    let limits = Limits { segment_bytes: 400, ..Limits::default() };
    let mut log = Log::create(Arc::clone(&storage), directory.superblock(), limits).unwrap();
    directory.change(|_| ()).unwrap();
    let bodies: Vec<Vec<u8>> = (0..6).map(|n| vec![n; 40 * usize::from(n)]).collect();
    for (tick, body) in (0..).zip(&bodies) {
        log.append(Tick(tick), body).unwrap();
        directory.note(log.sync().unwrap()).unwrap();
    }
    (disk, bodies)
}

#[test]
fn frames_are_what_was_written_or_refused() {
    let (disk, bodies) = log();
    let name = "log/0000000000000001.seg";
    let good = disk.read(name).unwrap();
    fuzz("frame", std::slice::from_ref(&good), &|bytes| {
        let disk = disk.crash(1);
        disk.tamper(name, |file| *file = bytes.to_vec()).unwrap();
        let storage: Arc<dyn Storage> = Arc::new(disk);
        let Ok(directory) = Directory::open(Arc::clone(&storage)) else { return };
        let opened = Log::open(storage, directory.superblock(), Limits::default());
        let Ok((log, _)) = opened else { return };
        for frame in log.read(log.since()).unwrap() {
            let frame = frame.unwrap();
            assert_eq!(frame.body, bodies[usize::try_from(frame.tick.0).unwrap()]);
        }
        assert_eq!(log.upper(), Tick(6), "what was acknowledged is there, or it is refused");
    });
}

#[test]
fn superblocks_are_what_was_written_or_refused() {
    let (disk, _) = log();
    let good = disk.read("MANIFEST.a").unwrap();
    fuzz("superblock", &[good], &|bytes| {
        let disk = disk.crash(1);
        for name in ["MANIFEST.a", "MANIFEST.b"] {
            disk.tamper(name, |file| *file = bytes.to_vec()).unwrap();
        }
        if let Ok(directory) = Directory::open(Arc::new(disk)) {
            assert_eq!(directory.superblock().directory, [7; 16]);
        }
    });
}

/// A directory with a checkpoint of some events.
fn checkpointed() -> Model {
    let disk = Model::new(1);
    let storage: Arc<dyn Storage> = Arc::new(disk.clone());
    let found = Found::find(storage, Box::new(Dice::new(1)), 8).unwrap();
    let mut opened = found.open(Limits::default()).unwrap();
    let names = Arc::new(Mutex::new(Dictionary::new(SECRET_DEFAULT)));
    opened.durable.name(Arc::clone(&names), &Settings::default());
    let mut ledger = Ledger::on_disk(opened.journal);
    let source = names.lock().unwrap().learn("web").unwrap();
    for number in 0..30_u64 {
        let key = u128::from(spread(number));
        let cookie = names.lock().unwrap().learn_identifier(Kind(5), &format!("c{}", number % 4));
        let who: Vec<Identifier> = if number % 5 == 0 { vec![] } else { vec![cookie] };
        let event = Event {
            at: EventTime(i64::try_from(number).unwrap()),
            id: EventId(spread(number)),
            source,
            who: who.into(),
            action: Action::View(Item(number)),
            context: Context::default(),
        };
        ledger.put(key, event, &mut Vec::new()).unwrap();
    }
    opened.durable.commit(&mut ledger, Tick(0), (&[], None), || ()).unwrap();
    let store = affluent::view::Store::new(false);
    opened.durable.checkpoint(&mut ledger, &store, b"state", false).unwrap();
    disk
}

/// Takes up what a directory has.
fn take_up(disk: Model) {
    let storage: Arc<dyn Storage> = Arc::new(disk);
    let Ok(found) = Found::find(storage, Box::new(Dice::new(1)), 8) else { return };
    let Ok(opened) = found.open(Limits::default()) else { return };
    let names = Arc::new(Mutex::new(Dictionary::new(SECRET_DEFAULT)));
    let mut ledger = Ledger::on_disk(opened.journal);
    let Some(newest) = opened.durable.newest().cloned() else { return };
    for part in &newest.parts {
        let read = opened.durable.read_part(part, &mut |place, block| {
            let mut names = names.lock().unwrap();
            ledger.apply(block, place, &mut names, &mut Vec::new()).map(drop)
        });
        if read.is_err() {
            return;
        }
    }
    assert_eq!(ledger.len(), 30, "all events, or a refusal");
}

#[test]
fn parts_of_checkpoints_are_what_was_written_or_refused() {
    let disk = checkpointed();
    let name = "base/000000000001.part";
    let good = disk.read(name).unwrap();
    fuzz("part", &[good], &|bytes| {
        let disk = disk.crash(1);
        disk.tamper(name, |file| *file = bytes.to_vec()).unwrap();
        take_up(disk);
    });
}

#[test]
fn lists_of_checkpoints_are_what_was_written_or_refused() {
    let disk = checkpointed();
    let name = "ckpt/00000000000000000000/checkpoint";
    let good = disk.read(name).unwrap();
    fuzz("checkpoint", &[good], &|bytes| {
        let disk = disk.crash(1);
        disk.tamper(name, |file| *file = bytes.to_vec()).unwrap();
        take_up(disk);
    });
}

#[test]
fn every_flipped_bit_of_a_checkpoint_is_noticed_or_does_no_harm() {
    let disk = checkpointed();
    let mut dice = Dice::new(number("FUZZ_SEED", 1));
    let files = ["base/000000000001.part", "ckpt/00000000000000000000/checkpoint"];
    for number in 0..number("FLIPS", 2000) {
        let name = files[usize::from(number % 4 == 0)];
        let disk = disk.crash(1);
        disk.tamper(name, |file| {
            let place = dice.below(file.len());
            file[place] ^= 1 << dice.below(8);
        })
        .unwrap();
        let storage: Arc<dyn Storage> = Arc::new(disk);
        let found = Found::find(storage, Box::new(Dice::new(1)), 8);
        let Ok(opened) = found.and_then(|found| found.open(Limits::default())) else { continue };
        let names = Arc::new(Mutex::new(Dictionary::new(SECRET_DEFAULT)));
        let mut ledger = Ledger::on_disk(opened.journal);
        let newest = opened.durable.newest().expect("it was not refused").clone();
        let read = opened.durable.read_part(&newest.parts[0], &mut |place, block| {
            let mut names = names.lock().unwrap();
            ledger.apply(block, place, &mut names, &mut Vec::new()).map(drop)
        });
        let error = read.expect_err("a flipped bit is noticed").to_string();
        assert!(error.contains(name), "{error}");
    }
}

/// Reads all rows of a shop's only file.
fn rows(shop: &str, file: &str, bytes: &[u8]) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(file), bytes).unwrap();
    let shop = Shop::parse(shop, "shop.toml", folder.path(), &|_| None).unwrap();
    let mut names = shop.dictionary();
    let mut reader = shop.open(&mut names).unwrap();
    while let Ok(Some(row)) = reader.next_row(&mut names) {
        drop(row);
    }
}

#[test]
fn lines_of_json_are_rows_or_refused() {
    let good = concat!(
        r#"{"id":"o1","at":"2011-06-28T10:25:00Z","who":{"email":"a@b.c"},"action":"order","#,
        r#""order":"5","lines":[{"item":"8","quantity":6,"price":"2.55"}]}"#,
        "\n",
        r#"{"id":"v1","at":1309256520,"who":{"cookie":"c"},"action":"view","item":"8"}"#,
        "\n",
        r#"{"id":"v1","op":"retract"}"#
    );
    let shop = "[[source]]\nname = \"web\"\nfiles = \"a.ndjson\"\n";
    fuzz("ndjson", &[good.into()], &|bytes| rows(shop, "a.ndjson", bytes));
}

#[test]
fn lines_of_csv_are_rows_or_refused() {
    let good = "op,id,at,user,action,order,item,quantity,price\n\
                ,1,2011-06-28T10:22:00Z,u1,order,o,\"a \"\"b\"\"\",2,3.50\nretract,1,,,,,,,\n";
    let shop = "[[source]]\nname = \"web\"\nfiles = \"a.csv\"\n";
    fuzz("csv", &[good.into()], &|bytes| rows(shop, "a.csv", bytes));
}

#[test]
fn shops_files_are_read_or_refused() {
    let slice = include_str!("../fixtures/online-retail-slice/shop.toml");
    let inputs = [affluent::config::REFERENCE.as_bytes().to_vec(), slice.as_bytes().to_vec()];
    fuzz("shop", &inputs, &|bytes| {
        if let Ok(text) = std::str::from_utf8(bytes) {
            drop(Shop::parse(text, "shop.toml", Path::new(""), &|_| None));
        }
    });
}
