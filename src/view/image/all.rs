//! All: what do the images of one tick say together?

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::io;
use std::ops::RangeBounds;

use dataflows::related::{Items, Role, RoleItem};
use dataflows::score::{Counts, Score};
use dataflows::view::{Datum, Visit};
use dataflows::{BASKET_ITEMS, Item, Names, Tick, View};

use super::{AnyImage, Digest, Error, Image, ReadAt, prefix};
use crate::view::pairs::{Neighbour, best};

/// The images of all views at one tick: what a [`Store`](crate::view::Store) says, from files.
#[derive(Debug)]
pub struct Images {
    tick: Tick,
    images: BTreeMap<&'static str, Box<dyn AnyImage>>,
    /// What items of pairs are to a basket.
    roles: BTreeMap<&'static str, [Role; 2]>,
}

impl Images {
    /// Opens the images at `tick` of all views that `find` knows a file of.
    ///
    /// # Errors
    ///
    /// A file cannot be opened, is damaged in its foot, or is not the view's at this tick.
    pub fn open(
        tick: Tick,
        find: impl FnMut(&'static str) -> io::Result<Option<Box<dyn ReadAt>>>,
    ) -> Result<Images, Error> {
        let images = Images { tick, images: BTreeMap::new(), roles: BTreeMap::new() };
        let mut opening = Opening { find, images, error: None };
        dataflows::views(&mut opening);
        match opening.error {
            Some(error) => Err(error),
            None => Ok(opening.images),
        }
    }

    /// The tick that all of them show.
    #[must_use]
    pub fn tick(&self) -> Tick {
        self.tick
    }

    /// The names of the views.
    #[must_use]
    pub fn names(&self) -> Vec<&'static str> {
        self.images.keys().copied().collect()
    }

    /// The columns of a view, and how many of them are its key.
    #[must_use]
    pub fn columns(&self, name: &str) -> (Vec<&'static str>, usize) {
        self.images.get(name).map(|image| image.columns()).unwrap_or_default()
    }

    /// How many rows a view has.
    #[must_use]
    pub fn len(&self, name: &str) -> usize {
        let rows = self.images.get(name).map_or(0, |image| image.sorted().foot.rows);
        usize::try_from(rows).unwrap_or(usize::MAX)
    }

    /// Whether it is an undirected pairs view, of which [`each_with`](Images::each_with) can tell.
    #[must_use]
    pub fn is_mirrored(&self, name: &str) -> bool {
        self.images.get(name).is_some_and(|image| image.sorted().foot.mirrored)
    }

    /// The digest of a view's rows, as it was written.
    #[must_use]
    pub fn digest(&self, name: &str) -> Option<Digest> {
        self.images.get(name).map(|image| image.sorted().foot.digest)
    }

    /// The image of `view`; `None` where it is not kept.
    #[must_use]
    pub fn image<K: Datum, V: Datum>(&self, view: View<K, V>) -> Option<&Image<K, V>> {
        self.images.get(view.name)?.as_any().downcast_ref()
    }

    /// The value of `key` in `view`.
    ///
    /// # Errors
    ///
    /// It cannot be read, or is damaged.
    pub fn get<K: Datum, V: Datum>(&self, view: View<K, V>, key: &K) -> Result<Option<V>, Error> {
        self.image(view).map_or(Ok(None), |image| image.get(key))
    }

    /// The rows of `view` whose keys are in `range`, in order; they end with the first error.
    pub fn range<K: Datum, V: Datum>(
        &self,
        view: View<K, V>,
        range: impl RangeBounds<K>,
    ) -> impl Iterator<Item = Result<(K, V), Error>> {
        self.image(view).map(|image| image.range(range)).into_iter().flatten()
    }

    /// Calls `row` with each row of a view as texts, in order of their keys.
    ///
    /// # Errors
    ///
    /// They cannot be read, or are damaged; `row` was called with those before.
    pub fn each(
        &self,
        name: &str,
        names: &dyn Names,
        row: &mut dyn FnMut(&[String]),
    ) -> Result<(), Error> {
        let Some(image) = self.images.get(name) else { return Ok(()) };
        image.each(&|_| Some(Ordering::Equal), false, names, row)
    }

    /// Calls `row` with each row of a view whose key begins with `first`, as texts.
    ///
    /// `P` is the type of what the view's key begins with, or is.
    ///
    /// Cost: only the blocks are read that have such rows.
    ///
    /// # Errors
    ///
    /// As [`Images::each`].
    pub fn each_of<P: Datum>(
        &self,
        name: &str,
        first: &P,
        names: &dyn Names,
        row: &mut dyn FnMut(&[String]),
    ) -> Result<(), Error> {
        let Some(image) = self.images.get(name) else { return Ok(()) };
        image.each(&|bytes| Some(prefix::<P>(bytes)?.cmp(first)), false, names, row)
    }

