//! Crash: what does a log look like after its machine has lost power again and again?
//!
//! A trial is a directory with a few lives. In each the log is written, synced, compacted and
//! opened at random while the disk does what disks do, until power is cut or the program ends.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::sync::Arc;

use affluent::log::{Directory, Error, Limits, Log};
use affluent::storage::{Dice, Model, Plan, Storage, power_is_cut};
use dataflows::Tick;

/// What trials must have seen, among all of them.
pub(crate) const EVENTS: [&str; 9] = [
    "power cut",
    "power cut in recovery",
    "failed sync",
    "full disk",
    "torn end cut",
    "frames beyond the mark kept",
    "compaction",
    "damaged superblock",
    "restart without a crash",
];

/// How often each was seen.
pub(crate) type Tally = BTreeMap<&'static str, u64>;

/// Says the seed if the trial fails.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("this is the trial of SEED={}", self.0);
        }
    }
}

/// A directory, and what is known to be in it.
struct Trial<'a> {
    disk: Model,
    dice: Dice,
    limits: Limits,
    /// The body of every tick, as it was appended last.
    bodies: Vec<Vec<u8>>,
    /// The first tick that was not acknowledged.
    acknowledged: usize,
    /// The first tick that must be readable, and the first that may be.
    since: (u64, u64),
    tally: &'a mut Tally,
}

/// Why a life ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    PowerCut,
    Poison,
    Quit,
}

/// Runs the trial of a seed.
pub(crate) fn trial(seed: u64, tally: &mut Tally) {
    let _says = Seed(seed);
    let mut dice = Dice::new(seed);
    let segment_bytes = 300 + u64::try_from(dice.below(3000)).unwrap();
    let disk = Model::new(dice.roll());
    let limits = Limits { segment_bytes, frame_bytes_max: 4096 };
    let mut trial =
        Trial { disk, dice, limits, bodies: Vec::new(), acknowledged: 0, since: (0, 0), tally };
    let storage: Arc<dyn Storage> = Arc::new(trial.disk.clone());
    let mut directory = Directory::create(Arc::clone(&storage), [9; 16]).unwrap();
    let log = Log::create(storage, directory.superblock(), limits).unwrap();
    directory.change(|_| ()).unwrap();
    let mut open = (directory, log);
    for _ in 0..1 + trial.dice.below(4) {
        let end = trial.live(&mut open);
        drop(open);
        trial.end(end);
        open = trial.recover();
    }
    trial.disk.plan(Plan::default());
    for _ in 0..3 {
        trial.append(&mut open.1, 100).unwrap();
    }
    trial.acknowledge(&mut open.1).unwrap();
    drop(open);
    trial.disk = trial.disk.crash(seed);
    drop(trial.recover());
}

