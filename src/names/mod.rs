//! Names: what do the hashes inside the engine stand for?
//!
//! Raw values never enter a dataflow: there an identifier is a keyed hash of 128 bits and every
//! other text a keyed hash of 64.
//! The texts are kept here and nowhere else, so that personal data has one place to be read from,
//! and one to be forgotten in.
//!
//! The key is the shop's secret.
//! Runs over plain files use 16 zero bytes unless the shop's file or `AFFLUENT_SECRET` gives
//! another, so that the same files give the same bytes; a data directory brings its own.

use std::hash::Hasher;
use std::io;
use std::num::NonZeroU64;

use dataflows::view::Names;
use dataflows::{Day, EventTime, Identifier, Kind, Money, Settings, Word};
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;
use serde::{Deserialize, Serialize};
use siphasher::sip128::{Hasher128, SipHasher24};

/// The secret of runs that are given none.
pub const SECRET_DEFAULT: [u8; 16] = [0; 16];

/// Two texts with the same 64-bit hash; the second is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("its text has the 64-bit hash of another text")]
pub struct Collision;

/// Why a dictionary could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The file could not be read or written, or is not such a file.
    #[error("the dictionary could not be read or written")]
    Csv(#[from] csv::Error),
    /// A text does not have the hash beside it.
    #[error("entry {0} of the dictionary does not have the hash beside it: another secret's file?")]
    Secret(usize),
}

/// What a 128-bit key is the key of; keys of different tags never meet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tag {
    /// An event, by the id that its source gave it.
    Id = 0,
    /// An event, by the content of its record.
    Content = 1,
    /// A catalogue row that a decoder derives, by the item's code.
    Item = 2,
    /// A record, by its file and line.
    Place = 3,
}

/// How hashes and numbers are written as text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Format {
    /// Digits after the point of an amount: the shop's smallest unit is this power of a tenth.
    pub decimals: u8,
    /// The names of the kinds of identifiers, the strongest first.
    pub kinds: Vec<String>,
    /// The names of the RFM groups; the last one is that of those whom no group fits.
    pub groups: Vec<String>,
}

impl Format {
    /// The format of a shop with `settings` whose amounts have `decimals` digits after the point.
    #[must_use]
    pub fn new(settings: &Settings, decimals: u8) -> Format {
        let groups = settings.groups.iter().map(|group| group.name.clone());
        Format {
            decimals,
            kinds: settings.kinds.iter().map(|rule| rule.name.clone()).collect(),
            groups: groups.chain([settings.group_default.clone()]).collect(),
        }
    }
}

/// Where a text stands in the dictionary's texts: its start, and in the lowest bits its length.
#[derive(Clone, Copy, Debug)]
pub struct Span(u64);

/// How many bits of a [`Span`] are the length: a record is shorter than this allows.
const LENGTH_BITS: u32 = 24;

/// What is known of a word, in 24 bytes.
#[derive(Clone, Copy, Debug)]
struct Known {
    word: Word,
    /// The other half of the text's 128-bit hash. Two texts with the same word are told apart by
    /// it, for to compare the texts would cost every look-up a visit to cold memory.
    other: u64,
    span: Span,
}

/// The texts behind the hashes of one secret.
///
/// # Invariants
///
/// * A hash has one text. Kept by [`learn`](Dictionary::learn), which refuses a second.
/// * It holds less than a TiB of text. Kept by an assertion.
#[derive(Clone)]
pub struct Dictionary {
    /// The keyed hash, before any byte.
    hasher: SipHasher24,
    /// The texts of words. Hash tables because every event asks a few times, and their hashes are
    /// already keyed; nothing iterates over them but [`entries`](Dictionary::entries), which sorts.
    words: HashTable<Known>,
    /// The texts of identifiers.
    identifiers: HashTable<(Identifier, Span)>,
    /// All texts, end to end: one allocation instead of one a text.
    texts: Vec<u8>,
    /// How numbers and kinds are written.
    format: Format,
    /// Where the texts of words are that were learnt since the last look, if somebody looks.
    fresh: Option<Vec<Span>>,
}

