//! Config tests: does the file mean what its reference says?

use super::*;
use crate::decode::{Form, Rows};

fn parse(text: &str) -> Result<Shop, String> {
    let environment = |name: &str| (name == "DATA").then(|| "/data".to_owned());
    Shop::parse(text, "shop.toml", Path::new("/shops/one"), &environment)
        .map_err(|error| error.to_string())
}

#[test]
fn a_file_with_one_source_is_complete_and_the_reference_says_the_defaults() {
    let least = parse("[[source]]\nfiles = \"*.csv\"\n").unwrap();
    assert_eq!(least, parse(REFERENCE).unwrap());
    assert_eq!(least.settings, Settings::default());
    assert_eq!(least.sources[0].form, Form::Csv);
    assert_eq!(least.sources[0].files, ["/shops/one/*.csv"]);
}

#[test]
fn a_misspelt_key_is_named_with_its_place_and_the_one_that_was_meant() {
    let message = parse("[shop]\nname = \"x\"\ndecimls = 3\n").unwrap_err();
    assert!(message.starts_with("shop.toml:3:1: unknown field `decimls`"), "{message}");
    assert!(message.ends_with("did you mean `decimals`?"), "{message}");
    let message = parse("views = [\"rfm\", \"segmens\"]\n").unwrap_err();
    assert!(message.starts_with("shop.toml:1:17: `segmens` is no view"), "{message}");
    assert!(message.ends_with("did you mean `segments`?"), "{message}");
}

#[test]
fn faults_name_their_place_and_the_way_out() {
    let source = "[[source]]\nfiles = \"a.txt\"\n";
    let cases = [
        ("[shop]\ndecimals = 9", "shop.toml:2:12: 9 is out of range; use 0 to 6"),
        ("[shop]\nzone = \"Mars\"", "shop.toml:2:8: `Mars` is no time zone"),
        ("[shop]\nsecret = \"1\"", "shop.toml:2:10: `secret` is not 32 hexadecimal digits"),
        ("[segments]\ncount = \"many\"", "shop.toml:2:9: `count` is not understood"),
        ("[sessions]\nkinds = [\"cooky\"]", "shop.toml:2:10: `cooky` is no kind of identifier"),
        (source, "shop.toml:2:9: the format cannot be told"),
        (&format!("{source}rows = \"basket\""), "the source says nothing of `at`"),
        (&format!("{source}fields = {{ itm = \"a\" }}"), "`itm` is no field"),
        (&format!("{source}fields = {{ who = \"a\" }}"), "use `who.<kind>`"),
        (&format!("{source}at = {{ column = \"a\", format = \"%Q\" }}"), "`%Q` is no pattern"),
        (&format!("{source}who.usr = \"a\"\nrows = \"event\""), "did you mean `user`?"),
        ("[[source]]\nfiles = \"${NO}/x.csv\"", "the environment has no variable `NO`"),
        ("[[source]]\nfiles = \"a.csv\"\n[[source]]\nfiles = \"b.csv\"", "two sources are named"),
        ("[shop\n", "shop.toml:1:"),
    ];
    for (text, expected) in cases {
        let message = parse(text).unwrap_err();
        assert!(message.contains(expected), "{text}\n{message}");
    }
}

#[test]
fn files_are_found_from_the_folder_or_from_the_environment() {
    let text = "[[source]]\nfiles = [\"${DATA}/x/*.csv\", \"y.csv\"]\n";
    let shop = parse(text).unwrap();
    assert_eq!(shop.sources[0].files, ["/data/x/*.csv", "/shops/one/y.csv"]);
    assert_eq!(shop.sources[0].roots, [Path::new("/shops/one"), Path::new("/data")]);
}

#[test]
fn the_secret_of_the_environment_goes_first() {
    let environment = |secret: &'static str| {
        move |name: &str| (name == "AFFLUENT_SECRET").then(|| secret.to_owned())
    };
    let read = |secret| Shop::parse("", "f", Path::new(""), &environment(secret));
    let shop = read("000000000000000000000000000000ff").unwrap();
    assert_eq!(shop.secret[15], 255);
    assert!(matches!(read("+00000000000000000000000000000ff"), Err(Error::Secret)));
}

#[test]
fn a_mapping_is_what_the_file_says() {
    let text = r#"
        [shop]
        decimals = 3
        [[source]]
        files = "a.txt"
        rows = "session"
        delimiter = "whitespace"
        constants = { at = "2020-01-01T00:00:00Z" }
    "#;
    let shop = parse(text).unwrap();
    let Form::Delimited(mapping) = &shop.sources[0].form else { panic!("a mapping") };
    assert_eq!(mapping.rows, Rows::Session);
    assert_eq!(mapping.columns, Some(Vec::new()));
    assert_eq!(shop.rules.decimals, 3);
}

#[test]
fn edits_count_letters() {
    assert_eq!(edits("kitten", "sitting"), 3);
    assert_eq!(edits("", "ab"), 2);
    assert_eq!(edits("same", "same"), 0);
}
