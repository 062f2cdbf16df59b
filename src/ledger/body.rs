//! Body: what does a frame of the log say?
//!
//! A body has five sections: records, sets, words, numbered and state, with their lengths behind
//! them. The records come first, so that the place of each is known before the rest is.
//!
//! ```text
//! records   put       0 | key 16 | subject | length | payload
//!           retract   1 | key 16
//!           erase     2 | how many | subjects
//! sets      subject | nonce 12 | length | the identifiers with their texts, sealed for the subject
//! words     nonce 12 | the new texts, sealed under the directory's key
//! numbered  the hashes of words that payloads from now on know by number
//! state     what else must be as it was
//! lengths   of the first four, four bytes each
//! ```
//!
//! A payload of somebody is a nonce and the packed event, sealed under that person's key; one of
//! nobody is a checksum and the packed event. Numbers are little-endian; those without a width take
//! seven bits a byte. A subject is the number of a person's key and one more; 0 is nobody.
//! The parts of a checkpoint are written in the same words.

use super::Error;

/// The bytes of a nonce.
pub(super) const NONCE: usize = 12;

/// The bytes that sealing adds to a text.
pub(super) const TAG: usize = 16;

/// The bytes of a clear payload's checksum.
pub(super) const CHECK: usize = 4;

const PUT: u8 = 0;
const RETRACT: u8 = 1;
const ERASE: u8 = 2;

/// The sections of a body.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Body<'a> {
    pub(super) records: &'a [u8],
    pub(super) sets: &'a [u8],
    pub(super) words: &'a [u8],
    pub(super) numbered: &'a [u8],
    pub(super) state: &'a [u8],
}

impl<'a> Body<'a> {
    /// The bytes of a body.
    pub(super) fn bytes(&self) -> Vec<u8> {
        let sections = [self.records, self.sets, self.words, self.numbered, self.state];
        let mut bytes =
            Vec::with_capacity(16 + sections.iter().map(|part| part.len()).sum::<usize>());
        for section in sections {
            bytes.extend_from_slice(section);
        }
        for section in &sections[..4] {
            let length = u32::try_from(section.len()).expect("a frame is shorter than 4 GiB");
            bytes.extend_from_slice(&length.to_le_bytes());
        }
        bytes
    }

    /// The sections of a body's bytes.
    ///
    /// # Errors
    ///
    /// The bytes are no body.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Body<'a>, Error> {
        let (mut rest, lengths) =
            bytes.split_last_chunk::<16>().ok_or(Error::Damaged("a body is too short"))?;
        let mut sections = [&[][..]; 4];
        for (section, length) in sections.iter_mut().zip(lengths.chunks_exact(4)) {
            let length = length.first_chunk().map_or(0, |length| u32::from_le_bytes(*length));
            let length = usize::try_from(length).unwrap_or(usize::MAX);
            let split = rest.split_at_checked(length);
            (*section, rest) = split.ok_or(Error::Damaged("a section is longer than its body"))?;
        }
        let [records, sets, words, numbered] = sections;
        Ok(Body { records, sets, words, numbered, state: rest })
    }
}

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Record<'a> {
    /// An event holds.
    Put {
        key: u128,
        subject: u32,
        /// Where in the records its payload begins.
        at: usize,
        payload: &'a [u8],
    },
    /// An event holds no longer.
    Retract(u128),
    /// The events of these subjects hold no longer, and their keys are destroyed.
    Erase(Vec<u32>),
}

/// Appends the head of a put of `length` packed bytes; its payload follows.
pub(super) fn put(key: u128, subject: u32, length: usize, records: &mut Vec<u8>) {
    records.push(PUT);
    records.extend_from_slice(&key.to_le_bytes());
    varint(subject, records);
    varint(u32::try_from(length).unwrap_or(u32::MAX), records);
}

/// Appends a retraction.
pub(super) fn retract(key: u128, records: &mut Vec<u8>) {
    records.push(RETRACT);
    records.extend_from_slice(&key.to_le_bytes());
}

/// Appends an erasure.
pub(super) fn erase(subjects: &[u32], records: &mut Vec<u8>) {
    records.push(ERASE);
    varint(u32::try_from(subjects.len()).unwrap_or(u32::MAX), records);
    for subject in subjects {
        varint(*subject, records);
    }
}