impl std::fmt::Debug for Dictionary {
    /// Says how much it holds and never what: neither the secret nor the texts.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dictionary")
            .field("words", &self.words.len())
            .field("identifiers", &self.identifiers.len())
            .finish_non_exhaustive()
    }
}

/// One line of a dictionary's file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Line {
    /// The place of the kind in the shop's list; none for a word.
    pub kind: Option<u8>,
    /// The hash in hexadecimal digits: 16 of a word, 32 of an identifier.
    pub hash: String,
    /// The text.
    pub text: String,
}

impl Dictionary {
    /// An empty dictionary under `secret`.
    #[must_use]
    pub fn new(secret: [u8; 16]) -> Dictionary {
        Dictionary {
            hasher: SipHasher24::new_with_key(&secret),
            words: HashTable::new(),
            identifiers: HashTable::new(),
            texts: Vec::new(),
            format: Format::default(),
            fresh: None,
        }
    }

    /// The same dictionary, which writes numbers and kinds as `format` says.
    #[must_use]
    pub fn with_format(mut self, format: Format) -> Dictionary {
        self.format = format;
        self
    }

    /// How many texts it holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.words.len() + self.identifiers.len()
    }

    /// Whether it holds no text.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The word of `text`, which is remembered.
    ///
    /// # Errors
    ///
    /// Nothing is remembered if another text has the same hash.
    pub fn learn(&mut self, text: &str) -> Result<Word, Collision> {
        let (word, other) = self.halves(text);
        self.remember(word, other, text).map(|()| word)
    }

    /// The word of `text`, which is not remembered.
    #[must_use]
    pub fn word_of(&self, text: &str) -> Word {
        self.halves(text).0
    }

    /// The word of `text`, and the other half of its hash.
    fn halves(&self, text: &str) -> (Word, u64) {
        let (word, other) = self.hasher.hash(text.as_bytes()).as_u64();
        // No word is 0, so that an optional word takes no room; the text that hashes to 0 takes
        // the word 1, and meets the text that hashes to 1 as a collision like any other.
        (Word(NonZeroU64::new(word).unwrap_or(NonZeroU64::MIN)), other)
    }

    /// Remembers that `word` stands for `text`.
    fn remember(&mut self, word: Word, other: u64, text: &str) -> Result<(), Collision> {
        let same = |known: &Known| known.word == word;
        match self.words.entry(word.0.get(), same, |known| known.word.0.get()) {
            Entry::Occupied(known) => (known.get().other == other).then_some(()).ok_or(Collision),
            Entry::Vacant(vacant) => {
                let span = push(&mut self.texts, text);
                vacant.insert(Known { word, other, span });
                self.fresh.iter_mut().for_each(|fresh| fresh.push(span));
                Ok(())
            }
        }
    }

    /// The identifier of `kind` whose normalised value is `normalised`, which is remembered.
    pub fn learn_identifier(&mut self, kind: Kind, normalised: &str) -> Identifier {
        let identifier = self.identifier_of(kind, normalised);
        let same = |(known, _): &(Identifier, Span)| *known == identifier;
        let hash = low(identifier.bits());
        if let Entry::Vacant(vacant) =
            self.identifiers.entry(hash, same, |(known, _)| low(known.bits()))
        {
            vacant.insert((identifier, push(&mut self.texts, normalised)));
        }
        identifier
    }

    /// The identifier of `kind` whose normalised value is `normalised`, which is not remembered.
    #[must_use]
    pub fn identifier_of(&self, kind: Kind, normalised: &str) -> Identifier {
        let mut hasher = self.hasher;
        hasher.write(&[kind.0]);
        hasher.write(normalised.as_bytes());
        Identifier::new(kind, hasher.finish128().as_u128())
    }

    /// The text of an identifier, if it is known.
    #[must_use]
    pub fn text_of(&self, identifier: Identifier) -> Option<&str> {
        let hash = low(identifier.bits());
        let (_, span) = self.identifiers.find(hash, |(known, _)| *known == identifier)?;
        Some(self.text_at(*span))
    }

    /// The text of a word, if it is known.
    #[must_use]
    pub fn text_of_word(&self, word: u64) -> Option<&str> {
        let known = self.words.find(word, |known| known.word.0.get() == word)?;
        Some(self.text_at(known.span))
    }

    /// The text at a place.
    #[must_use]
    pub fn text_at(&self, span: Span) -> &str {
        std::str::from_utf8(at(&self.texts, span)).unwrap_or_default()
    }

    /// Where the texts of words are that were learnt since this was asked last; the first time, of
    /// all words.
    pub fn take_fresh(&mut self) -> Vec<Span> {
        match self.fresh.replace(Vec::new()) {
            Some(fresh) => fresh,
            None => self.words.iter().map(|known| known.span).collect(),
        }
    }

    /// These have to be asked for again.
    pub fn give_back(&mut self, fresh: Vec<Span>) {
        self.fresh.get_or_insert_default().extend(fresh);
    }

    /// All words, in no particular order.
    pub fn all_words(&self) -> impl Iterator<Item = u64> {
        self.words.iter().map(|known| known.word.0.get())
    }

    /// Forgets the texts of `identifiers`: their bytes are overwritten, the hashes become nameless.
    pub fn forget(&mut self, identifiers: &[Identifier]) {
        for identifier in identifiers {
            let hash = low(identifier.bits());
            if let Ok(entry) = self.identifiers.find_entry(hash, |(known, _)| known == identifier) {
                let ((_, span), _) = entry.remove();
                if let Some(bytes) = self.texts.get_mut(range(span)) {
                    bytes.fill(0);
                }
            }
        }
    }

    /// The key of an event or a record: a keyed hash of all four arguments.
    #[must_use]
    pub fn key(&self, tag: Tag, source: Word, bytes: &[u8], number: u64) -> u128 {
        let mut head = [0; 17];
        #[expect(clippy::as_conversions, reason = "the tag is a byte by its definition")]
        let tag = tag as u8;
        head[0] = tag;
        head[1..9].copy_from_slice(&source.0.get().to_le_bytes());
        head[9..].copy_from_slice(&number.to_le_bytes());
        let mut hasher = self.hasher;
        hasher.write(&head);
        hasher.write(bytes);
        hasher.finish128().as_u128()
    }

    /// All texts with their hashes, words first, then by kind and hash.
    #[must_use]
    pub fn entries(&self) -> Vec<Line> {
        let text = |span: Span| String::from_utf8_lossy(at(&self.texts, span)).into_owned();
        let words = self.words.iter().map(|known| {
            let hash = format!("{:016x}", known.word.0.get());
            Line { kind: None, hash, text: text(known.span) }
        });
        let identifiers = self.identifiers.iter().map(|(identifier, span)| {
            let hash = format!("{:032x}", identifier.bits());
            Line { kind: Some(identifier.kind().0), hash, text: text(*span) }
        });
        let mut lines: Vec<Line> = words.chain(identifiers).collect();
        lines.sort_unstable();
        lines
    }

    /// Writes all [`entries`](Dictionary::entries) as a CSV file with a header.
    ///
    /// # Errors
    ///
    /// Part of the file may have been written.
    pub fn save(&self, to: impl io::Write) -> Result<(), Error> {
        let mut writer = csv::Writer::from_writer(to);
        for line in self.entries() {
            writer.serialize(line)?;
        }
        writer.flush().map_err(csv::Error::from)?;
        Ok(())
    }

    /// Reads what [`save`](Dictionary::save) wrote, into this dictionary.
    ///
    /// # Errors
    ///
    /// The entries before the one at fault have been remembered.
    pub fn load(&mut self, from: impl io::Read) -> Result<(), Error> {
        for (place, line) in csv::Reader::from_reader(from).deserialize().enumerate() {
            let Line { kind, hash, text } = line?;
            let found = match kind {
                Some(kind) => format!("{:032x}", self.identifier_of(Kind(kind), &text).bits()),
                None => format!("{:016x}", self.word_of(&text).0.get()),
            };
            if found != hash {
                return Err(Error::Secret(place + 1));
            }
            match kind {
                Some(kind) => _ = self.learn_identifier(Kind(kind), &text),
                None => _ = self.learn(&text).map_err(|_| Error::Secret(place + 1))?,
            }
        }
        Ok(())
    }
}

