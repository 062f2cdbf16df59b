//! File: what may stand in a shop's file?
//!
//! Every key is optional but a source's `files`; `reference.toml` beside this file says what each
//! means and what holds without it.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::{Spanned, Value};

/// A text that remembers where it stands, so that a message can point at it.
pub(super) type Text = Spanned<String>;
/// A number that remembers where it stands.
pub(super) type Number = Spanned<i64>;

/// The whole file.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ShopFile {
    pub(super) views: Vec<Text>,
    pub(super) shop: ShopTable,
    pub(super) identity: IdentityTable,
    pub(super) rfm: RfmTable,
    pub(super) sessions: SessionsTable,
    pub(super) related: RelatedTable,
    pub(super) popular: PopularTable,
    pub(super) segments: SegmentsTable,
    pub(super) run: RunTable,
    pub(super) source: Vec<Spanned<SourceTable>>,
}

/// `[shop]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct ShopTable {
    pub(super) name: Option<String>,
    pub(super) currency: Option<String>,
    pub(super) decimals: Option<Number>,
    pub(super) zone: Option<Text>,
    pub(super) secret: Option<Text>,
}

/// `[identity]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct IdentityTable {
    pub(super) kinds: Option<Spanned<Vec<KindTable>>>,
    pub(super) blocked: Option<Vec<String>>,
    pub(super) blocked_zeros: Option<bool>,
}

/// One of `identity.kinds`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct KindTable {
    pub(super) name: Text,
    pub(super) shared_above: Option<Number>,
    pub(super) limit: Option<Number>,
    pub(super) lower_case: Option<bool>,
}

/// `[rfm]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RfmTable {
    pub(super) window_days: Option<Number>,
    pub(super) groups: Option<Spanned<Vec<GroupTable>>>,
    pub(super) group_default: Option<String>,
    pub(super) match_refunds: Option<bool>,
}

/// One of `rfm.groups`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GroupTable {
    pub(super) name: String,
    pub(super) r: Spanned<[i64; 2]>,
    pub(super) f: Spanned<[i64; 2]>,
    pub(super) m: Spanned<[i64; 2]>,
}

/// `[sessions]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct SessionsTable {
    pub(super) gap_minutes: Option<Number>,
    pub(super) split_at_midnight: Option<bool>,
    pub(super) dwell_minutes_max: Option<Number>,
    pub(super) kinds: Option<Vec<Text>>,
}

/// `[related]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RelatedTable {
    pub(super) basket_items_max: Option<Number>,
    pub(super) score: Option<Text>,
    pub(super) support_min: Option<Number>,
    pub(super) top: Option<Number>,
}

/// `[popular]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct PopularTable {
    pub(super) days: Option<Number>,
}

/// `[segments]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct SegmentsTable {
    pub(super) count: Option<Spanned<Value>>,
    pub(super) max: Option<Number>,
    pub(super) features: Option<Spanned<Vec<Text>>>,
    pub(super) cell: Option<Number>,
    pub(super) restarts: Option<Number>,
    pub(super) refit_gain: Option<Number>,
    pub(super) hysteresis: Option<Number>,
    pub(super) reassign_after: Option<Number>,
    pub(super) refit_ticks: Option<Number>,
    pub(super) refit_days: Option<Number>,
    pub(super) refit_drift: Option<Number>,
    pub(super) erase_within_hours: Option<Number>,
}

/// `[run]`
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RunTable {
    pub(super) tick_events: Option<Number>,
    pub(super) future_max_minutes: Option<Number>,
}

/// `[[source]]`
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SourceTable {
    pub(super) name: Option<Text>,
    pub(super) files: Spanned<Value>,
    pub(super) format: Option<Text>,
    pub(super) duplicates: Option<Text>,
    pub(super) delimiter: Option<Text>,
    pub(super) quotes: Option<bool>,
    pub(super) columns: Option<Spanned<Vec<String>>>,
    #[serde(default)]
    pub(super) fields: BTreeMap<Text, Text>,
    #[serde(default)]
    pub(super) constants: BTreeMap<Text, Text>,
    pub(super) at: Option<Spanned<AtTable>>,
    #[serde(default)]
    pub(super) who: BTreeMap<Text, Spanned<Value>>,
    pub(super) decimal: Option<Text>,
    pub(super) thousands: Option<Text>,
    #[serde(default)]
    pub(super) actions: BTreeMap<String, Text>,
    pub(super) cancellation: Option<CancellationTable>,
    #[serde(default)]
    pub(super) require: Vec<Text>,
    pub(super) quantity_min: Option<Number>,
    pub(super) price_min: Option<Text>,
    pub(super) item_name: Option<Text>,
    pub(super) rows: Option<Text>,
}

/// `at` of a source.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AtTable {
    pub(super) column: String,
    pub(super) format: Option<Text>,
    pub(super) zone: Option<Text>,
}

/// `cancellation` of a source.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CancellationTable {
    pub(super) column: String,
    pub(super) prefix: Text,
    pub(super) becomes: Option<Text>,
}
