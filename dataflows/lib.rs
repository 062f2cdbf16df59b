//! What is computed: pure functions from collections to collections.

pub mod day;
pub mod event;
pub mod feature;
pub mod identity;
pub mod item;
pub mod operator;
pub mod order;
pub mod popular;
pub mod profile;
pub mod reject;
pub mod related;
pub mod rfm;
pub mod score;
pub mod segment;
pub mod session;
pub mod slab;
pub mod settings;
pub mod tick;
pub mod view;

pub use day::TODAY;
pub use event::*;
pub use feature::FEATURES;
pub use identity::{CONFLICTS, IDENTITY};
pub use item::ITEMS;
pub use popular::POPULAR;
pub use profile::PROFILES;
pub use reject::REJECTS;
pub use related::{BASKET_ITEMS, BASKETS, BOUGHT_TOGETHER, VIEWED_THEN_BOUGHT, VIEWED_TOGETHER};
pub use rfm::RFM;
pub use segment::{CELLS, CENTROIDS, SEGMENTS, SPREAD};
pub use session::{DWELL, SESSIONS};
pub use settings::*;
pub use tick::Tick;
