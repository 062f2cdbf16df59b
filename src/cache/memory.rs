//! Memory: how do words get to bytes and back by being copied as they lie?
//!
//! The one place of unsafe code. What makes it bearable, though abomonation is unsound in general:
//!
//! * A [`Flat`] is words of 64 bits and lists of such words: no padding, no value that is not a
//!   number, and every part of an image begins at a multiple of eight bytes.
//! * An image is decoded in a buffer that is aligned for it, and copied out before the buffer goes.
//! * It is handed only bytes whose digest was checked, under a header that only this very build
//!   writes. A forged file with a right digest would break it: a cache is as trusted as the program
//!   itself.

#![expect(unsafe_code, reason = "abomonation copies memory; the feature is off by default")]

use super::flat::Flat;

/// How many bytes a word has.
const WORD: usize = size_of::<u64>();

/// The image of `flat`.
pub(super) fn encode(flat: &Vec<Flat>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(abomonation::measure(flat));
    // SAFETY: all that is reachable from a `Flat` is initialised words and lists of them.
    let written = unsafe { abomonation::encode(flat, &mut bytes) };
    written.expect("memory can be written to");
    bytes
}

/// What the image `bytes` shows; `None` if it is too short or too long for that.
pub(super) fn decode(bytes: &[u8]) -> Option<Vec<Flat>> {
    if !bytes.len().is_multiple_of(WORD) {
        return None;
    }
    let words = bytes.as_chunks::<WORD>().0;
    let mut words: Vec<u64> = words.iter().map(|word| u64::from_ne_bytes(*word)).collect();
    // SAFETY: any bytes are words and any words are bytes; the words outlive the slice.
    let aligned =
        unsafe { std::slice::from_raw_parts_mut(words.as_mut_ptr().cast::<u8>(), bytes.len()) };
    // SAFETY: `load` has checked that these are the bytes that `encode` gave in this same build,
    // and they lie as aligned as they lay there.
    let (flat, rest) = unsafe { abomonation::decode::<Vec<Flat>>(aligned) }?;
    rest.is_empty().then(|| flat.clone())
}
