//! Settings: what do the tables of a shop's file mean?
//!
//! A key that is not there leaves what [`Settings::default`] says.

use std::ops::RangeInclusive;

use dataflows::score::Score;
use dataflows::{FEATURES_MAX, Feature, Group, Kind, KindRule, SegmentCount, Settings};
use jiff::tz::TimeZone;
use toml::{Spanned, Value};

use super::file::{IdentityTable, Number, RfmTable, SegmentsTable, SessionsTable, ShopFile, Text};
use super::{Fault, Refit, Related, Run, Shop, fault, suggestion};
use crate::decode::{Blocked, KindFormat, Rules};
use crate::names::SECRET_DEFAULT;

/// Values that name nobody, unless the shop's file lists others.
const BLOCKED: [&str; 6] = ["null", "none", "n/a", "anonymous", "unknown", "test@*"];

/// The features of segments by their names.
pub const FEATURES: [(&str, Feature); FEATURES_MAX] = [
    ("recency", Feature::Recency),
    ("frequency", Feature::Frequency),
    ("order_value", Feature::OrderValue),
    ("spent", Feature::Spent),
    ("depth", Feature::Depth),
    ("session_time", Feature::SessionTime),
    ("breadth", Feature::Breadth),
    ("returns", Feature::Returns),
];

/// The scores of related items by their names.
pub const SCORES: [(&str, Score); 5] = [
    ("cosine", Score::Cosine),
    ("jaccard", Score::Jaccard),
    ("lift", Score::Lift),
    ("conditional", Score::Conditional),
    ("llr", Score::LogLikelihood),
];

/// The names of all views.
const VIEWS: [&str; 20] = [
    dataflows::TODAY.name,
    dataflows::IDENTITY.name,
    dataflows::CONFLICTS.name,
    dataflows::PROFILES.name,
    dataflows::SESSIONS.name,
    dataflows::DWELL.name,
    dataflows::RFM.name,
    dataflows::FEATURES.name,
    dataflows::SEGMENTS.name,
    dataflows::CENTROIDS.name,
    dataflows::CELLS.name,
    dataflows::SPREAD.name,
    dataflows::BOUGHT_TOGETHER.name,
    dataflows::VIEWED_TOGETHER.name,
    dataflows::VIEWED_THEN_BOUGHT.name,
    dataflows::BASKET_ITEMS.name,
    dataflows::BASKETS.name,
    dataflows::ITEMS.name,
    dataflows::POPULAR.name,
    dataflows::REJECTS.name,
];

/// The shop of `file`, still without its sources.
pub(super) fn shop(file: &ShopFile) -> Result<Shop, Fault> {
    let mut settings = Settings::default();
    for view in &file.views {
        settings.views.push(one_of(view, "view", &VIEWS.map(|name| (name, name.to_owned())))?);
    }
    let rules = identity(&file.identity, &mut settings)?;
    rfm(&file.rfm, &mut settings)?;
    sessions(&file.sessions, &mut settings)?;
    segments(&file.segments, &mut settings)?;
    if let Some(most) = &file.related.basket_items_max {
        let most = number(most, 0..=100_000)?;
        settings.basket_items_max = if most == 0 { usize::MAX } else { most };
    }
    set(&mut settings.popular_days, &file.popular.days, 0..=36_500)?;

    let mut related = Related { score: Score::Cosine, support_min: 2, top: 20 };
    set(&mut related.support_min, &file.related.support_min, 1..=i64::MAX)?;
    set(&mut related.top, &file.related.top, 1..=10_000)?;
    if let Some(score) = &file.related.score {
        related.score = one_of(score, "score", &SCORES)?;
    }
    let mut refit = Refit { ticks: 0, days: 1, drift: 100, erase_within_hours: 24 };
    set(&mut refit.ticks, &file.segments.refit_ticks, 0..=i64::MAX)?;
    set(&mut refit.days, &file.segments.refit_days, 0..=36_500)?;
    set(&mut refit.drift, &file.segments.refit_drift, 0..=1_000_000)?;
    set(&mut refit.erase_within_hours, &file.segments.erase_within_hours, 0..=87_600)?;
    let mut run = Run { tick_events: 10_000 };
    set(&mut run.tick_events, &file.run.tick_events, 1..=10_000_000)?;
    let mut future_minutes: i64 = 60;
    set(&mut future_minutes, &file.run.future_max_minutes, 0..=5_256_000)?;
    let mut decimals = 2;
    set(&mut decimals, &file.shop.decimals, 0..=6)?;
    Ok(Shop {
        name: file.shop.name.clone().unwrap_or_else(|| "shop".into()),
        currency: file.shop.currency.clone().unwrap_or_else(|| "EUR".into()),
        decimals,
        zone: file.shop.zone.as_ref().map_or(Ok(TimeZone::UTC), zone)?,
        secret: match &file.shop.secret {
            Some(text) => match secret(text.get_ref()) {
                Some(secret) => secret,
                None => return fault(text.span(), "`secret` is not 32 hexadecimal digits"),
            },
            None => SECRET_DEFAULT,
        },
        settings,
        related,
        refit,
        run,
        rules: Rules { decimals, future_max: future_minutes * 60_000_000, ..rules },
        sources: Vec::new(),
    })
}

