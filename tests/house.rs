//! House: does every piece of code stand where it belongs, and is it as short as it should be?
//!
//! These tests read the source.
//! A failure is one sentence a line: the place, what is wrong, and the way out.

#[path = "support/source.rs"]
mod source;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use source::{File, files, functions, paths, twin};

/// The most lines of a file, the most lines of a function, the most characters of a line.
const FILE_LINES_MAX: usize = 500;
const FUNCTION_LINES_MAX: usize = 70;
const LINE_CHARS_MAX: usize = 100;

/// The floors of `src`, the lowest first: a module imports only from lower ones.
const FLOORS: &[&[&str]] = &[
    &["storage"],
    &["log", "names", "vault"],
    &["ledger", "source", "text", "view"],
    &["cache", "durable"],
    &["decode", "tend"],
    &["worker"],
    &["config"],
    &["feed"],
    &["erase", "fixture", "run"],
    &["show", "trial"],
    &["args"],
    &["care", "data"],
    &["main"],
];

/// The floors of `dataflows` below the dataflows themselves, which are all other modules.
const GROUND: &[&[&str]] = &[&["tick", "slab"], &["event", "score"], &["settings"], &["view"]];

/// What stands on the ground floors: operators on collections that no view is made of alone.
const OPERATORS: [&str; 1] = ["operator"];

/// Functions on collections that a dataflow may borrow from another: they make no view.
const BORROWED: [&str; 2] = ["day::window", "rfm::parts"];

/// All that a batch twin may share with its dataflow besides types and constants: definitions of
/// one line that are part of the meaning.
const SHARED: [&str; 4] =
    ["order::unmatched", "profile::action_place", "score::doublings", "settings::window_start"];

/// Views that a shop cannot name in its file: they are for the engine.
const INTERNAL: [&str; 1] = ["OWNERS"];

/// Fails with all `faults`, one a line.
fn tidy(faults: &[String]) {
    assert!(faults.is_empty(), "\n{}\n", faults.join("\n"));
}

/// The modules of `dataflows` that are dataflows.
fn dataflows() -> Vec<File> {
    let ground: BTreeSet<&str> = GROUND.concat().into_iter().chain(OPERATORS).collect();
    let inside = |file: &File| {
        let module = file.module();
        !ground.contains(module) && !["lib", "batch_tests"].contains(&module)
    };
    files("dataflows", &[".rs"]).into_iter().filter(inside).collect()
}

#[test]
fn files_functions_and_lines_are_short() {
    let mut faults = Vec::new();
    for file in files(".", &[".rs"]) {
        let path = &file.path;
        let lines = file.text.lines().count();
        if FILE_LINES_MAX < lines {
            let way = "move a part with a name of its own into a file of its own";
            faults.push(format!("{path} has {lines} lines, {FILE_LINES_MAX} are the most: {way}"));
        }
        for function in functions(&file.text) {
            let (line, lines) = (function.line, function.lines);
            if FUNCTION_LINES_MAX < lines {
                let way = "give its steps names";
                let name = function.name();
                faults.push(format!(
                    "{path}:{line}: `{name}` has {lines} lines, {FUNCTION_LINES_MAX} are the \
                     most: {way}"
                ));
            }
        }
        for (line, text) in file.lines() {
            // A row of a table in the documentation cannot be broken.
            let table = text.trim_start_matches([' ', '/', '!']).starts_with('|');
            let chars = text.chars().count();
            if LINE_CHARS_MAX < chars && !table {
                faults.push(format!(
                    "{path}:{line} has {chars} characters, {LINE_CHARS_MAX} are the most: break it"
                ));
            }
        }
    }
    tidy(&faults);
}

#[test]
fn every_file_says_first_which_question_it_answers() {
    let mut faults = Vec::new();
    for file in files(".", &[".rs"]) {
        let first = file.text.lines().next().unwrap_or_default();
        let says = first.strip_prefix("//! ").and_then(|says| says.split_once(": "));
        let noun =
            |noun: &str| noun.starts_with(char::is_uppercase) && noun.split(' ').count() <= 3;
        if !says.is_some_and(|(name, rest)| noun(name) && rest.ends_with(['?', '.'])) {
            let way = "begin with `//! Noun: the question that it answers?`";
            faults.push(format!("{}:1 does not say what the file is for: {way}", file.path));
        }
    }
    tidy(&faults);
}

