//! Durable log: is what was acknowledged there, whatever the disk has done?
//!
//! Crashes are modelled, each from a seed. `TRIALS` says how many; a failure prints its seed, and
//! `SEED` runs that one alone.
#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

use std::collections::BTreeMap;
use std::sync::Arc;

use affluent::log::{
    Directory, Error, Limits, Log, Mark, Opened, Outside, Place, Superblock, install, newest,
};
use affluent::storage::{Dice, Disk, Format, Model, Storage, checksum};
use dataflows::Tick;

#[path = "support/crash.rs"]
mod crash;

/// The name of the directory of all tests.
const ID: [u8; 16] = *b"a data directory";

const SMALL: Limits = Limits { segment_bytes: 1500, frame_bytes_max: 10_000 };

/// How many modelled crashes are tried where `TRIALS` does not say.
const TRIALS: u64 = 20_000;

/// How many bits are flipped.
const FLIPS: u64 = 20_000;

fn shared(disk: &Model) -> Arc<dyn Storage> {
    Arc::new(disk.clone())
}

fn created(storage: &Arc<dyn Storage>, limits: Limits) -> (Directory, Log) {
    let mut directory = Directory::create(Arc::clone(storage), ID).unwrap();
    let log = Log::create(Arc::clone(storage), directory.superblock(), limits).unwrap();
    directory.change(|_| ()).unwrap();
    (directory, log)
}

fn reopened(storage: &Arc<dyn Storage>) -> Result<(Directory, Log, Opened), Error> {
    let directory = Directory::open(Arc::clone(storage))?;
    let (log, opened) = Log::open(Arc::clone(storage), directory.superblock(), SMALL)?;
    Ok((directory, log, opened))
}

/// The body of a tick, which nothing else has.
fn body(tick: u64, bytes: usize) -> Vec<u8> {
    let mut body = vec![0; bytes];
    Dice::new(tick).fill(&mut body);
    body
}

fn bodies(log: &Log) -> Vec<Vec<u8>> {
    log.read(log.since()).unwrap().map(|frame| frame.unwrap().body).collect()
}

/// A directory of many segments, with its bodies: all is synced tick by tick, and the superblocks
/// know the first half.
fn filled(ticks: u64) -> (Model, Vec<Vec<u8>>) {
    let disk = Model::new(1);
    let (mut directory, mut log) = created(&shared(&disk), SMALL);
    let all: Vec<Vec<u8>> =
        (0..ticks).map(|tick| body(tick, usize::try_from(tick * 37 % 300).unwrap())).collect();
    for (tick, body) in (0..).zip(&all) {
        log.append(Tick(tick), body).unwrap();
        let mark = log.sync().unwrap();
        if tick == ticks / 2 {
            directory.change(|superblock| superblock.mark = mark).unwrap();
        }
    }
    (disk, all)
}

fn segments(disk: &Model) -> Vec<String> {
    disk.list("log").unwrap().iter().map(|name| format!("log/{name}")).collect()
}

#[test]
fn what_was_acknowledged_survives_every_modelled_crash() {
    let number = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let seeds = match number("SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("TRIALS").unwrap_or(TRIALS),
    };
    let mut tally = BTreeMap::new();
    for seed in seeds.clone() {
        crash::trial(seed, &mut tally);
    }
    println!("{} trials: {tally:?}", seeds.end - seeds.start);
    if TRIALS / 10 < seeds.end - seeds.start {
        for what in crash::EVENTS {
            assert!(tally.contains_key(what), "no trial has seen {what}: {tally:?}");
        }
    }
}

/// A log whose last three frames are groups of their own, its marks after each frame, and where
/// each frame ends.
fn three_frames() -> (Model, Vec<Mark>, Vec<Vec<u8>>) {
    let disk = Model::new(1);
    let limits = Limits { segment_bytes: 1 << 20, frame_bytes_max: 10_000 };
    let (_, mut log) = created(&shared(&disk), limits);
    let all: Vec<Vec<u8>> = (0..5).map(|tick| body(tick, 3400)).collect();
    let mut marks = vec![log.mark()];
    for (tick, body) in (0..).zip(&all) {
        log.append(Tick(tick), body).unwrap();
        marks.push(log.sync().unwrap());
    }
    (disk, marks, all)
}

