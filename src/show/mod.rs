//! Show: what do the views of a tick say of one person, item or segment?
//!
//! It reads the files of a snapshot or of images and nothing else, so it answers wherever they have
//! been copied.

mod files;
mod images;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};

use dataflows::score::{Counts, Score};
use dataflows::{Feature, Money};

use crate::config::SCORES;
use crate::run::summary::feature_named;
use crate::text::{Align, count, feature, feature_heading, grouped, many, money, score, table};
use crate::view::image;
use crate::view::snapshot::{self, About};

pub use files::Files;
pub use images::Pictures;

/// How many sessions and members are shown.
const SHOWN: usize = 10;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Question {
    /// A person, by any identifier.
    Profile(String),
    /// An item, by its code.
    Item(String),
    /// A segment, by its number.
    Segment(String),
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no snapshot to read.
    #[error(transparent)]
    Snapshot(#[from] snapshot::Error),
    /// A file of the snapshot cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: csv::Error,
    },
    /// An image cannot be read.
    #[error(transparent)]
    Image(#[from] image::Error),
    /// The views know no such thing.
    #[error("{0}")]
    Unknown(String),
    /// The question is not one.
    #[error("{0}")]
    Question(String),
}

/// Views at one tick, as texts.
pub trait Source {
    /// The tick that they show.
    fn tick(&self) -> u64;

    /// What has to be known of the shop.
    fn shop(&self) -> &About;

    /// Calls `row` with each row of `view`, in order of their keys; with none where the shop does
    /// not keep the view.
    ///
    /// # Errors
    ///
    /// They cannot be read; `row` was called with those before.
    fn each(&self, view: &str, row: &mut dyn FnMut(Row)) -> Result<(), Error>;

    /// The rows of `view` whose `column` says one of `values`, in order of their keys.
    ///
    /// # Errors
    ///
    /// They cannot be read.
    fn those(&self, view: &str, column: &str, values: &[&str]) -> Result<Vec<Row>, Error> {
        those(self, view, column, values)
    }
}

/// The rows of `view` whose `column` says one of `values`, found by a pass over all rows.
fn those(
    source: &(impl Source + ?Sized),
    view: &str,
    column: &str,
    values: &[&str],
) -> Result<Vec<Row>, Error> {
    let values: BTreeSet<&str> = values.iter().copied().collect();
    rows(source, view, |row| values.contains(cell(row, column)))
}

/// The rows of `view` that `wanted` picks.
fn rows(
    source: &(impl Source + ?Sized),
    view: &str,
    wanted: impl Fn(&Row) -> bool,
) -> Result<Vec<Row>, Error> {
    let mut rows = Vec::new();
    source.each(view, &mut |row| rows.extend(Some(row).filter(&wanted)))?;
    Ok(rows)
}

/// The answer of the snapshot in the folder `path`.
///
/// # Errors
///
/// There is no snapshot, or it does not know.
pub fn show(path: &Path, question: &Question) -> Result<String, Error> {
    answer(&Files::open(path)?, question)
}

/// The answer of `source`.
///
/// # Errors
///
/// It cannot be read, or does not know.
pub fn answer(source: &dyn Source, question: &Question) -> Result<String, Error> {
    let asked = Asked(source);
    match question {
        Question::Profile(identifier) => asked.profile(identifier),
        Question::Item(code) => asked.item(code),
        Question::Segment(number) => asked.segment(number),
    }
}

/// The cells of a row by column.
pub type Row = BTreeMap<String, String>;

/// The cell of `column`.
fn cell<'a>(row: &'a Row, column: &str) -> &'a str {
    row.get(column).map_or("", String::as_str)
}

/// An amount, all of whose digits are written, in the smallest units.
fn small_units(text: &str) -> i64 {
    text.replace('.', "").parse().unwrap_or(0)
}

/// Who is asked.
struct Asked<'a>(&'a dyn Source);