#[test]
fn modules_of_src_import_only_from_lower_floors() {
    let floor = |module: &str| FLOORS.iter().position(|floor| floor.contains(&module));
    let mut faults = Vec::new();
    for file in files("src", &[".rs"]) {
        let (path, module) = (&file.path, file.module());
        if module == "lib" {
            continue;
        }
        let Some(own) = floor(module) else {
            let way = "give it a floor in `FLOORS` of tests/house.rs";
            faults.push(format!("{path}: the module `{module}` stands on no floor: {way}"));
            continue;
        };
        for (line, used) in paths(&file.text) {
            let mut parts = used.split("::");
            let root = parts.next().unwrap_or_default();
            let other = parts.next().unwrap_or_default();
            if ["crate", "affluent"].contains(&root) && other != module {
                let below = floor(other).is_some_and(|other| other < own);
                if !below {
                    faults.push(format!(
                        "{path}:{line}: `{module}` imports `{other}`, which is no lower floor: \
                         hand it over as an argument, or move what both need down"
                    ));
                }
            }
            if ["timely", "differential_dataflow"].contains(&root) && module != "worker" {
                let way = "only `worker` knows dataflows from inside; give it plain data";
                faults.push(format!("{path}:{line}: `{module}` imports `{root}`: {way}"));
            }
        }
        // A story has a shop's file of its own.
        let may_load = ["main", "config", "fixture"].contains(&module);
        if file.text.contains("Shop::load(") && !may_load {
            let way = "`main` reads it and hands each module what it needs";
            faults.push(format!("{path}: `{module}` reads the shop's file: {way}"));
        }
    }
    tidy(&faults);
}

#[test]
fn modules_of_dataflows_import_only_from_lower_floors() {
    let floor = |module: &str| {
        let place = GROUND.iter().position(|floor| floor.contains(&module));
        place.unwrap_or(GROUND.len() + usize::from(!OPERATORS.contains(&module)))
    };
    let mut faults = Vec::new();
    for file in files("dataflows", &[".rs"]) {
        let (path, module) = (&file.path, file.module());
        let own = floor(module);
        if ["lib", "batch_tests"].contains(&module) {
            continue;
        }
        for (line, used) in paths(&file.text) {
            let Some(used) = used.strip_prefix("crate::") else { continue };
            // The root of the crate lends the macro of `view` and the constants of dataflows.
            let other = used.split("::").next().unwrap_or_default();
            let other = if other == "show" { "view" } else { other };
            let dataflow = GROUND.len() < own;
            if other != module && own <= floor(other) && !dataflow {
                faults.push(format!(
                    "{path}:{line}: `{module}` imports `{other}`, which is no lower floor: move \
                     what both need down"
                ));
            }
        }
    }
    tidy(&faults);
}

#[test]
fn a_dataflow_is_handed_collections_and_makes_none_of_another_dataflow() {
    let all = dataflows();
    let mut streams = BTreeSet::new();
    for file in &all {
        for function in functions(&file.text) {
            let made = function.head.contains("<'s") && function.public;
            if made && !BORROWED.contains(&&*format!("{}::{}", file.module(), function.name())) {
                streams.insert((file.module(), function.name()));
            }
        }
    }
    assert!(10 < streams.len(), "the functions of dataflows are found");
    let mut faults = Vec::new();
    for file in &all {
        let used = paths(&file.text);
        for (module, name) in streams.iter().filter(|(module, _)| *module != file.module()) {
            let full = format!("crate::{module}::{name}");
            let short = format!("{module}::{name}(");
            let imports = used.iter().filter(|(_, path)| *path == full).map(|(line, _)| *line);
            let calls = file.lines().filter(|(_, text)| text.contains(&short));
            for line in imports.chain(calls.map(|(line, _)| line)) {
                faults.push(format!(
                    "{}:{line}: takes `{name}` from `{module}`: take its collection as an \
                     argument, and let `personalize` connect the two",
                    file.path
                ));
            }
        }
    }
    tidy(&faults);
}

#[test]
fn every_view_is_registered_and_every_stream_function_says_what_it_costs() {
    let registry = std::fs::read_to_string("dataflows/lib.rs").unwrap();
    let settings = std::fs::read_to_string("src/config/settings.rs").unwrap();
    let (mut faults, mut views) = (Vec::new(), 0);
    for file in dataflows() {
        let lines: Vec<&str> = file.text.lines().collect();
        for (line, text) in file.lines() {
            let constant = text.strip_prefix("pub const ").and_then(|text| text.split_once(": "));
            let Some((name, _)) = constant.filter(|(_, kind)| kind.starts_with("View<")) else {
                continue;
            };
            views += 1;
            let place = format!("{}:{line}: the view {name}", file.path);
            let registered = ["publish", "tally", "pairs"];
            if !registered.iter().any(|how| registry.contains(&format!("{how}({name},"))) {
                faults.push(format!("{place} is published nowhere: add it to `personalize`"));
            }
            let told = [format!("visit.rows({name})"), format!("visit.pairs({name},")];
            if !told.iter().any(|told| registry.contains(told)) {
                faults.push(format!("{place} could not be read from a file: add it to `views`"));
            }
            if !INTERNAL.contains(&name) && !settings.contains(&format!("dataflows::{name}.name")) {
                let way = "add it to `VIEWS` in src/config/settings.rs";
                faults.push(format!("{place} cannot be chosen in a shop's file: {way}"));
            }
        }
        for function in functions(&file.text) {
            let above = lines[..function.line - 1].iter().rev();
            let docs = above.take_while(|line| line.trim_start().starts_with(['/', '#']));
            let stream = function.public && function.head.contains("<'s");
            if stream && !docs.into_iter().any(|line| line.contains("/// Cost: ")) {
                let (line, name) = (function.line, function.name());
                let way = "say what one change costs, in a line `/// Cost: …`";
                faults.push(format!("{}:{line}: `{name}` names no cost: {way}", file.path));
            }
        }
    }
    assert!(15 < views, "the views are found");
    tidy(&faults);
}