/// The 16 bytes of 32 hexadecimal digits.
pub(super) fn secret(text: &str) -> Option<[u8; 16]> {
    let digits = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let number = u128::from_str_radix(text, 16).ok()?;
    digits.then(|| number.to_be_bytes())
}

/// The zone of a name of the tz database.
pub(super) fn zone(name: &Text) -> Result<TimeZone, Fault> {
    TimeZone::get(name.get_ref()).or_else(|_| {
        let name_given = name.get_ref();
        let way = "use a name of the tz database, such as Europe/London or UTC";
        fault(name.span(), format!("`{name_given}` is no time zone; {way}"))
    })
}

/// What `name` stands for among `known`.
pub(super) fn one_of<T: Clone>(name: &Text, what: &str, known: &[(&str, T)]) -> Result<T, Fault> {
    let given = name.get_ref().as_str();
    if let Some((_, found)) = known.iter().find(|(known, _)| *known == given) {
        return Ok(found.clone());
    }
    let all: Vec<&str> = known.iter().map(|(known, _)| *known).collect();
    let meant = suggestion(given, &all);
    fault(name.span(), format!("`{given}` is no {what}; use one of {}{meant}", all.join(", ")))
}

/// A number inside `range`.
pub(super) fn number<T: TryFrom<i64>>(
    given: &Number,
    range: RangeInclusive<i64>,
) -> Result<T, Fault> {
    let inside = Some(*given.get_ref()).filter(|number| range.contains(number));
    match inside.and_then(|number| T::try_from(number).ok()) {
        Some(number) => Ok(number),
        None => {
            let (least, most) = (range.start(), range.end());
            fault(given.span(), format!("{given} is out of range; use {least} to {most}"))
        }
    }
}

/// Sets `target` to a number inside `range`, if one is given.
fn set<T: TryFrom<i64>>(
    target: &mut T,
    given: &Option<Number>,
    range: RangeInclusive<i64>,
) -> Result<(), Fault> {
    if let Some(given) = given {
        *target = number(given, range)?;
    }
    Ok(())
}

/// `[identity]`: the kinds into `settings`, their spelling into the rules.
fn identity(table: &IdentityTable, settings: &mut Settings) -> Result<Rules, Fault> {
    let mut lower: Vec<bool> = settings.kinds.iter().map(|kind| kind.name == "email").collect();
    if let Some(kinds) = &table.kinds {
        if kinds.get_ref().is_empty() || 32 < kinds.get_ref().len() {
            return fault(kinds.span(), "`kinds` lists 1 to 32 kinds of identifiers");
        }
        settings.kinds.clear();
        lower.clear();
        for kind in kinds.get_ref() {
            let name = kind.name.get_ref();
            let letter =
                |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
            if name.is_empty() || !name.bytes().all(letter) {
                let message = "a kind is named with small letters, digits and `_`";
                return fault(kind.name.span(), message);
            }
            if settings.kinds.iter().any(|known| known.name == *name) {
                return fault(kind.name.span(), format!("the kind `{name}` is listed twice"));
            }
            let most = |given: &Option<Number>, least: i64| {
                given.as_ref().map(|given| number(given, least..=1_000_000)).transpose()
            };
            let shared_above = most(&kind.shared_above, 0)?;
            let limit = most(&kind.limit, 1)?;
            settings.kinds.push(KindRule { name: name.clone(), shared_above, limit });
            lower.push(kind.lower_case.unwrap_or(name == "email"));
        }
    }
    let kinds = settings.kinds.iter().zip(lower);
    let kinds = kinds.map(|(rule, lower)| KindFormat { name: rule.name.clone(), lower });
    let patterns = BLOCKED.map(str::to_owned).to_vec();
    let blocked = Blocked {
        patterns: table.blocked.clone().unwrap_or(patterns),
        zeros: table.blocked_zeros.unwrap_or(true),
    };
    Ok(Rules { kinds: kinds.collect(), blocked, decimals: 2, future_max: 0 })
}