#[test]
fn a_torn_end_gets_the_right_verdict_at_every_byte_of_the_last_three_frames() {
    let (disk, marks, all) = three_frames();
    let file = "log/0000000000000001.seg";
    let bytes = disk.read(file).unwrap();
    let ends: Vec<u64> = marks.iter().map(|mark| mark.place.offset()).collect();
    let mut cuts = 0;
    for known in 1..marks.len() {
        let superblock = Superblock { mark: marks[known], ..Superblock::new(ID) };
        for end in ends[2]..=ends[5] {
            cuts += 1;
            let torn = bytes[..usize::try_from(end).unwrap()].to_vec();
            disk.tamper(file, |bytes| *bytes = torn).unwrap();
            let whole = ends.partition_point(|good| *good <= end) - 1;
            let opened = Log::open(shared(&disk), &superblock, SMALL);
            if whole < known {
                let Err(Error::Damaged { file: named, offset, tick, .. }) = opened else {
                    panic!("cut at {end}, frame {known} is known: {opened:?}")
                };
                let at = (named.as_str(), offset, tick.0);
                assert_eq!(at, (file, ends[whole], u64::try_from(whole).unwrap()));
                assert_eq!(disk.len(file).unwrap(), end, "nothing was written");
                continue;
            }
            let (log, opened) = opened.unwrap();
            assert_eq!(bodies(&log), all[..whole], "cut at {end}, frame {known} is known");
            assert_eq!(opened.mark, marks[whole]);
            let cut = opened.cut.map(|cut| (cut.file, cut.offset, cut.tick, cut.bytes));
            let torn = end - ends[whole];
            let expected = (file.to_owned(), ends[whole], marks[whole].upper, torn);
            assert_eq!(cut, (0 < torn).then_some(expected));
            assert_eq!(disk.len(file).unwrap(), ends[whole]);
        }
    }
    println!("{cuts} cuts");
    assert!(40_000 < cuts);
}

#[test]
fn a_hole_before_a_whole_frame_that_vouches_for_it_is_damage_at_every_byte() {
    let (disk, marks, all) = three_frames();
    let file = "log/0000000000000001.seg";
    let bytes = disk.read(file).unwrap();
    let ends: Vec<u64> = marks.iter().map(|mark| mark.place.offset()).collect();
    // The superblock knows nothing: it is the frames after the hole that know.
    let superblock = Superblock::new(ID);
    for hole in ends[2]..ends[5] {
        let frame = ends.partition_point(|good| *good <= hole) - 1;
        let end = usize::try_from(ends[frame + 1]).unwrap();
        let mut torn = bytes.clone();
        torn[usize::try_from(hole).unwrap()..end].fill(0);
        if torn == bytes {
            continue;
        }
        disk.tamper(file, |bytes| *bytes = torn).unwrap();
        match Log::open(shared(&disk), &superblock, SMALL) {
            Err(Error::Damaged { offset, tick, .. }) if frame < 4 => {
                assert_eq!((offset, tick), (ends[frame], marks[frame].upper), "hole at {hole}");
            }
            Ok((log, opened)) if frame == 4 => {
                assert_eq!(bodies(&log), all[..4], "hole at {hole}");
                assert!(opened.cut.is_some());
            }
            other => panic!("hole at {hole}: {other:?}"),
        }
    }
}

