//! Summary: what does a run tell the shopkeeper?

use std::collections::BTreeMap;
use std::fmt::Write;

use dataflows::related::{Basket, Items, Role, RoleItem};
use dataflows::rfm::Rfm;
use dataflows::segment::{Centroid, Segment};
use dataflows::{
    BASKET_ITEMS, BASKETS, BOUGHT_TOGETHER, CENTROIDS, CONFLICTS, EventTime, IDENTITY, ITEMS, Item,
    Kind, Money, Names, PROFILES, ProfileId, RFM, SEGMENTS, SESSIONS, TODAY, VIEWED_TOGETHER, View,
    Word,
};

use super::Done;
use crate::config::{FEATURES, SCORES, Shop};
use crate::decode::Cancelled;
use crate::feed::{Counts, Feed};
use crate::names::Dictionary;
use crate::text::{Align, count, feature, feature_heading, many, money, score, share, table};
use crate::view::Store;
use crate::view::pairs::Neighbour;
use crate::worker::Driver;
use crate::worker::recover::Progress;

use Align::{Left, Right};

/// How many best sellers are shown.
const SELLERS: usize = 5;

/// How many items are shown beside each.
const BESIDE: usize = 3;

/// The account of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// What became of the rows.
    pub counts: Counts,
    /// How many rows were refused for each reason and field.
    pub reasons: BTreeMap<(Word, Option<Word>), u64>,
    /// The rows that were marked as cancellations.
    pub cancelled: Cancelled,
    /// The least and the greatest event time.
    pub span: Option<(EventTime, EventTime)>,
    /// The last tick that was decided.
    pub tick: u64,
    /// What was taken up from the data directory, if there is one.
    pub taken_up: Option<Progress>,
}

impl Report {
    /// Takes what `feed` and `driver` have come to.
    pub(super) fn note(&mut self, feed: &Feed, driver: &Driver<'_>) {
        self.counts = feed.counts();
        self.reasons.clone_from(feed.reasons());
        self.span = feed.span();
        self.tick = driver.upper().0.saturating_sub(1);
    }
}

/// What a summary is written from.
struct Sight<'a> {
    shop: &'a Shop,
    report: &'a Report,
    store: &'a Store,
    names: &'a Dictionary,
}

/// The summary of a run of `shop`.
#[must_use]
pub fn summary(shop: &Shop, done: &Done) -> String {
    let Done { report, store, names, .. } = done;
    let sight = Sight { shop, report, store, names };
    let mut text = format!("{}\n{}\n", shop.name, "─".repeat(shop.name.chars().count()));
    let parts = [
        sight.rows(),
        sight.people(),
        sight.money_back(),
        sight.groups(),
        sight.segments(),
        sight.sellers(),
    ];
    for part in parts.iter().filter(|part| !part.is_empty()) {
        text.push('\n');
        text.push_str(part);
    }
    text
}

