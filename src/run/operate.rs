//! Operate: how is something done to a data directory, beside its sources?

use std::sync::{Arc, Mutex};

use super::Error;
use crate::config::Shop;
use crate::decode;
use crate::durable::{self, Found, Health, State};
use crate::feed::{Feed, refit};
use crate::log::Limits;
use crate::names::Dictionary;
use crate::view::Store;
use crate::worker::{self, Driver, Layout};

/// Opens what was `found`, lets the engine take up all that it holds, and calls `act`; the sources
/// are not read.
///
/// # Errors
///
/// The directory is damaged or of another shop, or what `act` failed with.
pub fn operate<T: Send + 'static>(
    shop: &Shop,
    found: Found,
    layout: &Layout,
    health: Health,
    act: impl FnOnce(&mut Feed, &mut Driver<'_>, &Mutex<Dictionary>) -> Result<T, durable::Error>
    + Send
    + 'static,
) -> Result<T, Error> {
    let names = Arc::new(Mutex::new(shop.dictionary()));
    let mut opened = found.open(Limits::default())?;
    opened.durable.name(Arc::clone(&names), &shop.settings);
    let refit = refit(shop);
    let drive = move |driver: &mut Driver<'_>| -> Result<T, Error> {
        let feed = Feed::new(Some(refit.clone()), &mut super::lock(&names));
        let unnamed = |_| decode::Error::Collision("a reason for a reject".into());
        let mut feed = feed.map_err(unnamed)?;
        feed.recover(driver, refit, opened, &health)?;
        health.set(State::Live);
        Ok(act(&mut feed, driver, &names)?)
    };
    let done = worker::run(layout, shop.settings.clone(), Store::new(false), drive)?;
    done.ok_or_else(|| worker::Error::Start("no worker leads".to_owned()))?
}