#[test]
fn no_flipped_bit_is_taken_for_what_was_written() {
    let (whole, all) = filled(60);
    let mut files = segments(&whole);
    files.extend(["MANIFEST.a", "MANIFEST.b"].map(str::to_owned));
    let last = reopened(&shared(&whole.crash(0))).unwrap().1.mark().place;
    let mut dice = Dice::new(1);
    let mut verdicts: BTreeMap<&str, u32> = BTreeMap::new();
    for flip in 0..FLIPS {
        let disk = whole.crash(0);
        // Superblocks are short: every tenth flip is in one.
        let few = if flip % 10 == 0 { 2 } else { 0 };
        let file = &files
            [if few == 0 { dice.below(files.len()) } else { files.len() - 1 - dice.below(few) }];
        let bit = dice.below(usize::try_from(disk.len(file).unwrap()).unwrap() * 8);
        disk.tamper(file, |bytes| bytes[bit / 8] ^= 1 << (bit % 8)).unwrap();
        let place = format!("bit {bit} of {file}");
        let verdict = match reopened(&shared(&disk)) {
            Err(Error::Damaged { file: named, offset, .. }) => {
                assert_eq!(&named, file, "{place}");
                assert!(offset <= u64::try_from(bit / 8).unwrap(), "{place}: named {offset}");
                "refused"
            }
            Ok((directory, log, opened)) if file.starts_with("MANIFEST") => {
                assert!(directory.damaged().is_some(), "{place}");
                assert_eq!((bodies(&log), opened.cut), (all.clone(), None), "{place}");
                "other superblock"
            }
            Ok((_, log, opened)) => {
                // Nothing vouches for the last frame but itself.
                let cut = opened.cut.unwrap_or_else(|| panic!("{place} is silent"));
                assert_eq!((bodies(&log), &cut.file), (all[..59].to_vec(), file), "{place}");
                assert!(cut.offset <= u64::try_from(bit / 8).unwrap(), "{place}");
                assert_eq!(Place::new(last.segment(), cut.offset + cut.bytes), last);
                "cut"
            }
            Err(error) => panic!("{place}: {error}"),
        };
        *verdicts.entry(verdict).or_default() += 1;
    }
    println!("{FLIPS} flips: {verdicts:?}");
    assert_eq!(verdicts.len(), 3);
}

#[test]
fn a_deleted_file_is_named() {
    let (whole, all) = filled(60);
    let files = segments(&whole);
    for (place, file) in files.iter().enumerate() {
        let disk = whole.crash(0);
        disk.remove(file).unwrap();
        match reopened(&shared(&disk)) {
            Err(Error::Missing { file: named, .. }) => assert_eq!(&named, file),
            // The superblocks know the first half, and frames what came before them.
            Ok((_, log, _)) if place + 1 == files.len() => {
                let left = bodies(&log);
                assert!(30 < left.len() && left == all[..left.len()]);
            }
            other => panic!("{file}: {other:?}"),
        }
    }
    let disk = whole.crash(0);
    disk.remove("MANIFEST.a").unwrap();
    let (directory, log, _) = reopened(&shared(&disk)).unwrap();
    assert!(directory.damaged().unwrap().starts_with("MANIFEST.a"));
    assert_eq!(bodies(&log), all);
    drop((directory, log));
    assert_eq!(reopened(&shared(&disk)).unwrap().0.damaged(), None, "it is mended");
    disk.remove("MANIFEST.a").unwrap();
    disk.tamper("MANIFEST.b", |bytes| bytes[50] ^= 1).unwrap();
    assert!(matches!(reopened(&shared(&disk)), Err(Error::Superblocks { .. })));
    disk.remove("MANIFEST.b").unwrap();
    assert!(matches!(reopened(&shared(&disk)), Err(Error::Foreign { .. })));
    let error = reopened(&shared(&disk)).unwrap_err().to_string();
    assert!(error.contains("affluent repair --from BACKUP"), "{error}");
}

#[test]
fn files_that_change_places_are_refused() {
    let (whole, _) = filled(60);
    let (one, two) = ("log/0000000000000002.seg", "log/0000000000000003.seg");
    let disk = whole.crash(0);
    disk.rename(one, "log/x").unwrap();
    disk.rename(two, one).unwrap();
    disk.rename("log/x", two).unwrap();
    let error = reopened(&shared(&disk)).unwrap_err();
    assert!(matches!(&error, Error::Damaged { file, .. } if file == one), "{error}");
    // A segment of another directory, after the last of this one.
    let disk = whole.crash(0);
    let next = format!("log/{:016x}.seg", segments(&disk).len() + 1);
    let mut header = disk.read(one).unwrap();
    header.truncate(68);
    header[16] ^= 1;
    let sum = checksum(0, &header[..64]).to_le_bytes();
    header[64..].copy_from_slice(&sum);
    disk.create(&next).unwrap().append(&header).unwrap();
    let error = reopened(&shared(&disk)).unwrap_err();
    assert!(error.to_string().contains("belongs to another data directory"), "{error}");
    assert!(disk.exists(&next).unwrap(), "nothing is removed");
}

