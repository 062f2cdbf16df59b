//! Format: how does a file say what it is, and that it is whole?
//!
//! Every file begins with the same sixteen bytes in all versions: eight letters, the version of its
//! format, and a checksum of the two. A program can therefore tell a file that is damaged from one
//! that a newer program wrote, whatever else has changed.

/// What a kind of file begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    /// Its eight letters.
    pub letters: [u8; 8],
    /// The newest version that this program can read, and the one that it writes.
    pub version: u32,
}

/// Why a file is not one of a format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unlike {
    /// A newer program wrote it, in this version.
    Newer(u32),
    /// It is another kind of file, or damaged.
    Damaged,
}

impl Format {
    /// How many bytes a file begins with.
    pub const BYTES: usize = 16;

    /// What a file of this format begins with.
    #[must_use]
    pub fn head(self) -> [u8; Format::BYTES] {
        let mut head = [0; Format::BYTES];
        let version = self.version.to_le_bytes();
        let said = self.letters.into_iter().chain(version);
        head.iter_mut().zip(said).for_each(|(to, from)| *to = from);
        let sum = checksum(0, head.get(..12).unwrap_or_default()).to_le_bytes();
        head.iter_mut().skip(12).zip(sum).for_each(|(to, from)| *to = from);
        head
    }

    /// What follows the head of a file of this format.
    ///
    /// # Errors
    ///
    /// It is no such file; nothing is ever written.
    pub fn check(self, bytes: &[u8]) -> Result<Fields<'_>, Unlike> {
        let mut fields = Fields(bytes);
        let (letters, version) = (fields.take(), fields.take().map(u32::from_le_bytes));
        let sum = fields.take().map(u32::from_le_bytes);
        let whole = sum == bytes.get(..12).map(|said| checksum(0, said));
        match version {
            Some(version) if whole && letters == Some(self.letters) => {
                if version == self.version {
                    Ok(fields)
                } else if self.version < version {
                    Err(Unlike::Newer(version))
                } else {
                    Err(Unlike::Damaged)
                }
            }
            _ => Err(Unlike::Damaged),
        }
    }
}

/// The CRC-32C of bytes that follow those whose sum is `before`.
#[must_use]
pub fn checksum(before: u32, bytes: &[u8]) -> u32 {
    crc32c::crc32c_append(before, bytes)
}

/// Bytes that are taken from the front, piece by piece.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'a>(pub &'a [u8]);

impl Fields<'_> {
    /// The next `N` bytes; `None` if there are fewer.
    pub fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*first)
    }

    /// The next four bytes, as a number.
    pub fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }

    /// The next eight bytes, as a number.
    pub fn u64(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORMAT: Format = Format { letters: *b"affltest", version: 2 };

    #[test]
    fn a_file_of_a_newer_version_is_told_from_a_damaged_one() {
        let head = FORMAT.head();
        assert!(FORMAT.check(&head).unwrap().0.is_empty());
        let newer = Format { version: 7, ..FORMAT }.head();
        assert_eq!(FORMAT.check(&newer).unwrap_err(), Unlike::Newer(7));
        let older = Format { version: 1, ..FORMAT }.head();
        assert_eq!(FORMAT.check(&older).unwrap_err(), Unlike::Damaged);
        assert_eq!(FORMAT.check(&head[..15]).unwrap_err(), Unlike::Damaged);
        for bit in 0..128 {
            let mut flipped = head;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(FORMAT.check(&flipped).unwrap_err(), Unlike::Damaged, "bit {bit}");
        }
    }
}
