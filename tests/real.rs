//! Real: do the known figures of real shops come out of the engine's own views?
//!
//! The data are not ours to ship whole: they are looked for in `AFFLUENT_DATA`, or in
//! `../shared/data`; where they are not, the tests say that they were skipped.

use std::collections::BTreeMap;
use std::path::PathBuf;

use affluent::config::Shop;
use affluent::run::{Done, Input, Plan, run};
use affluent::worker::Layout;
use dataflows::related::Items;
use dataflows::{
    BASKET_ITEMS, BASKETS, BOUGHT_TOGETHER, FEATURES, Identifier, Item, Names, PROFILES, ProfileId,
    RFM, related,
};

/// Where the data are, if they are.
#[expect(clippy::print_stdout, reason = "a test that is skipped says so")]
fn data() -> Option<PathBuf> {
    let given = std::env::var_os("AFFLUENT_DATA").map(PathBuf::from);
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    let found = given.into_iter().chain([beside]).find(|path| path.join("online-retail").is_dir());
    if found.is_none() {
        println!("SKIPPED: no real data; set AFFLUENT_DATA to a folder that holds online-retail/");
    }
    found
}

/// The shop `name` under `fixtures/shops`, with `change` made to its file.
fn shop(name: &str, change: impl Fn(&str) -> String) -> Option<Shop> {
    let data = data()?;
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("fixtures/shops").join(name);
    let file = folder.join("shop.toml");
    let text = change(&std::fs::read_to_string(&file).expect("the shop's file is shipped"));
    let data = data.to_str().expect("a plain path").to_string();
    let environment = move |name: &str| (name == "AFFLUENT_DATA").then(|| data.clone());
    Some(
        Shop::parse(&text, &format!("{name}/shop.toml"), &folder, &environment)
            .expect("the shop's file is right"),
    )
}

/// Runs a shop to its end.
fn ran(shop: &Shop, workers: usize, audit: bool) -> Done {
    let input = Input::open(shop).expect("the files are there");
    let plan = Plan { layout: Layout::threads(workers), audit, ..Plan::default() };
    let done = run(shop, Some(input), plan, |_| ()).expect("it runs").expect("it leads");
    for view in &done.audit {
        assert_eq!(view.difference, None, "{} at {workers} workers", view.view);
    }
    done
}

/// The pairs with the greatest counts, by the names of their items.
fn top_pairs(done: &Done, most: usize) -> Vec<(String, String, i64)> {
    let pairs = done.store.pair_rows(BOUGHT_TOGETHER);
    let mut pairs: Vec<(Items, i64)> = pairs.into_iter().collect();
    pairs.sort_by_key(|(_, count)| -count);
    let name = |item: Item| done.names.word(item.0);
    let named = pairs.into_iter().take(most).map(|(Items(a, b), count)| {
        let (a, b) = (name(a), name(b));
        if a < b { (a, b, count) } else { (b, a, count) }
    });
    named.collect()
}

/// The profile of a customer's number.
fn customer(done: &Done, number: &str) -> ProfileId {
    let user = done.names.identifier_of(dataflows::Kind(0), number);
    let id: Identifier = user;
    done.store.get(dataflows::IDENTITY, &id).expect("a customer")
}

#[test]
fn online_retail_gives_its_known_figures() {
    // For ever, so that the window leaves nothing out.
    let forever = |text: &str| format!("{text}\n[rfm]\nwindow_days = 0\n");
    let Some(retail) = shop("online-retail", forever) else { return };
    let done = ran(&retail, 1, true);
    let counts = done.report.counts;
    assert_eq!(counts.rows, 245_903);
    assert_eq!(counts.rows, counts.accepted + counts.duplicate + counts.rejected);
    assert_eq!((done.report.cancelled.rows, done.report.cancelled.orders), (4494, 2006));

    let profiles = done.store.rows(PROFILES);
    let sum = |of: fn(&dataflows::profile::Profile) -> i64| profiles.values().map(of).sum::<i64>();
    assert_eq!(profiles.values().filter(|row| 0 < row.revenue.0).count(), 2960, "customers");
    assert_eq!(sum(|row| row.revenue.0), 3_993_805_651, "revenue");
    assert_eq!(sum(|row| row.revenue.0 - row.refunded.0), 3_728_501_251, "net");

    let baskets = done.store.rows(BASKETS);
    assert_eq!(baskets[&related::Basket::Order], 8802, "invoices");
    let items = done.store.rows(BASKET_ITEMS);
    assert_eq!(items.keys().filter(|item| item.0 == related::Role::Bought).count(), 3271, "items");

    let pairs = done.store.pair_rows(BOUGHT_TOGETHER);
    assert_eq!(pairs.len(), 1_176_119, "pairs");
    assert_eq!(pairs.values().sum::<i64>(), 3_167_962, "pair total");
    let known = [
        ("22697", "22699", 307),
        ("22386", "85099B", 255),
        ("20725", "22383", 251),
        ("20725", "22384", 250),
        ("22469", "22470", 243),
    ];
    let known = known.map(|(a, b, count)| (a.to_string(), b.to_string(), count));
    assert_eq!(top_pairs(&done, 5), known);
}

