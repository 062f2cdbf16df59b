//! Tests: does the modelled disk do to bytes and names all that a real one may?

use std::collections::BTreeSet;

use super::*;

/// A disk with one durable file, and the file.
fn disk_with(bytes: &[u8]) -> (Model, Box<dyn File>) {
    let disk = Model::new(1);
    let mut file = disk.create("file").unwrap();
    file.append(bytes).unwrap();
    file.sync().unwrap();
    disk.sync_dir("").unwrap();
    (disk, file)
}

/// What a file may hold after power was cut.
fn after_crashes(disk: &Model, name: &str) -> BTreeSet<Option<Vec<u8>>> {
    (0..500).map(|seed| disk.crash(seed).read(name).ok()).collect()
}

#[test]
fn what_is_synced_survives_every_crash() {
    let (disk, mut file) = disk_with(b"hello");
    file.append(b" world").unwrap();
    file.write_at(0, b"H").unwrap();
    file.sync().unwrap();
    assert_eq!(after_crashes(&disk, "file"), [Some(b"Hello world".to_vec())].into());
}

#[test]
fn what_is_not_synced_vanishes_or_is_torn_at_any_byte_and_harms_nothing_else() {
    let (disk, mut file) = disk_with(b"hello");
    file.append(b" world").unwrap();
    let seen = after_crashes(&disk, "file");
    for end in 5..=11 {
        assert!(seen.contains(&Some(b"hello world"[..end].to_vec())), "torn at {end}");
    }
    assert!(seen.contains(&Some(b"hello\0\0\0\0\0\0".to_vec())), "the length without the bytes");
    for bytes in seen.into_iter().flatten() {
        assert!(bytes.starts_with(b"hello") && bytes.len() <= 11, "{bytes:?}");
    }
}

#[test]
fn writes_arrive_in_any_order_and_sector_by_sector() {
    let (disk, mut file) = disk_with(&[b'.'; 2048]);
    file.write_at(0, &[b'a'; 2048]).unwrap();
    file.write_at(512, &[b'b'; 512]).unwrap();
    let of = |bytes: &[u8]| bytes.chunks(512).map(|sector| sector[0]).collect::<Vec<u8>>();
    let seen: BTreeSet<Vec<u8>> =
        after_crashes(&disk, "file").into_iter().flatten().map(|bytes| of(&bytes)).collect();
    for order in [b"....", b"abaa", b"aaaa", b".b..", b"a..."] {
        assert!(seen.contains(order.as_slice()), "{order:?}");
    }
}

#[test]
fn names_without_a_sync_of_their_folder_may_be_lost() {
    let disk = Model::new(1);
    disk.make_dir("a").unwrap();
    disk.sync_dir("").unwrap();
    for name in ["a/one", "a/two"] {
        let mut file = disk.create(name).unwrap();
        file.append(b"x").unwrap();
        file.sync().unwrap();
    }
    let names = |disk: &Model| {
        (0..200).map(|seed| disk.crash(seed).list("a").unwrap().join(" ")).collect::<BTreeSet<_>>()
    };
    assert_eq!(names(&disk), ["", "one", "one two", "two"].map(str::to_owned).into());
    disk.sync_dir("a").unwrap();
    disk.rename("a/one", "a/three").unwrap();
    disk.remove("a/two").unwrap();
    let seen = ["one", "one two", "three", "three two"].map(str::to_owned);
    assert_eq!(names(&disk), seen.into(), "a rename is whole");
    disk.rename("a/three", "a/four").unwrap();
    assert!(names(&disk).contains("three two"), "a name sees its changes in order");
    disk.sync_dir("a").unwrap();
    disk.make_dir("b").unwrap();
    disk.sync_dir("").unwrap();
    disk.rename("a/four", "b/five").unwrap();
    disk.sync_dir("b").unwrap();
    assert!(names(&disk).contains("four"), "both folders want a sync");
    disk.sync_dir("a").unwrap();
    assert_eq!(names(&disk), [String::new()].into());
}