impl Sight<'_> {
    fn word(&self, word: Word) -> String {
        self.names.word(word.0.get())
    }

    fn money(&self, amount: Money) -> String {
        money(amount, self.shop.decimals)
    }

    /// What was read, and what became of it.
    fn rows(&self) -> String {
        let Counts { rows, accepted, duplicate, rejected, .. } = self.report.counts;
        let Counts { corrected, retold, retracted, erased, erased_events, .. } = self.report.counts;
        let mut text = format!(
            "Rows      {} read = {} accepted + {} duplicate + {} rejected\n",
            count(rows),
            count(accepted),
            count(duplicate),
            count(rejected),
        );
        let mut reasons: Vec<_> = self.report.reasons.iter().collect();
        reasons.sort_by(|(a, many), (b, more)| more.cmp(many).then(a.cmp(b)));
        let lines: Vec<_> = reasons
            .into_iter()
            .map(|((reason, field), many)| {
                let field = field.map_or("the row".into(), |word| format!("`{}`", self.word(word)));
                vec![count(*many), format!("{field} {}", self.word(*reason))]
            })
            .collect();
        if !lines.is_empty() {
            text.push_str("          rejected because\n");
            text.push_str(&table("            ", &[Right, Left], &lines));
        }
        let verbs = [
            (corrected, many(corrected, "event was corrected", "events were corrected")),
            (retold, many(retold, "item was renamed", "times an item was renamed")),
            (retracted, many(retracted, "event was retracted", "events were retracted")),
            (
                erased,
                format!(
                    "{} with {}",
                    many(erased, "person was erased", "people were erased"),
                    many(erased_events, "event", "events")
                ),
            ),
            (
                self.report.cancelled.rows,
                format!(
                    "{} of {} cancelled",
                    many(self.report.cancelled.rows, "row", "rows"),
                    many(self.report.cancelled.orders, "order", "orders")
                ),
            ),
        ];
        for (_, told) in verbs.iter().filter(|(number, _)| 0 < *number) {
            _ = writeln!(text, "          {told}");
        }
        if let Some((first, last)) = self.report.span {
            let today = self.store.get(TODAY, &()).filter(|today| *today != last.day());
            let told = today.map(|today| format!("; today is {}", self.names.day(today)));
            let [first, last] = [first, last].map(|at| self.names.day(at.day()));
            let told = told.unwrap_or_default();
            let (first, to) = if first == last { (String::new(), "") } else { (first, " to ") };
            _ = writeln!(text, "Days      {first}{to}{last}{told}");
        }
        let ticks = many(self.report.tick + 1, "tick", "ticks");
        _ = writeln!(
            text,
            "Ticks     {ticks}: every result below is as of tick {}",
            self.report.tick
        );
        text
    }

    /// Who was recognised.
    fn people(&self) -> String {
        let identity = self.store.rows(IDENTITY);
        let mut text = String::new();
        if !identity.is_empty() {
            let mut kinds: BTreeMap<Kind, u64> = BTreeMap::new();
            let mut sizes: BTreeMap<ProfileId, u64> = BTreeMap::new();
            for (id, profile) in &identity {
                *kinds.entry(id.kind()).or_default() += 1;
                *sizes.entry(*profile).or_default() += 1;
            }
            let kinds =
                kinds.iter().map(|(kind, n)| format!("{} {}", count(*n), self.names.kind(*kind)));
            let merged = sizes.values().filter(|size| 1 < **size).count();
            _ = writeln!(
                text,
                "Profiles  {} from {} ({})",
                many(sizes.len(), "person", "people"),
                many(identity.len(), "identifier", "identifiers"),
                kinds.collect::<Vec<_>>().join(", "),
            );
            if 0 < merged {
                let most = sizes.values().max().copied().unwrap_or(0);
                _ = writeln!(
                    text,
                    "          {} merged from several identifiers, the most from {}",
                    count(merged),
                    count(most)
                );
            }
            let conflicts = self.store.len(CONFLICTS.name);
            if 0 < conflicts {
                _ = writeln!(text, "          {} pairs kept apart by a limit", count(conflicts));
            }
        }
        // Where only orders are known, a session says nothing that they do not.
        let sessions = self.store.rows(SESSIONS);
        if sessions.values().any(|row| 0 < row.views + row.pages) {
            let ordered = sessions.values().filter(|row| row.ordered).count();
            let sessions = sessions.len();
            _ = writeln!(
                text,
                "Sessions  {}, {} of them with an order",
                count(sessions),
                count(ordered)
            );
        }
        text
    }

    /// What was ordered in all, and what of it was given back.
    fn money_back(&self) -> String {
        let profiles = self.store.rows(PROFILES);
        let sum = |of: fn(&dataflows::profile::Profile) -> i64| profiles.values().map(of).sum();
        let (orders, revenue): (i64, i64) =
            (sum(|row| i64::from(row.orders)), sum(|row| row.revenue.0));
        let refunded: i64 = sum(|row| row.refunded.0);
        if orders == 0 {
            return String::new();
        }
        format!(
            "Orders    {} not wholly refunded; {} {} ordered, {} given back ({})\n",
            count(orders),
            self.money(Money(revenue)),
            self.shop.currency,
            self.money(Money(refunded)),
            share(refunded, revenue),
        )
    }

    /// The groups of customers.
    fn groups(&self) -> String {
        let rows = self.store.rows(RFM);
        if rows.is_empty() {
            return String::new();
        }
        let mut groups: BTreeMap<u8, (i64, i64)> = BTreeMap::new();
        for Rfm { group, spent, .. } in rows.values() {
            let (people, sum) = groups.entry(*group).or_default();
            *people += 1;
            *sum = sum.saturating_add(spent.0);
        }
        let people = i64::try_from(rows.len()).unwrap_or(i64::MAX);
        let spent: i64 = groups.values().map(|(_, sum)| sum).sum();
        let days = match self.shop.settings.rfm_window_days {
            0 => "ever".into(),
            days => format!("in the last {}", many(days, "day", "days")),
        };
        let mut text = format!(
            "Customers {} ordered {days}; by how recently, how often and for how much:\n",
            count(rows.len())
        );
        let heading = ["group", "people", "", &format!("spent, {}", self.shop.currency), ""];
        let mut lines = vec![heading.map(str::to_owned).to_vec()];
        lines.extend(groups.iter().map(|(group, (size, sum))| {
            let sum_shown = self.money(Money(*sum));
            let name = self.names.group(*group);
            vec![name, count(*size), share(*size, people), sum_shown, share(*sum, spent)]
        }));
        text.push_str(&table("          ", &[Left, Right, Right, Right, Right], &lines));
        text
    }

    /// Who is alike.
    fn segments(&self) -> String {
        let centroids = self.store.rows(CENTROIDS);
        if centroids.is_empty() {
            return String::new();
        }
        let mut sizes: BTreeMap<Segment, i64> = BTreeMap::new();
        for segment in self.store.rows(SEGMENTS).into_values() {
            *sizes.entry(segment).or_default() += 1;
        }
        let people = sizes.values().sum();
        let features = &self.shop.settings.segments.features;
        let headings =
            features.iter().map(|feature| feature_heading(*feature, &self.shop.currency));
        let mut lines =
            vec![["segment", "people", ""].map(String::from).into_iter().chain(headings).collect()];
        for (segment, Centroid(point)) in &centroids {
            let size = sizes.get(segment).copied().unwrap_or(0);
            let start = [segment.0.to_string(), count(size), share(size, people)];
            let values = features.iter().zip(point);
            let values = values.map(|(of, value)| feature(*of, *value, self.shop.decimals));
            lines.push(start.into_iter().chain(values).collect());
        }
        let align = vec![Right; 3 + features.len()];
        let text = many(centroids.len(), "group", "groups");
        format!(
            "Segments  {text} of people who are alike, each by its middle:\n{}",
            table("          ", &align, &lines)
        )
    }

    /// What sells best, and what goes with it.
    fn sellers(&self) -> String {
        let counts = self.store.rows(BASKET_ITEMS);
        let bought = counts.keys().any(|RoleItem(role, _)| *role == Role::Bought);
        let (role, view, basket, what) = match bought {
            true => (Role::Bought, BOUGHT_TOGETHER, Basket::Order, ("order", "orders")),
            false => (Role::Viewed, VIEWED_TOGETHER, Basket::Session, ("session", "sessions")),
        };
        let of_role = counts.iter().filter(|(RoleItem(of, _), _)| *of == role);
        let mut best: Vec<(i64, Item)> = of_role.map(|(item, n)| (*n, item.1)).collect();
        best.sort_by(|(a, item), (b, other)| b.cmp(a).then(item.cmp(other)));
        let total = self.store.get(BASKETS, &basket).and_then(|n| u64::try_from(n).ok());
        let total = total.unwrap_or(0);
        if best.len() < 2 || total == 0 {
            return String::new();
        }
        let how = SCORES.iter().find(|(_, score)| *score == self.shop.related.score);
        let mut text = format!(
            "{}  {} in {}; what goes with the best, by {}:\n",
            if bought { "Bought  " } else { "Viewed  " },
            many(best.len(), "item", "items"),
            many(total, what.0, what.1),
            how.map_or("score", |(name, _)| name),
        );
        for (n, item) in best.iter().take(SELLERS) {
            let n = u64::try_from(*n).unwrap_or(0);
            _ = writeln!(text, "          {}, in {}", self.item(*item), many(n, what.0, what.1));
            let beside = self.beside(view, *item, total);
            let lines = beside.iter().map(|other| {
                let together = format!("together in {}", count(other.support));
                vec!["+".into(), self.item(other.item), score(other.score), together]
            });
            let lines: Vec<Vec<String>> = lines.collect();
            text.push_str(&table("            ", &[Left, Left, Right, Left], &lines));
        }
        text
    }

    /// What goes best with an item.
    fn beside(&self, view: View<Items, i64>, item: Item, total: u64) -> Vec<Neighbour> {
        let crate::config::Related { score, support_min, .. } = self.shop.related;
        let read = |tables: &[std::sync::Arc<std::sync::Mutex<crate::view::pairs::Pairs>>]| {
            let found = tables
                .iter()
                .map(|table| crate::view::lock(table).top(item, score, support_min, total, BESIDE));
            found.flatten().collect()
        };
        self.store.with_pairs(view, read).unwrap_or_default()
    }

    /// An item's code, and its name if it has one.
    fn item(&self, item: Item) -> String {
        let code = self.names.word(item.0);
        let name = self.store.get(ITEMS, &item).and_then(|told| told.name);
        name.map_or(code.clone(), |name| format!("{code} {}", self.word(name)))
    }
}

/// The feature with this name.
#[must_use]
pub fn feature_named(name: &str) -> Option<dataflows::Feature> {
    FEATURES.iter().find(|(known, _)| *known == name).map(|(_, feature)| *feature)
}