#[test]
fn the_top_spenders_come_out() {
    // Without the cancellations, as the known figures were counted.
    let gross = |text: &str| {
        text.replace("becomes = \"refund\"", "becomes = \"reject\"") + "\n[rfm]\nwindow_days = 0\n"
    };
    let Some(retail) = shop("online-retail", gross) else { return };
    let done = ran(&retail, 1, false);
    let row = |number: &str| {
        let row = done.store.get(RFM, &customer(&done, number)).expect("a customer with orders");
        (done.names.time(row.last_order), row.orders, row.spent.0)
    };
    // Local times of the data: British summer time in June, none in January.
    assert_eq!(row("14646"), ("2011-06-28T10:22:00Z".into(), 32, 136_002_110));
    assert_eq!(row("18102"), ("2011-06-14T10:31:00Z".into(), 20, 106_601_550));
    assert_eq!(row("12346"), ("2011-01-18T10:01:00Z".into(), 1, 77_183_600));
    let mut spent: Vec<i64> = done.store.rows(RFM).values().map(|row| row.spent.0).collect();
    spent.sort_unstable();
    assert_eq!(spent[spent.len() - 3..], [77_183_600, 106_601_550, 136_002_110]);
}

#[test]
fn exact_duplicates_are_counted() {
    let drop = |text: &str| text.replace("duplicates = \"keep\"", "duplicates = \"drop\"");
    let bare = move |text: &str| {
        let lines = drop(text);
        let rules = ["require", "quantity_min", "price_min", "item_name", "cancellation"];
        let kept = lines.lines().filter(|line| !rules.iter().any(|rule| line.starts_with(rule)));
        kept.collect::<Vec<_>>().join("\n") + "\n"
    };
    let Some(retail) = shop("online-retail", bare) else { return };
    let mut names = retail.dictionary();
    let mut reader = retail.open(&mut names).expect("the files are there");
    let (mut keys, mut duplicates, mut rows) = (std::collections::BTreeSet::new(), 0, 0);
    while let Some(row) = reader.next_row(&mut names).expect("the files can be read") {
        rows += 1;
        for change in row.outcome.expect("every row is an event") {
            if let affluent::decode::Change::Put { key, .. } = change {
                duplicates += usize::from(!keys.insert(key));
            }
        }
    }
    assert_eq!((rows, duplicates), (245_903, 2012));
}

#[test]
fn two_workers_and_the_batch_agree_on_online_retail() {
    let Some(retail) = shop("online-retail", str::to_string) else { return };
    let (one, two) = (ran(&retail, 1, false), ran(&retail, 2, true));
    let rows = |done: &Done| {
        let mut rows: BTreeMap<&str, Vec<Vec<String>>> = BTreeMap::new();
        for view in done.store.names() {
            let of_view = rows.entry(view).or_default();
            done.store.each(view, &done.names, &mut |row| of_view.push(row.to_vec()));
        }
        rows
    };
    assert!(rows(&one) == rows(&two), "one and two workers publish the same");
}

#[test]
fn groceries_give_their_known_figures() {
    let Some(groceries) = shop("groceries", str::to_string) else { return };
    for workers in [1, 2] {
        let done = ran(&groceries, workers, true);
        let items = done.store.rows(BASKET_ITEMS);
        let bought = items.iter().filter(|(item, _)| item.0 == related::Role::Bought);
        assert_eq!(bought.clone().count(), 169);
        assert_eq!(bought.clone().map(|(_, count)| count).sum::<i64>(), 43_367);
        let milk = bought
            .map(|(item, count)| (done.names.word(item.1.0), *count))
            .max_by_key(|item| item.1);
        assert_eq!(milk, Some(("whole milk".to_string(), 2513)));
        let pairs = done.store.pair_rows(BOUGHT_TOGETHER);
        assert_eq!((pairs.len(), pairs.values().sum::<i64>()), (9636, 137_278));
        let top = ("other vegetables".to_string(), "whole milk".to_string(), 736);
        assert_eq!(top_pairs(&done, 1), [top]);
    }
}

#[test]
fn segments_are_nearly_as_tight_as_the_best_of_ten() {
    use linfa::traits::Fit;
    let Some(retail) = shop("online-retail", str::to_string) else { return };
    let done = ran(&retail, 1, false);
    let points: Vec<_> = done.store.rows(FEATURES).into_values().map(|row| row.0).collect();
    let settings = &retail.settings.segments;
    let model = dataflows::fit::fit(&done.store.rows(dataflows::CELLS), None, false, settings, 0);
    let centroids = model.expect("there are customers").centroids;
    let distance = |point| dataflows::segment::nearest(point, &centroids).expect("a model").1;
    let own: i64 = points.iter().map(distance).sum();

    let dimensions = settings.features.len();
    let flat = points.iter().flat_map(|point| point[..dimensions].iter().map(|x| f64::from(*x)));
    let shape = (points.len(), dimensions);
    let exact = ndarray::Array2::from_shape_vec(shape, flat.collect()).expect("a full table");
    let data = linfa::DatasetBase::from(exact);
    let judge = linfa_clustering::KMeans::params(centroids.len()).n_runs(10).tolerance(1e-6);
    let best = judge.fit(&data).expect("it converges");
    let squared = |point: ndarray::ArrayView1<'_, f64>| {
        let of = |centroid: ndarray::ArrayView1<'_, f64>| {
            point.iter().zip(centroid).map(|(a, b)| (a - b) * (a - b)).sum::<f64>()
        };
        best.centroids().outer_iter().map(of).fold(f64::INFINITY, f64::min)
    };
    let sum: f64 = data.records.outer_iter().map(squared).sum();
    let ratio = i32::try_from(own / 1000).map(f64::from).expect("small") * 1000.0 / sum;
    println!("inertia of the fit over the best of ten runs: {ratio:.4}");
    assert!(ratio <= 1.02, "{ratio}");
}
