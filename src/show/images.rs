//! Images: what do the images of views say?

use dataflows::view::Datum;
use dataflows::{Identifier, Item, Kind, Names, ProfileId};

use super::{Error, Row, Source};
use crate::names::Dictionary;
use crate::view::image::Images;
use crate::view::snapshot::About;

/// The images of a tick, with what their hashes stand for; what a key begins with is looked up.
#[derive(Debug)]
pub struct Pictures<'a> {
    /// The images.
    pub images: &'a Images,
    /// What their hashes stand for.
    pub names: &'a Dictionary,
    /// What has to be known of the shop.
    pub shop: &'a About,
}

impl Pictures<'_> {
    /// The rows that `find` finds of each of `keys`, which stand in the order of the keys.
    fn found<K: Datum>(
        &self,
        view: &str,
        mut keys: Vec<K>,
        find: impl Fn(&K, &mut dyn FnMut(&[String])) -> Result<(), crate::view::image::Error>,
    ) -> Result<Vec<Row>, Error> {
        keys.sort_unstable();
        keys.dedup();
        let (columns, mut rows) = (self.images.columns(view).0, Vec::new());
        for key in &keys {
            find(key, &mut |cells| rows.push(row(&columns, cells)))?;
        }
        Ok(rows)
    }

    /// The rows of `view` whose key begins with one of `keys`.
    fn begin<K: Datum>(&self, view: &str, keys: Vec<K>) -> Result<Vec<Row>, Error> {
        self.found(view, keys, |key, row| self.images.each_of(view, key, self.names, row))
    }

    /// The identifier that is written as `text`, a kind and a value.
    fn identifier(&self, text: &str) -> Option<Identifier> {
        let (kind, value) = text.split_once(':')?;
        let kind = (0..=u8::MAX).map(Kind).find(|known| self.names.kind(*known) == kind)?;
        // One whose value is forgotten, or was never known, is written as its hash.
        let known = self.names.identifier_of(kind, value);
        let nameless = u128::from_str_radix(value, 16).ok();
        let hash = |bits: u128| (bits >> 64 << 72) | (bits & u128::from(u64::MAX));
        let nameless = nameless.map(|bits| Identifier::new(kind, hash(bits)));
        let shown = |identifier: &Identifier| self.names.identifier(*identifier) == text;
        [Some(known), nameless].into_iter().flatten().find(shown)
    }

    /// The item whose code is `text`.
    fn item(&self, text: &str) -> Option<Item> {
        let known = self.names.word_of(text).0.get();
        let words = [Some(known), u64::from_str_radix(text, 16).ok()];
        words.into_iter().flatten().find(|word| self.names.word(*word) == text).map(Item)
    }
}

/// The cells of a row by column.
fn row(columns: &[&str], cells: &[String]) -> Row {
    columns.iter().map(|column| (*column).to_owned()).zip(cells.iter().cloned()).collect()
}

impl Source for Pictures<'_> {
    fn tick(&self) -> u64 {
        self.images.tick().0
    }

    fn shop(&self) -> &About {
        self.shop
    }

    fn each(&self, view: &str, to: &mut dyn FnMut(Row)) -> Result<(), Error> {
        let (columns, _) = self.images.columns(view);
        Ok(self.images.each(view, self.names, &mut |cells| to(row(&columns, cells)))?)
    }

    fn those(&self, view: &str, column: &str, values: &[&str]) -> Result<Vec<Row>, Error> {
        let identifiers = || values.iter().filter_map(|text| self.identifier(text));
        let items = || values.iter().filter_map(|text| self.item(text)).collect();
        let first = self.images.columns(view).0.first() == Some(&column);
        match column {
            "identifier" if first => self.begin(view, identifiers().collect()),
            "profile" if first => self.begin(view, identifiers().map(ProfileId).collect()),
            "item" if first => self.begin::<Item>(view, items()),
            "with" if self.images.is_mirrored(view) => self.found(view, items(), |item, row| {
                self.images.each_with(view, *item, self.names, row)
            }),
            _ => super::those(self, view, column, values),
        }
    }
}