impl Asked<'_> {
    /// The rows of `view` that `wanted` picks.
    fn rows(&self, view: &str, wanted: impl Fn(&Row) -> bool) -> Result<Vec<Row>, Error> {
        rows(self.0, view, wanted)
    }

    /// The rows of `view` whose `column` says `value`.
    fn of(&self, view: &str, column: &str, value: &str) -> Result<Vec<Row>, Error> {
        self.0.those(view, column, &[value])
    }

    /// What is known of a person.
    fn profile(&self, key: &str) -> Result<String, Error> {
        if !key.contains(':') {
            let way = "write it as kind:value, such as user:17850 or email:ann@example.org";
            return Err(Error::Question(format!("`{key}` names no kind of identifier; {way}")));
        }
        let mut found = self.of("identity", "identifier", key)?;
        if found.is_empty() {
            let lower = key.to_lowercase();
            found = self.rows("identity", |row| cell(row, "identifier").to_lowercase() == lower)?;
        }
        let Some(found) = found.first() else {
            return Err(Error::Unknown(format!(
                "nobody is known by `{key}` at tick {}",
                self.0.tick()
            )));
        };
        let profile = cell(found, "profile");
        let mut text = format!("{profile}, as of tick {}\n", self.0.tick());
        let names = self.of("identity", "profile", profile)?;
        let names: Vec<&str> = names.iter().map(|row| cell(row, "identifier")).collect();
        _ = writeln!(text, "  known by     {}", names.join(", "));
        for row in self.of("profiles", "profile", profile)? {
            text.push_str(&self.seen(&row));
        }
        for row in self.of("rfm", "profile", profile)? {
            text.push_str(&self.bought(&row));
        }
        for row in self.of("segments", "profile", profile)? {
            _ = writeln!(text, "  segment      {}", cell(&row, "segment"));
        }
        for row in self.of("features", "profile", profile)? {
            let told = self.point(cell(&row, "point"));
            let told: Vec<_> = told.map(|(heading, value)| format!("{heading} {value}")).collect();
            _ = writeln!(text, "  placed by    {}", told.join("; "));
        }
        let either =
            |row: &Row| names.contains(&cell(row, "left")) || names.contains(&cell(row, "right"));
        for row in self.rows("conflicts", either)? {
            let [left, right, limit] = ["left", "right", "limit"].map(|name| cell(&row, name));
            _ = writeln!(text, "  kept apart   {left} and {right}: more than one {limit}");
        }
        self.sessions(profile, &mut text)?;
        Ok(text)
    }

    /// An amount with two decimals at most.
    fn amount(&self, text: &str) -> String {
        money(Money(small_units(text)), self.0.shop().decimals)
    }

    /// What is known from a row of `profiles`.
    fn seen(&self, row: &Row) -> String {
        let [first, last] = ["first_seen", "last_seen"].map(|column| cell(row, column));
        let mut text = format!("  seen         {first} to {last}\n");
        let did = [
            ("views", "views"),
            ("carts", "items put into the cart"),
            ("removals", "items taken out of it"),
            ("searches", "searches"),
            ("pages", "pages"),
            ("order_events", "order events"),
            ("refund_events", "refund events"),
        ];
        let did = did.iter().filter(|(column, _)| !matches!(cell(row, column), "" | "0"));
        let did: Vec<_> =
            did.map(|(column, what)| format!("{} {what}", cell(row, column))).collect();
        if !did.is_empty() {
            _ = writeln!(text, "  did          {}", did.join(", "));
        }
        let told = ["traits", "consents", "device", "country", "channel"];
        for column in told.iter().filter(|column| !cell(row, column).is_empty()) {
            _ = writeln!(text, "  {column:<12} {}", cell(row, column));
        }
        let orders = grouped(cell(row, "orders"));
        let [revenue, refunded] =
            ["revenue", "refunded"].map(|column| self.amount(cell(row, column)));
        let currency = &self.0.shop().currency;
        _ = writeln!(
            text,
            "  ever         {orders} orders; {revenue} {currency} ordered, {refunded} given back"
        );
        text
    }

    /// What is known from a row of `rfm`.
    fn bought(&self, row: &Row) -> String {
        let [last, orders, group] = ["last_order", "orders", "group"].map(|name| cell(row, name));
        let [r, f, m] = ["r", "f", "m"].map(|name| cell(row, name));
        let (spent, currency) = (self.amount(cell(row, "spent")), &self.0.shop().currency);
        format!(
            "  in window    {orders} orders for {spent} {currency}, the last at {last}\n  \
             group        {group} (recency {r}, frequency {f}, money {m}, each of 5)\n"
        )
    }

    /// A person's last sessions.
    fn sessions(&self, profile: &str, text: &mut String) -> Result<(), Error> {
        let mut sessions = self.of("sessions", "profile", profile)?;
        sessions.sort_by(|a, b| cell(b, "start").cmp(cell(a, "start")));
        if sessions.is_empty() {
            return Ok(());
        }
        let all = count(sessions.len());
        _ = writeln!(text, "  sessions     {all}, the last ones:");
        let mut lines = vec![
            ["start", "touches", "views", "items", "entry", "ordered"].map(str::to_owned).to_vec(),
        ];
        for row in sessions.iter().take(SHOWN) {
            let columns = ["start", "touches", "views", "items", "entry"];
            let mut line: Vec<String> = columns.map(|column| cell(row, column).to_owned()).into();
            line.push(if cell(row, "ordered") == "true" { "yes" } else { "no" }.to_owned());
            lines.push(line);
        }
        use Align::{Left, Right};
        text.push_str(&table("               ", &[Left, Right, Right, Right, Left, Left], &lines));
        Ok(())
    }

    /// The features of a point, with their values in human units.
    fn point<'a>(&'a self, point: &'a str) -> impl Iterator<Item = (String, String)> + 'a {
        let shop = self.0.shop();
        let features = shop.features.iter().zip(point.split(' '));
        features.filter_map(|(name, value)| {
            let of: Feature = feature_named(name)?;
            let value: i32 = value.parse().ok()?;
            Some((feature_heading(of, &shop.currency), feature(of, value, shop.decimals)))
        })
    }

    /// What is known of an item.
    fn item(&self, code: &str) -> Result<String, Error> {
        let told = self.of("items", "item", code)?;
        let counted = self.of("basket_items", "item", code)?;
        let popular = self.of("popular", "item", code)?;
        if told.is_empty() && counted.is_empty() && popular.is_empty() {
            let tick = self.0.tick();
            return Err(Error::Unknown(format!("no item has the code `{code}` at tick {tick}")));
        }
        let mut text = format!("{code}, as of tick {}\n", self.0.tick());
        for row in &told {
            let columns = ["name", "category", "brand", "price"];
            for column in columns.iter().filter(|column| !cell(row, column).is_empty()) {
                _ = writeln!(text, "  {column:<12} {}", cell(row, column));
            }
            if cell(row, "available") == "false" {
                text.push_str("  available    no\n");
            }
        }
        for row in &popular {
            let [views, carts, orders, units] =
                ["views", "carts", "orders", "units"].map(|column| grouped(cell(row, column)));
            _ = writeln!(
                text,
                "  these days   {views} views, {carts} times into a cart, {units} pieces on \
                 {orders} order lines"
            );
        }
        for row in self.of("dwell", "item", code)? {
            let seconds = cell(&row, "seconds").split('.').next().unwrap_or_default();
            let [visits, seconds] = [cell(&row, "visits"), seconds].map(grouped);
            _ = writeln!(text, "  looked at    {visits} times for {seconds} s in all");
        }
        let counts = self.rows("basket_items", |_| true)?;
        let baskets = self.rows("baskets", |_| true)?;
        let ways = [
            ("bought_together", ["bought", "bought"], "order", "bought together"),
            ("viewed_together", ["viewed", "viewed"], "session", "viewed together"),
            (
                "viewed_then_bought",
                ["viewed_before", "bought_after"],
                "ordered_session",
                "viewed, then bought",
            ),
        ];
        for (view, roles, basket, title) in ways {
            let total = self.number(&baskets, "basket", basket);
            let way = Way { view, roles, total, title };
            text.push_str(&self.related(code, &way, &counts)?);
        }
        Ok(text)
    }

    /// The count in the row of `rows` whose `column` says `value`.
    fn number(&self, rows: &[Row], column: &str, value: &str) -> u64 {
        let row = rows.iter().find(|row| cell(row, column) == value);
        row.and_then(|row| cell(row, "count").parse().ok()).unwrap_or(0)
    }

    /// What goes with an item in one way.
    fn related(&self, code: &str, way: &Way<'_>, counts: &[Row]) -> Result<String, Error> {
        let directed = way.roles[0] != way.roles[1];
        let mut pairs = self.of(way.view, "item", code)?;
        if !directed {
            pairs.extend(self.of(way.view, "with", code)?);
        }
        // Rows stand in the order of the items' hashes, which is how the engine decides ties.
        let of_role = |role: &str| -> BTreeMap<&str, (usize, u64)> {
            let rows = counts.iter().enumerate().filter(|(_, row)| cell(row, "role") == role);
            let count = |row: &Row| cell(row, "count").parse().unwrap_or(0);
            rows.map(|(place, row)| (cell(row, "item"), (place, count(row)))).collect()
        };
        let (first, second) = (of_role(way.roles[0]), of_role(way.roles[1]));
        let Some((_, own)) = first.get(code) else { return Ok(String::new()) };
        let shop = self.0.shop();
        let how = SCORES.iter().find(|(name, _)| *name == shop.score);
        let how = how.map_or(Score::Cosine, |(_, score)| *score);
        let mut found = Vec::new();
        for row in &pairs {
            let other =
                if cell(row, "item") == code { cell(row, "with") } else { cell(row, "item") };
            let pair: u64 = cell(row, "count").parse().unwrap_or(0);
            let Some((place, theirs)) = second.get(other) else { continue };
            let counts = Counts { pair, first: *own, second: *theirs, total: way.total };
            if shop.support_min <= pair {
                found.push((std::cmp::Reverse((how.of(counts), pair)), *place, other));
            }
        }
        found.sort_unstable();
        found.truncate(shop.top);
        if found.is_empty() {
            return Ok(String::new());
        }
        let others: Vec<&str> = found.iter().map(|(.., other)| *other).collect();
        let names = self.0.those("items", "item", &others)?;
        let names: BTreeMap<&str, &str> =
            names.iter().map(|row| (cell(row, "item"), cell(row, "name"))).collect();
        let mut lines = vec![["item", &shop.score, "together"].map(String::from).to_vec()];
        for (std::cmp::Reverse((points, pair)), _, other) in &found {
            let name = names.get(other).copied().unwrap_or("");
            let item = format!("{other} {name}").trim_end().to_owned();
            lines.push(vec![item, score(*points), count(*pair)]);
        }
        use Align::{Left, Right};
        let rows = table("    ", &[Left, Right, Right], &lines);
        let own = count(*own);
        Ok(format!("  {} (it is in {own} of {})\n{rows}", way.title, count(way.total)))
    }

    /// What is known of a segment.
    fn segment(&self, number: &str) -> Result<String, Error> {
        let tick = self.0.tick();
        let found = self.of("centroids", "segment", number)?;
        let Some(found) = found.first() else {
            let known = self.rows("centroids", |_| true)?;
            let known: Vec<&str> = known.iter().map(|row| cell(row, "segment")).collect();
            let way = match known.is_empty() {
                true => "there is no model".to_owned(),
                false => format!("there are {}", known.join(", ")),
            };
            return Err(Error::Unknown(format!("no segment `{number}` at tick {tick}: {way}")));
        };
        let members = self.of("segments", "segment", number)?;
        let size = many(members.len(), "person", "people");
        let mut text = format!("segment {number}, as of tick {tick}: {size}\n  in its middle\n");
        for (heading, value) in self.point(cell(found, "point")) {
            _ = writeln!(text, "    {heading:<14} {value}");
        }
        let members: Vec<&str> = members.iter().map(|row| cell(row, "profile")).collect();
        let mut rfm = self.0.those("rfm", "profile", &members)?;
        let spent = |row: &Row| small_units(cell(row, "spent"));
        rfm.sort_by(|a, b| {
            spent(b).cmp(&spent(a)).then(cell(a, "profile").cmp(cell(b, "profile")))
        });
        let mut lines =
            vec![["who", "last order", "orders", "spent", "group"].map(str::to_owned).to_vec()];
        for row in rfm.iter().take(SHOWN) {
            let columns = ["profile", "last_order", "orders", "spent", "group"];
            let mut line: Vec<String> = columns.map(|column| cell(row, column).to_owned()).into();
            line[3] = self.amount(&line[3]);
            lines.push(line);
        }
        use Align::{Left, Right};
        text.push_str("  those who spent most\n");
        text.push_str(&table("    ", &[Left, Left, Right, Right, Left], &lines));
        Ok(text)
    }
}

/// A way in which items go together.
struct Way<'a> {
    /// The view of the pairs.
    view: &'a str,
    /// What the first and the second item are to a basket.
    roles: [&'a str; 2],
    /// How many baskets there are.
    total: u64,
    title: &'a str,
}
