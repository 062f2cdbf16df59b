//! Item: what does the catalogue say of an item?
//!
//! Per item the attributes of the `item` event with the greatest place (event time, event id).

use crate::event::{Attributes, Item};
use crate::show;
use crate::view::{History, View, optional};

/// The catalogue.
pub const ITEMS: View<Item, Attributes> = View::new("items", items_batch);

show!(Attributes, |item, names| {
    "name" => optional(item.name, names),
    "category" => optional(item.category, names),
    "brand" => optional(item.brand, names),
    "price" => item.price.map(|price| names.money(price)).unwrap_or_default(),
    "available" => item.available.to_string(),
});

fn items_batch(_: &History<'_>) -> std::collections::BTreeMap<Item, Attributes> {
    Default::default()
}