    /// Calls `row` with each row of an undirected pairs view whose second item is `second`, in the
    /// order of the first.
    ///
    /// # Errors
    ///
    /// As [`Images::each`].
    pub fn each_with(
        &self,
        name: &str,
        second: Item,
        names: &dyn Names,
        row: &mut dyn FnMut(&[String]),
    ) -> Result<(), Error> {
        let Some(image) = self.images.get(name) else { return Ok(()) };
        let place = |bytes: &[u8]| Some(prefix::<Item>(bytes)?.cmp(&second));
        image.each(&place, true, names, &mut |cells| {
            let mut cells = cells.to_vec();
            cells.swap(0, 1);
            row(&cells);
        })
    }

    /// Reads all of a view: every checksum, the order of the rows, their number and their digest.
    ///
    /// # Errors
    ///
    /// Something is not as it was written.
    pub fn verify(&self, name: &str) -> Result<(), Error> {
        self.images.get(name).map_or(Ok(()), |image| image.verify())
    }

    /// The `most` best neighbours of `item` in the pairs of `view`, as
    /// [`Pairs::top`](crate::view::pairs::Pairs::top) finds them; none where [`BASKET_ITEMS`] is
    /// not kept, without which there is no score.
    ///
    /// Cost: the blocks of the item's neighbours, and those of what is known of these items.
    ///
    /// # Errors
    ///
    /// They cannot be read, or are damaged.
    pub fn top(
        &self,
        view: View<Items, i64>,
        item: Item,
        score: Score,
        support_min: u64,
        total: u64,
        most: usize,
    ) -> Result<Vec<Neighbour>, Error> {
        let (Some(image), Some(roles)) = (self.image(view), self.roles.get(view.name)) else {
            return Ok(Vec::new());
        };
        let count = |count: i64| u64::try_from(count).unwrap_or(0);
        let Some(first) = self.get(BASKET_ITEMS, &RoleItem(roles[0], item))?.map(count) else {
            return Ok(Vec::new());
        };
        let mut pairs = Vec::new();
        for row in image.stored(Items(item, Item(0))..=Items(item, Item(u64::MAX))) {
            let (Items(_, other), support) = row?;
            if support_min <= count(support) {
                pairs.push((other, count(support)));
            }
        }
        let (Some(from), Some(to)) = (pairs.first(), pairs.last()) else { return Ok(Vec::new()) };
        let mut known =
            self.range(BASKET_ITEMS, RoleItem(roles[1], from.0)..=RoleItem(roles[1], to.0));
        let mut found = Vec::with_capacity(pairs.len());
        // Both stand in the order of the items.
        for (other, support) in pairs {
            let theirs = known.find(|row| row.as_ref().map_or(true, |(key, _)| key.1 == other));
            let Some((_, theirs)) = theirs.transpose()? else { break };
            let counts = Counts { pair: support, first, second: count(theirs), total };
            found.push(Neighbour { item: other, score: score.of(counts), support });
        }
        Ok(best(found, most))
    }
}

/// Opens images one by one.
struct Opening<F> {
    find: F,
    images: Images,
    /// What was wrong first; nothing is opened any more.
    error: Option<Error>,
}

impl<F: FnMut(&'static str) -> io::Result<Option<Box<dyn ReadAt>>>> Opening<F> {
    fn add<I: AnyImage + 'static>(
        &mut self,
        view: &'static str,
        open: impl FnOnce(Tick, Box<dyn ReadAt>) -> Result<I, Error>,
    ) {
        if self.error.is_some() {
            return;
        }
        let file = (self.find)(view).map_err(|source| Error::Read { view, offset: 0, source });
        match file.and_then(|file| file.map(|file| open(self.images.tick, file)).transpose()) {
            Ok(Some(image)) => _ = self.images.images.insert(view, Box::new(image)),
            Ok(None) => {}
            Err(error) => self.error = Some(error),
        }
    }
}

impl<F: FnMut(&'static str) -> io::Result<Option<Box<dyn ReadAt>>>> Visit for Opening<F> {
    fn rows<K: Datum, V: Datum>(&mut self, view: View<K, V>) {
        self.add(view.name, |tick, file| Image::open(view, tick, file));
    }

    fn pairs(&mut self, view: View<Items, i64>, roles: [Role; 2]) {
        self.images.roles.insert(view.name, roles);
        self.add(view.name, |tick, file| Image::open_pairs(view, roles, tick, file));
    }
}
