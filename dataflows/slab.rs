//! Slab: how do we keep many small things in little memory?

/// How many entries are allocated at once.
const CHUNK: usize = 4096;

/// Things with a number each; the numbers of those that left are used again.
///
/// It grows in chunks, so that it never holds twice what it needs.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    chunks: Vec<Vec<T>>,
    free: Vec<u32>,
    used: u32,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Slab { chunks: Vec::new(), free: Vec::new(), used: 0 }
    }
}

impl<T: Default> Slab<T> {
    /// Puts `value` in and returns its number.
    pub(crate) fn insert(&mut self, value: T) -> u32 {
        if let Some(number) = self.free.pop() {
            self[number] = value;
            return number;
        }
        let number = self.used;
        if place(number).1 == 0 {
            self.chunks.push(Vec::with_capacity(CHUNK));
        }
        self.chunks[place(number).0].push(value);
        self.used += 1;
        number
    }

    /// Takes the thing with `number` out.
    pub(crate) fn remove(&mut self, number: u32) -> T {
        self.free.push(number);
        std::mem::take(&mut self[number])
    }
}

/// The chunk of a number, and its place there.
fn place(number: u32) -> (usize, usize) {
    let number = usize::try_from(number).unwrap_or(usize::MAX);
    (number / CHUNK, number % CHUNK)
}

impl<T> std::ops::Index<u32> for Slab<T> {
    type Output = T;

    fn index(&self, number: u32) -> &T {
        let (chunk, at) = place(number);
        &self.chunks[chunk][at]
    }
}

impl<T> std::ops::IndexMut<u32> for Slab<T> {
    fn index_mut(&mut self, number: u32) -> &mut T {
        let (chunk, at) = place(number);
        &mut self.chunks[chunk][at]
    }
}

/// How many numbers a [`List`] holds without an allocation.
const FEW: usize = 5;

/// A list of numbers that is nearly always short.
#[derive(Clone, Debug)]
pub(crate) enum List {
    /// Up to five, in place.
    Few(u8, [u32; FEW]),
    /// More.
    Many(Vec<u32>),
}

impl Default for List {
    fn default() -> Self {
        List::Few(0, [0; FEW])
    }
}

impl List {
    /// The numbers.
    pub(crate) fn as_slice(&self) -> &[u32] {
        match self {
            List::Few(len, few) => &few[..usize::from(*len)],
            List::Many(many) => many,
        }
    }

    /// Adds a number at the end.
    pub(crate) fn push(&mut self, number: u32) {
        match self {
            List::Few(len, few) if usize::from(*len) < FEW => {
                few[usize::from(*len)] = number;
                *len += 1;
            }
            List::Few(_, few) => {
                let mut many = few.to_vec();
                many.push(number);
                *self = List::Many(many);
            }
            List::Many(many) => many.push(number),
        }
    }

    /// Takes a number out, if it is there; the order of the others may change.
    pub(crate) fn remove(&mut self, number: u32) {
        let Some(at) = self.as_slice().iter().position(|other| *other == number) else { return };
        match self {
            List::Few(len, few) => {
                *len -= 1;
                few[at] = few[usize::from(*len)];
            }
            List::Many(many) => {
                many.swap_remove(at);
            }
        }
    }
}

impl FromIterator<u32> for List {
    fn from_iter<I: IntoIterator<Item = u32>>(numbers: I) -> List {
        let mut list = List::default();
        numbers.into_iter().for_each(|number| list.push(number));
        list
    }
}