#[test]
fn batch_twins_share_only_types_with_their_dataflows() {
    let (mut faults, mut twins) = (Vec::new(), 0);
    for file in dataflows() {
        let path = &file.path;
        let Some((start, batch, others)) = twin(&file.text) else {
            if file.text.contains("View::new(") {
                let way = "write its meaning as a `mod batch` at the foot of the file";
                faults.push(format!("{path}: has a view and no batch twin: {way}"));
            }
            continue;
        };
        twins += 1;
        for (line, used) in paths(batch) {
            let last = used.rsplit("::").next().unwrap_or_default();
            let inside = used.strip_prefix("crate::").unwrap_or_default();
            let harmless = used.starts_with("std::")
                || (!inside.is_empty() && last.starts_with(char::is_uppercase))
                || (!inside.is_empty() && last.ends_with("_batch"))
                || SHARED.iter().any(|shared| inside.starts_with(shared));
            if !harmless {
                let line = start + line - 1;
                let way = "write it again, in another way: one mistake is then not made twice";
                faults.push(format!("{path}:{line}: the batch twin takes `{used}`: {way}"));
            }
        }
        if batch.contains("super::") {
            let way = "name what it needs from the crate's root";
            faults.push(format!("{path}: the batch twin reaches into its parent: {way}"));
        }
        if others.lines().any(|line| line.contains("_batch(") && !line.contains("//")) {
            let way = "a stream that asks its judge is judged by nobody";
            faults.push(format!("{path}: the dataflow calls a batch function: {way}"));
        }
    }
    assert!(10 < twins, "the batch twins are found");
    tidy(&faults);
}

#[test]
fn nothing_is_left_over() {
    let words = [concat!("TO", "DO"), concat!("FIX", "ME"), concat!("XX", "X")];
    let marks = [concat!("#[ign", "ore"), concat!("db", "g!("), concat!("to", "do!(")];
    let folders = ["root", "home", "work", "Users", "tmp", "mnt"];
    let sleep = concat!("thread::", "sleep");
    let mut faults = Vec::new();
    for file in files(".", &[".rs", ".toml", ".md", "run"]) {
        for (line, text) in file.lines() {
            let place = format!("{}:{line}", file.path);
            let letters = |c: char| !c.is_alphanumeric();
            if text.split(letters).any(|word| words.contains(&word)) {
                faults.push(format!("{place} promises work: do it, or file it"));
            }
            if marks.iter().any(|mark| text.contains(mark)) {
                faults.push(format!("{place} is a leftover: mend it or remove it"));
            }
            for folder in folders.map(|name| format!("/{name}/")) {
                let found = text.match_indices(&folder).any(|(place, _)| {
                    !text[..place].ends_with(|c: char| c.is_alphanumeric() || "._})".contains(c))
                });
                if found {
                    faults.push(format!("{place} names a folder of one machine: make it relative"));
                }
            }
            let may_sleep = ["src/worker/", "src/source/", "src/run/"];
            if text.contains(sleep) && !may_sleep.iter().any(|at| file.path.starts_with(at)) {
                faults.push(format!("{place} sleeps: wait for what it waits for instead"));
            }
        }
    }
    tidy(&faults);
}

#[test]
fn every_fixture_tells_its_story() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut faults = Vec::new();
    for folder in files("fixtures", &[""]).iter().filter_map(|file| file.path.rsplit_once('/')) {
        let folder = folder.0.trim_end_matches("/views");
        let tells =
            ["story.md", "shop.toml"].iter().any(|name| root.join(folder).join(name).exists());
        if !tells {
            let way = "say in two sentences what happens in its story.md";
            faults.push(format!("{folder} has neither a story nor a shop's file: {way}"));
        }
    }
    faults.dedup();
    tidy(&faults);
}

#[test]
fn the_stated_rust_version_is_one_that_all_dependencies_compile_with() {
    let arguments = ["metadata", "--format-version=1", "--all-features", "--locked", "--offline"];
    let output = Command::new(env!("CARGO")).args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let version = |package: &serde_json::Value| -> Option<Vec<u32>> {
        package["rust_version"].as_str()?.split('.').map(|part| part.parse().ok()).collect()
    };
    let packages = metadata["packages"].as_array().unwrap();
    let ours = packages.iter().find(|package| package["name"] == "affluent").unwrap();
    let ours = version(ours).unwrap();
    let newer = packages.iter().filter(|package| Some(&ours) < version(package).as_ref());
    let newer: Vec<String> = newer
        .map(|package| format!("{} needs Rust {}", package["name"], package["rust_version"]))
        .collect();
    tidy(&newer);
}
