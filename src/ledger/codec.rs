//! Codec: how is an event packed?
//!
//! What nearly every event is made of takes few bytes: words that recur (sources, countries) are
//! numbered, hashes stand as they are, and the common actions have a byte and their item. The rest
//! is in the default codec. On disk the numbered words stand beside the packed events.

use dataflows::operator::Index;
use dataflows::{Action, Context, Event, EventId, EventTime, Identifier, Item, SessionKey, Word};
use std::num::NonZeroU64;

use super::Error;

/// Packs and unpacks events; equal events have equal bytes.
#[derive(Debug, Default)]
pub(super) struct Codec {
    words: Vec<Word>,
    number: Index<Word, u32>,
}

/// The action is in the default codec.
const OTHER: u8 = 15;

impl Codec {
    /// Appends an event's bytes, at least one, without its id and its identifiers.
    pub(super) fn encode(&mut self, event: &Event, bytes: &mut Vec<u8>) {
        let Context { session, device, country, channel } = event.context;
        let (action, item) = match event.action {
            Action::View(item) => (0, Some(item)),
            Action::AddToCart(item) => (1, Some(item)),
            Action::RemoveFromCart(item) => (2, Some(item)),
            _ => (OTHER, None),
        };
        let flags = [session.is_some(), device.is_some(), country.is_some(), channel.is_some()];
        let flags = (4..).zip(flags).map(|(bit, flag)| u8::from(flag) << bit);
        bytes.push(flags.fold(action, |all, flag| all | flag));
        bytes.extend_from_slice(&event.at.0.to_le_bytes());
        for word in [Some(event.source), device, country, channel].into_iter().flatten() {
            let number = self.word(word);
            varint(number, bytes);
        }
        if let Some(SessionKey(session)) = session {
            bytes.extend_from_slice(&session.get().to_le_bytes());
        }
        match item {
            Some(item) => bytes.extend_from_slice(&item.0.to_le_bytes()),
            None => {
                let packed = postcard::to_extend(&event.action, std::mem::take(bytes));
                *bytes = packed.expect("bytes in memory take every action");
            }
        }
    }

    /// The event of these bytes; `None` if they are of no event.
    pub(super) fn decode(
        &self,
        mut bytes: &[u8],
        id: EventId,
        who: Box<[Identifier]>,
    ) -> Option<Event> {
        let [flags] = take(&mut bytes)?;
        let at = EventTime(i64::from_le_bytes(take(&mut bytes)?));
        let source = self.known(&mut bytes)?;
        let mut context = Context::default();
        let fields = [&mut context.device, &mut context.country, &mut context.channel];
        for (bit, field) in (5..).zip(fields) {
            if flags >> bit & 1 == 1 {
                *field = Some(self.known(&mut bytes)?);
            }
        }
        if flags >> 4 & 1 == 1 {
            let session = u64::from_le_bytes(take(&mut bytes)?);
            context.session = NonZeroU64::new(session).map(SessionKey);
        }
        let mut item = || Some(Item(u64::from_le_bytes(take(&mut bytes)?)));
        let action = match flags & OTHER {
            0 => Action::View(item()?),
            1 => Action::AddToCart(item()?),
            2 => Action::RemoveFromCart(item()?),
            _ => postcard::from_bytes(bytes).ok()?,
        };
        Some(Event { at, id, source, who, action, context })
    }

    /// How many words have a number.
    pub(super) fn numbered(&self) -> usize {
        self.words.len()
    }

    /// The words numbered from `first` on, as bytes.
    pub(super) fn numbered_from(&self, first: usize) -> Vec<u8> {
        let words = self.words.get(first..).unwrap_or_default();
        words.iter().flat_map(|word| word.0.get().to_le_bytes()).collect()
    }

    /// The next words have these numbers, whose bytes [`numbered_from`](Codec::numbered_from) gave.
    pub(super) fn number(&mut self, words: &[u8]) -> Result<(), Error> {
        for word in words.chunks(8) {
            let word =
                word.first_chunk().and_then(|word| NonZeroU64::new(u64::from_le_bytes(*word)));
            let before = self.words.len();
            self.word(Word(word.ok_or(Error::Damaged("a numbered word is no word"))?));
            if self.words.len() == before {
                return Err(Error::Damaged("a word is numbered twice"));
            }
        }
        Ok(())
    }

    /// The number of a word, new if it is new.
    fn word(&mut self, word: Word) -> u32 {
        if let Some(number) = self.number.get(&word) {
            return *number;
        }
        let number = u32::try_from(self.words.len()).expect("fewer than 2^32 words");
        self.words.push(word);
        self.number.insert(word, number);
        number
    }

    /// The next word.
    fn known(&self, bytes: &mut &[u8]) -> Option<Word> {
        let (mut number, mut shift) = (0, 0);
        loop {
            let [byte] = take(bytes)?;
            number |= u32::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                break;
            }
            shift += 7;
        }
        self.words.get(usize::try_from(number).ok()?).copied()
    }
}

/// Appends a number, seven bits a byte.
fn varint(mut number: u32, bytes: &mut Vec<u8>) {
    while 0x80 <= number {
        bytes.push(0x80 | number.to_le_bytes()[0]);
        number >>= 7;
    }
    bytes.push(number.to_le_bytes()[0]);
}

/// The next bytes.
fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*first)
}