/// How long the payload of `length` packed bytes is.
pub(super) fn payload_len(subject: u32, length: usize) -> usize {
    length + if subject == 0 { CHECK } else { NONCE + TAG }
}

/// Reads what is in a section from its beginning.
#[derive(Clone, Copy, Debug)]
pub(super) struct Read<'a> {
    all: usize,
    rest: &'a [u8],
}

impl<'a> Read<'a> {
    /// From the beginning of `section`.
    pub(super) fn of(section: &'a [u8]) -> Read<'a> {
        Read { all: section.len(), rest: section }
    }

    /// Whether all has been read.
    pub(super) fn is_done(&self) -> bool {
        self.rest.is_empty()
    }

    /// How much has been read.
    pub(super) fn at(&self) -> usize {
        self.all - self.rest.len()
    }

    /// The next `length` bytes.
    pub(super) fn bytes(&mut self, length: usize) -> Result<&'a [u8], Error> {
        let split = self.rest.split_at_checked(length);
        let (bytes, rest) = split.ok_or(Error::Damaged("a section ends too soon"))?;
        self.rest = rest;
        Ok(bytes)
    }

    /// The next bytes, as many as the type says.
    pub(super) fn chunk<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let bytes = self.bytes(N)?.first_chunk();
        bytes.copied().ok_or(Error::Damaged("a section ends too soon"))
    }

    /// The next number.
    pub(super) fn number(&mut self) -> Result<u32, Error> {
        let (mut number, mut shift) = (0, 0);
        loop {
            let [byte] = self.chunk()?;
            let more = u64::from(byte & 0x7f) << shift;
            number |= more;
            if byte < 0x80 {
                return u32::try_from(number).map_err(|_| Error::Damaged("a number is too large"));
            }
            shift += 7;
            if 28 < shift {
                return Err(Error::Damaged("a number is too long"));
            }
        }
    }

    /// The next record.
    pub(super) fn record(&mut self) -> Result<Record<'a>, Error> {
        let [tag] = self.chunk()?;
        match tag {
            PUT => {
                let key = u128::from_le_bytes(self.chunk()?);
                let subject = self.number()?;
                let length = usize::try_from(self.number()?).unwrap_or(usize::MAX);
                if super::EVENT_BYTES_MAX < length {
                    return Err(Error::Damaged("an event is longer than it may be"));
                }
                let at = self.at();
                let payload = self.bytes(payload_len(subject, length))?;
                Ok(Record::Put { key, subject, at, payload })
            }
            RETRACT => Ok(Record::Retract(u128::from_le_bytes(self.chunk()?))),
            ERASE => {
                let count = self.number()?;
                (0..count).map(|_| self.number()).collect::<Result<_, _>>().map(Record::Erase)
            }
            _ => Err(Error::Damaged("a record is of no known kind")),
        }
    }
}

/// Appends a number, seven bits a byte.
pub(super) fn varint(mut number: u32, bytes: &mut Vec<u8>) {
    while 0x80 <= number {
        bytes.push(0x80 | number.to_le_bytes()[0]);
        number >>= 7;
    }
    bytes.push(number.to_le_bytes()[0]);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let mut records = Vec::new();
        put(7, 300, 2, &mut records);
        let at = records.len();
        records.extend_from_slice(&[9; 2 + NONCE + TAG]);
        retract(u128::MAX, &mut records);
        erase(&[1, u32::MAX], &mut records);
        let body = Body { records: &records, state: b"state", ..Body::default() }.bytes();
        let body = Body::parse(&body).unwrap();
        assert_eq!((body.sets, body.state), (&[][..], &b"state"[..]));
        let mut read = Read::of(body.records);
        let payload = &[9; 2 + NONCE + TAG][..];
        assert_eq!(read.record().unwrap(), Record::Put { key: 7, subject: 300, at, payload });
        assert_eq!(read.record().unwrap(), Record::Retract(u128::MAX));
        assert_eq!(read.record().unwrap(), Record::Erase(vec![1, u32::MAX]));
        assert!(read.is_done());
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_are_read_or_refused(bytes: Vec<u8>) {
            if let Ok(body) = Body::parse(&bytes) {
                let mut read = Read::of(body.records);
                while !read.is_done() && read.record().is_ok() {}
            }
        }
    }
}
