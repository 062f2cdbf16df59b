//! Tests: does the log keep its word where nothing has crashed?

use std::io;

use super::*;
use crate::storage::{Model, Plan};

const ID: [u8; 16] = [7; 16];

const SMALL: Limits = Limits { segment_bytes: 400, frame_bytes_max: 1000 };

fn new_log(disk: &Model) -> (Directory, Log) {
    let disk: Arc<dyn Storage> = Arc::new(disk.clone());
    let mut directory = Directory::create(Arc::clone(&disk), ID).unwrap();
    let log = Log::create(disk, directory.superblock(), SMALL).unwrap();
    directory.change(|_| ()).unwrap();
    (directory, log)
}

fn reopen(disk: &Model) -> Result<(Directory, Log, Opened), Error> {
    let disk: Arc<dyn Storage> = Arc::new(disk.clone());
    let directory = Directory::open(Arc::clone(&disk))?;
    let (log, opened) = Log::open(disk, directory.superblock(), SMALL)?;
    Ok((directory, log, opened))
}

fn body(tick: u64) -> Vec<u8> {
    vec![u8::try_from(tick % 256).unwrap(); usize::try_from(60 + tick * 7 % 50).unwrap()]
}

/// Appends and syncs some ticks, each by itself.
fn fill(log: &mut Log, ticks: u64) {
    for _ in 0..ticks {
        let tick = log.upper();
        log.append(tick, &body(tick.0)).unwrap();
        log.sync().unwrap();
    }
}

fn ticks(log: &Log, from: u64) -> Vec<u64> {
    let frames = log.read(Tick(from)).unwrap().map(Result::unwrap);
    frames.inspect(|frame| assert_eq!(frame.body, body(frame.tick.0))).map(|f| f.tick.0).collect()
}

#[test]
fn what_is_appended_is_read_from_any_tick_before_and_after_a_restart() {
    let disk = Model::new(1);
    let (directory, mut log) = new_log(&disk);
    fill(&mut log, 20);
    assert!(4 < log.segments.len(), "the log has several segments");
    for from in 0..=20 {
        assert_eq!(ticks(&log, from), (from..20).collect::<Vec<u64>>());
    }
    let mark = log.mark();
    drop((directory, log));
    let (directory, log, opened) = reopen(&disk).unwrap();
    assert_eq!(opened, Opened { mark, beyond: 1, cut: None, removed: Vec::new() });
    assert_eq!((ticks(&log, 0).len(), log.since(), log.upper()), (20, Tick(0), Tick(20)));
    assert_eq!(directory.superblock().generation, 2);
    assert_eq!(disk.read(LOCK).unwrap(), b"2\n");
}

#[test]
fn bodies_lie_where_the_log_said_before() {
    let disk = Model::new(1);
    let (_directory, mut log) = new_log(&disk);
    for tick in 0..20 {
        if tick % 7 == 3 {
            log.rotate();
        }
        let place = log.next_place();
        assert_eq!(log.append(Tick(tick), &body(tick)).unwrap(), place);
        let mut piece = Vec::new();
        fetch(&disk, Place(place.0 + 3), 5, &mut piece).unwrap();
        assert_eq!(piece, body(tick)[3..8]);
    }
    let places: Vec<Place> = log.read(Tick(0)).unwrap().map(|frame| frame.unwrap().place).collect();
    assert!(places.is_sorted());
    assert!(matches!(fetch(&disk, Place::new(99, 0), 1, &mut Vec::new()), Err(Error::Read { .. })));
    assert!(matches!(fetch(&disk, log.next_place(), 1, &mut Vec::new()), Err(Error::Read { .. })));
}

#[test]
fn a_tick_is_appended_once_and_no_frame_is_too_long() {
    let disk = Model::new(1);
    let (_directory, mut log) = new_log(&disk);
    fill(&mut log, 2);
    for expected in [Tick(1), Tick(3)] {
        let error = log.append(expected, b"").unwrap_err();
        assert!(matches!(error, Error::Fenced { upper: Tick(2), .. }), "{error}");
    }
    let error = log.append(Tick(2), &[0; 941]).unwrap_err();
    assert!(matches!(error, Error::TooLarge { bytes: 1001, most: 1000 }), "{error}");
    log.append(Tick(2), &[0; 940]).unwrap();
    log.append(Tick(3), b"").unwrap();
    assert_eq!(log.read(Tick(3)).unwrap().map(Result::unwrap).last().unwrap().body, b"");
    assert!(matches!(log.read(Tick(5)), Err(Error::Ahead { .. })));
}

