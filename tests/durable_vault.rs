//! Durable vault: does every person's key survive a crash, and no destroyed one?
//!
//! Crashes are modelled, each from a seed. `TRIALS` says how many; a failure prints its seed, and
//! `SEED` runs that one alone.
#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

use std::collections::BTreeMap;
use std::error::Error as _;
use std::sync::Arc;

use affluent::storage::{Dice, Disk, Model, Plan, Storage, power_is_cut};
use affluent::vault::{DIRECTORY_KEY, Error, Nonce, PEOPLE, Slot, System, Vault};

/// How many modelled crashes are tried where `TRIALS` does not say.
const TRIALS: u64 = 5_000;

/// How many bits are flipped.
const FLIPS: u64 = 20_000;

/// What is known of a person's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Alive,
    /// It was to be destroyed when power was cut.
    Doomed,
    Destroyed,
}

fn open(disk: &Model, seed: u64) -> Result<Vault, Error> {
    let mut vault = Vault::open(Arc::new(disk.clone()), Box::new(Dice::new(seed)))?;
    vault.pools_of(6);
    Ok(vault)
}

fn created(disk: &Model, seed: u64) -> Vault {
    let mut vault = Vault::create(Arc::new(disk.clone()), Box::new(Dice::new(seed))).unwrap();
    disk.sync_dir("").unwrap();
    vault.pools_of(6);
    vault
}

fn text(slot: Slot) -> Vec<u8> {
    format!("what person {} did", slot.0).into_bytes()
}

fn seal(vault: &Vault, slot: Slot) -> Vec<u8> {
    let mut sealed = Vec::new();
    vault.seal(slot, Nonce(1, 0), 1, &text(slot), &mut sealed).unwrap();
    sealed
}

/// Says the seed if the trial fails.
struct Seed(u64);

impl Drop for Seed {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("this is the trial of SEED={}", self.0);
        }
    }
}

/// A vault, and what is known to be in it.
struct Trial {
    disk: Model,
    dice: Dice,
    people: BTreeMap<Slot, (Vec<u8>, State)>,
}

/// Whether an error came of a cut, and not of what was planned besides.
fn cut(error: &Error) -> bool {
    error.source().and_then(|source| source.downcast_ref()).is_some_and(power_is_cut)
}