#[test]
fn a_newer_format_is_refused_by_name() {
    let (whole, _) = filled(20);
    let kinds = [("MANIFEST.b", *b"afflusup"), ("log/0000000000000001.seg", *b"afflulog")];
    for (file, letters) in kinds {
        let disk = whole.crash(0);
        let head = Format { letters, version: 9 }.head();
        disk.tamper(file, |bytes| bytes[..head.len()].copy_from_slice(&head)).unwrap();
        let error = reopened(&shared(&disk)).unwrap_err();
        assert!(
            matches!(&error, Error::Newer { file: named, version: 9, known: 1 } if named == file),
            "{error}"
        );
    }
}

#[test]
fn superblocks_older_than_the_log_are_refused() {
    let (disk, _) = filled(20);
    let old = ["MANIFEST.a", "MANIFEST.b"].map(|name| (name, disk.read(name).unwrap()));
    let (_, mut log, _) = reopened(&shared(&disk)).unwrap();
    log.append(Tick(20), b"of the second opening").unwrap();
    log.sync().unwrap();
    drop(log);
    let (directory, log, _) = reopened(&shared(&disk)).unwrap();
    drop((directory, log));
    let generation = |name: &str, bytes: &[u8]| {
        let mut bytes = bytes.to_vec();
        bytes[32..36].copy_from_slice(&0_u32.to_le_bytes());
        let sum = checksum(0, &bytes[..124]).to_le_bytes();
        bytes[124..].copy_from_slice(&sum);
        disk.tamper(name, |there| *there = bytes).unwrap();
    };
    old.iter().for_each(|(name, bytes)| generation(name, bytes));
    let error = reopened(&shared(&disk)).unwrap_err();
    assert!(error.to_string().contains("newer than MANIFEST.a"), "{error}");
}

#[test]
fn a_real_disk_keeps_a_log_and_lends_it_to_one() {
    let folder = tempfile::tempdir().unwrap();
    let disk: Arc<dyn Storage> = Arc::new(Disk::new(folder.path().join("data")));
    assert!(matches!(reopened(&disk), Err(Error::Empty)));
    assert!(!folder.path().join("data").exists(), "nothing was made");
    let (mut directory, mut log) = created(&disk, SMALL);
    for tick in 0..30 {
        log.append(Tick(tick), &body(tick, 200)).unwrap();
        if tick % 10 == 9 {
            directory.note(log.sync().unwrap()).unwrap();
        }
    }
    log.append(Tick(30), b"never synced").unwrap();
    assert!(matches!(reopened(&disk), Err(Error::Locked)));
    drop((directory, log));
    let (mut directory, mut log, opened) = reopened(&disk).unwrap();
    assert_eq!((log.upper(), opened.beyond, opened.cut), (Tick(31), 1, None));
    let mark = log.mark();
    directory.change(|superblock| (superblock.mark, superblock.since) = (mark, Tick(15))).unwrap();
    assert!(!log.compact(Tick(15)).unwrap().is_empty());
    assert_eq!(bodies(&log).len(), 16);
    drop((directory, log));
    let (_directory, log, _) = reopened(&disk).unwrap();
    assert_eq!((log.since(), bodies(&log).len()), (Tick(15), 16));
}

#[test]
fn a_log_is_cut_at_any_tick_and_goes_on_from_there() {
    let ticks = 40;
    for upper in 0..=ticks {
        let (disk, before) = filled(ticks);
        let storage = shared(&disk);
        let superblock = newest(&disk).unwrap();
        let outside = Outside::read(Arc::clone(&storage), &superblock).unwrap();
        assert_eq!(outside.upper(), Tick(ticks));
        assert_eq!(outside.frames().count(), before.len());
        assert!(matches!(outside.cut(Tick(ticks + 1)), Err(Error::Ahead { .. })));
        let mark = outside.cut(Tick(upper)).unwrap();
        assert_eq!(mark.upper, Tick(upper));
        install(&disk, &Superblock { mark, generation: 1 << 20, ..superblock }).unwrap();
        for turn in 0..2 {
            let (mut directory, mut log, opened) = reopened(&storage).unwrap();
            assert_eq!(opened.cut, None, "tick {upper}");
            let kept = usize::try_from(upper).unwrap();
            assert_eq!(bodies(&log)[..kept], before[..kept], "tick {upper}");
            assert_eq!(log.upper(), Tick(upper + 3 * turn));
            for tick in 0..3 {
                log.append(Tick(upper + 3 * turn + tick), &body(1000 + tick, 300)).unwrap();
                directory.note(log.sync().unwrap()).unwrap();
            }
        }
    }
}
