//! Item: what does the catalogue say of an item?
//!
//! Per item the attributes of the `item` event with the greatest place (event time, event id).

use std::rc::Rc;

use crate::event::{Action, Attributes, Event, Item, Place};
use crate::operator::{Bag, fold, values};
use crate::show;
use crate::view::{Facts, Rows, View, optional};

pub use batch::items_batch;

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

mod batch {
    //! The batch twin of [`item`](crate::item).

    use std::collections::BTreeMap;

    use crate::event::{Action, Attributes, Item, Place};
    use crate::view::History;

    /// The meaning of [`ITEMS`](crate::ITEMS).
    pub fn items_batch(history: &History<'_>) -> BTreeMap<Item, Attributes> {
        let mut newest: BTreeMap<Item, (Place, Attributes)> = BTreeMap::new();
        for event in history.events {
            if let Action::Item(item, attributes) = event.action {
                let said = (event.place(), attributes);
                let last = newest.entry(item).or_insert(said);
                *last = said.max(*last);
            }
        }
        newest.into_iter().map(|(item, (_, attributes))| (item, attributes)).collect()
    }
}