#[test]
fn a_full_disk_costs_nothing_and_the_same_tick_goes_on_when_there_is_room() {
    for room in 0..400 {
        let disk = Model::new(1);
        let (directory, mut log) = new_log(&disk);
        fill(&mut log, 5);
        let capacity = Some(u64::MAX - disk.free().unwrap() + room);
        let used: u64 = ["MANIFEST.a", "MANIFEST.b", LOCK]
            .into_iter()
            .map(str::to_owned)
            .chain(disk.list(LOG).unwrap().iter().map(|name| format!("{LOG}/{name}")))
            .map(|name| disk.len(&name).unwrap())
            .sum();
        let capacity = capacity.map(|capacity| capacity + used);
        disk.plan(Plan { capacity, ..Plan::default() });
        let error = loop {
            let (tick, place) = (log.upper(), log.next_place());
            if let Err(error) = log.append(tick, &body(tick.0)) {
                assert_eq!(log.next_place(), place);
                break error;
            }
        };
        assert!(matches!(error, Error::Full { .. }), "{error}");
        log.sync().unwrap();
        disk.plan(Plan::default());
        fill(&mut log, 5);
        let upper = log.upper().0;
        assert_eq!(ticks(&log, 0), (0..upper).collect::<Vec<u64>>());
        drop((directory, log));
        let (_directory, log, opened) = reopen(&disk.crash(room)).unwrap();
        assert_eq!((log.upper().0, opened.cut), (upper, None));
    }
}

#[test]
fn a_failed_sync_ends_the_log_until_it_is_opened_anew() {
    for seed in 0..200 {
        let disk = Model::new(seed);
        let (directory, mut log) = new_log(&disk);
        fill(&mut log, 3);
        log.append(Tick(3), &body(3)).unwrap();
        disk.plan(Plan { fail_sync: Some(0), ..Plan::default() });
        assert!(matches!(log.sync(), Err(Error::Sync { .. })));
        assert!(matches!(log.sync(), Err(Error::Poisoned { .. })));
        assert!(matches!(log.append(Tick(4), b""), Err(Error::Poisoned { .. })));
        assert!(matches!(log.compact(Tick(1)), Err(Error::Poisoned { .. })));
        drop((directory, log));
        // The program is started again, and the cache still shows what is not on the disk.
        let (directory, mut log, _) = reopen(&disk).unwrap();
        fill(&mut log, 2);
        let upper = log.upper().0;
        drop((directory, log));
        let (_directory, log, opened) = reopen(&disk.crash(seed)).unwrap();
        assert_eq!((log.upper().0, opened.cut), (upper, None), "seed {seed}");
        assert_eq!(ticks(&log, 0), (0..upper).collect::<Vec<u64>>());
    }
}

#[test]
fn compaction_removes_whole_segments_and_never_the_last() {
    let disk = Model::new(1);
    let (mut directory, mut log) = new_log(&disk);
    fill(&mut log, 20);
    log.append(Tick(20), &body(20)).unwrap();
    assert!(matches!(log.compact(Tick(21)), Err(Error::Ahead { .. })));
    assert_eq!(log.compact(Tick(0)).unwrap(), Vec::<String>::new());
    let second = log.segments[1].first;
    let mark = log.sync().unwrap();
    let mut since = |since: Tick| {
        directory.change(|superblock| (superblock.since, superblock.mark) = (since, mark)).unwrap();
        let removed = log.compact(since).unwrap();
        assert!(matches!(log.read(Tick(since.0 - 1)), Err(Error::Compacted { .. })));
        assert_eq!(ticks(&log, since.0), (since.0..21).collect::<Vec<u64>>());
        removed
    };
    assert_eq!(since(Tick(second.0 - 1)), Vec::<String>::new());
    assert_eq!(since(second), ["log/0000000000000001.seg"]);
    since(Tick(21));
    assert_eq!(log.segments.len(), 1);
    drop((directory, log));
    let (_directory, mut log, opened) = reopen(&disk.crash(1)).unwrap();
    assert_eq!((log.since(), log.upper(), opened.removed.len()), (Tick(21), Tick(21), 0));
    fill(&mut log, 3);
}

