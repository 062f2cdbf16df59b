//! Commands: does the program do what its help says?
#![expect(clippy::unwrap_used, reason = "a test ends where something is not as it should be")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The folder of the project.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Runs the program and waits for its end.
fn affluent(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_affluent"));
    let output = command.args(arguments).current_dir(root()).env_remove("AFFLUENT_SECRET").output();
    output.expect("the program was built")
}

/// What the program wrote, with its exit code.
fn told(arguments: &[&str]) -> (i32, String, String) {
    let Output { status, stdout, stderr } = affluent(arguments);
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("the program writes UTF-8");
    (status.code().expect("no signal ended it"), text(stdout), text(stderr))
}

/// What the program wrote, if all was well.
fn said(arguments: &[&str]) -> String {
    let (code, out, error) = told(arguments);
    assert_eq!(code, 0, "{arguments:?}: {error}");
    out
}

/// A shop in a folder of its own, with three days of the shipped slice.
fn shop(folder: &Path) -> String {
    let slice = root().join("fixtures/online-retail-slice");
    for day in ["2010-12-01", "2010-12-02", "2010-12-03"] {
        let name = format!("{day}.csv.gz");
        std::fs::copy(slice.join(&name), folder.join(&name)).unwrap();
    }
    let file = folder.join("shop.toml");
    let text = std::fs::read_to_string(slice.join("shop.toml")).unwrap();
    std::fs::write(&file, text + "\n[run]\ntick_events = 1000\n").unwrap();
    file.display().to_string()
}

/// All files of a folder.
fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> =
        entries.map(|path| (path.clone(), std::fs::read(path).unwrap())).collect();
    files.sort();
    files.iter_mut().for_each(|(path, _)| *path = path.file_name().unwrap().into());
    files
}

#[test]
fn a_run_says_what_became_of_every_row() {
    let folder = tempfile::tempdir().unwrap();
    let text = said(&["run", &shop(folder.path())]);
    let rows = text.lines().find(|line| line.starts_with("Rows")).unwrap();
    assert_eq!(rows, "Rows      7,419 read = 5,129 accepted + 0 duplicate + 2,290 rejected");
    for part in
        ["`user` is missing", "Profiles", "Customers", "champions", "Segments", "together in"]
    {
        assert!(text.contains(part), "{part} in:\n{text}");
    }
}

#[test]
fn a_snapshot_is_the_same_at_any_number_of_workers_and_answers() {
    let folder = tempfile::tempdir().unwrap();
    let shop = shop(folder.path());
    let [one, two] = ["one", "two"].map(|name| folder.path().join(name).display().to_string());
    said(&["run", &shop, "--snapshot", &one]);
    said(&["run", &shop, "--snapshot", &two, "--workers", "2"]);
    assert_eq!(files(Path::new(&one)), files(Path::new(&two)));

    let person = said(&["show", "--snapshot", &one, "profile", "user:17850"]);
    for part in
        ["known by     user:17850", "United Kingdom", "34 orders for 5,391.21 GBP", "segment"]
    {
        assert!(person.contains(part), "{part} in:\n{person}");
    }
    let item = said(&["show", "--snapshot", &one, "item", "85123A"]);
    for part in ["WHITE HANGING HEART T-LIGHT HOLDER", "bought together", "cosine"] {
        assert!(item.contains(part), "{part} in:\n{item}");
    }
    let segment = said(&["show", "--snapshot", &one, "segment", "0"]);
    assert!(segment.contains("in its middle") && segment.contains("user:"), "{segment}");

    let (code, _, error) = told(&["show", "--snapshot", &one, "profile", "user:nobody"]);
    assert_eq!(code, 1);
    assert!(error.contains("nobody is known by `user:nobody`"), "{error}");
    let (code, _, error) = told(&["show", "--snapshot", &one, "profile", "17850"]);
    assert_eq!(code, 2);
    assert!(error.contains("write it as kind:value"), "{error}");
}

