//! Affluent: how is a shop personalized incrementally?
//!
//! Every published result, at every tick, is what a batch job over the same events would have
//! given, after late events, corrections and erasures too, at a cost that follows what changed.
//!
//! What is computed is the business of the crate [`dataflows`]; this one says how it runs.
//! In the order in which an event meets them: [`source`] reads records, [`decode`] makes events of
//! them and [`names`] keeps what their hashes stand for, [`ledger`] says which events hold,
//! [`worker`] takes all dataflows from tick to tick, and [`view`] is what readers see.
//! [`feed`] accounts for every row on its way there; [`run`] does all of it for the files of a shop
//! and [`fixture`] for a story; [`show`] answers from a snapshot, in the [`text`] of people.
//! [`config`] reads what the shop has decided, and [`cache`] keeps decoded events in a file.
//! [`log`] keeps what was accepted, [`vault`] the keys of those it is about, and [`storage`] is the
//! disk below both, with a model of one that can lose power; [`tend`] looks after directories.
//!
//! An order, on its way from an event to a row:
//!
//! ```
//! use affluent::names::{Dictionary, SECRET_DEFAULT};
//! use affluent::view::Store;
//! use affluent::worker::{Layout, ingest::Ingest, run};
//! use dataflows::{
//!     Action, Context, Event, EventId, EventTime, Item, Kind, Line, Money, OrderId, ProfileId,
//!     RFM, Settings,
//! };
//!
//! let mut names = Dictionary::new(SECRET_DEFAULT);
//! let ann = names.learn_identifier(Kind(1), "ann@example.org");
//! let mug = Line { item: Item(7), quantity: 2, price: Money(450) };
//! let event = Event {
//!     at: EventTime(1_309_256_520_000_000),
//!     id: EventId(1),
//!     source: names.learn("web")?,
//!     who: [ann].into(),
//!     action: Action::Order { order: OrderId(536_365), lines: vec![mug] },
//!     context: Context::default(),
//! };
//! let rfm = run(&Layout::threads(1), Settings::default(), Store::new(false), move |driver| {
//!     let mut ingest = Ingest::new(None);
//!     ingest.put(1, event)?;
//!     ingest.commit(driver, &[])?;
//!     Ok::<_, affluent::durable::Error>(driver.store().get(RFM, &ProfileId(ann)))
//! })?;
//! let rfm = rfm.transpose()?.flatten().expect("Ann has ordered");
//! assert_eq!((rfm.orders, rfm.spent), (1, Money(900)));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! What it is not: a database, a message broker, a training framework, an A/B platform.
//! All state is in memory, and a restart reads the input again.

pub mod cache;
pub mod config;
pub mod decode;
pub mod durable;
pub mod erase;
pub mod feed;
pub mod fixture;
pub mod ledger;
pub mod log;
pub mod names;
pub mod run;
pub mod show;
pub mod source;
pub mod storage;
pub mod tend;
pub mod text;
pub mod trial;
pub mod vault;
pub mod view;
pub mod worker;
