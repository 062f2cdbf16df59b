//! Fixtures: do all stories go as they are told, at 1, 2 and 4 workers?
//!
//! `UPDATE_FIXTURES=1 cargo test --test fixtures` writes the expected changes anew: read what it
//! changed as a reviewer would.
#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use affluent::config::Shop;
use affluent::feed::Feed;
use affluent::fixture::{Played, Story};
use affluent::worker::Driver;
use dataflows::score::Score;
use dataflows::{BASKETS, BOUGHT_TOGETHER, History, Item, Names, related::Basket};

/// The folders of all stories, by name.
fn folders() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
    let entries = std::fs::read_dir(root).expect("there are fixtures");
    let paths = entries.map(|entry| entry.unwrap().path());
    let mut folders: Vec<PathBuf> = paths.filter(|path| path.join("story.md").exists()).collect();
    folders.sort();
    folders
}

/// The story named `name`.
fn story(name: &str) -> Story {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name);
    Story::read(&folder).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// Every view is what its batch function says.
fn stream_is_batch(driver: &Driver<'_>, feed: &Feed, shop: &Shop) -> Result<(), String> {
    let events = feed.ingest().events().unwrap();
    let history = History::new(&events, &shop.settings);
    for view in driver.store().names() {
        if let Some(difference) = driver.store().difference(view, &history) {
            return Err(format!("{view} before tick {}: {difference}", driver.upper().0));
        }
    }
    Ok(())
}

#[test]
fn stories_go_as_they_are_told() {
    let update = std::env::var_os("UPDATE_FIXTURES").is_some();
    let folders = folders();
    assert!(20 <= folders.len(), "at least 20 stories");
    let mut wrong = Vec::new();
    for folder in &folders {
        let name = folder.file_name().unwrap().to_string_lossy();
        let story = Story::read(folder).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(!story.views.is_empty(), "{name} expects nothing of any view");
        for workers in [1, 2, 4] {
            let played = story.play(workers, (workers == 1).then_some(stream_is_batch));
            let played = played.unwrap_or_else(|error| panic!("{name}: {error}"));
            let refused = played.counts.rejected;
            assert!(
                refused == 0 || story.views.contains_key("rejects"),
                "{name}: {refused} rows are refused, and it does not say so in views/rejects.csv"
            );
            for (view, told) in &story.views {
                let kept = played.store.names().contains(&view.as_str());
                assert!(kept, "{name}: there is no view {view}, or its shop does not keep it");
                let found = Story::expected(&played, view);
                if update && workers == 1 {
                    std::fs::write(story.view_file(view), &found).unwrap();
                } else if !update && *told != found {
                    wrong.push(format!(
                        "{name}: {view} at {workers} workers\n{}",
                        diff(told, &found)
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The lines that only one of the two has.
fn diff(told: &str, found: &str) -> String {
    let only = |a: &str, b: &str, sign: char| -> Vec<String> {
        let known: Vec<&str> = b.lines().collect();
        let lines = a.lines().filter(|line| !known.contains(line));
        lines.map(|line| format!("  {sign} {line}")).collect()
    };
    let (missing, extra) = (only(told, found, '-'), only(found, told, '+'));
    [missing, extra].concat().join("\n")
}

/// The rows of every view in the end.
fn state(played: &Played) -> BTreeMap<&'static str, Vec<Vec<String>>> {
    let rows = |view| {
        let mut rows = Vec::new();
        played.store.each(view, &played.names, &mut |row| rows.push(row.to_vec()));
        (view, rows)
    };
    played.store.names().into_iter().map(rows).collect()
}

#[test]
fn events_in_another_order_come_to_the_same() {
    let straight = story("events_in_order").play(1, None).unwrap();
    let backwards = story("the_same_events_in_another_order").play(1, None).unwrap();
    assert_eq!(state(&straight), state(&backwards));
}

#[test]
fn the_order_of_rows_in_a_tick_does_not_matter() {
    let told = story("an_erased_person");
    let other = told.clone().sorted_by(|fields| std::cmp::Reverse(fields.to_vec()));
    let (told, other) = (told.play(1, None).unwrap(), other.play(2, None).unwrap());
    assert_eq!(state(&told), state(&other));
}

/// The best neighbours of the lamp, by name.
fn beside_the_lamp(played: &Played, most: usize) -> Vec<(String, u64)> {
    let lamp = Item(played.names.word_of("lamp").0.get());
    let total = played.store.get(BASKETS, &Basket::Order).unwrap();
    let total = u64::try_from(total).unwrap();
    let found = played.store.with_pairs(BOUGHT_TOGETHER, |tables| {
        let top = tables
            .iter()
            .map(|table| table.lock().unwrap().top(lamp, Score::Conditional, 1, total, most));
        top.flatten().collect::<Vec<_>>()
    });
    let found = found.unwrap().into_iter();
    found.map(|other| (played.names.word(other.item.0), other.support)).collect()
}

#[test]
fn a_tie_at_the_kth_neighbour_falls_to_the_smallest_item() {
    let story = story("a_tie_at_the_kth_neighbour");
    // In the end cord has two; the others that follow are the smallest of those that tie.
    let one = story.play(1, None).unwrap();
    let mut tied = ["mug", "bulb"].map(|name| (one.names.word_of(name), name.to_owned()));
    tied.sort();
    let mut first = ["cord", "shade"].map(|name| (one.names.word_of(name), name.to_owned()));
    first.sort();
    let expected: Vec<(String, u64)> =
        [first.map(|(_, name)| (name, 2)), tied.map(|(_, name)| (name, 1))].concat();
    for most in 1..=4 {
        assert_eq!(beside_the_lamp(&one, most), expected[..most]);
    }
    let shuffled = story.clone().sorted_by(|fields| std::cmp::Reverse(fields.to_vec()));
    for workers in [2, 4] {
        for told in [&story, &shuffled] {
            let played = told.play(workers, None).unwrap();
            assert_eq!(beside_the_lamp(&played, 3), expected[..3]);
        }
    }
}

#[test]
fn a_story_whose_ticks_are_wrong_says_where() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("story.md", "A story.\n");
    write("events.csv", "tick,at,who,action,page\n1,2026-01-01T00:00:00Z,user:a,page,x\n0,,,,\n");
    let error = Story::read(folder.path()).unwrap_err().to_string();
    assert_eq!(error, "events.csv:3: `tick` is less than that of the row before");
    write(
        "events.csv",
        "tick,op,at,who,action,page\n0,,2026-01-01T00:00:00Z,user:a,page,x\n0,erase,,user:a,,\n",
    );
    let error = Story::read(folder.path()).unwrap().play(1, None).unwrap_err().to_string();
    assert!(error.starts_with("events.csv:3: an erasure is a tick of its own"), "{error}");
}