impl Names for Dictionary {
    fn identifier(&self, identifier: Identifier) -> String {
        let kind = self.kind(identifier.kind());
        let hash = low(identifier.bits());
        match self.identifiers.find(hash, |(known, _)| *known == identifier) {
            Some((_, span)) => {
                format!("{kind}:{}", String::from_utf8_lossy(at(&self.texts, *span)))
            }
            None => format!("{kind}:{:032x}", identifier.bits()),
        }
    }

    fn kind(&self, kind: Kind) -> String {
        self.format.kinds.get(usize::from(kind.0)).cloned().unwrap_or_else(|| kind.0.to_string())
    }

    fn word(&self, word: u64) -> String {
        match self.words.find(word, |known| known.word.0.get() == word) {
            Some(known) => String::from_utf8_lossy(at(&self.texts, known.span)).into_owned(),
            None => format!("{word:016x}"),
        }
    }

    fn money(&self, money: Money) -> String {
        let decimals = usize::from(self.format.decimals);
        let sign = if money.0 < 0 { "-" } else { "" };
        let digits = format!("{:0width$}", money.0.unsigned_abs(), width = decimals + 1);
        let (whole, part) = digits.split_at(digits.len() - decimals);
        let point = if part.is_empty() { "" } else { "." };
        format!("{sign}{whole}{point}{part}")
    }

