//! Formats: can every data directory be opened that this program has ever written?
//!
//! `tests/formats/v<N>/README.md` says how the directories were made; `WRITE_FORMATS` makes one.
#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

use std::path::{Path, PathBuf};
use std::sync::Arc;

use affluent::config::Shop;
use affluent::durable::erased::Erasures;
use affluent::durable::{Error, Found, Health};
use affluent::erase::erase;
use affluent::log::{self, Limits};
use affluent::run::{self, Audited, Input, Plan, audit, operate};
use affluent::storage::{Dice, Disk, Format, Storage};
use affluent::worker::Layout;
use dataflows::{Action, Context, Event, EventId, EventTime, IDENTITY, Item};

/// The version that this program writes.
const VERSION: u32 = 1;

/// The last tick of the directory, and how many ticks of the log follow its newest checkpoint.
const LAST: u64 = 12;
const TAIL: u64 = 3;

/// Where the directories of a version are.
fn place(version: u32) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/formats/v{version}"))
}

fn shop(folder: &Path) -> Shop {
    Shop::load(&folder.join("shop.toml")).unwrap()
}

fn find(data: &Path) -> Result<Found, Error> {
    Found::find(Arc::new(Disk::new(data)), Box::new(Dice::new(1)), 8)
}

/// Runs a shop to the end of its files, or to a tick.
fn read(shop: &Shop, data: &Path, at_tick: Option<u64>) {
    let opened = find(data).unwrap().open(Limits::default()).unwrap();
    let input = Input::open(shop).unwrap().durable(opened);
    let plan = Plan { layout: Layout::threads(1), at_tick, ..Plan::default() };
    run::run(shop, Some(input), plan, |_| ()).unwrap();
}

/// Makes a directory of two checkpoints, a tail, and an erased person.
fn write(folder: &Path) {
    let (shop, data) = (shop(folder), folder.join("whole"));
    read(&shop, &data, Some(3));
    let bob = shop.rules.identifier("user:bob", &shop.dictionary()).unwrap();
    let layout = Layout::threads(1);
    let found = find(&data).unwrap();
    operate(&shop, found, &layout, Health::default(), move |feed, driver, _| {
        erase(feed, driver, &[bob], false).map(drop)
    })
    .unwrap();
    read(&shop, &data, None);
    let found = find(&data).unwrap();
    let ann = shop.rules.identifier("user:ann", &shop.dictionary()).unwrap();
    operate(&shop, found, &layout, Health::default(), move |feed, driver, names| {
        for number in 0..TAIL {
            let mut names = names.lock().unwrap();
            let word = |names: &mut affluent::names::Dictionary, text| names.learn(text).unwrap();
            let event = Event {
                at: EventTime(1_770_000_000_000_000),
                id: EventId(number + 1),
                source: word(&mut names, "by hand"),
                who: [ann].into(),
                action: Action::View(Item(word(&mut names, "tail").0.get())),
                context: Context::default(),
            };
            drop(names);
            feed.ingest_mut().put(u128::from(number + 1), event)?;
            feed.commit(driver)?;
        }
        feed.ingest_mut().durable_mut().map_or(Ok(()), |durable| durable.note())
    })
    .unwrap();
    std::fs::remove_file(data.join("LOCK")).unwrap();
    damage(folder);
}

/// The names of the segments of a directory, and those of its parts.
fn names(data: &Path, folder: &str) -> Vec<String> {
    let names = Disk::new(data).list(folder).unwrap();
    names.into_iter().map(|name| format!("{folder}/{name}")).collect()
}

/// Makes the damaged ones: what is other than in the whole one, and the names of what is missing.
fn damage(folder: &Path) {
    let whole = folder.join("whole");
    let put = |name: &str, file: &str, bytes: &[u8]| {
        let path = folder.join(name).join(file);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    };
    let segment = names(&whole, "log").pop().unwrap();
    let bytes = std::fs::read(whole.join(&segment)).unwrap();
    put("torn_tail", &segment, &[bytes.as_slice(), &bytes[60..160]].concat());
    let mut flipped = bytes.clone();
    flipped[300] ^= 1;
    put("flipped_bit", &segment, &flipped);
    put("missing_part", "missing", format!("{}\n", names(&whole, "base")[0]).as_bytes());
    for name in ["MANIFEST.a", "MANIFEST.b"] {
        let mut bytes = std::fs::read(whole.join(name)).unwrap();
        let head = Format { letters: *b"afflusup", version: VERSION + 1 }.head();
        bytes[..head.len()].copy_from_slice(&head);
        put("newer_superblock", name, &bytes);
    }
    put("no_superblock", "missing", b"MANIFEST.a\nMANIFEST.b\n");
}

