//! Operate: is a data directory backed up, restored, mended and checked as the help says?
#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

use std::path::Path;

use affluent::storage::Format;
use ground::{
    Ground, below, copy, end, end_at_once, flip, last, refused, remove, said, same, snapshot, told,
    wait,
};

#[path = "support/ground.rs"]
mod ground;

#[test]
fn a_backup_is_taken_while_a_process_goes_on_writing() {
    let ground = Ground::new();
    let following = ground.follow("data");
    for turn in 0..4 {
        ground.add(40 + turn * 30, 30);
        let name = format!("backup-{turn}");
        let says = said(&["backup", "--data", &ground.at("data"), "--to", &ground.at(&name)]);
        assert!(says.contains("every checksum was compared"), "{says}");
        let (code, says) = ground.check(&name);
        assert_eq!(code, 0, "{says}");
        // The directory is in use, and may be looked at all the same.
        assert_eq!(ground.check("data").0, 0);
        let (code, error) = refused(&["run", &ground.at("shop.toml"), "--data", &ground.at(&name)]);
        assert_eq!(code, 4);
        assert!(error.contains("this is a backup: `affluent restore`"), "{error}");
    }
    end(following);
    ground.run("data", &["--snapshot", &ground.at("all")]);
    let of = |views: &str| {
        let named = ["profiles.csv", "identity.csv", "bought_together.csv", "rejects.csv"];
        named.map(|view| std::fs::read_to_string(ground.path(views).join(view)).unwrap())
    };
    for turn in 0..4 {
        let [from, to] = ["backup", "data"].map(|name| ground.at(&format!("{name}-{turn}")));
        said(&["restore", &from, "--data", &to, "--nobody-was-erased"]);
        let views = format!("views-{turn}");
        ground.run(&format!("data-{turn}"), &["--snapshot", &ground.at(&views)]);
        assert_eq!(of(&views), of("all"), "backup {turn}");
    }
    let again = ["backup", "--data", &ground.at("data"), "--to", &ground.at("backup-0")];
    let (code, error) = refused(&again);
    assert_eq!(code, 2);
    assert!(error.contains("is there already"), "{error}");
}

#[test]
fn a_backup_is_taken_while_checkpoints_come_and_go() {
    let ground = Ground::new();
    ground.run("data", &[]);
    let (shop, data) = (ground.at("shop.toml"), ground.at("data"));
    std::thread::scope(|scope| {
        let backing = scope.spawn(|| {
            for number in 0..12 {
                let name = format!("backup-{number}");
                said(&["backup", "--data", &data, "--to", &ground.at(&name)]);
                for name in [&name, "data"] {
                    let (code, says) = ground.check(name);
                    assert_eq!(code, 0, "{says}");
                }
            }
        });
        let mut from = 40;
        while !backing.is_finished() {
            ground.add(from, 5);
            from += 5;
            ground.run("data", &[]);
            if from % 20 == 0 {
                // Everything is written anew, and all that was before goes.
                told(&["erase", &shop, "--data", &data, "user:ann", "--now"]);
            }
        }
    });
    for number in [0, 5, 11] {
        let [from, to] = ["backup", "data"].map(|name| ground.at(&format!("{name}-{number}")));
        said(&["restore", &from, "--data", &to, "--erased", &ground.at("data/erased")]);
        ground.run(&format!("data-{number}"), &[]);
        let (code, says) = ground.check(&format!("data-{number}"));
        assert_eq!(code, 0, "{says}");
    }
}

#[test]
fn a_directory_is_restored_as_it_was_at_a_tick() {
    let ground = Ground::new();
    ground.closed_twice();
    said(&["backup", "--data", &ground.at("data"), "--to", &ground.at("backup")]);
    for tick in ["3", "5", "6"] {
        let [data, views, was] = ["data", "views", "was"].map(|name| format!("{name}-{tick}"));
        let from = ground.at("backup");
        let to = ground.at(&data);
        let says = said(&["restore", &from, "--data", &to, "--nobody-was-erased", "--tick", tick]);
        assert!(says.contains(&format!("as it was at tick {tick}")), "{says}");
        assert_eq!(ground.check(&data).0, 0);
        let stop = ["--at-tick", tick, "--snapshot"];
        ground.run(&data, &[&stop[..], &[&ground.at(&views)]].concat());
        let shop = ground.at("shop.toml");
        said(&[&["run", &shop], &stop[..], &[&ground.at(&was)]].concat());
        same(&ground.path(&views), &ground.path(&was), &format!("tick {tick}"));
    }
    for (tick, says) in [("2", "reaches from 3 to"), ("900", "tick 900 is not in the backup")] {
        let data = ground.at("never");
        let from = ground.at("backup");
        let (code, error) =
            refused(&["restore", &from, "--data", &data, "--nobody-was-erased", "--tick", tick]);
        assert_eq!(code, 2);
        assert!(error.contains(says), "{error}");
        assert!(!ground.path("never").exists() && !ground.path("never.aside").exists());
    }
    let (code, error) = refused(&["restore", &ground.at("backup"), "--data", &ground.at("new")]);
    assert_eq!(code, 2);
    assert!(error.contains("--erased"), "{error}");
    let in_use = ["--data", &ground.at("data"), "--nobody-was-erased"];
    let (code, _) = refused(&[&["restore", &ground.at("backup")], &in_use[..]].concat());
    assert_eq!(code, 2);
}

