//! Names tests: does a text keep its hash, and an erased one its silence?

use super::*;

fn dictionary() -> Dictionary {
    let format = Format::new(&Settings::default(), 3);
    Dictionary::new([7; 16]).with_format(format)
}

#[test]
fn a_text_keeps_its_word_and_an_unknown_word_is_hex() {
    let mut names = dictionary();
    let word = names.learn("85123A").unwrap();
    assert_eq!(names.learn("85123A"), Ok(word));
    assert_eq!(Names::word(&names, word.0.get()), "85123A");
    assert_eq!(Names::word(&names, 10), "000000000000000a");
    assert_ne!(dictionary().word_of("a"), Dictionary::new(SECRET_DEFAULT).word_of("a"));
}

#[test]
fn a_second_text_for_a_word_is_a_collision() {
    let mut names = dictionary();
    let word = names.learn("one").unwrap();
    assert_eq!(names.remember(word, 0, "two"), Err(Collision));
    assert_eq!(Names::word(&names, word.0.get()), "one");
}

#[test]
fn an_identifier_is_named_with_its_kind_until_it_is_forgotten() {
    let mut names = dictionary();
    let email = names.learn_identifier(Kind(1), "a@b.c");
    let phone = names.learn_identifier(Kind(2), "a@b.c");
    assert_eq!(Names::identifier(&names, email), "email:a@b.c");
    assert!(email < phone);
    names.forget(&[email]);
    assert_eq!(Names::identifier(&names, email), format!("email:{:032x}", email.bits()));
    assert_eq!(Names::identifier(&names, phone), "phone:a@b.c");
}

#[test]
fn numbers_are_written_exactly() {
    let names = dictionary();
    assert_eq!(names.money(Money(136_002_110)), "136002.110");
    assert_eq!(names.money(Money(-50)), "-0.050");
    assert_eq!(names.money(Money(i64::MIN)), "-9223372036854775.808");
    assert_eq!(names.clone().with_format(Format::default()).money(Money(12)), "12");
    assert_eq!(names.time(EventTime(0)), "1970-01-01T00:00:00Z");
    assert_eq!(names.time(EventTime(1_500_000)), "1970-01-01T00:00:01.5Z");
    assert_eq!(names.time(EventTime(i64::MAX)), "9223372036854775807 us");
    assert_eq!(names.day(Day(-1)), "1969-12-31");
    assert_eq!(names.day(Day(i32::MAX)), "day 2147483647");
    assert_eq!(names.group(0), "champions");
    assert_eq!(names.group(200), "lost");
}

#[test]
fn a_saved_dictionary_loads_under_its_own_secret_only() {
    let mut names = dictionary();
    names.learn("a \"quoted\", text").unwrap();
    names.learn_identifier(Kind(0), "u");
    let mut file = Vec::new();
    names.save(&mut file).unwrap();
    let mut loaded = dictionary();
    loaded.load(file.as_slice()).unwrap();
    assert_eq!(loaded.entries(), names.entries());
    assert!(Dictionary::new(SECRET_DEFAULT).load(file.as_slice()).is_err());
}

#[test]
fn keys_differ_by_tag_source_number_and_bytes() {
    let names = dictionary();
    let [a, b] = ["a", "b"].map(|text| names.word_of(text));
    let keys = [
        names.key(Tag::Id, a, b"1", 0),
        names.key(Tag::Content, a, b"1", 0),
        names.key(Tag::Id, b, b"1", 0),
        names.key(Tag::Id, a, b"1", 1),
        names.key(Tag::Id, a, b"2", 0),
    ];
    let distinct: std::collections::BTreeSet<u128> = keys.into_iter().collect();
    assert_eq!(distinct.len(), keys.len());
}