/// Copies all files of a folder over those of another.
fn copy(from: &Path, to: &Path) {
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let new = to.join(path.file_name().unwrap());
        if path.is_dir() {
            std::fs::create_dir_all(&new).unwrap();
            copy(&path, &new);
        } else {
            std::fs::copy(&path, &new).unwrap();
        }
    }
}

/// What opening a directory comes to: its views, compared, and who is known.
fn opened(
    folder: &Path,
    damage: Option<&str>,
) -> Result<(u64, Vec<Audited>, [bool; 2]), run::Error> {
    let shop = shop(folder);
    let ground = tempfile::tempdir().unwrap();
    copy(&folder.join("whole"), ground.path());
    if let Some(damage) = damage {
        copy(&folder.join(damage), ground.path());
        let missing = std::fs::read_to_string(ground.path().join("missing")).unwrap_or_default();
        missing.lines().for_each(|name| std::fs::remove_file(ground.path().join(name)).unwrap());
        _ = std::fs::remove_file(ground.path().join("missing"));
    }
    let found = find(ground.path())?;
    let known = ["user:ann", "user:bob"];
    let known = known.map(|who| shop.rules.identifier(who, &shop.dictionary()).unwrap());
    let settings = shop.settings.clone();
    operate(&shop, found, &Layout::threads(1), Health::default(), move |feed, driver, _| {
        let known = known.map(|who| driver.store().get(IDENTITY, &who).is_some());
        Ok((driver.upper().0 - 1, audit(driver, feed, &settings)?, known))
    })
}

#[test]
fn a_directory_of_every_version_is_what_its_batch_functions_give() {
    for version in 1..=VERSION {
        let folder = place(version);
        if std::env::var("WRITE_FORMATS").is_ok() && !folder.join("whole").exists() {
            write(&folder);
        }
        for damage in [None, Some("torn_tail")] {
            let (last, views, known) = opened(&folder, damage).unwrap();
            assert_eq!((last, known), (LAST, [true, false]));
            assert!(15 < views.len());
            for Audited { view, difference, .. } in views {
                assert_eq!(difference, None, "{view}");
            }
        }
        let disk = Disk::new(folder.join("whole"));
        assert_eq!(disk.list("ckpt").unwrap().len(), 2);
        let newest = log::newest(&disk).unwrap();
        assert_eq!(newest.checkpoint.unwrap().0 + TAIL, LAST);
        assert_eq!(Erasures::read(&disk).unwrap().0.len(), 1);
    }
}

/// Whether an error is the one that is expected.
type Expected = fn(&Error) -> bool;

#[test]
fn a_damaged_directory_of_every_version_is_refused_as_what_it_is() {
    let table: [(&str, Expected, &str); 4] = [
        (
            "flipped_bit",
            |error| matches!(error, Error::Log(log::Error::Damaged { .. })),
            "affluent repair --from BACKUP",
        ),
        (
            "missing_part",
            |error| matches!(error, Error::Io { name, .. } if name.ends_with(".part")),
            "base/",
        ),
        (
            "newer_superblock",
            |error| matches!(error, Error::Log(log::Error::Newer { .. })),
            "use the program that wrote it",
        ),
        (
            "no_superblock",
            |error| matches!(error, Error::Log(log::Error::Foreign { .. })),
            "affluent repair --from BACKUP",
        ),
    ];
    for version in 1..=VERSION {
        for (name, expected, says) in table {
            let Err(run::Error::Durable(error)) = opened(&place(version), Some(name)) else {
                panic!("{name} of version {version} is not refused by the directory");
            };
            assert!(expected(&error), "{name} of version {version}: {error:?}");
            assert!(error.to_string().contains(says), "{name}: {error}");
        }
    }
}
