//! Item: what does the catalogue say of an item?
//!
//! Per item the attributes of the `item` event with the greatest place (event time, event id).

use std::rc::Rc;

use crate::event::{Action, Attributes, Event, Item, Place};
use crate::operator::{Bag, fold, values};
use crate::show;
use crate::view::{Facts, History, Rows, View, optional};

/// The catalogue.
pub const ITEMS: View<Item, Attributes> = View::new("items", items_batch);

show!(Attributes, |item, names| {
    "name" => optional(item.name, names),
    "category" => optional(item.category, names),
    "brand" => optional(item.brand, names),
    "price" => item.price.map(|price| names.money(price)).unwrap_or_default(),
    "available" => item.available.to_string(),
});

/// Maintains [`ITEMS`] from events.
///
/// Cost: per `item` event, one search among those of the same item.
pub fn items<'s>(events: Facts<'s, Rc<Event>>) -> Rows<'s, Item, Attributes> {
    let told = events.flat_map(|event| match event.action {
        Action::Item(item, attributes) => Some((item, (event.place(), attributes))),
        _ => None,
    });
    fold(
        told,
        "items",
        |_, told: &mut Bag<(Place, Attributes)>, updates| told.apply(values(updates)),
        |_, told| told.last().map(|(_, attributes)| *attributes),
    )
}

fn items_batch(_: &History<'_>) -> std::collections::BTreeMap<Item, Attributes> {
    Default::default()
}
