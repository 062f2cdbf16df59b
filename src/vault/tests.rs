//! Tests: does a key open what it sealed, and nothing else, until it is destroyed?

use super::*;
use crate::storage::Format;
use crate::storage::{Dice, Model, Plan};

fn new_vault(disk: &Model) -> Vault {
    let mut vault = Vault::create(Arc::new(disk.clone()), Box::new(Dice::new(7))).unwrap();
    vault.pools_of(8);
    vault
}

fn reopen(disk: &Model) -> Result<Vault, Error> {
    let mut vault = Vault::open(Arc::new(disk.clone()), Box::new(Dice::new(8)))?;
    vault.pools_of(8);
    Ok(vault)
}

const NONCE: Nonce = Nonce(3, 5);

fn sealed(vault: &Vault, slot: Slot) -> Vec<u8> {
    let mut sealed = Vec::new();
    vault.seal(slot, NONCE, 11, b"bought a mug", &mut sealed).unwrap();
    sealed
}

fn opened(vault: &Vault, slot: Slot, sealed: &[u8]) -> Result<Vec<u8>, Error> {
    let mut plain = Vec::new();
    vault.open_sealed(slot, NONCE, 11, sealed, &mut plain).map(|()| plain)
}

#[test]
fn a_key_opens_what_it_sealed_and_nothing_else() {
    let disk = Model::new(1);
    let mut vault = new_vault(&disk);
    let (ann, bob) = (vault.next().unwrap(), vault.next().unwrap());
    let text = sealed(&vault, ann);
    assert_eq!(text.len(), 12 + 16);
    assert_eq!(opened(&vault, ann, &text).unwrap(), b"bought a mug");
    assert!(matches!(opened(&vault, bob, &text), Err(Error::Sealed)));
    let mut plain = b"old".to_vec();
    for (nonce, key) in [(Nonce(3, 6), 11), (Nonce(4, 5), 11), (NONCE, 12)] {
        let other = vault.open_sealed(ann, nonce, key, &text, &mut plain);
        assert!(matches!(other, Err(Error::Sealed)) && plain.is_empty());
    }
    for bit in 0..text.len() * 8 {
        let mut text = text.clone();
        text[bit / 8] ^= 1 << (bit % 8);
        assert!(matches!(opened(&vault, ann, &text), Err(Error::Sealed)));
    }
    assert!(matches!(opened(&vault, ann, b"short"), Err(Error::Sealed)));
    let unknown = vault.seal(Slot(2), NONCE, 11, b"", &mut plain);
    assert!(matches!(unknown, Err(Error::Unknown { slot: Slot(2) })));
    drop(vault);
    assert_eq!(opened(&reopen(&disk).unwrap(), ann, &text).unwrap(), b"bought a mug");
}

#[test]
fn what_is_sealed_is_what_the_standard_says() {
    // Test case 16 of the proposal of GCM to NIST (McGrew and Viega, 2005).
    let bytes = |digits: &str| -> Vec<u8> {
        let byte = |place| u8::from_str_radix(&digits[place..place + 2], 16).unwrap();
        (0..digits.len()).step_by(2).map(byte).collect()
    };
    let half = bytes("feffe9928665731c6d6a8f9467308308");
    let key: [u8; 32] = [half.clone(), half].concat().try_into().unwrap();
    let nonce: [u8; 12] = bytes("cafebabefacedbaddecaf888").try_into().unwrap();
    let of = bytes("feedfacedeadbeeffeedfacedeadbeefabaddad2");
    let plain = bytes(concat!(
        "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72",
        "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39",
    ));
    let mut sealed = Vec::new();
    seal::seal(&key, nonce, &of, &plain, &mut sealed);
    assert_eq!(sealed[..4], [0x52, 0x2d, 0xc1, 0xf0]);
    assert_eq!(sealed[plain.len()..], bytes("76fc6ece0f4e1768cddf8853bb2d551b"));
    // RFC 4231, test case 1, cut to a key of our length by its own rule: zeros behind it.
    let mut key = [0; 32];
    key[..20].fill(0x0b);
    assert_eq!(seal::sign(&key, b"Hi There")[..4], [0xb0, 0x34, 0x4c, 0x61]);
}

