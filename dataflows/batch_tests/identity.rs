//! Identity: which identifiers are one person.

use super::*;
use crate::identity::{Conflict, Pair, attribution_batch, owner_batch};
use crate::{CONFLICTS, IDENTITY};

/// Everyone's profile, by its identifier.
fn profiles(story: &Story) -> BTreeMap<Identifier, Identifier> {
    story.rows(IDENTITY).into_iter().map(|(id, profile)| (id, profile.0)).collect()
}

#[test]
fn two_cookies_that_log_in_with_one_email_are_one_person() {
    let mut story = Story::default();
    story.tell(1, &[cookie(1)], page());
    story.tell(2, &[cookie(2), email(1)], page());
    story.tell(3, &[cookie(1), email(1)], page());
    story.tell(4, &[cookie(3)], page());
    let expected = [
        (email(1), email(1)),
        (cookie(1), email(1)),
        (cookie(2), email(1)),
        (cookie(3), cookie(3)),
    ];
    assert_eq!(profiles(&story), expected.into());
}

#[test]
fn the_first_seen_of_the_strongest_kind_names_the_profile() {
    let mut story = Story::default();
    story.tell(1, &[cookie(9)], page());
    story.tell(5, &[cookie(9), email(1)], page());
    story.tell(4, &[cookie(9), email(2)], page());
    assert_eq!(profiles(&story)[&cookie(9)], email(2));
    story.tell(4, &[email(1)], page());
    assert_eq!(profiles(&story)[&cookie(9)], email(1), "equally early: the smaller identifier");
    story.tell(3, &[], Action::Link(email(2), cookie(8)));
    assert_eq!(profiles(&story)[&cookie(8)], email(2), "a link is a sight, too");
}

#[test]
fn a_cookie_with_four_stronger_identifiers_is_shared_and_joins_nobody() {
    let mut story = Story::default();
    for n in 1..=3 {
        story.tell(1, &[email(n), cookie(1)], page());
    }
    assert_eq!(profiles(&story)[&email(3)], email(1), "three are not too many");
    story.tell(2, &[email(4), cookie(1)], page());
    let expected: Vec<_> = (1..=4).map(email).chain([cookie(1)]).map(|id| (id, id)).collect();
    assert_eq!(profiles(&story), expected.into_iter().collect());
}

#[test]
fn a_shared_identifier_comes_back_when_an_unlink_frees_it() {
    let mut story = Story::default();
    for n in 1..=4 {
        story.tell(1, &[email(n), cookie(1)], page());
    }
    story.tell(2, &[], Action::Unlink(cookie(1), email(4)));
    assert_eq!(profiles(&story)[&email(3)], email(1));
    assert_eq!(profiles(&story)[&email(4)], email(4));
}

#[test]
fn equals_in_kind_share_nothing_however_many_they_are() {
    let mut story = Story::default();
    for n in 2..=9 {
        story.tell(1, &[cookie(1), cookie(n)], page());
    }
    assert_eq!(profiles(&story)[&cookie(9)], cookie(1));
}

#[test]
fn an_unlink_wins_over_every_claim_whenever_it_was_made() {
    let mut story = Story::default();
    story.tell(1, &[], Action::Unlink(cookie(1), email(1)));
    story.tell(2, &[email(1), cookie(1)], page());
    story.tell(3, &[], Action::Link(email(1), cookie(1)));
    assert_eq!(profiles(&story)[&cookie(1)], cookie(1));
}

#[test]
fn an_unlink_alone_makes_no_row() {
    let mut story = Story::default();
    story.tell(1, &[], Action::Unlink(cookie(1), email(1)));
    story.tell(1, &[], Action::Link(cookie(2), cookie(2)));
    assert_eq!(profiles(&story), [(cookie(2), cookie(2))].into());
}

#[test]
fn a_second_user_is_kept_apart_and_the_conflict_is_shown() {
    let mut story = Story::default();
    story.tell(1, &[user(1), device(1)], page());
    story.tell(2, &[user(2), device(1)], page());
    let expected = [(user(1), user(1)), (user(2), user(2)), (device(1), user(1))];
    assert_eq!(profiles(&story), expected.into());
    let conflict = (Pair(user(2), device(1)), Conflict { kind: Kind(0) });
    assert_eq!(story.rows(CONFLICTS), [conflict].into());
}

#[test]
fn stronger_claims_come_first_however_late_they_are() {
    let mut story = Story::default();
    story.tell(1, &[user(1), cookie(1)], page());
    story.tell(2, &[user(2), device(1)], page());
    story.tell(3, &[cookie(1), device(1)], page());
    // By kind of the weaker end: user 2 and device 1; then, by time, user 1 and cookie 1.
    assert_eq!(profiles(&story)[&cookie(1)], user(1));
    assert_eq!(profiles(&story)[&device(1)], user(2));
    let conflict = (Pair(device(1), cookie(1)), Conflict { kind: Kind(0) });
    assert_eq!(story.rows(CONFLICTS), [conflict].into());
}

#[test]
fn an_event_belongs_to_its_strongest_identifier_that_is_not_shared() {
    let mut story = Story::default();
    story.tell(1, &[user(1), email(1)], page());
    story.tell(1, &[user(2), email(1)], page());
    story.tell(2, &[email(1), cookie(5)], page());
    story.tell(3, &[email(1)], page());
    story.tell(4, &[], page());
    let owners = story.ask(|history| {
        let mut owners: Vec<_> =
            history.events.iter().map(|event| (event.id, owner_batch(history, event))).collect();
        owners.sort();
        owners.into_iter().map(|(_, owner)| owner.map(|profile| profile.0)).collect::<Vec<_>>()
    });
    let expected = [Some(user(1)), Some(user(2)), Some(cookie(5)), Some(email(1)), None];
    assert_eq!(owners, expected);
    let attribution = story.ask(attribution_batch);
    assert_eq!(attribution.len(), 4);
    let who = Who::of(&[email(1), cookie(5)]).unwrap();
    assert_eq!(attribution[&who], ProfileId(cookie(5)));
}
