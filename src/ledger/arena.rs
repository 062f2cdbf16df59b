//! Arena: where do the bytes of events lie?

/// How many bytes are allocated at once.
const CHUNK: usize = 1 << 20;

/// Byte strings in large chunks; what is dropped stays until the whole is copied.
#[derive(Debug, Default)]
pub(super) struct Arena {
    chunks: Vec<Vec<u8>>,
}

impl Arena {
    /// Keeps `bytes`, at most a chunk long, and returns their place.
    pub(super) fn push(&mut self, bytes: &[u8]) -> u64 {
        let full = self.chunks.last().is_none_or(|chunk| CHUNK < chunk.len() + bytes.len());
        if full {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        let number = self.chunks.len() - 1;
        let chunk = &mut self.chunks[number];
        let place = u64::try_from(number * CHUNK + chunk.len()).unwrap_or(u64::MAX);
        chunk.extend_from_slice(bytes);
        place
    }

    /// The bytes at a place.
    pub(super) fn bytes(&self, place: u64, len: u32) -> &[u8] {
        let place = usize::try_from(place).unwrap_or(usize::MAX);
        let len = usize::try_from(len).unwrap_or(0);
        &self.chunks[place / CHUNK][place % CHUNK..][..len]
    }

    /// How many bytes are allocated.
    pub(super) fn capacity(&self) -> usize {
        self.chunks.iter().map(Vec::capacity).sum()
    }
}