impl Trial<'_> {
    fn saw(&mut self, what: &'static str) {
        *self.tally.entry(what).or_default() += 1;
    }

    /// Decides what will go wrong in this life.
    fn plan(&mut self) {
        let mut once_in = |times, below| {
            let chosen = self.dice.once_in(times).then(|| self.dice.below(below));
            chosen.map(|chosen| u64::try_from(chosen).unwrap())
        };
        let plan = Plan {
            cut: once_in(1, 120),
            fail_sync: once_in(6, 20),
            capacity: once_in(8, 20_000),
            read_only: false,
        };
        self.disk.plan(plan);
    }

    /// One life of the program.
    fn live(&mut self, open: &mut (Directory, Log)) -> End {
        self.plan();
        for _ in 0..self.dice.below(100) {
            let done = self.act(open);
            let Err(error) = done else { continue };
            let source = error.source().and_then(|source| source.downcast_ref());
            match &error {
                _ if source.is_some_and(power_is_cut) => return End::PowerCut,
                Error::Sync { .. } | Error::Poisoned { .. } => return End::Poison,
                Error::Full { .. } => {
                    self.saw("full disk");
                    self.disk.plan(Plan { cut: Some(30), ..Plan::default() });
                }
                // A superblock could not be synced, which can be tried again.
                Error::Write { file, .. } if file.starts_with("MANIFEST") => {}
                error => panic!("{error}: {source:?}"),
            }
        }
        End::Quit
    }

    /// Does one thing.
    fn act(&mut self, (directory, log): &mut (Directory, Log)) -> Result<(), Error> {
        match self.dice.below(100) {
            0..55 => {
                let bytes = if self.dice.once_in(10) { 3000 } else { 150 };
                let bytes = self.dice.below(bytes);
                self.append(log, bytes)
            }
            55..80 => self.acknowledge(log),
            80..86 => {
                log.rotate();
                Ok(())
            }
            86..93 => directory.note(log.mark()),
            93..97 => self.compact(directory, log),
            _ => {
                self.check(log);
                Ok(())
            }
        }
    }

    fn append(&mut self, log: &mut Log, bytes: usize) -> Result<(), Error> {
        let mut body = vec![0; bytes];
        self.dice.fill(&mut body);
        let (tick, place) = (log.upper(), log.next_place());
        assert_eq!(tick.0, u64::try_from(self.bodies.len()).unwrap());
        self.bodies.push(body);
        let body = self.bodies.last().unwrap();
        let appended = log.append(tick, body);
        match appended {
            Ok(at) => assert_eq!(at, place),
            // After a cut nobody knows; otherwise nothing was written.
            Err(Error::Full { .. }) => {
                self.bodies.pop();
                assert_eq!(log.next_place(), place);
            }
            Err(_) => {}
        }
        appended.map(drop)
    }

    fn acknowledge(&mut self, log: &mut Log) -> Result<(), Error> {
        let mark = log.sync()?;
        assert_eq!(mark.upper, log.upper());
        self.acknowledged = self.bodies.len();
        Ok(())
    }

    fn compact(&mut self, directory: &mut Directory, log: &mut Log) -> Result<(), Error> {
        let mark = log.mark();
        let room = usize::try_from(mark.upper.0 - log.since().0).unwrap();
        let since = Tick(log.since().0 + u64::try_from(self.dice.below(room + 1)).unwrap());
        self.since.1 = self.since.1.max(since.0);
        directory.change(|superblock| (superblock.mark, superblock.since) = (mark, since))?;
        self.since = (since.0, since.0);
        log.compact(since)?;
        self.saw("compaction");
        Ok(())
    }

    /// Ends a life.
    fn end(&mut self, end: End) {
        if end == End::Poison {
            self.saw("failed sync");
        }
        let off = self.disk.exists("").is_err();
        assert!(off || end != End::PowerCut);
        if off {
            self.saw("power cut");
        }
        if off || self.dice.once_in(2) {
            self.disk = self.disk.crash(self.dice.roll());
        } else {
            self.saw("restart without a crash");
        }
    }

    /// Opens the log, while power is cut again and again.
    fn recover(&mut self) -> (Directory, Log) {
        for attempt in 0_usize.. {
            let hard = attempt < 4 && self.dice.once_in(2);
            let cut = hard.then(|| u64::try_from(self.dice.below(25)).unwrap());
            self.disk.plan(Plan { cut, ..Plan::default() });
            match self.open() {
                Ok(open) => return open,
                Err(error) if cut.is_some() => {
                    let source = error.source().and_then(|source| source.downcast_ref());
                    assert!(source.is_some_and(power_is_cut), "{error}: {source:?}");
                    self.saw("power cut in recovery");
                    self.disk = self.disk.crash(self.dice.roll());
                }
                Err(error) => panic!("the log cannot be opened: {error}"),
            }
        }
        unreachable!("the fifth attempt is left in peace")
    }

    fn open(&mut self) -> Result<(Directory, Log), Error> {
        let storage: Arc<dyn Storage> = Arc::new(self.disk.clone());
        let directory = Directory::open(Arc::clone(&storage))?;
        if directory.damaged().is_some() {
            self.saw("damaged superblock");
        }
        let (log, opened) = Log::open(storage, directory.superblock(), self.limits)?;
        if opened.cut.is_some() {
            self.saw("torn end cut");
        }
        if 0 < opened.beyond {
            self.saw("frames beyond the mark kept");
        }
        let upper = usize::try_from(log.upper().0).unwrap();
        assert!(self.acknowledged <= upper, "{} were, {upper} are there", self.acknowledged);
        assert!(upper <= self.bodies.len(), "{upper} are there, {} were", self.bodies.len());
        let (low, high) = self.since;
        assert!(
            (low..=high).contains(&log.since().0),
            "{:?} is none of {low} and {high}",
            log.since()
        );
        self.since = (log.since().0, log.since().0);
        self.bodies.truncate(upper);
        self.acknowledged = upper;
        // Reading is for a disk that has power.
        self.disk.plan(Plan::default());
        self.check(&log);
        Ok((directory, log))
    }

    /// The log holds every tick that it should, byte by byte.
    fn check(&self, log: &Log) {
        let mut tick = log.since();
        for frame in log.read(tick).unwrap() {
            let frame = frame.unwrap();
            assert_eq!(frame.tick, tick);
            assert!(frame.body == self.bodies[usize::try_from(tick.0).unwrap()], "tick {tick}");
            tick = tick.next();
        }
        assert_eq!(tick, log.upper());
    }
}