#[test]
fn a_destroyed_key_opens_nothing_and_stays_destroyed() {
    let disk = Model::new(1);
    let mut vault = new_vault(&disk);
    let slots: Vec<Slot> = (0..20).map(|_| vault.next().unwrap()).collect();
    let texts: Vec<Vec<u8>> = slots.iter().map(|slot| sealed(&vault, *slot)).collect();
    assert!(matches!(vault.destroy(&[slots[0], Slot(20)]), Err(Error::Unknown { .. })));
    let before = disk.read(PEOPLE).unwrap();
    vault.destroy(&[slots[3], slots[3], slots[12]]).unwrap();
    let after = disk.crash(1);
    for vault in [vault, reopen(&after).unwrap()] {
        for (slot, text) in slots.iter().zip(&texts) {
            let gone = [3, 12].contains(&slot.0);
            assert_eq!(vault.is_destroyed(*slot), gone);
            match opened(&vault, *slot, text) {
                Ok(plain) => assert!(!gone && plain == b"bought a mug"),
                Err(error) => assert!(gone && matches!(error, Error::Destroyed { .. })),
            }
        }
    }
    let wrapped = &before[usize::try_from(slot_at(3)).unwrap()..][..32];
    let file = after.read(PEOPLE).unwrap();
    assert!(!file.windows(32).any(|bytes| bytes == wrapped));
}

#[test]
fn many_keys_are_destroyed_in_many_lists() {
    let disk = Model::new(1);
    let mut vault = new_vault(&disk);
    let slots: Vec<Slot> = (0..300).map(|_| vault.next().unwrap()).collect();
    vault.destroy(&slots[..290]).unwrap();
    let vault = reopen(&disk.crash(1)).unwrap();
    assert_eq!(slots.iter().filter(|slot| vault.is_destroyed(**slot)).count(), 290);
}

#[test]
fn a_rewrite_keeps_the_numbers_and_nothing_of_the_others() {
    let disk = Model::new(1);
    let mut vault = new_vault(&disk);
    let slots: Vec<Slot> = (0..12).map(|_| vault.next().unwrap()).collect();
    let texts: Vec<Vec<u8>> = slots.iter().map(|slot| sealed(&vault, *slot)).collect();
    vault.rewrite(|slot| slot.0 % 3 == 0).unwrap();
    assert_eq!(vault.epoch(), 1);
    assert_eq!(vault.next().unwrap(), Slot(12), "keys that nobody has are kept");
    for vault in [vault, reopen(&disk.crash(1)).unwrap()] {
        assert_eq!(vault.epoch(), 1);
        for (slot, text) in slots.iter().zip(&texts) {
            assert_eq!(opened(&vault, *slot, text).is_ok(), slot.0 % 3 == 0);
        }
    }
    assert_eq!(disk.list("keys").unwrap(), ["people"]);
}

#[test]
fn keys_are_handed_out_once_across_starts() {
    let disk = Model::new(1);
    let mut vault = new_vault(&disk);
    let first = vault.next().unwrap();
    assert_eq!((first, vault.unused()), (Slot(0), Slot(1)));
    drop(vault);
    let mut vault = reopen(&disk).unwrap();
    assert_eq!(vault.next().unwrap(), Slot(8), "what was left of the pool is left");
    drop(vault);
    let mut vault = reopen(&disk).unwrap();
    vault.resume(Slot(9));
    assert_eq!(vault.next().unwrap(), Slot(9));
}

#[test]
fn no_message_says_a_key() {
    let disk = Model::new(1);
    let mut vault = new_vault(&disk);
    vault.next().unwrap();
    assert_eq!(format!("{vault:?}"), "Vault { keys: 8, used: 1, epoch: 0, .. }");
}