#[test]
fn folders_move_with_all_in_them_and_links_share_their_bytes() {
    let disk = Model::new(1);
    disk.make_dir("tmp/views").unwrap();
    disk.create("tmp/views/rows").unwrap().append(b"x").unwrap();
    disk.rename("tmp", "done").unwrap();
    disk.link("done/views/rows", "done/copy").unwrap();
    disk.open("done/copy").unwrap().append(b"y").unwrap();
    assert_eq!(disk.read("done/views/rows").unwrap(), b"xy");
    assert_eq!(disk.list("done").unwrap(), ["copy", "views"]);
    disk.remove_dir_all("done").unwrap();
    assert_eq!(disk.list("").unwrap(), Vec::<String>::new());
}

#[test]
fn a_failed_sync_is_followed_by_one_that_lies() {
    let (mut kept, mut lost) = (0, 0);
    for seed in 0..100 {
        let (disk, mut file) = disk_with(b"hello");
        disk.state().dice = Dice::new(seed);
        file.append(b"!").unwrap();
        disk.plan(Plan { fail_sync: Some(0), ..Plan::default() });
        assert!(file.sync().is_err());
        let seen = disk.read("file").unwrap();
        file.sync().unwrap();
        match &*disk.crash(seed).read("file").unwrap() {
            b"hello!" => kept += 1,
            _ => lost += u32::from(seen == b"hello!"),
        }
        file.write_at(5, b"!").unwrap();
        file.sync().unwrap();
        assert_eq!(disk.crash(seed).read("file").unwrap(), b"hello!", "what is written again");
    }
    assert!(0 < kept && 0 < lost, "{kept} kept, {lost} lost although they could be read");
}

#[test]
fn a_full_disk_takes_a_part_and_has_room_again_after_a_cut() {
    let (disk, mut file) = disk_with(b"hello");
    disk.plan(Plan { capacity: Some(8), ..Plan::default() });
    assert_eq!(disk.free().unwrap(), 3);
    assert_eq!(file.append(b" world").unwrap_err().kind(), ErrorKind::StorageFull);
    assert_eq!(disk.read("file").unwrap(), b"hello wo");
    file.write_at(0, b"H").unwrap();
    file.set_len(5).unwrap();
    file.append(b"!!!").unwrap();
    assert_eq!(disk.free().unwrap(), 0);
    disk.remove("file").unwrap();
    assert_eq!(disk.free().unwrap(), 8);
}

#[test]
fn power_is_cut_at_the_planned_write_and_stays_so() {
    let (mut done, mut not) = (0, 0);
    for seed in 0..50 {
        let (disk, mut file) = disk_with(b"");
        disk.state().dice = Dice::new(seed);
        disk.plan(Plan { cut: Some(1), ..Plan::default() });
        file.append(b"x").unwrap();
        assert!(power_is_cut(&file.sync().unwrap_err()));
        assert!(power_is_cut(&file.append(b"y").unwrap_err()));
        assert!(power_is_cut(&disk.read("file").unwrap_err()));
        let seen = after_crashes(&disk, "file");
        done += u32::from(seen == [Some(b"x".to_vec())].into());
        not += u32::from(seen.contains(&Some(Vec::new())));
    }
    assert!(0 < done && 0 < not, "the last operation is done or not");
}

#[test]
fn locks_and_a_read_only_disk_refuse() {
    let (disk, _file) = disk_with(b"");
    let held = disk.lock("LOCK").unwrap();
    assert_eq!(disk.lock("LOCK").unwrap_err().kind(), ErrorKind::WouldBlock);
    drop(held);
    drop(disk.lock("LOCK").unwrap());
    disk.plan(Plan { read_only: true, ..Plan::default() });
    assert_eq!(disk.open("file").unwrap_err().kind(), ErrorKind::ReadOnlyFilesystem);
    assert_eq!(disk.create("b").unwrap_err().kind(), ErrorKind::ReadOnlyFilesystem);
    assert_eq!(disk.read("file").unwrap(), b"");
}

#[test]
fn the_same_seed_gives_the_same_disk() {
    let (disk, mut file) = disk_with(b"hello");
    file.append(&[7; 3000]).unwrap();
    for seed in 0..100 {
        assert_eq!(disk.crash(seed).read("file").unwrap(), disk.crash(seed).read("file").unwrap());
    }
}
