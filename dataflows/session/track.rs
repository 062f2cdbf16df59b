//! Track: where do sessions begin and end when touches come and go?

use std::collections::{BTreeMap, BTreeSet};

use super::{Dwell, Found, Note, Session, SessionId, Touch, Track};
use crate::event::{EventTime, Item, ProfileId, Who};
use crate::related::Touched;
use crate::settings::Settings;
use crate::view::Diff;

/// The touches of one track or of one named session.
#[derive(Debug, Default)]
pub(super) struct State {
    /// Whose the events of each set of identifiers are, and how many touches have it.
    owners: BTreeMap<(Who, ProfileId), Diff>,
    /// The touches by profile, by place. A named session has one line, under nobody.
    lines: BTreeMap<Option<ProfileId>, Vec<Touch>>,
}

impl State {
    pub(super) fn empty(&self) -> bool {
        self.owners.is_empty() && self.lines.is_empty()
    }

    /// Applies one tick's changes and appends what follows from them.
    pub(super) fn tick(
        &mut self,
        settings: &Settings,
        track: Track,
        updates: &[((Track, Note), Diff)],
        changes: &mut Vec<(Found, Diff)>,
    ) {
        let owners = updates.iter().filter_map(|((_, note), _)| match note {
            Note::Owner(who, _) => Some((*who, self.owner(*who))),
            Note::Touch(_) => None,
        });
        let before: BTreeMap<Who, Option<ProfileId>> = owners.collect();
        let mut touches = Vec::new();
        let old_profile = self.named_profile(track);
        for ((_, note), diff) in updates {
            match note {
                Note::Owner(who, profile) => {
                    let count = self.owners.entry((*who, *profile)).or_default();
                    *count += diff;
                    if *count == 0 {
                        self.owners.remove(&(*who, *profile));
                    }
                }
                Note::Touch(touch) => touches.push((touch.clone(), *diff)),
            }
        }
        if let Track::Named(key) = track {
            let id = SessionId::Named(key);
            let line = self.lines.entry(None).or_default();
            let old = named(settings, id, line, old_profile);
            touches.into_iter().for_each(|(touch, diff)| put(line, touch, diff));
            let profile = self.named_profile(track);
            let line = self.lines.entry(None).or_default();
            let new = named(settings, id, line, profile);
            if line.is_empty() {
                self.lines.clear();
            }
            differ(old, new, changes);
        } else if before.iter().any(|(who, old)| old.is_some() && self.owner(*who) != *old) {
            self.regroup(settings, track, touches, changes);
        } else {
            self.edit(settings, track, touches, changes);
        }
    }

    /// The profile of the events with a set of identifiers.
    fn owner(&self, who: Who) -> Option<ProfileId> {
        let mut owners = self.owners.range((who, ProfileId::default())..);
        owners.next().filter(|((other, _), _)| *other == who).map(|((_, profile), _)| *profile)
    }

    /// The profile of a named session.
    fn named_profile(&self, track: Track) -> Option<ProfileId> {
        let Track::Named(_) = track else { return None };
        let line = self.lines.get(&None)?;
        line.iter().rev().find_map(|touch| self.owner(touch.who?))
    }

    /// Identity changed: all touches of the track are divided anew.
    fn regroup(
        &mut self,
        settings: &Settings,
        track: Track,
        touches: Vec<(Touch, Diff)>,
        changes: &mut Vec<(Found, Diff)>,
    ) {
        let (mut old, mut new, mut all) = (Vec::new(), Vec::new(), Vec::new());
        for (profile, line) in std::mem::take(&mut self.lines) {
            found(settings, track, profile, &line, &mut old);
            all.extend(line.into_iter().map(|touch| (touch, 1)));
        }
        for (touch, diff) in all.into_iter().chain(touches) {
            let profile = touch.who.and_then(|who| self.owner(who));
            // What leaves may be under a profile that no touch has any more.
            put(self.lines.entry(profile).or_default(), touch, diff);
        }
        self.lines.retain(|_, line| !line.is_empty());
        for (profile, line) in &self.lines {
            found(settings, track, *profile, line, &mut new);
        }
        differ(old, new, changes);
    }

