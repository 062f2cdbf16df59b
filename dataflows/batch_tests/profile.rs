//! Profile: what is known of a person.

use super::*;
use crate::PROFILES;
use crate::profile::Profile;

#[test]
fn a_profile_is_merged_from_all_its_events() {
    let mut story = Story::default();
    story.tell(3, &[cookie(1)], view(1)).context.device = Some(word(31));
    story.tell(5, &[cookie(2)], page()).context.channel = Some(word(32));
    let login = Action::Identify(vec![(word(1), word(11)), (word(1), word(12))]);
    story.tell(4, &[email(1), cookie(1)], login).context.device = Some(word(33));
    story.tell(2, &[email(1), cookie(2)], Action::Consent(word(2), true));
    story.tell(2, &[email(1)], Action::Consent(word(2), false));
    story.tell(1, &[cookie(1)], Action::Identify(vec![(word(1), word(13))]));
    story.tell(6, &[cookie(1)], order(1, &[(1, 1, 10)]));
    story.tell(7, &[cookie(2)], order(2, &[(1, 1, 20)]));
    story.tell(8, &[email(1)], refund(1, &[]));
    story.tell(9, &[], page());
    let row = Profile {
        first_seen: EventTime(1_000_000),
        last_seen: EventTime(8_000_000),
        actions: [1, 0, 0, 2, 1, 0, 1, 2, 2],
        identifiers: [(Kind(1), 1), (Kind(5), 2)].into(),
        traits: [(word(1), word(12))].into(),
        consents: [(word(2), false)].into(),
        device: Some(word(33)),
        country: None,
        channel: Some(word(32)),
        orders: 1,
        revenue: Money(30),
        refunded: Money(10),
    };
    assert_eq!(story.rows(PROFILES), [(ProfileId(email(1)), row)].into());
}

#[test]
fn an_identifier_that_only_a_link_names_makes_no_profile_but_is_counted_in_one() {
    let mut story = Story::default();
    story.tell(1, &[], Action::Link(cookie(1), cookie(2)));
    assert!(story.rows(PROFILES).is_empty());
    story.tell(2, &[cookie(2)], page());
    let rows = story.rows(PROFILES);
    assert_eq!(rows[&ProfileId(cookie(1))].identifiers, [(Kind(5), 2)].into());
}