#[test]
fn nobody_who_was_erased_comes_back_with_a_backup() {
    let ground = Ground::new();
    ground.closed_twice();
    let (data, shop) = (ground.at("data"), ground.at("shop.toml"));
    said(&["backup", "--data", &data, "--to", &ground.at("backup")]);
    let (code, person, _) = ground.show("data", ["profile", "email:ann@example.org"]);
    assert_eq!(code, 0);
    assert!(person.contains("known by     ") && person.contains("user:ann"), "{person}");
    let receipt = said(&["erase", &shop, "--data", &data, "user:ann"]);
    std::fs::write(ground.path("receipt.json"), receipt).unwrap();
    let erased = ground.at("data/erased");
    // Nor with the keys of a backup.
    copy(&ground.path("data"), &ground.path("keyless"));
    remove(&ground.path("keyless/keys/people"));
    let repair = ["repair", "--data", &ground.at("keyless"), "--from", &ground.at("backup")];
    let says = said(&repair);
    assert!(says.contains("keys/people was mended"), "{says}");
    let (receipt, keyless) = (ground.at("receipt.json"), ground.at("keyless"));
    said(&["verify-erasure", &receipt, &shop, "--data", &keyless]);
    assert_eq!(ground.show("keyless", ["profile", "user:ann"]).0, 1);
    let ticks: [&[&str]; 2] = [&[], &["--tick", "5"]];
    for (number, tick) in ticks.into_iter().enumerate() {
        let name = format!("restored-{number}");
        let to = ground.at(&name);
        let from = ground.at("backup");
        let restore = ["restore", &from, "--data", &to, "--erased", &erased];
        let says = said(&[&restore[..], tick].concat());
        assert!(says.contains("1 erasure of after that tick done again"), "{says}");
        // The checkpoint shows Ann, and is therefore not shown.
        let (code, out, error) = ground.show(&name, ["profile", "user:ann"]);
        assert_eq!((code, out.as_str()), (4, ""));
        assert!(error.contains("somebody was erased") && error.contains("run"), "{error}");
        let views = format!("views-{number}");
        // At tick 5, so that the rows of the file that come after it do not bring Ann back.
        let stop: &[&str] = if tick.is_empty() { &[] } else { &["--at-tick", "5"] };
        ground.run(&name, &[&["--snapshot", &ground.at(&views)], stop].concat());
        for (file, text) in snapshot(&ground.path(&views)) {
            assert!(!text.contains("ann@example.org"), "{}", file.display());
        }
        let (code, _, error) = ground.show(&name, ["profile", "user:ann"]);
        assert_eq!(code, 1, "{error}");
        assert_eq!(ground.show(&name, ["profile", "user:u1"]).0, 0);
        let receipt = ground.at("receipt.json");
        let values = ["--value", "ann@example.org"];
        let verify = ["verify-erasure", &receipt, &shop, "--data", &to];
        let says = said(&[&verify[..], &values].concat());
        assert!(says.contains("found in any file: yes"), "{says}");
        let (code, says) = ground.check(&name);
        assert_eq!(code, 0, "{says}");
    }
}