    fn time(&self, at: EventTime) -> String {
        match jiff::Timestamp::from_microsecond(at.0) {
            Ok(time) => time.to_string(),
            Err(_) => format!("{} us", at.0),
        }
    }

    fn day(&self, day: Day) -> String {
        let epoch = jiff::civil::Date::constant(1970, 1, 1);
        let span = jiff::Span::new().try_days(day.0);
        match span.and_then(|span| epoch.checked_add(span)) {
            Ok(date) => date.to_string(),
            Err(_) => format!("day {}", day.0),
        }
    }

    fn group(&self, group: u8) -> String {
        let groups = &self.format.groups;
        groups.get(usize::from(group)).or(groups.last()).cloned().unwrap_or_default()
    }
}

/// The low half of a key: what the dataflows know an event by.
#[must_use]
#[expect(clippy::as_conversions, reason = "the low half is meant")]
pub fn low(bits: u128) -> u64 {
    bits as u64
}

/// The bytes at `span`.
fn at(texts: &[u8], span: Span) -> &[u8] {
    texts.get(range(span)).unwrap_or_default()
}

/// Where the bytes of `span` are.
fn range(span: Span) -> std::ops::Range<usize> {
    let place = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    let start = place(span.0 >> LENGTH_BITS);
    start..start.saturating_add(place(span.0 & ((1 << LENGTH_BITS) - 1)))
}

/// Puts `text` at the end of `texts`; of a text beyond any record's length, the beginning.
fn push(texts: &mut Vec<u8>, text: &str) -> Span {
    let bytes = text.as_bytes();
    let bytes = bytes.get(..bytes.len().min((1 << LENGTH_BITS) - 1)).unwrap_or_default();
    let [start, length] = [texts.len(), bytes.len()].map(|n| u64::try_from(n).unwrap_or(u64::MAX));
    assert!(start >> (u64::BITS - LENGTH_BITS) == 0, "a dictionary has less than a TiB of text");
    texts.extend_from_slice(bytes);
    Span((start << LENGTH_BITS) | length)
}

#[cfg(test)]
mod tests;
