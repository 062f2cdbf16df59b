//! Data: what do commands do with a data directory?

use std::path::Path;
use std::sync::Arc;

use affluent::config::Shop;
use affluent::durable::{self, Found, Health};
use affluent::erase::verify::{self, Trace};
use affluent::erase::{Receipt, erase};
use affluent::run::{self, Audited, audit, operate};
use affluent::storage::Disk;
use affluent::text;
use affluent::vault::{POOL, System};
use affluent::worker::Layout;

use crate::args::{EraseArgs, VerifyArgs};

/// Why a command on a data directory did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// The directory cannot be used.
    #[error(transparent)]
    Durable(#[from] durable::Error),
    /// The engine could not take it up.
    #[error(transparent)]
    Run(#[from] run::Error),
    /// What was asked for makes no sense.
    #[error("{0}")]
    Question(String),
    /// A file beside the directory cannot be read.
    #[error("cannot read {file}")]
    Read {
        /// The file.
        file: String,
        /// What the operating system reports.
        source: std::io::Error,
    },
}

/// Takes the data directory at `path`, or makes one, and gives the shop the directory's secret
/// where its file has none.
pub(crate) fn find(shop: &mut Shop, path: &Path) -> Result<Found, Error> {
    let found = Found::find(Arc::new(Disk::new(path)), Box::new(System), POOL)?;
    shop.secret_or(found.secret());
    Ok(found)
}

/// Takes the data directory at `path`, which must be there.
fn find_old(shop: &mut Shop, path: &Path) -> Result<Found, Error> {
    if !path.join("MANIFEST.a").exists() && !path.join("MANIFEST.b").exists() {
        return Err(Error::Question(format!("{} is no data directory", path.display())));
    }
    find(shop, path)
}

/// The receipt of an erasure; `None` if nobody is known by the identifiers.
pub(crate) fn erased(mut shop: Shop, args: &EraseArgs) -> Result<Option<Receipt>, Error> {
    let found = find_old(&mut shop, &args.data)?;
    let names = shop.dictionary();
    let identifiers: Result<Vec<_>, String> =
        args.identifiers.iter().map(|text| shop.rules.identifier(text, &names)).collect();
    let identifiers = identifiers.map_err(Error::Question)?;
    let (layout, now) = (Layout::threads(args.workers), args.now);
    let receipt = operate(&shop, found, &layout, Health::default(), move |feed, driver, _| {
        let receipt = erase(feed, driver, &identifiers, now)?;
        feed.close(driver)?;
        Ok(receipt)
    })?;
    Ok(receipt)
}

/// What came of checking a receipt.
struct Verified {
    signed: bool,
    tick: u64,
    audited: Vec<Audited>,
    /// Whether the views at the receipt's tick have the digests that it says, where they are still
    /// at that tick.
    digests: Option<bool>,
    traces: Vec<Trace>,
}

/// Checks a receipt: whether all is well, and what to say.
pub(crate) fn verified(mut shop: Shop, args: &VerifyArgs) -> Result<(bool, String), Error> {
    let unread = |file: &Path| {
        let file = file.display().to_string();
        move |source| Error::Read { file, source }
    };
    let text = std::fs::read_to_string(&args.receipt).map_err(unread(&args.receipt))?;
    let receipt: Receipt = serde_json::from_str(&text).map_err(|error| {
        Error::Question(format!("{} is no receipt: {error}", args.receipt.display()))
    })?;
    let found = find_old(&mut shop, &args.data)?;
    let signed = receipt.is_signed(found.vault());
    let names = shop.dictionary();
    let values = args.value.clone();
    let kinds = shop.rules.kinds.clone();
    let settings = shop.settings.clone();
    let disk = Disk::new(&args.data);
    let keyed = move |value: &str| {
        let kinds = (0_u8..).zip(&kinds);
        let of = |(place, kind): (u8, &affluent::decode::KindFormat)| {
            names.identifier_of(dataflows::Kind(place), &kind.normalise(value)).bits()
        };
        kinds.map(of).collect()
    };
    let layout = Layout::threads(args.workers);
    let of = receipt.clone();
    let (audited, tick, digests) =
        operate(&shop, found, &layout, Health::default(), move |feed, driver, _| {
            let tick = driver.upper().0.saturating_sub(1);
            let digests = (tick == of.tick).then(|| of.agrees(driver.store()));
            Ok((audit(driver, feed, &settings)?, tick, digests))
        })?;
    let traces = verify::scan(&disk, &values, &keyed).map_err(unread(&args.data))?;
    let verified = Verified { signed, tick, audited, digests, traces };
    Ok((verified.is_well(), verified.says(&receipt, &args.value)))
}

impl Verified {
    fn is_well(&self) -> bool {
        let equal = self.audited.iter().all(|view| view.difference.is_none());
        self.signed && equal && self.digests != Some(false) && self.traces.is_empty()
    }

    fn says(&self, receipt: &Receipt, values: &[String]) -> String {
        let yes = |is: bool| if is { "yes" } else { "NO" };
        let mut says = format!(
            "The receipt is signed by this directory: {}.\n\
             It says that {} left at tick {}, with {}.\n",
            yes(self.signed),
            text::many(receipt.profiles, "profile", "profiles"),
            receipt.tick,
            text::many(receipt.events, "event", "events"),
        );
        if let Some(digests) = self.digests {
            says += &format!("The views have the digests that it says: {}.\n", yes(digests));
        }
        let differing: Vec<&Audited> =
            self.audited.iter().filter(|view| view.difference.is_some()).collect();
        says += &format!(
            "All {} views at tick {} are what their batch functions give without the person: {}.\n",
            self.audited.len(),
            self.tick,
            yes(differing.is_empty()),
        );
        for view in differing {
            let difference = view.difference.as_deref().unwrap_or_default();
            says += &format!("  {} differs: {difference}\n", view.view);
        }
        match values.len() {
            0 => says += "No --value was given to look for in the files.\n",
            _ => {
                let none = yes(self.traces.is_empty());
                let many = text::many(values.len(), "value", "values");
                says += &format!("Nothing of {many} is found in any file: {none}.\n");
            }
        }
        for Trace { file, at, form } in &self.traces {
            says += &format!("  {file}, byte {at}: {form}\n");
        }
        says
    }
}