#[test]
fn a_run_that_stops_at_a_tick_is_what_a_shorter_input_gives() {
    let folder = tempfile::tempdir().unwrap();
    let shop = shop(folder.path());
    let [part, again] = ["part", "again"].map(|name| folder.path().join(name));
    for place in [&part, &again] {
        let place = place.display().to_string();
        said(&["run", &shop, "--snapshot", &place, "--at-tick", "2"]);
    }
    let manifest = std::fs::read_to_string(part.join("manifest.json")).unwrap();
    assert!(manifest.contains("\"tick\": 2,"), "{manifest}");
    assert_eq!(files(&part), files(&again));
}

#[test]
fn an_audit_finds_every_view_equal() {
    let folder = tempfile::tempdir().unwrap();
    let shop = shop(folder.path());
    let [one, two] = ["1", "2"].map(|workers| said(&["audit", &shop, "--workers", workers]));
    assert_eq!(one, two);
    assert!(one.contains("rfm                 equal, "), "{one}");
    assert!(!one.contains("DIFFERS"), "{one}");
    assert!(one.contains("are what their batch functions give"), "{one}");
}

#[test]
fn a_story_is_told_tick_by_tick() {
    let text = said(&["replay", "fixtures/two_cookies_become_one_person"]);
    for part in [
        "# Two cookies become one person",
        "tick 3\n  > at=2026-03-03T22:00:00Z",
        "- cookie:phone  profile=cookie:phone",
        "+ cookie:phone  profile=email:ann@example.org",
        "orders=2  spent=52.00",
    ] {
        assert!(text.contains(part), "{part} in:\n{text}");
    }
    let all =
        said(&["replay", "fixtures/two_cookies_become_one_person", "--all", "--workers", "2"]);
    assert!(text.len() < all.len() && all.contains("popular"), "{all}");
}

#[test]
fn what_is_wrong_is_named_with_the_way_out() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("shop.toml");
    let place = file.display().to_string();
    std::fs::write(&file, "[rfm]\nwindow_day = 30\n").unwrap();
    let (code, _, error) = told(&["run", &place]);
    assert_eq!(code, 2);
    assert!(error.contains("shop.toml:2:1: unknown field `window_day`"), "{error}");
    assert!(error.contains("did you mean `window_days`?"), "{error}");

    std::fs::write(&file, "[[source]]\nfiles = \"*.csv\"\n").unwrap();
    let (code, _, error) = told(&["run", &place]);
    assert_eq!(code, 3);
    assert!(error.contains("no file matches"), "{error}");

    std::fs::write(folder.path().join("a.csv"), "at,who,acton\n").unwrap();
    let (code, _, error) = told(&["run", &place]);
    assert_eq!(code, 3);
    assert!(error.contains("`a.csv` has a column `acton`"), "{error}");
    assert!(error.contains("`affluent schema` lists the fields"), "{error}");

    let (code, _, error) = told(&["run", "nowhere.toml"]);
    assert_eq!(code, 2);
    assert!(error.contains("`nowhere.toml` could not be read"), "{error}");
    let (code, ..) = told(&["run", "nowhere.toml", "--workers", "0"]);
    assert_eq!(code, 2);
    let (code, _, error) = told(&["replay", &folder.path().display().to_string()]);
    assert_eq!(code, 3);
    assert!(error.contains("a story is a folder with story.md and events.csv"), "{error}");
}