    /// Touches came and went: only the sessions around them are cut anew.
    fn edit(
        &mut self,
        settings: &Settings,
        track: Track,
        touches: Vec<(Touch, Diff)>,
        changes: &mut Vec<(Found, Diff)>,
    ) {
        let mut by_line: BTreeMap<Option<ProfileId>, Vec<(Touch, Diff)>> = BTreeMap::new();
        for (touch, diff) in touches {
            let profile = touch.who.and_then(|who| self.owner(who));
            by_line.entry(profile).or_default().push((touch, diff));
        }
        for (profile, touches) in by_line {
            let line = self.lines.entry(profile).or_default();
            let places = || touches.iter().map(|(touch, _)| touch.place);
            let (Some(first), Some(last)) = (places().min(), places().max()) else { continue };
            // From the start of the session before the first to the end of the session after the
            // last.
            let mut start = line.partition_point(|touch| touch.place < first).saturating_sub(1);
            while 0 < start && !cut(settings, &line[start - 1], &line[start]) {
                start -= 1;
            }
            let mut end = line.len().min(line.partition_point(|touch| touch.place <= last) + 1);
            while 0 < end && end < line.len() && !cut(settings, &line[end - 1], &line[end]) {
                end += 1;
            }
            let (mut old, mut new) = (Vec::new(), Vec::new());
            found(settings, track, profile, &line[start..end], &mut old);
            let mut part = line[start..end].to_vec();
            touches.into_iter().for_each(|(touch, diff)| put(&mut part, touch, diff));
            found(settings, track, profile, &part, &mut new);
            line.splice(start..end, part);
            if line.is_empty() {
                self.lines.remove(&profile);
            }
            differ(old, new, changes);
        }
    }
}

/// Puts a touch into a line in its place, or takes it out.
fn put(line: &mut Vec<Touch>, touch: Touch, diff: Diff) {
    let place = line.partition_point(|other| *other < touch);
    if 0 < diff {
        line.insert(place, touch);
    } else if line.get(place) == Some(&touch) {
        line.remove(place);
    }
}

/// Whether a session ends between two touches that follow each other.
fn cut(settings: &Settings, before: &Touch, after: &Touch) -> bool {
    let (before, after) = (before.place.0, after.place.0);
    let gap = after.0.saturating_sub(before.0);
    settings.session_gap < gap || (settings.session_day && before.day() != after.day())
}

/// What is in `new` and not in `old`, and the other way round.
fn differ(old: Vec<Found>, new: Vec<Found>, changes: &mut Vec<(Found, Diff)>) {
    let mut both: Vec<_> = old.into_iter().map(|found| (found, -1)).collect();
    both.extend(new.into_iter().map(|found| (found, 1)));
    differential_dataflow::consolidation::consolidate(&mut both);
    changes.append(&mut both);
}

/// What the touches of a track come to, cut into sessions.
fn found(
    settings: &Settings,
    track: Track,
    profile: Option<ProfileId>,
    line: &[Touch],
    out: &mut Vec<Found>,
) {
    let Track::Found(track) = track else { return };
    for touches in line.chunk_by(|before, after| !cut(settings, before, after)) {
        let id = SessionId::Found(track, touches[0].place);
        out.push(Found::Row(id, session(touches, profile)));
        dwell(settings, touches, out);
        let basket = id.basket();
        for touch in touches {
            let touched = touch.touched().map(|touched| Found::Touched(basket, touched));
            out.extend(touched);
        }
    }
}

/// What a named session comes to; its basket is made from events.
fn named(
    settings: &Settings,
    id: SessionId,
    line: &[Touch],
    profile: Option<ProfileId>,
) -> Vec<Found> {
    if line.is_empty() {
        return Vec::new();
    }
    let mut out = vec![Found::Row(id, session(line, profile))];
    dwell(settings, line, &mut out);
    out
}

/// The row of a session with these touches, at least one.
fn session(touches: &[Touch], profile: Option<ProfileId>) -> Session {
    let count = |wanted: &dyn Fn(&Touch) -> bool| {
        let touches = touches.iter().filter(|touch| wanted(touch));
        u32::try_from(touches.count()).unwrap_or(u32::MAX)
    };
    let items: BTreeSet<Item> =
        touches.iter().flat_map(Touch::touched).map(|touched| touched.item).collect();
    let (first, last) = (&touches[0], &touches[touches.len() - 1]);
    Session {
        profile,
        start: first.place.0,
        end: last.place.0,
        touches: count(&|_| true),
        views: count(&|touch| touch.viewed()),
        pages: count(&|touch| touch.paged()),
        items: u32::try_from(items.len()).unwrap_or(u32::MAX),
        entry: first.shown,
        device: touches.iter().find_map(|touch| touch.device),
        country: touches.iter().find_map(|touch| touch.country),
        hour: first.place.0.hour(),
        ordered: touches.iter().any(|touch| touch.ordered()),
    }
}

/// How long each view of a session lasted.
fn dwell(settings: &Settings, touches: &[Touch], out: &mut Vec<Found>) {
    for pair in touches.windows(2).filter(|pair| pair[0].viewed()) {
        let (EventTime(from), EventTime(to)) = (pair[0].place.0, pair[1].place.0);
        let micros = to.saturating_sub(from).min(settings.dwell_max);
        out.push(Found::Dwell(Item(pair[0].shown), Dwell { visits: 1, micros }));
    }
}

impl Touch {
    /// The items that count for the basket.
    fn touched(&self) -> impl Iterator<Item = Touched> {
        let shown = (self.viewed() || self.carted()).then_some(Touched::viewed(Item(self.shown)));
        shown.into_iter().chain(self.bought.iter().map(|item| Touched::bought(*item)))
    }
}