#[test]
fn old_segments_go_only_when_what_follows_them_is_durable() {
    for cut in 0..20 {
        for seed in 0..100 {
            let disk = Model::new(seed);
            let (mut directory, mut log) = new_log(&disk);
            fill(&mut log, 2);
            let mark = log.mark();
            log.rotate();
            log.append(Tick(2), &body(2)).unwrap();
            let since = |superblock: &mut Superblock| {
                (superblock.mark, superblock.since) = (mark, mark.upper);
            };
            directory.change(since).unwrap();
            assert_eq!(log.compact(mark.upper).unwrap(), Vec::<String>::new());
            disk.plan(Plan { fail_sync: Some(0), ..Plan::default() });
            assert!(log.sync().is_err());
            drop((directory, log));
            disk.plan(Plan { cut: Some(cut), ..Plan::default() });
            drop(reopen(&disk));
            let (_directory, log, _) = reopen(&disk.crash(seed)).unwrap();
            assert!(Tick(2) <= log.upper(), "cut at {cut}, seed {seed}");
        }
    }
}

#[test]
fn what_changes_while_the_log_is_open_is_found_when_it_is_read() {
    let disk = Model::new(1);
    let (_directory, mut log) = new_log(&disk);
    fill(&mut log, 20);
    disk.tamper("log/0000000000000002.seg", |bytes| bytes[200] ^= 1).unwrap();
    let last = log.read(Tick(0)).unwrap().last().unwrap();
    assert!(matches!(last, Err(Error::Damaged { .. })), "nothing is read after damage");
    disk.tamper("log/0000000000000002.seg", |bytes| bytes.truncate(90)).unwrap();
    let last = log.read(Tick(0)).unwrap().last().unwrap();
    assert!(matches!(last, Err(Error::Damaged { .. })));
    disk.remove("log/0000000000000002.seg").unwrap();
    let last = log.read(Tick(0)).unwrap().last().unwrap();
    assert!(matches!(last, Err(Error::Missing { .. })));
}

#[test]
fn a_directory_has_one_owner_and_is_made_once() {
    let disk = Model::new(1);
    let owned = new_log(&disk);
    assert!(matches!(reopen(&disk), Err(Error::Locked)));
    drop(owned);
    let again = Directory::create(Arc::new(disk.clone()), ID);
    assert!(matches!(again, Err(Error::Exists)), "{again:?}");
    let other = Model::new(1);
    assert!(matches!(reopen(&other), Err(Error::Empty)));
    other.create("shop.toml").unwrap();
    assert!(matches!(reopen(&other), Err(Error::Foreign { found }) if found == "shop.toml"));
    let foreign = Directory::create(Arc::new(other.clone()), ID);
    assert!(matches!(foreign, Err(Error::Foreign { .. })), "{foreign:?}");
    assert_eq!(other.list("").unwrap(), ["shop.toml"], "nothing was written");
}

#[test]
fn a_read_only_directory_says_what_it_wants() {
    let disk = Model::new(1);
    drop(new_log(&disk));
    disk.plan(Plan { read_only: true, ..Plan::default() });
    let error = reopen(&disk).unwrap_err();
    assert!(matches!(&error, Error::ReadOnly { file, .. } if file == LOCK), "{error}");
    let source = std::error::Error::source(&error).unwrap().downcast_ref::<io::Error>().unwrap();
    assert_eq!(source.kind(), ErrorKind::ReadOnlyFilesystem);
}

#[test]
fn a_creation_that_is_interrupted_anywhere_is_done_again() {
    for cut in 0..40 {
        for seed in 0..20 {
            let disk = Model::new(seed);
            disk.plan(Plan { cut: Some(cut), ..Plan::default() });
            let make = || -> Result<(), Error> {
                let storage: Arc<dyn Storage> = Arc::new(disk.clone());
                let mut directory = Directory::create(Arc::clone(&storage), ID)?;
                Log::create(storage, directory.superblock(), SMALL)?;
                directory.change(|_| ())
            };
            let made = make();
            let disk = disk.crash(seed);
            match reopen(&disk) {
                Ok((_, log, opened)) => assert_eq!((log.upper(), opened.cut), (Tick(0), None)),
                Err(Error::Unfinished | Error::Empty) => {
                    assert!(made.is_err(), "cut at {cut}, seed {seed}");
                    drop(new_log(&disk));
                    assert_eq!(reopen(&disk).unwrap().1.upper(), Tick(0));
                }
                Err(error) => panic!("cut at {cut}, seed {seed}: {error}"),
            }
        }
    }
}
