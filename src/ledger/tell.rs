//! Tell: what do the hashes in a body stand for?
//!
//! The texts of a person's identifiers are sealed for that person; those of words, which many may
//! share, under the directory's key. Each is said once, before or with what needs it.

use dataflows::Identifier;

use super::Error;
use super::body::{self, Body, NONCE, Read};
use super::journal::{Journal, Said};
use crate::names::Dictionary;
use crate::vault::{Nonce, Slot};

/// What the sealing of a set of identifiers is bound to.
const OF_SET: u128 = u128::from_be_bytes(*b"affluent set 001");

impl Journal {
    /// The groups whose identifiers the body has still to say.
    pub(super) fn take_fresh(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.fresh)
    }

    /// Appends a set of identifiers with their texts.
    pub(super) fn set(
        &mut self,
        subject: u32,
        ids: &[Identifier],
        names: &Dictionary,
        sets: &mut Vec<u8>,
    ) -> Result<(), Error> {
        let Some(slot) = subject.checked_sub(1) else { return Ok(()) };
        let named: Vec<(Identifier, Option<&str>)> =
            ids.iter().map(|id| (*id, names.text_of(*id))).collect();
        let plain = postcard::to_stdvec(&named).expect("bytes in memory take every set");
        let nonce = self.nonce();
        body::varint(subject, sets);
        sets.extend_from_slice(&nonce.bytes());
        body::varint(u32::try_from(plain.len() + body::TAG).unwrap_or(u32::MAX), sets);
        Ok(self.vault.seal(Slot(slot), nonce, OF_SET, &plain, sets)?)
    }

    /// The identifiers of a sealed set, with their texts.
    pub(super) fn open_set(
        &self,
        subject: u32,
        nonce: [u8; NONCE],
        sealed: &[u8],
    ) -> Result<Vec<(Identifier, Option<String>)>, Error> {
        let slot = Slot(subject.checked_sub(1).ok_or(Error::Damaged("a set is of nobody"))?);
        let mut plain = Vec::new();
        self.vault.open_sealed(slot, Nonce::of(nonce), OF_SET, sealed, &mut plain)?;
        postcard::from_bytes(&plain).map_err(|_| Error::Damaged("a set is of no known form"))
    }

    /// Whose sets of identifiers a body says: the keys, and what stands for each set; nothing where
    /// the key was destroyed.
    ///
    /// # Errors
    ///
    /// The body is none that was written.
    pub fn people(&self, body: &[u8]) -> Result<Vec<Said>, Error> {
        let mut read = Read::of(Body::parse(body)?.sets);
        let mut people = Vec::new();
        while !read.is_done() {
            let subject = read.number()?;
            let nonce = read.chunk()?;
            let length = usize::try_from(read.number()?).unwrap_or(usize::MAX);
            let sealed = read.bytes(length)?;
            let slot = Slot(subject.checked_sub(1).ok_or(Error::Damaged("a set is of nobody"))?);
            if self.vault.is_destroyed(slot) {
                people.push((slot, None));
                continue;
            }
            let named = self.open_set(subject, nonce, sealed)?;
            let ids: Vec<Identifier> = named.into_iter().map(|(id, _)| id).collect();
            people.push((slot, Some(self.pseudonym(&ids))));
        }
        Ok(people)
    }

    /// The texts `told`, of words and of identifiers by their kind, sealed under the directory's
    /// key; nothing where there is none.
    pub(super) fn words(&mut self, told: &[(Option<u8>, &str)]) -> Vec<u8> {
        if told.is_empty() {
            return Vec::new();
        }
        let plain = postcard::to_stdvec(told).expect("bytes in memory take every text");
        let nonce = self.nonce();
        let mut words = nonce.bytes().to_vec();
        self.vault.seal_shared(nonce, &plain, &mut words);
        words
    }

    /// The texts of a section of words.
    pub(super) fn open_words(&self, words: &[u8]) -> Result<Vec<(Option<u8>, String)>, Error> {
        if words.is_empty() {
            return Ok(Vec::new());
        }
        let (nonce, sealed) =
            words.split_first_chunk::<NONCE>().ok_or(Error::Damaged("the words are too short"))?;
        let mut plain = Vec::new();
        let opened = self.vault.open_shared(Nonce::of(*nonce), sealed, &mut plain);
        opened.map_err(|_| Error::Damaged("what is sealed of words is damaged"))?;
        postcard::from_bytes(&plain).map_err(|_| Error::Damaged("the words are of no known form"))
    }

    /// The body of the next frame, with `sets` and `numbered` and the texts that `names` has
    /// learnt since the last.
    pub(super) fn body(
        &mut self,
        names: &mut Dictionary,
        sets: &[u8],
        numbered: &[u8],
        state: &[u8],
    ) -> Vec<u8> {
        let fresh = names.take_fresh();
        let again = std::mem::take(&mut self.again);
        let named = std::mem::take(&mut self.named);
        let mut told: Vec<(Option<u8>, &str)> =
            fresh.iter().map(|span| (None, names.text_at(*span))).collect();
        told.extend(
            again.iter().filter_map(|word| names.text_of_word(*word)).map(|text| (None, text)),
        );
        told.extend(
            named.iter().filter_map(|id| names.text_of(*id).map(|text| (Some(id.kind().0), text))),
        );
        let words = self.words(&told);
        self.told.0.extend(fresh.iter().map(|span| names.word_of(names.text_at(*span)).0.get()));
        self.told.0.extend(again);
        self.told.1.extend(named);
        let records = &self.records;
        Body { records, sets, words: &words, numbered, state }.bytes()
    }

    /// The words and the identifiers whose texts were said since the newest checkpoint.
    pub(super) fn told(&self) -> (Vec<u64>, Vec<Identifier>) {
        self.told.clone()
    }

    /// The text of a word, or of an identifier, was said since the newest checkpoint.
    pub(super) fn tell(&mut self, word: Option<u64>, identifier: Option<Identifier>) {
        self.told.0.extend(word);
        self.told.1.extend(identifier);
    }

    /// A checkpoint is in place that has `numbered` words by number, without the texts of the words
    /// `left_out`.
    pub(super) fn saved(&mut self, numbered: usize, left_out: Vec<u64>) {
        self.told = Default::default();
        self.numbered_saved = numbered;
        self.newest_saved = self.newest;
        for word in left_out {
            self.nameless.insert(word, ());
        }
    }
}