/// A kind of damage, what `check` says of it, and what `repair`.
type Damage = (&'static str, fn(&Path), &'static str, &'static str);

/// Every kind of damage.
const DAMAGES: &[Damage] = &[
    ("segment", |data| flip(&last(data, ".seg"), Some(4000)), ".seg, byte ", "appended since"),
    ("no-segment", |data| remove(&last(data, ".seg")), "is missing", "as the backup has it"),
    ("part", |data| flip(&last(data, ".part"), None), ".part, byte", "was brought back"),
    ("no-part", |data| remove(&last(data, ".part")), ".part: is missing", "it was missing"),
    ("checkpoint", |data| flip(&last(data, "/checkpoint"), None), "checkpoint, byte 0", "ckpt/"),
    ("image", |data| flip(&last(data, "profiles.rows"), Some(30)), ".rows, byte", ".rows"),
    (
        "superblock",
        |data| flip(&data.join("MANIFEST.a"), None),
        "note: MANIFEST.a: is damaged",
        "MANIFEST.a was written as the other",
    ),
    (
        "superblocks",
        |data| {
            remove(&data.join("MANIFEST.a"));
            flip(&data.join("MANIFEST.b"), None);
        },
        "MANIFEST.a: is missing",
        "were made anew of what the log holds",
    ),
    ("key", |data| remove(&data.join("directory.key")), "directory.key: is missing", "directory."),
    ("people", |data| flip(&data.join("keys/people"), None), "keys/people, byte", "1 key"),
];

#[test]
fn every_kind_of_damage_is_found_and_mended() {
    let ground = Ground::new();
    ground.closed_twice();
    let following = ground.follow("data");
    let ended = |views: &str| {
        let views = ground.path(views).join("profiles.csv");
        std::fs::read_to_string(views).map_or(0, |text| text.lines().count())
    };
    let known = ended("followed");
    ground.write("x1,2026-01-09T10:00:00Z,user:new,view,lamp,,\n");
    ground.add(40, 30);
    wait(|| known < ended("followed"));
    said(&["backup", "--data", &ground.at("data"), "--to", &ground.at("backup")]);
    // A tail that no backup has, behind what it has.
    ground.write("x2,2026-01-09T10:00:00Z,user:newer,view,lamp,,\n");
    ground.add(70, 20);
    wait(|| known + 1 < ended("followed"));
    end_at_once(following);
    let mut first: Option<String> = None;
    for (name, damage, found, mended) in DAMAGES {
        copy(&ground.path("data"), &ground.path(name));
        damage(&ground.path(name));
        let (code, says) = ground.check(name);
        assert_eq!(code, if *name == "superblock" { 0 } else { 4 }, "{name}: {says}");
        assert!(says.contains(found), "{name}: {says}");
        let from = ground.at("backup");
        let (code, says, error) = told(&["repair", "--data", &ground.at(name), "--from", &from]);
        assert_eq!(code, 0, "{name}: {says}{error}");
        assert!(says.contains(mended) && says.contains("is whole again"), "{name}: {says}");
        let (code, says) = ground.check(name);
        assert_eq!(code, 0, "{name}: {says}");
        let views = format!("{name}-views");
        ground.run(name, &["--snapshot", &ground.at(&views)]);
        if *name == "no-segment" {
            // What was appended since the backup is lost, and read once more from the files.
            continue;
        }
        let first = first.get_or_insert_with(|| views.clone());
        same(&ground.path(&views), &ground.path(first), name);
    }
    let again = ["repair", "--data", &ground.at("part"), "--from", &ground.at("backup")];
    assert!(said(&again).contains("Nothing in "));
}

#[test]
fn a_checkpoint_that_no_backup_has_gives_way_to_the_one_before() {
    let ground = Ground::new();
    ground.closed_twice();
    ground.run("data", &["--snapshot", &ground.at("was")]);
    flip(&last(&ground.path("data"), ".part"), None);
    let (code, error) = refused(&["run", &ground.at("shop.toml"), "--data", &ground.at("data")]);
    assert_eq!(code, 4);
    assert!(error.contains("affluent repair --from BACKUP"), "{error}");
    let says = said(&["repair", "--data", &ground.at("data"), "--from", &ground.at("early")]);
    assert!(says.contains("the one at tick 3 and the log behind it take its place"), "{says}");
    assert!(below(&ground.path("data")).iter().any(|file| {
        let file = file.display().to_string();
        file.contains(".part.damaged")
    }));
    ground.run("data", &["--snapshot", &ground.at("is")]);
    same(&ground.path("is"), &ground.path("was"), "the one before");
    let (code, says) = ground.check("data");
    assert_eq!(code, 0, "{says}");
}

#[test]
fn what_an_operator_does_wrong_is_named_with_the_way_out() {
    let ground = Ground::new();
    ground.closed_twice();
    let (shop, data) = (ground.at("shop.toml"), ground.at("data"));
    let run = ["run", &shop, "--data", &data];
    let following = ground.follow("data");
    let (code, error) = refused(&run);
    assert_eq!(code, 4);
    assert!(error.contains("another process has this data directory: stop it"), "{error}");
    let (code, error) = refused(&["repair", "--data", &data, "--from", &ground.at("early")]);
    assert_eq!(code, 4);
    assert!(error.contains("another process has this data directory"), "{error}");
    end(following);

    // A folder of something else.
    std::fs::create_dir(ground.path("other")).unwrap();
    std::fs::write(ground.path("other/notes"), "notes").unwrap();
    let (code, error) = refused(&["run", &shop, "--data", &ground.at("other")]);
    assert_eq!(code, 4);
    assert!(error.contains("this is no data directory, it has notes"), "{error}");
    let (code, _, error) = ground.show("other", ["item", "lamp"]);
    assert_eq!(code, 4);
    assert!(error.contains("this is no data directory"), "{error}");
    let backup = ["backup", "--data", &ground.at("other"), "--to", &ground.at("b")];
    assert!(refused(&backup).1.contains("this is no data directory"));
    assert!(!ground.path("b").exists());

    // A directory of another.
    ground.run("stranger", &[]);
    let (code, error) =
        refused(&["repair", "--data", &ground.at("stranger"), "--from", &ground.at("early")]);
    assert_eq!(code, 2);
    assert!(error.contains("but of another directory"), "{error}");
    let text = std::fs::read_to_string(ground.path("shop.toml")).unwrap();
    std::fs::write(ground.path("other.toml"), text.replace("\"0f0e", "\"0000")).unwrap();
    let (code, says, _) = told(&["check", &ground.at("other.toml"), "--data", &data]);
    assert_eq!(code, 4);
    assert!(says.contains("was written under another secret: use the shop's file"), "{says}");

    // A deleted file.
    copy(&ground.path("data"), &ground.path("less"));
    let gone = last(&ground.path("less"), ".part");
    std::fs::remove_file(&gone).unwrap();
    let (code, error) = refused(&["run", &shop, "--data", &ground.at("less")]);
    assert_eq!(code, 4);
    assert!(error.contains("base/0000"), "{error}");

    // A newer format.
    copy(&ground.path("data"), &ground.path("newer"));
    for name in ["MANIFEST.a", "MANIFEST.b"] {
        let path = ground.path("newer").join(name);
        let mut bytes = std::fs::read(&path).unwrap();
        let head = Format { letters: *b"afflusup", version: 9 }.head();
        bytes[..head.len()].copy_from_slice(&head);
        std::fs::write(&path, bytes).unwrap();
    }
    for command in [vec!["run", &shop, "--data"], vec!["check", &shop, "--data"]] {
        let newer = ground.at("newer");
        let (code, out, error) = told(&[&command[..], &[&newer]].concat());
        assert_eq!(code, 4);
        let says = out + &error;
        assert!(says.contains("has format 9") && says.contains("use the program"), "{says}");
    }
}

#[test]
#[cfg(unix)]
fn a_directory_that_may_only_be_read_is_checked_shown_and_not_run() {
    use std::os::unix::fs::PermissionsExt;
    let ground = Ground::new();
    ground.closed_twice();
    let mode = |mode: u32| {
        let files = below(&ground.path("data")).into_iter().map(|file| (file, mode & 0o444));
        let folders = ["data", "data/log", "data/base", "data/keys", "data/ckpt"];
        for (path, mode) in files.chain(folders.map(|folder| (ground.path(folder), mode))) {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        }
    };
    mode(0o555);
    let (code, says) = ground.check("data");
    assert_eq!(code, 0, "{says}");
    assert!(says.contains("others may use it (mode 444): chmod 600"), "{says}");
    let (code, answer, error) = ground.show("data", ["item", "lamp"]);
    assert_eq!(code, 0, "{error}");
    assert!(answer.contains("lamp, as of tick"), "{answer}");
    // Whoever may do everything is not kept from it.
    if std::fs::write(ground.path("data/probe"), "").is_err() {
        let (code, error) =
            refused(&["run", &ground.at("shop.toml"), "--data", &ground.at("data")]);
        assert_eq!(code, 4);
        assert!(error.contains("cannot be written, see LOCK: mount it writable"), "{error}");
        assert!(ground.check("data").1.contains("cannot be written"));
    }
    mode(0o755);
}

#[test]
fn the_newest_checkpoint_answers_at_once() {
    let ground = Ground::new();
    let (code, _, error) = ground.show("data", ["item", "lamp"]);
    assert_eq!(code, 4);
    assert!(error.contains("there is no data directory here"), "{error}");
    ground.run("data", &["--snapshot", &ground.at("views")]);
    for what in [["profile", "user:u1"], ["item", "lamp"], ["segment", "0"]] {
        let files = said(&[&["show", "--snapshot", &ground.at("views")], &what[..]].concat());
        let (code, answer, error) = ground.show("data", what);
        assert_eq!((code, answer.as_str()), (0, files.as_str()), "{error}");
    }
    let before = below(&ground.path("data"));
    let following = ground.follow("data");
    ground.add(40, 200);
    let newer = |answer: &str| answer.contains("The log holds at least") && answer.contains("more");
    wait(|| newer(&ground.show("data", ["item", "lamp"]).1));
    end(following);
    assert!(before.len() <= below(&ground.path("data")).len());
    for command in ["backup", "restore", "repair", "check"] {
        assert!(said(&[command, "--help"]).contains("Example"), "{command}");
    }
}