impl Trial {
    /// One life of the program, until power is cut or it ends.
    fn live(&mut self, vault: &mut Vault) {
        let n = |n: usize| u64::try_from(n).unwrap();
        let cut_at = Some(n(self.dice.below(60)));
        let fail_sync = self.dice.once_in(3).then(|| n(self.dice.below(10)));
        let capacity = self.dice.once_in(8).then(|| n(self.dice.below(6000)));
        self.disk.plan(Plan { cut: cut_at, fail_sync, capacity, read_only: false });
        for _ in 0..self.dice.below(40) {
            let done = match self.dice.below(20) {
                0..14 => self.add(vault),
                14..18 => self.destroy(vault),
                18 => self.rewrite(vault),
                _ => {
                    self.check(vault);
                    Ok(())
                }
            };
            match done {
                Err(error) if cut(&error) => return,
                // What could not be synced, or had no room, is tried again or not.
                Err(Error::Write { .. } | Error::Full { .. }) | Ok(()) => {}
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn add(&mut self, vault: &mut Vault) -> Result<(), Error> {
        let slot = vault.next()?;
        let before = self.people.insert(slot, (seal(vault, slot), State::Alive));
        assert!(before.is_none(), "{slot:?} is handed out twice");
        Ok(())
    }

    /// Some of the people.
    fn some(&mut self, times: usize) -> Vec<Slot> {
        let slots = self.people.keys().copied();
        slots.filter(|_| self.dice.once_in(times)).collect()
    }

    fn set(&mut self, slots: &[Slot], state: State) {
        for slot in slots {
            let (_, known) = self.people.get_mut(slot).unwrap();
            *known = if *known == State::Destroyed { *known } else { state };
        }
    }

    fn destroy(&mut self, vault: &mut Vault) -> Result<(), Error> {
        let slots = self.some(5);
        self.set(&slots, State::Doomed);
        vault.destroy(&slots)?;
        self.set(&slots, State::Destroyed);
        Ok(())
    }

    fn rewrite(&mut self, vault: &mut Vault) -> Result<(), Error> {
        let slots = self.some(8);
        let epoch = vault.epoch();
        self.set(&slots, State::Doomed);
        vault.rewrite(|slot| !slots.contains(&slot))?;
        assert_eq!(vault.epoch(), epoch + 1);
        self.set(&slots, State::Destroyed);
        Ok(())
    }

    /// Opens the vault, while power is cut again and again.
    fn recover(&mut self) -> Vault {
        loop {
            let hard = self.dice.once_in(3).then(|| u64::try_from(self.dice.below(8)).unwrap());
            self.disk.plan(Plan { cut: hard, ..Plan::default() });
            match open(&self.disk, self.dice.roll()) {
                Ok(vault) => {
                    self.disk.plan(Plan::default());
                    self.check(&vault);
                    return vault;
                }
                Err(error) => assert!(hard.is_some() && cut(&error), "{error}"),
            }
            self.disk = self.disk.crash(self.dice.roll());
        }
    }

    /// Every key is what it should be.
    fn check(&self, vault: &Vault) {
        let mut plain = Vec::new();
        for (slot, (sealed, state)) in &self.people {
            match vault.open_sealed(*slot, Nonce(1, 0), 1, sealed, &mut plain) {
                Ok(()) => assert!(*state != State::Destroyed && plain == text(*slot), "{slot:?}"),
                Err(Error::Destroyed { .. }) => assert_ne!(*state, State::Alive, "{slot:?}"),
                Err(error) => panic!("{slot:?}: {error}"),
            }
            assert!(*state != State::Destroyed || vault.is_destroyed(*slot));
        }
    }
}

fn trial(seed: u64) {
    let _says = Seed(seed);
    let mut dice = Dice::new(seed);
    let disk = Model::new(dice.roll());
    let mut vault = created(&disk, dice.roll());
    let mut trial = Trial { disk, dice, people: BTreeMap::new() };
    for _ in 0..1 + trial.dice.below(5) {
        trial.live(&mut vault);
        drop(vault);
        if trial.disk.exists("").is_err() || trial.dice.once_in(2) {
            trial.disk = trial.disk.crash(trial.dice.roll());
        }
        vault = trial.recover();
    }
    trial.add(&mut vault).unwrap();
}

#[test]
fn keys_survive_every_modelled_crash_and_destroyed_ones_none() {
    let number = |name| std::env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let seeds = match number("SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("TRIALS").unwrap_or(TRIALS),
    };
    seeds.for_each(trial);
}

#[test]
fn no_flipped_bit_makes_another_key_or_takes_one_away() {
    let whole = Model::new(1);
    let mut vault = created(&whole, 2);
    let slots: Vec<Slot> = (0..40).map(|_| vault.next().unwrap()).collect();
    let sealed: Vec<Vec<u8>> = slots.iter().map(|slot| seal(&vault, *slot)).collect();
    vault.destroy(&[slots[5], slots[30]]).unwrap();
    let mut dice = Dice::new(3);
    let mut verdicts: BTreeMap<&str, u32> = BTreeMap::new();
    for flip in 0..FLIPS {
        let disk = whole.crash(0);
        let file = if flip % 20 == 0 { DIRECTORY_KEY } else { PEOPLE };
        let bit = dice.below(usize::try_from(disk.len(file).unwrap()).unwrap() * 8);
        disk.tamper(file, |bytes| bytes[bit / 8] ^= 1 << (bit % 8)).unwrap();
        let place = format!("bit {bit} of {file}");
        let verdict = match open(&disk, 4) {
            Err(Error::Damaged { file: named, offset }) => {
                assert_eq!(named, file, "{place}");
                assert!(offset <= u64::try_from(bit / 8).unwrap(), "{place}: named {offset}");
                "refused"
            }
            Err(error) => panic!("{place}: {error}"),
            Ok(vault) => {
                assert!(vault.damaged().is_some(), "{place} is silent");
                let mut plain = Vec::new();
                for (slot, sealed) in slots.iter().zip(&sealed) {
                    let opened = vault.open_sealed(*slot, Nonce(1, 0), 1, sealed, &mut plain);
                    let gone = [5, 30].contains(&slot.0);
                    assert!(opened.is_err() == gone && (gone || plain == text(*slot)), "{place}");
                }
                drop(vault);
                assert_eq!(open(&disk.crash(0), 5).unwrap().damaged(), None, "it is mended");
                "mended"
            }
        };
        *verdicts.entry(verdict).or_default() += 1;
    }
    println!("{FLIPS} flips: {verdicts:?}");
    assert_eq!(verdicts.len(), 2);
}

#[test]
fn a_real_disk_keeps_keys_made_by_the_system() {
    let folder = tempfile::tempdir().unwrap();
    let disk: Arc<dyn Storage> = Arc::new(Disk::new(folder.path()));
    let mut vault = Vault::create(Arc::clone(&disk), Box::new(System)).unwrap();
    let slots: Vec<Slot> = (0..1500).map(|_| vault.next().unwrap()).collect();
    let sealed: Vec<Vec<u8>> = slots.iter().map(|slot| seal(&vault, *slot)).collect();
    vault.destroy(&slots[..700]).unwrap();
    vault.rewrite(|slot| slot.0 % 2 == 0).unwrap();
    drop(vault);
    let vault = Vault::open(disk, Box::new(System)).unwrap();
    let mut plain = Vec::new();
    for (slot, sealed) in slots.iter().zip(&sealed) {
        let opened = vault.open_sealed(*slot, Nonce(1, 0), 1, sealed, &mut plain);
        assert_eq!(opened.is_ok(), 700 <= slot.0 && slot.0 % 2 == 0);
    }
}