#[test]
fn signatures_and_pseudonyms_are_of_this_directory_only() {
    let (disk, other) = (Model::new(1), Model::new(2));
    let vault = new_vault(&disk);
    let stranger = Vault::create(Arc::new(other), Box::new(Dice::new(9))).unwrap();
    let signature = vault.sign(b"receipt");
    assert!(vault.verify(b"receipt", &signature) && !vault.verify(b"receipt!", &signature));
    assert!(!stranger.verify(b"receipt", &signature));
    assert_eq!(vault.pseudonym(b"ann"), reopen(&disk).unwrap().pseudonym(b"ann"));
    assert_ne!(vault.pseudonym(b"ann"), stranger.pseudonym(b"ann"));
    let mut sealed = Vec::new();
    vault.seal_shared(NONCE, b"word", &mut sealed);
    let mut plain = Vec::new();
    vault.open_shared(NONCE, &sealed, &mut plain).unwrap();
    assert_eq!(plain, b"word");
    assert!(matches!(stranger.open_shared(NONCE, &sealed, &mut plain), Err(Error::Sealed)));
    assert!(matches!(vault.open_shared(Nonce(3, 6), &sealed, &mut plain), Err(Error::Sealed)));
}

#[test]
fn a_full_disk_refuses_new_keys_and_still_destroys() {
    let disk = Model::new(1);
    let mut vault = new_vault(&disk);
    let ann = vault.next().unwrap();
    let last = (1..8).map(|_| vault.next().unwrap()).last();
    assert_eq!(last, Some(Slot(7)));
    let used = u64::MAX - disk.free().unwrap();
    let used = used + disk.len(PEOPLE).unwrap() + disk.len(DIRECTORY_KEY).unwrap();
    disk.plan(Plan { capacity: Some(used + 100), ..Plan::default() });
    assert!(matches!(vault.next(), Err(Error::Full { file: PEOPLE, .. })));
    vault.destroy(&[ann]).unwrap();
    assert!(vault.is_destroyed(ann));
    let mut again = reopen(&disk.crash(1)).unwrap();
    assert!(again.is_destroyed(ann));
    assert_eq!(again.next().unwrap(), Slot(11), "nonces that were used are left");
    disk.plan(Plan::default());
    assert_eq!(vault.next().unwrap(), Slot(8));
}

#[test]
fn files_that_do_not_belong_together_are_refused() {
    let (disk, other) = (Model::new(1), Model::new(2));
    new_vault(&disk).next().unwrap();
    Vault::create(Arc::new(other.clone()), Box::new(Dice::new(9))).unwrap();
    let key = other.read(DIRECTORY_KEY).unwrap();
    disk.tamper(DIRECTORY_KEY, |bytes| *bytes = key).unwrap();
    assert!(matches!(reopen(&disk), Err(Error::WrongKey)));
    disk.remove(DIRECTORY_KEY).unwrap();
    assert!(matches!(reopen(&disk), Err(Error::Missing { file: DIRECTORY_KEY })));
    other.remove(PEOPLE).unwrap();
    assert!(matches!(reopen(&other), Err(Error::Missing { file: PEOPLE })));
    let newer = Format { letters: *b"affluppl", version: 4 }.head();
    let disk = Model::new(1);
    drop(new_vault(&disk));
    disk.tamper(PEOPLE, |bytes| bytes[..16].copy_from_slice(&newer)).unwrap();
    assert!(matches!(reopen(&disk), Err(Error::Newer { version: 4, known: 1, .. })));
}

#[test]
fn a_list_that_is_only_in_the_cache_is_written_before_it_is_followed() {
    for cut in 0..8 {
        for seed in 0..100 {
            let disk = Model::new(seed);
            let mut vault = new_vault(&disk);
            let slots: Vec<Slot> = (0..8).map(|_| vault.next().unwrap()).collect();
            disk.plan(Plan { fail_sync: Some(0), ..Plan::default() });
            assert!(matches!(vault.destroy(&slots[2..6]), Err(Error::Write { .. })));
            drop(vault);
            disk.plan(Plan { cut: Some(cut), ..Plan::default() });
            drop(reopen(&disk));
            let vault = reopen(&disk.crash(seed)).unwrap();
            assert!(!vault.is_destroyed(slots[1]), "cut at {cut}, seed {seed}");
        }
    }
}