/// `[rfm]`
fn rfm(table: &RfmTable, settings: &mut Settings) -> Result<(), Fault> {
    set(&mut settings.rfm_window_days, &table.window_days, 0..=36_500)?;
    settings.match_refunds = table.match_refunds.unwrap_or(settings.match_refunds);
    if let Some(name) = &table.group_default {
        settings.group_default.clone_from(name);
    }
    let Some(groups) = &table.groups else { return Ok(()) };
    if 200 < groups.get_ref().len() {
        return fault(groups.span(), "`groups` lists at most 200 groups");
    }
    let range = |given: &Spanned<[i64; 2]>| match *given.get_ref() {
        [least, most] if 1 <= least && least <= most && most <= 5 => {
            let score = |number| u8::try_from(number).unwrap_or(5);
            Ok((score(least), score(most)))
        }
        _ => fault(given.span(), "a range of scores is [least, most], from 1 to 5"),
    };
    settings.groups.clear();
    for group in groups.get_ref() {
        let [r, f, m] = [range(&group.r)?, range(&group.f)?, range(&group.m)?];
        settings.groups.push(Group { name: group.name.clone(), r, f, m });
    }
    Ok(())
}

/// `[sessions]`
fn sessions(table: &SessionsTable, settings: &mut Settings) -> Result<(), Fault> {
    const MINUTE: i64 = 60_000_000;
    if let Some(minutes) = &table.gap_minutes {
        settings.session_gap = number::<i64>(minutes, 1..=10_080)? * MINUTE;
    }
    if let Some(minutes) = &table.dwell_minutes_max {
        settings.dwell_max = number::<i64>(minutes, 0..=10_080)? * MINUTE;
    }
    settings.session_day = table.split_at_midnight.unwrap_or(settings.session_day);
    let known: Vec<(&str, Kind)> = settings
        .kinds
        .iter()
        .filter_map(|rule| Some((rule.name.as_str(), settings.kind(&rule.name)?)))
        .collect();
    let kinds: Vec<Kind> = match &table.kinds {
        Some(kinds) => {
            let kinds = kinds.iter().map(|kind| one_of(kind, "kind of identifier", &known));
            kinds.collect::<Result<_, _>>()?
        }
        None => ["cookie", "device"].iter().filter_map(|kind| settings.kind(kind)).collect(),
    };
    settings.session_kinds = kinds;
    Ok(())
}

/// `[segments]`
fn segments(table: &SegmentsTable, settings: &mut Settings) -> Result<(), Fault> {
    let segments = &mut settings.segments;
    let mut most: usize = 12;
    set(&mut most, &table.max, 2..=32)?;
    if let Some(count) = &table.count {
        segments.count = match count.get_ref() {
            Value::Integer(number) => {
                SegmentCount::Fixed(self::number(&Spanned::new(count.span(), *number), 2..=32)?)
            }
            Value::String(text) if text == "silhouette" => SegmentCount::Silhouette(most),
            Value::String(text) if text == "elbow" => SegmentCount::Elbow(most),
            _ => {
                let way = "use a number from 2 to 32, \"silhouette\" or \"elbow\"";
                return fault(count.span(), format!("`count` is not understood; {way}"));
            }
        };
    }
    if let Some(features) = &table.features {
        segments.features.clear();
        for name in features.get_ref() {
            let feature = one_of(name, "feature", &FEATURES)?;
            if segments.features.contains(&feature) {
                return fault(name.span(), format!("the feature `{name}` is listed twice"));
            }
            segments.features.push(feature);
        }
        if segments.features.is_empty() {
            return fault(features.span(), "`features` lists at least one feature");
        }
    }
    set(&mut segments.cell, &table.cell, 1..=1_000_000)?;
    set(&mut segments.restarts, &table.restarts, 1..=1_000)?;
    set(&mut segments.refit_gain, &table.refit_gain, 0..=1_000)?;
    set(&mut segments.hysteresis, &table.hysteresis, 0..=1_000_000)?;
    set(&mut segments.reassign_after, &table.reassign_after, 0..=1_000_000_000)
}
