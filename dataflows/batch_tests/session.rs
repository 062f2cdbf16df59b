//! Session: what a person did in one sitting.

use super::*;
use crate::session::{Dwell, Session, SessionId};
use crate::{DWELL, SESSIONS};

/// Half an hour, the default gap.
const GAP: i64 = 1800;

/// The place of event `id` so many seconds after the epoch.
fn place(seconds: i64, id: u64) -> Place {
    (EventTime(seconds * 1_000_000), EventId(id))
}

/// The name of a session.
fn key(n: u64) -> SessionKey {
    SessionKey(NonZeroU64::new(n).unwrap())
}

#[test]
fn a_session_goes_on_for_the_gap_and_not_longer() {
    let mut story = Story::default();
    story.tell(0, &[cookie(1)], Action::Search(word(5)));
    story.tell(GAP, &[cookie(1)], view(1)).context.country = Some(word(8));
    story.tell(GAP, &[cookie(1)], cart(2)).context.country = Some(word(9));
    story.tell(2 * GAP, &[cookie(1)], order(1, &[(1, 1, 10), (3, -1, 5)]));
    story.tell(3 * GAP + 1, &[cookie(1)], Action::RemoveFromCart(Item(4)));
    story.tell(3 * GAP + 2, &[cookie(1)], Action::Consent(word(1), true));
    let first = Session {
        profile: Some(ProfileId(cookie(1))),
        start: EventTime(0),
        end: EventTime(2 * GAP * 1_000_000),
        touches: 4,
        views: 1,
        pages: 1,
        items: 2,
        entry: 5,
        device: None,
        country: Some(word(8)),
        hour: 0,
        ordered: true,
    };
    let at = place(3 * GAP + 1, 5);
    let second = Session {
        start: at.0,
        end: at.0,
        touches: 1,
        views: 0,
        pages: 0,
        items: 0,
        entry: 4,
        country: None,
        hour: 1,
        ordered: false,
        ..first
    };
    let found = |place| SessionId::Found(cookie(1), place);
    assert_eq!(story.rows(SESSIONS), [(found(place(0, 1)), first), (found(at), second)].into());
}

#[test]
fn a_session_ends_at_midnight_if_the_shop_says_so() {
    let mut story = Story::default();
    story.tell(DAY - 1, &[cookie(1)], page());
    story.tell(DAY, &[cookie(1)], page());
    assert_eq!(story.rows(SESSIONS).len(), 1);
    story.settings.session_day = true;
    assert_eq!(story.rows(SESSIONS).len(), 2);
}

#[test]
fn a_cookie_or_else_a_device_or_else_the_strongest_identifier_is_the_track() {
    let mut story = Story::default();
    story.tell(1, &[email(1), device(1), cookie(2), cookie(3)], page());
    story.tell(2, &[email(1), device(1)], page());
    story.tell(3, &[email(1)], page());
    story.tell(4, &[cookie(2)], page());
    let expected = [
        SessionId::Found(email(1), place(3, 3)),
        SessionId::Found(device(1), place(2, 2)),
        SessionId::Found(cookie(2), place(1, 1)),
    ];
    assert_eq!(story.rows(SESSIONS).into_keys().collect::<Vec<_>>(), expected);
}

#[test]
fn two_people_at_one_cookie_have_two_sessions() {
    let mut story = Story::default();
    story.tell(1, &[user(1), cookie(1)], page());
    story.tell(2, &[user(2), cookie(1)], page());
    story.tell(3, &[user(1), cookie(1)], page());
    let rows = story.rows(SESSIONS);
    let expected =
        [(place(1, 1), user(1), 2), (place(2, 2), user(2), 1)].map(|(place, user, touches)| {
            (SessionId::Found(cookie(1), place), Some(ProfileId(user)), touches)
        });
    let found: Vec<_> = rows.iter().map(|(id, row)| (*id, row.profile, row.touches)).collect();
    assert_eq!(found, expected);
}

#[test]
fn a_named_session_keeps_what_a_gap_would_part_and_belongs_to_its_last_visitor() {
    let mut story = Story::default();
    story.tell(0, &[cookie(1)], page()).context.session = Some(key(4));
    story.tell(9 * GAP, &[user(2)], view(6)).context.session = Some(key(4));
    story.tell(20 * GAP, &[], view(6)).context.session = Some(key(4));
    story.tell(20 * GAP, &[], view(6)).context.session = Some(key(5));
    story.tell(20 * GAP, &[], view(6));
    let rows = story.rows(SESSIONS);
    let named = &rows[&SessionId::Named(key(4))];
    assert_eq!(named.profile, Some(ProfileId(user(2))));
    assert_eq!((named.touches, named.views, named.items), (3, 2, 1));
    assert_eq!((named.entry, named.end), (7, EventTime(20 * GAP * 1_000_000)));
    assert_eq!(rows[&SessionId::Named(key(5))].profile, None);
    assert_eq!(rows.len(), 2, "a touch of nobody in no session is in none");
}

#[test]
fn a_visit_lasts_until_the_next_touch_and_no_longer_than_the_cap() {
    let mut story = Story::default();
    story.tell(0, &[cookie(1)], view(1));
    story.tell(20, &[cookie(1)], view(2));
    story.tell(1000, &[cookie(1)], cart(2));
    story.tell(1005, &[cookie(1)], view(1));
    story.tell(1005, &[cookie(1)], view(1));
    let dwell = |visits, micros| Dwell { visits, micros };
    // 20 s and 0 s; 980 s are capped at 600 s; the last view has no end.
    let expected = [(Item(1), dwell(2, 20_000_000)), (Item(2), dwell(1, 600_000_000))];
    assert_eq!(story.rows(DWELL), expected.into());
}