#[test]
fn rows_are_corrected_retracted_refused_and_erased() {
    let folder = tempfile::tempdir().unwrap();
    let rows = "op,id,at,who,action,order,lines\n\
                ,1,2026-01-01T10:00:00Z,user:ann,order,A1,lamp@40\n\
                ,1,2026-01-01T10:00:00Z,user:ann,order,A1,lamp@40\n\
                ,1,2026-01-01T10:00:00Z,user:ann,order,A1,lamp@41\n\
                ,2,2026-01-01T11:00:00Z,user:bob,order,B1,lamp@40\n\
                ,3,2026-01-01T11:00:00Z,user:bob,order,B2,lamp@four\n\
                retract,2,,,,,\n\
                retract,9,,,,,\n\
                erase,,,user:ann,,,\n\
                erase,,,user:eve,,,\n\
                ,3,2026-01-01T11:00:00Z,user:bob,order,B2,lamp@4\n";
    std::fs::write(folder.path().join("a.csv"), rows).unwrap();
    let file = folder.path().join("shop.toml");
    std::fs::write(&file, "[[source]]\nfiles = \"*.csv\"\n").unwrap();
    let snapshot = folder.path().join("views");
    let text =
        said(&["run", &file.display().to_string(), "--snapshot", &snapshot.display().to_string()]);
    for part in [
        "10 read = 6 accepted + 1 duplicate + 3 rejected",
        "1  `price` is not a plain decimal number",
        "1  `id` names no event that holds",
        "1  `who` names nobody who is known",
        "1 event was corrected",
        "1 event was retracted",
        "1 person was erased with 1 event",
    ] {
        assert!(text.contains(part), "{part} in:\n{text}");
    }
    let rejects = std::fs::read_to_string(snapshot.join("rejects.csv")).unwrap();
    // The one with the wrong price has left with its correction.
    assert_eq!(rejects.lines().count(), 3, "{rejects}");
    let identity = std::fs::read_to_string(snapshot.join("identity.csv")).unwrap();
    assert_eq!(identity, "identifier,profile\nuser:bob,user:bob\n");
}

/// Waits, for a minute at most, until `done`.
fn wait(mut done: impl FnMut() -> bool) {
    let (_timer, tick) = std::sync::mpsc::channel::<()>();
    for _ in 0..1200 {
        if done() {
            return;
        }
        _ = tick.recv_timeout(std::time::Duration::from_millis(50));
    }
    panic!("it takes more than a minute");
}

#[test]
#[cfg(unix)]
fn a_run_that_follows_reads_on_and_ends_at_ctrl_c() {
    let folder = tempfile::tempdir().unwrap();
    let (rows, file) = (folder.path().join("a.csv"), folder.path().join("shop.toml"));
    // The last line has no end yet: it is still being written.
    let head = "id,at,who,action,item\n1,2026-01-01T10:00:00Z,user:ann,view,lamp\n2,2026-01-";
    std::fs::write(&rows, head).unwrap();
    std::fs::write(&file, "[[source]]\nfiles = \"*.csv\"\n").unwrap();
    let snapshot = folder.path().join("views");
    let mut following = Command::new(env!("CARGO_BIN_EXE_affluent"))
        .args(["run", "--follow", "--snapshot"])
        .args([&snapshot, &file])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let known = |who: &str| {
        let view = std::fs::read_to_string(snapshot.join("identity.csv"));
        view.is_ok_and(|view| view.contains(who))
    };
    wait(|| known("user:ann"));
    assert!(!known("user:bob"));
    let more = head.to_owned() + "01T11:00:00Z,user:bob,view,lamp\n";
    std::fs::write(&rows, more).unwrap();
    wait(|| known("user:bob"));
    let other = "id,at,who,action,item\n1,2026-01-01T12:00:00Z,user:cid,view,mug\n";
    std::fs::write(folder.path().join("b.csv"), other.replace("\n1,", "\n3,")).unwrap();
    wait(|| known("user:cid"));
    let id = following.id().to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().unwrap().success());
    wait(|| following.try_wait().unwrap().is_some());
    let output = following.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", output.status);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("3 read = 3 accepted + 0 duplicate + 0 rejected"), "{text}");
}

#[test]
fn the_format_and_every_setting_are_printed() {
    assert!(said(&["schema"]).contains("required to insert"));
    let schema: serde_json::Value = serde_json::from_str(&said(&["schema", "--json"])).unwrap();
    assert_eq!(schema["type"], "object");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("shop.toml");
    std::fs::write(&file, said(&["config"])).unwrap();
    std::fs::write(folder.path().join("a.csv"), "at,who,action,page\n").unwrap();
    let text = said(&["run", &file.display().to_string()]);
    assert!(text.contains("Rows      0 read"), "{text}");
    for command in ["run", "replay", "audit", "show"] {
        assert!(said(&[command, "--help"]).contains("Example"), "{command}");
    }
}
